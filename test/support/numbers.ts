import { Cursor } from '../../src/engine/cursor.js';
import type { Database } from '../../src/engine/database.js';
import { createTable } from '../../src/engine/schema.js';
import type { Session } from '../../src/engine/transactions.js';
import { openDatabase } from '../../src/index.js';
import type { FileSystem } from '../../src/io/file-system.js';

export const NUMBERS = 'Numbers';

/** Makes a table of numbers `n`, which are its primary key, with a column `data` if its type is named. */
export function createNumbers(session: Session, database: Database, data?: 'binary' | 'longBinary'): Cursor {
  const table = createTable(database, session, {
    name: NUMBERS,
    columns: [{ name: 'n', type: 'long' }, ...(data === undefined ? [] : [{ name: 'data', type: data }])],
    indexes: [{ name: 'primary', segments: ['n'], primary: true }],
  });
  return new Cursor(session, table);
}

/** The numbers in a closed database, in the order of the table. */
export function numbersIn(fs: FileSystem, path: string): unknown[] {
  const database = openDatabase(path, { fs });
  const numbers = [...database.rows(NUMBERS)].map(({ n }) => n);
  database.close();
  return numbers;
}
