/** Leaf pages: flags, sibling links, node order, and the bounds that their parents give (chapter 2.6, tree level). */

import { createNodeView, NODE_FLAG, type NodeView, type Page } from '../../format/page.js';
import type { FindingList } from './finding.js';
import {
  compareKeyBuffers,
  compareToBytes,
  compareWithData,
  copyNodeKey,
  createKeyBuffer,
  type KeyBuffer,
} from './key-buffer.js';
import { type ChangeLimits, checkMembership } from './page-check.js';
import type { CheckedTree } from './plan.js';
import { type Bounds, keyMostOfPageSize, orderFault, prefixFault } from './tree-walk.js';

/** What the tree says of a leaf; a sibling that is not known is `undefined`. */
export interface LeafExpectation {
  readonly tree: CheckedTree;
  readonly roleFlags: number;
  readonly isRoot: boolean;
  readonly bounds: Bounds;
  readonly pgnoPrev: number | undefined;
  readonly pgnoNext: number | undefined;
}

/** Hears of each node that is not flag-deleted, in key order. The key buffer is reused. */
export type LeafContent = (page: Page, line: number, node: NodeView, key: KeyBuffer) => void;

export interface LeafChecker {
  /** Checks a sound page. Returns false if it cannot be read as a leaf of the tree; nothing was told of it then. */
  check(page: Page, expected: LeafExpectation, list: FindingList, content: LeafContent): boolean;
  /** Tells of some lines of a leaf that is known to be in order. */
  visit(page: Page, lines: Uint16Array, count: number, content: LeafContent): void;
}

/** A checker of leaves for one database; it keeps its buffers from page to page. */
export function createLeafChecker(pageSize: number, limits: ChangeLimits): LeafChecker {
  const keyLimit = keyMostOfPageSize(pageSize);
  const node = createNodeView();
  const previousNode = createNodeView();
  let key = createKeyBuffer();
  let previous = createKeyBuffer();

  const compareToPrevious = (page: Page, isUnique: boolean): number => {
    const order = compareKeyBuffers(previous, key);
    return order === 0 && !isUnique ? compareData(page, previousNode, node) : order;
  };

  const checkNodes = (
    page: Page,
    { tree, isRoot, bounds }: LeafExpectation,
    list: FindingList,
    content: LeafContent,
  ): void => {
    const { pgno, nodeCount } = page;
    let isOrdered = true;
    for (let line = 0; line < nodeCount; line++) {
      page.readNode(line, node);
      copyNodeKey(page, node, key);
      if ((node.flags & NODE_FLAG.compressed) !== 0 && (node.prefixLength < 3 || isRoot)) {
        list.add(tree, 'NODE_PREFIX', 'error', prefixFault(isRoot, node.prefixLength), { pgno, node: line });
      }
      const isKeyPossible = key.length > 0 && key.length <= keyLimit;
      if (!isKeyPossible) {
        list.add(tree, 'NODE_BOUNDS', 'error', `the key has ${key.length} bytes`, { pgno, node: line });
      }
      if (line > 0 && isOrdered) {
        const order = compareToPrevious(page, tree.isUnique);
        if (order >= 0) {
          isOrdered = false;
          const code = order === 0 ? 'NODE_DUP' : 'NODE_ORDER';
          list.add(tree, code, 'error', orderFault(order), { pgno, node: line });
        }
      }
      if (line === 0) checkLowerBound(page, tree, bounds, list);
      if (line === nodeCount - 1) checkUpperBound(page, tree, bounds, list);
      // Where the key ends in the wrong place, what lies behind it is no data.
      if (isKeyPossible && (node.flags & NODE_FLAG.deleted) === 0) content(page, line, node, key);
      [key, previous] = [previous, key];
      copyNodeView(node, previousNode);
    }
  };

  const checkLowerBound = (
    page: Page,
    tree: CheckedTree,
    { lower, parentPgno, parentLine }: Bounds,
    list: FindingList,
  ): void => {
    if (lower === undefined || compareToBound(page, tree, lower) >= 0) return;
    list.add(tree, 'TREE_SEPARATOR', 'error', `the first key of page ${page.pgno} lies before its bound`, {
      pgno: parentPgno,
      node: parentLine,
    });
  };

  const checkUpperBound = (
    page: Page,
    tree: CheckedTree,
    { upper, parentPgno, parentLine }: Bounds,
    list: FindingList,
  ): void => {
    if (upper === undefined || compareToBound(page, tree, upper) < 0) return;
    list.add(tree, 'TREE_SEPARATOR', 'error', `the last key of page ${page.pgno} lies behind its bound`, {
      pgno: parentPgno,
      node: parentLine,
    });
  };

  const compareToBound = (page: Page, tree: CheckedTree, bound: Uint8Array): number =>
    tree.isUnique ? compareToBytes(key, bound) : compareWithData(key, page, node, bound);

  return {
    visit(page, lines, count, content) {
      for (let i = 0; i < count; i++) {
        const line = lines[i] as number;
        page.readNode(line, node);
        copyNodeKey(page, node, key);
        content(page, line, node, key);
      }
    },
    check(page, expected, list, content) {
      const { tree, roleFlags, isRoot } = expected;
      const { pgno } = page;
      if (!checkMembership(page, tree, roleFlags, isRoot, limits, list)) return false;
      if (!page.isLeaf) {
        list.add(tree, 'TREE_DEPTH', 'error', 'an internal page lies among the leaves', { pgno });
        return false;
      }
      if (page.nodeCount === 0 && !isRoot) {
        list.add(tree, 'PAGE_FLAGS', 'error', 'a leaf has no nodes', { pgno });
      }
      if (!isRoot) checkLinks(page, expected, list);
      checkNodes(page, expected, list, content);
      return true;
    },
  };
}

function checkLinks(page: Page, { tree, pgnoPrev, pgnoNext }: LeafExpectation, list: FindingList): void {
  const { pgno } = page;
  if (pgnoPrev !== undefined && page.pgnoPrev !== pgnoPrev) {
    list.add(tree, 'TREE_LINKS', 'error', `the page before is ${pgnoPrev}, not ${page.pgnoPrev}`, { pgno });
  }
  if (pgnoNext !== undefined && page.pgnoNext !== pgnoNext) {
    list.add(tree, 'TREE_LINKS', 'error', `the page behind is ${pgnoNext}, not ${page.pgnoNext}`, { pgno });
  }
}

function compareData(page: Page, a: NodeView, b: NodeView): number {
  const { bytes } = page;
  const common = Math.min(a.dataLength, b.dataLength);
  for (let i = 0; i < common; i++) {
    const difference = (bytes[a.dataOffset + i] as number) - (bytes[b.dataOffset + i] as number);
    if (difference !== 0) return difference;
  }
  return a.dataLength - b.dataLength;
}

function copyNodeView(from: NodeView, to: NodeView): void {
  to.dataOffset = from.dataOffset;
  to.dataLength = from.dataLength;
}
