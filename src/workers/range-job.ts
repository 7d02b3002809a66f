import { type ErrorPlace, EseError } from '../format/ese-error.js';
import type { JetErrorName } from '../format/jet-errors.js';

/**
 * A long job cut into numbered ranges, and how several threads share it without talking: the next range
 * is a counter in shared memory. Ranges are handed out in ascending order, so what the threads bring
 * back does not depend on their number, as long as the merge of the results does not.
 */

/** What one thread does for a job. Created once in each thread that takes part. */
export interface RangeTask<Result> {
  /** Does the work of one range. Throws an `EseError` to end the job. */
  runRange(range: number): void;
  /** What this thread found, a value that can be sent between threads: numbers rather than objects. */
  result(): Result;
  /** Releases files. Called once, also after an error. */
  close(): void;
}

/** A module that worker threads load to take part in a job. */
export interface RangeTaskModule<Input, Result> {
  createTask(input: Input): RangeTask<Result>;
}

/** What a worker thread is asked to do. */
export interface WorkerRequest<Input> {
  /** URL of a `RangeTaskModule`. */
  readonly module: string;
  readonly input: Input;
  readonly control: Int32Array;
  readonly rangeCount: number;
}

/** What became of a worker's share. */
export type Outcome<Result> =
  | { readonly kind: 'done'; readonly result: Result }
  | { readonly kind: 'failed'; readonly range: number; readonly error: SentError };

/** An error in a form that crosses threads. */
export type SentError =
  | { readonly kind: 'ese'; readonly name: JetErrorName; readonly detail: string; readonly place: ErrorPlace }
  | { readonly kind: 'bug'; readonly text: string };

/** Slots of the shared counters. */
const NEXT = 0;
const DONE = 1;
const STOPPED = 2;
const JOINED = 3;
const SLOTS = 4;

export function createControl(): Int32Array {
  return new Int32Array(new SharedArrayBuffer(SLOTS * Int32Array.BYTES_PER_ELEMENT));
}

/** Ranges that all threads together have finished. */
export function rangesDone(control: Int32Array): number {
  return Atomics.load(control, DONE);
}

/** Lets every thread end after the range it is in. */
export function stopJob(control: Int32Array): void {
  Atomics.store(control, STOPPED, 1);
}

/** A worker says that it is about to take its first range. */
export function joinJob(control: Int32Array): void {
  Atomics.add(control, JOINED, 1);
}

/** Whether a worker may have taken a range so far. */
export function hasJoined(control: Int32Array): boolean {
  return Atomics.load(control, JOINED) > 0;
}

/** The next range for the calling thread, or -1 if there is none or the job was stopped. */
export function takeRange(control: Int32Array, rangeCount: number): number {
  if (Atomics.load(control, STOPPED) !== 0) return -1;
  const range = Atomics.add(control, NEXT, 1);
  return range < rangeCount ? range : -1;
}

export function rangeIsDone(control: Int32Array): void {
  Atomics.add(control, DONE, 1);
}

export function sendError(error: unknown): SentError {
  if (error instanceof EseError) {
    const { name, detail, file, pgno, lgpos } = error;
    return { kind: 'ese', name, detail, place: { file, pgno, lgpos } };
  }
  return { kind: 'bug', text: error instanceof Error ? (error.stack ?? error.message) : String(error) };
}

/** The error as it was thrown; anything but an `EseError` comes back as `JET_errInternalError`. */
export function receiveError(error: SentError): EseError {
  if (error.kind === 'ese') return new EseError(error.name, error.detail, error.place);
  return new EseError('JET_errInternalError', `a worker failed: ${error.text}`);
}
