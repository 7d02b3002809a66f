import { expect } from 'vitest';
import { type DatabaseReader, openDatabaseReader } from '../../src/engine/database-reader.js';
import { treePages } from '../../src/engine/tree-reader.js';
import { formatLid, type Lid, readLid, readLongValueKey } from '../../src/format/long-value.js';
import { createNodeView, NODE_FLAG } from '../../src/format/page.js';
import { createRecordLayout } from '../../src/format/record.js';
import type { TableDefinition } from '../../src/format/table-definition.js';
import type { FileSystem } from '../../src/io/file-system.js';
import {
  createRecordAreas,
  locateAreas,
  taggedFormat,
  visitLids,
} from '../../src/maintenance/defrag/record-scan.js';
import { exportTable } from '../../src/maintenance/export.js';
import type { RepairResult } from '../../src/maintenance/repair/repair-report.js';

/** A row of a sound database, and the pages that it needs. */
export interface LedgerRow {
  /** Values by column in canonical form, each as JSON. */
  readonly values: ReadonlyMap<string, string>;
  /** The leaf that it lies on. */
  readonly pgno: number;
  /** Pages of the long values that it refers to. */
  readonly longPages: readonly number[];
}

/** Rows of the tables of users by name, each row by the key of its node in hexadecimal. */
export type RowLedger = ReadonlyMap<string, ReadonlyMap<string, LedgerRow>>;

/** Which row lies where: asked of a sound database, it is what repair is held to. */
export async function rowLedger(fs: FileSystem, path: string): Promise<RowLedger> {
  const reader = openDatabaseReader(fs, path);
  const ledger = new Map<string, Map<string, LedgerRow>>();
  try {
    for (const table of reader.tables()) {
      if (!table.system && !table.name.startsWith('MSys'))
        ledger.set(table.name, await rowsOf(reader, table));
    }
    return ledger;
  } finally {
    reader.close();
  }
}

async function rowsOf(reader: DatabaseReader, table: TableDefinition): Promise<Map<string, LedgerRow>> {
  const { source, pageSize } = reader;
  let text = '';
  await exportTable(reader, table, 'canonical', (bytes) => {
    text += Buffer.from(bytes).toString('utf8');
  });
  const lines = text.split('\n').slice(0, -1);
  const pagesByLid = longValuePages(reader, table);
  const format = taggedFormat(createRecordLayout(table.columns, pageSize).isLargePage);
  const areas = createRecordAreas();
  const node = createNodeView();
  const lid: Lid = { high: 0, low: 0 };
  const rows = new Map<string, LedgerRow>();
  let number = 0;
  for (const { page } of treePages(source, table)) {
    for (let line = 0; page.isLeaf && line < page.nodeCount; line++) {
      page.readNode(line, node);
      if ((node.flags & NODE_FLAG.deleted) !== 0) continue;
      const longPages: number[] = [];
      const end = node.dataOffset + node.dataLength;
      locateAreas(page.bytes, node.dataOffset, end, format, areas);
      visitLids(page.bytes, end, areas, format, (from, length) => {
        readLid(page.bytes, from, from + length, lid);
        longPages.push(...(pagesByLid.get(formatLid(lid)) ?? []));
      });
      const key = Buffer.from(page.key(node)).toString('hex');
      if (rows.has(key)) throw new Error(`${table.name} has two rows of key ${key}`);
      const row = JSON.parse(lines[number++] ?? '{}') as Record<string, unknown>;
      const values = new Map(Object.entries(row).map(([name, value]) => [name, JSON.stringify(value)]));
      rows.set(key, { values, pgno: page.pgno, longPages });
    }
  }
  if (number !== lines.length) throw new Error(`${lines.length} rows of ${table.name} in ${number} nodes`);
  return rows;
}

function longValuePages(
  { source }: DatabaseReader,
  { longValueTree }: TableDefinition,
): Map<string, number[]> {
  const pages = new Map<string, number[]>();
  if (longValueTree === undefined) return pages;
  const node = createNodeView();
  const lid: Lid = { high: 0, low: 0 };
  for (const { page } of treePages(source, longValueTree)) {
    for (let line = 0; page.isLeaf && line < page.nodeCount; line++) {
      page.readNode(line, node);
      const key = page.key(node);
      readLongValueKey(key, key.length, lid);
      const known = pages.get(formatLid(lid));
      if (known === undefined) pages.set(formatLid(lid), [page.pgno]);
      else if (known.at(-1) !== page.pgno) known.push(page.pgno);
    }
  }
  return pages;
}

/** What became of the rows. */
export interface Account {
  /** Rows that were there. */
  readonly rows: number;
  /** Rows whose leaf was not hit: all of them are back. */
  readonly safe: number;
  readonly kept: number;
  readonly lost: number;
  /** Rows that came back though their leaf was hit. */
  readonly rescued: number;
  /** Rows that lack long values. */
  readonly lacking: number;
  /** Rows of tables whose definition was lost with both catalogs. */
  readonly undefinedRows: number;
}

/**
 * Holds a repaired database against what it was: each row of a leaf that was not hit is there once and as it was, no
 * row is there that was not, rows on leaves that were hit are as they were or gone, a long value is as it was or gone,
 * and gone only where a page of it was hit; and what is gone is reported.
 *
 * @param hit pages that were damaged
 * @param isDefined whether the catalog kept all that it said of a table
 */
export function settle(
  before: RowLedger,
  after: RowLedger,
  hit: ReadonlySet<number>,
  { report, lost }: RepairResult,
  isDefined: (table: string) => boolean = () => true,
): Account {
  const account = { rows: 0, safe: 0, kept: 0, lost: 0, rescued: 0, lacking: 0, undefinedRows: 0 };
  for (const [name, rows] of before) {
    const now = after.get(name);
    account.rows += rows.size;
    if (!isDefined(name)) {
      account.undefinedRows += rows.size;
      continue;
    }
    if (now === undefined) throw new Error(`table ${name} is gone`);
    const { kept, lost: counted } = report.tables.find((table) => table.name === name)?.records ?? {
      kept: -1,
      lost: { known: 0, estimated: 0 },
    };
    expect(now.size, `rows of ${name}, as the report counts them`).toBe(kept);
    let missing = 0;
    for (const [key, row] of rows) {
      const found = now.get(key);
      const isSafe = !hit.has(row.pgno);
      if (isSafe) account.safe++;
      if (found === undefined) {
        if (isSafe) throw new Error(`row ${key} of ${name} is gone; page ${row.pgno} is sound`);
        missing++;
        continue;
      }
      if (!isSafe) account.rescued++;
      account.kept++;
      if (settleRow(`${name}, row ${key} of page ${row.pgno}`, row, found, hit)) {
        account.lacking++;
        expect(lost, `long values of ${name} are reported`).toBe(true);
      }
    }
    for (const key of now.keys()) {
      if (!rows.has(key)) throw new Error(`row ${key} of ${name} is invented`);
    }
    account.lost += missing;
    expect(counted.known, `known losses of ${name}`).toBeLessThanOrEqual(missing);
    if (missing > counted.known) {
      expect(counted.estimated, `losses of ${name}, ${missing} rows`).toBeGreaterThan(0);
      expect(lost).toBe(true);
    }
  }
  return account;
}

/** Whether the row lacks long values. */
function settleRow(place: string, row: LedgerRow, found: LedgerRow, hit: ReadonlySet<number>): boolean {
  let isLacking = false;
  for (const name of new Set([...row.values.keys(), ...found.values.keys()])) {
    const then = row.values.get(name);
    const now = found.values.get(name);
    if (then === now) continue;
    if (!row.longPages.some((pgno) => hit.has(pgno))) {
      throw new Error(`${place}: ${name} was ${short(then)}, and is ${short(now)}; its pages are sound`);
    }
    if (now !== undefined && !isWithout(then, now)) {
      throw new Error(`${place}: ${name} was ${short(then)}, and is ${short(now)}`);
    }
    isLacking = true;
  }
  return isLacking;
}

const short = (json: string | undefined): string => (json ?? 'NULL').slice(0, 60);

/** Whether several values are what they were but for some that are gone. */
function isWithout(then: string | undefined, now: string): boolean {
  const all = listOf(then ?? 'null');
  return listOf(now).every((value) => {
    const at = all.indexOf(value);
    if (at >= 0) all.splice(at, 1);
    return at >= 0;
  });
}

function listOf(json: string): string[] {
  const value = JSON.parse(json) as unknown;
  return (Array.isArray(value) ? value : [value]).map((one) => JSON.stringify(one));
}
