import { join } from 'node:path';
import { Cursor } from '../dist/engine/cursor.js';
import { openInstance } from '../dist/engine/instance.js';
import { createTable } from '../dist/engine/schema.js';
import { realEnvironment } from '../dist/io/environment.js';
import { importPeer } from './harness.mjs';

/**
 * The same rows in an ESE database and in one of SQLite, inserted in the same order, with two secondary indexes, 30 %
 * of them deleted again.
 */

export const ROWS = Number(process.env.ESEKIT_BENCH_ROWS ?? 200_000);
const DELETED = 0.3;
const TEXT_BYTES = 120;
const BATCH = 1000;

/**
 * @typedef {{ run(...values: unknown[]): void, get(...values: unknown[]): { n: number } }} Statement
 * @typedef {{ exec(sql: string): void, pragma(sql: string): void, prepare(sql: string): Statement, close(): void }} Sqlite
 */

export const sqlite = /** @type {{ default: new (path: string) => Sqlite } | undefined} */ (
  await importPeer('better-sqlite3')
);

/** The columns of row `i`: names in no order, numbers with many equals, and a text. */
export function rowOf(/** @type {number} */ i) {
  const name = `name ${(Math.imul(i, 0x9e3779b1) >>> 0).toString(36).padStart(7, '0')}`;
  return {
    name,
    city: (Math.imul(i, 0x85ebca6b) >>> 8) % 5000,
    note: `${name} `.repeat(20).slice(0, TEXT_BYTES),
  };
}

/** Whether row `i` is deleted again; the same ones everywhere. */
export function isDeleted(/** @type {number} */ i) {
  return (Math.imul(i, 0xc2b2ae35) >>> 0) / 2 ** 32 < DELETED;
}

/** @param {string} path */
export function makeSqlite(path) {
  if (sqlite === undefined) return;
  const database = new sqlite.default(path);
  database.pragma('page_size = 4096');
  database.pragma('synchronous = OFF');
  database.pragma('journal_mode = OFF');
  database.exec('CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT, city INTEGER, note TEXT)');
  database.exec('CREATE INDEX byName ON people (name)');
  database.exec('CREATE INDEX byCity ON people (city)');
  const insert = database.prepare('INSERT INTO people VALUES (?, ?, ?, ?)');
  const remove = database.prepare('DELETE FROM people WHERE id = ?');
  database.exec('BEGIN');
  for (let i = 1; i <= ROWS; i += 1) {
    const { name, city, note } = rowOf(i);
    insert.run(i, name, city, note);
  }
  for (let i = 1; i <= ROWS; i += 1) if (isDeleted(i)) remove.run(i);
  database.exec('COMMIT');
  database.close();
}

/** @param {string} folder */
export function makeEse(folder) {
  const path = join(folder, 'people.edb');
  const instance = openInstance({
    environment: realEnvironment(),
    logDirectory: folder,
    log: { circular: true },
  });
  const database = instance.createDatabase(path);
  const session = instance.createSession();
  createTable(database, session, {
    name: 'people',
    columns: [
      { name: 'id', type: 'long' },
      { name: 'city', type: 'long' },
      { name: 'name', type: 'text', maxLength: 40 },
      { name: 'note', type: 'text', maxLength: 200 },
    ],
    indexes: [
      { name: 'primary', segments: ['id'], primary: true },
      { name: 'byName', segments: ['name'] },
      { name: 'byCity', segments: ['city'] },
    ],
  });
  const people = new Cursor(session, database.table(session, 'people'));
  for (let from = 1; from <= ROWS; from += BATCH) {
    session.transaction(() => {
      for (let i = from; i < from + BATCH && i <= ROWS; i += 1) people.insert({ id: i, ...rowOf(i) });
    });
  }
  people.first();
  for (let i = 1, on = true; on; ) {
    session.transaction(() => {
      for (let n = 0; n < BATCH && on; n += 1, i += 1, on = people.next()) if (isDeleted(i)) people.delete();
    });
  }
  instance.endSession(session);
  instance.cleanUp();
  instance.close();
  return path;
}

/** How many rows are left, and how many bytes they have. */
export function rowsLeft() {
  let left = 0;
  let bytes = 0;
  for (let i = 1; i <= ROWS; i += 1) {
    if (isDeleted(i)) continue;
    const { name, note } = rowOf(i);
    left += 1;
    bytes += 8 + name.length + note.length;
  }
  return { left, bytes };
}
