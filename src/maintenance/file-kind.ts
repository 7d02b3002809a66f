/** What kind of ESE file a file is, by its contents (format specification, chapter 1.2.3). */

import { readHeaderElection } from '../engine/header-election.js';
import {
  type DatabaseHeader,
  electHeader,
  FILE_TYPE,
  FILE_TYPE_OFFSET,
  HEADER_ELECTION_BYTES,
  HEADER_MAGIC,
} from '../format/database-header.js';
import type { FileSystem } from '../io/file-system.js';

export type FileKind = 'database' | 'temporary' | 'log' | 'checkpoint' | 'flushMap' | 'unknown';

const KIND_OF_TYPE: Readonly<Record<number, FileKind>> = {
  [FILE_TYPE.log]: 'log',
  [FILE_TYPE.checkpoint]: 'checkpoint',
  [FILE_TYPE.flushMap]: 'flushMap',
};

/** What to call a kind in a message. */
export const FILE_KIND_NAMES: Readonly<Record<FileKind, string>> = {
  database: 'a database',
  temporary: 'a temporary database',
  log: 'a log file',
  checkpoint: 'a checkpoint file',
  flushMap: 'a flush map',
  unknown: 'a file of another kind',
};

/**
 * The header of a file that looks like a database, damaged ones included; undefined for everything else.
 *
 * @throws EseError those of the file system
 */
export function readHeaderOf(fs: FileSystem, file: string): DatabaseHeader | undefined {
  const handle = fs.open(file, 'read');
  try {
    const { header } = readHeaderElection(handle);
    return header?.magic === HEADER_MAGIC ? header : undefined;
  } finally {
    handle.close();
  }
}

/**
 * Looks at the start of a file, whatever its name. Damaged files are recognised as long as the magic number of a
 * database or the stored file type is whole; files of old formats state no type and are `unknown`.
 *
 * @throws EseError those of the file system
 */
export function fileKind(fs: FileSystem, file: string): FileKind {
  const handle = fs.open(file, 'read');
  try {
    const start = new Uint8Array(HEADER_ELECTION_BYTES);
    const bytes = start.subarray(0, handle.readAt(start, 0));
    const { header } = electHeader(bytes);
    if (header?.magic === HEADER_MAGIC) {
      return header.fileType === FILE_TYPE.temporaryDatabase ? 'temporary' : 'database';
    }
    if (bytes.length < FILE_TYPE_OFFSET + 4) return 'unknown';
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    return KIND_OF_TYPE[view.getUint32(FILE_TYPE_OFFSET, true)] ?? 'unknown';
  } finally {
    handle.close();
  }
}
