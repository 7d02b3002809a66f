/**
 * Copies of large files, `/y` (format specification, chapters 6.2.13, 7.4.5 and 11.4.2). The source is opened for
 * reading only. The copy grows under a temporary name and takes its own when it is whole and durable.
 */

import { dirname } from 'node:path';
import { EseError } from '../format/ese-error.js';
import { JET_ERRORS } from '../format/jet-errors.js';
import type { Environment } from '../io/environment.js';
import type { FileHandle, FileSystem } from '../io/file-system.js';
import { temporaryName } from '../io/replace-file.js';
import type { WarningReport } from './report-values.js';

export interface CopyReport {
  readonly source: string;
  readonly destination: string;
  /** Bytes that could be read. */
  readonly bytesRead: number;
  /** Size of the copy. */
  readonly bytesWritten: number;
  /** Parts of the source that could not be read; in the copy they are zero. */
  readonly unreadable: readonly { readonly offset: number; readonly length: number }[];
}

export interface CopyOptions {
  /** `--force`: the destination may exist. */
  readonly replace?: boolean;
  /** `/i`: fill what cannot be read with zeros, and go on. */
  readonly ignoreReadErrors?: boolean;
  /** Read both files once more and compare them. */
  readonly verify?: boolean;
  /** In bytes. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Bytes that are read and written at a time. */
const BLOCK_BYTES = 1024 * 1024;
/** Bytes whose read is tried apart where a whole block cannot be read: a page of the smallest size. */
const RETRY_BYTES = 4096;
/** Runs of zeros of this length are left out, so that sparse files stay sparse. */
const HOLE_BYTES = 64 * 1024;
const ZEROS = Buffer.alloc(HOLE_BYTES);

/**
 * Copies a file. When it fails or is interrupted nothing stays behind, and a file that was at the destination is
 * untouched.
 *
 * @throws EseError JET_errInvalidDatabase when source and destination are one file, JET_errFileAlreadyExists,
 *   JET_errFileInvalidType for a destination that is no regular file, JET_errDiskFull, JET_errDiskIO and the like for what cannot be read, JET_errReadVerifyFailure when the copy is
 *   found to differ; the signal's reason
 */
export async function copyFile(
  { fs, random }: Pick<Environment, 'fs' | 'random'>,
  source: string,
  destination: string,
  options: CopyOptions = {},
): Promise<CopyReport> {
  const from = fs.open(source, 'read');
  const draftPath = temporaryName(destination, random);
  try {
    refuseDestination(fs, source, destination, options);
    const draft = fs.open(draftPath, 'create');
    fs.adoptAccess(draftPath, source);
    const run = new CopyRun(from, draft, options);
    try {
      await run.copy();
      draft.sync();
      if (options.verify === true) await run.verify();
      draft.close();
      refuseDestination(fs, source, destination, options);
      fs.rename(draftPath, destination);
      fs.syncDirectory(dirname(destination));
      return run.report(source, destination);
    } catch (error) {
      discard(fs, draft);
      throw error;
    }
  } catch (error) {
    // The temporary name is of no use to anybody.
    if (!(error instanceof EseError) || error.file !== draftPath) throw error;
    const detail =
      error.name === 'JET_errDiskFull'
        ? `the copy has ${from.size()} bytes, the volume has ${fs.freeBytes(destination)} free`
        : error.detail;
    throw new EseError(error.name, detail, { file: destination });
  } finally {
    from.close();
  }
}

function discard(fs: FileSystem, draft: FileHandle): void {
  try {
    draft.close();
    if (fs.exists(draft.path)) fs.unlink(draft.path);
  } catch {
    // The first error says why.
  }
}

/** The warning of a copy in which something is missing, if it is. */
export function copyWarning({ unreadable, source }: CopyReport): WarningReport | undefined {
  if (unreadable.length === 0) return undefined;
  const name = 'JET_wrnDatabaseRepaired';
  const bytes = unreadable.reduce((sum, { length }) => sum + length, 0);
  return {
    code: JET_ERRORS[name].code,
    name,
    message: `${bytes} bytes could not be read and are zero in the copy`,
    file: source,
  };
}

function refuseDestination(fs: FileSystem, source: string, destination: string, options: CopyOptions): void {
  if (!fs.exists(destination)) return;
  const { identity, isDirectory } = fs.stat(destination);
  if (isDirectory) throw new EseError('JET_errInvalidPath', 'this is a directory', { file: destination });
  if (identity === fs.stat(source).identity) {
    throw new EseError('JET_errInvalidDatabase', 'source and destination are the same file', {
      file: destination,
    });
  }
  if (options.replace === true) {
    // A device or a pipe must not give way to a file: opening one throws.
    fs.open(destination, 'read').close();
    return;
  }
  throw new EseError('JET_errFileAlreadyExists', 'the file exists; --force replaces it', {
    file: destination,
  });
}

/** One pass over the source, and a second one that compares. */
class CopyRun {
  readonly #from: FileHandle;
  readonly #to: FileHandle;
  readonly #options: CopyOptions;
  readonly #size: number;
  readonly #unreadable: { offset: number; length: number }[] = [];

  constructor(from: FileHandle, to: FileHandle, options: CopyOptions) {
    this.#from = from;
    this.#to = to;
    this.#options = options;
    this.#size = from.size();
  }

  async copy(): Promise<void> {
    this.#to.truncate(this.#size);
    await this.#eachBlock((block, offset) => {
      this.#read(block, offset, (at, length) => this.#noteUnreadable(at, length));
      this.#write(block, offset);
    }, 0);
  }

  /** Compares the copy with the source, byte by byte. */
  async verify(): Promise<void> {
    const copied = Buffer.alloc(BLOCK_BYTES);
    await this.#eachBlock((block, offset) => {
      this.#read(block, offset, () => {});
      const other = copied.subarray(0, block.length);
      this.#to.readAt(other, offset);
      if (other.equals(block)) return;
      throw new EseError('JET_errReadVerifyFailure', `the copy differs from the source at byte ${offset}`, {
        file: this.#from.path,
      });
    }, this.#size);
  }

  report(source: string, destination: string): CopyReport {
    const unread = this.#unreadable.reduce((sum, { length }) => sum + length, 0);
    return {
      source,
      destination,
      bytesRead: this.#size - unread,
      bytesWritten: this.#size,
      unreadable: this.#unreadable,
    };
  }

  /** Hands over every block of the file; `done` bytes were done in an earlier pass. */
  async #eachBlock(use: (block: Buffer, offset: number) => void, done: number): Promise<void> {
    const { signal, onProgress, verify } = this.#options;
    const total = verify === true ? 2 * this.#size : this.#size;
    const memory = Buffer.alloc(BLOCK_BYTES);
    for (let offset = 0; offset < this.#size; offset += BLOCK_BYTES) {
      const block = memory.subarray(0, Math.min(BLOCK_BYTES, this.#size - offset));
      use(block, offset);
      onProgress?.(done + offset + block.length, total);
      await new Promise((resolve) => setImmediate(resolve));
      signal?.throwIfAborted();
    }
  }

  /** Fills a block. With `/i` what cannot be read becomes zero, and `unreadable` is told of it. */
  #read(block: Buffer, offset: number, unreadable: (offset: number, length: number) => void): void {
    try {
      this.#readWhole(block, offset);
    } catch (error) {
      if (this.#options.ignoreReadErrors !== true || !(error instanceof EseError)) throw error;
      for (let at = 0; at < block.length; at += RETRY_BYTES) {
        const part = block.subarray(at, at + RETRY_BYTES);
        try {
          this.#readWhole(part, offset + at);
        } catch (partError) {
          if (!(partError instanceof EseError)) throw partError;
          part.fill(0);
          unreadable(offset + at, part.length);
        }
      }
    }
  }

  #readWhole(into: Buffer, offset: number): void {
    if (this.#from.readAt(into, offset) === into.length) return;
    throw new EseError('JET_errFileIOBeyondEOF', 'the file became shorter while it was copied', {
      file: this.#from.path,
    });
  }

  #write(block: Buffer, offset: number): void {
    let start = 0;
    for (let at = 0; at < block.length; at += HOLE_BYTES) {
      const part = block.subarray(at, at + HOLE_BYTES);
      if (!part.equals(ZEROS.subarray(0, part.length))) continue;
      if (at > start) this.#to.writeAt(block.subarray(start, at), offset + start);
      start = at + part.length;
    }
    if (block.length > start) this.#to.writeAt(block.subarray(start), offset + start);
  }

  #noteUnreadable(offset: number, length: number): void {
    const last = this.#unreadable.at(-1);
    if (last !== undefined && last.offset + last.length === offset) last.length += length;
    else this.#unreadable.push({ offset, length });
  }
}
