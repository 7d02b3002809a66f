/**
 * Leaves in WebAssembly: most pages of most databases have nothing the matter, and are checked and hashed in one
 * call each (kernel/leaf-check.ts). Whatever it does not know goes the long way through leaf-check.ts, page by page
 * or row by row, so that what is found does not depend on it.
 */

import { INDEX_FLAG } from '../../format/catalog-row.js';
import type { ChecksumKernel } from '../../format/checksum-kernel.js';
import {
  COLTYP,
  coltypSize,
  isFixedColumn,
  isTaggedColumn,
  isTextType,
  isVariableColumn,
} from '../../format/column.js';
import { KEY_MOST_DEFAULT } from '../../format/key.js';
import { guidKeyOrder, PREFIX_NULL, PREFIX_NULL_HIGH, resolveSegments } from '../../format/key-segment.js';
import type { RecordLayout } from '../../format/record.js';
import type { IndexDefinition } from '../../format/table-definition.js';
import { BUCKETS, type Fingerprint, LANES } from './fingerprint.js';
import type { LeafExpectation } from './leaf-check.js';
import { LEAF_CHECK_WASM } from './leaf-check-wasm.js';
import { knownIds } from './record-check.js';
import { keyMostOfPageSize } from './tree-walk.js';

/** What is done with the nodes of a tree, and where in memory that is described. */
export interface LeafProgram {
  readonly content: number;
  readonly pointer: number;
}

/** A key of a table's rows: that of an index, or with `position` -1 that of their nodes. */
export interface ProgramKey {
  readonly index: IndexDefinition;
  readonly position: number;
}

export interface LeafKernel {
  /** Lines of the last page that somebody else must look at. */
  readonly lines: Uint16Array;
  /** Live nodes of the last page. */
  live: number;
  /** Sums of the indexes so far, by the positions of their trees. */
  sums(): Iterable<[number, Fingerprint]>;
  /** A program for the entries of an index, or one that lists all of them. */
  programOfEntries(position: number): LeafProgram;
  /** A program for the rows of a table, or one that lists all of them. */
  programOfRows(layout: RecordLayout, keys: readonly ProgramKey[]): LeafProgram;
  /**
   * Checks the leaf that lies at `offset` in the kernel's memory. Returns the number of listed lines, or -1 where
   * somebody else must look at the whole page.
   */
  check(offset: number, expected: LeafExpectation, program: LeafProgram): number;
}

/** What the nodes are, as kernel/leaf-check.ts says it. */
const CONTENT = { listed: 0, entries: 1, rows: 2, counted: 3 } as const;
/** All nodes are listed. */
export const LISTED: LeafProgram = { content: CONTENT.listed, pointer: 0 };
/** None of them is. */
export const COUNTED: LeafProgram = { content: CONTENT.counted, pointer: 0 };

/** Places in the work area, see kernel/leaf-check.ts. */
const AT_DBTIME = 48;
const AT_LIVE = 64;
const AT_LISTED = 68;
const AT_LOWER = 101 * 1024;
const AT_UPPER = 117 * 1024;
const BOUND_BYTES = 16 * 1024;
const AT_LINES = 133 * 1024;
const LINES_MOST = 4096;
const WORK_BYTES = AT_LINES + 2 * LINES_MOST;
/** Memory for programs and sums. */
const PROGRAM_BYTES = 1024 * 1024;

/** Memory that a leaf kernel needs behind the pages. */
export const LEAF_KERNEL_BYTES = WORK_BYTES + PROGRAM_BYTES;

const NOT_KNOWN = 0xffffffff;
const SUMS_BYTES = 4 * BUCKETS * LANES;
const TABLE_HEADER_BYTES = 12;
const FIXED_ENDS_BYTES = 256;
const KEY_HEADER_BYTES = 20;
const SEGMENT_BYTES = 32;
/** Keys of a row whose hashes there is room for. */
const KEYS_MOST = 48;
const NO_LIMIT = 0xffff;

const KIND = { unsigned: 0, signed: 1, float: 2, bit: 3, guid: 4, ansi: 5, binary: 6 } as const;

let compiled: WebAssembly.Module | undefined;

/**
 * A kernel that works on pages in the memory of a checksum kernel, with {@link LEAF_KERNEL_BYTES} of it from `start`
 * on, a multiple of 8. `undefined` where that is no WebAssembly.
 */
export function createLeafKernel(
  { memory, bytes }: ChecksumKernel,
  start: number,
  pageSize: number,
  dbtimeMax: number,
): LeafKernel | undefined {
  if (memory === undefined) return undefined;
  compiled ??= new WebAssembly.Module(Buffer.from(LEAF_CHECK_WASM, 'base64'));
  const { exports } = new WebAssembly.Instance(compiled, { env: { memory } });
  const run = exports.check as (page: number, work: number) => number;
  const base = bytes.byteOffset;
  const work = base + start;
  const view = new DataView(memory.buffer, work, LEAF_KERNEL_BYTES);
  const words = new Uint32Array(memory.buffer, work, 16);
  words[0] = pageSize;
  words[7] = keyMostOfPageSize(pageSize);
  view.setFloat64(AT_DBTIME, dbtimeMax, true);
  const sumsAt = new Map<number, number>();
  let tail = WORK_BYTES;

  /** Sets memory apart; returns where it lies in the work area, 0 = there is none left. */
  const allocate = (byteCount: number): number => {
    const at = tail;
    if (at + byteCount > LEAF_KERNEL_BYTES) return 0;
    tail += (byteCount + 7) & ~7;
    return at;
  };
  const sumsOf = (position: number): number => {
    const known = sumsAt.get(position);
    if (known !== undefined) return known;
    const at = allocate(SUMS_BYTES);
    if (at !== 0) sumsAt.set(position, at);
    return at;
  };
  const writeBound = (bound: Uint8Array | undefined, at: number): number => {
    if (bound === undefined) return 0;
    bytes.set(bound, start + at);
    return bound.length;
  };

  const kernel: LeafKernel = {
    lines: new Uint16Array(memory.buffer, work + AT_LINES, LINES_MOST),
    live: 0,
    *sums() {
      for (const [position, at] of sumsAt) {
        yield [position, new Int32Array(memory.buffer, work + at, BUCKETS * LANES).slice()];
      }
    },
    programOfEntries(position) {
      const at = sumsOf(position);
      return at === 0 ? LISTED : { content: CONTENT.entries, pointer: work + at };
    },
    programOfRows(layout, keys) {
      const segments = keys.map(({ index }) => plainSegments(layout, index));
      if (keys.length > KEYS_MOST || segments.includes(undefined)) return LISTED;
      if (layout.columns.some(hasForm)) return LISTED;
      const sums = keys.map(({ position }) => (position < 0 ? -1 : sumsOf(position)));
      const length = segments.reduce(
        (sum, one = []) => sum + KEY_HEADER_BYTES + SEGMENT_BYTES * one.length,
        TABLE_HEADER_BYTES + FIXED_ENDS_BYTES + 2 * GUID_BYTES,
      );
      const at = allocate(length);
      if (at === 0 || sums.includes(0)) return LISTED;
      const known = knownIds(layout.columns);
      view.setUint32(at, known.fixed, true);
      view.setUint32(at + 4, known.variable, true);
      view.setUint32(at + 8, keys.length, true);
      layout.fixedEnds.forEach((end, fid) => {
        view.setUint16(at + TABLE_HEADER_BYTES + 2 * fid, end, true);
      });
      let to = at + TABLE_HEADER_BYTES + FIXED_ENDS_BYTES;
      const orders = at + length - 2 * GUID_BYTES;
      keys.forEach(({ index }, i) => {
        const isDotNet = (index.flags & INDEX_FLAG.dotNetGuid) !== 0;
        const order = orders + (isDotNet ? GUID_BYTES : 0);
        bytes.set(guidKeyOrder(index), start + order);
        const own = segments[i] ?? [];
        const sumsAtKey = sums[i] ?? -1;
        const header = [
          sumsAtKey < 0 ? 0 : work + sumsAtKey,
          index.keyMost ?? KEY_MOST_DEFAULT,
          admitsOf(index),
          (index.flags & INDEX_FLAG.sortNullsHigh) !== 0 ? PREFIX_NULL_HIGH : PREFIX_NULL,
          own.length,
        ];
        for (const word of header) {
          view.setUint32(to, word, true);
          to += 4;
        }
        for (const { kind, columnId, offset, size, isDescending, limit, hasDefault } of own) {
          const fields = [
            kind,
            columnId,
            offset,
            size,
            Number(isDescending),
            limit,
            work + order,
            Number(hasDefault),
          ];
          for (const word of fields) {
            view.setUint32(to, word, true);
            to += 4;
          }
        }
      });
      return { content: CONTENT.rows, pointer: work + at };
    },
    check(offset, { tree, roleFlags, isRoot, bounds, pgnoPrev, pgnoNext }, { content, pointer }) {
      const { lower, upper } = bounds;
      if ((lower?.length ?? 0) > BOUND_BYTES || (upper?.length ?? 0) > BOUND_BYTES) return -1;
      words[1] = tree.objid;
      words[2] = roleFlags;
      words[3] = Number(isRoot);
      words[4] = Number(tree.isUnique);
      words[5] = pgnoPrev ?? NOT_KNOWN;
      words[6] = pgnoNext ?? NOT_KNOWN;
      words[8] = writeBound(lower, AT_LOWER);
      words[9] = writeBound(upper, AT_UPPER);
      words[10] = content;
      words[11] = pointer;
      if (run(base + offset, work) === 0) return -1;
      kernel.live = view.getUint32(AT_LIVE, true);
      return view.getUint32(AT_LISTED, true);
    },
  };
  return kernel;
}

const GUID_BYTES = 16;

/** Values that have a size of their own although they lie where the record says. */
function hasForm({ columnId, coltyp }: { columnId: number; coltyp: number }): boolean {
  return isVariableColumn(columnId) && coltypSize(coltyp) > 0;
}

/** Which NULLs have entries, as bits. */
function admitsOf({ flags }: IndexDefinition): number {
  return (
    ((flags & INDEX_FLAG.allowAllNulls) !== 0 ? 1 : 0) |
    ((flags & INDEX_FLAG.allowFirstNull) !== 0 ? 2 : 0) |
    ((flags & INDEX_FLAG.allowSomeNulls) !== 0 ? 4 : 0)
  );
}

interface PlainSegment {
  readonly kind: number;
  readonly columnId: number;
  readonly offset: number;
  readonly size: number;
  readonly isDescending: boolean;
  /** Bytes of the longest segment that is not cut. */
  readonly limit: number;
  readonly hasDefault: boolean;
}

/** The segments of an index if all of them are simple: one value each, that is not tagged and no Unicode text. */
function plainSegments(layout: RecordLayout, index: IndexDefinition): PlainSegment[] | undefined {
  if (index.conditions.length > 0 || index.tupleLimits !== undefined) return undefined;
  const keyMost = index.keyMost ?? KEY_MOST_DEFAULT;
  const textLimit = index.varSegMac !== undefined && index.varSegMac > 0 ? index.varSegMac : NO_LIMIT;
  const plain: PlainSegment[] = [];
  for (const segment of resolveSegments(layout, index)) {
    const { columnIndex, coltyp, descending } = segment;
    const columnId = layout.columns[columnIndex]?.columnId ?? 0;
    const kind = kindOf(coltyp, columnId);
    if (kind === undefined || segment.isUnicode || segment.isMultiValued || isTaggedColumn(columnId)) {
      return undefined;
    }
    const isCutable = kind === KIND.ansi || kind === KIND.binary;
    plain.push({
      kind,
      columnId,
      offset: layout.fixedOffsets[columnId] ?? 0,
      size: layout.fixedSizes[columnId] ?? 0,
      isDescending: descending,
      limit: isCutable && textLimit < keyMost ? textLimit : NO_LIMIT,
      hasDefault: layout.defaults[columnIndex] !== undefined,
    });
  }
  return plain;
}

function kindOf(coltyp: number, columnId: number): number | undefined {
  if (isTextType(coltyp)) return KIND.ansi;
  switch (coltyp) {
    case COLTYP.bit:
      return KIND.bit;
    case COLTYP.short:
    case COLTYP.long:
    case COLTYP.currency:
    case COLTYP.longLong:
      return KIND.signed;
    case COLTYP.ieeeSingle:
    case COLTYP.ieeeDouble:
    case COLTYP.dateTime:
      return KIND.float;
    case COLTYP.guid:
      return KIND.guid;
    case COLTYP.binary:
      return isFixedColumn(columnId) ? undefined : KIND.binary;
    default:
      return coltypSize(coltyp) > 0 ? KIND.unsigned : undefined;
  }
}
