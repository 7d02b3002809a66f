import { type AttachInfo, type NewAttachInfo, readAttachList, writeAttachList } from './attach-info.js';
import { FILE_TYPE, FILE_TYPE_OFFSET } from './database-header.js';
import { EseError } from './ese-error.js';
import {
  dbmsParam,
  type FieldsOf,
  lgpos,
  logtime,
  readFields,
  signature,
  u8,
  u32,
  writeFields,
} from './log-record-field.js';
import { xorChecksum } from './page-checksum.js';

/**
 * The checkpoint file: where redo starts (format specification, chapters 4.8 and 5.2.1). Two copies of 4096
 * bytes, written one after the other; the first good one counts.
 */
export const CHECKPOINT_LAYOUT = {
  checksum: u32(0),
  lgposLastFullBackupCheckpoint: lgpos(4),
  /** Redo starts here. */
  lgposCheckpoint: lgpos(12),
  signLog: signature(20),
  dbmsParam: dbmsParam(48),
  lgposFullBackup: lgpos(615),
  logtimeFullBackup: logtime(623),
  lgposIncBackup: lgpos(631),
  logtimeIncBackup: logtime(639),
  flags: u8(647),
  /** At or behind the checkpoint; zero = the same. */
  lgposDbConsistency: lgpos(648),
  filetype: u32(FILE_TYPE_OFFSET),
};

export interface Checkpoint extends FieldsOf<typeof CHECKPOINT_LAYOUT> {
  /** Databases attached at the checkpoint; meaningful only with {@link CHECKPOINT_FLAG}.attachList. */
  readonly attachments: readonly AttachInfo[];
}

export const CHECKPOINT_FLAG = { attachList: 0x1 } as const;

export const CHECKPOINT_COPY_BYTES = 4096;
export const CHECKPOINT_BYTES = 2 * CHECKPOINT_COPY_BYTES;

const OFFSET_ATTACHMENTS = 679;

/** One of the two copies, as {@link electCheckpoint} found it. */
export interface CheckpointCopy {
  readonly which: 1 | 2;
  /** Complete, and its checksum is right. */
  readonly ok: boolean;
  readonly checksumStored: number;
  readonly checksumComputed: number;
}

export interface CheckpointElection {
  readonly copies: readonly [CheckpointCopy, CheckpointCopy];
  /** The contents of the first good copy; undefined if both are bad. */
  readonly checkpoint: Checkpoint | undefined;
}

/**
 * Judges both copies and decodes the first good one.
 *
 * @param bytes the file; what lies behind 8192 bytes is ignored
 * @throws EseError JET_errFileInvalidType for another kind of ESE file, JET_errCheckpointCorrupt for a list of
 *   databases that does not fit
 */
export function electCheckpoint(bytes: Uint8Array): CheckpointElection {
  const first = bytes.subarray(0, CHECKPOINT_COPY_BYTES);
  const second = bytes.subarray(CHECKPOINT_COPY_BYTES, CHECKPOINT_BYTES);
  const copies = [judgeCopy(first, 1), judgeCopy(second, 2)] as const;
  const elected = copies[0].ok ? first : copies[1].ok ? second : undefined;
  return { copies, checkpoint: elected === undefined ? undefined : decodeCopy(elected) };
}

/**
 * The checkpoint in a file.
 *
 * @throws EseError as {@link electCheckpoint}, and JET_errCheckpointCorrupt if both copies are bad
 */
export function decodeCheckpoint(bytes: Uint8Array): Checkpoint {
  const { checkpoint } = electCheckpoint(bytes);
  if (checkpoint === undefined) {
    throw new EseError('JET_errCheckpointCorrupt', 'both copies of the checkpoint are damaged');
  }
  return checkpoint;
}

/** A checkpoint to be written. */
export interface NewCheckpoint extends Omit<Checkpoint, 'checksum' | 'attachments'> {
  readonly attachments: readonly NewAttachInfo[];
}

/**
 * Encodes one copy of a checkpoint, checksum included: 4096 bytes, to be written twice.
 *
 * @throws EseError JET_errTooManyAttachedDatabases if the list of databases does not fit
 */
export function encodeCheckpoint(checkpoint: NewCheckpoint): Uint8Array {
  const bytes = new Uint8Array(CHECKPOINT_COPY_BYTES);
  const view = new DataView(bytes.buffer);
  const record = { bytes, view, offset: 0, size: CHECKPOINT_COPY_BYTES };
  writeFields(CHECKPOINT_LAYOUT, record, { ...checkpoint, checksum: 0 });
  writeAttachList(bytes, OFFSET_ATTACHMENTS, checkpoint.attachments);
  view.setUint32(0, xorChecksum(bytes), true);
  return bytes;
}

function judgeCopy(copy: Uint8Array, which: 1 | 2): CheckpointCopy {
  const view = new DataView(copy.buffer, copy.byteOffset, copy.byteLength);
  const isComplete = copy.length === CHECKPOINT_COPY_BYTES;
  const checksumStored = copy.length >= 4 ? view.getUint32(0, true) : 0;
  const checksumComputed = isComplete ? xorChecksum(copy) : 0;
  return { which, ok: isComplete && checksumStored === checksumComputed, checksumStored, checksumComputed };
}

function decodeCopy(copy: Uint8Array): Checkpoint {
  const view = new DataView(copy.buffer, copy.byteOffset, copy.byteLength);
  const fields = readFields(CHECKPOINT_LAYOUT, { bytes: copy, view, offset: 0, size: copy.length });
  if (fields.filetype !== FILE_TYPE.checkpoint && fields.filetype !== FILE_TYPE.unknown) {
    throw new EseError('JET_errFileInvalidType', `this is no checkpoint file (file type ${fields.filetype})`);
  }
  try {
    return { ...fields, attachments: readAttachList(copy, OFFSET_ATTACHMENTS) };
  } catch (error) {
    if (error instanceof EseError) throw new EseError('JET_errCheckpointCorrupt', error.detail);
    throw error;
  }
}
