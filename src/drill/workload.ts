import { Cursor, type RowInput } from '../engine/cursor.js';
import type { Database } from '../engine/database.js';
import type { Instance } from '../engine/instance.js';
import { createTable } from '../engine/schema.js';
import type { ColumnInput } from '../engine/search-key.js';
import type { Session } from '../engine/transactions.js';
import { EseError } from '../format/ese-error.js';
import { type Random, randomBelow, randomChance, seededRandom } from '../io/seeded-random.js';
import { DELETED, type JournalChange, type JournalEntry } from './journal.js';
import {
  createRowDigester,
  LEDGER,
  revisionOf,
  WORKLOAD_TABLES,
  type WorkloadRow,
  type WorkloadTable,
} from './workload-tables.js';

/**
 * A workload: transactions that insert, change and delete rows of several tables, some with transactions inside
 * that are rolled back, some rolled back as a whole. The same seed on the same contents does the same.
 */
export interface WorkloadOptions {
  readonly seed: number;
  /** Rows to insert. */
  readonly rows: number;
  /** Names of the tables to use. Default: all of {@link WORKLOAD_TABLES}. */
  readonly tables?: readonly string[];
  /** Most changes of rows in a transaction. Default: 10. */
  readonly batch?: number;
  /** Commits do not wait for the disk, but for one in so many. */
  readonly lazy?: boolean;
  /** Hears of transactions once they are durable. */
  readonly onDurable?: (entries: readonly JournalEntry[]) => void;
}

/** What a workload has done so far; rows that were rolled back are not counted. */
export interface WorkloadCounts {
  transactions: number;
  inserted: number;
  updated: number;
  deleted: number;
  /** Transactions, inner ones too, that were taken back. */
  rolledBack: number;
}

export interface Workload {
  readonly counts: Readonly<WorkloadCounts>;
  /** Runs one transaction; false when there is nothing left to do. */
  step(): boolean;
  /** Makes durable what was committed, and ends the workload. */
  finish(): void;
}

const BATCH_DEFAULT = 10;
const LAZY_COMMITS = 50;
const INSERT_SHARE = 0.7;
const UPDATE_SHARE = 0.7;
const INNER_SHARE = 0.15;
const ROLLBACK_SHARE = 0.04;
const REVISIONS_MOST = 200;

/** Rows of one table, by their numbers. */
interface TableState {
  readonly table: WorkloadTable;
  readonly cursor: Cursor;
  readonly digest: (row: WorkloadRow) => string;
  /** Smallest number of a row of this seed; those of other seeds lie before it. */
  first: number;
  /** Largest number that a row has, or had. */
  last: number;
  /** 1 + revision by number; 0: no such row. */
  revisions: Uint8Array;
  /** Keys that the engine gave, by number. */
  keys: Int32Array;
}

/**
 * Prepares a workload: creates the tables that are missing, and looks at the rows that are there.
 *
 * @throws EseError JET_errInvalidParameter for a table that the workload does not know
 */
export function startWorkload(instance: Instance, database: Database, options: WorkloadOptions): Workload {
  const tables = chosenTables(options.tables);
  const session = instance.createSession();
  try {
    for (const table of [...tables, LEDGER]) {
      if (database.findTable(table.name) === undefined) createTable(database, session, table);
    }
    return new RunningWorkload(instance, database, session, tables, options);
  } catch (error) {
    instance.endSession(session);
    throw error;
  }
}

/** The tables with these names, without regard to case. Throws JET_errInvalidParameter for another name. */
export function chosenTables(names: readonly string[] | undefined): readonly WorkloadTable[] {
  if (names === undefined) return WORKLOAD_TABLES;
  const known = WORKLOAD_TABLES.map(({ name }) => name).join(', ');
  const wanted = names.map((name) => name.toUpperCase());
  for (const [i, name] of wanted.entries()) {
    if (!WORKLOAD_TABLES.some((table) => table.name.toUpperCase() === name)) {
      throw new EseError('JET_errInvalidParameter', `the workload has no table ${names[i]}, but ${known}`);
    }
  }
  return WORKLOAD_TABLES.filter(({ name }) => wanted.includes(name.toUpperCase()));
}

class RunningWorkload implements Workload {
  readonly counts: WorkloadCounts = { transactions: 0, inserted: 0, updated: 0, deleted: 0, rolledBack: 0 };
  readonly #instance: Instance;
  readonly #session: Session;
  readonly #options: WorkloadOptions;
  readonly #random: Random;
  readonly #states: readonly TableState[];
  readonly #weights: number;
  readonly #ledger: Cursor;
  #seq: number;
  /** What the open transaction did, and how to forget it. */
  readonly #changes: JournalChange[] = [];
  readonly #forget: (() => void)[] = [];
  /** Committed, not yet durable. */
  readonly #pending: JournalEntry[] = [];

  constructor(
    instance: Instance,
    database: Database,
    session: Session,
    tables: readonly WorkloadTable[],
    options: WorkloadOptions,
  ) {
    this.#instance = instance;
    this.#session = session;
    this.#options = options;
    this.#states = tables.map((table) => readState(database, session, table, options.seed));
    this.#weights = tables.reduce((sum, { weight }) => sum + weight, 0);
    this.#ledger = new Cursor(session, database.table(session, LEDGER.name));
    this.#seq = this.#ledger.last() ? Number(this.#ledger.get('Seq')) : 0;
    this.#random = seededRandom(options.seed + this.#seq * 2 ** 32);
  }

  step(): boolean {
    const { counts } = this;
    if (counts.inserted >= this.#options.rows) return false;
    const session = this.#session;
    const before = { ...counts };
    session.begin();
    const operations = 1 + randomBelow(this.#random, this.#options.batch ?? BATCH_DEFAULT);
    for (let i = 0; i < operations; i++) {
      if (randomChance(this.#random, INNER_SHARE)) this.#innerTransaction(0);
      else this.#operation();
    }
    if (randomChance(this.#random, ROLLBACK_SHARE)) {
      session.rollback();
      this.#forgetFrom(0, 0);
      Object.assign(counts, before, { rolledBack: counts.rolledBack + 1 });
      return true;
    }
    this.#commit();
    return counts.inserted < this.#options.rows;
  }

  #commit(): void {
    const seq = this.#seq + 1;
    const changes = [...this.#changes];
    this.#ledger.insert({ Seq: seq, Changes: JSON.stringify(changes) });
    const isLazy = this.#options.lazy === true && this.#pending.length + 1 < LAZY_COMMITS;
    this.#session.commit({ lazy: isLazy });
    this.#seq = seq;
    this.counts.transactions++;
    this.#changes.length = 0;
    this.#forget.length = 0;
    this.#pending.push({ seq, changes });
    if (!isLazy) this.#tell();
  }

  #tell(): void {
    if (this.#pending.length > 0) this.#options.onDurable?.(this.#pending.splice(0));
  }

  finish(): void {
    if (this.#pending.length > 0) {
      // A durable commit takes all earlier ones along.
      this.#session.transaction(
        () => this.#ledger.seek('=', this.#seq) && this.#ledger.update({ Seq: this.#seq }),
      );
      this.#tell();
    }
    this.#instance.endSession(this.#session);
  }

  /** A transaction inside the open one, half the time rolled back. */
  #innerTransaction(depth: number): void {
    const { counts } = this;
    const [changes, forget, before] = [this.#changes.length, this.#forget.length, { ...counts }];
    this.#session.begin();
    const operations = 1 + randomBelow(this.#random, 4);
    for (let i = 0; i < operations; i++) {
      if (depth < 3 && randomChance(this.#random, INNER_SHARE)) this.#innerTransaction(depth + 1);
      else this.#operation();
    }
    if (randomChance(this.#random, 0.5)) {
      this.#session.commit();
      return;
    }
    this.#session.rollback();
    this.#forgetFrom(changes, forget);
    Object.assign(counts, before, { rolledBack: counts.rolledBack + 1 });
  }

  #forgetFrom(changes: number, forget: number): void {
    this.#changes.length = changes;
    for (const action of this.#forget.splice(forget).reverse()) action();
  }

  #operation(): void {
    const state = this.#chooseTable();
    const ordinal = randomChance(this.#random, INSERT_SHARE) ? 0 : this.#chooseRow(state);
    if (ordinal === 0) this.#insert(state);
    else if (randomChance(this.#random, UPDATE_SHARE)) this.#update(state, ordinal);
    else this.#delete(state, ordinal);
  }

  #chooseTable(): TableState {
    let left = randomBelow(this.#random, this.#weights);
    for (const state of this.#states) {
      if (left < state.table.weight) return state;
      left -= state.table.weight;
    }
    throw new Error('there are no tables');
  }

  /** Number of a row that is there; 0 if none is found near the one that was drawn. */
  #chooseRow({ first, last, revisions }: TableState): number {
    const PROBES = 16;
    if (last < first) return 0;
    const drawn = first + randomBelow(this.#random, last - first + 1);
    for (let ordinal = drawn; ordinal <= last && ordinal < drawn + PROBES; ordinal++) {
      const revision = revisions[ordinal] ?? 0;
      if (revision > 0 && revision <= REVISIONS_MOST) return ordinal;
    }
    return 0;
  }

  #insert(state: TableState): void {
    const { table, cursor } = state;
    const ordinal = state.last + 1;
    const { row } = revisionOf(table, this.#options.seed, ordinal, 0);
    const bookmark = cursor.insert(given(table, row));
    this.counts.inserted++;
    this.#remember(state, ordinal, 1);
    const isAutomatic = table.columns.some(({ autoIncrement }) => autoIncrement === true);
    if (isAutomatic && cursor.gotoBookmark(bookmark))
      state.keys[ordinal] = Number(cursor.get(table.key[0] ?? ''));
    this.#note(state, ordinal, row);
  }

  #update(state: TableState, ordinal: number): void {
    const { table, cursor } = state;
    const revision = state.revisions[ordinal] ?? 0;
    const { row: before } = revisionOf(table, this.#options.seed, ordinal, revision - 1);
    const { row, changed } = revisionOf(table, this.#options.seed, ordinal, revision);
    this.#goTo(state, ordinal, before);
    const changes: Record<string, ColumnInput> = { Revision: revision };
    for (const { name, by, version } of changed) {
      const value = row[name];
      if (by === undefined && version !== true && value !== undefined) changes[name] = value;
    }
    cursor.gotoBookmark(cursor.update(changes));
    for (const { name, by } of changed) {
      if (by === 'amount') cursor.add(name, Number(row[name]) - Number(before[name]));
      if (by === 'appending') {
        const more = String(row[name]).slice(String(before[name]).length);
        cursor.appendLongValue(name, Buffer.from(more, 'latin1'));
      }
    }
    this.counts.updated++;
    const [from, to] = [keyOf(state, ordinal, before), keyOf(state, ordinal, row)];
    if (String(from) !== String(to)) this.#changes.push([table.name, from, DELETED]);
    this.#remember(state, ordinal, revision + 1);
    this.#note(state, ordinal, row);
  }

  #delete(state: TableState, ordinal: number): void {
    const { table, cursor } = state;
    const { row } = revisionOf(table, this.#options.seed, ordinal, (state.revisions[ordinal] ?? 0) - 1);
    this.#goTo(state, ordinal, row);
    cursor.delete();
    this.counts.deleted++;
    this.#changes.push([table.name, keyOf(state, ordinal, row), DELETED]);
    this.#remember(state, ordinal, 0);
  }

  #goTo(state: TableState, ordinal: number, row: WorkloadRow): void {
    const key = keyOf(state, ordinal, row);
    if (!state.cursor.seek('=', ...key)) {
      throw new EseError('JET_errRecordNotFound', `table ${state.table.name} has lost row ${key.join(', ')}`);
    }
  }

  #note(state: TableState, ordinal: number, row: WorkloadRow): void {
    const { table } = state;
    const key = keyOf(state, ordinal, row);
    const automatic = table.columns.find(({ autoIncrement }) => autoIncrement === true);
    const whole = automatic === undefined ? row : { ...row, [automatic.name]: key[0] };
    this.#changes.push([table.name, key, state.digest(whole)]);
  }

  /** Notes the revision of a row, until a rollback takes that back. */
  #remember(state: TableState, ordinal: number, revision: number): void {
    const { last } = state;
    const before = state.revisions[ordinal] ?? 0;
    this.#forget.push(() => {
      state.last = last;
      state.revisions[ordinal] = before;
    });
    setRevision(state, ordinal, revision);
  }
}

/** What is handed to the engine: columns without a value of their own are left to it. */
function given(table: WorkloadTable, row: WorkloadRow): RowInput {
  const input: Record<string, ColumnInput> = {};
  for (const { name, by, version } of table.columns) {
    const value = row[name];
    if (value !== undefined && by !== 'amount' && version !== true) input[name] = value;
  }
  return input;
}

/** Primary key of a row. */
function keyOf({ table, keys }: TableState, ordinal: number, row: WorkloadRow): number[] {
  return table.key.map((name) => Number(row[name] ?? keys[ordinal] ?? 0));
}

function setRevision(state: TableState, ordinal: number, revision: number): void {
  if (ordinal >= state.revisions.length) {
    const size = Math.max(1024, 2 * ordinal);
    const [revisions, keys] = [new Uint8Array(size), new Int32Array(size)];
    revisions.set(state.revisions);
    keys.set(state.keys);
    state.revisions = revisions;
    state.keys = keys;
  }
  state.last = Math.max(state.last, ordinal);
  state.revisions[ordinal] = revision;
}

/** Looks at the rows that are there: those of other seeds are left alone. */
function readState(database: Database, session: Session, table: WorkloadTable, seed: number): TableState {
  const cursor = new Cursor(session, database.table(session, table.name));
  const state: TableState = {
    table,
    cursor,
    digest: createRowDigester(cursor.table.definition.columns),
    first: 0,
    last: 0,
    revisions: new Uint8Array(0),
    keys: new Int32Array(0),
  };
  for (let on = cursor.first(); on; on = cursor.next()) {
    const ordinal = Number(cursor.get(table.ordinal));
    const isOwn = cursor.get('Seed') === seed;
    if (isOwn && (state.first === 0 || ordinal < state.first)) state.first = ordinal;
    setRevision(state, ordinal, isOwn ? 1 + Number(cursor.get('Revision')) : 0);
    state.keys[ordinal] = Number(cursor.get(table.key[0] ?? ''));
  }
  if (state.first === 0) state.first = state.last + 1;
  return state;
}
