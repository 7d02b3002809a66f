import type { ChecksumKernel } from '../../format/checksum-kernel.js';
import { EseError } from '../../format/ese-error.js';
import { checkPageStructure, createNodeView, PAGE_FLAG, Page, pageOffset } from '../../format/page.js';
import { correctPage, newPageScan } from '../../format/page-checksum.js';
import type { FileHandle } from '../../io/file-system.js';
import type { PageSource } from '../page-source.js';
import type { TreeRoot } from '../tree-reader.js';
import { type BulkKernel, soundScratchBytes } from './bulk-kernel.js';
import { READ_AHEAD_BYTES, type ReadAhead } from './read-ahead.js';

/** Levels of the deepest tree that is followed; a deeper one is a loop. */
const DEPTH_MAX = 32;

/**
 * Reads the leaves of trees in key order, as many at once as lie behind each other in the file, into memory that
 * it shares with a {@link BulkWriter}: nodes are copied from there without a detour.
 */
export class LeafScan {
  readonly #file: FileHandle;
  readonly #source: PageSource;
  readonly #kernel: ChecksumKernel;
  readonly #offset: number;
  readonly #pages: number;
  readonly #ahead: ReadAhead | undefined;
  readonly #bulk: BulkKernel | undefined;
  /** Offset of memory that the kernel needs to see whether a page is sound. */
  readonly #scratch: number;
  readonly #scan = newPageScan();
  /** Views of the memory, by page. */
  readonly #views: Page[] = [];

  /**
   * @param source the same database, for the pages above the leaves
   * @param offset memory in the kernel, `byteCount` bytes of it
   * @param ahead somebody who reads pages before they are needed
   * @param bulk sees faster whether leaves are sound
   */
  constructor(
    file: FileHandle,
    source: PageSource,
    kernel: ChecksumKernel,
    offset: number,
    byteCount: number,
    ahead?: ReadAhead,
    bulk?: BulkKernel,
  ) {
    this.#file = file;
    this.#source = source;
    this.#kernel = kernel;
    this.#offset = offset;
    const scratchBytes = bulk === undefined ? 0 : soundScratchBytes(source.pageSize);
    const room = byteCount - scratchBytes;
    const most = ahead === undefined ? room : Math.min(room, READ_AHEAD_BYTES);
    this.#pages = Math.max(1, Math.floor(most / source.pageSize));
    this.#ahead = ahead;
    this.#bulk = bulk;
    this.#scratch = offset + room;
  }

  /**
   * The leaves of a tree, in key order by its parent pages. A page is valid until the next is asked for.
   *
   * @throws EseError for the first page that is damaged or does not belong there
   */
  *leaves(root: TreeRoot): Generator<Page, void, undefined> {
    let leavesLeft = this.#source.lastPgno;
    for (const { first, count, isRead } of this.#runs(root)) {
      leavesLeft -= count;
      if (leavesLeft < 0) {
        throw new EseError('JET_errBadParentPageLink', 'pages are reached twice', { pgno: first });
      }
      if (!isRead) this.#read(first, count);
      for (let i = 0; i < count; i++) {
        const page = this.#pageIn(i);
        page.pgno = first + i;
        if (!isRead && !this.#isSound(i)) this.#checkStructure(page);
        yield this.#check(page, root);
      }
    }
  }

  /** Runs of leaves that lie behind each other; those that were read ahead are in the memory, and sound. */
  *#runs(root: TreeRoot): Generator<LeafRun, void, undefined> {
    const ahead = this.#ahead;
    const lists = leafRuns(this.#source, root, this.#pages);
    if (ahead === undefined) {
      yield* lists;
      return;
    }
    const { pageSize } = this.#source;
    const waiting: LeafRun[] = [];
    let isEnd = false;
    let failure: unknown;
    try {
      for (;;) {
        while (!isEnd && failure === undefined && ahead.hasRoom) {
          try {
            const next = lists.next();
            if (next.done === true) isEnd = true;
            else {
              waiting.push(next.value);
              ahead.post(next.value.first, next.value.count);
            }
          } catch (error) {
            // The leaves before come first, and so does what is wrong with them.
            failure = error;
          }
        }
        const run = waiting.shift();
        if (run === undefined) break;
        const bytes = run.count * pageSize;
        const isRead = ahead.take(this.#kernel.bytes.subarray(this.#offset, this.#offset + bytes));
        yield { ...run, isRead };
      }
    } finally {
      ahead.drop();
    }
    if (failure !== undefined) throw failure;
  }

  #pageIn(place: number): Page {
    const known = this.#views[place];
    if (known !== undefined) return known;
    const { pageSize } = this.#source;
    const at = this.#offset + place * pageSize;
    const made = new Page(this.#kernel.bytes.subarray(at, at + pageSize), 0);
    this.#views[place] = made;
    return made;
  }

  /** Reads pages and verifies their checksums; a single wrong bit is corrected in memory. */
  #read(first: number, count: number): void {
    const { pageSize, lastPgno } = this.#source;
    const kernel = this.#kernel;
    const place = { file: this.#file.path, pgno: first };
    if (first < 1 || first + count - 1 > lastPgno) {
      throw new EseError('JET_errFileIOBeyondEOF', `there are only ${lastPgno} pages`, place);
    }
    const into = kernel.bytes.subarray(this.#offset, this.#offset + count * pageSize);
    if (this.#file.readAt(into, pageOffset(first, pageSize)) !== into.length) {
      throw new EseError('JET_errFileIOBeyondEOF', 'the file became shorter while it was read', place);
    }
    this.#scan.uninitialized = 0;
    const suspects = kernel.verifyPages(this.#offset, count, pageSize, first, this.#scan);
    for (let i = 0; i < suspects; i++) {
      const index = kernel.suspects[i] as number;
      const page = into.subarray(index * pageSize, (index + 1) * pageSize);
      if (correctPage(page, first + index).verdict !== 'correctable') {
        throw new EseError('JET_errReadVerifyFailure', 'the page checksum is wrong', {
          ...place,
          pgno: first + index,
        });
      }
    }
    if (this.#scan.uninitialized === 0) return;
    for (let i = 0; i < count; i++) {
      if (into.subarray(i * pageSize, (i + 1) * pageSize).some((byte) => byte !== 0)) continue;
      throw new EseError('JET_errPageNotInitialized', 'the page is blank', { ...place, pgno: first + i });
    }
  }

  #isSound(place: number): boolean {
    const { pageSize } = this.#source;
    return this.#bulk?.isSoundLeaf(this.#offset + place * pageSize, pageSize, this.#scratch) ?? false;
  }

  #checkStructure(page: Page): void {
    const fault = checkPageStructure(page, this.#source.lastPgno);
    if (fault === undefined) return;
    throw new EseError(fault.error, fault.what, { file: this.#file.path, pgno: page.pgno });
  }

  #check(page: Page, root: TreeRoot): Page {
    const { pgno } = page;
    const place = { file: this.#file.path, pgno };
    if ((page.storedPgno ?? pgno) !== pgno) {
      throw new EseError('JET_errReadPgnoVerifyFailure', `the page carries number ${page.storedPgno}`, place);
    }
    if (page.objid !== root.objid || page.isRoot !== (pgno === root.pgnoFdp)) {
      throw new EseError('JET_errBadParentPageLink', `the page belongs to tree ${page.objid}`, place);
    }
    if (!page.isLeaf || (page.flags & (PAGE_FLAG.empty | PAGE_FLAG.preInit)) !== 0) {
      throw new EseError('JET_errBadParentPageLink', 'the page is no leaf', place);
    }
    return page;
  }
}

/** A run of leaves. */
interface LeafRun {
  readonly first: number;
  readonly count: number;
  /** The pages are in memory, and sound as such. */
  readonly isRead: boolean;
}

/** The leaves of a tree in key order, as many at once as lie behind each other, at most `most`. */
function* leafRuns(source: PageSource, root: TreeRoot, most: number): Generator<LeafRun, void, undefined> {
  for (const pgnos of leafLists(source, root)) {
    for (let from = 0; from < pgnos.length; ) {
      const first = pgnos[from] ?? 0;
      let count = 1;
      while (count < most && pgnos[from + count] === first + count) count++;
      yield { first, count, isRead: false };
      from += count;
    }
  }
}

/** Page numbers of the leaves of a tree in key order, those of one parent page at a time. */
function* leafLists(source: PageSource, root: TreeRoot): Generator<number[], void, undefined> {
  const node = createNodeView();
  const children = (page: Page): number[] => {
    const pgnos: number[] = [];
    for (let line = 0; line < page.nodeCount; line++) {
      page.readNode(line, node);
      pgnos.push(page.childPgno(node));
    }
    return pgnos;
  };
  const visited = new Set<number>();
  /** Internal pages that are still to be visited, by level; the next one is at the end. */
  const path: number[][] = [[root.pgnoFdp]];
  for (;;) {
    const pgno = path.at(-1)?.pop();
    if (pgno === undefined) {
      path.pop();
      if (path.length === 0) return;
      continue;
    }
    if (path.length > DEPTH_MAX || visited.has(pgno)) {
      throw new EseError('JET_errBadParentPageLink', 'a page is reached twice', { pgno });
    }
    visited.add(pgno);
    const page = source.readPage(pgno);
    if (page.objid !== root.objid || page.isRoot !== (pgno === root.pgnoFdp)) {
      throw new EseError('JET_errBadParentPageLink', `the page belongs to tree ${page.objid}`, { pgno });
    }
    if (page.isLeaf) {
      if (!page.isRoot) {
        throw new EseError('JET_errBadParentPageLink', 'a leaf lies where a branch page is due', { pgno });
      }
      yield [pgno];
    } else if ((page.flags & PAGE_FLAG.parentOfLeaf) !== 0) {
      yield children(page);
    } else {
      path.push(children(page).reverse());
    }
  }
}
