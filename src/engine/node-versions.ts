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
  isUndoInfoLogged: boolean;
  /** Transaction id of the commit; 0 while the change is uncommitted. */
  trxCommit0: number;
  older: NodeVersion | undefined;
  newer: NodeVersion | undefined;
  readonly hash: number;
  readonly bytes: number;
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
}

/** Counts of one tree, so that trees without versions cost nothing. */
interface TreeVersions {
  count: number;
  /** Uncommitted changes that made data shorter: a rollback needs the bytes again. */
  shrunk: number;
  /** Uncommitted changes whose old state is in memory only. */
  readonly unlogged: Set<NodeVersion>;
}

/** Bytes that one version takes besides its key and data, roughly. */
const VERSION_BYTES = 200;
export const VERSION_STORE_BYTES = 64 * 1024 * 1024;

const NO_BYTES = new Uint8Array(0);

/** Orders transaction ids, which wrap (chapter 10.1): negative when `a` was drawn before `b`. */
export function compareTrx(a: number, b: number): number {
  return (a - b) | 0;
}

/** The versions of all nodes of an instance. */
export class NodeVersions implements VersionLog {
  /** Newest version of each node, and of those whose hash is the same. */
  readonly #heads = new Map<number, NodeVersion[]>();
  readonly #byRceid = new Map<number, NodeVersion>();
  readonly #trees = new Map<number, TreeVersions>();
  /** Committed versions in the order of their commits, from `#purgeFrom` on. */
  #committed: NodeVersion[] = [];
  #purgeFrom = 0;
  #bytes = 0;
  readonly #owners: VersionOwners;
  readonly #bytesMax: number;

  constructor(owners: VersionOwners, bytesMax = VERSION_STORE_BYTES) {
    this.#owners = owners;
    this.#bytesMax = bytesMax;
  }

  /** Memory that the versions take, in bytes. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Number of versions. */
  get count(): number {
    return this.#byRceid.size;
  }

  /** Throws JET_errVersionStoreOutOfMemory if there is no room for a version with this much data. */
  ensureRoom(bytes: number): void {
    if (this.#bytes + VERSION_BYTES + bytes > this.#bytesMax) {
      throw new EseError('JET_errVersionStoreOutOfMemory');
    }
  }

  add(change: NodeChange, version: Version): void {
    const { rceid } = version;
    const { dbid, pgnoFDP, objidFDP, pageFlags, pgno, procid } = change;
    const owner = this.#owners.owner(procid);
    const key = version.key.slice();
    const bookmarkData = version.bookmarkData.length === 0 ? NO_BYTES : version.bookmarkData.slice();
    const before = version.before.length === 0 ? NO_BYTES : version.before.slice();
    const hash = nodeHash(dbid, objidFDP, key, bookmarkData);
    const entry: NodeVersion = {
      rceid,
      operation: version.operation,
      key,
      bookmarkData,
      before,
      owner,
      dbid,
      pgnoFDP,
      objidFDP,
      pageFlags,
      pgno,
      growth: version.operation === UNDO_OPERATION.replace ? newDataBytes(change) - before.length : 0,
      isUndoInfoLogged: !needsUndoInfo(version.operation),
      trxCommit0: 0,
      older: undefined,
      newer: undefined,
      hash,
      bytes: VERSION_BYTES + key.length + bookmarkData.length + before.length,
    };
    this.#link(entry);
    this.#byRceid.set(rceid, entry);
    owner.versions.push(entry);
    this.#bytes += entry.bytes;
    const tree = this.#tree(entry);
    tree.count++;
    if (entry.growth < 0) tree.shrunk++;
    if (!entry.isUndoInfoLogged) tree.unlogged.add(entry);
  }

  #tree({ dbid, objidFDP }: NodeVersion): TreeVersions {
    const key = treeKey(dbid, objidFDP);
    let tree = this.#trees.get(key);
    if (tree === undefined) {
      tree = { count: 0, shrunk: 0, unlogged: new Set() };
      this.#trees.set(key, tree);
    }
    return tree;
  }

  addLogged(_change: NodeChange, version: Version): void {
    const known = this.#byRceid.get(version.rceid);
    if (known === undefined) return;
    known.isUndoInfoLogged = true;
    this.#tree(known).unlogged.delete(known);
  }

  addInsert(
    change: NodeChange,
    rceid: number,
    source: Uint8Array,
    at: number,
    keyBytes: number,
    dataBytes: number,
  ): void {
    const end = at + keyBytes;
    this.add(change, {
      rceid,
      operation: UNDO_OPERATION.insert,
      key: source.subarray(at, end),
      bookmarkData: source.subarray(end, end + dataBytes),
      before: NO_BYTES,
    });
  }

  defer(_change: NodeChange, rceid: number): void {
    throw new Error(`the engine met change ${rceid} on a page before it made it`);
  }

  find(_procid: number, rceid: number): NodeVersion | undefined {
    return this.#byRceid.get(rceid);
  }

  /** The change was undone: it leaves the store, and the list of its session, whose last it is. */
  remove(_procid: number, rceid: number): void {
    const entry = this.#byRceid.get(rceid);
    if (entry === undefined) return;
    const { versions } = entry.owner;
    if (versions.at(-1) !== entry) throw new Error('changes are undone from the newest back');
    versions.pop();
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
    return (this.#trees.get(treeKey(dbid, objid))?.shrunk ?? 0) > 0;
  }

  /** Newest version of the node with this key and, where keys are not unique, this data; else no data. */
  newest(
    dbid: number,
    objid: number,
    key: Uint8Array,
    bookmarkData: Uint8Array = NO_BYTES,
  ): NodeVersion | undefined {
    if (!this.hasVersions(dbid, objid)) return undefined;
    const data = bookmarkData;
    const heads = this.#heads.get(nodeHash(dbid, objid, key, data));
    if (heads === undefined) return undefined;
    for (const head of heads) {
      const isIt =
        head.objidFDP === objid &&
        head.dbid === dbid &&
        bytesEqual(head.key, key) &&
        bytesEqual(head.bookmarkData, data);
      if (isIt) return head;
    }
    return undefined;
  }

  /** A transaction committed: its changes are seen by those that begin from now on. */
  commit(owner: VersionOwner, trxCommit0: number): void {
    for (const version of owner.versions) {
      const tree = this.#tree(version);
      if (version.growth < 0) tree.shrunk--;
      tree.unlogged.delete(version);
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
    if (!this.hasVersions(dbid, objid)) return false;
    for (const version of this.#byRceid.values()) {
      if (version.objidFDP !== objid || version.dbid !== dbid || version.owner === owner) continue;
      if (version.trxCommit0 === 0 || compareTrx(version.trxCommit0, snapshot) >= 0) return true;
    }
    return false;
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
    for (let version = newest; version !== undefined; version = version.older) {
      if (version.trxCommit0 === 0 && version.operation === UNDO_OPERATION.replace) {
        most = Math.max(most, version.before.length);
      }
    }
    return most;
  }

  #link(entry: NodeVersion): void {
    let heads = this.#heads.get(entry.hash);
    if (heads === undefined) {
      heads = [];
      this.#heads.set(entry.hash, heads);
    }
    for (let i = 0; i < heads.length; i++) {
      const head = heads[i];
      if (head === undefined || !sameNode(head, entry)) continue;
      entry.older = head;
      head.newer = entry;
      heads[i] = entry;
      return;
    }
    heads.push(entry);
  }

  #drop(entry: NodeVersion): void {
    const { older, newer, hash } = entry;
    if (older !== undefined) older.newer = newer;
    if (newer !== undefined) newer.older = older;
    else {
      const heads = this.#heads.get(hash) ?? [];
      const at = heads.indexOf(entry);
      if (older !== undefined) heads[at] = older;
      else if (heads.length === 1) this.#heads.delete(hash);
      else heads.splice(at, 1);
    }
    entry.older = undefined;
    entry.newer = undefined;
    this.#byRceid.delete(entry.rceid);
    this.#bytes -= entry.bytes;
    const tree = this.#tree(entry);
    tree.count--;
    if (entry.growth < 0 && entry.trxCommit0 === 0) tree.shrunk--;
    tree.unlogged.delete(entry);
    if (tree.count === 0) this.#trees.delete(treeKey(entry.dbid, entry.objidFDP));
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

function treeKey(dbid: number, objid: number): number {
  return dbid * 2 ** 32 + objid;
}

function sameNode(a: NodeVersion, b: NodeVersion): boolean {
  return (
    a.objidFDP === b.objidFDP &&
    a.dbid === b.dbid &&
    bytesEqual(a.key, b.key) &&
    bytesEqual(a.bookmarkData, b.bookmarkData)
  );
}

function bytesEqual(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) {
    if (a[i] !== b[i]) return false;
  }
  return true;
}

/** FNV-1a over what names a node. */
function nodeHash(dbid: number, objid: number, key: Uint8Array, data: Uint8Array): number {
  let hash = Math.imul(0x811c9dc5 ^ objid ^ (dbid << 24), 0x01000193);
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ (key[i] ?? 0), 0x01000193);
  for (let i = 0; i < data.length; i++) hash = Math.imul(hash ^ (data[i] ?? 0), 0x01000193);
  return hash | 0;
}
