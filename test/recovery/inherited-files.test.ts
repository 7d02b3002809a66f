import { expect, it } from 'vitest';
import {
  createSimulatedDisk,
  type DiskCall,
  formatCall,
  isMutation,
  SimulatedCrash,
  type SimulatedDisk,
} from '../../src/io/simulated-disk.js';
import { areHeaderCopiesEqual } from '../../src/recovery/database-header-file.js';
import { recover } from '../../src/recovery/recover.js';
import { createEngineLab, LAB, LAB_DATABASE } from '../support/engine-lab.js';
import { putFile, readFile } from '../support/files.js';
import { judgeDatabase } from '../support/judge-database.js';
import { createNumbers, numbersIn } from '../support/numbers.js';
import { environmentOf } from '../support/recovery-disk.js';

/**
 * What a killed program has written without a sync can be read, but is not durable: a loss of power that comes while
 * recovery works on it would take it away again.
 */
const OPTIONS = { baseName: 'E00', logPath: LAB, systemPath: LAB, databasePath: LAB };
const ROWS = 120;
const CACHE_BYTES = 64 * 4096;

/** A disk with the files of two moments: the later contents are written, but only the earlier ones are durable. */
function leftUnsynced(): SimulatedDisk {
  const { disk, instance, database } = createEngineLab({ log: { logFileKiB: 1024 } });
  const cursor = createNumbers(instance.createSession(), database, 'longBinary');
  const data = new Uint8Array(900);
  const insert = (from: number, to: number): void => {
    for (let n = from; n < to; n++) cursor.insert({ n, data });
    instance.transactions.log.makeDurable();
  };
  insert(0, ROWS / 3);
  const durable = disk.fork();
  insert(ROWS / 3, (2 * ROWS) / 3);
  instance.checkpoint();
  insert((2 * ROWS) / 3, ROWS);
  const written = disk.fork();

  const left = createSimulatedDisk({ seed: 5 });
  left.mkdir(LAB);
  for (const name of durable.readdir(LAB)) {
    const path = `${LAB}/${name}`;
    putFile(left, path, readFile(durable, path));
    const file = left.open(path, 'write');
    const contents = readFile(written, path);
    if (contents.length < file.size()) file.truncate(contents.length);
    file.writeAt(contents, 0);
    file.close();
  }
  return left;
}

it('recovery that loses its power has made durable what it builds on', { timeout: 120_000 }, async () => {
  const left = leftUnsynced();
  const expected = Array.from({ length: ROWS }, (_, n) => n);
  const options = { ...OPTIONS, cacheBytes: CACHE_BYTES };

  const calls: DiskCall[] = [];
  const whole = left.fork();
  whole.faults = (call) => {
    if (isMutation(call)) calls.push(call);
    return undefined;
  };
  await recover(environmentOf(whole), options);
  whole.faults = undefined;
  expect(numbersIn(whole, LAB_DATABASE)).toEqual(expected);
  // Up to the first write nothing is built on what is not durable.
  const first = calls.findIndex(({ operation }) => operation === 'writeAt');
  expect(calls.slice(0, first).map(({ operation, path }) => `${operation} ${path}`)).toEqual([
    `sync ${LAB}/E00.log`,
    `sync ${LAB_DATABASE}`,
    `syncDirectory ${LAB}`,
  ]);

  for (const stopped of calls.slice(first).filter((_, i) => i % 3 === 0)) {
    const disk = left.fork();
    disk.faults = (call) => (call.number === stopped.number ? { kind: 'stop' } : undefined);
    await expect(recover(environmentOf(disk), options)).rejects.toThrow(SimulatedCrash);
    for (const seed of [1, 2]) {
      const found = disk.crash(seed, 4096);
      try {
        await recover(environmentOf(found, 2), options);
        expect(numbersIn(found, LAB_DATABASE)).toEqual(expected);
        judgeDatabase(found, LAB_DATABASE);
      } catch (cause) {
        throw new Error(`found wrong, without power before ${formatCall(stopped)}: ${String(cause)}`, {
          cause,
        });
      }
    }
  }
});

it('recovery that cannot make a database gives its lock back', async () => {
  const { disk, instance } = createEngineLab();
  instance.close();
  disk.unlink(LAB_DATABASE);
  disk.unlink(`${LAB}/E00.chk`);
  disk.faults = ({ operation, path }) =>
    operation === 'truncate' && path === LAB_DATABASE
      ? { kind: 'error', error: 'JET_errDiskFull' }
      : undefined;
  await expect(recover(environmentOf(disk), OPTIONS)).rejects.toMatchObject({ name: 'JET_errDiskFull' });
  disk.faults = undefined;
  expect(disk.lockHolder(LAB_DATABASE)).toBeUndefined();
  await recover(environmentOf(disk, 2), OPTIONS);
  judgeDatabase(disk, LAB_DATABASE);
});

it('a database that is found clean is durable before the log says that nothing is left to do', async () => {
  const { disk, instance } = createEngineLab();
  let shadowWritten = false;
  disk.faults = ({ operation, path, offset }) => {
    if (path !== LAB_DATABASE) return undefined;
    if (operation === 'writeAt') shadowWritten = offset === 4096;
    return operation === 'sync' && shadowWritten ? { kind: 'stop' } : undefined;
  };
  // Killed between the write of the second header copy and its sync.
  expect(() => instance.close()).toThrow(SimulatedCrash);
  const left = disk.fork();
  expect(areHeaderCopiesEqual(left, LAB_DATABASE)).toBe(true);
  await recover(environmentOf(left), OPTIONS);
  for (const seed of [1, 2, 3, 4]) {
    expect(areHeaderCopiesEqual(left.crash(seed, 4096), LAB_DATABASE)).toBe(true);
  }
});
