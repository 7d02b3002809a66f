/**
 * Work that never lets events in, in a thread of its own: the main thread goes on listening, and a signal that comes
 * before the JSON document ends the run with one that says so (format specification, chapters 6.1.8 and 11.1).
 */
import { Worker } from 'node:worker_threads';
import type { Interruption, ThreadEnd } from './host.js';
import { PROGRAM_FOLDER } from './program-folder.js';

export type ProgramName = 'eseutil' | 'esekit';

/** What the thread is started with. */
export interface ThreadData {
  readonly program: ProgramName;
  readonly argv: readonly string[];
  readonly programName: string;
  /** One number, which says whose the end of the output is. */
  readonly claim: SharedArrayBuffer;
}

const UNCLAIMED = 0;
const CLAIMED_BY_THREAD = 1;
const CLAIMED_BY_SIGNAL = 2;

/** Runs a command line in a thread of its own. */
export function runInOwnThread(
  data: Omit<ThreadData, 'claim'>,
  interruption: Interruption,
): Promise<ThreadEnd> {
  const claim = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
  const workerData: ThreadData = { ...data, claim: claim.buffer };
  const worker = new Worker(new URL('program-thread.js', PROGRAM_FOLDER), { workerData });
  const { signal } = interruption;
  return new Promise<ThreadEnd>((resolve, reject) => {
    const stop = (): void => {
      // Whose last words are on their way is done: they come out whole.
      if (Atomics.compareExchange(claim, 0, UNCLAIMED, CLAIMED_BY_SIGNAL) !== UNCLAIMED) return;
      const signalNumber = interruption.signalNumber() ?? 0;
      void worker.terminate().then(() => resolve({ signalNumber }));
    };
    worker.once('message', (exit: number) => resolve({ exit }));
    worker.once('error', reject);
    worker.once('exit', () => signal.removeEventListener('abort', stop));
    if (signal.aborted) stop();
    else signal.addEventListener('abort', stop);
  });
}

/** In the thread, before its last words: does not return when a signal has been faster. */
export function claimEnd(buffer: SharedArrayBuffer): void {
  const claim = new Int32Array(buffer);
  if (Atomics.compareExchange(claim, 0, UNCLAIMED, CLAIMED_BY_THREAD) !== CLAIMED_BY_SIGNAL) return;
  Atomics.wait(claim, 0, CLAIMED_BY_SIGNAL);
}
