/** Opening the database of a subcommand, and saying what is to be known about it. */

import { type DatabaseReader, openDatabaseReader } from '../../engine/database-reader.js';
import { refuseLocked, watchFile } from '../shared-read.js';
import { requireKind, sourceFile } from '../typed-path.js';
import type { VerbContext } from '../verb.js';

/** Opens `FILE` for reading and calls `use` with it; the reader's warnings are reported when that has ended. */
export async function withDatabase<T>(
  context: VerbContext,
  use: (reader: DatabaseReader, file: string) => T | Promise<T>,
): Promise<T> {
  const { host, options, warn } = context;
  const file = sourceFile(host, String(options.file ?? ''), 'source file');
  refuseLocked(host, file, options.shared === true, warn);
  requireKind(host, file, 'database');
  const endWatch = watchFile(host, file, warn);
  const reader = openDatabaseReader(host.fs, file);
  try {
    return await use(reader, file);
  } finally {
    for (const { name, message, pgno } of reader.warnings) {
      warn({ code: null, name, message, file, ...(pgno === undefined ? {} : { pgno }) });
    }
    reader.close();
    endWatch();
  }
}
