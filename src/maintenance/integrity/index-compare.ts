/**
 * Indexes against rows, in both directions (format specification, chapter 2.6, 35). First by fingerprints, which
 * need neither sorting nor look-ups; the entries of buckets that differ are then compared one by one.
 */

import { INDEX_FLAG } from '../../format/catalog-row.js';
import { COLUMN_FLAG } from '../../format/column.js';
import { createKeyBuilder, KEY_MOST_DEFAULT, type KeyBuilder } from '../../format/key.js';
import { columnIndexOf, type SortKeySource } from '../../format/key-segment.js';
import type { RecordLayout } from '../../format/record.js';
import type { IndexDefinition } from '../../format/table-definition.js';
import { type FindingList, hexOf } from './finding.js';
import { BUCKETS } from './fingerprint.js';
import { createKeyMasker, type KeyMasker, markAsSortKey } from './key-mask.js';
import type { CheckedTree } from './plan.js';

/** How far an index can be compared with its rows. */
export type IndexComparison =
  | { readonly kind: 'exact'; readonly builder: KeyBuilder }
  /** All but the sort keys of its Unicode texts. */
  | { readonly kind: 'masked'; readonly builder: KeyBuilder; readonly masker: KeyMasker }
  /** Which rows have entries, and how many at most: several unknown texts of a row may be the same key. */
  | { readonly kind: 'bookmarks'; readonly builder: KeyBuilder; readonly reason: string }
  | { readonly kind: 'none'; readonly reason: string };

/**
 * Finds out how an index can be compared.
 *
 * @throws EseError JET_errCatalogCorrupted if the index names columns that do not exist.
 */
export function planComparison(layout: RecordLayout, index: IndexDefinition): IndexComparison {
  const builder = createKeyBuilder(layout, index, markAsSortKey);
  if ((index.flags & INDEX_FLAG.deferredPopulate) !== 0) {
    return { kind: 'none', reason: 'it is still being filled' };
  }
  const isComputed = [...index.segments, ...index.conditions].some((segment) => {
    const flags = layout.columns[columnIndexOf(layout, index, segment)]?.flags ?? 0;
    return (flags & (COLUMN_FLAG.userDefinedDefault | COLUMN_FLAG.encrypted)) !== 0;
  });
  if (isComputed) return { kind: 'none', reason: 'its columns are computed by a callback, or encrypted' };
  if (!builder.needsSortKeys) return { kind: 'exact', builder };
  if (isOutOfDate(index))
    return { kind: 'none', reason: 'it is marked as out of date, for Windows to make it anew' };
  const isMultiple = index.tupleLimits !== undefined || (index.flags & INDEX_FLAG.multiValued) !== 0;
  const cutsSegments = index.varSegMac !== undefined && index.varSegMac < (index.keyMost ?? KEY_MOST_DEFAULT);
  if (isMultiple || cutsSegments) {
    return {
      kind: 'bookmarks',
      builder: createKeyBuilder(layout, index, differentSortKeys()),
      reason: 'the order of its texts is known only to the system that made it',
    };
  }
  return { kind: 'masked', builder, masker: createKeyMasker(layout, index) };
}

/** A sort version of zeros is none that an index was ever built with: repair marks those that it cannot complete. */
function isOutOfDate({ sortVersion }: IndexDefinition): boolean {
  return sortVersion !== undefined && sortVersion.length > 0 && sortVersion.every((byte) => byte === 0);
}

/** Gives every text a sort key of its own, so that a row has as many keys as it can have at most. */
function differentSortKeys(): SortKeySource {
  const sortKey = new DataView(new ArrayBuffer(4));
  let count = 0;
  return () => {
    sortKey.setUint32(0, ++count);
    return new Uint8Array(sortKey.buffer);
  };
}

/** What must be compared one by one: buckets by the position of an index tree, or of a table for its long values. */
export interface Suspects {
  readonly indexes: ReadonlyMap<number, ReadonlySet<number>>;
  /** Those of them whose keys are compared up to their first text only. */
  readonly byStart: ReadonlySet<number>;
  /** Those of them of which only bookmarks are compared. */
  readonly byBookmark: ReadonlySet<number>;
  readonly longValues: ReadonlyMap<number, ReadonlySet<number>>;
}

/** Entries that may be held in memory while two sides are compared. */
const ENTRIES_MOST = 400_000;

/** Those of the differing buckets whose entries fit into memory, for sides of about `entries` entries. */
export function affordableBuckets(buckets: readonly number[], entries: number): ReadonlySet<number> {
  const perBucket = Math.max(1, Math.ceil(entries / BUCKETS));
  return new Set(buckets.slice(0, Math.max(1, Math.floor(ENTRIES_MOST / perBucket))));
}

interface Entry {
  readonly isStored: boolean;
  readonly key: Uint8Array;
  readonly pgno: number;
  readonly node: number;
}

/** Whether all of each side was read: what one side lacks proves nothing where part of it was lost. */
export interface WholeSides {
  readonly rows: boolean;
  readonly tree: boolean;
}

/** The entries of one index that one side has and the other has not. */
export interface EntryDifference {
  add(isStored: boolean, key: Uint8Array, bookmark: Uint8Array, pgno: number, node: number): void;
  report(tree: CheckedTree, isUnique: boolean, whole: WholeSides, list: FindingList): void;
}

export function createEntryDifference(): EntryDifference {
  const open = new Map<string, Entry>();
  /** Rows by key, to tell a duplicate from a missing entry. */
  const rowsOf = new Map<string, number>();
  return {
    add(isStored, key, bookmark, pgno, node) {
      const keyHex = hexOf(key);
      if (!isStored) rowsOf.set(keyHex, (rowsOf.get(keyHex) ?? 0) + 1);
      const name = `${keyHex}/${hexOf(bookmark)}`;
      const other = open.get(name);
      if (other !== undefined && other.isStored !== isStored) open.delete(name);
      else open.set(name, { isStored, key, pgno, node });
    },
    report(tree, isUnique, whole, list) {
      const names = [...open.keys()].sort();
      for (const name of names) {
        const entry = open.get(name);
        if (entry === undefined || !(entry.isStored ? whole.rows : whole.tree)) continue;
        const place = { pgno: entry.pgno, node: entry.node, key: entry.key };
        if (entry.isStored) {
          list.add(tree, 'IDX_EXTRA', 'error', 'the index has an entry of which there is no row', place);
        } else if (isUnique && (rowsOf.get(hexOf(entry.key)) ?? 0) > 1) {
          list.add(tree, 'IDX_DUP', 'error', 'several rows have the key, which must be unique', place);
        } else {
          list.add(tree, 'IDX_MISSING', 'error', 'the index has no entry of the row', place);
        }
      }
    },
  };
}

/** The rows of an index that have too many or too few entries. */
export interface BookmarkDifference {
  /** A row that has `keys` keys at most, or with -1 an entry that leads to the row. */
  add(keys: number, bookmark: Uint8Array, pgno: number, node: number): void;
  report(tree: CheckedTree, whole: WholeSides, list: FindingList): void;
}

export function createBookmarkDifference(): BookmarkDifference {
  const rows = new Map<string, { keys: number; entries: number; row: Place; entry: Place }>();
  return {
    add(keys, bookmark, pgno, node) {
      const name = hexOf(bookmark);
      let row = rows.get(name);
      if (row === undefined) {
        row = { keys: 0, entries: 0, row: { pgno, node }, entry: { pgno, node } };
        rows.set(name, row);
      }
      if (keys < 0) {
        row.entries++;
        row.entry = { pgno, node };
      } else {
        row.keys = keys;
        row.row = { pgno, node };
      }
    },
    report(tree, whole, list) {
      for (const name of [...rows.keys()].sort()) {
        const found = rows.get(name);
        if (found === undefined) continue;
        const { keys, entries, row, entry } = found;
        if (entries > keys && whole.rows) {
          const message =
            keys === 0
              ? 'the index has an entry of which there is no row'
              : `the index has ${entries} entries of a row that has ${keys} keys`;
          list.add(tree, 'IDX_EXTRA', 'error', message, entry);
        } else if (entries === 0 && keys > 0 && whole.tree) {
          list.add(tree, 'IDX_MISSING', 'error', 'the index has no entry of the row', row);
        }
      }
    },
  };
}

interface Place {
  readonly pgno: number;
  readonly node: number;
}

interface LongValueUse {
  references: number;
  /** As the root says; -1 = there is no root. */
  counted: number;
  pgno: number;
  node: number;
}

/** References of rows to long values, against the roots. */
export interface ReferenceDifference {
  addReference(lid: string, pgno: number, node: number): void;
  addRoot(lid: string, referenceCount: number, pgno: number, node: number): void;
  /** Reports the differences, `tree` being that of the long values, `data` that of the rows. */
  report(tree: CheckedTree, data: CheckedTree, whole: WholeSides, list: FindingList): void;
}

export function createReferenceDifference(): ReferenceDifference {
  const uses = new Map<string, LongValueUse>();
  return {
    addReference(lid, pgno, node) {
      const use = uses.get(lid);
      if (use === undefined) uses.set(lid, { references: 1, counted: -1, pgno, node });
      else use.references++;
    },
    addRoot(lid, referenceCount, pgno, node) {
      const references = uses.get(lid)?.references ?? 0;
      uses.set(lid, { references, counted: referenceCount, pgno, node });
    },
    report(tree, data, whole, list) {
      for (const lid of [...uses.keys()].sort((a, b) => a.length - b.length || (a < b ? -1 : 1))) {
        const use = uses.get(lid);
        if (use === undefined || use.references === use.counted) continue;
        if (!(use.counted > use.references ? whole.rows : use.counted >= 0 || whole.tree)) continue;
        reportUse(lid, use, tree, data, list);
      }
    },
  };
}

function reportUse(
  lid: string,
  { references, counted, pgno, node }: LongValueUse,
  tree: CheckedTree,
  data: CheckedTree,
  list: FindingList,
): void {
  const place = { pgno, node };
  const value = `long value ${lid}`;
  const counts = `it counts ${counted} references, there are ${references}`;
  if (counted < 0) {
    list.add(data, 'REC_LID_MISSING', 'error', `the row refers to ${value}, which does not exist`, place);
  } else if (references === 0) {
    list.add(tree, 'LV_ORPHAN', 'warning', `${value}: no row refers to it`, place, lid);
  } else if (counted < references) {
    list.add(tree, 'LV_REF_LOW', 'error', `${value}: ${counts}`, place, lid);
  } else {
    list.add(tree, 'LV_REF_HIGH', 'warning', `${value}: ${counts}`, place, lid);
  }
}
