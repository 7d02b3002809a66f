import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { decodeLogRecord, type LogRecordOf } from '../../src/format/log-record.js';
import { checkPageStructure, Page } from '../../src/format/page.js';
import { decodeMovedPage, decodePageImage, encodePageImage } from '../../src/format/page-image.js';
import { nodeFileSystem } from '../../src/io/node-file-system.js';
import { openLog } from '../../src/recovery/log-reader.js';
import { corpusPath, describeWithCorpus } from '../corpus.js';
import { jetErrorOf } from '../support/files.js';
import { asciiOf } from './bytes.js';

const PAGE_SIZE = 4096;

function merge2(image: Uint8Array, flags: number): LogRecordOf<'Merge2'> {
  const record = new Uint8Array(96 + image.length);
  const view = new DataView(record.buffer);
  record[0] = 63;
  view.setUint32(88, flags, true);
  view.setUint32(92, image.length, true);
  record.set(image, 96);
  return decodeLogRecord(record) as LogRecordOf<'Merge2'>;
}

describe('a page image', () => {
  it('without flags is the page itself', () => {
    const whole = new Uint8Array(PAGE_SIZE).map((_, i) => i);
    expect(Buffer.compare(decodePageImage(merge2(whole, 0), PAGE_SIZE), whole)).toBe(0);
  });

  it.each([
    ['is missing', new Uint8Array(0), 0],
    ['is too short', new Uint8Array(4095), 0],
    ['is too long', new Uint8Array(4097), 0],
    ['is too short for its tags', dehydrated(44, 2), 1],
    ['is shorter than a page header', new Uint8Array(39), 1],
    ['is longer than a page, dehydrated', new Uint8Array(4100), 1],
  ])('is refused when it %s', (_, image, flags) => {
    expect(jetErrorOf(() => decodePageImage(merge2(image, flags), PAGE_SIZE))).toBe('JET_errLogCorrupted');
  });

  it('is refused when it cannot be expanded', () => {
    const image = Uint8Array.of(0x18, 0x00, 0x10, 1, 2, 3);
    const expand = () => decodePageImage(merge2(image, 2), PAGE_SIZE);
    expect(jetErrorOf(expand)).toBe('JET_errDecompressionFailed');
  });

  it('that is dehydrated gets its gap and its free bytes back', () => {
    const image = dehydrated(100, 3);
    image.fill(0x44, 40, 88);
    image.fill(0x77, 88, 100);
    const expanded = decodePageImage(merge2(image, 1), PAGE_SIZE);
    const view = new DataView(expanded.buffer);
    expect(view.getUint16(28, true)).toBe(10 + PAGE_SIZE - 100);
    expect([...expanded.subarray(40, 88)].every((byte) => byte === 0x44)).toBe(true);
    expect([...expanded.subarray(88, PAGE_SIZE - 12)].every((byte) => byte === 0)).toBe(true);
    expect([...expanded.subarray(PAGE_SIZE - 12)].every((byte) => byte === 0x77)).toBe(true);
  });

  it('may be expanded into memory that was used before', () => {
    const out = new Uint8Array(PAGE_SIZE).fill(0xff);
    expect(decodePageImage(merge2(dehydrated(100, 3), 1), PAGE_SIZE, out)).toBe(out);
    expect(out.includes(0xff)).toBe(false);
  });
});

/** An image of `size` bytes that states `tags` tags and 10 free bytes. */
function dehydrated(size: number, tags: number): Uint8Array {
  const image = new Uint8Array(size);
  image[28] = 10;
  image[34] = tags;
  return image;
}

describe('a moved page', () => {
  const moved = (header: Uint8Array, trailer: Uint8Array): LogRecordOf<'PageMove'> => {
    const record = new Uint8Array(96 + header.length + trailer.length);
    const view = new DataView(record.buffer);
    record[0] = 65;
    view.setUint32(88, header.length, true);
    view.setUint32(92, trailer.length, true);
    record.set(header, 96);
    record.set(trailer, 96 + header.length);
    return decodeLogRecord(record) as LogRecordOf<'PageMove'>;
  };

  it('has its parts at its ends and zeros between', () => {
    const page = decodeMovedPage(moved(new Uint8Array(60).fill(1), asciiOf('tags')), PAGE_SIZE);
    expect(page).toHaveLength(PAGE_SIZE);
    expect([page[59], page[60], page[4091], page[4092]]).toEqual([1, 0, 0, 't'.charCodeAt(0)]);
  });

  it('is refused when its parts do not fit', () => {
    const expand = (header: number, trailer: number) =>
      jetErrorOf(() => decodeMovedPage(moved(new Uint8Array(header), new Uint8Array(trailer)), PAGE_SIZE));
    expect(expand(20, 4)).toBe('JET_errLogCorrupted');
    expect(expand(4000, 97)).toBe('JET_errLogCorrupted');
  });
});

describeWithCorpus('the page images of genuine logs', () => {
  it.each([
    [['logs', 'secedit'], /^edb\.log$/, 9],
    [['recovery', 'srum-clean'], /^SRU(\d+)?\.log$/, 16],
    [['recovery', 'srum-dirty'], /^SRU(000\w+)?\.log$/, 10],
  ])('in %s are whole pages with the stamp of their record', (folder, names, expected) => {
    let images = 0;
    for (const name of readdirSync(corpusPath(...folder)).filter((one) => names.test(one))) {
      const log = openLog(nodeFileSystem, corpusPath(...folder, name));
      for (const { record } of log.records()) {
        if ((record.name !== 'Split2' && record.name !== 'Merge2') || record.cbPreimage === 0) continue;
        const image = new Page(decodePageImage(record, PAGE_SIZE), record.pgno);
        expect(image.dbtime).toBe(record.dbtime);
        expect(image.objid).toBe(record.objidFDP);
        expect(checkPageStructure(image)).toBeUndefined();
        images += 1;
      }
      log.close();
    }
    expect(images).toBe(expected);
  });
});

describeWithCorpus('the image of a page', () => {
  it.each([
    ['basic.edb', 4096],
    ['compressed-8k.edb', 8192],
    ['large.edb', 32768],
  ])('gives the page back, with the stamp of its record and nothing in its gap: %s', (name, pageSize) => {
    const file = readFileSync(corpusPath('databases', name));
    let dehydrated = 0;
    let whole = 0;
    for (let pgno = 1; pgno <= 250 && (pgno + 2) * pageSize <= file.length; pgno++) {
      const page = new Page(
        new Uint8Array(file.subarray((pgno + 1) * pageSize, (pgno + 2) * pageSize)),
        pgno,
      );
      if (page.dbtime === 0 || checkPageStructure(page) !== undefined) continue;
      const dbtime = page.dbtime + 7;
      const { preimage, preimageFlags } = encodePageImage(page, dbtime);

      const expected = page.bytes.slice();
      const tags = pageSize - 4 * page.tagCount;
      if (preimageFlags === 1) expected.fill(0, tags - page.contiguousFree, tags);
      new Page(expected, pgno).dbtime = dbtime;
      const expanded = decodePageImage(merge2(preimage, preimageFlags), pageSize);
      expect(Buffer.compare(expanded, expected), `page ${pgno}`).toBe(0);

      // Dehydrated where that saves a tenth of the page (format specification, chapter 4.6.6).
      if (page.contiguousFree >= pageSize / 10) {
        expect(preimage.length).toBe(pageSize - page.contiguousFree);
        dehydrated += 1;
      } else {
        expect(preimage.length).toBe(pageSize);
        whole += 1;
      }
    }
    expect(dehydrated).toBeGreaterThan(10);
    if (name === 'large.edb') expect(whole).toBeGreaterThan(10);
  });
});
