import { describe, expect, it } from 'vitest';
import { decodeLogRecord, type LogRecordOf } from '../../src/format/log-record.js';
import { applyReplaceDiff, encodeReplaceDiff, readReplaceDiff } from '../../src/format/replace-diff.js';
import { nodeFileSystem } from '../../src/io/node-file-system.js';
import { randomBelow, randomFill, seededRandom } from '../../src/io/seeded-random.js';
import { openLog } from '../../src/recovery/log-reader.js';
import { corpusPath, describeWithCorpus } from '../corpus.js';
import { jetErrorOf } from '../support/files.js';
import { asciiOf, bytesOf } from './bytes.js';

function replaceD(diff: Uint8Array, cbOld: number, cbNew: number, isDiff2 = false): LogRecordOf<'ReplaceD'> {
  const record = new Uint8Array(50 + diff.length);
  const view = new DataView(record.buffer);
  record[0] = 34;
  view.setUint16(44, diff.length | (isDiff2 ? 0x8000 : 0), true);
  view.setUint16(46, cbOld, true);
  view.setUint16(48, cbNew, true);
  record.set(diff, 50);
  return decodeLogRecord(record) as LogRecordOf<'ReplaceD'>;
}

const apply = (before: string, diff: string, cbNew: number, isDiff2 = false): string => {
  const record = replaceD(bytesOf(diff), before.length, cbNew, isDiff2);
  return Buffer.from(applyReplaceDiff(asciiOf(before), record)).toString('latin1');
};

describe('a diff list', () => {
  it('inserts, replaces by as many bytes, by more, by fewer, and deletes', () => {
    expect(apply('abcdef', '0240 02 5859', 8)).toBe('abXYcdef');
    expect(apply('abcdef', '0220 02 5859', 6)).toBe('abXYef');
    expect(apply('abcdef', '0200 03 01 585959', 8)).toBe('abXYYdef');
    expect(apply('abcdef', '0200 01 03 58', 4)).toBe('abXf');
    expect(apply('abcdef', '0200 00 02', 4)).toBe('abef');
  });

  it('may have several entries, each at its place in the old data', () => {
    expect(apply('abcdefgh', '0040 01 58  0320 01 59  0700 00 01', 8)).toBe('XabcYefg');
  });

  it('takes offsets of 13 bits, or of 16 in larger pages', () => {
    const before = 'a'.repeat(8191);
    expect(apply(before, 'ff5f 01 58', 8192)).toBe(`${before}X`);
    const long = 'a'.repeat(20000);
    expect(apply(long, '204e 40 01 58', 20001, true)).toBe(`${long}X`);
    expect(apply('abcdef', '0200 20 02 5859', 6, true)).toBe('abXYef');
    expect(apply('abcdef', '0200 00 01 03 58', 4, true)).toBe('abXf');
  });

  it('has lengths of two bytes where it says so', () => {
    const long = 'Z'.repeat(300);
    expect(apply('ab', `01c0 2c01 ${'5a'.repeat(300)}`, 302)).toBe(`a${long}b`);
    expect(apply('ab', `0080 2c01 0100 ${'5a'.repeat(300)}`, 301)).toBe(`${long}b`);
    expect(apply('ab', `0000 80 2c01 0100 ${'5a'.repeat(300)}`, 301, true)).toBe(`${long}b`);
  });

  it('of one empty insert changes nothing', () => {
    expect(apply('abcdef', '0040 00', 6)).toBe('abcdef');
    expect(readReplaceDiff(replaceD(bytesOf('0040 00'), 6, 6))).toEqual([
      { ib: 0, cbOld: 0, isInsert: true, isSameLength: false, isWide: false, data: new Uint8Array(0) },
    ]);
  });

  it('may write into memory that is given', () => {
    const out = new Uint8Array(100).fill(0xff);
    const after = applyReplaceDiff(asciiOf('abcdef'), replaceD(bytesOf('0240 02 5859'), 6, 8), out);
    expect(after.buffer).toBe(out.buffer);
    expect([after.length, out[8]]).toEqual([8, 0xff]);
  });

  it.each([
    ['ends inside a header', 'abcdef', '02', 6],
    ['ends inside a length', 'abcdef', '0200 01', 6],
    ['ends inside its bytes', 'abcdef', '0240 09 5859', 15],
    ['goes back', 'abcdef', '0440 01 58 0240 01 58', 8],
    ['begins behind the old data', 'abcdef', '0740 01 58', 7],
    ['replaces more than there is', 'abcdef', '0500 01 02 58', 5],
    ['gives more bytes than the record says', 'abcdef', '0240 02 5859', 7],
    ['gives fewer bytes than the record says', 'abcdef', '0240 02 5859', 9],
  ])('is refused when it %s', (_, before, diff, cbNew) => {
    expect(jetErrorOf(() => apply(before, diff, cbNew))).toBe('JET_errLogCorrupted');
  });

  it('is refused when the old data is not what the record expects', () => {
    const record = replaceD(bytesOf('0040 00'), 6, 6);
    expect(jetErrorOf(() => applyReplaceDiff(asciiOf('abcde'), record))).toBe('JET_errLogCorrupted');
  });
});

describeWithCorpus('the diff lists of genuine logs', () => {
  it('give data of the length that their records state', () => {
    let lists = 0;
    for (const parts of [
      ['logs', 'secedit', 'edb.log'],
      ['recovery', 'srum-dirty', 'SRU00050.log'],
    ]) {
      const log = openLog(nodeFileSystem, corpusPath(...parts));
      for (const { record } of log.records()) {
        if (record.name !== 'ReplaceD') continue;
        expect(applyReplaceDiff(new Uint8Array(record.cbOldData), record)).toHaveLength(record.cbNewData);
        lists += 1;
      }
      log.close();
    }
    expect(lists).toBeGreaterThanOrEqual(10);
  });
});

describe('the diff list of two versions of a node', () => {
  const encode = (before: string, after: string, isDiff2 = false): string | undefined => {
    const diff = encodeReplaceDiff(asciiOf(before), asciiOf(after), isDiff2);
    return diff && Buffer.from(diff).toString('hex');
  };

  it('names what differs, in the form that says most with the fewest bytes', () => {
    expect(encode('abcdefghij', 'abXYefghij')).toBe('0220025859');
    expect(encode('abcdefghij', 'abXYcdefghij')).toBe('0240025859');
    expect(encode('abcdefghij', 'abefghij')).toBe('02000002');
    expect(encode('abcdefghij', 'abXefghij')).toBe('0200010258');
    expect(encode('abcdefghij', 'abcdefghijX')).toBe('0a400158');
    expect(encode('abcdefghij', 'abXYefghij', true)).toBe('020020025859');
  });

  it('keeps two changes apart where they lie apart, and joins them where they do not', () => {
    const long = 'abcdefghijklmnopqrstuvwxyz';
    expect(encode(long, 'aXcdefghijklmnopqrstuvwYyz')).toBe('01200158' + '17200159');
    expect(encode(long, 'aXcdeYghijklmnopqrstuvwxyz')).toBe('012005' + '5863646559');
  });

  it('finds the one place where a record grew, whatever else changed around it', () => {
    const before = `1111-header-${'x'.repeat(40)}tail-of-columns-2222`;
    const after = `1211-header-${'x'.repeat(40)}NEWtail-of-columns-2322`;
    expect(encode(before, after)).toBe('01200132' + '3440034e4557' + '45200133');
  });

  it('is empty for equal data, and absent where the new data are no longer than it', () => {
    expect(encode('abc', 'abc')).toBe('');
    expect(encode('', '')).toBe('');
    expect(encode('abcdefgh', 'ABCDEFGH')).toBeUndefined();
    expect(encode('', 'abcdefgh')).toBeUndefined();
    expect(encode('abcdefgh', '')).toBeUndefined();
    expect(encode('abcd', 'aXcd')).toBeUndefined();
    expect(encode('abcde', 'aXcde')).toBe('01200158');
  });

  it('gives the new data back, for any two', () => {
    const random = seededRandom(4);
    for (let i = 0; i < 3000; i++) {
      const before = new Uint8Array(randomBelow(random, i % 10 === 0 ? 3000 : 60));
      randomFill(random, before);
      const at = randomBelow(random, before.length + 1);
      const insert = new Uint8Array(randomBelow(random, i % 7 === 0 ? 400 : 4)).fill(7);
      const after = Buffer.concat([
        before.subarray(0, at),
        insert,
        before.subarray(at + randomBelow(random, 4)),
      ]);
      for (let k = 0; k < 3 && after.length > 0; k++) after[randomBelow(random, after.length)] = k;
      const isDiff2 = i % 2 === 0;
      const diff = encodeReplaceDiff(before, after, isDiff2);
      if (diff === undefined) continue;
      expect(diff.length).toBeLessThan(Math.max(1, after.length));
      const record = replaceD(diff, before.length, after.length, isDiff2);
      expect(Buffer.compare(applyReplaceDiff(before, record), after)).toBe(0);
    }
  });
});

describeWithCorpus('the diff lists that Windows wrote', () => {
  it('are not shorter than ours for the same change', () => {
    let lists = 0;
    let genuine = 0;
    let ours = 0;
    const log = openLog(nodeFileSystem, corpusPath('logs', 'secedit', 'edb.log'));
    for (const { record } of log.records()) {
      if (record.name !== 'ReplaceD') continue;
      // The old data are not in the log. Any that have nothing in common with the new bytes make the same change.
      const before = new Uint8Array(record.cbOldData).map((_, i) => 1 + (i % 251));
      const after = applyReplaceDiff(before, record).slice();
      const diff = encodeReplaceDiff(before, after, record.fDiff2);
      lists += 1;
      genuine += record.diff.length;
      ours += diff?.length ?? record.cbNewData;
      if (diff === undefined) continue;
      const again = replaceD(diff, before.length, after.length, record.fDiff2);
      expect(Buffer.compare(applyReplaceDiff(before, again), after)).toBe(0);
    }
    log.close();
    expect(lists).toBe(10);
    expect(ours).toBeLessThanOrEqual(genuine);
  });
});
