import { describe, expect, it } from 'vitest';
import { DBTIME_NIL } from '../../src/format/dbtime.js';
import {
  commitContext,
  copyLogRecord,
  decodeLogRecord,
  type LogRecord,
  type LogRecordOf,
} from '../../src/format/log-record.js';
import type { LogField } from '../../src/format/log-record-field.js';
import { LOG_RECORD_LAYOUTS } from '../../src/format/log-record-layout.js';
import { logRecordFixedSize, logRecordSize } from '../../src/format/log-record-size.js';
import {
  type LogRecordName,
  LRTYP,
  logRecordDumpName,
  logRecordName,
} from '../../src/format/log-record-type.js';
import { logRecordLine } from '../../src/maintenance/log-record-report.js';
import { jetErrorOf } from '../support/files.js';
import { bytesOf } from './bytes.js';

/** The master table (format specification, chapter 4.5.1): number, name, bytes of the fixed part. */
const MASTER_TABLE: readonly (readonly [number, LogRecordName, number])[] = [
  [0, 'NOP', 1],
  [1, 'Init', 568],
  [2, 'Term', 18],
  [3, 'MS', 9],
  [4, 'End', 1],
  [5, 'Begin', 4],
  [6, 'Commit', 4],
  [7, 'Rollback', 4],
  [8, 'Begin0', 8],
  [9, 'Commit0', 8],
  [10, 'Refresh', 7],
  [11, 'MacroBegin', 11],
  [12, 'MacroCommit', 11],
  [13, 'MacroAbort', 11],
  [14, 'CreateDB', 43],
  [15, 'AttachDB', 75],
  [16, 'DetachDB', 7],
  [17, 'RecoveryUndo', 1],
  [18, 'RecoveryQuit', 18],
  [19, 'FullBackup', 3],
  [20, 'IncBackup', 3],
  [21, 'JetOp', 4],
  [22, 'Trace', 5],
  [23, 'ShutDownMark', 1],
  [24, 'CreateMultipleExtentFDP', 56],
  [25, 'CreateSingleExtentFDP', 48],
  [26, 'ConvertFDP', 60],
  [27, 'Split', 102],
  [28, 'Merge', 88],
  [29, 'Insert', 50],
  [30, 'FlagInsert', 48],
  [31, 'FlagInsertAndReplaceData', 52],
  [32, 'FlagDelete', 44],
  [33, 'Replace', 50],
  [34, 'ReplaceD', 50],
  [35, 'Delete', 44],
  [36, 'UndoInfo', 56],
  [37, 'Delta', 54],
  [38, 'SetExternalHeader', 46],
  [39, 'Undo', 51],
  [42, 'Checksum', 22],
  [45, 'ExtRestore', 3],
  [46, 'Backup', 5],
  [48, 'EmptyTree', 46],
  [49, 'Init2', 576],
  [50, 'Term2', 26],
  [51, 'RecoveryUndo2', 9],
  [52, 'RecoveryQuit2', 26],
  [53, 'BeginDT', 8],
  [54, 'PrepCommit', 7],
  [55, 'PrepRollback', 3],
  [57, 'ForceWriteLog', 3],
  [58, 'ConvertFDP2', 68],
  [59, 'ExtRestore2', 3],
  [60, 'Backup2', 35],
  [61, 'ForceLogRollover', 5],
  [62, 'Split2', 110],
  [63, 'Merge2', 96],
  [64, 'Scrub', 54],
  [65, 'PageMove', 96],
  [66, 'PagePatchRequest', 46],
  [67, 'MacroInfo', 5],
  [68, 'ExtendDB', 5],
  [69, 'CommitCtx', 5],
  [70, 'ScanCheck', 5],
  [71, 'NOP2', 5],
  [72, 'ReAttach', 5],
  [73, 'MacroInfo2', 5],
  [74, 'FreeFDP', 5],
  [75, 'Ignored9', 5],
  [76, 'FragmentBegin', 7],
  [77, 'Fragment', 3],
  [78, 'ShrinkDB', 10],
  [79, 'CreateDBFinish', 4],
  [80, 'RecoveryQuitKeepAttachments', 26],
  [81, 'TrimDB', 10],
  [82, 'Ignored10', 5],
  [91, 'Ignored19', 5],
  [92, 'SetDbVersion', 14],
  [93, 'Delta64', 58],
  [94, 'ShrinkDB2', 10],
  [95, 'NewPage', 20],
  [96, 'RootPageMove', 16],
  [97, 'SignalAttachDb', 2],
  [98, 'ScanCheck2', 27],
  [99, 'ShrinkDB3', 18],
  [100, 'ExtentFreed', 11],
  [101, 'ExtentFreed2', 19],
];

/** Types of which the fields lie in what the count covers. */
const COUNTED = ['ExtendDB', 'CommitCtx', 'ScanCheck', 'ReAttach', 'MacroInfo2', 'FreeFDP'];

describe('the record types', () => {
  it.each(MASTER_TABLE)('%d is %s, %d bytes and more', (lrtyp, name, fixed) => {
    expect(logRecordName(lrtyp)).toBe(name);
    expect(LRTYP[name]).toBe(lrtyp);
    expect(logRecordFixedSize(lrtyp)).toBe(fixed);
  });

  it('include those to be skipped, and no others', () => {
    for (let lrtyp = 83; lrtyp < 91; lrtyp++) {
      expect(logRecordName(lrtyp)).toBe(`Ignored${lrtyp - 72}`);
      expect(logRecordFixedSize(lrtyp)).toBe(5);
    }
    const known = Array.from({ length: 256 }, (_, i) => i).filter((i) => logRecordFixedSize(i) !== 0);
    expect(known).toHaveLength(96);
    expect([40, 41, 43, 44, 47, 56, 102, 127, 255].filter((i) => known.includes(i))).toEqual([]);
  });

  it('have names of at most nine characters in dumps', () => {
    const names = Object.values(LRTYP).map(logRecordDumpName);
    expect(names.filter((name) => name.length > 9)).toEqual([]);
    expect(logRecordDumpName(LRTYP.FlagInsertAndReplaceData)).toBe('FInsertRD');
    expect(logRecordDumpName(LRTYP.Init2)).toBe('Init');
    expect(logRecordDumpName(LRTYP.Ignored12)).toBe('Ignored');
    expect(logRecordDumpName(44)).toBe('*UNKNOWN*');
  });

  it('have fields that fill the fixed part without overlapping', () => {
    for (const name of Object.keys(LOG_RECORD_LAYOUTS) as LogRecordName[]) {
      const fields: [string, LogField<unknown>][] = Object.entries(LOG_RECORD_LAYOUTS[name]);
      const fixed = fields.flatMap(([, { at, length }]) => (at === undefined ? [] : [{ at, length }]));
      const covered = new Map<number, number>();
      for (const { at, length } of fixed) {
        for (let byte = at; byte < at + length; byte++) covered.set(byte, (covered.get(byte) ?? 0) + 1);
      }
      const end = Math.max(1, ...fixed.map(({ at, length }) => at + length));
      if (!COUNTED.includes(name))
        expect([name, end <= logRecordFixedSize(LRTYP[name])]).toEqual([name, true]);
      // Two halves of a byte, or a count and the bit beside it, share their bytes.
      const shared = [...covered.values()].filter((times) => times > 1).length;
      expect([name, shared]).toEqual([name, SHARED_BYTES[name] ?? 0]);
    }
  });
});

const SHARED_BYTES: Partial<Record<LogRecordName, number>> = {
  Begin: 1,
  Begin0: 1,
  BeginDT: 1,
  Replace: 2,
  ReplaceD: 2,
};

describe('the size of a record', () => {
  const sizeOf = (hex: string): number => {
    const bytes = bytesOf(hex);
    return logRecordSize(new DataView(bytes.buffer), 0, bytes.length);
  };

  it('is 0 where the fixed part does not end in time', () => {
    expect(sizeOf('05 0100')).toBe(0);
    expect(sizeOf('05 0100 10')).toBe(4);
    expect(sizeOf('')).toBe(0);
    expect(sizeOf('28 00000000')).toBe(0);
  });

  it('may exceed what is there', () => {
    expect(sizeOf('47 ffffffff')).toBe(0xffffffff + 5);
  });

  it('leaves the bit for larger pages out of the length of a replace', () => {
    const replace = new Uint8Array(50);
    replace[0] = LRTYP.ReplaceD;
    replace.set([0x03, 0x80], 44);
    expect(logRecordSize(new DataView(replace.buffer), 0, 50)).toBe(53);
  });

  it('counts the version pair of CreateDB only if there is one', () => {
    const create = new Uint8Array(43);
    create[0] = LRTYP.CreateDB;
    create.set([10, 0, 0x08], 40);
    expect(logRecordSize(new DataView(create.buffer), 0, 43)).toBe(53);
    create[42] = 0x0c;
    expect(logRecordSize(new DataView(create.buffer), 0, 43)).toBe(57);
  });
});

/** Bytes by the layouts of chapter 4.6 for types that no genuine log at hand contains, and what they mean. */
const PAGE = '0500 01 44000000 5000000000000000 4f00000000000000 08000000 02 0300 05';
const PAGE_FIELDS = {
  procid: 5,
  dbid: 1,
  pgno: 0x44,
  dbtime: 0x50,
  dbtimeBefore: 0x4f,
  trxBegin0: 8,
  level: 2,
  iline: 3,
  pageFlags: 5,
};
const NODE = `${PAGE} 07000000 40000000 09000000`;
const NODE_FIELDS = { ...PAGE_FIELDS, rceid: 7, pgnoFDP: 0x40, objidFDP: 9 };
const LGPOS = '0300 0200 01000000';
const LGPOS_VALUE = { generation: 1, isec: 2, ib: 3 };

const SAMPLES: readonly (readonly [LogRecordName, string, Record<string, unknown>])[] = [
  ['Refresh', '0a 0500 08000000', { procid: 5, trxBegin0: 8 }],
  ['MacroAbort', '0d 0500 5000000000000000', { procid: 5, dbtime: 0x50 }],
  ['FullBackup', '13 0300 61 62 00', { cbPath: 3, path: 'ab' }],
  ['JetOp', '15 0500 09', { procid: 5, op: 9 }],
  ['FlagInsert', `1e ${NODE} 0200 0100 aabb cc`, { ...NODE_FIELDS, cbKey: 2, cbData: 1 }],
  [
    'Delta',
    `25 ${NODE} 0200 0100 fdffffff 0c00 aabb cc`,
    { ...NODE_FIELDS, delta: -3, cbOffset: 12, cbBookmarkKey: 2, cbBookmarkData: 1 },
  ],
  [
    'Delta64',
    `5d ${NODE} 0200 0000 fdffffffffffffff 0c00 aabb`,
    { ...NODE_FIELDS, delta: -3n, cbOffset: 12, cbBookmarkKey: 2 },
  ],
  ['ExtRestore', '2d 0500 61 00 62 63 00', { cbInfo: 5, info: ['a', 'bc'] }],
  ['ExtRestore2', '3b 0800 6100 0000 6200 0000', { cbInfo: 8, info: ['a', 'b'] }],
  ['Backup', '2e 03 00 0200 61 00', { backupType: 3, cbPath: 2, path: 'a' }],
  ['BeginDT', '35 0500 20 08000000', { procid: 5, levelBeginFrom: 0, clevels: 2, trxBegin0: 8 }],
  ['PrepCommit', '36 0500 02000000 aabb', { procid: 5, cbData: 2 }],
  ['PrepRollback', '37 0500', { procid: 5 }],
  ['ForceWriteLog', '39 0500', { procid: 5 }],
  [
    'Backup2',
    `3c 03 02000000 05 01 ${LGPOS} 1e0a0c0f037c0300 04000000 09000000 00 0000`,
    {
      phase: 3,
      backupType: 2,
      scope: 5,
      dbid: 1,
      lgposMark: LGPOS_VALUE,
      logtimeMark: {
        seconds: 30,
        minutes: 10,
        hours: 12,
        day: 15,
        month: 3,
        year: 2024,
        milliseconds: 1,
        utc: true,
      },
      genLow: 4,
      genHigh: 9,
      cbPath: 0,
      path: '',
    },
  ],
  ['ForceLogRollover', '3d 0500 0400 61626300', { procid: 5, cb: 4, text: 'abc' }],
  [
    'Scrub',
    `40 ${NODE} 01000000 02000000 0300 010200`,
    { ...NODE_FIELDS, scrubFlags: 1, cscrubOper: 2, cbData: 3 },
  ],
  [
    'PageMove',
    `41 ${PAGE} 45000000 46000000 47000000 48000000 0101000000000000 0201000000000000 0301000000000000
     40000000 09000000 feffffff 01000000 02000000 01000000 aabb cc`,
    {
      ...PAGE_FIELDS,
      pgnoDest: 0x45,
      pgnoLeft: 0x46,
      pgnoRight: 0x47,
      pgnoParent: 0x48,
      dbtimeLeftBefore: 0x101,
      dbtimeRightBefore: 0x102,
      dbtimeParentBefore: 0x103,
      pgnoFDP: 0x40,
      objidFDP: 9,
      ilineParent: -2,
      moveFlags: 1,
      cbPageHeader: 2,
      cbPageTrailer: 1,
    },
  ],
  [
    'PagePatchRequest',
    `42 01 44000000 5000000000000000 ${'00'.repeat(32)}`,
    { dbid: 1, pgno: 0x44, dbtime: 0x50 },
  ],
  [
    'ScanCheck',
    `46 27000000 01 44000000 0100000000000080 0200000000000000 5000000000000000 6000000000000000 3412`,
    {
      cb: 39,
      dbid: 1,
      pgno: 0x44,
      unused10: 0x8000000000000001n,
      unused18: 2n,
      dbtimePage: 0x50,
      dbtimeCurrent: 0x60,
      checksum: 0x1234,
    },
  ],
  [
    'ReAttach',
    `48 2d000000 01 ${LGPOS} 0400 0500 06000000 07000000 ${'00'.repeat(24)}`,
    { cb: 45, dbid: 1, lgposAttach: LGPOS_VALUE, lgposConsistent: { generation: 6, isec: 5, ib: 4 } },
  ],
  [
    'MacroInfo2',
    '49 0d000000 02 02000000 44000000 45000000',
    { cb: 13, dbid: 2, count: 2, pgnos: [0x44, 0x45] },
  ],
  ['FreeFDP', '4a 0a000000 01 44000000 08000000 02', { dbid: 1, pgnoFDP: 0x44, trxCommitted: 8, fdpType: 2 }],
  ['Ignored9', '4b 02000000 aabb', { cb: 2 }],
  ['ShrinkDB', '4e 01 44000000 05000000', { dbid: 1, pgnoLast: 0x44, cpgShrunk: 5 }],
  ['TrimDB', '51 01 44000000 05000000', { dbid: 1, pgnoFirst: 0x44, cpgTrimmed: 5 }],
  [
    'SetDbVersion',
    '5c 01 20060000 6e000000 f0000000',
    { dbid: 1, versionMajor: 0x620, updateMajor: 110, updateMinor: 240 },
  ],
  ['RootPageMove', '60 5000000000000000 01 09000000 0500', { dbtime: 0x50, dbid: 1, objid: 9, procid: 5 }],
  ['SignalAttachDb', '61 01', { dbid: 1 }],
  [
    'ScanCheck2',
    '62 01 feffffff 81 5000000000000000 6000000000000000 78563412',
    { dbid: 1, pgno: 0xfffffffe, source: 0x81, dbtimePage: 0x50, dbtimeCurrent: 0x60, checksum: 0x12345678 },
  ],
  ['ShrinkDB3', '63 01 44000000 05000000 5000000000000000', { pgnoLast: 0x44, cpgShrunk: 5, dbtime: 0x50 }],
  ['ExtentFreed', '64 01 44000000 05000000 02', { dbid: 1, pgnoFirst: 0x44, cpgExtent: 5, flags: 2 }],
  ['ExtentFreed2', '65 01 44000000 05000000 02 5000000000000000', { cpgExtent: 5, flags: 2, dbtime: 0x50 }],
];

describe('a record without a genuine sample', () => {
  it.each(SAMPLES)('%s is read as chapter 4.6 lays it out', (name, hex, fields) => {
    const bytes = bytesOf(hex);
    const record = decodeLogRecord(bytes);
    expect(record.name).toBe(name);
    expect(record.size).toBe(bytes.length);
    const read = record as unknown as Record<string, unknown>;
    for (const [field, value] of Object.entries(fields)) expect([field, read[field]]).toEqual([field, value]);
    const layout: Record<string, LogField<unknown>> = LOG_RECORD_LAYOUTS[name];
    for (const field of Object.keys(layout))
      expect([field, read[field] !== undefined]).toEqual([field, true]);
    expect(JSON.parse(logRecordLine(record, LGPOS_VALUE, 1))).toMatchObject({
      lrtyp: name,
      size: bytes.length,
    });
  });

  it('has its bytes in the order of chapter 4.6', () => {
    const parts = (record: LogRecord, ...names: string[]): string[] =>
      names.map((name) =>
        Buffer.from((record as unknown as Record<string, Uint8Array>)[name] ?? []).toString('hex'),
      );
    const sample = (name: LogRecordName): LogRecord =>
      decodeLogRecord(bytesOf(SAMPLES.find(([one]) => one === name)?.[1] ?? ''));
    expect(parts(sample('FlagInsert'), 'key', 'data')).toEqual(['aabb', 'cc']);
    expect(parts(sample('Delta'), 'bookmarkKey', 'bookmarkData')).toEqual(['aabb', 'cc']);
    expect(parts(sample('PageMove'), 'pageHeader', 'pageTrailer')).toEqual(['aabb', 'cc']);
    expect(parts(sample('Scrub'), 'opers')).toEqual(['0102']);
  });
});

describe('a view', () => {
  const insert = decodeLogRecord(
    bytesOf(`ffff 1d ${NODE.replace('4f00000000000000', 'ffffffffffffffff')} 0200 0100 0200 aabbcc ddee`),
    2,
  ) as LogRecordOf<'Insert'>;

  it('reads "no stamp" as the nil of the format', () => {
    expect(insert.dbtimeBefore).toBe(DBTIME_NIL);
  });

  it('says where the bytes of its fields lie', () => {
    expect([insert.offset, insert.keyAt, insert.dataAt]).toEqual([2, 52, 55]);
    expect([...insert.key]).toEqual([0xaa, 0xbb, 0xcc]);
    expect([...insert.data]).toEqual([0xdd, 0xee]);
  });

  it('prints 64-bit values exactly', () => {
    expect(logRecordLine(insert, LGPOS_VALUE, 2)).toBe(
      '{"lgpos": "00000001,0002,0003", "lrtyp": "Insert", "size": 55, "fragments": 2, "procid": 5, "dbid": 1, ' +
        '"pgno": 68, "dbtime": 80, "dbtimeBefore": 18446744073709551615, "trxBegin0": 8, "level": 2, "iline": 3, ' +
        '"pageFlags": 5, "rceid": 7, "pgnoFDP": 64, "objidFDP": 9, "cbSuffix": 2, "cbPrefix": 1, "cbData": 2, ' +
        '"key": "aabbcc", "data": "ddee"}',
    );
  });

  it('copied, has memory of its own', () => {
    const bytes = Uint8Array.of(5, 1, 0, 0x21);
    const record = decodeLogRecord(bytes) as LogRecordOf<'Begin'>;
    const copy = copyLogRecord(record);
    bytes.fill(0);
    expect([copy.procid, copy.levelBeginFrom, copy.clevels]).toEqual([1, 1, 2]);
    expect(record.procid).toBe(0);
  });

  it.each([
    ['an unknown type', '66 00 00 00', 0],
    ['a record that does not end', '05 01 00', 0],
    ['counted fields that are not there', '44 02000000 0101', 0],
    ['a list longer than its record', '49 09000000 01 ff000000 44000000', 1],
    ['a list of impossible length', '49 09000000 01 ffffffff 44000000', 1],
    ['more scrub operations than bytes', `40 ${NODE} 01000000 ffffffff 0000`, 1],
  ])('is refused, or its field is, for %s', (_, hex, fieldToo) => {
    const error = jetErrorOf(() => {
      const record = decodeLogRecord(bytesOf(hex));
      if (fieldToo === 1) logRecordLine(record, LGPOS_VALUE, 1);
    });
    expect(error).toBe('JET_errLogFileCorrupt');
  });
});

describe('a CommitCtx record', () => {
  const record = decodeLogRecord(bytesOf('45 05000000 0500 04 aabb')) as LogRecordOf<'CommitCtx'>;
  const contextIn = (updateMajor: number, updateMinor: number): unknown => {
    const { flags, context } = commitContext(record, { updateMajor, updateMinor });
    return [flags, Buffer.from(context).toString('hex')];
  };

  it('has flags in the newer versions only', () => {
    expect(contextIn(5, 16)).toEqual([4, 'aabb']);
    expect(contextIn(5, 2)).toEqual([4, 'aabb']);
    expect(contextIn(60, 140)).toEqual([4, 'aabb']);
    expect(contextIn(4, 8)).toEqual([4, 'aabb']);
    expect(contextIn(5, 1)).toEqual([0, '04aabb']);
    expect(contextIn(4, 7)).toEqual([0, '04aabb']);
  });
});
