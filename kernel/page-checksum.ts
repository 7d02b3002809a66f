/**
 * The checksum kernel: XOR + ECC checksums of many pages in one call (format specification, chapter 1.4;
 * the word-parallel method is the one of chapter 9.2). AssemblyScript, compiled with SIMD; its twin in
 * plain TypeScript is src/format/page-checksum.ts, and both pass the same tests.
 *
 * The position part of the ECC is linear over XOR. So there is no parity to take for each row: for each
 * bit of the row number, keep the XOR of all rows (of 16 bytes) that have the bit set, and take one
 * parity of each at the end. Eight rows cost 14 XORs; their sum goes to a scratch array on which the
 * same step runs again, and what that leaves (at most 8 sums) is added up one by one.
 *
 * Layout of the imported memory: [0, 1024) scratch, [1024, 1056) results, the rest is the caller's.
 */

const SCRATCH: usize = 0;
const RESULTS: usize = 1024;
const RESULT_UNINITIALIZED: usize = RESULTS;
const RESULT_DBTIME_PGNO: usize = RESULTS + 4;
const RESULT_DBTIME: usize = RESULTS + 8;

const XOR_SEED: u32 = 0x89abcdef;
const FLAG_NEW_CHECKSUM: u32 = 0x2000;
const SMALL_PAGE_MAX: u32 = 8192;
const OFFSET_DBTIME: usize = 8;
const OFFSET_FLAGS: usize = 36;
const OFFSET_BLOCK_CHECKSUMS: usize = 40;
const OFFSET_LARGE_PGNO: usize = 64;

/** The two halves of the checksum of the last block, without the page number. */
let xorPart: u32 = 0;
let eccPart: u32 = 0;

// @ts-ignore: decorator
@inline
function parity(v: v128): u32 {
  return <u32>(popcnt<u64>(v128.extract_lane<u64>(v, 0) ^ v128.extract_lane<u64>(v, 1)) & 1);
}

// @ts-ignore: decorator
@inline
function parity32(x: u32): u32 {
  return popcnt<u32>(x) & 1;
}

/** Computes the checksum of `size` bytes at `ptr`; in a header block bytes 0-7 count as zero. */
function block(ptr: usize, size: u32, isHeader: bool): void {
  let a0 = i64x2.splat(0);
  let a1 = a0;
  let a2 = a0;
  const end = ptr + size;
  let sums = SCRATCH;
  for (let p = ptr; p < end; p += 128) {
    const v1 = v128.load(p, 16);
    const v3 = v128.load(p, 48);
    const v5 = v128.load(p, 80);
    const v7 = v128.load(p, 112);
    const b = v128.xor(v128.load(p, 32), v3);
    const d = v128.xor(v128.load(p, 96), v7);
    const f = v128.xor(v128.xor(v128.load(p, 64), v5), d);
    a0 = v128.xor(a0, v128.xor(v128.xor(v1, v3), v128.xor(v5, v7)));
    a1 = v128.xor(a1, v128.xor(b, d));
    a2 = v128.xor(a2, f);
    v128.store(sums, v128.xor(v128.xor(v128.load(p), v1), v128.xor(b, f)));
    sums += 16;
  }

  let a3 = i64x2.splat(0);
  let a4 = a3;
  let a5 = a3;
  let a6 = a3;
  let a7 = a3;
  let a8 = a3;
  let column = a3;
  let h: u32 = 0;
  for (let p = SCRATCH; p < sums; p += 128) {
    const v1 = v128.load(p, 16);
    const v3 = v128.load(p, 48);
    const v5 = v128.load(p, 80);
    const v7 = v128.load(p, 112);
    const b = v128.xor(v128.load(p, 32), v3);
    const d = v128.xor(v128.load(p, 96), v7);
    const f = v128.xor(v128.xor(v128.load(p, 64), v5), d);
    a3 = v128.xor(a3, v128.xor(v128.xor(v1, v3), v128.xor(v5, v7)));
    a4 = v128.xor(a4, v128.xor(b, d));
    a5 = v128.xor(a5, f);
    const sum = v128.xor(v128.xor(v128.load(p), v1), v128.xor(b, f));
    column = v128.xor(column, sum);
    if (h & 1) a6 = v128.xor(a6, sum);
    if (h & 2) a7 = v128.xor(a7, sum);
    if (h & 4) a8 = v128.xor(a8, sum);
    h += 1;
  }
  // Bytes 0-7 lie in row 0, which is in none of a0..a8: it is enough to take them out of the sum.
  if (isHeader) column = v128.xor(column, v128.load64_zero(ptr));

  const w0 = v128.extract_lane<u32>(column, 0);
  const w1 = v128.extract_lane<u32>(column, 1);
  const w2 = v128.extract_lane<u32>(column, 2);
  const w3 = v128.extract_lane<u32>(column, 3);
  const x = w0 ^ w1 ^ w2 ^ w3;
  const position =
    parity32(x & 0xaaaaaaaa) |
    (parity32(x & 0xcccccccc) << 1) |
    (parity32(x & 0xf0f0f0f0) << 2) |
    (parity32(x & 0xff00ff00) << 3) |
    (parity32(x & 0xffff0000) << 4) |
    (parity32(w1 ^ w3) << 5) |
    (parity32(w2 ^ w3) << 6) |
    (parity(a0) << 7) |
    (parity(a1) << 8) |
    (parity(a2) << 9) |
    (parity(a3) << 10) |
    (parity(a4) << 11) |
    (parity(a5) << 12) |
    (parity(a6) << 13) |
    (parity(a7) << 14) |
    (parity(a8) << 15);
  const complement = parity32(x) ? position ^ (8 * size - 1) : position;
  xorPart = x;
  eccPart = (complement << 16) | position;
}

function isZero(ptr: usize, size: u32): bool {
  const end = ptr + size;
  for (let p = ptr; p < end; p += 64) {
    const bits = v128.or(
      v128.or(v128.load(p), v128.load(p, 16)),
      v128.or(v128.load(p, 32), v128.load(p, 48)),
    );
    if (v128.any_true(bits)) return false;
  }
  return true;
}

// @ts-ignore: decorator
@inline
function blockMatches(ptr: usize, stored: usize, pgno: u32): bool {
  return load<u32>(stored) == (xorPart ^ pgno) && load<u32>(stored, 4) == eccPart;
}

function isSmallPageValid(page: usize, pageSize: u32, pgno: u32): bool {
  block(page, pageSize, true);
  if (load<u32>(page, OFFSET_FLAGS) & FLAG_NEW_CHECKSUM) return blockMatches(page, page, pgno);
  const storedPgno = load<u32>(page, 4);
  return storedPgno == pgno && load<u32>(page) == (XOR_SEED ^ xorPart ^ storedPgno);
}

function isLargePageValid(page: usize, pageSize: u32, pgno: u32): bool {
  if (!(load<u32>(page, OFFSET_FLAGS) & FLAG_NEW_CHECKSUM) || load<u32>(page, OFFSET_LARGE_PGNO) != pgno) return false;
  const blockSize = pageSize >> 2;
  block(page, blockSize, true);
  if (!blockMatches(page, page, pgno)) return false;
  for (let k: u32 = 1; k < 4; k += 1) {
    block(page + k * blockSize, blockSize, false);
    if (!blockMatches(page, page + OFFSET_BLOCK_CHECKSUMS + ((k - 1) << 3), pgno)) return false;
  }
  return true;
}

/**
 * Verifies `count` pages at `ptr`. The numbers (from 0) of the pages that are neither valid nor all zero
 * go to `list` as u32; the result is how many. Adds to the results in memory: all-zero pages, and the
 * highest dbtime of a valid page with the number of that page.
 */
export function verify(ptr: usize, count: u32, pageSize: u32, firstPgno: u32, list: usize): u32 {
  const isLarge = pageSize > SMALL_PAGE_MAX;
  let uninitialized = load<u32>(RESULT_UNINITIALIZED);
  let dbtimeMax = load<i64>(RESULT_DBTIME);
  let suspects: u32 = 0;
  for (let i: u32 = 0; i < count; i += 1) {
    const page = ptr + <usize>i * pageSize;
    const pgno = firstPgno + i;
    if (load<u64>(page) == 0 && isZero(page, pageSize)) {
      uninitialized += 1;
      continue;
    }
    const isValid = isLarge ? isLargePageValid(page, pageSize, pgno) : isSmallPageValid(page, pageSize, pgno);
    if (!isValid) {
      store<u32>(list + ((<usize>suspects) << 2), i);
      suspects += 1;
      continue;
    }
    const dbtime = load<i64>(page, OFFSET_DBTIME);
    if (dbtime > dbtimeMax) {
      dbtimeMax = dbtime;
      store<u32>(RESULT_DBTIME_PGNO, pgno);
    }
  }
  store<u32>(RESULT_UNINITIALIZED, uninitialized);
  store<i64>(RESULT_DBTIME, dbtimeMax);
  return suspects;
}

/** Sets the checksum flag, the page number (large pages) and the checksums of `count` pages at `ptr`. */
export function seal(ptr: usize, count: u32, pageSize: u32, firstPgno: u32): void {
  const isLarge = pageSize > SMALL_PAGE_MAX;
  const blockSize = isLarge ? pageSize >> 2 : pageSize;
  for (let i: u32 = 0; i < count; i += 1) {
    const page = ptr + <usize>i * pageSize;
    const pgno = firstPgno + i;
    store<u32>(page, load<u32>(page, OFFSET_FLAGS) | FLAG_NEW_CHECKSUM, OFFSET_FLAGS);
    if (isLarge) {
      store<u32>(page, pgno, OFFSET_LARGE_PGNO);
      for (let k: u32 = 1; k < 4; k += 1) {
        block(page + k * blockSize, blockSize, false);
        const at = page + OFFSET_BLOCK_CHECKSUMS + ((k - 1) << 3);
        store<u32>(at, xorPart ^ pgno);
        store<u32>(at, eccPart, 4);
      }
    }
    block(page, blockSize, true);
    store<u32>(page, xorPart ^ pgno);
    store<u32>(page, eccPart, 4);
  }
}

/** Moves bytes inside the memory; the ranges may overlap. */
export function move(to: usize, from: usize, bytes: usize): void {
  memory.copy(to, from, bytes);
}
