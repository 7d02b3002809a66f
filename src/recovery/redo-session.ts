import type { Lgpos } from '../format/ese-error.js';
import { type LogRecord, logRecordView } from '../format/log-record.js';
import { SESSION, SESSION_AFTER_FIRST_BEGIN, SESSION_KNOWN, SESSION_WORDS } from './replay-layout.js';

/**
 * A session as redo knows it (format specification, chapters 5.1.4 and 5.3.5). Records of a session before its
 * first Begin0 belong to a transaction that was finished, and on disk, before redo started.
 *
 * The numbers lie in words that the walk of replay knows too ({@link SESSION}).
 */
export class RedoSession {
  readonly procid: number;
  readonly #words: Int32Array;
  readonly #at: number;
  readonly #macros = new Map<number, LogRecord[]>();

  /** @param words holds the words of the session from index `at` on; they are overwritten */
  constructor(procid: number, words: Int32Array = new Int32Array(SESSION_WORDS), at = 0) {
    this.procid = procid;
    this.#words = words;
    this.#at = at;
    this.forget();
    words[at + SESSION.flags] = SESSION_KNOWN;
  }

  /** Transaction level: 0 = no transaction. */
  get level(): number {
    return this.#words[this.#at + SESSION.level] ?? 0;
  }
  set level(value: number) {
    this.#words[this.#at + SESSION.level] = value;
  }

  get trxBegin0(): number {
    return (this.#words[this.#at + SESSION.trxBegin0] ?? 0) >>> 0;
  }
  set trxBegin0(value: number) {
    this.#words[this.#at + SESSION.trxBegin0] = value;
  }

  /** Position of the Begin0 of the open transaction. */
  get lgposStart(): Lgpos {
    const words = this.#words;
    const at = this.#at;
    return {
      generation: words[at + SESSION.generation] ?? 0,
      isec: words[at + SESSION.isec] ?? 0,
      ib: words[at + SESSION.ib] ?? 0,
    };
  }

  /** Whether a Begin0 was met since redo began. */
  get isAfterFirstBegin(): boolean {
    return ((this.#words[this.#at + SESSION.flags] ?? 0) & SESSION_AFTER_FIRST_BEGIN) !== 0;
  }

  /** A transaction began at `lgpos`. */
  begin(level: number, trxBegin0: number, { generation, isec, ib }: Lgpos): void {
    const words = this.#words;
    const at = this.#at;
    words[at + SESSION.flags] = SESSION_KNOWN | SESSION_AFTER_FIRST_BEGIN;
    words[at + SESSION.level] = level;
    words[at + SESSION.trxBegin0] = trxBegin0;
    words[at + SESSION.generation] = generation;
    words[at + SESSION.isec] = isec;
    words[at + SESSION.ib] = ib;
  }

  /** Stamps of the macros begun and not ended. */
  get macros(): Iterable<number> {
    return this.#macros.keys();
  }

  get hasMacros(): boolean {
    return this.#macros.size > 0;
  }

  openMacro(dbtime: number): void {
    this.#macros.set(dbtime, []);
    this.#countMacros();
  }

  /** The records met so far of a macro that is open. */
  macro(dbtime: number): LogRecord[] | undefined {
    return this.#macros.get(dbtime);
  }

  /** Ends a macro; returns its records if it was open. */
  closeMacro(dbtime: number): LogRecord[] | undefined {
    const macro = this.#macros.get(dbtime);
    if (this.#macros.delete(dbtime)) this.#countMacros();
    return macro;
  }

  #countMacros(): void {
    this.#words[this.#at + SESSION.macros] = this.#macros.size;
  }

  /** There is no such session any more. */
  forget(): void {
    this.#words.fill(0, this.#at, this.#at + SESSION_WORDS);
  }
}

/** Levels that transactions can nest: seven of a caller, and those that the engine opens inside them. */
const LEVEL_MAX = 10;

/** A level that a record states, kept within what sessions can have. */
export function boundLevel(level: number): number {
  return Math.min(LEVEL_MAX, Math.max(0, level));
}

/** Memory for kept records that is got at once. */
const KEEP_BYTES = 64 * 1024;

/** Copies records that must outlive the window of the reader, many into one piece of memory. */
export function createRecordKeeper(): (record: LogRecord) => LogRecord {
  let bytes = new Uint8Array(0);
  let view = new DataView(bytes.buffer);
  let used = 0;
  return (record) => {
    const { size } = record;
    if (used + size > bytes.length) {
      bytes = new Uint8Array(Math.max(KEEP_BYTES, size));
      view = new DataView(bytes.buffer);
      used = 0;
    }
    const at = used;
    bytes.set(record.bytes.subarray(record.offset, record.offset + size), at);
    used += size;
    return logRecordView(bytes, view, at, size);
  };
}
