import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { formatLgpos } from '../../src/format/ese-error.js';
import { formatLogVersion, isLogHeaderPaddingZero, type LogHeader } from '../../src/format/log-header.js';
import { logRecordName } from '../../src/format/log-record-type.js';
import { readSegmentHeader } from '../../src/format/log-segment.js';
import { nodeFileSystem } from '../../src/io/node-file-system.js';
import { logRecordLine, logRecordReport } from '../../src/maintenance/log-record-report.js';
import { lgposReport, signatureReport, timeReport } from '../../src/maintenance/report-values.js';
import { findLastRecord, type LogScan, openLog } from '../../src/recovery/log-reader.js';
import { corpusJson, corpusPath, describeWithCorpus } from '../corpus.js';

/** Facts of one log, as the independent reader wrote them. */
interface LogFacts {
  readonly bytes: number;
  readonly header: Record<string, unknown>;
  readonly segments: SegmentFacts;
  readonly summary: SummaryFacts;
}

interface SegmentFacts {
  readonly validSegments: number;
  readonly zeroSegments: number;
  readonly shadowSegments: number;
  readonly oldSegments: number;
  readonly lastValidSegment: number | null;
  readonly accumulatedChecksum: string;
  readonly lgposEnd: string;
}

interface SummaryFacts {
  readonly records: number;
  readonly bytes: number;
  readonly fragmented: number;
  readonly first: [string, string] | null;
  readonly last: [string, string] | null;
  readonly histogram: Record<string, number>;
  readonly dbEvents: readonly [string, string, readonly string[] | null, number | null][];
  readonly dbtimeRange: readonly [number, number] | null;
}

const hex = (value: number | bigint, digits: number): string => value.toString(16).padStart(digits, '0');

/** A header in the words of the facts. */
function headerAsFacts(header: LogHeader, bytes: Uint8Array): Record<string, unknown> {
  return {
    checksum: hex(header.checksum, 8),
    checksumComputed: hex(header.checksum, 8),
    generation: header.generation,
    cbSec: header.cbSec,
    csecHeader: header.csecHeader,
    csecLGFile: header.csecLGFile,
    cbPageSize: header.cbPageSize,
    tmCreate: timeReport(header.tmCreate),
    tmPrevGen: timeReport(header.tmPrevGen),
    version: formatLogVersion(header),
    signLog: signatureReport(header.signLog),
    dbmsParam: header.dbmsParam,
    fLGFlags: header.fLGFlags,
    lgposCheckpoint: lgposReport(header.lgposCheckpoint),
    bDiskSecSizeMismatch: header.bDiskSecSizeMismatch,
    checksumPrevLogAllSegments: hex(header.checksumPrevLogAllSegments, 16),
    efvEngine: header.efvEngine,
    reserved665: hex(header.reserved665, 4),
    filetype: header.filetype,
    attachments: header.attachments.map((one) => ({
      dbid: one.dbid,
      flags: one.flags,
      cbNames: one.cbNames,
      dbtime: one.dbtime,
      objidLast: one.objidLast,
      cpgMax: one.cpgMax,
      lgposAttach: lgposReport(one.lgposAttach),
      lgposConsistent: lgposReport(one.lgposConsistent),
      signDb: signatureReport(one.signDb),
      names: one.names,
    })),
    paddingZero: isLogHeaderPaddingZero(bytes),
    checksumOk: true,
    fileSizeOk: true,
  };
}

function expectScan(scan: LogScan, facts: SegmentFacts): void {
  expect(scan.damage).toBeUndefined();
  expect({
    validSegments: scan.validSegments,
    zeroSegments: scan.zeroSegments,
    shadowSegments: scan.shadowSegments,
    oldSegments: scan.staleSegments,
    lastValidSegment: scan.lastValidSegment === 0 ? null : scan.lastValidSegment,
    accumulatedChecksum: hex(scan.segmentsChecksum, 16),
    lgposEnd: lgposReport(scan.lgposEnd),
  }).toEqual({
    validSegments: facts.validSegments,
    zeroSegments: facts.zeroSegments,
    shadowSegments: facts.shadowSegments,
    oldSegments: facts.oldSegments,
    lastValidSegment: facts.lastValidSegment,
    accumulatedChecksum: facts.accumulatedChecksum,
    lgposEnd: facts.lgposEnd,
  });
}

const RECOVERY_SETS = ['srum-clean', 'srum-dirty', 'srum-crash-redo', 'srum-crash-undo'];
const DB_EVENTS = ['Init2', 'CreateDB', 'AttachDB', 'DetachDB', 'Term2', 'CreateDBFinish'];

describeWithCorpus('the logs of the recovery sets', () => {
  const logs = RECOVERY_SETS.flatMap((set) =>
    readdirSync(corpusPath('recovery', set))
      .filter((name) => /^SRU.*\.log$/.test(name) && name !== 'SRUtmp.log')
      .map((name) => ({ set, name })),
  );

  it.each(logs)('$set/$name has the header, segments and records of the facts', ({ set, name }) => {
    const path = corpusPath('recovery', set, name);
    const facts = corpusJson<{ logs: Record<string, LogFacts> }>('recovery', set, 'facts.json').logs[name];
    if (facts === undefined) throw new Error(`no facts for ${name}`);
    const log = openLog(nodeFileSystem, path);
    try {
      expect(headerAsFacts(log.header, readFileSync(path).subarray(0, 4096))).toEqual(facts.header);
      expectScan(log.verify(), facts.segments);

      const summary = { records: 0, bytes: 0, fragmented: 0 };
      const histogram: Record<string, number> = {};
      const places: [string, string][] = [];
      const dbEvents: unknown[] = [];
      const stamps: bigint[] = [];
      for (const { lgpos, fragments, record } of log.records()) {
        summary.records += 1;
        summary.bytes += record.size;
        if (fragments > 1) summary.fragmented += 1;
        histogram[record.name] = (histogram[record.name] ?? 0) + 1;
        places.push([lgposReport(lgpos), record.name]);
        if ('dbtimeBefore' in record) stamps.push(record.view.getBigUint64(record.offset + 8, true));
        if (DB_EVENTS.includes(record.name)) {
          const report = logRecordReport(record, lgpos, fragments);
          dbEvents.push([report.lgpos, report.lrtyp, report.path ?? null, report.dbid ?? null]);
        }
      }
      expectScan(log.scan(), facts.segments);
      expect(summary).toEqual({
        records: facts.summary.records,
        bytes: facts.summary.bytes,
        fragmented: facts.summary.fragmented,
      });
      expect(histogram).toEqual(facts.summary.histogram);
      expect([places.at(0) ?? null, places.at(-1) ?? null]).toEqual([
        facts.summary.first,
        facts.summary.last,
      ]);
      expect(dbEvents).toEqual(facts.summary.dbEvents);
      stamps.sort((a, b) => Number(a - b));
      const range = stamps.length === 0 ? null : [Number(stamps.at(0)), Number(stamps.at(-1))];
      expect(range).toEqual(facts.summary.dbtimeRange);
    } finally {
      log.close();
    }
  });

  it('finds the quit at the end of a clean stream, and none where it was cut', () => {
    const last = (set: string) => {
      const log = openLog(nodeFileSystem, corpusPath('recovery', set, 'SRU.log'));
      try {
        return findLastRecord(log);
      } finally {
        log.close();
      }
    };
    expect(last('srum-clean')).toMatchObject({ isQuit: true, lgpos: { generation: 9, isec: 7, ib: 0 } });
    expect(logRecordName(last('srum-crash-redo')?.lrtyp ?? 0)).toBe('Commit0');
    expect(last('srum-crash-redo')).toMatchObject({ isQuit: false });
    expect(last('srum-dirty')).toBeUndefined();
  });
});

describeWithCorpus('the log of secedit', () => {
  const folder = corpusPath('logs', 'secedit');

  it('has the header of the facts', () => {
    const log = openLog(nodeFileSystem, join(folder, 'edb.log'));
    log.close();
    const bytes = readFileSync(join(folder, 'edb.log')).subarray(0, 4096);
    expect(headerAsFacts(log.header, bytes)).toEqual(corpusJson('logs', 'secedit', 'edb.log.header.json'));
  });

  it('has the segments of the facts, one by one', () => {
    const facts = corpusJson<SegmentFacts & { segments: readonly { state: string }[] }>(
      'logs',
      'secedit',
      'edb.log.check.json',
    );
    const segments: unknown[] = [];
    const log = openLog(nodeFileSystem, join(folder, 'edb.log'), {
      observer: (isec, state, segment) => {
        if (state === 'zero') return;
        const header = readSegmentHeader(segment);
        const lgpos = lgposReport(header.lgpos);
        const rest = {
          time: timeReport(header.time),
          flags: hex(header.flags, 4),
          checksum: hex(header.checksumHigh, 8) + hex(header.checksumLow, 8),
          reserved: Buffer.from(header.reserved).toString('hex'),
        };
        segments.push(state === 'valid' ? { isec, state, lgpos, ...rest } : { isec, state, lgpos });
      },
    });
    expectScan(log.verify(), facts);
    log.close();
    expect(segments).toEqual(facts.segments);
  });

  it('gives all 2573 records exactly as the independent reader wrote them', () => {
    const facts = readFileSync(join(folder, 'edb.log.records.jsonl'), 'utf8').trimEnd().split('\n');
    const log = openLog(nodeFileSystem, join(folder, 'edb.log'));
    const lines: string[] = [];
    const reports: unknown[] = [];
    for (const { lgpos, fragments, record } of log.records()) {
      lines.push(logRecordLine(record, lgpos, fragments));
      reports.push(logRecordReport(record, lgpos, fragments));
    }
    log.close();
    expect(lines.length).toBe(2573);
    expect(lines).toEqual(facts);
    expect(reports).toEqual(facts.map((line) => JSON.parse(line)));
  });
});

describeWithCorpus('restarts and recoveries by Windows', () => {
  /** `name at position` of every record that tells about a start, an end or a recovery, and of those behind it. */
  function lifeOf(path: string, names: readonly string[]): string[] {
    const log = openLog(nodeFileSystem, path);
    const found: string[] = [];
    for (const { record, lgpos } of log.records()) {
      if (names.includes(record.name)) found.push(`${record.name} ${formatLgpos(lgpos)}`);
    }
    log.close();
    return found;
  }

  it('have the positions of format specification, chapter 12.3.3', () => {
    const names = ['Init2', 'AttachDB', 'RecoveryUndo2', 'ShutDownMark', 'RecoveryQuit2'];
    const path = corpusPath('recovery', 'srum-dirty', 'SRU00050.log');
    expect(lifeOf(path, names).slice(-6)).toEqual([
      'AttachDB 50,8,268',
      'RecoveryUndo2 50,9,0',
      'ShutDownMark 50,9,31',
      'RecoveryQuit2 50,A,0',
      'Init2 50,B,0',
      'AttachDB 50,B,268',
    ]);
  });

  it('refer to each other by the positions of the writer', () => {
    const log = openLog(nodeFileSystem, corpusPath('recovery', 'srum-clean', 'SRU00003.log'));
    const quits: unknown[] = [];
    for (const { record } of log.records()) {
      if (record.name === 'RecoveryQuit2') {
        quits.push([formatLgpos(record.lgposRecoveryUndo), formatLgpos(record.lgposRedoFrom), record.fHard]);
      }
      if (record.name === 'AttachDB') quits.push(formatLgpos(record.lgposConsistent));
    }
    log.close();
    expect(quits).toEqual([['3,1,0', '1,1,0', 0], '3,2,C9', '3,5,36']);
  });

  it('go on behind the old end of the log, as the recovery of a clean stream did (chapter 12.3.5)', () => {
    const before = corpusPath('recovery', 'srum-clean', 'SRU.log');
    const after = corpusPath('recovery', 'srum-clean', 'SRU.log.after-windows-r');
    expect(lifeOf(after, ['Init2', 'ShutDownMark', 'NOP2', 'Term2']).slice(-5)).toEqual([
      'Term2 9,7,0',
      'Init2 9,7,42',
      'ShutDownMark 9,8,268',
      'NOP2 9,8,269',
      'Term2 9,9,0',
    ]);
    const unchanged = (path: string): Buffer => readFileSync(path).subarray(4096, 8 * 4096);
    expect(unchanged(after).equals(unchanged(before))).toBe(true);
    const log = openLog(nodeFileSystem, after);
    expect(log.verify()).toMatchObject({ validSegments: 9, shadowSegments: 1, damage: undefined });
    expect(findLastRecord(log)).toMatchObject({ isQuit: true, lgpos: { generation: 9, isec: 9, ib: 0 } });
    log.close();
  });
});
