import { basename, dirname, join } from 'node:path';
import { FILE_TYPE } from '../format/database-header.js';
import { EseError } from '../format/ese-error.js';
import type { FileSystem, LockOptions } from '../io/file-system.js';
import { readHeaderOf } from './file-kind.js';

/** Temporary databases that killed sessions have left: each is locked until it is gone, so that one can tell. */

const NUMBERED = /^(.*\D)\d+(\.EDB)$/i;

/**
 * Removes unfinished databases of dead sessions: those in the folder of `temp` whose names differ from it by the number
 * of the process only. Returns what was there.
 *
 * @param before told of each one before it is removed
 */
export function removeAbandonedTemporaries(
  fs: FileSystem,
  temp: string,
  lockOptions: LockOptions,
  before: (path: string) => void = () => {},
): string[] {
  return temporariesLike(fs, temp).filter((path) => {
    try {
      return removeAbandoned(fs, path, lockOptions, before);
    } catch (error) {
      // It may be another user's.
      if (error instanceof EseError) return false;
      throw error;
    }
  });
}

function temporariesLike(fs: FileSystem, temp: string): string[] {
  const [, stem, extension] = NUMBERED.exec(basename(temp)) ?? [];
  if (stem === undefined || extension === undefined) return [];
  return fs
    .readdir(dirname(temp))
    .filter((name) => {
      const [, other, otherExtension] = NUMBERED.exec(name) ?? [];
      return name !== basename(temp) && other === stem && otherExtension === extension;
    })
    .map((name) => join(dirname(temp), name));
}

function removeAbandoned(
  fs: FileSystem,
  path: string,
  lockOptions: LockOptions,
  before: (path: string) => void,
): boolean {
  if (fs.lockHolder(path) !== undefined || fs.stat(path).isDirectory) return false;
  const lock = fs.lock(path, lockOptions);
  try {
    if (!lock.wasAbandoned || readHeaderOf(fs, path)?.fileType !== FILE_TYPE.temporaryDatabase) return false;
    before(path);
    fs.unlink(path);
    return true;
  } finally {
    lock.release();
  }
}
