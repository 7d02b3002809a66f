/**
 * One pass over all pages of a damaged database: what each page is, as far as its own bytes tell (format
 * specification, chapter 7.2.5). No tree is followed here.
 */

import { createChecksumKernel } from '../../format/checksum-kernel.js';
import { EseError } from '../../format/ese-error.js';
import { checkPageStructure, PAGE_FLAG, Page, pageOffset } from '../../format/page.js';
import { correctPage, newPageScan } from '../../format/page-checksum.js';
import type { FileSystem } from '../../io/file-system.js';
import { nodeFileSystem } from '../../io/node-file-system.js';
import { type JobOptions, runRanges } from '../../workers/pool.js';
import type { RangeTask } from '../../workers/range-job.js';
import { isBlank } from '../integrity/page-check.js';
import { pagesPerRange } from '../integrity/plan.js';

/** What a page is by its own bytes. */
export const PAGE_CLASS = {
  /** All zero: never written, or lost. */
  blank: 0,
  /** A leaf of a data, index or long-value tree. */
  leaf: 1,
  /** An internal page of such a tree. */
  branch: 2,
  /** A page of a space tree. */
  space: 3,
  /** Marked as empty, or made ready for later use. */
  empty: 4,
  /** The checksum is right, but tags or nodes contradict each other. */
  unsound: 5,
  /** The image of another page, whole as such. */
  misplaced: 6,
  /** The checksum is wrong, and no single bit explains that. */
  bad: 7,
  /** The disk does not give it back. */
  unreadable: 8,
} as const;

export type PageClass = (typeof PAGE_CLASS)[keyof typeof PAGE_CLASS];

/** A page whose checksum is wrong by single bits, at most one in each of its checksummed blocks. */
export interface CorrectedPage {
  readonly pgno: number;
  /** Numbers of the bits within the page: byte `n >> 3`, bit `n & 7`. */
  readonly bits: readonly number[];
}

/** A page that holds the image of another one. */
export interface MisplacedPage {
  readonly pgno: number;
  /** Number of the page whose image it is. */
  readonly imageOf: number;
  readonly dbtime: number;
}

/** What the pass found: eight bytes a page. */
export interface PageScan {
  readonly pageSize: number;
  /** Last page that lies whole in the file. */
  readonly lastPgno: number;
  /** Objid by page number, as the page says; that of a damaged page proves nothing. 0 for blank pages. */
  readonly objids: Uint32Array;
  /** Class and flags by page number: see {@link classOf} and {@link flagsOf}. */
  readonly marks: Uint32Array;
  /** By page number. They count in their classes. */
  readonly corrected: readonly CorrectedPage[];
  /** By page number. */
  readonly misplaced: readonly MisplacedPage[];
  /** Highest dbtime of all whole pages, and one page that has it (0 = none). */
  readonly dbtimeMax: number;
  readonly dbtimeMaxPgno: number;
  /** Highest objid of all whole pages. */
  readonly objidMax: number;
}

const CLASS_SHIFT = 24;
const FLAGS_MASK = 0xffffff;

/** What the page is. */
export function classOf({ marks }: PageScan, pgno: number): PageClass {
  return ((marks[pgno] ?? 0) >>> CLASS_SHIFT) as PageClass;
}

/** Page flags as the page says (the lower 24 bits); those of a damaged page prove nothing. */
export function flagsOf({ marks }: PageScan, pgno: number): number {
  return (marks[pgno] ?? 0) & FLAGS_MASK;
}

/** Number of pages by class, in the order of {@link PAGE_CLASS}; together they are `lastPgno`. */
export function countClasses(scan: PageScan): number[] {
  const counts = new Array<number>(Object.keys(PAGE_CLASS).length).fill(0);
  for (let pgno = 1; pgno <= scan.lastPgno; pgno++) {
    const one = classOf(scan, pgno);
    counts[one] = (counts[one] ?? 0) + 1;
  }
  return counts;
}

/** What a thread needs to take part; all threads write to the same arrays, each to its own pages. */
export interface PageScanInput {
  readonly path: string;
  readonly pageSize: number;
  readonly lastPgno: number;
  readonly pagesPerRange: number;
  readonly objids: Uint32Array;
  readonly marks: Uint32Array;
}

/** What one thread found, but for what is in the common arrays. */
export interface PageScanPart {
  readonly corrected: CorrectedPage[];
  readonly misplaced: MisplacedPage[];
  dbtimeMax: number;
  dbtimeMaxPgno: number;
  objidMax: number;
}

/** Pages that one thread classifies in a millisecond; a rough figure. */
const PAGE_BYTES_PER_MS = 1024 * 1024;

/**
 * Classifies all pages of a database file. Nothing is written; pages that cannot be read are a class of their
 * own, and the pass goes on behind them.
 *
 * @param pageSize bytes of a page; from a header that is right, or found otherwise
 * @throws EseError if the file cannot be opened, or became shorter; the reason of `options.signal` if aborted
 */
export async function scanPages(
  fs: FileSystem,
  path: string,
  pageSize: number,
  options: JobOptions = {},
): Promise<PageScan> {
  const file = fs.open(path, 'read');
  const lastPgno = Math.max(0, Math.floor(file.size() / pageSize) - 2);
  file.close();
  const shared = (): Uint32Array => new Uint32Array(new SharedArrayBuffer(4 * (lastPgno + 1)));
  const input: PageScanInput = {
    path,
    pageSize,
    lastPgno,
    pagesPerRange: pagesPerRange(pageSize),
    objids: shared(),
    marks: shared(),
  };
  const parts = await runRanges(
    {
      rangeCount: Math.ceil(lastPgno / input.pagesPerRange),
      createTask: () => createPageScanTask(fs, input),
      module: fs === nodeFileSystem ? '../maintenance/repair/page-scan.js' : undefined,
      input,
      estimateMs: (lastPgno * pageSize) / PAGE_BYTES_PER_MS,
    },
    options,
  );
  const byPgno = (a: { pgno: number }, b: { pgno: number }): number => a.pgno - b.pgno;
  const best = parts.reduce(laterOf, { dbtimeMax: 0, dbtimeMaxPgno: 0 });
  return {
    pageSize,
    lastPgno,
    objids: input.objids,
    marks: input.marks,
    corrected: parts.flatMap(({ corrected }) => corrected).sort(byPgno),
    misplaced: parts.flatMap(({ misplaced }) => misplaced).sort(byPgno),
    dbtimeMax: best.dbtimeMax,
    dbtimeMaxPgno: best.dbtimeMaxPgno,
    objidMax: parts.reduce((most, { objidMax }) => Math.max(most, objidMax), 0),
  };
}

/** The later of two dbtimes; of equal ones, that of the lower page. */
function laterOf<T extends { dbtimeMax: number; dbtimeMaxPgno: number }>(a: T, b: T): T {
  const isFirst =
    a.dbtimeMax > b.dbtimeMax || (a.dbtimeMax === b.dbtimeMax && a.dbtimeMaxPgno < b.dbtimeMaxPgno);
  return isFirst ? a : b;
}

/** The task for worker threads, which read through Node's files. */
export function createTask(input: PageScanInput): RangeTask<PageScanPart> {
  return createPageScanTask(nodeFileSystem, input);
}

/** The work of one thread. */
function createPageScanTask(fs: FileSystem, input: PageScanInput): RangeTask<PageScanPart> {
  const { path, pageSize, lastPgno, pagesPerRange: count, objids, marks } = input;
  const file = fs.open(path, 'read');
  const kernel = createChecksumKernel(count * pageSize);
  const scan = newPageScan();
  const suspect = new Uint8Array(count);
  const part: PageScanPart = { corrected: [], misplaced: [], dbtimeMax: 0, dbtimeMaxPgno: 0, objidMax: 0 };

  const classify = (page: Page, isSuspect: boolean): PageClass => {
    const { pgno } = page;
    if (isSuspect) {
      const { verdict, correctableBits, looksLikePgno } = correctPage(page.bytes, pgno, lastPgno);
      if (verdict === 'wrongPgno') {
        part.misplaced.push({ pgno, imageOf: looksLikePgno ?? 0, dbtime: page.dbtime });
        return PAGE_CLASS.misplaced;
      }
      if (verdict !== 'correctable') return PAGE_CLASS.bad;
      part.corrected.push({ pgno, bits: correctableBits });
    } else if (isBlank(page)) {
      return PAGE_CLASS.blank;
    }
    const { dbtime, objid, flags } = page;
    if (dbtime > part.dbtimeMax || (dbtime === part.dbtimeMax && pgno < part.dbtimeMaxPgno)) {
      part.dbtimeMax = dbtime;
      part.dbtimeMaxPgno = pgno;
    }
    if (objid > part.objidMax) part.objidMax = objid;
    if ((flags & (PAGE_FLAG.empty | PAGE_FLAG.preInit)) !== 0) return PAGE_CLASS.empty;
    if (checkPageStructure(page) !== undefined) return PAGE_CLASS.unsound;
    if ((flags & PAGE_FLAG.spaceTree) !== 0) return PAGE_CLASS.space;
    return (flags & PAGE_FLAG.leaf) !== 0 ? PAGE_CLASS.leaf : PAGE_CLASS.branch;
  };

  const look = (first: number, pageCount: number): void => {
    const into = kernel.bytes.subarray(0, pageCount * pageSize);
    try {
      if (file.readAt(into, pageOffset(first, pageSize)) < into.length) {
        throw new EseError('JET_errFileIOBeyondEOF', 'the file became shorter while it was read', {
          file: path,
          pgno: first,
        });
      }
    } catch (error) {
      if (!(error instanceof EseError) || error.name === 'JET_errFileIOBeyondEOF') throw error;
      // One page may be unreadable, and its neighbours not.
      if (pageCount === 1) marks[first] = PAGE_CLASS.unreadable << CLASS_SHIFT;
      else for (let pgno = first; pgno < first + pageCount; pgno++) look(pgno, 1);
      return;
    }
    const suspects = kernel.verifyPages(0, pageCount, pageSize, first, scan);
    suspect.fill(0);
    for (let i = 0; i < suspects; i++) suspect[kernel.suspects[i] ?? 0] = 1;
    for (let i = 0; i < pageCount; i++) {
      const page = new Page(into.subarray(i * pageSize, (i + 1) * pageSize), first + i);
      const one = classify(page, suspect[i] === 1);
      objids[first + i] = page.objid;
      marks[first + i] = (one << CLASS_SHIFT) | (page.flags & FLAGS_MASK);
    }
  };

  return {
    runRange(range) {
      const first = 1 + range * count;
      look(first, Math.min(count, lastPgno - first + 1));
    },
    result: () => part,
    close: () => file.close(),
  };
}
