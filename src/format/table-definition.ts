/**
 * Tables as the catalog defines them: its rows, grouped by table, with inherited columns and true column
 * offsets (format specification, chapters 2.3 and 3.1).
 */
import {
  CATALOG_COLUMNS,
  CATALOG_TYPE,
  type CatalogColumnRow,
  type CatalogIndexRow,
  type CatalogLongValueRow,
  type CatalogRow,
  type CatalogTableRow,
  INDEX_FLAG,
  OBJID_CATALOG,
  OBJID_CATALOG_SHADOW,
  type SpaceHints,
  TABLE_FLAG,
} from './catalog-row.js';
import { COLTYP, type ColumnDefinition, fixedColumnSize, isFixedColumn } from './column.js';

/** An index; `segments` and `conditions` name columns by id and by whether they are the template's. */
export interface IndexDefinition extends Omit<CatalogIndexRow, 'type' | 'id' | 'objidTable'> {
  readonly objid: number;
  readonly primary: boolean;
  readonly unique: boolean;
}

export interface LongValueTreeDefinition {
  readonly objid: number;
  readonly pgnoFdp: number;
  readonly density: number;
  readonly pages: number;
  /** FILETIME when the root was placed, 8 bytes as stored. */
  readonly pgnoFdpLastSetTime?: Uint8Array;
}

export interface TableDefinition {
  readonly name: string;
  readonly objid: number;
  readonly pgnoFdp: number;
  readonly flags: number;
  readonly density: number;
  /** Pages that the creator asked for. */
  readonly pages: number;
  readonly system: boolean;
  /** Name of the template table; its columns come first in `columns`. */
  readonly templateTable?: string;
  /** Deleted columns are kept with type Nil. Order: the template's, then own, each by id. */
  readonly columns: readonly ColumnDefinition[];
  /** Order of the catalog: by object id. */
  readonly indexes: readonly IndexDefinition[];
  readonly primaryIndex?: IndexDefinition;
  readonly longValueTree?: LongValueTreeDefinition;
  readonly lvChunkMax?: number;
  readonly separateLv?: number;
  readonly spaceHints?: SpaceHints;
  readonly deferredLvSpaceHints?: SpaceHints;
  /** FILETIME when the root was placed, 8 bytes as stored. */
  readonly pgnoFdpLastSetTime?: Uint8Array;
  readonly callbacks: readonly string[];
}

/** A contradiction in the catalog that costs a table or a part of it. */
export interface CatalogFault {
  readonly objidTable: number;
  readonly what: string;
}

interface Group {
  table?: CatalogTableRow;
  readonly columns: CatalogColumnRow[];
  readonly indexes: CatalogIndexRow[];
  longValueTree?: CatalogLongValueRow;
  readonly callbacks: string[];
}

/**
 * Makes the tables out of catalog rows, in the order in which the rows first name them. Rows without a
 * table row, and templates that do not exist, are reported as faults; what can be used is.
 */
export function groupCatalogRows(rows: Iterable<CatalogRow>): {
  readonly tables: TableDefinition[];
  readonly faults: CatalogFault[];
} {
  const groups = new Map<number, Group>();
  const faults: CatalogFault[] = [];
  for (const row of rows) {
    let group = groups.get(row.objidTable);
    if (group === undefined) {
      group = { columns: [], indexes: [], callbacks: [] };
      groups.set(row.objidTable, group);
    }
    switch (row.type) {
      case CATALOG_TYPE.table:
        if (group.table !== undefined) {
          faults.push({ objidTable: row.objidTable, what: `table ${row.name} has two table rows` });
        } else {
          group.table = row;
        }
        break;
      case CATALOG_TYPE.column:
        group.columns.push(row);
        break;
      case CATALOG_TYPE.index:
        group.indexes.push(row);
        break;
      case CATALOG_TYPE.longValue:
        if (group.longValueTree !== undefined) {
          faults.push({ objidTable: row.objidTable, what: 'the table has two long-value trees' });
        } else {
          group.longValueTree = row;
        }
        break;
      case CATALOG_TYPE.callback:
        group.callbacks.push(row.callback ?? '');
        break;
      default:
        faults.push({ objidTable: row.objidTable, what: `row of the unknown type ${row.storedType}` });
    }
  }
  const byName = new Map<string, Group>();
  for (const group of groups.values()) {
    if (group.table !== undefined) byName.set(group.table.name.toUpperCase(), group);
  }
  const tables: TableDefinition[] = [];
  for (const [objidTable, group] of groups) {
    const row = group.table;
    if (row === undefined) {
      faults.push({ objidTable, what: `the rows of table ${objidTable} include no table row` });
      continue;
    }
    const isDerived = (row.flags & TABLE_FLAG.derived) !== 0;
    const template = isDerived ? byName.get((row.templateTable ?? '').toUpperCase()) : undefined;
    if (isDerived && (template === undefined || template === group)) {
      faults.push({ objidTable, what: `template ${row.templateTable ?? '?'} of ${row.name} does not exist` });
    }
    const inherited =
      template === undefined || template === group ? [] : columnDefinitions(template.columns, true, faults);
    const columns = isCatalog(objidTable)
      ? catalogColumns(group.columns)
      : [...inherited, ...columnDefinitions(group.columns, false, faults)];
    tables.push(tableDefinition(row, group, columns));
  }
  return { tables, faults };
}

function tableDefinition(
  row: CatalogTableRow,
  group: Group,
  columns: readonly ColumnDefinition[],
): TableDefinition {
  const indexes = group.indexes.map(indexDefinition);
  const primaryIndex = indexes.find((index) => index.primary);
  const { longValueTree } = group;
  const { templateTable, lvChunkMax, separateLv, spaceHints, deferredLvSpaceHints, pgnoFdpLastSetTime } = row;
  return {
    name: row.name,
    objid: row.id,
    pgnoFdp: row.pgnoFdp,
    flags: row.flags,
    density: row.density,
    pages: row.pages,
    system: (row.flags & TABLE_FLAG.system) !== 0,
    columns,
    indexes,
    callbacks: group.callbacks,
    ...(primaryIndex === undefined ? {} : { primaryIndex }),
    ...(longValueTree === undefined
      ? {}
      : {
          longValueTree: {
            objid: longValueTree.id,
            pgnoFdp: longValueTree.pgnoFdp,
            density: longValueTree.density,
            pages: longValueTree.pages,
            ...(longValueTree.pgnoFdpLastSetTime === undefined
              ? {}
              : { pgnoFdpLastSetTime: longValueTree.pgnoFdpLastSetTime }),
          },
        }),
    ...(templateTable === undefined ? {} : { templateTable }),
    ...(lvChunkMax === undefined ? {} : { lvChunkMax }),
    ...(separateLv === undefined ? {} : { separateLv }),
    ...(spaceHints === undefined ? {} : { spaceHints }),
    ...(deferredLvSpaceHints === undefined ? {} : { deferredLvSpaceHints }),
    ...(pgnoFdpLastSetTime === undefined ? {} : { pgnoFdpLastSetTime }),
  };
}

function indexDefinition(row: CatalogIndexRow): IndexDefinition {
  const { type: _type, id, objidTable: _objidTable, ...rest } = row;
  return {
    ...rest,
    objid: id,
    primary: (row.flags & INDEX_FLAG.primary) !== 0,
    unique: (row.flags & (INDEX_FLAG.unique | INDEX_FLAG.primary)) !== 0,
  };
}

function columnDefinitions(
  rows: readonly CatalogColumnRow[],
  derived: boolean,
  faults: CatalogFault[],
): ColumnDefinition[] {
  const ids = new Set<number>();
  const columns: ColumnDefinition[] = [];
  for (const row of rows) {
    if (ids.has(row.id)) {
      faults.push({ objidTable: row.objidTable, what: `two columns have the id ${row.id}` });
      continue;
    }
    ids.add(row.id);
    const isFixed = isFixedColumn(row.id);
    if (isFixed && row.coltyp !== COLTYP.nil && row.recordOffset === undefined) {
      faults.push({ objidTable: row.objidTable, what: `column ${row.name} has no offset` });
      continue;
    }
    columns.push(columnDefinition(row, isFixed ? (row.recordOffset ?? 0) : 0, derived));
  }
  return columns;
}

function columnDefinition(row: CatalogColumnRow, fixedOffset: number, derived: boolean): ColumnDefinition {
  const { id: columnId, name, coltyp, maxLength, codePage, flags, defaultValue, callback } = row;
  const column = { columnId, name, coltyp, maxLength, codePage, flags, fixedOffset, derived };
  if (defaultValue === undefined && callback === undefined) return column;
  return {
    ...column,
    ...(defaultValue === undefined ? {} : { defaultValue }),
    ...(callback === undefined ? {} : { callback }),
  };
}

function isCatalog(objid: number): boolean {
  return objid === OBJID_CATALOG || objid === OBJID_CATALOG_SHADOW;
}

/** The catalog's rows about itself give 4 as every offset: sizes in the order of ids tell the truth. */
function catalogColumns(rows: readonly CatalogColumnRow[]): readonly ColumnDefinition[] {
  if (rows.length === 0) return CATALOG_COLUMNS;
  let offset = CATALOG_COLUMNS[0]?.fixedOffset ?? 0;
  return [...rows]
    .sort((a, b) => a.id - b.id)
    .map((row) => {
      const column = columnDefinition(row, isFixedColumn(row.id) ? offset : 0, false);
      if (isFixedColumn(row.id)) offset += fixedColumnSize(column);
      return column;
    });
}
