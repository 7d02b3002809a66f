import { describe, expect, it } from 'vitest';
import { createByteWriter } from '../../src/format/byte-writer.js';
import {
  assembleLongValue,
  compareLids,
  decodeLongValueRoot,
  formatLid,
  isValidLid,
  type Lid,
  LONG_VALUE_ROOT,
  longValueChunkSize,
  longValueKey,
  readLid,
  readLongValueKey,
} from '../../src/format/long-value.js';
import { asciiOf, bytesOf, hexOf } from './bytes.js';

const lidOf = (stored: string): Lid => {
  const lid = { high: 0, low: 0 };
  const bytes = bytesOf(stored);
  readLid(bytes, 0, bytes.length, lid);
  return lid;
};

const lvCorrupted = expect.objectContaining({ name: 'JET_errLVCorrupted' });

describe('long-value ids', () => {
  it('are 4 or 8 bytes in the record, big-endian in the tree (format specification, chapter 3.6.3)', () => {
    expect(hexOf(longValueKey(lidOf('03000000')))).toBe('00000003');
    expect(hexOf(longValueKey(lidOf('6600008000000080')))).toBe('8000000080000066');
    expect(hexOf(longValueKey(lidOf('03000000'), 4014))).toBe('0000000300000fae');
    expect(hexOf(longValueKey(lidOf('6600008000000080'), 0))).toBe('800000008000006600000000');
    expect(formatLid(lidOf('6600008000000080'))).toBe('9223372039002259558');
  });

  it.each([
    '00000000',
    'fffffe7f01',
    '00ffff7f',
    '0000008000000080',
    '0100000000000000',
    '010000',
    'ffffffffffffffff',
  ])('%s is none', (stored) => {
    expect(() => lidOf(stored)).toThrow(lvCorrupted);
  });

  it('have the ranges of chapter 3.3.1', () => {
    expect(isValidLid({ high: 0, low: 0x7ffffeff })).toBe(true);
    expect(isValidLid({ high: 0, low: 0x7fffff00 })).toBe(false);
    expect(isValidLid({ high: 0x80000000, low: 0x80000001 })).toBe(true);
    expect(isValidLid({ high: 0x80fffffe, low: 0xffffffff })).toBe(true);
    expect(isValidLid({ high: 0x80ffffff, low: 0 })).toBe(false);
  });

  it('sort as their keys do', () => {
    const lids = [lidOf('02000000'), lidOf('01010000'), lidOf('0100008000000080'), lidOf('0000000001000080')];
    expect([...lids].reverse().sort(compareLids)).toEqual(lids);
    const keys = lids.map((lid) => Buffer.from(longValueKey(lid)));
    expect([...keys].reverse().sort(Buffer.compare)).toEqual(keys);
  });
});

describe('keys of a long-value tree', () => {
  const read = (key: string) => {
    const lid = { high: 0, low: 0 };
    return [readLongValueKey(bytesOf(key), bytesOf(key).length, lid), lid] as const;
  };

  it('the top bit tells a 64-bit root from a 32-bit chunk', () => {
    expect(read('00000003')).toEqual([LONG_VALUE_ROOT, { high: 0, low: 3 }]);
    expect(read('0000000300000fae')).toEqual([4014, { high: 0, low: 3 }]);
    expect(read('8000000080000066')).toEqual([LONG_VALUE_ROOT, { high: 0x80000000, low: 0x80000066 }]);
    expect(read('800000008000006600000fd2')).toEqual([4050, { high: 0x80000000, low: 0x80000066 }]);
  });

  it.each(['', '0003', '80000000', '000000030000', '000000030000000000000000'])('"%s" is none', (key) => {
    expect(() => read(key)).toThrow(lvCorrupted);
  });
});

describe('long values', () => {
  it('a root tells references, size and encryption', () => {
    expect(decodeLongValueRoot(bytesOf('010000001b040000'), 0, 8)).toEqual({
      referenceCount: 1,
      size: 1051,
      encrypted: false,
    });
    expect(decodeLongValueRoot(bytesOf('020000001b04000001'), 0, 9)).toMatchObject({ encrypted: true });
    expect(() => decodeLongValueRoot(bytesOf('01000000'), 0, 4)).toThrow(lvCorrupted);
  });

  it('chunks have the size of the page or of the catalog', () => {
    expect([4096, 8192, 16384, 32768].map((size) => longValueChunkSize(size))).toEqual([
      4014, 8110, 4050, 8150,
    ]);
    expect(longValueChunkSize(4096, 1000)).toBe(1000);
  });

  const root = (size: number) => ({ referenceCount: 1, size, encrypted: false });
  const assemble = (size: number, chunkSize: number, chunks: Record<number, Uint8Array>, limit?: number) => {
    const out = createByteWriter(0);
    const count = assembleLongValue(root(size), chunkSize, (offset) => chunks[offset], out, limit);
    expect(count).toBe(out.length);
    return Buffer.from(out.bytes.subarray(0, out.length)).toString('latin1');
  };

  it('a chunk stored shorter than due is compressed (chapter 3.6.3)', () => {
    const chunk = bytesOf(
      `181b04 0f000000 ${hexOf(asciiOf('Long compressed ASCII text a'))} 0700 0f ff fc03`,
    );
    expect(assemble(1051, 4014, { 0: chunk })).toBe(`Long compressed ASCII text ${'a'.repeat(1024)}`);
  });

  it('chunks follow each other, the last one is short', () => {
    expect(assemble(7, 3, { 0: asciiOf('abc'), 3: asciiOf('def'), 6: asciiOf('g') })).toBe('abcdefg');
    expect(assemble(7, 3, { 0: asciiOf('abc'), 3: asciiOf('def') }, 4)).toBe('abcd');
    expect(assemble(0, 3, {})).toBe('');
  });

  it('a missing chunk is named, and a claimed size allocates nothing', () => {
    expect(() => assemble(0xfffffff0, 3, { 0: asciiOf('abc') })).toThrow(
      expect.objectContaining({ name: 'JET_errColumnNoChunk' }),
    );
  });

  it('a chunk longer than due, or one that expands to another length, is damage', () => {
    expect(() => assemble(3, 3, { 0: asciiOf('abcd') })).toThrow(lvCorrupted);
    const twentyNine = bytesOf('181d00 00000070 61 0700 53 0700');
    expect(() => assemble(30, 40, { 0: twentyNine })).toThrow(lvCorrupted);
  });

  it('an encrypted value cannot be read', () => {
    expect(() =>
      assembleLongValue({ ...root(3), encrypted: true }, 3, () => undefined, createByteWriter(0)),
    ).toThrow(expect.objectContaining({ name: 'JET_errDecryptionFailed' }));
  });
});
