/**
 * The internal pages of a tree: everything above its leaves (format specification, chapters 2.1.4 and 2.6,
 * tree level). The walk names the leaves in key order without reading them.
 */

import { compareKeys } from '../../format/key.js';
import { createNodeView, NODE_FLAG, PAGE_FLAG, type Page } from '../../format/page.js';
import type { FindingList } from './finding.js';
import { compareKeyBuffers, compareToBytes, copyNodeKey, type KeyBuffer } from './key-buffer.js';
import { type ChangeLimits, checkMembership, type PageReader, reportTrouble } from './page-check.js';
import type { CheckedTree } from './plan.js';

/** Levels of the deepest tree that is followed. */
const DEPTH_MAX = 32;

/** Largest key of an index by page size in bytes (chapter 1.5.6). */
export function keyMostOfPageSize(pageSize: number): number {
  return pageSize <= 2048 ? 500 : pageSize === 4096 ? 1000 : 2000;
}

/** Bounds of a page: `lower` <= its keys < `upper`, where they are known. */
export interface Bounds {
  readonly lower: Uint8Array | undefined;
  readonly upper: Uint8Array | undefined;
  /** Where the upper bound stands; the page of the lower one is the same or the one before. */
  readonly parentPgno: number;
  readonly parentLine: number;
}

export const NO_BOUNDS: Bounds = { lower: undefined, upper: undefined, parentPgno: 0, parentLine: 0 };

const NO_KEY = new Uint8Array(0);

export interface WalkVisitor {
  /** A page that the tree reaches. Returns false if it cannot be this tree's: it was reached before. */
  claim(pgno: number, isLeaf: boolean, fromPgno: number): boolean;
  /** A page whose children are leaves, before them. */
  parent(page: Page): void;
  leaf(pgno: number, bounds: Bounds): void;
  /** Whether bounds of leaves are wanted; else they are not given. */
  readonly wantsBounds: boolean;
  /** One or more leaves are unknown, because the page above them cannot be used. */
  gap(): void;
}

export interface WalkContext extends ChangeLimits {
  readonly read: PageReader;
  readonly pageSize: number;
  readonly lastPgno: number;
  readonly list: FindingList;
  /** Memory for keys that are compared with each other. */
  readonly keys: readonly [KeyBuffer, KeyBuffer];
}

interface Frame {
  readonly page: Page;
  readonly bounds: Bounds;
  readonly isRightEdge: boolean;
  line: number;
  /** Key of the node before `line`. */
  lower: Uint8Array | undefined;
}

/**
 * Walks the internal pages of a tree, and yields after each of them. Ends with whether all leaves are known.
 */
export function* walkInternalPages(
  context: WalkContext,
  tree: CheckedTree,
  pgnoRoot: number,
  roleFlags: number,
  visitor: WalkVisitor,
): Generator<void, boolean, undefined> {
  const { list, lastPgno } = context;
  const { wantsBounds } = visitor;
  const node = createNodeView();
  const path: Frame[] = [];
  let isComplete = true;
  let leafLevel = -1;

  const lose = (): void => {
    isComplete = false;
    visitor.gap();
  };
  /** Reads a page and what it leads to. Returns false if it cannot be followed. */
  const enter = (pgno: number, bounds: Bounds, isRightEdge: boolean): boolean => {
    const { page, trouble, isUsable } = context.read(pgno);
    if (trouble !== undefined) reportTrouble(list, tree, pgno, trouble);
    if (!isUsable) return false;
    const isRoot = pgno === pgnoRoot;
    if (isRoot && page.isLeaf) {
      // Its flags and nodes are checked with those of all leaves.
      leafLevel = 0;
      visitor.leaf(pgno, NO_BOUNDS);
      return true;
    }
    if (!checkMembership(page, tree, roleFlags, isRoot, context, list)) return false;
    if (page.isLeaf) {
      list.add(tree, 'TREE_DEPTH', 'error', 'a leaf lies among internal pages', { pgno });
      return false;
    }
    if (!checkInternalPage(context, tree, page, bounds, isRightEdge, isRoot)) return false;
    const hasLeaves = childrenAreLeaves(context, page);
    if (hasLeaves !== ((page.flags & PAGE_FLAG.parentOfLeaf) !== 0)) {
      const what = hasLeaves
        ? 'a parent of leaves is not marked as one'
        : 'a page is marked as parent of leaves, but is none';
      list.add(tree, 'TREE_DEPTH', 'error', what, { pgno });
    }
    const frame: Frame = { page, bounds, isRightEdge, line: 0, lower: bounds.lower };
    if (!hasLeaves) {
      path.push(frame);
      return true;
    }
    if (leafLevel < 0) leafLevel = path.length + 1;
    else if (leafLevel !== path.length + 1) {
      list.add(tree, 'TREE_DEPTH', 'error', 'the leaves below the page lie on another level', { pgno });
    }
    visitor.parent(page);
    while (frame.line < page.nodeCount) {
      const child = nextChild(frame, true);
      if (child === undefined) lose();
      else visitor.leaf(child.pgno, child.bounds);
    }
    return true;
  };
  /** The next child of a page, `undefined` if it cannot be followed. */
  const nextChild = (
    frame: Frame,
    isLeaf: boolean,
  ): { pgno: number; bounds: Bounds; isRightEdge: boolean } | undefined => {
    const { page, line, lower } = frame;
    page.readNode(line, node);
    const pgno = page.childPgno(node);
    const isLast = line === page.nodeCount - 1;
    frame.line++;
    const isBounded = !isLeaf || wantsBounds;
    const key = isBounded ? page.key(node) : NO_KEY;
    const upper = key.length > 0 ? key : isLast ? frame.bounds.upper : undefined;
    frame.lower = upper;
    if (pgno < 1 || pgno > lastPgno) {
      list.add(tree, 'NODE_BOUNDS', 'error', `the node points to page ${pgno}, the file has ${lastPgno}`, {
        pgno: page.pgno,
        node: line,
      });
      return undefined;
    }
    if (!visitor.claim(pgno, isLeaf, page.pgno)) return undefined;
    const bounds = isBounded ? { lower, upper, parentPgno: page.pgno, parentLine: line } : NO_BOUNDS;
    return { pgno, bounds, isRightEdge: frame.isRightEdge && isLast };
  };

  if (!enter(pgnoRoot, NO_BOUNDS, true)) lose();
  yield;
  for (;;) {
    const frame = path.at(-1);
    if (frame === undefined) return isComplete;
    if (frame.line >= frame.page.nodeCount) {
      path.pop();
      continue;
    }
    if (path.length >= DEPTH_MAX) {
      list.add(tree, 'TREE_DEPTH', 'error', `the tree has more than ${DEPTH_MAX} levels`, {
        pgno: frame.page.pgno,
      });
      isComplete = false;
      visitor.gap();
      path.pop();
      continue;
    }
    const child = nextChild(frame, false);
    if (child === undefined || !enter(child.pgno, child.bounds, child.isRightEdge)) lose();
    yield;
  }
}

/** Whether the children of an internal page are leaves; a damaged child does not tell, another one may. */
function childrenAreLeaves(context: WalkContext, page: Page): boolean {
  const node = createNodeView();
  const tries = Math.min(page.nodeCount, 3);
  for (let line = 0; line < tries; line++) {
    page.readNode(line, node);
    const { page: child, isUsable } = context.read(page.childPgno(node));
    if (isUsable && child.objid === page.objid) return child.isLeaf;
  }
  return (page.flags & PAGE_FLAG.parentOfLeaf) !== 0;
}

/** Checks the nodes of an internal page. Returns false if its children cannot be followed. */
function checkInternalPage(
  context: WalkContext,
  tree: CheckedTree,
  page: Page,
  bounds: Bounds,
  isRightEdge: boolean,
  isRoot: boolean,
): boolean {
  const { list } = context;
  const { pgno, nodeCount } = page;
  const keyMost = keyMostOfPageSize(context.pageSize) * (tree.isUnique ? 1 : 2);
  const node = createNodeView();
  const report = (
    code: 'NODE_BOUNDS' | 'NODE_ORDER' | 'NODE_DUP' | 'NODE_PREFIX' | 'TREE_SEPARATOR',
    what: string,
    line: number,
  ): void => list.add(tree, code, 'error', what, { pgno, node: line });
  if (nodeCount === 0) {
    list.add(tree, 'PAGE_FLAGS', 'error', 'an internal page has no nodes', { pgno });
    return false;
  }
  if (page.pgnoPrev !== 0 || page.pgnoNext !== 0) {
    list.add(tree, 'TREE_LINKS', 'error', 'an internal page has siblings', { pgno });
  }
  let [key, previous] = context.keys;
  let isOrdered = true;
  for (let line = 0; line < nodeCount; line++) {
    page.readNode(line, node);
    if ((node.flags & ~NODE_FLAG.compressed) !== 0) {
      report('NODE_BOUNDS', 'an internal node is marked as deleted or versioned', line);
    }
    if ((node.flags & NODE_FLAG.compressed) !== 0 && (node.prefixLength < 3 || isRoot)) {
      report('NODE_PREFIX', prefixFault(isRoot, node.prefixLength), line);
    }
    copyNodeKey(page, node, key);
    const isLast = line === nodeCount - 1;
    if (key.length > keyMost) report('NODE_BOUNDS', `the key has ${key.length} bytes`, line);
    if (key.length === 0) {
      if (!isLast || !isRightEdge) {
        report('TREE_SEPARATOR', 'an open end lies inside the tree', line);
        isOrdered = false;
      }
    } else if (isLast && isRightEdge) {
      report('TREE_SEPARATOR', 'the last page of its level has no open end', line);
    } else if (line > 0 && isOrdered) {
      const order = compareKeyBuffers(previous, key);
      if (order >= 0) {
        report(order === 0 ? 'NODE_DUP' : 'NODE_ORDER', orderFault(order), line);
        isOrdered = false;
      }
    }
    [key, previous] = [previous, key];
  }
  if (!isOrdered) return true;
  checkInternalBounds(page, bounds, previous, isRightEdge, report);
  return true;
}

/** First separator behind the lower bound of the page, last one equal to its upper bound. */
function checkInternalBounds(
  page: Page,
  { lower, upper }: Bounds,
  lastKey: KeyBuffer,
  isRightEdge: boolean,
  report: (code: 'TREE_SEPARATOR', what: string, line: number) => void,
): void {
  const node = createNodeView();
  page.readNode(0, node);
  const firstKey = page.key(node);
  if (lower !== undefined && firstKey.length > 0 && compareKeys(firstKey, lower) <= 0) {
    report('TREE_SEPARATOR', 'the first key of the page lies before the bound of its parent', 0);
  } else if (!isRightEdge && upper !== undefined && compareToBytes(lastKey, upper) !== 0) {
    report('TREE_SEPARATOR', "the last key of the page is not its parent's", page.nodeCount - 1);
  }
}

export function prefixFault(isRoot: boolean, length: number): string {
  return isRoot ? 'a node of a root page takes a prefix' : `the node takes ${length} bytes of the prefix key`;
}

export function orderFault(order: number): string {
  return order === 0 ? 'the key is that of the node before' : 'the key lies before that of the node before';
}
