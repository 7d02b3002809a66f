/**
 * The first part of the check, in one thread: header, catalog, space, and the pages above the leaves. It makes
 * the plan by which the leaves are read (format specification, chapter 7.1.2).
 */

import { readHeaderElection } from '../../engine/header-election.js';
import { createFilePageSource, type PageSource } from '../../engine/page-source.js';
import {
  OBJID_CATALOG,
  OBJID_CATALOG_SHADOW,
  OBJID_DATABASE,
  PGNO_CATALOG,
  PGNO_CATALOG_SHADOW,
  PGNO_DATABASE,
} from '../../format/catalog-row.js';
import type { KernelKind } from '../../format/checksum-kernel.js';
import {
  checkHeaderSupported,
  DATABASE_STATE,
  type DatabaseHeader,
  databaseStateName,
  type HeaderElection,
} from '../../format/database-header.js';
import { EseError } from '../../format/ese-error.js';
import { PAGE_FLAG, type Page } from '../../format/page.js';
import { decodeSpaceHeader, SPACE_FLAG } from '../../format/space.js';
import type { TableDefinition } from '../../format/table-definition.js';
import type { FileHandle } from '../../io/file-system.js';
import {
  areCatalogsEqual,
  CATALOG,
  type CatalogCopy,
  checkCatalogRows,
  compareCatalogs,
  readCatalogCopy,
  SHADOW_CATALOG,
} from './catalog-check.js';
import {
  createFindingList,
  type FindingList,
  type FindingSubject,
  RANK_HEADER,
  RANK_SIZE,
} from './finding.js';
import { createGrowingList, finishList, push } from './growing-list.js';
import { createKeyBuffer } from './key-buffer.js';
import { createLeafChecker } from './leaf-check.js';
import { createPageReader, type PageReader, ROLE_FLAGS } from './page-check.js';
import {
  type CheckedTree,
  type IntegrityPlan,
  PAGE_STATE,
  PAGE_USE,
  PAGE_USE_MASK,
  pagesPerRange,
} from './plan.js';
import {
  createSpaceRegistry,
  lastPageOf,
  type PageMap,
  readSpace,
  type SpaceContext,
  type SpaceRegistry,
  type TreeSpace,
} from './space-check.js';
import { type WalkContext, walkInternalPages } from './tree-walk.js';

/** Ranks of the report in front of the tables. */
const RANK_ROOT = 0;
const RANK_SYSTEM = 1;
export const RANK_CATALOG = 100;
export const RANK_OBJIDS = 101;
export const RANK_LOCALES = 102;
const RANK_TABLES = 1000;

/** "Shadowing is disabled" in the header's dbFlags (chapter 1.2.2). */
const SHADOW_DISABLED = 0x1;

/** States of a file that was left while it was being made into something else. */
const UNFINISHED_STATES: readonly number[] = [DATABASE_STATE.justCreated, DATABASE_STATE.beingConverted];

export interface ExamineOptions {
  readonly findingsMax: number;
  readonly comparesIndexes: boolean;
  /** Whether the plan must be such that threads can share it. */
  readonly isShared: boolean;
  /** Whether pages that no tree reaches are looked at too. */
  readonly countsPages: boolean;
  /** What a trusted flush map says of each page. */
  flushStatesOf(header: DatabaseHeader, lastPgno: number): Uint8Array | undefined;
  /** Most pages that a thread takes at once; by default as many as it reads at once. */
  readonly unitPages: number | undefined;
  /** Which kernel is used; by default the one that suits the file. */
  readonly kernel: KernelKind | undefined;
}

/** What is known before the leaves are read. */
export interface Examination {
  readonly election: HeaderElection;
  readonly header: DatabaseHeader;
  readonly list: FindingList;
  /** Absent where the check had to stop. */
  readonly body: ExaminedBody | undefined;
}

export interface ExaminedBody {
  readonly plan: IntegrityPlan;
  readonly source: PageSource;
  readonly catalogUsed: 'primary' | 'shadow' | 'none';
  /** The catalog that is used was read in full. */
  readonly isCatalogComplete: boolean;
  readonly map: PageMap;
  /** Reads a page outside of the plan, for a second look. */
  readonly read: PageReader;
  /** Trees of which not all pages are known, by position. */
  readonly incompleteWalks: ReadonlySet<number>;
  /** Trees of which not all extents are known. */
  readonly incompleteSpaces: ReadonlySet<number>;
}

/** Examines a database file; yields often, for others to have a turn. */
export function* examine(file: FileHandle, options: ExamineOptions): Generator<void, Examination, undefined> {
  const list = createFindingList(options.findingsMax);
  const election = readHeaderElection(file);
  const { header, pageSize } = election;
  const { path } = file;
  if (header === undefined) {
    throw new EseError('JET_errDatabaseCorrupted', 'the file has no database header', { file: path });
  }
  const stopped = { election, header, list, body: undefined };
  if (!checkHeader(election, header, list)) return stopped;
  checkHeaderSupported(header, path);
  const remainder = file.size() % pageSize;
  if (remainder !== 0) {
    const message = `the file ends within a page, of which ${remainder} bytes are there`;
    list.add({ rank: RANK_SIZE }, 'SIZE_NOT_MULTIPLE', 'error', message);
    return stopped;
  }
  const lastPgno = Math.max(0, file.size() / pageSize - 2);
  const source = createFilePageSource(file, pageSize);
  const isClean = header.state === DATABASE_STATE.cleanShutdown;
  const catalog = chooseCatalog(source, header, list);
  yield;
  const { tables, unusable } = checkCatalogRows(
    catalog.copy,
    lastPgno,
    isClean ? header.objidLast : Infinity,
    list,
    CATALOG_SUBJECT,
  );
  const ordered = [...tables.slice(0, 2), ...tables.slice(2).sort(byName)];
  const trees = listTrees(ordered, unusable);
  yield;
  const pageMap = newPageMap(lastPgno, options.isShared);
  const rawRead = createPageReader(file, pageSize, lastPgno);
  const read = markingReader(rawRead, pageMap);
  const dbtimeMax = isClean ? header.dbtimeDirtied : Infinity;
  const flushStates = options.flushStatesOf(header, lastPgno);
  const leafChecker = createLeafChecker(pageSize, { dbtimeMax, flushStates });
  const context: SpaceContext = {
    read,
    pageSize,
    lastPgno,
    dbtimeMax,
    flushStates,
    list,
    leafChecker,
    keys: [createKeyBuffer(), createKeyBuffer()],
  };
  const registry = createSpaceRegistry(pageMap, trees, list);
  const spaces = yield* examineSpace(context, trees, registry);
  const lastOwned = checkSize(spaces.get(0), lastPgno, list);
  const walked = yield* walkTrees(context, trees, registry, spaces);
  const incompleteSpaces = new Set<number>();
  for (const [position] of trees.entries()) {
    if (spaces.get(position)?.isComplete !== true) incompleteSpaces.add(position);
  }
  const windowPages = Math.max(
    1,
    Math.min(options.unitPages ?? Infinity, pagesPerRange(pageSize), Math.max(WINDOW_LEAST, lastPgno)),
  );
  const leaves = finishList(walked.leaves, options.isShared);
  const firstLeaf = finishList(walked.firstLeaf, options.isShared);
  const plan: IntegrityPlan = {
    path,
    pageSize,
    lastPgno,
    lastOwnedPgno: Math.min(lastOwned, lastPgno),
    dbtimeMax,
    flushStates,
    tables: ordered,
    trees,
    leaves,
    firstLeaf,
    parents: finishList(walked.parents, options.isShared),
    parentFirstLeaf: finishList(walked.parentFirstLeaf, options.isShared),
    leafAt: locateLeaves(leaves, firstLeaf, trees, lastPgno, options.isShared),
    units: listUnits(firstLeaf, trees, windowPages),
    windowPages,
    countsPages: options.countsPages,
    pageMap,
    comparesIndexes: options.comparesIndexes,
    findingsMax: options.findingsMax,
    kernel: options.kernel,
  };
  return {
    election,
    header,
    list,
    body: {
      plan,
      source,
      catalogUsed: catalog.used,
      isCatalogComplete: catalog.isComplete,
      map: registry.map,
      read: rawRead,
      incompleteWalks: new Set(walked.incomplete),
      incompleteSpaces,
    },
  };
}

/** Checks both header copies and the state. Returns false if there is nothing more to check. */
function checkHeader(election: HeaderElection, header: DatabaseHeader, list: FindingList): boolean {
  const subject: FindingSubject = { rank: RANK_HEADER };
  if (election.source === 'none') {
    list.add(subject, 'HDR_BOTH_BAD', 'error', 'both copies of the database header are damaged', {
      pgno: -1,
    });
    return false;
  }
  if (election.source === 'shadow') {
    list.add(subject, 'HDR_PRIMARY_BAD', 'warning', 'the database header is damaged', { pgno: -1 });
  } else if (!election.shadow.ok) {
    list.add(subject, 'HDR_SHADOW_BAD', 'warning', 'the shadow header is damaged', { pgno: 0 });
  } else if (!election.identical) {
    list.add(subject, 'HDR_SHADOW_BAD', 'warning', 'the shadow header is not the same as the header', {
      pgno: 0,
    });
  }
  const name = databaseStateName(header.state);
  if (!UNFINISHED_STATES.includes(header.state) && name !== databaseStateName(0)) return true;
  list.add(subject, 'HDR_STATE', 'error', `the database is in the state ${header.state} (${name})`, {
    pgno: -1,
  });
  return false;
}

const CATALOG_SUBJECT: FindingSubject = {
  rank: RANK_CATALOG,
  object: 'MSysObjects',
  objid: OBJID_CATALOG,
  table: 'MSysObjects',
};
const SHADOW_SUBJECT: FindingSubject = {
  rank: RANK_CATALOG,
  object: 'MSysObjectsShadow',
  objid: OBJID_CATALOG_SHADOW,
  table: 'MSysObjectsShadow',
};

interface ChosenCatalog {
  readonly copy: CatalogCopy;
  readonly used: 'primary' | 'shadow' | 'none';
  readonly isComplete: boolean;
}

/** Reads the catalog, and where it is damaged or not the same as its shadow, the one of them that tells more. */
function chooseCatalog(source: PageSource, header: DatabaseHeader, list: FindingList): ChosenCatalog {
  const primary = readCatalogCopy(source, CATALOG);
  const isPrimaryWhole = primary.faults.length === 0;
  const isShadowed = (header.dbFlags & SHADOW_DISABLED) === 0;
  if (isPrimaryWhole && primary.rows.length > 0) {
    if (!isShadowed || areCatalogsEqual(source)) return { copy: primary, used: 'primary', isComplete: true };
  }
  const shadow = readCatalogCopy(source, SHADOW_CATALOG);
  const isShadowWhole = shadow.faults.length === 0;
  if (!isPrimaryWhole) reportBadCatalog(primary, 'CAT_PRIMARY_BAD', CATALOG_SUBJECT, PGNO_CATALOG, list);
  if (!isShadowWhole) reportBadCatalog(shadow, 'CAT_SHADOW_BAD', SHADOW_SUBJECT, PGNO_CATALOG_SHADOW, list);
  if (isPrimaryWhole && isShadowWhole) compareCatalogs(source, list, CATALOG_SUBJECT);
  const isShadowBetter = isPrimaryWhole
    ? isShadowWhole && shadow.rows.length > primary.rows.length
    : shadow.rows.length > primary.rows.length || (isShadowWhole && shadow.rows.length > 0);
  const copy = isShadowBetter ? shadow : primary;
  return {
    copy,
    used: copy.rows.length === 0 ? 'none' : isShadowBetter ? 'shadow' : 'primary',
    isComplete: copy.rows.length > 0 && copy.faults.length === 0,
  };
}

function reportBadCatalog(
  { faults }: CatalogCopy,
  code: 'CAT_PRIMARY_BAD' | 'CAT_SHADOW_BAD',
  subject: FindingSubject,
  pgnoRoot: number,
  list: FindingList,
): void {
  const more = faults.length > 1 ? `, and ${faults.length - 1} more` : '';
  const message = `part of it cannot be read: ${faults[0]?.detail ?? ''}${more}`;
  list.add(subject, code, 'error', message, { pgno: faults[0]?.pgno ?? pgnoRoot });
}

function byName(a: { readonly name: string }, b: { readonly name: string }): number {
  const [left, right] = [a.name.toUpperCase(), b.name.toUpperCase()];
  return left < right ? -1 : left > right ? 1 : 0;
}

/** All trees to be checked, parents before children, in the order of the report. */
function listTrees(tables: readonly TableDefinition[], unusable: ReadonlySet<number>): CheckedTree[] {
  const trees: CheckedTree[] = [
    {
      rank: RANK_ROOT,
      kind: 'database',
      object: 'SystemRoot',
      objid: OBJID_DATABASE,
      pgnoFdp: PGNO_DATABASE,
      tableNumber: -1,
      indexNumber: -1,
      parent: -1,
      roleFlags: PAGE_FLAG.newRecord,
      isUnique: true,
    },
  ];
  let rank = RANK_TABLES;
  for (const [tableNumber, table] of tables.entries()) {
    const { name, objid, pgnoFdp, longValueTree, indexes } = table;
    const isSystem = objid === OBJID_CATALOG || objid === OBJID_CATALOG_SHADOW;
    if (unusable.has(objid) && !isSystem) continue;
    const parent = trees.length;
    const common = { table: name, tableNumber, isUnique: true };
    trees.push({
      ...common,
      rank: isSystem ? RANK_SYSTEM + tableNumber : rank++,
      kind: 'table',
      object: name,
      objid,
      pgnoFdp,
      indexNumber: -1,
      parent: 0,
      roleFlags: PAGE_FLAG.newRecord,
    });
    if (longValueTree !== undefined && !unusable.has(longValueTree.objid)) {
      trees.push({
        ...common,
        rank: rank++,
        kind: 'longValue',
        object: `${name}/<Long Values>`,
        objid: longValueTree.objid,
        pgnoFdp: longValueTree.pgnoFdp,
        indexNumber: -1,
        parent,
        roleFlags: PAGE_FLAG.newRecord | PAGE_FLAG.longValue,
      });
    }
    const secondary = indexes.filter((index) => !index.primary && !unusable.has(index.objid)).sort(byName);
    for (const [position, index] of secondary.entries()) {
      trees.push({
        ...common,
        rank: isSystem ? RANK_SYSTEM + 2 + position : rank++,
        kind: 'index',
        object: `${name}/${index.name}`,
        objid: index.objid,
        pgnoFdp: index.pgnoFdp,
        indexNumber: indexes.indexOf(index),
        parent,
        isUnique: index.unique,
        roleFlags: PAGE_FLAG.newRecord | PAGE_FLAG.index | (index.unique ? 0 : PAGE_FLAG.nonUnique),
      });
    }
  }
  return trees;
}

function newPageMap(lastPgno: number, isShared: boolean): Uint8Array {
  const bytes = lastPgno + 1;
  return isShared ? new Uint8Array(new SharedArrayBuffer(bytes)) : new Uint8Array(bytes);
}

/** A reader that notes in the page map which pages are good. */
function markingReader(read: PageReader, pageMap: Uint8Array): PageReader {
  return (pgno) => {
    const reading = read(pgno);
    if (pgno >= 1 && pgno < pageMap.length) {
      const state = reading.isUsable ? PAGE_STATE.used : PAGE_STATE.bad;
      pageMap[pgno] = ((pageMap[pgno] ?? 0) & PAGE_USE_MASK) | state;
    }
    return reading;
  };
}

/** Reads the space of all trees, and gives each page to its owner. */
function* examineSpace(
  context: SpaceContext,
  trees: readonly CheckedTree[],
  registry: SpaceRegistry,
): Generator<void, Map<number, TreeSpace>, undefined> {
  const { lastPgno } = context;
  const spaces = new Map<number, TreeSpace>();
  const objids = new Set(trees.map(({ objid }) => objid));
  let lastOwned = lastPgno;
  for (const [position, tree] of trees.entries()) {
    const root = openRoot(context, tree, objids);
    if (root === undefined) continue;
    const parentPgno = trees[tree.parent]?.pgnoFdp ?? 0;
    const space = yield* readSpace(context, tree, parentPgno, root, lastOwned);
    if (space === undefined) continue;
    spaces.set(position, space);
    if (position === 0 && space.isComplete) lastOwned = lastPageOf(space.owned);
    registry.registerOwned(tree, position, space);
    yield;
  }
  for (const [position, space] of spaces) {
    const tree = trees[position];
    if (tree !== undefined) registry.registerAvailable(tree, position, space);
  }
  for (const [position, space] of spaces) {
    const tree = trees[position];
    if (tree === undefined) continue;
    for (const pgno of space.spacePages) {
      registry.use(tree, position, pgno, PAGE_USE.space, tree.pgnoFdp, space.isComplete);
    }
  }
  return spaces;
}

/**
 * The root of a tree, if its space can be read from it. What is wrong with the page as such is reported by the
 * walk, what is wrong with the catalog's word of it here.
 */
function openRoot(context: WalkContext, tree: CheckedTree, objids: ReadonlySet<number>): Page | undefined {
  const { page, isUsable } = context.read(tree.pgnoFdp);
  if (!isUsable) return undefined;
  const { pgnoFdp: pgno, object } = tree;
  if (page.objid !== tree.objid) {
    // A root of an unknown tree has lost its number; a page of a known one, or no root, is not what was meant.
    if (page.isRoot && !objids.has(page.objid)) return undefined;
    const message = `page ${pgno}, the root of ${object}, belongs to tree ${page.objid}`;
    context.list.add(tree, 'CAT_ENTRY', 'error', message, { pgno });
    tree.isAbsent = true;
    return undefined;
  }
  const role = page.flags & ROLE_FLAGS;
  if ((role ^ tree.roleFlags) === PAGE_FLAG.nonUnique && headerIsNonUnique(page) === tree.isUnique) {
    const message = `the catalog says that keys of ${object} are ${tree.isUnique ? '' : 'not '}unique, its root does not`;
    context.list.add(tree, 'CAT_ENTRY', 'error', message, { pgno });
    tree.roleFlags = role;
    tree.isUnique = !tree.isUnique;
  }
  return page;
}

function headerIsNonUnique(root: Page): boolean | undefined {
  try {
    return (decodeSpaceHeader(root.externalHeader, root.pgno).flags & SPACE_FLAG.nonUnique) !== 0;
  } catch (error) {
    if (error instanceof EseError) return undefined;
    throw error;
  }
}

/** Compares the end of the file with that of the owned space; returns the latter. */
function checkSize(database: TreeSpace | undefined, lastPgno: number, list: FindingList): number {
  if (database === undefined || !database.isComplete) return lastPgno;
  const lastOwned = lastPageOf(database.owned);
  const subject = { rank: RANK_SIZE };
  if (lastOwned > lastPgno) {
    const message = `Database file is too small (expected ${lastOwned} pages, file is ${lastPgno} pages)`;
    list.add(subject, 'SIZE_SHORT', 'error', message);
  } else if (lastOwned < lastPgno) {
    const message = `Database file is too big (expected ${lastOwned} pages, file is ${lastPgno} pages)`;
    list.add(subject, 'SIZE_LONG', 'warning', message);
  }
  return lastOwned;
}

function* walkTrees(
  context: WalkContext,
  trees: readonly CheckedTree[],
  registry: SpaceRegistry,
  spaces: ReadonlyMap<number, TreeSpace>,
) {
  const leaves = createGrowingList();
  const firstLeaf = createGrowingList();
  const parents = createGrowingList();
  const parentFirstLeaf = createGrowingList();
  const incomplete: number[] = [];
  for (const [position, tree] of trees.entries()) {
    push(firstLeaf, leaves.length);
    const hasSpace = spaces.get(position)?.isComplete === true;
    const claim = (pgno: number, isLeaf: boolean, fromPgno: number): boolean =>
      registry.use(tree, position, pgno, isLeaf ? PAGE_USE.leaf : PAGE_USE.internal, fromPgno, hasSpace);
    if (tree.isAbsent === true || !claim(tree.pgnoFdp, true, 0)) {
      incomplete.push(position);
      continue;
    }
    const isComplete = yield* walkInternalPages(context, tree, tree.pgnoFdp, tree.roleFlags, {
      claim,
      parent(page) {
        push(parents, page.pgno);
        push(parentFirstLeaf, leaves.length);
      },
      leaf: (pgno) => push(leaves, pgno),
      wantsBounds: false,
      gap: () => push(leaves, 0),
    });
    if (!isComplete) incomplete.push(position);
  }
  push(firstLeaf, leaves.length);
  return { leaves, firstLeaf, parents, parentFirstLeaf, incomplete };
}

/** Windows are not made for less. */
const WINDOW_LEAST = 16;

/** Where the leaves lie that are checked in the order of the file. */
function locateLeaves(
  leaves: Uint32Array,
  firstLeaf: Uint32Array,
  trees: readonly CheckedTree[],
  lastPgno: number,
  isShared: boolean,
): Uint32Array {
  const leafAt = isShared
    ? new Uint32Array(new SharedArrayBuffer(4 * (lastPgno + 1)))
    : new Uint32Array(lastPgno + 1);
  for (const [position, tree] of trees.entries()) {
    if (tree.kind === 'longValue') continue;
    const end = firstLeaf[position + 1] ?? 0;
    for (let at = firstLeaf[position] ?? 0; at < end; at++) {
      const pgno = leaves[at] ?? 0;
      if (pgno !== 0) leafAt[pgno] = at + 1;
    }
  }
  return leafAt;
}

/** Cuts the leaves of each long-value tree into units of at most `unitPages`. */
function listUnits(firstLeaf: Uint32Array, trees: readonly CheckedTree[], unitPages: number): Uint32Array {
  const units: number[] = [];
  for (const [position, tree] of trees.entries()) {
    if (tree.kind !== 'longValue') continue;
    const end = firstLeaf[position + 1] ?? 0;
    for (let first = firstLeaf[position] ?? 0; first < end; first += unitPages) {
      units.push(position, first, Math.min(unitPages, end - first));
    }
  }
  return Uint32Array.from(units);
}
