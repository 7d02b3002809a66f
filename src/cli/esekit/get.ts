/** `esekit get FILE TABLE KEY…`: one row by its primary key. */

import { createLongValueReader } from '../../engine/long-value-reader.js';
import { createRowScan } from '../../engine/row-scan.js';
import { createByteWriter } from '../../format/byte-writer.js';
import { EseError } from '../../format/ese-error.js';
import { createRowWriter, type RowFormat } from '../../format/row-writer.js';
import { UsageError } from '../usage-error.js';
import type { Verb } from '../verb.js';
import { keyValues, textsOf } from './key-values.js';
import { withDatabase } from './with-database.js';

export const getVerb: Verb = {
  blocks: true,
  run: (context) =>
    withDatabase(context, (reader) => {
      const { options, say } = context;
      const table = reader.table(String(options.table));
      const texts = textsOf(options.key);
      const key = keyValues(table, undefined, texts);
      const segments = table.primaryIndex?.segments.length ?? 0;
      if (key.length < segments) {
        throw new UsageError(`Usage Error: the primary key of table ${table.name} has ${segments} values.`);
      }
      const scan = createRowScan(reader.source, table, { from: key, to: key });
      const [values] = scan.rows();
      if (values === undefined) {
        throw new EseError('JET_errRecordNotFound', `table ${table.name} has no row ${texts.join(' ')}`, {
          file: reader.path,
        });
      }
      const longValues = createLongValueReader(reader.source, table);
      const line = (format: RowFormat): string => {
        const out = createByteWriter(0);
        createRowWriter(scan.layout, format, longValues.append, (_column, error) => {
          throw error.at({ file: reader.path });
        }).appendRow(out, values);
        return Buffer.from(out.bytes.buffer, 0, out.length - 1).toString('utf8');
      };
      say(line('jsonl'));
      return { result: { table: table.name, key: texts, row: JSON.parse(line('canonical')) } };
    }),
};
