/** Key values as they are typed. */

import type { ColumnInput } from '../../engine/search-key.js';
import { encodeColumnValue } from '../../format/column-value-encoder.js';
import { EseError } from '../../format/ese-error.js';
import { parseColumnValue } from '../../format/parse-value.js';
import type { TableDefinition } from '../../format/table-definition.js';
import { UsageError } from '../usage-error.js';

/** What stands for NULL. */
const NULL = 'NULL';

/**
 * The values of the first segments of an index, or of the primary one.
 *
 * @throws EseError JET_errIndexNotFound; UsageError for a value that its column cannot hold, and for too many
 */
export function keyValues(
  table: TableDefinition,
  indexName: string | undefined,
  texts: readonly string[],
): ColumnInput[] {
  const index =
    indexName === undefined
      ? table.primaryIndex
      : table.indexes.find(({ name }) => name.toUpperCase() === indexName.toUpperCase());
  if (index === undefined) {
    const what = indexName === undefined ? 'primary index' : `index ${indexName}`;
    throw new EseError('JET_errIndexNotFound', `table ${table.name} has no ${what}`);
  }
  if (texts.length > index.segments.length) {
    const names = index.segments.map(({ columnId }) => columnOf(table, columnId).name).join(', ');
    throw new UsageError(`Usage Error: index ${index.name} has ${index.segments.length} segments: ${names}.`);
  }
  return texts.map((text, i) => {
    if (text === NULL) return null;
    const column = columnOf(table, index.segments[i]?.columnId ?? 0);
    try {
      const value = parseColumnValue(column, text);
      // Throws for what the column cannot hold.
      encodeColumnValue(column, value);
      return value;
    } catch (error) {
      if (error instanceof EseError) throw new UsageError(`Usage Error: ${error.detail}.`);
      throw error;
    }
  });
}

function columnOf({ columns }: TableDefinition, columnId: number) {
  const column = columns.find((one) => one.columnId === columnId);
  if (column === undefined) throw new EseError('JET_errColumnNotFound', `an index has column ${columnId}`);
  return column;
}

/** The texts of an option or argument that may be repeated. */
export function textsOf(value: unknown): readonly string[] {
  if (value === undefined) return [];
  return Array.isArray(value) ? value.map(String) : [String(value)];
}
