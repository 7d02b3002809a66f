import { EseError } from '../format/ese-error.js';
import { createNodeView, NODE_FLAG, type NodeView, PAGE_FLAG, type Page } from '../format/page.js';

/**
 * Searching a tree that is being changed (format specification, chapter 2.1.5): from its root down to the leaf
 * where a bookmark is, or belongs. A bookmark is a key, and in a tree with keys that are not unique the data
 * behind it.
 */
export interface Tree {
  /** Root page of the tree; of a space tree: that of the tree whose space it is. */
  readonly pgnoFdp: number;
  /** Root page of a space tree itself. */
  readonly pgnoSpaceRoot?: number;
  readonly objid: number;
  readonly isUnique: boolean;
  /** A tree of owned or available extents. */
  readonly isSpace: boolean;
  /** Bytes of a leaf that appending leaves free, from the density of the catalog row. */
  readonly appendFree: number;
}

/** The page where a search of a tree begins. */
export function rootPageOf({ pgnoFdp, pgnoSpaceRoot }: Tree): number {
  return pgnoSpaceRoot ?? pgnoFdp;
}

/** Where pages come from. */
export interface TreePages {
  readonly lastPgno: number;
  readPage(pgno: number): Page;
}

/** Levels of the deepest tree that is followed; a deeper one is a loop. */
const DEPTH_MAX = 32;
const NO_BYTES = new Uint8Array(0);

/** An internal page on the way to a leaf, and the line of the pointer that was followed. */
export interface PathStep {
  readonly page: Page;
  readonly line: number;
}

/**
 * The way to a bookmark. One object serves a whole loop: each search overwrites what the one before found.
 * Pages are valid until the next operation begins.
 */
export class TreeSearch {
  readonly node: NodeView = createNodeView();
  readonly #pages: TreePages;
  readonly #path: { page: Page; line: number }[] = [];
  #leaf: Page | undefined;
  /** Line of the node with the bookmark, or where it would be inserted. */
  line = 0;
  /** Whether there is a node with exactly this bookmark, possibly flag-deleted. */
  isExact = false;
  #target = new Uint8Array(4096);

  constructor(pages: TreePages) {
    this.#pages = pages;
  }

  /** The leaf that the last search led to. */
  get leaf(): Page {
    if (this.#leaf === undefined) throw new Error('nothing was searched yet');
    return this.#leaf;
  }

  /** Copy of the way from the root down, without the leaf. */
  path(): PathStep[] {
    return this.#path.map(({ page, line }) => ({ page, line }));
  }

  /** Searches a bookmark. Throws JET_errBadParentPageLink when pages do not belong to the tree. */
  find(tree: Tree, key: Uint8Array, bookmarkData: Uint8Array = NO_BYTES): void {
    const data = tree.isUnique ? NO_BYTES : bookmarkData;
    const page = this.#descend(tree, this.#concatenated(key, data));
    this.#leaf = page;
    this.#findInLeaf(page, tree, key, data);
  }

  /** Goes to the last line of the tree: behind its last node. */
  findEnd(tree: Tree): void {
    const page = this.#descend(tree, undefined);
    this.#leaf = page;
    this.line = page.nodeCount;
    this.isExact = false;
  }

  /** Key and data in one piece: what separators are compared with. */
  #concatenated(key: Uint8Array, data: Uint8Array): Uint8Array {
    if (data.length === 0) return key;
    const length = key.length + data.length;
    if (this.#target.length < length) this.#target = new Uint8Array(2 * length);
    this.#target.set(key);
    this.#target.set(data, key.length);
    return this.#target.subarray(0, length);
  }

  #descend(tree: Tree, target: Uint8Array | undefined): Page {
    const path = this.#path;
    path.length = 0;
    let page = this.#treePage(tree, rootPageOf(tree));
    while ((page.flags & PAGE_FLAG.leaf) === 0) {
      const line = target === undefined ? page.nodeCount - 1 : this.#childLine(page, target);
      if (line < 0 || line >= page.nodeCount || path.length >= DEPTH_MAX) {
        throw new EseError('JET_errBadParentPageLink', 'a search finds no child page', { pgno: page.pgno });
      }
      path.push({ page, line });
      page.readNode(line, this.node);
      page = this.#treePage(tree, page.childPgno(this.node));
    }
    return page;
  }

  #treePage(tree: Tree, pgno: number): Page {
    const page = this.#pages.readPage(pgno);
    if (page.objid !== tree.objid || (page.flags & PAGE_FLAG.empty) !== 0) {
      throw new EseError('JET_errBadParentPageLink', `the page does not belong to tree ${tree.objid}`, {
        pgno,
      });
    }
    return page;
  }

  /** First node of an internal page whose key is empty or greater than `target`. */
  #childLine(page: Page, target: Uint8Array): number {
    const { node } = this;
    let low = 0;
    let high = page.nodeCount;
    while (low < high) {
      const middle = (low + high) >>> 1;
      page.readNode(middle, node);
      const isNull = node.prefixLength + node.suffixLength === 0;
      if (isNull || page.compareKey(node, target) > 0) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  #findInLeaf(page: Page, tree: Tree, key: Uint8Array, data: Uint8Array): void {
    const { node } = this;
    let low = 0;
    let high = page.nodeCount;
    let isExact = false;
    while (low < high) {
      const middle = (low + high) >>> 1;
      page.readNode(middle, node);
      let order = page.compareKey(node, key);
      if (order === 0 && !tree.isUnique) order = compareData(page, node, data);
      if (order < 0) low = middle + 1;
      else {
        high = middle;
        if (order === 0) isExact = true;
      }
    }
    this.line = low;
    this.isExact = isExact;
  }
}

/** Compares the data of a node with `data`, as bytes; the shorter is smaller when all its bytes agree. */
export function compareData(page: Page, node: NodeView, data: Uint8Array): number {
  const { bytes } = page;
  const { dataOffset, dataLength } = node;
  const common = Math.min(dataLength, data.length);
  for (let i = 0; i < common; i++) {
    const difference = (bytes[dataOffset + i] ?? 0) - (data[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return dataLength - data.length;
}

/** Whether a node is flag-deleted. */
export function isDeleted(node: NodeView): boolean {
  return (node.flags & NODE_FLAG.deleted) !== 0;
}
