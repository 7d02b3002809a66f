import { chmodSync, closeSync, mkdtempSync, openSync, readSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { nodeFileSystem } from '../dist/io/node-file-system.js';
import { verifyDatabase } from '../dist/maintenance/verify.js';
import { warmPool } from '../dist/workers/pool.js';
import { writeChecksumDatabase } from './checksum-data.mjs';
import { compare, outputOf, runProgram, withDataFolder } from './harness.mjs';
import { preparePgChecksums } from './pg-checksums.mjs';
import { findPostgres } from './postgres.mjs';

/**
 * `eseutil /k` on files of noise with valid checksums, in the page cache: whole processes against `cat` (which
 * only reads), `cksum` (one CRC of the file) and, where it is installed, `pg_checksums` on a PostgreSQL database
 * of about the same size; and the function in this process against a plain read loop.
 */

const GIB = 2 ** 30;
const PAGE_SIZE = 8192;
const CHUNK_BYTES = 2 * 1024 * 1024;
const EMPTY_RUNS = 10;
/** Sizes of the files in GiB. */
const SIZES = (process.env.ESEKIT_BENCH_GIB ?? '1,4').split(',').map(Number);

const eseutil = fileURLToPath(new URL('../dist/bin/eseutil.js', import.meta.url));

/** @param {string} file */
function readAll(file) {
  const buffer = new Uint8Array(CHUNK_BYTES);
  const fd = openSync(file, 'r');
  for (let at = 0; ; at += CHUNK_BYTES) if (readSync(fd, buffer, 0, CHUNK_BYTES, at) === 0) break;
  closeSync(fd);
}

/**
 * @param {string} file
 * @param {number} workers
 * @param {number} pages
 */
async function verify(file, workers, pages) {
  const { report, error } = await verifyDatabase(nodeFileSystem, file, { workers });
  if (error !== undefined || report.pages.total !== pages) throw new Error(`${file} was not verified`);
}

// Each file stands beside a PostgreSQL database of its size.
await withDataFolder(SIZES.reduce((sum, size) => sum + 2 * size, 1) * GIB, async (folder) => {
  const postgres = findPostgres();
  await compare('Start-up', 0, [
    { name: `node -e 0, ${EMPTY_RUNS} times`, run: repeated(['-e', '0']) },
    { name: `eseutil --version, ${EMPTY_RUNS} times`, run: repeated([eseutil, '--version']) },
  ]);
  for (const size of SIZES) {
    const bytes = size * GIB;
    const file = join(folder, `${size}gib.edb`);
    const pages = writeChecksumDatabase(file, bytes, PAGE_SIZE);
    runProgram('cat', [file]);
    const seen = outputOf(process.execPath, [eseutil, '/k', file]);
    if (!seen.includes(`${pages + 2} pages seen`)) throw new Error(`not all pages were seen: ${seen}`);
    const peers = [{ name: 'cksum', run: () => runProgram('cksum', [file]) }];
    if (postgres !== undefined) {
      const own = mkdtempSync(join(folder, 'postgres-'));
      chmodSync(own, 0o755);
      peers.push({ name: 'pg_checksums --check', ...preparePgChecksums(postgres, own, bytes) });
    }
    await compare(`Checksums of ${size} GiB, whole process, warm page cache`, bytes, [
      { name: 'cat (reads only)', run: () => runProgram('cat', [file]) },
      { name: 'eseutil /k', run: () => runProgram(process.execPath, [eseutil, '/k', file]) },
      ...peers,
    ]);
    const threads = availableParallelism();
    await warmPool(threads - 1);
    await compare(`Checksums of ${size} GiB, in process, warm page cache`, bytes, [
      { name: 'read in chunks of 2 MiB, one thread', run: () => readAll(file) },
      { name: 'verifyDatabase, one thread', run: () => verify(file, 1, pages) },
      { name: `verifyDatabase, ${threads} threads`, run: () => verify(file, threads, pages) },
    ]);
  }
});

/** @param {string[]} args */
function repeated(args) {
  return () => {
    for (let i = 0; i < EMPTY_RUNS; i += 1) runProgram(process.execPath, args);
  };
}
