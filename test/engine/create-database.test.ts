import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { openDatabaseReader } from '../../src/engine/database-reader.js';
import type { LogRecordReport } from '../../src/maintenance/log-record-report.js';
import { corpusPath, describeWithCorpus } from '../corpus.js';
import { createEngineLab, LAB, LAB_DATABASE, recordsOf } from '../support/engine-lab.js';
import { contentOf, judgeDatabase, openPages } from '../support/judge-database.js';

/** What a record says, apart from where and when it was logged. */
function meaning(record: LogRecordReport, withIds: boolean): unknown {
  const { lgpos: _lgpos, size: _size, fragments: _fragments, ...rest } = record;
  const fields: Record<string, unknown> = { ...rest };
  for (const name of ['logtime', 'signDb', 'dbmsParam', 'grbit', 'path', 'cbPath', 'cb', 'zeroFill']) {
    if (name !== 'cb' || record.lrtyp === 'NOP2') delete fields[name];
  }
  // Images may be packed or not.
  for (const name of ['preimageFlags', 'cbPreimage', 'preimageHead']) delete fields[name];
  if (!withIds) for (const name of ['rceid', 'trxBegin0', 'trxCommit0', 'procid']) delete fields[name];
  return fields;
}

describeWithCorpus('the creation of a database in the log of Windows', () => {
  const genuine = readFileSync(corpusPath('logs', 'secedit', 'edb.log.records.jsonl'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as LogRecordReport);

  it('consists of the same records as ours, one by one, with the same stamps and ids', () => {
    const { disk, instance } = createEngineLab();
    instance.abandon();
    const own = recordsOf(disk, `${LAB}/E00.log`);
    const finish = genuine.findIndex(({ lrtyp }) => lrtyp === 'CreateDBFinish');
    const firstUserTable = genuine.findIndex((record) => record.trxBegin0 === 100);
    expect(finish).toBe(476);
    for (let i = 0; i <= finish; i++) {
      expect([i, meaning(own[i] as LogRecordReport, true)]).toEqual([
        i,
        meaning(genuine[i] as LogRecordReport, true),
      ]);
    }
    // Behind it the engine draws ids for things of its own, which no record shows.
    for (let i = finish; i < firstUserTable; i++) {
      expect([i, meaning(own[i] as LogRecordReport, false)]).toEqual([
        i,
        meaning(genuine[i] as LogRecordReport, false),
      ]);
    }
  });
});

describe('a new database', () => {
  for (const pageSize of [4096, 8192, 16384, 32768]) {
    it(`is whole with pages of ${pageSize} bytes: trees in order, every page accounted for`, () => {
      const { disk, instance, database } = createEngineLab({ pageSize });
      instance.detachDatabase(database);
      instance.close();
      const { header, leaked, lastOwned, trees } = judgeDatabase(disk, LAB_DATABASE);
      expect({ leaked, lastOwned, trees, state: header.state }).toEqual({
        leaked: [],
        lastOwned: 254,
        trees: 7,
        state: 3,
      });
      const reader = openDatabaseReader(disk, LAB_DATABASE);
      expect(reader.tables().map(({ name, objid, pgnoFdp }) => [name, objid, pgnoFdp])).toEqual([
        ['MSysObjects', 2, 4],
        ['MSysObjectsShadow', 3, 24],
        ['MSysObjids', 6, 29],
        ['MSysLocales', 7, 30],
      ]);
      reader.close();
    });
  }

  it('has the pages of a small one that Windows made (format specification, chapter 2.5.1)', () => {
    const { disk, instance, database } = createEngineLab();
    instance.detachDatabase(database);
    instance.close();
    const pages = openPages(disk, LAB_DATABASE);
    const facts = (pgno: number) => {
      const { flags, objid, external, nodes } = contentOf(pages, pgno) as {
        flags: number;
        objid: number;
        external: string;
        nodes: string[];
      };
      return [flags.toString(16), objid, external, nodes.length];
    };
    const noBuffer = '00'.repeat(16);
    expect(facts(1)).toEqual(['803', 1, 'fe000000000000000100000002000000', 0]);
    expect(facts(2)).toEqual(['823', 1, noBuffer, 1]);
    expect(facts(3)).toEqual(['823', 1, noBuffer, 1]);
    expect(facts(4)).toEqual(['805', 2, '14000000010000000100000005000000', 2]);
    expect(facts(5)).toEqual(['823', 2, noBuffer, 1]);
    expect(facts(7)).toEqual(['843', 4, '03000000040000000100000008000000', 72]);
    expect(facts(10)).toEqual(['843', 5, '0300000004000000010000000b000000', 4]);
    expect(facts(11)).toEqual(['863', 5, noBuffer, 1]);
    expect(facts(12)).toEqual(['863', 5, noBuffer, 0]);
    expect(facts(24)).toEqual(['805', 3, '05000000010000000100000019000000', 2]);
    expect(facts(29)).toEqual(['803', 6, '01000000010000000000000000000000', 6]);
    expect(facts(30)).toEqual(['803', 7, '01000000010000000000000000000000', 7]);
    expect(contentOf(pages, 31)).toBeUndefined();
  });
});
