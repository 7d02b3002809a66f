/** Pages of a file, many at a time, in memory that is used again and again. */

import { createChecksumKernel } from '../../format/checksum-kernel.js';
import { EseError } from '../../format/ese-error.js';
import { PAGE_FLAG, Page, pageOffset } from '../../format/page.js';
import { newPageScan } from '../../format/page-checksum.js';
import type { FileHandle } from '../../io/file-system.js';
import { createLeafKernel, LEAF_KERNEL_BYTES, type LeafKernel } from './leaf-kernel.js';
import { BLANK, beyondEnd, isBlank, judgePage, type PageTrouble, readTrouble } from './page-check.js';
import { type IntegrityPlan, PAGE_STATE } from './plan.js';

export interface PageLoader {
  /** Checks leaves in the memory of the loader, slot `n` at `n` pages; absent without WebAssembly. */
  readonly leafKernel: LeafKernel | undefined;
  /** Reads `count` pages from `pgno` on into the slots from `slot` on, and checks their checksums. */
  load(slot: number, pgno: number, count: number): void;
  /** The page of a slot; valid until something else is loaded there. */
  pageIn(slot: number): Page;
  /** The checksum of the page is right; nothing else was looked at. */
  isIntact(slot: number): boolean;
  /** What is wrong with a page that a tree needs. */
  troubleIn(slot: number): PageTrouble | undefined;
  /** That the disk does not give a page back. */
  readErrorIn(slot: number): PageTrouble | undefined;
  /** What a page is that no tree reaches; one behind the owned space cannot be damaged. */
  stateIn(slot: number, isOwned: boolean): number;
}

/** Verdicts of the checksums, by slot. */
const VERDICT = { good: 0, suspect: 1, unreadable: 2, beyond: 3, blank: 4 } as const;

/** Files of so few pages are checked before WebAssembly has started. */
const SMALL_FILE_PAGES = 1024;

/** A loader with room for `slots` pages. */
export function createPageLoader(file: FileHandle, plan: IntegrityPlan, slots: number): PageLoader {
  const { pageSize, lastPgno, dbtimeMax } = plan;
  const kind = plan.kernel ?? (lastPgno <= SMALL_FILE_PAGES ? 'js' : undefined);
  const workBytes = kind === 'js' ? 0 : LEAF_KERNEL_BYTES;
  const kernel = createChecksumKernel(slots * pageSize + workBytes, kind);
  const scan = newPageScan();
  const pages: (Page | undefined)[] = [];
  const verdicts = new Uint8Array(slots);
  let lastError: EseError | undefined;

  const pageIn = (slot: number): Page => {
    const known = pages[slot];
    if (known !== undefined) return known;
    const made = new Page(kernel.bytes.subarray(slot * pageSize, (slot + 1) * pageSize), 0);
    pages[slot] = made;
    return made;
  };
  const readInto = (slot: number, pgno: number, count: number): number | undefined => {
    try {
      const into = kernel.bytes.subarray(slot * pageSize, (slot + count) * pageSize);
      return Math.floor(file.readAt(into, pageOffset(pgno, pageSize)) / pageSize);
    } catch (error) {
      if (!(error instanceof EseError)) throw error;
      lastError = error;
      return undefined;
    }
  };
  const load = (slot: number, pgno: number, count: number): void => {
    for (let i = 0; i < count; i++) pageIn(slot + i).pgno = pgno + i;
    const whole = readInto(slot, pgno, count);
    if (whole === undefined) {
      // One page may be unreadable, and its neighbours not.
      if (count === 1) verdicts[slot] = VERDICT.unreadable;
      else for (let i = 0; i < count; i++) load(slot + i, pgno + i, 1);
      return;
    }
    const blankBefore = scan.uninitialized;
    const suspects = kernel.verifyPages(slot * pageSize, whole, pageSize, pgno, scan);
    const blank = scan.uninitialized - blankBefore;
    verdicts.fill(blank === whole ? VERDICT.blank : VERDICT.good, slot, slot + whole);
    verdicts.fill(VERDICT.beyond, slot + whole, slot + count);
    if (blank > 0 && blank < whole) {
      for (let i = 0; i < whole; i++) if (isBlank(pageIn(slot + i))) verdicts[slot + i] = VERDICT.blank;
    }
    for (let i = 0; i < suspects; i++) verdicts[slot + (kernel.suspects[i] ?? 0)] = VERDICT.suspect;
  };

  return {
    load,
    pageIn,
    leafKernel: createLeafKernel(kernel, slots * pageSize, pageSize, dbtimeMax),
    isIntact: (slot) => verdicts[slot] === VERDICT.good,
    troubleIn(slot) {
      switch (verdicts[slot]) {
        case VERDICT.unreadable:
          return lastError === undefined ? beyondEnd(lastPgno) : readTrouble(lastError);
        case VERDICT.beyond:
          return beyondEnd(lastPgno);
        case VERDICT.blank:
          return BLANK;
        default:
          return judgePage(pageIn(slot), verdicts[slot] === VERDICT.suspect, lastPgno);
      }
    },
    readErrorIn: (slot) =>
      verdicts[slot] === VERDICT.unreadable && lastError !== undefined ? readTrouble(lastError) : undefined,
    stateIn(slot, isOwned) {
      const page = pageIn(slot);
      switch (verdicts[slot]) {
        case VERDICT.blank:
          return PAGE_STATE.blank;
        case VERDICT.good:
          return (page.flags & PAGE_FLAG.empty) !== 0 ? PAGE_STATE.empty : PAGE_STATE.other;
        case VERDICT.suspect:
          if (!isOwned) return PAGE_STATE.other;
          return judgePage(page, true, lastPgno)?.severity === 'warning' ? PAGE_STATE.other : PAGE_STATE.bad;
        default:
          return isOwned ? PAGE_STATE.bad : PAGE_STATE.other;
      }
    },
  };
}
