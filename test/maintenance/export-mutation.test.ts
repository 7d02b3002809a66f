import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { openDatabaseReader } from '../../src/engine/database-reader.js';
import { createLongValueReader } from '../../src/engine/long-value-reader.js';
import { treePages } from '../../src/engine/tree-reader.js';
import { EseError } from '../../src/format/ese-error.js';
import { createKeyBuilder } from '../../src/format/key.js';
import { createNodeView } from '../../src/format/page.js';
import { sealPages } from '../../src/format/page-checksum.js';
import { createRecordLayout, createRecordValues, locateColumns } from '../../src/format/record.js';
import type { RowFormat } from '../../src/format/row-writer.js';
import type { FileSystem } from '../../src/io/file-system.js';
import { nodeFileSystem } from '../../src/io/node-file-system.js';
import { type Random, randomBelow, seededRandom } from '../../src/io/seeded-random.js';
import { exportTable } from '../../src/maintenance/export.js';
import { corpusPath, describeWithCorpus } from '../corpus.js';

/** More than a run of all tests can afford: `ESEKIT_MUTATIONS=20000 npx vitest run …`. */
const MUTATIONS = Number(process.env.ESEKIT_MUTATIONS ?? 150);

const DATABASES = ['multi.edb', 'text.edb', 'index.edb', 'default.edb', 'compressed-8k.edb', 'secedit.sdb'];

/** A file system with one file, whose contents are these. */
function fileSystemOf(contents: Uint8Array): FileSystem {
  return {
    ...nodeFileSystem,
    open: (path) => ({
      path,
      size: () => contents.length,
      readAt: (into, offset) => {
        const piece = contents.subarray(Math.min(offset, contents.length), offset + into.length);
        into.set(piece);
        return piece.length;
      },
      writeAt: () => expect.unreachable(),
      truncate: () => expect.unreachable(),
      sync: () => expect.unreachable(),
      close: () => {},
    }),
  };
}

/** Damages one page: flips, zeroes or copies bytes; mostly makes its checksum right again. */
function mutate(random: Random, contents: Uint8Array, pageSize: number): Uint8Array {
  const pages = contents.length / pageSize;
  let number: number;
  do number = 2 + randomBelow(random, pages - 2);
  while (contents.subarray(number * pageSize, (number + 1) * pageSize).every((byte) => byte === 0));
  const page = contents.subarray(number * pageSize, (number + 1) * pageSize);
  for (let change = randomBelow(random, 4); change >= 0; change--) {
    const at = randomBelow(random, pageSize - 64);
    const length = 1 + randomBelow(random, 32);
    switch (randomBelow(random, 4)) {
      case 0:
        page.fill(0, at, at + length);
        break;
      case 1:
        page.copyWithin(at, randomBelow(random, pageSize - 64), pageSize - 32);
        break;
      case 2:
        page[at] = randomBelow(random, 256);
        break;
      default:
        page[at] = (page[at] ?? 0) ^ (1 << randomBelow(random, 8));
    }
  }
  if (randomBelow(random, 8) !== 0) {
    sealPages(new Int32Array(contents.buffer), (number * pageSize) / 4, 1, pageSize, number - 1);
  }
  return randomBelow(random, 16) === 0
    ? contents.subarray(0, randomBelow(random, contents.length))
    : contents;
}

async function readEverything(contents: Uint8Array, format: RowFormat): Promise<void> {
  const database = openDatabaseReader(fileSystemOf(contents), 'mutated');
  for (const table of database.tables()) {
    await exportTable(database, table, format, () => {});
    const layout = createRecordLayout(table.columns, database.pageSize);
    const values = createRecordValues(layout);
    const longValues = createLongValueReader(database.source, table);
    const node = createNodeView();
    for (const index of table.indexes) {
      const builder = createKeyBuilder(layout, index);
      for (const { page } of treePages(database.source, table)) {
        for (let line = 0; page.isLeaf && line < page.nodeCount; line++) {
          page.readNode(line, node);
          locateColumns(layout, page.bytes, node.dataOffset, node.dataOffset + node.dataLength, values);
          builder.build(values, longValues.append, () => {});
        }
      }
    }
  }
}

describeWithCorpus('export of mutated databases', () => {
  it(`${MUTATIONS} seeded mutations cause nothing but EseErrors`, async () => {
    const originals = DATABASES.map((name) => readFileSync(corpusPath('databases', name)));
    let refused = 0;
    for (let seed = 1; seed <= MUTATIONS; seed++) {
      const random = seededRandom(seed);
      const which = randomBelow(random, originals.length);
      const contents = Uint8Array.from(originals[which] ?? []);
      const pageSize = DATABASES[which]?.includes('8k') ? 8192 : 4096;
      const format = (['canonical', 'jsonl', 'csv'] as const)[randomBelow(random, 3)] ?? 'csv';
      try {
        await readEverything(mutate(random, contents, pageSize), format);
      } catch (error) {
        if (!(error instanceof EseError)) throw new Error(`seed ${seed}`, { cause: error });
        refused++;
      }
    }
    // Some must have been noticed, or nothing was damaged.
    expect(refused).toBeGreaterThan(0);
  }, 600_000);
});
