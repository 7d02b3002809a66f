import { describe, expect, it } from 'vitest';
import { Cursor } from '../../src/engine/cursor.js';
import { openDatabaseReader } from '../../src/engine/database-reader.js';
import { createTable } from '../../src/engine/schema.js';
import { walkTree } from '../../src/engine/tree-reader.js';
import { MERGE_FLAG, MERGE_TYPE } from '../../src/format/log-record-layout.js';
import { openDatabase } from '../../src/index.js';
import { seededEnvironment } from '../../src/io/environment.js';
import type { FileSystem } from '../../src/io/file-system.js';
import { randomBelow, seededRandom } from '../../src/io/seeded-random.js';
import { assertSound } from '../../src/maintenance/integrity.js';
import { recover } from '../../src/recovery/recover.js';
import { createEngineLab, LAB, LAB_DATABASE, recordsOf } from '../support/engine-lab.js';
import { judgeDatabase } from '../support/judge-database.js';

/** Rows of some 300 bytes: twelve fit on a page of 4 KiB. */
const FILLER = new Uint8Array(160).fill(5);

function queueLab() {
  const lab = createEngineLab({ pageSize: 4096 });
  const { instance, database } = lab;
  const session = instance.createSession();
  const table = createTable(database, session, {
    name: 'Queue',
    columns: [
      { name: 'name', type: 'text', maxLength: 200 },
      { name: 'filler', type: 'binary', maxLength: 255 },
    ],
    indexes: [{ name: 'byName', primary: true, segments: ['name'] }],
  });
  const cursor = new Cursor(session, table);
  /** Long keys, so that few pointers fit on an internal page. */
  const nameOf = (n: number): string =>
    `${'queue/'.repeat(12)}${String(n).padStart(6, '0')}${'x'.repeat(100)}`;
  const insert = (n: number, lazy = true): void => {
    cursor.insert({ name: nameOf(n), filler: FILLER }, { lazy });
  };
  const remove = (n: number): void => {
    expect(cursor.seek('=', nameOf(n))).toBe(true);
    cursor.delete({ lazy: true });
  };
  return { ...lab, session, cursor, insert, remove };
}

/**
 * A table with one row a leaf, and pointers so long that some twenty fill an internal page: the keys of each four
 * rows begin in the same way.
 */
function tallLab(options: Parameters<typeof createEngineLab>[0] = {}) {
  const lab = createEngineLab({ pageSize: 4096, ...options });
  const { instance, database } = lab;
  const session = instance.createSession();
  const fillers = Array.from({ length: 8 }, (_, i) => `f${i}`);
  const table = createTable(database, session, {
    name: 'Tall',
    columns: [
      { name: 'name', type: 'text', maxLength: 250 },
      { name: 'n', type: 'long' },
      ...fillers.map((name) => ({ name, type: 'binary', maxLength: 255 }) as const),
    ],
    indexes: [{ name: 'byName', primary: true, segments: ['name'] }],
  });
  const cursor = new Cursor(session, table);
  const filled = Object.fromEntries(fillers.map((name) => [name, new Uint8Array(250).fill(7)]));
  const nameOf = (n: number): string => `${String(n >> 2).padStart(5, '0')}${'x'.repeat(230)}${n & 3}`;
  const insert = (n: number) => cursor.insert({ name: nameOf(n), n, ...filled }, { lazy: true });
  const remove = (n: number): void => {
    expect(cursor.seek('=', nameOf(n))).toBe(true);
    cursor.delete({ lazy: true });
  };
  /** Levels of the tree. */
  const levels = (): number => {
    const { search } = database.trees;
    search.findEnd(table.tree);
    return search.path().length + 1;
  };
  return { ...lab, session, table, cursor, insert, remove, levels };
}

function numbersOf(cursor: Cursor): number[] {
  const found: number[] = [];
  for (let on = cursor.first(); on; on = cursor.next()) found.push(Number(cursor.get('n')));
  return found;
}

/** The rows of a closed database. */
function rowNumbers(fs: FileSystem): number[] {
  const database = openDatabase(LAB_DATABASE, { fs });
  try {
    return [...database.rows('Tall')].map(({ n }) => Number(n));
  } finally {
    database.close();
  }
}

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);

/** Pages of the tree of the queue. */
function pagesOf(fs: FileSystem): { leaves: number; internal: number; nodes: number } {
  const reader = openDatabaseReader(fs, LAB_DATABASE);
  try {
    const table = reader.tables().find(({ name }) => name === 'Queue');
    if (table === undefined) throw new Error('there is no queue');
    const count = { leaves: 0, internal: 0, nodes: 0 };
    walkTree(reader.source, table, {
      internal: () => {
        count.internal++;
      },
      leaf: (page) => {
        count.leaves++;
        count.nodes += page.nodeCount;
      },
    });
    return count;
  } finally {
    reader.close();
  }
}

describe('clean-up', () => {
  it('leaves a few pages of a queue of which all rows but the newest were taken', () => {
    const { disk, instance, insert, remove } = queueLab();
    const rows = 2000;
    for (let n = 0; n < rows; n++) {
      insert(n);
      if (n >= 20) remove(n - 20);
      if (n % 50 === 49) instance.cleanUp();
    }
    instance.close();
    const { leaves, internal, nodes } = pagesOf(disk);
    expect(nodes).toBe(20);
    expect(leaves).toBeLessThan(8);
    expect(internal).toBeLessThan(4);
    expect(judgeDatabase(disk, LAB_DATABASE).leaked).toEqual([]);
  });

  it('gives the rows of the last leaf below a page to the left one, and recovery does the same', async () => {
    const { disk, instance, cursor, insert, remove } = queueLab();
    for (let n = 0; n < 600; n++) insert(n);
    for (let n = 0; n < 600; n++) if (n % 12 !== 0) remove(n);
    instance.cleanUp();
    // Makes durable what went before.
    insert(600, false);
    const kept = Array.from({ length: 51 }, (_, i) => `${String(12 * i).padStart(6, '0')}`);
    const numbers = (): string[] => {
      const found: string[] = [];
      for (let on = cursor.first(); on; on = cursor.next()) {
        found.push(String(cursor.get('name')).replace(/^(queue\/)*|x*$/g, ''));
      }
      return found;
    };
    expect(numbers()).toEqual(kept);
    // As a crash leaves it: the pages come from the log alone.
    instance.abandon();
    const records = recordsOf(disk, `${LAB}/E00.log`);
    const types = new Set(
      records.filter(({ lrtyp }) => lrtyp === 'Merge2').map(({ mergetype }) => mergetype),
    );
    expect(types).toContain(MERGE_TYPE.fullLeft);
    await recover(seededEnvironment({ fs: disk, seed: 2 }), {
      baseName: 'E00',
      logPath: LAB,
      systemPath: LAB,
    });
    const { nodes, leaves } = pagesOf(disk);
    expect(nodes).toBe(kept.length);
    expect(leaves).toBeLessThan(15);
    expect(judgeDatabase(disk, LAB_DATABASE).leaked).toEqual([]);
  });

  it('leaves a tree that can grow again when all rows below its last internal page went', () => {
    const { disk, instance, cursor, insert, remove, levels } = tallLab();
    for (let n = 0; n < 120; n++) insert(n);
    expect(levels()).toBe(3);
    for (let n = 119; n >= 10; n--) remove(n);
    instance.cleanUp();
    for (let n = 60; n < 120; n++) insert(n);
    expect(numbersOf(cursor)).toEqual([...range(0, 10), ...range(60, 120)]);
    instance.close();
    assertSound(disk, LAB_DATABASE);
    expect(judgeDatabase(disk, LAB_DATABASE).leaked).toEqual([]);
  });

  it.each([
    { seed: 1, rows: 300, depth: 3 },
    { seed: 2, rows: 300, depth: 3 },
    { seed: 3, rows: 800, depth: 4 },
  ])(
    'of any ranges leaves a sound tree, as recovery does, down to an empty one (seed $seed)',
    async ({ seed, rows, depth }) => {
      const { disk, instance, cursor, insert, remove, levels } = tallLab();
      const random = seededRandom(seed);
      const present = new Set<number>();
      const put = (n: number): void => {
        if (present.has(n)) return;
        insert(n);
        present.add(n);
      };
      for (let n = 0; n < rows; n++) put(n);
      expect(levels()).toBe(depth);
      const sorted = (): number[] => [...present].sort((a, b) => a - b);
      for (let step = 0; step < 12; step++) {
        const from = randomBelow(random, rows);
        const to = Math.min(rows, from + randomBelow(random, rows / 2));
        // Upwards, downwards, or with gaps; some ranges come back.
        const some = range(from, to).filter((n) => present.has(n) && randomBelow(random, 10) > step % 3);
        for (const n of step % 2 === 0 ? some : some.reverse()) {
          remove(n);
          present.delete(n);
        }
        instance.cleanUp();
        if (step % 4 === 3) for (const n of range(from, to)) if (n % 3 === 0) put(n);
        expect(numbersOf(cursor)).toEqual(sorted());
      }
      instance.waitForDurability();
      const crashed = disk.fork();
      const left = sorted();
      await recover(seededEnvironment({ fs: crashed, seed: 2 }), {
        baseName: 'E00',
        logPath: LAB,
        systemPath: LAB,
      });
      assertSound(crashed, LAB_DATABASE);
      expect(judgeDatabase(crashed, LAB_DATABASE).leaked).toEqual([]);
      expect(rowNumbers(crashed)).toEqual(left);

      for (const n of seed % 2 === 0 ? left : left.reverse()) remove(n);
      instance.cleanUp();
      expect(levels()).toBe(1);
      present.clear();
      put(7);
      expect(numbersOf(cursor)).toEqual([7]);
      instance.close();
      assertSound(disk, LAB_DATABASE);
      expect(judgeDatabase(disk, LAB_DATABASE).leaked).toEqual([]);
    },
  );

  it('takes the last leaf below an internal page away, and changes the keys above, as recovery does', async () => {
    const { disk, instance, insert, remove, levels } = tallLab();
    for (let n = 0; n < 120; n++) insert(n);
    expect(levels()).toBe(3);
    // One leaf after the other: each internal page but the last loses its last leaf, and so on, and in the end its only one.
    for (let n = 99; n >= 0; n--) {
      remove(n);
      instance.cleanUp();
    }
    instance.waitForDurability();
    instance.abandon();
    const merges = recordsOf(disk, `${LAB}/E00.log`).filter(({ lrtyp }) => lrtyp === 'Merge2');
    const ofParents = merges.filter(({ mergetype }) => mergetype === MERGE_TYPE.none);
    const flagsOf = (flags: number): number =>
      ofParents.filter(({ mergeFlags }) => mergeFlags === flags).length;
    expect(flagsOf(MERGE_FLAG.keyChange)).toBeGreaterThan(60);
    expect(flagsOf(MERGE_FLAG.emptyPage)).toBeGreaterThan(1);
    await recover(seededEnvironment({ fs: disk, seed: 2 }), {
      baseName: 'E00',
      logPath: LAB,
      systemPath: LAB,
    });
    assertSound(disk, LAB_DATABASE);
    expect(rowNumbers(disk)).toEqual(range(100, 120));
    expect(judgeDatabase(disk, LAB_DATABASE).leaked).toEqual([]);
  });
});
