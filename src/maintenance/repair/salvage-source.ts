/**
 * Pages of a damaged database, each with what can be trusted of it (format specification, chapter 7.2.6).
 */

import type { PageSource } from '../../engine/page-source.js';
import type { TreeRoot } from '../../engine/tree-reader.js';
import { EseError } from '../../format/ese-error.js';
import type { Page } from '../../format/page.js';
import type { FileHandle, FileSystem } from '../../io/file-system.js';
import type { PageTrouble } from '../integrity/page-check.js';
import type { PageScan } from './page-scan.js';

/** What a page is worth. */
export type PageWorth =
  /** Checksum and structure are right, after correction of single bits. */
  | 'intact'
  /** The checksum is right, but tags or nodes contradict each other. */
  | 'unsound'
  /** The checksum is wrong: single nodes may still be proven. */
  | 'damaged'
  /** Nothing is left: blank, unreadable, behind the end, or the image of another page. */
  | 'lost';

/** A page as it could be read. */
export interface SalvagePage {
  /** Its bytes; all zero for a lost page. Valid until the source is asked for many other pages: copy what is kept. */
  readonly page: Page;
  readonly worth: PageWorth;
  /** What is wrong with it. */
  readonly trouble: PageTrouble | undefined;
  /**
   * Of a damaged page: the quarters whose own checksums are right, as bits 0 to 3. Only pages of 16 and 32 KiB
   * have such checksums; 0 for others.
   */
  readonly goodQuarters: number;
  /** The page where the image was found, if it is another one (a misplaced write). */
  readonly foundAt: number;
}

/** What a page is used for, as far as is known yet. */
export const SALVAGE_USE = {
  unknown: 0,
  /** Part of a tree: its records or pointers were used. */
  used: 1,
  space: 2,
  available: 3,
  /** An old image of records that newer pages hold. */
  superseded: 4,
} as const;

/** A damaged database. Nothing of it is ever written. */
export interface SalvageSource {
  readonly pageSize: number;
  readonly lastPgno: number;
  readonly scan: PageScan;
  readonly file: FileHandle;
  /** For readers that want sound pages only; they throw for others. */
  readonly pages: PageSource;
  /** {@link SALVAGE_USE} by page number; salvaging trees fills it. */
  readonly uses: Uint8Array;
  /** By page number: 1 where a space tree says that the page is free. */
  readonly available: Uint8Array;
  /** A page with all that can be told of it. Never throws for damage. */
  read(pgno: number): SalvagePage;
  close(): void;
}

/**
 * Opens a damaged database for salvage.
 *
 * @param scan what {@link scanPages} found of the same file
 */
export function openSalvage(_fs: FileSystem, _path: string, _scan: PageScan): SalvageSource {
  throw new EseError('JET_errInternalError', 'not yet');
}

/** What a page is in the end; every page is in exactly one of these (chapter 7.2.2). */
export interface PageCensus {
  readonly total: number;
  readonly used: number;
  readonly space: number;
  readonly empty: number;
  readonly blank: number;
  readonly available: number;
  readonly foreign: number;
  readonly bad: number;
}

/**
 * Notes which pages the space trees of these trees call free, and which pages the space trees are made of. Trees
 * whose space cannot be read tell nothing.
 */
export function noteSpace(_source: SalvageSource, _trees: Iterable<TreeRoot>): void {
  throw new EseError('JET_errInternalError', 'not yet');
}

/** Notes that a page is part of a tree that was read by other means. */
export function noteUsed(source: SalvageSource, pgno: number): void {
  source.uses[pgno] = SALVAGE_USE.used;
}

/** The classes of all pages, once all trees have been read. */
export function takeCensus(_source: SalvageSource): PageCensus {
  throw new EseError('JET_errInternalError', 'not yet');
}
