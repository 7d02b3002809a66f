import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { createLogStream } from '../dist/engine/log-writer.js';
import { createLogRecordEncoder } from '../dist/format/log-record-encoder.js';
import { realEnvironment } from '../dist/io/environment.js';
import { compare, importPeer, withDataFolder } from './harness.mjs';

/**
 * Durable commits of one small row. esekit logs what such a commit needs (Begin0, Insert, Commit0) and waits for the
 * disk; it changes no page, which the peers do in memory. lmdb writes its pages at each commit instead of a log.
 */

const COMMITS = 512;
const WAITING = 64;
const KEY_BYTES = 16;
const DATA_BYTES = 100;
const DISK_BYTES = 2 ** 28;

/**
 * @typedef {{ exec(sql: string): void, pragma(sql: string): void, prepare(sql: string): { run(...values: unknown[]): void } }} Sqlite
 */

const sqlite = /** @type {{ default: new (path: string) => Sqlite } | undefined} */ (
  await importPeer('better-sqlite3')
);
const lmdb =
  /** @type {{ open(options: object): { putSync(key: Uint8Array, data: Uint8Array): void } } | undefined} */ (
    await importPeer('lmdb')
  );

const key = new Uint8Array(KEY_BYTES);
const data = new Uint8Array(DATA_BYTES).fill(7);
let row = 0;

/** Another key each time. */
function nextKey() {
  row += 1;
  new DataView(key.buffer).setUint32(0, row);
  return key;
}

/** @param {string} folder */
function esekitCommits(folder) {
  const encoder = createLogRecordEncoder();
  let generation = 1;
  const log = createLogStream({
    environment: realEnvironment(),
    directory: folder,
    baseName: 'E00',
    pageSize: 4096,
    circular: true,
    parameters: {
      systemPath: folder,
      logPath: folder,
      sessions: 1,
      openTables: 1,
      verPages: 1,
      cursors: 1,
      cacheSizeMax: 1,
    },
    attachments: () => [],
    checkpoint: () => ({ generation, isec: 1, ib: 0 }),
    onGeneration: (next) => {
      generation = next;
    },
  });
  let trx = 0;

  /** Logs one transaction; returns the position of its commit. */
  const commit = () => {
    trx += 8;
    encoder.clear();
    log.append(
      encoder.encode('Begin0', { procid: 5, trxBegin0: trx, levelBeginFrom: 0, clevels: 1 }),
      encoder.encode('Insert', {
        procid: 5,
        dbid: 1,
        pgno: 40,
        dbtime: trx,
        dbtimeBefore: trx - 1,
        trxBegin0: trx,
        level: 1,
        iline: 3,
        pageFlags: 5,
        rceid: trx | 1,
        pgnoFDP: 31,
        objidFDP: 12,
        cbPrefix: 4,
        key: nextKey(),
        data,
      }),
    );
    return log.append(encoder.encode('Commit0', { procid: 5, levelCommitTo: 0, trxCommit0: trx + 4 }));
  };
  return { log, commit };
}

await withDataFolder(DISK_BYTES, async (folder) => {
  const contenders = [];
  if (sqlite !== undefined) {
    const database = new sqlite.default(join(folder, 'peer.sqlite'));
    database.pragma('journal_mode = WAL');
    database.pragma('synchronous = FULL');
    database.exec('CREATE TABLE t (k BLOB PRIMARY KEY, d BLOB) WITHOUT ROWID');
    const insert = database.prepare('INSERT INTO t VALUES (?, ?)');
    contenders.push({
      name: 'better-sqlite3, WAL, synchronous FULL',
      run: () => {
        for (let i = 0; i < COMMITS; i++) insert.run(nextKey(), data);
      },
    });
  }
  if (lmdb !== undefined) {
    const store = lmdb.open({ path: join(folder, 'lmdb'), encoding: 'binary', keyEncoding: 'binary' });
    contenders.push({
      name: 'lmdb',
      run: () => {
        for (let i = 0; i < COMMITS; i++) store.putSync(nextKey(), data);
      },
    });
  }
  const logs = join(folder, 'logs');
  mkdirSync(logs);
  const { log, commit } = esekitCommits(logs);
  contenders.push(
    {
      name: 'esekit log, each commit waits for itself',
      run: () => {
        for (let i = 0; i < COMMITS; i++) log.makeDurable(commit());
      },
    },
    {
      name: `esekit log, ${WAITING} commits wait together`,
      run: () => {
        for (let i = 0; i < COMMITS; i += WAITING) {
          for (let k = 0; k < WAITING; k++) commit();
          log.makeDurable();
        }
      },
    },
    {
      name: 'esekit log, lazy commits',
      run: () => {
        for (let i = 0; i < COMMITS; i++) commit();
      },
    },
  );
  await compare(`${COMMITS} commits of one row of ${KEY_BYTES} + ${DATA_BYTES} bytes`, 0, contenders);
  log.close();
});
