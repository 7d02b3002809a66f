import { EseError } from '../format/ese-error.js';
import { UNDO_OPERATION } from '../format/log-record-layout.js';
import type { NodeChange, Version, VersionLog } from '../operations/redo-context.js';

/**
 * Versions of recovery: how to undo what the transactions in progress had done (format specification, chapters 5.1.6
 * and 5.3.7). A session has one list, in the order of its changes. Levels never fall along the list, since
 * an inner commit lowers those at its end.
 */
export interface RedoVersion extends Version {
  readonly dbid: number;
  readonly pgnoFDP: number;
  readonly objidFDP: number;
  /** Flags of the record that made the change. */
  readonly pageFlags: number;
  readonly trxBegin0: number;
  /** Page that had the change when it was made; the node may have moved since. */
  readonly pgno: number;
  /** Transaction level that the change belongs to now. */
  level: number;
  /** Whether the log holds what it takes to undo the change. */
  isUndoInfoLogged: boolean;
}

interface SessionVersions {
  readonly entries: RedoVersion[];
  /** Changes of which the old state is still to come, with the level of each. */
  readonly deferred: Set<number>;
}

/** Most versions of one session: one that never ends must not take all memory. */
const ENTRIES_MAX = 50_000_000;

/** The versions of all sessions. */
export class RedoVersions implements VersionLog {
  readonly #sessions = new Map<number, SessionVersions>();
  /** Uncommitted changes by tree whose old state is in memory only: pages of the tree must wait. */
  readonly #unloggedByTree = new Map<number, number>();

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

  addLogged(change: NodeChange, version: Version): void {
    const session = this.#session(change.procid);
    session.deferred.delete(version.rceid);
    const known = this.#find(session, version.rceid);
    if (known === undefined) this.#push(change, version, true);
    else this.#setLogged(known);
  }

  #push(change: NodeChange, version: Version, isUndoInfoLogged: boolean): void {
    const { entries } = this.#session(change.procid);
    if (entries.length >= ENTRIES_MAX) throw new EseError('JET_errVersionStoreOutOfMemory');
    const { dbid, pgnoFDP, objidFDP, pageFlags, trxBegin0, pgno, level } = change;
    const entry: RedoVersion = {
      rceid: version.rceid,
      operation: version.operation,
      key: version.key.slice(),
      bookmarkData: version.bookmarkData.slice(),
      before: version.before.slice(),
      dbid,
      pgnoFDP,
      objidFDP,
      pageFlags,
      trxBegin0,
      pgno,
      level,
      isUndoInfoLogged,
    };
    entries.push(entry);
    if (!isUndoInfoLogged) this.#count(entry, 1);
  }

  defer(change: NodeChange, rceid: number): void {
    this.#session(change.procid).deferred.add(rceid);
  }

  find(procid: number, rceid: number): RedoVersion | undefined {
    const session = this.#sessions.get(procid);
    return session === undefined ? undefined : this.#find(session, rceid);
  }

  /** Undo goes from the newest change back, so the search from the end is short. */
  #find(session: SessionVersions, rceid: number): RedoVersion | undefined {
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
      if (i === entries.length - 1) entries.pop();
      else entries.splice(i, 1);
      return;
    }
  }

  isActive(dbid: number, objid: number, key: Uint8Array, data: Uint8Array): boolean {
    for (const { entries } of this.#sessions.values()) {
      for (const entry of entries) {
        if (entry.dbid !== dbid || entry.objidFDP !== objid || !bytesEqual(entry.key, key)) continue;
        if (entry.bookmarkData.length === 0 || bytesEqual(entry.bookmarkData, data)) return true;
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
    }
    if (level === 0) session.deferred.clear();
  }

  /** The transaction of the session ended: nothing of it can be undone any more. */
  finish(procid: number): void {
    const session = this.#sessions.get(procid);
    if (session === undefined) return;
    for (const entry of session.entries) this.#setLogged(entry);
    this.#sessions.delete(procid);
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

  /** The log holds what it takes to undo the change. */
  setUndoInfoLogged(entry: RedoVersion): void {
    this.#setLogged(entry);
  }

  #setLogged(entry: RedoVersion): void {
    if (entry.isUndoInfoLogged) return;
    entry.isUndoInfoLogged = true;
    this.#count(entry, -1);
  }

  #count({ dbid, objidFDP }: RedoVersion, by: number): void {
    const key = treeKey(dbid, objidFDP);
    const count = (this.#unloggedByTree.get(key) ?? 0) + by;
    if (count === 0) this.#unloggedByTree.delete(key);
    else this.#unloggedByTree.set(key, count);
  }
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
