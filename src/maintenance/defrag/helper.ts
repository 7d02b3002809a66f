import { createReadAheadMemory, ReadAhead } from '../../engine/bulk/read-ahead.js';
import type { ReadAheadInput } from '../../engine/bulk/read-ahead-task.js';
import type { DatabaseReader } from '../../engine/database-reader.js';
import { hasWorkers, runBeside } from '../../workers/pool.js';

/** A thread that reads pages of the old database before they are copied. */
export interface ReadAheadHelper {
  readonly ahead: ReadAhead;
  /** Ends the thread. Never rejects. */
  end(): Promise<void>;
}

/** A smaller database is copied before a thread is up (format specification, chapter 9.3), or would be before it has paid. */
const BYTES_LEAST_COLD = 128 * 1024 * 1024;
/** Where threads are up already. */
const BYTES_LEAST_WARM = 16 * 1024 * 1024;

/** Starts the thread, if the database is large enough for it to pay. */
export function startReadAhead({ path, pageSize, source }: DatabaseReader): ReadAheadHelper | undefined {
  const { lastPgno } = source;
  if (lastPgno * pageSize < (hasWorkers() ? BYTES_LEAST_WARM : BYTES_LEAST_COLD)) return undefined;
  const memory = createReadAheadMemory();
  const ahead = new ReadAhead(memory);
  const input: ReadAheadInput = { memory, path, pageSize, lastPgno };
  // What the thread does not do is done without it.
  const ended = runBeside('../engine/bulk/read-ahead-task.js', input, 1).catch(() => {});
  return {
    ahead,
    async end() {
      ahead.close();
      await ended;
    },
  };
}
