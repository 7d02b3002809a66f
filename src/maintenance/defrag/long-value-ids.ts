import { EseError } from '../../format/ese-error.js';
import { formatLid, type Lid, readLid } from '../../format/long-value.js';

const INITIAL = 1024;
/** First 64-bit id (chapter 2.4.2). */
const WIDE_HIGH = 0x80000000;
const WIDE_LOW_FIRST = 0x80000001;
const TWO_32 = 2 ** 32;

/**
 * The long values that the records of a table refer to: how often each, and which id it gets. New ids begin
 * anew and keep the order and the width of the old ones, so that neither keys nor records change their length
 * (format specification, chapter 7.3.1, step 4).
 *
 * Ids are kept as numbers: 32-bit ones as they are, 64-bit ones by their distance from the first, above 2³².
 */
export class LongValueIds {
  readonly #keepsIds: boolean;
  readonly #lid: Lid = { high: 0, low: 0 };
  /** Every reference; once they are sealed each id once, ascending. */
  #ids = new Float64Array(INITIAL);
  #used = 0;
  #counts = new Uint32Array(0);
  /** How many of the new ids have 32 bits; they come first. */
  #narrow = 0;
  /** By place: that of the long value which takes its place. Absent while there is none. */
  #targets: Uint32Array | undefined;
  /** By place: how many places before it are kept. */
  #ranks: Uint32Array | undefined;
  #merged = 0;

  /** @param keepsIds ids stay as they are */
  constructor(keepsIds: boolean) {
    this.#keepsIds = keepsIds;
  }

  /** How many different long values are referred to, those apart that another one replaces. */
  get size(): number {
    return this.#counts.length - this.#merged;
  }

  /** How many long values another one replaces. */
  get merged(): number {
    return this.#merged;
  }

  /** Notes a reference, as it is stored in a record. @throws EseError JET_errLVCorrupted if it is none */
  count(bytes: Uint8Array, at: number, length: number): void {
    if (this.#used === this.#ids.length) {
      const larger = new Float64Array(2 * this.#used);
      larger.set(this.#ids);
      this.#ids = larger;
    }
    readLid(bytes, at, at + length, this.#lid);
    this.#ids[this.#used++] = numberOfLid(this.#lid);
  }

  /** All references are counted: from now on ids can be looked up. */
  seal(): void {
    const sorted = this.#ids.subarray(0, this.#used).sort();
    const counts = new Uint32Array(sorted.length);
    let unique = 0;
    for (const id of sorted) {
      if (unique === 0 || id !== sorted[unique - 1]) {
        sorted[unique++] = id;
        if (id < TWO_32) this.#narrow = unique;
      }
      counts[unique - 1] = (counts[unique - 1] as number) + 1;
    }
    this.#ids = sorted.slice(0, unique);
    this.#counts = counts.slice(0, unique);
  }

  /** References to a long value; 0 = none. */
  references(lid: Readonly<Lid>): number {
    return this.#counts[this.#placeOf(lid)] ?? 0;
  }

  /** Whether another long value replaces this one. */
  isReplaced(lid: Readonly<Lid>): boolean {
    const place = this.#placeOf(lid);
    return place >= 0 && this.#targets !== undefined && this.#targets[place] !== place;
  }

  /**
   * From now on the references to `lid` are to `by`, which is referred to too and is not replaced itself. Both ids must be
   * of one width. {@link endReplacing} must follow.
   */
  replace(lid: Readonly<Lid>, by: Readonly<Lid>): void {
    this.#targets ??= Uint32Array.from(this.#counts, (_, place) => place);
    const [from, to] = [this.#placeOf(lid), this.#placeOf(by)];
    this.#targets[from] = to;
    this.#counts[to] = (this.#counts[to] as number) + (this.#counts[from] as number);
    this.#counts[from] = 0;
    this.#merged++;
  }

  /** All replacements are known: ids can be looked up again. */
  endReplacing(): void {
    const targets = this.#targets;
    if (targets === undefined) return;
    const ranks = new Uint32Array(targets.length);
    let kept = 0;
    let narrow = 0;
    for (let place = 0; place < targets.length; place++) {
      ranks[place] = kept;
      if (targets[place] !== place) continue;
      kept++;
      if (place < this.#narrow) narrow++;
    }
    this.#ranks = ranks;
    this.#narrow = narrow;
  }

  /** Changes the id of a long value that is referred to into its new one. */
  renumber(lid: Lid): void {
    const own = this.#placeOf(lid);
    if (own < 0) throw new EseError('JET_errLVCorrupted', `long value ${formatLid(lid)} was not counted`);
    const place = this.#targets?.[own] ?? own;
    if (this.#keepsIds) {
      if (place !== own) putNumber(lid, this.#ids[place] as number);
      return;
    }
    const rank = this.#ranks?.[place] ?? place;
    if (lid.high === 0) {
      lid.low = rank + 1;
    } else {
      const low = WIDE_LOW_FIRST + rank - this.#narrow;
      lid.high = WIDE_HIGH + Math.floor(low / TWO_32);
      lid.low = low >>> 0;
    }
  }

  /** Puts the new id in the place of a reference that is stored in a record. */
  translate(bytes: Uint8Array, at: number, length: number): void {
    const lid = this.#lid;
    readLid(bytes, at, at + length, lid);
    this.renumber(lid);
    putLittle(bytes, at, lid.low);
    if (length === 8) putLittle(bytes, at + 4, lid.high);
  }

  /** Place of an id among those that are referred to; -1 = it is not there. */
  #placeOf(lid: Readonly<Lid>): number {
    const wanted = numberOfLid(lid);
    const ids = this.#ids;
    let low = 0;
    let high = ids.length - 1;
    while (low <= high) {
      const middle = (low + high) >>> 1;
      const found = ids[middle] as number;
      if (found === wanted) return middle;
      if (found < wanted) low = middle + 1;
      else high = middle - 1;
    }
    return -1;
  }
}

/**
 * The id as a number: a 32-bit one as it is, a 64-bit one by its distance from the first, above 2³².
 *
 * @throws EseError JET_errLVCorrupted for an impossible one
 */
export function numberOfLid(lid: Readonly<Lid>): number {
  if (lid.high === 0) return lid.low;
  const distance = (lid.high - WIDE_HIGH) * TWO_32 + lid.low;
  if (!Number.isSafeInteger(TWO_32 + distance)) {
    throw new EseError('JET_errLVCorrupted', `long value ${formatLid(lid)} has an impossible id`);
  }
  return TWO_32 + distance;
}

/** The id that {@link numberOfLid} made a number of. */
function putNumber(lid: Lid, number: number): void {
  const distance = number - TWO_32;
  lid.high = distance < 0 ? 0 : WIDE_HIGH + Math.floor(distance / TWO_32);
  lid.low = (distance < 0 ? number : distance) >>> 0;
}

function putLittle(bytes: Uint8Array, at: number, value: number): void {
  for (let i = 0; i < 4; i++) bytes[at + i] = value >>> (8 * i);
}
