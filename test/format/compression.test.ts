import { describe, expect, it } from 'vitest';
import { compressSevenBit, decompressedSize, decompressToNew } from '../../src/format/compression.js';
import { asciiOf, bytesOf, hexOf } from './bytes.js';

const plainOf = (packed: string): Uint8Array => {
  const bytes = bytesOf(packed);
  return decompressToNew(bytes, 0, bytes.length);
};

describe('7-bit compression', () => {
  // Format specification, chapter 3.6.2: 41 letters a, 7 bits used in the last byte.
  const LETTERS =
    '0e e1 70 38 1c 0e 87 c3 e1 70 38 1c 0e 87 c3 e1 70 38 1c 0e 87 c3 e1 70 38 1c 0e 87 c3 e1 70 38 1c 0e 87 c3 61';

  it('scheme 1 gives bytes', () => {
    expect(Buffer.from(plainOf(LETTERS)).toString('latin1')).toBe('a'.repeat(41));
  });

  it('scheme 2 gives UTF-16 units', () => {
    // Chapter 3.6.3: "Record", ten spaces, "0"; the tail follows from the 7-bit packing of the text.
    const packed = compressSevenBit(Uint8Array.from(Buffer.from('Record          0', 'utf16le')));
    expect(packed?.[0]).toBe(0x16);
    expect(hexOf(packed ?? new Uint8Array(), 16)).toBe('16d2f2f82d2783402010080402814030'.slice(0, 32));
    expect(Buffer.from(plainOf(hexOf(packed ?? new Uint8Array()))).toString('utf16le')).toBe(
      'Record          0',
    );
  });

  it('compression gives the bytes that Windows stored', () => {
    expect(hexOf(compressSevenBit(asciiOf('a'.repeat(41))) ?? new Uint8Array())).toBe(
      hexOf(bytesOf(LETTERS)),
    );
  });

  it('is not used where it would not be shorter, or where a byte has eight bits', () => {
    expect(compressSevenBit(asciiOf('short'))).toBeUndefined();
    expect(compressSevenBit(asciiOf('exactly'))).toBeUndefined();
    expect(compressSevenBit(asciiOf(`\u00e4${'x'.repeat(40)}`))).toBeUndefined();
    expect(compressSevenBit(new Uint8Array(0))).toBeUndefined();
  });

  it('a value without data is refused', () => {
    expect(() => plainOf('08')).toThrow(expect.objectContaining({ name: 'JET_errDecompressionFailed' }));
  });
});

describe('XPRESS', () => {
  it('literals, an overlapping match of 16-bit length, the end mark', () => {
    // Chapter 3.6.3: 28 literals, then one match of 1023 bytes at distance 1.
    const packed = `181b04 0f000000 ${hexOf(asciiOf('Long compressed ASCII text a'))} 0700 0f ff fc03`;
    expect(Buffer.from(plainOf(packed)).toString('latin1')).toBe(
      `Long compressed ASCII text ${'a'.repeat(1024)}`,
    );
  });

  it('two matches share the byte of their length nibbles, low half first', () => {
    // Tag bits 0 1 1 1: "a", a match of 7+3+3=13 at distance 1, another of 7+3+5=15, the end mark.
    const tag = '00000070';
    const packed = `181d00 ${tag} 61 0700 53 0700`;
    expect(Buffer.from(plainOf(packed)).toString('latin1')).toBe('a'.repeat(29));
  });

  it('a nibble of 15 goes on in a byte', () => {
    // 15 + 7 + 3 + 4 = 29 bytes after the literal.
    expect(plainOf('181e00 00000060 61 0700 0f 04')).toHaveLength(30);
  });

  it('damaged data are refused', () => {
    for (const packed of [
      '181e00 000000', // no whole tag word
      '181e00 00000060 61 0700', // no nibble
      '181e00 00000060 61 0f00 0f 04', // distance 2 before the start
      '180200 00000060 61 0700 0f 04', // match longer than the plain size
      '181e00 00000060 61 0700 0f ff 0001', // 16-bit length below 277
      '18', // no size
    ]) {
      expect(() => plainOf(packed), packed).toThrow(
        expect.objectContaining({ name: 'JET_errDecompressionFailed' }),
      );
    }
  });
});

describe('LZ4 blocks', () => {
  it('literals, an overlapping match, final literals', () => {
    // Token 1 literal, match 4+11 at distance 1; token 5 literals.
    const packed = `381500 1b 61 0100 50 ${hexOf(asciiOf('bcdef'))}`;
    expect(Buffer.from(plainOf(packed)).toString('latin1')).toBe(`${'a'.repeat(16)}bcdef`);
  });

  it('lengths of 15 go on in bytes', () => {
    const literals = 'x'.repeat(15 + 255 + 3);
    const packed = `381101 f0 ff 03 ${hexOf(asciiOf(literals))}`;
    expect(Buffer.from(plainOf(packed)).toString('latin1')).toBe(literals);
  });

  it('damaged data are refused', () => {
    for (const packed of [
      '380500 50 61',
      '380500 10 61 0200 00',
      '380900 10 61',
      '38ff00 f0 ff',
      '380500 14 61 01',
    ]) {
      expect(() => plainOf(packed), packed).toThrow(
        expect.objectContaining({ name: 'JET_errDecompressionFailed' }),
      );
    }
  });
});

describe('schemes that are not read', () => {
  it.each([
    ['20aa', 'scrubbed'],
    ['28 01020304 aa', 'XPRESS9'],
    ['30 0a00 01020304 0102030405060708 aa', 'XPRESS10'],
    ['00aa', 'scheme 0'],
    ['f8aa', 'scheme 31'],
  ])('%s is refused by name', (packed, reason) => {
    expect(() => plainOf(packed)).toThrow(
      expect.objectContaining({
        name: 'JET_errDecompressionFailed',
        message: expect.stringContaining(reason),
      }),
    );
  });

  it('XPRESS10 tells its size all the same', () => {
    const bytes = bytesOf('30 0a01 01020304 0102030405060708 aa');
    expect(decompressedSize(bytes, 0, bytes.length)).toBe(266);
  });
});
