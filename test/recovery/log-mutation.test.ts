import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { EseError } from '../../src/format/ese-error.js';
import { SEGMENT_BYTES } from '../../src/format/log-segment.js';
import { sealPages, xorChecksum } from '../../src/format/page-checksum.js';
import { decodeMovedPage, decodePageImage } from '../../src/format/page-image.js';
import { applyReplaceDiff } from '../../src/format/replace-diff.js';
import type { FileSystem } from '../../src/io/file-system.js';
import { type Random, randomBelow, randomFill, seededRandom } from '../../src/io/seeded-random.js';
import { createSimulatedDisk } from '../../src/io/simulated-disk.js';
import { dumpCheckpoint } from '../../src/maintenance/dump-checkpoint.js';
import { dumpLog, dumpLogStream } from '../../src/maintenance/dump-log.js';
import { logRecordLine } from '../../src/maintenance/log-record-report.js';
import { findLastRecord, openLog } from '../../src/recovery/log-reader.js';
import { corpusPath, describeWithCorpus } from '../corpus.js';
import { putFile } from '../support/files.js';

const PAGE_SIZE = 4096;
const MUTATIONS = 150;

function oneFile(path: string, bytes: Uint8Array): FileSystem {
  const disk = createSimulatedDisk();
  putFile(disk, path, bytes);
  return disk;
}

/** Flips, zeroes, overwrites, copies or cuts bytes. */
function mutate(original: Uint8Array, random: Random): Uint8Array {
  const file = original.slice();
  const times = 1 + randomBelow(random, 4);
  for (let i = 0; i < times; i++) {
    const at = randomBelow(random, file.length);
    const length = 1 + randomBelow(random, [2, 16, 300, 5000][randomBelow(random, 4)] ?? 2);
    const part = file.subarray(at, at + length);
    switch (randomBelow(random, 5)) {
      case 0:
        part[0] = (part[0] ?? 0) ^ (1 << randomBelow(random, 8));
        break;
      case 1:
        part.fill(0);
        break;
      case 2:
        randomFill(random, part);
        break;
      case 3:
        file.copyWithin(at, randomBelow(random, file.length), at + length);
        break;
      default:
        if (randomBelow(random, 8) === 0) return file.subarray(0, at);
        part.fill(0xff);
    }
  }
  return file;
}

/** Makes the checksums right again, so that the damage gets behind them. */
function reseal(file: Uint8Array): void {
  if (file.length < PAGE_SIZE) return;
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  view.setUint32(0, xorChecksum(file.subarray(0, PAGE_SIZE)), true);
  const words = new Int32Array(file.buffer, file.byteOffset, file.length >> 2);
  for (let isec = 1; (isec + 1) * SEGMENT_BYTES <= file.length; isec++) {
    const start = isec * (SEGMENT_BYTES / 4);
    if (words.subarray(start, start + SEGMENT_BYTES / 4).every((word) => word === 0)) continue;
    sealPages(words, start, 1, SEGMENT_BYTES, isec);
  }
}

/** Runs a read mode; an `EseError` is an answer, any other error is a bug. */
function attempt(read: () => void): string {
  try {
    read();
    return 'read';
  } catch (error) {
    if (error instanceof EseError) return error.name;
    throw error;
  }
}

function readRecords(fs: FileSystem): void {
  const log = openLog(fs, '/SRU.log');
  log.verify();
  for (const { record, lgpos, fragments } of log.records()) {
    attempt(() => logRecordLine(record, lgpos, fragments));
    if (record.name === 'Split2' || record.name === 'Merge2')
      attempt(() => decodePageImage(record, PAGE_SIZE));
    if (record.name === 'PageMove') attempt(() => decodeMovedPage(record, PAGE_SIZE));
    if (record.name === 'ReplaceD') {
      attempt(() => applyReplaceDiff(new Uint8Array(record.cbOldData), record));
    }
  }
}

describeWithCorpus('a mutated log', () => {
  it.each([
    ['SRU00003.log', 1],
    ['SRU00005.log', 2],
    ['SRU.log', 3],
  ])('%s gives records or an error of its own, never another', (name, seed) => {
    const original = new Uint8Array(readFileSync(corpusPath('recovery', 'srum-clean', name)));
    const random = seededRandom(seed);
    const outcomes = new Set<string>();
    for (let i = 0; i < MUTATIONS; i++) {
      const file = mutate(original, random);
      if (i % 4 !== 0) reseal(file);
      const fs = oneFile('/SRU.log', file);
      outcomes.add(attempt(() => readRecords(fs)));
      attempt(() => findLastRecord(openLog(fs, '/SRU.log')));
      attempt(() => dumpLog(fs, '/SRU.log', { recordTypes: true, pageIo: true, recordsMax: 50 }));
      attempt(() => dumpLogStream(fs, '/', 'SRU'));
    }
    expect([...outcomes].sort()).toEqual(expect.arrayContaining(['JET_errLogFileCorrupt', 'read']));
  });
});

describeWithCorpus('a mutated checkpoint', () => {
  it('gives its fields or an error of its own, never another', () => {
    const original = new Uint8Array(readFileSync(corpusPath('logs', 'secedit', 'edb.chk')));
    const random = seededRandom(4);
    for (let i = 0; i < 1000; i++) {
      const file = mutate(original, random);
      if (i % 2 === 0 && file.length >= PAGE_SIZE) {
        const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
        view.setUint32(0, xorChecksum(file.subarray(0, PAGE_SIZE)), true);
      }
      attempt(() => dumpCheckpoint(oneFile('/SRU.chk', file), '/SRU.chk'));
    }
  });
});
