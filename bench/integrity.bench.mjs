import { join } from 'node:path';
import { realEnvironment } from '../dist/io/environment.js';
import { checkIntegrity } from '../dist/maintenance/integrity.js';
import { closePool, warmPool } from '../dist/workers/pool.js';
import { compare, withDataFolder } from './harness.mjs';
import { makeEse, makeSqlite, ROWS, sqlite } from './people-data.mjs';

/**
 * The integrity check against SQLite's: the same rows, inserted in an order that is not that of their key, with
 * two secondary indexes. `integrity_check` and `/g` compare rows with indexes, `quick_check` and `/g /b` do not.
 * SQLite has no page checksums; esekit checks them, and who owns each page. Rates are those of the file's bytes.
 */

const ROUNDS = 5;
const DISK_BYTES = 2 * 2 ** 30;

await withDataFolder(DISK_BYTES, async (folder) => {
  const environment = realEnvironment();
  const ese = makeEse(folder, { isScattered: true });
  const peer = join(folder, 'people.sqlite');
  makeSqlite(peer, { isScattered: true });
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
