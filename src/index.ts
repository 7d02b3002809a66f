/**
 * esekit as a library: Microsoft ESE databases and transaction logs, read, written and recovered anywhere.
 *
 * Reading needs nothing but the file:
 *
 * ```ts
 * import { openDatabase } from 'esekit';
 *
 * const database = openDatabase('SRUDB.dat');
 * for (const row of database.rows('SruDbIdMapTable')) console.log(row);
 * database.close();
 * ```
 *
 * Writing goes through an instance: a log stream and its databases. `startInstance` recovers what the last
 * run left; `instance.close()` leaves a clean database.
 *
 * ```ts
 * import { Cursor, createTable, realEnvironment, startInstance } from 'esekit';
 *
 * const instance = await startInstance({ environment: realEnvironment(), logDirectory: '.' });
 * const database = instance.createDatabase('people.edb');
 * const session = instance.createSession();
 * const people = createTable(database, session, {
 *   name: 'People',
 *   columns: [{ name: 'Id', type: 'long', autoIncrement: true }, { name: 'Name', type: 'text', unicode: true }],
 *   indexes: [{ name: 'Primary', primary: true, segments: ['Id'] }],
 * });
 * const cursor = new Cursor(session, people);
 * cursor.insert({ Name: 'Ada' });
 * instance.close();
 * ```
 */
import { openDatabaseReader, type ReaderWarning } from './engine/database-reader.js';
import { type Row, type RowOptions, readRows } from './engine/row-reader.js';
import type { DatabaseHeader } from './format/database-header.js';
import type { LogHeader } from './format/log-header.js';
import type { TableDefinition } from './format/table-definition.js';
import type { FileSystem } from './io/file-system.js';
import { nodeFileSystem } from './io/node-file-system.js';
import { type LogRecordReport, logRecordReport } from './maintenance/log-record-report.js';
import { type LogScan, openLog as openLogReader } from './recovery/log-reader.js';

export {
  Cursor,
  type RowInput,
  type RowOutput,
  type SeekRelation,
} from './engine/cursor.js';
export type { Database as AttachedDatabase } from './engine/database.js';
export type { ReaderWarning } from './engine/database-reader.js';
export type { AttachOptions, Instance } from './engine/instance.js';
export type { Row, RowOptions } from './engine/row-reader.js';
export {
  addColumn,
  type ColumnType,
  createIndex,
  createTable,
  deleteColumn,
  deleteIndex,
  deleteTable,
  type NewColumn,
  type NewIndex,
  type NewSegment,
  type NewTable,
} from './engine/schema.js';
export type { ColumnInput } from './engine/search-key.js';
export type { Table } from './engine/table.js';
export type { CommitOptions, Session } from './engine/transactions.js';
export type { ColumnDefinition } from './format/column.js';
export type { ColumnValue } from './format/column-value.js';
export { DATABASE_STATE, type DatabaseHeader, databaseStateName } from './format/database-header.js';
export { type ErrorPlace, EseError, formatLgpos, type Lgpos } from './format/ese-error.js';
export { JET_ERRORS, type JetErrorName } from './format/jet-errors.js';
export type { LogHeader } from './format/log-header.js';
export type { RowFormat } from './format/row-writer.js';
export type { IndexDefinition, TableDefinition } from './format/table-definition.js';
export { type Clock, type Environment, realEnvironment, seededEnvironment } from './io/environment.js';
export type { FileHandle, FileStat, FileSystem } from './io/file-system.js';
export { nodeFileSystem } from './io/node-file-system.js';
export { type DefragOptions, type DefragReport, defragment } from './maintenance/defrag.js';
export type { LogRecordReport } from './maintenance/log-record-report.js';
export type { RepairOptions, RepairReport, RepairResult } from './maintenance/repair/repair-report.js';
export { type UndoOptions, type UndoResult, undoRepair } from './maintenance/repair/undo-repair.js';
export { repair } from './maintenance/repair.js';
export type { LogScan } from './recovery/log-reader.js';
export { planRecovery, type RecoveryOptions, type RecoveryResult, recover } from './recovery/recover.js';
export { type StartInstanceOptions, startInstance } from './recovery/start-instance.js';

/** Where the functions of this module find files; the machine's own files by default. */
export interface OpenOptions {
  readonly fs?: FileSystem;
}

/** A database opened for reading. Nothing of it is ever written; close it when done. */
export interface Database {
  readonly path: string;
  readonly header: DatabaseHeader;
  /** Bytes of a page. */
  readonly pageSize: number;
  /** What a reader should know: a dirty database, a header or catalog taken from its copy. */
  readonly warnings: readonly ReaderWarning[];
  /** All tables, system tables included. @throws EseError JET_errCatalogCorrupted */
  tables(): readonly TableDefinition[];
  /** A table by name, without regard to case. @throws EseError JET_errObjectNotFound */
  table(name: string): TableDefinition;
  /** The rows of a table in the order of its primary key. @throws EseError for damage, see {@link RowOptions} */
  rows(name: string, options?: RowOptions): Generator<Row, void, undefined>;
  close(): void;
}

/**
 * Opens a database of any page size and state.
 *
 * @throws EseError JET_errReadVerifyFailure when both header copies are damaged,
 *   JET_errDatabaseCorrupted when the file is no database, JET_errInvalidDatabaseVersion when its format
 *   is not known, JET_errFileNotFound and the like
 */
export function openDatabase(path: string, { fs = nodeFileSystem }: OpenOptions = {}): Database {
  const reader = openDatabaseReader(fs, path);
  return {
    path,
    header: reader.header,
    pageSize: reader.pageSize,
    warnings: reader.warnings,
    tables: () => reader.tables(),
    table: (name) => reader.table(name),
    rows: (name, options) => readRows(reader, reader.table(name), options),
    close: () => reader.close(),
  };
}

/** A transaction log opened for reading; close it when done. */
export interface Log {
  readonly path: string;
  readonly header: LogHeader;
  /** Judges all segments: how many hold data, where the data ends, what is damaged. */
  verify(): LogScan;
  /** All records from the first on with their positions, decoded. @throws EseError JET_errLogFileCorrupt where the log is damaged */
  records(): Generator<LogRecordReport, void, undefined>;
  close(): void;
}

/**
 * Opens a log file of format 8 (Windows, Exchange 2007 and later).
 *
 * @throws EseError JET_errLogFileCorrupt when its header is damaged, JET_errBadLogVersion for other
 *   formats, JET_errFileInvalidType when the file is no log
 */
export function openLog(path: string, { fs = nodeFileSystem }: OpenOptions = {}): Log {
  const reader = openLogReader(fs, path);
  return {
    path,
    header: reader.header,
    verify: () => reader.verify(),
    *records() {
      reader.rewind();
      for (const { record, lgpos, fragments } of reader.records()) {
        yield logRecordReport(record, lgpos, fragments);
      }
    },
    close: () => reader.close(),
  };
}
