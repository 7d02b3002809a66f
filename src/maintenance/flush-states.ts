import { basename, dirname, extname, join } from 'node:path';
import { DATABASE_STATE, type DatabaseHeader } from '../format/database-header.js';
import { EseError } from '../format/ese-error.js';
import {
  decodeFlushMapHeader,
  FLUSH_MAP_FLAG,
  FLUSH_MAP_PAGE_BYTES,
  FLUSH_MAP_STATES_PER_PAGE,
  flushState,
  isFlushMapOf,
  judgeFlushMapPage,
} from '../format/flush-map.js';
import type { FileSystem } from '../io/file-system.js';

/** The flush map of a database. */
export function flushMapPath(database: string): string {
  return join(dirname(database), `${basename(database, extname(database))}.jfm`);
}

/**
 * What the flush map beside a database says of its pages: by page number the kind of its last write, 0 where nothing is
 * known (format specification, chapter 1.6). In shared memory, for threads.
 *
 * `undefined` where there is no map, or none that can be trusted: it belongs to another write of the header, is damaged,
 * or database or map were not closed cleanly, so that the map may lag behind.
 */
export function readFlushStates(
  fs: FileSystem,
  database: string,
  header: DatabaseHeader | undefined,
  lastPgno: number,
): Uint8Array<SharedArrayBuffer> | undefined {
  const path = flushMapPath(database);
  if (header?.state !== DATABASE_STATE.cleanShutdown || !fs.exists(path)) return undefined;
  try {
    return readStates(fs, path, header, lastPgno);
  } catch (error) {
    if (error instanceof EseError) return undefined;
    throw error;
  }
}

function readStates(
  fs: FileSystem,
  path: string,
  header: DatabaseHeader,
  lastPgno: number,
): Uint8Array<SharedArrayBuffer> | undefined {
  const file = fs.open(path, 'read');
  try {
    const page = new Uint8Array(FLUSH_MAP_PAGE_BYTES);
    const map = decodeFlushMapHeader(page.subarray(0, file.readAt(page, 0)));
    if (!isFlushMapOf(map, header) || (map.flags & FLUSH_MAP_FLAG.clean) === 0) return undefined;
    const states = new Uint8Array(new SharedArrayBuffer(lastPgno + 1));
    for (let first = 0, number = 0; first <= lastPgno; first += FLUSH_MAP_STATES_PER_PAGE, number++) {
      if (file.readAt(page, (number + 1) * FLUSH_MAP_PAGE_BYTES) !== page.length) break;
      // A page that is damaged or blank knows nothing.
      if (judgeFlushMapPage(page, number).verdict !== 'ok') continue;
      const last = Math.min(lastPgno, first + FLUSH_MAP_STATES_PER_PAGE - 1);
      for (let pgno = first; pgno <= last; pgno++) states[pgno] = flushState(page, pgno);
    }
    return states;
  } finally {
    file.close();
  }
}
