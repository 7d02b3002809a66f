import { type ChecksumKernel, createChecksumKernel } from '../format/checksum-kernel.js';
import { EseError } from '../format/ese-error.js';
import { checkPageStructure, Page, pageOffset } from '../format/page.js';
import { correctPage, newPageScan } from '../format/page-checksum.js';
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
const PAGE_SIZE_MAX = 32768;

/**
 * Reads a page of a file of `lastPgno` pages: the bytes of `page`, whose number says which. Throws as
 * {@link PageSource.readPage}; the bytes mean nothing then.
 *
 * @param lastChild highest page number that an internal page may point to; during recovery the file may still be
 *   shorter than that. Default: `lastPgno`
 * @param isKnown the page was sound when it was last read or written, and nobody else writes the file: where its
 *   checksum is right, the rest needs no look
 */
export type PageLoader = (page: Page, lastPgno: number, lastChild?: number, isKnown?: boolean) => void;

/** Pages are verified here, and copied to where they are wanted: the kernel has a memory of its own. */
let kernel: ChecksumKernel | undefined;

/** Makes a loader of pages; corrected pages are noted in `correctedPages`. */
export function createPageLoader(
  file: FileHandle,
  pageSize: number,
  correctedPages: Set<number>,
): PageLoader {
  kernel ??= createChecksumKernel(PAGE_SIZE_MAX);
  const { verifyPages } = kernel;
  const read = kernel.bytes.subarray(0, pageSize);
  const scan = newPageScan();
  const load = (page: Page, lastChild: number, isKnown: boolean): void => {
    const { pgno, bytes } = page;
    if (file.readAt(read, pageOffset(pgno, pageSize)) !== pageSize) {
      throw new EseError('JET_errFileIOBeyondEOF', 'the page is cut off', { file: file.path, pgno });
    }
    scan.uninitialized = 0;
    const isSuspect = verifyPages(0, 1, pageSize, pgno, scan) !== 0;
    bytes.set(read);
    if (isKnown && !isSuspect && scan.uninitialized === 0) return;
    const place = { file: file.path, pgno };
    if (isSuspect) {
      if (correctPage(bytes, pgno).verdict !== 'correctable') {
        throw new EseError('JET_errReadVerifyFailure', 'the page checksum is wrong', place);
      }
      correctedPages.add(pgno);
    }
    if (scan.uninitialized !== 0) {
      throw new EseError('JET_errPageNotInitialized', 'the page is blank', place);
    }
    const fault = checkPageStructure(page, lastChild);
    if (fault !== undefined) throw new EseError(fault.error, fault.what, place);
    const stored = page.storedPgno;
    if (stored !== undefined && stored !== pgno) {
      throw new EseError('JET_errReadPgnoVerifyFailure', `the page carries number ${stored}`, place);
    }
  };
  return (page, lastPgno, lastChild = lastPgno, isKnown = false) => {
    const { pgno } = page;
    if (pgno < 1 || pgno > lastPgno) {
      throw new EseError('JET_errFileIOBeyondEOF', `there are only ${Math.max(0, lastPgno)} pages`, {
        file: file.path,
        pgno,
      });
    }
    load(page, lastChild, isKnown);
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
      const page = new Page(new Uint8Array(pageSize), pgno);
      load(page, lastPgno);
      if (cache.size >= capacity) {
        const oldest = cache.keys().next();
        if (!oldest.done) cache.delete(oldest.value);
      }
      cache.set(pgno, page);
      return page;
    },
  };
}
