/**
 * Trees from the bottom up (src/engine/bulk): the loops over nodes. Leaves that are sound are taken apart and their
 * nodes collected; pages are put together from them. All decisions are those of src/engine/bulk/pending-nodes.ts, so
 * that the same bytes come out with and without this; what is wrong with a node is left to it as well.
 *
 * Nodes of a level lie behind each other, each key with its data. Layout of the state of a level, in words:
 *
 * | word | what |
 * |---|---|
 * | 0 | where offsets count from, in the memory |
 * | 1 | offset behind which no node may begin |
 * | 2 | offset behind the last node |
 * | 3 | number of nodes |
 * | 4 | bytes that they take with their tags, keys not compressed |
 * | 5 | line whose key serves best as prefix, -1 = none |
 * | 6, 7 | bytes that it saves for a node (f64) |
 * | 8 | arrays: places for nodes in each |
 * | 9 | pointer to scratch arrays, as many and as long |
 * | 10 | bytes of a page that may be filled |
 * | 11 | most nodes of a page |
 * | 12 | 1 = nodes of one key are ordered by their data |
 * | 13 | bytes of the largest node |
 * | 14 | answer: why adding has ended |
 * | 15 | answer: nodes that were added |
 * | 16 | four arrays: offset, length of key, length of data, bytes in common with the key before |
 */
import { areApart } from './tags';

const BASE: usize = 0;
const END: usize = 4;
const TAIL: usize = 8;
const COUNT: usize = 12;
const RAW: usize = 16;
const PREFIX_LINE: usize = 20;
const SAVED: usize = 24;
const PLACES: usize = 32;
const SCRATCH: usize = 36;
const ROOM: usize = 40;
const NODES_MAX: usize = 44;
const BY_DATA: usize = 48;
const NODE_MOST: usize = 52;
const OUTCOME: usize = 56;
const ADDED: usize = 60;
const ARRAYS: usize = 64;

const OUTCOME_DONE: u32 = 0;
const OUTCOME_FULL: u32 = 1;
/** The next node is for others. */
const OUTCOME_REFUSED: u32 = 2;

const NODE_OVERHEAD: u32 = 6;
const PREFIX_OVERHEAD: i32 = 2;
const NODE_DELETED: u32 = 2;
const NODE_COMPRESSED: u32 = 4;
const NODE_FLAGS_SHIFT: u32 = 13;
const LENGTH_MASK: u32 = 0x1fff;
const SMALL_PAGE_MAX: u32 = 8192;
const SHORT_COPY: usize = 256;

const FLAG_ROOT: u32 = 0x1;
const FLAG_LEAF: u32 = 0x2;
const FLAG_PARENT_OF_LEAF: u32 = 0x4;
const FLAG_EMPTY: u32 = 0x8;
const FLAG_INDEX: u32 = 0x40;
const FLAG_LONG_VALUE: u32 = 0x80;
const FLAG_NON_UNIQUE: u32 = 0x400;
const FLAG_PRE_INIT: u32 = 0x20000;

/** Copies bytes that do not overlap. */
// @ts-ignore: decorator
@inline
function copy(to: usize, from: usize, bytes: usize): void {
  if (bytes > SHORT_COPY) {
    memory.copy(to, from, bytes);
    return;
  }
  let i: usize = 0;
  for (; i + 16 <= bytes; i += 16) v128.store(to + i, v128.load(from + i));
  if (bytes & 8) {
    store<u64>(to + i, load<u64>(from + i));
    i += 8;
  }
  if (bytes & 4) {
    store<u32>(to + i, load<u32>(from + i));
    i += 4;
  }
  if (bytes & 2) {
    store<u16>(to + i, load<u16>(from + i));
    i += 2;
  }
  if (bytes & 1) store<u8>(to + i, load<u8>(from + i));
}

/** Bytes at the beginning that are the same, at most `limit`. */
// @ts-ignore: decorator
@inline
function same(a: usize, b: usize, limit: u32): u32 {
  let i: u32 = 0;
  for (; i + 8 <= limit; i += 8) {
    const difference = load<u64>(a + i) ^ load<u64>(b + i);
    if (difference) return i + <u32>(ctz<u64>(difference) >> 3);
  }
  while (i < limit && load<u8>(a + i) == load<u8>(b + i)) i += 1;
  return i;
}

/**
 * Whether the leaf at `page` is sound as such: src/format/page.ts, checkPageStructure. False also where somebody else
 * has to look.
 *
 * @param sizeAt two bytes for each byte of a page, all zero between two calls
 */
export function isSoundLeaf(page: usize, pageSize: u32, sizeAt: usize): bool {
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
  if (!(flags & FLAG_LEAF) || flags & (FLAG_PARENT_OF_LEAF | FLAG_EMPTY | FLAG_PRE_INIT)) return false;
  if (flags & FLAG_INDEX ? flags & FLAG_LONG_VALUE : flags & FLAG_NON_UNIQUE) return false;
  if (flags & FLAG_ROOT && (load<u32>(page, 16) | load<u32>(page, 20)) != 0) return false;
  if (cbFree > area || <u32>load<u16>(page, 30) > cbFree) return false;
  if (count < reserved || count * 4 >= area || used + count * 4 > area) return false;

  const tags = page + pageSize - 4;
  const nodes = page + headerBytes;
  const prefixBytes = <u32>load<u16>(tags) & mask;
  let bytes: u32 = 0;
  let ended: u32 = 0;
  let overlaps = false;
  for (let itag: u32 = 0; itag < count; itag += 1) {
    const tag = tags - (<usize>itag << 2);
    const size = <u32>load<u16>(tag) & mask;
    const offset = <u32>load<u16>(tag, 2);
    const start = offset & mask;
    if (size == 0) {
      if (itag >= reserved) return false;
      continue;
    }
    if (start + size > used) return false;
    bytes += size;
    if (start < ended) overlaps = true;
    ended = max(ended, start + size);
    if (itag < reserved) continue;
    if (size < 5) return false;
    const at = nodes + start;
    const nodeFlags = isLarge ? <u32>load<u16>(at) >> NODE_FLAGS_SHIFT : offset >> NODE_FLAGS_SHIFT;
    let head: u32 = 2;
    if (nodeFlags & NODE_COMPRESSED) {
      if ((<u32>load<u16>(at) & LENGTH_MASK) > prefixBytes) return false;
      head = 4;
    }
    if (head + (<u32>load<u16>(at + head - 2) & LENGTH_MASK) >= size) return false;
  }
  if (cbFree != area - bytes - 4 * count) return false;
  return !overlaps || areApart(mask, tags, count, used, sizeAt);
}

/**
 * Adds the live nodes of the sound leaf at `page` from line `from` on, until the page that they go to is full. Returns
 * the line that comes next.
 */
export function addLeaf(state: usize, page: usize, pageSize: u32, from: u32): u32 {
  const isLarge = pageSize > SMALL_PAGE_MAX;
  const mask: u32 = isLarge ? 0x7fff : 0x1fff;
  const tagState = <u32>load<u16>(page, 34);
  const reserved = max((tagState >> 12) & 7, 1);
  const lines = max(tagState & 0x0fff, reserved) - reserved;
  const tags = page + pageSize - 4;
  const nodes = page + (isLarge ? 80 : 40);
  const prefix = nodes + (<u32>load<u16>(tags, 2) & mask);
  const base = <usize>load<u32>(state, BASE);
  const places = <usize>load<u32>(state, PLACES) << 2;
  const starts = state + ARRAYS;
  const keyLengths = starts + places;
  const dataLengths = keyLengths + places;
  const commons = dataLengths + places;
  const room = load<i32>(state, ROOM);
  const nodesMax = load<u32>(state, NODES_MAX);
  const byData = load<u32>(state, BY_DATA) != 0;
  const nodeMost = load<u32>(state, NODE_MOST);
  const end = load<u32>(state, END);
  let saved = load<f64>(state, SAVED);
  let tail = load<u32>(state, TAIL);
  let count = load<u32>(state, COUNT);
  let raw = load<i32>(state, RAW);
  let outcome = OUTCOME_DONE;
  let added: u32 = 0;
  let line = from;
  for (; line < lines; line += 1) {
    const tag = tags - (<usize>(line + reserved) << 2);
    const size = <u32>load<u16>(tag) & mask;
    const offset = <u32>load<u16>(tag, 2);
    let at = nodes + (offset & mask);
    const nodeEnd = at + size;
    const nodeFlags = isLarge ? <u32>load<u16>(at) >> NODE_FLAGS_SHIFT : offset >> NODE_FLAGS_SHIFT;
    if (nodeFlags & NODE_DELETED) continue;
    let prefixLength: u32 = 0;
    if (nodeFlags & NODE_COMPRESSED) {
      prefixLength = <u32>load<u16>(at) & LENGTH_MASK;
      at += 2;
    }
    const suffixLength = <u32>load<u16>(at) & LENGTH_MASK;
    at += 2;
    const keyLength = prefixLength + suffixLength;
    const dataLength = <u32>(nodeEnd - at) - suffixLength;
    if (keyLength + dataLength > nodeMost) {
      outcome = OUTCOME_REFUSED;
      break;
    }
    const own = base + tail;
    if (prefixLength) copy(own, prefix, prefixLength);
    copy(own + prefixLength, at, suffixLength + dataLength);
    const place = <usize>count << 2;
    let common: u32 = 0;
    if (count) {
      const beforeLength = load<u32>(keyLengths + place - 4);
      const before = base + load<u32>(starts + place - 4);
      const limit = min(keyLength, beforeLength);
      common = same(own, before, limit);
      let order: i32 = 0;
      if (common < limit) order = <i32>load<u8>(own + common) - <i32>load<u8>(before + common);
      else if (keyLength != beforeLength || !byData) order = <i32>keyLength - <i32>beforeLength;
      else {
        const beforeData = load<u32>(dataLengths + place - 4);
        const least = min(dataLength, beforeData);
        const alike = same(own + keyLength, before + keyLength, least);
        order =
          alike < least
            ? <i32>load<u8>(own + keyLength + alike) - <i32>load<u8>(before + keyLength + alike)
            : <i32>dataLength - <i32>beforeData;
      }
      if (order <= 0) {
        outcome = OUTCOME_REFUSED;
        break;
      }
    }
    store<u32>(starts + place, tail);
    store<u32>(keyLengths + place, keyLength);
    store<u32>(dataLengths + place, dataLength);
    store<u32>(commons + place, common);
    tail += keyLength + dataLength;
    raw += NODE_OVERHEAD + keyLength + dataLength;
    count += 1;
    added += 1;
    if (count < 2) continue;
    if (count <= nodesMax && tail <= end) {
      if (<f64>raw - saved * <f64>count <= <f64>room) continue;
      const least = choose(state, count);
      saved = load<f64>(state, SAVED);
      if (raw - least <= room) continue;
    }
    outcome = OUTCOME_FULL;
    line += 1;
    break;
  }
  store<u32>(state, tail, TAIL);
  store<u32>(state, count, COUNT);
  store<i32>(state, raw, RAW);
  store<u32>(state, outcome, OUTCOME);
  store<u32>(state, added, ADDED);
  return line;
}

/** Chooses the prefix of the first `count` nodes; returns the bytes that it saves. */
export function choose(state: usize, count: u32): i32 {
  const saved = findPrefix(state, count);
  store<f64>(state, count == 0 ? 0 : <f64>saved / <f64>count, SAVED);
  return saved;
}

function findPrefix(state: usize, count: u32): i32 {
  const places = <usize>load<u32>(state, PLACES) << 2;
  const commons = state + ARRAYS + 3 * places;
  const left = <usize>load<u32>(state, SCRATCH);
  const values = left + places;
  const counts = values + places;
  store<i32>(state, -1, PREFIX_LINE);
  let depth: usize = 0;
  let sum: i32 = 0;
  let most: i32 = 0;
  store<i32>(left, 0);
  for (let line: u32 = 1; line < count; line += 1) {
    const at = <usize>line << 2;
    const saved = load<i32>(commons + at) - PREFIX_OVERHEAD;
    if (saved <= 0) {
      depth = 0;
      sum = 0;
    } else {
      let run: i32 = 1;
      while (depth > 0 && load<i32>(values + depth - 4) >= saved) {
        depth -= 4;
        run += load<i32>(counts + depth);
        sum -= load<i32>(values + depth) * load<i32>(counts + depth);
      }
      store<i32>(values + depth, saved);
      store<i32>(counts + depth, run);
      depth += 4;
      sum += saved * run;
      if (sum > most) most = sum;
    }
    store<i32>(left + at, sum);
  }
  if (most == 0) return 0;
  let best = PREFIX_OVERHEAD;
  if (count == 2) {
    const only = load<i32>(left, 4);
    if (only > best) store<i32>(state, 1, PREFIX_LINE);
    return max(0, only - PREFIX_OVERHEAD);
  }
  depth = 0;
  sum = 0;
  for (let line = <i32>count - 2; line > 0; line -= 1) {
    const at = <usize>line << 2;
    const saved = load<i32>(commons + at + 4) - PREFIX_OVERHEAD;
    if (saved <= 0) {
      depth = 0;
      sum = 0;
    } else {
      let run: i32 = 1;
      while (depth > 0 && load<i32>(values + depth - 4) >= saved) {
        depth -= 4;
        run += load<i32>(counts + depth);
        sum -= load<i32>(values + depth) * load<i32>(counts + depth);
      }
      store<i32>(values + depth, saved);
      store<i32>(counts + depth, run);
      depth += 4;
      sum += saved * run;
    }
    const both = load<i32>(left + at) + sum;
    if (both > best) {
      best = both;
      store<i32>(state, line, PREFIX_LINE);
    }
  }
  return best - PREFIX_OVERHEAD;
}

/**
 * Writes the first `count` nodes to the page at `page`, below its header; -1 for `prefixLine` leaves room for
 * `externalBytes` of an external header, which are zero. Returns the bytes that are used; -1 if they do not fit.
 */
export function compose(
  state: usize,
  page: usize,
  pageSize: u32,
  count: u32,
  prefixLine: i32,
  externalBytes: u32,
): i32 {
  const isLarge = pageSize > SMALL_PAGE_MAX;
  const memoryBase = <usize>load<u32>(state, BASE);
  const places = <usize>load<u32>(state, PLACES) << 2;
  const starts = state + ARRAYS;
  const keyLengths = starts + places;
  const dataLengths = keyLengths + places;
  const prefixes = <usize>load<u32>(state, SCRATCH) + 3 * places;
  const nodes = page + (isLarge ? 80 : 40);
  const limit = page + pageSize - 4 - (<usize>count << 2);
  let at = nodes;
  if (prefixLine >= 0) {
    const place = <usize>prefixLine << 2;
    const length = load<u32>(keyLengths + place);
    if (at + length > limit) return -1;
    copy(at, memoryBase + load<u32>(starts + place), length);
    measurePrefixes(state, count, prefixLine);
    at += length;
  } else {
    memory.fill(at, 0, externalBytes);
    at += externalBytes;
  }
  let tag = page + pageSize - 4;
  store<u32>(tag, <u32>(at - nodes));
  for (let line: u32 = 0; line < count; line += 1) {
    const place = <usize>line << 2;
    const prefixLength = prefixLine >= 0 ? load<u32>(prefixes + place) : 0;
    const suffixLength = load<u32>(keyLengths + place) - prefixLength;
    const rest = suffixLength + load<u32>(dataLengths + place);
    const begin = at;
    if (at + rest + (prefixLength ? 4 : 2) > limit) return -1;
    let ibWord = <u32>(at - nodes);
    if (prefixLength) {
      // The flags of a node are in its tag, on large pages in its first word.
      const compressed = NODE_COMPRESSED << NODE_FLAGS_SHIFT;
      store<u16>(at, <u16>(isLarge ? prefixLength | compressed : prefixLength));
      if (!isLarge) ibWord |= compressed;
      at += 2;
    }
    store<u16>(at, <u16>suffixLength);
    at += 2;
    copy(at, memoryBase + load<u32>(starts + place) + prefixLength, rest);
    at += rest;
    tag -= 4;
    store<u16>(tag, <u16>(at - begin));
    store<u16>(tag, <u16>ibWord, 2);
  }
  memory.fill(at, 0, tag - at);
  return <i32>(at - nodes);
}

/** What each of the first `count` keys shares with the prefix: the least that neighbours share on the way. */
function measurePrefixes(state: usize, count: u32, prefixLine: i32): void {
  const places = <usize>load<u32>(state, PLACES) << 2;
  const keyLengths = state + ARRAYS + places;
  const commons = keyLengths + 2 * places;
  const prefixes = <usize>load<u32>(state, SCRATCH) + 3 * places;
  const own = load<i32>(keyLengths + (<usize>prefixLine << 2));
  store<i32>(prefixes + (<usize>prefixLine << 2), own > PREFIX_OVERHEAD ? own : 0);
  let least = own;
  for (let line = prefixLine - 1; line >= 0; line -= 1) {
    least = min(least, load<i32>(commons + (<usize>(line + 1) << 2)));
    store<i32>(prefixes + (<usize>line << 2), least > PREFIX_OVERHEAD ? least : 0);
  }
  least = own;
  for (let line = <u32>(prefixLine + 1); line < count; line += 1) {
    least = min(least, load<i32>(commons + (<usize>line << 2)));
    store<i32>(prefixes + (<usize>line << 2), least > PREFIX_OVERHEAD ? least : 0);
  }
}
