import type { AttachInfo } from '../format/attach-info.js';
import { type ChecksumKernel, createChecksumKernel } from '../format/checksum-kernel.js';
import { readDbtime } from '../format/dbtime.js';
import { compareLgpos, EseError, type Lgpos } from '../format/ese-error.js';
import { type LogHeader, logPageSize } from '../format/log-header.js';
import type { LogRecord } from '../format/log-record.js';
import type { LogRecordCursor } from '../format/log-record-cursor.js';
import { createRecordSkipper, RECORD_SKIPPER_BYTES, type RecordSkipper } from '../format/log-record-skip.js';
import { LRTYP, logRecordName } from '../format/log-record-type.js';
import { readSegmentHeader } from '../format/log-segment.js';
import { logtimeToDate } from '../format/logtime.js';
import { type Signature, signaturesEqual } from '../format/signature.js';
import type { Environment } from '../io/environment.js';
import { applyMacro, applyRecord, changesPages } from '../operations/apply.js';
import type { DatabaseMap } from './database-map.js';
import {
  LOG_WINDOW_BYTES,
  type LogReader,
  type LogScan,
  type LogSegmentState,
  openLog,
} from './log-reader.js';
import { type LogFileEntry, nameProblem, sequenceProblem } from './log-stream.js';
import { AT_DBID, AT_DBTIME, AT_LEVELS, AT_PROCID } from './record-offsets.js';
import type { AttachedDatabase } from './redo-database.js';
import { redoDatabaseRecord } from './redo-database-records.js';
import { RedoDatabases } from './redo-databases.js';
import { MACRO_TYPES, noteCounters, REHEARSED_TYPES } from './redo-record-types.js';
import { boundLevel, createRecordKeeper, RedoSession } from './redo-session.js';
import { RedoVersions } from './redo-versions.js';
import { Replay } from './replay.js';
import { createFrameMemory, createReplayMemory } from './replay-memory.js';
import { takeBackUnlogged } from './take-back.js';

export interface RedoOptions {
  readonly environment: Environment;
  readonly map: DatabaseMap;
  readonly signLog: Signature;
  /** Goes through the logs and decides about databases, without touching a page or writing a byte. */
  readonly rehearsal: boolean;
  /** Page size that the log states, in bytes. */
  readonly pageSize: number;
  /** Threads, the calling one included. Default: 1 */
  readonly workers?: number | undefined;
  /** Page cache of each database in bytes. */
  readonly cacheBytes?: number | undefined;
  /** Bytes of log read so far. */
  readonly onProgress?: ((bytes: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Stops in front of the first record there or behind, or that was logged later. */
  readonly until?: RedoLimit | undefined;
}

/** How far redo goes: to a position, or to the first segment that was begun later, milliseconds since 1970 UTC. */
export type RedoLimit = { readonly lgpos: Lgpos } | { readonly timeMs: number };

/** Most records between two looks at the signal and at the cache, and most bytes of pages that they can bring there. */
const RECORDS_PER_TURN = 16384;
const TURN_BYTES = 64 * 1024 * 1024;

/** Stands for the types of all records that a rehearsal skips. */
const SKIPPED = LRTYP.NOP;

/** What was known of the stream's end when redo was done. */
export interface LastRecord {
  readonly lrtyp: number;
  readonly lgpos: Lgpos;
}

/**
 * The redo loop (format specification, chapter 5.3.5): goes through the records of the stream and brings the
 * databases to the state at its end, with the transactions in progress still open.
 */
export class Redo {
  readonly versions = new RedoVersions();
  readonly sessions = new Map<number, RedoSession>();
  readonly databases: RedoDatabases;
  /** Position of the record that is being redone. */
  readonly lgpos: { generation: number; isec: number; ib: number } = { generation: 0, isec: 0, ib: 0 };
  records = 0;
  committed = 0;
  /** The last record that is no filler. */
  get lastRecord(): LastRecord | undefined {
    return this.#lastRecord.lrtyp < 0 ? undefined : this.#lastRecord;
  }
  /** The last ShutDownMark met. */
  lgposShutDownMark: Lgpos | undefined;
  /** The last record that ended a run. */
  lgposQuit: Lgpos | undefined;
  /** Headers of the logs gone through, by generation: when each was begun. */
  readonly headers = new Map<number, LogHeader>();
  lastHeader: LogHeader | undefined;
  lastScan: LogScan | undefined;

  /** Where redo stopped in front of a record, if it did. */
  stoppedAt: Lgpos | undefined;

  /** Changed in place: there is one for every record. */
  readonly #lastRecord = { lrtyp: -1, lgpos: { generation: 0, isec: 0, ib: 0 } };
  readonly #options: RedoOptions;
  /** Carries out changes of pages, where the host has memory that threads share. */
  readonly #replay: Replay | undefined;
  readonly #keep = createRecordKeeper();
  /** Whether the records at hand are those of the undo phase of an earlier recovery. */
  #isUndoing = false;
  /** Where logs are read to; in a rehearsal with what skips records that say nothing to it. */
  readonly #kernel: ChecksumKernel;
  readonly #skipper: RecordSkipper | undefined;
  #bytesRead = 0;
  #start: Lgpos = { generation: 0, isec: 0, ib: 0 };
  /** Whether a record was met that redo is to begin with, or one behind it. */
  #isPastStart = false;

  constructor(options: RedoOptions) {
    this.#options = options;
    this.#kernel = createChecksumKernel(LOG_WINDOW_BYTES + (options.rehearsal ? RECORD_SKIPPER_BYTES : 0));
    this.#skipper = options.rehearsal
      ? createRecordSkipper(this.#kernel, LOG_WINDOW_BYTES, REHEARSED_TYPES)
      : undefined;
    const memory = options.rehearsal ? undefined : createReplayMemory(options.pageSize, options.workers ?? 1);
    const frames = memory === undefined ? undefined : createFrameMemory(memory);
    this.databases = new RedoDatabases({
      environment: options.environment,
      map: options.map,
      signLog: options.signLog,
      rehearsal: options.rehearsal,
      cacheBytes: options.cacheBytes,
      frameMemory: (pageSize) => (pageSize === options.pageSize ? frames : undefined),
      versions: this.versions,
      lgpos: this.lgpos,
      logHeader: () => this.lastHeader,
      generationTime: (generation) => this.headers.get(generation)?.tmCreate,
    });
    if (memory === undefined) return;
    this.#replay = new Replay(memory, this.versions, (dbid) => {
      const database = this.databases.at(dbid);
      return database?.kind === 'attached' ? database : undefined;
    });
    this.#replay.startWorkers();
  }

  /** Threads that changed pages so far. */
  get threads(): number {
    return this.#replay?.threadsUsed ?? 1;
  }

  /** Waits until the other threads are up. */
  async awaitThreads(): Promise<void> {
    while (this.#replay?.isStarting === true) await nextTurn();
  }

  /** Ends the other threads. To be called once, when no log is to come. */
  endReplay(): void {
    this.#replay?.close();
  }

  /** Attaches the databases of the list that redo starts with. */
  attachInitial(list: readonly AttachInfo[], start: Lgpos): void {
    Object.assign(this.lgpos, start);
    this.#start = start;
    for (const info of list) {
      const loggedPath = info.names[0] ?? '';
      this.databases.attach(info.dbid, loggedPath, {
        kind: 'initial',
        signDb: info.signDb,
        signLogBefore: undefined,
        lgposConsistent: info.lgposConsistent,
        lgposAttach: info.lgposAttach,
      });
      const database = this.databases.at(info.dbid);
      if (database?.kind !== 'attached') continue;
      // The header is as old as the attachment; what was given out before the start is in no record to come.
      database.dbtimeCurrent = Math.max(database.dbtimeCurrent, info.dbtime);
      database.objidLast = Math.max(database.objidLast, info.objidLast);
    }
  }

  /**
   * Redoes one log. It must continue the one before.
   *
   * Throws the errors of reading it, of the sequence of logs, and of every operation, with their places.
   * Returns false when it stopped in front of a record.
   */
  async run(entry: LogFileEntry): Promise<boolean> {
    const { until, environment } = this.#options;
    let stopAt = until !== undefined && 'lgpos' in until ? until.lgpos : undefined;
    const log = openLog(environment.fs, entry.path, {
      kernel: this.#kernel,
      skipper: this.#skipper,
      onWindow: (bytes, length) => this.#replay?.beginWindow(bytes, length, this.lgpos.generation),
      ...(until !== undefined && 'timeMs' in until
        ? {
            observer: (isec: number, state: LogSegmentState, segment: Uint8Array) => {
              stopAt ??= lateSegment(isec, state, segment, until.timeMs);
            },
          }
        : {}),
    });
    try {
      const { header } = log;
      this.#checkHeader(header, entry);
      this.headers.set(header.generation, header);
      this.lastHeader = header;
      this.lgpos.generation = header.generation;
      this.#enterGeneration(header.generation);
      const isDone = await this.#redoRecords(log, () => stopAt);
      this.#drain();
      this.lastScan = log.scan();
      return isDone;
    } catch (error) {
      // What lies in front of it in the log comes first.
      this.#drain();
      throw error;
    } finally {
      log.close();
    }
  }

  #checkHeader(header: LogHeader, entry: LogFileEntry): void {
    const before = this.lastHeader;
    // A log of another stream has another number and another time, too: say what is really wrong with it.
    if (!signaturesEqual(header.signLog, this.#options.signLog)) {
      throw new EseError('JET_errBadLogSignature', 'the log belongs to another stream', { file: entry.path });
    }
    const problem =
      nameProblem(header, entry) ??
      (before === undefined ? undefined : sequenceProblem(header, before, this.lastScan, entry));
    if (problem !== undefined) throw problem.error;
    if (before !== undefined && logPageSize(before) !== logPageSize(header)) {
      throw new EseError('JET_errPageSizeMismatch', 'the log is for databases of another page size', {
        file: entry.path,
      });
    }
  }

  async #redoRecords(log: LogReader, stopAt: () => Lgpos | undefined): Promise<boolean> {
    const { signal, onProgress } = this.#options;
    for (;;) {
      const outcome = this.#redoTurn(log, stopAt);
      if (outcome === 'stopped') return false;
      this.#drain();
      this.#trim();
      if (outcome === 'end') this.#bytesRead += log.header.csecLGFile * log.header.cbSec;
      const read = outcome === 'end' ? 0 : log.cursor.isec * log.header.cbSec;
      onProgress?.(this.#bytesRead + read);
      await nextTurn();
      signal?.throwIfAborted();
      if (outcome === 'end') return true;
    }
  }

  /** Redoes the next records. */
  #redoTurn(log: LogReader, stopAt: () => Lgpos | undefined): 'turn' | 'end' | 'stopped' {
    const { until, rehearsal, pageSize } = this.#options;
    const { lgpos } = this;
    const start = this.#start;
    const mayPrecedeStart = log.header.generation === start.generation;
    for (let turn = Math.min(RECORDS_PER_TURN, TURN_BYTES / pageSize); turn > 0; turn--) {
      if (until === undefined && (!mayPrecedeStart || this.#isPastStart)) {
        turn -= rehearsal ? this.#skip(log) : this.#walk(log.cursor, turn);
        if (turn <= 0) break;
      }
      if (!log.next()) return 'end';
      const { cursor } = log;
      lgpos.isec = cursor.isec;
      lgpos.ib = cursor.ib;
      if (mayPrecedeStart && compareLgpos(lgpos, start) < 0) continue;
      this.#isPastStart = true;
      if (until !== undefined && this.#isBehind(stopAt())) {
        this.stoppedAt = { ...lgpos };
        return 'stopped';
      }
      this.records++;
      const { lrtyp } = cursor;
      if (lrtyp !== LRTYP.NOP2) this.#noteLast(lrtyp);
      if (!rehearsal || REHEARSED_TYPES[lrtyp] === 1) this.#dispatch(cursor);
    }
    return 'turn';
  }

  /** Skips records that say nothing to a rehearsal; returns how many. */
  #skip(log: LogReader): number {
    const skipped = log.skip();
    this.records += skipped;
    if (skipped > 0) this.#noteLast(SKIPPED);
    return skipped;
  }

  /** Goes through records that need no attention; returns how many. */
  #walk(cursor: LogRecordCursor, limit: number): number {
    if (this.#replay === undefined) return 0;
    const { records, committed, lastType, lastIsec, lastIb } = this.#replay.walk(cursor, limit);
    if (records === 0) return 0;
    this.records += records;
    this.committed += committed;
    this.lgpos.isec = lastIsec;
    this.lgpos.ib = lastIb;
    this.#noteLast(lastType);
    return records;
  }

  #isBehind(stopAt: Lgpos | undefined): boolean {
    return stopAt !== undefined && compareLgpos(this.lgpos, stopAt) >= 0;
  }

  #noteLast(lrtyp: number): void {
    const last = this.#lastRecord;
    last.lrtyp = lrtyp;
    last.lgpos.generation = this.lgpos.generation;
    last.lgpos.isec = this.lgpos.isec;
    last.lgpos.ib = this.lgpos.ib;
  }

  /** Waits until all changes of pages so far are carried out. Throws the first error of the log among them. */
  #drain(): void {
    this.#replay?.drain();
  }

  #trim(): void {
    for (const database of this.databases.attached()) database.pool?.trim();
  }

  /** What changes with a new generation: databases may leave the range in which pages have future data. */
  #enterGeneration(generation: number): void {
    for (const database of this.databases.attached()) {
      if (generation <= database.genMaxRequired) continue;
      const error = database.redoMap.error();
      if (error !== undefined) throw error.at({ file: database.path });
    }
  }

  #session(procid: number): RedoSession {
    let session = this.sessions.get(procid);
    if (session === undefined) {
      session = this.#replay?.session(procid) ?? new RedoSession(procid);
      this.sessions.set(procid, session);
    }
    return session;
  }

  #dispatch(cursor: LogRecordCursor): void {
    const { lrtyp } = cursor;
    if (changesPages(lrtyp) || MACRO_TYPES[lrtyp] === 1) {
      this.#redoPageRecord(cursor);
      return;
    }
    switch (lrtyp) {
      case LRTYP.Begin:
        this.#redoBegin(cursor);
        return;
      case LRTYP.Commit:
        this.#redoCommit(cursor);
        return;
      case LRTYP.Begin0:
      case LRTYP.BeginDT:
      case LRTYP.Refresh:
      case LRTYP.Commit0:
      case LRTYP.Rollback:
      case LRTYP.MacroBegin:
      case LRTYP.MacroCommit:
      case LRTYP.MacroAbort:
      case LRTYP.RootPageMove:
        this.#redoTransactionRecord(cursor.record());
        return;
      case LRTYP.RecoveryUndo:
      case LRTYP.RecoveryUndo2:
        this.#isUndoing = true;
        return;
      case LRTYP.Init:
      case LRTYP.Init2:
        this.#isUndoing = false;
        this.#drain();
        this.#endSessions();
        return;
      case LRTYP.ShutDownMark:
        this.lgposShutDownMark = { ...this.lgpos };
        return;
      case LRTYP.Term:
      case LRTYP.Term2:
      case LRTYP.RecoveryQuit:
      case LRTYP.RecoveryQuit2:
        this.#endRun(true);
        return;
      case LRTYP.RecoveryQuitKeepAttachments:
        this.#endRun(false);
        return;
      case LRTYP.CreateDB:
      case LRTYP.CreateDBFinish:
      case LRTYP.AttachDB:
      case LRTYP.DetachDB:
      case LRTYP.ExtendDB:
      case LRTYP.ShrinkDB:
      case LRTYP.ShrinkDB2:
      case LRTYP.ShrinkDB3:
      case LRTYP.TrimDB:
      case LRTYP.SetDbVersion:
      case LRTYP.ReAttach:
      case LRTYP.Backup2:
        this.#drain();
        redoDatabaseRecord(cursor.record(), this.databases, this.lgpos, this.#isBehindAttach);
        return;
      default:
        if (logRecordName(lrtyp) === undefined) {
          throw new EseError('JET_errLogCorrupted', `log record type ${lrtyp} does not exist`, {
            lgpos: { ...this.lgpos },
          });
        }
        // The rest has no effect on databases (chapter 5.3.5).
        return;
    }
  }

  // --- Records that change pages ---

  #redoPageRecord(cursor: LogRecordCursor): void {
    const { lrtyp, view, offset } = cursor;
    const procid = view.getUint16(offset + AT_PROCID, true);
    const database = this.databases.at(view.getUint8(offset + AT_DBID));
    if (database?.kind === 'attached') noteCounters(cursor, database);
    const session = this.sessions.get(procid);
    if (session === undefined || !session.isAfterFirstBegin) return;
    if (session.hasMacros && lrtyp !== LRTYP.UndoInfo && lrtyp !== LRTYP.NewPage) {
      const macro = session.macro(readDbtime(view, offset + AT_DBTIME));
      if (macro !== undefined) {
        macro.push(this.#keep(cursor.record()));
        return;
      }
    }
    if (MACRO_TYPES[lrtyp] === 1) {
      throw new EseError('JET_errLogCorrupted', `a ${logRecordName(lrtyp)} record lies outside of a macro`, {
        lgpos: { ...this.lgpos },
      });
    }
    if (database?.kind !== 'attached' || !this.#isBehindAttach(database)) return;
    const { context } = database;
    if (context === undefined || (lrtyp === LRTYP.UndoInfo && session.level === 0)) return;
    if (this.#replay?.change(cursor, database) === true) return;
    this.#drain();
    try {
      applyRecord(cursor.record(), context);
    } catch (error) {
      throw error instanceof EseError ? error.at({ file: database.path }) : error;
    }
  }

  /** Whether the current record belongs to the attachment that the header states. */
  readonly #isBehindAttach = (database: AttachedDatabase): boolean => {
    database.isBehindAttach ||= compareLgpos(this.lgpos, database.header.lgposAttach) > 0;
    return database.isBehindAttach;
  };

  #guard(database: AttachedDatabase, redo: () => void): void {
    try {
      redo();
    } catch (error) {
      throw error instanceof EseError ? error.at({ file: database.path }) : error;
    }
  }

  // --- Transactions and macros ---

  // The two that most transactions have most of are read without a view.

  #redoBegin({ view, offset }: LogRecordCursor): void {
    const session = this.#session(view.getUint16(offset + AT_PROCID, true));
    const levels = view.getUint8(offset + AT_LEVELS);
    if (session.isAfterFirstBegin) session.level = boundLevel((levels & 0x0f) + (levels >> 4));
  }

  #redoCommit({ view, offset }: LogRecordCursor): void {
    const procid = view.getUint16(offset + AT_PROCID, true);
    const session = this.#session(procid);
    if (!session.isAfterFirstBegin) return;
    session.level = boundLevel(view.getUint8(offset + AT_LEVELS));
    this.#replay?.flushNotes();
    this.versions.lowerLevel(procid, session.level);
  }

  #redoTransactionRecord(record: LogRecord): void {
    switch (record.name) {
      case 'Begin0':
      case 'BeginDT': {
        const session = this.#session(record.procid);
        this.#replay?.flushNotes();
        this.versions.finish(record.procid);
        session.begin(boundLevel(record.levelBeginFrom + record.clevels), record.trxBegin0, this.lgpos);
        return;
      }
      case 'Refresh': {
        const session = this.#session(record.procid);
        session.level = 1;
        session.trxBegin0 = record.trxBegin0;
        return;
      }
      case 'Commit0': {
        const session = this.#session(record.procid);
        if (!session.isAfterFirstBegin) return;
        this.#replay?.flushNotes();
        session.level = 0;
        this.versions.finish(record.procid);
        this.committed++;
        return;
      }
      case 'Rollback': {
        const session = this.#session(record.procid);
        if (!session.isAfterFirstBegin) return;
        this.#replay?.flushNotes();
        const level = boundLevel(session.level - record.levelRollback);
        if (this.#isUndoing) this.#takeBackLeftOver(session, level);
        session.level = level;
        this.versions.dropAbove(record.procid, session.level);
        if (session.level === 0) this.versions.finish(record.procid);
        return;
      }
      case 'MacroBegin': {
        const session = this.#session(record.procid);
        if (session.isAfterFirstBegin) session.openMacro(record.dbtime);
        return;
      }
      case 'MacroCommit': {
        const macro = this.#session(record.procid).closeMacro(record.dbtime);
        if (macro !== undefined) this.#redoMacro(macro);
        return;
      }
      case 'MacroAbort':
        this.#session(record.procid).closeMacro(record.dbtime);
        return;
      case 'RootPageMove':
        this.#session(record.procid).macro(record.dbtime)?.push(this.#keep(record));
        return;
      default:
        return;
    }
  }

  /**
   * An earlier recovery rolls a transaction back, and changes of it are left: it had to do without a database that is
   * here now (`/i`), so its log does not say how they are taken back. Outside of an undo phase, what is left belongs to
   * trees that went with their transaction.
   */
  #takeBackLeftOver(session: RedoSession, level: number): void {
    const { procid } = session;
    this.#drain();
    const logged = new Map<AttachedDatabase, number>();
    for (;;) {
      const version = this.versions.newest(procid);
      if (version === undefined || version.level <= level) return;
      const database = this.databases.at(version.dbid);
      if (database?.kind === 'attached' && database.context !== undefined && this.#isBehindAttach(database)) {
        const { context } = database;
        const dbtimeLogged = logged.get(database) ?? database.dbtimeCurrent;
        logged.set(database, dbtimeLogged);
        this.#guard(database, () => takeBackUnlogged(version, session, database, context, dbtimeLogged));
      }
      this.versions.remove(procid, version.rceid);
    }
  }

  #redoMacro(macro: readonly LogRecord[]): void {
    const first = macro[0];
    if (first === undefined || !('dbid' in first)) return;
    const { dbid } = first;
    if (macro.some((record) => !('dbid' in record) || record.dbid !== dbid)) {
      throw new EseError('JET_errLogCorrupted', 'a macro changes several databases', {
        lgpos: { ...this.lgpos },
      });
    }
    const database = this.databases.at(dbid);
    if (database?.kind !== 'attached' || !this.#isBehindAttach(database)) return;
    const { context } = database;
    if (context === undefined || this.#replay?.split(macro, database, this.lgpos) === true) return;
    this.#drain();
    this.#guard(database, () => applyMacro(macro, context));
  }

  #endSessions(): void {
    for (const session of this.sessions.values()) {
      this.versions.finish(session.procid);
      session.forget();
    }
    this.sessions.clear();
  }

  /** Term or RecoveryQuit: a run ended. Its ShutDownMark stands for the detach of what was still attached. */
  #endRun(detachesAll: boolean): void {
    this.#isUndoing = false;
    this.#drain();
    this.#endSessions();
    this.lgposQuit = { ...this.lgpos };
    if (!detachesAll) return;
    const mark = this.lgposShutDownMark ?? { ...this.lgpos };
    this.lgposShutDownMark = undefined;
    this.databases.detachAll(mark);
  }
}

/** The position of a segment that was begun after a time. */
function lateSegment(
  isec: number,
  state: LogSegmentState,
  segment: Uint8Array,
  timeMs: number,
): Lgpos | undefined {
  if (state !== 'valid' && state !== 'corrected' && state !== 'torn') return undefined;
  const { lgpos, time } = readSegmentHeader(segment);
  if (time === undefined || logtimeToDate(time).getTime() <= timeMs) return undefined;
  return { generation: lgpos.generation, isec, ib: 0 };
}

/** Lets waiting events in. */
function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
