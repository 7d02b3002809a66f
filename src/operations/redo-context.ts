import type { Lgpos } from '../format/ese-error.js';
import type { Page } from '../format/page.js';
import type { RedoMap } from './redo-map.js';

/**
 * What an operation may touch. Operations are pure over it: they know neither files nor logs, so recovery
 * and engine carry out the very same code (format specification, chapters 5.1.7 and 5.3.5).
 */
export interface RedoContext {
  readonly dbid: number;
  /** Page size in bytes. */
  readonly pageSize: number;
  /** Position of the record that is being carried out. The object is reused: copy it to keep it. */
  readonly lgpos: Lgpos;
  /**
   * Highest generation whose changes may be on the pages already: the header's genMaxRequired, as it was when
   * the database was attached. A page that is newer than a record beyond it is wrong.
   */
  readonly genMaxRequired: number;
  readonly pages: RedoPages;
  readonly redoMap: RedoMap;
  readonly versions: VersionLog;
  /**
   * Inside a macro that may change a page several times under one stamp: the pages met so far, `undefined` for
   * those that have the whole macro already.
   */
  readonly macroPages?: Map<number, Page | undefined>;
}

/** The pages of one database, for reading and changing. */
export interface RedoPages {
  /** Highest page number that lies in the file. */
  readonly lastPgno: number;
  /**
   * A sound page, with the errors of a page source: JET_errPageNotInitialized for a blank one,
   * JET_errFileIOBeyondEOF behind the end of the file. Valid until the record is done.
   */
  readPage(pgno: number): Page;
  /** The page, if it is in memory. */
  peekPage?(pgno: number): Page | undefined;
  /** Whether it is known without reading that nothing was ever written where a page lies. */
  isBlank(pgno: number): boolean;
  /** A page to be built from nothing; what it holds now is meaningless. */
  createPage(pgno: number): Page;
  /** To be called after a page was changed: it has to be written, once the log is durable up to `lgpos`. */
  markDirty(page: Page, lgpos: Lgpos): void;
  /** Makes the file hold page `pgnoLast`; never shrinks it. */
  extend(pgnoLast: number): void;
  /** Cuts the file behind page `pgnoLast`. */
  shrink(pgnoLast: number): void;
  /** Makes pages blank. */
  blank(pgnoFirst: number, count: number): void;
}

/** The fields that every record of a change to one node begins with. */
export interface NodeChange {
  readonly procid: number;
  readonly dbid: number;
  readonly pgno: number;
  readonly trxBegin0: number;
  readonly level: number;
  readonly pageFlags: number;
  readonly pgnoFDP: number;
  readonly objidFDP: number;
}

/** How one change of a node can be undone. */
export interface Version {
  readonly rceid: number;
  /** One of UNDO_OPERATION. */
  readonly operation: number;
  /** Key of the node. */
  readonly key: Uint8Array;
  /** In a tree with keys that are not unique: the data, which belongs to the bookmark. */
  readonly bookmarkData: Uint8Array;
  /** The old data of a Replace; the amount of a Delta, 8 bytes little-endian; else empty. */
  readonly before: Uint8Array;
}

/**
 * The versions of nodes that transactions in progress have changed (format specification, chapter 5.1.6).
 * All bytes that are given are copied.
 */
export interface VersionLog {
  /** Remembers how to undo a change. */
  add(change: NodeChange, version: Version): void;
  /**
   * Remembers an insert, the most frequent change: its key of `keyBytes` lies at `at` in `source`, and the data that
   * belongs to its bookmark, of `dataBytes`, behind it.
   */
  addInsert(
    change: NodeChange,
    rceid: number,
    source: Uint8Array,
    at: number,
    keyBytes: number,
    dataBytes: number,
  ): void;
  /** The log says how to undo a change (an UndoInfo record), in case redo did not see its old state. */
  addLogged(change: NodeChange, version: Version): void;
  /** A change whose old state is not known here: a later UndoInfo record or the end of its transaction must come. */
  defer(change: NodeChange, rceid: number): void;
  /** What is known of a change that is not finished. */
  find(procid: number, rceid: number): Version | undefined;
  /** The change was undone. */
  remove(procid: number, rceid: number): void;
  /** Whether a transaction in progress has changed this node. */
  isActive(dbid: number, objid: number, key: Uint8Array, data: Uint8Array): boolean;
}
