import { EseError } from '../format/ese-error.js';
import { checkPageStructure, Page, pageOffset } from '../format/page.js';
import { correctPage, newPageScan, verifyPages } from '../format/page-checksum.js';
import type { FileHandle } from '../io/file-system.js';

/**
 * Gives pages of a database for reading: verified, corrected in memory where one bit is wrong, and
 * checked as pages, so that whoever holds a {@link Page} can follow its tags.
 */
export interface PageSource {
  readonly pageSize: number;
  /** Highest page number that lies whole in the file. */
  readonly lastPgno: number;
  /**
   * A sound page. Throws `JET_errPageNotInitialized` for a blank one, `JET_errReadVerifyFailure` for a
   * checksum that cannot be corrected, `JET_errFileIOBeyondEOF` behind the end, and the fault of the
   * page check. The page is valid as long as the caller keeps it: nothing is reused under it.
   */
  readPage(pgno: number): Page;
  /** Pages read so far whose single wrong bit was corrected in memory. */
  readonly correctedPages: ReadonlySet<number>;
}

/** Pages kept after use, in bytes of page data. */
const CACHE_BYTES = 16 * 1024 * 1024;
/** Memory of pages that is got at once. */
const SLAB_BYTES = 256 * 1024;

/**
 * Reads one page of a file of `lastPgno` pages. Throws as {@link PageSource.readPage}.
 *
 * @param lastChild highest page number that an internal page may point to; during recovery the file may still be
 *   shorter than that. Default: `lastPgno`
 */
export type PageLoader = (pgno: number, lastPgno: number, lastChild?: number) => Page;

/** Where the bytes of pages lie. */
export interface PageMemory {
  /** Memory of one page, with any content. */
  take(): Uint8Array;
  /** Nobody uses the memory of a page any more. */
  give(bytes: Uint8Array): void;
}

/**
 * Makes a loader of pages; corrected pages are noted in `correctedPages`.
 *
 * @param memory default: memory of its own for each page
 */
export function createPageLoader(
  file: FileHandle,
  pageSize: number,
  correctedPages: Set<number>,
  memory: PageMemory = ownMemory(pageSize),
): PageLoader {
  const suspects = new Uint32Array(1);
  const scan = newPageScan();
  const load = (bytes: Uint8Array, pgno: number, lastChild: number): Page => {
    const place = { file: file.path, pgno };
    if (file.readAt(bytes, pageOffset(pgno, pageSize)) !== pageSize) {
      throw new EseError('JET_errFileIOBeyondEOF', 'the page is cut off', place);
    }
    scan.uninitialized = 0;
    const words = new Int32Array(bytes.buffer, bytes.byteOffset, pageSize >>> 2);
    if (verifyPages(words, 0, 1, pageSize, pgno, suspects, scan) !== 0) {
      if (correctPage(bytes, pgno).verdict !== 'correctable') {
        throw new EseError('JET_errReadVerifyFailure', 'the page checksum is wrong', place);
      }
      correctedPages.add(pgno);
    }
    if (scan.uninitialized !== 0) {
      throw new EseError('JET_errPageNotInitialized', 'the page is blank', place);
    }
    const page = new Page(bytes, pgno);
    const fault = checkPageStructure(page, lastChild);
    if (fault !== undefined) throw new EseError(fault.error, fault.what, place);
    const stored = page.storedPgno;
    if (stored !== undefined && stored !== pgno) {
      throw new EseError('JET_errReadPgnoVerifyFailure', `the page carries number ${stored}`, place);
    }
    return page;
  };
  return (pgno, lastPgno, lastChild = lastPgno) => {
    if (pgno < 1 || pgno > lastPgno) {
      throw new EseError('JET_errFileIOBeyondEOF', `there are only ${Math.max(0, lastPgno)} pages`, {
        file: file.path,
        pgno,
      });
    }
    const bytes = memory.take();
    try {
      return load(bytes, pgno, lastChild);
    } catch (error) {
      memory.give(bytes);
      throw error;
    }
  };
}

function ownMemory(pageSize: number): PageMemory {
  return { take: () => new Uint8Array(pageSize), give: () => {} };
}

/**
 * Memory of pages in large pieces, which are dear to get one page at a time. What is given back serves the next
 * page: only for those who know when nobody holds a page.
 */
export function createPageMemory(pageSize: number): PageMemory {
  const unused: Uint8Array[] = [];
  return {
    take() {
      if (unused.length === 0) {
        const slab = new ArrayBuffer(Math.max(SLAB_BYTES, pageSize));
        for (let at = slab.byteLength - pageSize; at >= 0; at -= pageSize) {
          unused.push(new Uint8Array(slab, at, pageSize));
        }
      }
      return unused.pop() ?? new Uint8Array(pageSize);
    },
    give(bytes) {
      unused.push(bytes);
    },
  };
}

/** A page source over an open database file, with a small cache of the pages used last. */
export function createFilePageSource(file: FileHandle, pageSize: number): PageSource {
  const lastPgno = Math.floor(file.size() / pageSize) - 2;
  const cache = new Map<number, Page>();
  const capacity = Math.max(16, Math.floor(CACHE_BYTES / pageSize));
  const correctedPages = new Set<number>();
  const load = createPageLoader(file, pageSize, correctedPages);

  return {
    pageSize,
    lastPgno,
    correctedPages,
    readPage(pgno) {
      const hit = cache.get(pgno);
      if (hit !== undefined) {
        cache.delete(pgno);
        cache.set(pgno, hit);
        return hit;
      }
      const page = load(pgno, lastPgno);
      if (cache.size >= capacity) {
        const oldest = cache.keys().next();
        if (!oldest.done) cache.delete(oldest.value);
      }
      cache.set(pgno, page);
      return page;
    },
  };
}
