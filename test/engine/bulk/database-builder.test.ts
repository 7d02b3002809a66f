import { describe, expect, it } from 'vitest';
import { openDatabaseReader } from '../../../src/engine/database-reader.js';
import { readTreeSpace, type TreeSpace } from '../../../src/engine/space-reader.js';
import { PAGE_SIZES } from '../../../src/format/page.js';
import { assertSound } from '../../../src/maintenance/integrity.js';
import { BUILT, type BuiltTableWish, builtDatabase } from '../../support/built-database.js';
import { judgeDatabase } from '../../support/judge-database.js';

const AUTO_INCREMENT = 0x1_0000_0001n;

interface Made {
  readonly space: ReadonlyMap<string, TreeSpace>;
  readonly lastPgno: number;
}

/** Builds a database, and judges it. */
function build(pageSize: number, tables: ReadonlyMap<string, BuiltTableWish>): Made {
  const disk = builtDatabase(pageSize, tables);
  const lastPgno = disk.stat(BUILT).size / pageSize - 2;
  assertSound(disk, BUILT);
  expect(judgeDatabase(disk, BUILT)).toMatchObject({ leaked: [], lastOwned: lastPgno });
  const reader = openDatabaseReader(disk, BUILT);
  const space = new Map<string, TreeSpace>([
    ['file', readTreeSpace(reader.source, { pgnoFdp: 1, objid: 1 })],
  ]);
  for (const table of reader.tables()) {
    for (const tree of table.indexes) {
      space.set(`${table.name}/${tree.name}`, readTreeSpace(reader.source, tree));
    }
  }
  reader.close();
  return { space, lastPgno };
}

const extents = (list: readonly { first: number; count: number }[] | undefined): number[][] =>
  (list ?? []).map(({ first, count }) => [first, count]);

describe('a database built in one go', () => {
  it.each(PAGE_SIZES)('is sound and has no page that is used for nothing, pages of %i bytes', (pageSize) => {
    for (const rows of [0, 1, 300, 5000]) {
      build(
        pageSize,
        new Map([
          ['first', { rows }],
          ['second', { rows: 3 }],
          ['third', { rows: rows + 7 }],
        ]),
      );
    }
  });

  it('gives a small table one extent, with its index inside', () => {
    const { space, lastPgno } = build(4096, new Map([['small', { rows: 5 }]]));
    // 28 pages of the catalog and its shadow come first: table root, index root.
    expect(lastPgno).toBe(30);
    const table = space.get('small/by id');
    expect(table?.header).toMatchObject({ cpg: 2, pgnoParent: 1, flags: 0, availableBitmap: 0 });
    expect(extents(table?.owned)).toEqual([[29, 2]]);
    const index = space.get('small/by n');
    expect(index?.header).toMatchObject({ cpg: 1, pgnoParent: 29, flags: 2, availableBitmap: 0 });
    expect(extents(index?.owned)).toEqual([[30, 1]]);
    expect(extents(space.get('file')?.owned)).toEqual([
      [1, 28],
      [29, 2],
    ]);
  });

  it('keeps the pages that were asked for, as available ones', () => {
    const { space, lastPgno } = build(4096, new Map([['asked', { rows: 5, pages: 20 }]]));
    expect(lastPgno).toBe(48);
    const table = space.get('asked/by id');
    // Root and index root are in use: bits 1 to 18 of the 19 pages behind the root are left.
    expect(table?.header).toMatchObject({ cpg: 20, availableBitmap: 0x7fffe });
    const { space: large } = build(4096, new Map([['asked', { rows: 5, pages: 60 }]]));
    expect(large.get('asked/by id')?.header).toMatchObject({
      cpg: 60,
      flags: 0,
      availableBitmap: 0xfffffffe,
    });
    expect(extents(large.get('asked/by id')?.available).at(-1)).toEqual([62, 27]);
  });

  it('gives a large table extents of its own, its space trees behind the first', () => {
    const { space, lastPgno } = build(4096, new Map([['large', { rows: 5000 }]]));
    const table = space.get('large/by id');
    expect(table?.header).toMatchObject({ cpg: 8, pgnoParent: 1, flags: 1, pgnoOe: 37 });
    expect(table?.spaceTreePages).toEqual([37, 38]);
    expect(extents(table?.owned)).toEqual([
      [29, 8],
      [37, lastPgno - 36],
    ]);
    const index = space.get('large/by n');
    const root = index?.owned[0]?.first ?? 0;
    expect(index?.header).toMatchObject({ cpg: 8, pgnoParent: 29, flags: 3, pgnoOe: root + 8 });
    expect(extents(index?.owned)).toEqual([
      [root, 8],
      [root + 8, lastPgno - root - 7],
    ]);
  });

  it('keeps the auto-increment maximum in the root, whatever the table is like', () => {
    for (const rows of [2, 5000]) {
      const { space } = build(8192, new Map([['counted', { rows, autoIncrement: AUTO_INCREMENT }]]));
      expect(space.get('counted/by id')?.header.autoIncrement).toBe(AUTO_INCREMENT);
      expect(space.get('counted/by n')?.header.autoIncrement).toBeUndefined();
    }
  });

  it('goes on behind all tables when the catalog outgrows its place', () => {
    const tables = new Map(Array.from({ length: 300 }, (_, i) => [`table number ${i}`, { rows: 2 }]));
    const { space } = build(2048, tables);
    const [primary, ...behind] = extents(space.get('MSysObjects/Id')?.owned);
    expect(primary).toEqual([4, 20]);
    expect(behind).toHaveLength(1);
    expect(extents(space.get('MSysObjects/Id')?.available)).toEqual([]);
    expect(extents(space.get('MSysObjects/Name')?.owned)[0]).toEqual([7, 3]);
    expect(extents(space.get('MSysObjectsShadow/Id')?.owned)[0]).toEqual([24, 5]);
  });
});
