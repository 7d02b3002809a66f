/**
 * DBMS_PARAM: the engine's parameters as log headers, checkpoint and Init records keep them (format
 * specification, chapter 4.2.4). Informative: no rule of recovery depends on it.
 *
 * | offset | size | field |
 * |---|---|---|
 * | 0 | 261 | system path, 8-bit characters, ended by NUL |
 * | 261 | 261 | log path, the same |
 * | 522 | 1 | flags: 0x01 circular logging |
 * | 523 | 7 × 4 | sessions, open tables, version pages, cursors, log buffers, log file size, cache size |
 * | 551 | 16 | reserved |
 */
export interface DbmsParam {
  readonly systemPath: string;
  readonly logPath: string;
  /** Bit 0: circular logging. */
  readonly flags: number;
  readonly sessions: number;
  readonly openTables: number;
  readonly verPages: number;
  readonly cursors: number;
  /** Log buffers, in segments. */
  readonly logBuffers: number;
  /** Size of a log file, in segments. */
  readonly csecLGFile: number;
  /** Largest size of the page cache, in pages. */
  readonly cacheSizeMax: number;
}

export const DBMS_PARAM_BYTES = 567;
export const DBMS_PARAM_CIRCULAR_LOGGING = 0x01;

const PATH_BYTES = 261;
const OFFSET_LOG_PATH = 261;
const OFFSET_FLAGS = 522;
const OFFSET_NUMBERS = 523;

/** Decodes the DBMS_PARAM at `offset`; `view` must hold all 567 bytes. */
export function readDbmsParam(view: DataView, offset: number): DbmsParam {
  const number = (i: number): number => view.getUint32(offset + OFFSET_NUMBERS + 4 * i, true);
  return {
    systemPath: readAnsiString(view, offset, PATH_BYTES),
    logPath: readAnsiString(view, offset + OFFSET_LOG_PATH, PATH_BYTES),
    flags: view.getUint8(offset + OFFSET_FLAGS),
    sessions: number(0),
    openTables: number(1),
    verPages: number(2),
    cursors: number(3),
    logBuffers: number(4),
    csecLGFile: number(5),
    cacheSizeMax: number(6),
  };
}

/** Encodes a DBMS_PARAM at `offset`; the reserved bytes are left as they are. Long paths are cut off. */
export function writeDbmsParam(view: DataView, offset: number, param: DbmsParam): void {
  writeAnsiString(view, offset, PATH_BYTES, param.systemPath);
  writeAnsiString(view, offset + OFFSET_LOG_PATH, PATH_BYTES, param.logPath);
  view.setUint8(offset + OFFSET_FLAGS, param.flags);
  const numbers = [
    param.sessions,
    param.openTables,
    param.verPages,
    param.cursors,
    param.logBuffers,
    param.csecLGFile,
    param.cacheSizeMax,
  ];
  numbers.forEach((number, i) => {
    view.setUint32(offset + OFFSET_NUMBERS + 4 * i, number, true);
  });
}

/** Fills `length` bytes with 8-bit characters and zeros, at least one; other characters become `?`. */
function writeAnsiString(view: DataView, offset: number, length: number, text: string): void {
  for (let i = 0; i < length; i++) {
    const c = i < Math.min(text.length, length - 1) ? text.charCodeAt(i) : 0;
    view.setUint8(offset + i, c > 0xff ? 0x3f : c);
  }
}

/** 8-bit characters up to the first NUL or to `length`, each taken as the code point of its value. */
export function readAnsiString(view: DataView, offset: number, length: number): string {
  let text = '';
  for (let i = 0; i < length; i++) {
    const c = view.getUint8(offset + i);
    if (c === 0) break;
    text += String.fromCharCode(c);
  }
  return text;
}
