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
  /** Where the last insert went, if that is remembered. */
  readonly recent?: RecentLeaf;
}

/** A leaf that may have changed since, or gone to another tree. */
export interface RecentLeaf {
  /** 0 = none. */
  pgno: number;
  /** How many inserts in a row went to another leaf. */
  misses: number;
}

/** The page where a search of a tree begins. */
export function rootPageOf({ pgnoFdp, pgnoSpaceRoot }: Tree): number {
  return pgnoSpaceRoot ?? pgnoFdp;
}

/** Where pages come from. */
export interface TreePages {
  readonly lastPgno: number;
  readPage(pgno: number): Page;
  /** The page, if it is in memory. */
  peekPage?(pgno: number): Page | undefined;
}

/** Levels of the deepest tree that is followed; a deeper one is a loop. */
const DEPTH_MAX = 32;
const NO_BYTES = new Uint8Array(0);
/** After so many inserts in no order the leaf of the last one is hardly ever the next one: it is looked at now and then. */
const MISSES_MOST = 4;
const RETRY_EVERY = 16;
/** What tells the leaves of a tree from pages that went to its space trees, or are free. */
const LEAF_OF_TREE_MASK = PAGE_FLAG.leaf | PAGE_FLAG.empty | PAGE_FLAG.spaceTree;

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
  /** The way that was gone; steps behind `#depth` are left from before. */
  readonly #path: { page: Page; line: number }[] = [];
  #depth = 0;
  /** What was searched, where the way to it was not gone. */
  #shortcut: Tree | undefined;
  #shortcutKey: Uint8Array = NO_BYTES;
  #shortcutData: Uint8Array = NO_BYTES;
  #leaf: Page | undefined;
  /** Line of the node with the bookmark, or where it would be inserted. */
  line = 0;
  /** Whether there is a node with exactly this bookmark, possibly flag-deleted. */
  isExact = false;
  #target = new Uint8Array(4096);
  #targetView: Uint8Array = NO_BYTES;

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
    if (this.#shortcut !== undefined) {
      const target = this.#concatenated(this.#shortcutKey, this.#shortcutData);
      const leaf = this.#descend(this.#shortcut, target);
      if (leaf !== this.#leaf) {
        throw new EseError('JET_errBadParentPageLink', 'the pages above do not lead to the page', {
          pgno: this.leaf.pgno,
        });
      }
    }
    return this.#path.slice(0, this.#depth).map(({ page, line }) => ({ page, line }));
  }

  /** Searches a bookmark. Throws JET_errBadParentPageLink when pages do not belong to the tree. */
  find(tree: Tree, key: Uint8Array, bookmarkData: Uint8Array = NO_BYTES): void {
    const data = tree.isUnique ? NO_BYTES : bookmarkData;
    const page = this.#descend(tree, this.#concatenated(key, data));
    this.#leaf = page;
    this.#setLine(page.findLine(key, tree.isUnique ? undefined : data));
  }

  /**
   * {@link find} that looks at the leaf of the tree's last insert first: rows that come in order need no way down.
   */
  findNear(tree: Tree, key: Uint8Array, bookmarkData: Uint8Array): void {
    const { recent } = tree;
    if (recent === undefined) {
      this.find(tree, key, bookmarkData);
      return;
    }
    const isLikely = recent.misses < MISSES_MOST || recent.misses % RETRY_EVERY === 0;
    if (isLikely && this.#findInRecent(tree, recent, key, tree.isUnique ? undefined : bookmarkData)) {
      recent.misses = 0;
      return;
    }
    this.find(tree, key, bookmarkData);
    const { pgno } = this.leaf;
    recent.misses = pgno === recent.pgno ? 0 : recent.misses + 1;
    recent.pgno = pgno;
  }

  /** Looks for a bookmark on the leaf of the last insert; false if it may belong to another one. */
  #findInRecent(tree: Tree, recent: RecentLeaf, key: Uint8Array, data: Uint8Array | undefined): boolean {
    const page = this.#pages.peekPage?.(recent.pgno);
    if (page === undefined) return false;
    const count = page.nodeCount;
    const isOfTree = page.objid === tree.objid && (page.flags & LEAF_OF_TREE_MASK) === PAGE_FLAG.leaf;
    if (!isOfTree || count === 0) return false;
    const order = page.compareBookmark(count - 1, key, data);
    let found = count - 1;
    if (order < 0) {
      // Behind the last node of the last leaf, all the rest of the keys belong.
      if (page.pgnoNext !== 0) return false;
      found = ~count;
    } else if (order > 0) {
      if (page.compareBookmark(0, key, data) > 0) return false;
      found = page.findLine(key, data);
    }
    this.#leaf = page;
    this.#setLine(found);
    this.#shortcut = tree;
    this.#shortcutKey = key;
    this.#shortcutData = data ?? NO_BYTES;
    return true;
  }

  #setLine(found: number): void {
    this.isExact = found >= 0;
    this.line = found >= 0 ? found : ~found;
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
    const target = this.#target;
    for (let i = 0; i < key.length; i++) target[i] = key[i] ?? 0;
    for (let i = 0; i < data.length; i++) target[key.length + i] = data[i] ?? 0;
    if (this.#targetView.length !== length || this.#targetView.buffer !== target.buffer) {
      this.#targetView = target.subarray(0, length);
    }
    return this.#targetView;
  }

  #descend(tree: Tree, target: Uint8Array | undefined): Page {
    let depth = 0;
    this.#shortcut = undefined;
    let page = this.#treePage(tree, rootPageOf(tree));
    while ((page.flags & PAGE_FLAG.leaf) === 0) {
      const line = target === undefined ? page.nodeCount - 1 : page.findChild(target);
      if (line < 0 || line >= page.nodeCount || depth >= DEPTH_MAX) {
        throw new EseError('JET_errBadParentPageLink', 'a search finds no child page', { pgno: page.pgno });
      }
      this.#setStep(depth, page, line);
      depth++;
      page.readNode(line, this.node);
      page = this.#treePage(tree, page.childPgno(this.node));
    }
    this.#depth = depth;
    return page;
  }

  #setStep(depth: number, page: Page, line: number): void {
    const step = this.#path[depth];
    if (step === undefined) {
      this.#path.push({ page, line });
    } else {
      step.page = page;
      step.line = line;
    }
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
}

/** Whether a node is flag-deleted. */
export function isDeleted(node: NodeView): boolean {
  return (node.flags & NODE_FLAG.deleted) !== 0;
}
