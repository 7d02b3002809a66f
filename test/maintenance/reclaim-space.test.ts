import { beforeAll, describe, expect, it } from 'vitest';
import { Cursor } from '../../src/engine/cursor.js';
import { createTable } from '../../src/engine/schema.js';
import { PGNO_DATABASE } from '../../src/format/catalog-row.js';
import { encodeExtentData, encodeExtentKey } from '../../src/format/space.js';
import { openDatabase } from '../../src/index.js';
import {
  type DiskCall,
  formatCall,
  isMutation,
  SimulatedCrash,
  type SimulatedDisk,
} from '../../src/io/simulated-disk.js';
import { type ReclaimReport, reclaimSpace } from '../../src/maintenance/reclaim-space.js';
import { recover } from '../../src/recovery/recover.js';
import { damagedBytes } from '../support/damaged-database.js';
import { createEngineLab, LAB, LAB_DATABASE } from '../support/engine-lab.js';
import { readFile } from '../support/files.js';
import { judgeDatabase } from '../support/judge-database.js';
import { withOrderedLogs } from '../support/ordered-logs.js';
import { environmentOf, writeFile } from '../support/recovery-disk.js';

const PAGE = 4096;
const ROWS = 40;
const place = { baseName: 'E00', logPath: LAB, systemPath: LAB };

/** A recovered database with the pages of a table whose creation was undone, between free ones and others. */
async function recoveredDatabase(): Promise<SimulatedDisk> {
  const { disk, instance, database } = createEngineLab({
    log: { logFileKiB: 128 },
    attach: { extensionPages: 64 },
  });
  const session = instance.createSession();
  const columns = [
    { name: 'n', type: 'long' as const },
    { name: 'data', type: 'longBinary' as const },
  ];
  const indexes = [{ name: 'primary', segments: ['n'], primary: true }];
  createTable(database, session, { name: 'Kept', columns, indexes });
  const kept = new Cursor(session, database.table(session, 'Kept'));
  const data = new Uint8Array(900);
  for (let n = 0; n < ROWS; n++) kept.insert({ n, data });
  session.begin();
  createTable(database, session, { name: 'Lost', columns, indexes });
  instance.transactions.log.makeDurable();
  const left = disk.fork();
  await recover(environmentOf(left), { ...place, databasePath: LAB });
  return left;
}

function keptRows(disk: SimulatedDisk): unknown[] {
  const database = openDatabase(LAB_DATABASE, { fs: disk });
  const numbers = [...database.rows('Kept')].map(({ n }) => n);
  database.close();
  return numbers;
}

function pagesOf(disk: SimulatedDisk): number {
  return readFile(disk, LAB_DATABASE).length / PAGE - 2;
}

function reclaim(disk: SimulatedDisk, wish: { reclaims: boolean; shrinks: boolean }): Promise<ReclaimReport> {
  return reclaimSpace(environmentOf(withOrderedLogs(disk), 3), { ...place, path: LAB_DATABASE, ...wish });
}

describe('space that is given back', () => {
  let start: SimulatedDisk;
  let leaked: number;
  const numbers = Array.from({ length: ROWS }, (_, n) => n);

  beforeAll(async () => {
    start = await recoveredDatabase();
    leaked = judgeDatabase(start, LAB_DATABASE).leaked.length;
    expect(leaked).toBeGreaterThan(0);
  });

  it('leaked pages become available, and the file keeps its size', async () => {
    const disk = start.fork();
    const pages = pagesOf(disk);
    expect(await reclaim(disk, { reclaims: true, shrinks: false })).toEqual({
      path: LAB_DATABASE,
      pagesBefore: pages,
      pagesAfter: pages,
      reclaimedPages: leaked,
    });
    expect(judgeDatabase(disk, LAB_DATABASE).leaked).toEqual([]);
    expect(keptRows(disk)).toEqual(numbers);
  });

  it('free pages at the end go, leaked ones in front of them only where they are sought', async () => {
    const shrunk = start.fork();
    const report = await reclaim(shrunk, { reclaims: false, shrinks: true });
    expect(report.pagesAfter).toBeLessThan(report.pagesBefore);
    expect(pagesOf(shrunk)).toBe(report.pagesAfter);
    expect(judgeDatabase(shrunk, LAB_DATABASE).leaked).toHaveLength(leaked);

    const both = start.fork();
    const { pagesAfter } = await reclaim(both, { reclaims: true, shrinks: true });
    expect(pagesAfter).toBeLessThan(report.pagesAfter);
    expect(judgeDatabase(both, LAB_DATABASE).leaked).toEqual([]);
    for (const disk of [shrunk, both]) expect(keptRows(disk)).toEqual(numbers);
    // There is nothing left to give back.
    expect(await reclaim(both, { reclaims: true, shrinks: true })).toMatchObject({
      pagesBefore: pagesAfter,
      pagesAfter,
      reclaimedPages: 0,
    });
  });

  it('a database that is damaged is not touched', async () => {
    const disk = start.fork();
    const file = disk.open(LAB_DATABASE, 'write');
    file.writeAt(new Uint8Array(PAGE).fill(0x5a), 5 * PAGE);
    file.close();
    const before = readFile(disk, LAB_DATABASE);
    await expect(reclaim(disk, { reclaims: true, shrinks: true })).rejects.toMatchObject({
      name: 'JET_errReadVerifyFailure',
      file: LAB_DATABASE,
      pgno: 4,
    });
    expect(Buffer.compare(readFile(disk, LAB_DATABASE), before)).toBe(0);
  });

  it.each(['OE', 'AE'] as const)(
    'an extent behind the end of the file in the %s tree is refused',
    async (kind) => {
      const damaged = damagedBytes(readFile(start, LAB_DATABASE));
      damaged.edit(damaged.spaceRoot(PGNO_DATABASE, kind), (page) => {
        page.insertKeyed(page.nodeCount, 0, encodeExtentKey(0xfffffff0), encodeExtentData(0xf0000000));
      });
      const disk = start.fork();
      writeFile(disk, LAB_DATABASE, damaged.bytes);
      await expect(reclaim(disk, { reclaims: true, shrinks: false })).rejects.toMatchObject({
        name: 'JET_errDatabaseCorrupted',
        file: LAB_DATABASE,
      });
      expect(Buffer.compare(readFile(disk, LAB_DATABASE), damaged.bytes)).toBe(0);
    },
  );

  it('survives a crash at any moment', { timeout: 300_000 }, async () => {
    const calls: DiskCall[] = [];
    const whole = start.fork();
    whole.faults = (call) => {
      if (isMutation(call)) calls.push(call);
      return undefined;
    };
    await reclaim(whole, { reclaims: true, shrinks: true });
    const every = process.env.ESEKIT_FULL === undefined ? 3 : 1;
    for (const stopped of calls.filter((_, i) => i % every === 0)) {
      const disk = start.fork();
      disk.faults = (call) => (call.number === stopped.number ? { kind: 'stop' } : undefined);
      await expect(reclaim(disk, { reclaims: true, shrinks: true })).rejects.toThrow(SimulatedCrash);
      for (const found of [disk.fork(), disk.crash(stopped.number, PAGE)]) {
        try {
          await recover(environmentOf(found, 4), { ...place, databasePath: LAB });
          judgeDatabase(found, LAB_DATABASE);
          expect(keptRows(found)).toEqual(numbers);
        } catch (cause) {
          throw new Error(`found wrong, before ${formatCall(stopped)}: ${String(cause)}`, { cause });
        }
      }
    }
  });
});
