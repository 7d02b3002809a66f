import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { openDatabaseReader } from '../../../src/engine/database-reader.js';
import { pageOffset } from '../../../src/format/page.js';
import type { IndexDefinition, TableDefinition } from '../../../src/format/table-definition.js';
import { seededEnvironment } from '../../../src/io/environment.js';
import type { FileSystem } from '../../../src/io/file-system.js';
import { checkIntegrity } from '../../../src/maintenance/integrity.js';
import type { RepairOptions, RepairResult } from '../../../src/maintenance/repair/repair-report.js';
import { repair } from '../../../src/maintenance/repair.js';
import { corpusPath, describeWithCorpus } from '../../corpus.js';
import { DAMAGED, type DamagedDatabase, damagedBytes } from '../../support/damaged-database.js';
import { compareWithEsedbexport, hasEsedbexport } from '../../support/esedbexport.js';
import { readFile } from '../../support/files.js';
import { rowDigests } from '../../support/judge-database.js';

const run = (fs: FileSystem, options: RepairOptions = {}): Promise<RepairResult> =>
  repair(seededEnvironment({ fs, seed: 1 }), DAMAGED, { inPlace: true, workers: 1, ...options });

function copyOf(...parts: string[]): DamagedDatabase {
  return damagedBytes(new Uint8Array(readFileSync(corpusPath(...parts))));
}

function blank({ bytes, pageSize }: DamagedDatabase, pgno: number): void {
  bytes.fill(0, pageOffset(pgno, pageSize), pageOffset(pgno + 1, pageSize));
}

async function rowsOf(fs: FileSystem): Promise<Map<string, number>> {
  return new Map((await rowDigests(fs, DAMAGED)).map(({ table, rows }) => [table, rows]));
}

async function expectSound(fs: FileSystem): Promise<void> {
  const { report, error } = await checkIntegrity({ fs }, DAMAGED);
  expect(report.findings.filter(({ severity }) => severity !== 'info')).toEqual([]);
  expect(error).toBeUndefined();
  const before = Buffer.from(readFile(fs, DAMAGED));
  expect((await run(fs)).report.action).toBe('none');
  expect(Buffer.from(readFile(fs, DAMAGED)).equals(before)).toBe(true);
}

/** A table with an index whose keys only Windows can compute, and that index. */
function unicodeIndex(db: DamagedDatabase): { table: TableDefinition; index: IndexDefinition } {
  const reader = openDatabaseReader(db.disk(), DAMAGED);
  try {
    for (const table of reader.tables()) {
      const index = table.indexes.find(({ primary, sortVersion }) => !primary && sortVersion !== undefined);
      if (index !== undefined) return { table, index };
    }
  } finally {
    reader.close();
  }
  throw new Error('no table has such an index');
}

describeWithCorpus('repair of real databases', () => {
  it('keeps the entries of an index that nobody can compute here, but for those of lost rows', async () => {
    const db = copyOf('databases', 'index.edb');
    const { table, index } = unicodeIndex(db);
    const { leaves } = db.pagesOf(table);
    const gone = leaves[1] ?? leaves[0] ?? 0;
    const total = db.nodesOf(table).length;
    const lostRows = db.nodesOf(table).filter(({ pgno }) => pgno === gone).length;
    blank(db, gone);
    const fs = db.disk();
    const { report } = await run(fs);
    const repaired = report.tables.find(({ name }) => name === table.name);
    expect(repaired?.records.kept).toBe(total - lostRows);
    expect(repaired?.indexes.find(({ name }) => name === index.name)).toEqual({
      name: index.name,
      action: 'kept',
      entries: total - lostRows,
    });
    await expectSound(fs);
  });

  it('counts the sort orders of indexes anew where their table is lost', async () => {
    const db = copyOf('databases', 'index.edb');
    const digestOf = async (fs: FileSystem) =>
      (await rowDigests(fs, DAMAGED)).find(({ table }) => table === 'MSysLocales');
    const before = await digestOf(db.disk());
    blank(db, db.table('MSysLocales').pgnoFdp);
    const fs = db.disk();
    expect((await run(fs)).lost).toBe(false);
    expect(before?.rows).toBe(8);
    expect(await digestOf(fs)).toEqual(before);
    await expectSound(fs);
  });

  it('marks such an index for Windows where entries are lost', async () => {
    const db = copyOf('databases', 'index.edb');
    const { table, index } = unicodeIndex(db);
    const [leaf = 0] = db.pagesOf(index).leaves;
    blank(db, leaf);
    const fs = db.disk();
    const { report, lost } = await run(fs);
    expect(lost).toBe(true);
    const repaired = report.tables.find(({ name }) => name === table.name);
    expect(repaired?.records.kept).toBe(db.nodesOf(table).length);
    expect(repaired?.indexes.find(({ name }) => name === index.name)?.action).toBe('marked');
    const reader = openDatabaseReader(fs, DAMAGED);
    try {
      const now = reader.table(table.name).indexes.find(({ name }) => name === index.name);
      expect(now?.sortVersion?.every((byte) => byte === 0)).toBe(true);
    } finally {
      reader.close();
    }
    await expectSound(fs);
  });

  it.each([
    ['databases', 'test.edb'],
    ['databases', 'compressed-8k.edb'],
    ['databases', 'ual-clean.mdb'],
    ['databases', 'secedit.sdb'],
    ['recovery', 'srum-clean', 'SRUDB.dat'],
  ])(
    '%s %s loses nothing with all space trees, internal pages and the catalog root gone',
    async (...parts) => {
      const db = copyOf(...parts.filter((part) => part !== undefined));
      const before = await rowsOf(db.disk());
      const reader = openDatabaseReader(db.disk(), DAMAGED);
      const doomed = [1, 2, 3, 4];
      for (const table of reader.tables()) {
        if (table.name.startsWith('MSys')) continue;
        for (const tree of [table, ...table.indexes, ...(table.longValueTree ? [table.longValueTree] : [])]) {
          const { internal } = db.pagesOf(tree);
          doomed.push(...internal);
        }
      }
      reader.close();
      for (const pgno of doomed) blank(db, pgno);
      const fs = db.disk();
      const { report } = await run(fs);
      expect(report.action).toBe('repaired');
      const after = await rowsOf(fs);
      const known = [...before].filter(([table]) => !table.startsWith('MSysObj') && after.has(table));
      expect(known.map(([table, rows]) => [table, after.get(table), rows])).toEqual(
        known.map(([table, rows]) => [table, rows, rows]),
      );
      expect(known.length).toBeGreaterThan(0);
      await expectSound(fs);
    },
  );

  it.skipIf(!hasEsedbexport)('what it leaves is read by others', async () => {
    const db = copyOf('recovery', 'srum-clean', 'SRUDB.dat');
    blank(db, db.pagesOf(db.table('SruDbIdMapTable')).leaves[1] ?? 0);
    const fs = db.disk();
    await run(fs);
    const { mkdtempSync, rmSync, writeFileSync } = await import('node:fs');
    const { join } = await import('node:path');
    const { tmpdir } = await import('node:os');
    const folder = mkdtempSync(join(tmpdir(), 'esekit-repair-'));
    try {
      const path = join(folder, 'db.dat');
      writeFileSync(path, readFile(fs, DAMAGED));
      await compareWithEsedbexport(path);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
