import { describe, expect, it } from 'vitest';
import type { LogWriter } from '../../src/engine/log-writer.js';
import { createLogRecordEncoder } from '../../src/format/log-record-encoder.js';
import { SEGMENT_BYTES } from '../../src/format/log-segment.js';
import type { FileSystem } from '../../src/io/file-system.js';
import {
  createSimulatedDisk,
  isMutation,
  SimulatedCrash,
  type SimulatedDisk,
  stopAtCall,
} from '../../src/io/simulated-disk.js';
import { readLogHeader } from '../../src/recovery/log-reader.js';
import { checkLogStream, findLogStream } from '../../src/recovery/log-stream.js';
import {
  findTail,
  hexOfRecord,
  LOG_FOLDER,
  newStream,
  readStream,
  recordMaker,
  recordOf,
  resumeStream,
} from '../support/log-streams.js';

const LOG_BYTES = 65536;
const RECORDS = 48;

/** What a program had done when it died. */
interface Progress {
  /** Records in the order in which they were appended. */
  readonly appended: string[];
  /** How many of them were durable for certain. */
  durable: number;
}

/** Appends records of all sizes over several generations, some commits durable, some lazy. */
function runProgram(fs: FileSystem, circular: boolean): Progress {
  const progress: Progress = { appended: [], durable: 0 };
  try {
    let generation = 1;
    const checkpoint = () => ({ generation: Math.max(1, generation - 1), isec: 1, ib: 0 });
    let log = newStream(fs, { circular, checkpoint, logBuffers: 3 });
    const make = recordMaker(circular ? 21 : 20);
    for (let i = 0; i < RECORDS; i++) {
      const record = make();
      // From now on a crash may leave it, or not.
      progress.appended.push(hexOfRecord(record));
      const lgpos = log.append(record);
      generation = lgpos.generation;
      if (i % 3 === 1) makeDurable(log, progress, i % 2 === 0);
      if (i % 20 === 19) {
        log.close();
        progress.durable = progress.appended.length;
        log = resumeStream(fs, { circular, checkpoint, logBuffers: 3 });
      }
    }
    log.close();
    progress.durable = progress.appended.length;
  } catch (error) {
    if (!(error instanceof SimulatedCrash)) throw error;
  }
  return progress;
}

function makeDurable(log: LogWriter, progress: Progress, fill: boolean): void {
  const durable = progress.appended.length;
  log.makeDurable(undefined, { fill });
  progress.durable = durable;
}

/**
 * Every write of records in pieces of one segment: the disk writes 4096 bytes as a unit and in order. (The zeros of a
 * new file go in one piece, for speed.)
 */
function inSegments(disk: FileSystem): FileSystem {
  return {
    ...disk,
    open(path, mode) {
      const handle = disk.open(path, mode);
      return {
        ...handle,
        writeAt(from, offset) {
          const step = from.length === LOG_BYTES ? LOG_BYTES : SEGMENT_BYTES;
          for (let at = 0; at < from.length; at += step) {
            handle.writeAt(from.subarray(at, at + step), offset + at);
          }
        },
      };
    },
  };
}

/** Numbers of the calls of a whole run at which a crash makes a difference. */
function crashPoints(circular: boolean, wrap: (disk: SimulatedDisk) => FileSystem): number[] {
  const disk = createSimulatedDisk({ trace: true });
  const { appended, durable } = runProgram(wrap(disk), circular);
  expect(durable).toBe(RECORDS);
  expect(appended).toHaveLength(RECORDS);
  return disk.trace.filter(isMutation).map(({ number }) => number);
}

/** Whether a stream has been begun at all: before its first log has its name, there is none. */
function isBegun(fs: FileSystem): boolean {
  return fs.exists(LOG_FOLDER) && fs.readdir(LOG_FOLDER).includes('E00.log');
}

/**
 * The records on disk are those of the program from some point to some other, no durable one missing. Circular logging
 * may have dropped the oldest.
 */
function expectDurablePrefix(records: readonly { hex: string }[], { appended, durable }: Progress): void {
  const found = records.map(({ hex }) => hex);
  const first = appended.indexOf(found[0] ?? '');
  const expected = appended.slice(Math.max(0, first), Math.max(0, first) + found.length);
  expect(found).toEqual(expected);
  expect(Math.max(0, first) + found.length).toBeGreaterThanOrEqual(durable);
}

describe('a crash at any moment', () => {
  it.each([
    ['of a stream', false],
    ['of a circular stream', true],
  ])('%s leaves a legal stream with every durable record', (_, circular) => {
    const points = crashPoints(circular, inSegments);
    expect(points.length).toBeGreaterThan(80);
    const states = new Set<string>();
    for (const point of points) {
      const disk = createSimulatedDisk({ faults: stopAtCall(point) });
      const progress = runProgram(inSegments(disk), circular);
      const left = disk.fork();
      if (!isBegun(left) && progress.durable === 0 && progress.appended.length === 0) continue;

      const files = findLogStream(left, LOG_FOLDER, 'E00');
      states.add(`current ${files.current !== undefined}, tmp ${files.tmp !== undefined}`);
      const { records, damage } = readStream(left);
      expect(damage).toBeUndefined();
      if (!circular || records.length > 0) expectDurablePrefix(records, progress);
      expect(checkLogStream(left, files).error).toBeUndefined();

      const log = resumeStream(left);
      // Recovery begins with this record; nothing else may follow one that the crash has cut (chapter 4.4.4).
      const undo = createLogRecordEncoder().encode('RecoveryUndo2', { logtime: undefined });
      const next = recordOf(5000, 7);
      log.makeDurable(log.append(undo, next));
      log.close();
      const again = readStream(left);
      expect(again.damage).toBeUndefined();
      expect(again.records.slice(0, records.length)).toEqual(records);
      expect(again.records.slice(records.length).map(({ hex }) => hex)).toEqual(
        [undo, next].map(hexOfRecord),
      );
      expect(findTail(left).isCurrent).toBe(true);
    }
    // The three states of the format specification, chapter 5.1.8, and the one in which tmp has just begun.
    expect([...states].sort()).toEqual([
      'current false, tmp true',
      'current true, tmp false',
      'current true, tmp true',
    ]);
  });

  it.each([
    ['keeps every durable record', false],
    ['keeps every durable record of a circular stream', true],
  ])('of a disk that loses, tears and reorders what was not synced, %s', (_, circular) => {
    const points = crashPoints(circular, (disk) => disk);
    let damaged = 0;
    let crashes = 0;
    for (const point of points) {
      const disk = createSimulatedDisk({ faults: stopAtCall(point) });
      const progress = runProgram(disk, circular);
      for (let seed = 0; seed < 4; seed++) {
        const left = disk.crash(seed);
        if (!isBegun(left) && progress.durable === 0) continue;
        crashes += 1;
        const { records, damage } = readStream(left);
        // A torn segment that was never whole ends the log in damage: the format has no answer to that.
        if (damage !== undefined) damaged += 1;
        if (!circular || records.length > 0) expectDurablePrefix(records, progress);
        for (const { path, generation } of findLogStream(left, LOG_FOLDER, 'E00').archived) {
          expect(readLogHeader(left, path).generation).toBe(generation);
        }
      }
    }
    expect(crashes).toBeGreaterThan(250);
    expect(damaged).toBeLessThan(crashes / 4);
  });
});
