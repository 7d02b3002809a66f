import { describe, expect, it } from 'vitest';
import { LogRecordCursor } from '../../src/format/log-record-cursor.js';
import { logRecordName } from '../../src/format/log-record-type.js';
import { SEGMENT_BYTES } from '../../src/format/log-segment.js';
import { jetErrorOf } from '../support/files.js';
import {
  begin,
  buildLog,
  concat,
  fragment,
  fragmentBegin,
  insert,
  nop2,
  SEGMENT_ROOM,
} from '../support/log-builder.js';

const GENERATION = 7;

/** `name isec,ib size` of every record, `×n` behind those that were cut into pieces. */
function walk(segments: readonly Uint8Array[], segmentsPerWindow = segments.length): string[] {
  const file = buildLog(segments, { generation: GENERATION });
  const view = new DataView(file.buffer);
  const cursor = new LogRecordCursor(GENERATION, file.length);
  const found: string[] = [];
  for (let isec = 1; isec <= segments.length; isec += segmentsPerWindow) {
    const count = Math.min(segmentsPerWindow, segments.length + 1 - isec);
    cursor.feed(file, view, isec * SEGMENT_BYTES, count);
    while (cursor.next()) {
      const { lrtyp, isec, ib, size, fragments } = cursor;
      const pieces = fragments > 1 ? ` ×${fragments}` : '';
      found.push(`${logRecordName(lrtyp)} ${isec},${ib.toString(16)} ${size}${pieces}`);
    }
  }
  return found;
}

describe('positions of records', () => {
  it('are those behind the record before: 0 at the start of the file, though the bytes begin at 40', () => {
    expect(walk([concat(begin(1), begin(2))])).toEqual(['Begin 1,0 4', 'Begin 1,2c 4']);
  });

  it('are byte 0 of the next segment behind a record that ends with its segment', () => {
    expect(walk([nop2(SEGMENT_ROOM), begin(1)])).toEqual(['NOP2 1,0 4056', 'Begin 2,0 4']);
  });

  it('are where the padding begins for a record behind padding', () => {
    expect(walk([begin(1), begin(2)])).toEqual(['Begin 1,0 4', 'Begin 1,2c 4']);
  });

  it('are where the first piece lies for a record that was cut', () => {
    const record = insert(9, 5000);
    const first = SEGMENT_ROOM - 4 - 7;
    const segments = [
      concat(begin(1), fragmentBegin(5000, record.subarray(0, first))),
      concat(fragment(record.subarray(first)), begin(2)),
    ];
    const behind = (40 + 3 + 5000 - first).toString(16);
    expect(walk(segments)).toEqual(['Begin 1,0 4', 'Insert 1,2c 5000 ×2', `Begin 2,${behind} 4`]);
  });
});

describe('records that were cut', () => {
  const total = 10000;
  const record = insert(9, total);
  const first = SEGMENT_ROOM - 7;
  const second = SEGMENT_ROOM - 3;
  const pieces = [
    fragmentBegin(total, record.subarray(0, first)),
    fragment(record.subarray(first, first + second)),
    concat(fragment(record.subarray(first + second)), begin(2)),
  ];

  it.each([1, 2, 3])('are put together from windows of %d segments', (segmentsPerWindow) => {
    const behind = (40 + 3 + total - first - second).toString(16);
    expect(walk(pieces, segmentsPerWindow)).toEqual([`Insert 1,0 ${total} ×3`, `Begin 3,${behind} 4`]);
  });

  it('are whole: every byte is that of the record', () => {
    const file = buildLog(pieces);
    const cursor = new LogRecordCursor(1, file.length);
    cursor.feed(file, new DataView(file.buffer), SEGMENT_BYTES, pieces.length);
    expect(cursor.next()).toBe(true);
    const { bytes, offset, size } = cursor.record();
    expect(Buffer.compare(bytes.subarray(offset, offset + size), record)).toBe(0);
  });

  it('are unfinished where the log ends inside', () => {
    const file = buildLog(pieces.slice(0, 2));
    const cursor = new LogRecordCursor(1, file.length);
    cursor.feed(file, new DataView(file.buffer), SEGMENT_BYTES, 2);
    expect(cursor.next()).toBe(false);
    expect(cursor.unfinished).toBe(true);
  });

  it.each([
    ['RecoveryUndo2', Uint8Array.of(51, 0, 0, 0, 0, 0, 0, 0, 0), 'RecoveryUndo2 2,0 9'],
    ['RecoveryUndo', Uint8Array.of(17), 'RecoveryUndo 2,0 1'],
    ['UndoInfo', concat(Uint8Array.of(36), new Uint8Array(55)), 'UndoInfo 2,0 56'],
  ])('are dropped where a new run goes on with %s', (_, next, expected) => {
    const segments = [pieces[0] ?? next, concat(next, begin(3))];
    expect(walk(segments)[0]).toBe(expected);
    expect(walk(segments)).toHaveLength(2);
  });

  it('are dropped where a new run goes on with an UndoInfo that is cut itself', () => {
    const undo = new Uint8Array(5000);
    undo[0] = 36;
    new DataView(undo.buffer).setUint16(54, 5000 - 56, true);
    const segments = [
      pieces[0] ?? undo,
      fragmentBegin(5000, undo.subarray(0, first)),
      fragment(undo.subarray(first)),
    ];
    expect(walk(segments)).toEqual(['UndoInfo 2,0 5000 ×2']);
  });

  it.each([
    ['another record between two pieces', [pieces[0], begin(2)]],
    [
      'RecoveryUndo2 that does not start its segment',
      [concat(fragmentBegin(99, insert(1, 60)), Uint8Array.of(17))],
    ],
    ['a piece without a start', [fragment(begin(1))]],
    ['a first piece that is the whole record', [fragmentBegin(4, begin(1))]],
    [
      'a first piece that passes the end of the segment',
      [concat(nop2(4000), Uint8Array.of(76, 99, 0, 0, 0, 90, 0))],
    ],
    ['a record longer than the file', [fragmentBegin(70000, record.subarray(0, first))]],
    ['more pieces than the record has bytes', [pieces[0], pieces[1], fragment(record.subarray(0, 3000))]],
    [
      'pieces that do not add up to a record',
      [fragmentBegin(60, insert(1, 50)), fragment(insert(1, 50).subarray(40))],
    ],
    ['a piece inside a piece', [fragmentBegin(60, Uint8Array.of(76)), fragment(new Uint8Array(59))]],
  ])('are damage where there is %s', (_, segments) => {
    const present = segments.filter((one) => one !== undefined);
    expect(jetErrorOf(() => walk(present))).toBe('JET_errLogFileCorrupt');
  });
});

describe('bytes that are no record', () => {
  it.each([
    ['a type that was removed', Uint8Array.of(40, 1, 2, 3)],
    ['a type beyond the last', Uint8Array.of(102, 1, 2, 3)],
    ['a type of the highest number', Uint8Array.of(255, 1, 2, 3)],
    [
      'a record that passes the end of its segment',
      concat(nop2(SEGMENT_ROOM - 10), insert(1, 50).subarray(0, 10)),
    ],
    ['lengths that pass the end of the segment', insert(1, 5000).subarray(0, 60)],
  ])('are damage: %s', (_, records) => {
    expect(jetErrorOf(() => walk([records, begin(1)]))).toBe('JET_errLogFileCorrupt');
  });

  it('are reported with the position at which they were met', () => {
    const place = { generation: GENERATION, isec: 1, ib: 44 };
    expect(() => walk([concat(begin(1), Uint8Array.of(102))])).toThrowError(
      expect.objectContaining({ name: 'JET_errLogFileCorrupt', lgpos: place }),
    );
  });

  it('do not include NOPs, which are counted', () => {
    const file = buildLog([begin(1), concat(new Uint8Array(3), begin(2))]);
    const cursor = new LogRecordCursor(1, file.length);
    const view = new DataView(file.buffer);
    const nops: number[] = [];
    cursor.feed(file, view, SEGMENT_BYTES, 1);
    while (cursor.next()) nops.push(cursor.nops);
    cursor.feed(file, view, 2 * SEGMENT_BYTES, 1);
    while (cursor.next()) nops.push(cursor.nops);
    expect(nops).toEqual([0, SEGMENT_ROOM - 4 + 3]);
    expect(cursor.nops).toBe(SEGMENT_ROOM - 3 - 4);
  });

  it('do not include records of an odd length that are too short for their fields, until a field is read', () => {
    const file = buildLog([Uint8Array.of(68, 2, 0, 0, 0, 1, 1)]);
    const cursor = new LogRecordCursor(1, file.length);
    cursor.feed(file, new DataView(file.buffer), SEGMENT_BYTES, 1);
    expect(cursor.next()).toBe(true);
    expect(cursor.size).toBe(7);
    expect(jetErrorOf(() => cursor.record())).toBe('JET_errLogFileCorrupt');
  });
});
