import { describe, expect, it } from 'vitest';
import { DatabaseBuilder } from '../../../src/engine/bulk/database-builder.js';
import type { TreeRegion } from '../../../src/engine/bulk/tree-region.js';
import { CATALOG_DEFINITION, CATALOG_INDEX_ROWS, CATALOG_TABLE_FLAGS } from '../../../src/engine/catalog.js';
import { openDatabaseReader } from '../../../src/engine/database-reader.js';
import { readTreeSpace, type TreeSpace } from '../../../src/engine/space-reader.js';
import { createByteWriter } from '../../../src/format/byte-writer.js';
import {
  CATALOG_TYPE,
  INDEX_FLAG,
  OBJID_CATALOG,
  OBJID_CATALOG_SHADOW,
} from '../../../src/format/catalog-row.js';
import {
  CATALOG_COLUMNS_WRITTEN,
  catalogColumnRows,
  type NewCatalogRow,
  setCatalogRow,
} from '../../../src/format/catalog-row-encoder.js';
import { COLTYP } from '../../../src/format/column.js';
import {
  DATABASE_FORMAT_VERSION,
  DATABASE_STATE,
  FILE_TYPE,
  HEADER_MAGIC,
  writeHeaderFields,
} from '../../../src/format/database-header.js';
import { PAGE_FLAG, PAGE_SIZES } from '../../../src/format/page.js';
import { createRecordLayout } from '../../../src/format/record.js';
import { createRecordEncoder } from '../../../src/format/record-encoder.js';
import { createSimulatedDisk } from '../../../src/io/simulated-disk.js';
import { assertSound } from '../../../src/maintenance/integrity.js';
import { judgeDatabase } from '../../support/judge-database.js';

const PATH = '/new.edb';
const AUTO_INCREMENT = 0x1_0000_0001n;

interface Made {
  readonly space: ReadonlyMap<string, TreeSpace>;
  readonly lastPgno: number;
}

interface TableWish {
  readonly rows: number;
  /** Pages that it is to have at least. */
  readonly pages?: number;
  readonly autoIncrement?: bigint;
}

/** A key of a long: 0x7f, then the number with its sign turned, big-endian. */
function longKey(value: number): Uint8Array {
  const key = new Uint8Array(5);
  key[0] = 0x7f;
  new DataView(key.buffer).setUint32(1, (value ^ 0x80000000) >>> 0);
  return key;
}

/** A record with two fixed longs: their count, no variable ones, end of the fixed area, values, NULL bits. */
function record(id: number, n: number): Uint8Array {
  const bytes = new Uint8Array(13);
  const view = new DataView(bytes.buffer);
  bytes.set([2, 127, 13, 0]);
  view.setInt32(4, id, true);
  view.setInt32(8, n, true);
  bytes[12] = 0xfc;
  return bytes;
}

/** Builds a database of these tables: two longs each, a primary index over the first, another over the second. */
function build(pageSize: number, tables: ReadonlyMap<string, TableWish>): Made {
  const disk = createSimulatedDisk();
  const file = disk.open(PATH, 'create');
  const builder = new DatabaseBuilder(file, { pageSize, isShadowed: true });
  const { writer } = builder;
  const rows: NewCatalogRow[] = [...CATALOG_INDEX_ROWS];
  for (const [objid, name, pgnoFdp, pages] of [
    [OBJID_CATALOG, CATALOG_DEFINITION.name, 4, 20],
    [OBJID_CATALOG_SHADOW, 'MSysObjectsShadow', 24, 5],
  ] as const) {
    rows.push({
      type: CATALOG_TYPE.table,
      objidTable: objid,
      id: objid,
      name,
      flags: CATALOG_TABLE_FLAGS,
      pgnoFdp,
      density: 80,
      pages,
    });
    rows.push(...catalogColumnRows(objid));
  }
  const addAll = (region: TreeRegion, nodes: readonly (readonly [Uint8Array, Uint8Array])[]): void => {
    region.begin();
    for (const [key, data] of nodes) writer.add(key, key.length, data, 0, data.length);
    region.finishTree();
  };
  for (const [name, { rows: count, pages = 1, autoIncrement }] of tables) {
    const objid = builder.nextObjid();
    const objidIndex = builder.nextObjid();
    const ids = Array.from({ length: count }, (_, i) => i + 1);
    const region = builder.openTable({ objid, roleFlags: 0, pages, density: 100, autoIncrement });
    addAll(
      region,
      ids.map((id) => [longKey(id), record(id, id % 3)]),
    );
    const index = region.child({
      objid: objidIndex,
      roleFlags: PAGE_FLAG.index | PAGE_FLAG.nonUnique,
      pages: 1,
      density: 100,
    });
    const entries = ids.map((id) => [longKey(id % 3), longKey(id)] as const);
    addAll(
      index,
      entries.sort(([a, x], [b, y]) => Buffer.compare(a, b) || Buffer.compare(x, y)),
    );
    index.close();
    region.close();
    const common = { objidTable: objid, density: 80 };
    rows.push({
      ...common,
      type: CATALOG_TYPE.table,
      id: objid,
      name,
      flags: 0,
      pgnoFdp: region.pgnoRoot,
      pages,
    });
    for (const [i, column] of ['id', 'n'].entries()) {
      rows.push({
        type: CATALOG_TYPE.column,
        objidTable: objid,
        id: i + 1,
        name: column,
        flags: 0,
        coltyp: COLTYP.long,
        maxLength: 4,
        codePage: 0,
        recordOffset: 4 + 4 * i,
      });
      const isPrimary = i === 0;
      rows.push({
        ...common,
        type: CATALOG_TYPE.index,
        id: isPrimary ? objid : objidIndex,
        name: `by ${column}`,
        flags: isPrimary
          ? INDEX_FLAG.extendedSegments | INDEX_FLAG.primary | INDEX_FLAG.unique
          : INDEX_FLAG.extendedSegments,
        pgnoFdp: isPrimary ? region.pgnoRoot : index.pgnoRoot,
        segments: [{ columnId: i + 1, descending: false, mustBeNull: false, derived: false }],
        conditions: [],
        lcid: 0,
      });
    }
  }
  const layout = createRecordLayout(CATALOG_COLUMNS_WRITTEN, pageSize);
  const encoder = createRecordEncoder(layout);
  builder.writeCatalog(
    layout,
    rows.map((row) => {
      encoder.clear();
      setCatalogRow(encoder, row);
      const out = createByteWriter(256);
      encoder.encode(out);
      return out.bytes.slice(0, out.length);
    }),
  );
  const { lastPgno, dbtime, objidLast } = builder.finish();
  const header = new Uint8Array(pageSize);
  writeHeaderFields(header, {
    magic: HEADER_MAGIC,
    version: DATABASE_FORMAT_VERSION,
    updateMajor: 20,
    cbPageSize: pageSize,
    fileType: FILE_TYPE.database,
    state: DATABASE_STATE.cleanShutdown,
    dbtimeDirtied: dbtime,
    objidLast,
  });
  file.writeAt(header, 0);
  file.writeAt(header, pageSize);
  file.close();

  assertSound(disk, PATH);
  expect(judgeDatabase(disk, PATH)).toMatchObject({ leaked: [], lastOwned: lastPgno });
  expect(disk.stat(PATH).size).toBe((lastPgno + 2) * pageSize);
  const reader = openDatabaseReader(disk, PATH);
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
