import { describe, expect, it } from 'vitest';
import { applyRecord } from '../../src/operations/apply.js';
import { bytes, createLab, errorOf, type Lab, NODE_PREFIX, nodesOf, OBJID } from '../support/page-lab.js';

const LEAF = 20;

/** An Insert from stamp 100 to 200, in generation 5, on a page with the given stamp. */
function insertOn(
  stamp: number | undefined,
  genMaxRequired: number,
  objid = OBJID,
): { lab: Lab; error: string } {
  const lab = createLab({ genMaxRequired });
  if (stamp !== undefined) lab.put(LEAF, { dbtime: stamp, objid });
  const fields = { ...NODE_PREFIX, pgno: LEAF, cbPrefix: 0, cbSuffix: 1, key: bytes('k'), data: bytes('d') };
  return { lab, error: errorOf(() => applyRecord(lab.record('Insert', fields), lab.context)) };
}

const wasApplied = (lab: Lab): boolean => nodesOf(lab.page(LEAF)).length === 1;

describe('when redo applies to a page that exists (format specification, chapter 5.1.3)', () => {
  it.each([5, 4])('the stamp is the one before: applied (required up to generation %i)', (genMaxRequired) => {
    const { lab, error } = insertOn(100, genMaxRequired);
    expect(error).toBe('none');
    expect(wasApplied(lab)).toBe(true);
    expect(lab.page(LEAF).dbtime).toBe(200);
  });

  it.each([200, 250])('stamp %i is that of the record or later, in the required range: skipped', (stamp) => {
    const { lab, error } = insertOn(stamp, 5);
    expect(error).toBe('none');
    expect(wasApplied(lab)).toBe(false);
    expect(lab.page(LEAF).dbtime).toBe(stamp);
    expect(lab.dirty.size).toBe(0);
    // How to undo an insert is known from its record alone.
    expect(lab.versions.countOf(5)).toBe(1);
  });

  it('the same behind the required range: the page is newer than it may be', () => {
    expect(insertOn(200, 4).error).toBe('JET_errDbTimeBeyondMaxRequired 20');
  });

  it('an older stamp in the required range: into the redo map, and left alone from then on', () => {
    const { lab, error } = insertOn(99, 5);
    expect(error).toBe('none');
    expect(wasApplied(lab)).toBe(false);
    expect(lab.redoMap.error()).toMatchObject({ name: 'JET_errDbTimeTooOld', pgno: LEAF });
    const next = { ...NODE_PREFIX, pgno: LEAF, dbtime: 300, dbtimeBefore: 99, iline: 0 };
    expect(errorOf(() => applyRecord(lab.record('FlagDelete', next), lab.context))).toBe('none');
  });

  it('an older stamp behind the required range: a write was lost', () => {
    expect(insertOn(99, 4).error).toBe('JET_errDbTimeTooOld 20');
  });

  it.each([5, 4])('a stamp in between: a change that the log does not know', (genMaxRequired) => {
    expect(insertOn(150, genMaxRequired).error).toBe('JET_errDbTimeTooNew 20');
  });

  it('a blank page: into the redo map in the required range, an error behind it', () => {
    const { lab, error } = insertOn(undefined, 5);
    expect(error).toBe('none');
    expect(lab.redoMap.error()).toMatchObject({ name: 'JET_errPageNotInitialized', pgno: LEAF });
    expect(insertOn(undefined, 4).error).toBe('JET_errPageNotInitialized 20');
  });

  it('a page that was shrunk away counts as blank', () => {
    const { lab } = insertOn(-3, 5);
    expect(lab.redoMap.error()).toMatchObject({ name: 'JET_errPageNotInitialized' });
  });

  it('a page of another tree is refused', () => {
    expect(insertOn(100, 5, OBJID + 1).error).toBe('JET_errLogOperationInconsistentWithDatabase 20');
  });

  it('the error says where in the log the record stands', () => {
    const lab = createLab({ genMaxRequired: 4 });
    lab.put(LEAF, { dbtime: 150 });
    const record = lab.record('Delete', { ...NODE_PREFIX, pgno: LEAF });
    expect(() => applyRecord(record, lab.context)).toThrow(/page 20, log position 5,1,0/);
  });
});

describe('when redo applies to a new page', () => {
  const create = (lab: Lab) =>
    lab.record('NewPage', { procid: 5, dbid: 1, pgno: LEAF, objid: OBJID, dbtimeAfter: 200 });

  it.each([undefined, 199])('blank or older (stamp %s): built', (stamp) => {
    for (const genMaxRequired of [4, 5]) {
      const lab = createLab({ genMaxRequired });
      if (stamp !== undefined)
        lab.put(LEAF, { dbtime: stamp, objid: 4711, nodes: [{ key: 'old', data: 'old' }] });
      applyRecord(create(lab), lab.context);
      expect([lab.page(LEAF).dbtime, lab.page(LEAF).objid, nodesOf(lab.page(LEAF))]).toEqual([
        200,
        OBJID,
        [],
      ]);
    }
  });

  it('there already, in the required range: left alone; behind it, built all the same', () => {
    const inRange = createLab({ genMaxRequired: 5 });
    inRange.put(LEAF, { dbtime: 200, nodes: [{ key: 'k', data: 'd' }] });
    applyRecord(create(inRange), inRange.context);
    expect(nodesOf(inRange.page(LEAF))).toEqual(['k=d']);
    const behind = createLab({ genMaxRequired: 4 });
    behind.put(LEAF, { dbtime: 999, nodes: [{ key: 'k', data: 'd' }] });
    applyRecord(create(behind), behind.context);
    expect(nodesOf(behind.page(LEAF))).toEqual([]);
  });
});

describe('records that no engine of this format writes', () => {
  it.each(['Split', 'Merge', 'ConvertFDP'] as const)('%s is refused as obsolete', (name) => {
    const lab = createLab();
    const record = { name, lrtyp: { Split: 27, Merge: 28, ConvertFDP: 26 }[name] } as never;
    expect(errorOf(() => applyRecord(record, lab.context))).toBe('JET_errBadLogVersion');
  });
});
