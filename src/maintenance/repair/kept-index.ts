/**
 * Indexes whose keys only Windows can compute (format specification, chapter 7.2.9): the entries that they have stay,
 * if their records are there. A record without one gets the key that other records show of the same texts; where none
 * does, the index is marked as out of date.
 */

import { EntrySort } from '../../engine/bulk/entry-sort.js';
import { EseError } from '../../format/ese-error.js';
import { createKeyBuilder, type KeyBuilder } from '../../format/key.js';
import {
  createRecordValues,
  locateColumns,
  type RecordLayout,
  type RecordValues,
} from '../../format/record.js';
import type { IndexDefinition } from '../../format/table-definition.js';
import type { ReadLongValue } from '../../format/value-reader.js';
import { liveNodes, type Steps } from '../defrag/copy-trees.js';
import { compareKeyBuffers, copyBytes, createKeyBuffer, type KeyBuffer } from '../integrity/key-buffer.js';
import { type KeyMasker, markAsSortKey } from '../integrity/key-mask.js';
import type { Finding } from '../report-values.js';
import { settleDoubles } from './double-keys.js';
import { type IndexJob, indexFinding, longValuesOf, writeIndex } from './index-job.js';
import { sortFilePath } from './places.js';
import type { TableRebuild, TargetReader } from './rebuild-context.js';
import type { RepairedIndex } from './repair-report.js';
import { INDEX_ENTRY } from './salvage-judge.js';
import { TRUST } from './salvage-node.js';
import { salvageNodes } from './salvage-tree.js';

/** What is known of the keys of an index; of one of which nothing is, nobody can say which records must be in it. */
export interface KeptIndexPlan {
  /** All but the sort keys of texts can be computed, and a record has one key at most. */
  readonly masker?: KeyMasker;
  /** Tells which records must be in the index, and how many keys they have at most. */
  readonly counter?: KeyBuilder;
}

/** Memory for the entries, in bytes; there are two sorts. */
const SORT_BYTES = 24 * 1024 * 1024;
/** Texts whose sort keys are looked for among other records. */
const TEXTS_MOST = 200_000;
/** What an entry says of itself in front of its key. */
const PROVEN = 0;
const UNPROVEN = 1;

export function* keepIndex(
  context: TableRebuild,
  job: IndexJob,
  target: TargetReader,
  index: IndexDefinition,
  plan: KeptIndexPlan,
): Steps<{ index: RepairedIndex; findings: Finding[] }> {
  const { fs, salvage, options, temp } = context;
  const byBookmark = new EntrySort(fs, sortFilePath(temp, 0), SORT_BYTES);
  const byKey = new EntrySort(fs, sortFilePath(temp, 1), SORT_BYTES);
  const entry = new Uint8Array(salvage.pageSize);
  try {
    const { objid, pgnoFdp, unique } = index;
    const isStrict = options.strict ?? false;
    const counts = yield* salvageNodes(
      salvage,
      { pgnoFdp, objid, kind: 'index', isUnique: unique, judge: INDEX_ENTRY, isStrict },
      ({ key, keyLength, bytes, dataOffset, dataLength, trust }) => {
        entry[0] = trust === TRUST.unverified ? UNPROVEN : PROVEN;
        for (let i = 0; i < keyLength; i++) entry[1 + i] = key[i] as number;
        byBookmark.add(
          bytes.subarray(dataOffset, dataOffset + dataLength),
          dataLength,
          entry,
          0,
          1 + keyLength,
        );
      },
    );
    const match = new EntryMatch(job, target, index, plan);
    const { missing, made } = yield* match.run(byBookmark, byKey);
    const isUnknown = !match.isKnown && (counts.lost.length > 0 || counts.dropped.length > 0);
    const findings: Finding[] = [];
    if (made > 0) {
      const message = `${made} records had no entry; entries of other records show the keys of their texts`;
      findings.push(indexFinding(job, index, 'IDX_MISSING', message, 'entries made'));
    }
    if (missing > 0 || isUnknown) {
      context.edits.marked.add(objid);
      const what = missing > 0 ? `${missing} records have no entry` : 'entries are lost';
      const message = `${what}, and their keys cannot be computed here: the index must be rebuilt on Windows`;
      findings.push(indexFinding(job, index, 'IDX_MISSING', message, 'marked as out of date'));
    }
    const settled = yield* settleDoubles(context, job, target, index, byKey);
    findings.push(...settled.findings);
    const entries = yield* writeIndex(context, job, index, byKey, settled.isUnique);
    const action = missing > 0 || isUnknown ? 'marked' : 'kept';
    return { index: { name: index.name, action, entries }, findings };
  } finally {
    byBookmark.close();
    byKey.close();
  }
}

/** The record at hand. It serves for all of them. */
interface Matched {
  values: RecordValues;
  readonly bookmark: KeyBuffer;
  /** Its entries, each with what it says of itself in front; none where nobody knows which of them are right. */
  readonly entries: Uint8Array[];
  /** Keys that it can have at most; infinitely many where nobody knows. */
  keysMost: number;
  /** Its key but for the sort keys of its texts, if there is a masker and one key. */
  readonly key: KeyBuffer;
  /** Texts in that key. */
  texts: number;
}

/** Brings the entries of an index and the records of its table together. */
class EntryMatch {
  readonly #job: IndexJob;
  readonly #target: TargetReader;
  readonly #masker: KeyMasker | undefined;
  readonly #counter: KeyBuilder | undefined;
  readonly #readLongValue: ReadLongValue;
  readonly #neighbours: Neighbours | undefined;
  readonly #stored = createKeyBuffer();
  readonly #own = createKeyBuffer();
  readonly #matched: Matched;

  constructor(
    job: IndexJob,
    target: TargetReader,
    index: IndexDefinition,
    { masker, counter }: KeptIndexPlan,
  ) {
    this.#job = job;
    this.#target = target;
    this.#masker = masker;
    this.#readLongValue = longValuesOf(job, target);
    const matched: Matched = {
      values: createRecordValues(job.layout),
      bookmark: createKeyBuffer(),
      entries: [],
      keysMost: 0,
      key: createKeyBuffer(),
      texts: 0,
    };
    this.#matched = matched;
    if (masker === undefined) {
      this.#counter = counter;
      return;
    }
    this.#counter = createKeyBuilder(job.layout, index, (...text) => {
      matched.texts++;
      return markAsSortKey(...text);
    });
    this.#neighbours = new Neighbours(job.layout, index, masker, this.#readLongValue);
  }

  /** Whether it is known which records must be in the index. */
  get isKnown(): boolean {
    return this.#counter !== undefined;
  }

  /** Fills `byKey`. Returns how many records have no entry, and how many got one that they had not. */
  *run(byBookmark: EntrySort, byKey: EntrySort): Steps<{ missing: number; made: number }> {
    const neighbours = this.#neighbours;
    let missing = 0;
    let made = 0;
    yield* this.#each(byBookmark, (matched) => {
      const { entries, bookmark, key } = matched;
      for (const entry of entries)
        byKey.add(entry.subarray(1), entry.length - 1, bookmark.bytes, 0, bookmark.length);
      if (!isWithout(matched)) return;
      if (this.#masker !== undefined && matched.texts === 0) {
        byKey.add(key.bytes, key.length, bookmark.bytes, 0, bookmark.length);
        return;
      }
      missing++;
      neighbours?.want(matched.values);
    });
    if (neighbours?.isAsked !== true) return { missing, made };
    yield* this.#each(byBookmark, ({ values, entries: [entry] }) => {
      if (entry !== undefined && entry[0] === PROVEN) neighbours.learn(values, entry.subarray(1));
    });
    yield* this.#each(byBookmark, (matched) => {
      if (!isWithout(matched) || matched.texts === 0) return;
      const key = neighbours.keyOf(matched.values);
      if (key === undefined) return;
      byKey.add(key, key.length, matched.bookmark.bytes, 0, matched.bookmark.length);
      missing--;
      made++;
    });
    return { missing, made };
  }

  /** Tells of each record of the table. */
  *#each(byBookmark: EntrySort, visit: (matched: Matched) => void): Steps<void> {
    const { layout, region, table } = this.#job;
    const matched = this.#matched;
    const { bookmark, entries, values } = matched;
    const sorted = byBookmark.sorted();
    let next = sorted.next();
    const root = { pgnoFdp: region.pgnoRoot, objid: table.objid };
    yield* liveNodes(this.#target.copy.scan, root, (page, node) => {
      bookmark.length = page.copyKey(node, bookmark.bytes);
      const own = bookmark.bytes.subarray(0, bookmark.length);
      locateColumns(layout, page.bytes, node.dataOffset, node.dataOffset + node.dataLength, values);
      this.#countKeys();
      entries.length = 0;
      for (; next.done !== true; next = sorted.next()) {
        const { bytes, keyStart, keyLength, dataLength } = next.value;
        const order = Buffer.compare(bytes.subarray(keyStart, keyStart + keyLength), own);
        if (order > 0) break;
        const start = keyStart + keyLength;
        const entry = bytes.subarray(start, start + dataLength);
        if (order === 0 && this.#isOne(entry.subarray(1))) entries.push(entry.slice());
      }
      if (entries.length > matched.keysMost) entries.length = 0;
      visit(matched);
    });
  }

  /** Finds out which keys the record at hand has. */
  #countKeys(): void {
    const matched = this.#matched;
    const { key, values } = matched;
    matched.texts = 0;
    matched.keysMost = Number.POSITIVE_INFINITY;
    try {
      const count = this.#counter?.build(values, this.#readLongValue, (bytes, length) =>
        copyBytes(bytes, 0, length, key),
      );
      if (count !== undefined) matched.keysMost = count;
    } catch (error) {
      if (!(error instanceof EseError)) throw error;
    }
  }

  /** Whether an entry can be one of the record at hand. */
  #isOne(stored: Uint8Array): boolean {
    const { keysMost, key } = this.#matched;
    const masker = this.#masker;
    if (masker === undefined || keysMost === Number.POSITIVE_INFINITY) return keysMost > 0;
    if (keysMost === 0) return false;
    const [masked, own] = [this.#stored, this.#own];
    copyBytes(key.bytes, 0, key.length, own);
    // A key that was cut shows its first columns only.
    if (!masker.mask(stored, stored.length, masked)) {
      masker.cutBehindText(masked);
      masker.cutBehindText(own);
    }
    return compareKeyBuffers(masked, own) === 0;
  }
}

/** Whether a record has no entry, though it must have one. */
function isWithout({ entries, keysMost }: Matched): boolean {
  return entries.length === 0 && keysMost > 0 && keysMost !== Number.POSITIVE_INFINITY;
}

/** What is not known of a text yet, or for ever. */
const NOT_SEEN = new Uint8Array(0);
const CONTRADICTORY = new Uint8Array(0);

/**
 * The sort keys of texts, as entries of other records show them: texts of the same code units have the same. What two
 * entries say differently nobody knows.
 */
class Neighbours {
  readonly #masker: KeyMasker;
  readonly #readLongValue: ReadLongValue;
  readonly #texts: KeyBuilder;
  readonly #keys: KeyBuilder;
  readonly #sortKeys = new Map<string, Uint8Array>();
  #seen: string[] = [];

  constructor(layout: RecordLayout, index: IndexDefinition, masker: KeyMasker, readLongValue: ReadLongValue) {
    this.#masker = masker;
    this.#readLongValue = readLongValue;
    this.#texts = createKeyBuilder(layout, index, (...text) => {
      this.#seen.push(unitsOf(...text));
      return markAsSortKey(...text);
    });
    this.#keys = createKeyBuilder(layout, index, (...text) => {
      const sortKey = this.#sortKeys.get(unitsOf(...text));
      return sortKey === undefined || sortKey.length === 0 ? undefined : sortKey;
    });
  }

  get isAsked(): boolean {
    return this.#sortKeys.size > 0;
  }

  /** The texts in the key of a record, in its order. */
  #textsOf(values: RecordValues): string[] {
    this.#seen = [];
    let count = 0;
    this.#texts.build(values, this.#readLongValue, (key, length) => {
      count = this.#masker.sortKeys(key, length).length;
    });
    // Where a long text needs several attempts, the last one counts.
    return count === 0 ? [] : this.#seen.slice(-count);
  }

  /** Asks for the sort keys of the texts of a record. */
  want(values: RecordValues): void {
    for (const text of this.#textsOf(values)) {
      if (this.#sortKeys.size < TEXTS_MOST && !this.#sortKeys.has(text)) this.#sortKeys.set(text, NOT_SEEN);
    }
  }

  /** Looks at the stored key of a record. */
  learn(values: RecordValues, key: Uint8Array): void {
    const texts = this.#textsOf(values);
    if (!texts.some((text) => this.#sortKeys.has(text))) return;
    for (const [i, sortKey] of this.#masker.sortKeys(key, key.length).entries()) {
      const text = texts[i];
      const known = text === undefined ? undefined : this.#sortKeys.get(text);
      if (text === undefined || known === undefined || known === CONTRADICTORY) continue;
      const isNew = known === NOT_SEEN;
      if (isNew) this.#sortKeys.set(text, sortKey);
      else if (Buffer.compare(known, sortKey) !== 0) this.#sortKeys.set(text, CONTRADICTORY);
    }
  }

  /** The key of a record, if the sort keys of all of its texts are known. */
  keyOf(values: RecordValues): Uint8Array | undefined {
    try {
      return this.#keys.first(values, this.#readLongValue)?.slice();
    } catch (error) {
      if (!(error instanceof EseError)) throw error;
      return undefined;
    }
  }
}

function unitsOf(bytes: Uint8Array, start: number, end: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).toString('latin1');
}
