/** The result of soft recovery in the shape of its JSON output (format specification, chapter 11.4.3). */
import { DATABASE_STATE, databaseStateName } from '../format/database-header.js';
import { JET_ERRORS } from '../format/jet-errors.js';
import { logtimeToDate } from '../format/logtime.js';
import type { GenerationRange } from '../recovery/log-stream.js';
import type { RecoveredLog, RecoveryResult } from '../recovery/recover.js';
import type { DatabaseOutcome } from '../recovery/redo-databases.js';
import {
  type ErrorReport,
  errorReport,
  type LgposReport,
  lgposReport,
  type RangeReport,
  type SignatureReport,
  signatureReport,
  type WarningReport,
} from './report-values.js';

export interface RecoveryReport {
  readonly baseName: string;
  readonly logPath: string;
  readonly systemPath: string;
  readonly databaseDirectory: string | null;
  /** A plan: nothing was done. */
  readonly planned: boolean;
  readonly nothingToDo: boolean;
  /** There was no stream, and one was begun. */
  readonly hasBegun: boolean;
  readonly checkpoint: LgposReport | null;
  readonly started: LgposReport | null;
  readonly ended: LgposReport | null;
  readonly range: RangeReport;
  readonly stoppedBeforeUndo: boolean;
  readonly records: number;
  readonly pagesChanged: number;
  readonly transactions: { readonly committed: number; readonly undone: number };
  readonly databases: readonly DatabaseReport[];
  readonly logsDeleted: RangeReport | null;
  /** Where a recovery up to a point in time stopped, and the directory with the logs from there on. */
  readonly stoppedAt: LgposReport | null;
  readonly logsSaved: string | null;
  /** Generations whose loss was accepted. */
  readonly lost: RangeReport | null;
  readonly logs: readonly RecoveredLogReport[];
}

export interface DatabaseReport {
  readonly path: string;
  readonly loggedPath: string;
  readonly dbid: number;
  readonly signDb: SignatureReport;
  readonly action: 'recovered' | 'created' | 'alreadyClean' | 'ignored' | 'notInMap' | 'failed';
  readonly reason: 'missing' | 'mismatch' | 'accessDenied' | null;
  readonly stateBefore: string | null;
  readonly stateAfter: string | null;
  readonly requiredBefore: RangeReport | null;
  /** The file is another one because it was repaired, after the last of these logs was begun. */
  readonly repairedSince?: true;
}

export interface RecoveredLogReport {
  readonly path: string;
  readonly name: string;
  readonly generation: number;
  readonly current: boolean;
  readonly status: 'ok' | 'damaged' | 'missing';
  readonly error?: ErrorReport;
}

/**
 * The report of a recovery.
 *
 * @param failed whether it ended with an error: databases that were not brought to an end count as failed
 */
export function recoveryReport(result: RecoveryResult, failed = false): RecoveryReport {
  return {
    baseName: result.baseName,
    logPath: result.logPath,
    systemPath: result.systemPath,
    databaseDirectory: result.databaseDirectory ?? null,
    planned: result.planned,
    nothingToDo: result.nothingToDo,
    hasBegun: result.hasBegun,
    checkpoint: result.checkpoint === undefined ? null : lgposReport(result.checkpoint),
    started: result.started === undefined ? null : lgposReport(result.started),
    ended: result.ended === undefined ? null : lgposReport(result.ended),
    range: { ...result.range },
    stoppedBeforeUndo: result.stoppedBeforeUndo,
    records: result.records,
    pagesChanged: result.pagesChanged,
    transactions: { ...result.transactions },
    databases: result.databases.map((database) => databaseReport(database, result, failed)),
    logsDeleted: rangeReport(result.logsDeleted),
    stoppedAt: result.stoppedAt === undefined ? null : lgposReport(result.stoppedAt),
    logsSaved: result.logsSaved ?? null,
    lost: rangeReport(result.lost),
    logs: result.logs.map(logReport),
  };
}

/** The warning of a recovery that gave committed logs up, if it did. */
export function recoveryWarning({ warning, lost, logPath }: RecoveryResult): WarningReport | undefined {
  if (warning === undefined) return undefined;
  const { code, text } = JET_ERRORS[warning];
  const message = lost === undefined ? text : `${text} (generations ${lost.low} to ${lost.high})`;
  return { code, name: warning, message, file: logPath };
}

function rangeReport(range: GenerationRange | undefined): RangeReport | null {
  return range === undefined ? null : { low: range.low, high: range.high };
}

function databaseReport(database: DatabaseOutcome, result: RecoveryResult, failed: boolean): DatabaseReport {
  const { path, loggedPath, dbid, signDb, stateBefore, stateAfter, requiredBefore } = database;
  return {
    path: path ?? loggedPath,
    loggedPath,
    dbid,
    signDb: signatureReport(signDb),
    action: actionOf(database, failed),
    reason: reasonOf(database),
    stateBefore: stateBefore === undefined ? null : databaseStateName(stateBefore),
    stateAfter: stateAfter === undefined ? null : databaseStateName(stateAfter),
    requiredBefore: rangeReport(requiredBefore),
    ...(isRepairedSince(database, result) ? { repairedSince: true } : {}),
  };
}

function isRepairedSince({ reason, repaired }: DatabaseOutcome, { lastLogCreated }: RecoveryResult): boolean {
  if (reason !== 'mismatch' || repaired === undefined || lastLogCreated === undefined) return false;
  return logtimeToDate(repaired).getTime() > logtimeToDate(lastLogCreated).getTime();
}

function actionOf(database: DatabaseOutcome, failed: boolean): DatabaseReport['action'] {
  const { action, reason, stateAfter } = database;
  // Its creation never came to an end: there is no such database.
  if (action === 'removed') return 'ignored';
  if (action !== 'deferred') {
    return failed && stateAfter !== DATABASE_STATE.cleanShutdown ? 'failed' : action;
  }
  if (reason === 'notInMap') return 'notInMap';
  if (reason === 'future' && stateAfter === DATABASE_STATE.cleanShutdown) return 'alreadyClean';
  return failed ? 'failed' : 'ignored';
}

function reasonOf({ action, reason }: DatabaseOutcome): DatabaseReport['reason'] {
  if (action !== 'deferred') return null;
  switch (reason) {
    case 'missing':
    case 'accessDenied':
    case 'mismatch':
      return reason;
    case 'future':
      return 'mismatch';
    default:
      return null;
  }
}

function logReport({ path, name, generation, isCurrent, status, error }: RecoveredLog): RecoveredLogReport {
  return {
    path,
    name,
    generation,
    current: isCurrent,
    status,
    ...(error === undefined ? {} : { error: errorReport(error) }),
  };
}
