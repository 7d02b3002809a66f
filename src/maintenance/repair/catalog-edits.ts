import { createByteWriter } from '../../format/byte-writer.js';
import {
  CATALOG_TYPE,
  type CatalogColumnRow,
  type CatalogRow,
  createCatalogRowDecoder,
  INDEX_FLAG,
  TABLE_FLAG,
} from '../../format/catalog-row.js';
import { setCatalogRow } from '../../format/catalog-row-encoder.js';
import { COLTYP, FID_FIXED_LEAST, FID_TAGGED_LEAST, FID_VARIABLE_LEAST } from '../../format/column.js';
import type { RecordLayout } from '../../format/record.js';
import { createRecordEncoder } from '../../format/record-encoder.js';
import type { TableDefinition } from '../../format/table-definition.js';
import type { CatalogRecord } from '../defrag/new-catalog.js';

/** Changes of the catalog that the repair of its tables brings about (format specification, chapters 7.2.8 and 7.2.9). */
export interface CatalogEdits {
  /** Secondary indexes that are given up. */
  readonly deleted: Set<number>;
  /** Secondary indexes that become non-unique: two records have one key. */
  readonly demoted: Set<number>;
  /** Secondary indexes that had the entries of some records only, and have all of them now. */
  readonly completed: Set<number>;
  /** Secondary indexes that Windows must make anew: their sort version becomes zero. */
  readonly marked: Set<number>;
  /** Columns that stand for values of which the catalog knows nothing. */
  readonly stubs: CatalogColumnRow[];
}

export function newCatalogEdits(): CatalogEdits {
  return { deleted: new Set(), demoted: new Set(), completed: new Set(), marked: new Set(), stubs: [] };
}

/** Columns for ids in the records of a table that are beyond those of the catalog. */
export function stubColumns(
  { objid, columns, flags }: TableDefinition,
  unknown: { readonly fixed: number; readonly variable: number; readonly tagged: number },
): CatalogColumnRow[] {
  const isDerived = (flags & TABLE_FLAG.derived) !== 0;
  const own = columns.filter(({ derived }) => derived === isDerived || !derived);
  const last = (least: number, most: number): number =>
    own.reduce(
      (id, { columnId }) => (columnId >= least && columnId <= most ? Math.max(id, columnId) : id),
      least - 1,
    );
  const ranges = [
    [last(FID_FIXED_LEAST, FID_VARIABLE_LEAST - 1), unknown.fixed],
    [last(FID_VARIABLE_LEAST, FID_TAGGED_LEAST - 1), unknown.variable],
    [last(FID_TAGGED_LEAST, Number.MAX_SAFE_INTEGER), unknown.tagged],
  ] as const;
  return ranges.flatMap(([known, highest]) =>
    Array.from({ length: Math.max(0, highest - known) }, (_, i) => ({
      type: CATALOG_TYPE.column,
      objidTable: objid,
      id: known + 1 + i,
      name: `JetStub_${objid}_${known + 1 + i}`,
      coltyp: COLTYP.nil,
      maxLength: 0,
      codePage: 0,
      flags: 0,
      recordOffset: 0,
    })),
  );
}

/** The rows of the catalog with the changes. */
export function editedRows(
  rows: readonly CatalogRecord[],
  edits: CatalogEdits,
  layout: RecordLayout,
  pageSize: number,
): CatalogRecord[] {
  const encoder = createRecordEncoder(layout);
  const decode = createCatalogRowDecoder(pageSize);
  const indexOf = (name: string): number => layout.columns.findIndex((column) => column.name === name);
  const encoded = (): CatalogRecord => {
    const out = createByteWriter(256);
    encoder.encode(out);
    const record = out.bytes.slice(0, out.length);
    return { row: decode(record, 0, record.length), record };
  };
  const changed = ({ record }: CatalogRecord, name: string, bytes: Uint8Array): CatalogRecord => {
    encoder.load(record, 0, record.length);
    encoder.setValue(indexOf(name), { bytes });
    return encoded();
  };
  const isIndex = ({ type, id, objidTable }: CatalogRow, set: ReadonlySet<number>): boolean =>
    type === CATALOG_TYPE.index && id !== objidTable && set.has(id);
  const edited = rows
    .filter(({ row }) => !isIndex(row, edits.deleted))
    .map((entry) => {
      const { row } = entry;
      if (row.type === CATALOG_TYPE.index && (isIndex(row, edits.demoted) || isIndex(row, edits.completed))) {
        const { unique, deferredPopulate } = INDEX_FLAG;
        const gone =
          (edits.demoted.has(row.id) ? unique : 0) | (edits.completed.has(row.id) ? deferredPopulate : 0);
        return changed(entry, 'Flags', int32(row.flags & ~gone));
      }
      if (row.type === CATALOG_TYPE.index && isIndex(row, edits.marked)) {
        return changed(entry, 'Version', new Uint8Array(row.sortVersion?.length ?? SORT_VERSION_BYTES));
      }
      return entry;
    });
  const stubs = edits.stubs.map((row) => {
    encoder.clear();
    setCatalogRow(encoder, row);
    return encoded();
  });
  return [...edited, ...stubs];
}

const SORT_VERSION_BYTES = 8;

function int32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setInt32(0, value, true);
  return bytes;
}
