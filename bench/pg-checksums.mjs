import { spawnSync } from 'node:child_process';
import { chownSync, existsSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { outputOf, runProgram } from './harness.mjs';

/**
 * PostgreSQL's `pg_checksums` as a peer: it, too, reads every page of a closed database and verifies its
 * checksum. It needs a database of its own.
 */

const PROGRAMS = '/usr/lib/postgresql';
/** A row is stored as it is (no compression, no second table), four in a page. */
const ROW_TEXT = 'repeat(md5(i::text), 60)';
const ROW_PAGES = 1 / 4;
const POSTGRES_PAGE_BYTES = 8192;

/** Folder of the newest installed server, or undefined. */
export function findPostgres() {
  if (!existsSync(PROGRAMS)) return undefined;
  const versions = readdirSync(PROGRAMS).sort((a, b) => Number(b) - Number(a));
  return versions
    .map((version) => join(PROGRAMS, version, 'bin'))
    .find((bin) => existsSync(join(bin, 'pg_checksums')));
}

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
  mkdirSync(data);
  // The server refuses to run as root: then it runs as its own user.
  const isRoot = process.getuid?.() === 0;
  if (isRoot) {
    const id = (/** @type {string} */ flag) => Number(outputOf('id', [flag, 'postgres']));
    chownSync(data, id('-u'), id('-g'));
  }
  /** @type {(program: string, args: string[]) => [string, string[]]} */
  const asServer = (program, args) =>
    isRoot ? ['runuser', ['-u', 'postgres', '--', join(bin, program), ...args]] : [join(bin, program), args];
  runProgram(
    ...asServer('initdb', ['-D', data, '--data-checksums', '--no-sync', '-A', 'trust', '-U', 'bench']),
  );
  const options = `-c listen_addresses='' -c unix_socket_directories='${data}' -c fsync=off -c max_wal_size=64GB`;
  runProgram(...asServer('pg_ctl', ['-D', data, '-w', '-o', options, '-l', join(data, 'log'), 'start']));
  try {
    const rows = Math.floor(bytes / POSTGRES_PAGE_BYTES / ROW_PAGES);
    const sql = [
      'create unlogged table t (v text)',
      'alter table t alter v set storage plain',
      `insert into t select ${ROW_TEXT} from generate_series(1, ${rows}) i`,
    ].join('; ');
    runProgram(
      ...asServer('psql', ['-h', data, '-U', 'bench', '-v', 'ON_ERROR_STOP=1', '-c', sql, 'postgres']),
    );
  } finally {
    runProgram(...asServer('pg_ctl', ['-D', data, '-w', 'stop']));
  }
  const [program, args] = asServer('pg_checksums', ['--check', '-D', data]);
  const { stdout } = spawnSync(program, args, { encoding: 'utf8' });
  const blocks = Number(/Blocks scanned:\s+(\d+)/.exec(stdout)?.[1] ?? 0);
  if (blocks * POSTGRES_PAGE_BYTES < bytes * 0.9 || !/Bad checksums:\s+0/.test(stdout)) {
    throw new Error(`pg_checksums did not verify the table: ${stdout}`);
  }
  return { bytes: blocks * POSTGRES_PAGE_BYTES, run: () => runProgram(program, args) };
}
