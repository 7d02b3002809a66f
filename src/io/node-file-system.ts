import * as fs from 'node:fs';
import { dirname } from 'node:path';
import { EseError } from '../format/ese-error.js';
import type { FileHandle, FileStat, FileSystem, OpenMode } from './file-system.js';
import { findLockHolder, takeLock } from './lock-file.js';
import { isSystemError, toEseError } from './system-error.js';

const { O_RDONLY, O_RDWR, O_CREAT, O_EXCL } = fs.constants;
/** Keeps `open` from waiting for the other end of a pipe. Windows has no such flag. */
const O_NONBLOCK = fs.constants.O_NONBLOCK ?? 0;

const OPEN_FLAGS: Readonly<Record<OpenMode, number>> = {
  read: O_RDONLY | O_NONBLOCK,
  write: O_RDWR | O_NONBLOCK,
  create: O_RDWR | O_CREAT | O_EXCL,
};

/** Most bytes that one call moves: Linux moves at most 2 GiB, Node refuses to try. */
const TRANSFER_MAX = 1 << 30;

function attempt<T>(path: string, call: () => T): T {
  try {
    return call();
  } catch (error) {
    throw toEseError(error, path);
  }
}

function openRegular(path: string, mode: OpenMode): number {
  let fd: number;
  try {
    fd = fs.openSync(path, OPEN_FLAGS[mode]);
  } catch (error) {
    const isForbidden = isSystemError(error) && (error.code === 'EACCES' || error.code === 'EPERM');
    if (mode === 'write' && isForbidden && isReadable(path)) {
      throw new EseError('JET_errDatabaseFileReadOnly', 'it may only be read');
    }
    throw error;
  }
  const found = fs.fstatSync(fd);
  if (found.isFile()) return fd;
  fs.closeSync(fd);
  const kind = found.isDirectory() ? 'a directory' : 'not a regular file';
  throw new EseError('JET_errFileInvalidType', `this is ${kind}`);
}

function isReadable(path: string): boolean {
  try {
    fs.closeSync(fs.openSync(path, OPEN_FLAGS.read));
    return true;
  } catch {
    return false;
  }
}

function openFile(path: string, mode: OpenMode): FileHandle {
  let fd = attempt(path, () => openRegular(path, mode));
  let syncFailure: unknown;
  return {
    path,
    size: () => attempt(path, () => fs.fstatSync(fd).size),
    readAt(into, offset) {
      let done = 0;
      try {
        while (done < into.length) {
          const length = Math.min(into.length - done, TRANSFER_MAX);
          const read = fs.readSync(fd, into, done, length, offset + done);
          if (read === 0) break;
          done += read;
        }
      } catch (error) {
        throw toEseError(error, path);
      }
      return done;
    },
    writeAt(from, offset) {
      let done = 0;
      try {
        while (done < from.length) {
          const length = Math.min(from.length - done, TRANSFER_MAX);
          const written = fs.writeSync(fd, from, done, length, offset + done);
          if (written === 0) throw new EseError('JET_errDiskFull', 'nothing more can be written');
          done += written;
        }
      } catch (error) {
        throw toEseError(error, path);
      }
    },
    truncate: (size) => attempt(path, () => fs.ftruncateSync(fd, size)),
    sync() {
      // The kernel reports a lost write once and then forgets it.
      if (syncFailure !== undefined) throw syncFailure;
      try {
        fs.fdatasyncSync(fd);
      } catch (error) {
        syncFailure = toEseError(error, path);
        throw syncFailure;
      }
    },
    close() {
      if (fd < 0) return;
      const open = fd;
      // The number may name another file soon.
      fd = -1;
      attempt(path, () => fs.closeSync(open));
    },
  };
}

function syncDirectory(path: string): void {
  // Windows opens no directories; its renames are durable without.
  if (process.platform === 'win32') return;
  attempt(path, () => {
    const fd = fs.openSync(path, 'r');
    try {
      fs.fsyncSync(fd);
    } catch (error) {
      // So says a file system that has no such call.
      if (!isSystemError(error) || error.code !== 'EINVAL') throw error;
    } finally {
      fs.closeSync(fd);
    }
  });
}

function makeDirectory(path: string): void {
  const missing: string[] = [];
  let above = path;
  while (!fs.existsSync(above) && dirname(above) !== above) {
    missing.push(above);
    above = dirname(above);
  }
  attempt(path, () => fs.mkdirSync(path, { recursive: true }));
  for (const made of missing) syncDirectory(dirname(made));
}

function rename(from: string, to: string): void {
  try {
    fs.renameSync(from, to);
  } catch (error) {
    // The system does not say which of the two is at fault.
    throw toEseError(error, fs.existsSync(from) ? to : from);
  }
}

function resolveLink(path: string): string {
  const isLink = fs.lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() === true;
  return isLink && fs.existsSync(path) ? attempt(path, () => fs.realpathSync(path)) : path;
}

const PERMISSIONS = 0o777;
const GROUP_PERMISSIONS = 0o070;
const OWNER_MAY_WRITE = 0o600;

function adoptAccess(path: string, from: string): void {
  attempt(path, () => {
    const model = fs.statSync(from);
    const own = fs.statSync(path);
    let mode = (model.mode & PERMISSIONS) | OWNER_MAY_WRITE;
    const { uid, gid } = model;
    const isSameGroup = own.gid === gid || isDone(() => fs.chownSync(path, own.uid, gid));
    if (!isSameGroup) mode &= ~GROUP_PERMISSIONS;
    // Only the superuser gives files away; after that they are not ours to change.
    if ((own.mode & PERMISSIONS) !== mode) fs.chmodSync(path, mode);
    if (own.uid !== uid) isDone(() => fs.chownSync(path, uid, isSameGroup ? gid : own.gid));
  });
}

function isDone(call: () => void): boolean {
  try {
    call();
    return true;
  } catch {
    return false;
  }
}

function stat(path: string): FileStat {
  return attempt(path, () => {
    const found = fs.statSync(path, { bigint: true });
    return {
      size: Number(found.size),
      isDirectory: found.isDirectory(),
      identity: `${found.dev}:${found.ino}`,
      volume: String(found.dev),
    };
  });
}

function freeBytes(path: string): number {
  return attempt(path, () => {
    let existing = path;
    while (!fs.existsSync(existing) && dirname(existing) !== existing) existing = dirname(existing);
    const volume = fs.statfsSync(existing);
    return volume.bavail * volume.bsize;
  });
}

/** The real files of this machine. Locks: see lock-file.ts. */
export const nodeFileSystem: FileSystem = {
  open: openFile,
  stat,
  exists: (path) => fs.existsSync(path),
  readdir: (path) => attempt(path, () => fs.readdirSync(path).sort()),
  mkdir: makeDirectory,
  rmdir: (path) => attempt(path, () => fs.rmdirSync(path)),
  rename,
  unlink: (path) => attempt(path, () => fs.unlinkSync(path)),
  resolveLink,
  adoptAccess,
  syncDirectory,
  freeBytes,
  lock: takeLock,
  lockHolder: findLockHolder,
};
