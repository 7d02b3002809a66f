/**
 * Rows of the catalog as they are written: the inverse of catalog-row.ts (format specification, chapters 2.3.2
 * and 10.6.1).
 */
import {
  CATALOG_COLUMNS,
  CATALOG_TYPE,
  type CatalogColumnRow,
  type CatalogIndexRow,
  type CatalogLongValueRow,
  type CatalogTableRow,
  type IndexSegment,
  type SpaceHints,
  type TupleLimits,
} from './catalog-row.js';
import { CODE_PAGE_1252, CODE_PAGE_UNICODE, COLTYP } from './column.js';
import type { ColumnValue } from './column-value.js';
import { encodeColumnValue } from './column-value-encoder.js';
import type { RecordEncoder } from './record-encoder.js';

/** A row that can be written. */
export type NewCatalogRow = CatalogTableRow | CatalogColumnRow | CatalogIndexRow | CatalogLongValueRow;

/** Columns that rows written in format 0x620,20 know of: the last one came later. */
export const CATALOG_COLUMNS_WRITTEN = CATALOG_COLUMNS.filter(
  (column) => column.name !== 'PgnoFDPLastSetTime',
);

/** Normalisation flags of an index that names none (chapter 2.3.2). */
const LCMAP_DEFAULT = 0x00030401;
/** The locale that the engine writes for indexes without text too (chapter 10.6.1). */
const LOCALE_DEFAULT = 'en-US';
/** A key limit that is not written, since it is the default. */
const KEY_MOST_DEFAULT = 255;

const SEGMENT_DERIVED = 0x80;
const SEGMENT_DESCENDING = 0x40;
const SEGMENT_MUST_BE_NULL = 0x20;
/** First hint in the blob of a table row, of an index or long-value row, and of the deferred hints. */
const HINTS_FROM_GRBIT = 2;
const HINTS_FROM_INITIAL = 1;
const HINTS_FROM_DENSITY = 0;
const HINTS_VERSION = 1;

const INDEX_BY_NAME = new Map(CATALOG_COLUMNS_WRITTEN.map((column, index) => [column.name, index]));

/** Sets the values of a catalog row; the encoder is that of {@link CATALOG_COLUMNS_WRITTEN}, cleared. */
export function setCatalogRow(encoder: RecordEncoder, row: NewCatalogRow): void {
  const set = (name: string, value: ColumnValue | undefined): void => {
    const index = INDEX_BY_NAME.get(name) ?? -1;
    const column = CATALOG_COLUMNS_WRITTEN[index];
    if (value === undefined || column === undefined) return;
    encoder.setValue(index, { bytes: encodeColumnValue(column, value) });
  };
  set('ObjidTable', row.objidTable);
  set('Type', row.type);
  set('Id', row.id);
  set('Flags', row.flags | 0);
  set('Name', row.name);
  switch (row.type) {
    case CATALOG_TYPE.table:
      set('ColtypOrPgnoFDP', row.pgnoFdp);
      set('SpaceUsage', row.density);
      set('PagesOrLocale', row.pages);
      set('RootFlag', true);
      set('LVChunkMax', row.lvChunkMax);
      set('TemplateTable', row.templateTable);
      set('SeparateLV', row.separateLv === undefined ? undefined : longs([row.separateLv]));
      set('SpaceHints', hints(row.spaceHints, HINTS_FROM_GRBIT));
      set('SpaceDeferredLVHints', hints(row.deferredLvSpaceHints, HINTS_FROM_DENSITY));
      return;
    case CATALOG_TYPE.column:
      set('ColtypOrPgnoFDP', row.coltyp);
      set('SpaceUsage', row.maxLength);
      set('PagesOrLocale', row.codePage);
      set('RecordOffset', row.recordOffset);
      set('DefaultValue', row.defaultValue);
      return;
    case CATALOG_TYPE.index: {
      const keyMost = row.keyMost ?? KEY_MOST_DEFAULT;
      set('ColtypOrPgnoFDP', row.pgnoFdp);
      set('SpaceUsage', row.density);
      set('PagesOrLocale', row.lcid);
      set('LCMapFlags', row.lcMapFlags ?? LCMAP_DEFAULT);
      set('KeyMost', keyMost === KEY_MOST_DEFAULT ? undefined : keyMost);
      set('KeyFldIDs', segments(row.segments));
      if (row.varSegMac !== undefined && row.varSegMac !== keyMost) set('VarSegMac', shorts([row.varSegMac]));
      if (row.conditions.length > 0) set('ConditionalColumns', segments(row.conditions));
      if (row.tupleLimits !== undefined) set('TupleLimits', tupleLimits(row.tupleLimits));
      set('Version', row.sortVersion);
      set('SortID', row.sortId);
      set('SpaceHints', hints(row.spaceHints, HINTS_FROM_INITIAL));
      set('LocaleName', Uint8Array.from(Buffer.from(row.localeName ?? LOCALE_DEFAULT, 'utf16le')));
      return;
    }
    case CATALOG_TYPE.longValue:
      set('ColtypOrPgnoFDP', row.pgnoFdp);
      set('SpaceUsage', row.density);
      set('PagesOrLocale', row.pages);
      set('SpaceHints', hints(row.spaceHints, HINTS_FROM_INITIAL));
  }
}

function longs(values: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(4 * values.length);
  const view = new DataView(bytes.buffer);
  for (const [i, value] of values.entries()) view.setUint32(4 * i, value, true);
  return bytes;
}

function shorts(values: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(2 * values.length);
  const view = new DataView(bytes.buffer);
  for (const [i, value] of values.entries()) view.setUint16(2 * i, value, true);
  return bytes;
}

/** Segments in the form of four bytes each (chapter 2.3.5). */
function segments(list: readonly IndexSegment[]): Uint8Array {
  return longs(
    list.map(({ columnId, descending, mustBeNull, derived }) => {
      const flags =
        (derived ? SEGMENT_DERIVED : 0) |
        (descending ? SEGMENT_DESCENDING : 0) |
        (mustBeNull ? SEGMENT_MUST_BE_NULL : 0);
      return flags | (columnId << 16);
    }),
  );
}

function tupleLimits({ lengthMin, lengthMax, tuplesMax, increment, start }: TupleLimits): Uint8Array {
  return longs([lengthMin, lengthMax, tuplesMax, increment, start]);
}

/** The blob of space hints without the zeros at its end; undefined if nothing is left (chapter 2.3.6). */
function hints(value: SpaceHints | undefined, first: number): Uint8Array | undefined {
  if (value === undefined) return undefined;
  const { density, initialBytes, grbit, maintenanceDensity, growthPercent, extentMinBytes, extentMaxBytes } =
    value;
  const all = [
    density,
    initialBytes,
    grbit,
    maintenanceDensity,
    growthPercent,
    extentMinBytes,
    extentMaxBytes,
  ];
  const written = all.slice(first);
  while (written.at(-1) === 0) written.pop();
  if (written.length === 0) return undefined;
  const bytes = new Uint8Array(1 + 4 * written.length);
  bytes[0] = HINTS_VERSION;
  bytes.set(longs(written), 1);
  return bytes;
}

/** What the catalog's rows about its own columns say in place of an offset (chapter 3.1.3). */
const CATALOG_RECORD_OFFSET = 4;
/** Order in which a new database gets them (chapter 2.5.2). */
const CATALOG_COLUMN_ORDER = [
  1, 2, 3, 128, 4, 5, 6, 7, 129, 8, 130, 9, 131, 132, 133, 134, 10, 11, 135, 136, 137, 256, 257, 258, 259,
  260, 261, 12,
];
const COLUMN_FLAG_NOT_NULL = 0x1;
/** The columns that no row of the catalog may lack: 1 to 7 and the name. */
const NOT_NULL_COLUMNS = new Set([1, 2, 3, 4, 5, 6, 7, 128]);

/** The catalog's rows about its own columns, or about those of its shadow. */
export function catalogColumnRows(objidTable: number): CatalogColumnRow[] {
  return CATALOG_COLUMN_ORDER.flatMap((id): CatalogColumnRow[] => {
    const column = CATALOG_COLUMNS_WRITTEN.find(({ columnId }) => columnId === id);
    if (column === undefined) return [];
    return [
      {
        type: CATALOG_TYPE.column,
        objidTable,
        id,
        name: column.name,
        flags: NOT_NULL_COLUMNS.has(id) ? COLUMN_FLAG_NOT_NULL : 0,
        coltyp: column.coltyp,
        maxLength: column.maxLength,
        codePage: CODE_PAGE_1252,
        ...(id < 128 ? { recordOffset: CATALOG_RECORD_OFFSET } : {}),
      },
    ];
  });
}

/** Code page of a text column: 1200 or 1252; 0 for columns that hold no text. */
export function columnCodePage(coltyp: number, isUnicode: boolean): number {
  if (coltyp !== COLTYP.text && coltyp !== COLTYP.longText) return 0;
  return isUnicode ? CODE_PAGE_UNICODE : CODE_PAGE_1252;
}
