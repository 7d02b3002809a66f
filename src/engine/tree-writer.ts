import { DBTIME_NIL } from '../format/dbtime.js';
import { EseError } from '../format/ese-error.js';
import type { LogRecord } from '../format/log-record.js';
import { LOG_PAGE_FLAG, SPLIT_OPERATION, UNDO_OPERATION } from '../format/log-record-layout.js';
import { createNodeView, NODE_FLAG, type NodeView, type Page } from '../format/page.js';
import { compareTrx, type NodeVersion } from './node-versions.js';
import { NodeFields, type PageChanges, pageFlagsOf } from './page-changes.js';
import type { SplitOperation } from './split-choice.js';
import { encodedSize, planSplit, type SplitLevel } from './split-plan.js';
import { rightOf, SplitFields } from './split-record.js';
import type { Session } from './transactions.js';
import { isDeleted, type Tree, TreeSearch } from './tree-search.js';

/**
 * Changing trees (format specification, chapters 2.1.8, 2.1.9, 10.2 and 10.3): finding the place, seeing whether
 * the session may change it, making room by splits, and the change itself.
 */
export interface TreeSpaceSource {
  /** A page for a split of `tree`, near the page that is split. Throws JET_errOutOfDatabaseSpace, JET_errDiskFull. */
  takePage(session: Session, tree: Tree, pgnoNear: number): number;
  /** Takes a page back that is not used after all. */
  freePage(session: Session, tree: Tree, pgno: number): void;
}

const NO_BYTES = new Uint8Array(0);
const TAG_BYTES = 4;
/** Largest key by page size (chapter 1.5.6). */
const KEY_MOST_4K = 1000;
const KEY_MOST_8K = 2000;
/** A bookmark in a secondary index is the index key and the primary key. */
const BOOKMARK_KEYS = 2;
/** A new page takes stamps of its own before the split that uses it (chapter 10.1: gaps are allowed). */
const STAMPS_PER_NEW_PAGE = 2;
/** Room for the length of a key. */
const KEY_LENGTH_BYTES = 2;

/** Changes of trees of one database. */
export class TreeWriter {
  readonly changes: PageChanges;
  readonly search: TreeSearch;
  readonly #space: TreeSpaceSource;
  readonly #node: NodeView = createNodeView();
  readonly #split2: SplitFields;
  readonly #leafFields = new NodeFields();

  constructor(changes: PageChanges, space: TreeSpaceSource) {
    this.changes = changes;
    this.search = new TreeSearch(changes.context.pages);
    this.#space = space;
    this.#split2 = new SplitFields(changes.dbid);
  }

  /**
   * Inserts a node. A flag-deleted one with the same bookmark is brought back instead.
   *
   * @throws EseError JET_errKeyDuplicate if there is a live node with the bookmark, JET_errWriteConflict if another
   *   session deleted it and this one cannot know yet, JET_errKeyTooBig, JET_errRecordTooBig
   */
  insert(session: Session, tree: Tree, key: Uint8Array, data: Uint8Array, isVersioned: boolean): void {
    this.#checkSizes(key, data);
    for (;;) {
      const { search } = this;
      search.findNear(tree, key, data);
      const { leaf, line } = search;
      if (search.isExact) {
        if (this.#revive(session, tree, key, data, isVersioned)) return;
        continue;
      }
      const size = encodedSize(leaf, key, data.length);
      if (!this.#mustSplit(tree, leaf, line, size)) {
        this.changes.insert(session, tree, leaf, line, key, data, isVersioned);
        return;
      }
      const operation = { kind: SPLIT_OPERATION.insert, line, key, data };
      if (this.#split(session, tree, operation, isVersioned, key)) return;
    }
  }

  /**
   * Replaces the data of the node with this key in a tree with unique keys. Equal data change nothing.
   *
   * @throws EseError JET_errRecordNotFound if there is no such node, JET_errWriteConflict if another session changed
   *   it and this one cannot know yet
   */
  replace(session: Session, tree: Tree, key: Uint8Array, data: Uint8Array, isVersioned: boolean): void {
    this.#checkSizes(key, data);
    for (;;) {
      const { leaf, line } = this.#findLive(session, tree, key, NO_BYTES, isVersioned, false);
      leaf.readNode(line, this.#node);
      const growth = data.length - this.#node.dataLength;
      if (growth <= 0 || growth <= this.#freeFor(tree, leaf, line)) {
        this.changes.replace(session, tree, leaf, line, this.#node, data, isVersioned);
        return;
      }
      const operation = { kind: SPLIT_OPERATION.replace, line, key, data };
      if (this.#split(session, tree, operation, isVersioned, key)) return;
    }
  }

  /** Marks a node as deleted. Throws as {@link TreeWriter.replace}. */
  flagDelete(
    session: Session,
    tree: Tree,
    key: Uint8Array,
    bookmarkData: Uint8Array,
    isVersioned: boolean,
  ): void {
    const { leaf, line } = this.#findLive(session, tree, key, bookmarkData, isVersioned, false);
    this.changes.flagDelete(session, tree, leaf, line, isVersioned);
  }

  /** Adds to a number inside the data of a node; several sessions may do so at a time. Throws as `replace`. */
  delta(session: Session, tree: Tree, key: Uint8Array, offset: number, delta: number): void {
    const { leaf, line } = this.#findLive(session, tree, key, NO_BYTES, true, true);
    this.changes.delta(session, tree, leaf, line, key, offset, delta);
  }

  /**
   * Removes a node of a space tree: physically, or on line 0 by its flag, so that no page loses its last node
   * (chapter 2.1.8).
   */
  removeSpaceNode(session: Session, tree: Tree, key: Uint8Array): void {
    const { leaf, line } = this.#findLive(session, tree, key, NO_BYTES, false, false);
    if (line === 0) this.changes.flagDelete(session, tree, leaf, line, false);
    else this.changes.delete(session, tree, leaf, line);
  }

  /** Takes a change back. The node has not gone: nothing removes one that has a version. */
  undo(session: Session, version: NodeVersion): void {
    const { pgnoFDP, objidFDP, key, bookmarkData, operation, pageFlags } = version;
    const tree: Tree = {
      pgnoFdp: pgnoFDP,
      objid: objidFDP,
      isUnique: (pageFlags & LOG_PAGE_FLAG.unique) !== 0,
      isSpace: false,
      appendFree: 0,
    };
    const { search } = this;
    search.find(tree, key, bookmarkData);
    if (!search.isExact) throw new EseError('JET_errBadBookmark', undefined, { pgno: search.leaf.pgno });
    if (!version.isUndoInfoLogged) this.changes.logUndoInfo(version);
    if (operation === UNDO_OPERATION.replace) {
      const { leaf, line } = search;
      leaf.readNode(line, this.#node);
      if (version.before.length - this.#node.dataLength > leaf.cbFree) {
        throw new Error(`page ${leaf.pgno} has lost the room that a rollback needs`);
      }
    }
    this.changes.undo(session, tree, search.leaf, search.line, version);
  }

  #checkSizes(key: Uint8Array, data: Uint8Array): void {
    const { pageSize } = this.changes.context;
    const keyMost = BOOKMARK_KEYS * (pageSize <= 4096 ? KEY_MOST_4K : KEY_MOST_8K);
    if (key.length === 0 || key.length > keyMost) {
      throw new EseError('JET_errKeyTooBig', `a key of ${key.length} bytes`);
    }
    const most = pageSize - (pageSize > 8192 ? 80 : 40) - 2 * TAG_BYTES;
    if (KEY_LENGTH_BYTES + key.length + data.length > most || data.length === 0) {
      throw new EseError('JET_errRecordTooBig', `a node of ${key.length} and ${data.length} bytes`);
    }
  }

  /** Whether a node of `size` bytes at `line` needs a split first: no room, or an append past the density. */
  #mustSplit(tree: Tree, page: Page, line: number, size: number): boolean {
    const free = this.#freeFor(tree, page, -1);
    if (size > free) return true;
    const isAppend = page.pgnoNext === 0 && line === page.nodeCount;
    return isAppend && !tree.isSpace && size + tree.appendFree > free;
  }

  /** Free bytes of a page, less those that the rollback of changes on it would need; `line` has its own back. */
  #freeFor(tree: Tree, page: Page, line: number): number {
    const { versions } = this.changes.transactions;
    if (!versions.hasShrunk(this.changes.dbid, tree.objid)) return page.cbFree;
    let reserved = 0;
    for (let other = 0; other < page.nodeCount; other++) {
      if (other !== line) reserved += this.#reservedAt(tree, page, other);
    }
    return page.cbFree - reserved;
  }

  readonly #reservedNode: NodeView = createNodeView();

  /** Bytes that the node at `line` may need beyond its data, for a rollback. */
  #reservedAt(tree: Tree, page: Page, line: number): number {
    const node = this.#reservedNode;
    page.readNode(line, node);
    if ((node.flags & NODE_FLAG.version) === 0) return 0;
    const { versions } = this.changes.transactions;
    const version = versions.newest(this.changes.dbid, tree.objid, page.key(node));
    return Math.max(0, versions.mostDataBytes(version) - node.dataLength);
  }

  /** Finds a node that the session may change. */
  #findLive(
    session: Session,
    tree: Tree,
    key: Uint8Array,
    bookmarkData: Uint8Array,
    isVersioned: boolean,
    isDelta: boolean,
  ): { leaf: Page; line: number } {
    const { search } = this;
    search.find(tree, key, bookmarkData);
    const { leaf, line } = search;
    if (!search.isExact) throw new EseError('JET_errRecordNotFound');
    leaf.readNode(line, this.#node);
    if (isVersioned) this.#checkConflict(session, tree, leaf, this.#node, key, isDelta);
    if (isDeleted(this.#node)) throw new EseError('JET_errRecordNotFound');
    return search;
  }

  /** Throws JET_errWriteConflict if the newest change of a node is one that the session does not see. */
  #checkConflict(
    session: Session,
    tree: Tree,
    page: Page,
    node: NodeView,
    key: Uint8Array,
    isDelta: boolean,
  ): void {
    if ((node.flags & NODE_FLAG.version) === 0) return;
    const { versions } = this.changes.transactions;
    const data = tree.isUnique ? NO_BYTES : page.data(node);
    let version = versions.newest(this.changes.dbid, tree.objid, key, data);
    for (; version !== undefined; version = version.older) {
      const isSeen =
        version.owner === session ||
        (version.trxCommit0 !== 0 && compareTrx(version.trxCommit0, session.trxBegin0) < 0);
      if (!isSeen && !(isDelta && version.operation === UNDO_OPERATION.delta)) {
        throw new EseError('JET_errWriteConflict');
      }
      // Only deltas of several sessions lie one upon the other.
      if (version.operation !== UNDO_OPERATION.delta) return;
    }
  }

  /** Brings the flag-deleted node back that the search has found; false if the page had to be split first. */
  #revive(session: Session, tree: Tree, key: Uint8Array, data: Uint8Array, isVersioned: boolean): boolean {
    const { leaf, line } = this.search;
    const node = this.#node;
    leaf.readNode(line, node);
    if (!isDeleted(node)) throw new EseError('JET_errKeyDuplicate');
    if (isVersioned) this.#checkConflict(session, tree, leaf, node, key, false);
    const growth = tree.isUnique ? data.length - node.dataLength : 0;
    if (growth > 0 && growth > this.#freeFor(tree, leaf, line)) {
      const operation = { kind: SPLIT_OPERATION.flagInsertAndReplaceData, line, key, data };
      return this.#split(session, tree, operation, isVersioned, key);
    }
    this.changes.revive(session, tree, leaf, line, key, data, isVersioned);
    return true;
  }

  // --- Splits ---

  /**
   * Splits the leaf that the last search led to, and the pages above it as far as needed, together with the
   * operation; returns false if only room was made, and the operation must be tried again.
   */
  #split(
    session: Session,
    tree: Tree,
    operation: SplitOperation,
    isVersioned: boolean,
    key: Uint8Array,
  ): boolean {
    if (isVersioned) this.changes.transactions.versions.ensureRoom(key.length + operation.data.length);
    const { versions } = this.changes.transactions;
    const reservedAt = versions.hasShrunk(this.changes.dbid, tree.objid)
      ? (page: Page, line: number) => this.#reservedAt(tree, page, line)
      : () => 0;
    const levels = planSplit(tree, this.search.leaf, this.search.path(), operation, reservedAt);
    this.#takePages(session, tree, levels);
    const lowest = levels[levels.length - 1];
    const isDone = lowest?.page.isLeaf === true && lowest.choice?.operation !== SPLIT_OPERATION.none;
    this.#logSplit(session, tree, levels, isDone ? operation : undefined, isVersioned, key);
    return isDone;
  }

  /** Takes a page for every level that splits, from the root side down; gives them back if there are not enough. */
  #takePages(session: Session, tree: Tree, levels: readonly SplitLevel[]): void {
    const taken: number[] = [];
    try {
      for (const level of levels) {
        if (level.choice === undefined) continue;
        level.pgnoNew = this.#space.takePage(session, tree, level.page.pgno);
        taken.push(level.pgnoNew);
      }
    } catch (error) {
      for (const pgno of taken) this.#space.freePage(session, tree, pgno);
      throw error;
    }
  }

  #logSplit(
    session: Session,
    tree: Tree,
    levels: readonly SplitLevel[],
    operation: SplitOperation | undefined,
    isVersioned: boolean,
    key: Uint8Array,
  ): void {
    const { changes } = this;
    changes.begin(session);
    const { procid } = session;
    const newPages = levels.filter(({ choice }) => choice !== undefined).length;
    const dbtime = changes.nextDbtime(newPages * STAMPS_PER_NEW_PAGE);
    const inside: LogRecord[] = [];
    const pgnos: number[] = [];
    let above: Page | undefined;
    for (const level of levels) {
      const { page, pgnoNew } = level;
      const pgnoRight = rightOf(level);
      const dbtimeRight = pgnoRight === 0 ? DBTIME_NIL : changes.context.pages.readPage(pgnoRight).dbtime;
      inside.push(
        changes.encode('Split2', this.#split2.of(session, tree, level, above, dbtimeRight, dbtime)),
      );
      pgnos.push(page.pgno);
      if (pgnoNew !== 0) pgnos.push(pgnoNew);
      if (pgnoRight !== 0) pgnos.push(pgnoRight);
      above = page;
    }
    if (operation !== undefined) {
      inside.push(this.#leafOperation(session, tree, levels, operation, isVersioned, key, dbtime));
    }
    const begin = changes.encode('MacroBegin', { procid, dbtime });
    const commit = changes.encode('MacroCommit', { procid, dbtime });
    const info = changes.encode('MacroInfo', { pgnos });
    changes.carryOutMacro([begin, ...inside], inside, [commit, info]);
  }

  /** The operation that the split is made for, as a record inside the macro. */
  #leafOperation(
    session: Session,
    tree: Tree,
    levels: readonly SplitLevel[],
    operation: SplitOperation,
    isVersioned: boolean,
    key: Uint8Array,
    dbtime: number,
  ): LogRecord {
    const { changes } = this;
    const { transactions } = changes;
    const leaf = levels[levels.length - 1]?.page;
    if (leaf === undefined) throw new Error('a split has no levels');
    const rceid = isVersioned ? transactions.nextRceid() : 0;
    const fields = this.#leafFields;
    fields.procid = session.procid;
    fields.dbid = changes.dbid;
    fields.pgno = leaf.pgno;
    fields.dbtime = dbtime;
    fields.dbtimeBefore = DBTIME_NIL;
    fields.trxBegin0 = session.trxBegin0;
    fields.level = session.level;
    fields.iline = operation.line;
    fields.pageFlags = pageFlagsOf(tree, isVersioned);
    fields.rceid = rceid;
    fields.pgnoFDP = tree.pgnoFdp;
    fields.objidFDP = tree.objid;
    fields.key = key;
    fields.data = operation.data;
    switch (operation.kind) {
      case SPLIT_OPERATION.insert:
        fields.cbPrefix = 0;
        return changes.encode('Insert', fields);
      case SPLIT_OPERATION.replace: {
        leaf.readNode(operation.line, this.#node);
        fields.cbOldData = this.#node.dataLength;
        fields.cbNewData = operation.data.length;
        return changes.encode('Replace', fields);
      }
      default: {
        fields.rceidReplace = isVersioned ? transactions.nextRceid() : 0;
        return changes.encode('FlagInsertAndReplaceData', fields);
      }
    }
  }
}
