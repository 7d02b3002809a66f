/** Opening the database of a dump: its warnings go where the output format wants them. */

import { type DatabaseReader, openDatabaseReader } from '../../engine/database-reader.js';
import { EseError } from '../../format/ese-error.js';
import { forcedPageSize, type ModeContext } from '../mode.js';
import { refuseLocked, watchFile } from '../shared-read.js';
import { requireKind, sourceFile } from '../typed-path.js';

/**
 * Opens the source of the command for reading and calls `use` with it. What the reader warns of is reported when
 * `use` has ended, since reading the catalog may add to it.
 */
export async function withDatabase<T>(
  context: ModeContext,
  use: (reader: DatabaseReader, file: string) => T | Promise<T>,
): Promise<T> {
  const { host, command, warn } = context;
  const file = sourceFile(host, command.positional, 'source file');
  refuseLocked(host, file, command.long.has('shared'), warn);
  requireKind(host, file, 'database');
  const endWatch = watchFile(host, file, warn);
  const reader = openDatabaseReader(host.fs, file);
  try {
    const forced = forcedPageSize(command);
    if (forced !== undefined && forced !== reader.pageSize) {
      throw new EseError(
        'JET_errPageSizeMismatch',
        `the pages have ${reader.pageSize} bytes, not ${forced}`,
        {
          file,
        },
      );
    }
    return await use(reader, file);
  } catch (error) {
    throw error instanceof EseError ? error.at({ file }) : error;
  } finally {
    for (const { name, message, pgno } of reader.warnings) {
      warn({ code: null, name, message, file, ...(pgno === undefined ? {} : { pgno }) });
    }
    reader.close();
    endWatch();
  }
}
