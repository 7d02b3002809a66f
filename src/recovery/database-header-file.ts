import { electHeader, HEADER_ELECTION_BYTES } from '../format/database-header.js';
import { EseError } from '../format/ese-error.js';
import type { FileHandle, FileSystem } from '../io/file-system.js';
import type { FoundDatabase } from './attach-decision.js';

/** Looks at what lies in the place of a database, without changing anything. */
export function findDatabase(fs: FileSystem, path: string): FoundDatabase {
  let file: FileHandle;
  try {
    file = fs.open(path, 'read');
  } catch (error) {
    if (!(error instanceof EseError)) throw error;
    switch (error.name) {
      case 'JET_errFileNotFound':
      case 'JET_errInvalidPath':
        return { kind: 'missing' };
      case 'JET_errFileAccessDenied':
      case 'JET_errPermissionDenied':
        return { kind: 'accessDenied' };
      default:
        throw error;
    }
  }
  try {
    const start = new Uint8Array(HEADER_ELECTION_BYTES);
    const election = electHeader(start.subarray(0, file.readAt(start, 0)));
    const { header, source } = election;
    if (header !== undefined && source !== 'none') return { kind: 'found', header };
    // A creation that a crash interrupted leaves half a header; anything else is somebody's file.
    const isBlank = start.every((byte) => byte === 0);
    return { kind: isBlank || header !== undefined ? 'unreadable' : 'foreign' };
  } finally {
    file.close();
  }
}

/** Whether both header copies of a database are the same bytes. */
export function areHeaderCopiesEqual(fs: FileSystem, path: string): boolean {
  const file = fs.open(path, 'read');
  try {
    const start = new Uint8Array(HEADER_ELECTION_BYTES);
    return electHeader(start.subarray(0, file.readAt(start, 0))).identical;
  } finally {
    file.close();
  }
}
