/**
 * Rows as lines of text: canonical JSON, plain JSON, or csv.
 *
 * canonical: keys sorted by code point, NULL columns left out, one value as a scalar, two or more as a
 * list. jsonl: the same with the columns in catalog order and values as {@link appendDisplayValue} writes
 * them. csv (RFC 4180 with LF): a header line, all columns in catalog order; several values are a JSON
 * list in one field. A value that cannot be read is `{"error":"JET_err…"}`, in csv `#JET_err…`.
 */
import { appendAscii, appendByte, appendBytes, type ByteWriter, createByteWriter } from './byte-writer.js';
import { appendCanonicalError, appendCanonicalValue } from './canonical-value.js';
import { COLTYP, type ColumnDefinition } from './column.js';
import { appendDisplayValue } from './display-value.js';
import { EseError } from './ese-error.js';
import {
  createValueView,
  locateValue,
  type RecordLayout,
  type RecordValues,
  STORED,
  valueCount,
} from './record.js';
import { type ReadLongValue, resolveValue } from './value-reader.js';

export type RowFormat = 'canonical' | 'jsonl' | 'csv';

export interface RowWriter {
  /** Appends what stands before the first row: the header line of csv, else nothing. */
  appendHeader(out: ByteWriter): void;
  /** Appends one row and its line end. */
  appendRow(out: ByteWriter, values: RecordValues): void;
}

const LINE_END = 0x0a;
const COMMA = 0x2c;
const OPEN_LIST = 0x5b;
const CLOSE_LIST = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;
const QUOTE = 0x22;
const SCRATCH_BYTES = 4096;

interface OutputColumn {
  readonly index: number;
  readonly coltyp: number;
  readonly codePage: number;
  readonly hasDefault: boolean;
  /** `"name":` in the form of the output. */
  readonly key: Uint8Array;
  readonly name: string;
}

/**
 * A writer for the rows of one table. `onUnreadable` hears of each value that cannot be read; the row is
 * written all the same.
 */
export function createRowWriter(
  layout: RecordLayout,
  format: RowFormat,
  readLongValue: ReadLongValue,
  onUnreadable: (column: ColumnDefinition, error: EseError) => void = () => {},
): RowWriter {
  const columns = outputColumns(layout, format);
  const value = createValueView();
  const scratch = createByteWriter(SCRATCH_BYTES);
  const list = createByteWriter(SCRATCH_BYTES);

  const report = (column: OutputColumn, error: EseError): void => {
    const definition = layout.columns[column.index];
    if (definition !== undefined) onUnreadable(definition, error);
  };

  const appendValue = (
    out: ByteWriter,
    form: RowFormat,
    column: OutputColumn,
    values: RecordValues,
    itagSequence: number,
  ): void => {
    try {
      locateValue(layout, values, column.index, itagSequence, value);
      resolveValue(value, scratch, readLongValue);
      const { bytes, start, end } = value;
      if (form === 'canonical') {
        appendCanonicalValue(out, column.coltyp, column.codePage, bytes, start, end);
      } else {
        appendDisplayValue(out, form, column.coltyp, column.codePage, bytes, start, end);
      }
    } catch (error) {
      if (!(error instanceof EseError)) throw error;
      report(column, error);
      appendError(out, form, error);
    }
  };

  const appendList = (
    out: ByteWriter,
    form: RowFormat,
    column: OutputColumn,
    values: RecordValues,
    count: number,
  ): void => {
    appendByte(out, OPEN_LIST);
    for (let itagSequence = 1; itagSequence <= count; itagSequence++) {
      if (itagSequence > 1) appendByte(out, COMMA);
      appendValue(out, form, column, values, itagSequence);
    }
    appendByte(out, CLOSE_LIST);
  };

  const countOf = (out: ByteWriter, column: OutputColumn, values: RecordValues): number => {
    try {
      return valueCount(layout, values, column.index);
    } catch (error) {
      if (!(error instanceof EseError)) throw error;
      report(column, error);
      if (format !== 'csv') appendBytes(out, column.key);
      appendError(out, format, error);
      return UNREADABLE;
    }
  };

  const appendJsonRow = (out: ByteWriter, values: RecordValues): void => {
    const { stored } = values;
    appendByte(out, OPEN_OBJECT);
    let isFirst = true;
    for (const column of columns) {
      const state = stored[column.index];
      if (state === STORED.null || (state === STORED.absent && !column.hasDefault)) continue;
      if (!isFirst) appendByte(out, COMMA);
      isFirst = false;
      const count = state === STORED.tagged ? countOf(out, column, values) : 1;
      if (count === UNREADABLE) continue;
      appendBytes(out, column.key);
      if (count === 1) appendValue(out, format, column, values, 1);
      else appendList(out, format, column, values, count);
    }
    appendByte(out, CLOSE_OBJECT);
    appendByte(out, LINE_END);
  };

  const appendCsvRow = (out: ByteWriter, values: RecordValues): void => {
    let isFirst = true;
    for (const column of columns) {
      if (!isFirst) appendByte(out, COMMA);
      isFirst = false;
      const state = values.stored[column.index];
      if (state === STORED.null || (state === STORED.absent && !column.hasDefault)) continue;
      const count = state === STORED.tagged ? countOf(out, column, values) : 1;
      if (count === 1) {
        appendValue(out, format, column, values, 1);
      } else if (count > 1) {
        list.length = 0;
        appendList(list, 'jsonl', column, values, count);
        appendQuoted(out, list);
      }
    }
    appendByte(out, LINE_END);
  };

  return {
    appendHeader(out) {
      if (format !== 'csv') return;
      columns.forEach((column, position) => {
        if (position > 0) appendByte(out, COMMA);
        appendBytes(out, column.key);
      });
      appendByte(out, LINE_END);
    },
    appendRow: format === 'csv' ? appendCsvRow : appendJsonRow,
  };
}

/** Count of the values of a column whose values cannot even be counted; the error has been written. */
const UNREADABLE = -1;

function appendError(out: ByteWriter, form: RowFormat, error: EseError): void {
  if (form === 'csv') appendAscii(out, `#${error.name}`);
  else appendCanonicalError(out, error);
}

function outputColumns(layout: RecordLayout, format: RowFormat): OutputColumn[] {
  const columns = layout.columns.flatMap((column, index) => {
    const { name, coltyp, codePage } = column;
    if (coltyp === COLTYP.nil) return [];
    return [
      {
        index,
        coltyp,
        codePage,
        hasDefault: layout.defaults[index] !== undefined,
        name,
        key: keyOf(name, format),
      },
    ];
  });
  return format === 'canonical'
    ? columns.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))
    : columns;
}

function keyOf(name: string, format: RowFormat): Uint8Array {
  if (format === 'csv') {
    return Buffer.from(/[",\r\n]/.test(name) ? `"${name.replaceAll('"', '""')}"` : name, 'utf8');
  }
  if (format === 'jsonl') return Buffer.from(`${JSON.stringify(name)}:`, 'utf8');
  return Buffer.from(`${escapeNonAscii(JSON.stringify(name))}:`, 'latin1');
}

function escapeNonAscii(text: string): string {
  return text.replace(/[\u007f-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** Appends text as one csv field. */
function appendQuoted(out: ByteWriter, text: ByteWriter): void {
  appendByte(out, QUOTE);
  for (let at = 0; at < text.length; at++) {
    const byte = text.bytes[at] ?? 0;
    if (byte === QUOTE) appendByte(out, QUOTE);
    appendByte(out, byte);
  }
  appendByte(out, QUOTE);
}
