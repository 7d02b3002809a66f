/**
 * The walk of replay: goes through the log in the window, in order, and does what redo does for its most frequent
 * records: those that change one page, and those that begin and commit transactions (format specification, chapters
 * 4.4.4, 5.3.5 and 5.6). AssemblyScript. It is a fast way through src/recovery/redo.ts and replay.ts for plain cases
 * and stops in front of everything else, so that every rule is stated there; with and without it the same streams give
 * the same bytes.
 *
 * The memory is described in src/recovery/replay-layout.ts.
 */
import { configure as configureChanges, redo, run } from './replay';
import { isUsual, splitPages } from './replay-split';

export { move, run } from './replay';

// Words of the walk (WALK).
const AT: usize = 0;
const SEGMENT: usize = 4;
const SEGMENT_START: usize = 8;
const SEGMENT_END: usize = 12;
const WINDOW_END: usize = 16;
const ISEC: usize = 20;
const IB: usize = 24;
const LIMIT: usize = 28;
const RECORDS: usize = 32;
const COMMITTED: usize = 36;
const LAST_TYPE: usize = 40;
const LAST_ISEC: usize = 44;
const LAST_IB: usize = 48;
const NOTED: usize = 52;
const NOTED_BEFORE: usize = 56;
const VERSIONS: usize = 60;
const STASHED: usize = 64;
const ITEMS: usize = 68;
const ORDER: usize = 72;
const ROUND: usize = 76;
const THREADS: usize = 80;
const OWN_SHARE: usize = 84;
const IS_STUCK: usize = 88;
const THREAD_NUMBERS: usize = 96;
const NEEDED_PGNO: usize = 160;
const NEEDED_DBID: usize = 164;

// A session (SESSION): its number is its place.
const SESSION_SHIFT: u32 = 5;
const SESSION_LEVEL: usize = 4;
const SESSION_TRX: usize = 8;
const SESSION_GENERATION: usize = 12;
const SESSION_ISEC: usize = 16;
const SESSION_IB: usize = 20;
const SESSION_FINISHED: usize = 24;
const SESSION_MACROS: usize = 28;
const IS_KNOWN: u32 = 1;
const IS_AFTER_FIRST_BEGIN: u32 = 2;
const LEVEL_MAX: u32 = 10;

// A database (DATABASE).
const DATABASE_SHIFT: u32 = 5;
const DATABASE_OBJID: usize = 4;
const DATABASE_DBTIME: usize = 8;
const IS_READY: u32 = 1;
const IS_IN_RANGE: u32 = 2;

const ITEM_IN_RANGE: u32 = 1;
const ITEM_DBID_SHIFT: u32 = 8;
const ITEMS_MAX: u32 = 0x4000 - 32;
const QUEUE_MASK: u32 = 0x3fff;
const QUEUE_SHIFT: u32 = 19;
const PUBLISHED_ITEMS: u32 = 32;
const WAKING_ITEMS: u32 = 512;
const PARTS: u32 = 64;
const CONTROL_SHIFT: u32 = 7;
const CONTROL_DONE: usize = 0;
const CONTROL_AWAITED: usize = 12;
const CONTROL_QUEUED: usize = 4;
const CONTROL_ASLEEP: usize = 16;
const CONTROL_WRITTEN: usize = 36;
const CONTROL_WOKEN: usize = 40;
const CONTROL_GENERATION: usize = 20;
const CONTROL_WAITED_FOR: usize = 44;
const CONTROL_WAITED: usize = 64;

const MARK_USED: usize = 12;
const MARK_FRESH: u32 = 4;
const MARK_CHANGED: u32 = 2;

const KIND_NODE: u32 = 0;
const KIND_MACRO: u32 = 2;
const KIND_WAIT: u32 = 3;

const NOTE_INSERT: u32 = 0;
const NOTE_PENDING: u32 = 1;
const NOTE_LOWER: u32 = 2;
const NOTE_FINISH: u32 = 3;
const NOTED_MAX: u32 = 0x8000;

const VERSIONS_MAX: u32 = 0x4000;
const ARENA_BYTES: u32 = 0x1000000;
const STASH_BYTES: u32 = 0x200000;

const TABLE_MASK: u32 = 0xffff;

const SEGMENT_BYTES: usize = 4096;
const SEGMENT_HEADER_BYTES: usize = 40;
/** Longer records are put together elsewhere. */
const ASSEMBLED_MAX: u32 = 0x10000;

const LRTYP_NOP: u8 = 0;
const LRTYP_BEGIN: u8 = 5;
const LRTYP_COMMIT: u8 = 6;
const LRTYP_BEGIN0: u8 = 8;
const LRTYP_COMMIT0: u8 = 9;
const LRTYP_MACRO_BEGIN: u8 = 11;
const LRTYP_MACRO_COMMIT: u8 = 12;
const LRTYP_INSERT: u8 = 29;
const LRTYP_FLAG_INSERT: u8 = 30;
const LRTYP_FLAG_INSERT_AND_REPLACE: u8 = 31;
const LRTYP_FLAG_DELETE: u8 = 32;
const LRTYP_REPLACE: u8 = 33;
const LRTYP_REPLACE_D: u8 = 34;
const LRTYP_DELETE: u8 = 35;
const LRTYP_SPLIT2: u8 = 62;
const LRTYP_MACRO_INFO: u8 = 67;
const LRTYP_COMMIT_CTX: u8 = 69;
const LRTYP_MACRO_INFO2: u8 = 73;
const LRTYP_FRAGMENT_BEGIN: u8 = 76;
const LRTYP_FRAGMENT: u8 = 77;

/** Records of a macro that is carried out here: its begin and end, two splits, an Insert. */
const MACRO_RECORDS: u32 = 5;
/** Items that it may take: itself, and a wait for each page but the first. */
const MACRO_ITEMS: u32 = 4;

const LOGGED_VERSIONED: u32 = 1;

let walkState: usize = 0;
let sessions: usize = 0;
let databases: usize = 0;
let table: usize = 0;
let owners: usize = 0;
let notes: usize = 0;
let versions: usize = 0;
let stash: usize = 0;
let queues: usize = 0;
let marks: usize = 0;
let pageSize: u32 = 0;

/** The segment in which `assemble` found the end of a record, and the address behind it. */
let segment: u32 = 0;
let segmentStart: usize = 0;
let segmentEnd: usize = 0;
let windowEnd: usize = 0;
let at: usize = 0;
let isec: u32 = 0;
let ib: u32 = 0;
let generation: u32 = 0;

/** Says where things lie. To be called once in each thread. */
export function configure(
  pageSize_: u32,
  pages: usize,
  marks_: usize,
  progress: usize,
  arena: usize,
  arenaEnd: usize,
  scratch: usize,
  walk_: usize,
  sessions_: usize,
  databases_: usize,
  table_: usize,
  owners_: usize,
  notes_: usize,
  versions_: usize,
  stash_: usize,
  queues_: usize,
): void {
  configureChanges(pageSize_, pages, marks_, progress, arena, arenaEnd, scratch);
  pageSize = pageSize_;
  marks = marks_;
  walkState = walk_;
  sessions = sessions_;
  databases = databases_;
  table = table_;
  owners = owners_;
  notes = notes_;
  versions = versions_;
  stash = stash_;
  queues = queues_;
}

/** Goes on until it meets a record that it leaves alone, has gone through as many as it may, or the window ends. */
export function walk(): void {
  at = <usize>load<u32>(walkState, AT);
  segment = load<u32>(walkState, SEGMENT);
  segmentStart = <usize>load<u32>(walkState, SEGMENT_START);
  segmentEnd = <usize>load<u32>(walkState, SEGMENT_END);
  windowEnd = <usize>load<u32>(walkState, WINDOW_END);
  isec = load<u32>(walkState, ISEC);
  ib = load<u32>(walkState, IB);
  generation = load<u32>(CONTROL_GENERATION);
  const limit = load<u32>(walkState, LIMIT);
  let records: u32 = 0;
  while (records < limit) {
    if (at >= segmentEnd) {
      if (!enterSegment()) break;
      continue;
    }
    const lrtyp = load<u8>(at);
    if (lrtyp == LRTYP_NOP) {
      skipNops();
      continue;
    }
    if (lrtyp == LRTYP_MACRO_BEGIN) {
      if (records + MACRO_RECORDS > limit || !carryOutMacro()) break;
      records += MACRO_RECORDS;
    } else {
      if (lrtyp == LRTYP_FRAGMENT_BEGIN ? !carryOutPieces() : !carryOutWhole(lrtyp)) break;
      records += 1;
    }
    if (load<u32>(walkState, IS_STUCK)) break;
  }
  store<u32>(walkState, <u32>at, AT);
  store<u32>(walkState, segment, SEGMENT);
  store<u32>(walkState, <u32>segmentStart, SEGMENT_START);
  store<u32>(walkState, <u32>segmentEnd, SEGMENT_END);
  store<u32>(walkState, isec, ISEC);
  store<u32>(walkState, ib, IB);
  store<u32>(walkState, records, RECORDS);
}

function carryOutWhole(lrtyp: u8): bool {
  const size = sizeOf(lrtyp, at, <u32>(segmentEnd - at));
  if (!size || !carryOut(lrtyp, at)) return false;
  note(lrtyp);
  at += size;
  endRecord();
  return true;
}

/** The walk stands behind a record: there the next one has its position. */
function endRecord(): void {
  const isAtEnd = at == segmentEnd;
  isec = isAtEnd ? segment + 1 : segment;
  ib = isAtEnd ? 0 : <u32>(at - segmentStart);
}

function enterSegment(): bool {
  if (segmentEnd + SEGMENT_BYTES > windowEnd) return false;
  segment += 1;
  segmentStart = segmentEnd;
  segmentEnd += SEGMENT_BYTES;
  at = segmentStart + SEGMENT_HEADER_BYTES;
  return true;
}

function skipNops(): void {
  while (at + 8 <= segmentEnd && load<u64>(at) == 0) at += 8;
  while (at < segmentEnd && load<u8>(at) == LRTYP_NOP) at += 1;
}

/** The record was the last one met. */
function note(lrtyp: u8): void {
  store<u32>(walkState, lrtyp, LAST_TYPE);
  store<u32>(walkState, isec, LAST_ISEC);
  store<u32>(walkState, ib, LAST_IB);
}

/** Size of a record that the walk may carry out, if all of it lies within `room` bytes; else 0. */
function sizeOf(lrtyp: u8, record: usize, room: u32): u32 {
  let size: u32 = 0;
  switch (lrtyp) {
    case LRTYP_BEGIN:
    case LRTYP_COMMIT:
      size = 4;
      break;
    case LRTYP_BEGIN0:
    case LRTYP_COMMIT0:
      size = 8;
      break;
    case LRTYP_MACRO_BEGIN:
    case LRTYP_MACRO_COMMIT:
      size = 11;
      break;
    case LRTYP_SPLIT2:
      if (room >= 110) {
        const more = load<u32>(record, 106);
        const keys = <u32>load<u16>(record, 96) + load<u16>(record, 98) + load<u16>(record, 100);
        size = more <= room ? 110 + keys + more : 0;
      }
      break;
    case LRTYP_FLAG_DELETE:
    case LRTYP_DELETE:
      size = 44;
      break;
    case LRTYP_INSERT:
      if (room >= 50) size = 50 + load<u16>(record, 44) + load<u16>(record, 46) + load<u16>(record, 48);
      break;
    case LRTYP_FLAG_INSERT:
      if (room >= 48) size = 48 + load<u16>(record, 44) + load<u16>(record, 46);
      break;
    case LRTYP_FLAG_INSERT_AND_REPLACE:
      if (room >= 52) size = 52 + load<u16>(record, 44) + load<u16>(record, 46);
      break;
    case LRTYP_REPLACE:
    case LRTYP_REPLACE_D:
      if (room >= 50) size = 50 + (<u32>load<u16>(record, 44) & 0x7fff);
      break;
    case LRTYP_MACRO_INFO:
    case LRTYP_MACRO_INFO2:
    case LRTYP_COMMIT_CTX:
      if (room >= 5) {
        const more = load<u32>(record, 1);
        size = more <= room ? 5 + more : 0;
      }
      break;
  }
  return size <= room ? size : 0;
}

/** Carries out a record that was cut up at segment ends; false if it cannot be. */
function carryOutPieces(): bool {
  const atBefore = at;
  const segmentBefore = segment;
  const startBefore = segmentStart;
  const stashed = load<u32>(walkState, STASHED);
  const record = assemble();
  if (record && carryOut(load<u8>(record), record)) {
    note(load<u8>(record));
    endRecord();
    return true;
  }
  goBack(atBefore, segmentBefore, startBefore, stashed);
  return false;
}

function goBack(at_: usize, segment_: u32, segmentStart_: usize, stashed: u32): void {
  at = at_;
  segment = segment_;
  segmentStart = segmentStart_;
  segmentEnd = segmentStart + SEGMENT_BYTES;
  store<u32>(walkState, stashed, STASHED);
}

/** Puts the record together whose first piece is here, in the stash; 0 if that cannot be done here. */
function assemble(): usize {
  const room = <i32>(segmentEnd - at) - 7;
  if (room < 1) return 0;
  const total = load<u32>(at, 1);
  let piece = <u32>load<u16>(at, 5);
  if (piece == 0 || <i32>piece > room || piece >= total || total > ASSEMBLED_MAX) return 0;
  const lrtyp = load<u8>(at, 7);
  const stashed = load<u32>(walkState, STASHED);
  if (stashed + total > STASH_BYTES) return 0;
  const record = stash + stashed;
  memory.copy(record, at + 7, piece);
  at += 7 + piece;
  for (let assembled = piece; assembled < total; assembled += piece) {
    if (!toNext() || load<u8>(at) != LRTYP_FRAGMENT || segmentEnd - at < 3) return 0;
    piece = <u32>load<u16>(at, 1);
    if (<u32>(segmentEnd - at) - 3 < piece || piece > total - assembled || piece == 0) return 0;
    memory.copy(record + assembled, at + 3, piece);
    at += 3 + piece;
  }
  if (sizeOf(lrtyp, record, total) != total) return 0;
  store<u32>(walkState, stashed + ((total + 3) & ~3), STASHED);
  return record;
}

/** Goes to the next byte that is no filler; false if the window has none. */
function toNext(): bool {
  for (;;) {
    if (at < segmentEnd) {
      if (load<u8>(at) != LRTYP_NOP) break;
      skipNops();
    } else if (!enterSegment()) {
      return false;
    }
  }
  return true;
}

/** Goes over the next record, if it is of this type, and returns where it lies; else 0. */
function takeRecord(lrtyp: u8): usize {
  if (!toNext()) return 0;
  let record: usize = 0;
  if (load<u8>(at) == LRTYP_FRAGMENT_BEGIN) {
    record = assemble();
    if (!record || load<u8>(record) != lrtyp) return 0;
  } else {
    if (load<u8>(at) != lrtyp) return 0;
    const size = sizeOf(lrtyp, at, <u32>(segmentEnd - at));
    if (!size) return 0;
    record = at;
    at += size;
  }
  endRecord();
  return record;
}

/** Carries out a macro that is a split of the usual kind, with nothing between its records; false if it is not. */
function carryOutMacro(): bool {
  const atBefore = at;
  const segmentBefore = segment;
  const startBefore = segmentStart;
  const isecBefore = isec;
  const ibBefore = ib;
  const stashed = load<u32>(walkState, STASHED);
  const begin = takeRecord(LRTYP_MACRO_BEGIN);
  const above = begin ? takeRecord(LRTYP_SPLIT2) : 0;
  const leaf = above ? takeRecord(LRTYP_SPLIT2) : 0;
  const inserted = leaf ? takeRecord(LRTYP_INSERT) : 0;
  if (inserted && isUsual(above, leaf, inserted)) {
    const commitIsec = isec;
    const commitIb = ib;
    const commit = takeRecord(LRTYP_MACRO_COMMIT);
    if (commit && areTogether(begin, above, leaf, inserted, commit)) {
      if (splitNow(above, leaf, inserted, (commitIsec << 16) | commitIb)) {
        store<u32>(walkState, LRTYP_MACRO_COMMIT, LAST_TYPE);
        store<u32>(walkState, commitIsec, LAST_ISEC);
        store<u32>(walkState, commitIb, LAST_IB);
        return true;
      }
    }
  }
  goBack(atBefore, segmentBefore, startBefore, stashed);
  isec = isecBefore;
  ib = ibBefore;
  return false;
}

/** Whether records make one macro of one database. */
function areTogether(begin: usize, above: usize, leaf: usize, inserted: usize, commit: usize): bool {
  const procid = load<u16>(begin, 1);
  const dbtime = load<i64>(begin, 3);
  const dbid = load<u8>(above, 3);
  return (
    load<u16>(above, 1) == procid &&
    load<u16>(leaf, 1) == procid &&
    load<u16>(inserted, 1) == procid &&
    load<u16>(commit, 1) == procid &&
    load<i64>(above, 8) == dbtime &&
    load<i64>(leaf, 8) == dbtime &&
    load<i64>(inserted, 8) == dbtime &&
    load<i64>(commit, 3) == dbtime &&
    load<u8>(leaf, 3) == dbid &&
    load<u8>(inserted, 3) == dbid
  );
}

/** Carries out or queues a split; false if it is to be left alone, maybe until the new page has a place. */
function splitNow(above: usize, leaf: usize, inserted: usize, position: u32): bool {
  const dbid = <u32>load<u8>(leaf, 3);
  const database = databases + (<usize>dbid << DATABASE_SHIFT);
  const state = load<u32>(database);
  const procid = <u32>load<u16>(leaf, 1);
  const session = sessions + (<usize>procid << SESSION_SHIFT);
  if (!(state & IS_READY) || !(load<u32>(session) & IS_AFTER_FIRST_BEGIN)) return false;
  if (load<u32>(session, SESSION_MACROS) || load<u32>(walkState, NOTED) >= NOTED_MAX) return false;
  const pgnoRight = load<u32>(leaf, 36);
  const pgnoNew = load<u32>(leaf, 32);
  const leafSlot = slotOf(load<u32>(leaf, 4), dbid);
  const rightSlot = pgnoRight ? slotOf(pgnoRight, dbid) : 0;
  const parentSlot = slotOf(load<u32>(above, 4), dbid);
  if (leafSlot < 0 || rightSlot < 0 || parentSlot < 0) return false;
  const newSlot = slotOf(pgnoNew, dbid);
  if (newSlot < 0) {
    store<u32>(walkState, pgnoNew, NEEDED_PGNO);
    store<u32>(walkState, dbid, NEEDED_DBID);
    return false;
  }
  if ((load<u32>(marks + (<usize>newSlot << 4)) & (MARK_FRESH | MARK_CHANGED)) != MARK_FRESH) return false;
  if (load<u32>(walkState, THREADS) == 1) {
    if (!splitPages(above, leaf, inserted, leafSlot, rightSlot, newSlot, parentSlot, generation, position)) return false;
  } else {
    const flags = (dbid << ITEM_DBID_SHIFT) | (state & IS_IN_RANGE ? ITEM_IN_RANGE : 0);
    if (!enqueueSplit(above, leaf, inserted, leafSlot, rightSlot, newSlot, parentSlot, position, flags, dbid)) return false;
  }
  setUsed(leafSlot);
  if (pgnoRight) setUsed(rightSlot);
  setUsed(newSlot);
  setUsed(parentSlot);
  if (<u32>load<u8>(inserted, 31) & LOGGED_VERSIONED) addNote(NOTE_INSERT, procid, <u32>inserted, 0);
  count(database, inserted);
  return true;
}

/** Carries out a record of which the size is known; false where it is to be left alone. */
function carryOut(lrtyp: u8, record: usize): bool {
  if (lrtyp >= LRTYP_INSERT && lrtyp <= LRTYP_DELETE) return changePage(lrtyp, record);
  if (lrtyp == LRTYP_MACRO_INFO || lrtyp == LRTYP_COMMIT_CTX || lrtyp == LRTYP_MACRO_INFO2) return true;
  if (lrtyp != LRTYP_BEGIN && lrtyp != LRTYP_COMMIT && lrtyp != LRTYP_BEGIN0 && lrtyp != LRTYP_COMMIT0) return false;
  const procid = <u32>load<u16>(record, 1);
  const session = sessions + (<usize>procid << SESSION_SHIFT);
  const flags = load<u32>(session);
  if (!(flags & IS_KNOWN) || load<u32>(walkState, NOTED) >= NOTED_MAX) return false;
  const levels = <u32>load<u8>(record, 3);
  if (lrtyp == LRTYP_BEGIN0) {
    finish(procid, session);
    store<u32>(session, boundLevel((levels & 15) + (levels >> 4)), SESSION_LEVEL);
    store<u32>(session, load<u32>(record, 4), SESSION_TRX);
    store<u32>(session, generation, SESSION_GENERATION);
    store<u32>(session, isec, SESSION_ISEC);
    store<u32>(session, ib, SESSION_IB);
    store<u32>(session, flags | IS_AFTER_FIRST_BEGIN);
  } else if (flags & IS_AFTER_FIRST_BEGIN) {
    if (lrtyp == LRTYP_BEGIN) {
      store<u32>(session, boundLevel((levels & 15) + (levels >> 4)), SESSION_LEVEL);
    } else if (lrtyp == LRTYP_COMMIT) {
      const level = boundLevel(levels);
      store<u32>(session, level, SESSION_LEVEL);
      addNote(NOTE_LOWER, procid, level, 0);
    } else {
      store<u32>(session, 0, SESSION_LEVEL);
      finish(procid, session);
      store<u32>(walkState, load<u32>(walkState, COMMITTED) + 1, COMMITTED);
    }
  }
  return true;
}

function boundLevel(level: u32): u32 {
  return level < LEVEL_MAX ? level : LEVEL_MAX;
}

/** Nothing of the session can be undone any more. */
function finish(procid: u32, session: usize): void {
  store<u32>(session, load<u32>(walkState, NOTED_BEFORE) + load<u32>(walkState, NOTED), SESSION_FINISHED);
  addNote(NOTE_FINISH, procid, 0, 0);
}

/** Notes what there is to undo; there must be room. */
function addNote(kind: u32, procid: u32, address: u32, version: u32): void {
  const noted = load<u32>(walkState, NOTED);
  const to = notes + (<usize>noted << 4);
  store<u32>(to, kind);
  store<u32>(to, procid, 4);
  store<u32>(to, address, 8);
  store<u32>(to, version, 12);
  store<u32>(walkState, noted + 1, NOTED);
}

/** The slot of a page, or -1 if it is not known here. */
function slotOf(pgno: u32, dbid: u32): i32 {
  const entry = table + (<usize>((pgno + dbid * 0x9e37) & TABLE_MASK) << 3);
  const found = load<u32>(entry, 4);
  return load<u32>(entry) != pgno || !found || found >> 24 != dbid ? -1 : <i32>((found & 0xffffff) - 1);
}

function setUsed(slot: u32): void {
  store<u32>(marks + (<usize>slot << 4), 1, MARK_USED);
}

/** Stamp and object id of a record count whether or not it is carried out. */
function count(database: usize, record: usize): void {
  if (load<i64>(record, 8) > load<i64>(database, DATABASE_DBTIME)) {
    store<i64>(database, load<i64>(record, 8), DATABASE_DBTIME);
  }
  if (load<u32>(record, 40) > load<u32>(database, DATABASE_OBJID)) {
    store<u32>(database, load<u32>(record, 40), DATABASE_OBJID);
  }
}

function changePage(lrtyp: u8, record: usize): bool {
  const dbid = <u32>load<u8>(record, 3);
  const database = databases + (<usize>dbid << DATABASE_SHIFT);
  const state = load<u32>(database);
  if (!(state & IS_READY)) return false;
  const procid = <u32>load<u16>(record, 1);
  const session = sessions + (<usize>procid << SESSION_SHIFT);
  const flags = load<u32>(session);
  if (!(flags & IS_KNOWN)) return false;
  if (flags & IS_AFTER_FIRST_BEGIN) {
    if (load<u32>(session, SESSION_MACROS)) return false;
    const slot = slotOf(load<u32>(record, 4), dbid);
    if (slot < 0) return false;
    const noted = load<u32>(walkState, NOTED);
    if (noted + 2 > NOTED_MAX) return false;
    let version: usize = 0;
    let isInsert = false;
    if (<u32>load<u8>(record, 31) & LOGGED_VERSIONED) {
      const rceid = load<u32>(record, 32);
      isInsert = lrtyp >= LRTYP_INSERT && lrtyp <= LRTYP_FLAG_INSERT_AND_REPLACE;
      const gives =
        lrtyp == LRTYP_FLAG_DELETE ||
        (lrtyp == LRTYP_FLAG_INSERT_AND_REPLACE && load<u32>(record, 48) != 0) ||
        ((lrtyp == LRTYP_REPLACE || lrtyp == LRTYP_REPLACE_D) && rceid != 0);
      if (gives) {
        const count = load<u32>(walkState, VERSIONS);
        if (count >= VERSIONS_MAX || (count + 1) * pageSize > ARENA_BYTES) return false;
        version = versions + (<usize>count << 5);
        store<u32>(version, 0);
      }
    }
    const itemFlags = (dbid << ITEM_DBID_SHIFT) | (state & IS_IN_RANGE ? ITEM_IN_RANGE : 0);
    const position = (isec << 16) | ib;
    if (load<u32>(walkState, THREADS) == 1) {
      if (!redo(record, slot, generation, position, version, itemFlags)) return false;
    } else if (!enqueue(record, slot, position, version, itemFlags, dbid)) {
      return false;
    }
    setUsed(slot);
    if (isInsert) addNote(NOTE_INSERT, procid, <u32>record, 0);
    if (version) {
      addNote(NOTE_PENDING, procid, <u32>record, <u32>version);
      store<u32>(walkState, load<u32>(walkState, VERSIONS) + 1, VERSIONS);
    }
  }
  count(database, record);
  return true;
}

/** Puts the change of a page into the queue of the thread that has the page; false if there is no room. */
function enqueue(record: usize, slot: u32, position: u32, version: usize, flags: u32, dbid: u32): bool {
  if (load<u32>(walkState, ITEMS) >= ITEMS_MAX) return false;
  const index = ownerOf(slot, dbid);
  const number = numberOf(index);
  put(number, KIND_NODE, record, slot, position, version, flags, sizeOf(load<u8>(record), record, 0x40000));
  own(slot, index, number);
  publishIfDue(number);
  return true;
}

/** The same for a split: its list of pages and records goes to the stash. */
function enqueueSplit(
  above: usize,
  leaf: usize,
  inserted: usize,
  leafSlot: u32,
  rightSlot: u32,
  newSlot: u32,
  parentSlot: u32,
  position: u32,
  flags: u32,
  dbid: u32,
): bool {
  const stashed = load<u32>(walkState, STASHED);
  if (load<u32>(walkState, ITEMS) + MACRO_ITEMS > ITEMS_MAX || stashed + 128 > STASH_BYTES) return false;
  const pgnoRight = load<u32>(leaf, 36);
  const list = stash + stashed;
  store<u32>(list, pgnoRight ? 4 : 3);
  let to = addPage(list + 4, load<u32>(leaf, 4), leafSlot, 0);
  if (pgnoRight) to = addPage(to, pgnoRight, rightSlot, 0);
  to = addPage(to, load<u32>(leaf, 32), newSlot, 1);
  to = addPage(to, load<u32>(above, 4), parentSlot, 0);
  to = addRecord(to, above);
  to = addRecord(to, leaf);
  to = addRecord(to, inserted);
  store<u32>(walkState, <u32>(to - stash), STASHED);
  const index = ownerOf(leafSlot, dbid);
  const number = numberOf(index);
  if (pgnoRight) waitFor(rightSlot, index, number);
  waitFor(newSlot, index, number);
  waitFor(parentSlot, index, number);
  put(number, KIND_MACRO, list, 0, position, 0, flags, 3);
  own(leafSlot, index, number);
  if (pgnoRight) own(rightSlot, index, number);
  own(newSlot, index, number);
  own(parentSlot, index, number);
  publishIfDue(number);
  return true;
}

function addPage(to: usize, pgno: u32, slot: u32, isFresh: u32): usize {
  store<u32>(to, pgno);
  store<u32>(to, slot, 4);
  store<u32>(to, isFresh, 8);
  return to + 12;
}

function addRecord(to: usize, record: usize): usize {
  store<u32>(to, <u32>record);
  store<u32>(to, sizeOf(load<u8>(record), record, 0x40000), 4);
  return to + 8;
}

/** The thread that has a page, or is to get it, by its place among those that get items. */
function ownerOf(slot: u32, dbid: u32): u32 {
  const owner = owners + <usize>slot * 12;
  if (load<u32>(owner) == load<u32>(walkState, ROUND)) return load<u32>(owner, 4);
  const hash = ((slot + (dbid << 20)) * 0x9e3779b1) >> 16;
  if (hash % PARTS < load<u32>(walkState, OWN_SHARE)) return 0;
  return 1 + ((hash >> 6) % (load<u32>(walkState, THREADS) - 1));
}

function numberOf(index: u32): u32 {
  return load<u32>(walkState + (<usize>index << 2), THREAD_NUMBERS);
}

/** The last item queued for a thread is the last change of this page. */
function own(slot: u32, index: u32, number: u32): void {
  const owner = owners + <usize>slot * 12;
  store<u32>(owner, load<u32>(walkState, ROUND));
  store<u32>(owner, index, 4);
  store<u32>(owner, load<u32>(<usize>number << CONTROL_SHIFT, CONTROL_WRITTEN) - 1, 8);
}

/** Lets a thread wait for the last change of a page, if another one has it. */
function waitFor(slot: u32, index: u32, number: u32): void {
  const owner = owners + <usize>slot * 12;
  if (load<u32>(owner) != load<u32>(walkState, ROUND) || load<u32>(owner, 4) == index) return;
  const other = numberOf(load<u32>(owner, 4));
  const item = load<u32>(owner, 8);
  const control = <usize>number << CONTROL_SHIFT;
  const bit: u32 = 1 << other;
  const waitedFor = load<u32>(control, CONTROL_WAITED_FOR);
  const waited = control + (<usize>other << 2);
  if (waitedFor & bit && <i32>(item - load<u32>(waited, CONTROL_WAITED)) <= 0) return;
  store<u32>(control, waitedFor | bit, CONTROL_WAITED_FOR);
  store<u32>(waited, item, CONTROL_WAITED);
  put(number, KIND_WAIT, (<usize>other << CONTROL_SHIFT) + CONTROL_DONE, item, 0, 0, 0, 0);
}

function put(
  number: u32,
  kind: u32,
  address: usize,
  slot: u32,
  position: u32,
  version: usize,
  flags: u32,
  size: u32,
): void {
  const control = <usize>number << CONTROL_SHIFT;
  const written = load<u32>(control, CONTROL_WRITTEN);
  const item = queues + (<usize>number << QUEUE_SHIFT) + (<usize>(written & QUEUE_MASK) << 5);
  const order = load<u32>(walkState, ORDER);
  store<u32>(item, kind);
  store<u32>(item, <u32>address, 4);
  store<u32>(item, slot, 8);
  store<u32>(item, position, 12);
  store<u32>(item, <u32>version, 16);
  store<u32>(item, flags, 20);
  store<u32>(item, order, 24);
  store<u32>(item, size, 28);
  store<u32>(control, written + 1, CONTROL_WRITTEN);
  store<u32>(walkState, load<u32>(walkState, ITEMS) + 1, ITEMS);
  store<u32>(walkState, order + 1, ORDER);
}

function publishIfDue(number: u32): void {
  const control = <usize>number << CONTROL_SHIFT;
  const written = load<u32>(control, CONTROL_WRITTEN);
  if (written - load<u32>(control, CONTROL_QUEUED) >= PUBLISHED_ITEMS) publish(number, control, written);
}

/** Lets a thread have its items; the own ones are done at once. */
function publish(number: u32, control: usize, written: u32): void {
  atomic.store<u32>(control, written, CONTROL_QUEUED);
  if (number == 0) {
    const done = load<u32>(control, CONTROL_DONE);
    if (run(queues, done, written, generation) != written) store<u32>(walkState, 1, IS_STUCK);
    if (atomic.load<u32>(control, CONTROL_AWAITED)) atomic.notify(control + CONTROL_DONE, -1);
  } else if (
    written - load<u32>(control, CONTROL_WOKEN) >= WAKING_ITEMS &&
    atomic.load<u32>(control, CONTROL_ASLEEP)
  ) {
    store<u32>(control, written, CONTROL_WOKEN);
    atomic.notify(control + CONTROL_QUEUED, -1);
  }
}
