/** `/g`: integrity of a database (format specification, chapters 6.1.5, 6.2.8 and 11.4.2). */

import { DATABASE_STATE } from '../../format/database-header.js';
import { EseError } from '../../format/ese-error.js';
import type { IntegrityResult } from '../../maintenance/integrity.js';
import { timeText } from '../classic-text.js';
import {
  forcedPageSize,
  hasSwitch,
  type Mode,
  type ModeContext,
  type ModeOutcome,
  switchValue,
} from '../mode.js';
import { askOkCancel } from '../question.js';
import { refuseLocked, watchFile } from '../shared-read.js';
import { refuseSameFile, requireKind, sourceFile } from '../typed-path.js';
import {
  checkReportPlace,
  DIRTY_LINES,
  lookAtHeader,
  noteStreamingFile,
  verdictLines,
  writeReport,
  writeStatistics,
} from './check-output.js';

export const integrityMode: Mode = {
  heading: 'INTEGRITY',
  longRunning: true,
  // The database is only read, but a report is written.
  writes: () => true,
  run: async (context) => {
    const { host, command, say, warn } = context;
    const file = sourceFile(host, command.positional, 'source file');
    const temporary = switchValue(command, 't') ?? `.\\TEMPINTEG${host.pid}.EDB`;
    say(`        Database: ${command.positional}`);
    say(`  Temp. Database: ${temporary}`);
    say();
    refuseSameFile(host, file, temporary);
    noteStreamingFile(context);
    refuseLocked(host, file, command.long.has('shared'), warn);
    checkReportPlace(context);
    const forced = forcedPageSize(command);
    if (forced === undefined) requireKind(host, file, 'database');
    // A damaged header is left to the check.
    const found = lookAtHeader(host, file);
    if (forced !== undefined && found !== undefined && forced !== found.pageSize) {
      throw new EseError('JET_errPageSizeMismatch', `the pages have ${found.pageSize} bytes, not ${forced}`, {
        file,
      });
    }
    say('Checking database integrity.');
    const isDirty = found !== undefined && found.header.state !== DATABASE_STATE.cleanShutdown;
    if (isDirty && !goOnDirty(context)) {
      throw new EseError('JET_errDatabaseDirtyShutdown', 'the check was aborted', { file });
    }
    return check(context, file);
  },
};

async function check(context: ModeContext, file: string): Promise<ModeOutcome> {
  const { host, command, say, warn } = context;
  const { checkIntegrity } = await import('../../maintenance/integrity.js');
  const endWatch = watchFile(host, file, warn);
  const started = host.now();
  const bar = context.progress('Scanning Status (% complete)');
  const result = await checkIntegrity(host.environment, file, {
    workers: context.workers,
    signal: context.signal,
    findingsMax: context.jsonLimit,
    comparesIndexes: !hasSwitch(command, 'b'),
    onProgress: bar.update,
  });
  if (result.error === undefined) bar.complete();
  else bar.fail();
  endWatch();
  const { report, error } = result;
  for (const finding of report.findings) context.event('finding', finding);
  noteWarnings(context, result, file);
  const path = await writeReport(context, result, 'Integrity', verdictLines(result), host.now() - started);
  if (hasSwitch(command, 'n')) writeStatistics(context, result, '.INTGINFO.TXT');
  say(verdict(result));
  if (report.warnings > 0 && !command.long.has('compat')) say(`${report.warnings} warnings, see ${path}`);
  say();
  const { findings, lastFullBackup, ...rest } = report;
  return {
    result: { ...rest, lastFullBackup, report: path, findings },
    ...(error === undefined ? {} : { error: error.at({ file }) }),
  };
}

function verdict({ report }: IntegrityResult): string {
  if (!report.corrupt) return 'Integrity check successful.';
  const corrupted = 'Integrity check completed.  Database is CORRUPTED';
  return report.lastFullBackup === null
    ? `${corrupted}!`
    : `${corrupted}, the last full backup of this database was on ${timeText(report.lastFullBackup)}`;
}

/** Says what a dirty database means, and asks whether to abort. Returns false if so. */
function goOnDirty(context: ModeContext): boolean {
  const { command, say } = context;
  say();
  for (const line of DIRTY_LINES) say(line);
  say();
  if (hasSwitch(command, 'o') || command.long.has('yes')) return true;
  return askOkCancel(context, 'Abort the check? (OK/Cancel) ') !== true;
}

function noteWarnings(context: ModeContext, result: IntegrityResult, file: string): void {
  const note = (name: string, message: string, pgno?: number): void =>
    context.note({ code: null, name, message, file, ...(pgno === undefined ? {} : { pgno }) });
  if (result.headerSource === 'shadow')
    note('HeaderFromShadow', 'the primary header is damaged, the shadow header is used');
  if (result.report.dirty) note('DirtyDatabase', `the database is in the state ${result.stateName}`);
  const corrected = result.report.findings.find(({ code }) => code === 'PAGE_ECC_FIXED');
  if (corrected !== undefined) note('CorrectableChecksum', corrected.message, corrected.pgno);
}
