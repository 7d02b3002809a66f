import { spawnSync } from 'node:child_process';
import { mkdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Cursor } from '../dist/engine/cursor.js';
import { openInstance } from '../dist/engine/instance.js';
import { createTable } from '../dist/engine/schema.js';
import { insertRow } from '../dist/engine/table-rows.js';
import { realEnvironment } from '../dist/io/environment.js';
import { compareItems, importPeer, withDataFolder } from './harness.mjs';

/**
 * What programs do with a database: insert in batches, commit single rows durably, scan, seek. The rows have a
 * number, which is the primary key, a group with an index of its own, and 100 bytes. SQLite gets the same table and
 * index, in WAL mode; lmdb, which has no indexes, a second store for the groups. All three log or copy what they
 * change; a batch waits for no disk (`synchronous NORMAL`, lazy commits, `noSync`), a durable commit does.
 *
 * In the end memory: ten times as much is written and read again as the cache may hold.
 */

const BATCH = 1000;
const BATCHES = 40;
const ROWS = Number(process.env.ESEKIT_BENCH_ROWS ?? 100_000);
const SEEKS = 20_000;
const COMMITS = 256;
/** Writers whose commits wait for one sync. */
const WRITERS = 64;
const PAYLOAD_BYTES = 100;
const PAGE_SIZE = 8192;
const CACHE_BYTES = 64 * 2 ** 20;
const MIB = 2 ** 20;
const DISK_BYTES = 2 ** 30;
const SMALL_CACHE_BYTES = 8 * MIB;
const LARGE_ROWS = 600_000;

/** @typedef {{ run(...values: unknown[]): void, get(...values: unknown[]): unknown, iterate(): Iterable<unknown> }} Statement */
/** @typedef {{ exec(sql: string): void, pragma(sql: string): void, prepare(sql: string): Statement }} Sqlite */
/** @typedef {{ put(key: number, value: Uint8Array): void, putSync(key: number, value: Uint8Array): void, get(key: number): Uint8Array, getRange(): Iterable<unknown>, transactionSync(action: () => void): void, transaction(action: () => void): Promise<void>, openDB(options: object): Store }} Store */

const sqlite = /** @type {{ default: new (path: string) => Sqlite } | undefined} */ (
  await importPeer('better-sqlite3')
);
const lmdb = /** @type {{ open(options: object): Store } | undefined} */ (await importPeer('lmdb'));

const groupOf = (/** @type {number} */ n) => Math.imul(n, 0x9e3779b1) >>> 12;
const shuffled = (/** @type {number} */ n) => (Math.imul(n, 0x9e3779b1) >>> 0) % ROWS;

/** @param {string} folder @param {number} cacheBytes */
function openEsekit(folder, cacheBytes = CACHE_BYTES) {
  mkdirSync(folder);
  const instance = openInstance({
    environment: realEnvironment(),
    logDirectory: folder,
    pageSize: PAGE_SIZE,
    log: { circular: true },
  });
  const database = instance.createDatabase(join(folder, 'bench.edb'), { cacheBytes });
  const session = instance.createSession();
  const table = createTable(database, session, {
    name: 'T',
    columns: [
      { name: 'Id', type: 'long', notNull: true },
      { name: 'Group', type: 'long' },
      { name: 'Payload', type: 'binary', maxLength: PAYLOAD_BYTES },
    ],
    indexes: [
      { name: 'ById', primary: true, segments: ['Id'] },
      { name: 'ByGroup', segments: ['Group'] },
    ],
  });
  const id = new Uint8Array(4);
  const group = new Uint8Array(4);
  const payload = new Uint8Array(PAYLOAD_BYTES);
  const row = new Map([
    [table.column('Id'), [id]],
    [table.column('Group'), [group]],
    [table.column('Payload'), [payload]],
  ]);
  const idView = new DataView(id.buffer);
  const groupView = new DataView(group.buffer);
  let next = 0;
  /** Inserts rows in one transaction. */
  const insert = (/** @type {number} */ count, /** @type {boolean} */ lazy) => {
    session.begin();
    for (let i = 0; i < count; i++, next++) {
      idView.setInt32(0, next, true);
      groupView.setInt32(0, groupOf(next), true);
      payload.fill(next);
      insertRow(session, table, row);
    }
    session.commit({ lazy });
  };
  const cursor = new Cursor(session, table);
  const sessions = Array.from({ length: WRITERS }, () => instance.createSession());
  /** One row for each of many writers, each in a transaction of its own session; all wait for the disk together. */
  const insertTogether = () => {
    for (const writer of sessions) {
      writer.begin();
      idView.setInt32(0, next, true);
      groupView.setInt32(0, groupOf(next), true);
      payload.fill(next++);
      insertRow(writer, table, row);
    }
    for (const writer of sessions) writer.commit({ lazy: true });
    instance.waitForDurability();
  };
  return { instance, cursor, insert, insertTogether };
}

/** @param {string} path */
function openSqlite(path) {
  if (sqlite === undefined) return undefined;
  const database = new sqlite.default(path);
  database.pragma(`page_size = ${PAGE_SIZE}`);
  database.pragma('journal_mode = WAL');
  database.pragma(`cache_size = -${CACHE_BYTES / 1024}`);
  database.exec('CREATE TABLE t (id INTEGER PRIMARY KEY, g INTEGER, payload BLOB); CREATE INDEX g ON t (g)');
  const insertOne = database.prepare('INSERT INTO t VALUES (?, ?, ?)');
  const begin = database.prepare('BEGIN');
  const commit = database.prepare('COMMIT');
  const payload = new Uint8Array(PAYLOAD_BYTES);
  let next = 0;
  const insert = (/** @type {number} */ count, /** @type {boolean} */ lazy) => {
    if (next === 0 || !lazy) database.pragma(`synchronous = ${lazy ? 'NORMAL' : 'FULL'}`);
    begin.run();
    for (let i = 0; i < count; i++, next++) {
      payload.fill(next);
      insertOne.run(next, groupOf(next), payload);
    }
    commit.run();
  };
  return { database, insert };
}

/** @param {string} path @param {boolean} lazy */
function openLmdb(path, lazy) {
  if (lmdb === undefined) return undefined;
  const store = lmdb.open({ path, encoding: 'binary', mapSize: DISK_BYTES, noSync: lazy });
  const groups = store.openDB({ name: 'g', encoding: 'binary', dupSort: true });
  const payload = new Uint8Array(PAYLOAD_BYTES + 4);
  const number = new Uint8Array(4);
  let next = 0;
  const insert = (/** @type {number} */ count) => {
    store.transactionSync(() => {
      for (let i = 0; i < count; i++, next++) {
        payload.fill(next);
        new DataView(number.buffer).setInt32(0, next, true);
        store.putSync(next, payload);
        groups.putSync(groupOf(next), number);
      }
    });
  };
  /** Writes of many writers that wait for the disk together. */
  const insertTogether = () => {
    const waiting = [];
    for (let i = 0; i < WRITERS; i++, next++) {
      payload.fill(next);
      new DataView(number.buffer).setInt32(0, next, true);
      const row = next;
      const member = number.slice();
      waiting.push(
        store.transaction(() => {
          store.put(row, payload);
          groups.put(groupOf(row), member);
        }),
      );
    }
    return Promise.all(waiting);
  };
  return { store, insert, insertTogether };
}

/** Says to a process of this file that it has to measure memory alone. */
const MEMORY = '--memory';
const [, , mode, memoryFolder] = process.argv;
if (mode === MEMORY && memoryFolder !== undefined) memory(memoryFolder);
else await withDataFolder(DISK_BYTES, compareAll);

/** @param {string} folder */
async function compareAll(folder) {
  const own = openEsekit(join(folder, 'esekit'));
  const peer = openSqlite(join(folder, 'peer.sqlite'));
  const other = openLmdb(join(folder, 'lmdb'), true);

  /** @param {(insert: (count: number, lazy: boolean) => void) => void} run */
  const contenders = (run) => {
    const list = [];
    if (peer !== undefined) list.push({ name: 'better-sqlite3', run: () => run(peer.insert) });
    if (other !== undefined) list.push({ name: 'lmdb', run: () => run(other.insert) });
    list.push({ name: 'esekit', run: () => run(own.insert) });
    return list;
  };
  await compareItems(
    `Inserts in batches of ${BATCH}, one secondary index`,
    'rows',
    BATCH * BATCHES,
    contenders((insert) => {
      for (let i = 0; i < BATCHES; i++) insert(BATCH, true);
    }),
  );

  const durable = openLmdb(join(folder, 'lmdb-durable'), false);
  const commits = [];
  if (peer !== undefined) {
    commits.push({
      name: 'better-sqlite3, synchronous FULL',
      run: () => {
        for (let i = 0; i < COMMITS; i++) peer.insert(1, false);
      },
    });
  }
  if (durable !== undefined) {
    commits.push(
      {
        name: 'lmdb',
        run: () => {
          for (let i = 0; i < COMMITS; i++) durable.insert(1);
        },
      },
      {
        name: `lmdb, ${WRITERS} writers wait together`,
        run: async () => {
          for (let i = 0; i < COMMITS; i += WRITERS) await durable.insertTogether();
        },
      },
    );
  }
  commits.push(
    {
      name: 'esekit',
      run: () => {
        for (let i = 0; i < COMMITS; i++) own.insert(1, false);
      },
    },
    {
      name: `esekit, ${WRITERS} writers wait together`,
      run: () => {
        for (let i = 0; i < COMMITS; i += WRITERS) own.insertTogether();
      },
    },
  );
  await compareItems('Durable commits of one row', 'commits', COMMITS, commits);

  const scans = [];
  if (peer !== undefined) {
    const all = peer.database.prepare('SELECT * FROM t ORDER BY id LIMIT 100000');
    scans.push({ name: 'better-sqlite3', run: () => count(all.iterate()) });
  }
  if (other !== undefined)
    scans.push({ name: 'lmdb, bytes', run: () => count(other.store.getRange(), ROWS) });
  const { cursor } = own;
  scans.push(
    {
      name: 'esekit, rows as objects',
      run: () => {
        let rows = 0;
        for (let on = cursor.first(); on && rows < ROWS; on = cursor.next(), rows++) cursor.row();
        return rows;
      },
    },
    {
      name: 'esekit, records as bytes',
      run: () => {
        let bytes = 0;
        let rows = 0;
        for (let on = cursor.first(); on && rows < ROWS; on = cursor.next(), rows++)
          bytes += cursor.record.length;
        return bytes;
      },
    },
  );
  await compareItems('Scan in the order of the primary key', 'rows', ROWS, scans);

  const seeks = [];
  if (peer !== undefined) {
    const one = peer.database.prepare('SELECT * FROM t WHERE id = ?');
    seeks.push({
      name: 'better-sqlite3',
      run: () => {
        for (let i = 0; i < SEEKS; i++) one.get(shuffled(i));
      },
    });
  }
  if (other !== undefined) {
    seeks.push({
      name: 'lmdb, bytes',
      run: () => {
        for (let i = 0; i < SEEKS; i++) other.store.get(shuffled(i));
      },
    });
  }
  seeks.push(
    {
      name: 'esekit, rows as objects',
      run: () => {
        for (let i = 0; i < SEEKS; i++) if (cursor.seek('=', shuffled(i))) cursor.row();
      },
    },
    {
      name: 'esekit, records as bytes',
      run: () => {
        for (let i = 0; i < SEEKS; i++) if (cursor.seek('=', shuffled(i))) cursor.record.length;
      },
    },
  );
  await compareItems('Seeks of rows in no order', 'seeks', SEEKS, seeks);
  own.instance.close();

  const file = fileURLToPath(import.meta.url);
  spawnSync(process.execPath, [file, MEMORY, join(folder, 'memory')], { stdio: 'inherit' });
}

/** @param {Iterable<unknown>} rows @param {number} [most] */
function count(rows, most = Number.POSITIVE_INFINITY) {
  let found = 0;
  for (const _row of rows) if (++found >= most) break;
  return found;
}

/** Memory of a load that is far larger than the cache.
 *
 * @param {string} folder
 */
function memory(folder) {
  const resident = () => process.memoryUsage().rss / MIB;
  const { instance, cursor, insert } = openEsekit(folder, SMALL_CACHE_BYTES);
  const tenths = [];
  for (let n = 0; n < LARGE_ROWS; n += BATCH) {
    insert(BATCH, true);
    if ((n + BATCH) % (LARGE_ROWS / 10) === 0) tenths.push(resident());
  }
  let rows = 0;
  for (let on = cursor.first(); on; on = cursor.next()) {
    cursor.record.length;
    rows++;
  }
  const read = resident();
  instance.close();
  const { size } = statSync(join(folder, 'bench.edb'));
  console.log(
    `\nMemory with a cache of ${SMALL_CACHE_BYTES / MIB} MiB: ${rows} rows, ${(size / MIB).toFixed(0)} MiB, were written and read`,
  );
  console.log(
    `MiB resident after each tenth: ${tenths.map((mib) => mib.toFixed(0)).join(' ')}; read: ${read.toFixed(0)}`,
  );
}
