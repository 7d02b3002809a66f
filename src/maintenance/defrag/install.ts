import { basename, dirname } from 'node:path';
import { FILE_TYPE } from '../../format/database-header.js';
import { EseError } from '../../format/ese-error.js';
import type { FileHandle, FileSystem } from '../../io/file-system.js';
import { takeTurns } from '../../workers/turns.js';
import { readHeaderOf } from '../file-kind.js';
import { flushMapPath } from '../flush-states.js';

/**
 * Putting a finished database in the place of another (format specification, chapter 6.4, R9): at every moment the
 * name stands for the old one or for the new one. Only with a backup there is one between two renames at which it
 * stands for none; {@link takeBack} ends it.
 */

const COPY_BYTES = 4 * 1024 * 1024;

/** Told of a move when it was made, or has failed. */
export type OnMove = (from: string, to: string, isDone: boolean) => void;

/** Copies a file, durably. What lies at `to` is replaced. A copy that fails, or is stopped, does not stay. */
async function copyFile(
  fs: FileSystem,
  from: string,
  to: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (fs.exists(to)) fs.unlink(to);
  const source = fs.open(from, 'read');
  try {
    const target = fs.open(to, 'create');
    try {
      // Nobody may read the copy who may not read what it is a copy of.
      fs.adoptAccess(to, from);
      await copyBytes(source, target, signal);
      target.sync();
    } catch (error) {
      fs.unlink(to);
      throw error;
    } finally {
      target.close();
    }
  } finally {
    source.close();
  }
  fs.syncDirectory(dirname(to));
}

/** Copies all bytes, in turns. */
export async function copyBytes(
  source: Pick<FileHandle, 'size' | 'readAt'>,
  target: FileHandle,
  signal: AbortSignal | undefined,
): Promise<void> {
  const size = source.size();
  const buffer = new Uint8Array(COPY_BYTES);
  const turns = takeTurns(signal);
  for (let offset = 0; offset < size; ) {
    if (turns.isOver()) await turns.next();
    const read = source.readAt(buffer.subarray(0, Math.min(COPY_BYTES, size - offset)), offset);
    if (read === 0)
      throw new EseError('JET_errFileIOBeyondEOF', 'the file became shorter while it was copied');
    target.writeAt(buffer.subarray(0, read), offset);
    offset += read;
  }
}

/**
 * Where a new database waits for its place: beside the old one. The name is ours; a database that an interrupted run
 * left there is removed.
 */
export function waitingPath(source: string): string {
  return `${source}.defragmented`;
}

export interface InstallOptions {
  readonly onMove?: OnMove | undefined;
  readonly waiting?: string;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Puts the database `temp` in the place of `source`, which is kept as `backup` if that is given. A flush map of the
 * old database goes with it, or away: it says nothing about the new one.
 *
 * @param header both header copies that the database is to have in its place
 * @param options `waiting`: where it waits, beside `source`; `signal` stops copies between volumes
 * @throws EseError what the file system says, and the signal's reason; the old database is in its place then. Where
 *   even that fails, `JET_errFileAccessDenied` tells how to end the work by hand.
 */
export async function installDatabase(
  fs: FileSystem,
  temp: string,
  source: string,
  backup: string | undefined,
  header: Uint8Array,
  options: InstallOptions = {},
): Promise<void> {
  const { onMove = () => {}, waiting = waitingPath(source), signal } = options;
  try {
    // Copies between volumes take long: they are made while the old database is still in its place.
    if (isOneVolume(fs, temp, dirname(source))) rename(fs, temp, waiting);
    else await copyFile(fs, temp, waiting, signal);
    writeHeader(fs, waiting, header);
    if (fs.exists(source)) fs.adoptAccess(waiting, source);
    let isBackupCopied = false;
    try {
      if (backup !== undefined) {
        await announced(onMove, source, backup, async () => {
          isBackupCopied = await keepAs(fs, source, backup, signal);
        });
      }
      await announced(onMove, temp, source, () => rename(fs, waiting, source));
    } catch (error) {
      if (backup !== undefined && !fs.exists(source)) putBack(fs, waiting, source, backup, error);
      else if (backup !== undefined && isBackupCopied) fs.unlink(backup);
      throw error;
    }
  } catch (error) {
    discard(fs, waiting, source);
    throw error;
  }
  if (fs.exists(temp)) fs.unlink(temp);
  const map = flushMapPath(source);
  if (!fs.exists(map)) return;
  if (backup === undefined || !isOneVolume(fs, map, dirname(backup))) fs.unlink(map);
  else fs.rename(map, flushMapPath(backup));
  fs.syncDirectory(dirname(map));
}

/** Removes a new database that did not come into its place; while the old one has none either, it is kept. */
export function discard(fs: FileSystem, unfinished: string, source: string): void {
  try {
    if (fs.exists(source) && fs.exists(unfinished)) fs.unlink(unfinished);
  } catch {
    // The first error says why.
  }
}

/** Writes both copies of a header, durably. */
export function writeHeader(fs: FileSystem, path: string, header: Uint8Array): void {
  const file = fs.open(path, 'write');
  try {
    file.writeAt(header, 0);
    file.sync();
  } finally {
    file.close();
  }
}

export function isOneVolume(fs: FileSystem, a: string, b: string): boolean {
  return fs.stat(a).volume === fs.stat(b).volume;
}

/**
 * Moves the old database away; to another volume goes a copy, and it stays itself to be replaced. Returns whether it
 * was copied.
 */
async function keepAs(
  fs: FileSystem,
  source: string,
  backup: string,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  if (!isOneVolume(fs, source, dirname(backup))) {
    await copyFile(fs, source, backup, signal);
    return true;
  }
  rename(fs, source, backup);
  return false;
}

function rename(fs: FileSystem, from: string, to: string): void {
  fs.rename(from, to);
  fs.syncDirectory(dirname(to));
  if (dirname(from) !== dirname(to)) fs.syncDirectory(dirname(from));
}

async function announced(
  onMove: OnMove,
  from: string,
  to: string,
  move: () => Promise<void> | void,
): Promise<void> {
  try {
    await move();
  } catch (error) {
    onMove(from, to, false);
    throw error;
  }
  onMove(from, to, true);
}

function putBack(fs: FileSystem, waiting: string, source: string, backup: string, cause: unknown): void {
  try {
    rename(fs, backup, source);
  } catch {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new EseError(
      'JET_errFileAccessDenied',
      `the old database is ${backup} now, the new one ${waiting} could not be moved (${why}): mv ${waiting} ${source} completes the work`,
      { file: source },
    );
  }
}

/**
 * Ends an installation that was interrupted between its two renames: the backup becomes the database again. Does
 * nothing where the database is in its place. Returns whether something was done.
 */
export function takeBack(fs: FileSystem, source: string, backup: string): boolean {
  if (fs.exists(source) || !fs.exists(backup)) return false;
  rename(fs, backup, source);
  return true;
}

/** Temporary names of the original, which may be overwritten (format specification, chapter 6.4, R10). */
const TEMPORARY_NAME = /^TEMP.*\d+\.EDB$/i;

/**
 * Lets a temporary database be made where there is nothing, or what an interrupted run left, or what has the name of
 * such a thing.
 *
 * @throws EseError JET_errFileInvalidType for a directory, JET_errFileAlreadyExists for anything else
 */
export function refuseForeignTemporary(fs: FileSystem, temp: string): void {
  if (!fs.exists(temp)) return;
  const { isDirectory, size } = fs.stat(temp);
  if (isDirectory) throw new EseError('JET_errFileInvalidType', 'this is a directory', { file: temp });
  if (TEMPORARY_NAME.test(basename(temp)) || size === 0) return;
  if (readHeaderOf(fs, temp)?.fileType === FILE_TYPE.temporaryDatabase) return;
  throw new EseError('JET_errFileAlreadyExists', 'it is no temporary database', { file: temp });
}
