import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CODE_PAGE_1252, COLTYP, COLUMN_FLAG, type ColumnDefinition } from '../../src/format/column.js';
import { compressSevenBit } from '../../src/format/compression.js';
import { decodeText } from '../../src/format/text.js';
import { type ColumnValue, openDatabase, type Row } from '../../src/index.js';

/**
 * `esedbexport` (libesedb) as an independent judge: it reads a database, and every cell that it prints is
 * compared with what this project reads. A cell may differ only in a way that `docs/esedbexport.md`
 * explains; each such way has a name here and is counted.
 */

/** Whether `esedbexport` is installed. Tests that need it say so when they skip. */
export const hasEsedbexport = spawnSync('esedbexport', ['-V']).status === 0;
if (!hasEsedbexport) console.warn('skipped, esedbexport is not installed: comparisons with it');

/** Ways in which a cell may be printed; the names are those of `docs/esedbexport.md`. */
export type CellKind =
  | 'equal'
  | 'both NULL'
  | 'date formatted'
  | 'date a second short'
  | 'trimmed'
  | 'escaped'
  | 'binary as text'
  | 'NULL shown as fill bytes'
  | 'separated or several values left out'
  | 'ids of separated values shown'
  | 'default left out'
  | 'character beyond U+FFFF mangled'
  | 'FILETIME guessed'
  | 'single shown as zero'
  | 'compressed text misread'
  | 'first chunk only'
  | 'odd Unicode cut short'
  | 'negative currency unsigned'
  | 'GUID as raw bytes';

/** What a comparison found. */
export interface Comparison {
  /** Cells by kind. */
  readonly kinds: Map<CellKind, number>;
  /** Cells that no rule explains: table, row, column, ours, theirs. */
  readonly unexplained: string[];
  readonly rows: number;
}

/**
 * Exports `database` with `esedbexport` and compares every cell of every table. Throws when the exporter
 * fails or a table has another number of rows.
 */
export function compareWithEsedbexport(database: string): Comparison {
  const folder = mkdtempSync(join(tmpdir(), 'esekit-judge-'));
  try {
    execFileSync('esedbexport', ['-m', 'tables', '-t', join(folder, 'x'), database], { stdio: 'pipe' });
    const result: Comparison & { rows: number } = { kinds: new Map(), unexplained: [], rows: 0 };
    const files = readdirSync(join(folder, 'x.export'));
    const reader = openDatabase(database);
    for (const table of reader.tables()) {
      const file = files.find((name) => name.replace(/\.\d+$/, '') === table.name);
      if (file === undefined) throw new Error(`esedbexport did not export table ${table.name}`);
      const lines = readFileSync(join(folder, 'x.export', file), 'utf8')
        .split('\n')
        .slice(0, -1);
      const header = lines.shift()?.split('\t') ?? [];
      const columns = new Map(table.columns.map((column) => [column.name, column]));
      let number = 0;
      for (const row of reader.rows(table.name)) {
        const cells = lines[number]?.split('\t');
        if (cells === undefined) throw new Error(`esedbexport has only ${number} rows of ${table.name}`);
        number++;
        result.rows++;
        compareRow(result, `${table.name} row ${number}`, header, cells, columns, row);
      }
      if (number !== lines.length) {
        throw new Error(`esedbexport has ${lines.length} rows of ${table.name}, not ${number}`);
      }
    }
    reader.close();
    return result;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function compareRow(
  result: Comparison,
  place: string,
  header: readonly string[],
  cells: readonly string[],
  columns: ReadonlyMap<string, ColumnDefinition>,
  row: Row,
): void {
  for (const [i, name] of header.entries()) {
    const column = columns.get(name);
    if (column === undefined) throw new Error(`esedbexport has a column ${name} that we do not know`);
    const theirs = cells[i] ?? '';
    const kind = judge(column, row[name], theirs);
    if (kind === undefined) {
      result.unexplained.push(`${place} ${name}: ours ${show(row[name])}, theirs ${JSON.stringify(theirs)}`);
    } else {
      result.kinds.set(kind, (result.kinds.get(kind) ?? 0) + 1);
    }
  }
}

function show(value: ColumnValue | ColumnValue[] | undefined): string {
  if (value instanceof Uint8Array) return `hex ${hex(value)}`;
  if (value instanceof Date) return value.toISOString();
  return JSON.stringify(value, (_, v) => (typeof v === 'bigint' ? `${v}n` : v)) ?? 'NULL';
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

function judge(
  column: ColumnDefinition,
  value: ColumnValue | ColumnValue[] | undefined,
  theirs: string,
): CellKind | undefined {
  if (value === undefined) {
    if (theirs === '') return 'both NULL';
    // The null bitmap says NULL; the exporter does not look at it and prints the bytes that lie there.
    return column.columnId < 128 ? 'NULL shown as fill bytes' : undefined;
  }
  if (theirs === '') return judgeNothing(column, value);
  if (Array.isArray(value)) {
    const parts = theirs.split('; ');
    if (parts.length !== value.length) return undefined;
    if (areConsecutiveLids(parts)) return 'ids of separated values shown';
    const kinds = value.map((one, i) => judgeValue(column, one, parts[i] ?? ''));
    if (kinds.includes(undefined)) return undefined;
    return kinds.find((kind) => kind !== 'equal') ?? 'equal';
  }
  return judgeValue(column, value, theirs);
}

/** Whether the cell lists characters that are really long-value ids: one byte each, one after the other. */
function areConsecutiveLids(parts: readonly string[]): boolean {
  const ids = parts.map((part) => part.replace('\\t', '\t').replace('\\n', '\n').replace('\\r', '\r'));
  const first = ids[0]?.charCodeAt(0) ?? 0;
  return ids.every((id, i) => id === String.fromCharCode(first + i) && id < ' ');
}

function judgeNothing(column: ColumnDefinition, value: ColumnValue | ColumnValue[]): CellKind | undefined {
  if (value === '' || (value instanceof Uint8Array && value.length === 0)) return 'equal';
  if (typeof value === 'string' && /^[\0 ]*$/.test(value)) return 'trimmed';
  if (Array.isArray(value)) return 'separated or several values left out';
  if ((column.flags & COLUMN_FLAG.default) !== 0) return 'default left out';
  const isLong = column.coltyp === COLTYP.longBinary || column.coltyp === COLTYP.longText;
  return isLong ? 'separated or several values left out' : undefined;
}

function judgeValue(column: ColumnDefinition, value: ColumnValue, theirs: string): CellKind | undefined {
  if (String(value) === theirs) return 'equal';
  switch (column.coltyp) {
    case COLTYP.currency:
      if (String(BigInt.asUintN(64, value as bigint)) === theirs) return 'negative currency unsigned';
      return undefined;
    case COLTYP.longLong:
    case COLTYP.unsignedLongLong:
      return isSameInstant(filetime(value as bigint), theirs) ? 'FILETIME guessed' : undefined;
    case COLTYP.ieeeDouble:
      return isRounded(value as number, theirs) ? 'equal' : undefined;
    case COLTYP.ieeeSingle:
      if (isRounded(value as number, theirs)) return 'equal';
      return theirs === '0.000000' ? 'single shown as zero' : undefined;
    case COLTYP.dateTime:
      return judgeDate(value as Date | number, theirs);
    case COLTYP.guid:
      return judgeGuid(value as string, theirs);
    case COLTYP.text:
    case COLTYP.longText:
      return judgeText(value, theirs);
    default:
      return value instanceof Uint8Array ? judgeBinary(value, theirs) : undefined;
  }
}

/** Whether a number is printed with six digits behind the point; a tie may go either way. */
function isRounded(value: number, theirs: string): boolean {
  return /^-?\d+\.\d{6}$/.test(theirs) && Math.abs(value - Number(theirs)) <= 0.500001e-6;
}

/** First byte of XPRESS-compressed values (format specification, chapter 3.3). */
const XPRESS_HEADER = 0x18;
const MS_PER_DAY = 86_400_000;
const OLE_TO_UNIX_DAYS = 25_569;

function filetime(ticks: bigint): Date {
  return new Date(Number(ticks / 10_000n - 11_644_473_600_000n));
}

/** `Nov 16, 2021 19:18:00.000000167`: as exact as the exporter's arithmetic allows, in milliseconds. */
function isSameInstant(date: Date, theirs: string, toleranceMs = 1): boolean {
  const printed = Date.parse(`${theirs.replace(/(\.\d{3})\d*$/, '$1')} UTC`);
  return Math.abs(printed - date.getTime()) <= toleranceMs;
}

function judgeDate(value: Date | number, theirs: string): CellKind | undefined {
  const bits = /^\(0x([0-9a-f]{8}) 0x([0-9a-f]{8})\)$/.exec(theirs);
  if (bits !== null) {
    const days = Buffer.from(`${bits[1]}${bits[2]}`, 'hex').readDoubleBE();
    if (typeof value === 'number') return Object.is(days, value) ? 'equal' : undefined;
    const whole = Math.trunc(days);
    const ms = (whole - OLE_TO_UNIX_DAYS) * MS_PER_DAY + Math.abs(days - whole) * MS_PER_DAY;
    return Math.abs(ms - value.getTime()) <= 1 ? 'date formatted' : undefined;
  }
  if (!(value instanceof Date)) return undefined;
  if (isSameInstant(value, theirs)) return 'date formatted';
  // It cuts seconds off where a double lies just below a whole one, and invents a fraction.
  if (isSameInstant(value, theirs, 1000)) return 'date a second short';
  // Bytes that are no OLE date, as a double so small that it is day 0.
  const isDayZero = value.getTime() === -OLE_TO_UNIX_DAYS * MS_PER_DAY;
  return isDayZero && !Number.isNaN(Date.parse(theirs.replace(/\.\d+$/, '')))
    ? 'FILETIME guessed'
    : undefined;
}

function judgeGuid(value: string, theirs: string): CellKind | undefined {
  const b = Buffer.from(value.replaceAll('-', ''), 'hex');
  b.subarray(0, 4).reverse();
  b.subarray(4, 6).reverse();
  b.subarray(6, 8).reverse();
  return b.toString('hex') === theirs ? 'GUID as raw bytes' : undefined;
}

/** Backslashes and control characters as the exporter writes them. */
function escaped(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('\t', '\\t').replaceAll('\n', '\\n');
}

function judgeText(value: ColumnValue, theirs: string): CellKind | undefined {
  // Bytes that are no text: an odd last byte. What comes before it is text all the same.
  const text = value instanceof Uint8Array ? Buffer.from(value).toString('utf16le') : String(value);
  if (value instanceof Uint8Array && theirs === String.fromCharCode(value[0] ?? 0)) {
    return 'odd Unicode cut short';
  }
  if (text === theirs) return 'equal';
  const trimmed = text.replace(/[\0 ]+$/, '');
  const printed = theirs.replace(/[\0 ]+$/, '');
  if (trimmed === printed) return 'trimmed';
  if (escaped(trimmed) === printed) return 'escaped';
  const withoutPairs = (s: string): string => s.replace(/[\u{10000}-\u{10ffff}\ufffd]/gu, '');
  const pairs = (s: string): number => s.match(/[\u{10000}-\u{10ffff}]/gu)?.length ?? 0;
  if (pairs(trimmed) > 0 && withoutPairs(escaped(trimmed)) === withoutPairs(printed)) {
    return 'character beyond U+FFFF mangled';
  }
  if (isCut(escaped(text), theirs)) return 'first chunk only';
  if (isPacked(text, theirs) || isPackedWide(text, theirs) || isXpress(text, theirs)) {
    return 'compressed text misread';
  }
  // The text as bytes, read as if each two of them were one character.
  const bytes = Buffer.from(text.length % 2 === 0 ? text : `${text}\0`, 'latin1');
  return bytes.toString('utf16le').replace(/\0+$/, '') === printed ? 'compressed text misread' : undefined;
}

/** Whether a long value was given up behind the first of its chunks, which are 1968 bytes long at least. */
function isCut(ours: string, theirs: string): boolean {
  return theirs.length > 1900 && theirs.length < ours.length && ours.startsWith(theirs);
}

/** Whether the cell is the packed text itself: the bytes behind the first, which tells how long it is. */
function isPacked(text: string, theirs: string): boolean {
  const packed = compressSevenBit(Buffer.from(text, 'latin1'));
  if (packed === undefined || theirs.length < 8) return false;
  // Escapes take more than one character: the comparison ends at the first behind the first byte.
  const [shown = ''] = theirs.replace(/^\\./, '?').slice(1, 7).split('\\');
  const expected = decodeText(packed, 1, 7, CODE_PAGE_1252);
  return shown.length > 1 && [...shown].every((unit, i) => unit === expected[i] || unit === '\ufffd');
}

/** Whether the cell is the packed bytes of UTF-16 text, read as UTF-16 again, from the first byte on. */
function isPackedWide(text: string, theirs: string): boolean {
  const packed = compressSevenBit(Buffer.from(text, 'utf16le'));
  if (packed === undefined || theirs.length < 8) return false;
  // What is no character, or only half of one, ends the comparison.
  const [shown = ''] = theirs.split(/[\\\ufffd]|[^\0-\uffff]/u);
  const expected = Buffer.from(packed).toString('utf16le');
  return shown.length >= 4 && expected.startsWith(shown);
}

/** Whether the cell is the packed text itself, read as UTF-16: it begins with the kind of packing and the plain size. */
function isXpress(text: string, theirs: string): boolean {
  const packed = Buffer.from(theirs, 'utf16le');
  return (
    packed.length > 4 &&
    packed[0] === XPRESS_HEADER &&
    packed.readUInt16LE(1) === Buffer.byteLength(text, 'utf16le')
  );
}

function judgeBinary(value: Uint8Array, theirs: string): CellKind | undefined {
  if (hex(value) === theirs) return 'equal';
  if (isCut(hex(value), theirs)) return 'first chunk only';
  if (value.length === 8) {
    const ticks = Buffer.from(value).readBigUInt64LE();
    if (isSameInstant(filetime(ticks), theirs)) return 'FILETIME guessed';
  }
  for (const encoding of ['utf16le', 'latin1'] as const) {
    const text = Buffer.from(value).toString(encoding).replace(/\0+$/, '');
    if (text === theirs || escaped(text) === theirs) return 'binary as text';
  }
  return undefined;
}
