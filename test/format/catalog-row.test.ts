import { describe, expect, it } from 'vitest';
import {
  CATALOG_COLUMNS,
  CATALOG_TYPE,
  type CatalogRow,
  createCatalogRowDecoder,
} from '../../src/format/catalog-row.js';
import { COLTYP } from '../../src/format/column.js';
import { groupCatalogRows } from '../../src/format/table-definition.js';
import { bytesOf } from './bytes.js';

const decode = (record: string): CatalogRow => {
  const bytes = bytesOf(record);
  return createCatalogRowDecoder(4096)(bytes, 0, bytes.length);
};

/** Format specification, chapter 3.6.1. */
const LONG_UNICODE_COLUMN =
  '07 80 1f 00 08 00 00 00 02 00 05 01 00 00 0c 00 00 00 00 00 00 00 01 00 00 00 b0 04 00 00 80 0b' +
  '00 4c 6f 6e 67 55 6e 69 63 6f 64 65';
const INDEX_ID =
  '0b 84 29 00 08 00 00 00 03 00 08 00 00 00 1f 00 00 00 50 00 00 00 2f 00 01 00 00 00 00 00 2a 2a' +
  '2a 01 04 03 00 05 00 80 f9 04 00 04 80 04 80 04 80 08 00 49 78 49 64 00 00 01 00 05 01 04 40 01' +
  '65 00 6e 00 2d 00 55 00 53 00';
/** Chapter 2.3.2. */
const TABLE_ROW =
  '08 80 2000 02000000 0100 02000000 04000000 50000000 000000c0 14000000 ff 00 0b00 4d5379734f626a65637473';
const LONG_VALUE_ROW = '07 80 1f00 08000000 0400 09000000 24000000 64000000 00000000 01000000 80 0200 4c56';

describe('catalog rows', () => {
  it('the catalog knows its own columns and their true offsets', () => {
    const fixed = CATALOG_COLUMNS.filter((column) => column.columnId < 128);
    expect(fixed.map((column) => column.fixedOffset)).toEqual([
      4, 8, 10, 14, 18, 22, 26, 30, 31, 33, 37, 39, 43,
    ]);
    expect(CATALOG_COLUMNS).toHaveLength(29);
  });

  it('a column', () => {
    expect(decode(LONG_UNICODE_COLUMN)).toEqual({
      type: CATALOG_TYPE.column,
      objidTable: 8,
      id: 261,
      name: 'LongUnicode',
      coltyp: COLTYP.longText,
      maxLength: 0,
      flags: 1,
      codePage: 1200,
    });
  });

  it('an index: filler of NULL columns is not read, the locale lies in a tagged column', () => {
    expect(decode(INDEX_ID)).toEqual({
      type: CATALOG_TYPE.index,
      objidTable: 8,
      id: 8,
      name: 'IxId',
      pgnoFdp: 31,
      density: 80,
      flags: 0x1002f,
      lcid: 0,
      lcMapFlags: 0x30401,
      keyMost: 5,
      segments: [{ columnId: 1, descending: false, mustBeNull: false, derived: false }],
      conditions: [],
      localeName: 'en-US',
    });
  });

  it('a table', () => {
    expect(decode(TABLE_ROW)).toEqual({
      type: CATALOG_TYPE.table,
      objidTable: 2,
      id: 2,
      name: 'MSysObjects',
      pgnoFdp: 4,
      density: 80,
      flags: 0xc0000000,
      pages: 20,
    });
  });

  it('a long-value tree', () => {
    expect(decode(LONG_VALUE_ROW)).toEqual({
      type: CATALOG_TYPE.longValue,
      objidTable: 8,
      id: 9,
      name: 'LV',
      pgnoFdp: 36,
      density: 100,
      flags: 0,
      pages: 1,
    });
  });

  it('old segments are signed ids, negative for descending', () => {
    // The index row above without flag 0x10000: its four bytes of segments are two ids.
    const old = bytesOf(INDEX_ID);
    old[0x18] = 0;
    old.set([0xff, 0xff, 0x02, 0x00], 0x37);
    const row = createCatalogRowDecoder(4096)(old, 0, old.length);
    expect(row.type === CATALOG_TYPE.index ? row.segments : []).toEqual([
      { columnId: 1, descending: true, mustBeNull: true, derived: false },
      { columnId: 2, descending: false, mustBeNull: false, derived: false },
    ]);
  });

  it.each([
    [0x80, { descending: false, mustBeNull: false, derived: true }],
    [0x40, { descending: true, mustBeNull: false, derived: false }],
    [0x20, { descending: false, mustBeNull: true, derived: false }],
  ])('flag %i of a segment', (flag, meaning) => {
    const bytes = bytesOf(INDEX_ID);
    bytes[0x37] = flag;
    const row = createCatalogRowDecoder(4096)(bytes, 0, bytes.length);
    expect(row.type === CATALOG_TYPE.index ? row.segments : []).toEqual([{ columnId: 1, ...meaning }]);
  });

  it('a row without its name is a damaged catalog', () => {
    const nameless = bytesOf(LONG_VALUE_ROW);
    nameless[0x20] = 0x80;
    nameless[0x1f] = 0x00;
    expect(() => createCatalogRowDecoder(4096)(nameless, 0, nameless.length - 2)).toThrow(
      expect.objectContaining({
        name: 'JET_errCatalogCorrupted',
        message: expect.stringContaining('Name is NULL'),
      }),
    );
  });
});

describe('tables of catalog rows', () => {
  const base = { flags: 0, density: 80, pgnoFdp: 31, pages: 1 } as const;
  const table = (objidTable: number, name: string, more: object = {}): CatalogRow => ({
    type: CATALOG_TYPE.table,
    ...base,
    objidTable,
    id: objidTable,
    name,
    ...more,
  });
  const column = (objidTable: number, id: number, name: string, more: object = {}): CatalogRow => ({
    type: CATALOG_TYPE.column,
    objidTable,
    id,
    name,
    flags: 0,
    coltyp: COLTYP.long,
    maxLength: 4,
    codePage: 0,
    ...(id < 128 ? { recordOffset: 4 * id } : {}),
    ...more,
  });

  it('rows are grouped by table, and fixed columns keep their offsets', () => {
    const { tables, faults } = groupCatalogRows([
      table(8, 'first'),
      column(8, 1, 'a'),
      column(8, 2, 'JetStub_8_2', { coltyp: COLTYP.nil }),
      column(8, 256, 'tagged'),
      decode(LONG_VALUE_ROW),
      table(10, 'second'),
    ]);
    expect(faults).toEqual([]);
    expect(
      tables.map(({ name, columns, longValueTree }) => [name, columns.length, longValueTree?.pgnoFdp]),
    ).toEqual([
      ['first', 3, 36],
      ['second', 0, undefined],
    ]);
    expect(tables[0]?.columns.map((found) => found.fixedOffset)).toEqual([4, 8, 0]);
  });

  it('a derived table has the columns of its template first', () => {
    const { tables, faults } = groupCatalogRows([
      table(8, 'Template', { flags: 0x20000000 }),
      column(8, 1, 'inherited'),
      table(9, 'derived', { flags: 0x10000000, templateTable: 'TEMPLATE' }),
      column(9, 2, 'own'),
    ]);
    expect(faults).toEqual([]);
    expect(tables[1]?.columns.map(({ name, derived }) => [name, derived])).toEqual([
      ['inherited', true],
      ['own', false],
    ]);
  });

  it('contradictions are reported and cost no more than they must', () => {
    const { tables, faults } = groupCatalogRows([
      table(8, 'kept'),
      table(8, 'again'),
      column(8, 1, 'a'),
      column(8, 1, 'b'),
      column(8, 2, 'no offset', { recordOffset: undefined }),
      column(9, 1, 'orphan'),
      table(10, 'derived', { flags: 0x10000000, templateTable: 'missing' }),
    ]);
    expect(tables.map(({ name, columns }) => [name, columns.map((found) => found.name)])).toEqual([
      ['kept', ['a']],
      ['derived', []],
    ]);
    expect(faults.map(({ objidTable }) => objidTable).sort((a, b) => a - b)).toEqual([8, 8, 8, 9, 10]);
  });
});
