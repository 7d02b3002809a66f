import {
  PGNO_CATALOG,
  PGNO_CATALOG_NAME_INDEX,
  PGNO_CATALOG_ROOT_OBJECTS_INDEX,
  PGNO_CATALOG_SHADOW,
  PGNO_DATABASE,
} from '../format/catalog-row.js';
import { DBTIME_NIL } from '../format/dbtime.js';
import { EseError } from '../format/ese-error.js';
import { createNodeView, NODE_FLAG, type NodeView, PAGE_FLAG, type Page } from '../format/page.js';
import {
  decodeExtent,
  decodeSpaceHeader,
  decodeSplitBuffer,
  type Extent,
  encodeExtentData,
  encodeExtentKey,
  encodeSpaceHeader,
  encodeSplitBuffer,
  hasMultipleExtents,
  replaceSpaceHeader,
  SPACE_FLAG,
  type SpaceHeader,
} from '../format/space.js';
import { type PageChanges, pageFlagsOf } from './page-changes.js';
import type { Session } from './transactions.js';
import { rootPageOf, type Tree, TreeSearch } from './tree-search.js';
import { type TreeSpaceSource, TreeWriter } from './tree-writer.js';

/**
 * Where pages come from and go to (format specification, chapters 2.2 and 10.7). A tree owns extents and keeps
 * account of those of its pages that are free: as a bitmap in its space header while it has one extent, in two
 * trees of its own (OE: owned, AE: available) later. A tree gets its extents from its parent: an index or
 * long-value tree from its table, a table from page 1, page 1 from the file. Nothing here is versioned: a rollback
 * does not give pages back, but splits and the like stay anyway.
 */

/** Sizes of chapter 2.2.4, in pages. */
const SMALL_TREE = 16;
const SMALL_GROWTH = 4;
const SECONDARY_EXTENT = 16;
const SECONDARY_FRACTION = 4;
const SINGLE_EXTENT_MIN = 1;
const MULTIPLE_EXTENT_MIN = 3;
const CONVERT_PAGES = 2;
/** In a database below the first size, new trees in front of the second page are cut out exactly. */
const SMALL_DATABASE = 254;
const SMALL_DATABASE_START = 128;
/** An AE extent is not cut down to fewer pages than this by a larger request, outside of page 1. */
const PAGE_FRAGMENT = 8;
export const DATABASE_EXTENSION = 256;
/** Largest page number: the top bit is clear, and the highest part of the range is reserved (chapter 2.2.3). */
const PGNO_MAX = 0x7fefffff;

/** Pages kept to split a space tree (chapter 2.2.5): by the levels of the tree, and the bytes free on its root. */
const LEAF_ROOT_LOW = 100;
const BUFFER_LEAF_ROOT = 2;
const BUFFER_PARENT_OF_LEAF_ROOT = 3;
const BUFFER_DEEPER = 4;
/** Pages that a refill asks for, so that it is rare. */
const BUFFER_REFILL = 8;

const BITMAP_PAGES = 32;
/** Stamps that the engine draws while it builds the pages of one creation; only the last is used. */
const STAMPS_SINGLE = 1;
const STAMPS_MULTIPLE = 8;
const STAMPS_CONVERT = 5;
const NO_BYTES = new Uint8Array(0);

/** How a database grows. */
export interface GrowthOptions {
  /** Pages by which the file grows; default 256. */
  readonly extensionPages?: number;
  /** Most pages of the database; 0 = no limit. */
  readonly pagesMax?: number;
}

/** How the extents of a tree grow, from its space hints. */
export interface ExtentHints {
  readonly growthPercent: number;
  readonly extentMin: number;
  readonly extentMax: number;
}

/** A tree to be created. */
export interface NewTree {
  readonly objid: number;
  /** Role flags of its pages: PAGE_FLAG.index and the like. */
  readonly pageFlags: number;
  readonly isUnique: boolean;
  /** Pages wanted; at least what the kind of space needs. */
  readonly pages: number;
  readonly hasMultipleExtents?: boolean;
}

/** Pages `first .. first + count - 1`. */
export interface PageRange {
  readonly first: number;
  readonly count: number;
}

type SpaceTreeKind = 'owned' | 'available';

/** The space of one database. */
export class SpaceWriter implements TreeSpaceSource {
  readonly #changes: PageChanges;
  readonly #trees: TreeWriter;
  readonly #search: TreeSearch;
  readonly #growth: GrowthOptions;
  readonly #hints = new Map<number, ExtentHints>();
  readonly #node: NodeView = createNodeView();

  constructor(changes: PageChanges, growth: GrowthOptions = {}) {
    this.#changes = changes;
    this.#growth = growth;
    this.#trees = new TreeWriter(changes, this);
    this.#search = new TreeSearch(changes.context.pages);
  }

  /** Changes of trees that take their pages from here. */
  get trees(): TreeWriter {
    return this.#trees;
  }

  /** How a tree grows from now on; without hints it grows by the defaults. */
  setHints(objid: number, hints: ExtentHints): void {
    this.#hints.set(objid, hints);
  }

  // --- Taking pages ---

  takePage(session: Session, tree: Tree, pgnoNear: number): number {
    if (tree.isSpace) return this.#takeBufferPage(session, tree);
    const header = this.#header(tree.pgnoFdp);
    if (!hasMultipleExtents(header)) {
      const run = bitmapRun(header, 1);
      if (run !== undefined) {
        this.#setBitmap(session, tree, header, run, 1, false);
        return tree.pgnoFdp + 1 + run;
      }
      this.#convert(session, tree, header, 1, 1);
    }
    const available = this.#spaceTree(tree, 'available');
    const extent =
      this.#firstExtent(available, pgnoNear) ??
      this.#firstExtent(available, 0) ??
      this.#grow(session, tree, 1, 1);
    this.#takeFromExtent(session, available, extent, 1);
    return extent.first;
  }

  /**
   * Creates a tree with an extent of its own, out of the space of `parent`.
   *
   * @throws EseError JET_errOutOfDatabaseSpace, JET_errDiskFull
   */
  createTree(session: Session, parent: Tree, newTree: NewTree): PageRange {
    const { objid, pageFlags, isUnique, hasMultipleExtents: isMultiple = false } = newTree;
    const min = isMultiple ? MULTIPLE_EXTENT_MIN : SINGLE_EXTENT_MIN;
    const extent = this.#getExtent(session, parent, Math.max(min, newTree.pages), min, true);
    this.createRoot(session, {
      objid,
      pageFlags,
      isUnique,
      hasMultipleExtents: isMultiple,
      pgnoParent: parent.pgnoFdp,
      extent,
    });
    return extent;
  }

  /** Makes the root of a tree, and of its space trees, on the first pages of an extent. */
  createRoot(
    session: Session,
    root: Omit<NewTree, 'pages'> & { readonly pgnoParent: number; readonly extent: PageRange },
  ): void {
    const { objid, pageFlags, isUnique, hasMultipleExtents: isMultiple, pgnoParent, extent } = root;
    const { first: pgno, count: cpgPrimary } = extent;
    const changes = this.#changes;
    changes.begin(session);
    changes.nextDbtime(isMultiple === true ? STAMPS_MULTIPLE - 1 : STAMPS_SINGLE - 1);
    const fields = {
      ...changes.prefix(session, pgno, DBTIME_NIL, 0, pageFlagsOf({ isUnique, isSpace: false }, false)),
      objidFDP: objid,
      pgnoFDPParent: pgnoParent,
      cpgPrimary,
      fPageFlags: pageFlags,
    };
    if (isMultiple === true) {
      changes.carryOut('CreateMultipleExtentFDP', { ...fields, pgnoOE: pgno + 1, pgnoAE: pgno + 2 });
    } else {
      changes.carryOut('CreateSingleExtentFDP', fields);
    }
  }

  /** Pages for a child of `tree`, or for a tree whose parent it is. */
  #getExtent(session: Session, tree: Tree, request: number, min: number, isNewTree: boolean): PageRange {
    const header = this.#header(tree.pgnoFdp);
    if (!hasMultipleExtents(header)) {
      const run = bitmapRun(header, min);
      if (run !== undefined) {
        this.#setBitmap(session, tree, header, run, min, false);
        return { first: tree.pgnoFdp + 1 + run, count: min };
      }
      this.#convert(session, tree, header, request, min);
    }
    const available = this.#spaceTree(tree, 'available');
    let extent = usesOwnSpace(tree) ? this.#firstExtent(available, 0, min) : undefined;
    extent ??=
      tree.pgnoFdp === PGNO_DATABASE
        ? this.#extendDatabase(session, tree, request, min)
        : this.#secondaryExtent(session, tree, request, min);
    const wanted = Math.min(request, extent.count);
    const count = this.#takesAll(tree, extent, wanted, isNewTree) ? extent.count : wanted;
    this.#takeFromExtent(session, available, extent, count);
    return { first: extent.first, count };
  }

  /** Whether the rest of an extent would be too small to be of use (chapter 2.2.4). */
  #takesAll(tree: Tree, extent: Extent, wanted: number, isNewTree: boolean): boolean {
    const rest = extent.count - wanted;
    if (rest <= 0) return true;
    if (tree.pgnoFdp !== PGNO_DATABASE) return wanted >= PAGE_FRAGMENT && rest < PAGE_FRAGMENT;
    const { lastPgno } = this.#changes.context.pages;
    if (isNewTree && lastPgno < SMALL_DATABASE && extent.first < SMALL_DATABASE_START) return false;
    return rest < SMALL_GROWTH;
  }

  /** Takes pages from the front of an available extent. */
  #takeFromExtent(session: Session, available: Tree, extent: Extent, count: number): void {
    const key = encodeExtentKey(extent.last);
    if (count < extent.count) {
      this.#trees.replace(session, available, key, encodeExtentData(extent.count - count), false);
    } else {
      this.#trees.removeSpaceNode(session, available, key);
    }
  }

  /** A further extent for the tree itself, of a size that its growth so far suggests; returns it as available. */
  #grow(session: Session, tree: Tree, request: number, min: number): Extent {
    if (tree.pgnoFdp === PGNO_DATABASE) return this.#extendDatabase(session, tree, request, min);
    const header = this.#header(tree.pgnoFdp);
    const isV1 = (header.flags & SPACE_FLAG.v2) === 0;
    const last = header.cpg;
    let want = this.#isSmall(tree, header)
      ? Math.max(request, SMALL_GROWTH)
      : Math.max(request, SECONDARY_EXTENT, isV1 ? Math.floor(last / SECONDARY_FRACTION) : last);
    want = Math.max(want, nextAllocation(this.#hints.get(tree.objid), last));
    if (want !== last) {
      this.#setHeader(session, tree, { ...header, flags: header.flags | SPACE_FLAG.v2, cpg: want });
    }
    return this.#secondaryExtent(session, tree, want, min);
  }

  /** Whether a tree owns so little that it grows by a few pages only. */
  #isSmall(tree: Tree, header: SpaceHeader): boolean {
    if ((header.flags & SPACE_FLAG.v2) !== 0 || header.cpg >= SMALL_TREE) return false;
    const root = this.#page(tree.pgnoFdp);
    const isFlat =
      root.isLeaf || ((root.flags & PAGE_FLAG.parentOfLeaf) !== 0 && root.nodeCount < SMALL_TREE);
    if (!isFlat) return false;
    let owned = 0;
    for (const { count } of this.#extents(this.#spaceTree(tree, 'owned'), 0)) {
      owned += count;
      if (owned > SMALL_TREE) return false;
    }
    return true;
  }

  /** Gets an extent from the parent, and makes it owned and available. */
  #secondaryExtent(session: Session, tree: Tree, request: number, min: number): Extent {
    this.#fillBuffers(session, tree);
    const parent = this.#parentOf(tree);
    const { first, count } = this.#getExtent(session, parent, request, min, false);
    return this.#addExtent(session, tree, first, count);
  }

  #addExtent(session: Session, tree: Tree, first: number, count: number): Extent {
    const last = first + count - 1;
    const key = encodeExtentKey(last);
    const data = encodeExtentData(count);
    this.#trees.insert(session, this.#spaceTree(tree, 'owned'), key, data, false);
    this.#trees.insert(session, this.#spaceTree(tree, 'available'), key, data, false);
    return { first, last, count, pool: 0 };
  }

  /** Makes the file hold a page. The file comes first: that it is longer than the log says is no error. */
  #extendFile(session: Session, pgnoLast: number): void {
    const changes = this.#changes;
    const { pages } = changes.context;
    if (pgnoLast > pages.lastPgno) pages.extend(pgnoLast);
    changes.begin(session);
    changes.log('ExtendDB', { dbid: changes.dbid, pgnoLast });
  }

  /** A further extent for page 1, from behind the end of what it owns. */
  #extendDatabase(session: Session, root: Tree, request: number, min: number): Extent {
    this.#fillBuffers(session, root);
    const owned = this.#lastExtent(this.#spaceTree(root, 'owned'))?.last ?? 0;
    const extension = this.#growth.extensionPages ?? DATABASE_EXTENSION;
    const header = this.#header(root.pgnoFdp);
    const wanted = Math.max(request, extension, Math.floor(header.cpg / SECONDARY_FRACTION));
    let count = Math.ceil(wanted / extension) * extension;
    // The file, header pages included, comes back to a multiple of the extension.
    const overhang = (owned + 2) % extension;
    if (count - overhang >= request) count -= overhang;
    const most = Math.min(PGNO_MAX, this.#growth.pagesMax || PGNO_MAX) - owned;
    if (most < min) {
      throw new EseError(
        'JET_errOutOfDatabaseSpace',
        `the database may not grow beyond page ${owned + most}`,
      );
    }
    count = Math.min(count, most);
    const pgnoLast = owned + count;
    this.#extendFile(session, pgnoLast);
    return this.#addExtent(session, root, owned + 1, count);
  }

  /** A tree of one extent gets trees of extents, on the first two pages of a second one (chapter 2.2.4). */
  #convert(session: Session, tree: Tree, header: SpaceHeader, request: number, min: number): void {
    const parent = this.#parentOf(tree);
    const least = min + CONVERT_PAGES;
    const hinted = nextAllocation(this.#hints.get(tree.objid), header.cpg);
    const wanted = this.#hints.has(tree.objid) ? Math.max(least, request, hinted) : Math.max(least, request);
    const { first, count } = this.#getExtent(session, parent, wanted, least, false);
    const changes = this.#changes;
    const root = this.#page(tree.pgnoFdp);
    changes.begin(session);
    changes.nextDbtime(STAMPS_CONVERT - 1);
    changes.carryOut('ConvertFDP2', {
      ...changes.prefix(session, tree.pgnoFdp, root.dbtime, 0, pageFlagsOf(tree, false)),
      objidFDP: tree.objid,
      pgnoOE: first,
      pgnoAE: first + 1,
      pgnoFDPParent: header.pgnoParent,
      pgnoSecondaryFirst: first,
      cpgPrimary: header.cpg,
      cpgSecondary: count,
      rgbitAvail: header.availableBitmap,
      fCpageFlags: root.flags & ~(PAGE_FLAG.root | PAGE_FLAG.leaf | PAGE_FLAG.parentOfLeaf),
    });
  }

  // --- Giving pages back ---

  freePage(session: Session, tree: Tree, pgno: number): void {
    if (tree.isSpace) this.#returnBufferPage(session, tree, pgno);
    else this.freeExtent(session, tree, pgno, 1);
  }

  /** Makes pages of a tree available again; a whole extent goes back to the parent. */
  freeExtent(session: Session, tree: Tree, first: number, count: number): void {
    const header = this.#header(tree.pgnoFdp);
    if (!hasMultipleExtents(header)) {
      // Pages behind the reach of the bitmap count as available all the time.
      const run = first - tree.pgnoFdp - 1;
      if (run >= 0 && run + count <= BITMAP_PAGES) this.#setBitmap(session, tree, header, run, count, true);
      return;
    }
    const last = first + count - 1;
    const owned = this.#firstExtent(this.#spaceTree(tree, 'owned'), last);
    if (owned === undefined || owned.first > first) {
      throw new EseError(
        'JET_errSPOwnExtCorrupted',
        `tree ${tree.objid} does not own pages ${first} to ${last}`,
      );
    }
    this.#fillBuffers(session, tree);
    const available = this.#spaceTree(tree, 'available');
    let freed = { first, last };
    const right = this.#firstExtent(available, last);
    const joinsRight = right !== undefined && right.first === last + 1 && right.last <= owned.last;
    const left = first > owned.first ? this.#extentEndingAt(available, first - 1) : undefined;
    if (left !== undefined) {
      this.#trees.removeSpaceNode(session, available, encodeExtentKey(left.last));
      freed = { ...freed, first: left.first };
    }
    if (joinsRight) {
      freed = { ...freed, last: right.last };
      const data = encodeExtentData(freed.last - freed.first + 1);
      this.#trees.replace(session, available, encodeExtentKey(right.last), data, false);
    } else {
      const data = encodeExtentData(freed.last - freed.first + 1);
      this.#trees.insert(session, available, encodeExtentKey(freed.last), data, false);
    }
    const isWhole = freed.first === owned.first && freed.last === owned.last;
    const hasRoot = [tree.pgnoFdp, header.pgnoOe, header.pgnoOe + 1].some(
      (pgno) => pgno >= owned.first && pgno <= owned.last,
    );
    if (!isWhole || hasRoot || header.pgnoParent === 0) return;
    const key = encodeExtentKey(owned.last);
    this.#trees.removeSpaceNode(session, available, key);
    this.#trees.removeSpaceNode(session, this.#spaceTree(tree, 'owned'), key);
    this.freeExtent(session, this.#parentOf(tree), owned.first, owned.count);
  }

  /**
   * Takes the available pages at the end of the database from page 1. Returns the last page that it owns afterwards.
   *
   * An extent that is cut is another one for the tree that holds it. `beginSegment` lets the next records begin a segment
   * of the log: both of the exchange are in it, or a crash leaves neither.
   */
  releaseEnd(session: Session, beginSegment: () => void): number {
    const root = this.treeAt(PGNO_DATABASE);
    const owned = this.#spaceTree(root, 'owned');
    const available = this.#spaceTree(root, 'available');
    for (;;) {
      const extent = this.#lastExtent(owned);
      if (extent === undefined) throw new EseError('JET_errSPOwnExtCorrupted', 'the database owns no page');
      const free = this.#extentEndingAt(available, extent.last);
      if (free === undefined) return extent.last;
      const key = encodeExtentKey(extent.last);
      this.#trees.removeSpaceNode(session, available, key);
      beginSegment();
      this.#trees.removeSpaceNode(session, owned, key);
      if (free.first <= extent.first) continue;
      const last = free.first - 1;
      const data = encodeExtentData(last - extent.first + 1);
      this.#trees.insert(session, owned, encodeExtentKey(last), data, false);
      return last;
    }
  }

  /** Gives all that a tree owns back to its parent. The tree is gone afterwards; its children must be already. */
  freeTree(session: Session, tree: Tree): void {
    const header = this.#header(tree.pgnoFdp);
    const parent = this.#parentOf(tree);
    const owned = hasMultipleExtents(header)
      ? [...this.#extents(this.#spaceTree(tree, 'owned'), 0)]
      : [{ first: tree.pgnoFdp, count: Math.max(1, header.cpg) }];
    for (const { first, count } of owned) this.freeExtent(session, parent, first, count);
    this.#hints.delete(tree.objid);
  }

  // --- Split buffers of space trees ---

  #takeBufferPage(session: Session, tree: Tree): number {
    const root = this.#page(rootPageOf(tree));
    const buffers = decodeSplitBuffer(root.externalHeader);
    // The smaller one first, so that one is empty when both together are low.
    const [extent, other] = [...buffers].sort((a, b) => a.count - b.count);
    if (extent === undefined) {
      throw new EseError('JET_errSPAvailExtCorrupted', 'a space tree has no pages left to split itself', {
        pgno: root.pgno,
      });
    }
    const rest = { last: extent.last, count: extent.count - 1 };
    this.#setBuffers(session, tree, root, rest, other);
    return extent.first;
  }

  #returnBufferPage(session: Session, tree: Tree, pgno: number): void {
    const root = this.#page(rootPageOf(tree));
    const [a, b] = decodeSplitBuffer(root.externalHeader);
    if (a !== undefined && a.first === pgno + 1) {
      this.#setBuffers(session, tree, root, { last: a.last, count: a.count + 1 }, b);
    } else if (b !== undefined && b.first === pgno + 1) {
      this.#setBuffers(session, tree, root, { last: b.last, count: b.count + 1 }, a);
    } else {
      this.#setBuffers(session, tree, root, { last: pgno, count: 1 }, a);
    }
  }

  #setBuffers(
    session: Session,
    tree: Tree,
    root: Page,
    a: { readonly last: number; readonly count: number },
    b: { readonly last: number; readonly count: number } | undefined,
  ): void {
    this.#changes.setExternalHeader(session, tree, root, encodeSplitBuffer(a, b));
  }

  /** Makes sure that the space trees of a tree can split while a node or two go into them. */
  #fillBuffers(session: Session, tree: Tree): void {
    for (const kind of ['owned', 'available'] as const) {
      const space = this.#spaceTree(tree, kind);
      const root = this.#page(rootPageOf(space));
      const buffers = decodeSplitBuffer(root.externalHeader);
      const have = buffers.reduce((sum, { count }) => sum + count, 0);
      const least = bufferPages(root) * (kind === 'owned' ? 2 : 1);
      if (have >= least) continue;
      const wanted = Math.max(least, BUFFER_REFILL);
      const extent =
        tree.pgnoFdp === PGNO_DATABASE
          ? this.#bufferFromFile(session, tree, wanted)
          : this.#bufferFromParent(session, tree, wanted);
      // What happened since may have used some, or given some.
      const rootNow = this.#page(rootPageOf(space));
      const now = decodeSplitBuffer(rootNow.externalHeader);
      const largest = [...now].sort((a, b) => b.count - a.count)[0];
      this.#setBuffers(
        session,
        space,
        rootNow,
        { last: extent.first + extent.count - 1, count: extent.count },
        largest,
      );
      for (const lost of now) {
        if (lost !== largest) this.freeExtent(session, tree, lost.first, lost.count);
      }
    }
  }

  /** Pages for a split buffer, owned by the tree but not available. */
  #bufferFromParent(session: Session, tree: Tree, wanted: number): PageRange {
    const extent = this.#getExtent(session, this.#parentOf(tree), wanted, wanted, false);
    const key = encodeExtentKey(extent.first + extent.count - 1);
    this.#trees.insert(session, this.#spaceTree(tree, 'owned'), key, encodeExtentData(extent.count), false);
    return extent;
  }

  /** Page 1 has them among its own available pages, or takes them from behind its end. */
  #bufferFromFile(session: Session, root: Tree, wanted: number): PageRange {
    const available = this.#spaceTree(root, 'available');
    // One page more: that the node stays means that the tree cannot split now.
    const extent = this.#firstExtent(available, 0, wanted + 1);
    if (extent !== undefined) {
      this.#takeFromExtent(session, available, extent, wanted);
      return { first: extent.first, count: wanted };
    }
    const owned = this.#lastExtent(this.#spaceTree(root, 'owned'))?.last ?? 0;
    const pgnoLast = owned + wanted;
    this.#extendFile(session, pgnoLast);
    this.#trees.insert(
      session,
      this.#spaceTree(root, 'owned'),
      encodeExtentKey(pgnoLast),
      encodeExtentData(wanted),
      false,
    );
    return { first: owned + 1, count: wanted };
  }

  // --- Space headers and space trees ---

  #page(pgno: number): Page {
    return this.#changes.context.pages.readPage(pgno);
  }

  #header(pgnoFdp: number): SpaceHeader {
    return decodeSpaceHeader(this.#page(pgnoFdp).externalHeader, pgnoFdp);
  }

  #setHeader(session: Session, tree: Tree, header: SpaceHeader): void {
    const root = this.#page(tree.pgnoFdp);
    const bytes = replaceSpaceHeader(new Uint8Array(root.externalHeader), encodeSpaceHeader(header));
    this.#changes.setExternalHeader(session, tree, root, bytes);
  }

  #setBitmap(
    session: Session,
    tree: Tree,
    header: SpaceHeader,
    run: number,
    count: number,
    isAvailable: boolean,
  ): void {
    let bits = header.availableBitmap;
    for (let bit = run; bit < run + count; bit++) {
      bits = isAvailable ? bits | (1 << bit) : bits & ~(1 << bit);
    }
    this.#setHeader(session, tree, { ...header, availableBitmap: bits >>> 0 });
  }

  #parentOf(tree: Tree): Tree {
    const { pgnoParent } = this.#header(tree.pgnoFdp);
    if (pgnoParent === 0) throw new Error(`tree ${tree.objid} has no parent`);
    return this.treeAt(pgnoParent);
  }

  /** The tree whose root is this page. */
  treeAt(pgnoFdp: number): Tree {
    const { flags } = this.#header(pgnoFdp);
    return {
      pgnoFdp,
      objid: this.#page(pgnoFdp).objid,
      isUnique: (flags & SPACE_FLAG.nonUnique) === 0,
      isSpace: false,
      appendFree: 0,
    };
  }

  #spaceTree(tree: Tree, kind: SpaceTreeKind): Tree {
    const { pgnoOe } = this.#header(tree.pgnoFdp);
    return {
      pgnoFdp: tree.pgnoFdp,
      pgnoSpaceRoot: kind === 'owned' ? pgnoOe : pgnoOe + 1,
      objid: tree.objid,
      isUnique: true,
      isSpace: true,
      appendFree: 0,
    };
  }

  /** First live extent of the general pool whose last page is at least `last`, of `min` pages or more. */
  #firstExtent(space: Tree, last: number, min = 1): Extent | undefined {
    for (const extent of this.#extents(space, last)) {
      if (extent.count >= min) return extent;
    }
    return undefined;
  }

  #extentEndingAt(space: Tree, last: number): Extent | undefined {
    const extent = this.#firstExtent(space, last);
    return extent?.last === last ? extent : undefined;
  }

  /** Live extents of the general pool in page order, from the first that ends at `last` or behind. */
  *#extents(space: Tree, last: number): Generator<Extent, void, undefined> {
    const search = this.#search;
    search.find(space, encodeExtentKey(last), NO_BYTES);
    let page = search.leaf;
    let { line } = search;
    for (;;) {
      for (; line < page.nodeCount; line++) {
        page.readNode(line, this.#node);
        if ((this.#node.flags & NODE_FLAG.deleted) !== 0) continue;
        const key = page.key(this.#node);
        // Extents of other pools have longer keys, and lie behind all of these.
        if (key.length !== 4) return;
        yield decodeExtent(key, page.data(this.#node), 'JET_errSPAvailExtCorrupted', page.pgno);
      }
      if (page.pgnoNext === 0) return;
      page = this.#page(page.pgnoNext);
      line = 0;
    }
  }

  #lastExtent(space: Tree): Extent | undefined {
    const search = this.#search;
    search.findEnd(space);
    let page = search.leaf;
    for (;;) {
      for (let line = page.nodeCount - 1; line >= 0; line--) {
        page.readNode(line, this.#node);
        if ((this.#node.flags & NODE_FLAG.deleted) !== 0) continue;
        const key = page.key(this.#node);
        if (key.length === 4) {
          return decodeExtent(key, page.data(this.#node), 'JET_errSPOwnExtCorrupted', page.pgno);
        }
      }
      if (page.pgnoPrev === 0) return undefined;
      page = this.#page(page.pgnoPrev);
    }
  }
}

/** Trees that serve requests out of pages that are available to them; all others ask their parents. */
function usesOwnSpace({ pgnoFdp }: Tree): boolean {
  return (
    pgnoFdp === PGNO_DATABASE ||
    pgnoFdp === PGNO_CATALOG ||
    pgnoFdp === PGNO_CATALOG_SHADOW ||
    pgnoFdp === PGNO_CATALOG_NAME_INDEX ||
    pgnoFdp === PGNO_CATALOG_ROOT_OBJECTS_INDEX
  );
}

/** Lowest bit of the first run of `count` available pages in the bitmap of a tree of one extent. */
function bitmapRun({ availableBitmap }: SpaceHeader, count: number): number | undefined {
  let run = 0;
  for (let bit = 0; bit < BITMAP_PAGES; bit++) {
    run = (availableBitmap & (1 << bit)) === 0 ? 0 : run + 1;
    if (run === count) return bit - count + 1;
  }
  return undefined;
}

/** Pages that a space tree of this shape may need for the splits of one or two inserts (chapter 2.2.5). */
function bufferPages(root: Page): number {
  if (root.isLeaf) return root.cbFree < LEAF_ROOT_LOW ? BUFFER_LEAF_ROOT : 0;
  return (root.flags & PAGE_FLAG.parentOfLeaf) !== 0 ? BUFFER_PARENT_OF_LEAF_ROOT : BUFFER_DEEPER;
}

/** Size of the next extent by the hints (chapter 2.2.4). */
function nextAllocation(hints: ExtentHints | undefined, previous: number): number {
  if (hints === undefined) return previous;
  const { growthPercent, extentMin, extentMax } = hints;
  if (extentMin !== 0 && extentMin === extentMax) return extentMin;
  let next = previous;
  if (growthPercent !== 0) next = Math.max(previous + 1, Math.floor((previous * growthPercent) / 100));
  if (extentMin !== 0) next = Math.max(next, extentMin);
  if (extentMax !== 0) next = Math.min(next, extentMax);
  return next;
}
