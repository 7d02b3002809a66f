import {
  CATALOG_TYPE,
  type CatalogTableRow,
  OBJID_CATALOG,
  OBJID_CATALOG_NAME_INDEX,
  OBJID_CATALOG_ROOT_OBJECTS_INDEX,
  OBJID_CATALOG_SHADOW,
  OBJID_DATABASE,
  PGNO_CATALOG,
  PGNO_CATALOG_SHADOW,
  PGNO_DATABASE,
  TABLE_FLAG,
} from '../format/catalog-row.js';
import { catalogColumnRows } from '../format/catalog-row-encoder.js';
import { PAGE_FLAG } from '../format/page.js';
import {
  CATALOG_DEFINITION,
  CATALOG_DENSITY,
  CATALOG_INDEX_ROWS,
  CATALOG_PAGES,
  CATALOG_SHADOW_DEFINITION,
  CATALOG_SHADOW_PAGES,
  CATALOG_TABLE_FLAGS,
  OBJIDS_TABLE_NAME,
} from './catalog.js';
import type { Database } from './database.js';
import { createTable } from './schema.js';
import { treeOf } from './table.js';
import { insertRow } from './table-rows.js';
import type { Session } from './transactions.js';

/**
 * What a new database consists of (format specification, chapters 2.5 and 10.5): the space of page 1, the catalog
 * with its shadow and indexes, the table of objects and the table of locales, each at its fixed place and in the
 * order in which the engine makes them.
 */

/** Pages of the base trees that are not the catalog's own. */
const CATALOG_INDEX_PAGES = 3;

/** The space of the whole file, under page 1. */
export function createRootSpace(database: Database, session: Session, pages: number): void {
  session.transaction(
    () =>
      database.space.createRoot(session, {
        objid: OBJID_DATABASE,
        pageFlags: 0,
        isUnique: true,
        hasMultipleExtents: true,
        pgnoParent: 0,
        extent: { first: PGNO_DATABASE, count: pages },
      }),
    { lazy: true },
  );
}

/** The catalog, its shadow and its indexes, and the rows that describe them. */
export function createCatalog(database: Database, session: Session): void {
  const { space, catalog, root } = database;
  const tree = (objid: number, pages: number, pageFlags: number) => ({
    objid,
    pages,
    pageFlags,
    isUnique: true,
    hasMultipleExtents: true,
  });
  const catalogTree = treeOf(
    { pgnoFdp: PGNO_CATALOG, objid: OBJID_CATALOG },
    CATALOG_DENSITY,
    true,
    database.pageSize,
  );
  session.transaction(() => {
    space.createTree(session, root, tree(database.nextObjid(), CATALOG_PAGES, 0));
    space.createTree(session, root, tree(database.nextObjid(), CATALOG_SHADOW_PAGES, 0));
    for (const objid of [OBJID_CATALOG_NAME_INDEX, OBJID_CATALOG_ROOT_OBJECTS_INDEX]) {
      if (database.nextObjid() !== objid)
        throw new Error('the catalog is not the first thing in its database');
      space.createTree(session, catalogTree, tree(objid, CATALOG_INDEX_PAGES, PAGE_FLAG.index));
    }
    const tables = [
      tableRow(OBJID_CATALOG, PGNO_CATALOG, CATALOG_DEFINITION.name, CATALOG_PAGES),
      tableRow(
        OBJID_CATALOG_SHADOW,
        PGNO_CATALOG_SHADOW,
        CATALOG_SHADOW_DEFINITION.name,
        CATALOG_SHADOW_PAGES,
      ),
    ];
    for (const table of tables) {
      catalog.add(session, table);
      for (const column of catalogColumnRows(table.id)) catalog.add(session, column);
    }
    for (const index of CATALOG_INDEX_ROWS) catalog.add(session, index);
  });
}

function tableRow(objid: number, pgnoFdp: number, name: string, pages: number): CatalogTableRow {
  return {
    type: CATALOG_TYPE.table,
    objidTable: objid,
    id: objid,
    name,
    flags: CATALOG_TABLE_FLAGS,
    pgnoFdp,
    density: CATALOG_DENSITY,
    pages,
  };
}

const LOCALES_TABLE_NAME = 'MSysLocales';
const OBJIDS_DENSITY = 100;
const LOCALES_DENSITY = 92;

/** The table of objects, and its rows for the trees that were there before it. */
export function createObjidsTable(database: Database, session: Session): void {
  const { catalog } = database;
  const table = session.transaction(() =>
    createTable(database, session, {
      name: OBJIDS_TABLE_NAME,
      density: OBJIDS_DENSITY,
      flags: TABLE_FLAG.system | TABLE_FLAG.fixedDdl | TABLE_FLAG.dynamicSystem,
      columns: [
        { name: 'objid', type: 'long', tagged: true },
        { name: 'objidTable', type: 'long', tagged: true },
        { name: 'type', type: 'short', tagged: true },
      ],
      indexes: [{ name: 'primary', segments: ['objid'], primary: true }],
    }),
  );
  catalog.objids = table;
  const { objid } = table.definition;
  session.transaction(
    () => {
      catalog.addObject(session, OBJID_CATALOG, OBJID_CATALOG, CATALOG_TYPE.table);
      catalog.addObject(session, OBJID_CATALOG_NAME_INDEX, OBJID_CATALOG, CATALOG_TYPE.index);
      catalog.addObject(session, OBJID_CATALOG_ROOT_OBJECTS_INDEX, OBJID_CATALOG, CATALOG_TYPE.index);
    },
    { lazy: true },
  );
  session.transaction(
    () => catalog.addObject(session, OBJID_CATALOG_SHADOW, OBJID_CATALOG_SHADOW, CATALOG_TYPE.table),
    { lazy: true },
  );
  session.transaction(() => catalog.addObject(session, objid, objid, CATALOG_TYPE.table));
}

/** Kinds of rows in the table of locales. */
const LOCALES_SCHEMA = 1;
const LOCALES_VALUE = 2;
const LOCALES_ROWS: readonly (readonly [key: string, value: number])[] = [
  ['.Schema\\Internal\\Major', 1],
  ['.Schema\\Internal\\Minor', 0],
  ['.Schema\\Internal\\Update', 0],
  ['.Schema\\External\\Major', 1],
  ['.Schema\\External\\Minor', 0],
  ['.Schema\\External\\Update', 0],
];

/** The table of locales: the first rows by one session, the mark that all is well by another. */
export function createLocalesTable(database: Database, session: Session): void {
  const { transactions } = database;
  const table = session.transaction(() => {
    const created = createTable(database, session, {
      name: LOCALES_TABLE_NAME,
      density: LOCALES_DENSITY,
      flags: TABLE_FLAG.system | TABLE_FLAG.dynamicSystem,
      columns: [
        { name: 'Key', type: 'binary' },
        { name: 'Type', type: 'unsignedByte', notNull: true },
        { name: 'iValue', type: 'long', escrow: true, defaultValue: 0 },
      ],
      indexes: [{ name: 'KeyPrimary', segments: ['Key'], primary: true, noTruncation: true }],
    });
    for (const [key, value] of LOCALES_ROWS) insertLocale(session, created, LOCALES_SCHEMA, key, value);
    return created;
  });
  const other = transactions.createSession();
  try {
    other.transaction(() => insertLocale(other, table, LOCALES_VALUE, 'MSysLocalesConsistent', 1), {
      lazy: true,
    });
  } finally {
    transactions.endSession(other);
  }
}

function insertLocale(
  session: Session,
  table: ReturnType<typeof createTable>,
  type: number,
  key: string,
  value: number,
): void {
  const number = new Uint8Array(4);
  new DataView(number.buffer).setInt32(0, value, true);
  insertRow(
    session,
    table,
    new Map([
      [table.column('Type'), [Uint8Array.of(type)]],
      [table.column('iValue'), [number]],
      [table.column('Key'), [Uint8Array.from(Buffer.from(`${key}\0`, 'utf16le'))]],
    ]),
  );
}
