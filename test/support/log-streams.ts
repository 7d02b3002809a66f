import { join } from 'node:path';
import {
  continueLogStream,
  createLogStream,
  type LogTail,
  type LogWriter,
  type LogWriterOptions,
} from '../../src/engine/log-writer.js';
import { createChecksumKernel } from '../../src/format/checksum-kernel.js';
import type { Lgpos } from '../../src/format/ese-error.js';
import { createLogRecordEncoder, type LogRecordEncoder } from '../../src/format/log-record-encoder.js';
import type { RecordBytes } from '../../src/format/log-record-field.js';
import { SEGMENT_BYTES } from '../../src/format/log-segment.js';
import { seededEnvironment } from '../../src/io/environment.js';
import type { FileSystem } from '../../src/io/file-system.js';
import { type Random, randomBelow, randomFill, seededRandom } from '../../src/io/seeded-random.js';
import { LOG_WINDOW_BYTES, openLog } from '../../src/recovery/log-reader.js';
import { findLogStream } from '../../src/recovery/log-stream.js';

/** Where the tests keep their log stream. */
export const LOG_FOLDER = '/logs';

/** Memory that all readers share: one is as dear to make as a small log is to read. */
const kernel = createChecksumKernel(LOG_WINDOW_BYTES);

/** Smallest log files, a fixed clock, no databases. */
export function testOptions(fs: FileSystem, more: Partial<LogWriterOptions> = {}): LogWriterOptions {
  return {
    environment: seededEnvironment({ fs, seed: 1 }),
    directory: LOG_FOLDER,
    baseName: 'E00',
    pageSize: 8192,
    logFileKiB: 64,
    parameters: {
      systemPath: '/system/',
      logPath: '/logs/',
      sessions: 16,
      openTables: 300,
      verPages: 64,
      cursors: 1024,
      cacheSizeMax: 1000,
    },
    attachments: () => [],
    checkpoint: () => ({ generation: 1, isec: 1, ib: 0 }),
    ...more,
  };
}

/** A stream in a folder of its own. */
export function newStream(fs: FileSystem, more: Partial<LogWriterOptions> = {}): LogWriter {
  fs.mkdir(LOG_FOLDER);
  return createLogStream(testOptions(fs, more));
}

/** Where the stream on the disk ends, as its reader sees it; writes torn segments back, as recovery does. */
export function findTail(fs: FileSystem): LogTail {
  const { current, archived } = findLogStream(fs, LOG_FOLDER, 'E00');
  const last = current ?? archived.at(-1);
  if (last === undefined) throw new Error('there is no log');
  const torn = new Map<number, Uint8Array>();
  const log = openLog(fs, last.path, {
    kernel,
    observer: (isec, state, segment) => {
      if (state === 'torn') torn.set(isec, segment.slice());
    },
  });
  const scan = log.verify();
  log.close();
  if (scan.damage !== undefined) throw scan.damage;
  if (torn.size > 0) {
    const handle = fs.open(last.path, 'write');
    for (const [isec, segment] of torn) handle.writeAt(segment, isec * segment.length);
    handle.sync();
    handle.close();
  }
  const { lastValidSegment, segmentsChecksum } = scan;
  return { header: log.header, isCurrent: current !== undefined, lastValidSegment, segmentsChecksum };
}

/** Goes on with the stream on the disk. */
export function resumeStream(fs: FileSystem, more: Partial<LogWriterOptions> = {}): LogWriter {
  return continueLogStream(testOptions(fs, more), findTail(fs));
}

/** A record as it was read: its position and its bytes. */
export interface ReadRecord {
  readonly lgpos: Lgpos;
  readonly hex: string;
}

/** Every record of the stream, fillers left out; ends at damage. */
export function readStream(fs: FileSystem): { records: ReadRecord[]; damage: unknown } {
  const { archived, current } = findLogStream(fs, LOG_FOLDER, 'E00');
  const records: ReadRecord[] = [];
  for (const { path } of current === undefined ? archived : [...archived, current]) {
    const log = openLog(fs, path, { kernel });
    try {
      for (const { lgpos, record } of log.records()) {
        if (record.name !== 'NOP2') records.push({ lgpos, hex: hexOfRecord(record) });
      }
    } catch (damage) {
      return { records, damage };
    } finally {
      log.close();
    }
  }
  return { records, damage: undefined };
}

export function hexOfRecord({ bytes, offset, size }: RecordBytes): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + offset, size).toString('hex');
}

/** Records of all lengths, from one byte to several segments. */
export function recordMaker(seed: number): () => RecordBytes {
  const random = seededRandom(seed);
  const encoder = createLogRecordEncoder();
  return () => {
    encoder.clear();
    return anyRecord(random, encoder);
  };
}

function anyRecord(random: Random, encoder: LogRecordEncoder): RecordBytes {
  const procid = randomBelow(random, 9);
  switch (randomBelow(random, 8)) {
    case 0:
      return encoder.encode('ShutDownMark', {});
    case 1:
      return encoder.encode('Commit', { procid, levelCommitTo: 1 });
    case 2:
      return encoder.encode('Commit0', { procid, levelCommitTo: 0, trxCommit0: random.uint32() });
    case 3:
      return encoder.encode('PrepCommit', { procid, data: someBytes(random, randomBelow(random, 13000)) });
    case 4:
      return encoder.encode('PrepCommit', {
        procid,
        data: someBytes(random, 3900 + randomBelow(random, 300)),
      });
    default:
      return encoder.encode('PrepCommit', { procid, data: someBytes(random, randomBelow(random, 300)) });
  }
}

/** A record of exactly `size` bytes, at least 7. */
export function recordOf(size: number, fill = 0xaa): RecordBytes {
  const data = new Uint8Array(size - 7).fill(fill);
  return createLogRecordEncoder().encode('PrepCommit', { procid: 1, data });
}

function someBytes(random: Random, count: number): Uint8Array {
  const bytes = new Uint8Array(count);
  randomFill(random, bytes);
  return bytes;
}

/** The current log, segment by segment; the header is the first. */
export function segmentsOf(fs: FileSystem): Uint8Array[] {
  const handle = fs.open(join(LOG_FOLDER, 'E00.log'), 'read');
  const segments = Array.from({ length: handle.size() / SEGMENT_BYTES }, (_, isec) => {
    const segment = new Uint8Array(SEGMENT_BYTES);
    handle.readAt(segment, isec * SEGMENT_BYTES);
    return segment;
  });
  handle.close();
  return segments;
}

/** All files of the folder with their contents. */
export function folderContents(fs: FileSystem): Record<string, string> {
  const contents: Record<string, string> = {};
  for (const name of fs.readdir(LOG_FOLDER)) {
    const handle = fs.open(join(LOG_FOLDER, name), 'read');
    const bytes = new Uint8Array(handle.size());
    handle.readAt(bytes, 0);
    handle.close();
    contents[name] = Buffer.from(bytes).toString('hex');
  }
  return contents;
}
