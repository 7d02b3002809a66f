import { describe, expect, it } from 'vitest';
import { Cursor } from '../../src/engine/cursor.js';
import { createIndex, createTable, type NewIndex } from '../../src/engine/schema.js';
import { openDatabase } from '../../src/index.js';
import { seededEnvironment } from '../../src/io/environment.js';
import {
  createSimulatedDisk,
  formatCall,
  isMutation,
  type SimulatedDisk,
} from '../../src/io/simulated-disk.js';
import { startInstance } from '../../src/recovery/start-instance.js';
import { errorOf, LAB, LAB_DATABASE, openLabInstance } from '../support/engine-lab.js';
import { checkIndexes } from '../support/index-check.js';
import { judgeDatabase } from '../support/judge-database.js';
import { withOrderedLogs } from '../support/ordered-logs.js';

/** Memory for the keys of an index, and the file in which those wait that find no room there. */
const SORT_BYTES = 8 * 1024;
const SORT_FILE = `${LAB_DATABASE}.sort`;
/** The least cache: 64 pages. */
const ATTACH = { sortBytes: SORT_BYTES, cacheBytes: 1 };
const ROWS = 800;
/** Two words of each row have some 90 bytes of keys: 70 KiB in all. */
const INDEX: NewIndex = { name: 'byWords', segments: ['words'] };
/** Each n-th state only; all of them with ESEKIT_FULL. */
const EVERY = process.env.ESEKIT_FULL === undefined ? 23 : 1;

/** A database with rows whose words are in another order than their numbers. */
function filledTable(disk: SimulatedDisk) {
  disk.mkdir(LAB);
  const instance = openLabInstance(withOrderedLogs(disk), 1, { log: { logFileKiB: 128, logBuffers: 8 } });
  const database = instance.createDatabase(LAB_DATABASE, ATTACH);
  const session = instance.createSession();
  const table = createTable(database, session, {
    name: 'Rows',
    columns: [
      { name: 'id', type: 'long' },
      { name: 'words', type: 'text', tagged: true, multiValued: true },
    ],
    indexes: [{ name: 'primary', segments: ['id'], primary: true }],
  });
  const cursor = new Cursor(session, table);
  session.transaction(() => {
    for (let id = 0; id < ROWS; id++) {
      const word = String((id * 7919) % ROWS).padStart(4, '0');
      cursor.insert({ id, words: [`${word} ${'x'.repeat(30)}`, `${word.slice(2)} ${'y'.repeat(40)}`] });
    }
  });
  return { instance, database, session, table, cursor };
}

function indexNames(disk: SimulatedDisk): string[] {
  const database = openDatabase(LAB_DATABASE, { fs: disk });
  try {
    return database.table('Rows').indexes.map(({ name }) => name);
  } finally {
    database.close();
  }
}

describe('an index of a table that has rows', () => {
  it('is sorted in a file when its keys are more than may lie in memory', () => {
    const disk = createSimulatedDisk();
    const { instance, database, session, table } = filledTable(disk);
    let written = 0;
    let longestRun = 0;
    disk.faults = ({ operation, path, length = 0 }) => {
      if (path !== SORT_FILE || operation !== 'writeAt') return undefined;
      written += length;
      longestRun = Math.max(longestRun, length);
      return undefined;
    };
    createIndex(database, session, table, INDEX);
    disk.faults = undefined;
    expect(longestRun).toBeLessThanOrEqual(SORT_BYTES);
    // All but the last run.
    expect(written).toBeGreaterThan(5 * SORT_BYTES);
    expect(disk.exists(SORT_FILE)).toBe(false);
    instance.close();
    expect(indexNames(disk)).toEqual(['primary', 'byWords']);
    expect(checkIndexes(disk, LAB_DATABASE)).toBeGreaterThan(2 * ROWS);
    expect(judgeDatabase(disk, LAB_DATABASE).leaked).toEqual([]);
  });

  it('is not there, nor its file, when the disk has no room for the file', () => {
    const disk = createSimulatedDisk();
    const { instance, database, session, table, cursor } = filledTable(disk);
    disk.faults = ({ operation, path }) =>
      path === SORT_FILE && operation === 'writeAt' ? { kind: 'error', error: 'JET_errDiskFull' } : undefined;
    expect(errorOf(() => createIndex(database, session, table, INDEX))).toBe('JET_errDiskFull');
    disk.faults = undefined;
    expect(disk.exists(SORT_FILE)).toBe(false);
    expect(errorOf(() => cursor.setIndex(INDEX.name))).toBe('JET_errIndexNotFound');
    createIndex(database, session, table, INDEX);
    instance.close();
    expect(checkIndexes(disk, LAB_DATABASE)).toBeGreaterThan(2 * ROWS);
    expect(judgeDatabase(disk, LAB_DATABASE).leaked).toEqual([]);
  });

  it('is there as a whole or not at all after a crash, and can be made then', {
    timeout: 3_600_000,
  }, async () => {
    const disk = createSimulatedDisk({ seed: 3 });
    const { database, session, table } = filledTable(disk);
    const states: { place: string; left: SimulatedDisk }[] = [];
    let changes = 0;
    disk.faults = (call) => {
      if (isMutation(call) && ++changes % EVERY === 0) {
        states.push({ place: `killed before ${formatCall(call)}`, left: disk.fork() });
        const isInLog = call.operation === 'sync' && call.path.endsWith('.log');
        const left = disk.crash(call.number, 4096);
        if (!isInLog) states.push({ place: `without power before ${formatCall(call)}`, left });
      }
      return undefined;
    };
    createIndex(database, session, table, INDEX);
    disk.faults = undefined;
    states.push({ place: 'after it has returned', left: disk.crash(1) });
    const seen = new Set<string>();
    for (const { place, left } of states) {
      try {
        seen.add(`${await recoverAndIndex(left)} ${left.exists(SORT_FILE)}`);
      } catch (cause) {
        throw new Error(`found wrong, ${place}: ${String(cause)}`, { cause });
      }
    }
    expect([...seen].sort()).toEqual(['primary false', 'primary,byWords false']);
    expect(await recoverAndIndex(disk.crash(1))).toBe('primary,byWords');
  });
});

/** Recovers, looks at the indexes, makes the index if it is missing; returns which there were. */
async function recoverAndIndex(left: SimulatedDisk): Promise<string> {
  const start = () =>
    startInstance({ environment: seededEnvironment({ fs: left, seed: 7 }), logDirectory: LAB });
  (await start()).close();
  judgeDatabase(left, LAB_DATABASE);
  checkIndexes(left, LAB_DATABASE);
  const found = indexNames(left).join();
  if (found === 'primary') {
    const instance = await start();
    const database = instance.attachDatabase(LAB_DATABASE, ATTACH);
    const session = instance.createSession();
    createIndex(database, session, database.table(session, 'Rows'), INDEX);
    instance.close();
    judgeDatabase(left, LAB_DATABASE);
  }
  expect(checkIndexes(left, LAB_DATABASE)).toBeGreaterThan(2 * ROWS);
  return found;
}
