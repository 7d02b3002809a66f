import { type ChecksumKernel, createChecksumKernel } from '../format/checksum-kernel.js';
import { EseError, type Lgpos } from '../format/ese-error.js';
import { PAGE_FLAG, type Page, pageOffset } from '../format/page.js';
import type { FileHandle } from '../io/file-system.js';
import type { MutableLgpos } from './engine-log.js';
import { createOwnFrames, createReusedFrames, type Frame, type FrameMemory } from './frame.js';
import { createPageLoader, type PageLoader, type PageSource } from './page-source.js';

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
  /** Whether pages that were given up become others: nobody may rely on what a page was before a `trim`. */
  readonly reusesMemory?: boolean;
  /** Frames of pages that others change too: such a pool counts changed pages only when asked. */
  readonly memory?: FrameMemory | undefined;
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

/** What is noted of pages, whether they are in memory or not: it was changed; it was sound when last read or written. */
const NOTE_CHANGED = 1;
const NOTE_SOUND = 2;

/** Pages are sealed here, on their way to the file. */
let kernel: ChecksumKernel | undefined;

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
  /** One byte a page, in nodes like those of the page table. */
  readonly #notes: (Uint8Array | undefined)[] = [];
  /** Numbers of the pages that are about to be written. */
  #due = new Uint32Array(0);
  /** Numbers of unchanged pages that are about to be given up. */
  #clean = new Uint32Array(0);
  readonly #lastChange: MutableLgpos = { generation: 0, isec: 0, ib: 0 };
  readonly #freeBytes: (() => number) | undefined;
  readonly #memory: FrameMemory;
  /** Whether others change pages too. */
  readonly #isShared: boolean;
  /** Changed pages; not counted where others change pages too. */
  #dirtyCount = 0;
  #changedCount = 0;
  readonly #load: PageLoader;
  /** Pages behind this one did not exist when the pool was made. */
  readonly #lastPgnoFound: number;

  constructor(options: BufferPoolOptions) {
    const { file, pageSize, cacheBytes = CACHE_BYTES } = options;
    this.#file = file;
    this.pageSize = pageSize;
    this.lastPgno = Math.floor(file.size() / pageSize) - 2;
    this.#capacity = Math.max(64, Math.floor(cacheBytes / pageSize));
    this.#beforeWrite = options.beforeWrite;
    this.#mayWrite = options.mayWrite;
    this.#freeBytes = options.freeBytes;
    this.#isShared = options.memory !== undefined;
    const frames = options.reusesMemory === true ? createReusedFrames : createOwnFrames;
    this.#memory = options.memory ?? frames(pageSize);
    this.#load = createPageLoader(file, pageSize, this.correctedPages);
    // A piece of a page may lie behind the last whole one.
    this.#lastPgnoFound = this.lastPgno + 1;
  }

  get dirtyPages(): number {
    if (!this.#isShared) return this.#dirtyCount;
    let count = 0;
    for (const frame of this.#frames) if (frame.isDirty) count++;
    return count;
  }

  get pagesChanged(): number {
    if (this.#isShared) {
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
    const frame = this.#find(pgno) ?? this.#read(pgno);
    frame.isUsed = true;
    return frame;
  }

  #read(pgno: number): Frame {
    const frame = this.#memory.take(pgno);
    try {
      this.#load(frame.page, this.lastPgno, PGNO_MAX, this.#hasNote(pgno, NOTE_SOUND));
    } catch (error) {
      this.#memory.give(frame);
      throw error;
    }
    this.#note(pgno, NOTE_SOUND);
    return this.#enter(frame);
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
    return this.#enter(this.#memory.take(pgno)).page;
  }

  isBlank(pgno: number): boolean {
    if (pgno <= this.#lastPgnoFound) return false;
    const frame = this.#isShared ? this.#find(pgno) : undefined;
    if (frame !== undefined) return frame.isFresh && !frame.isChanged;
    return !this.#hasNote(pgno, NOTE_CHANGED);
  }

  markDirty(page: Page, lgpos: Lgpos): void {
    const frame = this.#find(page.pgno);
    if (frame?.page !== page) throw new Error(`page ${page.pgno} is not in the pool`);
    if (!frame.isDirty) {
      frame.isDirty = true;
      this.#dirtyCount++;
    }
    if (!frame.isChanged) {
      frame.isChanged = true;
      this.#noteChanged(page.pgno);
    }
    frame.generation = lgpos.generation;
    frame.isec = lgpos.isec;
    frame.ib = lgpos.ib;
  }

  flush(): number {
    if (this.#dirtyCount === 0 && !this.#isShared) return 0;
    this.#makeLists();
    let count = 0;
    for (const frame of this.#frames) {
      if (frame.isDirty && this.#isWritable(frame)) this.#due[count++] = frame.page.pgno;
    }
    this.#writeDue(count);
    return count;
  }

  #isWritable({ page }: Frame): boolean {
    return this.#mayWrite === undefined || this.#mayWrite(page);
  }

  #makeLists(): void {
    if (this.#due.length >= this.#frames.length) return;
    this.#due = new Uint32Array(2 * this.#frames.length);
    this.#clean = new Uint32Array(2 * this.#frames.length);
  }

  /** Writes the first `count` pages that are due: in their order, neighbours together. */
  #writeDue(count: number): void {
    if (count === 0) return;
    const due = this.#due.subarray(0, count).sort();
    const last = this.#lastChange;
    last.generation = last.isec = last.ib = 0;
    for (let i = 0; i < count; i++) {
      const frame = this.#frame(due[i] ?? 0);
      if ((frame.generation - last.generation || frame.isec - last.isec || frame.ib - last.ib) > 0) {
        last.generation = frame.generation;
        last.isec = frame.isec;
        last.ib = frame.ib;
      }
    }
    this.#beforeWrite?.({ ...last });
    const perWrite = Math.floor(WRITE_BYTES / this.pageSize);
    let start = 0;
    for (let i = 1; i <= count; i++) {
      if (i < count && due[i] === (due[start] ?? 0) + i - start && i - start < perWrite) continue;
      this.#write(due[start] ?? 0, i - start);
      start = i;
    }
    this.pagesWritten += count;
  }

  #frame(pgno: number): Frame {
    const frame = this.#find(pgno);
    if (frame === undefined) throw new Error(`page ${pgno} is not in the pool`);
    return frame;
  }

  /** Writes pages that follow each other. */
  #write(pgno: number, count: number): void {
    const { pageSize } = this;
    kernel ??= createChecksumKernel(WRITE_BYTES);
    for (let i = 0; i < count; i++) {
      const { page } = this.#frame(pgno + i);
      page.flags = nextFlushType(page.flags);
      kernel.bytes.set(page.bytes, i * pageSize);
    }
    kernel.sealPages(0, count, pageSize, pgno);
    this.#file.writeAt(kernel.bytes.subarray(0, count * pageSize), pageOffset(pgno, pageSize));
    for (let i = 0; i < count; i++) {
      this.#frame(pgno + i).isDirty = false;
      this.#dirtyCount--;
      this.#note(pgno + i, NOTE_SOUND);
    }
  }

  trim(): void {
    if (this.#frames.length <= this.#capacity) return;
    const wanted = this.#capacity - Math.floor(this.#capacity / TRIM_SHARE);
    this.#makeLists();
    let due = 0;
    let clean = 0;
    // Two rounds of the clock: the first clears the marks of use, the second finds pages to give up.
    for (
      let steps = 2 * this.#frames.length;
      steps > 0 && this.#frames.length - due - clean > wanted;
      steps--
    ) {
      if (this.#hand >= this.#frames.length) this.#hand = 0;
      const frame = this.#frames[this.#hand++];
      if (frame === undefined) break;
      if (frame.isUsed) {
        frame.isUsed = false;
        continue;
      }
      // The second round must not choose it again.
      frame.isUsed = true;
      if (!frame.isDirty) this.#clean[clean++] = frame.page.pgno;
      else if (this.#isWritable(frame)) this.#due[due++] = frame.page.pgno;
    }
    this.#writeDue(due);
    for (let i = 0; i < due; i++) this.#remove(this.#frame(this.#due[i] ?? 0));
    for (let i = 0; i < clean; i++) this.#remove(this.#frame(this.#clean[i] ?? 0));
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

  #enter(frame: Frame): Frame {
    const { pgno } = frame.page;
    let node = this.#table[pgno >>> TABLE_BITS];
    if (node === undefined) {
      node = new Array<Frame | undefined>(TABLE_NODE).fill(undefined);
      this.#table[pgno >>> TABLE_BITS] = node;
    }
    node[pgno & (TABLE_NODE - 1)] = frame;
    frame.index = this.#frames.length;
    this.#frames.push(frame);
    return frame;
  }

  /** Gives up a frame; the last one takes its place. */
  #remove(frame: Frame): void {
    const { pgno } = frame.page;
    if (frame.isChanged) this.#noteChanged(pgno);
    const node = this.#table[pgno >>> TABLE_BITS];
    if (node !== undefined) node[pgno & (TABLE_NODE - 1)] = undefined;
    const last = this.#frames.pop();
    if (last !== undefined && last !== frame) {
      this.#frames[frame.index] = last;
      last.index = frame.index;
    }
    this.#memory.give(frame);
  }

  #forget(first: number, last: number): void {
    for (let i = this.#frames.length - 1; i >= 0; i--) {
      const frame = this.#frames[i];
      if (frame === undefined || frame.page.pgno < first || frame.page.pgno > last) continue;
      if (frame.isDirty) this.#dirtyCount--;
      this.#remove(frame);
    }
  }

  #noteChanged(pgno: number): void {
    if (this.#hasNote(pgno, NOTE_CHANGED)) return;
    this.#note(pgno, NOTE_CHANGED);
    this.#changedCount++;
  }

  #hasNote(pgno: number, note: number): boolean {
    return ((this.#notes[pgno >>> TABLE_BITS]?.[pgno & (TABLE_NODE - 1)] ?? 0) & note) !== 0;
  }

  #note(pgno: number, note: number): void {
    let node = this.#notes[pgno >>> TABLE_BITS];
    if (node === undefined) {
      node = new Uint8Array(TABLE_NODE);
      this.#notes[pgno >>> TABLE_BITS] = node;
    }
    const index = pgno & (TABLE_NODE - 1);
    node[index] = (node[index] ?? 0) | note;
  }

  #beyondEof(pgno: number): EseError {
    return new EseError('JET_errFileIOBeyondEOF', `there are only ${Math.max(0, this.lastPgno)} pages`, {
      file: this.#file.path,
      pgno,
    });
  }
}

/** Page flags with the next flush type: 0, 1, 2, 3, 1, 2, 3, … (chapter 1.6). */
function nextFlushType(flags: number): number {
  const type = (flags & PAGE_FLAG.flushType) >>> FLUSH_TYPE_SHIFT;
  return (flags & ~PAGE_FLAG.flushType) | (((type % 3) + 1) << FLUSH_TYPE_SHIFT);
}
