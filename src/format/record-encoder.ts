/**
 * Writes records: the inverse of record.ts (format specification, chapter 3.2). A {@link RecordEncoder}
 * holds the values of one row, takes over a stored record to be changed, and gives the bytes that the
 * engine itself would store, fill bytes included.
 */
import { type ByteWriter, reserve } from './byte-writer.js';
import {
  COLUMN_FLAG,
  type ColumnDefinition,
  FID_FIXED_MOST,
  FID_TAGGED_LEAST,
  FID_VARIABLE_LEAST,
  FID_VARIABLE_MOST,
  isFixedColumn,
  isVariableColumn,
} from './column.js';
import { EseError } from './ese-error.js';
import {
  createRecordValues,
  createValueView,
  locateColumns,
  locateValue,
  type RecordLayout,
  STORED,
  TAGGED_HEADER,
  valueCount,
} from './record.js';

/** One value of a column, as it is stored. */
export interface StoredValue {
  readonly bytes: Uint8Array;
  /** The bytes are the id of a long value. */
  readonly separated?: boolean;
  /** The bytes are compressed; only the first value of a column may be. */
  readonly compressed?: boolean;
}

/** What a row holds of a tagged column: its values, or an explicit NULL that overrides a default. */
type TaggedEntry = { readonly order: number; readonly fid: number; values: readonly StoredValue[] };

const RECORD_HEADER_BYTES = 4;
const NO_VARIABLE_COLUMN = FID_VARIABLE_LEAST - 1;
const VARIABLE_COLUMNS = FID_VARIABLE_MOST - FID_VARIABLE_LEAST + 1;
/** Fills the place of a fixed column that was never set (chapter 3.2.1). */
const FILL = 0x2a;
const VARIABLE_NULL = 0x8000;
const TAGFLD_BYTES = 4;
const TAGFLD_DERIVED = 0x8000;
const TAGFLD_SMALL_HAS_HEADER = 0x4000;
const TAGFLD_SMALL_NULL = 0x2000;
const TAGFLD_SMALL_OFFSET_MOST = 0x1fff;
const TAGFLD_LARGE_OFFSET_MOST = 0x7fff;
const MULTI_VALUE_SEPARATED = 0x8000;
const MULTI_VALUE_OFFSET_MOST = 0x7fff;
/** Longest first value of the short two-value form: its length is one byte. */
const TWO_VALUES_FIRST_MOST = 0xff;

/** Fewer bytes than this are copied one by one: a view of them would cost more. */
const SHORT_COPY = 64;

const NO_VALUES: readonly StoredValue[] = [];

/** The values of one row, to be set and encoded. One encoder serves all rows of a table in turn. */
export interface RecordEncoder {
  /** Begins a new row in which nothing is set. */
  clear(): void;
  /** Begins with the row in the record `bytes[start..end)`. Throws as {@link locateColumns}. */
  load(bytes: Uint8Array, start: number, end: number): void;
  /**
   * Gives a column one value. Fixed columns take exactly their size.
   *
   * @throws EseError JET_errInvalidParameter for a fixed column of another size.
   */
  setValue(columnIndex: number, value: StoredValue): void;
  /** The same for a value that is stored as it is. */
  setBytes(columnIndex: number, bytes: Uint8Array): void;
  /** Gives a tagged column several values; one is the same as `setValue`, none as `setNull`. */
  setValues(columnIndex: number, values: readonly StoredValue[]): void;
  /** Makes a column NULL; a default does not come through. */
  setNull(columnIndex: number): void;
  /** The values that are set; empty when the column is NULL or has its default. */
  values(columnIndex: number): readonly StoredValue[];
  /**
   * Appends the record to `out` and returns its size in bytes.
   *
   * @throws EseError JET_errRecordTooBig if an offset does not fit its word.
   */
  encode(out: ByteWriter): number;
}

function tooBig(): EseError {
  return new EseError('JET_errRecordTooBig', 'the record is too long for its offsets');
}

/** Prepares encoding the records of a table. */
export function createRecordEncoder(layout: RecordLayout): RecordEncoder {
  const { columns, isLargePage } = layout;
  /** The fixed values, at their offsets in the record; a stored record may hold more of them than the table has. */
  let fixed = new Uint8Array(Math.max(RECORD_HEADER_BYTES, ...layout.fixedEnds));
  /** By fixed id: 1 = NULL. */
  const fixedNull = new Uint8Array(FID_FIXED_MOST + 1);
  const variables: (Uint8Array | undefined)[] = new Array(VARIABLE_COLUMNS).fill(undefined);
  let fidFixedLast = 0;
  let fidVarLast = NO_VARIABLE_COLUMN;
  let tagged: TaggedEntry[] = [];
  let loadedEnd = RECORD_HEADER_BYTES;
  const located = createRecordValues(layout);
  const view = createValueView();

  const columnAt = (columnIndex: number): ColumnDefinition => {
    const column = columns[columnIndex];
    if (column === undefined) throw new EseError('JET_errColumnNotFound');
    return column;
  };

  /** Extends the stored fixed columns up to `fid`: those on the way get their defaults, or are NULL. */
  const growFixed = (fid: number): void => {
    for (let next = fidFixedLast + 1; next <= fid; next++) {
      const index = layout.fixedColumns[next] ?? -1;
      const offset = layout.fixedOffsets[next] ?? 0;
      const size = layout.fixedSizes[next] ?? 0;
      const value = index < 0 ? undefined : layout.defaults[index];
      fixedNull[next] = value === undefined ? 1 : 0;
      if (value !== undefined) fixed.set(value.subarray(0, size), offset);
      else for (let i = 0; i < size; i++) fixed[offset + i] = FILL;
    }
    fidFixedLast = Math.max(fidFixedLast, fid);
  };

  const growVariable = (fid: number): void => {
    for (let next = fidVarLast + 1; next <= fid; next++) {
      const index = layout.variableColumns[next - FID_VARIABLE_LEAST] ?? -1;
      variables[next - FID_VARIABLE_LEAST] = index < 0 ? undefined : layout.defaults[index];
    }
    fidVarLast = Math.max(fidVarLast, fid);
  };

  const orderOf = (column: ColumnDefinition): number =>
    isDerived(column) ? column.columnId : column.columnId + 0x10000;

  /** Where the entry of a tagged column is, or belongs. */
  const taggedPlace = (order: number): number => {
    let low = 0;
    let high = tagged.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((tagged[middle]?.order ?? 0) < order) low = middle + 1;
      else high = middle;
    }
    return low;
  };

  const setTagged = (column: ColumnDefinition, values: readonly StoredValue[] | undefined): void => {
    const order = orderOf(column);
    const place = taggedPlace(order);
    const entry = tagged[place];
    if (entry?.order === order) {
      if (values === undefined) tagged.splice(place, 1);
      else entry.values = values;
    } else if (values !== undefined) {
      tagged.splice(place, 0, { order, fid: column.columnId, values });
    }
  };

  /** Gives a fixed or variable column its value; false for a tagged one. */
  const setUntagged = (column: ColumnDefinition, bytes: Uint8Array): boolean => {
    const { columnId } = column;
    if (isFixedColumn(columnId)) {
      const size = layout.fixedSizes[columnId] ?? 0;
      if (bytes.length !== size) {
        throw new EseError(
          'JET_errInvalidParameter',
          `column ${column.name} holds ${size} bytes, not ${bytes.length}`,
        );
      }
      if (columnId > fidFixedLast) growFixed(columnId);
      const offset = layout.fixedOffsets[columnId] ?? 0;
      for (let i = 0; i < size; i++) fixed[offset + i] = bytes[i] ?? 0;
      fixedNull[columnId] = 0;
      return true;
    }
    if (!isVariableColumn(columnId)) return false;
    if (columnId > fidVarLast) growVariable(columnId);
    variables[columnId - FID_VARIABLE_LEAST] = bytes;
    return true;
  };

  /** End of the fixed values. Those of deleted columns keep the room that the stored record gives them. */
  const endFixed = (): number => Math.max(loadedEnd, layout.fixedEnds[fidFixedLast] ?? 0);

  const encodeFixed = (bytes: Uint8Array, start: number, end: number): number => {
    if (end < SHORT_COPY) for (let i = RECORD_HEADER_BYTES; i < end; i++) bytes[start + i] = fixed[i] ?? 0;
    else bytes.set(fixed.subarray(RECORD_HEADER_BYTES, end), start + RECORD_HEADER_BYTES);
    const bitmapBytes = (fidFixedLast + 7) >> 3;
    const bitmap = start + end;
    for (let i = 0; i < bitmapBytes; i++) bytes[bitmap + i] = 0;
    for (let bit = 0; bit < 8 * bitmapBytes; bit++) {
      const isNull = bit >= fidFixedLast || fixedNull[bit + 1] !== 0;
      if (isNull) bytes[bitmap + (bit >> 3)] = (bytes[bitmap + (bit >> 3)] ?? 0) | (1 << (bit & 7));
    }
    return bitmap + bitmapBytes;
  };

  const encodeVariable = (bytes: Uint8Array, start: number): number => {
    const count = fidVarLast - NO_VARIABLE_COLUMN;
    const data = start + 2 * count;
    let at = data;
    for (let i = 0; i < count; i++) {
      const value = variables[i];
      if (value !== undefined) {
        bytes.set(value, at);
        at += value.length;
      }
      const end = at - data;
      if (end >= VARIABLE_NULL) throw tooBig();
      putU16(bytes, start + 2 * i, end | (value === undefined ? VARIABLE_NULL : 0));
    }
    return at;
  };

  const encodeTagged = (bytes: Uint8Array, start: number): number => {
    let at = start + TAGFLD_BYTES * tagged.length;
    tagged.forEach((entry, i) => {
      const offset = at - start;
      if (offset > (isLargePage ? TAGFLD_LARGE_OFFSET_MOST : TAGFLD_SMALL_OFFSET_MOST)) throw tooBig();
      const { fid, order, values } = entry;
      const isLong = isLongValueEntry(order, fid);
      let word = offset | (order < 0x10000 ? TAGFLD_DERIVED : 0);
      if (values.length === 0) {
        if (isLargePage) bytes[at++] = TAGGED_HEADER.null | (isLong ? TAGGED_HEADER.longValue : 0);
        else word |= TAGFLD_SMALL_NULL;
      } else {
        const header = taggedHeader(values, isLong, isLargePage);
        if (isLargePage || header !== 0) {
          bytes[at++] = header;
          if (!isLargePage) word |= TAGFLD_SMALL_HAS_HEADER;
        }
        at = putValues(bytes, at, values, header);
      }
      putU16(bytes, start + TAGFLD_BYTES * i, fid);
      putU16(bytes, start + TAGFLD_BYTES * i + 2, word);
    });
    return at;
  };

  const isLongValueEntry = (order: number, fid: number): boolean => {
    const map = order < 0x10000 ? layout.derivedColumns : layout.taggedColumns;
    return (layout.isLongValue[map[fid - FID_TAGGED_LEAST] ?? -1] ?? 0) !== 0;
  };

  return {
    clear() {
      fidFixedLast = 0;
      fidVarLast = NO_VARIABLE_COLUMN;
      tagged = [];
      loadedEnd = RECORD_HEADER_BYTES;
    },

    load(bytes, start, end) {
      locateColumns(layout, bytes, start, end, located);
      if (located.unknownCount > 0) {
        throw new EseError('JET_errDatabaseCorrupted', 'record: it has values of columns that do not exist');
      }
      fidFixedLast = located.fidFixedLast;
      const bitmapBytes = (fidFixedLast + 7) >> 3;
      const bitmap = start + ((bytes[start + 2] ?? 0) | ((bytes[start + 3] ?? 0) << 8)) - bitmapBytes;
      if (bitmap - start > fixed.length) fixed = new Uint8Array(bitmap - start);
      fixed.set(bytes.subarray(start, bitmap));
      loadedEnd = bitmap - start;
      for (let fid = 1; fid <= fidFixedLast; fid++) {
        fixedNull[fid] = ((bytes[bitmap + ((fid - 1) >> 3)] ?? 0) >> ((fid - 1) & 7)) & 1;
      }
      fidVarLast = located.fidVarLast;
      variables.fill(undefined);
      tagged = [];
      for (let index = 0; index < columns.length; index++) {
        const stored = located.stored[index];
        if (stored === STORED.absent) continue;
        const column = columnAt(index);
        if (isFixedColumn(column.columnId)) continue;
        const values: StoredValue[] = [];
        const count = valueCount(layout, located, index);
        for (let itag = 1; itag <= count; itag++) {
          locateValue(layout, located, index, itag, view);
          values.push({
            bytes: view.bytes.slice(view.start, view.end),
            separated: view.separated,
            compressed: view.compressed,
          });
        }
        if (isVariableColumn(column.columnId)) {
          variables[column.columnId - FID_VARIABLE_LEAST] = values[0]?.bytes;
        } else {
          setTagged(column, values);
        }
      }
    },

    setValue(columnIndex, value) {
      const column = columnAt(columnIndex);
      if (!setUntagged(column, value.bytes)) setTagged(column, [value]);
    },

    setBytes(columnIndex, bytes) {
      const column = columnAt(columnIndex);
      if (!setUntagged(column, bytes)) setTagged(column, [{ bytes }]);
    },

    setValues(columnIndex, values) {
      const column = columnAt(columnIndex);
      const [first] = values;
      if (first === undefined) this.setNull(columnIndex);
      else if (isFixedColumn(column.columnId) || isVariableColumn(column.columnId)) {
        this.setValue(columnIndex, first);
      } else setTagged(column, values);
    },

    setNull(columnIndex) {
      const column = columnAt(columnIndex);
      const { columnId } = column;
      const hasDefault = layout.defaults[columnIndex] !== undefined;
      if (isFixedColumn(columnId)) {
        if (columnId > fidFixedLast) {
          if (!hasDefault) return;
          growFixed(columnId);
        }
        fixedNull[columnId] = 1;
      } else if (isVariableColumn(columnId)) {
        if (columnId > fidVarLast) {
          if (!hasDefault) return;
          growVariable(columnId);
        }
        variables[columnId - FID_VARIABLE_LEAST] = undefined;
      } else {
        setTagged(column, hasDefault ? NO_VALUES : undefined);
      }
    },

    values(columnIndex) {
      const column = columnAt(columnIndex);
      const { columnId } = column;
      if (isFixedColumn(columnId)) {
        if (columnId > fidFixedLast || fixedNull[columnId] !== 0) return NO_VALUES;
        const offset = layout.fixedOffsets[columnId] ?? 0;
        return [{ bytes: fixed.slice(offset, offset + (layout.fixedSizes[columnId] ?? 0)) }];
      }
      if (isVariableColumn(columnId)) {
        const bytes = columnId > fidVarLast ? undefined : variables[columnId - FID_VARIABLE_LEAST];
        return bytes === undefined ? NO_VALUES : [{ bytes }];
      }
      const order = orderOf(column);
      const entry = tagged[taggedPlace(order)];
      return entry?.order === order ? entry.values : NO_VALUES;
    },

    encode(out) {
      const end = endFixed();
      const ibEndFixed = end + ((fidFixedLast + 7) >> 3);
      let size = ibEndFixed;
      for (let i = 0; i <= fidVarLast - FID_VARIABLE_LEAST; i++) size += 2 + (variables[i]?.length ?? 0);
      for (const { values } of tagged) {
        size += TAGFLD_BYTES + 2;
        for (const { bytes } of values) size += 2 + bytes.length;
      }
      reserve(out, size);
      const { bytes, length: start } = out;
      bytes[start] = fidFixedLast;
      bytes[start + 1] = fidVarLast;
      putU16(bytes, start + 2, ibEndFixed);
      let at = encodeFixed(bytes, start, end);
      at = encodeVariable(bytes, at);
      if (tagged.length > 0) at = encodeTagged(bytes, at);
      out.length = at;
      return at - start;
    },
  };
}

/** Tagged values of a template's column carry the derived bit, unless a very old engine made it. */
function isDerived(column: ColumnDefinition): boolean {
  return column.derived && (column.flags & COLUMN_FLAG.templateColumn) !== 0;
}

function putU16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value & 0xff;
  bytes[at + 1] = value >> 8;
}

/** The header byte of tagged values; 0 where a small page has none (chapter 3.2.4). */
function taggedHeader(values: readonly StoredValue[], isLong: boolean, isLargePage: boolean): number {
  const [first] = values;
  let header = isLong ? TAGGED_HEADER.longValue : 0;
  if (first?.compressed === true) header |= TAGGED_HEADER.compressed;
  if (values.length > 1) {
    header |= TAGGED_HEADER.multiValues;
    const isShort = values.length === 2 && !isLong && !isLargePage;
    if (isShort && (first?.bytes.length ?? 0) <= TWO_VALUES_FIRST_MOST) header |= TAGGED_HEADER.twoValues;
  } else if (first?.separated === true) {
    header |= TAGGED_HEADER.separated;
  }
  return header;
}

function putValues(bytes: Uint8Array, start: number, values: readonly StoredValue[], header: number): number {
  let at = start;
  if ((header & TAGGED_HEADER.twoValues) !== 0) bytes[at++] = values[0]?.bytes.length ?? 0;
  else if ((header & TAGGED_HEADER.multiValues) !== 0) at += 2 * values.length;
  const hasOffsets =
    (header & (TAGGED_HEADER.multiValues | TAGGED_HEADER.twoValues)) === TAGGED_HEADER.multiValues;
  values.forEach((value, i) => {
    if (hasOffsets) {
      const offset = at - start;
      if (offset > MULTI_VALUE_OFFSET_MOST) throw tooBig();
      putU16(bytes, start + 2 * i, offset | (value.separated === true ? MULTI_VALUE_SEPARATED : 0));
    }
    bytes.set(value.bytes, at);
    at += value.bytes.length;
  });
  return at;
}

/** What of a page is left for records: its data area less the tag and length words of one node. */
const NODE_OVERHEAD_BYTES = 8;
const KEY_MOST_DEFAULT = 255;

/**
 * Most bytes that a record may have (chapter 3.2).
 *
 * @param dataAreaBytes data area of a page
 * @param keyMost key limit of the primary index; 4 when there is none
 */
export function recordBytesMost(dataAreaBytes: number, isLargePage: boolean, keyMost: number): number {
  const node = dataAreaBytes - NODE_OVERHEAD_BYTES;
  return isLargePage ? node - 4 - keyMost : node - 2 - Math.max(KEY_MOST_DEFAULT, keyMost + 2);
}
