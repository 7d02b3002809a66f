import type { EseError, Lgpos } from '../format/ese-error.js';
import type { JetErrorName } from '../format/jet-errors.js';
import type { Logtime } from '../format/logtime.js';
import type { Signature } from '../format/signature.js';
import type { Environment } from '../io/environment.js';
import type { LockRole } from '../io/file-system.js';
import type { LogDigits } from '../io/log-file-names.js';
import type { DatabaseMap, DatabaseRelocation } from './database-map.js';
import type { GenerationRange } from './log-stream.js';
import type { Redo, RedoLimit } from './redo.js';
import type { DatabaseOutcome } from './redo-databases.js';
import type { RecoveryStream, StartPoint, StreamStep } from './start-point.js';

/** What to recover, and how. The letters are the switches of `eseutil /r` (format specification, chapter 5.5). */
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
  /** `/e`: begin a stream where there is none. */
  readonly mayBegin?: boolean | undefined;
  /** Digits of the generation in the names of logs that recovery makes. Default: those of the stream. */
  readonly logDigits?: LogDigits | undefined;
  /** Page size in bytes that the logs must have. */
  readonly pageSize?: number | undefined;
  /** Page cache of each database in bytes. */
  readonly cacheBytes?: number | undefined;
  /** Threads that replay the logs, the calling one included. Default: the processors where the logs are long, else 1. */
  readonly workers?: number | undefined;
  /** Whether to begin only when these threads are up: for tests. */
  readonly awaitsWorkers?: boolean | undefined;
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
  /** There was no stream, and one was begun. */
  readonly hasBegun: boolean;
  readonly signLog: Signature | undefined;
  readonly checkpointPath: string | undefined;
  readonly checkpoint: Lgpos | undefined;
  /** The checkpoint file is damaged or of another stream, and does not count. */
  readonly isCheckpointPassedOver: boolean;
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
  /** Threads that changed pages. */
  readonly threads: number;
  readonly pagesChanged: number;
  readonly transactions: { readonly committed: number; readonly undone: number };
  /** Changes of nodes that were taken back. */
  readonly operationsUndone: number;
  readonly databases: readonly DatabaseOutcome[];
  /** When the last log that was looked at was begun. */
  readonly lastLogCreated: Logtime | undefined;
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

/** The state of one recovery. */
export interface Recovery {
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
