/**
 * The catalog: both copies, which of them to believe, and whether it makes sense (format specification, chapters
 * 2.6, catalog, and 7.1.5).
 */

import type { PageSource } from '../../engine/page-source.js';
import { type TreeRoot, treePages } from '../../engine/tree-reader.js';
import {
  CATALOG_COLUMNS,
  CATALOG_TYPE,
  type CatalogColumnRow,
  type CatalogIndexRow,
  type CatalogRow,
  type CatalogTableRow,
  createCatalogRowDecoder,
  INDEX_FLAG,
  OBJID_CATALOG,
  OBJID_CATALOG_NAME_INDEX,
  OBJID_CATALOG_ROOT_OBJECTS_INDEX,
  OBJID_CATALOG_SHADOW,
  PGNO_CATALOG,
  PGNO_CATALOG_NAME_INDEX,
  PGNO_CATALOG_ROOT_OBJECTS_INDEX,
  PGNO_CATALOG_SHADOW,
  TABLE_FLAG,
} from '../../format/catalog-row.js';
import { COLTYP, COLUMN_FLAG, FID_TAGGED_MOST, isFixedColumn } from '../../format/column.js';
import { EseError } from '../../format/ese-error.js';
import { compareKeys } from '../../format/key.js';
import { createNodeView, NODE_FLAG } from '../../format/page.js';
import { groupCatalogRows, type TableDefinition } from '../../format/table-definition.js';
import type { FindingList, FindingPlace, FindingSubject, IntegrityCode, Severity } from './finding.js';

export const CATALOG: TreeRoot = { pgnoFdp: PGNO_CATALOG, objid: OBJID_CATALOG };
export const SHADOW_CATALOG: TreeRoot = { pgnoFdp: PGNO_CATALOG_SHADOW, objid: OBJID_CATALOG_SHADOW };

/** Bytes that a name may have (chapter 3.1.2). */
const NAME_BYTES_MOST = 64;
/** Row types that old engines wrote (chapter 2.3.2). */
const OBSOLETE_TYPES: readonly number[] = [6, 7];

/** A catalog row and where it lies. */
export interface PlacedRow {
  readonly row: CatalogRow;
  readonly pgno: number;
  readonly node: number;
}

/** A row that can be read as a record and yet makes no sense. */
export interface OddRow extends FindingPlace {
  readonly message: string;
}

/** One copy of the catalog as far as it can be read. */
export interface CatalogCopy {
  readonly rows: readonly PlacedRow[];
  readonly oddRows: readonly OddRow[];
  /** What kept pages or records from being read. */
  readonly faults: readonly EseError[];
}

/** Reads one copy. Throws nothing but bugs: what cannot be read is a fault. */
export function readCatalogCopy(source: PageSource, root: TreeRoot): CatalogCopy {
  const decode = createCatalogRowDecoder(source.pageSize);
  const node = createNodeView();
  const rows: PlacedRow[] = [];
  const oddRows: OddRow[] = [];
  const faults: EseError[] = [];
  for (const { page } of treePages(source, root, (error) => faults.push(error))) {
    if (!page.isLeaf) continue;
    const { pgno } = page;
    for (let line = 0; line < page.nodeCount; line++) {
      page.readNode(line, node);
      if ((node.flags & NODE_FLAG.deleted) !== 0) continue;
      try {
        rows.push({
          row: decode(page.bytes, node.dataOffset, node.dataOffset + node.dataLength),
          pgno,
          node: line,
        });
      } catch (error) {
        if (!(error instanceof EseError)) throw error;
        if (error.name === 'JET_errCatalogCorrupted')
          oddRows.push({ message: error.detail, pgno, node: line });
        else faults.push(error.at({ pgno }));
      }
    }
  }
  return { rows, oddRows, faults };
}

/** The live nodes of a tree that is known to be readable, in key order. */
function* liveNodes(
  source: PageSource,
  root: TreeRoot,
): Generator<{ key: Uint8Array; data: Uint8Array; pgno: number; node: number }, void, undefined> {
  const node = createNodeView();
  for (const { page } of treePages(source, root)) {
    if (!page.isLeaf) continue;
    for (let line = 0; line < page.nodeCount; line++) {
      page.readNode(line, node);
      if ((node.flags & NODE_FLAG.deleted) !== 0) continue;
      yield { key: page.key(node), data: page.data(node), pgno: page.pgno, node: line };
    }
  }
}

/** Whether both copies can be read and say the same. */
export function areCatalogsEqual(source: PageSource): boolean {
  try {
    const shadow = liveNodes(source, SHADOW_CATALOG);
    for (const { key, data } of liveNodes(source, CATALOG)) {
      const other = shadow.next();
      if (other.done === true) return false;
      if (compareKeys(key, other.value.key) !== 0 || compareKeys(data, other.value.data) !== 0) return false;
    }
    return shadow.next().done === true;
  } catch (error) {
    if (error instanceof EseError) return false;
    throw error;
  }
}

/** Reports where both copies, which can be read, are not the same. */
export function compareCatalogs(source: PageSource, list: FindingList, subject: FindingSubject): void {
  const primary = liveNodes(source, CATALOG);
  const shadow = liveNodes(source, SHADOW_CATALOG);
  let a = primary.next();
  let b = shadow.next();
  while (a.done !== true || b.done !== true) {
    const order = a.done === true ? 1 : b.done === true ? -1 : compareKeys(a.value.key, b.value.key);
    if (order === 0 && a.done !== true && b.done !== true) {
      if (compareKeys(a.value.data, b.value.data) !== 0) {
        const message = `the row is another one in the shadow catalog (page ${b.value.pgno}, node ${b.value.node})`;
        list.add(subject, 'CAT_DIFFERENT', 'error', message, a.value);
      }
    } else if (order < 0 && a.done !== true) {
      list.add(subject, 'CAT_DIFFERENT', 'error', 'the row is missing in the shadow catalog', a.value);
    } else if (b.done !== true) {
      list.add(
        subject,
        'CAT_DIFFERENT',
        'error',
        'the row of the shadow catalog is missing in the catalog',
        b.value,
      );
    }
    if (order <= 0) a = primary.next();
    if (order >= 0) b = shadow.next();
  }
}

/** The tables of a catalog copy, and those objects that must not be followed. */
export interface CatalogTables {
  readonly tables: readonly TableDefinition[];
  /** Objids whose trees another object claims, or that lie nowhere. */
  readonly unusable: ReadonlySet<number>;
}

interface RowContext {
  readonly lastPgno: number;
  /** Highest objid that was handed out; infinite where the header cannot tell. */
  readonly objidMost: number;
  report(code: IntegrityCode, severity: Severity, message: string, at: PlacedRow): void;
}

/** Checks the rows against each other, and makes tables of them. */
export function checkCatalogRows(
  copy: CatalogCopy,
  lastPgno: number,
  objidMost: number,
  list: FindingList,
  subject: FindingSubject,
): CatalogTables {
  for (const odd of copy.oddRows) list.add(subject, 'CAT_ENTRY', 'error', odd.message, odd);
  const context: RowContext = {
    lastPgno,
    objidMost,
    report: (code, severity, message, at) => {
      const { row } = at;
      list.add({ ...subject, object: row.name, objid: row.objidTable }, code, severity, message, at);
    },
  };
  const unusable = new Set<number>();
  const groups = new Map<number, PlacedRow[]>();
  const templates = new Map<string, CatalogTableRow>();
  for (const at of copy.rows) {
    const { row } = at;
    const group = groups.get(row.objidTable);
    if (group === undefined) groups.set(row.objidTable, [at]);
    else group.push(at);
    if (row.type === CATALOG_TYPE.table) templates.set(row.name.toUpperCase(), row);
  }
  for (const rows of groups.values()) checkTableGroup(rows, templates, context);
  checkIdentities(copy.rows, unusable, context);
  const { tables } = groupCatalogRows(copy.rows.map(({ row }) => row));
  return { tables: withSystemTables(tables, list, subject), unusable };
}

/** Rules within the rows of one table. */
function checkTableGroup(
  rows: readonly PlacedRow[],
  templates: ReadonlyMap<string, CatalogTableRow>,
  context: RowContext,
): void {
  const [first] = rows;
  if (first === undefined) return;
  const entry = (message: string, at: PlacedRow): void => context.report('CAT_ENTRY', 'error', message, at);
  const tableRows = rows.filter(({ row }) => row.type === CATALOG_TYPE.table);
  const table = tableRows[0]?.row;
  if (table === undefined || table.type !== CATALOG_TYPE.table) {
    entry(`the rows of table ${first.row.objidTable} include no table row`, first);
    return;
  }
  for (const extra of tableRows.slice(1)) entry('the table has two table rows', extra);
  if (table.id !== table.objidTable)
    entry(`the table row says ${table.id} of table ${table.objidTable}`, first);
  for (const type of [CATALOG_TYPE.longValue, CATALOG_TYPE.callback]) {
    const [, ...extra] = rows.filter(({ row }) => row.type === type);
    const what = type === CATALOG_TYPE.longValue ? 'two long-value trees' : 'two callbacks';
    for (const at of extra) entry(`the table has ${what}`, at);
  }
  const [, ...otherPrimaries] = rows.filter(({ row }) => isPrimary(row));
  for (const at of otherPrimaries) entry('the table has two primary indexes', at);
  checkTemplate(table, templates, first, entry);
  const seen = { columns: new Set<number>(), names: new Set<string>(), indexes: new Set<string>() };
  for (const at of rows) {
    const { row } = at;
    const problem = rowProblem(row);
    if (problem !== undefined) entry(problem, at);
    if (row.type === CATALOG_TYPE.column) checkColumn(row, at, seen, context);
    else if (row.type === CATALOG_TYPE.index) checkIndex(row, table, at, seen, entry);
  }
}

/** What is wrong with a row, whatever the others say; `undefined` for one that may be right. */
export function rowProblem(row: CatalogRow): string | undefined {
  const { length } = row.name;
  if (length === 0 || length > NAME_BYTES_MOST) return `a name of ${length} bytes`;
  if (row.type === 0 && !OBSOLETE_TYPES.includes(row.storedType)) {
    return `a row of the unknown type ${row.storedType}`;
  }
  if (row.type !== CATALOG_TYPE.column) return undefined;
  if (row.id < 1 || row.id > FID_TAGGED_MOST) return `a column has the id ${row.id}`;
  if (row.coltyp > COLTYP.unsignedLongLong) return `a column has the unknown type ${row.coltyp}`;
  const isWithoutOffset = isFixedColumn(row.id) && row.recordOffset === undefined;
  return row.coltyp !== COLTYP.nil && isWithoutOffset ? 'a fixed column has no offset' : undefined;
}

function isPrimary(row: CatalogRow): boolean {
  return row.type === CATALOG_TYPE.index && (row.flags & INDEX_FLAG.primary) !== 0;
}

function checkTemplate(
  table: CatalogTableRow,
  templates: ReadonlyMap<string, CatalogTableRow>,
  at: PlacedRow,
  entry: (message: string, at: PlacedRow) => void,
): void {
  if ((table.flags & TABLE_FLAG.derived) === 0) return;
  const template = templates.get((table.templateTable ?? '').toUpperCase());
  if (template === undefined || template === table) {
    entry(`the template ${table.templateTable ?? '?'} does not exist`, at);
  } else if (template.objidTable > table.objidTable) {
    entry(`the template ${template.name} is younger than the table`, at);
  }
}

function checkColumn(
  row: CatalogColumnRow,
  at: PlacedRow,
  seen: { columns: Set<number>; names: Set<string> },
  context: RowContext,
): void {
  const entry = (message: string): void => context.report('CAT_ENTRY', 'error', message, at);
  if (seen.columns.has(row.id)) entry(`two columns have the id ${row.id}`);
  seen.columns.add(row.id);
  if (row.coltyp === COLTYP.nil) return;
  const name = row.name.toUpperCase();
  if (seen.names.has(name)) entry(`two columns are called ${row.name}`);
  seen.names.add(name);
  const isEscrow = (row.flags & COLUMN_FLAG.escrowUpdate) !== 0;
  if (isEscrow && (row.flags & COLUMN_FLAG.default) === 0) {
    context.report('CAT_ENTRY', 'warning', 'an escrow column has no default', at);
  }
}

function checkIndex(
  row: CatalogIndexRow,
  table: CatalogTableRow,
  at: PlacedRow,
  seen: { indexes: Set<string> },
  entry: (message: string, at: PlacedRow) => void,
): void {
  const name = row.name.toUpperCase();
  if (seen.indexes.has(name)) entry(`two indexes are called ${row.name}`, at);
  seen.indexes.add(name);
  const isTable = row.id === table.id;
  const isTableRoot = row.pgnoFdp === table.pgnoFdp;
  if (isPrimary(row) && (!isTable || !isTableRoot))
    entry('the primary index is not the tree of its table', at);
  if (!isPrimary(row) && (isTable || isTableRoot)) entry('a secondary index is the tree of its table', at);
}

/** Two table rows of one table are reported with their table. */
function isSameTable(row: CatalogRow, other: CatalogRow): boolean {
  return (
    row.type === CATALOG_TYPE.table &&
    other.type === CATALOG_TYPE.table &&
    row.objidTable === other.objidTable
  );
}

/** Objids, root pages and table names are unique over the whole catalog. */
function checkIdentities(rows: readonly PlacedRow[], unusable: Set<number>, context: RowContext): void {
  const byObjid = new Map<number, CatalogRow>();
  const byPgno = new Map<number, CatalogRow>();
  const byName = new Map<string, CatalogRow>();
  for (const at of rows) {
    const { row } = at;
    if (
      row.type !== CATALOG_TYPE.table &&
      row.type !== CATALOG_TYPE.index &&
      row.type !== CATALOG_TYPE.longValue
    ) {
      continue;
    }
    if (row.type === CATALOG_TYPE.table) {
      const name = row.name.toUpperCase();
      if (byName.has(name)) context.report('CAT_ENTRY', 'error', `two tables are called ${row.name}`, at);
      byName.set(name, row);
    }
    if (isPrimary(row)) continue;
    const other = byObjid.get(row.id);
    const neighbour = byPgno.get(row.pgnoFdp);
    if (row.id < 1) context.report('CAT_ENTRY', 'error', `the object has the number ${row.id}`, at);
    else if (row.id > context.objidMost) {
      const message = `the object has the number ${row.id}, the highest one handed out is ${context.objidMost}`;
      context.report('CAT_ENTRY', 'error', message, at);
    } else if (other !== undefined && !isSameTable(row, other)) {
      context.report('CAT_DUP_OBJID', 'error', `${other.name} has the number ${row.id} too`, at);
    }
    if (row.pgnoFdp < 1 || row.pgnoFdp > context.lastPgno) {
      context.report('CAT_ENTRY', 'error', `the root is page ${row.pgnoFdp} of ${context.lastPgno}`, at);
      unusable.add(row.id);
    } else if (neighbour !== undefined) {
      context.report('CAT_DUP_FDP', 'error', `${neighbour.name} has the root ${row.pgnoFdp} too`, at);
      unusable.add(row.id);
    }
    if (other === undefined) byObjid.set(row.id, row);
    if (neighbour === undefined) byPgno.set(row.pgnoFdp, row);
  }
}

/** Objects of every database and where their roots are (chapter 2.3.1). */
const FIXED_PLACES = [
  ['MSysObjects', OBJID_CATALOG, PGNO_CATALOG],
  ['MSysObjectsShadow', OBJID_CATALOG_SHADOW, PGNO_CATALOG_SHADOW],
] as const;
const FIXED_INDEXES = [
  ['Name', OBJID_CATALOG_NAME_INDEX, PGNO_CATALOG_NAME_INDEX],
  ['RootObjects', OBJID_CATALOG_ROOT_OBJECTS_INDEX, PGNO_CATALOG_ROOT_OBJECTS_INDEX],
] as const;

/** Puts the system tables where they always are, whatever the catalog says of itself. */
function withSystemTables(
  tables: readonly TableDefinition[],
  list: FindingList,
  subject: FindingSubject,
): TableDefinition[] {
  const others = tables.filter(({ objid }) => objid !== OBJID_CATALOG && objid !== OBJID_CATALOG_SHADOW);
  const system = FIXED_PLACES.map(([name, objid, pgnoFdp]): TableDefinition => {
    const found = tables.find((table) => table.objid === objid);
    if (found?.pgnoFdp === pgnoFdp) return found;
    const message =
      found === undefined ? `the catalog does not list ${name}` : `${name} is said to be elsewhere`;
    list.add(subject, 'CAT_ENTRY', 'error', message, { pgno: PGNO_CATALOG });
    return found === undefined ? bareSystemTable(name, objid, pgnoFdp) : { ...found, pgnoFdp };
  });
  const catalog = system[0];
  if (catalog !== undefined && tables.length > 0) {
    for (const [name, objid, pgnoFdp] of FIXED_INDEXES) {
      const index = catalog.indexes.find((one) => one.objid === objid);
      if (index?.pgnoFdp === pgnoFdp && index.name === name) continue;
      const message = `the catalog does not list its index ${name} where it is`;
      list.add(subject, 'CAT_ENTRY', 'error', message, { pgno: PGNO_CATALOG });
    }
  }
  return [...system, ...others];
}

function bareSystemTable(name: string, objid: number, pgnoFdp: number): TableDefinition {
  return {
    name,
    objid,
    pgnoFdp,
    flags: 0,
    density: 0,
    pages: 0,
    system: true,
    columns: CATALOG_COLUMNS,
    indexes: [],
    callbacks: [],
  };
}
