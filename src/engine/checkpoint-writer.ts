/**
 * Writing the checkpoint file (format specification, chapters 5.2.1-5.2.3): where redo has to start after a crash.
 *
 * The order of an update is what makes it safe. Pages first, so that nothing in front of the new checkpoint is still
 * needed; then the headers of the databases, which must not require less than the checkpoint promises; the checkpoint
 * last. A checkpoint that lags costs time, one that runs ahead costs data.
 */
import { dirname } from 'node:path';
import type { NewAttachInfo } from '../format/attach-info.js';
import {
  CHECKPOINT_BYTES,
  CHECKPOINT_COPY_BYTES,
  CHECKPOINT_FLAG,
  encodeCheckpoint,
  type NewCheckpoint,
} from '../format/checkpoint.js';
import { FILE_TYPE } from '../format/database-header.js';
import type { DbmsParam } from '../format/dbms-param.js';
import { compareLgpos, type Lgpos } from '../format/ese-error.js';
import { LGPOS_NONE } from '../format/lgpos.js';
import type { Signature } from '../format/signature.js';
import type { FileHandle, FileSystem } from '../io/file-system.js';

export interface CheckpointWriterOptions {
  readonly fs: FileSystem;
  /** Path of the checkpoint file, which need not exist. */
  readonly path: string;
  /** Signature of the log stream. */
  readonly signLog: Signature;
  readonly dbmsParam: DbmsParam;
  /** What the file holds, if it is a checkpoint of this stream: what it says of backups is kept. */
  readonly previous?: NewCheckpoint | undefined;
}

export interface CheckpointUpdate {
  /** Where redo has to start: {@link lowestLgpos} of what is still needed, at most the durable end of the log. */
  readonly lgposCheckpoint: Lgpos;
  /** From here on the databases are not consistent yet; default: the checkpoint. */
  readonly lgposDbConsistency?: Lgpos;
  /** The databases that are attached. */
  readonly attachments: readonly NewAttachInfo[];
  /**
   * Makes pages durable and raises what the headers of the databases require, before the checkpoint moves there. If
   * it throws, the checkpoint stays.
   */
  readonly raiseDatabases?: (lgposCheckpoint: Lgpos) => void;
}

export interface CheckpointWriter {
  /** The checkpoint on disk; (1, 1, 0) while there is none. */
  readonly lgpos: Lgpos;
  /**
   * Moves the checkpoint forward; it never goes back. Writes nothing if nothing would change.
   *
   * @throws EseError what `raiseDatabases` and the file system throw
   */
  update(update: CheckpointUpdate): void;
  /**
   * The stream has ended cleanly: with the durable record at `lgpos` (Term2 or a RecoveryQuit), and with no database
   * attached. There is nothing to redo.
   */
  end(lgpos: Lgpos): void;
}

/** Begins to write a checkpoint file. */
export function createCheckpointWriter(options: CheckpointWriterOptions): CheckpointWriter {
  const { fs, path, signLog, dbmsParam, previous } = options;
  let current: NewCheckpoint = {
    lgposLastFullBackupCheckpoint: LGPOS_NONE,
    lgposCheckpoint: { generation: 1, isec: 1, ib: 0 },
    lgposFullBackup: LGPOS_NONE,
    logtimeFullBackup: undefined,
    lgposIncBackup: LGPOS_NONE,
    logtimeIncBackup: undefined,
    flags: 0,
    lgposDbConsistency: LGPOS_NONE,
    filetype: FILE_TYPE.checkpoint,
    attachments: [],
    ...previous,
    signLog,
    dbmsParam,
  };
  let written: Uint8Array | undefined;

  function write(checkpoint: NewCheckpoint): void {
    const copy = encodeCheckpoint(checkpoint);
    if (written !== undefined && Buffer.compare(written, copy) === 0) return;
    const isNew = !fs.exists(path);
    const handle = fs.open(path, isNew ? 'create' : 'write');
    // Until both copies are known to be right, neither of the old ones counts as written.
    written = undefined;
    try {
      writeCopies(handle, copy);
    } finally {
      handle.close();
    }
    if (isNew) fs.syncDirectory(dirname(path));
    current = checkpoint;
    written = copy;
  }

  return {
    get lgpos() {
      return current.lgposCheckpoint;
    },
    update({ lgposCheckpoint, lgposDbConsistency, attachments, raiseDatabases }) {
      const next = firstInSegment(later(lgposCheckpoint, current.lgposCheckpoint));
      raiseDatabases?.(next);
      write({
        ...current,
        lgposCheckpoint: next,
        lgposDbConsistency: later(next, lgposDbConsistency ?? next),
        flags: current.flags | CHECKPOINT_FLAG.attachList,
        attachments,
      });
    },
    end(lgpos) {
      write({
        ...current,
        lgposCheckpoint: lgpos,
        lgposDbConsistency: lgpos,
        flags: current.flags & ~CHECKPOINT_FLAG.attachList,
        attachments: [],
      });
    },
  };
}

/** One copy after the other: while one is written, the other is whole. */
function writeCopies(handle: FileHandle, copy: Uint8Array): void {
  handle.writeAt(copy, 0);
  handle.sync();
  handle.writeAt(copy, CHECKPOINT_COPY_BYTES);
  if (handle.size() > CHECKPOINT_BYTES) handle.truncate(CHECKPOINT_BYTES);
  handle.sync();
}

function later(a: Lgpos, b: Lgpos): Lgpos {
  return compareLgpos(a, b) < 0 ? b : a;
}

/** The header of a log holds no records: segment 0 stands for the first one that does. */
function firstInSegment(lgpos: Lgpos): Lgpos {
  return lgpos.isec === 0 ? { generation: lgpos.generation, isec: 1, ib: 0 } : lgpos;
}

/**
 * The lowest of the positions that a checkpoint must not pass (chapter 5.2.2): the durable end of the log, the first
 * record of every open transaction, and for every page that is not written yet the first record of the oldest
 * transaction that changed it.
 */
export function lowestLgpos(end: Lgpos, positions: Iterable<Lgpos>): Lgpos {
  let lowest = end;
  for (const lgpos of positions) {
    if (compareLgpos(lgpos, lowest) < 0) lowest = lgpos;
  }
  return lowest;
}
