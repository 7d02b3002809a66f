/**
 * The checkpoint file as `/mk` reports it (format specification, chapters 4.8, 5.2.1, 6.2.4 and 11.4.1). The file
 * is opened for reading only.
 */
import { CHECKPOINT_FLAG, type Checkpoint, type CheckpointCopy } from '../format/checkpoint.js';
import { EseError } from '../format/ese-error.js';
import type { FileSystem } from '../io/file-system.js';
import { readCheckpointFile } from '../recovery/checkpoint-file.js';
import { type AttachmentReport, attachmentReport, type EnvReport, envReport } from './log-values.js';
import {
  type LgposReport,
  lgposReport,
  type MarkReport,
  markReport,
  type SignatureReport,
  signatureReport,
} from './report-values.js';

/** A database in a checkpoint. Only logged, versioned and writable ones are ever listed. */
export interface CheckpointAttachmentReport extends AttachmentReport {
  readonly logged: true;
  readonly versioned: true;
  readonly readOnly: false;
}

export interface CheckpointReport {
  readonly copies: readonly CheckpointCopy[];
  readonly checkpoint: LgposReport;
  readonly lastFullBackupCheckpoint: LgposReport;
  /** Zero where it is the checkpoint itself. */
  readonly dbConsistency: LgposReport;
  readonly fullBackup: MarkReport;
  readonly incrementalBackup: MarkReport;
  readonly signLog: SignatureReport;
  readonly systemPath: string;
  readonly logPath: string;
  readonly env: EnvReport;
  /** Whether the list of attachments counts; else redo begins with that of the log header. */
  readonly attachListPresent: boolean;
  readonly attachments: readonly CheckpointAttachmentReport[];
}

export interface CheckpointDump {
  /** Both copies, as they were judged. */
  readonly copies: readonly CheckpointCopy[];
  /** null if both copies are damaged. */
  readonly report: CheckpointReport | null;
  /** JET_errCheckpointCorrupt if both copies are damaged. */
  readonly error: EseError | undefined;
}

/**
 * Reports the checkpoint in a file.
 *
 * @throws EseError JET_errCheckpointFileNotFound, JET_errFileInvalidType for another kind of ESE file, and those
 *   of the file system
 */
export function dumpCheckpoint(fs: FileSystem, path: string): CheckpointDump {
  const { copies, checkpoint } = readCheckpointFile(fs, path);
  if (checkpoint === undefined) {
    const error = new EseError('JET_errCheckpointCorrupt', 'both copies of the checkpoint are damaged', {
      file: path,
    });
    return { copies, report: null, error };
  }
  return { copies, report: checkpointReport(copies, checkpoint), error: undefined };
}

function checkpointReport(copies: readonly CheckpointCopy[], checkpoint: Checkpoint): CheckpointReport {
  const { dbmsParam } = checkpoint;
  return {
    copies,
    checkpoint: lgposReport(checkpoint.lgposCheckpoint),
    lastFullBackupCheckpoint: lgposReport(checkpoint.lgposLastFullBackupCheckpoint),
    dbConsistency: lgposReport(checkpoint.lgposDbConsistency),
    fullBackup: markReport(checkpoint.lgposFullBackup, checkpoint.logtimeFullBackup),
    incrementalBackup: markReport(checkpoint.lgposIncBackup, checkpoint.logtimeIncBackup),
    signLog: signatureReport(checkpoint.signLog),
    systemPath: dbmsParam.systemPath,
    logPath: dbmsParam.logPath,
    env: envReport(dbmsParam),
    attachListPresent: (checkpoint.flags & CHECKPOINT_FLAG.attachList) !== 0,
    attachments: checkpoint.attachments.map((one) => ({
      ...attachmentReport(one),
      logged: true,
      versioned: true,
      readOnly: false,
    })),
  };
}
