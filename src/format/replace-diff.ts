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

/**
 * The diff list from the old data of a node to its new data, as a ReplaceD record holds it. Data of the same
 * length are compared byte by byte, others give one entry between their common beginning and end.
 *
 * @returns an empty list for equal data, undefined if the list would not be shorter than the new data
 */
export function encodeReplaceDiff(
  before: Uint8Array,
  after: Uint8Array,
  isDiff2: boolean,
): Uint8Array | undefined {
  const list: number[] = [];
  const limit = after.length;
  const put = (ib: number, cbOld: number, from: number, to: number): void => {
    const cbNew = to - from;
    const isWide = cbOld > 255 || cbNew > 255;
    const flags = (cbOld === 0 ? INSERT : cbOld === cbNew ? SAME_LENGTH : 0) | (isWide ? WIDE : 0);
    const header = isDiff2 ? ib : ib | (flags << FLAG_SHIFT);
    list.push(header & 0xff, header >> 8);
    if (isDiff2) list.push(flags << FLAG_SHIFT_DIFF2);
    const lengths = flags & (INSERT | SAME_LENGTH) ? [cbNew] : [cbNew, cbOld];
    for (const length of lengths) {
      list.push(length & 0xff);
      if (isWide) list.push(length >> 8);
    }
    for (let i = from; i < to && list.length < limit; i++) list.push(after[i] ?? 0);
  };
  const common = Math.min(before.length, after.length);
  let start = 0;
  while (start < common && before[start] === after[start]) start++;
  if (start === before.length && start === after.length) return new Uint8Array(0);
  if (before.length !== after.length) {
    let end = 0;
    while (end < common - start && before[before.length - 1 - end] === after[after.length - 1 - end]) end++;
    put(start, before.length - end - start, start, after.length - end);
  } else {
    for (let at = start; at < limit && list.length < limit; ) {
      const end = endOfDifference(before, after, at);
      put(at, end - at, at, end);
      at = end;
      while (at < limit && before[at] === after[at]) at++;
    }
  }
  return list.length < limit ? Uint8Array.from(list) : undefined;
}

/** Equal bytes between two differences that cost no more than an entry of their own. */
const EQUAL_RUN_MIN = 4;

/** Where a run of differing bytes ends that begins at `start`; short equal runs in between belong to it. */
function endOfDifference(before: Uint8Array, after: Uint8Array, start: number): number {
  let end = start + 1;
  for (let at = end; at < after.length && at - end < EQUAL_RUN_MIN; at++) {
    if (before[at] !== after[at]) end = at + 1;
  }
  return end;
}
