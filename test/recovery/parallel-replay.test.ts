import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Cursor } from '../../src/engine/cursor.js';
import { createTable } from '../../src/engine/schema.js';
import type { Session } from '../../src/engine/transactions.js';
import { DATABASE_STATE } from '../../src/format/database-header.js';
import { EseError } from '../../src/format/ese-error.js';
import { sealPages } from '../../src/format/page-checksum.js';
import { openDatabase } from '../../src/index.js';
import type { FileSystem } from '../../src/io/file-system.js';
import { randomBelow, seededRandom } from '../../src/io/seeded-random.js';
import { isMutation, SimulatedCrash, type SimulatedDisk, stopAtCall } from '../../src/io/simulated-disk.js';
import { type RecoveryOptions, type RecoveryResult, recover } from '../../src/recovery/recover.js';
import { startInstance } from '../../src/recovery/start-instance.js';
import { closePool, warmPool } from '../../src/workers/pool.js';
import { describeWithCorpus } from '../corpus.js';
import { createEngineLab, LAB, LAB_DATABASE } from '../support/engine-lab.js';
import { programRows, runProgram } from '../support/engine-program.js';
import { readFile } from '../support/files.js';
import { judgeDatabase } from '../support/judge-database.js';
import { withOrderedLogs } from '../support/ordered-logs.js';
import {
  changedFiles,
  diskOfCorpus,
  environmentOf,
  LOGS,
  OUT,
  snapshot,
  writeFile,
} from '../support/recovery-disk.js';

/**
 * Replay by several threads gives the very bytes that one thread gives: databases, logs and checkpoint (format
 * specification, chapter 5.6). One thread in turn is held to what it gives without the kernel, by the functions of
 * operations/ alone.
 */
const PAGE = 4096;
const ROWS = 3000;
const SEGMENT = 4096;
/** Each n-th call, and few databases; all and many with ESEKIT_FULL. */
const EVERY = process.env.ESEKIT_FULL === undefined ? 11 : 1;
const DAMAGES = process.env.ESEKIT_FULL === undefined ? 12 : 200;

beforeAll(() => warmPool(2));
afterAll(closePool);

interface Stream {
  readonly make: () => SimulatedDisk;
  readonly options: RecoveryOptions;
  /** Folders that recovery writes to. */
  readonly folders: readonly string[];
}

const LAB_OPTIONS: RecoveryOptions = {
  baseName: 'E00',
  logPath: LAB,
  systemPath: LAB,
  databasePath: LAB,
  awaitsWorkers: true,
};

/** Recovers a copy of the disk. */
async function recovered(
  disk: SimulatedDisk,
  options: RecoveryOptions,
): Promise<{ left: SimulatedDisk; result: RecoveryResult }> {
  const left = disk.fork();
  const result = await recover(environmentOf(left), options);
  return { left, result };
}

function filesOf(fs: FileSystem, folders: readonly string[]): Map<string, Buffer> {
  return new Map(
    folders.flatMap((folder) =>
      [...snapshot(fs, folder)].map(([name, bytes]) => [`${folder}/${name}`, bytes] as const),
    ),
  );
}

/** Recovers with 1, 2 and 3 threads and without the kernel; all must leave the same files. */
async function expectSameBytes({ make, options, folders }: Stream): Promise<RecoveryResult[]> {
  const disk = make();
  const one = await recovered(disk, { ...options, workers: 1 });
  const files = filesOf(one.left, folders);
  const results = [one.result];
  for (const workers of [2, 3]) {
    const { left, result } = await recovered(disk, { ...options, workers });
    expect([workers, changedFiles(files, filesOf(left, folders))]).toEqual([workers, []]);
    expect({ ...result, threads: 1 }).toEqual({ ...one.result, threads: 1 });
    results.push(result);
  }
  await withoutKernel(async () => {
    const { left } = await recovered(disk, { ...options, workers: 1 });
    expect(changedFiles(files, filesOf(left, folders))).toEqual([]);
  });
  return results;
}

async function withoutKernel(run: () => Promise<void>): Promise<void> {
  const kind = process.env.ESEKIT_KERNEL;
  process.env.ESEKIT_KERNEL = 'js';
  try {
    await run();
  } finally {
    if (kind === undefined) delete process.env.ESEKIT_KERNEL;
    else process.env.ESEKIT_KERNEL = kind;
  }
}

/** A stream of many splits, merges, long values and rollbacks, killed in the middle of a transaction. */
function crashedProgram(pageSize: number, seed: number): SimulatedDisk {
  const { disk, instance, database } = createEngineLab({
    pageSize,
    log: { logFileKiB: 256 },
    checkpointDepthBytes: 300_000,
    attach: { cacheBytes: 24 * pageSize },
  });
  runProgram(instance, database, { seed, transactions: 50 });
  openTransaction(instance, database);
  instance.abandon();
  return disk;
}

type Lab = ReturnType<typeof createEngineLab>;

/** A table of numbers with texts, and an index of each. */
function createTexts(session: Session, database: Lab['database'], name: string): Cursor {
  const table = createTable(database, session, {
    name,
    columns: [
      { name: 'id', type: 'long' },
      { name: 'text', type: 'text' },
    ],
    indexes: [
      { name: 'primary', segments: ['id'], primary: true },
      { name: 'byText', segments: ['text'] },
    ],
  });
  return new Cursor(session, table);
}

/** Rows that are changed and deleted by a transaction that never ends. */
function openTransaction(instance: Lab['instance'], database: Lab['database'], name = 'Open'): void {
  const session = instance.createSession();
  const cursor = createTexts(session, database, name);
  session.transaction(() => {
    for (let id = 0; id < 300; id++) cursor.insert({ id, text: `text ${(id * 7919) % 1000}` });
  });
  session.begin();
  for (let id = 0; id < 300; id += 3) {
    if (!cursor.seek('=', id)) throw new Error(`row ${id} is gone`);
    if (id % 2 === 0) cursor.delete();
    else cursor.update({ text: `${'changed '.repeat(id % 9)}${id}` });
  }
  for (let id = 1000; id < 1100; id++) cursor.insert({ id, text: 'new' });
  const other = instance.createSession();
  other.transaction(() =>
    new Cursor(other, cursor.table).insert({ id: 5000, text: 'makes the log durable' }),
  );
}

describe.each([4096, 8192, 16384, 32768])('a crash of a database with pages of %i bytes', (pageSize) => {
  it('gives the same files for any number of threads', { timeout: 600_000 }, async () => {
    const results = await expectSameBytes({
      make: () => crashedProgram(pageSize, pageSize + 1),
      options: LAB_OPTIONS,
      folders: [LAB],
    });
    expect(results[0]?.transactions.undone).toBe(1);
    expect(results.map(({ threads }) => threads)).toEqual([1, 2, 3]);
  });

  it('gives the same files from logs alone, with a cache of a few pages', { timeout: 600_000 }, async () => {
    const results = await expectSameBytes({
      make: () => {
        const disk = crashedProgram(pageSize, pageSize + 2);
        disk.mkdir(OUT);
        disk.unlink(`${LAB}/E00.chk`);
        return disk;
      },
      options: { ...LAB_OPTIONS, databasePath: OUT, cacheBytes: 32 * pageSize },
      folders: [LAB, OUT],
    });
    expect(results.map(({ threads }) => threads)).toEqual([1, 2, 3]);
  });
});

describe('several databases of one stream', () => {
  it('are the same for any number of threads', { timeout: 600_000 }, async () => {
    await expectSameBytes({
      make: () => {
        const { disk, instance, database } = createEngineLab({ log: { logFileKiB: 256 } });
        const other = instance.createDatabase(`${LAB}/other.edb`);
        runProgram(instance, database, { seed: 11, transactions: 20 });
        runProgram(instance, other, { seed: 12, transactions: 20 });
        instance.detachDatabase(other);
        const again = instance.attachDatabase(`${LAB}/other.edb`);
        openTransaction(instance, again);
        instance.abandon();
        return disk;
      },
      options: LAB_OPTIONS,
      folders: [LAB],
    });
  });
});

it('a second crash behind a recovery leaves the same files for any number of threads', {
  timeout: 600_000,
}, async () => {
  const disk = crashedProgram(4096, 5);
  const instance = await startInstance({ environment: environmentOf(disk), logDirectory: LAB });
  openTransaction(instance, instance.attachDatabase(LAB_DATABASE), 'Again');
  instance.abandon();
  await expectSameBytes({ make: () => disk, options: LAB_OPTIONS, folders: [LAB] });
});

it('a torn end of the log leaves the same files for any number of threads', {
  timeout: 600_000,
}, async () => {
  const whole = crashedProgram(4096, 6);
  whole.mkdir(OUT);
  whole.unlink(`${LAB}/E00.chk`);
  const bytes = readFile(whole, `${LAB}/E00.log`);
  for (const isec of [9, 23, 40]) {
    const disk = whole.fork();
    // A segment without what it had, and nothing behind it: its transaction is cut in the middle.
    writeFile(disk, `${LAB}/E00.log`, bytes.slice().fill(0, isec * SEGMENT));
    await expectSameBytes({
      make: () => disk,
      options: { ...LAB_OPTIONS, databasePath: OUT },
      folders: [LAB, OUT],
    });
  }
});

describeWithCorpus('real logs', () => {
  it.each([
    ['srum-crash-redo', LOGS],
    ['srum-crash-undo', LOGS],
    ['srum-dirty', LOGS],
    ['srum-clean', LOGS],
  ])(
    'of %s give the same files for any number of threads',
    { timeout: 600_000 },
    async (set, databasePath) => {
      await expectSameBytes({
        make: () => diskOfCorpus('recovery', set),
        options: { baseName: 'SRU', logPath: LOGS, systemPath: LOGS, databasePath, awaitsWorkers: true },
        folders: [LOGS],
      });
    },
  );

  it('of a database that is built from nothing give the same files', { timeout: 600_000 }, async () => {
    const results = await expectSameBytes({
      make: () => diskOfCorpus('logs', 'secedit'),
      options: { baseName: 'edb', logPath: LOGS, systemPath: LOGS, databasePath: OUT, awaitsWorkers: true },
      folders: [LOGS, OUT],
    });
    expect(results.map(({ threads }) => threads)).toEqual([1, 2, 3]);
  });
});

/** How a recovery fails: the whole error, with its place. */
async function failure(
  disk: SimulatedDisk,
  workers: number,
): Promise<{ error: unknown; left: SimulatedDisk }> {
  const left = disk.fork();
  const error = await recover(environmentOf(left), { ...LAB_OPTIONS, workers }).then(
    () => 'done',
    (thrown: unknown) => {
      if (!(thrown instanceof EseError)) throw thrown;
      const { name, message, file, pgno, lgpos } = thrown;
      return { name, message, file, pgno, lgpos };
    },
  );
  return { error, left };
}

it('damaged pages end recovery with the first error of the log, for any number of threads', {
  timeout: 900_000,
}, async () => {
  const { disk: whole, bytes } = await oldDatabase();
  const random = seededRandom(1);
  const names = new Set<unknown>();
  for (let round = 0; round < DAMAGES; round++) {
    const disk = whole.fork();
    const damaged = bytes.slice();
    const last = damaged.length / PAGE - 2;
    for (let pages = 1 + randomBelow(random, 60); pages > 0; pages--) {
      damagePage(damaged, 1 + randomBelow(random, last), randomBelow(random, 5));
    }
    writeFile(disk, LAB_DATABASE, damaged);
    const one = await failure(disk, 1);
    names.add(typeof one.error === 'string' ? one.error : (one.error as EseError).name);
    for (const workers of [2, 3]) {
      const { error, left } = await failure(disk, workers);
      expect([round, workers, error]).toEqual([round, workers, one.error]);
      expect([round, changedFiles(filesOf(one.left, [LAB]), filesOf(left, [LAB]))]).toEqual([round, []]);
    }
    await withoutKernel(async () =>
      expect([round, (await failure(disk, 1)).error]).toEqual([round, one.error]),
    );
  }
  expect(names.size).toBeGreaterThan(2);
});

/** A database as it was before all its pages were changed, with the log of the changes. */
async function oldDatabase(): Promise<{ disk: SimulatedDisk; bytes: Uint8Array }> {
  const log = { logFileKiB: 1024 };
  const { disk, instance, database } = createEngineLab({ log });
  const session = instance.createSession();
  const cursor = createTexts(session, database, 'Rows');
  session.transaction(() => {
    for (let id = 0; id < ROWS; id++)
      cursor.insert({ id, text: `${(id * 7919) % ROWS} ${'text '.repeat(9)}` });
  });
  instance.endSession(session);
  instance.close();
  const bytes = readFile(disk, LAB_DATABASE).slice();
  const again = await startInstance({ environment: environmentOf(disk), logDirectory: LAB, log });
  const attached = again.attachDatabase(LAB_DATABASE);
  const other = again.createSession();
  const rows = new Cursor(other, attached.table(other, 'Rows'));
  other.transaction(() => {
    for (let n = 0; n < ROWS; n++) {
      if (!rows.seek('=', (n * 5003) % ROWS)) continue;
      if (n % 3 === 0) rows.delete();
      else rows.update({ text: `${(n * 31) % ROWS} ${'text '.repeat(9)}` });
    }
  });
  again.abandon();
  return { disk, bytes };
}

/** Changes a page in one of several ways, and gives it a right checksum. */
function damagePage(database: Uint8Array, pgno: number, kind: number): void {
  const at = (pgno + 1) * PAGE;
  const page = database.slice(at, at + PAGE);
  if (page.every((byte) => byte === 0)) return;
  const view = new DataView(page.buffer);
  const stamp = view.getUint32(8, true);
  if (kind === 0) page.fill(0);
  if (kind === 1) view.setUint32(8, Math.max(1, stamp - 40), true);
  if (kind === 2) view.setUint32(8, stamp + 1, true);
  // Another tree, and fewer nodes than there are.
  if (kind === 3) view.setUint32(24, view.getUint32(24, true) + 1, true);
  if (kind === 4) view.setUint32(8, Math.max(1, stamp - 1), true);
  if (kind !== 0) sealPages(new Int32Array(page.buffer), 0, 1, PAGE, pgno);
  database.set(page, at);
}

it('recovery by two threads that is killed before any of its writes is repeated by the next', {
  timeout: 900_000,
}, async () => {
  const start = crashedProgram(4096, 8);
  const options = { ...LAB_OPTIONS, workers: 2, cacheBytes: 64 * PAGE };
  const calls: number[] = [];
  const disk = start.fork();
  disk.faults = (call) => {
    if (isMutation(call)) calls.push(call.number);
    return undefined;
  };
  const { threads } = await recover(environmentOf(withOrderedLogs(disk)), options);
  expect(threads).toBe(2);
  disk.faults = undefined;
  const expected = rowsOf(disk);
  for (const number of calls.filter((_, i) => i % EVERY === 0 || i > calls.length - 20)) {
    const killed = start.fork();
    killed.faults = stopAtCall(number);
    await expect(recover(environmentOf(withOrderedLogs(killed)), options)).rejects.toThrow(SimulatedCrash);
    // A page is written as a whole or not at all, as the engine takes for granted.
    for (const left of [killed.fork(), killed.crash(number, PAGE)]) {
      await recover(environmentOf(left, 2), options);
      expect([number, judgeDatabase(left, LAB_DATABASE).header.state]).toEqual([
        number,
        DATABASE_STATE.cleanShutdown,
      ]);
      expect([number, rowsOf(left)]).toEqual([number, expected]);
    }
  }
});

function rowsOf(disk: SimulatedDisk): unknown {
  const database = openDatabase(LAB_DATABASE, { fs: disk });
  const open = [...database.rows('Open')].map((row) => JSON.stringify(row));
  database.close();
  return [[...(programRows(disk, LAB_DATABASE) ?? [])], open];
}
