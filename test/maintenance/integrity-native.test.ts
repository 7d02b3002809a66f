import { describe, expect, test } from 'vitest';
import { createNodeView, NODE_FLAG, PAGE_FLAG, type Page } from '../../src/format/page.js';
import { type Random, randomBelow, seededRandom } from '../../src/io/seeded-random.js';
import { createSimulatedDisk } from '../../src/io/simulated-disk.js';
import { assertSound, type IntegrityReport } from '../../src/maintenance/integrity.js';
import {
  DAMAGED,
  type DamagedDatabase,
  damagedBytes,
  type NodePlace,
  troubles,
} from '../support/damaged-database.js';
import { jetErrorOf, readFile } from '../support/files.js';
import { rowDigests } from '../support/judge-database.js';
import { runWorkload, WORKLOAD_DATABASE } from '../support/workload-lab.js';

const ROWS = 260;
const SEED = 11;
const TABLE = 'Customers';
const CODES = (report: IntegrityReport): string[] =>
  troubles(report).map((trouble) => trouble.split(' ')[0] ?? '');

async function nativeDatabase(
  pageSize: number,
): Promise<{ bytes: Uint8Array; rows: Record<string, number> }> {
  const disk = createSimulatedDisk();
  await runWorkload(disk, { seed: SEED, rows: ROWS, instance: { pageSize } });
  const digests = await rowDigests(disk, WORKLOAD_DATABASE);
  return {
    bytes: readFile(disk, WORKLOAD_DATABASE),
    rows: Object.fromEntries(digests.map(({ table, rows }) => [table, rows])),
  };
}

/** Damages the database; returns what must be found: codes, some of them with their place. */
type Fault = (copy: DamagedDatabase, random: Random) => string[];

const pick = <T>(list: readonly T[], random: Random): T => {
  const found = list[randomBelow(random, list.length)];
  if (found === undefined) throw new Error('there is nothing to pick from');
  return found;
};

/** A leaf of the table that is not its root. */
const leafOf = (copy: DamagedDatabase, random: Random): number => {
  const table = copy.table(TABLE);
  return pick(copy.pagesOf(table).leaves, random);
};

const rowOf = (copy: DamagedDatabase, random: Random): NodePlace =>
  pick(copy.nodesOf(copy.table(TABLE)), random);

const entryOf = (copy: DamagedDatabase, name: string, random: Random): NodePlace => {
  const index = copy.table(TABLE).indexes.find((one) => one.name === name);
  return pick(copy.nodesOf(index ?? { pgnoFdp: 0, objid: 0 }), random);
};

const longValuesOf = (copy: DamagedDatabase): NodePlace[] =>
  copy.nodesOf(copy.table(TABLE).longValueTree ?? { pgnoFdp: 0, objid: 0 });

const keyLength = (copy: DamagedDatabase, { pgno, line }: NodePlace): number => {
  const node = createNodeView();
  copy.page(pgno).readNode(line, node);
  return node.prefixLength + node.suffixLength;
};

const deleteNode = (copy: DamagedDatabase, { pgno, line }: NodePlace): void =>
  copy.edit(pgno, (page) => page.setNodeFlags(line, flagsOf(page, line) | NODE_FLAG.deleted));

const flagsOf = (page: Page, line: number): number => {
  const node = createNodeView();
  page.readNode(line, node);
  return node.flags;
};

const dataView = (page: Page, line: number): DataView => {
  const node = createNodeView();
  page.readNode(line, node);
  return new DataView(page.bytes.buffer, page.bytes.byteOffset + node.dataOffset, node.dataLength);
};

const FAULTS: readonly [string, Fault][] = [
  [
    'one flipped bit',
    (copy, random) => {
      const pgno = leafOf(copy, random);
      const bytes = copy.page(pgno).bytes;
      const at = 100 + randomBelow(random, copy.pageSize - 100);
      bytes[at] = (bytes[at] ?? 0) ^ (1 << randomBelow(random, 8));
      return [`PAGE_ECC_FIXED ${pgno}`];
    },
  ],
  [
    'some random bytes',
    (copy, random) => {
      const pgno = leafOf(copy, random);
      const bytes = copy.page(pgno).bytes;
      const at = 100 + randomBelow(random, copy.pageSize - 164);
      for (let i = 0; i < 64; i++) bytes[at + i] = (bytes[at + i] ?? 0) ^ (1 + randomBelow(random, 255));
      return [`PAGE_BAD_CHECKSUM ${pgno}`];
    },
  ],
  [
    'a zeroed page',
    (copy, random) => {
      const pgno = leafOf(copy, random);
      copy.page(pgno).bytes.fill(0);
      return [`PAGE_NOT_INITIALIZED ${pgno}`];
    },
  ],
  [
    'the page of another place',
    (copy, random) => {
      const pgno = leafOf(copy, random);
      copy.page(pgno).bytes.set(copy.page(1).bytes);
      return [`PAGE_WRONG_PGNO ${pgno}`];
    },
  ],
  [
    'a page of another tree',
    (copy, random) => {
      const pgno = leafOf(copy, random);
      copy.edit(pgno, (page) => {
        page.objid += 1000;
      });
      return [`PAGE_WRONG_OBJID ${pgno}`];
    },
  ],
  [
    'a page with the wrong role',
    (copy, random) => {
      const pgno = leafOf(copy, random);
      copy.edit(pgno, (page) => {
        page.flags |= PAGE_FLAG.longValue;
      });
      return [`PAGE_FLAGS ${pgno}`];
    },
  ],
  [
    'a page from the future',
    (copy, random) => {
      const pgno = leafOf(copy, random);
      copy.edit(pgno, (page) => {
        page.dbtime = 10 ** 9;
      });
      return [`PAGE_DBTIME ${pgno}`];
    },
  ],
  [
    'an entry that is missing',
    (copy, random) => {
      deleteNode(copy, entryOf(copy, 'ByEmail', random));
      return ['IDX_MISSING'];
    },
  ],
  [
    'an entry of a multi-valued index that is missing',
    (copy, random) => {
      deleteNode(copy, entryOf(copy, 'ByTag', random));
      return ['IDX_MISSING'];
    },
  ],
  [
    'an entry that names no row',
    (copy, random) => {
      const { pgno, line } = entryOf(copy, 'ByEmail', random);
      copy.edit(pgno, (page) => {
        const view = dataView(page, line);
        view.setUint8(view.byteLength - 4, view.getUint8(view.byteLength - 4) ^ 0x40);
      });
      return ['IDX_EXTRA', 'IDX_MISSING'];
    },
  ],
  [
    'a row that is gone from the table only',
    (copy, random) => {
      // A row without long values, which would become orphans.
      const rows = copy.nodesOf(copy.table(TABLE));
      const { pgno, line } = pick(rows, random);
      deleteNode(copy, { pgno, line });
      return ['IDX_EXTRA'];
    },
  ],
  [
    'a record whose fixed part is longer than itself',
    (copy, random) => {
      const place = rowOf(copy, random);
      copy.edit(place.pgno, (page) => dataView(page, place.line).setUint16(2, 0x7fff, true));
      return [`REC_STRUCT ${place.pgno} ${place.line}`];
    },
  ],
  [
    'a long value that counts no reference',
    (copy, random) => {
      const roots = longValuesOf(copy).filter((place) => keyLength(copy, place) === 4);
      const place = pick(roots, random);
      copy.edit(place.pgno, (page) => dataView(page, place.line).setUint32(0, 0, true));
      return [`LV_REF_LOW ${place.pgno} ${place.line}`];
    },
  ],
  [
    'a long value that counts too many references',
    (copy, random) => {
      const roots = longValuesOf(copy).filter((place) => keyLength(copy, place) === 4);
      const place = pick(roots, random);
      copy.edit(place.pgno, (page) => dataView(page, place.line).setUint32(0, 9, true));
      return [`LV_REF_HIGH ${place.pgno} ${place.line}`];
    },
  ],
  [
    'a long value without a chunk',
    (copy, random) => {
      const chunks = longValuesOf(copy).filter((place) => keyLength(copy, place) === 8);
      deleteNode(copy, pick(chunks, random));
      return ['LV_HOLE'];
    },
  ],
  [
    'a long value without its root',
    (copy, random) => {
      const roots = longValuesOf(copy).filter((place) => keyLength(copy, place) === 4);
      deleteNode(copy, pick(roots, random));
      return ['LV_NO_ROOT', 'REC_LID_MISSING'];
    },
  ],
];

describe.each([4096, 8192, 16384, 32768])('a native database with pages of %i bytes', (pageSize) => {
  const built = nativeDatabase(pageSize);

  test('has no error and no warning, and all of its rows', async () => {
    const { bytes, rows } = await built;
    const copy = damagedBytes(bytes);
    const report = await copy.check();
    expect(report.findings.filter(({ severity }) => severity !== 'info')).toEqual([]);
    expect(Object.fromEntries(report.tables.map(({ name, records }) => [name, records]))).toEqual(rows);
    expect(assertSound(copy.disk(), DAMAGED)).toBeUndefined();
  });

  test('is judged alike however its leaves are shared out', async () => {
    const { bytes } = await built;
    const logical = FAULTS.slice(FAULTS.findIndex(([what]) => what.startsWith('an entry')));
    const onPage = FAULTS.filter(([what]) => what === 'some random bytes');
    for (const faults of [logical, [...logical, ...onPage]]) {
      const copy = damagedBytes(bytes);
      const random = seededRandom(5);
      for (const [, fault] of faults) fault(copy, random);
      const whole = await copy.check();
      expect(whole.errors).toBeGreaterThan(2);
      for (const unitPages of [1, 2, 7]) expect(await copy.check({ unitPages })).toEqual(whole);
    }
  });

  test.each(FAULTS)('with %s', async (_what, fault) => {
    const { bytes } = await built;
    const seeds = pageSize === 4096 ? 2 : 1;
    for (let seed = 1; seed <= seeds; seed++) {
      const copy = damagedBytes(bytes);
      const expected = fault(copy, seededRandom(seed));
      const report = await copy.check();
      const found = troubles(report);
      for (const one of expected.filter((text) => text.includes(' '))) expect(found).toContain(one);
      const codes = expected.map((text) => text.split(' ')[0] ?? '');
      const orphans = _what === 'a row that is gone from the table only' ? ['LV_ORPHAN'] : [];
      expect(new Set([...CODES(report), ...orphans])).toEqual(new Set([...codes, ...orphans]));
      expect(report.corrupt).toBe(report.errors > 0);
      const isSound = report.errors === 0;
      if (isSound) assertSound(copy.disk(), DAMAGED);
      else expect(jetErrorOf(() => assertSound(copy.disk(), DAMAGED))).toBe('JET_errDatabaseCorrupted');
    }
  });
});
