import { SPLIT_OPERATION, SPLIT_TYPE } from '../format/log-record-layout.js';
import { createNodeView, type NodeView, type Page } from '../format/page.js';

/**
 * How a page is split: at which line, by which kind of split, and which keys become the prefixes of both
 * pages (format specification, chapters 2.1.9 and 10.3.4). Nothing is changed here.
 *
 * Lines count the page with the new node in place. Sizes are those of nodes stored with their whole keys,
 * tags included; a prefix then saves bytes, and both pages must hold what is left.
 */
export interface SplitChoice {
  /** One of SPLIT_TYPE. */
  readonly type: number;
  /** One of SPLIT_OPERATION: what is carried out on the way; none where it would fit on neither page. */
  readonly operation: number;
  readonly ilineOper: number;
  /** First line that moves to the new page. */
  readonly ilineSplit: number;
  readonly clines: number;
  /** Line whose key becomes the prefix of the page that is split; -1 = none. */
  readonly ilinePrefixSplit: number;
  /** The same for the new page, counted from `ilineSplit`. */
  readonly ilinePrefixNew: number;
  /** Keys of the lines on both sides of the split; empty where there is none. */
  readonly keyBefore: Uint8Array;
  readonly keyAt: Uint8Array;
  /** Key of the line `ilinePrefixSplit`. */
  readonly prefixSplit: Uint8Array;
  /** Data of a line, where a separator may need it: in leaves of trees with keys that are not unique. */
  readonly dataOf: (line: number) => Uint8Array;
}

/** What is to be done to a line of the page that is split. */
export interface SplitOperation {
  /** One of SPLIT_OPERATION, not none. */
  readonly kind: number;
  readonly line: number;
  /** Key of the node that is inserted; the node's own for the others. */
  readonly key: Uint8Array;
  readonly data: Uint8Array;
}

export interface SplitQuestion {
  readonly page: Page;
  readonly operation: SplitOperation;
  /** An internal page above a leaf that is split at its end splits at its own end too. */
  readonly isAboveAppend: boolean;
  /** Bytes that the node at a line of the page may need beyond its present data, for a rollback. */
  readonly reservedAt: (line: number) => number;
}

/** Bytes of a node besides key and data: its tag and the length of its key. */
const NODE_OVERHEAD = 6;
/** A compressed node pays for the length of its prefix. */
const PREFIX_OVERHEAD = 2;
const TAG_BYTES = 4;
const NO_PREFIX = -1;
const NO_BYTES = new Uint8Array(0);
/** Room for lines and their keys that is there from the start. */
const LINES_START = 1024;
const KEY_BYTES_START = 65536;

/** The lines of the page that is split. One object serves all splits. */
class SplitLines {
  count = 0;
  /** Bytes of a line and of all before it, as they are, and as a rollback may make them. */
  sums = new Int32Array(LINES_START);
  sumsMost = new Int32Array(LINES_START);
  /** Bytes that a line saves with the key before it as prefix. */
  common = new Int32Array(LINES_START);
  /** By line from the start of a range: what {@link SplitLines.sumLeast} says. */
  leftSums = new Int32Array(LINES_START + 1);
  rightSums = new Int32Array(LINES_START + 1);
  #nearestLess = new Int32Array(LINES_START + 1);
  /** The keys, one behind the other, and where each begins. */
  #keys = new Uint8Array(KEY_BYTES_START);
  #starts = new Int32Array(LINES_START + 1);

  begin(count: number): void {
    this.count = count;
    if (count < this.sums.length) return;
    const length = 2 * count;
    this.sums = new Int32Array(length);
    this.sumsMost = new Int32Array(length);
    this.common = new Int32Array(length);
    this.#starts = new Int32Array(length + 1);
    this.leftSums = new Int32Array(length + 1);
    this.rightSums = new Int32Array(length + 1);
    this.#nearestLess = new Int32Array(length + 1);
  }

  /**
   * Sums, for each of the lines `start .. start + count - 1`, what it and the lines before it (`leftSums`), or behind
   * it (`rightSums`), have in common with it: the least on the way to each, until there is nothing in common any more.
   * The first line counts as having nothing in common with the one before.
   */
  sumLeast(start: number, count: number): void {
    const { common, leftSums, rightSums } = this;
    const nearest = this.#nearestLess;
    leftSums[0] = 0;
    nearest[0] = 0;
    for (let line = 1; line < count; line++) {
      const own = common[start + line] ?? 0;
      let less = line - 1;
      while (less > 0 && (common[start + less] ?? 0) >= own) less = nearest[less] ?? 0;
      nearest[line] = less;
      leftSums[line] = own * (line - less) + (leftSums[less] ?? 0);
    }
    rightSums[count] = 0;
    nearest[count] = count;
    for (let line = count - 1; line > 0; line--) {
      const own = common[start + line] ?? 0;
      let less = line + 1;
      while (less < count && (common[start + less] ?? 0) >= own) less = nearest[less] ?? count;
      nearest[line] = less;
      rightSums[line] = own * (less - line) + (rightSums[less] ?? 0);
    }
  }

  setNodeKey(line: number, page: Page, node: NodeView): number {
    const length = node.prefixLength + node.suffixLength;
    const start = this.#place(line, length);
    return page.copyKey(node, this.#keys, start);
  }

  setKey(line: number, key: Uint8Array): void {
    this.#keys.set(key, this.#place(line, key.length));
  }

  #place(line: number, length: number): number {
    const start = this.#starts[line] ?? 0;
    if (start + length > this.#keys.length) {
      const longer = new Uint8Array(2 * (start + length));
      longer.set(this.#keys.subarray(0, start));
      this.#keys = longer;
    }
    this.#starts[line + 1] = start + length;
    return start;
  }

  /** Copy of the key of a line; empty if there is no such line. */
  key(line: number): Uint8Array {
    if (line < 0 || line >= this.count) return NO_BYTES;
    return this.#keys.slice(this.#starts[line], this.#starts[line + 1]);
  }

  /** Notes the size of a line, after its key and the lines before it. */
  setSize(line: number, size: number, sizeMost: number): void {
    const isFirst = line === 0;
    this.sums[line] = size + (isFirst ? 0 : (this.sums[line - 1] ?? 0));
    this.sumsMost[line] = sizeMost + (isFirst ? 0 : (this.sumsMost[line - 1] ?? 0));
    this.common[line] = isFirst ? 0 : this.#savedAt(line);
  }

  #savedAt(line: number): number {
    const keys = this.#keys;
    const before = this.#starts[line - 1] ?? 0;
    const start = this.#starts[line] ?? 0;
    const limit = Math.min(start - before, (this.#starts[line + 1] ?? 0) - start);
    let same = 0;
    while (same < limit && keys[before + same] === keys[start + same]) same++;
    return Math.max(0, same - PREFIX_OVERHEAD);
  }
}

interface PrefixChoice {
  readonly line: number;
  readonly saved: number;
}
const WITHOUT_PREFIX: PrefixChoice = { line: NO_PREFIX, saved: 0 };

const lines = new SplitLines();
const view: NodeView = createNodeView();

/** Chooses how to split a page so that the operation finds room. */
export function chooseSplit(question: SplitQuestion): SplitChoice {
  const { page, operation } = question;
  const most = page.dataAreaBytes - TAG_BYTES;
  const isInsert = operation.kind === SPLIT_OPERATION.insert;
  if (!page.isRoot && page.isLeaf && isInsert && page.pgnoNext === 0 && operation.line === page.nodeCount) {
    return appendSplit(question, most);
  }
  readLines(question, true);
  let kind = operation.kind;
  const withoutOperation = (): void => {
    readLines(question, false);
    kind = SPLIT_OPERATION.none;
  };
  const result = (
    type: number,
    ilineSplit: number,
    prefixSplit: PrefixChoice,
    prefixNew: PrefixChoice,
  ): SplitChoice => ({
    type,
    operation: kind,
    ilineOper: kind === SPLIT_OPERATION.none ? 0 : operation.line,
    ilineSplit,
    clines: lines.count,
    ilinePrefixSplit: prefixSplit.line,
    ilinePrefixNew: prefixNew.line,
    keyBefore: lines.key(ilineSplit - 1),
    keyAt: lines.key(ilineSplit),
    prefixSplit: lines.key(prefixSplit.line),
    dataOf: dataOf(question, kind !== SPLIT_OPERATION.none),
  });

  if (isInsert && isHotpoint(page, operation.line)) {
    // What lies behind the run goes to the new page; the run then has the room up to the end of its page, and the next
    // time its page is full, only the new node goes.
    const { line } = operation;
    if (line < page.nodeCount) withoutOperation();
    const over = overflow(line, most);
    if (!over.split && !over.new) {
      return result(SPLIT_TYPE.right, line, choosePrefix(0, line), choosePrefix(line, lines.count - line));
    }
    readLines(question, true);
    kind = operation.kind;
  }
  if (page.isRoot) {
    if (bytesOf(lines.sumsMost, 0, lines.count) - choosePrefix(0, lines.count).saved > most) {
      withoutOperation();
    }
    return result(SPLIT_TYPE.vertical, 0, WITHOUT_PREFIX, choosePrefix(0, lines.count));
  }
  const isPrepend = page.isLeaf && isInsert && page.pgnoPrev === 0 && operation.line === 0;
  for (;;) {
    const line = question.isAboveAppend
      ? lastLineThatFits(most)
      : isPrepend && kind !== SPLIT_OPERATION.none
        ? 1
        : evenLineThatFits(most);
    if (line > 0) {
      return result(SPLIT_TYPE.right, line, choosePrefix(0, line), choosePrefix(line, lines.count - line));
    }
    if (kind === SPLIT_OPERATION.none) throw new Error(`page ${page.pgno} cannot be split`);
    withoutOperation();
  }
}

/**
 * Whether a node inserted at a line goes on with a run of inserts in the order of their keys, each behind the one before
 * (chapter 2.1.9): the two nodes before it are the last ones that the page has got, which their places show.
 */
function isHotpoint(page: Page, line: number): boolean {
  if (page.isRoot || !page.isLeaf || line < 2) return false;
  const placeOf = (other: number): number => {
    page.readNode(other, view);
    return view.suffixOffset;
  };
  const first = placeOf(line - 2);
  if (placeOf(line - 1) <= first) return false;
  for (let other = 0; other < page.nodeCount; other++) {
    if (other !== line - 2 && other !== line - 1 && placeOf(other) >= first) return false;
  }
  return true;
}

/** A node behind all others begins a page of its own, and its key may become the prefix there. */
function appendSplit({ page, operation }: SplitQuestion, most: number): SplitChoice {
  const { key, data, line } = operation;
  page.readNode(line - 1, view);
  const size = NODE_OVERHEAD + key.length + data.length;
  const isPrefix = key.length > PREFIX_OVERHEAD && size + PREFIX_OVERHEAD <= most;
  return {
    type: SPLIT_TYPE.append,
    operation: operation.kind,
    ilineOper: line,
    ilineSplit: line,
    clines: line + 1,
    ilinePrefixSplit: NO_PREFIX,
    ilinePrefixNew: isPrefix ? 0 : NO_PREFIX,
    keyBefore: page.key(view),
    keyAt: key,
    prefixSplit: NO_BYTES,
    dataOf: dataOf({ page, operation }, true),
  };
}

/** Reads the lines of the page into `lines`, with the operation carried out or without. */
function readLines({ page, operation, reservedAt }: SplitQuestion, withOperation: boolean): void {
  const inserts = withOperation && operation.kind === SPLIT_OPERATION.insert;
  const count = page.nodeCount + (inserts ? 1 : 0);
  lines.begin(count);
  for (let line = 0; line < count; line++) {
    if (inserts && line === operation.line) {
      lines.setKey(line, operation.key);
      const size = NODE_OVERHEAD + operation.key.length + operation.data.length;
      lines.setSize(line, size, size);
      continue;
    }
    const pageLine = inserts && line > operation.line ? line - 1 : line;
    page.readNode(pageLine, view);
    const overhead = NODE_OVERHEAD + lines.setNodeKey(line, page, view);
    const stored = overhead + view.dataLength;
    const size = withOperation && line === operation.line ? overhead + operation.data.length : stored;
    lines.setSize(line, size, Math.max(size, stored + reservedAt(pageLine)));
  }
}

function dataOf(
  { page, operation }: Pick<SplitQuestion, 'page' | 'operation'>,
  withOperation: boolean,
): (line: number) => Uint8Array {
  const inserts = withOperation && operation.kind === SPLIT_OPERATION.insert;
  return (line) => {
    if (withOperation && line === operation.line) return operation.data;
    page.readNode(inserts && line > operation.line ? line - 1 : line, view);
    return page.data(view);
  };
}

/** Bytes of the lines `from .. to - 1`. */
function bytesOf(sums: Int32Array, from: number, to: number): number {
  return (sums[to - 1] ?? 0) - (sums[from - 1] ?? 0);
}

/**
 * The line whose key saves most as the prefix of the lines `start .. start + count - 1`, counted from
 * `start`: with two lines the second; with more an inner one, by the sum over its neighbours of the least
 * that they have in common on the way to it (chapter 2.1.9).
 */
function choosePrefix(start: number, count: number): PrefixChoice {
  const { common } = lines;
  if (count < 2) return WITHOUT_PREFIX;
  if (count === 2) {
    const saved = (common[start + 1] ?? 0) - PREFIX_OVERHEAD;
    return saved > 0 ? { line: 1, saved } : WITHOUT_PREFIX;
  }
  lines.sumLeast(start, count);
  const { leftSums, rightSums } = lines;
  let bestLine = NO_PREFIX;
  let most = 0;
  for (let line = 1; line < count - 1; line++) {
    const own = common[start + line] ?? 0;
    if (line !== 1 && line !== count - 2) {
      // A neighbour is at least as good.
      const next = common[start + line + 1] ?? 0;
      if (next >= own || (common[start + line - 1] ?? 0) > own) continue;
    }
    const saved = (leftSums[line] ?? 0) + (rightSums[line + 1] ?? 0) - PREFIX_OVERHEAD;
    if (saved > most) {
      most = saved;
      bestLine = line;
    }
  }
  return bestLine === NO_PREFIX ? WITHOUT_PREFIX : { line: bestLine, saved: most };
}

/** Which of both pages would not hold its lines. */
function overflow(line: number, most: number): { split: boolean; new: boolean } {
  const { count, sumsMost } = lines;
  return {
    split: bytesOf(sumsMost, 0, line) - choosePrefix(0, line).saved > most,
    new: bytesOf(sumsMost, line, count) - choosePrefix(line, count - line).saved > most,
  };
}

/** The line farthest to the right at which both pages hold their lines; 0 = none. */
function lastLineThatFits(most: number): number {
  for (let line = lines.count - 1; line > 0; line--) {
    const over = overflow(line, most);
    if (!over.split && !over.new) return line;
  }
  return 0;
}

/** The line that balances the bytes of both pages, moved as far as they must be to hold them; 0 = none. */
function evenLineThatFits(most: number): number {
  let line = evenLine();
  let direction = 0;
  for (;;) {
    const over = overflow(line, most);
    if (!over.split && !over.new) return line;
    if (over.split && over.new) return 0;
    const step = over.split ? -1 : 1;
    if (direction === -step) return 0;
    direction = step;
    line += step;
    if (line <= 0 || line >= lines.count) return 0;
  }
}

/** The line whose left side comes nearest to half of all bytes; of two that are as near, the one to the right. */
function evenLine(): number {
  const { sums, count } = lines;
  const total = sums[count - 1] ?? 0;
  const half = Math.floor(total / 2);
  const left = (line: number): number => sums[line - 1] ?? 0;
  const isLeftSmaller = (line: number): boolean => left(line) < total - left(line);
  let line = count >> 1;
  const startedSmaller = isLeftSmaller(line);
  let best = 0;
  let bestDistance = half;
  for (;;) {
    const distance = Math.abs(left(line) - half);
    if (distance < bestDistance || (distance === bestDistance && line > best)) {
      best = line;
      bestDistance = distance;
    }
    if (isLeftSmaller(line) !== startedSmaller) break;
    line += startedSmaller ? 1 : -1;
    if (line === count || line === 0) break;
  }
  return best;
}
