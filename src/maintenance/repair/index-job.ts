import type { EntrySort } from '../../engine/bulk/entry-sort.js';
import type { TreeRegion } from '../../engine/bulk/tree-region.js';
import { createLongValueReader } from '../../engine/long-value-reader.js';
import type { RecordLayout } from '../../format/record.js';
import type { IndexDefinition, TableDefinition } from '../../format/table-definition.js';
import type { ReadLongValue } from '../../format/value-reader.js';
import type { Steps } from '../defrag/copy-trees.js';
import type { NewTree } from '../defrag/new-catalog.js';
import type { Finding } from '../report-values.js';
import { openIndex, type TableRebuild, type TargetReader } from './rebuild-context.js';

/**
 * The secondary indexes of a table whose records are in the new database already (format specification, chapter
 * 7.2.9): computed from them where that can be done here; else their old entries serve, as far as their records are
 * there.
 */
export interface IndexJob {
  readonly table: TableDefinition;
  readonly layout: RecordLayout;
  readonly region: TreeRegion;
  /** Trees of the table in the new database. */
  readonly trees: Map<number, NewTree>;
  readonly indexes: readonly IndexDefinition[];
  /** Whether the old tree of this number is damaged. */
  isDamaged(objid: number): boolean;
}

/** What is to be said of an index. */
export function indexFinding(
  { table }: IndexJob,
  { name, objid }: IndexDefinition,
  code: string,
  message: string,
  action: string,
): Finding {
  return { code, severity: 'error', message, objid, object: `${table.name}/${name}`, action };
}

/** Reads the long values of the table in the new database. */
export function longValuesOf({ table, trees }: IndexJob, { source }: TargetReader): ReadLongValue {
  const tree = table.longValueTree === undefined ? undefined : trees.get(table.longValueTree.objid);
  const { longValueTree, ...rest } = table;
  const reader = createLongValueReader(
    source,
    tree === undefined || longValueTree === undefined
      ? rest
      : { ...rest, longValueTree: { ...longValueTree, pgnoFdp: tree.pgnoFdp } },
  );
  return (lid, out, limit) => void reader.append(lid, out, limit);
}

/** Writes the sorted entries of an index; returns how many there are. */
export function* writeIndex(
  { builder }: TableRebuild,
  { region, trees }: IndexJob,
  index: IndexDefinition,
  sort: EntrySort,
  isUnique: boolean,
): Steps<number> {
  const { writer } = builder;
  const child = openIndex(region, index, trees, writer.pageSize, isUnique);
  child.begin();
  const key = new Uint8Array(writer.pageSize);
  const before = new Uint8Array(2 * writer.pageSize);
  let beforeLength = -1;
  let added = 0;
  for (const { bytes, keyStart, keyLength, dataLength } of sort.sorted()) {
    const length = keyLength + dataLength;
    // A record may give one key twice.
    let isSame = length === beforeLength;
    for (let i = 0; i < length; i++) {
      const byte = bytes[keyStart + i] as number;
      if (isSame && before[i] !== byte) isSame = false;
      before[i] = byte;
      if (i < keyLength) key[i] = byte;
    }
    beforeLength = length;
    if (isSame) continue;
    writer.add(key, keyLength, bytes, keyStart + keyLength, keyStart + length);
    if (++added % ENTRIES_PER_STEP === 0) yield;
  }
  const { nodes } = child.finishTree();
  child.close();
  return nodes;
}

const ENTRIES_PER_STEP = 2000;
