import { describe, expect, test } from 'vitest';
import { createNodeView, PAGE_FLAG, type Page } from '../../../src/format/page.js';
import { encodeExtentData, encodeExtentKey } from '../../../src/format/space.js';
import type { TableDefinition } from '../../../src/format/table-definition.js';
import { randomBelow, randomFill, seededRandom } from '../../../src/io/seeded-random.js';
import type { SalvageTree } from '../../../src/maintenance/repair/salvage-node.js';
import { TRUST } from '../../../src/maintenance/repair/salvage-node.js';
import { takeCensus } from '../../../src/maintenance/repair/salvage-source.js';
import { type DamagedDatabase, damagedBytes } from '../../support/damaged-database.js';
import {
  damagedFile,
  flipBit,
  leavesOf,
  pageBytes,
  salvage,
  salvageTreeOf,
} from '../../support/salvage-lab.js';
import { SAMPLE, sampleDatabase } from '../../support/sample-database.js';

const PAGE_SIZES = [4096, 8192, 16384, 32768];
const ROWS = 700;
const LARGE_PAGES = [16384, 32768];

/** The large table of a sample: its data tree, its leaves in key order, its internal pages. */
interface People {
  readonly table: TableDefinition;
  readonly tree: SalvageTree;
  readonly leaves: readonly Leaf[];
  readonly internal: readonly number[];
  readonly all: readonly string[];
}

type Leaf = ReturnType<typeof leavesOf>[number];

const samples = new Map<number, { readonly bytes: Uint8Array; readonly people: People }>();

function prepared(pageSize: number): { readonly bytes: Uint8Array; readonly people: People } {
  let one = samples.get(pageSize);
  if (one === undefined) {
    const database = damagedFile(sampleDatabase({ pageSize, rows: ROWS }), SAMPLE);
    one = { bytes: database.bytes.slice(), people: peopleOf(database) };
    samples.set(pageSize, one);
  }
  return one;
}

/** A sample of its own for each test: 700 rows in one large table, with long values and indexes. */
function sample(pageSize: number): DamagedDatabase {
  return damagedBytes(prepared(pageSize).bytes);
}

function peopleOf(database: DamagedDatabase): People {
  const table = database.table('People');
  const tree = salvageTreeOf(table, database.pageSize);
  const leaves = leavesOf(database, tree);
  const { internal } = database.pagesOf(tree);
  return { table, tree, leaves, internal, all: leaves.flatMap(({ nodes }) => nodes) };
}

function nodesOn(leaves: readonly Leaf[], isKept: (pgno: number) => boolean): string[] {
  return leaves.filter(({ pgno }) => isKept(pgno)).flatMap(({ nodes }) => nodes);
}

const keyOf = (node: string): string => node.slice(0, node.indexOf('='));

/** The n-th leaf of a tree that has enough of them. */
function leafAt(leaves: readonly Leaf[], n: number): Leaf {
  const leaf = leaves[n];
  if (leaf === undefined) throw new Error(`there are only ${leaves.length} leaves`);
  return leaf;
}

/** Position of a node's tag in the page. */
function tagAt(page: Page, line: number): number {
  return page.pageSize - 4 * (line + page.reservedTags + 1);
}

/** Where an extent that ends at this page belongs in a leaf of a space tree. */
function lineOfExtent(page: Page, last: number): number {
  const node = createNodeView();
  let line = 0;
  for (; line < page.nodeCount; line++) {
    page.readNode(line, node);
    const key = page.key(node);
    if (new DataView(key.buffer).getUint32(0, false) > last) break;
  }
  return line;
}

/** What a page reads like when it is exchanged with another one, byte by byte. */
function swapBytes(bytes: Uint8Array, a: number, b: number, count: number): void {
  for (let i = 0; i < count; i++) [bytes[a + i], bytes[b + i]] = [bytes[b + i] ?? 0, bytes[a + i] ?? 0];
}

describe.each(PAGE_SIZES)('salvage of a tree with pages of %i bytes', (pageSize) => {
  test.each(['data', 'longValues', 'byName', 'byTags', 'unique'])(
    'gives all nodes of a sound tree, each once: %s',
    async (which) => {
      const database = sample(pageSize);
      const tree = salvageTreeOf(prepared(pageSize).people.table, pageSize, which);
      const expected = leavesOf(database, tree).flatMap(({ nodes }) => nodes);
      const { nodes, counts } = await salvage(database, tree);
      expect(nodes).toEqual(expected);
      const { length } = expected;
      const all = { written: length, good: length, unverified: 0, superseded: 0, dropped: [], lost: [] };
      expect(counts).toMatchObject(all);
    },
  );

  test('a flipped bit on every page costs nothing', async () => {
    const database = sample(pageSize);
    const { tree, all } = prepared(pageSize).people;
    const random = seededRandom(pageSize);
    const flipped: number[] = [];
    for (let pgno = 1; pgno <= database.lastPgno; pgno++) {
      if (pageBytes(database, pgno).every((byte) => byte === 0)) continue;
      // Not in the checksum itself, nor in the flag that says which checksum it is.
      flipBit(database, pgno, 8 * 40 + randomBelow(random, 8 * (pageSize - 40)));
      flipped.push(pgno);
    }
    const { nodes, counts, scan } = await salvage(database, tree);
    expect(nodes).toEqual(all);
    expect(counts).toMatchObject({ unverified: 0, dropped: [], lost: [] });
    expect(scan.corrected.map(({ pgno }) => pgno)).toEqual(flipped);
  });

  test.each([
    [1, 1],
    [2, 5],
    [3, 20],
    [4, 50],
    [5, 100],
  ])(
    'random damage %i of %i in a hundred pages: whole leaves come back, nothing is invented',
    async (seed, percent) => {
      const random = seededRandom(seed);
      const database = sample(pageSize);
      const { tree, leaves, internal, all } = prepared(pageSize).people;
      const damaged = new Set<number>();
      for (const pgno of [...leaves.map((leaf) => leaf.pgno), ...internal]) {
        if (randomBelow(random, 100) >= percent) continue;
        damaged.add(pgno);
        const bytes = pageBytes(database, pgno);
        if (randomBelow(random, 2) === 0) bytes.fill(0);
        else randomFill(random, bytes.subarray(randomBelow(random, pageSize - 64)).subarray(0, 64));
      }
      const { nodes, trusts, counts } = await salvage(database, tree);
      expect(nodes.map(keyOf)).toEqual([...new Set(nodes.map(keyOf))].sort());
      const found = new Set(nodes);
      expect(nodesOn(leaves, (pgno) => !damaged.has(pgno)).filter((node) => !found.has(node))).toEqual([]);
      // Of what a checksum speaks for, every byte is right; of the rest, the keys are.
      const known = new Set(all);
      const keys = new Set(all.map(keyOf));
      expect(nodes.filter((node, i) => !known.has(node) && trusts[i] !== TRUST.unverified)).toEqual([]);
      expect(nodes.filter((node) => !keys.has(keyOf(node)))).toEqual([]);
      const { good, unverified, written, superseded, dropped } = counts;
      expect(written).toBe(nodes.length);
      expect(good + unverified).toBe(written + superseded + dropped.length);
    },
  );

  test('a lost branch or root costs nothing', async () => {
    const database = sample(pageSize);
    const { tree, internal, all } = prepared(pageSize).people;
    expect(internal.length).toBeGreaterThan(0);
    for (const pgno of internal) pageBytes(database, pgno).fill(0);
    const { nodes, counts } = await salvage(database, tree);
    expect(nodes).toEqual(all);
    expect(counts.lost).toEqual([]);
  });

  test('a zeroed leaf costs its rows, and the range of their keys is told', async () => {
    const database = sample(pageSize);
    const { tree, leaves } = prepared(pageSize).people;
    const lost = leafAt(leaves, 2);
    pageBytes(database, lost.pgno).fill(0);
    const { nodes, counts } = await salvage(database, tree);
    expect(nodes).toEqual(nodesOn(leaves, (pgno) => pgno !== lost.pgno));
    const [range, ...more] = counts.lost;
    expect(more).toEqual([]);
    expect(range?.pgno).toBe(lost.pgno);
    const hex = (bytes: Uint8Array | undefined): string => Buffer.from(bytes ?? []).toString('hex');
    expect(hex(range?.lower) <= keyOf(lost.nodes[0] ?? '')).toBe(true);
    expect(hex(range?.upper) > keyOf(lost.nodes.at(-1) ?? '')).toBe(true);
    expect(Math.abs((range?.estimate ?? 0) - lost.nodes.length)).toBeLessThanOrEqual(lost.nodes.length / 4);
  });

  test('two wrong bits in one record of a leaf cost that record at most', async () => {
    const database = sample(pageSize);
    const { tree, leaves, all } = prepared(pageSize).people;
    const { pgno, nodes: own } = leafAt(leaves, 1);
    const page = database.page(pgno);
    const node = createNodeView();
    page.readNode(3, node);
    // The column of the key: what is stored under the key no longer has it.
    page.bytes[node.dataOffset + 4] = (page.bytes[node.dataOffset + 4] ?? 0) ^ 0x81;
    const { nodes, counts } = await salvage(database, tree);
    expect(nodes).toEqual(all.filter((one) => one !== own[3]));
    expect(counts.dropped).toMatchObject([{ pgno, line: 3, why: 'record' }]);
  });

  test('the image of another page counts only where that page is lost', async () => {
    const database = sample(pageSize);
    const { tree, leaves, all } = prepared(pageSize).people;
    const [a, b] = [leafAt(leaves, 1).pgno, leafAt(leaves, 3).pgno];
    pageBytes(database, a).set(pageBytes(database, b));
    const misplaced = await salvage(database, tree);
    expect(misplaced.nodes).toEqual(nodesOn(leaves, (pgno) => pgno !== a));
    expect(misplaced.counts.lost.map(({ pgno }) => pgno)).toEqual([a]);
    expect(takeCensus(misplaced.source).bad).toBe(1);

    const swapped = sample(pageSize);
    swapBytes(swapped.bytes, pageBytes(swapped, a).byteOffset, pageBytes(swapped, b).byteOffset, pageSize);
    expect((await salvage(swapped, tree)).nodes).toEqual(all);
  });

  test('exchanged tags are put in order', async () => {
    const database = sample(pageSize);
    const { tree, leaves, all } = prepared(pageSize).people;
    database.edit(leafAt(leaves, 2).pgno, (page) => {
      swapBytes(page.bytes, tagAt(page, 1), tagAt(page, 4), 4);
    });
    const { nodes, counts } = await salvage(database, tree);
    expect(nodes).toEqual(all);
    expect(counts.dropped).toEqual([]);
  });

  test('of two nodes with one key on a page one is kept, the other is listed', async () => {
    const database = sample(pageSize);
    const { tree, leaves, all } = prepared(pageSize).people;
    const { pgno } = leafAt(leaves, 2);
    const node = createNodeView();
    database.edit(pgno, (page) => {
      page.readNode(1, node);
      const [key, data] = [page.key(node), page.data(node).slice()];
      page.deleteNode(0);
      page.insertKeyed(1, 0, key, data);
    });
    const first = leafAt(leaves, 2).nodes[0];
    const { nodes, counts } = await salvage(database, tree);
    expect(nodes).toEqual(all.filter((one) => one !== first));
    expect(counts.dropped).toMatchObject([{ pgno, why: 'duplicate' }]);
  });

  test('a record that cannot be read is dropped and listed with its bytes', async () => {
    const database = sample(pageSize);
    const { tree, leaves, all } = prepared(pageSize).people;
    const { pgno, nodes: own } = leafAt(leaves, 2);
    const node = createNodeView();
    database.edit(pgno, (page) => {
      page.readNode(2, node);
      page.view.setUint16(node.dataOffset + 2, 0x7fff, true);
    });
    const { nodes, counts } = await salvage(database, tree);
    expect(nodes).toEqual(all.filter((one) => one !== own[2]));
    expect(counts.dropped).toMatchObject([{ pgno, line: 2, why: 'record' }]);
    const [dropped] = counts.dropped;
    expect(Buffer.from(dropped?.key ?? []).toString('hex')).toBe(keyOf(own[2] ?? ''));
    expect(dropped?.data.length).toBe(node.dataLength);
  });

  test.each(['sibling links', 'objid', 'separator too high', 'separator too low', 'loop'])(
    'a wrong field costs nothing: %s',
    async (what) => {
      const database = sample(pageSize);
      const { tree, leaves, internal, all } = prepared(pageSize).people;
      const parent = internal.find((pgno) => (database.page(pgno).flags & PAGE_FLAG.parentOfLeaf) !== 0) ?? 0;
      const leaf = leafAt(leaves, 1).pgno;
      const node = createNodeView();
      if (what === 'sibling links') {
        database.edit(leaf, (page) => {
          page.pgnoNext = leafAt(leaves, 0).pgno;
          page.pgnoPrev = 0;
        });
      } else if (what === 'objid') {
        database.edit(leaf, (page) => {
          page.objid = 4711;
        });
      } else if (what === 'loop') {
        database.edit(parent, (page) => {
          page.readNode(1, node);
          page.view.setUint32(node.dataOffset, parent, true);
        });
      } else {
        const last = leafAt(leaves, what === 'separator too high' ? 2 : 1);
        database.edit(parent, (page) => {
          page.readNode(1, node);
          const data = page.data(node).slice();
          page.deleteNode(1);
          page.insertKeyed(1, 0, Buffer.from(keyOf(last.nodes[1] ?? ''), 'hex'), data);
        });
      }
      const { nodes, counts } = await salvage(database, tree);
      expect(nodes).toEqual(all);
      expect(counts).toMatchObject({ unverified: 0, superseded: 0, dropped: [], lost: [] });
    },
  );

  test.each(['before', 'behind'])(
    'a separator that lies %s the only row of its leaf costs nothing',
    async (where) => {
      const database = sample(pageSize);
      const { tree, leaves, internal } = prepared(pageSize).people;
      const parent = internal.find((pgno) => (database.page(pgno).flags & PAGE_FLAG.parentOfLeaf) !== 0) ?? 0;
      const thin = [1, 2, 3].map((n) => leafAt(leaves, n));
      for (const { pgno } of thin) {
        database.edit(pgno, (page) => {
          while (page.nodeCount > 1) page.deleteNode(page.nodeCount - 1);
        });
      }
      const expected = leaves.flatMap((leaf) => (thin.includes(leaf) ? leaf.nodes.slice(0, 1) : leaf.nodes));
      const line = where === 'before' ? 2 : 1;
      // The least key that is not before, or the least that is behind the row.
      const key = `${keyOf(leafAt(leaves, 2).nodes[0] ?? '')}${where === 'before' ? '' : '00'}`;
      const node = createNodeView();
      database.edit(parent, (page) => {
        page.readNode(line, node);
        const data = page.data(node).slice();
        page.deleteNode(line);
        page.insertKeyed(line, 0, Buffer.from(key, 'hex'), data);
      });
      const { nodes, counts } = await salvage(database, tree);
      expect(nodes).toEqual(expected);
      expect(counts).toMatchObject({ unverified: 0, superseded: 0, dropped: [], lost: [], candidates: [] });
    },
  );

  test('an old leaf gives nothing where a wrong pointer leads to it', async () => {
    const database = sample(pageSize);
    const { tree, leaves, internal } = prepared(pageSize).people;
    const parent = internal.find((pgno) => (database.page(pgno).flags & PAGE_FLAG.parentOfLeaf) !== 0) ?? 0;
    const [before, old, behind] = [leafAt(leaves, 1), leafAt(leaves, 2), leafAt(leaves, 3)];
    const node = createNodeView();
    database.edit(parent, (page) => {
      page.readNode(0, node);
      page.view.setUint32(node.dataOffset, old.pgno, true);
      page.deleteNode(2);
    });
    database.edit(old.pgno, (page) => {
      page.dbtime = database.page(parent).dbtime - 1;
    });
    database.edit(before.pgno, (page) => {
      page.pgnoNext = behind.pgno;
    });
    database.edit(behind.pgno, (page) => {
      page.pgnoPrev = before.pgno;
    });
    const { nodes, counts } = await salvage(database, tree);
    expect(nodes).toEqual(nodesOn(leaves, (pgno) => pgno !== old.pgno));
    expect(counts).toMatchObject({ dropped: [], candidates: [old.pgno] });
  });

  test('a damaged page that is named as the root gives way to the sound one', async () => {
    const database = sample(pageSize);
    const tree = salvageTreeOf(database.table('NoKey'), pageSize);
    const [only] = leavesOf(database, tree);
    const wrong = database.lastPgno;
    pageBytes(database, wrong).fill(0x5a);
    const { nodes } = await salvage(database, { ...tree, pgnoFdp: wrong }, [tree]);
    expect(only?.pgno).toBe(tree.pgnoFdp);
    expect(nodes).toEqual(only?.nodes);
  });

  test('an old image of a leaf never outranks what newer pages hold', async () => {
    const database = sample(pageSize);
    const { tree, leaves, internal, all } = prepared(pageSize).people;
    const [a, b] = [leafAt(leaves, 1), leafAt(leaves, 2)];
    // The image from before its split: the rows of the next leaf, too, as far as there is room.
    const node = createNodeView();
    const other = database.page(b.pgno);
    database.edit(a.pgno, (page) => {
      page.dbtime = other.dbtime - 1;
      for (let line = 0; line < other.nodeCount; line++) {
        other.readNode(line, node);
        const [key, data] = [other.key(node), other.data(node).slice()];
        data[data.length - 1] = (data.at(-1) ?? 0) ^ 0xff;
        if (page.cbFree < key.length + data.length + 8) break;
        page.insertKeyed(page.nodeCount, 0, key, data);
      }
    });
    // One of them was deleted since.
    database.edit(b.pgno, (page) => page.deleteNode(1));
    const expected = all.filter((one) => one !== b.nodes[1]);
    expect((await salvage(database, tree)).nodes).toEqual(expected);
    for (const pgno of internal) pageBytes(database, pgno).fill(0);
    expect((await salvage(database, tree)).nodes).toEqual(expected);
  });

  test('where a leaf is lost, an old image of it elsewhere does not take its place', async () => {
    const database = sample(pageSize);
    const { table, tree, leaves } = prepared(pageSize).people;
    const lost = leafAt(leaves, 2).pgno;
    const index = table.indexes.find(({ name }) => name === 'byName');
    const elsewhere = database.pagesOf(index ?? tree).leaves.at(-1) ?? 0;
    database.edit(elsewhere, (page) => page.copyFrom(database.page(lost)));
    pageBytes(database, lost).fill(0);
    const { nodes, counts } = await salvage(database, tree);
    expect(nodes).toEqual(nodesOn(leaves, (pgno) => pgno !== lost));
    expect(counts.candidates).toEqual([elsewhere]);
  });

  test.each([true, false])(
    'a leaf that is free is not used, though its parent is lost, unless its neighbours know it (%s)',
    async (isLinked) => {
      const database = sample(pageSize);
      const { tree, leaves, internal, all } = prepared(pageSize).people;
      const [before, free, behind] = [leafAt(leaves, 1).pgno, leafAt(leaves, 2).pgno, leafAt(leaves, 3).pgno];
      database.edit(database.spaceRoot(tree.pgnoFdp, 'AE'), (page) => {
        page.insertKeyed(lineOfExtent(page, free), 0, encodeExtentKey(free), encodeExtentData(1));
      });
      // Used wins where the tree still says so.
      expect((await salvage(database, tree)).counts.candidates).toEqual([]);
      if (!isLinked) {
        database.edit(before, (page) => {
          page.pgnoNext = behind;
        });
        database.edit(behind, (page) => {
          page.pgnoPrev = before;
        });
      }
      for (const pgno of internal) if (pgno !== tree.pgnoFdp) pageBytes(database, pgno).fill(0);
      // The space tree is named by the root, which therefore stays: it leads nowhere.
      database.edit(tree.pgnoFdp, (page) => {
        const node = createNodeView();
        for (let line = 0; line < page.nodeCount; line++) {
          page.readNode(line, node);
          page.view.setUint32(node.dataOffset, tree.pgnoFdp, true);
        }
      });
      const { nodes, counts } = await salvage(database, tree);
      expect(nodes).toEqual(isLinked ? all : nodesOn(leaves, (pgno) => pgno !== free));
      expect(counts.candidates).toEqual(isLinked ? [] : [free]);
    },
  );

  test('a leaf without its first sector gives all rows that do not lie in it, their keys computed anew', async () => {
    const database = sample(pageSize);
    const { tree, leaves, all } = prepared(pageSize).people;
    const { pgno, nodes: own } = leafAt(leaves, 1);
    const page = database.page(pgno);
    expect(page.tagOffset(0)).toBeLessThan(512);
    const lost = new Set(
      own.filter((_, line) => page.tagOffset(line + page.reservedTags) < 512).map((node) => keyOf(node)),
    );
    expect(lost.size).toBeGreaterThan(0);
    pageBytes(database, pgno).fill(0, 0, 512);
    const { nodes, counts } = await salvage(database, tree);
    expect(nodes).toEqual(all.filter((node) => !lost.has(keyOf(node))));
    expect(counts.unverified).toBe(own.length - lost.size);
  });

  test('a tag that leads nowhere costs its row', async () => {
    const database = sample(pageSize);
    const { tree, leaves, all } = prepared(pageSize).people;
    const { pgno, nodes: own } = leafAt(leaves, 1);
    database.edit(pgno, (page) => page.view.setUint16(tagAt(page, 2), pageSize - 1, true));
    const { nodes, trusts, counts } = await salvage(database, tree);
    expect(nodes).toEqual(all.filter((node) => node !== own[2]));
    expect(new Set(trusts)).toEqual(new Set([TRUST.intact]));
    expect(counts.lost).toMatchObject([{ pgno, estimate: 1 }]);
  });

  test('a pointer to a neighbour costs nothing', async () => {
    const database = sample(pageSize);
    const { tree, leaves, internal, all } = prepared(pageSize).people;
    const parent = internal.find((pgno) => (database.page(pgno).flags & PAGE_FLAG.parentOfLeaf) !== 0) ?? 0;
    const node = createNodeView();
    database.edit(parent, (page) => {
      page.readNode(1, node);
      page.view.setUint32(node.dataOffset, leafAt(leaves, 3).pgno, true);
    });
    const { nodes, counts } = await salvage(database, tree);
    expect(nodes).toEqual(all);
    expect(counts).toMatchObject({ superseded: 0, dropped: [], lost: [] });
  });

  test('a leaf that fills a gap gives nothing outside of it', async () => {
    const database = sample(pageSize);
    const { tree, leaves, internal, all } = prepared(pageSize).people;
    const parent = internal.find((pgno) => (database.page(pgno).flags & PAGE_FLAG.parentOfLeaf) !== 0) ?? 0;
    const node = createNodeView();
    const [before, filler] = [leafAt(leaves, 1), leafAt(leaves, 2)];
    // The last row of the leaf before was deleted there; an old image of it is on the leaf behind.
    const source = database.page(before.pgno);
    source.readNode(source.nodeCount - 1, node);
    const [key, data] = [source.key(node), source.data(node).slice()];
    database.edit(before.pgno, (page) => page.deleteNode(page.nodeCount - 1));
    database.edit(filler.pgno, (page) => {
      page.deleteNode(page.nodeCount - 1);
      page.insertKeyed(0, 0, key, data);
    });
    database.edit(parent, (page) => {
      page.readNode(2, node);
      page.view.setUint32(node.dataOffset, parent, true);
    });
    const { nodes, counts } = await salvage(database, tree);
    const gone = [before.nodes.at(-1), filler.nodes.at(-1)];
    expect(nodes).toEqual(all.filter((one) => !gone.includes(one)));
    expect(counts.superseded).toBe(1);
  });

  test('a damaged leaf gives nothing outside of its bounds', async () => {
    const database = sample(pageSize);
    const { tree, leaves, all } = prepared(pageSize).people;
    const [here, there] = [leafAt(leaves, 1), leafAt(leaves, 3)];
    const node = createNodeView();
    const source = database.page(there.pgno);
    source.readNode(1, node);
    const [key, data] = [source.key(node), source.data(node).slice()];
    database.edit(there.pgno, (page) => page.deleteNode(1));
    database.edit(here.pgno, (page) => {
      page.deleteNode(page.nodeCount - 1);
      page.insertKeyed(page.nodeCount, 0, key, data);
    });
    // Bits of the links: the checksum is wrong, and the nodes are right.
    for (const bit of [8 * 16, 8 * 16 + 1, 8 * 16 + 3]) flipBit(database, here.pgno, bit);
    if (pageSize > 8192) {
      for (let quarter = 1; quarter < 4; quarter++) {
        for (const bit of [0, 9, 19]) flipBit(database, here.pgno, 8 * 40 + 64 * (quarter - 1) + bit);
      }
    }
    const { nodes, counts } = await salvage(database, tree);
    const gone = [here.nodes.at(-1), there.nodes[1]];
    expect(nodes).toEqual(all.filter((one) => !gone.includes(one)));
    expect(counts.dropped).toMatchObject([{ pgno: here.pgno, why: 'bounds' }]);
  });

  test('a leaf that no parent knows counts where it is newer, and not where it is older', async () => {
    for (const isNewer of [true, false]) {
      const database = sample(pageSize);
      const { tree, leaves, internal, all } = prepared(pageSize).people;
      const gone = leafAt(leaves, 2);
      const parent = internal.find((pgno) => (database.page(pgno).flags & PAGE_FLAG.parentOfLeaf) !== 0) ?? 0;
      database.edit(parent, (page) => page.deleteNode(2));
      database.edit(gone.pgno, (page) => {
        page.dbtime = database.page(parent).dbtime + (isNewer ? 1 : -1);
      });
      const { nodes, counts } = await salvage(database, tree);
      expect(nodes).toEqual(isNewer ? all : nodesOn(leaves, (pgno) => pgno !== gone.pgno));
      expect(counts.candidates).toEqual(isNewer ? [] : [gone.pgno]);
    }
  });
});

describe.each(LARGE_PAGES)('salvage within a damaged page of %i bytes', (pageSize) => {
  test('nodes of the quarters whose checksums are right are proven', async () => {
    const database = sample(pageSize);
    const { tree, leaves, all } = prepared(pageSize).people;
    const { pgno } = leafAt(leaves, 1);
    const page = database.page(pgno);
    const quarter = pageSize / 4;
    // Not where the prefix of all keys lies.
    const start = page.tagOffset(0) < quarter || page.tagOffset(0) >= 2 * quarter ? quarter : 2 * quarter;
    const touched = new Set<string>();
    const inQuarter = new Set<string>();
    const node = createNodeView();
    for (let line = 0; line < page.nodeCount; line++) {
      page.readNode(line, node);
      const itag = line + page.reservedTags;
      const [from, to] = [page.tagOffset(itag), page.tagOffset(itag) + page.tagSize(itag)];
      const key = Buffer.from(page.key(node)).toString('hex');
      if (from < start + 164 && to > start + 100) touched.add(key);
      if (from < start + quarter && to > start) inQuarter.add(key);
    }
    expect(touched.size).toBeGreaterThan(0);
    randomFill(seededRandom(pageSize), page.bytes.subarray(start + 100, start + 164));
    const { nodes, trusts } = await salvage(database, tree);
    const found = new Set(nodes);
    expect(all.filter((one) => !found.has(one) && !touched.has(keyOf(one)))).toEqual([]);
    const unproven = nodes.filter((_, i) => trusts[i] === TRUST.unverified).map(keyOf);
    expect(unproven.filter((key) => !inQuarter.has(key))).toEqual([]);
    const proven = nodes.filter((_, i) => trusts[i] === TRUST.quarter);
    expect(proven.length).toBeGreaterThan(0);
    expect(proven.filter((one) => !all.includes(one))).toEqual([]);
  });
});

test('rows that were deleted stay deleted when all parents are lost', async () => {
  const database = damagedFile(sampleDatabase({ pageSize: 4096, rows: ROWS, keepEvery: 3 }), SAMPLE);
  const { tree, internal, all } = peopleOf(database);
  expect(all.length).toBeLessThan(ROWS / 2);
  for (const pgno of internal) {
    if (pgno !== tree.pgnoFdp) pageBytes(database, pgno).fill(0);
  }
  const { nodes } = await salvage(database, tree);
  expect(nodes).toEqual(all);
});
