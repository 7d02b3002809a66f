import { expect, test } from 'vitest';
import { openDatabaseReader } from '../../src/engine/database-reader.js';
import { nodeFileSystem } from '../../src/io/node-file-system.js';
import { categorizeSpace, type SpaceCategoryReport } from '../../src/maintenance/space-category.js';
import { allCorpusDatabases, corpusJson, corpusPath, describeWithCorpus } from '../corpus.js';

interface TreeFact {
  readonly tree: string;
  readonly objid: number;
  readonly root: number;
  readonly owned: number;
  readonly avail: number;
  readonly space: 'single' | 'multi';
  readonly oeRoot: number | null;
  readonly spaceTreePages: number;
  readonly splitBuffer: number;
  readonly leaked: readonly [number, number][];
  readonly availExtents: readonly [number, number][];
}

interface Facts {
  readonly space: { readonly trees: readonly TreeFact[]; readonly lastOwned: number; readonly pages: number };
  readonly trees: { readonly trees: readonly { tree: string; leaves: number; pages: number }[] };
}

/** The crashed sets have no facts about space: half of their pages were never written. */
const withSpaceFacts = allCorpusDatabases().filter(
  (database) => !Array.isArray(corpusJson<{ space: unknown }>(...database.facts).space),
);

async function categorize(path: string, options: Parameters<typeof categorizeSpace>[1]) {
  const reader = openDatabaseReader(nodeFileSystem, path);
  try {
    return await categorizeSpace(reader, options);
  } finally {
    reader.close();
  }
}

/** Pages of all categories that have a part. */
function withPart({ counts }: SpaceCategoryReport, part: string): number {
  const having = Object.entries(counts).filter(([name]) => name.split('+').includes(part));
  return having.reduce((all, [, pages]) => all + pages, 0);
}

function sum(trees: readonly TreeFact[], of: (tree: TreeFact) => number): number {
  return trees.reduce((all, tree) => all + of(tree), 0);
}

describeWithCorpus('the category of every page', () => {
  test.each(withSpaceFacts)('$name: sums to the facts of its trees', async (database) => {
    const { space, trees } = corpusJson<Facts>(...database.facts);
    const small = space.trees.filter((tree) => tree.space === 'single');
    const large = space.trees.filter((tree) => tree.space === 'multi');
    const shapes = trees.trees.filter(({ tree }) => space.trees.some((one) => one.tree === tree));
    const report = await categorize(database.path, { full: true });
    expect(report.range).toEqual([1, space.pages]);
    expect(Object.values(report.counts).reduce((all, pages) => all + pages, 0)).toBe(space.pages);
    const { Available, Root, Leaf = 0, Internal = 0, Leaked = 0, NotOwnedEof = 0 } = report.counts;
    expect(Available).toBe(sum(large, ({ avail }) => avail));
    expect(report.counts['SmallSpace+Available'] ?? 0).toBe(sum(small, ({ avail }) => avail));
    expect(Root).toBe(large.length);
    expect(report.counts['Root+SmallSpace']).toBe(small.length);
    expect(withPart(report, 'SpaceOE') + withPart(report, 'SpaceAE')).toBe(
      sum(large, ({ spaceTreePages, splitBuffer }) => spaceTreePages + splitBuffer),
    );
    expect(withPart(report, 'SplitBuffer')).toBe(sum(large, ({ splitBuffer }) => splitBuffer));
    expect(Leaf + Internal).toBe(shapes.reduce((all, { pages }) => all + pages - 1, 0));
    expect(Leaf).toBe(shapes.reduce((all, { leaves, pages }) => all + leaves - (pages === 1 ? 1 : 0), 0));
    expect(Leaked).toBe(
      sum(space.trees, ({ leaked }) => leaked.reduce((all, [first, last]) => all + last - first + 1, 0)),
    );
    expect(NotOwnedEof).toBe(Math.max(0, space.pages - space.lastOwned));
    expect(withPart(report, 'Inconsistent') + withPart(report, 'Indeterminate')).toBe(0);
  });

  test.each(withSpaceFacts)('$name: page headers tell the same as the trees', async (database) => {
    const quick = await categorize(database.path, { pagesMax: 1e6 });
    const full = await categorize(database.path, { pagesMax: 1e6, full: true });
    const leaked = new Set(
      full.pages?.filter(({ category }) => category === 'Leaked').map(({ pgno }) => pgno),
    );
    const known = (report: SpaceCategoryReport) => report.pages?.filter(({ pgno }) => !leaked.has(pgno));
    expect(known(quick)).toEqual(known(full));
  });

  test('pages have the object of the innermost tree that owns them', async () => {
    const { space } = corpusJson<Facts>('databases', 'test.edb.facts.json');
    const { pages = [] } = await categorize(corpusPath('databases', 'test.edb'), { pagesMax: 1e6 });
    for (const { root, objid, oeRoot, availExtents, space: kind } of space.trees) {
      expect(pages[root - 1]).toEqual({
        pgno: root,
        category: kind === 'multi' ? 'Root' : 'Root+SmallSpace',
        objid,
      });
      if (oeRoot === null) continue;
      expect(pages[oeRoot - 1]).toEqual({ pgno: oeRoot, category: 'Root+SpaceOE', objid });
      expect(pages[oeRoot]).toEqual({ pgno: oeRoot + 1, category: 'Root+SpaceAE', objid });
      const [pgno = 0] = availExtents[0] ?? [];
      if (pgno > 0) expect(pages[pgno - 1]).toEqual({ pgno, category: 'Available', objid });
    }
  });

  test('a range, and no more pages than asked for', async () => {
    const report = await categorize(corpusPath('databases', 'test.edb'), {
      first: 250,
      last: 1e9,
      pagesMax: 2,
    });
    expect(report).toEqual({
      range: [250, 254],
      counts: { Available: 5 },
      pages: [
        { pgno: 250, category: 'Available', objid: 1 },
        { pgno: 251, category: 'Available', objid: 1 },
      ],
      pagesTruncated: true,
    });
  });
});
