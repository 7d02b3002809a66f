import { describe, expect, it } from 'vitest';
import { Cursor } from '../../src/engine/cursor.js';
import { createTable } from '../../src/engine/schema.js';
import { createEngineLab, LAB } from '../support/engine-lab.js';

/** The cache of a database has room for 64 pages at least. */
const CACHE_PAGES = 64;
const ROWS = 1200;

/** A table of some 400 pages in a database whose cache has room for 64; all of them rows of `n` and 1000 bytes. */
function largeTable() {
  const { instance } = createEngineLab({ log: { logFileKiB: 1024 } });
  const database = instance.createDatabase(`${LAB}/large.edb`, { cacheBytes: 1 });
  const session = instance.createSession();
  const table = createTable(database, session, {
    name: 'Large',
    columns: [
      { name: 'n', type: 'long' },
      { name: 'filler', type: 'longBinary' },
    ],
    indexes: [
      { name: 'primary', segments: ['n'], primary: true },
      { name: 'byFiller', segments: ['filler', 'n'] },
    ],
  });
  const cursor = new Cursor(session, table);
  for (let first = 0; first < ROWS; first += 100) {
    session.transaction(() => {
      for (let n = first; n < first + 100; n++) {
        cursor.insert({ n, filler: new Uint8Array(1000).fill(n % 7) });
      }
    });
  }
  return { database, session, cursor };
}

describe('the cache of a database', () => {
  it('stays within its bound while rows are read without a transaction', () => {
    const { database, cursor } = largeTable();
    let most = 0;
    const seen: unknown[] = [];
    for (let on = cursor.first(); on; on = cursor.next()) {
      seen.push(cursor.get('n'));
      most = Math.max(most, database.pool.cachedPages);
    }
    expect(seen).toEqual(Array.from({ length: ROWS }, (_, n) => n));
    expect(most).toBeLessThan(2 * CACHE_PAGES);
    expect(database.pool.lastPgno).toBeGreaterThan(4 * CACHE_PAGES);
  });

  it('gives a cursor on an index the row that it stands on, however many pages others read', () => {
    const { session, cursor } = largeTable();
    const byFiller = new Cursor(session, cursor.table);
    byFiller.setIndex('byFiller');
    expect(byFiller.first()).toBe(true);
    for (let on = cursor.first(); on; on = cursor.next()) cursor.record;
    expect(byFiller.get('n')).toBe(0);
    expect(byFiller.next()).toBe(true);
    expect(byFiller.get('n')).toBe(7);
  });
});
