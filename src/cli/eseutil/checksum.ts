/** `/k`: checksums of a database, log, log stream, checkpoint or flush map (format specification, chapter 6.2.7). */

import { EseError } from '../../format/ese-error.js';
import { type FileKind, fileKind } from '../../maintenance/file-kind.js';
import type { ChecksumFinding, ChecksumReport, DatabaseVerification } from '../../maintenance/verify.js';
import { isBaseName } from '../base-name.js';
import { hex } from '../classic-text.js';
import { streamSource } from '../log-source.js';
import {
  forcedPageSize,
  hasSwitch,
  type Mode,
  type ModeContext,
  type ModeOutcome,
  switchValue,
} from '../mode.js';
import { refuseLocked, watchFile } from '../shared-read.js';
import { refuseSameFile, sourceFile } from '../typed-path.js';

/** Pages between two rests of `/p` without a number (chapter 7.4.3). */
const THROTTLE_PAGES_DEFAULT = 100;
const FILE_NAME_SHOWN = 64;
const MEGABYTE = 1024 * 1024;

export const checksumMode: Mode = {
  heading: 'CHECKSUM',
  longRunning: true,
  run: (context) => {
    const { host, command } = context;
    const typed = command.positional;
    if (typed !== null && isBaseName(typed) && host.probe(typed) !== 'file')
      return verifyStream(context, typed);
    const file = sourceFile(host, typed, 'source file', true);
    if (forcedPageSize(command) !== undefined) return verifyDatabaseFile(context, file);
    const kind = fileKind(host.fs, file);
    switch (kind === 'unknown' ? kindByName(file) : kind) {
      case 'log':
        return verifyLogFile(context, file);
      case 'checkpoint':
        return verifyCheckpointFile(context, file);
      case 'flushMap':
        return verifyFlushMap(context, file);
      case 'temporary':
        return passTemporary(context);
      default:
        return verifyDatabaseFile(context, file);
    }
  },
};

/** Old formats state no file type; the name has to tell. */
function kindByName(file: string): FileKind {
  if (/\.(?:log|jtx)$/i.test(file)) return 'log';
  return /\.(?:chk|jcp)$/i.test(file) ? 'checkpoint' : 'database';
}

function passTemporary({ command, say }: ModeContext): ModeOutcome {
  say(`        Database: ${command.positional}`);
  say();
  say('This is a temporary database: its pages carry no checksums, so there is nothing to verify.');
  return { result: { fileType: 'temporary', readBytes: 0, reads: 0, findings: [] } };
}

async function verifyStream({ host, say, event, signal }: ModeContext, typed: string): Promise<ModeOutcome> {
  const { verifyLogStream } = await import('../../maintenance/verify-log.js');
  const { printMissing, printStreamLog } = await import('./dump-log.js');
  const { directory, baseName } = streamSource(host, typed);
  say('Verifying log files...');
  say(`     Base name: ${baseName}`);
  say();
  const { report, error } = verifyLogStream(host.fs, directory, baseName, {
    signal,
    onLog: (log) => {
      event('log', log);
      printStreamLog(say, log);
    },
    onMissing: (gap, names) => printMissing(say, directory, baseName, gap, names),
  });
  if (error !== undefined) return { result: report, error };
  say();
  say('No damaged log files were found.');
  return { result: report };
}

async function verifyLogFile(context: ModeContext, file: string): Promise<ModeOutcome> {
  const { verifyLog } = await import('../../maintenance/verify-log.js');
  const { host, command, say, signal } = context;
  say(`      Log File: ${command.positional}`);
  say();
  const { report, error } = verifyLog(host.fs, file, signal);
  reportFindings(context, report.findings);
  if (error !== undefined) return { result: report, error };
  say(`Integrity check passed for log file: ${command.positional}`);
  return { result: report };
}

async function verifyCheckpointFile(context: ModeContext, file: string): Promise<ModeOutcome> {
  const { verifyCheckpoint } = await import('../../maintenance/verify-log.js');
  const { host, command, say } = context;
  say(` Checkpoint File: ${command.positional}`);
  say();
  const { report, error } = verifyCheckpoint(host.fs, file);
  reportFindings(context, report.findings);
  if (error !== undefined) return { result: report, error };
  say(`Integrity check passed for checkpoint file: ${command.positional}`);
  return { result: report };
}

async function verifyFlushMap({ host, command, say }: ModeContext, file: string): Promise<ModeOutcome> {
  const { dumpFlushMap } = await import('../../maintenance/dump-flush-map.js');
  say(`      Flush Map File: ${command.positional}`);
  say();
  const { report, error } = dumpFlushMap(host.fs, file);
  const result = {
    fileType: 'flushMap',
    readBytes: host.fs.stat(file).size,
    reads: report.pages + 1,
    findings: [],
  };
  if (error !== undefined) return { result, error };
  say(`Integrity check passed for flush map file: ${command.positional}`);
  return { result };
}

interface FindingLine {
  readonly severity: string;
  readonly message: string;
}

function reportFindings({ complain, event }: ModeContext, findings: readonly FindingLine[]): void {
  for (const finding of findings) {
    event('finding', finding);
    complain(`${finding.severity === 'error' ? 'ERROR' : 'WARNING'}: ${finding.message}`);
  }
}

function throttlePages(context: ModeContext): number | undefined {
  const value = switchValue(context.command, 'p');
  if (value === undefined) return undefined;
  return value === null ? THROTTLE_PAGES_DEFAULT : Math.max(1, Number(value));
}

/** `--max-mbps` in bytes; a rate of nothing would never end. */
function bytesPerSecondMax({ command }: ModeContext): number | undefined {
  const rate = Number(command.long.get('max-mbps') ?? 0);
  return rate === 0 ? undefined : rate * MEGABYTE;
}

async function verifyDatabaseFile(context: ModeContext, file: string): Promise<ModeOutcome> {
  const { host, command, say, event } = context;
  const temporary = switchValue(command, 't') ?? `TEMPCHKSUM${host.pid}.EDB`;
  say(`        Database: ${command.positional}`);
  say(`  Temp. Database: ${temporary}`);
  refuseSameFile(host, file, temporary);
  if (hasSwitch(command, 'e')) {
    say();
    say('The database file is skipped.');
    return { result: { fileType: 'database', readBytes: 0, reads: 0, findings: [] } };
  }
  say();
  say();
  say(`File: ${(command.positional ?? '').slice(-FILE_NAME_SHOWN)}`);
  const { verifyDatabase } = await import('../../maintenance/verify.js');
  refuseLocked(host, file, command.long.has('shared'), context.warn);
  const endWatch = watchFile(host, file, context.warn);
  const started = host.now();
  const bar = context.progress('Checksum Status (% complete)');
  try {
    const { report, error, readTimes, isStreaming } = await verifyDatabase(host.fs, file, {
      workers: context.workers,
      signal: context.signal,
      pageSize: forcedPageSize(command),
      throttlePages: throttlePages(context),
      bytesPerSecondMax: bytesPerSecondMax(context),
      findingsMax: context.jsonLimit,
      onProgress: bar.update,
    });
    bar.complete();
    if (isStreaming) {
      say();
      say(
        'This is a streaming file: its headers were verified; the checksums of its data lie in the database.',
      );
    }
    for (const finding of report.findings) {
      event('finding', finding);
      const line = findingLine(finding);
      if (line !== undefined) context.complain(line);
    }
    printCounts(say, report, readTimes, host.now() - started);
    noteCorrectable(context, report.findings, file);
    endWatch();
    return error === undefined ? { result: report } : { result: report, error };
  } catch (error) {
    if (!(error instanceof EseError) || !READ_ERRORS.includes(error.name)) throw error;
    // A file that cannot be read to its end is not known to be damaged.
    say(`Read failed with error ${error.code} (${error.detail}).`);
    return { result: null, error, unsuccessful: true };
  }
}

const READ_ERRORS: readonly string[] = ['JET_errDiskIO', 'JET_errDiskReadVerificationFailure'];

function printCounts(
  say: ModeContext['say'],
  report: ChecksumReport,
  readTimes: DatabaseVerification['readTimes'],
  elapsedMs: number,
): void {
  const { pages } = report;
  const seconds = Math.floor(elapsedMs / 1000);
  const megabytes = Math.floor(report.readBytes / MEGABYTE);
  const milliseconds = Math.round;
  say();
  say();
  say(`${pages.seen} pages seen`);
  say(`${pages.badChecksums} bad checksums`);
  say(`${pages.correctable} correctable checksums`);
  say(`${pages.uninitialized} uninitialized pages`);
  say(`${pages.wrongPgno} wrong page numbers`);
  say(`${hex(BigInt(pages.highestDbtime))} highest dbtime (pgno ${hex(pages.highestDbtimePgno)})`);
  say();
  say(`${report.reads} reads performed`);
  say(`${megabytes} MB read`);
  say(`${seconds} seconds taken`);
  say(`${Math.floor(megabytes / Math.max(1, seconds))} MB/second`);
  say(`${milliseconds(readTimes.totalMs)} milliseconds used`);
  say(`${milliseconds(readTimes.totalMs / Math.max(1, report.reads))} milliseconds per read`);
  say(`${milliseconds(readTimes.slowestMs)} milliseconds for the slowest read`);
  say(`${milliseconds(readTimes.fastestMs)} milliseconds for the fastest read`);
}

/** Correctable pages are no error, but a run that met one must say so. */
function noteCorrectable({ note }: ModeContext, findings: readonly ChecksumFinding[], file: string): void {
  const corrected = findings.find((finding) => finding.code === 'PAGE_ECC_FIXED');
  if (corrected === undefined) return;
  note({
    code: null,
    name: 'CorrectableChecksum',
    message: corrected.message,
    file,
    pgno: corrected.pgno ?? 0,
  });
}

/** What the original prints on stderr for a page. */
function findingLine({ code, severity, pgno, bit, message }: ChecksumFinding): string | undefined {
  switch (code) {
    case 'HDR_PRIMARY_BAD':
      return 'ERROR: page -1 (header) checksum failed';
    case 'HDR_SHADOW_BAD':
      return 'ERROR: page 0 (shadow header) checksum failed';
    case 'PAGE_BAD_CHECKSUM':
    case 'PAGE_WRONG_PGNO':
      return `ERROR: page ${pgno} checksum failed`;
    case 'PAGE_LOST_FLUSH':
      return `ERROR: page ${pgno}: ${message}`;
    case 'PAGE_ECC_FIXED':
      return `WARNING: page ${pgno} checksum verification failed but the corruption ( bit ${bit} ) can be corrected`;
    default:
      return severity === 'error'
        ? `ERROR: ${message}`
        : severity === 'warning'
          ? `WARNING: ${message}`
          : undefined;
  }
}
