import { beforeAll, describe, expect, it } from 'vitest';
import { pageOffset } from '../../../src/format/page.js';
import { openDatabase } from '../../../src/index.js';
import { seededEnvironment } from '../../../src/io/environment.js';
import { createSimulatedDisk, type SimulatedDisk } from '../../../src/io/simulated-disk.js';
import { checkIntegrity } from '../../../src/maintenance/integrity.js';
import { undoRepair } from '../../../src/maintenance/repair/undo-repair.js';
import { repair } from '../../../src/maintenance/repair.js';
import { damagedBytes } from '../../support/damaged-database.js';
import { putFile, readFile } from '../../support/files.js';
import { SAMPLE, sampleDatabase } from '../../support/sample-database.js';

const DATABASE = '/db.edb';

describe('a page that the disk does not give back', () => {
  let bytes: Uint8Array;
  beforeAll(() => {
    bytes = readFile(sampleDatabase({ rows: 150 }), SAMPLE);
  }, 60_000);

  /** A disk that gives nothing of these pages of the database. */
  function brokenDisk(pgnos: readonly number[]): SimulatedDisk {
    const disk = createSimulatedDisk({ seed: 1 });
    putFile(disk, DATABASE, bytes);
    const identity = disk.stat(DATABASE).identity;
    disk.faults = ({ operation, path, offset = 0, length = 0 }) => {
      if (operation !== 'readAt' || path !== DATABASE) return undefined;
      // The new database in its place lies elsewhere on the disk.
      if (disk.stat(DATABASE).identity !== identity) return undefined;
      const isThere = pgnos.some((pgno) => {
        const at = pageOffset(pgno, 4096);
        return at < offset + length && offset < at + 4096;
      });
      return isThere ? { kind: 'error', error: 'JET_errDiskIO' } : undefined;
    };
    return disk;
  }

  it('is lost, and nothing else is; the undo file has the rest', async () => {
    const db = damagedBytes(bytes);
    const leaves = db.pagesOf(db.table('People')).leaves;
    const gone = leaves[2] ?? 0;
    const lostRows = db.nodesOf(db.table('People')).filter(({ pgno }) => pgno === gone).length;
    const disk = brokenDisk([gone]);
    const { report, lost } = await repair(seededEnvironment({ fs: disk, seed: 1 }), DATABASE, {
      inPlace: true,
      workers: 1,
      undoFile: '/undo',
      keepLost: '/lost',
    });
    expect(lost).toBe(true);
    expect(report.tables.find(({ name }) => name === 'People')?.records.kept).toBe(150 - lostRows);
    disk.faults = undefined;
    const { error } = await checkIntegrity({ fs: disk }, DATABASE);
    expect(error).toBeUndefined();
    const database = openDatabase(DATABASE, { fs: disk });
    expect([...database.rows('People')]).toHaveLength(150 - lostRows);
    database.close();
    await undoRepair(seededEnvironment({ fs: disk, seed: 2 }), DATABASE, '/undo');
    const back = Buffer.from(readFile(disk, DATABASE));
    const expected = Buffer.from(bytes);
    expected.fill(0, pageOffset(gone, 4096), pageOffset(gone + 1, 4096));
    expect(back.equals(expected)).toBe(true);
  });
});
