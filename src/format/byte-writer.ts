import { constants } from 'node:buffer';
import { EseError } from './ese-error.js';

/**
 * A growing buffer that output is appended to. The hot loops of export write into `bytes` directly after
 * {@link reserve}; nothing is allocated while the buffer is large enough.
 */
export interface ByteWriter {
  bytes: Uint8Array;
  /** Number of bytes written so far. */
  length: number;
}

const LOOP_BYTES = 48;

export function createByteWriter(capacity: number): ByteWriter {
  return { bytes: new Uint8Array(Math.max(64, capacity)), length: 0 };
}

/**
 * Makes room for `count` more bytes.
 *
 * @throws EseError JET_errOutOfMemory if the platform cannot give so much.
 */
export function reserve(writer: ByteWriter, count: number): void {
  const needed = writer.length + count;
  if (needed > writer.bytes.length) grow(writer, needed);
}

function grow(writer: ByteWriter, needed: number): void {
  let grown: Uint8Array;
  try {
    grown = new Uint8Array(Math.max(needed, Math.min(2 * writer.bytes.length, constants.MAX_LENGTH)));
  } catch {
    throw new EseError('JET_errOutOfMemory', `a value or row needs ${needed} bytes of memory`);
  }
  grown.set(writer.bytes.subarray(0, writer.length));
  writer.bytes = grown;
}

export function appendByte(writer: ByteWriter, byte: number): void {
  reserve(writer, 1);
  writer.bytes[writer.length] = byte;
  writer.length += 1;
}

export function appendBytes(writer: ByteWriter, source: Uint8Array): void {
  const count = source.length;
  reserve(writer, count);
  const { bytes, length } = writer;
  // Below this size the loop is faster than the call.
  if (count < LOOP_BYTES) for (let i = 0; i < count; i++) bytes[length + i] = source[i] ?? 0;
  else bytes.set(source, length);
  writer.length = length + count;
}

/** Appends a string of characters below U+0080. */
export function appendAscii(writer: ByteWriter, text: string): void {
  reserve(writer, text.length);
  const bytes = writer.bytes;
  let at = writer.length;
  for (let i = 0; i < text.length; i += 1) {
    bytes[at] = text.charCodeAt(i);
    at += 1;
  }
  writer.length = at;
}

const HEX_DIGITS = Uint8Array.from('0123456789abcdef', (digit) => digit.charCodeAt(0));
const ZERO = 0x30;
const MINUS = 0x2d;
const INT_32_MOST = 0x7fffffff;

export function appendHex(writer: ByteWriter, source: Uint8Array, start: number, end: number): void {
  reserve(writer, 2 * (end - start));
  const bytes = writer.bytes;
  let at = writer.length;
  for (let i = start; i < end; i++) {
    const byte = source[i] ?? 0;
    bytes[at] = HEX_DIGITS[byte >> 4] ?? 0;
    bytes[at + 1] = HEX_DIGITS[byte & 15] ?? 0;
    at += 2;
  }
  writer.length = at;
}

/** Appends bytes in hexadecimal from the last to the first: a little-endian number as people write it. */
export function appendHexReversed(writer: ByteWriter, source: Uint8Array, start: number, end: number): void {
  reserve(writer, 2 * (end - start));
  const bytes = writer.bytes;
  let at = writer.length;
  for (let i = end - 1; i >= start; i--) {
    const byte = source[i] ?? 0;
    bytes[at] = HEX_DIGITS[byte >> 4] ?? 0;
    bytes[at + 1] = HEX_DIGITS[byte & 15] ?? 0;
    at += 2;
  }
  writer.length = at;
}

/** Appends an integer of at most 53 bits, with at least `digits` digits. */
export function appendInteger(writer: ByteWriter, value: number, digits = 1): void {
  reserve(writer, 20 + digits);
  const bytes = writer.bytes;
  let at = writer.length;
  let rest = value;
  if (rest < 0) {
    bytes[at++] = MINUS;
    rest = -rest;
  }
  let count = 1;
  for (let power = 10; power <= rest; power *= 10) count++;
  const end = at + Math.max(count, digits);
  let to = end - 1;
  for (; rest > INT_32_MOST; to--) {
    const next = Math.floor(rest / 10);
    bytes[to] = ZERO + (rest - 10 * next);
    rest = next;
  }
  for (let small = rest | 0; to >= at; to--) {
    const next = (small / 10) | 0;
    bytes[to] = ZERO + (small - 10 * next);
    small = next;
  }
  writer.length = end;
}

const TWO_32 = 2 ** 32;
/** Largest high half of a 64-bit number that stays exact as a double. */
const EXACT_HIGH_LIMIT = 2 ** 21;

/** Appends the decimal form of a 64-bit number given as two unsigned 32-bit halves. */
export function appendInteger64(writer: ByteWriter, high: number, low: number, signed: boolean): void {
  let upper = high;
  let lower = low;
  if (signed && upper >= 0x80000000) {
    reserve(writer, 1);
    writer.bytes[writer.length] = MINUS;
    writer.length++;
    lower = (TWO_32 - lower) % TWO_32;
    upper = (TWO_32 - upper - (lower === 0 ? 0 : 1)) % TWO_32;
  }
  if (upper < EXACT_HIGH_LIMIT) {
    appendInteger(writer, upper * TWO_32 + lower);
    return;
  }
  // One step of long division by 10^6; every intermediate stays below 2^53.
  const base = 1e6;
  const upperQuotient = Math.floor(upper / base);
  const rest = (upper - upperQuotient * base) * TWO_32 + lower;
  const lowerQuotient = Math.floor(rest / base);
  appendInteger(writer, upperQuotient * TWO_32 + lowerQuotient);
  appendInteger(writer, rest - lowerQuotient * base, 6);
}
