import type { FileHandle, FileSystem } from './file-system.js';

/** A file of JSON documents, one a line. */
export interface JsonLines {
  write(value: object): void;
  /** Makes all of it durable; the folder is not synced. */
  close(): void;
}

/**
 * Begins a file, in the place of one that lies there.
 *
 * @param accessOf the file of which it shows contents, and whose readers may read it
 */
export function createJsonLines(fs: FileSystem, path: string, accessOf: string): JsonLines {
  if (fs.exists(path)) fs.unlink(path);
  const file: FileHandle = fs.open(path, 'create');
  fs.adoptAccess(path, accessOf);
  let end = 0;
  return {
    write(value) {
      const line = Buffer.from(`${JSON.stringify(value)}\n`, 'utf8');
      file.writeAt(line, end);
      end += line.length;
    },
    close() {
      try {
        file.sync();
      } finally {
        file.close();
      }
    },
  };
}
