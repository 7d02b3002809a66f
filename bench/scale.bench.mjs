import { statSync } from 'node:fs';
import { join } from 'node:path';
import { openInstance } from '../dist/engine/instance.js';
import { createTable } from '../dist/engine/schema.js';
import { insertRow } from '../dist/engine/table-rows.js';
import { openDatabase } from '../dist/index.js';
import { realEnvironment } from '../dist/io/environment.js';
import { withDataFolder } from './harness.mjs';

/**
 * A large table, built, closed and read back: is the time for the last tenth that of the first, and does memory stay where
 * it was? `ESEKIT_SCALE_ROWS` rows of some 400 bytes with a secondary index; 10,000,000 give more than 4 GiB.
 *
 * The cache holds a tenth of the file, or `ESEKIT_SCALE_CACHE_MIB`. The keys of the index come in no order: as long as its
 * 30 bytes a row fit into the cache, a row costs the same wherever it falls; beyond, it costs a page that is read and one
 * that is written, whatever the engine.
 */

const ROWS = Number(process.env.ESEKIT_SCALE_ROWS ?? 200_000);
const ROWS_PER_TRANSACTION = 1000;
const PARTS = 10;
const PAYLOAD_BYTES = 380;
const BYTES_PER_ROW = 640;
const PAGE_SIZE = 8192;
const GIB = 2 ** 30;
const MIB = 2 ** 20;
/** What a row and its index entry take in the file, all in all. */
const FILE_BYTES_PER_ROW = 550;
const CACHE_SHARE = 10;
const CACHE_MIB = Number(
  process.env.ESEKIT_SCALE_CACHE_MIB ?? Math.ceil((ROWS * FILE_BYTES_PER_ROW) / CACHE_SHARE / MIB),
);

/** @param {number} n @param {number} digits */
const fixed = (n, digits) => n.toFixed(digits).padStart(9);

/** Now, by the clock and by what processors have done for this process, in milliseconds. */
function now() {
  const { user, system } = process.cpuUsage();
  return { ms: performance.now(), user: user / 1000, system: system / 1000 };
}

/** Prints how a part went, and returns when it ended.
 *
 * @param {string} what
 * @param {number} rows
 * @param {{ ms: number, user: number, system: number }} since
 */
function report(what, rows, since) {
  const end = now();
  const { rss, arrayBuffers } = process.memoryUsage();
  const each = (/** @type {'user' | 'system'} */ kind) => fixed((1000 * (end[kind] - since[kind])) / rows, 2);
  console.log(
    `${what.padEnd(14)}${fixed(rows / (end.ms - since.ms), 1)} K rows/s ${each('user')} us user ${each('system')} us system ${fixed(rss / MIB, 0)} MiB resident ${fixed(arrayBuffers / MIB, 0)} MiB of buffers`,
  );
  return end;
}

/** @param {string} folder */
function build(folder) {
  const instance = openInstance({
    environment: realEnvironment(),
    logDirectory: folder,
    pageSize: PAGE_SIZE,
    log: { circular: true },
  });
  const database = instance.createDatabase(join(folder, 'scale.edb'), { cacheBytes: CACHE_MIB * MIB });
  const session = instance.createSession();
  const table = createTable(database, session, {
    name: 'Scale',
    columns: [
      { name: 'Id', type: 'long', notNull: true },
      { name: 'Group', type: 'long' },
      { name: 'Payload', type: 'binary', maxLength: 255 },
      { name: 'More', type: 'binary', maxLength: 255 },
    ],
    indexes: [
      { name: 'ById', primary: true, segments: ['Id'] },
      { name: 'ByGroup', segments: ['Group', 'Id'] },
    ],
  });
  const id = new Uint8Array(4);
  const group = new Uint8Array(4);
  const payload = new Uint8Array(250);
  const more = new Uint8Array(PAYLOAD_BYTES - payload.length);
  const row = new Map([
    [table.column('Id'), [id]],
    [table.column('Group'), [group]],
    [table.column('Payload'), [payload]],
    [table.column('More'), [more]],
  ]);
  const begun = now();
  let partBegun = begun;
  for (let n = 0; n < ROWS; ) {
    session.begin();
    for (const end = Math.min(ROWS, n + ROWS_PER_TRANSACTION); n < end; n++) {
      new DataView(id.buffer).setInt32(0, n, true);
      new DataView(group.buffer).setInt32(0, Math.imul(n, 0x9e3779b1) >>> 12, true);
      payload.fill(n & 0xff);
      more.fill((n >> 8) & 0xff);
      insertRow(session, table, row);
    }
    session.commit({ lazy: true });
    if (n % Math.ceil(ROWS / PARTS) === 0 || n === ROWS) {
      partBegun = report(`built ${Math.round((100 * n) / ROWS)} %`, ROWS / PARTS, partBegun);
    }
  }
  const built = report('built in all', ROWS, begun);
  instance.close();
  const { size } = statSync(join(folder, 'scale.edb'));
  console.log(
    `closed in ${fixed(performance.now() - built.ms, 0)} ms; the file has ${(size / GIB).toFixed(2)} GiB`,
  );
}

/** @param {string} folder */
function readBack(folder) {
  const database = openDatabase(join(folder, 'scale.edb'));
  const begun = now();
  let rows = 0;
  let partBegun = begun;
  for (const row of database.rows('Scale')) {
    if (row.Id !== rows) throw new Error(`row ${rows} is ${String(row.Id)}`);
    rows++;
    if (rows % Math.ceil(ROWS / PARTS) !== 0) continue;
    partBegun = report(`read ${Math.round((100 * rows) / ROWS)} %`, ROWS / PARTS, partBegun);
  }
  database.close();
  if (rows !== ROWS) throw new Error(`${rows} rows were read, not ${ROWS}`);
  report('read in all', ROWS, begun);
}

await withDataFolder(ROWS * BYTES_PER_ROW + GIB / 4, (folder) => {
  console.log(`${ROWS} rows, cache of ${CACHE_MIB} MiB`);
  build(folder);
  readBack(folder);
});
