/** What the pages above a leaf say of it: bounds of its keys, and its neighbours. */

import { createNodeView, type Page } from '../../format/page.js';
import type { PageReader } from './page-check.js';
import type { IntegrityPlan } from './plan.js';
import { type Bounds, NO_BOUNDS } from './tree-walk.js';

/** Parent pages that are kept, in bytes. */
const CACHE_BYTES = 16 * 1024 * 1024;

/** Gives the bounds of the leaf at a position in the plan, whose tree's leaves begin at `treeStart`. */
export type BoundsFinder = (at: number, treeStart: number) => Bounds;

/** Finds bounds in any order; parents of leaves are read when they are needed, and kept while there is room. */
export function createBoundsFinder(plan: IntegrityPlan, read: PageReader): BoundsFinder {
  const { parents, parentFirstLeaf, leaves } = plan;
  const node = createNodeView();
  const cache = new Map<number, Page | undefined>();
  const capacity = Math.max(16, Math.floor(CACHE_BYTES / plan.pageSize));
  /** The parent that was asked for last, by number. */
  let lastNumber = -1;
  let lastPage: Page | undefined;

  const parentPage = (number: number): Page | undefined => {
    if (number === lastNumber) return lastPage;
    lastNumber = number;
    if (cache.has(number)) {
      lastPage = cache.get(number);
      return lastPage;
    }
    const { page, isUsable } = read(parents[number] ?? 0);
    lastPage = isUsable ? page : undefined;
    if (cache.size >= capacity) cache.clear();
    cache.set(number, lastPage);
    return lastPage;
  };
  const keyIn = (page: Page | undefined, line: number): Uint8Array | undefined => {
    if (page === undefined || line < 0 || line >= page.nodeCount) return undefined;
    page.readNode(line, node);
    const key = page.key(node);
    return key.length === 0 ? undefined : key;
  };
  const numberOfParent = (at: number): number => {
    let low = 0;
    let high = parents.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((parentFirstLeaf[middle] as number) <= at) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  };
  /** The bound before a parent's first leaf is the last key of the parent before. */
  const lowerOfParent = (number: number, first: number, treeStart: number): Uint8Array | undefined => {
    if (first <= treeStart || leaves[first - 1] === 0) return undefined;
    const previous = parentPage(number - 1);
    return previous === undefined ? undefined : keyIn(previous, previous.nodeCount - 1);
  };

  return (at, treeStart) => {
    const number = numberOfParent(at);
    if (number < 0) return NO_BOUNDS;
    const first = parentFirstLeaf[number] ?? 0;
    const line = at - first;
    const lower = line === 0 ? lowerOfParent(number, first, treeStart) : undefined;
    const parent = parentPage(number);
    if (parent === undefined) return NO_BOUNDS;
    return {
      lower: line === 0 ? lower : keyIn(parent, line - 1),
      upper: keyIn(parent, line),
      parentPgno: parent.pgno,
      parentLine: line,
    };
  };
}
