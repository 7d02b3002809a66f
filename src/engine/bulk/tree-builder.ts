import { type ChecksumKernel, createChecksumKernel } from '../../format/checksum-kernel.js';
import { EseError } from '../../format/ese-error.js';
import { PAGE_FLAG, Page, pageHeaderBytes } from '../../format/page.js';
import type { FileHandle } from '../../io/file-system.js';
import { type BulkKernel, createBulkKernel } from './bulk-kernel.js';
import { PageWindow } from './page-window.js';
import { ADD_OUTCOME, PendingNodes, stateBytes } from './pending-nodes.js';

/**
 * Makes B+ trees from the bottom up: nodes come in key order, leaves are filled one after the other, and each
 * full page adds its pointer to the level above. Nothing is searched, split or written twice (format
 * specification, chapters 2.1 and 7.3.5).
 */

/** Pages that are collected for one write, in bytes: with those that are read they stay in a cache of 1 MiB. */
const WINDOW_BYTES = 512 * 1024;
/** Nodes collected for one leaf, in pages: a good prefix makes many of them fit. */
const LEAF_PAGES = 8;
const BRANCH_PAGES = 2;
/** Levels of the deepest tree: with the longest keys a page of 2 KiB points to three. */
const LEVELS_MAX = 24;
const TAG_BYTES = 4;
const LOOP_BYTES = 48;

/** A tree to be made. */
export interface TreeShape {
  readonly objid: number;
  /** Its role: index, longValue, nonUnique, spaceTree of {@link PAGE_FLAG}. */
  readonly roleFlags: number;
  readonly pgnoRoot: number;
  /** Bytes of the external header of the root; the caller fills it in. */
  readonly rootHeaderBytes: number;
  /** How far leaves are filled, in per cent. */
  readonly density: number;
  /** Number of the next page of the tree. Pages that lie behind each other are written together. */
  readonly takePage: () => number;
}

/** What came out. */
export interface BuiltTree {
  /**
   * The root page, in memory of its own and not written yet: its external header is zero. Give it to
   * {@link BulkWriter.putPage} when that is filled in.
   */
  readonly root: Page;
  readonly nodes: number;
  readonly leafPages: number;
  /** Branch pages, the root among them if it is none of the leaves. */
  readonly branchPages: number;
}

interface Level {
  readonly nodes: PendingNodes;
  /** Pages of this level that are full. */
  pages: number;
  /** Leaves: number of the page in the making and of the one before it; 0 = none yet. */
  pgno: number;
  pgnoPrev: number;
}

/**
 * Writes the pages of a new database. One tree is made at a time: {@link begin}, {@link add} for each node,
 * {@link finish}.
 */
export class BulkWriter {
  readonly pageSize: number;
  readonly kernel: ChecksumKernel;
  /** Memory in the kernel for whoever reads the nodes: from there they are copied fastest. */
  readonly readOffset: number;
  readonly readBytes: number;
  /** The loops over nodes, faster; absent without WebAssembly. */
  readonly bulk: BulkKernel | undefined;
  readonly #window: PageWindow;
  readonly #levels: Level[] = [];
  /** Memory in which a root is made. */
  readonly #rootOffset: number;
  /** Bytes for nodes and their tags in a page whose tag 0 is empty. */
  readonly #pageRoom: number;
  readonly #nodesMax: number;
  #shape: TreeShape | undefined;
  #leafRoom = 0;
  #nodeCount = 0;
  #dbtime = 0;

  /**
   * @param file the new database, open for writing
   * @param readBytes how much of the kernel's memory the caller wants
   */
  constructor(file: FileHandle, pageSize: number, readBytes = 0) {
    this.pageSize = pageSize;
    const windowPages = WINDOW_BYTES / pageSize;
    const probe = new Page(new Uint8Array(pageSize), 1);
    this.#pageRoom = pageSize - pageHeaderBytes(pageSize) - TAG_BYTES;
    this.#nodesMax = probe.tagCountMax - 1;
    // One more is added before a page is written.
    const places = this.#nodesMax + 2;
    const sizes = [LEAF_PAGES + 1, ...Array.from({ length: LEVELS_MAX - 1 }, () => BRANCH_PAGES + 1)];
    const levelBytes = sizes.reduce((sum, pages) => sum + pages * pageSize + stateBytes(places), 0);
    this.kernel = createChecksumKernel(WINDOW_BYTES + readBytes + levelBytes + pageSize + stateBytes(places));
    this.bulk = createBulkKernel(this.kernel);
    this.#window = new PageWindow(file, pageSize, this.kernel, 0, windowPages);
    this.readOffset = WINDOW_BYTES;
    this.readBytes = readBytes;
    this.#rootOffset = WINDOW_BYTES + readBytes;
    const scratch = this.#rootOffset + pageSize;
    let offset = scratch + stateBytes(places);
    for (const pages of sizes) {
      const nodeBytes = pages * pageSize;
      const memory = {
        state: offset + nodeBytes,
        scratch,
        places,
        nodes: offset,
        nodeBytes,
        slack: pageSize,
      };
      this.#levels.push({
        nodes: new PendingNodes(this.kernel, this.bulk, memory),
        pages: 0,
        pgno: 0,
        pgnoPrev: 0,
      });
      offset += nodeBytes + stateBytes(places);
    }
  }

  /** Highest dbtime that a page has: each has its own. */
  get dbtime(): number {
    return this.#dbtime;
  }

  begin(shape: TreeShape): void {
    this.#shape = shape;
    for (const level of this.#levels) {
      level.nodes.clear();
      level.pages = 0;
      level.pgno = 0;
      level.pgnoPrev = 0;
    }
    this.#nodeCount = 0;
    this.#leafRoom = Math.floor((this.#pageRoom * Math.min(100, Math.max(1, shape.density))) / 100);
  }

  /**
   * Adds the next node of the tree: its key, the first `keyLength` bytes of `key`, and `data[start..end)`.
   *
   * @throws EseError JET_errDatabaseCorrupted if it does not sort behind the one before it,
   *   JET_errRecordTooBig if no page can hold it, and what writing throws
   */
  add(key: Uint8Array, keyLength: number, data: Uint8Array, start: number, end: number): void {
    const dataLength = end - start;
    const at = this.#reserve(keyLength, dataLength);
    const { bytes } = this.kernel;
    copyBytes(bytes, at, key, 0, keyLength);
    copyBytes(bytes, at + keyLength, data, start, end);
    this.#settle();
  }

  /**
   * {@link add} for a node that lies in the kernel's memory, as in a page: the part of its key that comes from
   * the page's prefix, and the rest, with the data right behind it. Returns where the data are now; they may
   * be changed there until the next call, but not in length.
   */
  addNode(
    prefixStart: number,
    prefixLength: number,
    rest: number,
    suffixLength: number,
    dataLength: number,
  ): number {
    const at = this.#reserve(prefixLength + suffixLength, dataLength);
    if (prefixLength > 0) this.#move(at, prefixStart, prefixLength);
    this.#move(at + prefixLength, rest, suffixLength + dataLength);
    return this.#settle() - dataLength;
  }

  /**
   * Adds the live nodes of a sound leaf that lies at `offset` in the kernel's memory, as they are; `each` adds one that
   * is not plain, by its line. Without the bulk kernel none is.
   *
   * @throws EseError as {@link add}
   */
  addLeaf(offset: number, each: (line: number) => void): void {
    const { nodes } = this.#leaf();
    const { pageSize } = this;
    for (let line = 0; ; ) {
      line = nodes.addLeaf(
        offset,
        pageSize,
        line,
        this.#leafRoom,
        this.#nodesMax,
        this.#pageRoom - TAG_BYTES - 2,
        this.#isNonUnique,
      );
      this.#nodeCount += nodes.added;
      if (nodes.outcome === ADD_OUTCOME.done) return;
      if (nodes.outcome === ADD_OUTCOME.full) this.#emitSome(0, this.#leaf(), this.#leafRoom);
      else each(line++);
    }
  }

  /** Moves bytes that do not overlap: short pieces in a loop, which is faster than a call of the kernel. */
  #move(to: number, from: number, byteCount: number): void {
    if (byteCount >= LOOP_BYTES) {
      this.kernel.move(to, from, byteCount);
      return;
    }
    const { bytes } = this.kernel;
    for (let i = 0; i < byteCount; i++) bytes[to + i] = bytes[from + i] as number;
  }

  #reserve(keyLength: number, dataLength: number): number {
    const leaf = this.#leaf();
    if (keyLength + dataLength + TAG_BYTES + 2 > this.#pageRoom || dataLength === 0) {
      throw new EseError('JET_errRecordTooBig', `a node of ${keyLength + dataLength} bytes fits on no page`);
    }
    return leaf.nodes.reserve(keyLength, dataLength);
  }

  get #isNonUnique(): boolean {
    return ((this.#shape?.roleFlags ?? 0) & PAGE_FLAG.nonUnique) !== 0;
  }

  #leaf(): Level {
    const leaf = this.#levels[0];
    if (leaf === undefined || this.#shape === undefined) throw new Error('no tree was begun');
    return leaf;
  }

  /** Returns where the node that was added last ends. */
  #settle(): number {
    const { nodes } = this.#leaf();
    if (nodes.settle(this.#isNonUnique) <= 0) {
      throw new EseError(
        'JET_errDatabaseCorrupted',
        `the nodes of tree ${this.#shape?.objid ?? 0} are out of order`,
      );
    }
    this.#nodeCount++;
    this.#emitIfFull(0, this.#leafRoom);
    return nodes.tail;
  }

  /** Writes a page if the last node that was added to a level does not fit on it any more. */
  #emitIfFull(depth: number, room: number): void {
    const level = this.#level(depth);
    const { nodes } = level;
    if (nodes.count < 2) return;
    if (nodes.count <= this.#nodesMax && !nodes.isFull) {
      // The prefix is chosen anew only when one that saves on as before would not do.
      if (nodes.rawBytes - nodes.expectedSaving <= room) return;
      if (nodes.rawBytes - nodes.choosePrefix(nodes.count) <= room) return;
    }
    this.#emitSome(depth, level, room);
  }

  /** Writes a page of as many nodes as fit, but for the last one that was added. */
  #emitSome(depth: number, level: Level, room: number): void {
    const { nodes } = level;
    let count = nodes.count - 1;
    while (nodes.rawBytesOf(count) - nodes.choosePrefix(count) > room && count > 1) count--;
    this.#emit(depth, level, count);
    nodes.drop(count);
  }

  #level(depth: number): Level {
    const level = this.#levels[depth];
    if (level === undefined) throw new EseError('JET_errInternalError', 'the tree has too many levels');
    return level;
  }

  /** Writes the first `count` nodes of a level as a page, and its pointer to the level above. */
  #emit(depth: number, level: Level, count: number): void {
    const { nodes } = level;
    const isLast = count === nodes.count;
    const shape = this.#shape as TreeShape;
    const pgno = level.pgno || shape.takePage();
    let separator = count - 1;
    let separatorLength = nodes.keyLength(separator);
    if (depth === 0) {
      // The next leaf gets its number now: pages above come behind it.
      level.pgno = isLast ? 0 : shape.takePage();
      separator = count;
      separatorLength = isLast ? 0 : nodes.separatorLength(count);
    } else if (isLast) {
      separatorLength = 0;
    }
    const page = this.#window.place(pgno);
    page.initializeHeader(shape.roleFlags | levelFlags(depth), shape.objid, ++this.#dbtime);
    if (depth === 0) {
      page.pgnoPrev = level.pgnoPrev;
      page.pgnoNext = level.pgno;
      level.pgnoPrev = pgno;
    }
    nodes.compose(page, count, nodes.prefixLine);
    level.pages++;
    this.#addPointer(depth + 1, separatorLength === 0 ? 0 : nodes.keyStart(separator), separatorLength, pgno);
  }

  #addPointer(depth: number, keyStart: number, keyLength: number, pgno: number): void {
    const { nodes } = this.#level(depth);
    const at = nodes.reserve(keyLength, 4);
    const { bytes } = this.kernel;
    if (keyLength > 0) this.kernel.move(at, keyStart, keyLength);
    for (let i = 0; i < 4; i++) bytes[at + keyLength + i] = pgno >>> (8 * i);
    nodes.settle(false);
    this.#emitIfFull(depth, this.#pageRoom);
  }

  /** Ends the tree: what is left is written, but for the root. */
  finish(): BuiltTree {
    const shape = this.#shape;
    if (shape === undefined) throw new Error('no tree was begun');
    let branchPages = 0;
    for (let depth = 0; ; depth++) {
      const level = this.#level(depth);
      const { nodes } = level;
      const fits = nodes.rawBytes <= this.#pageRoom - shape.rootHeaderBytes && nodes.count <= this.#nodesMax;
      if (level.pages === 0 && fits) {
        const root = this.#composeRoot(shape, depth, nodes);
        this.#shape = undefined;
        const leafPages = depth === 0 ? 1 : this.#level(0).pages;
        if (depth > 0) branchPages++;
        return { root, nodes: this.#nodeCount, leafPages, branchPages };
      }
      const room = depth === 0 ? this.#leafRoom : this.#pageRoom;
      while (nodes.count > 1 && nodes.rawBytes - nodes.choosePrefix(nodes.count) > room) {
        this.#emitSome(depth, level, room);
      }
      nodes.choosePrefix(nodes.count);
      this.#emit(depth, level, nodes.count);
      if (depth > 0) branchPages += level.pages;
    }
  }

  #composeRoot(shape: TreeShape, depth: number, nodes: PendingNodes): Page {
    const bytes = this.kernel.bytes.subarray(this.#rootOffset, this.#rootOffset + this.pageSize);
    const page = new Page(bytes, shape.pgnoRoot);
    page.initialize(shape.roleFlags | PAGE_FLAG.root | levelFlags(depth), shape.objid, 0);
    nodes.compose(page, nodes.count, -1, shape.rootHeaderBytes);
    return new Page(bytes.slice(), shape.pgnoRoot);
  }

  /** Writes a page that was made elsewhere; its dbtime is set. */
  putPage(page: Page): void {
    page.dbtime = ++this.#dbtime;
    this.#window.place(page.pgno).bytes.set(page.bytes);
  }

  /** Writes everything that is still in memory. */
  flush(): void {
    this.#window.flush();
  }
}

function levelFlags(depth: number): number {
  return depth === 0 ? PAGE_FLAG.leaf : depth === 1 ? PAGE_FLAG.parentOfLeaf : 0;
}

/** Copies `from[start..end)`; short pieces byte by byte, which is faster than making a view of them. */
function copyBytes(to: Uint8Array, at: number, from: Uint8Array, start: number, end: number): void {
  if (end - start < LOOP_BYTES) {
    for (let i = start; i < end; i++) to[at + i - start] = from[i] as number;
  } else {
    to.set(from.subarray(start, end), at);
  }
}
