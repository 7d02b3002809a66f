import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { nodeFileSystem } from '../../src/io/node-file-system.js';
import { assertSound, checkIntegrity } from '../../src/maintenance/integrity.js';
import { closePool, warmPool } from '../../src/workers/pool.js';
import { allCorpusDatabases, corpusJson, corpusPath, describeWithCorpus } from '../corpus.js';
import { DAMAGED, damagedCopy, troubles } from '../support/damaged-database.js';
import { jetErrorOf } from '../support/files.js';

interface Facts {
  readonly catalog: Record<
    string,
    { indexes: { objid: number; flags: number }[]; lv: object | null; objid: number }
  >;
  readonly rows: readonly { table: string; rows: number }[];
  readonly check: {
    readonly counts: { pages: number; zero: number; empty: number; lastOwned: number };
  };
  readonly space: { readonly leaked: readonly [number, number][]; readonly trees: readonly FactTree[] };
}

interface FactTree {
  readonly objid: number;
  readonly treePages: number;
  readonly spaceTreePages: number;
}

/** Crash states whose pages never reached the disk: nothing to be proud of, and known. */
const CRASHED = ['srum-crash-redo/SRUDB.dat', 'srum-crash-undo/SRUDB.dat'];
const INDEX_PRIMARY = 0x20;

const checkFile = async (path: string, workers?: number) =>
  checkIntegrity({ fs: nodeFileSystem }, path, { workers });

describeWithCorpus('the integrity of real databases', () => {
  afterAll(closePool);
  const databases = allCorpusDatabases();
  const sound = databases.filter(({ name }) => !CRASHED.includes(name));

  test.each(sound)('$name has no error', async ({ path, facts }) => {
    const { report, error } = await checkFile(path);
    const { space, check } = corpusJson<Facts>(...facts);
    expect(troubles(report)).toEqual([]);
    expect(error).toBeUndefined();
    expect(report).toMatchObject({ corrupt: false, complete: true, catalogUsed: 'primary' });
    const tooBig = check.counts.pages - check.counts.lastOwned;
    expect(report.warnings).toBe(tooBig > 0 ? 1 : 0);
    expect(report.findings.filter(({ code }) => code === 'SPACE_LEAK').map(({ pgno }) => pgno)).toEqual(
      space.leaked.map(([first]) => first),
    );
  });

  test.each(sound)('$name has the tables, rows and long values of its facts', async ({ path, facts }) => {
    const { report } = await checkFile(path);
    const { catalog, rows } = corpusJson<Facts>(...facts);
    const counted = report.tables.map(({ name, records }) => ({ table: name, rows: records }));
    const byName = (a: { table: string }, b: { table: string }) => (a.table < b.table ? -1 : 1);
    expect(counted.sort(byName)).toEqual(
      rows.map((one) => ({ table: one.table, rows: one.rows })).sort(byName),
    );
    for (const { name, indexes } of report.tables) {
      const secondary = catalog[name]?.indexes.filter(({ flags }) => (flags & INDEX_PRIMARY) === 0) ?? [];
      expect([name, indexes]).toEqual([name, secondary.length]);
    }
  });

  test.each(sound)(
    '$name: the classes of pages are those of its facts, and sum to all',
    async ({ path, facts }) => {
      const { pages } = (await checkFile(path)).report;
      const { check, space } = corpusJson<Facts>(...facts);
      const sum = (count: (tree: FactTree) => number) =>
        space.trees.reduce((all, tree) => all + count(tree), 0);
      const { total, used, blank, empty, available, foreign, bad } = pages;
      expect(total).toBe(check.counts.pages);
      expect(pages).toMatchObject({
        used: sum((tree) => tree.treePages),
        space: sum((tree) => tree.spaceTreePages),
        blank: check.counts.zero,
        empty: check.counts.empty,
        bad: 0,
      });
      expect(used + pages.space + blank + empty + available + foreign + bad).toBe(total);
    },
  );

  test('long values are counted: 18 in multi.edb, 6 in text.edb, 2 in test.edb, 1 in binary.edb', async () => {
    const counts: number[] = [];
    for (const name of ['multi.edb', 'text.edb', 'test.edb', 'binary.edb']) {
      const { report } = await checkFile(corpusPath('databases', name));
      counts.push(report.tables.reduce((sum, table) => sum + table.longValues, 0));
    }
    expect(counts).toEqual([18, 6, 2, 1]);
  });

  test('indexes whose order only Windows knows are named', async () => {
    const { report } = await checkFile(corpusPath('databases', 'index.edb'));
    expect(report.tables.find(({ name }) => name === 'index')?.unverifiable).toEqual([
      'IxUnicode',
      'IxLongUnicode',
    ]);
  });

  test.each(databases)('$name: the report is the same with two threads', async ({ path }) => {
    // Threads that run already are asked even for little work.
    await warmPool(1);
    expect((await checkFile(path, 2)).report).toEqual((await checkFile(path, 1)).report);
  });

  test.each(databases)('$name: the report is the same with either kernel', async ({ path }) => {
    const [js, wasm] = await Promise.all(
      (['js', 'wasm'] as const).map(
        async (kernel) => (await checkIntegrity({ fs: nodeFileSystem }, path, { kernel })).report,
      ),
    );
    expect(wasm).toEqual(js);
  });

  test('a list that is cut off holds the same findings with two threads', async () => {
    await warmPool(1);
    const folder = mkdtempSync(join(tmpdir(), 'esekit-integrity-'));
    try {
      const copy = damagedCopy(corpusPath('databases', 'large.edb'));
      for (let pgno = 40; pgno <= copy.lastPgno; pgno += 3) copy.page(pgno).bytes.fill(0x5a, 200, 264);
      const path = join(folder, 'damaged.edb');
      writeFileSync(path, copy.bytes);
      const check = async (workers: number) =>
        (await checkIntegrity({ fs: nodeFileSystem }, path, { workers, findingsMax: 20, unitPages: 8 }))
          .report;
      const one = await check(1);
      expect(one.findingsTruncated).toBe(true);
      expect(one.findings).toHaveLength(20);
      expect(await check(2)).toEqual(one);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test.each(databases)('$name: the quick check agrees', async ({ path }) => {
    const { report } = await checkFile(path);
    const verdict = report.corrupt
      ? jetErrorOf(() => assertSound(nodeFileSystem, path))
      : assertSound(nodeFileSystem, path);
    expect(verdict).toBe(report.corrupt ? 'JET_errDatabaseCorrupted' : undefined);
  });

  test('the pages that a crash left unwritten are what is wrong with a crashed database', async () => {
    const { report, error } = await checkFile(corpusPath('recovery', 'srum-crash-redo', 'SRUDB.dat'));
    expect(error?.name).toBe('JET_errDatabaseCorrupted');
    expect(report).toMatchObject({ dirty: true, corrupt: true, complete: false });
    expect(troubles(report)).toContain('PAGE_NOT_INITIALIZED 20');
    expect(troubles(report)).toContain('CAT_PRIMARY_BAD 20');
  });

  test('progress never falls and ends at the end', async () => {
    const seen: [number, number][] = [];
    await checkIntegrity({ fs: nodeFileSystem }, corpusPath('databases', 'basic.edb'), {
      onProgress: (done, total) => seen.push([done, total]),
    });
    expect(seen.map(([done]) => done)).toEqual(seen.map(([done]) => done).sort((a, b) => a - b));
    const [done, total] = seen.at(-1) ?? [];
    expect(done).toBe(total);
  });

  test('an aborted check ends with the reason of the signal', async () => {
    const signal = AbortSignal.abort(new Error('enough'));
    const path = corpusPath('databases', 'basic.edb');
    await expect(checkIntegrity({ fs: nodeFileSystem }, path, { signal })).rejects.toThrow('enough');
  });

  test('nothing is written to the database', async () => {
    const copy = damagedCopy(corpusPath('databases', 'index.edb'));
    const fs = copy.disk();
    const readOnly = new Proxy(fs, {
      get: (target, name) =>
        name === 'open' ? (path: string) => target.open(path, 'read') : Reflect.get(target, name),
    });
    expect((await checkIntegrity({ fs: readOnly }, DAMAGED)).report.corrupt).toBe(false);
  });
});
