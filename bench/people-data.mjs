import { join } from 'node:path';
import { Cursor } from '../dist/engine/cursor.js';
import { openInstance } from '../dist/engine/instance.js';
import { createTable } from '../dist/engine/schema.js';
import { realEnvironment } from '../dist/io/environment.js';
import { importPeer } from './harness.mjs';

/**
 * The same rows in an ESE database and in one of SQLite, inserted in the same order, with two secondary indexes.
 * Either in the order of their key, and 30 % of them deleted again; or in no order (`isScattered`), and all kept.
 */

export const ROWS = Number(process.env.ESEKIT_BENCH_ROWS ?? 200_000);
const DELETED = 0.3;
const TEXT_BYTES = 120;
const BATCH = 1000;

/**
 * @typedef {{ run(...values: unknown[]): void, get(...values: unknown[]): { n: number } }} Statement
 * @typedef {{ exec(sql: string): void, pragma(sql: string): Record<string, unknown>[], prepare(sql: string): Statement, close(): void }} Sqlite
 */

export const sqlite = /** @type {{ default: new (path: string) => Sqlite } | undefined} */ (
  await importPeer('better-sqlite3')
);

/**
 * The columns of row `i`: a key, names in no order, numbers with many equals, and a text.
 *
 * @param {number} i
 * @param {boolean} isScattered
 */
function rowOf(i, isScattered) {
  const name = `name ${(Math.imul(i, 0x9e3779b1) >>> 0).toString(36).padStart(7, '0')}`;
  return {
    id: isScattered ? Math.imul(i, 0x27d4eb2f) >>> 1 : i,
    name,
    city: (Math.imul(i, 0x85ebca6b) >>> 8) % 5000,
    note: `${name} `.repeat(20).slice(0, TEXT_BYTES),
  };
}

/** Whether row `i` is deleted again; the same ones everywhere. */
function isDeleted(/** @type {number} */ i) {
  return (Math.imul(i, 0xc2b2ae35) >>> 0) / 2 ** 32 < DELETED;
}

/**
 * @param {string} path
 * @param {{ isScattered?: boolean }} [options]
 */
export function makeSqlite(path, { isScattered = false } = {}) {
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
    const { id, name, city, note } = rowOf(i, isScattered);
    insert.run(id, name, city, note);
  }
  if (!isScattered) for (let i = 1; i <= ROWS; i += 1) if (isDeleted(i)) remove.run(i);
  database.exec('COMMIT');
  database.close();
}

/**
 * @param {string} folder
 * @param {{ isScattered?: boolean }} [options]
 */
export function makeEse(folder, { isScattered = false } = {}) {
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
      for (let i = from; i < from + BATCH && i <= ROWS; i += 1) people.insert(rowOf(i, isScattered));
    });
  }
  for (let i = 1, on = !isScattered && people.first(); on; ) {
    session.transaction(() => {
      for (let n = 0; n < BATCH && on; n += 1, i += 1, on = people.next()) if (isDeleted(i)) people.delete();
    });
  }
  instance.endSession(session);
  instance.cleanUp();
  instance.close();
  return path;
}

/** How many rows are left of those in order, and how many bytes they have. */
export function rowsLeft() {
  let left = 0;
  let bytes = 0;
  for (let i = 1; i <= ROWS; i += 1) {
    if (isDeleted(i)) continue;
    const { name, note } = rowOf(i, false);
    left += 1;
    bytes += 8 + name.length + note.length;
  }
  return { left, bytes };
}
