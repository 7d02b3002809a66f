import { PAGE_FLAG, Page } from '../../format/page.js';
import {
  encodeExtentData,
  encodeExtentKey,
  encodeSpaceHeader,
  SPACE_FLAG,
  SPACE_HEADER_BYTES,
} from '../../format/space.js';
import type { BuiltTree, BulkWriter } from './tree-builder.js';

/**
 * The pages of the trees of a new database. Each tree takes its pages one after the other from the end of the
 * file, its children theirs behind it, so that a table with all that belongs to it lies in one piece (format
 * specification, chapter 7.3.5). What the space trees say follows from that (chapters 2.2.1 to 2.2.3).
 */

/** Gives out the pages of the file in their order. */
export interface PageAllocator {
  /** Number of the next page. */
  next: number;
}

/** A run of pages. */
export interface Run {
  readonly first: number;
  readonly count: number;
}

export interface RegionOptions {
  readonly objid: number;
  /** Role flags of the tree: index, longValue, nonUnique of {@link PAGE_FLAG}. */
  readonly roleFlags: number;
  /** Pages that the tree gets at least. */
  readonly pages: number;
  /** How far leaves are filled, in per cent. */
  readonly density: number;
  /** Auto-increment maximum that the root is to keep. */
  readonly autoIncrement?: bigint | undefined;
  /** A root that has its place already; it lies apart from the other pages. */
  readonly pgnoRoot?: number;
}

/** Most pages of a tree that does without space trees of its own, unless more were asked for. */
const SINGLE_EXTENT_PAGES = 8;
/** Pages that the bitmap of a single extent can name, and the root. */
const SINGLE_EXTENT_PAGES_MAX = 33;
/** Extended external header: what it holds, the space header, the auto-increment maximum (chapter 2.1.2). */
const EXTENDED_FIELDS = 0x3;
const EXTENDED_BYTES = 1 + SPACE_HEADER_BYTES + 8;

/** One tree with its children. */
export class TreeRegion {
  readonly pgnoRoot: number;
  readonly #writer: BulkWriter;
  readonly #allocator: PageAllocator;
  readonly #options: RegionOptions;
  readonly #pgnoParent: number;
  readonly #singleMost: number;
  readonly #isApart: boolean;
  /** Pages of the tree itself, its space trees not counted. */
  #ownPages = 1;
  /** The first pages, up to the first that belongs to a child or to a space tree. */
  #primaryPages = 0;
  #pgnoOe = 0;
  #built: BuiltTree | undefined;
  #autoIncrement: bigint | undefined;

  constructor(writer: BulkWriter, allocator: PageAllocator, options: RegionOptions, pgnoParent: number) {
    this.#writer = writer;
    this.#allocator = allocator;
    this.#options = options;
    this.#pgnoParent = pgnoParent;
    this.#isApart = options.pgnoRoot !== undefined;
    this.#singleMost = this.#isApart
      ? 1
      : Math.min(SINGLE_EXTENT_PAGES_MAX, Math.max(SINGLE_EXTENT_PAGES, options.pages));
    this.pgnoRoot = options.pgnoRoot ?? allocator.next++;
  }

  /** Begins the tree: its nodes are to be given to the writer. */
  begin(): void {
    const { objid, roleFlags, density, autoIncrement } = this.#options;
    this.#writer.begin({
      objid,
      roleFlags,
      pgnoRoot: this.pgnoRoot,
      rootHeaderBytes: autoIncrement === undefined ? SPACE_HEADER_BYTES : EXTENDED_BYTES,
      density,
      takePage: () => this.#takePage(),
    });
  }

  #takePage(): number {
    if (this.#pgnoOe === 0 && this.#ownPages >= this.#singleMost) this.#takeSpaceTrees();
    this.#ownPages++;
    return this.#allocator.next++;
  }

  /** The tree becomes one of several extents: its pages so far are the first, the next one begins here. */
  #takeSpaceTrees(): void {
    this.#primaryPages ||= this.#ownPages;
    this.#pgnoOe = this.#allocator.next;
    this.#allocator.next += 2;
  }

  /** Ends the tree. Children may follow, and {@link close} must. */
  finishTree(): BuiltTree {
    this.#built = this.#writer.finish();
    this.#primaryPages ||= this.#ownPages;
    return this.#built;
  }

  /** Writes the root as it is now and all that is still in memory: the finished tree can be read before it is closed. */
  flushTree(): void {
    if (this.#built === undefined) throw new Error('the tree is not finished');
    this.#writer.putPage(this.#built.root);
    this.#writer.flush();
  }

  /** A tree that takes its space from this one. It must be closed before the next. */
  child(options: RegionOptions): TreeRegion {
    return new TreeRegion(this.#writer, this.#allocator, options, this.pgnoRoot);
  }

  /**
   * Says what belongs to the tree: writes its root, and its space trees if it has any.
   *
   * @param autoIncrement the maximum that the root keeps, if it is another one than at the beginning
   */
  close(autoIncrement = this.#options.autoIncrement): void {
    this.#autoIncrement = autoIncrement;
    const built = this.#built;
    if (built === undefined) throw new Error('the tree is not finished');
    const { pages } = this.#options;
    const total = this.#isApart ? this.#ownPages : this.#allocator.next - this.pgnoRoot;
    if (this.#pgnoOe === 0 && total <= this.#singleMost)
      this.#closeSingle(built, total, Math.max(total, pages));
    else this.#closeMultiple(built, pages);
  }

  #closeSingle({ root }: BuiltTree, used: number, pages: number): void {
    if (!this.#isApart) this.#allocator.next += pages - used;
    let availableBitmap = 0;
    for (let page = used; page < Math.min(pages, SINGLE_EXTENT_PAGES_MAX); page++) {
      availableBitmap |= 1 << (page - 1);
    }
    this.#putRoot(root, this.#isApart ? used : pages, 0, availableBitmap >>> 0);
  }

  #closeMultiple({ root }: BuiltTree, pages: number): void {
    if (this.#pgnoOe === 0) this.#takeSpaceTrees();
    const allocator = this.#allocator;
    const second = this.#isApart ? this.#pgnoOe : this.pgnoRoot + this.#primaryPages;
    const free = this.#isApart ? 0 : Math.max(0, this.pgnoRoot + pages - allocator.next);
    const available = free === 0 ? [] : [{ first: allocator.next, count: free }];
    allocator.next += free;
    this.#putRoot(root, this.#primaryPages, this.#pgnoOe, 0);
    const { objid, roleFlags } = this.#options;
    const owned = [
      { first: this.pgnoRoot, count: this.#primaryPages },
      { first: second, count: allocator.next - second },
    ];
    putSpaceTrees(this.#writer, objid, roleFlags, this.#pgnoOe, owned, available);
  }

  #putRoot(root: Page, cpg: number, pgnoOe: number, availableBitmap: number): void {
    const { roleFlags } = this.#options;
    const header = encodeSpaceHeader({
      cpg,
      pgnoParent: this.#pgnoParent,
      flags: spaceFlags(pgnoOe !== 0, roleFlags),
      availableBitmap,
      pgnoOe,
    });
    putRoot(this.#writer, root, header, this.#autoIncrement);
  }
}

/** Flags of a space header. */
export function spaceFlags(hasMultipleExtents: boolean, roleFlags: number): number {
  const nonUnique = (roleFlags & PAGE_FLAG.nonUnique) !== 0;
  return (hasMultipleExtents ? SPACE_FLAG.multipleExtents : 0) | (nonUnique ? SPACE_FLAG.nonUnique : 0);
}

/** Writes a root with its space header, and its auto-increment maximum if it keeps one. */
export function putRoot(writer: BulkWriter, root: Page, header: Uint8Array, autoIncrement?: bigint): void {
  const external = root.externalHeader;
  if (autoIncrement === undefined) {
    external.set(header);
  } else {
    external[0] = EXTENDED_FIELDS;
    external.set(header, 1);
    new DataView(external.buffer, external.byteOffset).setBigUint64(
      1 + SPACE_HEADER_BYTES,
      autoIncrement,
      true,
    );
  }
  writer.putPage(root);
}

/** Writes the trees of owned and of available extents: a page each, the second behind the first. */
export function putSpaceTrees(
  writer: BulkWriter,
  objid: number,
  roleFlags: number,
  pgnoOe: number,
  owned: readonly Run[],
  available: readonly Run[],
): void {
  [owned, available].forEach((runs, i) => {
    const page = new Page(new Uint8Array(writer.pageSize), pgnoOe + i);
    page.initialize(roleFlags | PAGE_FLAG.spaceTree | PAGE_FLAG.root | PAGE_FLAG.leaf, objid, 0);
    page.setExternalHeader(new Uint8Array(SPACE_HEADER_BYTES));
    runs.forEach(({ first, count }, line) => {
      page.insertKeyed(line, 0, encodeExtentKey(first + count - 1), encodeExtentData(count));
    });
    writer.putPage(page);
  });
}
