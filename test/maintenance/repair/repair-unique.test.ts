import { describe, expect, it } from 'vitest';
import { Cursor } from '../../../src/engine/cursor.js';
import { createTable } from '../../../src/engine/schema.js';
import { EseError } from '../../../src/format/ese-error.js';
import { openDatabase } from '../../../src/index.js';
import { seededEnvironment } from '../../../src/io/environment.js';
import type { FileSystem } from '../../../src/io/file-system.js';
import { checkIntegrity } from '../../../src/maintenance/integrity.js';
import type { DuplicateRecord, UniquePolicy } from '../../../src/maintenance/repair/repair-report.js';
import { repair } from '../../../src/maintenance/repair.js';
import { DAMAGED, type DamagedDatabase, damagedBytes } from '../../support/damaged-database.js';
import { createEngineLab, LAB_DATABASE } from '../../support/engine-lab.js';
import { readFile } from '../../support/files.js';

/** Rows 0 to 39 with a code of their own, but that the stored code of row 7 was changed to that of row 30. */
function doubled(): DamagedDatabase {
  const lab = createEngineLab();
  const session = lab.instance.createSession();
  const table = createTable(lab.database, session, {
    name: 'Codes',
    columns: [
      { name: 'id', type: 'long' },
      { name: 'code', type: 'binary', maxLength: 20 },
      { name: 'filler', type: 'binary', maxLength: 255 },
    ],
    indexes: [
      { name: 'primary', segments: ['id'], primary: true },
      { name: 'byCode', segments: ['code'], unique: true },
    ],
  });
  const cursor = new Cursor(session, table);
  const code = (id: number): Uint8Array => Uint8Array.of(0xc0, 0xde, 0xba, 0x5e, id);
  session.transaction(() => {
    for (let id = 0; id < 40; id++)
      cursor.insert({ id, code: code(id), filler: new Uint8Array(250).fill(id) });
  });
  lab.instance.endSession(session);
  lab.instance.close();
  const db = damagedBytes(readFile(lab.disk, LAB_DATABASE));
  const wanted = Buffer.from(code(7));
  for (const pgno of db.pagesOf(db.table('Codes')).leaves) {
    const at = Buffer.from(db.page(pgno).bytes).indexOf(wanted);
    if (at >= 0) db.edit(pgno, (page) => page.bytes.set(code(30), at));
  }
  return db;
}

const run = (fs: FileSystem, unique: UniquePolicy) =>
  repair(seededEnvironment({ fs, seed: 1 }), DAMAGED, { inPlace: true, workers: 1, unique });

function idsOf(fs: FileSystem): unknown[] {
  const database = openDatabase(DAMAGED, { fs });
  try {
    return [...database.rows('Codes')].map(({ id }) => id);
  } finally {
    database.close();
  }
}

async function expectSound(fs: FileSystem): Promise<void> {
  const { report } = await checkIntegrity({ fs }, DAMAGED);
  expect(report.findings).toEqual([]);
}

/** Ends of primary keys, and what became of their records. All of them have the code of row 30. */
const listed = (duplicates: readonly DuplicateRecord[]): string[][] =>
  duplicates.map(({ table, index, primaryKey, action, data }) => {
    expect([table, index]).toEqual(['Codes', 'byCode']);
    expect(data).toContain('c0deba5e1e');
    return [primaryKey.slice(-8), action];
  });

const ALL = Array.from({ length: 40 }, (_, id) => id);

describe('two records with one key of a unique index', () => {
  it('are both kept, and the index is not unique any more', async () => {
    const fs = doubled().disk();
    const { report, lost, duplicates } = await run(fs, 'demote');
    expect(idsOf(fs)).toEqual(ALL);
    expect(lost).toBe(false);
    expect(listed(duplicates)).toEqual([
      ['80000007', 'kept'],
      ['8000001e', 'kept'],
    ]);
    expect(report.tables.find(({ name }) => name === 'Codes')?.indexes).toEqual([
      { name: 'byCode', action: 'rebuilt', entries: 40 },
    ]);
    expect(
      report.findings.filter(({ code, action }) => code === 'IDX_DUP' && action !== 'rebuilt'),
    ).toHaveLength(1);
    const database = openDatabase(DAMAGED, { fs });
    expect(database.table('Codes').indexes.find(({ name }) => name === 'byCode')?.unique).toBe(false);
    database.close();
    await expectSound(fs);
  });

  it('--unique=drop-older keeps the one on the newer page', async () => {
    const db = doubled();
    const leaves = db.pagesOf(db.table('Codes')).leaves;
    const dbtimes = leaves.map((pgno) => db.page(pgno).dbtime);
    // Row 30 lies on a later page than row 7, which is newer.
    expect(leaves.length).toBeGreaterThan(2);
    expect(dbtimes.at(-1)).toBeGreaterThan(dbtimes[0] ?? 0);
    const fs = db.disk();
    const { report, lost, duplicates } = await run(fs, 'drop-older');
    expect(idsOf(fs)).toEqual(ALL.filter((id) => id !== 7));
    expect(lost).toBe(true);
    expect(listed(duplicates)).toEqual([
      ['80000007', 'left out'],
      ['8000001e', 'kept'],
    ]);
    expect(report.tables.find(({ name }) => name === 'Codes')?.records).toMatchObject({
      kept: 39,
      dropped: 1,
    });
    await expectSound(fs);
  });

  it('--unique=fail leaves the database as it is', async () => {
    const db = doubled();
    const fs = db.disk();
    let name = '';
    try {
      await run(fs, 'fail');
    } catch (error) {
      if (error instanceof EseError) name = error.name;
    }
    expect(name).toBe('JET_errKeyDuplicate');
    expect(Buffer.from(readFile(fs, DAMAGED)).equals(Buffer.from(db.bytes))).toBe(true);
    expect(fs.readdir('/')).toEqual(['damaged.edb']);
  });
});
