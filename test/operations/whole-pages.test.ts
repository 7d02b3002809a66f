import { describe, expect, it } from 'vitest';
import type { LogRecordFields } from '../../src/format/log-record-encoder.js';
import { PAGE_FLAG, type Page } from '../../src/format/page.js';
import { decodeSpaceHeader, encodeSpaceHeader } from '../../src/format/space.js';
import { applyMacro, applyRecord } from '../../src/operations/apply.js';
import { applyExtend, applyShrink, applyTrim } from '../../src/operations/file-size.js';
import {
  bytes,
  clonePage,
  contentsOf,
  createLab,
  errorOf,
  type Lab,
  NODE_PREFIX,
  nodesOf,
  OBJID,
  PAGE_PREFIX,
  PGNO_FDP,
  pointer,
  pointersOf,
} from '../support/page-lab.js';

const NIL = -1;
const NONE = new Uint8Array(0);
const NO_RESIZE = { generation: 0, isec: 0, ib: 0 };

describe('EmptyTree', () => {
  const start = (): Lab => {
    const lab = createLab();
    lab.put(10, {
      flags: PAGE_FLAG.root | PAGE_FLAG.parentOfLeaf,
      external: '0123456789abcdef',
      nodes: [{ key: '', data: pointer(20) }],
    });
    lab.put(20, { external: 'keys', nodes: [{ key: 'keys-a', data: '1', flags: 2 }] });
    lab.put(21, { dbtime: 90, nodes: [] });
    return lab;
  };
  const record = (lab: Lab) =>
    lab.record('EmptyTree', {
      ...NODE_PREFIX,
      pgno: 10,
      pages: [
        { pgno: 20, dbtimeBefore: 100, flags: 2 },
        { pgno: 21, dbtimeBefore: 90, flags: 2 },
      ],
    });

  it('makes the root an empty leaf and empties every other page', () => {
    const lab = start();
    applyRecord(record(lab), lab.context);
    expect([nodesOf(lab.page(10)), lab.page(10).flags & 0x7]).toEqual([[], PAGE_FLAG.root | PAGE_FLAG.leaf]);
    expect(lab.page(10).externalHeader.length).toBe(16);
    for (const pgno of [20, 21]) expect(lab.page(pgno).flags & PAGE_FLAG.empty).not.toBe(0);
    expect([10, 20, 21].map((pgno) => lab.page(pgno).dbtime)).toEqual([200, 200, 200]);
  });

  it('judges each page by its own stamp', () => {
    const after = start();
    applyRecord(record(after), after.context);
    for (let subset = 0; subset < 8; subset++) {
      const lab = start();
      [10, 20, 21].forEach((pgno, i) => {
        if ((subset & (1 << i)) !== 0) lab.pages.set(pgno, clonePage(after.page(pgno)));
      });
      applyRecord(record(lab), lab.context);
      expect(contentsOf(lab)).toEqual(contentsOf(after));
    }
  });
});

describe('Scrub', () => {
  const SCRUB = { ...NODE_PREFIX, rceid: 0, pageFlags: 0, pgno: 20 };

  it('overwrites the data of the listed lines, and nothing that can be read', () => {
    const lab = createLab();
    lab.put(20, {
      nodes: [
        { key: 'a', data: 'kept' },
        { key: 'b', data: 'secret', flags: 3 },
        { key: 'c', data: 'chunk', flags: 2 },
      ],
    });
    applyRecord(lab.record('Scrub', { ...SCRUB, scrubFlags: 0, opers: Uint8Array.of(0, 1, 2) }), lab.context);
    expect(nodesOf(lab.page(20))).toEqual(['a=kept', 'b=DDDDDD*', 'c= LLLL*']);
    expect(lab.page(20).flags & PAGE_FLAG.scrubbed).not.toBe(0);
    expect(lab.page(20).tagFlags(2)).toBe(2);
  });

  it('wipes an unused page', () => {
    const lab = createLab();
    lab.put(20, { nodes: [{ key: 'a', data: 'secret' }] });
    applyRecord(lab.record('Scrub', { ...SCRUB, scrubFlags: 1, opers: NONE }), lab.context);
    expect(nodesOf(lab.page(20))).toEqual([]);
    expect(Buffer.from(lab.page(20).bytes).includes('secret')).toBe(false);
  });

  it('refuses more lines than there are', () => {
    const lab = createLab();
    lab.put(20, {});
    const record = lab.record('Scrub', { ...SCRUB, scrubFlags: 0, opers: Uint8Array.of(1) });
    expect(errorOf(() => applyRecord(record, lab.context))).toMatch('Inconsistent');
  });
});

/** Start and end of a page, as a PageMove carries them. */
function partsOf(page: Page): { pageHeader: Uint8Array; pageTrailer: Uint8Array } {
  const headerBytes = page.headerBytes + page.ibMicFree;
  return {
    pageHeader: page.bytes.slice(0, headerBytes),
    pageTrailer: page.bytes.slice(page.pageSize - 4 * page.tagCount),
  };
}

type MoveFields = LogRecordFields<'PageMove'>;

const MOVE: Omit<MoveFields, 'pageHeader' | 'pageTrailer'> = {
  ...PAGE_PREFIX,
  pgno: 20,
  pgnoDest: 15,
  pgnoLeft: 19,
  pgnoRight: 21,
  pgnoParent: 10,
  dbtimeLeftBefore: 100,
  dbtimeRightBefore: 100,
  dbtimeParentBefore: 100,
  pgnoFDP: PGNO_FDP,
  objidFDP: OBJID,
  ilineParent: 1,
  moveFlags: 0,
};

describe('PageMove', () => {
  const start = (pageSize = 4096): Lab => {
    const lab = createLab({ pageSize });
    lab.put(10, {
      flags: PAGE_FLAG.root | PAGE_FLAG.parentOfLeaf,
      external: '0123456789abcdef',
      nodes: [
        { key: 'b', data: pointer(19) },
        { key: 'd', data: pointer(20) },
        { key: '', data: pointer(21) },
      ],
    });
    lab.put(19, { next: 20, nodes: [{ key: 'a', data: '1' }] });
    lab.put(20, { prev: 19, next: 21, external: 'pre', nodes: [{ key: 'prefixed', data: '2' }] });
    lab.put(21, { prev: 20, nodes: [{ key: 'e', data: '3' }] });
    return lab;
  };
  const moveOf = (lab: Lab, changes: Partial<MoveFields> = {}) =>
    lab.record('PageMove', { ...MOVE, ...partsOf(lab.page(20)), ...changes });

  it.each([4096, 16384])('moves the page and relinks neighbours and parent (%i bytes)', (pageSize) => {
    const lab = start(pageSize);
    applyRecord(moveOf(lab), lab.context);
    expect(nodesOf(lab.page(15))).toEqual(['prefixed=2']);
    expect([lab.page(15).pgnoPrev, lab.page(15).pgnoNext, lab.page(15).dbtime]).toEqual([19, 21, 200]);
    expect([lab.page(19).pgnoNext, lab.page(21).pgnoPrev]).toEqual([15, 15]);
    expect(pointersOf(lab.page(10))).toEqual(['b>19', 'd>15', '>21']);
    expect(lab.page(20).flags & PAGE_FLAG.empty).not.toBe(0);
    if (pageSize > 8192) expect(lab.page(15).storedPgno).toBe(15);
  });

  it('gives the same whichever of its pages had been written before the crash', () => {
    const before = start();
    const record = moveOf(before);
    const after = start();
    applyRecord(record, after.context);
    const touched = [...after.dirty];
    for (let subset = 0; subset < 1 << touched.length; subset++) {
      const lab = start();
      touched.forEach((pgno, i) => {
        if ((subset & (1 << i)) !== 0) lab.pages.set(pgno, clonePage(after.page(pgno)));
      });
      applyRecord(record, lab.context);
      expect([subset, contentsOf(lab)]).toEqual([subset, contentsOf(after)]);
    }
  });

  it.each<[string, Partial<MoveFields>, string]>([
    ['onto itself', { pgnoDest: 20 }, 'Inconsistent'],
    ['under another line of its parent', { ilineParent: 0 }, 'Inconsistent'],
    [
      'with parts that are no page',
      { pageHeader: new Uint8Array(60), pageTrailer: NONE },
      'JET_errLogCorrupted',
    ],
    ['with parts that are too long', { pageHeader: new Uint8Array(5000) }, 'JET_errLogCorrupted'],
  ])('%s: refused', (_, changes, error) => {
    const lab = start();
    expect(errorOf(() => applyRecord(moveOf(lab, changes), lab.context))).toMatch(error);
  });
});

describe('RootPageMove', () => {
  it('moves a root and its space trees, tells children and catalog, all under one stamp', () => {
    const lab = createLab();
    const space = (pgnoParent: number, pgnoOe: number): Uint8Array =>
      encodeSpaceHeader({ cpg: 3, pgnoParent, flags: 1, availableBitmap: 0, pgnoOe });
    const root = PAGE_FLAG.root | PAGE_FLAG.leaf;
    lab.put(60, { flags: root, external: space(1, 61), nodes: [{ key: 'a', data: '1' }] });
    lab.put(61, {
      flags: root | PAGE_FLAG.spaceTree,
      external: new Uint8Array(16),
      nodes: [{ key: 'oe', data: '2' }],
    });
    lab.put(62, {
      flags: root | PAGE_FLAG.spaceTree,
      external: new Uint8Array(16),
      nodes: [{ key: 'ae', data: '3' }],
    });
    lab.put(70, { flags: root, objid: 31, external: space(60, 71) });
    lab.put(13, { objid: 2, nodes: [{ key: 'row', data: 'root 60' }] });
    const move = (pgno: number, pgnoDest: number, moveFlags: number) =>
      lab.record('PageMove', {
        ...MOVE,
        ...partsOf(lab.page(pgno)),
        pgno,
        pgnoDest,
        moveFlags,
        pgnoLeft: 0,
        pgnoRight: 0,
        pgnoParent: 0,
        dbtimeLeftBefore: NIL,
        dbtimeRightBefore: NIL,
        dbtimeParentBefore: NIL,
      });
    const row = (dbtimeBefore: number, from: string, to: string) =>
      lab.record('Replace', {
        ...NODE_PREFIX,
        pgno: 13,
        objidFDP: 2,
        pgnoFDP: 4,
        rceid: 0,
        pageFlags: 4,
        dbtimeBefore,
        iline: 0,
        cbOldData: from.length,
        fDiff2: false,
        data: bytes(to),
      });
    const records = [
      lab.record('RootPageMove', { dbtime: 200, dbid: 1, objid: OBJID, procid: 5 }),
      move(60, 40, 1),
      move(61, 41, 2),
      move(62, 42, 4),
      lab.record('SetExternalHeader', {
        ...NODE_PREFIX,
        pgno: 70,
        objidFDP: 31,
        rceid: 0,
        data: space(40, 71),
      }),
      // The same page twice: its stamp is that of the macro after the first change.
      row(100, 'root 60', 'root 40'),
      row(200, 'root 40', 'root 40, oe 41'),
    ];
    applyMacro(records, lab.context);
    expect(nodesOf(lab.page(40))).toEqual(['a=1']);
    expect(decodeSpaceHeader(lab.page(40).externalHeader, 40)).toMatchObject({ pgnoParent: 1, pgnoOe: 41 });
    expect([nodesOf(lab.page(41)), nodesOf(lab.page(42))]).toEqual([['oe=2'], ['ae=3']]);
    expect(decodeSpaceHeader(lab.page(70).externalHeader, 70).pgnoParent).toBe(40);
    expect(nodesOf(lab.page(13))).toEqual(['row=root 40, oe 41']);
    for (const pgno of [60, 61, 62]) expect(lab.page(pgno).flags & PAGE_FLAG.empty).not.toBe(0);
    const before = contentsOf(lab);
    applyMacro(records, lab.context);
    expect(contentsOf(lab)).toEqual(before);
  });
});

describe('the size of the file', () => {
  it('ExtendDB only ever grows it', () => {
    const lab = createLab({ lastPgno: 100 });
    applyExtend(90, lab.context);
    expect(lab.lastPgno).toBe(100);
    applyExtend(140, lab.context);
    expect(lab.lastPgno).toBe(140);
    expect(errorOf(() => applyExtend(0xffffffff, lab.context))).toMatch('Inconsistent');
  });

  it('ShrinkDB cuts it, behind the required range or where the header knows of the last change', () => {
    const inRange = createLab({ lastPgno: 100, genMaxRequired: 5 });
    expect(applyShrink(50, 50, undefined, NO_RESIZE, inRange.context)).toBe(false);
    expect(inRange.lastPgno).toBe(100);
    const behind = createLab({ lastPgno: 100, genMaxRequired: 4 });
    expect(applyShrink(50, 50, undefined, NO_RESIZE, behind.context)).toBe(true);
    expect(behind.lastPgno).toBe(50);
    const known = createLab({ lastPgno: 100, genMaxRequired: 5 });
    expect(applyShrink(50, 50, undefined, { generation: 4, isec: 1, ib: 0 }, known.context)).toBe(true);
    expect(known.lastPgno).toBe(50);
  });

  it('a shrink that a later extension followed marks the old pages as gone, if it has a stamp', () => {
    const later = { generation: 6, isec: 1, ib: 0 };
    const lab = createLab({ lastPgno: 100 });
    lab.put(60, { dbtime: 90 });
    lab.put(61, { dbtime: 210 });
    expect(applyShrink(50, 20, 200, later, lab.context)).toBe(false);
    expect([lab.lastPgno, lab.page(60).dbtime, lab.page(60).objid, lab.page(61).dbtime]).toEqual([
      100, -3, 0, 210,
    ]);
    const without = createLab({ lastPgno: 100 });
    without.put(60, { dbtime: 90 });
    applyShrink(50, 20, undefined, later, without.context);
    expect(without.page(60).dbtime).toBe(90);
  });

  it('ShrinkDB and TrimDB explain the pages that redo could not use', () => {
    const lab = createLab({ lastPgno: 100, genMaxRequired: 5 });
    const blank = (pgno: number): void => {
      const record = lab.record('Delete', { ...NODE_PREFIX, pgno });
      applyRecord(record, lab.context);
    };
    blank(30);
    blank(60);
    blank(61);
    expect(lab.redoMap.size).toBe(3);
    applyTrim(30, 1, lab.context);
    expect(lab.redoMap.size).toBe(2);
    applyShrink(60, 40, undefined, NO_RESIZE, lab.context);
    expect(lab.redoMap.error()).toMatchObject({ pgno: 60 });
    applyShrink(59, 41, undefined, NO_RESIZE, lab.context);
    expect(lab.redoMap.error()).toBeUndefined();
  });

  it('TrimDB blanks pages behind the required range only', () => {
    for (const [genMaxRequired, isThere] of [
      [5, true],
      [4, false],
    ] as const) {
      const lab = createLab({ lastPgno: 100, genMaxRequired });
      lab.put(30, {});
      applyTrim(30, 5, lab.context);
      expect(lab.pages.has(30)).toBe(isThere);
    }
  });
});
