/**
 * Fingerprints of sets of index entries. Rows and index are read in different orders; whether they give the
 * same entries shows without sorting or look-ups: the sums of the entries' hashes are equal on both sides
 * exactly when the sets are, but for a chance of 2^-64. The sums are kept by the hash of the key in buckets,
 * so that where the sides differ only the entries of few buckets have to be compared one by one.
 */

import type { KeyBuffer } from './key-buffer.js';

export const BUCKETS = 256;
/** Words of a bucket. */
export const LANES = 3;

/** For each bucket: number of entries, and two sums of hashes, of one side less those of the other. */
export type Fingerprint = Int32Array;

export function createFingerprint(): Fingerprint {
  return new Int32Array(BUCKETS * LANES);
}

/** The hash of an entry. One object serves a whole loop. */
export interface EntryHash {
  /** Chosen by the key alone, so that equal keys meet. */
  bucket: number;
  first: number;
  second: number;
}

export function createEntryHash(): EntryHash {
  return { bucket: 0, first: 0, second: 0 };
}

const MULTIPLIER_1 = 0x9e3779b1;
const MULTIPLIER_2 = 0x85ebca77;

function mixed(hash: number): number {
  let h = hash;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}

/**
 * Hashes a key and the bookmark `source[start .. start + length)` that belongs to it. The bookmark is written
 * behind the key in its buffer.
 */
export function hashEntry(
  key: KeyBuffer,
  source: Uint8Array,
  start: number,
  length: number,
  into: EntryHash,
): void {
  const { bytes, words } = key;
  const keyWords = (key.length + 3) >>> 2;
  for (let i = key.length; i < keyWords * 4; i++) bytes[i] = 0;
  const bookmark = keyWords * 4;
  const wordsEnd = keyWords + ((length + 3) >>> 2);
  for (let i = 0; i < length; i++) bytes[bookmark + i] = source[start + i] as number;
  for (let i = bookmark + length; i < wordsEnd * 4; i++) bytes[i] = 0;
  let first = key.length;
  let second = length;
  for (let i = 0; i < keyWords; i++) {
    const word = words[i] as number;
    first = Math.imul(first ^ word, MULTIPLIER_1);
    first ^= first >>> 15;
    second = (Math.imul((second << 13) | (second >>> 19), MULTIPLIER_2) + word) | 0;
  }
  into.bucket = mixed(first) & (BUCKETS - 1);
  for (let i = keyWords; i < wordsEnd; i++) {
    const word = words[i] as number;
    first = Math.imul(first ^ word, MULTIPLIER_1);
    first ^= first >>> 15;
    second = (Math.imul((second << 13) | (second >>> 19), MULTIPLIER_2) + word) | 0;
  }
  into.first = mixed(first);
  into.second = mixed(second);
}

/** Hashes a number of 64 bits, given as two halves. */
export function hashNumber(high: number, low: number, into: EntryHash): void {
  const first = mixed(Math.imul(mixed(low ^ 0x2545f491) ^ high, MULTIPLIER_1));
  into.first = first;
  into.second = mixed(Math.imul(mixed(high ^ 0x5bd1e995) ^ low, MULTIPLIER_2));
  into.bucket = first & (BUCKETS - 1);
}

/** Adds an entry `times` times; a negative number takes it away. */
export function addToFingerprint(fingerprint: Fingerprint, hash: EntryHash, times: number): void {
  const at = hash.bucket * LANES;
  fingerprint[at] = (fingerprint[at] as number) + times;
  fingerprint[at + 1] = (fingerprint[at + 1] as number) + Math.imul(hash.first, times);
  fingerprint[at + 2] = (fingerprint[at + 2] as number) + Math.imul(hash.second, times);
}

export function mergeFingerprint(into: Fingerprint, from: Fingerprint): void {
  for (let i = 0; i < into.length; i++) into[i] = (into[i] as number) + (from[i] as number);
}

/** The buckets in which the sides differ. */
export function differingBuckets(fingerprint: Fingerprint): number[] {
  const buckets: number[] = [];
  for (let bucket = 0; bucket < BUCKETS; bucket++) {
    const at = bucket * LANES;
    if (fingerprint[at] !== 0 || fingerprint[at + 1] !== 0 || fingerprint[at + 2] !== 0) buckets.push(bucket);
  }
  return buckets;
}
