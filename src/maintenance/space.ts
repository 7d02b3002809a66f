/**
 * How the space of a database is owned and used, tree by tree, as `/ms` reports it (format specification,
 * chapters 2.2.7, 6.2.5 and 11.4.1).
 */

import type { DatabaseReader } from '../engine/database-reader.js';
import type { PageSource } from '../engine/page-source.js';
import { readTreeSpace, type TreeSpace } from '../engine/space-reader.js';
import { treePages } from '../engine/tree-reader.js';
import { OBJID_DATABASE, PGNO_DATABASE, type SpaceHints } from '../format/catalog-row.js';
import { EseError } from '../format/ese-error.js';
import { type Extent, hasMultipleExtents, SPACE_FLAG, SPACE_POOL } from '../format/space.js';
import type { TableDefinition } from '../format/table-definition.js';
import { type ErrorReport, errorReport } from './report-values.js';

export type SpaceTreeType = 'Db' | 'OE' | 'AE' | 'Tbl' | 'Pri' | 'LV' | 'Idx';

/** A run of pages; the pool tells what an available one is kept for. */
export interface ExtentReport {
  readonly first: number;
  readonly last: number;
  readonly pool: string;
}

/** The space of one tree. Counts are pages; `ownedPages` of a tree include those of its children. */
export interface SpaceTreeReport {
  readonly name: string;
  readonly type: SpaceTreeType;
  /** Table of an index or long-value tree, or of their space trees. */
  readonly table?: string;
  readonly objid: number;
  readonly pgnoFdp: number;
  /** 0 where the format has given up counting it. */
  readonly primaryExtentPages: number;
  /** Pages of the owned extent that begins at the root. */
  readonly rootExtentPages: number;
  readonly extent: 'single' | 'multiple';
  readonly pgnoOe: number | null;
  readonly ownedPages: number;
  readonly ownedExtents: number;
  readonly ownedPgnoMin: number;
  readonly ownedPgnoMax: number;
  readonly availablePages: number;
  readonly availableExtents: number;
  /** Available pages that are kept for sequential growth. */
  readonly reservedPages: number;
  /** Pages beyond the end of the file that must not be used; of the database only. */
  readonly shelvedPages: number;
  /** Pages kept to split the space trees. */
  readonly splitBufferPages: number;
  readonly spaceTreePages: number;
  /** Auto-increment maximum where the root keeps it, as a decimal string. */
  readonly autoIncrement: string | null;
  readonly hints?: SpaceHints;
  /** Leaves, branch pages and levels; only where usage was asked for. */
  readonly usage?: SpaceUsage;
  /** Owned, or for an AE row available, extents; only where they were asked for. */
  readonly extents?: readonly ExtentReport[];
  /** The space of this tree cannot be read; all counts are 0. */
  readonly error?: ErrorReport;
}

export interface SpaceUsage {
  readonly dataPages: number;
  readonly internalPages: number;
  readonly depth: number;
  /** Owned by the tree and used for nothing; negative where pages are used twice. */
  readonly leakedPages: number;
}

export interface SpaceReport {
  readonly trees: readonly SpaceTreeReport[];
  /** Pages that the database owns. */
  readonly ownedPages: number;
  /** Available pages of all trees together. */
  readonly availablePages: number;
  /** Pages that are used for nothing; only where usage was asked for. */
  readonly leaked?: number;
}

export interface SpaceOptions {
  /** One table only. */
  readonly table?: string | undefined;
  /** Rows for the OE and AE trees too. */
  readonly spaceTrees?: boolean;
  /** List the extents. */
  readonly extents?: boolean;
  /** Walk every tree to count its pages, and find what is leaked. */
  readonly usage?: boolean;
}

interface Tree {
  readonly name: string;
  readonly type: SpaceTreeType;
  readonly table?: string;
  readonly objid: number;
  readonly pgnoFdp: number;
  readonly hints?: SpaceHints | undefined;
  readonly children: readonly Tree[];
}

/**
 * Reads the space of every tree, or of the trees of one table. A tree whose space cannot be read is reported
 * with its error and does not stop the others.
 *
 * @throws EseError `JET_errObjectNotFound` when there is no such table, or what makes the catalog unreadable
 */
export function dumpSpace(reader: DatabaseReader, options: SpaceOptions = {}): SpaceReport {
  const tables =
    options.table === undefined ? [...reader.tables()].sort(byName) : [reader.table(options.table)];
  const tableTrees = tables.map(tableTree);
  const database: Tree = {
    name: reader.path.slice(Math.max(reader.path.lastIndexOf('/'), reader.path.lastIndexOf('\\')) + 1),
    type: 'Db',
    objid: OBJID_DATABASE,
    pgnoFdp: PGNO_DATABASE,
    children: tableTrees,
  };
  const { trees, databaseOwned } = reportTrees(reader.source, database, options);
  const leaked = trees.reduce((sum, tree) => sum + (tree.usage?.leakedPages ?? 0), 0);
  return {
    trees,
    ownedPages: databaseOwned,
    availablePages: trees.reduce((sum, tree) => sum + (isSpaceTree(tree) ? 0 : tree.availablePages), 0),
    ...(options.usage === true ? { leaked } : {}),
  };
}

function byName(a: { readonly name: string }, b: { readonly name: string }): number {
  const [left, right] = [a.name.toUpperCase(), b.name.toUpperCase()];
  return left < right ? -1 : left > right ? 1 : 0;
}

function isSpaceTree(tree: SpaceTreeReport): boolean {
  return tree.type === 'OE' || tree.type === 'AE';
}

/** A table with its long-value tree and its secondary indexes; the primary index is the table itself. */
function tableTree(table: TableDefinition): Tree {
  const longValues: Tree[] =
    table.longValueTree === undefined
      ? []
      : [
          {
            name: '<Long Values>',
            type: 'LV',
            table: table.name,
            objid: table.longValueTree.objid,
            pgnoFdp: table.longValueTree.pgnoFdp,
            hints: table.deferredLvSpaceHints,
            children: [],
          },
        ];
  const indexes = table.indexes
    .filter((index) => !index.primary)
    .sort(byName)
    .map(
      (index): Tree => ({
        name: index.name,
        type: 'Idx',
        table: table.name,
        objid: index.objid,
        pgnoFdp: index.pgnoFdp,
        hints: index.spaceHints,
        children: [],
      }),
    );
  return {
    name: table.name,
    type: 'Tbl',
    objid: table.objid,
    pgnoFdp: table.pgnoFdp,
    hints: table.spaceHints,
    children: [...longValues, ...indexes],
  };
}

function reportTrees(
  source: PageSource,
  database: Tree,
  options: SpaceOptions,
): { trees: SpaceTreeReport[]; databaseOwned: number } {
  const rows: SpaceTreeReport[] = [];
  // A parent's leak is what its children do not own, so children are read first and printed after.
  const report = (tree: Tree): number => {
    const at = rows.length;
    let ownedByChildren = 0;
    for (const child of tree.children) ownedByChildren += report(child);
    const own = treeRows(source, tree, ownedByChildren, options);
    rows.splice(at, 0, ...own);
    return own[0]?.ownedPages ?? 0;
  };
  const onlyTable = options.table !== undefined;
  const databaseOwned = onlyTable ? pageCount(readTreeSpace(source, database).owned) : report(database);
  if (onlyTable) for (const table of database.children) report(table);
  return { trees: rows, databaseOwned };
}

function pageCount(extents: readonly Extent[]): number {
  return extents.reduce((sum, extent) => sum + extent.count, 0);
}

/** The row of a tree, and those of its space trees where they are wanted. */
function treeRows(
  source: PageSource,
  tree: Tree,
  ownedByChildren: number,
  options: SpaceOptions,
): SpaceTreeReport[] {
  let space: TreeSpace;
  let usage: SpaceUsage | undefined;
  try {
    space = readTreeSpace(source, tree);
    if (options.usage === true) usage = treeUsage(source, tree, space, ownedByChildren);
  } catch (error) {
    if (!(error instanceof EseError)) throw error;
    return [{ ...emptyRow(tree), error: errorReport(error) }];
  }
  const row = treeRow(tree, space, usage, options);
  const isMultiple = hasMultipleExtents(space.header);
  if (options.spaceTrees !== true || !isMultiple) return [row];
  return [
    row,
    spaceTreeRow(source, tree, 'OE', space.header.pgnoOe, space.owned, options),
    spaceTreeRow(source, tree, 'AE', space.header.pgnoOe + 1, space.available, options),
  ];
}

function identity(tree: Tree): Pick<SpaceTreeReport, 'name' | 'type' | 'table' | 'objid' | 'pgnoFdp'> {
  const { name, type, table, objid, pgnoFdp } = tree;
  return { name, type, ...(table === undefined ? {} : { table }), objid, pgnoFdp };
}

function emptyRow(tree: Tree): SpaceTreeReport {
  return {
    ...identity(tree),
    primaryExtentPages: 0,
    rootExtentPages: 0,
    extent: 'single',
    pgnoOe: null,
    ownedPages: 0,
    ownedExtents: 0,
    ownedPgnoMin: 0,
    ownedPgnoMax: 0,
    availablePages: 0,
    availableExtents: 0,
    reservedPages: 0,
    shelvedPages: 0,
    splitBufferPages: 0,
    spaceTreePages: 0,
    autoIncrement: null,
  };
}

function treeRow(
  tree: Tree,
  space: TreeSpace,
  usage: SpaceUsage | undefined,
  options: SpaceOptions,
): SpaceTreeReport {
  const { header, owned, available, splitBuffers, spaceTreePages } = space;
  const isMultiple = hasMultipleExtents(header);
  const inPool = (pool: number) => available.filter((extent) => extent.pool === pool);
  const usable = available.filter((extent) => extent.pool !== SPACE_POOL.shelved);
  // Where the OE tree has a row of its own, its extents are listed there.
  const listsExtents = options.extents === true && !(options.spaceTrees === true && isMultiple);
  return {
    ...emptyRow(tree),
    primaryExtentPages: (header.flags & SPACE_FLAG.v2) === 0 ? header.cpg : 0,
    rootExtentPages: owned.find((extent) => extent.first === tree.pgnoFdp)?.count ?? 0,
    extent: isMultiple ? 'multiple' : 'single',
    pgnoOe: isMultiple ? header.pgnoOe : null,
    ownedPages: pageCount(owned),
    ownedExtents: owned.length,
    ownedPgnoMin: owned.reduce((least, extent) => Math.min(least, extent.first), Number.POSITIVE_INFINITY),
    ownedPgnoMax: owned.reduce((most, extent) => Math.max(most, extent.last), 0),
    availablePages: pageCount(usable),
    availableExtents: usable.length,
    reservedPages: pageCount(inPool(SPACE_POOL.continuous)),
    shelvedPages: pageCount(inPool(SPACE_POOL.shelved)),
    splitBufferPages: pageCount(splitBuffers),
    spaceTreePages: spaceTreePages.length,
    autoIncrement: header.autoIncrement?.toString() ?? null,
    ...(tree.hints === undefined ? {} : { hints: tree.hints }),
    ...(usage === undefined ? {} : { usage }),
    ...(listsExtents ? { extents: owned.map(extentReport) } : {}),
  };
}

function spaceTreeRow(
  source: PageSource,
  tree: Tree,
  type: 'OE' | 'AE',
  pgnoFdp: number,
  extents: readonly Extent[],
  options: SpaceOptions,
): SpaceTreeReport {
  let pages = 0;
  for (const _ of treePages(source, { pgnoFdp, objid: tree.objid })) pages++;
  const row = {
    ...emptyRow({ ...tree, name: type === 'OE' ? '<Owned Extents>' : '<Available Extents>', type, pgnoFdp }),
    table: tree.table ?? tree.name,
    ownedPages: pages,
  };
  return options.extents === true ? { ...row, extents: extents.map(extentReport) } : row;
}

const POOL_NAMES: readonly string[] = ['general', 'continuous', 'shelved'];

function extentReport({ first, last, pool }: Extent): ExtentReport {
  return { first, last, pool: POOL_NAMES[pool] ?? String(pool) };
}

function treeUsage(source: PageSource, tree: Tree, space: TreeSpace, ownedByChildren: number): SpaceUsage {
  let dataPages = 0;
  let internalPages = 0;
  let depth = 0;
  for (const { page, level } of treePages(source, tree)) {
    if (page.isLeaf) dataPages++;
    else internalPages++;
    depth = Math.max(depth, level + 1);
  }
  const usable = space.available.filter((extent) => extent.pool !== SPACE_POOL.shelved);
  const accounted =
    ownedByChildren +
    pageCount(usable) +
    pageCount(space.splitBuffers) +
    dataPages +
    internalPages +
    space.spaceTreePages.length;
  return { dataPages, internalPages, depth, leakedPages: pageCount(space.owned) - accounted };
}
