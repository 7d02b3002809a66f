import { describe, expect, it } from 'vitest';
import { INDEX_FLAG, type IndexSegment } from '../../src/format/catalog-row.js';
import { COLTYP, COLUMN_FLAG, type ColumnDefinition } from '../../src/format/column.js';
import { createKeyBuilder } from '../../src/format/key.js';
import type { SortKeySource } from '../../src/format/key-segment.js';
import { splitKey } from '../../src/format/key-split.js';
import { createRecordLayout, createRecordValues, locateColumns } from '../../src/format/record.js';
import type { IndexDefinition } from '../../src/format/table-definition.js';
import { asciiOf, bytesOf, hexOf } from './bytes.js';

type Values = readonly Uint8Array[];

const column = (
  columnId: number,
  coltyp: number,
  more: Partial<ColumnDefinition> = {},
): ColumnDefinition => ({
  columnId,
  name: `column${columnId}`,
  coltyp,
  maxLength: 0,
  codePage: 1252,
  flags: COLUMN_FLAG.multiValued,
  fixedOffset: 0,
  derived: false,
  ...more,
});

const NULLS_ALLOWED = INDEX_FLAG.allowAllNulls | INDEX_FLAG.allowFirstNull | INDEX_FLAG.allowSomeNulls;

const segment = (columnId: number, descending = false): IndexSegment => ({
  columnId,
  descending,
  mustBeNull: false,
  derived: false,
});

const index = (
  segments: readonly IndexSegment[],
  flags: number,
  more: Partial<IndexDefinition> = {},
): IndexDefinition => ({
  name: 'test',
  objid: 9,
  pgnoFdp: 99,
  density: 80,
  flags,
  lcid: 0,
  segments,
  conditions: [],
  primary: false,
  unique: false,
  ...more,
});

/** The tagged area of a record on large pages, where each column has 0, 1 or more values. */
function recordOf(columns: readonly ColumnDefinition[], rows: readonly Values[]): Uint8Array {
  const entries: number[] = [];
  const data: number[] = [];
  const present = columns.flatMap(({ columnId, coltyp }, i) => {
    const values = rows[i] ?? [];
    return values.length === 0 ? [] : [{ columnId, isLong: coltyp === 11 || coltyp === 12 ? 1 : 0, values }];
  });
  for (const { columnId, isLong, values } of present) {
    const offset = 4 * present.length + data.length;
    entries.push(columnId & 255, columnId >> 8, offset & 255, offset >> 8);
    data.push(isLong | (values.length > 1 ? 8 : 0));
    if (values.length > 1) {
      let at = 2 * values.length;
      for (const value of values) {
        data.push(at & 255, at >> 8);
        at += value.length;
      }
    }
    for (const value of values) data.push(...value);
  }
  return Uint8Array.from([0x00, 0x7f, 0x04, 0x00, ...entries, ...data]);
}

/** The keys of a record whose columns have these values, in hexadecimal. */
function keysOf(
  definition: IndexDefinition,
  columns: readonly ColumnDefinition[],
  rows: readonly Values[],
  sortKeyOf?: SortKeySource,
): string[] {
  const layout = createRecordLayout(columns, 32768);
  const values = createRecordValues(layout);
  const record = recordOf(columns, rows);
  locateColumns(layout, record, 0, record.length, values);
  const keys: string[] = [];
  const readNothing = () => {
    throw new Error('no long value expected');
  };
  const count = createKeyBuilder(layout, definition, sortKeyOf).build(values, readNothing, (key, length) =>
    keys.push(hexOf(key, length)),
  );
  expect(count).toBe(keys.length);
  return keys;
}

/** The key of one value in an index over one column. */
const keyOf = (
  coltyp: number,
  value: Uint8Array,
  more: Partial<IndexDefinition> = {},
  ofColumn: Partial<ColumnDefinition> = {},
): string | undefined =>
  keysOf(
    index([segment(256)], more.flags ?? NULLS_ALLOWED, more),
    [column(256, coltyp, ofColumn)],
    [[value]],
  )[0];

const littleEndian = (bytes: number, value: bigint): Uint8Array => {
  const out = new Uint8Array(8);
  new DataView(out.buffer).setBigInt64(0, value, true);
  return out.slice(0, bytes);
};

const double = (value: number): Uint8Array => new Uint8Array(new Float64Array([value]).buffer);
const single = (value: number): Uint8Array => new Uint8Array(new Float32Array([value]).buffer);

describe('segments (format specification, chapter 3.6.4: one row of a real file)', () => {
  it.each([
    ['Long 1', COLTYP.long, littleEndian(4, 1n), '7f80000001'],
    ['Bit false', COLTYP.bit, bytesOf('00'), '7f00'],
    ['Bit true', COLTYP.bit, bytesOf('01'), '7fff'],
    ['Short -1337', COLTYP.short, littleEndian(2, -1337n), '7f7ac7'],
    ['Currency', COLTYP.currency, littleEndian(8, 1337133713371337n), '7f8004c01db400b0c9'],
    ['IEEESingle 1', COLTYP.ieeeSingle, single(1), '7fbf800000'],
    ['IEEEDouble', COLTYP.ieeeDouble, double(13371337.13371337), '7fc16980f924476143'],
    ['IEEEDouble -1', COLTYP.ieeeDouble, double(-1), '7f400fffffffffffff'],
    ['DateTime 36220', COLTYP.dateTime, double(36220), '7fc0e1af8000000000'],
    ['UnsignedLong', COLTYP.unsignedLong, littleEndian(4, 13371337n), '7f00cc07c9'],
    ['LongLong', COLTYP.longLong, littleEndian(8, -13371337n), '7f7fffffffff33f837'],
    ['UnsignedLongLong', COLTYP.unsignedLongLong, littleEndian(8, -2n), '7ffffffffffffffffe'],
    ['UnsignedByte', COLTYP.unsignedByte, bytesOf('d5'), '7fd5'],
    ['GUID', COLTYP.guid, bytesOf('f10a363f6667dc469af20dacf295c2a1'), '7f0dacf295c2a19af2dc466667f10a363f'],
    ['UnsignedShort', COLTYP.unsignedShort, littleEndian(2, 1337n), '7f0539'],
    ['Binary', COLTYP.binary, asciiOf('test binary data'), '7f746573742062696e09617279206461746108'],
    ['Text', COLTYP.text, asciiOf('Simple ASCII text'), `7f${hexOf(asciiOf('SIMPLE ASCII TEXT'))}00`],
    ['empty text', COLTYP.text, new Uint8Array(0), '40'],
    ['empty binary', COLTYP.longBinary, new Uint8Array(0), '40'],
  ])('%s', (_, coltyp, value, key) => {
    expect(keyOf(coltyp, value)).toBe(key);
  });

  it('GUIDs in .NET order', () => {
    const guid = bytesOf('f10a363f6667dc469af20dacf295c2a1');
    expect(keyOf(COLTYP.guid, guid, { flags: INDEX_FLAG.dotNetGuid })).toBe(
      '7f3f360af1676646dc9af20dacf295c2a1',
    );
  });

  it('descending complements the whole segment', () => {
    const long = column(256, COLTYP.long);
    expect(keysOf(index([segment(256, true)], NULLS_ALLOWED), [long], [[littleEndian(4, 1n)]])).toEqual([
      '807ffffffe',
    ]);
    expect(keysOf(index([segment(256, true)], NULLS_ALLOWED), [long], [[]])).toEqual(['ff']);
  });

  it('text ends at its first 00, and only a-z change', () => {
    expect(keyOf(COLTYP.text, bytesOf('6162 e4 5b 00 63'))).toBe('7f4142e45b00');
  });

  it('a value of the wrong size is a damaged record', () => {
    expect(() => keyOf(COLTYP.long, bytesOf('0100'))).toThrow(
      expect.objectContaining({ name: 'JET_errDatabaseCorrupted' }),
    );
  });
});

describe('keys that do not fit', () => {
  it('text: the last byte is put in upper case without asking whether it is a letter', () => {
    // Room for 7f and 4 bytes: three letters, then "d" - 20 hex; a digit suffers the same.
    expect(keyOf(COLTYP.text, asciiOf('abcdef'), { keyMost: 5 })).toBe('7f41424344');
    expect(keyOf(COLTYP.text, asciiOf('abc1ef'), { keyMost: 5 })).toBe('7f41424311');
    expect(keyOf(COLTYP.text, asciiOf('abcd'), { keyMost: 6 })).toBe('7f4142434400');
    expect(keyOf(COLTYP.text, bytesOf('6162 00 64 65 66'), { keyMost: 5 })).toBe('7f414200');
  });

  it('binary: whole chunks, then the next raw bytes', () => {
    const value = bytesOf('0102030405060708 090a0b0c');
    expect(keyOf(COLTYP.binary, value, { keyMost: 12 })).toBe(
      '7f 0102030405060708 09 090a'.replaceAll(' ', ''),
    );
    // The cut falls behind the data: 00 fills up. A full last chunk says 09 in a cut segment.
    expect(keyOf(COLTYP.binary, value, { keyMost: 18 })).toBe(
      '7f 0102030405060708 09 090a0b0c00000000'.replaceAll(' ', ''),
    );
    expect(keyOf(COLTYP.binary, value.slice(0, 8), { keyMost: 10 })).toBe(
      '7f 0102030405060708 08'.replaceAll(' ', ''),
    );
  });

  it('a number is cut like bytes, and segments behind the cut add nothing', () => {
    const columns = [column(256, COLTYP.text), column(257, COLTYP.long), column(258, COLTYP.long)];
    const rows = [[asciiOf('ab')], [littleEndian(4, 1n)], [littleEndian(4, 2n)]];
    const definition = (keyMost: number) =>
      index([segment(256), segment(257), segment(258)], NULLS_ALLOWED, { keyMost });
    expect(keysOf(definition(9), columns, rows)).toEqual(['7f414200 7f80000001'.replaceAll(' ', '')]);
    expect(keysOf(definition(7), columns, rows)).toEqual(['7f414200 7f8000'.replaceAll(' ', '')]);
  });

  it('a limit of one segment cuts without ending the key', () => {
    const columns = [column(256, COLTYP.text), column(257, COLTYP.long)];
    const definition = index([segment(256), segment(257)], NULLS_ALLOWED, { varSegMac: 4 });
    expect(keysOf(definition, columns, [[asciiOf('abcdef')], [littleEndian(4, 1n)]])).toEqual([
      '7f414243 7f80000001'.replaceAll(' ', ''),
    ]);
  });

  it('an index may forbid to cut', () => {
    const flags = NULLS_ALLOWED | INDEX_FLAG.noKeyTruncation;
    expect(() => keyOf(COLTYP.text, asciiOf('abcdef'), { keyMost: 5, flags })).toThrow(
      expect.objectContaining({ name: 'JET_errKeyTruncated' }),
    );
  });

  it('a key of the default limit takes 255 bytes of data, another as many as fill it', () => {
    const long = new Uint8Array(700).fill(1);
    expect(keyOf(COLTYP.longBinary, long)?.length).toBe(2 * 255);
    // 300 bytes of data give 338 normalised bytes; 600 of them fill a key of 600.
    expect(keyOf(COLTYP.longBinary, long, { keyMost: 600 })?.length).toBe(2 * 600);
    expect(keyOf(COLTYP.longText, asciiOf(`${'x'.repeat(299)}\0${'y'.repeat(600)}`), { keyMost: 500 })).toBe(
      `7f${'58'.repeat(299)}00`,
    );
  });
});

describe('NULLs and conditions', () => {
  const columns = [column(256, COLTYP.long), column(257, COLTYP.long)];
  const both = (flags: number) => index([segment(256), segment(257)], flags);
  const one = [littleEndian(4, 1n)];

  it('each kind of NULL needs its flag', () => {
    expect(keysOf(both(INDEX_FLAG.allowAllNulls), columns, [[], []])).toEqual(['0000']);
    expect(keysOf(both(INDEX_FLAG.allowFirstNull | INDEX_FLAG.allowSomeNulls), columns, [[], []])).toEqual(
      [],
    );
    expect(keysOf(both(INDEX_FLAG.allowFirstNull), columns, [[], one])).toEqual(['007f80000001']);
    expect(keysOf(both(INDEX_FLAG.allowAllNulls | INDEX_FLAG.allowSomeNulls), columns, [[], one])).toEqual(
      [],
    );
    expect(keysOf(both(INDEX_FLAG.allowSomeNulls), columns, [one, []])).toEqual(['7f8000000100']);
    expect(keysOf(both(INDEX_FLAG.allowAllNulls | INDEX_FLAG.allowFirstNull), columns, [one, []])).toEqual(
      [],
    );
  });

  it('NULL can sort high', () => {
    expect(keysOf(both(NULLS_ALLOWED | INDEX_FLAG.sortNullsHigh), columns, [one, []])).toEqual([
      '7f80000001c0',
    ]);
  });

  it('a condition excludes the record altogether', () => {
    const conditional = (mustBeNull: boolean) =>
      index([segment(256)], NULLS_ALLOWED, { conditions: [{ ...segment(257), mustBeNull }] });
    expect(keysOf(conditional(true), columns, [one, []])).toEqual(['7f80000001']);
    expect(keysOf(conditional(true), columns, [one, one])).toEqual([]);
    expect(keysOf(conditional(false), columns, [one, []])).toEqual([]);
    expect(keysOf(conditional(false), columns, [one, one])).toEqual(['7f80000001']);
  });
});

describe('several values', () => {
  const columns = [column(256, COLTYP.unsignedByte), column(257, COLTYP.unsignedByte)];
  const rows: Values[] = [
    [bytesOf('01'), bytesOf('02'), bytesOf('01')],
    [bytesOf('0a'), bytesOf('0b')],
  ];
  const both = (flags: number) =>
    index([segment(256), segment(257)], NULLS_ALLOWED | INDEX_FLAG.multiValued | flags);

  it('the first multi-valued segment goes through its values, equal keys count once', () => {
    expect(keysOf(both(0), columns, rows)).toEqual(['7f017f0a', '7f027f0a']);
  });

  it('without the flag of the index only first values count', () => {
    expect(keysOf(index([segment(256), segment(257)], NULLS_ALLOWED), columns, rows)).toEqual(['7f017f0a']);
  });

  it('cross product: all combinations', () => {
    expect(keysOf(both(INDEX_FLAG.crossProduct), columns, rows)).toEqual([
      '7f017f0a',
      '7f017f0b',
      '7f027f0a',
      '7f027f0b',
    ]);
  });

  it('nested: values of the same number, a missing one is NULL', () => {
    expect(keysOf(both(INDEX_FLAG.nestedTable), columns, rows)).toEqual(['7f017f0a', '7f027f0b', '7f0100']);
  });

  it('no value at all is one NULL', () => {
    expect(keysOf(both(0), columns, [[], [bytesOf('0a')]])).toEqual(['007f0a']);
  });
});

describe('tuples', () => {
  const limits = { lengthMin: 3, lengthMax: 4, tuplesMax: 32767, increment: 1, start: 0 };
  const text = column(256, COLTYP.longText);
  const tuples = (more: object) => index([segment(256)], 0, { tupleLimits: { ...limits, ...more } });
  const key = (part: string) => `7f${hexOf(asciiOf(part))}00`;

  it('pieces of the text from each start, until fewer characters than the least remain', () => {
    expect(keysOf(tuples({}), [text], [[asciiOf('ABCDEF')]])).toEqual(
      ['ABCD', 'BCDE', 'CDEF', 'DEF'].map(key),
    );
  });

  it('start, increment and most', () => {
    expect(keysOf(tuples({ start: 1, increment: 2 }), [text], [[asciiOf('ABCDEF')]])).toEqual(
      ['BCDE', 'DEF'].map(key),
    );
    expect(keysOf(tuples({ tuplesMax: 2 }), [text], [[asciiOf('ABCDEF')]])).toEqual(
      ['ABCD', 'BCDE'].map(key),
    );
  });

  it('short texts and NULL have none', () => {
    expect(keysOf(tuples({}), [text], [[asciiOf('AB')]])).toEqual([]);
    expect(keysOf(tuples({}), [text], [[]])).toEqual([]);
  });

  it('limits that would never end are a damaged catalog', () => {
    for (const bad of [{ lengthMin: 0 }, { increment: 0 }]) {
      expect(() => keysOf(tuples(bad), [text], [[asciiOf('ABCDEF')]])).toThrow(
        expect.objectContaining({ name: 'JET_errCatalogCorrupted' }),
      );
    }
  });
});

describe('Unicode text', () => {
  const unicode = column(256, COLTYP.longText, { codePage: 1200 });
  const text = Uint8Array.from(Buffer.from('aé', 'utf16le'));

  it('the upper-case mode writes upper-cased units big-endian, then 00 00', () => {
    const definition = index([segment(256)], NULLS_ALLOWED, { lcMapFlags: 0x200 });
    expect(keysOf(definition, [unicode], [[text]])).toEqual(['7f004100c90000']);
  });

  it('a key of the default limit asks for 254 bytes of text, another for more until it is full', () => {
    const long = new Uint8Array(700).fill(0x20);
    const asked = (keyMost: number): number[] => {
      const lengths: number[] = [];
      const definition = index([segment(256)], NULLS_ALLOWED, { lcMapFlags: 0x30401, keyMost });
      keysOf(definition, [unicode], [[long]], (_, start, end) => {
        lengths.push(end - start);
        return bytesOf('0e020e21010101 0100');
      });
      return lengths;
    };
    expect(asked(255)).toEqual([254]);
    expect(asked(300)).toEqual([300, 600, 700]);
  });

  it('other modes need the sort key of the operating system', () => {
    const definition = index([segment(256)], NULLS_ALLOWED, { lcMapFlags: 0x30401 });
    const layout = createRecordLayout([unicode], 32768);
    expect(createKeyBuilder(layout, definition).needsSortKeys).toBe(true);
    expect(() => keysOf(definition, [unicode], [[text]])).toThrow(
      expect.objectContaining({ name: 'JET_errUnicodeTranslationFail' }),
    );
    expect(keysOf(definition, [unicode], [[]])).toEqual(['00']);
    expect(keysOf(definition, [unicode], [[text]], () => bytesOf('0e020e21010101 0100'))).toEqual([
      '7f0e020e210101010100',
    ]);
  });
});

describe('keys taken apart', () => {
  const columns = [
    column(256, COLTYP.short),
    column(257, COLTYP.binary),
    column(258, COLTYP.text),
    column(259, COLTYP.ieeeDouble),
  ];
  const definition = index([segment(256, true), segment(257), segment(258), segment(259)], NULLS_ALLOWED);
  const layout = createRecordLayout(columns, 32768);

  it('give back every value but text', () => {
    const rows = [[littleEndian(2, -5n)], [bytesOf('010203')], [asciiOf('text')], [double(-2.5)]];
    const [key] = keysOf(definition, columns, rows);
    const segments = splitKey(layout, definition, bytesOf(key ?? ''));
    expect(segments.map(({ kind, value }) => value && [kind, hexOf(value)])).toEqual([
      ['value', hexOf(littleEndian(2, -5n))],
      ['value', '010203'],
      undefined,
      ['value', hexOf(double(-2.5))],
    ]);
    expect(segments.map(({ start, end }) => end - start)).toEqual([3, 10, 6, 9]);
  });

  it('know NULL, empty and cut segments', () => {
    const segments = splitKey(layout, definition, bytesOf('ff 40 7f 4142'));
    expect(segments.map(({ kind, whole }) => [kind, whole])).toEqual([
      ['null', true],
      ['empty', true],
      ['value', false],
    ]);
  });

  it('bytes that are no key are refused', () => {
    expect(() => splitKey(layout, definition, bytesOf('05'))).toThrow(
      expect.objectContaining({ name: 'JET_errDatabaseCorrupted' }),
    );
  });
});
