import { Cursor } from '../dist/engine/cursor.js';
import { openInstance } from '../dist/engine/instance.js';
import { createTable } from '../dist/engine/schema.js';
import { realEnvironment } from '../dist/io/environment.js';
import { seededRandom } from '../dist/io/seeded-random.js';

/**
 * Fills a database so that all of it lies in its log: nothing of it is written before the instance is closed. Returns
 * the instance.
 *
 * @param {string} logs folder of the logs
 * @param {string} path of the database
 * @param {{ rows: number, rowsPerTransaction: number, data: Uint8Array, names?: number }} options `names`: how many
 *   names there are in a column of its own with an index; without, there is no such column
 */
export function fillLog(logs, path, { rows, rowsPerTransaction, data, names }) {
  const instance = openInstance({
    environment: realEnvironment(),
    logDirectory: logs,
    pageSize: 4096,
    checkpointDepthBytes: Number.MAX_SAFE_INTEGER,
  });
  const database = instance.createDatabase(path, { cacheBytes: 2 ** 30 });
  const session = instance.createSession();
  const table = createTable(database, session, {
    name: 'Rows',
    columns: [
      { name: 'id', type: 'long' },
      { name: 'k', type: 'long' },
      ...(names === undefined ? [] : [{ name: 'name', type: /** @type {const} */ ('text'), unicode: true }]),
      { name: 'data', type: 'binary' },
    ],
    indexes: [
      { name: 'primary', segments: ['id'], primary: true },
      { name: 'byK', segments: ['k'] },
      ...(names === undefined ? [] : [{ name: 'byName', segments: ['name'] }]),
    ],
  });
  const cursor = new Cursor(session, table);
  const random = seededRandom(1);
  for (let id = 0; id < rows; ) {
    session.begin();
    for (const end = Math.min(rows, id + rowsPerTransaction); id < end; id++) {
      const row = { id, k: random.uint32() >>> 1, data };
      cursor.insert(names === undefined ? row : { ...row, name: `name ${random.uint32() % names}` });
    }
    session.commit({ lazy: id < rows });
  }
  return instance;
}
