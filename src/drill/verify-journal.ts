import type { DatabaseReader } from '../engine/database-reader.js';
import { EseError } from '../format/ese-error.js';
import { exportTable } from '../maintenance/export.js';
import { DELETED, type JournalChange, type JournalEntry, parseChanges } from './journal.js';
import { digestOfLine, LEDGER, WORKLOAD_TABLES, type WorkloadTable } from './workload-tables.js';

/** A row that is not as it should be. */
export interface RowFinding {
  readonly table: string;
  readonly key: readonly number[];
  /** Number of the last transaction that changed it; null for a row that no transaction made. */
  readonly seq: number | null;
  /** Digests; null = there should be no such row, or is none. */
  readonly expected: string | null;
  readonly found: string | null;
}

/** What a comparison of a database with a journal found. */
export interface JournalVerdict {
  readonly ok: boolean;
  readonly transactions: {
    /** In the journal: each of them must be in the database. */
    readonly journalled: number;
    /** In the ledger of the database. */
    readonly present: number;
    /** In the journal and not in the ledger, or with other changes there. */
    readonly missing: readonly number[];
    /** In the ledger and not in the journal: durable, but nobody was told so before the end came. */
    readonly unjournalled: readonly number[];
    /** Numbers of which a later one is in the ledger, but they are in neither: lost out of order. */
    readonly holes: readonly number[];
  };
  readonly rows: {
    /** Rows that should be there, and rows that are. */
    readonly expected: number;
    readonly found: number;
    readonly missing: readonly RowFinding[];
    readonly different: readonly RowFinding[];
    /** Rows that are there, and should not. */
    readonly extra: readonly RowFinding[];
  };
}

interface Expected {
  readonly table: string;
  readonly key: readonly number[];
  readonly seq: number;
  readonly digest: string;
}

/**
 * Holds a database against the journal of its workload. The rows must be what all transactions of the ledger,
 * one after the other, have made of them; each transaction of the journal must be one of those.
 *
 * @throws EseError JET_errObjectNotFound for a database that no workload was put into, and what reading throws
 */
export async function verifyJournal(
  reader: DatabaseReader,
  journal: readonly JournalEntry[],
): Promise<JournalVerdict> {
  const ledger = await readLedger(reader);
  const transactions = compareTransactions(journal, ledger);
  const rows = await compareRows(reader, expectedRows(journal, ledger));
  const ok = [transactions.missing, transactions.holes, rows.missing, rows.different, rows.extra].every(
    ({ length }) => length === 0,
  );
  return { ok, transactions, rows };
}

type Ledger = ReadonlyMap<number, readonly JournalChange[]>;

async function readLedger(reader: DatabaseReader): Promise<Ledger> {
  const ledger = new Map<number, readonly JournalChange[]>();
  await eachRow(reader, LEDGER.name, (line) => {
    const { Seq, Changes } = JSON.parse(line.toString()) as Record<string, unknown>;
    const changes = parseChanges(String(Changes));
    if (typeof Seq !== 'number' || changes === undefined) {
      throw new EseError('JET_errDatabaseCorrupted', `row ${String(Seq)} of the ledger is none`, {
        file: reader.path,
      });
    }
    ledger.set(Seq, changes);
  });
  return ledger;
}

function compareTransactions(
  journal: readonly JournalEntry[],
  ledger: Ledger,
): JournalVerdict['transactions'] {
  const journalled = new Set(journal.map(({ seq }) => seq));
  const missing = journal
    .filter(({ seq, changes }) => JSON.stringify(ledger.get(seq)) !== JSON.stringify(changes))
    .map(({ seq }) => seq);
  const last = Math.max(0, ...ledger.keys());
  const holes: number[] = [];
  for (let seq = 1; seq <= last; seq++) if (!ledger.has(seq) && !journalled.has(seq)) holes.push(seq);
  const unjournalled = [...ledger.keys()].filter((seq) => !journalled.has(seq)).sort((a, b) => a - b);
  return { journalled: journalled.size, present: ledger.size, missing, unjournalled, holes };
}

/** Rows as all transactions that are known have left them. */
function expectedRows(journal: readonly JournalEntry[], ledger: Ledger): Map<string, Expected> {
  const all = new Map<number, readonly JournalChange[]>(ledger);
  for (const { seq, changes } of journal) all.set(seq, changes);
  const rows = new Map<string, Expected>();
  for (const seq of [...all.keys()].sort((a, b) => a - b)) {
    for (const [table, key, digest] of all.get(seq) ?? []) {
      rows.set(rowName(table, key), { table, key, seq, digest });
    }
  }
  return rows;
}

function rowName(table: string, key: readonly number[]): string {
  return `${table}/${key.join(',')}`;
}

async function compareRows(
  reader: DatabaseReader,
  expected: ReadonlyMap<string, Expected>,
): Promise<JournalVerdict['rows']> {
  const missing: RowFinding[] = [];
  const different: RowFinding[] = [];
  const extra: RowFinding[] = [];
  const seen = new Set<string>();
  let found = 0;
  for (const table of workloadTables(reader)) {
    await eachRow(reader, table.name, (line) => {
      found++;
      const row = JSON.parse(line.toString()) as Record<string, unknown>;
      const key = table.key.map((name) => Number(row[name]));
      const name = rowName(table.name, key);
      const wanted = expected.get(name);
      const digest = digestOfLine(line);
      seen.add(name);
      const finding = { table: table.name, key, seq: wanted?.seq ?? null, found: digest };
      if (wanted === undefined || wanted.digest === DELETED) extra.push({ ...finding, expected: null });
      else if (wanted.digest !== digest) different.push({ ...finding, expected: wanted.digest });
    });
  }
  let count = 0;
  for (const [name, { table, key, seq, digest }] of expected) {
    if (digest === DELETED) continue;
    count++;
    if (!seen.has(name)) missing.push({ table, key, seq, expected: digest, found: null });
  }
  return { expected: count, found, missing, different, extra };
}

function workloadTables(reader: DatabaseReader): WorkloadTable[] {
  const names = new Set(reader.tables().map(({ name }) => name));
  return WORKLOAD_TABLES.filter(({ name }) => names.has(name));
}

const LINE_END = 0x0a;

/** Calls `use` with the canonical form of each row of a table; a row that cannot be read is thrown. */
async function eachRow(reader: DatabaseReader, name: string, use: (line: Buffer) => void): Promise<void> {
  await exportTable(
    reader,
    reader.table(name),
    'canonical',
    (bytes) => {
      const piece = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
      for (let from = 0; from < piece.length; ) {
        const end = piece.indexOf(LINE_END, from);
        use(piece.subarray(from, end));
        from = end + 1;
      }
    },
    {
      onWarning: ({ error }) => {
        throw error;
      },
    },
  );
}
