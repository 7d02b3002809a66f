import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
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
      for (const { lgpos, fragments, record } of log.records()) {
        summary.records += 1;
        summary.bytes += record.size;
        if (fragments > 1) summary.fragmented += 1;
        histogram[record.name] = (histogram[record.name] ?? 0) + 1;
        places.push([lgposReport(lgpos), record.name]);
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
