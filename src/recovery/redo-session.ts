import type { Lgpos } from '../format/ese-error.js';
import { type LogRecord, logRecordView } from '../format/log-record.js';

/**
 * A session as redo knows it (format specification, chapters 5.1.4 and 5.3.5). Records of a session before its
 * first Begin0 belong to a transaction that was finished, and on disk, before redo started.
 */
export interface RedoSession {
  readonly procid: number;
  /** Transaction level: 0 = no transaction. */
  level: number;
  trxBegin0: number;
  /** Position of the Begin0 of the open transaction. */
  lgposStart: Lgpos;
  /** Whether a Begin0 was met since redo began. */
  isAfterFirstBegin: boolean;
  /** Macros begun and not ended, by their stamp, each with the records met so far. */
  readonly macros: Map<number, LogRecord[]>;
}

/** Levels that transactions can nest: seven of a caller, and those that the engine opens inside them. */
const LEVEL_MAX = 10;

export function newRedoSession(procid: number): RedoSession {
  return {
    procid,
    level: 0,
    trxBegin0: 0,
    lgposStart: { generation: 0, isec: 0, ib: 0 },
    isAfterFirstBegin: false,
    macros: new Map(),
  };
}

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
