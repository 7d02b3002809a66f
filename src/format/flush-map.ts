import { FILE_TYPE, FILE_TYPE_OFFSET } from './database-header.js';
import { EseError } from './ese-error.js';
import { dbtime, type FieldsOf, i32, logtime, readFields, signature, u32 } from './log-record-field.js';
import { PAGE_FLAG } from './page.js';
import { diagnosePage, type PageVerdict, xorChecksum } from './page-checksum.js';
import { isSignatureSet, signaturesEqual } from './signature.js';

/**
 * The flush map of a database (`.jfm`, format specification, chapter 1.6): for every page the two-bit number of
 * its last write, so that a write that the disk lost is noticed although the old page is whole.
 *
 * Pages of 8 KiB: the header, then data pages f = 0, 1, … A data page has 64 bytes of header and the states of
 * 32512 database pages, the most significant pair of bits first.
 */
export const FLUSH_MAP_PAGE_BYTES = 8192;

export const FLUSH_MAP_HEADER_LAYOUT = {
  checksum: u32(0),
  version: u32(4),
  updateMajor: u32(8),
  updateMinor: u32(12),
  /** 1 = closed cleanly. */
  flags: u32(36),
  logtimeCreate: logtime(40),
  logtimeAttach: logtime(48),
  logtimeDetach: logtime(56),
  genMinRequired: i32(64),
  genMinRequiredTarget: i32(68),
  logtimeFullFlushStart: logtime(72),
  logtimeFullFlushEnd: logtime(80),
  signDbHdrFlush: signature(88),
  signFlushMapHdrFlush: signature(116),
  filetype: u32(FILE_TYPE_OFFSET),
};

export type FlushMapHeader = FieldsOf<typeof FLUSH_MAP_HEADER_LAYOUT>;

export const FLUSH_MAP_FLAG = { clean: 0x1 } as const;

/** Database pages whose states one data page holds. */
export const FLUSH_MAP_STATES_PER_PAGE = 32512;

const DATA_HEADER_BYTES = 64;
const STATES_PER_BYTE = 4;
const STATE_BITS = 2;
const STATE_MASK = 3;
const FLUSH_TYPE_SHIFT = 15;

/**
 * Decodes and checks the header.
 *
 * @param bytes the first 8192 bytes of the file, fewer if it is shorter
 * @throws EseError JET_errFileInvalidType for another kind of ESE file, JET_errReadVerifyFailure for a damaged
 *   or shorter one
 */
export function decodeFlushMapHeader(bytes: Uint8Array): FlushMapHeader {
  if (bytes.length < FLUSH_MAP_PAGE_BYTES) {
    throw new EseError('JET_errReadVerifyFailure', 'the file is shorter than the header of a flush map');
  }
  const header = bytes.subarray(0, FLUSH_MAP_PAGE_BYTES);
  const view = new DataView(header.buffer, header.byteOffset, header.byteLength);
  const fields = readFields(FLUSH_MAP_HEADER_LAYOUT, { bytes: header, view, offset: 0, size: header.length });
  if (fields.checksum !== xorChecksum(header)) {
    throw new EseError('JET_errReadVerifyFailure', 'the checksum of the flush map header is wrong');
  }
  if (fields.filetype !== FILE_TYPE.flushMap) {
    throw new EseError('JET_errFileInvalidType', `this is no flush map (file type ${fields.filetype})`);
  }
  return fields;
}

const FLUSH_MAP_DATA_LAYOUT = { dbtimeMax: dbtime(8), number: i32(16) };

/** A data page: the verdict on its checksum, and what its own header says. */
export interface FlushMapDataPage extends FieldsOf<typeof FLUSH_MAP_DATA_LAYOUT> {
  /** `uninitialized` = nothing is known of its pages. */
  readonly verdict: PageVerdict;
}

/** Judges data page `number` (from 0); `page` is its 8192 bytes. */
export function judgeFlushMapPage(page: Uint8Array, number: number): FlushMapDataPage {
  const view = new DataView(page.buffer, page.byteOffset, page.byteLength);
  const fields = readFields(FLUSH_MAP_DATA_LAYOUT, { bytes: page, view, offset: 0, size: page.length });
  return { ...fields, verdict: diagnosePage(page, number).verdict };
}

/** State of a database page, 0 (unknown) to 3, in the data page that {@link flushMapPageOf} names. */
export function flushState(page: Uint8Array, pgno: number): number {
  const index = pgno % FLUSH_MAP_STATES_PER_PAGE;
  const byte = page[DATA_HEADER_BYTES + Math.floor(index / STATES_PER_BYTE)] ?? 0;
  const shift = (STATES_PER_BYTE - 1 - (index % STATES_PER_BYTE)) * STATE_BITS;
  return (byte >> shift) & STATE_MASK;
}

/** Flush type of a page, 0 (unknown) to 3, by its flags. */
function flushTypeOf(pageFlags: number): number {
  return (pageFlags & PAGE_FLAG.flushType) >>> FLUSH_TYPE_SHIFT;
}

/**
 * Whether the last write of a page was lost: its flags show another one than the state that a trusted map has of it.
 * Where one of them is unknown nothing is.
 */
export function isLostWrite(state: number, pageFlags: number): boolean {
  const type = flushTypeOf(pageFlags);
  return state !== 0 && type !== 0 && type !== state;
}

/**
 * Whether a map may be trusted for a database: one of the two signatures of header writes is set and equal in
 * both headers.
 */
export function isFlushMapOf(
  map: Pick<FlushMapHeader, 'signDbHdrFlush' | 'signFlushMapHdrFlush'>,
  database: Pick<FlushMapHeader, 'signDbHdrFlush' | 'signFlushMapHdrFlush'>,
): boolean {
  return (['signDbHdrFlush', 'signFlushMapHdrFlush'] as const).some(
    (name) => isSignatureSet(map[name]) && signaturesEqual(map[name], database[name]),
  );
}
