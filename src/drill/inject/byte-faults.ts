import { EseError } from '../../format/ese-error.js';
import { createNodeView, PAGE_FLAG, type Page, pageHeaderBytes, SMALL_PAGE_MAX } from '../../format/page.js';
import { type Random, randomBelow, randomFill } from '../../io/seeded-random.js';
import { type DatabaseVictim, type FaultChoice, tooFew } from './database-victim.js';
import { type DatabasePlace, type PlacedPage, pagesAt, pickPages } from './places.js';
import type { FileBlock } from './victim-file.js';

/** Faults that leave the checksum as it was, or copy a whole page: what disks and cables do. */

/** Where bytes of a block are worth damaging, and how many share a checksum. */
export interface DamageArea {
  /** `[from, to)`. */
  readonly from: number;
  readonly to: number;
  /** Bytes of a block of the checksum. */
  readonly checksumBytes: number;
}

/** The bit of a page that says which checksum it has: its flip cannot be corrected. */
const NEW_CHECKSUM_BIT = 36 * 8 + 13;
const SECTOR_BYTES = 512;
const RANDOM_BYTES = 64;
/** Least bytes of an area in which faults with some room are put. */
const AREA_MIN = 128;

/** Flips one bit; returns its number in the block. */
export function flipOneBit({ bytes }: FileBlock, random: Random, { from, to }: DamageArea): number[] {
  for (;;) {
    const bit = 8 * from + randomBelow(random, 8 * (to - from));
    if (bit === NEW_CHECKSUM_BIT) continue;
    flip(bytes, bit);
    return [bit];
  }
}

/** Flips a bit in each of two bytes that one checksum covers. */
export function flipTwoBits(block: FileBlock, random: Random, area: DamageArea): number[] {
  const [first = 0] = flipOneBit(block, random, area);
  const part = Math.floor((first >> 3) / area.checksumBytes);
  const from = Math.max(area.from, part * area.checksumBytes);
  const to = Math.min(area.to, (part + 1) * area.checksumBytes);
  for (;;) {
    const at = from + randomBelow(random, to - from);
    if (at === first >> 3 && to - from > 1) continue;
    const second = 8 * at + randomBelow(random, 8);
    if (second === NEW_CHECKSUM_BIT) continue;
    flip(block.bytes, second);
    return [first, second];
  }
}

/** Puts 64 bytes in the place of others, none of which stays as it was. */
export function randomizeBytes({ bytes }: FileBlock, random: Random, { from, to }: DamageArea): void {
  const length = Math.min(RANDOM_BYTES, to - from);
  const at = from + randomBelow(random, to - from - length + 1);
  for (let i = at; i < at + length; i++) bytes[i] = (bytes[i] ?? 0) ^ (1 + randomBelow(random, 255));
}

/** Tears the block: from the second sector on it is what it was before, by default nothing. */
export function tearBlock({ bytes }: FileBlock, random: Random, old?: Uint8Array): void {
  const rest = bytes.subarray(SECTOR_BYTES);
  const before = rest.slice();
  if (old === undefined) rest.fill(0);
  else rest.set(old.subarray(SECTOR_BYTES));
  if (Buffer.compare(before, rest) === 0) randomFill(random, rest.subarray(0, SECTOR_BYTES));
}

function flip(bytes: Uint8Array, bit: number): void {
  bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
}

/** The bytes of a page that mean something: its nodes; where it has none, everything behind the checksum. */
function areaOf(victim: DatabaseVictim, pgno: number): DamageArea {
  const { pageSize } = victim;
  if (pgno < 1) return { from: 8, to: 640, checksumBytes: pageSize };
  const checksumBytes = pageSize > SMALL_PAGE_MAX ? pageSize / 4 : pageSize;
  const page = victim.page(pgno);
  const from = pageHeaderBytes(pageSize);
  const to = Math.min(pageSize, from + page.ibMicFree);
  return to - from >= AREA_MIN ? { from, to, checksumBytes } : { from: 8, to: pageSize, checksumBytes };
}

type PageFault = (victim: DatabaseVictim, placed: PlacedPage, choice: FaultChoice) => void;

const bitFlip: PageFault = (victim, { pgno, note }, { random }) => {
  const bits = flipOneBit(victim.block(pgno), random, areaOf(victim, pgno));
  victim.note({ ...note, pgno, what: 'one bit is flipped', bits });
};

const twoFlips: PageFault = (victim, { pgno, note }, { random }) => {
  const bits = flipTwoBits(victim.block(pgno), random, areaOf(victim, pgno));
  victim.note({ ...note, pgno, what: 'two bits are flipped', bits });
};

const randomBytes: PageFault = (victim, { pgno, note }, { random }) => {
  randomizeBytes(victim.block(pgno), random, areaOf(victim, pgno));
  victim.note({ ...note, pgno, what: 'some bytes are random' });
};

const zeroPage: PageFault = (victim, { pgno, note }) => {
  victim.block(pgno).bytes.fill(0);
  victim.note({ ...note, pgno, what: 'the page is all zero' });
};

const tornPage: PageFault = (victim, { pgno, note }, { random, older }) => {
  tearBlock(victim.block(pgno), random, older === undefined ? undefined : olderImage(victim, pgno, older));
  victim.note({ ...note, pgno, what: 'only the first sector of the page was written' });
};

const stalePage: PageFault = (victim, { pgno, note }, { older }) => {
  if (older !== undefined) {
    victim.block(pgno).bytes.set(olderImage(victim, pgno, older));
    victim.note({ ...note, pgno, what: 'the page is an older image of itself, of another file' });
    return;
  }
  // Without an older file: what the page was before its last row came.
  victim.edit(pgno, (page) => {
    page.dbtime -= 1;
    if (page.nodeCount > 1) page.deleteNode(page.nodeCount - 1);
  });
  victim.note({
    ...note,
    pgno,
    what: 'the page is an older image of itself: its last node is not there yet',
  });
};

function olderImage(
  victim: DatabaseVictim,
  pgno: number,
  older: NonNullable<FaultChoice['older']>,
): Uint8Array {
  if (older.pageSize !== victim.pageSize) {
    throw new EseError('JET_errPageSizeMismatch', `its pages have ${older.pageSize} bytes`, {
      file: older.path,
    });
  }
  return older.source.readPage(pgno).bytes;
}

/** Pages that are older in the other file, and belong to the same tree there. */
function isOlderThere(
  victim: DatabaseVictim,
  pgno: number,
  older: NonNullable<FaultChoice['older']>,
): boolean {
  try {
    const now = victim.source.readPage(pgno);
    const then = older.source.readPage(pgno);
    return then.objid === now.objid && then.flags === now.flags && then.dbtime < now.dbtime;
  } catch (error) {
    if (error instanceof EseError) return false;
    throw error;
  }
}

/** A page of the same role: of the same tree if there is another, else any. */
function foreignPage(victim: DatabaseVictim, pgno: number, random: Random): number {
  const { objid, flags } = victim.page(pgno);
  const alike: number[] = [];
  const others: number[] = [];
  for (let other = 1; other <= victim.lastPgno && alike.length < ALIKE_MAX; other++) {
    if (other === pgno) continue;
    try {
      const page = victim.source.readPage(other);
      (page.objid === objid && (page.flags & PAGE_FLAG.leaf) === (flags & PAGE_FLAG.leaf)
        ? alike
        : others
      ).push(other);
    } catch (error) {
      if (!(error instanceof EseError)) throw error;
    }
  }
  const list = alike.length > 0 ? alike : others;
  const found = list[randomBelow(random, Math.max(1, list.length))];
  if (found === undefined) throw tooFew(victim.file.path, 'other page', {}, 0);
  return found;
}

const ALIKE_MAX = 64;

const foreign: PageFault = (victim, { pgno, note }, { random }) => {
  const other = foreignPage(victim, pgno, random);
  victim.block(pgno).bytes.set(victim.source.readPage(other).bytes);
  victim.note({ ...note, pgno, what: `the page is a copy of page ${other}` });
};

/** Faults of single pages by name. */
const PAGE_FAULTS = {
  'bit-flip': bitFlip,
  'two-flips': twoFlips,
  'random-bytes': randomBytes,
  'zero-page': zeroPage,
  'torn-page': tornPage,
  'stale-page': stalePage,
  'foreign-page': foreign,
} as const;

export type PageFaultName = keyof typeof PAGE_FAULTS;

/** Damages pages of a place. */
export function damagePages(name: PageFaultName, place: DatabasePlace) {
  return (victim: DatabaseVictim, choice: FaultChoice): void => {
    const { older } = choice;
    const isChosen = name !== 'stale-page' || choice.pgno !== undefined;
    const pages = isChosen ? pickPages(victim, choice, place) : olderPages(victim, choice, place, older);
    for (const page of pages) PAGE_FAULTS[name](victim, page, choice);
  };
}

function olderPages(
  victim: DatabaseVictim,
  choice: FaultChoice,
  place: DatabasePlace,
  older: FaultChoice['older'],
): PlacedPage[] {
  if (older === undefined) {
    const several = pagesAt(victim, choice, place).filter(({ pgno }) => victim.page(pgno).nodeCount > 1);
    return victim.pick(choice, several, 'page with several nodes');
  }
  const found = pagesAt(victim, choice, place).filter(
    ({ pgno }) => pgno > 0 && isOlderThere(victim, pgno, older),
  );
  return victim.pick(choice, found, 'page that is older in the other file');
}

/** Two pages of one tree change their places. */
export function swapPages(place: DatabasePlace) {
  return (victim: DatabaseVictim, choice: FaultChoice): void => {
    const { random } = choice;
    const taken = new Set<number>();
    for (const { pgno, note } of pickPages(victim, choice, place)) {
      if (taken.has(pgno)) continue;
      const other = foreignPage(victim, pgno, random);
      taken.add(pgno).add(other);
      const image = victim.source.readPage(pgno).bytes;
      victim.block(pgno).bytes.set(victim.source.readPage(other).bytes);
      victim.block(other).bytes.set(image);
      victim.note({ ...note, pgno, what: `the page and page ${other} have changed places` });
    }
  };
}

/** A tag that reaches out of the page, or the lengths of a node that reach out of it; the checksum is right. */
export function damageNodes(part: 'tag' | 'node') {
  return (victim: DatabaseVictim, choice: FaultChoice): void => {
    const nodes = victim.pickNodes(choice, victim.trees(choice, 'table'), 'row');
    const view = createNodeView();
    for (const { tree, pgno, line } of nodes) {
      victim.edit(pgno, (page) => {
        if (part === 'tag') {
          const itag = line + page.reservedTags;
          page.view.setUint16(tagPosition(page, itag), page.isLarge ? 0x7fff : 0x1fff, true);
        } else {
          page.readNode(line, view);
          const at = view.suffixOffset - 2;
          // Above the length are bits of the node on large pages.
          page.view.setUint16(at, (page.view.getUint16(at, true) & 0xe000) | 0x1fff, true);
        }
      });
      const what = part === 'tag' ? 'the tag reaches out of the page' : 'the key is longer than its node';
      victim.noteTree(tree, pgno, what, { node: line });
    }
  };
}

/** Position of a tag in its page. */
export function tagPosition(page: Page, itag: number): number {
  return page.pageSize - 4 * (itag + 1);
}
