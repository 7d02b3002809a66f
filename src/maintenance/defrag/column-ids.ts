import { type ByteWriter, reserve } from '../../format/byte-writer.js';
import {
  COLTYP,
  type ColumnDefinition,
  FID_FIXED_LEAST,
  FID_TAGGED_LEAST,
  FID_VARIABLE_LEAST,
  fixedColumnSize,
  isFixedColumn,
  isVariableColumn,
} from '../../format/column.js';
import { EseError } from '../../format/ese-error.js';
import {
  createRecordAreas,
  locateAreas,
  TAGFLD_BYTES,
  type TaggedFormat,
  taggedStart,
} from './record-scan.js';

/**
 * Columns of a table without its deleted ones: those that are left move up to the ids and offsets that they
 * would have if the others had never been (format specification, chapter 7.3.1, step 3).
 */
export interface ColumnIds {
  /** New id by old id; a deleted column has none. */
  readonly ids: ReadonlyMap<number, number>;
  /** New offset of fixed columns by old id. */
  readonly offsets: ReadonlyMap<number, number>;
  /** Fixed columns that stay, by id. */
  readonly fixed: readonly ColumnDefinition[];
}

const RECORD_HEADER_BYTES = 4;
const VARIABLE_NULL = 0x8000;
const VARIABLE_OFFSET_MASK = 0x7fff;
const TAGFLD_DERIVED = 0x8000;
/** Fills bits of the bitmap that stand for no column. */
const ALL_NULL = 0xff;

/** The new ids of a table's own columns, or undefined where none is deleted. */
export function compactColumns(columns: readonly ColumnDefinition[]): ColumnIds | undefined {
  if (columns.every(({ coltyp }) => coltyp !== COLTYP.nil)) return undefined;
  const left = columns.filter(({ coltyp }) => coltyp !== COLTYP.nil).sort((a, b) => a.columnId - b.columnId);
  const ids = new Map<number, number>();
  const offsets = new Map<number, number>();
  let fixedId = FID_FIXED_LEAST;
  let variableId = FID_VARIABLE_LEAST;
  let taggedId = FID_TAGGED_LEAST;
  let offset = RECORD_HEADER_BYTES;
  for (const column of left) {
    const { columnId } = column;
    if (isFixedColumn(columnId)) {
      ids.set(columnId, fixedId++);
      offsets.set(columnId, offset);
      offset += fixedColumnSize(column);
    } else {
      ids.set(columnId, isVariableColumn(columnId) ? variableId++ : taggedId++);
    }
  }
  return { ids, offsets, fixed: left.filter(({ columnId }) => isFixedColumn(columnId)) };
}

/** Appends records with their columns' new ids to a buffer. */
export interface RecordRewriter {
  /**
   * Appends the record `bytes[start..end)` as it is without the deleted columns. Values are taken over as they
   * are stored.
   *
   * @throws EseError JET_errDatabaseCorrupted if its areas contradict each other
   */
  append(bytes: Uint8Array, start: number, end: number, out: ByteWriter): void;
}

export function createRecordRewriter(columns: ColumnIds, format: TaggedFormat): RecordRewriter {
  const areas = createRecordAreas();
  const sizes = columns.fixed.map(fixedColumnSize);

  const appendFixed = (bytes: Uint8Array, start: number, out: ByteWriter): void => {
    const { fidFixedLast, bitmap, fidVarLast } = areas;
    const at = out.length;
    let count = 0;
    let end = RECORD_HEADER_BYTES;
    while (count < columns.fixed.length && (columns.fixed[count]?.columnId ?? 0) <= fidFixedLast) {
      const { columnId, fixedOffset } = columns.fixed[count] as ColumnDefinition;
      const size = sizes[count] as number;
      const from = start + fixedOffset;
      if (from + size > bitmap) throw corrupt(`fixed column ${columnId} lies outside of it`);
      out.bytes.set(bytes.subarray(from, from + size), at + end);
      end += size;
      count++;
    }
    const bitmapBytes = (count + 7) >> 3;
    out.bytes.fill(ALL_NULL, at + end, at + end + bitmapBytes);
    for (let i = 0; i < count; i++) {
      const bit = (columns.fixed[i]?.columnId ?? 1) - 1;
      if ((((bytes[bitmap + (bit >> 3)] as number) >> (bit & 7)) & 1) === 0) {
        const to = at + end + (i >> 3);
        out.bytes[to] = (out.bytes[to] as number) & ~(1 << (i & 7));
      }
    }
    out.bytes[at] = count;
    out.bytes[at + 1] = lastId(columns, FID_VARIABLE_LEAST, fidVarLast);
    putU16(out.bytes, at + 2, end + bitmapBytes);
    out.length = at + end + bitmapBytes;
  };

  const appendVariable = (bytes: Uint8Array, out: ByteWriter): void => {
    const { variable, fidVarLast, tagged } = areas;
    const data = variable + 2 * (fidVarLast - FID_VARIABLE_LEAST + 1);
    const offsets = out.length;
    const left = lastId(columns, FID_VARIABLE_LEAST, fidVarLast) - FID_VARIABLE_LEAST + 1;
    const values = offsets + 2 * left;
    let to = values;
    let at = offsets;
    let from = data;
    for (let id = FID_VARIABLE_LEAST; id <= fidVarLast; id++) {
      const word = u16(bytes, variable + 2 * (id - FID_VARIABLE_LEAST));
      const end = data + (word & VARIABLE_OFFSET_MASK);
      if (end < from || end > tagged) throw corrupt(`variable column ${id} lies outside of it`);
      if (columns.ids.has(id)) {
        out.bytes.set(bytes.subarray(from, end), to);
        to += end - from;
        putU16(out.bytes, at, (to - values) | (word & VARIABLE_NULL));
        at += 2;
      }
      from = end;
    }
    out.length = to;
  };

  const appendTagged = (bytes: Uint8Array, end: number, out: ByteWriter): void => {
    const { tagged, taggedCount } = areas;
    const idOf = (i: number): number | undefined => {
      const id = u16(bytes, tagged + TAGFLD_BYTES * i);
      const isDerived = (u16(bytes, tagged + TAGFLD_BYTES * i + 2) & TAGFLD_DERIVED) !== 0;
      return isDerived ? id : columns.ids.get(id);
    };
    let left = 0;
    for (let i = 0; i < taggedCount; i++) if (idOf(i) !== undefined) left++;
    const array = out.length;
    let to = array + TAGFLD_BYTES * left;
    let entry = array;
    let from = taggedStart(bytes, areas, format, end, 0);
    for (let i = 0; i < taggedCount; i++) {
      const next = taggedStart(bytes, areas, format, end, i + 1);
      if (next < from || next > end) throw corrupt('a tagged column lies outside of it');
      const id = idOf(i);
      if (id !== undefined) {
        const flags = u16(bytes, tagged + TAGFLD_BYTES * i + 2) & ~format.offsetMask;
        putU16(out.bytes, entry, id);
        putU16(out.bytes, entry + 2, (to - array) | flags);
        entry += TAGFLD_BYTES;
        out.bytes.set(bytes.subarray(from, next), to);
        to += next - from;
      }
      from = next;
    }
    out.length = left === 0 ? array : to;
  };

  return {
    append(bytes, start, end, out) {
      locateAreas(bytes, start, end, format, areas);
      // No area grows.
      reserve(out, end - start + RECORD_HEADER_BYTES);
      appendFixed(bytes, start, out);
      appendVariable(bytes, out);
      appendTagged(bytes, end, out);
    },
  };
}

/** The new id of the last column of a class, up to old id `last`, that is left; one below the first if none is. */
function lastId({ ids }: ColumnIds, first: number, last: number): number {
  for (let id = last; id >= first; id--) {
    const left = ids.get(id);
    if (left !== undefined) return left;
  }
  return first - 1;
}

function corrupt(what: string): EseError {
  return new EseError('JET_errDatabaseCorrupted', `record: ${what}`);
}

function u16(bytes: Uint8Array, at: number): number {
  return (bytes[at] as number) | ((bytes[at + 1] as number) << 8);
}

function putU16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value & 0xff;
  bytes[at + 1] = value >> 8;
}
