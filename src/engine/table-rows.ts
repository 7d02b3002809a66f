import { COLUMN_FLAG, coltypSize, isFixedColumn, isTaggedColumn } from '../format/column.js';
import { compressSevenBit } from '../format/compression.js';
import { EseError } from '../format/ese-error.js';
import type { KeyBuilder } from '../format/key.js';
import { compareKeys } from '../format/key.js';
import { encodeLid, type Lid, readLid } from '../format/long-value.js';
import { locateColumns, STORED } from '../format/record.js';
import type { StoredValue } from '../format/record-encoder.js';
import type { ReadLongValue } from '../format/value-reader.js';
import { hasFlag, mayBeSeparated, type SecondaryIndex, type Table } from './table.js';
import type { CommitOptions, Session } from './transactions.js';
import type { Reader } from './visible-node.js';

/**
 * Rows of a table: inserted, changed and deleted together with their index entries and long values (format
 * specification, chapter 10.8). Each function is a transaction level of its own, so that it is done wholly or
 * not at all; outside of a transaction it is one.
 */

/** What is to become of columns, by their index: plain values, in order; none = NULL. */
export type RowChanges = ReadonlyMap<number, readonly Uint8Array[]>;

/** Values longer than this are stored apart, unless the table says otherwise (chapter 3.3.2). */
const SEPARATE_DEFAULT = 1023;
/** Size of a 32-bit id: a value that is not longer gains nothing by being stored apart. */
const LID_BYTES = 4;
const NO_BYTES = new Uint8Array(0);

/**
 * Inserts a row and returns its primary key.
 *
 * @throws EseError JET_errKeyDuplicate, JET_errNullInvalid, JET_errRecordTooBig, JET_errKeyTruncated, and what
 *   changing trees throws; the row is not there then
 */
export function insertRow(
  session: Session,
  table: Table,
  changes: RowChanges,
  options?: CommitOptions,
): Uint8Array {
  return session.transaction(() => {
    const { encoder } = table;
    encoder.clear();
    for (const index of table.requiredColumns) {
      if (!changes.has(index)) {
        const { name } = table.columnAt(index);
        throw new EseError('JET_errNullInvalid', `column ${name} must not be NULL`);
      }
    }
    for (const index of table.automaticColumns) {
      if (!changes.has(index)) encoder.setValue(index, { bytes: automaticValue(table, index) });
    }
    setColumns(session, table, changes);
    for (const index of changes.keys()) noteAutoIncrement(table, index);
    const record = encodeRecord(session, table);
    locateColumns(table.layout, record, 0, record.length, table.values);
    const reader = longValueReader(table, session);
    const key = primaryKey(table, reader);
    const { trees } = table.host;
    trees.insert(session, table.tree, key, record, true);
    insertEntries(session, table, reader, key);
    return key;
  }, options);
}

/**
 * Changes a row, of which the session sees `before`, and returns its primary key.
 *
 * @throws EseError JET_errWriteConflict if the row is not the newest, and what {@link insertRow} throws
 */
export function updateRow(
  session: Session,
  table: Table,
  key: Uint8Array,
  before: Uint8Array,
  changes: RowChanges,
  options?: CommitOptions,
): Uint8Array {
  return session.transaction(() => {
    const { encoder, host } = table;
    const { trees } = host;
    const reader = longValueReader(table, session);
    const changed = new Set(changes.keys());
    for (const index of table.versionColumns) changed.add(index);
    for (const index of table.escrowColumns) {
      if (changes.has(index)) {
        const { name } = table.columnAt(index);
        throw new EseError('JET_errColumnNotUpdatable', `column ${name} changes by amounts only`);
      }
    }
    const affected = table.secondaries.filter(({ columns }) => intersects(columns, changed));
    const mayMove = intersects(table.primaryColumns, changed);
    locateColumns(table.layout, before, 0, before.length, table.values);
    const oldKeys = (mayMove ? table.secondaries : affected).map(({ keys }) => keysOf(keys, table, reader));

    encoder.load(before, 0, before.length);
    const dropped = separatedValues(table, changes.keys());
    for (const index of table.versionColumns) countUp(table, index);
    setColumns(session, table, changes);
    for (const index of changes.keys()) noteAutoIncrement(table, index);
    const record = encodeRecord(session, table);
    locateColumns(table.layout, record, 0, record.length, table.values);
    const newKey = mayMove ? primaryKey(table, reader) : key;
    if (compareKeys(newKey, key) === 0) {
      trees.replace(session, table.tree, key, record, true);
      affected.forEach((index, i) => {
        const old = oldKeys[mayMove ? table.secondaries.indexOf(index) : i] ?? [];
        moveEntries(session, table, index, old, keysOf(index.keys, table, reader), key);
      });
    } else {
      table.secondaries.forEach((index, i) => {
        for (const entry of oldKeys[i] ?? []) trees.flagDelete(session, index.tree, entry, key, true);
      });
      trees.flagDelete(session, table.tree, key, NO_BYTES, true);
      trees.insert(session, table.tree, newKey, record, true);
      insertEntries(session, table, reader, newKey);
    }
    for (const lid of dropped) table.longValuesIfAny?.addReference(session, lid, -1);
    return newKey;
  }, options);
}

/** Deletes a row, of which the session sees `before`. Throws JET_errWriteConflict if it is not the newest. */
export function deleteRow(
  session: Session,
  table: Table,
  key: Uint8Array,
  before: Uint8Array,
  options?: CommitOptions,
): void {
  session.transaction(() => {
    const { trees } = table.host;
    const reader = longValueReader(table, session);
    locateColumns(table.layout, before, 0, before.length, table.values);
    const entries = table.secondaries.map(({ keys }) => keysOf(keys, table, reader));
    table.secondaries.forEach((index, i) => {
      for (const entry of entries[i] ?? []) trees.flagDelete(session, index.tree, entry, key, true);
    });
    trees.flagDelete(session, table.tree, key, NO_BYTES, true);
    table.encoder.load(before, 0, before.length);
    for (const lid of separatedValues(table, table.definition.columns.keys())) {
      table.longValuesIfAny?.addReference(session, lid, -1);
    }
  }, options);
}

/**
 * Adds to an escrow column of a row and returns the number that it had; other sessions may do so at the same time.
 *
 * @throws EseError JET_errColumnNotUpdatable for another kind of column
 */
export function addToColumn(
  session: Session,
  table: Table,
  key: Uint8Array,
  before: Uint8Array,
  columnIndex: number,
  amount: number,
  options?: CommitOptions,
): number {
  return session.transaction(() => {
    const column = table.columnAt(columnIndex);
    if (!hasFlag(column, COLUMN_FLAG.escrowUpdate) || !isFixedColumn(column.columnId)) {
      throw new EseError('JET_errColumnNotUpdatable', `column ${column.name} is no escrow column`);
    }
    locateColumns(table.layout, before, 0, before.length, table.values);
    if (table.values.stored[columnIndex] !== STORED.plain) {
      throw new EseError('JET_errColumnNotUpdatable', `column ${column.name} is not stored in this row`);
    }
    const offset = table.values.starts[columnIndex] ?? 0;
    const old = new DataView(before.buffer, before.byteOffset).getInt32(offset, true);
    table.host.trees.delta(session, table.tree, key, offset, amount);
    return old;
  }, options);
}

/** Reads long values for keys and rows, as a session sees them. */
export function longValueReader(table: Table, reader: Reader): ReadLongValue {
  return (lid, out, limit) => {
    const longValues = table.longValuesIfAny;
    if (longValues === undefined)
      throw new EseError('JET_errLVCorrupted', 'the table has no long-value tree');
    longValues.read(reader, lid, out, limit);
  };
}

/** Inserts the entries of the record in `table.values` into all secondary indexes. */
function insertEntries(session: Session, table: Table, reader: ReadLongValue, key: Uint8Array): void {
  const { trees } = table.host;
  for (const { keys, tree } of table.secondaries) {
    if (keys.isSingle) {
      const entry = keys.first(table.values, reader);
      if (entry !== undefined) trees.insert(session, tree, entry, key, true);
      continue;
    }
    for (const entry of keysOf(keys, table, reader)) trees.insert(session, tree, entry, key, true);
  }
}

/** The keys that the record in `table.values` has in an index. */
export function keysOf(builder: KeyBuilder, table: Table, reader: ReadLongValue): Uint8Array[] {
  const keys: Uint8Array[] = [];
  builder.build(table.values, reader, (key, length) => keys.push(key.slice(0, length)));
  return keys;
}

function primaryKey(table: Table, reader: ReadLongValue): Uint8Array {
  const { primaryKeys } = table;
  if (primaryKeys === undefined) return table.nextSequenceKey();
  const key = primaryKeys.first(table.values, reader);
  if (key === undefined) throw new EseError('JET_errNullInvalid', 'the primary key must not be NULL');
  return key.slice();
}

function intersects(a: ReadonlySet<number>, b: ReadonlySet<number>): boolean {
  for (const value of a) {
    if (b.has(value)) return true;
  }
  return false;
}

/** Changes the entries of a row in one index: those that stay are not touched. */
function moveEntries(
  session: Session,
  table: Table,
  index: SecondaryIndex,
  old: readonly Uint8Array[],
  next: readonly Uint8Array[],
  key: Uint8Array,
): void {
  const { trees } = table.host;
  const isIn = (list: readonly Uint8Array[], entry: Uint8Array): boolean =>
    list.some((other) => compareKeys(other, entry) === 0);
  for (const entry of old) {
    if (!isIn(next, entry)) trees.flagDelete(session, index.tree, entry, key, true);
  }
  for (const entry of next) {
    if (!isIn(old, entry)) trees.insert(session, index.tree, entry, key, true);
  }
}

/** Puts new values into the encoder; long ones go into the long-value tree. */
function setColumns(session: Session, table: Table, changes: RowChanges): void {
  // Not by `for`: that makes an array of every entry.
  changes.forEach((values, index) => {
    setColumn(session, table, index, values);
  });
}

function setColumn(session: Session, table: Table, index: number, values: readonly Uint8Array[]): void {
  const { encoder, definition } = table;
  const column = table.columnAt(index);
  if (values.length === 0) {
    if (hasFlag(column, COLUMN_FLAG.notNull)) {
      throw new EseError('JET_errNullInvalid', `column ${column.name} must not be NULL`);
    }
    encoder.setNull(index);
    return;
  }
  const mayHaveSeveral = isTaggedColumn(column.columnId) && hasFlag(column, COLUMN_FLAG.multiValued);
  if (values.length > 1 && !mayHaveSeveral) {
    throw new EseError(
      'JET_errMultiValuedColumnMustBeTagged',
      `column ${column.name} holds one value, not ${values.length}`,
    );
  }
  if (!mayBeSeparated(column)) {
    const bytes = values[0];
    if (values.length === 1 && bytes !== undefined) encoder.setBytes(index, bytes);
    else
      encoder.setValues(
        index,
        values.map((one) => ({ bytes: one })),
      );
    return;
  }
  const separateFrom = definition.separateLv ?? SEPARATE_DEFAULT;
  const isCompressed = hasFlag(column, COLUMN_FLAG.compressed);
  encoder.setValues(
    index,
    values.map((bytes, i): StoredValue => {
      if (bytes.length > separateFrom) return separate(session, table, bytes, isCompressed);
      const packed = isCompressed && i === 0 ? compressSevenBit(bytes) : undefined;
      // The engine takes a packed value that is shorter than an id for none.
      return packed === undefined || packed.length < LID_BYTES
        ? { bytes }
        : { bytes: packed, compressed: true };
    }),
  );
}

function separate(session: Session, table: Table, bytes: Uint8Array, isCompressed: boolean): StoredValue {
  const lid = table.longValues(session).create(session, bytes, isCompressed);
  return { bytes: encodeLid(lid), separated: true };
}

/** Encodes the record; while it is too long, its longest value is stored apart. Valid until the next row. */
function encodeRecord(session: Session, table: Table): Uint8Array {
  const { record } = table;
  const most = table.recordBytesMost;
  for (;;) {
    record.length = 0;
    const size = encodedSize(table);
    if (size !== undefined && size <= most) return table.recordView(size);
    if (!pushOut(session, table)) {
      throw new EseError('JET_errRecordTooBig', `the record would exceed ${most} bytes`);
    }
  }
}

/** Size of the record; undefined if it is too long for its offsets. */
function encodedSize({ encoder, record }: Table): number | undefined {
  try {
    return encoder.encode(record);
  } catch (error) {
    if (error instanceof EseError && error.name === 'JET_errRecordTooBig') return undefined;
    throw error;
  }
}

/** Stores the longest intrinsic value of a long type apart; false if there is none. */
function pushOut(session: Session, table: Table): boolean {
  const { encoder, definition } = table;
  let best: { index: number; at: number; length: number } | undefined;
  for (const [index, column] of definition.columns.entries()) {
    if (!mayBeSeparated(column)) continue;
    for (const [at, value] of encoder.values(index).entries()) {
      const { length } = value.bytes;
      if (value.separated === true || value.compressed === true || length <= LID_BYTES) continue;
      if (best === undefined || length > best.length) best = { index, at, length };
    }
  }
  if (best === undefined) return false;
  const { index, at } = best;
  const values = [...encoder.values(index)];
  const value = values[at];
  if (value === undefined) return false;
  values[at] = separate(session, table, value.bytes, hasFlag(table.columnAt(index), COLUMN_FLAG.compressed));
  encoder.setValues(index, values);
  return true;
}

/** Ids of the separated values in columns of the loaded record. */
function separatedValues(table: Table, columns: Iterable<number>): Lid[] {
  const lids: Lid[] = [];
  for (const index of columns) {
    if (!mayBeSeparated(table.columnAt(index))) continue;
    for (const { bytes, separated } of table.encoder.values(index)) {
      if (separated !== true) continue;
      const lid: Lid = { high: 0, low: 0 };
      readLid(bytes, 0, bytes.length, lid);
      lids.push(lid);
    }
  }
  return lids;
}

// --- Automatic columns ---

function automaticValue(table: Table, index: number): Uint8Array {
  const column = table.columnAt(index);
  if (hasFlag(column, COLUMN_FLAG.autoIncrement)) return nextAutoIncrement(table, index);
  if (hasFlag(column, COLUMN_FLAG.version)) return numberBytes(0n, coltypSize(column.coltyp));
  const value = table.layout.defaults[index];
  if (value === undefined) throw new EseError('JET_errNullInvalid', `column ${column.name} needs a default`);
  return value;
}

function numberBytes(value: bigint, size: number): Uint8Array {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigInt64(0, value, true);
  return bytes.subarray(0, size);
}

function numberOf(bytes: Uint8Array): bigint {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return bytes.length === 8 ? view.getBigInt64(0, true) : BigInt(view.getInt32(0, true));
}

/** One more than the largest number in the table, and than all that were given out (chapter 3.1.4). */
function nextAutoIncrement(table: Table, index: number): Uint8Array {
  const size = coltypSize(table.columnAt(index).coltyp);
  const last = table.autoIncrement ?? largestNumber(table, index);
  const most = size === 8 ? 2n ** 63n - 1n : 2n ** 31n - 1n;
  if (last >= most) throw new EseError('JET_errOutOfAutoincrementValues');
  table.autoIncrement = last + 1n;
  return numberBytes(last + 1n, size);
}

/** A number that the caller chose is not given out again. */
function noteAutoIncrement(table: Table, index: number): void {
  if (table.autoIncrement === undefined || !hasFlag(table.columnAt(index), COLUMN_FLAG.autoIncrement)) return;
  const [value] = table.encoder.values(index);
  if (value === undefined) return;
  const number = numberOf(value.bytes);
  if (number > table.autoIncrement) table.autoIncrement = number;
}

/**
 * Largest number of a column among all rows: those of other sessions too, and deleted ones, which a rollback brings
 * back.
 */
function largestNumber(table: Table, index: number): bigint {
  const { search, changes } = table.host.trees;
  const [first] = table.definition.primaryIndex?.segments ?? [];
  const isInOrder = first?.columnId === table.columnAt(index).columnId && !first.descending;
  if (isInOrder) search.findEnd(table.tree);
  else search.find(table.tree, NO_BYTES);
  let page = search.leaf;
  let largest = 0n;
  for (;;) {
    for (let line = 0; line < page.nodeCount; line++) {
      page.readNode(line, search.node);
      const { dataOffset, dataLength } = search.node;
      locateColumns(table.layout, page.bytes, dataOffset, dataOffset + dataLength, table.values);
      if (table.values.stored[index] !== STORED.plain) continue;
      const number = numberOf(page.bytes.subarray(table.values.starts[index], table.values.ends[index]));
      if (number > largest) largest = number;
    }
    // Numbers in the order of the tree: the last page that has rows has the largest.
    const next = isInOrder && page.nodeCount === 0 ? page.pgnoPrev : isInOrder ? 0 : page.pgnoNext;
    if (next === 0) return largest;
    page = changes.context.pages.readPage(next);
  }
}

function countUp(table: Table, index: number): void {
  const column = table.columnAt(index);
  const size = coltypSize(column.coltyp);
  const [value] = table.encoder.values(index);
  const old = value === undefined ? 0n : numberOf(value.bytes);
  const next = size === 8 ? BigInt.asIntN(64, old + 1n) : BigInt.asIntN(32, old + 1n);
  table.encoder.setValue(index, { bytes: numberBytes(next, size) });
}
