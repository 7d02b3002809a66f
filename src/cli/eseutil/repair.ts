/** `/p`: repair of a database (format specification, chapters 6.1.5, 6.2.9 and 11.4.2). */

import { dirname } from 'node:path';
import { DATABASE_STATE, type DatabaseHeader } from '../../format/database-header.js';
import { EseError } from '../../format/ese-error.js';
import { JET_ERRORS } from '../../format/jet-errors.js';
import { createJsonLines } from '../../io/json-lines.js';
import { parseLogFileName } from '../../io/log-file-names.js';
import type { IntegrityResult } from '../../maintenance/integrity.js';
import type { CatalogOrigin, RepairPhase, RepairResult } from '../../maintenance/repair/repair-report.js';
import { signatureReport } from '../../maintenance/report-values.js';
import { rangeText, signatureText } from '../classic-text.js';
import type { CliHost } from '../host.js';
import {
  forcedPageSize,
  hasSwitch,
  type Mode,
  type ModeContext,
  type ModeOutcome,
  switchValue,
} from '../mode.js';
import { NO_PROGRESS, type ProgressBar } from '../progress-bar.js';
import { askOkCancel } from '../question.js';
import { meantPath, meantTarget, refuseSameFile, requireKind, sourceFile } from '../typed-path.js';
import {
  checkReportPlace,
  DIRTY_LINES,
  lookAtHeader,
  noteStreamingFile,
  reportPath,
  verdictLines,
  writeReport,
  writeStatistics,
} from './check-output.js';

const WARNING: readonly string[] = [
  'WARNING: Repair is for damaged databases only. It does not apply the changes',
  'that are still in log files, and information may be lost.',
  '',
];

const NOTE: readonly string[] = [
  'Note:',
  '  It is recommended that you immediately perform a full backup',
  '  of this database. If you restore a backup made before the',
  '  repair, the database will be rolled back to the state',
  '  it was in at the time of that backup.',
];

const QUESTION = 'Do you wish to proceed? (OK/Cancel) ';
const REPAIRED = 'JET_wrnDatabaseRepaired';
/** Ends of the names of what lies beside the report. */
const UNDELETED = '.undeleted.jsonl';
const DUPLICATES = '.duplicates.jsonl';
/** The format of the database stays; other formats are not written. */
const FORMAT_KEPT = 'usepersistedformat';

export const repairMode: Mode = {
  heading: 'REPAIR',
  longRunning: true,
  writes: () => true,
  run: async (context) => {
    const { host, command, say } = context;
    const file = sourceFile(host, command.positional, 'source file');
    const undo = command.long.get('undo');
    if (undo != null) return putBack(context, file, meantPath(host, undo));
    const temporary = switchValue(command, 't') ?? `TEMPREPAIR${host.pid}.EDB`;
    say(`        Database: ${command.positional}`);
    say(`  Temp. Database: ${temporary}`);
    say();
    refuseSameFile(host, file, temporary);
    noteStreamingFile(context);
    refuseOtherFormat(context);
    checkReportPlace(context);
    if (forcedPageSize(command) === undefined && !command.long.has('force-header')) {
      requireKind(host, file, 'database');
    }
    const header = lookAtHeader(host, file)?.header;
    if (!command.long.has('yes') && !hasSwitch(command, 'o') && !hasSwitch(command, 'g')) {
      for (const line of WARNING) say(line);
      if (header !== undefined) sayDirty(context, file, header);
      const refusal = askToGoOn(context);
      if (refusal !== undefined) return refusal;
    } else if (header !== undefined) {
      sayDirty(context, file, header);
    }
    say('Checking database integrity.');
    return run(context, file, meantTarget(host, temporary));
  },
};

function refuseOtherFormat({ command }: ModeContext): void {
  const version = switchValue(command, 'efv');
  if (version == null || version.toLowerCase() === FORMAT_KEPT) return;
  throw new EseError(
    'JET_errFeatureNotAvailable',
    'the database keeps its format; other engine format versions are not available in this version',
  );
}

/** What is lost by repairing a database that recovery could bring up to date (chapter 6.4, R6). */
function sayDirty({ host, say, warn }: ModeContext, file: string, header: DatabaseHeader): void {
  if (header.state === DATABASE_STATE.cleanShutdown) return;
  say();
  for (const line of DIRTY_LINES) say(line);
  const { genMinRequired: low, genMaxRequired: high } = header;
  if (low > 0) say(`Log files ${rangeText({ low, high })} are required for that; repair does without them.`);
  say();
  const baseName = low > 0 ? baseNameOfLogs(host, file, low, high) : undefined;
  if (baseName === undefined) return;
  const folder = dirname(file);
  warn({
    code: null,
    name: 'DirtyDatabase',
    message: `the logs that recovery needs lie beside the database: run 'eseutil /r ${baseName} /l ${folder} /s ${folder} /d ${folder}' first, or their changes are lost`,
    file,
  });
}

/** Base name of a stream beside the database that has the first of the required logs. */
function baseNameOfLogs(host: CliHost, file: string, low: number, high: number): string | undefined {
  const names = host.fs.readdir(dirname(file));
  for (const name of names) {
    const baseName = name.slice(0, 3);
    const log = parseLogFileName(name, baseName);
    if (log?.role === 'archived' && log.generation === low) return baseName;
    if (log?.role === 'current' && low === high) return baseName;
  }
  return undefined;
}

/** Asks whether to repair. Returns how the run ends if not. */
function askToGoOn(context: ModeContext): ModeOutcome | undefined {
  const answer = askOkCancel(context, QUESTION);
  if (answer === true) return undefined;
  const why =
    answer === false ? 'declined' : 'nobody can be asked whether to repair: /o or --yes answers the question';
  return {
    result: null,
    error: new EseError('JET_errInvalidParameter', why),
    declined: answer === false ? true : 'noTerminal',
  };
}

const CATALOG_LINES: Readonly<Record<CatalogOrigin, string>> = {
  primary: 'Rebuilding MSysObjectsShadow from MSysObjects.',
  shadow: 'Rebuilding MSysObjects from MSysObjectsShadow.',
  union: 'Rebuilding MSysObjects.',
};

/** The bars of the phases, and the lines above them. */
class Phases {
  readonly #context: ModeContext;
  #bar: ProgressBar = NO_PROGRESS;

  constructor(context: ModeContext) {
    this.#context = context;
  }

  begin(phase: RepairPhase): void {
    const { say, progress } = this.#context;
    this.#bar.complete();
    if (phase === 'scan') say('Scanning the database.');
    if (phase === 'repair') say('Repairing damaged tables.');
    if (phase === 'verify') say('Checking the database.');
    if (phase === 'undo') say('Keeping what is changed.');
    say();
    this.#bar = progress('Scanning Status (% complete)');
  }

  /** A catalog is made anew, before the tables are. */
  catalog(from: CatalogOrigin): void {
    const { say } = this.#context;
    this.#bar.complete();
    this.#bar = NO_PROGRESS;
    say(CATALOG_LINES[from]);
    say();
  }

  readonly update = (done: number, total: number): void => this.#bar.update(done, total);

  end(isDone: boolean): void {
    if (isDone) this.#bar.complete();
    else this.#bar.fail();
    this.#bar = NO_PROGRESS;
  }
}

async function run(context: ModeContext, file: string, temp: string): Promise<ModeOutcome> {
  const { host, command } = context;
  const { repair } = await import('../../maintenance/repair.js');
  const { long } = command;
  const target = (name: string): string | undefined => {
    const typed = long.get(name);
    return typed == null ? undefined : meantTarget(host, typed);
  };
  const output = target('out');
  const isCheckOnly = hasSwitch(command, 'd');
  const phases = new Phases(context);
  const started = host.now();
  let check: IntegrityResult | undefined;
  try {
    const result = await repair(host.environment, file, {
      temp,
      inPlace: output === undefined,
      output,
      undoFile: long.has('no-undo') ? undefined : (target('undo-file') ?? undoPath(host, file)),
      keepLost: target('keep-lost'),
      undeletedFile: long.has('deep') ? reportPath(context, UNDELETED) : undefined,
      forceHeader: long.has('force-header'),
      longValues: choice(long.get('lv'), ['null', 'zero', 'truncate', 'drop-record']),
      unique: choice(long.get('unique'), ['demote', 'drop-older', 'fail']),
      keepOrphans: long.has('keep-orphans'),
      schemaFrom: long.has('schema-from') ? meantPath(host, long.get('schema-from') ?? '') : undefined,
      strict: long.has('strict'),
      skipSpaceCheck: long.has('no-space-check'),
      findingsMax: context.jsonLimit,
      pageSize: forcedPageSize(command),
      workers: context.workers,
      signal: context.signal,
      onPhase: (phase) => phases.begin(phase),
      onCatalog: (from) => phases.catalog(from),
      onLeftover: (path) =>
        context.warn({
          code: null,
          name: 'LeftoverRemoved',
          message: `${path} was removed: a repair that did not come to its end had left it`,
        }),
      checksOnly: isCheckOnly,
      onProgress: phases.update,
      confirm: (found) => {
        check = found;
        if (!hasSwitch(command, 'g')) return true;
        phases.end(found.error === undefined);
        sayVerdict(context, found);
        if (long.has('yes')) return true;
        for (const line of WARNING) context.say(line);
        return askOkCancel(context, QUESTION) === true;
      },
    });
    const { action } = result.report;
    phases.end(action !== 'declined' || result.check.error === undefined);
    if (action === 'declined' && isCheckOnly) sayVerdict(context, result.check);
    return await conclude(context, result, file, host.now() - started);
  } catch (error) {
    phases.end(false);
    if (context.signal.aborted) {
      context.say('The repair was interrupted: the database is as it was.');
      return { result: null, error: new EseError('JET_errInternalError', 'interrupted') };
    }
    if (error instanceof EseError && check !== undefined)
      await writeReport(context, check, 'Repair', [], host.now() - started);
    throw error;
  }
}

function sayVerdict({ say }: ModeContext, { report }: IntegrityResult): void {
  if (report.corrupt) say('Integrity check completed.  Database is CORRUPTED!');
  else
    say(
      report.dirty
        ? 'Integrity check successful, but the database is not up-to-date.'
        : 'Integrity check successful.',
    );
  say();
}

function choice<T extends string>(value: string | null | undefined, choices: readonly T[]): T | undefined {
  return choices.find((one) => one === value);
}

/** The undo file that nobody named: beside the database, under the first name that is free (chapter 6.4, R11). */
function undoPath(host: CliHost, file: string): string {
  const path = `${file}.repair-undo`;
  for (let number = 0; ; number++) {
    const candidate = number === 0 ? path : `${path}.${number}`;
    if (host.probe(candidate) === null) return candidate;
  }
}

async function conclude(
  context: ModeContext,
  result: RepairResult,
  file: string,
  elapsedMs: number,
): Promise<ModeOutcome> {
  const { command, say } = context;
  const { report, check, lost } = result;
  for (const finding of report.findings) context.event('finding', finding);
  const path = await writeReport(context, check, 'Repair', endingOf(context, result), elapsedMs);
  if (hasSwitch(command, 'n')) writeStatistics(context, check, '.REPAIR.TXT');
  const duplicates = writeDuplicates(context, result);
  const { pages, correctedPages, tables, findings, findingsTruncated, ...rest } = report;
  const json = {
    ...rest,
    report: path,
    ...(duplicates === undefined ? {} : { duplicates }),
    pages,
    correctedPages,
    tables,
    findings,
    ...(findingsTruncated === undefined ? {} : { findingsTruncated }),
  };
  if (report.action === 'declined') {
    // It ends as the check alone.
    return { result: json, ...(check.error === undefined ? {} : { error: check.error.at({ file }) }) };
  }
  sayOutcome(context, result);
  if (command.long.has('deep')) sayUndeleted(context, result);
  if (duplicates !== undefined) say(`Records that share keys of unique indexes are listed in ${duplicates}.`);
  if (report.action === 'none' && command.long.has('out')) {
    say('Nothing had to be repaired: no other database was made.');
    say();
  }
  for (const line of NOTE) say(line);
  if (report.action === 'none') return { result: json };
  const warning = { code: JET_ERRORS[REPAIRED].code, name: REPAIRED, message: JET_ERRORS[REPAIRED].text };
  context.note(warning);
  return { result: json, warning, lost };
}

function sayUndeleted(context: ModeContext, { report }: RepairResult): void {
  const counts = report.tables.flatMap(({ undeleted }) => undeleted ?? []);
  const records = counts.reduce((sum, count) => sum + count, 0);
  context.say(
    counts.length === 0
      ? 'Free pages were not looked through, since no table had to be made anew.'
      : `${records} deleted records were found on free pages; they are listed in ${reportPath(context, UNDELETED)}.`,
  );
}

/** Lists the records that share keys of unique indexes (chapter 7.2.9). Returns where. */
function writeDuplicates(context: ModeContext, { duplicates, report }: RepairResult): string | undefined {
  if (duplicates.length === 0) return undefined;
  const path = reportPath(context, DUPLICATES);
  const lines = createJsonLines(context.host.fs, path, report.output);
  for (const record of duplicates) lines.write(record);
  lines.close();
  return path;
}

function sayOutcome({ say, complain }: ModeContext, { report }: RepairResult): void {
  if (report.action === 'none') {
    say('Integrity check successful.');
    say();
    return;
  }
  for (const { name, records, longValues, indexes } of report.tables) {
    const parts = [
      [records.lost.known + records.lost.estimated, 'records lost'],
      [records.dropped, 'records dropped'],
      [records.unverified, 'records unverified'],
      [longValues.nulled, 'long values lost'],
    ] as const;
    const said = parts.filter(([count]) => count > 0).map(([count, what]) => `${count} ${what}`);
    if (said.length > 0) say(`Table "${name}": ${records.kept} records kept, ${said.join(', ')}.`);
    for (const index of indexes) {
      if (index.action === 'marked') {
        complain(`WARNING: index "${index.name}" of table "${name}" must be rebuilt on Windows`);
      } else if (index.action === 'deleted') {
        say(`Index "${index.name}" of table "${name}" was deleted.`);
      }
    }
  }
  say('Repair completed. Database corruption has been repaired!');
  if (report.undoFile !== null) say(`What was changed is kept in ${report.undoFile} (--undo).`);
  if (report.keptLost !== null) say(`What was lost is kept in ${report.keptLost}.`);
  say();
}

/** The lines of the report behind those of the check (chapter 12.6.3). */
function endingOf({ command }: ModeContext, { report, check, signatures }: RepairResult): string[] {
  if (report.action === 'none') return ['', 'Integrity check successful.'];
  if (report.action === 'declined') return verdictLines(check);
  const lastPgno = Math.max(0, Math.floor(check.fileBytes / report.pageSize) - 2);
  const changed = signatures.map((signature) => [
    `changing signature of ${command.positional ?? ''}`,
    'new DB signature is:',
    `Create time:${signatureText(signatureReport(signature))}`,
  ]);
  const [first = [], ...rest] = changed;
  const scanning = `scanning the database from page 1 to page ${lastPgno}`;
  const actions = report.findings.flatMap(({ code, object, pgno, action }) =>
    action === undefined
      ? []
      : [`${[object, pgno === undefined ? code : `page ${pgno}`].filter(Boolean).join(', ')}: ${action}`],
  );
  return [
    ...first,
    scanning,
    ...actions,
    ...rest.flat(),
    '',
    'Repair completed. Database corruption has been repaired!',
  ];
}

/** `--undo`: the database as it was before a repair. */
async function putBack(context: ModeContext, file: string, undo: string): Promise<ModeOutcome> {
  const { undoRepair } = await import('../../maintenance/repair/undo-repair.js');
  const { host, command, say } = context;
  say(`        Database: ${command.positional}`);
  say(`       Undo File: ${command.long.get('undo')}`);
  say();
  const bar = context.progress('Restoring Status (% complete)');
  const { pagesRestored } = await undoRepair(host.environment, file, undo, {
    signal: context.signal,
    onProgress: (done, total) => bar.update(done, total),
  });
  bar.complete();
  say(
    pagesRestored === 0
      ? 'The database is already as it was before the repair.'
      : `The database is as it was before the repair: ${pagesRestored} pages were put back.`,
  );
  say();
  return { result: { action: 'undone', pagesRestored, undoFile: undo } };
}
