import type { Lgpos } from '../format/ese-error.js';
import { type LogRecord, logRecordView } from '../format/log-record.js';
import type { Page } from '../format/page.js';
import { applyMacro, applyRecord } from '../operations/apply.js';
import type { NodeChange, RedoContext, RedoPages, Version, VersionLog } from '../operations/redo-context.js';
import type { RedoMap } from '../operations/redo-map.js';
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
  STATE,
  VERSION,
  VERSION_STATE,
} from './replay-layout.js';
import type { ReplayKernel, ReplayMemory } from './replay-memory.js';

/**
 * One thread of a replay: carries out the items of its queue in their order, by the kernel where it can, else by the
 * functions of operations/ (format specification, chapter 5.6). An item is complete: it names the memory of every page
 * that it may touch.
 */

/** Looks at the counter of another thread before this one sleeps. */
const SPINS = 1500;
/** Sleep between two looks, in milliseconds; whoever moves the counter wakes sleepers. */
const SLEEP_MS = 20;
/** A thread that did nothing for so long is lost. */
const LOST_MS = 120_000;

/** Thrown where an operation needs what only the whole recovery has: the caller carries the item out. */
export class NeedsCaller extends Error {}

/** Keeps the pages of one item at hand. */
class ItemPages implements RedoPages {
  readonly lastPgno = 0xffffffff;
  readonly #memory: ReplayMemory;
  /** pgno, slot, and whether it is fresh, three numbers a page. */
  readonly #pages: number[] = [];
  #position = 0;
  #generation = 0;

  constructor(memory: ReplayMemory) {
    this.#memory = memory;
  }

  begin(generation: number, position: number): void {
    this.#pages.length = 0;
    this.#generation = generation;
    this.#position = position;
  }

  add(pgno: number, slot: number, isFresh: number): void {
    this.#pages.push(pgno, slot, isFresh);
  }

  #indexOf(pgno: number): number {
    const pages = this.#pages;
    for (let i = 0; i < pages.length; i += 3) if (pages[i] === pgno) return i;
    throw new NeedsCaller();
  }

  readPage(pgno: number): Page {
    return this.#memory.page(this.#pages[this.#indexOf(pgno) + 1] ?? 0, pgno);
  }

  createPage(pgno: number): Page {
    return this.readPage(pgno);
  }

  isBlank(pgno: number): boolean {
    const i = this.#indexOf(pgno);
    return this.#pages[i + 2] === 1 && !this.#memory.isChanged(this.#pages[i + 1] ?? 0);
  }

  markDirty(page: Page): void {
    this.#memory.mark(this.#pages[this.#indexOf(page.pgno) + 1] ?? 0, this.#generation, this.#position);
  }

  extend(): never {
    throw new NeedsCaller();
  }
  shrink(): never {
    throw new NeedsCaller();
  }
  blank(): never {
    throw new NeedsCaller();
  }
}

/**
 * Puts the old state of a node where the item wants it. Inserts were noted when the item was made; what a first attempt
 * at an item has put there stays.
 */
class ItemVersion implements VersionLog {
  readonly #memory: ReplayMemory;
  readonly #arenaAt: number;
  readonly #arenaEnd: number;
  #at = 0;

  constructor(memory: ReplayMemory, thread: number) {
    this.#memory = memory;
    this.#arenaAt = thread * CONTROL_WORDS + CONTROL.arena;
    this.#arenaEnd = memory.layout.arenas + (thread + 1) * ARENA_BYTES;
  }

  begin(address: number): void {
    this.#at = address >>> 2;
  }

  get #isPending(): boolean {
    return this.#at !== 0 && this.#memory.words[this.#at + VERSION.state] === VERSION_STATE.pending;
  }

  add(_change: NodeChange, { key, bookmarkData, before }: Version): void {
    if (!this.#isPending) return;
    const { words, bytes } = this.#memory;
    const to = (words[this.#arenaAt] ?? 0) >>> 0;
    const end = to + key.length + bookmarkData.length + before.length;
    if (end > this.#arenaEnd) throw new NeedsCaller();
    bytes.set(key, to);
    bytes.set(bookmarkData, to + key.length);
    bytes.set(before, to + key.length + bookmarkData.length);
    words[this.#arenaAt] = end;
    words[this.#at + VERSION.address] = to;
    words[this.#at + VERSION.keyBytes] = key.length;
    words[this.#at + VERSION.dataBytes] = bookmarkData.length;
    words[this.#at + VERSION.beforeBytes] = before.length;
    words[this.#at + VERSION.state] = VERSION_STATE.known;
  }

  addInsert(): void {}

  defer(): void {
    if (this.#isPending) this.#memory.words[this.#at + VERSION.state] = VERSION_STATE.deferred;
  }

  addLogged(): never {
    throw new NeedsCaller();
  }
  find(): never {
    throw new NeedsCaller();
  }
  remove(): never {
    throw new NeedsCaller();
  }
  isActive(): never {
    throw new NeedsCaller();
  }
}

/** The context of one item. */
interface ItemContext extends RedoContext {
  dbid: number;
  lgpos: Lgpos;
  genMaxRequired: number;
  redoMap: RedoMap;
}

/** Stands for the redo map in threads that have none: no item is queued for a page that is in it. */
const NO_REDO_MAP = {
  size: 0,
  has: () => false,
  add: () => {
    throw new NeedsCaller();
  },
} as unknown as RedoMap;

export class ReplayExecutor {
  readonly memory: ReplayMemory;
  readonly thread: number;
  /** The error with which the last item failed. */
  failure: unknown;
  readonly kernel: ReplayKernel;

  readonly #queue: number;
  readonly #control: number;
  readonly #pages: ItemPages;
  readonly #version: ItemVersion;
  readonly #context: ItemContext;
  readonly #redoMapOf: ((dbid: number) => RedoMap) | undefined;

  /** @param redoMapOf redo maps by database id, for the thread that has them */
  constructor(memory: ReplayMemory, thread: number, redoMapOf?: (dbid: number) => RedoMap) {
    this.memory = memory;
    this.thread = thread;
    this.kernel = memory.kernel(thread);
    this.#queue = memory.layout.queues + thread * QUEUE_ITEMS * ITEM_BYTES;
    this.#control = thread * CONTROL_WORDS;
    this.#pages = new ItemPages(memory);
    this.#version = new ItemVersion(memory, thread);
    this.#redoMapOf = redoMapOf;
    this.#context = {
      dbid: 0,
      pageSize: memory.pageSize,
      lgpos: { generation: 0, isec: 0, ib: 0 },
      genMaxRequired: 0,
      pages: this.#pages,
      redoMap: NO_REDO_MAP,
      versions: this.#version,
    };
  }

  /** Next item of the queue: as many are done. */
  get next(): number {
    return this.memory.words[this.#control + CONTROL.done] ?? 0;
  }

  /** Index in the words of the memory of item `i` of this queue. */
  itemAt(i: number): number {
    return (this.#queue + (i & (QUEUE_ITEMS - 1)) * ITEM_BYTES) >>> 2;
  }

  /**
   * Carries out items up to `to`. Returns false where an item failed (see `failure`), or must wait for another thread,
   * if `mayWait` is false or that thread has stopped.
   */
  run(to: number, mayWait: boolean): boolean {
    const { words } = this.memory;
    const generation = words[CONTROL.generation] ?? 0;
    for (let next = this.next; next !== to; ) {
      next = this.kernel.run(this.#queue, next, to, generation) | 0;
      if (next === to) break;
      const at = this.itemAt(next);
      if (words[at + ITEM.kind] === KIND.wait) {
        const done = (words[at + ITEM.address] ?? 0) >>> 2;
        const item = words[at + ITEM.slot] ?? 0;
        if (!isBehind(Atomics.load(words, done), item)) {
          if (!mayWait) return false;
          // The kernel has moved on without telling; who sleeps for it may be the one to be waited for.
          this.#wakeOthers();
          if (!this.#waitFor(done, item)) return false;
        }
      } else {
        try {
          this.carryOut(at, generation);
        } catch (error) {
          this.failure = error;
          return false;
        }
      }
      next = (next + 1) | 0;
      Atomics.store(words, this.#control + CONTROL.done, next);
      this.#wakeOthers();
    }
    this.#wakeOthers();
    return true;
  }

  #wakeOthers(): void {
    const { words } = this.memory;
    if (Atomics.load(words, this.#control + CONTROL.awaited) !== 0) {
      Atomics.notify(words, this.#control + CONTROL.done);
    }
  }

  /** Waits until item `item` of the thread with that counter is done; false if the thread stops before. */
  #waitFor(done: number, item: number): boolean {
    return waitUntil(this.memory.words, done, () => isBehind(Atomics.load(this.memory.words, done), item));
  }

  /** Carries out one item that is no wait, by the functions of operations/. */
  carryOut(at: number, generation: number): void {
    const { words, bytes, view } = this.memory;
    const flags = words[at + ITEM.flags] ?? 0;
    const position = words[at + ITEM.position] ?? 0;
    const address = (words[at + ITEM.address] ?? 0) >>> 0;
    const size = words[at + ITEM.size] ?? 0;
    const context = this.#context;
    context.dbid = (flags >>> ITEM_DBID_SHIFT) & 0xff;
    context.lgpos = { generation, isec: position >>> 16, ib: position & 0xffff };
    context.genMaxRequired = (flags & ITEM_IN_RANGE) !== 0 ? generation : generation - 1;
    context.redoMap = this.#redoMapOf?.(context.dbid) ?? NO_REDO_MAP;
    this.#version.begin((words[at + ITEM.version] ?? 0) >>> 0);
    this.#pages.begin(generation, position);
    if (words[at + ITEM.kind] === KIND.node) {
      const record = logRecordView(bytes, view, address, size);
      this.#pages.add('pgno' in record ? record.pgno : 0, words[at + ITEM.slot] ?? 0, 0);
      applyRecord(record, context);
      return;
    }
    let word = address >>> 2;
    const next = (): number => words[word++] ?? 0;
    const records: LogRecord[] = [];
    for (let pages = next(); pages > 0; pages--) this.#pages.add(next() >>> 0, next(), next());
    for (let i = 0; i < size; i++) records.push(logRecordView(bytes, view, next() >>> 0, next()));
    applyMacro(records, context);
  }
}

/** Whether a counter of items done has passed item `item`. */
export function isBehind(done: number, item: number): boolean {
  return ((done - item) | 0) > 0;
}

/**
 * Waits until `isDone`, of the counter at `done` in the control block of a thread; false if the thread stops before.
 * Throws when nothing moves for a very long time.
 */
export function waitUntil(words: Int32Array, done: number, isDone: () => boolean): boolean {
  for (let i = 0; i < SPINS; i++) if (isDone()) return true;
  const control = done - CONTROL.done;
  const begun = performance.now();
  Atomics.add(words, control + CONTROL.awaited, 1);
  try {
    for (;;) {
      const seen = Atomics.load(words, done);
      if (isDone()) return true;
      if (Atomics.load(words, control + CONTROL.state) >= STATE.stopped) return isDone();
      Atomics.wait(words, done, seen, SLEEP_MS);
      if (performance.now() - begun > LOST_MS) throw new Error('a thread of the replay does not answer');
    }
  } finally {
    Atomics.sub(words, control + CONTROL.awaited, 1);
  }
}
