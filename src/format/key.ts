/**
 * Keys: how the values of a record become the bytes that order an index (format specification, chapters 3.4.2
 * and 3.4.3). A key is the segments of its columns in a row (key-segment.ts); a descending segment is complemented
 * as a whole. Keys compare as bytes, the shorter one first.
 */
import { createByteWriter } from './byte-writer.js';
import { INDEX_FLAG } from './catalog-row.js';
import { EseError } from './ese-error.js';
import {
  columnIndexOf,
  corruptIndex,
  createSegmentWriter,
  LCMAP_UPPERCASE,
  PREFIX_EMPTY,
  PREFIX_NULL,
  PREFIX_NULL_HIGH,
  resolveSegments,
  type Segment,
  type SortKeySource,
} from './key-segment.js';
import { createValueView, locateValue, type RecordLayout, type RecordValues, valueCount } from './record.js';
import type { IndexDefinition } from './table-definition.js';
import { type ReadLongValue, resolveValue } from './value-reader.js';

/** Limit of a key whose index row names none (chapter 3.4.1). */
export const KEY_MOST_DEFAULT = 255;
/** Largest limit of any page size. */
const KEY_MOST = 2000;

/** Keys of one record in an index of several multi-valued columns: no real record comes near it. */
const KEYS_PER_RECORD_MOST = 1 << 20;

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
  /** No record has more than one key. */
  readonly isSingle: boolean;
  /** The first key of a record, as a view that the next key overwrites; undefined if it has none. Throws as `build`. */
  first(values: RecordValues, readLongValue: ReadLongValue): Uint8Array | undefined;
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
  if (keyMost < 1 || keyMost > KEY_MOST) throw corruptIndex(index, `its key limit is ${keyMost}`);
  const segmentMost = Math.min(keyMost, index.varSegMac || keyMost);
  const { tupleLimits } = index;
  if (tupleLimits !== undefined && (tupleLimits.lengthMin < 1 || tupleLimits.increment < 1)) {
    throw corruptIndex(index, 'its tuple limits would never end');
  }
  const mayTruncate = (index.flags & INDEX_FLAG.noKeyTruncation) === 0;
  const prefixNull = (index.flags & INDEX_FLAG.sortNullsHigh) !== 0 ? PREFIX_NULL_HIGH : PREFIX_NULL;

  const key = new Uint8Array(keyMost);
  const writer = createSegmentWriter(index, keyMost, segmentMost, sortKeyOf);
  const segmentBytes = writer.bytes;
  const scratch = createByteWriter(KEY_MOST);
  const value = createValueView();
  const itags = new Uint32Array(segments.length).fill(1);
  let keyLength = 0;

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
      writer.isCut = false;
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
        else length = writer.write(segment, value, room);
        if (size === dataMost && keyMost !== KEY_MOST_DEFAULT && length < room && length < segmentMost) {
          needsMore = true;
        }
      }
      if (isTruncated) continue;
      if (length > room) {
        length = room;
        writer.isCut = true;
      }
      if (writer.isCut) {
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

  let view = key;
  /** Whether a record has the one key that it may have. */
  const buildSingle = (values: RecordValues, readLongValue: ReadLongValue): boolean => {
    for (const { columnIndex, mustBeNull } of conditions) {
      if ((valueCount(layout, values, columnIndex) === 0) !== mustBeNull) return false;
    }
    return isAdmitted(buildOne(values, readLongValue, 0));
  };

  return {
    needsSortKeys: index.lcMapFlags !== LCMAP_UPPERCASE && segments.some((segment) => segment.isUnicode),
    isSingle: isPlain,
    first(values, readLongValue) {
      if (!isPlain) {
        let first: Uint8Array | undefined;
        this.build(values, readLongValue, (one, length) => {
          first ??= one.slice(0, length);
        });
        return first;
      }
      if (!buildSingle(values, readLongValue)) return undefined;
      if (view.length !== keyLength) view = key.subarray(0, keyLength);
      return view;
    },
    build(values, readLongValue, emit) {
      if (isPlain) {
        if (!buildSingle(values, readLongValue)) return 0;
        emit(key, keyLength);
        return 1;
      }
      for (const { columnIndex, mustBeNull } of conditions) {
        if ((valueCount(layout, values, columnIndex) === 0) !== mustBeNull) return 0;
      }
      itags.fill(1);
      return buildAll(values, readLongValue, emit);
    },
  };
}

function truncated(index: IndexDefinition): EseError {
  return new EseError('JET_errKeyTruncated', `a key of index ${index.name} does not fit`);
}

function latin1(bytes: Uint8Array, length: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, length).toString('latin1');
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

/** Negative, 0 or positive as key `a` sorts before, with or behind `b`. */
export function compareKeys(a: Uint8Array, b: Uint8Array): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const difference = (a[i] ?? 0) - (b[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}
