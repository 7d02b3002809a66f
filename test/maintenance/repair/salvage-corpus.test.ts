import { expect, test } from 'vitest';
import { openDatabaseReader } from '../../../src/engine/database-reader.js';
import type { PageSource } from '../../../src/engine/page-source.js';
import { treePages } from '../../../src/engine/tree-reader.js';
import type { CatalogRow } from '../../../src/format/catalog-row.js';
import { EseError } from '../../../src/format/ese-error.js';
import { createNodeView, NODE_FLAG } from '../../../src/format/page.js';
import { groupCatalogRows, type TableDefinition } from '../../../src/format/table-definition.js';
import type { FileSystem } from '../../../src/io/file-system.js';
import { nodeFileSystem } from '../../../src/io/node-file-system.js';
import type { Steps } from '../../../src/maintenance/defrag/copy-trees.js';
import { type PageScan, scanPages } from '../../../src/maintenance/repair/page-scan.js';
import { salvageCatalog } from '../../../src/maintenance/repair/salvage-catalog.js';
import type { SalvageCounts, SalvageTree } from '../../../src/maintenance/repair/salvage-node.js';
import {
  noteSpace,
  openSalvage,
  type SalvageSource,
  takeCensus,
} from '../../../src/maintenance/repair/salvage-source.js';
import { salvageNodes } from '../../../src/maintenance/repair/salvage-tree.js';
import { allCorpusDatabases, describeWithCorpus } from '../../corpus.js';
import { DAMAGED, damagedCopy } from '../../support/damaged-database.js';
import { pageBytes, salvageTreeOf } from '../../support/salvage-lab.js';

function finish<T>(steps: Steps<T>): T {
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

function salvageAll(source: SalvageSource, tree: SalvageTree): { nodes: string[]; counts: SalvageCounts } {
  const nodes: string[] = [];
  const counts = finish(
    salvageNodes(source, tree, ({ key, keyLength, bytes, dataOffset, dataLength }) => {
      nodes.push(
        `${hex(key.subarray(0, keyLength))}=${hex(bytes.subarray(dataOffset, dataOffset + dataLength))}`,
      );
    }),
  );
  const { good, unverified, written, superseded, dropped } = counts;
  expect(good + unverified).toBe(written + superseded + dropped.length);
  return { nodes, counts };
}

async function open(
  fs: FileSystem,
  path: string,
  pageSize: number,
): Promise<{ source: SalvageSource; scan: PageScan; rows: CatalogRow[] }> {
  const scan = await scanPages(fs, path, pageSize, { workers: 1 });
  const source = openSalvage(fs, path, scan);
  noteSpace(source, [
    { pgnoFdp: 1, objid: 1 },
    { pgnoFdp: 4, objid: 2 },
    { pgnoFdp: 24, objid: 3 },
  ]);
  const rows = finish(salvageCatalog(source)).records.map(({ row }) => row);
  return { source, scan, rows };
}

function treesOf(table: TableDefinition, pageSize: number): SalvageTree[] {
  const secondaries = table.indexes.filter(({ primary }) => !primary).map(({ name }) => name);
  const which = ['data', ...(table.longValueTree === undefined ? [] : ['longValues']), ...secondaries];
  return which.map((one) => salvageTreeOf(table, pageSize, one));
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

/** Live nodes of a tree by the ordinary reader; undefined where it cannot read all of it. */
function oracle(pages: PageSource, tree: SalvageTree): string[] | undefined {
  const node = createNodeView();
  const nodes: string[] = [];
  try {
    for (const { page } of treePages(pages, tree)) {
      for (let line = 0; page.isLeaf && line < page.nodeCount; line++) {
        page.readNode(line, node);
        if ((node.flags & NODE_FLAG.deleted) === 0)
          nodes.push(`${hex(page.key(node))}=${hex(page.data(node))}`);
      }
    }
    return nodes;
  } catch (error) {
    if (!(error instanceof EseError)) throw error;
    return undefined;
  }
}

describeWithCorpus('salvage of real databases', () => {
  for (const { name, path } of allCorpusDatabases()) {
    test(`${name}: every tree as the reader reads it, and tables without their internal pages`, async () => {
      const reader = openDatabaseReader(nodeFileSystem, path);
      const { pageSize } = reader;
      const { source, scan, rows } = await open(nodeFileSystem, path, pageSize);
      const { tables } = groupCatalogRows(rows);
      const all = tables.flatMap((table) => treesOf(table, pageSize));
      noteSpace(source, all);
      // A catalog of 65,000 rows has been read; once is enough.
      const trees = all.filter(({ objid }) => objid > 5 || rows.length < 10_000);
      try {
        const names = new Set(tables.map((table) => table.name));
        expect(reader.tables().filter((table) => !names.has(table.name))).toEqual([]);
      } finally {
        reader.close();
      }
      const internal: number[] = [];
      const oracles = new Map<SalvageTree, string[] | undefined>();
      for (const tree of trees) {
        const expected = oracle(source.pages, tree);
        oracles.set(tree, expected);
        const { nodes } = salvageAll(source, tree);
        if (expected !== undefined) expect(nodes, `tree ${tree.objid}`).toEqual(expected);
        for (const { page, level } of treePages(source.pages, tree, () => {})) {
          if (!page.isLeaf && level >= 0 && tree.kind === 'table' && tree.objid > 3) internal.push(page.pgno);
        }
      }
      expect(takeCensus(source).total).toBe(scan.lastPgno);
      source.close();
      const headless = damagedCopy(path);
      for (const pgno of internal) pageBytes(headless, pgno).fill(0);
      const damaged = await open(headless.disk(), DAMAGED, pageSize);
      noteSpace(damaged.source, all);
      for (const tree of trees.filter(({ kind, objid }) => kind === 'table' && objid > 3)) {
        const expected = oracles.get(tree);
        if (expected !== undefined) {
          expect(salvageAll(damaged.source, tree).nodes, `tree ${tree.objid}`).toEqual(expected);
        }
      }
    });
  }
});
