import { Cursor } from '../../src/engine/cursor.js';
import type { Instance } from '../../src/engine/instance.js';
import { openInstance } from '../../src/engine/instance.js';
import { createTable } from '../../src/engine/schema.js';
import { seededEnvironment } from '../../src/io/environment.js';
import { createSimulatedDisk, type SimulatedDisk } from '../../src/io/simulated-disk.js';

/** Where the files of the example lie. */
export const EXAMPLE = '/example';

/**
 * The database whose bytes docs/file-format.md shows: `people.edb` with its log stream `E00` and checkpoint, in a
 * folder of a simulated disk. Close the instance to have the database clean.
 */
export function createExampleDatabase(): { readonly disk: SimulatedDisk; readonly instance: Instance } {
  const disk = createSimulatedDisk();
  disk.mkdir(EXAMPLE);
  const environment = seededEnvironment({ fs: disk, seed: 1 });
  const instance = openInstance({ environment, logDirectory: EXAMPLE, log: { logFileKiB: 256 } });
  const database = instance.createDatabase(`${EXAMPLE}/people.edb`);
  const session = instance.createSession();
  const people = createTable(database, session, {
    name: 'People',
    columns: [
      { name: 'Id', type: 'long', autoIncrement: true },
      { name: 'Born', type: 'dateTime' },
      { name: 'Active', type: 'bit' },
      { name: 'Mail', type: 'text', maxLength: 80 },
      { name: 'Name', type: 'text', unicode: true, maxLength: 80 },
      { name: 'Scores', type: 'short', tagged: true, multiValued: true },
      { name: 'Note', type: 'longText', compressed: true },
      { name: 'Photo', type: 'longBinary' },
    ],
    indexes: [
      { name: 'Primary', primary: true, segments: ['Id'] },
      { name: 'ByMail', unique: true, segments: ['Mail'], nulls: 'ignoreAnyNull' },
      { name: 'ByBorn', segments: [{ column: 'Born', descending: true }, 'Active'] },
    ],
  });
  const cursor = new Cursor(session, people);
  cursor.insert({
    Born: new Date(Date.UTC(1815, 11, 10)),
    Active: true,
    Mail: 'ada@example.org',
    Name: 'Ada',
    Scores: [7, -1, 300],
    Note: 'a'.repeat(41),
    Photo: Uint8Array.from({ length: 5000 }, (_, i) => i & 0xff),
  });
  cursor.insert({ Mail: 'bob@example.org', Name: 'Bob', Scores: [1, 2], Note: 'Zoë' });
  return { disk, instance };
}
