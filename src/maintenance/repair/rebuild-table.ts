import type { TreeRegion } from '../../engine/bulk/tree-region.js';
import type { TreeRoot } from '../../engine/tree-reader.js';
import { CATALOG_TYPE } from '../../format/catalog-row.js';
import type { ColumnDefinition } from '../../format/column.js';
import { EseError } from '../../format/ese-error.js';
import { longValueChunkSize } from '../../format/long-value.js';
import { PAGE_FLAG } from '../../format/page.js';
import {
  createRecordLayout,
  createRecordValues,
  locateColumns,
  type RecordLayout,
  STORED,
} from '../../format/record.js';
import { decodeSpaceHeader } from '../../format/space.js';
import type { LongValueTreeDefinition, TableDefinition } from '../../format/table-definition.js';
import { autoIncrementColumn } from '../defrag/copy-table.js';
import { copyIndex, copyLongValues, copyRecords, countLongValues, type Steps } from '../defrag/copy-trees.js';
import type { NewTable, NewTree } from '../defrag/new-catalog.js';
import { hexOf } from '../integrity/finding.js';
import type { Finding } from '../report-values.js';
import { createRawRecords, type DiscoveredTable } from './discovered-tables.js';
import { LongValueLedger } from './long-value-ledger.js';
import { openIndex, type TableRebuild } from './rebuild-context.js';
import { completingBuilder, rebuildIndexes } from './rebuild-index.js';
import { createRecordMender } from './record-mender.js';
import type { RepairedIndex, RepairedTable } from './repair-report.js';
import { ANY_NODE, createLongValueJudge, createRecordJudge, type RecordJudge } from './salvage-judge.js';
import { type SalvageCounts, type SalvagedNode, type SalvageTree, TRUST } from './salvage-node.js';
import { salvageNodes } from './salvage-tree.js';
import { TableLosses } from './table-losses.js';

/** A table in the new database, and what is to be said of it. */
export interface RebuiltTable {
  readonly made: NewTable;
  readonly report: RepairedTable;
  readonly findings: readonly Finding[];
  readonly isLossy: boolean;
  /** Highest column ids of the records that the catalog does not know; 0 = none. */
  readonly unknown: RecordJudge['unknown'];
}

const DENSITY_FULL = 100;
export const NOTHING_UNKNOWN: RecordJudge['unknown'] = { fixed: 0, variable: 0, tagged: 0 };

/** What is wrong with a table: numbers of its damaged trees; none named = all of them. */
export type TableDamage = ReadonlySet<number> | undefined;

/** Makes a table anew out of what is left of it. */
export function* rebuildTable(
  context: TableRebuild,
  table: TableDefinition,
  damage: TableDamage,
  discovered?: DiscoveredTable,
): Steps<RebuiltTable> {
  const layout = createRecordLayout(table.columns, context.salvage.pageSize);
  const toComplete = table.indexes.filter((index) => completingBuilder(layout, index) !== undefined);
  if (damage === undefined && toComplete.length === 0) return yield* copySound(context, table);
  // Their progress is not kept: they become complete (chapters 7.2.4 and 7.2.9).
  const wanted = damage ?? new Set(toComplete.map(({ objid }) => objid));
  return yield* new TableRun(context, table, wanted, discovered).run();
}

function* copySound({ copier }: TableRebuild, table: TableDefinition): Steps<RebuiltTable> {
  const { made, figures, orphans, recounted, indexEntries } = yield* copier.copyTable(table);
  return {
    made,
    report: {
      name: table.name,
      objid: table.objid,
      recovered: false,
      records: {
        kept: figures.records,
        lost: { known: 0, estimated: 0 },
        unverified: 0,
        superseded: 0,
        dropped: 0,
      },
      longValues: { kept: figures.longValues, nulled: 0, refCountFixed: recounted, orphaned: orphans },
      indexes: indexEntries.map(({ name, entries }) => ({ name, action: 'kept', entries })),
    },
    findings: [],
    isLossy: false,
    unknown: NOTHING_UNKNOWN,
  };
}

class TableRun {
  readonly #context: TableRebuild;
  readonly #table: TableDefinition;
  readonly #damage: ReadonlySet<number>;
  readonly #discovered: DiscoveredTable | undefined;
  readonly #layout: RecordLayout;
  readonly #losses: TableLosses;
  #unknown: RecordJudge['unknown'] = NOTHING_UNKNOWN;

  constructor(
    context: TableRebuild,
    table: TableDefinition,
    damage: ReadonlySet<number>,
    discovered: DiscoveredTable | undefined,
  ) {
    this.#discovered = discovered;
    this.#context = context;
    this.#table = table;
    this.#damage = damage;
    this.#layout = createRecordLayout(table.columns, context.salvage.pageSize);
    this.#losses = new TableLosses(context, table);
  }

  *run(): Steps<RebuiltTable> {
    const table = this.#table;
    const { builder } = this.#context;
    const { objid, longValueTree } = table;
    const isDataDamaged =
      this.#isDamaged(objid) || (longValueTree !== undefined && this.#isDamaged(longValueTree.objid));
    const root = this.#readRoot();
    const column = autoIncrementColumn(table);
    const autoIncrement = root ?? (column !== undefined && this.#context.keepsAutoIncrement ? 0n : undefined);
    const region = builder.openTable({
      objid,
      roleFlags: 0,
      pages: table.pages,
      density: DENSITY_FULL,
      autoIncrement,
    });
    const trees = new Map<number, NewTree>();
    const highest = isDataDamaged
      ? yield* this.#salvageRows(region, trees, column)
      : yield* this.#copyRows(region, trees, column);
    const indexes = yield* this.#makeIndexes(region, trees, isDataDamaged);
    region.close(autoIncrement === undefined || highest < autoIncrement ? autoIncrement : highest);
    return {
      made: { objid, pgnoFdp: region.pgnoRoot, trees, columns: undefined },
      report: this.#losses.report(indexes, this.#discovered !== undefined),
      findings: this.#losses.findings,
      isLossy: this.#losses.isLossy,
      unknown: this.#unknown,
    };
  }

  #isDamaged(objid: number): boolean {
    return this.#damage.size === 0 || this.#damage.has(objid);
  }

  /** The auto-increment maximum that the root keeps; undefined where it keeps none or cannot be read. */
  #readRoot(): bigint | undefined {
    const { pgnoFdp, objid } = this.#table;
    const { page, worth } = this.#context.salvage.read(pgnoFdp);
    if (worth !== 'intact' || page.objid !== objid || !page.isRoot) return undefined;
    try {
      return decodeSpaceHeader(page.externalHeader, pgnoFdp).autoIncrement;
    } catch (error) {
      if (!(error instanceof EseError)) throw error;
      return undefined;
    }
  }

  /** Records and long values of a table in which only other trees are damaged. */
  *#copyRows(
    region: TreeRegion,
    trees: Map<number, NewTree>,
    autoIncrement: ColumnDefinition | undefined,
  ): Steps<bigint> {
    const { copy } = this.#context;
    const table = this.#table;
    const { longValueTree } = table;
    const longValues =
      longValueTree === undefined ? undefined : yield* countLongValues(copy, table, [], true);
    const { records, autoIncrementMax } = yield* copyRecords(copy, table, region, {
      longValues,
      columns: undefined,
      deleteOnZero: [],
      autoIncrement,
    });
    this.#losses.figures.kept = records;
    if (longValueTree !== undefined && longValues !== undefined && longValues.size > 0) {
      const child = this.#openLongValues(region, longValueTree, trees);
      const copied = yield* copyLongValues(copy, longValueTree, child, longValues);
      child.close();
      this.#losses.figures.longValues = copied.longValues;
      this.#losses.figures.orphaned = copied.orphans;
      this.#losses.figures.refCountFixed = copied.recounted;
    }
    return autoIncrementMax;
  }

  #openLongValues(
    region: TreeRegion,
    tree: LongValueTreeDefinition,
    trees: Map<number, NewTree>,
  ): TreeRegion {
    const child = region.child({
      objid: tree.objid,
      roleFlags: PAGE_FLAG.longValue,
      pages: tree.pages,
      density: DENSITY_FULL,
    });
    trees.set(tree.objid, { objid: tree.objid, pgnoFdp: child.pgnoRoot, type: CATALOG_TYPE.longValue });
    return child;
  }

  /** Records and long values out of the pages that are left. */
  *#salvageRows(
    region: TreeRegion,
    trees: Map<number, NewTree>,
    autoIncrement: ColumnDefinition | undefined,
  ): Steps<bigint> {
    const { salvage } = this.#context;
    const table = this.#table;
    const { longValueTree } = table;
    if (this.#discovered?.isRaw === true) {
      yield* this.#keepRaw(region);
      return 0n;
    }
    let ledger: LongValueLedger | undefined;
    if (longValueTree !== undefined) {
      ledger = new LongValueLedger(
        longValueChunkSize(salvage.pageSize, table.lvChunkMax),
        this.#context.options.longValues ?? 'null',
        this.#context.findingsMax,
        salvage.lastPgno * salvage.pageSize,
      );
      const counts = yield* this.#salvage(this.#longValueTree(longValueTree), (node) => ledger?.look(node));
      ledger.seal();
      this.#losses.noteLongValues(longValueTree, ledger, counts);
    }
    const highest = yield* this.#salvageRecords(region, ledger, autoIncrement);
    if (longValueTree !== undefined && ledger !== undefined) {
      yield* this.#writeLongValues(region, longValueTree, ledger, trees);
    }
    return highest;
  }

  /** Nodes of a table whose columns nobody knows, each as a record of its key and its bytes. */
  *#keepRaw(region: TreeRegion): Steps<void> {
    const { salvage, builder } = this.#context;
    const { writer } = builder;
    const recordOf = createRawRecords(salvage.pageSize);
    region.begin();
    const counts = yield* this.#salvage(
      { ...rootOf(this.#table), kind: 'table', isUnique: true, judge: ANY_NODE },
      (node) => {
        const { key, keyLength, bytes, dataOffset, dataLength } = node;
        const record = recordOf(key, keyLength, bytes, dataOffset, dataOffset + dataLength);
        if (record === undefined) {
          this.#losses.dropRecord(node, 'it is too long to be kept with its key');
          return;
        }
        writer.add(key, keyLength, record, 0, record.length);
        this.#losses.figures.kept++;
        if (node.trust === TRUST.unverified) this.#losses.noteUnverified(node);
      },
    );
    region.finishTree();
    this.#losses.figures.superseded = counts.superseded;
    this.#losses.noteRecords(counts);
  }

  #longValueTree({ pgnoFdp, objid }: TreeRoot): SalvageTree {
    return {
      pgnoFdp,
      objid,
      kind: 'longValue',
      isUnique: true,
      judge: createLongValueJudge(this.#context.salvage.pageSize, this.#table.lvChunkMax),
      isStrict: this.#context.options.strict ?? false,
    };
  }

  *#salvage(tree: SalvageTree, visit: (node: SalvagedNode) => void): Steps<SalvageCounts> {
    return yield* salvageNodes(this.#context.salvage, tree, visit);
  }

  *#writeLongValues(
    region: TreeRegion,
    tree: LongValueTreeDefinition,
    ledger: LongValueLedger,
    trees: Map<number, NewTree>,
  ): Steps<void> {
    const keepsOrphans = this.#context.options.keepOrphans ?? false;
    const figures = this.#losses.figures;
    if (!ledger.isReferredTo && !keepsOrphans) {
      figures.orphaned = ledger.size;
      return;
    }
    const child = this.#openLongValues(region, tree, trees);
    child.begin();
    const writer = ledger.createWriter(this.#context.builder.writer, keepsOrphans);
    yield* this.#salvage(this.#longValueTree(tree), (node) => writer.add(node));
    writer.finish();
    child.finishTree();
    child.close();
    figures.longValues = ledger.written;
    figures.orphaned = ledger.orphans;
    figures.refCountFixed = ledger.fixedCounts;
  }

  *#salvageRecords(
    region: TreeRegion,
    ledger: LongValueLedger | undefined,
    autoIncrement: ColumnDefinition | undefined,
  ): Steps<bigint> {
    const { salvage, builder, options } = this.#context;
    const { writer } = builder;
    const table = this.#table;
    const judge = createRecordJudge(table, salvage.pageSize);
    const mender = createRecordMender(this.#layout, ledger);
    const integer =
      autoIncrement === undefined ? undefined : createIntegerReader(this.#layout, autoIncrement);
    const figures = this.#losses.figures;
    const excluded = this.#context.excluded.get(table.objid);
    let highest = 0n;
    region.begin();
    const counts = yield* this.#salvage(
      {
        ...rootOf(table),
        kind: 'table',
        isUnique: true,
        judge,
        isStrict: options.strict ?? false,
        refiles: this.#context.misfiledTables.has(table.objid),
      },
      (node) => {
        const { key, keyLength, bytes, dataOffset, dataLength } = node;
        const end = dataOffset + dataLength;
        if (excluded?.has(hexOf(key.subarray(0, keyLength))) === true) {
          this.#losses.dropRecord(node, 'a newer record has its key in a unique index');
          return;
        }
        const lost = mender.look(bytes, dataOffset, end);
        if (lost !== 0) {
          if (lost < 0) {
            this.#losses.dropRecord(node, 'it contradicts itself');
            return;
          }
          if (options.longValues === 'drop-record') {
            this.#losses.dropRecord(node, 'long values that it refers to are lost');
            return;
          }
          const mended = mender.mend(bytes, dataOffset, end);
          if (mended === undefined) {
            this.#losses.dropRecord(
              node,
              'long values that it refers to are lost, and it cannot be written without them',
            );
            return;
          }
          figures.nulled += lost;
          this.#losses.isLossy = true;
          this.#losses.find({
            code: 'REC_LID_MISSING',
            severity: 'error',
            message: `${lost} long values that the record refers to are lost`,
            pgno: node.pgno,
            node: node.line,
            ...this.#losses.subject(table.objid),
            keyRange: [hexOf(key.subarray(0, keyLength)), hexOf(key.subarray(0, keyLength))],
            action: 'the values were removed, the record was kept',
          });
          writer.add(key, keyLength, mended, 0, mended.length);
        } else {
          writer.add(key, keyLength, bytes, dataOffset, end);
        }
        figures.kept++;
        if (node.trust === TRUST.unverified) this.#losses.noteUnverified(node);
        if (integer !== undefined) {
          const value = integer(bytes, dataOffset, end);
          if (value > highest) highest = value;
        }
      },
    );
    region.finishTree();
    figures.superseded = counts.superseded;
    this.#unknown = judge.unknown;
    this.#losses.noteRecords(counts);
    return highest;
  }

  *#makeIndexes(
    region: TreeRegion,
    trees: Map<number, NewTree>,
    isDataDamaged: boolean,
  ): Steps<RepairedIndex[]> {
    const secondaries = this.#table.indexes.filter(({ primary }) => !primary);
    const { copy } = this.#context;
    const toRebuild = secondaries.filter(({ objid }) => isDataDamaged || this.#isDamaged(objid));
    const done: RepairedIndex[] = [];
    for (const index of secondaries) {
      if (toRebuild.includes(index)) continue;
      const child = openIndex(region, index, trees, copy.writer.pageSize);
      const { nodes } = yield* copyIndex(copy, index, child, undefined);
      child.close();
      done.push({ name: index.name, action: 'kept', entries: nodes });
    }
    if (toRebuild.length > 0) {
      region.flushTree();
      const outcome = yield* rebuildIndexes(this.#context, {
        table: this.#table,
        layout: this.#layout,
        region,
        trees,
        indexes: toRebuild,
        isDamaged: (objid) => this.#isDamaged(objid),
      });
      done.push(...outcome.indexes);
      this.#losses.isLossy ||= outcome.isLossy;
      for (const finding of outcome.findings) this.#losses.find(finding);
    }
    const order = new Map(secondaries.map(({ name }, i) => [name, i]));
    return done.sort((a, b) => (order.get(a.name) ?? 0) - (order.get(b.name) ?? 0));
  }
}

function rootOf({ pgnoFdp, objid }: TreeRoot): TreeRoot {
  return { pgnoFdp, objid };
}

/** Reads a fixed column of records as an unsigned number; 0 where it is not stored. */
function createIntegerReader(
  layout: RecordLayout,
  column: ColumnDefinition,
): (bytes: Uint8Array, start: number, end: number) => bigint {
  const values = createRecordValues(layout);
  const index = layout.columns.indexOf(column);
  return (bytes, start, end) => {
    locateColumns(layout, bytes, start, end, values);
    let value = 0n;
    const from = values.starts[index] ?? 0;
    if (values.stored[index] !== STORED.plain) return 0n;
    for (let at = (values.ends[index] ?? 0) - 1; at >= from; at--) {
      value = (value << 8n) | BigInt(bytes[at] ?? 0);
    }
    return value;
  };
}
