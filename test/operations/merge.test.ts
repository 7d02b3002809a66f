import { describe, expect, it } from 'vitest';
import type { LogRecord } from '../../src/format/log-record.js';
import type { LogRecordFields } from '../../src/format/log-record-encoder.js';
import { NODE_FLAG, PAGE_FLAG, type Page } from '../../src/format/page.js';
import { applyMacro } from '../../src/operations/apply.js';
import {
  bytes,
  clonePage,
  contentsOf,
  createLab,
  errorOf,
  externalOf,
  type Lab,
  NODE_PREFIX,
  nodesOf,
  OBJID,
  PAGE_PREFIX,
  PGNO_FDP,
  pointer,
  pointersOf,
} from '../support/page-lab.js';

const NONE = new Uint8Array(0);
const NIL = -1;
const DEAD = NODE_FLAG.deleted;

type MergeFields = LogRecordFields<'Merge2'>;

const MERGE: MergeFields = {
  ...PAGE_PREFIX,
  pgno: 0,
  pgnoRight: 0,
  dbtimeRightBefore: NIL,
  pgnoLeft: 0,
  dbtimeLeftBefore: NIL,
  pgnoParent: 0,
  dbtimeParentBefore: NIL,
  pgnoFDP: PGNO_FDP,
  objidFDP: OBJID,
  cbSizeTotal: 0,
  cbSizeMaxTotal: 0,
  cbUncFreeDest: 0,
  ilineMerge: 0,
  mergeFlags: 0,
  mergetype: 0,
  preimageFlags: 0,
  keyParentSep: NONE,
  preimage: NONE,
};

/** Root 10 over leaves 20, 21, 22. */
function threeLeaves(lab: Lab): void {
  lab.put(10, {
    flags: PAGE_FLAG.root | PAGE_FLAG.parentOfLeaf,
    external: '0123456789abcdef',
    nodes: [
      { key: 'd', data: pointer(20) },
      { key: 'm', data: pointer(21) },
      { key: '', data: pointer(22) },
    ],
  });
  lab.put(20, { next: 21, nodes: [{ key: 'a', data: '1' }] });
  lab.put(21, {
    prev: 20,
    next: 22,
    external: 'keys-',
    nodes: [
      { key: 'keys-e', data: '2' },
      { key: 'keys-f', data: '3', flags: DEAD },
      { key: 'keys-g', data: '4', flags: NODE_FLAG.version },
    ],
  });
  lab.put(22, { prev: 21, external: 'keys', nodes: [{ key: 'z', data: '9' }] });
}

function imageOf(page: Page): Uint8Array {
  const image = clonePage(page);
  image.dbtime = 200;
  return image.bytes;
}

const onParent = (lab: Lab, changes: Partial<MergeFields>): LogRecord =>
  lab.record('Merge2', { ...MERGE, pgno: 10, iline: 1, ...changes });

const ofLeaf = (lab: Lab, changes: Partial<MergeFields>): LogRecord =>
  lab.record('Merge2', {
    ...MERGE,
    pgno: 21,
    pgnoLeft: 20,
    dbtimeLeftBefore: 100,
    pgnoRight: 22,
    dbtimeRightBefore: 100,
    pgnoParent: 10,
    dbtimeParentBefore: 100,
    ...changes,
  });

interface Case {
  readonly name: string;
  readonly macro: (lab: Lab) => LogRecord[];
  readonly expect: (lab: Lab) => void;
}

const CASES: Case[] = [
  {
    name: 'the page is empty (1)',
    macro: (lab) => [onParent(lab, { mergeFlags: 2 }), ofLeaf(lab, { mergetype: 1, mergeFlags: 4 })],
    expect: (lab) => {
      expect(nodesOf(lab.page(21))).toEqual([]);
      expect(externalOf(lab.page(21))).toBe('');
      expect(lab.page(21).flags & PAGE_FLAG.empty).not.toBe(0);
      expect([lab.page(21).pgnoPrev, lab.page(21).pgnoNext]).toEqual([20, 22]);
      expect([lab.page(20).pgnoNext, lab.page(22).pgnoPrev]).toEqual([22, 20]);
      expect(pointersOf(lab.page(10))).toEqual(['d>20', '>22']);
    },
  },
  {
    name: 'all nodes go to the right neighbour (2)',
    macro: (lab) => [
      onParent(lab, { mergeFlags: 2 }),
      ofLeaf(lab, { mergetype: 2, mergeFlags: 4, preimage: imageOf(lab.page(21)) }),
    ],
    expect: (lab) => {
      // The dead node is dropped, keys are encoded for the prefix of the neighbour.
      expect(nodesOf(lab.page(22))).toEqual(['keys-e=2', 'keys-g=4', 'z=9']);
      expect(lab.page(22).tagFlags(1) & NODE_FLAG.compressed).not.toBe(0);
      expect(lab.page(21).flags & PAGE_FLAG.empty).not.toBe(0);
      expect([lab.page(20).pgnoNext, lab.page(22).pgnoPrev]).toEqual([22, 20]);
      expect(pointersOf(lab.page(10))).toEqual(['d>20', '>22']);
    },
  },
  {
    name: 'the last nodes go to the right neighbour (3)',
    macro: (lab) => [
      onParent(lab, { mergeFlags: 1 }),
      ofLeaf(lab, {
        mergetype: 3,
        ilineMerge: 2,
        pgnoLeft: 0,
        dbtimeLeftBefore: NIL,
        keyParentSep: bytes('keys-g'),
        preimage: imageOf(lab.page(21)),
      }),
    ],
    expect: (lab) => {
      expect(nodesOf(lab.page(21))).toEqual(['keys-e=2', 'keys-f=3*']);
      expect(nodesOf(lab.page(22))).toEqual(['keys-g=4', 'z=9']);
      expect([lab.page(20).pgnoNext, lab.page(22).pgnoPrev, lab.page(20).dbtime]).toEqual([21, 21, 100]);
      expect(pointersOf(lab.page(10))).toEqual(['d>20', 'keys-g>21', '>22']);
    },
  },
  {
    name: 'all nodes go to the left neighbour (5)',
    macro: (lab) => [
      onParent(lab, { mergeFlags: 3 }),
      ofLeaf(lab, { mergetype: 5, mergeFlags: 4, ilineMerge: 2, preimage: imageOf(lab.page(21)) }),
    ],
    expect: (lab) => {
      expect(nodesOf(lab.page(20))).toEqual(['a=1', 'keys-e=2', 'keys-g=4']);
      expect(lab.page(21).flags & PAGE_FLAG.empty).not.toBe(0);
      expect([lab.page(20).pgnoNext, lab.page(22).pgnoPrev]).toEqual([22, 20]);
      // The range of the page belongs to the left neighbour now.
      expect(pointersOf(lab.page(10))).toEqual(['m>20', '>22']);
    },
  },
  {
    name: 'the first nodes go to the left neighbour (6)',
    macro: (lab) => [
      onParent(lab, { mergeFlags: 1 }),
      ofLeaf(lab, {
        mergetype: 6,
        ilineMerge: 1,
        pgnoRight: 0,
        dbtimeRightBefore: NIL,
        keyParentSep: bytes('keys-g'),
        preimage: imageOf(lab.page(21)),
      }),
    ],
    expect: (lab) => {
      expect(nodesOf(lab.page(20))).toEqual(['a=1', 'keys-e=2']);
      expect(nodesOf(lab.page(21))).toEqual(['keys-g=4']);
      expect([lab.page(20).pgnoNext, lab.page(22).pgnoPrev]).toEqual([21, 21]);
      expect(pointersOf(lab.page(10))).toEqual(['keys-g>20', 'm>21', '>22']);
    },
  },
  {
    name: 'the last page of the level is empty: the one before takes over its range',
    macro: (lab) => [
      onParent(lab, { iline: 2, mergeFlags: 2 }),
      ofLeaf(lab, {
        pgno: 22,
        pgnoLeft: 21,
        pgnoRight: 0,
        dbtimeRightBefore: NIL,
        mergetype: 1,
        mergeFlags: 4,
      }),
    ],
    expect: (lab) => {
      expect(pointersOf(lab.page(10))).toEqual(['d>20', '>21']);
      expect(lab.page(21).pgnoNext).toBe(0);
    },
  },
  {
    name: 'the page above is empty too',
    macro: (lab) => {
      lab.put(11, { flags: PAGE_FLAG.parentOfLeaf, nodes: [{ key: 'm', data: pointer(21) }] });
      lab.put(10, {
        flags: PAGE_FLAG.root,
        external: '0123456789abcdef',
        nodes: [
          { key: 'm', data: pointer(11) },
          { key: '', data: pointer(12) },
        ],
      });
      return [
        onParent(lab, { iline: 0, mergeFlags: 2 }),
        onParent(lab, { pgno: 11, iline: 0, mergeFlags: 6 }),
        ofLeaf(lab, { mergetype: 1, mergeFlags: 4, pgnoParent: 11 }),
      ];
    },
    expect: (lab) => {
      expect(pointersOf(lab.page(10))).toEqual(['>12']);
      expect(lab.page(11).flags & PAGE_FLAG.empty).not.toBe(0);
      expect(nodesOf(lab.page(11))).toEqual([]);
    },
  },
  {
    name: 'the last page below an internal one is empty: the range goes to the right, and the keys above follow',
    macro: (lab) => {
      twoLevels(lab);
      return [
        onParent(lab, { iline: 0, mergeFlags: 1 }),
        onParent(lab, { pgno: 11, iline: 1, mergeFlags: 2, pgnoParent: 10 }),
        ofLeaf(lab, { mergetype: 1, mergeFlags: 4, pgnoParent: 11, keyParentSep: bytes('d') }),
      ];
    },
    expect: (lab) => {
      expect(pointersOf(lab.page(10))).toEqual(['d>11', '>12']);
      expect(pointersOf(lab.page(11))).toEqual(['d>20']);
      expect(pointersOf(lab.page(12))).toEqual(['>22']);
      expect([lab.page(20).pgnoNext, lab.page(22).pgnoPrev]).toEqual([22, 20]);
    },
  },
  {
    name: 'the last page below an internal one gives its nodes to the page below the next (2)',
    macro: (lab) => {
      twoLevels(lab);
      return [
        onParent(lab, { iline: 0, mergeFlags: 1 }),
        onParent(lab, { pgno: 11, iline: 1, mergeFlags: 2, pgnoParent: 10 }),
        ofLeaf(lab, {
          mergetype: 2,
          mergeFlags: 4,
          pgnoParent: 11,
          keyParentSep: bytes('d'),
          preimage: imageOf(lab.page(21)),
        }),
      ];
    },
    expect: (lab) => {
      expect(nodesOf(lab.page(22))).toEqual(['keys-e=2', 'keys-g=4', 'z=9']);
      expect(pointersOf(lab.page(10))).toEqual(['d>11', '>12']);
      expect(pointersOf(lab.page(11))).toEqual(['d>20']);
    },
  },
  {
    name: 'the last page below an internal one gives its last nodes to the page below the next (3)',
    macro: (lab) => {
      twoLevels(lab);
      return [
        onParent(lab, { iline: 0, mergeFlags: 1 }),
        onParent(lab, { pgno: 11, iline: 1, mergeFlags: 1, pgnoParent: 10 }),
        ofLeaf(lab, {
          mergetype: 3,
          ilineMerge: 2,
          pgnoParent: 11,
          pgnoLeft: 0,
          dbtimeLeftBefore: NIL,
          keyParentSep: bytes('keys-g'),
          preimage: imageOf(lab.page(21)),
        }),
      ];
    },
    expect: (lab) => {
      expect(nodesOf(lab.page(21))).toEqual(['keys-e=2', 'keys-f=3*']);
      expect(nodesOf(lab.page(22))).toEqual(['keys-g=4', 'z=9']);
      expect(pointersOf(lab.page(10))).toEqual(['keys-g>11', '>12']);
      expect(pointersOf(lab.page(11))).toEqual(['d>20', 'keys-g>21']);
    },
  },
  {
    name: 'the only page below an internal one is empty, and that was the last below another',
    macro: (lab) => {
      lab.put(10, {
        flags: PAGE_FLAG.root,
        external: '0123456789abcdef',
        nodes: [
          { key: 'm', data: pointer(11) },
          { key: '', data: pointer(12) },
        ],
      });
      lab.put(11, {
        nodes: [
          { key: 'd', data: pointer(13) },
          { key: 'm', data: pointer(14) },
        ],
      });
      lab.put(14, { flags: PAGE_FLAG.parentOfLeaf, nodes: [{ key: 'm', data: pointer(21) }] });
      return [
        onParent(lab, { iline: 0, mergeFlags: 1 }),
        onParent(lab, { pgno: 11, iline: 1, mergeFlags: 2, pgnoParent: 10 }),
        onParent(lab, { pgno: 14, iline: 0, mergeFlags: 4, pgnoParent: 11 }),
        ofLeaf(lab, { mergetype: 1, mergeFlags: 4, pgnoParent: 14, keyParentSep: bytes('d') }),
      ];
    },
    expect: (lab) => {
      expect(pointersOf(lab.page(10))).toEqual(['d>11', '>12']);
      expect(pointersOf(lab.page(11))).toEqual(['d>13']);
      expect(lab.page(14).flags & PAGE_FLAG.empty).not.toBe(0);
    },
  },
];

/** Root 10 over 11 and 12; leaves 20 and 21 below 11, leaf 22 below 12. */
function twoLevels(lab: Lab): void {
  lab.put(10, {
    flags: PAGE_FLAG.root,
    external: '0123456789abcdef',
    nodes: [
      { key: 'm', data: pointer(11) },
      { key: '', data: pointer(12) },
    ],
  });
  lab.put(11, {
    flags: PAGE_FLAG.parentOfLeaf,
    nodes: [
      { key: 'd', data: pointer(20) },
      { key: 'm', data: pointer(21) },
    ],
  });
  lab.put(12, { flags: PAGE_FLAG.parentOfLeaf, nodes: [{ key: '', data: pointer(22) }] });
}

describe.each(CASES)('merge: $name', ({ macro, expect: check }) => {
  const start = (): Lab => {
    const lab = createLab();
    threeLeaves(lab);
    return lab;
  };

  it('gives the pages, the links and the parent', () => {
    const lab = start();
    applyMacro(macro(lab), lab.context);
    check(lab);
    for (const pgno of lab.dirty) expect(lab.page(pgno).dbtime).toBe(200);
  });

  it('gives the same whichever of its pages had been written before the crash', () => {
    const after = start();
    const records = macro(after);
    const before = new Map([...after.pages].map(([pgno, page]) => [pgno, clonePage(page)]));
    applyMacro(records, after.context);
    const touched = [...after.dirty];
    for (let subset = 0; subset < 1 << touched.length; subset++) {
      const lab = createLab();
      for (const [pgno, page] of before) lab.pages.set(pgno, clonePage(page));
      touched.forEach((pgno, i) => {
        if ((subset & (1 << i)) !== 0) lab.pages.set(pgno, clonePage(after.page(pgno)));
      });
      applyMacro(records, lab.context);
      expect([subset, contentsOf(lab)]).toEqual([subset, contentsOf(after)]);
    }
  });
});

describe('merges and their nodes', () => {
  it('a deleted node that an open transaction could bring back moves along', () => {
    const lab = createLab();
    threeLeaves(lab);
    lab.page(21).setNodeFlags(1, NODE_FLAG.deleted | NODE_FLAG.version | NODE_FLAG.compressed);
    const change = { ...NODE_PREFIX, pgno: 21 };
    lab.versions.add(change, {
      rceid: 77,
      operation: 3,
      key: bytes('keys-f'),
      bookmarkData: NONE,
      before: NONE,
    });
    const records = [
      onParent(lab, { mergeFlags: 2 }),
      ofLeaf(lab, { mergetype: 2, mergeFlags: 4, preimage: imageOf(lab.page(21)) }),
    ];
    applyMacro(records, lab.context);
    expect(nodesOf(lab.page(22))).toEqual(['keys-e=2', 'keys-f=3*', 'keys-g=4', 'z=9']);
  });

  it('contradictions are refused', () => {
    const start = (): Lab => {
      const lab = createLab();
      threeLeaves(lab);
      return lab;
    };
    const merge = (lab: Lab, parent: Partial<MergeFields>, leaf: Partial<MergeFields>): string =>
      errorOf(() => applyMacro([onParent(lab, parent), ofLeaf(lab, leaf)], lab.context));
    expect(merge(start(), { mergeFlags: 2, iline: 0 }, { mergetype: 1 })).toMatch('Inconsistent');
    expect(merge(start(), { mergeFlags: 2 }, { mergetype: 2, ilineMerge: 9, preimage: NONE })).toMatch(
      'Inconsistent',
    );
    expect(merge(start(), {}, { mergetype: 1, pgnoLeft: 21 })).toMatch('Inconsistent');
    const newer = start();
    newer.page(21).dbtime = 200;
    expect(merge(newer, { mergeFlags: 2 }, { mergetype: 2 })).toBe(
      'JET_errDatabaseBufferDependenciesCorrupted 21',
    );
    const other = start();
    const image = imageOf(other.page(22));
    expect(merge(other, { mergeFlags: 2 }, { mergetype: 2, preimage: image })).toBe(
      'JET_errRecoveryVerifyFailure 21',
    );
  });
});
