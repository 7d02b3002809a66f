import { describe, expect, test } from 'vitest';
import { Cursor } from '../../src/engine/cursor.js';
import { createTable, type NewIndex } from '../../src/engine/schema.js';
import { createCatalogRowDecoder, PGNO_CATALOG, PGNO_CATALOG_SHADOW } from '../../src/format/catalog-row.js';
import { createNodeView, NODE_FLAG } from '../../src/format/page.js';
import {
  type DamagedDatabase,
  damagedBytes,
  type NodePlace,
  placed,
  troubles,
} from '../support/damaged-database.js';
import { createEngineLab, LAB_DATABASE } from '../support/engine-lab.js';
import { readFile } from '../support/files.js';

/** LCMapFlags in the record of an index (format specification, chapter 2.3.2). */
const LCMAP_OFFSET = 33;
/** Sort keys of Windows, ignoring case, width and kana type (chapter 3.4.5). */
const WINDOWS_SORT = 0x00030401;

const INDEXES: readonly NewIndex[] = [
  { name: 'names', segments: ['names'] },
  { name: 'pieces', segments: ['title'], tuples: { lengthMin: 3, lengthMax: 5, increment: 2 } },
  { name: 'cut', segments: ['title', 'id'], varSegMac: 12 },
];

/** Rows with no, one and several names, and titles of different lengths. */
const rowOf = (id: number) => ({
  id,
  title: id % 7 === 0 ? null : `Título ${'ab'.repeat(id % 5)} ${id}`,
  names: [null, ['Änne'], ['Bo', 'Änne', 'bo'], ['Cy', `N${id}`]][id % 4] ?? null,
});
const ROWS = 120;

/** A database whose Unicode indexes say that their keys are those of Windows, which nobody can compute here. */
function unicodeDatabase(): DamagedDatabase {
  const { disk, instance, database } = createEngineLab();
  const session = instance.createSession();
  createTable(database, session, {
    name: 'Texts',
    columns: [
      { name: 'id', type: 'long' },
      { name: 'title', type: 'text', unicode: true, maxLength: 120 },
      { name: 'names', type: 'text', unicode: true, tagged: true, multiValued: true, maxLength: 60 },
    ],
    indexes: [{ name: 'primary', segments: ['id'], primary: true }, ...INDEXES],
  });
  const texts = new Cursor(session, database.table(session, 'Texts'));
  session.transaction(() => {
    for (let id = 1; id <= ROWS; id++) texts.insert(rowOf(id));
  });
  instance.endSession(session);
  instance.cleanUp();
  instance.close();
  const copy = damagedBytes(readFile(disk, LAB_DATABASE));
  const decode = createCatalogRowDecoder(copy.pageSize);
  const names = new Set(INDEXES.map(({ name }) => name));
  const node = createNodeView();
  for (const [pgnoFdp, objid] of [[PGNO_CATALOG, 2] as const, [PGNO_CATALOG_SHADOW, 3] as const]) {
    for (const { pgno, line } of copy.nodesOf({ pgnoFdp, objid })) {
      copy.edit(pgno, (page) => {
        page.readNode(line, node);
        const { bytes, view } = page;
        const row = decode(bytes, node.dataOffset, node.dataOffset + node.dataLength);
        if (row.type !== 3 || !names.has(row.name)) return;
        view.setUint32(node.dataOffset + LCMAP_OFFSET, WINDOWS_SORT, true);
      });
    }
  }
  return copy;
}

describe('indexes of Unicode texts whose keys cannot be computed', () => {
  const indexOf = (copy: DamagedDatabase, name: string) =>
    copy.table('Texts').indexes.find((index) => index.name === name) ?? { pgnoFdp: 0, objid: 0 };
  const remove = (copy: DamagedDatabase, { pgno, line }: NodePlace): void =>
    copy.edit(pgno, (page) => {
      const node = createNodeView();
      page.readNode(line, node);
      page.setNodeFlags(line, node.flags | NODE_FLAG.deleted);
    });
  /** The entries that lead to a row. */
  const entriesOf = (copy: DamagedDatabase, name: string, id: number): NodePlace[] => {
    const node = createNodeView();
    return copy.nodesOf(indexOf(copy, name)).filter(({ pgno, line }) => {
      const page = copy.page(pgno);
      page.readNode(line, node);
      const bookmark = page.data(node);
      return new DataView(bookmark.buffer, bookmark.byteOffset).getUint32(1) === (0x80000000 | id) >>> 0;
    });
  };

  test('are sound when each row has its entries, and are said not to be compared in full', async () => {
    const report = await unicodeDatabase().check();
    expect(troubles(report)).toEqual([]);
    expect(
      report.findings.filter(({ code }) => code === 'IDX_UNVERIFIABLE').map(({ object }) => object),
    ).toEqual(['Texts/cut', 'Texts/names', 'Texts/pieces']);
    expect(report.tables.find(({ name }) => name === 'Texts')?.unverifiable).toEqual(
      INDEXES.map(({ name }) => name),
    );
  });

  test.each([
    ['names', 1],
    ['names', 2],
    ['names', 4],
    ['pieces', 3],
    ['cut', 5],
    ['cut', 7],
  ])('%s: a row without any entry is reported (row %i)', async (name, id) => {
    const copy = unicodeDatabase();
    const entries = entriesOf(copy, name, id);
    expect(entries.length).toBeGreaterThan(0);
    for (const entry of entries) remove(copy, entry);
    const [row] = copy.nodesOf(copy.table('Texts')).slice(id - 1);
    expect(troubles(await copy.check())).toEqual([`IDX_MISSING ${row?.pgno} ${row?.line}`]);
  });

  test('a row with fewer entries than it has texts is none: some may have the same key', async () => {
    const copy = unicodeDatabase();
    const [entry] = entriesOf(copy, 'names', 2);
    expect(entriesOf(copy, 'names', 2).length).toBeGreaterThan(1);
    if (entry !== undefined) remove(copy, entry);
    expect(troubles(await copy.check())).toEqual([]);
  });

  test.each(['names', 'pieces', 'cut'])('%s: an entry that leads to no row is reported', async (name) => {
    const copy = unicodeDatabase();
    const place = entriesOf(copy, name, 6).at(-1);
    const node = createNodeView();
    copy.edit(place?.pgno ?? 0, (page) => {
      page.readNode(place?.line ?? 0, node);
      // The last byte of the bookmark: row 6 becomes row 250, which does not exist.
      page.bytes[node.dataOffset + node.dataLength - 1] = 250;
    });
    const report = await copy.check();
    const found = report.findings
      .filter(({ code }) => code.startsWith('IDX_') && code !== 'IDX_UNVERIFIABLE')
      .map(placed);
    expect(found).toContain(`IDX_EXTRA ${place?.pgno} ${place?.line}`);
  });

  test('more entries than a row has texts are reported', async () => {
    const copy = unicodeDatabase();
    const index = indexOf(copy, 'names');
    // Row 8 has no name, and one entry for that; row 1 has one name, and gets the entry of row 8 too.
    const [entry] = entriesOf(copy, 'names', 8);
    const node = createNodeView();
    copy.edit(entry?.pgno ?? 0, (page) => {
      page.readNode(entry?.line ?? 0, node);
      page.bytes[node.dataOffset + node.dataLength - 1] = 1;
    });
    const report = await copy.check();
    const codes = report.findings
      .filter(({ objid }) => objid === index.objid)
      .map(({ code, message }) => `${code} ${message}`);
    expect(codes).toContain('IDX_EXTRA the index has 2 entries of a row that has 1 keys');
    expect(codes).toContain('IDX_MISSING the index has no entry of the row');
  });
});
