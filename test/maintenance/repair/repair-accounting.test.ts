import { beforeAll, describe, expect, it } from 'vitest';
import { createNodeView, pageOffset } from '../../../src/format/page.js';
import { openDatabase, type Row } from '../../../src/index.js';
import { seededEnvironment } from '../../../src/io/environment.js';
import type { FileSystem } from '../../../src/io/file-system.js';
import { randomBelow, seededRandom } from '../../../src/io/seeded-random.js';
import { checkIntegrity } from '../../../src/maintenance/integrity.js';
import { repair } from '../../../src/maintenance/repair.js';
import { DAMAGED, damagedBytes } from '../../support/damaged-database.js';
import { readFile } from '../../support/files.js';
import { SAMPLE, sampleDatabase } from '../../support/sample-database.js';

const SEEDS = process.env.ESEKIT_FULL === undefined ? [1] : [1, 2, 3, 4, 5, 6];
const PLAIN = ['id', 'born', 'small', 'name', 'code', 'later'] as const;

/** Values of the columns that lie in the record itself. */
const plainOf = (row: Row): string =>
  JSON.stringify(
    PLAIN.map((name) =>
      String(row[name] instanceof Uint8Array ? Buffer.from(row[name]).toString('hex') : row[name]),
    ),
  );

function rowsById(fs: FileSystem): Map<unknown, Row> {
  const database = openDatabase(DAMAGED, { fs });
  const rows = new Map<unknown, Row>();
  try {
    for (const row of database.rows('People')) {
      expect(rows.has(row.id), `row ${String(row.id)} is there once`).toBe(false);
      rows.set(row.id, row);
    }
  } finally {
    database.close();
  }
  return rows;
}

/** Value of a long column, or what became of it. */
const longOf = (value: unknown): string =>
  value === undefined || value === null
    ? 'null'
    : value instanceof Uint8Array
      ? Buffer.from(value).toString('hex')
      : String(value);

describe('salvage of randomly damaged databases', () => {
  let bytes: Uint8Array;
  let expected: Map<unknown, Row>;
  beforeAll(() => {
    bytes = readFile(sampleDatabase({ rows: 900 }), SAMPLE);
    expected = rowsById(damagedBytes(bytes).disk());
  }, 60_000);

  const cases = SEEDS.flatMap((seed) => [0.01, 0.05, 0.2].map((part) => ({ part, seed })));

  it.each(cases)(
    '$part of the pages, seed $seed: every row of a sound leaf once, none invented',
    async ({ part, seed }) => {
      const random = seededRandom(seed);
      const db = damagedBytes(bytes);
      const table = db.table('People');
      const idOf = new Map<unknown, number>();
      const node = createNodeView();
      for (const { pgno, line } of db.nodesOf(table)) {
        const page = db.page(pgno);
        page.readNode(line, node);
        // Nodes and rows come in the same order.
        idOf.set([...expected.keys()][idOf.size], pgno);
      }
      const doomed = new Set<number>();
      const wanted = Math.max(1, Math.round(part * db.lastPgno));
      while (doomed.size < wanted) doomed.add(1 + randomBelow(random, db.lastPgno));
      for (const pgno of doomed) {
        const at = pageOffset(pgno, db.pageSize);
        if (randomBelow(random, 2) === 0) db.bytes.fill(0, at, at + db.pageSize);
        else for (let i = 0; i < db.pageSize; i++) db.bytes[at + i] = random.uint32() & 0xff;
      }
      const fs = db.disk();
      const { report } = await repair(seededEnvironment({ fs, seed: 1 }), DAMAGED, {
        inPlace: true,
        workers: 1,
      });
      const { error } = await checkIntegrity({ fs }, DAMAGED);
      expect(error).toBeUndefined();
      const people = report.tables.find(({ name }) => name === 'People');
      expect(people).toBeDefined();
      const found = rowsById(fs);
      expect(found.size).toBe(people?.records.kept);
      for (const [id, pgno] of idOf) {
        if (!doomed.has(pgno)) expect(found.has(id), `row ${String(id)} of page ${pgno}`).toBe(true);
      }
      let changed = 0;
      for (const [id, row] of found) {
        const before = expected.get(id);
        if (before === undefined) throw new Error(`row ${String(id)} is invented`);
        expect(plainOf(row)).toBe(plainOf(before));
        for (const column of ['picture', 'letter'] as const) {
          const [now, then] = [longOf(row[column]), longOf(before[column])];
          if (now === then) continue;
          expect(now).toBe('null');
          changed++;
        }
      }
      expect(changed).toBeLessThanOrEqual(people?.longValues.nulled ?? 0);
    },
    60_000,
  );

  it('one wrong bit on every page loses nothing', async () => {
    const random = seededRandom(7);
    const db = damagedBytes(bytes);
    for (let pgno = 1; pgno <= db.lastPgno; pgno++) {
      const at = pageOffset(pgno, db.pageSize);
      if (db.bytes.subarray(at, at + db.pageSize).every((byte) => byte === 0)) continue;
      // Not in the bit that says how the page is checked.
      const bit = 64 * 8 + randomBelow(random, (db.pageSize - 64) * 8);
      db.bytes[at + (bit >> 3)] = (db.bytes[at + (bit >> 3)] ?? 0) ^ (1 << (bit & 7));
    }
    const fs = db.disk();
    const { report, lost } = await repair(seededEnvironment({ fs, seed: 1 }), DAMAGED, {
      inPlace: true,
      workers: 1,
    });
    expect(lost).toBe(false);
    expect(report.correctedPages).toBeGreaterThan(db.lastPgno / 2);
    expect(
      Buffer.from(readFile(fs, DAMAGED).subarray(2 * db.pageSize)).equals(
        Buffer.from(bytes.subarray(2 * db.pageSize)),
      ),
    ).toBe(true);
    const { report: check } = await checkIntegrity({ fs }, DAMAGED);
    expect(check.findings).toEqual([]);
  });
});
