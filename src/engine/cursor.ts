import { createByteWriter } from '../format/byte-writer.js';
import type { ColumnDefinition } from '../format/column.js';
import { type ColumnValue, columnValue } from '../format/column-value.js';
import { EseError } from '../format/ese-error.js';
import { type Lid, readLid } from '../format/long-value.js';
import {
  createRecordValues,
  createValueView,
  locateColumns,
  locateValue,
  STORED,
  valueCount,
} from '../format/record.js';
import { resolveValue } from '../format/value-reader.js';
import {
  type ColumnInput,
  createSearchKeys,
  encodeInput,
  keyBehind,
  type SearchKeys,
  startsWith,
} from './search-key.js';
import type { SecondaryIndex, Table } from './table.js';
import {
  addToColumn,
  deleteRow,
  insertRow,
  longValueReader,
  type RowChanges,
  updateRow,
} from './table-rows.js';
import type { CommitOptions, Session } from './transactions.js';
import { SessionTreeCursor } from './tree-cursor.js';

/**
 * A cursor: one session's place in a table, in the order of one of its indexes (format specification, chapters 3.4
 * and 10.8). It sees what its session sees.
 */
export type SeekRelation = '=' | '>=' | '>' | '<=' | '<';

/** Values by column name. */
export type RowInput = Readonly<Record<string, ColumnInput>>;

/** A row as it is read: NULL columns have no member; several values are an array. */
export type RowOutput = { [column: string]: ColumnValue | ColumnValue[] };

const SCRATCH_BYTES = 4096;
const NO_BYTES = new Uint8Array(0);

/** Where a range ends: the cursor goes no further. */
interface RangeEnd {
  readonly key: Uint8Array;
  /** Whether entries that begin with the key belong to the range. */
  readonly isInclusive: boolean;
  readonly isUpper: boolean;
}

/** Opens a cursor on a table. Throws JET_errObjectNotFound for a table that was deleted. */
export class Cursor {
  readonly table: Table;
  readonly session: Session;
  #primary: SessionTreeCursor;
  #index: SecondaryIndex | undefined;
  #entries: SessionTreeCursor;
  #range: RangeEnd | undefined;
  readonly #value = createValueView();
  readonly #scratch = createByteWriter(SCRATCH_BYTES);
  #layout: Table['layout'];
  #values: ReturnType<typeof createRecordValues>;
  /** Copy of the record whose columns `#values` has found, and when: the next change of the database makes it old. */
  #copy = new Uint8Array(SCRATCH_BYTES);
  #isLocated = false;
  #locatedDbtime = 0;
  #locatedSnapshot = 0;
  #searchKeys: SearchKeys | undefined;

  constructor(session: Session, table: Table) {
    if (table.isDeleted) throw new EseError('JET_errObjectNotFound');
    this.session = session;
    this.table = table;
    this.#layout = table.layout;
    this.#values = createRecordValues(table.layout);
    this.#primary = this.#cursorOf(table.tree);
    this.#entries = this.#primary;
  }

  #cursorOf(tree: Table['tree'], keepsData = false): SessionTreeCursor {
    const { changes } = this.table.host.trees;
    return new SessionTreeCursor({
      pages: changes.context.pages,
      versions: changes.transactions.versions,
      dbid: changes.dbid,
      tree,
      reader: this.session,
      keepsData,
    });
  }

  /** Follows another index from now on, and is nowhere; without a name, the order of the rows themselves. */
  setIndex(name?: string): void {
    this.#index = name === undefined ? undefined : this.table.index(name);
    this.#entries = this.#index === undefined ? this.#primary : this.#cursorOf(this.#index.tree, true);
    this.#range = undefined;
    this.#isLocated = false;
  }

  /** Whether the cursor is on a row. */
  get isOn(): boolean {
    return this.#entries.isOn;
  }

  // --- Moving ---

  first(): boolean {
    this.table.host.trim();
    this.#range = undefined;
    return this.#arrive(this.#entries.first());
  }

  last(): boolean {
    this.table.host.trim();
    this.#range = undefined;
    return this.#arrive(this.#entries.last());
  }

  next(): boolean {
    this.table.host.trim();
    return this.#arrive(this.#entries.next());
  }

  previous(): boolean {
    this.table.host.trim();
    return this.#arrive(this.#entries.previous());
  }

  /**
   * Goes to a row by the values of the first segments of the index: with `=` to the first that has them, with `>=` and
   * `>` to the first that has them or lies behind, or lies behind them; with `<=` and `<` to the last that has them or
   * lies before, or lies before them. Returns whether there is such a row.
   */
  seek(relation: SeekRelation, ...values: readonly ColumnInput[]): boolean {
    this.table.host.trim();
    this.#range = undefined;
    return this.#arrive(this.#seekKey(relation, this.#keyFor(values)));
  }

  #seekKey(relation: SeekRelation, key: Uint8Array): boolean {
    const entries = this.#entries;
    switch (relation) {
      case '=':
        return entries.seek(key) && (startsWith(entries.key, key) || entries.leave());
      case '>=':
        return entries.seek(key);
      case '>':
        return this.#seekBehind(key);
      case '<=':
        return this.#seekBehind(key) ? entries.previous() : entries.last();
      case '<':
        return entries.seekBefore(key);
    }
  }

  /** First entry behind all that begin with the key. */
  #seekBehind(key: Uint8Array): boolean {
    const behind = keyBehind(key);
    return behind === undefined ? this.#entries.leave() : this.#entries.seek(behind);
  }

  /**
   * Ends the moves in one direction: rows beyond the one with these values are not reached any more. The next seek,
   * `first` or `last` lifts the limit.
   */
  setLimit(direction: 'upper' | 'lower', isInclusive: boolean, ...values: readonly ColumnInput[]): boolean {
    this.#range = { key: this.#keyFor(values), isInclusive, isUpper: direction === 'upper' };
    return this.isOn && this.#isInRange() ? true : this.#entries.leave();
  }

  /** Goes through the rows from here on to the end, or to the limit. */
  *rows(): Generator<this, void, undefined> {
    for (let on = this.isOn; on; on = this.next()) yield this;
  }

  #arrive(isOn: boolean): boolean {
    this.#isLocated = false;
    return isOn && (this.#isInRange() || this.#entries.leave());
  }

  #isInRange(): boolean {
    const range = this.#range;
    if (range === undefined) return true;
    const { key } = this.#entries;
    if (startsWith(key, range.key)) return range.isInclusive;
    const order = Buffer.compare(key, range.key);
    return range.isUpper ? order < 0 : order > 0;
  }

  // --- Reading ---

  /** Primary key of the row, which finds it again: see {@link gotoBookmark}. Throws JET_errNoCurrentRecord. */
  get bookmark(): Uint8Array {
    if (!this.#entries.isOn) throw new EseError('JET_errNoCurrentRecord');
    return (this.#index === undefined ? this.#entries.key : this.#entries.data).slice();
  }

  /** Goes to a row by its bookmark, in the order of the rows themselves. */
  gotoBookmark(bookmark: Uint8Array): boolean {
    this.table.host.trim();
    this.setIndex();
    return this.#arrive(this.#primary.seekExact(bookmark));
  }

  /** The record of the row: a view that the next change, or move of any cursor, overwrites. */
  get record(): Uint8Array {
    if (!this.#entries.isOn) throw new EseError('JET_errNoCurrentRecord');
    if (this.#index === undefined) return this.#entries.refresh() ? this.#entries.data : this.#gone();
    const bookmark = this.#entries.data;
    return this.#primary.seekExact(bookmark) ? this.#primary.data : this.#gone();
  }

  #gone(): never {
    throw new EseError('JET_errRecordDeleted');
  }

  #locate(): void {
    const { dbtime } = this.table.host.trees.changes;
    const { snapshot } = this.session;
    const isFresh = dbtime === this.#locatedDbtime && snapshot === this.#locatedSnapshot;
    if (this.#isLocated && isFresh) return;
    this.#locatedDbtime = dbtime;
    this.#locatedSnapshot = snapshot;
    if (this.#layout !== this.table.layout) {
      this.#layout = this.table.layout;
      this.#values = createRecordValues(this.#layout);
    }
    const { record } = this;
    const { length } = record;
    if (this.#copy.length < length) this.#copy = new Uint8Array(2 * length);
    this.#copy.set(record);
    locateColumns(this.#layout, this.#copy, 0, length, this.#values);
    this.#isLocated = true;
  }

  /** All values of a column; none = NULL. */
  getAll(name: string): ColumnValue[] {
    this.#locate();
    const index = this.table.column(name);
    return this.#valuesAt(index, this.table.columnAt(index));
  }

  /** The first value of a column; undefined = NULL. */
  get(name: string): ColumnValue | undefined {
    return this.getAll(name)[0];
  }

  /** The whole row. */
  row(): RowOutput {
    this.#locate();
    const row: RowOutput = {};
    const { columns } = this.table.definition;
    const { stored, starts, ends, bytes } = this.#values;
    for (let index = 0; index < columns.length; index++) {
      const column = columns[index];
      if (column === undefined || column.coltyp === 0) continue;
      if (stored[index] === STORED.plain) {
        const { name, coltyp, codePage } = column;
        row[name] = columnValue(coltyp, codePage, bytes, starts[index] ?? 0, ends[index] ?? 0);
        continue;
      }
      const values = this.#valuesAt(index, column);
      const [first] = values;
      if (first !== undefined) row[column.name] = values.length === 1 ? first : values;
    }
    return row;
  }

  #valuesAt(index: number, column: ColumnDefinition): ColumnValue[] {
    const values: ColumnValue[] = [];
    const count = valueCount(this.#layout, this.#values, index);
    const value = this.#value;
    for (let itag = 1; itag <= count; itag++) {
      if (!locateValue(this.#layout, this.#values, index, itag, value)) continue;
      resolveValue(value, this.#scratch, longValueReader(this.table, this.session));
      values.push(columnValue(column.coltyp, column.codePage, value.bytes, value.start, value.end));
    }
    return values;
  }

  /** A part of a long value: `length` bytes from `offset` on, fewer at its end. */
  readLongValue(name: string, offset: number, length: number, itag = 1): Uint8Array {
    this.#locate();
    const index = this.table.column(name);
    const value = this.#value;
    if (!locateValue(this.#layout, this.#values, index, itag, value)) {
      throw new EseError('JET_errBadItagSequence', `column ${name} has no value ${itag}`);
    }
    const scratch = this.#scratch;
    if (!value.separated) {
      resolveValue(value, scratch, longValueReader(this.table, this.session));
      const start = Math.min(value.end, value.start + offset);
      return value.bytes.slice(start, Math.min(value.end, start + length));
    }
    scratch.length = 0;
    this.table.longValuesIfAny?.read(this.session, lidOf(value), scratch, length, offset);
    return scratch.bytes.slice(0, scratch.length);
  }

  // --- Changing ---

  /** Inserts a row and returns its bookmark; the cursor stays where it is. Throws as {@link insertRow}. */
  insert(row: RowInput, options?: CommitOptions): Uint8Array {
    return insertRow(this.session, this.table, this.#changes(row), options);
  }

  /** Changes columns of the current row; the others keep their values. Throws as {@link updateRow}. */
  update(row: RowInput, options?: CommitOptions): Uint8Array {
    const { bookmark } = this;
    const before = this.record.slice();
    this.#isLocated = false;
    return updateRow(this.session, this.table, bookmark, before, this.#changes(row), options);
  }

  /** Deletes the current row; the cursor is where it was, and `next` goes to the one behind. */
  delete(options?: CommitOptions): void {
    const { bookmark } = this;
    const before = this.record.slice();
    this.#isLocated = false;
    deleteRow(this.session, this.table, bookmark, before, options);
  }

  /** Adds to an escrow column of the current row and returns the number before. Throws as {@link addToColumn}. */
  add(name: string, amount: number, options?: CommitOptions): number {
    const { bookmark } = this;
    const before = this.record.slice();
    this.#isLocated = false;
    return addToColumn(this.session, this.table, bookmark, before, this.table.column(name), amount, options);
  }

  /** Appends to the first value of a long column of the current row. */
  appendLongValue(name: string, more: Uint8Array, options?: CommitOptions): void {
    this.session.transaction(() => {
      this.#locate();
      const index = this.table.column(name);
      const column = this.table.columnAt(index);
      const value = this.#value;
      const isThere = locateValue(this.#layout, this.#values, index, 1, value);
      const longValues = this.table.longValuesIfAny;
      if (isThere && value.separated && longValues !== undefined) {
        const lid = lidOf(value);
        if (longValues.root(this.session, lid).referenceCount === 1) {
          longValues.append(this.session, lid, more, (column.flags & 0x1000) !== 0);
          return;
        }
      }
      if (isThere) resolveValue(value, this.#scratch, longValueReader(this.table, this.session));
      const old = isThere ? value.bytes.slice(value.start, value.end) : NO_BYTES;
      const whole = new Uint8Array(old.length + more.length);
      whole.set(old);
      whole.set(more, old.length);
      this.update({ [name]: whole });
    }, options);
    this.#isLocated = false;
  }

  #changes(row: RowInput): RowChanges {
    const changes = new Map<number, Uint8Array[]>();
    for (const [name, input] of Object.entries(row)) {
      const index = this.table.column(name);
      changes.set(index, encodeInput(this.table.columnAt(index), input));
    }
    return changes;
  }

  // --- Keys ---

  /** The key of the given values for the first segments of the current index. */
  #keyFor(values: readonly ColumnInput[]): Uint8Array {
    const definition = this.#index?.definition ?? this.table.definition.primaryIndex;
    if (definition === undefined) {
      throw new EseError('JET_errIndexNotFound', 'the table has no primary index to seek in');
    }
    const { layout } = this.table;
    if (this.#searchKeys?.layout !== layout) this.#searchKeys = createSearchKeys(layout);
    return this.#searchKeys.key(definition, values);
  }
}

function lidOf(value: { readonly bytes: Uint8Array; readonly start: number; readonly end: number }): Lid {
  const lid: Lid = { high: 0, low: 0 };
  readLid(value.bytes, value.start, value.end, lid);
  return lid;
}
