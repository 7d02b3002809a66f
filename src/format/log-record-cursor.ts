import { EseError, type Lgpos } from './ese-error.js';
import { type LogRecord, logRecordView } from './log-record.js';
import { logRecordSize } from './log-record-size.js';
import type { RecordSkipper } from './log-record-skip.js';
import { LRTYP, logRecordName } from './log-record-type.js';
import { SEGMENT_BYTES, SEGMENT_HEADER_BYTES } from './log-segment.js';

const FRAGMENT_BEGIN_BYTES = 7;
const FRAGMENT_BYTES = 3;
/** Assembly starts with room for a record of this size and doubles as pieces really arrive. */
const ASSEMBLY_BYTES = 16 * SEGMENT_BYTES;

/** Where a cursor stands in its window: offsets in `bytes`, the segment, and the position behind the last record. */
export interface WindowPlace {
  at: number;
  segment: number;
  segmentStart: number;
  segmentEnd: number;
  windowEnd: number;
  isec: number;
  ib: number;
}

/**
 * Walks the records of one log file through windows of valid segments (format specification, chapter 4.4.4),
 * without allocating per record: the fields describe the record at which the cursor stands. A record that
 * was cut up at segment ends is assembled in a buffer that the cursor reuses.
 *
 * The position of a record is the position right behind the previous record (chapter 4.4.3), so it may lie
 * in the zero tail of an earlier segment than the bytes themselves.
 */
export class LogRecordCursor {
  readonly generation: number;
  /** Type of the record. */
  lrtyp = 0;
  /** Size in bytes of the record, assembled. */
  size = 0;
  /** Offset of the record in `bytes`. */
  offset = 0;
  /** The memory that holds the record: the window, or the assembly buffer. */
  bytes: Uint8Array = new Uint8Array(0);
  view: DataView = new DataView(new ArrayBuffer(0));
  /** Position of the record: segment and byte. */
  isec = 1;
  ib = 0;
  /** Pieces that the record was cut into; 1 if it was not cut. */
  fragments = 0;
  /** NOP bytes between the previous record and this one; after the last record, those behind it. */
  nops = 0;
  /** Records that a crash left unfinished and a later run abandoned (chapter 4.4.4). */
  abandoned = 0;

  #window: Uint8Array = this.bytes;
  #windowView: DataView = this.view;
  #windowEnd = 0;
  /** Offset in the window at which to go on. */
  #at = 0;
  /** The current segment: number, and where it begins and ends in the window. */
  #segment = 0;
  #segmentStart = 0;
  #segmentEnd = 0;
  /** Whether the fields describe a record; else a record is awaited, maybe from the next window. */
  #stands = false;
  /** Position behind the last record. */
  #endIsec = 1;
  #endIb = 0;
  /** The record under assembly: total size (0 = none), bytes so far, pieces, position. */
  #total = 0;
  #assembled = 0;
  #pieces = 0;
  #assembly = new Uint8Array(0);
  #assemblyView: DataView = this.view;
  readonly #recordBytesMax: number;

  /**
   * @param generation generation of the file, for positions
   * @param recordBytesMax most bytes that a record of this file can have: its data segments
   */
  constructor(generation: number, recordBytesMax: number) {
    this.generation = generation;
    this.#recordBytesMax = recordBytesMax;
  }

  /**
   * Gives the cursor the next `count` segments, all of them valid, which begin at `offset` in `bytes`. The
   * first window begins with segment 1, each later one with the segment behind the previous window.
   */
  feed(bytes: Uint8Array, view: DataView, offset: number, count: number): void {
    this.#window = bytes;
    this.#windowView = view;
    this.#windowEnd = offset + count * SEGMENT_BYTES;
    this.#segmentStart = offset - SEGMENT_BYTES;
    this.#segmentEnd = offset;
    this.#at = offset;
  }

  /**
   * Moves to the next record. False: the window is used up; {@link feed} the next one, or it was the end.
   *
   * @throws EseError JET_errLogFileCorrupt where the bytes are no record of this format; the cursor must
   *   not be used further.
   */
  next(): boolean {
    if (this.#stands) {
      this.#stands = false;
      this.isec = this.#endIsec;
      this.ib = this.#endIb;
      this.nops = 0;
    }
    for (;;) {
      if (this.#at >= this.#segmentEnd && !this.#enterSegment()) return false;
      const at = this.#at;
      const lrtyp = this.#window[at];
      if (lrtyp === LRTYP.NOP) {
        this.#skipNops();
      } else if (lrtyp === LRTYP.Fragment) {
        if (this.#addPiece(at)) return true;
      } else {
        if (this.#total !== 0) this.#abandon(at);
        if (lrtyp !== LRTYP.FragmentBegin) {
          this.#setWhole(at);
          return true;
        }
        this.#beginAssembly(at);
      }
    }
  }

  /**
   * Skips records in the window that the skipper knows: the fields describe none of them, and {@link next} goes on
   * behind the last one. The window must lie in the memory of the skipper. Returns how many it skipped.
   */
  skip(skipper: RecordSkipper): number {
    if (this.#windowEnd === 0 || this.#total !== 0) return 0;
    const records = skipper.skip(this.#at, this.#segmentStart, this.#windowEnd);
    if (records === 0) return 0;
    this.#segment += (skipper.segmentStart - this.#segmentStart) / SEGMENT_BYTES;
    this.#segmentStart = skipper.segmentStart;
    this.#segmentEnd = this.#segmentStart + SEGMENT_BYTES;
    this.#endBehind(skipper.at);
    return records;
  }

  /** The record as a typed view, valid until the window or the assembly buffer is reused. */
  record(): LogRecord {
    try {
      return logRecordView(this.bytes, this.view, this.offset, this.size);
    } catch (error) {
      throw error instanceof EseError ? error.at({ lgpos: this.lgpos() }) : error;
    }
  }

  /** Position of the record. */
  lgpos(): Lgpos {
    return { generation: this.generation, isec: this.isec, ib: this.ib };
  }

  /** Whether a record begun before the end of the window still lacks pieces: at the end, a crash cut it. */
  get unfinished(): boolean {
    return this.#total !== 0;
  }

  /** Says where the next record is sought, for who goes on in the place of the cursor; false amid a cut record. */
  getPlace(place: WindowPlace): boolean {
    if (this.#total !== 0) return false;
    place.at = this.#at;
    place.segment = this.#segment;
    place.segmentStart = this.#segmentStart;
    place.segmentEnd = this.#segmentEnd;
    place.windowEnd = this.#windowEnd;
    place.isec = this.#stands ? this.#endIsec : this.isec;
    place.ib = this.#stands ? this.#endIb : this.ib;
    return true;
  }

  /** Goes on where somebody else has come to in the same window. The cursor then stands at no record. */
  setPlace(place: WindowPlace): void {
    this.#at = place.at;
    this.#segment = place.segment;
    this.#segmentStart = place.segmentStart;
    this.#segmentEnd = place.segmentEnd;
    this.isec = place.isec;
    this.ib = place.ib;
    this.nops = 0;
    this.#stands = false;
  }

  #enterSegment(): boolean {
    if (this.#segmentEnd + SEGMENT_BYTES > this.#windowEnd) return false;
    this.#segment += 1;
    this.#segmentStart = this.#segmentEnd;
    this.#segmentEnd += SEGMENT_BYTES;
    this.#at = this.#segmentStart + SEGMENT_HEADER_BYTES;
    return true;
  }

  #skipNops(): void {
    const start = this.#at;
    const end = this.#segmentEnd;
    const window = this.#window;
    const view = this.#windowView;
    let at = start;
    while (at + 8 <= end && (view.getInt32(at, true) | view.getInt32(at + 4, true)) === 0) at += 8;
    while (at < end && window[at] === LRTYP.NOP) at += 1;
    if (this.#total === 0) this.nops += at - start;
    this.#at = at;
  }

  #setWhole(at: number): void {
    const size = logRecordSize(this.#windowView, at, this.#segmentEnd);
    if (size === 0 || size > this.#segmentEnd - at) throw this.#corrupt(at, 'is no record of this format');
    this.bytes = this.#window;
    this.view = this.#windowView;
    this.offset = at;
    this.size = size;
    this.fragments = 1;
    this.lrtyp = this.#window[at] ?? 0;
    this.#endBehind(at + size);
  }

  #beginAssembly(at: number): void {
    const room = this.#segmentEnd - at - FRAGMENT_BEGIN_BYTES;
    if (room < 0) throw this.#corrupt(at, 'begins a record without room for it');
    const total = this.#windowView.getUint32(at + 1, true);
    const piece = this.#windowView.getUint16(at + 5, true);
    if (piece > room || piece >= total || total > this.#recordBytesMax) {
      throw this.#corrupt(at, `claims a first piece of ${piece} bytes of ${total}`);
    }
    this.#total = total;
    this.#assembled = 0;
    this.#pieces = 0;
    this.#append(at + FRAGMENT_BEGIN_BYTES, piece);
  }

  /** Adds the piece at `at`; true if it completes the record. */
  #addPiece(at: number): boolean {
    const room = this.#segmentEnd - at - FRAGMENT_BYTES;
    const piece = room < 0 ? 0 : this.#windowView.getUint16(at + 1, true);
    if (this.#total === 0 || room < 0 || piece > room || piece > this.#total - this.#assembled) {
      throw this.#corrupt(at, 'continues no record');
    }
    this.#append(at + FRAGMENT_BYTES, piece);
    if (this.#assembled < this.#total) return false;
    const size = logRecordSize(this.#assemblyView, 0, this.#total);
    const lrtyp = this.#assembly[0] ?? 0;
    if (size !== this.#total || lrtyp === LRTYP.FragmentBegin || lrtyp === LRTYP.Fragment) {
      throw this.#corrupt(at, `completes ${this.#total} bytes that are no record`);
    }
    this.bytes = this.#assembly;
    this.view = this.#assemblyView;
    this.offset = 0;
    this.size = size;
    this.lrtyp = lrtyp;
    this.fragments = this.#pieces;
    this.#total = 0;
    this.#endBehind(this.#at);
    return true;
  }

  #append(from: number, piece: number): void {
    const needed = this.#assembled + piece;
    if (needed > this.#assembly.length) {
      const grown = new Uint8Array(Math.max(ASSEMBLY_BYTES, 2 * this.#assembly.length, needed));
      grown.set(this.#assembly.subarray(0, this.#assembled));
      this.#assembly = grown;
      this.#assemblyView = new DataView(grown.buffer);
    }
    this.#assembly.set(this.#window.subarray(from, from + piece), this.#assembled);
    this.#assembled = needed;
    this.#pieces += 1;
    this.#at = from + piece;
  }

  /** Drops the record under assembly if what follows says that recovery went on behind a crash. */
  #abandon(at: number): void {
    const lrtyp = this.#window[at];
    const inner = lrtyp === LRTYP.FragmentBegin ? this.#window[at + FRAGMENT_BEGIN_BYTES] : lrtyp;
    const goesOn = inner === LRTYP.UndoInfo || lrtyp === LRTYP.RecoveryUndo || lrtyp === LRTYP.RecoveryUndo2;
    if (at !== this.#segmentStart + SEGMENT_HEADER_BYTES || !goesOn) {
      throw this.#corrupt(at, 'interrupts a record that was cut up');
    }
    this.#total = 0;
    this.abandoned += 1;
    this.isec = this.#segment;
    this.ib = 0;
    this.nops = 0;
  }

  #endBehind(at: number): void {
    this.#stands = true;
    this.#at = at;
    const isSegmentEnd = at === this.#segmentEnd;
    this.#endIsec = isSegmentEnd ? this.#segment + 1 : this.#segment;
    this.#endIb = isSegmentEnd ? 0 : at - this.#segmentStart;
  }

  #corrupt(at: number, what: string): EseError {
    const lrtyp = this.#window[at] ?? 0;
    const name = logRecordName(lrtyp) ?? 'unknown';
    return new EseError(
      'JET_errLogFileCorrupt',
      `type ${lrtyp} (${name}) at byte ${at - this.#segmentStart} of segment ${this.#segment} ${what}`,
      { lgpos: this.lgpos() },
    );
  }
}
