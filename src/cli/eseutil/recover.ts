/** `/r`: soft recovery (format specification, chapters 6.1.5, 6.2.11 and 11.4.3). */

import { join, resolve } from 'node:path';
import { DATABASE_STATE } from '../../format/database-header.js';
import { EseError } from '../../format/ese-error.js';
import type { FileSystem } from '../../io/file-system.js';
import { CHECKPOINT_EXTENSIONS, type LogDigits } from '../../io/log-file-names.js';
import {
  type DatabaseReport,
  type RecoveryReport,
  recoveryReport,
  recoveryWarning,
} from '../../maintenance/recovery-report.js';
import type { DatabaseRelocation } from '../../recovery/database-map.js';
import type { RecoveryEvent, RecoveryOptions, RecoveryResult } from '../../recovery/recover.js';
import { decimalHex, hex, lgposText } from '../classic-text.js';
import { baseNamesIn } from '../log-source.js';
import {
  forcedPageSize,
  hasSwitch,
  type Mode,
  type ModeContext,
  type ModeOutcome,
  switchValue,
} from '../mode.js';
import type { ProgressBar } from '../progress-bar.js';
import type { ModeCommand } from '../slash-command.js';
import { meantPath } from '../typed-path.js';
import { MissingArgument, UsageError } from '../usage-error.js';
import { readUntil } from './until-option.js';

const CURRENT_DIRECTORY = '<current directory>';
/** The colon of a drive letter must not part the two names of `/n`. */
const RELOCATION_COLON_FROM = 2;

export const recoverMode: Mode = {
  heading: 'RECOVERY',
  longRunning: true,
  writes: ({ long }) => !long.has('dry-run'),
  run: async (context) => {
    const { command, host } = context;
    if (command.positional === null) throw new MissingArgument('logfile base name');
    const wish = spaceWish(context);
    const until = command.long.get('until');
    const limit = typeof until === 'string' ? readUntil(until) : undefined;
    printParameters(context, command.positional);
    const { planRecovery, recover } = await import('../../recovery/recover.js');
    let failure: RecoveryResult | undefined;
    const isDryRun = command.long.has('dry-run');
    const options = { ...recoveryOptions(context, command.positional), until: limit };
    hintCheckpoint(context, options);
    // Begun when the plan is told: the row of dots belongs to the bar alone.
    let bar: ProgressBar | undefined;
    const beginBar = (): void => {
      if (!isDryRun && !hasSwitch(command, 'v')) bar ??= context.progress('Restore Status (% complete)');
    };
    try {
      if (wish !== undefined) {
        const plan = await tryPlan(() => planRecovery(host.environment, { ...options, onEvent: undefined }));
        if (plan !== undefined) await checkSpaceWish(host.fs, wish, plan);
      }
      const result = isDryRun
        ? await planRecovery(host.environment, options)
        : await recover(host.environment, {
            ...options,
            onProgress: (done, total) => bar?.update(done, total),
            onPlan: (plan) => {
              warnOfCheckpoint(context, plan);
              announce(context, recoveryReport(plan));
              beginBar();
            },
            onFailure: (known) => {
              failure = known;
            },
          });
      beginBar();
      bar?.complete();
      if (isDryRun) warnOfCheckpoint(context, result);
      const outcome = finished(context, result);
      if (wish === undefined || isDryRun) return outcome;
      return await withSpaceGivenBack(context, options, wish, result, outcome);
    } catch (error) {
      bar?.fail();
      const report = failure === undefined ? null : recoveryReport(failure, true);
      if (context.signal.aborted)
        return { result: report, error: new EseError('JET_errInternalError', 'interrupted') };
      if (!(error instanceof EseError)) throw error;
      if (hasSwitch(command, 'v')) context.say(`ErrCond: ${error.code} (${error.name})`);
      printAdvice(context, error, report, options);
      return { result: report, error };
    }
  },
};

/** `/k`, `/kf` and `/p`: what is done with the space of a database once it is clean. */
interface SpaceWish {
  readonly path: string;
  readonly shrinks: boolean;
  readonly reclaims: boolean;
}

function spaceWish({ command, host }: ModeContext): SpaceWish | undefined {
  const given = ['k', 'kf', 'p'].filter((name) => hasSwitch(command, name));
  const [name] = given;
  if (name === undefined) return undefined;
  if (given.length > 1) throw new UsageError('Usage Error: Only one of /k, /kf and /p is allowed.');
  if (hasSwitch(command, 'u')) {
    throw new UsageError(`Usage Error: /${name} needs a whole recovery, and /u stops it before its end.`);
  }
  const path = meantPath(host, switchValue(command, name) ?? '');
  if (host.probe(path) === 'directory') {
    throw new EseError('JET_errInvalidPath', `/${name} needs the file of a database, not a directory`, {
      file: path,
    });
  }
  return { path, shrinks: name !== 'p', reclaims: name !== 'k' };
}

/** What recovery will do; undefined where it will fail, and say so itself. */
async function tryPlan(plan: () => Promise<RecoveryResult>): Promise<RecoveryResult | undefined> {
  try {
    return await plan();
  } catch (error) {
    if (error instanceof EseError) return undefined;
    throw error;
  }
}

/**
 * Whether there will be such a database once recovery is done: what is wrong with its name is to be said before
 * anything is written.
 */
async function checkSpaceWish(
  fs: FileSystem,
  { path }: SpaceWish,
  { databases }: RecoveryResult,
): Promise<void> {
  const known = databases.find((one) => one.path !== undefined && isSamePath(fs, one.path, path));
  if (known !== undefined && known.action !== 'deferred') return;
  const { openDatabaseReader } = await import('../../engine/database-reader.js');
  const reader = openDatabaseReader(fs, path);
  const { state } = reader.header;
  reader.close();
  if (state === DATABASE_STATE.cleanShutdown) return;
  throw new EseError('JET_errDatabaseDirtyShutdown', 'this recovery does not make the database clean', {
    file: path,
  });
}

/** Gives back what a database does not use, once all of them are clean. */
async function withSpaceGivenBack(
  { host, say }: ModeContext,
  { baseName, logPath, systemPath }: RecoveryOptions,
  wish: SpaceWish,
  { databases }: RecoveryResult,
  outcome: ModeOutcome,
): Promise<ModeOutcome> {
  const { reclaimSpace } = await import('../../maintenance/reclaim-space.js');
  const known = databases.find(({ path }) => path !== undefined && isSamePath(host.fs, path, wish.path));
  try {
    const place = { baseName, logPath, systemPath, loggedPath: known?.loggedPath };
    const space = await reclaimSpace(host.environment, { ...place, ...wish });
    say();
    if (wish.reclaims) say(`Leaked pages made available: ${space.reclaimedPages} (${space.path})`);
    if (wish.shrinks)
      say(`Database shrunk from ${space.pagesBefore} to ${space.pagesAfter} pages: ${space.path}`);
    return { ...outcome, result: { ...outcome.result, space } };
  } catch (error) {
    // The recovery itself is done.
    if (error instanceof EseError) return { ...outcome, error };
    throw error;
  }
}

/** Whether two paths name one file, be it there or not. */
function isSamePath(fs: FileSystem, a: string, b: string): boolean {
  if (resolve(a) === resolve(b)) return true;
  return fs.exists(a) && fs.exists(b) && fs.stat(a).identity === fs.stat(b).identity;
}

function relocations(command: ModeCommand): { typed: string; relocation: DatabaseRelocation }[] {
  return command.switches.flatMap(({ name, value }) => {
    if (name !== 'n' || value === null) return [];
    const colon = value.indexOf(':', RELOCATION_COLON_FROM);
    if (colon < 0) return [{ typed: value, relocation: { path: value } }];
    return [
      { typed: value, relocation: { path: value.slice(0, colon), loggedPath: value.slice(colon + 1) } },
    ];
  });
}

function printParameters({ command, say }: ModeContext, baseName: string): void {
  const shown = (value: string | null | undefined) => value ?? CURRENT_DIRECTORY;
  say(`    Logfile base name: ${baseName}`);
  say(`            Log files: ${shown(switchValue(command, 'l'))}`);
  say(`         System files: ${shown(switchValue(command, 's'))}`);
  if (hasSwitch(command, 'd')) say(`   Database Directory: ${shown(switchValue(command, 'd'))}`);
  for (const { relocation } of relocations(command)) {
    const original =
      relocation.loggedPath === undefined ? '' : `, Original Database Location: ${relocation.loggedPath}`;
    say(`   New Database Location: ${relocation.path}${original}`);
  }
  if (hasSwitch(command, 'n*')) say('   Default Database Location: yes');
  say();
  say(command.long.has('dry-run') ? 'Planning soft recovery...' : 'Performing soft recovery...');
}

function recoveryOptions(context: ModeContext, baseName: string): RecoveryOptions {
  const { command, host } = context;
  const directory = (name: string) => meantPath(host, switchValue(command, name) ?? '.');
  const logPath = directory('l');
  if (host.probe(logPath) !== 'directory') {
    throw new EseError('JET_errInvalidPath', 'the directory of the logs does not exist', { file: logPath });
  }
  const databasePath = hasSwitch(command, 'd') ? directory('d') : undefined;
  if (databasePath !== undefined && host.probe(databasePath) !== 'directory') {
    throw new EseError('JET_errInvalidPath', 'the directory of the databases does not exist', {
      file: databasePath,
    });
  }
  const generation = switchValue(command, 'u');
  return {
    baseName,
    logPath,
    systemPath: directory('s'),
    databasePath,
    relocations: relocations(command).map(({ relocation }) => ({
      ...relocation,
      path: meantPath(host, relocation.path),
    })),
    defaultLocations: hasSwitch(command, 'n*'),
    allowLoggedPaths: command.long.has('allow-logged-paths'),
    ignoreMissing: hasSwitch(command, 'i'),
    deleteLogs: hasSwitch(command, 't'),
    acceptLoss: hasSwitch(command, 'a'),
    stopBeforeUndo:
      generation === undefined
        ? undefined
        : { generation: generation === null ? undefined : Number(generation) },
    mayBegin: hasSwitch(command, 'e'),
    logDigits: logDigits(command),
    pageSize: forcedPageSize(command),
    workers: context.workers,
    signal: context.signal,
    onEvent: hasSwitch(command, 'v') ? (event) => context.say(eventLine(event)) : undefined,
  };
}

/** `/c5`, `/c8` and `--log-digits`: the names of logs that recovery makes. */
function logDigits(command: ModeCommand): LogDigits | undefined {
  const long = command.long.get('log-digits');
  const wishes: LogDigits[] = [
    ...(hasSwitch(command, 'c5') || long === '5' ? [5 as const] : []),
    ...(hasSwitch(command, 'c8') || long === '8' ? [8 as const] : []),
  ];
  if (wishes.length > 1) {
    throw new UsageError("Usage Error: Invalid option '/c8'. Log names have 5 digits or 8, not both.");
  }
  return wishes[0];
}

/** The checkpoint is sought in the system directory only, as the original does; people expect it beside the logs. */
function hintCheckpoint(context: ModeContext, { baseName, logPath, systemPath }: RecoveryOptions): void {
  const { fs } = context.host;
  const holds = (directory: string) =>
    CHECKPOINT_EXTENSIONS.some((extension) => fs.exists(join(directory, `${baseName}${extension}`)));
  if (!fs.exists(systemPath) || holds(systemPath) || !holds(logPath)) return;
  context.complain(
    `There is no checkpoint in the system directory, but one lies beside the logs: recovery begins with the oldest log. To use it add /s ${logPath}`,
  );
}

function warnOfCheckpoint({ warn }: ModeContext, result: RecoveryResult): void {
  const { checkpointPath } = result;
  const message = whyNotFromCheckpoint(result);
  if (message === undefined || checkpointPath === undefined) return;
  warn({ code: null, name: 'CheckpointIgnored', message, file: checkpointPath });
}

function whyNotFromCheckpoint({
  isCheckpointPassedOver,
  startReason,
  started,
}: RecoveryResult): string | undefined {
  if (isCheckpointPassedOver) {
    return 'the checkpoint is damaged or belongs to other logs: recovery begins with the oldest log';
  }
  switch (startReason) {
    case 'required':
      return `a database requires logs in front of the checkpoint: recovery begins with generation ${decimalHex(started?.generation ?? 0)}`;
    case 'checkpointBeyond':
      return 'the checkpoint lies behind the last log: recovery begins with the oldest log';
    default:
      return undefined;
  }
}

function eventLine(event: RecoveryEvent): string {
  switch (event.kind) {
    case 'openCheckpoint':
      return `OpenCheckp: ${event.path}`;
    case 'openLog':
      return `OpenLog: ${event.path} (generation ${decimalHex(event.generation)})`;
    case 'missingLog':
      return `MissingLog: generation ${decimalHex(event.generation)}`;
    case 'beginUndo':
      return 'BeginUndo';
  }
}

/** What recovery is going to do, and what `/i` and `/a` give up, before the first write. */
function announce(context: ModeContext, plan: RecoveryReport): void {
  const { command, say } = context;
  printWork(context, plan);
  if (hasSwitch(command, 'i')) {
    for (const database of plan.databases.filter(isIgnored)) {
      say(`Database to be left out: ${database.path} (${database.reason ?? 'mismatch'})`);
    }
  }
  if (plan.lost !== null) say(`Log generations to be lost: ${hex(plan.lost.low)}-${hex(plan.lost.high)}`);
}

function printWork({ say }: ModeContext, { checkpoint, started, range, databases }: RecoveryReport): void {
  say(`Checkpoint: ${checkpoint === null ? 'none' : lgposText(checkpoint)}`);
  if (started !== null) say(`Redo starts at: ${lgposText(started)}`);
  say(`Generations to be replayed: ${hex(range.low)}-${hex(range.high)}`);
  for (const { loggedPath, path, action, stateBefore } of databases) {
    say(`Database: ${loggedPath}`);
    say(`      at: ${path} (${action}${stateBefore === null ? '' : `, now ${stateBefore}`})`);
  }
}

function isIgnored({ action }: DatabaseReport): boolean {
  return action === 'ignored';
}

function finished(context: ModeContext, result: RecoveryResult): ModeOutcome {
  const { say, note } = context;
  const report = recoveryReport(result);
  say();
  if (report.planned) printPlan(context, report);
  else if (report.hasBegun) say('There were no logs: a new log stream was begun.');
  else if (report.nothingToDo) say('Nothing to do: the log stream ended cleanly.');
  for (const database of report.databases.filter(isIgnored)) {
    const message = `Database ignored: ${database.path} (${database.reason ?? 'mismatch'})`;
    say(message);
    note({ code: null, name: 'DatabaseIgnored', message, file: database.path });
  }
  for (const { action, loggedPath } of report.databases) {
    if (action === 'notInMap') say(`Database left out, since no /n names it: ${loggedPath}`);
  }
  if (report.stoppedAt !== null && !report.planned) say(`Stopped at: ${lgposText(report.stoppedAt)}`);
  if (report.logsDeleted !== null) {
    say(`Log generations deleted: ${hex(report.logsDeleted.low)}-${hex(report.logsDeleted.high)}`);
  }
  if (report.logsSaved !== null) say(`The logs from there on are kept in: ${report.logsSaved}`);
  if (result.stopError !== undefined) return { result: report, error: new EseError(result.stopError) };
  const warning = recoveryWarning(result);
  if (warning === undefined || report.planned) return { result: report };
  note(warning);
  return { result: report, warning, lost: true };
}

function printPlan(context: ModeContext, plan: RecoveryReport): void {
  const { say } = context;
  if (plan.hasBegun) {
    say('There are no logs: a new log stream would be begun.');
    return;
  }
  if (plan.nothingToDo) {
    say('Nothing would be done: the log stream ended cleanly.');
    return;
  }
  printWork(context, plan);
  if (plan.stoppedAt !== null) say(`Redo would stop at: ${lgposText(plan.stoppedAt)}`);
  if (plan.lost !== null) say(`Log generations to be lost: ${hex(plan.lost.low)}-${hex(plan.lost.high)}`);
  say('Nothing was changed.');
}

/** What can be done about an error, in the words of the recipe. */
function printAdvice(
  { say, host }: ModeContext,
  error: EseError,
  report: RecoveryReport | null,
  { logPath, baseName }: RecoveryOptions,
): void {
  const streams = baseNamesIn(host, logPath);
  const hasLogs = streams.some((one) => one.toLowerCase() === baseName.toLowerCase());
  const lines =
    error.name === 'JET_errMissingLogFile' && !hasLogs
      ? [
          streams.length === 0
            ? `There are no logs in ${logPath}: name their directory with /l.`
            : `The logs in ${logPath} have the base name ${streams.join(' or ')}.`,
        ]
      : adviceFor(error, report);
  if (lines.length > 0) say();
  for (const line of lines) say(line);
}

/** Chapter 6.4, R8. */
const REPAIRED_SINCE = 'database was repaired after these logs were written; they cannot be applied';

function adviceFor(error: EseError, report: RecoveryReport | null): string[] {
  switch (error.name) {
    case 'JET_errCommittedLogFilesMissing':
    case 'JET_errCommittedLogFileCorrupt':
      return [
        'The databases can be made consistent without these logs: /a accepts the loss of what they hold.',
      ];
    case 'JET_errMissingLogFile':
      return ['If the missing log cannot be found, /a may allow recovery with the loss of what it holds.'];
    case 'JET_errAttachedDatabaseMismatch':
      return [
        ...(report?.databases ?? [])
          .filter(({ reason }) => reason !== null)
          .flatMap(({ loggedPath, path, reason, repairedSince }) => [
            `Database ${loggedPath}: ${reason}, sought as ${path}`,
            ...(repairedSince === true ? [REPAIRED_SINCE] : []),
          ]),
        'If the databases lie in another directory add /d <directory>; if one was moved, /n <new>:<old>.',
        'To recover the other databases without these add /i.',
      ];
    case 'JET_errSoftRecoveryOnBackupDatabase':
      return ['The database comes from a backup: use /cc with the directory of its restore.env.'];
    case 'JET_errMissingPreviousLogFile':
      return [
        'Bring the logs up to the one that the checkpoint names. If they are lost, /a goes on without what they held.',
      ];
    case 'JET_errRequiredLogFilesMissing':
    case 'JET_errLogFileCorrupt':
      return [
        'Restore the database from a backup; if there is none, /p repairs it with the loss of what is damaged.',
      ];
    default:
      return [];
  }
}
