import { cpSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openDatabase } from '../dist/index.js';
import { realEnvironment } from '../dist/io/environment.js';
import { recover } from '../dist/recovery/recover.js';
import { warmPool } from '../dist/workers/pool.js';
import { compareLogs, outputOf, runProgram, withDataFolder } from './harness.mjs';
import { fillLog } from './log-data.mjs';
import { createCluster, findPostgres } from './postgres.mjs';

/**
 * Recovery of a database that was filled and never written: rows of about 150 bytes with a primary and two other
 * indexes, 100 in a transaction. Whole processes: `eseutil /r` against the start of a PostgreSQL server, from the crash
 * to a clean database (its pg_ctl looks every 100 ms whether it is done). Both write what they changed, synced, and keep
 * 128 MiB of pages. PostgreSQL logs the same rows in other records: each rate is that of the contender's own records and
 * bytes. Time of processors is printed beside time, since a busy machine changes it less.
 */

const ROWS = Number(process.env.ESEKIT_BENCH_ROWS ?? 200_000);
const ROWS_PER_TRANSACTION = 100;
const DATA_BYTES = 100;
const NAMES = 1_000_000;
const ROUNDS = 5;
const DISK_BYTES = 8 * 2 ** 30;
const MIB = 2 ** 20;

const eseutil = fileURLToPath(new URL('../dist/bin/eseutil.js', import.meta.url));

/**
 * Fills a database that exists only in its log.
 *
 * @param {string} logs
 * @param {string} folder
 */
function crashEsekit(logs, folder) {
  mkdirSync(logs);
  mkdirSync(folder);
  const data = new Uint8Array(DATA_BYTES);
  const options = { rows: ROWS, rowsPerTransaction: ROWS_PER_TRANSACTION, data, names: NAMES };
  fillLog(logs, join(folder, 'rows.edb'), options).abandon();
}

/**
 * @param {string} bin
 * @param {string} folder
 */
function crashPostgres(bin, folder) {
  const data = join(folder, 'pg');
  const cluster = createCluster(bin, data, [
    'max_wal_size=64GB',
    'checkpoint_timeout=1d',
    'autovacuum=off',
    'synchronous_commit=off',
    'shared_buffers=128MB',
  ]);
  cluster.start();
  cluster.query(
    'create table t (id int primary key, k int, name text, data bytea); create index on t (k); create index on t (name); checkpoint',
  );
  const begin = cluster.query('select pg_current_wal_lsn()').trim();
  cluster.query(
    `do $$ begin for i in 1..${ROWS} loop insert into t values (i, floor(random() * 2147483647)::int, ` +
      `'name ' || floor(random() * ${NAMES})::int, decode(repeat('00', ${DATA_BYTES}), 'hex')); ` +
      `if i % ${ROWS_PER_TRANSACTION} = 0 then commit; end if; end loop; commit; end $$`,
  );
  const end = cluster.query('select pg_current_wal_insert_lsn()').trim();
  // A crash must not lose the last commits, which wait for nothing.
  cluster.query('select pg_switch_wal()');
  cluster.stop('immediate');
  const stats = outputOf(
    ...cluster.asServer('pg_waldump', ['-p', join(data, 'pg_wal'), '-s', begin, '-e', end, '--stats']),
  );
  const [, records = '0', bytes = '0'] = /Total\s+(\d+).*?(\d+)\s+\[[\d.]+%\]\s*$/.exec(stats.trim()) ?? [];
  console.log(`PostgreSQL: ${records} records, ${Math.round(Number(bytes) / MIB)} MiB of log`);
  const crashed = join(folder, 'pg-crashed');
  outputOf('cp', ['-a', data, crashed]);
  return {
    name: 'PostgreSQL, start of the server',
    records: Number(records),
    logBytes: Number(bytes),
    cpu: cluster.cpu,
    prepare: () => {
      cluster.stop('immediate');
      rmSync(data, { recursive: true });
      outputOf('cp', ['-a', crashed, data]);
    },
    run: () => cluster.start(),
    stop: () => cluster.stop('immediate'),
    check: () => {
      const rows = Number(cluster.query('select count(*) from t'));
      if (rows !== ROWS) throw new Error(`PostgreSQL recovered ${rows} rows of ${ROWS}`);
    },
  };
}

await withDataFolder(DISK_BYTES, async (folder) => {
  const crashed = join(folder, 'crashed');
  crashEsekit(crashed, join(folder, 'never-written'));
  const logs = join(folder, 'logs');
  const out = join(folder, 'out');
  const prepare = () => {
    rmSync(logs, { recursive: true, force: true });
    rmSync(out, { recursive: true, force: true });
    cpSync(crashed, logs, { recursive: true });
    mkdirSync(out);
  };
  const inProcess = (/** @type {number} */ workers) =>
    recover(realEnvironment(), {
      baseName: 'E00',
      logPath: logs,
      systemPath: logs,
      databasePath: out,
      workers,
    });
  prepare();
  await warmPool(1);
  const { records, logs: replayed } = await inProcess(2);
  const logBytes = Number(outputOf('du', ['-sb', crashed]).split('\t')[0]);
  console.log(`esekit: ${records} records, ${Math.round(logBytes / MIB)} MiB in ${replayed.length} logs`);
  const bin = findPostgres();
  const peer = bin === undefined ? undefined : crashPostgres(bin, folder);
  try {
    const wholeProcess = (/** @type {string} */ workers) => () =>
      runProgram(process.execPath, [
        eseutil,
        '/r',
        'E00',
        '/l',
        logs,
        '/s',
        logs,
        '/d',
        out,
        '--workers',
        workers,
      ]);
    const own = { records, logBytes, prepare };
    await compareLogs(
      `Recovery of ${ROWS} rows`,
      'records',
      [
        ...(peer === undefined ? [] : [peer]),
        { name: 'eseutil /r, whole process', ...own, run: wholeProcess('1') },
        { name: 'eseutil /r, two threads', ...own, run: wholeProcess('2') },
        { name: 'recover() in process', ...own, run: () => inProcess(1) },
        { name: 'recover() in process, two threads', ...own, run: () => inProcess(2) },
      ],
      ROUNDS,
    );
    peer?.check();
  } finally {
    peer?.stop();
  }
  const database = openDatabase(join(out, 'rows.edb'));
  let rows = 0;
  for (const _ of database.rows('Rows')) rows++;
  database.close();
  if (rows !== ROWS) throw new Error(`esekit recovered ${rows} rows of ${ROWS}`);
});
