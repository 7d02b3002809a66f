import { createByteWriter } from '../format/byte-writer.js';
import type { ColumnDefinition } from '../format/column.js';
import { type ColumnValue, columnValue } from '../format/column-value.js';
import { EseError } from '../format/ese-error.js';
import { createNodeView, NODE_FLAG } from '../format/page.js';
import {
  createRecordLayout,
  createRecordValues,
  createValueView,
  locateColumns,
  locateValue,
  valueCount,
} from '../format/record.js';
import type { TableDefinition } from '../format/table-definition.js';
import { resolveValue } from '../format/value-reader.js';
import type { DatabaseReader } from './database-reader.js';
import { createLongValueReader } from './long-value-reader.js';
import { treePages } from './tree-reader.js';

/** One row: values by column name. A NULL column has no member; several values are an array. */
export type Row = { [column: string]: ColumnValue | ColumnValue[] };

/** How to read rows. */
export interface RowOptions {
  /**
   * Hears of each page, row or value that cannot be read; reading goes on without it. Without this
   * function the first such error is thrown.
   */
  readonly onDamage?: (error: EseError, column?: string) => void;
}

const SCRATCH_BYTES = 4096;

/** Reads the rows of a table in the order of its primary key; memory does not grow with the table. */
export function* readRows(
  database: DatabaseReader,
  table: TableDefinition,
  { onDamage }: RowOptions = {},
): Generator<Row, void, undefined> {
  const { source } = database;
  const layout = createRecordLayout(table.columns, source.pageSize);
  const values = createRecordValues(layout);
  const value = createValueView();
  const node = createNodeView();
  const scratch = createByteWriter(SCRATCH_BYTES);
  const longValues = createLongValueReader(source, table);
  let pgno = table.pgnoFdp;

  const damaged = (error: unknown, column?: ColumnDefinition): void => {
    if (!(error instanceof EseError)) throw error;
    const placed = error.at({ file: database.path, pgno });
    if (onDamage === undefined) throw placed;
    onDamage(placed, column?.name);
  };
  const readColumn = (column: ColumnDefinition, index: number): ColumnValue[] => {
    const found: ColumnValue[] = [];
    const count = valueCount(layout, values, index);
    for (let sequence = 1; sequence <= count; sequence++) {
      if (!locateValue(layout, values, index, sequence, value)) continue;
      resolveValue(value, scratch, longValues.append);
      found.push(columnValue(column.coltyp, column.codePage, value.bytes, value.start, value.end));
    }
    return found;
  };

  for (const { page } of treePages(source, table, onDamage && ((error) => damaged(error)))) {
    if (!page.isLeaf) continue;
    pgno = page.pgno;
    for (let line = 0; line < page.nodeCount; line++) {
      page.readNode(line, node);
      if ((node.flags & NODE_FLAG.deleted) !== 0) continue;
      try {
        locateColumns(layout, page.bytes, node.dataOffset, node.dataOffset + node.dataLength, values);
      } catch (error) {
        damaged(error);
        continue;
      }
      const row: Row = {};
      for (const [index, column] of table.columns.entries()) {
        try {
          const found = readColumn(column, index);
          const [first] = found;
          if (first !== undefined) row[column.name] = found.length === 1 ? first : found;
        } catch (error) {
          damaged(error, column);
        }
      }
      yield row;
    }
  }
}
