import { EntrySort } from '../../engine/bulk/entry-sort.js';
import type { TreeRegion } from '../../engine/bulk/tree-region.js';
import { createLongValueReader } from '../../engine/long-value-reader.js';
import { EseError } from '../../format/ese-error.js';
import { createKeyBuilder, type KeyBuilder } from '../../format/key.js';
import {
  createRecordValues,
  locateColumns,
  type RecordLayout,
  type RecordValues,
} from '../../format/record.js';
import type { IndexDefinition, TableDefinition } from '../../format/table-definition.js';
import type { ReadLongValue } from '../../format/value-reader.js';
import { liveNodes, type Steps } from '../defrag/copy-trees.js';
import type { NewTree } from '../defrag/new-catalog.js';
import { hexOf } from '../integrity/finding.js';
import { planComparison } from '../integrity/index-compare.js';
import { createKeyBuffer } from '../integrity/key-buffer.js';
import { type KeyMasker, markAsSortKey } from '../integrity/key-mask.js';
import type { Finding } from '../report-values.js';
import { sortFilePath } from './places.js';
import { openIndex, type TableRebuild, type TargetReader } from './rebuild-context.js';
import type { RepairedIndex } from './repair-report.js';
import { createRecordJudge, INDEX_ENTRY } from './salvage-judge.js';
import type { SalvageSource } from './salvage-source.js';
import { salvageNodes } from './salvage-tree.js';

/**
 * The secondary indexes of a table whose records are in the new database already (format specification, chapter
 * 7.2.9): computed from them where that can be done here; else their old entries serve, as far as their records are
 * there.
 */
export interface IndexJob {
  readonly table: TableDefinition;
  readonly layout: RecordLayout;
  readonly region: TreeRegion;
  /** Trees of the table in the new database. */
  readonly trees: Map<number, NewTree>;
  readonly indexes: readonly IndexDefinition[];
  /** Whether the old tree of this number is damaged. */
  isDamaged(objid: number): boolean;
}

export interface IndexOutcome {
  readonly indexes: readonly RepairedIndex[];
  readonly findings: readonly Finding[];
  readonly isLossy: boolean;
}

/** Memory for the entries of all indexes of a table, in bytes. */
const SORT_BYTES = 48 * 1024 * 1024;

/** How an index comes about. */
type Plan =
  | { readonly kind: 'compute'; readonly builder: KeyBuilder }
  /**
   * `counter` tells whether a record must be in the index; undefined = nobody knows. With `masker` it also gives the
   * keys, as far as they can be told.
   */
  | {
      readonly kind: 'keep';
      readonly counter: KeyBuilder | undefined;
      readonly masker?: KeyMasker;
      /** Counts the texts in the keys of `counter`: a key without any is a key as it is stored. */
      readonly texts?: { seen: number };
    }
  | { readonly kind: 'delete'; readonly reason: string };

export function* rebuildIndexes(context: TableRebuild, job: IndexJob): Steps<IndexOutcome> {
  const indexes: RepairedIndex[] = [];
  const findings: Finding[] = [];
  let isLossy = false;
  const target = context.openTarget();
  const computed: { index: IndexDefinition; builder: KeyBuilder }[] = [];
  for (const index of job.indexes) {
    const plan = planIndex(job, index);
    if (plan.kind === 'compute') computed.push({ index, builder: plan.builder });
    else if (plan.kind === 'keep') {
      const kept = yield* keepIndex(context, job, target, index, plan);
      indexes.push(kept.index);
      findings.push(...kept.findings);
      isLossy ||= kept.index.action === 'marked';
    } else {
      context.edits.deleted.add(index.objid);
      indexes.push({ name: index.name, action: 'deleted', entries: 0 });
      findings.push(indexFinding(job, index, 'IDX_UNVERIFIABLE', plan.reason, 'deleted'));
      isLossy = true;
    }
  }
  if (computed.length > 0) {
    const outcome = yield* computeIndexes(context, job, target, computed);
    indexes.push(...outcome.indexes);
    findings.push(...outcome.findings);
  }
  return { indexes, findings, isLossy };
}

function planIndex({ layout, isDamaged }: IndexJob, index: IndexDefinition): Plan {
  try {
    const comparison = planComparison(layout, index);
    if (comparison.kind === 'exact') return { kind: 'compute', builder: comparison.builder };
    if (comparison.kind === 'masked') {
      const texts = { seen: 0 };
      const counter = createKeyBuilder(layout, index, (...text) => {
        texts.seen++;
        return markAsSortKey(...text);
      });
      return { kind: 'keep', counter, masker: comparison.masker, texts };
    }
    if (comparison.kind === 'bookmarks') return { kind: 'keep', counter: comparison.builder };
    const builder = createKeyBuilder(layout, index, markAsSortKey);
    if (!builder.needsSortKeys && !isDamaged(index.objid)) return { kind: 'keep', counter: undefined };
    if (builder.needsSortKeys) return { kind: 'keep', counter: undefined };
    return { kind: 'delete', reason: `it cannot be computed here: ${comparison.reason}` };
  } catch (error) {
    if (!(error instanceof EseError)) throw error;
    return { kind: 'delete', reason: error.detail };
  }
}

function indexFinding(
  { table }: IndexJob,
  { name, objid }: IndexDefinition,
  code: string,
  message: string,
  action: string,
): Finding {
  return { code, severity: 'error', message, objid, object: `${table.name}/${name}`, action };
}

function longValuesOf({ table, trees }: IndexJob, { source }: TargetReader): ReadLongValue {
  const tree = table.longValueTree === undefined ? undefined : trees.get(table.longValueTree.objid);
  const { longValueTree, ...rest } = table;
  const reader = createLongValueReader(
    source,
    tree === undefined || longValueTree === undefined
      ? rest
      : { ...rest, longValueTree: { ...longValueTree, pgnoFdp: tree.pgnoFdp } },
  );
  return (lid, out, limit) => void reader.append(lid, out, limit);
}

function* computeIndexes(
  context: TableRebuild,
  job: IndexJob,
  target: TargetReader,
  computed: readonly { index: IndexDefinition; builder: KeyBuilder }[],
): Steps<{ indexes: RepairedIndex[]; findings: Finding[] }> {
  const { layout, region, table } = job;
  const values = createRecordValues(layout);
  const readLongValue = longValuesOf(job, target);
  const memory = Math.floor(SORT_BYTES / computed.length);
  const sorts = computed.map((_, i) => new EntrySort(context.fs, sortFilePath(context.temp, i), memory));
  const indexes: RepairedIndex[] = [];
  const findings: Finding[] = [];
  const bookmark = new Uint8Array(context.salvage.pageSize);
  let bookmarkLength = 0;
  const makers = computed.map(({ index, builder }, i) => {
    const sort = sorts[i] as EntrySort;
    return {
      index,
      builder,
      sort,
      unbuilt: 0,
      emit: (key: Uint8Array, keyLength: number): void =>
        sort.add(key, keyLength, bookmark, 0, bookmarkLength),
    };
  });
  try {
    yield* liveNodes(target.copy.scan, { pgnoFdp: region.pgnoRoot, objid: table.objid }, (page, node) => {
      bookmarkLength = page.copyKey(node, bookmark);
      locateColumns(layout, page.bytes, node.dataOffset, node.dataOffset + node.dataLength, values);
      for (const maker of makers) {
        try {
          maker.builder.build(values, readLongValue, maker.emit);
        } catch (error) {
          if (!(error instanceof EseError)) throw error;
          maker.unbuilt++;
        }
      }
    });
    for (const { index, sort, unbuilt } of makers) {
      if (unbuilt > 0) {
        const message = `the keys of ${unbuilt} records cannot be computed`;
        findings.push(indexFinding(job, index, 'IDX_MISSING', message, 'left out of the index'));
      }
      const doubles = index.unique ? doubleKeys(sort) : [];
      if (doubles.length > 0 && context.options.unique === 'drop-older') {
        throw new DoubleRecords(table, doubles);
      }
      for (const double of doubles) findings.push(doubleFinding(context, job, index, double));
      if (doubles.length > 0) context.edits.demoted.add(index.objid);
      const entries = yield* writeIndex(context, job, index, sort, index.unique && doubles.length === 0);
      indexes.push({ name: index.name, action: 'rebuilt', entries });
    }
  } finally {
    for (const sort of sorts) sort.close();
  }
  return { indexes, findings };
}

const DOUBLES_LISTED = 1000;

/** An entry whose key another entry has. All three are hexadecimal. */
interface DoubleKey {
  readonly key: string;
  readonly bookmark: string;
  /** Of the record that has the key first. */
  readonly first: string;
}

/** Records that share keys of a unique index, of which only the newest are to stay. */
export class DoubleRecords extends Error {
  readonly table: TableDefinition;
  readonly doubles: readonly DoubleKey[];

  constructor(table: TableDefinition, doubles: readonly DoubleKey[]) {
    super(`records of table ${table.name} share keys of a unique index`);
    this.table = table;
    this.doubles = doubles;
  }
}

/** Finds which of those records are the older ones, by the pages that they lie on. Returns their keys. */
export function* olderRecords(salvage: SalvageSource, { table, doubles }: DoubleRecords): Steps<Set<string>> {
  const dbtimes = new Map(doubles.flatMap(({ bookmark, first }) => [bookmark, first]).map((key) => [key, 0]));
  const { pgnoFdp, objid } = table;
  const judge = createRecordJudge(table, salvage.pageSize);
  yield* salvageNodes(salvage, { pgnoFdp, objid, kind: 'table', isUnique: true, judge }, (node) => {
    const key = hexOf(node.key.subarray(0, node.keyLength));
    if (dbtimes.has(key)) dbtimes.set(key, salvage.read(node.pgno).page.dbtime);
  });
  const newest = new Map<string, string>();
  const older = new Set<string>();
  for (const { key, bookmark, first } of doubles) {
    const best = newest.get(key) ?? first;
    const isNewer = (dbtimes.get(bookmark) ?? 0) > (dbtimes.get(best) ?? 0);
    newest.set(key, isNewer ? bookmark : best);
    older.add(isNewer ? best : bookmark);
  }
  return older;
}

/** Entries whose key another entry has already. */
function doubleKeys(sort: EntrySort): DoubleKey[] {
  const doubles: DoubleKey[] = [];
  let before: Uint8Array | undefined;
  let first = '';
  for (const { bytes, keyStart, keyLength, dataLength } of sort.sorted()) {
    const key = bytes.subarray(keyStart, keyStart + keyLength);
    if (before !== undefined && Buffer.compare(before, key) === 0) {
      if (doubles.length < DOUBLES_LISTED) {
        const data = bytes.subarray(keyStart + keyLength, keyStart + keyLength + dataLength);
        doubles.push({ key: hexOf(key), bookmark: hexOf(data), first });
      }
    } else {
      before = key.slice();
      first = hexOf(bytes.subarray(keyStart + keyLength, keyStart + keyLength + dataLength));
    }
  }
  return doubles;
}

/** @throws EseError JET_errKeyDuplicate where that is what the user wants */
function doubleFinding(
  { options }: TableRebuild,
  job: IndexJob,
  index: IndexDefinition,
  { key, bookmark }: DoubleKey,
): Finding {
  const message = `another record has the key of record ${bookmark}, though the index is unique`;
  if (options.unique === 'fail') {
    throw new EseError('JET_errKeyDuplicate', `index ${index.name} of table ${job.table.name}: ${message}`);
  }
  return {
    ...indexFinding(
      job,
      index,
      'IDX_DUP',
      message,
      'both records are kept; the index is not unique any more',
    ),
    keyRange: [key, key],
  };
}

function* writeIndex(
  { builder }: TableRebuild,
  { region, trees }: IndexJob,
  index: IndexDefinition,
  sort: EntrySort,
  isUnique: boolean,
): Steps<number> {
  const { writer } = builder;
  const child = openIndex(region, index, trees, writer.pageSize, isUnique);
  child.begin();
  const key = new Uint8Array(writer.pageSize);
  const before = new Uint8Array(2 * writer.pageSize);
  let beforeLength = -1;
  let added = 0;
  for (const { bytes, keyStart, keyLength, dataLength } of sort.sorted()) {
    const length = keyLength + dataLength;
    // A record may give one key twice.
    let isSame = length === beforeLength;
    for (let i = 0; i < length; i++) {
      const byte = bytes[keyStart + i] as number;
      if (isSame && before[i] !== byte) isSame = false;
      before[i] = byte;
      if (i < keyLength) key[i] = byte;
    }
    beforeLength = length;
    if (isSame) continue;
    writer.add(key, keyLength, bytes, keyStart + keyLength, keyStart + length);
    if (++added % ENTRIES_PER_STEP === 0) yield;
  }
  const { nodes } = child.finishTree();
  child.close();
  return nodes;
}

const ENTRIES_PER_STEP = 2000;

/** An index whose keys only Windows can compute: the entries that it has stay, if their records are there. */
function* keepIndex(
  context: TableRebuild,
  job: IndexJob,
  target: TargetReader,
  index: IndexDefinition,
  { counter, masker, texts }: Extract<Plan, { kind: 'keep' }>,
): Steps<{ index: RepairedIndex; findings: Finding[] }> {
  const { layout, region, table } = job;
  const { fs, salvage, options } = context;
  const findings: Finding[] = [];
  const byBookmark = new EntrySort(fs, sortFilePath(context.temp, 0), SORT_BYTES / 2);
  const byKey = new EntrySort(fs, sortFilePath(context.temp, 1), SORT_BYTES / 2);
  const bookmark = new Uint8Array(salvage.pageSize);
  try {
    const counts = yield* salvageNodes(
      salvage,
      {
        pgnoFdp: index.pgnoFdp,
        objid: index.objid,
        kind: 'index',
        isUnique: index.unique,
        judge: INDEX_ENTRY,
        isStrict: options.strict ?? false,
      },
      ({ key, keyLength, bytes, dataOffset, dataLength }) => {
        byBookmark.add(bytes.subarray(dataOffset, dataOffset + dataLength), dataLength, key, 0, keyLength);
      },
    );
    const values = createRecordValues(layout);
    const readLongValue = longValuesOf(job, target);
    const entries = byBookmark.sorted();
    let entry = entries.next();
    const fits = createFitTest(counter, masker, texts, readLongValue);
    let missing = 0;
    yield* liveNodes(target.copy.scan, { pgnoFdp: region.pgnoRoot, objid: table.objid }, (page, node) => {
      const length = page.copyKey(node, bookmark);
      const own = bookmark.subarray(0, length);
      locateColumns(layout, page.bytes, node.dataOffset, node.dataOffset + node.dataLength, values);
      const isDue = fits.begin(values);
      let found = 0;
      while (entry.done !== true) {
        const { bytes, keyStart, keyLength, dataLength } = entry.value;
        const order = Buffer.compare(bytes.subarray(keyStart, keyStart + keyLength), own);
        if (order > 0) break;
        const key = bytes.subarray(keyStart + keyLength, keyStart + keyLength + dataLength);
        if (order === 0 && fits.isOne(key)) {
          byKey.add(key, dataLength, own, 0, length);
          found++;
        }
        entry = entries.next();
      }
      if (found > 0 || !isDue) return;
      const keys = fits.wholeKeys();
      if (keys.length === 0) missing++;
      for (const key of keys) byKey.add(key, key.length, own, 0, length);
    });
    const isUnknown = counter === undefined && (counts.lost.length > 0 || counts.dropped.length > 0);
    if (missing > 0 || isUnknown) {
      context.edits.marked.add(index.objid);
      const what = missing > 0 ? `${missing} records have no entry` : 'entries are lost';
      const message = `${what}, and their keys cannot be computed here: the index must be rebuilt on Windows`;
      findings.push(indexFinding(job, index, 'IDX_MISSING', message, 'marked as out of date'));
    }
    const written = yield* writeIndex(context, job, index, byKey, index.unique);
    const action = missing > 0 || isUnknown ? 'marked' : 'kept';
    return { index: { name: index.name, action, entries: written }, findings };
  } finally {
    byBookmark.close();
    byKey.close();
  }
}

/** Tells which entries a record can have. */
interface FitTest {
  /** Begins with a record; returns whether it must have an entry, as far as anybody knows. */
  begin(values: RecordValues): boolean;
  /** Whether an entry with this key can be one of it. */
  isOne(key: Uint8Array): boolean;
  /** The keys that it has, where no text is among their values; else none. */
  wholeKeys(): readonly Uint8Array[];
}

function createFitTest(
  counter: KeyBuilder | undefined,
  masker: KeyMasker | undefined,
  texts: { seen: number } | undefined,
  readLongValue: ReadLongValue,
): FitTest {
  const masked = createKeyBuffer();
  const other = createKeyBuffer();
  let own: Uint8Array[] = [];
  let isKnown = false;
  return {
    begin(values) {
      own = [];
      if (texts !== undefined) texts.seen = 0;
      isKnown = counter !== undefined;
      if (counter === undefined) return false;
      try {
        return counter.build(values, readLongValue, (key, length) => own.push(key.slice(0, length))) > 0;
      } catch (error) {
        if (!(error instanceof EseError)) throw error;
        isKnown = false;
        return false;
      }
    },
    isOne(key) {
      if (!isKnown) return true;
      if (masker === undefined) return own.length > 0;
      // A key that was cut shows its first columns only.
      const isWhole = masker.mask(key, key.length, masked);
      if (!isWhole) masker.cutBehindText(masked);
      const text = masked.bytes.subarray(0, masked.length);
      return own.some((candidate) => {
        if (isWhole) return Buffer.compare(candidate, text) === 0;
        other.bytes.set(candidate);
        other.length = candidate.length;
        masker.cutBehindText(other);
        return Buffer.compare(other.bytes.subarray(0, other.length), text) === 0;
      });
    },
    wholeKeys: () => (isKnown && texts?.seen === 0 ? own : []),
  };
}
