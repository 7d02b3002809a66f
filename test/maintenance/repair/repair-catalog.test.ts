import { beforeAll, describe, expect, it } from 'vitest';
import {
  CATALOG_TYPE,
  type CatalogRow,
  createCatalogRowDecoder,
  OBJID_CATALOG,
  OBJID_CATALOG_SHADOW,
  PGNO_CATALOG,
  PGNO_CATALOG_SHADOW,
} from '../../../src/format/catalog-row.js';
import { createNodeView, pageOffset } from '../../../src/format/page.js';
import { openDatabase } from '../../../src/index.js';
import { seededEnvironment } from '../../../src/io/environment.js';
import type { FileSystem } from '../../../src/io/file-system.js';
import { checkIntegrity } from '../../../src/maintenance/integrity.js';
import type { RepairOptions } from '../../../src/maintenance/repair/repair-report.js';
import { repair } from '../../../src/maintenance/repair.js';
import { DAMAGED, type DamagedDatabase, damagedBytes } from '../../support/damaged-database.js';
import { putFile, readFile } from '../../support/files.js';
import { SAMPLE, sampleDatabase } from '../../support/sample-database.js';

let bytes: Uint8Array;
beforeAll(() => {
  bytes = readFile(sampleDatabase({ rows: 60 }), SAMPLE);
}, 60_000);

const COPIES = [
  { pgnoFdp: PGNO_CATALOG, objid: OBJID_CATALOG },
  { pgnoFdp: PGNO_CATALOG_SHADOW, objid: OBJID_CATALOG_SHADOW },
];

/** Deletes rows of the catalog, in both copies. */
function forget(db: DamagedDatabase, fits: (row: CatalogRow) => boolean): void {
  const decode = createCatalogRowDecoder(db.pageSize);
  const node = createNodeView();
  for (const copy of COPIES) {
    for (const { pgno, line } of db.nodesOf(copy).reverse()) {
      const page = db.page(pgno);
      page.readNode(line, node);
      const row = decode(page.bytes, node.dataOffset, node.dataOffset + node.dataLength);
      if (fits(row)) db.edit(pgno, (edited) => edited.deleteNode(line));
    }
  }
}

async function repaired(db: DamagedDatabase, options: RepairOptions = {}, other?: Uint8Array) {
  const fs: FileSystem = db.disk();
  if (other !== undefined) putFile(fs, '/other.edb', other);
  const result = await repair(seededEnvironment({ fs, seed: 1 }), DAMAGED, {
    inPlace: true,
    workers: 1,
    ...options,
  });
  const { report } = await checkIntegrity({ fs }, DAMAGED);
  expect(report.findings.filter(({ severity }) => severity !== 'info')).toEqual([]);
  expect(
    (await repair(seededEnvironment({ fs, seed: 2 }), DAMAGED, { inPlace: true, workers: 1 })).report.action,
  ).toBe('none');
  return { fs, ...result };
}

function rowsOf(fs: FileSystem, table: string): Record<string, unknown>[] {
  const database = openDatabase(DAMAGED, { fs });
  try {
    return [...database.rows(table)];
  } finally {
    database.close();
  }
}

describe('repair of a catalog that has lost rows in both copies', () => {
  it('names columns that it does not know, and keeps the others', async () => {
    const db = damagedBytes(bytes);
    const { objid } = db.table('People');
    const before = rowsOf(db.disk(), 'People');
    const gone = db.table('People').columns.find(({ name }) => name === 'later');
    forget(db, (row) => row.objidTable === objid && row.name === 'later');
    const { fs, lost } = await repaired(db);
    const after = rowsOf(fs, 'People');
    expect(after.map(({ id, name, code }) => [id, name, code])).toEqual(
      before.map(({ id, name, code }) => [id, name, code]),
    );
    expect(lost).toBe(false);
    const database = openDatabase(DAMAGED, { fs });
    const names = database.table('People').columns.map(({ name }) => name);
    database.close();
    expect(names).toContain(`JetStub_${objid}_${gone?.columnId}`);
  });

  it('keeps the records of a table whose key has lost its column', async () => {
    const db = damagedBytes(bytes);
    const { objid, primaryIndex } = db.table('People');
    const before = rowsOf(db.disk(), 'People');
    const keyColumn = db
      .table('People')
      .columns.find(({ columnId }) => columnId === primaryIndex?.segments[0]?.columnId);
    forget(db, (row) => row.objidTable === objid && row.name === keyColumn?.name);
    const { fs, report } = await repaired(db);
    expect(report.findings).toContainEqual(
      expect.objectContaining({ code: 'CAT_ENTRY', objid, action: 'dropped; the keys stay' }),
    );
    expect(rowsOf(fs, 'People').map(({ name, code }) => [name, code])).toEqual(
      before.map(({ name, code }) => [name, code]),
    );
  });

  /** Damages a page of the catalog in both copies, so that what it says of a table is lost. */
  function loseTable(db: DamagedDatabase): number {
    const { objid } = db.table('NoKey');
    forget(db, (row) => row.objidTable === objid);
    // Only where rows are known to be missing, tables are looked for.
    for (const copy of COPIES) {
      const leaf = db.pagesOf(copy).leaves.at(-1) ?? 0;
      const at = pageOffset(leaf, db.pageSize);
      db.bytes.fill(0x5a, at + db.pageSize - 40, at + db.pageSize - 20);
    }
    return objid;
  }

  it('knows the columns of the catalog itself', async () => {
    const db = damagedBytes(bytes);
    const before = rowsOf(db.disk(), 'People');
    forget(db, (row) => row.objidTable <= OBJID_CATALOG_SHADOW && row.id > 3);
    loseTable(db);
    const { fs } = await repaired(db);
    expect(rowsOf(fs, 'People')).toEqual(before);
  });

  it('finds the table again, with the bytes of each record', async () => {
    const db = damagedBytes(bytes);
    const rows = db.nodesOf(db.table('NoKey')).length;
    const objid = loseTable(db);
    const { fs, report, lost } = await repaired(db);
    expect(lost).toBe(true);
    const table = report.tables.find(({ name }) => name === `Recovered_${objid}`);
    expect(table).toMatchObject({ recovered: true, records: { kept: rows } });
    const raw = rowsOf(fs, `Recovered_${objid}`);
    expect(raw).toHaveLength(rows);
    expect(raw.every((row) => row.raw instanceof Uint8Array)).toBe(true);
  });

  it.each([
    ['whose root names the table', false],
    ['whose root is lost', true],
  ])('finds the long values of a table again, in a tree %s', async (_what, losesRoot) => {
    const db = damagedBytes(bytes);
    const before = rowsOf(db.disk(), 'People');
    const { objid, longValueTree } = db.table('People');
    const { pgnoFdp } = longValueTree ?? { pgnoFdp: 0 };
    expect(db.pagesOf(longValueTree ?? { pgnoFdp, objid: 0 }).leaves).not.toContain(pgnoFdp);
    forget(db, (row) => row.objidTable === objid && row.type === CATALOG_TYPE.longValue);
    loseTable(db);
    if (losesRoot) db.bytes.fill(0, pageOffset(pgnoFdp, db.pageSize), pageOffset(pgnoFdp + 1, db.pageSize));
    const { fs } = await repaired(db);
    expect(rowsOf(fs, 'People')).toEqual(before);
  });

  it('gives the table its columns from another database', async () => {
    const db = damagedBytes(bytes);
    const before = rowsOf(db.disk(), 'People');
    const { objid } = db.table('People');
    forget(db, (row) => row.objidTable === objid);
    for (const copy of COPIES) {
      const leaf = db.pagesOf(copy).leaves.at(-1) ?? 0;
      const at = pageOffset(leaf, db.pageSize);
      db.bytes.fill(0x5a, at + db.pageSize - 40, at + db.pageSize - 20);
    }
    const { fs, report } = await repaired(db, { schemaFrom: '/other.edb' }, bytes);
    expect(report.tables.find(({ name }) => name === 'People')?.recovered).toBe(true);
    expect(rowsOf(fs, 'People').map(({ id, name }) => [id, name])).toEqual(
      before.map(({ id, name }) => [id, name]),
    );
  });
});
