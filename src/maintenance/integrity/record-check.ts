/**
 * Records: whether each can be read as a row of its table, what long values it refers to, and which keys it has
 * in the indexes (format specification, chapters 2.6 and 7.1.4).
 */

import { createByteWriter, reserve } from '../../format/byte-writer.js';
import { checkValueSize } from '../../format/canonical-value.js';
import {
  COLTYP,
  type ColumnDefinition,
  isFixedColumn,
  isTaggedColumn,
  isVariableColumn,
} from '../../format/column.js';
import { compressionSupport, decompress, decompressedSize } from '../../format/compression.js';
import { EseError } from '../../format/ese-error.js';
import type { KeyBuilder } from '../../format/key.js';
import { type Lid, readLid } from '../../format/long-value.js';
import type { NodeView, Page } from '../../format/page.js';
import {
  createRecordValues,
  createValueView,
  locateColumns,
  locateValue,
  type RecordLayout,
  type RecordValues,
  STORED,
  TAGGED_HEADER,
  valueCount,
} from '../../format/record.js';
import type { TableDefinition } from '../../format/table-definition.js';
import type { ReadLongValue } from '../../format/value-reader.js';
import { createRecordAreas, locateAreas, taggedFormat, visitLids } from '../defrag/record-scan.js';
import type { FindingList } from './finding.js';
import type { KeyBuffer } from './key-buffer.js';
import type { CheckedTree } from './plan.js';

/** What is wanted from the records of a table. */
export interface RecordListener {
  /** A reference to a long value. */
  reference(lid: Readonly<Lid>, pgno: number, node: number): void;
  /** A sound record with its primary key. */
  record(values: RecordValues, key: KeyBuffer, pgno: number, node: number): void;
  /** A column that the catalog does not know; without this, a record that has one cannot be read. */
  unknownColumn?(id: number): void;
}

export interface RecordChecker {
  /** Checks the record in a node. Returns false if it cannot be read. */
  check(page: Page, line: number, node: NodeView, key: KeyBuffer): boolean;
}

/** Highest ids that the catalog knows of, deleted columns included. */
interface KnownIds {
  readonly fixed: number;
  readonly variable: number;
  readonly tagged: number;
}

export function knownIds(columns: readonly ColumnDefinition[]): KnownIds {
  const highest = (isIt: (id: number) => boolean, none: number): number =>
    columns.reduce((most, { columnId }) => (isIt(columnId) ? Math.max(most, columnId) : most), none);
  return {
    fixed: highest(isFixedColumn, 0),
    variable: highest(isVariableColumn, 127),
    tagged: highest(isTaggedColumn, 255),
  };
}

/**
 * A checker of the records of one table.
 *
 * @param primary builds the primary key, where it can be computed
 */
export function createRecordChecker(
  table: TableDefinition,
  tree: CheckedTree,
  layout: RecordLayout,
  primary: KeyBuilder | undefined,
  readLongValue: ReadLongValue,
  list: FindingList,
  listener: RecordListener,
): RecordChecker {
  const values = createRecordValues(layout);
  const value = createValueView();
  const scratch = createByteWriter(4096);
  const lid: Lid = { high: 0, low: 0 };
  const known = knownIds(table.columns);
  /** Columns whose values have a form of their own: the others are bytes of any length at their place. */
  const formed = table.columns.flatMap((column, index) =>
    column.coltyp !== COLTYP.nil && !isFixedColumn(column.columnId) ? [index] : [],
  );
  /** Values of deleted columns lie in records that were not changed since; the layout does not know them. */
  const hasDeleted = table.columns.some(
    ({ coltyp, columnId }) => coltyp === COLTYP.nil && isTaggedColumn(columnId),
  );
  const areas = createRecordAreas();
  const format = taggedFormat(layout.isLargePage);
  const coltyps = Uint8Array.from(table.columns, (column) => column.coltyp);
  let isKeyEqual = false;
  let expectedKey: KeyBuffer | undefined;
  const compareKey = (built: Uint8Array, length: number): void => {
    const key = expectedKey;
    isKeyEqual = key !== undefined && key.length === length;
    if (key === undefined) return;
    for (let i = 0; i < length && isKeyEqual; i++) if (built[i] !== key.bytes[i]) isKeyEqual = false;
  };

  const reportUnknown = (id: number, kind: string): void => {
    if (listener.unknownColumn === undefined) throw corrupt(`${kind} column ${id} is unknown`);
    listener.unknownColumn(id);
  };
  const checkIds = (page: Page, node: NodeView): void => {
    if (values.fidFixedLast > known.fixed) reportUnknown(values.fidFixedLast, 'fixed');
    if (values.fidVarLast > known.variable) reportUnknown(values.fidVarLast, 'variable');
    if (values.unknownCount === 0) return;
    const last = lastTaggedId(page, node, values.taggedCount);
    if (last > known.tagged) reportUnknown(last, 'tagged');
  };

  const checkValues = (pgno: number, line: number): void => {
    for (const index of formed) {
      const stored = values.stored[index];
      if (stored === STORED.plain || stored === STORED.tagged) checkHeader(values.headers[index] ?? 0);
      if (stored === STORED.plain) {
        checkValueSize(coltyps[index] ?? 0, (values.ends[index] ?? 0) - (values.starts[index] ?? 0));
      }
      if (stored !== STORED.tagged) continue;
      const count = valueCount(layout, values, index);
      for (let sequence = 1; sequence <= count; sequence++) {
        locateValue(layout, values, index, sequence, value);
        if (value.separated) {
          if (!hasDeleted) checkReference(pgno, line);
        } else if (value.compressed) checkCompressed(pgno, line);
        else if (!value.encrypted) checkValueSize(coltyps[index] ?? 0, value.end - value.start);
      }
    }
  };

  /** Long values of deleted columns are still referred to: they go with the record. */
  const checkAllReferences = (page: Page, line: number, { dataOffset, dataLength }: NodeView): void => {
    const end = dataOffset + dataLength;
    locateAreas(page.bytes, dataOffset, end, format, areas);
    visitLids(page.bytes, end, areas, format, (at, length) => {
      value.bytes = page.bytes;
      value.start = at;
      value.end = at + length;
      checkReference(page.pgno, line);
    });
  };

  /** The header byte of a tagged value; of others it is 0. */
  const checkHeader = (header: number): void => {
    const { longValue, compressed, separated, multiValues, twoValues, encrypted } = TAGGED_HEADER;
    const isMultiple = (header & multiValues) !== 0;
    const isWrong =
      (header & ~TAGGED_HEADER_KNOWN) !== 0 ||
      ((header & twoValues) !== 0 && (!isMultiple || layout.isLargePage || (header & longValue) !== 0)) ||
      ((header & separated) !== 0 && (isMultiple || (header & compressed) !== 0)) ||
      ((header & (compressed | separated | encrypted)) !== 0 && (header & longValue) === 0);
    if (isWrong) throw corrupt(`a tagged value has the header 0x${header.toString(16)}`);
  };

  const checkReference = (pgno: number, line: number): void => {
    try {
      readLid(value.bytes, value.start, value.end, lid);
    } catch (error) {
      if (!(error instanceof EseError)) throw error;
      list.add(tree, 'REC_LID_MISSING', 'error', error.detail, { pgno, node: line });
      return;
    }
    listener.reference(lid, pgno, line);
  };

  const checkCompressed = (pgno: number, line: number): void => {
    if (compressionSupport(value.bytes[value.start] ?? 0) === 'unsupported') return;
    try {
      scratch.length = 0;
      reserve(scratch, decompressedSize(value.bytes, value.start, value.end));
      decompress(value.bytes, value.start, value.end, scratch.bytes, 0);
    } catch (error) {
      if (!(error instanceof EseError)) throw error;
      list.add(tree, 'LV_DECOMPRESS', 'error', error.detail, { pgno, node: line });
    }
  };

  const checkPrimaryKey = (builder: KeyBuilder, key: KeyBuffer, pgno: number, line: number): void => {
    isKeyEqual = false;
    expectedKey = key;
    try {
      builder.build(values, readLongValue, compareKey);
    } catch (error) {
      if (!(error instanceof EseError)) throw error;
      // A key over values that cannot be read here tells nothing.
      return;
    }
    if (isKeyEqual) return;
    list.add(tree, 'REC_KEY', 'error', 'the key of the node is not that of its record', { pgno, node: line });
  };

  return {
    check(page, line, node, key) {
      const { pgno } = page;
      try {
        locateColumns(layout, page.bytes, node.dataOffset, node.dataOffset + node.dataLength, values);
        checkIds(page, node);
        checkValues(pgno, line);
        if (hasDeleted) checkAllReferences(page, line, node);
      } catch (error) {
        if (!(error instanceof EseError)) throw error;
        list.add(tree, 'REC_STRUCT', 'error', error.detail, { pgno, node: line });
        return false;
      }
      if (primary !== undefined) checkPrimaryKey(primary, key, pgno, line);
      listener.record(values, key, pgno, line);
      return true;
    },
  };
}

const TAGGED_HEADER_KNOWN = Object.values(TAGGED_HEADER).reduce((all, bit) => all | bit, 0);

function corrupt(detail: string): EseError {
  return new EseError('JET_errDatabaseCorrupted', `record: ${detail}`);
}

const VARIABLE_OFFSET_MASK = 0x7fff;
const TAGFLD_BYTES = 4;
const TAGFLD_DERIVED = 0x8000;

/** The highest id of the record's own tagged columns; they come last, in ascending order. The record is sound. */
function lastTaggedId(page: Page, node: NodeView, taggedCount: number): number {
  const { view } = page;
  const start = node.dataOffset;
  const variableCount = view.getUint8(start + 1) - 127;
  const offsets = start + view.getUint16(start + 2, true);
  const data = offsets + 2 * variableCount;
  const tagged = data + (variableCount === 0 ? 0 : view.getUint16(data - 2, true) & VARIABLE_OFFSET_MASK);
  const last = tagged + TAGFLD_BYTES * (taggedCount - 1);
  const isDerived = (view.getUint16(last + 2, true) & TAGFLD_DERIVED) !== 0;
  return isDerived ? 0 : view.getUint16(last, true);
}
