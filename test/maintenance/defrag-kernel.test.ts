import { afterEach, describe, expect, test } from 'vitest';
import { createBulkKernel, soundScratchBytes } from '../../src/engine/bulk/bulk-kernel.js';
import { createChecksumKernel, type KernelKind } from '../../src/format/checksum-kernel.js';
import { EseError } from '../../src/format/ese-error.js';
import { checkPageStructure, PAGE_SIZES, type Page } from '../../src/format/page.js';
import { seededEnvironment } from '../../src/io/environment.js';
import { type Random, randomBelow, seededRandom } from '../../src/io/seeded-random.js';
import { createSimulatedDisk } from '../../src/io/simulated-disk.js';
import { defragment } from '../../src/maintenance/defrag.js';
import { damagedBytes } from '../support/damaged-database.js';
import { putFile, readFile } from '../support/files.js';
import { SAMPLE, sampleDatabase } from '../support/sample-database.js';

const CASES = process.env.ESEKIT_FULL === undefined ? 40 : 400;
const DATABASE = '/db.edb';
/** The engine makes no database of smaller pages. */
const PAGE_SIZE_LEAST = 4096;
const KINDS: readonly KernelKind[] = ['js', 'wasm'];

afterEach(() => {
  delete process.env.ESEKIT_KERNEL;
});

/** The defragmented database in base64, or the error, by kernel. */
async function outcomes(bytes: Uint8Array): Promise<string[]> {
  const found: string[] = [];
  for (const kind of KINDS) {
    process.env.ESEKIT_KERNEL = kind;
    const disk = createSimulatedDisk();
    putFile(disk, DATABASE, bytes);
    try {
      await defragment(seededEnvironment({ fs: disk, seed: 1 }), DATABASE, { workers: 1 });
      found.push(Buffer.from(readFile(disk, DATABASE)).toString('base64'));
    } catch (error) {
      if (!(error instanceof EseError)) throw error;
      found.push(`${error.name} ${error.detail} ${error.pgno}`);
    }
  }
  return found;
}

/** Changes a few bytes of a page, half of them in the tags. */
function change({ bytes, pageSize }: Page, random: Random): void {
  for (let i = 0; i < 1 + randomBelow(random, 4); i++) {
    const inTags = randomBelow(random, 2) === 0;
    const at = inTags ? pageSize - 1 - randomBelow(random, 120) : 8 + randomBelow(random, pageSize - 8);
    bytes[at] = randomBelow(random, 256);
  }
}

describe('defragmentation in WebAssembly', () => {
  test.each(PAGE_SIZES.filter((size) => size >= PAGE_SIZE_LEAST))(
    'gives the bytes of the plain one, pages of %i bytes',
    async (pageSize) => {
      const options = { pageSize, rows: 200, keepEvery: 3, deletesColumns: pageSize === 8192 };
      const [plain = '', fast] = await outcomes(readFile(sampleDatabase(options), SAMPLE));
      expect(plain.length).toBeGreaterThan(20 * pageSize);
      expect(fast === plain).toBe(true);
    },
  );

  test('meets the errors of the plain one', async () => {
    const original = readFile(sampleDatabase({ rows: 60 }), SAMPLE);
    let failed = 0;
    for (let seed = 1; seed <= CASES; seed++) {
      const random = seededRandom(seed);
      const copy = damagedBytes(original.slice());
      for (let i = 0; i < 3; i++) {
        copy.edit(1 + randomBelow(random, copy.lastPgno), (page) => change(page, random));
      }
      const [plain = '', fast] = await outcomes(copy.bytes);
      if (fast !== plain) throw new Error(`seed ${seed}: ${plain.slice(0, 200)}, but ${fast?.slice(0, 200)}`);
      if (plain.startsWith('JET_')) failed++;
    }
    expect(failed).toBeGreaterThan(CASES / 10);
  });

  test('stops at nodes that are out of order', async () => {
    const copy = damagedBytes(readFile(sampleDatabase({ rows: 60 }), SAMPLE));
    const [first] = copy.nodesOf(copy.table('People'));
    copy.edit(first?.pgno ?? 0, (page) => {
      const at = (itag: number): number => page.pageSize - 4 * (itag + 1);
      const tag = page.view.getUint32(at(2), true);
      page.view.setUint32(at(2), page.view.getUint32(at(3), true), true);
      page.view.setUint32(at(3), tag, true);
    });
    const [plain, fast] = await outcomes(copy.bytes);
    expect(plain).toMatch(/^JET_errDatabaseCorrupted the nodes of tree \d+ are out of order/);
    expect(fast).toBe(plain);
  });
});

describe('the kernel that sees whether a leaf is sound', () => {
  const original = damagedBytes(readFile(sampleDatabase({ rows: 120, keepEvery: 2 }), SAMPLE));
  const { pageSize } = original.page(1);
  const memory = createChecksumKernel(pageSize + soundScratchBytes(pageSize), 'wasm');
  const kernel = createBulkKernel(memory);
  const isSound = (page: Page): boolean => {
    memory.bytes.set(page.bytes);
    return kernel?.isSoundLeaf(0, pageSize, pageSize) ?? false;
  };
  const leaves = Array.from({ length: original.lastPgno }, (_, i) => i + 1).filter((pgno) => {
    const page = original.page(pgno);
    return page.isLeaf && page.nodeCount > 0;
  });

  test('knows the leaves of a database', () => {
    expect(leaves.length).toBeGreaterThan(20);
    expect(leaves.filter((pgno) => !isSound(original.page(pgno)))).toEqual([]);
  });

  test('passes no page that the check of pages refuses', () => {
    let refused = 0;
    for (let seed = 1; seed <= 50 * CASES; seed++) {
      const random = seededRandom(seed);
      const page = original.page(leaves[randomBelow(random, leaves.length)] ?? 0);
      const before = page.bytes.slice();
      change(page, random);
      const fault = checkPageStructure(page);
      const passed = isSound(page);
      page.bytes.set(before);
      if (fault === undefined) continue;
      refused++;
      if (passed) throw new Error(`seed ${seed}: ${fault.what}`);
    }
    expect(refused).toBeGreaterThan(CASES);
  });

  test('leaves no trace of a page in its memory', () => {
    for (const pgno of leaves) {
      const page = original.page(pgno);
      isSound(page);
      expect(memory.bytes.subarray(pageSize).every((byte) => byte === 0)).toBe(true);
    }
  });
});
