import { Cursor } from '../../src/engine/cursor.js';
import type { Database } from '../../src/engine/database.js';
import type { Instance } from '../../src/engine/instance.js';
import { createIndex, createTable, deleteIndex } from '../../src/engine/schema.js';
import type { Session } from '../../src/engine/transactions.js';
import { openDatabase } from '../../src/index.js';
import type { FileSystem } from '../../src/io/file-system.js';
import { randomBelow, randomChance, seededRandom } from '../../src/io/seeded-random.js';

/** Rows of the table of a program, by key, in the form of {@link programRows}. */
export type ProgramRows = ReadonlyMap<number, string>;

export interface ProgramLog {
  /** What is in the table after each transaction; the first one is before the table was made. */
  readonly states: (ProgramRows | undefined)[];
  /** Transactions that were durable when their commit returned: those before this number are, too. */
  durable: number;
}

export const PROGRAM_TABLE = 'Program';

/**
 * Transactions of one session over one table, as a seed chooses them: rows with long values and two indexes are
 * inserted, changed and deleted, some of it is rolled back, an index comes and goes, and what was deleted is cleaned
 * up in between.
 */
export function runProgram(
  instance: Instance,
  database: Database,
  options: { readonly seed: number; readonly transactions: number; readonly log?: ProgramLog },
): ProgramLog {
  const log = options.log ?? { states: [undefined], durable: 0 };
  const random = seededRandom(options.seed);
  const session = instance.createSession();
  const table = createTable(database, session, {
    name: PROGRAM_TABLE,
    columns: [
      { name: 'id', type: 'long' },
      { name: 'name', type: 'text', unicode: true },
      { name: 'n', type: 'long', tagged: true },
      { name: 'data', type: 'longBinary' },
    ],
    indexes: [
      { name: 'primary', segments: ['id'], primary: true },
      { name: 'byN', segments: ['n', { column: 'data', descending: true }] },
    ],
  });
  const cursor = new Cursor(session, table);
  let rows: ProgramRows = new Map();
  note(log, rows, true);
  let hasIndex = false;
  for (let i = 0; i < options.transactions; i++) {
    if (randomBelow(random, 12) === 0) {
      if (hasIndex) deleteIndex(database, session, table, 'byName');
      else createIndex(database, session, table, { name: 'byName', segments: ['name'] });
      hasIndex = !hasIndex;
    }
    session.begin();
    const next = changeRows(session, cursor, new Map(rows), random);
    if (randomChance(random, 0.15)) {
      session.rollback();
    } else {
      const lazy = randomChance(random, 0.5);
      // From here on it may be durable.
      log.states.push(next);
      session.commit({ lazy });
      if (!lazy) log.durable = log.states.length - 1;
      rows = next;
    }
    if (randomBelow(random, 10) === 0) database.cleanUp();
  }
  instance.endSession(session);
  return log;
}

function note(log: ProgramLog, rows: ProgramRows, isDurable: boolean): void {
  log.states.push(rows);
  if (isDurable) log.durable = log.states.length - 1;
}

const KEYS = 60;

function changeRows(
  session: Session,
  cursor: Cursor,
  rows: Map<number, string>,
  random: ReturnType<typeof seededRandom>,
): Map<number, string> {
  for (let change = randomBelow(random, 12) + 1; change > 0; change--) {
    const id = randomBelow(random, KEYS);
    const values = {
      id,
      name: 'name'.repeat(randomBelow(random, 10)) + id,
      n: randomBelow(random, 20),
      data: new Uint8Array([2, 300, 1200, 6000][randomBelow(random, 4)] ?? 0).fill(id),
    };
    // One level more, of which a part is given up.
    const isGivenUp = randomBelow(random, 10) === 0;
    if (isGivenUp) session.begin();
    const exists = cursor.seek('=', id);
    const isDelete = exists && randomChance(random, 0.4);
    if (isDelete) cursor.delete();
    else if (exists) cursor.update(values);
    else cursor.insert(values);
    if (isGivenUp) session.rollback();
    else if (isDelete) rows.delete(id);
    else rows.set(id, rowText(values));
  }
  return rows;
}

function rowText({ id, name, n, data }: Record<string, unknown>): string {
  const bytes = data as Uint8Array;
  return JSON.stringify([id, name, n, bytes.length, bytes[0]]);
}

/** What a reader finds in the table of a program; undefined if there is none. */
export function programRows(fs: FileSystem, path: string): ProgramRows | undefined {
  const database = openDatabase(path, { fs });
  try {
    if (!database.tables().some(({ name }) => name === PROGRAM_TABLE)) return undefined;
    const rows = new Map<number, string>();
    for (const row of database.rows(PROGRAM_TABLE)) rows.set(row.id as number, rowText(row));
    return rows;
  } finally {
    database.close();
  }
}
