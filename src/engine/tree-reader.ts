import { EseError } from '../format/ese-error.js';
import { createNodeView, NODE_FLAG, type NodeView, PAGE_FLAG, type Page } from '../format/page.js';
import type { PageSource } from './page-source.js';

/**
 * Reading B+ trees (format specification, chapter 2.1). A tree is named by its root page and its objid;
 * every page that is reached must carry that objid, and none is reached twice.
 */

/** Levels of the deepest tree that is followed; a deeper one is a loop. */
const DEPTH_MAX = 32;

/** What is known of a tree before it is read. */
export interface TreeRoot {
  readonly pgnoFdp: number;
  readonly objid: number;
}

/** Which pages of a tree to visit, and what to do about those that cannot be read. */
export interface TreeVisitor {
  /** Called for each leaf in key order. Return `false` to stop. */
  readonly leaf?: (page: Page, level: number) => boolean | undefined;
  /** Called for each internal page before its children. */
  readonly internal?: (page: Page, level: number) => void;
  /**
   * Called for each page that cannot be used, with the reason; the walk goes on with the next page.
   * Without it the first such page ends the walk with its error.
   */
  readonly damaged?: (error: EseError, pgno: number) => void;
}

/** Reads a page as part of a tree: the objid must be the tree's, and the page must be in use. */
function readTreePage(source: PageSource, pgno: number, root: TreeRoot): Page {
  const page = source.readPage(pgno);
  if (page.objid !== root.objid) {
    throw new EseError(
      'JET_errBadParentPageLink',
      `the page belongs to tree ${page.objid}, not to ${root.objid}`,
      { pgno },
    );
  }
  if ((page.flags & (PAGE_FLAG.empty | PAGE_FLAG.preInit)) !== 0) {
    throw new EseError('JET_errBadEmptyPage', 'an unused page is part of a tree', { pgno });
  }
  if (page.isRoot !== (pgno === root.pgnoFdp)) {
    throw new EseError('JET_errBadParentPageLink', 'a root page lies inside a tree, or the root is none', {
      pgno,
    });
  }
  return page;
}

/** A page of a tree and how far it lies below the root, whose level is 0. */
export interface TreePage {
  readonly page: Page;
  readonly level: number;
}

/**
 * The pages of a whole tree, depth-first by its parent pages: each internal page before its children,
 * leaves in key order. Independent of sibling links, so one damaged leaf does not hide the rest.
 *
 * `damaged` hears of each page that cannot be used, and the walk goes on with the next; without it the
 * first such page ends the walk with its error.
 */
export function* treePages(
  source: PageSource,
  root: TreeRoot,
  damaged?: (error: EseError, pgno: number) => void,
): Generator<TreePage, void, undefined> {
  const visited = new Set<number>();
  const node = createNodeView();
  /** The internal pages above, each with its next line. */
  const path: { readonly page: Page; line: number }[] = [];
  let pgno = root.pgnoFdp;
  for (;;) {
    try {
      if (path.length >= DEPTH_MAX || visited.has(pgno)) {
        throw new EseError('JET_errBadParentPageLink', 'a page is reached twice', { pgno });
      }
      visited.add(pgno);
      const page = readTreePage(source, pgno, root);
      yield { page, level: path.length };
      if (!page.isLeaf) path.push({ page, line: 0 });
    } catch (error) {
      if (!(error instanceof EseError) || damaged === undefined) throw error;
      damaged(error, pgno);
    }
    let parent = path.at(-1);
    while (parent !== undefined && parent.line >= parent.page.nodeCount) {
      path.pop();
      parent = path.at(-1);
    }
    if (parent === undefined) return;
    parent.page.readNode(parent.line, node);
    parent.line++;
    pgno = parent.page.childPgno(node);
  }
}

/** Walks a whole tree in the order of {@link treePages}. */
export function walkTree(source: PageSource, root: TreeRoot, visitor: TreeVisitor): void {
  for (const { page, level } of treePages(source, root, visitor.damaged)) {
    if (!page.isLeaf) visitor.internal?.(page, level);
    else if (visitor.leaf?.(page, level) === false) return;
  }
}

/**
 * A position in a tree that moves by key order along the leaves' sibling links. `page` and `node` are
 * valid while the cursor is on a node; flag-deleted nodes are passed over.
 */
export class TreeCursor {
  readonly node: NodeView = createNodeView();
  private readonly source: PageSource;
  private readonly root: TreeRoot;
  private current: Page | undefined;
  private line = -1;
  private leavesLeft = 0;

  constructor(source: PageSource, root: TreeRoot) {
    this.source = source;
    this.root = root;
  }

  /** The leaf that the cursor is on. */
  get page(): Page {
    if (this.current === undefined) throw new EseError('JET_errNoCurrentRecord');
    return this.current;
  }

  /** Moves to the first live node whose key is not smaller than `key`; `false` when there is none. */
  seek(key: Uint8Array): boolean {
    this.line = this.descend(key) - 1;
    return this.next();
  }

  /** Moves to the last live node whose key is smaller than `key`; `false` when there is none. */
  seekBefore(key: Uint8Array): boolean {
    this.line = this.descend(key);
    return this.previous();
  }

  /** Moves to the last live node of the tree; `false` when there is none. */
  last(): boolean {
    this.line = this.descend(undefined);
    return this.previous();
  }

  /**
   * Goes to the leaf where `key` is or belongs, or to the last one; returns the line of its first node whose key is
   * not smaller.
   */
  private descend(key: Uint8Array | undefined): number {
    this.leavesLeft = Math.max(1, this.source.lastPgno);
    let page = readTreePage(this.source, this.root.pgnoFdp, this.root);
    for (let depth = 0; !page.isLeaf; depth++) {
      const line = key === undefined ? page.nodeCount - 1 : this.childLine(page, key);
      if (line < 0 || line >= page.nodeCount || depth >= DEPTH_MAX) {
        throw new EseError('JET_errBadParentPageLink', 'a search finds no child page', { pgno: page.pgno });
      }
      page.readNode(line, this.node);
      page = readTreePage(this.source, page.childPgno(this.node), this.root);
    }
    this.current = page;
    if (key === undefined) return page.nodeCount;
    let low = 0;
    let high = page.nodeCount;
    while (low < high) {
      const middle = (low + high) >>> 1;
      page.readNode(middle, this.node);
      if (page.compareKey(this.node, key) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** First node of an internal page whose key is empty or greater than `key` (chapter 2.1.5). */
  private childLine(page: Page, key: Uint8Array): number {
    let low = 0;
    let high = page.nodeCount;
    while (low < high) {
      const middle = (low + high) >>> 1;
      page.readNode(middle, this.node);
      const isNull = this.node.prefixLength + this.node.suffixLength === 0;
      if (isNull || page.compareKey(this.node, key) > 0) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  /** Moves to the next live node; `false` at the end. Throws `JET_errBadPageLink` when links disagree. */
  next(): boolean {
    let page = this.page;
    for (;;) {
      this.line++;
      while (this.line >= page.nodeCount) {
        const following = page.pgnoNext;
        if (following === 0) {
          this.line = page.nodeCount;
          return false;
        }
        page = this.sibling(page.pgno, following, 'pgnoPrev');
        this.line = 0;
      }
      page.readNode(this.line, this.node);
      if ((this.node.flags & NODE_FLAG.deleted) === 0) return true;
    }
  }

  /** Moves to the live node before; `false` at the begin. Throws `JET_errBadPageLink` when links disagree. */
  previous(): boolean {
    let page = this.page;
    for (;;) {
      this.line--;
      while (this.line < 0) {
        const preceding = page.pgnoPrev;
        if (preceding === 0) {
          this.line = -1;
          return false;
        }
        page = this.sibling(page.pgno, preceding, 'pgnoNext');
        this.line = page.nodeCount - 1;
      }
      page.readNode(this.line, this.node);
      if ((this.node.flags & NODE_FLAG.deleted) === 0) return true;
    }
  }

  /** Goes to a leaf beside, which must link back. */
  private sibling(from: number, pgno: number, back: 'pgnoPrev' | 'pgnoNext'): Page {
    const page = readTreePage(this.source, pgno, this.root);
    if (!page.isLeaf || page[back] !== from || --this.leavesLeft < 0) {
      throw new EseError('JET_errBadPageLink', `the page does not link back to page ${from}`, { pgno });
    }
    this.current = page;
    return page;
  }
}
