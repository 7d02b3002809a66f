/**
 * The checksum of the format specification (chapter 1.4.3 and 1.4.4), bit by bit and without any of the
 * shortcuts of the code under test.
 */

/** The byte generator of the specification's test vectors (chapter 1.11). */
export function generateBytes(seed: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let x = seed;
  for (let i = 0; i < length; i += 1) {
    x = (Math.imul(x, 1664525) + 1013904223) | 0;
    bytes[i] = x >>> 24;
  }
  return bytes;
}

/** A copy of the page with checksums set; on large pages also the page number, which may be a wrong one. */
export function sealByDefinition(source: Uint8Array, pgno: number, storedPgno = pgno): Uint8Array {
  const page = new Uint8Array(source);
  if (page.length <= 8192) {
    writeChecksum(page, 0, 0, page.length, pgno);
    return page;
  }
  new DataView(page.buffer).setUint32(64, storedPgno, true);
  const blockSize = page.length / 4;
  for (const block of [1, 2, 3]) writeChecksum(page, 32 + block * 8, block * blockSize, blockSize, pgno);
  writeChecksum(page, 0, 0, blockSize, pgno);
  return page;
}

function writeChecksum(page: Uint8Array, at: number, start: number, size: number, pgno: number): void {
  const block = page.slice(start, start + size);
  if (start === 0) block.fill(0, 0, 8);
  let xor = 0;
  let position = 0;
  let count = 0;
  for (let i = 0; i < size * 8; i += 1) {
    if ((((block[i >> 3] ?? 0) >> (i & 7)) & 1) === 0) continue;
    xor ^= 1 << (i % 32);
    position ^= i;
    count += 1;
  }
  const complement = count % 2 === 1 ? position ^ (size * 8 - 1) : position;
  const view = new DataView(page.buffer);
  view.setUint32(at, (xor ^ pgno) >>> 0, true);
  view.setUint32(at + 4, ((complement << 16) | position) >>> 0, true);
}
