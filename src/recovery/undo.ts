import type { LogWriter } from '../engine/log-writer.js';
import { DBTIME_NIL } from '../format/dbtime.js';
import { EseError, type Lgpos } from '../format/ese-error.js';
import {
  createLogRecordEncoder,
  type LogRecordEncoder,
  type LogRecordFields,
} from '../format/log-record-encoder.js';
import { LOG_PAGE_FLAG, UNDO_OPERATION } from '../format/log-record-layout.js';
import type { LogRecordName } from '../format/log-record-type.js';
import { createNodeView } from '../format/page.js';
import { applyRecord } from '../operations/apply.js';
import type { RedoContext } from '../operations/redo-context.js';
import type { Redo } from './redo.js';
import type { AttachedDatabase } from './redo-database.js';
import type { RedoSession } from './redo-session.js';
import type { RedoVersion } from './redo-versions.js';
import { placeOfChange } from './take-back.js';

/** Writes records of recovery: encoded, appended, forgotten. */
export interface RecoveryLog {
  readonly writer: LogWriter;
  append<N extends LogRecordName>(name: N, fields: LogRecordFields<N>): Lgpos;
  readonly encoder: LogRecordEncoder;
}

/** Appends records to a writer. */
export function createRecoveryLog(writer: LogWriter): RecoveryLog {
  const encoder = createLogRecordEncoder();
  return {
    writer,
    encoder,
    append(name, fields) {
      encoder.clear();
      return writer.append(encoder.encode(name, fields));
    },
  };
}

/** What undo did, for the report. */
export interface UndoResult {
  /** Transactions rolled back. */
  readonly transactions: number;
  /** Changes of nodes taken back. */
  readonly operations: number;
  /** Macros that had not been committed. */
  readonly macros: number;
}

/** Changes taken back between two looks at the cache. */
const CHANGES_PER_TRIM = 1024;

/**
 * The undo phase (format specification, chapter 5.3.7): macros that were not committed are aborted, then every
 * open transaction is rolled back, sessions in ascending order, the newest change first, level by level. Each
 * step is logged before it is carried out, so a crash in between only makes the next recovery go on.
 */
export function undoTransactions(redo: Redo, log: RecoveryLog): UndoResult {
  const sessions = [...redo.sessions.values()].sort((a, b) => a.procid - b.procid);
  const result = { transactions: 0, operations: 0, macros: 0 };
  for (const session of sessions) {
    const { procid } = session;
    for (const dbtime of [...session.macros]) {
      log.append('MacroAbort', { procid, dbtime });
      session.closeMacro(dbtime);
      result.macros++;
    }
  }
  for (const session of sessions) {
    if (session.level === 0) continue;
    const deferred = redo.versions.deferredOf(session.procid);
    if (deferred !== undefined) {
      throw new EseError(
        'JET_errLogCorrupted',
        `the log lacks what it takes to undo change ${deferred} of session ${session.procid}`,
      );
    }
    result.operations += rollBack(session, redo, log);
    result.transactions++;
  }
  return result;
}

/** Rolls all levels of a session back. Returns how many changes it took back. */
function rollBack(session: RedoSession, redo: Redo, log: RecoveryLog): number {
  const { procid } = session;
  let operations = 0;
  for (; session.level > 0; session.level--) {
    for (;;) {
      const version = redo.versions.newest(procid);
      if (version === undefined || version.level < session.level) break;
      undoChange(session, version, redo, log);
      operations++;
      if (operations % CHANGES_PER_TRIM === 0) {
        for (const database of redo.databases.attached()) database.pool?.trim();
      }
    }
    log.append('Rollback', { procid, levelRollback: 1 });
  }
  redo.versions.finish(procid);
  return operations;
}

const node = createNodeView();

function undoChange(session: RedoSession, version: RedoVersion, redo: Redo, log: RecoveryLog): void {
  const { procid } = session;
  const database = redo.databases.at(version.dbid);
  if (database?.kind !== 'attached' || database.context === undefined) {
    // The database was left out: nothing of it was redone either.
    redo.versions.remove(procid, version.rceid);
    return;
  }
  const { context } = database;
  const { page, line, pageFlags, fields } = placeOfChange(version, session, database.path, context);
  if (!version.isUndoInfoLogged) {
    page.readNode(line, node);
    const isReplace = version.operation === UNDO_OPERATION.replace;
    log.append('UndoInfo', {
      ...fields,
      dbtime: DBTIME_NIL,
      dbtimeBefore: DBTIME_NIL,
      pageFlags: pageFlags | LOG_PAGE_FLAG.versioned,
      oper: version.operation,
      cbMaxSize: version.before.length,
      cbDelta: isReplace ? node.dataLength - version.before.length : 0,
      data: version.before,
    });
    redo.versions.setNewestLogged(procid);
  }
  const dbtime = nextDbtime(database);
  log.encoder.clear();
  const record = log.encoder.encode('Undo', {
    ...fields,
    dbtime,
    dbtimeBefore: page.dbtime,
    pageFlags,
    oper: version.operation,
    levelUndo: version.level,
  });
  Object.assign(redo.lgpos, log.writer.append(record));
  applyRecord(record, context as RedoContext);
}

function nextDbtime(database: AttachedDatabase): number {
  database.dbtimeCurrent++;
  return database.dbtimeCurrent;
}
