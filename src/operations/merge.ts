import { DBTIME_NIL } from '../format/dbtime.js';
import { EseError } from '../format/ese-error.js';
import type { LogRecordOf } from '../format/log-record.js';
import { MERGE_FLAG, MERGE_TYPE } from '../format/log-record-layout.js';
import { createNodeView, NODE_FLAG, type NodeView, type Page } from '../format/page.js';
import { emptyPage } from './empty-tree.js';
import { checkAgainstImage, imageOf } from './page-image-check.js';
import type { RedoContext } from './redo-context.js';
import { contradiction, pageToChange, stampPage } from './redo-gate.js';

/**
 * Merges (format specification, chapters 4.6.6, 4.6.8, 5.3.5 and 10.4): a leaf gives its nodes to a neighbour,
 * or has none left, and leaves the tree. A macro holds one record a level, from the root side down; the last
 * one is the leaf's. Each page is judged by its own stamp.
 */
type MergeRecord = LogRecordOf<'Merge2'>;

const LEVELS_MAX = 32;
const EMPTY_KEY = new Uint8Array(0);
const node: NodeView = createNodeView();

/** Carries out a merge macro: its records from the root side to the leaf. */
export function applyMerge(merges: readonly MergeRecord[], context: RedoContext): void {
  if (merges.length > LEVELS_MAX) throw contradiction('a merge of too many levels', merges[0]?.pgno ?? 0);
  const leaf = merges.at(-1);
  if (leaf === undefined) return;
  mergeLeaf(leaf, context);
  let child = leaf;
  for (let level = merges.length - 2; level >= 0; level--) {
    const merge = merges[level];
    if (merge === undefined) continue;
    changeParent(merge, child.pgno, leaf, context);
    child = merge;
  }
}

function movesRight(type: number): boolean {
  return type === MERGE_TYPE.fullRight || type === MERGE_TYPE.partialRight;
}

function movesLeft(type: number): boolean {
  return type === MERGE_TYPE.fullLeft || type === MERGE_TYPE.partialLeft;
}

function isPartial(type: number): boolean {
  return type === MERGE_TYPE.partialRight || type === MERGE_TYPE.partialLeft;
}

function mergeLeaf(merge: MergeRecord, context: RedoContext): void {
  const { pgno, pgnoLeft, pgnoRight, dbtime, objidFDP, mergetype } = merge;
  if (pgnoLeft === pgno || pgnoRight === pgno || (pgnoLeft !== 0 && pgnoLeft === pgnoRight)) {
    throw contradiction('a page is merged with itself', pgno);
  }
  const page = pageToChange(context, pgno, merge.dbtimeBefore, dbtime, objidFDP);
  if (page !== undefined) checkAgainstImage(merge, page, context);
  const left = neighbour(context, merge, pgnoLeft, merge.dbtimeLeftBefore);
  const right = neighbour(context, merge, pgnoRight, merge.dbtimeRightBefore);

  const destination = movesRight(mergetype) ? right : movesLeft(mergetype) ? left : undefined;
  if (destination !== undefined) moveNodes(merge, sourceOf(merge, page, context), destination, context);

  const leavesTree = mergetype !== MERGE_TYPE.none && !isPartial(mergetype);
  if (left !== undefined) {
    if (leavesTree) left.pgnoNext = pgnoRight;
    stampPage(context, left, dbtime);
  }
  if (right !== undefined) {
    if (leavesTree) right.pgnoPrev = pgnoLeft;
    stampPage(context, right, dbtime);
  }
  if (page !== undefined) {
    if (leavesTree) emptyPage(page);
    else if (isPartial(mergetype)) removeMoved(merge, page);
    stampPage(context, page, dbtime);
  }
}

/** A neighbour that the merge changes: one without a stamp before is only named. */
function neighbour(
  context: RedoContext,
  merge: MergeRecord,
  pgno: number,
  dbtimeBefore: number,
): Page | undefined {
  if (pgno === 0 || dbtimeBefore === DBTIME_NIL) return undefined;
  return pageToChange(context, pgno, dbtimeBefore, merge.dbtime, merge.objidFDP);
}

/** The page as it was before it gave its nodes away. */
function sourceOf(merge: MergeRecord, page: Page | undefined, context: RedoContext): Page {
  if (page !== undefined) return page;
  if (merge.cbPreimage > 0) return imageOf(merge, context);
  throw new EseError(
    'JET_errDatabaseBufferDependenciesCorrupted',
    'a page was merged and written, its neighbour was not, and the log has no image of it',
    { pgno: merge.pgno },
  );
}

/**
 * Gives the nodes of the source to the destination. A dead node (deleted, and no transaction in progress
 * could bring it back) is dropped on the way.
 */
function moveNodes(merge: MergeRecord, source: Page, destination: Page, context: RedoContext): void {
  const { ilineMerge, mergetype } = merge;
  const count = source.nodeCount;
  const toRight = movesRight(mergetype);
  const first = toRight ? ilineMerge : 0;
  const last = toRight ? count - 1 : ilineMerge;
  if (ilineMerge >= count)
    throw contradiction(`a merge from line ${ilineMerge} meets ${count} lines`, merge.pgno);
  const at = toRight ? 0 : destination.nodeCount;
  for (let line = last; line >= first; line--) {
    source.readNode(line, node);
    if ((node.flags & NODE_FLAG.deleted) !== 0 && isDead(merge, source, context)) continue;
    destination.insertCopy(at, node.flags, source, node);
  }
}

function isDead(merge: MergeRecord, source: Page, context: RedoContext): boolean {
  if ((node.flags & NODE_FLAG.version) === 0) return true;
  return !context.versions.isActive(merge.dbid, merge.objidFDP, source.key(node), source.data(node));
}

/** Removes the lines that moved, the dead ones among them too. */
function removeMoved(merge: MergeRecord, page: Page): void {
  const { ilineMerge } = merge;
  if (merge.mergetype === MERGE_TYPE.partialRight) {
    for (let line = page.nodeCount - 1; line >= ilineMerge; line--) page.deleteNode(line);
  } else {
    for (let line = ilineMerge; line >= 0; line--) page.deleteNode(line);
  }
}

/**
 * Changes the pointer to a page that was merged or emptied, or whose last key has changed. Only the record of the leaf
 * says how nodes moved, and brings the new key for all levels.
 */
function changeParent(merge: MergeRecord, pgnoChild: number, leaf: MergeRecord, context: RedoContext): void {
  const page = pageToChange(context, merge.pgno, merge.dbtimeBefore, merge.dbtime, merge.objidFDP);
  if (page === undefined) return;
  const { iline, mergeFlags } = merge;
  const deletesPointer = (mergeFlags & MERGE_FLAG.deletePointer) !== 0;
  const changesKey = (mergeFlags & MERGE_FLAG.keyChange) !== 0;
  if (deletesPointer || changesKey) checkPointer(page, iline, pgnoChild);
  if ((mergeFlags & MERGE_FLAG.emptyPage) !== 0) {
    emptyPage(page);
  } else if (deletesPointer && changesKey && leaf.mergetype === MERGE_TYPE.fullLeft) {
    // The left neighbour takes over the range, so the pointer stays and leads to it.
    page.replaceData(iline, pointerTo(leaf.pgnoLeft));
    page.deleteNode(iline - 1);
  } else if (deletesPointer) {
    page.readNode(iline, node);
    const isAtRightEdge = node.prefixLength + node.suffixLength === 0;
    page.deleteNode(iline);
    if (isAtRightEdge && page.nodeCount > 0) setKey(page, page.nodeCount - 1, EMPTY_KEY);
  } else if (changesKey) {
    setKey(page, leaf.mergetype === MERGE_TYPE.partialLeft ? iline - 1 : iline, leaf.keyParentSep);
  }
  stampPage(context, page, merge.dbtime);
}

function checkPointer(page: Page, line: number, pgno: number): void {
  page.readNode(line, node);
  if (page.childPgno(node) !== pgno) {
    throw contradiction(`node ${line} does not point to page ${pgno}, which was merged`, page.pgno);
  }
}

function pointerTo(pgno: number): Uint8Array {
  const data = new Uint8Array(4);
  new DataView(data.buffer).setUint32(0, pgno, true);
  return data;
}

/** Gives the pointer at `line` another key. */
function setKey(page: Page, line: number, key: Uint8Array): void {
  page.readNode(line, node);
  const { flags } = node;
  const data = page.data(node).slice();
  page.deleteNode(line);
  page.insertKeyed(line, flags, key, data);
}
