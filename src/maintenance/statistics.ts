/** What a database consists of, for `esekit stat`: rows, trees, pages and space (format specification, chapter 11.6). */

import type { DatabaseReader } from '../engine/database-reader.js';
import { treePages } from '../engine/tree-reader.js';
import { databaseStateName } from '../format/database-header.js';
import { EseError } from '../format/ese-error.js';
import { createNodeView, NODE_FLAG } from '../format/page.js';
import { dumpSpace, type SpaceTreeReport } from './space.js';

/** One tree. Counts are pages but for `entries`. */
export interface TreeStatistics {
  /** Name of the table that the tree belongs to; null for the database itself. */
  readonly table: string | null;
  readonly name: string;
  readonly type: 'database' | 'rows' | 'index' | 'longValues';
  readonly objid: number;
  /** Live nodes of the leaves: rows of a table, keys of an index; null where a page cannot be read. */
  readonly entries: number | null;
  /** Levels, leaves included. */
  readonly depth: number;
  readonly leafPages: number;
  readonly internalPages: number;
  /** Those of its children included. */
  readonly ownedPages: number;
  readonly availablePages: number;
}

export interface DatabaseStatistics {
  /** Bytes of a page. */
  readonly pageSize: number;
  readonly state: string;
  /** Pages that the file has room for. */
  readonly pages: number;
  readonly ownedPages: number;
  readonly availablePages: number;
  /** Owned, and used for nothing. */
  readonly leakedPages: number;
  readonly tables: number;
  /** Rows of all tables but the system's; null where some cannot be read. */
  readonly rows: number | null;
  readonly trees: readonly TreeStatistics[];
}

const TYPES = { Db: 'database', Tbl: 'rows', Pri: 'rows', Idx: 'index', LV: 'longValues' } as const;

/** Reads every tree of a database once for its nodes and once for its space. Throws what makes the catalog unreadable. */
export function databaseStatistics(reader: DatabaseReader): DatabaseStatistics {
  const space = dumpSpace(reader, { usage: true });
  const system = new Set(reader.tables().flatMap(({ name, system }) => (system ? [name] : [])));
  const trees = space.trees.flatMap((tree) => statisticsOf(reader, tree));
  const own = trees.filter(({ type, name }) => type === 'rows' && !system.has(name));
  return {
    pageSize: reader.pageSize,
    state: databaseStateName(reader.header.state),
    pages: reader.source.lastPgno,
    ownedPages: space.ownedPages,
    availablePages: space.availablePages,
    leakedPages: space.leaked ?? 0,
    tables: own.length,
    rows: own.reduce<number | null>(
      (sum, { entries }) => (sum === null || entries === null ? null : sum + entries),
      0,
    ),
    trees,
  };
}

function statisticsOf(reader: DatabaseReader, tree: SpaceTreeReport): TreeStatistics[] {
  const { name, objid, usage, ownedPages, availablePages } = tree;
  if (tree.type === 'OE' || tree.type === 'AE') return [];
  const type = TYPES[tree.type];
  return [
    {
      table: type === 'database' ? null : (tree.table ?? name),
      name,
      type,
      objid,
      entries: countEntries(reader, tree),
      depth: usage?.depth ?? 0,
      leafPages: usage?.dataPages ?? 0,
      internalPages: usage?.internalPages ?? 0,
      ownedPages,
      availablePages,
    },
  ];
}

function countEntries(reader: DatabaseReader, root: SpaceTreeReport): number | null {
  const node = createNodeView();
  let entries = 0;
  try {
    for (const { page } of treePages(reader.source, root)) {
      if (!page.isLeaf) continue;
      for (let line = 0; line < page.nodeCount; line++) {
        page.readNode(line, node);
        if ((node.flags & NODE_FLAG.deleted) === 0) entries++;
      }
    }
  } catch (error) {
    if (error instanceof EseError) return null;
    throw error;
  }
  return entries;
}
