/**
 * The catalog of a damaged database: from its better copy, or from what both have left (format specification,
 * chapter 7.2.4), with the roots of trees where the pages say that they are.
 */

import { CATALOG_DEFINITION, CATALOG_INDEX_ROWS, CATALOG_SHADOW_DEFINITION } from '../../engine/catalog.js';
import type { TreeRoot } from '../../engine/tree-reader.js';
import {
  CATALOG_COLUMNS,
  CATALOG_TYPE,
  type CatalogIndexRow,
  type CatalogLongValueRow,
  type CatalogRow,
  type CatalogTableRow,
  createCatalogRowDecoder,
  INDEX_FLAG,
  OBJID_CATALOG,
  OBJID_CATALOG_SHADOW,
} from '../../format/catalog-row.js';
import { catalogColumnRows } from '../../format/catalog-row-encoder.js';
import { COLTYP } from '../../format/column.js';
import { EseError } from '../../format/ese-error.js';
import { PAGE_FLAG } from '../../format/page.js';
import { createRecordLayout } from '../../format/record.js';
import { groupCatalogRows } from '../../format/table-definition.js';
import type { Steps } from '../defrag/copy-trees.js';
import {
  type CatalogEditor,
  type CatalogRecord,
  type Changes,
  createCatalogEditor,
  int32,
} from '../defrag/new-catalog.js';
import { CATALOG, rowProblem, SHADOW_CATALOG } from '../integrity/catalog-check.js';
import type { Finding } from '../report-values.js';
import { createRowMaker } from './new-rows.js';
import { classOf, flagsOf, PAGE_CLASS } from './page-scan.js';
import { createRecordJudge } from './salvage-judge.js';
import { type SalvageCounts, TRUST } from './salvage-node.js';
import type { SalvageSource } from './salvage-source.js';
import { salvageNodes } from './salvage-tree.js';

/** A row of one copy, not decoded yet. */
interface StoredRow {
  readonly record: Uint8Array;
  readonly pgno: number;
  readonly line: number;
  /** A checksum speaks for it. */
  readonly isProven: boolean;
}

/** One copy of the catalog, as far as it could be read. */
interface CatalogCopy {
  /** In the order of keys, by key as text of one byte a character. */
  readonly rows: ReadonlyMap<string, StoredRow>;
  /** Nothing of it is lost, and nothing doubtful. */
  readonly isWhole: boolean;
  readonly counts: SalvageCounts;
}

export interface SalvagedCatalog {
  /** Rows in the order of their keys. */
  readonly records: readonly CatalogRecord[];
  readonly from: 'primary' | 'shadow' | 'union';
  /** Rows of the chosen copy, or of both, may be missing. */
  readonly isIncomplete: boolean;
  readonly findings: readonly Finding[];
  /** What reading the two copies found. */
  readonly primary: SalvageCounts;
  readonly shadow: SalvageCounts;
}

type TreeRow = CatalogTableRow | CatalogIndexRow | CatalogLongValueRow;

function isTreeRow(row: CatalogRow): row is TreeRow {
  return (
    row.type === CATALOG_TYPE.table || row.type === CATALOG_TYPE.index || row.type === CATALOG_TYPE.longValue
  );
}

function isPrimaryIndex(row: CatalogRow): boolean {
  return row.type === CATALOG_TYPE.index && (row.flags & INDEX_FLAG.primary) !== 0;
}

function isCatalogTable(objid: number): boolean {
  return objid === OBJID_CATALOG || objid === OBJID_CATALOG_SHADOW;
}

/** Reads the catalog. Roots of lost tables that nobody knows are 0 in its rows. */
export function* salvageCatalog(source: SalvageSource): Steps<SalvagedCatalog> {
  const findings: Finding[] = [];
  const decode = createCatalogRowDecoder(source.pageSize);
  const primary = yield* readCopy(source, CATALOG);
  const shadow = yield* readCopy(source, SHADOW_CATALOG);
  let from = chooseCopy(primary, shadow);
  let records: readonly CatalogRecord[] = [];
  if (from !== 'union') {
    records = decodeRows((from === 'primary' ? primary : shadow).rows.values(), decode, findings);
    // Rows that make no sense may make some in the other copy.
    if (findings.length > 0) from = 'union';
  }
  if (from === 'union') {
    findings.length = 0;
    records = decodeRows(unionOf(source, primary, shadow, decode), decode, findings);
  }
  const others = from === 'shadow' ? primary : shadow;
  const decodeOthers = (): CatalogRecord[] => decodeRows(others.rows.values(), decode, []);
  const isShadowWhole = shadow.isWhole && shadow.rows.size > 0;
  const isIncomplete = from === 'union' && !primary.isWhole && !isShadowWhole;
  const complete = withOwnRows(records, source.pageSize, isIncomplete);
  return {
    records: new CatalogMender(source, complete, decodeOthers, findings).run(),
    from,
    isIncomplete,
    findings,
    primary: primary.counts,
    shadow: shadow.counts,
  };
}

function* readCopy(source: SalvageSource, root: TreeRoot): Steps<CatalogCopy> {
  const definition = root.objid === OBJID_CATALOG ? CATALOG_DEFINITION : CATALOG_SHADOW_DEFINITION;
  const judge = createRecordJudge(definition, source.pageSize);
  const rows = new Map<string, StoredRow>();
  const tree = { ...root, kind: 'table', isUnique: true, judge } as const;
  const counts = yield* salvageNodes(source, tree, (node) => {
    const { key, keyLength, bytes, dataOffset, dataLength, pgno, line, trust } = node;
    const text = Buffer.from(key.buffer, key.byteOffset, keyLength).toString('latin1');
    const record = bytes.slice(dataOffset, dataOffset + dataLength);
    rows.set(text, { record, pgno, line, isProven: trust !== TRUST.unverified });
  });
  const { lost, dropped, unverified } = counts;
  return { rows, isWhole: lost.length === 0 && dropped.length === 0 && unverified === 0, counts };
}

type RowDecoder = ReturnType<typeof createCatalogRowDecoder>;

/** The rows that make sense; the others are reported. */
function decodeRows(rows: Iterable<StoredRow>, decode: RowDecoder, findings: Finding[]): CatalogRecord[] {
  const records: CatalogRecord[] = [];
  const drop = ({ pgno, line }: StoredRow, message: string): void => {
    findings.push({ code: 'CAT_ENTRY', severity: 'error', message, pgno, node: line, action: 'dropped' });
  };
  for (const stored of rows) {
    const { record } = stored;
    try {
      const row = decode(record, 0, record.length);
      const problem = rowProblem(row);
      if (problem === undefined) records.push({ row, record });
      else drop(stored, problem);
    } catch (error) {
      if (!(error instanceof EseError)) throw error;
      drop(stored, error.detail);
    }
  }
  return records;
}

/** The copy that is whole; of two whole ones that with more rows (chapter 7.1.2, step 4). */
function chooseCopy(primary: CatalogCopy, shadow: CatalogCopy): SalvagedCatalog['from'] {
  const isShadowWhole = shadow.isWhole && shadow.rows.size > 0;
  if (primary.isWhole) return isShadowWhole && shadow.rows.size > primary.rows.size ? 'shadow' : 'primary';
  return isShadowWhole ? 'shadow' : 'union';
}

/**
 * What both copies have left, in the order of keys. Of two images of a row that make sense the one counts that a
 * checksum speaks for, of two such ones the newer, of equally old ones that of the primary.
 */
function unionOf(
  source: SalvageSource,
  primary: CatalogCopy,
  shadow: CatalogCopy,
  decode: RowDecoder,
): readonly StoredRow[] {
  const dbtimeOf = ({ pgno }: StoredRow): number => source.read(pgno).page.dbtime;
  const makesSense = (row: StoredRow): boolean => decodeRows([row], decode, []).length > 0;
  const rows = new Map(primary.rows);
  for (const [key, row] of shadow.rows) {
    const known = rows.get(key);
    const isBetter = (other: StoredRow): boolean =>
      row.isProven === other.isProven ? dbtimeOf(row) > dbtimeOf(other) : row.isProven;
    if (known === undefined || !makesSense(known) || (isBetter(known) && makesSense(row))) rows.set(key, row);
  }
  return [...rows].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, row]) => row);
}

/** Adds what the catalog says of itself, where that is lost: it is the same in every database. */
function withOwnRows(
  records: readonly CatalogRecord[],
  pageSize: number,
  isIncomplete: boolean,
): CatalogRecord[] {
  const make = createRowMaker(pageSize);
  const columnsOf = (objid: number): CatalogRecord[] =>
    records.filter(({ row }) => row.objidTable === objid && row.type === CATALOG_TYPE.column);
  const ids = new Set(
    [OBJID_CATALOG, OBJID_CATALOG_SHADOW].flatMap((objid) => columnsOf(objid).map(({ row }) => row.id)),
  );
  const own: CatalogRecord[] = [];
  for (const { objid, pgnoFdp, name, flags, density } of [CATALOG_DEFINITION, CATALOG_SHADOW_DEFINITION]) {
    const has = (type: number, id: number): boolean =>
      records.some(({ row }) => row.objidTable === objid && row.type === type && row.id === id);
    if (!has(CATALOG_TYPE.table, objid)) {
      const pages = 0;
      own.push(
        make({
          type: CATALOG_TYPE.table,
          objidTable: objid,
          id: objid,
          name,
          flags,
          pgnoFdp,
          density,
          pages,
        }),
      );
    }
    for (const row of catalogColumnRows(objid)) {
      // A database knows of the columns that its format had: where rows are lost, of all.
      const isDue = isIncomplete || ids.size === 0 || ids.has(row.id);
      if (isDue && !has(CATALOG_TYPE.column, row.id)) own.push(make(row));
    }
    for (const row of CATALOG_INDEX_ROWS) {
      if (row.objidTable === objid && !has(CATALOG_TYPE.index, row.id)) own.push(make(row));
    }
  }
  return own.length === 0 ? [...records] : [...own, ...records].sort(byKey);
}

function byKey({ row: a }: CatalogRecord, { row: b }: CatalogRecord): number {
  const typeOf = (row: CatalogRow): number => (row.type === 0 ? row.storedType : row.type);
  return a.objidTable - b.objidTable || typeOf(a) - typeOf(b) || a.id - b.id;
}

/** What the page says that a row calls a root. */
type RootVerdict = 'right' | 'wrong' | 'unknown';

/** Puts rows right that contradict the pages or each other (chapter 7.1.5). */
class CatalogMender {
  readonly #source: SalvageSource;
  readonly #findings: Finding[];
  readonly #decode: RowDecoder;
  readonly #edit: CatalogEditor;
  readonly #decodeOthers: () => CatalogRecord[];
  #others: ReadonlyMap<string, readonly CatalogRecord[]> | undefined;
  readonly #ids = new Set<number>();
  #records: CatalogRecord[];

  constructor(
    source: SalvageSource,
    records: readonly CatalogRecord[],
    decodeOthers: () => CatalogRecord[],
    findings: Finding[],
  ) {
    this.#source = source;
    this.#records = [...records];
    this.#decodeOthers = decodeOthers;
    this.#findings = findings;
    this.#decode = createCatalogRowDecoder(source.pageSize);
    this.#edit = createCatalogEditor(createRecordLayout(CATALOG_COLUMNS, source.pageSize));
    for (const { row } of records) {
      if (isTreeRow(row) && this.#judgeRoot(row) === 'right') this.#ids.add(row.id);
    }
  }

  /** Rows of the other copy with the names of a row. */
  #twinsOf(row: CatalogRow): readonly CatalogRecord[] {
    if (this.#others === undefined) {
      const others = new Map<string, CatalogRecord[]>();
      for (const record of this.#decodeOthers()) {
        const name = nameOf(record.row);
        const list = others.get(name);
        if (list === undefined) others.set(name, [record]);
        else list.push(record);
      }
      this.#others = others;
    }
    return this.#others.get(nameOf(row)) ?? [];
  }

  run(): CatalogRecord[] {
    this.#addTableRows();
    this.#records = this.#records.map((record) => this.#withRoot(record));
    this.#records = this.#withoutTwins();
    this.#records = this.#withPrimaryIndexes();
    this.#records = this.#withoutUnknownKeys();
    return this.#records.sort(byKey);
  }

  #report(row: CatalogRow, message: string, action: string, code = 'CAT_ENTRY'): void {
    const { name: object, objidTable: objid } = row;
    this.#findings.push({ code, severity: 'error', message, objid, object, action });
  }

  #changed({ record }: CatalogRecord, changes: Changes): CatalogRecord {
    const bytes = this.#edit(record, changes);
    return { record: bytes, row: this.#decode(bytes, 0, bytes.length) };
  }

  /** Makes table rows for rows that have none. */
  #addTableRows(): void {
    const tables = new Set<number>();
    for (const { row } of this.#records) if (row.type === CATALOG_TYPE.table) tables.add(row.objidTable);
    const make = createRowMaker(this.#source.pageSize);
    for (const { row } of [...this.#records]) {
      const { objidTable } = row;
      if (tables.has(objidTable)) continue;
      tables.add(objidTable);
      const index = this.#records.find(
        (one) => one.row.objidTable === objidTable && isPrimaryIndex(one.row),
      )?.row;
      const pgnoFdp =
        index !== undefined && isTreeRow(index) ? index.pgnoFdp : findRoot(this.#source, objidTable, 0);
      const name = recoveredName(objidTable);
      this.#records.push(
        make({
          type: CATALOG_TYPE.table,
          objidTable,
          id: objidTable,
          name,
          flags: 0,
          pgnoFdp,
          density: DENSITY_DEFAULT,
          pages: 1,
        }),
      );
      this.#report(row, `the rows of table ${objidTable} include no table row`, `it is called ${name}`);
    }
  }

  /** What the root page of a row says of it. */
  #judgeRoot({ pgnoFdp, id }: TreeRow): RootVerdict {
    if (pgnoFdp < 1 || pgnoFdp > this.#source.lastPgno) return 'wrong';
    const { page, worth } = this.#source.read(pgnoFdp);
    if (worth === 'lost' || worth === 'damaged') return 'unknown';
    return page.isRoot && page.objid === id && (page.flags & PAGE_FLAG.spaceTree) === 0 ? 'right' : 'wrong';
  }

  /** A row of a tree whose root is where it says. */
  #withRoot(record: CatalogRecord): CatalogRecord {
    const { row } = record;
    if (!isTreeRow(row) || isPrimaryIndex(row) || isCatalogTable(row.objidTable)) return record;
    const isMisnamed = row.type === CATALOG_TYPE.table && row.id !== row.objidTable;
    if (isMisnamed) {
      this.#report(
        row,
        `the table row says ${row.id} of table ${row.objidTable}`,
        'corrected',
        'CAT_DUP_OBJID',
      );
      return this.#withRoot(this.#changed(record, [['Id', int32(row.objidTable)]]));
    }
    if (this.#judgeRoot(row) !== 'wrong') return record;
    const twin = this.#twinsOf(row).find(
      ({ row: one }) => isTreeRow(one) && this.#judgeRoot(one) === 'right',
    );
    if (twin !== undefined && (twin.row.id === row.id || !this.#ids.has(twin.row.id))) {
      this.#ids.add(twin.row.id);
      this.#report(row, `page ${row.pgnoFdp} is not its root`, 'taken from the other copy');
      return { row: twin.row, record: twin.record };
    }
    const pgnoFdp = findRoot(this.#source, row.id, roleOf(row));
    if (pgnoFdp !== 0 && !this.#isRootOfOther(row, pgnoFdp)) {
      this.#report(row, `page ${row.pgnoFdp} is not its root`, `page ${pgnoFdp} is`);
      return this.#changed(record, [['ColtypOrPgnoFDP', int32(pgnoFdp)]]);
    }
    const stated = this.#source.read(row.pgnoFdp);
    const { objid, isRoot } = stated.page;
    if (stated.worth === 'intact' && isRoot && objid > OBJID_CATALOG_SHADOW && !this.#ids.has(objid)) {
      const isOfKind = (stated.page.flags & ROLES) === roleOf(row) && row.type !== CATALOG_TYPE.table;
      if (
        isOfKind &&
        this.#records.some((one) => one.row !== row && isTreeRow(one.row) && one.row.id === row.id)
      ) {
        this.#ids.add(objid);
        this.#report(row, `another tree has the number ${row.id}`, `its root says ${objid}`, 'CAT_DUP_OBJID');
        return this.#changed(record, [['Id', int32(objid)]]);
      }
    }
    this.#report(row, `page ${row.pgnoFdp} is not its root`, 'its leaves are looked for');
    return record;
  }

  /** Whether another tree has that root. */
  #isRootOfOther(row: TreeRow, pgnoFdp: number): boolean {
    return this.#records.some(
      ({ row: one }) =>
        one !== row && isTreeRow(one) && !isPrimaryIndex(one) && one.pgnoFdp === pgnoFdp && one.id === row.id,
    );
  }

  /** Of rows that claim one number, those whose root agrees stay; the others are left out. */
  #withoutTwins(): CatalogRecord[] {
    const best = new Map<number, TreeRow>();
    for (const { row } of this.#records) {
      if (!isTreeRow(row) || isPrimaryIndex(row)) continue;
      const known = best.get(row.id);
      if (known === undefined || (this.#judgeRoot(known) !== 'right' && this.#judgeRoot(row) === 'right')) {
        best.set(row.id, row);
      }
    }
    return this.#records.filter(({ row }) => {
      if (!isTreeRow(row) || isPrimaryIndex(row)) return true;
      const kept = best.get(row.id);
      if (kept === undefined || kept === row) return true;
      this.#report(row, `${kept.name} has the number ${row.id} too`, 'dropped', 'CAT_DUP_OBJID');
      return false;
    });
  }

  /** The primary index of a table has the tree of its table. */
  #withPrimaryIndexes(): CatalogRecord[] {
    const tables = new Map<number, CatalogTableRow>();
    for (const { row } of this.#records) if (row.type === CATALOG_TYPE.table) tables.set(row.id, row);
    return this.#records.map((record) => {
      const { row } = record;
      const table = tables.get(row.objidTable);
      if (!isPrimaryIndex(row) || !isTreeRow(row) || table === undefined) return record;
      if (row.id === table.id && row.pgnoFdp === table.pgnoFdp) return record;
      return this.#changed(record, [
        ['Id', int32(table.id)],
        ['ColtypOrPgnoFDP', int32(table.pgnoFdp)],
      ]);
    });
  }

  /**
   * Without the primary indexes over columns that are lost: nobody can say what the keys of their tables mean, which
   * stay as they are. Secondary indexes are judged when they are made.
   */
  #withoutUnknownKeys(): CatalogRecord[] {
    const unknown = new Map<number, number>();
    for (const { objid, columns, primaryIndex } of groupCatalogRows(this.#records.map(({ row }) => row))
      .tables) {
      const ids = new Set(
        columns.flatMap(({ columnId, coltyp }) => (coltyp === COLTYP.nil ? [] : [columnId])),
      );
      const lost = primaryIndex?.segments.find(({ columnId }) => !ids.has(columnId));
      if (lost !== undefined) unknown.set(objid, lost.columnId);
    }
    return this.#records.filter(({ row }) => {
      const columnId = isPrimaryIndex(row) ? unknown.get(row.objidTable) : undefined;
      if (columnId === undefined) return true;
      this.#report(row, `column ${columnId} of the primary index does not exist`, 'dropped; the keys stay');
      return false;
    });
  }
}

const DENSITY_DEFAULT = 80;
const ROLES = PAGE_FLAG.index | PAGE_FLAG.longValue;

/** What tells a row of one copy from others when its number may be wrong. */
function nameOf({ objidTable, type, name }: CatalogRow): string {
  return `${objidTable} ${type} ${name.toUpperCase()}`;
}

function roleOf({ type }: TreeRow): number {
  return type === CATALOG_TYPE.table
    ? 0
    : type === CATALOG_TYPE.index
      ? PAGE_FLAG.index
      : PAGE_FLAG.longValue;
}

/** The name of a table that has lost its own. */
export function recoveredName(objid: number): string {
  return `Recovered_${objid}`;
}

/**
 * The page that says of itself that it is the root of a tree; 0 where none does.
 *
 * @param roleFlags the tree is an index, or has long values ({@link PAGE_FLAG}); 0 for that of a table
 */
export function findRoot(source: SalvageSource, objid: number, roleFlags: number): number {
  const { scan, available } = source;
  let best = 0;
  let newest = -1;
  for (const pgno of source.pagesOf(objid)) {
    const one = classOf(scan, pgno);
    if (one !== PAGE_CLASS.leaf && one !== PAGE_CLASS.branch && one !== PAGE_CLASS.unsound) continue;
    const flags = flagsOf(scan, pgno);
    if ((flags & PAGE_FLAG.root) === 0 || (flags & (ROLES | PAGE_FLAG.spaceTree)) !== roleFlags) continue;
    if (available[pgno] === 1) continue;
    const { dbtime } = source.read(pgno).page;
    if (dbtime <= newest) continue;
    newest = dbtime;
    best = pgno;
  }
  return best;
}
