import type { Frame, FrameMemory } from '../engine/frame.js';
import { EseError } from '../format/ese-error.js';
import { Page } from '../format/page.js';
import {
  ARENA_BYTES,
  CONTROL,
  CONTROL_WORDS,
  GROWTH_BYTES,
  layoutOf,
  MARK,
  MARK_BYTES,
  MARK_CHANGED,
  MARK_DIRTY,
  MARK_FRESH,
  MEMORY_UNIT,
  MEMORY_UNITS_MAX,
  type ReplayLayout,
  type ReplayMemoryParts,
  SCRATCH_BYTES,
  WALK,
} from './replay-layout.js';
import { REPLAY_WASM } from './replay-wasm.js';

/** The functions of kernel/replay-walk.ts. */
export interface ReplayKernel {
  configure(
    pageSize: number,
    pages: number,
    marks: number,
    progress: number,
    arena: number,
    arenaEnd: number,
    scratch: number,
    walk: number,
    sessions: number,
    databases: number,
    table: number,
    owners: number,
    notes: number,
    versions: number,
    stash: number,
    queues: number,
  ): void;
  /** Carries out items; returns the number of the first that it left alone, or `to`. */
  run(queue: number, from: number, to: number, generation: number): number;
  /** Goes through the log in the window, as far as it can: see {@link WALK}. */
  walk(): void;
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
      layout.walk,
      layout.sessions,
      layout.databases,
      layout.table,
      layout.owners,
      layout.notes,
      layout.versions,
      layout.stash,
      layout.queues,
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
  index = -1;
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
    words[at + MARK.used] = 1;
  }

  get isFresh(): boolean {
    return this.#has(MARK_FRESH);
  }
  set isFresh(value: boolean) {
    this.#set(MARK_FRESH, value);
  }
  get isUsed(): boolean {
    return this.#words[this.#at + MARK.used] !== 0;
  }
  set isUsed(value: boolean) {
    this.#words[this.#at + MARK.used] = value ? 1 : 0;
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
  const unused: number[] = [];
  const isTableStale = (layout.walk >>> 2) + WALK.isTableStale;
  let slots = 0;
  const grow = (): number => {
    const room = parts.memory.buffer.byteLength - layout.pages;
    if (slots >= Math.min(layout.slotsMax, Math.floor(room / pageSize))) {
      if (slots >= layout.slotsMax) throw new EseError('JET_errOutOfMemory', 'all memory of pages is in use');
      try {
        parts.memory.grow(Math.max(GROWTH_BYTES, pageSize) / MEMORY_UNIT);
      } catch {
        throw new EseError('JET_errOutOfMemory', 'there is no more memory for pages');
      }
    }
    return slots++;
  };
  return {
    take(pgno) {
      const slot = unused.pop() ?? grow();
      return new ReplayFrame(memory.page(slot, pgno), slot, memory.words, memory.marksAt(slot));
    },
    give({ slot }) {
      memory.words[isTableStale] = 1;
      unused.push(slot);
    },
  };
}
