import { PAGE_FLAG, SMALL_PAGE_MAX } from './page.js';

/**
 * Checksums of headers, pages and log segments (format specification, chapters 1.2.4, 1.4 and 4.4.2).
 *
 * | kind | stored | covers |
 * |---|---|---|
 * | header (database, log, checkpoint, flush map) | u32 at 0: XOR | everything behind the first dword |
 * | page, old format (flag 0x2000 clear) | u32 at 0: XOR; u32 at 4: pgno | everything behind the first dword |
 * | page up to 8 KiB, log segment | u64 at 0: XOR ^ pgno, ECC | everything behind byte 7 |
 * | page of 16 or 32 KiB | u64 at 0, 40, 48, 56: XOR ^ pgno, ECC | a quarter of the page each |
 *
 * The ECC is the XOR of the positions of all set bits (low half) and of the complements of the
 * positions (high half). So the difference between the stored and the computed ECC names a single
 * flipped bit. The XOR part of a page at the wrong place is off by its page number, and nothing else is.
 *
 * This file is the plain TypeScript twin of the WebAssembly kernel (kernel/page-checksum.ts), and the
 * only place where a damaged page is diagnosed. The functions that take words run without allocation.
 */

/** Start value of the XOR checksum of headers and old-format pages. */
export const XOR_CHECKSUM_SEED = 0x89abcdef;

const LARGE_PAGE_BLOCKS = 4;
const PGNO_MAX = 0x7fffffff;

/** The bit of the page that says which checksum the page has; it is never corrected. */
const NEW_CHECKSUM_BIT = 36 * 8 + 13;

const WORD_PGNO_OLD = 1;
const WORD_DBTIME = 2;
const WORD_FLAGS = 9;
const WORD_BLOCK_CHECKSUMS = 10;
const WORD_PGNO_LARGE = 16;

/** dwords that one step of the position tree takes. */
const STEP = 16;
/** Sums of the steps: 8 KiB / 4 / 16. */
const sums = new Int32Array(128);

let xorPart = 0;
let eccPart = 0;

/** 1 if the number of set bits of `x` is odd. */
function parity(x: number): number {
  let bits = x ^ (x >>> 16);
  bits ^= bits >>> 8;
  bits ^= bits >>> 4;
  return (0x6996 >> (bits & 15)) & 1;
}

/**
 * Leaves the checksum of `count` dwords (a power of two, 256..2048) in `xorPart` and `eccPart`,
 * without a page number. In a header block, bytes 0-7 count as zero.
 *
 * For each bit of the dword number, `aN` is the XOR of all dwords that have the bit set.
 */
function computeBlock(words: Int32Array, start: number, count: number, isHeaderBlock: boolean): void {
  let a0 = 0;
  let a1 = 0;
  let a2 = 0;
  let a3 = 0;
  const end = start + count;
  let groups = 0;
  for (let i = start; i < end; i += STEP) {
    const v1 = words[i + 1] as number;
    const v3 = words[i + 3] as number;
    const v5 = words[i + 5] as number;
    const v7 = words[i + 7] as number;
    const v9 = words[i + 9] as number;
    const v11 = words[i + 11] as number;
    const v13 = words[i + 13] as number;
    const v15 = words[i + 15] as number;
    const p1 = (words[i + 2] as number) ^ v3;
    const p3 = (words[i + 6] as number) ^ v7;
    const p5 = (words[i + 10] as number) ^ v11;
    const p7 = (words[i + 14] as number) ^ v15;
    const q1 = (words[i + 4] as number) ^ v5 ^ p3;
    const q3 = (words[i + 12] as number) ^ v13 ^ p7;
    const r1 = (words[i + 8] as number) ^ v9 ^ p5 ^ q3;
    a0 ^= v1 ^ v3 ^ v5 ^ v7 ^ v9 ^ v11 ^ v13 ^ v15;
    a1 ^= p1 ^ p3 ^ p5 ^ p7;
    a2 ^= q1 ^ q3;
    a3 ^= r1;
    sums[groups] = (words[i] as number) ^ v1 ^ p1 ^ q1 ^ r1;
    groups += 1;
  }

  let a4 = 0;
  let a5 = 0;
  let a6 = 0;
  let a7 = 0;
  let a8 = 0;
  let a9 = 0;
  let a10 = 0;
  let column = 0;
  for (let g = 0; g < groups; g += 1) {
    const sum = sums[g] as number;
    column ^= sum;
    if (g & 1) a4 ^= sum;
    if (g & 2) a5 ^= sum;
    if (g & 4) a6 ^= sum;
    if (g & 8) a7 ^= sum;
    if (g & 16) a8 ^= sum;
    if (g & 32) a9 ^= sum;
    if (g & 64) a10 ^= sum;
  }
  if (isHeaderBlock) {
    const second = words[start + 1] as number;
    a0 ^= second;
    column ^= (words[start] as number) ^ second;
  }

  const position =
    parity(column & 0xaaaaaaaa) |
    (parity(column & 0xcccccccc) << 1) |
    (parity(column & 0xf0f0f0f0) << 2) |
    (parity(column & 0xff00ff00) << 3) |
    (parity(column & 0xffff0000) << 4) |
    (parity(a0) << 5) |
    (parity(a1) << 6) |
    (parity(a2) << 7) |
    (parity(a3) << 8) |
    (parity(a4) << 9) |
    (parity(a5) << 10) |
    (parity(a6) << 11) |
    (parity(a7) << 12) |
    (parity(a8) << 13) |
    (parity(a9) << 14) |
    (parity(a10) << 15);
  const complement = parity(column) ? position ^ (count * 32 - 1) : position;
  xorPart = column;
  eccPart = (complement << 16) | position;
}

function blockMatches(words: Int32Array, stored: number, pgno: number): boolean {
  return words[stored] === (xorPart ^ pgno) && words[stored + 1] === eccPart;
}

/** True if the page of `pageWords` dwords at word `start` carries the checksums and the number of page `pgno`. */
function isPageValid(words: Int32Array, start: number, pageWords: number, pgno: number): boolean {
  const isNewFormat = ((words[start + WORD_FLAGS] as number) & PAGE_FLAG.newChecksum) !== 0;
  if (pageWords * 4 <= SMALL_PAGE_MAX) {
    computeBlock(words, start, pageWords, true);
    if (isNewFormat) return blockMatches(words, start, pgno);
    const storedPgno = words[start + WORD_PGNO_OLD] as number;
    return storedPgno === (pgno | 0) && words[start] === (XOR_CHECKSUM_SEED ^ xorPart ^ storedPgno);
  }
  if (!isNewFormat || words[start + WORD_PGNO_LARGE] !== (pgno | 0)) return false;
  const blockWords = pageWords / LARGE_PAGE_BLOCKS;
  for (let block = 0; block < LARGE_PAGE_BLOCKS; block += 1) {
    computeBlock(words, start + block * blockWords, blockWords, block === 0);
    if (!blockMatches(words, start + storedWord(block), pgno)) return false;
  }
  return true;
}

/** Word of the page at which the checksum of a block is stored. */
function storedWord(block: number): number {
  return block === 0 ? 0 : WORD_BLOCK_CHECKSUMS + (block - 1) * 2;
}

function isZero(words: Int32Array, start: number, count: number): boolean {
  for (let i = start; i < start + count; i += 1) if (words[i] !== 0) return false;
  return true;
}

/** Totals of a scan over pages; a scan adds to them. */
export interface PageScan {
  /** All-zero pages. */
  uninitialized: number;
  /** Highest dbtime of the valid pages (reserved values, which read as negative, do not count); 0 = none. */
  dbtimeMax: number;
  /** A page with that dbtime, the first one met; 0 = none. */
  dbtimeMaxPgno: number;
}

/** Totals of nothing scanned yet. */
export function newPageScan(): PageScan {
  return { uninitialized: 0, dbtimeMax: 0, dbtimeMaxPgno: 0 };
}

/**
 * Verifies `pageCount` pages that begin at word `start`.
 *
 * Pages that are neither valid nor all zero are suspects: their numbers, counted from 0 within this
 * call, are written to `suspects`; the caller gives each to `diagnosePage`. Returns how many they are.
 * A log segment is a page of 4096 bytes with its segment number as pgno (format specification, chapter 4.4.2).
 */
export function verifyPages(
  words: Int32Array,
  start: number,
  pageCount: number,
  pageSize: number,
  firstPgno: number,
  suspects: Uint32Array,
  scan: PageScan,
): number {
  const pageWords = pageSize >>> 2;
  let suspectCount = 0;
  for (let i = 0; i < pageCount; i += 1) {
    const page = start + i * pageWords;
    if (words[page] === 0 && words[page + 1] === 0 && isZero(words, page, pageWords)) {
      scan.uninitialized += 1;
    } else if (!isPageValid(words, page, pageWords, firstPgno + i)) {
      suspects[suspectCount] = i;
      suspectCount += 1;
    } else {
      const dbtime =
        (words[page + WORD_DBTIME + 1] as number) * 2 ** 32 + ((words[page + WORD_DBTIME] as number) >>> 0);
      if (dbtime > scan.dbtimeMax) {
        scan.dbtimeMax = dbtime;
        scan.dbtimeMaxPgno = firstPgno + i;
      }
    }
  }
  return suspectCount;
}

/**
 * Makes `pageCount` pages that begin at word `start` ready to be written: sets the checksum flag, on
 * large pages the page number, and the checksums.
 */
export function sealPages(
  words: Int32Array,
  start: number,
  pageCount: number,
  pageSize: number,
  firstPgno: number,
): void {
  const pageWords = pageSize >>> 2;
  const blocks = pageSize <= SMALL_PAGE_MAX ? 1 : LARGE_PAGE_BLOCKS;
  const blockWords = pageWords / blocks;
  for (let i = 0; i < pageCount; i += 1) {
    const page = start + i * pageWords;
    const pgno = firstPgno + i;
    words[page + WORD_FLAGS] = (words[page + WORD_FLAGS] as number) | PAGE_FLAG.newChecksum;
    if (blocks > 1) words[page + WORD_PGNO_LARGE] = pgno;
    // The header block is the last one: it covers the checksums of the others.
    for (let block = blocks - 1; block >= 0; block -= 1) {
      computeBlock(words, page + block * blockWords, blockWords, block === 0);
      words[page + storedWord(block)] = xorPart ^ pgno;
      words[page + storedWord(block) + 1] = eccPart;
    }
  }
}

/**
 * XOR checksum of a header: the seed and all dwords but the first, which stores it. Returns an unsigned
 * 32-bit number.
 *
 * @param bytes the whole header, a multiple of 4 bytes: a page of a database, 4096 bytes of a log
 */
export function xorChecksum(bytes: Uint8Array): number {
  const words = wordsOf(bytes);
  let xor = XOR_CHECKSUM_SEED;
  for (let i = 1; i < words.length; i += 1) xor ^= words[i] as number;
  return xor >>> 0;
}

/** The bytes as dwords: a view where the bytes are aligned, else a view of a copy. */
function wordsOf(bytes: Uint8Array): Int32Array {
  const aligned = bytes.byteOffset % 4 === 0 ? bytes : new Uint8Array(bytes);
  return new Int32Array(aligned.buffer, aligned.byteOffset, aligned.byteLength >>> 2);
}

/** A stored and a computed 64-bit checksum, as unsigned halves; the low half comes first on disk. */
export interface ChecksumPair {
  readonly storedLow: number;
  readonly storedHigh: number;
  readonly computedLow: number;
  readonly computedHigh: number;
}

/**
 * What a page is: `ok`; `uninitialized` (all zero); `correctable` (each bad block has one flipped bit);
 * `wrongPgno` (whole, but it is another page of the file); `bad`.
 */
export type PageVerdict = 'ok' | 'uninitialized' | 'correctable' | 'wrongPgno' | 'bad';

/** The verdict on one page, with all that led to it. */
export interface PageDiagnosis {
  readonly verdict: PageVerdict;
  readonly format: 'xorOld' | 'eccXor' | 'large';
  /** One pair, or four for a large page. */
  readonly checksums: readonly ChecksumPair[];
  /** Numbers of the flipped bits within the page (byte `n >> 3`, bit `n & 7`), if they can be corrected. */
  readonly correctableBits: readonly number[];
  /** The page number for which the checksum would be right, if there is one besides the expected one. */
  readonly looksLikePgno: number | null;
}

/**
 * Says what is wrong with a page (format specification, chapter 1.4.6). Changes nothing.
 *
 * @param page the bytes of one page; the length is the page size
 * @param pgno number of the page by its place in the file
 * @param lastPgno a page that carries a number beyond this one is bad rather than misplaced
 */
export function diagnosePage(page: Uint8Array, pgno: number, lastPgno = PGNO_MAX): PageDiagnosis {
  const words = wordsOf(page);
  const isNewFormat = ((words[WORD_FLAGS] as number) & PAGE_FLAG.newChecksum) !== 0;
  const isLarge = page.length > SMALL_PAGE_MAX;
  const diagnosis =
    isNewFormat || isLarge
      ? diagnoseNewFormat(words, pgno, lastPgno)
      : diagnoseOldFormat(words, pgno, lastPgno);
  return isZero(words, 0, words.length) ? { ...diagnosis, ...UNINITIALIZED } : diagnosis;
}

const UNINITIALIZED = { verdict: 'uninitialized', correctableBits: [], looksLikePgno: null } as const;

/**
 * Corrects a page in place, if its verdict is `correctable`; else leaves it as it is. Returns the
 * diagnosis of the page as it was. The caller must still check the corrected page as a page
 * (format specification, chapter 1.7) and drop it if it does not pass.
 */
export function correctPage(page: Uint8Array, pgno: number, lastPgno = PGNO_MAX): PageDiagnosis {
  const diagnosis = diagnosePage(page, pgno, lastPgno);
  for (const bit of diagnosis.correctableBits) flipBit(page, bit);
  return diagnosis;
}

function flipBit(bytes: Uint8Array, bit: number): void {
  bytes[bit >>> 3] = (bytes[bit >>> 3] as number) ^ (1 << (bit & 7));
}

function isPgno(candidate: number, lastPgno: number): boolean {
  return candidate >= 1 && candidate <= lastPgno;
}

function diagnoseOldFormat(words: Int32Array, pgno: number, lastPgno: number): PageDiagnosis {
  const storedPgno = (words[WORD_PGNO_OLD] as number) >>> 0;
  computeBlock(words, 0, words.length, true);
  const pair: ChecksumPair = {
    storedLow: (words[0] as number) >>> 0,
    storedHigh: storedPgno,
    computedLow: (XOR_CHECKSUM_SEED ^ xorPart ^ storedPgno) >>> 0,
    computedHigh: pgno,
  };
  const isIntact = pair.storedLow === pair.computedLow;
  const other = isIntact && storedPgno !== pgno && isPgno(storedPgno, PGNO_MAX) ? storedPgno : null;
  const verdict = isIntact && storedPgno === pgno ? 'ok' : isMisplaced(other, lastPgno) ? 'wrongPgno' : 'bad';
  return { verdict, format: 'xorOld', checksums: [pair], correctableBits: [], looksLikePgno: other };
}

function isMisplaced(candidate: number | null, lastPgno: number): boolean {
  return candidate !== null && isPgno(candidate, lastPgno);
}

function diagnoseNewFormat(words: Int32Array, pgno: number, lastPgno: number): PageDiagnosis {
  const isLarge = words.length * 4 > SMALL_PAGE_MAX;
  const blocks = isLarge ? LARGE_PAGE_BLOCKS : 1;
  const blockWords = words.length / blocks;
  const format = isLarge ? 'large' : 'eccXor';
  const checksums: ChecksumPair[] = [];
  const bits: number[] = [];
  // What block 0 says about a stored checksum of the others is applied here before they are judged.
  const corrected = words.slice();
  let isCorrectable = true;
  for (let block = 0; block < blocks; block += 1) {
    computeBlock(words, block * blockWords, blockWords, block === 0);
    const at = storedWord(block);
    checksums.push({
      storedLow: (words[at] as number) >>> 0,
      storedHigh: (words[at + 1] as number) >>> 0,
      computedLow: (xorPart ^ pgno) >>> 0,
      computedHigh: eccPart >>> 0,
    });
    const xorDifference = (corrected[at] as number) ^ xorPart ^ pgno;
    const eccDifference = (corrected[at + 1] as number) ^ eccPart;
    if (xorDifference === 0 && eccDifference === 0) continue;
    const bit = flippedBit(xorDifference, eccDifference, blockWords * 32, block === 0);
    if (bit < 0) {
      isCorrectable = false;
    } else {
      const pageBit = block * blockWords * 32 + bit;
      bits.push(pageBit);
      const word = pageBit >>> 5;
      corrected[word] = (corrected[word] as number) ^ (1 << (pageBit & 31));
    }
  }

  const other = otherPgno(words, checksums, pgno, isLarge);
  const rest = { format, checksums, looksLikePgno: other } as const;
  if (isPageValid(words, 0, words.length, pgno)) return { ...rest, verdict: 'ok', correctableBits: [] };
  if (isCorrectable && bits.length > 0 && isPageValid(corrected, 0, words.length, pgno)) {
    return { ...rest, verdict: 'correctable', correctableBits: bits };
  }
  return { ...rest, verdict: isMisplaced(other, lastPgno) ? 'wrongPgno' : 'bad', correctableBits: [] };
}

/** Number of the one bit of a block whose flip explains the differences, or -1. */
function flippedBit(
  xorDifference: number,
  eccDifference: number,
  blockBits: number,
  isHeaderBlock: boolean,
): number {
  const mask = blockBits - 1;
  const isOneBit = xorDifference !== 0 && (xorDifference & (xorDifference - 1)) === 0;
  if (!isOneBit || (((eccDifference >>> 16) ^ eccDifference) & mask) !== mask) return -1;
  const bit = eccDifference & 0xffff;
  const isInStoredChecksum = isHeaderBlock && bit < 64;
  const isFormatFlag = isHeaderBlock && bit === NEW_CHECKSUM_BIT;
  return bit > mask || isInStoredChecksum || isFormatFlag ? -1 : bit;
}

/** The page number, other than `pgno`, that all checksums (and the stored number of a large page) agree on. */
function otherPgno(
  words: Int32Array,
  checksums: readonly ChecksumPair[],
  pgno: number,
  isLarge: boolean,
): number | null {
  const first = checksums[0];
  if (first === undefined) return null;
  const difference = first.storedLow ^ first.computedLow;
  const agrees = (pair: ChecksumPair) =>
    pair.storedHigh === pair.computedHigh && (pair.storedLow ^ pair.computedLow) === difference;
  if (!checksums.every(agrees)) return null;
  const stored = isLarge ? (words[WORD_PGNO_LARGE] as number) >>> 0 : (difference ^ pgno) >>> 0;
  const isConsistent = difference === 0 || stored === (difference ^ pgno) >>> 0;
  return isConsistent && stored !== pgno && isPgno(stored, PGNO_MAX) ? stored : null;
}
