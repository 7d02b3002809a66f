/**
 * The writing end of one log stream (format specification, chapters 4.1.3, 4.4 and 4.7): records go in, positions
 * come out, and the bytes reach the disk in whole segments.
 *
 * Durability: every record in front of `durableTo` is on disk. `makeDurable` flushes all that was appended so far
 * with one sync, so a group of commits costs one: append all, then make the last one durable. A lazy commit is one
 * that nobody waits for.
 *
 * A segment that is finished (full, or filled up by a NOP2 record) is written once. One that is not has to be
 * written again later, so it always has a double, the *shadow*, in the place of the next: if a crash tears the one,
 * the other is whole.
 *
 * What a crash leaves is readable up to `durableTo` at least, on any disk that keeps what it has synced. That the
 * rest ends where it should, rather than in damage, takes a disk that writes 4096 bytes as a unit and in order, as
 * the format assumes.
 */
import { join } from 'node:path';
import type { NewAttachInfo } from '../format/attach-info.js';
import { type ChecksumKernel, createChecksumKernel } from '../format/checksum-kernel.js';
import { FILE_TYPE } from '../format/database-header.js';
import { DBMS_PARAM_CIRCULAR_LOGGING, type DbmsParam } from '../format/dbms-param.js';
import { compareLgpos, EseError, type Lgpos } from '../format/ese-error.js';
import type { JetErrorName } from '../format/jet-errors.js';
import { LGPOS_NONE } from '../format/lgpos.js';
import {
  encodeLogHeader,
  LOG_FLAG,
  LOG_MAJOR,
  LOG_MINOR,
  type LogHeader,
  type NewLogHeader,
} from '../format/log-header.js';
import type { LogUpdateVersion } from '../format/log-record.js';
import type { RecordBytes } from '../format/log-record-field.js';
import { LRTYP } from '../format/log-record-type.js';
import { SEGMENT_BYTES, SEGMENT_HEADER_BYTES, writeSegmentHeader } from '../format/log-segment.js';
import { logtimeOf } from '../format/logtime.js';
import { newSignature } from '../format/signature.js';
import type { Environment } from '../io/environment.js';
import type { FileHandle } from '../io/file-system.js';
import { type LogDigits, type LogExtension, parseLogFileName } from '../io/log-file-names.js';
import type { MutableLgpos } from './engine-log.js';
import { createLogFiles, type LogFiles } from './log-files.js';

/** Format 8.4000.5.16: every rule of writing is verified for it (chapter 4.3). */
export const LOG_WRITE_VERSION: LogUpdateVersion = { updateMajor: 5, updateMinor: 16 };
/** The engine version that genuine logs of that format name; informative (chapter 4.2). */
const EFV_ENGINE = 9180;

/** Sizes that a log file may have, in KiB: multiples of the least one (chapter 4.1.2). */
export const LOG_FILE_KIB_MIN = 64;
export const LOG_FILE_KIB_MAX = 32768;
export const LOG_FILE_KIB_DEFAULT = 5120;
/** Highest generation outside recovery (chapter 4.1.1). */
const GENERATION_WRITE_MAX = 0x7ffff800;

const LOG_BUFFER_SEGMENTS_DEFAULT = 256;

/** With less room than this, a record is not cut up but begins in the next segment (chapter 4.4.4). */
const FRAGMENT_ROOM_MIN = 32;
const FRAGMENT_BEGIN_BYTES = 7;
const FRAGMENT_BYTES = 3;
const NOP2_BYTES = 5;
const SEGMENT_ROOM = SEGMENT_BYTES - SEGMENT_HEADER_BYTES;
/** Bytes that are copied one by one, because a view of them would cost more. */
const SHORT_COPY = 48;

const WORDS_PER_SEGMENT = SEGMENT_BYTES / 4;

/** Errors of a roll-over that has not happened, and that leave the stream as it was. */
const REFUSALS: readonly JetErrorName[] = ['JET_errLogDiskFull', 'JET_errLogSequenceEnd'];

/** What the engine's parameters say; they are kept in log headers, checkpoint and Init2 records. */
export type LogStreamParameters = Omit<DbmsParam, 'flags' | 'logBuffers' | 'csecLGFile'>;

export interface LogWriterOptions {
  readonly environment: Environment;
  readonly directory: string;
  /** Three characters: `E00`. */
  readonly baseName: string;
  /** Default: `.log`. */
  readonly extension?: LogExtension;
  /** Digits of generations in names. Default: 5. */
  readonly digits?: LogDigits;
  /** Page size of the databases in bytes. */
  readonly pageSize: number;
  /** Size of a new log file in KiB: a multiple of 64 up to 32768. Default: 5120. */
  readonly logFileKiB?: number;
  /** Memory for records on their way to the disk, in segments of 4096 bytes. Default: 256. */
  readonly logBuffers?: number;
  /** Whether logs below the checkpoint are reused. Default: no. */
  readonly circular?: boolean;
  /** Whether reserve logs are kept for the day on which the disk is full. Default: yes. */
  readonly reserves?: boolean;
  /** Format of new log files; a stream never goes back to a lower one. */
  readonly version?: LogUpdateVersion;
  readonly parameters: LogStreamParameters;
  /** The databases attached before the first record of this generation, for its header. */
  readonly attachments: (generation: number) => readonly NewAttachInfo[];
  /** The checkpoint on disk: logs below it are needed no more. */
  readonly checkpoint: () => Lgpos;
  /**
   * Called when a generation has become the current log, before it takes a record: the time to raise what the
   * headers of databases require. It must not append; if it throws, the stream cannot be used any more.
   */
  readonly onGeneration?: (generation: number) => void;
}

/** Where an existing stream ends, as its reader found it. */
export interface LogTail {
  /** Header of the last log. */
  readonly header: LogHeader;
  /** Whether the last log is the current one; false if a crash fell between the renames of a roll-over. */
  readonly isCurrent: boolean;
  /** Last segment that holds data; 0 = none. */
  readonly lastValidSegment: number;
  /** XOR of the checksums of the segments that hold data. */
  readonly segmentsChecksum: bigint;
  /**
   * Whether anything but zeros and leftovers of older generations may lie behind: it is overwritten with zeros
   * then, so that it cannot be taken for data later.
   */
  readonly clearRest?: boolean;
}

export interface MakeDurableOptions {
  /**
   * Whether the last segment is filled up and finished (the default), as after a commit, or written as it is
   * together with its shadow.
   */
  readonly fill?: boolean;
}

/** Writes one log stream. Made by {@link createLogStream} or {@link continueLogStream}. */
export class LogWriter {
  /** Engine parameters as log headers, the checkpoint and Init2 records show them. */
  readonly dbmsParam: DbmsParam;

  readonly #options: LogWriterOptions;
  readonly #files: LogFiles;
  readonly #csecNewLog: number;
  #handle: FileHandle | undefined;
  #header: NewLogHeader;
  /** That of the header, which has another shape in every generation: this is asked for with every record. */
  #generation: number;
  /** Segments of the current log file, which may have another size than new ones. */
  #csecLGFile: number;

  /** The segments that are not finished yet, from `#firstIsec` on, and room for one shadow. */
  readonly #kernel: ChecksumKernel;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #words: Int32Array;
  readonly #bufferSegments: number;
  #firstIsec = 1;
  /** Where the next byte goes; `ib` 0: into a segment that is not begun. Behind `ib`, the buffer is zero. */
  #isec = 1;
  #ib = 0;
  /** Position behind the last record, which is that of the next one (chapter 4.4.3). */
  #endIsec = 1;
  #endIb = 0;
  /** Whether the place behind the first buffered segment holds its shadow. */
  #hasShadow = false;
  #checksumLow = 0;
  #checksumHigh = 0;

  #durableTo: Lgpos;
  #isOnReserve = false;
  #failure: EseError | undefined;

  /** For {@link createLogStream} and {@link continueLogStream} only. */
  constructor(options: LogWriterOptions, tail: LogTail | undefined) {
    const csecNewLog = segmentsOf(options.logFileKiB ?? LOG_FILE_KIB_DEFAULT);
    const { environment, directory, baseName, extension = '.log', digits = 5 } = options;
    this.#options = options;
    this.#csecNewLog = csecNewLog;
    this.#files = createLogFiles({
      fs: environment.fs,
      directory,
      baseName,
      extension,
      digits,
      csecLGFile: csecNewLog,
    });
    const logBuffers = options.logBuffers ?? LOG_BUFFER_SEGMENTS_DEFAULT;
    if (!(logBuffers >= 1))
      throw new EseError('JET_errInvalidParameter', `there cannot be ${logBuffers} log buffers`);
    this.dbmsParam = {
      ...options.parameters,
      flags: options.circular === true ? DBMS_PARAM_CIRCULAR_LOGGING : 0,
      logBuffers,
      csecLGFile: csecNewLog,
    };
    this.#bufferSegments = logBuffers;
    this.#kernel = createChecksumKernel((logBuffers + 1) * SEGMENT_BYTES);
    this.#bytes = this.#kernel.bytes;
    const { buffer, byteOffset, byteLength } = this.#kernel.bytes;
    this.#view = new DataView(buffer, byteOffset, byteLength);
    this.#words = new Int32Array(buffer, byteOffset, byteLength / 4);

    this.#header = tail?.header ?? headerOfNewStream(environment);
    this.#generation = this.#header.generation;
    this.#csecLGFile = this.#header.csecLGFile;
    if (options.reserves !== false) this.#files.ensureReserves();
    if (tail !== undefined) {
      this.#firstIsec = this.#isec = this.#endIsec = tail.lastValidSegment + 1;
      this.#checksumLow = Number(BigInt.asIntN(32, tail.segmentsChecksum));
      this.#checksumHigh = Number(BigInt.asIntN(32, tail.segmentsChecksum >> 32n));
    }
    if (tail?.isCurrent === true) {
      this.#handle = this.#files.openCurrent();
      if (tail.clearRest === true) this.#clearRest();
    } else {
      this.#startGeneration(undefined);
    }
    this.#durableTo = this.lgposEnd;
  }

  /** Generation of the current log. */
  get generation(): number {
    return this.#generation;
  }

  /** Header of the current log: signature of the stream, creation time, version. */
  get header(): NewLogHeader {
    return this.#header;
  }

  /** Position of the next record, unless it makes the log roll over. */
  get lgposEnd(): Lgpos {
    return { generation: this.generation, isec: this.#endIsec, ib: this.#endIb };
  }

  /** Every record in front of this position is durable. */
  get durableTo(): Lgpos {
    return this.#durableTo;
  }

  /**
   * Whether the disk is full and a reserve log in use: what is under way may be finished or rolled back, nothing
   * new should begin.
   */
  get isOnReserve(): boolean {
    return this.#isOnReserve;
  }

  /** Bytes of the largest record, or group of records, that a log file of this size can take. */
  get recordBytesMax(): number {
    const segments = this.#csecNewLog - 2;
    // Each segment begins with a piece of it; one byte of the last one stays free.
    return segments * (SEGMENT_ROOM - FRAGMENT_BYTES) - (FRAGMENT_BEGIN_BYTES - FRAGMENT_BYTES) - 1;
  }

  /**
   * Appends records that lie in one generation, and returns the position of the first. Nothing is durable yet; the
   * bytes are copied.
   *
   * @throws EseError JET_errLogBufferTooSmall if a log file cannot take them, JET_errLogDiskFull if there is no room
   *   for the next log (nothing has happened then: try again once there is), JET_errLogSequenceEnd,
   *   JET_errLogWriteFail once a write or sync has failed
   */
  append(...records: readonly RecordBytes[]): Lgpos {
    const first = records[0];
    if (records.length === 1 && first !== undefined) {
      const place = { generation: 0, isec: 0, ib: 0 };
      const at = this.reserve(first.size, place);
      if (at >= 0) {
        this.#copyTo(at, first, 0, first.size);
        return place;
      }
    }
    this.#makeRoom(records);
    const lgpos = this.lgposEnd;
    for (const record of records) this.#put(record);
    return lgpos;
  }

  /** The memory of {@link reserve}. */
  get bytes(): Uint8Array {
    return this.#bytes;
  }
  get view(): DataView {
    return this.#view;
  }

  /**
   * Room for a record of `size` bytes in the segment under way, as {@link EngineLog.reserve} says; -1 if the record
   * would fill the segment, or has to wait for the next log.
   *
   * @throws EseError JET_errLogWriteFail once a write or sync has failed
   */
  reserve(size: number, lgpos: MutableLgpos): number {
    this.#checkUsable();
    const ib = this.#ib;
    // The rules of the last segments of a log are those of `#makeRoom`.
    if (ib === 0 || ib + size >= SEGMENT_BYTES || this.#isec >= this.#csecLGFile - 2) return -1;
    lgpos.generation = this.#generation;
    lgpos.isec = this.#endIsec;
    lgpos.ib = this.#endIb;
    const at = this.#at();
    this.#ib = ib + size;
    this.#endIsec = this.#isec;
    this.#endIb = this.#ib;
    return at;
  }

  /**
   * Makes the record at `lgpos` durable, and all records that were appended so far with it: one sync for a whole
   * group. Does nothing if the record is durable already.
   *
   * @param lgpos default: the last record
   * @throws EseError JET_errLogWriteFail if a write or sync fails: the stream cannot be used any more
   */
  makeDurable(lgpos?: Lgpos, options: MakeDurableOptions = {}): void {
    const { durableTo, lgposEnd } = this;
    if (compareLgpos(durableTo, lgposEnd) === 0) return;
    if (lgpos !== undefined && compareLgpos(lgpos, durableTo) < 0) return;
    this.#checkUsable();
    if (options.fill !== false) this.#fillSegment();
    this.#flush();
  }

  /**
   * Ends the current log and begins the next generation, before its time.
   *
   * @throws EseError as {@link append}
   */
  rollOver(): void {
    this.#checkUsable();
    const { generation } = this;
    this.#finishSegment();
    this.#flush();
    this.#handle?.close();
    try {
      this.#startGeneration(generation);
    } catch (error) {
      if (!(error instanceof EseError)) throw error;
      if (!REFUSALS.includes(error.name)) throw this.#fail(error);
      // The old log stays where it is, complete; the next append tries again.
      this.#guard(() => {
        this.#handle = this.#files.openCurrent();
      });
      throw error;
    }
  }

  /** Makes everything durable as it is and closes the file. */
  close(): void {
    if (this.#handle === undefined) return;
    try {
      if (this.#failure === undefined && compareLgpos(this.#durableTo, this.lgposEnd) < 0) this.#flush();
    } finally {
      this.#handle?.close();
      this.#handle = undefined;
    }
  }

  #checkUsable(): void {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#handle === undefined) throw new Error('the log stream is closed');
  }

  /** Runs what writes to the current log. After a failure nobody knows what is on disk. */
  #guard(call: () => void): void {
    try {
      call();
    } catch (error) {
      throw error instanceof EseError ? this.#fail(error) : error;
    }
  }

  #fail({ detail, file = this.#files.currentPath }: EseError): EseError {
    this.#failure = new EseError('JET_errLogWriteFail', detail, { file });
    return this.#failure;
  }

  /** Rolls over if the records do not fit into the current log (chapter 4.1.3). */
  #makeRoom(records: readonly RecordBytes[]): void {
    this.#checkUsable();
    if (fits(records, this.#isec * SEGMENT_BYTES + this.#ib, this.#csecLGFile)) return;
    if (!fits(records, SEGMENT_BYTES, this.#csecNewLog)) {
      const size = records.reduce((total, record) => total + record.size, 0);
      throw new EseError('JET_errLogBufferTooSmall', `a log file cannot take records of ${size} bytes`);
    }
    this.rollOver();
  }

  #put(record: RecordBytes): void {
    let room = SEGMENT_BYTES - this.#ib;
    if (this.#ib !== 0 && room < record.size && room < FRAGMENT_ROOM_MIN) this.#finishSegment();
    if (this.#ib === 0) this.#beginSegment();
    room = SEGMENT_BYTES - this.#ib;
    if (record.size <= room) {
      this.#copy(record, 0, record.size);
    } else {
      this.#putFragments(record, room);
    }
    this.#endIsec = this.#isec;
    this.#endIb = this.#ib;
  }

  #putFragments(record: RecordBytes, room: number): void {
    let at = this.#at();
    let done = room - FRAGMENT_BEGIN_BYTES;
    this.#bytes[at] = LRTYP.FragmentBegin;
    this.#view.setUint32(at + 1, record.size, true);
    this.#view.setUint16(at + 5, done, true);
    this.#ib += FRAGMENT_BEGIN_BYTES;
    this.#copy(record, 0, done);
    while (done < record.size) {
      this.#beginSegment();
      at = this.#at();
      const piece = Math.min(record.size - done, SEGMENT_ROOM - FRAGMENT_BYTES);
      this.#bytes[at] = LRTYP.Fragment;
      this.#view.setUint16(at + 1, piece, true);
      this.#ib += FRAGMENT_BYTES;
      this.#copy(record, done, piece);
      done += piece;
    }
  }

  /** Copies bytes of a record that fit into the segment. */
  #copy(record: RecordBytes, from: number, count: number): void {
    this.#copyTo(this.#at(), record, from, count);
    this.#ib += count;
    if (this.#ib === SEGMENT_BYTES) this.#nextSegment();
  }

  #copyTo(to: number, record: RecordBytes, from: number, count: number): void {
    const start = record.offset + from;
    if (count < SHORT_COPY) {
      const { bytes } = record;
      for (let i = 0; i < count; i++) this.#bytes[to + i] = bytes[start + i] ?? 0;
    } else {
      this.#bytes.set(record.bytes.subarray(start, start + count), to);
    }
  }

  /** Offset in the buffer of the next byte. */
  #at(): number {
    return (this.#isec - this.#firstIsec) * SEGMENT_BYTES + this.#ib;
  }

  #beginSegment(): void {
    if (this.#isec - this.#firstIsec === this.#bufferSegments) this.#guard(() => this.#writeFinished());
    const at = this.#at();
    this.#bytes.fill(0, at, at + SEGMENT_BYTES);
    const lgpos = { generation: this.generation, isec: this.#isec, ib: 0 };
    writeSegmentHeader(this.#bytes, at, lgpos, new Date(this.#options.environment.clock.now()));
    this.#ib = SEGMENT_HEADER_BYTES;
  }

  #nextSegment(): void {
    this.#isec += 1;
    this.#ib = 0;
  }

  /** Leaves the rest of the segment zero: NOP records, which move no position (chapter 4.4.3). */
  #finishSegment(): void {
    if (this.#ib !== 0) this.#nextSegment();
  }

  /** Fills the segment up by a NOP2 record, so that it need not be written again (chapter 4.4.4). */
  #fillSegment(): void {
    if (this.#ib === 0) return;
    const room = SEGMENT_BYTES - this.#ib;
    // The last data segment must leave one byte free; there, NOPs have to do.
    if (room >= NOP2_BYTES && this.#isec < this.#csecLGFile - 2) {
      const at = this.#at();
      this.#bytes[at] = LRTYP.NOP2;
      this.#view.setUint32(at + 1, room - NOP2_BYTES, true);
      this.#nextSegment();
      this.#endIsec = this.#isec;
      this.#endIb = 0;
    } else {
      this.#nextSegment();
    }
  }

  /** Writes all that was appended, and waits until it is durable. */
  #flush(): void {
    this.#guard(() => {
      this.#writeFinished();
      if (this.#ib !== 0) this.#writePartial();
      this.#sync();
    });
    this.#durableTo = this.lgposEnd;
  }

  /** Overwrites all that lies behind the end of a log that is continued with zeros. */
  #clearRest(): void {
    const count = this.#csecLGFile - this.#isec;
    for (let done = 0; done < count; done += this.#bufferSegments) {
      this.#write(0, Math.min(this.#bufferSegments, count - done), this.#isec + done);
    }
    this.#sync();
  }

  #write(from: number, segments: number, isec: number): void {
    const start = from * SEGMENT_BYTES;
    const bytes = this.#bytes.subarray(start, start + segments * SEGMENT_BYTES);
    this.#handle?.writeAt(bytes, isec * SEGMENT_BYTES);
  }

  #sync(): void {
    this.#handle?.sync();
  }

  /** Writes the finished segments (chapter 4.4.5). */
  #writeFinished(): void {
    const count = this.#isec - this.#firstIsec;
    if (count === 0) return;
    const isec = this.#firstIsec;
    this.#kernel.sealPages(0, count, SEGMENT_BYTES, isec);
    for (let i = 0; i < count; i++) {
      this.#checksumLow ^= this.#words[i * WORDS_PER_SEGMENT] ?? 0;
      this.#checksumHigh ^= this.#words[i * WORDS_PER_SEGMENT + 1] ?? 0;
    }
    if (this.#hasShadow) {
      // The shadow is the only sure copy of durable records until the segment itself is safe.
      this.#write(0, 1, isec);
      this.#sync();
      if (count > 1) this.#write(1, count - 1, isec + 1);
      else this.#write(0, 1, isec + 1);
      this.#hasShadow = false;
    } else {
      this.#write(0, count, isec);
    }
    this.#firstIsec = this.#isec;
    if (this.#ib !== 0) this.#kernel.move(0, count * SEGMENT_BYTES, SEGMENT_BYTES);
  }

  /** Writes the unfinished segment, the only one in the buffer, and its shadow. */
  #writePartial(): void {
    this.#kernel.sealPages(0, 1, SEGMENT_BYTES, this.#isec);
    if (this.#hasShadow) {
      this.#write(0, 1, this.#isec);
      this.#sync();
      this.#write(0, 1, this.#isec + 1);
    } else {
      this.#kernel.move(SEGMENT_BYTES, 0, SEGMENT_BYTES);
      this.#write(0, 2, this.#isec);
      this.#hasShadow = true;
    }
  }

  /** Makes the file of the next generation the current log, and goes on there. */
  #startGeneration(closing: number | undefined): void {
    const { generation } = this.#header;
    const { checkpoint, circular, onGeneration } = this.#options;
    const isFirst = generation === 0;
    const header = this.#nextHeader();
    let flags = header.fLGFlags;
    this.#handle = this.#files.beginGeneration({
      closing,
      genCheckpoint: circular === true && !isFirst ? checkpoint().generation : 0,
      header: (isFromReserve) => {
        if (isFromReserve) flags |= LOG_FLAG.reserve;
        return encodeLogHeader({ ...header, fLGFlags: flags });
      },
    });
    this.#header = { ...header, fLGFlags: flags };
    this.#generation = header.generation;
    this.#csecLGFile = header.csecLGFile;
    this.#firstIsec = this.#isec = this.#endIsec = 1;
    this.#ib = this.#endIb = 0;
    this.#hasShadow = false;
    this.#checksumLow = this.#checksumHigh = 0;
    this.#durableTo = this.lgposEnd;
    this.#restoreReserves();
    onGeneration?.(header.generation);
  }

  /** Makes the reserve logs that were used up, once there is room for them again. */
  #restoreReserves(): void {
    if (this.#options.reserves === false) return;
    try {
      this.#files.ensureReserves();
      this.#isOnReserve = false;
    } catch (error) {
      if (!(error instanceof EseError) || error.name !== 'JET_errLogDiskFull') throw error;
      this.#isOnReserve = true;
    }
  }

  #nextHeader(): NewLogHeader {
    const { environment, attachments, checkpoint, circular, pageSize } = this.#options;
    const previous = this.#header;
    const generation = previous.generation + 1;
    if (generation > GENERATION_WRITE_MAX) {
      throw new EseError('JET_errLogSequenceEnd', undefined, { file: this.#files.currentPath });
    }
    const wasCircular = (previous.fLGFlags & (LOG_FLAG.circular | LOG_FLAG.circularBefore)) !== 0;
    const { generation: genCheckpoint, isec } = checkpoint();
    return {
      ...previous,
      ...laterVersion(previous, this.#options.version ?? LOG_WRITE_VERSION),
      generation,
      csecLGFile: this.#csecNewLog,
      cbPageSize: pageSize,
      tmCreate: logtimeOf(environment.clock.now()),
      tmPrevGen: previous.tmCreate,
      dbmsParam: this.dbmsParam,
      fLGFlags: (circular === true ? LOG_FLAG.circular : 0) | (wasCircular ? LOG_FLAG.circularBefore : 0),
      lgposCheckpoint: { generation: genCheckpoint, isec, ib: 0 },
      checksumPrevLogAllSegments: (BigInt(this.#checksumHigh >>> 0) << 32n) | BigInt(this.#checksumLow >>> 0),
      attachments: attachments(generation),
    };
  }
}

/** Whether records that begin at `start` end early enough to leave the last segment free (chapter 4.1.3). */
function fits(records: readonly RecordBytes[], start: number, csecLGFile: number): boolean {
  let end = start;
  for (const { size } of records) end = endOfRecord(end, size);
  return end < (csecLGFile - 1) * SEGMENT_BYTES;
}

/**
 * Where a record ends that begins at `start`: offsets in the file, in which the start of a segment stands for its
 * first byte behind the header. The one place that knows this beside `#put`.
 */
function endOfRecord(start: number, size: number): number {
  const ib = start % SEGMENT_BYTES || SEGMENT_HEADER_BYTES;
  let segment = Math.floor(start / SEGMENT_BYTES) * SEGMENT_BYTES;
  const room = SEGMENT_BYTES - ib;
  if (size <= room) return segment + ib + size;
  segment += SEGMENT_BYTES;
  if (room >= FRAGMENT_ROOM_MIN) return endOfPieces(segment, size - (room - FRAGMENT_BEGIN_BYTES));
  if (size <= SEGMENT_ROOM) return segment + SEGMENT_HEADER_BYTES + size;
  return endOfPieces(segment + SEGMENT_BYTES, size - (SEGMENT_ROOM - FRAGMENT_BEGIN_BYTES));
}

/** Where `rest` bytes of a record end, of which the pieces begin with the segment at `segment`. */
function endOfPieces(segment: number, rest: number): number {
  const whole = Math.floor((rest - 1) / (SEGMENT_ROOM - FRAGMENT_BYTES));
  const last = rest - whole * (SEGMENT_ROOM - FRAGMENT_BYTES);
  return segment + whole * SEGMENT_BYTES + SEGMENT_HEADER_BYTES + FRAGMENT_BYTES + last;
}

const NO_PARAMETERS: DbmsParam = {
  systemPath: '',
  logPath: '',
  flags: 0,
  sessions: 0,
  openTables: 0,
  verPages: 0,
  cursors: 0,
  logBuffers: 0,
  csecLGFile: 0,
  cacheSizeMax: 0,
};

function laterVersion(a: LogUpdateVersion, b: LogUpdateVersion): LogUpdateVersion {
  const later = a.updateMajor - b.updateMajor || a.updateMinor - b.updateMinor;
  const { updateMajor, updateMinor } = later > 0 ? a : b;
  return { updateMajor, updateMinor };
}

/** Header in front of the first generation: what a new stream begins with. */
function headerOfNewStream(environment: Environment): NewLogHeader {
  const now = logtimeOf(environment.clock.now());
  return {
    generation: 0,
    cbSec: SEGMENT_BYTES,
    csecHeader: 1,
    csecLGFile: 0,
    cbPageSize: 0,
    tmCreate: undefined,
    tmPrevGen: undefined,
    major: LOG_MAJOR,
    minor: LOG_MINOR,
    updateMajor: 0,
    updateMinor: 0,
    signLog: newSignature(environment.random.uint32(), now),
    dbmsParam: NO_PARAMETERS,
    fLGFlags: 0,
    lgposCheckpoint: LGPOS_NONE,
    bDiskSecSizeMismatch: 0,
    checksumPrevLogAllSegments: 0n,
    efvEngine: EFV_ENGINE,
    reserved665: 0,
    filetype: FILE_TYPE.log,
    attachments: [],
  };
}

/** Segments of a log file. */
function segmentsOf(logFileKiB: number): number {
  const isSize =
    logFileKiB >= LOG_FILE_KIB_MIN && logFileKiB <= LOG_FILE_KIB_MAX && logFileKiB % LOG_FILE_KIB_MIN === 0;
  if (!isSize) {
    throw new EseError('JET_errInvalidParameter', `a log file cannot have ${logFileKiB} KiB`);
  }
  return (logFileKiB * 1024) / SEGMENT_BYTES;
}

/**
 * Begins a new log stream with generation 1 and a new signature.
 *
 * @throws EseError JET_errFileAlreadyExists if there are logs of this base name, JET_errLogDiskFull, and the errors of
 *   the file system
 */
export function createLogStream(options: LogWriterOptions): LogWriter {
  const { directory, baseName, environment } = options;
  const existing = environment.fs
    .readdir(directory)
    .find((name) => ['current', 'archived'].includes(parseLogFileName(name, baseName)?.role ?? ''));
  if (existing !== undefined) {
    throw new EseError('JET_errFileAlreadyExists', 'the folder holds a log stream of this base name', {
      file: join(directory, existing),
    });
  }
  return new LogWriter(options, undefined);
}

/**
 * Goes on with a stream that recovery has brought to its end, or that ended cleanly. The first record goes into the
 * segment behind the last one that holds data, or into a new generation.
 *
 * @throws EseError JET_errLogDiskFull, and the errors of the file system
 */
export function continueLogStream(options: LogWriterOptions, tail: LogTail): LogWriter {
  return new LogWriter(options, tail);
}
