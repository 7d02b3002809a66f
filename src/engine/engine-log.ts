import type { Lgpos } from '../format/ese-error.js';
import type { RecordBytes } from '../format/log-record-field.js';

/** The log as the engine uses it: records go in, and are durable once it says so. */
export interface EngineLog {
  /** Appends records in one generation, and returns the position of the first. */
  append(...records: readonly RecordBytes[]): Lgpos;
  /** The memory of {@link EngineLog.reserve}. */
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /**
   * Appends a record of `size` bytes that the caller writes at once, whole, where the result says; its position goes
   * into `lgpos`. The memory is zero, and stays valid until the next record. -1 where a record of this size cannot lie
   * in one piece: {@link EngineLog.append} takes it.
   */
  reserve(size: number, lgpos: MutableLgpos): number;
  /** Makes everything appended so far durable. */
  makeDurable(): void;
}

/** A position that is given many times. */
export type MutableLgpos = { -readonly [K in keyof Lgpos]: Lgpos[K] };
