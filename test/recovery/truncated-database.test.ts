import { expect, it } from 'vitest';
import { Cursor } from '../../src/engine/cursor.js';
import { DATABASE_STATE } from '../../src/format/database-header.js';
import { seededEnvironment } from '../../src/io/environment.js';
import type { SimulatedDisk } from '../../src/io/simulated-disk.js';
import { findDatabase } from '../../src/recovery/database-header-file.js';
import { recover } from '../../src/recovery/recover.js';
import { startInstance } from '../../src/recovery/start-instance.js';
import { createEngineLab, LAB, LAB_DATABASE } from '../support/engine-lab.js';
import { readFile } from '../support/files.js';
import { judgeDatabase } from '../support/judge-database.js';
import { createNumbers, NUMBERS } from '../support/numbers.js';
import { environmentOf, writeFile } from '../support/recovery-disk.js';

const PAGE = 4096;

/** A dirty database that grew long before the logs that it still requires. */
async function dirtyDatabase(): Promise<SimulatedDisk> {
  const { disk, instance, database } = createEngineLab();
  createNumbers(instance.createSession(), database);
  instance.close();
  const next = await startInstance({
    environment: seededEnvironment({ fs: disk, seed: 2 }),
    logDirectory: LAB,
  });
  const again = next.attachDatabase(LAB_DATABASE);
  const session = next.createSession();
  new Cursor(session, again.table(session, NUMBERS)).insert({ n: 1 });
  return disk.fork();
}

const options = { baseName: 'E00', logPath: LAB, systemPath: LAB, databasePath: LAB };

function stateOf(disk: SimulatedDisk): number | undefined {
  const found = findDatabase(disk, LAB_DATABASE);
  return found.kind === 'found' ? found.header.state : undefined;
}

it.each([
  ['by whole pages', 3 * PAGE],
  ['within a page', 100],
])('a database whose end was cut off %s is not made clean', async (_, missing) => {
  const disk = await dirtyDatabase();
  const whole = readFile(disk, LAB_DATABASE);
  writeFile(disk, LAB_DATABASE, whole.subarray(0, whole.length - missing));
  const last = Math.floor((whole.length - missing) / PAGE) - 2;
  await expect(recover(environmentOf(disk), options)).rejects.toMatchObject({
    name: 'JET_errFileIOBeyondEOF',
    file: LAB_DATABASE,
    pgno: last + 1,
  });
  expect(stateOf(disk)).toBe(DATABASE_STATE.dirtyShutdown);
  // What was cut off was free: with room for it all is there.
  writeFile(disk, LAB_DATABASE, Buffer.concat([readFile(disk, LAB_DATABASE), Buffer.alloc(missing)]));
  await recover(environmentOf(disk, 2), options);
  judgeDatabase(disk, LAB_DATABASE);
});

it('pages behind the end of what a database owns do not matter', async () => {
  const disk = await dirtyDatabase();
  const junk = Buffer.alloc(2 * PAGE + 100, 0x5a);
  writeFile(disk, LAB_DATABASE, Buffer.concat([readFile(disk, LAB_DATABASE), junk]));
  await recover(environmentOf(disk), options);
  expect(stateOf(disk)).toBe(DATABASE_STATE.cleanShutdown);
});
