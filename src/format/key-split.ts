/**
 * Stored keys, taken apart (format specification, chapters 3.4.2 and 3.4.5).
 */
import { COLTYP, coltypSize, isTextType } from './column.js';
import { EseError } from './ese-error.js';
import {
  BINARY_CHUNK,
  BINARY_CHUNK_NORMALISED,
  guidKeyOrder,
  LCMAP_UPPERCASE,
  PREFIX_DATA,
  PREFIX_EMPTY,
  PREFIX_NULL,
  PREFIX_NULL_HIGH,
  resolveSegments,
} from './key-segment.js';
import type { RecordLayout } from './record.js';
import type { IndexDefinition } from './table-definition.js';

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
 *   if the index names columns that do not exist.
 */
export function splitKey(layout: RecordLayout, index: IndexDefinition, key: Uint8Array): KeySegment[] {
  const guidOrder = guidKeyOrder(index);
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
      if (whole) value = denormalise(coltyp, guidOrder, key, body, length, flip);
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
  guidOrder: Uint8Array,
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
    for (let i = 0; i < length; i++) bytes[guidOrder[i] ?? 0] = at(i);
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
