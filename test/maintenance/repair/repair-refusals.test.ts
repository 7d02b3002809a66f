import { describe, expect, it } from 'vitest';
import { Cursor } from '../../../src/engine/cursor.js';
import { createTable } from '../../../src/engine/schema.js';
import { EseError } from '../../../src/format/ese-error.js';
import { pageOffset } from '../../../src/format/page.js';
import { seededEnvironment } from '../../../src/io/environment.js';
import type { FileSystem, LockOptions, OpenMode } from '../../../src/io/file-system.js';
import { createSimulatedDisk, SimulatedCrash, type SimulatedDisk } from '../../../src/io/simulated-disk.js';
import type { RepairOptions, RepairResult } from '../../../src/maintenance/repair/repair-report.js';
import { repair } from '../../../src/maintenance/repair.js';
import { DAMAGED, type DamagedDatabase, damagedBytes } from '../../support/damaged-database.js';
import { createEngineLab, LAB_DATABASE } from '../../support/engine-lab.js';
import { putFile, readFile } from '../../support/files.js';
import { SAMPLE, sampleDatabase } from '../../support/sample-database.js';

const run = (fs: FileSystem, options: RepairOptions = {}, path = DAMAGED): Promise<RepairResult> =>
  repair(seededEnvironment({ fs, seed: 1 }), path, {
    inPlace: options.output === undefined,
    workers: 1,
    ...options,
  });

async function errorOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
  } catch (error) {
    if (error instanceof EseError) return error.name;
    throw error;
  }
  throw new Error('no error was thrown');
}

let bytes: Uint8Array | undefined;

/** A sample in which the first leaf of a table is blank. */
function broken(): DamagedDatabase {
  bytes ??= readFile(sampleDatabase({ rows: 30 }), SAMPLE);
  const db = damagedBytes(bytes);
  const [leaf = 0] = db.pagesOf(db.table('People')).leaves;
  db.bytes.fill(0, pageOffset(leaf, 4096), pageOffset(leaf + 1, 4096));
  return db;
}

function expectUntouched(fs: FileSystem, db: DamagedDatabase, ...others: string[]): void {
  expect(Buffer.from(readFile(fs, DAMAGED)).equals(Buffer.from(db.bytes))).toBe(true);
  expect(fs.readdir('/')).toEqual(['damaged.edb', ...others].sort());
}

describe('a repair refuses', () => {
  it('to replace a file that may only be read, but makes another one of it', async () => {
    const db = broken();
    const disk = db.disk();
    const fs: FileSystem = Object.assign(Object.create(disk), {
      open: (path: string, mode: OpenMode) => {
        if (path === DAMAGED && mode === 'write') throw new EseError('JET_errDatabaseFileReadOnly');
        return disk.open(path, mode);
      },
    });
    let phases = 0;
    expect(await errorOf(run(fs, { onPhase: () => phases++ }))).toBe('JET_errDatabaseFileReadOnly');
    expect(phases).toBe(0);
    expectUntouched(disk, db);
    expect((await run(fs, { output: '/new.edb' })).report.action).toBe('repaired');
    expectUntouched(disk, db, 'new.edb');
  });

  it('a database with definitions that is not there, before it looks at anything', async () => {
    const db = broken();
    const disk = db.disk();
    let phases = 0;
    const options = { schemaFrom: '/none.edb', onPhase: () => phases++ };
    expect(await errorOf(run(disk, options))).toBe('JET_errFileNotFound');
    expect(phases).toBe(0);
    expectUntouched(disk, db);
  });

  it('the database of a directory service that would lose something', async () => {
    const lab = createEngineLab();
    const session = lab.instance.createSession();
    for (const name of ['datatable', 'hiddentable', 'link_table', 'sdproptable']) {
      const columns = [
        { name: 'id', type: 'long' } as const,
        { name: 'text', type: 'text', maxLength: 200 } as const,
      ];
      const table = createTable(lab.database, session, { name, columns });
      const cursor = new Cursor(session, table);
      session.transaction(() => {
        for (let id = 0; id < 60; id++) cursor.insert({ id, text: `${name} ${id} `.repeat(10) });
      });
    }
    lab.instance.endSession(session);
    lab.instance.close();
    const db = damagedBytes(readFile(lab.disk, LAB_DATABASE));
    const [leaf = 0] = db.pagesOf(db.table('datatable')).leaves;
    db.bytes.fill(0, pageOffset(leaf, 4096), pageOffset(leaf + 1, 4096));
    const fs = db.disk();
    expect(await errorOf(run(fs))).toBe('JET_errDatabaseCorruptedNoRepair');
    expectUntouched(fs, db);
  });

  it.each<[RepairOptions, string]>([
    [{ output: '/there' }, 'JET_errFileAlreadyExists'],
    [{ undoFile: '/there' }, 'JET_errFileAlreadyExists'],
    [{ temp: '/there' }, 'JET_errFileAlreadyExists'],
    [{ temp: DAMAGED }, 'JET_errInvalidDatabase'],
    [{ output: '/nowhere/new.edb' }, 'JET_errInvalidPath'],
    [{ keepLost: '/there' }, 'JET_errInvalidPath'],
  ])('to overwrite what it did not make, before it looks at anything: %j', async (options, error) => {
    const db = broken();
    const fs = db.disk();
    let phases = 0;
    putFile(fs, '/there', Uint8Array.of(1));
    expect(await errorOf(run(fs, { ...options, onPhase: () => phases++ }))).toBe(error);
    expect(phases).toBe(0);
    expectUntouched(fs, db, 'there');
  });

  it.each<keyof RepairOptions>(['temp', 'output', 'undoFile'])(
    'a folder that may not be written to, before it looks at anything: %s',
    async (name) => {
      const db = broken();
      const disk = db.disk();
      disk.mkdir('/locked');
      const fs: FileSystem = Object.assign(Object.create(disk), {
        lock: (path: string, options: LockOptions) => {
          if (path.startsWith('/locked/')) throw new EseError('JET_errFileAccessDenied');
          return disk.lock(path, options);
        },
      });
      let phases = 0;
      const options = { [name]: '/locked/1', onPhase: () => phases++ };
      expect(await errorOf(run(fs, options))).toBe('JET_errFileAccessDenied');
      expect(phases).toBe(0);
      expectUntouched(disk, db, 'locked');
      expect((await run(fs, { ...options, checksOnly: true })).report.action).toBe('declined');
      expectUntouched(disk, db, 'locked');
    },
  );

  it('what is no database', async () => {
    const disk = createSimulatedDisk();
    putFile(disk, '/empty', new Uint8Array(0));
    await expect(run(disk, { forceHeader: true }, '/empty')).rejects.toThrow('the file is empty');
    disk.unlink('/empty');
    putFile(disk, '/text', new Uint8Array(70000).fill(65));
    expect(await errorOf(run(disk, {}, '/text'))).toBe('JET_errDatabaseCorrupted');
    expect(await errorOf(run(disk, { forceHeader: true }, '/text'))).toBe('JET_errDatabaseCorrupted');
    expect(await errorOf(run(disk, {}, '/missing'))).toBe('JET_errFileNotFound');
    expect(disk.readdir('/')).toEqual(['text']);
  });

  it('to work in a folder where no lock can be made, but reads a database that lies in one', async () => {
    const db = broken();
    const disk = db.disk();
    const fs: FileSystem = Object.assign(Object.create(disk), {
      lock: (path: string, options: LockOptions) => {
        if (path === DAMAGED) throw new EseError('JET_errFileAccessDenied');
        return disk.lock(path, options);
      },
    });
    expect(await errorOf(run(fs))).toBe('JET_errFileAccessDenied');
    expect((await run(fs, { output: '/new.edb' })).report.action).toBe('repaired');
    expectUntouched(disk, db, 'new.edb');
    disk.lock(DAMAGED, { role: 'store' });
    expect(await errorOf(run(fs, { output: '/other.edb' }))).toBe('JET_errFileAccessDenied');
  });

  it('a database that another session has', async () => {
    const db = broken();
    const fs = db.disk();
    const lock = fs.lock(DAMAGED, { role: 'store' });
    expect(await errorOf(run(fs))).toBe('JET_errFileAccessDenied');
    lock.release();
  });
});

describe('the place of a repaired database', () => {
  it('is another file where nobody says that it is that of the old one, which stays as it is', async () => {
    const db = broken();
    const fs = db.disk();
    const { report } = await repair(seededEnvironment({ fs, seed: 1 }), DAMAGED, { workers: 1 });
    expect(report).toMatchObject({ action: 'repaired', output: '/damaged.repaired.edb', undoFile: null });
    expectUntouched(fs, db, 'damaged.repaired.edb');
    expect(await errorOf(repair(seededEnvironment({ fs, seed: 1 }), DAMAGED))).toBe(
      'JET_errFileAlreadyExists',
    );
  });

  it('cannot be both', async () => {
    const db = broken();
    const fs = db.disk();
    expect(await errorOf(run(fs, { inPlace: true, output: '/new.edb' }))).toBe('JET_errInvalidParameter');
    expectUntouched(fs, db);
  });

  it('is that of the old one where there was nothing to repair', async () => {
    const fs = damagedBytes(readFile(sampleDatabase({ rows: 3 }), SAMPLE)).disk();
    const { report } = await repair(seededEnvironment({ fs, seed: 1 }), DAMAGED, { workers: 1 });
    expect(report).toMatchObject({ action: 'none', output: DAMAGED });
    expect(fs.readdir('/')).toEqual(['damaged.edb']);
  });
});

describe('a repair that is interrupted', () => {
  it.each(['check', 'scan', 'repair', 'verify', 'undo'] as const)(
    'in phase %s leaves nothing',
    async (phase) => {
      const db = broken();
      const fs = db.disk();
      const controller = new AbortController();
      const work = run(fs, {
        undoFile: '/undo',
        signal: controller.signal,
        onPhase: (begun) => {
          if (begun === phase) controller.abort(new Error('stop'));
        },
      });
      await expect(work).rejects.toThrow('stop');
      expectUntouched(fs, db);
    },
  );
});

describe('a repair that was killed', () => {
  /** The disk at the moment when a repair was killed. */
  const killed = async (): Promise<SimulatedDisk> => {
    const disk = createSimulatedDisk({ seed: 1 });
    putFile(disk, DAMAGED, broken().bytes);
    let left = disk;
    const work = run(disk, {
      temp: '/TEMPREPAIR17.EDB',
      onPhase: (phase) => {
        if (phase !== 'verify') return;
        left = disk.fork();
        disk.faults = () => ({ kind: 'stop' });
      },
    });
    await expect(work).rejects.toThrow(SimulatedCrash);
    expect(left.readdir('/')).toEqual(['TEMPREPAIR17.EDB', 'damaged.edb']);
    return left;
  };

  it('leaves a database that the next one removes, and tells of', async () => {
    const left = await killed();
    for (const name of ['/TEMPREPAIR17.EDB.sort1', '/TEMPREPAIR.EDB', '/other.edb']) {
      putFile(left, name, Uint8Array.of(1));
    }
    const told: string[] = [];
    await run(left, { temp: '/TEMPREPAIR18.EDB', onLeftover: (path) => told.push(path) });
    expect(told).toEqual(['/TEMPREPAIR17.EDB']);
    expect(left.readdir('/')).toEqual(['TEMPREPAIR.EDB', 'damaged.edb', 'other.edb']);
  });

  it('leaves alone what another session works on, and what nobody was killed over', async () => {
    const left = await killed();
    const made = readFile(left, '/TEMPREPAIR17.EDB');
    putFile(left, '/TEMPREPAIR16.EDB', made);
    left.lock('/TEMPREPAIR17.EDB', { role: 'eseutil' });
    const told: string[] = [];
    await run(left, { temp: '/TEMPREPAIR18.EDB', onLeftover: (path) => told.push(path) });
    expect(told).toEqual([]);
    expect(left.readdir('/')).toEqual(['TEMPREPAIR16.EDB', 'TEMPREPAIR17.EDB', 'damaged.edb']);
  });
});

it('the same damage gives the same bytes', async () => {
  const [one, other] = [broken().disk(), broken().disk()];
  await run(one, { workers: 1 });
  await run(other, { workers: 3 });
  expect(Buffer.from(readFile(one, DAMAGED)).equals(Buffer.from(readFile(other, DAMAGED)))).toBe(true);
});
