import { DBTIME_NIL } from '../format/dbtime.js';
import { SPLIT_OPERATION, SPLIT_TYPE } from '../format/log-record-layout.js';
import { PAGE_FLAG, type Page } from '../format/page.js';
import { encodePageImage } from '../format/page-image.js';
import { pageFlagsOf } from './page-changes.js';
import type { SplitChoice } from './split-choice.js';
import type { SplitLevel } from './split-plan.js';
import type { Session } from './transactions.js';
import type { Tree } from './tree-search.js';

const NO_BYTES = new Uint8Array(0);

/** The page to the right of a leaf that splits: its link back will change; 0 = none. */
export function rightOf({ page, choice }: SplitLevel): number {
  return choice !== undefined && page.isLeaf ? page.pgnoNext : 0;
}

/**
 * What a Split2 record is encoded from (format specification, chapters 4.6.5 and 10.3): one object for all, so that
 * a split makes little garbage.
 */
export class SplitFields {
  procid = 0;
  readonly dbid: number;
  pgno = 0;
  dbtime = 0;
  dbtimeBefore = 0;
  trxBegin0 = 0;
  level = 0;
  iline = 0;
  pageFlags = 0;
  pgnoNew = 0;
  pgnoParent = 0;
  pgnoRight = 0;
  objidFDP = 0;
  pgnoFDP = 0;
  dbtimeRightBefore = 0;
  dbtimeParentBefore = 0;
  splittype = 0;
  splitoper = 0;
  ilineOper = 0;
  ilineSplit = 0;
  clines = 0;
  fNewPageFlags = 0;
  fSplitPageFlags = 0;
  ilinePrefixSplit = 0;
  ilinePrefixNew = 0;
  cbUncFreeSrc = 0;
  cbUncFreeDest = 0;
  keyParent: Uint8Array = NO_BYTES;
  prefixSplitOld: Uint8Array = NO_BYTES;
  prefixSplitNew: Uint8Array = NO_BYTES;
  preimageFlags = 0;
  preimage: Uint8Array = NO_BYTES;

  constructor(dbid: number) {
    this.dbid = dbid;
  }

  /** Fills the fields for one level; `above` is the page that takes the pointer to the new one. */
  of(
    session: Session,
    tree: Tree,
    level: SplitLevel,
    above: Page | undefined,
    dbtimeRight: number,
    dbtime: number,
  ): this {
    const { page, choice } = level;
    this.procid = session.procid;
    this.pgno = page.pgno;
    this.dbtime = dbtime;
    this.dbtimeBefore = page.dbtime;
    this.trxBegin0 = session.trxBegin0;
    this.level = session.level;
    this.pageFlags = pageFlagsOf(tree, false);
    this.pgnoNew = level.pgnoNew;
    this.pgnoParent = above?.pgno ?? 0;
    this.dbtimeParentBefore = above?.dbtime ?? DBTIME_NIL;
    this.pgnoRight = rightOf(level);
    this.dbtimeRightBefore = dbtimeRight;
    this.pgnoFDP = tree.pgnoFdp;
    this.objidFDP = tree.objid;
    if (choice === undefined) this.#setPointerOnly(level.line);
    else this.#setChoice(page, choice, level.separator);
    return this;
  }

  /** A page that only takes the pointer to the new page below. */
  #setPointerOnly(line: number): void {
    this.splittype = 0;
    this.splitoper = SPLIT_OPERATION.none;
    this.ilineOper = line;
    this.ilineSplit = 0;
    this.clines = 0;
    this.fNewPageFlags = 0;
    this.fSplitPageFlags = 0;
    this.ilinePrefixSplit = 0;
    this.ilinePrefixNew = 0;
    this.keyParent = NO_BYTES;
    this.prefixSplitOld = NO_BYTES;
    this.prefixSplitNew = NO_BYTES;
    this.preimageFlags = 0;
    this.preimage = NO_BYTES;
  }

  #setChoice(page: Page, choice: SplitChoice, separator: Uint8Array): void {
    const { type, operation, ilineOper, ilineSplit, clines } = choice;
    const isVertical = type === SPLIT_TYPE.vertical;
    this.splittype = type;
    this.splitoper = operation;
    this.ilineOper = ilineOper;
    this.ilineSplit = ilineSplit;
    this.clines = clines;
    this.fNewPageFlags = isVertical ? page.flags & ~PAGE_FLAG.root : page.flags;
    this.fSplitPageFlags = isVertical ? flagsAbove(page) : page.flags;
    this.ilinePrefixSplit = choice.ilinePrefixSplit;
    this.ilinePrefixNew = choice.ilinePrefixNew;
    this.keyParent = separator;
    this.prefixSplitOld = page.isRoot ? NO_BYTES : page.externalHeader;
    this.prefixSplitNew = choice.prefixSplit;
    if (needsImage(choice)) {
      const { preimage, preimageFlags } = encodePageImage(page, this.dbtime);
      this.preimage = preimage;
      this.preimageFlags = preimageFlags;
    } else {
      this.preimageFlags = 0;
      this.preimage = NO_BYTES;
    }
  }
}

/** Flags of a page that becomes one level higher. */
function flagsAbove(page: Page): number {
  return page.isLeaf
    ? (page.flags & ~PAGE_FLAG.leaf) | PAGE_FLAG.parentOfLeaf
    : page.flags & ~PAGE_FLAG.parentOfLeaf;
}

/** A split that moves nodes logs the page as it was (chapter 10.3.4). */
function needsImage({ type, operation, ilineOper, ilineSplit, clines }: SplitChoice): boolean {
  const isHot =
    type === SPLIT_TYPE.right &&
    operation === SPLIT_OPERATION.insert &&
    ilineSplit === ilineOper &&
    ilineOper === clines - 1;
  return type !== SPLIT_TYPE.append && !isHot;
}
