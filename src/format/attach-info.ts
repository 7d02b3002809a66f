import { readDbtime, writeDbtime } from './dbtime.js';
import { EseError, type Lgpos } from './ese-error.js';
import { readLgpos, writeLgpos } from './lgpos.js';
import { joinedStringsBytes, joinStrings, splitStrings } from './log-record-field.js';
import { readSignature, type Signature } from './signature.js';

/**
 * ATTACHINFO list: the databases that were attached when a log file was begun or a checkpoint written
 * (format specification, chapter 4.2.6). Entries follow each other in 2048 bytes; a zero byte in the place
 * of the next `dbid` ends the list.
 *
 * | offset | size | field |
 * |---|---|---|
 * | 0 | 1 | dbid, from 1 |
 * | 1 | 1 | flags |
 * | 2 | 2 | cbNames |
 * | 4 | 8 | dbtime |
 * | 12 | 4 | objidLast |
 * | 16 | 4 | largest size in pages |
 * | 20 | 8 | lgposAttach |
 * | 28 | 8 | lgposConsistent |
 * | 36 | 28 | signDb |
 * | 64 | cbNames | path with its NUL |
 */
export interface AttachInfo {
  readonly dbid: number;
  /** Bits of {@link ATTACH_INFO_FLAG}. */
  readonly flags: number;
  readonly cbNames: number;
  /** An upper estimate: at least every stamp of earlier generations, usually more. */
  readonly dbtime: number;
  readonly objidLast: number;
  /** Largest size of the database in pages; 0 = no limit. */
  readonly cpgMax: number;
  readonly lgposAttach: Lgpos;
  readonly lgposConsistent: Lgpos;
  readonly signDb: Signature;
  /** The logged path of the database, as the first string. */
  readonly names: readonly string[];
}

export const ATTACH_INFO_FLAG = { utf16: 0x20, sparse: 0x40 } as const;

/** Room for the list in log headers and checkpoints. */
export const ATTACH_LIST_BYTES = 2048;

const ENTRY_BYTES = 64;

/**
 * Decodes the list of 2048 bytes at `offset`.
 *
 * @throws EseError JET_errLogFileCorrupt if an entry exceeds the list
 */
export function readAttachList(bytes: Uint8Array, offset: number): AttachInfo[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const end = offset + ATTACH_LIST_BYTES;
  const entries: AttachInfo[] = [];
  let at = offset;
  while (at < end && view.getUint8(at) !== 0) {
    const cbNames = at + ENTRY_BYTES <= end ? view.getUint16(at + 2, true) : 0;
    if (at + ENTRY_BYTES + cbNames > end) {
      throw new EseError('JET_errLogFileCorrupt', 'an entry exceeds the list of attached databases');
    }
    const flags = view.getUint8(at + 1);
    entries.push({
      dbid: view.getUint8(at),
      flags,
      cbNames,
      dbtime: readDbtime(view, at + 4),
      objidLast: view.getUint32(at + 12, true),
      cpgMax: view.getUint32(at + 16, true),
      lgposAttach: readLgpos(view, at + 20),
      lgposConsistent: readLgpos(view, at + 28),
      signDb: readSignature(bytes, at + 36),
      names: splitStrings(view, at + ENTRY_BYTES, cbNames, (flags & ATTACH_INFO_FLAG.utf16) !== 0),
    });
    at += ENTRY_BYTES + cbNames;
  }
  return entries;
}

/** An entry to be written: its `cbNames` follows from the names. */
export type NewAttachInfo = Omit<AttachInfo, 'cbNames'>;

/** Bytes that an entry takes in the list. */
export function attachInfoBytes(info: NewAttachInfo): number {
  return ENTRY_BYTES + joinedStringsBytes(info.names, (info.flags & ATTACH_INFO_FLAG.utf16) !== 0);
}

/**
 * Encodes the list at `offset`, into bytes that are zero.
 *
 * @throws EseError JET_errTooManyAttachedDatabases if the entries do not fit 2048 bytes with the byte that ends them
 */
export function writeAttachList(bytes: Uint8Array, offset: number, list: readonly NewAttachInfo[]): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = offset;
  for (const info of list) {
    const size = attachInfoBytes(info);
    if (at + size >= offset + ATTACH_LIST_BYTES) {
      throw new EseError('JET_errTooManyAttachedDatabases', 'the list of attached databases is full');
    }
    view.setUint8(at, info.dbid);
    view.setUint8(at + 1, info.flags);
    view.setUint16(at + 2, size - ENTRY_BYTES, true);
    writeDbtime(view, at + 4, info.dbtime);
    view.setUint32(at + 12, info.objidLast, true);
    view.setUint32(at + 16, info.cpgMax, true);
    writeLgpos(view, at + 20, info.lgposAttach);
    writeLgpos(view, at + 28, info.lgposConsistent);
    bytes.set(info.signDb.bytes, at + 36);
    joinStrings(view, at + ENTRY_BYTES, info.names, (info.flags & ATTACH_INFO_FLAG.utf16) !== 0);
    at += size;
  }
}
