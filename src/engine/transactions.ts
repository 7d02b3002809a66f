import { EseError, type Lgpos } from '../format/ese-error.js';
import {
  createLogRecordEncoder,
  type LogRecordEncoder,
  type LogRecordFields,
} from '../format/log-record-encoder.js';
import type { RecordBytes } from '../format/log-record-field.js';
import type { LogRecordName } from '../format/log-record-type.js';
import type { EngineLog } from './engine-log.js';
import { compareTrx, type NodeVersion, NodeVersions, type VersionOwner } from './node-versions.js';

/**
 * Sessions and their transactions (format specification, chapters 5.1.4, 10.1 and 10.9). A session has up to
 * seven levels of transactions, one inside the other. Nothing is logged of a transaction before its first
 * change; a rollback takes the changes of its level back one by one, the newest first.
 */

/** Deepest level of the transactions of a caller; the engine opens more inside them (chapter 5.1.4). */
const LEVELS_MAX = 7;
const INNER_LEVELS_MAX = 10;
/** Step of transaction ids; the first begin draws 4 (chapter 10.1). */
const TRX_STEP = 4;
/** The first version id of every run, and their step. */
const RCEID_FIRST = 4294967215;
const RCEID_STEP = 2;
/** Session numbers up to here belong to the engine itself. */
const PROCID_FIRST = 5;
const PROCID_MAX = 0xffff;

/** How a commit waits. */
export interface CommitOptions {
  /** Does not wait until the log is durable: a crash may lose the transaction, but never a part of it. */
  readonly lazy?: boolean;
}

/** What the sessions of an instance share. */
export interface TransactionsOptions {
  readonly log: EngineLog;
  /** Takes one change back, with its Undo record. */
  readonly undo: (session: Session, version: NodeVersion) => void;
  /** A version was let go of: nobody can see the state before it any more. */
  readonly purged: (version: NodeVersion) => void;
  /** Called after every commit and rollback, when nobody holds a page. */
  readonly idle?: (isOutermost: boolean) => void;
  /** Most memory for versions, in bytes. */
  readonly versionBytesMax?: number;
  /** Most sessions at a time. */
  readonly sessionsMax?: number;
}

/** All sessions of an instance, their ids and versions. */
export class Transactions {
  readonly log: EngineLog;
  readonly encoder: LogRecordEncoder = createLogRecordEncoder();
  readonly versions: NodeVersions;
  readonly undo: TransactionsOptions['undo'];
  readonly idle: (isOutermost: boolean) => void;
  readonly #purged: TransactionsOptions['purged'];
  readonly #sessionsMax: number;
  readonly #sessions = new Map<number, Session>();
  #trx = 0;
  #rceid = RCEID_FIRST - RCEID_STEP;
  /** Set once a change could not be carried out or logged: nothing may be written after it. */
  #failure: unknown;

  constructor(options: TransactionsOptions) {
    this.log = options.log;
    this.undo = options.undo;
    this.#purged = options.purged;
    this.idle = options.idle ?? (() => {});
    this.#sessionsMax = options.sessionsMax ?? PROCID_MAX - PROCID_FIRST;
    const owners = { owner: (procid: number) => this.session(procid), all: () => this.sessions };
    this.versions = new NodeVersions(owners, options.versionBytesMax);
  }

  /** Opens a session. Throws JET_errOutOfSessions. */
  createSession(): Session {
    if (this.#sessions.size >= this.#sessionsMax) throw new EseError('JET_errOutOfSessions');
    let procid = PROCID_FIRST;
    while (this.#sessions.has(procid)) procid++;
    const session = new Session(this, procid);
    this.#sessions.set(procid, session);
    return session;
  }

  /** Rolls back what the session has open, and ends it. Once the instance has failed, recovery does the former. */
  endSession(session: Session): void {
    while (session.level > 0 && this.#failure === undefined) session.rollback();
    this.#sessions.delete(session.procid);
  }

  session(procid: number): Session {
    const session = this.#sessions.get(procid);
    if (session === undefined) throw new Error(`there is no session ${procid}`);
    return session;
  }

  get sessions(): Iterable<Session> {
    return this.#sessions.values();
  }

  nextTrx(): number {
    this.#trx = (this.#trx + TRX_STEP) >>> 0;
    return this.#trx;
  }

  /** The newest transaction id: a reader outside of a transaction sees what was committed up to it. */
  get trxNewest(): number {
    return this.#trx;
  }

  /** A version id; numbers that no record carries are skipped by the caller's drawing them. */
  nextRceid(): number {
    this.#rceid = (this.#rceid + RCEID_STEP) >>> 0;
    return this.#rceid;
  }

  /** Begin of the oldest transaction that is open; undefined if none is. */
  oldestTrx(): number | undefined {
    let oldest: number | undefined;
    for (const { level, trxBegin0 } of this.#sessions.values()) {
      if (level > 0 && (oldest === undefined || compareTrx(trxBegin0, oldest) < 0)) oldest = trxBegin0;
    }
    return oldest;
  }

  /** Position of the oldest begin that is logged and not ended, which the checkpoint must not pass. */
  oldestLgpos(): Lgpos | undefined {
    let oldest: Lgpos | undefined;
    for (const { lgposStart } of this.#sessions.values()) {
      if (lgposStart === undefined) continue;
      if (oldest === undefined || isBefore(lgposStart, oldest)) oldest = lgposStart;
    }
    return oldest;
  }

  /** Lets go of the versions that nobody can ask for any more. */
  purge(): void {
    this.versions.purge(this.oldestTrx(), this.#purged);
  }

  /** Logs one record that changes no page. */
  logRecord<N extends LogRecordName>(name: N, fields: LogRecordFields<N>): Lgpos {
    this.assertUsable();
    const { encoder } = this;
    encoder.clear();
    return this.append(encoder.encode(name, fields) as unknown as RecordBytes);
  }

  /** Appends a record that changes no page. */
  append(record: RecordBytes): Lgpos {
    try {
      return this.log.append(record);
    } catch (error) {
      throw this.fail(error);
    }
  }

  /** Carries out something that leaves the instance unusable if it fails half-way. */
  guard<T>(action: () => T): T {
    try {
      return action();
    } catch (error) {
      throw this.fail(error);
    }
  }

  /** Something has failed half-way: the instance cannot be used any more. Returns the error. */
  fail(error: unknown): unknown {
    this.#failure ??= error;
    return error;
  }

  /** Throws JET_errInstanceUnavailable once something has failed half-way. */
  assertUsable(): void {
    if (this.#failure === undefined) return;
    const what = this.#failure instanceof Error ? this.#failure.message : String(this.#failure);
    throw new EseError('JET_errInstanceUnavailable', `the instance must be restarted after: ${what}`);
  }
}

function isBefore(a: Lgpos, b: Lgpos): boolean {
  return (a.generation - b.generation || a.isec - b.isec || a.ib - b.ib) < 0;
}

/** A session: the one who reads and changes, and holds its transactions. */
export class Session implements VersionOwner {
  readonly procid: number;
  readonly versions: NodeVersion[] = [];
  /** Level of the innermost open transaction; 0 = none. */
  level = 0;
  /** Id of the outermost transaction: what was committed before it is visible. */
  trxBegin0 = 0;
  /** Position of its Begin0 record, once there is one. */
  lgposStart: Lgpos | undefined;
  readonly #transactions: Transactions;
  #levelsLogged = 0;
  /** Number of versions at the begin of each level. */
  readonly #marks: number[] = [];
  /** Records of inner begins and commits, by their levels. */
  readonly #constants = new Map<number, RecordBytes>();
  readonly #onRollback: { level: number; readonly action: () => void }[] = [];
  readonly #onCommit: { level: number; readonly action: () => void }[] = [];

  constructor(transactions: Transactions, procid: number) {
    this.#transactions = transactions;
    this.procid = procid;
  }

  /** Opens a transaction inside the one that is open. Throws JET_errTransTooDeep. */
  begin(): void {
    this.#begin(LEVELS_MAX);
  }

  #begin(most: number): void {
    if (this.level >= most) throw new EseError('JET_errTransTooDeep');
    if (this.level === 0) this.trxBegin0 = this.#transactions.nextTrx();
    this.#marks.push(this.versions.length);
    this.level++;
  }

  /** Logs the begin of all open levels, before the first change. */
  logBegin(): void {
    const from = this.#levelsLogged;
    const { level, procid } = this;
    if (from === level) return;
    const transactions = this.#transactions;
    const clevels = level - from;
    if (from === 0) {
      const { trxBegin0 } = this;
      this.lgposStart = transactions.logRecord('Begin0', { procid, trxBegin0, levelBeginFrom: 0, clevels });
    } else {
      const id = from * INNER_LEVELS_MAX + clevels;
      const record =
        this.#constants.get(id) ?? this.#constant(id, 'Begin', { procid, levelBeginFrom: from, clevels });
      transactions.append(record);
    }
    this.#levelsLogged = level;
  }

  /** Makes a record that is the same each time: every row that is changed has such ones around it. */
  #constant<N extends LogRecordName>(id: number, name: N, fields: LogRecordFields<N>): RecordBytes {
    const { encoder } = this.#transactions;
    encoder.clear();
    const { bytes, offset, size } = encoder.encode(name, fields) as unknown as RecordBytes;
    const own = bytes.slice(offset, offset + size);
    const record = { bytes: own, view: new DataView(own.buffer), offset: 0, size };
    this.#constants.set(id, record);
    return record;
  }

  /** Commits the innermost transaction; the outermost waits until the log is durable, unless it is lazy. */
  commit(options: CommitOptions = {}): void {
    this.#assertOpen();
    const { procid } = this;
    const transactions = this.#transactions;
    const to = this.level - 1;
    if (to > 0) {
      if (this.#levelsLogged > to) {
        transactions.assertUsable();
        const record =
          this.#constants.get(-to) ?? this.#constant(-to, 'Commit', { procid, levelCommitTo: to });
        transactions.append(record);
        this.#levelsLogged = to;
      }
      this.#leaveLevel();
      for (const pending of this.#onRollback) pending.level = Math.min(pending.level, to);
      for (const pending of this.#onCommit) pending.level = Math.min(pending.level, to);
      transactions.idle(false);
      return;
    }
    if (this.#levelsLogged > 0) {
      const trxCommit0 = transactions.nextTrx();
      transactions.logRecord('Commit0', { procid, levelCommitTo: 0, trxCommit0 });
      if (options.lazy !== true) transactions.guard(() => transactions.log.makeDurable());
      transactions.versions.commit(this, trxCommit0);
    }
    this.#end();
    const actions = this.#onCommit.splice(0);
    for (const { action } of actions) action();
    transactions.purge();
    transactions.idle(true);
  }

  /** Takes back everything since the begin of the innermost transaction, and ends it. */
  rollback(): void {
    this.#assertOpen();
    const transactions = this.#transactions;
    const mark = this.#marks.at(-1) ?? 0;
    while (this.versions.length > mark) {
      const version = this.versions.at(-1);
      if (version === undefined) break;
      transactions.undo(this, version);
      if (this.versions.at(-1) === version) throw new Error(`change ${version.rceid} was not undone`);
    }
    const to = this.level - 1;
    for (let last = this.#onRollback.at(-1); last !== undefined && last.level > to; ) {
      this.#onRollback.pop();
      last.action();
      last = this.#onRollback.at(-1);
    }
    while ((this.#onCommit.at(-1)?.level ?? 0) > to) this.#onCommit.pop();
    if (this.#levelsLogged > to) {
      transactions.logRecord('Rollback', { procid: this.procid, levelRollback: 1 });
      this.#levelsLogged = to;
    }
    if (to > 0) {
      this.#leaveLevel();
    } else {
      this.#end();
      transactions.purge();
    }
    transactions.idle(to === 0);
  }

  /** Runs `action` when the innermost transaction is rolled back, alone or with one around it. */
  onRollback(action: () => void): void {
    this.#onRollback.push({ level: this.level, action });
  }

  /** Runs `action` once the outermost transaction has committed. */
  onCommit(action: () => void): void {
    this.#onCommit.push({ level: this.level, action });
  }

  /** Carries out `action` in a transaction of its own: committed when it returns, rolled back when it throws. */
  transaction<T>(action: () => T, options: CommitOptions = {}): T {
    const { level } = this;
    this.#begin(INNER_LEVELS_MAX);
    let result: T;
    try {
      result = action();
    } catch (error) {
      try {
        while (this.level > level) this.rollback();
      } catch (unavailable) {
        // What has made the instance unusable says more than that it is so.
        if (!(unavailable instanceof EseError) || unavailable.name !== 'JET_errInstanceUnavailable') {
          throw unavailable;
        }
      }
      throw error;
    }
    this.commit(options);
    return result;
  }

  /** What the session sees: everything that was committed before this transaction id. */
  get snapshot(): number {
    return this.level > 0 ? this.trxBegin0 : (this.#transactions.trxNewest + 1) >>> 0;
  }

  #leaveLevel(): void {
    this.#marks.pop();
    this.level--;
  }

  #end(): void {
    this.level = 0;
    this.#marks.length = 0;
    this.#levelsLogged = 0;
    this.lgposStart = undefined;
    this.#onRollback.length = 0;
  }

  #assertOpen(): void {
    if (this.level === 0) throw new EseError('JET_errNotInTransaction');
  }
}
