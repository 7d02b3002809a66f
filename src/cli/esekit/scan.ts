/** `esekit scan FILE TABLE`: rows in the order of an index, or a range of them. */

import { createLongValueReader } from '../../engine/long-value-reader.js';
import { createRowScan } from '../../engine/row-scan.js';
import { createByteWriter } from '../../format/byte-writer.js';
import { EseError } from '../../format/ese-error.js';
import { createRowWriter, type RowFormat } from '../../format/row-writer.js';
import type { Verb } from '../verb.js';
import { keyValues, textsOf } from './key-values.js';
import { wholeNumber } from './place.js';
import { withDatabase } from './with-database.js';

const PIECE_BYTES = 64 * 1024;
const ROWS_PER_TURN = 1024;
const FORMATS: readonly RowFormat[] = ['csv', 'jsonl', 'canonical'];

export const scanVerb: Verb = {
  run: async (context) => {
    const { host, options, signal } = context;
    const limit = wholeNumber(context, 'limit') ?? Number.POSITIVE_INFINITY;
    const format = FORMATS.find((one) => one === options.format) ?? 'jsonl';
    const index = options.index === undefined ? undefined : String(options.index);
    return withDatabase(context, async (reader) => {
      const table = reader.table(String(options.table));
      const [from, to] = [options.from, options.to].map((given) =>
        given === undefined ? undefined : keyValues(table, index, textsOf(given)),
      );
      const scan = createRowScan(reader.source, table, {
        ...(index === undefined ? {} : { index }),
        ...(from === undefined ? {} : { from }),
        ...(to === undefined ? {} : { to }),
        reverse: options.reverse === true,
      });
      const longValues = createLongValueReader(reader.source, table);
      const writer = createRowWriter(scan.layout, format, longValues.append);
      const out = createByteWriter(PIECE_BYTES);
      const flush = (): void => {
        if (out.length > 0) host.terminal.out(out.bytes.subarray(0, out.length));
        out.length = 0;
      };
      writer.appendHeader(out);
      let rows = 0;
      let interrupted = false;
      try {
        for (const values of limit > 0 ? scan.rows() : []) {
          writer.appendRow(out, values);
          rows++;
          if (rows >= limit) break;
          if (out.length >= PIECE_BYTES || host.terminal.stdoutIsTerminal) flush();
          if (rows % ROWS_PER_TURN === 0) await new Promise((resolve) => setImmediate(resolve));
          interrupted = signal.aborted;
          if (interrupted) break;
        }
      } catch (error) {
        if (!(error instanceof EseError)) throw error;
        flush();
        return { result: null, streamed: true, error: error.at({ file: reader.path }) };
      }
      flush();
      return { result: null, streamed: true, interrupted };
    });
  },
};
