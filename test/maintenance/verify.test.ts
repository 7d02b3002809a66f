import { copyFileSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { HEADER_MAGIC, writeHeaderFields } from '../../src/format/database-header.js';
import { xorChecksum } from '../../src/format/page-checksum.js';
import { nodeFileSystem } from '../../src/io/node-file-system.js';
import { verifyDatabase } from '../../src/maintenance/verify.js';
import { closePool, warmPool } from '../../src/workers/pool.js';
import { corpusDatabases, corpusJson, corpusPath, describeWithCorpus } from '../corpus.js';
import { generateBytes, sealByDefinition } from '../format/checksum-oracle.js';

const PAGE_SIZE = 4096;
const PAGES = 1300;
/** A page without a tree: a database of such pages has no readable space, so all of them count as owned. */
const NEW_FORMAT = 0x2802;

let folder = '';
let database = '';

/** Overwrites `bytes.length` bytes of a file. */
function patch(path: string, offset: number, ...bytes: number[]): void {
  const contents = readFileSync(path);
  contents.set(bytes, offset);
  writeFileSync(path, contents);
}

function flipBit(path: string, pgno: number, bit: number): void {
  const offset = (pgno + 1) * PAGE_SIZE + (bit >> 3);
  patch(path, offset, (readFileSync(path)[offset] ?? 0) ^ (1 << (bit & 7)));
}

/** A fresh copy of the synthetic database. */
function copy(): string {
  const path = join(mkdtempSync(join(folder, 'copy-')), 'copy.edb');
  copyFileSync(database, path);
  return path;
}

function pageOf(path: string, pgno: number): Uint8Array {
  return new Uint8Array(readFileSync(path)).slice((pgno + 1) * PAGE_SIZE, (pgno + 2) * PAGE_SIZE);
}

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'esekit-verify-'));
  database = join(folder, 'sound.edb');
  const header = new Uint8Array(PAGE_SIZE);
  writeHeaderFields(header, { magic: HEADER_MAGIC, version: 0x620, cbPageSize: PAGE_SIZE, state: 3 });
  const pages: Uint8Array[] = [header, header];
  for (let pgno = 1; pgno <= PAGES; pgno += 1) {
    const page = generateBytes(pgno, PAGE_SIZE);
    const view = new DataView(page.buffer);
    view.setUint32(36, NEW_FORMAT, true);
    view.setBigUint64(8, BigInt(pgno % 1000), true);
    pages.push(pgno % 10 === 0 ? new Uint8Array(PAGE_SIZE) : sealByDefinition(page, pgno));
  }
  writeFileSync(database, Buffer.concat(pages));
});

afterAll(async () => {
  rmSync(folder, { recursive: true });
  await closePool();
});

describe('verifyDatabase', () => {
  test('finds nothing in a sound database', async () => {
    const { report, error, header } = await verifyDatabase(nodeFileSystem, database);
    expect(error).toBeUndefined();
    expect(header).toMatchObject({ source: 'primary', identical: true });
    expect(report).toEqual({
      fileType: 'database',
      pages: {
        total: PAGES,
        seen: PAGES + 2,
        badChecksums: 0,
        correctable: 0,
        uninitialized: PAGES / 10,
        wrongPgno: 0,
        beyondOwned: 0,
        highestDbtime: '999',
        highestDbtimePgno: 999,
      },
      readBytes: (PAGES + 2) * PAGE_SIZE,
      reads: 4,
      findings: [],
    });
  });

  test.each([
    ['says so', { attrib: 1 }],
    ['is called so', { fileType: 2 }],
  ])('verifies the headers alone of a streaming file that %s', async (_what, fields) => {
    const header = new Uint8Array(PAGE_SIZE);
    writeHeaderFields(header, {
      magic: HEADER_MAGIC,
      version: 0x620,
      cbPageSize: PAGE_SIZE,
      state: 3,
      ...fields,
    });
    new DataView(header.buffer).setUint32(0, xorChecksum(header), true);
    const path = join(mkdtempSync(join(folder, 'stm-')), 'priv1.stm');
    const data = generateBytes(1, 3 * PAGE_SIZE);
    writeFileSync(path, Buffer.concat([header, header, data, data.subarray(0, 100)]));
    const sound = await verifyDatabase(nodeFileSystem, path);
    expect(sound.error).toBeUndefined();
    expect(sound.isStreaming).toBe(true);
    expect(sound.report.findings).toEqual([]);
    expect(sound.report.pages).toMatchObject({ total: 0, seen: 2, badChecksums: 0 });
    patch(path, PAGE_SIZE + 600, 1, 2, 3, 4);
    const damaged = await verifyDatabase(nodeFileSystem, path);
    expect(damaged.error?.code).toBe(-1206);
    expect(damaged.report.findings.map(({ code }) => code)).toEqual(['HDR_SHADOW_BAD']);
  });

  test('counts and lists each kind of damage, by page number', async () => {
    const path = copy();
    flipBit(path, 1255, 8000);
    flipBit(path, 7, 9000);
    flipBit(path, 7, 9001);
    flipBit(path, 999, 20000);
    patch(path, (12 + 1) * PAGE_SIZE, ...pageOf(path, 600 + 3));
    const before = readFileSync(path);
    const { report, error } = await verifyDatabase(nodeFileSystem, path);
    expect(error?.code).toBe(-1206);
    expect(report.pages).toMatchObject({
      badChecksums: 1,
      correctable: 2,
      wrongPgno: 1,
      uninitialized: PAGES / 10,
      highestDbtime: '999',
      highestDbtimePgno: 999,
    });
    expect(report.findings).toMatchObject([
      { code: 'PAGE_BAD_CHECKSUM', severity: 'error', pgno: 7 },
      { code: 'PAGE_WRONG_PGNO', severity: 'error', pgno: 12, looksLikePgno: 603 },
      { code: 'PAGE_ECC_FIXED', severity: 'warning', pgno: 999, bit: 20000, action: 'none' },
      { code: 'PAGE_ECC_FIXED', severity: 'warning', pgno: 1255, bit: 8000, action: 'none' },
    ]);
    expect(readFileSync(path).equals(before)).toBe(true);
  });

  test('gives the stored and the computed checksum of a bad page', async () => {
    const path = copy();
    const stored = new DataView(pageOf(path, 7).buffer).getBigUint64(0, true);
    flipBit(path, 7, 9000);
    flipBit(path, 7, 9001);
    const page = sealByDefinition(pageOf(path, 7), 7);
    const { report } = await verifyDatabase(nodeFileSystem, path);
    expect(report.findings[0]).toMatchObject({
      checksumStored: String(stored),
      checksumComputed: String(new DataView(page.buffer).getBigUint64(0, true)),
    });
  });

  test('takes a page at the wrong place as damage', async () => {
    const path = copy();
    patch(path, (12 + 1) * PAGE_SIZE, ...pageOf(path, 603));
    const { report, error } = await verifyDatabase(nodeFileSystem, path);
    expect(report.pages).toMatchObject({ badChecksums: 0, wrongPgno: 1 });
    expect(error?.code).toBe(-1206);
  });

  test('takes correctable pages as good', async () => {
    const path = copy();
    flipBit(path, 7, 9000);
    const { report, error } = await verifyDatabase(nodeFileSystem, path);
    expect(report.pages).toMatchObject({ badChecksums: 0, correctable: 1 });
    expect(error).toBeUndefined();
  });

  test('calls a number that no page of the file has a bad checksum, with a hint', async () => {
    const path = copy();
    const page = generateBytes(1, PAGE_SIZE);
    new DataView(page.buffer).setUint32(36, NEW_FORMAT, true);
    patch(path, (5 + 1) * PAGE_SIZE, ...sealByDefinition(page, PAGES + 1));
    const { report } = await verifyDatabase(nodeFileSystem, path);
    expect(report.pages).toMatchObject({ badChecksums: 1, wrongPgno: 0 });
    expect(report.findings).toMatchObject([{ code: 'PAGE_BAD_CHECKSUM', pgno: 5, looksLikePgno: PAGES + 1 }]);
  });

  test('counts a damaged header copy, and takes the page size from the other', async () => {
    const path = copy();
    patch(path, 100, 1, 2, 3);
    const { report, error, header } = await verifyDatabase(nodeFileSystem, path);
    expect(header.source).toBe('shadow');
    expect(error?.code).toBe(-1206);
    expect(report.pages.badChecksums).toBe(1);
    expect(report.findings).toMatchObject([{ code: 'HDR_PRIMARY_BAD', severity: 'error', pgno: -1 }]);
  });

  test('counts a blank shadow header', async () => {
    const path = copy();
    patch(path, PAGE_SIZE, ...new Uint8Array(PAGE_SIZE));
    const { report, error } = await verifyDatabase(nodeFileSystem, path);
    expect(error?.code).toBe(-1206);
    expect(report.findings).toMatchObject([
      { code: 'HDR_SHADOW_BAD', pgno: 0, message: 'the shadow header is blank' },
    ]);
  });

  test('needs the page size if both header copies are damaged', async () => {
    const path = copy();
    patch(path, 100, 1, 2, 3);
    patch(path, PAGE_SIZE + 100, 1, 2, 3);
    await expect(verifyDatabase(nodeFileSystem, path)).rejects.toMatchObject({ code: -1206 });
    const { report } = await verifyDatabase(nodeFileSystem, path, { pageSize: PAGE_SIZE });
    expect(report.pages).toMatchObject({ total: PAGES, badChecksums: 2, uninitialized: PAGES / 10 });
  });

  test('refuses a page size that is not that of the file, and one that does not exist', async () => {
    await expect(verifyDatabase(nodeFileSystem, database, { pageSize: 8192 })).rejects.toMatchObject({
      code: -1213,
    });
    await expect(verifyDatabase(nodeFileSystem, database, { pageSize: 5000 })).rejects.toMatchObject({
      code: -1003,
    });
  });

  test('reports a file that ends within a page', async () => {
    const path = copy();
    truncateSync(path, 1001 * PAGE_SIZE + 100);
    const { report, error } = await verifyDatabase(nodeFileSystem, path);
    expect(error?.code).toBe(-1206);
    expect(report.pages.seen).toBe(1001);
    expect(report.findings).toMatchObject([{ code: 'SIZE_NOT_MULTIPLE', severity: 'error' }]);
  });

  test('accepts the trailer page of an old backup, which has the checksum of a header', async () => {
    const path = copy();
    const trailer = new Uint8Array(PAGE_SIZE).fill(7, 100, 200);
    writeHeaderFields(trailer, {});
    patch(path, (PAGES + 1) * PAGE_SIZE, ...trailer);
    expect((await verifyDatabase(nodeFileSystem, path)).report.findings).toEqual([]);
    patch(path, PAGES * PAGE_SIZE, ...trailer);
    expect((await verifyDatabase(nodeFileSystem, path)).report.findings).toMatchObject([{ pgno: PAGES - 1 }]);
  });

  test('lists the lowest findings and counts all', async () => {
    const path = copy();
    for (const pgno of [1299, 3, 801, 5]) patch(path, (pgno + 1) * PAGE_SIZE + 500, 1, 2, 3, 4, 5);
    const { report } = await verifyDatabase(nodeFileSystem, path, { findingsMax: 2 });
    expect(report.pages.badChecksums).toBe(4);
    expect(report.findings.map(({ pgno }) => pgno)).toEqual([3, 5]);
    expect(report.findingsTruncated).toBe(true);
    patch(path, 100, 1, 2, 3);
    const withHeader = (await verifyDatabase(nodeFileSystem, path, { findingsMax: 2 })).report;
    expect(withHeader.pages.badChecksums).toBe(5);
    expect(withHeader.findings.map(({ pgno }) => pgno)).toEqual([-1, 3]);
  });

  test('gives the same report with workers', async () => {
    const path = copy();
    for (const pgno of [1299, 3, 801, 5]) patch(path, (pgno + 1) * PAGE_SIZE + 500, 1, 2, 3, 4, 5);
    const { report } = await verifyDatabase(nodeFileSystem, path, { workers: 1 });
    await warmPool(3);
    for (const workers of [2, 3, 4]) {
      expect((await verifyDatabase(nodeFileSystem, path, { workers })).report).toEqual(report);
    }
  });

  test('tells progress in pages, up to the last one', async () => {
    const told: number[][] = [];
    await verifyDatabase(nodeFileSystem, database, { onProgress: (done, total) => told.push([done, total]) });
    expect(told.at(-1)).toEqual([PAGES, PAGES]);
    expect(told).toEqual([...told].sort(([a = 0], [b = 0]) => a - b));
  });

  test('stops when it is aborted, also while it rests', async () => {
    const reason = new Error('stop');
    await expect(
      verifyDatabase(nodeFileSystem, database, { signal: AbortSignal.abort(reason) }),
    ).rejects.toBe(reason);
    const controller = new AbortController();
    const bytesPerSecondMax = 1000;
    const resting = verifyDatabase(nodeFileSystem, database, {
      bytesPerSecondMax,
      signal: controller.signal,
    });
    setTimeout(() => controller.abort(reason), 20);
    await expect(resting).rejects.toBe(reason);
  });

  test('rests for a second after so many pages', async () => {
    const path = copy();
    truncateSync(path, 152 * PAGE_SIZE);
    const begun = performance.now();
    const { report } = await verifyDatabase(nodeFileSystem, path, { throttlePages: 100 });
    expect(performance.now() - begun).toBeGreaterThan(990);
    expect(report.reads).toBe(3);
  });

  test('reads no faster than it is allowed to', async () => {
    const begun = performance.now();
    await verifyDatabase(nodeFileSystem, database, { bytesPerSecondMax: 20_000_000 });
    expect(performance.now() - begun).toBeGreaterThan(200);
  });

  test('throws the error of a file that is not there', async () => {
    await expect(verifyDatabase(nodeFileSystem, join(folder, 'none.edb'))).rejects.toMatchObject({
      code: -1811,
    });
  });
});

interface DatabaseFacts {
  check: {
    dbtimeMaxOnPages: number;
    counts: { pages: number; zero: number; beyondOwned: { badChecksum: number } };
  };
}

describeWithCorpus('verifyDatabase on real databases', () => {
  test.each(corpusDatabases())(
    '%s is sound; what lies behind its last owned page is no damage',
    async (name) => {
      const { counts, dbtimeMaxOnPages } = corpusJson<DatabaseFacts>('databases', `${name}.facts.json`).check;
      const { report, error } = await verifyDatabase(nodeFileSystem, corpusPath('databases', name));
      expect(error).toBeUndefined();
      expect(report.pages).toMatchObject({
        total: counts.pages,
        seen: counts.pages + 2,
        badChecksums: 0,
        correctable: 0,
        wrongPgno: 0,
        uninitialized: counts.zero,
        beyondOwned: counts.beyondOwned.badChecksum,
        highestDbtime: String(dbtimeMaxOnPages),
      });
      const severities = counts.beyondOwned.badChecksum > 0 ? ['info'] : [];
      expect(report.findings.map(({ severity }) => severity)).toEqual(severities);
    },
  );
});
