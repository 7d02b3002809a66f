/**
 * Giving back what a database does not use: pages that nobody uses become available again, and available ones at the
 * end of the file go (`/r … /p`, `/k`, `/kf`; format specification, chapters 5.5 and 6.1.5). Both are ordinary changes
 * of the space trees, in the log like any other. Pages in use are not moved.
 */
import { openDatabaseReader } from '../engine/database-reader.js';
import type { PageSource } from '../engine/page-source.js';
import { readTreeSpace } from '../engine/space-reader.js';
import { treePages } from '../engine/tree-reader.js';
import { OBJID_DATABASE, PGNO_DATABASE } from '../format/catalog-row.js';
import { EseError } from '../format/ese-error.js';
import type { Extent } from '../format/space.js';
import type { TableDefinition } from '../format/table-definition.js';
import type { Environment } from '../io/environment.js';
import type { FileSystem } from '../io/file-system.js';
import { startInstance } from '../recovery/start-instance.js';

export interface ReclaimOptions {
  readonly baseName: string;
  readonly logPath: string;
  readonly systemPath: string;
  /** The database; it is clean. */
  readonly path: string;
  /** Path of the database as the logs name it. Default: the path itself. */
  readonly loggedPath?: string | undefined;
  /** Make pages available that nobody uses. */
  readonly reclaims: boolean;
  /** Cut the available pages at the end off. */
  readonly shrinks: boolean;
}

export interface ReclaimReport {
  readonly path: string;
  /** Pages of the file. */
  readonly pagesBefore: number;
  readonly pagesAfter: number;
  /** Pages that nobody used, and that are available now. */
  readonly reclaimedPages: number;
}

/**
 * Reclaims space of a clean database of a log stream that has ended cleanly.
 *
 * @throws EseError what attaching it throws; the error of the first page that cannot be read, and
 *   JET_errDatabaseCorrupted where two trees use one page, or a tree has pages that the file has not: nothing was
 *   changed then
 */
export async function reclaimSpace(
  environment: Environment,
  options: ReclaimOptions,
): Promise<ReclaimReport> {
  const { baseName, logPath, systemPath, path, loggedPath, reclaims, shrinks } = options;
  const leaks = reclaims ? findLeaks(environment.fs, path) : [];
  const instance = await startInstance({
    environment,
    baseName,
    logDirectory: logPath,
    systemDirectory: systemPath,
    role: 'eseutil',
  });
  try {
    const database = instance.attachDatabase(path, loggedPath === undefined ? {} : { loggedPath });
    const pagesBefore = database.pool.lastPgno;
    const session = instance.createSession();
    for (const { pgnoFdp, extent } of leaks) {
      session.transaction(
        () => database.space.freeExtent(session, database.space.treeAt(pgnoFdp), extent.first, extent.count),
        { lazy: true },
      );
    }
    if (shrinks) {
      const pgnoLast = session.transaction(() =>
        database.space.releaseEnd(session, () => instance.transactions.log.makeDurable()),
      );
      database.shrinkFile(pgnoLast);
    }
    const pagesAfter = database.pool.lastPgno;
    instance.close();
    const reclaimedPages = leaks.reduce((sum, { extent }) => sum + extent.count, 0);
    return { path, pagesBefore, pagesAfter, reclaimedPages };
  } catch (error) {
    instance.abandon();
    throw error;
  }
}

/** Pages that a tree owns, and nobody uses. */
interface Leak {
  readonly pgnoFdp: number;
  readonly extent: { readonly first: number; readonly count: number };
}

interface OwnedTree {
  readonly pgnoFdp: number;
  readonly objid: number;
  readonly children: readonly OwnedTree[];
}

/** Reads all trees, and finds what they own without using it. */
function findLeaks(fs: FileSystem, path: string): Leak[] {
  const reader = openDatabaseReader(fs, path);
  try {
    const leaks: Leak[] = [];
    const children = reader.tables().map(tableTree);
    collectLeaks(reader.source, { pgnoFdp: PGNO_DATABASE, objid: OBJID_DATABASE, children }, leaks);
    return leaks;
  } catch (error) {
    throw error instanceof EseError ? error.at({ file: path }) : error;
  } finally {
    reader.close();
  }
}

function tableTree({ pgnoFdp, objid, indexes, longValueTree }: TableDefinition): OwnedTree {
  const children = indexes
    .filter(({ primary }) => !primary)
    .map((index) => ({ pgnoFdp: index.pgnoFdp, objid: index.objid, children: [] }));
  return {
    pgnoFdp,
    objid,
    children: longValueTree === undefined ? children : [...children, { ...longValueTree, children: [] }],
  };
}

/** Returns what the tree owns. */
function collectLeaks(source: PageSource, tree: OwnedTree, leaks: Leak[]): readonly Extent[] {
  const { owned, available, splitBuffers, spaceTreePages } = readTreeSpace(source, tree);
  for (const { first, last } of [...owned, ...available, ...splitBuffers]) {
    if (first >= 1 && last <= source.lastPgno) continue;
    throw new EseError(
      'JET_errDatabaseCorrupted',
      `tree ${tree.objid} has space behind the end of the file`,
      {
        pgno: last,
      },
    );
  }
  const isUsed = new Set<number>();
  const use = (first: number, count: number): void => {
    for (let pgno = first; pgno < first + count; pgno++) {
      if (isUsed.has(pgno)) {
        throw new EseError('JET_errDatabaseCorrupted', `the page is used twice in tree ${tree.objid}`, {
          pgno,
        });
      }
      isUsed.add(pgno);
    }
  };
  for (const child of tree.children) {
    for (const { first, count } of collectLeaks(source, child, leaks)) use(first, count);
  }
  for (const { page } of treePages(source, tree)) use(page.pgno, 1);
  for (const pgno of spaceTreePages) use(pgno, 1);
  for (const { first, count } of [...available, ...splitBuffers]) use(first, count);
  for (const { first, last } of owned) {
    for (let pgno = first; pgno <= last; pgno++) {
      if (isUsed.has(pgno)) continue;
      let end = pgno;
      while (end < last && !isUsed.has(end + 1)) end++;
      leaks.push({ pgnoFdp: tree.pgnoFdp, extent: { first: pgno, count: end - pgno + 1 } });
      pgno = end;
    }
  }
  return owned;
}
