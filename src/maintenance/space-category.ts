/**
 * What every page of a database is used for, as `/mc` reports it (format specification, chapters 2.2.7, 6.1.5 and
 * 11.4.1). The file is opened for reading only.
 *
 * A page belongs to the innermost tree whose owned extents hold it. The space trees say which of its pages are
 * available; the rest is told by the page's own header, or, in a full run, by following the tree from its root.
 */

import type { DatabaseReader } from '../engine/database-reader.js';
import type { PageSource } from '../engine/page-source.js';
import { readTreeSpace, type TreeSpace } from '../engine/space-reader.js';
import { type TreeRoot, treePages } from '../engine/tree-reader.js';
import { OBJID_DATABASE, PGNO_DATABASE } from '../format/catalog-row.js';
import { EseError } from '../format/ese-error.js';
import { PAGE_FLAG } from '../format/page.js';
import { decodeSplitBuffer, type Extent, hasMultipleExtents, SPACE_POOL } from '../format/space.js';

/** The parts of a category. A page may have several: the root of a tree of owned extents is `Root` and `SpaceOE`. */
const PARTS = [
  'Root',
  'Internal',
  'Leaf',
  'SpaceOE',
  'SpaceAE',
  /** Of a tree that keeps its space in its root page. */
  'SmallSpace',
  'Available',
  /** Kept to split a space tree. */
  'SplitBuffer',
  /** Owned, but neither available nor part of the tree. */
  'Leaked',
  'NotOwned',
  /** Not owned, and behind the last owned page. */
  'NotOwnedEof',
  /** Not to be told without a full run, or because the tree is damaged. */
  'Indeterminate',
  /** Used twice. */
  'Inconsistent',
] as const;

type Part = (typeof PARTS)[number];

const BIT = Object.fromEntries(PARTS.map((part, i) => [part, 1 << i])) as Readonly<Record<Part, number>>;

export interface SpaceCategoryPage {
  readonly pgno: number;
  /** Parts joined by `+`. */
  readonly category: string;
  /** Object of the innermost tree that owns the page; null where none does. */
  readonly objid: number | null;
}

export interface SpaceCategoryReport {
  /** First and last page looked at. */
  readonly range: readonly [number, number];
  /** Pages by category. */
  readonly counts: Readonly<Record<string, number>>;
  /** Only where they were asked for. */
  readonly pages?: readonly SpaceCategoryPage[];
  readonly pagesTruncated?: true;
}

export interface SpaceCategoryOptions {
  /** First page. Default: 1. */
  readonly first?: number | undefined;
  /** Last page; the last one of the file if that is lower. */
  readonly last?: number | undefined;
  /** Follow every tree from its root. */
  readonly full?: boolean;
  /** Is told each page, in order. */
  readonly onPage?: ((page: SpaceCategoryPage) => void) | undefined;
  /** Is told each tree whose space or pages cannot be read. */
  readonly onDamage?: ((error: EseError) => void) | undefined;
  /** Pages to list in the report; without it none. */
  readonly pagesMax?: number | undefined;
  readonly onProgress?: ((done: number, total: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Categorizes the pages of a range.
 *
 * @throws EseError JET_errFileIOBeyondEOF when the range begins behind the end of the file, and what makes the
 *   catalog or the space of the database itself unreadable; the signal's reason
 */
export async function categorizeSpace(
  reader: DatabaseReader,
  options: SpaceCategoryOptions = {},
): Promise<SpaceCategoryReport> {
  const { source, path } = reader;
  const first = options.first ?? 1;
  const last = Math.min(options.last ?? source.lastPgno, source.lastPgno);
  if (first > last) {
    const detail = `the file has ${Math.max(0, source.lastPgno)} pages`;
    throw new EseError('JET_errFileIOBeyondEOF', detail, { file: path, pgno: first });
  }
  const trees = allTrees(reader);
  const map = newPageMap(source.lastPgno);
  const total = trees.length + (last - first + 1);
  let done = 0;
  const turn = turns(options.signal);
  const advance = async (): Promise<void> => {
    options.onProgress?.(++done, total);
    await turn();
  };
  for (const [index, tree] of trees.entries()) {
    await markTree(source, map, tree, index, options, turn);
    await advance();
  }

  const lastOwned = reader.lastOwnedPgno();
  const counts = new Map<string, number>();
  const pages: SpaceCategoryPage[] = [];
  const pagesMax = options.pagesMax ?? 0;
  for (let pgno = first; pgno <= last; pgno++) {
    const owner = trees[(map.owners[pgno] ?? 0) - 1];
    const bits = map.bits[pgno] || restOf(source, pgno, owner, lastOwned, options.full === true);
    const page = { pgno, category: nameOf(bits), objid: owner?.objid ?? null };
    counts.set(page.category, (counts.get(page.category) ?? 0) + 1);
    options.onPage?.(page);
    if (pages.length < pagesMax) pages.push(page);
    await advance();
  }
  return {
    range: [first, last],
    counts: Object.fromEntries([...counts].sort(([a], [b]) => (a < b ? -1 : 1))),
    ...(pagesMax > 0 ? { pages } : {}),
    ...(pagesMax > 0 && pages.length < last - first + 1 ? { pagesTruncated: true as const } : {}),
  };
}

function nameOf(bits: number): string {
  return PARTS.filter((part) => (bits & BIT[part]) !== 0).join('+');
}

/** Pages between two looks at the signal. */
const PAGES_PER_TURN = 4096;

/** Lets other work go on from time to time, and stops when the signal says so. */
function turns(signal: AbortSignal | undefined): () => Promise<void> {
  let pages = 0;
  return async () => {
    if (++pages % PAGES_PER_TURN !== 0) return;
    await new Promise((resolve) => setImmediate(resolve));
    signal?.throwIfAborted();
  };
}

interface Tree extends TreeRoot {
  /** Something in it could not be read: what is not known of its pages may be lost there. */
  isDamaged: boolean;
}

/** Every tree, each behind the one that it has its space from. */
function allTrees(reader: DatabaseReader): Tree[] {
  const roots: TreeRoot[] = [{ pgnoFdp: PGNO_DATABASE, objid: OBJID_DATABASE }];
  for (const table of reader.tables()) {
    roots.push(table);
    if (table.longValueTree !== undefined) roots.push(table.longValueTree);
    roots.push(...table.indexes.filter((index) => !index.primary));
  }
  return roots.map(({ pgnoFdp, objid }) => ({ pgnoFdp, objid, isDamaged: false }));
}

interface PageMap {
  /** By page number: 1 + the index of the innermost tree that owns it, 0 = none. */
  readonly owners: Uint32Array;
  /** By page number: the parts of its category, 0 = not known yet. */
  readonly bits: Uint16Array;
}

function newPageMap(lastPgno: number): PageMap {
  const entries = Math.max(0, lastPgno) + 1;
  return { owners: new Uint32Array(entries), bits: new Uint16Array(entries) };
}

function mark({ bits }: PageMap, pgno: number, wanted: number): void {
  if (pgno < 1 || pgno >= bits.length) return;
  bits[pgno] = bits[pgno] === 0 ? wanted : BIT.Inconsistent;
}

function markExtents(map: PageMap, extents: readonly Extent[], wanted: number): void {
  for (const { first, last } of extents) {
    for (let pgno = first; pgno <= Math.min(last, map.bits.length - 1); pgno++) mark(map, pgno, wanted);
  }
}

async function markTree(
  source: PageSource,
  map: PageMap,
  tree: Tree,
  index: number,
  options: SpaceCategoryOptions,
  turn: () => Promise<void>,
): Promise<void> {
  const damaged = (error: EseError): void => {
    tree.isDamaged = true;
    options.onDamage?.(error);
  };
  try {
    markSpace(source, map, tree, index, readTreeSpace(source, tree));
  } catch (error) {
    // Without the space of the database nothing can be told of any page.
    if (!(error instanceof EseError) || index === 0) throw error;
    damaged(error);
  }
  if (options.full !== true || tree.pgnoFdp === PGNO_DATABASE) return;
  for (const { page } of treePages(source, tree, damaged)) {
    if (page.pgno !== tree.pgnoFdp) mark(map, page.pgno, page.isLeaf ? BIT.Leaf : BIT.Internal);
    await turn();
  }
}

function markSpace(source: PageSource, map: PageMap, tree: TreeRoot, index: number, space: TreeSpace): void {
  const { header, owned, available } = space;
  for (const { first, last } of owned) map.owners.fill(index + 1, first, last + 1);
  const isSmall = !hasMultipleExtents(header);
  const small = isSmall ? BIT.SmallSpace : 0;
  mark(map, tree.pgnoFdp, BIT.Root | small);
  const usable = available.filter(({ pool }) => pool !== SPACE_POOL.shelved);
  markExtents(map, usable, BIT.Available | small);
  if (isSmall) return;
  markSpaceTree(source, map, { pgnoFdp: header.pgnoOe, objid: tree.objid }, BIT.SpaceOE);
  markSpaceTree(source, map, { pgnoFdp: header.pgnoOe + 1, objid: tree.objid }, BIT.SpaceAE);
}

function markSpaceTree(source: PageSource, map: PageMap, root: TreeRoot, which: number): void {
  for (const { page } of treePages(source, root)) {
    const place = page.pgno === root.pgnoFdp ? BIT.Root : page.isLeaf ? BIT.Leaf : BIT.Internal;
    mark(map, page.pgno, place | which);
  }
  const kept = decodeSplitBuffer(source.readPage(root.pgnoFdp).externalHeader);
  markExtents(map, kept, BIT.Available | BIT.SplitBuffer | which);
}

/** What a page is of which the space trees, and in a full run the trees themselves, say nothing. */
function restOf(
  source: PageSource,
  pgno: number,
  owner: Tree | undefined,
  lastOwned: number,
  isFull: boolean,
): number {
  if (owner === undefined) return pgno > lastOwned ? BIT.NotOwnedEof : BIT.NotOwned;
  if (isFull) return owner.isDamaged ? BIT.Indeterminate : BIT.Leaked;
  try {
    const page = source.readPage(pgno);
    if (page.objid !== owner.objid || (page.flags & PAGE_FLAG.empty) !== 0) return BIT.Indeterminate;
    return page.isLeaf ? BIT.Leaf : BIT.Internal;
  } catch (error) {
    if (error instanceof EseError) return BIT.Indeterminate;
    throw error;
  }
}
