import type { BulkWriter } from '../../engine/bulk/tree-builder.js';
import { compressionSupport, decompress, decompressedSize } from '../../format/compression.js';
import { EseError } from '../../format/ese-error.js';
import {
  decodeLongValueRoot,
  encodeLongValueRoot,
  type Lid,
  LONG_VALUE_ROOT,
  longValueChunkLength,
  longValueKey,
  REFERENCES_PARTIALLY_DELETED,
  readLid,
  readLongValueKey,
} from '../../format/long-value.js';
import { numberOfLid } from '../defrag/long-value-ids.js';
import type { LongValuePolicy } from './repair-report.js';
import { type SalvagedNode, TRUST } from './salvage-node.js';

/**
 * The long values of a damaged table (format specification, chapter 7.2.8): first all of their nodes are looked at,
 * and it is decided what becomes of each; then records count their references; then what is referred to is written.
 */

/** What becomes of a long value. */
const FATE = {
  /** It is as it was. */
  whole: 0,
  /** It gets another root: it had none, or one with a wrong size. */
  mended: 1,
  /** Chunks are missing: it ends in front of the first. */
  cut: 2,
  /** Chunks are missing: they become zeros. */
  filled: 3,
  /** It is given up. */
  gone: 4,
} as const;

/** Kinds of damage, and what was done. */
export interface LongValueDamage {
  readonly code: 'LV_NO_ROOT' | 'LV_HOLE' | 'LV_LENGTH' | 'PAGE_BAD_CHECKSUM';
  readonly lid: number;
  readonly message: string;
  readonly action: string;
}

/** A long value that is not written as it was. */
interface Mended {
  readonly size: number;
  readonly encrypted: boolean;
}

/** What was seen of the long value at hand. */
interface Seen {
  readonly number: number;
  readonly hasRoot: boolean;
  readonly size: number;
  readonly encrypted: boolean;
  readonly isBeingDeleted: boolean;
  /** Offset at which the next chunk is due. */
  due: number;
  /** Plain bytes of the last chunk; less than a chunk ends the value. */
  lastLength: number;
  /** A chunk is stored in full, as it is: then the others are not packed either. */
  isPlain: boolean;
  /** Offset of the first chunk that is missing or no use; -1 = none. */
  hole: number;
  /** End of the last chunk. */
  end: number;
  /** A page with nodes of it is damaged, and no checksum speaks for them. */
  isUnverified: boolean;
}

/** What is done about nodes that no checksum speaks for. */
export const KEPT_UNVERIFIED = 'kept, unverified';

const INITIAL = 1024;
const NOTHING = -1;

export class LongValueLedger {
  readonly #chunkSize: number;
  readonly #policy: LongValuePolicy;
  readonly #plain: Uint8Array;
  readonly #lid: Lid = { high: 0, low: 0 };
  /** By place: ids ascending, fates, references. */
  #ids = new Float64Array(INITIAL);
  #fates = new Uint8Array(INITIAL);
  #references = new Uint32Array(0);
  #count = 0;
  readonly #mended = new Map<number, Mended>();
  readonly damage: LongValueDamage[] = [];
  #open: Seen | undefined;
  readonly #damageMost: number;
  readonly #fillMost: number;

  /**
   * @param damageMost how much damage is listed
   * @param fillMost bytes that may be missing of one value, where holes become zeros: more is a wrong size or offset
   */
  constructor(chunkSize: number, policy: LongValuePolicy, damageMost: number, fillMost: number) {
    this.#chunkSize = chunkSize;
    this.#policy = policy;
    this.#damageMost = damageMost;
    this.#fillMost = fillMost;
    this.#plain = new Uint8Array(chunkSize);
  }

  /** Takes note of the next node of the tree. */
  look({ key, keyLength, bytes, dataOffset, dataLength, trust }: SalvagedNode): void {
    const offset = readLongValueKey(key, keyLength, this.#lid);
    const number = numberOfLid(this.#lid);
    if (offset === LONG_VALUE_ROOT) {
      this.#close();
      const root = decodeLongValueRoot(bytes, dataOffset, dataOffset + dataLength);
      this.#begin(
        number,
        true,
        root.size,
        root.encrypted,
        root.referenceCount === REFERENCES_PARTIALLY_DELETED,
      );
      this.#doubt(trust);
      return;
    }
    if (this.#open?.number !== number) {
      this.#close();
      this.#begin(number, false, 0, false, false);
    }
    this.#addChunk(this.#open as Seen, offset, bytes, dataOffset, dataLength);
    this.#doubt(trust);
  }

  #doubt(trust: SalvagedNode['trust']): void {
    if (trust === TRUST.unverified && this.#open !== undefined) this.#open.isUnverified = true;
  }

  #begin(number: number, hasRoot: boolean, size: number, encrypted: boolean, isBeingDeleted: boolean): void {
    this.#open = {
      number,
      hasRoot,
      size,
      encrypted,
      isBeingDeleted,
      due: 0,
      lastLength: this.#chunkSize,
      isPlain: false,
      hole: NOTHING,
      end: 0,
      isUnverified: false,
    };
  }

  #addChunk(seen: Seen, offset: number, bytes: Uint8Array, start: number, length: number): void {
    if (offset % this.#chunkSize !== 0 || offset < seen.due) return;
    // A chunk that is not full is the last one.
    const isDue = offset === seen.due && seen.lastLength === this.#chunkSize;
    if (!isDue && seen.hole === NOTHING) {
      seen.hole = seen.lastLength === this.#chunkSize ? seen.due : seen.due - this.#chunkSize;
    }
    const left = seen.hasRoot ? seen.size - offset : 0;
    const expected = left > 0 ? Math.min(this.#chunkSize, left) : this.#chunkSize;
    const plain = seen.hasRoot
      ? this.#plainLength(bytes, start, length, seen.encrypted, expected)
      : this.#likelyLength(bytes, start, length, seen.isPlain);
    if (length === this.#chunkSize) seen.isPlain = true;
    if (plain < 0) {
      if (seen.hole === NOTHING) seen.hole = offset;
      seen.lastLength = this.#chunkSize;
      seen.end = Math.max(seen.end, offset);
    } else {
      seen.lastLength = plain;
      seen.end = offset + plain;
    }
    seen.due = offset + this.#chunkSize;
  }

  /** Plain bytes of a chunk of a value without root, where nothing says whether a short one is packed or the last. */
  #likelyLength(bytes: Uint8Array, start: number, length: number, isPlain: boolean): number {
    if (isPlain || !canBePacked(bytes, start, start + length, this.#chunkSize)) {
      return Math.min(length, this.#chunkSize);
    }
    return this.#plainLength(bytes, start, length, false, this.#chunkSize);
  }

  /** Plain bytes of a chunk of which `due` are expected, -1 = it is no use. A chunk that is shorter is compressed. */
  #plainLength(bytes: Uint8Array, start: number, length: number, encrypted: boolean, due: number): number {
    if (encrypted || length >= due) return Math.min(length, this.#chunkSize);
    switch (compressionSupport(bytes[start] ?? 0)) {
      case 'unknown':
        return length;
      case 'unsupported':
        return due;
      case 'scrubbed':
        return -1;
      case 'readable':
        try {
          return decompress(bytes, start, start + length, this.#plain, 0);
        } catch (error) {
          if (!(error instanceof EseError)) throw error;
          return -1;
        }
    }
  }

  /** Decides about the long value whose nodes have all been seen. */
  #close(): void {
    const seen = this.#open;
    if (seen === undefined) return;
    this.#open = undefined;
    const { number, hasRoot, size, end, encrypted, hole } = seen;
    if (seen.isBeingDeleted) {
      this.#add(number, FATE.gone);
      return;
    }
    if (seen.isUnverified) {
      this.#note('PAGE_BAD_CHECKSUM', number, 'part of it is on a damaged page', KEPT_UNVERIFIED);
    }
    const endsCleanly = hole === NOTHING && (seen.lastLength < this.#chunkSize || !hasRoot || end >= size);
    if (endsCleanly && hasRoot && end === size) {
      this.#add(number, FATE.whole);
      return;
    }
    if (endsCleanly && (end > 0 || size === 0)) {
      this.#mend(number, FATE.mended, { size: end, encrypted });
      this.#note(
        hasRoot ? 'LV_LENGTH' : 'LV_NO_ROOT',
        number,
        hasRoot ? `its root says ${size} bytes, it has ${end}` : 'it has no root',
        hasRoot ? 'size put right' : 'root made',
      );
      return;
    }
    const gap = hole === NOTHING ? end : hole;
    this.#decideHole(number, gap, Math.max(size, end), encrypted);
  }

  #decideHole(number: number, gap: number, size: number, encrypted: boolean): void {
    const message = `its chunk at ${gap} is missing`;
    if (this.#policy === 'zero' && !encrypted && size - gap <= this.#fillMost) {
      this.#mend(number, FATE.filled, { size, encrypted });
      this.#note('LV_HOLE', number, message, 'filled with zeros');
    } else if (this.#policy === 'truncate' && gap > 0) {
      this.#mend(number, FATE.cut, { size: gap, encrypted });
      this.#note('LV_HOLE', number, message, 'truncated');
    } else {
      this.#add(number, FATE.gone);
      this.#note('LV_HOLE', number, message, 'dropped');
    }
  }

  #note(code: LongValueDamage['code'], lid: number, message: string, action: string): void {
    if (this.damage.length < this.#damageMost) this.damage.push({ code, lid, message, action });
  }

  #mend(number: number, fate: number, mended: Mended): void {
    this.#mended.set(this.#count, mended);
    this.#add(number, fate);
  }

  #add(number: number, fate: number): void {
    if (this.#count === this.#ids.length) {
      const ids = new Float64Array(2 * this.#count);
      ids.set(this.#ids);
      this.#ids = ids;
      const fates = new Uint8Array(2 * this.#count);
      fates.set(this.#fates);
      this.#fates = fates;
    }
    this.#ids[this.#count] = number;
    this.#fates[this.#count++] = fate;
  }

  /** All nodes have been seen: from now on references are counted. */
  seal(): void {
    this.#close();
    this.#references = new Uint32Array(this.#count);
  }

  /** Whether a record can refer to the long value whose id is stored at `bytes[at .. at + length)`. */
  isThere(bytes: Uint8Array, at: number, length: number): boolean {
    const place = this.#placeOfStored(bytes, at, length);
    return place >= 0 && this.#fates[place] !== FATE.gone;
  }

  /** Counts a reference to a long value that is there. */
  count(bytes: Uint8Array, at: number, length: number): void {
    const place = this.#placeOfStored(bytes, at, length);
    if (place >= 0) this.#references[place] = (this.#references[place] as number) + 1;
  }

  #placeOfStored(bytes: Uint8Array, at: number, length: number): number {
    try {
      readLid(bytes, at, at + length, this.#lid);
      return this.#placeOf(numberOfLid(this.#lid));
    } catch (error) {
      if (!(error instanceof EseError)) throw error;
      return NOTHING;
    }
  }

  #placeOf(number: number): number {
    let low = 0;
    let high = this.#count - 1;
    while (low <= high) {
      const middle = (low + high) >>> 1;
      const found = this.#ids[middle] as number;
      if (found === number) return middle;
      if (found < number) low = middle + 1;
      else high = middle - 1;
    }
    return NOTHING;
  }

  /** Long values that were seen. */
  get size(): number {
    return this.#count;
  }

  /** Long values that were written. */
  get written(): number {
    return this.#written;
  }

  /** Long values that are whole, though no record refers to them. */
  get orphans(): number {
    return this.#orphans;
  }

  /** Roots whose number of references was another one. */
  get fixedCounts(): number {
    return this.#fixedCounts;
  }

  #written = 0;
  #orphans = 0;
  #fixedCounts = 0;

  /** Whether any record refers to any long value. */
  get isReferredTo(): boolean {
    return this.#references.some((references) => references > 0);
  }

  /**
   * Begins writing: the returned object takes the same nodes again, in the same order.
   *
   * @param keepsOrphans long values without a reference are written too
   */
  createWriter(writer: BulkWriter, keepsOrphans: boolean): LongValueWriter {
    let place = NOTHING;
    let isWritten = false;
    let due = 0;
    let size = 0;
    const zeros = new Uint8Array(this.#chunkSize);
    const lid: Lid = { high: 0, low: 0 };
    const own: Lid = { high: 0, low: 0 };

    const add = (key: Uint8Array, data: Uint8Array, start: number, end: number): void =>
      writer.add(key, key.length, data, start, end);
    const fillUpTo = (end: number): void => {
      while (due < Math.min(end, size)) {
        const length = longValueChunkLength(size, due, this.#chunkSize);
        add(longValueKey(own, due), zeros, 0, length);
        due += this.#chunkSize;
      }
    };
    const finish = (): void => {
      if (isWritten && this.#fates[place] === FATE.filled) fillUpTo(size);
      isWritten = false;
    };
    const begin = (number: number, root: SalvagedNode | undefined): void => {
      finish();
      place = this.#placeOf(number);
      const fate = this.#fates[place] ?? FATE.gone;
      const references = this.#references[place] ?? 0;
      if (place < 0 || fate === FATE.gone) return;
      if (references === 0) this.#orphans++;
      if (references === 0 && !keepsOrphans) return;
      isWritten = true;
      this.#written++;
      own.high = lid.high;
      own.low = lid.low;
      due = 0;
      const stored =
        root === undefined
          ? undefined
          : decodeLongValueRoot(root.bytes, root.dataOffset, root.dataOffset + root.dataLength);
      if (stored?.referenceCount !== references) this.#fixedCounts++;
      const { size: plain, encrypted } = this.#mended.get(place) ?? stored ?? { size: 0, encrypted: false };
      size = plain;
      const data = encodeLongValueRoot({ referenceCount: references, size, encrypted });
      add(longValueKey(lid), data, 0, data.length);
    };

    return {
      add: (node) => {
        const { key, keyLength, bytes, dataOffset, dataLength } = node;
        const offset = readLongValueKey(key, keyLength, lid);
        const number = numberOfLid(lid);
        if (offset === LONG_VALUE_ROOT || place < 0 || this.#ids[place] !== number) {
          begin(number, offset === LONG_VALUE_ROOT ? node : undefined);
        }
        if (offset === LONG_VALUE_ROOT || !isWritten) return;
        if (offset % this.#chunkSize !== 0 || offset < due || offset >= size) return;
        if (this.#fates[place] === FATE.filled) {
          const expected = longValueChunkLength(size, offset, this.#chunkSize);
          if (this.#plainLength(bytes, dataOffset, dataLength, false, expected) !== expected) return;
          fillUpTo(offset);
        }
        add(longValueKey(lid, offset), bytes, dataOffset, dataOffset + dataLength);
        due = offset + this.#chunkSize;
      },
      finish,
    };
  }
}

/** Writes the nodes of long values. */
export interface LongValueWriter {
  add(node: SalvagedNode): void;
  finish(): void;
}

/** Whether bytes have the form of a packed chunk; text and numbers begin with the same bytes at times. */
function canBePacked(bytes: Uint8Array, start: number, end: number, chunkSize: number): boolean {
  const first = bytes[start] ?? 0;
  // Only the oldest schemes use these bits (chapter 3.3).
  if (first >= FIRST_WITHOUT_BITS && (first & SCHEME_BITS) !== 0) return false;
  if (compressionSupport(first) === 'scrubbed') {
    return bytes.subarray(start + 1, end).every((byte) => byte === bytes[start + 1]);
  }
  try {
    const size = decompressedSize(bytes, start, end);
    return size > end - start && size <= chunkSize;
  } catch (error) {
    if (!(error instanceof EseError)) throw error;
    return false;
  }
}

const SCHEME_BITS = 0x7;
/** First byte of the first scheme behind the 7-bit ones. */
const FIRST_WITHOUT_BITS = 0x18;
