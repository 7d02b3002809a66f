import { createNodeView, NODE_FLAG, pageOffset } from '../../src/format/page.js';
import type { TableDefinition } from '../../src/format/table-definition.js';
import type { FileSystem } from '../../src/io/file-system.js';
import { type PageScan, scanPages } from '../../src/maintenance/repair/page-scan.js';
import {
  createLongValueJudge,
  createRecordJudge,
  INDEX_ENTRY,
} from '../../src/maintenance/repair/salvage-judge.js';
import type { SalvageCounts, SalvageTree } from '../../src/maintenance/repair/salvage-node.js';
import { noteSpace, openSalvage, type SalvageSource } from '../../src/maintenance/repair/salvage-source.js';
import { salvageNodes } from '../../src/maintenance/repair/salvage-tree.js';
import { DAMAGED, type DamagedDatabase, damagedBytes } from './damaged-database.js';
import { readFile } from './files.js';

/** The file of a disk, to be damaged. */
export function damagedFile(fs: FileSystem, path: string): DamagedDatabase {
  return damagedBytes(readFile(fs, path));
}

/** A tree of a table, with all that salvaging it needs. */
export function salvageTreeOf(
  table: TableDefinition,
  pageSize: number,
  which: 'data' | 'longValues' | string = 'data',
): SalvageTree {
  if (which === 'data') {
    const { objid, pgnoFdp } = table;
    return { objid, pgnoFdp, kind: 'table', isUnique: true, judge: createRecordJudge(table, pageSize) };
  }
  if (which === 'longValues') {
    const { objid, pgnoFdp } = table.longValueTree ?? { objid: 0, pgnoFdp: 0 };
    const judge = createLongValueJudge(pageSize, table.lvChunkMax);
    return { objid, pgnoFdp, kind: 'longValue', isUnique: true, judge };
  }
  const index = table.indexes.find(({ name }) => name === which);
  if (index === undefined) throw new Error(`there is no index ${which}`);
  const { objid, pgnoFdp, unique } = index;
  return { objid, pgnoFdp, kind: 'index', isUnique: unique, judge: INDEX_ENTRY };
}

/** What was salvaged: nodes in the order in which they came, as `key=data` in hexadecimal. */
export interface Salvaged {
  readonly nodes: readonly string[];
  readonly trusts: readonly number[];
  readonly counts: SalvageCounts;
  readonly scan: PageScan;
  readonly source: SalvageSource;
  readonly steps: number;
}

const hex = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex');

/** Opens a damaged database for salvage; `spaceOf` are tables whose space is looked at. */
export async function openDamaged(
  fs: FileSystem,
  pageSize: number,
  spaceOf: readonly { objid: number; pgnoFdp: number }[] = [],
): Promise<SalvageSource> {
  const scan = await scanPages(fs, DAMAGED, pageSize, { workers: 1 });
  const source = openSalvage(fs, DAMAGED, scan);
  noteSpace(source, [{ objid: 1, pgnoFdp: 1 }, ...spaceOf]);
  return source;
}

/** Salvages one tree of a damaged database. */
export async function salvage(
  database: DamagedDatabase,
  tree: SalvageTree,
  spaceOf: readonly { objid: number; pgnoFdp: number }[] = [tree],
  fs = database.disk(),
): Promise<Salvaged> {
  const source = await openDamaged(fs, database.pageSize, spaceOf);
  const nodes: string[] = [];
  const trusts: number[] = [];
  const work = salvageNodes(source, tree, ({ key, keyLength, bytes, dataOffset, dataLength, trust }) => {
    nodes.push(
      `${hex(key.subarray(0, keyLength))}=${hex(bytes.subarray(dataOffset, dataOffset + dataLength))}`,
    );
    trusts.push(trust);
  });
  let steps = 0;
  for (;;) {
    const step = work.next();
    if (step.done === true) return { nodes, trusts, counts: step.value, scan: source.scan, source, steps };
    steps++;
  }
}

/** Live nodes of a sound tree, leaf by leaf in key order: the oracle. */
export function leavesOf(
  database: DamagedDatabase,
  tree: { objid: number; pgnoFdp: number },
): { pgno: number; nodes: string[] }[] {
  const node = createNodeView();
  return database.pagesOf(tree).leaves.map((pgno) => {
    const page = database.page(pgno);
    const nodes: string[] = [];
    for (let line = 0; line < page.nodeCount; line++) {
      page.readNode(line, node);
      if ((node.flags & NODE_FLAG.deleted) === 0)
        nodes.push(`${hex(page.key(node))}=${hex(page.data(node))}`);
    }
    return { pgno, nodes };
  });
}

/** The bytes of a page in the file. */
export function pageBytes({ bytes, pageSize }: DamagedDatabase, pgno: number): Uint8Array {
  return bytes.subarray(pageOffset(pgno, pageSize), pageOffset(pgno + 1, pageSize));
}

/** Flips one bit of a page. */
export function flipBit(database: DamagedDatabase, pgno: number, bit: number): void {
  const bytes = pageBytes(database, pgno);
  bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
}
