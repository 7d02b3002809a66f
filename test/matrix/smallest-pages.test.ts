import { beforeAll, describe, expect, test } from 'vitest';
import { defragment } from '../../src/maintenance/defrag.js';
import { dumpHeader } from '../../src/maintenance/dump-header.js';
import { repair } from '../../src/maintenance/repair.js';
import { BUILT, builtDatabase } from '../support/built-database.js';
import { readFile } from '../support/files.js';
import { judgeDatabase } from '../support/judge-database.js';
import { judgeReaders, judgeRepair, look, type Untouched } from './judge.js';
import {
  diskWith,
  environmentOn,
  logicalDump,
  type MatrixDatabase,
  matrixDatabase,
  runChecksum,
  runIntegrity,
  VICTIM,
} from './lab.js';
import { MATRIX, type MatrixRow } from './rows.js';

/** Pages of 2 KiB: no engine of today makes them, so the database is built without one. */
const PAGE_SIZE = 2048;
/** There is no index over text, and the last page of the file belongs to the shadow catalog. */
const LEFT_OUT = new Set([44, 46]);
const SHORT = new Set([1, 7, 10, 17, 19, 27, 31, 37, 43]);
const ROWS = MATRIX.filter(
  ({ row }) => !LEFT_OUT.has(row) && (process.env.ESEKIT_FULL !== undefined || SHORT.has(row)),
).map((row): [number, string, MatrixRow] => [row.row, row.what, row]);

describe('a database with pages of 2 KiB', () => {
  let database: MatrixDatabase;
  let untouched: Untouched;
  beforeAll(async () => {
    const disk = builtDatabase(
      PAGE_SIZE,
      new Map([
        ['first', { rows: 900, values: 26 }],
        ['second', { rows: 300, autoIncrement: 300n }],
        ['third', { rows: 3 }],
      ]),
    );
    database = await matrixDatabase('pages of 2 KiB', readFile(disk, BUILT), PAGE_SIZE);
    untouched = await look(database);
  });

  test('is read as what it is', async () => {
    const disk = diskWith(database.bytes);
    expect(dumpHeader(disk, VICTIM)).toMatchObject({ header: { pageSize: PAGE_SIZE } });
    expect(await runChecksum(disk)).toMatchObject({ error: 'done', codes: [] });
    expect(await runIntegrity(disk)).toMatchObject({ error: 'done', codes: [] });
    expect((await repair(environmentOn(disk), VICTIM, { inPlace: true })).report.action).toBe('none');
    const rows = database.oracle.get('first')?.rows ?? [];
    expect(rows).toHaveLength(900);
    // Row 26 has 3900 bytes of its number, in two chunks of at most 1966.
    expect(JSON.parse(rows[25] ?? '')).toEqual({ id: 26, n: 2, data: '1a'.repeat(3900) });
  });

  test('is defragmented, and nothing of it is lost', async () => {
    const disk = diskWith(database.bytes);
    await defragment(environmentOn(disk), VICTIM, { workers: 1 });
    expect(await logicalDump(disk, VICTIM)).toEqual(database.oracle);
    expect(judgeDatabase(disk, VICTIM)).toMatchObject({ leaked: [], header: { cbPageSize: PAGE_SIZE } });
    expect(await runIntegrity(disk)).toMatchObject({ error: 'done', codes: [] });
  });

  test.each(ROWS)('row %i: %s', async (_number, _what, row) => {
    expect(await judgeReaders(database, row, untouched)).toBe(true);
    expect(await judgeRepair(database, row, untouched)).toBe(true);
  });
});
