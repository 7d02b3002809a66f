/**
 * Keys with Unicode text, as far as they can be compared without the weight tables of the system that made them
 * (format specification, chapter 3.4.5): the sort key of each text is replaced by a mark, all other bytes stay.
 */

import { coltypSize, isTextType } from '../../format/column.js';
import {
  BINARY_CHUNK_NORMALISED,
  PREFIX_DATA,
  resolveSegments,
  type SortKeySource,
} from '../../format/key-segment.js';
import type { RecordLayout } from '../../format/record.js';
import type { IndexDefinition } from '../../format/table-definition.js';
import type { KeyBuffer } from './key-buffer.js';

const MARK = Uint8Array.of(0);

/** Gives every text the mark as its sort key, so that keys are built masked. */
export const markAsSortKey: SortKeySource = () => MARK;

export interface KeyMasker {
  /**
   * Writes the masked form of the stored key `bytes[0..length)` into `out`. Returns whether the key is whole:
   * one that was cut off in the middle shows its first columns only.
   */
  mask(bytes: Uint8Array, length: number, out: KeyBuffer): boolean;
  /** Cuts a masked key behind its first text, up to where even keys that were cut can be compared. */
  cutBehindText(key: KeyBuffer): void;
  /** The sort keys of the texts of a stored key, in its order, up to where it was cut. */
  sortKeys(bytes: Uint8Array, length: number): Uint8Array[];
}

/** A masker for one index. Throws as {@link resolveSegments}. */
export function createKeyMasker(layout: RecordLayout, index: IndexDefinition): KeyMasker {
  const columns = resolveSegments(layout, index).map(
    ({ coltyp, columnIndex, descending, isFixed, isUnicode }) => ({
      flip: descending ? 0xff : 0,
      isText: isTextType(coltyp),
      isUnicode,
      size: coltypSize(coltyp) || (isFixed ? (layout.columns[columnIndex]?.maxLength ?? 0) : 0),
    }),
  );
  type Column = (typeof columns)[number];

  /** End of a segment that begins with data at `start`; beyond `length` if it was cut. */
  const endOfData = (bytes: Uint8Array, start: number, length: number, column: Column): number => {
    if (column.isText) {
      let end = start + 1;
      while (end < length && (bytes[end] ?? 0) !== column.flip) end++;
      return end + 1;
    }
    if (column.size > 0) return start + 1 + column.size;
    let end = start + 1;
    for (;;) {
      end += BINARY_CHUNK_NORMALISED;
      if (end > length) return end;
      if (((bytes[end - 1] ?? 0) ^ column.flip) !== BINARY_CHUNK_NORMALISED) return end;
    }
  };
  const endOfSegment = (bytes: Uint8Array, start: number, length: number, column: Column): number =>
    ((bytes[start] ?? 0) ^ column.flip) === PREFIX_DATA ? endOfData(bytes, start, length, column) : start + 1;

  return {
    mask(bytes, length, out) {
      let at = 0;
      let to = 0;
      for (const column of columns) {
        const end = endOfSegment(bytes, at, length, column);
        if (column.isUnicode && at < length && ((bytes[at] ?? 0) ^ column.flip) === PREFIX_DATA) {
          out.bytes[to] = PREFIX_DATA ^ column.flip;
          out.bytes[to + 1] = column.flip;
          to += 2;
        } else {
          for (let i = at; i < Math.min(end, length); i++) out.bytes[to++] = bytes[i] ?? 0;
        }
        at = end;
        if (at > length) break;
      }
      out.length = to;
      return at === length;
    },
    cutBehindText(key) {
      let at = 0;
      for (const column of columns) {
        if (at >= key.length) return;
        at = endOfSegment(key.bytes, at, key.length, column);
        if (column.isUnicode) break;
      }
      key.length = Math.min(key.length, at);
    },
    sortKeys(bytes, length) {
      const found: Uint8Array[] = [];
      let at = 0;
      for (const column of columns) {
        const end = endOfSegment(bytes, at, length, column);
        if (end > length) break;
        if (column.isUnicode && ((bytes[at] ?? 0) ^ column.flip) === PREFIX_DATA) {
          found.push(bytes.slice(at + 1, end).map((byte) => byte ^ column.flip));
        }
        at = end;
      }
      return found;
    },
  };
}
