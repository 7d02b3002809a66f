import type { FileHandle, FileLock, FileSystem, LockOptions } from './file-system.js';

/** A file that no other session has open for writing. */
export interface ExclusiveFile extends FileHandle {
  /** Whether the session that held the lock before ended without closing the file. */
  readonly wasAbandoned: boolean;
}

/**
 * Locks a file, then opens it for writing (or creates it). `close` gives the lock back, and the lock file
 * disappears; when the opening fails, nothing stays behind. Every change first makes sure that the lock
 * still is ours. Throws `JET_errFileAccessDenied` when a living session has the file, and what
 * {@link FileSystem.open} throws.
 */
export function openExclusive(
  fs: FileSystem,
  path: string,
  mode: 'write' | 'create',
  options: LockOptions,
): ExclusiveFile {
  const lock = fs.lock(path, options);
  let file: FileHandle;
  try {
    file = fs.open(path, mode);
  } catch (error) {
    lock.release();
    throw error;
  }
  return {
    ...guardedFile(file, lock),
    wasAbandoned: lock.wasAbandoned,
    close() {
      try {
        file.close();
      } finally {
        lock.release();
      }
    },
  };
}

/** A file of which every change first makes sure that the lock still is ours; `close` keeps the lock. */
export function guardedFile(file: FileHandle, lock: FileLock): FileHandle {
  return {
    path: file.path,
    size: () => file.size(),
    readAt: (into, offset) => file.readAt(into, offset),
    writeAt(from, offset) {
      lock.renew();
      file.writeAt(from, offset);
    },
    truncate(size) {
      lock.renew();
      file.truncate(size);
    },
    sync() {
      lock.renew();
      file.sync();
    },
    close: () => file.close(),
  };
}
