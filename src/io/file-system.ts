/**
 * Every byte of a user's file that the project reads or writes passes through this interface.
 * Production uses Node's files, tests can put a simulated disk in their place. All calls are
 * synchronous and throw an `EseError` that names the file (format specification, chapter 6.3).
 *
 * What is durable when: the bytes and the size of a file after `sync` of one of its handles; the names
 * in a directory (of files created, renamed or unlinked there) after `syncDirectory` of it.
 */
export interface FileSystem {
  /**
   * Opens a regular file. Throws `JET_errFileNotFound`, `JET_errInvalidPath` (the folder is missing),
   * `JET_errFileAlreadyExists` (`create`), `JET_errDatabaseFileReadOnly` (to write what may only be read),
   * `JET_errFileAccessDenied`, `JET_errFileInvalidType` (a directory, a pipe, a device).
   */
  open(path: string, mode: OpenMode): FileHandle;
  stat(path: string): FileStat;
  /** Whether something lies at `path`. */
  exists(path: string): boolean;
  /** Names in a directory, in code unit order. */
  readdir(path: string): string[];
  /** Creates a directory and the missing ones above it, durably. Nothing happens when it exists. */
  mkdir(path: string): void;
  /** Removes an empty directory. */
  rmdir(path: string): void;
  /** Atomically puts `from` in the place of `to`, which may exist. Both lie on one volume. */
  rename(from: string, to: string): void;
  unlink(path: string): void;
  /** The file that a symbolic link leads to; any other path is returned as it is. */
  resolveLink(path: string): string;
  /**
   * Gives a file the permissions of another, of which it holds contents, and its owner and group where the system
   * allows that; where it does not, nobody may do more than with the other. Its owner may write it in any case.
   */
  adoptAccess(path: string, from: string): void;
  /** Makes the entries of a directory durable (does nothing where the platform has no such call). */
  syncDirectory(path: string): void;
  /** Free bytes that an ordinary user may use on the volume of `path`, which need not exist yet. */
  freeBytes(path: string): number;
  /**
   * Locks `path` (a database, or the `<base>` of a log stream; it need not exist) against every other
   * session, in this process too. Throws `JET_errFileAccessDenied`, naming the holder, while a living one
   * has it. The lock of a session that died is taken over.
   */
  lock(path: string, options: LockOptions): FileLock;
  /** Who holds the lock of `path` and is alive, or cannot be shown to be dead. Creates nothing. */
  lockHolder(path: string): LockHolder | undefined;
}

/** `read` and `write` need an existing file; `create` makes a new one, for reading and writing. */
export type OpenMode = 'read' | 'write' | 'create';

/** What a path names. */
export interface FileStat {
  /** Size in bytes. */
  readonly size: number;
  readonly isDirectory: boolean;
  /** Equal for two paths exactly when they name the same file. */
  readonly identity: string;
  /** Equal for two paths exactly when they lie on one volume, so that a rename leads from one to the other. */
  readonly volume: string;
}

/** An open file. Offsets and lengths are bytes. */
export interface FileHandle {
  readonly path: string;
  size(): number;
  /** Fills `into` from `offset` on; returns the bytes read, fewer only at the end of the file. */
  readAt(into: Uint8Array, offset: number): number;
  /**
   * Writes all of `from` at `offset`; bytes between the old end and `offset` become zero. Throws
   * `JET_errDiskFull`; a beginning of `from` may have been written then.
   */
  writeAt(from: Uint8Array, offset: number): void;
  /** Cuts the file, or extends it with zeros. */
  truncate(size: number): void;
  /**
   * Makes contents and size durable. When it fails, nothing is known of the writes since the last
   * success, and trying again would prove nothing: every later `sync` of this handle fails too.
   */
  sync(): void;
  /** A second `close` does nothing; any other call on a closed handle is an error in the program. */
  close(): void;
}

/** What the holder of a lock is: it appears in the message to whoever comes second. */
export type LockRole = 'eseutil' | 'esekit' | 'isinteg' | 'store' | 'seed';

export interface LockOptions {
  readonly role: LockRole;
  /** Takes a lock, too, whose holder cannot be examined from here (`--break-lock`). Default: refuse. */
  readonly breakForeign?: boolean;
}

/** A held lock. */
export interface FileLock {
  /** Whether the session that held it before ended without releasing it. */
  readonly wasAbandoned: boolean;
  /** To be called before writes: throws `JET_errFileAccessDenied` when the lock has been lost. Cheap. */
  renew(): void;
  /** A second call does nothing. */
  release(): void;
}

export interface LockHolder {
  readonly pid: number;
  readonly host: string;
  readonly role: string;
  /** When the lock was taken, milliseconds since 1970 UTC. */
  readonly since: number;
}
