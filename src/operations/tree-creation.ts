import type { LogRecordOf } from '../format/log-record.js';
import { LOG_PAGE_FLAG } from '../format/log-record-layout.js';
import { PAGE_FLAG, type Page } from '../format/page.js';
import {
  encodeExtentData,
  encodeExtentKey,
  encodeSpaceHeader,
  replaceSpaceHeader,
  SPACE_FLAG,
  SPACE_HEADER_BYTES,
} from '../format/space.js';
import type { RedoContext } from './redo-context.js';
import { contradiction, pageToChange, pageToCreate, stampPage } from './redo-gate.js';

/**
 * Creation of trees and of their space (format specification, chapters 2.2, 4.6.6 and 5.3.5). New pages have
 * no stamp before; each page is judged alone.
 */

/** Pages that a bitmap in a space header covers. */
const BITMAP_PAGES = 32;
/** Pages that the space of a tree with several extents takes: the root and the roots of OE and AE. */
const MULTIPLE_EXTENT_PAGES = 3;
/** Flags that the pages of a tree share. */
const ROLE_FLAGS = PAGE_FLAG.index | PAGE_FLAG.longValue | PAGE_FLAG.nonUnique | PAGE_FLAG.newRecord;

/** NewPage: a page is initialised; the record that follows gives it its content. */
export function applyNewPage(record: LogRecordOf<'NewPage'>, context: RedoContext): void {
  const { pgno, objid, dbtimeAfter } = record;
  const page = pageToCreate(context, pgno, dbtimeAfter);
  if (page === undefined) return;
  page.initialize(0, objid, dbtimeAfter);
  stampPage(context, page, dbtimeAfter);
}

/** CreateMultipleExtentFDP: a root and the roots of its trees of owned and available extents. */
export function applyCreateMultipleExtentFdp(
  record: LogRecordOf<'CreateMultipleExtentFDP'>,
  context: RedoContext,
): void {
  const { pgno, objidFDP, pgnoOE, pgnoAE, pgnoFDPParent, cpgPrimary, fPageFlags, dbtime } = record;
  checkExtent(pgno, cpgPrimary);
  const root = pageToCreate(context, pgno, dbtime);
  if (root !== undefined) {
    initializeRoot(root, fPageFlags, objidFDP, dbtime);
    root.setExternalHeader(
      encodeSpaceHeader({
        cpg: cpgPrimary,
        pgnoParent: pgnoFDPParent,
        flags: SPACE_FLAG.multipleExtents | nonUniqueFlag(record.pageFlags),
        availableBitmap: 0,
        pgnoOe: pgnoOE,
      }),
    );
    stampPage(context, root, dbtime);
  }
  const last = pgno + cpgPrimary - 1;
  createSpaceTree(context, pgnoOE, fPageFlags, objidFDP, dbtime, [[last, cpgPrimary]]);
  createSpaceTree(context, pgnoAE, fPageFlags, objidFDP, dbtime, [
    [last, cpgPrimary - MULTIPLE_EXTENT_PAGES],
  ]);
}

/** CreateSingleExtentFDP: one root, whose space header keeps the rest of the extent as a bitmap. */
export function applyCreateSingleExtentFdp(
  record: LogRecordOf<'CreateSingleExtentFDP'>,
  context: RedoContext,
): void {
  const { pgno, objidFDP, pgnoFDPParent, cpgPrimary, fPageFlags, dbtime } = record;
  checkExtent(pgno, cpgPrimary);
  const root = pageToCreate(context, pgno, dbtime);
  if (root === undefined) return;
  initializeRoot(root, fPageFlags, objidFDP, dbtime);
  const free = cpgPrimary - 1;
  root.setExternalHeader(
    encodeSpaceHeader({
      cpg: cpgPrimary,
      pgnoParent: pgnoFDPParent,
      flags: nonUniqueFlag(record.pageFlags),
      availableBitmap: free >= BITMAP_PAGES ? 0xffffffff : 2 ** free - 1,
      pgnoOe: 0,
    }),
  );
  stampPage(context, root, dbtime);
}

/** ConvertFDP2: a tree of one extent gets trees of extents, on the first pages of a second extent. */
export function applyConvertFdp(record: LogRecordOf<'ConvertFDP2'>, context: RedoContext): void {
  const { pgno, objidFDP, pgnoOE, pgnoAE, pgnoFDPParent, cpgPrimary, cpgSecondary, dbtime } = record;
  const { pgnoSecondaryFirst, rgbitAvail, fCpageFlags } = record;
  checkExtent(pgno, cpgPrimary);
  checkExtent(pgnoSecondaryFirst, cpgSecondary);
  const root = pageToChange(context, pgno, record.dbtimeBefore, dbtime, objidFDP);
  if (root !== undefined) {
    const header = encodeSpaceHeader({
      cpg: cpgPrimary,
      pgnoParent: pgnoFDPParent,
      flags: SPACE_FLAG.multipleExtents | nonUniqueFlag(record.pageFlags),
      availableBitmap: 0,
      pgnoOe: pgnoOE,
    });
    root.setExternalHeader(replaceSpaceHeader(new Uint8Array(root.externalHeader), header));
    stampPage(context, root, dbtime);
  }
  const lastPrimary = pgno + cpgPrimary - 1;
  const lastSecondary = pgnoSecondaryFirst + cpgSecondary - 1;
  const owned: ExtentNode[] = [
    [lastPrimary, cpgPrimary],
    [lastSecondary, cpgSecondary],
  ];
  const available = availableInBitmap(pgno, cpgPrimary, rgbitAvail);
  available.push([lastSecondary, cpgSecondary - (MULTIPLE_EXTENT_PAGES - 1)]);
  const roleFlags = fCpageFlags & ROLE_FLAGS;
  createSpaceTree(context, pgnoOE, roleFlags, objidFDP, dbtime, owned);
  createSpaceTree(context, pgnoAE, roleFlags, objidFDP, dbtime, available);
}

/** Last page and number of pages of an extent. */
type ExtentNode = readonly [last: number, count: number];

/** Runs of free pages in the primary extent of a tree with one extent. */
function availableInBitmap(pgnoFdp: number, cpgPrimary: number, bitmap: number): ExtentNode[] {
  const runs: ExtentNode[] = [];
  let count = 0;
  for (let bit = 0; bit <= BITMAP_PAGES; bit++) {
    if (bit < BITMAP_PAGES && (bitmap & (1 << bit)) !== 0) {
      count++;
    } else if (count > 0) {
      runs.push([pgnoFdp + bit, count]);
      count = 0;
    }
  }
  const behind = cpgPrimary - 1 - BITMAP_PAGES;
  if (behind > 0) runs.push([pgnoFdp + cpgPrimary - 1, behind]);
  return runs;
}

function createSpaceTree(
  context: RedoContext,
  pgno: number,
  roleFlags: number,
  objid: number,
  dbtime: number,
  extents: readonly ExtentNode[],
): void {
  const page = pageToCreate(context, pgno, dbtime);
  if (page === undefined) return;
  initializeRoot(page, roleFlags | PAGE_FLAG.spaceTree, objid, dbtime);
  page.setExternalHeader(new Uint8Array(SPACE_HEADER_BYTES));
  const inKeyOrder = extents.filter(([, count]) => count > 0).sort(([a], [b]) => a - b);
  for (const [last, count] of inKeyOrder) {
    page.insertNode(page.nodeCount, 0, 0, encodeExtentKey(last), encodeExtentData(count));
  }
  stampPage(context, page, dbtime);
}

function initializeRoot(page: Page, flags: number, objid: number, dbtime: number): void {
  page.initialize(flags | PAGE_FLAG.root | PAGE_FLAG.leaf, objid, dbtime);
}

function nonUniqueFlag(recordFlags: number): number {
  return (recordFlags & LOG_PAGE_FLAG.unique) !== 0 ? 0 : SPACE_FLAG.nonUnique;
}

function checkExtent(pgnoFirst: number, count: number): void {
  if (count < 1 || pgnoFirst < 1 || pgnoFirst + count > 0x80000000) {
    throw contradiction(`an extent of ${count} pages cannot begin at page ${pgnoFirst}`, pgnoFirst);
  }
}
