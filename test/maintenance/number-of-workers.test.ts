import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { seededEnvironment } from '../../src/io/environment.js';
import { nodeFileSystem } from '../../src/io/node-file-system.js';
import { checkIntegrity } from '../../src/maintenance/integrity.js';
import { repair } from '../../src/maintenance/repair.js';
import { verifyDatabase } from '../../src/maintenance/verify.js';
import { closePool, warmPool } from '../../src/workers/pool.js';
import { corpusPath, describeWithCorpus } from '../corpus.js';
import { damagedCopy } from '../support/damaged-database.js';

const WORKERS = [1, 2, 3];

/** A copy of a database in which every ninth page is damaged. */
function damaged(...parts: string[]): Uint8Array {
  const copy = damagedCopy(corpusPath(...parts));
  for (let pgno = 60; pgno <= copy.lastPgno; pgno += 9) {
    const page = copy.page(pgno);
    // A flipped bit can be corrected, an overwritten page is lost.
    if (pgno % 2 === 0) page.bytes[500] = (page.bytes[500] ?? 0) ^ 4;
    else page.bytes.fill(0x5a, 200, 264);
  }
  return copy.bytes;
}

describeWithCorpus('a damaged database, whatever the number of threads', () => {
  let folder: string;
  let path: string;
  beforeAll(async () => {
    await warmPool(2);
    folder = mkdtempSync(join(tmpdir(), 'esekit-workers-'));
    path = join(folder, 'db.edb');
  });
  afterAll(async () => {
    rmSync(folder, { recursive: true });
    await closePool();
  });

  test('/k and /g report the same', async () => {
    const bytes = damaged('databases', 'large.edb');
    writeFileSync(path, bytes);
    const checks = [];
    const integrities = [];
    for (const workers of WORKERS) {
      checks.push((await verifyDatabase(nodeFileSystem, path, { workers })).report);
      integrities.push((await checkIntegrity({ fs: nodeFileSystem }, path, { workers })).report);
    }
    expect(checks[0]?.pages.badChecksums).toBeGreaterThan(10);
    expect(integrities[0]?.errors).toBeGreaterThan(10);
    for (const more of [1, 2]) {
      expect(checks[more]).toEqual(checks[0]);
      expect(integrities[more]).toEqual(integrities[0]);
    }
    expect(Buffer.from(bytes).equals(readFileSync(path))).toBe(true);
  });

  test('/p reports the same, and writes the same bytes', async () => {
    const bytes = damaged('recovery', 'srum-dirty', 'repaired-by-windows.dat');
    const results: unknown[] = [];
    const files: Buffer[][] = [];
    for (const workers of WORKERS) {
      for (const name of readdirSync(folder)) rmSync(join(folder, name));
      writeFileSync(path, bytes);
      const environment = seededEnvironment({ fs: nodeFileSystem, seed: 1 });
      const { report, lost } = await repair(environment, path, { inPlace: true, workers });
      results.push({ report, lost });
      files.push(
        readdirSync(folder)
          .sort()
          .map((name) => readFileSync(join(folder, name))),
      );
    }
    expect(results[0]).toMatchObject({
      report: { action: 'repaired', correctedPages: 34, pages: { bad: 42 } },
    });
    for (const more of [1, 2]) {
      expect(results[more]).toEqual(results[0]);
      expect(files[more]?.length).toBe(files[0]?.length);
      for (const [i, file] of (files[more] ?? []).entries()) {
        expect(file.equals(files[0]?.[i] ?? Buffer.alloc(0))).toBe(true);
      }
    }
  });
});
