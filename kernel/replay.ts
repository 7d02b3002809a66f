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

const KIND_NODE: u32 = 0;
const KIND_WAIT: u32 = 3;
/** Items of a queue, less one. */
const QUEUE_MASK: u32 = 0x3fff;
const ITEM_IN_RANGE: u32 = 1;

const VERSION_KNOWN: u32 = 1;
const VERSION_DEFERRED: u32 = 2;

const MARK_DIRTY_AND_CHANGED: u32 = 3;

const LRTYP_INSERT: u8 = 29;
const LRTYP_FLAG_DELETE: u8 = 32;
const LRTYP_REPLACE: u8 = 33;
const LRTYP_REPLACE_D: u8 = 34;
const LRTYP_DELETE: u8 = 35;

const PAGE_ROOT: u32 = 1;
const PAGE_SCRUBBED: u32 = 0x4000;

const LOGGED_VERSIONED: u32 = 1;
const LOGGED_UNIQUE: u32 = 4;

const NODE_VERSION: u32 = 1;
const NODE_DELETED: u32 = 2;
const NODE_COMPRESSED: u32 = 4;

const LENGTH_MASK: u32 = 0x1fff;
const TAG_COUNT_MASK: u32 = 0xfff;
const TAG_BYTES: u32 = 4;

const DIFF_SAME_LENGTH: u32 = 1;
const DIFF_INSERT: u32 = 2;
const DIFF_WIDE: u32 = 4;

let pageSize: u32 = 0;
let pages: usize = 0;
let frames: usize = 0;
/** Where to publish how many items are done. */
let progress: usize = 0;
/** Memory for the old states of nodes: address of the next free byte (a word), and its end. */
let arena: usize = 0;
let arenaEnd: usize = 0;
/** Room for the data of one node. */
let scratch: usize = 0;

let isLarge: bool = false;
let headerBytes: u32 = 0;
let tagMask: u32 = 0;
let tagCountMax: u32 = 0;

/** The node found by `locate`: offsets in its page. */
let tagAt: usize = 0;
let tagSize: u32 = 0;
let tagStart: u32 = 0;
let nodeFlags: u32 = 0;
let prefixLength: u32 = 0;
let suffixStart: u32 = 0;
let suffixLength: u32 = 0;
let dataStart: u32 = 0;
let dataLength: u32 = 0;

/** Says where things lie. To be called once in each thread. */
export function configure(
  pageSize_: u32,
  pages_: usize,
  frames_: usize,
  progress_: usize,
  arena_: usize,
  arenaEnd_: usize,
  scratch_: usize,
): void {
  pageSize = pageSize_;
  pages = pages_;
  frames = frames_;
  progress = progress_;
  arena = arena_;
  arenaEnd = arenaEnd_;
  scratch = scratch_;
  isLarge = pageSize > 8192;
  headerBytes = isLarge ? 80 : 40;
  tagMask = isLarge ? 0x7fff : 0x1fff;
  const most = (pageSize - headerBytes + 3) / 4 - 1;
  tagCountMax = most < TAG_COUNT_MASK ? most : TAG_COUNT_MASK;
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
    } else {
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
  const page = pages + <usize>slot * pageSize;
  const stamp = load<i64>(page, 8);
  const after = load<i64>(record, 8);
  if (stamp >= after) {
    if (!(flags & ITEM_IN_RANGE)) return false;
    if (version) store<u32>(version, VERSION_DEFERRED);
    return true;
  }
  if (stamp != load<i64>(record, 16) || load<u32>(page, 24) != load<u32>(record, 40)) return false;
  const lrtyp = load<u8>(record);
  let isDone = false;
  if (lrtyp == LRTYP_INSERT) isDone = insert(page, record);
  else if (lrtyp == LRTYP_FLAG_DELETE) isDone = flagDelete(page, record, version);
  else if (lrtyp == LRTYP_REPLACE) isDone = replaceWhole(page, record, version);
  else if (lrtyp == LRTYP_REPLACE_D) isDone = replaceByDiff(page, record, version);
  else if (lrtyp == LRTYP_DELETE) isDone = remove(page, record);
  if (!isDone) return false;
  store<i64>(page, after, 8);
  store<u32>(page, load<u32>(page, 36) & ~PAGE_SCRUBBED, 36);
  const frame = frames + (<usize>slot << 4);
  store<u32>(frame, MARK_DIRTY_AND_CHANGED);
  store<u32>(frame, generation, 4);
  store<u32>(frame, position, 8);
  return true;
}

// @ts-ignore: decorator
@inline
function reservedTags(state: u32): u32 {
  const stored = (state >> 12) & 7;
  return stored ? stored : 1;
}

/** Finds the node of the record on its page; false if there is none, or not a sound one. */
function locate(page: usize, record: usize): bool {
  const state = <u32>load<u16>(page, 34);
  const itag = <u32>load<u16>(record, 29) + reservedTags(state);
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
    const tag0 = page + pageSize - TAG_BYTES;
    const prefixBytes = <u32>load<u16>(tag0) & tagMask;
    if (prefixLength > prefixBytes || headerBytes + (<u32>load<u16>(tag0, 2) & tagMask) + prefixLength > pageSize) {
      return false;
    }
    at += 2;
  }
  suffixLength = <u32>load<u16>(page + at) & LENGTH_MASK;
  suffixStart = at + 2;
  dataStart = suffixStart + suffixLength;
  if (dataStart > end) return false;
  dataLength = end - dataStart;
  return true;
}

function setNodeFlags(page: usize, flags: u32): void {
  const at = isLarge ? page + tagStart : tagAt + 2;
  store<u16>(at, <u16>((<u32>load<u16>(at) & LENGTH_MASK) | (flags << 13)));
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
  const state = <u32>load<u16>(page, 34);
  const count = state & TAG_COUNT_MASK;
  const itag = <u32>load<u16>(record, 29) + reservedTags(state);
  if (itag > count || count >= tagCountMax) return false;
  const suffix = <u32>load<u16>(record, 44);
  const prefix = <u32>load<u16>(record, 46);
  const data = <u32>load<u16>(record, 48);
  if (data == 0 || suffix > LENGTH_MASK) return false;
  const tag0 = page + pageSize - TAG_BYTES;
  const key = record + 50;
  if (prefix) {
    if (prefix > (<u32>load<u16>(tag0) & tagMask) || load<u32>(page, 36) & PAGE_ROOT) return false;
    const own = page + headerBytes + (<u32>load<u16>(tag0, 2) & tagMask);
    for (let i: u32 = 0; i < prefix; i += 1) {
      if (load<u8>(own + i) != load<u8>(key + i)) return false;
    }
  }
  const size: u32 = (prefix ? 4 : 2) + suffix + data;
  const needed = size + TAG_BYTES;
  const free = <u32>load<u16>(page, 28);
  const used = <u32>load<u16>(page, 32);
  if (needed > free || headerBytes + used + TAG_BYTES * count + needed > pageSize) return false;
  const low = page + pageSize - TAG_BYTES * count;
  const place = page + pageSize - TAG_BYTES * (itag + 1);
  if (itag < count) memory.copy(low - TAG_BYTES, low, place + TAG_BYTES - low);
  store<u16>(page, <u16>((state & ~TAG_COUNT_MASK) | (count + 1)), 34);
  const logged = <u32>load<u8>(record, 31);
  const flags = (logged & LOGGED_VERSIONED ? NODE_VERSION : 0) | (prefix ? NODE_COMPRESSED : 0);
  store<u16>(place, <u16>size);
  store<u16>(place, <u16>(isLarge ? used : used | (flags << 13)), 2);
  let at = page + headerBytes + used;
  const first = at;
  if (prefix) {
    store<u16>(at, <u16>prefix);
    at += 2;
  }
  store<u16>(at, <u16>suffix);
  if (isLarge) store<u16>(first, <u16>((<u32>load<u16>(first) & LENGTH_MASK) | (flags << 13)));
  memory.copy(at + 2, key + prefix, suffix + data);
  store<u16>(page, <u16>(used + size), 32);
  store<u16>(page, <u16>(free - needed), 28);
  return true;
}

function flagDelete(page: usize, record: usize, version: usize): bool {
  if (!locate(page, record) || nodeFlags & NODE_DELETED) return false;
  const logged = <u32>load<u8>(record, 31);
  if (version && !keep(page, version, logged & LOGGED_UNIQUE ? 0 : dataLength, 0)) return false;
  setNodeFlags(page, nodeFlags | NODE_DELETED | (logged & LOGGED_VERSIONED ? NODE_VERSION : 0));
  return true;
}

function remove(page: usize, record: usize): bool {
  const state = <u32>load<u16>(page, 34);
  const count = state & TAG_COUNT_MASK;
  const itag = <u32>load<u16>(record, 29) + reservedTags(state);
  if (itag >= count) return false;
  const place = page + pageSize - TAG_BYTES * (itag + 1);
  const size = <u32>load<u16>(place) & tagMask;
  const end = (<u32>load<u16>(place, 2) & tagMask) + size;
  const low = page + pageSize - TAG_BYTES * count;
  memory.copy(low + TAG_BYTES, low, place - low);
  store<u32>(low, 0);
  store<u16>(page, <u16>((state & ~TAG_COUNT_MASK) | (count - 1)), 34);
  store<u16>(page, <u16>(<u32>load<u16>(page, 28) + size + TAG_BYTES), 28);
  let used = <u32>load<u16>(page, 32);
  if (end == used) used -= size;
  if (count == 2 && !(<u32>load<u16>(page + pageSize - TAG_BYTES) & tagMask)) used = 0;
  store<u16>(page, <u16>used, 32);
  return true;
}

function replaceWhole(page: usize, record: usize, version: usize): bool {
  const newBytes = <u32>load<u16>(record, 48);
  if ((<u32>load<u16>(record, 44) & 0x7fff) != newBytes || !locate(page, record)) return false;
  return replace(page, record, version, record + 50, newBytes);
}

/** Puts `newBytes` of data at `from` into the place of those of the node, as Page.replaceData does. */
function replace(page: usize, record: usize, version: usize, from: usize, newBytes: u32): bool {
  if (dataLength != <u32>load<u16>(record, 46) || newBytes == 0) return false;
  const keyBytes = dataStart - tagStart;
  const size = keyBytes + newBytes;
  const free = <i32>load<u16>(page, 28);
  let used = <u32>load<u16>(page, 32);
  const growth = <i32>size - <i32>tagSize;
  const isLast = tagStart + tagSize - headerBytes == used;
  const count = <u32>load<u16>(page, 34) & TAG_COUNT_MASK;
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
  store<u16>(page, <u16>used, 32);
  store<u16>(page, <u16>(free - growth), 28);
  memory.copy(page + start + keyBytes, from, newBytes);
  return true;
}

function replaceByDiff(page: usize, record: usize, version: usize): bool {
  if (!locate(page, record)) return false;
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
