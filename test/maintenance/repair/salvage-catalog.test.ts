import { beforeAll, describe, expect, test } from 'vitest';
import type { TreeRoot } from '../../../src/engine/tree-reader.js';
import { CATALOG_TYPE, type CatalogRow, createCatalogRowDecoder } from '../../../src/format/catalog-row.js';
import { createNodeView, type Page } from '../../../src/format/page.js';
import {
  createRecordLayout,
  createRecordValues,
  createValueView,
  locateColumns,
  locateValue,
} from '../../../src/format/record.js';
import { groupCatalogRows } from '../../../src/format/table-definition.js';
import type { CatalogRecord } from '../../../src/maintenance/defrag/new-catalog.js';
import { createRawRecords, discoverTables } from '../../../src/maintenance/repair/discovered-tables.js';
import { type SalvagedCatalog, salvageCatalog } from '../../../src/maintenance/repair/salvage-catalog.js';
import type { SalvageSource } from '../../../src/maintenance/repair/salvage-source.js';
import { type DamagedDatabase, damagedBytes } from '../../support/damaged-database.js';
import { damagedFile, openDamaged, pageBytes } from '../../support/salvage-lab.js';
import { SAMPLE, sampleDatabase } from '../../support/sample-database.js';

const PAGE_SIZE = 4096;
const PRIMARY: TreeRoot = { pgnoFdp: 4, objid: 2 };
const SHADOW: TreeRoot = { pgnoFdp: 24, objid: 3 };
let file: Uint8Array;

beforeAll(() => {
  file = damagedFile(sampleDatabase({ pageSize: PAGE_SIZE, rows: 200 }), SAMPLE).bytes.slice();
});

const sample = (): DamagedDatabase => damagedBytes(file);

async function read(database: DamagedDatabase): Promise<{ source: SalvageSource; catalog: SalvagedCatalog }> {
  const source = await openDamaged(database.disk(), PAGE_SIZE, [PRIMARY, SHADOW]);
  const work = salvageCatalog(source);
  for (;;) {
    const step = work.next();
    if (step.done === true) return { source, catalog: step.value };
  }
}

const rowText = ({ objidTable, type, id, name }: CatalogRow): string => `${objidTable} ${type} ${id} ${name}`;
const textOf = (records: readonly CatalogRecord[]): string[] => records.map(({ row }) => rowText(row));

/** Rows of one copy of a sound catalog, with their places. */
function rowsOf(
  database: DamagedDatabase,
  root: TreeRoot,
): { row: CatalogRow; pgno: number; line: number }[] {
  const decode = createCatalogRowDecoder(PAGE_SIZE);
  const node = createNodeView();
  return database.nodesOf(root).map(({ pgno, line }) => {
    const page = database.page(pgno);
    page.readNode(line, node);
    return { row: decode(page.bytes, node.dataOffset, node.dataOffset + node.dataLength), pgno, line };
  });
}

/** Fixed columns of a catalog row (format specification, chapter 2.3.2): each follows the one before. */
const ID_AT = 10;
const PGNO_FDP_AT = 14;

/** Changes a number in a row of one copy, or of both. */
function editRow(
  database: DamagedDatabase,
  roots: readonly TreeRoot[],
  name: string,
  at: number,
  value: number,
): void {
  const node = createNodeView();
  for (const root of roots) {
    const place = rowsOf(database, root).find(({ row }) => row.name === name);
    if (place === undefined) throw new Error(`there is no row ${name}`);
    database.edit(place.pgno, (page: Page) => {
      page.readNode(place.line, node);
      page.view.setUint32(node.dataOffset + at, value, true);
      if (at !== ID_AT) return;
      // The key has the number, too: its last four bytes, sign turned.
      const end = node.suffixOffset + node.suffixLength;
      page.view.setUint32(end - 4, (value ^ 0x80000000) >>> 0, false);
    });
  }
}

function leafOf(database: DamagedDatabase, root: TreeRoot, name: string): number {
  return rowsOf(database, root).find(({ row }) => row.name === name)?.pgno ?? 0;
}

function treeNamed(records: readonly CatalogRecord[], name: string): { id: number; pgnoFdp: number } {
  const row = records.find((one) => one.row.name === name)?.row;
  if (row === undefined || !('pgnoFdp' in row)) throw new Error(`there is no tree ${name}`);
  return { id: row.id, pgnoFdp: row.pgnoFdp };
}

describe('salvage of the catalog', () => {
  test('of a sound one takes the primary, byte by byte', async () => {
    const database = sample();
    const { catalog } = await read(database);
    expect(catalog).toMatchObject({ from: 'primary', isIncomplete: false, findings: [] });
    expect(textOf(catalog.records)).toEqual(rowsOf(database, PRIMARY).map(({ row }) => rowText(row)));
    const { tables, faults } = groupCatalogRows(catalog.records.map(({ row }) => row));
    expect(faults).toEqual([]);
    expect(tables.map(({ name }) => name)).toContain('People');
  });

  test.each([
    ['primary', PRIMARY, 'shadow'],
    ['shadow', SHADOW, 'primary'],
  ] as const)('with a leaf of the %s lost takes the other copy', async (_, root, from) => {
    const database = sample();
    const expected = rowsOf(database, PRIMARY).map(({ row }) => rowText(row));
    pageBytes(database, leafOf(database, root, 'byCode')).fill(0);
    const { catalog } = await read(database);
    expect(catalog).toMatchObject({ from, isIncomplete: false });
    expect(textOf(catalog.records)).toEqual(expected);
  });

  test('with different leaves of both copies lost loses nothing', async () => {
    const database = sample();
    const expected = rowsOf(database, PRIMARY).map(({ row }) => rowText(row));
    const leaves = [PRIMARY, SHADOW].map((root) => database.pagesOf(root).leaves);
    pageBytes(database, leaves[0]?.[0] ?? 0).fill(0);
    pageBytes(database, leaves[1]?.at(-1) ?? 0).fill(0);
    const { catalog } = await read(database);
    expect(catalog).toMatchObject({ from: 'union' });
    expect(textOf(catalog.records)).toEqual(expected);
  });

  test('with the roots of both copies lost loses nothing', async () => {
    const database = sample();
    const expected = rowsOf(database, PRIMARY).map(({ row }) => rowText(row));
    pageBytes(database, PRIMARY.pgnoFdp).fill(0);
    pageBytes(database, SHADOW.pgnoFdp).fill(0);
    const { catalog } = await read(database);
    expect(textOf(catalog.records)).toEqual(expected);
  });

  test('with the same leaf of both copies lost loses the rows on it, and makes rows of its own again', async () => {
    const database = sample();
    const rows = [PRIMARY, SHADOW].map((root) => rowsOf(database, root));
    const lost = [PRIMARY, SHADOW].map((root) => leafOf(database, root, 'People'));
    for (const pgno of lost) pageBytes(database, pgno).fill(0);
    const { catalog } = await read(database);
    expect(catalog).toMatchObject({ from: 'union', isIncomplete: true });
    const left = new Set(
      rows.flatMap((copy, i) => copy.flatMap(({ row, pgno }) => (pgno === lost[i] ? [] : rowText(row)))),
    );
    const found = textOf(catalog.records);
    expect(found.filter((text) => !left.has(text) && Number(text.split(' ')[0]) > 3)).toEqual(
      found.filter((text) => / 1 \d+ Recovered_/.test(text)),
    );
    expect([...left].filter((text) => !found.includes(text))).toEqual([]);
  });

  test.each([
    ['one copy', [PRIMARY]],
    ['both copies', [PRIMARY, SHADOW]],
  ] as const)('a wrong root in %s is put right', async (_, roots) => {
    const database = sample();
    const right = database.table('People').pgnoFdp;
    editRow(database, roots, 'People', PGNO_FDP_AT, right + 3);
    editRow(database, roots, 'byCode', PGNO_FDP_AT, 1_000_000);
    const { catalog } = await read(database);
    expect(treeNamed(catalog.records, 'People').pgnoFdp).toBe(right);
    const index = database.table('NoKey');
    expect(treeNamed(catalog.records, 'NoKey').pgnoFdp).toBe(index.pgnoFdp);
    const sound = damagedBytes(file).table('People');
    expect(treeNamed(catalog.records, 'byCode').pgnoFdp).toBe(
      sound.indexes.find(({ name }) => name === 'byCode')?.pgnoFdp,
    );
    expect(catalog.findings.map(({ code }) => code)).toEqual(['CAT_ENTRY', 'CAT_ENTRY']);
  });

  test('of two objects with one root, the one whose number the root has keeps it', async () => {
    const database = sample();
    const sound = database.table('People');
    const rootOf = (name: string): number => sound.indexes.find((index) => index.name === name)?.pgnoFdp ?? 0;
    editRow(database, [PRIMARY, SHADOW], 'byCode', PGNO_FDP_AT, rootOf('byTags'));
    const { catalog } = await read(database);
    expect(treeNamed(catalog.records, 'byCode').pgnoFdp).toBe(rootOf('byCode'));
    expect(treeNamed(catalog.records, 'byTags').pgnoFdp).toBe(rootOf('byTags'));
  });

  test.each([
    ['one copy', [PRIMARY]],
    ['both copies', [PRIMARY, SHADOW]],
  ] as const)(
    'of two objects with one number in %s, the one whose root has it keeps it',
    async (_, roots) => {
      const database = sample();
      const sound = database.table('People');
      const objidOf = (name: string): number =>
        sound.indexes.find((index) => index.name === name)?.objid ?? 0;
      // A number of another table's tree, so that no two rows have one key.
      const taken = database.table('NoKey').indexes[0]?.objid ?? 0;
      editRow(database, roots, 'byCode', ID_AT, taken);
      const { catalog } = await read(database);
      expect(treeNamed(catalog.records, 'byCode').id).toBe(objidOf('byCode'));
      expect(treeNamed(catalog.records, 'byN').id).toBe(taken);
      expect(catalog.findings.map(({ code }) => code)).toContain(
        roots.length === 1 ? 'CAT_ENTRY' : 'CAT_DUP_OBJID',
      );
    },
  );
});

describe('tables that the catalog has lost', () => {
  /** Removes the rows of a table from both copies. */
  function forget(database: DamagedDatabase, name: string): void {
    const { objid } = database.table(name);
    for (const root of [PRIMARY, SHADOW]) {
      const places = rowsOf(database, root).filter(({ row }) => row.objidTable === objid);
      for (const { pgno, line } of places.reverse()) database.edit(pgno, (page) => page.deleteNode(line));
    }
  }

  /** Rows of the whole catalog of a sound database. */
  async function schemaOf(database: DamagedDatabase): Promise<readonly CatalogRecord[]> {
    return (await read(database)).catalog.records;
  }

  test('are found by their pages, and their long values with them', async () => {
    const database = sample();
    const sound = database.table('NoKey');
    forget(database, 'NoKey');
    const { source, catalog } = await read(database);
    const { tables, longValueRows } = discoverTables(source, catalog.records);
    expect(tables).toMatchObject([
      {
        objid: sound.objid,
        name: `Recovered_${sound.objid}`,
        pgnoFdp: sound.pgnoFdp,
        leafPages: 1,
        isRaw: true,
      },
    ]);
    expect(longValueRows.map(({ row }) => row)).toMatchObject([
      {
        type: CATALOG_TYPE.longValue,
        objidTable: sound.objid,
        id: sound.longValueTree?.objid,
        pgnoFdp: sound.longValueTree?.pgnoFdp,
      },
    ]);
    const { tables: defined, faults } = groupCatalogRows(
      tables.flatMap(({ records }) => records).map(({ row }) => row),
    );
    expect(faults).toEqual([]);
    expect(defined[0]?.columns.map(({ name }) => name)).toEqual(['key', 'raw']);
  });

  test('are not those that were deleted', async () => {
    const database = sample();
    const { source, catalog } = await read(database);
    expect(discoverTables(source, catalog.records)).toEqual({ tables: [], longValueRows: [] });
  });

  test('get the definition of another database that fits their records', async () => {
    const database = sample();
    const sound = database.table('People');
    const schema = await schemaOf(database);
    forget(database, 'People');
    const { source, catalog } = await read(database);
    const { tables } = discoverTables(source, catalog.records, schema);
    expect(tables).toMatchObject([{ objid: sound.objid, name: 'People', isRaw: false }]);
    const records = tables[0]?.records ?? [];
    const [defined] = groupCatalogRows(records.map(({ row }) => row)).tables;
    expect(defined?.columns).toEqual(sound.columns);
    expect(defined?.indexes.map(({ name }) => name).sort()).toEqual(
      sound.indexes.map(({ name }) => name).sort(),
    );
    const numbers = (defined?.indexes ?? []).filter(({ primary }) => !primary).map(({ objid }) => objid);
    expect(Math.min(...numbers)).toBeGreaterThan(source.scan.objidMax);
  });

  test('have records of key and bytes', () => {
    const make = createRawRecords(PAGE_SIZE);
    const [key, data] = [Uint8Array.of(0x7f, 1, 2), new Uint8Array(100).fill(7)];
    const record = make(key, 3, data, 10, 90);
    const columns = [256, 257].map((columnId) => ({
      columnId,
      name: '',
      coltyp: 11,
      maxLength: 0,
      codePage: 0,
      flags: 0,
      fixedOffset: 0,
      derived: false,
    }));
    const layout = createRecordLayout(columns, PAGE_SIZE);
    const values = createRecordValues(layout);
    const value = createValueView();
    locateColumns(layout, record ?? data, 0, record?.length ?? 0, values);
    const columnOf = (index: number): Uint8Array => {
      expect(locateValue(layout, values, index, 1, value)).toBe(true);
      return value.bytes.slice(value.start, value.end);
    };
    expect(columnOf(0)).toEqual(key);
    expect(columnOf(1)).toEqual(data.slice(10, 90));
    // A node that fills its page leaves no room for its key.
    const full = new Uint8Array(PAGE_SIZE - 40 - 10 - 200 - 12);
    locateColumns(
      layout,
      make(new Uint8Array(200), 200, full, 0, full.length) ?? data,
      0,
      full.length + 9,
      values,
    );
    expect(locateValue(layout, values, 0, 1, value)).toBe(false);
    expect(make(new Uint8Array(200), 200, new Uint8Array(PAGE_SIZE - 250), 0, PAGE_SIZE - 250)).toBe(
      undefined,
    );
  });
});
