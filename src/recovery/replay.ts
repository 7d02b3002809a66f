import type { Frame } from '../engine/buffer-pool.js';
import { EseError, type Lgpos } from '../format/ese-error.js';
import type { LogRecord, LogRecordOf } from '../format/log-record.js';
import type { LogRecordCursor } from '../format/log-record-cursor.js';
import { LOG_PAGE_FLAG, SPLIT_OPERATION, UNDO_OPERATION } from '../format/log-record-layout.js';
import { logRecordFixedSize } from '../format/log-record-size.js';
import { LRTYP } from '../format/log-record-type.js';
import { runBeside } from '../workers/pool.js';
import { receiveError, type SentError } from '../workers/range-job.js';
import type { AttachedDatabase } from './redo-database.js';
import type { RedoVersions } from './redo-versions.js';
import { isBehind, ReplayExecutor, waitUntil } from './replay-executor.js';
import {
  ARENA_BYTES,
  CONTROL,
  CONTROL_WORDS,
  ITEM,
  ITEM_BYTES,
  ITEM_DBID_SHIFT,
  ITEM_IN_RANGE,
  KIND,
  QUEUE_ITEMS,
  type ReplayMemory,
  SCRATCH_BYTES,
  STASH_BYTES,
  STATE,
  THREADS_MAX,
  VERSION,
  VERSION_BYTES,
  VERSION_STATE,
  VERSIONS_MAX,
} from './replay-memory.js';
import type { ReplayTaskInput } from './replay-task.js';

/**
 * Carries out the changes of pages that redo meets, on one thread or several (format specification, chapter 5.6).
 *
 * The caller goes through the log alone and in order: sessions, versions, databases, and which page lies where. A change
 * of one page, or a split, becomes an item in the queue of one thread; all other changes are carried out by the caller
 * itself once the queues are empty ({@link Replay.drain}). A page stays with the thread that changed it last; an item
 * whose page another thread has changed before waits for that thread. So every page sees its changes in the order of the
 * log, and the result does not depend on who did what when.
 *
 * What redo notes of old states comes from pages, and is fetched from the memory when the queues are empty. When an item
 * fails, in whatever thread, the caller takes the rest of all queues over in the order of the log, and meets the first
 * error of the log.
 */
export class Replay {
  readonly #memory: ReplayMemory;
  readonly #versions: RedoVersions;
  readonly #executor: ReplayExecutor;
  readonly #databaseAt: (dbid: number) => AttachedDatabase | undefined;
  /** Threads that may get items: the caller, and workers that are up. */
  readonly #caller = newThread(0);
  readonly #threads: Thread[] = [this.#caller];
  readonly #starting: Thread[] = [];
  /** Parts of 64 of the pages that are the caller's. */
  #ownShare = PARTS;
  /** Number of the next item, of all queues. */
  #order = 0;
  /** Items since the queues were empty. */
  #items = 0;
  #versionCount = 0;
  #stashed = 0;
  #windowBytes: Uint8Array | undefined;
  /** For each slot: the thread that has the page, its last item there, and since which {@link #round} that is so. */
  #owners = new Int32Array(1024 * OWNER_WORDS);
  /** Counts the times that the queues were empty. */
  #round = 1;
  /** Threads that got items so far. */
  threadsUsed = 1;

  constructor(
    memory: ReplayMemory,
    versions: RedoVersions,
    databaseAt: (dbid: number) => AttachedDatabase | undefined,
  ) {
    this.#memory = memory;
    this.#versions = versions;
    this.#databaseAt = databaseAt;
    this.#executor = new ReplayExecutor(memory, 0, (dbid) => {
      const database = databaseAt(dbid);
      if (database === undefined) throw new Error(`database ${dbid} is gone while its log is replayed`);
      return database.redoMap;
    });
    this.#resetArenas();
  }

  /** Lets other threads take part as soon as they are up. */
  startWorkers(): void {
    const { parts } = this.#memory;
    for (let number = 1; number < parts.threads; number++) {
      this.#starting.push(newThread(number));
      const input: ReplayTaskInput = { parts, thread: number };
      runBeside('../recovery/replay-task.js', input, parts.threads - 1).catch(() => {
        // A thread that does not come up takes no part.
      });
    }
  }

  /** Whether threads that were asked for are not up yet. */
  get isStarting(): boolean {
    this.#admit();
    return this.#starting.length > 0;
  }

  /** Ends the other threads; nothing may be queued any more. */
  close(): void {
    const { words } = this.#memory;
    for (const { control } of [...this.#threads.slice(1), ...this.#starting]) {
      Atomics.store(words, control + CONTROL.state, STATE.ending);
      Atomics.notify(words, control + CONTROL.queued);
    }
    this.#threads.length = 1;
    this.#starting.length = 0;
  }

  /** The reader has read `bytes` of a log of this generation. */
  beginWindow(bytes: Uint8Array, length: number, generation: number): void {
    this.drain();
    const { words, layout } = this.#memory;
    words[CONTROL.generation] = generation;
    this.#memory.bytes.set(bytes.subarray(0, length), layout.window);
    this.#windowBytes = bytes;
  }

  /**
   * Queues the change of one page, and notes how to undo it. Returns false for a record that is not for a queue: the
   * caller empties the queues and carries it out.
   */
  change(cursor: LogRecordCursor, database: AttachedDatabase): boolean {
    const { lrtyp, view, offset } = cursor;
    const { pool, redoMap } = database;
    if (QUEUED_TYPES[lrtyp] !== 1 || pool === undefined || redoMap.size > 0) return false;
    let frame: Frame;
    try {
      frame = pool.frameOf(view.getUint32(offset + RECORD_PGNO, true));
    } catch {
      // Who carries it out finds the error again, in its turn.
      return false;
    }
    const { slot } = frame;
    if (slot < 0 || !this.#hasRoom()) return false;
    const address = this.#addressOf(cursor);
    if (address === 0) return false;
    const version = this.#note(cursor);
    const thread = this.#ownerOf(slot, database.dbid);
    this.#put(thread, KIND.node, address, slot, cursor.isec, cursor.ib, version, database, cursor.size);
    this.#own(slot, thread);
    this.#advance(thread);
    return true;
  }

  /** The same for a macro, which is for a queue if it is a split of the usual kind. */
  split(records: readonly LogRecord[], database: AttachedDatabase, lgpos: Lgpos): boolean {
    const { pool, redoMap } = database;
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
    const address = this.#stashMacro(list, records);
    const version = operation === undefined ? 0 : this.#note(operation);
    const thread = this.#ownerOf(list[1] ?? 0, database.dbid);
    for (let i = 1; i < list.length; i += 3) this.#waitForPage(list[i] ?? 0, thread);
    this.#put(thread, KIND.macro, address, 0, lgpos.isec, lgpos.ib, version, database, records.length);
    for (let i = 1; i < list.length; i += 3) this.#own(list[i] ?? 0, thread);
    this.#advance(thread);
    return true;
  }

  /** Waits until all items are done. Throws the first error of the log among them. */
  drain(): void {
    if (this.#items > 0) this.#finishItems();
  }

  #finishItems(): void {
    const { words } = this.#memory;
    for (const thread of this.#threads) this.#publish(thread, true);
    let isDone = this.#executor.failure === undefined && this.#executor.run(this.#caller.queued, true);
    if (!isDone) Atomics.store(words, CONTROL.state, STATE.stopped);
    this.threadsUsed = Math.max(
      this.threadsUsed,
      this.#threads.filter(({ published }) => published !== 0).length,
    );
    let late = 0;
    for (const { control, queued } of this.#threads.slice(1)) {
      const done = control + CONTROL.done;
      late += (queued - Atomics.load(words, done)) | 0;
      isDone = waitUntil(words, done, () => Atomics.load(words, done) === queued) && isDone;
    }
    if (!isDone) this.#takeOver();
    this.#versions.settle(this.#pending);
    this.#balance(late);
    this.#resetArenas();
    this.#versionCount = 0;
    this.#stashed = 0;
    this.#items = 0;
    this.#round++;
    this.#admit();
  }

  /** Carries out what the threads have left, in the order of the log. From then on the caller is alone. */
  #takeOver(): void {
    const { words, bytes, layout } = this.#memory;
    const generation = words[CONTROL.generation] ?? 0;
    const left: { order: number; at: number; error?: unknown }[] = [];
    for (const thread of this.#threads) {
      const { control, queued, number } = thread;
      const executor = this.#executor;
      for (let i = Atomics.load(words, control + CONTROL.done); i !== queued; i = (i + 1) | 0) {
        const at = number === 0 ? executor.itemAt(i) : itemAt(this.#memory, number, i);
        if (words[at + ITEM.kind] !== KIND.wait) left.push({ order: words[at + ITEM.order] ?? 0, at });
      }
      const errorBytes = words[control + CONTROL.errorBytes] ?? 0;
      if (number > 0 && errorBytes > 0) {
        const from = layout.scratch + number * SCRATCH_BYTES;
        const sent = JSON.parse(Buffer.from(bytes.slice(from, from + errorBytes)).toString()) as SentError;
        const failed = left.find(({ order }) => order === words[control + CONTROL.failed]);
        if (failed !== undefined) failed.error = receiveError(sent);
      }
      Atomics.store(words, control + CONTROL.done, queued);
    }
    const { failure, next } = this.#executor;
    const own = left.find(({ at }) => at === this.#executor.itemAt(next));
    if (failure !== undefined && own !== undefined) own.error = failure;
    this.#executor.next = this.#caller.queued;
    this.close();
    Atomics.store(words, CONTROL.state, STATE.ready);
    left.sort((a, b) => (a.order - b.order) | 0);
    for (const { at, error } of left) {
      const dbid = ((words[at + ITEM.flags] ?? 0) >>> ITEM_DBID_SHIFT) & 0xff;
      try {
        if (error !== undefined) throw error;
        this.#executor.carryOut(at, generation);
      } catch (thrown) {
        this.#items = 0;
        const file = this.#databaseAt(dbid)?.path;
        throw thrown instanceof EseError && file !== undefined ? thrown.at({ file }) : thrown;
      }
    }
  }

  /** Gives the caller more or less of the next pages, depending on who had to wait for whom. */
  #balance(late: number): void {
    if (this.#threads.length === 1 || this.#items < BALANCED_ITEMS) return;
    const step = late > this.#items / PARTS ? 1 : -1;
    this.#ownShare = Math.min(PARTS, Math.max(1, this.#ownShare + step));
  }

  /** Lets workers that have come up take part. */
  #admit(): void {
    const { words } = this.#memory;
    for (let i = this.#starting.length - 1; i >= 0; i--) {
      const thread = this.#starting[i];
      if (thread === undefined || Atomics.load(words, thread.control + CONTROL.state) !== STATE.ready)
        continue;
      this.#starting.splice(i, 1);
      this.#threads.push(thread);
      this.#ownShare = Math.floor(PARTS / (this.#threads.length + 0.5));
    }
  }

  #resetArenas(): void {
    const { words, layout, parts } = this.#memory;
    for (let thread = 0; thread < parts.threads; thread++) {
      words[thread * CONTROL_WORDS + CONTROL.arena] = layout.arenas + thread * ARENA_BYTES;
    }
  }

  /** Whether one more item fits: an old state of a node has at most the bytes of a page. */
  #hasRoom(): boolean {
    return this.#items < ITEMS_MAX && (this.#versionCount + 1) * this.#memory.pageSize <= ARENA_BYTES;
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

  /** Notes how to undo the change of a record; returns the address of the version that the item is to give, or 0. */
  #note({ lrtyp, bytes, view, offset: at }: ChangeBytes): number {
    const flags = view.getUint8(at + RECORD_PAGE_FLAGS);
    if ((flags & LOG_PAGE_FLAG.versioned) === 0) return 0;
    const procid = view.getUint16(at + RECORD_PROCID, true);
    const rceid = view.getUint32(at + RECORD_RCEID, true);
    const isUnique = (flags & LOG_PAGE_FLAG.unique) !== 0;
    switch (lrtyp) {
      case LRTYP.Insert: {
        const keyBytes =
          view.getUint16(at + INSERT_SUFFIX_BYTES, true) + view.getUint16(at + INSERT_PREFIX_BYTES, true);
        const dataBytes = isUnique ? 0 : view.getUint16(at + INSERT_DATA_BYTES, true);
        this.#versions.addLoggedInsert(procid, rceid, bytes, view, at, at + INSERT_KEY, keyBytes, dataBytes);
        return 0;
      }
      case LRTYP.FlagInsert:
      case LRTYP.FlagInsertAndReplaceData: {
        const keyAt = at + logRecordFixedSize(lrtyp);
        const keyBytes = view.getUint16(at + REVIVED_KEY_BYTES, true);
        const dataBytes = isUnique ? 0 : view.getUint16(at + REVIVED_DATA_BYTES, true);
        this.#versions.addLoggedInsert(procid, rceid, bytes, view, at, keyAt, keyBytes, dataBytes);
        if (lrtyp === LRTYP.FlagInsert) return 0;
        const rceidReplace = view.getUint32(at + REVIVED_RCEID_REPLACE, true);
        return rceidReplace === 0
          ? 0
          : this.#pendingVersion(procid, rceidReplace, UNDO_OPERATION.replace, view, at);
      }
      case LRTYP.Replace:
      case LRTYP.ReplaceD:
        return rceid === 0 ? 0 : this.#pendingVersion(procid, rceid, UNDO_OPERATION.replace, view, at);
      case LRTYP.FlagDelete:
        return this.#pendingVersion(procid, rceid, UNDO_OPERATION.flagDelete, view, at);
      default:
        return 0;
    }
  }

  #pendingVersion(procid: number, rceid: number, operation: number, view: DataView, at: number): number {
    const address = this.#memory.layout.versions + this.#versionCount * VERSION_BYTES;
    this.#versionCount++;
    this.#memory.words[(address >>> 2) + VERSION.state] = VERSION_STATE.pending;
    this.#versions.addPending(procid, rceid, operation, view, at, address);
    return address;
  }

  /** What the items have put into the memory of versions. */
  readonly #pending = {
    isKnown: (slot: number): boolean =>
      this.#memory.words[(slot >>> 2) + VERSION.state] === VERSION_STATE.known,
    read: (slot: number) => {
      const { words, bytes } = this.#memory;
      const word = slot >>> 2;
      const at = words[word + VERSION.address] ?? 0;
      const keyEnd = at + (words[word + VERSION.keyBytes] ?? 0);
      const dataEnd = keyEnd + (words[word + VERSION.dataBytes] ?? 0);
      return {
        key: bytes.subarray(at, keyEnd),
        bookmarkData: bytes.subarray(keyEnd, dataEnd),
        before: bytes.subarray(dataEnd, dataEnd + (words[word + VERSION.beforeBytes] ?? 0)),
      };
    },
  };

  // --- Who does what ---

  /** The thread that has a page, or is to get it. */
  #ownerOf(slot: number, dbid: number): Thread {
    const own = this.#caller;
    if (this.#threads.length === 1) return own;
    const at = slot * OWNER_WORDS;
    if (this.#owners[at + OWNER_ROUND] === this.#round) {
      return this.#threads[this.#owners[at + OWNER_THREAD] ?? 0] ?? own;
    }
    const hash = Math.imul(slot + (dbid << 20), 0x9e3779b1) >>> 16;
    if (hash % PARTS < this.#ownShare) return own;
    return this.#threads[1 + ((hash >>> 6) % (this.#threads.length - 1))] ?? own;
  }

  /** The last item queued for a thread is the last change of this page. */
  #own(slot: number, thread: Thread): void {
    if (this.#threads.length === 1) return;
    const at = slot * OWNER_WORDS;
    if (at >= this.#owners.length) {
      const grown = new Int32Array(Math.max(2 * this.#owners.length, at + OWNER_WORDS));
      grown.set(this.#owners);
      this.#owners = grown;
    }
    this.#owners[at + OWNER_ROUND] = this.#round;
    this.#owners[at + OWNER_THREAD] = this.#threads.indexOf(thread);
    this.#owners[at + OWNER_ITEM] = (thread.queued - 1) | 0;
  }

  /** Lets a thread wait for the last change of a page, if another one has it. */
  #waitForPage(slot: number, thread: Thread): void {
    if (this.#threads.length === 1) return;
    const at = slot * OWNER_WORDS;
    if (this.#owners[at + OWNER_ROUND] !== this.#round) return;
    const other = this.#threads[this.#owners[at + OWNER_THREAD] ?? 0];
    if (other === undefined || other === thread) return;
    const item = this.#owners[at + OWNER_ITEM] ?? 0;
    const known = thread.waited[other.number];
    if (known !== undefined && !isBehind(item, known)) return;
    thread.waited[other.number] = item;
    const done = (other.control + CONTROL.done) * 4;
    this.#write(thread, KIND.wait, done, item, 0, 0, 0, 0);
  }

  #put(
    thread: Thread,
    kind: number,
    address: number,
    slot: number,
    isec: number,
    ib: number,
    version: number,
    database: AttachedDatabase,
    size: number,
  ): void {
    const isInRange = (this.#memory.words[CONTROL.generation] ?? 0) <= database.genMaxRequired;
    const flags = (database.dbid << ITEM_DBID_SHIFT) | (isInRange ? ITEM_IN_RANGE : 0);
    this.#write(thread, kind, address, slot, (isec << 16) | ib, version, flags, size);
  }

  #write(
    thread: Thread,
    kind: number,
    address: number,
    slot: number,
    position: number,
    version: number,
    flags: number,
    size: number,
  ): void {
    const { words } = this.#memory;
    const at =
      thread.number === 0
        ? this.#executor.itemAt(thread.queued)
        : itemAt(this.#memory, thread.number, thread.queued);
    words[at + ITEM.kind] = kind;
    words[at + ITEM.address] = address;
    words[at + ITEM.slot] = slot;
    words[at + ITEM.position] = position;
    words[at + ITEM.version] = version;
    words[at + ITEM.flags] = flags;
    words[at + ITEM.order] = this.#order;
    words[at + ITEM.size] = size;
    this.#items++;
    this.#order = (this.#order + 1) | 0;
    thread.queued = (thread.queued + 1) | 0;
  }

  /** Lets a thread have its items now and then; the caller does its own in between. */
  #advance(thread: Thread): void {
    if (((thread.queued - thread.published) | 0) < PUBLISHED_ITEMS) return;
    this.#publish(thread, false);
    if (thread.number === 0 && this.#executor.failure === undefined) this.#executor.run(thread.queued, false);
  }

  /** A thread that sleeps is woken for many items, or for the last ones: to wake it costs as much as some hundred. */
  #publish(thread: Thread, isLast: boolean): void {
    const { words } = this.#memory;
    thread.published = thread.queued;
    Atomics.store(words, thread.control + CONTROL.queued, thread.queued);
    const isWorthIt = isLast || ((thread.queued - thread.woken) | 0) >= WAKING_ITEMS;
    if (
      thread.queued !== thread.woken &&
      isWorthIt &&
      Atomics.load(words, thread.control + CONTROL.asleep) !== 0
    ) {
      thread.woken = thread.queued;
      Atomics.notify(words, thread.control + CONTROL.queued);
    }
  }
}

/** A thread as the caller sees it. */
interface Thread {
  readonly number: number;
  /** Index of its control block. */
  readonly control: number;
  queued: number;
  published: number;
  /** Items queued when the thread was woken last. */
  woken: number;
  /** By thread: the last item that this one waits for. */
  readonly waited: (number | undefined)[];
}

function newThread(number: number): Thread {
  return { number, control: number * CONTROL_WORDS, queued: 0, published: 0, woken: 0, waited: [] };
}

function itemAt(memory: ReplayMemory, thread: number, i: number): number {
  return (memory.layout.queues + (thread * QUEUE_ITEMS + (i & (QUEUE_ITEMS - 1))) * ITEM_BYTES) >>> 2;
}

const PARTS = 64;
/** Fewer items than this say nothing about who is slow. */
const BALANCED_ITEMS = 1024;
/** Items that a thread gets at a time. */
const PUBLISHED_ITEMS = 32;
const WAKING_ITEMS = 512;
/** Most items between two times that the queues are empty; the last one may have to wait for all threads. */
const ITEMS_MAX = Math.min(VERSIONS_MAX, QUEUE_ITEMS) - 2 * THREADS_MAX;

const OWNER_WORDS = 3;
const OWNER_ROUND = 0;
const OWNER_THREAD = 1;
const OWNER_ITEM = 2;

/** Offsets in records that change nodes (chapter 4.5.2). */
const RECORD_PROCID = 1;
const RECORD_PGNO = 4;
const RECORD_PAGE_FLAGS = 31;
const RECORD_RCEID = 32;
/** Lengths and other fields behind them (chapter 4.6.4); a key begins behind the fixed part. */
const INSERT_SUFFIX_BYTES = 44;
const INSERT_PREFIX_BYTES = 46;
const INSERT_DATA_BYTES = 48;
const INSERT_KEY = logRecordFixedSize(LRTYP.Insert);
const REVIVED_KEY_BYTES = 44;
const REVIVED_DATA_BYTES = 46;
const REVIVED_RCEID_REPLACE = 48;

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

/** A record that changes a node, wherever it lies. */
type ChangeBytes = Pick<LogRecordCursor, 'lrtyp' | 'bytes' | 'view' | 'offset'>;

type LeafRecord = LogRecordOf<'Insert' | 'FlagInsertAndReplaceData' | 'Replace' | 'ReplaceD'>;

/** The records of a split whose leaf operation, if any, is carried out by it; undefined for other macros. */
function partsOfSplit(
  records: readonly LogRecord[],
): { splits: LogRecordOf<'Split2'>[]; operation: LeafRecord | undefined } | undefined {
  const splits: LogRecordOf<'Split2'>[] = [];
  let operation: LeafRecord | undefined;
  for (const record of records) {
    switch (record.name) {
      case 'Split2':
        splits.push(record);
        break;
      case 'Insert':
      case 'FlagInsertAndReplaceData':
      case 'Replace':
      case 'ReplaceD':
        if (operation !== undefined) return undefined;
        operation = record;
        break;
      default:
        return undefined;
    }
  }
  const leaf = splits.at(-1);
  if (leaf === undefined || splits.length > SPLITS_MAX) return undefined;
  if (operation !== undefined && leaf.pgnoNew !== 0 && leaf.splitoper === SPLIT_OPERATION.none)
    return undefined;
  return { splits, operation };
}

const SPLITS_MAX = 32;
