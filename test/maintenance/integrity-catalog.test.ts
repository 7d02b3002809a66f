import { describe, expect, test } from 'vitest';
import {
  CATALOG_TYPE,
  type CatalogColumnRow,
  type CatalogIndexRow,
  type CatalogLongValueRow,
  type CatalogRow,
  type CatalogTableRow,
  INDEX_FLAG,
  TABLE_FLAG,
} from '../../src/format/catalog-row.js';
import { COLTYP, COLUMN_FLAG } from '../../src/format/column.js';
import { checkCatalogRows } from '../../src/maintenance/integrity/catalog-check.js';
import { createFindingList } from '../../src/maintenance/integrity/finding.js';

const table = (objid: number, name: string, changes: Partial<CatalogTableRow> = {}): CatalogTableRow => ({
  type: CATALOG_TYPE.table,
  objidTable: objid,
  id: objid,
  name,
  flags: 0,
  pgnoFdp: objid + 50,
  density: 80,
  pages: 1,
  ...changes,
});

const column = (objid: number, id: number, changes: Partial<CatalogColumnRow> = {}): CatalogColumnRow => ({
  type: CATALOG_TYPE.column,
  objidTable: objid,
  id,
  name: `c${id}`,
  flags: 0,
  coltyp: COLTYP.long,
  maxLength: 4,
  codePage: 0,
  recordOffset: 4,
  ...changes,
});

const index = (objid: number, id: number, changes: Partial<CatalogIndexRow> = {}): CatalogIndexRow => ({
  type: CATALOG_TYPE.index,
  objidTable: objid,
  id,
  name: `i${id}`,
  flags: INDEX_FLAG.extendedSegments,
  pgnoFdp: id + 50,
  density: 80,
  lcid: 0,
  segments: [],
  conditions: [],
  ...changes,
});

const longValues = (objid: number, id: number): CatalogLongValueRow => ({
  type: CATALOG_TYPE.longValue,
  objidTable: objid,
  id,
  name: 'LV',
  flags: 0,
  pgnoFdp: id + 50,
  density: 100,
  pages: 1,
});

/** The system tables, without which no catalog is complete. */
const SYSTEM: readonly CatalogRow[] = [
  table(2, 'MSysObjects', { pgnoFdp: 4 }),
  index(2, 4, { name: 'Name', pgnoFdp: 7 }),
  index(2, 5, { name: 'RootObjects', pgnoFdp: 10 }),
  table(3, 'MSysObjectsShadow', { pgnoFdp: 24 }),
];

/** Findings about a catalog of these rows beside the system's; the rows lie on page 13 from node 0 on. */
function check(...rows: readonly CatalogRow[]): string[] {
  const list = createFindingList(100);
  const placedRows = [...rows, ...SYSTEM].map((row, node) => ({ row, pgno: 13, node }));
  checkCatalogRows({ rows: placedRows, oddRows: [], faults: [] }, 200, 90, list, { rank: 0 });
  return list.findings.map(
    ({ finding }) => `${finding.severity} ${finding.code} ${finding.node}: ${finding.message}`,
  );
}

describe('rows of the catalog', () => {
  test('that make sense give no finding', () => {
    const primary = index(8, 8, { flags: INDEX_FLAG.primary, pgnoFdp: 58, name: 'pk' });
    expect(check(table(8, 'a'), column(8, 1), primary, index(8, 9), longValues(8, 10))).toEqual([]);
  });

  test.each<[string, CatalogRow[], string]>([
    ['no table row (25)', [column(8, 1)], 'error CAT_ENTRY 0: the rows of table 8 include no table row'],
    [
      'two table rows (25)',
      [table(8, 'a'), table(8, 'b', { id: 8, pgnoFdp: 77 })],
      'error CAT_ENTRY 1: the table has two table rows',
    ],
    [
      'two long-value trees (25)',
      [table(8, 'a'), longValues(8, 10), longValues(8, 11)],
      'error CAT_ENTRY 2: the table has two long-value trees',
    ],
    [
      'an unknown type (26)',
      [table(8, 'a'), { type: 0, storedType: 9, objidTable: 8, id: 1, name: 'x', flags: 0 }],
      'error CAT_ENTRY 1: a row of the unknown type 9',
    ],
    ['no name (26)', [table(8, '')], 'error CAT_ENTRY 0: a name of 0 bytes'],
    [
      'a root behind the file (26)',
      [table(8, 'a', { pgnoFdp: 201 })],
      'error CAT_ENTRY 0: the root is page 201 of 200',
    ],
    [
      'a number never handed out (27)',
      [table(91, 'a', { pgnoFdp: 58 })],
      'error CAT_ENTRY 0: the object has the number 91, the highest one handed out is 90',
    ],
    [
      'a number twice (27)',
      [table(8, 'a'), longValues(8, 9), table(10, 'b'), index(10, 9, { pgnoFdp: 99 })],
      'error CAT_DUP_OBJID 3: LV has the number 9 too',
    ],
    [
      'a root twice (27)',
      [table(8, 'a'), table(9, 'b', { pgnoFdp: 58 })],
      'error CAT_DUP_FDP 1: a has the root 58 too',
    ],
    [
      'a primary index elsewhere (29)',
      [table(8, 'a'), index(8, 8, { flags: INDEX_FLAG.primary, pgnoFdp: 70 })],
      'error CAT_ENTRY 1: the primary index is not the tree of its table',
    ],
    [
      'a second primary index (29)',
      [
        table(8, 'a'),
        index(8, 8, { flags: INDEX_FLAG.primary, pgnoFdp: 58 }),
        index(8, 8, { flags: INDEX_FLAG.primary, pgnoFdp: 58, name: 'other' }),
      ],
      'error CAT_ENTRY 2: the table has two primary indexes',
    ],
    [
      'a template that does not exist (30)',
      [table(8, 'a', { flags: TABLE_FLAG.derived, templateTable: 't' })],
      'error CAT_ENTRY 0: the template t does not exist',
    ],
    [
      'a template that is younger (30)',
      [table(8, 'a', { flags: TABLE_FLAG.derived, templateTable: 'T' }), table(9, 't')],
      'error CAT_ENTRY 0: the template t is younger than the table',
    ],
    [
      'a column id twice',
      [table(8, 'a'), column(8, 1), column(8, 1, { name: 'x' })],
      'error CAT_ENTRY 2: two columns have the id 1',
    ],
    [
      'a column name twice (31)',
      [table(8, 'a'), column(8, 1), column(8, 2, { name: 'C1' })],
      'error CAT_ENTRY 2: two columns are called C1',
    ],
    [
      'an index name twice (31)',
      [table(8, 'a'), index(8, 9), index(8, 10, { name: 'I9' })],
      'error CAT_ENTRY 2: two indexes are called I9',
    ],
    ['a table name twice (31)', [table(8, 'a'), table(9, 'A')], 'error CAT_ENTRY 1: two tables are called A'],
    [
      'a column of an unknown type',
      [table(8, 'a'), column(8, 1, { coltyp: 19 })],
      'error CAT_ENTRY 1: a column has the unknown type 19',
    ],
    [
      'an escrow column without default (38)',
      [table(8, 'a'), column(8, 1, { flags: COLUMN_FLAG.escrowUpdate })],
      'warning CAT_ENTRY 1: an escrow column has no default',
    ],
  ])('%s', (_what, rows, expected) => {
    expect(check(...rows)).toEqual([expected]);
  });

  test('a secondary index that is the tree of its table breaks two rules (27, 29)', () => {
    expect(check(table(8, 'a'), index(8, 9, { pgnoFdp: 58 }))).toEqual([
      'error CAT_ENTRY 1: a secondary index is the tree of its table',
      'error CAT_DUP_FDP 1: a has the root 58 too',
    ]);
  });

  test('a catalog that does not list itself', () => {
    const list = createFindingList(100);
    const { tables } = checkCatalogRows({ rows: [], oddRows: [], faults: [] }, 200, 90, list, { rank: 0 });
    expect(list.findings.map(({ finding }) => finding.message)).toEqual([
      'the catalog does not list MSysObjects',
      'the catalog does not list MSysObjectsShadow',
    ]);
    expect(tables.map(({ name, pgnoFdp }) => [name, pgnoFdp])).toEqual([
      ['MSysObjects', 4],
      ['MSysObjectsShadow', 24],
    ]);
  });

  test('deleted columns may share a name', () => {
    const gone = (id: number) => column(8, id, { coltyp: COLTYP.nil, name: 'JetStub' });
    expect(check(table(8, 'a'), gone(1), gone(2))).toEqual([]);
  });
});
