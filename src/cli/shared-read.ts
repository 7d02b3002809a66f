/** Reading a database that others may be writing (format specification, chapter 6.4, R2). */

import { EseError } from '../format/ese-error.js';
import type { WarningReport } from '../maintenance/report-values.js';
import type { CliHost } from './host.js';

/** Bytes at the start of a file by which a change is noticed: they hold the checksum of its header. */
const WATCHED_BYTES = 4096;

/**
 * Refuses a database that a living process has locked; with `--shared` it is read all the same, with a warning.
 *
 * @throws EseError `JET_errFileAccessDenied`
 */
export function refuseLocked(
  host: CliHost,
  file: string,
  isShared: boolean,
  warn: (warning: WarningReport) => void,
): void {
  if (host.probe(file) === null) return;
  const holder = host.fs.lockHolder(file);
  if (holder === undefined) return;
  const who = `process ${holder.pid} on ${holder.host} (${holder.role})`;
  if (!isShared) {
    throw new EseError(
      'JET_errFileAccessDenied',
      `the database is in use by ${who}; --shared reads it anyway`,
      {
        file,
      },
    );
  }
  warn({
    code: null,
    name: 'SharedRead',
    message: `the database is in use by ${who}: what is read may not belong together`,
    file,
  });
}

/** Remembers a file; the returned function warns if it has changed since. */
export function watchFile(host: CliHost, file: string, warn: (warning: WarningReport) => void): () => void {
  const before = lookAt(host, file);
  return () => {
    const now = lookAt(host, file);
    if (before === now) return;
    warn({ code: null, name: 'FileChanged', message: 'the file was changed while it was read', file });
  };
}

/** Size and first bytes, in one string; '' where there is no file to look at. */
function lookAt(host: CliHost, file: string): string {
  try {
    const handle = host.fs.open(file, 'read');
    try {
      const bytes = new Uint8Array(WATCHED_BYTES);
      const read = handle.readAt(bytes, 0);
      return `${handle.size()}:${Buffer.from(bytes.buffer, 0, read).toString('latin1')}`;
    } finally {
      handle.close();
    }
  } catch (error) {
    if (error instanceof EseError) return '';
    throw error;
  }
}
