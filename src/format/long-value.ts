/**
 * Long values: ids, and the keys and data of the nodes of a long-value tree (format specification,
 * chapters 2.4 and 3.3.2).
 *
 * | node  | key                                            | data                                         |
 * |-------|------------------------------------------------|----------------------------------------------|
 * | root  | lid, big-endian: 4 bytes, 8 if its top bit is 1 | u32 references, u32 size, optional u8 flags  |
 * | chunk | the same, then u32 offset, big-endian          | bytes of the value from that offset on       |
 */
import { type ByteWriter, reserve } from './byte-writer.js';
import { decompress } from './compression.js';
import { EseError } from './ese-error.js';

/**
 * A long-value id as two 32-bit halves, because 64-bit ids exceed the exact range of numbers.
 * `high` is 0 for a 32-bit id; a 64-bit id has the top bit of `high` set.
 */
export interface Lid {
  high: number;
  low: number;
}

const LID_TOP_BIT = 0x80000000;
/** Highest 32-bit id. */
export const LID_32_MOST = 0x7ffffeff;
const LID_64_HIGH_MOST = 0x80fffffe;
const LID_64_LEAST: Lid = { high: 0x80000000, low: 0x80000001 };

/** Offset that {@link readLongValueKey} reports for a root. */
export const LONG_VALUE_ROOT = -1;

const ROOT_BYTES = 8;
const ROOT_FLAG_ENCRYPTED = 0x1;
/** Reference count of a value whose deletion is under way: its chunks may be incomplete. */
export const REFERENCES_PARTIALLY_DELETED = 0xffffffff;

/** Room that a chunk leaves on a small page (chapter 3.3.2). */
const SMALL_PAGE_CHUNK_OVERHEAD = 82;
const CHUNK_SIZE_16K = 4050;
const CHUNK_SIZE_32K = 8150;

function isLid64(lid: Readonly<Lid>): boolean {
  return lid.high !== 0;
}

/** Whether an engine can have handed out this id (chapter 3.3.1). */
export function isValidLid({ high, low }: Readonly<Lid>): boolean {
  if (high === 0) return low >= 1 && low <= LID_32_MOST;
  return (
    (high > LID_64_LEAST.high || (high === LID_64_LEAST.high && low >= LID_64_LEAST.low)) &&
    high <= LID_64_HIGH_MOST
  );
}

/** Decimal form of the id with all 64 bits, as reports print it. */
export function formatLid({ high, low }: Readonly<Lid>): string {
  return high === 0 ? String(low) : String((BigInt(high) << 32n) | BigInt(low));
}

/** Negative, 0 or positive as `a` sorts before, with or behind `b` in a long-value tree. */
export function compareLids(a: Readonly<Lid>, b: Readonly<Lid>): number {
  // Key bytes decide: a 32-bit id competes with the high half of a 64-bit one, and is always below it.
  return a.high - b.high || a.low - b.low;
}

/**
 * Reads the id that a record holds for a separated value into `into`.
 *
 * @throws EseError JET_errLVCorrupted if it has not 4 or 8 bytes, or is no valid id.
 */
export function readLid(bytes: Uint8Array, start: number, end: number, into: Lid): void {
  const length = end - start;
  if (length !== 4 && length !== 8) {
    throw new EseError('JET_errLVCorrupted', `a long-value id of ${length} bytes`);
  }
  into.low = u32Little(bytes, start);
  into.high = length === 8 ? u32Little(bytes, start + 4) : 0;
  if (!isValidLid(into) || (length === 8 && into.high < LID_TOP_BIT)) {
    throw new EseError('JET_errLVCorrupted', `${formatLid(into)} is no long-value id`);
  }
}

/** The id as a record holds it: 4 or 8 bytes. */
export function encodeLid(lid: Readonly<Lid>): Uint8Array {
  const bytes = new Uint8Array(isLid64(lid) ? 8 : 4);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, lid.low, true);
  if (bytes.length === 8) view.setUint32(4, lid.high, true);
  return bytes;
}

/** The id behind `lid`; 64-bit ids go on in their own range (chapter 3.3.1). */
export function nextLid(lid: Readonly<Lid>): Lid {
  const low = (lid.low + 1) >>> 0;
  return { low, high: low === 0 ? lid.high + 1 : lid.high };
}

/** The key of the root of `lid`, or of its chunk at `offset` (bytes from the start of the value). */
export function longValueKey(lid: Readonly<Lid>, offset: number = LONG_VALUE_ROOT): Uint8Array {
  const idBytes = isLid64(lid) ? 8 : 4;
  const key = new Uint8Array(idBytes + (offset === LONG_VALUE_ROOT ? 0 : 4));
  const view = new DataView(key.buffer);
  if (idBytes === 8) view.setUint32(0, lid.high);
  view.setUint32(idBytes - 4, lid.low);
  if (offset !== LONG_VALUE_ROOT) view.setUint32(idBytes, offset);
  return key;
}

/**
 * Reads the key of a node of a long-value tree: fills `into`, and returns the chunk's offset, or
 * {@link LONG_VALUE_ROOT}.
 *
 * @throws EseError JET_errLVCorrupted for a key that no node of such a tree has.
 */
export function readLongValueKey(key: Uint8Array, length: number, into: Lid): number {
  const first = length >= 4 ? u32Big(key, 0) : 0;
  const isWide = first >= LID_TOP_BIT;
  if (length === 4 && !isWide) {
    into.high = 0;
    into.low = first;
    return LONG_VALUE_ROOT;
  }
  if (length === 8 && !isWide) {
    into.high = 0;
    into.low = first;
    return u32Big(key, 4);
  }
  if ((length === 8 || length === 12) && isWide) {
    into.high = first;
    into.low = u32Big(key, 4);
    return length === 8 ? LONG_VALUE_ROOT : u32Big(key, 8);
  }
  throw new EseError('JET_errLVCorrupted', `a long-value key of ${length} bytes`);
}

/** What the root of a long value says of it. */
export interface LongValueRoot {
  readonly referenceCount: number;
  /** Bytes of the whole value, plain. */
  readonly size: number;
  readonly encrypted: boolean;
}

/**
 * Decodes the data of a root node.
 *
 * @throws EseError JET_errLVCorrupted if it has not 8 or 9 bytes.
 */
export function decodeLongValueRoot(bytes: Uint8Array, start: number, end: number): LongValueRoot {
  const length = end - start;
  if (length !== ROOT_BYTES && length !== ROOT_BYTES + 1) {
    throw new EseError('JET_errLVCorrupted', `a long-value root of ${length} bytes`);
  }
  return {
    referenceCount: u32Little(bytes, start),
    size: u32Little(bytes, start + 4),
    encrypted: length > ROOT_BYTES && ((bytes[start + ROOT_BYTES] ?? 0) & ROOT_FLAG_ENCRYPTED) !== 0,
  };
}

/** Encodes the data of a root node. */
export function encodeLongValueRoot({ referenceCount, size, encrypted }: LongValueRoot): Uint8Array {
  const bytes = new Uint8Array(encrypted ? ROOT_BYTES + 1 : ROOT_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, referenceCount, true);
  view.setUint32(4, size, true);
  if (encrypted) bytes[ROOT_BYTES] = ROOT_FLAG_ENCRYPTED;
  return bytes;
}

/** Bytes of a full chunk: the table's `LVChunkMax` if its catalog row has one, else by page size. */
export function longValueChunkSize(pageSize: number, lvChunkMax?: number): number {
  const standard =
    pageSize <= 8192
      ? pageSize - SMALL_PAGE_CHUNK_OVERHEAD
      : pageSize <= 16384
        ? CHUNK_SIZE_16K
        : CHUNK_SIZE_32K;
  return lvChunkMax === undefined || lvChunkMax <= 0 ? standard : Math.min(lvChunkMax, standard);
}

/** Plain bytes of the chunk at `offset` of a value of `size` bytes. */
export function longValueChunkLength(size: number, offset: number, chunkSize: number): number {
  return Math.min(chunkSize, size - offset);
}

/**
 * Writes the plain bytes of a stored chunk into `out` from `outStart` on. A chunk that is stored shorter
 * than `plainLength` is compressed: no flag says so (chapter 3.3.2).
 *
 * @throws EseError JET_errLVCorrupted if the chunk is longer than `plainLength` or expands to another
 *   length; JET_errDecompressionFailed as {@link decompress}.
 */
export function readLongValueChunk(
  bytes: Uint8Array,
  start: number,
  end: number,
  plainLength: number,
  out: Uint8Array,
  outStart: number,
): void {
  const stored = end - start;
  if (stored > plainLength) {
    throw new EseError('JET_errLVCorrupted', `a chunk of ${stored} bytes where ${plainLength} are due`);
  }
  if (stored === plainLength) {
    out.set(bytes.subarray(start, end), outStart);
    return;
  }
  const plain = decompress(bytes, start, end, out.subarray(outStart, outStart + plainLength), 0);
  if (plain !== plainLength) {
    throw new EseError(
      'JET_errLVCorrupted',
      `a chunk expands to ${plain} bytes where ${plainLength} are due`,
    );
  }
}

/**
 * Appends a long value to `out`, or its first `limit` bytes, and returns the number of bytes appended.
 * `out` grows only as chunks are found, whatever size the root claims.
 *
 * `chunkAt(offset)` returns the stored bytes of the chunk node at that offset, or undefined if there is
 * none; they are used before it is called again.
 *
 * @throws EseError JET_errColumnNoChunk if a chunk is missing, JET_errDecryptionFailed for an encrypted
 *   value (its key is not in the file), else as {@link readLongValueChunk}.
 */
export function assembleLongValue(
  root: LongValueRoot,
  chunkSize: number,
  chunkAt: (offset: number) => Uint8Array | undefined,
  out: ByteWriter,
  limit: number = root.size,
): number {
  if (root.encrypted) {
    throw new EseError('JET_errDecryptionFailed', 'the long value is encrypted');
  }
  const start = out.length;
  const wanted = Math.min(root.size, limit);
  for (let offset = 0; offset < wanted; offset += chunkSize) {
    const stored = chunkAt(offset);
    if (stored === undefined) {
      throw new EseError('JET_errColumnNoChunk', `the chunk at ${offset} of ${root.size} bytes is missing`);
    }
    const plainLength = longValueChunkLength(root.size, offset, chunkSize);
    reserve(out, plainLength);
    readLongValueChunk(stored, 0, stored.length, plainLength, out.bytes, out.length);
    out.length += plainLength;
  }
  out.length = start + wanted;
  return wanted;
}

function u32Little(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] ?? 0) |
      ((bytes[at + 1] ?? 0) << 8) |
      ((bytes[at + 2] ?? 0) << 16) |
      ((bytes[at + 3] ?? 0) << 24)) >>>
    0
  );
}

function u32Big(bytes: Uint8Array, at: number): number {
  return (
    (((bytes[at] ?? 0) << 24) |
      ((bytes[at + 1] ?? 0) << 16) |
      ((bytes[at + 2] ?? 0) << 8) |
      (bytes[at + 3] ?? 0)) >>>
    0
  );
}
