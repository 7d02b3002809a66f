import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { isShadowOf, judgeSegment, SEGMENT_BYTES } from '../../src/format/log-segment.js';
import { randomFill, seededRandom } from '../../src/io/seeded-random.js';
import { createSimulatedDisk } from '../../src/io/simulated-disk.js';
import { type LogReader, type LogScan, openLog } from '../../src/recovery/log-reader.js';
import { corpusPath, describeWithCorpus } from '../corpus.js';
import { jetErrorOf, putFile } from '../support/files.js';
import {
  begin,
  buildLog,
  buildSegment,
  concat,
  insert,
  nop2,
  putSegment,
  SEGMENT_ROOM,
  segmentOf,
} from '../support/log-builder.js';

function open(file: Uint8Array): LogReader {
  const disk = createSimulatedDisk();
  putFile(disk, '/edb.log', file);
  return openLog(disk, '/edb.log');
}

const verify = (file: Uint8Array): LogScan => open(file).verify();

/** Numbers of the sessions whose Begin records can be read, and the error that ends them. */
function readBegins(file: Uint8Array): { begins: number[]; error: string | undefined } {
  const log = open(file);
  const begins: number[] = [];
  try {
    for (const { record } of log.records()) {
      if (record.name === 'Begin') begins.push(record.procid);
    }
    return { begins, error: undefined };
  } catch (error) {
    return { begins, error: (error as Error).name };
  }
}

/** Three full segments and one that is partly filled, which therefore has a shadow. */
function logWithShadow(): Uint8Array {
  const full = (procid: number): Uint8Array => concat(begin(procid), nop2(SEGMENT_ROOM - 4));
  const file = buildLog([full(1), full(2), full(3), begin(4)]);
  putSegment(file, 5, segmentOf(file, 4));
  return file;
}

const flip = (file: Uint8Array, at: number, bit: number): void => {
  file[at] = (file[at] ?? 0) ^ (1 << bit);
};

/** Puts bytes of no meaning into the second sector of a segment. Equal bytes would leave its checksum right. */
const tear = (file: Uint8Array, isec: number): void => {
  randomFill(seededRandom(isec), segmentOf(file, isec).subarray(512, 1024));
};

describe('a whole log', () => {
  it('ends behind its last segment; the shadow behind it holds no data', () => {
    const file = logWithShadow();
    expect(verify(file)).toMatchObject({
      validSegments: 4,
      shadowSegments: 1,
      zeroSegments: 10,
      lastValidSegment: 4,
      lgposEnd: { generation: 1, isec: 5, ib: 0 },
      damage: undefined,
      tornSegments: [],
    });
    expect(readBegins(file)).toEqual({ begins: [1, 2, 3, 4], error: undefined });
  });

  it('may hold no segment at all: it was only just begun', () => {
    expect(verify(buildLog([]))).toMatchObject({ validSegments: 0, lastValidSegment: 0, damage: undefined });
    expect(readBegins(buildLog([]))).toEqual({ begins: [], error: undefined });
  });

  it('may hold segments of earlier generations behind its end', () => {
    const file = buildLog([begin(1)], { generation: 9 });
    putSegment(file, 2, buildSegment(9, 1, begin(1)));
    for (const isec of [3, 4, 5]) putSegment(file, isec, buildSegment(4, isec, begin(99)));
    expect(verify(file)).toMatchObject({ validSegments: 1, staleSegments: 3, damage: undefined });
  });

  it('may have the shadow of an earlier generation in its last segment', () => {
    const file = buildLog(
      Array.from({ length: 14 }, (_, i) => concat(begin(i), nop2(SEGMENT_ROOM - 4))),
      { generation: 5 },
    );
    putSegment(file, 15, buildSegment(1, 14, begin(1)));
    expect(verify(file)).toMatchObject({ validSegments: 14, shadowSegments: 1, damage: undefined });
  });

  it('of many windows is read as one', () => {
    const segments = Array.from({ length: 1300 }, (_, i) => concat(begin(i), nop2(SEGMENT_ROOM - 4)));
    const file = buildLog(segments, { csecLGFile: 1400 });
    expect(verify(file)).toMatchObject({ validSegments: 1300, zeroSegments: 99, damage: undefined });
    const { begins } = readBegins(file);
    expect(begins).toEqual(Array.from({ length: 1300 }, (_, i) => i));
  });
});

describe('a torn tail', () => {
  it('is read from the shadow', () => {
    const file = logWithShadow();
    tear(file, 4);
    expect(verify(file)).toMatchObject({ validSegments: 4, tornSegments: [4], damage: undefined });
    expect(readBegins(file)).toEqual({ begins: [1, 2, 3, 4], error: undefined });
  });

  it('is damage where the shadow is torn too', () => {
    const file = logWithShadow();
    tear(file, 4);
    tear(file, 5);
    expect(verify(file).damage).toMatchObject({ name: 'JET_errLogFileCorrupt', file: '/edb.log' });
    expect(readBegins(file)).toEqual({ begins: [1, 2, 3], error: 'JET_errLogFileCorrupt' });
  });

  it('is not read from the shadow of another generation', () => {
    const file = logWithShadow();
    tear(file, 4);
    putSegment(file, 5, buildSegment(2, 4, begin(4)));
    expect(verify(file).damage).toBeDefined();
  });
});

describe('damage', () => {
  it('of one bit is corrected, wherever it lies', () => {
    const segment = segmentOf(logWithShadow(), 2);
    let corrected = 0;
    for (let bit = 64; bit < 8 * SEGMENT_BYTES; bit += 97) {
      const copy = segment.slice();
      flip(copy, bit >> 3, bit & 7);
      expect(judgeSegment(copy, 2, 1)).toBe('corrected');
      expect(Buffer.compare(copy, segment)).toBe(0);
      corrected += 1;
    }
    expect(corrected).toBe(338);
  });

  it('of one bit in the file counts as corrected and hides no record', () => {
    const file = logWithShadow();
    flip(file, 2 * SEGMENT_BYTES + 41, 5);
    expect(verify(file)).toMatchObject({ validSegments: 4, correctedSegments: [2], damage: undefined });
    expect(readBegins(file).begins).toEqual([1, 2, 3, 4]);
  });

  it('of the flag that names the checksum format is never corrected', () => {
    const copy = segmentOf(logWithShadow(), 2).slice();
    flip(copy, 37, 5);
    expect(judgeSegment(copy, 2, 1)).toBe('bad');
  });

  it('in the middle ends the log there; what lies before is read', () => {
    const file = logWithShadow();
    tear(file, 2);
    const { damage, lgposEnd, validSegments } = verify(file);
    expect(damage).toMatchObject({
      name: 'JET_errLogFileCorrupt',
      lgpos: { generation: 1, isec: 2, ib: 0 },
    });
    expect({ lgposEnd, validSegments }).toEqual({
      lgposEnd: { generation: 1, isec: 2, ib: 0 },
      validSegments: 1,
    });
    expect(readBegins(file)).toEqual({ begins: [1], error: 'JET_errLogFileCorrupt' });
  });

  it.each([
    ['data behind an empty segment', (file: Uint8Array) => putSegment(file, 7, buildSegment(1, 7, begin(7)))],
    ['garbage behind the end', (file: Uint8Array) => tear(file, 9)],
    [
      'a segment of a later generation',
      (file: Uint8Array) => putSegment(file, 7, buildSegment(2, 7, begin(7))),
    ],
    ['a block in the older checksum format', (file: Uint8Array) => segmentOf(file, 7).fill(1, 4, 8)],
  ])('is %s: every record is read, then the error is thrown', (_, spoil) => {
    const file = logWithShadow();
    spoil(file);
    expect(verify(file).damage?.name).toBe('JET_errLogFileCorrupt');
    expect(verify(file).lgposEnd).toEqual({ generation: 1, isec: 5, ib: 0 });
    expect(readBegins(file)).toEqual({ begins: [1, 2, 3, 4], error: 'JET_errLogFileCorrupt' });
  });

  it('behind the end is not looked for in the last segment, which never holds data', () => {
    const file = logWithShadow();
    tear(file, 15);
    expect(verify(file).damage).toBeUndefined();
  });

  it('is a zero segment in the formats that filled their logs otherwise', () => {
    const file = buildLog([begin(1)], { updateMajor: 1, updateMinor: 0 });
    expect(verify(file).damage?.name).toBe('JET_errLogFileCorrupt');
  });

  it('is a record that does not end, and it has a place', () => {
    const file = buildLog([concat(begin(1), insert(1, 9000).subarray(0, 60))]);
    const log = open(file);
    expect(log.next()).toBe(true);
    expect(() => log.next()).toThrowError(
      expect.objectContaining({
        name: 'JET_errLogFileCorrupt',
        file: '/edb.log',
        lgpos: { generation: 1, isec: 1, ib: 44 },
      }),
    );
  });

  it('is seen again after going back to the start', () => {
    const file = logWithShadow();
    tear(file, 3);
    const log = open(file);
    const read = (): number => {
      let records = 0;
      expect(
        jetErrorOf(() => {
          while (log.next()) records += 1;
        }),
      ).toBe('JET_errLogFileCorrupt');
      return records;
    };
    expect(read()).toBe(4);
    log.rewind();
    expect(read()).toBe(4);
  });
});

describe('a file that is no log, or not a whole one', () => {
  const opening = (file: Uint8Array): string => jetErrorOf(() => open(file));

  it.each([
    ['empty', new Uint8Array(0), 'JET_errLogFileCorrupt'],
    ['shorter than a header', logWithShadow().subarray(0, 4095), 'JET_errLogFileCorrupt'],
    ['all zero, as a log in preparation is', new Uint8Array(65536), 'JET_errLogFileCorrupt'],
    ['text', Uint8Array.from(Buffer.from('a text file '.repeat(900))), 'JET_errLogFileCorrupt'],
    ['cut by one byte', logWithShadow().subarray(0, 65535), 'JET_errLogFileSizeMismatch'],
    [
      'longer than its header says',
      concat(logWithShadow(), new Uint8Array(4096)),
      'JET_errLogFileSizeMismatch',
    ],
    ['of a format to come', buildLog([], { updateMajor: 131 }), 'JET_errBadLogVersion'],
    ['of another engine', buildLog([], { major: 6, minor: 1503 }), 'JET_errBadLogVersion'],
    [
      'of the format with checksum records',
      buildLog([], { major: 7, minor: 3704, updateMajor: 17 }),
      'JET_errBadLogVersion',
    ],
    ['a checkpoint by its file type', buildLog([], { filetype: 4 }), 'JET_errFileInvalidType'],
    ['of another segment size', buildLog([], { cbSec: 512, csecHeader: 8 }), 'JET_errLogSectorSizeMismatch'],
    ['of generation 0', buildLog([], { generation: 0 }), 'JET_errLogFileCorrupt'],
    ['of impossible pages', buildLog([], { cbPageSize: 5000 }), 'JET_errLogFileCorrupt'],
  ])('is refused when %s', (_, file, error) => {
    expect(opening(file)).toBe(error);
  });

  it('is refused when a list of databases does not end inside its header', () => {
    const file = logWithShadow();
    const header = file.subarray(0, 4096);
    const view = new DataView(header.buffer);
    header[671] = 1;
    view.setUint16(673, 2000, true);
    let xor = 0x89abcdef;
    for (let at = 4; at < 4096; at += 4) xor ^= view.getUint32(at, true);
    view.setUint32(0, xor >>> 0, true);
    expect(opening(file)).toBe('JET_errLogFileCorrupt');
  });

  it('has a header of which any changed byte is noticed', () => {
    for (const at of [4, 12, 16, 44, 640, 671, 4095]) {
      const file = logWithShadow();
      flip(file, at, 0);
      expect(opening(file)).toBe('JET_errLogFileCorrupt');
    }
  });
});

describeWithCorpus('a genuine log that was damaged', () => {
  const genuine = (): Uint8Array => new Uint8Array(readFileSync(corpusPath('logs', 'secedit', 'edb.log')));

  it('is read from its shadow where its last segment is torn', () => {
    const file = genuine();
    expect(isShadowOf(segmentOf(file, 158), 157, 1)).toBe(true);
    tear(file, 157);
    const scan = verify(file);
    expect(scan).toMatchObject({ tornSegments: [157], validSegments: 157, damage: undefined });
    expect(scan.segmentsChecksum).toBe(0x183d67c21fe0f86bn);
  });

  it('looks whole where its last segments became zero: only the next header could tell', () => {
    const file = genuine();
    segmentOf(file, 157).fill(0);
    segmentOf(file, 158).fill(0);
    const scan = verify(file);
    expect(scan).toMatchObject({ validSegments: 156, damage: undefined });
    expect(scan.segmentsChecksum).not.toBe(0x183d67c21fe0f86bn);
  });

  it('ends in front of a damaged segment in its middle', () => {
    const file = genuine();
    tear(file, 80);
    expect(verify(file)).toMatchObject({
      validSegments: 79,
      damage: { name: 'JET_errLogFileCorrupt', lgpos: { generation: 1, isec: 80, ib: 0 } },
    });
  });

  it('is refused as a database, and a database is refused as a log', () => {
    const database = readFileSync(corpusPath('databases', 'large.edb')).subarray(0, 65536);
    expect(jetErrorOf(() => open(database))).toBe('JET_errFileInvalidType');
    const small = readFileSync(corpusPath('databases', 'basic.edb')).subarray(0, 65536);
    expect(jetErrorOf(() => open(small))).toBe('JET_errFileInvalidType');
    const checkpoint = readFileSync(corpusPath('logs', 'secedit', 'edb.chk'));
    expect(jetErrorOf(() => open(checkpoint))).toBe('JET_errFileInvalidType');
  });
});
