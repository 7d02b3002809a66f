import { type BuiltDatabase, DatabaseBuilder } from '../../engine/bulk/database-builder.js';
import { LeafScan } from '../../engine/bulk/leaf-scan.js';
import type { ReadAhead } from '../../engine/bulk/read-ahead.js';
import type { DatabaseReader } from '../../engine/database-reader.js';
import type { TreeRoot } from '../../engine/tree-reader.js';
import { createCatalogRowDecoder, OBJID_CATALOG, PGNO_CATALOG } from '../../format/catalog-row.js';
import { DB_FLAG_SHADOWING_DISABLED } from '../../format/database-header.js';
import { EseError } from '../../format/ese-error.js';
import { groupCatalogRows } from '../../format/table-definition.js';
import type { FileHandle } from '../../io/file-system.js';
import type { Finding } from '../report-values.js';
import { type CopiedTable, TableCopier, type TableOutcome } from './copy-table.js';
import { liveNodes, type Steps, type TreeCopy } from './copy-trees.js';
import type { CatalogRecord } from './new-catalog.js';
import { copiedTables, makeDatabase } from './new-database.js';

/**
 * Copies all that is alive in a database into a new one: each tree in its order, in full pages (format
 * specification, chapter 7.3).
 */

/** Memory for the pages that are read at once, in bytes; see the window of the writer. */
export const READ_BYTES = 512 * 1024;

export interface CopyOptions {
  /** Numbers of trees, column ids and ids of long values stay as they are. */
  readonly keepsIds: boolean;
  /** Long values of a table that are stored in the same bytes become one. */
  readonly mergesLongValues?: boolean | undefined;
  /** FILETIME of the work. */
  readonly placedAt: Uint8Array;
  /** Told of each table, but for the engine's own. */
  readonly onTable: (table: CopiedTable) => void;
  /** Somebody who reads pages of the old database before they are needed. */
  readonly ahead?: ReadAhead | undefined;
}

/** What was copied. */
export interface CopyReport {
  readonly built: BuiltDatabase;
  /** Tables but for the engine's own, and their records. */
  readonly tables: number;
  readonly records: number;
  readonly longValues: number;
  readonly orphansDropped: number;
  readonly longValuesMerged: number;
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
  { keepsIds, mergesLongValues, placedAt, onTable, ahead }: CopyOptions,
): Steps<CopyReport> {
  const { pageSize, header } = source;
  const isShadowed = (header.dbFlags & DB_FLAG_SHADOWING_DISABLED) === 0;
  const builder = new DatabaseBuilder(target, { pageSize, isShadowed, readBytes: READ_BYTES });
  const { writer } = builder;
  const scan = new LeafScan(
    sourceFile,
    source.source,
    writer.kernel,
    writer.readOffset,
    writer.readBytes,
    ahead,
    writer.bulk,
  );
  const copy: TreeCopy = { scan, writer };
  const rows = yield* readCatalog(copy);
  const { tables, faults } = groupCatalogRows(rows.map(({ row }) => row));
  const [fault] = faults;
  if (fault !== undefined) throw new EseError('JET_errCatalogCorrupted', fault.what);
  const catalog = tables.find(({ objid }) => objid === OBJID_CATALOG);
  if (catalog === undefined || catalog.longValueTree !== undefined) {
    throw new EseError('JET_errCatalogCorrupted', 'the catalog does not describe itself as it is');
  }
  const counted = new Set(copiedTables(tables));
  const newObjid = (old: number): number => (keepsIds ? old : builder.nextObjid());
  const copier = new TableCopier(source.source, builder, copy, { keepsIds, mergesLongValues, newObjid });
  const outcomes: TableOutcome[] = [];
  let records = 0;
  const built = yield* makeDatabase(builder, {
    tables,
    rows: () => rows,
    placedAt,
    newObjid,
    *makeTable(table) {
      const outcome = yield* copier.copyTable(table);
      outcomes.push(outcome);
      if (counted.has(table)) {
        records += outcome.figures.records;
        onTable(outcome.figures);
      }
      return outcome.made;
    },
  });
  return {
    built: { ...built, objidLast: keepsIds ? header.objidLast : built.objidLast },
    tables: counted.size,
    records,
    longValues: outcomes.reduce((sum, { figures }) => sum + figures.longValues, 0),
    orphansDropped: outcomes.reduce((sum, { orphans }) => sum + orphans, 0),
    longValuesMerged: outcomes.reduce((sum, { mergedLongValues }) => sum + mergedLongValues, 0),
    findings: outcomes.flatMap(incompleteIndexes),
  };
}

const CATALOG: TreeRoot = { pgnoFdp: PGNO_CATALOG, objid: OBJID_CATALOG };

function* readCatalog({ scan, writer }: TreeCopy): Steps<CatalogRecord[]> {
  const decode = createCatalogRowDecoder(writer.pageSize);
  const rows: CatalogRecord[] = [];
  yield* liveNodes(scan, CATALOG, ({ bytes }, { dataOffset, dataLength }) => {
    const record = bytes.slice(dataOffset, dataOffset + dataLength);
    rows.push({ row: decode(record, 0, record.length), record });
  });
  return rows;
}

function incompleteIndexes({ figures, incompleteIndexes: names }: TableOutcome): Finding[] {
  const { name, objid } = figures;
  return names.map((index) => ({
    code: 'IDX_UNVERIFIABLE',
    severity: 'warning',
    message: `index ${index} of table ${name} is not complete yet: it was copied as it is`,
    objid,
    object: index,
  }));
}
