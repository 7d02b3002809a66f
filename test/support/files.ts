import { EseError } from '../../src/format/ese-error.js';
import type { FileSystem } from '../../src/io/file-system.js';

/** `length` bytes that a seed chooses, never zero, so that holes show. */
export function patternBytes(seed: number, length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => 1 + ((seed * 31 + i * 7 + (i >> 8)) % 255));
}

export function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1');
}

export function bytesOf(contents: string): Uint8Array {
  return Uint8Array.from(Buffer.from(contents, 'latin1'));
}

/** Creates a file with these contents, durable with its name. */
export function putFile(fs: FileSystem, path: string, contents: Uint8Array): void {
  const file = fs.open(path, 'create');
  file.writeAt(contents, 0);
  file.sync();
  file.close();
  fs.syncDirectory(path.slice(0, path.lastIndexOf('/')) || '/');
}

/** All bytes of a file. */
export function readFile(fs: FileSystem, path: string): Uint8Array {
  const file = fs.open(path, 'read');
  const bytes = new Uint8Array(file.size());
  file.readAt(bytes, 0);
  file.close();
  return bytes;
}

/** The name of the `EseError` that a call throws; fails when it throws none, or another error. */
export function jetErrorOf(call: () => unknown): string {
  try {
    call();
  } catch (error) {
    if (error instanceof EseError) return error.name;
    throw error;
  }
  throw new Error('no error was thrown');
}
