import { SEGMENT_BYTES } from '../format/log-segment.js';
import type { FileSystem } from '../io/file-system.js';
import { openLog } from './log-reader.js';

/**
 * Writes the segments back that a crash tore, from their shadows (format specification, chapter 5.3.4). A shadow stays
 * as it is, so that a crash in the middle leaves what was there before.
 */
export function restoreTornSegments(fs: FileSystem, path: string, segments: readonly number[]): void {
  if (segments.length === 0) return;
  const file = fs.open(path, 'write');
  try {
    const segment = new Uint8Array(SEGMENT_BYTES);
    for (const isec of segments) {
      file.readAt(segment, (isec + 1) * segment.length);
      file.writeAt(segment, isec * segment.length);
    }
    file.sync();
  } finally {
    file.close();
  }
}

/**
 * Mends a log whose last write was interrupted. A whole log is not opened for writing, and one that is damaged
 * otherwise is left as it is.
 *
 * @returns the segments that were restored
 * @throws EseError what opening the log, and writing it, throw
 */
export function mendTornLog(fs: FileSystem, path: string): readonly number[] {
  const log = openLog(fs, path);
  let segments: readonly number[];
  try {
    const { damage, tornSegments } = log.verify();
    segments = damage === undefined ? tornSegments : [];
  } finally {
    log.close();
  }
  restoreTornSegments(fs, path, segments);
  return segments;
}
