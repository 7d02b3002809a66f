import { electHeader, HEADER_ELECTION_BYTES, type HeaderElection } from '../format/database-header.js';
import type { FileHandle } from '../io/file-system.js';

/** Elects the header of an open file; see {@link electHeader}. */
export function readHeaderElection(file: FileHandle): HeaderElection {
  const start = new Uint8Array(HEADER_ELECTION_BYTES);
  return electHeader(start.subarray(0, file.readAt(start, 0)));
}
