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

type SplitFields = LogRecordFields<'Split2'>;

const SPLIT: SplitFields = {
  ...PAGE_PREFIX,
  pgno: 0,
  pgnoNew: 0,
  pgnoRight: 0,
  dbtimeRightBefore: NIL,
  pgnoParent: 0,
  dbtimeParentBefore: NIL,
  pgnoFDP: PGNO_FDP,
  objidFDP: OBJID,
  splittype: 0,
  splitoper: 0,
  ilineOper: 0,
  ilineSplit: 0,
  clines: 0,
  fNewPageFlags: PAGE_FLAG.leaf | PAGE_FLAG.newRecord,
  fSplitPageFlags: PAGE_FLAG.leaf | PAGE_FLAG.newRecord,
  cbUncFreeSrc: 0,
  cbUncFreeDest: 0,
  ilinePrefixSplit: -1,
  ilinePrefixNew: -1,
  preimageFlags: 0,
  keyParent: NONE,
  prefixSplitOld: NONE,
  prefixSplitNew: NONE,
  preimage: NONE,
};

/** A macro of one split, as the log has it, and the pages before it. */
interface Case {
  readonly name: string;
  readonly pages: (lab: Lab) => void;
  /** Records from the root side down; images are taken from the pages before. */
  readonly macro: (lab: Lab) => LogRecord[];
  /** What the pages hold afterwards. */
  readonly expect: (lab: Lab) => void;
}

/** The image of a page, as the engine logs it: with the stamp of the record. */
function imageOf(page: Page, dbtime = 200): Uint8Array {
  const image = clonePage(page);
  image.dbtime = dbtime;
  return image.bytes;
}

function insert(lab: Lab, pgno: number, iline: number, key: string, data: string): LogRecord {
  return lab.record('Insert', {
    ...NODE_PREFIX,
    pgno,
    dbtimeBefore: NIL,
    iline,
    cbPrefix: 0,
    cbSuffix: key.length,
    key: bytes(key),
    data: bytes(data),
  });
}

const PARENT_FLAGS = PAGE_FLAG.root | PAGE_FLAG.parentOfLeaf;

/** Root 10 over leaves 20, 21. */
function twoLeaves(lab: Lab): void {
  lab.put(10, {
    flags: PARENT_FLAGS,
    external: '0123456789abcdef',
    nodes: [
      { key: 'm', data: pointer(20) },
      { key: '', data: pointer(21) },
    ],
  });
  lab.put(20, {
    external: 'key',
    next: 21,
    nodes: [
      { key: 'key-aa', data: '1' },
      { key: 'key-ab', data: '2', flags: NODE_FLAG.version },
      { key: 'key-ba', data: '3' },
      { key: 'key-bb', data: '4', flags: NODE_FLAG.deleted },
    ],
  });
  lab.put(21, { prev: 20, nodes: [{ key: 'z', data: '9' }] });
}

const parentRecord = (lab: Lab, ilineOper = 0): LogRecord =>
  lab.record('Split2', { ...SPLIT, pgno: 10, ilineOper, ilinePrefixSplit: 0, ilinePrefixNew: 0 });

const rightSplit = (lab: Lab, changes: Partial<SplitFields>): LogRecord =>
  lab.record('Split2', {
    ...SPLIT,
    pgno: 20,
    pgnoNew: 30,
    pgnoRight: 21,
    dbtimeRightBefore: 100,
    pgnoParent: 10,
    dbtimeParentBefore: 100,
    splittype: 1,
    splitoper: 1,
    keyParent: bytes('key-b'),
    prefixSplitOld: bytes('key'),
    preimage: imageOf(lab.page(20)),
    ...changes,
  });

const CASES: Case[] = [
  {
    name: 'right, the new node to the left page',
    pages: twoLeaves,
    macro: (lab) => [
      parentRecord(lab),
      rightSplit(lab, {
        ilineOper: 1,
        ilineSplit: 3,
        clines: 5,
        ilinePrefixSplit: 0,
        ilinePrefixNew: 0,
        prefixSplitNew: bytes('key-aa'),
      }),
      insert(lab, 20, 1, 'key-aaa', 'new'),
    ],
    expect: (lab) => {
      expect(nodesOf(lab.page(20))).toEqual(['key-aa=1', 'key-aaa=new', 'key-ab=2']);
      expect(nodesOf(lab.page(30))).toEqual(['key-ba=3', 'key-bb=4*']);
      expect([externalOf(lab.page(20)), externalOf(lab.page(30))]).toEqual(['key-aa', 'key-ba']);
      expect(pointersOf(lab.page(10))).toEqual(['key-b>20', 'm>30', '>21']);
      expect([
        lab.page(20).pgnoNext,
        lab.page(30).pgnoPrev,
        lab.page(30).pgnoNext,
        lab.page(21).pgnoPrev,
      ]).toEqual([30, 20, 21, 30]);
    },
  },
  {
    name: 'right, the new node to the right page',
    pages: twoLeaves,
    macro: (lab) => [
      parentRecord(lab),
      rightSplit(lab, { ilineOper: 3, ilineSplit: 2, clines: 5, ilinePrefixNew: 1 }),
      insert(lab, 20, 3, 'key-baa', 'new'),
    ],
    expect: (lab) => {
      expect(nodesOf(lab.page(20))).toEqual(['key-aa=1', 'key-ab=2']);
      expect(nodesOf(lab.page(30))).toEqual(['key-ba=3', 'key-baa=new', 'key-bb=4*']);
      expect([externalOf(lab.page(20)), externalOf(lab.page(30))]).toEqual(['', 'key-baa']);
    },
  },
  {
    name: 'right without operation: that follows on its own',
    pages: twoLeaves,
    macro: (lab) => [parentRecord(lab), rightSplit(lab, { splitoper: 0, ilineSplit: 1, clines: 4 })],
    expect: (lab) => {
      expect(nodesOf(lab.page(20))).toEqual(['key-aa=1']);
      expect(nodesOf(lab.page(30))).toEqual(['key-ab=2', 'key-ba=3', 'key-bb=4*']);
    },
  },
  {
    name: 'right, for a growing replace on the left page',
    pages: twoLeaves,
    macro: (lab) => [
      parentRecord(lab),
      rightSplit(lab, {
        splitoper: 2,
        ilineOper: 0,
        ilineSplit: 2,
        clines: 4,
        prefixSplitNew: bytes('key-a'),
      }),
      lab.record('Replace', {
        ...NODE_PREFIX,
        pgno: 20,
        dbtimeBefore: NIL,
        iline: 0,
        cbOldData: 1,
        fDiff2: false,
        data: bytes('much longer'),
      }),
    ],
    expect: (lab) => {
      expect(nodesOf(lab.page(20))).toEqual(['key-aa=much longer', 'key-ab=2']);
      expect(nodesOf(lab.page(30))).toEqual(['key-ba=3', 'key-bb=4*']);
      expect(lab.versions.newest(5)).toMatchObject({ operation: 2, before: bytes('1') });
    },
  },
  {
    name: 'right, for a revived node on the right page',
    pages: twoLeaves,
    macro: (lab) => [
      parentRecord(lab),
      rightSplit(lab, { splitoper: 3, ilineOper: 3, ilineSplit: 2, clines: 4 }),
      lab.record('FlagInsertAndReplaceData', {
        ...NODE_PREFIX,
        pgno: 20,
        dbtimeBefore: NIL,
        iline: 3,
        rceidReplace: 79,
        key: bytes('key-bb'),
        data: bytes('alive'),
      }),
    ],
    expect: (lab) => {
      expect(nodesOf(lab.page(30))).toEqual(['key-ba=3', 'key-bb=alive']);
    },
  },
  {
    name: 'right, only the new node moves: no image is needed',
    pages: twoLeaves,
    macro: (lab) => [
      parentRecord(lab),
      rightSplit(lab, { ilineOper: 4, ilineSplit: 4, clines: 5, preimage: NONE, keyParent: bytes('key-c') }),
      insert(lab, 20, 4, 'key-c', 'new'),
    ],
    expect: (lab) => {
      expect(nodesOf(lab.page(20))).toHaveLength(4);
      expect(nodesOf(lab.page(30))).toEqual(['key-c=new']);
    },
  },
  {
    name: 'append at the end of the tree',
    pages: twoLeaves,
    macro: (lab) => [
      lab.record('Split2', { ...SPLIT, pgno: 10, ilineOper: 1 }),
      lab.record('Split2', {
        ...SPLIT,
        pgno: 21,
        pgnoNew: 30,
        pgnoParent: 10,
        dbtimeParentBefore: 100,
        splittype: 2,
        splitoper: 1,
        ilineOper: 1,
        ilineSplit: 1,
        clines: 2,
        ilinePrefixNew: 0,
        keyParent: bytes('zz'),
      }),
      insert(lab, 21, 1, 'zzzz', 'new'),
    ],
    expect: (lab) => {
      expect(nodesOf(lab.page(21))).toEqual(['z=9']);
      expect(nodesOf(lab.page(30))).toEqual(['zzzz=new']);
      expect(externalOf(lab.page(30))).toBe('zzzz');
      expect(pointersOf(lab.page(10))).toEqual(['m>20', 'zz>21', '>30']);
      expect([lab.page(21).pgnoNext, lab.page(30).pgnoPrev]).toEqual([30, 21]);
    },
  },
  {
    name: 'vertical: the root keeps its header and one pointer',
    pages: (lab) => {
      lab.put(10, {
        flags: PAGE_FLAG.root | PAGE_FLAG.leaf,
        external: '0123456789abcdef',
        nodes: [
          { key: 'key-a', data: '1' },
          { key: 'key-c', data: '3' },
        ],
      });
    },
    macro: (lab) => [
      lab.record('Split2', {
        ...SPLIT,
        pgno: 10,
        pgnoNew: 30,
        splittype: 0,
        splitoper: 1,
        ilineOper: 1,
        clines: 3,
        ilinePrefixNew: 1,
        fSplitPageFlags: PARENT_FLAGS | PAGE_FLAG.newRecord,
        preimage: imageOf(lab.page(10)),
      }),
      insert(lab, 10, 1, 'key-b', '2'),
    ],
    expect: (lab) => {
      expect(nodesOf(lab.page(30))).toEqual(['key-a=1', 'key-b=2', 'key-c=3']);
      expect(externalOf(lab.page(30))).toBe('key-b');
      expect(pointersOf(lab.page(10))).toEqual(['>30']);
      expect(externalOf(lab.page(10))).toBe('0123456789abcdef');
      expect(lab.page(10).flags & 0x7).toBe(PARENT_FLAGS);
    },
  },
  {
    name: 'of a leaf and the page above it, the new pointer to the left',
    pages: (lab) => {
      twoLeaves(lab);
      lab.put(11, {
        flags: PAGE_FLAG.parentOfLeaf,
        nodes: [
          { key: 'b', data: pointer(40) },
          { key: 'm', data: pointer(20) },
          { key: 'p', data: pointer(41) },
          { key: '', data: pointer(42) },
        ],
      });
      lab.put(10, {
        flags: PAGE_FLAG.root,
        external: '0123456789abcdef',
        nodes: [{ key: '', data: pointer(11) }],
      });
    },
    macro: (lab) => [
      lab.record('Split2', { ...SPLIT, pgno: 10, ilineOper: 0 }),
      lab.record('Split2', {
        ...SPLIT,
        pgno: 11,
        pgnoNew: 31,
        pgnoParent: 10,
        dbtimeParentBefore: 100,
        splittype: 1,
        splitoper: 1,
        ilineOper: 1,
        ilineSplit: 2,
        clines: 5,
        fNewPageFlags: PAGE_FLAG.parentOfLeaf | PAGE_FLAG.newRecord,
        fSplitPageFlags: PAGE_FLAG.parentOfLeaf | PAGE_FLAG.newRecord,
        keyParent: bytes('key-b'),
        preimage: imageOf(lab.page(11)),
      }),
      rightSplit(lab, { pgnoParent: 11, ilineOper: 4, ilineSplit: 2, clines: 5 }),
      insert(lab, 20, 4, 'key-c', 'new'),
    ],
    expect: (lab) => {
      // The corrected pointer falls on the new page, the inserted one stays on the old.
      expect(pointersOf(lab.page(11))).toEqual(['b>40', 'key-b>20']);
      expect(pointersOf(lab.page(31))).toEqual(['m>30', 'p>41', '>42']);
      expect(pointersOf(lab.page(10))).toEqual(['key-b>11', '>31']);
      expect([lab.page(31).pgnoPrev, lab.page(11).pgnoNext]).toEqual([0, 0]);
    },
  },
  {
    name: 'of a leaf and, by appending, the page above it',
    pages: (lab) => {
      twoLeaves(lab);
      lab.put(11, {
        flags: PAGE_FLAG.parentOfLeaf,
        nodes: [
          { key: 'm', data: pointer(20) },
          { key: '', data: pointer(21) },
        ],
      });
      lab.put(10, {
        flags: PAGE_FLAG.root,
        external: '0123456789abcdef',
        nodes: [{ key: '', data: pointer(11) }],
      });
    },
    macro: (lab) => [
      lab.record('Split2', { ...SPLIT, pgno: 10, ilineOper: 0 }),
      lab.record('Split2', {
        ...SPLIT,
        pgno: 11,
        pgnoNew: 31,
        pgnoParent: 10,
        dbtimeParentBefore: 100,
        splittype: 2,
        splitoper: 1,
        ilineOper: 1,
        ilineSplit: 2,
        clines: 3,
        fNewPageFlags: PAGE_FLAG.parentOfLeaf | PAGE_FLAG.newRecord,
        fSplitPageFlags: PAGE_FLAG.parentOfLeaf | PAGE_FLAG.newRecord,
        keyParent: bytes('zz'),
      }),
      lab.record('Split2', {
        ...SPLIT,
        pgno: 21,
        pgnoNew: 30,
        pgnoParent: 11,
        dbtimeParentBefore: 100,
        splittype: 2,
        splitoper: 1,
        ilineOper: 1,
        ilineSplit: 1,
        clines: 2,
        keyParent: bytes('zz'),
      }),
      insert(lab, 21, 1, 'zzzz', 'new'),
    ],
    expect: (lab) => {
      expect(pointersOf(lab.page(11))).toEqual(['m>20', 'zz>21']);
      expect(pointersOf(lab.page(31))).toEqual(['>30']);
      expect(pointersOf(lab.page(10))).toEqual(['zz>11', '>31']);
    },
  },
];

describe.each(CASES)('split: $name', ({ pages, macro, expect: check }) => {
  const start = (): Lab => {
    const lab = createLab();
    pages(lab);
    return lab;
  };
  const done = (): Lab => {
    const lab = start();
    applyMacro(macro(lab), lab.context);
    return lab;
  };

  it('gives both pages, the links and the parent', () => {
    const lab = done();
    check(lab);
    for (const pgno of lab.dirty) expect(lab.page(pgno).dbtime).toBe(200);
  });

  it('gives the same whichever of its pages had been written before the crash', () => {
    const after = done();
    const touched = [...after.dirty];
    const before = start();
    const records = macro(before);
    for (let subset = 0; subset < 1 << touched.length; subset++) {
      const lab = start();
      touched.forEach((pgno, i) => {
        if ((subset & (1 << i)) !== 0) lab.pages.set(pgno, clonePage(after.page(pgno)));
      });
      applyMacro(records, lab.context);
      expect([subset, contentsOf(lab)]).toEqual([subset, contentsOf(after)]);
    }
  });
});

describe('splits that contradict the pages', () => {
  const lab = (): Lab => {
    const one = createLab();
    twoLeaves(one);
    return one;
  };
  const split = (one: Lab, changes: Partial<SplitFields>): string =>
    errorOf(() =>
      applyMacro(
        [
          parentRecord(one),
          rightSplit(one, { ilineOper: 1, ilineSplit: 3, clines: 5, ...changes }),
          insert(one, 20, 1, 'key-aaa', 'x'),
        ],
        one.context,
      ),
    );

  it.each<[string, Partial<SplitFields>]>([
    ['another number of lines', { clines: 6 }],
    ['a line to split at behind the end', { ilineSplit: 7 }],
    ['itself as the new page', { pgnoNew: 20 }],
    ['the new page as its neighbour', { pgnoRight: 30 }],
    ['a prefix line that does not exist', { ilinePrefixNew: 9 }],
  ])('%s: refused', (_, changes) => {
    expect(split(lab(), changes)).toMatch('JET_errLogOperationInconsistentWithDatabase');
  });

  it('an image that differs from the page: redo or the page went wrong before', () => {
    const one = lab();
    const other = clonePage(one.page(20));
    other.deleteNode(0);
    expect(split(one, { preimage: imageOf(other) })).toBe('JET_errRecoveryVerifyFailure 20');
  });

  it('a missing image where one is needed', () => {
    const one = lab();
    one.page(20).dbtime = 200;
    expect(split(one, { preimage: NONE })).toBe('JET_errDatabaseBufferDependenciesCorrupted 20');
  });

  it('a parent whose pointer leads elsewhere', () => {
    const one = lab();
    one.put(10, {
      flags: PARENT_FLAGS,
      external: '0123456789abcdef',
      nodes: [{ key: '', data: pointer(21) }],
    });
    expect(split(one, {})).toBe('JET_errLogOperationInconsistentWithDatabase 10');
  });

  it('a leaf operation on another page, and records that belong in no split', () => {
    const one = lab();
    const records = [parentRecord(one), rightSplit(one, { ilineOper: 1, ilineSplit: 3, clines: 5 })];
    expect(errorOf(() => applyMacro([...records, insert(one, 21, 1, 'k', 'x')], one.context))).toMatch(
      'Inconsistent',
    );
    const two = insert(one, 20, 1, 'key-aaa', 'x');
    expect(errorOf(() => applyMacro([...records, two, two], one.context))).toMatch('Inconsistent');
    const stray = one.record('Delete', { ...NODE_PREFIX, pgno: 20 });
    expect(errorOf(() => applyMacro([...records, stray], one.context))).toBe('JET_errLogCorrupted');
  });
});
