import { HEADER_ELECTION_BYTES } from '../../format/database-header.js';
import { pageOffset } from '../../format/page.js';
import { correctPage } from '../../format/page-checksum.js';
import type { FileHandle } from '../../io/file-system.js';
import type { RepairSource } from './source-view.js';
import type { ReadableBytes } from './undo-file.js';

/**
 * Repairs that leave every page where it is: the header, and single bits (format specification, chapters 7.2.3,
 * 7.4.4 and 7.2.12). They are safe against a crash in themselves: a page that is only half written still has at most
 * the one wrong bit, and of the two headers one is whole at any time.
 */
export interface PageChanges {
  /** The header page that both copies get; undefined = they stay. */
  readonly header: Uint8Array | undefined;
  /** Pages with wrong bits, ascending. */
  readonly corrected: readonly number[];
}

/** The database as it will be, without a change of the file. */
export function changedBytes(file: FileHandle, source: RepairSource, changes: PageChanges): ReadableBytes {
  const { pageSize, wholeBytes } = source;
  const { header, corrected } = changes;
  return {
    size: () => wholeBytes,
    readAt(into, offset) {
      const wanted = into.subarray(0, Math.max(0, Math.min(into.length, wholeBytes - offset)));
      const read = file.readAt(wanted, offset);
      const end = offset + read;
      if (header !== undefined) {
        for (let at = offset; at < Math.min(end, 2 * header.length); at++) {
          into[at - offset] = header[at % header.length] as number;
        }
      }
      for (let i = lowerBound(corrected, Math.ceil(offset / pageSize) - 1); i < corrected.length; i++) {
        const pgno = corrected[i] ?? 0;
        const at = pageOffset(pgno, pageSize) - offset;
        if (at + pageSize > read) break;
        correctPage(into.subarray(at, at + pageSize), pgno);
      }
      return read;
    },
  };
}

/** Index of the first number that is at least `wanted`. */
function lowerBound(sorted: readonly number[], wanted: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] ?? 0) < wanted) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * Makes the changes in the file, durably: first pages, then a damaged copy of the header from the good one, then both
 * copies one after the other.
 */
export function changeInPlace(file: FileHandle, source: RepairSource, changes: PageChanges): void {
  const { pageSize, headerSource, headerBytes } = source;
  const page = new Uint8Array(pageSize);
  for (const pgno of changes.corrected) {
    const offset = pageOffset(pgno, pageSize);
    file.readAt(page, offset);
    correctPage(page, pgno);
    file.writeAt(page, offset);
  }
  if (changes.corrected.length > 0) file.sync();
  const { header } = changes;
  if (header === undefined) return;
  const write = (bytes: Uint8Array, offset: number): void => {
    file.writeAt(bytes, offset);
    file.sync();
  };
  if (headerSource === 'primary') write(headerBytes, pageSize);
  if (headerSource === 'shadow') write(headerBytes, 0);
  const now = new Uint8Array(HEADER_ELECTION_BYTES);
  file.readAt(now, 0);
  for (const offset of [0, pageSize]) {
    const isThere = header.every((byte, i) => byte === now[offset + i]);
    if (!isThere) write(header, offset);
  }
}
