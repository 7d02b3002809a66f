/**
 * Column values for people and their programs, as `jsonl` and `csv` export them (format specification,
 * chapter 3.5). Unlike the canonical form they give dates as ISO 8601, floating-point numbers in decimal,
 * and text in UTF-8.
 *
 * | type | jsonl | csv |
 * |---|---|---|
 * | Bit, integers | as canonical: 64 bits are strings | the same without quotes |
 * | IEEESingle, IEEEDouble | shortest number that reads back the same; `"NaN"`, `"Infinity"` | the same without quotes |
 * | DateTime | `"2013-04-05T12:34:56.789"`, with `Z` for a FILETIME; `"dt:…"` if it is no date | the same without quotes |
 * | GUID, Binary | as canonical | the same without quotes |
 * | Text | string, untrimmed | always in quotes, without the NULs that end it |
 *
 * In csv a NULL is an empty field, an empty text is `""`.
 */
import {
  appendAscii,
  appendByte,
  appendHex,
  appendHexReversed,
  type ByteWriter,
  reserve,
} from './byte-writer.js';
import {
  appendGuid,
  appendJsonString,
  appendNumber,
  appendPlainJson,
  appendQuote,
  checkValueSize,
} from './canonical-value.js';
import { CODE_PAGE_UNICODE, COLTYP } from './column.js';
import { appendDateTime, readDouble, readSingle } from './date-time.js';
import { decodeOther, effectiveCodePage, singleByteUnits } from './text.js';

export type DisplayStyle = 'jsonl' | 'csv';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const SPACE = 0x20;
const DELETE = 0x7f;
const SURROGATE_LEAST = 0xd800;
const SURROGATE_LOW_LEAST = 0xdc00;
const SURROGATE_MOST = 0xdfff;
const REPLACEMENT_CHARACTER = 0xfffd;
/** csv readers stop at a NUL; inside a text it is shown by its symbol. */
const SYMBOL_FOR_NULL = 0x2400;

/**
 * Appends the value `bytes[start..end)`, which is plain.
 *
 * @throws EseError JET_errDatabaseCorrupted if the value has not the size of its type; nothing is
 *   appended then.
 */
export function appendDisplayValue(
  out: ByteWriter,
  style: DisplayStyle,
  coltyp: number,
  codePage: number,
  bytes: Uint8Array,
  start: number,
  end: number,
): void {
  checkValueSize(coltyp, end - start);
  const isCsv = style === 'csv';
  switch (coltyp) {
    case COLTYP.text:
    case COLTYP.longText:
      appendText(out, isCsv, codePage, bytes, start, end);
      break;
    case COLTYP.ieeeSingle:
      appendFloat(out, isCsv, shortestSingle(readSingle(bytes, start)));
      break;
    case COLTYP.ieeeDouble:
      appendFloat(out, isCsv, String(readDouble(bytes, start)));
      break;
    case COLTYP.dateTime:
      if (!isCsv) appendQuote(out);
      if (!appendDateTime(out, bytes, start)) {
        appendAscii(out, 'dt:');
        appendHexReversed(out, bytes, start, end);
      }
      if (!isCsv) appendQuote(out);
      break;
    default:
      if (isCsv) appendPlainCsv(out, coltyp, bytes, start, end);
      else appendPlainJson(out, coltyp, bytes, start, end);
  }
}

function appendPlainCsv(
  out: ByteWriter,
  coltyp: number,
  bytes: Uint8Array,
  start: number,
  end: number,
): void {
  switch (coltyp) {
    case COLTYP.bit:
    case COLTYP.unsignedByte:
    case COLTYP.short:
    case COLTYP.unsignedShort:
    case COLTYP.long:
    case COLTYP.unsignedLong:
    case COLTYP.currency:
    case COLTYP.longLong:
    case COLTYP.unsignedLongLong:
      appendNumber(out, coltyp, bytes, start);
      break;
    case COLTYP.guid:
      appendGuid(out, bytes, start);
      break;
    default:
      appendHex(out, bytes, start, end);
  }
}

function appendFloat(out: ByteWriter, isCsv: boolean, text: string): void {
  const isNumber = text !== 'NaN' && !text.endsWith('Infinity');
  appendAscii(out, isNumber || isCsv ? text : `"${text}"`);
}

/** The shortest decimal that reads back as the same binary32. */
function shortestSingle(value: number): string {
  for (let digits = 6; digits < 9; digits++) {
    const rounded = Number(value.toPrecision(digits));
    if (Math.fround(rounded) === value) return String(rounded);
  }
  return String(value);
}

function appendText(
  out: ByteWriter,
  isCsv: boolean,
  codePage: number,
  bytes: Uint8Array,
  start: number,
  end: number,
): void {
  appendQuote(out);
  const units = singleByteUnits(codePage);
  if (units !== undefined) {
    let last = end;
    while (isCsv && last > start && bytes[last - 1] === 0) last--;
    for (let at = start; at < last; at++) appendUnit(out, isCsv, units[bytes[at] ?? 0] ?? 0);
  } else if (effectiveCodePage(codePage) === CODE_PAGE_UNICODE) {
    appendUnicode(out, isCsv, bytes, start, end);
  } else {
    appendDecoded(out, isCsv, decodeOther(bytes, start, end, codePage), bytes, start, end);
  }
  appendQuote(out);
}

function appendUnicode(out: ByteWriter, isCsv: boolean, bytes: Uint8Array, start: number, end: number): void {
  let last = end;
  while (isCsv && last - start >= 2 && bytes[last - 1] === 0 && bytes[last - 2] === 0) last -= 2;
  for (let at = start; at < last; at += 2) {
    // Half a unit at the end of a fixed column is completed by 00.
    const unit = (bytes[at] ?? 0) | (at + 1 < last ? (bytes[at + 1] ?? 0) << 8 : 0);
    if (unit < SURROGATE_LEAST || unit > SURROGATE_MOST) {
      appendUnit(out, isCsv, unit);
      continue;
    }
    const next = at + 4 <= last ? (bytes[at + 2] ?? 0) | ((bytes[at + 3] ?? 0) << 8) : 0;
    if (unit < SURROGATE_LOW_LEAST && next >= SURROGATE_LOW_LEAST && next <= SURROGATE_MOST) {
      appendUtf8(out, 0x10000 + ((unit - SURROGATE_LEAST) << 10) + (next - SURROGATE_LOW_LEAST));
      at += 2;
    } else if (isCsv) {
      appendUtf8(out, REPLACEMENT_CHARACTER);
    } else {
      appendJsonString(out, String.fromCharCode(unit));
    }
  }
}

/** Text of a code page that the platform decodes, or the bytes in hexadecimal if it cannot. */
function appendDecoded(
  out: ByteWriter,
  isCsv: boolean,
  text: string | undefined,
  bytes: Uint8Array,
  start: number,
  end: number,
): void {
  if (text === undefined) {
    appendHex(out, bytes, start, end);
    return;
  }
  const shown = isCsv ? text.replace(/\0+$/, '') : text;
  for (const character of shown) {
    const codePoint = character.codePointAt(0) ?? 0;
    if (codePoint <= 0xffff) appendUnit(out, isCsv, codePoint);
    else appendUtf8(out, codePoint);
  }
}

/** Appends one code unit that is no surrogate. */
function appendUnit(out: ByteWriter, isCsv: boolean, unit: number): void {
  if (unit >= SPACE && unit < DELETE && unit !== QUOTE && unit !== BACKSLASH) {
    appendByte(out, unit);
  } else if (isCsv) {
    if (unit === QUOTE) appendByte(out, QUOTE);
    appendUtf8(out, unit === 0 ? SYMBOL_FOR_NULL : unit);
  } else if (unit < SPACE || unit === QUOTE || unit === BACKSLASH) {
    appendJsonString(out, String.fromCharCode(unit));
  } else {
    appendUtf8(out, unit);
  }
}

function appendUtf8(out: ByteWriter, codePoint: number): void {
  reserve(out, 4);
  const bytes = out.bytes;
  const at = out.length;
  if (codePoint < 0x80) {
    bytes[at] = codePoint;
    out.length += 1;
  } else if (codePoint < 0x800) {
    bytes[at] = 0xc0 | (codePoint >> 6);
    bytes[at + 1] = 0x80 | (codePoint & 63);
    out.length += 2;
  } else if (codePoint < 0x10000) {
    bytes[at] = 0xe0 | (codePoint >> 12);
    bytes[at + 1] = 0x80 | ((codePoint >> 6) & 63);
    bytes[at + 2] = 0x80 | (codePoint & 63);
    out.length += 3;
  } else {
    bytes[at] = 0xf0 | (codePoint >> 18);
    bytes[at + 1] = 0x80 | ((codePoint >> 12) & 63);
    bytes[at + 2] = 0x80 | ((codePoint >> 6) & 63);
    bytes[at + 3] = 0x80 | (codePoint & 63);
    out.length += 4;
  }
}
