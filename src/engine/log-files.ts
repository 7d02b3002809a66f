/**
 * The files of a log stream on their way through life (format specification, chapters 4.1.3 and 5.1.8): how the
 * next generation is prepared and takes the place of the current one, so that a crash at any moment leaves a
 * stream that recovery knows how to start from:
 *
 * | crash | current | archived | tmp |
 * |---|---|---|---|
 * | while tmp is prepared | generation g, full | up to g − 1 | anything |
 * | between the renames | absent | up to g | header of g + 1 |
 * | behind them | g + 1, empty | up to g | absent |
 */
import { join } from 'node:path';
import { EseError } from '../format/ese-error.js';
import { SEGMENT_BYTES } from '../format/log-segment.js';
import type { FileHandle, FileSystem } from '../io/file-system.js';
import {
  archivedLogName,
  type LogDigits,
  type LogExtension,
  parseLogFileName,
} from '../io/log-file-names.js';

/** Reserve logs, that the last updates and the rollbacks go to when the disk is full (chapter 4.1.1). */
const RESERVE_LOGS = 2;
const RESERVE_DIGITS = 5;
/** Archived generations below the checkpoint that circular logging keeps (chapter 4.1.3). */
const CIRCULAR_SLACK = 2;
/** Logs that nobody needs and that wait to be used again: to overwrite a file costs half of making one. */
const SPARE_LOGS = 8;
const ZEROS_BYTES = 1 << 20;

export interface LogFilesOptions {
  readonly fs: FileSystem;
  readonly directory: string;
  /** Three characters. */
  readonly baseName: string;
  readonly extension: LogExtension;
  readonly digits: LogDigits;
  /** Size of a log file in segments of 4096 bytes. */
  readonly csecLGFile: number;
}

export interface NextGeneration {
  /** Generation of the current log, which is archived; undefined if there is no current log. */
  readonly closing: number | undefined;
  /** Generation below which archived logs may be reused or deleted; 0 without circular logging. */
  readonly genCheckpoint: number;
  /** Makes the 4096 bytes of the header, once it is known whether a reserve log has to serve. */
  readonly header: (isFromReserve: boolean) => Uint8Array;
}

export interface LogFiles {
  readonly currentPath: string;
  /** Opens the current log for writing. */
  openCurrent(): FileHandle;
  /**
   * Makes the next generation the current log and opens it. The current one must be durable and closed.
   *
   * @throws EseError JET_errLogDiskFull if neither disk nor reserve has room; nothing has happened then
   */
  beginGeneration(next: NextGeneration): FileHandle;
  /**
   * Makes the reserve logs that are missing.
   *
   * @throws EseError JET_errLogDiskFull if there is no room for them
   */
  ensureReserves(): void;
}

export function createLogFiles(options: LogFilesOptions): LogFiles {
  const { fs, directory, extension, digits } = options;
  const { baseName, suffix } = spellingOf(options);
  const logBytes = options.csecLGFile * SEGMENT_BYTES;
  const currentPath = join(directory, `${baseName}${suffix}`);
  const tmpPath = join(directory, `${baseName}tmp${suffix}`);
  const zeros = new Uint8Array(Math.min(ZEROS_BYTES, logBytes));

  const reservePaths = Array.from({ length: RESERVE_LOGS }, (_, i) =>
    join(directory, `${baseName}res${String(i + 1).padStart(RESERVE_DIGITS, '0')}.jrs`),
  );

  /** Archived logs by generation, the oldest first. */
  function archivedLogs(): { path: string; generation: number }[] {
    return fs
      .readdir(directory)
      .flatMap((name) => {
        const parsed = parseLogFileName(name, baseName);
        return parsed?.role === 'archived' && parsed.extension === extension
          ? [{ path: join(directory, name), generation: parsed.generation }]
          : [];
      })
      .sort((a, b) => a.generation - b.generation);
  }

  function archivedPath(generation: number): string {
    const name = archivedLogName(baseName, generation, digits, extension);
    return join(directory, `${name.slice(0, -extension.length)}${suffix}`);
  }

  /** Fills a file with zeros from `start` to the size of a log. */
  function fill(handle: FileHandle, start: number): void {
    for (let at = start; at < logBytes; at += zeros.length) {
      handle.writeAt(at + zeros.length > logBytes ? zeros.subarray(0, logBytes - at) : zeros, at);
    }
  }

  function unlinkIfPresent(path: string): void {
    if (fs.exists(path)) fs.unlink(path);
  }

  /** Creates a file of zeros; removes it again if the disk is full, and then returns undefined. */
  function createFilled(path: string): FileHandle | undefined {
    let handle: FileHandle | undefined;
    try {
      handle = fs.open(path, 'create');
      fill(handle, 0);
      return handle;
    } catch (error) {
      handle?.close();
      if (!(error instanceof EseError) || error.name !== 'JET_errDiskFull') throw error;
      unlinkIfPresent(path);
      return undefined;
    }
  }

  /** Circular logging: the oldest log that nobody needs becomes tmp; of others like it, the newest are kept for later. */
  function reuseArchived(genCheckpoint: number): FileHandle | undefined {
    const unneeded = archivedLogs().filter(({ generation }) => generation < genCheckpoint - CIRCULAR_SLACK);
    const surplus = Math.max(0, unneeded.length - 1 - SPARE_LOGS);
    for (const { path } of unneeded.slice(0, surplus)) fs.unlink(path);
    const oldest = unneeded[surplus];
    if (oldest === undefined) return undefined;
    return takeOver(oldest.path, false);
  }

  /**
   * Renames a file to tmp and gives it the size of a log. What an older generation left in it may stay: its
   * segments carry a lower position (chapter 4.1.3); what a reserve log holds has no meaning.
   */
  function takeOver(path: string, isReserve: boolean): FileHandle {
    fs.rename(path, tmpPath);
    // Else a crash could leave the old name with the new header.
    fs.syncDirectory(directory);
    const handle = fs.open(tmpPath, 'write');
    const size = handle.size();
    if (size > logBytes) handle.truncate(logBytes);
    fill(handle, isReserve ? 0 : Math.min(size, logBytes));
    return handle;
  }

  function takeReserve(): FileHandle {
    const path = reservePaths.findLast((one) => fs.exists(one));
    if (path === undefined) {
      throw new EseError('JET_errLogDiskFull', 'there is no room for the next log', { file: tmpPath });
    }
    return takeOver(path, true);
  }

  function prepareTmp(next: NextGeneration): void {
    unlinkIfPresent(tmpPath);
    const reused = reuseArchived(next.genCheckpoint);
    let handle = reused ?? createFilled(tmpPath);
    const isNew = reused === undefined && handle !== undefined;
    const isFromReserve = handle === undefined;
    handle ??= takeReserve();
    try {
      handle.writeAt(next.header(isFromReserve), 0);
      handle.sync();
    } finally {
      handle.close();
    }
    // Else a crash could leave neither this name nor that of the current log, which is about to change.
    if (isNew) fs.syncDirectory(directory);
  }

  /** A rename that is durable before anything follows: two of them lost in the wrong order would lose a log. */
  function renameDurably(from: string, to: string): void {
    fs.rename(from, to);
    fs.syncDirectory(directory);
  }

  return {
    currentPath,
    openCurrent: () => fs.open(currentPath, 'write'),
    beginGeneration(next) {
      prepareTmp(next);
      if (next.closing !== undefined) {
        renameDurably(currentPath, archivedPath(next.closing));
      }
      renameDurably(tmpPath, currentPath);
      return fs.open(currentPath, 'write');
    },
    ensureReserves() {
      let isChanged = false;
      for (const path of reservePaths) {
        if (fs.exists(path)) {
          if (fs.stat(path).size === logBytes) continue;
          fs.unlink(path);
        }
        const handle = createFilled(path);
        if (handle === undefined) {
          throw new EseError('JET_errLogDiskFull', 'there is no room for the reserve logs', { file: path });
        }
        handle.sync();
        handle.close();
        isChanged = true;
      }
      if (isChanged) fs.syncDirectory(directory);
    },
  };
}

/** Base name and extension as the files of the stream spell them: it may be typed in another case. */
function spellingOf({ fs, directory, baseName, extension }: LogFilesOptions): {
  baseName: string;
  suffix: string;
} {
  const found = fs.readdir(directory).filter((name) => {
    const parsed = parseLogFileName(name, baseName);
    return parsed?.extension === extension && parsed.role !== 'tmp';
  });
  const name = found.find((one) => one.length === baseName.length + extension.length) ?? found.at(-1);
  if (name === undefined) return { baseName, suffix: extension };
  return { baseName: name.slice(0, baseName.length), suffix: name.slice(-extension.length) };
}
