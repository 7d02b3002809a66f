import { existsSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { openDatabaseReader } from '../dist/engine/database-reader.js';
import { realEnvironment } from '../dist/io/environment.js';
import { copyDatabase } from '../dist/maintenance/defrag/copy-database.js';
import { defragment } from '../dist/maintenance/defrag.js';
import { compare, withDataFolder } from './harness.mjs';
import { makeEse, makeSqlite, ROWS, rowsLeft, sqlite } from './people-data.mjs';

/**
 * Defragmentation against SQLite's `VACUUM INTO`: the same rows, inserted in the same order, with two secondary
 * indexes, 30 % of them deleted. Both make the result durable; esekit also reads it again and checks it, which SQLite
 * does not. The copy alone, neither durable nor checked, is shown on a line of its own. Rates are those of the bytes
 * of the rows that are left.
 */

const ROUNDS = 5;
const DISK_BYTES = 4 * 2 ** 30;

await withDataFolder(DISK_BYTES, async (folder) => {
  const { left, bytes } = rowsLeft();
  const environment = realEnvironment();
  const ese = makeEse(folder);
  const temp = join(folder, 'TEMPDFRG1.EDB');
  const peer = join(folder, 'people.sqlite');
  const peerCopy = join(folder, 'copy.sqlite');
  makeSqlite(peer);

  /** @param {number} found */
  const expectRows = (found) => {
    if (found !== left) throw new Error(`${found} rows were copied instead of ${left}`);
  };
  const copyOnly = () => {
    const reader = openDatabaseReader(environment.fs, ese);
    const source = environment.fs.open(ese, 'read');
    const target = environment.fs.open(temp, 'create');
    const steps = copyDatabase(reader, source, target, {
      keepsIds: false,
      placedAt: new Uint8Array(8),
      onTable: () => {},
    });
    let step = steps.next();
    while (step.done !== true) step = steps.next();
    expectRows(step.value.records);
    for (const file of [reader, source, target]) file.close();
  };
  const Peer = sqlite?.default;
  const contenders = [
    ...(Peer === undefined
      ? []
      : [
          {
            name: 'SQLite VACUUM INTO',
            prepare: () => rmSync(peerCopy, { force: true }),
            run: () => {
              const database = new Peer(peer);
              database.prepare('VACUUM INTO ?').run(peerCopy);
              database.close();
            },
          },
        ]),
    {
      name: 'esekit defragment',
      prepare: () => rmSync(temp, { force: true }),
      run: async () => expectRows((await defragment(environment, ese, { temp, preserveTemp: true })).records),
    },
    {
      name: 'esekit defragment, one thread',
      prepare: () => rmSync(temp, { force: true }),
      run: async () => {
        const { records } = await defragment(environment, ese, { temp, preserveTemp: true, workers: 1 });
        expectRows(records);
      },
    },
    { name: 'esekit, copy alone', prepare: () => rmSync(temp, { force: true }), run: copyOnly },
  ];
  await compare(`Defragmentation of ${left} rows left of ${ROWS}, two indexes`, bytes, contenders, ROUNDS);
  const megabytes = (/** @type {string} */ path) =>
    existsSync(path) ? `${(statSync(path).size / 2 ** 20).toFixed(1)} MiB` : 'not there';
  console.log(
    `   before and after: SQLite ${megabytes(peer)}, ${megabytes(peerCopy)}; esekit ${megabytes(ese)}, ${megabytes(temp)}`,
  );
});
