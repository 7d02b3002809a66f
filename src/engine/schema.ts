import {
  CATALOG_TYPE,
  type CatalogColumnRow,
  type CatalogIndexRow,
  type CatalogLongValueRow,
  type CatalogTableRow,
  INDEX_FLAG,
  type IndexSegment,
  type SpaceHints,
  TABLE_FLAG,
  type TupleLimits,
} from '../format/catalog-row.js';
import { columnCodePage, type NewCatalogRow } from '../format/catalog-row-encoder.js';
import {
  CODE_PAGE_UNICODE,
  COLTYP,
  COLUMN_FLAG,
  type ColumnDefinition,
  coltypSize,
  FID_FIXED_LEAST,
  FID_FIXED_MOST,
  FID_TAGGED_LEAST,
  FID_TAGGED_MOST,
  FID_VARIABLE_LEAST,
  FID_VARIABLE_MOST,
  fixedColumnSize,
  isFixedColumn,
  isLongValueType,
  isTaggedColumn,
  isTextType,
  isVariableColumn,
} from '../format/column.js';
import type { ColumnValue } from '../format/column-value.js';
import { encodeColumnValue } from '../format/column-value-encoder.js';
import { EseError } from '../format/ese-error.js';
import { createKeyBuilder } from '../format/key.js';
import { PAGE_FLAG } from '../format/page.js';
import { locateColumns } from '../format/record.js';
import type { IndexDefinition, TableDefinition } from '../format/table-definition.js';
import type { EntrySort } from './bulk/entry-sort.js';
import type { Catalog } from './catalog.js';
import type { SpaceWriter } from './space-writer.js';
import { type Table, type TableHost, treeOf } from './table.js';
import { longValueReader } from './table-rows.js';
import type { Session, Transactions } from './transactions.js';
import { SessionTreeCursor } from './tree-cursor.js';
import type { Tree } from './tree-search.js';

/**
 * Changing the schema (format specification, chapter 10.6): tables, columns and indexes, each change in a
 * transaction of its own or inside an open one. Until its transaction commits, only the session that changes a
 * table may use it.
 */
export interface SchemaHost extends TableHost {
  readonly catalog: Catalog;
  readonly space: SpaceWriter;
  readonly transactions: Transactions;
  readonly root: Tree;
  nextObjid(): number;
  findTable(name: string): Table | undefined;
  addTable(definition: TableDefinition): Table;
  dropTable(table: Table): void;
  /** Sorts the keys of a new index. One at a time. */
  createSort(): EntrySort;
  /** Gives the space of trees back once no transaction can see them. */
  freeLater(trees: readonly DroppedTree[]): void;
  /** A tree is no more: nothing on its pages is to be touched. */
  forgetTree(objid: number): void;
}

/** A tree whose table or index was deleted. */
export interface DroppedTree {
  readonly tree: Tree;
  readonly kind: 'table' | 'index';
}

/** Column types by name. */
export type ColumnType = Exclude<keyof typeof COLTYP, 'nil' | 'slv'>;

/** A column to be created. */
export interface NewColumn {
  readonly name: string;
  readonly type: ColumnType;
  /** Most bytes of a value; for fixed text and binary columns the size of all. Default: what the type allows. */
  readonly maxLength?: number;
  /** Text: UTF-16 instead of Windows-1252. */
  readonly unicode?: boolean;
  /** Binary and Text: a place of fixed size in every record. */
  readonly fixed?: boolean;
  /** Stored only where it has a value. Long types always are. */
  readonly tagged?: boolean;
  readonly multiValued?: boolean;
  readonly notNull?: boolean;
  readonly autoIncrement?: boolean;
  /** Counts the changes of the row. */
  readonly version?: boolean;
  /** May be added to by several sessions at a time; needs a default. */
  readonly escrow?: boolean;
  /** Long types: values may be stored packed. */
  readonly compressed?: boolean;
  readonly defaultValue?: ColumnValue;
}

/** A segment of an index: a column, and which way its values go. */
export interface NewSegment {
  readonly column: string;
  readonly descending?: boolean;
}

/** An index to be created. */
export interface NewIndex {
  readonly name: string;
  readonly segments: readonly (string | NewSegment)[];
  readonly primary?: boolean;
  readonly unique?: boolean;
  /**
   * Rows with NULL segments: `index` (default) all have entries; `ignoreAllNull`, `ignoreFirstNull` and `ignoreAnyNull`
   * leave such rows out; `disallow` refuses them.
   */
  readonly nulls?: 'index' | 'ignoreAllNull' | 'ignoreFirstNull' | 'ignoreAnyNull' | 'disallow';
  readonly sortNullsHigh?: boolean;
  /** Refuse rows whose keys would be cut. */
  readonly noTruncation?: boolean;
  /** Most bytes of a key. Default 255; for Unicode text what the page size allows. */
  readonly keyMost?: number;
  /** Most bytes of a text or binary segment. */
  readonly varSegMac?: number;
  /** Only rows in which these columns are NULL, or are not, have entries. */
  readonly conditions?: readonly { readonly column: string; readonly mustBeNull: boolean }[];
  /** Several multi-valued segments: every combination of their values. */
  readonly crossProduct?: boolean;
  /** Pieces of text; makes a secondary index that is not unique. */
  readonly tuples?: Partial<TupleLimits>;
  readonly density?: number;
  readonly spaceHints?: Partial<SpaceHints>;
}

/** A table to be created. */
export interface NewTable {
  readonly name: string;
  readonly columns: readonly NewColumn[];
  readonly indexes?: readonly NewIndex[];
  /** Pages that its space begins with. */
  readonly pages?: number;
  /** Fill of leaves by appending, in per cent. Default: 80. */
  readonly density?: number;
  readonly hasMultipleExtents?: boolean;
  /** Bits of TABLE_FLAG. */
  readonly flags?: number;
  /** Values longer than this are stored apart. Default: 1023 bytes. */
  readonly separateLv?: number;
  readonly lvChunkMax?: number;
  readonly spaceHints?: Partial<SpaceHints>;
}

const NAME_BYTES_MOST = 64;
const DENSITY_DEFAULT = 80;
const DENSITY_MIN = 20;
const LV_DENSITY = 100;
const KEY_MOST_DEFAULT = 255;
const KEY_MOST_4K = 1000;
const KEY_MOST_8K = 2000;
const SEGMENTS_MOST = 16;
const SHORT_VALUE_MOST = 255;
/** Unicode text in the one form that needs no tables of weights (chapter 3.4.5). */
const LCMAP_UPPERCASE = 0x00000200;
const TUPLES_DEFAULT: TupleLimits = { lengthMin: 3, lengthMax: 10, tuplesMax: 32767, increment: 1, start: 0 };
const NO_HINTS: SpaceHints = {
  density: 0,
  initialBytes: 0,
  grbit: 0,
  maintenanceDensity: 0,
  growthPercent: 0,
  extentMinBytes: 0,
  extentMaxBytes: 0,
};

// --- Tables ---

/**
 * Creates a table with its columns and indexes.
 *
 * @throws EseError JET_errTableDuplicate, JET_errInvalidName, JET_errIndexInvalidDef and the like for a definition that
 *   makes no sense, JET_errOutOfDatabaseSpace, JET_errDiskFull
 */
export function createTable(host: SchemaHost, session: Session, newTable: NewTable): Table {
  checkName(newTable.name);
  if (host.findTable(newTable.name) !== undefined) {
    throw new EseError('JET_errTableDuplicate', `there is a table ${newTable.name} already`);
  }
  const density = checkDensity(newTable.density);
  const columns: ColumnDefinition[] = [];
  for (const column of newTable.columns) columns.push(newColumnDefinition(column, columns));
  const indexes = newTable.indexes ?? [];
  const primary = indexes.filter((index) => index.primary === true);
  if (primary.length > 1) throw new EseError('JET_errIndexHasPrimary');
  return session.transaction(() => {
    const objid = host.nextObjid();
    const { first: pgnoFdp } = host.space.createTree(session, host.root, {
      objid,
      pageFlags: 0,
      isUnique: true,
      pages: newTable.pages ?? 1,
      ...(newTable.hasMultipleExtents === undefined
        ? {}
        : { hasMultipleExtents: newTable.hasMultipleExtents }),
    });
    const tree = treeOf({ pgnoFdp, objid }, density, true, host.pageSize);
    giveBackOnRollback(host, session, tree);
    const spaceHints = completeHints(newTable.spaceHints);
    const row: CatalogTableRow = {
      type: CATALOG_TYPE.table,
      objidTable: objid,
      id: objid,
      name: newTable.name,
      flags: newTable.flags ?? 0,
      pgnoFdp,
      density,
      pages: newTable.pages ?? 0,
      ...(newTable.separateLv === undefined ? {} : { separateLv: newTable.separateLv }),
      ...(newTable.lvChunkMax === undefined ? {} : { lvChunkMax: newTable.lvChunkMax }),
      ...(spaceHints === undefined ? {} : { spaceHints }),
    };
    host.catalog.add(session, row);
    for (const column of columns) host.catalog.add(session, columnRow(objid, column));
    const { type: _type, id: _id, objidTable: _objidTable, ...definition } = row;
    const table = host.addTable({
      ...definition,
      objid,
      system: (row.flags & TABLE_FLAG.system) !== 0,
      columns,
      indexes: [],
      callbacks: [],
    });
    table.isNew = true;
    lock(table, session);
    session.onRollback(() => {
      table.isDeleted = true;
      host.dropTable(table);
    });
    const [primaryIndex] = primary;
    if (primaryIndex !== undefined) {
      const index = indexDefinition(host, table, primaryIndex, { pgnoFdp, objid });
      host.catalog.add(session, indexRow(objid, index));
      setDefinition(table, session, { ...table.definition, indexes: [index], primaryIndex: index });
    }
    for (const index of indexes) if (index.primary !== true) createIndex(host, session, table, index);
    return table;
  });
}

/** Deletes a table; its pages are free once no transaction can see it. */
export function deleteTable(host: SchemaHost, session: Session, table: Table): void {
  session.transaction(() => {
    lock(table, session);
    const { definition } = table;
    const rows = host.catalog.tableRows(session, definition.objid);
    for (const row of [...rows].reverse()) {
      if (row.type === 0 || row.type === CATALOG_TYPE.callback) continue;
      host.catalog.remove(session, row);
    }
    const dropped: DroppedTree[] = [
      ...definition.indexes
        .filter(({ primary }) => !primary)
        .map((index) => ({
          tree: treeOf(index, index.density, index.unique, host.pageSize),
          kind: 'index' as const,
        })),
    ];
    const { longValueTree } = definition;
    if (longValueTree !== undefined) {
      dropped.push({ tree: treeOf(longValueTree, LV_DENSITY, true, host.pageSize), kind: 'index' });
    }
    dropped.push({ tree: table.tree, kind: 'table' });
    // The name is free again for this session at once, and for the others when it commits.
    host.dropTable(table);
    table.isDeleted = true;
    session.onRollback(() => {
      table.isDeleted = false;
      host.addTable(definition);
    });
    session.onCommit(() => host.freeLater(dropped));
  });
}

// --- Columns ---

/** Adds a column. Rows are not touched: they have its default, or NULL. */
export function addColumn(host: SchemaHost, session: Session, table: Table, newColumn: NewColumn): void {
  const { definition } = table;
  const column = newColumnDefinition(newColumn, definition.columns);
  session.transaction(() => {
    lock(table, session);
    host.catalog.add(session, columnRow(definition.objid, column));
    const columns = [...definition.columns, column].sort((a, b) => a.columnId - b.columnId);
    setDefinition(table, session, { ...definition, columns });
  });
}

/**
 * Deletes a column: its row in the catalog stays as a stub, so that id and place in the record stay taken.
 *
 * @throws EseError JET_errColumnNotFound, JET_errColumnInUse if an index has it
 */
export function deleteColumn(host: SchemaHost, session: Session, table: Table, name: string): void {
  const { definition } = table;
  const column = table.columnAt(table.column(name));
  const isUsed = definition.indexes.some(({ segments, conditions }) =>
    [...segments, ...conditions].some(({ columnId }) => columnId === column.columnId),
  );
  if (isUsed) throw new EseError('JET_errColumnInUse', `an index has column ${column.name}`);
  session.transaction(() => {
    lock(table, session);
    const stub: ColumnDefinition = {
      ...column,
      coltyp: COLTYP.nil,
      name: `JetStub_${definition.objid}_${column.columnId}`,
    };
    host.catalog.change(session, columnRow(definition.objid, stub));
    const columns = definition.columns.map((other) => (other === column ? stub : other));
    setDefinition(table, session, { ...definition, columns });
  });
}

// --- Indexes ---

/**
 * Creates a secondary index and fills it from the rows of the table.
 *
 * @throws EseError JET_errIndexDuplicate, JET_errIndexInvalidDef, JET_errKeyDuplicate if it should be unique and rows
 *   have the same key, JET_errWriteConflict while other sessions change the table
 */
export function createIndex(host: SchemaHost, session: Session, table: Table, newIndex: NewIndex): void {
  if (newIndex.primary === true) throw new EseError('JET_errIndexHasPrimary');
  const { versions } = host.transactions;
  if (versions.hasForeign(host.dbid, table.definition.objid, session, session.snapshot)) {
    throw new EseError('JET_errWriteConflict', 'other sessions are changing the table');
  }
  session.transaction(() => {
    lock(table, session);
    const { definition } = table;
    const root = { pgnoFdp: 0, objid: 0 };
    const planned = indexDefinition(host, table, newIndex, root);
    const objid = host.nextObjid();
    const { first: pgnoFdp } = host.space.createTree(session, table.tree, {
      objid,
      pageFlags: PAGE_FLAG.index | (planned.unique ? 0 : PAGE_FLAG.nonUnique),
      isUnique: planned.unique,
      pages: 1,
    });
    const index: IndexDefinition = { ...planned, pgnoFdp, objid };
    const tree = treeOf(index, index.density, index.unique, host.pageSize);
    giveBackOnRollback(host, session, tree);
    host.catalog.add(session, indexRow(definition.objid, index));
    fillIndex(host, session, table, index, tree);
    setDefinition(table, session, { ...definition, indexes: [...definition.indexes, index] });
  });
}

/** Deletes a secondary index. Throws JET_errIndexNotFound, JET_errIndexMustStay for the primary one. */
export function deleteIndex(host: SchemaHost, session: Session, table: Table, name: string): void {
  const index = table.index(name);
  if (index === undefined) throw new EseError('JET_errIndexMustStay');
  session.transaction(() => {
    lock(table, session);
    const { definition } = table;
    host.catalog.remove(session, indexRow(definition.objid, index.definition));
    const indexes = definition.indexes.filter(({ objid }) => objid !== index.definition.objid);
    setDefinition(table, session, { ...definition, indexes });
    session.onCommit(() => host.freeLater([{ tree: index.tree, kind: 'index' }]));
  });
}

/** Puts the keys of all rows into a new index, in order; what does not fit into memory waits in a temporary file. */
function fillIndex(
  host: SchemaHost,
  session: Session,
  table: Table,
  definition: IndexDefinition,
  tree: Tree,
): void {
  const { changes } = host.trees;
  const cursor = new SessionTreeCursor({
    pages: changes.context.pages,
    versions: host.transactions.versions,
    dbid: host.dbid,
    tree: table.tree,
    reader: session,
  });
  const builder = createKeyBuilder(table.layout, definition);
  const reader = longValueReader(table, session);
  const sort = host.createSort();
  try {
    for (let on = cursor.first(); on; on = cursor.next()) {
      const { data, key: bookmark } = cursor;
      locateColumns(table.layout, data, 0, data.length, table.values);
      builder.build(table.values, reader, (key, length) =>
        sort.add(key, length, bookmark, 0, bookmark.length),
      );
      host.trim();
    }
    // Nobody sees the tree before the commit, and a rollback frees it as a whole: no versions are needed.
    for (const { bytes, keyStart, keyLength, dataLength } of sort.sorted()) {
      const keyEnd = keyStart + keyLength;
      const key = bytes.subarray(keyStart, keyEnd);
      host.trees.insert(session, tree, key, bytes.subarray(keyEnd, keyEnd + dataLength), false);
      host.trim();
    }
  } finally {
    sort.close();
  }
}

// --- The long-value tree ---

/**
 * Makes the long-value tree of a table, at the first value that is stored apart: in a transaction that commits at
 * once, unless the table itself is not committed yet (chapter 10.6.5).
 */
export function createLongValueTree(host: SchemaHost, table: Table, session: Session): void {
  if (table.lockedBy === session) {
    makeLongValueTree(host, table, session);
    return;
  }
  const own = host.transactions.createSession();
  try {
    own.transaction(() => makeLongValueTree(host, table, own), { lazy: true });
  } finally {
    host.transactions.endSession(own);
  }
}

function makeLongValueTree(host: SchemaHost, table: Table, session: Session): void {
  const objid = host.nextObjid();
  const { first: pgnoFdp } = host.space.createTree(session, table.tree, {
    objid,
    pageFlags: PAGE_FLAG.longValue,
    isUnique: true,
    pages: 1,
  });
  giveBackOnRollback(host, session, treeOf({ pgnoFdp, objid }, LV_DENSITY, true, host.pageSize));
  const row: CatalogLongValueRow = {
    type: CATALOG_TYPE.longValue,
    objidTable: table.definition.objid,
    id: objid,
    name: 'LV',
    flags: 0,
    pgnoFdp,
    density: LV_DENSITY,
    pages: 1,
  };
  host.catalog.add(session, row);
  table.setLongValueTree({ pgnoFdp, objid, density: LV_DENSITY, pages: 1 });
  session.onRollback(() => table.setLongValueTree(undefined));
}

// --- What schema changes share ---

function giveBackOnRollback(host: SchemaHost, session: Session, tree: Tree): void {
  session.onRollback(() => {
    host.forgetTree(tree.objid);
    host.space.freeTree(session, tree);
  });
}

/** Keeps all other sessions away from a table until the transaction ends. */
function lock(table: Table, session: Session): void {
  if (table.isDeleted) throw new EseError('JET_errObjectNotFound');
  if (table.lockedBy === session) return;
  if (table.lockedBy !== undefined) {
    throw new EseError(
      'JET_errTableLocked',
      `the definition of table ${table.definition.name} is being changed`,
    );
  }
  table.lockedBy = session;
  const unlock = (): void => {
    table.lockedBy = undefined;
    table.isNew = false;
  };
  session.onRollback(unlock);
  session.onCommit(unlock);
}

function setDefinition(table: Table, session: Session, definition: TableDefinition): void {
  const before = table.definition;
  table.redefine(definition);
  session.onRollback(() => {
    table.redefine({ ...before, ...longValueTreeOf(table) });
  });
}

/** The long-value tree may have been made and committed since. */
function longValueTreeOf({ definition: { longValueTree } }: Table): Pick<TableDefinition, 'longValueTree'> {
  return longValueTree === undefined ? {} : { longValueTree };
}

function checkName(name: string): void {
  const isValid =
    name.length > 0 &&
    name.length <= NAME_BYTES_MOST &&
    /^[\x21-\x7e][\x20-\x7e]*$/.test(name) &&
    !/[!.[\]]/.test(name);
  if (!isValid) throw new EseError('JET_errInvalidName', `${JSON.stringify(name)} is no name`);
}

function checkDensity(density: number = DENSITY_DEFAULT): number {
  if (!Number.isInteger(density) || density < DENSITY_MIN || density > 100) {
    throw new EseError('JET_errInvalidParameter', `a density of ${density} per cent`);
  }
  return density;
}

function completeHints(hints: Partial<SpaceHints> | undefined): SpaceHints | undefined {
  return hints === undefined ? undefined : { ...NO_HINTS, ...hints };
}

// --- Definitions ---

/** The definition of a new column behind those that a table has; checks that it makes sense. */
function newColumnDefinition(column: NewColumn, existing: readonly ColumnDefinition[]): ColumnDefinition {
  checkName(column.name);
  const coltyp = COLTYP[column.type];
  const isDuplicate = existing.some(
    (other) => other.coltyp !== COLTYP.nil && other.name.toUpperCase() === column.name.toUpperCase(),
  );
  if (isDuplicate) throw new EseError('JET_errColumnDuplicate', `there is a column ${column.name} already`);
  const size = coltypSize(coltyp);
  const isLong = isLongValueType(coltyp);
  const isTagged = isLong || column.tagged === true;
  const isFixed = !isTagged && (size !== 0 || column.fixed === true);
  checkColumnOptions(column, coltyp, existing, isTagged, isFixed);
  const columnId = nextColumnId(existing, isTagged, isFixed);
  const maxLength = size !== 0 ? size : (column.maxLength ?? (isLong ? 0 : SHORT_VALUE_MOST));
  if (!isLong && (maxLength < 1 || maxLength > SHORT_VALUE_MOST)) {
    throw new EseError('JET_errInvalidParameter', `column ${column.name} cannot hold ${maxLength} bytes`);
  }
  const definition: ColumnDefinition = {
    columnId,
    name: column.name,
    coltyp,
    maxLength,
    codePage: columnCodePage(coltyp, column.unicode === true),
    flags: columnFlags(column),
    fixedOffset: isFixed ? endOfFixed(existing) : 0,
    derived: false,
  };
  if (column.defaultValue === undefined) return definition;
  const defaultValue = encodeColumnValue(definition, column.defaultValue);
  if (defaultValue.length > SHORT_VALUE_MOST) throw new EseError('JET_errDefaultValueTooBig');
  return { ...definition, defaultValue };
}

function checkColumnOptions(
  column: NewColumn,
  coltyp: number,
  existing: readonly ColumnDefinition[],
  isTagged: boolean,
  isFixed: boolean,
): void {
  const fail = (name: ConstructorParameters<typeof EseError>[0], what: string): never => {
    throw new EseError(name, `column ${column.name}: ${what}`);
  };
  if (isTagged && column.notNull === true) fail('JET_errTaggedNotNULL', 'it is tagged and refuses NULL');
  if (column.multiValued === true && !isTagged) {
    fail('JET_errMultiValuedColumnMustBeTagged', 'it has several values and is not tagged');
  }
  const special = [column.autoIncrement, column.version, column.escrow].filter(
    (flag) => flag === true,
  ).length;
  if (special > 1) fail('JET_errInvalidParameter', 'automatic, version and escrow exclude each other');
  if (special === 1 && !isFixed) fail('JET_errCannotBeTagged', 'such a column is fixed');
  const isIn = (types: readonly number[]): boolean => types.includes(coltyp);
  if (column.autoIncrement === true) {
    if (!isIn([COLTYP.long, COLTYP.currency, COLTYP.longLong, COLTYP.unsignedLongLong])) {
      fail('JET_errInvalidColumnType', 'its type cannot count');
    }
    if (existing.some(({ flags }) => (flags & COLUMN_FLAG.autoIncrement) !== 0)) {
      fail('JET_errColumnRedundant', 'the table has an automatic column already');
    }
  }
  if (column.version === true) {
    if (coltyp !== COLTYP.long) fail('JET_errInvalidColumnType', 'a version is a Long');
    if (existing.some(({ flags }) => (flags & COLUMN_FLAG.version) !== 0)) {
      fail('JET_errColumnRedundant', 'the table has a version column already');
    }
  }
  if (column.escrow === true && (coltyp !== COLTYP.long || column.defaultValue === undefined)) {
    fail('JET_errInvalidColumnType', 'an escrow column is a Long with a default');
  }
  if (column.compressed === true && !isLongValueType(coltyp)) {
    fail('JET_errInvalidColumnType', 'only long values are packed');
  }
}

function columnFlags(column: NewColumn): number {
  const { notNull, version, autoIncrement, multiValued, defaultValue, escrow, compressed } = column;
  return (
    (notNull === true ? COLUMN_FLAG.notNull : 0) |
    (version === true ? COLUMN_FLAG.version : 0) |
    (autoIncrement === true ? COLUMN_FLAG.autoIncrement : 0) |
    (multiValued === true ? COLUMN_FLAG.multiValued : 0) |
    (defaultValue === undefined ? 0 : COLUMN_FLAG.default) |
    (escrow === true ? COLUMN_FLAG.escrowUpdate : 0) |
    (compressed === true ? COLUMN_FLAG.compressed : 0)
  );
}

/** The id behind the last one of the class that was ever used (chapter 3.1.2). */
function nextColumnId(existing: readonly ColumnDefinition[], isTagged: boolean, isFixed: boolean): number {
  const isOfClass = isTagged ? isTaggedColumn : isFixed ? isFixedColumn : isVariableColumn;
  const least = isTagged ? FID_TAGGED_LEAST : isFixed ? FID_FIXED_LEAST : FID_VARIABLE_LEAST;
  const most = isTagged ? FID_TAGGED_MOST : isFixed ? FID_FIXED_MOST : FID_VARIABLE_MOST;
  let next = least;
  for (const { columnId } of existing) if (isOfClass(columnId)) next = Math.max(next, columnId + 1);
  if (next > most) throw new EseError('JET_errTooManyColumns');
  return next;
}

const RECORD_HEADER_BYTES = 4;

/** Where the next fixed column begins: behind the last one, a deleted one too. */
function endOfFixed(existing: readonly ColumnDefinition[]): number {
  let end = RECORD_HEADER_BYTES;
  for (const column of existing) {
    if (!isFixedColumn(column.columnId)) continue;
    const size = column.coltyp === COLTYP.nil ? column.maxLength : fixedColumnSize(column);
    end = Math.max(end, column.fixedOffset + size);
  }
  return end;
}

function columnRow(objidTable: number, column: ColumnDefinition): CatalogColumnRow {
  const { columnId, name, coltyp, maxLength, codePage, flags, fixedOffset, defaultValue } = column;
  return {
    type: CATALOG_TYPE.column,
    objidTable,
    id: columnId,
    name,
    flags,
    coltyp,
    maxLength,
    codePage,
    ...(isFixedColumn(columnId) ? { recordOffset: fixedOffset } : {}),
    ...(defaultValue === undefined ? {} : { defaultValue }),
  };
}

function indexRow(objidTable: number, index: IndexDefinition): CatalogIndexRow & NewCatalogRow {
  const { objid, primary: _primary, unique: _unique, ...rest } = index;
  return { type: CATALOG_TYPE.index, objidTable, id: objid, ...rest };
}

/** The definition of a new index; checks that it makes sense for the table. */
function indexDefinition(
  host: SchemaHost,
  table: Table,
  newIndex: NewIndex,
  root: { readonly pgnoFdp: number; readonly objid: number },
): IndexDefinition {
  checkName(newIndex.name);
  const { definition } = table;
  const isPrimary = newIndex.primary === true;
  const fail = (what: string): never => {
    throw new EseError('JET_errIndexInvalidDef', `index ${newIndex.name}: ${what}`);
  };
  const isDuplicate = definition.indexes.some(
    ({ name }) => name.toUpperCase() === newIndex.name.toUpperCase(),
  );
  if (isDuplicate) throw new EseError('JET_errIndexDuplicate', `there is an index ${newIndex.name} already`);
  if (newIndex.segments.length === 0) fail('it has no segments');
  if (newIndex.segments.length > SEGMENTS_MOST) throw new EseError('JET_errTooManyKeys');
  const columns = newIndex.segments.map((given) =>
    table.columnAt(table.column(typeof given === 'string' ? given : given.column)),
  );
  const segments = newIndex.segments.map((given, i): IndexSegment => {
    const columnId = columns[i]?.columnId ?? 0;
    const descending = typeof given !== 'string' && given.descending === true;
    return { columnId, descending, mustBeNull: false, derived: false };
  });
  const conditions = (newIndex.conditions ?? []).map(({ column, mustBeNull }): IndexSegment => {
    const { columnId } = table.columnAt(table.column(column));
    return { columnId, descending: false, mustBeNull, derived: false };
  });
  const isMultiValued = columns.some(({ flags }) => (flags & COLUMN_FLAG.multiValued) !== 0);
  const isUnicode = columns.some(
    ({ coltyp, codePage }) => isTextType(coltyp) && codePage === CODE_PAGE_UNICODE,
  );
  const { tuples } = newIndex;
  if (isPrimary && (isMultiValued || conditions.length > 0 || tuples !== undefined)) {
    fail('a primary index has one key for every row');
  }
  if (tuples !== undefined && newIndex.unique === true) fail('an index of pieces of text is not unique');
  const largest = host.pageSize <= 4096 ? KEY_MOST_4K : KEY_MOST_8K;
  const keyMost = newIndex.keyMost ?? (isUnicode ? largest : KEY_MOST_DEFAULT);
  if (keyMost < 1 || keyMost > largest) fail(`a key cannot have ${keyMost} bytes`);
  const unique = isPrimary || newIndex.unique === true;
  const spaceHints = completeHints(newIndex.spaceHints);
  return {
    name: newIndex.name,
    ...root,
    density: checkDensity(newIndex.density ?? definition.density),
    flags: indexFlags(newIndex, isPrimary, unique, isMultiValued, isUnicode),
    segments,
    conditions,
    lcid: 0,
    primary: isPrimary,
    unique,
    ...(keyMost === KEY_MOST_DEFAULT ? {} : { keyMost }),
    ...(newIndex.varSegMac === undefined ? {} : { varSegMac: newIndex.varSegMac }),
    ...(tuples === undefined ? {} : { tupleLimits: { ...TUPLES_DEFAULT, ...tuples } }),
    ...(isUnicode ? { lcMapFlags: LCMAP_UPPERCASE } : {}),
    ...(spaceHints === undefined ? {} : { spaceHints }),
  };
}

function indexFlags(
  { nulls = 'index', sortNullsHigh, noTruncation, crossProduct }: NewIndex,
  isPrimary: boolean,
  isUnique: boolean,
  isMultiValued: boolean,
  isUnicode: boolean,
): number {
  let flags = INDEX_FLAG.extendedSegments;
  if (isUnique) flags |= INDEX_FLAG.unique;
  if (isPrimary) flags |= INDEX_FLAG.primary;
  if (nulls === 'disallow') flags |= INDEX_FLAG.noNullSegment;
  else if (nulls !== 'ignoreAnyNull') {
    flags |= INDEX_FLAG.allowSomeNulls;
    if (nulls !== 'ignoreFirstNull') {
      flags |= INDEX_FLAG.allowFirstNull;
      if (nulls !== 'ignoreAllNull') flags |= INDEX_FLAG.allowAllNulls;
    }
  }
  if (sortNullsHigh === true) flags |= INDEX_FLAG.sortNullsHigh;
  if (noTruncation === true) flags |= INDEX_FLAG.noKeyTruncation;
  if (isMultiValued) flags |= INDEX_FLAG.multiValued;
  if (crossProduct === true) flags |= INDEX_FLAG.crossProduct;
  if (isUnicode) flags |= INDEX_FLAG.localizedText;
  return flags;
}
