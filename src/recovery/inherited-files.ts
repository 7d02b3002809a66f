import { dirname } from 'node:path';
import { EseError } from '../format/ese-error.js';
import type { FileHandle, FileSystem } from '../io/file-system.js';
import type { Recovery } from './recovery-state.js';

/** The writer makes a log durable before it begins the next: only the last ones can be in doubt. */
const LOGS_IN_DOUBT = 2;

/**
 * Makes durable what recovery is about to build on, after its rehearsal. A program that was killed leaves its last
 * writes to the operating system; they can be read, but a power failure would still take them. Then pages that were
 * redone from the log would be ahead of it, and of their header; and a database that was found clean would be dirty
 * behind a log that says that nothing is left to do.
 */
export function makeInheritedDurable(fs: FileSystem, { options, steps, redo }: Recovery): void {
  const logs = steps.flatMap((step) => (step.kind === 'log' ? [step.entry.path] : []));
  const databases = (redo?.databases.outcomes ?? []).flatMap(({ path, action, reason }) =>
    path !== undefined && (action !== 'deferred' || reason === 'future') ? [path] : [],
  );
  const directories = new Set([options.logPath]);
  for (const path of [...logs.slice(-LOGS_IN_DOUBT), ...databases]) {
    const file = openToSync(fs, path);
    if (file === undefined) continue;
    try {
      file.sync();
    } finally {
      file.close();
    }
    directories.add(dirname(path));
  }
  for (const directory of directories) fs.syncDirectory(directory);
}

/** A file that is there and may be written; nobody can have left anything in the others. */
function openToSync(fs: FileSystem, path: string): FileHandle | undefined {
  if (!fs.exists(path)) return undefined;
  try {
    return fs.open(path, 'write');
  } catch (error) {
    if (error instanceof EseError && error.name === 'JET_errDatabaseFileReadOnly') return undefined;
    throw error;
  }
}
