import { openDatabaseReader } from '../../src/engine/database-reader.js';
import { createLongValueReader } from '../../src/engine/long-value-reader.js';
import { treePages } from '../../src/engine/tree-reader.js';
import { createKeyBuilder } from '../../src/format/key.js';
import { createNodeView, NODE_FLAG } from '../../src/format/page.js';
import { createRecordLayout, createRecordValues, locateColumns } from '../../src/format/record.js';
import type { FileSystem } from '../../src/io/file-system.js';

/**
 * Throws unless every secondary index has exactly the entries that the rows of its table call for.
 *
 * @returns how many entries were compared
 */
export function checkIndexes(fs: FileSystem, path: string): number {
  const reader = openDatabaseReader(fs, path);
  let compared = 0;
  try {
    for (const table of reader.tables()) {
      const layout = createRecordLayout(table.columns, reader.pageSize);
      const values = createRecordValues(layout);
      const longValues = createLongValueReader(reader.source, table);
      for (const index of table.indexes) {
        if (index.primary) continue;
        const keys = createKeyBuilder(layout, index);
        const expected: string[] = [];
        eachNode(reader.source, table, (key, bytes, start, end) => {
          locateColumns(layout, bytes, start, end, values);
          keys.build(
            values,
            (lid, out, limit) => longValues.append(lid, out, limit),
            (entry, length) => expected.push(`${hex(entry.subarray(0, length))} -> ${hex(key)}`),
          );
        });
        const found: string[] = [];
        eachNode(reader.source, index, (key, bytes, start, end) => {
          found.push(`${hex(key)} -> ${hex(bytes.subarray(start, end))}`);
        });
        compareSorted(`${table.name}/${index.name}`, expected.sort(), found.sort());
        compared += found.length;
      }
    }
  } finally {
    reader.close();
  }
  return compared;
}

function eachNode(
  source: Parameters<typeof treePages>[0],
  root: Parameters<typeof treePages>[1],
  use: (key: Uint8Array, bytes: Uint8Array, start: number, end: number) => void,
): void {
  const node = createNodeView();
  for (const { page } of treePages(source, root)) {
    if (!page.isLeaf) continue;
    for (let line = 0; line < page.nodeCount; line++) {
      page.readNode(line, node);
      if ((node.flags & NODE_FLAG.deleted) !== 0) continue;
      const key = page.key(node);
      use(key, page.bytes, node.dataOffset, node.dataOffset + node.dataLength);
    }
  }
}

function compareSorted(name: string, expected: readonly string[], found: readonly string[]): void {
  for (let i = 0; i < Math.max(expected.length, found.length); i++) {
    if (expected[i] === found[i]) continue;
    throw new Error(
      `index ${name}: entry ${i} should be ${expected[i] ?? 'none'}, and is ${found[i] ?? 'none'}`,
    );
  }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
