import { EseError } from '../format/ese-error.js';
import { UNDO_OPERATION } from '../format/log-record-layout.js';
import type { NodeChange, Version, VersionLog } from '../operations/redo-context.js';

/**
 * Versions of recovery: how to undo what the transactions in progress had done (format specification, chapters
 * 5.1.6 and 5.3.7). A session has one list, in the order of its changes: an old state that comes later, in an UndoInfo
 * record, goes in at its place. Levels never fall along the list, since an inner commit lowers those at its end.
 *
 * Redo makes a version of every change, and forgets nearly all of them at a commit soon after. So their bytes lie
 * behind each other in a few large pieces of memory, and views of them are made only when somebody looks.
 */
export interface RedoVersion extends Version {
  readonly dbid: number;
  readonly pgnoFDP: number;
  readonly objidFDP: number;
  /** Flags of the record that made the change. */
  readonly pageFlags: number;
  /** Transaction level that the change belongs to now. */
  readonly level: number;
  /** Whether the log holds what it takes to undo the change. */
  readonly isUndoInfoLogged: boolean;
}

class Entry implements RedoVersion {
  readonly rceid: number;
  readonly operation: number;
  readonly dbid: number;
  readonly pgnoFDP: number;
  readonly objidFDP: number;
  readonly pageFlags: number;
  level: number;
  isUndoInfoLogged: boolean;
  readonly #bytes: Uint8Array;
  readonly #at: number;
  readonly #keyBytes: number;
  readonly #dataBytes: number;
  readonly #beforeBytes: number;

  constructor(
    change: NodeChange,
    rceid: number,
    operation: number,
    isUndoInfoLogged: boolean,
    bytes: Uint8Array,
    at: number,
    keyBytes: number,
    dataBytes: number,
    beforeBytes: number,
  ) {
    this.rceid = rceid;
    this.operation = operation;
    this.dbid = change.dbid;
    this.pgnoFDP = change.pgnoFDP;
    this.objidFDP = change.objidFDP;
    this.pageFlags = change.pageFlags;
    this.level = change.level;
    this.isUndoInfoLogged = isUndoInfoLogged;
    this.#bytes = bytes;
    this.#at = at;
    this.#keyBytes = keyBytes;
    this.#dataBytes = dataBytes;
    this.#beforeBytes = beforeBytes;
  }

  get key(): Uint8Array {
    return this.#part(0, this.#keyBytes);
  }
  get bookmarkData(): Uint8Array {
    return this.#part(this.#keyBytes, this.#dataBytes);
  }
  get before(): Uint8Array {
    return this.#part(this.#keyBytes + this.#dataBytes, this.#beforeBytes);
  }

  #part(from: number, length: number): Uint8Array {
    return this.#bytes.subarray(this.#at + from, this.#at + from + length);
  }
}

interface SessionVersions {
  readonly entries: Entry[];
  /** Changes of which the old state is still to come. */
  readonly deferred: Set<number>;
}

/** Most versions of one session: one that never ends must not take all memory. */
const ENTRIES_MAX = 50_000_000;
const PIECE_BYTES = 1024 * 1024;
/** Fewer bytes than this are copied one by one: a view of them would cost more. */
const SHORT_COPY = 48;

/** The versions of all sessions. */
export class RedoVersions implements VersionLog {
  readonly #sessions = new Map<number, SessionVersions>();
  /** Uncommitted changes by tree whose old state is in memory only: pages of the tree must wait. */
  readonly #unloggedByTree = new Map<number, number>();
  /** Entries that are alive; when there are none, the piece of memory is free. */
  #alive = 0;
  #piece = new Uint8Array(PIECE_BYTES);
  #used = 0;

  #session(procid: number): SessionVersions {
    let session = this.#sessions.get(procid);
    if (session === undefined) {
      session = { entries: [], deferred: new Set() };
      this.#sessions.set(procid, session);
    }
    return session;
  }

  add(change: NodeChange, version: Version): void {
    this.#push(change, version, !needsUndoInfo(version.operation));
  }

  addInsert(
    change: NodeChange,
    rceid: number,
    source: Uint8Array,
    at: number,
    keyBytes: number,
    dataBytes: number,
  ): void {
    const start = this.#allocate(keyBytes + dataBytes);
    this.#copy(source, at, keyBytes + dataBytes, start);
    const piece = this.#piece;
    this.#enter(
      new Entry(change, rceid, UNDO_OPERATION.insert, true, piece, start, keyBytes, dataBytes, 0),
      change.procid,
    );
  }

  addLogged(change: NodeChange, version: Version): void {
    const session = this.#session(change.procid);
    session.deferred.delete(version.rceid);
    const known = this.#find(session, version.rceid);
    if (known === undefined) this.#push(change, version, true);
    else this.#setLogged(known);
  }

  #push(change: NodeChange, version: Version, isUndoInfoLogged: boolean): void {
    const { key, bookmarkData, before, rceid, operation } = version;
    const start = this.#allocate(key.length + bookmarkData.length + before.length);
    this.#copy(key, 0, key.length, start);
    this.#copy(bookmarkData, 0, bookmarkData.length, start + key.length);
    this.#copy(before, 0, before.length, start + key.length + bookmarkData.length);
    const entry = new Entry(
      change,
      rceid,
      operation,
      isUndoInfoLogged,
      this.#piece,
      start,
      key.length,
      bookmarkData.length,
      before.length,
    );
    this.#enter(entry, change.procid);
    if (!isUndoInfoLogged) this.#count(entry, 1);
  }

  #enter(entry: Entry, procid: number): void {
    const { entries } = this.#session(procid);
    if (entries.length >= ENTRIES_MAX) throw new EseError('JET_errVersionStoreOutOfMemory');
    const newest = entries.at(-1);
    if (newest === undefined || !isNewer(newest, entry)) entries.push(entry);
    else entries.splice(entries.findLastIndex((other) => !isNewer(other, entry)) + 1, 0, entry);
    this.#alive++;
  }

  /** Room for `count` bytes in the piece of memory in use. */
  #allocate(count: number): number {
    if (this.#alive === 0) this.#used = 0;
    if (this.#used + count > this.#piece.length) {
      // The entries hold on to their pieces; this one goes when they do.
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

  defer(change: NodeChange, rceid: number): void {
    this.#session(change.procid).deferred.add(rceid);
  }

  find(procid: number, rceid: number): RedoVersion | undefined {
    const session = this.#sessions.get(procid);
    return session === undefined ? undefined : this.#find(session, rceid);
  }

  /** Undo goes from the newest change back, so the search from the end is short. */
  #find(session: SessionVersions, rceid: number): Entry | undefined {
    const { entries } = session;
    for (let i = entries.length - 1; i >= 0; i--) {
      if (entries[i]?.rceid === rceid) return entries[i];
    }
    return undefined;
  }

  remove(procid: number, rceid: number): void {
    const session = this.#sessions.get(procid);
    if (session === undefined) return;
    session.deferred.delete(rceid);
    const { entries } = session;
    for (let i = entries.length - 1; i >= 0; i--) {
      const entry = entries[i];
      if (entry?.rceid !== rceid) continue;
      this.#setLogged(entry);
      this.#alive--;
      if (i === entries.length - 1) entries.pop();
      else entries.splice(i, 1);
      return;
    }
  }

  isActive(dbid: number, objid: number, key: Uint8Array, data: Uint8Array): boolean {
    for (const { entries } of this.#sessions.values()) {
      for (const entry of entries) {
        if (entry.dbid !== dbid || entry.objidFDP !== objid || !bytesEqual(entry.key, key)) continue;
        const { bookmarkData } = entry;
        if (bookmarkData.length === 0 || bytesEqual(bookmarkData, data)) return true;
      }
    }
    return false;
  }

  /** An inner commit: the changes of deeper levels now belong to `level`. */
  lowerLevel(procid: number, level: number): void {
    const entries = this.#sessions.get(procid)?.entries;
    if (entries === undefined) return;
    for (let i = entries.length - 1; i >= 0; i--) {
      const entry = entries[i];
      if (entry === undefined || entry.level <= level) return;
      entry.level = level;
    }
  }

  /** The levels above `level` were rolled back: what undo records left of them is dropped. */
  dropAbove(procid: number, level: number): void {
    const session = this.#sessions.get(procid);
    if (session === undefined) return;
    const { entries } = session;
    for (let entry = entries.at(-1); entry !== undefined && entry.level > level; entry = entries.at(-1)) {
      this.#setLogged(entry);
      entries.pop();
      this.#alive--;
    }
    if (level === 0) session.deferred.clear();
  }

  /** The transaction of the session ended: nothing of it can be undone any more. */
  finish(procid: number): void {
    const session = this.#sessions.get(procid);
    if (session === undefined) return;
    const { entries, deferred } = session;
    if (this.#unloggedByTree.size > 0) {
      for (const entry of entries) this.#setLogged(entry);
    }
    this.#alive -= entries.length;
    entries.length = 0;
    if (deferred.size > 0) deferred.clear();
  }

  /** The newest change that is not finished, or `undefined`. */
  newest(procid: number): RedoVersion | undefined {
    return this.#sessions.get(procid)?.entries.at(-1);
  }

  /** Changes of a session that are not finished. */
  countOf(procid: number): number {
    return this.#sessions.get(procid)?.entries.length ?? 0;
  }

  /** A change of which the old state never came, if there is one. */
  deferredOf(procid: number): number | undefined {
    for (const rceid of this.#sessions.get(procid)?.deferred ?? []) return rceid;
    return undefined;
  }

  /** Whether pages of a tree must not be written yet: the old state of a change on one of them is in memory only. */
  holdsBack(dbid: number, objid: number): boolean {
    return this.#unloggedByTree.size > 0 && this.#unloggedByTree.has(treeKey(dbid, objid));
  }

  /** The log holds what it takes to undo the newest change of a session. */
  setNewestLogged(procid: number): void {
    const entry = this.#sessions.get(procid)?.entries.at(-1);
    if (entry !== undefined) this.#setLogged(entry);
  }

  #setLogged(entry: Entry): void {
    if (entry.isUndoInfoLogged) return;
    entry.isUndoInfoLogged = true;
    this.#count(entry, -1);
  }

  #count({ dbid, objidFDP }: Entry, by: number): void {
    const key = treeKey(dbid, objidFDP);
    const count = (this.#unloggedByTree.get(key) ?? 0) + by;
    if (count === 0) this.#unloggedByTree.delete(key);
    else this.#unloggedByTree.set(key, count);
  }
}

/** Whether a change was made after another one of its session. The numbers start over at the end of their range. */
function isNewer(a: RedoVersion, b: RedoVersion): boolean {
  return ((a.rceid - b.rceid) | 0) > 0;
}

/** Inserts and deltas are undone by what their own records say. */
function needsUndoInfo(operation: number): boolean {
  return operation === UNDO_OPERATION.replace || operation === UNDO_OPERATION.flagDelete;
}

function treeKey(dbid: number, objid: number): number {
  return dbid * 2 ** 32 + objid;
}

function bytesEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
