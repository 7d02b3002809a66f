import { basename, dirname, join, parse } from 'node:path';
import { EseError } from '../../format/ese-error.js';
import type { FileSystem, LockOptions } from '../../io/file-system.js';
import { removeTemporaries } from '../../io/replace-file.js';
import { refuseForeignTemporary } from '../defrag/install.js';
import { removeAbandonedTemporaries } from '../leftovers.js';
import type { RepairOptions } from './repair-report.js';

/** The files of a repair. */
export interface RepairPlaces {
  readonly source: string;
  /** Where a new database is made. */
  readonly temp: string;
  /** Where it goes; undefined = to the place of the old one. */
  readonly output: string | undefined;
  readonly undoFile: string | undefined;
  readonly keepLost: string | undefined;
  /** Where deleted records are listed. */
  readonly undeletedFile: string | undefined;
}

const TEMPORARY_DEFAULT = 'TEMPREPAIR.EDB';

/**
 * The files that are asked for, and those that nobody named.
 *
 * @throws EseError JET_errInvalidParameter for a new place of a database that is to be repaired in its own
 */
export function placesOf(source: string, options: RepairOptions): RepairPlaces {
  const { inPlace = false, output, temp, undoFile, keepLost, undeletedFile } = options;
  if (inPlace && output !== undefined) {
    throw new EseError(
      'JET_errInvalidParameter',
      'a database is repaired in its place or into another file',
      {
        file: output,
      },
    );
  }
  const target = inPlace ? undefined : (output ?? outputDefault(source));
  return {
    source,
    temp: temp ?? join(dirname(target ?? source), TEMPORARY_DEFAULT),
    output: target,
    undoFile: inPlace ? undoFile : undefined,
    keepLost,
    undeletedFile,
  };
}

function outputDefault(source: string): string {
  const { dir, name, ext } = parse(source);
  return join(dir, `${name}.repaired${ext}`);
}

/** Where a repaired database waits for its place: beside the old one. The name is ours. */
export function waitingPath(target: string): string {
  return `${target}.repair-waiting`;
}

/**
 * Refuses paths that name one file twice, files that nobody allowed to replace, and places where nothing can be made.
 *
 * @throws EseError JET_errInvalidDatabase, JET_errFileAlreadyExists, JET_errDatabaseFileReadOnly, and those of folders
 *   that are missing or may not be written to
 */
export function checkPlaces(
  fs: FileSystem,
  { source, temp, output, undoFile, keepLost, undeletedFile }: RepairPlaces,
  lockOptions: LockOptions,
): void {
  const own = fs.stat(source).identity;
  for (const path of [temp, output, undoFile, keepLost, undeletedFile]) {
    if (path === undefined) continue;
    const folder = dirname(path);
    if (!fs.exists(folder)) {
      throw new EseError('JET_errInvalidPath', 'the folder does not exist', { file: folder });
    }
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
  if (keepLost !== undefined && fs.exists(keepLost) && !fs.stat(keepLost).isDirectory) {
    throw new EseError('JET_errInvalidPath', 'lost pages and records need a folder', { file: keepLost });
  }
  refuseForeignTemporary(fs, temp);
  // A rename needs no permission of the file that it replaces.
  if (output === undefined) fs.open(source, 'write').close();
  for (const path of [temp, output, undoFile, undeletedFile]) {
    if (path !== undefined) fs.lock(path, lockOptions).release();
  }
}

/**
 * Removes what repairs have left that were killed: unfinished databases of dead sessions in the folder of temporary
 * ones, and what they had begun to write beside the database. Returns what was there.
 */
export function removeLeftovers(
  fs: FileSystem,
  { source, temp, output, undoFile }: RepairPlaces,
  lockOptions: LockOptions,
): string[] {
  const waiting = waitingPath(output ?? source);
  const found = removeAbandonedTemporaries(fs, temp, lockOptions, (path) => removeSortFiles(fs, path));
  if (fs.exists(waiting)) {
    fs.unlink(waiting);
    found.push(waiting);
  }
  for (const path of [output ?? source, temp, undoFile]) if (path !== undefined) removeTemporaries(fs, path);
  return found;
}

function removeSortFiles(fs: FileSystem, temp: string): void {
  const start = sortFilePath(basename(temp), '');
  for (const name of fs.readdir(dirname(temp))) {
    if (name.startsWith(start) && /^\d+$/.test(name.slice(start.length)))
      fs.unlink(join(dirname(temp), name));
  }
}

/** Where entries of an index are sorted, beside the new database. */
export function sortFilePath(temp: string, number: number | ''): string {
  return `${temp}.sort${number}`;
}
