/**
 * Export: the rows of tables as canonical JSON, JSON or csv (the forms: {@link createRowWriter}).
 *
 * Rows come in the order of the primary key and leave in pieces of some 256 KiB; what is kept in memory
 * is a page, a piece, and the largest value met. Damage costs what it hits: pages, rows and values that
 * cannot be read are reported and left out, the rest is written.
 */
import type { DatabaseReader } from '../engine/database-reader.js';
import { createLongValueReader } from '../engine/long-value-reader.js';
import { treePages } from '../engine/tree-reader.js';
import { createByteWriter } from '../format/byte-writer.js';
import type { ColumnDefinition } from '../format/column.js';
import { EseError } from '../format/ese-error.js';
import { createNodeView, NODE_FLAG, PAGE_FLAG } from '../format/page.js';
import { createRecordLayout, createRecordValues, locateColumns } from '../format/record.js';
import { createRowWriter, type RowFormat } from '../format/row-writer.js';
import type { TableDefinition } from '../format/table-definition.js';

/** A page, a row or a value that could not be read. */
export interface ExportWarning {
  readonly name: 'DamagedPage' | 'DamagedRow' | 'UnreadableValue';
  readonly table: string;
  readonly error: EseError;
  /** Name of the column of an unreadable value. */
  readonly column?: string;
}

export interface ExportOptions {
  readonly onWarning?: (warning: ExportWarning) => void;
  /** Checked between pages; an aborted export rejects with the signal's reason. */
  readonly signal?: AbortSignal;
}

/** What an export did. */
export interface ExportResult {
  readonly table: string;
  readonly rows: number;
  /** Bytes of text written. */
  readonly bytes: number;
  readonly warnings: number;
}

/** Takes a piece of the output; the bytes are reused once it has returned, or its promise resolved. */
export type WriteOutput = (bytes: Uint8Array) => void | Promise<void>;

const PIECE_BYTES = 256 * 1024;
/** Most tables are small; the buffer grows with those that are not. */
const FIRST_BYTES = 16 * 1024;
/** After so many pages the event loop gets its turn, so that an interrupt can be heard. */
const PAGES_PER_TURN = 256;

/**
 * Writes all rows of a table.
 *
 * Rejects with what `write` throws. Damage in the file does not reject: `onWarning` hears of it.
 */
export async function exportTable(
  database: DatabaseReader,
  table: TableDefinition,
  format: RowFormat,
  write: WriteOutput,
  { onWarning, signal }: ExportOptions = {},
): Promise<ExportResult> {
  const { source } = database;
  const layout = createRecordLayout(table.columns, source.pageSize);
  const values = createRecordValues(layout);
  const out = createByteWriter(FIRST_BYTES);
  const node = createNodeView();
  let rows = 0;
  let bytes = 0;
  let warnings = 0;
  let pgno = table.pgnoFdp;
  const warn = (name: ExportWarning['name'], error: EseError, column?: ColumnDefinition): void => {
    warnings++;
    onWarning?.({
      name,
      table: table.name,
      error: error.at({ file: database.path, pgno }),
      ...(column === undefined ? {} : { column: column.name }),
    });
  };
  const rowWriter = createRowWriter(
    layout,
    format,
    createLongValueReader(source, table).append,
    (column, error) => warn('UnreadableValue', error, column),
  );
  const flush = async (): Promise<void> => {
    if (out.length === 0) return;
    bytes += out.length;
    await write(out.bytes.subarray(0, out.length));
    out.length = 0;
  };

  rowWriter.appendHeader(out);
  let pages = 0;
  for (const { page } of treePages(source, table, (error) => warn('DamagedPage', error))) {
    if (++pages % PAGES_PER_TURN === 0) await nextTurn();
    signal?.throwIfAborted();
    if (!page.isLeaf) continue;
    pgno = page.pgno;
    if ((page.flags & PAGE_FLAG.newRecord) === 0) {
      warn(
        'DamagedPage',
        new EseError('JET_errDatabaseCorrupted', 'records of an obsolete format are not read'),
      );
      continue;
    }
    const { nodeCount } = page;
    for (let line = 0; line < nodeCount; line++) {
      page.readNode(line, node);
      if ((node.flags & NODE_FLAG.deleted) !== 0) continue;
      const { dataOffset, dataLength } = node;
      try {
        locateColumns(layout, page.bytes, dataOffset, dataOffset + dataLength, values);
      } catch (error) {
        if (!(error instanceof EseError)) throw error;
        warn('DamagedRow', error);
        continue;
      }
      rowWriter.appendRow(out, values);
      rows++;
      if (out.length >= PIECE_BYTES) await flush();
    }
  }
  await flush();
  return { table: table.name, rows, bytes, warnings };
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

/**
 * The file that a table is exported to: its name with `.jsonl` or `.csv`. Characters that a file system
 * may refuse or take for a folder are written `%XX`.
 */
export function exportFileName(tableName: string, format: RowFormat): string {
  const escaped = tableName.replace(
    /\p{Cc}|["%*/:<>?\\|]|^\.|\.$/gu,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`,
  );
  return `${escaped}.${format === 'csv' ? 'csv' : 'jsonl'}`;
}
