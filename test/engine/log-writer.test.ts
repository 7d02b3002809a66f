import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { continueLogStream } from '../../src/engine/log-writer.js';
import { decodeLogHeader, encodeLogHeader } from '../../src/format/log-header.js';
import { readSegmentHeader, SEGMENT_BYTES } from '../../src/format/log-segment.js';
import { logtimeOf, logtimeToDate } from '../../src/format/logtime.js';
import { newSignature } from '../../src/format/signature.js';
import { seededEnvironment } from '../../src/io/environment.js';
import { nodeFileSystem } from '../../src/io/node-file-system.js';
import { createSimulatedDisk, isMutation, SimulatedCrash, stopAtCall } from '../../src/io/simulated-disk.js';
import { openLog, readLogHeader } from '../../src/recovery/log-reader.js';
import { checkLogStream, findLogStream } from '../../src/recovery/log-stream.js';
import { corpusPath, describeWithCorpus } from '../corpus.js';
import {
  findTail,
  folderContents,
  hexOfRecord,
  LOG_FOLDER,
  newStream,
  readStream,
  recordMaker,
  recordOf,
  resumeStream,
  segmentsOf,
  testOptions,
} from '../support/log-streams.js';

describeWithCorpus('the records of a log that Windows wrote', () => {
  const LOGS = [
    ['logs', 'secedit', 'edb.log'],
    ...['SRU00003', 'SRU00004', 'SRU00005', 'SRU00006', 'SRU00007', 'SRU00008', 'SRU'].map((name) => [
      'recovery',
      'srum-clean',
      `${name}.log`,
    ]),
    ...['SRU0004E', 'SRU0004F', 'SRU00050', 'SRU00051'].map((name) => [
      'recovery',
      'srum-dirty',
      `${name}.log`,
    ]),
  ];

  it.each(LOGS)('give the same segments, byte for byte: %s %s %s', (...parts) => {
    const path = corpusPath(...parts);
    const genuine = readFileSync(path);
    const header = decodeLogHeader(genuine);

    // A log of that generation with nothing in it, and a clock that tells the times of the segments.
    const disk = createSimulatedDisk();
    disk.mkdir(LOG_FOLDER);
    const handle = disk.open(`${LOG_FOLDER}/E00.log`, 'create');
    handle.writeAt(new Uint8Array(genuine.length), 0);
    handle.writeAt(encodeLogHeader(header), 0);
    handle.close();
    let segment = 0;
    const environment = {
      ...seededEnvironment({ fs: disk, seed: 1 }),
      clock: {
        now: () => {
          segment += 1;
          const { time } = readSegmentHeader(genuine, segment * SEGMENT_BYTES);
          return time === undefined ? 0 : logtimeToDate(time).getTime();
        },
      },
    };
    const open = () => continueLogStream(testOptions(disk, { environment }), findTail(disk));

    let writer = open();
    const log = openLog(nodeFileSystem, path);
    let records = 0;
    for (const { record, lgpos } of log.records()) {
      records += 1;
      // A gap that no cut explains: a run ended, and the next one began in a fresh segment.
      if (log.cursor.nops >= 32) {
        writer.close();
        writer = open();
      }
      if (record.name === 'NOP2') {
        writer.makeDurable();
      } else if (log.cursor.nops >= 32) {
        writer.append(record);
      } else {
        expect(writer.append(record)).toEqual(lgpos);
      }
    }
    writer.close();
    const { lastValidSegment, segmentsChecksum } = log.scan();
    log.close();
    expect(records).toBeGreaterThan(2);
    const [ours] = Object.entries(folderContents(disk)).filter(([name]) => name === 'E00.log');
    const bytes = Buffer.from(ours?.[1] ?? '', 'hex');
    for (let isec = 1; isec <= lastValidSegment; isec++) {
      // A roll-over forced by a newer engine put a segment of nothing but padding here; ours needs none.
      if (readSegmentHeader(genuine, isec * SEGMENT_BYTES).time === undefined) {
        expect([parts.at(-1), isec]).toEqual(['SRU00051.log', lastValidSegment]);
        return;
      }
      const range = [isec * SEGMENT_BYTES, (isec + 1) * SEGMENT_BYTES] as const;
      if (Buffer.compare(bytes.subarray(...range), genuine.subarray(...range)) !== 0) {
        expect({ isec, hex: bytes.toString('hex', ...range) }).toEqual({
          isec,
          hex: genuine.toString('hex', ...range),
        });
      }
    }
    expect(findTail(disk)).toMatchObject({ lastValidSegment, segmentsChecksum });
  });
});

describe('a log stream', () => {
  it('is read back record by record, each at the position that append returned', () => {
    const disk = createSimulatedDisk();
    const log = newStream(disk);
    const make = recordMaker(1);
    const written = [];
    for (let i = 0; i < 2000; i++) {
      const record = make();
      const lgpos = log.append(record);
      written.push({ lgpos, hex: hexOfRecord(record) });
      if (i % 7 === 3) log.makeDurable(lgpos);
      if (i % 11 === 5) log.makeDurable(lgpos, { fill: false });
    }
    log.close();
    expect(log.generation).toBeGreaterThan(20);
    const { records, damage } = readStream(disk);
    expect(damage).toBeUndefined();
    expect(records).toEqual(written);
    const check = checkLogStream(disk, findLogStream(disk, LOG_FOLDER, 'E00'));
    expect(check.error).toBeUndefined();
    expect(check.missing).toEqual([]);
    expect(check.logs.map(({ header }) => header?.generation)).toEqual(
      Array.from({ length: log.generation }, (_, i) => i + 1),
    );
    expect(
      check.logs.every(({ header }) => header?.generation === 1 || header?.checksumPrevLogAllSegments !== 0n),
    ).toBe(true);
  });

  it('has the same bytes when the same calls meet the same clock', () => {
    const [one, two] = [1, 2].map(() => {
      const disk = createSimulatedDisk();
      const log = newStream(disk);
      const make = recordMaker(5);
      for (let i = 0; i < 300; i++) log.makeDurable(log.append(make()), { fill: i % 3 !== 0 });
      log.close();
      return folderContents(disk);
    });
    expect(Object.keys(one ?? {})).toContain('E0000001.log');
    expect(two).toEqual(one);
  });

  it('begins with generation 1 and a signature of its own', () => {
    const disk = createSimulatedDisk();
    const log = newStream(disk, { circular: true });
    log.close();
    const header = readLogHeader(disk, `${LOG_FOLDER}/E00.log`);
    expect(header).toMatchObject({
      generation: 1,
      cbSec: 4096,
      csecHeader: 1,
      csecLGFile: 16,
      cbPageSize: 8192,
      tmPrevGen: undefined,
      major: 8,
      minor: 4000,
      updateMajor: 5,
      updateMinor: 16,
      fLGFlags: 2,
      lgposCheckpoint: { generation: 1, isec: 1, ib: 0 },
      checksumPrevLogAllSegments: 0n,
      filetype: 3,
      attachments: [],
    });
    expect(header.dbmsParam).toMatchObject({ csecLGFile: 16, flags: 1, systemPath: '/system/' });
    expect(header.signLog.created).toMatchObject({ year: 2024, month: 1, day: 1, utc: true });
    expect(disk.readdir(LOG_FOLDER)).toEqual(['E00.log', 'E00res00001.jrs', 'E00res00002.jrs']);
    expect(disk.stat(`${LOG_FOLDER}/E00res00002.jrs`).size).toBe(65536);
    expect(() => newStream(disk)).toThrowError(expect.objectContaining({ name: 'JET_errFileAlreadyExists' }));
  });

  it('names its files as asked', () => {
    const disk = createSimulatedDisk();
    const log = newStream(disk, { baseName: 'abc', digits: 8, extension: '.jtx' });
    log.rollOver();
    log.close();
    expect(disk.readdir(LOG_FOLDER)).toEqual([
      'abc.jtx',
      'abc00000001.jtx',
      'abcres00001.jrs',
      'abcres00002.jrs',
    ]);
  });

  it('refuses sizes that no log file or buffer can have', () => {
    for (const logFileKiB of [0, 100, 32768 + 64]) {
      expect(() => newStream(createSimulatedDisk(), { logFileKiB })).toThrowError(
        expect.objectContaining({ name: 'JET_errInvalidParameter' }),
      );
    }
    expect(() => newStream(createSimulatedDisk(), { logBuffers: 0 })).toThrowError(
      expect.objectContaining({ name: 'JET_errInvalidParameter' }),
    );
  });

  it('ends with generation 7FFFF800, and stays usable', () => {
    const disk = createSimulatedDisk();
    newStream(disk).close();
    const handle = disk.open(`${LOG_FOLDER}/E00.log`, 'write');
    const header = readLogHeader(disk, `${LOG_FOLDER}/E00.log`);
    handle.writeAt(encodeLogHeader({ ...header, generation: 0x7ffff800 }), 0);
    handle.close();
    const log = resumeStream(disk);
    const end = expect.objectContaining({ name: 'JET_errLogSequenceEnd' });
    log.append(recordOf(100));
    expect(() => log.rollOver()).toThrowError(end);
    for (let isec = 2; isec < 15; isec++) log.append(recordOf(4000));
    expect(() => log.append(recordOf(4000))).toThrowError(end);
    log.close();
    expect(readStream(disk)).toMatchObject({ damage: undefined, records: { length: 14 } });
  });

  it('costs one sync for any number of commits that wait together', () => {
    const disk = createSimulatedDisk({ trace: true });
    const log = newStream(disk);
    const before = disk.calls;
    const positions = Array.from({ length: 64 }, () => log.append(recordOf(100)));
    for (const lgpos of positions.toReversed()) log.makeDurable(lgpos);
    const calls = disk.trace.slice(before).map(({ operation }) => operation);
    expect(calls).toEqual(['writeAt', 'sync']);
    log.makeDurable();
    expect(disk.calls).toBe(before + 2);
  });

  it('fills the segment up behind a durable record, so that it is written once', () => {
    const disk = createSimulatedDisk({ trace: true });
    const log = newStream(disk);
    const before = disk.calls;
    expect(log.append(recordOf(100))).toEqual({ generation: 1, isec: 1, ib: 0 });
    log.makeDurable();
    expect(log.append(recordOf(100))).toEqual({ generation: 1, isec: 2, ib: 0 });
    log.makeDurable();
    const writes = disk.trace.slice(before).filter(({ operation }) => operation === 'writeAt');
    expect(writes.map(({ offset, length }) => [offset, length])).toEqual([
      [4096, 4096],
      [8192, 4096],
    ]);
    const segment = segmentsOf(disk)[1] ?? new Uint8Array();
    const nop2 = Buffer.from(segment).subarray(140, 145);
    expect([nop2[0], nop2.readUInt32LE(1)]).toEqual([71, 4096 - 140 - 5]);
  });

  it('pads with zeros where a NOP2 record has no room, and gives the tail as the next position', () => {
    for (const room of [4, 1]) {
      const disk = createSimulatedDisk();
      const log = newStream(disk);
      log.append(recordOf(4096 - 40 - room));
      log.makeDurable();
      expect(log.append(recordOf(9))).toEqual({ generation: 1, isec: 1, ib: 4096 - room });
      log.close();
      expect(findTail(disk).lastValidSegment).toBe(2);
      expect(readStream(disk).records.map(({ lgpos }) => lgpos.ib)).toEqual([0, 4096 - room]);
    }
  });

  it('writes an unfinished segment together with its shadow, and again when it has grown', () => {
    const disk = createSimulatedDisk({ trace: true });
    const log = newStream(disk);
    const writesOf = (call: () => void) => {
      const before = disk.calls;
      call();
      return disk.trace
        .slice(before)
        .map(({ operation, offset = 0, length = 0 }) =>
          operation === 'writeAt' ? `${offset / 4096}+${length / 4096}` : operation,
        );
    };
    log.append(recordOf(100));
    expect(writesOf(() => log.makeDurable(undefined, { fill: false }))).toEqual(['1+2', 'sync']);
    log.append(recordOf(100));
    expect(writesOf(() => log.makeDurable(undefined, { fill: false }))).toEqual([
      '1+1',
      'sync',
      '2+1',
      'sync',
    ]);
    log.append(recordOf(100));
    // A single finished segment replaces its stale shadow too (format specification, chapter 4.4.5).
    expect(writesOf(() => log.makeDurable())).toEqual(['1+1', 'sync', '2+1', 'sync']);
    const [, first, second] = segmentsOf(disk);
    expect(second).toEqual(first);
    log.append(recordOf(100));
    log.makeDurable(undefined, { fill: false });
    log.append(recordOf(5000));
    expect(writesOf(() => log.makeDurable())).toEqual(['2+1', 'sync', '3+1', 'sync']);
    log.close();
    expect(readStream(disk).records).toHaveLength(5);
  });

  it('takes a torn segment from its shadow', () => {
    const disk = createSimulatedDisk();
    const log = newStream(disk);
    const kept = recordOf(300, 1);
    log.append(kept);
    log.makeDurable(undefined, { fill: false });
    log.append(recordOf(3000, 2));
    // The program dies when the segment is written again; of its first 4096 bytes 512 have arrived.
    const before = disk.calls;
    const whole = disk.fork();
    disk.faults = stopAtCall(before + 2);
    expect(() => log.makeDurable(undefined, { fill: false })).toThrowError(SimulatedCrash);
    const torn = whole.open(`${LOG_FOLDER}/E00.log`, 'write');
    torn.writeAt((segmentsOf(disk.fork())[1] ?? new Uint8Array()).subarray(0, 512), 4096);
    torn.close();
    expect(readStream(whole)).toEqual({
      records: [{ lgpos: { generation: 1, isec: 1, ib: 0 }, hex: hexOfRecord(kept) }],
      damage: undefined,
    });
    const again = resumeStream(whole);
    expect(again.append(recordOf(10))).toEqual({ generation: 1, isec: 2, ib: 0 });
    again.close();
    expect(readStream(whole).records).toHaveLength(2);
  });

  it('rolls over rather than leave no byte free in the last data segment', () => {
    // 16 segments: 1 to 14 hold data. The records fill segments 1 to 13.
    const filled = (last: number) => {
      const log = newStream(createSimulatedDisk());
      for (let isec = 1; isec < 14; isec++) log.append(recordOf(4056));
      expect(log.lgposEnd).toEqual({ generation: 1, isec: 14, ib: 0 });
      return log.append(recordOf(last));
    };
    expect(filled(4055)).toEqual({ generation: 1, isec: 14, ib: 0 });
    expect(filled(4056)).toEqual({ generation: 2, isec: 1, ib: 0 });
    const disk = createSimulatedDisk();
    const log = newStream(disk);
    for (let isec = 1; isec < 14; isec++) log.append(recordOf(4056));
    log.append(recordOf(100));
    log.makeDurable();
    // No NOP2 record fills the last data segment up to its end: that would take the byte.
    expect(log.lgposEnd).toEqual({ generation: 1, isec: 14, ib: 140 });
    expect(log.append(recordOf(100))).toEqual({ generation: 2, isec: 1, ib: 0 });
    log.close();
    expect(checkLogStream(disk, findLogStream(disk, LOG_FOLDER, 'E00')).error).toBeUndefined();
  });

  it('keeps records that were appended together in one generation', () => {
    const disk = createSimulatedDisk();
    const log = newStream(disk);
    for (let isec = 1; isec < 14; isec++) log.append(recordOf(4056));
    expect(log.append(recordOf(3000), recordOf(3000))).toEqual({ generation: 2, isec: 1, ib: 0 });
    log.close();
    expect(readStream(disk).records.map(({ lgpos }) => lgpos.generation)).toEqual([
      ...new Array(13).fill(1),
      2,
      2,
    ]);
  });

  it('takes a record as large as a log file, and none that is larger', () => {
    const disk = createSimulatedDisk();
    const log = newStream(disk);
    log.append(recordOf(50));
    const largest = recordOf(log.recordBytesMax);
    expect(log.append(largest)).toEqual({ generation: 2, isec: 1, ib: 0 });
    expect(() => log.append(recordOf(log.recordBytesMax + 1))).toThrowError(
      expect.objectContaining({ name: 'JET_errLogBufferTooSmall' }),
    );
    expect(log.append(recordOf(50))).toEqual({ generation: 3, isec: 1, ib: 0 });
    log.close();
    expect(readStream(disk).records[1]?.hex).toBe(hexOfRecord(largest));
  });

  it('writes a record that is larger than its buffer', () => {
    const disk = createSimulatedDisk();
    const log = newStream(disk, { logBuffers: 2 });
    const make = recordMaker(3);
    const written = Array.from({ length: 300 }, (_, i) => {
      const record = make();
      const lgpos = log.append(record);
      const hex = hexOfRecord(record);
      if (i % 5 === 0) log.makeDurable(undefined, { fill: false });
      return { lgpos, hex };
    });
    log.close();
    expect(readStream(disk).records).toEqual(written);
  });

  it('states in each header what was attached, the checkpoint, and that logging was circular once', () => {
    const disk = createSimulatedDisk();
    const signDb = newSignature(77, logtimeOf(0));
    const lgposCheckpoint = { generation: 1, isec: 5, ib: 300 };
    const attachment = {
      dbid: 1,
      flags: 0x20,
      dbtime: 1234,
      objidLast: 7,
      cpgMax: 0,
      lgposAttach: { generation: 1, isec: 1, ib: 576 },
      lgposConsistent: { generation: 0, isec: 0, ib: 0 },
      signDb,
      names: ['/data/store.edb'],
    };
    newStream(disk, { circular: true }).close();
    const log = resumeStream(disk, {
      checkpoint: () => lgposCheckpoint,
      attachments: (generation) => (generation === 2 ? [attachment] : []),
    });
    const first = log.header;
    log.append(recordOf(100));
    log.rollOver();
    log.rollOver();
    log.close();
    const header = readLogHeader(disk, `${LOG_FOLDER}/E0000002.log`);
    expect(header).toMatchObject({
      generation: 2,
      fLGFlags: 4,
      lgposCheckpoint: { generation: 1, isec: 5, ib: 0 },
      attachments: [{ ...attachment, cbNames: 32 }],
      tmPrevGen: first.tmCreate,
      signLog: first.signLog,
    });
    expect(readLogHeader(disk, `${LOG_FOLDER}/E00.log`)).toMatchObject({ fLGFlags: 4, attachments: [] });
  });

  it('tells of every generation before it takes a record', () => {
    const disk = createSimulatedDisk();
    const seen: unknown[] = [];
    const log = newStream(disk, {
      onGeneration: (generation) => seen.push([generation, disk.readdir(LOG_FOLDER).length]),
    });
    log.append(recordOf(100));
    log.rollOver();
    expect(seen).toEqual([
      [1, 3],
      [2, 4],
    ]);
    log.close();
  });

  it('never goes back to an older format', () => {
    const disk = createSimulatedDisk();
    newStream(disk, { version: { updateMajor: 60, updateMinor: 140 } }).close();
    const log = resumeStream(disk);
    log.rollOver();
    expect(log.header).toMatchObject({ generation: 2, updateMajor: 60, updateMinor: 140 });
    log.close();
  });
});

describe('a log stream that goes on', () => {
  it('begins in a fresh segment, behind a clean end and behind a crash', () => {
    const disk = createSimulatedDisk();
    const log = newStream(disk);
    log.append(recordOf(100));
    log.close();
    const second = resumeStream(disk);
    expect(second.lgposEnd).toEqual({ generation: 1, isec: 2, ib: 0 });
    second.append(recordOf(100));
    second.makeDurable();
    const third = resumeStream(disk.fork());
    expect(third.lgposEnd).toEqual({ generation: 1, isec: 3, ib: 0 });
  });

  it('keeps the spelling of its names, however the base name is typed', () => {
    const disk = createSimulatedDisk();
    newStream(disk).close();
    disk.rename(`${LOG_FOLDER}/E00.log`, `${LOG_FOLDER}/E00.LOG`);
    const log = resumeStream(disk, { baseName: 'e00', reserves: false });
    log.append(recordOf(100));
    log.rollOver();
    log.close();
    expect(disk.readdir(LOG_FOLDER).filter((name) => !name.endsWith('.jrs'))).toEqual([
      'E00.LOG',
      'E0000001.LOG',
    ]);
  });

  it('keeps the size of the current log and gives new ones the size asked for', () => {
    const disk = createSimulatedDisk();
    newStream(disk).close();
    const log = resumeStream(disk, { logFileKiB: 128 });
    for (let i = 0; i < 15; i++) log.append(recordOf(4000));
    log.close();
    expect(disk.stat(`${LOG_FOLDER}/E0000001.log`).size).toBe(65536);
    expect(disk.stat(`${LOG_FOLDER}/E00.log`).size).toBe(131072);
    expect(disk.stat(`${LOG_FOLDER}/E00res00001.jrs`).size).toBe(131072);
    expect(readStream(disk)).toMatchObject({ damage: undefined, records: { length: 15 } });
  });

  it('clears what a crash left behind the end, if asked to', () => {
    const disk = createSimulatedDisk();
    const log = newStream(disk);
    for (let i = 0; i < 10; i++) log.append(recordOf(4000));
    log.close();
    const tail = findTail(disk);
    // As if all segments behind the third were no part of the stream.
    continueLogStream(testOptions(disk), { ...tail, lastValidSegment: 3, clearRest: true }).close();
    expect(findTail(disk).lastValidSegment).toBe(3);
    expect(
      segmentsOf(disk)
        .slice(4)
        .every((segment) => segment.every((byte) => byte === 0)),
    ).toBe(true);
  });
});

describe('circular logging', () => {
  it('reuses logs below the checkpoint, two generations kept, and reads past what they held', () => {
    const disk = createSimulatedDisk();
    let generation = 1;
    const log = newStream(disk, {
      circular: true,
      checkpoint: () => ({ generation: Math.max(1, generation - 1), isec: 1, ib: 0 }),
    });
    const make = recordMaker(9);
    const written: unknown[] = [];
    for (let i = 0; i < 600; i++) {
      const record = make();
      const lgpos = log.append(record);
      generation = lgpos.generation;
      written.push({ lgpos, hex: hexOfRecord(record) });
    }
    log.close();
    expect(generation).toBeGreaterThan(8);
    const { archived } = findLogStream(disk, LOG_FOLDER, 'E00');
    expect(archived.map((entry) => entry.generation)).toEqual([4, 3, 2, 1].map((back) => generation - back));
    const check = checkLogStream(disk, findLogStream(disk, LOG_FOLDER, 'E00'));
    expect(check.error).toBeUndefined();
    expect(check.logs.some(({ scan }) => (scan?.staleSegments ?? 0) > 0)).toBe(true);
    const { records } = readStream(disk);
    expect(records).toEqual(written.slice(-records.length));
  });
});

describe('logs that a checkpoint releases all at once', () => {
  it('wait to be used again, the newest eight of them', () => {
    const disk = createSimulatedDisk();
    let generation = 1;
    const log = newStream(disk, { circular: true, checkpoint: () => ({ generation, isec: 1, ib: 0 }) });
    while (log.generation < 14) log.rollOver();
    const archived = (): number[] =>
      findLogStream(disk, LOG_FOLDER, 'E00')
        .archived.map((entry) => entry.generation)
        .sort((a, b) => a - b);
    expect(archived()).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]);
    generation = 14;
    log.rollOver();
    // Below 12 nobody needs them: 1 and 2 went, 3 became the current log.
    expect(archived()).toEqual([4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14]);
    log.rollOver();
    expect(archived()).toEqual([5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
    log.close();
  });
});

describe('a log that is reused', () => {
  it('has its new name for certain before it gets its new header', () => {
    const disk = createSimulatedDisk({ trace: true });
    const checkpoint = () => ({ generation: 9, isec: 1, ib: 0 });
    const log = newStream(disk, { circular: true, checkpoint });
    log.rollOver();
    const before = disk.calls;
    log.rollOver();
    log.close();
    const calls = disk.trace
      .slice(before)
      .flatMap(({ operation, path, to }) =>
        isMutation({ number: 0, operation, path })
          ? [[operation, path, to].flatMap((one) => one?.replace(`${LOG_FOLDER}/`, '') ?? []).join(' ')]
          : [],
      );
    expect(calls).toEqual([
      'sync E00.log',
      'rename E0000001.log E00tmp.log',
      `syncDirectory ${LOG_FOLDER}`,
      'writeAt E00tmp.log',
      'sync E00tmp.log',
      'rename E00.log E0000002.log',
      `syncDirectory ${LOG_FOLDER}`,
      'rename E00tmp.log E00.log',
      `syncDirectory ${LOG_FOLDER}`,
    ]);
  });
});

describe('a log of another size', () => {
  it.each([64, 192])('of %i KiB is made fit when it is reused for 128 KiB', (logFileKiB) => {
    const disk = createSimulatedDisk();
    const first = newStream(disk, { logFileKiB });
    first.append(recordOf(100));
    first.rollOver();
    first.close();
    const checkpoint = () => ({ generation: 9, isec: 1, ib: 0 });
    const log = resumeStream(disk, { logFileKiB: 128, circular: true, checkpoint });
    log.rollOver();
    log.append(recordOf(100));
    log.close();
    expect(disk.readdir(LOG_FOLDER).filter((name) => name.endsWith('.log'))).toEqual([
      'E00.log',
      'E0000002.log',
    ]);
    expect(disk.stat(`${LOG_FOLDER}/E00.log`).size).toBe(131072);
    expect(readStream(disk)).toMatchObject({ damage: undefined, records: { length: 1 } });
  });
});

describe('a full disk', () => {
  const FILE = 65536;

  it('is met by the reserve logs, then by an error that leaves all intact', () => {
    // Room for the first log and its reserves, and for nothing else.
    const disk = createSimulatedDisk({ capacity: 3 * FILE });
    const log = newStream(disk);
    const positions = [];
    expect(log.isOnReserve).toBe(false);
    for (let i = 0; i < 10; i++) positions.push(log.append(recordOf(13000)));
    expect(log.isOnReserve).toBe(true);
    expect(log.generation).toBe(3);
    expect(disk.readdir(LOG_FOLDER)).toEqual(['E00.log', 'E0000001.log', 'E0000002.log']);
    for (let i = 10; i < 12; i++) positions.push(log.append(recordOf(13000)));
    for (let i = 0; i < 2; i++) {
      expect(() => log.append(recordOf(13000))).toThrowError(
        expect.objectContaining({ name: 'JET_errLogDiskFull' }),
      );
    }
    expect(findTail(disk)).toMatchObject({ isCurrent: true });

    disk.capacity = 20 * FILE;
    positions.push(log.append(recordOf(13000)));
    expect(log).toMatchObject({ generation: 4, isOnReserve: false });
    log.close();
    expect(disk.readdir(LOG_FOLDER)).toContain('E00res00002.jrs');
    expect(readStream(disk).records.map(({ lgpos }) => lgpos)).toEqual(positions);
    const check = checkLogStream(disk, findLogStream(disk, LOG_FOLDER, 'E00'));
    expect(check.error).toBeUndefined();
    expect(check.logs.map(({ header }) => header?.fLGFlags)).toEqual([0, 1, 1, 0]);
  });

  it('is no concern of a stream without reserves', () => {
    const disk = createSimulatedDisk();
    const log = newStream(disk, { reserves: false });
    log.rollOver();
    log.close();
    expect(disk.readdir(LOG_FOLDER)).toEqual(['E00.log', 'E0000001.log']);
  });

  it('refuses a new stream that has no room for its reserves', () => {
    const disk = createSimulatedDisk({ capacity: FILE });
    expect(() => newStream(disk)).toThrowError(expect.objectContaining({ name: 'JET_errLogDiskFull' }));
  });
});

describe('a failing disk', () => {
  it.each(['writeAt', 'sync'])('ends the stream: nothing is taken after a failed %s', (operation) => {
    const disk = createSimulatedDisk();
    const log = newStream(disk);
    const lgpos = log.append(recordOf(100));
    log.makeDurable(lgpos);
    const lost = log.append(recordOf(100));
    disk.faults = (call) =>
      call.operation === operation ? { kind: 'error', error: 'JET_errDiskIO' } : undefined;
    const failure = expect.objectContaining({ name: 'JET_errLogWriteFail', file: `${LOG_FOLDER}/E00.log` });
    expect(() => log.makeDurable(lost)).toThrowError(failure);
    disk.faults = undefined;
    expect(() => log.makeDurable(lost)).toThrowError(failure);
    expect(() => log.append(recordOf(100))).toThrowError(failure);
    expect(log.durableTo).toEqual({ generation: 1, isec: 2, ib: 0 });
    log.close();
  });
});
