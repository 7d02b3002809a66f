import { FID_FIXED_MOST, FID_VARIABLE_LEAST } from '../../format/column.js';
import { EseError } from '../../format/ese-error.js';
import { TAGGED_HEADER } from '../../format/record.js';

/**
 * Where the areas of a record lie, and which of its values are kept apart from it: as much of chapter 3.2 as
 * copying needs, without knowing the table's columns and without allocating anything.
 */
export interface RecordAreas {
  fidFixedLast: number;
  /** End of the fixed values, where the bitmap of NULLs begins. */
  bitmap: number;
  fidVarLast: number;
  /** Offsets of the variable values. */
  variable: number;
  /** Offsets of the tagged values; the end of the record when there is none. */
  tagged: number;
  taggedCount: number;
}

export function createRecordAreas(): RecordAreas {
  return { fidFixedLast: 0, bitmap: 0, fidVarLast: 0, variable: 0, tagged: 0, taggedCount: 0 };
}

/** Offsets of tagged values, and the flags beside them, by page size (chapter 3.2.3). */
export interface TaggedFormat {
  readonly isLargePage: boolean;
  readonly offsetMask: number;
}

const SMALL_HAS_HEADER = 0x4000;
export const TAGFLD_BYTES = 4;
const RECORD_HEADER_BYTES = 4;
const VARIABLE_OFFSET_MASK = 0x7fff;
const NO_VARIABLE_COLUMN = FID_VARIABLE_LEAST - 1;
const MULTI_VALUE_SEPARATED = 0x8000;
const MULTI_VALUE_OFFSET_MASK = 0x7fff;

export function taggedFormat(isLargePage: boolean): TaggedFormat {
  return { isLargePage, offsetMask: isLargePage ? 0x7fff : 0x1fff };
}

function corrupt(what: string): EseError {
  return new EseError('JET_errDatabaseCorrupted', `record: ${what}`);
}

function u16(bytes: Uint8Array, at: number): number {
  return (bytes[at] as number) | ((bytes[at + 1] as number) << 8);
}

/**
 * Finds the areas of the record `bytes[start..end)`.
 *
 * @throws EseError JET_errDatabaseCorrupted if they do not fit into each other
 */
export function locateAreas(
  bytes: Uint8Array,
  start: number,
  end: number,
  { offsetMask }: TaggedFormat,
  into: RecordAreas,
): void {
  const length = end - start;
  if (length < RECORD_HEADER_BYTES) throw corrupt(`${length} bytes are too few`);
  const fidFixedLast = bytes[start] as number;
  const fidVarLast = bytes[start + 1] as number;
  const endFixed = u16(bytes, start + 2);
  const bitmapBytes = (fidFixedLast + 7) >> 3;
  if (
    fidFixedLast > FID_FIXED_MOST ||
    fidVarLast < NO_VARIABLE_COLUMN ||
    endFixed > length ||
    endFixed < RECORD_HEADER_BYTES + bitmapBytes
  ) {
    throw corrupt('its fixed columns do not fit');
  }
  const variables = fidVarLast - NO_VARIABLE_COLUMN;
  into.fidFixedLast = fidFixedLast;
  into.bitmap = start + endFixed - bitmapBytes;
  into.fidVarLast = fidVarLast;
  into.variable = start + endFixed;
  let tagged = into.variable + 2 * variables;
  if (tagged > end) throw corrupt('its variable columns do not fit');
  if (variables > 0) tagged += u16(bytes, tagged - 2) & VARIABLE_OFFSET_MASK;
  if (tagged > end) throw corrupt('its variable columns do not fit');
  into.tagged = tagged;
  into.taggedCount = 0;
  if (tagged === end) return;
  if (end - tagged < TAGFLD_BYTES) throw corrupt('its tagged columns do not fit');
  const arrayBytes = u16(bytes, tagged + 2) & offsetMask;
  if (arrayBytes === 0 || arrayBytes % TAGFLD_BYTES !== 0 || arrayBytes > end - tagged) {
    throw corrupt('its tagged columns do not fit');
  }
  into.taggedCount = arrayBytes / TAGFLD_BYTES;
}

/** Where the data of tagged entry `i` begin, header byte included; of the one behind the last: the end. */
export function taggedStart(
  bytes: Uint8Array,
  { tagged, taggedCount }: RecordAreas,
  { offsetMask }: TaggedFormat,
  end: number,
  i: number,
): number {
  return i === taggedCount ? end : tagged + (u16(bytes, tagged + TAGFLD_BYTES * i + 2) & offsetMask);
}

/** Told where the id of a long value lies, and how many bytes it has. */
export type VisitLid = (at: number, length: number) => void;

/**
 * Calls `visit` for each value of the record that is kept apart from it. The areas must be those of
 * `bytes[start..end)`.
 *
 * @throws EseError JET_errDatabaseCorrupted if the offsets of the tagged values are impossible
 */
export function visitLids(
  bytes: Uint8Array,
  end: number,
  areas: RecordAreas,
  format: TaggedFormat,
  visit: VisitLid,
): void {
  const { tagged, taggedCount } = areas;
  let from = taggedStart(bytes, areas, format, end, 0);
  for (let i = 0; i < taggedCount; i++) {
    const to = taggedStart(bytes, areas, format, end, i + 1);
    if (to < from || to > end) throw corrupt('a tagged column lies outside of it');
    const hasHeader =
      format.isLargePage || (u16(bytes, tagged + TAGFLD_BYTES * i + 2) & SMALL_HAS_HEADER) !== 0;
    if (hasHeader && to > from) {
      const header = bytes[from] as number;
      if ((header & TAGGED_HEADER.longValue) !== 0 && (header & TAGGED_HEADER.null) === 0) {
        if ((header & TAGGED_HEADER.multiValues) === 0) {
          if ((header & TAGGED_HEADER.separated) !== 0) visit(from + 1, to - from - 1);
        } else if ((header & TAGGED_HEADER.twoValues) === 0) {
          visitMultiValues(bytes, from + 1, to, visit);
        }
      }
    }
    from = to;
  }
}

function visitMultiValues(bytes: Uint8Array, start: number, end: number, visit: VisitLid): void {
  const length = end - start;
  const arrayBytes = length < 4 ? 0 : u16(bytes, start) & MULTI_VALUE_OFFSET_MASK;
  if (arrayBytes < 4 || arrayBytes % 2 !== 0 || arrayBytes > length) {
    throw corrupt('the values of a multi-value do not fit');
  }
  for (let at = start; at < start + arrayBytes; at += 2) {
    const word = u16(bytes, at);
    if ((word & MULTI_VALUE_SEPARATED) === 0) continue;
    const from = start + (word & MULTI_VALUE_OFFSET_MASK);
    const next = at + 2;
    const to = next < start + arrayBytes ? start + (u16(bytes, next) & MULTI_VALUE_OFFSET_MASK) : end;
    if (from < start + arrayBytes || to < from || to > end) {
      throw corrupt('a value of a multi-value lies outside of its column');
    }
    visit(from, to - from);
  }
}
