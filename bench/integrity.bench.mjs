import { join } from 'node:path';
import { Cursor } from '../dist/engine/cursor.js';
import { openInstance } from '../dist/engine/instance.js';
import { createTable } from '../dist/engine/schema.js';
import { realEnvironment } from '../dist/io/environment.js';
import { checkIntegrity } from '../dist/maintenance/integrity.js';
import { closePool, warmPool } from '../dist/workers/pool.js';
import { compare, importPeer, withDataFolder } from './harness.mjs';

/**
 * The integrity check against SQLite's: the same rows, inserted in an order that is not that of their key, with
 * two secondary indexes. `integrity_check` and `/g` compare rows with indexes, `quick_check` and `/g /b` do not.
 * SQLite has no page checksums; esekit checks them, and who owns each page. Rates are those of the file's bytes.
 */

const ROWS = Number(process.env.ESEKIT_BENCH_ROWS ?? 200_000);
const TEXT_BYTES = 120;
const BATCH = 1000;
const ROUNDS = 5;
const DISK_BYTES = 2 * 2 ** 30;

/**
 * @typedef {{ run(...values: unknown[]): void, get(...values: unknown[]): Record<string, unknown> }} Statement
 * @typedef {{ exec(sql: string): void, pragma(sql: string): { [name: string]: unknown }[], prepare(sql: string): Statement, close(): void }} Sqlite
 */

const sqlite = /** @type {{ default: new (path: string) => Sqlite } | undefined} */ (
  await importPeer('better-sqlite3')
);

/** The columns of row `i`: a key and a name in no order, a number with many equals, and a text. */
function rowOf(/** @type {number} */ i) {
  const name = `name ${(Math.imul(i, 0x9e3779b1) >>> 0).toString(36).padStart(7, '0')}`;
  return {
    id: Math.imul(i, 0x27d4eb2f) >>> 1,
    name,
    city: (Math.imul(i, 0x85ebca6b) >>> 8) % 5000,
    note: `${name} `.repeat(20).slice(0, TEXT_BYTES),
  };
}

/** @param {string} path */
function makeSqlite(path) {
  if (sqlite === undefined) return;
  const database = new sqlite.default(path);
  database.pragma('page_size = 4096');
  database.pragma('synchronous = OFF');
  database.pragma('journal_mode = OFF');
  database.exec('CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT, city INTEGER, note TEXT)');
  database.exec('CREATE INDEX byName ON people (name)');
  database.exec('CREATE INDEX byCity ON people (city)');
  const insert = database.prepare('INSERT INTO people VALUES (?, ?, ?, ?)');
  database.exec('BEGIN');
  for (let i = 1; i <= ROWS; i += 1) {
    const { id, name, city, note } = rowOf(i);
    insert.run(id, name, city, note);
  }
  database.exec('COMMIT');
  database.close();
}

/** @param {string} folder */
function makeEse(folder) {
  const path = join(folder, 'people.edb');
  const environment = realEnvironment();
  const instance = openInstance({ environment, logDirectory: folder, log: { circular: true } });
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
      for (let i = from; i < from + BATCH && i <= ROWS; i += 1) people.insert(rowOf(i));
    });
  }
  instance.endSession(session);
  instance.cleanUp();
  instance.close();
  return path;
}

await withDataFolder(DISK_BYTES, async (folder) => {
  const environment = realEnvironment();
  const ese = makeEse(folder);
  const peer = join(folder, 'people.sqlite');
  makeSqlite(peer);
  const bytesOf = (/** @type {string} */ path) =>
    environment.fs.exists(path) ? environment.fs.stat(path).size : 0;

  /** @param {{ workers: number, comparesIndexes: boolean }} options */
  const check = async (options) => {
    const { report } = await checkIntegrity(environment, ese, options);
    const records = report.tables.find(({ name }) => name === 'people')?.records;
    if (report.corrupt || records !== ROWS)
      throw new Error(`${records} of ${ROWS} rows, ${report.errors} errors`);
  };
  /** @param {string} pragma */
  const sqliteCheck = (pragma) => ({
    name: `SQLite ${pragma}`,
    bytes: bytesOf(peer),
    run: () => {
      if (sqlite === undefined) return;
      const database = new sqlite.default(peer);
      const [row] = database.pragma(pragma);
      if (Object.values(row ?? {})[0] !== 'ok') throw new Error(`${pragma} found something`);
      database.close();
    },
  });
  /** @param {boolean} comparesIndexes */
  const own = (comparesIndexes) => [
    { name: 'esekit, two threads', run: () => check({ workers: 2, comparesIndexes }) },
    { name: 'esekit, one thread', run: () => check({ workers: 1, comparesIndexes }) },
  ];
  const peers = (/** @type {string} */ pragma) => (sqlite === undefined ? [] : [sqliteCheck(pragma)]);
  await warmPool(1);
  const title = `${ROWS} rows, two indexes`;
  await compare(
    `Integrity, ${title}, indexes compared`,
    bytesOf(ese),
    [...peers('integrity_check'), ...own(true)],
    ROUNDS,
  );
  await compare(
    `Integrity, ${title}, pages and trees only`,
    bytesOf(ese),
    [...peers('quick_check'), ...own(false)],
    ROUNDS,
  );
  const megabytes = (/** @type {string} */ path) => `${(bytesOf(path) / 2 ** 20).toFixed(1)} MiB`;
  console.log(`   the files: SQLite ${megabytes(peer)}, esekit ${megabytes(ese)}`);
  await closePool();
});
