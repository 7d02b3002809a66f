import { PAGE_FLAG, pageOffset } from '../../src/format/page.js';
import { type Random, randomBelow, randomFill } from '../../src/io/seeded-random.js';
import type { DamagedDatabase } from './damaged-database.js';

/** Ways to damage many pages at once. Each returns the pages whose contents are gone or no longer to be trusted. */
export interface PageDamage {
  readonly what: string;
  /** Whether it loses nothing, however many pages it hits. */
  readonly isHarmless?: true;
  /** Whether it is made for all pages rather than for a part of them. */
  readonly isWhole?: true;
  readonly run: (db: DamagedDatabase, random: Random, part: number) => Set<number>;
}

const image = ({ bytes, pageSize }: DamagedDatabase, pgno: number): Uint8Array =>
  bytes.subarray(pageOffset(pgno, pageSize), pageOffset(pgno + 1, pageSize));

/** Some of the pages, by chance; blank ones are left out, since nothing can be damaged there. */
function choose(db: DamagedDatabase, random: Random, part: number): number[] {
  const all: number[] = [];
  for (let pgno = 1; pgno <= db.lastPgno; pgno++)
    if (image(db, pgno).some((byte) => byte !== 0)) all.push(pgno);
  const wanted = Math.max(1, Math.round(part * all.length));
  return Array.from({ length: wanted }, () => all.splice(randomBelow(random, all.length), 1)[0] ?? 0);
}

function eachPage(change: (bytes: Uint8Array, random: Random) => void): PageDamage['run'] {
  return (db, random, part) => {
    const pgnos = choose(db, random, part);
    for (const pgno of pgnos) change(image(db, pgno), random);
    return new Set(pgnos);
  };
}

const HEADER_BYTES = 64;
const SECTOR_BYTES = 512;
const RUN_MOST = 24;

function flip(bytes: Uint8Array, bit: number): void {
  bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
}

function zeroRuns(db: DamagedDatabase, random: Random, part: number): Set<number> {
  const hit = new Set<number>();
  const wanted = Math.max(1, Math.round(part * db.lastPgno));
  while (hit.size < wanted) {
    const first = 1 + randomBelow(random, db.lastPgno);
    const length = Math.min(1 + randomBelow(random, RUN_MOST), wanted - hit.size, db.lastPgno - first + 1);
    for (let pgno = first; pgno < first + length; pgno++) {
      image(db, pgno).fill(0);
      hit.add(pgno);
    }
  }
  return hit;
}

/** Pages change places in pairs: each is still there. */
function swap(db: DamagedDatabase, random: Random, part: number): Set<number> {
  const pgnos = choose(db, random, part);
  for (let i = 0; i + 1 < pgnos.length; i += 2) {
    const [a, b] = [image(db, pgnos[i] ?? 0), image(db, pgnos[i + 1] ?? 0)];
    const kept = a.slice();
    a.set(b);
    b.set(kept);
  }
  return new Set();
}

/** Pages are overwritten by copies of others. */
function misdirect(db: DamagedDatabase, random: Random, part: number): Set<number> {
  const pgnos = choose(db, random, part);
  const hit = new Set(pgnos);
  const sources: number[] = [];
  for (let pgno = 1; pgno <= db.lastPgno; pgno++) if (!hit.has(pgno)) sources.push(pgno);
  for (const pgno of pgnos) image(db, pgno).set(image(db, sources[randomBelow(random, sources.length)] ?? 1));
  return hit;
}

/** Everything that is no leaf of a data, index or long-value tree: roots of several levels, and all space trees. */
function headless(db: DamagedDatabase, random: Random, part: number): Set<number> {
  for (let pgno = 1; pgno <= db.lastPgno; pgno++) {
    const bytes = image(db, pgno);
    if (bytes.every((byte) => byte === 0)) continue;
    const page = db.page(pgno);
    const isWanted =
      (!page.isLeaf || (page.flags & PAGE_FLAG.spaceTree) !== 0) && randomBelow(random, 1000) < 1000 * part;
    if (!isWanted) continue;
    if (randomBelow(random, 2) === 0) bytes.fill(0);
    else randomFill(random, bytes);
  }
  return new Set();
}

/** One bit of each page, but not the one that says how the page is checked. */
function bitEach(db: DamagedDatabase, random: Random): Set<number> {
  for (let pgno = 1; pgno <= db.lastPgno; pgno++) {
    const bytes = image(db, pgno);
    if (bytes.every((byte) => byte === 0)) continue;
    flip(bytes, 8 * HEADER_BYTES + randomBelow(random, 8 * (db.pageSize - HEADER_BYTES)));
  }
  return new Set();
}

/** By name. */
export const PAGE_DAMAGE = {
  noise: {
    what: 'pages of noise',
    run: eachPage((bytes, random) => randomFill(random, bytes)),
  },
  zeros: { what: 'runs of blank pages', run: zeroRuns },
  torn: {
    what: 'torn pages',
    run: eachPage((bytes, random) =>
      bytes.fill(0, SECTOR_BYTES * (1 + randomBelow(random, bytes.length / SECTOR_BYTES - 1))),
    ),
  },
  misdirected: { what: 'copies of other pages', run: misdirect },
  swapped: { what: 'swapped pages', isHarmless: true, run: swap },
  headless: { what: 'no internal and no space pages', isHarmless: true, isWhole: true, run: headless },
  bits: { what: 'one wrong bit on every page', isHarmless: true, isWhole: true, run: bitEach },
} as const satisfies Record<string, PageDamage>;
