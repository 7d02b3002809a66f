import { describe, expect, it } from 'vitest';
import { PAGE_FLAG } from '../../src/format/page.js';
import { decodeSpaceHeader } from '../../src/format/space.js';
import { applyRecord } from '../../src/operations/apply.js';
import {
  createLab,
  errorOf,
  externalOf,
  type Lab,
  nodesOf,
  OBJID,
  PAGE_PREFIX,
} from '../support/page-lab.js';

/** Key and data of an extent: last page big-endian, count little-endian. */
const extent = (last: number, count: number): string =>
  `\0\0\0${String.fromCharCode(last)}=${String.fromCharCode(count)}\0\0\0`;

const NIL = -1;
const CREATE = { ...PAGE_PREFIX, dbtimeBefore: NIL, objidFDP: OBJID };

describe('CreateMultipleExtentFDP', () => {
  const fields = {
    ...CREATE,
    pgno: 4,
    pgnoOE: 5,
    pgnoAE: 6,
    pgnoFDPParent: 1,
    cpgPrimary: 20,
    fPageFlags: 0,
  };

  it('makes a root and the roots of its space trees (chapter 2.5.1)', () => {
    const lab = createLab();
    applyRecord(lab.record('CreateMultipleExtentFDP', fields), lab.context);
    expect([4, 5, 6].map((pgno) => lab.page(pgno).flags)).toEqual([0x803, 0x823, 0x823]);
    expect(decodeSpaceHeader(lab.page(4).externalHeader, 4)).toMatchObject({
      cpg: 20,
      pgnoParent: 1,
      flags: 1,
      pgnoOe: 5,
    });
    expect(nodesOf(lab.page(4))).toEqual([]);
    expect(nodesOf(lab.page(5))).toEqual([extent(23, 20)]);
    expect(nodesOf(lab.page(6))).toEqual([extent(23, 17)]);
    expect(externalOf(lab.page(5))).toBe('\0'.repeat(16));
    for (const pgno of [4, 5, 6]) expect([lab.page(pgno).objid, lab.page(pgno).dbtime]).toEqual([OBJID, 200]);
  });

  it('an extent of three pages has none available; keys that are not unique are flagged', () => {
    const lab = createLab();
    const flags = PAGE_FLAG.index | PAGE_FLAG.nonUnique;
    applyRecord(
      lab.record('CreateMultipleExtentFDP', { ...fields, cpgPrimary: 3, fPageFlags: flags, pageFlags: 1 }),
      lab.context,
    );
    expect(nodesOf(lab.page(6))).toEqual([]);
    expect([4, 5, 6].map((pgno) => lab.page(pgno).flags)).toEqual([0xc43, 0xc63, 0xc63]);
    expect(decodeSpaceHeader(lab.page(4).externalHeader, 4).flags).toBe(3);
  });

  it('judges each of the three pages alone', () => {
    for (const present of [[4], [5], [6], [4, 5], [4, 6], [5, 6]]) {
      const lab = createLab();
      for (const pgno of present) lab.put(pgno, { dbtime: 300, nodes: [{ key: 'later', data: 'x' }] });
      applyRecord(lab.record('CreateMultipleExtentFDP', fields), lab.context);
      for (const pgno of [4, 5, 6]) {
        expect(lab.page(pgno).dbtime).toBe(present.includes(pgno) ? 300 : 200);
      }
    }
  });

  it('an impossible extent is refused', () => {
    const lab = createLab();
    for (const cpgPrimary of [0, -5, 0x7fffffff]) {
      const record = lab.record('CreateMultipleExtentFDP', { ...fields, cpgPrimary });
      expect(errorOf(() => applyRecord(record, lab.context))).toMatch('Inconsistent');
    }
  });
});

describe('CreateSingleExtentFDP', () => {
  it.each([
    [1, 0],
    [4, 0b111],
    [32, 0x7fffffff],
    [33, 0xffffffff],
    [40, 0xffffffff],
  ])('of %i pages keeps the free ones in its space header', (cpgPrimary, availableBitmap) => {
    const lab = createLab();
    const fields = { ...CREATE, pgno: 31, pgnoFDPParent: 1, cpgPrimary, fPageFlags: 0 };
    applyRecord(lab.record('CreateSingleExtentFDP', fields), lab.context);
    const header = decodeSpaceHeader(lab.page(31).externalHeader, 31);
    expect(header).toMatchObject({ cpg: cpgPrimary, pgnoParent: 1, flags: 0 });
    expect(header.availableBitmap >>> 0).toBe(availableBitmap);
    expect(lab.page(31).flags).toBe(0x803);
  });
});

describe('ConvertFDP2', () => {
  const convert = (lab: Lab, rgbitAvail: number, cpgPrimary = 8) =>
    lab.record('ConvertFDP2', {
      ...PAGE_PREFIX,
      pgno: 31,
      objidFDP: OBJID,
      pgnoOE: 60,
      pgnoAE: 61,
      pgnoFDPParent: 1,
      pgnoSecondaryFirst: 60,
      cpgPrimary,
      cpgSecondary: 5,
      rgbitAvail,
      fCpageFlags: PAGE_FLAG.root | PAGE_FLAG.parentOfLeaf | PAGE_FLAG.longValue | 0x2800,
    });
  const root = { flags: PAGE_FLAG.root | PAGE_FLAG.parentOfLeaf | PAGE_FLAG.longValue };
  const single = new Uint8Array(16);

  it('gives the tree trees of extents, with the free pages of both extents', () => {
    const lab = createLab();
    lab.put(31, { ...root, external: single });
    applyRecord(convert(lab, 0b1101100), lab.context);
    expect(decodeSpaceHeader(lab.page(31).externalHeader, 31)).toMatchObject({
      cpg: 8,
      flags: 1,
      pgnoOe: 60,
    });
    expect(nodesOf(lab.page(60))).toEqual([extent(38, 8), extent(64, 5)]);
    // Bits 2, 3 are pages 34, 35; bits 5, 6 pages 37, 38.
    expect(nodesOf(lab.page(61))).toEqual([extent(35, 2), extent(38, 2), extent(64, 3)]);
    expect([60, 61].map((pgno) => lab.page(pgno).flags)).toEqual([0x8a3, 0x8a3]);
    expect(lab.page(31).flags & 0x7).toBe(PAGE_FLAG.root | PAGE_FLAG.parentOfLeaf);
  });

  it('pages behind the reach of the bitmap are one more free extent', () => {
    const lab = createLab();
    lab.put(31, { ...root, external: single });
    applyRecord(convert(lab, 0, 40), lab.context);
    expect(nodesOf(lab.page(61))).toEqual([extent(64, 3), extent(70, 7)]);
  });

  it('an extended header keeps its other fields', () => {
    const lab = createLab();
    const extended = new Uint8Array(25);
    extended[0] = 3;
    extended[17] = 254;
    lab.put(31, { ...root, external: extended });
    applyRecord(convert(lab, 0), lab.context);
    const header = decodeSpaceHeader(lab.page(31).externalHeader, 31);
    expect([header.pgnoOe, header.autoIncrement]).toEqual([60, 254n]);
  });
});
