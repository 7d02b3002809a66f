import { DBTIME_NIL, DBTIME_SHRUNK } from '../format/dbtime.js';
import { EseError } from '../format/ese-error.js';
import { PAGE_FLAG, type Page } from '../format/page.js';
import type { RedoContext } from './redo-context.js';
import type { RedoMapKind } from './redo-map.js';

/**
 * When redo applies to a page (format specification, chapter 5.1.3). `P` is the stamp on the page, `B` the
 * stamp that the record expects, `A` the one that it gives:
 *
 * | case | outcome |
 * |---|---|
 * | P ≥ A, in the required range | the change is on the page already: skip |
 * | P ≥ A, behind it | JET_errDbTimeBeyondMaxRequired |
 * | P = B | apply |
 * | P < B | a write is missing: into the redo map in the required range, else JET_errDbTimeTooOld |
 * | B < P < A | the page has a change that the log does not know: JET_errDbTimeTooNew |
 *
 * This is the only place that decides it.
 */
export function pageToChange(
  context: RedoContext,
  pgno: number,
  dbtimeBefore: number,
  dbtime: number,
  objid: number,
): Page | undefined {
  const { macroPages } = context;
  if (macroPages === undefined) return judgePage(context, pgno, dbtimeBefore, dbtime, objid);
  if (!macroPages.has(pgno)) macroPages.set(pgno, judgePage(context, pgno, dbtimeBefore, dbtime, objid));
  return macroPages.get(pgno);
}

function judgePage(
  context: RedoContext,
  pgno: number,
  dbtimeBefore: number,
  dbtime: number,
  objid: number,
): Page | undefined {
  if (context.redoMap.has(pgno)) return undefined;
  const inRange = isInRequiredRange(context);
  let page: Page;
  try {
    page = context.pages.readPage(pgno);
  } catch (error) {
    const kind = kindOfAbsence(error);
    if (kind === undefined || !inRange) throw error;
    noteInRedoMap(context, kind, pgno, 0, dbtimeBefore, dbtime);
    return undefined;
  }
  const stamp = page.dbtime;
  if (stamp >= dbtime) {
    if (inRange) return undefined;
    throw new EseError(
      'JET_errDbTimeBeyondMaxRequired',
      `the page has stamp ${stamp} although generation ${context.lgpos.generation} is not required`,
      { pgno },
    );
  }
  if (stamp !== dbtimeBefore && dbtimeBefore !== DBTIME_NIL) {
    if (stamp > dbtimeBefore) {
      throw new EseError(
        'JET_errDbTimeTooNew',
        `the page has stamp ${stamp}, the log goes from ${dbtimeBefore} to ${dbtime}`,
        { pgno },
      );
    }
    if (!inRange) {
      throw new EseError(
        'JET_errDbTimeTooOld',
        `the page has stamp ${stamp} where the log expects ${dbtimeBefore}: a write was lost`,
        { pgno },
      );
    }
    noteInRedoMap(context, stamp === DBTIME_SHRUNK ? 'blank' : 'behind', pgno, stamp, dbtimeBefore, dbtime);
    return undefined;
  }
  if (page.objid !== objid) {
    throw contradiction(`the page belongs to tree ${page.objid}, the record to tree ${objid}`, pgno);
  }
  return page;
}

/**
 * A page that a record builds from nothing: `undefined` if it is there already. Its old content is of no
 * interest, so a page that cannot be read is as good as any other.
 */
export function pageToCreate(context: RedoContext, pgno: number, dbtime: number): Page | undefined {
  if (context.redoMap.has(pgno)) return undefined;
  if (isInRequiredRange(context) && !context.pages.isBlank(pgno)) {
    try {
      if (context.pages.readPage(pgno).dbtime >= dbtime) return undefined;
    } catch (error) {
      if (!(error instanceof EseError) || error.name === 'JET_errDiskIO') throw error;
    }
  }
  return context.pages.createPage(pgno);
}

/** Ends the change of a page: gives it the stamp of the record and hands it to the writer. */
export function stampPage(context: RedoContext, page: Page, dbtime: number): void {
  page.dbtime = dbtime;
  page.flags &= ~PAGE_FLAG.scrubbed;
  context.pages.markDirty(page, context.lgpos);
}

/** Whether changes of the current generation may be on the pages already. */
export function isInRequiredRange(context: RedoContext): boolean {
  return context.lgpos.generation <= context.genMaxRequired;
}

/** The error of a record that cannot be carried out on the page that it names. */
export function contradiction(what: string, pgno: number): EseError {
  return new EseError('JET_errLogOperationInconsistentWithDatabase', what, { pgno });
}

/** How a page is absent that could not be read, or `undefined` if it is there but damaged. */
function kindOfAbsence(error: unknown): RedoMapKind | undefined {
  if (!(error instanceof EseError)) return undefined;
  if (error.name === 'JET_errPageNotInitialized') return 'blank';
  if (error.name === 'JET_errFileIOBeyondEOF') return 'beyondEof';
  return undefined;
}

function noteInRedoMap(
  context: RedoContext,
  kind: RedoMapKind,
  pgno: number,
  dbtimePage: number,
  dbtimeBefore: number,
  dbtimeAfter: number,
): void {
  context.redoMap.add({ kind, pgno, lgpos: context.lgpos, dbtimePage, dbtimeBefore, dbtimeAfter });
}
