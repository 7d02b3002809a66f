import { beforeAll, describe, expect, test } from 'vitest';
import { judgeReaders, judgeRepair, look, type Untouched } from './judge.js';
import { type MatrixDatabase, nativeDatabase } from './lab.js';
import { MATRIX, type MatrixRow } from './rows.js';

/** Making a database takes its time on a busy machine. */
const SETUP_MS = 180_000;
const ROWS = MATRIX.map((row): [number, string, MatrixRow] => [row.row, row.what, row]);

/** Every row over a database of our own engine. Page sizes have test files of their own, which run at one time. */
export function testNativeMatrix(pageSize: number): void {
  describe(`the corruption matrix over a database with pages of ${pageSize} bytes`, () => {
    let database: MatrixDatabase;
    let untouched: Untouched;
    beforeAll(async () => {
      database = await nativeDatabase(pageSize);
      untouched = await look(database);
    }, SETUP_MS);

    describe('/k and /g', () => {
      test.each(ROWS)('row %i: %s', async (_number, _what, row) => {
        expect(await judgeReaders(database, row, untouched)).toBe(true);
      });
    });

    describe('/p', () => {
      test.each(ROWS)('row %i: %s', async (_number, _what, row) => {
        expect(await judgeRepair(database, row, untouched)).toBe(true);
      });
    });
  });
}
