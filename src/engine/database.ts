import { OBJID_CATALOG, OBJID_DATABASE, PGNO_DATABASE } from '../format/catalog-row.js';
import { DATABASE_STATE, type HeaderChanges, UPDATE_LAST_RESIZE } from '../format/database-header.js';
import { EseError, type Lgpos } from '../format/ese-error.js';
import { LOG_PAGE_FLAG, UNDO_OPERATION } from '../format/log-record-layout.js';
import { type Logtime, logtimeOf } from '../format/logtime.js';
import { type Lid, LONG_VALUE_ROOT, readLongValueKey } from '../format/long-value.js';
import type { Page } from '../format/page.js';
import type { TableDefinition } from '../format/table-definition.js';
import type { Environment } from '../io/environment.js';
import type { FileHandle } from '../io/file-system.js';
import { type BufferPool, createBufferPool } from './buffer-pool.js';
import { EntrySort } from './bulk/entry-sort.js';
import { Catalog } from './catalog.js';
import type { HeaderFile } from './header-file.js';
import { LongValues } from './long-values-writer.js';
import { compareTrx, type NodeVersion } from './node-versions.js';
import { PageChanges } from './page-changes.js';
import { createLongValueTree, type DroppedTree, type SchemaHost } from './schema.js';
import { type GrowthOptions, SpaceWriter } from './space-writer.js';
import { Table, treeOf } from './table.js';
import type { Session, Transactions } from './transactions.js';
import { TreeCleaner } from './tree-cleaner.js';
import type { Tree } from './tree-search.js';
import type { TreeWriter } from './tree-writer.js';

/** What the log stream does for its databases. */
export interface DatabaseLog {
  /** Makes the log durable up to a record. */
  makeDurable(lgpos: Lgpos): void;
  readonly generation: number;
  /** Creation time of the current log. */
  readonly generationTime: Logtime | undefined;
}

export interface DatabaseOptions extends GrowthOptions {
  /** Most memory for pages, in bytes. */
  readonly cacheBytes?: number;
  /**
   * Most memory for the keys of an index that is created, in bytes; the others wait in `<path>.sort`, which is removed
   * afterwards (the next index replaces one that a crash has left). Default: 24 MiB.
   */
  readonly sortBytes?: number;
}

export interface OpenDatabaseOptions extends DatabaseOptions {
  readonly environment: Environment;
  readonly dbid: number;
  readonly path: string;
  /** Path as the log names it. */
  readonly loggedPath: string;
  readonly file: FileHandle;
  readonly headerFile: HeaderFile;
  readonly transactions: Transactions;
  readonly log: DatabaseLog;
  /** The last stamp and object id that were given out. */
  readonly dbtime: number;
  readonly objidLast: number;
  readonly lgposAttach: Lgpos;
}

/** Deleted nodes that are cleaned up in one transaction, and that make a clean-up due. */
const CLEAN_UP_BATCH = 64;
const CLEAN_UP_DUE = 4096;
/** Kinds of tree in a FreeFDP record (chapter 4.6.2). */
const FDP_TABLE = 1;
const FDP_INDEX = 2;
/** "Shadowing is disabled" in the header's dbFlags (chapter 1.2.2). */
const NO_SHADOW = 0x1;

/** A node that waits for its removal, or a counter that may have come to zero. */
interface DeadNode {
  readonly pgnoFDP: number;
  readonly objidFDP: number;
  readonly isUnique: boolean;
  readonly key: Uint8Array;
  readonly bookmarkData: Uint8Array;
  readonly isDelta: boolean;
}

/** A database that is attached: its pages, its trees and its tables. */
export class Database implements SchemaHost {
  readonly dbid: number;
  readonly path: string;
  readonly loggedPath: string;
  readonly headerFile: HeaderFile;
  readonly pool: BufferPool;
  readonly changes: PageChanges;
  readonly space: SpaceWriter;
  readonly catalog: Catalog;
  readonly transactions: Transactions;
  readonly lgposAttach: Lgpos;
  readonly #environment: Environment;
  readonly #sortBytes: number | undefined;
  readonly #file: FileHandle;
  readonly #log: DatabaseLog;
  #objidLast: number;
  #tables: Map<string, Table> | undefined;
  /** Trees whose space is given back once all transactions that began before are over. */
  readonly #dropped: { readonly trees: readonly DroppedTree[]; readonly trx: number }[] = [];
  readonly #goneTrees = new Set<number>();
  readonly #dead: DeadNode[] = [];
  readonly #cleaner: TreeCleaner;
  #isCleaning = false;
  #isClosed = false;
  #hasUndoInfo = false;
  #isFlushMapDropped = false;
  /** What the pool had written, and where the file ended, at the last sync. */
  #synced = { pagesWritten: -1, lastPgno: -1 };

  constructor(options: OpenDatabaseOptions) {
    const { dbid, file, headerFile, transactions, cacheBytes, environment, path } = options;
    this.dbid = dbid;
    this.path = path;
    this.loggedPath = options.loggedPath;
    this.headerFile = headerFile;
    this.transactions = transactions;
    this.lgposAttach = options.lgposAttach;
    this.#environment = environment;
    this.#sortBytes = options.sortBytes;
    this.#file = file;
    this.#log = options.log;
    this.#objidLast = options.objidLast;
    this.pool = createBufferPool({
      file,
      pageSize: headerFile.header.cbPageSize,
      ...(cacheBytes === undefined ? {} : { cacheBytes }),
      mayWrite: (page) => this.#logUndoInfo(page),
      beforeWrite: (lgpos) => this.#beforeWrite(lgpos),
      freeBytes: () => environment.fs.freeBytes(path),
      reusesMemory: true,
    });
    this.changes = new PageChanges({
      dbid,
      pageSize: this.pool.pageSize,
      pages: this.pool,
      transactions,
      dbtime: options.dbtime,
      beforeChange: () => {
        if (this.#isClosed)
          throw new EseError('JET_errInvalidDatabaseId', 'it is not attached any more', { file: path });
      },
    });
    this.space = new SpaceWriter(this.changes, options);
    this.#cleaner = new TreeCleaner(this.trees, this.space);
    this.catalog = new Catalog(this, (headerFile.header.dbFlags & NO_SHADOW) === 0);
  }

  get pageSize(): number {
    return this.pool.pageSize;
  }

  get trees(): TreeWriter {
    return this.space.trees;
  }

  get objidLast(): number {
    return this.#objidLast;
  }

  /** An object id for a new tree; never given out again, not even after a rollback. */
  nextObjid(): number {
    this.#objidLast++;
    return this.#objidLast;
  }

  /** The tree of page 1, which all tables take their space from. */
  get root(): Tree {
    return treeOf({ pgnoFdp: PGNO_DATABASE, objid: OBJID_DATABASE }, 100, true, this.pageSize);
  }

  // --- Tables ---

  /** Tables by name in capitals; read from the catalog at the first call. */
  get #byName(): Map<string, Table> {
    if (this.#tables === undefined) {
      const session = this.transactions.createSession();
      try {
        const definitions = this.catalog.tables(session);
        this.#tables = new Map(
          definitions.map((definition) => [definition.name.toUpperCase(), this.#open(definition)]),
        );
      } finally {
        this.transactions.endSession(session);
      }
      this.catalog.objids = this.#tables.get('MSYSOBJIDS');
    }
    return this.#tables;
  }

  #open(definition: TableDefinition): Table {
    if (definition.objid === OBJID_CATALOG) return this.catalog.objects;
    if (definition.objid === this.catalog.shadow.definition.objid) return this.catalog.shadow;
    this.#noteHints(definition);
    return new Table(this, definition);
  }

  #noteHints({ objid, spaceHints, indexes }: TableDefinition): void {
    const note = (id: number, hints: TableDefinition['spaceHints']): void => {
      if (hints === undefined) return;
      const pages = (bytes: number): number => Math.ceil(bytes / this.pageSize);
      this.space.setHints(id, {
        growthPercent: hints.growthPercent,
        extentMin: pages(hints.extentMinBytes),
        extentMax: pages(hints.extentMaxBytes),
      });
    };
    note(objid, spaceHints);
    for (const index of indexes) if (!index.primary) note(index.objid, index.spaceHints);
  }

  /** Makes the tables known, from a catalog that was just made. */
  loadTables(): void {
    this.#tables = undefined;
    this.#byName.size;
  }

  /** All tables that a session may use. */
  tables(session: Session): Table[] {
    return [...this.#byName.values()].filter(
      ({ lockedBy }) => lockedBy === undefined || lockedBy === session,
    );
  }

  /** A table by name. Throws JET_errObjectNotFound; JET_errTableLocked while another session changes its definition. */
  table(session: Session, name: string): Table {
    const table = this.findTable(name);
    if (table === undefined || (table.lockedBy !== undefined && table.isNew && table.lockedBy !== session)) {
      throw new EseError('JET_errObjectNotFound', `there is no table ${name}`);
    }
    if (table.lockedBy !== undefined && table.lockedBy !== session) {
      throw new EseError('JET_errTableLocked', `the definition of table ${name} is being changed`);
    }
    return table;
  }

  findTable(name: string): Table | undefined {
    return this.#byName.get(name.toUpperCase());
  }

  /** Makes a new table known. */
  addTable(definition: TableDefinition): Table {
    const table = this.#open(definition);
    this.#byName.set(definition.name.toUpperCase(), table);
    return table;
  }

  /** Forgets a table. */
  dropTable(table: Table): void {
    const name = table.definition.name.toUpperCase();
    if (this.#byName.get(name) === table) this.#byName.delete(name);
  }

  freeLater(trees: readonly DroppedTree[]): void {
    this.#dropped.push({ trees, trx: this.transactions.trxNewest });
  }

  openLongValues(table: Table): LongValues | undefined {
    const { longValueTree, lvChunkMax } = table.definition;
    if (longValueTree === undefined) return undefined;
    const tree = treeOf(longValueTree, longValueTree.density, true, this.pageSize);
    return new LongValues({ trees: this.trees, tree, pageSize: this.pageSize, lvChunkMax });
  }

  createLongValues(table: Table, session: Session): LongValues {
    createLongValueTree(this, table, session);
    const longValues = this.openLongValues(table);
    if (longValues === undefined) throw new Error('the long-value tree was not made');
    return longValues;
  }

  trim(): void {
    this.pool.trim();
  }

  createSort(): EntrySort {
    return new EntrySort(this.#environment.fs, `${this.path}.sort`, this.#sortBytes);
  }

  // --- Clean-up ---

  /** A version is gone: what it deleted, or never committed, can be removed. */
  noteDead(version: NodeVersion): void {
    const { operation, trxCommit0 } = version;
    const isCommitted = trxCommit0 !== 0;
    const matters = isCommitted
      ? operation === UNDO_OPERATION.flagDelete || operation === UNDO_OPERATION.delta
      : operation === UNDO_OPERATION.insert;
    if (!matters) return;
    const { pgnoFDP, objidFDP, pageFlags, key, bookmarkData } = version;
    this.#dead.push({
      pgnoFDP,
      objidFDP,
      isUnique: (pageFlags & LOG_PAGE_FLAG.unique) !== 0,
      key: key.slice(),
      bookmarkData: bookmarkData.slice(),
      isDelta: operation === UNDO_OPERATION.delta,
    });
  }

  /** A tree is no more: nothing on its pages is to be touched. */
  forgetTree(objid: number): void {
    this.#goneTrees.add(objid);
  }

  /** Nodes and trees that wait for their removal. */
  get cleanUpBacklog(): number {
    return this.#dead.length + this.#dropped.length;
  }

  /** Removes what committed transactions have deleted, as far as no transaction can see it any more. */
  cleanUp(): void {
    if (this.#isCleaning || this.cleanUpBacklog === 0) return;
    this.#isCleaning = true;
    const session = this.transactions.createSession();
    try {
      this.#freeDropped(session);
      while (this.#dead.length > 0) {
        const batch = this.#dead.splice(0, CLEAN_UP_BATCH);
        session.transaction(() => this.#cleanBatch(session, batch), { lazy: true });
      }
    } finally {
      this.transactions.endSession(session);
      this.#isCleaning = false;
    }
  }

  /** {@link cleanUp} if so much has come together that it pays. */
  cleanUpIfDue(): void {
    if (this.cleanUpBacklog >= CLEAN_UP_DUE) this.cleanUp();
  }

  #cleanBatch(session: Session, batch: readonly DeadNode[]): void {
    for (const { pgnoFDP, objidFDP, key, bookmarkData, isDelta, isUnique } of batch) {
      if (this.#goneTrees.has(objidFDP)) continue;
      if (isDelta) {
        this.#removeUnreferenced(session, objidFDP, key);
        continue;
      }
      const tree: Tree = {
        pgnoFdp: pgnoFDP,
        objid: objidFDP,
        isUnique,
        isSpace: false,
        appendFree: 0,
      };
      this.#cleaner.clean(session, tree, key, bookmarkData);
    }
  }

  /** Removes a long value to which no record refers any more. */
  #removeUnreferenced(session: Session, objid: number, key: Uint8Array): void {
    for (const table of this.#byName.values()) {
      if (table.definition.longValueTree?.objid !== objid) continue;
      const lid: Lid = { high: 0, low: 0 };
      if (readLongValueKey(key, key.length, lid) === LONG_VALUE_ROOT) {
        table.longValuesIfAny?.removeIfUnreferenced(session, lid);
      }
      return;
    }
  }

  /** Gives the space of deleted tables and indexes back. */
  #freeDropped(session: Session): void {
    const oldest = this.transactions.oldestTrx();
    while (this.#dropped.length > 0) {
      const [next] = this.#dropped;
      if (next === undefined || (oldest !== undefined && compareTrx(next.trx, oldest) >= 0)) return;
      this.#dropped.shift();
      session.transaction(
        () => {
          for (const { tree, kind } of next.trees) {
            this.forgetTree(tree.objid);
            this.changes.begin(session);
            this.changes.log('FreeFDP', {
              dbid: this.dbid,
              pgnoFDP: tree.pgnoFdp,
              trxCommitted: next.trx,
              fdpType: kind === 'table' ? FDP_TABLE : FDP_INDEX,
            });
            this.space.freeTree(session, tree);
          }
        },
        { lazy: true },
      );
    }
  }

  // --- Pages and header ---

  /** Logs what takes back the uncommitted changes on a page that is about to be written (chapter 5.1.1). */
  #logUndoInfo(page: Page): boolean {
    const unlogged = this.transactions.versions.unlogged(this.dbid, page.objid);
    if (unlogged === undefined || unlogged.size === 0) return true;
    const pending: NodeVersion[] = [...unlogged];
    for (const version of pending) this.changes.logUndoInfo(version);
    this.#hasUndoInfo = true;
    return true;
  }

  /** The log goes first, and the header must know of its generation before pages do. */
  #beforeWrite(lgpos: Lgpos): void {
    const { transactions } = this;
    if (this.#hasUndoInfo) {
      this.#hasUndoInfo = false;
      transactions.guard(() => transactions.log.makeDurable());
    } else {
      transactions.guard(() => this.#log.makeDurable(lgpos));
    }
    this.requireGeneration(this.#log.generation);
    if (!this.#isFlushMapDropped) {
      this.#isFlushMapDropped = true;
      this.headerFile.dropFlushMap();
    }
    this.headerFile.write();
  }

  /** Raises the generations that the header requires; they never go back while the database is attached. */
  requireGeneration(generation: number): void {
    const { header } = this.headerFile;
    const changes: HeaderChanges = {};
    if (generation > header.genMaxRequired) changes.genMaxRequired = generation;
    if (generation > header.genMaxCommitted) {
      changes.genMaxCommitted = generation;
      changes.logtimeGenMaxCommitted = this.#log.generationTime;
    }
    if (Object.keys(changes).length > 0) this.headerFile.change(changes);
  }

  /** The checkpoint has moved: older generations are not required any more. */
  releaseGenerations(genCheckpoint: number): void {
    const { header } = this.headerFile;
    const genMinRequired = Math.max(genCheckpoint, this.lgposAttach.generation, header.genMinRequired);
    if (genMinRequired !== header.genMinRequired) {
      this.headerFile.change({ genMinRequired, genMinConsistent: genMinRequired });
    }
  }

  /** Writes all changed pages, and makes these and all that were written before durable. */
  flush(): void {
    this.pool.flush();
    const { pagesWritten, lastPgno } = this.pool;
    if (pagesWritten === this.#synced.pagesWritten && lastPgno === this.#synced.lastPgno) return;
    this.#file.sync();
    this.#synced = { pagesWritten, lastPgno };
  }

  /** Cuts the file behind page `pgnoLast`: nothing owns the pages there any more, and no page of theirs is changed. */
  shrinkFile(pgnoLast: number): void {
    const { pool, transactions } = this;
    const cpgShrunk = pool.lastPgno - pgnoLast;
    if (cpgShrunk <= 0) return;
    transactions.guard(() => {
      this.flush();
      const lgpos = transactions.logRecord('ShrinkDB', { dbid: this.dbid, pgnoLast, cpgShrunk });
      transactions.log.makeDurable();
      pool.shrink(pgnoLast);
      this.#file.sync();
      const { shrinkCount } = this.headerFile.header;
      this.headerFile.change({
        shrinkCount: shrinkCount + 1,
        logtimeLastShrink: logtimeOf(this.#environment.clock.now()),
        ...this.#resizedAt(lgpos),
      });
      this.headerFile.write();
    });
  }

  #resizedAt(lgpos: Lgpos): HeaderChanges {
    return this.headerFile.header.updateMajor >= UPDATE_LAST_RESIZE ? { lgposLastResize: lgpos } : {};
  }

  /** The header of a database that is clean at a position of the log. */
  markClean(lgpos: Lgpos): void {
    const now = logtimeOf(this.#environment.clock.now());
    this.headerFile.change({
      dbtimeDirtied: this.changes.dbtime,
      objidLast: this.#objidLast,
      state: DATABASE_STATE.cleanShutdown,
      lgposConsistent: lgpos,
      logtimeConsistent: now,
      lgposDetach: lgpos,
      logtimeDetach: now,
      genMinRequired: 0,
      genMaxRequired: 0,
      genMaxCommitted: 0,
      genMinConsistent: 0,
      logtimeGenMaxCommitted: undefined,
      ...this.#resizedAt(lgpos),
    });
    this.headerFile.write();
  }

  close(): void {
    this.#isClosed = true;
    this.#file.close();
  }
}
