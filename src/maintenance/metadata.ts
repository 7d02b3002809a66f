/** The catalog of a database as `/mm` reports it (format specification, chapters 2.3, 6.2.6 and 11.4.1). */

import type { DatabaseReader } from '../engine/database-reader.js';
import { type IndexSegment, TABLE_FLAG, type TupleLimits } from '../format/catalog-row.js';
import { COLTYP, COLUMN_FLAG, type ColumnDefinition, coltypName, isFixedColumn } from '../format/column.js';
import { filetimeToUnixMs } from '../format/date-time.js';
import { longValueChunkSize } from '../format/long-value.js';
import type { IndexDefinition, TableDefinition } from '../format/table-definition.js';
import type { TimeReport } from './report-values.js';

export interface ColumnReport {
  readonly name: string;
  readonly id: number;
  readonly type: string;
  /** Most bytes of a value; 0 = no limit. */
  readonly length: number;
  readonly codePage: number;
  readonly flags: number;
  /** Fixed columns: offset in the record. */
  readonly offset?: number;
  /** Default value as stored, lower-case hexadecimal. */
  readonly default?: string;
  /** `module!function` that computes the default. */
  readonly callback?: string;
  readonly multiValued: boolean;
  readonly autoIncrement: boolean;
  readonly deleted: boolean;
  /** The column is the template table's. */
  readonly derived: boolean;
}

export interface IndexReport {
  readonly name: string;
  readonly objid: number;
  readonly pgnoFdp: number;
  /** When the root got its page, where the catalog has kept it. */
  readonly pgnoFdpLastSetTime?: TimeReport;
  readonly primary: boolean;
  readonly unique: boolean;
  readonly density: number;
  readonly flags: number;
  readonly localeName?: string;
  readonly lcid?: number;
  readonly lcMapFlags?: number;
  /** Version of the sort tables: two dwords in hexadecimal. */
  readonly nlsVersion?: string;
  readonly definedVersion?: string;
  readonly keyMost?: number;
  readonly segments: readonly { readonly column: string; readonly descending: boolean }[];
  readonly conditional: readonly { readonly column: string; readonly mustBeNull: boolean }[];
  readonly tuple?: TupleLimits;
}

export interface LongValuesReport {
  readonly objid: number;
  readonly pgnoFdp: number;
  readonly pgnoFdpLastSetTime?: TimeReport;
  /** Bytes of a full chunk. */
  readonly chunkSize: number;
}

export interface TableReport {
  readonly name: string;
  readonly objid: number;
  readonly pgnoFdp: number;
  /** When the root got its page, where the catalog has kept it. */
  readonly pgnoFdpLastSetTime?: TimeReport;
  readonly system: boolean;
  readonly template: boolean;
  readonly derivedFrom: string | null;
  /** Pages that the creator asked for. */
  readonly pages: number;
  readonly density: number;
  readonly flags: number;
  readonly longValues: LongValuesReport | null;
  readonly columns: readonly ColumnReport[];
  readonly indexes: readonly IndexReport[];
  readonly callbacks: number;
}

export interface MetadataReport {
  readonly tables: readonly TableReport[];
}

/**
 * The tables of a database by name, or one of them.
 *
 * @throws EseError `JET_errObjectNotFound` when there is no such table, or what makes the catalog unreadable
 */
export function dumpMetadata(reader: DatabaseReader, table?: string): MetadataReport {
  const tables = table === undefined ? [...reader.tables()] : [reader.table(table)];
  tables.sort((a, b) => compareNames(a.name, b.name));
  return { tables: tables.map((definition) => tableReport(definition, reader.pageSize)) };
}

function compareNames(a: string, b: string): number {
  const [left, right] = [a.toUpperCase(), b.toUpperCase()];
  return left < right ? -1 : left > right ? 1 : 0;
}

function tableReport(table: TableDefinition, pageSize: number): TableReport {
  const { longValueTree } = table;
  return {
    name: table.name,
    objid: table.objid,
    pgnoFdp: table.pgnoFdp,
    ...placed(table.pgnoFdpLastSetTime),
    system: table.system,
    template: (table.flags & TABLE_FLAG.template) !== 0,
    derivedFrom: table.templateTable ?? null,
    pages: table.pages,
    density: table.density,
    flags: table.flags >>> 0,
    longValues:
      longValueTree === undefined
        ? null
        : {
            objid: longValueTree.objid,
            pgnoFdp: longValueTree.pgnoFdp,
            ...placed(longValueTree.pgnoFdpLastSetTime),
            chunkSize: longValueChunkSize(pageSize, table.lvChunkMax),
          },
    columns: table.columns.map(columnReport),
    indexes: [...table.indexes]
      .sort((a, b) => Number(b.primary) - Number(a.primary) || compareNames(a.name, b.name))
      .map((index) => indexReport(index, table)),
    callbacks: table.callbacks.length,
  };
}

/** The last time that a Date can hold. */
const DATE_MS_MAX = 8_640_000_000_000_000;

function placed(filetime: Uint8Array | undefined): { pgnoFdpLastSetTime?: TimeReport } {
  if (filetime === undefined || filetime.length < 8) return {};
  const ms = filetimeToUnixMs(filetime, 0);
  if (filetime.every((byte) => byte === 0) || ms > DATE_MS_MAX) return { pgnoFdpLastSetTime: null };
  return { pgnoFdpLastSetTime: new Date(ms).toISOString() };
}

function columnReport(column: ColumnDefinition): ColumnReport {
  const { columnId, flags, defaultValue, callback } = column;
  return {
    name: column.name,
    id: columnId,
    type: coltypName(column.coltyp),
    length: column.maxLength,
    codePage: column.codePage,
    flags,
    ...(isFixedColumn(columnId) && column.coltyp !== COLTYP.nil ? { offset: column.fixedOffset } : {}),
    ...(defaultValue === undefined ? {} : { default: hexOf(defaultValue) }),
    ...(callback === undefined ? {} : { callback }),
    multiValued: (flags & COLUMN_FLAG.multiValued) !== 0,
    autoIncrement: (flags & COLUMN_FLAG.autoIncrement) !== 0,
    deleted: column.coltyp === COLTYP.nil,
    derived: column.derived,
  };
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}

function indexReport(index: IndexDefinition, table: TableDefinition): IndexReport {
  const { localeName, lcid, lcMapFlags, sortVersion, keyMost, tupleLimits } = index;
  return {
    name: index.name,
    objid: index.objid,
    pgnoFdp: index.pgnoFdp,
    ...placed(index.pgnoFdpLastSetTime),
    primary: index.primary,
    unique: index.unique,
    density: index.density,
    flags: index.flags >>> 0,
    ...(localeName === undefined ? {} : { localeName }),
    ...(lcid === 0 ? {} : { lcid }),
    ...(lcMapFlags === undefined ? {} : { lcMapFlags }),
    ...(sortVersion === undefined ? {} : sortVersions(sortVersion)),
    ...(keyMost === undefined ? {} : { keyMost }),
    segments: index.segments.map((segment) => ({
      column: columnName(segment, table),
      descending: segment.descending,
    })),
    conditional: index.conditions.map((segment) => ({
      column: columnName(segment, table),
      mustBeNull: segment.mustBeNull,
    })),
    ...(tupleLimits === undefined ? {} : { tuple: tupleLimits }),
  };
}

/** Defined and NLS version, a dword each (chapter 2.3.2, column Version). */
function sortVersions(bytes: Uint8Array): { definedVersion: string; nlsVersion: string } | object {
  if (bytes.length < 8) return {};
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const hex = (offset: number) => view.getUint32(offset, true).toString(16);
  return { definedVersion: hex(0), nlsVersion: hex(4) };
}

function columnName(segment: IndexSegment, table: TableDefinition): string {
  const found = table.columns.find(
    (column) => column.columnId === segment.columnId && column.derived === segment.derived,
  );
  return found?.name ?? `<column ${segment.columnId}>`;
}
