import { SEGMENT_BYTES } from '../../src/format/log-segment.js';
import type { FileSystem } from '../../src/io/file-system.js';

/** More than this in one write are the zeros of a new log. */
const LOG_WRITE_MOST = 16 * SEGMENT_BYTES - 1;

/**
 * A disk on which logs arrive segment by segment, as the format assumes (chapter 5.3.4); anything else may be lost, torn and
 * reordered.
 */
export function withOrderedLogs<D extends FileSystem>(disk: D): D {
  return {
    ...disk,
    open(path, mode) {
      const handle = disk.open(path, mode);
      if (!path.endsWith('.log')) return handle;
      return {
        ...handle,
        writeAt(from, offset) {
          const step = from.length > LOG_WRITE_MOST ? from.length : SEGMENT_BYTES;
          for (let at = 0; at < from.length; at += step) {
            handle.writeAt(from.subarray(at, at + step), offset + at);
            handle.sync();
          }
        },
      };
    },
  };
}
