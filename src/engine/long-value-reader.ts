import type { ByteWriter } from '../format/byte-writer.js';
import { EseError } from '../format/ese-error.js';
import {
  assembleLongValue,
  decodeLongValueRoot,
  formatLid,
  type Lid,
  type LongValueRoot,
  longValueChunkSize,
  longValueKey,
} from '../format/long-value.js';
import type { TableDefinition } from '../format/table-definition.js';
import type { PageSource } from './page-source.js';
import { TreeCursor } from './tree-reader.js';

/** Reads the separated long values of one table (format specification, chapter 2.4). */
export interface LongValueReader {
  /** The root of a value. @throws EseError JET_errLVCorrupted when there is none. */
  root(lid: Readonly<Lid>): LongValueRoot;
  /**
   * Appends the value, or its first `limit` bytes, to `out`; returns the bytes appended. Throws as
   * {@link assembleLongValue}, and when the value has no root.
   */
  append(lid: Readonly<Lid>, out: ByteWriter, limit?: number): number;
}

/** A reader of the long values of `table`. A table without a long-value tree has no values to find. */
export function createLongValueReader(source: PageSource, table: TableDefinition): LongValueReader {
  const { longValueTree } = table;
  const chunkSize = longValueChunkSize(source.pageSize, table.lvChunkMax);
  const cursor = longValueTree === undefined ? undefined : new TreeCursor(source, longValueTree);

  /** Puts the cursor on the node with exactly this key, by one step forward where that suffices. */
  const find = (key: Uint8Array, isNext: boolean): Uint8Array | undefined => {
    if (cursor === undefined) return undefined;
    if (!(isNext ? cursor.next() : cursor.seek(key))) return undefined;
    if (cursor.page.compareKey(cursor.node, key) !== 0) {
      if (!isNext || !cursor.seek(key) || cursor.page.compareKey(cursor.node, key) !== 0) return undefined;
    }
    return cursor.page.data(cursor.node);
  };

  const root = (lid: Readonly<Lid>): LongValueRoot => {
    const data = find(longValueKey(lid), false);
    if (data === undefined) {
      throw new EseError('JET_errLVCorrupted', `there is no long value ${formatLid(lid)}`);
    }
    return decodeLongValueRoot(data, 0, data.length);
  };

  return {
    root,
    append: (lid, out, limit) =>
      assembleLongValue(
        root(lid),
        chunkSize,
        // The chunks follow their root, so each is one step away from the one before.
        (offset) => find(longValueKey(lid, offset), true),
        out,
        limit,
      ),
  };
}
