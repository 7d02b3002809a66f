import type { Lgpos } from '../format/ese-error.js';
import type { RecordBytes } from '../format/log-record-field.js';

/** The log as the engine uses it: records go in, and are durable once it says so. */
export interface EngineLog {
  /** Appends records in one generation, and returns the position of the first. */
  append(...records: readonly RecordBytes[]): Lgpos;
  /** Makes everything appended so far durable. */
  makeDurable(): void;
}
