import { EseError } from '../format/ese-error.js';
import type { JetErrorName } from '../format/jet-errors.js';
import { logFileBytes, logPageSize } from '../format/log-header.js';
import type { Signature } from '../format/signature.js';
import type { Environment } from '../io/environment.js';
import type { FileSystem } from '../io/file-system.js';
import { defaultWorkers } from '../workers/pool.js';
import { findDatabase } from './database-header-file.js';
import { createDatabaseMap } from './database-map.js';
import { checkEnd } from './end-checks.js';
import { findLogStream } from './log-stream.js';
import type { Recovery, RecoveryOptions } from './recovery-state.js';
import { Redo } from './redo.js';
import type { AttachedDatabase } from './redo-database.js';
import { THREADS_MAX } from './replay-layout.js';
import {
  chooseStart,
  endedAtCheckpoint,
  lastGeneration,
  openStream,
  requiredStart,
  type StartPoint,
  type StreamStep,
  startAtLowest,
  stepsFrom,
} from './start-point.js';

/** Looks at the stream and chooses where to start; changes nothing. */
export function openRecovery(environment: Environment, options: RecoveryOptions): Recovery {
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
  const chosen =
    options.until === undefined
      ? chooseStart(fs, stream, map, acceptLoss)
      : startAtLowest(fs, stream, 'lowestLog');
  const isFromCheckpoint = chosen.reason === 'checkpoint' || chosen.reason === 'checkpointGeneration';
  const hasEnded = isFromCheckpoint && endedAtCheckpoint(fs, stream);
  // A stream that has ended is nobody's business, unless somebody says where its databases are.
  const required =
    isFromCheckpoint && (map.isExplicit || !hasEnded)
      ? requiredStart(fs, stream, map, chosen, hasEnded)
      : undefined;
  const start = required ?? chosen;
  const isDone = hasEnded && required === undefined;
  const at = stream.checkpoint.checkpoint?.lgposCheckpoint;
  if (!isDone && stopsBefore(options, start)) {
    throw new EseError('JET_errRecoveredWithoutUndo', 'the checkpoint lies behind the generation to stop at');
  }
  return {
    environment,
    options,
    stream,
    map,
    isDone,
    start: isDone ? undefined : start,
    steps: isDone ? [] : limitSteps(stepsFrom(stream, start.lgpos.generation, acceptLoss), options),
    cut: undefined,
    ...(start.reason === 'checkpointBeyond' && at !== undefined
      ? {
          lost: { low: lastGeneration(stream) + 1, high: at.generation },
          warning: 'JET_wrnCommittedLogFilesLost' as const,
        }
      : { lost: undefined, warning: undefined }),
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
export async function rehearse(recovery: Recovery): Promise<void> {
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
    const last = lastGeneration(recovery.stream);
    recovery.lost = { low: failed, high: Math.max(failed, last, recovery.lost?.high ?? 0) };
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
  const attached = redo.databases.attached();
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

/** Log that is worth another thread: two seconds of replay, of which its start takes a tenth (chapter 9.1). */
const LOG_BYTES_FOR_THREADS = 256 * 1024 * 1024;

/** Threads for a log of so many bytes. Workers that nobody asked for are not started where they cannot pay. */
function threadsFor(logBytes: number, options: RecoveryOptions): number {
  const { workers = logBytes >= LOG_BYTES_FOR_THREADS ? defaultWorkers() : 1 } = options;
  return Math.min(workers, THREADS_MAX);
}

/** Redoes all logs of the range; in a rehearsal only what concerns logs and headers. */
export async function redoAll(recovery: Recovery, rehearsal: boolean): Promise<void> {
  const { environment, options, stream, map, start, logs } = recovery;
  if (start === undefined) return;
  const total = recovery.steps.reduce((sum) => sum + logFileBytes(stream.header), 0);
  const redo = new Redo({
    environment,
    map,
    signLog: stream.header.signLog,
    rehearsal,
    pageSize: logPageSize(stream.header),
    workers: rehearsal ? 1 : threadsFor(total, options),
    cacheBytes: options.cacheBytes,
    until: options.until,
    signal: options.signal,
    onProgress: rehearsal ? undefined : (done) => options.onProgress?.(Math.min(done, total), total),
  });
  recovery.redo = redo;
  logs.length = 0;
  try {
    if (options.awaitsWorkers === true) await redo.awaitThreads();
    await redoSteps(recovery, redo, rehearsal);
  } finally {
    redo.endReplay();
  }
  recovery.ended = redo.stoppedAt ?? redo.lastScan?.lgposEnd;
  checkEnd(recovery, redo);
}

async function redoSteps(recovery: Recovery, redo: Redo, rehearsal: boolean): Promise<void> {
  const { options, start, logs } = recovery;
  if (start === undefined) return;
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
}

/** Errors of a log itself, rather than of what it is redone on. */
function isLogFault({ name }: EseError): boolean {
  return (
    CORRUPTIONS.includes(name) ||
    name === 'JET_errInvalidLogSequence' ||
    name === 'JET_errLogGenerationMismatch'
  );
}
