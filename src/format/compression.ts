/**
 * Compressed column values and long-value chunks (format specification, chapter 3.3.3).
 *
 * The high five bits of the first byte name the scheme:
 *
 * | scheme | first byte | further header                       | body                                |
 * |-------:|------------|--------------------------------------|-------------------------------------|
 * | 1      | 08..0F     |                                      | 7-bit units, each a byte            |
 * | 2      | 10..17     |                                      | 7-bit units, each a UTF-16 unit     |
 * | 3      | 18         | u16 plain size                       | XPRESS (plain LZ77)                 |
 * | 4      | 20         |                                      | one repeated fill byte: scrubbed    |
 * | 5      | 28         | u32 CRC-32C                          | XPRESS9                             |
 * | 6      | 30         | u16 plain size, u32 CRC-32C, u64 CRC | XPRESS10                            |
 * | 7      | 38         | u16 plain size                       | LZ4 block                           |
 */
import { EseError } from './ese-error.js';

const COMPRESSION_SCHEME = {
  sevenBitAscii: 1,
  sevenBitUnicode: 2,
  xpress: 3,
  scrub: 4,
  xpress9: 5,
  xpress10: 6,
  lz4: 7,
} as const;

const SCHEME_SHIFT = 3;
const SCHEME_PARAMETER_MASK = 0x07;
/** Header of schemes 3 and 7: the scheme byte and the plain size. */
const SIZED_HEADER_BYTES = 3;

/** XPRESS: a length code of 7 continues in a nibble, 15 there in a byte, 255 there in a u16. */
const XPRESS_LENGTH_BITS = 3;
const XPRESS_LENGTH_CONTINUES = 7;
const XPRESS_NIBBLE_CONTINUES = 15;
const XPRESS_BYTE_CONTINUES = 255;
const XPRESS_MATCH_LENGTH_MIN = 3;
/** The 16-bit form carries the whole length less the minimum, and is used only when the shorter forms end. */
const XPRESS_U16_LENGTH_LEAST = XPRESS_BYTE_CONTINUES + XPRESS_NIBBLE_CONTINUES + XPRESS_LENGTH_CONTINUES;

const LZ4_LENGTH_CONTINUES = 15;
const LZ4_MATCH_LENGTH_MIN = 4;

function corrupt(detail: string): EseError {
  return new EseError('JET_errDecompressionFailed', detail);
}

/** The scheme number in a compressed value's first byte, 0 for an empty value. */
function compressionScheme(bytes: Uint8Array, start: number, end: number): number {
  return start < end ? (bytes[start] ?? 0) >> SCHEME_SHIFT : 0;
}

/** What can be made of a compressed value, by its first byte: not every scheme can be undone here. */
export function compressionSupport(firstByte: number): 'readable' | 'unsupported' | 'scrubbed' | 'unknown' {
  switch (firstByte >> SCHEME_SHIFT) {
    case COMPRESSION_SCHEME.sevenBitAscii:
    case COMPRESSION_SCHEME.sevenBitUnicode:
    case COMPRESSION_SCHEME.xpress:
    case COMPRESSION_SCHEME.lz4:
      return 'readable';
    case COMPRESSION_SCHEME.xpress9:
    case COMPRESSION_SCHEME.xpress10:
      return 'unsupported';
    case COMPRESSION_SCHEME.scrub:
      return 'scrubbed';
    default:
      return 'unknown';
  }
}

/**
 * Size in bytes of the plain form of `bytes[start..end)`; nothing is decompressed.
 *
 * @throws EseError JET_errDecompressionFailed for a value that is too short, of no known scheme,
 *   scrubbed, or of a scheme whose header does not say (XPRESS9).
 */
export function decompressedSize(bytes: Uint8Array, start: number, end: number): number {
  const scheme = compressionScheme(bytes, start, end);
  switch (scheme) {
    case COMPRESSION_SCHEME.sevenBitAscii:
      return sevenBitUnits(bytes, start, end);
    case COMPRESSION_SCHEME.sevenBitUnicode:
      return 2 * sevenBitUnits(bytes, start, end);
    case COMPRESSION_SCHEME.xpress:
    case COMPRESSION_SCHEME.lz4:
    case COMPRESSION_SCHEME.xpress10:
      if (end - start < SIZED_HEADER_BYTES) {
        throw corrupt(`compressed value of ${end - start} bytes has no size`);
      }
      return (bytes[start + 1] ?? 0) | ((bytes[start + 2] ?? 0) << 8);
    case COMPRESSION_SCHEME.scrub:
      throw corrupt('the value was scrubbed');
    case COMPRESSION_SCHEME.xpress9:
      throw corrupt('XPRESS9 compression is not supported');
    default:
      throw corrupt(`compression scheme ${scheme} does not exist`);
  }
}

/**
 * Writes the plain form of `bytes[start..end)` into `out` from `outStart` on and returns the number of
 * bytes written, which is always {@link decompressedSize}.
 *
 * @throws EseError JET_errDecompressionFailed if the value is damaged, scrubbed, compressed by XPRESS9 or
 *   XPRESS10, or needs more room than `out` has.
 */
export function decompress(
  bytes: Uint8Array,
  start: number,
  end: number,
  out: Uint8Array,
  outStart: number,
): number {
  const size = decompressedSize(bytes, start, end);
  if (size > out.length - outStart) {
    throw corrupt(`plain size ${size} exceeds the ${out.length - outStart} bytes that are possible here`);
  }
  const scheme = compressionScheme(bytes, start, end);
  switch (scheme) {
    case COMPRESSION_SCHEME.sevenBitAscii:
      unpackSevenBit(bytes, start, out, outStart, size, 1);
      return size;
    case COMPRESSION_SCHEME.sevenBitUnicode:
      unpackSevenBit(bytes, start, out, outStart, size, 2);
      return size;
    case COMPRESSION_SCHEME.xpress:
      decodeXpress(bytes, start + SIZED_HEADER_BYTES, end, out, outStart, size);
      return size;
    case COMPRESSION_SCHEME.lz4:
      decodeLz4(bytes, start + SIZED_HEADER_BYTES, end, out, outStart, size);
      return size;
    default:
      throw corrupt('XPRESS10 compression is not supported');
  }
}

/** {@link decompress} into a buffer of its own. */
export function decompressToNew(bytes: Uint8Array, start: number, end: number): Uint8Array {
  const plain = new Uint8Array(decompressedSize(bytes, start, end));
  decompress(bytes, start, end, plain, 0);
  return plain;
}

function sevenBitUnits(bytes: Uint8Array, start: number, end: number): number {
  const length = end - start;
  if (length < 2) {
    throw corrupt('7-bit value without data');
  }
  const bitsInLastByte = ((bytes[start] ?? 0) & SCHEME_PARAMETER_MASK) + 1;
  return Math.floor(((length - 2) * 8 + bitsInLastByte) / 7);
}

function unpackSevenBit(
  bytes: Uint8Array,
  start: number,
  out: Uint8Array,
  outStart: number,
  size: number,
  bytesPerUnit: 1 | 2,
): void {
  let at = start + 1;
  let pending = 0;
  let pendingBits = 0;
  const outEnd = outStart + size;
  for (let to = outStart; to < outEnd; to += bytesPerUnit) {
    if (pendingBits < 7) {
      pending |= (bytes[at] ?? 0) << pendingBits;
      pendingBits += 8;
      at += 1;
    }
    out[to] = pending & 0x7f;
    if (bytesPerUnit === 2) {
      out[to + 1] = 0;
    }
    pending >>= 7;
    pendingBits -= 7;
  }
}

function decodeXpress(
  bytes: Uint8Array,
  start: number,
  end: number,
  out: Uint8Array,
  outStart: number,
  size: number,
): void {
  const outEnd = outStart + size;
  let at = start;
  let to = outStart;
  let tag = 0;
  let tagBits = 0;
  /** Position of the byte whose high half belongs to the next long match; -1 = none. */
  let halfUsed = -1;
  for (;;) {
    if (tagBits === 0) {
      if (end - at < 4) {
        // An encoder that leaves out the end mark has written everything by now.
        if (to === outEnd) {
          return;
        }
        throw corrupt('XPRESS data ends inside a tag word');
      }
      tag =
        (bytes[at] ?? 0) |
        ((bytes[at + 1] ?? 0) << 8) |
        ((bytes[at + 2] ?? 0) << 16) |
        ((bytes[at + 3] ?? 0) << 24);
      at += 4;
      tagBits = 32;
    }
    const isMatch = tag < 0;
    tag <<= 1;
    tagBits -= 1;
    if (to === outEnd) {
      return;
    }
    if (!isMatch) {
      if (at >= end) {
        throw corrupt('XPRESS data ends before a literal');
      }
      out[to] = bytes[at] ?? 0;
      at += 1;
      to += 1;
      continue;
    }
    if (end - at < 2) {
      throw corrupt('XPRESS data ends inside a match');
    }
    const match = (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8);
    at += 2;
    const distance = (match >> XPRESS_LENGTH_BITS) + 1;
    let length = match & XPRESS_LENGTH_CONTINUES;
    if (length === XPRESS_LENGTH_CONTINUES) {
      if (halfUsed >= 0) {
        length = (bytes[halfUsed] ?? 0) >> 4;
        halfUsed = -1;
      } else {
        if (at >= end) {
          throw corrupt('XPRESS data ends inside a match length');
        }
        halfUsed = at;
        length = (bytes[at] ?? 0) & 0x0f;
        at += 1;
      }
      if (length === XPRESS_NIBBLE_CONTINUES) {
        if (at >= end) {
          throw corrupt('XPRESS data ends inside a match length');
        }
        length = bytes[at] ?? 0;
        at += 1;
        if (length === XPRESS_BYTE_CONTINUES) {
          if (end - at < 2) {
            throw corrupt('XPRESS data ends inside a match length');
          }
          length = (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8);
          at += 2;
          if (length < XPRESS_U16_LENGTH_LEAST) {
            throw corrupt(`XPRESS match length ${length} in the 16-bit form is too small`);
          }
          length -= XPRESS_NIBBLE_CONTINUES + XPRESS_LENGTH_CONTINUES;
        }
        length += XPRESS_NIBBLE_CONTINUES;
      }
      length += XPRESS_LENGTH_CONTINUES;
    }
    length += XPRESS_MATCH_LENGTH_MIN;
    to = copyMatch(out, outStart, to, outEnd, distance, length);
  }
}

function decodeLz4(
  bytes: Uint8Array,
  start: number,
  end: number,
  out: Uint8Array,
  outStart: number,
  size: number,
): void {
  const outEnd = outStart + size;
  let at = start;
  let to = outStart;
  while (at < end) {
    const token = bytes[at] ?? 0;
    at += 1;
    let literals = token >> 4;
    if (literals === LZ4_LENGTH_CONTINUES) {
      let more = 255;
      while (more === 255) {
        if (at >= end) {
          throw corrupt('LZ4 data ends inside a literal length');
        }
        more = bytes[at] ?? 0;
        at += 1;
        literals += more;
      }
    }
    if (literals > end - at || literals > outEnd - to) {
      throw corrupt('LZ4 literals exceed the data');
    }
    for (let i = 0; i < literals; i += 1) {
      out[to + i] = bytes[at + i] ?? 0;
    }
    at += literals;
    to += literals;
    if (at === end) {
      break;
    }
    if (end - at < 2) {
      throw corrupt('LZ4 data ends inside a match');
    }
    const distance = (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8);
    at += 2;
    let length = token & 0x0f;
    if (length === LZ4_LENGTH_CONTINUES) {
      let more = 255;
      while (more === 255) {
        if (at >= end) {
          throw corrupt('LZ4 data ends inside a match length');
        }
        more = bytes[at] ?? 0;
        at += 1;
        length += more;
      }
    }
    to = copyMatch(out, outStart, to, outEnd, distance, length + LZ4_MATCH_LENGTH_MIN);
  }
  if (to !== outEnd) {
    throw corrupt(`LZ4 data gives ${to - outStart} bytes instead of ${size}`);
  }
}

/** Copies byte by byte, because source and destination may overlap; returns the new end. */
function copyMatch(
  out: Uint8Array,
  outStart: number,
  to: number,
  outEnd: number,
  distance: number,
  length: number,
): number {
  if (distance === 0 || distance > to - outStart) {
    throw corrupt(`match distance ${distance} reaches before the start of the value`);
  }
  if (length > outEnd - to) {
    throw corrupt('match exceeds the plain size');
  }
  const stop = to + length;
  for (let i = to; i < stop; i += 1) {
    out[i] = out[i - distance] ?? 0;
  }
  return stop;
}

/**
 * The 7-bit form of a value, or undefined where it would not be shorter or does not apply: 7-bit Unicode
 * if the value is UTF-16 text of code units below 0x80, else 7-bit ASCII if all bytes are below 0x80.
 * Every engine version reads both, so this is the compression for portable files.
 */
export function compressSevenBit(plain: Uint8Array): Uint8Array | undefined {
  const length = plain.length;
  if (length === 0) {
    return undefined;
  }
  let seven = true;
  let wide = length % 2 === 0;
  for (let i = 0; i < length && (seven || wide); i += 1) {
    const byte = plain[i] ?? 0;
    seven &&= byte < 0x80;
    wide &&= i % 2 === 0 ? byte < 0x80 : byte === 0;
  }
  if (!wide && !seven) {
    return undefined;
  }
  const step = wide ? 2 : 1;
  const bits = (length / step) * 7;
  const size = 1 + Math.ceil(bits / 8);
  if (size >= length) {
    return undefined;
  }
  const packed = new Uint8Array(size);
  const scheme = wide ? COMPRESSION_SCHEME.sevenBitUnicode : COMPRESSION_SCHEME.sevenBitAscii;
  packed[0] = (scheme << SCHEME_SHIFT) | ((bits + 7) % 8);
  let at = 1;
  let pending = 0;
  let pendingBits = 0;
  for (let i = 0; i < length; i += step) {
    pending |= (plain[i] ?? 0) << pendingBits;
    pendingBits += 7;
    if (pendingBits >= 8) {
      packed[at] = pending & 0xff;
      at += 1;
      pending >>= 8;
      pendingBits -= 8;
    }
  }
  if (pendingBits > 0) {
    packed[at] = pending;
  }
  return packed;
}
