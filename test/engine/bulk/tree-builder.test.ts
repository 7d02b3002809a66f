import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type BuiltTree, BulkWriter } from '../../../src/engine/bulk/tree-builder.js';
import { createFilePageSource, type PageSource } from '../../../src/engine/page-source.js';
import { TreeCursor, walkTree } from '../../../src/engine/tree-reader.js';
import { createNodeView, PAGE_FLAG, PAGE_SIZES, type Page } from '../../../src/format/page.js';
import { encodeSpaceHeader, SPACE_FLAG } from '../../../src/format/space.js';
import { seededRandom } from '../../../src/io/seeded-random.js';
import { createSimulatedDisk } from '../../../src/io/simulated-disk.js';
import { jetErrorOf } from '../../support/files.js';

const OBJID = 9;
const ROOT = 1;
const PATH = '/new.edb';

interface Nodes {
  readonly key: Buffer;
  readonly data: Buffer;
}

interface Made {
  readonly source: PageSource;
  readonly built: BuiltTree;
}

/** Builds one tree from page 1 on. */
function build(
  pageSize: number,
  nodes: readonly Nodes[],
  { roleFlags = 0, density = 100 }: { roleFlags?: number; density?: number } = {},
): Made {
  const disk = createSimulatedDisk();
  const file = disk.open(PATH, 'create');
  const writer = new BulkWriter(file, pageSize);
  let next = ROOT;
  writer.begin({
    objid: OBJID,
    roleFlags,
    pgnoRoot: ROOT,
    rootHeaderBytes: 16,
    density,
    takePage: () => ++next,
  });
  for (const { key, data } of nodes) writer.add(key, key.length, data, 0, data.length);
  const built = writer.finish();
  const nonUnique = (roleFlags & PAGE_FLAG.nonUnique) !== 0 ? SPACE_FLAG.nonUnique : 0;
  built.root.externalHeader.set(
    encodeSpaceHeader({ cpg: next, pgnoParent: 1, flags: nonUnique, availableBitmap: 0, pgnoOe: 0 }),
  );
  writer.putPage(built.root);
  writer.flush();
  expect(next - ROOT + 1).toBe(pagesOf(built));
  return { source: createFilePageSource(file, pageSize), built };
}

function pagesOf({ leafPages, branchPages }: BuiltTree): number {
  return leafPages + branchPages;
}

function fullKey(page: Page, line: number, withData: boolean): Buffer {
  const node = createNodeView();
  page.readNode(line, node);
  const key = Buffer.from(page.key(node));
  return withData ? Buffer.concat([key, page.data(node)]) : key;
}

/** What chapters 2.1 and 12.1.4 say of a tree; returns its nodes. */
function checkTree({ source, built }: Made, roleFlags: number): Nodes[] {
  const found: Nodes[] = [];
  const node = createNodeView();
  let leaves = 0;
  let branches = 0;
  let previous = 0;
  const leafLevels = new Set<number>();
  const checkNodes = (page: Page): void => {
    expect(page.flags & (PAGE_FLAG.index | PAGE_FLAG.nonUnique | PAGE_FLAG.longValue)).toBe(roleFlags);
    expect(page.objid).toBe(OBJID);
    const prefix = Buffer.from(page.externalHeader);
    for (let line = 0; line < page.nodeCount; line++) {
      page.readNode(line, node);
      const key = page.key(node);
      let common = 0;
      while (common < Math.min(prefix.length, key.length) && prefix[common] === key[common]) common++;
      // Compressed exactly when it pays, and then as far as it goes.
      const due = page.isRoot || common <= 2 ? 0 : common;
      if (node.prefixLength !== due) expect(node.prefixLength).toBe(due);
    }
  };
  walkTree(
    source,
    { pgnoFdp: ROOT, objid: OBJID },
    {
      leaf: (page, level) => {
        leaves++;
        leafLevels.add(level);
        checkNodes(page);
        expect(page.pgnoPrev).toBe(previous);
        previous = page.isRoot ? 0 : page.pgno;
        for (let line = 0; line < page.nodeCount; line++) {
          page.readNode(line, node);
          found.push({ key: Buffer.from(page.key(node)), data: Buffer.from(page.data(node)) });
        }
        return true;
      },
      internal: (page) => {
        branches++;
        checkNodes(page);
        expect([page.pgnoPrev, page.pgnoNext]).toEqual([0, 0]);
      },
    },
  );
  expect(leafLevels.size).toBe(1);
  expect([leaves, branches]).toEqual([built.leafPages, built.branchPages]);
  checkSeparators(
    source,
    source.readPage(ROOT),
    undefined,
    undefined,
    true,
    (roleFlags & PAGE_FLAG.nonUnique) !== 0,
  );
  return found;
}

/** Chapter 2.1.4: low <= keys below a separator < separator; the null key is last and on the right edge only. */
function checkSeparators(
  source: PageSource,
  page: Page,
  low: Buffer | undefined,
  high: Buffer | undefined,
  isRightmost: boolean,
  withData: boolean,
): void {
  if (page.isLeaf) {
    if (page.nodeCount === 0) return;
    const first = fullKey(page, 0, withData);
    const last = fullKey(page, page.nodeCount - 1, withData);
    if (low !== undefined) expect(Buffer.compare(low, first)).toBeLessThanOrEqual(0);
    if (high !== undefined) expect(Buffer.compare(last, high)).toBeLessThan(0);
    return;
  }
  const node = createNodeView();
  let below = low;
  const keys: Buffer[] = [];
  for (let line = 0; line < page.nodeCount; line++) {
    const key = fullKey(page, line, false);
    page.readNode(line, node);
    const isLast = line === page.nodeCount - 1;
    if ((key.length === 0) !== (isLast && isRightmost)) expect(line).toBe('the only one with a null key');
    if (!isRightmost && isLast) expect(key).toEqual(high);
    const child = source.readPage(page.childPgno(node));
    if (((page.flags & PAGE_FLAG.parentOfLeaf) !== 0) !== child.isLeaf) expect(page.flags).toBe('right');
    checkSeparators(
      source,
      child,
      below,
      key.length === 0 ? undefined : key,
      isRightmost && isLast,
      withData,
    );
    if (key.length > 0 && keys.length > 0) expect(Buffer.compare(keys.at(-1) ?? key, key)).toBeLessThan(0);
    keys.push(key);
    below = key;
  }
}

/** Nodes as one text: comparing two of them is quick. */
function textOf(nodes: readonly Nodes[]): string {
  return nodes.map(({ key, data }) => `${key.toString('hex')}=${data.toString('hex')}`).join('\n');
}

/** Sorted nodes with keys of many shapes. */
function someNodes(seed: number, count: number, keyMost: number, dataMost: number): Nodes[] {
  const random = seededRandom(seed);
  const below = (limit: number): number => random.uint32() % limit;
  const groups = Array.from({ length: 5 }, () =>
    Buffer.from(Array.from({ length: below(keyMost - 6) }, () => below(256))),
  );
  const byKey = new Map<string, Nodes>();
  while (byKey.size < count) {
    const group = groups[below(groups.length)] ?? Buffer.alloc(0);
    const tail = Buffer.alloc(5);
    tail.writeUInt32BE(below(4 * count), 0);
    tail[4] = below(3);
    const key = Buffer.concat([group, tail.subarray(0, 4 + below(2))]);
    byKey.set(key.toString('latin1'), { key, data: Buffer.alloc(1 + below(dataMost), below(256)) });
  }
  return [...byKey.values()].sort((a, b) => Buffer.compare(a.key, b.key));
}

describe('building trees from the bottom up', () => {
  it.each(PAGE_SIZES)('gives back every node of a unique tree, pages of %i bytes', (pageSize) => {
    for (const count of [0, 1, 2, 50, 2000]) {
      const nodes = someNodes(count + pageSize, count, 100, 200);
      const made = build(pageSize, nodes);
      expect(textOf(checkTree(made, 0))).toBe(textOf(nodes));
      expect(made.built.nodes).toBe(count);
    }
  });

  it.each(PAGE_SIZES)('orders equal keys by their data, pages of %i bytes', (pageSize) => {
    const roleFlags = PAGE_FLAG.index | PAGE_FLAG.nonUnique;
    const nodes: Nodes[] = [];
    for (let k = 0; k < 40; k++) {
      const key = Buffer.from(`key number ${String(k).padStart(3, '0')}`);
      for (let d = 0; d < 50 + k; d++) {
        const data = Buffer.from([0x7f, 0x80, 0, d >> 8, d]);
        nodes.push({ key, data });
      }
    }
    const made = build(pageSize, nodes, { roleFlags });
    expect(textOf(checkTree(made, roleFlags))).toBe(textOf(nodes));
  });

  it('links leaves so that a cursor finds each key and goes through all', () => {
    const nodes = someNodes(7, 3000, 60, 40);
    const { source } = build(2048, nodes);
    const cursor = new TreeCursor(source, { pgnoFdp: ROOT, objid: OBJID });
    for (const { key, data } of nodes.filter((_, i) => i % 97 === 0)) {
      expect(cursor.seek(key)).toBe(true);
      expect(cursor.page.compareKey(cursor.node, key)).toBe(0);
      expect(Buffer.from(cursor.page.data(cursor.node))).toEqual(data);
    }
    let count = 0;
    for (let on = cursor.seek(Buffer.alloc(0)); on; on = cursor.next()) count++;
    expect(count).toBe(3000);
  });

  it('fills leaves to the last node that fits', () => {
    // 4,056 bytes less tag 0; a node of 4 + 94 bytes takes 104: 38 of them fit, and 8 bytes stay free.
    // Keys that differ in their first byte: no prefix can help.
    const distinct = Array.from({ length: 256 }, (_, i) => ({
      key: Buffer.from([i, 0, 0, 0]),
      data: Buffer.alloc(94, 1),
    }));
    const { built, source } = build(4096, distinct);
    expect(built.leafPages).toBe(Math.ceil(256 / 38));
    expect(source.readPage(2).nodeCount).toBe(38);
    expect(source.readPage(2).cbFree).toBe(4096 - 40 - 4 - 38 * 104);
  });

  it('leaves the room free that the density asks for', () => {
    const nodes = someNodes(3, 2000, 20, 60);
    const { source } = build(4096, nodes, { density: 80 });
    const made = build(4096, nodes);
    expect(made.built.leafPages).toBeLessThan(source.lastPgno * 0.85);
    walkTree(
      source,
      { pgnoFdp: ROOT, objid: OBJID },
      {
        leaf: (page) => {
          expect(page.cbFree).toBeGreaterThanOrEqual(Math.floor(4052 * 0.2));
          return true;
        },
      },
    );
  });

  it('packs long keys with a common beginning many times closer than without prefix', () => {
    const shared = Buffer.alloc(200, 0x61);
    const nodes = Array.from({ length: 1000 }, (_, i) => {
      const tail = Buffer.alloc(4);
      tail.writeUInt32BE(i);
      return { key: Buffer.concat([shared, tail]), data: Buffer.from([1, 2, 3, 4]) };
    });
    const made = build(4096, nodes);
    expect(textOf(checkTree(made, 0))).toBe(textOf(nodes));
    // 1000 nodes of 10 to 14 bytes with tag, instead of 214.
    expect(made.built.leafPages).toBeLessThanOrEqual(8);
  });

  it.each(PAGE_SIZES)(
    'fits pages where the keys stop having much in common, pages of %i bytes',
    (pageSize) => {
      const key = (text: string): Buffer => Buffer.from(text);
      for (const shared of [3, 8, 100]) {
        for (const many of [5, 20, 80, 700]) {
          const alike = Array.from({ length: many }, (_, i) =>
            key(`${'a'.repeat(shared)}${String(i).padStart(4, '0')}`),
          );
          const unlike = Array.from({ length: 150 }, (_, i) => key(String.fromCharCode(98 + i)));
          const nodes = [...alike, ...unlike].map((k, i) => ({ key: k, data: Buffer.alloc(1 + (i % 9)) }));
          const sorted = nodes.sort((a, b) => Buffer.compare(a.key, b.key));
          expect(textOf(checkTree(build(pageSize, sorted), 0))).toBe(textOf(sorted));
        }
      }
    },
  );

  it('refuses nodes that are out of order, doubled or too long', () => {
    const node = (key: string, data = 'd'): Nodes => ({ key: Buffer.from(key), data: Buffer.from(data) });
    expect(jetErrorOf(() => build(4096, [node('b'), node('a')]))).toBe('JET_errDatabaseCorrupted');
    expect(jetErrorOf(() => build(4096, [node('a'), node('a', 'e')]))).toBe('JET_errDatabaseCorrupted');
    const roleFlags = PAGE_FLAG.index | PAGE_FLAG.nonUnique;
    expect(jetErrorOf(() => build(4096, [node('a'), node('a')], { roleFlags }))).toBe(
      'JET_errDatabaseCorrupted',
    );
    expect(jetErrorOf(() => build(4096, [node('a', 'x'.repeat(4056))]))).toBe('JET_errRecordTooBig');
    // The longest that fits: 4,056 bytes less two tags and the length of the key.
    expect(build(4096, [node('a', 'x'.repeat(4056 - 8 - 2 - 1))]).built.nodes).toBe(1);
  });

  it('does so for any keys', () => {
    const keys = fc.uniqueArray(fc.uint8Array({ maxLength: 40, minLength: 1 }), {
      maxLength: 400,
      selector: (key) => Buffer.from(key).toString('latin1'),
    });
    fc.assert(
      fc.property(
        keys,
        fc.constantFrom(...PAGE_SIZES),
        fc.integer({ min: 1, max: 300 }),
        (list, pageSize, size) => {
          const nodes = list
            .map((key) => ({ key: Buffer.from(key), data: Buffer.alloc(size, key.length) }))
            .sort((a, b) => Buffer.compare(a.key, b.key));
          expect(textOf(checkTree(build(pageSize, nodes), 0))).toBe(textOf(nodes));
        },
      ),
      { numRuns: 40, seed: 5 },
    );
  });
});
