import { describe, expect, it } from 'vitest';
import { type BufferPool, type BufferPoolOptions, createBufferPool } from '../../src/engine/buffer-pool.js';
import { createFilePageSource } from '../../src/engine/page-source.js';
import type { Lgpos } from '../../src/format/ese-error.js';
import { PAGE_FLAG } from '../../src/format/page.js';
import { createSimulatedDisk } from '../../src/io/simulated-disk.js';
import { jetErrorOf } from '../support/files.js';

const PAGE_SIZE = 4096;
const PATH = '/test.edb';
/** The least that a pool keeps. */
const CAPACITY = 64;
const LEAF = PAGE_FLAG.root | PAGE_FLAG.leaf;

const at = (generation: number, isec = 1): Lgpos => ({ generation, isec, ib: 0 });

function createLab(options: Partial<BufferPoolOptions> = {}) {
  const disk = createSimulatedDisk({ trace: true });
  const file = disk.open(PATH, 'create');
  file.truncate(2 * PAGE_SIZE);
  const open = (): BufferPool =>
    createBufferPool({ file, pageSize: PAGE_SIZE, cacheBytes: CAPACITY * PAGE_SIZE, ...options });
  return { disk, file, open, pool: open() };
}

/** Builds pages that carry their number as tree and stamp. */
function build(pool: BufferPool, first: number, last: number, lgpos = at(1)): void {
  for (let pgno = first; pgno <= last; pgno++) {
    const page = pool.createPage(pgno);
    page.initialize(LEAF, pgno, 1000 + pgno);
    pool.markDirty(page, lgpos);
  }
}

describe.each([{ reusesMemory: false }, { reusesMemory: true }])('a buffer pool, %j', (options) => {
  it('gives back what was changed, from memory and from the file', () => {
    const { pool, open, file } = createLab(options);
    build(pool, 1, 10);
    expect(pool.readPage(7)).toMatchObject({ pgno: 7, objid: 7, dbtime: 1007 });
    expect(pool.readPage(7)).toBe(pool.readPage(7));
    expect(pool).toMatchObject({ dirtyPages: 10, pagesChanged: 10, lastPgno: 10 });
    expect(pool.flush()).toBe(10);
    expect(pool.flush()).toBe(0);
    expect(pool.dirtyPages).toBe(0);
    expect(open().readPage(7)).toMatchObject({ pgno: 7, objid: 7, dbtime: 1007 });
    expect(createFilePageSource(file, PAGE_SIZE).readPage(10).dbtime).toBe(1010);
  });

  it('keeps within its bound, and every page what it held', () => {
    const { pool } = createLab(options);
    const count = 10 * CAPACITY;
    for (let first = 1; first <= count; first += CAPACITY) {
      build(pool, first, first + CAPACITY - 1);
      pool.trim();
    }
    // Again and again, so that memory changes hands in all directions.
    for (let round = 0; round < 3; round++) {
      for (let i = 0; i < count; i++) {
        const pgno = 1 + ((i * 37 + round) % count);
        const page = pool.readPage(pgno);
        expect([page.pgno, page.objid, page.dbtime - 1000 - pgno]).toEqual([pgno, pgno, round]);
        page.dbtime++;
        pool.markDirty(page, at(2));
        if (i % 16 === 0) pool.trim();
      }
    }
    expect(pool.pagesChanged).toBe(count);
    expect(pool.pagesWritten).toBeGreaterThan(count);
  });

  it('does not keep the memory of a page that cannot be read', () => {
    const { pool } = createLab(options);
    pool.extend(3);
    build(pool, 2, 2);
    for (let i = 0; i < 5; i++) expect(jetErrorOf(() => pool.readPage(3))).toBe('JET_errPageNotInitialized');
    expect(jetErrorOf(() => pool.readPage(4))).toBe('JET_errFileIOBeyondEOF');
    build(pool, 3, 3);
    expect([pool.readPage(2).objid, pool.readPage(3).objid]).toEqual([2, 3]);
  });
});

describe('what a buffer pool writes', () => {
  it('is in order, neighbours in one piece, after the log', () => {
    const waits: Lgpos[] = [];
    const lab = createLab({ beforeWrite: (lgpos) => waits.push(lgpos) });
    const { pool, disk } = lab;
    build(pool, 6, 9, at(1, 9));
    build(pool, 1, 2, at(3, 4));
    build(pool, 4, 4, at(2, 7));
    const before = disk.trace.length;
    pool.flush();
    expect(waits).toEqual([at(3, 4)]);
    const writes = disk.trace.slice(before).filter(({ operation }) => operation === 'writeAt');
    expect(writes.map(({ offset, length }) => [offset, length])).toEqual([
      [2 * PAGE_SIZE, 2 * PAGE_SIZE],
      [5 * PAGE_SIZE, PAGE_SIZE],
      [7 * PAGE_SIZE, 4 * PAGE_SIZE],
    ]);
  });

  it('carries the next flush type each time: 0, 1, 2, 3, 1, …', () => {
    const { pool, open } = createLab();
    build(pool, 1, 1);
    const types = [1, 2, 3, 1, 2].map(() => {
      pool.markDirty(pool.readPage(1), at(1));
      pool.flush();
      return (open().readPage(1).flags & PAGE_FLAG.flushType) >>> 15;
    });
    expect(types).toEqual([1, 2, 3, 1, 2]);
  });

  it('leaves out pages that must wait, whatever the cache holds', () => {
    const held = new Set([5]);
    const { pool, open } = createLab({ mayWrite: (page) => !held.has(page.objid), reusesMemory: true });
    build(pool, 1, 3 * CAPACITY);
    pool.trim();
    expect(jetErrorOf(() => open().readPage(5))).toBe('JET_errPageNotInitialized');
    expect(pool.readPage(5).dbtime).toBe(1005);
    held.clear();
    pool.flush();
    expect(open().readPage(5).dbtime).toBe(1005);
  });
});

describe('a full cache', () => {
  it('writes what it gives up, and no other page', () => {
    const waits: Lgpos[] = [];
    const { pool, open } = createLab({ reusesMemory: true, beforeWrite: (lgpos) => waits.push(lgpos) });
    for (let pgno = 1; pgno <= CAPACITY; pgno++) build(pool, pgno, pgno, at(1, pgno));
    pool.trim();
    expect(pool.pagesWritten).toBe(0);
    build(pool, CAPACITY + 1, CAPACITY + 1, at(1, CAPACITY + 1));
    pool.trim();
    // An eighth of the cache goes, the oldest first: nobody has used a page since it was built.
    const given = CAPACITY / 8 + 1;
    expect(pool).toMatchObject({ pagesWritten: given, dirtyPages: CAPACITY + 1 - given, cachedPages: 56 });
    expect(waits).toEqual([at(1, given)]);
    expect(open().readPage(given).dbtime).toBe(1000 + given);
    expect(jetErrorOf(() => open().readPage(given + 1))).toBe('JET_errPageNotInitialized');
  });

  it('keeps what was used since the last time', () => {
    const { pool } = createLab({ reusesMemory: true });
    build(pool, 1, CAPACITY + 1);
    pool.trim();
    pool.readPage(12);
    build(pool, CAPACITY + 2, CAPACITY + 10);
    pool.trim();
    const kept = [9, 10, 11, 12, 13, 19, 20].filter((pgno) => pool.peekPage(pgno) !== undefined);
    expect(kept).toEqual([12, 20]);
  });

  it('verifies a page again that comes back, though it was known to be sound', () => {
    const { pool, file } = createLab({ reusesMemory: true });
    build(pool, 1, 2 * CAPACITY);
    pool.trim();
    expect(pool.peekPage(3)).toBeUndefined();
    const flip = (at: number): void => {
      const byte = new Uint8Array(1);
      file.readAt(byte, 4 * PAGE_SIZE + at);
      byte[0] = (byte[0] ?? 0) ^ 1;
      file.writeAt(byte, 4 * PAGE_SIZE + at);
    };
    flip(2000);
    expect(pool.readPage(3).dbtime).toBe(1003);
    expect([...pool.correctedPages]).toEqual([3]);
    flip(2001);
    expect(pool.readPage(3).dbtime).toBe(1003);
    for (let first = 2 * CAPACITY + 1; first < 6 * CAPACITY; first += CAPACITY) {
      build(pool, first, first + CAPACITY - 1);
      pool.trim();
    }
    expect(jetErrorOf(() => pool.readPage(3))).toBe('JET_errReadVerifyFailure');
  });
});

describe('the size of the file', () => {
  it('grows with the pages that are built, and only so far', () => {
    const { pool, file } = createLab({ freeBytes: () => 40 * PAGE_SIZE });
    build(pool, 8, 8);
    expect(file.size()).toBe(10 * PAGE_SIZE);
    expect(jetErrorOf(() => pool.createPage(100))).toBe('JET_errDiskFull');
    expect(jetErrorOf(() => pool.createPage(100_000))).toBe('JET_errFileIOBeyondEOF');
    expect(jetErrorOf(() => pool.createPage(0))).toBe('JET_errFileIOBeyondEOF');
    expect(file.size()).toBe(10 * PAGE_SIZE);
  });

  it('shrinks: what lay behind is gone, changed or not', () => {
    const { pool, file } = createLab();
    build(pool, 1, 9);
    pool.shrink(6);
    expect(pool).toMatchObject({ lastPgno: 6, dirtyPages: 6 });
    expect(file.size()).toBe(8 * PAGE_SIZE);
    pool.extend(9);
    expect(jetErrorOf(() => pool.readPage(8))).toBe('JET_errPageNotInitialized');
  });

  it('keeps blank pages, in the file and in memory', () => {
    const { pool, open } = createLab();
    build(pool, 1, 9);
    pool.flush();
    pool.blank(3, 4);
    const readable = (source: BufferPool) =>
      [1, 2, 3, 4, 5, 6, 7, 8, 9].filter((pgno) => {
        try {
          return source.readPage(pgno).objid === pgno;
        } catch {
          return false;
        }
      });
    expect(readable(pool)).toEqual([1, 2, 7, 8, 9]);
    expect(readable(open())).toEqual([1, 2, 7, 8, 9]);
  });
});

describe('pages known to be blank', () => {
  it('are those behind the file as it was found that nobody built since', () => {
    const first = createLab();
    build(first.pool, 1, 5);
    first.pool.flush();
    const pool = first.open();
    pool.extend(9);
    build(pool, 8, 8);
    // Behind the last page a piece of one could have lain, so page 6 has to be looked at.
    expect([5, 6, 7, 8, 9].map((pgno) => pool.isBlank(pgno))).toEqual([false, false, true, false, true]);
    pool.flush();
    pool.shrink(7);
    pool.extend(9);
    expect([7, 8, 9].map((pgno) => pool.isBlank(pgno))).toEqual([true, false, true]);
  });
});
