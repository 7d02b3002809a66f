import { EseError } from '../format/ese-error.js';
import { UNDO_OPERATION } from '../format/log-record-layout.js';
import type { NodeChange, Version, VersionLog } from '../operations/redo-context.js';

/**
 * The versions of nodes in a running engine (format specification, chapters 5.1.6 and 10.9): what a
 * transaction needs to roll back, and what the others must go on seeing until it commits, and those that
 * began before its commit even longer.
 *
 * Every versioned change is one {@link NodeVersion}. Versions of one node form a chain, newest first; those
 * of one transaction a list in the order of its changes. A version leaves the store when it is undone, or
 * when its transaction has committed and no transaction that began before is left.
 */
export interface NodeVersion extends Version {
  readonly owner: VersionOwner;
  readonly dbid: number;
  readonly pgnoFDP: number;
  readonly objidFDP: number;
  /** Flags of the record that made the change. */
  readonly pageFlags: number;
  /** Page that had the change when it was made; the node may have moved since. */
  readonly pgno: number;
  /** Bytes by which a Replace made the data longer. */
  readonly growth: number;
  /** Whether the log holds what it takes to undo the change. */
  readonly isUndoInfoLogged: boolean;
  /** Transaction id of the commit; 0 while the change is uncommitted. */
  readonly trxCommit0: number;
  readonly older: NodeVersion | undefined;
}

/** A session as the versions know it. */
export interface VersionOwner {
  readonly procid: number;
  /** The changes of its transaction, oldest first. */
  readonly versions: NodeVersion[];
}

/** What the store must know of sessions. */
export interface VersionOwners {
  owner(procid: number): VersionOwner;
  all(): Iterable<VersionOwner>;
}

/** Counts of one tree, so that trees without versions cost nothing. */
interface TreeVersions {
  readonly key: number;
  count: number;
  /** Uncommitted changes that made data shorter: a rollback needs the bytes again. */
  shrunk: number;
  /** Uncommitted changes whose old state is in memory only. */
  readonly unlogged: Set<NodeVersion>;
}

/** Bytes that one version takes besides its key and data, roughly. */
const VERSION_BYTES = 200;
const VERSION_STORE_BYTES = 64 * 1024 * 1024;
/** Keys and data of versions lie together in pieces of this size; a piece goes when its last version does. */
const PIECE_BYTES = 32 * 1024;
/** Fewer bytes than this are copied one by one: a view of them would cost more. */
const SHORT_COPY = 48;

/** Objects of versions that are kept to be used again. */
const SPARE_VERSIONS = 4096;

/** Lists of versions, by hash. */
const BUCKETS = 1 << 15;
const BUCKET_MASK = BUCKETS - 1;

const NO_BYTES = new Uint8Array(0);

/**
 * A version; its key, the data of its bookmark and its old state lie one behind the other in a piece of memory. The
 * object serves again once nobody can ask for the version.
 */
class StoredVersion implements NodeVersion {
  rceid = 0;
  operation = 0;
  owner: VersionOwner;
  dbid = 0;
  pgnoFDP = 0;
  objidFDP = 0;
  pageFlags = 0;
  pgno = 0;
  growth = 0;
  isUndoInfoLogged = false;
  trxCommit0 = 0;
  older: StoredVersion | undefined = undefined;
  newer: StoredVersion | undefined = undefined;
  /** Newest version of another node in the same bucket. */
  sibling: StoredVersion | undefined = undefined;
  hash = 0;
  tree: TreeVersions;
  piece: Uint8Array;
  at = 0;
  keyBytes = 0;
  dataBytes = 0;
  beforeBytes = 0;

  constructor(owner: VersionOwner, tree: TreeVersions, piece: Uint8Array) {
    this.owner = owner;
    this.tree = tree;
    this.piece = piece;
  }

  get key(): Uint8Array {
    return this.piece.subarray(this.at, this.at + this.keyBytes);
  }
  get bookmarkData(): Uint8Array {
    const start = this.at + this.keyBytes;
    return this.piece.subarray(start, start + this.dataBytes);
  }
  get before(): Uint8Array {
    const start = this.at + this.keyBytes + this.dataBytes;
    return this.piece.subarray(start, start + this.beforeBytes);
  }

  /** Memory that the version takes, in bytes. */
  get bytes(): number {
    return VERSION_BYTES + this.keyBytes + this.dataBytes + this.beforeBytes;
  }

  isOfNode(tree: TreeVersions, key: Uint8Array, data: Uint8Array): boolean {
    return (
      this.tree === tree &&
      this.keyBytes === key.length &&
      this.dataBytes === data.length &&
      bytesEqualAt(this.piece, this.at, key) &&
      bytesEqualAt(this.piece, this.at + this.keyBytes, data)
    );
  }

  isOfSameNode(other: StoredVersion): boolean {
    if (this.tree !== other.tree || this.keyBytes !== other.keyBytes || this.dataBytes !== other.dataBytes) {
      return false;
    }
    for (let i = 0; i < this.keyBytes + this.dataBytes; i++) {
      if (this.piece[this.at + i] !== other.piece[other.at + i]) return false;
    }
    return true;
  }
}

/** Orders transaction ids, which wrap (chapter 10.1): negative when `a` was drawn before `b`. */
export function compareTrx(a: number, b: number): number {
  return (a - b) | 0;
}

/** The versions of all nodes of an instance. */
export class NodeVersions implements VersionLog {
  /** By the last bits of the hash of a node: the newest version of one, and by `sibling` those of the others. */
  readonly #heads: (StoredVersion | undefined)[] = new Array(BUCKETS).fill(undefined);
  readonly #trees = new Map<number, TreeVersions>();
  /** Committed versions in the order of their commits, from `#purgeFrom` on. */
  #committed: StoredVersion[] = [];
  #purgeFrom = 0;
  /** Objects of versions that are gone. */
  readonly #spare: StoredVersion[] = [];
  #bytes = 0;
  /** Sum of `shrunk` of all trees. */
  #shrunk = 0;
  #piece = new Uint8Array(PIECE_BYTES);
  #used = 0;
  readonly #owners: VersionOwners;
  readonly #bytesMax: number;

  constructor(owners: VersionOwners, bytesMax = VERSION_STORE_BYTES) {
    this.#owners = owners;
    this.#bytesMax = bytesMax;
  }

  /** Throws JET_errVersionStoreOutOfMemory if there is no room for a version with this much data. */
  ensureRoom(bytes: number): void {
    if (this.#bytes + VERSION_BYTES + bytes > this.#bytesMax) {
      throw new EseError('JET_errVersionStoreOutOfMemory');
    }
  }

  add(change: NodeChange, version: Version): void {
    const { rceid, operation, key, bookmarkData, before } = version;
    const at = this.#allocate(key.length + bookmarkData.length + before.length);
    this.#copy(key, 0, key.length, at);
    this.#copy(bookmarkData, 0, bookmarkData.length, at + key.length);
    this.#copy(before, 0, before.length, at + key.length + bookmarkData.length);
    const growth = operation === UNDO_OPERATION.replace ? newDataBytes(change) - before.length : 0;
    this.#enter(change, rceid, operation, growth, at, key.length, bookmarkData.length, before.length);
  }

  addInsert(
    change: NodeChange,
    rceid: number,
    source: Uint8Array,
    from: number,
    keyBytes: number,
    dataBytes: number,
  ): void {
    const at = this.#allocate(keyBytes + dataBytes);
    this.#copy(source, from, keyBytes + dataBytes, at);
    this.#enter(change, rceid, UNDO_OPERATION.insert, 0, at, keyBytes, dataBytes, 0);
  }

  #enter(
    change: NodeChange,
    rceid: number,
    operation: number,
    growth: number,
    at: number,
    keyBytes: number,
    dataBytes: number,
    beforeBytes: number,
  ): void {
    const owner = this.#owners.owner(change.procid);
    const tree = this.#tree(change);
    const piece = this.#piece;
    const entry = this.#spare.pop() ?? new StoredVersion(owner, tree, piece);
    entry.rceid = rceid;
    entry.operation = operation;
    entry.owner = owner;
    entry.dbid = change.dbid;
    entry.pgnoFDP = change.pgnoFDP;
    entry.objidFDP = change.objidFDP;
    entry.pageFlags = change.pageFlags;
    entry.pgno = change.pgno;
    entry.growth = growth;
    entry.isUndoInfoLogged = !needsUndoInfo(operation);
    entry.trxCommit0 = 0;
    entry.hash = hashOf(piece, at, at + keyBytes + dataBytes, tree.key);
    entry.tree = tree;
    entry.piece = piece;
    entry.at = at;
    entry.keyBytes = keyBytes;
    entry.dataBytes = dataBytes;
    entry.beforeBytes = beforeBytes;
    this.#link(entry);
    owner.versions.push(entry);
    this.#bytes += entry.bytes;
    tree.count++;
    if (growth < 0) this.#noteShrunk(tree, 1);
    if (!entry.isUndoInfoLogged) tree.unlogged.add(entry);
  }

  /** Room for `count` bytes in the piece of memory in use. */
  #allocate(count: number): number {
    if (this.#used + count > this.#piece.length) {
      this.#piece = new Uint8Array(Math.max(PIECE_BYTES, count));
      this.#used = 0;
    }
    const at = this.#used;
    this.#used += count;
    return at;
  }

  #copy(source: Uint8Array, from: number, count: number, to: number): void {
    const piece = this.#piece;
    if (count < SHORT_COPY) {
      for (let i = 0; i < count; i++) piece[to + i] = source[from + i] ?? 0;
    } else {
      piece.set(source.subarray(from, from + count), to);
    }
  }

  #tree({ dbid, objidFDP }: NodeChange): TreeVersions {
    const key = treeKey(dbid, objidFDP);
    let tree = this.#trees.get(key);
    if (tree === undefined) {
      tree = { key, count: 0, shrunk: 0, unlogged: new Set() };
      this.#trees.set(key, tree);
    }
    return tree;
  }

  addLogged(): void {
    // The engine knows which version it has logged: see setLogged.
  }

  /** The log holds what it takes to undo a change. */
  setLogged(version: NodeVersion): void {
    const entry = version as StoredVersion;
    entry.isUndoInfoLogged = true;
    entry.tree.unlogged.delete(entry);
  }

  defer(_change: NodeChange, rceid: number): void {
    throw new Error(`the engine met change ${rceid} on a page before it made it`);
  }

  find(procid: number, rceid: number): NodeVersion | undefined {
    const { versions } = this.#owners.owner(procid);
    for (let i = versions.length - 1; i >= 0; i--) {
      if (versions[i]?.rceid === rceid) return versions[i];
    }
    return undefined;
  }

  /** The change was undone: it leaves the store, and the list of its session, whose last it is. */
  remove(procid: number, rceid: number): void {
    const { versions } = this.#owners.owner(procid);
    const entry = versions.pop() as StoredVersion | undefined;
    if (entry?.rceid !== rceid) throw new Error('changes are undone from the newest back');
    this.#drop(entry);
  }

  isActive(dbid: number, objid: number, key: Uint8Array, data: Uint8Array): boolean {
    return (
      this.newest(dbid, objid, key, NO_BYTES) !== undefined ||
      this.newest(dbid, objid, key, data) !== undefined
    );
  }

  /** Whether any node of a tree has a version. */
  hasVersions(dbid: number, objid: number): boolean {
    return this.#trees.has(treeKey(dbid, objid));
  }

  /** Whether an uncommitted change made the data of some node of a tree shorter. */
  hasShrunk(dbid: number, objid: number): boolean {
    return this.#shrunk > 0 && (this.#trees.get(treeKey(dbid, objid))?.shrunk ?? 0) > 0;
  }

  /** Newest version of the node with this key and, where keys are not unique, this data; else no data. */
  newest(
    dbid: number,
    objid: number,
    key: Uint8Array,
    bookmarkData: Uint8Array = NO_BYTES,
  ): NodeVersion | undefined {
    const tree = this.#trees.get(treeKey(dbid, objid));
    if (tree === undefined) return undefined;
    const hash = hashOf(bookmarkData, 0, bookmarkData.length, hashOf(key, 0, key.length, tree.key));
    let head = this.#heads[hash & BUCKET_MASK];
    while (head !== undefined && !head.isOfNode(tree, key, bookmarkData)) head = head.sibling;
    return head;
  }

  /** A transaction committed: its changes are seen by those that begin from now on. */
  commit(owner: VersionOwner, trxCommit0: number): void {
    for (const version of owner.versions as StoredVersion[]) {
      const { tree } = version;
      if (version.growth < 0) this.#noteShrunk(tree, -1);
      if (!version.isUndoInfoLogged) tree.unlogged.delete(version);
      version.trxCommit0 = trxCommit0;
      this.#committed.push(version);
    }
    owner.versions.length = 0;
  }

  /**
   * Lets go of committed versions that nobody can ask for any more, and tells each to `each`: those whose
   * commit came before `trxOldest`, the begin of the oldest transaction that is open (undefined = none).
   */
  purge(trxOldest: number | undefined, each: (version: NodeVersion) => void): void {
    const committed = this.#committed;
    while (this.#purgeFrom < committed.length) {
      const version = committed[this.#purgeFrom];
      if (version === undefined) break;
      if (trxOldest !== undefined && compareTrx(version.trxCommit0, trxOldest) >= 0) break;
      this.#purgeFrom++;
      this.#drop(version);
      each(version);
      if (this.#spare.length < SPARE_VERSIONS) {
        // Else it would keep memory that nobody needs.
        version.piece = NO_BYTES;
        this.#spare.push(version);
      }
    }
    if (this.#purgeFrom === committed.length) {
      committed.length = 0;
      this.#purgeFrom = 0;
    } else if (this.#purgeFrom > committed.length / 2) {
      this.#committed = committed.slice(this.#purgeFrom);
      this.#purgeFrom = 0;
    }
  }

  /** Whether a tree has changes of others than `owner` that one who sees up to `snapshot` does not see. */
  hasForeign(dbid: number, objid: number, owner: VersionOwner, snapshot: number): boolean {
    const tree = this.#trees.get(treeKey(dbid, objid));
    if (tree === undefined) return false;
    for (const other of this.#owners.all()) {
      if (other !== owner && (other.versions as StoredVersion[]).some((version) => version.tree === tree)) {
        return true;
      }
    }
    return this.#committed
      .slice(this.#purgeFrom)
      .some(
        (version) =>
          version.tree === tree && version.owner !== owner && compareTrx(version.trxCommit0, snapshot) >= 0,
      );
  }

  /** Uncommitted changes of a tree whose old state is in memory only: its pages may not be written before. */
  unlogged(dbid: number, objid: number): ReadonlySet<NodeVersion> | undefined {
    return this.#trees.get(treeKey(dbid, objid))?.unlogged;
  }

  /**
   * Most bytes of data that a node could get back by the rollback of uncommitted changes; 0 where no change
   * made it shorter.
   */
  mostDataBytes(newest: NodeVersion | undefined): number {
    let most = 0;
    for (let version = newest as StoredVersion | undefined; version !== undefined; version = version.older) {
      if (version.trxCommit0 === 0 && version.operation === UNDO_OPERATION.replace) {
        most = Math.max(most, version.beforeBytes);
      }
    }
    return most;
  }

  #noteShrunk(tree: TreeVersions, count: number): void {
    tree.shrunk += count;
    this.#shrunk += count;
  }

  #link(entry: StoredVersion): void {
    const first = this.#heads[entry.hash & BUCKET_MASK];
    let before: StoredVersion | undefined;
    for (let head = first; head !== undefined; head = head.sibling) {
      if (head.isOfSameNode(entry)) {
        entry.older = head;
        head.newer = entry;
        this.#replaceHead(entry.hash, before, head, entry);
        return;
      }
      before = head;
    }
    entry.sibling = first;
    this.#heads[entry.hash & BUCKET_MASK] = entry;
  }

  /** Puts `next` in the place of `head`, which follows `before` in its bucket; undefined = none. */
  #replaceHead(
    hash: number,
    before: StoredVersion | undefined,
    head: StoredVersion,
    next: StoredVersion | undefined,
  ): void {
    const { sibling } = head;
    head.sibling = undefined;
    if (next !== undefined) next.sibling = sibling;
    const successor = next ?? sibling;
    if (before !== undefined) before.sibling = successor;
    else this.#heads[hash & BUCKET_MASK] = successor;
  }

  #drop(entry: StoredVersion): void {
    const { older, newer, hash, tree } = entry;
    if (older !== undefined) older.newer = newer;
    if (newer !== undefined) {
      newer.older = older;
    } else {
      let before: StoredVersion | undefined;
      for (
        let head = this.#heads[hash & BUCKET_MASK];
        head !== entry && head !== undefined;
        head = head.sibling
      ) {
        before = head;
      }
      this.#replaceHead(hash, before, entry, older);
    }
    entry.older = undefined;
    entry.newer = undefined;
    this.#bytes -= entry.bytes;
    tree.count--;
    if (entry.trxCommit0 === 0) {
      if (entry.growth < 0) this.#noteShrunk(tree, -1);
      if (!entry.isUndoInfoLogged) tree.unlogged.delete(entry);
    }
    if (tree.count === 0) this.#trees.delete(tree.key);
  }
}

/** Bytes of data that a node has after the change of a record that replaces them. */
function newDataBytes(change: NodeChange): number {
  if ('cbNewData' in change) return Number(change.cbNewData);
  return 'data' in change && change.data instanceof Uint8Array ? change.data.length : 0;
}

/** Inserts and deltas are undone by what their own records say. */
function needsUndoInfo(operation: number): boolean {
  return operation === UNDO_OPERATION.replace || operation === UNDO_OPERATION.flagDelete;
}

/** Room for the numbers of databases in the key of a tree. */
const DBIDS = 8;

function treeKey(dbid: number, objid: number): number {
  return objid * DBIDS + dbid;
}

function bytesEqualAt(bytes: Uint8Array, at: number, other: Uint8Array): boolean {
  for (let i = 0; i < other.length; i++) {
    if (bytes[at + i] !== other[i]) return false;
  }
  return true;
}

/** FNV-1a over bytes, going on from `start`; what names a node is its tree, its key and its data. */
function hashOf(bytes: Uint8Array, from: number, to: number, start: number): number {
  let hash = start | 0;
  for (let i = from; i < to; i++) hash = Math.imul(hash ^ (bytes[i] ?? 0), 0x01000193);
  return hash;
}
