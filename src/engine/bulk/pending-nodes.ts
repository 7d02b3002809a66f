import type { ChecksumKernel } from '../../format/checksum-kernel.js';
import { NODE_FLAG, type Page } from '../../format/page.js';

/** Bytes that a node takes besides its key and data: its tag and the length of its key (chapter 1.5.2). */
const NODE_OVERHEAD = 6;
const TAG_BYTES = 4;
/** A prefix is used only if it is longer than the two bytes that its length costs (chapter 1.5.4). */
const PREFIX_OVERHEAD = 2;
const NO_PREFIX = -1;
const NODE_FLAGS_SHIFT = 13;
const COMPRESSED = NODE_FLAG.compressed << NODE_FLAGS_SHIFT;
const NO_BYTES = new Uint8Array(0);

/**
 * Nodes of one page to come, in key order, in a piece of the kernel's memory: key and data of each lie
 * together. They are written to their page all at once, when it is known how many fit and which key serves
 * them best as prefix (format specification, chapter 2.1.9).
 */
export class PendingNodes {
  /** Number of nodes. */
  count = 0;
  /** Bytes of all nodes with their tags, stored with their whole keys. */
  rawBytes = 0;
  readonly #kernel: ChecksumKernel;
  readonly #memory: Uint8Array;
  readonly #start: number;
  readonly #end: number;
  #tail: number;
  /** What the prefix that was chosen last saves for a node on average. */
  #savedPerNode = 0;
  #starts: Int32Array;
  #keyLengths: Int32Array;
  #dataLengths: Int32Array;
  /** Bytes that a key has in common with the one before it; of the first node: with the last one dropped. */
  #common: Int32Array;
  /** For {@link choosePrefix}: sums to the left, and a stack of runs. */
  #left: Int32Array;
  #stackValues: Int32Array;
  #stackCounts: Int32Array;
  /** For {@link compose}. */
  #prefixLengths: Int32Array;

  /**
   * @param byteCount memory from `offset` on
   * @param slack bytes of it for the one node that comes after all others
   */
  constructor(kernel: ChecksumKernel, offset: number, byteCount: number, slack: number) {
    this.#kernel = kernel;
    this.#memory = kernel.bytes;
    this.#start = offset;
    this.#end = offset + byteCount - slack;
    this.#tail = offset;
    const arrays = (): Int32Array => new Int32Array(256);
    this.#starts = arrays();
    this.#keyLengths = arrays();
    this.#dataLengths = arrays();
    this.#common = arrays();
    this.#left = arrays();
    this.#stackValues = arrays();
    this.#stackCounts = arrays();
    this.#prefixLengths = arrays();
  }

  /** The memory is used up but for the slack: nodes must be written before the next is added. */
  get isFull(): boolean {
    return this.#tail > this.#end;
  }

  clear(): void {
    this.count = 0;
    this.rawBytes = 0;
    this.#savedPerNode = 0;
    this.#tail = this.#start;
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

  /** Where the last node ends. */
  get tail(): number {
    return this.#tail;
  }

  /**
   * Makes room for one more node and returns where its key goes in the kernel's memory; the data follow it.
   * {@link settle} must come next. Until {@link isFull} there is room for a node of `slack` bytes.
   */
  reserve(keyLength: number, dataLength: number): number {
    const index = this.count;
    if (index === this.#starts.length) this.#grow();
    const at = this.#tail;
    this.#starts[index] = at;
    this.#keyLengths[index] = keyLength;
    this.#dataLengths[index] = dataLength;
    this.#tail = at + keyLength + dataLength;
    this.rawBytes += NODE_OVERHEAD + keyLength + dataLength;
    this.count = index + 1;
    return at;
  }

  #grow(): void {
    const grown = (array: Int32Array): Int32Array => {
      const larger = new Int32Array(2 * array.length);
      larger.set(array);
      return larger;
    };
    this.#starts = grown(this.#starts);
    this.#keyLengths = grown(this.#keyLengths);
    this.#dataLengths = grown(this.#dataLengths);
    this.#common = grown(this.#common);
    this.#left = grown(this.#left);
    this.#stackValues = grown(this.#stackValues);
    this.#stackCounts = grown(this.#stackCounts);
    this.#prefixLengths = grown(this.#prefixLengths);
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

  /** The line whose key saved most in the last {@link choosePrefix}; -1 = none is worth it. */
  prefixLine = NO_PREFIX;

  /**
   * Chooses the node among the first `count` whose key serves best as their prefix, and returns the bytes that
   * it saves. With two nodes it is the second, with more an inner one, as the engine chooses.
   *
   * A key saves with each other key what all neighbours on the way to it have in common, so one pass from
   * either side gives the sums of all candidates.
   */
  choosePrefix(count: number): number {
    const saved = this.#findPrefix(count);
    this.#savedPerNode = count === 0 ? 0 : saved / count;
    return saved;
  }

  #findPrefix(count: number): number {
    this.prefixLine = NO_PREFIX;
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
      if ((left[1] as number) > best) this.prefixLine = 1;
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
        this.prefixLine = line;
      }
    }
    return best - PREFIX_OVERHEAD;
  }

  /**
   * Writes the first `count` nodes to a new page, which lies in the kernel's memory at `offset` and has no
   * nodes yet. `prefixLine` gives the prefix key, -1 = `external` is the external header instead.
   */
  compose(
    page: Page,
    offset: number,
    count: number,
    prefixLine: number,
    external: Uint8Array = NO_BYTES,
  ): void {
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
      bytes.set(external, at);
      prefixLengths.fill(0, 0, count);
      at += external.length;
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
    if (at > tag) throw new Error(`${count} nodes do not fit on page ${page.pgno}`);
    bytes.fill(0, at, tag);
    page.setSpace(1 + count, at - base);
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
    const starts = this.#starts;
    const keyLengths = this.#keyLengths;
    const dataLengths = this.#dataLengths;
    const left = this.count - count;
    let to = this.#start;
    let raw = 0;
    for (let i = 0; i < left; i++) {
      const from = count + i;
      const keyLength = keyLengths[from] as number;
      const dataLength = dataLengths[from] as number;
      this.#kernel.move(to, starts[from] as number, keyLength + dataLength);
      starts[i] = to;
      keyLengths[i] = keyLength;
      dataLengths[i] = dataLength;
      this.#common[i] = this.#common[from] as number;
      to += keyLength + dataLength;
      raw += NODE_OVERHEAD + keyLength + dataLength;
    }
    this.count = left;
    this.rawBytes = raw;
    this.#savedPerNode = 0;
    this.#tail = to;
  }
}
