import { dirname, join, parse } from 'node:path';
import { EseError } from '../../format/ese-error.js';
import type { FileSystem } from '../../io/file-system.js';
import { refuseForeignTemporary } from '../defrag/install.js';
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
}

const TEMPORARY_DEFAULT = 'TEMPREPAIR.EDB';

/**
 * The files that are asked for, and those that nobody named.
 *
 * @throws EseError JET_errInvalidParameter for a new place of a database that is to be repaired in its own
 */
export function placesOf(source: string, options: RepairOptions): RepairPlaces {
  const { inPlace = false, output, temp, undoFile, keepLost } = options;
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
  };
}

function outputDefault(source: string): string {
  const { dir, name, ext } = parse(source);
  return join(dir, `${name}.repaired${ext}`);
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
