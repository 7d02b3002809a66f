import { type ChecksumKernel, createChecksumKernel } from '../format/checksum-kernel.js';
import { compareLgpos, EseError, type Lgpos } from '../format/ese-error.js';
import { PAGE_FLAG, Page, pageOffset } from '../format/page.js';
import type { FileHandle } from '../io/file-system.js';
import {
  createPageLoader,
  createPageMemory,
  type PageLoader,
  type PageMemory,
  type PageSource,
} from './page-source.js';

/**
 * Cache of the pages of one database, for reading and changing. Changed pages stay in memory until they are
 * flushed: sorted, neighbours in one write, each with its flush type advanced and its checksum set (format
 * specification, chapters 1.6 and 10.2.6).
 *
 * Pages are given up only in {@link BufferPool.trim}, never under an operation that holds some.
 */
export interface BufferPool extends PageSource {
  /** The page, if it is in memory. */
  peekPage(pgno: number): Page | undefined;
  /** A page of which the content is of no interest: it is not read. The caller builds it and marks it dirty. */
  createPage(pgno: number): Page;
  /** Whether it is known without reading that nothing was ever written where a page lies. */
  isBlank(pgno: number): boolean;
  /** The page was changed by the log record at `lgpos`. */
  markDirty(page: Page, lgpos: Lgpos): void;
  /** Writes the changed pages that may be written. Returns how many. Does not sync. */
  flush(): number;
  /** To be called when nobody holds a page: keeps the cache within its bound, and writes pages for that. */
  trim(): void;
  /** {@link readPage} for those who change pages in the memory of the pool themselves. */
  frameOf(pgno: number): Frame;
  /** The same for a page that is about to be built, or was built already: it is read only if it may be there. */
  frameToBuild(pgno: number): Frame;
  /** Makes the file hold page `pgnoLast`. */
  extend(pgnoLast: number): void;
  /** Cuts the file behind page `pgnoLast`. */
  shrink(pgnoLast: number): void;
  /** Makes pages blank. */
  blank(pgnoFirst: number, count: number): void;
  /** Pages in memory. */
  readonly cachedPages: number;
  /** Changed pages that were not written yet. */
  readonly dirtyPages: number;
  /** Pages written so far. */
  readonly pagesWritten: number;
  /** Different pages that were ever changed. */
  readonly pagesChanged: number;
}

export interface BufferPoolOptions {
  readonly file: FileHandle;
  /** Page size in bytes. */
  readonly pageSize: number;
  /** Most memory for pages in bytes. Pages that must not be written yet can exceed it. */
  readonly cacheBytes?: number;
  /**
   * Called before pages are written, with the last position that changed one of them: the log must be
   * durable up to there, and the header must require its generation (chapter 5.1.1).
   */
  readonly beforeWrite?: (lgpos: Lgpos) => void;
  /** Whether a changed page may be written now. */
  readonly mayWrite?: (page: Page) => boolean;
  /** Free bytes on the volume of the file: it is not extended beyond them. */
  readonly freeBytes?: () => number;
  /** Whether pages that were given up lend their memory to others: no view of a page may outlive a `trim`. */
  readonly reusesMemory?: boolean;
  /** Where pages lie that others change too: such a pool counts changed pages only when asked. */
  readonly memory?: FrameMemory | undefined;
}

/** Memory of pages that others change too, with what the pool knows of each. */
export interface FrameMemory extends PageMemory {
  /** The frame of a page whose bytes come from `take`; it is clean. */
  frame(page: Page): Frame;
}

const CACHE_BYTES = 128 * 1024 * 1024;
/** Pages go to the file in pieces of at most this size. */
const WRITE_BYTES = 1024 * 1024;
/** Pages of one node of the page table. */
const TABLE_BITS = 12;
const TABLE_NODE = 1 << TABLE_BITS;
/** A new page may lie this far behind the end of the file: the engine extends it ahead, without a record. */
const CREATE_AHEAD_PAGES = 4096;
const FLUSH_TYPE_SHIFT = 15;
const PGNO_MAX = 0xffffffff;
/** How much of a full cache is given up at once. */
const TRIM_SHARE = 8;

/** A page in memory. */
export interface Frame {
  readonly page: Page;
  /** Number of its memory; -1 in a pool whose pages nobody else changes. */
  readonly slot: number;
  isDirty: boolean;
  /** Changed since it came into memory. */
  isChanged: boolean;
  /** It came into memory without being read, since it was blank. */
  isFresh: boolean;
  /** Used since the clock hand passed. */
  isUsed: boolean;
  generation: number;
  isec: number;
  ib: number;
}

/** Makes a buffer pool over an open database file. */
export function createBufferPool(options: BufferPoolOptions): BufferPool {
  return new Pool(options);
}

class Pool implements BufferPool {
  readonly pageSize: number;
  readonly correctedPages = new Set<number>();
  lastPgno: number;
  pagesWritten = 0;

  readonly #file: FileHandle;
  readonly #beforeWrite: ((lgpos: Lgpos) => void) | undefined;
  readonly #mayWrite: ((page: Page) => boolean) | undefined;
  readonly #capacity: number;
  /** Page table of two levels: pgno to frame. */
  readonly #table: ((Frame | undefined)[] | undefined)[] = [];
  readonly #frames: Frame[] = [];
  #hand = 0;
  /** Pages that were ever changed, one byte a page, in nodes like those of the page table. */
  readonly #changed: (Uint8Array | undefined)[] = [];
  readonly #freeBytes: (() => number) | undefined;
  readonly #memory: PageMemory | undefined;
  readonly #frameMemory: FrameMemory | undefined;
  /** Changed pages; not counted where others change pages too. */
  #dirtyCount = 0;
  #changedCount = 0;
  readonly #load: PageLoader;
  /** Pages behind this one did not exist when the pool was made. */
  readonly #lastPgnoFound: number;
  #kernel: ChecksumKernel | undefined;

  constructor(options: BufferPoolOptions) {
    const { file, pageSize, cacheBytes = CACHE_BYTES } = options;
    this.#file = file;
    this.pageSize = pageSize;
    this.lastPgno = Math.floor(file.size() / pageSize) - 2;
    this.#capacity = Math.max(64, Math.floor(cacheBytes / pageSize));
    this.#beforeWrite = options.beforeWrite;
    this.#mayWrite = options.mayWrite;
    this.#freeBytes = options.freeBytes;
    this.#frameMemory = options.memory;
    this.#memory = options.memory ?? (options.reusesMemory === true ? createPageMemory(pageSize) : undefined);
    this.#load = createPageLoader(file, pageSize, this.correctedPages, this.#memory);
    // A piece of a page may lie behind the last whole one.
    this.#lastPgnoFound = this.lastPgno + 1;
  }

  get dirtyPages(): number {
    if (this.#frameMemory === undefined) return this.#dirtyCount;
    let count = 0;
    for (const frame of this.#frames) if (frame.isDirty) count++;
    return count;
  }

  get pagesChanged(): number {
    if (this.#frameMemory !== undefined) {
      for (const frame of this.#frames) if (frame.isChanged) this.#noteChanged(frame.page.pgno);
    }
    return this.#changedCount;
  }

  get cachedPages(): number {
    return this.#frames.length;
  }

  readPage(pgno: number): Page {
    return this.frameOf(pgno).page;
  }

  frameOf(pgno: number): Frame {
    const frame = this.#find(pgno) ?? this.#enter(this.#load(pgno, this.lastPgno, PGNO_MAX));
    frame.isUsed = true;
    return frame;
  }

  frameToBuild(pgno: number): Frame {
    if (this.#find(pgno) !== undefined || !this.isBlank(pgno)) return this.frameOf(pgno);
    this.createPage(pgno);
    const frame = this.frameOf(pgno);
    frame.isFresh = true;
    return frame;
  }

  peekPage(pgno: number): Page | undefined {
    const frame = this.#find(pgno);
    if (frame === undefined) return undefined;
    frame.isUsed = true;
    return frame.page;
  }

  createPage(pgno: number): Page {
    if (pgno < 1 || pgno > this.lastPgno) {
      if (pgno < 1 || pgno > this.lastPgno + CREATE_AHEAD_PAGES) throw this.#beyondEof(pgno);
      this.extend(pgno);
    }
    const frame = this.#find(pgno);
    if (frame !== undefined) return frame.page;
    const bytes = this.#memory?.take() ?? new Uint8Array(this.pageSize);
    return this.#enter(new Page(bytes, pgno)).page;
  }

  isBlank(pgno: number): boolean {
    if (pgno <= this.#lastPgnoFound) return false;
    const frame = this.#frameMemory === undefined ? undefined : this.#find(pgno);
    if (frame !== undefined) return frame.isFresh && !frame.isChanged;
    return this.#changed[pgno >>> TABLE_BITS]?.[pgno & (TABLE_NODE - 1)] !== 1;
  }

  markDirty(page: Page, lgpos: Lgpos): void {
    const frame = this.#find(page.pgno);
    if (frame?.page !== page) throw new Error(`page ${page.pgno} is not in the pool`);
    if (!frame.isDirty) {
      frame.isDirty = true;
      this.#dirtyCount++;
    }
    frame.isChanged = true;
    this.#noteChanged(page.pgno);
    frame.generation = lgpos.generation;
    frame.isec = lgpos.isec;
    frame.ib = lgpos.ib;
  }

  flush(): number {
    if (this.#dirtyCount === 0 && this.#frameMemory === undefined) return 0;
    const dirty = this.#frames.filter(
      (frame) => frame.isDirty && (this.#mayWrite === undefined || this.#mayWrite(frame.page)),
    );
    if (dirty.length === 0) return 0;
    dirty.sort((a, b) => a.page.pgno - b.page.pgno);
    this.#beforeWrite?.(lastChange(dirty));
    this.#kernel ??= createChecksumKernel(WRITE_BYTES);
    const perWrite = Math.floor(WRITE_BYTES / this.pageSize);
    let start = 0;
    for (let i = 1; i <= dirty.length; i++) {
      const first = dirty[start]?.page.pgno ?? 0;
      const isNext = dirty[i]?.page.pgno === first + (i - start) && i - start < perWrite;
      if (isNext) continue;
      this.#write(dirty.slice(start, i), this.#kernel);
      start = i;
    }
    this.pagesWritten += dirty.length;
    return dirty.length;
  }

  /** Writes frames of consecutive pages. */
  #write(frames: readonly Frame[], kernel: ChecksumKernel): void {
    const pgno = frames[0]?.page.pgno ?? 0;
    const { pageSize } = this;
    let at = 0;
    for (const { page } of frames) {
      page.flags = nextFlushType(page.flags);
      kernel.bytes.set(page.bytes, at);
      at += pageSize;
    }
    kernel.sealPages(0, frames.length, pageSize, pgno);
    this.#file.writeAt(kernel.bytes.subarray(0, at), pageOffset(pgno, pageSize));
    for (const frame of frames) {
      frame.isDirty = false;
      this.#dirtyCount--;
    }
  }

  trim(): void {
    if (this.#frames.length <= this.#capacity) return;
    const wanted = this.#capacity - Math.floor(this.#capacity / TRIM_SHARE);
    if (this.dirtyPages > wanted / 2) this.flush();
    // Two rounds of the clock: the first clears the marks of use, the second finds pages to give up.
    for (let steps = 2 * this.#frames.length; steps > 0 && this.#frames.length > wanted; steps--) {
      if (this.#hand >= this.#frames.length) this.#hand = 0;
      const frame = this.#frames[this.#hand];
      if (frame === undefined) break;
      if (frame.isDirty || frame.isUsed) {
        frame.isUsed = false;
        this.#hand++;
      } else {
        this.#remove(this.#hand, frame);
      }
    }
  }

  extend(pgnoLast: number): void {
    if (pgnoLast <= this.lastPgno) return;
    const size = pageOffset(pgnoLast + 1, this.pageSize);
    const missing = size - this.#file.size();
    const free = this.#freeBytes?.();
    if (free !== undefined && missing > free) {
      throw new EseError('JET_errDiskFull', `the database needs ${missing} more bytes, ${free} are free`, {
        file: this.#file.path,
      });
    }
    this.#file.truncate(size);
    this.lastPgno = pgnoLast;
  }

  shrink(pgnoLast: number): void {
    this.#forget(pgnoLast + 1, this.lastPgno);
    this.#file.truncate(pageOffset(pgnoLast + 1, this.pageSize));
    this.lastPgno = Math.min(this.lastPgno, pgnoLast);
  }

  blank(pgnoFirst: number, count: number): void {
    this.#forget(pgnoFirst, pgnoFirst + count - 1);
    const zeros = new Uint8Array(Math.min(count * this.pageSize, WRITE_BYTES));
    let at = pageOffset(pgnoFirst, this.pageSize);
    for (let left = count * this.pageSize; left > 0; left -= zeros.length) {
      const piece = zeros.subarray(0, Math.min(left, zeros.length));
      this.#file.writeAt(piece, at);
      at += piece.length;
    }
  }

  #find(pgno: number): Frame | undefined {
    return this.#table[pgno >>> TABLE_BITS]?.[pgno & (TABLE_NODE - 1)];
  }

  #enter(page: Page): Frame {
    const frame: Frame = this.#frameMemory?.frame(page) ?? {
      page,
      slot: -1,
      isDirty: false,
      isChanged: false,
      isFresh: false,
      isUsed: true,
      generation: 0,
      isec: 0,
      ib: 0,
    };
    let node = this.#table[page.pgno >>> TABLE_BITS];
    if (node === undefined) {
      node = new Array<Frame | undefined>(TABLE_NODE).fill(undefined);
      this.#table[page.pgno >>> TABLE_BITS] = node;
    }
    node[page.pgno & (TABLE_NODE - 1)] = frame;
    this.#frames.push(frame);
    return frame;
  }

  /** Gives up the frame at `index`; the last frame takes its place. */
  #remove(index: number, frame: Frame): void {
    if (frame.isChanged) this.#noteChanged(frame.page.pgno);
    const node = this.#table[frame.page.pgno >>> TABLE_BITS];
    if (node !== undefined) node[frame.page.pgno & (TABLE_NODE - 1)] = undefined;
    const last = this.#frames.pop();
    if (last !== undefined && last !== frame) this.#frames[index] = last;
    this.#memory?.give(frame.page.bytes);
  }

  #forget(first: number, last: number): void {
    for (let i = this.#frames.length - 1; i >= 0; i--) {
      const frame = this.#frames[i];
      if (frame === undefined || frame.page.pgno < first || frame.page.pgno > last) continue;
      if (frame.isDirty) this.#dirtyCount--;
      this.#remove(i, frame);
    }
  }

  #noteChanged(pgno: number): void {
    let node = this.#changed[pgno >>> TABLE_BITS];
    if (node === undefined) {
      node = new Uint8Array(TABLE_NODE);
      this.#changed[pgno >>> TABLE_BITS] = node;
    }
    const index = pgno & (TABLE_NODE - 1);
    if (node[index] !== 0) return;
    node[index] = 1;
    this.#changedCount++;
  }

  #beyondEof(pgno: number): EseError {
    return new EseError('JET_errFileIOBeyondEOF', `there are only ${Math.max(0, this.lastPgno)} pages`, {
      file: this.#file.path,
      pgno,
    });
  }
}

function lastChange(frames: readonly Frame[]): Lgpos {
  let last: Lgpos = { generation: 0, isec: 0, ib: 0 };
  for (const { generation, isec, ib } of frames) {
    const lgpos = { generation, isec, ib };
    if (compareLgpos(lgpos, last) > 0) last = lgpos;
  }
  return last;
}

/** Page flags with the next flush type: 0, 1, 2, 3, 1, 2, 3, … (chapter 1.6). */
function nextFlushType(flags: number): number {
  const type = (flags & PAGE_FLAG.flushType) >>> FLUSH_TYPE_SHIFT;
  return (flags & ~PAGE_FLAG.flushType) | (((type % 3) + 1) << FLUSH_TYPE_SHIFT);
}
