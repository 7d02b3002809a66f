import { EntrySort } from '../../engine/bulk/entry-sort.js';
import { createNodeView, PAGE_FLAG, type Page } from '../../format/page.js';
import type { TableDefinition } from '../../format/table-definition.js';
import type { FileSystem } from '../../io/file-system.js';
import type { JsonLines } from '../../io/json-lines.js';
import { liveNodes, type Steps } from '../defrag/copy-trees.js';
import { hexOf } from '../integrity/finding.js';
import { copyNodeKey, createKeyBuffer } from '../integrity/key-buffer.js';
import { classOf, PAGE_CLASS } from './page-scan.js';
import { sortFilePath } from './places.js';
import type { TargetReader } from './rebuild-context.js';
import { createRecordJudge } from './salvage-judge.js';
import { SALVAGE_USE, type SalvageSource } from './salvage-source.js';

/**
 * Records on pages that are free, or hold an older image of a part of their tree: they may have been deleted by
 * mistake. They are listed, and are never part of the repaired database (format specification, chapter 7.2.5, stale
 * pages).
 */

/** Memory for the records of a table, in bytes. */
const SORT_BYTES = 24 * 1024 * 1024;
/** What stands in front of a record: its age (the newest first), page and line. */
const HEAD_BYTES = 14;
const AT_PGNO = 8;
const AT_LINE = 12;
const AGE_MOST = 2n ** 64n - 1n;

/** What is needed to look for them. */
export interface UndeletedSearch {
  readonly fs: FileSystem;
  readonly salvage: SalvageSource;
  /** Path of the new database; temporary files lie beside it. */
  readonly temp: string;
  readonly target: TargetReader;
  readonly lines: JsonLines;
}

/**
 * Lists the records of a table that are on such pages, and whose keys no record has that was kept: of several images
 * the newest. Returns how many there are.
 */
export function* listUndeleted(
  { fs, salvage, temp, target, lines }: UndeletedSearch,
  table: TableDefinition,
  pgnoFdp: number,
): Steps<number> {
  const { name, objid } = table;
  const sort = new EntrySort(fs, sortFilePath(temp, 0), SORT_BYTES);
  try {
    yield* collect(salvage, table, sort);
    if (sort.size === 0) return 0;
    const kept = createKeyBuffer();
    const found = sort.sorted();
    let next = found.next();
    let last: Uint8Array | undefined;
    let count = 0;
    /** Goes through what lies before a key that was kept, and passes by that key. */
    const goTo = (end: Uint8Array | undefined): void => {
      for (; next.done !== true; next = found.next()) {
        const { bytes, keyStart, keyLength, dataLength } = next.value;
        const key = bytes.subarray(keyStart, keyStart + keyLength);
        const order = end === undefined ? -1 : Buffer.compare(key, end);
        if (order > 0) return;
        if (order === 0 || (last !== undefined && Buffer.compare(key, last) === 0)) continue;
        last = key.slice();
        const data = Buffer.from(bytes.subarray(keyStart + keyLength, keyStart + keyLength + dataLength));
        const [pgno, line] = [data.readUInt32BE(AT_PGNO), data.readUInt16BE(AT_LINE)];
        const record = hexOf(data.subarray(HEAD_BYTES));
        lines.write({ table: name, objid, pgno, line, key: hexOf(key), data: record });
        count++;
      }
    };
    yield* liveNodes(target.copy.scan, { pgnoFdp, objid }, (page, node) => {
      if (next.done === true) return;
      kept.length = page.copyKey(node, kept.bytes);
      goTo(kept.bytes.subarray(0, kept.length));
    });
    goTo(undefined);
    return count;
  } finally {
    sort.close();
  }
}

function* collect(salvage: SalvageSource, table: TableDefinition, sort: EntrySort): Steps<void> {
  const judge = createRecordJudge(table, salvage.pageSize);
  const node = createNodeView();
  const key = createKeyBuffer();
  const data = Buffer.alloc(HEAD_BYTES + salvage.pageSize);
  for (const pgno of salvage.pagesOf(table.objid)) {
    if (!isFreeOrOld(salvage, pgno)) continue;
    const { page, worth } = salvage.read(pgno);
    yield;
    if (worth !== 'intact' || page.objid !== table.objid || !canHoldRecords(page)) continue;
    data.writeBigUInt64BE(AGE_MOST - BigInt(page.dbtime), 0);
    data.writeUInt32BE(pgno, AT_PGNO);
    for (let line = 0; line < page.nodeCount; line++) {
      page.readNode(line, node);
      copyNodeKey(page, node, key);
      if (judge.judge(page, line, node, key, false) !== undefined) continue;
      data.writeUInt16BE(line, AT_LINE);
      data.set(page.data(node), HEAD_BYTES);
      sort.add(key.bytes, key.length, data, 0, HEAD_BYTES + node.dataLength);
    }
  }
}

function isFreeOrOld({ scan, uses, available }: SalvageSource, pgno: number): boolean {
  if (uses[pgno] === SALVAGE_USE.superseded || classOf(scan, pgno) === PAGE_CLASS.empty) return true;
  return uses[pgno] === SALVAGE_USE.unknown && available[pgno] === 1;
}

function canHoldRecords(page: Page): boolean {
  const { index, longValue, spaceTree, preInit } = PAGE_FLAG;
  return page.isLeaf && (page.flags & (index | longValue | spaceTree | preInit)) === 0;
}
