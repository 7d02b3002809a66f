import { type BufferPool, createBufferPool } from '../engine/buffer-pool.js';
import type { FrameMemory } from '../engine/frame.js';
import type { HeaderFile } from '../engine/header-file.js';
import { readTreeSpace } from '../engine/space-reader.js';
import { OBJID_DATABASE, PGNO_DATABASE } from '../format/catalog-row.js';
import {
  DATABASE_STATE,
  type DatabaseHeader,
  type HeaderChanges,
  UPDATE_LAST_RESIZE,
} from '../format/database-header.js';
import { compareLgpos, EseError, type Lgpos } from '../format/ese-error.js';
import { LGPOS_NONE } from '../format/lgpos.js';
import { type Logtime, logtimeOf } from '../format/logtime.js';
import type { Signature } from '../format/signature.js';
import type { Environment } from '../io/environment.js';
import type { FileHandle } from '../io/file-system.js';
import type { RedoContext } from '../operations/redo-context.js';
import { RedoMap } from '../operations/redo-map.js';
import type { DeferReason } from './attach-decision.js';
import type { RedoVersions } from './redo-versions.js';

/** "Sort versions are kept in a table" (chapter 1.2.2). */
const SORT_VERSION_IN_TABLE = 0xffffffffffffffffn;

/** A database that the log says is attached, and that recovery has left aside. */
export interface DeferredDatabase {
  readonly kind: 'deferred';
  readonly dbid: number;
  readonly loggedPath: string;
  /** Undefined for a database that the map leaves out, or whose logged path is of no use here. */
  readonly path: string | undefined;
  readonly signDb: Signature;
  readonly reason: DeferReason | 'notInMap';
}

/** What every generation's log is known by. */
export type GenerationTimes = (generation: number) => Logtime | undefined;

export interface AttachedDatabaseOptions {
  readonly environment: Environment;
  readonly dbid: number;
  readonly loggedPath: string;
  readonly path: string;
  readonly headerFile: HeaderFile;
  /** Whether this redo creates the database. */
  readonly isNew: boolean;
  /** Absent in a rehearsal: pages are neither read nor written. */
  readonly file: FileHandle | undefined;
  readonly lgpos: Lgpos;
  readonly versions: RedoVersions;
  readonly generationTime: GenerationTimes;
  readonly cacheBytes?: number | undefined;
  /** Memory of pages of a size, for those who change them beside the pool. */
  readonly frameMemory?: ((pageSize: number) => FrameMemory | undefined) | undefined;
  /** Makes the log durable up to a position; during redo it is. */
  readonly makeLogDurable: (lgpos: Lgpos) => void;
}

/** A database whose records are redone. */
export class AttachedDatabase {
  readonly kind = 'attached';
  readonly dbid: number;
  readonly loggedPath: string;
  readonly path: string;
  readonly headerFile: HeaderFile;
  readonly redoMap = new RedoMap();
  readonly pool: BufferPool | undefined;
  readonly context: RedoContext | undefined;
  readonly isNew: boolean;
  /** Whether redo has passed the attachment that the header states. */
  isBehindAttach = false;
  /** Highest stamp and object id that the records named, applied or not. */
  dbtimeCurrent: number;
  objidLast: number;
  /** As the header had it when the database was attached: up to there pages may have future data. */
  readonly genMaxRequired: number;
  readonly genMaxCommitted: number;
  readonly timeMaxRequired: Logtime | undefined;
  readonly timeMaxCommitted: Logtime | undefined;

  readonly #options: AttachedDatabaseOptions;
  #isFlushMapDropped = false;

  constructor(options: AttachedDatabaseOptions) {
    const { environment, file, headerFile, versions, dbid } = options;
    this.#options = options;
    this.dbid = dbid;
    this.loggedPath = options.loggedPath;
    this.path = options.path;
    this.isNew = options.isNew;
    this.headerFile = headerFile;
    const { header } = headerFile;
    this.dbtimeCurrent = header.dbtimeDirtied;
    this.objidLast = header.objidLast;
    this.genMaxRequired = header.genMaxRequired;
    this.genMaxCommitted = header.genMaxCommitted;
    this.timeMaxRequired = header.logtimeGenMaxRequired;
    this.timeMaxCommitted = header.logtimeGenMaxCommitted;
    if (file === undefined) {
      this.pool = undefined;
      this.context = undefined;
      return;
    }
    const { pageSize } = this;
    this.pool = createBufferPool({
      file,
      pageSize,
      ...(options.cacheBytes === undefined ? {} : { cacheBytes: options.cacheBytes }),
      beforeWrite: (lgpos) => this.#beforeWrite(lgpos),
      mayWrite: (page) => !versions.holdsBack(dbid, page.objid),
      freeBytes: () => environment.fs.freeBytes(options.path),
      reusesMemory: true,
      memory: options.frameMemory?.(pageSize),
    });
    this.context = {
      dbid,
      pageSize,
      lgpos: options.lgpos,
      genMaxRequired: this.genMaxRequired,
      pages: this.pool,
      redoMap: this.redoMap,
      versions,
    };
  }

  get header(): DatabaseHeader {
    return this.headerFile.header;
  }

  /** Whether the log has not come to the end of its creation. */
  get isUnfinished(): boolean {
    return this.header.state === DATABASE_STATE.justCreated;
  }

  get pageSize(): number {
    return this.header.cbPageSize || 4096;
  }

  /** The first pages of a generation may reach the file only when the header requires that generation. */
  #beforeWrite(lgpos: Lgpos): void {
    this.#options.makeLogDurable(lgpos);
    this.requireGeneration(lgpos.generation);
    if (!this.#isFlushMapDropped) {
      this.#isFlushMapDropped = true;
      this.headerFile.dropFlushMap();
    }
    this.headerFile.write();
  }

  /** Raises the generations that the header requires and knows of; they never go back. */
  requireGeneration(generation: number): void {
    const { header } = this;
    const time = this.#options.generationTime(generation);
    const changes: HeaderChanges = {};
    if (generation > header.genMaxRequired) {
      changes.genMaxRequired = generation;
      if (header.updateMajor >= UPDATE_TIME_MAX_REQUIRED) changes.logtimeGenMaxRequired = time;
    }
    if (generation > header.genMaxCommitted) {
      changes.genMaxCommitted = generation;
      changes.logtimeGenMaxCommitted = time;
    }
    if (Object.keys(changes).length > 0) this.headerFile.change(changes);
  }

  /** The checkpoint moves to `generation`: earlier logs are not required any more. */
  advanceTo(generation: number): void {
    const { genMinRequired, genMinConsistent, lgposAttach } = this.header;
    const lowest = Math.max(generation, lgposAttach.generation);
    if (lowest <= genMinRequired) return;
    this.headerFile.change({
      genMinRequired: lowest,
      genMinConsistent: Math.max(lowest, genMinConsistent),
      genPreRedoMinRequired: 0,
      genPreRedoMinConsistent: 0,
    });
  }

  /** The header as an attachment leaves it (chapter 5.2.6): dirty, with the generations that it needs. */
  markAttached(attach: { lgpos: Lgpos; isNew: boolean; signLog: Signature; generationRedo: number }): void {
    const { lgpos, isNew, signLog, generationRedo } = attach;
    const { header } = this;
    const changes: HeaderChanges = { genRecovering: generationRedo };
    if (isNew) {
      const time = this.#options.generationTime(lgpos.generation);
      Object.assign(changes, {
        lgposAttach: lgpos,
        logtimeAttach: this.#now(),
        lgposDetach: LGPOS_NONE,
        logtimeDetach: undefined,
        signLog,
        dbid: this.dbid,
      });
      if (header.state === DATABASE_STATE.cleanShutdown) {
        Object.assign(changes, {
          state: DATABASE_STATE.dirtyShutdown,
          genMinRequired: lgpos.generation,
          genMaxRequired: lgpos.generation,
          genMaxCommitted: lgpos.generation,
          genMinConsistent: lgpos.generation,
          logtimeGenMaxCommitted: time,
        });
        if (header.updateMajor >= UPDATE_TIME_MAX_REQUIRED) changes.logtimeGenMaxRequired = time;
      }
      if (header.updateMajor >= UPDATE_LAST_RESIZE && compareLgpos(lgpos, header.lgposLastResize) > 0) {
        changes.lgposLastResize = lgpos;
      }
    }
    if (generationRedo < header.genMinRequired) {
      if (header.updateMajor >= UPDATE_PRE_REDO) {
        changes.genPreRedoMinRequired = header.genMinRequired;
        changes.genPreRedoMinConsistent = header.genMinConsistent;
      }
      changes.genMinRequired = generationRedo;
      changes.genMinConsistent = generationRedo;
    }
    this.headerFile.change(changes);
  }

  /** The file was grown or cut by the record at `lgpos`. */
  noteResize(lgpos: Lgpos): void {
    if (this.header.updateMajor >= UPDATE_LAST_RESIZE)
      this.headerFile.change({ lgposLastResize: { ...lgpos } });
  }

  /** Creation is finished: the file is usable from here on. */
  finishCreation(): void {
    this.flush();
    this.headerFile.change({
      state: DATABASE_STATE.dirtyShutdown,
      dbtimeDirtied: this.dbtimeCurrent,
      objidLast: this.objidLast,
      sortVersion: SORT_VERSION_IN_TABLE,
    });
    if (this.pool !== undefined) this.headerFile.write();
  }

  /** Writes all pages that may be written, and makes these and all that were written before durable. */
  flush(): void {
    this.pool?.flush();
    this.#options.file?.sync();
  }

  /** The header of a database that is clean at `lgpos` (chapters 5.2.4 and 5.2.6). */
  markClean(lgpos: Lgpos): void {
    const { header } = this;
    const now = this.#now();
    const changes: HeaderChanges = {
      dbtimeDirtied: Math.max(header.dbtimeDirtied, this.dbtimeCurrent),
      objidLast: Math.max(header.objidLast, this.objidLast),
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
      logtimeGenMaxRequired: undefined,
      genRecovering: 0,
      genPreRedoMinConsistent: 0,
      genPreRedoMinRequired: 0,
    };
    if (header.updateMajor >= UPDATE_LAST_RESIZE) changes.lgposLastResize = lgpos;
    if (header.state === DATABASE_STATE.dirtyAndPatchedShutdown) {
      // Only the generations to come end this state.
      delete changes.state;
    }
    this.headerFile.change(changes);
  }

  /** Pages written, header clean at `lgpos`, everything durable. */
  detach(lgpos: Lgpos): void {
    const error = this.redoMap.error();
    if (error !== undefined) throw error.at({ file: this.path });
    this.checkSize();
    this.flush();
    this.markClean(lgpos);
    if (this.pool !== undefined) this.headerFile.write();
  }

  /** The file must hold all that the database owns (chapter 5.3.5): of one that was cut off, the logs give a part. */
  checkSize(): void {
    const { pool } = this;
    if (pool === undefined) return;
    const pgnoLast = lastOwnedPage(pool);
    if (pgnoLast <= pool.lastPgno) return;
    throw new EseError(
      'JET_errFileIOBeyondEOF',
      `the database owns pages up to ${pgnoLast}, the file ends with page ${pool.lastPgno}: it was cut off`,
      { file: this.path, pgno: pool.lastPgno + 1 },
    );
  }

  /** Closes the file; nothing is written. */
  close(): void {
    this.#options.file?.close();
  }

  #now(): Logtime {
    return logtimeOf(this.#options.environment.clock.now());
  }
}

/** Format updates from which on header fields exist (chapter 1.2.2). */
const UPDATE_TIME_MAX_REQUIRED = 150;
const UPDATE_PRE_REDO = 160;

/** Last page that a database owns; 0 where its space cannot be read, which is for the integrity check to tell. */
function lastOwnedPage(pool: BufferPool): number {
  try {
    const { owned } = readTreeSpace(pool, { pgnoFdp: PGNO_DATABASE, objid: OBJID_DATABASE });
    return owned.reduce((most, { last }) => Math.max(most, last), 0);
  } catch (error) {
    if (error instanceof EseError) return 0;
    throw error;
  }
}
