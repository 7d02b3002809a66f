import { EseError } from '../format/ese-error.js';
import { UNDO_OPERATION } from '../format/log-record-layout.js';
import type { NodeChange, Version, VersionLog } from '../operations/redo-context.js';
import { AT_DBID, AT_LEVEL, AT_OBJID, AT_PAGE_FLAGS, AT_PGNO_FDP } from './record-offsets.js';

/**
 * Versions of recovery: how to undo what the transactions in progress had done (format specification, chapters
 * 5.1.6 and 5.3.7). A session has one list, in the order of its changes: an old state that comes later, in an UndoInfo
 * record, goes in at its place. Levels never fall along the list, since an inner commit lowers those at its end.
 *
 * Redo makes a version of every change, and forgets nearly all of them at a commit soon after. So a list is numbers
 * and bytes in two arrays, and objects are made only when somebody looks.
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

/** What has become of changes whose old state is taken from their pages later than they are noted here. */
export interface PendingVersions {
  /** Whether the old state is known; if not, the page had the change already. */
  isKnown(slot: number): boolean;
  /** The parts of the old state, valid until the next call. */
  read(slot: number): Pick<Version, 'key' | 'bookmarkData' | 'before'>;
}

/** Words of a version in the list of its session. */
const RCEID = 0;
const OPERATION = 1;
const PGNO_FDP = 2;
const OBJID = 3;
/** dbid, flags and level, a byte each. */
const ORIGIN = 4;
const IS_LOGGED = 5;
/** Where the bytes lie, and how many are key, data of the bookmark, and old state. */
const AT = 6;
const KEY_BYTES = 7;
const DATA_BYTES = 8;
const BEFORE_BYTES = 9;
/** While the old state is not here yet: its slot, not 0. */
const PENDING = 10;
const WORDS = 11;

/** Most versions of one session: one that never ends must not take all memory. */
const ENTRIES_MAX = 50_000_000;
const FIRST_WORDS = 16 * WORDS;
const FIRST_BYTES = 1024;
/** What a session keeps for its next transaction. */
const KEPT_BYTES = 64 * 1024;
/** Fewer bytes than this are copied one by one: a view of them would cost more. */
const SHORT_COPY = 48;

class SessionVersions {
  words = new Int32Array(FIRST_WORDS);
  bytes = new Uint8Array(FIRST_BYTES);
  count = 0;
  used = 0;
  /** Versions in front of this one are not pending. */
  settled = 0;
  /** Whether there may be pending ones. */
  hasPending = false;
  /** Changes of which the old state is still to come. */
  readonly deferred = new Set<number>();

  clear(): void {
    this.count = 0;
    this.used = 0;
    this.settled = 0;
    if (this.words.byteLength > KEPT_BYTES) this.words = new Int32Array(FIRST_WORDS);
    if (this.bytes.length > KEPT_BYTES) this.bytes = new Uint8Array(FIRST_BYTES);
  }

  /** A word of version `i`. */
  word(i: number, field: number): number {
    return this.words[i * WORDS + field] ?? 0;
  }

  setWord(i: number, field: number, value: number): void {
    this.words[i * WORDS + field] = value;
  }

  level(i: number): number {
    return (this.word(i, ORIGIN) >>> 16) & 0xff;
  }

  /** Room for one more version at its place in the order of changes; returns the place. */
  insert(rceid: number): number {
    const { count } = this;
    if (count >= ENTRIES_MAX) throw new EseError('JET_errVersionStoreOutOfMemory');
    if ((count + 1) * WORDS > this.words.length) {
      const grown = new Int32Array(2 * this.words.length);
      grown.set(this.words);
      this.words = grown;
    }
    let place = count;
    while (place > 0 && isNewer(this.word(place - 1, RCEID), rceid)) place--;
    if (place < count) {
      this.words.copyWithin((place + 1) * WORDS, place * WORDS, count * WORDS);
      this.settled = Math.min(this.settled, place);
    }
    this.count++;
    return place;
  }

  remove(i: number): void {
    this.words.copyWithin(i * WORDS, (i + 1) * WORDS, this.count * WORDS);
    this.count--;
    if (this.settled > i) this.settled--;
  }

  /** Room for `count` bytes; returns where. */
  allocate(count: number): number {
    const at = this.used;
    if (at + count > this.bytes.length) {
      const grown = new Uint8Array(Math.max(2 * this.bytes.length, at + count));
      grown.set(this.bytes.subarray(0, at));
      this.bytes = grown;
    }
    this.used = at + count;
    return at;
  }

  copy(source: Uint8Array, from: number, count: number, to: number): void {
    const { bytes } = this;
    if (count < SHORT_COPY) {
      for (let i = 0; i < count; i++) bytes[to + i] = source[from + i] ?? 0;
    } else {
      bytes.set(source.subarray(from, from + count), to);
    }
  }

  /** Puts the parts of an old state behind the others and notes where they are. */
  keep(i: number, { key, bookmarkData, before }: Pick<Version, 'key' | 'bookmarkData' | 'before'>): void {
    const at = this.allocate(key.length + bookmarkData.length + before.length);
    this.copy(key, 0, key.length, at);
    this.copy(bookmarkData, 0, bookmarkData.length, at + key.length);
    this.copy(before, 0, before.length, at + key.length + bookmarkData.length);
    this.setParts(i, at, key.length, bookmarkData.length, before.length);
  }

  setParts(i: number, at: number, keyBytes: number, dataBytes: number, beforeBytes: number): void {
    this.setWord(i, AT, at);
    this.setWord(i, KEY_BYTES, keyBytes);
    this.setWord(i, DATA_BYTES, dataBytes);
    this.setWord(i, BEFORE_BYTES, beforeBytes);
    this.setWord(i, PENDING, 0);
  }

  /** Undo goes from the newest change back, so the search from the end is short. */
  find(rceid: number): number {
    for (let i = this.count - 1; i >= 0; i--) {
      if (this.word(i, RCEID) === (rceid | 0)) return i;
    }
    return -1;
  }

  key(i: number): Uint8Array {
    const at = this.word(i, AT) >>> 0;
    return this.bytes.subarray(at, at + this.word(i, KEY_BYTES));
  }

  bookmarkData(i: number): Uint8Array {
    const at = (this.word(i, AT) >>> 0) + this.word(i, KEY_BYTES);
    return this.bytes.subarray(at, at + this.word(i, DATA_BYTES));
  }

  version(i: number): RedoVersion {
    const origin = this.word(i, ORIGIN);
    const beforeAt = (this.word(i, AT) >>> 0) + this.word(i, KEY_BYTES) + this.word(i, DATA_BYTES);
    return {
      rceid: this.word(i, RCEID) >>> 0,
      operation: this.word(i, OPERATION),
      dbid: origin & 0xff,
      pgnoFDP: this.word(i, PGNO_FDP) >>> 0,
      objidFDP: this.word(i, OBJID) >>> 0,
      pageFlags: (origin >>> 8) & 0xff,
      level: this.level(i),
      isUndoInfoLogged: this.word(i, IS_LOGGED) !== 0,
      key: this.key(i),
      bookmarkData: this.bookmarkData(i),
      before: this.bytes.subarray(beforeAt, beforeAt + this.word(i, BEFORE_BYTES)),
    };
  }
}

/** The versions of all sessions. */
export class RedoVersions implements VersionLog {
  readonly #sessions = new Map<number, SessionVersions>();
  #last: SessionVersions | undefined;
  readonly #withPending: SessionVersions[] = [];
  #lastProcid = -1;
  /** Uncommitted changes by tree whose old state is in memory only: pages of the tree must wait. */
  readonly #unloggedByTree = new Map<number, number>();

  #session(procid: number): SessionVersions {
    if (procid === this.#lastProcid && this.#last !== undefined) return this.#last;
    let session = this.#sessions.get(procid);
    if (session === undefined) {
      session = new SessionVersions();
      this.#sessions.set(procid, session);
    }
    this.#last = session;
    this.#lastProcid = procid;
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
    const session = this.#session(change.procid);
    const i = session.insert(rceid);
    setChange(session, i, change, rceid, UNDO_OPERATION.insert, true);
    this.#keepInsert(session, i, source, at, keyBytes, dataBytes);
  }

  /** {@link addInsert} for the record at `at`, of which key and data begin at `keyAt`. */
  addLoggedInsert(
    procid: number,
    rceid: number,
    bytes: Uint8Array,
    view: DataView,
    at: number,
    keyAt: number,
    keyBytes: number,
    dataBytes: number,
  ): void {
    const session = this.#session(procid);
    const i = session.insert(rceid);
    setLoggedChange(session, i, view, at, rceid, UNDO_OPERATION.insert, true);
    this.#keepInsert(session, i, bytes, keyAt, keyBytes, dataBytes);
  }

  #keepInsert(
    session: SessionVersions,
    i: number,
    source: Uint8Array,
    from: number,
    keyBytes: number,
    dataBytes: number,
  ): void {
    const at = session.allocate(keyBytes + dataBytes);
    session.copy(source, from, keyBytes + dataBytes, at);
    session.setParts(i, at, keyBytes, dataBytes, 0);
    if (session.settled === session.count - 1) session.settled++;
  }

  /** Notes the change of the record at `at`, of which the old state is to be found in `slot`: see {@link settle}. */
  addPending(
    procid: number,
    rceid: number,
    operation: number,
    view: DataView,
    at: number,
    slot: number,
  ): void {
    const session = this.#session(procid);
    const i = session.insert(rceid);
    setLoggedChange(session, i, view, at, rceid, operation, !needsUndoInfo(operation));
    session.setParts(i, 0, 0, 0, 0);
    session.setWord(i, PENDING, slot);
    session.settled = Math.min(session.settled, i);
    if (session.hasPending) return;
    session.hasPending = true;
    this.#withPending.push(session);
  }

  /** Takes over the old states of all pending changes, or defers them. */
  settle(pending: PendingVersions): void {
    for (const session of this.#withPending) {
      session.hasPending = false;
      for (let i = session.settled; i < session.count; ) {
        const slot = session.word(i, PENDING);
        if (slot === 0) {
          i++;
        } else if (pending.isKnown(slot)) {
          session.keep(i, pending.read(slot));
          if (session.word(i, IS_LOGGED) === 0) this.#count(session, i, 1);
          i++;
        } else {
          session.deferred.add(session.word(i, RCEID) >>> 0);
          session.remove(i);
        }
      }
      session.settled = session.count;
    }
    this.#withPending.length = 0;
  }

  addLogged(change: NodeChange, version: Version): void {
    const session = this.#session(change.procid);
    session.deferred.delete(version.rceid);
    const known = session.find(version.rceid);
    if (known < 0) this.#push(change, version, true);
    else this.#setLogged(session, known);
  }

  #push(change: NodeChange, version: Version, isUndoInfoLogged: boolean): void {
    const session = this.#session(change.procid);
    const i = session.insert(version.rceid);
    setChange(session, i, change, version.rceid, version.operation, isUndoInfoLogged);
    session.keep(i, version);
    if (session.settled === session.count - 1) session.settled++;
    if (!isUndoInfoLogged) this.#count(session, i, 1);
  }

  defer(change: NodeChange, rceid: number): void {
    this.#session(change.procid).deferred.add(rceid);
  }

  find(procid: number, rceid: number): RedoVersion | undefined {
    const session = this.#sessions.get(procid);
    const i = session?.find(rceid) ?? -1;
    return i < 0 ? undefined : session?.version(i);
  }

  remove(procid: number, rceid: number): void {
    const session = this.#sessions.get(procid);
    if (session === undefined) return;
    session.deferred.delete(rceid);
    const i = session.find(rceid);
    if (i < 0) return;
    this.#setLogged(session, i);
    session.remove(i);
  }

  isActive(dbid: number, objid: number, key: Uint8Array, data: Uint8Array): boolean {
    for (const session of this.#sessions.values()) {
      for (let i = 0; i < session.count; i++) {
        if (session.word(i, OBJID) !== (objid | 0) || (session.word(i, ORIGIN) & 0xff) !== dbid) continue;
        if (!bytesEqual(session.key(i), key)) continue;
        const bookmarkData = session.bookmarkData(i);
        if (bookmarkData.length === 0 || bytesEqual(bookmarkData, data)) return true;
      }
    }
    return false;
  }

  /** An inner commit: the changes of deeper levels now belong to `level`. */
  lowerLevel(procid: number, level: number): void {
    const session = this.#sessions.get(procid);
    if (session === undefined) return;
    for (let i = session.count - 1; i >= 0 && session.level(i) > level; i--) {
      session.setWord(i, ORIGIN, (session.word(i, ORIGIN) & ~0xff0000) | (level << 16));
    }
  }

  /** The levels above `level` were rolled back: what undo records left of them is dropped. */
  dropAbove(procid: number, level: number): void {
    const session = this.#sessions.get(procid);
    if (session === undefined) return;
    while (session.count > 0 && session.level(session.count - 1) > level) {
      this.#setLogged(session, session.count - 1);
      session.remove(session.count - 1);
    }
    if (level === 0) session.deferred.clear();
  }

  /** The transaction of the session ended: nothing of it can be undone any more. */
  finish(procid: number): void {
    const session = procid === this.#lastProcid ? this.#last : this.#sessions.get(procid);
    if (session === undefined) return;
    if (this.#unloggedByTree.size > 0) {
      for (let i = 0; i < session.count; i++) this.#setLogged(session, i);
    }
    session.clear();
    if (session.deferred.size > 0) session.deferred.clear();
  }

  /** The newest change that is not finished, or `undefined`. */
  newest(procid: number): RedoVersion | undefined {
    const session = this.#sessions.get(procid);
    return session === undefined || session.count === 0 ? undefined : session.version(session.count - 1);
  }

  /** Changes of a session that are not finished. */
  countOf(procid: number): number {
    return this.#sessions.get(procid)?.count ?? 0;
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
    const session = this.#sessions.get(procid);
    if (session !== undefined && session.count > 0) this.#setLogged(session, session.count - 1);
  }

  #setLogged(session: SessionVersions, i: number): void {
    if (session.word(i, IS_LOGGED) !== 0) return;
    session.setWord(i, IS_LOGGED, 1);
    // A pending change is not counted before it is settled.
    if (session.word(i, PENDING) === 0) this.#count(session, i, -1);
  }

  #count(session: SessionVersions, i: number, by: number): void {
    const key = treeKey(session.word(i, ORIGIN) & 0xff, session.word(i, OBJID) >>> 0);
    const count = (this.#unloggedByTree.get(key) ?? 0) + by;
    if (count === 0) this.#unloggedByTree.delete(key);
    else this.#unloggedByTree.set(key, count);
  }
}

function setChange(
  session: SessionVersions,
  i: number,
  change: NodeChange,
  rceid: number,
  operation: number,
  isLogged: boolean,
): void {
  const { dbid, pgnoFDP, objidFDP, pageFlags, level } = change;
  session.setWord(i, RCEID, rceid);
  session.setWord(i, OPERATION, operation);
  session.setWord(i, PGNO_FDP, pgnoFDP);
  session.setWord(i, OBJID, objidFDP);
  session.setWord(i, ORIGIN, dbid | (pageFlags << 8) | (level << 16));
  session.setWord(i, IS_LOGGED, isLogged ? 1 : 0);
}

function setLoggedChange(
  session: SessionVersions,
  i: number,
  view: DataView,
  at: number,
  rceid: number,
  operation: number,
  isLogged: boolean,
): void {
  session.setWord(i, RCEID, rceid);
  session.setWord(i, OPERATION, operation);
  session.setWord(i, PGNO_FDP, view.getInt32(at + AT_PGNO_FDP, true));
  session.setWord(i, OBJID, view.getInt32(at + AT_OBJID, true));
  const flags = view.getUint8(at + AT_PAGE_FLAGS);
  const level = view.getUint8(at + AT_LEVEL);
  session.setWord(i, ORIGIN, view.getUint8(at + AT_DBID) | (flags << 8) | (level << 16));
  session.setWord(i, IS_LOGGED, isLogged ? 1 : 0);
}

/** Whether a change was made after another one of its session. The numbers start over at the end of their range. */
function isNewer(a: number, b: number): boolean {
  return ((a - b) | 0) > 0;
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
