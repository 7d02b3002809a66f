/**
 * The contents of one file on a simulated disk: what a reader sees now, what is durable, and which writes
 * lie between the two. Pages are shared between these states, and between disks, until they are written.
 */
import { type Random, randomBelow, randomChance } from './seeded-random.js';

/** Bytes that a disk writes as one, if nothing else is said: a power failure leaves the old ones or the new ones. */
export const SECTOR_BYTES = 512;

/** Unit of sharing and of space on the disk, in bytes. */
export const SIMULATED_PAGE_BYTES = 4096;

/** Bytes of a file. A missing page is a hole; behind `size` all bytes are zero. */
interface Contents {
  size: number;
  pages: (Uint8Array | undefined)[];
}

/** A change that no `sync` has made durable yet. */
type Change =
  | { readonly kind: 'write'; readonly offset: number; readonly bytes: Uint8Array }
  | { readonly kind: 'truncate'; readonly size: number };

export interface SimulatedFile {
  readonly now: Contents;
  readonly durable: Contents;
  /** Pages that `now` does not share with `durable`: those present belong to this file alone. */
  readonly changedPages: Set<number>;
  changes: Change[];
}

export function newSimulatedFile(): SimulatedFile {
  return {
    now: { size: 0, pages: [] },
    durable: { size: 0, pages: [] },
    changedPages: new Set(),
    changes: [],
  };
}

/** Bytes that the file takes on the disk. */
export function allocatedBytes(file: SimulatedFile): number {
  let pages = 0;
  for (const page of file.now.pages) if (page !== undefined) pages++;
  return pages * SIMULATED_PAGE_BYTES;
}

/** Fills `into` from `offset` on, up to the end of the file; returns the bytes read. */
export function readSimulated({ now }: SimulatedFile, into: Uint8Array, offset: number): number {
  const length = Math.max(0, Math.min(into.length, now.size - offset));
  copyOut(now, into.subarray(0, length), offset);
  return length;
}

/**
 * Writes `from` at `offset`, or as much of it as fits in `freePages` new pages.
 *
 * @returns the bytes written, and the pages that were taken
 */
export function writeSimulated(
  file: SimulatedFile,
  from: Uint8Array,
  offset: number,
  freePages: number,
): { written: number; taken: number } {
  let written = 0;
  let taken = 0;
  while (written < from.length) {
    const index = Math.floor((offset + written) / SIMULATED_PAGE_BYTES);
    if (file.now.pages[index] === undefined) {
      if (taken === freePages) break;
      taken++;
    }
    written += copyIntoPage(
      ownPage(file.now, file.changedPages, index),
      from.subarray(written),
      offset + written,
    );
  }
  if (written > 0) {
    file.now.size = Math.max(file.now.size, offset + written);
    file.changes.push({ kind: 'write', offset, bytes: from.slice(0, written) });
  }
  return { written, taken };
}

/** Cuts or extends the file; returns the pages that were given back. */
export function truncateSimulated(file: SimulatedFile, size: number): number {
  const released = cut(file.now, file.changedPages, size);
  file.now.size = size;
  file.changes.push({ kind: 'truncate', size });
  return released;
}

/** Makes the present contents durable. */
export function syncSimulated(file: SimulatedFile): void {
  for (const index of file.changedPages) setPage(file.durable, index, file.now.pages[index]);
  file.durable.size = file.now.size;
  file.durable.pages.length = Math.min(file.durable.pages.length, file.now.pages.length);
  file.changedPages.clear();
  file.changes = [];
}

/**
 * A `sync` that the disk failed: some of the changes have become durable, the others never will (unless
 * their pages are written again), although a reader still sees them.
 */
export function failSync(file: SimulatedFile, random: Random): void {
  const left = survivingContents(file, random);
  file.durable.size = left.size;
  file.durable.pages = left.pages;
  file.changedPages.clear();
  file.changes = [];
}

/** The file as another disk would hold it at this moment: equal, and independent of this one. */
export function copySimulated(file: SimulatedFile): SimulatedFile {
  return {
    now: ownCopy(file),
    durable: { size: file.durable.size, pages: file.durable.pages.slice() },
    changedPages: new Set(file.changedPages),
    changes: file.changes.slice(),
  };
}

/** The file after a power failure: one of the states that it may be found in. */
export function crashSimulated(
  file: SimulatedFile,
  random: Random,
  sectorBytes: number = SECTOR_BYTES,
): SimulatedFile {
  const left = survivingContents(file, random, sectorBytes);
  return {
    now: left,
    durable: { size: left.size, pages: left.pages.slice() },
    changedPages: new Set(),
    changes: [],
  };
}

/**
 * Contents that a power failure may leave: each sector as it was after some change since the last sync,
 * whatever the others are; the size as it was after some change; cuts in their order with the size.
 */
function survivingContents(
  file: SimulatedFile,
  random: Random,
  sectorBytes: number = SECTOR_BYTES,
): Contents {
  const count = file.changes.length;
  const durable = { size: file.durable.size, pages: file.durable.pages.slice() };
  // The two ends come by themselves too seldom, the clean cut with one torn write as well.
  switch (count === 0 ? 0 : randomBelow(random, 5)) {
    case 0:
      return durable;
    case 1:
      return ownCopy(file);
    case 2: {
      const whole = randomBelow(random, count);
      const isSizeNew = randomChance(random, 0.5);
      const torn = random.uint32() / 2 ** 32;
      return replay(file, sectorBytes, whole + (isSizeNew ? 1 : 0), (change, sector, sectors) =>
        change === whole ? sector < torn * sectors : change < whole,
      );
    }
    default: {
      const kept = [0.1, 0.5, 0.9][randomBelow(random, 3)] ?? 0.5;
      return replay(file, sectorBytes, randomBelow(random, count + 1), () => randomChance(random, kept));
    }
  }
}

/**
 * The durable contents, with the sizes and cuts of the first `sizeChanges` changes, and with those sectors
 * of the writes that `keeps` chooses. A sector that is kept has all it held after that write.
 */
function replay(
  file: SimulatedFile,
  sectorBytes: number,
  sizeChanges: number,
  keeps: (change: number, sector: number, sectors: number) => boolean,
): Contents {
  const seen = { size: file.durable.size, pages: file.durable.pages.slice() };
  const seenOwn = new Set<number>();
  const left = { size: file.durable.size, pages: file.durable.pages.slice() };
  const leftOwn = new Set<number>();
  const buffer = new Uint8Array(sectorBytes);

  for (const [index, change] of file.changes.entries()) {
    if (change.kind === 'truncate') {
      cut(seen, seenOwn, change.size);
      seen.size = change.size;
      if (index < sizeChanges) {
        cut(left, leftOwn, change.size);
        left.size = change.size;
      }
      continue;
    }
    copyIn(seen, seenOwn, change.bytes, change.offset);
    seen.size = Math.max(seen.size, change.offset + change.bytes.length);
    if (index < sizeChanges) left.size = seen.size;
    const first = Math.floor(change.offset / sectorBytes);
    const sectors = Math.ceil((change.offset + change.bytes.length) / sectorBytes) - first;
    for (let sector = 0; sector < sectors; sector++) {
      if (!keeps(index, sector, sectors)) continue;
      copyOut(seen, buffer, (first + sector) * sectorBytes);
      copyIn(left, leftOwn, buffer, (first + sector) * sectorBytes);
    }
  }
  cut(left, leftOwn, left.size);
  return left;
}

/** The present contents, with own copies of the pages that the file may yet write in place. */
function ownCopy({ now, changedPages }: SimulatedFile): Contents {
  const pages = now.pages.slice();
  for (const index of changedPages) {
    const page = pages[index];
    if (page !== undefined) pages[index] = page.slice();
  }
  return { size: now.size, pages };
}

/** Drops all bytes from `size` on; returns the pages that went. */
function cut(contents: Contents, own: Set<number>, size: number): number {
  const end = Math.ceil(size / SIMULATED_PAGE_BYTES);
  let released = 0;
  for (let index = end; index < contents.pages.length; index++) {
    if (contents.pages[index] === undefined) continue;
    released++;
    own.add(index);
  }
  if (contents.pages.length > end) contents.pages.length = end;
  const inPage = size % SIMULATED_PAGE_BYTES;
  if (inPage > 0 && contents.pages[end - 1] !== undefined) {
    ownPage(contents, own, end - 1).fill(0, inPage);
  }
  return released;
}

/** The page at `index`, made one that nobody shares, so that it can be written in place. */
function ownPage(contents: Contents, own: Set<number>, index: number): Uint8Array {
  const present = contents.pages[index];
  if (present !== undefined && own.has(index)) return present;
  const page = present?.slice() ?? new Uint8Array(SIMULATED_PAGE_BYTES);
  setPage(contents, index, page);
  own.add(index);
  return page;
}

function setPage({ pages }: Contents, index: number, page: Uint8Array | undefined): void {
  // Assigning far behind the end would turn the array into a slow, sparse one.
  while (pages.length < index) pages.push(undefined);
  pages[index] = page;
}

function copyIn(contents: Contents, own: Set<number>, from: Uint8Array, offset: number): void {
  for (let done = 0; done < from.length; ) {
    const index = Math.floor((offset + done) / SIMULATED_PAGE_BYTES);
    done += copyIntoPage(ownPage(contents, own, index), from.subarray(done), offset + done);
  }
}

function copyIntoPage(page: Uint8Array, from: Uint8Array, offset: number): number {
  const inPage = offset % SIMULATED_PAGE_BYTES;
  const length = Math.min(from.length, SIMULATED_PAGE_BYTES - inPage);
  page.set(from.subarray(0, length), inPage);
  return length;
}

/** Copies bytes out, as if the contents had no end. */
function copyOut({ pages }: Contents, into: Uint8Array, offset: number): void {
  for (let done = 0; done < into.length; ) {
    const inPage = (offset + done) % SIMULATED_PAGE_BYTES;
    const length = Math.min(into.length - done, SIMULATED_PAGE_BYTES - inPage);
    const page = pages[Math.floor((offset + done) / SIMULATED_PAGE_BYTES)];
    if (page === undefined) into.fill(0, done, done + length);
    else into.set(page.subarray(inPage, inPage + length), done);
    done += length;
  }
}
