import { closeSync, openSync, statSync, writeSync } from 'node:fs';
import { createChecksumKernel } from '../dist/format/checksum-kernel.js';
import { HEADER_MAGIC, writeHeaderFields } from '../dist/format/database-header.js';

/**
 * A database file for checksum benchmarks: valid headers, and pages full of noise with valid checksums.
 * Nothing in it is zero, so nothing can be skipped.
 */

const CHUNK_BYTES = 4 * 1024 * 1024;

/**
 * Fills words with noise (xorshift32).
 *
 * @param {Int32Array} words
 * @param {number} seed not 0
 */
export function fillWithNoise(words, seed) {
  let x = seed | 0;
  for (let i = 0; i < words.length; i += 1) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    words[i] = x;
  }
}

/**
 * @param {string} path
 * @param {number} fileBytes a multiple of 4 MiB
 * @param {number} pageSize bytes
 * @returns {number} pages written, the header copies not included
 */
export function writeChecksumDatabase(path, fileBytes, pageSize) {
  const kernel = createChecksumKernel(CHUNK_BYTES);
  const noise = new Uint8Array(CHUNK_BYTES);
  fillWithNoise(new Int32Array(noise.buffer), 1);
  const header = new Uint8Array(pageSize);
  writeHeaderFields(header, {
    magic: HEADER_MAGIC,
    version: 0x620,
    updateMajor: 20,
    cbPageSize: pageSize,
    state: 3,
    fileType: 1,
  });
  const pagesPerChunk = CHUNK_BYTES / pageSize;
  const fd = openSync(path, 'w');
  for (let at = 0; at < fileBytes; at += CHUNK_BYTES) {
    kernel.bytes.set(noise);
    kernel.sealPages(0, pagesPerChunk, pageSize, at / pageSize - 1);
    if (at === 0) {
      kernel.bytes.set(header, 0);
      kernel.bytes.set(header, pageSize);
    }
    writeSync(fd, kernel.bytes, 0, CHUNK_BYTES, at);
  }
  closeSync(fd);
  return statSync(path).size / pageSize - 2;
}
