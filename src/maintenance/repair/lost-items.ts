import { join } from 'node:path';
import { pageOffset } from '../../format/page.js';
import type { FileHandle, FileSystem } from '../../io/file-system.js';
import { createJsonLines, type JsonLines } from '../../io/json-lines.js';
import { hexOf } from '../integrity/finding.js';

/** Folder for what a repair could not use: damaged pages and lost records (format specification, chapter 7.2.11). */
export interface LostItems {
  /** Path of the page in the folder. */
  page(pgno: number): string;
  record(item: LostRecord): void;
  /** Makes all of it durable. */
  close(): void;
}

/** A record, value or entry that is not in the repaired database. */
export interface LostRecord {
  readonly table: string;
  readonly objid: number;
  readonly pgno: number;
  readonly line: number;
  readonly reason: string;
  readonly key: Uint8Array;
  readonly data: Uint8Array;
}

const RECORDS_FILE = 'lost-records.jsonl';
const PGNO_DIGITS = 8;

export function openLostItems(
  fs: FileSystem,
  folder: string,
  source: FileHandle,
  pageSize: number,
): LostItems {
  fs.mkdir(folder);
  let records: JsonLines | undefined;
  const replace = (path: string): FileHandle => {
    if (fs.exists(path)) fs.unlink(path);
    const file = fs.open(path, 'create');
    fs.adoptAccess(path, source.path);
    return file;
  };
  return {
    page(pgno) {
      const path = join(folder, `page-${String(pgno).padStart(PGNO_DIGITS, '0')}.bin`);
      const bytes = new Uint8Array(pageSize);
      let length = 0;
      try {
        length = source.readAt(bytes, pageOffset(pgno, pageSize));
      } catch {
        // What the disk does not give back cannot be kept.
      }
      const file = replace(path);
      try {
        file.writeAt(bytes.subarray(0, length), 0);
        file.sync();
      } finally {
        file.close();
      }
      return path;
    },
    record({ key, data, ...rest }) {
      records ??= createJsonLines(fs, join(folder, RECORDS_FILE), source.path);
      records.write({ ...rest, key: hexOf(key), data: hexOf(data) });
    },
    close() {
      records?.close();
      records = undefined;
      fs.syncDirectory(folder);
    },
  };
}
