import { describe, expect, test } from 'vitest';
import { createChecksumKernel } from '../../src/format/checksum-kernel.js';
import { NODE_FLAG, PAGE_FLAG, type Page } from '../../src/format/page.js';
import { randomBelow, seededRandom } from '../../src/io/seeded-random.js';
import {
  COUNTED,
  createLeafKernel,
  LEAF_KERNEL_BYTES,
  LISTED,
} from '../../src/maintenance/integrity/leaf-kernel.js';
import { NO_BOUNDS } from '../../src/maintenance/integrity/tree-walk.js';
import { corpusPath, describeWithCorpus } from '../corpus.js';
import { type DamagedDatabase, damagedBytes, damagedCopy } from '../support/damaged-database.js';
import { readFile } from '../support/files.js';
import { SAMPLE, sampleDatabase } from '../support/sample-database.js';

const CASES = process.env.ESEKIT_FULL === undefined ? 40 : 300;
const FDP = { pgnoFdp: 4, objid: 2 } as const;
const ROLES = PAGE_FLAG.newRecord;

/** What the kernel says of a leaf of the catalog. */
function judge(page: Page, program = LISTED, change: (page: Page) => void = () => {}) {
  const { pageSize } = page;
  const memory = createChecksumKernel(pageSize + LEAF_KERNEL_BYTES, 'wasm');
  const kernel = createLeafKernel(memory, pageSize, pageSize, Infinity);
  if (kernel === undefined) throw new Error('there is no WebAssembly');
  memory.bytes.set(page.bytes);
  const view = Object.assign(Object.create(Object.getPrototypeOf(page)), page) as Page;
  view.bytes = memory.bytes.subarray(0, pageSize);
  view.view = new DataView(memory.bytes.buffer, memory.bytes.byteOffset, pageSize);
  change(view);
  const listed = kernel.check(
    0,
    {
      tree: {
        rank: 0,
        kind: 'table',
        object: 'MSysObjects',
        objid: FDP.objid,
        pgnoFdp: FDP.pgnoFdp,
        tableNumber: 0,
        indexNumber: -1,
        parent: 0,
        roleFlags: ROLES,
        isUnique: true,
      },
      roleFlags: ROLES,
      isRoot: false,
      bounds: NO_BOUNDS,
      pgnoPrev: undefined,
      pgnoNext: undefined,
    },
    program,
  );
  return {
    listed,
    live: listed < 0 ? -1 : kernel.live,
    lines: [...kernel.lines.subarray(0, Math.max(0, listed))],
  };
}

describeWithCorpus('the kernel for leaves', () => {
  const catalog = (): DamagedDatabase => damagedCopy(corpusPath('recovery', 'srum-clean', 'SRUDB.dat'));

  test('passes every leaf of a sound tree, and lists its live nodes', () => {
    const copy = catalog();
    const { leaves } = copy.pagesOf(FDP);
    expect(leaves.length).toBeGreaterThan(3);
    let live = 0;
    for (const pgno of leaves) {
      const page = copy.page(pgno);
      const { listed, lines, live: alive } = judge(page);
      expect(listed).toBe(alive);
      expect(lines).toHaveLength(listed);
      expect(judge(page, COUNTED)).toEqual({ listed: 0, live: alive, lines: [] });
      live += alive;
    }
    expect(live).toBe(copy.nodesOf(FDP).length);
  });

  const changes: readonly (readonly [string, (page: Page) => void])[] = [
    ['two tags that are swapped', (page) => swapTags(page, 1, 2)],
    ['another tree', (page) => page.view.setUint32(24, 77, true)],
    ['another role', (page) => page.view.setUint32(36, page.flags | PAGE_FLAG.index, true)],
    ['an empty page', (page) => page.view.setUint32(36, page.flags | PAGE_FLAG.empty, true)],
    ['a root', (page) => page.view.setUint32(36, page.flags | PAGE_FLAG.root, true)],
    ['a wrong count of free bytes', (page) => page.view.setUint16(28, page.cbFree + 1, true)],
    ['data that reach into the tags', (page) => page.view.setUint16(32, page.pageSize - 50, true)],
    ['no nodes', (page) => page.view.setUint16(34, 1, true)],
    ['a tag behind the data', (page) => page.view.setUint16(page.pageSize - 4 * 3 + 2, 0x1fff, true)],
    ['two tags for the same bytes', (page) => copyTag(page, 2, 3)],
    ['an empty tag', (page) => page.view.setUint16(page.pageSize - 4 * 3, 0, true)],
  ];

  test.each(changes)('does not pass %s', (_what, change) => {
    const copy = catalog();
    const [, pgno = 0] = copy.pagesOf(FDP).leaves;
    expect(judge(copy.page(pgno), LISTED, change).listed).toBe(-1);
  });

  test('leaves out nodes that are flag-deleted', () => {
    const copy = catalog();
    const [pgno = 0] = copy.pagesOf(FDP).leaves;
    const page = copy.page(pgno);
    const { live } = judge(page);
    const less = judge(page, LISTED, (view) => {
      const at = view.pageSize - 4 * 3 + 2;
      view.view.setUint16(at, view.view.getUint16(at, true) | (NODE_FLAG.deleted << 13), true);
    });
    expect(less.live).toBe(live - 1);
    expect(less.lines).not.toContain(1);
  });

  test('agrees with the long way about pages that are damaged at random and have right checksums', async () => {
    const originals = [catalog(), damagedBytes(readFile(sampleDatabase({ rows: 120 }), SAMPLE))];
    for (let seed = 1; seed <= CASES; seed++) {
      const random = seededRandom(seed);
      const original = originals[seed % 2] ?? catalog();
      const copy = damagedBytes(original.bytes.slice());
      for (let page = 0; page < 1 + randomBelow(random, 3); page++) {
        const pgno = 1 + randomBelow(random, copy.lastPgno);
        copy.edit(pgno, ({ bytes, pageSize }) => {
          for (let i = 0; i < 1 + randomBelow(random, 4); i++) {
            // Half of the changes hit the tags, which are at the end.
            const at =
              randomBelow(random, 2) === 0
                ? 8 + randomBelow(random, pageSize - 8)
                : pageSize - 1 - randomBelow(random, 120);
            bytes[at] = randomBelow(random, 256);
          }
        });
      }
      // The check compares both kernels.
      await copy.check();
    }
  }, 600_000);
});

function swapTags(page: Page, a: number, b: number): void {
  const at = (itag: number): number => page.pageSize - 4 * (itag + 1);
  const first = page.view.getUint32(at(a), true);
  page.view.setUint32(at(a), page.view.getUint32(at(b), true), true);
  page.view.setUint32(at(b), first, true);
}

function copyTag(page: Page, from: number, to: number): void {
  const at = (itag: number): number => page.pageSize - 4 * (itag + 1);
  page.view.setUint32(at(to), page.view.getUint32(at(from), true), true);
}

describe('keys of every simple kind', () => {
  test('are hashed alike by both kernels, whatever becomes of one row', async () => {
    const copy = damagedBytes(readFile(sampleDatabase({ rows: 60, pageSize: 8192 }), SAMPLE));
    const sound = await copy.check();
    expect(sound.corrupt).toBe(false);
    const rows = copy.nodesOf(copy.table('People'));
    const row = rows[10] ?? { pgno: 0, line: 0 };
    copy.edit(row.pgno, (page) => page.deleteNode(row.line));
    const codes = new Set((await copy.check()).findings.map(({ code }) => code));
    expect(codes).toContain('IDX_EXTRA');
  });
});
