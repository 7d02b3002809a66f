import { createByteWriter } from '../format/byte-writer.js';
import { INDEX_FLAG } from '../format/catalog-row.js';
import { COLTYP, type ColumnDefinition } from '../format/column.js';
import type { ColumnValue } from '../format/column-value.js';
import { encodeColumnValue } from '../format/column-value-encoder.js';
import { EseError } from '../format/ese-error.js';
import { createKeyBuilder, type KeyBuilder } from '../format/key.js';
import { createRecordValues, locateColumns, type RecordLayout } from '../format/record.js';
import { createRecordEncoder } from '../format/record-encoder.js';
import type { IndexDefinition } from '../format/table-definition.js';

/** A value for a column: NULL is `null`; several values are an array. */
export type ColumnInput = ColumnValue | readonly ColumnValue[] | null;

const RECORD_BYTES = 4096;
const NO_BYTES = new Uint8Array(0);

/** Makes the keys by which the indexes of a table are searched. */
export interface SearchKeys {
  /** The layout that they were made for. */
  readonly layout: RecordLayout;
  /**
   * The key of the given values for the first segments of an index: a prefix of the keys of all rows that have them.
   *
   * @throws EseError JET_errKeyNotMade for no values or too many, JET_errInvalidParameter for one that is not of its
   *   column's type, JET_errUnicodeTranslationFail where only Windows can order the text
   */
  key(index: IndexDefinition, values: readonly ColumnInput[]): Uint8Array;
}

interface Prepared {
  readonly builder: KeyBuilder;
  /** Indexes of the columns of the segments. */
  readonly columns: readonly number[];
}

export function createSearchKeys(layout: RecordLayout): SearchKeys {
  const builders = new Map<IndexDefinition, Prepared[]>();
  const encoder = createRecordEncoder(layout);
  const located = createRecordValues(layout);
  const record = createByteWriter(RECORD_BYTES);

  /** What it takes to make keys of the first segments of an index, NULLs included. */
  const prepare = (index: IndexDefinition, count: number): Prepared => {
    const { tupleLimits: _tupleLimits, ...rest } = index;
    const admitting = INDEX_FLAG.allowAllNulls | INDEX_FLAG.allowFirstNull | INDEX_FLAG.allowSomeNulls;
    const segments = index.segments.slice(0, count);
    const builder = createKeyBuilder(layout, {
      ...rest,
      segments,
      conditions: [],
      flags: (index.flags | admitting) & ~(INDEX_FLAG.multiValued | INDEX_FLAG.noKeyTruncation),
    });
    return { builder, columns: segments.map(({ columnId }) => columnWithId(layout, columnId)) };
  };

  const preparedFor = (index: IndexDefinition, count: number): Prepared => {
    let list = builders.get(index);
    if (list === undefined) {
      list = [];
      builders.set(index, list);
    }
    const known = list[count];
    if (known !== undefined) return known;
    const prepared = prepare(index, count);
    list[count] = prepared;
    return prepared;
  };

  return {
    layout,
    key(index, values) {
      if (values.length === 0 || values.length > index.segments.length) {
        throw new EseError('JET_errKeyNotMade', `index ${index.name} has ${index.segments.length} segments`);
      }
      const { builder, columns } = preparedFor(index, values.length);
      encoder.clear();
      for (let i = 0; i < values.length; i++) {
        const at = columns[i] ?? -1;
        const column = layout.columns[at];
        if (column === undefined) throw new EseError('JET_errColumnNotFound');
        const [first] = encodeInput(column, values[i] ?? null);
        if (first === undefined) encoder.setNull(at);
        else encoder.setBytes(at, first);
      }
      record.length = 0;
      const size = encoder.encode(record);
      locateColumns(layout, record.bytes, 0, size, located);
      return builder.first(located, noLongValues)?.slice() ?? NO_BYTES;
    },
  };
}

function noLongValues(): void {}

function columnWithId({ columns }: RecordLayout, columnId: number): number {
  return columns.findIndex((column) => column.columnId === columnId && column.coltyp !== COLTYP.nil);
}

/** The stored bytes of each value of an input; none = NULL. */
export function encodeInput(column: ColumnDefinition, input: ColumnInput): Uint8Array[] {
  if (input === null) return [];
  if (Array.isArray(input)) return input.map((value: ColumnValue) => encodeColumnValue(column, value));
  return [encodeColumnValue(column, input as ColumnValue)];
}

/** Whether a key begins with another. */
export function startsWith(key: Uint8Array, prefix: Uint8Array): boolean {
  if (key.length < prefix.length) return false;
  for (let i = 0; i < prefix.length; i++) {
    if (key[i] !== prefix[i]) return false;
  }
  return true;
}

/** The smallest key behind all that begin with `prefix`; undefined if there is none. */
export function keyBehind(prefix: Uint8Array): Uint8Array | undefined {
  let length = prefix.length;
  while (length > 0 && prefix[length - 1] === 0xff) length--;
  if (length === 0) return undefined;
  const next = prefix.slice(0, length);
  next[length - 1] = (next[length - 1] ?? 0) + 1;
  return next;
}
