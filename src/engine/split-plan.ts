import { SPLIT_OPERATION, SPLIT_TYPE } from '../format/log-record-layout.js';
import type { Page } from '../format/page.js';
import { chooseSplit, type SplitChoice, type SplitOperation } from './split-choice.js';
import type { PathStep, Tree } from './tree-search.js';

/**
 * Which pages a split takes in: the leaf, and the pages above it as long as the pointer to a new page finds no room
 * (format specification, chapters 2.1.4 and 10.3). Nothing is changed here.
 */
export interface SplitLevel {
  readonly page: Page;
  readonly choice: SplitChoice | undefined;
  /** Line of the pointer to the page below, or of the operation in a leaf. */
  readonly line: number;
  pgnoNew: number;
  /** Key of the pointer to the page that stays, for the page above. */
  readonly separator: Uint8Array;
}

const NO_BYTES = new Uint8Array(0);
const TAG_BYTES = 4;
/** Room that a node needs besides key and data. */
const KEY_LENGTH_BYTES = 2;
const PREFIX_LENGTH_BYTES = 2;

/**
 * Decides how each level is split, from the leaf up, and returns the levels from the root side down. The first one may
 * only take the pointer to the new page below it.
 *
 * @param reservedAt bytes that a node of a leaf may need beyond its present data, for a rollback
 */
export function planSplit(
  tree: Tree,
  leaf: Page,
  path: readonly PathStep[],
  operation: SplitOperation,
  reservedAt: (page: Page, line: number) => number,
): SplitLevel[] {
  const levels: SplitLevel[] = [];
  let page = leaf;
  let current = operation;
  let isAboveAppend = false;
  for (let depth = path.length - 1; ; depth--) {
    const split = page;
    const choice = chooseSplit({
      page,
      operation: current,
      isAboveAppend,
      reservedAt: page.isLeaf ? (line) => reservedAt(split, line) : () => 0,
    });
    const separator = separatorOf(page, choice, tree);
    // A page that can only be split without taking the pointer to the new page below: that split has to wait.
    if (!page.isLeaf && choice.operation === SPLIT_OPERATION.none) levels.length = 0;
    levels.unshift({ page, choice, line: current.line, pgnoNew: 0, separator });
    if (choice.type === SPLIT_TYPE.vertical) return levels;
    const parent = path[depth];
    if (parent === undefined) throw new Error(`page ${page.pgno} is no root and has no page above`);
    isAboveAppend ||= choice.type === SPLIT_TYPE.append;
    const pointer = pointerTo(page.pgno);
    if (encodedSize(parent.page, separator, pointer.length) <= parent.page.cbFree) {
      const { page: above, line } = parent;
      levels.unshift({ page: above, choice: undefined, line, pgnoNew: 0, separator: NO_BYTES });
      return levels;
    }
    page = parent.page;
    current = { kind: SPLIT_OPERATION.insert, line: parent.line, key: separator, data: pointer };
  }
}

/** Bytes of a node as this page stores it, its tag included. */
export function encodedSize(page: Page, key: Uint8Array, dataLength: number): number {
  const prefix = page.prefixLengthFor(key);
  const head = prefix > 0 ? PREFIX_LENGTH_BYTES : 0;
  return TAG_BYTES + KEY_LENGTH_BYTES + head + key.length - prefix + dataLength;
}

/**
 * Key of the pointer to the page that stays (chapter 2.1.4): between leaves the shortest that separates them; an
 * internal page passes on the key of its last line.
 */
function separatorOf(page: Page, choice: SplitChoice, tree: Tree): Uint8Array {
  if (choice.type === SPLIT_TYPE.vertical) return NO_BYTES;
  const { keyBefore: left, keyAt: right } = choice;
  if (!page.isLeaf) return left;
  const common = commonLength(left, right);
  if (common < right.length) return right.slice(0, common + 1);
  if (tree.isUnique) throw new Error(`page ${page.pgno} has the same key twice`);
  const leftData = choice.dataOf(choice.ilineSplit - 1).slice();
  const rightData = choice.dataOf(choice.ilineSplit);
  const commonData = commonLength(leftData, rightData);
  const separator = new Uint8Array(common + commonData + 1);
  separator.set(right);
  separator.set(rightData.subarray(0, commonData + 1), common);
  return separator;
}

function commonLength(a: Uint8Array, b: Uint8Array): number {
  const limit = Math.min(a.length, b.length);
  let common = 0;
  while (common < limit && a[common] === b[common]) common++;
  return common;
}

function pointerTo(pgno: number): Uint8Array {
  const data = new Uint8Array(4);
  for (let i = 0; i < 4; i++) data[i] = pgno >>> (8 * i);
  return data;
}
