import { describe, expect, it } from 'vitest';
import { openDatabaseReader } from '../../src/engine/database-reader.js';
import {
  DATABASE_STATE,
  HEADER_LAYOUT,
  type HeaderChanges,
  writeHeaderFields,
} from '../../src/format/database-header.js';
import { EseError } from '../../src/format/ese-error.js';
import { decodeLogHeader, encodeLogHeader, type NewLogHeader } from '../../src/format/log-header.js';
import { logtimeOf } from '../../src/format/logtime.js';
import { sealPages } from '../../src/format/page-checksum.js';
import { newSignature } from '../../src/format/signature.js';
import type { FileSystem } from '../../src/io/file-system.js';
import { createSimulatedDisk, type SimulatedDisk } from '../../src/io/simulated-disk.js';
import { type LogReader, openLog } from '../../src/recovery/log-reader.js';
import { planRecovery, type RecoveryOptions, recover } from '../../src/recovery/recover.js';
import { describeWithCorpus } from '../corpus.js';
import { LAB, LAB_DATABASE, openLabInstance } from '../support/engine-lab.js';
import { type ProgramLog, programRows, runProgram } from '../support/engine-program.js';
import { readFile } from '../support/files.js';
import { judgeDatabase } from '../support/judge-database.js';
import {
  changedFiles,
  diskOfCorpus,
  environmentOf,
  LOGS,
  OUT,
  snapshot,
  writeFile,
} from '../support/recovery-disk.js';

const DATABASE = `${LOGS}/SRUDB.dat`;
const SEGMENT = 4096;
const FOREIGN = newSignature(4711, logtimeOf(Date.UTC(2020, 1, 1)));

/** The crash state whose log is cut in front of its last shutdown: generations 3 to 9, all of them required. */
const crashed = (): SimulatedDisk => diskOfCorpus('recovery', 'srum-crash-redo');

const options = (changes: Partial<RecoveryOptions> = {}): RecoveryOptions => ({
  baseName: 'SRU',
  logPath: LOGS,
  systemPath: LOGS,
  databasePath: LOGS,
  ...changes,
});

/** The error of a recovery, `done` if it has none. */
async function outcome(fs: FileSystem, changes: Partial<RecoveryOptions> = {}): Promise<string> {
  try {
    await recover(environmentOf(fs), options(changes));
    return 'done';
  } catch (error) {
    if (error instanceof EseError) return `${error.code} ${error.name}`;
    throw error;
  }
}

/** Expects an error, and that not one byte of any file changed. */
async function expectUnharmed(disk: SimulatedDisk, error: string, changes: Partial<RecoveryOptions> = {}) {
  const before = snapshot(disk, LOGS);
  const out = snapshot(disk, OUT);
  expect(await outcome(disk, changes)).toBe(error);
  expect(changedFiles(before, snapshot(disk, LOGS))).toEqual([]);
  expect(changedFiles(out, snapshot(disk, OUT))).toEqual([]);
}

/** Expects success, with the database clean and sound. */
async function expectRecovered(disk: SimulatedDisk, changes: Partial<RecoveryOptions> = {}, path = DATABASE) {
  expect(await outcome(disk, changes)).toBe('done');
  const { header, leaked } = judgeDatabase(disk, path);
  expect(header.state).toBe(DATABASE_STATE.cleanShutdown);
  expect(leaked).toHaveLength(10);
}

function change(disk: SimulatedDisk, path: string, edit: (bytes: Uint8Array) => void): void {
  const bytes = readFile(disk, path);
  edit(bytes);
  writeFile(disk, path, bytes);
}

function changeLogHeader(disk: SimulatedDisk, name: string, changes: Partial<NewLogHeader>): void {
  change(disk, `${LOGS}/${name}`, (bytes) => {
    const header = decodeLogHeader(bytes);
    bytes.set(encodeLogHeader({ ...header, ...changes }));
  });
}

/** The checkpoint names another generation. */
function moveCheckpoint(disk: SimulatedDisk, generation: number): void {
  change(disk, `${LOGS}/SRU.chk`, (bytes) => {
    for (const at of [0, 4096]) {
      const copy = bytes.slice(at, at + 4096);
      const words = new Uint32Array(copy.buffer);
      new DataView(copy.buffer).setInt32(0x0c + 4, generation, true);
      words[0] = words.subarray(1).reduce((sum, word) => sum ^ word, 0x89abcdef);
      bytes.set(copy, at);
    }
  });
}

function changeHeader(disk: SimulatedDisk, changes: HeaderChanges, path = DATABASE): void {
  change(disk, path, (bytes) => {
    for (const at of [0, 4096]) writeHeaderFields(bytes.subarray(at, at + 4096), changes);
  });
}

/** Changes a page and sets its checksum. */
function changePage(disk: SimulatedDisk, pgno: number, edit: (page: Uint8Array) => void): void {
  change(disk, DATABASE, (bytes) => {
    const page = bytes.slice((pgno + 1) * 4096, (pgno + 2) * 4096);
    edit(page);
    if (page.some((byte) => byte !== 0)) sealPages(new Int32Array(page.buffer), 0, 1, 4096, pgno);
    bytes.set(page, (pgno + 1) * 4096);
  });
}

function damageSegment(disk: SimulatedDisk, name: string, isec: number): void {
  change(disk, `${LOGS}/${name}`, (bytes) => bytes.fill(0x5a, isec * SEGMENT + 100, isec * SEGMENT + 200));
}

describeWithCorpus('recovery with logs that are not all there', () => {
  it('no log at all', async () => {
    const disk = crashed();
    for (const name of disk.readdir(LOGS).filter((one) => one.endsWith('.log')))
      disk.unlink(`${LOGS}/${name}`);
    await expectUnharmed(disk, '-528 JET_errMissingLogFile');
  });

  it('the current log missing, and none in preparation', async () => {
    const disk = crashed();
    disk.unlink(`${LOGS}/SRU.log`);
    await expectUnharmed(disk, '-528 JET_errMissingLogFile');
    await expectUnharmed(disk, '-543 JET_errRequiredLogFilesMissing', { acceptLoss: true });
  });

  it('the current log missing with one in preparation, which the database required', async () => {
    const disk = crashed();
    disk.unlink(`${LOGS}/SRU.log`);
    writeFile(disk, `${LOGS}/SRUtmp.log`, new Uint8Array(16 * SEGMENT));
    await expectUnharmed(disk, '-543 JET_errRequiredLogFilesMissing');
  });

  it('a middle log missing', async () => {
    const disk = crashed();
    disk.unlink(`${LOGS}/SRU00005.log`);
    await expectUnharmed(disk, '-528 JET_errMissingLogFile');
    await expectUnharmed(disk, '-528 JET_errMissingLogFile', { acceptLoss: true });
  });

  it('the lowest required log missing, with and without a checkpoint that names it', async () => {
    const disk = crashed();
    disk.unlink(`${LOGS}/SRU00003.log`);
    await expectUnharmed(disk, '-528 JET_errMissingLogFile');
    disk.unlink(`${LOGS}/SRU.chk`);
    await expectUnharmed(disk, '-543 JET_errRequiredLogFilesMissing');
  });

  it('a checkpoint behind the end of the stream: an error, or with consent the loss of what lay between', async () => {
    const disk = crashed();
    moveCheckpoint(disk, 12);
    await expectUnharmed(disk, '-509 JET_errMissingPreviousLogFile');
    const result = await recover(environmentOf(disk), options({ acceptLoss: true }));
    expect([result.started?.generation, result.warning, result.lost]).toEqual([
      3,
      'JET_wrnCommittedLogFilesLost',
      { low: 10, high: 12 },
    ]);
    expect(judgeDatabase(disk, DATABASE).header.state).toBe(DATABASE_STATE.cleanShutdown);
    expect(await outcome(disk)).toBe('done');
  });

  it('a required generation that no log reaches', async () => {
    const disk = crashed();
    changeHeader(disk, { genMaxRequired: 10, genMaxCommitted: 10 });
    await expectUnharmed(disk, '-543 JET_errRequiredLogFilesMissing');
    await expectUnharmed(disk, '-543 JET_errRequiredLogFilesMissing', { acceptLoss: true });
  });

  it('a committed generation that no log reaches: an error, or with consent a warning', async () => {
    const disk = crashed();
    changeHeader(disk, { genMaxCommitted: 11 });
    await expectUnharmed(disk, '-582 JET_errCommittedLogFilesMissing');
    const result = await recover(environmentOf(disk), options({ acceptLoss: true }));
    expect([result.warning, result.lost]).toEqual(['JET_wrnCommittedLogFilesLost', { low: 10, high: 11 }]);
    expect(judgeDatabase(disk, DATABASE).header.state).toBe(DATABASE_STATE.cleanShutdown);
  });

  it('the required log replaced by another one of the same generation', async () => {
    const disk = crashed();
    changeHeader(disk, { logtimeGenMaxCommitted: logtimeOf(Date.UTC(2021, 0, 1)) });
    await expectUnharmed(disk, '-543 JET_errRequiredLogFilesMissing');
  });
});

describeWithCorpus('recovery with logs that do not belong together', () => {
  it('a log of another stream', async () => {
    const disk = crashed();
    changeLogHeader(disk, 'SRU00005.log', { signLog: FOREIGN });
    await expectUnharmed(disk, '-530 JET_errBadLogSignature');
  });

  it('a real log of another stream, which has another number and time, too', async () => {
    const disk = crashed();
    const foreign = readFile(diskOfCorpus('recovery', 'srum-dirty'), `${LOGS}/SRU0004E.log`);
    writeFile(disk, `${LOGS}/SRU00005.log`, foreign);
    await expectUnharmed(disk, '-530 JET_errBadLogSignature');
  });

  it('a log of an older stream in front of all that counts: it is left alone', async () => {
    const disk = diskOfCorpus('recovery', 'srum-dirty');
    const foreign = readFile(crashed(), `${LOGS}/SRU00003.log`);
    writeFile(disk, `${LOGS}/SRU00003.log`, foreign);
    expect(await outcome(disk)).toBe('done');
    expect(readFile(disk, `${LOGS}/SRU00003.log`)).toEqual(foreign);
    expect(openDatabaseReader(disk, DATABASE).header.state).toBe(DATABASE_STATE.cleanShutdown);

    // Without the checkpoint, it is where redo would start.
    const blind = diskOfCorpus('recovery', 'srum-dirty');
    blind.unlink(`${LOGS}/SRU.chk`);
    writeFile(blind, `${LOGS}/SRU00003.log`, foreign);
    await expectUnharmed(blind, '-530 JET_errBadLogSignature');
  });

  it('an archived log behind the current one: an error, or with consent it is removed', async () => {
    const disk = crashed();
    const foreign = readFile(diskOfCorpus('recovery', 'srum-dirty'), `${LOGS}/SRU00051.log`);
    writeFile(disk, `${LOGS}/SRU00051.log`, foreign);
    await expectUnharmed(disk, '-528 JET_errMissingLogFile');
    const result = await recover(environmentOf(disk), options({ acceptLoss: true }));
    expect([result.warning, result.lost]).toEqual([
      'JET_wrnCommittedLogFilesRemoved',
      { low: 10, high: 0x51 },
    ]);
    expect(judgeDatabase(disk, DATABASE).header.state).toBe(DATABASE_STATE.cleanShutdown);
  });

  it('a log that was not begun behind the one before it', async () => {
    const disk = crashed();
    changeLogHeader(disk, 'SRU00005.log', { tmPrevGen: logtimeOf(Date.UTC(2021, 0, 1)) });
    await expectUnharmed(disk, '-515 JET_errInvalidLogSequence');
  });

  it('a log whose predecessor held other data', async () => {
    const disk = crashed();
    changeLogHeader(disk, 'SRU00005.log', { checksumPrevLogAllSegments: 4711n });
    await expectUnharmed(disk, '-590 JET_errLogSequenceChecksumMismatch');
  });

  it('a log under the name of another generation', async () => {
    const disk = crashed();
    changeLogHeader(disk, 'SRU00005.log', { generation: 6 });
    await expectUnharmed(disk, '-513 JET_errLogGenerationMismatch');
  });

  it('a log that is shorter than its header says', async () => {
    const disk = crashed();
    writeFile(disk, `${LOGS}/SRU00005.log`, readFile(disk, `${LOGS}/SRU00005.log`).slice(0, 15 * SEGMENT));
    await expectUnharmed(disk, '-541 JET_errLogFileSizeMismatch');
  });

  it('logs for another page size than the caller gives', async () => {
    await expectUnharmed(crashed(), '-1213 JET_errPageSizeMismatch', { pageSize: 8192 });
  });

  it('logs of a newer format', async () => {
    const disk = crashed();
    changeLogHeader(disk, 'SRU00005.log', { updateMajor: 9000 });
    await expectUnharmed(disk, '-514 JET_errBadLogVersion');
  });
});

describeWithCorpus('recovery with damaged logs', () => {
  it('a damaged segment in the middle of a required log', async () => {
    const disk = crashed();
    damageSegment(disk, 'SRU00005.log', 7);
    await expectUnharmed(disk, '-501 JET_errLogFileCorrupt');
    await expectUnharmed(disk, '-501 JET_errLogFileCorrupt', { acceptLoss: true });
  });

  it('a damaged first log, in front of the record that attaches the database: nothing is left to go on with', async () => {
    const disk = crashed();
    damageSegment(disk, 'SRU00003.log', 1);
    await expectUnharmed(disk, '-501 JET_errLogFileCorrupt', { acceptLoss: true });
  });

  it('a damaged header of a required log', async () => {
    const disk = crashed();
    change(disk, `${LOGS}/SRU00005.log`, (bytes) => bytes.fill(0, 0, 64));
    await expectUnharmed(disk, '-501 JET_errLogFileCorrupt');
  });

  it('a flipped bit in a segment is corrected', async () => {
    const disk = crashed();
    change(disk, `${LOGS}/SRU00005.log`, (bytes) => {
      bytes[7 * SEGMENT + 1000] = (bytes[7 * SEGMENT + 1000] ?? 0) ^ 4;
    });
    await expectRecovered(disk);
  });

  it('a damaged log that is only committed: an error, or with consent it is cut off', async () => {
    const disk = crashed();
    changeHeader(disk, { genMaxRequired: 8, genMaxCommitted: 9 });
    damageSegment(disk, 'SRU.log', 2);
    await expectUnharmed(disk, '-586 JET_errCommittedLogFileCorrupt');
  });

  it('data behind the end of the log', async () => {
    const disk = crashed();
    change(disk, `${LOGS}/SRU.log`, (bytes) => {
      const segment = bytes.slice(3 * SEGMENT, 4 * SEGMENT);
      new DataView(segment.buffer).setUint16(10, 6, true);
      sealPages(new Int32Array(segment.buffer), 0, 1, SEGMENT, 6);
      bytes.set(segment, 6 * SEGMENT);
    });
    await expectUnharmed(disk, '-501 JET_errLogFileCorrupt');
  });

  it('a torn last segment is taken from its shadow and written back', async () => {
    const disk = crashed();
    // The last valid segment is 3; give it a shadow, then tear it.
    change(disk, `${LOGS}/SRU.log`, (bytes) => {
      bytes.copyWithin(4 * SEGMENT, 3 * SEGMENT, 4 * SEGMENT);
      bytes.fill(0, 3 * SEGMENT + 512, 4 * SEGMENT);
    });
    const whole = crashed();
    await expectRecovered(disk);
    const segment = (of: SimulatedDisk): Buffer =>
      Buffer.from(readFile(of, `${LOGS}/SRU.log`).subarray(3 * SEGMENT, 4 * SEGMENT));
    expect(segment(disk).equals(segment(whole))).toBe(true);
    const log: LogReader = openLog(disk, `${LOGS}/SRU.log`);
    expect(log.verify().damage).toBeUndefined();
    log.close();
  });

  it('a torn last segment whose shadow is damaged too', async () => {
    const disk = crashed();
    change(disk, `${LOGS}/SRU.log`, (bytes) => {
      bytes.copyWithin(4 * SEGMENT, 3 * SEGMENT, 4 * SEGMENT);
      bytes.fill(0x5a, 3 * SEGMENT + 512, 3 * SEGMENT + 700);
      bytes.fill(0x5a, 4 * SEGMENT + 512, 4 * SEGMENT + 700);
    });
    await expectUnharmed(disk, '-501 JET_errLogFileCorrupt');
  });

  it('leftovers of an earlier life behind the end are no data', async () => {
    const disk = crashed();
    change(disk, `${LOGS}/SRU.log`, (bytes) => {
      const old = readFile(disk, `${LOGS}/SRU00004.log`);
      bytes.set(old.subarray(9 * SEGMENT, 12 * SEGMENT), 9 * SEGMENT);
    });
    await expectRecovered(disk);
  });
});

describeWithCorpus('recovery with any checkpoint', () => {
  it.each<[string, (disk: SimulatedDisk) => void]>([
    ['missing', (disk) => disk.unlink(`${LOGS}/SRU.chk`)],
    ['its first copy damaged', (disk) => change(disk, `${LOGS}/SRU.chk`, (bytes) => bytes.fill(0, 0, 64))],
    ['both copies damaged', (disk) => change(disk, `${LOGS}/SRU.chk`, (bytes) => bytes.fill(1))],
    ['empty', (disk) => writeFile(disk, `${LOGS}/SRU.chk`, new Uint8Array(0))],
    [
      'of another stream',
      (disk) =>
        writeFile(
          disk,
          `${LOGS}/SRU.chk`,
          readFile(diskOfCorpus('recovery', 'srum-dirty'), `${LOGS}/SRU.chk`),
        ),
    ],
    ['of a database', (disk) => writeFile(disk, `${LOGS}/SRU.chk`, readFile(disk, DATABASE).slice(0, 8192))],
  ])('%s', async (_, edit) => {
    const disk = crashed();
    edit(disk);
    await expectRecovered(disk);
  });

  it('lies in the system path, and a new one is written there', async () => {
    const disk = crashed();
    await expectRecovered(disk, { systemPath: OUT });
    expect(disk.exists(`${OUT}/SRU.chk`)).toBe(true);
    expect(await outcome(disk, { systemPath: OUT })).toBe('done');
  });

  it('behind what a database requires: its header counts', async () => {
    const disk = crashed();
    moveCheckpoint(disk, 6);
    const result = await recover(environmentOf(disk), options());
    expect([result.started?.generation, result.startReason]).toEqual([3, 'required']);
    expect(judgeDatabase(disk, DATABASE).header.state).toBe(DATABASE_STATE.cleanShutdown);
    expect((await recover(environmentOf(disk), options())).nothingToDo).toBe(true);
  });

  it('at the end of a stream that ended cleanly, with a database from before', async () => {
    const disk = diskOfCorpus('recovery', 'srum-clean');
    const clean = readFile(disk, DATABASE);
    expect((await recover(environmentOf(disk), options())).nothingToDo).toBe(true);
    writeFile(disk, DATABASE, readFile(crashed(), DATABASE));
    const logs = snapshot(disk, LOGS);
    await expectRecovered(disk);
    expect(readFile(disk, DATABASE).length).toBe(clean.length);
    expect(changedFiles(logs, snapshot(disk, LOGS))).not.toContain('SRU.log');
    expect((await recover(environmentOf(disk), options())).nothingToDo).toBe(true);
  });

  it('a system path that does not exist', async () => {
    await expectUnharmed(crashed(), '-1024 JET_errInvalidSystemPath', { systemPath: '/nowhere' });
  });
});

describeWithCorpus('recovery with databases that are not what the log means', () => {
  it('a missing database: an error, or with consent it is left out', async () => {
    const disk = crashed();
    disk.unlink(DATABASE);
    await expectUnharmed(disk, '-1216 JET_errAttachedDatabaseMismatch');
    const result = await recover(environmentOf(disk), options({ ignoreMissing: true }));
    expect(result.databases.map(({ action, reason }) => [action, reason])).toEqual([['deferred', 'missing']]);
    expect(disk.exists(DATABASE)).toBe(false);
  });

  it('no directory given: the logged Windows path leads nowhere here', async () => {
    await expectUnharmed(crashed(), '-1216 JET_errAttachedDatabaseMismatch', { databasePath: undefined });
  });

  it.each<[string, HeaderChanges]>([
    ['another stream', { signLog: FOREIGN }],
    ['another database', { signDb: FOREIGN }],
    ['a later attachment', { lgposAttach: { generation: 20, isec: 1, ib: 0 } }],
    ['a later clean state', { lgposConsistent: { generation: 20, isec: 1, ib: 0 } }],
    ['unfinished creation', { state: DATABASE_STATE.justCreated }],
  ])('a database of %s is not touched', async (_, changes) => {
    const disk = crashed();
    changeHeader(disk, changes);
    await expectUnharmed(disk, '-1216 JET_errAttachedDatabaseMismatch');
  });

  it.each<[string, HeaderChanges, string]>([
    [
      'an older clean state',
      { lgposConsistent: { generation: 2, isec: 1, ib: 0 } },
      '-551 JET_errConsistentTimeMismatch',
    ],
    ['an unfinished reseed', { state: 6 }, '-1226 JET_errDatabaseIncompleteIncrementalReseed'],
    ['an unfinished revert', { state: 8 }, '-1935 JET_errDatabaseIncompleteRevert'],
    ['a state that does not exist', { state: 4711 }, '-1206 JET_errDatabaseCorrupted'],
    [
      'an unrecovered streaming backup',
      {
        bkinfoFullCur: { mark: { generation: 3, isec: 1, ib: 0 }, time: undefined, genLow: 3, genHigh: 0 },
      },
      '-544 JET_errSoftRecoveryOnBackupDatabase',
    ],
    ['logs that begin too late', { genMinRequired: 2 }, '-543 JET_errRequiredLogFilesMissing'],
  ])('a database in %s', async (_, changes, error) => {
    const disk = crashed();
    changeHeader(disk, changes);
    await expectUnharmed(disk, error);
  });

  it('both headers damaged', async () => {
    const disk = crashed();
    change(disk, DATABASE, (bytes) => {
      bytes[20] = 99;
      bytes[4096 + 20] = 99;
    });
    await expectUnharmed(disk, '-1018 JET_errReadVerifyFailure');
  });

  it('a damaged primary header: the shadow serves, and both are good afterwards', async () => {
    const disk = crashed();
    change(disk, DATABASE, (bytes) => bytes.fill(0, 0, 100));
    await expectRecovered(disk);
    const reader = openDatabaseReader(disk, DATABASE);
    expect([reader.election.source, reader.election.identical]).toEqual(['primary', true]);
    reader.close();
  });

  it('a moved database, found by its old path, by its signature, or by its directory', async () => {
    const logged = 'C:\\Windows\\System32\\SRU\\SRUDB.dat';
    const moves: Partial<RecoveryOptions>[] = [
      { databasePath: undefined, relocations: [{ path: `${OUT}/moved.dat`, loggedPath: logged }] },
      { databasePath: undefined, relocations: [{ path: `${OUT}/moved.dat` }] },
    ];
    for (const move of moves) {
      const disk = crashed();
      disk.rename(DATABASE, `${OUT}/moved.dat`);
      await expectRecovered(disk, move, `${OUT}/moved.dat`);
    }
    const disk = crashed();
    disk.rename(DATABASE, `${OUT}/SRUDB.dat`);
    await expectRecovered(disk, { databasePath: OUT }, `${OUT}/SRUDB.dat`);
  });

  it('a database that the map does not name is left out', async () => {
    const disk = crashed();
    const before = readFile(disk, DATABASE);
    const result = await recover(
      environmentOf(disk),
      options({
        databasePath: undefined,
        relocations: [{ path: `${OUT}/other.edb`, loggedPath: 'D:\\other.edb' }],
      }),
    );
    expect(result.databases.map(({ action, reason }) => [action, reason])).toEqual([
      ['deferred', 'notInMap'],
    ]);
    expect(readFile(disk, DATABASE)).toEqual(before);
  });

  it('a database that another session has open', async () => {
    const disk = crashed();
    const lock = disk.lock(DATABASE, { role: 'store' });
    const before = snapshot(disk, LOGS);
    expect(await outcome(disk)).toBe('-1032 JET_errFileAccessDenied');
    expect(changedFiles(before, snapshot(disk, LOGS))).toEqual([]);
    lock.release();
    await expectRecovered(disk);
  });

  it('a stream that another session recovers', async () => {
    const disk = crashed();
    const lock = disk.lock(`${LOGS}/SRU`, { role: 'eseutil' });
    await expectUnharmed(disk, '-1032 JET_errFileAccessDenied');
    lock.release();
  });
});

describeWithCorpus('recovery with pages that are not what the log expects', () => {
  const stampOf = (disk: SimulatedDisk, pgno: number): number =>
    new DataView(readFile(disk, DATABASE).buffer).getUint32((pgno + 1) * 4096 + 8, true);

  it('a page older than the log continues: a lost write', async () => {
    const disk = crashed();
    // Page 29, the object ids, is older than the attachment and changed by later generations.
    changePage(disk, 29, (page) => new DataView(page.buffer).setUint32(8, 70, true));
    expect(await outcome(disk)).toBe('-566 JET_errDbTimeTooOld');
    expect(openDatabaseReader(disk, DATABASE).header.state).toBe(DATABASE_STATE.dirtyShutdown);
  });

  it('a page with a change that the log does not know', async () => {
    const disk = crashed();
    expect(stampOf(disk, 29)).toBeGreaterThan(2500);
    changePage(disk, 29, (page) => new DataView(page.buffer).setUint32(8, 2601, true));
    expect(await outcome(disk)).toBe('-567 JET_errDbTimeTooNew');
  });

  it('a page that is newer than the highest required log', async () => {
    const disk = crashed();
    changeHeader(disk, {
      genMaxRequired: 8,
      genMaxCommitted: 8,
      logtimeGenMaxRequired: undefined,
      logtimeGenMaxCommitted: undefined,
    });
    expect(await outcome(disk)).toBe('-625 JET_errDbTimeBeyondMaxRequired');
  });

  it('a page that was never written although the log changes it', async () => {
    const disk = crashed();
    changePage(disk, 29, (page) => page.fill(0));
    expect(await outcome(disk)).toBe('-1019 JET_errPageNotInitialized');
  });

  it('a file that was cut: the log extends it, but what was on its pages is gone', async () => {
    const disk = crashed();
    writeFile(disk, DATABASE, readFile(disk, DATABASE).slice(0, 20 * 4096));
    expect(await outcome(disk)).toBe('-1019 JET_errPageNotInitialized');
  });

  it('a page with a wrong checksum, and one with a single wrong bit', async () => {
    const bad = crashed();
    change(bad, DATABASE, (bytes) => bytes.fill(7, 30 * 4096 + 500, 30 * 4096 + 600));
    expect(await outcome(bad)).toBe('-1018 JET_errReadVerifyFailure');
    const flipped = crashed();
    change(flipped, DATABASE, (bytes) => {
      bytes[30 * 4096 + 500] = (bytes[30 * 4096 + 500] ?? 0) ^ 16;
    });
    expect(await outcome(flipped)).toBe('done');
  });
});

describeWithCorpus('recovery with other ends', () => {
  it('a plan changes nothing and says what will happen', async () => {
    const disk = crashed();
    const before = snapshot(disk, LOGS);
    const plan = await planRecovery(environmentOf(disk), options());
    expect(changedFiles(before, snapshot(disk, LOGS))).toEqual([]);
    expect(plan).toMatchObject({
      planned: true,
      nothingToDo: false,
      records: 4174,
      range: { low: 3, high: 9 },
    });
    expect(plan.databases.map(({ path, stateBefore }) => [path, stateBefore])).toEqual([[DATABASE, 2]]);
  });

  it('stopped before undo, at the end or after a generation, and then gone through with', async () => {
    for (const generation of [undefined, 5]) {
      const disk = crashed();
      const logs = snapshot(disk, LOGS);
      const result = await recover(environmentOf(disk), options({ stopBeforeUndo: { generation } }));
      expect([result.stoppedBeforeUndo, result.stopError]).toEqual([true, 'JET_errRecoveredWithoutUndo']);
      expect(result.range.high).toBe(generation ?? 9);
      const header = openDatabaseReader(disk, DATABASE).header;
      // At the end all is on the pages. Behind generation 5 a transaction is open that began in generation 3.
      const first = generation === undefined ? 9 : 3;
      expect([header.state, header.genMinRequired, header.genMaxRequired]).toEqual([2, first, 9]);
      expect(changedFiles(logs, snapshot(disk, LOGS)).filter((name) => name.endsWith('.log'))).toEqual([]);
      await expectRecovered(disk);
    }
  });

  it('stopped before undo at a generation in front of the checkpoint', async () => {
    await expectUnharmed(crashed(), '-579 JET_errRecoveredWithoutUndo', {
      stopBeforeUndo: { generation: 2 },
    });
  });

  it('with the archived logs deleted after success', async () => {
    const disk = crashed();
    await expectRecovered(disk, { deleteLogs: true });
    expect(disk.readdir(LOGS).filter((name) => name.endsWith('.log'))).toEqual(['SRU.log']);
    expect(await outcome(disk)).toBe('done');
  });

  it('cancelled: the same recovery can be started again', async () => {
    const disk = crashed();
    const controller = new AbortController();
    let logs = 0;
    const call = recover(
      environmentOf(disk),
      options({
        signal: controller.signal,
        onEvent: ({ kind }) => {
          if (kind === 'openLog' && ++logs === 4) controller.abort(new Error('enough'));
        },
      }),
    );
    await expect(call).rejects.toThrow('enough');
    await expectRecovered(disk);
  });

  it.each(['SRUDB.dat', 'SRU.log', 'SRU.chk'])(
    'with %s that may only be read: nothing is changed',
    async (name) => {
      const disk = crashed();
      disk.faults = (call) =>
        call.operation === 'open' && call.path === `${LOGS}/${name}` && call.mode === 'write'
          ? { kind: 'error', error: 'JET_errDatabaseFileReadOnly' }
          : undefined;
      await expectUnharmed(disk, '-1008 JET_errDatabaseFileReadOnly');
      disk.faults = undefined;
      await expectRecovered(disk);
    },
  );

  it('on a full disk: an error, and after space was made the same call succeeds', async () => {
    const disk = crashed();
    disk.unlink(`${LOGS}/SRU.chk`);
    disk.capacity = 0;
    expect(await outcome(disk)).toMatch(/JET_err(LogDiskFull|DiskFull)/);
    disk.capacity = Number.POSITIVE_INFINITY;
    await expectRecovered(disk);
  });
});

describe('recovery of a stream of one log that has ended', () => {
  it('takes up a copy of the database from before, which that log created', async () => {
    const disk = createSimulatedDisk({ seed: 1 });
    disk.mkdir(LAB);
    const instance = openLabInstance(disk, 1, { pageSize: 4096 });
    const log: ProgramLog = { states: [undefined], durable: 0 };
    runProgram(instance, instance.createDatabase(LAB_DATABASE), { seed: 1, transactions: 10, log });
    const left = disk.fork();
    const old = readFile(left, LAB_DATABASE);
    const place = { baseName: 'E00', logPath: LAB, systemPath: LAB, databasePath: LAB };
    const run = (): ReturnType<typeof recover> => recover(environmentOf(left), place);
    await run();
    const rows = programRows(left, LAB_DATABASE);
    expect((await run()).nothingToDo).toBe(true);
    writeFile(left, LAB_DATABASE, old);
    expect((await run()).startReason).toBe('required');
    expect(judgeDatabase(left, LAB_DATABASE).header.state).toBe(DATABASE_STATE.cleanShutdown);
    expect(programRows(left, LAB_DATABASE)).toEqual(rows);
    expect((await run()).nothingToDo).toBe(true);
  });
});

describe('header offsets that the tests above rely on', () => {
  it('are those of the format specification, chapter 1.2.2', () => {
    expect([HEADER_LAYOUT.state[0], HEADER_LAYOUT.genMaxRequired[0]]).toEqual([52, 300]);
  });
});
