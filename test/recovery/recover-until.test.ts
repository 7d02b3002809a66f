import { beforeAll, expect, it } from 'vitest';
import { EseError, type Lgpos } from '../../src/format/ese-error.js';
import { copyLogRecord, type LogRecord } from '../../src/format/log-record.js';
import { readSegmentHeader } from '../../src/format/log-segment.js';
import { logtimeToDate } from '../../src/format/logtime.js';
import { nodeFileSystem } from '../../src/io/node-file-system.js';
import type { SimulatedDisk } from '../../src/io/simulated-disk.js';
import { openLog } from '../../src/recovery/log-reader.js';
import { checkLogStream, findLogStream } from '../../src/recovery/log-stream.js';
import { planRecovery, type RecoveryOptions, recover } from '../../src/recovery/recover.js';
import { corpusPath, describeWithCorpus } from '../corpus.js';
import { readFile } from '../support/files.js';
import { contentOf, judgeDatabase, openPages } from '../support/judge-database.js';
import { NodeModel } from '../support/node-model.js';
import { changedFiles, diskOfCorpus, environmentOf, LOGS, OUT, snapshot } from '../support/recovery-disk.js';

const DATABASE = `${OUT}/secedit.sdb`;

const options = (changes: Partial<RecoveryOptions>): RecoveryOptions => ({
  baseName: 'edb',
  logPath: LOGS,
  systemPath: LOGS,
  databasePath: OUT,
  ...changes,
});

describeWithCorpus('recovery up to a point in time', () => {
  let records: { record: LogRecord; lgpos: Lgpos }[];
  let log: Uint8Array;

  beforeAll(() => {
    const path = corpusPath('logs', 'secedit', 'edb.log');
    log = readFile(nodeFileSystem, path);
    const reader = openLog(nodeFileSystem, path);
    records = [];
    for (const { record, lgpos } of reader.records()) records.push({ record: copyLogRecord(record), lgpos });
    reader.close();
  });

  /** The database must hold what the first `count` records leave, with open transactions taken back. */
  function expectState(disk: SimulatedDisk, count: number): void {
    const model = new NodeModel();
    for (const { record } of records.slice(0, count)) model.apply(record);
    const expected = model.recovered();
    const source = openPages(disk, DATABASE);
    for (let pgno = 1; pgno <= source.lastPgno; pgno++) {
      const content = contentOf(source, pgno) as { nodes: string[] } | undefined;
      expect([pgno, content?.nodes]).toEqual([pgno, expected.get(pgno)]);
    }
    judgeDatabase(disk, DATABASE);
  }

  it('stops in front of a record, keeps the logs from there on, and lets the stream go on from there', async () => {
    // A record in the middle of a transaction.
    const index = records.findIndex(({ record, lgpos }) => lgpos.isec > 0x60 && record.name === 'Insert') + 1;
    const at = records[index]?.lgpos ?? { generation: 0, isec: 0, ib: 0 };
    const disk = diskOfCorpus('logs', 'secedit');
    const result = await recover(environmentOf(disk), options({ until: { lgpos: at } }));
    expect(result.stoppedAt).toEqual(at);
    expect(result.transactions.undone).toBe(1);
    expectState(disk, index);
    const saved = result.logsSaved ?? '';
    expect(saved).toMatch(new RegExp(`^${LOGS}/edb-until-00000001-`));
    expect(Buffer.from(readFile(disk, `${saved}/edb.log`)).equals(Buffer.from(log))).toBe(true);
    expect(disk.readdir(saved)).toEqual(['edb.chk', 'edb.log']);
    expect(checkLogStream(disk, findLogStream(disk, LOGS, 'edb')).error).toBeUndefined();
    const before = snapshot(disk, OUT);
    expect((await recover(environmentOf(disk), options({}))).nothingToDo).toBe(true);
    expect(changedFiles(before, snapshot(disk, OUT))).toEqual([]);
  });

  it('stops in front of the first segment that was begun later', async () => {
    const segmentTime = (isec: number): number => {
      const time = readSegmentHeader(log, isec * 4096).time;
      return time === undefined ? 0 : logtimeToDate(time).getTime();
    };
    const isec =
      Array.from({ length: 0x9d }, (_, i) => i + 1).find((one) => segmentTime(one) > segmentTime(0x20)) ?? 0;
    expect(isec).toBeGreaterThan(0x20);
    const disk = diskOfCorpus('logs', 'secedit');
    const result = await recover(environmentOf(disk), options({ until: { timeMs: segmentTime(0x20) } }));
    expect(result.stoppedAt?.isec).toBe(isec);
    const count = records.filter(({ lgpos }) => lgpos.isec < isec).length;
    expectState(disk, count);
  });

  it('a plan says where it would stop, and changes nothing', async () => {
    const disk = diskOfCorpus('logs', 'secedit');
    const before = snapshot(disk, LOGS);
    const lgpos = { generation: 1, isec: 0x50, ib: 0 };
    const plan = await planRecovery(environmentOf(disk), options({ until: { lgpos } }));
    expect(plan.stoppedAt?.isec).toBe(0x50);
    expect(changedFiles(before, snapshot(disk, LOGS))).toEqual([]);
  });

  it('behind the end of the stream is a recovery like any other', async () => {
    const disk = diskOfCorpus('logs', 'secedit');
    const lgpos = { generation: 7, isec: 1, ib: 0 };
    const result = await recover(environmentOf(disk), options({ until: { lgpos } }));
    expect([result.stoppedAt, result.logsSaved]).toEqual([undefined, undefined]);
    expectState(disk, records.length);
  });

  it('is refused where the pages may be newer than the point', async () => {
    const disk = diskOfCorpus('recovery', 'srum-crash-redo');
    const before = snapshot(disk, LOGS);
    for (const generation of [5, 9]) {
      const call = recover(
        environmentOf(disk),
        options({ baseName: 'SRU', databasePath: LOGS, until: { lgpos: { generation, isec: 2, ib: 0 } } }),
      );
      await expect(call).rejects.toThrow(EseError);
      await expect(call).rejects.toMatchObject({ name: 'JET_errRequiredLogFilesMissing' });
    }
    expect(changedFiles(before, snapshot(disk, LOGS))).toEqual([]);
  });
});
