import { type BuiltDatabase, DatabaseBuilder, type KeyedData } from '../../engine/bulk/database-builder.js';
import { LeafScan } from '../../engine/bulk/leaf-scan.js';
import type { TreeRegion } from '../../engine/bulk/tree-region.js';
import { CATALOG_SHADOW_PAGES, OBJIDS_TABLE_NAME } from '../../engine/catalog.js';
import type { DatabaseReader } from '../../engine/database-reader.js';
import type { TreeRoot } from '../../engine/tree-reader.js';
import { createByteWriter } from '../../format/byte-writer.js';
import {
  CATALOG_TYPE,
  createCatalogRowDecoder,
  INDEX_FLAG,
  OBJID_CATALOG,
  OBJID_CATALOG_NAME_INDEX,
  OBJID_CATALOG_ROOT_OBJECTS_INDEX,
  OBJID_CATALOG_SHADOW,
  PGNO_CATALOG,
  type SpaceHints,
  TABLE_FLAG,
} from '../../format/catalog-row.js';
import {
  COLTYP,
  COLUMN_FLAG,
  type ColumnDefinition,
  coltypSize,
  isFixedColumn,
} from '../../format/column.js';
import { EseError } from '../../format/ese-error.js';
import { createKeyBuilder } from '../../format/key.js';
import { PAGE_FLAG } from '../../format/page.js';
import { createRecordLayout, createRecordValues, locateColumns } from '../../format/record.js';
import { createRecordEncoder } from '../../format/record-encoder.js';
import { decodeSpaceHeader, type SpaceHeader } from '../../format/space.js';
import {
  groupCatalogRows,
  type LongValueTreeDefinition,
  type TableDefinition,
} from '../../format/table-definition.js';
import type { FileHandle } from '../../io/file-system.js';
import type { Finding } from '../report-values.js';
import { compactColumns } from './column-ids.js';
import {
  copyIndex,
  copyLongValues,
  copyRecords,
  countLongValues,
  countRoots,
  deleteOnZeroColumns,
  liveNodes,
  type Steps,
  type TreeCopy,
} from './copy-trees.js';
import type { LongValueIds } from './long-value-ids.js';
import { type CatalogRecord, NewCatalog, type NewTable, type NewTree } from './new-catalog.js';

/**
 * Copies all that is alive in a database into a new one: each tree in its order, in full pages (format
 * specification, chapter 7.3).
 */

/** Memory for the pages that are read at once, in bytes. */
const READ_BYTES = 2 * 1024 * 1024;
const DENSITY_FULL = 100;
const ROLE_FLAGS = PAGE_FLAG.index | PAGE_FLAG.longValue | PAGE_FLAG.nonUnique;
const LOCALES_TABLE_NAME = 'MSysLocales';
/**
 * Tables of the engine's own that are not copied: it makes them anew when it needs them, or needs them no more
 * (chapter 7.3.1, step 2).
 */
const DROPPED_TABLES =
  /^MSys(?:UnicodeFixupVer\d+|Defrag\d+|OLD\d+|Scan\d*|DatabaseMaintenance|ExtentPageCountCache|DeferredPopulateKeys)$/i;

export interface CopyOptions {
  /** Numbers of trees, column ids and ids of long values stay as they are. */
  readonly keepsIds: boolean;
  /** FILETIME of the work. */
  readonly placedAt: Uint8Array;
  /** Told of each table, but for the engine's own. */
  readonly onTable: (table: CopiedTable) => void;
}

/** What was copied of a table. */
export interface CopiedTable {
  readonly name: string;
  /** Its number in the old database. */
  readonly objid: number;
  readonly columns: number;
  /** Secondary indexes. */
  readonly indexes: number;
  readonly records: number;
  readonly longValues: number;
  /** Pages that it owns now, those of its indexes and long values included. */
  readonly pagesWritten: number;
}

/** What was copied. */
export interface CopyReport {
  readonly built: BuiltDatabase;
  /** Tables but for the engine's own, and their records. */
  readonly tables: number;
  readonly records: number;
  readonly longValues: number;
  readonly orphansDropped: number;
  readonly findings: readonly Finding[];
}

/**
 * Copies a database. Every step is one leaf that was read.
 *
 * @param source the old database, open also as `sourceFile`
 * @param target the new one, with room for its headers
 * @throws EseError for whatever is damaged: nothing is left out silently
 */
export function* copyDatabase(
  source: DatabaseReader,
  sourceFile: FileHandle,
  target: FileHandle,
  options: CopyOptions,
): Steps<CopyReport> {
  const { pageSize, header } = source;
  const isShadowed = (header.dbFlags & DB_FLAG_SHADOWING_DISABLED) === 0;
  const builder = new DatabaseBuilder(target, { pageSize, isShadowed, readBytes: READ_BYTES });
  const { writer } = builder;
  const scan = new LeafScan(sourceFile, source.source, writer.kernel, writer.readOffset, writer.readBytes);
  const copier = new DatabaseCopier(source, builder, { scan, writer }, options);
  return yield* copier.run();
}

const DB_FLAG_SHADOWING_DISABLED = 0x1;

/** The copying of one database. */
class DatabaseCopier {
  readonly #source: DatabaseReader;
  readonly #builder: DatabaseBuilder;
  readonly #copy: TreeCopy;
  readonly #options: CopyOptions;
  /** What was made, by the old numbers of tables. */
  readonly #tables = new Map<number, NewTable>();
  readonly #findings: Finding[] = [];
  #records = 0;
  #longValues = 0;
  #orphans = 0;

  constructor(source: DatabaseReader, builder: DatabaseBuilder, copy: TreeCopy, options: CopyOptions) {
    this.#source = source;
    this.#builder = builder;
    this.#copy = copy;
    this.#options = options;
  }

  *run(): Steps<CopyReport> {
    const rows = yield* this.#readCatalog();
    const { tables, faults } = groupCatalogRows(rows.map(({ row }) => row));
    const [fault] = faults;
    if (fault !== undefined) throw new EseError('JET_errCatalogCorrupted', fault.what);
    const catalog = tables.find(({ objid }) => objid === OBJID_CATALOG);
    if (catalog === undefined || catalog.longValueTree !== undefined) {
      throw new EseError('JET_errCatalogCorrupted', 'the catalog does not describe itself as it is');
    }
    const systemTable = (name: string): TableDefinition | undefined =>
      tables.find((table) => table.system && table.name.toUpperCase() === name.toUpperCase());
    const objids = systemTable(OBJIDS_TABLE_NAME);
    const locales = systemTable(LOCALES_TABLE_NAME);
    // The list of all objects comes last, but its root has its place before all tables.
    const objidsTree =
      objids === undefined
        ? undefined
        : { objid: this.#newObjid(objids.objid), pgnoFdp: this.#builder.reservePage() };
    if (objids !== undefined && objidsTree !== undefined) {
      this.#tables.set(objids.objid, { ...objidsTree, trees: new Map(), columns: undefined });
    }
    if (locales !== undefined) yield* this.#copyTable(locales);
    const copied = copyOrder(tables);
    for (const table of copied) {
      const figures = yield* this.#copyTable(table);
      this.#records += figures.records;
      this.#options.onTable(figures);
    }
    if (objids !== undefined && objidsTree !== undefined) this.#writeObjids(objids, objidsTree);
    const layout = createRecordLayout(catalog.columns, this.#source.pageSize);
    const newCatalog = new NewCatalog(layout, CATALOG_SHADOW_PAGES, this.#options.placedAt);
    this.#builder.writeCatalog(layout, newCatalog.records(rows, this.#tables));
    const built = this.#builder.finish();
    const { keepsIds } = this.#options;
    return {
      built: { ...built, objidLast: keepsIds ? this.#source.header.objidLast : built.objidLast },
      tables: copied.length,
      records: this.#records,
      longValues: this.#longValues,
      orphansDropped: this.#orphans,
      findings: this.#findings,
    };
  }

  *#readCatalog(): Steps<CatalogRecord[]> {
    const decode = createCatalogRowDecoder(this.#source.pageSize);
    const rows: CatalogRecord[] = [];
    yield* liveNodes(this.#copy.scan, CATALOG, ({ bytes }, { dataOffset, dataLength }) => {
      const record = bytes.slice(dataOffset, dataOffset + dataLength);
      rows.push({ row: decode(record, 0, record.length), record });
    });
    return rows;
  }

  #newObjid(old: number): number {
    return this.#options.keepsIds ? old : this.#builder.nextObjid();
  }

  /** Copies a table with its long values and indexes. */
  *#copyTable(table: TableDefinition): Steps<CopiedTable> {
    const longValuesBefore = this.#longValues;
    const copy = this.#copy;
    const { keepsIds } = this.#options;
    const { autoIncrement } = this.#spaceHeader(table);
    const deleteOnZero = deleteOnZeroColumns(table.columns);
    const longValues =
      table.longValueTree === undefined
        ? undefined
        : yield* countLongValues(copy, table, deleteOnZero, keepsIds);
    const columns = keepsIds || isShared(table) ? undefined : compactColumns(table.columns);
    const secondaries = table.indexes.filter(({ primary }) => !primary);
    const objid = this.#newObjid(table.objid);
    const objidsOfIndexes = secondaries.map((index) => this.#newObjid(index.objid));
    const region = this.#builder.openTable({
      objid,
      roleFlags: 0,
      pages: table.pages,
      density: DENSITY_FULL,
      autoIncrement,
    });
    const copied = yield* copyRecords(copy, table, region, {
      longValues,
      columns,
      deleteOnZero,
      autoIncrement: autoIncrement === undefined ? undefined : autoIncrementColumn(table),
    });
    const trees = new Map<number, NewTree>();
    if (table.longValueTree !== undefined && longValues !== undefined) {
      const tree = yield* this.#copyLongValues(table.longValueTree, longValues, region);
      if (tree !== undefined) trees.set(table.longValueTree.objid, tree);
    }
    for (const [i, index] of secondaries.entries()) {
      const options = {
        objid: objidsOfIndexes[i] ?? 0,
        roleFlags: this.#roleFlags(index),
        pages: initialPages(index.spaceHints, this.#source.pageSize),
        density: DENSITY_FULL,
      };
      const child = region.child(options);
      yield* copyIndex(copy, index, child, copied.skipped);
      child.close();
      trees.set(index.objid, { objid: options.objid, pgnoFdp: child.pgnoRoot, type: CATALOG_TYPE.index });
      if ((index.flags & INDEX_FLAG.deferredPopulate) !== 0) this.#noteIncomplete(table, index.name);
    }
    const highest =
      autoIncrement !== undefined && copied.autoIncrementMax > autoIncrement
        ? copied.autoIncrementMax
        : autoIncrement;
    region.close(highest);
    this.#tables.set(table.objid, { objid, pgnoFdp: region.pgnoRoot, trees, columns });
    return {
      name: table.name,
      objid: table.objid,
      columns: table.columns.filter(({ coltyp }) => coltyp !== COLTYP.nil).length,
      indexes: secondaries.length,
      records: copied.records,
      longValues: this.#longValues - longValuesBefore,
      pagesWritten: this.#builder.pagesSince(region.pgnoRoot),
    };
  }

  /** Copies the long values of a table. Where no record refers to any, there is no tree for them. */
  *#copyLongValues(
    tree: LongValueTreeDefinition,
    ids: LongValueIds,
    region: TreeRegion,
  ): Steps<NewTree | undefined> {
    const copy = this.#copy;
    if (ids.size === 0) {
      this.#orphans += yield* countRoots(copy, tree);
      return undefined;
    }
    const objid = this.#newObjid(tree.objid);
    const child = region.child({
      objid,
      roleFlags: PAGE_FLAG.longValue,
      pages: tree.pages,
      density: DENSITY_FULL,
    });
    const { longValues, orphans } = yield* copyLongValues(copy, tree, child, ids);
    child.close();
    this.#longValues += longValues;
    this.#orphans += orphans;
    return { objid, pgnoFdp: child.pgnoRoot, type: CATALOG_TYPE.longValue };
  }

  #spaceHeader({ pgnoFdp }: TreeRoot): SpaceHeader {
    return decodeSpaceHeader(this.#source.source.readPage(pgnoFdp).externalHeader, pgnoFdp);
  }

  #roleFlags({ pgnoFdp }: TreeRoot): number {
    return this.#source.source.readPage(pgnoFdp).flags & ROLE_FLAGS;
  }

  #noteIncomplete({ name, objid }: TableDefinition, index: string): void {
    this.#findings.push({
      code: 'IDX_UNVERIFIABLE',
      severity: 'warning',
      message: `index ${index} of table ${name} is not complete yet: it was copied as it is`,
      objid,
      object: index,
    });
  }

  /** Writes the list of all trees (chapter 2.3.8). */
  #writeObjids(objids: TableDefinition, { objid, pgnoFdp }: Omit<NewTree, 'type'>): void {
    const rows: ObjectRow[] = [...BASE_OBJECTS];
    for (const table of this.#tables.values()) {
      rows.push([table.objid, table.objid, CATALOG_TYPE.table]);
      for (const tree of table.trees.values()) rows.push([tree.objid, table.objid, tree.type]);
    }
    rows.sort(([a], [b]) => a - b);
    const { writer } = this.#builder;
    const region = this.#builder.openTable({
      objid,
      roleFlags: 0,
      pages: 1,
      density: DENSITY_FULL,
      pgnoRoot: pgnoFdp,
    });
    region.begin();
    for (const { key, data } of objectNodes(objids, rows, writer.pageSize)) {
      writer.add(key, key.length, data, 0, data.length);
    }
    region.finishTree();
    region.close();
  }
}

const CATALOG: TreeRoot = { pgnoFdp: PGNO_CATALOG, objid: OBJID_CATALOG };

/** A row of the list of objects: number of the tree, of its table, type of its catalog row. */
type ObjectRow = readonly [objid: number, objidTable: number, type: number];

const BASE_OBJECTS: readonly ObjectRow[] = [
  [OBJID_CATALOG, OBJID_CATALOG, CATALOG_TYPE.table],
  [OBJID_CATALOG_SHADOW, OBJID_CATALOG_SHADOW, CATALOG_TYPE.table],
  [OBJID_CATALOG_NAME_INDEX, OBJID_CATALOG, CATALOG_TYPE.index],
  [OBJID_CATALOG_ROOT_OBJECTS_INDEX, OBJID_CATALOG, CATALOG_TYPE.index],
];

function objectNodes(objids: TableDefinition, rows: readonly ObjectRow[], pageSize: number): KeyedData[] {
  const { primaryIndex, columns } = objids;
  const layout = createRecordLayout(columns, pageSize);
  const places = ['objid', 'objidTable', 'type'].map((name) =>
    columns.findIndex((column) => column.name === name),
  );
  if (primaryIndex === undefined || places.includes(-1)) {
    throw new EseError('JET_errCatalogCorrupted', `table ${objids.name} is not what it should be`);
  }
  const encoder = createRecordEncoder(layout);
  const values = createRecordValues(layout);
  const keys = createKeyBuilder(layout, primaryIndex);
  const nodes: KeyedData[] = [];
  for (const row of rows) {
    encoder.clear();
    row.forEach((value, i) => {
      const index = places[i] ?? 0;
      const bytes = new Uint8Array(4);
      new DataView(bytes.buffer).setInt32(0, value, true);
      encoder.setValue(index, { bytes: bytes.subarray(0, coltypSize(columns[index]?.coltyp ?? 0)) });
    });
    const out = createByteWriter(64);
    encoder.encode(out);
    const data = out.bytes.slice(0, out.length);
    locateColumns(layout, data, 0, data.length, values);
    keys.build(values, noLongValues, (key, length) => nodes.push({ key: key.slice(0, length), data }));
  }
  return nodes;
}

function noLongValues(): never {
  throw new EseError('JET_errCatalogCorrupted', 'the list of objects has no long values');
}

/** The tables to be copied: by name, those that have a template after all others (chapter 7.3.1, step 2). */
function copyOrder(tables: readonly TableDefinition[]): TableDefinition[] {
  const isDerived = ({ flags }: TableDefinition): boolean => (flags & TABLE_FLAG.derived) !== 0;
  const byName = (a: TableDefinition, b: TableDefinition): number => {
    const [left, right] = [a.name.toUpperCase(), b.name.toUpperCase()];
    return left < right ? -1 : left > right ? 1 : 0;
  };
  const own = [OBJIDS_TABLE_NAME, LOCALES_TABLE_NAME].map((name) => name.toUpperCase());
  const copied = tables.filter(
    ({ objid, name }) =>
      objid !== OBJID_CATALOG &&
      objid !== OBJID_CATALOG_SHADOW &&
      !own.includes(name.toUpperCase()) &&
      !DROPPED_TABLES.test(name),
  );
  return copied.sort((a, b) => Number(isDerived(a)) - Number(isDerived(b)) || byName(a, b));
}

/** Templates and the tables made of them name each other's columns by id: they keep them. */
function isShared({ flags }: TableDefinition): boolean {
  return (flags & (TABLE_FLAG.template | TABLE_FLAG.derived)) !== 0;
}

function autoIncrementColumn({ columns }: TableDefinition): ColumnDefinition | undefined {
  return columns.find(
    ({ flags, columnId }) => (flags & COLUMN_FLAG.autoIncrement) !== 0 && isFixedColumn(columnId),
  );
}

function initialPages(hints: SpaceHints | undefined, pageSize: number): number {
  return Math.max(1, Math.ceil((hints?.initialBytes ?? 0) / pageSize));
}
