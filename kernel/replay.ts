/**
 * The replay kernel: carries out the most frequent log records on pages that lie in the same memory as the log
 * (format specification, chapters 1.5, 5.3.5 and 9.5). AssemblyScript. It is a fast way through src/operations/ for
 * plain cases and nothing else: whatever is not exactly as expected it leaves alone, untouched, for the caller to carry
 * out there. So every error, and every rule that is not about moving bytes, is stated once, in src/operations/; the same
 * streams replayed with and without the kernel must give the same bytes.
 *
 * An item of a queue is 8 words (src/recovery/replay-layout.ts): kind, address of the record, slot of the page,
 * position in the log, address of the version or 0, flags, number, size of the record.
 */

import {
  configurePages,
  dataLength,
  dataStart,
  headerBytes,
  locate,
  NODE_DELETED,
  NODE_VERSION,
  nodeFlags,
  openNode,
  pageIn,
  pageSize,
  PAGE_FLAGS,
  prefixBeginsWith,
  prefixLength,
  removeTag,
  reservedOf,
  scratch,
  setFreeBytes,
  setNodeFlags,
  setUsedBytes,
  stamp,
  suffixLength,
  suffixStart,
  TAG_BYTES,
  tagAt,
  tagCountOf,
  tagMask,
  tagSize,
  tagStart,
  freeBytesOf,
  usedBytesOf,
} from './replay-page';
import { split } from './replay-split';

const KIND_NODE: u32 = 0;
const KIND_MACRO: u32 = 2;
const KIND_WAIT: u32 = 3;
/** Items of a queue, less one. */
const QUEUE_MASK: u32 = 0x3fff;
const ITEM_IN_RANGE: u32 = 1;

const VERSION_KNOWN: u32 = 1;
const VERSION_DEFERRED: u32 = 2;

const LRTYP_INSERT: u8 = 29;
const LRTYP_FLAG_DELETE: u8 = 32;
const LRTYP_REPLACE: u8 = 33;
const LRTYP_REPLACE_D: u8 = 34;
const LRTYP_DELETE: u8 = 35;

const PAGE_ROOT: u32 = 1;

const LOGGED_VERSIONED: u32 = 1;
const LOGGED_UNIQUE: u32 = 4;

const LENGTH_MASK: u32 = 0x1fff;

const DIFF_SAME_LENGTH: u32 = 1;
const DIFF_INSERT: u32 = 2;
const DIFF_WIDE: u32 = 4;

/** Where to publish how many items are done. */
let progress: usize = 0;
/** Memory for the old states of nodes: address of the next free byte (a word), and its end. */
let arena: usize = 0;
let arenaEnd: usize = 0;

/** Says where things lie. To be called once in each thread. */
export function configure(
  pageSize: u32,
  pages: usize,
  marks: usize,
  progress_: usize,
  arena_: usize,
  arenaEnd_: usize,
  scratch: usize,
): void {
  configurePages(pageSize, pages, marks, scratch);
  progress = progress_;
  arena = arena_;
  arenaEnd = arenaEnd_;
}

/**
 * Carries out the items from `from` to before `to` of a queue, which is a ring; returns the number of the first one that it left alone, or `to`.
 */
export function run(queue: usize, from: u32, to: u32, generation: u32): u32 {
  for (let i = from; i != to; i += 1) {
    const item = queue + (<usize>(i & QUEUE_MASK) << 5);
    const kind = load<u32>(item);
    if (kind == KIND_NODE) {
      const record = <usize>load<u32>(item, 4);
      const version = <usize>load<u32>(item, 16);
      if (!redo(record, load<u32>(item, 8), generation, load<u32>(item, 12), version, load<u32>(item, 20))) return i;
    } else if (kind == KIND_WAIT) {
      if (<i32>(atomic.load<u32>(<usize>load<u32>(item, 4)) - load<u32>(item, 8)) <= 0) return i;
    } else if (kind != KIND_MACRO || !split(item, generation)) {
      return i;
    }
    atomic.store<u32>(progress, i + 1);
  }
  return to;
}

/** Carries out the change of one page; false where it leaves the record alone. */
export function redo(
  record: usize,
  slot: u32,
  generation: u32,
  position: u32,
  version: usize,
  flags: u32,
): bool {
  const page = pageIn(slot);
  const before = load<i64>(page, 8);
  const after = load<i64>(record, 8);
  if (before >= after) {
    if (!(flags & ITEM_IN_RANGE)) return false;
    if (version) store<u32>(version, VERSION_DEFERRED);
    return true;
  }
  if (before != load<i64>(record, 16) || load<u32>(page, 24) != load<u32>(record, 40)) return false;
  const lrtyp = load<u8>(record);
  let isDone = false;
  if (lrtyp == LRTYP_INSERT) isDone = insert(page, record);
  else if (lrtyp == LRTYP_FLAG_DELETE) isDone = flagDelete(page, record, version);
  else if (lrtyp == LRTYP_REPLACE) isDone = replaceWhole(page, record, version);
  else if (lrtyp == LRTYP_REPLACE_D) isDone = replaceByDiff(page, record, version);
  else if (lrtyp == LRTYP_DELETE) isDone = remove(page, record);
  if (!isDone) return false;
  stamp(slot, after, generation, position);
  return true;
}

/** Keeps key and data of the node at which `locate` stands, for undo; false if there is no room. */
function keep(page: usize, version: usize, bookmarkBytes: u32, beforeBytes: u32): bool {
  const keyBytes = prefixLength + suffixLength;
  const to = <usize>load<u32>(arena);
  if (to + keyBytes + dataLength > arenaEnd) return false;
  const prefix = page + headerBytes + (<u32>load<u16>(page + pageSize - 2) & tagMask);
  memory.copy(to, prefix, prefixLength);
  memory.copy(to + prefixLength, page + suffixStart, suffixLength);
  const dataBytes = bookmarkBytes | beforeBytes;
  memory.copy(to + keyBytes, page + dataStart, dataBytes);
  store<u32>(arena, <u32>(to + keyBytes + dataBytes));
  store<u32>(version, <u32>to, 4);
  store<u32>(version, keyBytes, 8);
  store<u32>(version, bookmarkBytes, 12);
  store<u32>(version, beforeBytes, 16);
  store<u32>(version, VERSION_KNOWN);
  return true;
}

function insert(page: usize, record: usize): bool {
  const suffix = <u32>load<u16>(record, 44);
  const prefix = <u32>load<u16>(record, 46);
  const data = <u32>load<u16>(record, 48);
  const key = record + 50;
  if (prefix && (load<u32>(page, PAGE_FLAGS) & PAGE_ROOT || !prefixBeginsWith(page, key, prefix))) return false;
  const flags = <u32>load<u8>(record, 31) & LOGGED_VERSIONED ? NODE_VERSION : 0;
  const at = openNode(page, <u32>load<u16>(record, 29), flags, prefix, suffix, data);
  if (!at) return false;
  memory.copy(at, key + prefix, suffix + data);
  return true;
}

function flagDelete(page: usize, record: usize, version: usize): bool {
  if (!locate(page, <u32>load<u16>(record, 29)) || nodeFlags & NODE_DELETED) return false;
  const logged = <u32>load<u8>(record, 31);
  if (version && !keep(page, version, logged & LOGGED_UNIQUE ? 0 : dataLength, 0)) return false;
  setNodeFlags(page, nodeFlags | NODE_DELETED | (logged & LOGGED_VERSIONED ? NODE_VERSION : 0));
  return true;
}

function remove(page: usize, record: usize): bool {
  const itag = <u32>load<u16>(record, 29) + reservedOf(page);
  if (itag >= tagCountOf(page)) return false;
  removeTag(page, itag);
  return true;
}

function replaceWhole(page: usize, record: usize, version: usize): bool {
  const newBytes = <u32>load<u16>(record, 48);
  if ((<u32>load<u16>(record, 44) & 0x7fff) != newBytes || !locate(page, <u32>load<u16>(record, 29))) return false;
  return replace(page, record, version, record + 50, newBytes);
}

/** Puts `newBytes` of data at `from` into the place of those of the node, as Page.replaceData does. */
function replace(page: usize, record: usize, version: usize, from: usize, newBytes: u32): bool {
  if (dataLength != <u32>load<u16>(record, 46) || newBytes == 0) return false;
  const keyBytes = dataStart - tagStart;
  const size = keyBytes + newBytes;
  const free = <i32>freeBytesOf(page);
  let used = usedBytesOf(page);
  const growth = <i32>size - <i32>tagSize;
  const isLast = tagStart + tagSize - headerBytes == used;
  const count = tagCountOf(page);
  const room = <i32>(pageSize - headerBytes) - <i32>used - <i32>(TAG_BYTES * count);
  let moves = false;
  if (growth > 0) {
    if (growth > free) return false;
    if (!isLast || room < growth) {
      if (room + (isLast ? <i32>tagSize : 0) < <i32>size) return false;
      moves = true;
    }
  }
  if (version && !keep(page, version, 0, dataLength)) return false;
  if (<u32>load<u8>(record, 31) & LOGGED_VERSIONED) setNodeFlags(page, nodeFlags | NODE_VERSION);
  let start = tagStart;
  if (moves) {
    if (isLast) used -= tagSize;
    start = headerBytes + used;
    memory.copy(page + start, page + tagStart, keyBytes);
    used += size;
    const word = <u32>load<u16>(tagAt, 2);
    store<u16>(tagAt, <u16>((word & ~tagMask) | (start - headerBytes)), 2);
  } else if (isLast) {
    used += growth;
  }
  store<u16>(tagAt, <u16>size);
  setUsedBytes(page, used);
  setFreeBytes(page, free - growth);
  memory.copy(page + start + keyBytes, from, newBytes);
  return true;
}

function replaceByDiff(page: usize, record: usize, version: usize): bool {
  if (!locate(page, <u32>load<u16>(record, 29))) return false;
  const newBytes = <u32>load<u16>(record, 48);
  const lengthAndFlag = <u32>load<u16>(record, 44);
  const isDiff2 = (lengthAndFlag & 0x8000) != 0;
  let at = record + 50;
  const end = at + (lengthAndFlag & 0x7fff);
  const before = page + dataStart;
  let read: u32 = 0;
  let written: u32 = 0;
  while (at < end) {
    // No header and no two lengths take more than seven bytes; what is read behind the list is not used.
    const header = <u32>load<u16>(at);
    const flags = isDiff2 ? <u32>load<u8>(at, 2) >> 5 : header >> 13;
    const offset = isDiff2 ? header : header & LENGTH_MASK;
    at += isDiff2 ? 3 : 2;
    const isWide = (flags & DIFF_WIDE) != 0;
    const fresh = isWide ? <u32>load<u16>(at) : <u32>load<u8>(at);
    at += isWide ? 2 : 1;
    let old: u32 = 0;
    if (!(flags & DIFF_INSERT)) {
      if (flags & DIFF_SAME_LENGTH) {
        old = fresh;
      } else {
        old = isWide ? <u32>load<u16>(at) : <u32>load<u8>(at);
        at += isWide ? 2 : 1;
      }
    }
    if (at + fresh > end || offset < read || offset + old > dataLength) return false;
    const kept = offset - read;
    if (written + kept + fresh > newBytes) return false;
    memory.copy(scratch + written, before + read, kept);
    memory.copy(scratch + written + kept, at, fresh);
    written += kept + fresh;
    read = offset + old;
    at += fresh;
  }
  if (written + dataLength - read != newBytes) return false;
  memory.copy(scratch + written, before + read, dataLength - read);
  return replace(page, record, version, scratch, newBytes);
}

/** Moves bytes inside the memory; the ranges may overlap. */
export function move(to: usize, from: usize, bytes: usize): void {
  memory.copy(to, from, bytes);
}
