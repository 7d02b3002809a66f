import { createByteWriter } from '../../format/byte-writer.js';
import { isLongValueType } from '../../format/column.js';
import { EseError } from '../../format/ese-error.js';
import type { RecordLayout } from '../../format/record.js';
import { createRecordEncoder } from '../../format/record-encoder.js';
import { createRecordAreas, locateAreas, taggedFormat, visitLids } from '../defrag/record-scan.js';
import type { LongValueLedger } from './long-value-ledger.js';

/** Records whose long values are partly lost (format specification, chapter 7.2.8). */
export interface RecordMender {
  /**
   * Looks at the record `bytes[start..end)`: returns how many of its values are lost, -1 if it contradicts itself.
   * The references that are left are counted when it is mended, or at once if none is lost.
   */
  look(bytes: Uint8Array, start: number, end: number): number;
  /** The record without its lost values, or undefined if it cannot be written without them. */
  mend(bytes: Uint8Array, start: number, end: number): Uint8Array | undefined;
}

export function createRecordMender(layout: RecordLayout, ledger: LongValueLedger | undefined): RecordMender {
  const format = taggedFormat(layout.isLargePage);
  const areas = createRecordAreas();
  const encoder = createRecordEncoder(layout);
  const out = createByteWriter(1024);
  const longColumns = layout.columns.flatMap(({ coltyp }, index) => (isLongValueType(coltyp) ? [index] : []));
  const isThere = (bytes: Uint8Array, at: number, length: number): boolean =>
    ledger?.isThere(bytes, at, length) ?? false;

  const count = (bytes: Uint8Array, start: number, end: number): void => {
    locateAreas(bytes, start, end, format, areas);
    visitLids(bytes, end, areas, format, (at, length) => ledger?.count(bytes, at, length));
  };

  return {
    look(bytes, start, end) {
      let lost = 0;
      try {
        locateAreas(bytes, start, end, format, areas);
        visitLids(bytes, end, areas, format, (at, length) => {
          if (!isThere(bytes, at, length)) lost++;
        });
      } catch (error) {
        if (!(error instanceof EseError)) throw error;
        return -1;
      }
      if (lost === 0) count(bytes, start, end);
      return lost;
    },
    mend(bytes, start, end) {
      try {
        encoder.load(bytes, start, end);
        for (const column of longColumns) {
          const values = encoder.values(column);
          const left = values.filter(
            ({ bytes: value, separated }) => separated !== true || isThere(value, 0, value.length),
          );
          if (left.length === values.length) continue;
          if (left.length === 0) encoder.setNull(column);
          else encoder.setValues(column, left);
        }
        out.length = 0;
        encoder.encode(out);
      } catch (error) {
        if (!(error instanceof EseError)) throw error;
        return undefined;
      }
      const record = out.bytes.slice(0, out.length);
      count(record, 0, record.length);
      return record;
    },
  };
}
