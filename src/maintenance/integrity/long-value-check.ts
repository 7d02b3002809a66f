/**
 * Long values: each has a root and all of its chunks (format specification, chapters 2.4 and 7.1.4). A value may
 * reach over many pages, which different threads may read; each hands on the ends of what it saw, and
 * {@link joinLongValues} puts them together.
 */

import { compressionSupport, decompress } from '../../format/compression.js';
import { EseError } from '../../format/ese-error.js';
import {
  decodeLongValueRoot,
  formatLid,
  type Lid,
  LONG_VALUE_ROOT,
  longValueChunkLength,
  REFERENCES_PARTIALLY_DELETED,
  readLongValueKey,
} from '../../format/long-value.js';
import type { NodeView, Page } from '../../format/page.js';
import {
  compareRanked,
  countFinding,
  type FindingList,
  type IntegrityCode,
  type RankedFinding,
  UNIT_LAST,
} from './finding.js';
import type { KeyBuffer } from './key-buffer.js';
import type { CheckedTree } from './plan.js';

/** Decoded sizes of chunks that give none. */
const DECODES_NOT = -1;
const DECODES_NOT_HERE = -2;

/** A run of nodes of one long value, or what one thread saw of it. */
export interface LongValueRun {
  readonly high: number;
  readonly low: number;
  /** The root is part of the run; then the next three are its. */
  readonly hasRoot: boolean;
  readonly size: number;
  readonly referenceCount: number;
  readonly isEncrypted: boolean;
  /** Place of its first node. */
  readonly pgno: number;
  readonly node: number;
  /** Offset of the first chunk, -1 = none. */
  firstOffset: number;
  /** The last chunk, whose due length only the size of the value or a chunk behind it tells. */
  lastOffset: number;
  lastStored: number;
  lastDecoded: number;
  lastFirstByte: number;
  lastPgno: number;
  lastNode: number;
  /** Something about it was reported already; one finding for each value is enough. */
  isReported: boolean;
}

/** What a thread saw of a long-value tree in one unit of its leaves. */
export interface LongValueEnds {
  readonly tree: number;
  readonly unit: number;
  /** The run at the beginning if it has no root; it may continue a value of the unit before. */
  readonly head: LongValueRun | undefined;
  /** The last run, which may go on in the next unit; the same as `head` if there is no other. */
  readonly tail: LongValueRun | undefined;
}

/** Hears of each root: how often its value says to be referred to. */
export type RootListener = (lid: Readonly<Lid>, referenceCount: number, pgno: number, node: number) => void;

export interface LongValueChecker {
  node(page: Page, line: number, node: NodeView, key: KeyBuffer): void;
  /** Ends a unit of leaves. */
  takeEnds(): { head: LongValueRun | undefined; tail: LongValueRun | undefined };
}

/** A checker of the nodes of one long-value tree, in key order. */
export function createLongValueChecker(
  tree: CheckedTree,
  chunkSize: number,
  list: FindingList,
  onRoot: RootListener,
): LongValueChecker {
  const lid: Lid = { high: 0, low: 0 };
  const plain = new Uint8Array(chunkSize);
  let head: LongValueRun | undefined;
  let open: LongValueRun | undefined;
  let isFirst = true;

  const begin = (run: LongValueRun): void => {
    if (open !== undefined && open !== head) judgeRun(open, tree, chunkSize, list);
    if (isFirst && !run.hasRoot) head = run;
    isFirst = false;
    open = run;
  };

  const addRoot = (page: Page, line: number, node: NodeView): void => {
    const place = { pgno: page.pgno, node: line };
    try {
      const root = decodeLongValueRoot(page.bytes, node.dataOffset, node.dataOffset + node.dataLength);
      begin(newRun(lid, place, { ...root, isEncrypted: root.encrypted }));
      onRoot(lid, isBeingDeleted(root.referenceCount) ? 0 : root.referenceCount, place.pgno, line);
    } catch (error) {
      if (!(error instanceof EseError)) throw error;
      list.add(tree, 'LV_LENGTH', 'error', error.detail, place);
      begin({ ...newRun(lid, place, { size: 0, referenceCount: 0, isEncrypted: false }), isReported: true });
    }
  };

  const addChunk = (page: Page, line: number, node: NodeView, offset: number): void => {
    let run = open;
    if (run === undefined || run.high !== lid.high || run.low !== lid.low) {
      run = newRun(lid, { pgno: page.pgno, node: line }, undefined);
      begin(run);
    }
    appendChunk(run, tree, chunkSize, offset, page.pgno, line, list);
    run.lastStored = node.dataLength;
    run.lastDecoded = decodedSize(page, node, plain, run.isEncrypted);
    run.lastFirstByte = page.bytes[node.dataOffset] ?? 0;
  };

  return {
    node(page, line, node, key) {
      let offset: number;
      try {
        offset = readLongValueKey(key.bytes, key.length, lid);
      } catch (error) {
        if (!(error instanceof EseError)) throw error;
        list.add(tree, 'NODE_BOUNDS', 'error', error.detail, { pgno: page.pgno, node: line });
        return;
      }
      if (offset === LONG_VALUE_ROOT) addRoot(page, line, node);
      else addChunk(page, line, node, offset);
    },
    takeEnds() {
      const ends = { head, tail: open };
      head = undefined;
      open = undefined;
      isFirst = true;
      return ends;
    },
  };
}

function isBeingDeleted(referenceCount: number): boolean {
  return referenceCount === REFERENCES_PARTIALLY_DELETED;
}

function newRun(
  lid: Readonly<Lid>,
  place: { pgno: number; node: number },
  root: { size: number; referenceCount: number; isEncrypted: boolean } | undefined,
): LongValueRun {
  return {
    high: lid.high,
    low: lid.low,
    hasRoot: root !== undefined,
    size: root?.size ?? 0,
    referenceCount: root?.referenceCount ?? 0,
    isEncrypted: root?.isEncrypted ?? false,
    pgno: place.pgno,
    node: place.node,
    firstOffset: -1,
    lastOffset: -1,
    lastStored: 0,
    lastDecoded: 0,
    lastFirstByte: 0,
    lastPgno: place.pgno,
    lastNode: place.node,
    isReported: false,
  };
}

/** Bytes that a chunk expands to; a full one is plain. */
function decodedSize(page: Page, node: NodeView, plain: Uint8Array, isEncrypted: boolean): number {
  const { dataOffset, dataLength } = node;
  if (isEncrypted || dataLength >= plain.length) return dataLength;
  const support = compressionSupport(page.bytes[dataOffset] ?? 0);
  if (support === 'unsupported') return DECODES_NOT_HERE;
  if (support !== 'readable') return DECODES_NOT;
  try {
    return decompress(page.bytes, dataOffset, dataOffset + dataLength, plain, 0);
  } catch (error) {
    if (!(error instanceof EseError)) throw error;
    return DECODES_NOT;
  }
}

function reportRun(
  run: LongValueRun,
  tree: CheckedTree,
  code: 'LV_HOLE' | 'LV_LENGTH' | 'LV_DECOMPRESS' | 'LV_NO_ROOT',
  message: string,
  place: { pgno: number; node: number },
  list: FindingList,
): void {
  if (run.isReported) return;
  run.isReported = true;
  const lid = formatLid(run);
  list.add(tree, code, 'error', `long value ${lid}: ${message}`, place, lid);
}

/** Whether the chunks of a value must be complete: not if it waits for its deletion. */
function isWhole(run: LongValueRun): boolean {
  return !run.hasRoot || (run.referenceCount !== 0 && !isBeingDeleted(run.referenceCount));
}

/** Takes note of a chunk at `offset`, and judges the one before, which is now known not to be the last. */
function appendChunk(
  run: LongValueRun,
  tree: CheckedTree,
  chunkSize: number,
  offset: number,
  pgno: number,
  node: number,
  list: FindingList,
): void {
  const due = run.lastOffset < 0 ? (run.hasRoot ? 0 : offset) : run.lastOffset + chunkSize;
  if (isWhole(run)) {
    if (offset !== due || offset % chunkSize !== 0) {
      reportRun(
        run,
        tree,
        'LV_HOLE',
        `a chunk lies at ${offset}, the next one is due at ${due}`,
        { pgno, node },
        list,
      );
    }
    if (run.lastOffset >= 0) judgeChunk(run, tree, chunkSize, list);
  }
  if (run.firstOffset < 0) run.firstOffset = offset;
  run.lastOffset = offset;
  run.lastPgno = pgno;
  run.lastNode = node;
}

/** Judges the last chunk, which must expand to `due` bytes. */
function judgeChunk(run: LongValueRun, tree: CheckedTree, due: number, list: FindingList): void {
  if (run.isEncrypted || run.lastStored === due) return;
  const place = { pgno: run.lastPgno, node: run.lastNode };
  const where = `the chunk at ${run.lastOffset}`;
  if (run.lastStored > due) {
    reportRun(run, tree, 'LV_LENGTH', `${where} has ${run.lastStored} bytes, ${due} are due`, place, list);
  } else if (run.lastDecoded === DECODES_NOT) {
    const support = compressionSupport(run.lastFirstByte);
    if (support === 'scrubbed') reportRun(run, tree, 'LV_DECOMPRESS', `${where} was scrubbed`, place, list);
    else if (support === 'readable')
      reportRun(run, tree, 'LV_DECOMPRESS', `${where} cannot be decompressed`, place, list);
    else
      reportRun(run, tree, 'LV_LENGTH', `${where} has ${run.lastStored} bytes, ${due} are due`, place, list);
  } else if (run.lastDecoded !== due && run.lastDecoded !== DECODES_NOT_HERE) {
    reportRun(
      run,
      tree,
      'LV_LENGTH',
      `${where} expands to ${run.lastDecoded} bytes, ${due} are due`,
      place,
      list,
    );
  }
}

/** Judges a value that has ended. */
function judgeRun(run: LongValueRun, tree: CheckedTree, chunkSize: number, list: FindingList): void {
  const place = { pgno: run.pgno, node: run.node };
  if (!run.hasRoot) {
    reportRun(run, tree, 'LV_NO_ROOT', 'there are chunks and no root', place, list);
    return;
  }
  if (!isWhole(run)) return;
  const { size, lastOffset } = run;
  if (lastOffset < 0) {
    if (size > 0) reportRun(run, tree, 'LV_HOLE', `none of its ${size} bytes are there`, place, list);
    return;
  }
  if (lastOffset >= size) {
    const last = { pgno: run.lastPgno, node: run.lastNode };
    reportRun(run, tree, 'LV_LENGTH', `it has ${size} bytes, and a chunk at ${lastOffset}`, last, list);
    return;
  }
  const due = longValueChunkLength(size, lastOffset, chunkSize);
  judgeChunk(run, tree, due, list);
  const end = lastOffset + due;
  if (end < size) reportRun(run, tree, 'LV_HOLE', `only ${end} of its ${size} bytes are there`, place, list);
}

/**
 * Joins what the threads saw of one long-value tree, in the order of its units, and judges the values that
 * reach from one unit into the next.
 */
export function joinLongValues(
  ends: readonly LongValueEnds[],
  tree: CheckedTree,
  chunkSize: number,
  list: FindingList,
): void {
  let pending: LongValueRun | undefined;
  for (const { head, tail, unit } of ends) {
    if (tail === undefined) continue;
    // What is found where two units meet lies between their own findings.
    list.unit = unit - 0.5;
    let joined: LongValueRun | undefined;
    if (
      head !== undefined &&
      pending !== undefined &&
      head.high === pending.high &&
      head.low === pending.low
    ) {
      joined = joinRuns(pending, head, tree, chunkSize, list);
    } else {
      if (pending !== undefined) judgeRun(pending, tree, chunkSize, list);
      joined = head;
    }
    if (tail === head) pending = joined;
    else {
      list.unit = unit + 0.25;
      if (joined !== undefined) judgeRun(joined, tree, chunkSize, list);
      pending = tail;
    }
  }
  list.unit = UNIT_LAST;
  if (pending !== undefined) judgeRun(pending, tree, chunkSize, list);
}

/** Codes that say that a value is not whole; one of them is enough for a value, the first one. */
const BROKEN: readonly IntegrityCode[] = ['LV_HOLE', 'LV_LENGTH', 'LV_DECOMPRESS', 'LV_NO_ROOT'];

/** Drops what several threads have said of the same value, but for the first. */
export function dropRepeated(list: FindingList): void {
  const seen = new Set<string>();
  const repeated = new Set<RankedFinding>();
  for (const ranked of [...list.findings].sort(compareRanked)) {
    const { rank, lid, finding } = ranked;
    if (lid === undefined || !BROKEN.includes(finding.code)) continue;
    const name = `${rank}/${lid}`;
    if (seen.has(name)) {
      repeated.add(ranked);
      countFinding(list.counts, rank, 'error', -1);
    }
    seen.add(name);
  }
  if (repeated.size === 0) return;
  const kept = list.findings.filter((ranked) => !repeated.has(ranked));
  list.findings.length = 0;
  for (const ranked of kept) list.findings.push(ranked);
}

function joinRuns(
  first: LongValueRun,
  second: LongValueRun,
  tree: CheckedTree,
  chunkSize: number,
  list: FindingList,
): LongValueRun {
  const place = { pgno: second.pgno, node: second.node };
  appendChunk(first, tree, chunkSize, second.firstOffset, place.pgno, place.node, list);
  return {
    ...first,
    lastOffset: second.lastOffset,
    lastStored: second.lastStored,
    lastDecoded: second.lastDecoded,
    lastFirstByte: second.lastFirstByte,
    lastPgno: second.lastPgno,
    lastNode: second.lastNode,
    isReported: first.isReported || second.isReported,
  };
}
