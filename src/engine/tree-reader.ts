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

/**
 * Walks a whole tree depth-first by its parent pages, leaves in key order. Independent of sibling
 * links, so one damaged leaf does not hide the rest.
 */
export function walkTree(source: PageSource, root: TreeRoot, visitor: TreeVisitor): void {
  const visited = new Set<number>();
  const node = createNodeView();

  const visit = (pgno: number, level: number): boolean => {
    let page: Page;
    try {
      if (level >= DEPTH_MAX || visited.has(pgno)) {
        throw new EseError('JET_errBadParentPageLink', 'a page is reached twice', { pgno });
      }
      visited.add(pgno);
      page = readTreePage(source, pgno, root);
    } catch (error) {
      if (!(error instanceof EseError) || visitor.damaged === undefined) throw error;
      visitor.damaged(error, pgno);
      return true;
    }
    if (page.isLeaf) return visitor.leaf?.(page, level) !== false;
    visitor.internal?.(page, level);
    for (let line = 0; line < page.nodeCount; line++) {
      page.readNode(line, node);
      if (!visit(page.childPgno(node), level + 1)) return false;
    }
    return true;
  };

  visit(root.pgnoFdp, 0);
}

/**
 * A position in a tree that moves forward by key order along the leaves' sibling links. `page` and
 * `node` are valid while the cursor is on a node; flag-deleted nodes are passed over.
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
    this.leavesLeft = Math.max(1, this.source.lastPgno);
    let page = readTreePage(this.source, this.root.pgnoFdp, this.root);
    for (let depth = 0; !page.isLeaf; depth++) {
      const line = this.childLine(page, key);
      if (line >= page.nodeCount || depth >= DEPTH_MAX) {
        throw new EseError('JET_errBadParentPageLink', 'a search finds no child page', { pgno: page.pgno });
      }
      page.readNode(line, this.node);
      page = readTreePage(this.source, page.childPgno(this.node), this.root);
    }
    let low = 0;
    let high = page.nodeCount;
    while (low < high) {
      const middle = (low + high) >>> 1;
      page.readNode(middle, this.node);
      if (page.compareKey(this.node, key) < 0) low = middle + 1;
      else high = middle;
    }
    this.current = page;
    this.line = low - 1;
    return this.next();
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
        const left = page.pgno;
        page = readTreePage(this.source, following, this.root);
        if (!page.isLeaf || page.pgnoPrev !== left || --this.leavesLeft < 0) {
          throw new EseError('JET_errBadPageLink', `the page does not link back to page ${left}`, {
            pgno: following,
          });
        }
        this.current = page;
        this.line = 0;
      }
      page.readNode(this.line, this.node);
      if ((this.node.flags & NODE_FLAG.deleted) === 0) return true;
    }
  }
}
