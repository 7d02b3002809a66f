import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { appendInteger, appendInteger64, createByteWriter, reserve } from '../../src/format/byte-writer.js';
import { appendCanonicalValue } from '../../src/format/canonical-value.js';
import { COLTYP } from '../../src/format/column.js';
import { appendDisplayValue } from '../../src/format/display-value.js';
import { decodeText, isDecodable } from '../../src/format/text.js';
import { asciiOf, bytesOf } from './bytes.js';

const utf16 = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'utf16le'));
const double = (value: number): Uint8Array => new Uint8Array(new Float64Array([value]).buffer);
const single = (value: number): Uint8Array => new Uint8Array(new Float32Array([value]).buffer);
const int64 = (value: bigint): Uint8Array => new Uint8Array(new BigInt64Array([value]).buffer);

const canonical = (coltyp: number, bytes: Uint8Array, codePage = 1252): string => {
  const out = createByteWriter(0);
  appendCanonicalValue(out, coltyp, codePage, bytes, 0, bytes.length);
  return Buffer.from(out.bytes.subarray(0, out.length)).toString('latin1');
};

const display = (style: 'jsonl' | 'csv', coltyp: number, bytes: Uint8Array, codePage = 1252): string => {
  const out = createByteWriter(0);
  appendDisplayValue(out, style, coltyp, codePage, bytes, 0, bytes.length);
  return Buffer.from(out.bytes.subarray(0, out.length)).toString('utf8');
};

describe('canonical values', () => {
  it.each([
    [COLTYP.bit, '00', 'false'],
    [COLTYP.bit, '01', 'true'],
    [COLTYP.unsignedByte, 'ff', '255'],
    [COLTYP.short, 'c7fa', '-1337'],
    [COLTYP.unsignedShort, 'ffff', '65535'],
    [COLTYP.long, '00000080', '-2147483648'],
    [COLTYP.unsignedLong, 'ffffffff', '4294967295'],
    [COLTYP.currency, '0100000000000080', '"-9223372036854775807"'],
    [COLTYP.longLong, 'ffffffffffffff7f', '"9223372036854775807"'],
    [COLTYP.unsignedLongLong, 'ffffffffffffffff', '"18446744073709551615"'],
    [COLTYP.ieeeSingle, '0000803f', '"f32:3f800000"'],
    [COLTYP.ieeeDouble, '4361472424f98069', '"f64:6980f92424476143"'],
    [COLTYP.dateTime, '000000000080e1af', '"dt:afe1800000000000"'],
    [COLTYP.guid, 'f10a363f6667dc469af20dacf295c2a1', '"3f360af1-6766-46dc-9af2-0dacf295c2a1"'],
    [COLTYP.binary, '00ab', '"00ab"'],
    [COLTYP.longBinary, '', '""'],
  ])('type %i, bytes %s: %s', (coltyp, bytes, expected) => {
    expect(canonical(coltyp, bytesOf(bytes))).toBe(expected);
  });

  it('text is JSON in ASCII', () => {
    expect(canonical(COLTYP.text, asciiOf('a"b\\c\n\t\u0001\u007f\u00e4'))).toBe(
      '"a\\"b\\\\c\\n\\t\\u0001\\u007f\\u00e4"',
    );
    expect(canonical(COLTYP.text, bytesOf('80'))).toBe('"\\u20ac"');
    expect(canonical(COLTYP.longText, utf16('🦊 end\0'), 1200)).toBe('"\\ud83e\\udd8a end\\u0000"');
    expect(canonical(COLTYP.longText, bytesOf('3ed8'), 1200)).toBe('"\\ud83e"');
  });

  it('long text comes in pieces that join without a seam', () => {
    const text = 'aé🦊\n'.repeat(40_000);
    expect(JSON.parse(canonical(COLTYP.longText, utf16(text), 1200))).toBe(text);
    expect(JSON.parse(display('jsonl', COLTYP.longText, utf16(text), 1200))).toBe(text);
  });

  it('bytes that are no text of their code page are given as they are', () => {
    expect(canonical(COLTYP.text, bytesOf('4181'))).toBe('{"hex":"4181"}');
    expect(canonical(COLTYP.text, bytesOf('41e4'), 20127)).toBe('{"hex":"41e4"}');
    expect(canonical(COLTYP.text, bytesOf('460020'), 1200)).toBe('{"hex":"460020"}');
    expect(canonical(COLTYP.text, bytesOf('41'), 4711)).toBe('{"hex":"41"}');
  });

  it('a value of the wrong size is refused', () => {
    expect(() => canonical(COLTYP.long, bytesOf('00'))).toThrow(
      expect.objectContaining({ name: 'JET_errDatabaseCorrupted' }),
    );
  });
});

describe('values for display', () => {
  it('OLE dates follow OLE: the fraction is the time of day even before 1899-12-30', () => {
    // 36220 = 1999-03-01. The last three are OLE's own examples of negative dates.
    expect(display('jsonl', COLTYP.dateTime, double(36220))).toBe('"1999-03-01T00:00:00.000"');
    expect(display('csv', COLTYP.dateTime, double(36220.75))).toBe('1999-03-01T18:00:00.000');
    expect(display('csv', COLTYP.dateTime, double(0))).toBe('1899-12-30T00:00:00.000');
    expect(display('csv', COLTYP.dateTime, double(-1))).toBe('1899-12-29T00:00:00.000');
    expect(display('csv', COLTYP.dateTime, double(-1.25))).toBe('1899-12-29T06:00:00.000');
    expect(display('csv', COLTYP.dateTime, double(-1.75))).toBe('1899-12-29T18:00:00.000');
    expect(display('csv', COLTYP.dateTime, double(-657434))).toBe('0100-01-01T00:00:00.000');
    expect(display('csv', COLTYP.dateTime, double(2958465.99999))).toBe('9999-12-31T23:59:59.136');
  });

  it('a FILETIME in a DateTime column is recognised, and is UTC', () => {
    // The Unix epoch, and the last tick of a day.
    expect(display('jsonl', COLTYP.dateTime, int64(116444736000000000n))).toBe(
      '"1970-01-01T00:00:00.0000000Z"',
    );
    expect(display('jsonl', COLTYP.dateTime, int64(132815602642009395n))).toBe(
      '"2021-11-16T18:17:44.2009395Z"',
    );
    expect(display('jsonl', COLTYP.dateTime, int64(116445599999999999n))).toBe(
      '"1970-01-01T23:59:59.9999999Z"',
    );
  });

  it('every FILETIME agrees with the clock of the platform', () => {
    const least = Number(0x0180000000000000n / 10_000n);
    const most = Number(0x0240000000000000n / 10_000n);
    fc.assert(
      fc.property(
        fc.integer({ min: least + 1, max: most - 1 }),
        fc.integer({ min: 0, max: 9999 }),
        (ms, ticks) => {
          const shown = display('csv', COLTYP.dateTime, int64(BigInt(ms) * 10_000n + BigInt(ticks)));
          const iso = new Date(ms - 11_644_473_600_000).toISOString().slice(0, -1);
          expect(shown).toBe(`${iso}${String(ticks).padStart(4, '0')}Z`);
        },
      ),
      { numRuns: 500, seed: 1 },
    );
  });

  it('what is no date keeps its bits', () => {
    expect(display('jsonl', COLTYP.dateTime, double(Number.NaN))).toBe('"dt:7ff8000000000000"');
    expect(display('csv', COLTYP.dateTime, double(1e9))).toBe('dt:41cdcd6500000000');
  });

  it('floating-point numbers are the shortest that read back the same', () => {
    expect(display('jsonl', COLTYP.ieeeSingle, single(1.1))).toBe('1.1');
    expect(display('jsonl', COLTYP.ieeeSingle, single(16777216))).toBe('16777216');
    expect(display('jsonl', COLTYP.ieeeDouble, double(13371337.13371337))).toBe('13371337.13371337');
    expect(display('jsonl', COLTYP.ieeeDouble, double(Number.POSITIVE_INFINITY))).toBe('"Infinity"');
    expect(display('csv', COLTYP.ieeeDouble, double(Number.NaN))).toBe('NaN');
  });

  it('every single reads back the same', () => {
    fc.assert(
      fc.property(fc.float({ noNaN: true, noDefaultInfinity: true }), (value) => {
        expect(Math.fround(Number(display('csv', COLTYP.ieeeSingle, single(value))))).toBe(value + 0);
      }),
      { numRuns: 500, seed: 1 },
    );
  });

  it('jsonl keeps text as it is; every string reads back by a JSON parser', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(JSON.parse(display('jsonl', COLTYP.longText, utf16(text), 1200))).toBe(text);
      }),
      { numRuns: 500, seed: 1 },
    );
    expect(display('jsonl', COLTYP.longText, bytesOf('3ed8 4100'), 1200)).toBe('"\\ud83eA"');
    expect(display('jsonl', COLTYP.text, bytesOf('8081'))).toBe('"€\u0081"');
    expect(display('jsonl', COLTYP.text, bytesOf('cde4'), 1251)).toBe('"Нд"');
  });

  it('csv quotes text, doubles quotes, and leaves out the NULs that end it', () => {
    expect(display('csv', COLTYP.longText, utf16('say "hi"\nEnd\0\0'), 1200)).toBe('"say ""hi""\nEnd"');
    expect(display('csv', COLTYP.text, asciiOf('a\0b\0'))).toBe('"a␀b"');
    expect(display('csv', COLTYP.longText, bytesOf('3ed8 4100'), 1200)).toBe('"\ufffdA"');
  });

  it('64-bit integers are strings in jsonl, numbers in csv', () => {
    expect(display('jsonl', COLTYP.longLong, int64(-5n))).toBe('"-5"');
    expect(display('csv', COLTYP.longLong, int64(-5n))).toBe('-5');
  });
});

describe('text', () => {
  it('decodes for display whatever the bytes are', () => {
    expect(decodeText(bytesOf('808141'), 0, 3, 1252)).toBe('€\u0081A');
    expect(decodeText(bytesOf('4600205500'), 0, 3, 1200)).toBe('F ');
    expect(decodeText(bytesOf('41e4'), 0, 2, 20127)).toBe('A\ufffd');
    expect(decodeText(bytesOf('41e4'), 0, 2, 4711)).toBe('Aä');
    expect(isDecodable(bytesOf('ff'), 0, 1, 65001)).toBe(false);
  });
});

describe('integers', () => {
  const written = (append: (out: ReturnType<typeof createByteWriter>) => void): string => {
    const out = createByteWriter(0);
    append(out);
    return Buffer.from(out.bytes.subarray(0, out.length)).toString('latin1');
  };

  it('of 64 bits come out exactly', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), (value) => {
        const high = Number(value >> 32n);
        const low = Number(value & 0xffffffffn);
        expect(written((out) => appendInteger64(out, high, low, false))).toBe(String(value));
        expect(written((out) => appendInteger64(out, high, low, true))).toBe(
          String(BigInt.asIntN(64, value)),
        );
      }),
      { numRuns: 1000, seed: 1 },
    );
  });

  it('take as many digits as asked', () => {
    expect([0, 7, 999, 1000].map((value) => written((out) => appendInteger(out, value, 3)))).toEqual([
      '000',
      '007',
      '999',
      '1000',
    ]);
  });
});

describe('room for output', () => {
  it('that no machine has is an error of the engine, not of the program', () => {
    expect(() => reserve(createByteWriter(0), 2 ** 53 - 100)).toThrow(
      expect.objectContaining({ name: 'JET_errOutOfMemory' }),
    );
  });
});
