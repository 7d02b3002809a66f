/**
 * Soft recovery: brings the databases of a log stream to the state of the last committed transaction (format
 * specification, chapter 5.3). Everything that can go wrong without a look at the pages is found in a
 * rehearsal, before the first byte is written.
 */
import { join } from 'node:path';
import { EseError } from '../format/ese-error.js';
import type { Environment } from '../io/environment.js';
import { makeInheritedDurable } from './inherited-files.js';
import { beginLogStream, hasLogStream } from './new-stream.js';
import { finish, rewindCheckpoint, stopBeforeUndo } from './recovery-end.js';
import { openRecovery, redoAll, rehearse } from './recovery-run.js';
import type { Recovery, RecoveryOptions, RecoveryResult } from './recovery-state.js';
import { checkWriteAccess } from './write-access.js';

export type { RecoveredLog, RecoveryEvent, RecoveryOptions, RecoveryResult } from './recovery-state.js';

/**
 * Says what {@link recover} would do, and changes nothing. Throws what it would throw before the first write.
 */
export async function planRecovery(
  environment: Environment,
  options: RecoveryOptions,
): Promise<RecoveryResult> {
  if (wantsNewStream(environment, options)) return { ...resultOf(options, undefined, true), hasBegun: true };
  const recovery = openRecovery(environment, options);
  if (!recovery.isDone) await rehearse(recovery);
  return resultOf(options, recovery, true);
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
  if (wantsNewStream(environment, options)) {
    beginLogStream(environment, options);
    return { ...resultOf(options, undefined, false), hasBegun: true };
  }
  const lock = fs.lock(join(options.systemPath, options.baseName), { role: options.role ?? 'eseutil' });
  let recovery: Recovery | undefined;
  try {
    recovery = openRecovery(environment, options);
    if (recovery.isDone) return resultOf(options, recovery, false);
    await rehearse(recovery);
    checkWriteAccess(fs, recovery);
    options.onPlan?.(resultOf(options, recovery, true));
    makeInheritedDurable(fs, recovery);
    rewindCheckpoint(recovery);
    await redoAll(recovery, false);
    if (options.stopBeforeUndo !== undefined) stopBeforeUndo(recovery);
    else finish(recovery);
    return resultOf(options, recovery, false);
  } catch (error) {
    recovery?.redo?.databases.abandon();
    options.onFailure?.(resultOf(options, recovery, false));
    throw error;
  } finally {
    lock.release();
  }
}

function wantsNewStream({ fs }: Environment, { mayBegin, logPath, baseName }: RecoveryOptions): boolean {
  return mayBegin === true && !hasLogStream(fs, logPath, baseName);
}

function resultOf(
  options: RecoveryOptions,
  recovery: Recovery | undefined,
  planned: boolean,
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
    hasBegun: false,
    signLog: recovery?.stream.header.signLog,
    checkpointPath: recovery?.stream.checkpoint.path,
    checkpoint: recovery?.stream.checkpoint.checkpoint?.lgposCheckpoint,
    isCheckpointPassedOver: recovery?.stream.checkpoint.isPassedOver ?? false,
    started: recovery?.start?.lgpos,
    startReason: recovery?.start?.reason,
    ended: recovery?.ended,
    range: { low: generations[0] ?? 0, high: generations.at(-1) ?? 0 },
    stoppedBeforeUndo: recovery?.stopError !== undefined,
    stopError: recovery?.stopError,
    records: redo?.records ?? 0,
    threads: redo?.threads ?? 1,
    pagesChanged: redo?.databases.pagesChanged ?? 0,
    transactions: { committed: redo?.committed ?? 0, undone: recovery?.undone ?? 0 },
    operationsUndone: recovery?.operationsUndone ?? 0,
    databases: redo?.databases.outcomes ?? [],
    lastLogCreated: redo?.lastHeader?.tmCreate,
    logsDeleted: recovery?.logsDeleted,
    stoppedAt: redo?.stoppedAt,
    logsSaved: recovery?.logsSaved,
    lost: recovery?.lost,
    warning: recovery?.warning,
    logs: recovery?.logs ?? [],
  };
}
