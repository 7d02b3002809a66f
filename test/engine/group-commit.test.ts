import { expect, it } from 'vitest';
import { Cursor } from '../../src/engine/cursor.js';
import { createTable } from '../../src/engine/schema.js';
import { openDatabase } from '../../src/index.js';
import { seededEnvironment } from '../../src/io/environment.js';
import type { SimulatedDisk } from '../../src/io/simulated-disk.js';
import { startInstance } from '../../src/recovery/start-instance.js';
import { createEngineLab, errorOf, LAB, LAB_DATABASE } from '../support/engine-lab.js';

/** Sessions that wait for the same sync. */
const WRITERS = 64;

function writersLab() {
  const lab = createEngineLab();
  const { instance, database, disk } = lab;
  const first = instance.createSession();
  const table = createTable(database, first, {
    name: 'Rows',
    columns: [{ name: 'id', type: 'long' }],
    indexes: [{ name: 'primary', segments: ['id'], primary: true }],
  });
  instance.waitForDurability();
  const writers = Array.from({ length: WRITERS }, () => {
    const session = instance.createSession();
    return { session, cursor: new Cursor(session, table) };
  });
  /** All sessions have a transaction open at once, and commit it without waiting. */
  const commitAll = (): void => {
    for (const { session } of writers) session.begin();
    for (const [id, { cursor }] of writers.entries()) cursor.insert({ id });
    for (const { session } of writers) session.commit({ lazy: true });
  };
  /** Syncs of a log while something is done. */
  const syncsOf = (action: () => void): number => {
    let syncs = 0;
    disk.faults = ({ operation, path }) => {
      if (operation === 'sync' && path.endsWith('.log')) syncs++;
      return undefined;
    };
    action();
    disk.faults = undefined;
    return syncs;
  };
  return { ...lab, commitAll, syncsOf };
}

/** The rows that recovery brings back after the power went. */
async function idsAfterPowerFailure(disk: SimulatedDisk, seed: number): Promise<unknown[]> {
  const left = disk.crash(seed);
  const again = await startInstance({
    environment: seededEnvironment({ fs: left, seed }),
    logDirectory: LAB,
  });
  again.close();
  const database = openDatabase(LAB_DATABASE, { fs: left });
  try {
    return [...database.rows('Rows')].map(({ id }) => id);
  } finally {
    database.close();
  }
}

it('one sync makes the lazy commits of 64 sessions durable', async () => {
  const { instance, disk, commitAll, syncsOf } = writersLab();
  expect(syncsOf(commitAll)).toBe(0);
  // Nobody has waited: the power may take all of them.
  expect(await idsAfterPowerFailure(disk, 1)).toEqual([]);
  expect(syncsOf(() => instance.waitForDurability())).toBe(1);
  expect(await idsAfterPowerFailure(disk, 2)).toEqual(Array.from({ length: WRITERS }, (_, id) => id));
  expect(syncsOf(() => instance.waitForDurability())).toBe(0);
  instance.close();
});

it('who waits in vain is told so, and nothing is written any more', () => {
  const { instance, database, disk, commitAll } = writersLab();
  commitAll();
  disk.faults = ({ operation, path }) =>
    operation === 'sync' && path.endsWith('.log') ? { kind: 'error', error: 'JET_errDiskIO' } : undefined;
  expect(errorOf(() => instance.waitForDurability())).toBe('JET_errLogWriteFail');
  disk.faults = undefined;
  expect(errorOf(() => instance.waitForDurability())).toBe('JET_errInstanceUnavailable');
  const session = instance.createSession();
  const late = new Cursor(session, database.table(session, 'Rows'));
  expect(errorOf(() => late.insert({ id: WRITERS }))).toBe('JET_errInstanceUnavailable');
  instance.abandon();
});
