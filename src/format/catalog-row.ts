/**
 * Rows of the catalog MSysObjects and of its shadow: one each for a table, a column, an index, a
 * long-value tree or a callback (format specification, chapter 2.3).
 *
 * The catalog describes itself too, but with wrong offsets (chapter 3.1.3), so its columns are built in:
 * fixed columns follow each other from offset 4 without gaps. Columns were added over time; a row shows by
 * presence which ones it knows.
 */
import { CODE_PAGE_1252, CODE_PAGE_UNICODE, COLTYP, type ColumnDefinition } from './column.js';
import { EseError } from './ese-error.js';
import {
  createRecordLayout,
  createRecordValues,
  createValueView,
  locateColumns,
  locateValue,
  type RecordLayout,
} from './record.js';
import { decodeText } from './text.js';

/** Object ids and root pages that are the same in every database (chapter 2.3.1). */
export const OBJID_DATABASE = 1;
export const OBJID_CATALOG = 2;
export const OBJID_CATALOG_SHADOW = 3;
export const OBJID_CATALOG_NAME_INDEX = 4;
export const OBJID_CATALOG_ROOT_OBJECTS_INDEX = 5;
export const PGNO_DATABASE = 1;
export const PGNO_CATALOG = 4;
export const PGNO_CATALOG_SHADOW = 24;
export const PGNO_CATALOG_NAME_INDEX = 7;
export const PGNO_CATALOG_ROOT_OBJECTS_INDEX = 10;

/** What a catalog row describes: its column Type. */
export const CATALOG_TYPE = { table: 1, column: 2, index: 3, longValue: 4, callback: 5 } as const;

/** Flags of table rows (chapter 2.3.4). */
export const TABLE_FLAG = {
  system: 0x80000000,
  fixedDdl: 0x40000000,
  template: 0x20000000,
  derived: 0x10000000,
  dynamicSystem: 0x08000000,
  noFixedVarColumnsInDerived: 0x04000000,
} as const;

/** Flags of index rows: low and high word (chapter 3.4.1). */
export const INDEX_FLAG = {
  unique: 0x0001,
  allowAllNulls: 0x0002,
  allowFirstNull: 0x0004,
  allowSomeNulls: 0x0008,
  noNullSegment: 0x0010,
  primary: 0x0020,
  localeGiven: 0x0040,
  multiValued: 0x0080,
  templateIndex: 0x0100,
  derivedIndex: 0x0200,
  localizedText: 0x0400,
  sortNullsHigh: 0x0800,
  crossProduct: 0x2000,
  noKeyTruncation: 0x4000,
  nestedTable: 0x8000,
  extendedSegments: 0x00010000,
  dotNetGuid: 0x00020000,
  deferredPopulate: 0x00040000,
  optionallyUnique: 0x00080000,
} as const;

/** A segment of a key, or one of the columns that decide whether a record has an entry at all. */
export interface IndexSegment {
  readonly columnId: number;
  readonly descending: boolean;
  /** Conditions: the column must be NULL; otherwise it must not be. */
  readonly mustBeNull: boolean;
  /** The column is the template table's. */
  readonly derived: boolean;
}

/** Limits of an index over pieces of text (chapter 3.4.3). */
export interface TupleLimits {
  readonly lengthMin: number;
  readonly lengthMax: number;
  readonly tuplesMax: number;
  readonly increment: number;
  readonly start: number;
}

/** How a tree grows, as its creator wished; values that were cut off are 0 (chapter 2.3.6). */
export interface SpaceHints {
  readonly density: number;
  readonly initialBytes: number;
  readonly grbit: number;
  readonly maintenanceDensity: number;
  readonly growthPercent: number;
  readonly extentMinBytes: number;
  readonly extentMaxBytes: number;
}

interface CatalogRowBase {
  /** Object id of the table that the row belongs to. */
  readonly objidTable: number;
  readonly id: number;
  readonly name: string;
  readonly flags: number;
}

interface CatalogTreeRow extends CatalogRowBase {
  readonly pgnoFdp: number;
  /** Fill of leaves in per cent. */
  readonly density: number;
  readonly spaceHints?: SpaceHints;
  /** FILETIME when the root was placed, 8 bytes as stored. */
  readonly pgnoFdpLastSetTime?: Uint8Array;
}

export interface CatalogTableRow extends CatalogTreeRow {
  readonly type: typeof CATALOG_TYPE.table;
  /** Pages that the creator asked for. */
  readonly pages: number;
  readonly templateTable?: string;
  readonly lvChunkMax?: number;
  /** Values longer than this many bytes are stored in the long-value tree. */
  readonly separateLv?: number;
  readonly deferredLvSpaceHints?: SpaceHints;
  readonly stats?: Uint8Array;
}

export interface CatalogColumnRow extends CatalogRowBase {
  readonly type: typeof CATALOG_TYPE.column;
  readonly coltyp: number;
  readonly maxLength: number;
  readonly codePage: number;
  readonly recordOffset?: number;
  readonly defaultValue?: Uint8Array;
  readonly callback?: string;
  readonly callbackData?: Uint8Array;
  readonly callbackDependencies?: Uint8Array;
}

export interface CatalogIndexRow extends CatalogTreeRow {
  readonly type: typeof CATALOG_TYPE.index;
  readonly segments: readonly IndexSegment[];
  readonly conditions: readonly IndexSegment[];
  /** Most bytes of a key; absent = 255. */
  readonly keyMost?: number;
  /** Most bytes of one text or binary segment; absent = no limit. */
  readonly varSegMac?: number;
  readonly tupleLimits?: TupleLimits;
  readonly lcMapFlags?: number;
  readonly localeName?: string;
  /** Locale number of old rows. */
  readonly lcid: number;
  /** Defined and NLS version of the sort order, 8 bytes. */
  readonly sortVersion?: Uint8Array;
  readonly sortId?: Uint8Array;
  readonly stats?: Uint8Array;
}

export interface CatalogLongValueRow extends CatalogTreeRow {
  readonly type: typeof CATALOG_TYPE.longValue;
  readonly pages: number;
}

export interface CatalogCallbackRow extends CatalogRowBase {
  readonly type: typeof CATALOG_TYPE.callback;
  readonly callback?: string;
}

/** A row of a type that no current engine writes. */
export interface CatalogOtherRow extends CatalogRowBase {
  readonly type: 0;
  readonly storedType: number;
}

export type CatalogRow =
  | CatalogTableRow
  | CatalogColumnRow
  | CatalogIndexRow
  | CatalogLongValueRow
  | CatalogCallbackRow
  | CatalogOtherRow;

/** Ids, names, types and sizes of the catalog's own columns (chapter 2.3.2). */
const CATALOG_COLUMN_LIST = [
  [1, 'ObjidTable', COLTYP.long, 4],
  [2, 'Type', COLTYP.short, 2],
  [3, 'Id', COLTYP.long, 4],
  [4, 'ColtypOrPgnoFDP', COLTYP.long, 4],
  [5, 'SpaceUsage', COLTYP.long, 4],
  [6, 'Flags', COLTYP.long, 4],
  [7, 'PagesOrLocale', COLTYP.long, 4],
  [8, 'RootFlag', COLTYP.bit, 1],
  [9, 'RecordOffset', COLTYP.short, 2],
  [10, 'LCMapFlags', COLTYP.long, 4],
  [11, 'KeyMost', COLTYP.unsignedShort, 2],
  [12, 'LVChunkMax', COLTYP.long, 4],
  [13, 'PgnoFDPLastSetTime', COLTYP.dateTime, 8],
  [128, 'Name', COLTYP.text, 255],
  [129, 'Stats', COLTYP.binary, 255],
  [130, 'TemplateTable', COLTYP.text, 255],
  [131, 'DefaultValue', COLTYP.binary, 255],
  [132, 'KeyFldIDs', COLTYP.binary, 255],
  [133, 'VarSegMac', COLTYP.binary, 255],
  [134, 'ConditionalColumns', COLTYP.binary, 255],
  [135, 'TupleLimits', COLTYP.binary, 255],
  [136, 'Version', COLTYP.binary, 255],
  [137, 'SortID', COLTYP.binary, 255],
  [256, 'CallbackData', COLTYP.longBinary, 0],
  [257, 'CallbackDependencies', COLTYP.longBinary, 0],
  [258, 'SeparateLV', COLTYP.longBinary, 0],
  [259, 'SpaceHints', COLTYP.longBinary, 0],
  [260, 'SpaceDeferredLVHints', COLTYP.longBinary, 0],
  [261, 'LocaleName', COLTYP.longBinary, 0],
] as const;

type CatalogColumnName = (typeof CATALOG_COLUMN_LIST)[number][1];

/** Position of each catalog column in {@link CATALOG_COLUMNS}. */
const FIELD = Object.fromEntries(CATALOG_COLUMN_LIST.map(([, name], position) => [name, position])) as Record<
  CatalogColumnName,
  number
>;

const FIRST_FIXED_OFFSET = 4;

/** The catalog's own columns, with the offsets that its records really have. */
export const CATALOG_COLUMNS: readonly ColumnDefinition[] = (() => {
  let fixedOffset = FIRST_FIXED_OFFSET;
  return CATALOG_COLUMN_LIST.map(([columnId, name, coltyp, maxLength]) => {
    const isFixed = columnId < 128;
    const column: ColumnDefinition = {
      columnId,
      name,
      coltyp,
      maxLength,
      codePage: CODE_PAGE_1252,
      flags: 0,
      fixedOffset: isFixed ? fixedOffset : 0,
      derived: false,
    };
    if (isFixed) fixedOffset += maxLength;
    return column;
  });
})();

function corrupt(detail: string): EseError {
  return new EseError('JET_errCatalogCorrupted', `catalog row: ${detail}`);
}

/**
 * A function that decodes the record `bytes[start..end)` of a catalog row, for databases of one page size.
 * The row keeps no view of `bytes`.
 *
 * It throws EseError JET_errDatabaseCorrupted if the record is damaged (as {@link locateColumns}), and
 * JET_errCatalogCorrupted if a column that the row must have is missing or has an impossible size.
 */
export function createCatalogRowDecoder(
  pageSize: number,
): (bytes: Uint8Array, start: number, end: number) => CatalogRow {
  const fields = createFieldReader(createRecordLayout(CATALOG_COLUMNS, pageSize));
  return (bytes, start, end) => {
    fields.open(bytes, start, end);
    return decodeRow(fields);
  };
}

/** Reads single columns of a catalog record; each field is a position of {@link FIELD}. NULL is undefined. */
interface FieldReader {
  open(bytes: Uint8Array, start: number, end: number): void;
  number(field: number): number | undefined;
  /** The value as bytes of its own. */
  bytes(field: number): Uint8Array | undefined;
  text(field: number, codePage: number): string | undefined;
}

function createFieldReader(layout: RecordLayout): FieldReader {
  const values = createRecordValues(layout);
  const value = createValueView();
  const locate = (field: number): boolean => {
    if (!locateValue(layout, values, field, 1, value)) return false;
    if (value.separated || value.compressed || value.encrypted) {
      throw corrupt(`${CATALOG_COLUMNS[field]?.name ?? field} is not stored plain`);
    }
    return true;
  };
  return {
    open: (bytes, start, end) => locateColumns(layout, bytes, start, end, values),
    number(field) {
      if (!locate(field)) return undefined;
      const { bytes, start, end } = value;
      let number = 0;
      for (let at = end - 1; at >= start; at--) number = number * 256 + (bytes[at] ?? 0);
      return number;
    },
    bytes: (field) => (locate(field) ? value.bytes.slice(value.start, value.end) : undefined),
    text: (field, codePage) =>
      locate(field) ? decodeText(value.bytes, value.start, value.end, codePage) : undefined,
  };
}

function required<T>(value: T | undefined, name: CatalogColumnName): T {
  if (value === undefined) throw corrupt(`${name} is NULL`);
  return value;
}

function requiredNumber(fields: FieldReader, name: CatalogColumnName): number {
  return required(fields.number(FIELD[name]), name);
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** Sets a member unless its column is NULL: what a row does not say, its object does not have. */
function setPresent<T extends object, K extends keyof T>(row: T, member: K, value: T[K] | undefined): void {
  if (value !== undefined) row[member] = value;
}

function decodeRow(fields: FieldReader): CatalogRow {
  const type = requiredNumber(fields, 'Type');
  switch (type) {
    case CATALOG_TYPE.table:
      return decodeTableRow(fields);
    case CATALOG_TYPE.column:
      return decodeColumnRow(fields);
    case CATALOG_TYPE.index:
      return decodeIndexRow(fields);
    case CATALOG_TYPE.longValue:
      return decodeLongValueRow(fields);
    case CATALOG_TYPE.callback: {
      const row: Mutable<CatalogCallbackRow> = { type, ...base(fields) };
      setPresent(row, 'callback', fields.text(FIELD.TemplateTable, CODE_PAGE_1252));
      return row;
    }
    default:
      return { type: 0, storedType: type, ...base(fields) };
  }
}

function base(fields: FieldReader): CatalogRowBase {
  return {
    objidTable: requiredNumber(fields, 'ObjidTable'),
    id: requiredNumber(fields, 'Id'),
    name: required(fields.text(FIELD.Name, CODE_PAGE_1252), 'Name'),
    flags: requiredNumber(fields, 'Flags'),
  };
}

function tree(fields: FieldReader, hintsFrom: number): CatalogTreeRow {
  const row: Mutable<CatalogTreeRow> = {
    ...base(fields),
    pgnoFdp: requiredNumber(fields, 'ColtypOrPgnoFDP'),
    density: requiredNumber(fields, 'SpaceUsage'),
  };
  setPresent(row, 'spaceHints', hints(fields.bytes(FIELD.SpaceHints), hintsFrom));
  setPresent(row, 'pgnoFdpLastSetTime', fields.bytes(FIELD.PgnoFDPLastSetTime));
  return row;
}

function decodeTableRow(fields: FieldReader): CatalogTableRow {
  const row: Mutable<CatalogTableRow> = {
    type: CATALOG_TYPE.table,
    ...tree(fields, HINTS_FROM_GRBIT),
    pages: requiredNumber(fields, 'PagesOrLocale'),
  };
  const separateLv = fields.bytes(FIELD.SeparateLV);
  setPresent(row, 'templateTable', fields.text(FIELD.TemplateTable, CODE_PAGE_1252));
  setPresent(row, 'lvChunkMax', fields.number(FIELD.LVChunkMax));
  setPresent(row, 'separateLv', separateLv === undefined ? undefined : u32At(separateLv, 0));
  setPresent(
    row,
    'deferredLvSpaceHints',
    hints(fields.bytes(FIELD.SpaceDeferredLVHints), HINTS_FROM_DENSITY),
  );
  setPresent(row, 'stats', fields.bytes(FIELD.Stats));
  return row;
}

function decodeColumnRow(fields: FieldReader): CatalogColumnRow {
  const row: Mutable<CatalogColumnRow> = {
    type: CATALOG_TYPE.column,
    objidTable: requiredNumber(fields, 'ObjidTable'),
    id: requiredNumber(fields, 'Id'),
    name: required(fields.text(FIELD.Name, CODE_PAGE_1252), 'Name'),
    flags: requiredNumber(fields, 'Flags'),
    coltyp: requiredNumber(fields, 'ColtypOrPgnoFDP'),
    maxLength: requiredNumber(fields, 'SpaceUsage'),
    codePage: requiredNumber(fields, 'PagesOrLocale') & 0xffff,
  };
  setPresent(row, 'recordOffset', fields.number(FIELD.RecordOffset));
  setPresent(row, 'defaultValue', fields.bytes(FIELD.DefaultValue));
  setPresent(row, 'callback', fields.text(FIELD.TemplateTable, CODE_PAGE_1252));
  setPresent(row, 'callbackData', fields.bytes(FIELD.CallbackData));
  setPresent(row, 'callbackDependencies', fields.bytes(FIELD.CallbackDependencies));
  return row;
}

function decodeIndexRow(fields: FieldReader): CatalogIndexRow {
  const common = tree(fields, HINTS_FROM_INITIAL);
  const isExtended = (common.flags & INDEX_FLAG.extendedSegments) !== 0;
  const row: Mutable<CatalogIndexRow> = {
    type: CATALOG_TYPE.index,
    ...common,
    segments: segments(required(fields.bytes(FIELD.KeyFldIDs), 'KeyFldIDs'), isExtended),
    conditions: segments(fields.bytes(FIELD.ConditionalColumns) ?? NO_BYTES, isExtended),
    lcid: requiredNumber(fields, 'PagesOrLocale'),
  };
  const varSegMac = fields.bytes(FIELD.VarSegMac);
  const limits = fields.bytes(FIELD.TupleLimits);
  setPresent(row, 'keyMost', fields.number(FIELD.KeyMost));
  setPresent(row, 'varSegMac', varSegMac === undefined ? undefined : u16At(varSegMac, 0));
  setPresent(row, 'tupleLimits', limits === undefined ? undefined : tupleLimits(limits));
  setPresent(row, 'lcMapFlags', fields.number(FIELD.LCMapFlags));
  setPresent(row, 'localeName', fields.text(FIELD.LocaleName, CODE_PAGE_UNICODE));
  setPresent(row, 'sortVersion', fields.bytes(FIELD.Version));
  setPresent(row, 'sortId', fields.bytes(FIELD.SortID));
  setPresent(row, 'stats', fields.bytes(FIELD.Stats));
  return row;
}

function decodeLongValueRow(fields: FieldReader): CatalogLongValueRow {
  return {
    type: CATALOG_TYPE.longValue,
    ...tree(fields, HINTS_FROM_INITIAL),
    pages: requiredNumber(fields, 'PagesOrLocale'),
  };
}

const NO_BYTES = new Uint8Array(0);

function u16At(bytes: Uint8Array, at: number): number {
  if (at + 2 > bytes.length) throw corrupt(`a value of ${bytes.length} bytes is too short`);
  return (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8);
}

function u32At(bytes: Uint8Array, at: number): number {
  if (at + 4 > bytes.length) throw corrupt(`a value of ${bytes.length} bytes is too short`);
  return (u16At(bytes, at) | (u16At(bytes, at + 2) << 16)) >>> 0;
}

/** Bits of the first byte of an extended segment (chapter 2.3.5). */
const SEGMENT_DERIVED = 0x80;
const SEGMENT_DESCENDING = 0x40;
const SEGMENT_MUST_BE_NULL = 0x20;

/**
 * Decodes an array of segments: 4 bytes each in the extended form, else a signed 16-bit id, negative for
 * descending (in conditions: must be NULL).
 *
 * @throws EseError JET_errCatalogCorrupted if the array does not consist of whole elements.
 */
function segments(bytes: Uint8Array, isExtended: boolean): IndexSegment[] {
  const size = isExtended ? 4 : 2;
  if (bytes.length % size !== 0) throw corrupt(`${bytes.length} bytes of key segments`);
  const list: IndexSegment[] = [];
  for (let at = 0; at < bytes.length; at += size) {
    if (isExtended) {
      const flags = bytes[at] ?? 0;
      list.push({
        columnId: u16At(bytes, at + 2),
        descending: (flags & SEGMENT_DESCENDING) !== 0,
        mustBeNull: (flags & SEGMENT_MUST_BE_NULL) !== 0,
        derived: (flags & SEGMENT_DERIVED) !== 0,
      });
    } else {
      const signed = (u16At(bytes, at) << 16) >> 16;
      list.push({
        columnId: Math.abs(signed),
        descending: signed < 0,
        mustBeNull: signed < 0,
        derived: false,
      });
    }
  }
  return list;
}

const TUPLE_LIMITS_OLD_BYTES = 12;
const TUPLE_LIMITS_BYTES = 20;

function tupleLimits(bytes: Uint8Array): TupleLimits {
  if (bytes.length !== TUPLE_LIMITS_OLD_BYTES && bytes.length !== TUPLE_LIMITS_BYTES) {
    throw corrupt(`${bytes.length} bytes of tuple limits`);
  }
  const isOld = bytes.length === TUPLE_LIMITS_OLD_BYTES;
  return {
    lengthMin: u32At(bytes, 0),
    lengthMax: u32At(bytes, 4),
    tuplesMax: u32At(bytes, 8),
    increment: isOld ? 1 : u32At(bytes, 12),
    start: isOld ? 0 : u32At(bytes, 16),
  };
}

/** Which hint comes first in a row's blob, by the kind of row (chapter 2.3.6). */
const HINTS_FROM_DENSITY = 0;
const HINTS_FROM_INITIAL = 1;
const HINTS_FROM_GRBIT = 2;

function hints(bytes: Uint8Array | undefined, first: number): SpaceHints | undefined {
  if (bytes === undefined) return undefined;
  const hint = (number: number): number => {
    const at = 1 + 4 * (number - first);
    if (number < first || at >= bytes.length) return 0;
    let value = 0;
    for (let i = Math.min(4, bytes.length - at) - 1; i >= 0; i--) value = value * 256 + (bytes[at + i] ?? 0);
    return value;
  };
  return {
    density: hint(0),
    initialBytes: hint(1),
    grbit: hint(2),
    maintenanceDensity: hint(3),
    growthPercent: hint(4),
    extentMinBytes: hint(5),
    extentMaxBytes: hint(6),
  };
}
