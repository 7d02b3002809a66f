/**
 * What one thread counts and sums while it reads leaves; or, in a second look, the entries that it puts together
 * to name what differs.
 */

import { formatLid, type Lid } from '../../format/long-value.js';
import type { FindingCounts, FindingList, RankedFinding } from './finding.js';
import {
  addToFingerprint,
  createEntryHash,
  createFingerprint,
  type Fingerprint,
  hashEntry,
  hashNumber,
  mergeFingerprint,
} from './fingerprint.js';
import {
  type BookmarkDifference,
  createBookmarkDifference,
  createEntryDifference,
  createReferenceDifference,
  type EntryDifference,
  type IndexComparison,
  type ReferenceDifference,
  type Suspects,
} from './index-compare.js';
import { type KeyBuffer, keyBytes } from './key-buffer.js';
import type { LongValueEnds } from './long-value-check.js';
import type { CheckedTree } from './plan.js';

/** The sums of an index, rows less entries. */
export interface IndexSums {
  /** Over whole keys, masked where they have Unicode texts. */
  readonly whole: Fingerprint;
  /** Over keys up to their first text: what can be compared where keys were cut off behind it. */
  readonly start: Fingerprint | undefined;
  hasCutKeys: boolean;
  /** Rows may have fewer entries than they have keys, so that the sums prove nothing. */
  hasManyKeys: boolean;
}

/** Adds sums of an index to those that are known. */
export function mergeIndexSums(into: Map<number, IndexSums>, position: number, sums: IndexSums): void {
  const known = into.get(position);
  if (known === undefined) {
    into.set(position, sums);
    return;
  }
  mergeFingerprint(known.whole, sums.whole);
  if (known.start !== undefined && sums.start !== undefined) mergeFingerprint(known.start, sums.start);
  known.hasCutKeys ||= sums.hasCutKeys;
  known.hasManyKeys ||= sums.hasManyKeys;
}

/** What one thread found. */
export interface IntegrityPart {
  readonly findings: readonly RankedFinding[];
  readonly counts: FindingCounts;
  readonly isTruncated: boolean;
  /** Trees of which leaves or nodes could not be read, by position. */
  readonly damagedTrees: ReadonlySet<number>;
  /** Index trees of which the key of some row could not be computed. */
  readonly uncomputable: ReadonlySet<number>;
  /** Live nodes of each tree by position; of a long-value tree, its roots only. */
  readonly nodes: Float64Array;
  readonly indexes: ReadonlyMap<number, IndexSums>;
  /** References less those that the roots count, by table number. */
  readonly references: ReadonlyMap<number, Fingerprint>;
  readonly ends: readonly LongValueEnds[];
  readonly hasReadErrors: boolean;
}

/** Where entries go that are compared one by one. */
export interface Differences {
  readonly suspects: Suspects;
  /** Positions of the trees that have to be read for it. */
  readonly trees: ReadonlySet<number>;
  readonly entries: ReadonlyMap<number, EntryDifference>;
  /** Of the indexes whose keys cannot be compared. */
  readonly bookmarks: ReadonlyMap<number, BookmarkDifference>;
  readonly references: ReadonlyMap<number, ReferenceDifference>;
}

export function createDifferences(suspects: Suspects, trees: ReadonlySet<number>): Differences {
  const byBookmark = [...suspects.indexes.keys()].filter((tree) => suspects.byBookmark.has(tree));
  return {
    suspects,
    trees,
    entries: new Map(
      [...suspects.indexes.keys()]
        .filter((tree) => !suspects.byBookmark.has(tree))
        .map((tree) => [tree, createEntryDifference()]),
    ),
    bookmarks: new Map(byBookmark.map((tree) => [tree, createBookmarkDifference()])),
    references: new Map([...suspects.longValues.keys()].map((table) => [table, createReferenceDifference()])),
  };
}

/** An index that is compared with the rows of its table. */
export interface ComparedIndex {
  /** Of its tree. */
  readonly position: number;
  readonly comparison: Exclude<IndexComparison, { kind: 'none' }>;
}

/** A piece of memory with the primary key that an index entry leads to. */
export interface Bookmark {
  bytes: Uint8Array;
  start: number;
  length: number;
}

/** Hears of keys and long values, from rows and from trees. */
export interface Tally {
  readonly indexes: Map<number, IndexSums>;
  readonly references: Map<number, Fingerprint>;
  /**
   * A key of a row in an index, or an entry of the index (`isStored`). The key buffer is written to; `isWhole`
   * is false for a masked key that was cut off.
   */
  addEntry(
    index: ComparedIndex,
    isStored: boolean,
    key: KeyBuffer,
    isWhole: boolean,
    bookmark: Bookmark,
    pgno: number,
    node: number,
  ): void;
  /** A row that has `keys` keys at most in an index, or with -1 an entry that leads to it. */
  addBookmark(index: ComparedIndex, keys: number, bookmark: KeyBuffer, pgno: number, node: number): void;
  /** A row of a table refers to a long value. */
  addReference(tree: CheckedTree, lid: Readonly<Lid>, pgno: number, node: number): void;
  /** The root of a long value says how often it is referred to. */
  addRoot(tree: CheckedTree, lid: Readonly<Lid>, referenceCount: number, pgno: number, node: number): void;
}

/** Sums for a first look. */
export function createSums(list: FindingList): Tally {
  const indexes = new Map<number, IndexSums>();
  const references = new Map<number, Fingerprint>();
  const hash = createEntryHash();

  const sumsOf = ({ position, comparison }: ComparedIndex): IndexSums => {
    let sums = indexes.get(position);
    if (sums === undefined) {
      const start = comparison.kind === 'masked' ? createFingerprint() : undefined;
      sums = { whole: createFingerprint(), start, hasCutKeys: false, hasManyKeys: false };
      indexes.set(position, sums);
    }
    return sums;
  };
  const referencesOf = (tableNumber: number): Fingerprint => {
    let sums = references.get(tableNumber);
    if (sums === undefined) {
      sums = createFingerprint();
      references.set(tableNumber, sums);
    }
    return sums;
  };

  return {
    indexes,
    references,
    addEntry(index, isStored, key, isWhole, bookmark) {
      const { comparison } = index;
      const times = isStored ? -1 : 1;
      const sums = sumsOf(index);
      if (!isWhole) sums.hasCutKeys = true;
      hashEntry(key, bookmark.bytes, bookmark.start, bookmark.length, hash);
      addToFingerprint(sums.whole, hash, times);
      if (sums.start === undefined || comparison.kind !== 'masked') return;
      comparison.masker.cutBehindText(key);
      hashEntry(key, bookmark.bytes, bookmark.start, bookmark.length, hash);
      addToFingerprint(sums.start, hash, times);
    },
    addBookmark(index, keys, bookmark) {
      const sums = sumsOf(index);
      if (keys > 1) sums.hasManyKeys = true;
      hashEntry(bookmark, bookmark.bytes, 0, 0, hash);
      addToFingerprint(sums.whole, hash, keys < 0 ? -1 : 1);
    },
    addReference(tree, { high, low }) {
      hashNumber(high, low, hash);
      addToFingerprint(referencesOf(tree.tableNumber), hash, 1);
    },
    addRoot(tree, lid, referenceCount, pgno, node) {
      hashNumber(lid.high, lid.low, hash);
      addToFingerprint(referencesOf(tree.tableNumber), hash, -referenceCount);
      if (referenceCount !== 0) return;
      const name = formatLid(lid);
      const message = `long value ${name} waits for its removal`;
      list.add(tree, 'LV_ORPHAN', 'warning', message, { pgno, node }, name);
    },
  };
}

/** Gathers the entries of suspect buckets in a second look. */
export function createGatherer({ suspects, entries, bookmarks, references }: Differences): Tally {
  const hash = createEntryHash();
  const isSuspect = (tree: CheckedTree, { high, low }: Readonly<Lid>): boolean => {
    hashNumber(high, low, hash);
    return suspects.longValues.get(tree.tableNumber)?.has(hash.bucket) === true;
  };
  return {
    indexes: new Map(),
    references: new Map(),
    addEntry({ position, comparison }, isStored, key, _isWhole, bookmark, pgno, node) {
      const buckets = suspects.indexes.get(position);
      if (buckets === undefined) return;
      if (comparison.kind === 'masked' && suspects.byStart.has(position)) {
        comparison.masker.cutBehindText(key);
      }
      hashEntry(key, bookmark.bytes, bookmark.start, bookmark.length, hash);
      if (!buckets.has(hash.bucket)) return;
      const bytes = bookmark.bytes.slice(bookmark.start, bookmark.start + bookmark.length);
      entries.get(position)?.add(isStored, keyBytes(key), bytes, pgno, node);
    },
    addBookmark({ position }, keys, bookmark, pgno, node) {
      const buckets = suspects.indexes.get(position);
      if (buckets === undefined) return;
      hashEntry(bookmark, bookmark.bytes, 0, 0, hash);
      if (buckets.has(hash.bucket)) bookmarks.get(position)?.add(keys, keyBytes(bookmark), pgno, node);
    },
    addReference(tree, lid, pgno, node) {
      if (!isSuspect(tree, lid)) return;
      references.get(tree.tableNumber)?.addReference(formatLid(lid), pgno, node);
    },
    addRoot(tree, lid, referenceCount, pgno, node) {
      if (!isSuspect(tree, lid)) return;
      references.get(tree.tableNumber)?.addRoot(formatLid(lid), referenceCount, pgno, node);
    },
  };
}
