import type { BufferPool } from '../engine/buffer-pool.js';
import type { Frame } from '../engine/frame.js';
import { EseError, type Lgpos } from '../format/ese-error.js';
import type { LogRecord } from '../format/log-record.js';
import type { LogRecordCursor, WindowPlace } from '../format/log-record-cursor.js';
import { LRTYP } from '../format/log-record-type.js';
import { receiveError, type SentError } from '../workers/range-job.js';
import { AT_PGNO } from './record-offsets.js';
import type { AttachedDatabase } from './redo-database.js';
import { RedoSession } from './redo-session.js';
import type { RedoVersions } from './redo-versions.js';
import { ReplayExecutor, waitUntil } from './replay-executor.js';
import {
  ARENA_BYTES,
  CONTROL,
  CONTROL_WORDS,
  DATABASE,
  DATABASE_IN_RANGE,
  DATABASE_READY,
  DATABASE_WORDS,
  ITEM,
  ITEM_DBID_SHIFT,
  KIND,
  SCRATCH_BYTES,
  SESSION_WORDS,
  STASH_BYTES,
  STATE,
  TABLE_ENTRIES,
  tableIndex,
  WALK,
} from './replay-layout.js';
import type { ReplayKernel, ReplayMemory } from './replay-memory.js';
import { ReplayNotes } from './replay-notes.js';
import { ReplayQueues, type ReplayThread } from './replay-queues.js';
import { partsOfSplit } from './replay-split.js';

/**
 * Carries out the changes of pages that redo meets, on one thread or several (format specification, chapter 5.6).
 *
 * The caller goes through the log alone and in order: sessions, versions, databases, and which page lies where. It does
 * so with the walk of the kernel ({@link Replay.walk}), and itself for what that leaves alone. A change of one page, or
 * a split, becomes an item in the queue of one thread; all other changes are carried out by the caller itself once the
 * queues are empty ({@link Replay.drain}). Every page sees its changes in the order of the log, and the result does not
 * depend on who did what when.
 *
 * What redo notes of old states comes from pages, and is fetched from the memory when the queues are empty. When an item
 * fails, in whatever thread, the caller takes the rest of all queues over in the order of the log, and meets the first
 * error of the log.
 */
export class Replay {
  readonly #memory: ReplayMemory;
  readonly #notes: ReplayNotes;
  readonly #queues: ReplayQueues;
  readonly #executor: ReplayExecutor;
  readonly #kernel: ReplayKernel;
  readonly #databaseAt: (dbid: number) => AttachedDatabase | undefined;
  /** Index of the words of the walk. */
  readonly #walk: number;
  readonly #place: WindowPlace = {
    at: 0,
    segment: 0,
    segmentStart: 0,
    segmentEnd: 0,
    windowEnd: 0,
    isec: 0,
    ib: 0,
  };
  #windowBytes: Uint8Array | undefined;
  /** Databases whose changes the walk may queue. */
  readonly #ready: AttachedDatabase[] = [];
  /** By database id: the pool whose pages the table of pages has. */
  readonly #pools: (BufferPool | undefined)[] = [];
  /** Threads that got items so far. */
  threadsUsed = 1;

  constructor(
    memory: ReplayMemory,
    versions: RedoVersions,
    databaseAt: (dbid: number) => AttachedDatabase | undefined,
  ) {
    this.#memory = memory;
    this.#walk = memory.layout.walk >>> 2;
    this.#notes = new ReplayNotes(memory, versions);
    this.#queues = new ReplayQueues(memory);
    this.#databaseAt = databaseAt;
    this.#executor = new ReplayExecutor(memory, 0, (dbid) => {
      const database = databaseAt(dbid);
      if (database === undefined) throw new Error(`database ${dbid} is gone while its log is replayed`);
      return database.redoMap;
    });
    this.#kernel = this.#executor.kernel;
    this.#resetArenas();
  }

  /** Lets other threads take part as soon as they are up. */
  startWorkers(): void {
    this.#queues.startWorkers();
  }

  /** Whether threads that were asked for are not up yet. */
  get isStarting(): boolean {
    return this.#queues.isStarting;
  }

  /** Ends the other threads; nothing may be queued any more. */
  close(): void {
    this.#queues.close();
  }

  /** A session that the walk knows. */
  session(procid: number): RedoSession {
    const { words, layout } = this.#memory;
    return new RedoSession(procid, words, (layout.sessions >>> 2) + procid * SESSION_WORDS);
  }

  /** The reader has read `bytes` of a log of this generation. */
  beginWindow(bytes: Uint8Array, length: number, generation: number): void {
    this.drain();
    const { words, layout } = this.#memory;
    words[CONTROL.generation] = generation;
    this.#memory.bytes.set(bytes.subarray(0, length), layout.window);
    this.#windowBytes = bytes;
  }

  // --- The walk ---

  /**
   * Goes through at most `limit` records that need nobody's attention, from where the cursor stands, and takes the
   * cursor along. What they say about transactions and pages is carried out or queued.
   */
  walk(cursor: LogRecordCursor, limit: number): WalkedRecords {
    const walked = WALKED;
    walked.records = 0;
    const place = this.#place;
    if (this.#ready.length === 0 || !cursor.getPlace(place)) return walked;
    for (const { redoMap } of this.#ready) if (redoMap.size > 0) return walked;
    const { words, layout } = this.#memory;
    const walk = this.#walk;
    const { window } = layout;
    if (words[walk + WALK.isTableStale] !== 0) this.#clearTable();
    words[walk + WALK.at] = window + place.at;
    words[walk + WALK.segment] = place.segment;
    words[walk + WALK.segmentStart] = window + place.segmentStart;
    words[walk + WALK.segmentEnd] = window + place.segmentEnd;
    words[walk + WALK.windowEnd] = window + place.windowEnd;
    words[walk + WALK.isec] = place.isec;
    words[walk + WALK.ib] = place.ib;
    words[walk + WALK.limit] = limit;
    words[walk + WALK.committed] = 0;
    this.#kernel.walk();
    walked.records = words[walk + WALK.records] ?? 0;
    while (words[walk + WALK.neededPgno] !== 0 && this.#placeNeeded()) {
      words[walk + WALK.limit] = limit - walked.records;
      this.#kernel.walk();
      walked.records += words[walk + WALK.records] ?? 0;
    }
    if (walked.records > 0) {
      place.at = (words[walk + WALK.at] ?? 0) - window;
      place.segment = words[walk + WALK.segment] ?? 0;
      place.segmentStart = (words[walk + WALK.segmentStart] ?? 0) - window;
      place.segmentEnd = (words[walk + WALK.segmentEnd] ?? 0) - window;
      place.isec = words[walk + WALK.isec] ?? 0;
      place.ib = words[walk + WALK.ib] ?? 0;
      cursor.setPlace(place);
      walked.committed = words[walk + WALK.committed] ?? 0;
      walked.lastType = words[walk + WALK.lastType] ?? 0;
      walked.lastIsec = words[walk + WALK.lastIsec] ?? 0;
      walked.lastIb = words[walk + WALK.lastIb] ?? 0;
    }
    if (words[walk + WALK.isStuck] !== 0) {
      words[walk + WALK.isStuck] = 0;
      this.#runOwn();
    }
    return walked;
  }

  /** Gives a place to the new page of a split at which the walk stands; false if that is for others to do. */
  #placeNeeded(): boolean {
    const { words } = this.#memory;
    const pgno = (words[this.#walk + WALK.neededPgno] ?? 0) >>> 0;
    const dbid = words[this.#walk + WALK.neededDbid] ?? 0;
    words[this.#walk + WALK.neededPgno] = 0;
    try {
      const frame = this.#pools[dbid]?.frameToBuild(pgno);
      if (frame === undefined || frame.slot < 0) return false;
      this.#tellPage(pgno, frame.slot, dbid);
      return true;
    } catch {
      // Who carries the split out finds the error again.
      return false;
    }
  }

  /** Lets the walk queue changes of a database, of which there is one to be queued. */
  #letWalk(database: AttachedDatabase): void {
    const { words } = this.#memory;
    const at = this.#databaseWords(database);
    if (((words[at + DATABASE.flags] ?? 0) & DATABASE_READY) !== 0) return;
    const isInRange = (words[CONTROL.generation] ?? 0) <= database.genMaxRequired;
    words[at + DATABASE.flags] = DATABASE_READY | (isInRange ? DATABASE_IN_RANGE : 0);
    words[at + DATABASE.objid] = 0;
    words[at + DATABASE.dbtime] = 0;
    words[at + DATABASE.dbtime + 1] = 0;
    this.#ready.push(database);
    const { dbid, pool } = database;
    if (this.#pools[dbid] === pool) return;
    this.#pools[dbid] = pool;
    words[this.#walk + WALK.isTableStale] = 1;
  }

  #databaseWords({ dbid }: AttachedDatabase): number {
    return (this.#memory.layout.databases >>> 2) + dbid * DATABASE_WORDS;
  }

  /** Tells the databases what the walk has seen of them, and keeps it from going on with them unasked. */
  #takeBack(): void {
    const { words } = this.#memory;
    for (const database of this.#ready) {
      const at = this.#databaseWords(database);
      words[at + DATABASE.flags] = 0;
      const objid = (words[at + DATABASE.objid] ?? 0) >>> 0;
      const dbtime =
        (words[at + DATABASE.dbtime + 1] ?? 0) * 2 ** 32 + ((words[at + DATABASE.dbtime] ?? 0) >>> 0);
      database.objidLast = Math.max(database.objidLast, objid);
      database.dbtimeCurrent = Math.max(database.dbtimeCurrent, dbtime);
    }
    this.#ready.length = 0;
  }

  #clearTable(): void {
    const { words, layout } = this.#memory;
    words.fill(0, layout.table >>> 2, (layout.table >>> 2) + 2 * TABLE_ENTRIES);
    words[this.#walk + WALK.isTableStale] = 0;
  }

  /** Says where a page lies, unless pages have just been given up. */
  #tellPage(pgno: number, slot: number, dbid: number): void {
    const { words, layout } = this.#memory;
    const at = (layout.table >>> 2) + tableIndex(pgno, dbid);
    words[at] = pgno;
    words[at + 1] = (dbid << 24) | (slot + 1);
  }

  // --- What the walk leaves alone ---

  /** Makes versions of what was noted so far, for who looks at them or changes them. */
  flushNotes(): void {
    this.#notes.flush();
  }

  /**
   * Queues the change of one page, and notes how to undo it. Returns false for a record that is not for a queue: the
   * caller empties the queues and carries it out.
   */
  change(cursor: LogRecordCursor, database: AttachedDatabase): boolean {
    const { lrtyp, view, offset } = cursor;
    const { pool, redoMap, dbid } = database;
    if (QUEUED_TYPES[lrtyp] !== 1 || pool === undefined || redoMap.size > 0) return false;
    const pgno = view.getUint32(offset + AT_PGNO, true);
    let frame: Frame;
    try {
      frame = pool.frameOf(pgno);
    } catch {
      // Who carries it out finds the error again, in its turn.
      return false;
    }
    const { slot } = frame;
    if (slot < 0 || !this.#hasRoom()) return false;
    const address = this.#addressOf(cursor);
    if (address === 0) return false;
    this.#letWalk(database);
    this.#tellPage(pgno, slot, dbid);
    const version = this.#notes.add(address);
    const queues = this.#queues;
    const thread = queues.ownerOf(slot, dbid);
    const position = (cursor.isec << 16) | cursor.ib;
    queues.put(thread, KIND.node, address, slot, position, version, database, cursor.size);
    queues.own(slot, thread);
    this.#advance(thread);
    return true;
  }

  /** The same for a macro, which is for a queue if it is a split of the usual kind. */
  split(records: readonly LogRecord[], database: AttachedDatabase, lgpos: Lgpos): boolean {
    const { pool, redoMap, dbid } = database;
    if (pool === undefined || redoMap.size > 0 || !this.#hasRoom()) return false;
    const parts = partsOfSplit(records);
    if (parts === undefined) return false;
    const { splits, operation } = parts;
    const size = records.reduce((sum, record) => sum + record.size + 12, (9 * splits.length + 2) * 4);
    if (this.#stashed + size > STASH_BYTES) return false;
    const list = PAGE_LIST;
    list.length = 0;
    try {
      for (const { pgno, pgnoRight, pgnoNew } of splits.toReversed()) {
        addPage(list, pgno, pool.frameOf(pgno));
        if (pgnoNew === 0) continue;
        if (pgnoRight !== 0) addPage(list, pgnoRight, pool.frameOf(pgnoRight));
        addPage(list, pgnoNew, pool.frameToBuild(pgnoNew));
      }
    } catch {
      return false;
    }
    if ((list[1] ?? -1) < 0) return false;
    this.#letWalk(database);
    for (let i = 1; i < list.length; i += 3) this.#tellPage(list[i - 1] ?? 0, list[i] ?? 0, dbid);
    const address = this.#stashMacro(list, records);
    const version = operation < 0 ? 0 : this.#notes.add(this.#recordOfMacro(address, list, operation));
    const queues = this.#queues;
    const thread = queues.ownerOf(list[1] ?? 0, dbid);
    for (let i = 1; i < list.length; i += 3) queues.waitForPage(list[i] ?? 0, thread);
    const position = (lgpos.isec << 16) | lgpos.ib;
    queues.put(thread, KIND.macro, address, 0, position, version, database, records.length);
    for (let i = 1; i < list.length; i += 3) queues.own(list[i] ?? 0, thread);
    this.#advance(thread);
    return true;
  }

  /** Waits until all items are done. Throws the first error of the log among them. */
  drain(): void {
    if (this.#queues.items > 0 || !this.#notes.isEmpty) this.#finishItems();
    this.#stashed = 0;
    this.#takeBack();
  }

  #finishItems(): void {
    const { words } = this.#memory;
    const queues = this.#queues;
    const { threads, caller } = queues;
    for (const thread of threads) queues.publish(thread, true);
    let isDone = this.#executor.failure === undefined && this.#executor.run(queues.written(caller), true);
    if (!isDone) Atomics.store(words, CONTROL.state, STATE.stopped);
    this.threadsUsed = Math.max(
      this.threadsUsed,
      1 + threads.filter((thread) => thread !== caller && queues.written(thread) !== 0).length,
    );
    let late = 0;
    for (const thread of threads.slice(1)) {
      const done = thread.control + CONTROL.done;
      const written = queues.written(thread);
      late += (written - Atomics.load(words, done)) | 0;
      isDone = waitUntil(words, done, () => Atomics.load(words, done) === written) && isDone;
    }
    if (!isDone) this.#takeOver();
    this.#notes.settle();
    this.#resetArenas();
    queues.beginRound(late);
  }

  /** Carries out what the threads have left, in the order of the log. From then on the caller is alone. */
  #takeOver(): void {
    const { words, bytes, layout } = this.#memory;
    const generation = words[CONTROL.generation] ?? 0;
    const executor = this.#executor;
    const queues = this.#queues;
    const { caller } = queues;
    const left: { order: number; at: number; error?: unknown }[] = [];
    const ownNext = queues.itemAt(caller, executor.next);
    for (const thread of queues.threads) {
      const { control, number } = thread;
      const written = queues.written(thread);
      for (let i = Atomics.load(words, control + CONTROL.done); i !== written; i = (i + 1) | 0) {
        const at = queues.itemAt(thread, i);
        if (words[at + ITEM.kind] !== KIND.wait) left.push({ order: words[at + ITEM.order] ?? 0, at });
      }
      const errorBytes = words[control + CONTROL.errorBytes] ?? 0;
      if (number > 0 && errorBytes > 0) {
        const from = layout.scratch + number * SCRATCH_BYTES;
        const sent = JSON.parse(Buffer.from(bytes.slice(from, from + errorBytes)).toString()) as SentError;
        const failed = left.find(({ order }) => order === words[control + CONTROL.failed]);
        if (failed !== undefined) failed.error = receiveError(sent);
      }
      Atomics.store(words, control + CONTROL.done, written);
    }
    const { failure } = executor;
    const own = left.find(({ at }) => at === ownNext);
    if (failure !== undefined && own !== undefined) own.error = failure;
    queues.close();
    Atomics.store(words, CONTROL.state, STATE.ready);
    left.sort((a, b) => (a.order - b.order) | 0);
    for (const { at, error } of left) {
      const dbid = ((words[at + ITEM.flags] ?? 0) >>> ITEM_DBID_SHIFT) & 0xff;
      try {
        if (error !== undefined) throw error;
        executor.carryOut(at, generation);
      } catch (thrown) {
        // Nobody is to try the rest.
        words[this.#walk + WALK.items] = 0;
        words[this.#walk + WALK.noted] = 0;
        words[this.#walk + WALK.versions] = 0;
        const file = this.#databaseAt(dbid)?.path;
        throw thrown instanceof EseError && file !== undefined ? thrown.at({ file }) : thrown;
      }
    }
  }

  #resetArenas(): void {
    const { words, layout, parts } = this.#memory;
    for (let thread = 0; thread < parts.threads; thread++) {
      words[thread * CONTROL_WORDS + CONTROL.arena] = layout.arenas + thread * ARENA_BYTES;
    }
  }

  /** Whether one more item fits. */
  #hasRoom(): boolean {
    return this.#queues.hasRoom && this.#notes.makeRoom();
  }

  get #stashed(): number {
    return this.#memory.words[this.#walk + WALK.stashed] ?? 0;
  }
  set #stashed(bytes: number) {
    this.#memory.words[this.#walk + WALK.stashed] = bytes;
  }

  /** Where the record of a cursor lies in the memory; 0 if there is no room for it. */
  #addressOf(cursor: LogRecordCursor): number {
    if (cursor.bytes === this.#windowBytes) return this.#memory.layout.window + cursor.offset;
    return this.#stash(cursor.bytes, cursor.offset, cursor.size);
  }

  #stash(bytes: Uint8Array, offset: number, size: number): number {
    if (this.#stashed + size > STASH_BYTES) return 0;
    const address = this.#memory.layout.stash + this.#stashed;
    this.#memory.bytes.set(bytes.subarray(offset, offset + size), address);
    this.#stashed += (size + 3) & ~3;
    return address;
  }

  /** Puts a macro into the stash: the number of its pages, the pages, then address and size of each record. */
  #stashMacro(pages: readonly number[], records: readonly LogRecord[]): number {
    const { words, layout } = this.#memory;
    const address = layout.stash + this.#stashed;
    let word = address >>> 2;
    this.#stashed += (1 + pages.length + 2 * records.length) * 4;
    words[word++] = pages.length / 3;
    for (const number of pages) words[word++] = number;
    for (const { bytes, offset, size } of records) {
      words[word++] = this.#stash(bytes, offset, size);
      words[word++] = size;
    }
    return address;
  }

  /** Address of a record of a macro in the stash. */
  #recordOfMacro(address: number, pages: readonly number[], i: number): number {
    return this.#memory.words[(address >>> 2) + 1 + pages.length + 2 * i] ?? 0;
  }

  /** Lets a thread have its items now and then; the caller does its own in between. */
  #advance(thread: ReplayThread): void {
    const queues = this.#queues;
    if (!queues.isDue(thread)) return;
    queues.publish(thread, false);
    if (thread === queues.caller) this.#runOwn();
  }

  /** Carries out items of the caller, as far as they wait for nobody. Throws the first error of the log if one fails. */
  #runOwn(): void {
    const { caller } = this.#queues;
    const executor = this.#executor;
    if (executor.failure === undefined)
      executor.run(this.#memory.words[caller.control + CONTROL.queued] ?? 0, false);
    if (executor.failure !== undefined) this.drain();
  }
}

/** Records that a walk went through, and the last one of them. Filled anew by each walk. */
export interface WalkedRecords {
  records: number;
  committed: number;
  lastType: number;
  lastIsec: number;
  lastIb: number;
}

const WALKED: WalkedRecords = { records: 0, committed: 0, lastType: 0, lastIsec: 0, lastIb: 0 };

/** Types of records that change one page and need nothing else. */
const QUEUED_TYPES = new Uint8Array(256);
for (const lrtyp of [
  LRTYP.Insert,
  LRTYP.FlagInsert,
  LRTYP.FlagInsertAndReplaceData,
  LRTYP.FlagDelete,
  LRTYP.Replace,
  LRTYP.ReplaceD,
  LRTYP.Delete,
]) {
  QUEUED_TYPES[lrtyp] = 1;
}

/** Pages of a macro: pgno, slot, and whether it is fresh. */
const PAGE_LIST: number[] = [];

function addPage(list: number[], pgno: number, frame: Frame): void {
  list.push(pgno, frame.slot, frame.isFresh ? 1 : 0);
}
