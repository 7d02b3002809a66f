import { dirname, join } from 'node:path';
import { ATTACH_INFO_FLAG, type NewAttachInfo } from '../format/attach-info.js';
import { OBJID_DATABASE } from '../format/catalog-row.js';
import {
  BASE_PAGES,
  checkHeaderSupported,
  DATABASE_STATE,
  type HeaderChanges,
  newDatabaseBytes,
  newDatabaseHeader,
  UPDATE_LAST_RESIZE,
} from '../format/database-header.js';
import { DBTIME_START } from '../format/dbtime.js';
import { compareLgpos, EseError, type Lgpos } from '../format/ese-error.js';
import { LGPOS_NONE } from '../format/lgpos.js';
import { ATTACH_DB_FLAG, CREATE_DB_FLAG, DETACH_DB_FLAG } from '../format/log-record-layout.js';
import { SEGMENT_BYTES } from '../format/log-segment.js';
import { type Logtime, logtimeOf } from '../format/logtime.js';
import { PAGE_SIZES } from '../format/page.js';
import { newSignature, type Signature } from '../format/signature.js';
import type { Environment } from '../io/environment.js';
import { type ExclusiveFile, openExclusive } from '../io/exclusive-file.js';
import type { FileLock, LockRole } from '../io/file-system.js';
import {
  type CheckpointWriter,
  type CheckpointWriterOptions,
  createCheckpointWriter,
} from './checkpoint-writer.js';
import { Database, type DatabaseLog, type DatabaseOptions } from './database.js';
import {
  createCatalog,
  createLocalesTable,
  createObjidsTable,
  createRootSpace,
} from './database-creation.js';
import { HeaderFile, openHeader } from './header-file.js';
import {
  continueLogStream,
  createLogStream,
  type LogTail,
  type LogWriter,
  type LogWriterOptions,
} from './log-writer.js';
import type { NodeVersion } from './node-versions.js';
import { DATABASE_EXTENSION } from './space-writer.js';
import { type Session, Transactions } from './transactions.js';

/**
 * An instance: one log stream and the databases that are attached to it (format specification, chapters 10.5 and
 * 10.10). Sessions read and change the tables of all of them in common transactions.
 */
export interface InstanceOptions {
  readonly environment: Environment;
  /** Directory of the logs. */
  readonly logDirectory: string;
  /** Directory of the checkpoint. Default: that of the logs. */
  readonly systemDirectory?: string;
  /** Three characters. Default: `E00`. */
  readonly baseName?: string;
  /** Page size of all databases, in bytes. Default: 4096. */
  readonly pageSize?: number;
  /** Size of a log file, whether old ones are reused, and the like. */
  readonly log?: Pick<LogWriterOptions, 'logFileKiB' | 'logBuffers' | 'circular' | 'digits' | 'extension'>;
  /** Where an existing stream ends, after recovery has brought it there. Without it a new stream begins. */
  readonly tail?: LogTail;
  /** What the checkpoint file of an existing stream holds. */
  readonly checkpoint?: CheckpointWriterOptions['previous'];
  /** Most memory for the versions of changed nodes, in bytes. Default: 64 MiB. */
  readonly versionBytesMax?: number;
  readonly sessionsMax?: number;
  /** Bytes of log after which changed pages are written and the checkpoint moves. Default: 20 MiB. */
  readonly checkpointDepthBytes?: number;
  /** Who holds the locks of the files. Default: `esekit`. */
  readonly role?: LockRole;
}

const PAGE_SIZE_DEFAULT = 4096;
/** Page sizes that databases are written with: the oldest one is only read. */
export const PAGE_SIZES_WRITTEN: readonly number[] = PAGE_SIZES.filter((size) => size >= PAGE_SIZE_DEFAULT);
const BASE_NAME_DEFAULT = 'E00';
const CHECKPOINT_DEPTH_BYTES = 20 * 1024 * 1024;
const DATABASES_MAX = 6;
/** CreateDB says by which rules the database is made: logged record by record (chapter 4.6.2). */
const CREATE_VERSION = [2, 0];
/** "Sort versions are kept in a table" (chapter 1.2.2). */
const SORT_VERSION_IN_TABLE = 0xffffffffffffffffn;
/** What log headers and Init2 state of the engine's parameters; informative. */
const PARAMETERS = { sessions: 64, openTables: 300, verPages: 1024, cursors: 1024, cacheSizeMax: 0 };

/** Options of one database. */
export interface AttachOptions extends DatabaseOptions {
  /** Path that the log names. Default: the path itself. */
  readonly loggedPath?: string;
}

/** Starts an instance. Throws JET_errFileAccessDenied while another one has the log stream. */
export function openInstance(options: InstanceOptions): Instance {
  return new Instance(options);
}

/** A running instance. Made by {@link openInstance}; end it with `close`. */
export class Instance {
  readonly pageSize: number;
  readonly transactions: Transactions;
  readonly #options: InstanceOptions;
  readonly #environment: Environment;
  readonly #log: LogWriter;
  readonly #checkpoint: CheckpointWriter;
  readonly #streamLock: FileLock;
  readonly #databases = new Map<number, Database>();
  /** First segment that this run wrote. */
  readonly #lgposStart: Lgpos;
  #checkpointedAt: number;
  #isClosed = false;

  constructor(options: InstanceOptions) {
    const { environment, logDirectory, baseName = BASE_NAME_DEFAULT, tail, role = 'esekit' } = options;
    this.#options = options;
    this.#environment = environment;
    this.pageSize = options.pageSize ?? PAGE_SIZE_DEFAULT;
    if (!PAGE_SIZES_WRITTEN.includes(this.pageSize)) {
      throw new EseError('JET_errInvalidParameter', `pages cannot have ${this.pageSize} bytes`);
    }
    const systemDirectory = options.systemDirectory ?? logDirectory;
    this.#streamLock = environment.fs.lock(join(logDirectory, baseName), { role });
    try {
      const logOptions: LogWriterOptions = {
        environment,
        directory: logDirectory,
        baseName,
        pageSize: this.pageSize,
        ...options.log,
        parameters: { ...PARAMETERS, systemPath: systemDirectory, logPath: logDirectory },
        attachments: (generation) => this.#attachments(generation),
        checkpoint: () => this.#checkpointPosition(),
        onGeneration: () => this.#requireGeneration(),
      };
      this.#log = tail === undefined ? createLogStream(logOptions) : continueLogStream(logOptions, tail);
      const { generation, isec } = this.#log.lgposEnd;
      this.#lgposStart = { generation, isec, ib: 0 };
      this.#checkpoint = createCheckpointWriter({
        fs: environment.fs,
        path: join(systemDirectory, `${baseName}${options.log?.extension === '.jtx' ? '.jcp' : '.chk'}`),
        signLog: this.#log.header.signLog,
        dbmsParam: this.#log.dbmsParam,
        previous: options.checkpoint,
      });
      if (tail === undefined) {
        this.#checkpoint.update({ lgposCheckpoint: this.#checkpoint.lgpos, attachments: [] });
      }
      this.transactions = new Transactions({
        log: this.#log,
        undo: (session, version) => this.#undo(session, version),
        purged: (version) => this.#databases.get(version.dbid)?.noteDead(version),
        idle: (isOutermost) => this.#idle(isOutermost),
        ...(options.versionBytesMax === undefined ? {} : { versionBytesMax: options.versionBytesMax }),
        ...(options.sessionsMax === undefined ? {} : { sessionsMax: options.sessionsMax }),
      });
      this.transactions.logRecord('Init2', { dbmsParam: this.#log.dbmsParam, logtime: this.#now() });
      this.#checkpointedAt = this.#bytesLogged();
    } catch (error) {
      this.#streamLock.release();
      throw error;
    }
  }

  /** The databases that are attached. */
  get databases(): readonly Database[] {
    return [...this.#databases.values()];
  }

  /** Signature of the log stream. */
  get signLog(): Signature {
    return this.#log.header.signLog;
  }

  createSession(): Session {
    return this.transactions.createSession();
  }

  endSession(session: Session): void {
    this.transactions.endSession(session);
  }

  // --- Databases ---

  /**
   * Creates a database: empty, with its system tables. When that fails half-way the file goes again; the log knows of
   * it, so the instance cannot be used any more, and recovery forgets it.
   *
   * @throws EseError JET_errDatabaseDuplicate if there is such a file, JET_errInvalidPath if its folder is missing,
   *   JET_errTooManyAttachedDatabases, JET_errDiskFull
   */
  createDatabase(path: string, options: AttachOptions = {}): Database {
    const { fs } = this.#environment;
    if (fs.exists(path)) throw new EseError('JET_errDatabaseDuplicate', undefined, { file: path });
    if (!fs.exists(dirname(path))) {
      throw new EseError('JET_errInvalidPath', 'its folder does not exist', { file: path });
    }
    const dbid = this.#freeDbid();
    const session = this.transactions.createSession();
    let file: ExclusiveFile | undefined;
    let isLogged = false;
    try {
      const signDb = newSignature(this.#environment.random.uint32(), this.#now());
      const loggedPath = options.loggedPath ?? path;
      const lgpos = this.transactions.logRecord('CreateDB', {
        procid: session.procid,
        dbid,
        grbit: 0,
        cpgMax: options.pagesMax ?? 0,
        signDb,
        flags: CREATE_DB_FLAG.versionInfo | CREATE_DB_FLAG.utf16,
        versionInfo: CREATE_VERSION,
        path: loggedPath,
      });
      isLogged = true;
      this.transactions.guard(() => this.#log.makeDurable());
      file = this.#openFile(path, 'create');
      const database = this.#startDatabase(file, { path, loggedPath, dbid, lgpos, signDb }, options);
      this.#fillDatabase(database, session, options);
      return database;
    } catch (error) {
      if (isLogged) this.#giveUpCreation(dbid, file, error);
      throw error;
    } finally {
      this.transactions.endSession(session);
    }
  }

  #giveUpCreation(dbid: number, file: ExclusiveFile | undefined, cause: unknown): void {
    this.transactions.fail(cause);
    this.#databases.delete(dbid);
    if (file === undefined) return;
    file.close();
    try {
      this.#environment.fs.unlink(file.path);
    } catch (error) {
      // Recovery removes it.
      if (!(error instanceof EseError)) throw error;
    }
  }

  /** The file of a new database: both headers, and room for the base schema. */
  #startDatabase(
    file: ExclusiveFile,
    created: { path: string; loggedPath: string; dbid: number; lgpos: Lgpos; signDb: Signature },
    options: AttachOptions,
  ): Database {
    const { path, loggedPath, dbid, lgpos, signDb } = created;
    return this.transactions.guard(() => {
      const bytes = newDatabaseHeader({
        signDb,
        signLog: this.signLog,
        dbid,
        lgpos,
        pageSize: this.pageSize,
        generationTime: this.#log.header.tmCreate,
        now: this.#now(),
      });
      const headerFile = new HeaderFile(this.#environment, file, bytes);
      headerFile.change({});
      headerFile.write();
      file.truncate(newDatabaseBytes(this.pageSize));
      file.sync();
      this.#environment.fs.syncDirectory(dirname(path));
      const database = this.#open({ file, headerFile, path, loggedPath, dbid, lgposAttach: lgpos }, options, {
        dbtime: DBTIME_START,
        objidLast: OBJID_DATABASE,
      });
      this.#databases.set(dbid, database);
      return database;
    });
  }

  #fillDatabase(database: Database, session: Session, options: AttachOptions): void {
    const { transactions } = this;
    const pages = initialPages(options.extensionPages ?? DATABASE_EXTENSION);
    if (pages > database.pool.lastPgno) database.pool.extend(pages);
    if (pages > BASE_PAGES) transactions.logRecord('ExtendDB', { dbid: database.dbid, pgnoLast: pages });
    createRootSpace(database, session, pages);
    createCatalog(database, session);
    transactions.logRecord('CreateDBFinish', { procid: session.procid, dbid: database.dbid });
    transactions.guard(() => {
      this.#log.makeDurable();
      database.flush();
      database.headerFile.change({
        state: DATABASE_STATE.dirtyShutdown,
        dbtimeDirtied: database.changes.dbtime,
        objidLast: database.objidLast,
      });
      database.headerFile.write();
    });
    createObjidsTable(database, session);
    createLocalesTable(database, session);
    database.loadTables();
    transactions.guard(() => {
      database.headerFile.change({ sortVersion: SORT_VERSION_IN_TABLE });
      database.headerFile.write();
    });
  }

  /**
   * Attaches a database that is clean.
   *
   * @throws EseError JET_errDatabaseDirtyShutdown for one that is not, JET_errPageSizeMismatch,
   *   JET_errDatabaseDuplicate if it is attached already, JET_errFileNotFound, JET_errFileAccessDenied
   */
  attachDatabase(path: string, options: AttachOptions = {}): Database {
    for (const database of this.#databases.values()) {
      if (database.path === path) {
        throw new EseError('JET_errDatabaseDuplicate', 'the database is attached already', { file: path });
      }
    }
    const dbid = this.#freeDbid();
    const file = this.#openFile(path, 'write');
    try {
      const headerFile = openHeader(this.#environment, file);
      this.#checkAttachable(headerFile, path);
      const { header } = headerFile;
      const loggedPath = options.loggedPath ?? path;
      const session = this.transactions.createSession();
      let lgposAttach: Lgpos;
      try {
        lgposAttach = this.transactions.logRecord('AttachDB', {
          procid: session.procid,
          dbid,
          cpgMax: options.pagesMax ?? 0,
          lgposConsistent: header.lgposConsistent,
          signDb: header.signDb,
          signLog: header.signLog,
          flags: ATTACH_DB_FLAG.utf16,
          path: loggedPath,
        });
      } finally {
        this.transactions.endSession(session);
      }
      return this.transactions.guard(() => {
        this.#log.makeDurable();
        headerFile.change(this.#attachedHeader(dbid, lgposAttach, header.updateMajor));
        headerFile.write();
        const database = this.#open({ file, headerFile, path, loggedPath, dbid, lgposAttach }, options, {
          dbtime: header.dbtimeDirtied,
          objidLast: header.objidLast,
        });
        this.#databases.set(dbid, database);
        return database;
      });
    } catch (error) {
      file.close();
      throw error instanceof EseError ? error.at({ file: path }) : error;
    }
  }

  #checkAttachable({ header }: HeaderFile, path: string): void {
    checkHeaderSupported(header, path);
    if ((header.cbPageSize || PAGE_SIZE_DEFAULT) !== this.pageSize) {
      throw new EseError(
        'JET_errPageSizeMismatch',
        `the database has pages of ${header.cbPageSize} bytes, the instance of ${this.pageSize}`,
      );
    }
    if (header.state !== DATABASE_STATE.cleanShutdown) {
      throw new EseError(
        header.bkinfoFullCur.genLow === 0
          ? 'JET_errDatabaseDirtyShutdown'
          : 'JET_errSoftRecoveryOnBackupDatabase',
      );
    }
    if (header.updateMajor < UPDATE_MAJOR_WRITTEN) {
      throw new EseError(
        'JET_errInvalidDatabaseVersion',
        `format update ${header.updateMajor} can only be read`,
      );
    }
  }

  #attachedHeader(dbid: number, lgposAttach: Lgpos, updateMajor: number): HeaderChanges {
    const { generation } = lgposAttach;
    return {
      state: DATABASE_STATE.dirtyShutdown,
      dbid,
      signLog: this.signLog,
      lgposAttach,
      logtimeAttach: this.#now(),
      lgposDetach: LGPOS_NONE,
      logtimeDetach: undefined,
      genMinRequired: generation,
      genMaxRequired: generation,
      genMaxCommitted: generation,
      genMinConsistent: generation,
      logtimeGenMaxCommitted: this.#log.header.tmCreate,
      ...(updateMajor >= UPDATE_LAST_RESIZE ? { lgposLastResize: lgposAttach } : {}),
    };
  }

  /** Detaches a database: clean, and nothing of it in the logs any more. Sessions must have ended their transactions. */
  detachDatabase(database: Database): void {
    for (const session of this.transactions.sessions) {
      if (session.level > 0) throw new EseError('JET_errInTransaction', 'a session has a transaction open');
    }
    database.cleanUp();
    const { transactions } = this;
    transactions.guard(() => {
      database.flush();
      const lgpos = transactions.logRecord('DetachDB', {
        procid: DETACH_PROCID,
        dbid: database.dbid,
        flags: DETACH_DB_FLAG.utf16,
        path: database.loggedPath,
      });
      this.#log.makeDurable();
      this.#databases.delete(database.dbid);
      database.markClean(lgpos);
      database.close();
    });
    this.checkpoint();
  }

  #open(
    opened: {
      file: ExclusiveFile;
      headerFile: HeaderFile;
      path: string;
      loggedPath: string;
      dbid: number;
      lgposAttach: Lgpos;
    },
    options: AttachOptions,
    counters: { dbtime: number; objidLast: number },
  ): Database {
    const log = this.#log;
    const databaseLog: DatabaseLog = {
      makeDurable: (lgpos) => log.makeDurable(lgpos),
      get generation() {
        return log.generation;
      },
      get generationTime() {
        return log.header.tmCreate;
      },
    };
    return new Database({
      ...options,
      ...opened,
      ...counters,
      environment: this.#environment,
      transactions: this.transactions,
      log: databaseLog,
    });
  }

  #openFile(path: string, mode: 'create' | 'write'): ExclusiveFile {
    return openExclusive(this.#environment.fs, path, mode, { role: this.#options.role ?? 'esekit' });
  }

  #freeDbid(): number {
    for (let dbid = 1; dbid <= DATABASES_MAX; dbid++) {
      if (!this.#databases.has(dbid)) return dbid;
    }
    throw new EseError('JET_errTooManyAttachedDatabases');
  }

  #undo(session: Session, version: NodeVersion): void {
    const database = this.#database(version.dbid);
    database.trees.undo(session, version);
    database.noteDead(version);
  }

  #database(dbid: number): Database {
    const database = this.#databases.get(dbid);
    if (database === undefined) throw new Error(`database ${dbid} is not attached`);
    return database;
  }

  /**
   * Waits until all commits so far are durable, the lazy ones of all sessions: one sync for everybody who waits
   * (format specification, chapter 5.1.4). Does nothing if they are.
   *
   * @throws EseError JET_errLogWriteFail: nobody knows what is durable then, and the instance must be restarted
   */
  waitForDurability(): void {
    const { transactions } = this;
    transactions.assertUsable();
    transactions.guard(() => this.#log.makeDurable());
  }

  // --- Checkpoint and end ---

  /** Writes all changed pages, and moves the checkpoint as far as open transactions let it. */
  checkpoint(): void {
    const { transactions } = this;
    transactions.assertUsable();
    transactions.guard(() => {
      for (const database of this.#databases.values()) database.flush();
      const { durableTo } = this.#log;
      const oldest = transactions.oldestLgpos();
      const lgposCheckpoint =
        oldest !== undefined && compareLgpos(oldest, durableTo) < 0 ? oldest : durableTo;
      this.#checkpoint.update({
        lgposCheckpoint,
        attachments: this.#attachments(Number.POSITIVE_INFINITY),
        raiseDatabases: ({ generation }) => {
          for (const database of this.#databases.values()) {
            database.releaseGenerations(generation);
            database.headerFile.write();
          }
        },
      });
    });
    this.#checkpointedAt = this.#bytesLogged();
  }

  /** Removes what committed transactions have deleted, from all databases. */
  cleanUp(): void {
    for (const database of this.#databases.values()) database.cleanUp();
  }

  /** Ends the instance: transactions are rolled back, databases become clean, the log ends properly. */
  close(): void {
    if (this.#isClosed) return;
    const { transactions } = this;
    transactions.assertUsable();
    for (const session of [...transactions.sessions]) transactions.endSession(session);
    this.cleanUp();
    transactions.guard(() => {
      this.checkpoint();
      const lgpos = transactions.logRecord('ShutDownMark', {});
      this.#log.makeDurable();
      for (const database of this.#databases.values()) {
        database.markClean(lgpos);
        database.close();
      }
      this.#databases.clear();
      const term = transactions.logRecord('Term2', {
        lgposStart: this.#lgposStart,
        lgposRedoFrom: LGPOS_NONE,
        fHard: 0,
        logtime: this.#now(),
      });
      this.#log.makeDurable(undefined, { fill: false });
      this.#checkpoint.end(term);
      this.#log.close();
    });
    this.#isClosed = true;
    this.#streamLock.release();
  }

  /** Lets go of all files as they are, as a crash would. */
  abandon(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const database of this.#databases.values()) database.close();
    this.#streamLock.release();
  }

  /** Called when nobody holds a page: keeps caches within their bounds, and the checkpoint near enough. */
  #idle(isOutermost: boolean): void {
    for (const database of this.#databases.values()) {
      database.pool.trim();
      if (isOutermost) database.cleanUpIfDue();
    }
    if (!isOutermost) return;
    const depth = this.#options.checkpointDepthBytes ?? CHECKPOINT_DEPTH_BYTES;
    if (this.#bytesLogged() - this.#checkpointedAt > depth) this.checkpoint();
  }

  /** Where the log ends, as if all its files had the size of the current one. */
  #bytesLogged(): number {
    const { generation, isec, ib } = this.#log.lgposEnd;
    return (generation * this.#log.header.csecLGFile + isec) * SEGMENT_BYTES + ib;
  }

  #checkpointPosition(): Lgpos {
    // The first generation is begun before there is a checkpoint.
    return (this.#checkpoint as CheckpointWriter | undefined)?.lgpos ?? { generation: 1, isec: 1, ib: 0 };
  }

  #requireGeneration(): void {
    for (const database of this.#databases.values()) {
      database.requireGeneration(this.#log.generation);
      database.headerFile.write();
    }
  }

  /** The databases that were attached before a generation began. */
  #attachments(generation: number): NewAttachInfo[] {
    const list: NewAttachInfo[] = [];
    for (const database of this.#databases?.values() ?? []) {
      const { header } = database.headerFile;
      if (database.lgposAttach.generation >= generation) continue;
      list.push({
        dbid: database.dbid,
        flags: ATTACH_INFO_FLAG.utf16,
        dbtime: database.changes.dbtime,
        objidLast: database.objidLast,
        cpgMax: 0,
        lgposAttach: database.lgposAttach,
        lgposConsistent: header.lgposConsistent,
        signDb: header.signDb,
        names: [database.loggedPath],
      });
    }
    return list;
  }

  #now(): Logtime {
    return logtimeOf(this.#environment.clock.now());
  }
}

/** Format update below which databases are not written (chapter 1.9). */
const UPDATE_MAJOR_WRITTEN = 20;
/** A detach belongs to no session. */
const DETACH_PROCID = 0;

/** Pages of a new database: the base schema and one extension, so that the whole file is a multiple of it. */
function initialPages(extension: number): number {
  const whole = Math.floor((BASE_PAGES + 2 + extension) / extension) * extension;
  return Math.max(BASE_PAGES, whole - 2);
}
