import { EseError } from '../format/ese-error.js';
import {
  assembleLongValue,
  decodeLongValueRoot,
  formatLid,
  longValueChunkSize,
  longValueKey,
} from '../format/long-value.js';
import type { TableDefinition } from '../format/table-definition.js';
import type { LongValueReader } from '../format/value-reader.js';
import type { PageSource } from './page-source.js';
import { TreeCursor } from './tree-reader.js';

/**
 * Reads the separated values of one table (format specification, chapter 3.3.2). The reader keeps a
 * position, so values are cheapest in the order of their ids.
 */
export function createLongValueReader(source: PageSource, table: TableDefinition): LongValueReader {
  const tree = table.longValueTree;
  if (tree === undefined) {
    return (lid) => {
      throw new EseError('JET_errLVCorrupted', `table ${table.name} has no tree for value ${formatLid(lid)}`);
    };
  }
  const chunkSize = longValueChunkSize(source.pageSize, table.lvChunkMax);
  const cursor = new TreeCursor(source, tree);
  const isOn = (key: Uint8Array): boolean => cursor.page.compareKey(cursor.node, key) === 0;

  return (lid, out, limit) => {
    const rootKey = longValueKey(lid);
    if (!cursor.seek(rootKey) || !isOn(rootKey)) {
      throw new EseError(
        'JET_errLVCorrupted',
        `long value ${formatLid(lid)} of ${table.name} does not exist`,
      );
    }
    const { dataOffset, dataLength } = cursor.node;
    const root = decodeLongValueRoot(cursor.page.bytes, dataOffset, dataOffset + dataLength);
    const chunkKey = longValueKey(lid, 0);
    const offsetInKey = new DataView(chunkKey.buffer, chunkKey.length - 4);
    assembleLongValue(
      root,
      chunkSize,
      (offset) => {
        offsetInKey.setUint32(0, offset);
        const isThere = (cursor.next() && isOn(chunkKey)) || (cursor.seek(chunkKey) && isOn(chunkKey));
        return isThere ? cursor.page.data(cursor.node) : undefined;
      },
      out,
      limit,
    );
  };
}
