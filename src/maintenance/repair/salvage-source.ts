/**
 * Pages of a damaged database, each with what can be trusted of it (format specification, chapter 7.2.6).
 */

import { createFilePageSource, type PageSource } from '../../engine/page-source.js';
import { type TreeRoot, walkTree } from '../../engine/tree-reader.js';
import { EseError } from '../../format/ese-error.js';
import { Page, pageOffset } from '../../format/page.js';
import { correctPage, diagnosePage } from '../../format/page-checksum.js';
import {
  decodeSpaceHeader,
  decodeSplitBuffer,
  type Extent,
  hasMultipleExtents,
  readExtents,
  singleExtentAvailable,
  singleExtentBeyondBitmap,
} from '../../format/space.js';
import type { FileHandle, FileSystem } from '../../io/file-system.js';
import type { PageCensus } from '../integrity/conclude.js';
import { BLANK, beyondEnd, judgePage, type PageTrouble, readTrouble } from '../integrity/page-check.js';
import { classOf, PAGE_CLASS, type PageScan } from './page-scan.js';

/** What a page is worth. */
export type PageWorth =
  /** Checksum and structure are right, after correction of single bits. */
  | 'intact'
  /** The checksum is right, but tags or nodes contradict each other. */
  | 'unsound'
  /** The checksum is wrong: single nodes may still be proven. */
  | 'damaged'
  /** Nothing is left: blank, unreadable, behind the end, or the image of another page. */
  | 'lost';

/** A page as it could be read. */
export interface SalvagePage {
  /** Its bytes; all zero for a lost page. They stay as they are. */
  readonly page: Page;
  readonly worth: PageWorth;
  /** What is wrong with it. */
  readonly trouble: PageTrouble | undefined;
  /**
   * Of a damaged page: the quarters whose own checksums are right, as bits 0 to 3. Only pages of 16 and 32 KiB
   * have such checksums; 0 for others.
   */
  readonly goodQuarters: number;
  /** Sectors that the disk does not give back, by number; their bytes are zero. */
  readonly lostSectors: readonly number[];
  /** Where the page was found: its own number, or that of the page that a misplaced write has put it into. */
  readonly foundAt: number;
}

/** What a page is used for, as far as is known yet. */
export const SALVAGE_USE = {
  unknown: 0,
  /** Part of a tree: its records or pointers were used. */
  used: 1,
  /** Part of a space tree. */
  space: 2,
  /** Part of a tree once; newer pages hold what it holds. */
  superseded: 3,
} as const;

/** A damaged database. Nothing of it is ever written. */
export interface SalvageSource {
  readonly pageSize: number;
  readonly lastPgno: number;
  readonly scan: PageScan;
  readonly file: FileHandle;
  /** For readers that want sound pages only; they throw for others. */
  readonly pages: PageSource;
  /** {@link SALVAGE_USE} by page number; salvaging trees fills it. */
  readonly uses: Uint8Array;
  /** By page number: 1 where a space tree says that the page is free. */
  readonly available: Uint8Array;
  /** A page with all that can be told of it. Never throws for damage. */
  read(pgno: number): SalvagePage;
  /** Numbers of the pages that carry an objid, ascending; damaged ones, too, whose objid proves nothing. */
  pagesOf(objid: number): Uint32Array;
  close(): void;
}

/** What a disk reads or does not read as a whole, in bytes. */
export const SECTOR_BYTES = 512;
/** How often a sector is asked for. */
const SECTOR_TRIES = 3;

const NOT_GIVEN_BACK: PageTrouble = {
  code: 'PAGE_IO_ERROR',
  severity: 'error',
  message: 'the disk gives the page back at times, and then with a wrong checksum',
};

/** Pages kept after use, in bytes. */
const CACHE_BYTES = 16 * 1024 * 1024;
/** Bytes that are read at once where pages are asked for in their order. */
const READ_AHEAD_BYTES = 128 * 1024;

/**
 * Opens a damaged database for salvage.
 *
 * @param scan what {@link scanPages} found of the same file; its verdicts on checksums are believed
 */
export function openSalvage(fs: FileSystem, path: string, scan: PageScan): SalvageSource {
  const { pageSize, lastPgno } = scan;
  const file = fs.open(path, 'read');
  const cache = new Map<number, SalvagePage>();
  const capacity = Math.max(64, Math.floor(CACHE_BYTES / pageSize));
  const readAhead = Math.max(1, Math.floor(READ_AHEAD_BYTES / pageSize));
  const isCorrected = new Set(scan.corrected.map(({ pgno }) => pgno));
  const images = imagesOf(scan);
  let pagesByObjid: PagesByObjid | undefined;
  let lastAsked = 0;

  const remember = (pgno: number, page: SalvagePage): SalvagePage => {
    if (cache.size >= capacity) {
      const oldest = cache.keys().next();
      if (!oldest.done) cache.delete(oldest.value);
    }
    cache.set(pgno, page);
    return page;
  };
  const load = (pgno: number, count: number): Uint8Array => {
    const bytes = new Uint8Array(count * pageSize);
    if (file.readAt(bytes, pageOffset(pgno, pageSize)) !== bytes.length) {
      throw new EseError('JET_errFileIOBeyondEOF', 'the page is cut off', { file: path, pgno });
    }
    return bytes;
  };
  const lost = (pgno: number, trouble: PageTrouble): SalvagePage => {
    const page = new Page(new Uint8Array(pageSize), pgno);
    return { page, worth: 'lost', trouble, goodQuarters: 0, lostSectors: [], foundAt: pgno };
  };
  /** The image of a page that was written to another place. */
  const imageOf = (pgno: number): SalvagePage | undefined => {
    const foundAt = images.get(pgno);
    if (foundAt === undefined) return undefined;
    try {
      const page = new Page(load(foundAt, 1), pgno);
      const trouble = judgePage(page, false, lastPgno);
      const worth = trouble === undefined ? 'intact' : 'unsound';
      return { page, worth, trouble, goodQuarters: 0, lostSectors: [], foundAt };
    } catch (error) {
      if (!(error instanceof EseError)) throw error;
      return undefined;
    }
  };
  const judge = (bytes: Uint8Array, pgno: number): SalvagePage => {
    const page = new Page(bytes, pgno);
    const rest = { page, goodQuarters: 0, lostSectors: [], foundAt: pgno };
    switch (classOf(scan, pgno)) {
      case PAGE_CLASS.blank:
        return imageOf(pgno) ?? { ...rest, worth: 'lost', trouble: BLANK };
      case PAGE_CLASS.unsound: {
        if (isCorrected.has(pgno)) correctPage(bytes, pgno, lastPgno);
        return { ...rest, worth: 'unsound', trouble: judgePage(page, false, lastPgno) };
      }
      case PAGE_CLASS.unreadable: {
        // The disk gives it back only now.
        const { verdict } = correctPage(bytes, pgno, lastPgno);
        if (verdict !== 'ok' && verdict !== 'correctable') return lost(pgno, NOT_GIVEN_BACK);
        const trouble = judgePage(page, false, lastPgno);
        return { ...rest, worth: trouble === undefined ? 'intact' : 'unsound', trouble };
      }
      case PAGE_CLASS.misplaced:
      case PAGE_CLASS.bad: {
        const image = imageOf(pgno);
        if (image !== undefined) return image;
        const trouble = judgePage(page, true, lastPgno);
        if (classOf(scan, pgno) === PAGE_CLASS.misplaced) return lost(pgno, trouble ?? BLANK);
        return { ...rest, worth: 'damaged', trouble, goodQuarters: goodQuartersOf(bytes, pgno) };
      }
      default:
        if (isCorrected.has(pgno)) correctPage(bytes, pgno, lastPgno);
        return { ...rest, worth: 'intact', trouble: undefined };
    }
  };
  /** Reads what the disk gives back of a page, sector by sector. */
  const readSectors = (pgno: number, error: EseError): SalvagePage => {
    const bytes = new Uint8Array(pageSize);
    const lostSectors: number[] = [];
    for (let sector = 0; sector < pageSize / SECTOR_BYTES; sector++) {
      const into = bytes.subarray(sector * SECTOR_BYTES, (sector + 1) * SECTOR_BYTES);
      if (!readSector(file, into, pageOffset(pgno, pageSize) + sector * SECTOR_BYTES))
        lostSectors.push(sector);
    }
    const trouble = readTrouble(error);
    if (lostSectors.length === pageSize / SECTOR_BYTES) return lost(pgno, trouble);
    const page = new Page(bytes, pgno);
    return {
      page,
      worth: 'damaged',
      trouble,
      goodQuarters: goodQuartersOf(bytes, pgno),
      lostSectors,
      foundAt: pgno,
    };
  };
  const readOne = (pgno: number): SalvagePage => {
    let bytes: Uint8Array;
    try {
      bytes = load(pgno, 1);
    } catch (error) {
      if (!(error instanceof EseError)) throw error;
      return remember(pgno, imageOf(pgno) ?? readSectors(pgno, error));
    }
    return remember(pgno, judge(bytes, pgno));
  };
  const readMany = (pgno: number, count: number): SalvagePage => {
    try {
      const bytes = load(pgno, count);
      for (let i = count - 1; i > 0; i--) {
        if (cache.has(pgno + i)) continue;
        remember(pgno + i, judge(bytes.subarray(i * pageSize, (i + 1) * pageSize), pgno + i));
      }
      return remember(pgno, judge(bytes.subarray(0, pageSize), pgno));
    } catch (error) {
      if (!(error instanceof EseError)) throw error;
      return readOne(pgno);
    }
  };

  return {
    pageSize,
    lastPgno,
    scan,
    file,
    pages: createFilePageSource(file, pageSize),
    uses: new Uint8Array(lastPgno + 1),
    available: new Uint8Array(lastPgno + 1),
    read(pgno) {
      if (pgno < 1 || pgno > lastPgno) return lost(pgno, beyondEnd(lastPgno));
      const isNext = pgno === lastAsked + 1;
      lastAsked = pgno;
      const hit = cache.get(pgno);
      if (hit !== undefined) return hit;
      return isNext ? readMany(pgno, Math.min(readAhead, lastPgno - pgno + 1)) : readOne(pgno);
    },
    pagesOf(objid) {
      pagesByObjid ??= sortByObjid(scan);
      const first = pagesByObjid.firsts.get(objid);
      return first === undefined ? NO_PAGES : pagesByObjid.pgnos.subarray(first.at, first.at + first.count);
    },
    close: () => file.close(),
  };
}

const NO_PAGES = new Uint32Array(0);

function readSector(file: FileHandle, into: Uint8Array, offset: number): boolean {
  for (let i = 0; i < SECTOR_TRIES; i++) {
    try {
      return file.readAt(into, offset) === into.length;
    } catch (error) {
      if (!(error instanceof EseError)) throw error;
    }
  }
  into.fill(0);
  return false;
}

/** Where the image of a page lies whose own place does not hold it: the newest one. */
function imagesOf(scan: PageScan): Map<number, number> {
  const images = new Map<number, number>();
  const dbtimes = new Map<number, number>();
  for (const { pgno, imageOf, dbtime } of scan.misplaced) {
    const own = classOf(scan, imageOf);
    const isGone =
      own === PAGE_CLASS.blank ||
      own === PAGE_CLASS.bad ||
      own === PAGE_CLASS.misplaced ||
      own === PAGE_CLASS.unreadable;
    if (!isGone || dbtime <= (dbtimes.get(imageOf) ?? -1)) continue;
    images.set(imageOf, pgno);
    dbtimes.set(imageOf, dbtime);
  }
  return images;
}

interface PagesByObjid {
  readonly pgnos: Uint32Array;
  readonly firsts: ReadonlyMap<number, { readonly at: number; count: number }>;
}

/** The pages of each objid, but for blank ones. */
function sortByObjid(scan: PageScan): PagesByObjid {
  const { objids, lastPgno } = scan;
  const counts = new Map<number, number>();
  for (let pgno = 1; pgno <= lastPgno; pgno++) {
    const objid = objids[pgno] ?? 0;
    if (objid !== 0) counts.set(objid, (counts.get(objid) ?? 0) + 1);
  }
  const firsts = new Map<number, { readonly at: number; count: number }>();
  let at = 0;
  for (const [objid, count] of counts) {
    firsts.set(objid, { at, count: 0 });
    at += count;
  }
  const pgnos = new Uint32Array(at);
  for (let pgno = 1; pgno <= lastPgno; pgno++) {
    const first = firsts.get(objids[pgno] ?? 0);
    if (first !== undefined) pgnos[first.at + first.count++] = pgno;
  }
  return { pgnos, firsts };
}

/** Which quarters of a page have a checksum that is right, as bits; none on pages with one checksum. */
function goodQuartersOf(bytes: Uint8Array, pgno: number): number {
  const { checksums } = diagnosePage(bytes, pgno);
  if (checksums.length < 4) return 0;
  let good = 0;
  for (const [quarter, pair] of checksums.entries()) {
    const isGood = pair.storedLow === pair.computedLow && pair.storedHigh === pair.computedHigh;
    if (isGood) good |= 1 << quarter;
  }
  return good;
}

/**
 * Notes which pages the space trees of these trees call free, and which pages the space trees are made of. What
 * cannot be read tells nothing.
 */
export function noteSpace(source: SalvageSource, trees: Iterable<TreeRoot>): void {
  for (const tree of trees) {
    const { page, worth } = source.read(tree.pgnoFdp);
    if (worth !== 'intact' || page.objid !== tree.objid || !page.isRoot) continue;
    try {
      noteTreeSpace(source, tree, page);
    } catch (error) {
      if (!(error instanceof EseError)) throw error;
    }
  }
}

function noteTreeSpace(source: SalvageSource, { pgnoFdp, objid }: TreeRoot, root: Page): void {
  const header = decodeSpaceHeader(root.externalHeader, pgnoFdp);
  if (!hasMultipleExtents(header)) {
    for (const pgno of singleExtentAvailable(header, pgnoFdp)) noteFree(source, pgno, pgno);
    const last = pgnoFdp + header.cpg - 1;
    const behind = singleExtentBeyondBitmap(header);
    if (behind > 0) noteFree(source, last - behind + 1, last);
    return;
  }
  const free: Extent[] = [];
  const walk = (pgnoRoot: number, error: 'JET_errSPOwnExtCorrupted' | 'JET_errSPAvailExtCorrupted'): void => {
    const isFree = error === 'JET_errSPAvailExtCorrupted';
    const { page, worth } = source.read(pgnoRoot);
    if (worth === 'intact' && page.objid === objid) free.push(...decodeSplitBuffer(page.externalHeader));
    walkTree(
      source.pages,
      { pgnoFdp: pgnoRoot, objid },
      {
        internal: ({ pgno }) => {
          source.uses[pgno] = SALVAGE_USE.space;
        },
        leaf: (leaf) => {
          source.uses[leaf.pgno] = SALVAGE_USE.space;
          if (isFree) readExtents(leaf, error, free);
          return true;
        },
        damaged: () => {},
      },
    );
  };
  walk(header.pgnoOe, 'JET_errSPOwnExtCorrupted');
  walk(header.pgnoOe + 1, 'JET_errSPAvailExtCorrupted');
  for (const { first, last, count } of free) if (count > 0) noteFree(source, first, last);
}

function noteFree({ available, lastPgno }: SalvageSource, first: number, last: number): void {
  if (first >= 1 && first <= lastPgno) available.fill(1, first, Math.min(last, lastPgno) + 1);
}

/**
 * What each page is in the end, once all trees have been read (chapter 7.2.2). An old image of what newer pages hold
 * counts as available.
 */
export function takeCensus(source: SalvageSource): PageCensus {
  const counts = { used: 0, space: 0, empty: 0, blank: 0, available: 0, foreign: 0, bad: 0 };
  for (let pgno = 1; pgno <= source.lastPgno; pgno++) counts[kindOf(source, pgno)]++;
  return { total: source.lastPgno, ...counts };
}

function kindOf({ scan, uses, available }: SalvageSource, pgno: number): keyof Omit<PageCensus, 'total'> {
  const use = uses[pgno];
  switch (classOf(scan, pgno)) {
    case PAGE_CLASS.blank:
      return 'blank';
    case PAGE_CLASS.bad:
    case PAGE_CLASS.misplaced:
    case PAGE_CLASS.unreadable:
      return 'bad';
    case PAGE_CLASS.empty:
      return 'empty';
    default:
      if (use === SALVAGE_USE.used) return 'used';
      if (use === SALVAGE_USE.space) return 'space';
      if (available[pgno] === 1 || use === SALVAGE_USE.superseded) return 'available';
      return classOf(scan, pgno) === PAGE_CLASS.space ? 'space' : 'foreign';
  }
}
