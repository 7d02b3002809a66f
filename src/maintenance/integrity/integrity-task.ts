/** The pages of a database, unit by unit: what one thread does of the integrity check. */

import { createLongValueReader } from '../../engine/long-value-reader.js';
import { createFilePageSource } from '../../engine/page-source.js';
import { createChecksumKernel } from '../../format/checksum-kernel.js';
import { EseError } from '../../format/ese-error.js';
import type { KeyBuilder } from '../../format/key.js';
import { formatLid, longValueChunkSize } from '../../format/long-value.js';
import { createNodeView, PAGE_FLAG, Page, pageOffset } from '../../format/page.js';
import { newPageScan } from '../../format/page-checksum.js';
import { createRecordLayout, type RecordLayout } from '../../format/record.js';
import type { TableDefinition } from '../../format/table-definition.js';
import type { ReadLongValue } from '../../format/value-reader.js';
import type { FileHandle, FileSystem } from '../../io/file-system.js';
import { nodeFileSystem } from '../../io/node-file-system.js';
import type { RangeTask } from '../../workers/range-job.js';
import { createFindingList, type FindingCounts, type RankedFinding } from './finding.js';
import {
  addToFingerprint,
  createEntryHash,
  createFingerprint,
  type Fingerprint,
  hashEntry,
  hashNumber,
} from './fingerprint.js';
import {
  createEntryDifference,
  createReferenceDifference,
  type EntryDifference,
  type IndexComparison,
  planComparison,
  type ReferenceDifference,
  type Suspects,
} from './index-compare.js';
import { copyBytes, createKeyBuffer, type KeyBuffer, keyBytes } from './key-buffer.js';
import { createLeafChecker, type LeafContent } from './leaf-check.js';
import { createLongValueChecker, type LongValueChecker, type LongValueEnds } from './long-value-check.js';
import {
  BLANK,
  beyondEnd,
  createPageReader,
  isBlank,
  judgePage,
  type PageTrouble,
  readTrouble,
  reportTrouble,
} from './page-check.js';
import {
  type CheckedTree,
  type IntegrityPlan,
  PAGE_STATE,
  PAGE_STATE_MASK,
  PAGE_USE,
  PAGE_USE_MASK,
  pagesPerRange,
  UNIT_FIELDS,
  unitCount,
} from './plan.js';
import { createRecordChecker } from './record-check.js';
import { type Bounds, NO_BOUNDS } from './tree-walk.js';

/** The sums of an index, rows less entries. */
export interface IndexSums {
  /** Over whole keys, masked where they have Unicode texts. */
  readonly whole: Fingerprint;
  /** Over keys up to their first text: what can be compared where keys were cut off behind it. */
  readonly start: Fingerprint | undefined;
  hasCutKeys: boolean;
  entries: number;
}

/** What one thread found. */
export interface IntegrityPart {
  readonly findings: readonly RankedFinding[];
  readonly counts: FindingCounts;
  readonly isTruncated: boolean;
  /** Trees of which leaves or nodes could not be read, by position. */
  readonly damagedTrees: ReadonlySet<number>;
  /** Index trees of which the key of some row could not be computed. */
  readonly uncomputable: ReadonlySet<number>;
  /** Live nodes of each tree. */
  readonly nodes: ReadonlyMap<number, number>;
  /** Roots in long-value trees. */
  readonly longValues: ReadonlyMap<number, number>;
  readonly indexes: ReadonlyMap<number, IndexSums>;
  /** References less those that the roots count, by table number. */
  readonly references: ReadonlyMap<number, Fingerprint>;
  readonly ends: readonly LongValueEnds[];
  readonly hasReadErrors: boolean;
}

/** Where entries go that are compared one by one. */
export interface Differences {
  readonly suspects: Suspects;
  readonly entries: Map<number, EntryDifference>;
  readonly references: Map<number, ReferenceDifference>;
}

export function createDifferences(suspects: Suspects): Differences {
  return {
    suspects,
    entries: new Map([...suspects.indexes.keys()].map((tree) => [tree, createEntryDifference()])),
    references: new Map([...suspects.longValues.keys()].map((table) => [table, createReferenceDifference()])),
  };
}

/** The task for worker threads, which read through Node's files. */
export function createTask(plan: IntegrityPlan): RangeTask<IntegrityPart> {
  return createIntegrityTask(nodeFileSystem, plan);
}

interface ComparedIndex {
  readonly position: number;
  readonly comparison: Exclude<IndexComparison, { kind: 'none' }>;
  readonly builder: KeyBuilder;
}

/** What is prepared once for each table. */
interface TableState {
  readonly definition: TableDefinition;
  readonly layout: RecordLayout;
  readonly indexes: readonly ComparedIndex[];
  readonly longValuePosition: number;
  readonly readLongValue: ReadLongValue;
  data: LeafContent | undefined;
  longValues: LongValueChecker | undefined;
}

/**
 * The work of one thread. Ranges are first the units of leaves, then all pages of the file that no tree reached.
 *
 * With `differences` nothing is reported: the entries of the suspect buckets are put together instead.
 */
export function createIntegrityTask(
  fs: FileSystem,
  plan: IntegrityPlan,
  differences?: Differences,
): RangeTask<IntegrityPart> {
  const { path, pageSize, lastPgno, pageMap, leaves, trees } = plan;
  const file = fs.open(path, 'read');
  const list = createFindingList(differences === undefined ? plan.findingsMax : 0);
  const damagedTrees = new Set<number>();
  const uncomputable = new Set<number>();
  const nodes = new Map<number, number>();
  const longValues = new Map<number, number>();
  const indexes = new Map<number, IndexSums>();
  const references = new Map<number, Fingerprint>();
  const ends: LongValueEnds[] = [];
  const tables = new Map<number, TableState>();
  const positions = treePositions(trees);
  const loader = createRunLoader(file, plan);
  const checker = createLeafChecker(pageSize, plan.dbtimeMax);
  const parentReader = createPageReader(file, pageSize, lastPgno);
  const bounds = createBoundsFinder(plan, (pgno) => {
    const { page, isUsable } = parentReader(pgno);
    return isUsable ? page : undefined;
  });
  const hash = createEntryHash();
  const entryKey = createKeyBuffer();
  const units = unitCount(plan);
  const rangePages = pagesPerRange(pageSize);
  let nodeCount = 0;
  let rootCount = 0;
  let isDamaged = false;

  const sumsOf = (position: number, isMasked: boolean): IndexSums => {
    let sums = indexes.get(position);
    if (sums === undefined) {
      const start = isMasked ? createFingerprint() : undefined;
      sums = { whole: createFingerprint(), start, hasCutKeys: false, entries: 0 };
      indexes.set(position, sums);
    }
    return sums;
  };
  const referencesOf = (tableNumber: number): Fingerprint => {
    let sums = references.get(tableNumber);
    if (sums === undefined) {
      sums = createFingerprint();
      references.set(tableNumber, sums);
    }
    return sums;
  };

  const tableState = (tableNumber: number): TableState => {
    const known = tables.get(tableNumber);
    if (known !== undefined) return known;
    const definition = plan.tables[tableNumber];
    if (definition === undefined)
      throw new EseError('JET_errInternalError', `there is no table ${tableNumber}`);
    const layout = createRecordLayout(definition.columns, pageSize);
    const compared: ComparedIndex[] = [];
    for (const position of positions.indexesOf(tableNumber)) {
      const index = definition.indexes[trees[position]?.indexNumber ?? -1];
      const comparison =
        index === undefined || !plan.comparesIndexes ? undefined : comparisonOf(layout, index);
      if (comparison === undefined || comparison.kind === 'none') continue;
      compared.push({ position, comparison, builder: comparison.builder });
    }
    let append: ReadLongValue | undefined;
    const state: TableState = {
      definition,
      layout,
      indexes: compared,
      longValuePosition: positions.longValuesOf(tableNumber),
      readLongValue: (lid, out, limit) => {
        append ??= createLongValueReader(createFilePageSource(file, pageSize), definition).append;
        append(lid, out, limit);
      },
      data: undefined,
      longValues: undefined,
    };
    tables.set(tableNumber, state);
    return state;
  };

  /** Adds a row's key in an index, or an entry of the index, to the sums, or to what is compared one by one. */
  const addEntry = (
    index: ComparedIndex,
    isStored: boolean,
    key: KeyBuffer,
    isWhole: boolean,
    bookmark: Uint8Array,
    bookmarkStart: number,
    bookmarkLength: number,
    pgno: number,
    node: number,
  ): void => {
    const { position, comparison } = index;
    const times = isStored ? -1 : 1;
    if (differences !== undefined) {
      const buckets = differences.suspects.indexes.get(position);
      if (buckets === undefined) return;
      if (comparison.kind === 'masked' && differences.suspects.byStart.has(position)) {
        comparison.masker.cutBehindText(key);
      }
      hashEntry(key, bookmark, bookmarkStart, bookmarkLength, hash);
      if (!buckets.has(hash.bucket)) return;
      const bytes = bookmark.slice(bookmarkStart, bookmarkStart + bookmarkLength);
      differences.entries.get(position)?.add(isStored, keyBytes(key), bytes, pgno, node);
      return;
    }
    const sums = sumsOf(position, comparison.kind === 'masked');
    if (isStored) sums.entries++;
    if (!isWhole) sums.hasCutKeys = true;
    hashEntry(key, bookmark, bookmarkStart, bookmarkLength, hash);
    addToFingerprint(sums.whole, hash, times);
    if (sums.start === undefined || comparison.kind !== 'masked') return;
    comparison.masker.cutBehindText(key);
    hashEntry(key, bookmark, bookmarkStart, bookmarkLength, hash);
    addToFingerprint(sums.start, hash, times);
  };

  const addReference = (
    state: TableState,
    tree: CheckedTree,
    pgno: number,
    node: number,
    high: number,
    low: number,
  ): void => {
    if (state.longValuePosition < 0) {
      const message = `the row refers to long value ${formatLid({ high, low })}, the table has none`;
      list.add(tree, 'REC_LID_MISSING', 'error', message, { pgno, node });
      return;
    }
    hashNumber(high, low, hash);
    if (differences === undefined) addToFingerprint(referencesOf(tree.tableNumber), hash, 1);
    else if (differences.suspects.longValues.get(tree.tableNumber)?.has(hash.bucket) === true) {
      differences.references.get(tree.tableNumber)?.addReference(formatLid({ high, low }), pgno, node);
    }
  };

  const addRoot = (
    tree: CheckedTree,
    high: number,
    low: number,
    referenceCount: number,
    pgno: number,
    node: number,
  ): void => {
    rootCount++;
    hashNumber(high, low, hash);
    if (differences !== undefined) {
      if (differences.suspects.longValues.get(tree.tableNumber)?.has(hash.bucket) !== true) return;
      const lid = formatLid({ high, low });
      differences.references.get(tree.tableNumber)?.addRoot(lid, referenceCount, pgno, node);
      return;
    }
    addToFingerprint(referencesOf(tree.tableNumber), hash, -referenceCount);
    if (referenceCount !== 0) return;
    const lid = formatLid({ high, low });
    list.add(tree, 'LV_ORPHAN', 'warning', `long value ${lid} waits for its removal`, { pgno, node }, lid);
  };

  const dataContent = (state: TableState, tree: CheckedTree): LeafContent => {
    const { definition, layout } = state;
    let index: ComparedIndex | undefined;
    let bookmark: KeyBuffer = entryKey;
    let pgno = 0;
    let line = 0;
    const emit = (key: Uint8Array, length: number): void => {
      if (index === undefined) return;
      copyBytes(key, 0, length, entryKey);
      addEntry(index, false, entryKey, true, bookmark.bytes, 0, bookmark.length, pgno, line);
    };
    const records = createRecordChecker(
      definition,
      tree,
      layout,
      primaryBuilder(layout, definition),
      state.readLongValue,
      list,
      {
        reference: (lid, atPgno, atNode) => addReference(state, tree, atPgno, atNode, lid.high, lid.low),
        record(values, key, atPgno, atNode) {
          bookmark = key;
          pgno = atPgno;
          line = atNode;
          for (const one of state.indexes) {
            index = one;
            try {
              one.builder.build(values, state.readLongValue, emit);
            } catch (error) {
              if (!(error instanceof EseError)) throw error;
              uncomputable.add(one.position);
            }
          }
        },
      },
    );
    return (page, at, node, key) => {
      nodeCount++;
      if (!records.check(page, at, node, key)) isDamaged = true;
    };
  };

  const indexContent = (state: TableState, position: number): LeafContent => {
    const index = state.indexes.find((one) => one.position === position);
    if (index === undefined) {
      return () => {
        nodeCount++;
      };
    }
    const { comparison } = index;
    return (page, line, node, key) => {
      nodeCount++;
      const { dataOffset, dataLength } = node;
      if (comparison.kind === 'exact') {
        addEntry(index, true, key, true, page.bytes, dataOffset, dataLength, page.pgno, line);
        return;
      }
      const isWhole = comparison.masker.mask(key.bytes, key.length, entryKey);
      addEntry(index, true, entryKey, isWhole, page.bytes, dataOffset, dataLength, page.pgno, line);
    };
  };

  const contentOf = (tree: CheckedTree, position: number): LeafContent => {
    if (tree.kind === 'database')
      return () =>
        void list.add(tree, 'PAGE_FLAGS', 'error', 'the database root has nodes', { pgno: tree.pgnoFdp });
    const state = tableState(tree.tableNumber);
    if (tree.kind === 'table') {
      state.data ??= dataContent(state, tree);
      return state.data;
    }
    if (tree.kind === 'index') return indexContent(state, position);
    const chunkSize = longValueChunkSize(pageSize, state.definition.lvChunkMax);
    const values =
      state.longValues ??
      createLongValueChecker(tree, chunkSize, list, (lid, count, pgno, node) =>
        addRoot(tree, lid.high, lid.low, count, pgno, node),
      );
    state.longValues = values;
    return (page, line, node, key) => {
      nodeCount++;
      values.node(page, line, node, key);
    };
  };

  const runUnit = (unit: number): void => {
    const position = plan.units[unit * UNIT_FIELDS] ?? 0;
    const first = plan.units[unit * UNIT_FIELDS + 1] ?? 0;
    const count = plan.units[unit * UNIT_FIELDS + 2] ?? 0;
    const tree = trees[position];
    if (tree === undefined) return;
    list.unit = unit;
    nodeCount = 0;
    rootCount = 0;
    isDamaged = false;
    const content = contentOf(tree, position);
    const treeStart = plan.firstLeaf[position] ?? 0;
    const treeEnd = plan.firstLeaf[position + 1] ?? 0;
    loader.load(leaves, first, count);
    for (let slot = 0; slot < count; slot++) {
      const at = first + slot;
      const pgno = leaves[at] ?? 0;
      if (pgno === 0) continue;
      const { page, trouble } = loader.pageIn(slot);
      const isRoot = pgno === tree.pgnoFdp;
      // The walk above the leaves has read a root that is a leaf, and reported what is wrong with it.
      if (trouble !== undefined && !isRoot) reportTrouble(list, tree, pgno, trouble);
      const isSound = trouble === undefined || trouble.severity === 'warning';
      const expected = {
        tree,
        roleFlags: tree.roleFlags,
        isRoot,
        bounds: isRoot ? NO_BOUNDS : bounds(at, treeStart),
        pgnoPrev: at === treeStart ? 0 : leaves[at - 1] || undefined,
        pgnoNext: at === treeEnd - 1 ? 0 : leaves[at + 1] || undefined,
      };
      const isRead = isSound && checker.check(page, expected, list, content);
      if (!isRead) isDamaged = true;
      if (differences === undefined) setState(pageMap, pgno, isRead ? PAGE_STATE.used : PAGE_STATE.bad);
    }
    if (isDamaged) damagedTrees.add(position);
    nodes.set(position, (nodes.get(position) ?? 0) + nodeCount);
    if (tree.kind !== 'longValue') return;
    longValues.set(position, (longValues.get(position) ?? 0) + rootCount);
    const seen = tableState(tree.tableNumber).longValues?.takeEnds();
    if (seen !== undefined && differences === undefined) ends.push({ tree: position, unit, ...seen });
  };

  /** Looks at pages that no tree reached. */
  const runCensus = (range: number): void => {
    const first = 1 + range * rangePages;
    const last = Math.min(lastPgno, first + rangePages - 1);
    const isWanted = (pgno: number): boolean => {
      const byte = pageMap[pgno] ?? 0;
      const use = byte & PAGE_USE_MASK;
      return (
        (byte & PAGE_STATE_MASK) === PAGE_STATE.unknown &&
        use !== PAGE_USE.internal &&
        use !== PAGE_USE.leaf &&
        use !== PAGE_USE.space
      );
    };
    const wanted: number[] = [];
    for (let pgno = first; pgno <= last; pgno++) if (isWanted(pgno)) wanted.push(pgno);
    for (let at = 0; at < wanted.length; at += loader.slots) {
      const count = Math.min(loader.slots, wanted.length - at);
      loader.load(wanted, at, count);
      for (let slot = 0; slot < count; slot++) {
        const pgno = wanted[at + slot] ?? 0;
        setState(pageMap, pgno, loader.stateIn(slot, pgno <= plan.lastOwnedPgno));
      }
    }
  };

  return {
    runRange(range) {
      if (range < units) runUnit(range);
      else runCensus(range - units);
    },
    result: () => ({
      findings: list.findings,
      counts: list.counts,
      isTruncated: list.isTruncated,
      damagedTrees,
      uncomputable,
      nodes,
      longValues,
      indexes,
      references,
      ends,
      hasReadErrors: loader.hasReadErrors(),
    }),
    close: () => file.close(),
  };
}

function setState(pageMap: Uint8Array, pgno: number, state: number): void {
  pageMap[pgno] = ((pageMap[pgno] ?? 0) & PAGE_USE_MASK) | state;
}

/** Positions of the trees of each table. */
function treePositions(trees: readonly CheckedTree[]): {
  indexesOf(tableNumber: number): readonly number[];
  longValuesOf(tableNumber: number): number;
} {
  const indexes = new Map<number, number[]>();
  const longValues = new Map<number, number>();
  for (const [position, tree] of trees.entries()) {
    if (tree.kind === 'longValue') longValues.set(tree.tableNumber, position);
    if (tree.kind !== 'index') continue;
    const known = indexes.get(tree.tableNumber);
    if (known === undefined) indexes.set(tree.tableNumber, [position]);
    else known.push(position);
  }
  return {
    indexesOf: (tableNumber) => indexes.get(tableNumber) ?? [],
    longValuesOf: (tableNumber) => longValues.get(tableNumber) ?? -1,
  };
}

function comparisonOf(
  layout: RecordLayout,
  index: TableDefinition['indexes'][number],
): IndexComparison | undefined {
  try {
    return planComparison(layout, index);
  } catch (error) {
    // The catalog check has reported it.
    if (error instanceof EseError) return undefined;
    throw error;
  }
}

function primaryBuilder(layout: RecordLayout, { primaryIndex }: TableDefinition): KeyBuilder | undefined {
  const comparison = primaryIndex === undefined ? undefined : comparisonOf(layout, primaryIndex);
  return comparison?.kind === 'exact' ? comparison.builder : undefined;
}

/** Finds the bounds of leaves from the pages above them, which it keeps as long as they are needed. */
function createBoundsFinder(
  plan: IntegrityPlan,
  readParent: (pgno: number) => Page | undefined,
): (at: number, treeStart: number) => Bounds {
  const { parents, parentFirstLeaf, leaves } = plan;
  const node = createNodeView();
  let parentNumber = -1;
  let parent: Page | undefined;
  let lowerOfParent: Uint8Array | undefined;

  const keyIn = (page: Page, line: number): Uint8Array | undefined => {
    if (line < 0 || line >= page.nodeCount) return undefined;
    page.readNode(line, node);
    const key = page.key(node);
    return key.length === 0 ? undefined : key;
  };
  const openParent = (number: number, treeStart: number): void => {
    const first = parentFirstLeaf[number] ?? 0;
    const before = number === parentNumber + 1 && parentNumber >= 0 ? parent : undefined;
    parentNumber = number;
    parent = readParent(parents[number] ?? 0);
    lowerOfParent = undefined;
    if (first <= treeStart || leaves[first - 1] === 0) return;
    const previous = before ?? readParent(parents[number - 1] ?? 0);
    if (previous !== undefined) lowerOfParent = keyIn(previous, previous.nodeCount - 1);
  };
  return (at, treeStart) => {
    let low = 0;
    let high = parents.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((parentFirstLeaf[middle] ?? 0) <= at) low = middle + 1;
      else high = middle;
    }
    if (low === 0) return NO_BOUNDS;
    if (low - 1 !== parentNumber) openParent(low - 1, treeStart);
    if (parent === undefined) return NO_BOUNDS;
    const line = at - (parentFirstLeaf[parentNumber] ?? 0);
    return {
      lower: line === 0 ? lowerOfParent : keyIn(parent, line - 1),
      upper: keyIn(parent, line),
      parentPgno: parent.pgno,
      parentLine: line,
    };
  };
}

interface RunLoader {
  /** Pages that can be loaded at once. */
  readonly slots: number;
  /** Reads the pages `pgnos[first .. first + count)`, neighbours in one piece, and checks their checksums. */
  load(pgnos: ArrayLike<number>, first: number, count: number): void;
  /** The page of a slot and what is wrong with it; valid until the next load. */
  pageIn(slot: number): { readonly page: Page; readonly trouble: PageTrouble | undefined };
  /** What a page is that no tree reaches; one behind the owned space cannot be damaged. */
  stateIn(slot: number, isOwned: boolean): number;
  hasReadErrors(): boolean;
}

/** Verdicts of the checksums, by slot. */
const VERDICT = { good: 0, suspect: 1, unreadable: 2, beyond: 3, blank: 4 } as const;

function createRunLoader(file: FileHandle, plan: IntegrityPlan): RunLoader {
  const { pageSize, lastPgno } = plan;
  const slots = Math.max(SLOTS_LEAST, largestUnit(plan));
  const kernel = createChecksumKernel(slots * pageSize, lastPgno <= SMALL_FILE_PAGES ? 'js' : undefined);
  const scan = newPageScan();
  const pages: Page[] = [];
  const verdicts = new Uint8Array(slots);
  let lastError: EseError | undefined;

  const readRun = (slot: number, pgno: number, count: number): void => {
    const into = kernel.bytes.subarray(slot * pageSize, (slot + count) * pageSize);
    let bytes: number;
    try {
      bytes = file.readAt(into, pageOffset(pgno, pageSize));
    } catch (error) {
      if (!(error instanceof EseError)) throw error;
      lastError = error;
      if (count === 1) verdicts[slot] = VERDICT.unreadable;
      else for (let i = 0; i < count; i++) readRun(slot + i, pgno + i, 1);
      return;
    }
    const whole = Math.floor(bytes / pageSize);
    const blankBefore = scan.uninitialized;
    const suspects = kernel.verifyPages(slot * pageSize, whole, pageSize, pgno, scan);
    const blank = scan.uninitialized - blankBefore;
    verdicts.fill(blank === whole ? VERDICT.blank : VERDICT.good, slot, slot + whole);
    verdicts.fill(VERDICT.beyond, slot + whole, slot + count);
    if (blank > 0 && blank < whole) {
      for (let i = 0; i < whole; i++) if (isBlank(pageOf(slot + i))) verdicts[slot + i] = VERDICT.blank;
    }
    for (let i = 0; i < suspects; i++) verdicts[slot + (kernel.suspects[i] ?? 0)] = VERDICT.suspect;
  };
  const pageOf = (slot: number): Page => {
    const known = pages[slot];
    if (known !== undefined) return known;
    const made = new Page(kernel.bytes.subarray(slot * pageSize, (slot + 1) * pageSize), 0);
    pages[slot] = made;
    return made;
  };

  return {
    slots,
    load(pgnos, first, count) {
      for (let slot = 0; slot < count; ) {
        const pgno = pgnos[first + slot] ?? 0;
        let length = 1;
        while (slot + length < count && pgnos[first + slot + length] === pgno + length) length++;
        if (pgno !== 0) readRun(slot, pgno, length);
        for (let i = 0; i < length; i++) pageOf(slot + i).pgno = pgno + i;
        slot += length;
      }
    },
    pageIn(slot) {
      const page = pageOf(slot);
      switch (verdicts[slot]) {
        case VERDICT.unreadable:
          return { page, trouble: lastError === undefined ? beyondEnd(lastPgno) : readTrouble(lastError) };
        case VERDICT.beyond:
          return { page, trouble: beyondEnd(lastPgno) };
        case VERDICT.blank:
          return { page, trouble: BLANK };
        default:
          return { page, trouble: judgePage(page, verdicts[slot] === VERDICT.suspect, lastPgno) };
      }
    },
    stateIn(slot, isOwned) {
      const page = pageOf(slot);
      const verdict = verdicts[slot];
      if (verdict === VERDICT.blank) return PAGE_STATE.blank;
      if (verdict === VERDICT.good) {
        return (page.flags & PAGE_FLAG.empty) !== 0 ? PAGE_STATE.empty : PAGE_STATE.other;
      }
      if (!isOwned) return PAGE_STATE.other;
      if (verdict !== VERDICT.suspect) return PAGE_STATE.bad;
      const trouble = judgePage(page, true, lastPgno);
      return trouble?.severity === 'warning' ? PAGE_STATE.other : PAGE_STATE.bad;
    },
    hasReadErrors: () => lastError !== undefined,
  };
}

/** Pages that the buffer holds even if all units are smaller. */
const SLOTS_LEAST = 16;

function largestUnit({ units }: IntegrityPlan): number {
  let most = 0;
  for (let at = UNIT_FIELDS - 1; at < units.length; at += UNIT_FIELDS) most = Math.max(most, units[at] ?? 0);
  return most;
}

/** Files of so few pages are checked before WebAssembly has started. */
const SMALL_FILE_PAGES = 1024;
