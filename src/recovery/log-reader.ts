import { type ChecksumKernel, createChecksumKernel } from '../format/checksum-kernel.js';
import { EseError, type Lgpos } from '../format/ese-error.js';
import {
  decodeLogHeader,
  formatLogVersion,
  LOG_HEADER_BYTES,
  LOG_MAJOR,
  type LogHeader,
  logFileBytes,
} from '../format/log-header.js';
import type { LogRecord } from '../format/log-record.js';
import { LogRecordCursor } from '../format/log-record-cursor.js';
import type { RecordSkipper } from '../format/log-record-skip.js';
import { LRTYP } from '../format/log-record-type.js';
import { isShadowOf, judgeSegment, SEGMENT_BYTES, type SegmentState } from '../format/log-segment.js';
import { newPageScan } from '../format/page-checksum.js';
import type { FileHandle, FileSystem } from '../io/file-system.js';

/** Segments that are read and verified at a time: 2 MiB (chapter 9.3). */
const WINDOW_SEGMENTS = 512;
export const LOG_WINDOW_BYTES = WINDOW_SEGMENTS * SEGMENT_BYTES;

/** From this update on, zero segments are known to be empty (chapter 4.3). */
const UPDATE_MAJOR_ZERO_FILL = 2;

const WORDS_PER_SEGMENT = SEGMENT_BYTES / 4;
const WORD_LGPOS = 2;
const WORD_FLAGS = 9;
const FLAG_NEW_CHECKSUM = 0x2000;

/** State of a segment; `torn`: a crash interrupted its last write, and its shadow is taken in its place. */
export type LogSegmentState = SegmentState | 'torn';

/** What a log file holds, segment by segment (format specification, chapter 4.4.6). */
export interface LogScan {
  /** Segments that hold data, the corrected and the torn ones included. */
  readonly validSegments: number;
  readonly shadowSegments: number;
  readonly zeroSegments: number;
  /** Segments of earlier generations in a file that was reused. */
  readonly staleSegments: number;
  /** The last segment that holds data; 0 = none, as in a log that was only just begun. */
  readonly lastValidSegment: number;
  /** Segments of which one flipped bit was corrected in memory. */
  readonly correctedSegments: readonly number[];
  /** Segments that were taken from their shadow; soft recovery writes them back. */
  readonly tornSegments: readonly number[];
  /** End of the data: byte 0 of the segment behind the last valid one. */
  readonly lgposEnd: Lgpos;
  /** XOR of the checksums of all valid segments: what the next generation's header states. */
  readonly segmentsChecksum: bigint;
  /** The damage that ends the log, if it is damaged; what lies before is readable. */
  readonly damage: EseError | undefined;
}

/** Is told the state of every segment as it is judged, in order. */
export type SegmentObserver = (isec: number, state: LogSegmentState, segment: Uint8Array) => void;

export interface OpenLogOptions {
  /** Memory to read into, at least {@link LOG_WINDOW_BYTES}, for callers that read many logs one by one. */
  readonly kernel?: ChecksumKernel;
  readonly observer?: SegmentObserver;
  /** Skips records in the memory of `kernel`, for {@link LogReader.skip}. */
  readonly skipper?: RecordSkipper | undefined;
  /** Is given each window that `next` reads: the memory of the records to come, and how many bytes of it hold some. */
  readonly onWindow?: (bytes: Uint8Array, length: number) => void;
}

/**
 * Opens a log file of format 8 and checks its header. Close the reader when done.
 *
 * @throws EseError the errors of `decodeLogHeader`, those of the file system, JET_errLogFileSizeMismatch if
 *   the file is not as long as its header says, JET_errBadLogVersion for a log of format 7
 */
export function openLog(fs: FileSystem, path: string, options: OpenLogOptions = {}): LogReader {
  const handle = fs.open(path, 'read');
  try {
    const header = readHeader(handle);
    if (header.major !== LOG_MAJOR) {
      throw new EseError(
        'JET_errBadLogVersion',
        `only the header of a log of format ${formatLogVersion(header)} can be read`,
      );
    }
    const size = handle.size();
    if (size !== logFileBytes(header)) {
      throw new EseError(
        'JET_errLogFileSizeMismatch',
        `the file has ${size} bytes where its header states ${logFileBytes(header)}`,
      );
    }
    return new LogReader(handle, header, options);
  } catch (error) {
    handle.close();
    throw withFile(error, path);
  }
}

/**
 * Reads and checks the header of a log file of format 7 or 8.
 *
 * @throws EseError the errors of `decodeLogHeader` and those of the file system
 */
export function readLogHeader(fs: FileSystem, path: string): LogHeader {
  const handle = fs.open(path, 'read');
  try {
    return readHeader(handle);
  } catch (error) {
    throw withFile(error, path);
  } finally {
    handle.close();
  }
}

function readHeader(handle: FileHandle): LogHeader {
  const bytes = new Uint8Array(LOG_HEADER_BYTES);
  return decodeLogHeader(bytes.subarray(0, handle.readAt(bytes, 0)));
}

function withFile(error: unknown, file: string): unknown {
  return error instanceof EseError ? error.at({ file }) : error;
}

/** What the judged segments add up to. */
interface Tally {
  /** Next segment to be read into the window. */
  nextSegment: number;
  /** A segment without data was met: no data may follow. */
  ended: boolean;
  valid: number;
  shadow: number;
  zero: number;
  stale: number;
  lastValid: number;
  corrected: number[];
  torn: number[];
  checksumLow: number;
  checksumHigh: number;
  damage: EseError | undefined;
}

function newTally(): Tally {
  return {
    nextSegment: 1,
    ended: false,
    valid: 0,
    shadow: 0,
    zero: 0,
    stale: 0,
    lastValid: 0,
    corrected: [],
    torn: [],
    checksumLow: 0,
    checksumHigh: 0,
    damage: undefined,
  };
}

/**
 * One open log file: a verified stream of records, read window by window, so that memory does not depend on
 * the size of the file.
 *
 * `next` moves `cursor` from record to record. Damage is thrown where it is met, once every record in front
 * of it has been delivered. `verify` judges all segments without looking at the records.
 */
export class LogReader {
  readonly path: string;
  readonly header: LogHeader;
  /** The record at which the reader stands. */
  cursor: LogRecordCursor;

  readonly #handle: FileHandle;
  readonly #kernel: ChecksumKernel;
  readonly #observer: SegmentObserver | undefined;
  readonly #skipper: RecordSkipper | undefined;
  readonly #onWindow: OpenLogOptions['onWindow'];
  readonly #view: DataView;
  readonly #words: Int32Array;
  readonly #windowSegments: number;
  #tally: Tally = newTally();

  constructor(handle: FileHandle, header: LogHeader, options: OpenLogOptions = {}) {
    this.path = handle.path;
    this.header = header;
    this.#handle = handle;
    this.#observer = options.observer;
    this.#skipper = options.skipper;
    this.#onWindow = options.onWindow;
    this.#windowSegments = Math.min(WINDOW_SEGMENTS, header.csecLGFile - 1);
    this.#kernel = options.kernel ?? createChecksumKernel(this.#windowSegments * SEGMENT_BYTES);
    const { buffer, byteOffset, byteLength } = this.#kernel.bytes;
    this.#view = new DataView(buffer, byteOffset, byteLength);
    this.#words = new Int32Array(buffer, byteOffset, this.#windowSegments * WORDS_PER_SEGMENT);
    this.cursor = newCursor(header);
  }

  /**
   * Moves to the next record; false at the end of the log.
   *
   * @throws EseError JET_errLogFileCorrupt at damage, with its file and position
   */
  next(): boolean {
    try {
      while (!this.cursor.next()) {
        if (this.#tally.ended) {
          this.#judgeTail();
          if (this.#tally.damage !== undefined) throw this.#tally.damage;
          return false;
        }
        const count = this.#loadWindow();
        this.#onWindow?.(this.#kernel.bytes, count * SEGMENT_BYTES);
        this.cursor.feed(this.#kernel.bytes, this.#view, 0, count);
      }
      return true;
    } catch (error) {
      throw withFile(error, this.path);
    }
  }

  /**
   * Skips records that are in order, as far as that is fast, whoever only wants to know whether all are: the next one is
   * {@link next}'s, and so is every error. Returns how many it skipped.
   */
  skip(): number {
    return this.#skipper === undefined ? 0 : this.cursor.skip(this.#skipper);
  }

  /**
   * The rest of the records, each with its position. A record is valid until the next one is asked for: keep
   * it with `copyLogRecord`.
   *
   * @throws EseError as {@link next}
   */
  *records(): Generator<{ lgpos: Lgpos; fragments: number; record: LogRecord }, void> {
    while (this.next()) {
      const { cursor } = this;
      yield { lgpos: cursor.lgpos(), fragments: cursor.fragments, record: cursor.record() };
    }
  }

  /** Goes back to the first record. */
  rewind(): void {
    this.cursor = newCursor(this.header);
    this.#tally = newTally();
  }

  /** Judges all segments, then goes back to the first record. Damage is reported, not thrown. */
  verify(): LogScan {
    this.rewind();
    while (!this.#tally.ended) this.#loadWindow();
    this.#judgeTail();
    const scan = this.scan();
    this.rewind();
    return scan;
  }

  /** What has been judged so far; complete once {@link next} has returned false or has thrown. */
  scan(): LogScan {
    const tally = this.#tally;
    return {
      validSegments: tally.valid,
      shadowSegments: tally.shadow,
      zeroSegments: tally.zero,
      staleSegments: tally.stale,
      lastValidSegment: tally.lastValid,
      correctedSegments: tally.corrected,
      tornSegments: tally.torn,
      lgposEnd: { generation: this.header.generation, isec: tally.lastValid + 1, ib: 0 },
      segmentsChecksum: (BigInt(tally.checksumHigh >>> 0) << 32n) | BigInt(tally.checksumLow >>> 0),
      damage: tally.damage,
    };
  }

  close(): void {
    this.#handle.close();
  }

  /** Reads and judges the next window; returns how many segments at its start hold data. */
  #loadWindow(): number {
    const tally = this.#tally;
    const { bytes, suspects } = this.#kernel;
    const first = tally.nextSegment;
    const count = Math.min(this.#windowSegments, this.header.csecLGFile - first);
    const window = bytes.subarray(0, count * SEGMENT_BYTES);
    if (this.#handle.readAt(window, first * SEGMENT_BYTES) !== window.length) {
      throw new EseError('JET_errLogFileCorrupt', 'the file became shorter while it was read');
    }
    const suspectCount = this.#kernel.verifyPages(0, count, SEGMENT_BYTES, first, newPageScan());
    let suspect = 0;
    let data = 0;
    for (let i = 0; i < count && tally.damage === undefined; i++) {
      const isSuspect = suspect < suspectCount && suspects[suspect] === i;
      if (isSuspect) suspect += 1;
      const isec = first + i;
      const state =
        (isSuspect ? undefined : this.#quickState(i, isec)) ?? this.#judge(this.#segment(i), isec);
      if (this.#count(state, isec, i)) data += 1;
      this.#observer?.(isec, state, this.#segment(i));
    }
    tally.nextSegment = first + count;
    if (tally.damage !== undefined || tally.nextSegment >= this.header.csecLGFile) tally.ended = true;
    return data;
  }

  /** Behind the end, only segments without data may follow. */
  #judgeTail(): void {
    const tally = this.#tally;
    while (tally.damage === undefined && tally.nextSegment < this.header.csecLGFile) this.#loadWindow();
  }

  #segment(i: number): Uint8Array {
    return this.#kernel.bytes.subarray(i * SEGMENT_BYTES, (i + 1) * SEGMENT_BYTES);
  }

  /** The state of segment `i` of the window, which is no suspect, in the two usual cases. */
  #quickState(i: number, isec: number): LogSegmentState | undefined {
    const at = i * WORDS_PER_SEGMENT;
    const words = this.#words;
    if (((words[at + WORD_FLAGS] ?? 0) & FLAG_NEW_CHECKSUM) === 0) {
      // Right without the flag is only zero, or the old format, which repeats the number in its second word.
      return words[at + 1] === 0 ? 'zero' : undefined;
    }
    const isInPlace =
      words[at + WORD_LGPOS] === isec << 16 && words[at + WORD_LGPOS + 1] === this.header.generation;
    return isInPlace ? 'valid' : undefined;
  }

  #judge(segment: Uint8Array, isec: number): LogSegmentState {
    const { generation } = this.header;
    const state = judgeSegment(segment, isec, generation);
    if (state !== 'bad' || this.#tally.ended || this.#isLast(isec)) return state;
    const shadow = new Uint8Array(SEGMENT_BYTES);
    this.#handle.readAt(shadow, (isec + 1) * SEGMENT_BYTES);
    if (!isShadowOf(shadow, isec, generation)) return state;
    segment.set(shadow);
    return 'torn';
  }

  /** The last segment of a file only ever holds a shadow: it has none itself, and no data to be damaged. */
  #isLast(isec: number): boolean {
    return isec === this.header.csecLGFile - 1;
  }

  /** Adds segment `i` of the window to the tally; true if it holds data. */
  #count(state: LogSegmentState, isec: number, i: number): boolean {
    const tally = this.#tally;
    switch (state) {
      case 'valid':
      case 'corrected':
      case 'torn': {
        if (tally.ended || this.#isLast(isec)) {
          this.#setDamage(isec, 'holds data behind the end of the log');
          return false;
        }
        if (state === 'corrected') tally.corrected.push(isec);
        if (state === 'torn') tally.torn.push(isec);
        tally.valid += 1;
        tally.lastValid = isec;
        const at = i * WORDS_PER_SEGMENT;
        tally.checksumLow ^= this.#words[at] ?? 0;
        tally.checksumHigh ^= this.#words[at + 1] ?? 0;
        return true;
      }
      case 'stale':
        tally.stale += 1;
        break;
      case 'shadow':
        tally.shadow += 1;
        break;
      case 'zero':
        tally.zero += 1;
        if (this.header.updateMajor < UPDATE_MAJOR_ZERO_FILL) {
          this.#setDamage(isec, 'is zero, which this format does not allow');
        }
        break;
      case 'misplaced':
        this.#setDamage(isec, 'carries a position that lies further on');
        break;
      case 'bad':
        this.#setDamage(isec, tally.ended ? 'holds garbage behind the end of the log' : 'is damaged');
        break;
    }
    tally.ended = true;
    return false;
  }

  #setDamage(isec: number, what: string): void {
    if (this.#isLast(isec)) return;
    this.#tally.damage = new EseError('JET_errLogFileCorrupt', `log segment ${isec} ${what}`, {
      file: this.path,
      lgpos: { generation: this.header.generation, isec, ib: 0 },
    });
  }
}

function newCursor(header: LogHeader): LogRecordCursor {
  return new LogRecordCursor(header.generation, logFileBytes(header));
}

/** The last record of a log that means something: it says how the last run ended (chapter 4.4.6). */
export interface LastLogRecord {
  readonly lrtyp: number;
  readonly lgpos: Lgpos;
  /** It ends an instance or a recovery: nothing was open behind it. */
  readonly isQuit: boolean;
}

const QUITS: readonly number[] = [
  LRTYP.Term,
  LRTYP.Term2,
  LRTYP.RecoveryQuit,
  LRTYP.RecoveryQuit2,
  LRTYP.RecoveryQuitKeepAttachments,
];

/**
 * Finds the last record that is no filler, then goes back to the first; undefined in a log without records.
 *
 * @throws EseError as {@link LogReader.next}
 */
export function findLastRecord(log: LogReader): LastLogRecord | undefined {
  log.rewind();
  let lrtyp: number = LRTYP.NOP;
  let isec = 0;
  let ib = 0;
  while (log.next()) {
    const { cursor } = log;
    if (cursor.lrtyp === LRTYP.NOP2) continue;
    lrtyp = cursor.lrtyp;
    isec = cursor.isec;
    ib = cursor.ib;
  }
  log.rewind();
  if (lrtyp === LRTYP.NOP) return undefined;
  const lgpos = { generation: log.header.generation, isec, ib };
  return { lrtyp, lgpos, isQuit: QUITS.includes(lrtyp) };
}
