import { LOG_WINDOW_BYTES } from './log-reader.js';

/**
 * The memory of a replay: log and pages side by side, shared by all threads and by the kernel (format specification,
 * chapters 5.6 and 9.5). Its parts follow each other:
 *
 * | part | size | written by |
 * |---|---|---|
 * | control | 128 bytes a thread: {@link CONTROL} | all |
 * | scratch | 256 KiB a thread | its thread |
 * | window | the log as the reader has it | the caller |
 * | stash | records that lie in no window: put together of pieces, or of macros | the caller |
 * | versions | 32 bytes a version: {@link VERSION} | the thread of the item |
 * | arenas | old states of nodes, 16 MiB a thread | its thread |
 * | queues | 32 bytes an item, {@link QUEUE_ITEMS} a thread: {@link ITEM} | the caller |
 * | walk | how far the walk through the log is: {@link WALK} | the caller |
 * | sessions | 32 bytes a session, by its number: {@link SESSION} | the caller |
 * | databases | 32 bytes a database, by its id: {@link DATABASE} | the caller |
 * | table | 8 bytes an entry: where some pages lie, see {@link tableIndex} | the caller |
 * | notes | 16 bytes a note of what there is to undo, {@link NOTE} | the caller |
 * | owners | 12 bytes a page: {@link OWNER} | the caller |
 * | marks | 16 bytes a page: {@link MARK} | whoever changes the page |
 * | pages | | whoever changes the page |
 *
 * Memory that nobody touches costs nothing.
 */

/** Words of a thread's control block. */
export const CONTROL = {
  /** Items done, of all that were ever queued; it starts over at 2^32. */
  done: 0,
  /** Items queued. */
  queued: 1,
  /** One of {@link STATE}. */
  state: 2,
  /** Not 0 while others sleep until `done` moves. */
  awaited: 3,
  /** Not 0 while the thread sleeps until `queued` moves. */
  asleep: 4,
  /** Generation of the log in the window. */
  generation: 5,
  /** Next free byte of the arena. */
  arena: 6,
  /** Number of the item that failed, and bytes of the error in the scratch; 0 = the caller must see for itself. */
  failed: 7,
  errorBytes: 8,
  /** Items in the queue, as many of which are in `queued` as the thread may have; and when it was woken last. */
  written: 9,
  woken: 10,
  /** Threads for which this one has ever waited, a bit each, and the last item of each, one word a thread. */
  waitedFor: 11,
  waited: 16,
} as const;

export const STATE = { starting: 0, ready: 1, stopped: 2, ending: 3 } as const;

/** Words of an item. */
export const ITEM = {
  kind: 0,
  /** Address of the record; of a macro: of its list of pages and records; of a wait: of the `done` of another thread. */
  address: 1,
  /** Slot of the page; of a wait: the item that must be done. */
  slot: 2,
  /** Position in the log: segment in the upper half, byte in the lower. */
  position: 3,
  /** Address of the version that the item gives, or 0. */
  version: 4,
  flags: 5,
  /** Number of the item among all of the replay. */
  order: 6,
  /** Bytes of the record; number of records of a macro. */
  size: 7,
} as const;

/** What an item is. `node`: maybe for the kernel. `macro`: a split. `wait`: until an item of another queue is done. */
export const KIND = { node: 0, macro: 2, wait: 3 } as const;

/** Flags of an item; the database id is in the second byte. */
export const ITEM_IN_RANGE = 1;
export const ITEM_DBID_SHIFT = 8;

/** Words of a version. */
export const VERSION = { state: 0, address: 1, keyBytes: 2, dataBytes: 3, beforeBytes: 4 } as const;
export const VERSION_STATE = { pending: 0, known: 1, deferred: 2 } as const;

/** Words of a page's marks; `used` since the clock hand of its pool passed. */
export const MARK = { flags: 0, generation: 1, position: 2, used: 3 } as const;
export const MARK_DIRTY = 1;
export const MARK_CHANGED = 2;
/** It came into memory blank; of no interest once it is changed. */
export const MARK_FRESH = 4;

/** Words that say how far the walk is. */
export const WALK = {
  /** Address of the next byte, its segment, where that begins and ends, and where the window ends. */
  at: 0,
  segment: 1,
  segmentStart: 2,
  segmentEnd: 3,
  windowEnd: 4,
  /** Position of the next record. */
  isec: 5,
  ib: 6,
  /** Records that it may go through, those that it went through, and the commits among them. */
  limit: 7,
  records: 8,
  committed: 9,
  /** The last record: type and position. */
  lastType: 10,
  lastIsec: 11,
  lastIb: 12,
  /** Notes in the list, and how many were made before them. */
  noted: 13,
  notedBefore: 14,
  /** Versions given out, bytes in the stash, items queued, since the queues were empty. */
  versions: 15,
  stashed: 16,
  items: 17,
  /** Number of the next item of all. */
  order: 18,
  /** Counts the times that the queues were empty. */
  round: 19,
  /** Threads that get items, and the caller's share of the pages, in parts of 64. */
  threads: 20,
  ownShare: 21,
  /** Not 0 when the caller has an item that its kernel leaves alone. */
  isStuck: 22,
  /** Not 0 when slots have become those of other pages. */
  isTableStale: 23,
  /** Numbers of the threads that get items, one word each. */
  threadNumbers: 24,
  /** A new page of which a split needs to know where it lies, or 0, and its database. */
  neededPgno: 40,
  neededDbid: 41,
} as const;

/** Words of a session. */
export const SESSION = {
  flags: 0,
  level: 1,
  trxBegin0: 2,
  generation: 3,
  isec: 4,
  ib: 5,
  /** Notes in front of this one are of no interest any more. */
  finished: 6,
  /** Macros begun and not ended. */
  macros: 7,
} as const;
export const SESSION_WORDS = 8;
/** Somebody has asked for it; a Begin0 was met since redo began. */
export const SESSION_KNOWN = 1;
export const SESSION_AFTER_FIRST_BEGIN = 2;

/** Words of a database: highest object id, and stamp (two words), of the records that were gone through. */
export const DATABASE = { flags: 0, objid: 1, dbtime: 2 } as const;
export const DATABASE_WORDS = 8;
/** Changes of its pages are for queues; its pages may have the changes of this generation. */
export const DATABASE_READY = 1;
export const DATABASE_IN_RANGE = 2;

/** Words of a note: kind, session, address of the record (of `lower`: the level), address of the version or 0. */
export const NOTE = { kind: 0, procid: 1, address: 2, version: 3 } as const;
/**
 * What a note says. `insert`: a node was inserted. `pending`: a node was replaced or deleted, and the version gives its
 * old state. `lower`: an inner commit. `finish`: the transaction ended.
 */
export const NOTE_KIND = { insert: 0, pending: 1, lower: 2, finish: 3 } as const;
export const NOTE_WORDS = 4;
export const NOTES_MAX = 32 * 1024;

/** Words of what the caller knows of a page: since which round its thread has it, which, and its last item there. */
export const OWNER = { round: 0, thread: 1, item: 2 } as const;
export const OWNER_WORDS = 3;

/** Entries of the table of pages, a power of two. */
export const TABLE_ENTRIES = 64 * 1024;

export const THREADS_MAX = 16;
export const CONTROL_WORDS = 32;
export const SCRATCH_BYTES = 256 * 1024;
export const STASH_BYTES = 2 * 1024 * 1024;
export const VERSION_BYTES = 32;
export const VERSIONS_MAX = 16 * 1024;
export const ARENA_BYTES = 16 * 1024 * 1024;
export const ITEM_BYTES = 32;
/** A power of two. */
export const QUEUE_ITEMS = 16 * 1024;
export const MARK_BYTES = 16;

export const MEMORY_UNIT = 64 * 1024;
export const MEMORY_UNITS_MAX = 65536;
const SLOTS_MAX = 1024 * 1024;
/** Sessions have numbers of two bytes, databases of one. */
const PROCIDS = 64 * 1024;
const DBIDS = 256;
/** Memory for pages that is got at once. */
export const GROWTH_BYTES = 4 * 1024 * 1024;

/** What threads need to know of a memory; can be sent between them. */
export interface ReplayMemoryParts {
  readonly memory: WebAssembly.Memory;
  readonly pageSize: number;
  readonly threads: number;
}

/** Addresses of the parts. */
export interface ReplayLayout {
  readonly scratch: number;
  readonly window: number;
  readonly stash: number;
  readonly versions: number;
  readonly arenas: number;
  readonly queues: number;
  readonly walk: number;
  readonly sessions: number;
  readonly databases: number;
  readonly table: number;
  readonly notes: number;
  readonly owners: number;
  readonly marks: number;
  readonly pages: number;
  readonly slotsMax: number;
}

export function layoutOf(pageSize: number, threads: number): ReplayLayout {
  let at = THREADS_MAX * CONTROL_WORDS * 4;
  const part = (bytes: number): number => {
    const start = at;
    at += bytes;
    return start;
  };
  const scratch = part(threads * SCRATCH_BYTES);
  const window = part(LOG_WINDOW_BYTES);
  const stash = part(STASH_BYTES);
  const versions = part(VERSIONS_MAX * VERSION_BYTES);
  const arenas = part(threads * ARENA_BYTES);
  const queues = part(threads * QUEUE_ITEMS * ITEM_BYTES);
  const walk = part(256);
  const sessions = part(PROCIDS * SESSION_WORDS * 4);
  const databases = part(DBIDS * DATABASE_WORDS * 4);
  const table = part(TABLE_ENTRIES * 8);
  const notes = part(NOTES_MAX * NOTE_WORDS * 4);
  const room = MEMORY_UNITS_MAX * MEMORY_UNIT - at - MEMORY_UNIT;
  const slotsMax = Math.min(SLOTS_MAX, Math.floor(room / (pageSize + MARK_BYTES + OWNER_WORDS * 4)));
  const owners = part(slotsMax * OWNER_WORDS * 4);
  const marks = part(slotsMax * MARK_BYTES);
  const pages = Math.ceil(at / MEMORY_UNIT) * MEMORY_UNIT;
  return {
    scratch,
    window,
    stash,
    versions,
    arenas,
    queues,
    walk,
    sessions,
    databases,
    table,
    notes,
    owners,
    marks,
    pages,
    slotsMax,
  };
}

/** Index in the table of pages of the one entry that may say where a page lies: its number, then `dbid << 24 | slot + 1`. */
export function tableIndex(pgno: number, dbid: number): number {
  return ((pgno + dbid * TABLE_STEP) & (TABLE_ENTRIES - 1)) * 2;
}

const TABLE_STEP = 0x9e37;
