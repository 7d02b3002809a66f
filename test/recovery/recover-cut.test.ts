import { beforeAll, describe, expect, it } from 'vitest';
import { DATABASE_STATE } from '../../src/format/database-header.js';
import { copyLogRecord, type LogRecord } from '../../src/format/log-record.js';
import { SEGMENT_BYTES } from '../../src/format/log-segment.js';
import { sealPages } from '../../src/format/page-checksum.js';
import { nodeFileSystem } from '../../src/io/node-file-system.js';
import { randomBelow, seededRandom } from '../../src/io/seeded-random.js';
import { createSimulatedDisk, type SimulatedDisk } from '../../src/io/simulated-disk.js';
import { openLog } from '../../src/recovery/log-reader.js';
import { type RecoveryResult, recover } from '../../src/recovery/recover.js';
import { corpusPath, describeWithCorpus } from '../corpus.js';
import { putFile, readFile } from '../support/files.js';
import { contentOf, judgeDatabase, openPages } from '../support/judge-database.js';
import { NodeModel } from '../support/node-model.js';
import { changedFiles, environmentOf, LOGS, OUT, snapshot } from '../support/recovery-disk.js';

/**
 * The log of a whole database life, cut anywhere: a crash at that moment. What recovery gives is compared with a second,
 * much simpler replay, node by node.
 */
const DATABASE = `${OUT}/secedit.sdb`;

/** Cuts inside of segments that are tried; all of them with ESEKIT_FULL. */
const SAMPLE = process.env.ESEKIT_FULL === undefined ? 40 : Number.POSITIVE_INFINITY;

interface Cut {
  /** Records in front of the cut. */
  readonly records: number;
  /** Where the log ends: bytes of this segment from `ib` on are zero. */
  readonly isec: number;
  readonly ib: number;
}

function cutLog(log: Uint8Array, { isec, ib }: Cut): Uint8Array {
  const cut = log.slice();
  cut.fill(0, isec * SEGMENT_BYTES + (ib === 0 ? 0 : ib));
  if (ib !== 0) {
    const segment = cut.slice(isec * SEGMENT_BYTES, (isec + 1) * SEGMENT_BYTES);
    sealPages(new Int32Array(segment.buffer), 0, 1, SEGMENT_BYTES, isec);
    cut.set(segment, isec * SEGMENT_BYTES);
  }
  return cut;
}

function diskWith(log: Uint8Array): SimulatedDisk {
  const disk = createSimulatedDisk();
  disk.mkdir(LOGS);
  disk.mkdir(OUT);
  putFile(disk, `${LOGS}/edb.log`, log);
  return disk;
}

const recoverCut = (disk: SimulatedDisk): Promise<RecoveryResult> =>
  recover(environmentOf(disk), { baseName: 'edb', logPath: LOGS, systemPath: LOGS, databasePath: OUT });

describeWithCorpus('a log cut by a crash', () => {
  let log: Uint8Array;
  let records: LogRecord[];
  /** For every record, where the next one begins. */
  let ends: { isec: number; ib: number }[];
  /** Records that lie whole in front of each segment. */
  let wholeBefore: number[];

  beforeAll(() => {
    log = readFile(nodeFileSystem, corpusPath('logs', 'secedit', 'edb.log'));
    const reader = openLog(nodeFileSystem, corpusPath('logs', 'secedit', 'edb.log'));
    records = [];
    const starts: { isec: number; ib: number }[] = [];
    for (const { record, lgpos } of reader.records()) {
      records.push(copyLogRecord(record));
      starts.push({ isec: lgpos.isec, ib: lgpos.ib });
    }
    const { lgposEnd } = reader.scan();
    reader.close();
    ends = [...starts.slice(1), { isec: lgposEnd.isec, ib: 0 }];
    wholeBefore = Array.from(
      { length: lgposEnd.isec + 1 },
      (_, isec) => ends.filter((end) => end.isec < isec || (end.isec === isec && end.ib === 0)).length,
    );
  });

  /** Recovers each cut, in ascending order, and compares it with the model. Returns what happened in how many. */
  async function tryCuts(cuts: readonly Cut[]) {
    const model = new NodeModel();
    const counts = { cuts: 0, databases: 0, undone: 0 };
    let done = 0;
    let isFinished = false;
    for (const cut of cuts) {
      for (; done < cut.records; done++) {
        const record = records[done];
        if (record === undefined) break;
        model.apply(record);
        if (record.name === 'CreateDBFinish') isFinished = true;
      }
      const disk = diskWith(cutLog(log, cut));
      const result = await recoverCut(disk);
      const place = `cut at ${cut.isec.toString(16)},${cut.ib.toString(16)}`;
      expect([place, result.transactions]).toEqual([
        place,
        { committed: model.committed, undone: model.open },
      ]);
      counts.cuts++;
      counts.undone += model.open;
      expect([place, disk.exists(DATABASE)]).toEqual([place, isFinished]);
      if (!isFinished) continue;
      counts.databases++;
      compare(disk, model, place);
      expect(judgeDatabase(disk, DATABASE).header.state).toBe(DATABASE_STATE.cleanShutdown);
      if (counts.databases % 16 === 1) {
        const before = snapshot(disk, OUT);
        expect((await recoverCut(disk)).nothingToDo).toBe(true);
        expect(changedFiles(before, snapshot(disk, OUT))).toEqual([]);
      }
    }
    return counts;
  }

  function compare(disk: SimulatedDisk, model: NodeModel, place: string): void {
    const source = openPages(disk, DATABASE);
    const expected = model.recovered();
    for (let pgno = 1; pgno <= source.lastPgno; pgno++) {
      const content = contentOf(source, pgno) as { nodes: string[] } | undefined;
      expect([place, pgno, content?.nodes]).toEqual([place, pgno, expected.get(pgno)]);
    }
  }

  it('at every segment boundary gives exactly the transactions committed by then', {
    timeout: 300_000,
  }, async () => {
    const cuts = wholeBefore.map((count, isec) => ({ records: count, isec, ib: 0 })).slice(1);
    const counts = await tryCuts(cuts);
    expect(counts.cuts).toBe(158);
    expect(counts.databases).toBeGreaterThan(140);
    expect(counts.undone).toBeGreaterThan(0);
  });

  it('at records inside of segments too', { timeout: 3_600_000 }, async () => {
    const inside = ends.map((end, i) => ({ records: i + 1, ...end })).filter(({ ib }) => ib !== 0);
    const random = seededRandom(20240626);
    const sample =
      inside.length <= SAMPLE
        ? inside
        : Array.from(
            { length: SAMPLE },
            () => inside[randomBelow(random, inside.length)] ?? inside[0],
          ).filter((one): one is (typeof inside)[number] => one !== undefined);
    const counts = await tryCuts(sample.sort((a, b) => a.records - b.records));
    expect(counts.undone).toBeGreaterThan(0);
  });
});

describe('the model that recovery is compared with', () => {
  it('takes open transactions back and goes on as if it had not', () => {
    const model = new NodeModel();
    model.pages.set(20, { objid: 30, nodes: [] });
    const common = { procid: 5, pgno: 20, level: 1, pageFlags: 1, dbtime: 1 };
    model.apply({ name: 'Begin0', procid: 5, levelBeginFrom: 0, clevels: 1 } as never);
    model.apply({
      name: 'Insert',
      ...common,
      iline: 0,
      key: Uint8Array.of(1),
      data: Uint8Array.of(2),
    } as never);
    expect(model.recovered().get(20)).toEqual(['01=02 deleted']);
    model.apply({ name: 'Commit0', procid: 5 } as never);
    expect(model.recovered().get(20)).toEqual(['01=02']);
  });
});
