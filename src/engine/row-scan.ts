import { EseError } from '../format/ese-error.js';
import {
  createRecordLayout,
  createRecordValues,
  locateColumns,
  type RecordLayout,
  type RecordValues,
} from '../format/record.js';
import type { IndexDefinition, TableDefinition } from '../format/table-definition.js';
import type { PageSource } from './page-source.js';
import { type ColumnInput, createSearchKeys, keyBehind, startsWith } from './search-key.js';
import { TreeCursor } from './tree-reader.js';

/** Which rows of a table to visit, and in which order. */
export interface ScanOptions {
  /** Name of the index whose order is followed. Default: the order of the rows themselves. */
  readonly index?: string;
  /** Values of the first segments of the index: rows before them are left out. */
  readonly from?: readonly ColumnInput[];
  /** The same for the end; rows that have these values belong to the range. */
  readonly to?: readonly ColumnInput[];
  /** From the end to the begin. */
  readonly reverse?: boolean;
}

/** Rows of a database that is read, found by the keys of an index. */
export interface RowScan {
  readonly layout: RecordLayout;
  /** Where the values of the current row lie: overwritten by the next. */
  readonly values: RecordValues;
  /** The rows in their order; each is in `values` when it is yielded. */
  rows(): Generator<RecordValues, void, undefined>;
}

/**
 * Prepares a walk through rows by key. It follows the links of leaves, and the entries of secondary indexes to their
 * rows; memory does not grow with the table.
 *
 * @throws EseError JET_errIndexNotFound, JET_errKeyNotMade for more values than the index has segments,
 *   JET_errInvalidParameter for values of another type, JET_errUnicodeTranslationFail for keys that only Windows can make;
 *   the walk throws what damage it meets
 */
export function createRowScan(
  source: PageSource,
  table: TableDefinition,
  options: ScanOptions = {},
): RowScan {
  const layout = createRecordLayout(table.columns, source.pageSize);
  const values = createRecordValues(layout);
  const index = indexOf(table, options.index);
  const keys = createSearchKeys(layout);
  const keyOf = (given: readonly ColumnInput[] | undefined): Uint8Array | undefined => {
    if (given === undefined || given.length === 0) return undefined;
    if (index === undefined) {
      throw new EseError('JET_errIndexNotFound', `table ${table.name} has no primary index to search in`);
    }
    return keys.key(index, given);
  };
  const [from, to] = [keyOf(options.from), keyOf(options.to)];
  const isSecondary = index !== undefined && !index.primary;
  const entries = new TreeCursor(source, isSecondary ? index : table);
  const rowCursor = isSecondary ? new TreeCursor(source, table) : entries;

  const start = (): boolean => {
    if (options.reverse !== true) return entries.seek(from ?? NO_BYTES);
    const behind = to === undefined ? undefined : keyBehind(to);
    return behind === undefined ? entries.last() : entries.seekBefore(behind);
  };
  const isInRange = (): boolean => {
    const { page, node } = entries;
    if (options.reverse === true) return from === undefined || page.compareKey(node, from) >= 0;
    return to === undefined || page.compareKey(node, to) <= 0 || startsWith(page.key(node), to);
  };
  const goToRow = (): void => {
    if (rowCursor === entries) return;
    const { page, node } = entries;
    const bookmark = page.data(node);
    if (!rowCursor.seek(bookmark) || rowCursor.page.compareKey(rowCursor.node, bookmark) !== 0) {
      const detail = `an entry of index ${index?.name} leads to no row`;
      throw new EseError('JET_errSecondaryIndexCorrupted', detail, { pgno: page.pgno });
    }
  };

  return {
    layout,
    values,
    *rows() {
      for (
        let on = start();
        on && isInRange();
        on = options.reverse === true ? entries.previous() : entries.next()
      ) {
        goToRow();
        const { page, node } = rowCursor;
        locateColumns(layout, page.bytes, node.dataOffset, node.dataOffset + node.dataLength, values);
        yield values;
      }
    },
  };
}

const NO_BYTES = new Uint8Array(0);

/** An index by name, without regard to case; the primary one without a name, if there is one. */
function indexOf(table: TableDefinition, name: string | undefined): IndexDefinition | undefined {
  if (name === undefined) return table.primaryIndex;
  const found = table.indexes.find((index) => index.name.toUpperCase() === name.toUpperCase());
  if (found === undefined) {
    throw new EseError('JET_errIndexNotFound', `table ${table.name} has no index ${name}`);
  }
  return found;
}
