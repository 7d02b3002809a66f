/** Tables that the catalog has lost: what their pages say of them (format specification, chapter 7.2.4). */

import { createByteWriter } from '../../format/byte-writer.js';
import {
  CATALOG_COLUMNS,
  CATALOG_TYPE,
  type CatalogRow,
  createCatalogRowDecoder,
  INDEX_FLAG,
  OBJID_CATALOG_ROOT_OBJECTS_INDEX,
} from '../../format/catalog-row.js';
import { COLTYP, type ColumnDefinition } from '../../format/column.js';
import { EseError } from '../../format/ese-error.js';
import { createNodeView, NODE_FLAG, PAGE_FLAG, pageHeaderBytes } from '../../format/page.js';
import { createRecordLayout } from '../../format/record.js';
import { createRecordEncoder } from '../../format/record-encoder.js';
import { decodeSpaceHeader } from '../../format/space.js';
import { groupCatalogRows, type TableDefinition } from '../../format/table-definition.js';
import { type CatalogRecord, type Changes, createCatalogEditor, int32 } from '../defrag/new-catalog.js';
import { copyNodeKey, createKeyBuffer } from '../integrity/key-buffer.js';
import { matchLongValues } from './long-value-match.js';
import { createRowMaker } from './new-rows.js';
import { classOf, flagsOf, PAGE_CLASS } from './page-scan.js';
import { findRoot, recoveredName } from './salvage-catalog.js';
import { createRecordJudge } from './salvage-judge.js';
import { noteSpace, SALVAGE_USE, type SalvageSource } from './salvage-source.js';

/** A table of which the catalog has no rows any more. */
export interface DiscoveredTable {
  readonly objid: number;
  /** `Recovered_<objid>`, or its name in the database that gave the schema. */
  readonly name: string;
  /** Its root page; 0 if that is lost. */
  readonly pgnoFdp: number;
  readonly leafPages: number;
  /** Rows for the catalog. Roots that nobody knows are 0. */
  readonly records: readonly CatalogRecord[];
  /**
   * The schema is unknown: the table has the columns `key` and `raw`, which take key and data of each node (see
   * {@link createRawRecords}). Otherwise its records are those of the schema.
   */
  readonly isRaw: boolean;
}

/** What the catalog has lost. */
export interface Discovery {
  readonly tables: readonly DiscoveredTable[];
  /** Rows for long-value trees of tables that the catalog knows, or that were discovered. */
  readonly longValueRows: readonly CatalogRecord[];
}

/** Nodes of a table that are tried on a schema. */
const SAMPLE_NODES = 200;
const DENSITY_DEFAULT = 80;
const LV_DENSITY = 100;
const KINDS = PAGE_FLAG.index | PAGE_FLAG.longValue;
const COLUMN_KEY = 256;
const COLUMN_RAW = 257;

/**
 * Looks for tables and long-value trees that have pages, but no rows in the catalog. To be asked only where rows
 * of the catalog are lost, and when it is known which pages are free: tables that were deleted leave pages behind.
 *
 * @param records rows of the catalog
 * @param schema rows of the catalog of another database, for tables whose records fit
 */
export function discoverTables(
  source: SalvageSource,
  records: readonly CatalogRecord[],
  schema: readonly CatalogRecord[] = [],
): Discovery {
  const make = createRowMaker(source.pageSize);
  const roots = [...unknownTrees(source, records)].map(([objid, { kind }]) => ({
    objid,
    pgnoFdp: findRoot(source, objid, kind),
  }));
  // Only now is it known which of their own pages are free.
  noteSpace(source, roots);
  const groups = unknownTrees(source, records);
  const known = new Set(
    records.flatMap(({ row }) => (row.type === CATALOG_TYPE.table ? [row.objidTable] : [])),
  );
  const withLongValues = new Set(
    records.flatMap(({ row }) => (row.type === CATALOG_TYPE.longValue ? [row.objidTable] : [])),
  );
  const schemas = new SchemaMatcher(source, schema);
  let objidNext =
    1 +
    records.reduce((most, { row }) => (isTree(row) ? Math.max(most, row.id) : most), source.scan.objidMax);
  const tables: DiscoveredTable[] = [];
  for (const [objid, { kind, leafPages }] of groups) {
    if (kind !== 0) continue;
    const pgnoFdp = findRoot(source, objid, 0);
    const match = schemas.match(objid);
    const rows =
      match === undefined
        ? rawRows(objid, pgnoFdp, make)
        : schemas.rowsOf(match, objid, pgnoFdp, () => objidNext++);
    const name = match?.name ?? recoveredName(objid);
    tables.push({ objid, name, pgnoFdp, leafPages, records: rows, isRaw: match === undefined });
    known.add(objid);
  }
  const longValueTrees = [...groups].flatMap(([objid, { kind }]) =>
    kind === PAGE_FLAG.longValue ? [{ objid, pgnoFdp: findRoot(source, objid, kind) }] : [],
  );
  const parents = new Map(
    longValueTrees.map(({ objid, pgnoFdp }) => [objid, parentOf(source, pgnoFdp)] as const),
  );
  const isFree = (objidTable: number): boolean => known.has(objidTable) && !withLongValues.has(objidTable);
  const claimed = new Set([...parents.values()].filter(isFree));
  const raw = new Set(tables.flatMap((table) => (table.isRaw ? [table.objid] : [])));
  const matches = matchLongValues(
    source,
    longValueTrees.flatMap(({ objid }) => (known.has(parents.get(objid) ?? 0) ? [] : [objid])),
    [...known].filter((objid) => isFree(objid) && !claimed.has(objid) && !raw.has(objid)),
  );
  const longValueRows: CatalogRecord[] = [];
  for (const { objid, pgnoFdp } of longValueTrees) {
    const objidTable = matches.get(objid) ?? parents.get(objid) ?? 0;
    if (!isFree(objidTable)) continue;
    withLongValues.add(objidTable);
    longValueRows.push(
      make({
        type: CATALOG_TYPE.longValue,
        objidTable,
        id: objid,
        name: 'LV',
        flags: 0,
        pgnoFdp,
        density: LV_DENSITY,
        pages: 1,
      }),
    );
  }
  return { tables, longValueRows };
}

interface TreeGroup {
  /** 0 for a table, else the page flag of its kind. */
  readonly kind: number;
  leafPages: number;
}

/** Trees that have leaves in use, but are not in the catalog; by objid. */
function unknownTrees(source: SalvageSource, records: readonly CatalogRecord[]): Map<number, TreeGroup> {
  const { scan, available, uses } = source;
  const named = new Set<number>();
  for (const { row } of records) if (isTree(row)) named.add(row.id);
  const groups = new Map<number, TreeGroup>();
  for (let pgno = 1; pgno <= scan.lastPgno; pgno++) {
    const objid = scan.objids[pgno] ?? 0;
    if (
      objid <= OBJID_CATALOG_ROOT_OBJECTS_INDEX ||
      named.has(objid) ||
      classOf(scan, pgno) !== PAGE_CLASS.leaf
    ) {
      continue;
    }
    if (available[pgno] === 1 || uses[pgno] !== SALVAGE_USE.unknown) continue;
    const group = groups.get(objid);
    if (group === undefined) groups.set(objid, { kind: flagsOf(scan, pgno) & KINDS, leafPages: 1 });
    else group.leafPages++;
  }
  return new Map([...groups].sort(([a], [b]) => a - b));
}

function isTree({ type }: CatalogRow): boolean {
  return type === CATALOG_TYPE.table || type === CATALOG_TYPE.index || type === CATALOG_TYPE.longValue;
}

/** The objid of the tree from which a tree has its space; 0 if that cannot be told. */
function parentOf(source: SalvageSource, pgnoFdp: number): number {
  const { page, worth } = source.read(pgnoFdp);
  if (worth !== 'intact') return 0;
  try {
    const { pgnoParent } = decodeSpaceHeader(page.externalHeader, pgnoFdp);
    return source.read(pgnoParent).page.objid;
  } catch (error) {
    if (!(error instanceof EseError)) throw error;
    return 0;
  }
}

/** Rows of a table of which only the nodes are known. */
function rawRows(objid: number, pgnoFdp: number, make: ReturnType<typeof createRowMaker>): CatalogRecord[] {
  const column = (id: number, name: string): CatalogRecord =>
    make({
      type: CATALOG_TYPE.column,
      objidTable: objid,
      id,
      name,
      flags: 0,
      coltyp: COLTYP.longBinary,
      maxLength: 0,
      codePage: 0,
    });
  const name = recoveredName(objid);
  return [
    make({
      type: CATALOG_TYPE.table,
      objidTable: objid,
      id: objid,
      name,
      flags: 0,
      pgnoFdp,
      density: DENSITY_DEFAULT,
      pages: 1,
    }),
    column(COLUMN_KEY, 'key'),
    column(COLUMN_RAW, 'raw'),
  ];
}

/** Finds the table of another database whose definition fits the records of a lost one. */
class SchemaMatcher {
  readonly #source: SalvageSource;
  readonly #records: readonly CatalogRecord[];
  readonly #tables: readonly TableDefinition[];

  constructor(source: SalvageSource, records: readonly CatalogRecord[]) {
    this.#source = source;
    this.#records = records;
    this.#tables = groupCatalogRows(records.map(({ row }) => row)).tables.filter(
      ({ objid }) => objid > OBJID_CATALOG_ROOT_OBJECTS_INDEX,
    );
  }

  /** The table with the same number, or else the only one, that all records fit. */
  match(objid: number): TableDefinition | undefined {
    const own = this.#tables.find((table) => table.objid === objid);
    if (own !== undefined && this.#fits(objid, own)) return own;
    const fitting = this.#tables.filter((table) => table !== own && this.#fits(objid, table));
    return fitting.length === 1 ? fitting[0] : undefined;
  }

  /** Whether all records that are tried can be rows of a table, and have the keys that they would have there. */
  #fits(objid: number, table: TableDefinition): boolean {
    const { scan, available } = this.#source;
    const judge = createRecordJudge(table, scan.pageSize);
    if (!judge.isStrong) return false;
    const node = createNodeView();
    const key = createKeyBuffer();
    let tried = 0;
    for (const pgno of this.#source.pagesOf(objid)) {
      if (tried >= SAMPLE_NODES) break;
      if (classOf(scan, pgno) !== PAGE_CLASS.leaf || available[pgno] === 1) continue;
      const { page } = this.#source.read(pgno);
      for (let line = 0; line < page.nodeCount; line++) {
        page.readNode(line, node);
        if ((node.flags & NODE_FLAG.deleted) !== 0) continue;
        copyNodeKey(page, node, key);
        if (judge.judge(page, line, node, key, false) !== undefined) return false;
        tried++;
      }
    }
    return tried > 0;
  }

  /** Rows of a table for a lost one. Its secondary indexes get new numbers: they are to be made anew. */
  rowsOf(table: TableDefinition, objid: number, pgnoFdp: number, nextObjid: () => number): CatalogRecord[] {
    const { pageSize } = this.#source;
    const edit = createCatalogEditor(createRecordLayout(CATALOG_COLUMNS, pageSize));
    const decode = createCatalogRowDecoder(pageSize);
    const rows: CatalogRecord[] = [];
    for (const { row, record } of this.#records) {
      if (row.objidTable !== table.objid || row.type === CATALOG_TYPE.longValue) continue;
      const changes: [string, Uint8Array][] = [['ObjidTable', int32(objid)]];
      const isPrimary = row.type === CATALOG_TYPE.index && (row.flags & INDEX_FLAG.primary) !== 0;
      if (row.type === CATALOG_TYPE.table || isPrimary) {
        changes.push(['Id', int32(objid)], ['ColtypOrPgnoFDP', int32(pgnoFdp)]);
      } else if (row.type === CATALOG_TYPE.index) {
        changes.push(['Id', int32(nextObjid())], ['ColtypOrPgnoFDP', int32(0)]);
      }
      const bytes = edit(record, changes satisfies Changes);
      rows.push({ record: bytes, row: decode(bytes, 0, bytes.length) });
    }
    return rows;
  }
}

const RAW_COLUMNS: readonly ColumnDefinition[] = [
  { columnId: COLUMN_KEY, name: 'key' },
  { columnId: COLUMN_RAW, name: 'raw' },
].map((column) => ({
  ...column,
  coltyp: COLTYP.longBinary,
  maxLength: 0,
  codePage: 0,
  flags: 0,
  fixedOffset: 0,
  derived: false,
}));

/** Two tags, and the length of a key. */
const NODE_OVERHEAD = 10;

/**
 * Makes the records of a table whose schema is unknown: key and data of a node of the lost table as two columns.
 * A node that leaves no room for the key has only its data; one that leaves none for anything more has no record.
 */
export function createRawRecords(
  pageSize: number,
): (
  key: Uint8Array,
  keyLength: number,
  bytes: Uint8Array,
  start: number,
  end: number,
) => Uint8Array | undefined {
  const encoder = createRecordEncoder(createRecordLayout(RAW_COLUMNS, pageSize));
  const out = createByteWriter(pageSize);
  const room = pageSize - pageHeaderBytes(pageSize) - NODE_OVERHEAD;
  return (key, keyLength, bytes, start, end) => {
    for (const hasKey of [true, false]) {
      encoder.clear();
      if (hasKey) encoder.setValue(0, { bytes: key.subarray(0, keyLength) });
      encoder.setValue(1, { bytes: bytes.subarray(start, end) });
      out.length = 0;
      if (encoder.encode(out) + keyLength <= room) return out.bytes.slice(0, out.length);
    }
    return undefined;
  };
}
