/**
 * From a located value to its plain bytes: decompression and long values (format specification,
 * chapters 3.2.4 and 3.3).
 */
import { type ByteWriter, reserve } from './byte-writer.js';
import { decompress, decompressedSize } from './compression.js';
import { EseError } from './ese-error.js';
import { type Lid, readLid } from './long-value.js';
import type { ValueView } from './record.js';

/**
 * Appends the bytes of a long value, or its first `limit` bytes, to `out`. Throws an EseError if the value
 * cannot be read.
 */
export type ReadLongValue = (lid: Readonly<Lid>, out: ByteWriter, limit?: number) => void;

const lid: Lid = { high: 0, low: 0 };

/**
 * Makes `value` refer to plain bytes: compressed and separated values are read into `scratch`, whose old
 * content is given up. At least the first `limit` bytes are there.
 *
 * @throws EseError JET_errDecryptionFailed for an encrypted value, JET_errDecompressionFailed,
 *   JET_errLVCorrupted, and what `readLongValue` throws.
 */
export function resolveValue(
  value: ValueView,
  scratch: ByteWriter,
  readLongValue: ReadLongValue,
  limit?: number,
): void {
  if (value.encrypted) throw new EseError('JET_errDecryptionFailed', 'the value is encrypted');
  if (value.separated) {
    scratch.length = 0;
    readLid(value.bytes, value.start, value.end, lid);
    readLongValue(lid, scratch, limit);
  } else if (value.compressed) {
    scratch.length = 0;
    reserve(scratch, decompressedSize(value.bytes, value.start, value.end));
    scratch.length = decompress(value.bytes, value.start, value.end, scratch.bytes, 0);
  } else {
    return;
  }
  value.bytes = scratch.bytes;
  value.start = 0;
  value.end = scratch.length;
  value.separated = false;
  value.compressed = false;
}
