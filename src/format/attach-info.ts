import { readDbtime } from './dbtime.js';
import { EseError, type Lgpos } from './ese-error.js';
import { readLgpos } from './lgpos.js';
import { splitStrings } from './log-record-field.js';
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
