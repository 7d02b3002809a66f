import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { Cursor } from '../../src/engine/cursor.js';
import { openDatabaseReader } from '../../src/engine/database-reader.js';
import { openInstance } from '../../src/engine/instance.js';
import { createTable } from '../../src/engine/schema.js';
import { CATALOG_COLUMNS, createCatalogRowDecoder } from '../../src/format/catalog-row.js';
import { COLUMN_FLAG } from '../../src/format/column.js';
import { DATABASE_STATE, FILE_TYPE } from '../../src/format/database-header.js';
import { EseError } from '../../src/format/ese-error.js';
import { createNodeView, NODE_FLAG } from '../../src/format/page.js';
import { decodeSpaceHeader } from '../../src/format/space.js';
import { seededEnvironment } from '../../src/io/environment.js';
import type { FileSystem } from '../../src/io/file-system.js';
import { nodeFileSystem } from '../../src/io/node-file-system.js';
import {
  createSimulatedDisk,
  failAtCall,
  formatCall,
  isMutation,
  SimulatedCrash,
  type SimulatedDisk,
  stopAtCall,
} from '../../src/io/simulated-disk.js';
import { type DefragOptions, type DefragReport, defragment } from '../../src/maintenance/defrag.js';
import { readHeaderOf } from '../../src/maintenance/file-kind.js';
import { assertSound } from '../../src/maintenance/integrity.js';
import { closePool, warmPool } from '../../src/workers/pool.js';
import { allCorpusDatabases, describeWithCorpus } from '../corpus.js';
import { damagedBytes } from '../support/damaged-database.js';
import { LAB } from '../support/engine-lab.js';
import { compareWithEsedbexport, hasEsedbexport } from '../support/esedbexport.js';
import { putFile, readFile } from '../support/files.js';
import { judgeDatabase, rowDigests } from '../support/judge-database.js';
import { SAMPLE, sampleDatabase } from '../support/sample-database.js';

const DATABASE = '/db.edb';
/** What a power failure leaves, by seed; undefined: only the program died. */
const SEEDS = process.env.ESEKIT_FULL === undefined ? [undefined, 1] : [undefined, 1, 2, 3, 4];

function run(fs: FileSystem, path = DATABASE, options: DefragOptions = {}, seed = 1): Promise<DefragReport> {
  return defragment(seededEnvironment({ fs, seed }), path, { workers: 1, ...options });
}

/** Name of the error that a run ends with. */
async function errorOf(run: Promise<unknown>): Promise<string> {
  try {
    await run;
  } catch (error) {
    if (error instanceof EseError) return error.name;
    throw error;
  }
  throw new Error('no error was thrown');
}

interface Digest {
  readonly rows: number;
  readonly sha256: string;
}

/** Tables whose rows are about the file itself, or that the engine makes anew. */
const REGENERATED = new Set(['MSysObjects', 'MSysObjectsShadow', 'MSysObjids']);
const DROPPED = /^MSys(?!Objects|Objids|Locales)/;

/** Rows of all tables, but for those that cannot stay as they are. */
async function contents(fs: FileSystem, path: string): Promise<Map<string, Digest>> {
  const digests = await rowDigests(fs, path);
  const kept = digests.filter(({ table }) => !REGENERATED.has(table) && !DROPPED.test(table));
  return new Map(kept.map(({ table, rows, sha256 }) => [table, { rows, sha256 }]));
}

/** What the catalog says of tables, columns and indexes, apart from numbers and places. */
function meaning(fs: FileSystem, path: string): Map<string, unknown> {
  const reader = openDatabaseReader(fs, path);
  try {
    return new Map(
      reader
        .tables()
        .filter(({ name }) => !DROPPED.test(name))
        .map((table) => {
          const { objid: _o, pgnoFdp, primaryIndex: _i, longValueTree, pages, indexes, ...rest } = table;
          return [
            table.name,
            {
              ...rest,
              // The shadow begins with another number of pages in newer formats.
              pages: table.name === 'MSysObjectsShadow' ? 0 : pages,
              longValueTree: longValueTree === undefined ? undefined : longValueTree.density,
              autoIncrement: decodeSpaceHeader(reader.source.readPage(pgnoFdp).externalHeader, pgnoFdp)
                .autoIncrement,
              indexes: indexes.map(({ objid: _objid, pgnoFdp: _pgno, ...index }) => index),
            },
          ];
        }),
    );
  } finally {
    reader.close();
  }
}

/** A database as it must be: sound, without a page that is used for nothing. */
function judge(fs: FileSystem, path: string): void {
  assertSound(fs, path);
  const { header, leaked, lastOwned } = judgeDatabase(fs, path);
  expect(leaked).toEqual([]);
  expect(header.state).toBe(DATABASE_STATE.cleanShutdown);
  expect(header.fileType).toBe(FILE_TYPE.database);
  expect(fs.stat(path).size).toBe((lastOwned + 2) * (header.cbPageSize || 4096));
}

/** The pages behind both headers. */
function pagesOf(fs: FileSystem, path: string): Buffer {
  const { pageSize, close } = openDatabaseReader(fs, path);
  close();
  return Buffer.from(readFile(fs, path).subarray(2 * pageSize));
}

describeWithCorpus('defragmenting real databases', () => {
  const clean = allCorpusDatabases().filter(
    ({ path }) => readHeaderOf(nodeFileSystem, path)?.state === DATABASE_STATE.cleanShutdown,
  );
  it.each(clean)('$name keeps every row, index and definition', async ({ name, path }) => {
    const disk = createSimulatedDisk();
    putFile(disk, DATABASE, readFileSync(path));
    const before = { contents: await contents(disk, DATABASE), meaning: meaning(disk, DATABASE) };
    const header = readHeaderOf(disk, DATABASE);
    const report = await run(disk);

    judge(disk, DATABASE);
    expect(await contents(disk, DATABASE)).toEqual(before.contents);
    expect(meaning(disk, DATABASE)).toEqual(before.meaning);
    expect(report.bytesAfter).toBe(disk.stat(DATABASE).size);
    expect(report.bytesAfter).toBeLessThan(report.bytesBefore);
    expect(report.bytesAfter).toBeLessThanOrEqual(report.spaceNeededBytes);
    expect(disk.readdir('/')).toEqual(['db.edb']);
    const after = readHeaderOf(disk, DATABASE);
    for (const field of [
      'version',
      'updateMajor',
      'createUpdate',
      'repairCount',
      'sortVersion',
      'dbFlags',
    ] as const) {
      expect([field, after?.[field]]).toEqual([field, header?.[field]]);
    }
    expect(after?.repairCountOld).toBe(header?.repairCount);
    expect(after?.logtimeRepair).toEqual(header?.logtimeRepair);
    expect(after?.signDb.random).not.toBe(header?.signDb.random);
    expect(after?.lgposConsistent.generation).toBe(0);

    if (name === 'large.edb' && process.env.ESEKIT_FULL === undefined) return;
    const pages = pagesOf(disk, DATABASE);
    await run(disk, DATABASE, {}, 2);
    expect(pagesOf(disk, DATABASE).equals(pages)).toBe(true);
  });

  it.skipIf(!hasEsedbexport).each(clean.filter(({ name }) => name !== 'large.edb'))(
    '$name is read by esedbexport, cell by cell',
    async ({ path }) => {
      const folder = mkdtempSync(join(tmpdir(), 'esekit-defrag-'));
      try {
        const copy = join(folder, 'copy.edb');
        writeFileSync(copy, readFileSync(path));
        await run(nodeFileSystem, copy);
        const { unexplained, rows } = compareWithEsedbexport(copy);
        // Which long values the exporter finds depends on the prefix keys of their pages. In the original of
        // text.edb it does not find this one, in the copy it shows its packed bytes.
        const known = 'text row 1 LongCompressedUnicode: ';
        expect(unexplained.filter((cell) => !cell.startsWith(known))).toEqual([]);
        expect(rows).toBeGreaterThan(0);
      } finally {
        rmSync(folder, { recursive: true });
      }
    },
  );

  it('writes the same bytes where another thread reads ahead', async () => {
    await warmPool(1);
    const folder = mkdtempSync(join(tmpdir(), 'esekit-defrag-'));
    try {
      const path = clean.find(({ name }) => name === 'large.edb')?.path ?? '';
      const copies: Buffer[] = [];
      for (const workers of [1, 2, 3]) {
        const copy = join(folder, 'db.edb');
        writeFileSync(copy, readFileSync(path));
        await run(nodeFileSystem, copy, { workers });
        copies.push(readFileSync(copy));
      }
      expect(copies[1]?.equals(copies[0] ?? Buffer.alloc(0))).toBe(true);
      expect(copies[2]?.equals(copies[0] ?? Buffer.alloc(0))).toBe(true);
    } finally {
      rmSync(folder, { recursive: true });
      await closePool();
    }
  });

  it('leaves out what the engine of the repaired file does not need', async () => {
    const disk = createSimulatedDisk();
    const path = clean.find(({ name }) => name === 'srum-dirty/repaired-by-windows.dat')?.path ?? '';
    putFile(disk, DATABASE, readFileSync(path));
    await run(disk);
    // The numbers of objects begin anew, and the list of them is complete.
    const reader = openDatabaseReader(disk, DATABASE);
    const objids = reader
      .tables()
      .flatMap(({ objid, indexes, longValueTree }) => [
        objid,
        ...indexes.filter(({ primary }) => !primary).map((index) => index.objid),
        ...(longValueTree === undefined ? [] : [longValueTree.objid]),
      ])
      .sort((a, b) => a - b);
    expect(objids).toEqual(Array.from(objids, (_, i) => i + 2));
    expect(reader.header.objidLast).toBe(objids.at(-1));
    reader.close();
  });
});

describe('defragmenting a database that an instance made', () => {
  it.each([4096, 8192, 16384, 32768])('keeps everything, pages of %i bytes', async (pageSize) => {
    const disk = sampleDatabase({ pageSize, keepEvery: 3 });
    const before = { contents: await contents(disk, SAMPLE), meaning: meaning(disk, SAMPLE) };
    const { records, longValues, orphansDropped, tables, installed } = await run(disk, SAMPLE);
    judge(disk, SAMPLE);
    expect(await contents(disk, SAMPLE)).toEqual(before.contents);
    expect(meaning(disk, SAMPLE)).toEqual(before.meaning);
    expect({ records, tables, installed }).toEqual({ records: 125, tables: 3, installed: true });
    expect(longValues).toBeGreaterThan(10);
    expect(orphansDropped).toBeGreaterThanOrEqual(0);
  });

  it.each([false, true])('lets one of equal long values stand for all (ids kept: %s)', async (keepsIds) => {
    const disk = sampleDatabase();
    const before = { contents: await contents(disk, SAMPLE), meaning: meaning(disk, SAMPLE) };
    const apart = await run(disk, SAMPLE, { keepsIds });
    expect(apart.longValuesMerged).toBeUndefined();
    const merged = await run(disk, SAMPLE, { keepsIds, mergesLongValues: true });
    judge(disk, SAMPLE);
    expect(await contents(disk, SAMPLE)).toEqual(before.contents);
    expect(meaning(disk, SAMPLE)).toEqual(before.meaning);
    // 28 of 300 rows have the same paper of 5,000 bytes.
    expect(merged.longValuesMerged).toBe(27);
    expect(merged.longValues).toBe(apart.longValues - 27);
    expect(merged.orphansDropped).toBe(0);
    expect(merged.bytesAfter).toBeLessThan(apart.bytesAfter - 27 * 4096);
    // Nothing is left to merge.
    expect((await run(disk, SAMPLE, { keepsIds, mergesLongValues: true })).longValuesMerged).toBe(0);
  });

  it('copies an index as it is, unless it is to be computed too', async () => {
    const damaged = damagedBytes(readFile(sampleDatabase(), SAMPLE));
    const index = damaged.table('People').indexes.find(({ name }) => name === 'byName');
    const [entry] = damaged.nodesOf(index ?? { pgnoFdp: 0, objid: 0 });
    const node = createNodeView();
    damaged.edit(entry?.pgno ?? 0, (page) => {
      page.readNode(entry?.line ?? 0, node);
      page.setNodeFlags(entry?.line ?? 0, node.flags | NODE_FLAG.deleted);
    });
    const disk = createSimulatedDisk();
    putFile(disk, DATABASE, damaged.bytes);
    expect(await errorOf(run(disk, DATABASE, { recomputesIndexes: true }))).toBe('JET_errDatabaseCorrupted');
    expect(disk.readdir('/')).toEqual(['db.edb']);
    expect(readFile(disk, DATABASE)).toEqual(damaged.bytes);
    expect((await run(disk)).installed).toBe(true);
  });

  it('leaves the unfinished copy after a failure only when told to', async () => {
    const damaged = damagedBytes(readFile(sampleDatabase(), SAMPLE));
    const [leaf = 0] = damaged.pagesOf(damaged.table('NoKey')).leaves;
    damaged.page(leaf).bytes.fill(0x5a, 100, 300);
    for (const keepsTemp of [false, true]) {
      const disk = createSimulatedDisk();
      putFile(disk, DATABASE, damaged.bytes);
      expect(await errorOf(run(disk, DATABASE, { keepsTemp }))).toBe('JET_errReadVerifyFailure');
      expect(disk.readdir('/')).toEqual(keepsTemp ? ['TEMPDFRG.EDB', 'db.edb'] : ['db.edb']);
    }
  });

  it('makes the file smaller after deletions', async () => {
    const disk = sampleDatabase({ rows: 2000, keepEvery: 10 });
    const { bytesBefore, bytesAfter } = await run(disk, SAMPLE);
    expect(bytesAfter).toBeLessThan(bytesBefore / 3);
  });

  it('leaves deleted columns out; the others keep their values', async () => {
    const disk = sampleDatabase({ deletesColumns: true });
    const before = await contents(disk, SAMPLE);
    const orphans = await run(disk, SAMPLE);
    judge(disk, SAMPLE);
    expect(await contents(disk, SAMPLE)).toEqual(before);
    const reader = openDatabaseReader(disk, SAMPLE);
    const ids = reader.table('People').columns.map(({ name, columnId }) => [name, columnId]);
    reader.close();
    expect(ids).toEqual([
      ['id', 1],
      ['born', 2],
      ['small', 3],
      ['later', 4],
      ['name', 128],
      ['code', 129],
      ['picture', 256],
      ['letter', 257],
      ['tags', 258],
      ['papers', 259],
    ]);
    // The texts of 2,000 bytes of the deleted column were kept apart in every second row.
    expect(orphans.longValues).toBeGreaterThan(60);
  });

  it('keeps all numbers when it is told to', async () => {
    const disk = sampleDatabase({ deletesColumns: true, keepEvery: 2 });
    const numbers = (): unknown => {
      const reader = openDatabaseReader(disk, SAMPLE);
      const found = reader.tables().map(({ name, objid, columns, indexes, longValueTree }) => ({
        name,
        objid,
        columns: columns.map(({ columnId }) => columnId),
        indexes: indexes.map((index) => index.objid),
        longValues: longValueTree?.objid,
      }));
      reader.close();
      return found;
    };
    const before = { numbers: numbers(), contents: await contents(disk, SAMPLE) };
    await run(disk, SAMPLE, { keepsIds: true });
    judge(disk, SAMPLE);
    expect({ numbers: numbers(), contents: await contents(disk, SAMPLE) }).toEqual(before);
  });

  it('gives a database that can be attached, filled and emptied', async () => {
    const disk = sampleDatabase({ rows: 500 });
    await run(disk, SAMPLE);
    for (const name of disk.readdir(LAB)) if (/\.(log|chk|jrs)$/.test(name)) disk.unlink(`${LAB}/${name}`);
    const instance = openInstance({
      environment: seededEnvironment({ fs: disk, seed: 3 }),
      logDirectory: LAB,
    });
    const database = instance.attachDatabase(SAMPLE);
    const session = instance.createSession();
    const people = new Cursor(session, database.table(session, 'People'));
    session.transaction(() => {
      for (let i = 0; i < 400; i++) {
        people.insert({
          name: `name ${i * 13} and more`,
          small: i,
          tags: [i],
          picture: new Uint8Array(3000),
        });
      }
      let number = 0;
      for (let on = people.first(); on; on = people.next()) if (number++ % 3 === 0) people.delete();
    });
    createTable(database, session, {
      name: 'New',
      columns: [{ name: 'a', type: 'long' }],
      indexes: [{ name: 'byA', segments: ['a'] }],
    });
    instance.endSession(session);
    instance.cleanUp();
    instance.close();
    assertSound(disk, SAMPLE);
    expect((await contents(disk, SAMPLE)).get('People')?.rows).toBe(600);
    await run(disk, SAMPLE);
    judge(disk, SAMPLE);
  });

  it('writes the same bytes for any number of workers', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'esekit-defrag-'));
    try {
      const files: Buffer[] = [];
      for (const workers of [1, 2, 3]) {
        const path = join(folder, 'db.edb');
        writeFileSync(path, readFile(sampleDatabase(), SAMPLE));
        await run(nodeFileSystem, path, { workers });
        files.push(readFileSync(path));
      }
      expect(files[1]?.equals(files[0] ?? Buffer.alloc(0))).toBe(true);
      expect(files[2]?.equals(files[0] ?? Buffer.alloc(0))).toBe(true);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe('what a defragmentation refuses, and how it fails', () => {
  let sample: Uint8Array;
  beforeAll(() => {
    sample = readFile(sampleDatabase({ rows: 60 }), SAMPLE);
  });

  function diskWithSample(capacity?: number): SimulatedDisk {
    const disk = createSimulatedDisk(capacity === undefined ? {} : { capacity });
    putFile(disk, DATABASE, sample);
    return disk;
  }

  /** The database is as it was, and nothing lies beside it. */
  function expectUntouched(disk: SimulatedDisk, others: readonly string[] = []): void {
    expect(disk.readdir('/')).toEqual(['db.edb', ...others].sort());
    expect(Buffer.from(readFile(disk, DATABASE)).equals(Buffer.from(sample))).toBe(true);
  }

  it('refuses a database that was not shut down cleanly, before anything is made', async () => {
    const damaged = damagedBytes(sample);
    damaged.editHeader({ state: DATABASE_STATE.dirtyShutdown });
    const disk = createSimulatedDisk();
    putFile(disk, DATABASE, damaged.bytes);
    expect(await errorOf(run(disk))).toBe('JET_errDatabaseDirtyShutdown');
    expect(disk.readdir('/')).toEqual(['db.edb']);
  });

  it('stops before it starts when the volume is too small', async () => {
    const disk = diskWithSample(sample.length + 100_000);
    let failed: DefragReport | undefined;
    const result = run(disk, DATABASE, {
      onFailure: (report) => {
        failed = report;
      },
    });
    await expect(result).rejects.toThrow(/bytes free; \d+ are needed/);
    expect(failed?.spaceFreeBytes).toBeLessThan(failed?.spaceNeededBytes ?? 0);
    expectUntouched(disk);
    // Told not to look, it finds out while it works.
    await expect(run(disk, DATABASE, { skipSpaceCheck: true })).rejects.toMatchObject({
      name: 'JET_errDiskFull',
      detail: expect.stringMatching(/^the volume is full: it had \d+ bytes free, up to \d+ are needed$/),
    });
    expectUntouched(disk);
  });

  it('refuses a temporary database or a backup that is something else', async () => {
    const disk = diskWithSample();
    const other = readFile(sampleDatabase({ rows: 1 }), SAMPLE);
    const anotherTime = damagedBytes(other);
    anotherTime.editHeader({ objidLast: 1000 });
    putFile(disk, '/other.txt', anotherTime.bytes);
    expect(await errorOf(run(disk, DATABASE, { backup: '/other.txt' }))).toBe('JET_errFileAlreadyExists');
    disk.unlink('/other.txt');
    putFile(disk, '/other.edb', other);
    expect(await errorOf(run(disk, DATABASE, { temp: DATABASE }))).toBe('JET_errInvalidDatabase');
    expect(await errorOf(run(disk, DATABASE, { temp: '/other.edb' }))).toBe('JET_errFileAlreadyExists');
    for (const option of ['temp', 'backup']) {
      expect(await errorOf(run(disk, DATABASE, { [option]: '/' }))).toBe('JET_errFileInvalidType');
    }
    expect(await errorOf(run(disk, DATABASE, { backup: '/other.edb' }))).toBe('JET_errFileAlreadyExists');
    expect(await errorOf(run(disk, DATABASE, { backup: DATABASE }))).toBe('JET_errInvalidDatabase');
    expect(await errorOf(run(disk, DATABASE, { temp: '/t.edb', backup: '/t.edb' }))).toBe(
      'JET_errInvalidDatabase',
    );
    expectUntouched(disk, ['other.edb']);
    // A name that the original uses for its temporary databases may be overwritten.
    putFile(disk, '/TEMPDFRG77.EDB', sample);
    await run(disk, DATABASE, { temp: '/TEMPDFRG77.EDB' });
    expect(disk.readdir('/')).toEqual(['db.edb', 'other.edb']);
  });

  it('refuses a database that another session has', async () => {
    const disk = diskWithSample();
    const lock = disk.lock(DATABASE, { role: 'store' });
    expect(await errorOf(run(disk))).toBe('JET_errFileAccessDenied');
    lock.release();
    await run(disk);
  });

  it('stops at a damaged page and keeps the database as it is', async () => {
    const reader = openDatabaseReader(diskWithSample(), DATABASE);
    const { pgnoFdp, indexes, longValueTree } = reader.table('People');
    reader.close();
    const roots = [pgnoFdp, indexes[1]?.pgnoFdp ?? 0, longValueTree?.pgnoFdp ?? 0];
    for (const pgno of roots) {
      const disk = createSimulatedDisk();
      const bytes = sample.slice();
      bytes.fill(0x55, (pgno + 1) * 4096 + 100, (pgno + 1) * 4096 + 140);
      putFile(disk, DATABASE, bytes);
      expect(await errorOf(run(disk))).toBe('JET_errReadVerifyFailure');
      expect(disk.readdir('/')).toEqual(['db.edb']);
      expect(Buffer.from(readFile(disk, DATABASE)).equals(Buffer.from(bytes))).toBe(true);
    }
  });

  it('corrects single bits on the way', async () => {
    const disk = createSimulatedDisk();
    const before = await contents(diskWithSample(), DATABASE);
    const reader = openDatabaseReader(diskWithSample(), DATABASE);
    const { pgnoFdp } = reader.table('NoKey');
    reader.close();
    const bytes = sample.slice();
    const at = (pgnoFdp + 1) * 4096 + 1000;
    bytes[at] = (bytes[at] ?? 0) ^ 4;
    putFile(disk, DATABASE, bytes);
    await run(disk);
    judge(disk, DATABASE);
    expect(await contents(disk, DATABASE)).toEqual(before);
  });

  it('drops long values that nobody refers to, and counts the references of the others', async () => {
    const damaged = damagedBytes(sample);
    const tree = damaged.table('People').longValueTree;
    if (tree === undefined) throw new Error('the sample has long values');
    // A root that no record refers to: its id is higher than all others.
    const { leaves } = damaged.pagesOf(tree);
    damaged.edit(leaves.at(-1) ?? 0, (page) => {
      page.insertKeyed(
        page.nodeCount,
        0,
        Uint8Array.of(0, 0, 0xff, 0),
        Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0),
      );
    });
    // A count that is too high.
    const [first] = damaged.nodesOf(tree);
    damaged.edit(first?.pgno ?? 0, (page) => {
      const data = page.bytes.subarray(page.tagOffset((first?.line ?? 0) + 1));
      // Length of the key, key, count.
      data[2 + 4] = 9;
    });
    const disk = createSimulatedDisk();
    putFile(disk, DATABASE, damaged.bytes);
    const before = await contents(disk, DATABASE);
    const report = await run(disk);
    expect(report.orphansDropped).toBe(1);
    judge(disk, DATABASE);
    expect(await contents(disk, DATABASE)).toEqual(before);
  });

  it('leaves out records whose count has come to zero, with their index entries', async () => {
    const damaged = damagedBytes(sample);
    const { objid, columns } = damaged.table('NoKey');
    const flagsAt = CATALOG_COLUMNS.find(({ name }) => name === 'Flags')?.fixedOffset ?? 0;
    const decode = createCatalogRowDecoder(4096);
    const node = createNodeView();
    for (const catalog of [damaged.table('MSysObjects'), damaged.table('MSysObjectsShadow')]) {
      for (const { pgno, line } of damaged.nodesOf(catalog)) {
        const page = damaged.page(pgno);
        page.readNode(line, node);
        const { dataOffset, dataLength } = node;
        const row = decode(page.bytes, dataOffset, dataOffset + dataLength);
        if (row.objidTable !== objid || row.name !== 'n') continue;
        damaged.edit(pgno, ({ view }) =>
          view.setUint32(dataOffset + flagsAt, COLUMN_FLAG.deleteOnZero, true),
        );
      }
    }
    expect(columns.some(({ name, columnId }) => name === 'n' && columnId === 1)).toBe(true);
    const disk = createSimulatedDisk();
    putFile(disk, DATABASE, damaged.bytes);
    const before = await contents(disk, DATABASE);
    await run(disk);
    judge(disk, DATABASE);
    const after = await contents(disk, DATABASE);
    // Every fifth of the 25 rows has the number 0.
    expect(after.get('NoKey')?.rows).toBe(20);
    expect(after.get('People')).toEqual(before.get('People'));
  });

  it('stops when a record refers to a long value that is not there', async () => {
    const damaged = damagedBytes(sample);
    const tree = damaged.table('People').longValueTree;
    if (tree === undefined) throw new Error('the sample has long values');
    const [first] = damaged.nodesOf(tree);
    damaged.edit(first?.pgno ?? 0, (page) => page.setNodeFlags(first?.line ?? 0, 2));
    const disk = createSimulatedDisk();
    putFile(disk, DATABASE, damaged.bytes);
    expect(await errorOf(run(disk))).toBe('JET_errLVCorrupted');
    expect(disk.readdir('/')).toEqual(['db.edb']);
  });

  it('does not take damage over that no checksum shows', async () => {
    const damaged = damagedBytes(sample);
    const [first] = damaged.nodesOf(damaged.table('NoKey'));
    damaged.edit(first?.pgno ?? 0, (page) => {
      // The record says that it has more variable columns than fit.
      const at = page.tagOffset((first?.line ?? 0) + 1);
      page.bytes[at + 2 + 4 + 1] = 0xff;
    });
    const disk = createSimulatedDisk();
    putFile(disk, DATABASE, damaged.bytes);
    expect(await errorOf(run(disk))).toBe('JET_errDatabaseCorrupted');
    expect(disk.readdir('/')).toEqual(['db.edb']);
  });

  it('ends without a trace when it is told to stop', async () => {
    const disk = diskWithSample();
    const abort = new AbortController();
    const stopped = run(disk, DATABASE, { signal: abort.signal });
    abort.abort(new Error('stop'));
    await expect(stopped).rejects.toThrow('stop');
    expectUntouched(disk);
  });

  it('keeps the old database as the backup, with its flush map', async () => {
    const disk = diskWithSample();
    putFile(disk, '/db.jfm', new Uint8Array(100));
    const moves: string[] = [];
    const report = await run(disk, DATABASE, {
      backup: '/old.edb',
      temp: '/t.edb',
      onMove: (from, to, isDone) => moves.push(`${from} > ${to} ${isDone}`),
    });
    expect(report).toMatchObject({ installed: true, backup: '/old.edb', temp: null });
    expect(moves).toEqual(['/db.edb > /old.edb true', '/t.edb > /db.edb true']);
    expect(disk.readdir('/')).toEqual(['db.edb', 'old.edb', 'old.jfm']);
    expect(Buffer.from(readFile(disk, '/old.edb')).equals(Buffer.from(sample))).toBe(true);
    judge(disk, DATABASE);
  });

  it('removes the flush map of a database that is gone', async () => {
    const disk = diskWithSample();
    putFile(disk, '/db.jfm', new Uint8Array(100));
    await run(disk);
    expect(disk.readdir('/')).toEqual(['db.edb']);
  });

  it('leaves the new database at its temporary place when it is told to', async () => {
    const disk = diskWithSample();
    const report = await run(disk, DATABASE, { temp: '/new.edb', preserveTemp: true });
    expect(report).toMatchObject({ installed: false, temp: '/new.edb', backup: null });
    expectUntouched(disk, ['new.edb']);
    judge(disk, '/new.edb');
    expect(await contents(disk, '/new.edb')).toEqual(await contents(disk, DATABASE));
  });

  it.each([undefined, '/far/old.edb', '/old.edb'])('copies between volumes, backup %s', async (backup) => {
    const disk = diskWithSample();
    disk.mkdir('/far');
    const volumeOf = (path: string): string => (path.startsWith('/far') ? 'far' : 'near');
    const fs: FileSystem = {
      ...methodsOf(disk),
      stat: (path) => ({ ...disk.stat(path), volume: volumeOf(path) }),
      rename: (from, to) => {
        if (volumeOf(from) !== volumeOf(to)) throw new Error('EXDEV');
        disk.rename(from, to);
      },
    };
    await run(fs, DATABASE, { temp: '/far/t.edb', backup });
    judge(disk, DATABASE);
    if (backup !== undefined) {
      expect(Buffer.from(readFile(disk, backup)).equals(Buffer.from(sample))).toBe(true);
    }
    expect(disk.readdir('/far')).toEqual(backup === '/far/old.edb' ? ['old.edb'] : []);
    expect(disk.readdir('/').filter((name) => name.startsWith('db'))).toEqual(['db.edb']);
  });
});

/** The calls of a disk as functions of their own. */
function methodsOf(disk: SimulatedDisk): FileSystem {
  return {
    open: (path, mode) => disk.open(path, mode),
    stat: (path) => disk.stat(path),
    exists: (path) => disk.exists(path),
    readdir: (path) => disk.readdir(path),
    mkdir: (path) => disk.mkdir(path),
    rmdir: (path) => disk.rmdir(path),
    rename: (from, to) => disk.rename(from, to),
    unlink: (path) => disk.unlink(path),
    resolveLink: (path) => disk.resolveLink(path),
    adoptAccess: (path, from) => disk.adoptAccess(path, from),
    syncDirectory: (path) => disk.syncDirectory(path),
    freeBytes: (path) => disk.freeBytes(path),
    lock: (path, options) => disk.lock(path, options),
    lockHolder: (path) => disk.lockHolder(path),
  };
}

describe('a defragmentation that is killed', () => {
  let sample: Uint8Array;
  let expected: Map<string, Digest>;
  let finished: Buffer;
  const options: DefragOptions[] = [
    { temp: '/t.edb' },
    { temp: '/t.edb', backup: '/old.edb' },
    { temp: '/t.edb', preserveTemp: true },
  ];

  beforeAll(async () => {
    sample = readFile(sampleDatabase({ rows: 30 }), SAMPLE);
    const disk = start();
    expected = await contents(disk, DATABASE);
    await run(disk);
    finished = pagesOf(disk, DATABASE);
  });

  function start(): SimulatedDisk {
    const disk = createSimulatedDisk({ seed: 1 });
    putFile(disk, DATABASE, sample);
    return disk;
  }

  /** Whatever is left of a killed run, nothing is lost, and running it again ends the work. */
  async function checkLeft(left: SimulatedDisk, option: DefragOptions): Promise<void> {
    const survivor = left.exists(DATABASE) ? DATABASE : '/old.edb';
    if (!left.exists(DATABASE)) expect(option.backup).toBe('/old.edb');
    expect(await contents(left, survivor)).toEqual(expected);
    const isOld = Buffer.from(readFile(left, survivor)).equals(Buffer.from(sample));
    if (!isOld) expect(pagesOf(left, survivor).equals(finished)).toBe(true);
    if (left.exists('/old.edb') && left.exists(DATABASE)) {
      expect(Buffer.from(readFile(left, '/old.edb')).equals(Buffer.from(sample))).toBe(true);
      left.unlink('/old.edb');
    }
    // A finished database that was to stay is not overwritten.
    if (option.preserveTemp === true && readHeaderOf2(left, '/t.edb') === FILE_TYPE.database) {
      expect(pagesOf(left, '/t.edb').equals(finished)).toBe(true);
      left.unlink('/t.edb');
    }
    await run(left, DATABASE, option);
    expect(pagesOf(left, option.preserveTemp === true ? '/t.edb' : DATABASE).equals(finished)).toBe(true);
    const others = [
      ...(option.backup === undefined ? [] : ['old.edb']),
      ...(option.preserveTemp === true ? ['t.edb'] : []),
    ];
    expect(left.readdir('/')).toEqual(['db.edb', ...others]);
  }

  function readHeaderOf2(fs: FileSystem, path: string): number | undefined {
    return fs.exists(path) ? readHeaderOf(fs, path)?.fileType : undefined;
  }

  it.each(options)(
    'loses nothing, whenever it happens: %o',
    async (option) => {
      const calls: number[] = [];
      const counted = start();
      counted.faults = (call) => {
        if (isMutation(call)) calls.push(call.number);
        return undefined;
      };
      await run(counted, DATABASE, option);
      for (const call of [...calls, undefined]) {
        const disk = start();
        if (call !== undefined) disk.faults = stopAtCall(call);
        let where = 'the end';
        try {
          await run(disk, DATABASE, option);
        } catch (error) {
          if (!(error instanceof SimulatedCrash)) throw error;
          where = error.message;
        }
        for (const seed of SEEDS) {
          const left = seed === undefined ? disk.fork() : disk.crash(1000 * (call ?? 0) + seed);
          try {
            await checkLeft(left, option);
          } catch (cause) {
            throw new Error(`found wrong before call ${call} (${where}), seed ${seed}: ${String(cause)}`, {
              cause,
            });
          }
        }
      }
    },
    60_000,
  );

  it('leaves what the next run removes, whatever the number of its process', async () => {
    const temp = '/TEMPDFRG11.EDB';
    const counted = start();
    let written = 0;
    let verified = 0;
    counted.faults = ({ operation, path, number }) => {
      if (path === temp && operation === 'writeAt') written = number;
      if (path === temp && operation === 'readAt') verified = number;
      return undefined;
    };
    await run(counted, DATABASE, { temp, preserveTemp: true });
    for (const call of [written, verified]) {
      const disk = start();
      // Killed here: an exception would give its locks back.
      let left = disk;
      disk.faults = ({ number }) => {
        if (number === call) left = disk.fork();
        return undefined;
      };
      await run(disk, DATABASE, { temp, preserveTemp: true });
      expect(left.readdir('/')).toEqual(['TEMPDFRG11.EDB', 'db.edb']);
      // Those of a living session, and of none, are not touched, nor what has another name.
      for (const name of ['/TEMPDFRG77.EDB', '/TEMPDFRG88.EDB', '/other7.edb']) {
        putFile(left, name, readFile(left, temp));
      }
      const lock = left.lock('/TEMPDFRG77.EDB', { role: 'eseutil' });
      const removed: string[] = [];
      await run(left, DATABASE, { temp: '/TEMPDFRG12.EDB', onLeftover: (path) => removed.push(path) });
      lock.release();
      expect(removed).toEqual([temp]);
      expect(left.readdir('/')).toEqual(['TEMPDFRG77.EDB', 'TEMPDFRG88.EDB', 'db.edb', 'other7.edb']);
    }
  });

  it.each(options)(
    'loses nothing when a call fails: %o',
    async (option) => {
      const calls: number[] = [];
      const counted = start();
      counted.faults = (call) => {
        if (isMutation(call)) calls.push(call.number);
        return undefined;
      };
      await run(counted, DATABASE, option);
      for (const number of calls) {
        const disk = start();
        let where = '';
        const plan = failAtCall(number, 'JET_errDiskIO');
        disk.faults = (call) => {
          const fault = plan(call);
          if (fault !== undefined) where = formatCall(call);
          return fault;
        };
        let failed = false;
        try {
          await run(disk, DATABASE, option);
        } catch (error) {
          if (!(error instanceof EseError)) throw error;
          failed = true;
        }
        disk.faults = undefined;
        try {
          // After an error, other than after a crash, the name always stands for a database.
          expect(disk.exists(DATABASE)).toBe(true);
          if (failed && Buffer.from(readFile(disk, DATABASE)).equals(Buffer.from(sample))) {
            expect(disk.exists('/old.edb')).toBe(false);
          }
          await checkLeft(disk.fork(), option);
        } catch (cause) {
          throw new Error(`found wrong after ${where} failed: ${String(cause)}`, { cause });
        }
      }
    },
    60_000,
  );
});
