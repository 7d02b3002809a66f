/** Mending logs whose last write was interrupted, `/ml /x` (format specification, chapters 5.3.4 and 6.1.5). */

import { join } from 'node:path';
import type { FileSystem } from '../io/file-system.js';
import { mendTornLog } from '../recovery/torn-log.js';

export interface MendedLog {
  readonly path: string;
  /** Segments that were restored from their shadows. */
  readonly segments: readonly number[];
}

/**
 * Restores the torn segments of logs, holding the lock of their stream. Logs that are whole, and those that are
 * damaged otherwise, are left as they are.
 *
 * @returns the logs that were changed
 * @throws EseError JET_errFileAccessDenied while a living session has the stream, and what writing a log throws
 */
export function mendLogs(
  fs: FileSystem,
  directory: string,
  baseName: string,
  paths: readonly string[],
): MendedLog[] {
  const lock = fs.lock(join(directory, baseName), { role: 'eseutil' });
  try {
    return paths.flatMap((path) => {
      const segments = mendTornLog(fs, path);
      return segments.length === 0 ? [] : [{ path, segments }];
    });
  } finally {
    lock.release();
  }
}
