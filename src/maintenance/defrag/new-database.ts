import type { BuiltDatabase, DatabaseBuilder, KeyedData } from '../../engine/bulk/database-builder.js';
import { CATALOG_DEFINITION, CATALOG_SHADOW_PAGES, OBJIDS_TABLE_NAME } from '../../engine/catalog.js';
import { createByteWriter } from '../../format/byte-writer.js';
import {
  CATALOG_TYPE,
  OBJID_CATALOG,
  OBJID_CATALOG_NAME_INDEX,
  OBJID_CATALOG_ROOT_OBJECTS_INDEX,
  OBJID_CATALOG_SHADOW,
  TABLE_FLAG,
} from '../../format/catalog-row.js';
import { coltypSize } from '../../format/column.js';
import { EseError } from '../../format/ese-error.js';
import { createKeyBuilder } from '../../format/key.js';
import { createRecordLayout, createRecordValues, locateColumns } from '../../format/record.js';
import { createRecordEncoder } from '../../format/record-encoder.js';
import type { TableDefinition } from '../../format/table-definition.js';
import type { Steps } from './copy-trees.js';
import { type CatalogRecord, NewCatalog, type NewTable } from './new-catalog.js';

/**
 * The frame of a new database that takes the place of an old one: tables in their order, then the list of all trees
 * and the catalog (format specification, chapter 7.3). How each table comes about is up to the caller.
 */

const DENSITY_FULL = 100;
const LOCALES_TABLE_NAME = 'MSysLocales';
/**
 * Tables of the engine's own that are not copied: it makes them anew when it needs them, or needs them no more
 * (chapter 7.3.1, step 2).
 */
const DROPPED_TABLES =
  /^MSys(?:UnicodeFixupVer\d+|Defrag\d+|OLD\d+|Scan\d*|DatabaseMaintenance|ExtentPageCountCache|DeferredPopulateKeys)$/i;

/** What goes into the new database. */
export interface DatabasePlan {
  readonly tables: readonly TableDefinition[];
  /** The catalog of the old database; asked for when all tables are made. */
  rows(): readonly CatalogRecord[];
  /** FILETIME of the work. */
  readonly placedAt: Uint8Array;
  /** Number of a tree in the new database. */
  newObjid(old: number): number;
  /** Makes a table. The engine's own come first. */
  makeTable(table: TableDefinition): Steps<NewTable>;
}

/** Makes the database; see {@link DatabaseBuilder} for what is left to do. */
export function* makeDatabase(builder: DatabaseBuilder, plan: DatabasePlan): Steps<BuiltDatabase> {
  const { tables, placedAt } = plan;
  const { pageSize } = builder.writer;
  const made = new Map<number, NewTable>();
  const systemTable = (name: string): TableDefinition | undefined =>
    tables.find((table) => table.system && table.name.toUpperCase() === name.toUpperCase());
  const objids = systemTable(OBJIDS_TABLE_NAME);
  const locales = systemTable(LOCALES_TABLE_NAME);
  // The list of all objects comes last, but its root has its place before all tables.
  if (objids !== undefined) {
    const tree = { objid: plan.newObjid(objids.objid), pgnoFdp: builder.reservePage() };
    made.set(objids.objid, { ...tree, trees: new Map(), columns: undefined });
  }
  for (const table of [...(locales === undefined ? [] : [locales]), ...copiedTables(tables)]) {
    made.set(table.objid, yield* plan.makeTable(table));
  }
  const objidsTree = objids === undefined ? undefined : made.get(objids.objid);
  if (objids !== undefined && objidsTree !== undefined)
    writeObjids(builder, made.values(), objids, objidsTree);
  const catalog = tables.find(({ objid }) => objid === OBJID_CATALOG) ?? CATALOG_DEFINITION;
  const layout = createRecordLayout(catalog.columns, pageSize);
  builder.writeCatalog(
    layout,
    new NewCatalog(layout, CATALOG_SHADOW_PAGES, placedAt).records(plan.rows(), made),
  );
  return builder.finish();
}

/** Writes the list of all trees (chapter 2.3.8). */
function writeObjids(
  builder: DatabaseBuilder,
  tables: Iterable<NewTable>,
  objids: TableDefinition,
  { objid, pgnoFdp }: NewTable,
): void {
  const rows: ObjectRow[] = [...BASE_OBJECTS];
  for (const table of tables) {
    rows.push([table.objid, table.objid, CATALOG_TYPE.table]);
    for (const tree of table.trees.values()) rows.push([tree.objid, table.objid, tree.type]);
  }
  rows.sort(([a], [b]) => a - b);
  const { writer } = builder;
  const region = builder.openTable({
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

/** A row of the list of objects: number of the tree, of its table, type of its catalog row. */
type ObjectRow = readonly [objid: number, objidTable: number, type: number];

const BASE_OBJECTS: readonly ObjectRow[] = [
  [OBJID_CATALOG, OBJID_CATALOG, CATALOG_TYPE.table],
  [OBJID_CATALOG_SHADOW, OBJID_CATALOG_SHADOW, CATALOG_TYPE.table],
  [OBJID_CATALOG_NAME_INDEX, OBJID_CATALOG, CATALOG_TYPE.index],
  [OBJID_CATALOG_ROOT_OBJECTS_INDEX, OBJID_CATALOG, CATALOG_TYPE.index],
];

/** Columns of the list of all trees that it is filled by. */
const OBJECT_COLUMNS = ['objid', 'objidTable', 'type'];

/** Whether a table is defined as the list of all trees must be. */
export function canListObjects({ primaryIndex, columns }: TableDefinition): boolean {
  return (
    primaryIndex !== undefined && OBJECT_COLUMNS.every((name) => columns.some((one) => one.name === name))
  );
}

function objectNodes(objids: TableDefinition, rows: readonly ObjectRow[], pageSize: number): KeyedData[] {
  const { primaryIndex, columns } = objids;
  const layout = createRecordLayout(columns, pageSize);
  const places = OBJECT_COLUMNS.map((name) => columns.findIndex((column) => column.name === name));
  if (primaryIndex === undefined || !canListObjects(objids)) {
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
export function copiedTables(tables: readonly TableDefinition[]): TableDefinition[] {
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
