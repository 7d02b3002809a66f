import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { COLTYP, COLUMN_FLAG, type ColumnDefinition } from '../../src/format/column.js';
import { decompressToNew } from '../../src/format/compression.js';
import { EseError } from '../../src/format/ese-error.js';
import {
  createRecordLayout,
  createRecordValues,
  createValueView,
  locateColumns,
  locateValue,
  type RecordLayout,
  STORED,
  valueCount,
} from '../../src/format/record.js';
import { asciiOf, bytesOf, hexOf } from './bytes.js';

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
  flags: 0,
  fixedOffset: 0,
  derived: false,
  ...more,
});

/** All values of a record by column id, in hexadecimal; marks: ~ compressed, @ separated. */
function valuesIn(layout: RecordLayout, record: Uint8Array): Record<number, string[]> {
  const values = createRecordValues(layout);
  locateColumns(layout, record, 0, record.length, values);
  const view = createValueView();
  const found: Record<number, string[]> = {};
  layout.columns.forEach(({ columnId }, index) => {
    const count = valueCount(layout, values, index);
    if (count === 0) return;
    found[columnId] = [];
    for (let itag = 1; itag <= count; itag++) {
      expect(locateValue(layout, values, index, itag, view)).toBe(true);
      const mark = (view.compressed ? '~' : '') + (view.separated ? '@' : '');
      found[columnId]?.push(mark + hexOf(view.bytes.subarray(view.start, view.end)));
    }
    expect(locateValue(layout, values, index, count + 1, view)).toBe(false);
  });
  return found;
}

const corrupted = expect.objectContaining({ name: 'JET_errDatabaseCorrupted' });

describe('fixed and variable columns', () => {
  const layout = createRecordLayout(
    [
      column(1, COLTYP.long, { fixedOffset: 4 }),
      column(2, COLTYP.bit, { fixedOffset: 8 }),
      column(3, COLTYP.short, {
        fixedOffset: 9,
        flags: COLUMN_FLAG.default,
        defaultValue: bytesOf('0700'),
      }),
      column(128, COLTYP.text, { maxLength: 255 }),
      column(129, COLTYP.binary, { maxLength: 255 }),
      column(130, COLTYP.binary, {
        maxLength: 255,
        flags: COLUMN_FLAG.default,
        defaultValue: asciiOf('variable'),
      }),
      column(256, COLTYP.longText, {
        flags: COLUMN_FLAG.default | COLUMN_FLAG.userDefinedDefault,
        defaultValue: asciiOf('by callback'),
      }),
    ],
    4096,
  );

  it('the smallest record holds nothing but defaults', () => {
    expect(valuesIn(layout, bytesOf('007f0400'))).toEqual({ 3: ['0700'], 130: [hexOf(asciiOf('variable'))] });
  });

  it('a bit of the bitmap makes a fixed column NULL, whatever its bytes', () => {
    // Columns 1-3 stored; bit 1 set: column 2 is NULL and keeps its filler.
    expect(valuesIn(layout, bytesOf('037f0c00 01000000 2a 0500 fa'))).toEqual({
      1: ['01000000'],
      3: ['0500'],
      130: [hexOf(asciiOf('variable'))],
    });
  });

  it('variable columns end where their offsets say; equal ends are empty, the top bit is NULL', () => {
    // 128 = "ab", 129 = "" (not NULL), 130 NULL: its default does not count.
    expect(valuesIn(layout, bytesOf('00820400 0200 0200 0280 6162'))).toEqual({
      3: ['0700'],
      128: ['6162'],
      129: [''],
    });
  });

  it.each([
    ['three bytes', '007f04'],
    ['a fixed area behind the end', '017f0900'],
    ['no room for the bitmap', '017f0400'],
    ['a fixed area too short for its column', '017f0700 010000 fe'],
    ['a fixed column id above 127', `807f1400${'00'.repeat(16)}`],
    ['a variable column id below 127', '007e0400'],
    ['offsets behind the end', '00810400 0200'],
    ['a variable value behind the end', '00800400 0300 6162'],
    ['variable ends that go back', '00810400 0200 0100 6162'],
  ])('%s is a damaged record', (_, record) => {
    expect(() => valuesIn(layout, bytesOf(record))).toThrow(corrupted);
  });
});

describe('tagged columns on small pages', () => {
  const layout = createRecordLayout(
    [
      column(1, COLTYP.long, { fixedOffset: 4 }),
      column(256, COLTYP.bit),
      column(258, COLTYP.short),
      column(265, COLTYP.longBinary),
      column(266, COLTYP.longText),
      column(271, COLTYP.longText, { flags: COLUMN_FLAG.default, defaultValue: asciiOf('default') }),
    ],
    4096,
  );
  const fixed = '017f0900 02000000 fe';

  it('two values: the length of the first, then both (chapter 3.6.2)', () => {
    expect(valuesIn(layout, bytesOf(`${fixed} 00010440 18 01 00 ff`))[256]).toEqual(['00', 'ff']);
  });

  it('several values: their offsets, then all of them', () => {
    const data = '08 0600 0800 0a00 0000 0180 ff7f';
    expect(valuesIn(layout, bytesOf(`${fixed} 02010440 ${data}`))[258]).toEqual(['0000', '0180', 'ff7f']);
  });

  it('several separated values: the top bits of the offsets', () => {
    const data = '09 0680 0a80 0e80 01000000 02000000 03000000';
    expect(valuesIn(layout, bytesOf(`${fixed} 09010440 ${data}`))[265]).toEqual([
      '@01000000',
      '@02000000',
      '@03000000',
    ]);
  });

  it('a compressed multi-value compresses its first value only', () => {
    const first =
      '0e e1 70 38 1c 0e 87 c3 e1 70 38 1c 0e 87 c3 e1 70 38 1c 0e 87 c3 e1 70 38 1c 0e 87 c3 e1 70 38 1c 0e 87 c3 61';
    const data = `0b 0600 2b00 5300 ${first} ${'62'.repeat(40)} ${'63'.repeat(35)}`;
    const [compressed, ...plain] = valuesIn(layout, bytesOf(`${fixed} 0f010440 ${data}`))[271] ?? [];
    expect(plain).toEqual(['62'.repeat(40), '63'.repeat(35)]);
    expect(compressed?.[0]).toBe('~');
    const packed = bytesOf(compressed ?? '');
    expect(hexOf(decompressToNew(packed, 0, packed.length))).toBe('61'.repeat(41));
  });

  it('one separated value, one plain one, an explicit NULL over a default', () => {
    const record = `${fixed} 09010c40 0a011140 0f011420 05 03000000 01 6162`;
    expect(valuesIn(layout, bytesOf(record))).toEqual({ 1: ['02000000'], 265: ['@03000000'], 266: ['6162'] });
  });

  it('entries of columns that nobody knows are counted, not read', () => {
    const values = createRecordValues(layout);
    const record = bytesOf(`${fixed} 04010840 ff010940 01 01`);
    locateColumns(layout, record, 0, record.length, values);
    expect([values.taggedCount, values.unknownCount]).toEqual([2, 2]);
  });

  it.each([
    ['an area of three bytes', '090104'],
    ['an array of no entries', '09010040 01'],
    ['an array that ends inside an entry', '09010640 01 01'],
    ['an array longer than the record', '09010c40 01'],
    ['an offset behind the end', '09010840 0a01ff40 01 01'],
    ['offsets that go back', '09010940 0a010840 01 01'],
    ['ids that go back', '0a010840 09010940 01 01'],
    ['the same id twice', '09010840 09010940 01 01'],
    ['a fixed id among the tagged', '01000440 01'],
    ['a NULL with data', '09010420 01'],
    ['a header without its byte', '09010840 0a010840 01'],
    ['a long value without a header', '09010400 01'],
    ['a long-value header on a short type', '00010440 01 00'],
  ])('%s is a damaged record', (_, tagged) => {
    expect(() => valuesIn(layout, bytesOf(`${fixed} ${tagged}`))).toThrow(corrupted);
  });

  it.each([
    ['two values with a first one too long', '00010440 18 05 00'],
    ['two values without a byte', '00010440 18'],
    ['several values with one offset', '02010440 08 0200 0000'],
    ['several values with an odd offset', '02010440 08 0500 0700 00'],
    ['several values whose offsets pass the end', '02010440 08 0400 0900 0000'],
    ['several values whose offsets go back', '02010440 08 0600 0800 0700 0000 0000'],
    ['a value both separated and compressed', '09010440 07 00000000'],
  ])('%s is damage found when the value is read', (_, tagged) => {
    expect(() => valuesIn(layout, bytesOf(`${fixed} ${tagged}`))).toThrow(corrupted);
  });
});

describe('tagged columns on large pages', () => {
  const layout = createRecordLayout(
    [
      column(1, COLTYP.guid, { fixedOffset: 4 }),
      column(256, COLTYP.longBinary),
      column(257, COLTYP.long, { flags: COLUMN_FLAG.default, defaultValue: bytesOf('01000000') }),
    ],
    16384,
  );

  it('every value has a header byte, and a 64-bit id stands for a separated one (chapter 3.6.3)', () => {
    const record = bytesOf('017f1500 52e487d3b3e22d47b3b385c2be33cbb3 fe 00010400 05 6600008000000080');
    expect(valuesIn(layout, record)).toEqual({
      1: ['52e487d3b3e22d47b3b385c2be33cbb3'],
      256: ['@6600008000000080'],
      257: ['01000000'],
    });
  });

  it('the header byte says NULL; a plain short value has 00', () => {
    expect(valuesIn(layout, bytesOf('007f0400 01010400 20'))).toEqual({});
    expect(valuesIn(layout, bytesOf('007f0400 01010400 00 07000000'))).toEqual({ 257: ['07000000'] });
  });
});

describe('columns of a template table', () => {
  const columns = (flags: number) => [
    column(256, COLTYP.long, { derived: true, flags }),
    column(256, COLTYP.long, { name: 'own' }),
  ];

  it('are told from own columns of the same id by the derived bit, and come first', () => {
    const layout = createRecordLayout(columns(COLUMN_FLAG.templateColumn), 4096);
    const values = createRecordValues(layout);
    const record = bytesOf('007f0400 00010880 00010c00 01000000 02000000');
    locateColumns(layout, record, 0, record.length, values);
    expect([...values.stored]).toEqual([STORED.plain, STORED.plain]);
    expect([...values.starts]).toEqual([12, 16]);
    const reversed = bytesOf('007f0400 00010800 00010c80 01000000 02000000');
    expect(() => locateColumns(layout, reversed, 0, reversed.length, values)).toThrow(corrupted);
  });
});

describe('random bytes', () => {
  it('give values or one error, never a crash', () => {
    const types = [COLTYP.long, COLTYP.text, COLTYP.longBinary, COLTYP.guid, COLTYP.bit];
    const columns = [1, 2, 3, 7, 128, 129, 140, 256, 257, 258, 300].map((id, i) =>
      column(id, types[i % types.length] ?? 0, { maxLength: 8, fixedOffset: id < 128 ? 4 + 8 * id : 0 }),
    );
    const layouts = [4096, 32768].map((pageSize) => createRecordLayout(columns, pageSize));
    const header = fc.tuple(
      fc.integer({ min: 0, max: 9 }),
      fc.integer({ min: 126, max: 131 }),
      fc.integer({ min: 0, max: 40 }),
    );
    fc.assert(
      fc.property(header, fc.uint8Array({ maxLength: 120 }), ([fixedLast, varLast, end], rest) => {
        const record = Uint8Array.from([fixedLast, varLast, end, 0, ...rest]);
        for (const layout of layouts) {
          try {
            for (const list of Object.values(valuesIn(layout, record))) {
              for (const value of list) expect(value.length).toBeLessThanOrEqual(2 + 2 * record.length);
            }
          } catch (error) {
            if (!(error instanceof EseError)) throw error;
          }
        }
      }),
      { numRuns: 3000, seed: 1 },
    );
  });
});
