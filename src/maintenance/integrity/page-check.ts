/** Verdicts on single pages: can the page be read, is it the right one, is it sound (format specification, chapter 1.7). */

import { EseError } from '../../format/ese-error.js';
import { isLostWrite } from '../../format/flush-map.js';
import { checkPageStructure, PAGE_FLAG, Page, type PageFault, pageOffset } from '../../format/page.js';
import { correctPage, newPageScan, verifyPages } from '../../format/page-checksum.js';
import type { FileHandle } from '../../io/file-system.js';
import type { FindingList, FindingSubject, IntegrityCode } from './finding.js';
import type { CheckedTree } from './plan.js';

/** What is wrong with a page as such. A page with no more than a warning can be used. */
export interface PageTrouble {
  readonly code: IntegrityCode;
  readonly severity: 'error' | 'warning';
  readonly message: string;
  readonly node?: number;
  /** The disk did not give the page back. */
  readonly isReadError?: true;
}

const FAULT_CODES: Readonly<Record<PageFault['part'], IntegrityCode>> = {
  tags: 'PAGE_TAGS',
  flags: 'PAGE_FLAGS',
  node: 'NODE_BOUNDS',
  prefix: 'NODE_PREFIX',
};

/**
 * Judges a page that is part of a tree and not blank. `isSuspect` says that its checksum is wrong; where one bit explains
 * that, the bytes are corrected. Child page numbers are left to the caller.
 */
export function judgePage(page: Page, isSuspect: boolean, lastPgno: number): PageTrouble | undefined {
  let corrected: PageTrouble | undefined;
  if (isSuspect) {
    const { verdict, correctableBits, looksLikePgno } = correctPage(page.bytes, page.pgno, lastPgno);
    if (verdict !== 'correctable') return checksumTrouble(verdict === 'wrongPgno', looksLikePgno);
    const bits = correctableBits.join(', ');
    corrected = {
      code: 'PAGE_ECC_FIXED',
      severity: 'warning',
      message: `bit ${bits} of the page is wrong and can be corrected`,
    };
  }
  const fault = checkPageStructure(page);
  if (fault === undefined) return corrected;
  return {
    code: FAULT_CODES[fault.part],
    severity: 'error',
    message: fault.what,
    ...(fault.line === undefined ? {} : { node: fault.line }),
  };
}

function checksumTrouble(isMisplaced: boolean, otherPgno: number | null): PageTrouble {
  if (isMisplaced) {
    return { code: 'PAGE_WRONG_PGNO', severity: 'error', message: `this is page ${otherPgno} of the file` };
  }
  const hint = otherPgno === null ? '' : `; it would be right for page ${otherPgno}`;
  return { code: 'PAGE_BAD_CHECKSUM', severity: 'error', message: `the page checksum is wrong${hint}` };
}

/** What it means that a page of a tree has never been written. */
export const BLANK: PageTrouble = {
  code: 'PAGE_NOT_INITIALIZED',
  severity: 'error',
  message: 'the page is blank',
};

/** Whether all bytes of a page are zero. */
export function isBlank({ view, flags, pageSize }: Page): boolean {
  if (flags !== 0) return false;
  for (let at = 0; at < pageSize; at += 4) if (view.getInt32(at, true) !== 0) return false;
  return true;
}

/** What reading a page outside of the file, or an unreadable one, means. */
export function readTrouble(error: EseError): PageTrouble {
  return { code: 'PAGE_IO_ERROR', severity: 'error', message: error.detail, isReadError: true };
}

export function beyondEnd(lastPgno: number): PageTrouble {
  return {
    code: 'PAGE_IO_ERROR',
    severity: 'error',
    message: `the page lies behind the end of the file, which has ${lastPgno} pages`,
  };
}

export interface PageReading {
  readonly page: Page;
  readonly trouble: PageTrouble | undefined;
  readonly isUsable: boolean;
}

/** Reads one page into memory of its own and judges it. */
export type PageReader = (pgno: number) => PageReading;

export function createPageReader(file: FileHandle, pageSize: number, lastPgno: number): PageReader {
  const suspects = new Uint32Array(1);
  const scan = newPageScan();
  const read = (page: Page): PageTrouble | undefined => {
    if (page.pgno < 1 || page.pgno > lastPgno) return beyondEnd(lastPgno);
    try {
      if (file.readAt(page.bytes, pageOffset(page.pgno, pageSize)) !== pageSize) return beyondEnd(lastPgno);
    } catch (error) {
      if (!(error instanceof EseError)) throw error;
      return readTrouble(error);
    }
    const words = new Int32Array(page.bytes.buffer);
    scan.uninitialized = 0;
    const isSuspect = verifyPages(words, 0, 1, pageSize, page.pgno, suspects, scan) !== 0;
    return scan.uninitialized > 0 ? BLANK : judgePage(page, isSuspect, lastPgno);
  };
  return (pgno) => {
    const page = new Page(new Uint8Array(pageSize), pgno);
    const trouble = read(page);
    return { page, trouble, isUsable: trouble === undefined || trouble.severity === 'warning' };
  };
}

export function reportTrouble(
  list: FindingList,
  subject: FindingSubject,
  pgno: number,
  trouble: PageTrouble,
): void {
  if (trouble.isReadError === true) list.hasReadErrors = true;
  list.add(subject, trouble.code, trouble.severity, trouble.message, { pgno, node: trouble.node });
}

/** What a page may say of its last change. */
export interface ChangeLimits {
  /** Highest dbtime that a page may carry; infinite where the header cannot tell. */
  readonly dbtimeMax: number;
  /** By page number: its state in a trusted flush map. */
  readonly flushStates: Uint8Array | undefined;
}

/** Whether the last write of a page was lost. */
export function isOldVersion({ pgno, flags }: Page, { flushStates }: ChangeLimits): boolean {
  return flushStates !== undefined && isLostWrite(flushStates[pgno] ?? 0, flags);
}

/** Flags that say to which kind of tree a page belongs. */
export const ROLE_FLAGS =
  PAGE_FLAG.spaceTree | PAGE_FLAG.index | PAGE_FLAG.longValue | PAGE_FLAG.nonUnique | PAGE_FLAG.newRecord;

/**
 * Checks that a sound page belongs to a tree: its objid, its flags, its dbtime. Returns false if it cannot be
 * read as part of the tree.
 */
export function checkMembership(
  page: Page,
  tree: CheckedTree,
  roleFlags: number,
  isRoot: boolean,
  limits: ChangeLimits,
  list: FindingList,
): boolean {
  const { pgno, flags } = page;
  const { dbtimeMax } = limits;
  if (isOldVersion(page, limits)) {
    const message = 'the last write of the page was lost, as the flush map says';
    list.add(tree, 'PAGE_LOST_FLUSH', 'error', message, { pgno });
  }
  if (page.objid !== tree.objid) {
    list.add(
      tree,
      'PAGE_WRONG_OBJID',
      'error',
      `the page belongs to tree ${page.objid}, not to ${tree.objid}`,
      { pgno },
    );
    return false;
  }
  if ((flags & (PAGE_FLAG.empty | PAGE_FLAG.preInit)) !== 0) {
    list.add(tree, 'PAGE_FLAGS', 'error', 'an unused page is part of the tree', { pgno });
    return false;
  }
  if (page.isRoot !== isRoot) {
    const what = isRoot ? 'the root is not marked as one' : 'a root page lies inside the tree';
    list.add(tree, 'PAGE_FLAGS', 'error', what, { pgno });
  } else if ((flags & ROLE_FLAGS) !== roleFlags) {
    const [found, due] = [flags & ROLE_FLAGS, roleFlags].map((role) => `0x${role.toString(16)}`);
    list.add(tree, 'PAGE_FLAGS', 'error', `the page is marked ${found}, its tree ${due}`, { pgno });
  } else if ((flags & PAGE_FLAG.repair) !== 0) {
    list.add(tree, 'PAGE_FLAGS', 'error', 'the page is marked as being repaired', { pgno });
  }
  if (page.dbtime > dbtimeMax) {
    list.add(
      tree,
      'PAGE_DBTIME',
      'error',
      `the page was changed at ${page.dbtime}, the database last at ${dbtimeMax}`,
      { pgno },
    );
  }
  return true;
}
