import { expect, test } from 'vitest';
import { openDatabaseReader } from '../../src/engine/database-reader.js';
import { nodeFileSystem } from '../../src/io/node-file-system.js';
import { dumpSpace } from '../../src/maintenance/space.js';
import { allCorpusDatabases, corpusJson, corpusPath, describeWithCorpus } from '../corpus.js';

interface TreeFact {
  readonly tree: string;
  readonly kind: 'db' | 'table' | 'index' | 'lv';
  readonly objid: number;
  readonly root: number;
  readonly owned: number;
  readonly avail: number;
  readonly cpg: number;
  readonly space: 'single' | 'multi';
  readonly v2: boolean;
  readonly oeRoot: number | null;
  readonly ownedExtents: readonly [number, number][];
  readonly availExtents: readonly [number, number][];
  readonly spaceTreePages: number;
  readonly splitBuffer: number;
  readonly treePages: number;
  readonly leaked: readonly [number, number][];
}

interface Facts {
  readonly space: { readonly trees: readonly TreeFact[]; readonly lastOwned: number };
  readonly trees: {
    readonly trees: readonly { tree: string; depth: number; leaves: number; pages: number }[];
  };
}

const TYPES = { db: 'Db', table: 'Tbl', index: 'Idx', lv: 'LV' } as const;

/** The facts list no more extents of a tree than this. */
const EXTENTS_LISTED = 40;

/** The crashed sets have no facts about space: half of their pages were never written. */
const withSpaceFacts = allCorpusDatabases().filter(
  (database) => !Array.isArray(corpusJson<{ space: unknown }>(...database.facts).space),
);

describeWithCorpus('the space of real databases', () => {
  test.each(withSpaceFacts)('$name: every tree as its facts say', (database) => {
    const facts = corpusJson<Facts>(...database.facts);
    const reader = openDatabaseReader(nodeFileSystem, database.path);
    const report = dumpSpace(reader, { usage: true, extents: true });
    reader.close();

    expect(report.trees.map((tree) => tree.objid).sort((a, b) => a - b)).toEqual(
      facts.space.trees.map((tree) => tree.objid).sort((a, b) => a - b),
    );
    const shapes = new Map(facts.trees.trees.map((shape) => [shape.tree, shape]));
    for (const fact of facts.space.trees) {
      const shape = shapes.get(fact.tree);
      const row = report.trees.find((tree) => tree.objid === fact.objid);
      expect(row).toMatchObject({
        type: TYPES[fact.kind],
        pgnoFdp: fact.root,
        primaryExtentPages: fact.v2 ? 0 : fact.cpg,
        extent: fact.space === 'multi' ? 'multiple' : 'single',
        pgnoOe: fact.oeRoot,
        ownedPages: fact.owned,
        availablePages: fact.avail,
        spaceTreePages: fact.spaceTreePages,
        splitBufferPages: fact.splitBuffer,
        usage: {
          dataPages: shape?.leaves,
          internalPages: (shape?.pages ?? 0) - (shape?.leaves ?? 0),
          depth: shape?.depth,
          leakedPages: fact.leaked.reduce((sum, [first, last]) => sum + last - first + 1, 0),
        },
      });
      const listed = fact.ownedExtents.map(([first, count]) => ({
        first,
        last: first + count - 1,
        pool: 'general',
      }));
      expect(row?.extents?.slice(0, EXTENTS_LISTED)).toEqual(listed);
      if (listed.length === EXTENTS_LISTED) continue;
      expect(row).toMatchObject({
        ownedExtents: listed.length,
        ownedPgnoMin: Math.min(...listed.map((extent) => extent.first)),
        ownedPgnoMax: Math.max(...listed.map((extent) => extent.last)),
      });
    }
    const owned = facts.space.trees.find((tree) => tree.kind === 'db')?.owned;
    expect(report.ownedPages).toBe(owned);
    expect(report.availablePages).toBe(facts.space.trees.reduce((sum, tree) => sum + tree.avail, 0));
    const leaked = facts.space.trees.flatMap((tree) => tree.leaked);
    expect(report.leaked).toBe(leaked.reduce((sum, [first, last]) => sum + last - first + 1, 0));
  });

  test('a tree that cannot be read is reported with its error, and the others still are', () => {
    const reader = openDatabaseReader(nodeFileSystem, corpusPath('recovery', 'srum-crash-redo', 'SRUDB.dat'));
    const { trees } = dumpSpace(reader, { usage: true });
    reader.close();
    const unreadable = trees.filter((tree) => tree.error !== undefined);
    expect(unreadable.length).toBeGreaterThan(0);
    expect(unreadable.length).toBeLessThan(trees.length);
    for (const { error } of unreadable) expect(error?.name).toBe('JET_errPageNotInitialized');
  });

  test('rows: tables by name, each followed by its long values and its indexes by name', () => {
    const reader = openDatabaseReader(nodeFileSystem, corpusPath('databases', 'compressed-8k.edb'));
    const rows = dumpSpace(reader).trees.map((tree) => `${tree.type} ${tree.table ?? ''}/${tree.name}`);
    reader.close();
    expect(rows[0]).toBe('Db /compressed-8k.edb');
    const at = rows.indexOf('Tbl /MSysObjects');
    expect(rows.slice(at, at + 4)).toEqual([
      'Tbl /MSysObjects',
      'Idx MSysObjects/Name',
      'Idx MSysObjects/RootObjects',
      'Tbl /MSysObjectsShadow',
    ]);
  });

  test('one table only, with its space trees', () => {
    const reader = openDatabaseReader(nodeFileSystem, corpusPath('databases', 'ual-dirty.mdb'));
    const { trees, ownedPages } = dumpSpace(reader, {
      table: 'msysobjects',
      spaceTrees: true,
      extents: true,
    });
    expect(() => dumpSpace(reader, { table: 'nowhere' })).toThrow(/there is no table nowhere/);
    reader.close();
    expect(ownedPages).toBe(254);
    expect(trees.slice(0, 3)).toMatchObject([
      { name: 'MSysObjects', type: 'Tbl', pgnoFdp: 4 },
      {
        type: 'OE',
        table: 'MSysObjects',
        pgnoFdp: 5,
        extents: [
          { first: 4, last: 23 },
          { first: 42, last: 61 },
        ],
      },
      { type: 'AE', table: 'MSysObjects', pgnoFdp: 6, extents: [] },
    ]);
  });
});
