import { EseError } from './ese-error.js';
import type { LogRecordOf } from './log-record.js';

/**
 * The diff list of a ReplaceD record (format specification, chapter 4.6.5): what to do to the old data of a
 * node to get the new. Entries follow each other in the order of the old offsets:
 *
 * | part | pages up to 8 KiB | larger pages ("Diff2") |
 * |---|---|---|
 * | header | u16: 13 bits offset, 3 bits flags | u16 offset, u8 flags in the high bits |
 * | new length | u8, or u16 with the flag `wide` | the same |
 * | old length, unless a flag says what it is | u8 or u16 | the same |
 * | new bytes | | |
 */
export interface DiffEntry {
  /** Offset in the old data. */
  readonly ib: number;
  /** Old bytes that are replaced; 0 = the new bytes are inserted. */
  readonly cbOld: number;
  /** Whether the entry is an insert by its flag, rather than a replacement of nothing. */
  readonly isInsert: boolean;
  readonly isSameLength: boolean;
  /** Whether the lengths take two bytes each. */
  readonly isWide: boolean;
  /** The new bytes, as a view into the list. */
  readonly data: Uint8Array;
}

const OFFSET_BITS = 0x1fff;
const FLAG_SHIFT = 13;
const FLAG_SHIFT_DIFF2 = 5;
const SAME_LENGTH = 1;
const INSERT = 2;
const WIDE = 4;

function corrupt(detail: string): EseError {
  return new EseError('JET_errLogCorrupted', detail);
}

/** Reads entry after entry; the fields describe the entry at which it stands. */
class DiffCursor {
  ib = 0;
  cbOld = 0;
  cbNew = 0;
  /** Offset of the new bytes in the list. */
  at = 0;
  flags = 0;
  readonly #diff: Uint8Array;
  readonly #isDiff2: boolean;
  #next = 0;

  constructor(diff: Uint8Array, isDiff2: boolean) {
    this.#diff = diff;
    this.#isDiff2 = isDiff2;
  }

  next(): boolean {
    if (this.#next >= this.#diff.length) return false;
    const header = this.#u16();
    this.flags = this.#isDiff2 ? this.#u8() >> FLAG_SHIFT_DIFF2 : header >> FLAG_SHIFT;
    this.ib = this.#isDiff2 ? header : header & OFFSET_BITS;
    this.cbNew = this.#length();
    if ((this.flags & INSERT) !== 0) this.cbOld = 0;
    else if ((this.flags & SAME_LENGTH) !== 0) this.cbOld = this.cbNew;
    else this.cbOld = this.#length();
    this.at = this.#next;
    this.#next += this.cbNew;
    if (this.#next > this.#diff.length) throw corrupt('a diff list ends inside an entry');
    return true;
  }

  #u8(): number {
    const byte = this.#diff[this.#next++];
    if (byte === undefined) throw corrupt('a diff list ends inside an entry');
    return byte;
  }

  #u16(): number {
    const low = this.#u8();
    return low | (this.#u8() << 8);
  }

  #length(): number {
    return (this.flags & WIDE) === 0 ? this.#u8() : this.#u16();
  }
}

/**
 * The entries of a diff list.
 *
 * @throws EseError JET_errLogCorrupted if the list ends inside an entry
 */
export function readReplaceDiff(record: LogRecordOf<'ReplaceD'>): DiffEntry[] {
  const diff = record.diff;
  const cursor = new DiffCursor(diff, record.fDiff2);
  const entries: DiffEntry[] = [];
  while (cursor.next()) {
    const { ib, cbOld, cbNew, at, flags } = cursor;
    entries.push({
      ib,
      cbOld,
      isInsert: (flags & INSERT) !== 0,
      isSameLength: (flags & SAME_LENGTH) !== 0,
      isWide: (flags & WIDE) !== 0,
      data: diff.subarray(at, at + cbNew),
    });
  }
  return entries;
}

/**
 * Applies a diff list to the old data of a node and returns the new data, of `record.cbNewData` bytes.
 *
 * @param out where to put it, if it is to have no memory of its own: at least `cbNewData` bytes that do not
 *   overlap with the old data
 * @throws EseError JET_errLogCorrupted if the list does not fit the old data or the sizes in the record
 */
export function applyReplaceDiff(
  before: Uint8Array,
  record: LogRecordOf<'ReplaceD'>,
  out: Uint8Array = new Uint8Array(record.cbNewData),
): Uint8Array {
  const { diff, cbNewData, cbOldData } = record;
  if (before.length !== cbOldData) {
    throw corrupt(`the node has ${before.length} bytes of data where the record expects ${cbOldData}`);
  }
  const cursor = new DiffCursor(diff, record.fDiff2);
  let read = 0;
  let written = 0;
  while (cursor.next()) {
    const { ib, cbOld, cbNew, at } = cursor;
    const kept = ib - read;
    if (kept < 0 || ib + cbOld > before.length || written + kept + cbNew > cbNewData) {
      throw corrupt(`an entry of a diff list at offset ${ib} does not fit`);
    }
    out.set(before.subarray(read, ib), written);
    out.set(diff.subarray(at, at + cbNew), written + kept);
    written += kept + cbNew;
    read = ib + cbOld;
  }
  if (written + before.length - read !== cbNewData) {
    throw corrupt(`a diff list gives ${written + before.length - read} bytes instead of ${cbNewData}`);
  }
  out.set(before.subarray(read), written);
  return out.subarray(0, cbNewData);
}

/** Room for the list that {@link encodeReplaceDiff} makes; a list is never longer than the data of a node. */
const LIST_BYTES = 32768;
let list = new Uint8Array(0);

/**
 * The diff list from the old data of a node to its new data, as a ReplaceD record holds it.
 *
 * Data that grow or shrink are taken to do so at one place, as records do whose one column changes its length: in front
 * of it old and new bytes are compared at the same offset, behind it at the same distance from the end. The place is
 * the one that leaves the fewest differing bytes.
 *
 * @returns an empty list for equal data, undefined if the list would not be shorter than the new data; valid until the
 *   next call
 */
export function encodeReplaceDiff(
  before: Uint8Array,
  after: Uint8Array,
  isDiff2: boolean,
): Uint8Array | undefined {
  if (list.length === 0) list = new Uint8Array(LIST_BYTES);
  const inserted = Math.max(0, after.length - before.length);
  const removed = Math.max(0, before.length - after.length);
  const place = inserted + removed === 0 ? before.length : placeOfShift(before, after, inserted, removed);
  const writer = new DiffWriter(after, isDiff2);
  for (let i = 0; i < place; i++) {
    if (before[i] !== after[i]) writer.add(i, i + 1, i, i + 1);
  }
  if (inserted + removed > 0) writer.add(place, place + removed, place, place + inserted);
  for (let i = place + removed, k = place + inserted; i < before.length; i++, k++) {
    if (before[i] !== after[k]) writer.add(i, i + 1, k, k + 1);
  }
  return writer.end();
}

/**
 * Where to insert or remove bytes so that the fewest of the others differ: an offset in the old data.
 */
function placeOfShift(before: Uint8Array, after: Uint8Array, inserted: number, removed: number): number {
  // Bytes that differ if the place is `place`; first for 0, then as it moves on.
  let differing = 0;
  for (let i = removed; i < before.length; i++) {
    if (before[i] !== after[i + inserted - removed]) differing++;
  }
  let least = differing;
  let best = 0;
  for (let place = 0; place + removed < before.length; place++) {
    if (before[place] !== after[place]) differing++;
    if (before[place + removed] !== after[place + inserted]) differing--;
    if (differing < least) {
      least = differing;
      best = place + 1;
    }
  }
  return best;
}

/** Turns differences, in ascending order, into entries in `list`. */
class DiffWriter {
  readonly #after: Uint8Array;
  readonly #isDiff2: boolean;
  /** The entry under construction: old bytes from `#from` to `#to`, new bytes likewise; none if `#from` is -1. */
  #from = -1;
  #to = 0;
  #newFrom = 0;
  #newTo = 0;
  #length = 0;
  #isTooLong = false;

  constructor(after: Uint8Array, isDiff2: boolean) {
    this.#after = after;
    this.#isDiff2 = isDiff2;
  }

  /** Old bytes `from` to `to` become the new bytes `newFrom` to `newTo`. */
  add(from: number, to: number, newFrom: number, newTo: number): void {
    // Equal bytes between two differences that cost no more than an entry of their own are taken along.
    const entryBytes = this.#isDiff2 ? 4 : 3;
    if (this.#from < 0 || from - this.#to > entryBytes) {
      this.#put();
      this.#from = from;
      this.#newFrom = newFrom;
    }
    this.#to = to;
    this.#newTo = newTo;
  }

  end(): Uint8Array | undefined {
    this.#put();
    return this.#isTooLong ? undefined : list.subarray(0, this.#length);
  }

  #put(): void {
    if (this.#from < 0 || this.#isTooLong) return;
    const cbOld = this.#to - this.#from;
    const cbNew = this.#newTo - this.#newFrom;
    const isWide = cbOld > 255 || cbNew > 255;
    const flags = (cbOld === 0 ? INSERT : cbOld === cbNew ? SAME_LENGTH : 0) | (isWide ? WIDE : 0);
    const hasOldLength = (flags & (INSERT | SAME_LENGTH)) === 0;
    const lengths = (hasOldLength ? 2 : 1) * (isWide ? 2 : 1);
    const size = (this.#isDiff2 ? 3 : 2) + lengths + cbNew;
    if (this.#length + size >= this.#after.length) {
      this.#isTooLong = true;
      return;
    }
    if (this.#isDiff2) {
      this.#u16(this.#from);
      this.#u8(flags << FLAG_SHIFT_DIFF2);
    } else {
      this.#u16(this.#from | (flags << FLAG_SHIFT));
    }
    this.#cb(cbNew, isWide);
    if (hasOldLength) this.#cb(cbOld, isWide);
    for (let i = this.#newFrom; i < this.#newTo; i++) this.#u8(this.#after[i] ?? 0);
  }

  #u8(value: number): void {
    list[this.#length++] = value;
  }

  #u16(value: number): void {
    this.#u8(value & 0xff);
    this.#u8(value >> 8);
  }

  #cb(length: number, isWide: boolean): void {
    if (isWide) this.#u16(length);
    else this.#u8(length);
  }
}
