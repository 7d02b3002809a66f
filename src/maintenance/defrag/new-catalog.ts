import { createByteWriter } from '../../format/byte-writer.js';
import {
  CATALOG_TYPE,
  type CatalogRow,
  INDEX_FLAG,
  type IndexSegment,
  OBJID_CATALOG,
  OBJID_CATALOG_SHADOW,
} from '../../format/catalog-row.js';
import { COLTYP } from '../../format/column.js';
import { EseError } from '../../format/ese-error.js';
import type { RecordLayout } from '../../format/record.js';
import { createRecordEncoder } from '../../format/record-encoder.js';
import type { ColumnIds } from './column-ids.js';

/**
 * The catalog of the new database: the rows of the old one as they are stored, with new numbers, root pages and
 * column ids. Whatever else a row says, known here or not, stays as it is (format specification, chapter 7.3.2).
 */

/** A row of the old catalog, decoded and as it is stored. */
export interface CatalogRecord {
  readonly row: CatalogRow;
  readonly record: Uint8Array;
}

/** Where a tree is in the new database. */
export interface NewTree {
  readonly objid: number;
  readonly pgnoFdp: number;
  /** Type of its catalog row. */
  readonly type: number;
}

/** What became of a table. */
export interface NewTable extends Omit<NewTree, 'type'> {
  /** Its secondary indexes and its long-value tree by their old numbers. */
  readonly trees: ReadonlyMap<number, NewTree>;
  readonly columns: ColumnIds | undefined;
}

/** A column of the catalog and its new value. */
type Change = readonly [name: string, value: Uint8Array];
export type Changes = readonly Change[];

/** Makes a record of the catalog into another one: all that is not changed stays as it is stored. */
export type CatalogEditor = (record: Uint8Array, changes: Changes, timeIfSet?: Uint8Array) => Uint8Array;

/**
 * A function that changes records of the catalog. `timeIfSet` is a FILETIME for the column that tells when a root
 * was placed; it counts where the record has one.
 *
 * @param layout columns of the catalog
 */
export function createCatalogEditor(layout: RecordLayout): CatalogEditor {
  const encoder = createRecordEncoder(layout);
  const indexByName = new Map(layout.columns.map(({ name }, index) => [name, index]));
  const time = indexByName.get('PgnoFDPLastSetTime');
  return (record, changes, timeIfSet) => {
    encoder.load(record, 0, record.length);
    for (const [name, bytes] of changes) {
      const index = indexByName.get(name);
      if (index === undefined)
        throw new EseError('JET_errCatalogCorrupted', `the catalog has no column ${name}`);
      encoder.setValue(index, { bytes });
    }
    if (timeIfSet !== undefined && time !== undefined && encoder.values(time).length > 0) {
      encoder.setValue(time, { bytes: timeIfSet });
    }
    const out = createByteWriter(record.length);
    encoder.encode(out);
    return out.bytes.slice(0, out.length);
  };
}

/** Key segments: bits of the first byte of each (chapter 2.3.5). */
const SEGMENT_BYTES = 4;
const SEGMENT_DERIVED = 0x80;
const SEGMENT_DESCENDING = 0x40;
const SEGMENT_MUST_BE_NULL = 0x20;

/** Makes the records of the new catalog. */
export class NewCatalog {
  readonly #edit: CatalogEditor;
  readonly #shadowPages: number;
  readonly #placedAt: Uint8Array;

  /**
   * @param layout columns of the catalog
   * @param shadowPages pages of the primary extent of the shadow
   * @param placedAt FILETIME, for rows that tell when their root was placed
   */
  constructor(layout: RecordLayout, shadowPages: number, placedAt: Uint8Array) {
    this.#edit = createCatalogEditor(layout);
    this.#shadowPages = shadowPages;
    this.#placedAt = placedAt;
  }

  /** The records of the new catalog. Rows of tables that are not in `tables` are left out. */
  records(rows: readonly CatalogRecord[], tables: ReadonlyMap<number, NewTable>): Uint8Array[] {
    return rows.flatMap((entry) => {
      const { row } = entry;
      if (row.objidTable === OBJID_CATALOG) return [entry.record];
      if (row.objidTable === OBJID_CATALOG_SHADOW) return [this.#shadowRecord(entry)];
      const table = tables.get(row.objidTable);
      return table === undefined ? [] : this.#tableRecord(entry, table);
    });
  }

  #shadowRecord({ row, record }: CatalogRecord): Uint8Array {
    if (row.type !== CATALOG_TYPE.table) return record;
    return this.#edit(record, [['PagesOrLocale', int32(this.#shadowPages)]]);
  }

  #tableRecord({ row, record }: CatalogRecord, table: NewTable): Uint8Array[] {
    const { columns } = table;
    const changes: Change[] = [['ObjidTable', int32(table.objid)]];
    switch (row.type) {
      case CATALOG_TYPE.table:
        return this.#treeRecord(record, table, changes);
      case CATALOG_TYPE.column: {
        if (columns === undefined) return [this.#edit(record, changes)];
        const id = columns.ids.get(row.id);
        if (row.coltyp === COLTYP.nil || id === undefined) return [];
        const offset = columns.offsets.get(row.id);
        if (offset !== undefined) changes.push(['RecordOffset', int32(offset).subarray(0, 2)]);
        return [this.#edit(record, [...changes, ['Id', int32(id)]])];
      }
      case CATALOG_TYPE.index: {
        const isPrimary = row.id === row.objidTable;
        const tree = isPrimary ? table : table.trees.get(row.id);
        if (tree === undefined) throw unknownTree(row);
        if (columns !== undefined) {
          changes.push(['Flags', int32(row.flags | INDEX_FLAG.extendedSegments)]);
          changes.push(['KeyFldIDs', segments(row.segments, columns, row.name)]);
          if (row.conditions.length > 0) {
            changes.push(['ConditionalColumns', segments(row.conditions, columns, row.name)]);
          }
        }
        return this.#treeRecord(record, tree, changes);
      }
      case CATALOG_TYPE.longValue: {
        const tree = table.trees.get(row.id);
        // A tree whose values nobody refers to is not made.
        return tree === undefined ? [] : this.#treeRecord(record, tree, changes);
      }
      default:
        return [this.#edit(record, changes)];
    }
  }

  #treeRecord(record: Uint8Array, { objid, pgnoFdp }: Omit<NewTree, 'type'>, changes: Changes): Uint8Array[] {
    const all: Changes = [...changes, ['Id', int32(objid)], ['ColtypOrPgnoFDP', int32(pgnoFdp)]];
    return [this.#edit(record, all, this.#placedAt)];
  }
}

function unknownTree({ name, objidTable }: CatalogRow): EseError {
  return new EseError('JET_errCatalogCorrupted', `index ${name} of table ${objidTable} has no tree`);
}

/** Key segments in the form of four bytes each (chapter 2.3.5), with new column ids. */
function segments(list: readonly IndexSegment[], { ids }: ColumnIds, index: string): Uint8Array {
  const bytes = new Uint8Array(SEGMENT_BYTES * list.length);
  const view = new DataView(bytes.buffer);
  list.forEach(({ columnId, descending, mustBeNull, derived }, i) => {
    const id = derived ? columnId : ids.get(columnId);
    if (id === undefined) {
      throw new EseError(
        'JET_errCatalogCorrupted',
        `index ${index} needs column ${columnId}, which is deleted`,
      );
    }
    bytes[SEGMENT_BYTES * i] =
      (derived ? SEGMENT_DERIVED : 0) |
      (descending ? SEGMENT_DESCENDING : 0) |
      (mustBeNull ? SEGMENT_MUST_BE_NULL : 0);
    view.setUint16(SEGMENT_BYTES * i + 2, id, true);
  });
  return bytes;
}

/** A number as a column of the catalog stores it. */
export function int32(value: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setInt32(0, value, true);
  return bytes;
}
