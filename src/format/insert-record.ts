import { writeDbtime } from './dbtime.js';
import { EseError } from './ese-error.js';
import { logRecordFixedSize } from './log-record-size.js';
import { LRTYP } from './log-record-type.js';

/** Fields of a record that say which page changes, by whom and when (format specification, chapter 4.5.2). */
export interface PagePrefix {
  readonly procid: number;
  readonly dbid: number;
  readonly pgno: number;
  readonly dbtime: number;
  readonly dbtimeBefore: number;
  readonly trxBegin0: number;
  readonly level: number;
  readonly iline: number;
  readonly pageFlags: number;
}

/**
 * Encodes Insert records, of which a log holds more than of all others together, right where they are to lie
 * (format specification, chapter 4.6.4). The bytes are those that the encoder of all records makes.
 */
export interface InsertFields extends PagePrefix {
  readonly rceid: number;
  readonly pgnoFDP: number;
  readonly objidFDP: number;
  readonly cbPrefix: number;
  readonly key: Uint8Array;
  readonly data: Uint8Array;
}

const INSERT_BYTES = logRecordFixedSize(LRTYP.Insert);
const LENGTH_LIMIT = 0x10000;
/** Bytes that are copied one by one, because a view of them would cost more. */
const SHORT_COPY = 64;

/** Size of an Insert record. Throws JET_errLogBufferTooSmall if a part is longer than its length can say. */
export function insertRecordSize({ key, data }: Pick<InsertFields, 'key' | 'data'>): number {
  if (key.length >= LENGTH_LIMIT || data.length >= LENGTH_LIMIT) {
    throw new EseError('JET_errLogBufferTooSmall', `a node of ${key.length} and ${data.length} bytes`);
  }
  return INSERT_BYTES + key.length + data.length;
}

/**
 * Writes an Insert record; there is room for {@link insertRecordSize} bytes. Returns where in `bytes` its key begins,
 * and behind it the data.
 */
export function writeInsertRecord(
  view: DataView,
  bytes: Uint8Array,
  at: number,
  fields: InsertFields,
): number {
  const { key, data, cbPrefix } = fields;
  bytes[at] = LRTYP.Insert;
  view.setUint16(at + 1, fields.procid, true);
  bytes[at + 3] = fields.dbid;
  view.setUint32(at + 4, fields.pgno, true);
  writeDbtime(view, at + 8, fields.dbtime);
  writeDbtime(view, at + 16, fields.dbtimeBefore);
  view.setUint32(at + 24, fields.trxBegin0, true);
  bytes[at + 28] = fields.level;
  view.setUint16(at + 29, fields.iline, true);
  bytes[at + 31] = fields.pageFlags;
  view.setUint32(at + 32, fields.rceid, true);
  view.setUint32(at + 36, fields.pgnoFDP, true);
  view.setUint32(at + 40, fields.objidFDP, true);
  view.setUint16(at + 44, key.length - cbPrefix, true);
  view.setUint16(at + 46, cbPrefix, true);
  view.setUint16(at + 48, data.length, true);
  const keyAt = at + INSERT_BYTES;
  for (let i = 0; i < key.length; i++) bytes[keyAt + i] = key[i] ?? 0;
  const dataAt = keyAt + key.length;
  if (data.length < SHORT_COPY) for (let i = 0; i < data.length; i++) bytes[dataAt + i] = data[i] ?? 0;
  else bytes.set(data, dataAt);
  return keyAt;
}
