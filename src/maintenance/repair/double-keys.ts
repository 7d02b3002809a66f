/** Records that share a key of a unique index (format specification, chapter 7.2.9). */

import type { EntrySort } from '../../engine/bulk/entry-sort.js';
import { EseError } from '../../format/ese-error.js';
import type { IndexDefinition, TableDefinition } from '../../format/table-definition.js';
import { liveNodes, type Steps } from '../defrag/copy-trees.js';
import { hexOf } from '../integrity/finding.js';
import { copyBytes, createKeyBuffer } from '../integrity/key-buffer.js';
import type { Finding } from '../report-values.js';
import { type IndexJob, indexFinding } from './index-job.js';
import type { TableRebuild, TargetReader } from './rebuild-context.js';
import { createRecordJudge } from './salvage-judge.js';
import type { SalvageSource } from './salvage-source.js';
import { salvageNodes } from './salvage-tree.js';

const DOUBLES_LISTED = 1000;

/** An entry whose key another entry has. All three are hexadecimal. */
interface DoubleKey {
  readonly key: string;
  readonly bookmark: string;
  /** Of the record that has the key first. */
  readonly first: string;
}

/** Records that share keys of a unique index, of which only the newest are to stay. */
export class DoubleRecords extends Error {
  readonly table: TableDefinition;
  readonly doubles: readonly DoubleKey[];

  constructor(table: TableDefinition, doubles: readonly DoubleKey[]) {
    super(`records of table ${table.name} share keys of a unique index`);
    this.table = table;
    this.doubles = doubles;
  }
}

/** Finds which of those records are the older ones, by the pages that they lie on. Returns their keys. */
export function* olderRecords(salvage: SalvageSource, { table, doubles }: DoubleRecords): Steps<Set<string>> {
  const dbtimes = new Map(doubles.flatMap(({ bookmark, first }) => [bookmark, first]).map((key) => [key, 0]));
  const { pgnoFdp, objid } = table;
  const judge = createRecordJudge(table, salvage.pageSize);
  yield* salvageNodes(salvage, { pgnoFdp, objid, kind: 'table', isUnique: true, judge }, (node) => {
    const key = hexOf(node.key.subarray(0, node.keyLength));
    if (dbtimes.has(key)) dbtimes.set(key, salvage.read(node.pgno).page.dbtime);
  });
  const newest = new Map<string, string>();
  const older = new Set<string>();
  for (const { key, bookmark, first } of doubles) {
    const best = newest.get(key) ?? first;
    const isNewer = (dbtimes.get(bookmark) ?? 0) > (dbtimes.get(best) ?? 0);
    newest.set(key, isNewer ? bookmark : best);
    older.add(isNewer ? best : bookmark);
  }
  return older;
}

/** Makes sure that no two entries of a unique index have one key. Returns whether it stays unique. */
export function* settleDoubles(
  context: TableRebuild,
  job: IndexJob,
  target: TargetReader,
  index: IndexDefinition,
  sort: EntrySort,
): Steps<{ isUnique: boolean; findings: Finding[] }> {
  const doubles = index.unique ? doubleKeys(sort) : [];
  if (doubles.length === 0) return { isUnique: index.unique, findings: [] };
  const { table } = job;
  yield* listDoubles(context, job, target, index, doubles);
  if (context.options.unique === 'drop-older') throw new DoubleRecords(table, doubles);
  const findings = doubles.map((double) => doubleFinding(context, job, index, double));
  context.edits.demoted.add(index.objid);
  return { isUnique: false, findings };
}

/** Lists the records behind the entries. */
function* listDoubles(
  { duplicates }: TableRebuild,
  { region, table }: IndexJob,
  { copy }: TargetReader,
  index: IndexDefinition,
  doubles: readonly DoubleKey[],
): Steps<void> {
  const keys = new Map(
    doubles.flatMap(({ key, bookmark, first }) => [[bookmark, key] as const, [first, key]]),
  );
  const bookmark = new Uint8Array(copy.writer.pageSize);
  yield* liveNodes(copy.scan, { pgnoFdp: region.pgnoRoot, objid: table.objid }, (page, node) => {
    const primaryKey = hexOf(bookmark.subarray(0, page.copyKey(node, bookmark)));
    const key = keys.get(primaryKey);
    if (key === undefined) return;
    const { name, objid } = table;
    const data = hexOf(page.data(node));
    duplicates.add({ table: name, objid, index: index.name, key, primaryKey, action: 'kept', data });
  });
}

/** Entries whose key another entry has already. */
function doubleKeys(sort: EntrySort): DoubleKey[] {
  const doubles: DoubleKey[] = [];
  const before = createKeyBuffer();
  const first = createKeyBuffer();
  let isFirst = true;
  for (const { bytes, keyStart, keyLength, dataLength } of sort.sorted()) {
    let isSame = !isFirst && keyLength === before.length;
    for (let i = 0; i < keyLength && isSame; i++) isSame = before.bytes[i] === bytes[keyStart + i];
    const dataStart = keyStart + keyLength;
    if (!isSame) {
      isFirst = false;
      copyBytes(bytes, keyStart, keyLength, before);
      copyBytes(bytes, dataStart, dataLength, first);
    } else if (doubles.length < DOUBLES_LISTED) {
      doubles.push({
        key: hexOf(before.bytes.subarray(0, keyLength)),
        bookmark: hexOf(bytes.subarray(dataStart, dataStart + dataLength)),
        first: hexOf(first.bytes.subarray(0, first.length)),
      });
    }
  }
  return doubles;
}

/** @throws EseError JET_errKeyDuplicate where that is what the user wants */
function doubleFinding(
  { options }: TableRebuild,
  job: IndexJob,
  index: IndexDefinition,
  { key, bookmark }: DoubleKey,
): Finding {
  const message = `another record has the key of record ${bookmark}, though the index is unique`;
  if (options.unique === 'fail') {
    throw new EseError('JET_errKeyDuplicate', `index ${index.name} of table ${job.table.name}: ${message}`);
  }
  return {
    ...indexFinding(
      job,
      index,
      'IDX_DUP',
      message,
      'both records are kept; the index is not unique any more',
    ),
    keyRange: [key, key],
  };
}
