import { DBTIME_SHRUNK } from '../format/dbtime.js';
import { compareLgpos, EseError, type Lgpos } from '../format/ese-error.js';
import type { RedoContext } from './redo-context.js';
import { isInRequiredRange } from './redo-gate.js';

/**
 * Changes of the size of a database file (format specification, chapter 5.3.5). Which of them were done
 * before a crash is told by the position of the last one, which newer formats keep in the header.
 */

/** Page numbers have the top bit clear (chapter 2.2.3). */
const PGNO_MAX = 0x7fefffff;

/** ExtendDB: the file holds page `pgnoLast` at least. */
export function applyExtend(pgnoLast: number, context: RedoContext): void {
  if (pgnoLast > PGNO_MAX) throw sizeError(pgnoLast);
  if (pgnoLast > context.pages.lastPgno) context.pages.extend(pgnoLast);
}

/**
 * ShrinkDB: the file ends with page `pgnoLast`, and what redo could not explain behind it is explained now.
 * Returns whether the file was cut.
 *
 * @param lgposLastResize last change of the size that the header knows of; generation 0 = none
 * @param dbtime stamp of the shrink, if the record has one: older pages behind the end are marked as gone when
 *   the file has grown again since
 */
export function applyShrink(
  pgnoLast: number,
  cpgShrunk: number,
  dbtime: number | undefined,
  lgposLastResize: Lgpos,
  context: RedoContext,
): boolean {
  if (pgnoLast < 1 || pgnoLast > PGNO_MAX) throw sizeError(pgnoLast);
  const { pages } = context;
  context.redoMap.clear(pgnoLast + 1, PGNO_MAX);
  if (lgposLastResize.generation === 0 && isInRequiredRange(context)) return false;
  if (compareLgpos(lgposLastResize, context.lgpos) > 0) {
    if (dbtime !== undefined)
      markShrunk(pgnoLast + 1, Math.min(pgnoLast + cpgShrunk, pages.lastPgno), dbtime, context);
    return false;
  }
  if (pgnoLast >= pages.lastPgno) return false;
  pages.shrink(pgnoLast);
  return true;
}

/** Marks the pages that a shrink took away and a later extension brought back with their old content. */
function markShrunk(first: number, last: number, dbtime: number, context: RedoContext): void {
  for (let pgno = first; pgno <= last; pgno++) {
    if (!isOlder(pgno, dbtime, context)) continue;
    const page = context.pages.createPage(pgno);
    page.initialize(0, 0, DBTIME_SHRUNK);
    context.pages.markDirty(page, context.lgpos);
  }
}

function isOlder(pgno: number, dbtime: number, context: RedoContext): boolean {
  try {
    const stamp = context.pages.readPage(pgno).dbtime;
    return stamp > 0 && stamp < dbtime;
  } catch (error) {
    if (error instanceof EseError && error.name !== 'JET_errDiskIO') return false;
    throw error;
  }
}

/** TrimDB: the pages are given back to the file system and read as blank. */
export function applyTrim(pgnoFirst: number, count: number, context: RedoContext): void {
  if (count < 1 || pgnoFirst < 1 || pgnoFirst + count > PGNO_MAX) throw sizeError(pgnoFirst);
  context.redoMap.clear(pgnoFirst, pgnoFirst + count - 1);
  if (isInRequiredRange(context)) return;
  const last = Math.min(pgnoFirst + count - 1, context.pages.lastPgno);
  if (last >= pgnoFirst) context.pages.blank(pgnoFirst, last - pgnoFirst + 1);
}

function sizeError(pgno: number): EseError {
  return new EseError('JET_errLogOperationInconsistentWithDatabase', `a database cannot end at page ${pgno}`);
}
