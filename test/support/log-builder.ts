import { encodeLogHeader, type NewLogHeader } from '../../src/format/log-header.js';
import { SEGMENT_BYTES, SEGMENT_HEADER_BYTES, writeSegmentHeader } from '../../src/format/log-segment.js';
import { sealPages } from '../../src/format/page-checksum.js';
import { readSignature } from '../../src/format/signature.js';

/** Room for records in a segment. */
export const SEGMENT_ROOM = SEGMENT_BYTES - SEGMENT_HEADER_BYTES;

const SIGNATURE = readSignature(
  Uint8Array.from({ length: 28 }, (_, i) => (i < 12 ? i + 1 : 0)),
  0,
);

/** The header of a log of 16 segments, generation 1, format 8.4000.5.16. */
export const NEW_LOG: NewLogHeader = {
  generation: 1,
  cbSec: SEGMENT_BYTES,
  csecHeader: 1,
  csecLGFile: 16,
  cbPageSize: 4096,
  tmCreate: undefined,
  tmPrevGen: undefined,
  major: 8,
  minor: 4000,
  updateMajor: 5,
  updateMinor: 16,
  signLog: SIGNATURE,
  dbmsParam: {
    systemPath: 'C:\\system\\',
    logPath: 'C:\\logs\\',
    flags: 0,
    sessions: 16,
    openTables: 300,
    verPages: 64,
    cursors: 1024,
    logBuffers: 126,
    csecLGFile: 16,
    cacheSizeMax: 64,
  },
  fLGFlags: 0,
  lgposCheckpoint: { generation: 1, isec: 1, ib: 0 },
  bDiskSecSizeMismatch: 0,
  checksumPrevLogAllSegments: 0n,
  efvEngine: 9180,
  reserved665: 0,
  filetype: 3,
  attachments: [],
};

/** A segment with these records from its first byte on, sealed for the place `isec` of its file. */
export function buildSegment(generation: number, isec: number, records: Uint8Array): Uint8Array {
  const segment = new Uint8Array(SEGMENT_BYTES);
  if (records.length > SEGMENT_ROOM) throw new Error(`${records.length} bytes do not fit a segment`);
  segment.set(records, SEGMENT_HEADER_BYTES);
  writeSegmentHeader(segment, 0, { generation, isec, ib: 0 }, new Date(Date.UTC(2024, 0, 1)));
  sealPages(new Int32Array(segment.buffer), 0, 1, SEGMENT_BYTES, isec);
  return segment;
}

/** A log file whose data segments hold these records; the rest of the file is zero. */
export function buildLog(segments: readonly Uint8Array[], changes: Partial<NewLogHeader> = {}): Uint8Array {
  const header = { ...NEW_LOG, ...changes };
  const file = new Uint8Array(header.csecLGFile * SEGMENT_BYTES);
  file.set(encodeLogHeader(header));
  for (const [i, records] of segments.entries())
    putSegment(file, i + 1, buildSegment(header.generation, i + 1, records));
  return file;
}

/** Puts a segment into its place in a file. */
export function putSegment(file: Uint8Array, isec: number, segment: Uint8Array): void {
  file.set(segment, isec * SEGMENT_BYTES);
}

/** The bytes of one segment of a file. */
export function segmentOf(file: Uint8Array, isec: number): Uint8Array {
  return file.subarray(isec * SEGMENT_BYTES, (isec + 1) * SEGMENT_BYTES);
}

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(Buffer.concat(parts));
}

/** A Begin record of session `procid`: the smallest with a number to tell it by. */
export function begin(procid: number): Uint8Array {
  return Uint8Array.of(5, procid & 0xff, procid >> 8, 0x10);
}

/** A NOP2 record of `size` bytes in all. */
export function nop2(size: number): Uint8Array {
  const record = new Uint8Array(size);
  record[0] = 71;
  new DataView(record.buffer).setUint32(1, size - 5, true);
  return record;
}

/** An Insert record of `size` bytes in all, without key. */
export function insert(pgno: number, size: number): Uint8Array {
  const record = new Uint8Array(size).fill(0xab, 50);
  const view = new DataView(record.buffer);
  record[0] = 29;
  record[3] = 1;
  view.setUint32(4, pgno, true);
  view.setUint16(48, size - 50, true);
  return record;
}

/** The start of a record that continues in the next segment. */
export function fragmentBegin(total: number, piece: Uint8Array): Uint8Array {
  const head = new Uint8Array(7);
  const view = new DataView(head.buffer);
  head[0] = 76;
  view.setUint32(1, total, true);
  view.setUint16(5, piece.length, true);
  return concat(head, piece);
}

/** A further piece of a record. */
export function fragment(piece: Uint8Array): Uint8Array {
  return concat(Uint8Array.of(77, piece.length & 0xff, piece.length >> 8), piece);
}
