import { checkValueSize } from './canonical-value.js';
import { COLTYP } from './column.js';
import { filetimeToUnixMs, isFiletime, readDouble, readSingle } from './date-time.js';
import { formatGuid } from './guid.js';
import { decodeText, isDecodable } from './text.js';

/**
 * One column value as JavaScript has it (format specification, chapter 3.5):
 *
 * | type | value |
 * |---|---|
 * | Bit | `boolean` |
 * | integers of up to 32 bits, IEEESingle, IEEEDouble | `number` |
 * | Currency (in 1/10000), LongLong, UnsignedLongLong | `bigint` |
 * | DateTime | `Date` (milliseconds, no zone: read as UTC); the bare `number` if it is no date |
 * | GUID | `string`, lower-case 8-4-4-4-12 |
 * | Text, LongText | `string`; `Uint8Array` where the bytes are no text of the code page |
 * | Binary, LongBinary | `Uint8Array` of its own |
 */
export type ColumnValue = boolean | number | bigint | string | Date | Uint8Array;

const MS_PER_DAY = 86_400_000;
/** Days from 1899-12-30, where OLE dates begin, to 1970-01-01. */
const OLE_TO_UNIX_DAYS = 25_569;
/** Fewer bytes than this are copied one by one: a view of them would cost more. */
const SHORT_COPY = 48;

/**
 * The value `bytes[start..end)`, which is plain: neither compressed nor the id of a long value.
 *
 * @throws EseError JET_errDatabaseCorrupted if the value has not the size of its type.
 */
export function columnValue(
  coltyp: number,
  codePage: number,
  bytes: Uint8Array,
  start: number,
  end: number,
): ColumnValue {
  checkValueSize(coltyp, end - start);
  switch (coltyp) {
    case COLTYP.bit:
      return bytes[start] !== 0;
    case COLTYP.unsignedByte:
      return bytes[start] ?? 0;
    case COLTYP.short:
      return (int32(bytes, start, 2) << 16) >> 16;
    case COLTYP.unsignedShort:
      return int32(bytes, start, 2);
    case COLTYP.long:
      return int32(bytes, start, 4);
    case COLTYP.unsignedLong:
      return int32(bytes, start, 4) >>> 0;
    case COLTYP.currency:
    case COLTYP.longLong:
      return viewOf(bytes).getBigInt64(start, true);
    case COLTYP.unsignedLongLong:
      return viewOf(bytes).getBigUint64(start, true);
    case COLTYP.ieeeSingle:
      return readSingle(bytes, start);
    case COLTYP.ieeeDouble:
      return readDouble(bytes, start);
    case COLTYP.dateTime:
      return dateTime(bytes, start);
    case COLTYP.guid:
      return formatGuid(bytes, start);
    case COLTYP.text:
    case COLTYP.longText:
      if (isDecodable(bytes, start, end, codePage)) return decodeText(bytes, start, end, codePage);
      return ownBytes(bytes, start, end);
    default:
      return ownBytes(bytes, start, end);
  }
}

/** A little-endian number of `size` bytes; of four, signed. A view would cost more than it reads. */
function int32(bytes: Uint8Array, at: number, size: 2 | 4): number {
  const low = (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8);
  return size === 2 ? low : low | ((bytes[at + 2] ?? 0) << 16) | ((bytes[at + 3] ?? 0) << 24);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function ownBytes(bytes: Uint8Array, start: number, end: number): Uint8Array {
  const own = new Uint8Array(end - start);
  if (own.length < SHORT_COPY) for (let i = 0; i < own.length; i++) own[i] = bytes[start + i] ?? 0;
  else own.set(bytes.subarray(start, end));
  return own;
}

function dateTime(bytes: Uint8Array, start: number): Date | number {
  if (isFiletime(bytes, start)) return new Date(filetimeToUnixMs(bytes, start));
  const days = readDouble(bytes, start);
  const whole = Math.trunc(days);
  // The fraction is the time of day even when the day lies before 1899-12-30.
  const ms = (whole - OLE_TO_UNIX_DAYS) * MS_PER_DAY + Math.round(Math.abs(days - whole) * MS_PER_DAY);
  const date = new Date(ms);
  return Number.isNaN(date.getTime()) ? days : date;
}
