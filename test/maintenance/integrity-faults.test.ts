import { describe, expect, test } from 'vitest';
import { openDatabaseReader } from '../../src/engine/database-reader.js';
import { COLUMN_FLAG } from '../../src/format/column.js';
import { EseError } from '../../src/format/ese-error.js';
import { createNodeView, NODE_FLAG, PAGE_FLAG, type Page, pageOffset } from '../../src/format/page.js';
import { createRecordLayout, createRecordValues, locateColumns, STORED } from '../../src/format/record.js';
import { encodeExtentData, encodeExtentKey } from '../../src/format/space.js';
import { checkIntegrity } from '../../src/maintenance/integrity.js';
import { corpusPath, describeWithCorpus } from '../corpus.js';
import {
  DAMAGED,
  type DamagedDatabase,
  damagedBytes,
  damagedCopy,
  placed,
  troubles,
} from '../support/damaged-database.js';

/** A clean database of 30 trees, some with two and three levels, and unused pages of many kinds. */
const SRUM = ['recovery', 'srum-clean', 'SRUDB.dat'] as const;
/** Multi-values and 18 long values without secondary indexes. */
const MULTI = ['databases', 'multi.edb'] as const;
/** Single pages, 20 indexes. */
const INDEX = ['databases', 'index.edb'] as const;

const NO_INDEXES = { comparesIndexes: false };
const ID_MAP = 'SruDbIdMapTable';
const NETWORK = '{5C8CF1C7-7257-4F13-B223-970EF5939312}';

const copyOf = (path: readonly string[]): DamagedDatabase => damagedCopy(corpusPath(...path));

function u32(bytes: Uint8Array, at: number): number {
  return new DataView(bytes.buffer, bytes.byteOffset).getUint32(at, true);
}

function setU32(bytes: Uint8Array, at: number, value: number): void {
  new DataView(bytes.buffer, bytes.byteOffset).setUint32(at, value, true);
}

/** Key and data of a node, as bytes of their own. */
function nodeOf(page: Page, line: number): { key: Uint8Array; data: Uint8Array; flags: number } {
  const node = createNodeView();
  page.readNode(line, node);
  return { key: page.key(node), data: page.data(node).slice(), flags: node.flags };
}

/** Position of the two bytes with the length of a node's suffix. */
function suffixLengthAt(page: Page, line: number): number {
  const node = createNodeView();
  page.readNode(line, node);
  return node.suffixOffset - 2;
}

/** Changes bytes of the data of a node. */
function editData(page: Page, line: number, change: (data: Uint8Array) => void): void {
  const node = createNodeView();
  page.readNode(line, node);
  change(page.data(node));
}

/** Puts a node with this key and data in the place of another one. */
function replaceNode(page: Page, line: number, key: Uint8Array, data: Uint8Array, flags = 0): void {
  page.deleteNode(line);
  page.insertKeyed(line, flags, key, data);
}

/** Where the extent that ends at this page belongs in a leaf of a space tree. */
function lineFor(page: Page, last: number): number {
  const ends = Array.from({ length: page.nodeCount }, (_, line) =>
    new DataView(nodeOf(page, line).key.buffer).getUint32(0, false),
  );
  return ends.filter((end) => end < last).length;
}

/** An object that does one thing otherwise. */
function withMember<T extends object, K extends keyof T>(target: T, name: K, member: T[K]): T {
  return new Proxy(target, {
    get(object, asked) {
      if (asked === name) return member;
      const own: unknown = Reflect.get(object, asked);
      return typeof own === 'function' ? own.bind(object) : own;
    },
  });
}

/** A page that nobody uses. */
const FREE_PAGE = 100;

describeWithCorpus('a database with one fault', () => {
  /** Root, first internal page and leaves of a tree of several pages. */
  const tall = (copy: DamagedDatabase, name = ID_MAP) => {
    const table = copy.table(name);
    return { table, root: table.pgnoFdp, ...copy.pagesOf(table) };
  };

  describe('single pages', () => {
    test('one flipped bit is reported as correctable, and no error', async () => {
      const copy = copyOf(SRUM);
      const [leaf = 0] = tall(copy).leaves;
      const at = pageOffset(leaf, copy.pageSize) + 1000;
      copy.bytes[at] = (copy.bytes[at] ?? 0) ^ 0x10;
      const report = await copy.check();
      expect(troubles(report)).toEqual([`PAGE_ECC_FIXED ${leaf}`]);
      expect(report.findings.find(({ code }) => code === 'PAGE_ECC_FIXED')?.message).toContain(
        `bit ${1000 * 8 + 4} `,
      );
      expect(report.corrupt).toBe(false);
    });

    test('two flipped bits are a damaged page; what depends on it is not reported too', async () => {
      const copy = copyOf(SRUM);
      const [, leaf = 0] = tall(copy).leaves;
      const at = pageOffset(leaf, copy.pageSize) + 1000;
      copy.bytes[at] = (copy.bytes[at] ?? 0) ^ 0x11;
      expect(troubles(await copy.check())).toEqual([`PAGE_BAD_CHECKSUM ${leaf}`]);
    });

    test('a zeroed page', async () => {
      const copy = copyOf(SRUM);
      const [, leaf = 0] = tall(copy).leaves;
      copy.page(leaf).bytes.fill(0);
      expect(troubles(await copy.check())).toEqual([`PAGE_NOT_INITIALIZED ${leaf}`]);
    });

    test('another page of the file in the place of a leaf', async () => {
      const copy = copyOf(SRUM);
      const [first = 0, second = 0] = tall(copy).leaves;
      copy.page(second).bytes.set(copy.page(first).bytes);
      expect(troubles(await copy.check())).toEqual([`PAGE_WRONG_PGNO ${second}`]);
    });

    test('another tree (1)', async () => {
      const copy = copyOf(SRUM);
      const [, leaf = 0] = tall(copy).leaves;
      copy.edit(leaf, (page) => {
        page.objid = 4711;
      });
      expect(troubles(await copy.check())).toEqual([`PAGE_WRONG_OBJID ${leaf}`]);
    });

    test.each([
      ['another kind of tree', PAGE_FLAG.longValue],
      ['a space tree', PAGE_FLAG.spaceTree],
      ['being repaired', PAGE_FLAG.repair],
    ])('a leaf marked as %s (2)', async (_what, flag) => {
      const copy = copyOf(SRUM);
      const [, leaf = 0] = tall(copy).leaves;
      copy.edit(leaf, (page) => {
        page.flags |= flag;
      });
      expect(troubles(await copy.check())).toEqual([`PAGE_FLAGS ${leaf}`]);
    });

    test('an unused page in a tree (5)', async () => {
      const copy = copyOf(SRUM);
      const [, leaf = 0] = tall(copy).leaves;
      copy.edit(leaf, (page) => {
        page.flags |= PAGE_FLAG.empty;
      });
      expect(troubles(await copy.check())).toEqual([`PAGE_FLAGS ${leaf}`]);
    });

    test('a leaf without nodes (5)', async () => {
      const copy = copyOf(SRUM);
      const [, leaf = 0] = tall(copy).leaves;
      copy.edit(leaf, (page) => page.clear());
      expect(troubles(await copy.check(NO_INDEXES))).toEqual([`PAGE_FLAGS ${leaf}`]);
    });

    test('a page newer than the header (13)', async () => {
      const copy = copyOf(SRUM);
      const [, leaf = 0] = tall(copy).leaves;
      copy.edit(leaf, (page) => {
        page.dbtime = 2713;
      });
      expect(troubles(await copy.check())).toEqual([`PAGE_DBTIME ${leaf}`]);
    });

    test('is older than it may be in a dirty database, where the header cannot tell (13)', async () => {
      const copy = damagedCopy(corpusPath('recovery', 'srum-dirty', 'SRUDB.dat'));
      copy.editHeader({ dbtimeDirtied: 1 });
      expect(troubles(await copy.check())).toEqual([]);
    });

    test('free space that is wrongly summed', async () => {
      const copy = copyOf(SRUM);
      const [, leaf = 0] = tall(copy).leaves;
      copy.edit(leaf, (page) => page.view.setUint16(28, page.cbFree - 1, true));
      expect(troubles(await copy.check())).toEqual([`PAGE_TAGS ${leaf}`]);
    });

    test('a tag that reaches out of the page', async () => {
      const copy = copyOf(SRUM);
      const [, leaf = 0] = tall(copy).leaves;
      copy.edit(leaf, (page) => page.view.setUint16(copy.pageSize - 8, 0x1fff, true));
      expect(troubles(await copy.check())).toEqual([`PAGE_TAGS ${leaf}`]);
    });
  });

  describe('nodes', () => {
    test('a key longer than its node (6)', async () => {
      const copy = copyOf(SRUM);
      const [, leaf = 0] = tall(copy).leaves;
      copy.edit(leaf, (page) => page.view.setUint16(suffixLengthAt(page, 3), 0x1000, true));
      expect(troubles(await copy.check())).toEqual([`NODE_BOUNDS ${leaf} 3`]);
    });

    test('more of the prefix key than there is (6)', async () => {
      const copy = copyOf(SRUM);
      const [, leaf = 0] = tall(copy, NETWORK).leaves;
      copy.edit(leaf, (page) => page.view.setUint16(suffixLengthAt(page, 2) - 2, 0x0fff, true));
      expect(troubles(await copy.check())).toEqual([`NODE_PREFIX ${leaf} 2`]);
    });

    test('a prefix that saves nothing (6)', async () => {
      const copy = copyOf(SRUM);
      const [, leaf = 0] = tall(copy, NETWORK).leaves;
      copy.edit(leaf, (page) => {
        const { key, data } = nodeOf(page, 2);
        page.deleteNode(2);
        page.insertNode(2, 0, 2, key.subarray(2), data);
      });
      expect(troubles(await copy.check())).toEqual([`NODE_PREFIX ${leaf} 2`]);
    });

    test('a key beyond the limit of the page size (7)', async () => {
      const copy = copyOf(INDEX);
      const { leaves } = copy.pagesOf(copy.table('MSysObjids'));
      const leaf = leaves.at(-1) ?? 0;
      const line = copy.page(leaf).nodeCount;
      copy.edit(leaf, (page) =>
        page.insertKeyed(line, 0, new Uint8Array(1001).fill(0xff), nodeOf(page, 0).data),
      );
      expect(troubles(await copy.check(NO_INDEXES))).toContain(`NODE_BOUNDS ${leaf} ${line}`);
    });

    test('two nodes in the wrong order (8)', async () => {
      const copy = copyOf(SRUM);
      const [, leaf = 0] = tall(copy).leaves;
      copy.edit(leaf, (page) => {
        // Tags of lines 4 and 5, exchanged.
        const [a, b] = [copy.pageSize - 4 * 6, copy.pageSize - 4 * 7];
        const [first, second] = [u32(page.bytes, a), u32(page.bytes, b)];
        setU32(page.bytes, a, second);
        setU32(page.bytes, b, first);
      });
      expect(troubles(await copy.check())).toEqual([`NODE_ORDER ${leaf} 5`]);
    });

    test('two nodes of one key (8)', async () => {
      const copy = copyOf(SRUM);
      const [leaf = 0] = copy.pagesOf(copy.table('MSysObjids')).leaves;
      copy.edit(leaf, (page) => {
        const { key, data } = nodeOf(page, 3);
        page.insertKeyed(4, 0, key, data);
      });
      expect(troubles(await copy.check(NO_INDEXES))[0]).toBe(`NODE_DUP ${leaf} 4`);
    });

    test('in an index that is not unique, key and data decide (8)', async () => {
      const copy = copyOf(SRUM);
      const index = copy.table(NETWORK).indexes.find(({ name }) => name === 'UserIdTimeStamp');
      const [leaf = 0] = copy.pagesOf(index ?? { pgnoFdp: 0, objid: 0 }).leaves;
      copy.edit(leaf, (page) => {
        const { key, data } = nodeOf(page, 3);
        page.insertKeyed(4, 0, key, data);
      });
      expect(troubles(await copy.check(NO_INDEXES))).toEqual([`NODE_DUP ${leaf} 4`]);
    });
  });

  describe('trees', () => {
    test('a parent of leaves that is not marked (3)', async () => {
      const copy = copyOf(SRUM);
      const { root } = tall(copy);
      copy.edit(root, (page) => {
        page.flags &= ~PAGE_FLAG.parentOfLeaf;
      });
      expect(troubles(await copy.check())).toEqual([`TREE_DEPTH ${root}`]);
    });

    test('a page that is reached twice (4)', async () => {
      const copy = copyOf(SRUM);
      const { root, leaves } = tall(copy);
      copy.edit(root, (page) => editData(page, 2, (data) => setU32(data, 0, leaves[1] ?? 0)));
      expect(troubles(await copy.check())).toEqual([`PAGE_CYCLE ${leaves[1]}`]);
    });

    test('a tree that reaches its own root (4)', async () => {
      const copy = copyOf(SRUM);
      const { root } = tall(copy);
      copy.edit(root, (page) => editData(page, 2, (data) => setU32(data, 0, root)));
      expect(troubles(await copy.check())).toEqual([`PAGE_CYCLE ${root}`]);
    });

    test('an internal node that is marked as deleted (9)', async () => {
      const copy = copyOf(SRUM);
      const { root } = tall(copy);
      copy.edit(root, (page) => page.setNodeFlags(1, NODE_FLAG.deleted));
      expect(troubles(await copy.check())).toEqual([`NODE_BOUNDS ${root} 1`]);
    });

    test('an internal node that points out of the file (9)', async () => {
      const copy = copyOf(SRUM);
      const { root } = tall(copy);
      copy.edit(root, (page) => editData(page, 1, (data) => setU32(data, 0, 9999)));
      expect(troubles(await copy.check())).toEqual([`NODE_BOUNDS ${root} 1`]);
    });

    test('separators out of order (9)', async () => {
      const copy = copyOf(SRUM);
      const { root } = tall(copy);
      copy.edit(root, (page) => {
        const { key, data } = nodeOf(page, 1);
        replaceNode(page, 1, Uint8Array.of(...key, 0xff).fill(0xff), data);
      });
      const found = troubles(await copy.check());
      expect(found).toContain(`NODE_ORDER ${root} 2`);
    });

    test('an open end inside the tree (9)', async () => {
      const copy = copyOf(SRUM);
      const { root } = tall(copy);
      copy.edit(root, (page) => replaceNode(page, 1, new Uint8Array(0), nodeOf(page, 1).data));
      expect(troubles(await copy.check())).toEqual([`TREE_SEPARATOR ${root} 1`]);
    });

    test('a tree without its open end (9)', async () => {
      const copy = copyOf(SRUM);
      const { root } = tall(copy);
      const last = copy.page(root).nodeCount - 1;
      copy.edit(root, (page) => replaceNode(page, last, Uint8Array.of(0xff), nodeOf(page, last).data));
      expect(troubles(await copy.check())).toEqual([`TREE_SEPARATOR ${root} ${last}`]);
    });

    test('a separator behind the first key of the next leaf (10)', async () => {
      const copy = copyOf(SRUM);
      const { root, leaves } = tall(copy);
      const { key } = nodeOf(copy.page(leaves[2] ?? 0), 0);
      copy.edit(root, (page) => replaceNode(page, 1, Uint8Array.of(...key, 0), nodeOf(page, 1).data));
      expect(troubles(await copy.check())).toEqual([`TREE_SEPARATOR ${root} 2`]);
    });

    test('a separator before the last key of its leaf (10)', async () => {
      const copy = copyOf(SRUM);
      const { root, leaves } = tall(copy);
      const leaf = copy.page(leaves[1] ?? 0);
      const { key } = nodeOf(leaf, leaf.nodeCount - 1);
      copy.edit(root, (page) => replaceNode(page, 1, key, nodeOf(page, 1).data));
      expect(troubles(await copy.check())).toEqual([`TREE_SEPARATOR ${root} 1`]);
    });

    test.each([
      ['pgnoPrev', 1],
      ['pgnoNext', 1],
      ['pgnoNext', 0],
    ] as const)('a wrong %s (11)', async (link, position) => {
      const copy = copyOf(SRUM);
      const { leaves } = tall(copy);
      const pgno = leaves[position] ?? 0;
      copy.edit(pgno, (page) => {
        page[link] = FREE_PAGE;
      });
      expect(troubles(await copy.check())).toEqual([`TREE_LINKS ${pgno}`]);
    });

    test('a last leaf that links on (11)', async () => {
      const copy = copyOf(SRUM);
      const last = tall(copy).leaves.at(-1) ?? 0;
      copy.edit(last, (page) => {
        page.pgnoNext = last;
      });
      expect(troubles(await copy.check())).toEqual([`TREE_LINKS ${last}`]);
    });
  });

  describe('space', () => {
    test('a space header that says otherwise whether keys are unique (12)', async () => {
      const copy = copyOf(SRUM);
      const { root } = tall(copy);
      copy.edit(root, (page) => setU32(page.externalHeader, 8, u32(page.externalHeader, 8) | 2));
      expect(troubles(await copy.check())).toEqual([`SPACE_HEADER ${root}`]);
    });

    test('a space header of another parent (14)', async () => {
      const copy = copyOf(SRUM);
      const { root } = tall(copy);
      copy.edit(root, (page) => setU32(page.externalHeader, 4, 4));
      expect(troubles(await copy.check())).toEqual([`SPACE_HEADER ${root}`]);
    });

    test('a root without a space header (14)', async () => {
      const copy = copyOf(SRUM);
      const { root } = tall(copy);
      copy.edit(root, (page) => page.setExternalHeader(new Uint8Array(7)));
      expect(troubles(await copy.check())).toEqual([`SPACE_HEADER ${root}`]);
    });

    test('an OE root that is the root itself (15)', async () => {
      const copy = copyOf(SRUM);
      const { root } = tall(copy);
      copy.edit(root, (page) => setU32(page.externalHeader, 12, root));
      expect(troubles(await copy.check())).toEqual([`SPACE_HEADER ${root}`]);
    });

    test('an extent with data of the wrong size (16)', async () => {
      const copy = copyOf(SRUM);
      const oe = copy.spaceRoot(tall(copy).root, 'OE');
      copy.edit(oe, (page) => replaceNode(page, 0, nodeOf(page, 0).key, new Uint8Array(3)));
      expect(troubles(await copy.check())).toEqual([`NODE_BOUNDS ${oe} 0`]);
    });

    test('an available extent in a pool that does not exist (16)', async () => {
      const copy = copyOf(SRUM);
      const ae = copy.spaceRoot(1, 'AE');
      const line = copy.page(ae).nodeCount;
      copy.edit(ae, (page) => page.insertKeyed(line, 0, encodeExtentKey(174, 5), encodeExtentData(1)));
      expect(troubles(await copy.check())).toEqual([`NODE_BOUNDS ${ae} ${line}`]);
    });

    test('an available extent behind the end (16)', async () => {
      const copy = copyOf(SRUM);
      const ae = copy.spaceRoot(1, 'AE');
      const line = copy.page(ae).nodeCount;
      copy.edit(ae, (page) => page.insertKeyed(line, 0, encodeExtentKey(180), encodeExtentData(2)));
      expect(troubles(await copy.check())).toEqual([`SPACE_EOF ${ae} ${line}`]);
    });

    test('a page that two trees own (17)', async () => {
      const copy = copyOf(SRUM);
      const { root } = tall(copy);
      const other = copy.table(NETWORK);
      const oe = copy.spaceRoot(root, 'OE');
      const line = lineFor(copy.page(oe), other.pgnoFdp);
      copy.edit(oe, (page) => page.insertKeyed(line, 0, encodeExtentKey(other.pgnoFdp), encodeExtentData(1)));
      const report = await copy.check();
      expect(troubles(report).filter((trouble) => trouble.startsWith('SPACE'))).toEqual([
        `SPACE_OE_CONFLICT ${other.pgnoFdp}`,
      ]);
    });

    test('an index that owns what its table does not (18)', async () => {
      const copy = copyOf(SRUM);
      const { table, root } = tall(copy);
      const index = table.indexes.find(({ primary }) => !primary);
      const oe = copy.spaceRoot(index?.pgnoFdp ?? 0, 'OE');
      const line = copy.page(oe).nodeCount;
      copy.edit(oe, (page) => page.insertKeyed(line, 0, encodeExtentKey(174), encodeExtentData(1)));
      const found = troubles(await copy.check());
      expect(root).toBeGreaterThan(0);
      expect(found.filter((trouble) => trouble.startsWith('SPACE_OE'))).toEqual(['SPACE_OE_CONFLICT 174']);
    });

    test('pages in use that no longer belong to the tree (19)', async () => {
      const copy = copyOf(SRUM);
      const { root, leaves } = tall(copy);
      const oe = copy.spaceRoot(root, 'OE');
      const extents = [...Array(copy.page(oe).nodeCount).keys()].map((line) => {
        const { key, data } = nodeOf(copy.page(oe), line);
        const end = new DataView(key.buffer).getUint32(0, false);
        return { line, end, first: end - u32(data, 0) + 1 };
      });
      const holdsLeaf = (extent: { first: number; end: number }) =>
        leaves.some((pgno) => pgno >= extent.first && pgno <= extent.end);
      const { line, first, end } = extents.filter(holdsLeaf).at(-1) ?? { line: 0, first: 0, end: 0 };
      copy.edit(oe, (page) => page.deleteNode(line));
      const lost = leaves.filter((pgno) => pgno >= first && pgno <= end);
      const found = troubles(await copy.check());
      expect(lost.length).toBeGreaterThan(0);
      for (const pgno of lost) expect(found).toContain(`SPACE_OE_CONFLICT ${pgno}`);
      expect(found.every((trouble) => /^SPACE_(OE|AE)_CONFLICT/.test(trouble))).toBe(true);
    });

    test('a page that is in use and available (20)', async () => {
      const copy = copyOf(SRUM);
      const { root, leaves } = tall(copy);
      const ae = copy.spaceRoot(root, 'AE');
      const [, leaf = 0] = leaves;
      const line = lineFor(copy.page(ae), leaf);
      copy.edit(ae, (page) => page.insertKeyed(line, 0, encodeExtentKey(leaf), encodeExtentData(1)));
      expect(troubles(await copy.check())).toEqual([`SPACE_AE_CONFLICT ${leaf}`]);
    });

    test('a page that is in use and in reserve (20)', async () => {
      const copy = copyOf(SRUM);
      const { root, leaves } = tall(copy);
      const oe = copy.spaceRoot(root, 'OE');
      const [leaf = 0] = leaves;
      copy.edit(oe, (page) => {
        setU32(page.externalHeader, 0, leaf);
        setU32(page.externalHeader, 4, 1);
      });
      expect(troubles(await copy.check())).toEqual([`SPACE_SPLITBUF ${leaf}`]);
    });

    test('a reserve that cannot be (20)', async () => {
      const copy = copyOf(SRUM);
      const oe = copy.spaceRoot(tall(copy).root, 'OE');
      copy.edit(oe, (page) => setU32(page.externalHeader, 4, 7));
      expect(troubles(await copy.check())).toEqual([`SPACE_SPLITBUF ${oe}`]);
    });

    test('a blank page that nobody knows of is no more than a note (21)', async () => {
      const copy = copyOf(SRUM);
      const ae = copy.spaceRoot(1, 'AE');
      const last = copy.page(ae).nodeCount - 1;
      copy.edit(ae, (page) => editData(page, last, (data) => setU32(data, 0, u32(data, 0) - 1)));
      const report = await copy.check();
      expect(troubles(report)).toEqual([]);
      expect(report.findings.filter(({ code }) => code === 'SPACE_LEAK')).toHaveLength(2);
    });

    test('a page with rows of a living table that nobody knows of is a warning (21)', async () => {
      const copy = copyOf(SRUM);
      const ae = copy.spaceRoot(1, 'AE');
      const last = copy.page(ae).nodeCount - 1;
      const extent = nodeOf(copy.page(ae), last);
      const leaked = new DataView(extent.key.buffer).getUint32(0, false) - u32(extent.data, 0) + 1;
      const [leaf = 0] = tall(copy).leaves;
      copy.edit(leaked, (page) => page.copyFrom(copy.page(leaf)));
      copy.edit(ae, (page) => editData(page, last, (data) => setU32(data, 0, u32(data, 0) - 1)));
      expect(troubles(await copy.check())).toEqual([`SPACE_LEAK ${leaked}`]);
    });

    test('a file that ends before the space that it owns (22)', async () => {
      const copy = copyOf(SRUM);
      const { report } = await checkIntegrity({ fs: copy.disk((173 + 2) * 4096) }, DAMAGED);
      expect(troubles(report)[0]).toBe('SIZE_SHORT');
      expect(report.findings.find(({ code }) => code === 'SIZE_SHORT')?.message).toBe(
        'Database file is too small (expected 174 pages, file is 173 pages)',
      );
    });

    test('a file that ends within a page is not looked at further (22)', async () => {
      const copy = copyOf(SRUM);
      const { report } = await checkIntegrity({ fs: copy.disk(copy.bytes.length - 1000) }, DAMAGED);
      expect(troubles(report)).toEqual(['SIZE_NOT_MULTIPLE']);
      expect(report).toMatchObject({ complete: false, corrupt: true, tables: [] });
    });

    test('a file that is longer than its owned space is a warning (22)', async () => {
      const { findings, corrupt } = await copyOf(SRUM).check();
      expect(findings.at(-1)).toMatchObject({
        code: 'SIZE_LONG',
        severity: 'warning',
        message: 'Database file is too big (expected 174 pages, file is 190 pages)',
      });
      expect(corrupt).toBe(false);
    });

    test('shelved pages of another tree than the root (23)', async () => {
      const copy = copyOf(SRUM);
      const ae = copy.spaceRoot(tall(copy).root, 'AE');
      const line = copy.page(ae).nodeCount;
      copy.edit(ae, (page) => page.insertKeyed(line, 0, encodeExtentKey(180, 2), encodeExtentData(1)));
      expect(troubles(await copy.check())).toEqual([`SPACE_AE_CONFLICT ${ae} ${line}`]);
    });

    test('foreign bytes on a free page are nobody’s concern (24)', async () => {
      const copy = copyOf(SRUM);
      const ae = copy.spaceRoot(1, 'AE');
      const last = copy.page(ae).nodeCount - 1;
      const end = new DataView(nodeOf(copy.page(ae), last).key.buffer).getUint32(0, false);
      copy.page(end).bytes.fill(0xa5);
      const report = await copy.check();
      expect(troubles(report)).toEqual([]);
      expect(report.pages.bad).toBe(1);
    });
  });

  describe('records', () => {
    test('a variable column that ends behind its record (34)', async () => {
      const copy = copyOf(INDEX);
      const [place] = copy.nodesOf(copy.table('MSysLocales'));
      const { pgno = 0, line = 0 } = place ?? {};
      copy.edit(pgno, (page) =>
        editData(page, line, (data) => {
          const offsets = (data[2] ?? 0) + 256 * (data[3] ?? 0);
          data[offsets + 1] = 0x7f;
        }),
      );
      expect(troubles(await copy.check())).toEqual([`REC_STRUCT ${pgno} ${line}`]);
    });

    test.each([
      ['no known bits', 0x98],
      ['two values that are not several', 0x10],
      ['a type of long values for another one', 0x19],
      ['packed bytes of a type that has none', 0x1a],
      ['a long value apart, and several values', 0x1c],
    ])('a tagged value whose header says %s (34)', async (_what, header) => {
      const copy = copyOf(MULTI);
      const reader = openDatabaseReader(copy.disk(), DAMAGED);
      const [table] = reader.tables().filter(({ system }) => !system);
      reader.close();
      if (table === undefined) throw new Error('there is no table');
      const layout = createRecordLayout(table.columns, copy.pageSize);
      const values = createRecordValues(layout);
      const node = createNodeView();
      /** The place of a header byte of two values, from the start of the page. */
      const headerOf = ({ pgno, line }: { pgno: number; line: number }): number => {
        const page = copy.page(pgno);
        page.readNode(line, node);
        const end = node.dataOffset + node.dataLength;
        locateColumns(layout, page.bytes, node.dataOffset, end, values);
        const index = values.headers.findIndex(
          (byte, i) => values.stored[i] === STORED.tagged && byte === 0x18,
        );
        return index < 0 ? -1 : (values.starts[index] ?? 0) - 1;
      };
      const place = copy.nodesOf(table).find((one) => headerOf(one) >= 0) ?? { pgno: 0, line: 0 };
      const at = headerOf(place);
      copy.edit(place.pgno, (page) => {
        page.bytes[at] = header;
      });
      expect(troubles(await copy.check(NO_INDEXES))).toEqual([`REC_STRUCT ${place.pgno} ${place.line}`]);
    });

    test('a column that the catalog does not know (34)', async () => {
      const copy = copyOf(INDEX);
      const [place] = copy.nodesOf(copy.table('MSysLocales'));
      const { pgno = 0, line = 0 } = place ?? {};
      copy.edit(pgno, (page) =>
        editData(page, line, (data) => {
          // Column 3 of a table that has two fixed ones: the bitmap, of one byte, has room for it.
          data[0] = 3;
        }),
      );
      expect(troubles(await copy.check())).toEqual([`REC_STRUCT ${pgno} ${line}`]);
    });

    test('a key that is not that of its record (34)', async () => {
      const copy = copyOf(SRUM);
      const { table } = tall(copy);
      const place = copy.nodesOf(table)[40];
      const { pgno = 0, line = 0 } = place ?? {};
      const column = table.columns.find(
        ({ columnId }) => columnId === table.primaryIndex?.segments[0]?.columnId,
      );
      copy.edit(pgno, (page) =>
        editData(page, line, (data) => setU32(data, column?.fixedOffset ?? 0, 0x00abcdef)),
      );
      expect(troubles(await copy.check())).toEqual([`REC_KEY ${pgno} ${line}`]);
      expect((column?.flags ?? 0) & COLUMN_FLAG.autoIncrement).not.toBe(0);
    });
  });

  describe('indexes', () => {
    const indexOf = (copy: DamagedDatabase) => {
      const index = copy.table(NETWORK).indexes.find(({ name }) => name === 'UserIdTimeStamp');
      return index ?? { pgnoFdp: 0, objid: 0 };
    };

    test('an entry that is missing, named by its row (35)', async () => {
      const copy = copyOf(SRUM);
      const [, , , place] = copy.nodesOf(indexOf(copy));
      const { pgno = 0, line = 0 } = place ?? {};
      const { key, data } = nodeOf(copy.page(pgno), line);
      copy.edit(pgno, (page) => page.setNodeFlags(line, nodeOf(page, line).flags | NODE_FLAG.deleted));
      const report = await copy.check();
      const row = copy
        .nodesOf(copy.table(NETWORK))
        .find((at) => Buffer.compare(nodeOf(copy.page(at.pgno), at.line).key, data) === 0);
      expect(troubles(report)).toEqual([`IDX_MISSING ${row?.pgno} ${row?.line}`]);
      const hex = Buffer.from(key).toString('hex');
      expect(report.findings.find(({ code }) => code === 'IDX_MISSING')).toMatchObject({
        object: `${NETWORK}/UserIdTimeStamp`,
        keyRange: [hex, hex],
      });
    });

    test('an entry without a row (35)', async () => {
      const copy = copyOf(SRUM);
      const [, , , place] = copy.nodesOf(indexOf(copy));
      const { pgno = 0, line = 0 } = place ?? {};
      copy.edit(pgno, (page) => {
        const { key, data } = nodeOf(page, line);
        const bookmark = data.slice();
        bookmark[bookmark.length - 1] = (bookmark.at(-1) ?? 0) ^ 0x40;
        const isBehind = (bookmark.at(-1) ?? 0) > (data.at(-1) ?? 0);
        page.insertKeyed(isBehind ? line + 1 : line, 0, key, bookmark);
      });
      const found = troubles(await copy.check());
      expect(found).toHaveLength(1);
      expect(found[0]).toMatch(new RegExp(`^IDX_EXTRA ${pgno} (${line}|${line + 1})$`));
    });

    test('an entry that points to another row is missing here and extra there (35)', async () => {
      const copy = copyOf(SRUM);
      const [, , , place] = copy.nodesOf(indexOf(copy));
      const { pgno = 0, line = 0 } = place ?? {};
      copy.edit(pgno, (page) =>
        editData(page, line, (data) => {
          data[data.length - 1] = (data.at(-1) ?? 0) ^ 0x01;
        }),
      );
      const codes = troubles(await copy.check()).map((trouble) => trouble.split(' ')[0]);
      expect(codes.sort()).toEqual(['IDX_EXTRA', 'IDX_MISSING']);
    });

    test('an index with Unicode text: a missing entry is found all the same (35)', async () => {
      const copy = damagedCopy(corpusPath('databases', 'ual-clean.mdb'));
      const index = copy.table('CLIENTS').indexes.find(({ name }) => name.startsWith('Address_Username'));
      const [place] = copy.nodesOf(index ?? { pgnoFdp: 0, objid: 0 });
      const { pgno = 0, line = 0 } = place ?? {};
      copy.edit(pgno, (page) => page.setNodeFlags(line, nodeOf(page, line).flags | NODE_FLAG.deleted));
      const found = troubles(await copy.check());
      expect(found).toHaveLength(1);
      expect(found[0]).toMatch(/^IDX_MISSING/);
    });

    test('the name index of the catalog is compared too (31)', async () => {
      const copy = copyOf(SRUM);
      const index = copy.table('MSysObjects').indexes.find(({ name }) => name === 'RootObjects');
      const [, place] = copy.nodesOf(index ?? { pgnoFdp: 0, objid: 0 });
      const { pgno = 0, line = 0 } = place ?? {};
      copy.edit(pgno, (page) => page.setNodeFlags(line, nodeOf(page, line).flags | NODE_FLAG.deleted));
      const found = troubles(await copy.check());
      expect(found.map((trouble) => trouble.split(' ')[0])).toEqual(['IDX_MISSING']);
    });

    test('nothing is said of indexes when they are not to be compared', async () => {
      const copy = copyOf(SRUM);
      const [place] = copy.nodesOf(indexOf(copy));
      const { pgno = 0, line = 0 } = place ?? {};
      copy.edit(pgno, (page) => page.setNodeFlags(line, nodeOf(page, line).flags | NODE_FLAG.deleted));
      expect(troubles(await copy.check(NO_INDEXES))).toEqual([]);
    });
  });

  describe('long values', () => {
    const longValues = (copy: DamagedDatabase) =>
      copy.table('multi').longValueTree ?? { pgnoFdp: 0, objid: 0 };
    /** Places of the root nodes, and of the chunks behind them. */
    const parts = (copy: DamagedDatabase) => {
      const places = copy.nodesOf(longValues(copy));
      const keyBytes = ({ pgno, line }: { pgno: number; line: number }) =>
        nodeOf(copy.page(pgno), line).key.length;
      return {
        roots: places.filter((place) => keyBytes(place) === 4),
        chunks: places.filter((place) => keyBytes(place) === 8),
      };
    };
    const remove = (copy: DamagedDatabase, { pgno, line }: { pgno: number; line: number }): void =>
      copy.edit(pgno, (page) => page.setNodeFlags(line, nodeOf(page, line).flags | NODE_FLAG.deleted));

    test('a count that is too low (36)', async () => {
      const copy = copyOf(MULTI);
      const [place = { pgno: 0, line: 0 }] = parts(copy).roots;
      copy.edit(place.pgno, (page) => editData(page, place.line, (data) => setU32(data, 0, 0)));
      expect(troubles(await copy.check())).toEqual([`LV_REF_LOW ${place.pgno} ${place.line}`]);
    });

    test('a count that is too high is a warning (36)', async () => {
      const copy = copyOf(MULTI);
      const [place = { pgno: 0, line: 0 }] = parts(copy).roots;
      copy.edit(place.pgno, (page) => editData(page, place.line, (data) => setU32(data, 0, 3)));
      const report = await copy.check();
      expect(troubles(report)).toEqual([`LV_REF_HIGH ${place.pgno} ${place.line}`]);
      expect(report.corrupt).toBe(false);
    });

    test('values that no row refers to are orphans, and a warning (36)', async () => {
      const copy = copyOf(MULTI);
      const { roots } = parts(copy);
      for (const place of copy.nodesOf(copy.table('multi'))) remove(copy, place);
      const report = await copy.check();
      expect(troubles(report).sort()).toEqual(
        roots.map(({ pgno, line }) => `LV_ORPHAN ${pgno} ${line}`).sort(),
      );
      expect(report.corrupt).toBe(false);
    });

    test('a value without its root is missed by its row and by its chunks (36, 37)', async () => {
      const copy = copyOf(MULTI);
      const { roots, chunks } = parts(copy);
      const [root = { pgno: 0, line: 0 }] = roots;
      const [chunk = { pgno: 0, line: 0 }] = chunks;
      remove(copy, root);
      const report = await copy.check();
      const row = report.findings.find(({ code }) => code === 'REC_LID_MISSING');
      expect(troubles(report)).toEqual([
        `REC_LID_MISSING ${row?.pgno} ${row?.node}`,
        `LV_NO_ROOT ${chunk.pgno} ${chunk.line}`,
      ]);
      expect(row).toMatchObject({ object: 'multi', table: 'multi' });
    });

    test('a value that is being deleted must not be referred to (37)', async () => {
      const copy = copyOf(MULTI);
      const [place = { pgno: 0, line: 0 }] = parts(copy).roots;
      copy.edit(place.pgno, (page) => editData(page, place.line, (data) => setU32(data, 0, 0xffffffff)));
      expect(troubles(await copy.check())).toEqual([`LV_REF_LOW ${place.pgno} ${place.line}`]);
    });

    test('a value without its only chunk (37)', async () => {
      const copy = copyOf(MULTI);
      const { roots, chunks } = parts(copy);
      const [root = { pgno: 0, line: 0 }] = roots;
      const [chunk = { pgno: 0, line: 0 }] = chunks;
      remove(copy, chunk);
      expect(troubles(await copy.check())).toEqual([`LV_HOLE ${root.pgno} ${root.line}`]);
    });

    test('a size that the chunks do not give (37)', async () => {
      const copy = copyOf(MULTI);
      const [place = { pgno: 0, line: 0 }] = parts(copy).roots;
      copy.edit(place.pgno, (page) => editData(page, place.line, (data) => setU32(data, 4, 3)));
      const [found] = troubles(await copy.check());
      expect(found).toMatch(/^LV_LENGTH/);
    });

    test('a root of the wrong size (37)', async () => {
      const copy = copyOf(MULTI);
      const [place = { pgno: 0, line: 0 }] = parts(copy).roots;
      copy.edit(place.pgno, (page) =>
        page.replaceData(place.line, nodeOf(page, place.line).data.subarray(0, 7)),
      );
      const found = troubles(await copy.check());
      expect(found).toContain(`LV_LENGTH ${place.pgno} ${place.line}`);
    });

    test('a chunk between two multiples of the chunk size (37)', async () => {
      const copy = copyOf(MULTI);
      const [chunk = { pgno: 0, line: 0 }] = parts(copy).chunks;
      copy.edit(chunk.pgno, (page) => {
        const { key, data } = nodeOf(page, chunk.line);
        replaceNode(page, chunk.line, Uint8Array.of(...key.subarray(0, 4), 0, 0, 0, 9), data);
      });
      expect(troubles(await copy.check())[0]).toBe(`LV_HOLE ${chunk.pgno} ${chunk.line}`);
    });

    test('references in a table without long values (36)', async () => {
      const copy = copyOf(MULTI);
      // The catalog rows of the long-value tree, in both copies, are marked as deleted.
      for (const name of ['MSysObjects', 'MSysObjectsShadow']) {
        for (const place of copy.nodesOf(copy.table(name))) {
          const { data } = nodeOf(copy.page(place.pgno), place.line);
          if (u32(data, 4) === copy.table('multi').objid && data[8] === 4) remove(copy, place);
        }
      }
      const found = troubles(await copy.check(NO_INDEXES)).filter((trouble) => trouble.startsWith('REC'));
      expect(found).toHaveLength(18);
      expect(found[0]).toMatch(/^REC_LID_MISSING/);
    });
  });

  describe('catalog', () => {
    /** The live nodes of a catalog whose row describes this object. */
    const rowsOf = (copy: DamagedDatabase, name: string, objidTable: number, type: number, id: number) =>
      copy.nodesOf(copy.table(name)).filter(({ pgno, line }) => {
        const { data } = nodeOf(copy.page(pgno), line);
        return u32(data, 4) === objidTable && data[8] === type && u32(data, 10) === id;
      });
    const editRows = (
      copy: DamagedDatabase,
      row: readonly [number, number, number],
      change: (data: Uint8Array) => void,
      copies = ['MSysObjects', 'MSysObjectsShadow'],
    ) => {
      const places = copies.flatMap((name) => rowsOf(copy, name, ...row));
      for (const { pgno, line } of places) copy.edit(pgno, (page) => editData(page, line, change));
      return places;
    };

    test('a column of an unknown type (26)', async () => {
      const copy = copyOf(MULTI);
      const { objid } = copy.table('multi');
      const [place] = editRows(copy, [objid, 2, 256], (data) => setU32(data, 14, 77));
      expect(troubles(await copy.check(NO_INDEXES))[0]).toBe(`CAT_ENTRY ${place?.pgno} ${place?.line}`);
    });

    test('a number that was never handed out (27)', async () => {
      const copy = copyOf(MULTI);
      const { longValueTree } = copy.table('multi');
      const objid = longValueTree?.objid ?? 0;
      copy.editHeader({ objidLast: objid - 1 });
      expect(troubles(await copy.check())).toHaveLength(1);
      const [found] = (await copy.check()).findings;
      expect(found).toMatchObject({ code: 'CAT_ENTRY', object: 'LV' });
    });

    test('a root that another object has (27, 28)', async () => {
      const copy = copyOf(SRUM);
      const { table } = tall(copy);
      const index = table.indexes.find(({ primary }) => !primary);
      const other = copy.table(NETWORK);
      const [place] = editRows(copy, [table.objid, 3, index?.objid ?? 0], (data) =>
        setU32(data, 14, other.pgnoFdp),
      );
      const found = troubles(await copy.check());
      expect(found.filter((trouble) => trouble.startsWith('CAT_DUP_FDP'))).toHaveLength(1);
      expect(place).toBeDefined();
    });

    test('a root that is none (28)', async () => {
      const copy = copyOf(SRUM);
      const { table, leaves } = tall(copy);
      const index = table.indexes.find(({ primary }) => !primary);
      const leaf = leaves[3] ?? 0;
      editRows(copy, [table.objid, 3, index?.objid ?? 0], (data) => setU32(data, 14, leaf));
      expect(troubles(await copy.check())).toEqual([`CAT_ENTRY ${leaf}`]);
    });

    test('a root that is said to be elsewhere in one copy (28, 32)', async () => {
      const copy = copyOf(SRUM);
      const { table, leaves } = tall(copy);
      const index = table.indexes.find(({ primary }) => !primary);
      const leaf = leaves[3] ?? 0;
      const [place] = editRows(copy, [table.objid, 3, index?.objid ?? 0], (data) => setU32(data, 14, leaf), [
        'MSysObjects',
      ]);
      expect(troubles(await copy.check())).toEqual([
        `CAT_DIFFERENT ${place?.pgno} ${place?.line}`,
        `CAT_ENTRY ${leaf}`,
      ]);
    });

    test('an index whose segment names no column (30)', async () => {
      const copy = copyOf(SRUM);
      const { table } = tall(copy);
      const index = table.indexes.find(({ primary }) => !primary);
      const last = index?.segments.at(-1)?.columnId ?? 0;
      editRows(copy, [table.objid, 3, index?.objid ?? 0], (data) => {
        const at = Buffer.from(data).lastIndexOf(Uint8Array.of(0, 0, last & 0xff, last >> 8));
        data[at + 2] = 0x77;
        data[at + 3] = 0x77;
      });
      const codes = (await copy.check()).findings.filter(({ severity }) => severity === 'error');
      expect(codes.map(placed)).toEqual(['CAT_ENTRY']);
      expect(codes[0]?.message).toContain('column 30583 does not exist');
    });

    test('a unique flag that the tree does not have (12)', async () => {
      const copy = copyOf(SRUM);
      const { table } = tall(copy, NETWORK);
      const index = table.indexes.find(({ name }) => name === 'UserIdTimeStamp');
      editRows(copy, [table.objid, 3, index?.objid ?? 0], (data) => setU32(data, 22, u32(data, 22) | 1));
      expect(troubles(await copy.check())).toEqual([`CAT_ENTRY ${index?.pgnoFdp}`]);
    });

    test('a byte that only the shadow has (32)', async () => {
      const copy = copyOf(SRUM);
      const { table } = tall(copy);
      const row = [table.objid, 1, table.objid] as const;
      editRows(copy, row, (data) => setU32(data, 18, 77), ['MSysObjectsShadow']);
      const [place] = rowsOf(copy, 'MSysObjects', ...row);
      expect(troubles(await copy.check())).toEqual([`CAT_DIFFERENT ${place?.pgno} ${place?.line}`]);
    });

    test('a row that the shadow lacks, and one that it has too much (32)', async () => {
      const copy = copyOf(SRUM);
      const { table } = tall(copy);
      const [shadow] = rowsOf(copy, 'MSysObjectsShadow', table.objid, 2, 1);
      copy.edit(shadow?.pgno ?? 0, (page) =>
        page.setNodeFlags(shadow?.line ?? 0, nodeOf(page, shadow?.line ?? 0).flags | NODE_FLAG.deleted),
      );
      const [primary] = rowsOf(copy, 'MSysObjects', table.objid, 2, 1);
      const report = await copy.check();
      expect(troubles(report)).toEqual([`CAT_DIFFERENT ${primary?.pgno} ${primary?.line}`]);
      expect(report.catalogUsed).toBe('primary');
    });

    test('an object that MSysObjids lacks, and a sort order counted too low, are warnings (33)', async () => {
      const copy = copyOf(INDEX);
      const [place = { pgno: 0, line: 0 }] = copy.nodesOf(copy.table('MSysObjids')).slice(-1);
      copy.edit(place.pgno, (page) =>
        page.setNodeFlags(place.line, nodeOf(page, place.line).flags | NODE_FLAG.deleted),
      );
      for (const { pgno, line } of copy.nodesOf(copy.table('MSysLocales'))) {
        const { data } = nodeOf(copy.page(pgno), line);
        if (data[4] !== 2 || u32(data, 5) !== 2) continue;
        copy.edit(pgno, (page) => editData(page, line, (bytes) => setU32(bytes, 5, 1)));
      }
      const report = await copy.check();
      expect(report.corrupt).toBe(false);
      expect(report.findings.filter(({ severity }) => severity === 'warning')).toMatchObject([
        { code: 'CAT_DIFFERENT', object: 'MSysObjids' },
        { code: 'CAT_DIFFERENT', object: 'MSysLocales' },
      ]);
    });

    test('a damaged catalog: the shadow serves, and all tables are checked', async () => {
      const copy = copyOf(SRUM);
      const [, leaf = 0] = copy.pagesOf(copy.table('MSysObjects')).leaves;
      copy.page(leaf).bytes.fill(0x5a, 500, 600);
      const report = await copy.check();
      expect(report).toMatchObject({ catalogUsed: 'shadow', complete: true, corrupt: true });
      expect(troubles(report)).toEqual([`PAGE_BAD_CHECKSUM ${leaf}`, `CAT_PRIMARY_BAD ${leaf}`]);
      expect(report.tables).toHaveLength(11);
    });

    test('a damaged shadow alone stops nothing', async () => {
      const copy = copyOf(SRUM);
      const [, leaf = 0] = copy.pagesOf(copy.table('MSysObjectsShadow')).leaves;
      copy.page(leaf).bytes.fill(0x5a, 500, 600);
      const report = await copy.check();
      expect(report).toMatchObject({ catalogUsed: 'primary', complete: true, corrupt: true });
      expect(troubles(report)).toEqual([`PAGE_BAD_CHECKSUM ${leaf}`, `CAT_SHADOW_BAD ${leaf}`]);
    });

    test('both copies damaged: what is left is checked, and the report says that it is not all', async () => {
      const copy = copyOf(SRUM);
      for (const name of ['MSysObjects', 'MSysObjectsShadow']) {
        const leaf = copy.pagesOf(copy.table(name)).leaves.at(-1) ?? 0;
        copy.page(leaf).bytes.fill(0x5a, 500, 600);
      }
      const report = await copy.check();
      expect(report).toMatchObject({ complete: false, corrupt: true });
      expect(troubles(report).map((trouble) => trouble.split(' ')[0])).toEqual(
        expect.arrayContaining(['CAT_PRIMARY_BAD', 'CAT_SHADOW_BAD']),
      );
    });
  });

  describe('header', () => {
    test('the primary header is damaged: a warning, and the check goes on', async () => {
      const copy = copyOf(INDEX);
      copy.bytes[500] = 0x5a;
      const report = await copy.check();
      expect(troubles(report)).toEqual(['HDR_PRIMARY_BAD -1']);
      expect(report).toMatchObject({ corrupt: false, complete: true });
    });

    test('the shadow header is damaged: a warning', async () => {
      const copy = copyOf(INDEX);
      copy.bytes[4096 + 500] = 0x5a;
      expect(troubles(await copy.check())).toEqual(['HDR_SHADOW_BAD 0']);
    });

    test('both headers are damaged: an error, and nothing else', async () => {
      const copy = copyOf(INDEX);
      copy.bytes[500] = 0x5a;
      copy.bytes[4096 + 500] = 0x5a;
      const report = await copy.check();
      expect(troubles(report)).toEqual(['HDR_BOTH_BAD -1']);
      expect(report).toMatchObject({ complete: false, corrupt: true, catalogUsed: 'none' });
    });

    test('a database that was never finished', async () => {
      const copy = copyOf(INDEX);
      copy.editHeader({ state: 1 });
      expect(troubles(await copy.check())).toEqual(['HDR_STATE -1']);
    });

    test('a dirty database is checked like any other', async () => {
      const copy = copyOf(INDEX);
      copy.editHeader({ state: 2 });
      const report = await copy.check();
      expect(report).toMatchObject({ dirty: true, corrupt: false });
    });

    test('a file that is no database', async () => {
      const text = damagedBytes(new Uint8Array(10_000).fill(0x41));
      await expect(text.check()).rejects.toMatchObject({ name: 'JET_errDatabaseCorrupted' });
    });
  });

  test.each([
    ['a page of a tree', 34, ID_MAP],
    ['a page that nobody uses', 121, undefined],
  ])(
    'a disk that keeps back %s: an error of its own, and the rest is checked',
    async (_what, pgno, object) => {
      const copy = copyOf(SRUM);
      const fs = copy.disk();
      const at = pageOffset(pgno, copy.pageSize);
      const failing = withMember(fs, 'open', (path, mode) => {
        const file = fs.open(path, mode);
        return withMember(file, 'readAt', (into, offset) => {
          if (offset <= at && at < offset + into.length) throw new EseError('JET_errDiskIO', 'no');
          return file.readAt(into, offset);
        });
      });
      const { report, error } = await checkIntegrity({ fs: failing }, DAMAGED);
      expect(error?.name).toBe('JET_errDiskIO');
      expect(troubles(report)).toEqual([`PAGE_IO_ERROR ${pgno}`]);
      expect(report.findings.find(({ code }) => code === 'PAGE_IO_ERROR')?.object).toBe(object);
      expect(report.tables).toHaveLength(11);
    },
  );

  test('every finding says what it means, and where', async () => {
    const copy = copyOf(SRUM);
    const [, leaf = 0] = tall(copy).leaves;
    copy.page(leaf).bytes.fill(0);
    const report = await copy.check();
    for (const { consequence } of report.findings) expect(consequence).toMatch(/^\w.{8,}/);
    expect(report.findings.find(({ severity }) => severity === 'error')).toMatchObject({
      code: 'PAGE_NOT_INITIALIZED',
      pgno: leaf,
      objid: 8,
      object: ID_MAP,
      table: ID_MAP,
    });
    expect(report.tables.find(({ name }) => name === ID_MAP)).toMatchObject({ errors: 1, warnings: 0 });
    expect(report.errors).toBe(1);
  });

  test('more findings than wanted are counted, not listed', async () => {
    const copy = copyOf(SRUM);
    const { leaves } = tall(copy);
    for (const leaf of leaves) copy.page(leaf).bytes.fill(0);
    const report = await copy.check({ findingsMax: 3 });
    expect(report.findings).toHaveLength(3);
    expect(report).toMatchObject({ errors: leaves.length, findingsTruncated: true });
  });
});
