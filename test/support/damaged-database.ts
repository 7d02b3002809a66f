import { readFileSync } from 'node:fs';
import { expect } from 'vitest';
import { openDatabaseReader } from '../../src/engine/database-reader.js';
import { createFilePageSource } from '../../src/engine/page-source.js';
import { treePages } from '../../src/engine/tree-reader.js';
import { electHeader, type HeaderChanges, writeHeaderFields } from '../../src/format/database-header.js';
import { createNodeView, NODE_FLAG, Page, pageOffset } from '../../src/format/page.js';
import { sealPages, xorChecksum } from '../../src/format/page-checksum.js';
import type { TableDefinition } from '../../src/format/table-definition.js';
import type { FileSystem } from '../../src/io/file-system.js';
import { createSimulatedDisk } from '../../src/io/simulated-disk.js';
import {
  checkIntegrity,
  type IntegrityFinding,
  type IntegrityOptions,
  type IntegrityReport,
} from '../../src/maintenance/integrity.js';
import { putFile } from './files.js';

export const DAMAGED = '/damaged.edb';

/** A place in a tree: a page and a node. */
export interface NodePlace {
  readonly pgno: number;
  readonly line: number;
}

/** A database in memory that tests damage, page by page. */
export interface DamagedDatabase {
  readonly bytes: Uint8Array;
  readonly pageSize: number;
  readonly lastPgno: number;
  /** The page in the file; changes count when it is sealed. */
  page(pgno: number): Page;
  /** Changes a page and makes its checksum right. */
  edit(pgno: number, change: (page: Page) => void): void;
  /** Changes both copies of the header, checksums included. */
  editHeader(changes: HeaderChanges): void;
  table(name: string): TableDefinition;
  /** Pages of a tree: internal ones, and leaves in key order. */
  pagesOf(tree: { pgnoFdp: number; objid: number }): { internal: number[]; leaves: number[] };
  /** Live nodes of the leaves of a tree in key order. */
  nodesOf(tree: { pgnoFdp: number; objid: number }): NodePlace[];
  /** Root of a space tree of the tree with this root. */
  spaceRoot(pgnoFdp: number, kind: 'OE' | 'AE'): number;
  /** A disk that holds the file. */
  disk(length?: number): FileSystem;
  check(options?: IntegrityOptions): Promise<IntegrityReport>;
}

/** A copy of a file, in memory. */
export function damagedCopy(path: string): DamagedDatabase {
  return damagedBytes(new Uint8Array(readFileSync(path)));
}

export function damagedBytes(file: Uint8Array): DamagedDatabase {
  // Whole words, so that pages can be sealed in place.
  const words = new Int32Array(Math.ceil(file.length / 4));
  const bytes = new Uint8Array(words.buffer, 0, file.length);
  bytes.set(file);
  const { pageSize } = electHeader(bytes);
  const lastPgno = Math.floor(bytes.length / pageSize) - 2;
  const page = (pgno: number): Page => {
    const offset = pageOffset(pgno, pageSize);
    return new Page(bytes.subarray(offset, offset + pageSize), pgno);
  };
  const disk = (length = bytes.length): FileSystem => {
    const fs = createSimulatedDisk({ seed: 1 });
    const contents = new Uint8Array(length);
    contents.set(bytes.subarray(0, length));
    putFile(fs, DAMAGED, contents);
    return fs;
  };
  const walk = (tree: { pgnoFdp: number; objid: number }): Page[] => {
    const file = disk().open(DAMAGED, 'read');
    return [...treePages(createFilePageSource(file, pageSize), tree)].map((visited) => visited.page);
  };
  return {
    bytes,
    pageSize,
    lastPgno,
    page,
    edit(pgno, change) {
      change(page(pgno));
      sealPages(words, pageOffset(pgno, pageSize) / 4, 1, pageSize, pgno);
    },
    editHeader(changes) {
      for (const at of [0, pageSize]) {
        const copy = bytes.subarray(at, at + pageSize);
        writeHeaderFields(copy, changes);
        new DataView(copy.buffer, copy.byteOffset).setUint32(0, xorChecksum(copy), true);
      }
    },
    table(name) {
      const reader = openDatabaseReader(disk(), DAMAGED);
      try {
        return reader.table(name);
      } finally {
        reader.close();
      }
    },
    pagesOf(tree) {
      const pages = walk(tree);
      const pgnos = (isLeaf: boolean) => pages.filter((one) => one.isLeaf === isLeaf).map((one) => one.pgno);
      return { internal: pgnos(false), leaves: pgnos(true) };
    },
    nodesOf(tree) {
      const node = createNodeView();
      return walk(tree)
        .filter((one) => one.isLeaf)
        .flatMap((leaf) =>
          Array.from({ length: leaf.nodeCount }, (_, line) => ({ pgno: leaf.pgno, line })).filter(
            ({ line }) => {
              leaf.readNode(line, node);
              return (node.flags & NODE_FLAG.deleted) === 0;
            },
          ),
        );
    },
    spaceRoot(pgnoFdp, kind) {
      const header = page(pgnoFdp).externalHeader;
      const oe = new DataView(header.buffer, header.byteOffset).getUint32(12, true);
      return kind === 'OE' ? oe : oe + 1;
    },
    disk,
    async check(options = {}) {
      const [report, other] = await Promise.all(
        (['js', 'wasm'] as const).map(
          async (kernel) => (await checkIntegrity({ fs: disk() }, DAMAGED, { ...options, kernel })).report,
        ),
      );
      // Whatever is wrong, both kernels must find it, and in the same order.
      expect(other).toEqual(report);
      if (report === undefined) throw new Error('there is no report');
      return report;
    },
  };
}

/** A finding as tests expect it: `CODE pgno node`, as far as it has them. */
export function placed({ code, pgno, node }: IntegrityFinding): string {
  return [code, pgno, node].filter((part) => part !== undefined).join(' ');
}

/** Errors and warnings of a report, but for the file that is larger than its owned space. */
export function troubles(report: IntegrityReport): string[] {
  return report.findings
    .filter(({ severity, code }) => severity !== 'info' && code !== 'SIZE_LONG')
    .map(placed);
}
