/** Seed of the XOR checksum of headers and old pages (format specification, chapter 1.2.4). */
export const XOR_CHECKSUM_SEED = 0x89abcdef;

/**
 * XOR checksum of a header: the seed XOR all dwords of `bytes` but the first, which stores it. Length
 * must be a multiple of 4. Returns an unsigned 32-bit number.
 */
export function xorChecksum(bytes: Uint8Array): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let sum = XOR_CHECKSUM_SEED;
  for (let at = 4; at < bytes.byteLength; at += 4) sum ^= view.getInt32(at, true);
  return sum >>> 0;
}
