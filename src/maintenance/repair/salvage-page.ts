/**
 * The nodes of a single page: in the order of their keys, whatever the order of the page is, and of a damaged page
 * those that can be trusted (format specification, chapter 7.2.6).
 */

import { EseError } from '../../format/ese-error.js';
import { compareKeys } from '../../format/key.js';
import { createNodeView, NODE_FLAG, type NodeView, Page } from '../../format/page.js';
import { compareKeyBuffers, copyNodeKey, createKeyBuffer, type KeyBuffer } from '../integrity/key-buffer.js';
import { type DroppedNode, type SalvageTree, TRUST, type Trust } from './salvage-node.js';
import { type SalvagePage, SECTOR_BYTES } from './salvage-source.js';

/**
 * Puts what tells a node from others into a buffer: its key, and in a tree that is not unique the data behind it.
 * Returns the length of the key alone.
 */
export function readSortKey(page: Page, node: NodeView, isUnique: boolean, into: KeyBuffer): number {
  copyNodeKey(page, node, into);
  const keyLength = into.length;
  if (!isUnique) {
    const { dataOffset, dataLength } = node;
    into.bytes.set(page.bytes.subarray(dataOffset, dataOffset + dataLength), keyLength);
    into.length += dataLength;
  }
  return keyLength;
}

/** The nodes of a page that may be used, by their keys. */
export interface PageNodes {
  /** Lines in the order of keys; `undefined` for a sound page whose nodes are in order. */
  readonly lines: readonly number[] | undefined;
  /** How far the node at each position of `lines` can be trusted; `undefined`: wholly. */
  readonly trusts: readonly Trust[] | undefined;
  /** Keys that had to be computed anew; `undefined` where they can be read from the page. */
  readonly keys: readonly (Uint8Array | undefined)[] | undefined;
  readonly count: number;
  /** Sort keys of the first and the last node; `undefined` where there is none. */
  readonly first: Uint8Array | undefined;
  readonly last: Uint8Array | undefined;
  /** Nodes of a damaged page that can be told apart, but not used. */
  readonly dropped: readonly DroppedNode[];
  /** Nodes of a damaged page that cannot even be told apart. */
  readonly undecodable: number;
}

/** Whether a sort key may lie on the page. */
export type KeyBounds = (key: KeyBuffer) => boolean;

export interface PageNodeReader {
  /** The nodes of a page of a tree. `isWithin` counts for damaged pages only. */
  read(found: SalvagePage, isWithin: KeyBounds): PageNodes;
}

const TAG_BYTES = 4;
const QUARTERS = 4;

/** A reader of the nodes of one tree. */
export function createPageNodeReader(tree: SalvageTree): PageNodeReader {
  const node = createNodeView();
  let key = createKeyBuffer();
  let previous = createKeyBuffer();

  const readSound = (page: Page): PageNodes => {
    const { nodeCount } = page;
    let first: Uint8Array | undefined;
    for (let line = 0; line < nodeCount; line++) {
      page.readNode(line, node);
      readSortKey(page, node, tree.isUnique, key);
      if (line === 0) first = key.bytes.slice(0, key.length);
      else if (compareKeyBuffers(previous, key) >= 0) return readUnordered(page);
      [key, previous] = [previous, key];
    }
    const last = nodeCount === 0 ? undefined : previous.bytes.slice(0, previous.length);
    return {
      lines: undefined,
      trusts: undefined,
      keys: undefined,
      count: nodeCount,
      first,
      last,
      dropped: [],
      undecodable: 0,
    };
  };

  const readUnordered = (page: Page): PageNodes => {
    const entries: Entry[] = [];
    for (let line = 0; line < page.nodeCount; line++) {
      page.readNode(line, node);
      readSortKey(page, node, tree.isUnique, key);
      entries.push({ line, key: key.bytes.slice(0, key.length), trust: TRUST.intact, isRestored: false });
    }
    return sorted(entries, [], 0);
  };

  const readDamaged = (found: SalvagePage, isWithin: KeyBounds): PageNodes => {
    const page = withTags(found.page);
    const isUnsound = found.worth === 'unsound';
    const quarters = isUnsound ? (1 << QUARTERS) - 1 : found.goodQuarters;
    const isGood = createRangeCheck(page.pageSize, quarters);
    const taken = new Uint8Array(page.pageSize);
    for (const sector of found.lostSectors) {
      taken.fill(1, sector * SECTOR_BYTES, (sector + 1) * SECTOR_BYTES);
    }
    const dropped: DroppedNode[] = [];
    const entries: Entry[] = [];
    let undecodable = 0;
    let provenPrefix: number | undefined;
    const prefix = page.tagOffset(0);
    const prefixEnd = prefix + page.tagSize(0);
    const isPrefixPossible =
      prefixEnd <= page.pageSize - TAG_BYTES * page.tagCount && isFree(taken, prefix, prefixEnd);
    for (let line = 0; line < page.nodeCount; line++) {
      const itag = line + page.reservedTags;
      if (!decode(page, line, taken)) {
        undecodable++;
        continue;
      }
      const tag = page.pageSize - TAG_BYTES * (itag + 1);
      const isProven =
        isGood(tag, tag + TAG_BYTES) &&
        isGood(page.tagOffset(itag), page.tagOffset(itag) + page.tagSize(itag)) &&
        (node.prefixLength === 0 ||
          (isGood(page.pageSize - TAG_BYTES, page.pageSize) && isGood(prefix, prefix + node.prefixLength)));
      let keyLength = readSortKey(page, node, tree.isUnique, key);
      let isRestored = false;
      if (!isProven) {
        if ((node.flags & NODE_FLAG.deleted) !== 0) continue;
        const isKeyWhole = node.prefixLength === 0 || isPrefixPossible;
        let fault = isKeyWhole ? faultOf(page, line, keyLength, isWithin) : NO_PREFIX;
        if (fault !== undefined && node.prefixLength > 0) {
          if (isKeyWhole) provenPrefix ??= provenPrefixLength(page, taken, isWithin);
          page.readNode(line, node);
          keyLength = readSortKey(page, node, tree.isUnique, key);
          // A prefix that is right for another record is right: then it is this record that is not.
          isRestored = node.prefixLength > (provenPrefix ?? 0) && restoreKey(page);
          if (isRestored) {
            keyLength = key.length;
            fault = faultOf(page, line, keyLength, isWithin);
          }
        }
        if (fault !== undefined && !isKeyWhole && !isRestored) {
          undecodable++;
          continue;
        }
        if (fault !== undefined) {
          dropped.push(droppedOf(page, line, key.bytes.slice(0, keyLength), fault));
          continue;
        }
      }
      const trust = isUnsound ? TRUST.intact : isProven ? TRUST.quarter : TRUST.unverified;
      take(page, itag, taken);
      entries.push({ line, key: key.bytes.slice(0, key.length), trust, isRestored });
    }
    const kept = tree.judge.isStrong || isUnsound ? entries : inOrder(entries, page, dropped);
    return sorted(kept, dropped, undecodable);
  };

  /** What is wrong with the node at hand, whose key is in the buffer and which no checksum speaks for. */
  const faultOf = (page: Page, line: number, keyLength: number, isWithin: KeyBounds): Fault | undefined => {
    if (!isWithin(key)) return OUT_OF_BOUNDS;
    const sortLength = key.length;
    key.length = keyLength;
    const reason = tree.judge.judge(page, line, node, key, false);
    key.length = sortLength;
    if (reason !== undefined) return { why: 'record', reason };
    return tree.isStrict === true ? NOT_PROVEN : undefined;
  };

  /** Bytes of the prefix that records of the page agree with, whose keys can be computed. */
  const provenPrefixLength = (page: Page, taken: Uint8Array, isWithin: KeyBounds): number => {
    if (tree.judge.keyOf === undefined) return 0;
    let longest = 0;
    for (let line = 0; line < page.nodeCount; line++) {
      if (!decode(page, line, taken) || node.prefixLength <= longest) continue;
      const { prefixLength } = node;
      const keyLength = readSortKey(page, node, tree.isUnique, key);
      const why = faultOf(page, line, keyLength, isWithin)?.why;
      if (why === undefined || why === 'strict') longest = prefixLength;
    }
    return longest;
  };

  /**
   * Where the prefix of the page is lost, the record tells the key: it counts if the part that the node has of its
   * own agrees.
   */
  const restoreKey = (page: Page): boolean => {
    const { prefixLength, suffixLength, suffixOffset } = node;
    const { keyOf } = tree.judge;
    if (keyOf === undefined || suffixLength === 0 || !tree.isUnique) return false;
    const length = keyOf(page, node, previous.bytes);
    if (length !== prefixLength + suffixLength) return false;
    for (let i = 0; i < suffixLength; i++) {
      if (previous.bytes[prefixLength + i] !== page.bytes[suffixOffset + i]) return false;
    }
    previous.length = length;
    [key, previous] = [previous, key];
    return true;
  };

  /** Reads a node, if its bytes lie in the page, in front of the tags, and in no node that was accepted. */
  const decode = (page: Page, line: number, taken: Uint8Array): boolean => {
    const itag = line + page.reservedTags;
    const start = page.tagOffset(itag);
    const end = start + page.tagSize(itag);
    if (end === start || end > page.pageSize - TAG_BYTES * page.tagCount) return false;
    try {
      page.readNode(line, node);
    } catch (error) {
      if (!(error instanceof EseError)) throw error;
      return false;
    }
    if (node.dataLength === 0 || node.prefixLength + node.suffixLength === 0) return false;
    const tag = page.pageSize - TAG_BYTES * (itag + 1);
    return isFree(taken, start, end) && isFree(taken, tag, tag + TAG_BYTES);
  };

  /**
   * Of nodes whose keys cannot be computed anew, those that are proven, and of the others the most that are in
   * order with them.
   */
  const inOrder = (entries: readonly Entry[], page: Page, dropped: DroppedNode[]): readonly Entry[] => {
    const fitting = fittingBetween(entries);
    const kept = new Set(longestAscending(fitting.map((entry) => entry.key)).map((i) => fitting[i]));
    return entries.filter((entry) => {
      if (kept.has(entry)) return true;
      page.readNode(entry.line, node);
      dropped.push(droppedOf(page, entry.line, page.key(node), OUT_OF_ORDER));
      return false;
    });
  };

  const droppedOf = (page: Page, line: number, ownKey: Uint8Array, { why, reason }: Fault): DroppedNode => ({
    pgno: page.pgno,
    line,
    key: ownKey,
    data: page.data(node).slice(),
    reason,
    why,
  });

  return {
    read(found, isWithin) {
      return found.worth === 'intact' ? readSound(found.page) : readDamaged(found, isWithin);
    },
  };
}

interface Entry {
  readonly line: number;
  /** Sort key. */
  readonly key: Uint8Array;
  readonly trust: Trust;
  /** The key is not the one that can be read from the page. */
  readonly isRestored: boolean;
}

/** Why a node is left out. */
type Fault = Pick<DroppedNode, 'why' | 'reason'>;

const OUT_OF_BOUNDS: Fault = { why: 'bounds', reason: 'the key lies outside of the bounds of its page' };
const OUT_OF_ORDER: Fault = { why: 'bounds', reason: 'the key is out of order' };
const NOT_PROVEN: Fault = { why: 'strict', reason: 'the page is damaged, and nothing proves the node' };
const NO_PREFIX: Fault = { why: 'node', reason: 'the prefix of its key is lost' };

/** The nodes without those that lie on the wrong side of one that is proven. */
function fittingBetween(entries: readonly Entry[]): readonly Entry[] {
  const isProven = ({ trust }: Entry): boolean => trust !== TRUST.unverified;
  const fits = new Set<Entry>();
  let bound: Entry | undefined;
  for (const entry of entries) {
    if (isProven(entry)) bound = entry;
    if (bound === undefined || bound === entry || compareKeys(bound.key, entry.key) < 0) fits.add(entry);
  }
  bound = undefined;
  for (const entry of [...entries].reverse()) {
    if (isProven(entry)) bound = entry;
    if (bound !== undefined && bound !== entry && compareKeys(entry.key, bound.key) >= 0) fits.delete(entry);
  }
  return entries.filter((entry) => fits.has(entry));
}

/** Nodes in the order of their keys; of equal ones the better comes first. */
function sorted(entries: readonly Entry[], dropped: readonly DroppedNode[], undecodable: number): PageNodes {
  const order = [...entries].sort(
    (a, b) => compareKeys(a.key, b.key) || a.trust - b.trust || a.line - b.line,
  );
  return {
    lines: order.map(({ line }) => line),
    trusts: order.map(({ trust }) => trust),
    keys: order.some(({ isRestored }) => isRestored)
      ? order.map((entry) => (entry.isRestored ? entry.key : undefined))
      : undefined,
    count: order.length,
    first: order[0]?.key,
    last: order.at(-1)?.key,
    dropped,
    undecodable,
  };
}

function isFree(taken: Uint8Array, start: number, end: number): boolean {
  for (let at = start; at < end; at++) if (taken[at] === 1) return false;
  return true;
}

function take(page: Page, itag: number, taken: Uint8Array): void {
  const start = page.tagOffset(itag);
  taken.fill(1, start, start + page.tagSize(itag));
}

/** Says of a range of bytes whether all its quarters are good. */
function createRangeCheck(pageSize: number, quarters: number): (start: number, end: number) => boolean {
  const quarterBytes = pageSize / QUARTERS;
  return (start, end) => {
    if (quarters === 0) return false;
    const last = Math.floor((Math.max(end, start + 1) - 1) / quarterBytes);
    for (let quarter = Math.floor(start / quarterBytes); quarter <= last; quarter++) {
      if ((quarters & (1 << quarter)) === 0) return false;
    }
    return true;
  };
}

/**
 * The page, with as many tags as its end shows where its header cannot be right: tags that begin with the last
 * bytes of the page and lie in front of them.
 */
export function withTags(page: Page): Page {
  const stated = page.tagCount;
  if (stated > 1 && stated <= page.tagCountMax) return page;
  const copy = new Page(page.bytes.slice(), page.pgno);
  let count = 1;
  while (count < page.tagCountMax) {
    const end = page.tagOffset(count) + page.tagSize(count);
    if (page.tagSize(count) === 0 || end > page.pageSize - TAG_BYTES * (count + 1)) break;
    count++;
  }
  copy.setSpace(count, 0);
  return copy;
}

/** Positions of a longest ascending sequence of keys. */
function longestAscending(keys: readonly Uint8Array[]): number[] {
  /** By length: position of the smallest last key of such a sequence. */
  const ends: number[] = [];
  const before = new Int32Array(keys.length).fill(-1);
  for (const [i, key] of keys.entries()) {
    let low = 0;
    let high = ends.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (compareKeys(keys[ends[middle] ?? 0] ?? NO_KEY, key) < 0) low = middle + 1;
      else high = middle;
    }
    before[i] = low === 0 ? -1 : (ends[low - 1] ?? -1);
    ends[low] = i;
  }
  const kept: number[] = [];
  for (let at = ends.at(-1) ?? -1; at >= 0; at = before[at] ?? -1) kept.push(at);
  return kept.reverse();
}

const NO_KEY = new Uint8Array(0);
