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
const CONTROL_QUEUED: usize = 4;
const CONTROL_ASLEEP: usize = 16;
const CONTROL_WRITTEN: usize = 36;
const CONTROL_WOKEN: usize = 40;
const CONTROL_GENERATION: usize = 20;

const MARK_USED: usize = 12;

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
const LRTYP_INSERT: u8 = 29;
const LRTYP_FLAG_INSERT: u8 = 30;
const LRTYP_FLAG_INSERT_AND_REPLACE: u8 = 31;
const LRTYP_FLAG_DELETE: u8 = 32;
const LRTYP_REPLACE: u8 = 33;
const LRTYP_REPLACE_D: u8 = 34;
const LRTYP_DELETE: u8 = 35;
const LRTYP_MACRO_INFO: u8 = 67;
const LRTYP_COMMIT_CTX: u8 = 69;
const LRTYP_MACRO_INFO2: u8 = 73;
const LRTYP_FRAGMENT_BEGIN: u8 = 76;
const LRTYP_FRAGMENT: u8 = 77;

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
    if (lrtyp == LRTYP_FRAGMENT_BEGIN) {
      if (!carryOutPieces()) break;
    } else {
      const size = sizeOf(lrtyp, at, <u32>(segmentEnd - at));
      if (!size || !carryOut(lrtyp, at)) break;
      note(lrtyp);
      at += size;
    }
    records += 1;
    const isAtEnd = at == segmentEnd;
    isec = isAtEnd ? segment + 1 : segment;
    ib = isAtEnd ? 0 : <u32>(at - segmentStart);
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

/** Puts a record together that was cut up at segment ends, and carries it out; false if either cannot be done. */
function carryOutPieces(): bool {
  const room = <i32>(segmentEnd - at) - 7;
  if (room < 1) return false;
  const total = load<u32>(at, 1);
  let piece = <u32>load<u16>(at, 5);
  if (piece == 0 || <i32>piece > room || piece >= total || total > ASSEMBLED_MAX) return false;
  const lrtyp = load<u8>(at, 7);
  if (!isPlain(lrtyp)) return false;
  const stashed = load<u32>(walkState, STASHED);
  if (stashed + total > STASH_BYTES) return false;
  const record = stash + stashed;
  memory.copy(record, at + 7, piece);
  const atBefore = at;
  const segmentBefore = segment;
  const startBefore = segmentStart;
  at += 7 + piece;
  let assembled = piece;
  while (assembled < total) {
    if (at >= segmentEnd) {
      if (!enterSegment()) break;
      continue;
    }
    const next = load<u8>(at);
    if (next == LRTYP_NOP) {
      skipNops();
      continue;
    }
    if (next != LRTYP_FRAGMENT || segmentEnd - at < 3) break;
    piece = <u32>load<u16>(at, 1);
    if (<u32>(segmentEnd - at) - 3 < piece || piece > total - assembled) break;
    memory.copy(record + assembled, at + 3, piece);
    assembled += piece;
    at += 3 + piece;
  }
  if (assembled == total && sizeOf(lrtyp, record, total) == total && carryOut(lrtyp, record)) {
    note(lrtyp);
    store<u32>(walkState, stashed + ((total + 3) & ~3), STASHED);
    return true;
  }
  at = atBefore;
  segment = segmentBefore;
  segmentStart = startBefore;
  segmentEnd = startBefore + SEGMENT_BYTES;
  return false;
}

function isPlain(lrtyp: u8): bool {
  return (lrtyp >= LRTYP_INSERT && lrtyp <= LRTYP_DELETE) || lrtyp == LRTYP_MACRO_INFO;
}

/** Carries out a record of which the size is known; false where it is to be left alone. */
function carryOut(lrtyp: u8, record: usize): bool {
  if (lrtyp >= LRTYP_INSERT && lrtyp <= LRTYP_DELETE) return changePage(lrtyp, record);
  if (lrtyp > LRTYP_COMMIT0) return true;
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
    const pgno = load<u32>(record, 4);
    const entry = table + (<usize>((pgno + dbid * 0x9e37) & TABLE_MASK) << 3);
    const found = load<u32>(entry, 4);
    if (load<u32>(entry) != pgno || !found || found >> 24 != dbid) return false;
    const slot = (found & 0xffffff) - 1;
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
    store<u32>(marks + (<usize>slot << 4), 1, MARK_USED);
    if (isInsert) addNote(NOTE_INSERT, procid, <u32>record, 0);
    if (version) {
      addNote(NOTE_PENDING, procid, <u32>record, <u32>version);
      store<u32>(walkState, load<u32>(walkState, VERSIONS) + 1, VERSIONS);
    }
  }
  if (load<i64>(record, 8) > load<i64>(database, DATABASE_DBTIME)) {
    store<i64>(database, load<i64>(record, 8), DATABASE_DBTIME);
  }
  if (load<u32>(record, 40) > load<u32>(database, DATABASE_OBJID)) {
    store<u32>(database, load<u32>(record, 40), DATABASE_OBJID);
  }
  return true;
}

/** Puts the change of a page into the queue of the thread that has the page; false if there is no room. */
function enqueue(record: usize, slot: u32, position: u32, version: usize, flags: u32, dbid: u32): bool {
  const items = load<u32>(walkState, ITEMS);
  if (items >= ITEMS_MAX) return false;
  const owner = owners + <usize>slot * 12;
  const round = load<u32>(walkState, ROUND);
  let index: u32 = 0;
  if (load<u32>(owner) == round) {
    index = load<u32>(owner, 4);
  } else {
    const hash = ((slot + (dbid << 20)) * 0x9e3779b1) >> 16;
    if (hash % PARTS >= load<u32>(walkState, OWN_SHARE)) {
      index = 1 + ((hash >> 6) % (load<u32>(walkState, THREADS) - 1));
    }
  }
  const number = load<u32>(walkState + (<usize>index << 2), THREAD_NUMBERS);
  const control = <usize>number << CONTROL_SHIFT;
  const written = load<u32>(control, CONTROL_WRITTEN);
  const item = queues + (<usize>number << QUEUE_SHIFT) + (<usize>(written & QUEUE_MASK) << 5);
  const order = load<u32>(walkState, ORDER);
  store<u32>(item, 0);
  store<u32>(item, <u32>record, 4);
  store<u32>(item, slot, 8);
  store<u32>(item, position, 12);
  store<u32>(item, <u32>version, 16);
  store<u32>(item, flags, 20);
  store<u32>(item, order, 24);
  store<u32>(item, sizeOf(load<u8>(record), record, 0x40000), 28);
  store<u32>(owner, round);
  store<u32>(owner, index, 4);
  store<u32>(owner, written, 8);
  store<u32>(control, written + 1, CONTROL_WRITTEN);
  store<u32>(walkState, items + 1, ITEMS);
  store<u32>(walkState, order + 1, ORDER);
  if (written + 1 - load<u32>(control, CONTROL_QUEUED) >= PUBLISHED_ITEMS) publish(number, control, written + 1);
  return true;
}

/** Lets a thread have its items; the own ones are done at once. */
function publish(number: u32, control: usize, written: u32): void {
  atomic.store<u32>(control, written, CONTROL_QUEUED);
  if (number == 0) {
    const done = load<u32>(control, CONTROL_DONE);
    if (run(queues, done, written, generation) != written) store<u32>(walkState, 1, IS_STUCK);
  } else if (
    written - load<u32>(control, CONTROL_WOKEN) >= WAKING_ITEMS &&
    atomic.load<u32>(control, CONTROL_ASLEEP)
  ) {
    store<u32>(control, written, CONTROL_WOKEN);
    atomic.notify(control + CONTROL_QUEUED, -1);
  }
}
