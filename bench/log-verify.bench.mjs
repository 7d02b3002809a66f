import { cpSync, mkdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { nodeFileSystem } from '../dist/io/node-file-system.js';
import { dumpLogStream } from '../dist/maintenance/dump-log.js';
import { openLog } from '../dist/recovery/log-reader.js';
import { findLogStream } from '../dist/recovery/log-stream.js';
import { compareLogs, outputOf, runProgram, withDataFolder } from './harness.mjs';
import { fillLog } from './log-data.mjs';
import { createCluster, findPostgres } from './postgres.mjs';

/**
 * Verification of logs: `eseutil /ml BASE`, which checks each segment, each record and the sequence of the logs, against
 * `pg_waldump --quiet`, which checks the CRC of each record, on logs of the same rows. Whole processes, warm page cache;
 * and the function in this process.
 */

const ROWS = Number(process.env.ESEKIT_BENCH_ROWS ?? 500_000);
const ROWS_PER_TRANSACTION = 1000;
const DATA_BYTES = 100;
const DISK_BYTES = 4 * 2 ** 30;
const MIB = 2 ** 20;

const eseutil = fileURLToPath(new URL('../dist/bin/eseutil.js', import.meta.url));

/** @param {string} folder */
function writeLogs(folder) {
  mkdirSync(folder);
  const data = new Uint8Array(DATA_BYTES).fill(0x5a);
  const options = { rows: ROWS, rowsPerTransaction: ROWS_PER_TRANSACTION, data };
  fillLog(folder, join(folder, 'rows.edb'), options).close();
}

/**
 * @param {string} bin
 * @param {string} folder
 */
function preparePgWaldump(bin, folder) {
  const data = join(folder, 'pg');
  const cluster = createCluster(bin, data, [
    'max_wal_size=64GB',
    'checkpoint_timeout=1d',
    'autovacuum=off',
    'full_page_writes=off',
    'synchronous_commit=off',
  ]);
  cluster.start();
  try {
    cluster.query(
      'create table t (id int primary key, k int, data bytea); create index on t (k); checkpoint',
    );
    const begin = cluster.query('select pg_current_wal_lsn()').trim();
    cluster.query(
      `insert into t select i, floor(random() * 2147483647)::int, decode(repeat('5a', ${DATA_BYTES}), 'hex') from generate_series(1, ${ROWS}) i`,
    );
    const end = cluster.query('select pg_current_wal_insert_lsn()').trim();
    cluster.query('select pg_switch_wal()');
    const bytes = Number(cluster.query(`select pg_wal_lsn_diff('${end}', '${begin}')`));
    const [program, args] = cluster.asServer('pg_waldump', [
      '--quiet',
      '-p',
      join(data, 'pg_wal'),
      '-s',
      begin,
      '-e',
      end,
    ]);
    const stats = outputOf(program, [...args.filter((arg) => arg !== '--quiet'), '--stats']);
    const records = Number(/Total\s+(\d+)/.exec(stats)?.[1] ?? 0);
    return { records, logBytes: bytes, run: () => runProgram(program, args) };
  } finally {
    // A checkpoint would reuse the files.
    cluster.stop('immediate');
  }
}

await withDataFolder(DISK_BYTES, async (folder) => {
  const logs = join(folder, 'logs');
  const written = join(folder, 'written');
  writeLogs(written);
  mkdirSync(logs);
  const { archived, current } = findLogStream(nodeFileSystem, written, 'E00');
  const entries = current === undefined ? archived : [...archived, current];
  let bytes = 0;
  for (const { path, name } of entries) {
    cpSync(path, join(logs, name));
    bytes += statSync(path).size;
  }
  rmSync(written, { recursive: true });
  const seen = outputOf(process.execPath, [eseutil, '/ml', join(logs, 'E00')]);
  const verified = seen.match(/- OK/g)?.length ?? 0;
  if (verified !== entries.length)
    throw new Error(`${verified} of ${entries.length} logs were verified: ${seen}`);
  console.log(`${Math.round(bytes / MIB)} MiB in ${entries.length} logs`);
  const bin = findPostgres();
  let records = 0;
  for (const { name } of entries) {
    const log = openLog(nodeFileSystem, join(logs, name));
    while (log.next()) records += 1;
    log.close();
  }
  const own = { records, logBytes: bytes };
  await compareLogs(`Verification of the logs of ${ROWS} rows`, 'logBytes', [
    ...(bin === undefined ? [] : [{ name: 'pg_waldump --quiet', ...preparePgWaldump(bin, folder) }]),
    {
      name: 'eseutil /ml, whole process',
      ...own,
      run: () => runProgram(process.execPath, [eseutil, '/ml', join(logs, 'E00')]),
    },
    {
      name: 'dumpLogStream() in process',
      ...own,
      run: () => dumpLogStream(nodeFileSystem, logs, 'E00'),
    },
  ]);
});
