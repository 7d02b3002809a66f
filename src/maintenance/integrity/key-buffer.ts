/**
 * The key of a node, put together from prefix and suffix in reused memory, and what is compared and hashed
 * with it.
 */

import type { NodeView, Page } from '../../format/page.js';

/** Two 13-bit lengths, and node data behind them (format specification, chapter 1.5.2). */
const CAPACITY = 2 * 0x2000 + 0x8000;

/** Bytes of a key, in whole words so that they can be hashed by words; bytes behind `length` are arbitrary. */
export interface KeyBuffer {
  readonly bytes: Uint8Array;
  readonly words: Int32Array;
  length: number;
}

export function createKeyBuffer(): KeyBuffer {
  const words = new Int32Array(CAPACITY / 4);
  return { bytes: new Uint8Array(words.buffer), words, length: 0 };
}

/** Copies the key of a node of a sound page. */
export function copyNodeKey(page: Page, node: NodeView, into: KeyBuffer): void {
  const { prefixLength, suffixLength, suffixOffset } = node;
  const { bytes } = page;
  const out = into.bytes;
  if (prefixLength > 0) {
    const prefix = page.tagOffset(0);
    for (let i = 0; i < prefixLength; i++) out[i] = bytes[prefix + i] as number;
  }
  for (let i = 0; i < suffixLength; i++) out[prefixLength + i] = bytes[suffixOffset + i] as number;
  into.length = prefixLength + suffixLength;
}

/** Copies `source[start .. start + length)`. */
export function copyBytes(source: Uint8Array, start: number, length: number, into: KeyBuffer): void {
  const out = into.bytes;
  for (let i = 0; i < length; i++) out[i] = source[start + i] as number;
  into.length = length;
}

/** Negative, 0 or positive as key `a` sorts before, with or behind key `b`. */
export function compareKeyBuffers(a: KeyBuffer, b: KeyBuffer): number {
  const common = Math.min(a.length, b.length);
  for (let i = 0; i < common; i++) {
    const difference = (a.bytes[i] as number) - (b.bytes[i] as number);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

/** The same for plain bytes. */
export function compareToBytes(a: KeyBuffer, b: Uint8Array): number {
  const common = Math.min(a.length, b.length);
  for (let i = 0; i < common; i++) {
    const difference = (a.bytes[i] as number) - (b[i] as number);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

/**
 * Compares key followed by data with a separator, which in a tree that is not unique may reach into the data
 * (chapter 2.1.4).
 */
export function compareWithData(key: KeyBuffer, page: Page, node: NodeView, separator: Uint8Array): number {
  const whole = key.length + node.dataLength;
  const common = Math.min(whole, separator.length);
  for (let i = 0; i < common; i++) {
    const own =
      i < key.length ? (key.bytes[i] as number) : (page.bytes[node.dataOffset + i - key.length] as number);
    const difference = own - (separator[i] as number);
    if (difference !== 0) return difference;
  }
  return whole - separator.length;
}

/** A copy of the key. */
export function keyBytes(key: KeyBuffer): Uint8Array {
  return key.bytes.slice(0, key.length);
}
