import { describe, expect, test } from 'vitest';
import { type Lid, longValueKey } from '../../src/format/long-value.js';
import { createNodeView, PAGE_FLAG, Page } from '../../src/format/page.js';
import { createFindingList } from '../../src/maintenance/integrity/finding.js';
import { copyNodeKey, createKeyBuffer } from '../../src/maintenance/integrity/key-buffer.js';
import {
  createLongValueChecker,
  dropRepeated,
  joinLongValues,
  type LongValueEnds,
} from '../../src/maintenance/integrity/long-value-check.js';
import type { CheckedTree } from '../../src/maintenance/integrity/plan.js';

const CHUNK = 100;
const TREE: CheckedTree = {
  rank: 0,
  kind: 'longValue',
  object: 't/<Long Values>',
  objid: 9,
  pgnoFdp: 9,
  tableNumber: 0,
  indexNumber: -1,
  parent: 0,
  roleFlags: PAGE_FLAG.longValue,
  isUnique: true,
};

interface Node {
  readonly key: Uint8Array;
  readonly data: Uint8Array;
}

const lid = (low: number): Lid => ({ high: 0, low });

function root(low: number, size: number, references = 1): Node {
  const data = new Uint8Array(8);
  new DataView(data.buffer).setUint32(0, references, true);
  new DataView(data.buffer).setUint32(4, size, true);
  return { key: longValueKey(lid(low)), data };
}

/** A chunk whose bytes are no compressed form. */
const chunk = (low: number, offset: number, length: number): Node => ({
  key: longValueKey(lid(low), offset),
  data: new Uint8Array(length).fill(0xff),
});

/** A chunk of 80 characters, packed into 71 bytes. */
const packedChunk = (low: number, offset: number): Node => ({
  key: longValueKey(lid(low), offset),
  data: Uint8Array.of(0x0f, ...new Uint8Array(70).fill(0xff)),
});

/** Findings about nodes that several threads read, each a piece that ends at one of `cuts`. */
function check(nodes: readonly Node[], cuts: readonly number[] = []): string[] {
  const list = createFindingList(100);
  const ends: LongValueEnds[] = [];
  const view = createNodeView();
  const key = createKeyBuffer();
  [...cuts, nodes.length].forEach((end, unit) => {
    list.unit = unit;
    const checker = createLongValueChecker(TREE, CHUNK, list, () => {});
    for (let line = cuts[unit - 1] ?? 0; line < end; line++) {
      const { key: nodeKey, data } = nodes[line] ?? root(0, 0);
      const page = new Page(new Uint8Array(4096), 100 + line);
      page.initialize(PAGE_FLAG.leaf | PAGE_FLAG.longValue, 9, 1);
      page.insertNode(0, 0, 0, nodeKey, data);
      page.readNode(0, view);
      copyNodeKey(page, view, key);
      checker.node(page, line, view, key);
    }
    ends.push({ tree: 0, unit, ...checker.takeEnds() });
  });
  joinLongValues(ends, TREE, CHUNK, list);
  dropRepeated(list);
  return list.findings.map(({ finding }) => `${finding.code} ${finding.node}`).sort();
}

const CASES: readonly [string, Node[], string[]][] = [
  ['one chunk', [root(1, 50), chunk(1, 0, 50)], []],
  ['a last chunk that is full', [root(1, 200), chunk(1, 0, 100), chunk(1, 100, 100)], []],
  ['three chunks', [root(1, 250), chunk(1, 0, 100), chunk(1, 100, 100), chunk(1, 200, 50)], []],
  ['no bytes', [root(1, 0), root(2, 10), chunk(2, 0, 10)], []],
  ['a compressed chunk', [root(1, 180), chunk(1, 0, 100), packedChunk(1, 100)], []],
  [
    'a compressed chunk of another length',
    [root(1, 190), chunk(1, 0, 100), packedChunk(1, 100)],
    ['LV_LENGTH 2'],
  ],
  ['a missing first chunk', [root(1, 200), chunk(1, 100, 100)], ['LV_HOLE 1']],
  ['a missing middle chunk', [root(1, 250), chunk(1, 0, 100), chunk(1, 200, 50)], ['LV_HOLE 2']],
  ['a missing last chunk', [root(1, 250), chunk(1, 0, 100), chunk(1, 100, 100)], ['LV_HOLE 0']],
  ['no chunk at all', [root(1, 250), root(2, 10), chunk(2, 0, 10)], ['LV_HOLE 0']],
  ['a chunk behind the end', [root(1, 100), chunk(1, 0, 100), chunk(1, 100, 100)], ['LV_LENGTH 2']],
  [
    'a middle chunk that is short',
    [root(1, 250), chunk(1, 0, 90), chunk(1, 100, 100), chunk(1, 200, 50)],
    ['LV_LENGTH 1'],
  ],
  ['a chunk that is too long', [root(1, 50), chunk(1, 0, 60)], ['LV_LENGTH 1']],
  ['a size too small', [root(1, 40), chunk(1, 0, 50)], ['LV_LENGTH 1']],
  ['a size too large', [root(1, 90), chunk(1, 0, 50)], ['LV_LENGTH 1']],
  [
    'no root',
    [root(1, 10), chunk(1, 0, 10), chunk(2, 0, 100), chunk(2, 100, 9), root(3, 0)],
    ['LV_NO_ROOT 2'],
  ],
  ['an offset between the multiples', [root(1, 150), chunk(1, 0, 100), chunk(1, 130, 20)], ['LV_HOLE 2']],
  ['a value that waits for its deletion may have holes', [root(1, 250, 0), chunk(1, 200, 50)], []],
  ['and one that is being deleted', [root(1, 250, 0xffffffff), chunk(1, 200, 50)], []],
];

describe('long values', () => {
  test.each(CASES)('%s', (_what, nodes, expected) => {
    expect(check(nodes)).toEqual(expected);
  });

  test.each(CASES)('%s, read in pieces by several threads', (_what, nodes, expected) => {
    for (let first = 0; first <= nodes.length; first++) {
      for (let second = first; second <= nodes.length; second++) {
        expect([first, second, check(nodes, [first, second])]).toEqual([first, second, expected]);
      }
    }
  });

  test('a chunk that cannot be decompressed', () => {
    const broken = { key: longValueKey(lid(1), 0), data: Uint8Array.of(0x18, 90, 0, 1, 2, 3) };
    expect(check([root(1, 90), broken])).toEqual(['LV_DECOMPRESS 1']);
  });

  test('a chunk in a scheme that cannot be undone here is taken as it is', () => {
    const packed = { key: longValueKey(lid(1), 0), data: Uint8Array.of(0x28, 1, 2, 3, 4, 5, 6) };
    expect(check([root(1, 90), packed])).toEqual([]);
  });

  test('a key that no node of such a tree has', () => {
    expect(check([{ key: Uint8Array.of(1, 2, 3), data: Uint8Array.of(1) }])).toEqual(['NODE_BOUNDS 0']);
  });
});
