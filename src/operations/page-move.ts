import { EseError } from '../format/ese-error.js';
import type { LogRecordOf } from '../format/log-record.js';
import { checkPageStructure, createNodeView, Page } from '../format/page.js';
import { decodeMovedPage } from '../format/page-image.js';
import { emptyPage } from './empty-tree.js';
import type { RedoContext } from './redo-context.js';
import { contradiction, pageToChange, pageToCreate, stampPage } from './redo-gate.js';

/**
 * PageMove: a page of a tree moves to another place in the file, as a shrink does it. The copy has the
 * content of the old page, whose start and end the record carries; neighbours and parent are relinked
 * (format specification, chapters 4.6.6 and 5.3.5). Each page is judged by its own stamp.
 */
export function applyPageMove(record: LogRecordOf<'PageMove'>, context: RedoContext): void {
  const { pgno, pgnoDest, pgnoLeft, pgnoRight, pgnoParent, dbtime, objidFDP } = record;
  if (pgnoDest === pgno || pgnoLeft === pgno || pgnoRight === pgno || pgnoParent === pgno) {
    throw contradiction('a page is moved onto itself', pgno);
  }
  const source = pageToChange(context, pgno, record.dbtimeBefore, dbtime, objidFDP);
  const destination = pageToCreate(context, pgnoDest, dbtime);
  if (destination !== undefined) {
    copyPage(record, destination, context);
    stampPage(context, destination, dbtime);
  }
  if (pgnoLeft !== 0) {
    const left = pageToChange(context, pgnoLeft, record.dbtimeLeftBefore, dbtime, objidFDP);
    if (left !== undefined) {
      left.pgnoNext = pgnoDest;
      stampPage(context, left, dbtime);
    }
  }
  if (pgnoRight !== 0) {
    const right = pageToChange(context, pgnoRight, record.dbtimeRightBefore, dbtime, objidFDP);
    if (right !== undefined) {
      right.pgnoPrev = pgnoDest;
      stampPage(context, right, dbtime);
    }
  }
  if (pgnoParent !== 0) {
    const parent = pageToChange(context, pgnoParent, record.dbtimeParentBefore, dbtime, objidFDP);
    if (parent !== undefined) {
      relinkParent(record, parent);
      stampPage(context, parent, dbtime);
    }
  }
  if (source !== undefined) {
    emptyPage(source);
    stampPage(context, source, dbtime);
  }
}

/** Fills the new place from the parts of the old page that the record carries. */
function copyPage(record: LogRecordOf<'PageMove'>, destination: Page, context: RedoContext): void {
  const image = new Page(decodeMovedPage(record, context.pageSize), record.pgno);
  const fault = checkPageStructure(image);
  if (fault !== undefined) {
    throw new EseError('JET_errLogCorrupted', `a moved page is damaged in the log: ${fault.what}`, {
      pgno: record.pgno,
    });
  }
  if (image.objid !== record.objidFDP) {
    throw contradiction(`the moved page belongs to tree ${image.objid}`, record.pgno);
  }
  destination.copyFrom(image);
}

/** Lets the pointer of the parent lead to the new place. */
function relinkParent(record: LogRecordOf<'PageMove'>, parent: Page): void {
  const node = createNodeView();
  parent.readNode(record.ilineParent, node);
  if (parent.childPgno(node) !== record.pgno) {
    throw contradiction(`node ${record.ilineParent} does not point to the moved page`, parent.pgno);
  }
  parent.view.setUint32(node.dataOffset, record.pgnoDest, true);
}
