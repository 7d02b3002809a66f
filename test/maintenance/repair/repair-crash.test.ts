import { beforeAll, describe, expect, it } from 'vitest';
import { EseError } from '../../../src/format/ese-error.js';
import { pageOffset } from '../../../src/format/page.js';
import { seededEnvironment } from '../../../src/io/environment.js';
import type { FileSystem } from '../../../src/io/file-system.js';
import {
  createSimulatedDisk,
  failAtCall,
  formatCall,
  isMutation,
  SimulatedCrash,
  type SimulatedDisk,
  stopAtCall,
} from '../../../src/io/simulated-disk.js';
import { checkIntegrity } from '../../../src/maintenance/integrity.js';
import type { RepairOptions } from '../../../src/maintenance/repair/repair-report.js';
import { undoRepair } from '../../../src/maintenance/repair/undo-repair.js';
import { repair } from '../../../src/maintenance/repair.js';
import { damagedBytes } from '../../support/damaged-database.js';
import { putFile, readFile } from '../../support/files.js';
import { SAMPLE, sampleDatabase } from '../../support/sample-database.js';

const DATABASE = '/db.edb';
const UNDO = '/undo';
/** What a power failure leaves, by seed; undefined: only the program died. */
const SEEDS = process.env.ESEKIT_FULL === undefined ? [undefined, 1] : [undefined, 1, 2, 3];

const run = (fs: FileSystem, options: RepairOptions = {}) =>
  repair(seededEnvironment({ fs, seed: 1 }), DATABASE, {
    inPlace: true,
    workers: 1,
    temp: '/t.edb',
    ...options,
  });

/** The pages behind both headers. */
const pagesOf = (fs: FileSystem): Buffer => Buffer.from(readFile(fs, DATABASE).subarray(2 * 4096));

/** Kinds of damage: mended in place, and by a new database. */
const DAMAGES = {
  'the state in the header': (bytes: Uint8Array) => {
    damagedBytes(bytes);
    const db = damagedBytes(bytes);
    db.editHeader({ state: 2, genMinRequired: 5, genMaxRequired: 7 });
    bytes.set(db.bytes);
  },
  'the header': (bytes: Uint8Array) => void bytes.fill(3, 100, 200),
  'the shadow header': (bytes: Uint8Array) => void bytes.fill(3, 4196, 4296),
  'single bits': (bytes: Uint8Array) => {
    for (const pgno of [32, 33, 40])
      bytes[pageOffset(pgno, 4096) + 1000] = (bytes[pageOffset(pgno, 4096) + 1000] ?? 0) ^ 4;
  },
  'a table': (bytes: Uint8Array) => {
    const db = damagedBytes(bytes);
    const [leaf = 0] = db.pagesOf(db.table('People')).leaves;
    const at = pageOffset(leaf, 4096);
    bytes.fill(0, at, at + 4096);
  },
};

/** A new database is made by many calls that are all alike; what comes first and last is what counts. */
function chosenOf(calls: readonly number[]): readonly number[] {
  if (process.env.ESEKIT_FULL !== undefined || calls.length < 30) return calls;
  return calls.filter((_, i) => i < 5 || i > calls.length - 22 || i % 16 === 0);
}

describe.each(Object.keys(DAMAGES) as (keyof typeof DAMAGES)[])('a repair of %s that is killed', (damage) => {
  let broken: Uint8Array;
  let finished: Buffer;

  beforeAll(async () => {
    broken = Uint8Array.from(readFile(sampleDatabase({ rows: 8 }), SAMPLE));
    DAMAGES[damage](broken);
    const disk = start();
    await run(disk);
    finished = pagesOf(disk);
  }, 60_000);

  function start(): SimulatedDisk {
    const disk = createSimulatedDisk({ seed: 1 });
    putFile(disk, DATABASE, broken);
    return disk;
  }

  async function mutations(options: RepairOptions): Promise<number[]> {
    const calls: number[] = [];
    const disk = start();
    disk.faults = (call) => {
      if (isMutation(call)) calls.push(call.number);
      return undefined;
    };
    await run(disk, options);
    return calls;
  }

  /** Old or new, and running it again ends the work. */
  async function checkLeft(left: SimulatedDisk, isInPlace: boolean): Promise<void> {
    const isOld = Buffer.from(readFile(left, DATABASE)).equals(Buffer.from(broken));
    if (!isOld && !isInPlace) expect(pagesOf(left).equals(finished)).toBe(true);
    if (left.exists(UNDO)) {
      const back = left.fork();
      await undoRepair(seededEnvironment({ fs: back, seed: 2 }), DATABASE, UNDO);
      expect(Buffer.from(readFile(back, DATABASE)).equals(Buffer.from(broken))).toBe(true);
      left.unlink(UNDO);
    }
    await run(left);
    expect(pagesOf(left).equals(finished)).toBe(true);
    const { report, error } = await checkIntegrity({ fs: left }, DATABASE);
    expect(error).toBeUndefined();
    expect(report.dirty).toBe(false);
    expect(left.readdir('/').filter((name) => !name.endsWith('.tmp'))).toEqual(['db.edb']);
  }

  it('leaves the old database or the new one, and ends its work the next time', async () => {
    const options = { undoFile: UNDO };
    for (const call of [...chosenOf(await mutations(options)), undefined]) {
      const disk = start();
      if (call !== undefined) disk.faults = stopAtCall(call);
      let where = 'the end';
      try {
        await run(disk, options);
      } catch (error) {
        if (!(error instanceof SimulatedCrash)) throw error;
        where = error.message;
      }
      for (const seed of SEEDS) {
        const left = seed === undefined ? disk.fork() : disk.crash(1000 * (call ?? 0) + seed);
        try {
          await checkLeft(left, damage !== 'a table');
        } catch (cause) {
          throw new Error(`found wrong before call ${call} (${where}), seed ${seed}: ${String(cause)}`, {
            cause,
          });
        }
      }
    }
  }, 120_000);

  it('leaves the database as it was when a call fails before the first change of it', async () => {
    for (const number of chosenOf(await mutations({}))) {
      const disk = start();
      let where = '';
      const plan = failAtCall(number, 'JET_errDiskFull');
      disk.faults = (call) => {
        const fault = plan(call);
        if (fault !== undefined) where = formatCall(call);
        return fault;
      };
      let failure: EseError | undefined;
      try {
        await run(disk);
      } catch (error) {
        if (!(error instanceof EseError)) throw error;
        failure = error;
      }
      disk.faults = undefined;
      try {
        if (damage === 'a table' && failure !== undefined) {
          const isOld = Buffer.from(readFile(disk, DATABASE)).equals(Buffer.from(broken));
          if (!isOld) expect(pagesOf(disk).equals(finished)).toBe(true);
          if (isOld) expect(disk.readdir('/')).toEqual(['db.edb']);
        }
        await checkLeft(disk.fork(), damage !== 'a table');
      } catch (cause) {
        throw new Error(`found wrong after ${where} failed: ${String(cause)}`, { cause });
      }
    }
  }, 120_000);
});

describe('a repair without room', () => {
  it('says before it begins what it needs', async () => {
    const bytes = Uint8Array.from(readFile(sampleDatabase({ rows: 8 }), SAMPLE));
    DAMAGES['a table'](bytes);
    const disk = createSimulatedDisk({ capacity: bytes.length + 4 * 4096 });
    putFile(disk, DATABASE, bytes);
    await expect(run(disk)).rejects.toMatchObject({ name: 'JET_errDiskFull' });
    expect(disk.readdir('/')).toEqual(['db.edb']);
    await expect(run(disk, { skipSpaceCheck: true })).rejects.toMatchObject({ name: 'JET_errDiskFull' });
    expect(disk.readdir('/')).toEqual(['db.edb']);
    expect(Buffer.from(readFile(disk, DATABASE)).equals(Buffer.from(bytes))).toBe(true);
  });
});
