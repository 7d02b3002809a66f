import { createHash } from 'node:crypto';
import { openDatabaseReader } from '../../src/engine/database-reader.js';
import { createFilePageSource, type PageSource } from '../../src/engine/page-source.js';
import { readTreeSpace } from '../../src/engine/space-reader.js';
import { walkTree } from '../../src/engine/tree-reader.js';
import { OBJID_DATABASE, PGNO_DATABASE } from '../../src/format/catalog-row.js';
import type { DatabaseHeader } from '../../src/format/database-header.js';
import { EseError } from '../../src/format/ese-error.js';
import { createNodeView, NODE_FLAG, type Page } from '../../src/format/page.js';
import { hasMultipleExtents } from '../../src/format/space.js';
import type { FileSystem } from '../../src/io/file-system.js';
import { exportTable } from '../../src/maintenance/export.js';

/** What a look at every page, tree and extent of a database gives. */
export interface Judgement {
  readonly header: DatabaseHeader;
  /** Pages with content, and blank ones. */
  readonly pages: number;
  readonly blank: number;
  /** Trees found from page 1 and the catalog, without their space trees. */
  readonly trees: number;
  /** Owned pages that nobody uses: after a crash they are normal. */
  readonly leaked: readonly number[];
  /** Last page that page 1 owns. */
  readonly lastOwned: number;
}

/** A tree of a database. */
export interface JudgedTree {
  readonly name: string;
  readonly objid: number;
  readonly pgnoFdp: number;
}

/** The trees that page 1 and the catalog name. */
export function treesOf(fs: FileSystem, path: string): JudgedTree[] {
  const reader = openDatabaseReader(fs, path);
  try {
    const trees: JudgedTree[] = [{ name: 'database', objid: OBJID_DATABASE, pgnoFdp: PGNO_DATABASE }];
    for (const table of reader.tables()) {
      trees.push({ name: table.name, objid: table.objid, pgnoFdp: table.pgnoFdp });
      for (const index of table.indexes) {
        if (index.objid === table.objid) continue;
        trees.push({ name: `${table.name}/${index.name}`, objid: index.objid, pgnoFdp: index.pgnoFdp });
      }
      const { longValueTree } = table;
      if (longValueTree !== undefined) {
        trees.push({ name: `${table.name}/LV`, objid: longValueTree.objid, pgnoFdp: longValueTree.pgnoFdp });
      }
    }
    return trees;
  } finally {
    reader.close();
  }
}

/**
 * Looks at a database as a whole and throws at the first fault: a checksum, a page that is not sound, a tree out of
 * order, a broken leaf chain, a page owned twice or used without being owned.
 */
export function judgeDatabase(fs: FileSystem, path: string): Judgement {
  const reader = openDatabaseReader(fs, path);
  try {
    const { source, header } = reader;
    if (!reader.election.identical) throw new Error('the header copies differ');
    const { pages, blank } = readAllPages(source);
    const trees = treesOf(fs, path);
    const users = new Map<number, string>();
    const claim = (pgno: number, user: string): void => {
      const other = users.get(pgno);
      if (other !== undefined) throw new Error(`page ${pgno} belongs to ${other} and to ${user}`);
      users.set(pgno, user);
    };
    let lastOwned = 0;
    const owned = new Set<number>();
    for (const tree of trees) {
      for (const pgno of checkTree(source, tree)) claim(pgno, tree.name);
      const space = readTreeSpace(source, tree);
      for (const pgno of space.spaceTreePages) claim(pgno, `space of ${tree.name}`);
      const own = pagesOf(space.owned);
      for (const pgno of pagesOf([...space.available, ...space.splitBuffers])) {
        if (!own.has(pgno))
          throw new Error(`page ${pgno} is available to ${tree.name}, which does not own it`);
        claim(pgno, `available to ${tree.name}`);
      }
      if (tree.pgnoFdp === PGNO_DATABASE) {
        for (const pgno of own) owned.add(pgno);
        lastOwned = Math.max(...own);
        if (!hasMultipleExtents(space.header)) throw new Error('page 1 has a single extent');
      } else {
        for (const pgno of own) {
          if (!owned.has(pgno)) throw new Error(`${tree.name} owns page ${pgno}, page 1 does not`);
        }
      }
    }
    for (const pgno of users.keys()) {
      if (!owned.has(pgno)) throw new Error(`page ${pgno} is used, and owned by nobody`);
    }
    if (lastOwned > source.lastPgno) throw new Error('the file is shorter than what page 1 owns');
    const leaked = [...owned].filter((pgno) => !users.has(pgno)).sort((a, b) => a - b);
    return { header, pages, blank, trees: trees.length, leaked, lastOwned };
  } finally {
    reader.close();
  }
}

function readAllPages(source: PageSource): { pages: number; blank: number } {
  let pages = 0;
  let blank = 0;
  for (let pgno = 1; pgno <= source.lastPgno; pgno++) {
    try {
      source.readPage(pgno);
      pages++;
    } catch (error) {
      if (!(error instanceof EseError) || error.name !== 'JET_errPageNotInitialized') throw error;
      blank++;
    }
  }
  if (source.correctedPages.size > 0) throw new Error('a page has a wrong bit');
  return { pages, blank };
}

/** The pages of a tree; throws where keys are out of order or leaves are linked wrongly. */
function checkTree(source: PageSource, tree: JudgedTree): number[] {
  const pgnos: number[] = [];
  const node = createNodeView();
  let previousLeaf = 0;
  let previousKey: Buffer | undefined;
  const isUnique = !nonUnique(source.readPage(tree.pgnoFdp));
  walkTree(source, tree, {
    internal: (page) => pgnos.push(page.pgno),
    leaf: (page) => {
      pgnos.push(page.pgno);
      if (page.pgnoPrev !== previousLeaf)
        throw new Error(`page ${page.pgno} does not link back to ${previousLeaf}`);
      previousLeaf = page.pgno;
      for (let line = 0; line < page.nodeCount; line++) {
        page.readNode(line, node);
        const key = Buffer.from(page.key(node));
        const order =
          previousKey === undefined
            ? -1
            : isUnique
              ? Buffer.compare(previousKey, key)
              : Buffer.compare(previousKey, Buffer.concat([key, page.data(node)]));
        if (order >= 0) throw new Error(`page ${page.pgno}, node ${line} is out of order`);
        previousKey = isUnique ? key : Buffer.concat([key, page.data(node)]);
      }
      return true;
    },
  });
  return pgnos;
}

function nonUnique(root: Page): boolean {
  return (root.flags & 0x400) !== 0;
}

function pagesOf(extents: readonly { first: number; last: number; count: number }[]): Set<number> {
  const pages = new Set<number>();
  for (const { first, last, count } of extents) {
    for (let pgno = first; count > 0 && pgno <= last; pgno++) {
      if (pages.has(pgno)) throw new Error(`page ${pgno} lies in two extents`);
      pages.add(pgno);
    }
  }
  return pages;
}

/** Rows and digest of every table in canonical form, as the facts of the corpus have them. */
export async function rowDigests(
  fs: FileSystem,
  path: string,
): Promise<{ table: string; rows: number; sha256: string }[]> {
  const reader = openDatabaseReader(fs, path);
  try {
    const digests = [];
    for (const table of reader.tables()) {
      const hash = createHash('sha256');
      const { rows } = await exportTable(reader, table, 'canonical', (bytes) => {
        hash.update(bytes);
      });
      digests.push({ table: table.name, rows, sha256: hash.digest('hex') });
    }
    return digests;
  } finally {
    reader.close();
  }
}

/** A page as data: everything that means something, in a form that compares. */
export function pageContent(page: Page): unknown {
  const node = createNodeView();
  const nodes: string[] = [];
  for (let line = 0; line < page.nodeCount; line++) {
    page.readNode(line, node);
    const key = Buffer.from(page.key(node)).toString('hex');
    const data = Buffer.from(page.data(node)).toString('hex');
    nodes.push(`${key}=${data}${(node.flags & NODE_FLAG.deleted) !== 0 ? ' deleted' : ''}`);
  }
  return {
    objid: page.objid,
    dbtime: page.dbtime,
    // Without checksum format, scrub mark and write counter.
    flags: page.flags & ~0x1e000,
    links: [page.pgnoPrev, page.pgnoNext],
    external: Buffer.from(page.externalHeader).toString('hex'),
    nodes,
  };
}

/** Opens the pages of a file. */
export function openPages(fs: FileSystem, path: string, pageSize = 4096): PageSource {
  return createFilePageSource(fs.open(path, 'read'), pageSize);
}

/** The content of a page, `undefined` for a blank one. */
export function contentOf(source: PageSource, pgno: number): unknown {
  try {
    return pageContent(source.readPage(pgno));
  } catch (error) {
    if (error instanceof EseError && error.name === 'JET_errPageNotInitialized') return undefined;
    throw error;
  }
}
