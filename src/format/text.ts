/**
 * Text values: code pages 1252 and 1200 (UTF-16LE), which are all that an engine writes, 20127 (ASCII),
 * and whatever other code pages the platform's decoder knows (format specification, chapter 3.5).
 */
import { TextDecoder } from 'node:util';
import { CODE_PAGE_1252, CODE_PAGE_ASCII, CODE_PAGE_UNICODE } from './column.js';

/** Code units of the bytes 80..9F in Windows-1252; the five undefined bytes map to the C1 control itself. */
const CP1252_UPPER = Uint16Array.from(
  '€\u0081‚ƒ„…†‡ˆ‰Š‹Œ\u008dŽ\u008f\u0090‘’“”•–—˜™š›œ\u009džŸ',
  (character) => character.charCodeAt(0),
);

const REPLACEMENT_CHARACTER = 0xfffd;

/** Names under which the platform's decoder knows code pages other than the three above. */
const DECODER_LABELS: ReadonlyMap<number, string> = new Map([
  [866, 'ibm866'],
  [874, 'windows-874'],
  [932, 'shift_jis'],
  [936, 'gbk'],
  [949, 'euc-kr'],
  [950, 'big5'],
  [1250, 'windows-1250'],
  [1251, 'windows-1251'],
  [1253, 'windows-1253'],
  [1254, 'windows-1254'],
  [1255, 'windows-1255'],
  [1256, 'windows-1256'],
  [1257, 'windows-1257'],
  [1258, 'windows-1258'],
  [20866, 'koi8-r'],
  [21866, 'koi8-u'],
  [65001, 'utf-8'],
]);

const decoders = new Map<number, TextDecoder>();

function otherDecoder(codePage: number): TextDecoder | undefined {
  const known = decoders.get(codePage);
  if (known !== undefined) {
    return known;
  }
  const label = DECODER_LABELS.get(codePage);
  if (label === undefined) {
    return undefined;
  }
  const decoder = new TextDecoder(label, { fatal: true, ignoreBOM: true });
  decoders.set(codePage, decoder);
  return decoder;
}

function unitTable(upper: (byte: number) => number): Uint16Array {
  const table = new Uint16Array(256);
  for (let byte = 0; byte < 256; byte += 1) {
    table[byte] = byte < 0x80 ? byte : upper(byte);
  }
  return table;
}

const CP1252_UNITS = unitTable((byte) => (byte < 0xa0 ? (CP1252_UPPER[byte - 0x80] ?? byte) : byte));
const ASCII_UNITS = unitTable(() => REPLACEMENT_CHARACTER);

/** A text column without a code page is ANSI text (chapter 3.1.3: 1252 is the default for 0). */
export function effectiveCodePage(codePage: number): number {
  return codePage === 0 ? CODE_PAGE_1252 : codePage;
}

/** The UTF-16 code unit of each byte, for the single-byte code pages 1252 and 20127; else undefined. */
export function singleByteUnits(codePage: number): Uint16Array | undefined {
  switch (effectiveCodePage(codePage)) {
    case CODE_PAGE_1252:
      return CP1252_UNITS;
    case CODE_PAGE_ASCII:
      return ASCII_UNITS;
    default:
      return undefined;
  }
}

/**
 * Whether `bytes[start..end)` is text of its code page: not for the bytes that Windows-1252 leaves
 * undefined, bytes from 80 on in ASCII, half a unit at the end of UTF-16, or an unknown code page.
 * Unpaired surrogates are accepted: applications store them.
 */
export function isDecodable(bytes: Uint8Array, start: number, end: number, codePage: number): boolean {
  switch (effectiveCodePage(codePage)) {
    case CODE_PAGE_UNICODE:
      return (end - start) % 2 === 0;
    case CODE_PAGE_1252:
      for (let at = start; at < end; at += 1) {
        const byte = bytes[at] ?? 0;
        if (byte >= 0x80 && byte < 0xa0 && CP1252_UPPER[byte - 0x80] === byte) {
          return false;
        }
      }
      return true;
    case CODE_PAGE_ASCII:
      for (let at = start; at < end; at += 1) {
        if ((bytes[at] ?? 0) >= 0x80) {
          return false;
        }
      }
      return true;
    default:
      return decodeOther(bytes, start, end, codePage) !== undefined;
  }
}

/** Text of a code page that only the platform's decoder knows; undefined if it cannot decode the bytes. */
export function decodeOther(
  bytes: Uint8Array,
  start: number,
  end: number,
  codePage: number,
): string | undefined {
  const decoder = otherDecoder(codePage);
  if (decoder === undefined) {
    return undefined;
  }
  try {
    return decoder.decode(bytes.subarray(start, end));
  } catch {
    return undefined;
  }
}

/**
 * The text of `bytes[start..end)` for display: nothing is trimmed, undefined bytes of Windows-1252 become
 * the C1 controls, half a UTF-16 unit is completed by 00, and bytes of an unknown code page read as 1252.
 */
export function decodeText(bytes: Uint8Array, start: number, end: number, codePage: number): string {
  if (effectiveCodePage(codePage) === CODE_PAGE_UNICODE) {
    const whole = Buffer.from(bytes.buffer, bytes.byteOffset + start, (end - start) & ~1).toString('utf16le');
    return (end - start) % 2 === 0 ? whole : whole + String.fromCharCode(bytes[end - 1] ?? 0);
  }
  const units = singleByteUnits(codePage);
  if (units === undefined) {
    return decodeOther(bytes, start, end, codePage) ?? decodeText(bytes, start, end, CODE_PAGE_1252);
  }
  let isAscii = true;
  for (let at = start; at < end && isAscii; at++) isAscii = (bytes[at] ?? 0) < 0x80;
  if (isAscii) return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('latin1');
  let text = '';
  for (let at = start; at < end; at++) text += String.fromCharCode(units[bytes[at] ?? 0] ?? 0);
  return text;
}

const utf8 = new TextEncoder();
const ascii = new Uint8Array(1024);

/** Bytes of code units, for the single-byte code pages. */
const singleByteTables = new Map<Uint16Array, Map<number, number>>();

/**
 * Text as bytes of a single-byte code page (1252 or 20127); undefined if a character has no place in it, or
 * the code page is another one.
 */
export function encodeSingleByteText(text: string, codePage: number): Uint8Array | undefined {
  const units = singleByteUnits(codePage);
  if (units === undefined) return undefined;
  if (text.length <= ascii.length) {
    // In UTF-8 only ASCII takes one byte a character.
    const { read, written } = utf8.encodeInto(text, ascii);
    if (read === text.length && written === text.length) return ascii.slice(0, written);
  }
  let table = singleByteTables.get(units);
  if (table === undefined) {
    table = new Map();
    for (let byte = 0xff; byte >= 0; byte--) table.set(units[byte] ?? 0, byte);
    if (units === ASCII_UNITS) table.delete(REPLACEMENT_CHARACTER);
    singleByteTables.set(units, table);
  }
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) {
    const byte = table.get(text.charCodeAt(i));
    if (byte === undefined) return undefined;
    bytes[i] = byte;
  }
  return bytes;
}
