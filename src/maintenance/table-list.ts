/** The tables of a database with their row counts, for `esekit tables` (format specification, chapter 11.6). */

import type { DatabaseReader } from '../engine/database-reader.js';
import { treePages } from '../engine/tree-reader.js';
import { COLTYP } from '../format/column.js';
import { EseError } from '../format/ese-error.js';
import { createNodeView, NODE_FLAG } from '../format/page.js';
import type { TableDefinition } from '../format/table-definition.js';

export interface TableSummary {
  readonly name: string;
  readonly objid: number;
  /** Live rows; `null` where a page of the table cannot be read. */
  readonly rows: number | null;
  /** Columns, deleted ones not counted. */
  readonly columns: number;
  readonly indexes: number;
  readonly system: boolean;
}

/**
 * Lists the tables by name and counts their rows.
 *
 * @throws EseError what makes the catalog unreadable
 */
export function listTables(reader: DatabaseReader): TableSummary[] {
  const byName = (a: TableDefinition, b: TableDefinition) => {
    const [left, right] = [a.name.toUpperCase(), b.name.toUpperCase()];
    return left < right ? -1 : left > right ? 1 : 0;
  };
  return [...reader.tables()].sort(byName).map((table) => ({
    name: table.name,
    objid: table.objid,
    rows: countRows(reader, table),
    columns: table.columns.filter((column) => column.coltyp !== COLTYP.nil).length,
    indexes: table.indexes.length,
    system: table.system,
  }));
}

function countRows(reader: DatabaseReader, table: TableDefinition): number | null {
  const node = createNodeView();
  let rows = 0;
  try {
    for (const { page } of treePages(reader.source, table)) {
      if (!page.isLeaf) continue;
      for (let line = 0; line < page.nodeCount; line++) {
        page.readNode(line, node);
        if ((node.flags & NODE_FLAG.deleted) === 0) rows++;
      }
    }
  } catch (error) {
    if (error instanceof EseError) return null;
    throw error;
  }
  return rows;
}
