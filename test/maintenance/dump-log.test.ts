import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { decodeLogHeader, encodeLogHeader } from '../../src/format/log-header.js';
import { nodeFileSystem } from '../../src/io/node-file-system.js';
import { createSimulatedDisk, type SimulatedDisk } from '../../src/io/simulated-disk.js';
import { dumpCheckpoint } from '../../src/maintenance/dump-checkpoint.js';
import { dumpLog, dumpLogStream } from '../../src/maintenance/dump-log.js';
import { verifyCheckpoint, verifyLog, verifyLogStream } from '../../src/maintenance/verify-log.js';
import { corpusJson, corpusPath, describeWithCorpus } from '../corpus.js';
import { jetErrorOf, putFile } from '../support/files.js';
import { begin, buildLog, segmentOf } from '../support/log-builder.js';

/** The histogram of log B (format specification, chapter 4.12). */
const SECEDIT_HISTOGRAM = {
  Insert: 621,
  Commit: 473,
  Begin: 354,
  FlagDelete: 206,
  Delete: 203,
  Begin0: 154,
  Commit0: 154,
  NOP2: 138,
  SetExternalHeader: 43,
  Split2: 37,
  MacroBegin: 32,
  MacroCommit: 32,
  MacroInfo: 32,
  Replace: 29,
  Merge2: 22,
  CreateSingleExtentFDP: 15,
  ReplaceD: 10,
  CreateMultipleExtentFDP: 5,
  DetachDB: 3,
  AttachDB: 2,
  EmptyTree: 2,
  Init2: 1,
  CreateDB: 1,
  ExtendDB: 1,
  CreateDBFinish: 1,
  ConvertFDP2: 1,
  FlagInsertAndReplaceData: 1,
};

describe('a log of format 7', () => {
  const bytes = new Uint8Array(64 * 1024);
  const modern = decodeLogHeader(buildLog([begin(1)], { generation: 1 }).subarray(0, 4096));
  const old = { major: 7, minor: 3704, updateMajor: 8, updateMinor: 0, cbSec: 512, csecHeader: 8 };
  bytes.set(encodeLogHeader({ ...modern, ...old, csecLGFile: bytes.length / 512 }));
  const disk = createSimulatedDisk();
  putFile(disk, '/E0000001.log', bytes);
  const problem = { kind: 'unverifiable' };

  it('shows its header, and says that its records cannot be read', () => {
    const shown: string[] = [];
    const { report, error } = dumpLog(disk, '/E0000001.log', {
      onHeader: ({ formatVersion }) => shown.push(formatVersion ?? ''),
    });
    expect(shown).toEqual(['7.3704.8.0']);
    expect(report).toMatchObject({ status: 'damaged', generation: 1, sectorSize: 512, problem });
    expect(error).toMatchObject({ name: 'JET_errBadLogVersion', file: '/E0000001.log' });
  });

  it('does so in a stream', () => {
    const { report, error } = dumpLogStream(disk, '/', 'E00');
    expect(report.logs).toMatchObject([
      { status: 'damaged', generation: 1, formatVersion: '7.3704.8.0', problem },
    ]);
    expect(error).toMatchObject({ name: 'JET_errBadLogVersion', file: '/E0000001.log' });
  });
});

describeWithCorpus('the dump of a genuine log', () => {
  const path = corpusPath('logs', 'secedit', 'edb.log');

  it('has the fields of its header, of its checkpoint and of its segments', () => {
    const { report, error } = dumpLog(nodeFileSystem, path);
    expect(error).toBeUndefined();
    expect(report).toEqual({
      path,
      name: 'edb.log',
      generation: 1,
      current: true,
      status: 'ok',
      timeCreate: '2024-06-26T17:34:23.234Z',
      timePrevGen: null,
      formatVersion: '8.4000.5.16',
      lastLgpos: '00000001,009E,0000',
      segments: { valid: 157, empty: 98, tornTail: false, corrected: 0 },
      baseName: 'edb',
      signLog: { random: 3369478985, time: '2024-06-26T17:34:23.234Z', computer: '' },
      pageSize: 4096,
      sectorSize: 4096,
      sectorMismatch: 0,
      systemPath: 'C:\\WINDOWS\\Security\\Database\\',
      logPath: 'C:\\WINDOWS\\Security\\Database\\',
      env: {
        circularLogging: true,
        sessions: 64,
        openTables: 300,
        versionPages: 128,
        cursors: 1024,
        logBuffers: 126,
        logFileSectors: 256,
        buffers: 496,
      },
      efvEngine: 9180,
      headerChecksum: 0x1c203f54,
      checkpointAtCreation: '00000001,0001,0000',
      checkpoint: '00000001,009E,0000',
      prevSegmentsChecksum: '0',
      segmentsChecksum: String(0x183d67c21fe0f86bn),
      attachments: [],
      pageReferences: 1248,
      reserve: false,
      circularLogging: { current: true, past: false },
    });
  });

  it('counts the records by type and the pages by database', () => {
    const { report } = dumpLog(nodeFileSystem, path, { recordTypes: true, pageIo: true });
    const types = report.recordTypes ?? [];
    expect(Object.fromEntries(types.map(({ name, count }) => [name, count]))).toEqual(SECEDIT_HISTOGRAM);
    expect(types.reduce((total, { bytes }) => total + bytes, 0)).toBe(636602);
    expect(types.map(({ lrtyp }) => lrtyp)).toEqual(
      [...types.map(({ lrtyp }) => lrtyp)].sort((a, b) => a - b),
    );
    // The log begins with the creation of the database: no page is read, all 53 are made.
    expect(report.pageIo).toMatchObject([{ dbid: 1, pageReferences: 1248, pages: 53, pagesRead: 0 }]);
    expect(report.pageIo?.[0]?.pagesWritten).toBe(53);
  });

  it('hands out the header first, then every record in its place', () => {
    const facts = readFileSync(`${path}.records.jsonl`, 'utf8').trimEnd().split('\n');
    const events: string[] = [];
    dumpLog(nodeFileSystem, path, {
      onHeader: ({ generation }) => events.push(`header ${generation}`),
      onRecord: ({ record, lgpos }) => events.push(`${record.name} ${lgpos.isec},${lgpos.ib}`),
    });
    expect(events[0]).toBe('header 1');
    expect(events.length).toBe(1 + facts.length);
    expect(events[2]).toBe('CreateDB 1,616');
  });

  it('lists as many records as are wanted', () => {
    const facts = readFileSync(`${path}.records.jsonl`, 'utf8').trimEnd().split('\n');
    const some = dumpLog(nodeFileSystem, path, { recordsMax: 10 }).report;
    expect(some.records).toEqual(facts.slice(0, 10).map((line) => JSON.parse(line)));
    expect(some.recordsTruncated).toBe(true);
    const all = dumpLog(nodeFileSystem, path, { recordsMax: 2573 }).report;
    expect(all.records).toHaveLength(2573);
    expect(all.recordsTruncated).toBeUndefined();
  });

  it('shows the databases that were attached when the log was begun', () => {
    const { report } = dumpLog(nodeFileSystem, corpusPath('recovery', 'srum-clean', 'SRU00004.log'));
    expect(report).toMatchObject({
      generation: 4,
      current: false,
      formatVersion: '8.4000.60.140',
      timePrevGen: '2022-02-05T22:18:49.148Z',
      prevSegmentsChecksum: String(0x1674698b81d77adbn),
      segmentsChecksum: String(0x75477547d0e39870n),
      circularLogging: { current: true, past: true },
      checkpoint: '00000009,0007,0000',
    });
    expect(report.attachments).toEqual([
      {
        dbid: 1,
        path: 'C:\\Windows\\system32\\SRU\\SRUDB.dat',
        sparse: false,
        dbtime: '1054',
        objidLast: 15,
        cpgMax: 0,
        lgposAttach: '00000003,0007,0268',
        lgposConsistent: '00000003,0005,0036',
        signDb: { random: 2769776398, time: '2022-02-05T22:17:47.832Z', computer: '' },
      },
    ]);
  });

  it('covers what lies before the damage', () => {
    const file = new Uint8Array(readFileSync(path));
    file.set([1, 2, 3, 4, 5], 80 * 4096 + 1000);
    const { report, error } = dumpLog(diskOf({ 'edb.log': file }), '/edb.log', { recordTypes: true });
    expect(error).toMatchObject({ name: 'JET_errLogFileCorrupt', lgpos: { generation: 1, isec: 80, ib: 0 } });
    expect(report).toMatchObject({
      status: 'damaged',
      error: { code: -501, name: 'JET_errLogFileCorrupt', lgpos: '00000001,0050,0000' },
      lastLgpos: '00000001,0050,0000',
      segments: { valid: 79 },
      checkpoint: null,
    });
    expect(report.recordTypes?.length).toBeGreaterThan(10);
  });

  it('has the header of a log that was cut off', () => {
    const file = readFileSync(path).subarray(0, 300000);
    const { report, error } = dumpLog(diskOf({ 'edb.log': file }), '/edb.log');
    expect(error?.name).toBe('JET_errLogFileSizeMismatch');
    expect(report).toMatchObject({ status: 'damaged', generation: 1, error: { code: -541 } });
    expect(report.segments).toBeUndefined();
  });

  it('is refused for another kind of file', () => {
    const dump = (...parts: string[]) => jetErrorOf(() => dumpLog(nodeFileSystem, corpusPath(...parts)));
    expect(dump('databases', 'basic.edb')).toBe('JET_errFileInvalidType');
    expect(dump('README.md')).toBe('JET_errLogFileCorrupt');
    expect(dump('databases')).toBe('JET_errFileInvalidType');
    expect(dump('nowhere.log')).toBe('JET_errFileNotFound');
    expect(dump('logs', 'secedit', 'edbtmp.log')).toBe('JET_errLogFileCorrupt');
  });
});

function diskOf(files: { readonly [name: string]: Uint8Array }): SimulatedDisk {
  const disk = createSimulatedDisk();
  for (const [name, contents] of Object.entries(files)) putFile(disk, `/${name}`, contents);
  return disk;
}

describeWithCorpus('the dump of a genuine stream', () => {
  const folder = corpusPath('recovery', 'srum-clean');

  /** The archived logs and the current one, but not those named. */
  const without = (...names: string[]): SimulatedDisk =>
    diskOf(
      Object.fromEntries(
        ['SRU00003', 'SRU00004', 'SRU00005', 'SRU00006', 'SRU00007', 'SRU00008', 'SRU']
          .map((name) => `${name}.log`)
          .filter((name) => !names.includes(name))
          .map((name) => [name, readFileSync(join(folder, name))]),
      ),
    );

  it('lists every log in order, the current one last', () => {
    const { report, error } = dumpLogStream(nodeFileSystem, folder, 'SRU');
    expect(error).toBeUndefined();
    expect(report).toMatchObject({
      baseName: 'SRU',
      directory: folder,
      extension: '.log',
      digits: [5],
      range: { low: 3, high: 9 },
      checked: { low: 3, high: 9 },
      missing: [],
      damaged: [],
      signLog: { random: 338689357, time: '2022-02-05T22:17:47.817Z', computer: '' },
    });
    expect(
      report.logs.map(({ name, generation, current, status }) => [name, generation, current, status]),
    ).toEqual([
      ['SRU00003.log', 3, false, 'ok'],
      ['SRU00004.log', 4, false, 'ok'],
      ['SRU00005.log', 5, false, 'ok'],
      ['SRU00006.log', 6, false, 'ok'],
      ['SRU00007.log', 7, false, 'ok'],
      ['SRU00008.log', 8, false, 'ok'],
      ['SRU.log', 9, true, 'ok'],
    ]);
    expect(report.logs[0]).toMatchObject({
      lastLgpos: '00000003,000F,0000',
      segments: { valid: 14, empty: 1, tornTail: false, corrected: 0 },
    });
  });

  it('has missing logs in their places', () => {
    const gaps: unknown[] = [];
    const { report, error } = dumpLogStream(without('SRU00005.log', 'SRU00006.log'), '/', 'SRU', {
      onMissing: (gap, names) => gaps.push([gap, names]),
    });
    expect(error?.name).toBe('JET_errMissingLogFile');
    expect(gaps).toEqual([[{ low: 5, high: 6 }, ['SRU00005.log', 'SRU00006.log']]]);
    expect(report.missing).toEqual([{ low: 5, high: 6 }]);
    expect(report.logs.map(({ name, status }) => `${name} ${status}`)).toEqual([
      'SRU00003.log ok',
      'SRU00004.log ok',
      'SRU00005.log missing',
      'SRU00006.log missing',
      'SRU00007.log ok',
      'SRU00008.log ok',
      'SRU.log ok',
    ]);
  });

  it('tells both sides of what does not fit', () => {
    const disk = without('SRU00005.log');
    const other = new Uint8Array(readFileSync(join(folder, 'SRU00005.log')));
    // Another creation time of generation 4 in the header of generation 5.
    other[24] = 59;
    let xor = 0x89abcdef;
    const view = new DataView(other.buffer);
    for (let at = 4; at < 4096; at += 4) xor ^= view.getUint32(at, true);
    view.setUint32(0, xor >>> 0, true);
    putFile(disk, '/SRU00005.log', other);
    const { report, error } = dumpLogStream(disk, '/', 'SRU', { range: { low: 4, high: 5 } });
    expect(error?.name).toBe('JET_errInvalidLogSequence');
    expect(report).toMatchObject({ checked: { low: 4, high: 5 }, damaged: [5] });
    expect(report.logs[1]).toMatchObject({
      status: 'damaged',
      error: { code: -515 },
      problem: {
        kind: 'previousTime',
        found: '2022-02-05T19:30:59.951Z',
        expected: '2022-02-05T19:30:29.951Z',
      },
    });
  });

  it('does not list a gap of millions one by one', () => {
    const disk = without();
    putFile(disk, '/SRU7FFFFA00.log', buildLog([begin(1)], { generation: 0x7ffffa00 }));
    const { report } = dumpLogStream(disk, '/', 'SRU');
    expect(report.missing).toContainEqual({ low: 9, high: 0x7ffff9ff });
    expect(report.logs).toHaveLength(8);
  });
});

describeWithCorpus('the dump of a checkpoint', () => {
  it('has the fields of a genuine one', () => {
    const path = corpusPath('logs', 'secedit', 'edb.chk');
    const { report, error } = dumpCheckpoint(nodeFileSystem, path);
    expect(error).toBeUndefined();
    expect(report).toMatchObject({
      copies: [
        { which: 1, ok: true },
        { which: 2, ok: true },
      ],
      checkpoint: '00000001,009E,0000',
      dbConsistency: '00000001,009E,0000',
      lastFullBackupCheckpoint: '00000000,0000,0000',
      fullBackup: { lgpos: '00000000,0000,0000', time: null },
      incrementalBackup: { lgpos: '00000000,0000,0000', time: null },
      signLog: { random: 3369478985, time: '2024-06-26T17:34:23.234Z', computer: '' },
      logPath: 'C:\\WINDOWS\\Security\\Database\\',
      env: { circularLogging: true, sessions: 64, logFileSectors: 256 },
      attachListPresent: true,
      attachments: [],
    });
  });

  it.each(['srum-clean', 'srum-dirty', 'srum-crash-redo', 'srum-crash-undo'])(
    'of %s has the position of the facts',
    (set) => {
      const facts = corpusJson<{ recovery: { checkpoint: Record<string, unknown> } }>(
        'recovery',
        set,
        'facts.json',
      );
      const { report } = dumpCheckpoint(nodeFileSystem, corpusPath('recovery', set, 'SRU.chk'));
      expect({
        lgpos: report?.checkpoint,
        flags: report?.attachListPresent ? 1 : 0,
        dbConsistency: report?.dbConsistency,
      }).toEqual(facts.recovery.checkpoint);
    },
  );

  it('takes the second copy where the first is damaged, and none where both are', () => {
    const file = new Uint8Array(readFileSync(corpusPath('logs', 'secedit', 'edb.chk')));
    file[100] = 0xff;
    const disk = diskOf({ 'edb.chk': file });
    expect(dumpCheckpoint(disk, '/edb.chk').report).toMatchObject({
      copies: [
        { which: 1, ok: false },
        { which: 2, ok: true },
      ],
      checkpoint: '00000001,009E,0000',
    });
    expect(verifyCheckpoint(disk, '/edb.chk')).toMatchObject({
      error: undefined,
      report: {
        fileType: 'checkpoint',
        readBytes: 8192,
        findings: [{ code: 'CHK_ONE_BAD', severity: 'warning' }],
      },
    });
    file[4196] = 0xff;
    const both = diskOf({ 'edb.chk': file });
    expect(dumpCheckpoint(both, '/edb.chk')).toMatchObject({
      report: null,
      error: { name: 'JET_errCheckpointCorrupt', code: -533 },
    });
    expect(verifyCheckpoint(both, '/edb.chk')).toMatchObject({
      error: { name: 'JET_errCheckpointCorrupt' },
      report: { findings: [{ code: 'CHK_BOTH_BAD', severity: 'error' }] },
    });
  });

  it('is refused for a missing file, another kind of file and a cut one', () => {
    const dump = (path: string) => jetErrorOf(() => dumpCheckpoint(nodeFileSystem, path));
    expect(dump(corpusPath('nowhere.chk'))).toBe('JET_errCheckpointFileNotFound');
    expect(dump(corpusPath('logs', 'secedit', 'edb.log'))).toBe('JET_errFileInvalidType');
    expect(jetErrorOf(() => verifyCheckpoint(nodeFileSystem, corpusPath('nowhere.chk')))).toBe(
      'JET_errFileNotFound',
    );
    const cut = readFileSync(corpusPath('logs', 'secedit', 'edb.chk')).subarray(0, 4095);
    expect(dumpCheckpoint(diskOf({ 'edb.chk': cut }), '/edb.chk').error?.code).toBe(-533);
    expect(dumpCheckpoint(diskOf({ 'edb.chk': new Uint8Array(0) }), '/edb.chk').error?.code).toBe(-533);
  });
});

describe('the verification of logs', () => {
  it('finds nothing in a whole log', () => {
    const disk = diskOf({ 'E00.log': buildLog([begin(1)]) });
    expect(verifyLog(disk, '/E00.log')).toEqual({
      report: { fileType: 'log', readBytes: 65536, reads: 2, findings: [] },
      error: undefined,
    });
  });

  it('finds damage with its place, torn tails and corrected bits', () => {
    const damaged = buildLog([begin(1), begin(2)]);
    damaged.set([1, 2, 3, 4, 5], 2 * 4096 + 700);
    expect(verifyLog(diskOf({ 'E00.log': damaged }), '/E00.log')).toMatchObject({
      error: { code: -501 },
      report: {
        findings: [{ code: 'LOG_SEGMENT', severity: 'error', lgpos: '00000001,0002,0000', generation: 1 }],
      },
    });

    const torn = buildLog([begin(1)]);
    torn.set(segmentOf(torn, 1), 2 * 4096);
    torn.set([1, 2, 3, 4, 5], 4096 + 700);
    expect(verifyLog(diskOf({ 'E00.log': torn }), '/E00.log')).toMatchObject({
      error: undefined,
      report: { findings: [{ code: 'LOG_TORN', severity: 'warning' }] },
    });

    const flipped = buildLog([begin(1)]);
    flipped[5000] = 0x10;
    expect(verifyLog(diskOf({ 'E00.log': flipped }), '/E00.log')).toMatchObject({
      error: undefined,
      report: { findings: [{ code: 'LOG_SEGMENT', severity: 'warning' }] },
    });
  });

  it('finds what is wrong with a stream, each fault once', () => {
    const disk = diskOf({
      'E0000001.log': buildLog([begin(1)], { generation: 1 }),
      'E0000003.log': buildLog([begin(1)], { generation: 3 }),
      'E00.log': buildLog([begin(1)], { generation: 6 }),
    });
    const { report, error } = verifyLogStream(disk, '/', 'E00');
    expect(error?.name).toBe('JET_errMissingLogFile');
    expect(report).toMatchObject({ fileType: 'logStream', readBytes: 3 * 65536 });
    expect(report.findings.map(({ code, generation }) => [code, generation])).toEqual([
      ['LOG_GAP', 2],
      ['LOG_GAP', 6],
    ]);
    expect(report.logs?.map(({ status }) => status)).toEqual(['ok', 'missing', 'ok', 'damaged']);
  });
});
