/**
 * Leaves whose checksums are right, checked in one call each (format specification, chapter 2.6): everything on
 * the page must be as the tree says, or the answer is that somebody else must look, and nothing was counted. What
 * is wrong with a page, and all that is rare, is left to the TypeScript in src/maintenance/integrity; this only
 * knows how to say "nothing is the matter", and what hashes the entries of the page have.
 *
 * Layout of the work area, from `work` on (src/maintenance/integrity/leaf-kernel.ts):
 *
 * | at | bytes | what |
 * |---|---|---|
 * | 0 | 64 | what is expected of the page: words 0-13 |
 * | 64 | 64 | answers: live nodes, number of listed lines |
 * | 128 | 896 | hashes of the keys of one row, until all of them are known |
 * | 1024 | 36 Ki | key and bookmark that are hashed |
 * | 37 Ki | 64 Ki | by offset: size of the tag that begins there, 0 between two calls |
 * | 101 Ki | 16 Ki | lower bound |
 * | 117 Ki | 16 Ki | upper bound |
 * | 133 Ki | 8 Ki | lines that somebody else must look at |
 */

import { areApart } from './tags';

const OUT_LIVE: usize = 64;
const OUT_LISTED: usize = 68;
const ROW_HASHES: usize = 128;
const KEY: usize = 1024;
const SIZE_AT: usize = 37 * 1024;
const LOWER: usize = 101 * 1024;
const UPPER: usize = 117 * 1024;
const LINES: usize = 133 * 1024;

const FLAG_ROOT: u32 = 0x1;
const FLAG_LEAF: u32 = 0x2;
const FLAG_PARENT_OF_LEAF: u32 = 0x4;
const FLAG_EMPTY: u32 = 0x8;
const FLAG_REPAIR: u32 = 0x10;
const FLAG_PRE_INIT: u32 = 0x20000;
const ROLE_FLAGS: u32 = 0xce0;
const SMALL_PAGE_MAX: u32 = 8192;

const NODE_DELETED: u32 = 2;
const NODE_COMPRESSED: u32 = 4;

const ANY: u32 = 0xffffffff;

/** What the nodes are. */
const CONTENT_LISTED: u32 = 0;
const CONTENT_ENTRIES: u32 = 1;
const CONTENT_ROWS: u32 = 2;
const CONTENT_COUNTED: u32 = 3;

const BUCKET_MASK: u32 = 255;
const M1: u32 = 0x9e3779b1;
const M2: u32 = 0x85ebca77;

/** Parts of the node that was read last. */
let prefixLength: u32 = 0;
let suffix: usize = 0;
let suffixLength: u32 = 0;
let data: usize = 0;
let dataLength: u32 = 0;
let nodeFlags: u32 = 0;

/** The prefix key of the page. */
let prefix: usize = 0;

/** The hash that was computed last. */
let bucket: u32 = 0;
let first: u32 = 0;
let second: u32 = 0;

/** Reads the parts of a node at `at` of `size` bytes. Returns false if they do not fit. */
function readNode(at: usize, size: u32, tagFlags: u32, isLarge: bool, prefixBytes: u32): bool {
  const end = at + size;
  let p = at;
  if (size < 2) return false;
  nodeFlags = isLarge ? <u32>load<u16>(at) >> 13 : tagFlags;
  prefixLength = 0;
  if (nodeFlags & NODE_COMPRESSED) {
    if (size < 4) return false;
    prefixLength = <u32>load<u16>(p) & 0x1fff;
    if (prefixLength > prefixBytes || prefixLength < 3) return false;
    p += 2;
  }
  suffixLength = <u32>load<u16>(p) & 0x1fff;
  suffix = p + 2;
  data = suffix + suffixLength;
  if (data >= end) return false;
  dataLength = <u32>(end - data);
  return true;
}

/** Compares the key of the node that was read last, or its key and data, with a bound. */
function compareToBound(isUnique: bool, bound: usize, boundLength: u32): i32 {
  const keyLength = prefixLength + suffixLength;
  const length = isUnique ? keyLength : keyLength + dataLength;
  const common = min(length, boundLength);
  for (let i: u32 = 0; i < common; i += 1) {
    // Data follow the suffix at once.
    const own = i < prefixLength ? load<u8>(prefix + i) : load<u8>(suffix + (i - prefixLength));
    const difference = <i32>own - <i32>load<u8>(bound + i);
    if (difference) return difference;
  }
  return <i32>length - <i32>boundLength;
}

/**
 * Checks the leaf at `page`. Returns 1 if it is in order: then its entries or rows were hashed, but for the lines that
 * are listed. Returns 0 if somebody else must look at it; then nothing was hashed.
 */
export function check(page: usize, work: usize): u32 {
  const pageSize = load<u32>(work);
  const roleFlags = load<u32>(work, 8);
  const isRoot = load<u32>(work, 12) != 0;
  const isUnique = load<u32>(work, 16) != 0;
  const duePrev = load<u32>(work, 20);
  const dueNext = load<u32>(work, 24);
  const keyMost = load<u32>(work, 28);
  const lowerLength = load<u32>(work, 32);
  const upperLength = load<u32>(work, 36);
  const content = load<u32>(work, 40);
  const program = <usize>load<u32>(work, 44);
  const dbtimeMax = load<f64>(work, 48);
  const isLarge = pageSize > SMALL_PAGE_MAX;
  const headerBytes: u32 = isLarge ? 80 : 40;
  const mask: u32 = isLarge ? 0x7fff : 0x1fff;
  const area = pageSize - headerBytes;
  const flags = load<u32>(page, 36);
  const state = <u32>load<u16>(page, 34);
  const count = state & 0x0fff;
  const reserved = max((state >> 12) & 7, 1);
  const cbFree = <u32>load<u16>(page, 28);
  const used = <u32>load<u16>(page, 32);

  if (load<u32>(page, 24) != load<u32>(work, 4)) return 0;
  if (!(flags & FLAG_LEAF) || flags & (FLAG_PARENT_OF_LEAF | FLAG_EMPTY | FLAG_PRE_INIT | FLAG_REPAIR)) return 0;
  if ((flags & ROLE_FLAGS) != roleFlags || ((flags & FLAG_ROOT) != 0) != isRoot) return 0;
  if (<f64>load<u64>(page, 8) > dbtimeMax) return 0;
  const pgnoPrev = load<u32>(page, 16);
  const pgnoNext = load<u32>(page, 20);
  if (duePrev != ANY && pgnoPrev != duePrev) return 0;
  if (dueNext != ANY && pgnoNext != dueNext) return 0;
  if (isRoot && (pgnoPrev | pgnoNext) != 0) return 0;
  if (cbFree > area || <u32>load<u16>(page, 30) > cbFree) return 0;
  if (count < reserved || count * 4 >= area || used + count * 4 > area) return 0;
  if (count == reserved && !isRoot) return 0;

  const tags = page + pageSize - 4;
  const nodes = page + headerBytes;
  const prefixBytes = <u32>load<u16>(tags) & mask;
  prefix = nodes + (<u32>load<u16>(tags, 2) & mask);
  let bytes: u32 = 0;
  let ended: u32 = 0;
  let overlaps = false;
  let live: u32 = 0;
  let listed: u32 = 0;
  let pPrefixLength: u32 = 0;
  let pSuffix: usize = 0;
  let pSuffixLength: u32 = 0;
  let pData: usize = 0;
  let pDataLength: u32 = 0;
  for (let itag: u32 = 0; itag < count; itag += 1) {
    const tag = tags - (<usize>itag << 2);
    const size = <u32>load<u16>(tag) & mask;
    const offset = <u32>load<u16>(tag, 2);
    const start = offset & mask;
    if (size == 0) {
      if (itag >= reserved) return 0;
      continue;
    }
    if (start + size > used) return 0;
    bytes += size;
    if (start < ended) overlaps = true;
    ended = max(ended, start + size);
    if (itag < reserved) continue;
    if (!readNode(nodes + start, size, offset >> 13, isLarge, prefixBytes)) return 0;
    if (isRoot && nodeFlags & NODE_COMPRESSED) return 0;
    const keyLength = prefixLength + suffixLength;
    if (keyLength == 0 || keyLength > keyMost) return 0;
    const line = itag - reserved;
    if (line > 0) {
      const pKeyLength = pPrefixLength + pSuffixLength;
      const common = min(keyLength, pKeyLength);
      let i = min(prefixLength, pPrefixLength);
      let order: i32 = 0;
      if (prefixLength == pPrefixLength) {
        for (; i < common; i += 1) {
          order = <i32>load<u8>(suffix + (i - prefixLength)) - <i32>load<u8>(pSuffix + (i - prefixLength));
          if (order) break;
        }
      } else {
        for (; i < common; i += 1) {
          const own = i < prefixLength ? load<u8>(prefix + i) : load<u8>(suffix + (i - prefixLength));
          const before = i < pPrefixLength ? load<u8>(prefix + i) : load<u8>(pSuffix + (i - pPrefixLength));
          order = <i32>own - <i32>before;
          if (order) break;
        }
      }
      if (order == 0) order = <i32>keyLength - <i32>pKeyLength;
      if (order == 0 && !isUnique) {
        const least = min(dataLength, pDataLength);
        for (let at: u32 = 0; at < least; at += 1) {
          order = <i32>load<u8>(data + at) - <i32>load<u8>(pData + at);
          if (order) break;
        }
        if (order == 0) order = <i32>dataLength - <i32>pDataLength;
      }
      if (order <= 0) return 0;
    } else if (lowerLength && compareToBound(isUnique, work + LOWER, lowerLength) < 0) return 0;
    if (itag == count - 1 && upperLength && compareToBound(isUnique, work + UPPER, upperLength) >= 0) return 0;
    if (!(nodeFlags & NODE_DELETED)) {
      live += 1;
      if (content == CONTENT_LISTED) {
        store<u16>(work + LINES + (<usize>listed << 1), <u16>line);
        listed += 1;
      }
    }
    pPrefixLength = prefixLength;
    pSuffix = suffix;
    pSuffixLength = suffixLength;
    pData = data;
    pDataLength = dataLength;
  }
  if (cbFree != area - bytes - 4 * count) return 0;
  if (overlaps && !areApart(mask, tags, count, used, work + SIZE_AT)) return 0;

  if (content != CONTENT_LISTED && content != CONTENT_COUNTED) {
    for (let itag = reserved; itag < count; itag += 1) {
      const tag = tags - (<usize>itag << 2);
      const offset = <u32>load<u16>(tag, 2);
      readNode(nodes + (offset & mask), <u32>load<u16>(tag) & mask, offset >> 13, isLarge, prefixBytes);
      if (nodeFlags & NODE_DELETED) continue;
      if (content == CONTENT_ENTRIES) {
        hashEntry(work + KEY);
        addTo(program, -1);
      } else if (!checkRow(program, work)) {
        store<u16>(work + LINES + (<usize>listed << 1), <u16>(itag - reserved));
        listed += 1;
      }
    }
  }
  store<u32>(work, live, OUT_LIVE);
  store<u32>(work, listed, OUT_LISTED);
  return 1;
}

// @ts-ignore: decorator
@inline
function mixed(hash: u32): u32 {
  let h = (hash ^ (hash >> 16)) * 0x85ebca6b;
  h = (h ^ (h >> 13)) * 0xc2b2ae35;
  return h ^ (h >> 16);
}

// @ts-ignore: decorator
@inline
function copy(to: usize, from: usize, length: u32): void {
  for (let i: u32 = 0; i < length; i += 1) store<u8>(to + i, load<u8>(from + i));
}

/** Fills up with zeros to a whole word; returns the number of words. */
// @ts-ignore: decorator
@inline
function pad(at: usize, length: u32): u32 {
  const words = (length + 3) >> 2;
  for (let i = length; i < words << 2; i += 1) store<u8>(at + i, 0);
  return words;
}

/** Hashes the key at `key` and a bookmark behind it, as fingerprint.ts does. */
function hashWords(key: usize, keyLength: u32, keyWords: u32, bookmarkLength: u32, words: u32): void {
  let a = keyLength;
  let b = bookmarkLength;
  let i: u32 = 0;
  for (; i < keyWords; i += 1) {
    const word = load<u32>(key + (<usize>i << 2));
    a = (a ^ word) * M1;
    // The JavaScript shifts without sign.
    a ^= a >> 15;
    b = rotl<u32>(b, 13) * M2 + word;
  }
  bucket = mixed(a) & BUCKET_MASK;
  for (; i < words; i += 1) {
    const word = load<u32>(key + (<usize>i << 2));
    a = (a ^ word) * M1;
    a ^= a >> 15;
    b = rotl<u32>(b, 13) * M2 + word;
  }
  first = mixed(a);
  second = mixed(b);
}

/** Hashes the index entry that was read last. */
function hashEntry(key: usize): void {
  const keyLength = prefixLength + suffixLength;
  copy(key, prefix, prefixLength);
  copy(key + prefixLength, suffix, suffixLength);
  const keyWords = pad(key, keyLength);
  const bookmark = key + (<usize>keyWords << 2);
  copy(bookmark, data, dataLength);
  hashWords(key, keyLength, keyWords, dataLength, keyWords + pad(bookmark, dataLength));
}

// @ts-ignore: decorator
@inline
function addTo(sums: usize, times: i32): void {
  const at = sums + <usize>(bucket * 12);
  store<i32>(at, load<i32>(at) + times);
  store<i32>(at, load<i32>(at, 4) + <i32>first * times, 4);
  store<i32>(at, load<i32>(at, 8) + <i32>second * times, 8);
}

const SEGMENT_BYTES: usize = 32;
const KEY_HEADER_BYTES: usize = 20;

const KIND_UNSIGNED: u32 = 0;
const KIND_SIGNED: u32 = 1;
const KIND_FLOAT: u32 = 2;
const KIND_BIT: u32 = 3;
const KIND_GUID: u32 = 4;
const KIND_ANSI: u32 = 5;
const KIND_BINARY: u32 = 6;

const MAY_HAVE_ALL_NULLS: u32 = 1;
const MAY_HAVE_FIRST_NULL: u32 = 2;
const MAY_HAVE_SOME_NULLS: u32 = 4;

/**
 * Checks the row that was read last, and hashes its keys. Returns false if somebody else must look at it; then
 * nothing was hashed.
 *
 * A table: highest fixed id, highest variable id, number of keys, then by fixed id where the values up to it end
 * (128 × u16), then the keys. A key: sums (0 = it is that of the node), longest key, which NULLs have entries, first byte of
 * NULL, number of segments, then these: kind, column id, offset, size, descending, longest segment, order of a GUID's bytes,
 * 1 = there is a default.
 */
function checkRow(table: usize, work: usize): bool {
  if (dataLength < 4) return false;
  const fixedLast = <u32>load<u8>(data);
  const variableLast = <u32>load<u8>(data, 1);
  const endFixed = <u32>load<u16>(data, 2);
  const bitmapBytes = (fixedLast + 7) >> 3;
  if (fixedLast > load<u32>(table) || variableLast < 127 || variableLast > load<u32>(table, 4)) return false;
  if (endFixed > dataLength || endFixed < 4 + bitmapBytes) return false;
  if (<u32>load<u16>(table + 12 + (<usize>fixedLast << 1)) > endFixed - bitmapBytes) return false;
  const bitmap = data + endFixed - bitmapBytes;
  const offsets = data + endFixed;
  const variables = variableLast - 127;
  if (endFixed + 2 * variables > dataLength) return false;
  const values = offsets + 2 * variables;
  const room = dataLength - endFixed - 2 * variables;
  let ended: u32 = 0;
  for (let i: u32 = 0; i < variables; i += 1) {
    const end = <u32>load<u16>(offsets + (<usize>i << 1)) & 0x7fff;
    if (end < ended || end > room) return false;
    ended = end;
  }
  if (ended != room) return false;

  const keys = load<u32>(table, 8);
  const nodeKeyLength = prefixLength + suffixLength;
  const out = work + KEY;
  let hashes = work + ROW_HASHES;
  let key = table + 12 + 256;
  for (let k: u32 = 0; k < keys; k += 1) {
    const sums = <usize>load<u32>(key);
    const keyMost = load<u32>(key, 4);
    const admits = load<u32>(key, 8);
    const segments = load<u32>(key, 16);
    let isAllNull = true;
    let isFirstNull = false;
    let isSomeNull = false;
    let length: u32 = 0;
    let segment = key + KEY_HEADER_BYTES;
    for (let s: u32 = 0; s < segments; s += 1, segment += SEGMENT_BYTES) {
      const columnId = load<u32>(segment, 4);
      let isNull = true;
      let value: usize = 0;
      let size: u32 = 0;
      if (columnId < 128) {
        if (columnId <= fixedLast) {
          const bit = columnId - 1;
          if (!((<u32>load<u8>(bitmap + (bit >> 3)) >> (bit & 7)) & 1)) {
            isNull = false;
            value = data + load<u32>(segment, 8);
            size = load<u32>(segment, 12);
          }
        } else if (load<u32>(segment, 28)) return false;
      } else if (columnId <= variableLast) {
        const i = columnId - 128;
        const word = <u32>load<u16>(offsets + (<usize>i << 1));
        if (!(word & 0x8000)) {
          const from = i == 0 ? 0 : <u32>load<u16>(offsets + (<usize>(i - 1) << 1)) & 0x7fff;
          isNull = false;
          value = values + from;
          size = (word & 0x7fff) - from;
        }
      } else if (load<u32>(segment, 28)) return false;
      const at = out + length;
      let written: u32 = 1;
      if (isNull) {
        if (length + 1 > keyMost) return false;
        store<u8>(at, <u8>load<u32>(key, 12));
        isSomeNull = true;
        if (s == 0) isFirstNull = true;
      } else {
        isAllNull = false;
        // A value that may have to be cut is left to others.
        const limit = min(keyMost - length, load<u32>(segment, 20));
        if (size >= keyMost || length >= keyMost) return false;
        if (size == 0) store<u8>(at, 0x40);
        else {
          written = writeSegment(at, segment, value, size, limit);
          if (written == 0) return false;
        }
      }
      if (load<u32>(segment, 16)) {
        for (let i: u32 = 0; i < written; i += 1) store<u8>(at + i, ~load<u8>(at + i));
      }
      length += written;
    }
    if (sums == 0) {
      if (isSomeNull || length != nodeKeyLength) return false;
      for (let i: u32 = 0; i < prefixLength; i += 1) if (load<u8>(out + i) != load<u8>(prefix + i)) return false;
      for (let i: u32 = 0; i < suffixLength; i += 1) {
        if (load<u8>(out + prefixLength + i) != load<u8>(suffix + i)) return false;
      }
    } else {
      const isAdmitted = isAllNull
        ? admits & MAY_HAVE_ALL_NULLS
        : isFirstNull
          ? admits & MAY_HAVE_FIRST_NULL
          : isSomeNull
            ? admits & MAY_HAVE_SOME_NULLS
            : 1;
      if (isAdmitted) {
        const keyWords = pad(out, length);
        const bookmark = out + (<usize>keyWords << 2);
        copy(bookmark, prefix, prefixLength);
        copy(bookmark + prefixLength, suffix, suffixLength);
        hashWords(out, length, keyWords, nodeKeyLength, keyWords + pad(bookmark, nodeKeyLength));
        store<u32>(hashes, <u32>sums);
        store<u32>(hashes, bucket, 4);
        store<u32>(hashes, first, 8);
        store<u32>(hashes, second, 12);
        hashes += 16;
      }
    }
    key = segment;
  }
  for (let at = work + ROW_HASHES; at < hashes; at += 16) {
    bucket = load<u32>(at, 4);
    first = load<u32>(at, 8);
    second = load<u32>(at, 12);
    addTo(<usize>load<u32>(at), 1);
  }
  return true;
}

/** Writes a segment that needs no cut; returns its length, 0 = it does not fit into `limit` bytes. */
function writeSegment(at: usize, segment: usize, value: usize, size: u32, limit: u32): u32 {
  const kind = load<u32>(segment);
  store<u8>(at, 0x7f);
  if (kind == KIND_ANSI) {
    if (size + 2 > limit) return 0;
    let length: u32 = 0;
    for (; length < size; length += 1) {
      const byte = <u32>load<u8>(value + length);
      if (byte == 0) break;
      store<u8>(at + 1 + length, <u8>(byte - 0x61 <= 25 ? byte - 0x20 : byte));
    }
    store<u8>(at + 1 + length, 0);
    return length + 2;
  }
  if (kind == KIND_BINARY) {
    const chunks = (size + 7) >> 3;
    if (1 + chunks * 9 > limit) return 0;
    let from: u32 = 0;
    let to: u32 = 1;
    for (let chunk: u32 = 0; chunk < chunks; chunk += 1, to += 9) {
      const count = min<u32>(8, size - from);
      for (let i: u32 = 0; i < 8; i += 1) store<u8>(at + to + i, i < count ? load<u8>(value + from + i) : 0);
      from += count;
      store<u8>(at + to + 8, <u8>(from < size ? 9 : count));
    }
    return to;
  }
  if (size + 1 > limit) return 0;
  if (kind == KIND_GUID) {
    const order = <usize>load<u32>(segment, 24);
    for (let i: u32 = 0; i < 16; i += 1) store<u8>(at + 1 + i, load<u8>(value + load<u8>(order + i)));
    return 17;
  }
  for (let i: u32 = 0; i < size; i += 1) store<u8>(at + 1 + i, load<u8>(value + size - 1 - i));
  const top = <u32>load<u8>(at, 1);
  if (kind == KIND_SIGNED) store<u8>(at, <u8>(top ^ 0x80), 1);
  else if (kind == KIND_BIT) store<u8>(at, top == 0 ? 0 : 0xff, 1);
  else if (kind == KIND_FLOAT) {
    if (top < 0x80) store<u8>(at, <u8>(top | 0x80), 1);
    else for (let i: u32 = 1; i <= size; i += 1) store<u8>(at + i, ~load<u8>(at + i));
  }
  return size + 1;
}
