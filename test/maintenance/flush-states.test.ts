import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { PAGE_FLAG } from '../../src/format/page.js';
import { xorChecksum } from '../../src/format/page-checksum.js';
import { checkIntegrity } from '../../src/maintenance/integrity.js';
import { verifyDatabase } from '../../src/maintenance/verify.js';
import { corpusPath, describeWithCorpus } from '../corpus.js';
import { DAMAGED, type DamagedDatabase, damagedCopy, placed } from '../support/damaged-database.js';
import { putFile } from '../support/files.js';

const MAP = '/damaged.jfm';
const FLUSH_TYPE_SHIFT = 15;
/** Flags in the header of a map: 1 = closed cleanly (format specification, chapter 1.6). */
const MAP_FLAGS = 36;
const MAP_SIGN_DB = 88;
const MAP_SIGN_MAP = 116;

describeWithCorpus('a database beside its flush map', () => {
  const database = () => damagedCopy(corpusPath('databases', 'secedit.sdb'));
  const mapBytes = () => new Uint8Array(readFileSync(corpusPath('databases', 'secedit.jfm')));

  /** Changes the header of a map and makes its checksum right. */
  const editedMap = (change: (view: DataView) => void): Uint8Array => {
    const map = mapBytes();
    const header = map.subarray(0, 8192);
    const view = new DataView(map.buffer, map.byteOffset, 8192);
    change(view);
    view.setUint32(0, xorChecksum(header), true);
    return map;
  };

  /** Puts the write before the last one in the place of a page, as far as its flags show that. */
  const loseWrite = (copy: DamagedDatabase, pgno: number): void =>
    copy.edit(pgno, (page) => {
      const type = (page.flags & PAGE_FLAG.flushType) >>> FLUSH_TYPE_SHIFT;
      const before = ((type + 1) % 3) + 1;
      page.flags = (page.flags & ~PAGE_FLAG.flushType) | (before << FLUSH_TYPE_SHIFT);
    });

  const judged = async (copy: DamagedDatabase, map: Uint8Array | undefined, kernel: 'js' | 'wasm' = 'js') => {
    const fs = copy.disk();
    if (map !== undefined) putFile(fs, MAP, map);
    const verified = await verifyDatabase(fs, DAMAGED);
    const checked = await checkIntegrity({ fs }, DAMAGED, { kernel });
    const errors = checked.report.findings.filter(({ severity }) => severity === 'error').map(placed);
    return {
      verified: verified.report.findings.map(({ code, pgno }) => `${code} ${pgno}`),
      error: verified.error?.name,
      checked: errors,
    };
  };
  const NOTHING = { verified: [], error: undefined, checked: [] };

  const pages = (copy: DamagedDatabase): [string, number][] => {
    const catalog = copy.pagesOf({ pgnoFdp: 4, objid: 2 });
    return [
      ['a leaf', catalog.leaves[1] ?? 0],
      ['a root', 4],
      ['a page of a space tree', 5],
    ];
  };

  test('is sound when every write of it has arrived', async () => {
    expect(await judged(database(), mapBytes())).toEqual(NOTHING);
  });

  test.each([0, 1, 2])('shows a lost write (page %i of three)', async (which) => {
    const copy = database();
    const [, pgno] = pages(copy)[which] ?? ['', 0];
    loseWrite(copy, pgno);
    for (const kernel of ['js', 'wasm'] as const) {
      expect(await judged(copy, mapBytes(), kernel)).toEqual({
        verified: [`PAGE_LOST_FLUSH ${pgno}`],
        error: 'JET_errReadLostFlushVerifyFailure',
        checked: [`PAGE_LOST_FLUSH ${pgno}`],
      });
    }
  });

  test('that is damaged too is damaged in the first place', async () => {
    const copy = database();
    loseWrite(copy, 4);
    copy.page(5).bytes.fill(0x5a, 100, 200);
    const { verified, error } = await judged(copy, mapBytes());
    expect(verified).toEqual(['PAGE_LOST_FLUSH 4', 'PAGE_BAD_CHECKSUM 5']);
    expect(error).toBe('JET_errDatabaseCorrupted');
  });

  test.each([
    ['is not there', undefined],
    ['was not closed cleanly', () => editedMap((view) => view.setUint32(MAP_FLAGS, 0, true))],
    [
      'belongs to other writes of both headers',
      () =>
        editedMap((view) => {
          for (const at of [MAP_SIGN_DB, MAP_SIGN_MAP]) view.setUint32(at, 1234567, true);
        }),
    ],
    ['is damaged', () => mapBytes().fill(7, 4000, 4004)],
    ['knows nothing', () => mapBytes().fill(0, 8192)],
    ['is cut short', () => mapBytes().subarray(0, 8192)],
  ])('cannot be judged by a map that %s', async (_what, map) => {
    const copy = database();
    loseWrite(copy, 4);
    expect(await judged(copy, map?.())).toEqual(NOTHING);
  });
});
