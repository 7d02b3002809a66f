import { DBTIME_NIL } from '../format/dbtime.js';
import type { LogRecord } from '../format/log-record.js';
import { MERGE_FLAG, MERGE_TYPE } from '../format/log-record-layout.js';
import { createNodeView, NODE_FLAG, type NodeView, type Page } from '../format/page.js';
import { encodePageImage } from '../format/page-image.js';
import { pageFlagsOf } from './page-changes.js';
import { encodedSize } from './split-plan.js';
import type { Session } from './transactions.js';
import type { PathStep, Tree } from './tree-search.js';
import type { TreeSpaceSource, TreeWriter } from './tree-writer.js';

/**
 * Clean-up of trees (format specification, chapters 2.1.10 and 10.4): nodes that are flag-deleted and that no
 * transaction can see any more are removed; leaves without a live node, or with so few that they fit into the
 * neighbour to the right or else to the left, leave the tree. Merges of a part of the nodes are for defragmentation,
 * not for clean-up: each would log a page to save nothing.
 *
 * What an internal page has as its last key is its parent's key of it as well: when the last leaf below it goes, the
 * keys change on all pages above that it was the last of. At the right edge of the tree these keys are empty, and the
 * page that would be there next has none: so the last leaf stays if it is the only one below its parent, and takes
 * over the nodes of the leaf before.
 */

const NO_BYTES = new Uint8Array(0);
const NODE_OVERHEAD = 6;
const TAG_BYTES = 4;
const KEY_LENGTH_BYTES = 2;
const PREFIX_LENGTH_BYTES = 2;
const POINTER_BYTES = 4;
/** Free share of the neighbour that a merge leaves, so that the next insert does not split it again. */
const MERGE_RESERVE = 0.2;
/** What is left of the data of a dead node that has to stay (chapter 10.4, step 2). */
const DEAD_DATA = Uint8Array.of(0);

/** What a page above the leaf has to do when the leaf leaves the tree. */
interface ParentChange {
  readonly page: Page;
  readonly line: number;
  readonly flags: number;
}

/** What the pages above do, from the root side down, and the key that some of them give to a pointer. */
interface ParentChanges {
  readonly parents: readonly ParentChange[];
  readonly separator: Uint8Array;
}

export class TreeCleaner {
  readonly #trees: TreeWriter;
  readonly #space: TreeSpaceSource;
  readonly #node: NodeView = createNodeView();

  constructor(trees: TreeWriter, space: TreeSpaceSource) {
    this.#trees = trees;
    this.#space = space;
  }

  /** Cleans the leaf on which a node was deleted. Does nothing if it is gone, or alive again. */
  clean(session: Session, tree: Tree, key: Uint8Array, bookmarkData: Uint8Array): void {
    const { search, changes } = this.#trees;
    search.find(tree, key, bookmarkData);
    if (!search.isExact) return;
    const { leaf } = search;
    const path = search.path();
    if (!this.#isDead(tree, leaf, search.line)) return;
    for (let line = leaf.nodeCount - 1; line >= 0; line--) {
      if (leaf.nodeCount === 1 && !leaf.isRoot) break;
      if (this.#isDead(tree, leaf, line)) changes.delete(session, tree, leaf, line);
    }
    if (leaf.isRoot) return;
    if (leaf.nodeCount === 1 && this.#isDead(tree, leaf, 0)) {
      this.#removeLeaf(session, tree, leaf, path);
      return;
    }
    this.#dropPrefix(session, tree, leaf);
    if (!this.#mergeRight(session, tree, leaf, path)) this.#mergeLeft(session, tree, leaf, path);
  }

  /** Whether a node is flag-deleted and nobody can see its former state. */
  #isDead(tree: Tree, page: Page, line: number): boolean {
    const node = this.#node;
    page.readNode(line, node);
    if ((node.flags & NODE_FLAG.deleted) === 0) return false;
    const { dbid, transactions } = this.#trees.changes;
    const data = tree.isUnique ? NO_BYTES : page.data(node);
    return transactions.versions.newest(dbid, tree.objid, page.key(node), data) === undefined;
  }

  /** A prefix that no node uses any more only takes room. */
  #dropPrefix(session: Session, tree: Tree, leaf: Page): void {
    if (leaf.externalHeader.length === 0) return;
    for (let line = 0; line < leaf.nodeCount; line++) {
      leaf.readNode(line, this.#node);
      if (this.#node.prefixLength > 0) return;
    }
    this.#trees.changes.setExternalHeader(session, tree, leaf, NO_BYTES);
  }

  /** Takes a leaf out of the tree that has nothing but one dead node. */
  #removeLeaf(session: Session, tree: Tree, leaf: Page, path: readonly PathStep[]): void {
    const above = parentChanges(path, this.#node);
    if (above === 'root') {
      this.#emptyTree(session, tree, leaf, path);
    } else if (above !== undefined) {
      this.#logMerge(session, tree, leaf, above, { mergetype: MERGE_TYPE.emptyPage, size: 0 });
      this.#freePages(session, tree, leaf, above.parents);
      this.#removeOnlyLeaf(session, tree, leaf.pgnoNext);
    } else if (
      !this.#mergeLeft(session, tree, leaf, path) &&
      !this.#refill(session, tree, leaf) &&
      tree.isUnique
    ) {
      leaf.readNode(0, this.#node);
      if (this.#node.dataLength > DEAD_DATA.length) {
        this.#trees.changes.replace(session, tree, leaf, 0, this.#node, DEAD_DATA, false);
      }
    }
  }

  /** Empties the tree if this leaf, which had to stay dead at its right edge, is the only one that is left. */
  #removeOnlyLeaf(session: Session, tree: Tree, pgno: number): void {
    if (pgno === 0) return;
    const { search, changes } = this.#trees;
    const leaf = changes.context.pages.readPage(pgno);
    const isOnly = leaf.pgnoPrev === 0 && leaf.pgnoNext === 0 && leaf.nodeCount === 1;
    if (!isOnly || !this.#isDead(tree, leaf, 0)) return;
    search.findEnd(tree);
    this.#emptyTree(session, tree, leaf, search.path());
  }

  /** Moves all nodes of the leaf before to the last leaf of the tree, whose only node is dead. Returns whether it does. */
  #refill(session: Session, tree: Tree, leaf: Page): boolean {
    if (leaf.pgnoNext !== 0 || leaf.pgnoPrev === 0) return false;
    const { search, changes } = this.#trees;
    const left = changes.context.pages.readPage(leaf.pgnoPrev);
    left.readNode(0, this.#node);
    search.find(tree, left.key(this.#node), left.data(this.#node).slice());
    if (!this.#mergeRight(session, tree, left, search.path(), 0)) return false;
    changes.delete(session, tree, leaf, leaf.nodeCount - 1);
    return true;
  }

  /** The last leaf of a tree has nothing left: its root becomes an empty leaf. */
  #emptyTree(session: Session, tree: Tree, leaf: Page, path: readonly PathStep[]): void {
    const { changes } = this.#trees;
    const [root, ...between] = path;
    if (root === undefined) return;
    changes.begin(session);
    const pages = [leaf, ...between.map(({ page }) => page).reverse()];
    changes.carryOut('EmptyTree', {
      ...changes.prefix(session, root.page.pgno, root.page.dbtime, 0, pageFlagsOf(tree, false)),
      rceid: 0,
      pgnoFDP: tree.pgnoFdp,
      objidFDP: tree.objid,
      pages: pages.map(({ dbtime, pgno, flags }) => ({ dbtimeBefore: dbtime, pgno, flags })),
    });
    for (const { pgno } of pages) this.#space.freePage(session, tree, pgno);
  }

  /**
   * Moves what lives on a leaf to its right neighbour, if that keeps a share of `reserve` free. Returns whether it does.
   */
  #mergeRight(
    session: Session,
    tree: Tree,
    leaf: Page,
    path: readonly PathStep[],
    reserve = MERGE_RESERVE,
  ): boolean {
    const { pages } = this.#trees.changes.context;
    if (leaf.pgnoNext === 0) return false;
    const right = pages.readPage(leaf.pgnoNext);
    const size = this.#sizeFor(tree, leaf, right);
    if (size === undefined || size > right.cbFree - right.dataAreaBytes * reserve) return false;
    const above = parentChanges(path, this.#node);
    if (above === undefined || above === 'root') return false;
    this.#logMerge(session, tree, leaf, above, { mergetype: MERGE_TYPE.fullRight, size });
    this.#freePages(session, tree, leaf, above.parents);
    return true;
  }

  /**
   * Moves what lives on a leaf to its left neighbour, if it fits and has the same page above. The last leaf of the tree
   * stays: rows that are appended come there. Returns whether it does.
   */
  #mergeLeft(session: Session, tree: Tree, leaf: Page, path: readonly PathStep[]): boolean {
    const { pages } = this.#trees.changes.context;
    const parent = path[path.length - 1];
    if (leaf.pgnoPrev === 0 || leaf.pgnoNext === 0 || parent === undefined || parent.line === 0) return false;
    const left = pages.readPage(leaf.pgnoPrev);
    const size = leaf.nodeCount === 1 && this.#isDead(tree, leaf, 0) ? 0 : this.#sizeFor(tree, leaf, left);
    if (size === undefined || (size > 0 && size > left.cbFree - left.dataAreaBytes * MERGE_RESERVE)) {
      return false;
    }
    const parents = [{ ...parent, flags: MERGE_FLAG.deletePointer | MERGE_FLAG.keyChange }];
    const above = { parents, separator: NO_BYTES };
    this.#logMerge(session, tree, leaf, above, { mergetype: MERGE_TYPE.fullLeft, size });
    this.#freePages(session, tree, leaf, parents);
    return true;
  }

  /** Bytes that the nodes of a leaf take on another; undefined if they cannot be moved now. */
  #sizeFor(tree: Tree, leaf: Page, neighbour: Page): number | undefined {
    const { dbid, transactions } = this.#trees.changes;
    const { versions } = transactions;
    // Rollbacks may need room on both pages that nobody has counted.
    if (versions.hasShrunk(dbid, tree.objid)) return undefined;
    let size = 0;
    for (let line = 0; line < leaf.nodeCount; line++) {
      leaf.readNode(line, this.#node);
      // A transaction still sees it, or may bring it back. Recovery may know nothing of that any more, when the page was
      // written after the transaction ended, and would drop it on the way.
      if ((this.#node.flags & NODE_FLAG.deleted) !== 0) return undefined;
      const key = leaf.key(this.#node);
      const prefix = neighbour.prefixLengthFor(key);
      size += NODE_OVERHEAD + key.length + this.#node.dataLength - (prefix > 0 ? prefix - 2 : 0);
    }
    return size;
  }

  #logMerge(
    session: Session,
    tree: Tree,
    leaf: Page,
    { parents, separator }: ParentChanges,
    merge: { readonly mergetype: number; readonly size: number },
  ): void {
    const { changes } = this.#trees;
    const { pages } = changes.context;
    changes.begin(session);
    const { procid, trxBegin0, level } = session;
    const dbtime = changes.nextDbtime();
    const common = {
      procid,
      dbid: changes.dbid,
      dbtime,
      trxBegin0,
      level,
      pageFlags: pageFlagsOf(tree, false),
      pgnoFDP: tree.pgnoFdp,
      objidFDP: tree.objid,
      cbUncFreeDest: 0,
      ilineMerge: 0,
      keyParentSep: NO_BYTES,
    };
    const inside: LogRecord[] = parents.map(({ page, line, flags }, i) =>
      changes.encode('Merge2', {
        ...common,
        ...parentFields(parents[i - 1]),
        pgno: page.pgno,
        dbtimeBefore: page.dbtime,
        iline: line,
        pgnoRight: 0,
        dbtimeRightBefore: DBTIME_NIL,
        pgnoLeft: 0,
        dbtimeLeftBefore: DBTIME_NIL,
        cbSizeTotal: 0,
        cbSizeMaxTotal: 0,
        mergeFlags: flags,
        mergetype: MERGE_TYPE.none,
        preimageFlags: 0,
        preimage: NO_BYTES,
      }),
    );
    const stampOf = (pgno: number): number => (pgno === 0 ? DBTIME_NIL : pages.readPage(pgno).dbtime);
    const isMove = merge.mergetype !== MERGE_TYPE.emptyPage;
    inside.push(
      changes.encode('Merge2', {
        ...common,
        ...parentFields(parents[parents.length - 1]),
        pgno: leaf.pgno,
        dbtimeBefore: leaf.dbtime,
        iline: 0,
        pgnoRight: leaf.pgnoNext,
        dbtimeRightBefore: stampOf(leaf.pgnoNext),
        pgnoLeft: leaf.pgnoPrev,
        dbtimeLeftBefore: stampOf(leaf.pgnoPrev),
        cbSizeTotal: merge.size,
        cbSizeMaxTotal: merge.size,
        mergeFlags: MERGE_FLAG.emptyPage,
        mergetype: merge.mergetype,
        keyParentSep: separator,
        // The first node that moves to the right, or the last that moves to the left.
        ilineMerge: merge.mergetype === MERGE_TYPE.fullLeft ? leaf.nodeCount - 1 : 0,
        ...(isMove ? encodePageImage(leaf, dbtime) : { preimage: NO_BYTES, preimageFlags: 0 }),
      }),
    );
    const pgnos = [...parents.map(({ page }) => page.pgno), leaf.pgno, leaf.pgnoPrev, leaf.pgnoNext];
    const begin = changes.encode('MacroBegin', { procid, dbtime });
    const commit = changes.encode('MacroCommit', { procid, dbtime });
    const info = changes.encode('MacroInfo', { pgnos: pgnos.filter((pgno) => pgno !== 0) });
    changes.carryOutMacro([begin, ...inside], inside, [commit, info]);
  }

  #freePages(session: Session, tree: Tree, leaf: Page, parents: readonly ParentChange[]): void {
    this.#space.freePage(session, tree, leaf.pgno);
    for (const { page, flags } of parents) {
      if ((flags & MERGE_FLAG.emptyPage) !== 0) this.#space.freePage(session, tree, page.pgno);
    }
  }
}

function parentFields(above: ParentChange | undefined) {
  return { pgnoParent: above?.page.pgno ?? 0, dbtimeParentBefore: above?.page.dbtime ?? DBTIME_NIL };
}

/**
 * What the pages above a leaf do when it leaves the tree, and its keys belong to the leaf on its right; `root` if it is
 * the last leaf; undefined if it has to stay: at the right edge of the tree as the only one below its parent, or where
 * a key that has to change finds no room.
 */
function parentChanges(path: readonly PathStep[], node: NodeView): ParentChanges | 'root' | undefined {
  const parents: ParentChange[] = [];
  let separator = NO_BYTES;
  for (let depth = path.length - 1; depth >= 0; depth--) {
    const step = path[depth];
    if (step === undefined) return undefined;
    const { page, line } = step;
    const isLast = line === page.nodeCount - 1;
    if (separator.length > 0) {
      if (!hasRoomForKey(page, line, separator, node)) return undefined;
      parents.unshift({ page, line, flags: MERGE_FLAG.keyChange });
      if (!isLast) return { parents, separator };
      continue;
    }
    if (page.nodeCount === 1) {
      if (page.isRoot) return 'root';
      parents.unshift({ page, line, flags: MERGE_FLAG.emptyPage });
      continue;
    }
    parents.unshift({ page, line, flags: MERGE_FLAG.deletePointer });
    if (!isLast) return { parents, separator };
    page.readNode(line, node);
    if (node.prefixLength + node.suffixLength === 0) {
      return depth === path.length - 1 ? { parents, separator } : undefined;
    }
    page.readNode(line - 1, node);
    separator = page.key(node).slice();
  }
  return undefined;
}

/** Whether the pointer at a line, which has a key, can have this one instead. */
function hasRoomForKey(page: Page, line: number, key: Uint8Array, node: NodeView): boolean {
  page.readNode(line, node);
  const { prefixLength, suffixLength } = node;
  if (prefixLength + suffixLength === 0) return false;
  const head = TAG_BYTES + KEY_LENGTH_BYTES + (prefixLength > 0 ? PREFIX_LENGTH_BYTES : 0);
  return encodedSize(page, key, POINTER_BYTES) <= page.cbFree + head + suffixLength + POINTER_BYTES;
}
