import { beforeAll, describe, expect, test } from 'vitest';
import { type InjectOptions, type InjectReport, injectFault } from '../../src/drill/inject.js';
import { startWorkload } from '../../src/drill/workload.js';
import { Cursor } from '../../src/engine/cursor.js';
import { openDatabaseReader } from '../../src/engine/database-reader.js';
import { DATABASE_STATE } from '../../src/format/database-header.js';
import { EseError } from '../../src/format/ese-error.js';
import { createSimulatedDisk, type SimulatedDisk } from '../../src/io/simulated-disk.js';
import { verifyCheckpoint, verifyLog, verifyLogStream } from '../../src/maintenance/verify-log.js';
import { recover } from '../../src/recovery/recover.js';
import { startInstance } from '../../src/recovery/start-instance.js';
import { putFile } from '../support/files.js';
import { changedFiles, snapshot } from '../support/recovery-disk.js';
import { runWorkload, WORKLOAD_DATABASE, WORKLOAD_FOLDER } from '../support/workload-lab.js';
import { compareDumps, environmentOn, type LogicalDump, logicalDump, runIntegrity } from './lab.js';

/**
 * The column /r of the corruption matrix (format specification, chapter 7.6.2), and /k over logs and checkpoints: over
 * sets that a killed program left, a database of many pages with some logs that are all required.
 */
const SET = WORKLOAD_FOLDER;
const DATABASE = WORKLOAD_DATABASE;
const PAGE_SIZES = process.env.ESEKIT_FULL === undefined ? [4096, 16384] : [4096, 8192, 16384, 32768];
const SEEDS = process.env.ESEKIT_FULL === undefined ? [1] : [1, 2, 3, 4, 5];

const DATABASE_FILE = 'w.edb';
/** A log with required ones on both sides; its name depends on the set. */
const MIDDLE = 'middle';
const CURRENT = 'E00.log';
const CHECKPOINT = 'E00.chk';

interface RecoveryRow {
  readonly row: number;
  readonly what: string;
  readonly file: string;
  /** The set as it was before its last run. Default: the dirty one. */
  readonly set?: 'clean';
  readonly inject: Omit<InjectOptions, 'seed'>;
  /** What /k says of the damaged log or checkpoint: an error, or `done`, and the codes of its findings. */
  readonly k?: readonly [error: string, ...codes: string[]];
  /** What /k says of the whole stream, where that is something else. */
  readonly stream?: readonly [error: string, ...codes: string[]];
  /** How /r may end. */
  readonly r: readonly string[];
}

const BAD_PAGE = ['done', 'JET_errReadVerifyFailure'];
const CORRUPT_LOG = 'JET_errLogFileCorrupt';

/** Making or reading a database takes its time on a busy machine. */
const SETUP_MS = 180_000;
const ROWS: readonly RecoveryRow[] = [
  {
    row: 1,
    what: 'one flipped bit in the header',
    file: DATABASE_FILE,
    inject: { fault: 'bit-flip', at: 'header' },
    r: ['done'],
  },
  ...['two-flips', 'zero-page', 'random-bytes'].map(
    (fault): RecoveryRow => ({
      row: 2,
      what: `${fault} in the header`,
      file: DATABASE_FILE,
      inject: { fault, at: 'header' },
      r: ['done'],
    }),
  ),
  ...['two-flips', 'zero-page'].map(
    (fault): RecoveryRow => ({
      row: 3,
      what: `${fault} in the shadow header`,
      file: DATABASE_FILE,
      inject: { fault, at: 'shadow-header' },
      r: ['done'],
    }),
  ),
  {
    row: 4,
    what: 'two-flips in both headers',
    file: DATABASE_FILE,
    inject: { fault: 'two-flips', at: 'both-headers' },
    r: ['JET_errReadVerifyFailure'],
  },
  // Redo never looks at the dbtime of a dirty header: it raises it to that of the log.
  {
    row: 6,
    what: 'a dbtime that is too small',
    file: DATABASE_FILE,
    inject: { fault: 'header-dbtime' },
    r: ['done'],
  },
  {
    row: 7,
    what: 'another page size in the header',
    file: DATABASE_FILE,
    inject: { fault: 'header-page-size' },
    r: ['JET_errPageSizeMismatch', 'JET_errReadVerifyFailure'],
  },
  {
    row: 8,
    what: 'two valid headers that differ',
    file: DATABASE_FILE,
    inject: { fault: 'header-differs' },
    r: ['done'],
  },
  {
    row: 9,
    what: 'one flipped bit in the catalog',
    file: DATABASE_FILE,
    inject: { fault: 'bit-flip', at: 'catalog' },
    r: ['done'],
  },
  {
    row: 10,
    what: 'two-flips in the catalog',
    file: DATABASE_FILE,
    inject: { fault: 'two-flips', at: 'catalog' },
    r: BAD_PAGE,
  },
  {
    row: 11,
    what: 'two-flips in the shadow catalog',
    file: DATABASE_FILE,
    inject: { fault: 'two-flips', at: 'shadow-catalog' },
    r: BAD_PAGE,
  },
  {
    row: 16,
    what: 'one flipped bit in a leaf',
    file: DATABASE_FILE,
    inject: { fault: 'bit-flip' },
    r: ['done'],
  },
  {
    row: 17,
    what: 'two flipped bits in a leaf',
    file: DATABASE_FILE,
    inject: { fault: 'two-flips' },
    r: BAD_PAGE,
  },
  {
    row: 19,
    what: 'a blank leaf',
    file: DATABASE_FILE,
    inject: { fault: 'zero-page' },
    r: ['done', 'JET_errPageNotInitialized'],
  },
  {
    row: 20,
    what: 'a leaf as it was before its last row',
    file: DATABASE_FILE,
    inject: { fault: 'stale-page' },
    r: ['done', 'JET_errDbTimeTooOld', 'JET_errDbTimeTooNew', 'JET_errDatabaseCorrupted'],
  },
  {
    row: 21,
    what: 'another page in the place of a leaf',
    file: DATABASE_FILE,
    inject: { fault: 'foreign-page' },
    r: ['done', 'JET_errReadVerifyFailure', 'JET_errReadPgnoVerifyFailure'],
  },
  {
    row: 27,
    what: 'two-flips in an internal page',
    file: DATABASE_FILE,
    inject: { fault: 'two-flips', at: 'branch' },
    r: BAD_PAGE,
  },
  {
    row: 34,
    what: 'two-flips in a root of the database',
    file: DATABASE_FILE,
    inject: { fault: 'two-flips', at: 'database-root' },
    r: BAD_PAGE,
  },
  {
    row: 39,
    what: 'a blank leaf of long values',
    file: DATABASE_FILE,
    inject: { fault: 'zero-page', at: 'long-value' },
    r: ['done', 'JET_errPageNotInitialized'],
  },
  {
    row: 47,
    what: 'pages of junk behind the last one',
    file: DATABASE_FILE,
    inject: { fault: 'trailing-junk', count: 2 },
    r: ['done'],
  },
  {
    row: 48,
    what: 'two-flips in a log header',
    file: MIDDLE,
    inject: { fault: 'two-flips', at: 'header' },
    k: [CORRUPT_LOG],
    stream: [CORRUPT_LOG, 'LOG_HEADER'],
    r: [CORRUPT_LOG],
  },
  {
    row: 49,
    what: 'a flipped bit in a segment',
    file: MIDDLE,
    inject: { fault: 'bit-flip' },
    k: ['done', 'LOG_SEGMENT'],
    r: ['done'],
  },
  ...['two-flips', 'zero-page', 'random-bytes', 'torn-page'].map(
    (fault): RecoveryRow => ({
      row: 49,
      what: `${fault} in a segment`,
      file: MIDDLE,
      inject: { fault },
      k: [CORRUPT_LOG, 'LOG_SEGMENT'],
      r: [CORRUPT_LOG],
    }),
  ),
  {
    row: 50,
    what: 'a torn tail of the current log, which has its shadow behind it',
    set: 'clean',
    file: CURRENT,
    inject: { fault: 'torn-page', at: 'tail' },
    k: ['done', 'LOG_TORN'],
    r: ['done'],
  },
  {
    row: 50,
    what: 'a torn tail of the current log that was full, and has no shadow',
    file: CURRENT,
    inject: { fault: 'torn-page', at: 'tail' },
    k: [CORRUPT_LOG, 'LOG_SEGMENT'],
    r: [CORRUPT_LOG],
  },
  {
    row: 51,
    what: 'a torn tail of an archived log',
    file: MIDDLE,
    inject: { fault: 'torn-page', at: 'tail' },
    k: [CORRUPT_LOG, 'LOG_SEGMENT'],
    r: [CORRUPT_LOG],
  },
  {
    row: 52,
    what: 'a log in the middle is gone',
    file: MIDDLE,
    inject: { fault: 'file-gone' },
    stream: ['JET_errMissingLogFile', 'LOG_GAP'],
    r: ['JET_errMissingLogFile'],
  },
  {
    row: 53,
    what: 'a log of another stream',
    file: MIDDLE,
    inject: { fault: 'log-signature' },
    k: ['done'],
    stream: ['JET_errBadLogSignature', 'LOG_SIGNATURE'],
    r: ['JET_errBadLogSignature'],
  },
  {
    row: 54,
    what: 'a log under the name of another generation',
    file: MIDDLE,
    inject: { fault: 'log-generation' },
    k: ['JET_errLogGenerationMismatch', 'LOG_GENERATION'],
    // Behind another log, it is the one that should be there that is missed first.
    stream: ['JET_errMissingLogFile', 'LOG_GAP'],
    r: ['JET_errLogGenerationMismatch'],
  },
  {
    row: 55,
    what: 'a log of another run',
    file: MIDDLE,
    inject: { fault: 'log-time' },
    k: ['done'],
    stream: ['JET_errInvalidLogSequence', 'LOG_TIME'],
    r: ['JET_errInvalidLogSequence'],
  },
  {
    row: 55,
    what: 'a log behind one with other contents',
    file: MIDDLE,
    inject: { fault: 'log-checksum' },
    k: ['done'],
    stream: ['JET_errLogSequenceChecksumMismatch', 'LOG_SEGMENT'],
    r: ['JET_errLogSequenceChecksumMismatch'],
  },
  {
    row: 56,
    what: 'two-flips in the first copy of the checkpoint',
    file: CHECKPOINT,
    inject: { fault: 'two-flips' },
    k: ['done', 'CHK_ONE_BAD'],
    r: ['done'],
  },
  ...['two-flips', 'zero-page'].map(
    (fault): RecoveryRow => ({
      row: 57,
      what: `${fault} in both copies of the checkpoint`,
      file: CHECKPOINT,
      inject: { fault, at: 'both-copies' },
      k: ['JET_errCheckpointCorrupt', 'CHK_BOTH_BAD'],
      r: ['done'],
    }),
  ),
  {
    row: 58,
    what: 'the checkpoint is gone',
    file: CHECKPOINT,
    inject: { fault: 'file-gone' },
    k: ['JET_errFileNotFound'],
    r: ['done'],
  },
  {
    row: 59,
    what: 'a checkpoint behind what is required',
    file: CHECKPOINT,
    inject: { fault: 'checkpoint-beyond' },
    k: ['done'],
    // What the header of the database requires counts; only behind the last log it tells of logs that are gone.
    r: ['done', 'JET_errMissingPreviousLogFile'],
  },
];

/** A database that was closed, attached again, changed for some logs, and then left by its program. */
async function dirtySet(pageSize: number): Promise<{
  files: Map<string, Buffer>;
  clean: Map<string, Buffer>;
  middle: string;
}> {
  const disk = createSimulatedDisk({ seed: 1 });
  const log = { logFileKiB: 64 };
  await runWorkload(disk, { seed: 5, rows: 90, instance: { pageSize, log } });
  const clean = snapshot(disk, SET);
  const instance = await startInstance({
    environment: environmentOn(disk),
    logDirectory: SET,
    log,
    checkpointDepthBytes: 1 << 28,
  });
  const database = instance.attachDatabase(DATABASE);
  const workload = startWorkload(instance, database, { seed: 6, rows: 110 });
  while (workload.step());
  workload.finish();
  // A small transaction at the end: its segment is not full, and has a shadow.
  const session = instance.createSession();
  const ledger = new Cursor(session, database.table(session, 'Ledger'));
  session.transaction(() => ledger.insert({ Seq: 1_000_000, Changes: 'the last' }));
  session.begin();
  ledger.insert({ Seq: 1_000_001, Changes: 'never committed' });
  const left = disk.fork();
  const files = snapshot(left, SET);
  const logs = [...files.keys()].filter((name) => /^E00[0-9A-F]{5,8}\.log$/.test(name)).sort();
  const reader = openDatabaseReader(left, DATABASE);
  const { genMinRequired } = reader.header;
  reader.close();
  // Recovery with logs from the first on could make the database anew.
  for (const name of logs) if (Number.parseInt(name.slice(3, -4), 16) < genMinRequired) files.delete(name);
  const required = logs.filter((name) => Number.parseInt(name.slice(3, -4), 16) > genMinRequired);
  const middle = required[Math.floor(required.length / 2)];
  if (middle === undefined || required.length < 2) throw new Error(`too few logs: ${logs.join(' ')}`);
  return { files, clean, middle };
}

describe.each(PAGE_SIZES)(
  'the corruption matrix over a dirty database with pages of %i bytes',
  (pageSize) => {
    let files = new Map<string, Buffer>();
    let clean = new Map<string, Buffer>();
    let middle = '';
    beforeAll(async () => {
      ({ files, clean, middle } = await dirtySet(pageSize));
    }, SETUP_MS);
    const makeDisk = (set = files): SimulatedDisk => {
      const disk = createSimulatedDisk({ seed: 1 });
      disk.mkdir(SET);
      for (const [file, bytes] of set) putFile(disk, `${SET}/${file}`, bytes);
      return disk;
    };
    const oracles = new Map<object, LogicalDump>();
    const recovered = async (set = files): Promise<LogicalDump> => {
      const known = oracles.get(set);
      if (known !== undefined) return known;
      const disk = makeDisk(set);
      expect(await recoverOn(disk)).toBe('done');
      const oracle = await logicalDump(disk, DATABASE);
      oracles.set(set, oracle);
      return oracle;
    };

    test.each(ROWS.map((row): [number, string, RecoveryRow] => [row.row, row.what, row]))(
      'row %i: %s',
      async (_row, _what, row) => {
        const seeds = row.r.length > 1 ? SEEDS : SEEDS.slice(0, 1);
        for (const seed of seeds) {
          const set = row.set === undefined ? files : clean;
          const disk = makeDisk(set);
          const path = `${SET}/${row.file === MIDDLE ? middle : row.file}`;
          let report: InjectReport;
          try {
            report = injectFault(disk, path, { ...row.inject, seed });
          } catch (error) {
            // Trees of large pages have fewer levels.
            if (!(error instanceof EseError) || error.name !== 'JET_errObjectNotFound' || row.row !== 27)
              throw error;
            continue;
          }
          const what = JSON.stringify(report.changes);
          if (row.k !== undefined) {
            const verify = row.file.endsWith('.chk') ? verifyCheckpoint : verifyLog;
            expect(
              verdict(() => verify(disk, path)),
              what,
            ).toEqual(row.k);
          }
          if (row.stream !== undefined) {
            expect(
              verdict(() => verifyLogStream(disk, SET, 'E00')),
              what,
            ).toEqual(row.stream);
          }
          const before = snapshot(disk, SET);
          const end = await recoverOn(disk);
          expect(row.r, `${what}: ${end}`).toContain(end);
          if (end === 'done') await expectRecovered(disk, row, before, await recovered(set), report);
          else if (row.file !== DATABASE_FILE)
            expect(changedFiles(before, snapshot(disk, SET)), what).toEqual([]);
        }
      },
    );

    test('row 61: a repaired database with its old logs is left alone', async () => {
      const disk = makeDisk();
      const { repair } = await import('../../src/maintenance/repair.js');
      await repair(environmentOn(disk), DATABASE, { inPlace: true, workers: 1 });
      const before = snapshot(disk, SET).get(DATABASE_FILE);
      expect(await recoverOn(disk)).toBe('JET_errAttachedDatabaseMismatch');
      expect(
        snapshot(disk, SET)
          .get(DATABASE_FILE)
          ?.equals(before ?? Buffer.alloc(0)),
      ).toBe(true);
      expect(await recoverOn(disk, { ignoreMissing: true })).toBe('done');
      expect(
        snapshot(disk, SET)
          .get(DATABASE_FILE)
          ?.equals(before ?? Buffer.alloc(0)),
      ).toBe(true);
    });

    test('row 62: a moved database is found by its directory', async () => {
      const disk = makeDisk();
      disk.mkdir('/moved');
      disk.rename(DATABASE, '/moved/w.edb');
      expect(await recoverOn(disk)).toBe('JET_errAttachedDatabaseMismatch');
      expect(await recoverOn(disk, { databasePath: '/moved' })).toBe('done');
      expect(compareDumps(await recovered(), await logicalDump(disk, '/moved/w.edb'))).toEqual({
        missing: [],
        changed: [],
        invented: [],
        tables: [],
      });
    });
  },
);

async function recoverOn(disk: SimulatedDisk, more: object = {}): Promise<string> {
  try {
    await recover(environmentOn(disk), {
      baseName: 'E00',
      logPath: SET,
      systemPath: SET,
      databasePath: SET,
      ...more,
    });
    return 'done';
  } catch (error) {
    if (error instanceof EseError) return error.name;
    throw error;
  }
}

/** Every committed row is there and the database is sound; or the damage lies where redo never came. */
async function expectRecovered(
  disk: SimulatedDisk,
  row: RecoveryRow,
  before: Map<string, Buffer>,
  oracle: LogicalDump,
  report: InjectReport,
): Promise<void> {
  const what = JSON.stringify(report.changes);
  const pgno = report.changes[0]?.pgno ?? 0;
  const reader = openDatabaseReader(disk, DATABASE);
  const { header, election, pageSize } = reader;
  reader.close();
  expect(header.state, what).toBe(DATABASE_STATE.cleanShutdown);
  expect([election.source, election.identical], what).toEqual(['primary', true]);
  const g = await runIntegrity(disk, DATABASE);
  const difference = compareDumps(oracle, await logicalDump(disk, DATABASE));
  const isWhole = Object.values(difference).every((list) => list.length === 0);
  if (g.error === 'done' && isWhole) return;
  expect(row.r.length, `${what}: ${JSON.stringify([difference, g.codes]).slice(0, 1000)}`).toBeGreaterThan(1);
  const after = snapshot(disk, SET).get(DATABASE_FILE);
  const page = (bytes: Buffer | undefined) => bytes?.subarray((pgno + 1) * pageSize, (pgno + 2) * pageSize);
  expect(page(after)?.equals(page(before.get(DATABASE_FILE)) ?? Buffer.alloc(0)), what).toBe(true);
}

function verdict(
  call: () => { error: EseError | undefined; report: { findings: readonly { code: string }[] } },
): string[] {
  try {
    const { error, report } = call();
    return [error?.name ?? 'done', ...new Set(report.findings.map(({ code }) => code))];
  } catch (error) {
    if (error instanceof EseError) return [error.name];
    throw error;
  }
}
