import { EseError, type Lgpos } from '../format/ese-error.js';
import { LRTYP } from '../format/log-record-type.js';
import type { Logtime } from '../format/logtime.js';
import { logtimesEqual } from './log-stream.js';
import type { Recovery, RecoveryOptions } from './recovery-state.js';
import type { Redo } from './redo.js';
import type { AttachedDatabase } from './redo-database.js';

/** The checks at the end of redo, before undo (chapter 5.3.7, step 1). */
export function checkEnd(recovery: Recovery, redo: Redo): void {
  const { options, cut } = recovery;
  // Stopped on the way: the rest is still to come.
  if (options.stopBeforeUndo?.generation !== undefined) return;
  const last = redo.lastHeader?.generation ?? 0;
  for (const database of redo.databases.attached()) {
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
    const error = database.redoMap.error();
    if (error !== undefined) throw error.at({ file: path });
  }
  const left = redo.databases.deferred().filter(({ reason }) => reason !== 'notInMap');
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
