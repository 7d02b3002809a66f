import { beforeAll, describe, expect, it } from 'vitest';
import { DATABASE_STATE } from '../../../src/format/database-header.js';
import { pageOffset } from '../../../src/format/page.js';
import { seededEnvironment } from '../../../src/io/environment.js';
import type { FileSystem } from '../../../src/io/file-system.js';
import { readHeaderOf } from '../../../src/maintenance/file-kind.js';
import { checkIntegrity } from '../../../src/maintenance/integrity.js';
import type { RepairOptions, RepairResult } from '../../../src/maintenance/repair/repair-report.js';
import { repair } from '../../../src/maintenance/repair.js';
import { DAMAGED, type DamagedDatabase, damagedBytes } from '../../support/damaged-database.js';
import { readFile } from '../../support/files.js';
import { rowDigests } from '../../support/judge-database.js';
import { SAMPLE, sampleDatabase } from '../../support/sample-database.js';

const PAGE_SIZES = process.env.ESEKIT_FULL === undefined ? [4096, 32768] : [4096, 8192, 16384, 32768];

function run(fs: FileSystem, options: RepairOptions = {}, seed = 1): Promise<RepairResult> {
  return repair(seededEnvironment({ fs, seed }), DAMAGED, { inPlace: true, workers: 1, ...options });
}

/** Rows of the tables that hold data. */
async function contents(fs: FileSystem): Promise<Record<string, string>> {
  const digests = await rowDigests(fs, DAMAGED);
  return Object.fromEntries(
    digests
      .filter(({ table }) => !table.startsWith('MSys'))
      .map(({ table, rows, sha256 }) => [table, `${rows} ${sha256}`]),
  );
}

/** What `/g` has to say: nothing. */
async function expectSound(fs: FileSystem): Promise<void> {
  const { report, error } = await checkIntegrity({ fs }, DAMAGED);
  expect(report.findings.filter(({ severity }) => severity !== 'info')).toEqual([]);
  expect(error).toBeUndefined();
}

/** A second repair has nothing to do. */
async function expectDone(fs: FileSystem): Promise<void> {
  const before = Buffer.from(readFile(fs, DAMAGED));
  const { report } = await run(fs);
  expect(report.action).toBe('none');
  expect(Buffer.from(readFile(fs, DAMAGED)).equals(before)).toBe(true);
}

const samples = new Map<number, Uint8Array>();

function sample(pageSize = 4096): DamagedDatabase {
  let bytes = samples.get(pageSize);
  if (bytes === undefined) {
    bytes = readFile(sampleDatabase({ pageSize, rows: pageSize > 8192 ? 400 : 150 }), SAMPLE);
    samples.set(pageSize, bytes);
  }
  return damagedBytes(bytes);
}

/** Wrong bits that no checksum can put right. */
function spoil({ bytes, pageSize }: DamagedDatabase, pgno: number): void {
  const at = pageOffset(pgno, pageSize);
  bytes.fill(0x5a, at + 100, at + 164);
  bytes.fill(0xa5, at + pageSize / 2 + 5, at + pageSize / 2 + 77);
  bytes.fill(0x77, at + pageSize - 200, at + pageSize - 150);
}

function blank({ bytes, pageSize }: DamagedDatabase, pgno: number): void {
  const at = pageOffset(pgno, pageSize);
  bytes.fill(0, at, at + pageSize);
}

describe.each(PAGE_SIZES)('repair of pages of %i bytes', (pageSize) => {
  let expected: Record<string, string>;
  beforeAll(async () => {
    expected = await contents(sample(pageSize).disk());
  }, 60_000);

  const people = (db: DamagedDatabase) => db.table('People');
  const losesNothing: [string, (db: DamagedDatabase) => void][] = [
    ['an internal page', (db) => spoil(db, db.pagesOf(people(db)).internal.at(-1) ?? people(db).pgnoFdp)],
    ['the root of a table', (db) => spoil(db, people(db).pgnoFdp)],
    ['a catalog leaf', (db) => spoil(db, db.pagesOf({ pgnoFdp: 4, objid: 2 }).leaves[0] ?? 4)],
    ['a leaf of the shadow', (db) => spoil(db, db.pagesOf({ pgnoFdp: 24, objid: 3 }).leaves[0] ?? 24)],
    ['the owned extents of a table', (db) => blank(db, db.spaceRoot(people(db).pgnoFdp, 'OE'))],
    ['the root of the database', (db) => spoil(db, 1)],
    [
      'leaves of all indexes',
      (db) => {
        for (const index of people(db).indexes) {
          if (!index.primary) spoil(db, db.pagesOf(index).leaves[0] ?? 0);
        }
      },
    ],
    [
      'sibling links',
      (db) => {
        const [leaf = 0] = db.pagesOf(people(db)).leaves;
        db.edit(leaf, (page) => {
          page.pgnoNext = 3;
        });
      },
    ],
    [
      'a wrong number on the one leaf of a table without primary key, whose space trees have the right one',
      (db) => {
        const { pgnoFdp } = db.table('NoKey');
        expect(db.page(pgnoFdp).isLeaf).toBe(true);
        expect(db.page(db.spaceRoot(pgnoFdp, 'OE')).objid).toBe(db.page(pgnoFdp).objid);
        db.edit(pgnoFdp, (page) => {
          page.objid = 4711;
        });
      },
    ],
  ];

  it.each(losesNothing)('loses nothing with %s', async (_what, damage) => {
    const db = sample(pageSize);
    damage(db);
    const fs = db.disk();
    const { report, lost } = await run(fs);
    expect(report.action).toBe('repaired');
    expect(lost).toBe(false);
    expect(await contents(fs)).toEqual(expected);
    await expectSound(fs);
    await expectDone(fs);
    expect(readHeaderOf(fs, DAMAGED)).toMatchObject({ state: DATABASE_STATE.cleanShutdown, repairCount: 2 });
  });

  it('loses what lay on a blank leaf, and says so', async () => {
    const db = sample(pageSize);
    const { leaves } = db.pagesOf(people(db));
    const gone = leaves[leaves.length >> 1] ?? 0;
    const records = db.nodesOf(people(db)).filter(({ pgno }) => pgno === gone).length;
    const total = db.nodesOf(people(db)).length;
    blank(db, gone);
    const fs = db.disk();
    const { report, lost } = await run(fs);
    expect(lost).toBe(leaves.length > 1 || records > 0);
    const table = report.tables.find(({ name }) => name === 'People');
    expect(table?.records.kept).toBe(total - records);
    const { NoKey: noKey, Empty: empty } = await contents(fs);
    expect({ noKey, empty }).toEqual({ noKey: expected.NoKey, empty: expected.Empty });
    await expectSound(fs);
    await expectDone(fs);
  });

  it('says of a table whose only leaf is gone that records are lost, though no other tells how many', async () => {
    const db = sample(pageSize);
    blank(db, db.table('NoKey').pgnoFdp);
    const { report, lost } = await run(db.disk());
    const table = report.tables.find(({ name }) => name === 'NoKey');
    expect({ lost, records: table?.records }).toMatchObject({
      lost: true,
      records: { kept: 0, lost: { known: 0, estimated: 1 } },
    });
  });
});
