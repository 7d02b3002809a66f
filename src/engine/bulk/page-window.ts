import type { ChecksumKernel } from '../../format/checksum-kernel.js';
import { Page, pageOffset } from '../../format/page.js';
import type { FileHandle } from '../../io/file-system.js';

/**
 * The part of a new database that is being made: a window of consecutive pages in the memory of a checksum
 * kernel. Pages are built in their places, in any order; when a page outside of the window is asked for, all
 * that are there get their checksums and are written, in as few calls as they have gaps.
 */
export class PageWindow {
  readonly kernel: ChecksumKernel;
  readonly pageSize: number;
  readonly #file: FileHandle;
  readonly #offset: number;
  /** By place in the window: 1 = a page was built there. */
  readonly #isFilled: Uint8Array;
  /** Views of the places, as far as they were asked for. */
  readonly #pages: Page[] = [];
  #firstPgno = 0;
  #filled = 0;

  /**
   * @param offset where the window lies in the kernel's memory, in bytes
   * @param pages how many pages it holds
   */
  constructor(file: FileHandle, pageSize: number, kernel: ChecksumKernel, offset: number, pages: number) {
    this.#file = file;
    this.pageSize = pageSize;
    this.kernel = kernel;
    this.#offset = offset;
    this.#isFilled = new Uint8Array(pages);
  }

  /** The page `pgno`, to be built before the next call. What lies there is left from other pages. */
  place(pgno: number): Page {
    let slot = pgno - this.#firstPgno;
    if (this.#filled === 0 || slot < 0 || slot >= this.#isFilled.length) {
      this.flush();
      this.#firstPgno = pgno;
      slot = 0;
    }
    if (this.#isFilled[slot] === 0) {
      this.#isFilled[slot] = 1;
      this.#filled++;
    }
    const known = this.#pages[slot];
    if (known !== undefined) {
      known.pgno = pgno;
      return known;
    }
    const at = this.#offset + slot * this.pageSize;
    const made = new Page(this.kernel.bytes.subarray(at, at + this.pageSize), pgno);
    this.#pages[slot] = made;
    return made;
  }

  /** Gives all pages their checksums and writes them; they are not durable yet. */
  flush(): void {
    const { kernel, pageSize } = this;
    const isFilled = this.#isFilled;
    for (let slot = 0; this.#filled > 0; ) {
      while (isFilled[slot] === 0) slot++;
      const first = slot;
      while (isFilled[slot] === 1) isFilled[slot++] = 0;
      const count = slot - first;
      const offset = this.#offset + first * pageSize;
      const pgno = this.#firstPgno + first;
      this.#filled -= count;
      kernel.sealPages(offset, count, pageSize, pgno);
      this.#file.writeAt(
        kernel.bytes.subarray(offset, offset + count * pageSize),
        pageOffset(pgno, pageSize),
      );
    }
  }
}
