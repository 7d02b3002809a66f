import { createByteWriter } from '../format/byte-writer.js';
import {
  CATALOG_COLUMNS,
  CATALOG_TYPE,
  type CatalogIndexRow,
  type CatalogRow,
  createCatalogRowDecoder,
  INDEX_FLAG,
  type IndexSegment,
  OBJID_CATALOG,
  OBJID_CATALOG_NAME_INDEX,
  OBJID_CATALOG_ROOT_OBJECTS_INDEX,
  OBJID_CATALOG_SHADOW,
  PGNO_CATALOG,
  PGNO_CATALOG_NAME_INDEX,
  PGNO_CATALOG_ROOT_OBJECTS_INDEX,
  PGNO_CATALOG_SHADOW,
  TABLE_FLAG,
} from '../format/catalog-row.js';
import { CATALOG_COLUMNS_WRITTEN, type NewCatalogRow, setCatalogRow } from '../format/catalog-row-encoder.js';
import { EseError } from '../format/ese-error.js';
import { createRecordLayout } from '../format/record.js';
import { createRecordEncoder } from '../format/record-encoder.js';
import { groupCatalogRows, type IndexDefinition, type TableDefinition } from '../format/table-definition.js';
import { Table, type TableHost } from './table.js';
import { deleteRow, insertRow, type RowChanges, updateRow } from './table-rows.js';
import type { Session } from './transactions.js';
import { SessionTreeCursor } from './tree-cursor.js';

/**
 * The catalog of a database as a set of rows (format specification, chapters 2.3 and 10.6.1): MSysObjects with its
 * two indexes, its shadow, and the list of objects, MSysObjids. They are tables like all others; only their
 * definitions are built in.
 */
export const CATALOG_DENSITY = 80;
/** Pages that the base tables are created with. */
export const CATALOG_PAGES = 20;
export const CATALOG_SHADOW_PAGES = 5;

export const CATALOG_TABLE_FLAGS = TABLE_FLAG.system | TABLE_FLAG.fixedDdl;
const LOCALE = 'en-US';

const segment = (columnId: number): IndexSegment => ({
  columnId,
  descending: false,
  mustBeNull: false,
  derived: false,
});

const NAME_COLUMN_ID = 128;
const ROOT_FLAG_COLUMN_ID = 8;

/** Rows about the indexes of the catalog, in the order in which a new database gets them. */
export const CATALOG_INDEX_ROWS: readonly CatalogIndexRow[] = [
  indexRow(
    OBJID_CATALOG,
    OBJID_CATALOG,
    PGNO_CATALOG,
    'Id',
    INDEX_FLAG.primary | INDEX_FLAG.noNullSegment,
    [1, 2, 3],
  ),
  indexRow(
    OBJID_CATALOG_SHADOW,
    OBJID_CATALOG_SHADOW,
    PGNO_CATALOG_SHADOW,
    'Id',
    INDEX_FLAG.primary | INDEX_FLAG.noNullSegment,
    [1, 2, 3],
  ),
  indexRow(
    OBJID_CATALOG,
    OBJID_CATALOG_NAME_INDEX,
    PGNO_CATALOG_NAME_INDEX,
    'Name',
    INDEX_FLAG.noNullSegment,
    [1, 2, NAME_COLUMN_ID],
  ),
  indexRow(
    OBJID_CATALOG,
    OBJID_CATALOG_ROOT_OBJECTS_INDEX,
    PGNO_CATALOG_ROOT_OBJECTS_INDEX,
    'RootObjects',
    INDEX_FLAG.allowSomeNulls,
    [ROOT_FLAG_COLUMN_ID, NAME_COLUMN_ID],
  ),
];

function indexRow(
  objidTable: number,
  id: number,
  pgnoFdp: number,
  name: string,
  flags: number,
  columnIds: readonly number[],
): CatalogIndexRow {
  return {
    type: CATALOG_TYPE.index,
    objidTable,
    id,
    name,
    flags: flags | INDEX_FLAG.unique | INDEX_FLAG.extendedSegments,
    pgnoFdp,
    density: CATALOG_DENSITY,
    segments: columnIds.map(segment),
    conditions: [],
    lcid: 0,
    localeName: LOCALE,
  };
}

function builtIn(
  objid: number,
  pgnoFdp: number,
  name: string,
  rows: readonly CatalogIndexRow[],
): TableDefinition {
  const indexes = rows.map(
    ({ type: _type, id, objidTable: _objidTable, ...rest }): IndexDefinition => ({
      ...rest,
      objid: id,
      primary: (rest.flags & INDEX_FLAG.primary) !== 0,
      unique: true,
    }),
  );
  const primaryIndex = indexes.find(({ primary }) => primary);
  return {
    name,
    objid,
    pgnoFdp,
    flags: CATALOG_TABLE_FLAGS,
    density: CATALOG_DENSITY,
    pages: 0,
    system: true,
    columns: CATALOG_COLUMNS,
    indexes,
    callbacks: [],
    ...(primaryIndex === undefined ? {} : { primaryIndex }),
  };
}

/** In the order in which entries are made: RootObjects before Name (chapter 10.6.1). */
const CATALOG_INDEXES_BY_ENTRY = [0, 3, 2].flatMap((i) => CATALOG_INDEX_ROWS[i] ?? []);

export const CATALOG_DEFINITION = builtIn(
  OBJID_CATALOG,
  PGNO_CATALOG,
  'MSysObjects',
  CATALOG_INDEXES_BY_ENTRY,
);
export const CATALOG_SHADOW_DEFINITION = builtIn(
  OBJID_CATALOG_SHADOW,
  PGNO_CATALOG_SHADOW,
  'MSysObjectsShadow',
  CATALOG_INDEX_ROWS.slice(1, 2),
);

export const OBJIDS_TABLE_NAME = 'MSysObjids';

/** Reads and writes the rows of the catalog. */
export class Catalog {
  readonly #host: TableHost;
  readonly #objects: Table;
  readonly #shadow: Table;
  /** The table of objects, where the database has one. */
  objids: Table | undefined;
  /** Whether the shadow is kept: bit 0 of the header's dbFlags says so. */
  readonly #isShadowed: boolean;

  constructor(host: TableHost, isShadowed: boolean) {
    this.#host = host;
    this.#isShadowed = isShadowed;
    this.#objects = new Table(host, CATALOG_DEFINITION);
    this.#shadow = new Table(host, CATALOG_SHADOW_DEFINITION);
  }

  get objects(): Table {
    return this.#objects;
  }

  get shadow(): Table {
    return this.#shadow;
  }

  /** Adds a row: to the catalog and its indexes, to the shadow, and if it is about a tree to the list of objects. */
  add(session: Session, row: NewCatalogRow): void {
    const changes = rowChanges(row);
    insertRow(session, this.#objects, changes);
    if (this.#isShadowed) insertRow(session, this.#shadow, changes);
    if (isAboutTree(row)) this.addObject(session, row.id, row.objidTable, row.type);
  }

  /** Adds a tree to the list of objects. */
  addObject(session: Session, objid: number, objidTable: number, type: number): void {
    const { objids } = this;
    if (objids === undefined) return;
    const changes = new Map<number, Uint8Array[]>([
      [objids.column('objid'), [int32(objid)]],
      [objids.column('objidTable'), [int32(objidTable)]],
      [objids.column('type'), [int32(type).subarray(0, 2)]],
    ]);
    insertRow(session, objids, changes);
  }

  /** Removes a row from everywhere. */
  remove(session: Session, row: NewCatalogRow): void {
    for (const table of this.#copies()) {
      const { key, data } = this.#find(session, table, row);
      deleteRow(session, table, key, data);
    }
    const { objids } = this;
    if (!isAboutTree(row) || objids === undefined) return;
    const key = this.#objidKey(row.id);
    const cursor = this.#cursor(session, objids);
    if (cursor.seekExact(key)) deleteRow(session, objids, key, cursor.data.slice());
  }

  /** Changes a row: to another of the same table, type and id. */
  change(session: Session, row: NewCatalogRow): void {
    for (const table of this.#copies()) {
      const { key, data } = this.#find(session, table, row);
      updateRow(session, table, key, data, rowChanges(row));
    }
  }

  #copies(): Table[] {
    return this.#isShadowed ? [this.#objects, this.#shadow] : [this.#objects];
  }

  #find(session: Session, table: Table, row: NewCatalogRow): { key: Uint8Array; data: Uint8Array } {
    const key = rowKey(row);
    const cursor = this.#cursor(session, table);
    if (!cursor.seekExact(key)) {
      throw new EseError('JET_errCatalogCorrupted', `the catalog has no row for ${row.name}`);
    }
    return { key, data: cursor.data.slice() };
  }

  /** All rows, as a session sees them. */
  rows(session: Session): CatalogRow[] {
    const decode = createCatalogRowDecoder(this.#host.pageSize);
    const cursor = this.#cursor(session, this.#objects);
    const rows: CatalogRow[] = [];
    for (let on = cursor.first(); on; on = cursor.next())
      rows.push(decode(cursor.data, 0, cursor.data.length));
    return rows;
  }

  /** The tables that a session sees. Throws JET_errCatalogCorrupted if rows contradict each other. */
  tables(session: Session): TableDefinition[] {
    const { tables, faults } = groupCatalogRows(this.rows(session));
    const [fault] = faults;
    if (fault !== undefined) throw new EseError('JET_errCatalogCorrupted', fault.what);
    return tables;
  }

  /** The rows of one table. */
  tableRows(session: Session, objidTable: number): CatalogRow[] {
    const decode = createCatalogRowDecoder(this.#host.pageSize);
    const cursor = this.#cursor(session, this.#objects);
    const rows: CatalogRow[] = [];
    for (let on = cursor.seek(keySegment(objidTable, 4)); on; on = cursor.next()) {
      const row = decode(cursor.data, 0, cursor.data.length);
      if (row.objidTable !== objidTable) break;
      rows.push(row);
    }
    return rows;
  }

  #cursor(session: Session, table: Table): SessionTreeCursor {
    const { changes } = this.#host.trees;
    return new SessionTreeCursor({
      pages: changes.context.pages,
      versions: changes.transactions.versions,
      dbid: changes.dbid,
      tree: table.tree,
      reader: session,
    });
  }

  #objidKey(objid: number): Uint8Array {
    return keySegment(objid, 4);
  }
}

function isAboutTree(row: NewCatalogRow): boolean {
  switch (row.type) {
    case CATALOG_TYPE.table:
    case CATALOG_TYPE.longValue:
      return true;
    case CATALOG_TYPE.index:
      return (row.flags & INDEX_FLAG.primary) === 0;
    default:
      return false;
  }
}

const rowLayout = createRecordLayout(CATALOG_COLUMNS_WRITTEN, 4096);
const rowEncoder = createRecordEncoder(rowLayout);

/** The values of a row by column: they have the same places among the catalog's columns. */
function rowChanges(row: NewCatalogRow): RowChanges {
  rowEncoder.clear();
  setCatalogRow(rowEncoder, row);
  const changes = new Map<number, Uint8Array[]>();
  for (const [index, column] of CATALOG_COLUMNS_WRITTEN.entries()) {
    const values = rowEncoder.values(index);
    if (values.length === 0) continue;
    const at = CATALOG_COLUMNS.findIndex(({ columnId }) => columnId === column.columnId);
    changes.set(
      at,
      values.map(({ bytes }) => bytes),
    );
  }
  return changes;
}

/** Primary key of a row: table, type and id, normalised (chapter 2.3.2). */
function rowKey(row: NewCatalogRow): Uint8Array {
  const key = createByteWriter(16);
  for (const part of [keySegment(row.objidTable, 4), keySegment(row.type, 2), keySegment(row.id, 4)]) {
    key.bytes.set(part, key.length);
    key.length += part.length;
  }
  return key.bytes.slice(0, key.length);
}

/** A signed number as a segment of a key. */
function keySegment(value: number, size: 2 | 4): Uint8Array {
  const bytes = new Uint8Array(1 + size);
  const view = new DataView(bytes.buffer);
  bytes[0] = 0x7f;
  if (size === 4) view.setUint32(1, (value ^ 0x80000000) >>> 0, false);
  else view.setUint16(1, value ^ 0x8000, false);
  return bytes;
}

function int32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setInt32(0, value, true);
  return bytes;
}
