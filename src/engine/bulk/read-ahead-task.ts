import { nodeFileSystem } from '../../io/node-file-system.js';
import type { RangeTask } from '../../workers/range-job.js';
import { type ReadAheadMemory, serveReadAhead } from './read-ahead.js';

/** What a thread that reads ahead needs to know. */
export interface ReadAheadInput {
  readonly memory: ReadAheadMemory;
  readonly path: string;
  /** Bytes. */
  readonly pageSize: number;
  readonly lastPgno: number;
}

/** The task of the thread that reads ahead: one range, which ends when no more is wanted. */
export function createTask({ memory, path, pageSize, lastPgno }: ReadAheadInput): RangeTask<null> {
  const file = nodeFileSystem.open(path, 'read');
  return {
    runRange: () => serveReadAhead(memory, file, pageSize, lastPgno),
    result: () => null,
    close: () => file.close(),
  };
}
