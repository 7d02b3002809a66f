/**
 * Every byte of a user's file that the project reads or writes passes through this interface.
 * Production uses Node's files, tests can put a simulated disk in their place. All calls are
 * synchronous and throw an `EseError` that names the file.
 */
export interface FileSystem {
  /** Opens an existing file, or creates one (`create` fails when it exists already). */
  open(path: string, mode: OpenMode): FileHandle;
  stat(path: string): FileStat;
  /** Whether something lies at `path`. */
  exists(path: string): boolean;
  readdir(path: string): string[];
  /** Creates a directory and the missing ones above it. */
  mkdir(path: string): void;
  /** Atomically puts `from` in the place of `to`. */
  rename(from: string, to: string): void;
  unlink(path: string): void;
  /** Makes the entries of a directory durable (does nothing where the platform has no such call). */
  syncDirectory(path: string): void;
  /** Free bytes that an ordinary user may use on the volume of `path`. */
  freeBytes(path: string): number;
}

/** `read` and `write` need an existing file; `create` makes a new one, for reading and writing. */
export type OpenMode = 'read' | 'write' | 'create';

/** What a path names. */
export interface FileStat {
  /** Size in bytes. */
  readonly size: number;
  readonly isDirectory: boolean;
}

/** An open file. Offsets and lengths are bytes. */
export interface FileHandle {
  readonly path: string;
  size(): number;
  /** Fills `into` from `offset` on; returns the bytes read, fewer only at the end of the file. */
  readAt(into: Uint8Array, offset: number): number;
  /** Writes all of `from` at `offset`. */
  writeAt(from: Uint8Array, offset: number): void;
  truncate(size: number): void;
  sync(): void;
  close(): void;
}
