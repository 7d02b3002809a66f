/**
 * DateTime columns: days since 1899-12-30 as a double, by OLE's rules, or a FILETIME that an application
 * put there (format specification, chapter 3.5).
 */
import { appendByte, appendInteger, type ByteWriter } from './byte-writer.js';

const MS_PER_DAY = 86_400_000;
/** Days from 1899-12-30 to 1970-01-01, and the dates 0100-01-01 and 9999-12-31 that bound OLE's range. */
const OLE_TO_UNIX_DAYS = 25_569;
const OLE_DAY_LEAST = -657_434;
const OLE_DAY_MOST = 2_958_465;

/** FILETIME counts 100 ns from 1601-01-01. */
const FILETIME_TO_UNIX_DAYS = 134_774;
const FILETIME_TO_UNIX_MS = 11_644_473_600_000n;
const FILETIME_TICKS_PER_MS = 10_000n;
const FILETIME_TICKS_PER_SECOND = 10_000_000;
const TICKS_PER_DAY = 86_400 * FILETIME_TICKS_PER_SECOND;
/** High halves of the bits that are a FILETIME between 1948 and 2112, and no sensible double. */
const FILETIME_HIGH_LEAST = 0x01800000;
const FILETIME_HIGH_MOST = 0x02400000;

const TWO_32 = 2 ** 32;
const HYPHEN = 0x2d;
const COLON = 0x3a;
const POINT = 0x2e;
const LETTER_T = 0x54;
const LETTER_Z = 0x5a;

/** Whether the 8 bytes at `start` are a FILETIME rather than an OLE date. */
export function isFiletime(bytes: Uint8Array, start: number): boolean {
  const high = u32(bytes, start + 4);
  return high >= FILETIME_HIGH_LEAST && high <= FILETIME_HIGH_MOST;
}

/** Milliseconds since 1970 of the FILETIME at `start`; less than that is cut off. */
export function filetimeToUnixMs(bytes: Uint8Array, start: number): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Number(view.getBigUint64(start, true) / FILETIME_TICKS_PER_MS - FILETIME_TO_UNIX_MS);
}

/** The FILETIME of a time in milliseconds since 1970. */
export function encodeFiletime(unixMs: number): Uint8Array {
  const bytes = new Uint8Array(8);
  const ticks = (BigInt(Math.trunc(unixMs)) + FILETIME_TO_UNIX_MS) * FILETIME_TICKS_PER_MS;
  new DataView(bytes.buffer).setBigUint64(0, ticks, true);
  return bytes;
}

/**
 * Appends the 8 bytes at `start` in ISO 8601: an OLE date as `2013-04-05T12:34:56.789`, which has no time
 * zone; a FILETIME as `2013-04-05T12:34:56.7890123Z`. Returns false, having appended nothing, if the value
 * is no date between the years 100 and 9999.
 */
export function appendDateTime(out: ByteWriter, bytes: Uint8Array, start: number): boolean {
  if (isFiletime(bytes, start)) {
    const ticks = splitTicks(u32(bytes, start + 4), u32(bytes, start));
    appendIsoDate(out, ticks.days - FILETIME_TO_UNIX_DAYS);
    appendTime(out, Math.floor(ticks.rest / FILETIME_TICKS_PER_SECOND));
    appendByte(out, POINT);
    appendInteger(out, ticks.rest % FILETIME_TICKS_PER_SECOND, 7);
    appendByte(out, LETTER_Z);
    return true;
  }
  const days = readDouble(bytes, start);
  const whole = Math.trunc(days);
  if (!(whole >= OLE_DAY_LEAST && whole <= OLE_DAY_MOST)) return false;
  // The fraction is the time of day even when the day lies before 1899-12-30.
  let ms = Math.round(Math.abs(days - whole) * MS_PER_DAY);
  let day = whole;
  if (ms === MS_PER_DAY) {
    day++;
    ms = 0;
  }
  appendIsoDate(out, day - OLE_TO_UNIX_DAYS);
  appendTime(out, Math.floor(ms / 1000));
  appendByte(out, POINT);
  appendInteger(out, ms % 1000, 3);
  return true;
}

/** A 64-bit count of 100 ns as whole days and the rest, without leaving the exact range of doubles. */
function splitTicks(high: number, low: number): { days: number; rest: number } {
  let days = Math.floor((high * TWO_32 + low) / TICKS_PER_DAY);
  // days * TICKS_PER_DAY exceeds 2^53, so the subtraction is made in two halves of the multiple.
  const unit = TICKS_PER_DAY / 2 ** 15;
  const product = days * unit;
  const productHigh = Math.floor(product / 2 ** 17);
  const productLow = (product % 2 ** 17) * 2 ** 15;
  let rest = (high - productHigh) * TWO_32 + (low - productLow);
  if (rest < 0) {
    days--;
    rest += TICKS_PER_DAY;
  } else if (rest >= TICKS_PER_DAY) {
    days++;
    rest -= TICKS_PER_DAY;
  }
  return { days, rest };
}

/** Appends the civil date of a day counted from 1970-01-01, proleptic Gregorian. */
function appendIsoDate(out: ByteWriter, unixDay: number): void {
  // Years are counted from March, so that the leap day is the last one; 146097 days are 400 years.
  const shifted = unixDay + 719_468;
  const era = Math.floor(shifted / 146_097);
  const dayOfEra = shifted - era * 146_097;
  const yearOfEra = Math.floor(
    (dayOfEra -
      Math.floor(dayOfEra / 1460) +
      Math.floor(dayOfEra / 36_524) -
      Math.floor(dayOfEra / 146_096)) /
      365,
  );
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100));
  const monthFromMarch = Math.floor((5 * dayOfYear + 2) / 153);
  const day = dayOfYear - Math.floor((153 * monthFromMarch + 2) / 5) + 1;
  const month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9;
  appendInteger(out, yearOfEra + era * 400 + (month <= 2 ? 1 : 0), 4);
  appendByte(out, HYPHEN);
  appendInteger(out, month, 2);
  appendByte(out, HYPHEN);
  appendInteger(out, day, 2);
}

function appendTime(out: ByteWriter, secondOfDay: number): void {
  appendByte(out, LETTER_T);
  appendInteger(out, Math.floor(secondOfDay / 3600), 2);
  appendByte(out, COLON);
  appendInteger(out, Math.floor(secondOfDay / 60) % 60, 2);
  appendByte(out, COLON);
  appendInteger(out, secondOfDay % 60, 2);
}

const doubleBytes = new Uint8Array(8);
const doubleView = new DataView(doubleBytes.buffer);

/** The binary64 at `start`. */
export function readDouble(bytes: Uint8Array, start: number): number {
  for (let i = 0; i < 8; i++) doubleBytes[i] = bytes[start + i] ?? 0;
  return doubleView.getFloat64(0, true);
}

/** The binary32 at `start`. */
export function readSingle(bytes: Uint8Array, start: number): number {
  for (let i = 0; i < 4; i++) doubleBytes[i] = bytes[start + i] ?? 0;
  return doubleView.getFloat32(0, true);
}

function u32(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] ?? 0) |
      ((bytes[at + 1] ?? 0) << 8) |
      ((bytes[at + 2] ?? 0) << 16) |
      ((bytes[at + 3] ?? 0) << 24)) >>>
    0
  );
}
