/**
 * Records: where the values of one row lie in the data of its leaf node (format specification,
 * chapter 3.2).
 *
 * | at | size | field |
 * |---|---|---|
 * | 0 | 1 | highest fixed column id stored (0 = none) |
 * | 1 | 1 | highest variable column id stored (127 = none) |
 * | 2 | 2 | offset of the first byte behind the null bitmap |
 * | 4 | | fixed columns at their catalog offsets, then the bitmap: one bit a column, 1 = NULL |
 * | | 2 each | variable columns: end offset in bits 0-14, bit 15 = NULL |
 * | | | variable data |
 * | | 4 each | tagged columns: u16 column id, u16 offset and flags |
 * | | | tagged data |
 *
 * {@link locateColumns} finds all values of a record without copying or allocating anything;
 * {@link valueCount} and {@link locateValue} then answer for one column, defaults included.
 */
import {
  COLTYP,
  COLUMN_FLAG,
  type ColumnDefinition,
  FID_FIXED_MOST,
  FID_TAGGED_LEAST,
  FID_TAGGED_MOST,
  FID_VARIABLE_LEAST,
  FID_VARIABLE_MOST,
  fixedColumnSize,
  isFixedColumn,
  isLongValueType,
  isTaggedColumn,
  isVariableColumn,
} from './column.js';
import { EseError } from './ese-error.js';
import { SMALL_PAGE_MAX } from './page.js';

const RECORD_HEADER_BYTES = 4;
const NO_VARIABLE_COLUMN = FID_VARIABLE_LEAST - 1;
const VARIABLE_NULL = 0x8000;
const VARIABLE_OFFSET_MASK = 0x7fff;

const TAGFLD_BYTES = 4;
const TAGFLD_DERIVED = 0x8000;
const TAGFLD_SMALL_HAS_HEADER = 0x4000;
const TAGFLD_SMALL_NULL = 0x2000;
const TAGFLD_SMALL_OFFSET_MASK = 0x1fff;
const TAGFLD_LARGE_OFFSET_MASK = 0x7fff;

/** Bits of the header byte of tagged data (chapter 3.2.4). */
export const TAGGED_HEADER = {
  longValue: 0x01,
  compressed: 0x02,
  separated: 0x04,
  multiValues: 0x08,
  twoValues: 0x10,
  null: 0x20,
  encrypted: 0x40,
} as const;

const HEADER_NOT_PLAIN =
  TAGGED_HEADER.compressed | TAGGED_HEADER.separated | TAGGED_HEADER.multiValues | TAGGED_HEADER.encrypted;

const MULTI_VALUE_SEPARATED = 0x8000;
const MULTI_VALUE_OFFSET_MASK = 0x7fff;

/** What a record says of a column. */
export const STORED = {
  /** Not in the record: the default, else NULL. */
  absent: 0,
  null: 1,
  /** One value, its bytes as they are. */
  plain: 2,
  /** Tagged data whose header byte says how to read it. */
  tagged: 3,
} as const;

const NO_COLUMN = -1;

/** The columns of a table, arranged for reading records. Columns are named by their index in `columns`. */
export interface RecordLayout {
  readonly columns: readonly ColumnDefinition[];
  /** Pages above 8 KiB: tagged offsets have 15 bits, and every tagged value has a header byte. */
  readonly isLargePage: boolean;
  /** Column index by fixed id; -1 where the table has no such column. */
  readonly fixedColumns: Int32Array;
  readonly fixedOffsets: Uint16Array;
  readonly fixedSizes: Uint16Array;
  /** By fixed id: the end of the farthest value among that column and those before it. */
  readonly fixedEnds: Uint16Array;
  /** Column index by variable id - 128. */
  readonly variableColumns: Int32Array;
  /** Column index by tagged id - 256: the table's own columns, and those of its template. */
  readonly taggedColumns: Int32Array;
  readonly derivedColumns: Int32Array;
  readonly isLongValue: Uint8Array;
  /** By column index: the value of a row that stores none. */
  readonly defaults: readonly (Uint8Array | undefined)[];
}

/** Where the values of one record lie: filled by {@link locateColumns}, reused from record to record. */
export interface RecordValues {
  /** The bytes that the offsets refer to. */
  bytes: Uint8Array;
  /** One of {@link STORED} by column index. */
  readonly stored: Uint8Array;
  readonly starts: Int32Array;
  readonly ends: Int32Array;
  /** The header byte of tagged values; `starts` lies behind it. */
  readonly headers: Uint8Array;
  /** Highest fixed id in the record, 0 = none. */
  fidFixedLast: number;
  /** Highest variable id in the record, 127 = none. */
  fidVarLast: number;
  /** Number of tagged entries, those of unknown columns included. */
  taggedCount: number;
  /** Tagged entries of columns that the layout does not know. */
  unknownCount: number;
}

/** One value of a column. One object serves a whole loop: {@link locateValue} fills it. */
export interface ValueView {
  bytes: Uint8Array;
  start: number;
  end: number;
  /** The bytes are compressed. */
  compressed: boolean;
  /** The bytes are the id of a long value. */
  separated: boolean;
  encrypted: boolean;
}

const NO_BYTES = new Uint8Array(0);

function corrupt(detail: string): EseError {
  return new EseError('JET_errDatabaseCorrupted', `record: ${detail}`);
}

/**
 * Arranges the columns of a table for reading its records. Deleted columns are left out. `pageSize` is
 * the database's, in bytes.
 */
export function createRecordLayout(columns: readonly ColumnDefinition[], pageSize: number): RecordLayout {
  const fixedColumns = new Int32Array(FID_FIXED_MOST + 1).fill(NO_COLUMN);
  const fixedOffsets = new Uint16Array(FID_FIXED_MOST + 1);
  const fixedSizes = new Uint16Array(FID_FIXED_MOST + 1);
  const fixedEnds = new Uint16Array(FID_FIXED_MOST + 1);
  const variableColumns = new Int32Array(FID_VARIABLE_MOST - FID_VARIABLE_LEAST + 1).fill(NO_COLUMN);
  let ownLast = FID_TAGGED_LEAST - 1;
  let derivedLast = FID_TAGGED_LEAST - 1;
  for (const column of columns) {
    if (!isTaggedColumn(column.columnId)) continue;
    if (hasDerivedBit(column)) derivedLast = Math.max(derivedLast, column.columnId);
    else ownLast = Math.max(ownLast, column.columnId);
  }
  const taggedColumns = new Int32Array(ownLast - FID_TAGGED_LEAST + 1).fill(NO_COLUMN);
  const derivedColumns = new Int32Array(derivedLast - FID_TAGGED_LEAST + 1).fill(NO_COLUMN);
  const isLongValue = new Uint8Array(columns.length);
  const defaults: (Uint8Array | undefined)[] = [];
  columns.forEach((column, index) => {
    const { columnId, coltyp, flags } = column;
    const hasDefault = (flags & COLUMN_FLAG.default) !== 0 && (flags & COLUMN_FLAG.userDefinedDefault) === 0;
    defaults.push(hasDefault && coltyp !== COLTYP.nil ? column.defaultValue : undefined);
    if (coltyp === COLTYP.nil) return;
    isLongValue[index] = isLongValueType(coltyp) ? 1 : 0;
    if (isFixedColumn(columnId)) {
      fixedColumns[columnId] = index;
      fixedOffsets[columnId] = column.fixedOffset;
      fixedSizes[columnId] = fixedColumnSize(column);
    } else if (isVariableColumn(columnId)) {
      variableColumns[columnId - FID_VARIABLE_LEAST] = index;
    } else if (isTaggedColumn(columnId)) {
      (hasDerivedBit(column) ? derivedColumns : taggedColumns)[columnId - FID_TAGGED_LEAST] = index;
    }
  });
  let end = RECORD_HEADER_BYTES;
  for (let fid = 1; fid <= FID_FIXED_MOST; fid++) {
    end = Math.max(end, (fixedOffsets[fid] ?? 0) + (fixedSizes[fid] ?? 0));
    fixedEnds[fid] = Math.min(end, 0xffff);
  }
  return {
    columns,
    isLargePage: pageSize > SMALL_PAGE_MAX,
    fixedColumns,
    fixedOffsets,
    fixedSizes,
    fixedEnds,
    variableColumns,
    taggedColumns,
    derivedColumns,
    isLongValue,
    defaults,
  };
}

/** Template columns of very old engines have no derived bit: one id space serves both (chapter 3.2.7). */
function hasDerivedBit(column: ColumnDefinition): boolean {
  return column.derived && (column.flags & COLUMN_FLAG.templateColumn) !== 0;
}

/** An empty {@link RecordValues} for the records of a layout. */
export function createRecordValues(layout: RecordLayout): RecordValues {
  const count = layout.columns.length;
  return {
    bytes: NO_BYTES,
    stored: new Uint8Array(count),
    starts: new Int32Array(count),
    ends: new Int32Array(count),
    headers: new Uint8Array(count),
    fidFixedLast: 0,
    fidVarLast: NO_VARIABLE_COLUMN,
    taggedCount: 0,
    unknownCount: 0,
  };
}

export function createValueView(): ValueView {
  return { bytes: NO_BYTES, start: 0, end: 0, compressed: false, separated: false, encrypted: false };
}

/**
 * Finds the values of the record `bytes[start..end)` and fills `into`.
 *
 * @throws EseError JET_errDatabaseCorrupted if the areas, offsets or ids of the record contradict each
 *   other, its length or the types of its columns.
 */
export function locateColumns(
  layout: RecordLayout,
  bytes: Uint8Array,
  start: number,
  end: number,
  into: RecordValues,
): void {
  const length = end - start;
  if (length < RECORD_HEADER_BYTES) throw corrupt(`${length} bytes are too few`);
  const fidFixedLast = bytes[start] ?? 0;
  const fidVarLast = bytes[start + 1] ?? 0;
  const ibEndFixed = u16(bytes, start + 2);
  const bitmapBytes = (fidFixedLast + 7) >> 3;
  if (fidFixedLast > FID_FIXED_MOST) throw corrupt(`fixed column id ${fidFixedLast}`);
  if (fidVarLast < NO_VARIABLE_COLUMN) throw corrupt(`variable column id ${fidVarLast}`);
  if (ibEndFixed > length || ibEndFixed < RECORD_HEADER_BYTES + bitmapBytes) {
    throw corrupt(`the fixed area ends at ${ibEndFixed} of ${length} bytes`);
  }
  if ((layout.fixedEnds[fidFixedLast] ?? 0) > ibEndFixed - bitmapBytes) {
    throw corrupt(`the fixed area is too short for column ${fidFixedLast}`);
  }
  into.bytes = bytes;
  into.fidFixedLast = fidFixedLast;
  into.fidVarLast = fidVarLast;
  into.taggedCount = 0;
  into.unknownCount = 0;
  into.stored.fill(STORED.absent);

  locateFixed(layout, bytes, start, start + ibEndFixed - bitmapBytes, fidFixedLast, into);
  const startOfTagged = locateVariable(layout, bytes, start + ibEndFixed, end, fidVarLast, into);
  if (startOfTagged < end) locateTagged(layout, bytes, startOfTagged, end, into);
}

function locateFixed(
  layout: RecordLayout,
  bytes: Uint8Array,
  start: number,
  bitmap: number,
  fidFixedLast: number,
  into: RecordValues,
): void {
  const { fixedColumns, fixedOffsets, fixedSizes } = layout;
  const { stored, starts, ends, headers } = into;
  for (let fid = 1; fid <= fidFixedLast; fid++) {
    const index = fixedColumns[fid] ?? NO_COLUMN;
    if (index < 0) continue;
    const bit = fid - 1;
    if ((((bytes[bitmap + (bit >> 3)] ?? 0) >> (bit & 7)) & 1) !== 0) {
      stored[index] = STORED.null;
    } else {
      const at = start + (fixedOffsets[fid] ?? 0);
      stored[index] = STORED.plain;
      starts[index] = at;
      ends[index] = at + (fixedSizes[fid] ?? 0);
      headers[index] = 0;
    }
  }
}

/** Returns where the tagged area begins. */
function locateVariable(
  layout: RecordLayout,
  bytes: Uint8Array,
  start: number,
  end: number,
  fidVarLast: number,
  into: RecordValues,
): number {
  const count = fidVarLast - NO_VARIABLE_COLUMN;
  const data = start + 2 * count;
  if (data > end) throw corrupt(`${count} variable offsets do not fit`);
  const { variableColumns } = layout;
  const { stored, starts, ends, headers } = into;
  let valueStart = data;
  for (let i = 0; i < count; i++) {
    const word = u16(bytes, start + 2 * i);
    const valueEnd = data + (word & VARIABLE_OFFSET_MASK);
    if (valueEnd < valueStart || valueEnd > end) {
      throw corrupt(`variable column ${FID_VARIABLE_LEAST + i} ends outside of the record`);
    }
    const index = variableColumns[i] ?? NO_COLUMN;
    if (index >= 0) {
      if ((word & VARIABLE_NULL) !== 0) {
        stored[index] = STORED.null;
      } else {
        stored[index] = STORED.plain;
        starts[index] = valueStart;
        ends[index] = valueEnd;
        headers[index] = 0;
      }
    }
    valueStart = valueEnd;
  }
  return valueStart;
}

function locateTagged(
  layout: RecordLayout,
  bytes: Uint8Array,
  start: number,
  end: number,
  into: RecordValues,
): void {
  const { isLargePage, taggedColumns, derivedColumns, isLongValue } = layout;
  const { stored, starts, ends, headers } = into;
  const offsetMask = isLargePage ? TAGFLD_LARGE_OFFSET_MASK : TAGFLD_SMALL_OFFSET_MASK;
  const length = end - start;
  if (length < TAGFLD_BYTES) throw corrupt(`a tagged area of ${length} bytes`);
  const arrayBytes = u16(bytes, start + 2) & offsetMask;
  if (arrayBytes === 0 || arrayBytes % TAGFLD_BYTES !== 0 || arrayBytes > length) {
    throw corrupt(`the tagged data begin at ${arrayBytes} of ${length} bytes`);
  }
  const count = arrayBytes / TAGFLD_BYTES;
  into.taggedCount = count;
  let offset = arrayBytes;
  /** Order of entries: those with the derived bit first, then by id. */
  let lastOrder = -1;
  for (let i = 0; i < count; i++) {
    const entry = start + TAGFLD_BYTES * i;
    const fid = u16(bytes, entry);
    const word = u16(bytes, entry + 2);
    const nextOffset = i + 1 < count ? u16(bytes, entry + TAGFLD_BYTES + 2) & offsetMask : length;
    if (nextOffset < offset || nextOffset > length) {
      throw corrupt(`tagged column ${fid} ends outside of the record`);
    }
    const isDerived = (word & TAGFLD_DERIVED) !== 0;
    const order = isDerived ? fid : fid + 0x10000;
    if (fid < FID_TAGGED_LEAST || fid > FID_TAGGED_MOST || order <= lastOrder) {
      throw corrupt(`tagged column id ${fid} is out of order`);
    }
    lastOrder = order;
    const isNull = !isLargePage && (word & TAGFLD_SMALL_NULL) !== 0;
    const hasHeader = isLargePage || (word & TAGFLD_SMALL_HAS_HEADER) !== 0;
    if (isNull ? nextOffset !== offset : hasHeader && nextOffset === offset) {
      throw corrupt(`tagged column ${fid} has ${nextOffset - offset} bytes`);
    }
    const index = (isDerived ? derivedColumns : taggedColumns)[fid - FID_TAGGED_LEAST] ?? NO_COLUMN;
    if (index < 0) {
      into.unknownCount++;
    } else if (isNull) {
      stored[index] = STORED.null;
    } else {
      const header = hasHeader ? (bytes[start + offset] ?? 0) : 0;
      if ((header & TAGGED_HEADER.null) === 0) {
        // A long value always has a header (chapter 3.2.4), and it must agree with the column's type.
        if ((header & TAGGED_HEADER.longValue) !== (isLongValue[index] ?? 0)) {
          throw corrupt(`tagged column ${fid} is stored as another type`);
        }
        stored[index] = (header & HEADER_NOT_PLAIN) === 0 ? STORED.plain : STORED.tagged;
        starts[index] = start + offset + (hasHeader ? 1 : 0);
        ends[index] = start + nextOffset;
        headers[index] = header;
      } else {
        stored[index] = STORED.null;
      }
    }
    offset = nextOffset;
  }
}

/**
 * Number of values that a row has in a column: 0 = NULL. A column that is not stored has its default,
 * if it has one (chapter 3.2.6).
 *
 * @throws EseError JET_errDatabaseCorrupted if the offsets of a multi-value are impossible.
 */
export function valueCount(layout: RecordLayout, values: RecordValues, columnIndex: number): number {
  switch (values.stored[columnIndex]) {
    case STORED.plain:
      return 1;
    case STORED.tagged:
      return taggedValueCount(values, columnIndex);
    case STORED.absent:
      return layout.defaults[columnIndex] === undefined ? 0 : 1;
    default:
      return 0;
  }
}

function taggedValueCount(values: RecordValues, columnIndex: number): number {
  const header = values.headers[columnIndex] ?? 0;
  if ((header & TAGGED_HEADER.multiValues) === 0) return 1;
  if ((header & TAGGED_HEADER.twoValues) !== 0) return 2;
  const start = values.starts[columnIndex] ?? 0;
  const length = (values.ends[columnIndex] ?? 0) - start;
  const arrayBytes = length < 4 ? 0 : u16(values.bytes, start) & MULTI_VALUE_OFFSET_MASK;
  if (arrayBytes < 4 || arrayBytes % 2 !== 0 || arrayBytes > length) {
    throw corrupt(`the values of a multi-value begin at ${arrayBytes} of ${length} bytes`);
  }
  return arrayBytes / 2;
}

/**
 * Finds value number `itagSequence` (from 1) of a column and fills `into`; false if the row has no such
 * value, so that NULL has none.
 *
 * @throws EseError JET_errDatabaseCorrupted if the offsets of a multi-value are impossible.
 */
export function locateValue(
  layout: RecordLayout,
  values: RecordValues,
  columnIndex: number,
  itagSequence: number,
  into: ValueView,
): boolean {
  into.compressed = false;
  into.separated = false;
  into.encrypted = false;
  const stored = values.stored[columnIndex];
  if (stored === STORED.plain || stored === STORED.tagged) {
    into.bytes = values.bytes;
    into.start = values.starts[columnIndex] ?? 0;
    into.end = values.ends[columnIndex] ?? 0;
    if (stored === STORED.plain) return itagSequence === 1;
    return locateTaggedValue(values, columnIndex, itagSequence, into);
  }
  const value = stored === STORED.absent ? layout.defaults[columnIndex] : undefined;
  if (value === undefined || itagSequence !== 1) return false;
  into.bytes = value;
  into.start = 0;
  into.end = value.length;
  return true;
}

function locateTaggedValue(
  values: RecordValues,
  columnIndex: number,
  itagSequence: number,
  into: ValueView,
): boolean {
  const count = taggedValueCount(values, columnIndex);
  if (itagSequence < 1 || itagSequence > count) return false;
  const header = values.headers[columnIndex] ?? 0;
  into.encrypted = (header & TAGGED_HEADER.encrypted) !== 0;
  const { bytes, start, end } = into;
  if ((header & TAGGED_HEADER.multiValues) === 0) {
    into.separated = (header & TAGGED_HEADER.separated) !== 0;
    into.compressed = (header & TAGGED_HEADER.compressed) !== 0;
    if (into.separated && into.compressed) throw corrupt('a separated value is marked compressed');
    return true;
  }
  if ((header & TAGGED_HEADER.twoValues) !== 0) {
    const firstEnd = start + 1 + (bytes[start] ?? 0);
    if (start >= end || firstEnd > end) throw corrupt('the first of two values is too long');
    into.start = itagSequence === 1 ? start + 1 : firstEnd;
    into.end = itagSequence === 1 ? firstEnd : end;
    return true;
  }
  const word = u16(bytes, start + 2 * (itagSequence - 1));
  into.start = start + (word & MULTI_VALUE_OFFSET_MASK);
  into.end =
    itagSequence === count ? end : start + (u16(bytes, start + 2 * itagSequence) & MULTI_VALUE_OFFSET_MASK);
  if (into.start < start + 2 * count || into.end < into.start || into.end > end) {
    throw corrupt(`value ${itagSequence} of a multi-value lies outside of its column`);
  }
  into.separated = (word & MULTI_VALUE_SEPARATED) !== 0;
  // The header's flag speaks of the first value alone (chapter 3.2.5).
  into.compressed = itagSequence === 1 && !into.separated && (header & TAGGED_HEADER.compressed) !== 0;
  return true;
}

function u16(bytes: Uint8Array, at: number): number {
  return (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8);
}
