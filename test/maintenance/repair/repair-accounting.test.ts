import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { openDatabaseReader } from '../../../src/engine/database-reader.js';
import { treePages } from '../../../src/engine/tree-reader.js';
import {
  createCatalogRowDecoder,
  OBJID_CATALOG,
  OBJID_CATALOG_SHADOW,
  PGNO_CATALOG,
  PGNO_CATALOG_SHADOW,
} from '../../../src/format/catalog-row.js';
import { createNodeView, NODE_FLAG } from '../../../src/format/page.js';
import { seededEnvironment } from '../../../src/io/environment.js';
import type { FileSystem } from '../../../src/io/file-system.js';
import { seededRandom } from '../../../src/io/seeded-random.js';
import { checkIntegrity } from '../../../src/maintenance/integrity.js';
import { repair } from '../../../src/maintenance/repair.js';
import { allCorpusDatabases, describeWithCorpus } from '../../corpus.js';
import { DAMAGED, damagedBytes } from '../../support/damaged-database.js';
import { readFile } from '../../support/files.js';
import { PAGE_DAMAGE, type PageDamage } from '../../support/page-damage.js';
import { type RowLedger, rowLedger, settle } from '../../support/row-ledger.js';
import { SAMPLE, sampleDatabase } from '../../support/sample-database.js';

const IS_FULL = process.env.ESEKIT_FULL !== undefined;
const SEEDS = IS_FULL ? [1, 2, 3] : [1];
const ROWS = IS_FULL ? 3000 : 900;
const PAGE_SIZES = IS_FULL ? [4096, 8192, 16384, 32768] : [4096];
const SHORT: readonly PageDamage[] = [PAGE_DAMAGE.noise, PAGE_DAMAGE.swapped];
const CASE_MS = 600_000;

const run = (fs: FileSystem) =>
  repair(seededEnvironment({ fs, seed: 1 }), DAMAGED, { inPlace: true, workers: 1 });

/** A database before it is damaged. */
interface Sound {
  readonly bytes: Uint8Array;
  readonly ledger: RowLedger;
  /** By table: the page of each row that defines it, in the catalog and in its shadow. */
  readonly definitions: ReadonlyMap<string, readonly (readonly [number, number])[]>;
}

async function soundDatabase(bytes: Uint8Array): Promise<Sound> {
  const fs = damagedBytes(bytes).disk();
  return { bytes, ledger: await rowLedger(fs, DAMAGED), definitions: definitionsOf(fs) };
}

function definitionsOf(fs: FileSystem): Sound['definitions'] {
  const reader = openDatabaseReader(fs, DAMAGED);
  const node = createNodeView();
  const decode = createCatalogRowDecoder(reader.pageSize);
  const rowsOf = (pgnoFdp: number, objid: number): Map<string, { pgno: number; table: number }> => {
    const rows = new Map<string, { pgno: number; table: number }>();
    for (const { page } of treePages(reader.source, { pgnoFdp, objid })) {
      for (let line = 0; page.isLeaf && line < page.nodeCount; line++) {
        page.readNode(line, node);
        if ((node.flags & NODE_FLAG.deleted) !== 0) continue;
        const { objidTable } = decode(page.bytes, node.dataOffset, node.dataOffset + node.dataLength);
        rows.set(Buffer.from(page.key(node)).toString('hex'), { pgno: page.pgno, table: objidTable });
      }
    }
    return rows;
  };
  try {
    const shadow = rowsOf(PGNO_CATALOG_SHADOW, OBJID_CATALOG_SHADOW);
    const names = new Map(reader.tables().map(({ objid, name }) => [objid, name]));
    const definitions = new Map<string, (readonly [number, number])[]>();
    for (const [key, { pgno, table }] of rowsOf(PGNO_CATALOG, OBJID_CATALOG)) {
      const name = names.get(table) ?? '';
      const pair = [pgno, shadow.get(key)?.pgno ?? pgno] as const;
      definitions.set(name, [...(definitions.get(name) ?? []), pair]);
    }
    return definitions;
  } finally {
    reader.close();
  }
}

/** Damages a database, repairs it, and holds the result against what it was. */
async function expectAccount(sound: Sound, damage: PageDamage, part: number, seed: number): Promise<void> {
  const { ledger, definitions } = sound;
  const db = damagedBytes(sound.bytes);
  const hit = damage.run(db, seededRandom(seed), part);
  const fs = db.disk();
  const result = await run(fs);
  const { report, error } = await checkIntegrity({ fs }, DAMAGED, { workers: 1 });
  expect(error).toBeUndefined();
  const troubles = report.findings.filter(
    ({ severity, code }) => severity !== 'info' && code !== 'SIZE_LONG',
  );
  expect(troubles).toEqual([]);
  const isDefined = (table: string): boolean =>
    (definitions.get(table) ?? []).every((pair) => pair.some((pgno) => !hit.has(pgno)));
  const account = settle(ledger, await rowLedger(fs, DAMAGED), hit, result, isDefined);
  if (damage.isHarmless === true) {
    expect(account).toMatchObject({ kept: account.rows, lost: 0, lacking: 0 });
    expect(result.lost).toBe(false);
  }
  const once = readFile(fs, DAMAGED);
  expect((await run(fs)).report.action).toBe('none');
  expect(Buffer.compare(readFile(fs, DAMAGED), once)).toBe(0);
}

describe.each(PAGE_SIZES)('salvage of randomly damaged databases, pages of %i bytes', (pageSize) => {
  let sound: Sound;
  beforeAll(async () => {
    sound = await soundDatabase(readFile(sampleDatabase({ pageSize, rows: ROWS }), SAMPLE));
  }, CASE_MS);

  const cases = Object.values(PAGE_DAMAGE as Record<string, PageDamage>)
    .filter((damage) => damage.isWhole !== true && (IS_FULL || SHORT.includes(damage)))
    .flatMap((damage) =>
      SEEDS.flatMap((seed) => [0.01, 0.05, 0.2].map((part) => ({ what: damage.what, part, seed, damage }))),
    );

  it.each(cases)(
    '$what, $part of all pages, seed $seed: every row of a sound leaf once, none invented',
    ({ damage, part, seed }) => expectAccount(sound, damage, part, seed),
    CASE_MS,
  );

  it.each([PAGE_DAMAGE.headless, PAGE_DAMAGE.bits])(
    '$what: nothing is lost',
    (damage) => expectAccount(sound, damage, 1, 7),
    CASE_MS,
  );

  it('one wrong bit on every page: all pages are what they were', async () => {
    const db = damagedBytes(sound.bytes);
    PAGE_DAMAGE.bits.run(db, seededRandom(8));
    const fs = db.disk();
    const { report } = await run(fs);
    expect(report.correctedPages).toBeGreaterThan(db.lastPgno / 2);
    const pages = (file: Uint8Array): Uint8Array => file.subarray(2 * db.pageSize);
    expect(Buffer.compare(pages(readFile(fs, DAMAGED)), pages(sound.bytes))).toBe(0);
  });
});

const REAL = allCorpusDatabases().filter(
  // Of these the definition of one table takes most pages, or rows cannot be read before the damage.
  ({ name }) => !/large|ual-dirty|srum-dirty|srum-crash/.test(name) && (IS_FULL || name === 'index.edb'),
);

describeWithCorpus('salvage of randomly damaged real databases', () => {
  describe.each(REAL.map(({ name, path }): [string, string] => [name, path]))('%s', (_name, path) => {
    let sound: Sound;
    beforeAll(async () => {
      sound = await soundDatabase(new Uint8Array(readFileSync(path)));
    }, CASE_MS);

    const cases = Object.values(PAGE_DAMAGE as Record<string, PageDamage>)
      .filter((damage) => damage.isWhole !== true && (IS_FULL || SHORT.includes(damage)))
      .flatMap((damage) => (IS_FULL ? [1, 2, 3] : [3]).map((seed) => ({ what: damage.what, seed, damage })));

    it.each(cases)(
      '$what, a twentieth of all pages, seed $seed',
      ({ damage, seed }) => expectAccount(sound, damage, 0.05, 1000 * seed + 5),
      CASE_MS,
    );
  });
});
