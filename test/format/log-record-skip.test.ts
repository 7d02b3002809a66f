import { describe, expect, it } from 'vitest';
import { createChecksumKernel } from '../../src/format/checksum-kernel.js';
import { EseError } from '../../src/format/ese-error.js';
import { LogRecordCursor } from '../../src/format/log-record-cursor.js';
import { logRecordFixedSize, logRecordSize } from '../../src/format/log-record-size.js';
import {
  createRecordSkipper,
  RECORD_SKIPPER_BYTES,
  type RecordSkipper,
} from '../../src/format/log-record-skip.js';
import { LRTYP, logRecordName } from '../../src/format/log-record-type.js';
import { SEGMENT_BYTES, SEGMENT_HEADER_BYTES } from '../../src/format/log-segment.js';
import { seededRandom } from '../../src/io/seeded-random.js';
import {
  begin,
  buildLog,
  concat,
  fragment,
  fragmentBegin,
  insert,
  SEGMENT_ROOM,
} from '../support/log-builder.js';

const GENERATION = 7;
const SEGMENTS_MAX = 16;
const ROOM = SEGMENTS_MAX * SEGMENT_BYTES;

const kernel = createChecksumKernel(ROOM + RECORD_SKIPPER_BYTES, 'wasm');

/** The memory of the kernel with these segments at its start, and a skipper behind them. */
function memoryOf(file: Uint8Array): { bytes: Uint8Array; view: DataView; skipper: RecordSkipper } {
  const skipper = createRecordSkipper(kernel, ROOM);
  if (skipper === undefined) throw new Error('no WebAssembly');
  kernel.bytes.fill(0, 0, ROOM);
  kernel.bytes.set(file.subarray(SEGMENT_BYTES, SEGMENT_BYTES + ROOM));
  const { buffer, byteOffset, byteLength } = kernel.bytes;
  return { bytes: kernel.bytes, view: new DataView(buffer, byteOffset, byteLength), skipper };
}

/** How the walk over a file ends, and how many records the cursor has shown. */
function walk(file: Uint8Array, count: number, perWindow: number, isSkipping: boolean) {
  const { bytes, view, skipper } = memoryOf(file);
  const cursor = new LogRecordCursor(GENERATION, file.length);
  let shown = 0;
  let error = '';
  try {
    for (let first = 0; first < count; first += perWindow) {
      cursor.feed(bytes, view, first * SEGMENT_BYTES, Math.min(perWindow, count - first));
      for (;;) {
        if (isSkipping) cursor.skip(skipper);
        if (!cursor.next()) break;
        shown += 1;
      }
    }
  } catch (thrown) {
    if (!(thrown instanceof EseError)) throw thrown;
    error = `${thrown.name} ${thrown.detail}`;
  }
  const { unfinished, abandoned } = cursor;
  return { shown, end: { lgpos: cursor.lgpos(), unfinished, abandoned, error } };
}

describe('records that are skipped', () => {
  it('are counted, up to what is no record', () => {
    const file = buildLog([concat(begin(1), new Uint8Array(5), insert(2, 100), Uint8Array.of(102))]);
    const { skipper } = memoryOf(file);
    expect(skipper.skip(0, -SEGMENT_BYTES, SEGMENT_BYTES)).toBe(2);
    expect(skipper).toMatchObject({ at: SEGMENT_HEADER_BYTES + 4 + 5 + 100, segmentStart: 0 });
  });

  it('may be cut at the ends of segments', () => {
    const record = insert(9, 10000);
    const [first, second] = [SEGMENT_ROOM - 7, SEGMENT_ROOM - 3];
    const file = buildLog([
      fragmentBegin(10000, record.subarray(0, first)),
      fragment(record.subarray(first, first + second)),
      concat(fragment(record.subarray(first + second)), begin(2)),
    ]);
    const { skipper } = memoryOf(file);
    expect(skipper.skip(0, -SEGMENT_BYTES, 2 * SEGMENT_BYTES)).toBe(0);
    expect(skipper.skip(0, -SEGMENT_BYTES, 3 * SEGMENT_BYTES)).toBe(2);
    const end = 2 * SEGMENT_BYTES + SEGMENT_HEADER_BYTES + 3 + 10000 - first - second + 4;
    expect(skipper).toMatchObject({ at: end, segmentStart: 2 * SEGMENT_BYTES });
  });

  /** Pieces are no records; the version in a CreateDB is left to the cursor. */
  const others: readonly number[] = [LRTYP.NOP, LRTYP.FragmentBegin, LRTYP.Fragment, LRTYP.CreateDB];
  const types = Object.values(LRTYP).filter(
    (lrtyp) => logRecordFixedSize(lrtyp) > 0 && !others.includes(lrtyp),
  );
  it.each(types.map((lrtyp) => [logRecordName(lrtyp), lrtyp]))(
    '%s has the size that the cursor gives it',
    (_, lrtyp) => {
      const random = seededRandom(lrtyp);
      for (let round = 0; round < 20; round++) {
        const record = randomRecord(lrtyp, random.uint32);
        const { skipper } = memoryOf(buildLog([concat(record, begin(1))]));
        expect(skipper.skip(0, -SEGMENT_BYTES, SEGMENT_BYTES)).toBe(2);
        expect(skipper.at).toBe(SEGMENT_HEADER_BYTES + record.length + 4);
      }
    },
  );

  it('change nothing: neither the end of a log, nor what is wrong with it, nor where', () => {
    const shown = { plain: 0, skipping: 0 };
    let damaged = 0;
    for (let seed = 1; seed <= 200; seed++) {
      const { file, count } = randomLog(seed);
      for (const perWindow of [count, 1 + (seed % 3)]) {
        const plain = walk(file, count, perWindow, false);
        const skipping = walk(file, count, perWindow, true);
        expect({ seed, ...skipping.end }).toEqual({ seed, ...plain.end });
        shown.plain += plain.shown;
        shown.skipping += skipping.shown;
      }
      if (walk(file, count, count, false).end.error !== '') damaged += 1;
    }
    expect(shown.skipping).toBeLessThan(shown.plain / 4);
    expect(damaged).toBeGreaterThan(50);
    expect(damaged).toBeLessThan(150);
  });
});

/** A record of a type with small lengths, and noise behind its fixed part. */
function randomRecord(lrtyp: number, uint32: () => number): Uint8Array {
  const fixed = logRecordFixedSize(lrtyp);
  const bytes = new Uint8Array(SEGMENT_ROOM);
  bytes[0] = lrtyp;
  // Lengths lie in the last part of what is fixed, and no other field decides about the size.
  for (let at = 1; at < fixed; at += 2) bytes[at] = uint32() % 3 === 0 ? uint32() & 0x1f : 0;
  const size = logRecordSize(new DataView(bytes.buffer), 0, bytes.length);
  if (size > SEGMENT_ROOM - 8) {
    bytes.fill(0, 1, fixed);
    return bytes.slice(0, fixed);
  }
  for (let at = fixed; at < size; at++) bytes[at] = uint32() & 0xff;
  return bytes.slice(0, size);
}

/** A log full of records, cut where segments end, every second of which has a few wrong bytes. */
function randomLog(seed: number): { file: Uint8Array; count: number } {
  const { uint32 } = seededRandom(seed);
  const types = [
    LRTYP.Insert,
    LRTYP.Replace,
    LRTYP.UndoInfo,
    LRTYP.Begin,
    LRTYP.Commit0,
    LRTYP.Split2,
    LRTYP.NOP2,
  ];
  const count = 1 + (uint32() % 6);
  const segments: Uint8Array[] = [];
  let rest: Uint8Array = new Uint8Array(0);
  for (let isec = 1; isec <= count; isec++) {
    const parts: Uint8Array[] = [];
    let room = SEGMENT_ROOM;
    while (room > 0) {
      if (rest.length > 0) {
        if (room < 4) break;
        const piece = rest.subarray(0, Math.min(rest.length, room - 3));
        parts.push(fragment(piece));
        room -= 3 + piece.length;
        rest = rest.subarray(piece.length);
        continue;
      }
      const record = randomRecord(types[uint32() % types.length] ?? LRTYP.Begin, uint32);
      if (uint32() % 16 === 0) {
        const nops = Math.min(room, uint32() % 40);
        parts.push(new Uint8Array(nops));
        room -= nops;
      }
      if (record.length <= room) {
        parts.push(record);
        room -= record.length;
      } else if (room >= 8 && uint32() % 4 > 0) {
        const piece = record.subarray(0, room - 7);
        parts.push(fragmentBegin(record.length, piece));
        rest = record.subarray(piece.length);
        room = 0;
      } else break;
    }
    segments.push(concat(...parts));
  }
  const file = buildLog(segments);
  if (seed % 2 === 0) {
    for (let i = 0; i < 40; i++) file[SEGMENT_BYTES + (uint32() % (count * SEGMENT_BYTES))] = uint32() & 0xff;
  }
  return { file, count };
}
