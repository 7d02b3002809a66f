/**
 * Keys: how the values of a record become the bytes that order an index (format specification,
 * chapter 3.4).
 *
 * A key is a row of segments. Each begins with a byte that says what follows:
 *
 * | first byte | segment |
 * |---|---|
 * | 00 | NULL (C0 where NULL sorts high) |
 * | 40 | text or binary of no bytes |
 * | 7F | a value, in a form that sorts as bytes |
 *
 * A descending segment is complemented as a whole. Keys compare as bytes, the shorter one first.
 */
import { createByteWriter } from './byte-writer.js';
import { INDEX_FLAG, type IndexSegment } from './catalog-row.js';
import {
  CODE_PAGE_UNICODE,
  COLTYP,
  COLUMN_FLAG,
  coltypName,
  coltypSize,
  isFixedColumn,
  isLongValueType,
  isTaggedColumn,
  isTextType,
} from './column.js';
import { EseError } from './ese-error.js';
import { GUID_TEXT_ORDER } from './guid.js';
import {
  createValueView,
  locateValue,
  type RecordLayout,
  type RecordValues,
  type ValueView,
  valueCount,
} from './record.js';
import type { IndexDefinition } from './table-definition.js';
import { effectiveCodePage } from './text.js';
import { type ReadLongValue, resolveValue } from './value-reader.js';

const PREFIX_NULL = 0x00;
const PREFIX_EMPTY = 0x40;
const PREFIX_DATA = 0x7f;
const PREFIX_NULL_HIGH = 0xc0;

/** Limit of a key whose index row names none (chapter 3.4.1). */
export const KEY_MOST_DEFAULT = 255;
/** Largest limit of any page size. */
const KEY_MOST = 2000;
const INDEX_SEGMENTS_MOST = 16;

/** LCMapFlags of the one Unicode mode that needs no weight tables (chapter 3.4.5, 5). */
const LCMAP_UPPERCASE = 0x00000200;

const BINARY_CHUNK = 8;
const BINARY_CHUNK_NORMALISED = BINARY_CHUNK + 1;

/** Stored position of each byte of a GUID segment, and the same with the .NET flag (chapter 3.4.2). */
const GUID_KEY_ORDER = Uint8Array.of(10, 11, 12, 13, 14, 15, 8, 9, 6, 7, 4, 5, 0, 1, 2, 3);

/** Keys of one record in an index of several multi-valued columns: no real record comes near it. */
const KEYS_PER_RECORD_MOST = 1 << 20;

/**
 * Gives the sort key of a Unicode text, complete, as the operating system that made the index computes it;
 * undefined where it is not known.
 */
export type SortKeySource = (bytes: Uint8Array, start: number, end: number) => Uint8Array | undefined;

export interface KeyBuilder {
  /** The index has Unicode segments in a form that only Windows' weight tables give. */
  readonly needsSortKeys: boolean;
  /**
   * Calls `emit` with each different key that a record has in the index; the bytes are reused. A record
   * may have none: NULLs and conditions can exclude it. Returns the number of keys.
   *
   * @throws EseError JET_errUnicodeTranslationFail if a Unicode text has no known sort key,
   *   JET_errKeyTruncated where the index forbids to cut keys, and what `readLongValue` throws.
   */
  build(
    values: RecordValues,
    readLongValue: ReadLongValue,
    emit: (key: Uint8Array, length: number) => void,
  ): number;
}

interface Segment {
  readonly columnIndex: number;
  readonly coltyp: number;
  readonly isUnicode: boolean;
  readonly isFixed: boolean;
  readonly isMultiValued: boolean;
  readonly isLongValue: boolean;
  readonly descending: boolean;
}

/** What one attempt to build a key came to; the order of the NULL cases is that of their tests. */
const OUTCOME = { key: 0, allNull: 1, firstNull: 2, someNull: 3, noTuple: 4 } as const;
type Outcome = (typeof OUTCOME)[keyof typeof OUTCOME];

/**
 * Prepares building the keys of one index of a table.
 *
 * @throws EseError JET_errCatalogCorrupted if the index names columns that do not exist, or its limits
 *   make no sense.
 */
export function createKeyBuilder(
  layout: RecordLayout,
  index: IndexDefinition,
  sortKeyOf: SortKeySource = () => undefined,
): KeyBuilder {
  const segments = resolveSegments(layout, index);
  const conditions = index.conditions.map((condition) => ({
    columnIndex: columnIndexOf(layout, index, condition),
    mustBeNull: condition.mustBeNull,
  }));
  const keyMost = index.keyMost ?? KEY_MOST_DEFAULT;
  if (keyMost < 1 || keyMost > KEY_MOST) throw corrupt(index, `its key limit is ${keyMost}`);
  /** A limit of one segment that is not below the key's is none. */
  const segmentLimit =
    index.varSegMac !== undefined && index.varSegMac > 0 && index.varSegMac < keyMost
      ? index.varSegMac
      : keyMost + 1;
  const { tupleLimits } = index;
  if (tupleLimits !== undefined && (tupleLimits.lengthMin < 1 || tupleLimits.increment < 1)) {
    throw corrupt(index, 'its tuple limits would never end');
  }
  const isUppercase = index.lcMapFlags === LCMAP_UPPERCASE;
  const isDotNetGuid = (index.flags & INDEX_FLAG.dotNetGuid) !== 0;
  const mayTruncate = (index.flags & INDEX_FLAG.noKeyTruncation) === 0;
  const prefixNull = (index.flags & INDEX_FLAG.sortNullsHigh) !== 0 ? PREFIX_NULL_HIGH : PREFIX_NULL;

  const key = new Uint8Array(keyMost);
  const segmentBytes = new Uint8Array(Math.max(keyMost, 17) + 1);
  const scratch = createByteWriter(KEY_MOST);
  const value = createValueView();
  const itags = new Uint32Array(segments.length).fill(1);
  let keyLength = 0;
  let isCut = false;

  /** Writes the segment of a value that is not NULL and not empty; returns its length. */
  const normalise = (segment: Segment, view: ValueView, room: number): number => {
    const { bytes, start, end } = view;
    if (isTextType(segment.coltyp)) {
      if (!segment.isUnicode) return normaliseAnsi(bytes, start, end, room);
      return isUppercase
        ? cutSortKey(uppercaseSortKey(bytes, start, end), room)
        : cutSortKey(knownSortKey(bytes, start, end), room);
    }
    const size = coltypSize(segment.coltyp);
    if (size === 0) return normaliseBinary(bytes, start, end, room, segment.isFixed);
    if (end - start !== size) {
      throw new EseError(
        'JET_errDatabaseCorrupted',
        `a ${coltypName(segment.coltyp)} value of ${end - start} bytes`,
      );
    }
    return normaliseFixed(segment.coltyp, isDotNetGuid, bytes, start, segmentBytes);
  };

  /** Text of a single-byte code page: a-z in upper case, up to the first 00, then 00. */
  const normaliseAnsi = (bytes: Uint8Array, start: number, end: number, room: number): number => {
    const most = Math.min(room, segmentLimit) - 1;
    const isWhole = most > end - start;
    const limit = isWhole ? end - start : most - 1;
    segmentBytes[0] = PREFIX_DATA;
    if (limit < 0) return 1;
    let length = 0;
    while (length < limit) {
      const byte = bytes[start + length] ?? 0;
      if (byte === 0) break;
      segmentBytes[1 + length] = byte >= 0x61 && byte <= 0x7a ? byte - 0x20 : byte;
      length++;
    }
    const next = isWhole || length < limit ? 0 : (bytes[start + length] ?? 0);
    // The byte that takes the place of the terminator is put in upper case without asking whether it is
    // a letter: the engine's slip, which is part of the format (chapter 3.4.2).
    segmentBytes[1 + length] = next === 0 ? 0 : (next - 0x20) & 0xff;
    if (next !== 0 && length + 1 !== segmentLimit - 1) isCut = true;
    return length + 2;
  };

  const knownSortKey = (bytes: Uint8Array, start: number, end: number): Uint8Array => {
    const sortKey = sortKeyOf(bytes, start, start + ((end - start) & ~1));
    if (sortKey === undefined) {
      throw new EseError(
        'JET_errUnicodeTranslationFail',
        `index ${index.name} needs the sort key of a text that only its operating system gives`,
      );
    }
    return sortKey;
  };

  const cutSortKey = (sortKey: Uint8Array, room: number): number => {
    const most = Math.min(room, segmentLimit) - 1;
    segmentBytes[0] = PREFIX_DATA;
    if (sortKey.length <= most) {
      segmentBytes.set(sortKey, 1);
      return 1 + sortKey.length;
    }
    segmentBytes.set(sortKey.subarray(0, most), 1);
    if (most !== segmentLimit - 1) isCut = true;
    return 1 + most;
  };

  const normaliseBinary = (
    bytes: Uint8Array,
    start: number,
    end: number,
    room: number,
    isFixed: boolean,
  ): number => {
    const size = end - start;
    segmentBytes[0] = PREFIX_DATA;
    const whole = 1 + (isFixed ? size : Math.ceil(size / BINARY_CHUNK) * BINARY_CHUNK_NORMALISED);
    let length = Math.min(whole, segmentLimit <= keyMost ? segmentLimit : whole);
    if (length > room) {
      length = room;
      isCut = true;
    }
    if (isFixed) {
      for (let i = 1; i < length; i++) segmentBytes[i] = bytes[start + i - 1] ?? 0;
      return length;
    }
    let from = start;
    let to = 1;
    for (; length - to >= BINARY_CHUNK_NORMALISED; to += BINARY_CHUNK_NORMALISED) {
      const count = Math.min(BINARY_CHUNK, end - from);
      for (let i = 0; i < BINARY_CHUNK; i++) segmentBytes[to + i] = i < count ? (bytes[from + i] ?? 0) : 0;
      from += count;
      const goesOn = from < end || length !== whole;
      segmentBytes[to + BINARY_CHUNK] = count === BINARY_CHUNK && goesOn ? BINARY_CHUNK_NORMALISED : count;
    }
    for (; to < length; to++, from++) segmentBytes[to] = from < end ? (bytes[from] ?? 0) : 0;
    return length;
  };

  /**
   * Builds the key of the values that `itags` names, from data of at most `dataMost` bytes a column.
   * `needsMore` is set if more of a value could have changed the key.
   */
  let needsMore = false;
  const buildOnce = (
    values: RecordValues,
    readLongValue: ReadLongValue,
    tupleOffset: number,
    dataMost: number,
  ): Outcome => {
    keyLength = 0;
    needsMore = false;
    let isAllNull = true;
    let isFirstNull = false;
    let isSomeNull = false;
    let isTruncated = false;
    for (let i = 0; i < segments.length; i++) {
      const segment = segments[i] as Segment;
      let isPresent = locateValue(layout, values, segment.columnIndex, itags[i] ?? 1, value);
      const room = keyMost - keyLength;
      if (room === 0) {
        if (!mayTruncate) throw truncated(index);
        if (!isPresent) {
          isSomeNull = true;
          if (i === 0) isFirstNull = true;
        }
        continue;
      }
      if (isPresent) {
        const offset = i === 0 ? tupleOffset : 0;
        resolveValue(value, scratch, readLongValue, offset + dataMost);
        if (!segment.isLongValue) value.end = Math.min(value.end, value.start + dataMost);
        value.start = Math.min(value.end, value.start + offset);
        value.end = Math.min(value.end, value.start + dataMost);
      }
      if (tupleLimits !== undefined && i === 0) {
        const unit = segment.isUnicode ? 2 : 1;
        if (isPresent) value.end = Math.min(value.end, value.start + unit * tupleLimits.lengthMax);
        const length = isPresent ? value.end - value.start : 0;
        if (length < unit * tupleLimits.lengthMin) return OUTCOME.noTuple;
      }
      isCut = false;
      let length = 1;
      if (!isPresent) {
        segmentBytes[0] = prefixNull;
        isSomeNull = true;
        if (i === 0) isFirstNull = true;
      } else {
        isAllNull = false;
        const size = value.end - value.start;
        isPresent = size > 0;
        if (size === 0) segmentBytes[0] = PREFIX_EMPTY;
        else length = normalise(segment, value, room);
        if (
          size === dataMost &&
          keyMost !== KEY_MOST_DEFAULT &&
          length < room &&
          length < Math.min(segmentLimit, keyMost)
        ) {
          needsMore = true;
        }
      }
      if (isTruncated) continue;
      if (length > room) {
        length = room;
        isCut = true;
      }
      if (isCut) {
        isTruncated = true;
        if (!mayTruncate) throw truncated(index);
      }
      if (segment.descending) {
        for (let at = 0; at < length; at++) segmentBytes[at] = (segmentBytes[at] ?? 0) ^ 0xff;
      }
      for (let at = 0; at < length; at++) key[keyLength + at] = segmentBytes[at] ?? 0;
      keyLength += length;
    }
    if (isAllNull) return OUTCOME.allNull;
    if (isFirstNull) return OUTCOME.firstNull;
    return isSomeNull ? OUTCOME.someNull : OUTCOME.key;
  };

  const buildOne = (values: RecordValues, readLongValue: ReadLongValue, tupleOffset: number): Outcome => {
    let outcome: Outcome;
    let dataMost = keyMost;
    do {
      outcome = buildOnce(values, readLongValue, tupleOffset, dataMost);
      dataMost *= 2;
    } while (needsMore);
    return outcome;
  };

  const isAdmitted = (outcome: Outcome): boolean => {
    switch (outcome) {
      case OUTCOME.allNull:
        return (index.flags & INDEX_FLAG.allowAllNulls) !== 0;
      case OUTCOME.firstNull:
        return (index.flags & INDEX_FLAG.allowFirstNull) !== 0;
      case OUTCOME.someNull:
        return (index.flags & INDEX_FLAG.allowSomeNulls) !== 0;
      default:
        return true;
    }
  };

  const multiValued = segments.flatMap((segment, i) => (segment.isMultiValued ? [i] : []));
  const isPlain = tupleLimits === undefined && multiValued.length === 0;

  const buildAll = (
    values: RecordValues,
    readLongValue: ReadLongValue,
    emit: (key: Uint8Array, length: number) => void,
  ): number => {
    const seen = new Set<string>();
    const firstUnit = segments[0]?.isUnicode === true ? 2 : 1;
    const increment = firstUnit * (tupleLimits?.increment ?? 1);
    const tuplesMax = tupleLimits?.tuplesMax ?? 1;
    forEachCombination(
      index,
      multiValued,
      (i) => valuesOf(layout, values, segments[i]),
      itags,
      () => {
        let offset = firstUnit * (tupleLimits?.start ?? 0);
        for (let tuple = 0; tuple < tuplesMax; tuple++, offset += increment) {
          const outcome = buildOne(values, readLongValue, offset);
          if (outcome === OUTCOME.noTuple) return true;
          if (!isAdmitted(outcome)) return false;
          const text = latin1(key, keyLength);
          if (!seen.has(text)) {
            if (seen.size >= KEYS_PER_RECORD_MOST) {
              throw new EseError('JET_errDatabaseCorrupted', `a record has too many keys in ${index.name}`);
            }
            seen.add(text);
            emit(key, keyLength);
          }
          if (outcome === OUTCOME.allNull) return false;
        }
        return true;
      },
    );
    return seen.size;
  };

  return {
    needsSortKeys: !isUppercase && segments.some((segment) => segment.isUnicode),
    build(values, readLongValue, emit) {
      for (const { columnIndex, mustBeNull } of conditions) {
        if ((valueCount(layout, values, columnIndex) === 0) !== mustBeNull) return 0;
      }
      itags.fill(1);
      if (!isPlain) return buildAll(values, readLongValue, emit);
      if (!isAdmitted(buildOne(values, readLongValue, 0))) return 0;
      emit(key, keyLength);
      return 1;
    },
  };
}

function corrupt(index: IndexDefinition, what: string): EseError {
  return new EseError('JET_errCatalogCorrupted', `index ${index.name}: ${what}`);
}

function truncated(index: IndexDefinition): EseError {
  return new EseError('JET_errKeyTruncated', `a key of index ${index.name} does not fit`);
}

function latin1(bytes: Uint8Array, length: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, length).toString('latin1');
}

function columnIndexOf(layout: RecordLayout, index: IndexDefinition, segment: IndexSegment): number {
  const { columns } = layout;
  const isIt = (id: number, derived: boolean | undefined) =>
    columns.findIndex(
      (column) =>
        column.columnId === id &&
        column.coltyp !== COLTYP.nil &&
        (derived === undefined || column.derived === derived),
    );
  // In the template table itself its columns carry the mark too.
  const exact = isIt(segment.columnId, segment.derived);
  const found = exact >= 0 ? exact : isIt(segment.columnId, undefined);
  if (found < 0) throw corrupt(index, `column ${segment.columnId} does not exist`);
  return found;
}

function resolveSegments(layout: RecordLayout, index: IndexDefinition): Segment[] {
  if (index.segments.length === 0 || index.segments.length > INDEX_SEGMENTS_MOST) {
    throw corrupt(index, `it has ${index.segments.length} segments`);
  }
  const isMultiValuedIndex = (index.flags & INDEX_FLAG.multiValued) !== 0;
  return index.segments.map((segment) => {
    const columnIndex = columnIndexOf(layout, index, segment);
    const column = layout.columns[columnIndex];
    if (column === undefined) throw corrupt(index, `column ${segment.columnId} does not exist`);
    const { coltyp, codePage, columnId, flags } = column;
    return {
      columnIndex,
      coltyp,
      isUnicode: isTextType(coltyp) && effectiveCodePage(codePage) === CODE_PAGE_UNICODE,
      isFixed: isFixedColumn(columnId),
      isMultiValued:
        isMultiValuedIndex && isTaggedColumn(columnId) && (flags & COLUMN_FLAG.multiValued) !== 0,
      isLongValue: isLongValueType(coltyp),
      descending: segment.descending,
    };
  });
}

function valuesOf(layout: RecordLayout, values: RecordValues, segment: Segment | undefined): number {
  return segment === undefined ? 1 : Math.max(1, valueCount(layout, values, segment.columnIndex));
}

/**
 * Sets `itags` to each combination of value numbers for which a record has a key, and calls `visit`,
 * which returns false to end it. Nested: first values, second values, and so on; cross product: all
 * combinations; else only the first multi-valued segment goes through its values (chapter 3.4.3).
 */
function forEachCombination(
  index: IndexDefinition,
  multiValued: readonly number[],
  countOf: (segment: number) => number,
  itags: Uint32Array,
  visit: () => boolean,
): void {
  const counts = multiValued.map(countOf);
  if ((index.flags & INDEX_FLAG.nestedTable) !== 0) {
    const most = Math.max(1, ...counts);
    for (let itag = 1; itag <= most; itag++) {
      for (const segment of multiValued) itags[segment] = itag;
      if (!visit()) return;
    }
    return;
  }
  const isCross = (index.flags & INDEX_FLAG.crossProduct) !== 0;
  const iterated = isCross ? multiValued : multiValued.slice(0, 1);
  for (;;) {
    if (!visit()) return;
    let digit = iterated.length - 1;
    for (; digit >= 0; digit--) {
      const segment = iterated[digit] ?? 0;
      const itag = (itags[segment] ?? 1) + 1;
      if (itag <= (counts[digit] ?? 1)) {
        itags[segment] = itag;
        break;
      }
      itags[segment] = 1;
    }
    if (digit < 0) return;
  }
}

/** Writes the segment of a value of fixed size into `out`; returns its length. */
function normaliseFixed(
  coltyp: number,
  isDotNetGuid: boolean,
  bytes: Uint8Array,
  start: number,
  out: Uint8Array,
): number {
  out[0] = PREFIX_DATA;
  const size = coltypSize(coltyp);
  if (coltyp === COLTYP.guid) {
    const order = isDotNetGuid ? GUID_TEXT_ORDER : GUID_KEY_ORDER;
    for (let i = 0; i < size; i++) out[1 + i] = bytes[start + (order[i] ?? 0)] ?? 0;
    return 1 + size;
  }
  for (let i = 0; i < size; i++) out[1 + i] = bytes[start + size - 1 - i] ?? 0;
  const first = out[1] ?? 0;
  switch (coltyp) {
    case COLTYP.bit:
      out[1] = first === 0 ? 0x00 : 0xff;
      break;
    case COLTYP.short:
    case COLTYP.long:
    case COLTYP.currency:
    case COLTYP.longLong:
      out[1] = first ^ 0x80;
      break;
    case COLTYP.ieeeSingle:
    case COLTYP.ieeeDouble:
    case COLTYP.dateTime:
      if (first < 0x80) out[1] = first | 0x80;
      else for (let i = 1; i <= size; i++) out[i] = (out[i] ?? 0) ^ 0xff;
      break;
    default:
  }
  return 1 + size;
}

let uppercaseUnits: Uint16Array | undefined;

/** Simple upper case of every UTF-16 unit, without regard to a locale. */
function uppercaseTable(): Uint16Array {
  if (uppercaseUnits === undefined) {
    uppercaseUnits = new Uint16Array(0x10000);
    for (let unit = 0; unit < 0x10000; unit++) {
      const upper = String.fromCharCode(unit).toUpperCase();
      uppercaseUnits[unit] = upper.length === 1 ? upper.charCodeAt(0) : unit;
    }
  }
  return uppercaseUnits;
}

/** The sort key of the upper-case mode: each unit big-endian, then 00 00. */
function uppercaseSortKey(bytes: Uint8Array, start: number, end: number): Uint8Array {
  const table = uppercaseTable();
  const units = (end - start) >> 1;
  const sortKey = new Uint8Array(2 * units + 2);
  for (let i = 0; i < units; i++) {
    const at = start + 2 * i;
    const unit = table[(bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8)] ?? 0;
    sortKey[2 * i] = unit >> 8;
    sortKey[2 * i + 1] = unit & 0xff;
  }
  return sortKey;
}

/** One segment of a stored key. */
export interface KeySegment {
  readonly columnIndex: number;
  /** Where the segment lies in the key, its first byte included. */
  readonly start: number;
  readonly end: number;
  readonly kind: 'null' | 'empty' | 'value';
  /** False for the segment at which the key was cut off. */
  readonly whole: boolean;
  /** The stored bytes of the value, where the segment gives them back: not for text. */
  readonly value?: Uint8Array;
}

/**
 * Takes a stored key apart. Unicode segments too are delimited, though not decoded (chapter 3.4.5). A key
 * that was cut has fewer segments than its index.
 *
 * @throws EseError JET_errDatabaseCorrupted if the bytes are no key of the index, JET_errCatalogCorrupted
 *   as {@link createKeyBuilder}.
 */
export function splitKey(layout: RecordLayout, index: IndexDefinition, key: Uint8Array): KeySegment[] {
  const isDotNetGuid = (index.flags & INDEX_FLAG.dotNetGuid) !== 0;
  const isUppercase = index.lcMapFlags === LCMAP_UPPERCASE;
  const list: KeySegment[] = [];
  let start = 0;
  for (const segment of resolveSegments(layout, index)) {
    if (start >= key.length) break;
    const { columnIndex, coltyp } = segment;
    const flip = segment.descending ? 0xff : 0;
    const at = (offset: number): number => (key[offset] ?? 0) ^ flip;
    const prefix = at(start);
    if (prefix !== PREFIX_DATA) {
      if (prefix !== PREFIX_NULL && prefix !== PREFIX_NULL_HIGH && prefix !== PREFIX_EMPTY) {
        throw new EseError('JET_errDatabaseCorrupted', `a key segment begins with ${prefix.toString(16)}`);
      }
      const kind = prefix === PREFIX_EMPTY ? 'empty' : 'null';
      list.push({ columnIndex, start, end: start + 1, kind, whole: true });
      start++;
      continue;
    }
    const body = start + 1;
    let end = body;
    let whole = true;
    let value: Uint8Array | undefined;
    const size = coltypSize(coltyp);
    if (isTextType(coltyp)) {
      const step = segment.isUnicode && isUppercase ? 2 : 1;
      while (end < key.length && (at(end) !== 0 || (step === 2 && at(end + 1) !== 0))) end += step;
      whole = end + step <= key.length;
      end = Math.min(key.length, end + step);
    } else if (size > 0 || segment.isFixed) {
      const length = size || (layout.columns[columnIndex]?.maxLength ?? 0);
      end = Math.min(key.length, body + length);
      whole = end - body === length;
      if (whole) value = denormalise(coltyp, isDotNetGuid, key, body, length, flip);
    } else {
      const plain: number[] = [];
      let count = BINARY_CHUNK_NORMALISED;
      while (count === BINARY_CHUNK_NORMALISED && key.length - end >= BINARY_CHUNK_NORMALISED) {
        count = at(end + BINARY_CHUNK);
        if (count === 0 || count > BINARY_CHUNK_NORMALISED) {
          throw new EseError('JET_errDatabaseCorrupted', `a key has a chunk of ${count} bytes`);
        }
        for (let i = 0; i < Math.min(count, BINARY_CHUNK); i++) plain.push(at(end + i));
        end += BINARY_CHUNK_NORMALISED;
      }
      whole = count !== BINARY_CHUNK_NORMALISED;
      if (whole) value = Uint8Array.from(plain);
      else end = key.length;
    }
    list.push({ columnIndex, start, end, kind: 'value', whole, ...(value === undefined ? {} : { value }) });
    start = end;
  }
  return list;
}

function denormalise(
  coltyp: number,
  isDotNetGuid: boolean,
  key: Uint8Array,
  body: number,
  length: number,
  flip: number,
): Uint8Array {
  const bytes = new Uint8Array(length);
  const at = (i: number): number => (key[body + i] ?? 0) ^ flip;
  if (coltypSize(coltyp) === 0) {
    for (let i = 0; i < length; i++) bytes[i] = at(i);
    return bytes;
  }
  if (coltyp === COLTYP.guid) {
    const order = isDotNetGuid ? GUID_TEXT_ORDER : GUID_KEY_ORDER;
    for (let i = 0; i < length; i++) bytes[order[i] ?? 0] = at(i);
    return bytes;
  }
  for (let i = 0; i < length; i++) bytes[length - 1 - i] = at(i);
  const last = length - 1;
  const first = bytes[last] ?? 0;
  switch (coltyp) {
    case COLTYP.short:
    case COLTYP.long:
    case COLTYP.currency:
    case COLTYP.longLong:
      bytes[last] = first ^ 0x80;
      break;
    case COLTYP.ieeeSingle:
    case COLTYP.ieeeDouble:
    case COLTYP.dateTime:
      if (first >= 0x80) bytes[last] = first & 0x7f;
      else for (let i = 0; i < length; i++) bytes[i] = (bytes[i] ?? 0) ^ 0xff;
      break;
    default:
  }
  return bytes;
}

/** Negative, 0 or positive as key `a` sorts before, with or behind `b`. */
export function compareKeys(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const difference = (a[i] ?? 0) - (b[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}
