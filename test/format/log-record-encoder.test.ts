import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { decodeCheckpoint, encodeCheckpoint } from '../../src/format/checkpoint.js';
import type { DbmsParam } from '../../src/format/dbms-param.js';
import { insertRecordSize, writeInsertRecord } from '../../src/format/insert-record.js';
import { decodeLogHeader, encodeLogHeader, LOG_HEADER_BYTES } from '../../src/format/log-header.js';
import { decodeLogRecord } from '../../src/format/log-record.js';
import { createLogRecordEncoder, type LogRecordFields } from '../../src/format/log-record-encoder.js';
import type { LogField } from '../../src/format/log-record-field.js';
import { LOG_RECORD_LAYOUTS } from '../../src/format/log-record-layout.js';
import { logRecordFixedSize } from '../../src/format/log-record-size.js';
import { type LogRecordName, LRTYP } from '../../src/format/log-record-type.js';
import {
  isShadowOf,
  judgeSegment,
  readSegmentHeader,
  SEGMENT_BYTES,
  SEGMENT_HEADER_BYTES,
  writeSegmentHeader,
} from '../../src/format/log-segment.js';
import { logtimeToDate } from '../../src/format/logtime.js';
import { sealPages } from '../../src/format/page-checksum.js';
import { readSignature } from '../../src/format/signature.js';
import { nodeFileSystem } from '../../src/io/node-file-system.js';
import { randomBelow, randomFill, seededRandom } from '../../src/io/seeded-random.js';
import { openLog } from '../../src/recovery/log-reader.js';
import { corpusPath, describeWithCorpus } from '../corpus.js';

const LOG_FOLDERS = [
  ['logs', 'secedit'],
  ['recovery', 'srum-clean'],
  ['recovery', 'srum-dirty'],
  ['recovery', 'srum-crash-redo'],
  ['recovery', 'srum-crash-undo'],
];

function corpusFiles(pattern: RegExp): string[] {
  return LOG_FOLDERS.flatMap((folder) =>
    readdirSync(corpusPath(...folder))
      .filter((name) => pattern.test(name))
      .map((name) => join(corpusPath(...folder), name)),
  );
}

/** All but the tmp logs, which never got a header. */
function corpusLogs(): string[] {
  return corpusFiles(/\.log(\.after-windows-r)?$/).filter((path) => !path.endsWith('tmp.log'));
}

describeWithCorpus('encoding what Windows wrote', () => {
  it('gives every record of every log the same bytes', () => {
    const encoder = createLogRecordEncoder();
    const seen = new Set<string>();
    let records = 0;
    for (const path of corpusLogs()) {
      const log = openLog(nodeFileSystem, path);
      for (const { record, lgpos } of log.records()) {
        encoder.clear();
        // Every record knows its fields by name, so it is its own recipe.
        const again = encoder.encode(record.name, record as never);
        const expected = Buffer.from(
          record.bytes.buffer,
          record.bytes.byteOffset + record.offset,
          record.size,
        );
        const found = Buffer.from(again.bytes.buffer, again.bytes.byteOffset + again.offset, again.size);
        if (!found.equals(expected)) {
          expect({ path, lgpos, bytes: found.toString('hex') }).toEqual({
            path,
            lgpos,
            bytes: expected.toString('hex'),
          });
        }
        seen.add(record.name);
        records += 1;
      }
      log.close();
    }
    expect(records).toBeGreaterThan(15000);
    expect([...seen]).toEqual(expect.arrayContaining(['Split2', 'Merge2', 'Undo', 'UndoInfo', 'NewPage']));
  });

  it('gives every record the same bytes when the lengths are left out', () => {
    const encoder = createLogRecordEncoder();
    for (const path of corpusLogs()) {
      const log = openLog(nodeFileSystem, path);
      for (const { record } of log.records()) {
        if (record.name === 'NOP2') continue;
        const layout: Record<string, unknown> = LOG_RECORD_LAYOUTS[record.name];
        const fields = Object.fromEntries(
          Object.keys(layout)
            .filter(
              (name) =>
                !/^(cb|cbPath|cbData|cbSuffix|cbKey.*|cbPrefixSplit.*|cbPreimage|cbBookmark.*|cbEmptyPageList|cbNewData)$/.test(
                  name,
                ) ||
                (name === 'cbNewData' && record.name === 'ReplaceD'),
            )
            .map((name) => [name, (record as unknown as Record<string, unknown>)[name]]),
        );
        encoder.clear();
        const again = encoder.encode(record.name, fields as never);
        const expected = record.bytes.subarray(record.offset, record.offset + record.size);
        expect(Buffer.compare(again.bytes.subarray(again.offset, again.offset + again.size), expected)).toBe(
          0,
        );
      }
      log.close();
    }
  });

  it('gives every log header the same bytes', () => {
    const paths = corpusLogs();
    expect(paths.length).toBeGreaterThan(20);
    for (const path of paths) {
      const bytes = readFileSync(path).subarray(0, LOG_HEADER_BYTES);
      const again = Buffer.from(encodeLogHeader(decodeLogHeader(bytes)));
      expect(again.equals(bytes), path).toBe(true);
    }
  });

  it('gives every checkpoint the same bytes, twice', () => {
    const paths = corpusFiles(/\.chk(\.after-windows-r)?$/);
    expect(paths.length).toBeGreaterThan(3);
    for (const path of paths) {
      const bytes = readFileSync(path);
      const copy = Buffer.from(encodeCheckpoint(decodeCheckpoint(bytes)));
      expect(Buffer.concat([copy, copy]).equals(bytes), path).toBe(true);
    }
  });

  it('gives the header of every segment the same bytes', () => {
    for (const path of corpusLogs()) {
      const file = readFileSync(path);
      const generation = decodeLogHeader(file).generation;
      for (let isec = 1; isec < file.length / SEGMENT_BYTES - 1; isec++) {
        const segment = file.subarray(isec * SEGMENT_BYTES, (isec + 1) * SEGMENT_BYTES);
        if (judgeSegment(segment, isec, generation) !== 'valid') continue;
        const again = new Uint8Array(segment);
        again.fill(0, 0, SEGMENT_HEADER_BYTES);
        const { lgpos, time } = readSegmentHeader(segment);
        writeSegmentHeader(again, 0, lgpos, time === undefined ? undefined : logtimeToDate(time));
        sealPages(new Int32Array(again.buffer), 0, 1, SEGMENT_BYTES, isec);
        expect(Buffer.compare(again, segment), `${path} ${isec}`).toBe(0);
        expect(isShadowOf(again, isec, generation)).toBe(true);
      }
    }
  });
});

describe('a log record', () => {
  const random = seededRandom(7);
  const below = (limit: number): number => randomBelow(random, limit);
  const someBytes = (count: number): Uint8Array => {
    const bytes = new Uint8Array(count);
    randomFill(random, bytes);
    return bytes;
  };
  const time = {
    year: 2024,
    month: 2,
    day: 29,
    hours: 23,
    minutes: 59,
    seconds: 58,
    milliseconds: 987,
    utc: true,
  };
  const signature = readSignature(someBytes(28), 0);
  const dbmsParam: DbmsParam = {
    systemPath: 'C:\\system\\',
    logPath: 'C:\\logs\\',
    flags: 1,
    sessions: 1,
    openTables: 2,
    verPages: 3,
    cursors: 4,
    logBuffers: 5,
    csecLGFile: 6,
    cacheSizeMax: 7,
  };

  const zeros = new Uint8Array(1024);
  const zeroValue = (field: LogField<unknown>): unknown =>
    field.read({ bytes: zeros, view: new DataView(zeros.buffer), offset: 0, size: zeros.length });

  /** A value that the field can hold; lengths and values with a rule of their own are set by the caller. */
  function anyValue(name: string, field: LogField<unknown>): unknown {
    switch (field.kind) {
      case 'number':
        if (typeof zeroValue(field) === 'bigint') return -5n;
        if (/^(levelBeginFrom|clevels)$/.test(name)) return below(16);
        return below(2 ** (8 * field.length - 1));
      case 'u64':
        return typeof zeroValue(field) === 'bigint' ? 2n ** 63n + 5n : below(2 ** 31) * 4096;
      case 'boolean':
        return true;
      case 'lgpos':
        return { generation: below(99), isec: below(99), ib: below(99) };
      case 'logtime':
        return time;
      case 'signature':
        return signature;
      case 'dbmsParam':
        return dbmsParam;
      case 'text':
      case 'path':
        return 'C:\\data\\store.edb';
      case 'strings':
        return ['instance', 'C:\\logs\\'];
      case 'numbers':
        return name === 'versionInfo' ? [2, 0] : [5, 6, 7];
      case 'emptiedPages':
        return [{ dbtimeBefore: 5, pgno: 6, flags: 7 }];
      default:
        return someBytes(3 + below(40));
    }
  }

  const SPECIAL: Partial<Record<LogRecordName, Record<string, unknown>>> = {
    CreateDB: { flags: 0x0c },
    AttachDB: { flags: 0x08 },
    DetachDB: { flags: 0x10 },
    MS: { data: someBytes(8) },
    Insert: { cbPrefix: 3 },
    Replace: { fDiff2: false },
    NOP2: { cb: 30 },
  };
  const LENGTH =
    /^(cb|cbPath|cbInfo|cbData|cbSuffix|cbKey.*|cbPrefixSplit.*|cbPreimage|cbBookmark.*|cbEmptyPageList|cbNewData|count|cscrubOper|cbPageHeader|cbPageTrailer)$/;

  it.each(Object.keys(LOG_RECORD_LAYOUTS) as LogRecordName[])(
    'of the type %s is read as it was written',
    (name) => {
      const encoder = createLogRecordEncoder();
      const layout: Record<string, LogField<unknown>> = LOG_RECORD_LAYOUTS[name];
      const isFragment = name === 'FragmentBegin' || name === 'Fragment';
      for (let round = 0; round < 20; round++) {
        const fields: Record<string, unknown> = {};
        for (const [field, kind] of Object.entries(layout)) {
          if (isFragment || !LENGTH.test(field) || (field === 'cbNewData' && name === 'ReplaceD'))
            fields[field] = anyValue(field, kind);
        }
        Object.assign(fields, SPECIAL[name]);
        const record = encoder.encode(name, fields as never);
        const again = decodeLogRecord(record.bytes.slice(record.offset, record.offset + record.size));
        expect(again.lrtyp).toBe(LRTYP[name]);
        expect(again.size).toBe(record.size);
        const read = again as unknown as Record<string, unknown>;
        for (const field of Object.keys(fields)) expect([field, read[field]]).toEqual([field, fields[field]]);
      }
    },
  );

  const INSERT: LogRecordFields<'Insert'> = {
    procid: 0x1234,
    dbid: 1,
    pgno: 0x01020304,
    dbtime: 0x1_0000_0005,
    dbtimeBefore: -1,
    trxBegin0: 4,
    level: 2,
    iline: 7,
    pageFlags: 5,
    rceid: 0xffffffff,
    pgnoFDP: 4,
    objidFDP: 2,
    cbPrefix: 1,
    key: Uint8Array.of(0x7f, 0x80, 0x81),
    data: Uint8Array.of(0xaa, 0xbb),
  };

  it('has its fields where the format specification, chapter 4.6.4, puts them', () => {
    const record = createLogRecordEncoder().encode('Insert', INSERT);
    expect(
      Buffer.from(record.bytes.subarray(record.offset, record.offset + record.size)).toString('hex'),
    ).toBe(
      '1d' + // type 29
        '3412' +
        '01' +
        '04030201' +
        '0500000001000000' +
        'ffffffffffffffff' +
        '04000000' +
        '02' +
        '0700' +
        '05' +
        'ffffffff' +
        '04000000' +
        '02000000' +
        '0200' + // suffix
        '0100' + // prefix
        '0200' + // data
        '7f8081' +
        'aabb',
    );
  });

  it('stays valid while others are encoded behind it, even beyond the capacity', () => {
    const encoder = createLogRecordEncoder();
    const records = Array.from({ length: 3000 }, (_, i) => encoder.encode('Insert', { ...INSERT, pgno: i }));
    expect(records.every((record, i) => record.pgno === i && record.key.length === 3)).toBe(true);
  });

  it('starts from zero bytes after a failure and after clear', () => {
    const encoder = createLogRecordEncoder();
    const tooLong = { ...INSERT, data: new Uint8Array(65536).fill(9) };
    expect(() => encoder.encode('Insert', tooLong)).toThrowError(
      expect.objectContaining({ name: 'JET_errLogBufferTooSmall' }),
    );
    const zeros = () => encoder.encode('PagePatchRequest', { dbid: 0, pgno: 0, dbtime: 0 });
    const record = zeros();
    expect(record.size).toBe(logRecordFixedSize(LRTYP.PagePatchRequest));
    expect(record.bytes.subarray(1, record.size).every((byte) => byte === 0)).toBe(true);
    encoder.encode('Insert', INSERT);
    encoder.clear();
    expect(
      zeros()
        .bytes.subarray(1, 300)
        .every((byte) => byte === 0),
    ).toBe(true);
  });
});

describe('Insert records written in place', () => {
  it('are the bytes that the encoder of all records makes', () => {
    const random = seededRandom(14);
    const encoder = createLogRecordEncoder();
    for (let round = 0; round < 200; round++) {
      const key = new Uint8Array(1 + randomBelow(random, 60));
      const data = new Uint8Array(1 + randomBelow(random, 300));
      randomFill(random, key);
      randomFill(random, data);
      const fields = {
        procid: randomBelow(random, 0x10000),
        dbid: randomBelow(random, 0x100),
        pgno: random.uint32(),
        dbtime: random.uint32() * 0x1000 + randomBelow(random, 0x1000),
        dbtimeBefore: round % 2 === 0 ? -1 : random.uint32() * 0x1000,
        trxBegin0: random.uint32(),
        level: randomBelow(random, 0x100),
        iline: randomBelow(random, 0x10000),
        pageFlags: randomBelow(random, 0x100),
        rceid: random.uint32(),
        pgnoFDP: random.uint32(),
        objidFDP: random.uint32(),
        cbPrefix: randomBelow(random, key.length),
        key,
        data,
      };
      encoder.clear();
      const expected = encoder.encode('Insert', fields);
      const bytes = new Uint8Array(512);
      const at = randomBelow(random, 64);
      expect(insertRecordSize(fields)).toBe(expected.size);
      writeInsertRecord(new DataView(bytes.buffer), bytes, at, fields);
      expect(bytes.slice(at, at + expected.size)).toEqual(
        expected.bytes.slice(expected.offset, expected.offset + expected.size),
      );
    }
  });
});
