import * as fs from 'node:fs';
import { dirname } from 'node:path';
import { EseError } from '../format/ese-error.js';
import type { JetErrorName } from '../format/jet-errors.js';
import type { FileHandle, FileStat, FileSystem, OpenMode } from './file-system.js';

/** Which JET error an operating-system error stands for (format specification, chapter 6.3). */
const JET_ERROR_OF: Readonly<Record<string, JetErrorName>> = {
  ENOENT: 'JET_errFileNotFound',
  ENOTDIR: 'JET_errInvalidPath',
  EISDIR: 'JET_errFileInvalidType',
  EEXIST: 'JET_errFileAlreadyExists',
  EACCES: 'JET_errFileAccessDenied',
  EPERM: 'JET_errFileAccessDenied',
  EBUSY: 'JET_errFileAccessDenied',
  EROFS: 'JET_errDatabaseFileReadOnly',
  ENOSPC: 'JET_errDiskFull',
  EDQUOT: 'JET_errDiskFull',
  EFBIG: 'JET_errDiskFull',
  EMFILE: 'JET_errOutOfFileHandles',
  ENFILE: 'JET_errOutOfFileHandles',
  ENAMETOOLONG: 'JET_errInvalidPath',
  EINVAL: 'JET_errInvalidPath',
  ELOOP: 'JET_errInvalidPath',
  EIO: 'JET_errDiskIO',
};

const OPEN_FLAGS: Readonly<Record<OpenMode, string>> = { read: 'r', write: 'r+', create: 'wx+' };

function attempt<T>(path: string, call: () => T): T {
  try {
    return call();
  } catch (error) {
    if (error instanceof EseError) throw error.at({ file: path });
    const code = (error as NodeJS.ErrnoException).code;
    if (code === undefined) throw error;
    const name = JET_ERROR_OF[code] ?? 'JET_errDiskIO';
    throw new EseError(name, (error as Error).message.replace(/, \w+ '.*$/s, ''), { file: path });
  }
}

function openFile(path: string, mode: OpenMode): FileHandle {
  const fd = attempt(path, () => {
    const opened = fs.openSync(path, OPEN_FLAGS[mode]);
    if (fs.fstatSync(opened).isDirectory()) {
      fs.closeSync(opened);
      throw new EseError('JET_errFileInvalidType', 'this is a directory');
    }
    return opened;
  });
  return {
    path,
    size: () => attempt(path, () => fs.fstatSync(fd).size),
    readAt: (into, offset) =>
      attempt(path, () => {
        let done = 0;
        while (done < into.length) {
          const read = fs.readSync(fd, into, done, into.length - done, offset + done);
          if (read === 0) break;
          done += read;
        }
        return done;
      }),
    writeAt: (from, offset) =>
      attempt(path, () => {
        let done = 0;
        while (done < from.length) {
          done += fs.writeSync(fd, from, done, from.length - done, offset + done);
        }
      }),
    truncate: (size) => attempt(path, () => fs.ftruncateSync(fd, size)),
    sync: () => attempt(path, () => fs.fdatasyncSync(fd)),
    close: () => attempt(path, () => fs.closeSync(fd)),
  };
}

function syncDirectory(path: string): void {
  // Windows opens no directories; its renames are durable without.
  if (process.platform === 'win32') return;
  attempt(path, () => {
    const fd = fs.openSync(path, 'r');
    try {
      fs.fsyncSync(fd);
    } finally {
      fs.closeSync(fd);
    }
  });
}

function stat(path: string): FileStat {
  return attempt(path, () => {
    const found = fs.statSync(path);
    return { size: found.size, isDirectory: found.isDirectory() };
  });
}

/** The real files of this machine. */
export const nodeFileSystem: FileSystem = {
  open: openFile,
  stat,
  exists: (path) => fs.existsSync(path),
  readdir: (path) => attempt(path, () => fs.readdirSync(path)),
  mkdir: (path) => attempt(path, () => fs.mkdirSync(path, { recursive: true })),
  rename: (from, to) => attempt(from, () => fs.renameSync(from, to)),
  unlink: (path) => attempt(path, () => fs.unlinkSync(path)),
  syncDirectory,
  freeBytes: (path) =>
    attempt(path, () => {
      const volume = fs.statfsSync(fs.existsSync(path) ? path : dirname(path));
      return volume.bavail * volume.bsize;
    }),
};
