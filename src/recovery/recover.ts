import { join } from 'node:path';
import { createCheckpointWriter, lowestLgpos } from '../engine/checkpoint-writer.js';
import { continueLogStream, type LogTail, type LogWriter } from '../engine/log-writer.js';
import { ATTACH_INFO_FLAG, type NewAttachInfo } from '../format/attach-info.js';
import { compareLgpos, EseError, type Lgpos } from '../format/ese-error.js';
import type { JetErrorName } from '../format/jet-errors.js';
import { LGPOS_NONE } from '../format/lgpos.js';
import { type LogHeader, logFileBytes, logPageSize } from '../format/log-header.js';
import { LRTYP } from '../format/log-record-type.js';
import { type Logtime, logtimeOf } from '../format/logtime.js';
import type { Signature } from '../format/signature.js';
import type { Environment } from '../io/environment.js';
import type { FileSystem, LockRole } from '../io/file-system.js';
import { branchStream } from './branch-stream.js';
import { findDatabase } from './database-header-file.js';
import { createDatabaseMap, type DatabaseMap, type DatabaseRelocation } from './database-map.js';
import { type LogScan, openLog } from './log-reader.js';
import { findLogStream, type GenerationRange, type LogFileEntry, logtimesEqual } from './log-stream.js';
import { type DatabaseOutcome, Redo, type RedoLimit } from './redo.js';
import type { AttachedDatabase } from './redo-database.js';
import {
  chooseStart,
  endedAtCheckpoint,
  openStream,
  type RecoveryStream,
  type StartPoint,
  type StreamStep,
  startAtLowest,
  stepsFrom,
} from './start-point.js';
import { createRecoveryLog, undoTransactions } from './undo.js';

/**
 * Soft recovery: brings the databases of a log stream to the state of the last committed transaction (format
 * specification, chapter 5.3). Everything that can go wrong without a look at the pages is found in a
 * rehearsal, before the first byte is written.
 */
export interface RecoveryOptions {
  /** Base name of the stream: three characters. */
  readonly baseName: string;
  /** `/l`: directory of the logs. */
  readonly logPath: string;
  /** `/s`: directory of the checkpoint. */
  readonly systemPath: string;
  /** `/d`: directory in which every database lies, under its file name. */
  readonly databasePath?: string | undefined;
  /** `/n`: databases that were moved. */
  readonly relocations?: readonly DatabaseRelocation[] | undefined;
  /** `/n*`: databases that no relocation names lie where the log says. */
  readonly defaultLocations?: boolean | undefined;
  /** Follow paths from the log out of the directories above. */
  readonly allowLoggedPaths?: boolean | undefined;
  /** `/i`: go on without databases that are missing or do not belong to the stream. */
  readonly ignoreMissing?: boolean | undefined;
  /** `/t`: delete the archived logs after success. */
  readonly deleteLogs?: boolean | undefined;
  /** `/u`: stop before undo, after this generation if one is given. */
  readonly stopBeforeUndo?: { readonly generation?: number | undefined } | undefined;
  /**
   * Recovery up to a point in time: redo stops in front of the first record at this position or behind, or of the
   * first segment that was begun later. What lay behind is kept in a directory of its own, and the stream goes on from
   * there.
   */
  readonly until?: RedoLimit | undefined;
  /** `/a`: accept the loss of logs that no database requires. */
  readonly acceptLoss?: boolean | undefined;
  /** Page size in bytes that the logs must have. */
  readonly pageSize?: number | undefined;
  /** Page cache of each database in bytes. */
  readonly cacheBytes?: number | undefined;
  /** Bytes of log that were redone, of all. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
  readonly onEvent?: ((event: RecoveryEvent) => void) | undefined;
  /** Is given the plan before anything is written. */
  readonly onPlan?: ((plan: RecoveryResult) => void) | undefined;
  /** Is given what is known when recovery fails, before the error is thrown. */
  readonly onFailure?: ((result: RecoveryResult) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly role?: LockRole | undefined;
}

/** What verbose recovery tells while it goes on. */
export type RecoveryEvent =
  | { readonly kind: 'openCheckpoint'; readonly path: string }
  | { readonly kind: 'openLog'; readonly path: string; readonly generation: number }
  | { readonly kind: 'missingLog'; readonly generation: number }
  | { readonly kind: 'beginUndo' };

/** What recovery will do, or has done. */
export interface RecoveryResult {
  readonly baseName: string;
  readonly logPath: string;
  readonly systemPath: string;
  readonly databaseDirectory: string | undefined;
  /** Nothing was done: this is the plan. */
  readonly planned: boolean;
  /** The stream ended cleanly at its checkpoint. */
  readonly nothingToDo: boolean;
  readonly signLog: Signature | undefined;
  readonly checkpointPath: string | undefined;
  readonly checkpoint: Lgpos | undefined;
  readonly started: Lgpos | undefined;
  readonly startReason: StartPoint['reason'] | undefined;
  /** Position behind the last record that was redone. */
  readonly ended: Lgpos | undefined;
  /** Generations that were redone. */
  readonly range: GenerationRange;
  readonly stoppedBeforeUndo: boolean;
  /** The error with which a stop before undo ends, as it was asked for. */
  readonly stopError: JetErrorName | undefined;
  readonly records: number;
  readonly pagesChanged: number;
  readonly transactions: { readonly committed: number; readonly undone: number };
  /** Changes of nodes that were taken back. */
  readonly operationsUndone: number;
  readonly databases: readonly DatabaseOutcome[];
  readonly logsDeleted: GenerationRange | undefined;
  /** With `until`: where redo stopped, and the directory that holds the logs from there on. */
  readonly stoppedAt: Lgpos | undefined;
  readonly logsSaved: string | undefined;
  /** Committed generations that were given up. */
  readonly lost: GenerationRange | undefined;
  /** The warning that tells of them. */
  readonly warning: JetErrorName | undefined;
  readonly logs: readonly RecoveredLog[];
}

/** One log of the stream. */
export interface RecoveredLog {
  readonly path: string;
  readonly name: string;
  readonly generation: number;
  readonly isCurrent: boolean;
  readonly status: 'ok' | 'missing' | 'damaged';
  readonly error: EseError | undefined;
}

/**
 * Says what {@link recover} would do, and changes nothing. Throws what it would throw before the first write.
 */
export async function planRecovery(
  environment: Environment,
  options: RecoveryOptions,
): Promise<RecoveryResult> {
  const recovery = openRecovery(environment, options);
  if (recovery === undefined || recovery.isDone)
    return result(environment, options, recovery, { planned: true });
  await rehearse(recovery);
  return result(environment, options, recovery, { planned: true });
}

/**
 * Recovers the databases of a log stream.
 *
 * Throws `JET_errMissingLogFile`, `JET_errRequiredLogFilesMissing`, `JET_errAttachedDatabaseMismatch` and the
 * other errors of the failure table (chapter 5.3.8). Where the error is found without a look at the pages,
 * nothing was written; otherwise databases are left dirty, and the same call may be repeated.
 */
export async function recover(environment: Environment, options: RecoveryOptions): Promise<RecoveryResult> {
  const { fs } = environment;
  if (!fs.exists(options.systemPath)) {
    throw new EseError('JET_errInvalidSystemPath', undefined, { file: options.systemPath });
  }
  const lock = fs.lock(join(options.systemPath, options.baseName), { role: options.role ?? 'eseutil' });
  let recovery: Recovery | undefined;
  try {
    recovery = openRecovery(environment, options);
    if (recovery.isDone) return result(environment, options, recovery, { planned: false });
    await rehearse(recovery);
    options.onPlan?.(result(environment, options, recovery, { planned: true }));
    await redoAll(recovery, false);
    if (options.stopBeforeUndo !== undefined) stopBeforeUndo(recovery);
    else finish(recovery);
    return result(environment, options, recovery, { planned: false });
  } catch (error) {
    recovery?.redo?.abandon();
    options.onFailure?.(result(environment, options, recovery, { planned: false }));
    throw error;
  } finally {
    lock.release();
  }
}

/** The state of one recovery. */
interface Recovery {
  readonly environment: Environment;
  readonly options: RecoveryOptions;
  readonly stream: RecoveryStream;
  readonly map: DatabaseMap;
  /** The stream ended cleanly at its checkpoint. */
  readonly isDone: boolean;
  readonly start: StartPoint | undefined;
  steps: readonly StreamStep[];
  /** First generation that is given up, with the reason. */
  cut: { readonly generation: number; readonly warning: JetErrorName } | undefined;
  lost: GenerationRange | undefined;
  warning: JetErrorName | undefined;
  redo: Redo | undefined;
  readonly logs: RecoveredLog[];
  undone: number;
  operationsUndone: number;
  ended: Lgpos | undefined;
  logsDeleted: GenerationRange | undefined;
  logsSaved: string | undefined;
  stopError: JetErrorName | undefined;
}

function openRecovery(environment: Environment, options: RecoveryOptions): Recovery {
  const { fs } = environment;
  const { baseName, logPath, systemPath, acceptLoss = false } = options;
  const files = findStreamFiles(fs, logPath, baseName);
  const stream = openStream(fs, files, systemPath);
  const found = logPageSize(stream.header);
  if (options.pageSize !== undefined && options.pageSize !== found) {
    throw new EseError('JET_errPageSizeMismatch', `the logs are for pages of ${found} bytes`, {
      file: logPath,
    });
  }
  const map = createDatabaseMap(
    {
      databasePath: options.databasePath,
      relocations: options.relocations,
      defaultLocations: options.defaultLocations,
      trustedDirectories: options.allowLoggedPaths === true ? undefined : [logPath, systemPath],
    },
    (path) => signatureOf(fs, path),
  );
  options.onEvent?.({ kind: 'openCheckpoint', path: stream.checkpoint.path });
  const start =
    options.until === undefined ? chooseStart(fs, stream, map) : startAtLowest(fs, stream, 'lowestLog');
  const isDone = options.until === undefined && start.reason !== 'rebuild' && endedAtCheckpoint(fs, stream);
  if (!isDone && stopsBefore(options, start)) {
    throw new EseError('JET_errRecoveredWithoutUndo', 'the checkpoint lies behind the generation to stop at');
  }
  return {
    environment,
    options,
    stream,
    map,
    isDone,
    start,
    steps:
      start === undefined ? [] : limitSteps(stepsFrom(stream, start.lgpos.generation, acceptLoss), options),
    cut: undefined,
    lost: undefined,
    warning: undefined,
    redo: undefined,
    logs: [],
    undone: 0,
    operationsUndone: 0,
    ended: undefined,
    logsDeleted: undefined,
    logsSaved: undefined,
    stopError: undefined,
  };
}

/** A stream that is not there is a missing log, and so is a directory that is not there. */
function findStreamFiles(fs: FileSystem, logPath: string, baseName: string) {
  try {
    return findLogStream(fs, logPath, baseName);
  } catch (error) {
    if (error instanceof EseError && error.name === 'JET_errFileNotFound') {
      throw new EseError('JET_errMissingLogFile', `there are no logs of the base name ${baseName}`, {
        file: logPath,
      });
    }
    throw error;
  }
}

function signatureOf(fs: FileSystem, path: string): Signature | undefined {
  const found = findDatabase(fs, path);
  return found.kind === 'found' ? found.header.signDb : undefined;
}

function stopsBefore({ stopBeforeUndo }: RecoveryOptions, { lgpos }: StartPoint): boolean {
  const generation = stopBeforeUndo?.generation;
  return generation !== undefined && generation < lgpos.generation;
}

function limitSteps(
  steps: readonly StreamStep[],
  { stopBeforeUndo }: RecoveryOptions,
): readonly StreamStep[] {
  const last = stopBeforeUndo?.generation;
  return last === undefined ? steps : steps.filter(({ generation }) => generation <= last);
}

/**
 * Goes through the logs and decides about the databases without touching anything, so that whatever is wrong
 * with logs or headers stops recovery before its first write.
 */
async function rehearse(recovery: Recovery): Promise<void> {
  try {
    await redoAll(recovery, true);
  } catch (error) {
    const failed = failedGeneration(recovery);
    if (!(error instanceof EseError) || failed === undefined) throw error;
    const kept = recovery.steps.filter(({ generation }) => generation < failed);
    // The stream must go on behind some log, whatever is given up.
    if (!kept.some(({ kind }) => kind === 'log')) throw error;
    const cut = cutAt(recovery, failed, error);
    if (cut === undefined) throw error;
    recovery.cut = cut;
    recovery.warning = cut.warning;
    const last = recovery.steps.at(-1)?.generation ?? failed;
    recovery.lost = { low: failed, high: Math.max(failed, last) };
    recovery.steps = kept;
    recovery.logs.length = 0;
    await redoAll(recovery, true);
  }
}

/** The generation at whose log redo failed. */
function failedGeneration({ logs }: Recovery): number | undefined {
  const last = logs.at(-1);
  return last === undefined || last.status === 'ok' ? undefined : last.generation;
}

const CORRUPTIONS: readonly JetErrorName[] = [
  'JET_errLogFileCorrupt',
  'JET_errLogCorrupted',
  'JET_errLogFileSizeMismatch',
  'JET_errLogSequenceChecksumMismatch',
];

/**
 * What to do about a log that cannot be used and that no database requires: it may be given up, with all that
 * follow, if the caller accepts the loss (chapter 5.3.8). Throws the error that says so if not.
 */
function cutAt(recovery: Recovery, generation: number, error: EseError): Recovery['cut'] {
  const { redo, options } = recovery;
  const isLogError =
    CORRUPTIONS.includes(error.name) ||
    error.name === 'JET_errInvalidLogSequence' ||
    error.name === 'JET_errMissingLogFile';
  if (!isLogError || redo === undefined) return undefined;
  const attached = redo.attached();
  if (attached.some((database) => requiredGeneration(database) >= generation)) return undefined;
  if (options.acceptLoss === true) return { generation, warning: 'JET_wrnCommittedLogFilesRemoved' };
  if (attached.length === 0) return undefined;
  if (CORRUPTIONS.includes(error.name)) {
    throw new EseError('JET_errCommittedLogFileCorrupt', error.detail, error);
  }
  if (error.name === 'JET_errInvalidLogSequence') {
    throw new EseError('JET_errCommittedLogFilesMissing', error.detail, error);
  }
  return undefined;
}

/** Highest generation that a database cannot do without. */
function requiredGeneration(database: AttachedDatabase): number {
  return database.header.genMaxRequired;
}

/** Redoes all logs of the range; in a rehearsal only what concerns logs and headers. */
async function redoAll(recovery: Recovery, rehearsal: boolean): Promise<void> {
  const { environment, options, stream, map, start, logs } = recovery;
  if (start === undefined) return;
  const total = recovery.steps.reduce((sum) => sum + logFileBytes(stream.header), 0);
  const redo = new Redo({
    environment,
    map,
    signLog: stream.header.signLog,
    rehearsal,
    cacheBytes: options.cacheBytes,
    until: options.until,
    signal: options.signal,
    onProgress: rehearsal ? undefined : (done) => options.onProgress?.(Math.min(done, total), total),
  });
  recovery.redo = redo;
  logs.length = 0;
  redo.attachInitial(start.attachments, start.lgpos);
  for (const step of recovery.steps) {
    if (step.kind === 'missing') {
      if (rehearsal) options.onEvent?.({ kind: 'missingLog', generation: step.generation });
      logs.push({
        path: options.logPath,
        name: '',
        generation: step.generation,
        isCurrent: false,
        status: 'missing',
        error: step.error,
      });
      throw step.error;
    }
    const { entry, generation } = step;
    const log = { path: entry.path, name: entry.name, generation, isCurrent: entry.role === 'current' };
    if (!rehearsal) options.onEvent?.({ kind: 'openLog', path: entry.path, generation });
    try {
      const isDone = await redo.run(entry);
      logs.push({ ...log, status: 'ok', error: undefined });
      if (!isDone) break;
    } catch (error) {
      if (error instanceof EseError && isLogFault(error)) {
        logs.push({ ...log, status: 'damaged', error });
      }
      throw error;
    }
  }
  recovery.ended = redo.stoppedAt ?? redo.lastScan?.lgposEnd;
  checkEnd(recovery, redo);
}

/** Errors of a log itself, rather than of what it is redone on. */
function isLogFault({ name }: EseError): boolean {
  return (
    CORRUPTIONS.includes(name) ||
    name === 'JET_errInvalidLogSequence' ||
    name === 'JET_errLogGenerationMismatch'
  );
}

/** The checks at the end of redo, before undo (chapter 5.3.7, step 1). */
function checkEnd(recovery: Recovery, redo: Redo): void {
  const { options, cut } = recovery;
  // Stopped on the way: the rest is still to come.
  if (options.stopBeforeUndo?.generation !== undefined) return;
  const last = redo.lastHeader?.generation ?? 0;
  for (const database of redo.attached()) {
    const { genMaxRequired, path } = database;
    const committed = database.genMaxCommitted;
    if (genMaxRequired > last) {
      throw new EseError(
        'JET_errRequiredLogFilesMissing',
        `the database requires logs up to generation ${genMaxRequired}, the last one is ${last}`,
        { file: path },
      );
    }
    if (redo.stoppedAt !== undefined) {
      checkStop(database, redo.stoppedAt);
    } else if (committed > last) {
      if (options.acceptLoss !== true) {
        throw new EseError(
          'JET_errCommittedLogFilesMissing',
          `the database has transactions in logs up to generation ${committed}, the last one is ${last}`,
          { file: path },
        );
      }
      if (cut === undefined) recovery.warning = 'JET_wrnCommittedLogFilesLost';
      recovery.lost = { low: last + 1, high: Math.max(committed, recovery.lost?.high ?? 0) };
    }
    checkLastTime(database, redo, options);
    const error = redo.redoMapError(database);
    if (error !== undefined) throw error;
  }
  const left = redo.deferred().filter(({ reason }) => reason !== 'notInMap');
  const endsWithMark = redo.lastRecord?.lrtyp === LRTYP.ShutDownMark;
  for (const { reason, path, loggedPath } of left) {
    if (options.ignoreMissing === true || (reason === 'future' && endsWithMark)) continue;
    if (reason === 'accessDenied') throw new EseError('JET_errAccessDenied', undefined, { file: path });
    throw new EseError('JET_errAttachedDatabaseMismatch', describeDeferral(reason, loggedPath), {
      file: path,
    });
  }
}

/** Pages may be as new as the end of the last generation that the header requires: redo cannot stop before. */
function checkStop({ genMaxRequired, isNew, path }: AttachedDatabase, { generation }: Lgpos): void {
  if (isNew || genMaxRequired < generation) return;
  throw new EseError(
    'JET_errRequiredLogFilesMissing',
    `the pages of the database may be newer than the position to stop at: it requires all of generation ${genMaxRequired}`,
    { file: path },
  );
}

function describeDeferral(reason: string, loggedPath: string): string {
  switch (reason) {
    case 'missing':
      return `the database ${loggedPath} is not there`;
    case 'future':
      return `the database ${loggedPath} is newer than the logs`;
    default:
      return `the database in the place of ${loggedPath} is another one`;
  }
}

/** The last generations that a database names must be the very logs that it saw (chapter 5.3.2). */
function checkLastTime(database: AttachedDatabase, redo: Redo, options: RecoveryOptions): void {
  if (options.acceptLoss === true) return;
  const { genMaxRequired, genMaxCommitted, timeMaxRequired, timeMaxCommitted } = database;
  const named: readonly (readonly [generation: number, time: Logtime | undefined])[] = [
    [genMaxRequired, timeMaxRequired],
    [genMaxCommitted, timeMaxCommitted],
  ];
  for (const [generation, time] of named) {
    const header = redo.headers.get(generation);
    if (time === undefined || header === undefined || logtimesEqual(time, header.tmCreate)) continue;
    throw new EseError(
      'JET_errRequiredLogFilesMissing',
      `the log of generation ${generation} is another one than the database requires`,
      { file: database.path },
    );
  }
}

/** Leaves the databases as far as redo went: dirty, and with correct headers (chapter 5.3.7, step 2). */
function stopBeforeUndo(recovery: Recovery): void {
  const { redo } = recovery;
  if (redo === undefined) return;
  const isClean =
    redo.attached().length === 0 && redo.lgposQuit !== undefined && isLast(redo, redo.lgposQuit);
  recovery.stopError = isClean
    ? 'JET_errRecoveredWithoutUndoDatabasesConsistent'
    : 'JET_errRecoveredWithoutUndo';
  const open = [...redo.sessions.values()]
    .filter(({ level }) => level > 0)
    .map(({ lgposStart }) => lgposStart);
  const end = recovery.ended ?? LGPOS_NONE;
  const attached = redo.attached();
  for (const database of attached) database.flush();
  // What could not be written yet belongs to open transactions; redo still has to come back to it.
  const isAllWritten = open.length > 0 || attached.every(({ pool }) => pool?.dirtyPages === 0);
  const isAllKnown = redo.deferred().length === 0 && attached.every(({ redoMap }) => redoMap.size === 0);
  const lgpos = lowestLgpos(end, open);
  const mayAdvance = isAllWritten && isAllKnown;
  for (const database of attached) {
    database.requireGeneration(end.generation);
    if (mayAdvance) database.advanceTo(lgpos.generation);
    database.headerFile.write();
  }
  if (mayAdvance) {
    checkpointWriter(recovery).update({
      lgposCheckpoint: lgpos,
      attachments: attachInfos(redo).filter(({ lgposAttach }) => compareLgpos(lgposAttach, lgpos) < 0),
    });
  }
  redo.closeAll();
}

function isLast(redo: Redo, lgpos: Lgpos): boolean {
  return redo.lastRecord !== undefined && compareLgpos(redo.lastRecord.lgpos, lgpos) === 0;
}

/** Undo, clean headers, and the records that end a recovery (chapter 5.3.7, steps 3 to 12). */
function finish(recovery: Recovery): void {
  const { redo, options, environment, start } = recovery;
  if (redo === undefined || start === undefined) return;
  redo.removeUnfinished();
  redo.mendLeftAside();
  removeCutLogs(recovery);
  const branch = redo.stoppedAt === undefined ? undefined : branchOff(recovery, redo.stoppedAt);
  const checkpoint = checkpointWriter(recovery);
  if (recovery.cut === undefined && redo.lgposQuit !== undefined && isLast(redo, redo.lgposQuit)) {
    // The stream ended cleanly, only the checkpoint did not say so.
    checkpoint.end(redo.lgposQuit);
    deleteArchived(recovery);
    return;
  }
  const writer = openWriter(recovery, redo, branch);
  try {
    const log = createRecoveryLog(writer);
    const now = () => logtimeOf(environment.clock.now());
    redo.makeLogDurable = (lgpos) => writer.makeDurable(lgpos, { fill: false });
    options.onEvent?.({ kind: 'beginUndo' });
    let lgposRecoveryUndo: Lgpos | undefined;
    if (redo.lastRecord?.lrtyp !== LRTYP.ShutDownMark) {
      lgposRecoveryUndo = log.append('RecoveryUndo2', { logtime: now() });
    }
    const undo = undoTransactions(redo, log);
    recovery.undone = undo.transactions;
    recovery.operationsUndone = undo.operations;
    for (const database of redo.attached()) database.flush();
    const lgposMark = log.append('ShutDownMark', {});
    writer.makeDurable();
    for (const database of redo.attached()) redo.release(database, lgposMark);
    const lgposQuit = log.append('RecoveryQuit2', {
      lgposRecoveryUndo: lgposRecoveryUndo ?? lgposMark,
      lgposRedoFrom: start.lgpos,
      fHard: 0,
      logtime: now(),
    });
    writer.makeDurable();
    checkpoint.end(lgposQuit);
    deleteArchived(recovery);
    // An engine starts and ends behind it, so that the stream looks as after a normal shutdown.
    const lgposInit = log.append('Init2', { dbmsParam: writer.dbmsParam, logtime: now() });
    log.append('ShutDownMark', {});
    writer.makeDurable();
    const lgposTerm = log.append('Term2', {
      lgposStart: { generation: lgposInit.generation, isec: lgposInit.isec, ib: 0 },
      lgposRedoFrom: LGPOS_NONE,
      fHard: 0,
      logtime: now(),
    });
    writer.makeDurable(undefined, { fill: false });
    checkpoint.end(lgposTerm);
  } finally {
    writer.close();
  }
}

function checkpointWriter({ environment, stream }: Recovery) {
  const { checkpoint, header } = stream;
  return createCheckpointWriter({
    fs: environment.fs,
    path: checkpoint.path,
    signLog: header.signLog,
    dbmsParam: header.dbmsParam,
    previous: checkpoint.checkpoint,
  });
}

/** Ends the stream where redo stopped; returns its last log. */
function branchOff(recovery: Recovery, at: Lgpos): StreamEnd {
  const { environment, stream } = recovery;
  const { files, checkpoint } = stream;
  const later = [...files.archived.filter(({ generation }) => generation >= at.generation)];
  if (files.current !== undefined) later.push(files.current);
  recovery.logsSaved = branchStream(environment, files, later, at, checkpoint.path);
  const current = findLogStream(environment.fs, files.directory, files.baseName).current;
  if (current === undefined) throw new Error('the stream has no current log');
  const log = openLog(environment.fs, current.path);
  try {
    return { header: log.header, scan: log.verify(), entry: current };
  } finally {
    log.close();
  }
}

/** The last log of a stream, and what it holds. */
interface StreamEnd {
  readonly header: LogHeader;
  readonly scan: LogScan;
  readonly entry: LogFileEntry;
}

function endOf(recovery: Recovery, redo: Redo): StreamEnd {
  const { lastHeader: header, lastScan: scan } = redo;
  const lastStep = recovery.steps.at(-1);
  if (header === undefined || scan === undefined || lastStep?.kind !== 'log') {
    throw new Error('there is no log to go on with');
  }
  return { header, scan, entry: lastStep.entry };
}

/** Opens the log that redo ended with for writing, or begins the next generation. */
function openWriter(recovery: Recovery, redo: Redo, branch: StreamEnd | undefined): LogWriter {
  const { environment, stream } = recovery;
  const { header: lastHeader, scan, entry } = branch ?? endOf(recovery, redo);
  const { files } = stream;
  const isCurrent = entry.role === 'current';
  if (isCurrent) repairTorn(environment.fs, entry.path, scan.tornSegments);
  const tail: LogTail = {
    header: lastHeader,
    isCurrent,
    lastValidSegment: scan.lastValidSegment,
    segmentsChecksum: scan.segmentsChecksum,
  };
  let writer: LogWriter | undefined;
  const noteHeader = (): void => {
    if (writer !== undefined) redo.headers.set(writer.generation, writer.header as LogHeader);
  };
  const opened = continueLogStream(
    {
      environment,
      directory: files.directory,
      baseName: files.baseName,
      extension: files.extension,
      digits: files.digits.at(-1) ?? 5,
      pageSize: logPageSize(lastHeader),
      logFileKiB: logFileBytes(lastHeader) / 1024,
      version: lastHeader,
      reserves: false,
      parameters: lastHeader.dbmsParam,
      attachments: () => attachInfos(redo),
      checkpoint: () => stream.checkpoint.checkpoint?.lgposCheckpoint ?? recovery.start?.lgpos ?? LGPOS_NONE,
      onGeneration: noteHeader,
    },
    tail,
  );
  writer = opened;
  noteHeader();
  return opened;
}

/** Writes segments back that a crash tore, from their shadows (chapter 5.3.4). */
function repairTorn(fs: FileSystem, path: string, segments: readonly number[]): void {
  if (segments.length === 0) return;
  const file = fs.open(path, 'write');
  try {
    const segment = new Uint8Array(4096);
    for (const isec of segments) {
      file.readAt(segment, (isec + 1) * segment.length);
      file.writeAt(segment, isec * segment.length);
    }
    file.sync();
  } finally {
    file.close();
  }
}

/** The databases that are attached, as log headers and the checkpoint list them. */
function attachInfos(redo: Redo): NewAttachInfo[] {
  return redo.attached().map((database) => {
    const { header } = database;
    return {
      dbid: database.dbid,
      flags: ATTACH_INFO_FLAG.utf16,
      dbtime: database.dbtimeCurrent,
      objidLast: Math.max(database.objidLast, header.objidLast),
      cpgMax: 0,
      lgposAttach: header.lgposAttach,
      lgposConsistent: header.lgposConsistent,
      signDb: header.signDb,
      names: [database.loggedPath],
    };
  });
}

/** Deletes the logs whose loss was accepted: they are in the way of what is logged from here on. */
function removeCutLogs({ environment, stream, cut }: Recovery): void {
  if (cut === undefined) return;
  const { fs } = environment;
  const { archived, current, directory } = stream.files;
  for (const entry of archived) {
    if (entry.generation >= cut.generation) fs.unlink(entry.path);
  }
  if (current !== undefined && (stream.currentGeneration ?? 0) >= cut.generation) fs.unlink(current.path);
  fs.syncDirectory(directory);
}

/** `/t`: deletes the archived logs. */
function deleteArchived(recovery: Recovery): void {
  const { environment, options, stream } = recovery;
  if (options.deleteLogs !== true) return;
  const { fs } = environment;
  const { files } = stream;
  const fresh = findLogStream(fs, files.directory, files.baseName);
  const { archived } = fresh;
  for (const { path } of archived) fs.unlink(path);
  if (archived.length === 0) return;
  fs.syncDirectory(files.directory);
  recovery.logsDeleted = {
    low: archived[0]?.generation ?? 0,
    high: archived.at(-1)?.generation ?? 0,
  };
}

function result(
  _environment: Environment,
  options: RecoveryOptions,
  recovery: Recovery | undefined,
  { planned }: { planned: boolean },
): RecoveryResult {
  const redo = recovery?.redo;
  const generations =
    recovery?.logs.filter(({ status }) => status === 'ok').map(({ generation }) => generation) ?? [];
  return {
    baseName: options.baseName,
    logPath: options.logPath,
    systemPath: options.systemPath,
    databaseDirectory: options.databasePath,
    planned,
    nothingToDo: recovery?.isDone ?? false,
    signLog: recovery?.stream.header.signLog,
    checkpointPath: recovery?.stream.checkpoint.path,
    checkpoint: recovery?.stream.checkpoint.checkpoint?.lgposCheckpoint,
    started: recovery?.start?.lgpos,
    startReason: recovery?.start?.reason,
    ended: recovery?.ended,
    range: { low: generations[0] ?? 0, high: generations.at(-1) ?? 0 },
    stoppedBeforeUndo: recovery?.stopError !== undefined,
    stopError: recovery?.stopError,
    records: redo?.records ?? 0,
    pagesChanged: redo?.pagesChanged ?? 0,
    transactions: { committed: redo?.committed ?? 0, undone: recovery?.undone ?? 0 },
    operationsUndone: recovery?.operationsUndone ?? 0,
    databases: redo?.outcomes ?? [],
    logsDeleted: recovery?.logsDeleted,
    stoppedAt: redo?.stoppedAt,
    logsSaved: recovery?.logsSaved,
    lost: recovery?.lost,
    warning: recovery?.warning,
    logs: recovery?.logs ?? [],
  };
}
