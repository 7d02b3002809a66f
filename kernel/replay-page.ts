/**
 * Pages as the replay kernel changes them (format specification, chapters 1.5 and 10.2): the changes of
 * src/format/page.ts, byte for byte, for what is sound. Each function that can fail says so before it has changed
 * anything, unless it says otherwise; then the caller lets src/operations/ do the work.
 */

export const PAGE_DBTIME: usize = 8;
export const PAGE_PREV: usize = 16;
export const PAGE_NEXT: usize = 20;
export const PAGE_OBJID: usize = 24;
const PAGE_FREE: usize = 28;
const PAGE_USED: usize = 32;
const PAGE_STATE: usize = 34;
export const PAGE_FLAGS: usize = 36;
const PAGE_LARGE_PGNO: usize = 64;

const FLAG_ROOT: u32 = 1;
const FLAG_NEW_RECORD: u32 = 0x800;
const FLAG_SCRUBBED: u32 = 0x4000;

export const NODE_VERSION: u32 = 1;
export const NODE_DELETED: u32 = 2;
const NODE_COMPRESSED: u32 = 4;

export const LENGTH_MASK: u32 = 0x1fff;
export const TAG_COUNT_MASK: u32 = 0xfff;
export const TAG_BYTES: u32 = 4;
/** A prefix is used only if it saves more than it costs. */
const PREFIX_MIN: u32 = 3;

const MARK_DIRTY_AND_CHANGED: u32 = 3;

/** Parts of the scratch: there is room for a page of any size in each. */
const PART: usize = 0x8000;
const SCRATCH_KEY: usize = PART;
const SCRATCH_DATA: usize = 2 * PART;
const SCRATCH_PREFIX: usize = 3 * PART;
const SCRATCH_ORDER: usize = 4 * PART;
const SCRATCH_LENGTHS: usize = 5 * PART;
/** A whole page, for who must be able to take everything back. */
export const SCRATCH_PAGE: usize = 6 * PART;

export let pageSize: u32 = 0;
export let pages: usize = 0;
export let marks: usize = 0;
export let scratch: usize = 0;
export let isLarge: bool = false;
export let headerBytes: u32 = 0;
export let tagMask: u32 = 0;
let tagCountMax: u32 = 0;

/** The node found by `locate`: its tag, and offsets in its page. */
export let tagAt: usize = 0;
export let tagSize: u32 = 0;
export let tagStart: u32 = 0;
export let nodeFlags: u32 = 0;
export let prefixLength: u32 = 0;
export let suffixStart: u32 = 0;
export let suffixLength: u32 = 0;
export let dataStart: u32 = 0;
export let dataLength: u32 = 0;

export function configurePages(pageSize_: u32, pages_: usize, marks_: usize, scratch_: usize): void {
  pageSize = pageSize_;
  pages = pages_;
  marks = marks_;
  scratch = scratch_;
  isLarge = pageSize > 8192;
  headerBytes = isLarge ? 80 : 40;
  tagMask = isLarge ? 0x7fff : 0x1fff;
  const most = (pageSize - headerBytes + 3) / 4 - 1;
  tagCountMax = most < TAG_COUNT_MASK ? most : TAG_COUNT_MASK;
}

export function pageIn(slot: u32): usize {
  return pages + <usize>slot * pageSize;
}

// @ts-ignore: decorator
@inline
function stateOf(page: usize): u32 {
  return <u32>load<u16>(page, PAGE_STATE);
}

export function tagCountOf(page: usize): u32 {
  return stateOf(page) & TAG_COUNT_MASK;
}

export function setTagCount(page: usize, count: u32): void {
  store<u16>(page, <u16>((stateOf(page) & ~TAG_COUNT_MASK) | count), PAGE_STATE);
}

export function freeBytesOf(page: usize): u32 {
  return <u32>load<u16>(page, PAGE_FREE);
}

export function setFreeBytes(page: usize, bytes: u32): void {
  store<u16>(page, <u16>bytes, PAGE_FREE);
}

/** Bytes of nodes and external header, with the gaps between them. */
export function usedBytesOf(page: usize): u32 {
  return <u32>load<u16>(page, PAGE_USED);
}

export function setUsedBytes(page: usize, bytes: u32): void {
  store<u16>(page, <u16>bytes, PAGE_USED);
}

function contiguousFree(page: usize): i32 {
  return <i32>(pageSize - headerBytes) - <i32>usedBytesOf(page) - <i32>(TAG_BYTES * tagCountOf(page));
}

export function nodeCountOf(page: usize): i32 {
  return <i32>tagCountOf(page) - <i32>reservedTags(stateOf(page));
}

export function reservedOf(page: usize): u32 {
  return reservedTags(stateOf(page));
}

// @ts-ignore: decorator
@inline
export function tagPosition(page: usize, itag: u32): usize {
  return page + pageSize - TAG_BYTES * (itag + 1);
}

// @ts-ignore: decorator
@inline
function sizeOfTag(page: usize, itag: u32): u32 {
  return <u32>load<u16>(tagPosition(page, itag)) & tagMask;
}

// @ts-ignore: decorator
@inline
function startOfTag(page: usize, itag: u32): u32 {
  return headerBytes + (<u32>load<u16>(tagPosition(page, itag), 2) & tagMask);
}

/** Puts a tag; flags of a small page stay. */
function setTag(page: usize, itag: u32, size: u32, start: u32): void {
  const tag = tagPosition(page, itag);
  const flags = isLarge ? 0 : <u32>load<u16>(tag, 2) & ~tagMask;
  store<u16>(tag, <u16>size);
  store<u16>(tag, <u16>(flags | (start - headerBytes)), 2);
}

// @ts-ignore: decorator
@inline
function reservedTags(state: u32): u32 {
  const stored = (state >> 12) & 7;
  return stored ? stored : 1;
}

/** Finds the node in a line of a page; false if there is none, or not a sound one. */
export function locate(page: usize, line: u32): bool {
  const tag0 = tagPosition(page, 0);
  const prefixBytes = <u32>load<u16>(tag0) & tagMask;
  if (headerBytes + (<u32>load<u16>(tag0, 2) & tagMask) + prefixBytes > pageSize) return false;
  return locateOver(page, line, prefixBytes);
}

/** The same on a page whose prefix has so many bytes, wherever it is. */
function locateOver(page: usize, line: u32, prefixBytes: u32): bool {
  const state = stateOf(page);
  const itag = line + reservedTags(state);
  if (itag >= (state & TAG_COUNT_MASK)) return false;
  tagAt = page + pageSize - TAG_BYTES * (itag + 1);
  tagSize = <u32>load<u16>(tagAt) & tagMask;
  const word = <u32>load<u16>(tagAt, 2);
  tagStart = headerBytes + (word & tagMask);
  const end = tagStart + tagSize;
  if (end > pageSize || tagSize < 2) return false;
  nodeFlags = (isLarge ? <u32>load<u16>(page + tagStart) : word) >> 13;
  let at = tagStart;
  prefixLength = 0;
  if (nodeFlags & NODE_COMPRESSED) {
    if (at + 4 > end) return false;
    prefixLength = <u32>load<u16>(page + at) & LENGTH_MASK;
    if (prefixLength > prefixBytes) return false;
    at += 2;
  }
  suffixLength = <u32>load<u16>(page + at) & LENGTH_MASK;
  suffixStart = at + 2;
  dataStart = suffixStart + suffixLength;
  if (dataStart > end) return false;
  dataLength = end - dataStart;
  return true;
}

/** Sets the flags of the node at which `locate` stands. */
export function setNodeFlags(page: usize, flags: u32): void {
  const at = isLarge ? page + tagStart : tagAt + 2;
  store<u16>(at, <u16>((<u32>load<u16>(at) & LENGTH_MASK) | (flags << 13)));
}

/** Copies the key of the node at which `locate` stands; its prefix is at `prefix`. */
function copyKey(page: usize, prefix: usize, to: usize): u32 {
  memory.copy(to, prefix, prefixLength);
  memory.copy(to + prefixLength, page + suffixStart, suffixLength);
  return prefixLength + suffixLength;
}

/** Makes the room of a new node and writes its lengths; returns where its suffix begins, or 0 if it does not fit. */
export function openNode(
  page: usize,
  line: u32,
  flags: u32,
  prefixBytes: u32,
  suffixBytes: u32,
  dataBytes: u32,
): usize {
  const state = stateOf(page);
  const count = state & TAG_COUNT_MASK;
  const itag = line + reservedTags(state);
  if (itag > count || count >= tagCountMax || count == 0) return 0;
  if (dataBytes == 0 || suffixBytes > LENGTH_MASK || prefixBytes > sizeOfTag(page, 0)) return 0;
  const size: u32 = (prefixBytes ? 4 : 2) + suffixBytes + dataBytes;
  const needed = size + TAG_BYTES;
  const free = freeBytesOf(page);
  if (needed > free) return 0;
  if (contiguousFree(page) < <i32>needed && !reorganize(page, needed)) return 0;
  const used = usedBytesOf(page);
  const low = tagPosition(page, count - 1);
  const place = tagPosition(page, itag);
  if (itag < count) memory.copy(low - TAG_BYTES, low, place + TAG_BYTES - low);
  setTagCount(page, count + 1);
  const nodeFlags = (flags & ~NODE_COMPRESSED) | (prefixBytes ? NODE_COMPRESSED : 0);
  store<u16>(place, <u16>size);
  store<u16>(place, <u16>(isLarge ? used : used | (nodeFlags << 13)), 2);
  let at = page + headerBytes + used;
  const first = at;
  if (prefixBytes) {
    store<u16>(at, <u16>prefixBytes);
    at += 2;
  }
  store<u16>(at, <u16>suffixBytes);
  if (isLarge) store<u16>(first, <u16>((<u32>load<u16>(first) & LENGTH_MASK) | (nodeFlags << 13)));
  setUsedBytes(page, used + size);
  setFreeBytes(page, free - needed);
  return at + 2;
}

/** Whether the page begins its keys with these bytes. */
export function prefixBeginsWith(page: usize, key: usize, bytes: u32): bool {
  if (bytes > sizeOfTag(page, 0)) return false;
  const own = page + startOfTag(page, 0);
  for (let i: u32 = 0; i < bytes; i += 1) {
    if (load<u8>(own + i) != load<u8>(key + i)) return false;
  }
  return true;
}

/** Bytes that a key has in common with a prefix, if they are worth it. */
function commonPrefix(key: usize, keyBytes: u32, prefix: usize, prefixBytes: u32): u32 {
  const limit = keyBytes < prefixBytes ? keyBytes : prefixBytes;
  let common: u32 = 0;
  while (common < limit && load<u8>(prefix + common) == load<u8>(key + common)) common += 1;
  return common >= PREFIX_MIN ? common : 0;
}

/** Inserts a node by its whole key; false if it does not fit. */
export function insertKeyed(
  page: usize,
  line: u32,
  flags: u32,
  key: usize,
  keyBytes: u32,
  data: usize,
  dataBytes: u32,
): bool {
  const isRoot = (load<u32>(page, PAGE_FLAGS) & FLAG_ROOT) != 0;
  const prefix = isRoot ? 0 : commonPrefix(key, keyBytes, page + startOfTag(page, 0), sizeOfTag(page, 0));
  const at = openNode(page, line, flags, prefix, keyBytes - prefix, dataBytes);
  if (!at) return false;
  memory.copy(at, key + prefix, keyBytes - prefix);
  memory.copy(at + keyBytes - prefix, data, dataBytes);
  return true;
}

/** Inserts a copy of the node in a line of another page behind the last one; false if it does not fit. */
export function appendCopy(page: usize, source: usize, line: u32): bool {
  if (!locate(source, line)) return false;
  const flags = nodeFlags;
  const key = scratch + SCRATCH_KEY;
  const keyBytes = copyKey(source, source + startOfTag(source, 0), key);
  return insertKeyed(page, <u32>nodeCountOf(page), flags, key, keyBytes, source + dataStart, dataLength);
}

/** Copies the key of the node in a line; returns its length. False is none: see `locate`. */
export function keyOf(page: usize, line: u32): i32 {
  if (!locate(page, line)) return -1;
  return <i32>copyKey(page, page + startOfTag(page, 0), scratch + SCRATCH_KEY);
}

export function keyScratch(): usize {
  return scratch + SCRATCH_KEY;
}

/** Removes the node in tag `itag`, which exists. */
export function removeTag(page: usize, itag: u32): void {
  const count = tagCountOf(page);
  const place = tagPosition(page, itag);
  const size = <u32>load<u16>(place) & tagMask;
  const end = (<u32>load<u16>(place, 2) & tagMask) + size;
  const low = tagPosition(page, count - 1);
  memory.copy(low + TAG_BYTES, low, place - low);
  store<u32>(low, 0);
  setTagCount(page, count - 1);
  setFreeBytes(page, freeBytesOf(page) + size + TAG_BYTES);
  let used = usedBytesOf(page);
  if (end == used) used -= size;
  if (count == 2 && !sizeOfTag(page, 0)) used = 0;
  setUsedBytes(page, used);
}

/** Moves the bytes of all tags together, so that `needed` bytes lie free behind them; false if they would not. */
function reorganize(page: usize, needed: u32): bool {
  const count = tagCountOf(page);
  const order = scratch + SCRATCH_ORDER;
  let sum: u32 = 0;
  for (let itag: u32 = 0; itag < count; itag += 1) {
    const start = startOfTag(page, itag);
    const size = sizeOfTag(page, itag);
    if (start + size > pageSize) return false;
    sum += size;
    store<u32>(order + (itag << 2), (start << 12) | itag);
  }
  if (headerBytes + sum + TAG_BYTES * count + needed > pageSize) return false;
  sort(order, count);
  let to = headerBytes;
  for (let i: u32 = 0; i < count; i += 1) {
    const itag = load<u32>(order + (i << 2)) & TAG_COUNT_MASK;
    const size = sizeOfTag(page, itag);
    const from = startOfTag(page, itag);
    if (size > 0 && from != to) memory.copy(page + to, page + from, size);
    setTag(page, itag, size, to);
    to += size;
  }
  setUsedBytes(page, to - headerBytes);
  memory.fill(page + to, 0, pageSize - TAG_BYTES * count - to);
  return true;
}

/** Sorts words that are nearly in order, or few. */
function sort(words: usize, count: u32): void {
  let gap: u32 = 1;
  while (gap < count / 3) gap = 3 * gap + 1;
  for (; gap > 0; gap /= 3) {
    for (let i = gap; i < count; i += 1) {
      const word = load<u32>(words + (i << 2));
      let j = i;
      for (; j >= gap; j -= gap) {
        const other = load<u32>(words + ((j - gap) << 2));
        if (other <= word) break;
        store<u32>(words + (j << 2), other);
      }
      store<u32>(words + (j << 2), word);
    }
  }
}

/** Gives a tag `size` bytes of any content; false if there is no room. */
function resizeTag(page: usize, itag: u32, size: u32): bool {
  const old = sizeOfTag(page, itag);
  const start = startOfTag(page, itag);
  const used = usedBytesOf(page);
  const isLast = start + old - headerBytes == used;
  const growth = <i32>size - <i32>old;
  const free = <i32>freeBytesOf(page);
  if (growth <= 0) {
    setTag(page, itag, size, start);
    if (isLast) setUsedBytes(page, used + growth);
  } else {
    if (growth > free) return false;
    if (isLast && old > 0 && contiguousFree(page) >= growth) {
      setTag(page, itag, size, start);
      setUsedBytes(page, used + growth);
    } else {
      setTag(page, itag, 0, start);
      if (isLast) setUsedBytes(page, used - old);
      if (contiguousFree(page) < <i32>size && !reorganize(page, size)) return false;
      const to = headerBytes + usedBytesOf(page);
      setTag(page, itag, size, to);
      setUsedBytes(page, to + size - headerBytes);
    }
  }
  setFreeBytes(page, free - growth);
  return true;
}

/** Replaces the external header; when it returns false, the page is spoilt. */
export function setExternalHeader(page: usize, from: usize, bytes: u32): bool {
  if (!resizeTag(page, 0, bytes)) return false;
  memory.copy(page + startOfTag(page, 0), from, bytes);
  return true;
}

/** Encodes all nodes for another prefix, and makes it the external header; when it returns false, the page is spoilt. */
export function changePrefix(page: usize, prefix: usize, prefixBytes: u32): bool {
  const count = <u32>nodeCountOf(page);
  const oldBytes = sizeOfTag(page, 0);
  const old = scratch + SCRATCH_PREFIX;
  const key = scratch + SCRATCH_KEY;
  const lengths = scratch + SCRATCH_LENGTHS;
  memory.copy(old, page + startOfTag(page, 0), oldBytes);
  for (let line: u32 = 0; line < count; line += 1) {
    if (!locate(page, line)) return false;
    const keyBytes = copyKey(page, old, key);
    store<u16>(lengths + (line << 1), <u16>commonPrefix(key, keyBytes, prefix, prefixBytes));
  }
  if (!resizeTag(page, 0, 0)) return false;
  const most = oldBytes > prefixBytes ? oldBytes : prefixBytes;
  for (let round = 0; round < 2; round += 1) {
    for (let line: u32 = 0; line < count; line += 1) {
      if (!locateOver(page, line, most)) return false;
      const to = <u32>load<u16>(lengths + (line << 1));
      // First those that get shorter.
      const isDue = round == 0 ? to > prefixLength : to < prefixLength;
      if (isDue && !reencode(page, line, to, old)) return false;
    }
  }
  return setExternalHeader(page, prefix, prefixBytes);
}

/** Stores the node at which `locate` stands, whose prefix is at `old`, with `to` bytes of its key taken from the prefix. */
function reencode(page: usize, line: u32, to: u32, old: usize): bool {
  const key = scratch + SCRATCH_KEY;
  const data = scratch + SCRATCH_DATA;
  const flags = (nodeFlags & ~NODE_COMPRESSED) | (to ? NODE_COMPRESSED : 0);
  const bytes = dataLength;
  const keyBytes = copyKey(page, old, key);
  memory.copy(data, page + dataStart, bytes);
  const head: u32 = to ? 4 : 2;
  const itag = line + reservedOf(page);
  if (!resizeTag(page, itag, head + keyBytes - to + bytes)) return false;
  const at = page + startOfTag(page, itag);
  if (to) store<u16>(at, <u16>to);
  store<u16>(at + head - 2, <u16>(keyBytes - to));
  memory.copy(at + head, key + to, keyBytes - to);
  memory.copy(at + head + keyBytes - to, data, bytes);
  const word = isLarge ? at : tagPosition(page, itag) + 2;
  store<u16>(word, <u16>((<u32>load<u16>(word) & LENGTH_MASK) | (flags << 13)));
  return true;
}

/** Makes this a new page. */
export function initialize(page: usize, pgno: u32, flags: u32, objid: u32, dbtime: i64): void {
  memory.fill(page, 0, pageSize);
  store<u32>(page, flags | FLAG_NEW_RECORD, PAGE_FLAGS);
  store<u32>(page, objid, PAGE_OBJID);
  store<i64>(page, dbtime, PAGE_DBTIME);
  if (isLarge) store<u32>(page, pgno, PAGE_LARGE_PGNO);
  setTagCount(page, 1);
  setFreeBytes(page, pageSize - headerBytes - TAG_BYTES);
}

/** Ends the change of a page: gives it the stamp of the record, and notes for its pool that it was changed. */
export function stamp(slot: u32, dbtime: i64, generation: u32, position: u32): void {
  const page = pageIn(slot);
  store<i64>(page, dbtime, PAGE_DBTIME);
  store<u32>(page, load<u32>(page, PAGE_FLAGS) & ~FLAG_SCRUBBED, PAGE_FLAGS);
  const mark = marks + (<usize>slot << 4);
  store<u32>(mark, MARK_DIRTY_AND_CHANGED);
  store<u32>(mark, generation, 4);
  store<u32>(mark, position, 8);
}

/** Whether a page was changed since it came into memory. */
export function isChanged(slot: u32): bool {
  return (load<u32>(marks + (<usize>slot << 4)) & 2) != 0;
}
