/**
 * The canonical form of column values: JSON in ASCII that is the same for the same stored bytes, so that
 * rows can be compared as lines and hashed (format specification, chapter 3, "Reference canonical form").
 *
 * | type | form |
 * |---|---|
 * | Bit | `true`, `false` |
 * | integers of up to 32 bits | number |
 * | Currency, LongLong, UnsignedLongLong | `"decimal"` |
 * | IEEESingle, IEEEDouble, DateTime | `"f32:…"`, `"f64:…"`, `"dt:…"`: the bits in hexadecimal |
 * | GUID | `"8-4-4-4-12"` |
 * | Binary, LongBinary | `"hexadecimal"` |
 * | Text, LongText | `"text"`, or `{"hex":"…"}` where the bytes are no text of the code page |
 * | unreadable | `{"error":"JET_err…"}` |
 */
import {
  appendAscii,
  appendHex,
  appendHexReversed,
  appendInteger,
  appendInteger64,
  type ByteWriter,
  reserve,
} from './byte-writer.js';
import { CODE_PAGE_UNICODE, COLTYP, coltypName, coltypSize } from './column.js';
import { EseError } from './ese-error.js';
import { GUID_BYTES, GUID_TEXT_BYTES, GUID_TEXT_ORDER, hyphenBefore } from './guid.js';
import { decodeOther, effectiveCodePage, isDecodable, singleByteUnits } from './text.js';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const LETTER_U = 0x75;
const HYPHEN = 0x2d;
const SPACE = 0x20;
const TILDE = 0x7e;
const MOST_BYTES_PER_UNIT = 6;
const PIECE_BYTES = 64 * 1024;

/** The letters of JSON's two-character escapes, by control character. */
const SHORT_ESCAPES = new Uint8Array(SPACE);
for (const [control, letter] of [
  [0x08, 'b'],
  [0x09, 't'],
  [0x0a, 'n'],
  [0x0c, 'f'],
  [0x0d, 'r'],
] as const) {
  SHORT_ESCAPES[control] = letter.charCodeAt(0);
}

const HEX_DIGITS = Uint8Array.from('0123456789abcdef', (digit) => digit.charCodeAt(0));

/**
 * Throws JET_errDatabaseCorrupted if a value has not the size of its type; types of any size pass.
 */
export function checkValueSize(coltyp: number, size: number): void {
  const expected = coltypSize(coltyp);
  if (expected !== 0 && size !== expected) {
    throw new EseError('JET_errDatabaseCorrupted', `a ${coltypName(coltyp)} value of ${size} bytes`);
  }
}

/**
 * Appends the canonical form of the value `bytes[start..end)`, which is plain: neither compressed nor the
 * id of a long value.
 *
 * @throws EseError JET_errDatabaseCorrupted if the value has not the size of its type; nothing is
 *   appended then.
 */
export function appendCanonicalValue(
  out: ByteWriter,
  coltyp: number,
  codePage: number,
  bytes: Uint8Array,
  start: number,
  end: number,
): void {
  checkValueSize(coltyp, end - start);
  switch (coltyp) {
    case COLTYP.ieeeSingle:
      appendBits(out, '"f32:', bytes, start, end);
      break;
    case COLTYP.ieeeDouble:
      appendBits(out, '"f64:', bytes, start, end);
      break;
    case COLTYP.dateTime:
      appendBits(out, '"dt:', bytes, start, end);
      break;
    case COLTYP.text:
    case COLTYP.longText:
      if (isDecodable(bytes, start, end, codePage)) {
        appendJsonText(out, codePage, bytes, start, end);
      } else {
        appendAscii(out, '{"hex":"');
        appendHex(out, bytes, start, end);
        appendAscii(out, '"}');
      }
      break;
    default:
      appendPlainJson(out, coltyp, bytes, start, end);
  }
}

/** Appends the canonical form of a value that cannot be read. */
export function appendCanonicalError(out: ByteWriter, error: EseError): void {
  appendAscii(out, `{"error":"${error.name}"}`);
}

/**
 * Appends a value of those types that every JSON form writes alike: bits, integers, GUIDs, and bytes in
 * hexadecimal for all others. 64-bit integers are strings, as they exceed what JSON numbers keep exactly.
 * The size has been checked.
 */
export function appendPlainJson(
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
      appendNumber(out, coltyp, bytes, start);
      break;
    case COLTYP.currency:
    case COLTYP.longLong:
    case COLTYP.unsignedLongLong:
      appendQuote(out);
      appendNumber(out, coltyp, bytes, start);
      appendQuote(out);
      break;
    case COLTYP.guid:
      appendQuote(out);
      appendGuid(out, bytes, start);
      appendQuote(out);
      break;
    default:
      appendQuote(out);
      appendHex(out, bytes, start, end);
      appendQuote(out);
  }
}

/** Appends a bit as `true` or `false`, an integer in decimal. The size has been checked. */
export function appendNumber(out: ByteWriter, coltyp: number, bytes: Uint8Array, start: number): void {
  switch (coltyp) {
    case COLTYP.bit:
      appendAscii(out, (bytes[start] ?? 0) === 0 ? 'false' : 'true');
      break;
    case COLTYP.unsignedByte:
      appendInteger(out, bytes[start] ?? 0);
      break;
    case COLTYP.short:
      appendInteger(out, (u16(bytes, start) << 16) >> 16);
      break;
    case COLTYP.unsignedShort:
      appendInteger(out, u16(bytes, start));
      break;
    case COLTYP.long:
      appendInteger(out, u32(bytes, start) | 0);
      break;
    case COLTYP.unsignedLong:
      appendInteger(out, u32(bytes, start));
      break;
    default:
      appendInteger64(out, u32(bytes, start + 4), u32(bytes, start), coltyp !== COLTYP.unsignedLongLong);
  }
}

/** Appends a GUID in lower case, 8-4-4-4-12, without quotes. */
export function appendGuid(out: ByteWriter, bytes: Uint8Array, start: number): void {
  reserve(out, GUID_TEXT_BYTES);
  const to = out.bytes;
  let at = out.length;
  for (let i = 0; i < GUID_BYTES; i++) {
    if (hyphenBefore(i)) to[at++] = HYPHEN;
    const byte = bytes[start + (GUID_TEXT_ORDER[i] ?? 0)] ?? 0;
    to[at++] = HEX_DIGITS[byte >> 4] ?? 0;
    to[at++] = HEX_DIGITS[byte & 15] ?? 0;
  }
  out.length = at;
}

export function appendQuote(out: ByteWriter): void {
  reserve(out, 1);
  out.bytes[out.length] = QUOTE;
  out.length++;
}

function appendBits(out: ByteWriter, prefix: string, bytes: Uint8Array, start: number, end: number): void {
  appendAscii(out, prefix);
  appendHexReversed(out, bytes, start, end);
  appendQuote(out);
}

/** Appends text as a JSON string in ASCII: all else is escaped, unpaired surrogates too. */
function appendJsonText(
  out: ByteWriter,
  codePage: number,
  bytes: Uint8Array,
  start: number,
  end: number,
): void {
  appendQuote(out);
  const units = singleByteUnits(codePage);
  if (units === undefined && effectiveCodePage(codePage) !== CODE_PAGE_UNICODE) {
    appendJsonString(out, decodeOther(bytes, start, end, codePage) ?? '');
  } else {
    // Piece by piece, since most of the room that escapes might need is not needed.
    for (let piece = start; piece < end; piece += PIECE_BYTES) {
      const pieceEnd = Math.min(end, piece + PIECE_BYTES);
      reserve(out, MOST_BYTES_PER_UNIT * (pieceEnd - piece));
      if (units === undefined) {
        for (let at = piece; at < pieceEnd; at += 2) appendUnit(out, u16(bytes, at));
      } else {
        for (let at = piece; at < pieceEnd; at++) appendUnit(out, units[bytes[at] ?? 0] ?? 0);
      }
    }
  }
  appendQuote(out);
}

/** Appends the inside of a JSON string in ASCII. */
export function appendJsonString(out: ByteWriter, text: string): void {
  reserve(out, MOST_BYTES_PER_UNIT * text.length);
  for (let i = 0; i < text.length; i++) appendUnit(out, text.charCodeAt(i));
}

/** Appends one UTF-16 unit; room for it has been reserved. */
function appendUnit(out: ByteWriter, unit: number): void {
  const bytes = out.bytes;
  let at = out.length;
  if (unit >= SPACE && unit <= TILDE) {
    if (unit === QUOTE || unit === BACKSLASH) {
      bytes[at] = BACKSLASH;
      at++;
    }
    bytes[at] = unit;
    at++;
  } else {
    bytes[at] = BACKSLASH;
    const letter = unit < SPACE ? (SHORT_ESCAPES[unit] ?? 0) : 0;
    if (letter !== 0) {
      bytes[at + 1] = letter;
      at += 2;
    } else {
      bytes[at + 1] = LETTER_U;
      bytes[at + 2] = HEX_DIGITS[unit >> 12] ?? 0;
      bytes[at + 3] = HEX_DIGITS[(unit >> 8) & 15] ?? 0;
      bytes[at + 4] = HEX_DIGITS[(unit >> 4) & 15] ?? 0;
      bytes[at + 5] = HEX_DIGITS[unit & 15] ?? 0;
      at += MOST_BYTES_PER_UNIT;
    }
  }
  out.length = at;
}

function u16(bytes: Uint8Array, at: number): number {
  return (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8);
}

function u32(bytes: Uint8Array, at: number): number {
  return (u16(bytes, at) | (u16(bytes, at + 2) << 16)) >>> 0;
}
