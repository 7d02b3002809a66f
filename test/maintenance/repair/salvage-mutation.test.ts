import { beforeAll, expect, test } from 'vitest';
import { groupCatalogRows } from '../../../src/format/table-definition.js';
import { type Random, randomBelow, randomFill, seededRandom } from '../../../src/io/seeded-random.js';
import type { Steps } from '../../../src/maintenance/defrag/copy-trees.js';
import { discoverTables } from '../../../src/maintenance/repair/discovered-tables.js';
import { salvageCatalog } from '../../../src/maintenance/repair/salvage-catalog.js';
import { noteSpace, takeCensus } from '../../../src/maintenance/repair/salvage-source.js';
import { salvageNodes } from '../../../src/maintenance/repair/salvage-tree.js';
import { type DamagedDatabase, damagedBytes } from '../../support/damaged-database.js';
import { damagedFile, openDamaged, pageBytes, salvageTreeOf } from '../../support/salvage-lab.js';
import { SAMPLE, sampleDatabase } from '../../support/sample-database.js';

const PAGE_SIZES = [4096, 16384];
const SEEDS = Array.from({ length: 12 }, (_, seed) => seed);
const files = new Map<number, Uint8Array>();

beforeAll(() => {
  for (const pageSize of PAGE_SIZES) {
    files.set(pageSize, damagedFile(sampleDatabase({ pageSize, rows: 120 }), SAMPLE).bytes.slice());
  }
});

function finish<T>(steps: Steps<T>): T {
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

/** Damages a page: with a checksum that is right afterwards, or not. */
function mutate(database: DamagedDatabase, random: Random, pgno: number): void {
  const bytes = pageBytes(database, pgno);
  const { pageSize } = database;
  const change = (): void => {
    switch (randomBelow(random, 6)) {
      case 0: {
        const at = randomBelow(random, pageSize - 2);
        randomFill(random, bytes.subarray(at, at + 1 + randomBelow(random, 8)));
        break;
      }
      case 1:
        // Fields of the header.
        randomFill(random, bytes.subarray(16 + randomBelow(random, 22)).subarray(0, 2));
        break;
      case 2:
        // Tags.
        randomFill(random, bytes.subarray(pageSize - 4 - randomBelow(random, 200)).subarray(0, 2));
        break;
      case 3:
        bytes.fill(0, 0, 512 * randomBelow(random, 8));
        break;
      case 4:
        bytes.set(pageBytes(database, 1 + randomBelow(random, database.lastPgno)));
        break;
      default:
        bytes.fill(0);
    }
  };
  if (randomBelow(random, 3) === 0) change();
  else database.edit(pgno, change);
}

test.each(PAGE_SIZES.flatMap((pageSize) => SEEDS.map((seed) => [pageSize, seed] as const)))(
  'whatever the pages of %i bytes say (seed %i), every node comes once, in order, and all are accounted for',
  async (pageSize, seed) => {
    const random = seededRandom(seed);
    const database = damagedBytes(files.get(pageSize) ?? new Uint8Array());
    const mutations = 1 + randomBelow(random, database.lastPgno >> 2);
    for (let i = 0; i < mutations; i++) mutate(database, random, 1 + randomBelow(random, database.lastPgno));
    const source = await openDamaged(database.disk(), pageSize);
    const { records } = finish(salvageCatalog(source));
    const { tables } = groupCatalogRows(records.map(({ row }) => row));
    noteSpace(
      source,
      tables.flatMap((table) => [table, ...table.indexes]),
    );
    discoverTables(source, records, records);
    for (const table of tables) {
      const secondaries = table.indexes.filter(({ primary }) => !primary).map(({ name }) => name);
      for (const which of [
        'data',
        ...(table.longValueTree === undefined ? [] : ['longValues']),
        ...secondaries,
      ]) {
        const tree = salvageTreeOf(table, pageSize, which);
        let previous: string | undefined;
        const counts = finish(
          salvageNodes(source, tree, ({ key, keyLength, bytes, dataOffset, dataLength }) => {
            const text = Buffer.from(key.subarray(0, keyLength)).toString('latin1');
            const data = Buffer.from(bytes.subarray(dataOffset, dataOffset + dataLength)).toString('latin1');
            const sortKey = tree.isUnique ? text : text + data;
            expect(previous === undefined || previous < sortKey).toBe(true);
            previous = sortKey;
          }),
        );
        const { good, unverified, written, superseded, dropped } = counts;
        expect(good + unverified).toBe(written + superseded + dropped.length);
      }
    }
    const { total, ...census } = takeCensus(source);
    expect(Object.values(census).reduce((sum, count) => sum + count, 0)).toBe(total);
  },
);
