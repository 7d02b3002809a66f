import { setImmediate } from 'node:timers/promises';

/** Long work on one thread, in turns: between them signals and timers are heard. */
export interface Turns {
  /** Whether others have waited long enough, or the signal was aborted. Cheap: it may be asked for each page. */
  isOver(): boolean;
  /** Lets others in. Throws the signal's reason if it was aborted. */
  next(): Promise<void>;
}

const TURN_MS = 16;

/** Begins the first turn. */
export function takeTurns(signal: AbortSignal | undefined): Turns {
  let begunAt = performance.now();
  return {
    isOver: () => signal?.aborted === true || performance.now() - begunAt >= TURN_MS,
    async next() {
      await setImmediate();
      signal?.throwIfAborted();
      begunAt = performance.now();
    },
  };
}
