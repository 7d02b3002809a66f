import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { LeafScan } from '../../../src/engine/bulk/leaf-scan.js';
import { createReadAheadMemory, ReadAhead, serveReadAhead } from '../../../src/engine/bulk/read-ahead.js';
import { openDatabaseReader } from '../../../src/engine/database-reader.js';
import { createChecksumKernel } from '../../../src/format/checksum-kernel.js';
import { EseError } from '../../../src/format/ese-error.js';
import { pageOffset } from '../../../src/format/page.js';
import type { FileSystem } from '../../../src/io/file-system.js';
import { createSimulatedDisk } from '../../../src/io/simulated-disk.js';
import { corpusPath, describeWithCorpus } from '../../corpus.js';
import { putFile } from '../../support/files.js';

const PATH = '/source.edb';
const PAGE_SIZE = 4096;
const READ_BYTES = 64 * 1024;

describeWithCorpus('pages that are read ahead', () => {
  const original = () => new Uint8Array(readFileSync(corpusPath('recovery', 'srum-clean', 'SRUDB.dat')));
  const diskWith = (bytes: Uint8Array): FileSystem => {
    const fs = createSimulatedDisk();
    putFile(fs, PATH, bytes);
    return fs;
  };
  const lastPgnoOf = (bytes: Uint8Array): number => bytes.length / PAGE_SIZE - 2;

  /** Posts runs, lets the helper do all of them, and says for each whether it was taken, and its bytes. */
  const servedRuns = (bytes: Uint8Array, runs: readonly (readonly [number, number])[]) => {
    const fs = diskWith(bytes);
    const memory = createReadAheadMemory();
    const ahead = new ReadAhead(memory);
    for (const [pgno, count] of runs) ahead.post(pgno, count);
    ahead.close();
    const file = fs.open(PATH, 'read');
    serveReadAhead(memory, file, PAGE_SIZE, lastPgnoOf(bytes));
    file.close();
    return runs.map(([, count]) => {
      const into = new Uint8Array(count * PAGE_SIZE);
      return { isRead: ahead.take(into), into };
    });
  };

  test('are those of the file', () => {
    const bytes = original();
    const runs = [[1, 8] as const, [24, 1] as const, [2, 3] as const];
    expect(servedRuns(bytes, runs)).toEqual(
      runs.map(([pgno, count]) => ({
        isRead: true,
        into: bytes.slice(pageOffset(pgno, PAGE_SIZE), pageOffset(pgno + count, PAGE_SIZE)),
      })),
    );
  });

  test.each([
    [
      'with a wrong checksum',
      (bytes: Uint8Array) => bytes.fill(1, pageOffset(3, PAGE_SIZE) + 100, pageOffset(3, PAGE_SIZE) + 200),
    ],
    [
      'that are blank',
      (bytes: Uint8Array) => bytes.fill(0, pageOffset(3, PAGE_SIZE), pageOffset(4, PAGE_SIZE)),
    ],
  ])('%s are left to whoever wants them', (_what, damage) => {
    const bytes = original();
    damage(bytes);
    expect(
      servedRuns(bytes, [
        [1, 2],
        [2, 2],
        [4, 1],
      ]).map(({ isRead }) => isRead),
    ).toEqual([true, false, true]);
  });

  test('behind the end of the file are left to whoever wants them', () => {
    const bytes = original();
    const last = lastPgnoOf(bytes);
    expect(
      servedRuns(bytes, [
        [last, 2],
        [0, 1],
      ]).map(({ isRead }) => isRead),
    ).toEqual([false, false]);
  });

  /** What a scan of all tables gives: its leaves, or the error that it meets. */
  const scanned = (bytes: Uint8Array, ahead?: ReadAhead): string[] => {
    const fs = diskWith(bytes);
    const reader = openDatabaseReader(fs, PATH);
    const file = fs.open(PATH, 'read');
    const kernel = createChecksumKernel(READ_BYTES);
    const scan = new LeafScan(file, reader.source, kernel, 0, READ_BYTES, ahead);
    const seen: string[] = [];
    for (const table of reader.tables()) {
      try {
        for (const page of scan.leaves(table)) {
          seen.push(`${table.name} ${page.pgno} ${Buffer.from(page.bytes.subarray(0, 8)).toString('hex')}`);
        }
      } catch (error) {
        if (!(error instanceof EseError)) throw error;
        seen.push(`${table.name} ${error.name} ${error.pgno}`);
      }
    }
    reader.close();
    file.close();
    return seen;
  };

  test('make no difference to a scan, nor does a helper that never comes', () => {
    const bytes = original();
    const whole = scanned(bytes);
    expect(whole.length).toBeGreaterThan(40);
    expect(scanned(bytes, new ReadAhead(createReadAheadMemory()))).toEqual(whole);
  });

  test('make no difference to the errors that a scan meets', () => {
    const bytes = original();
    for (let pgno = 40; pgno < lastPgnoOf(bytes); pgno += 9)
      bytes.fill(7, pageOffset(pgno, PAGE_SIZE) + 64, pageOffset(pgno, PAGE_SIZE) + 96);
    const whole = scanned(bytes);
    expect(whole.some((line) => line.includes('JET_errReadVerifyFailure'))).toBe(true);
    expect(scanned(bytes, new ReadAhead(createReadAheadMemory()))).toEqual(whole);
  });
});
