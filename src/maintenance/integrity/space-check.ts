/**
 * Who owns each page, and what each is used for (format specification, chapters 2.2 and 2.6, space). Ownership
 * goes from parents to children: page 1 owns all, a table takes its extents from it, indexes and long values
 * take theirs from the table.
 */

import { EseError } from '../../format/ese-error.js';
import { PAGE_FLAG, type Page } from '../../format/page.js';
import {
  decodeExtent,
  decodeSpaceHeader,
  decodeSplitBuffer,
  type Extent,
  hasMultipleExtents,
  SPACE_FLAG,
  SPACE_HEADER_BYTES,
  SPACE_POOL,
  type SpaceHeader,
  singleExtentAvailable,
  singleExtentBeyondBitmap,
} from '../../format/space.js';
import type { FindingList, IntegrityCode } from './finding.js';
import { keyBytes } from './key-buffer.js';
import type { LeafChecker } from './leaf-check.js';
import { type PageReading, reportTrouble } from './page-check.js';
import { type CheckedTree, PAGE_USE, PAGE_USE_MASK } from './plan.js';
import { type Bounds, type WalkContext, walkInternalPages } from './tree-walk.js';

/** The space of one tree, as far as it can be read. */
export interface TreeSpace {
  readonly header: SpaceHeader;
  readonly owned: readonly Extent[];
  readonly available: readonly Extent[];
  readonly splitBuffers: readonly Extent[];
  /** Pages of the OE and AE trees, with the page that led to each. */
  readonly spacePages: readonly number[];
  /** Nothing of it was lost. */
  readonly isComplete: boolean;
}

/** The walk of space trees reads their leaves too. */
export interface SpaceContext extends WalkContext {
  readonly leafChecker: LeafChecker;
}

/** Owner and use of every page of the file. */
export interface PageMap {
  /** Position of the tree that owns a page, plus 1; 0 = none. */
  readonly owner: Uint32Array;
  /** One of {@link PAGE_USE}. */
  readonly use: Uint8Array;
}

/** Highest page number that any database has. */
const PGNO_MOST = 0x7fffffff;

export function lastPageOf(extents: readonly Extent[]): number {
  return extents.reduce((last, extent) => Math.max(last, extent.last), 0);
}

type SpaceTreeKind = 'OE' | 'AE';

const CONFLICT: Readonly<Record<SpaceTreeKind, IntegrityCode>> = {
  OE: 'SPACE_OE_CONFLICT',
  AE: 'SPACE_AE_CONFLICT',
};

/** Reads the header and the space trees of a tree, and checks what they say of themselves. */
export function* readSpace(
  context: SpaceContext,
  tree: CheckedTree,
  parentPgno: number,
  root: Page,
  lastOwnedPgno: number,
): Generator<void, TreeSpace | undefined, undefined> {
  const { list, lastPgno } = context;
  const { pgnoFdp } = tree;
  const report = (message: string): undefined => {
    list.add(tree, 'SPACE_HEADER', 'error', message, { pgno: pgnoFdp });
    return undefined;
  };
  let header: SpaceHeader;
  try {
    header = decodeSpaceHeader(root.externalHeader, pgnoFdp);
  } catch (error) {
    if (!(error instanceof EseError)) throw error;
    return report(error.detail);
  }
  if (header.pgnoParent !== parentPgno) {
    report(`the space comes from page ${header.pgnoParent}, not from ${parentPgno}`);
  }
  if (((header.flags & SPACE_FLAG.nonUnique) === 0) !== tree.isUnique) {
    report('the space header says otherwise than its tree whether keys are unique');
  }
  if (!hasMultipleExtents(header)) {
    if (tree.parent < 0) return report('the database root has a single extent');
    if (header.cpg < 1 || header.cpg > lastPgno) return report(`the primary extent has ${header.cpg} pages`);
    return singleExtentSpace(header, tree, list);
  }
  const { pgnoOe } = header;
  const pgnoAe = pgnoOe + 1;
  if (pgnoOe < 1 || pgnoAe > lastPgno || pgnoOe === pgnoFdp || pgnoAe === pgnoFdp) {
    return report(`the space trees have the roots ${pgnoOe} and ${pgnoAe}`);
  }
  const isDatabase = tree.parent < 0;
  const oe = yield* readSpaceTree(context, tree, 'OE', pgnoOe, isDatabase ? PGNO_MOST : lastOwnedPgno);
  // Where part of the owned extents is lost, they do not say where the database ends.
  const last = isDatabase && oe.isComplete ? lastPageOf(oe.extents) : lastOwnedPgno;
  const ae = yield* readSpaceTree(context, tree, 'AE', pgnoAe, last);
  return {
    header,
    owned: oe.extents,
    available: ae.extents,
    splitBuffers: [...oe.splitBuffers, ...ae.splitBuffers],
    spacePages: [...oe.pages, ...ae.pages],
    isComplete: oe.isComplete && ae.isComplete,
  };
}

function singleExtentSpace(header: SpaceHeader, tree: CheckedTree, list: FindingList): TreeSpace {
  const { pgnoFdp } = tree;
  const last = pgnoFdp + header.cpg - 1;
  const available: Extent[] = [];
  for (const pgno of singleExtentAvailable(header, pgnoFdp)) {
    if (pgno > last) {
      list.add(tree, 'SPACE_HEADER', 'error', `page ${pgno} behind the extent is marked as available`, {
        pgno: pgnoFdp,
      });
      break;
    }
    available.push({ first: pgno, last: pgno, count: 1, pool: SPACE_POOL.general });
  }
  const beyond = singleExtentBeyondBitmap(header);
  if (beyond > 0) available.push({ first: last - beyond + 1, last, count: beyond, pool: SPACE_POOL.general });
  return {
    header,
    owned: [{ first: pgnoFdp, last, count: header.cpg, pool: SPACE_POOL.general }],
    available,
    splitBuffers: [],
    spacePages: [],
    isComplete: true,
  };
}

const CORRUPTED = { OE: 'JET_errSPOwnExtCorrupted', AE: 'JET_errSPAvailExtCorrupted' } as const;

interface SpaceTree {
  readonly extents: Extent[];
  readonly splitBuffers: Extent[];
  readonly pages: number[];
  readonly isComplete: boolean;
}

function* readSpaceTree(
  context: SpaceContext,
  owner: CheckedTree,
  kind: SpaceTreeKind,
  pgnoRoot: number,
  lastOwnedPgno: number,
): Generator<void, SpaceTree, undefined> {
  const { list, read } = context;
  const tree: CheckedTree = { ...owner, object: `${owner.object} (${kind})`, isUnique: true };
  const roleFlags = owner.roleFlags | PAGE_FLAG.spaceTree;
  const extents: Extent[] = [];
  const pages = [pgnoRoot];
  const seen = new Set(pages);
  const leaves: ({ pgno: number; bounds: Bounds } | undefined)[] = [];
  const walked = yield* walkInternalPages(context, tree, pgnoRoot, roleFlags, {
    claim: (pgno, _isLeaf, fromPgno) => {
      if (seen.has(pgno)) {
        list.add(tree, 'PAGE_CYCLE', 'error', `the page is reached again, from page ${fromPgno}`, { pgno });
        return false;
      }
      seen.add(pgno);
      pages.push(pgno);
      return true;
    },
    parent: () => {},
    wantsBounds: true,
    leaf: (pgno, bounds) => leaves.push({ pgno, bounds }),
    gap: () => leaves.push(undefined),
  });
  let isComplete = walked;
  const splitBuffers: Extent[] = [];
  const root = read(pgnoRoot);
  if (root.isUsable) splitBuffers.push(...readSplitBuffer(root.page, tree, list));
  const takesExtent = extentChecker(tree, kind, owner.parent < 0, lastOwnedPgno, list, extents);
  for (const [position, leaf] of leaves.entries()) {
    if (leaf === undefined) continue;
    const isRoot = leaf.pgno === pgnoRoot;
    // A root leaf has been read and reported already.
    const reading: PageReading = isRoot ? root : read(leaf.pgno);
    if (!isRoot && reading.trouble !== undefined) reportTrouble(list, tree, leaf.pgno, reading.trouble);
    const expected = {
      tree,
      roleFlags,
      isRoot,
      bounds: leaf.bounds,
      pgnoPrev: position === 0 ? 0 : leaves[position - 1]?.pgno,
      pgnoNext: position === leaves.length - 1 ? 0 : leaves[position + 1]?.pgno,
    };
    const isRead =
      reading.isUsable &&
      context.leafChecker.check(reading.page, expected, list, (page, line, node, key) => {
        if (!takesExtent(keyBytes(key), page.data(node), page.pgno, line)) isComplete = false;
      });
    if (!isRead) isComplete = false;
    yield;
  }
  return { extents, splitBuffers, pages, isComplete };
}

function readSplitBuffer(root: Page, tree: CheckedTree, list: FindingList): Extent[] {
  const bytes = root.externalHeader;
  if (bytes.length === 0) return [];
  if (bytes.length < SPACE_HEADER_BYTES) {
    list.add(tree, 'SPACE_SPLITBUF', 'error', `the reserve has ${bytes.length} bytes`, { pgno: root.pgno });
    return [];
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, SPACE_HEADER_BYTES);
  for (const at of [0, 8]) {
    const last = view.getUint32(at, true);
    const count = view.getUint32(at + 4, true);
    if (count > last) {
      list.add(tree, 'SPACE_SPLITBUF', 'error', `a reserve of ${count} pages ends at page ${last}`, {
        pgno: root.pgno,
      });
      return [];
    }
  }
  return decodeSplitBuffer(bytes);
}

/**
 * A function that checks the extents of one space tree in the order of its nodes, and keeps the possible ones; it
 * returns false where one is lost.
 */
function extentChecker(
  tree: CheckedTree,
  kind: SpaceTreeKind,
  isDatabase: boolean,
  lastOwnedPgno: number,
  list: FindingList,
  into: Extent[],
): (key: Uint8Array, data: Uint8Array, pgno: number, node: number) => boolean {
  let previous: Extent | undefined;
  return (key, data, pgno, node) => {
    const reject = (code: IntegrityCode, message: string): false => {
      list.add(tree, code, 'error', message, { pgno, node });
      return false;
    };
    let extent: Extent;
    try {
      extent = decodeExtent(key, data, CORRUPTED[kind], pgno);
    } catch (error) {
      if (!(error instanceof EseError)) throw error;
      return reject('NODE_BOUNDS', error.detail);
    }
    const { first, last, count, pool } = extent;
    if (kind === 'OE' ? key.length !== 4 : pool > SPACE_POOL.shelved) {
      return reject('NODE_BOUNDS', `an extent names pool ${pool}`);
    }
    if (pool === SPACE_POOL.shelved && (!isDatabase || count !== 1)) {
      return reject(CONFLICT[kind], 'only the database root shelves pages, one by one');
    }
    if (count === 0) {
      // Growth markers stay with no pages; old files may have general ones too.
      return kind === 'AE' || reject('SPACE_OE_CONFLICT', 'an extent has no pages');
    }
    if (pool !== SPACE_POOL.shelved && last > lastOwnedPgno) {
      return reject('SPACE_EOF', `an extent ends at page ${last}, the database at ${lastOwnedPgno}`);
    }
    if (previous !== undefined && previous.pool === pool && first <= previous.last) {
      // An extent out of order has been reported as a node out of order.
      if (last <= previous.last) return false;
      return reject(CONFLICT[kind], `the extents up to ${previous.last} and from ${first} on overlap`);
    }
    previous = extent;
    into.push(extent);
    return true;
  };
}

/** Registers extents in the page map, in the order of the chain of owners. */
export interface SpaceRegistry {
  readonly map: PageMap;
  /** Gives the owned extents of a tree to it; its parent must have had its turn. */
  registerOwned(tree: CheckedTree, position: number, space: TreeSpace): void;
  /** Marks what a tree has available and in reserve; all owned extents must be known. */
  registerAvailable(tree: CheckedTree, position: number, space: TreeSpace): void;
  /** Marks a page that a tree uses. Returns false if another use of it is known. */
  use(
    tree: CheckedTree,
    position: number,
    pgno: number,
    use: number,
    fromPgno: number,
    hasSpace: boolean,
  ): boolean;
}

/** Pages of other owners at which an extent is given up. */
const REFUSALS_MOST = 64;

/** Registry for a file of `lastPgno` pages. `use` holds a byte for each page, the unused byte 0 included. */
export function createSpaceRegistry(
  use: Uint8Array,
  trees: readonly CheckedTree[],
  list: FindingList,
): SpaceRegistry {
  const lastPgno = use.length - 1;
  const owner = new Uint32Array(use.length);
  const spaces = new Map<number, TreeSpace>();
  /** Extents of each tree whose owner has been reported; more need not be said of their pages. */
  const disputed = new Map<number, Extent[]>();
  const isUnused = (pgno: number): boolean =>
    ((use[pgno] ?? PAGE_USE_MASK) & PAGE_USE_MASK) === PAGE_USE.none;
  const nameOf = (mark: number): string => trees[mark - 1]?.object ?? 'nobody';

  /** The first page of an extent for which a test fails, 0 = none. */
  const firstBad = (extent: Extent, isGood: (pgno: number) => boolean): number => {
    for (let pgno = extent.first; pgno <= extent.last && pgno <= lastPgno; pgno++) {
      if (!isGood(pgno)) return pgno;
    }
    return 0;
  };
  /** Marks the pages of an extent that lie before its first bad page. */
  const fillUse = ({ first, last }: Extent, bad: number, as: number): void => {
    const end = bad === 0 ? Math.min(last, lastPgno) + 1 : bad;
    if (end > first) use.fill(as, first, end);
  };
  /** Gives the pages of an extent that belong to `sources` to a tree. */
  const fillOwner = ({ first, last }: Extent, sources: readonly number[], mark: number): void => {
    let refused = 0;
    for (let pgno = first; pgno <= last && pgno <= lastPgno; pgno++) {
      if (sources.includes(owner[pgno] ?? 0)) owner[pgno] = mark;
      // Many trees that claim the same pages must not cost time for each of them.
      else if (++refused > REFUSALS_MOST) return;
    }
  };
  const isDisputed = (position: number, pgno: number): boolean =>
    disputed.get(position)?.some(({ first, last }) => pgno >= first && pgno <= last) === true;

  return {
    map: { owner, use },
    registerOwned(tree, position, space) {
      const parentMark = tree.parent + 1;
      const parent = spaces.get(tree.parent);
      spaces.set(position, space);
      /** Marks from which the tree may take a page: where its parent lost extents, those of all above it. */
      const sources = [parentMark];
      if (tree.parent >= 0 && parent?.isComplete !== true) {
        sources.push(0, (trees[tree.parent]?.parent ?? -1) + 1);
      }
      for (const extent of space.owned) {
        const bad = firstBad(extent, (pgno) => sources.includes(owner[pgno] ?? 0));
        fillOwner(extent, sources, position + 1);
        if (bad !== 0) {
          const mark = owner[bad] ?? 0;
          const who = mark === 0 ? 'nobody above' : `${nameOf(mark)} too`;
          list.add(tree, 'SPACE_OE_CONFLICT', 'error', `page ${bad} is owned by ${who}`, { pgno: bad });
          disputed.set(position, [...(disputed.get(position) ?? []), extent]);
        } else if (parent?.isComplete === true && !liesInOne(extent, parent.owned)) {
          const message = `the extent ${extent.first}-${extent.last} spans several of ${nameOf(parentMark)}`;
          list.add(tree, 'SPACE_OE_CONFLICT', 'warning', message, { pgno: extent.first });
        }
      }
    },
    registerAvailable(tree, position, space) {
      const mark = position + 1;
      for (const extent of space.available) {
        if (extent.pool === SPACE_POOL.shelved) {
          if (isUnused(extent.first)) use[extent.first] = PAGE_USE.shelved;
          continue;
        }
        const bad = firstBad(extent, (pgno) => (owner[pgno] === mark || !space.isComplete) && isUnused(pgno));
        if (bad !== 0) {
          const message =
            owner[bad] === mark
              ? `page ${bad} is available twice`
              : `page ${bad} is available, and owned by ${nameOf(owner[bad] ?? 0)}`;
          list.add(tree, 'SPACE_AE_CONFLICT', 'error', message, { pgno: bad });
        } else if (space.isComplete && !liesInOne(extent, space.owned)) {
          const message = `the available extent ${extent.first}-${extent.last} spans several owned ones`;
          list.add(tree, 'SPACE_AE_CONFLICT', 'warning', message, { pgno: extent.first });
        }
        fillUse(extent, bad, PAGE_USE.available);
      }
      for (const extent of space.splitBuffers) {
        const isOwned = (pgno: number): boolean => owner[pgno] === mark || owner[pgno] === tree.parent + 1;
        const isFree = (pgno: number): boolean => isOwned(pgno) && isUnused(pgno);
        const bad = extent.last > lastPgno ? extent.last : firstBad(extent, isFree);
        if (bad !== 0) {
          const what =
            bad > lastPgno
              ? 'does not exist'
              : isOwned(bad)
                ? 'has another use'
                : `is owned by ${nameOf(owner[bad] ?? 0)}`;
          const message = `page ${bad} of the reserve ${what}`;
          list.add(tree, 'SPACE_SPLITBUF', 'error', message, { pgno: space.header.pgnoOe });
          continue;
        }
        fillUse(extent, bad, PAGE_USE.splitBuffer);
      }
    },
    use(tree, position, pgno, as, fromPgno, hasSpace) {
      const now = (use[pgno] ?? 0) & PAGE_USE_MASK;
      if (now === PAGE_USE.internal || now === PAGE_USE.leaf || now === PAGE_USE.space) {
        list.add(tree, 'PAGE_CYCLE', 'error', `the page is reached again, from page ${fromPgno}`, { pgno });
        return false;
      }
      if (now === PAGE_USE.available || now === PAGE_USE.shelved) {
        list.add(tree, 'SPACE_AE_CONFLICT', 'error', 'the page is in use and available', { pgno });
      } else if (now === PAGE_USE.splitBuffer) {
        list.add(tree, 'SPACE_SPLITBUF', 'error', 'the page is in use and in reserve', { pgno });
      } else if (hasSpace && owner[pgno] !== position + 1 && !isDisputed(position, pgno)) {
        const message = `the page is used by ${tree.object} and owned by ${nameOf(owner[pgno] ?? 0)}`;
        list.add(tree, 'SPACE_OE_CONFLICT', 'error', message, { pgno });
      }
      use[pgno] = as;
      return true;
    },
  };
}

/** Whether an extent lies inside one of `extents`, which are ascending. */
function liesInOne(extent: Extent, extents: readonly Extent[]): boolean {
  let low = 0;
  let high = extents.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((extents[middle]?.last ?? 0) < extent.first) low = middle + 1;
    else high = middle;
  }
  return extent.last <= (extents[low]?.last ?? 0);
}
