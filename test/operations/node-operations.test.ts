import { describe, expect, it } from 'vitest';
import { NODE_FLAG, PAGE_FLAG } from '../../src/format/page.js';
import { applyRecord } from '../../src/operations/apply.js';
import {
  bytes,
  createLab,
  errorOf,
  externalOf,
  type Lab,
  NODE_PREFIX,
  nodesOf,
  OBJID,
} from '../support/page-lab.js';

const LEAF = 20;
const NODE = { ...NODE_PREFIX, pgno: LEAF };
const NONE = new Uint8Array(0);

function labWithLeaf(options = {}): Lab {
  const lab = createLab(options);
  lab.put(LEAF, {
    external: 'prefix',
    nodes: [
      { key: 'prefix-a', data: 'one' },
      { key: 'prefix-b', data: 'two' },
      { key: 'q', data: 'three', flags: NODE_FLAG.deleted },
    ],
  });
  return lab;
}

function flagsAt(lab: Lab, line: number): number {
  const page = lab.page(LEAF);
  return page.tagFlags(line + page.reservedTags);
}

describe('changes of one node, redone', () => {
  it('Insert puts the node at its line, with the logged part of its key from the prefix', () => {
    const lab = labWithLeaf();
    const record = lab.record('Insert', {
      ...NODE,
      iline: 1,
      cbPrefix: 6,
      cbSuffix: 3,
      key: bytes('prefix-aa'),
      data: bytes('new'),
    });
    applyRecord(record, lab.context);
    expect(nodesOf(lab.page(LEAF))).toEqual(['prefix-a=one', 'prefix-aa=new', 'prefix-b=two', 'q=three*']);
    expect(flagsAt(lab, 1)).toBe(NODE_FLAG.version | NODE_FLAG.compressed);
    expect(lab.page(LEAF).dbtime).toBe(200);
    expect([...lab.dirty]).toEqual([LEAF]);
    expect(lab.versions.newest(5)).toMatchObject({ rceid: 77, operation: 1, key: bytes('prefix-aa') });
  });

  it('an Insert without version sets no flag and cannot be undone', () => {
    const lab = labWithLeaf();
    const fields = { ...NODE, pageFlags: 4, rceid: 0, iline: 3, cbPrefix: 0, cbSuffix: 1 };
    applyRecord(lab.record('Insert', { ...fields, key: bytes('z'), data: bytes('d') }), lab.context);
    expect(flagsAt(lab, 3)).toBe(0);
    expect(lab.versions.newest(5)).toBeUndefined();
  });

  it('in a tree whose keys are not unique, the data is part of the bookmark', () => {
    const lab = labWithLeaf();
    const fields = { ...NODE, pageFlags: 1, iline: 3, cbPrefix: 0, cbSuffix: 1 };
    applyRecord(lab.record('Insert', { ...fields, key: bytes('z'), data: bytes('primary') }), lab.context);
    expect(lab.versions.newest(5)).toMatchObject({ key: bytes('z'), bookmarkData: bytes('primary') });
  });

  it('FlagInsert brings a deleted node back', () => {
    const lab = labWithLeaf();
    applyRecord(
      lab.record('FlagInsert', { ...NODE, iline: 2, key: bytes('q'), data: bytes('three') }),
      lab.context,
    );
    expect(nodesOf(lab.page(LEAF))[2]).toBe('q=three');
    expect(lab.versions.newest(5)).toMatchObject({ operation: 1, key: bytes('q') });
  });

  it('FlagInsertAndReplaceData brings it back with other data, as two versions', () => {
    const lab = labWithLeaf();
    const fields = { ...NODE, iline: 2, rceidReplace: 79, key: bytes('q'), data: bytes('fresh') };
    applyRecord(lab.record('FlagInsertAndReplaceData', fields), lab.context);
    expect(nodesOf(lab.page(LEAF))[2]).toBe('q=fresh');
    expect(lab.versions.newest(5)).toMatchObject({ rceid: 79, operation: 2, before: bytes('three') });
    lab.versions.remove(5, 79);
    expect(lab.versions.newest(5)).toMatchObject({ rceid: 77, operation: 1 });
  });

  it.each(['FlagInsert', 'FlagInsertAndReplaceData'] as const)(
    '%s refuses a live node, and another key',
    (name) => {
      for (const [iline, key] of [
        [0, 'prefix-a'],
        [2, 'r'],
      ] as const) {
        const lab = labWithLeaf();
        const fields = { ...NODE, iline, rceidReplace: 79, key: bytes(key), data: bytes('x') };
        const record = name === 'FlagInsert' ? lab.record(name, fields) : lab.record(name, fields);
        expect(errorOf(() => applyRecord(record, lab.context))).toBe(
          `JET_errLogOperationInconsistentWithDatabase ${LEAF}`,
        );
      }
    },
  );

  it('Replace and ReplaceD change the data, key and compression stay', () => {
    const lab = labWithLeaf();
    const whole = { ...NODE, iline: 1, cbOldData: 3, fDiff2: false, data: bytes('longer than before') };
    applyRecord(lab.record('Replace', whole), lab.context);
    expect(nodesOf(lab.page(LEAF))[1]).toBe('prefix-b=longer than before');
    expect(flagsAt(lab, 1)).toBe(NODE_FLAG.version | NODE_FLAG.compressed);
    expect(lab.versions.newest(5)).toMatchObject({
      operation: 2,
      before: bytes('two'),
      key: bytes('prefix-b'),
    });
    // Offset 0, 6 old bytes, 3 new ones.
    const diff = Uint8Array.of(0, 0, 3, 6, 0x61, 0x62, 0x63);
    const fields = { ...NODE, dbtime: 201, dbtimeBefore: 200, iline: 1, rceid: 79, fDiff2: false, diff };
    applyRecord(lab.record('ReplaceD', { ...fields, cbOldData: 18, cbNewData: 15 }), lab.context);
    expect(nodesOf(lab.page(LEAF))[1]).toBe('prefix-b=abc than before');
  });

  it('a Replace whose sizes are not those of the node is refused', () => {
    const lab = labWithLeaf();
    const fields = { ...NODE, iline: 1, cbOldData: 4, fDiff2: false, data: bytes('x') };
    expect(errorOf(() => applyRecord(lab.record('Replace', fields), lab.context))).toBe(
      `JET_errLogOperationInconsistentWithDatabase ${LEAF}`,
    );
  });

  it('FlagDelete marks the node, Delete removes it', () => {
    const lab = labWithLeaf();
    applyRecord(lab.record('FlagDelete', { ...NODE, iline: 0 }), lab.context);
    expect(nodesOf(lab.page(LEAF))[0]).toBe('prefix-a=one*');
    expect(lab.versions.newest(5)).toMatchObject({ operation: 3, key: bytes('prefix-a'), before: NONE });
    applyRecord(
      lab.record('Delete', { ...NODE, dbtime: 201, dbtimeBefore: 200, iline: 0, rceid: 0 }),
      lab.context,
    );
    expect(nodesOf(lab.page(LEAF))).toEqual(['prefix-b=two', 'q=three*']);
    const again = lab.record('FlagDelete', { ...NODE, dbtime: 202, dbtimeBefore: 201, iline: 1 });
    expect(errorOf(() => applyRecord(again, lab.context))).toMatch('Inconsistent');
  });

  it('Delta and Delta64 add signed numbers inside the data', () => {
    const lab = createLab();
    const page = lab.put(LEAF, { nodes: [{ key: 'k', data: '....\x05\x00\x00\x00\x00\x00\x00\x00' }] });
    const delta = { ...NODE, cbOffset: 4, bookmarkKey: bytes('k'), bookmarkData: NONE };
    applyRecord(lab.record('Delta', { ...delta, delta: -7 }), lab.context);
    expect(page.view.getInt32(page.tagOffset(1) + 2 + 1 + 4, true)).toBe(-2);
    const fields = { ...delta, dbtime: 201, dbtimeBefore: 200, rceid: 79, delta: 1n << 40n };
    applyRecord(lab.record('Delta64', fields), lab.context);
    expect(page.view.getBigInt64(page.tagOffset(1) + 2 + 1 + 4, true)).toBe((1n << 40n) + 0xfffffffen);
    const outside = { ...delta, dbtime: 202, dbtimeBefore: 201, cbOffset: 9, delta: 1 };
    expect(errorOf(() => applyRecord(lab.record('Delta', outside), lab.context))).toMatch('Inconsistent');
  });

  it('works on large pages, where the flags lie in the nodes', () => {
    const lab = labWithLeaf({ pageSize: 32768 });
    const fields = {
      ...NODE,
      iline: 1,
      cbPrefix: 6,
      cbSuffix: 3,
      key: bytes('prefix-aa'),
      data: bytes('new'),
    };
    applyRecord(lab.record('Insert', fields), lab.context);
    const next = { ...NODE, dbtime: 201, dbtimeBefore: 200, rceid: 79 };
    applyRecord(lab.record('FlagDelete', { ...next, iline: 2 }), lab.context);
    const last = {
      ...NODE,
      dbtime: 202,
      dbtimeBefore: 201,
      rceid: 81,
      iline: 0,
      cbOldData: 3,
      fDiff2: false,
    };
    applyRecord(lab.record('Replace', { ...last, data: bytes('first') }), lab.context);
    expect(nodesOf(lab.page(LEAF))).toEqual(['prefix-a=first', 'prefix-aa=new', 'prefix-b=two*', 'q=three*']);
    expect(flagsAt(lab, 2)).toBe(NODE_FLAG.deleted | NODE_FLAG.version | NODE_FLAG.compressed);
    expect(lab.page(LEAF).storedPgno).toBe(LEAF);
  });

  it('every change clears the scrub mark of the page', () => {
    const lab = labWithLeaf();
    lab.page(LEAF).flags |= PAGE_FLAG.scrubbed;
    applyRecord(lab.record('FlagDelete', { ...NODE, iline: 0 }), lab.context);
    expect(lab.page(LEAF).flags & PAGE_FLAG.scrubbed).toBe(0);
  });
});

describe('changes taken back by Undo records', () => {
  const undo = (lab: Lab, oper: number, iline: number, rceid = 77) =>
    lab.record('Undo', {
      ...NODE,
      dbtime: 300,
      dbtimeBefore: 200,
      pageFlags: 4,
      iline,
      rceid,
      oper,
      levelUndo: 1,
      bookmarkKey: NONE,
      bookmarkData: NONE,
    });

  it('an insert stays as a deleted node', () => {
    const lab = labWithLeaf();
    const fields = { ...NODE, iline: 3, cbPrefix: 0, cbSuffix: 1, key: bytes('z'), data: bytes('d') };
    applyRecord(lab.record('Insert', fields), lab.context);
    applyRecord(undo(lab, 1, 3), lab.context);
    expect(nodesOf(lab.page(LEAF))[3]).toBe('z=d*');
    expect(lab.versions.countOf(5)).toBe(0);
    expect(lab.page(LEAF).dbtime).toBe(300);
  });

  it('a replace gets its old data, a delete becomes visible, a delta is subtracted', () => {
    const lab = labWithLeaf();
    applyRecord(
      lab.record('Replace', { ...NODE, iline: 0, cbOldData: 3, fDiff2: false, data: bytes('changed') }),
      lab.context,
    );
    applyRecord(undo(lab, 2, 0), lab.context);
    expect(nodesOf(lab.page(LEAF))[0]).toBe('prefix-a=one');

    const deleted = labWithLeaf();
    applyRecord(deleted.record('FlagDelete', { ...NODE, iline: 0 }), deleted.context);
    applyRecord(undo(deleted, 3, 0), deleted.context);
    expect(nodesOf(deleted.page(LEAF))[0]).toBe('prefix-a=one');

    const counted = createLab();
    counted.put(LEAF, { nodes: [{ key: 'k', data: '\x05\x00\x00\x00' }] });
    const delta = { ...NODE, cbOffset: 0, delta: 3, bookmarkKey: bytes('k'), bookmarkData: NONE };
    applyRecord(counted.record('Delta', delta), counted.context);
    expect(nodesOf(counted.page(LEAF))).toEqual(['k=\x08\x00\x00\x00']);
    applyRecord(undo(counted, 4, 0), counted.context);
    expect(nodesOf(counted.page(LEAF))).toEqual(['k=\x05\x00\x00\x00']);
  });

  it('the version is gone even where the page has the undo already', () => {
    const lab = labWithLeaf();
    applyRecord(lab.record('FlagDelete', { ...NODE, iline: 0 }), lab.context);
    lab.page(LEAF).dbtime = 300;
    applyRecord(undo(lab, 3, 0), lab.context);
    expect(nodesOf(lab.page(LEAF))[0]).toBe('prefix-a=one*');
    expect(lab.versions.countOf(5)).toBe(0);
  });

  it('without the old data, the undo of a replace is refused', () => {
    const lab = labWithLeaf();
    lab.page(LEAF).dbtime = 200;
    expect(errorOf(() => applyRecord(undo(lab, 2, 0), lab.context))).toMatch('Inconsistent');
  });
});

describe('old states that come later', () => {
  const info = (lab: Lab, oper: number, data: Uint8Array) =>
    lab.record('UndoInfo', {
      ...NODE,
      dbtime: -1,
      dbtimeBefore: -1,
      oper,
      cbMaxSize: data.length,
      cbDelta: 0,
      bookmarkKey: bytes('prefix-a'),
      bookmarkData: NONE,
      data,
    });

  it('a replace that is on the page already waits for its UndoInfo', () => {
    const lab = labWithLeaf();
    lab.page(LEAF).dbtime = 200;
    const fields = { ...NODE, iline: 0, cbOldData: 3, fDiff2: false, data: bytes('new') };
    applyRecord(lab.record('Replace', fields), lab.context);
    expect(lab.versions.deferredOf(5)).toBe(77);
    expect(lab.versions.newest(5)).toBeUndefined();
    applyRecord(info(lab, 2, bytes('one')), lab.context);
    expect(lab.versions.deferredOf(5)).toBeUndefined();
    expect(lab.versions.newest(5)).toMatchObject({
      operation: 2,
      before: bytes('one'),
      isUndoInfoLogged: true,
    });
  });

  it('pages of a tree wait for the UndoInfo of a change whose old state is in memory only', () => {
    const lab = labWithLeaf();
    applyRecord(lab.record('FlagDelete', { ...NODE, iline: 0 }), lab.context);
    expect(lab.versions.holdsBack(1, OBJID)).toBe(true);
    expect(lab.versions.holdsBack(1, OBJID + 1)).toBe(false);
    applyRecord(info(lab, 3, NONE), lab.context);
    expect(lab.versions.holdsBack(1, OBJID)).toBe(false);
    expect(lab.versions.countOf(5)).toBe(1);
  });

  it('pages wait no longer once the transaction ended', () => {
    const lab = labWithLeaf();
    applyRecord(lab.record('FlagDelete', { ...NODE, iline: 0 }), lab.context);
    lab.versions.finish(5);
    expect(lab.versions.holdsBack(1, OBJID)).toBe(false);
  });
});

describe('external headers', () => {
  it('SetExternalHeader replaces tag 0', () => {
    const lab = createLab();
    lab.put(LEAF, { external: 'prefix', nodes: [{ key: 'q', data: 'x' }] });
    applyRecord(lab.record('SetExternalHeader', { ...NODE, data: bytes('other') }), lab.context);
    expect(externalOf(lab.page(LEAF))).toBe('other');
  });

  it('a prefix may be cut to what the nodes use, and not further', () => {
    const lab = labWithLeaf();
    lab.put(21, { external: 'prefix', nodes: [{ key: 'prefi', data: 'x' }] });
    const fields = { ...NODE, pgno: 21 };
    applyRecord(lab.record('SetExternalHeader', { ...fields, data: bytes('prefi') }), lab.context);
    expect(nodesOf(lab.page(21))).toEqual(['prefi=x']);
    const further = lab.record('SetExternalHeader', { ...NODE, data: bytes('pre') });
    expect(errorOf(() => applyRecord(further, lab.context))).toMatch('Inconsistent');
  });
});
