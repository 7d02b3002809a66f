import type { ChecksumKernel } from '../../format/checksum-kernel.js';
import { NODE_FLAG, type Page } from '../../format/page.js';
import type { BulkKernel } from './bulk-kernel.js';

/** Bytes that a node takes besides its key and data: its tag and the length of its key (chapter 1.5.2). */
const NODE_OVERHEAD = 6;
const TAG_BYTES = 4;
/** A prefix is used only if it is longer than the two bytes that its length costs (chapter 1.5.4). */
const PREFIX_OVERHEAD = 2;
const NO_PREFIX = -1;
const NODE_FLAGS_SHIFT = 13;
const COMPRESSED = NODE_FLAG.compressed << NODE_FLAGS_SHIFT;
/** The state of a level, see kernel/bulk.ts: words, and arrays of so many words. */
const WORD = {
  base: 0,
  end: 1,
  tail: 2,
  count: 3,
  rawBytes: 4,
  prefixLine: 5,
  places: 8,
  scratch: 9,
  room: 10,
  nodesMax: 11,
  byData: 12,
  nodeMost: 13,
  outcome: 14,
  added: 15,
} as const;
const AT_SAVED = 24;
const STATE_BYTES = 64;
const ARRAYS = 4;
const WORD_BYTES = 4;

/** Why adding a leaf has ended: all nodes are there; the page is full; the next node is to be added by itself. */
export const ADD_OUTCOME = { done: 0, full: 1, refused: 2 } as const;

/** Bytes for the state of a level, or for the scratch memory of all, with places for so many nodes. */
export function stateBytes(places: number): number {
  return STATE_BYTES + ARRAYS * WORD_BYTES * places;
}

/** Memory of a level, in bytes from the start of the kernel's. */
export interface LevelMemory {
  /** {@link stateBytes} of it. */
  readonly state: number;
  /** The same, shared by all levels. */
  readonly scratch: number;
  /** Most nodes that are collected. */
  readonly places: number;
  /** For keys and data. */
  readonly nodes: number;
  readonly nodeBytes: number;
  /** Bytes of it for the one node that comes after all others. */
  readonly slack: number;
}

/**
 * Nodes of one page to come, in key order, in a piece of the kernel's memory: key and data of each lie
 * together. They are written to their page all at once, when it is known how many fit and which key serves
 * them best as prefix (format specification, chapter 2.1.9).
 */
export class PendingNodes {
  readonly #kernel: ChecksumKernel;
  readonly #bulk: BulkKernel | undefined;
  readonly #memory: Uint8Array;
  readonly #stateOffset: number;
  readonly #words: Int32Array;
  readonly #view: DataView;
  readonly #start: number;
  readonly #starts: Int32Array;
  readonly #keyLengths: Int32Array;
  readonly #dataLengths: Int32Array;
  /** Bytes that a key has in common with the one before it; of the first node: with the last one dropped. */
  readonly #common: Int32Array;
  /** For {@link choosePrefix}: sums to the left, and a stack of runs. */
  readonly #left: Int32Array;
  readonly #stackValues: Int32Array;
  readonly #stackCounts: Int32Array;
  /** For {@link compose}. */
  readonly #prefixLengths: Int32Array;

  /** @param bulk does the same faster */
  constructor(kernel: ChecksumKernel, bulk: BulkKernel | undefined, memory: LevelMemory) {
    const { buffer, byteOffset } = kernel.bytes;
    const { state, scratch, places, nodes, nodeBytes, slack } = memory;
    this.#kernel = kernel;
    this.#bulk = bulk;
    this.#memory = kernel.bytes;
    this.#stateOffset = state;
    this.#words = new Int32Array(buffer, byteOffset + state, STATE_BYTES / WORD_BYTES);
    this.#view = new DataView(buffer, byteOffset + state, STATE_BYTES);
    this.#start = nodes;
    const array = (at: number, i: number): Int32Array =>
      new Int32Array(buffer, byteOffset + at + i * WORD_BYTES * places, places);
    const arrays = state + STATE_BYTES;
    this.#starts = array(arrays, 0);
    this.#keyLengths = array(arrays, 1);
    this.#dataLengths = array(arrays, 2);
    this.#common = array(arrays, 3);
    this.#left = array(scratch, 0);
    this.#stackValues = array(scratch, 1);
    this.#stackCounts = array(scratch, 2);
    this.#prefixLengths = array(scratch, 3);
    const words = this.#words;
    words[WORD.base] = byteOffset;
    words[WORD.end] = nodes + nodeBytes - slack;
    words[WORD.places] = places;
    words[WORD.scratch] = byteOffset + scratch;
    this.clear();
  }

  /** Number of nodes. */
  get count(): number {
    return this.#words[WORD.count] as number;
  }

  /** Bytes of all nodes with their tags, stored with their whole keys. */
  get rawBytes(): number {
    return this.#words[WORD.rawBytes] as number;
  }

  /** The line whose key saved most in the last {@link choosePrefix}; -1 = none is worth it. */
  get prefixLine(): number {
    return this.#words[WORD.prefixLine] as number;
  }

  /** Where the last node ends. */
  get tail(): number {
    return this.#words[WORD.tail] as number;
  }

  /** The memory is used up but for the slack: nodes must be written before the next is added. */
  get isFull(): boolean {
    return this.tail > (this.#words[WORD.end] as number);
  }

  /** What the prefix that was chosen last saves for a node on average. */
  get #savedPerNode(): number {
    return this.#view.getFloat64(AT_SAVED, true);
  }
  set #savedPerNode(value: number) {
    this.#view.setFloat64(AT_SAVED, value, true);
  }

  clear(): void {
    const words = this.#words;
    words[WORD.count] = 0;
    words[WORD.rawBytes] = 0;
    words[WORD.tail] = this.#start;
    words[WORD.prefixLine] = NO_PREFIX;
    this.#savedPerNode = 0;
  }

  /**
   * Adds the live nodes of the sound leaf that lies at `offset` in the kernel's memory, from `line` on, and returns
   * the line behind the last one; {@link outcome} says why it is that. Only with the bulk kernel.
   *
   * @param room bytes of a page that may be filled
   * @param nodesMax most nodes of a page
   * @param nodeMost bytes of the largest key with its data
   * @param byData nodes of one key are ordered by their data
   */
  addLeaf(
    offset: number,
    pageSize: number,
    line: number,
    room: number,
    nodesMax: number,
    nodeMost: number,
    byData: boolean,
  ): number {
    const words = this.#words;
    words[WORD.room] = room;
    words[WORD.nodesMax] = nodesMax;
    words[WORD.nodeMost] = nodeMost;
    words[WORD.byData] = byData ? 1 : 0;
    return this.#bulk?.addLeaf(this.#stateOffset, offset, pageSize, line) ?? line;
  }

  /** Why {@link addLeaf} has ended: see {@link ADD_OUTCOME}. */
  get outcome(): number {
    return this.#words[WORD.outcome] as number;
  }

  /** Nodes that the last {@link addLeaf} has added. */
  get added(): number {
    return this.#words[WORD.added] as number;
  }

  /** Bytes that a prefix would save if it saved as much for each node as the last one chosen did. */
  get expectedSaving(): number {
    return this.#savedPerNode * this.count;
  }

  /** Bytes of the first `count` nodes; see {@link rawBytes}. */
  rawBytesOf(count: number): number {
    let bytes = this.rawBytes;
    for (let i = count; i < this.count; i++) {
      bytes -= NODE_OVERHEAD + (this.#keyLengths[i] as number) + (this.#dataLengths[i] as number);
    }
    return bytes;
  }

  /**
   * Makes room for one more node and returns where its key goes in the kernel's memory; the data follow it.
   * {@link settle} must come next. Until {@link isFull} there is room for a node of `slack` bytes.
   */
  reserve(keyLength: number, dataLength: number): number {
    const words = this.#words;
    const index = words[WORD.count] as number;
    const at = words[WORD.tail] as number;
    this.#starts[index] = at;
    this.#keyLengths[index] = keyLength;
    this.#dataLengths[index] = dataLength;
    words[WORD.tail] = at + keyLength + dataLength;
    words[WORD.rawBytes] = this.rawBytes + NODE_OVERHEAD + keyLength + dataLength;
    words[WORD.count] = index + 1;
    return at;
  }

  /**
   * Compares the node that was added last with the one before it: negative or 0 when it does not come behind
   * it, by key alone or by key and data.
   */
  settle(byData: boolean): number {
    const index = this.count - 1;
    if (index === 0) {
      this.#common[0] = 0;
      return 1;
    }
    const bytes = this.#memory;
    const own = this.#starts[index] as number;
    const before = this.#starts[index - 1] as number;
    const ownLength = this.#keyLengths[index] as number;
    const beforeLength = this.#keyLengths[index - 1] as number;
    const limit = Math.min(ownLength, beforeLength);
    let common = 0;
    while (common < limit && bytes[own + common] === bytes[before + common]) common++;
    this.#common[index] = common;
    if (common < limit) return (bytes[own + common] as number) - (bytes[before + common] as number);
    if (ownLength !== beforeLength || !byData) return ownLength - beforeLength;
    return this.#compareData(index);
  }

  #compareData(index: number): number {
    const bytes = this.#memory;
    const own = (this.#starts[index] as number) + (this.#keyLengths[index] as number);
    const before = (this.#starts[index - 1] as number) + (this.#keyLengths[index - 1] as number);
    const same = this.#commonData(index);
    const ownLength = this.#dataLengths[index] as number;
    const beforeLength = this.#dataLengths[index - 1] as number;
    if (same < Math.min(ownLength, beforeLength)) {
      return (bytes[own + same] as number) - (bytes[before + same] as number);
    }
    return ownLength - beforeLength;
  }

  #commonData(index: number): number {
    const bytes = this.#memory;
    const own = (this.#starts[index] as number) + (this.#keyLengths[index] as number);
    const before = (this.#starts[index - 1] as number) + (this.#keyLengths[index - 1] as number);
    const limit = Math.min(this.#dataLengths[index] as number, this.#dataLengths[index - 1] as number);
    let same = 0;
    while (same < limit && bytes[own + same] === bytes[before + same]) same++;
    return same;
  }

  /** Where the key of a node lies in the kernel's memory. */
  keyStart(index: number): number {
    return this.#starts[index] as number;
  }

  keyLength(index: number): number {
    return this.#keyLengths[index] as number;
  }

  /**
   * Length of the shortest separator between node `index` and the one before it, counted from the start of
   * its key; it goes on into the data where the keys are equal (chapter 2.1.4).
   */
  separatorLength(index: number): number {
    const common = this.#common[index] as number;
    const keyLength = this.#keyLengths[index] as number;
    if (common < keyLength) return common + 1;
    return keyLength + Math.min(this.#commonData(index) + 1, this.#dataLengths[index] as number);
  }

  /**
   * Chooses the node among the first `count` whose key serves best as their prefix, and returns the bytes that
   * it saves. With two nodes it is the second, with more an inner one, as the engine chooses.
   *
   * A key saves with each other key what all neighbours on the way to it have in common, so one pass from
   * either side gives the sums of all candidates.
   */
  choosePrefix(count: number): number {
    if (this.#bulk !== undefined) return this.#bulk.choose(this.#stateOffset, count);
    const saved = this.#findPrefix(count);
    this.#savedPerNode = count === 0 ? 0 : saved / count;
    return saved;
  }

  #findPrefix(count: number): number {
    this.#words[WORD.prefixLine] = NO_PREFIX;
    const common = this.#common;
    const left = this.#left;
    const values = this.#stackValues;
    const counts = this.#stackCounts;
    let depth = 0;
    let sum = 0;
    let most = 0;
    left[0] = 0;
    for (let line = 1; line < count; line++) {
      const saved = (common[line] as number) - PREFIX_OVERHEAD;
      if (saved <= 0) {
        depth = 0;
        sum = 0;
      } else {
        let run = 1;
        while (depth > 0 && (values[depth - 1] as number) >= saved) {
          depth--;
          run += counts[depth] as number;
          sum -= (values[depth] as number) * (counts[depth] as number);
        }
        values[depth] = saved;
        counts[depth] = run;
        depth++;
        sum += saved * run;
        if (sum > most) most = sum;
      }
      left[line] = sum;
    }
    if (most === 0) return 0;
    let best = PREFIX_OVERHEAD;
    if (count === 2) {
      if ((left[1] as number) > best) this.#words[WORD.prefixLine] = 1;
      return Math.max(0, (left[1] as number) - PREFIX_OVERHEAD);
    }
    depth = 0;
    sum = 0;
    for (let line = count - 2; line > 0; line--) {
      const saved = (common[line + 1] as number) - PREFIX_OVERHEAD;
      if (saved <= 0) {
        depth = 0;
        sum = 0;
      } else {
        let run = 1;
        while (depth > 0 && (values[depth - 1] as number) >= saved) {
          depth--;
          run += counts[depth] as number;
          sum -= (values[depth] as number) * (counts[depth] as number);
        }
        values[depth] = saved;
        counts[depth] = run;
        depth++;
        sum += saved * run;
      }
      if ((left[line] as number) + sum > best) {
        best = (left[line] as number) + sum;
        this.#words[WORD.prefixLine] = line;
      }
    }
    return best - PREFIX_OVERHEAD;
  }

  /**
   * Writes the first `count` nodes to a new page, which lies in the kernel's memory and has no nodes yet. `prefixLine` gives the prefix key; with -1 there is an external header of `externalBytes` instead, all
   * zero.
   */
  compose(page: Page, count: number, prefixLine: number, externalBytes = 0): void {
    const offset = page.bytes.byteOffset - this.#memory.byteOffset;
    const used =
      this.#bulk?.compose(this.#stateOffset, offset, page.pageSize, count, prefixLine, externalBytes) ??
      this.#compose(page, offset, count, prefixLine, externalBytes);
    if (used < 0) throw new Error(`${count} nodes do not fit on page ${page.pgno}`);
    page.setSpace(1 + count, used);
  }

  #compose(page: Page, offset: number, count: number, prefixLine: number, externalBytes: number): number {
    const bytes = this.#memory;
    const kernel = this.#kernel;
    const starts = this.#starts;
    const keyLengths = this.#keyLengths;
    const dataLengths = this.#dataLengths;
    const prefixLengths = this.#prefixLengths;
    const { isLarge, headerBytes } = page;
    const base = offset + headerBytes;
    let at = base;
    let tag = offset + page.pageSize - TAG_BYTES;
    if (prefixLine >= 0) {
      const length = keyLengths[prefixLine] as number;
      kernel.move(at, starts[prefixLine] as number, length);
      this.#measurePrefixes(count, prefixLine);
      at += length;
    } else {
      bytes.fill(0, at, at + externalBytes);
      prefixLengths.fill(0, 0, count);
      at += externalBytes;
    }
    bytes[tag] = (at - base) & 0xff;
    bytes[tag + 1] = (at - base) >> 8;
    bytes[tag + 2] = 0;
    bytes[tag + 3] = 0;
    for (let line = 0; line < count; line++) {
      const ib = at - base;
      const prefixLength = prefixLengths[line] as number;
      const suffixLength = (keyLengths[line] as number) - prefixLength;
      let ibWord = ib;
      if (prefixLength > 0) {
        // The flags of a node are in its tag, on large pages in its first word.
        let prefixWord = prefixLength;
        if (isLarge) prefixWord |= COMPRESSED;
        else ibWord |= COMPRESSED;
        bytes[at] = prefixWord & 0xff;
        bytes[at + 1] = prefixWord >> 8;
        at += 2;
      }
      bytes[at] = suffixLength & 0xff;
      bytes[at + 1] = suffixLength >> 8;
      at += 2;
      const rest = suffixLength + (dataLengths[line] as number);
      kernel.move(at, (starts[line] as number) + prefixLength, rest);
      at += rest;
      const size = at - base - ib;
      tag -= TAG_BYTES;
      bytes[tag] = size & 0xff;
      bytes[tag + 1] = size >> 8;
      bytes[tag + 2] = ibWord & 0xff;
      bytes[tag + 3] = ibWord >> 8;
    }
    if (at > tag) return -1;
    bytes.fill(0, at, tag);
    return at - base;
  }

  /** What each of the first `count` keys shares with the prefix: the least that neighbours share on the way. */
  #measurePrefixes(count: number, prefixLine: number): void {
    const common = this.#common;
    const lengths = this.#prefixLengths;
    const own = this.#keyLengths[prefixLine] as number;
    lengths[prefixLine] = own > PREFIX_OVERHEAD ? own : 0;
    let least = own;
    for (let line = prefixLine - 1; line >= 0; line--) {
      const shared = common[line + 1] as number;
      if (shared < least) least = shared;
      lengths[line] = least > PREFIX_OVERHEAD ? least : 0;
    }
    least = own;
    for (let line = prefixLine + 1; line < count; line++) {
      const shared = common[line] as number;
      if (shared < least) least = shared;
      lengths[line] = least > PREFIX_OVERHEAD ? least : 0;
    }
  }

  /** Forgets the first `count` nodes. */
  drop(count: number): void {
    const words = this.#words;
    const { tail } = this;
    const raw = this.rawBytes - this.rawBytesOf(count);
    const left = this.count - count;
    const from = left === 0 ? tail : (this.#starts[count] as number);
    const by = from - this.#start;
    this.#kernel.move(this.#start, from, tail - from);
    for (const array of [this.#starts, this.#keyLengths, this.#dataLengths, this.#common]) {
      array.copyWithin(0, count, count + left);
    }
    for (let i = 0; i < left; i++) this.#starts[i] = (this.#starts[i] as number) - by;
    words[WORD.count] = left;
    words[WORD.rawBytes] = raw;
    words[WORD.tail] = tail - by;
    this.#savedPerNode = 0;
  }
}
