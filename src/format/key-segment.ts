/**
 * Segments of keys: one column of an index, and the bytes that its values have in a key (format
 * specification, chapter 3.4.2).
 *
 * | first byte | segment |
 * |---|---|
 * | 00 | NULL (C0 where NULL sorts high) |
 * | 40 | text or binary of no bytes |
 * | 7F | a value, in a form that sorts as bytes |
 */

import { checkValueSize } from './canonical-value.js';
import { INDEX_FLAG, type IndexSegment } from './catalog-row.js';
import {
  CODE_PAGE_UNICODE,
  COLTYP,
  COLUMN_FLAG,
  coltypSize,
  isFixedColumn,
  isLongValueType,
  isTaggedColumn,
  isTextType,
} from './column.js';
import { EseError } from './ese-error.js';
import { GUID_TEXT_ORDER } from './guid.js';
import type { RecordLayout, ValueView } from './record.js';
import type { IndexDefinition } from './table-definition.js';
import { effectiveCodePage } from './text.js';

export const PREFIX_NULL = 0x00;
export const PREFIX_EMPTY = 0x40;
export const PREFIX_DATA = 0x7f;
export const PREFIX_NULL_HIGH = 0xc0;

const INDEX_SEGMENTS_MOST = 16;

/** LCMapFlags of the one Unicode mode that needs no weight tables (chapter 3.4.5, 5). */
export const LCMAP_UPPERCASE = 0x00000200;

/** Bytes of the longest segment of a type of fixed size: a GUID. */
const FIXED_SEGMENT_MOST = 17;

export const BINARY_CHUNK = 8;
export const BINARY_CHUNK_NORMALISED = BINARY_CHUNK + 1;

/** Stored position of each byte of a GUID segment, and the same with the .NET flag (chapter 3.4.2). */
const GUID_KEY_ORDER = Uint8Array.of(10, 11, 12, 13, 14, 15, 8, 9, 6, 7, 4, 5, 0, 1, 2, 3);

/** One column of an index. */
export interface Segment {
  readonly columnIndex: number;
  readonly coltyp: number;
  readonly isUnicode: boolean;
  readonly isFixed: boolean;
  readonly isMultiValued: boolean;
  readonly isLongValue: boolean;
  readonly descending: boolean;
}

/**
 * Gives the sort key of a Unicode text, complete, as the operating system that made the index computes it;
 * undefined where it is not known.
 */
export type SortKeySource = (bytes: Uint8Array, start: number, end: number) => Uint8Array | undefined;

/** What is wrong with the definition of an index. */
export function corruptIndex(index: IndexDefinition, what: string): EseError {
  return new EseError('JET_errCatalogCorrupted', `index ${index.name}: ${what}`);
}

/** Where a column of an index stands in its table. Throws JET_errCatalogCorrupted if it does not exist. */
export function columnIndexOf(layout: RecordLayout, index: IndexDefinition, segment: IndexSegment): number {
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
  if (found < 0) throw corruptIndex(index, `column ${segment.columnId} does not exist`);
  return found;
}

/** The columns of an index. Throws JET_errCatalogCorrupted if one does not exist. */
export function resolveSegments(layout: RecordLayout, index: IndexDefinition): Segment[] {
  if (index.segments.length === 0 || index.segments.length > INDEX_SEGMENTS_MOST) {
    throw corruptIndex(index, `it has ${index.segments.length} segments`);
  }
  const isMultiValuedIndex = (index.flags & INDEX_FLAG.multiValued) !== 0;
  return index.segments.map((segment) => {
    const columnIndex = columnIndexOf(layout, index, segment);
    const column = layout.columns[columnIndex];
    if (column === undefined) throw corruptIndex(index, `column ${segment.columnId} does not exist`);
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

/** Writes segments into a buffer of its own, for one index. */
export interface SegmentWriter {
  /** The segment written last. */
  readonly bytes: Uint8Array;
  /** The segment written last did not fit the room of the key. */
  isCut: boolean;
  /**
   * Writes the segment of a value that is neither NULL nor empty, and returns its length. Text and binary are
   * cut to `room` bytes; a value of fixed size is written whole.
   *
   * @throws EseError JET_errUnicodeTranslationFail if a Unicode text has no known sort key,
   *   JET_errDatabaseCorrupted if the value has not the size of its type.
   */
  write(segment: Segment, value: ValueView, room: number): number;
}

/**
 * A writer for the segments of an index whose keys have at most `keyMost` bytes, and whose segments of text and
 * binary have at most `segmentMost`; a limit that is not below that of the key is none.
 */
export function createSegmentWriter(
  index: IndexDefinition,
  keyMost: number,
  segmentMost: number,
  sortKeyOf: SortKeySource,
): SegmentWriter {
  const segmentLimit = segmentMost > 0 && segmentMost < keyMost ? segmentMost : keyMost + 1;
  const isUppercase = index.lcMapFlags === LCMAP_UPPERCASE;
  const order = guidKeyOrder(index);
  const segmentBytes = new Uint8Array(Math.max(keyMost, FIXED_SEGMENT_MOST) + 1);

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
    if (next !== 0 && length + 1 !== segmentLimit - 1) writer.isCut = true;
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
    if (most !== segmentLimit - 1) writer.isCut = true;
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
      writer.isCut = true;
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
      segmentBytes[to + BINARY_CHUNK] = from < end ? BINARY_CHUNK_NORMALISED : count;
    }
    for (; to < length; to++, from++) segmentBytes[to] = from < end ? (bytes[from] ?? 0) : 0;
    return length;
  };

  const writer: SegmentWriter = {
    bytes: segmentBytes,
    isCut: false,
    write(segment, view, room) {
      writer.isCut = false;
      const { bytes, start, end } = view;
      if (isTextType(segment.coltyp)) {
        if (!segment.isUnicode) return normaliseAnsi(bytes, start, end, room);
        return isUppercase
          ? cutSortKey(uppercaseSortKey(bytes, start, end), room)
          : cutSortKey(knownSortKey(bytes, start, end), room);
      }
      const size = coltypSize(segment.coltyp);
      if (size === 0) return normaliseBinary(bytes, start, end, room, segment.isFixed);
      checkValueSize(segment.coltyp, end - start);
      return normaliseFixed(segment.coltyp, order, bytes, start, segmentBytes);
    },
  };
  return writer;
}

/** In which order the stored bytes of a GUID stand in the keys of an index. */
export function guidKeyOrder(index: IndexDefinition): Uint8Array {
  return (index.flags & INDEX_FLAG.dotNetGuid) !== 0 ? GUID_TEXT_ORDER : GUID_KEY_ORDER;
}

/** Writes the segment of a value of fixed size into `out`; returns its length. */
function normaliseFixed(
  coltyp: number,
  guidOrder: Uint8Array,
  bytes: Uint8Array,
  start: number,
  out: Uint8Array,
): number {
  out[0] = PREFIX_DATA;
  const size = coltypSize(coltyp);
  if (coltyp === COLTYP.guid) {
    for (let i = 0; i < size; i++) out[1 + i] = bytes[start + (guidOrder[i] ?? 0)] ?? 0;
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
