import { EseError } from '../format/ese-error.js';
import type { LogRecordOf } from '../format/log-record.js';
import { SPLIT_OPERATION, SPLIT_TYPE } from '../format/log-record-layout.js';
import { createNodeView, NODE_FLAG, type NodeView, type Page } from '../format/page.js';
import {
  deferVersion,
  type LeafOperation,
  rememberInsert,
  rememberReplace,
  replacedData,
  versionFlag,
} from './node-operations.js';
import { checkAgainstImage, imageOf } from './page-image-check.js';
import type { RedoContext } from './redo-context.js';
import { contradiction, pageToChange, pageToCreate, stampPage } from './redo-gate.js';

/**
 * Splits (format specification, chapters 4.6.6, 4.6.8, 5.3.5 and 10.3). A macro holds one record a level from
 * the highest page that changes down to the leaf, then the leaf operation that caused it all. Each page is
 * judged by its own stamp, so any of them may have reached the file before the crash.
 *
 * All lines count the page with the new node in place. The nodes that the pages get are described once, by
 * {@link SplitLines}, and put wherever they are missing.
 */

type SplitRecord = LogRecordOf<'Split2'>;

/** Stands for "no line supplies a prefix". */
const NO_PREFIX_LINE = -1;
/** An internal page is at most this deep below the root. */
const LEVELS_MAX = 32;

const EMPTY_KEY = new Uint8Array(0);
const node: NodeView = createNodeView();

/** Carries out a split macro: its records from the root side to the leaf, and its leaf operation, if any. */
export function applySplit(
  splits: readonly SplitRecord[],
  leafOperation: LeafOperation | undefined,
  context: RedoContext,
): void {
  if (splits.length > LEVELS_MAX) throw contradiction('a split of too many levels', splits[0]?.pgno ?? 0);
  if (leafOperation !== undefined && splits.at(-1)?.pgno !== leafOperation.pgno) {
    throw contradiction('a leaf operation does not belong to its split', leafOperation.pgno);
  }
  let child: SplitRecord | undefined;
  for (let level = splits.length - 1; level >= 0; level--) {
    const split = splits[level];
    if (split === undefined) continue;
    const isLeafLevel = child === undefined;
    const change = isLeafLevel ? leafChange(split, leafOperation) : pointerChange(split, child);
    if (split.pgnoNew === 0) changeParent(split, change, context);
    else splitPage(split, change, isLeafLevel, context);
    child = split;
  }
}

/** What happens to the lines of one page besides the split. */
type Change =
  | { readonly kind: 'none' }
  | { readonly kind: 'leaf'; readonly line: number; readonly operation: LeafOperation }
  | { readonly kind: 'pointer'; readonly line: number; readonly child: SplitRecord };

const NO_CHANGE: Change = { kind: 'none' };

function leafChange(split: SplitRecord, operation: LeafOperation | undefined): Change {
  if (operation === undefined) return NO_CHANGE;
  if (split.pgnoNew !== 0 && split.splitoper === SPLIT_OPERATION.none) return NO_CHANGE;
  return { kind: 'leaf', line: split.ilineOper, operation };
}

function pointerChange(split: SplitRecord, child: SplitRecord | undefined): Change {
  if (child === undefined || child.pgnoNew === 0 || child.splittype === SPLIT_TYPE.vertical) return NO_CHANGE;
  return { kind: 'pointer', line: split.ilineOper, child };
}

/** Whether the change puts one more line on the page. */
function insertsLine(change: Change): boolean {
  return change.kind === 'pointer' || (change.kind === 'leaf' && change.operation.name === 'Insert');
}

/**
 * The lines of a page that is split, numbered with the new node in place, over the page as it was before.
 * Without that page (it is newer already, and the log has no image since none is needed) only the lines that
 * the change brings are known.
 */
class SplitLines {
  readonly #source: Page | undefined;
  readonly #change: Change;
  readonly #inserts: boolean;

  constructor(source: Page | undefined, change: Change) {
    this.#source = source;
    this.#change = change;
    this.#inserts = insertsLine(change);
  }

  /** Line of the page before that became line `line`. */
  #sourceLine(line: number): number {
    return this.#inserts && line > this.#changeLine ? line - 1 : line;
  }

  get #changeLine(): number {
    return this.#change.kind === 'none' ? -1 : this.#change.line;
  }

  key(line: number): Uint8Array {
    const change = this.#change;
    if (change.kind === 'pointer' && line === change.line) return change.child.keyParent;
    if (change.kind === 'leaf' && line === change.line && change.operation.name === 'Insert') {
      return change.operation.key;
    }
    // The last pointer of an internal page at the right edge of its tree has no key.
    if (this.#source === undefined && change.kind === 'pointer' && line === change.line + 1) return EMPTY_KEY;
    const source = this.#known();
    source.readNode(this.#sourceLine(line), node);
    return source.key(node);
  }

  flags(line: number): number {
    const change = this.#change;
    if (this.#inserts && line === this.#changeLine) {
      return change.kind === 'leaf' ? versionFlag(change.operation) : 0;
    }
    if (this.#source === undefined) return 0;
    this.#source.readNode(this.#sourceLine(line), node);
    const flags = node.flags & ~NODE_FLAG.compressed;
    if (change.kind !== 'leaf' || line !== change.line) return flags;
    const isRevived = change.operation.name === 'FlagInsertAndReplaceData';
    return (isRevived ? flags & ~NODE_FLAG.deleted : flags) | versionFlag(change.operation);
  }

  data(line: number): Uint8Array {
    const change = this.#change;
    if (change.kind === 'pointer') {
      if (line === change.line) return pointerTo(change.child.pgno);
      if (line === change.line + 1) return pointerTo(change.child.pgnoNew);
    }
    if (change.kind === 'leaf' && line === change.line) {
      const { operation } = change;
      if (operation.name === 'Insert' || operation.name === 'FlagInsertAndReplaceData') return operation.data;
      return replacedData(operation, this.#sourceData(line));
    }
    return this.#sourceData(line);
  }

  #sourceData(line: number): Uint8Array {
    const source = this.#known();
    source.readNode(this.#sourceLine(line), node);
    return source.data(node);
  }

  #known(): Page {
    if (this.#source === undefined) {
      throw new EseError(
        'JET_errDatabaseBufferDependenciesCorrupted',
        'a page was split and written, its new neighbour was not, and the log has no image of it',
      );
    }
    return this.#source;
  }

  /** Puts lines `from .. to` behind the last node of a page, in its own encoding. */
  copy(from: number, to: number, page: Page): void {
    const source = this.#source;
    for (let line = from; line <= to; line++) {
      if (source === undefined || this.#isChanged(line)) {
        page.insertKeyed(page.nodeCount, this.flags(line), this.key(line), this.data(line));
        continue;
      }
      source.readNode(this.#sourceLine(line), node);
      page.insertCopy(page.nodeCount, node.flags, source, node);
    }
  }

  /** Whether the change concerns this line. */
  #isChanged(line: number): boolean {
    const change = this.#change;
    if (change.kind === 'none') return false;
    return line === change.line || (change.kind === 'pointer' && line === change.line + 1);
  }
}

function pointerTo(pgno: number): Uint8Array {
  const data = new Uint8Array(4);
  for (let i = 0; i < 4; i++) data[i] = pgno >>> (8 * i);
  return data;
}

/** Splits one page, or what of it is still to be done. */
function splitPage(split: SplitRecord, change: Change, isLeafLevel: boolean, context: RedoContext): void {
  const { pgno, pgnoNew, pgnoRight, dbtime, objidFDP, splittype } = split;
  if (pgnoNew === pgno || pgnoRight === pgno || pgnoRight === pgnoNew) {
    throw contradiction('a page is split into itself', pgno);
  }
  const page = pageToChange(context, pgno, split.dbtimeBefore, dbtime, objidFDP);
  if (page !== undefined) checkAgainstImage(split, page, context);
  const right =
    pgnoRight === 0 ? undefined : pageToChange(context, pgnoRight, split.dbtimeRightBefore, dbtime, objidFDP);
  const created = pageToCreate(context, pgnoNew, dbtime);

  let source = page;
  if (page === undefined && created !== undefined && split.cbPreimage > 0) source = imageOf(split, context);
  if (source !== undefined) checkLineCount(split, change, source);
  else if (created !== undefined && needsImage(split)) {
    throw new EseError(
      'JET_errDatabaseBufferDependenciesCorrupted',
      'a page was split and written, its new neighbour was not, and the log has no image of it',
      { pgno },
    );
  }
  rememberVersion(change, source, context);

  const lines = new SplitLines(source, change);
  const isVertical = splittype === SPLIT_TYPE.vertical;
  const from = isVertical ? 0 : split.ilineSplit;
  if (created !== undefined) {
    created.initialize(split.fNewPageFlags, objidFDP, dbtime);
    if (isLeafLevel && !isVertical) {
      created.pgnoPrev = pgno;
      created.pgnoNext = pgnoRight;
    }
    if (split.ilinePrefixNew !== NO_PREFIX_LINE) {
      created.setExternalHeader(lines.key(from + split.ilinePrefixNew));
    }
    lines.copy(from, split.clines - 1, created);
    stampPage(context, created, dbtime);
  }
  if (page !== undefined) {
    if (isVertical) liftRoot(split, page);
    else cutPage(split, change, page, lines);
    if (isLeafLevel && !isVertical) page.pgnoNext = pgnoNew;
    page.flags = split.fSplitPageFlags;
    stampPage(context, page, dbtime);
  }
  if (right !== undefined) {
    right.pgnoPrev = pgnoNew;
    stampPage(context, right, dbtime);
  }
}

/** Whether the new page takes nodes that only the page before the split had (chapter 5.3.5, step 1). */
function needsImage(split: SplitRecord): boolean {
  if (split.splittype === SPLIT_TYPE.append) return false;
  const takesNewNodeOnly =
    split.splittype === SPLIT_TYPE.right &&
    split.splitoper === SPLIT_OPERATION.insert &&
    split.ilineSplit === split.ilineOper &&
    split.ilineOper === split.clines - 1;
  return !takesNewNodeOnly;
}

function checkLineCount(split: SplitRecord, change: Change, source: Page): void {
  const lines = source.nodeCount + (insertsLine(change) ? 1 : 0);
  const isLineKnown = change.kind === 'none' || change.line < lines;
  if (lines !== split.clines || split.ilineSplit > lines || !isLineKnown) {
    throw contradiction(`a split of ${split.clines} lines meets ${lines}`, split.pgno);
  }
  if (change.kind === 'pointer') checkPointer(source, change.line, change.child.pgno);
}

/** The node at `line` must point to the page that was split below. */
function checkPointer(page: Page, line: number, pgno: number): void {
  page.readNode(line, node);
  if (page.childPgno(node) !== pgno) {
    throw contradiction(`node ${line} does not point to page ${pgno}, which was split`, page.pgno);
  }
}

/** Vertical split: all nodes of the root are on the new page, one pointer to it remains. */
function liftRoot(split: SplitRecord, page: Page): void {
  for (let line = page.nodeCount - 1; line >= 0; line--) page.deleteNode(line);
  page.insertNode(0, 0, 0, EMPTY_KEY, pointerTo(split.pgnoNew));
}

/** Takes the lines that moved off the page, gives it its new prefix, and carries out the change if it stays. */
function cutPage(split: SplitRecord, change: Change, page: Page, lines: SplitLines): void {
  const { ilineSplit } = split;
  const line = change.kind === 'none' ? -1 : change.line;
  const staysHere = change.kind !== 'none' && line < ilineSplit;
  const inserted =
    staysHere && insertsLine(change)
      ? { key: lines.key(line).slice(), data: lines.data(line).slice() }
      : undefined;
  const kept = ilineSplit - (inserted === undefined ? 0 : 1);
  const replaced =
    staysHere && change.kind === 'leaf' && inserted === undefined
      ? { key: lines.key(line), data: lines.data(line).slice(), flags: lines.flags(line) }
      : undefined;
  for (let last = page.nodeCount - 1; last >= kept; last--) page.deleteNode(last);
  if (split.splittype !== SPLIT_TYPE.append) page.changePrefix(split.prefixSplitNew);
  if (change.kind === 'pointer' && line + 1 < ilineSplit) {
    page.replaceData(line, pointerTo(change.child.pgnoNew));
  }
  if (inserted !== undefined) {
    page.insertKeyed(
      line,
      change.kind === 'leaf' ? versionFlag(change.operation) : 0,
      inserted.key,
      inserted.data,
    );
  } else if (replaced !== undefined) {
    page.deleteNode(line);
    page.insertKeyed(line, replaced.flags, replaced.key, replaced.data);
  }
}

/** A page above a split that is not split itself: it gets the pointer to the page below, or the leaf operation. */
function changeParent(split: SplitRecord, change: Change, context: RedoContext): void {
  const page = pageToChange(context, split.pgno, split.dbtimeBefore, split.dbtime, split.objidFDP);
  rememberVersion(change, page, context);
  if (page === undefined) return;
  if (change.kind === 'pointer') {
    const { line, child } = change;
    checkPointer(page, line, child.pgno);
    page.replaceData(line, pointerTo(child.pgnoNew));
    page.insertKeyed(line, 0, child.keyParent, pointerTo(child.pgno));
  } else if (change.kind === 'leaf') {
    const { line, operation } = change;
    const lines = new SplitLines(page, change);
    const key = lines.key(line).slice();
    const data = lines.data(line).slice();
    const flags = lines.flags(line);
    if (!insertsLine(change)) page.deleteNode(line);
    page.insertKeyed(line, flags | versionFlag(operation), key, data);
  }
  stampPage(context, page, split.dbtime);
}

/** Remembers how to undo the leaf operation, from the page before it where it is known. */
function rememberVersion(change: Change, source: Page | undefined, context: RedoContext): void {
  if (change.kind !== 'leaf') return;
  const { operation, line } = change;
  if (operation.name === 'Insert') {
    rememberInsert(operation, context);
    return;
  }
  const isRevival = operation.name === 'FlagInsertAndReplaceData';
  if (isRevival) rememberInsert(operation, context);
  const rceid = isRevival ? operation.rceidReplace : operation.rceid;
  if (source === undefined) {
    deferVersion(operation, rceid, context);
    return;
  }
  source.readNode(line, node);
  rememberReplace(operation, rceid, source, node, context);
}
