import type { Environment } from '../../io/environment.js';
import type { LockRole } from '../../io/file-system.js';
import { removeTemporaries } from '../../io/replace-file.js';
import { applyUndoFile, type UndoJobOptions } from './undo-file.js';

/** What taking back a repair did. */
export interface UndoResult {
  /** Pages that were put back; 0 where the database was as before. */
  readonly pagesRestored: number;
}

export interface UndoOptions extends UndoJobOptions {
  /** Whom locks name. Default: `eseutil`. */
  readonly role?: LockRole;
}

/**
 * Takes back a repair: the database becomes what it was before, byte for byte (format specification, chapter 6.4,
 * R11).
 *
 * @throws EseError JET_errFileInvalidType for a file that is no whole undo file, JET_errInvalidDatabase where the
 *   database is not as the repair left it, those of the file system, and the signal's reason; it stays as it is then
 */
export async function undoRepair(
  environment: Environment,
  path: string,
  undoFile: string,
  options: UndoOptions = {},
): Promise<UndoResult> {
  const database = environment.fs.resolveLink(path);
  const lock = environment.fs.lock(database, { role: options.role ?? 'eseutil' });
  try {
    removeTemporaries(environment.fs, database);
    return { pagesRestored: await applyUndoFile(environment, database, undoFile, options) };
  } finally {
    lock.release();
  }
}
