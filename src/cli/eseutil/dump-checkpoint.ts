/** `/mk`: a checkpoint file (format specification, chapter 6.2.4). */

import { type CheckpointReport, dumpCheckpoint } from '../../maintenance/dump-checkpoint.js';
import { isOldProfile, lgposText, signatureText, timeText } from '../classic-text.js';
import { attachmentLines, envLines } from '../log-text.js';
import type { Mode, ModeContext } from '../mode.js';
import { requireKind, sourceFile } from '../typed-path.js';

const DBID_WIDTH = 7;

export const dumpCheckpointMode: Mode = {
  heading: 'FILE DUMP',
  run: (context) => {
    const { host, command, say, note } = context;
    const file = sourceFile(host, command.positional, 'source file', true);
    say(`      Checkpoint file: ${command.positional}`);
    requireKind(host, file, 'checkpoint');
    const { copies, report, error } = dumpCheckpoint(host.fs, file);
    for (const { which, ok } of copies) {
      if (ok || report === null) continue;
      const message = `copy ${which} of the checkpoint is damaged`;
      note({ code: null, name: 'CheckpointCopyDamaged', message, file });
      say();
      say(`WARNING: ${message}.`);
    }
    if (report !== null) printCheckpoint(context, report);
    return error === undefined ? { result: report } : { result: report ?? { copies }, error };
  },
};

function printCheckpoint({ say, profile }: ModeContext, report: CheckpointReport): void {
  const line = (text: string) => say(`      ${text}`);
  say();
  line(`LastFullBackupCheckpoint: ${lgposText(report.lastFullBackupCheckpoint)}`);
  line(`Checkpoint: ${lgposText(report.checkpoint)}`);
  if (!isOldProfile(profile)) line(`DbConsistency: ${lgposText(report.dbConsistency)}`);
  line(`FullBackup: ${lgposText(report.fullBackup.lgpos)}`);
  line(`FullBackup time: ${timeText(report.fullBackup.time)}`);
  line(`IncBackup: ${lgposText(report.incrementalBackup.lgpos)}`);
  line(`IncBackup time: ${timeText(report.incrementalBackup.time)}`);
  line(`Signature: ${signatureText(report.signLog)}`);
  for (const text of envLines(report.env)) line(text);
  for (const attachment of report.attachments) {
    const modes = [
      attachment.logged ? 'LogOn' : 'LogOff',
      attachment.versioned ? 'VerOn' : 'VerOff',
      attachment.readOnly ? 'R' : 'RW',
    ];
    say(`${String(attachment.dbid).padStart(DBID_WIDTH)} ${attachment.path} ${modes.join(' ')}`);
    for (const text of attachmentLines(attachment)) line(`  ${text}`);
  }
}
