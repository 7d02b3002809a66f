import { EseError } from './ese-error.js';
import { createNodeView, type Page } from './page.js';

/**
 * Space information of a tree: the header in tag 0 of its root, and the nodes of its trees of owned
 * (OE) and available (AE) extents (format specification, chapters 2.2.2 to 2.2.5).
 */

/** Flags of a space header. */
export const SPACE_FLAG = { multipleExtents: 0x1, nonUnique: 0x2, v2: 0x4 } as const;

/** Bytes of a plain space header, and of a split buffer. */
export const SPACE_HEADER_BYTES = 16;

/** Pages that the bitmap of a single-extent tree covers. */
const SINGLE_EXTENT_BITMAP_PAGES = 32;

const EXTENDED_SPACE_HEADER = 0x1;
const EXTENDED_AUTO_INCREMENT = 0x2;

/** The space header of a data tree's root. */
export interface SpaceHeader {
  /** v1: pages of the primary extent; v2: pages of the last allocation made for the tree. */
  readonly cpg: number;
  /** Root of the tree that space comes from; 0 for page 1. */
  readonly pgnoParent: number;
  readonly flags: number;
  /** Single extent: bit b set = page root + 1 + b is available. Multiple: not used. */
  readonly availableBitmap: number;
  /** Multiple extents: root of the OE tree (the AE root is the next page). 0 for a single extent. */
  readonly pgnoOe: number;
  /** Auto-increment maximum, kept in the extended form of newer formats. */
  readonly autoIncrement: bigint | undefined;
}

/** Decodes tag 0 of the root of a data tree, in its plain or its extended form. */
export function decodeSpaceHeader(bytes: Uint8Array, pgno: number): SpaceHeader {
  let at = 0;
  let fields = EXTENDED_SPACE_HEADER;
  if (bytes.length !== SPACE_HEADER_BYTES) {
    fields = bytes[0] ?? 0;
    at = 1;
  }
  const wanted =
    at +
    ((fields & EXTENDED_SPACE_HEADER) !== 0 ? SPACE_HEADER_BYTES : 0) +
    ((fields & EXTENDED_AUTO_INCREMENT) !== 0 ? 8 : 0);
  if ((fields & EXTENDED_SPACE_HEADER) === 0 || wanted > bytes.length) {
    throw new EseError('JET_errDatabaseCorrupted', 'a root page has no space header', { pgno });
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const flags = view.getUint32(at + 8, true);
  const last = view.getUint32(at + 12, true);
  const multiple = (flags & SPACE_FLAG.multipleExtents) !== 0;
  return {
    cpg: view.getInt32(at, true),
    pgnoParent: view.getUint32(at + 4, true),
    flags,
    availableBitmap: multiple ? 0 : last,
    pgnoOe: multiple ? last : 0,
    autoIncrement:
      (fields & EXTENDED_AUTO_INCREMENT) !== 0 ? view.getBigUint64(at + SPACE_HEADER_BYTES, true) : undefined,
  };
}

/** Encodes a space header in its plain form of 16 bytes. */
export function encodeSpaceHeader(header: Omit<SpaceHeader, 'autoIncrement'>): Uint8Array {
  const bytes = new Uint8Array(SPACE_HEADER_BYTES);
  const view = new DataView(bytes.buffer);
  view.setInt32(0, header.cpg, true);
  view.setUint32(4, header.pgnoParent, true);
  view.setUint32(8, header.flags, true);
  const multiple = (header.flags & SPACE_FLAG.multipleExtents) !== 0;
  view.setUint32(12, multiple ? header.pgnoOe : header.availableBitmap, true);
  return bytes;
}

/**
 * Puts a plain space header into the external header of a root: an extended form keeps its other
 * fields (chapter 12.5).
 */
export function replaceSpaceHeader(external: Uint8Array, plain: Uint8Array): Uint8Array {
  const isExtended =
    external.length > SPACE_HEADER_BYTES && ((external[0] ?? 0) & EXTENDED_SPACE_HEADER) !== 0;
  if (!isExtended) return plain;
  const merged = new Uint8Array(external);
  merged.set(plain, 1);
  return merged;
}

/** Whether the tree has trees of extents of its own. */
export function hasMultipleExtents(header: SpaceHeader): boolean {
  return (header.flags & SPACE_FLAG.multipleExtents) !== 0;
}

/** Available pages of a single-extent tree, ascending: those of the bitmap and all behind its reach. */
export function singleExtentAvailable(header: SpaceHeader, pgnoFdp: number): number[] {
  const pages: number[] = [];
  for (let bit = 0; bit < SINGLE_EXTENT_BITMAP_PAGES; bit++) {
    if ((header.availableBitmap & (1 << bit)) !== 0) pages.push(pgnoFdp + 1 + bit);
  }
  return pages;
}

/** Pages of a single-extent tree that lie behind the reach of its bitmap; all of them are available. */
export function singleExtentBeyondBitmap(header: SpaceHeader): number {
  return Math.max(0, header.cpg - 1 - SINGLE_EXTENT_BITMAP_PAGES);
}

/** Pools of available extents (chapter 2.2.3). */
export const SPACE_POOL = { general: 0, continuous: 1, shelved: 2 } as const;

const POOL_MARK = 0x80;
const POOL_MASK = 0x07;

/** A run of pages `first .. last` in a space tree; `count` is 0 for a growth marker. */
export interface Extent {
  readonly first: number;
  readonly last: number;
  readonly count: number;
  readonly pool: number;
}

/** Key of an extent's node: its last page number, big-endian; a pool other than 0 goes in front. */
export function encodeExtentKey(last: number, pool: number = SPACE_POOL.general): Uint8Array {
  const key = new Uint8Array(pool === SPACE_POOL.general ? 4 : 5);
  if (key.length === 5) key[0] = POOL_MARK | pool;
  new DataView(key.buffer).setUint32(key.length - 4, last, false);
  return key;
}

/** Data of an extent's node: its page count. */
export function encodeExtentData(count: number): Uint8Array {
  const data = new Uint8Array(4);
  new DataView(data.buffer).setUint32(0, count, true);
  return data;
}

/** Decodes key and data of a node in a space tree. Throws `error` with the page when it is impossible. */
export function decodeExtent(
  key: Uint8Array,
  data: Uint8Array,
  error: 'JET_errSPOwnExtCorrupted' | 'JET_errSPAvailExtCorrupted',
  pgno: number,
): Extent {
  const mark = key[0] ?? 0;
  const plain = key.length === 4;
  if ((!plain && key.length !== 5) || data.length !== 4) {
    throw new EseError(error, 'an extent has a key or data of the wrong size', { pgno });
  }
  const pool = plain ? SPACE_POOL.general : mark & POOL_MASK;
  if (!plain && (mark & ~POOL_MASK) !== POOL_MARK) {
    throw new EseError(error, 'an extent names an unknown pool', { pgno });
  }
  const last = new DataView(key.buffer, key.byteOffset, key.byteLength).getUint32(key.length - 4, false);
  const count = new DataView(data.buffer, data.byteOffset, 4).getUint32(0, true);
  if (count > last) throw new EseError(error, `an extent of ${count} pages ends at page ${last}`, { pgno });
  return { first: last - count + 1, last, count, pool };
}

/** Adds the live extents of one leaf of a space tree to `into`. */
export function readExtents(
  page: Page,
  error: 'JET_errSPOwnExtCorrupted' | 'JET_errSPAvailExtCorrupted',
  into: Extent[],
): void {
  const node = createNodeView();
  for (let line = 0; line < page.nodeCount; line++) {
    page.readNode(line, node);
    if ((node.flags & 2) !== 0) continue;
    into.push(decodeExtent(page.key(node), page.data(node), error, page.pgno));
  }
}

/** Extents that a space tree keeps in tag 0 of its root to split itself. */
export function decodeSplitBuffer(bytes: Uint8Array): Extent[] {
  if (bytes.length < SPACE_HEADER_BYTES) return [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const extents: Extent[] = [];
  for (const at of [0, 8]) {
    const last = view.getUint32(at, true);
    const count = view.getUint32(at + 4, true);
    if (count > 0 && count <= last) {
      extents.push({ first: last - count + 1, last, count, pool: SPACE_POOL.general });
    }
  }
  return extents;
}

/** Encodes the two extents of a split buffer. */
export function encodeSplitBuffer(
  a: Pick<Extent, 'last' | 'count'>,
  b: Pick<Extent, 'last' | 'count'> | undefined,
): Uint8Array {
  const bytes = new Uint8Array(SPACE_HEADER_BYTES);
  const view = new DataView(bytes.buffer);
  [a, b].forEach((extent, i) => {
    if (extent === undefined || extent.count === 0) return;
    view.setUint32(8 * i, extent.last, true);
    view.setUint32(8 * i + 4, extent.count, true);
  });
  return bytes;
}
