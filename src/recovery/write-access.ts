import { compareLgpos } from '../format/ese-error.js';
import type { FileSystem } from '../io/file-system.js';
import type { Recovery } from './recovery-state.js';

/**
 * Opens what recovery is going to change for writing, and leaves it as it is: a file that may only be read is found
 * before the first write, and not when others are done.
 *
 * @throws EseError JET_errDatabaseFileReadOnly, JET_errFileAccessDenied
 */
export function checkWriteAccess(fs: FileSystem, { options, stream, steps, redo }: Recovery): void {
  const files = (redo?.databases.outcomes ?? []).flatMap(({ path, action }) =>
    path !== undefined && action === 'recovered' ? [path] : [],
  );
  const last = steps.at(-1);
  const { lgposQuit, lastRecord } = redo ?? {};
  const hasEnded =
    lgposQuit !== undefined && lastRecord !== undefined && compareLgpos(lgposQuit, lastRecord.lgpos) === 0;
  const isContinued = !hasEnded && options.stopBeforeUndo === undefined;
  if (isContinued && last?.kind === 'log' && last.entry.role === 'current') files.push(last.entry.path);
  files.push(stream.checkpoint.path);
  for (const path of files) {
    if (fs.exists(path)) fs.open(path, 'write').close();
  }
}
