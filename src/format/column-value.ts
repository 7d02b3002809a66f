import { checkValueSize } from './canonical-value.js';
import { COLTYP } from './column.js';
import { isFiletime, readDouble, readSingle } from './date-time.js';
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
/** Milliseconds from 1601-01-01, where FILETIME begins, to 1970-01-01. */
const FILETIME_TO_UNIX_MS = 11_644_473_600_000n;
const TICKS_PER_MS = 10_000n;

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
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  switch (coltyp) {
    case COLTYP.bit:
      return bytes[start] !== 0;
    case COLTYP.unsignedByte:
      return view.getUint8(start);
    case COLTYP.short:
      return view.getInt16(start, true);
    case COLTYP.unsignedShort:
      return view.getUint16(start, true);
    case COLTYP.long:
      return view.getInt32(start, true);
    case COLTYP.unsignedLong:
      return view.getUint32(start, true);
    case COLTYP.currency:
    case COLTYP.longLong:
      return view.getBigInt64(start, true);
    case COLTYP.unsignedLongLong:
      return view.getBigUint64(start, true);
    case COLTYP.ieeeSingle:
      return readSingle(bytes, start);
    case COLTYP.ieeeDouble:
      return readDouble(bytes, start);
    case COLTYP.dateTime:
      return dateTime(bytes, view, start);
    case COLTYP.guid:
      return formatGuid(bytes, start);
    case COLTYP.text:
    case COLTYP.longText:
      if (isDecodable(bytes, start, end, codePage)) return decodeText(bytes, start, end, codePage);
      return new Uint8Array(bytes.subarray(start, end));
    default:
      return new Uint8Array(bytes.subarray(start, end));
  }
}

function dateTime(bytes: Uint8Array, view: DataView, start: number): Date | number {
  if (isFiletime(bytes, start)) {
    return new Date(Number(view.getBigUint64(start, true) / TICKS_PER_MS - FILETIME_TO_UNIX_MS));
  }
  const days = readDouble(bytes, start);
  const whole = Math.trunc(days);
  // The fraction is the time of day even when the day lies before 1899-12-30.
  const ms = (whole - OLE_TO_UNIX_DAYS) * MS_PER_DAY + Math.round(Math.abs(days - whole) * MS_PER_DAY);
  const date = new Date(ms);
  return Number.isNaN(date.getTime()) ? days : date;
}
