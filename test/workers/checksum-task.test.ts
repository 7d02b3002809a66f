import { describe, expect, test } from 'vitest';
import { type ChecksumTotals, DAMAGED_FIELDS, mergeTotals } from '../../src/workers/checksum-task.js';

/** What a thread found: damaged pages, and the highest dbtime with its page. */
function totals(pgnos: number[], dbtimeMax: number, dbtimeMaxPgno: number): ChecksumTotals {
  return {
    uninitialized: 10,
    dbtimeMax,
    dbtimeMaxPgno,
    damaged: [pgnos.length, 1, 2, 3],
    beyondOwned: 3,
    list: pgnos.flatMap((pgno) => [pgno, 0, -1, 0, 1, 2, 3, pgno]),
    reads: 5,
    readMs: 20,
    readMsMax: 9,
    readMsMin: 1,
  };
}

function pgnosOf({ list }: ChecksumTotals): number[] {
  return list.filter((_, i) => i % DAMAGED_FIELDS === 0);
}

describe('mergeTotals', () => {
  test('adds counts and keeps extremes', () => {
    const faster = { ...totals([7], 50, 4), readMsMin: 0.5, readMsMax: 8 };
    expect(mergeTotals(totals([3], 60, 9), faster, 100)).toEqual({
      uninitialized: 20,
      dbtimeMax: 60,
      dbtimeMaxPgno: 9,
      damaged: [2, 2, 4, 6],
      beyondOwned: 6,
      list: [3, 0, -1, 0, 1, 2, 3, 3, 7, 0, -1, 0, 1, 2, 3, 7],
      reads: 10,
      readMs: 40,
      readMsMax: 9,
      readMsMin: 0.5,
    });
  });

  test('is the same whichever thread did what', () => {
    const a = totals([1, 4, 5, 9], 60, 700);
    const b = totals([2, 6, 7], 60, 600);
    expect(mergeTotals(a, b, 100)).toEqual(mergeTotals(b, a, 100));
    expect(mergeTotals(a, b, 100).dbtimeMaxPgno).toBe(600);
    expect(pgnosOf(mergeTotals(a, b, 100))).toEqual([1, 2, 4, 5, 6, 7, 9]);
  });

  test('keeps the lowest pages of both lists', () => {
    expect(pgnosOf(mergeTotals(totals([1, 4, 5], 1, 1), totals([2, 3, 8], 1, 1), 4))).toEqual([1, 2, 3, 4]);
  });
});
