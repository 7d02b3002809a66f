import { createChecksumKernel } from '../format/checksum-kernel.js';
import { EseError } from '../format/ese-error.js';
import { isLostWrite } from '../format/flush-map.js';
import { pageOffset } from '../format/page.js';
import { correctPage, newPageScan, type PageVerdict, xorChecksum } from '../format/page-checksum.js';
import { elapsedMs } from '../io/elapsed.js';
import type { FileSystem } from '../io/file-system.js';
import { nodeFileSystem } from '../io/node-file-system.js';
import type { RangeTask } from './range-job.js';

/** Verifies the checksums of the pages of a database, range by range (format specification, chapter 7.4.1). */

/** What a thread needs to know to take part. */
export interface ChecksumInput {
  readonly path: string;
  /** Bytes. */
  readonly pageSize: number;
  /** Last page that lies whole in the file. */
  readonly lastPgno: number;
  /** Last page that the database owns; damage behind it is counted, not listed. */
  readonly lastOwnedPgno: number;
  /** Pages of a range; range r begins at page 1 + r * pagesPerRange. */
  readonly pagesPerRange: number;
  /** Damaged pages to list, the lowest ones; all are counted. */
  readonly listMax: number;
  /** By page number: its state in a trusted flush map. */
  readonly flushStates?: Uint8Array | undefined;
}

/** A page that is not as it should be, as numbers; see `DAMAGED_FIELDS`. */
export type DamagedPages = number[];

/**
 * Numbers for each page in `DamagedPages`: pgno, verdict (index in `DAMAGE_VERDICTS`), the flipped bit or -1,
 * the page number for which the checksum would be right or 0, then stored (low, high) and computed (low,
 * high) checksum of the first block that differs.
 */
export const DAMAGED_FIELDS = 8;

/** A page whose last write was lost is whole, and an old version. */
export type DamageVerdict = PageVerdict | 'lostWrite';

export const DAMAGE_VERDICTS: readonly DamageVerdict[] = ['bad', 'wrongPgno', 'correctable', 'lostWrite'];

/** What one thread found. */
export interface ChecksumTotals {
  uninitialized: number;
  dbtimeMax: number;
  dbtimeMaxPgno: number;
  /** Counts by verdict, in the order of `DAMAGE_VERDICTS`. */
  damaged: number[];
  /** Damaged pages behind the last owned one. */
  beyondOwned: number;
  /** The lowest damaged pages in ascending order, at most `listMax`. */
  list: DamagedPages;
  reads: number;
  /** Milliseconds of all reads, of the slowest and of the fastest one. */
  readMs: number;
  readMsMax: number;
  readMsMin: number;
}

const LOST_WRITE = DAMAGE_VERDICTS.indexOf('lostWrite');
const OFFSET_FLAGS = 36;

/** Words of a page that are zero in the trailer of an old backup. */
const TRAILER_ZERO_WORDS = [1, 2, 3, 6];

/** The task for worker threads, which read through Node's files. */
export function createTask(input: ChecksumInput): RangeTask<ChecksumTotals> {
  return createChecksumTask(nodeFileSystem, input);
}

/** The task of one thread: its own file handle, its own kernel, one buffer. */
export function createChecksumTask(fs: FileSystem, input: ChecksumInput): RangeTask<ChecksumTotals> {
  const { path, pageSize, lastPgno, pagesPerRange } = input;
  const file = fs.open(path, 'read');
  const kernel = createChecksumKernel(pagesPerRange * pageSize);
  const view = new DataView(kernel.bytes.buffer, kernel.bytes.byteOffset);
  const scan = newPageScan();
  const totals: ChecksumTotals = {
    ...scan,
    damaged: DAMAGE_VERDICTS.map(() => 0),
    beyondOwned: 0,
    list: [],
    reads: 0,
    readMs: 0,
    readMsMax: 0,
    readMsMin: Infinity,
  };

  const read = (firstPgno: number, pageCount: number): void => {
    const into = kernel.bytes.subarray(0, pageCount * pageSize);
    const begun = elapsedMs();
    const bytes = file.readAt(into, pageOffset(firstPgno, pageSize));
    const ms = elapsedMs() - begun;
    totals.reads += 1;
    totals.readMs += ms;
    totals.readMsMax = Math.max(totals.readMsMax, ms);
    totals.readMsMin = Math.min(totals.readMsMin, ms);
    if (bytes < into.length) {
      const pgno = firstPgno + Math.floor(bytes / pageSize);
      throw new EseError('JET_errFileIOBeyondEOF', 'the file became shorter while it was read', {
        file: path,
        pgno,
      });
    }
  };

  const diagnose = (index: number, pgno: number): void => {
    const offset = index * pageSize;
    const page = kernel.bytes.subarray(offset, offset + pageSize);
    if (pgno === lastPgno && isTrailer(page)) return;
    if (pgno > input.lastOwnedPgno) {
      totals.beyondOwned += 1;
      return;
    }
    const { verdict, checksums, correctableBits, looksLikePgno } = correctPage(page, pgno, lastPgno);
    const verdictIndex = DAMAGE_VERDICTS.indexOf(verdict);
    totals.damaged[verdictIndex] = (totals.damaged[verdictIndex] ?? 0) + 1;
    // A corrected page counts as good, so its dbtime does too.
    if (verdict === 'correctable') kernel.verifyPages(offset, 1, pageSize, pgno, scan);
    if (totals.list.length >= input.listMax * DAMAGED_FIELDS) return;
    const pair = checksums.find((c) => c.storedLow !== c.computedLow || c.storedHigh !== c.computedHigh);
    totals.list.push(pgno, verdictIndex, correctableBits[0] ?? -1, looksLikePgno ?? 0);
    totals.list.push(
      pair?.storedLow ?? 0,
      pair?.storedHigh ?? 0,
      pair?.computedLow ?? 0,
      pair?.computedHigh ?? 0,
    );
  };

  /** The damaged pages of a range and those whose last write was lost, in ascending order. */
  const diagnoseAll = (firstPgno: number, pageCount: number, suspectCount: number): void => {
    const suspects = kernel.suspects.subarray(0, suspectCount);
    const states = input.flushStates;
    if (states === undefined) {
      for (const index of suspects) diagnose(index, firstPgno + index);
      return;
    }
    let next = 0;
    for (let index = 0; index < pageCount; index++) {
      const pgno = firstPgno + index;
      if (suspects[next] === index) {
        next++;
        diagnose(index, pgno);
      } else if (
        pgno <= input.lastOwnedPgno &&
        isLostWrite(states[pgno] ?? 0, view.getUint32(index * pageSize + OFFSET_FLAGS, true))
      ) {
        totals.damaged[LOST_WRITE] = (totals.damaged[LOST_WRITE] ?? 0) + 1;
        if (totals.list.length >= input.listMax * DAMAGED_FIELDS) continue;
        totals.list.push(pgno, LOST_WRITE, -1, 0, 0, 0, 0, 0);
      }
    }
  };

  return {
    runRange(range) {
      const firstPgno = 1 + range * pagesPerRange;
      const pageCount = Math.min(pagesPerRange, lastPgno - firstPgno + 1);
      read(firstPgno, pageCount);
      const suspectCount = kernel.verifyPages(0, pageCount, pageSize, firstPgno, scan);
      if (suspectCount > 0 || input.flushStates !== undefined) {
        diagnoseAll(firstPgno, pageCount, suspectCount);
      }
    },
    result: () => ({ ...totals, ...scan }),
    close: () => file.close(),
  };
}

/** What two threads found, together. It does not depend on which of them did which range. */
export function mergeTotals(a: ChecksumTotals, b: ChecksumTotals, listMax: number): ChecksumTotals {
  const isFirst =
    a.dbtimeMax > b.dbtimeMax || (a.dbtimeMax === b.dbtimeMax && a.dbtimeMaxPgno < b.dbtimeMaxPgno);
  const { dbtimeMax, dbtimeMaxPgno } = isFirst ? a : b;
  return {
    uninitialized: a.uninitialized + b.uninitialized,
    dbtimeMax,
    dbtimeMaxPgno,
    damaged: DAMAGE_VERDICTS.map((_, i) => (a.damaged[i] ?? 0) + (b.damaged[i] ?? 0)),
    beyondOwned: a.beyondOwned + b.beyondOwned,
    list: mergeLists(a.list, b.list, listMax),
    reads: a.reads + b.reads,
    readMs: a.readMs + b.readMs,
    readMsMax: Math.max(a.readMsMax, b.readMsMax),
    readMsMin: Math.min(a.readMsMin, b.readMsMin),
  };
}

/** The lowest `listMax` pages of two lists, ascending. */
function mergeLists(a: DamagedPages, b: DamagedPages, listMax: number): DamagedPages {
  const merged: DamagedPages = [];
  let i = 0;
  let j = 0;
  while (merged.length < listMax * DAMAGED_FIELDS && (i < a.length || j < b.length)) {
    if ((a[i] ?? Infinity) < (b[j] ?? Infinity)) {
      merged.push(...a.slice(i, i + DAMAGED_FIELDS));
      i += DAMAGED_FIELDS;
    } else {
      merged.push(...b.slice(j, j + DAMAGED_FIELDS));
      j += DAMAGED_FIELDS;
    }
  }
  return merged;
}

/** The last page of an old backup may be a trailer, which carries a header's checksum. */
function isTrailer(page: Uint8Array): boolean {
  const view = new DataView(page.buffer, page.byteOffset, page.byteLength);
  return (
    TRAILER_ZERO_WORDS.every((word) => view.getUint32(word * 4, true) === 0) &&
    view.getUint32(0, true) === xorChecksum(page)
  );
}
