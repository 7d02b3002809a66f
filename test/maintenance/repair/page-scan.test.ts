import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { EseError } from '../../../src/format/ese-error.js';
import { PAGE_FLAG, pageOffset } from '../../../src/format/page.js';
import type { FileSystem } from '../../../src/io/file-system.js';
import { nodeFileSystem } from '../../../src/io/node-file-system.js';
import {
  classOf,
  countClasses,
  flagsOf,
  PAGE_CLASS,
  type PageScan,
  scanPages,
} from '../../../src/maintenance/repair/page-scan.js';
import { DAMAGED, type DamagedDatabase, damagedBytes } from '../../support/damaged-database.js';
import {
  damagedFile,
  flipBit,
  leavesOf,
  pageBytes,
  salvage,
  salvageTreeOf,
} from '../../support/salvage-lab.js';
import { SAMPLE, sampleDatabase } from '../../support/sample-database.js';

const PAGE_SIZE = 4096;
let file: Uint8Array;

beforeAll(() => {
  file = damagedFile(sampleDatabase({ pageSize: PAGE_SIZE, rows: 300 }), SAMPLE).bytes.slice();
});

const sample = (): DamagedDatabase => damagedBytes(file);
const scan = (fs: FileSystem): Promise<PageScan> => scanPages(fs, DAMAGED, PAGE_SIZE, { workers: 1 });

/** The disk, on which sectors of the file cannot be read. */
function withLostSectors(fs: FileSystem, isLost: (sector: number) => boolean): FileSystem {
  return new Proxy(fs, {
    get(target, name) {
      if (name !== 'open') {
        const own: unknown = Reflect.get(target, name);
        return typeof own === 'function' ? own.bind(target) : own;
      }
      return (...args: Parameters<FileSystem['open']>) => {
        const handle = target.open(...args);
        return {
          ...handle,
          path: handle.path,
          size: () => handle.size(),
          close: () => handle.close(),
          readAt(into: Uint8Array, offset: number) {
            for (let at = offset; at < offset + into.length; at += 512) {
              if (isLost(Math.floor(at / 512))) throw new EseError('JET_errDiskIO', 'the disk is worn');
            }
            return handle.readAt(into, offset);
          },
        };
      };
    },
  });
}

describe('the scan of all pages', () => {
  test('says of each page what it is', async () => {
    const database = sample();
    const tree = salvageTreeOf(database.table('People'), PAGE_SIZE);
    const { leaves, internal } = database.pagesOf(tree);
    const [a = 0, b = 0, c = 0, d = 0, e = 0] = leaves.slice(2);
    const found = await scan(database.disk());
    for (const pgno of leaves) expect(classOf(found, pgno)).toBe(PAGE_CLASS.leaf);
    for (const pgno of internal) expect(classOf(found, pgno)).toBe(PAGE_CLASS.branch);
    expect(classOf(found, database.spaceRoot(tree.pgnoFdp, 'OE'))).toBe(PAGE_CLASS.space);
    expect(found.objids[a]).toBe(tree.objid);
    expect(flagsOf(found, tree.pgnoFdp) & PAGE_FLAG.root).toBe(PAGE_FLAG.root);
    expect(countClasses(found).reduce((sum, count) => sum + count, 0)).toBe(database.lastPgno);
    expect(found).toMatchObject({ corrected: [], misplaced: [] });

    pageBytes(database, a).fill(0);
    pageBytes(database, b).set(pageBytes(database, leaves[0] ?? 0));
    database.edit(c, (page) => page.view.setUint16(page.pageSize - 8, 0xfff, true));
    flipBit(database, d, 8 * 100 + 3);
    flipBit(database, e, 8 * 100 + 3);
    flipBit(database, e, 8 * 300 + 3);
    const damaged = await scan(database.disk());
    expect([a, b, c, d, e].map((pgno) => classOf(damaged, pgno))).toEqual([
      PAGE_CLASS.blank,
      PAGE_CLASS.misplaced,
      PAGE_CLASS.unsound,
      PAGE_CLASS.leaf,
      PAGE_CLASS.bad,
    ]);
    expect(damaged.corrected).toEqual([{ pgno: d, bits: [803] }]);
    expect(damaged.misplaced).toMatchObject([{ pgno: b, imageOf: leaves[0] }]);
  });

  test('finds the highest dbtime and objid of whole pages', async () => {
    const database = sample();
    const { pgnoFdp } = database.table('People');
    database.edit(pgnoFdp, (page) => {
      page.dbtime = 1e12;
    });
    const { leaves } = database.pagesOf(database.table('People'));
    database.edit(leaves[1] ?? 0, (page) => {
      page.objid = 9999;
    });
    database.page(leaves[2] ?? 0).dbtime = 2e12;
    const { dbtimeMax, dbtimeMaxPgno, objidMax } = await scan(database.disk());
    expect({ dbtimeMax, dbtimeMaxPgno, objidMax }).toEqual({
      dbtimeMax: 1e12,
      dbtimeMaxPgno: pgnoFdp,
      objidMax: 9999,
    });
  });

  test('goes on behind pages that cannot be read', async () => {
    const database = sample();
    const tree = salvageTreeOf(database.table('People'), PAGE_SIZE);
    const leaves = leavesOf(database, tree);
    const worn = leaves[3]?.pgno ?? 0;
    const first = pageOffset(worn, PAGE_SIZE) / 512;
    const fs = withLostSectors(database.disk(), (sector) => sector >= first && sector < first + 8);
    const found = await scan(fs);
    expect(classOf(found, worn)).toBe(PAGE_CLASS.unreadable);
    expect(countClasses(found)[PAGE_CLASS.unreadable]).toBe(1);
    const { nodes, counts } = await salvage(database, tree, [tree], fs);
    expect(nodes).toEqual(leaves.filter(({ pgno }) => pgno !== worn).flatMap((leaf) => leaf.nodes));
    expect(counts.lost.map(({ pgno }) => pgno)).toEqual([worn]);
  });

  test('a sector that cannot be read costs what lies in it', async () => {
    const database = sample();
    const tree = salvageTreeOf(database.table('People'), PAGE_SIZE);
    const leaves = leavesOf(database, tree);
    const worn = leaves[3]?.pgno ?? 0;
    const sector = pageOffset(worn, PAGE_SIZE) / 512 + 4;
    const fs = withLostSectors(database.disk(), (one) => one === sector);
    const { nodes, counts } = await salvage(database, tree, [tree], fs);
    const all = new Set(leaves.flatMap((leaf) => leaf.nodes));
    expect(nodes.filter((node) => !all.has(node))).toEqual([]);
    const onWorn = leaves[3]?.nodes.length ?? 0;
    const [range] = counts.lost;
    expect(range?.pgno).toBe(worn);
    expect(all.size - nodes.length).toBe(range?.estimate);
    expect(range?.estimate).toBeGreaterThan(0);
    expect(range?.estimate).toBeLessThan(onWorn / 2);
  });

  test('finds the same whatever the number of threads', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'page-scan-'));
    try {
      // Some 24 MiB, so that threads are worth it.
      const copies = Math.ceil((24 * 1024 * 1024) / file.length);
      const bytes = new Uint8Array(copies * file.length);
      for (let i = 0; i < copies; i++) bytes.set(file, i * file.length);
      bytes[5 * PAGE_SIZE + 77] = (bytes[5 * PAGE_SIZE + 77] ?? 0) ^ 8;
      const path = join(folder, 'many.edb');
      writeFileSync(path, bytes);
      const [one, two] = await Promise.all(
        [1, 2].map((workers) => scanPages(nodeFileSystem, path, PAGE_SIZE, { workers })),
      );
      expect(two).toEqual(one);
      expect(one?.misplaced.length).toBeGreaterThan(1000);
      expect(one?.corrected.map(({ pgno }) => pgno)).toEqual([4]);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
