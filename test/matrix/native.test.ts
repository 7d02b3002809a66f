import { beforeAll, describe, expect, test } from 'vitest';
import { judgeReaders, judgeRepair, look, type Untouched } from './judge.js';
import { type MatrixDatabase, nativeDatabase } from './lab.js';
import { MATRIX, type MatrixRow } from './rows.js';

/** All rows on two page sizes, one for each kind of page; on all of them with `ESEKIT_FULL`. */
const PAGE_SIZES = process.env.ESEKIT_FULL === undefined ? [4096, 16384] : [4096, 8192, 16384, 32768];
/** Making or reading a database takes its time on a busy machine. */
const SETUP_MS = 180_000;
const ROWS = MATRIX.map((row): [number, string, MatrixRow] => [row.row, row.what, row]);

describe.each(PAGE_SIZES)('the corruption matrix over a database with pages of %i bytes', (pageSize) => {
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
