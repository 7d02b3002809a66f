/**
 * From JavaScript values to the bytes that a record stores: the inverse of column-value.ts (format
 * specification, chapters 3.1 and 3.2.1).
 */
import {
  CODE_PAGE_UNICODE,
  COLTYP,
  type ColumnDefinition,
  coltypName,
  coltypSize,
  fixedColumnSize,
  isFixedColumn,
  isTextType,
} from './column.js';
import type { ColumnValue } from './column-value.js';
import { EseError } from './ese-error.js';
import { GUID_TEXT_ORDER } from './guid.js';
import { effectiveCodePage, encodeSingleByteText } from './text.js';

const MS_PER_DAY = 86_400_000;
/** Days from 1899-12-30, where OLE dates begin, to 1970-01-01. */
const OLE_TO_UNIX_DAYS = 25_569;
const GUID_PATTERN = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
const SPACE = 0x20;

/** Ranges of the integer types of up to 4 bytes. */
const INTEGERS: Readonly<Record<number, { readonly least: number; readonly most: number }>> = {
  [COLTYP.unsignedByte]: { least: 0, most: 0xff },
  [COLTYP.short]: { least: -0x8000, most: 0x7fff },
  [COLTYP.unsignedShort]: { least: 0, most: 0xffff },
  [COLTYP.long]: { least: -0x80000000, most: 0x7fffffff },
  [COLTYP.unsignedLong]: { least: 0, most: 0xffffffff },
};

/** Ranges of those of 8. */
const LONG_INTEGERS: Readonly<Record<number, { readonly least: bigint; readonly most: bigint }>> = {
  [COLTYP.currency]: { least: -(2n ** 63n), most: 2n ** 63n - 1n },
  [COLTYP.longLong]: { least: -(2n ** 63n), most: 2n ** 63n - 1n },
  [COLTYP.unsignedLongLong]: { least: 0n, most: 2n ** 64n - 1n },
};

function invalid(column: ColumnDefinition, value: ColumnValue): EseError {
  const isNumber = typeof value === 'number' || typeof value === 'bigint';
  const type = typeof value === 'object' ? value.constructor.name : typeof value;
  const what = isNumber ? value : typeof value === 'object' ? type : `${type} ${String(value)}`;
  return new EseError(
    'JET_errInvalidParameter',
    `column ${column.name} of type ${coltypName(column.coltyp)} cannot hold ${what}`,
  );
}

/**
 * The stored bytes of a value: those that {@link columnValue} reads back. Text may be a string or bytes of the
 * column's code page; fixed text and binary are padded to their size; integers may be `number` or `bigint`.
 *
 * @throws EseError JET_errInvalidParameter for a value that is not of the column's type, JET_errColumnTooBig for one
 *   that is longer than the column allows
 */
export function encodeColumnValue(column: ColumnDefinition, value: ColumnValue): Uint8Array {
  const bytes = encodePlain(column, value);
  const { columnId, maxLength, coltyp } = column;
  if (coltypSize(coltyp) !== 0) return bytes;
  const size = isFixedColumn(columnId) ? fixedColumnSize(column) : 0;
  const most = size > 0 ? size : maxLength;
  if (most > 0 && bytes.length > most) {
    throw new EseError(
      'JET_errColumnTooBig',
      `column ${column.name} holds at most ${most} bytes, not ${bytes.length}`,
    );
  }
  return size > bytes.length ? padded(column, bytes, size) : bytes;
}

/** A shorter value of a fixed column is filled up: text with blanks, binary with zeros (chapter 3.2.1). */
function padded(column: ColumnDefinition, bytes: Uint8Array, size: number): Uint8Array {
  const full = new Uint8Array(size);
  full.set(bytes);
  if (!isTextType(column.coltyp)) return full;
  if (effectiveCodePage(column.codePage) !== CODE_PAGE_UNICODE) {
    full.fill(SPACE, bytes.length);
  } else {
    for (let at = bytes.length; at < size; at++) full[at] = at % 2 === 0 ? SPACE : 0;
  }
  return full;
}

function encodePlain(column: ColumnDefinition, value: ColumnValue): Uint8Array {
  const { coltyp } = column;
  const size = coltypSize(coltyp);
  if (value instanceof Uint8Array) {
    if (size !== 0 && value.length !== size) throw invalid(column, value);
    return value;
  }
  const range = INTEGERS[coltyp];
  if (range !== undefined) return encodeInteger(column, value, size, range);
  if (isTextType(coltyp)) return encodeText(column, value);
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  const longRange = LONG_INTEGERS[coltyp];
  if (longRange !== undefined) {
    if (typeof value === 'number' && !Number.isInteger(value)) throw invalid(column, value);
    if (typeof value !== 'number' && typeof value !== 'bigint') throw invalid(column, value);
    if (value < longRange.least || value > longRange.most) throw invalid(column, value);
    view.setBigInt64(0, BigInt.asIntN(64, BigInt(value)), true);
    return bytes;
  }
  switch (coltyp) {
    case COLTYP.bit:
      if (typeof value !== 'boolean') throw invalid(column, value);
      bytes[0] = value ? 0xff : 0x00;
      return bytes;
    case COLTYP.ieeeSingle:
      if (typeof value !== 'number') throw invalid(column, value);
      view.setFloat32(0, value, true);
      return bytes;
    case COLTYP.ieeeDouble:
      if (typeof value !== 'number') throw invalid(column, value);
      view.setFloat64(0, value, true);
      return bytes;
    case COLTYP.dateTime:
      if (!(value instanceof Date) && typeof value !== 'number') throw invalid(column, value);
      view.setFloat64(0, typeof value === 'number' ? value : oleDate(value), true);
      return bytes;
    case COLTYP.guid: {
      if (typeof value !== 'string' || !GUID_PATTERN.test(value)) throw invalid(column, value);
      const text = Buffer.from(value.replaceAll('-', ''), 'hex');
      for (let i = 0; i < size; i++) bytes[GUID_TEXT_ORDER[i] ?? 0] = text[i] ?? 0;
      return bytes;
    }
    default:
      throw invalid(column, value);
  }
}

/** Without a `DataView`: making one for each value would cost more than all the rest. */
function encodeInteger(
  column: ColumnDefinition,
  value: ColumnValue,
  size: number,
  range: { readonly least: number; readonly most: number },
): Uint8Array {
  if (typeof value !== 'number' && typeof value !== 'bigint') throw invalid(column, value);
  if (value < range.least || value > range.most) throw invalid(column, value);
  const number = Number(value);
  if (!Number.isInteger(number)) throw invalid(column, value);
  const bytes = new Uint8Array(size);
  for (let i = 0; i < size; i++) bytes[i] = number >> (8 * i);
  return bytes;
}

function encodeText(column: ColumnDefinition, value: ColumnValue): Uint8Array {
  const { codePage } = column;
  if (typeof value !== 'string') throw invalid(column, value);
  if (effectiveCodePage(codePage) === CODE_PAGE_UNICODE) return encodeUtf16(value);
  const encoded = encodeSingleByteText(value, codePage);
  if (encoded === undefined) {
    throw new EseError(
      'JET_errInvalidParameter',
      `column ${column.name} holds text of code page ${effectiveCodePage(codePage)} only`,
    );
  }
  return encoded;
}

function encodeUtf16(text: string): Uint8Array {
  const bytes = new Uint8Array(2 * text.length);
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    bytes[2 * i] = unit;
    bytes[2 * i + 1] = unit >> 8;
  }
  return bytes;
}

/** Days since 1899-12-30; before that the time of day still counts up (chapter 3.5). */
function oleDate(date: Date): number {
  const days = date.getTime() / MS_PER_DAY + OLE_TO_UNIX_DAYS;
  const whole = Math.floor(days);
  const fraction = days - whole;
  return whole >= 0 || fraction === 0 ? days : whole - fraction;
}
