import { describe, expect, it } from 'vitest';
import { Cursor } from '../../src/engine/cursor.js';
import type { Database } from '../../src/engine/database.js';
import type { Instance } from '../../src/engine/instance.js';
import { DATABASE_STATE } from '../../src/format/database-header.js';
import { compareLgpos } from '../../src/format/ese-error.js';
import type { FileSystem } from '../../src/io/file-system.js';
import {
  formatCall,
  isMutation,
  SimulatedCrash,
  type SimulatedDisk,
  stopAtCall,
} from '../../src/io/simulated-disk.js';
import { findDatabase } from '../../src/recovery/database-header-file.js';
import { recover } from '../../src/recovery/recover.js';
import { createEngineLab, LAB, LAB_DATABASE } from '../support/engine-lab.js';
import { judgeDatabase } from '../support/judge-database.js';
import { createNumbers, NUMBERS, numbersIn } from '../support/numbers.js';
import { withOrderedLogs } from '../support/ordered-logs.js';
import { environmentOf } from '../support/recovery-disk.js';

/**
 * A database that was detached and attached again in the logs, and is rebuilt from nothing: between the two it is
 * clean, behind them it must not look so before all of it is there.
 */
const SECOND = `${LAB}/second.edb`;
/** Rows of the first database behind the attachment: more than the cache of recovery holds. */
const ROWS = 400;
const CACHE_BYTES = 64 * 4096;
const OPTIONS = {
  baseName: 'E00',
  logPath: LAB,
  systemPath: LAB,
  databasePath: LAB,
  cacheBytes: CACHE_BYTES,
};

function cursorOn(instance: Instance, database: Database): Cursor {
  const session = instance.createSession();
  return database.findTable(NUMBERS) === undefined
    ? createNumbers(session, database, 'longBinary')
    : new Cursor(session, database.table(session, NUMBERS));
}

/** What a killed program leaves when the second database is lost, and its logs with a late checkpoint are not. */
function lostDatabase(): SimulatedDisk {
  const { disk, instance, database } = createEngineLab({ log: { logFileKiB: 64 } });
  const second = instance.createDatabase(SECOND);
  cursorOn(instance, second).insert({ n: 1 });
  instance.detachDatabase(second);
  const again = instance.attachDatabase(SECOND);
  cursorOn(instance, again).insert({ n: 2 });
  const cursor = cursorOn(instance, database);
  const data = new Uint8Array(900);
  for (let n = 0; n < ROWS; n++) cursor.insert({ n, data });
  instance.checkpoint();
  cursorOn(instance, again).insert({ n: 3 });
  instance.transactions.log.makeDurable();
  const left = disk.fork();
  left.unlink(SECOND);
  return left;
}

function headerOf(disk: FileSystem) {
  const found = findDatabase(disk, SECOND);
  return found.kind === 'found' ? found.header : undefined;
}

async function expectWhole(disk: SimulatedDisk): Promise<void> {
  await recover(environmentOf(disk, 3), OPTIONS);
  expect(numbersIn(disk, SECOND)).toEqual([1, 2, 3]);
  expect(numbersIn(disk, LAB_DATABASE)).toHaveLength(ROWS);
  for (const path of [LAB_DATABASE, SECOND]) judgeDatabase(disk, path);
}

describe('a database that was attached again, rebuilt by a recovery that is killed', () => {
  const lost = lostDatabase();

  it('looks dirty once its second attachment was redone, and is whole after the next recovery', {
    timeout: 300_000,
  }, async () => {
    const start = lost.fork();
    const calls: { number: number; path: string }[] = [];
    start.faults = (call) => {
      if (isMutation(call)) calls.push({ number: call.number, path: call.path });
      return undefined;
    };
    await expectWhole(start);
    const lgposAttach = headerOf(start)?.lgposAttach;
    if (lgposAttach === undefined) throw new Error('the database is not there');

    let isAttachedAgain = false;
    for (const [i, { number, path }] of calls.entries()) {
      if (path !== SECOND && i % 4 !== 0) continue;
      const disk = lost.fork();
      let place = '';
      disk.faults = (call) => {
        const fault = stopAtCall(number)(call);
        if (fault !== undefined && place === '') place = formatCall(call);
        return fault;
      };
      try {
        await recover(environmentOf(withOrderedLogs(disk), 3), OPTIONS);
        break;
      } catch (error) {
        if (!(error instanceof SimulatedCrash)) throw error;
      }
      const header = headerOf(disk.fork());
      const isClean = header?.state === DATABASE_STATE.cleanShutdown;
      if (isClean && path === LAB_DATABASE) {
        // The first database is written to before the second one is attached again, or when that is at its end.
        isAttachedAgain ||= compareLgpos(header.lgposAttach, lgposAttach) === 0;
        expect([place, isAttachedAgain]).toEqual([place, true]);
      }
      if (i % 12 !== 0 && !isClean) continue;
      for (const left of [disk.fork(), disk.crash(number)]) {
        try {
          await expectWhole(left);
        } catch (cause) {
          throw new Error(`found wrong, recovery killed before ${place}: ${String(cause)}`, { cause });
        }
      }
    }
  });
});

describe('a database whose pages were written on the way', () => {
  it('has them durable before its header says that it is clean', async () => {
    const { disk, instance, database } = createEngineLab({ log: { logFileKiB: 1024 } });
    const second = instance.createDatabase(SECOND);
    const cursor = cursorOn(instance, second);
    const data = new Uint8Array(900);
    for (let n = 0; n < ROWS; n++) cursor.insert({ n, data });
    // Recovery makes room in its cache at the end of every log, and finds nothing to write at the detachment.
    const other = cursorOn(instance, database);
    for (let n = 0; n < 2 * ROWS; n++) other.insert({ n, data });
    instance.detachDatabase(second);
    instance.close();
    disk.unlink(SECOND);

    let isSynced = true;
    let wasSynced = false;
    let pageWrites = 0;
    disk.faults = (call) => {
      if (call.path !== SECOND) return undefined;
      if (call.operation === 'sync') isSynced = true;
      if (call.operation !== 'writeAt') return undefined;
      if (call.offset === 0) wasSynced = isSynced;
      if ((call.offset ?? 0) >= 2 * 4096) {
        isSynced = false;
        pageWrites++;
      }
      return undefined;
    };
    await recover(environmentOf(disk), OPTIONS);
    disk.faults = undefined;
    expect(pageWrites).toBeGreaterThan(1);
    expect(wasSynced).toBe(true);
    expect(numbersIn(disk, SECOND)).toHaveLength(ROWS);
  });
});
