import { dirname } from 'node:path';
import { EseError } from '../../format/ese-error.js';
import type { FileSystem } from '../../io/file-system.js';
import { refuseForeignTemporary } from '../defrag/install.js';

/** The files of a repair. */
export interface RepairPlaces {
  readonly source: string;
  /** Where a new database is made. */
  readonly temp: string;
  /** Where it goes; undefined = to the place of the old one. */
  readonly output: string | undefined;
  readonly undoFile: string | undefined;
  readonly keepLost: string | undefined;
}

/** Where a repaired database waits for its place: beside the old one. The name is ours. */
export function waitingPath(target: string): string {
  return `${target}.repaired`;
}

/**
 * Refuses paths that name one file twice, and files that nobody allowed to replace.
 *
 * @throws EseError JET_errInvalidDatabase, JET_errFileAlreadyExists, and those of folders that are missing
 */
export function checkPlaces(
  fs: FileSystem,
  { source, temp, output, undoFile, keepLost }: RepairPlaces,
): void {
  const own = fs.stat(source).identity;
  for (const path of [temp, output, undoFile, keepLost]) {
    if (path === undefined) continue;
    const folder = dirname(path);
    if (!fs.exists(folder)) throw new EseError('JET_errInvalidPath', undefined, { file: folder });
    if (fs.exists(path) && fs.stat(path).identity === own) {
      throw new EseError('JET_errInvalidDatabase', 'it is the database that is to be repaired', {
        file: path,
      });
    }
  }
  for (const path of [output, undoFile]) {
    if (path !== undefined && fs.exists(path)) {
      throw new EseError('JET_errFileAlreadyExists', undefined, { file: path });
    }
  }
  refuseForeignTemporary(fs, temp);
}
