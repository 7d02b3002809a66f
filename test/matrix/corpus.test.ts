import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import { electHeader, HEADER_ELECTION_BYTES } from '../../src/format/database-header.js';
import { allCorpusDatabases, describeWithCorpus } from '../corpus.js';
import { isInvisible, judgeReaders, judgeRepair, look, type Untouched } from './judge.js';
import { type MatrixDatabase, matrixDatabase } from './lab.js';
import { MATRIX, type MatrixRow } from './rows.js';

/** Real databases that take part in the short form: several levels of trees, long values, two page sizes. */
const SHORT: readonly string[] = ['srum-clean/SRUDB.dat', 'compressed-8k.edb'];
/** Clean ones: the matrix asks what a fault does to a database that is whole. */
const DIRTY = /ual-dirty|srum-dirty|srum-crash/;
const DATABASES = allCorpusDatabases().filter(
  ({ name }) => !DIRTY.test(name) && (process.env.ESEKIT_FULL !== undefined || SHORT.includes(name)),
);
/** Tables of so many columns `esedbexport` cannot read (docs/esedbexport.md). */
const NOT_EXPORTABLE: readonly string[] = ['large.edb'];
/** Making or reading a database takes its time on a busy machine. */
const SETUP_MS = 180_000;
const ROWS = MATRIX.map((row): [number, string, MatrixRow] => [row.row, row.what, row]);

describeWithCorpus('the corruption matrix over real databases', () => {
  describe.each(DATABASES.map(({ name, path }): [string, string] => [name, path]))('%s', (name, path) => {
    let database: MatrixDatabase;
    let untouched: Untouched;
    let judged = 0;
    beforeAll(async () => {
      const bytes = new Uint8Array(readFileSync(path));
      const { pageSize } = electHeader(bytes.subarray(0, HEADER_ELECTION_BYTES));
      database = await matrixDatabase(name, bytes, pageSize);
      untouched = await look(database, !NOT_EXPORTABLE.includes(name));
    }, SETUP_MS);

    test.each(ROWS)('row %i: %s', async (_number, what, row) => {
      if (name === 'srum.dat' && what === 'zero-page in a root of the database') {
        console.log(
          `${name}, row ${row.row}, ${what}: left out. Its bytes behind the last owned page are damage to whoever cannot read which pages are owned.`,
        );
        return;
      }
      if (isInvisible(database, row)) return;
      const isThere =
        (await judgeReaders(database, row, untouched)) && (await judgeRepair(database, row, untouched));
      if (isThere) judged++;
      else console.log(`${name} has nothing for row ${row.row}, ${what}`);
    });

    test('most rows have something to damage', () => {
      expect(judged).toBeGreaterThan(ROWS.length / 3);
    });
  });
});
