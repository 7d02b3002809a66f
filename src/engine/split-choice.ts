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
  /** Keys of all lines. */
  readonly keys: readonly Uint8Array[];
  /** Data of the lines, where a separator may need it: in leaves of trees with keys that are not unique. */
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

interface Lines {
  readonly keys: Uint8Array[];
  readonly data: (line: number) => Uint8Array;
  /** Bytes of a node and of all before it, as they are, and as a rollback may make them. */
  readonly sums: Int32Array;
  readonly sumsMost: Int32Array;
  /** Bytes that a node saves with the key before it as prefix. */
  readonly common: Int32Array;
}

interface PrefixChoice {
  readonly line: number;
  readonly saved: number;
}
const WITHOUT_PREFIX: PrefixChoice = { line: NO_PREFIX, saved: 0 };

/** Chooses how to split a page so that the operation finds room. */
export function chooseSplit(question: SplitQuestion): SplitChoice {
  const { page, operation } = question;
  const most = page.dataAreaBytes - TAG_BYTES;
  let lines = linesOf(question, true);
  let kind = operation.kind;
  const withoutOperation = (): void => {
    lines = linesOf(question, false);
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
    clines: lines.keys.length,
    ilinePrefixSplit: prefixSplit.line,
    ilinePrefixNew: prefixNew.line,
    keys: lines.keys,
    dataOf: lines.data,
  });

  if (page.isRoot) {
    if (
      bytesOf(lines.sumsMost, 0, lines.keys.length) - choosePrefix(lines, 0, lines.keys.length).saved >
      most
    ) {
      withoutOperation();
    }
    return result(SPLIT_TYPE.vertical, 0, WITHOUT_PREFIX, choosePrefix(lines, 0, lines.keys.length));
  }
  const isInsert = operation.kind === SPLIT_OPERATION.insert;
  const last = lines.keys.length - 1;
  if (page.isLeaf && isInsert && page.pgnoNext === 0 && operation.line === last) {
    const key = lines.keys[last];
    const size = bytesOf(lines.sums, last, last + 1);
    const asPrefix = (key?.length ?? 0) > PREFIX_OVERHEAD && size + PREFIX_OVERHEAD <= most;
    return result(SPLIT_TYPE.append, last, WITHOUT_PREFIX, asPrefix ? { line: 0, saved: 0 } : WITHOUT_PREFIX);
  }
  const isPrepend = page.isLeaf && isInsert && page.pgnoPrev === 0 && operation.line === 0;
  for (;;) {
    const line = question.isAboveAppend
      ? lastLineThatFits(lines, most)
      : isPrepend && kind !== SPLIT_OPERATION.none
        ? 1
        : evenLineThatFits(lines, most);
    if (line > 0) {
      const count = lines.keys.length;
      return result(
        SPLIT_TYPE.right,
        line,
        choosePrefix(lines, 0, line),
        choosePrefix(lines, line, count - line),
      );
    }
    if (kind === SPLIT_OPERATION.none) throw new Error(`page ${page.pgno} cannot be split`);
    withoutOperation();
  }
}

const view: NodeView = createNodeView();

function linesOf({ page, operation, reservedAt }: SplitQuestion, withOperation: boolean): Lines {
  const inserts = withOperation && operation.kind === SPLIT_OPERATION.insert;
  const count = page.nodeCount + (inserts ? 1 : 0);
  const keys: Uint8Array[] = [];
  const sums = new Int32Array(count);
  const sumsMost = new Int32Array(count);
  const common = new Int32Array(count);
  const pageLine = (line: number): number => (inserts && line > operation.line ? line - 1 : line);
  const isOperation = (line: number): boolean => withOperation && line === operation.line;
  for (let line = 0; line < count; line++) {
    let size: number;
    let sizeMost: number;
    if (inserts && line === operation.line) {
      keys.push(operation.key);
      size = NODE_OVERHEAD + operation.key.length + operation.data.length;
      sizeMost = size;
    } else {
      page.readNode(pageLine(line), view);
      const key = page.key(view);
      keys.push(key);
      const stored = NODE_OVERHEAD + key.length + view.dataLength;
      size = isOperation(line) ? NODE_OVERHEAD + key.length + operation.data.length : stored;
      sizeMost = Math.max(size, stored + reservedAt(pageLine(line)));
    }
    sums[line] = (sums[line - 1] ?? 0) + size;
    sumsMost[line] = (sumsMost[line - 1] ?? 0) + sizeMost;
    common[line] = line === 0 ? 0 : savedBetween(keys[line - 1], keys[line]);
  }
  const data = (line: number): Uint8Array => {
    if (isOperation(line)) return operation.data;
    page.readNode(pageLine(line), view);
    return page.data(view);
  };
  return { keys, data, sums, sumsMost, common };
}

function savedBetween(a: Uint8Array | undefined, b: Uint8Array | undefined): number {
  if (a === undefined || b === undefined) return 0;
  const limit = Math.min(a.length, b.length);
  let same = 0;
  while (same < limit && a[same] === b[same]) same++;
  return Math.max(0, same - PREFIX_OVERHEAD);
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
function choosePrefix({ common }: Lines, start: number, count: number): PrefixChoice {
  if (count < 2) return WITHOUT_PREFIX;
  const at = (line: number): number => (line <= 0 || line >= count ? 0 : (common[start + line] ?? 0));
  if (count === 2) {
    const saved = at(1) - PREFIX_OVERHEAD;
    return saved > 0 ? { line: 1, saved } : WITHOUT_PREFIX;
  }
  let best = WITHOUT_PREFIX;
  for (let line = 1; line < count - 1; line++) {
    if (line !== 1 && line !== count - 2) {
      // A neighbour is at least as good.
      if (at(line + 1) >= at(line)) continue;
      if (at(line - 1) > at(line) && at(line + 1) < at(line)) continue;
    }
    let saved = -PREFIX_OVERHEAD;
    let least = at(line);
    for (let left = line; at(left) > 0; left--) {
      least = Math.min(least, at(left));
      saved += least;
    }
    least = at(line + 1);
    for (let right = line + 1; at(right) > 0; right++) {
      least = Math.min(least, at(right));
      saved += least;
    }
    if (saved > best.saved) best = { line, saved };
  }
  return best;
}

/** Which of both pages would not hold its lines. */
function overflow(lines: Lines, line: number, most: number): { split: boolean; new: boolean } {
  const count = lines.keys.length;
  return {
    split: bytesOf(lines.sumsMost, 0, line) - choosePrefix(lines, 0, line).saved > most,
    new: bytesOf(lines.sumsMost, line, count) - choosePrefix(lines, line, count - line).saved > most,
  };
}

/** The line farthest to the right at which both pages hold their lines; 0 = none. */
function lastLineThatFits(lines: Lines, most: number): number {
  for (let line = lines.keys.length - 1; line > 0; line--) {
    const over = overflow(lines, line, most);
    if (!over.split && !over.new) return line;
  }
  return 0;
}

/** The line that balances the bytes of both pages, moved as far as they must be to hold them; 0 = none. */
function evenLineThatFits(lines: Lines, most: number): number {
  let line = evenLine(lines);
  let direction = 0;
  for (;;) {
    const over = overflow(lines, line, most);
    if (!over.split && !over.new) return line;
    if (over.split && over.new) return 0;
    const step = over.split ? -1 : 1;
    if (direction === -step) return 0;
    direction = step;
    line += step;
    if (line <= 0 || line >= lines.keys.length) return 0;
  }
}

/** The line whose left side comes nearest to half of all bytes; of two that are as near, the one to the right. */
function evenLine({ sums, keys }: Lines): number {
  const count = keys.length;
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
