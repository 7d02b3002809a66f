/**
 * Splits of the usual kind, for the replay kernel (format specification, chapters 4.6.6 and 5.3.5): a leaf gives nodes
 * to a new right neighbour, or only the new node goes there, an Insert caused it, and the page above has room for the
 * pointer. Everything as in src/operations/split.ts, on pages that are all in the state before; other macros are left
 * alone.
 */
import {
  appendCopy,
  changePrefix,
  dataLength,
  dataStart,
  headerBytes,
  initialize,
  insertKeyed,
  isChanged,
  isLarge,
  keyOf,
  keyScratch,
  locate,
  nodeCountOf,
  NODE_VERSION,
  PAGE_DBTIME,
  PAGE_FLAGS,
  PAGE_NEXT,
  PAGE_OBJID,
  PAGE_PREV,
  pageIn,
  pageSize,
  removeTag,
  reservedOf,
  scratch,
  SCRATCH_PAGE,
  setExternalHeader,
  stamp,
  TAG_BYTES,
  tagCountOf,
  usedBytesOf,
} from './replay-page';

const LRTYP_INSERT: u8 = 29;
const LRTYP_SPLIT2: u8 = 62;

const LOGGED_VERSIONED: u32 = 1;

// Offsets in Split2 records.
const PGNO: usize = 4;
const DBTIME: usize = 8;
const DBTIME_BEFORE: usize = 16;
const PGNO_NEW: usize = 32;
const PGNO_RIGHT: usize = 36;
const DBTIME_RIGHT_BEFORE: usize = 40;
const OBJID: usize = 64;
const SPLIT_TYPE: usize = 68;
const SPLIT_OPERATION: usize = 69;
const LINE_OPERATION: usize = 70;
const LINE_SPLIT: usize = 72;
const LINES: usize = 74;
const FLAGS_NEW: usize = 76;
const FLAGS_SPLIT: usize = 80;
const LINE_PREFIX_NEW: usize = 92;
const PREFIX_OLD_BYTES: usize = 96;
const PREFIX_NEW_BYTES: usize = 98;
const KEY_PARENT_BYTES: usize = 100;
const IMAGE_FLAGS: usize = 102;
const IMAGE_BYTES: usize = 106;
const BODY: usize = 110;

const TYPE_RIGHT: u8 = 1;
const TYPE_APPEND: u8 = 2;
const OPERATION_INSERT: u8 = 1;

/** Flags that say what a page is for: root, leaf, parent of leaf, empty, space tree, index, long value, not unique. */
const ROLE_FLAGS: u32 = 0x4ef;
/** The version flag of a node, in the tag of a small page. */
const TAG_VERSION_FLAG: u32 = 1 << 29;

/** The slots of the pages, and where the records lie. */
let leafSlot: u32 = 0;
let rightSlot: u32 = 0;
let newSlot: u32 = 0;
let parentSlot: u32 = 0;
let parentRecord: usize = 0;
let record: usize = 0;
let insertion: usize = 0;

/** Carries out the macro of an item; false where it leaves it alone. */
export function split(item: usize, generation: u32): bool {
  if (load<u32>(item, 28) != 3) return false;
  // Pages in the order in which replay lists them: the leaf, its right neighbour, the new page, the one above.
  const list = <usize>load<u32>(item, 4);
  const pages = load<u32>(list);
  const records = list + 4 + 12 * <usize>pages;
  const above = <usize>load<u32>(records);
  const leaf = <usize>load<u32>(records, 8);
  const inserted = <usize>load<u32>(records, 16);
  if (!isUsual(above, leaf, inserted)) return false;
  const hasRight = load<u32>(leaf, PGNO_RIGHT) != 0;
  if (pages != (hasRight ? 4 : 3)) return false;
  const right = hasRight ? load<u32>(list, 20) : 0;
  const next = list + (hasRight ? 28 : 16);
  if (!load<u32>(next, 8)) return false;
  const position = load<u32>(item, 12);
  return splitPages(above, leaf, inserted, load<u32>(list, 8), right, load<u32>(next, 4), load<u32>(next, 16), generation, position);
}

/** Whether records are those of a split of the usual kind: the change above, the split of the leaf, the Insert. */
export function isUsual(above: usize, leaf: usize, inserted: usize): bool {
  if (load<u8>(above) != LRTYP_SPLIT2 || load<u8>(leaf) != LRTYP_SPLIT2 || load<u8>(inserted) != LRTYP_INSERT) {
    return false;
  }
  const type = load<u8>(leaf, SPLIT_TYPE);
  return (
    !load<u32>(above, PGNO_NEW) &&
    load<u32>(leaf, PGNO_NEW) != 0 &&
    load<u32>(inserted, PGNO) == load<u32>(leaf, PGNO) &&
    load<u8>(leaf, SPLIT_OPERATION) == OPERATION_INSERT &&
    (type == TYPE_APPEND || type == TYPE_RIGHT)
  );
}

/** Carries out a split of the usual kind on the pages in these slots; the new one came into memory blank. */
export function splitPages(
  above: usize,
  leaf: usize,
  inserted: usize,
  leafSlot_: u32,
  rightSlot_: u32,
  newSlot_: u32,
  parentSlot_: u32,
  generation: u32,
  position: u32,
): bool {
  parentRecord = above;
  record = leaf;
  insertion = inserted;
  leafSlot = leafSlot_;
  rightSlot = rightSlot_;
  newSlot = newSlot_;
  parentSlot = parentSlot_;
  if (isChanged(newSlot) || !areApart() || !areBefore()) return false;
  const page = pageIn(leafSlot);
  const type = load<u8>(record, SPLIT_TYPE);
  if (load<u32>(record, IMAGE_BYTES) && !isImage(page, record)) return false;
  if (!buildNew(page)) return false;
  const before = scratch + SCRATCH_PAGE;
  if (type == TYPE_RIGHT) memory.copy(before, page, pageSize);
  if ((type == TYPE_RIGHT && !cutPage(page)) || !changeParent()) {
    if (type == TYPE_RIGHT) memory.copy(page, before, pageSize);
    return false;
  }
  const dbtime = load<i64>(record, DBTIME);
  stamp(newSlot, dbtime, generation, position);
  store<u32>(page, load<u32>(record, PGNO_NEW), PAGE_NEXT);
  store<u32>(page, load<u32>(record, FLAGS_SPLIT), PAGE_FLAGS);
  stamp(leafSlot, dbtime, generation, position);
  if (load<u32>(record, PGNO_RIGHT)) {
    store<u32>(pageIn(rightSlot), load<u32>(record, PGNO_NEW), PAGE_PREV);
    stamp(rightSlot, dbtime, generation, position);
  }
  stamp(parentSlot, load<i64>(parentRecord, DBTIME), generation, position);
  return true;
}

/** Whether the pages are different ones. */
function areApart(): bool {
  if (leafSlot == newSlot || leafSlot == parentSlot || newSlot == parentSlot) return false;
  if (!load<u32>(record, PGNO_RIGHT)) return true;
  return rightSlot != leafSlot && rightSlot != newSlot && rightSlot != parentSlot;
}

function isBefore(slot: u32, split: usize, dbtimeBefore: i64): bool {
  const page = pageIn(slot);
  const dbtime = load<i64>(page, PAGE_DBTIME);
  return (
    dbtime == dbtimeBefore && dbtime < load<i64>(split, DBTIME) && load<u32>(page, PAGE_OBJID) == load<u32>(split, OBJID)
  );
}

/** Whether all pages are as they were before the split, and have the lines that it names. */
function areBefore(): bool {
  if (!isBefore(leafSlot, record, load<i64>(record, DBTIME_BEFORE))) return false;
  if (!isBefore(parentSlot, parentRecord, load<i64>(parentRecord, DBTIME_BEFORE))) return false;
  if (load<u32>(record, PGNO_RIGHT) && !isBefore(rightSlot, record, load<i64>(record, DBTIME_RIGHT_BEFORE))) return false;
  const lines = <u32>load<u16>(record, LINES);
  const line = <u32>load<u16>(record, LINE_OPERATION);
  const from = <u32>load<u16>(record, LINE_SPLIT);
  if (<u32>(nodeCountOf(pageIn(leafSlot)) + 1) != lines || from > lines || line >= lines) return false;
  return load<u8>(record, SPLIT_TYPE) != TYPE_APPEND || (from == lines - 1 && line == from);
}

/** Whether a record has a whole image of a page, and the page equals it in all that has meaning. */
function isImage(page: usize, record: usize): bool {
  if (load<u32>(record, IMAGE_FLAGS) || load<u32>(record, IMAGE_BYTES) != pageSize) return false;
  const image = bodyOf(record, 3);
  if (load<u64>(image, PAGE_PREV) != load<u64>(page, PAGE_PREV)) return false;
  // Tree and free bytes; then how much is used, and the tags.
  if (load<u32>(image, PAGE_OBJID) != load<u32>(page, PAGE_OBJID) || load<u16>(image, 28) != load<u16>(page, 28)) {
    return false;
  }
  if (load<u32>(image, 32) != load<u32>(page, 32)) return false;
  if ((load<u32>(image, PAGE_FLAGS) ^ load<u32>(page, PAGE_FLAGS)) & ROLE_FLAGS) return false;
  const used = usedBytesOf(page);
  const tags = TAG_BYTES * tagCountOf(page);
  if (headerBytes + used + tags > pageSize) return false;
  if (memory.compare(image + headerBytes, page + headerBytes, used)) return false;
  const ignored: u32 = isLarge ? 0 : TAG_VERSION_FLAG;
  for (let at = pageSize - tags; at < pageSize; at += TAG_BYTES) {
    if ((load<u32>(image + at) ^ load<u32>(page + at)) & ~ignored) return false;
  }
  return true;
}

/** Address of the n-th part of the body: key for above, old prefix, new prefix, image. */
function bodyOf(record: usize, n: u32): usize {
  let at = record + BODY;
  if (n > 0) at += <usize>load<u16>(record, KEY_PARENT_BYTES);
  if (n > 1) at += <usize>load<u16>(record, PREFIX_OLD_BYTES);
  if (n > 2) at += <usize>load<u16>(record, PREFIX_NEW_BYTES);
  return at;
}

function insertNew(page: usize, line: u32): bool {
  const key = insertion + 50;
  const keyBytes = <u32>load<u16>(insertion, 44) + <u32>load<u16>(insertion, 46);
  const flags = <u32>load<u8>(insertion, 31) & LOGGED_VERSIONED ? NODE_VERSION : 0;
  return insertKeyed(page, line, flags, key, keyBytes, key + keyBytes, <u32>load<u16>(insertion, 48));
}

/** Builds the new page. Nobody has looked at it yet, so nothing is lost when it cannot be done. */
function buildNew(source: usize): bool {
  const page = pageIn(newSlot);
  const pgnoNew = load<u32>(record, PGNO_NEW);
  initialize(page, pgnoNew, load<u32>(record, FLAGS_NEW), load<u32>(record, OBJID), load<i64>(record, DBTIME));
  store<u32>(page, load<u32>(record, PGNO), PAGE_PREV);
  store<u32>(page, load<u32>(record, PGNO_RIGHT), PAGE_NEXT);
  const from = <u32>load<u16>(record, LINE_SPLIT);
  const newLine = <u32>load<u16>(record, LINE_OPERATION);
  const prefixLine = <i32>load<u32>(record, LINE_PREFIX_NEW);
  if (prefixLine != -1) {
    const line = from + <u32>prefixLine;
    if (line == newLine) {
      const keyBytes = <u32>load<u16>(insertion, 44) + <u32>load<u16>(insertion, 46);
      if (!setExternalHeader(page, insertion + 50, keyBytes)) return false;
    } else {
      const keyBytes = keyOf(source, line > newLine ? line - 1 : line);
      if (keyBytes < 0 || !setExternalHeader(page, keyScratch(), <u32>keyBytes)) return false;
    }
  }
  const lines = <u32>load<u16>(record, LINES);
  for (let line = from; line < lines; line += 1) {
    if (line == newLine) {
      if (!insertNew(page, <u32>nodeCountOf(page))) return false;
    } else if (!appendCopy(page, source, line > newLine ? line - 1 : line)) {
      return false;
    }
  }
  return true;
}

/** Takes the nodes that moved off the leaf; when it returns false, the page is spoilt. */
function cutPage(page: usize): bool {
  const from = <u32>load<u16>(record, LINE_SPLIT);
  const line = <u32>load<u16>(record, LINE_OPERATION);
  const stays = line < from;
  const kept = <i32>(stays ? from - 1 : from);
  const reserved = reservedOf(page);
  for (let last = nodeCountOf(page) - 1; last >= kept; last -= 1) removeTag(page, <u32>last + reserved);
  if (!changePrefix(page, bodyOf(record, 2), <u32>load<u16>(record, PREFIX_NEW_BYTES))) return false;
  return !stays || insertNew(page, line);
}

/** Gives the page above the pointer to the leaf, and makes the old one point to the new page; false if it cannot. */
function changeParent(): bool {
  const page = pageIn(parentSlot);
  const line = <u32>load<u16>(parentRecord, LINE_OPERATION);
  const pgno = load<u32>(record, PGNO);
  if (!locate(page, line) || dataLength != 4 || load<u32>(page + dataStart) != pgno) return false;
  const pointer = keyScratch();
  store<u32>(pointer, pgno);
  const key = bodyOf(record, 0);
  if (!insertKeyed(page, line, 0, key, <u32>load<u16>(record, KEY_PARENT_BYTES), pointer, 4)) return false;
  locate(page, line + 1);
  store<u32>(page + dataStart, load<u32>(record, PGNO_NEW));
  return true;
}
