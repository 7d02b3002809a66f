import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { realEnvironment } from '../dist/io/environment.js';
import { repair } from '../dist/maintenance/repair.js';
import { compareItems, isInstalled, outputOf, runProgram, withDataFolder } from './harness.mjs';
import { makeEse, makeSqlite, ROWS, rowsLeft } from './people-data.mjs';

/**
 * Repair against SQLite's `.recover`: the same rows with two secondary indexes, and every hundredth page behind the
 * first ones damaged in two places. Both read what is left into a new database with its indexes. esekit first checks
 * the old database, tells what is lost and where, makes the new one durable and checks it again; SQLite does none of
 * that, and does not notice damage within a page that still looks like one: it has no checksums.
 */

const ROUNDS = 3;
const DISK_BYTES = 4 * 2 ** 30;
const PAGE_BYTES = 4096;
const FIRST_PAGE = 40;
const EVERY = 100;

/** Damages pages of a file. Returns how many. @param {string} path */
function damage(path) {
  const bytes = readFileSync(path);
  let pages = 0;
  for (let page = FIRST_PAGE; (page + 1) * PAGE_BYTES <= bytes.length; page += EVERY) {
    bytes.fill(0x5a, page * PAGE_BYTES, page * PAGE_BYTES + 300);
    bytes.fill(0xa5, page * PAGE_BYTES + 2000, page * PAGE_BYTES + 2100);
    pages += 1;
  }
  writeFileSync(path, bytes);
  return pages;
}

/** Whether there is a sqlite3 that can do it: some are built without. @param {string} path */
function canRecover(path) {
  if (
    existsSync(path) &&
    isInstalled('sqlite3', '-version') &&
    outputOf('sh', ['-c', `sqlite3 "${path}" .recover 2>&1 | head -c 4000`]).includes('CREATE')
  )
    return true;
  console.log('without the peer: no sqlite3 in the PATH that is built with SQLITE_ENABLE_DBPAGE_VTAB');
  return false;
}

await withDataFolder(DISK_BYTES, async (folder) => {
  const { left } = rowsLeft();
  const environment = realEnvironment();
  const ese = makeEse(folder);
  const peer = join(folder, 'people.sqlite');
  const [eseOut, temp, peerOut] = ['new.edb', 'TEMPREPAIR1.EDB', 'new.sqlite'].map((name) =>
    join(folder, name),
  );
  makeSqlite(peer);
  const hasPeer = canRecover(peer);
  const pages = damage(ese);
  if (hasPeer) damage(peer);
  let kept = 0;

  /** @param {number | undefined} workers */
  const run = async (workers) => {
    const { report } = await repair(environment, ese, { output: eseOut, temp, workers });
    kept = report.tables.find(({ name }) => name === 'people')?.records.kept ?? 0;
  };
  const prepare = () => rmSync(eseOut ?? '', { force: true });
  const contenders = [
    ...(hasPeer
      ? [
          {
            name: 'SQLite .recover | sqlite3',
            prepare: () => rmSync(peerOut ?? '', { force: true }),
            run: () => runProgram('sh', ['-c', `sqlite3 "${peer}" .recover | sqlite3 "${peerOut}"`]),
          },
        ]
      : []),
    { name: 'esekit repair', prepare, run: () => run(undefined) },
    { name: 'esekit repair, one thread', prepare, run: () => run(1) },
  ];
  await compareItems(
    `Repair of ${left} rows left of ${ROWS}, two indexes, ${pages} pages damaged`,
    'rows',
    left,
    contenders,
    ROUNDS,
  );
  const megabytes = (/** @type {string} */ path) => `${(statSync(path).size / 2 ** 20).toFixed(1)} MiB`;
  if (hasPeer) {
    const found = outputOf('sqlite3', [peerOut ?? '', 'SELECT count(*) FROM people']).trim();
    console.log(`   SQLite kept ${found} rows`);
  }
  console.log(`   esekit kept ${kept} rows; ${megabytes(ese)} before, ${megabytes(eseOut ?? '')} after`);
});
