/**
 * Columns: types, classes, flags, and the definition that the catalog keeps of each (format
 * specification, chapter 3.1 and chapter 2.3.2-2.3.4).
 *
 * | class    | column ids   | where a record keeps the value                      |
 * |----------|--------------|-----------------------------------------------------|
 * | fixed    | 1..127       | at a fixed offset, NULL in a bitmap                 |
 * | variable | 128..255     | between two offsets, NULL in the top bit            |
 * | tagged   | 256..65248   | only if present; may have a header and many values  |
 */

/** Column types by their JET names (chapter 3.1.1). */
export const COLTYP = {
  nil: 0,
  bit: 1,
  unsignedByte: 2,
  short: 3,
  long: 4,
  currency: 5,
  ieeeSingle: 6,
  ieeeDouble: 7,
  dateTime: 8,
  binary: 9,
  text: 10,
  longBinary: 11,
  longText: 12,
  slv: 13,
  unsignedLong: 14,
  longLong: 15,
  guid: 16,
  unsignedShort: 17,
  unsignedLongLong: 18,
} as const;

const COLTYP_NAMES: readonly string[] = [
  'Nil',
  'Bit',
  'UnsignedByte',
  'Short',
  'Long',
  'Currency',
  'IEEESingle',
  'IEEEDouble',
  'DateTime',
  'Binary',
  'Text',
  'LongBinary',
  'LongText',
  'SLV',
  'UnsignedLong',
  'LongLong',
  'GUID',
  'UnsignedShort',
  'UnsignedLongLong',
];

/** Size in bytes of a value by type; 0 where the type has no fixed size (chapter 3.1.1). */
const COLTYP_SIZES = Uint8Array.of(0, 1, 1, 2, 4, 8, 4, 8, 8, 0, 0, 0, 0, 0, 4, 8, 16, 2, 8);

/** First and last column ids of each class (chapter 3.1.2). */
export const FID_FIXED_LEAST = 1;
export const FID_FIXED_MOST = 127;
export const FID_VARIABLE_LEAST = 128;
export const FID_VARIABLE_MOST = 255;
export const FID_TAGGED_LEAST = 256;
export const FID_TAGGED_MOST = 65248;

/** Column flags of the catalog (chapter 3.1.4). */
export const COLUMN_FLAG = {
  notNull: 0x0001,
  version: 0x0002,
  autoIncrement: 0x0004,
  multiValued: 0x0008,
  default: 0x0010,
  escrowUpdate: 0x0020,
  finalize: 0x0040,
  userDefinedDefault: 0x0080,
  templateColumn: 0x0100,
  deleteOnZero: 0x0200,
  primaryIndexPlaceholder: 0x0800,
  compressed: 0x1000,
  encrypted: 0x2000,
} as const;

/** Code pages that an engine writes or that its readers accept (chapter 3.1.3). */
export const CODE_PAGE_1252 = 1252;
export const CODE_PAGE_UNICODE = 1200;
export const CODE_PAGE_ASCII = 20127;

/** One column as the catalog defines it. */
export interface ColumnDefinition {
  readonly columnId: number;
  readonly name: string;
  /** One of {@link COLTYP}. */
  readonly coltyp: number;
  /** Most bytes that a value has; exact for fixed columns; 0 = no limit. */
  readonly maxLength: number;
  /** 0 for columns that hold no text. */
  readonly codePage: number;
  /** Bits of {@link COLUMN_FLAG}. */
  readonly flags: number;
  /** Fixed columns: offset of the value from the start of the record; 0 for all others. */
  readonly fixedOffset: number;
  /** Bytes that a row without a stored value has, if the column has a usable default. */
  readonly defaultValue?: Uint8Array;
  /** `module!function` that computes the default. */
  readonly callback?: string;
  /** The column comes from the template table: tagged values carry the derived bit. */
  readonly derived: boolean;
}

/** The JET name of a column type, `Unknown(n)` for numbers that no engine defines. */
export function coltypName(coltyp: number): string {
  return COLTYP_NAMES[coltyp] ?? `Unknown(${coltyp})`;
}

/** Size in bytes of every value of the type, 0 if values differ in length or the type is unknown. */
export function coltypSize(coltyp: number): number {
  return COLTYP_SIZES[coltyp] ?? 0;
}

/** LongBinary, LongText and the obsolete SLV: values that may live in the long-value tree. */
export function isLongValueType(coltyp: number): boolean {
  return coltyp === COLTYP.longBinary || coltyp === COLTYP.longText || coltyp === COLTYP.slv;
}

export function isTextType(coltyp: number): boolean {
  return coltyp === COLTYP.text || coltyp === COLTYP.longText;
}

export function isFixedColumn(columnId: number): boolean {
  return columnId >= FID_FIXED_LEAST && columnId <= FID_FIXED_MOST;
}

export function isVariableColumn(columnId: number): boolean {
  return columnId >= FID_VARIABLE_LEAST && columnId <= FID_VARIABLE_MOST;
}

export function isTaggedColumn(columnId: number): boolean {
  return columnId >= FID_TAGGED_LEAST && columnId <= FID_TAGGED_MOST;
}

/** Bytes that a fixed column occupies in every record that stores it. */
export function fixedColumnSize(column: Pick<ColumnDefinition, 'coltyp' | 'maxLength'>): number {
  return coltypSize(column.coltyp) || column.maxLength;
}
