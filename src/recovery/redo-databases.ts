import { dirname } from 'node:path';
import { HeaderFile, mendHeader, openHeader } from '../engine/header-file.js';
import { newDatabaseBytes, newDatabaseHeader } from '../format/database-header.js';
import { EseError, type Lgpos } from '../format/ese-error.js';
import { type LogHeader, logPageSize } from '../format/log-header.js';
import type { LogRecordOf } from '../format/log-record.js';
import { type Logtime, logtimeOf } from '../format/logtime.js';
import { type Signature, signaturesEqual } from '../format/signature.js';
import type { Environment } from '../io/environment.js';
import { openExclusive } from '../io/exclusive-file.js';
import type { FileHandle } from '../io/file-system.js';
import { decideAttach, type FoundDatabase, type LoggedAttach } from './attach-decision.js';
import { areHeaderCopiesEqual, findDatabase } from './database-header-file.js';
import type { DatabaseMap } from './database-map.js';
import {
  AttachedDatabase,
  type AttachedDatabaseOptions,
  type DeferredDatabase,
  type GenerationTimes,
} from './redo-database.js';
import type { RedoVersions } from './redo-versions.js';

/** What happened to a database, for the report. */
export interface DatabaseOutcome {
  readonly path: string | undefined;
  readonly loggedPath: string;
  readonly dbid: number;
  readonly signDb: Signature;
  /** `removed`: its creation never came to an end. */
  action: 'recovered' | 'created' | 'deferred' | 'removed';
  reason: DeferredDatabase['reason'] | undefined;
  readonly stateBefore: number | undefined;
  stateAfter: number | undefined;
  readonly requiredBefore: { readonly low: number; readonly high: number } | undefined;
  /** When a repair gave the file that was found another signature. */
  readonly repaired: Logtime | undefined;
}

/** Database ids are one byte. */
const DBID_MAX = 255;

export interface RedoDatabasesOptions {
  readonly environment: Environment;
  readonly map: DatabaseMap;
  readonly signLog: Signature;
  /** Decides about databases without writing a byte: headers are changed in memory. */
  readonly rehearsal: boolean;
  readonly cacheBytes: number | undefined;
  readonly frameMemory: AttachedDatabaseOptions['frameMemory'];
  readonly versions: RedoVersions;
  /** Position of the record that is being redone. */
  readonly lgpos: Lgpos;
  /** Header of the log that is being redone. */
  readonly logHeader: () => LogHeader | undefined;
  readonly generationTime: GenerationTimes;
}

/**
 * The databases of a redo: which of them take part, and their way from file to file (format specification, chapters
 * 5.3.3 and 5.3.9).
 */
export class RedoDatabases {
  readonly outcomes: DatabaseOutcome[] = [];
  /** Pages that were changed in the databases that are closed. */
  pagesChanged = 0;
  /** During redo the log is durable; undo sets this to the flush of its log. */
  makeLogDurable: (lgpos: Lgpos) => void = () => {};

  readonly #options: RedoDatabasesOptions;
  readonly #slots: (AttachedDatabase | DeferredDatabase | undefined)[] = new Array(DBID_MAX + 1).fill(
    undefined,
  );
  /** Databases that were clean later on, of which the log has come to the detach. */
  readonly #leftAside = new Set<string>();
  /** In a rehearsal: headers as they would be now, by path. */
  readonly #rehearsed = new Map<string, Uint8Array>();

  constructor(options: RedoDatabasesOptions) {
    this.#options = options;
  }

  /** The database with an id, if the log says that there is one. */
  at(dbid: number): AttachedDatabase | DeferredDatabase | undefined {
    return this.#slots[dbid];
  }

  /** Decides about a database, and opens or creates it if it takes part. */
  attach(dbid: number, loggedPath: string, logged: LoggedAttach, create?: LogRecordOf<'CreateDB'>): void {
    if (this.#slots[dbid]?.kind === 'attached') this.detach(dbid, { ...this.#options.lgpos });
    const { map } = this.#options;
    const { signDb } = logged;
    const location = map.locate(loggedPath, signDb);
    if (location.kind !== 'at') {
      const reason = location.kind === 'leftOut' ? 'notInMap' : 'missing';
      this.#defer({ kind: 'deferred', dbid, loggedPath, path: undefined, signDb, reason });
      return;
    }
    const { path } = location;
    try {
      this.#attachAt(path, dbid, loggedPath, logged, create);
    } catch (error) {
      throw error instanceof EseError ? error.at({ file: path, lgpos: { ...this.#options.lgpos } }) : error;
    }
  }

  #attachAt(
    path: string,
    dbid: number,
    loggedPath: string,
    logged: LoggedAttach,
    create: LogRecordOf<'CreateDB'> | undefined,
  ): void {
    const { environment, signLog } = this.#options;
    const { signDb } = logged;
    const found = this.#find(path);
    const decision = decideAttach(logged, found, signLog, this.#options.lgpos);
    if (decision.kind === 'defer') {
      this.#defer({ kind: 'deferred', dbid, loggedPath, path, signDb, reason: decision.reason }, found);
      return;
    }
    if (decision.kind === 'create') {
      if (!environment.fs.exists(dirname(path))) {
        this.#defer({ kind: 'deferred', dbid, loggedPath, path, signDb, reason: 'missing' }, found);
        return;
      }
      checkCreateVersion(create);
      this.#create(path, dbid, loggedPath, signDb, found);
      return;
    }
    const { file, headerFile } = this.#open(path);
    const isNew = this.#outcomeAt(path)?.action === 'created';
    const database = this.#enter({ path, dbid, loggedPath, headerFile, file, isNew });
    this.#note(database, found, 'recovered');
    database.markAttached({
      lgpos: logged.lgposAttach,
      isNew: decision.isNewAttach,
      signLog,
      generationRedo: this.#options.lgpos.generation,
    });
    // From here on a header that says "clean" would be a lie, whatever comes in between.
    if (decision.isNewAttach && file !== undefined) headerFile.write();
  }

  #find(path: string): FoundDatabase {
    const rehearsed = this.#rehearsed.get(path);
    if (rehearsed === undefined) return findDatabase(this.#options.environment.fs, path);
    return { kind: 'found', header: new HeaderFile(this.#options.environment, NO_FILE, rehearsed).header };
  }

  /** Opens a database file for recovery; in a rehearsal its header only, of which a copy is changed. */
  #open(path: string): { file: FileHandle | undefined; headerFile: HeaderFile } {
    const { environment, rehearsal } = this.#options;
    if (rehearsal) {
      const rehearsed = this.#rehearsed.get(path);
      if (rehearsed !== undefined) {
        return { file: undefined, headerFile: new HeaderFile(environment, NO_FILE, rehearsed) };
      }
      const file = environment.fs.open(path, 'read');
      try {
        const headerFile = openHeader(environment, file);
        this.#rehearsed.set(path, headerFile.bytes);
        return { file: undefined, headerFile };
      } finally {
        file.close();
      }
    }
    const file = openExclusive(environment.fs, path, 'write', { role: 'eseutil' });
    try {
      mendHeader(file);
      return { file, headerFile: openHeader(environment, file) };
    } catch (error) {
      file.close();
      throw error;
    }
  }

  #create(path: string, dbid: number, loggedPath: string, signDb: Signature, found: FoundDatabase): void {
    const { environment, signLog, rehearsal } = this.#options;
    const header = this.#options.logHeader();
    if (header === undefined) throw new Error('a database is created outside of a log');
    const pageSize = logPageSize(header);
    const bytes = newDatabaseHeader({
      signDb,
      signLog,
      dbid,
      lgpos: { ...this.#options.lgpos },
      pageSize,
      generationTime: header.tmCreate,
      now: logtimeOf(environment.clock.now()),
    });
    let file: FileHandle | undefined;
    if (rehearsal) {
      this.#rehearsed.set(path, bytes);
    } else {
      if (found.kind !== 'missing') environment.fs.unlink(path);
      file = openExclusive(environment.fs, path, 'create', { role: 'eseutil' });
    }
    const headerFile = new HeaderFile(environment, file ?? NO_FILE, bytes);
    headerFile.change({});
    try {
      if (file !== undefined) {
        headerFile.write();
        file.truncate(newDatabaseBytes(pageSize));
        environment.fs.syncDirectory(dirname(path));
      }
    } catch (error) {
      file?.close();
      throw error;
    }
    const database = this.#enter({ path, dbid, loggedPath, headerFile, file, isNew: true });
    this.#note(database, found, 'created');
  }

  #enter(
    opened: Pick<AttachedDatabaseOptions, 'path' | 'dbid' | 'loggedPath' | 'headerFile' | 'file' | 'isNew'>,
  ): AttachedDatabase {
    const { environment, cacheBytes, frameMemory, lgpos } = this.#options;
    const database = new AttachedDatabase({
      ...opened,
      environment,
      lgpos,
      versions: this.#options.versions,
      generationTime: this.#options.generationTime,
      cacheBytes,
      frameMemory,
      makeLogDurable: (lgpos) => this.makeLogDurable(lgpos),
    });
    this.#slots[opened.dbid] = database;
    return database;
  }

  #defer(database: DeferredDatabase, found?: FoundDatabase): void {
    this.#slots[database.dbid] = database;
    const { dbid, path, loggedPath, signDb, reason } = database;
    const header = found?.kind === 'found' ? found.header : undefined;
    const known = this.outcomes.find((one) =>
      path === undefined ? signaturesEqual(one.signDb, signDb) : one.path === path,
    );
    if (known !== undefined) {
      known.reason = reason;
      return;
    }
    this.outcomes.push({
      path,
      loggedPath,
      dbid,
      signDb,
      action: 'deferred',
      reason,
      stateBefore: header?.state,
      stateAfter: header?.state,
      requiredBefore:
        header === undefined ? undefined : { low: header.genMinRequired, high: header.genMaxRequired },
      repaired: header?.logtimeRepair,
    });
  }

  #note(database: AttachedDatabase, found: FoundDatabase, action: 'recovered' | 'created'): void {
    const { path, loggedPath, dbid, header } = database;
    const known = this.#outcomeOf(database);
    if (known !== undefined) {
      if (known.action !== 'created') known.action = action;
      known.reason = undefined;
      return;
    }
    const before = found.kind === 'found' ? found.header : undefined;
    this.outcomes.push({
      path,
      loggedPath,
      dbid,
      signDb: header.signDb,
      action,
      reason: undefined,
      stateBefore: before?.state,
      stateAfter: header.state,
      requiredBefore:
        before === undefined ? undefined : { low: before.genMinRequired, high: before.genMaxRequired },
      repaired: before?.logtimeRepair,
    });
  }

  detach(dbid: number, lgpos: Lgpos): void {
    const database = this.#slots[dbid];
    this.#slots[dbid] = undefined;
    if (database?.kind === 'attached') this.release(database, lgpos);
    else if (database?.path !== undefined && database.reason === 'future') this.#leftAside.add(database.path);
  }

  /** Makes a database clean at `lgpos` and closes it. One whose creation did not end is removed. */
  release(database: AttachedDatabase, lgpos: Lgpos): void {
    if (database.isUnfinished) {
      this.#remove(database);
      return;
    }
    try {
      database.detach(lgpos);
      this.pagesChanged += database.pool?.pagesChanged ?? 0;
      const outcome = this.#outcomeOf(database);
      if (outcome !== undefined) outcome.stateAfter = database.header.state;
    } finally {
      database.close();
    }
  }

  /** A database that an earlier recovery ended with may still have one of its header copies from before. */
  mendLeftAside(): void {
    const { fs } = this.#options.environment;
    for (const { path, reason } of this.deferred()) {
      if (path !== undefined && reason === 'future') this.#leftAside.add(path);
    }
    for (const path of this.#leftAside) {
      if (!fs.exists(path) || areHeaderCopiesEqual(fs, path)) continue;
      const file = openExclusive(fs, path, 'write', { role: 'eseutil' });
      try {
        mendHeader(file);
      } finally {
        file.close();
      }
    }
  }

  /** Removes the databases whose creation did not come to an end: nobody has ever used them. */
  removeUnfinished(): void {
    for (const database of this.attached()) {
      if (!database.isUnfinished) continue;
      this.#slots[database.dbid] = undefined;
      this.#remove(database);
    }
  }

  #remove(database: AttachedDatabase): void {
    database.close();
    const { path } = database;
    const { rehearsal, environment } = this.#options;
    if (rehearsal) {
      this.#rehearsed.delete(path);
    } else {
      environment.fs.unlink(path);
      // The log is about to say that nothing is left to do.
      environment.fs.syncDirectory(dirname(path));
    }
    const outcome = this.#outcomeOf(database);
    if (outcome !== undefined) Object.assign(outcome, { action: 'removed', stateAfter: undefined });
  }

  #outcomeOf({ path }: AttachedDatabase): DatabaseOutcome | undefined {
    return this.#outcomeAt(path);
  }

  #outcomeAt(path: string): DatabaseOutcome | undefined {
    return this.outcomes.find((one) => one.path === path);
  }

  /** Closes all files as they are. */
  closeAll(): void {
    for (const database of this.attached()) this.pagesChanged += database.pool?.pagesChanged ?? 0;
    this.abandon();
  }

  /** Closes all files as they are, after a failure. */
  abandon(): void {
    for (const [dbid, database] of this.#slots.entries()) {
      if (database?.kind === 'attached') database.close();
      this.#slots[dbid] = undefined;
    }
  }

  /** The databases that take part now. */
  attached(): AttachedDatabase[] {
    return this.#slots.filter((one): one is AttachedDatabase => one?.kind === 'attached');
  }

  deferred(): DeferredDatabase[] {
    return this.#slots.filter((one): one is DeferredDatabase => one?.kind === 'deferred');
  }

  /** A run ended at `lgpos`: what was still attached is detached there. */
  detachAll(lgpos: Lgpos): void {
    for (let dbid = 0; dbid <= DBID_MAX; dbid++) this.detach(dbid, lgpos);
  }
}

/** Creation that is not logged page by page would need an image that nobody has (chapter 5.8). */
function checkCreateVersion(create: LogRecordOf<'CreateDB'> | undefined): void {
  const [version] = create?.versionInfo ?? [1];
  if (version === 2) return;
  throw new EseError(
    'JET_errInvalidCreateDbVersion',
    `the log creates the database in the old way (version ${version})`,
  );
}

/** Stands for the file in a rehearsal; nothing may reach it. */
const NO_FILE: FileHandle = {
  path: '',
  size: () => 0,
  readAt: () => 0,
  writeAt: refuse,
  truncate: refuse,
  sync: refuse,
  close: () => {},
};

function refuse(): never {
  throw new Error('a rehearsal writes nothing');
}
