import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { runProgram } from './harness.mjs';
import { createCluster } from './postgres.mjs';

/**
 * PostgreSQL's `pg_checksums` as a peer: it, too, reads every page of a closed database and verifies its
 * checksum. It needs a database of its own.
 */

/** A row is stored as it is (no compression, no second table), four in a page. */
const ROW_TEXT = 'repeat(md5(i::text), 60)';
const ROW_PAGES = 1 / 4;
const POSTGRES_PAGE_BYTES = 8192;

/**
 * Makes a closed database cluster of about `bytes` with checksums, and returns how to verify it.
 *
 * @param {string} bin folder of the programs
 * @param {string} folder an empty folder that this user may write to
 * @param {number} bytes
 * @returns {{ bytes: number, run: () => void }}
 */
export function preparePgChecksums(bin, folder, bytes) {
  const data = join(folder, 'pg');
  const cluster = createCluster(bin, data, ['fsync=off', 'max_wal_size=64GB']);
  cluster.start();
  try {
    const rows = Math.floor(bytes / POSTGRES_PAGE_BYTES / ROW_PAGES);
    const sql = [
      'create unlogged table t (v text)',
      'alter table t alter v set storage plain',
      `insert into t select ${ROW_TEXT} from generate_series(1, ${rows}) i`,
    ].join('; ');
    cluster.query(sql);
  } finally {
    cluster.stop();
  }
  const [program, args] = cluster.asServer('pg_checksums', ['--check', '-D', data]);
  const { stdout } = spawnSync(program, args, { encoding: 'utf8' });
  const blocks = Number(/Blocks scanned:\s+(\d+)/.exec(stdout)?.[1] ?? 0);
  if (blocks * POSTGRES_PAGE_BYTES < bytes * 0.9 || !/Bad checksums:\s+0/.test(stdout)) {
    throw new Error(`pg_checksums did not verify the table: ${stdout}`);
  }
  return { bytes: blocks * POSTGRES_PAGE_BYTES, run: () => runProgram(program, args) };
}
