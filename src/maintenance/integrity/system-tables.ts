/** MSysObjids and MSysLocales, which repeat what the catalog says (format specification, chapters 2.3.8 and 2.3.9). */

import type { PageSource } from '../../engine/page-source.js';
import { treePages } from '../../engine/tree-reader.js';
import { CATALOG_TYPE, INDEX_FLAG } from '../../format/catalog-row.js';
import { CODE_PAGE_UNICODE } from '../../format/column.js';
import { EseError } from '../../format/ese-error.js';
import { formatGuid } from '../../format/guid.js';
import { createNodeView, NODE_FLAG } from '../../format/page.js';
import {
  createRecordLayout,
  createRecordValues,
  createValueView,
  locateColumns,
  locateValue,
} from '../../format/record.js';
import type { IndexDefinition, TableDefinition } from '../../format/table-definition.js';
import { decodeText } from '../../format/text.js';
import type { FindingList, FindingSubject } from './finding.js';

export const OBJIDS_TABLE = 'MSysObjids';
export const LOCALES_TABLE = 'MSysLocales';

/** A row as the integers and bytes of its columns by name. */
interface PlainRow {
  readonly pgno: number;
  readonly node: number;
  number(column: string): number | undefined;
  text(column: string): string | undefined;
}

/** The rows of a small table that has been found sound. */
function* plainRows(source: PageSource, table: TableDefinition): Generator<PlainRow, void, undefined> {
  const layout = createRecordLayout(table.columns, source.pageSize);
  const values = createRecordValues(layout);
  const value = createValueView();
  const node = createNodeView();
  const locate = (name: string): boolean => {
    const index = table.columns.findIndex((column) => column.name === name);
    return (
      index >= 0 && locateValue(layout, values, index, 1, value) && !value.separated && !value.compressed
    );
  };
  for (const { page } of treePages(source, table)) {
    if (!page.isLeaf) continue;
    for (let line = 0; line < page.nodeCount; line++) {
      page.readNode(line, node);
      if ((node.flags & NODE_FLAG.deleted) !== 0) continue;
      locateColumns(layout, page.bytes, node.dataOffset, node.dataOffset + node.dataLength, values);
      yield {
        pgno: page.pgno,
        node: line,
        number(column) {
          if (!locate(column)) return undefined;
          let number = 0;
          for (let at = value.end - 1; at >= value.start; at--)
            number = number * 256 + (value.bytes[at] ?? 0);
          return number;
        },
        text: (column) =>
          locate(column) ? decodeText(value.bytes, value.start, value.end, CODE_PAGE_UNICODE) : undefined,
      };
    }
  }
}

/** Runs a check of a table that may not be as expected: what cannot be read is left to other checks. */
function guarded(check: () => void): void {
  try {
    check();
  } catch (error) {
    if (!(error instanceof EseError)) throw error;
  }
}

/** MSysObjids lists exactly the tables, secondary indexes and long-value trees. */
export function checkObjids(
  source: PageSource,
  objids: TableDefinition,
  tables: readonly TableDefinition[],
  list: FindingList,
  subject: FindingSubject,
): void {
  const due = new Map<number, { objidTable: number; type: number; name: string }>();
  for (const { name, objid: objidTable, indexes, longValueTree } of tables) {
    due.set(objidTable, { objidTable, type: CATALOG_TYPE.table, name });
    for (const index of indexes) {
      if (!index.primary) due.set(index.objid, { objidTable, type: CATALOG_TYPE.index, name: index.name });
    }
    if (longValueTree !== undefined) {
      due.set(longValueTree.objid, { objidTable, type: CATALOG_TYPE.longValue, name: 'LV' });
    }
  }
  const report = (message: string, place = {}): void =>
    list.add(subject, 'CAT_DIFFERENT', 'warning', message, place);
  guarded(() => {
    for (const row of plainRows(source, objids)) {
      const objid = row.number('objid') ?? 0;
      const expected = due.get(objid);
      due.delete(objid);
      if (expected === undefined) report(`object ${objid} is not in the catalog`, row);
      else if (row.number('objidTable') !== expected.objidTable || row.number('type') !== expected.type) {
        report(`object ${objid} is another one in the catalog`, row);
      }
    }
    for (const [objid, { name }] of due) report(`object ${objid} (${name}) of the catalog is missing`);
  });
}

/** Number of indexes by the key under which MSysLocales counts them. */
export function countLocales(tables: readonly TableDefinition[]): Map<string, number> {
  const due = new Map<string, number>();
  for (const { indexes } of tables) {
    for (const index of indexes) {
      const key = localeKey(index);
      if (key !== undefined) due.set(key, (due.get(key) ?? 0) + 1);
    }
  }
  return due;
}

/** MSysLocales counts the indexes of each locale and version; deleted indexes may still be counted. */
export function checkLocales(
  source: PageSource,
  locales: TableDefinition,
  tables: readonly TableDefinition[],
  list: FindingList,
  subject: FindingSubject,
): void {
  const due = countLocales(tables);
  guarded(() => {
    const counted = new Map<string, number>();
    for (const row of plainRows(source, locales)) {
      counted.set((row.text('Key') ?? '').replace(/\0$/, ''), row.number('iValue') ?? 0);
    }
    for (const [key, count] of due) {
      const known = counted.get(key) ?? 0;
      if (known >= count) continue;
      list.add(subject, 'CAT_DIFFERENT', 'warning', `${count} indexes use ${key}, ${known} are counted`);
    }
  });
}

/** The key under which the sort order of a localized index is counted. */
function localeKey({ flags, localeName, sortId, sortVersion }: IndexDefinition): string | undefined {
  if ((flags & INDEX_FLAG.localizedText) === 0) return undefined;
  if (localeName === undefined || sortId?.length !== 16 || sortVersion?.length !== 8) return undefined;
  const version = new DataView(sortVersion.buffer, sortVersion.byteOffset, 8).getBigUint64(0, true);
  // Marked as out of date: the next attach makes it anew, and counts it then.
  if (version === 0n) return undefined;
  return `LocaleName=${localeName},SortID=${formatGuid(sortId, 0)},Ver=${version.toString(16)}`;
}
