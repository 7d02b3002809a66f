import { runBeside } from '../workers/pool.js';
import { isBehind } from './replay-executor.js';
import {
  CONTROL,
  CONTROL_WORDS,
  ITEM,
  ITEM_BYTES,
  ITEM_DBID_SHIFT,
  ITEM_IN_RANGE,
  KIND,
  OWNER,
  OWNER_WORDS,
  QUEUE_ITEMS,
  STATE,
  THREADS_MAX,
  WALK,
} from './replay-layout.js';
import type { ReplayMemory } from './replay-memory.js';
import type { ReplayTaskInput } from './replay-task.js';

/**
 * The queues of a replay as the caller fills them: which thread has which page, and who waits for whom (format
 * specification, chapter 5.6). A page stays with the thread that changed it last; an item whose page another thread has
 * changed before waits for that thread.
 *
 * The walk of the kernel queues changes of one page as {@link ReplayQueues.ownerOf}, {@link ReplayQueues.put},
 * {@link ReplayQueues.own} and {@link ReplayQueues.publish} do.
 */

/** A thread as the caller sees it. */
export interface ReplayThread {
  readonly number: number;
  /** Index of its control block. */
  readonly control: number;
}

function newThread(number: number): ReplayThread {
  return { number, control: number * CONTROL_WORDS };
}

/** The page share of a thread is so many of 64 parts. */
const PARTS = 64;
/** Fewer items than this say nothing about who is slow. */
const BALANCED_ITEMS = 1024;
/** Items that a thread gets at a time. */
const PUBLISHED_ITEMS = 32;
const WAKING_ITEMS = 512;
/** Most items between two times that the queues are empty; the last one may have to wait for all threads. */
const ITEMS_MAX = QUEUE_ITEMS - 2 * THREADS_MAX;

export class ReplayQueues {
  /** Threads that may get items: the caller, and workers that are up. */
  readonly threads: ReplayThread[] = [];
  readonly caller = newThread(0);
  readonly #memory: ReplayMemory;
  readonly #starting: ReplayThread[] = [];
  /** Index of the words of the walk. */
  readonly #walk: number;

  constructor(memory: ReplayMemory) {
    this.#memory = memory;
    this.#walk = memory.layout.walk >>> 2;
    this.#set(WALK.ownShare, PARTS);
    this.#set(WALK.round, 1);
    this.#setThreads([this.caller]);
  }

  #get(word: number): number {
    return this.#memory.words[this.#walk + word] ?? 0;
  }

  #set(word: number, value: number): void {
    this.#memory.words[this.#walk + word] = value;
  }

  #setThreads(threads: readonly ReplayThread[]): void {
    this.threads.splice(0, this.threads.length, ...threads);
    this.#set(WALK.threads, threads.length);
    for (const [i, { number }] of threads.entries()) this.#set(WALK.threadNumbers + i, number);
  }

  /** Items since the queues were empty. */
  get items(): number {
    return this.#get(WALK.items);
  }

  get hasRoom(): boolean {
    return this.items < ITEMS_MAX;
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

  /** Lets workers that have come up take part. */
  #admit(): void {
    const { words } = this.#memory;
    for (let i = this.#starting.length - 1; i >= 0; i--) {
      const thread = this.#starting[i];
      if (thread === undefined || Atomics.load(words, thread.control + CONTROL.state) !== STATE.ready)
        continue;
      this.#starting.splice(i, 1);
      this.#setThreads([...this.threads, thread]);
      this.#set(WALK.ownShare, Math.floor(PARTS / (this.threads.length + 0.5)));
    }
  }

  /** Ends the other threads; nothing may be queued any more. */
  close(): void {
    const { words } = this.#memory;
    for (const { control } of [...this.threads.slice(1), ...this.#starting]) {
      Atomics.store(words, control + CONTROL.state, STATE.ending);
      Atomics.notify(words, control + CONTROL.queued);
    }
    this.#setThreads([this.caller]);
    this.#starting.length = 0;
  }

  /** The queues are empty. `late` items were not done yet when the caller had done its own. */
  beginRound(late: number): void {
    this.#balance(late);
    this.#set(WALK.items, 0);
    this.#set(WALK.round, this.#get(WALK.round) + 1);
    this.#admit();
  }

  /** Gives the caller more or less of the next pages, depending on who had to wait for whom. */
  #balance(late: number): void {
    const { items } = this;
    if (this.threads.length === 1 || items < BALANCED_ITEMS) return;
    const step = late > items / PARTS ? 1 : -1;
    this.#set(WALK.ownShare, Math.min(PARTS, Math.max(1, this.#get(WALK.ownShare) + step)));
  }

  /** Items that were put into the queue of a thread. */
  written({ control }: ReplayThread): number {
    return this.#memory.words[control + CONTROL.written] ?? 0;
  }

  /** Index in the words of the memory of item `i` of a thread. */
  itemAt({ number }: ReplayThread, i: number): number {
    const { queues } = this.#memory.layout;
    return (queues + (number * QUEUE_ITEMS + (i & (QUEUE_ITEMS - 1))) * ITEM_BYTES) >>> 2;
  }

  #ownerAt(slot: number): number {
    return (this.#memory.layout.owners >>> 2) + slot * OWNER_WORDS;
  }

  /** The thread that has a page, or is to get it. */
  ownerOf(slot: number, dbid: number): ReplayThread {
    const { threads, caller } = this;
    if (threads.length === 1) return caller;
    const { words } = this.#memory;
    const at = this.#ownerAt(slot);
    if (words[at + OWNER.round] === this.#get(WALK.round)) {
      return threads[words[at + OWNER.thread] ?? 0] ?? caller;
    }
    const hash = Math.imul(slot + (dbid << 20), 0x9e3779b1) >>> 16;
    if (hash % PARTS < this.#get(WALK.ownShare)) return caller;
    return threads[1 + ((hash >>> 6) % (threads.length - 1))] ?? caller;
  }

  /** The last item queued for a thread is the last change of this page. */
  own(slot: number, thread: ReplayThread): void {
    if (this.threads.length === 1) return;
    const { words } = this.#memory;
    const at = this.#ownerAt(slot);
    words[at + OWNER.round] = this.#get(WALK.round);
    words[at + OWNER.thread] = this.threads.indexOf(thread);
    words[at + OWNER.item] = this.written(thread) - 1;
  }

  /** Lets a thread wait for the last change of a page, if another one has it. */
  waitForPage(slot: number, thread: ReplayThread): void {
    if (this.threads.length === 1) return;
    const { words } = this.#memory;
    const at = this.#ownerAt(slot);
    if (words[at + OWNER.round] !== this.#get(WALK.round)) return;
    const other = this.threads[words[at + OWNER.thread] ?? 0];
    if (other === undefined || other === thread) return;
    const item = words[at + OWNER.item] ?? 0;
    const { control } = thread;
    const waitedFor = words[control + CONTROL.waitedFor] ?? 0;
    const bit = 1 << other.number;
    const waited = control + CONTROL.waited + other.number;
    if ((waitedFor & bit) !== 0 && !isBehind(item, words[waited] ?? 0)) return;
    words[control + CONTROL.waitedFor] = waitedFor | bit;
    words[waited] = item;
    const done = (other.control + CONTROL.done) * 4;
    this.#write(thread, KIND.wait, done, item, 0, 0, 0, 0);
  }

  /** Puts an item into the queue of a thread. */
  put(
    thread: ReplayThread,
    kind: number,
    address: number,
    slot: number,
    position: number,
    version: number,
    { dbid, genMaxRequired }: { readonly dbid: number; readonly genMaxRequired: number },
    size: number,
  ): void {
    const isInRange = (this.#memory.words[CONTROL.generation] ?? 0) <= genMaxRequired;
    const flags = (dbid << ITEM_DBID_SHIFT) | (isInRange ? ITEM_IN_RANGE : 0);
    this.#write(thread, kind, address, slot, position, version, flags, size);
  }

  #write(
    thread: ReplayThread,
    kind: number,
    address: number,
    slot: number,
    position: number,
    version: number,
    flags: number,
    size: number,
  ): void {
    const { words } = this.#memory;
    const written = this.written(thread);
    const at = this.itemAt(thread, written);
    words[at + ITEM.kind] = kind;
    words[at + ITEM.address] = address;
    words[at + ITEM.slot] = slot;
    words[at + ITEM.position] = position;
    words[at + ITEM.version] = version;
    words[at + ITEM.flags] = flags;
    words[at + ITEM.order] = this.#get(WALK.order);
    words[at + ITEM.size] = size;
    words[thread.control + CONTROL.written] = written + 1;
    this.#set(WALK.items, this.items + 1);
    this.#set(WALK.order, this.#get(WALK.order) + 1);
  }

  /** Whether a thread is to get what was put into its queue: now and then, alone at once. */
  isDue({ control }: ReplayThread): boolean {
    const { words } = this.#memory;
    const waiting = ((words[control + CONTROL.written] ?? 0) - (words[control + CONTROL.queued] ?? 0)) | 0;
    return waiting >= PUBLISHED_ITEMS || this.threads.length === 1;
  }

  /** A thread that sleeps is woken for many items, or for the last ones: to wake it costs as much as some hundred. */
  publish({ control }: ReplayThread, isLast: boolean): void {
    const { words } = this.#memory;
    const written = words[control + CONTROL.written] ?? 0;
    const woken = words[control + CONTROL.woken] ?? 0;
    Atomics.store(words, control + CONTROL.queued, written);
    const isWorthIt = isLast || ((written - woken) | 0) >= WAKING_ITEMS;
    if (written !== woken && isWorthIt && Atomics.load(words, control + CONTROL.asleep) !== 0) {
      words[control + CONTROL.woken] = written;
      Atomics.notify(words, control + CONTROL.queued);
    }
  }
}
