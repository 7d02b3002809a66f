import type { Frame, FrameMemory } from '../engine/buffer-pool.js';
import { EseError } from '../format/ese-error.js';
import { Page } from '../format/page.js';
import { LOG_WINDOW_BYTES } from './log-reader.js';
import { REPLAY_WASM } from './replay-wasm.js';

/**
 * The memory of a replay: log and pages side by side, shared by all threads and by the kernel (format specification,
 * chapters 5.6 and 9.5). Its parts follow each other:
 *
 * | part | size | written by |
 * |---|---|---|
 * | control | 128 bytes a thread: {@link CONTROL} | all |
 * | scratch | 64 KiB a thread | its thread |
 * | window | the log as the reader has it | the caller |
 * | stash | records that lie in no window: put together of pieces, or of macros | the caller |
 * | versions | 32 bytes a version: {@link VERSION} | the thread of the item |
 * | arenas | old states of nodes, 16 MiB a thread | its thread |
 * | queues | 32 bytes an item, {@link QUEUE_ITEMS} a thread: {@link ITEM} | the caller |
 * | marks | 16 bytes a page: {@link MARK} | whoever changes the page |
 * | pages | | whoever changes the page |
 */

/** Words of a thread's control block. */
export const CONTROL = {
  /** Items done, of all that were ever queued; it starts over at 2^32. */
  done: 0,
  /** Items queued. */
  queued: 1,
  /** One of {@link STATE}. */
  state: 2,
  /** Not 0 while others sleep until `done` moves. */
  awaited: 3,
  /** Not 0 while the thread sleeps until `queued` moves. */
  asleep: 4,
  /** Generation of the log in the window. */
  generation: 5,
  /** Next free byte of the arena. */
  arena: 6,
  /** Number of the item that failed, and bytes of the error in the scratch; 0 = the caller must see for itself. */
  failed: 7,
  errorBytes: 8,
} as const;

export const STATE = { starting: 0, ready: 1, stopped: 2, ending: 3 } as const;

/** Words of an item. */
export const ITEM = {
  kind: 0,
  /** Address of the record; of a macro: of its list of pages and records; of a wait: of the `done` of another thread. */
  address: 1,
  /** Slot of the page; of a wait: the item that must be done. */
  slot: 2,
  /** Position in the log: segment in the upper half, byte in the lower. */
  position: 3,
  /** Address of the version that the item gives, or 0. */
  version: 4,
  flags: 5,
  /** Number of the item among all of the replay. */
  order: 6,
  /** Bytes of the record; number of records of a macro. */
  size: 7,
} as const;

/** What an item is. `node`: maybe for the kernel. `macro`: a split. `wait`: until an item of another queue is done. */
export const KIND = { node: 0, macro: 2, wait: 3 } as const;

/** Flags of an item; the database id is in the second byte. */
export const ITEM_IN_RANGE = 1;
export const ITEM_DBID_SHIFT = 8;

/** Words of a version. */
export const VERSION = { state: 0, address: 1, keyBytes: 2, dataBytes: 3, beforeBytes: 4 } as const;
export const VERSION_STATE = { pending: 0, known: 1, deferred: 2 } as const;

/** Words of a page's marks. */
export const MARK = { flags: 0, generation: 1, position: 2 } as const;
const MARK_DIRTY = 1;
const MARK_CHANGED = 2;

export const THREADS_MAX = 16;
export const CONTROL_WORDS = 32;
export const SCRATCH_BYTES = 64 * 1024;
export const STASH_BYTES = 2 * 1024 * 1024;
export const VERSION_BYTES = 32;
export const VERSIONS_MAX = 16 * 1024;
export const ARENA_BYTES = 16 * 1024 * 1024;
export const ITEM_BYTES = 32;
/** A power of two. */
export const QUEUE_ITEMS = 16 * 1024;
const MARK_BYTES = 16;

const MEMORY_UNIT = 64 * 1024;
const MEMORY_UNITS_MAX = 65536;
const SLOTS_MAX = 1024 * 1024;
/** Memory for pages that is got at once. */
const GROWTH_BYTES = 4 * 1024 * 1024;

/** What threads need to know of a memory; can be sent between them. */
export interface ReplayMemoryParts {
  readonly memory: WebAssembly.Memory;
  readonly pageSize: number;
  readonly threads: number;
}

/** Addresses of the parts. */
export interface ReplayLayout {
  readonly scratch: number;
  readonly window: number;
  readonly stash: number;
  readonly versions: number;
  readonly arenas: number;
  readonly queues: number;
  readonly marks: number;
  readonly pages: number;
  readonly slotsMax: number;
}

function layoutOf(pageSize: number, threads: number): ReplayLayout {
  let at = THREADS_MAX * CONTROL_WORDS * 4;
  const part = (bytes: number): number => {
    const start = at;
    at += bytes;
    return start;
  };
  const scratch = part(threads * SCRATCH_BYTES);
  const window = part(LOG_WINDOW_BYTES);
  const stash = part(STASH_BYTES);
  const versions = part(VERSIONS_MAX * VERSION_BYTES);
  const arenas = part(threads * ARENA_BYTES);
  const queues = part(threads * QUEUE_ITEMS * ITEM_BYTES);
  const room = MEMORY_UNITS_MAX * MEMORY_UNIT - at - MEMORY_UNIT;
  const slotsMax = Math.min(SLOTS_MAX, Math.floor(room / (pageSize + MARK_BYTES)));
  const marks = part(slotsMax * MARK_BYTES);
  const pages = Math.ceil(at / MEMORY_UNIT) * MEMORY_UNIT;
  return { scratch, window, stash, versions, arenas, queues, marks, pages, slotsMax };
}

/** The functions of kernel/replay.ts. */
export interface ReplayKernel {
  configure(
    pageSize: number,
    pages: number,
    marks: number,
    progress: number,
    arena: number,
    arenaEnd: number,
    scratch: number,
  ): void;
  /** Carries out items; returns the number of the first that it left alone, or `to`. */
  run(queue: number, from: number, to: number, generation: number): number;
}

let compiled: WebAssembly.Module | undefined;

/** One thread's view of the memory. */
export class ReplayMemory {
  readonly parts: ReplayMemoryParts;
  readonly layout: ReplayLayout;
  /** Everything in front of the pages. */
  readonly bytes: Uint8Array;
  readonly words: Int32Array;
  readonly view: DataView;
  readonly pageSize: number;
  #buffer: ArrayBufferLike;
  readonly #pages: (Page | undefined)[] = [];

  constructor(parts: ReplayMemoryParts) {
    const { memory, pageSize, threads } = parts;
    this.parts = parts;
    this.pageSize = pageSize;
    this.layout = layoutOf(pageSize, threads);
    this.#buffer = memory.buffer;
    this.bytes = new Uint8Array(this.#buffer, 0, this.layout.pages);
    this.words = new Int32Array(this.#buffer, 0, this.layout.pages / 4);
    this.view = new DataView(this.#buffer, 0, this.layout.pages);
  }

  /** The kernel for a thread. */
  kernel(thread: number): ReplayKernel {
    const { memory, pageSize } = this.parts;
    compiled ??= new WebAssembly.Module(Buffer.from(REPLAY_WASM, 'base64'));
    const exports = new WebAssembly.Instance(compiled, { env: { memory } }).exports;
    const kernel = exports as unknown as ReplayKernel;
    const { layout } = this;
    const control = thread * CONTROL_WORDS * 4;
    const arena = layout.arenas + thread * ARENA_BYTES;
    kernel.configure(
      pageSize,
      layout.pages,
      layout.marks,
      control + CONTROL.done * 4,
      control + CONTROL.arena * 4,
      arena + ARENA_BYTES,
      layout.scratch + thread * SCRATCH_BYTES,
    );
    return kernel;
  }

  /** The memory of a page, whatever lies there. */
  pageBytes(slot: number): Uint8Array {
    const at = this.layout.pages + slot * this.pageSize;
    if (at + this.pageSize > this.#buffer.byteLength) this.#buffer = this.parts.memory.buffer;
    return new Uint8Array(this.#buffer, at, this.pageSize);
  }

  /** The page in a slot. One view serves all pages that lie there one after another. */
  page(slot: number, pgno: number): Page {
    let page = this.#pages[slot];
    if (page === undefined) {
      page = new Page(this.pageBytes(slot), pgno);
      this.#pages[slot] = page;
    }
    page.pgno = pgno;
    return page;
  }

  /** The slot whose memory these bytes are. */
  slotOf(bytes: Uint8Array): number {
    return (bytes.byteOffset - this.layout.pages) / this.pageSize;
  }

  /** Index in `words` of a page's marks. */
  marksAt(slot: number): number {
    return (this.layout.marks + slot * MARK_BYTES) >>> 2;
  }

  mark(slot: number, generation: number, position: number): void {
    const at = this.marksAt(slot);
    this.words[at + MARK.flags] = MARK_DIRTY | MARK_CHANGED;
    this.words[at + MARK.generation] = generation;
    this.words[at + MARK.position] = position;
  }

  isChanged(slot: number): boolean {
    return ((this.words[this.marksAt(slot) + MARK.flags] ?? 0) & MARK_CHANGED) !== 0;
  }
}

/** Makes a memory; undefined where the host has no WebAssembly with memory that threads share. */
export function createReplayMemory(pageSize: number, threads: number): ReplayMemory | undefined {
  if (process.env.ESEKIT_KERNEL === 'js') return undefined;
  try {
    const { pages } = layoutOf(pageSize, threads);
    const memory = new WebAssembly.Memory({
      initial: pages / MEMORY_UNIT,
      maximum: MEMORY_UNITS_MAX,
      shared: true,
    });
    return new ReplayMemory({ memory, pageSize, threads });
  } catch {
    return undefined;
  }
}

/** What the pool of a database knows of one page: its own notes, and the marks of whoever changed it. */
class ReplayFrame implements Frame {
  readonly page: Page;
  readonly slot: number;
  isUsed = true;
  isFresh = false;
  readonly #words: Int32Array;
  readonly #at: number;

  constructor(page: Page, slot: number, words: Int32Array, at: number) {
    this.page = page;
    this.slot = slot;
    this.#words = words;
    this.#at = at;
    words[at + MARK.flags] = 0;
    words[at + MARK.generation] = 0;
    words[at + MARK.position] = 0;
  }

  get isDirty(): boolean {
    return this.#has(MARK_DIRTY);
  }
  set isDirty(value: boolean) {
    this.#set(MARK_DIRTY, value);
  }
  get isChanged(): boolean {
    return this.#has(MARK_CHANGED);
  }
  set isChanged(value: boolean) {
    this.#set(MARK_CHANGED, value);
  }
  get generation(): number {
    return this.#words[this.#at + MARK.generation] ?? 0;
  }
  set generation(value: number) {
    this.#words[this.#at + MARK.generation] = value;
  }
  get isec(): number {
    return (this.#words[this.#at + MARK.position] ?? 0) >>> 16;
  }
  set isec(value: number) {
    this.#words[this.#at + MARK.position] = (value << 16) | this.ib;
  }
  get ib(): number {
    return (this.#words[this.#at + MARK.position] ?? 0) & 0xffff;
  }
  set ib(value: number) {
    this.#words[this.#at + MARK.position] = (this.isec << 16) | value;
  }

  #has(flag: number): boolean {
    return ((this.#words[this.#at + MARK.flags] ?? 0) & flag) !== 0;
  }

  #set(flag: number, value: boolean): void {
    const flags = this.#words[this.#at + MARK.flags] ?? 0;
    this.#words[this.#at + MARK.flags] = value ? flags | flag : flags & ~flag;
  }
}

/** The memory of pages for the pools of all databases of a replay. */
export function createFrameMemory(memory: ReplayMemory): FrameMemory {
  const { layout, pageSize, parts } = memory;
  const unused: Uint8Array[] = [];
  let slots = 0;
  const grow = (): void => {
    const room = parts.memory.buffer.byteLength - layout.pages;
    if (slots >= Math.min(layout.slotsMax, Math.floor(room / pageSize))) {
      if (slots >= layout.slotsMax) throw new EseError('JET_errOutOfMemory', 'all memory of pages is in use');
      try {
        parts.memory.grow(Math.max(GROWTH_BYTES, pageSize) / MEMORY_UNIT);
      } catch {
        throw new EseError('JET_errOutOfMemory', 'there is no more memory for pages');
      }
    }
    unused.push(memory.pageBytes(slots++));
  };
  return {
    take() {
      if (unused.length === 0) grow();
      return unused.pop() ?? memory.pageBytes(0);
    },
    give(bytes) {
      unused.push(bytes);
    },
    frame(page) {
      const slot = memory.slotOf(page.bytes);
      return new ReplayFrame(page, slot, memory.words, memory.marksAt(slot));
    },
  };
}
