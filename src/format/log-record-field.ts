import {
  DBMS_PARAM_BYTES,
  type DbmsParam,
  readAnsiString,
  readDbmsParam,
  writeDbmsParam,
} from './dbms-param.js';
import { readDbtime, writeDbtime } from './dbtime.js';
import { EseError, type Lgpos } from './ese-error.js';
import { LGPOS_BYTES, readLgpos, writeLgpos } from './lgpos.js';
import { encodeLogtime, LOGTIME_BYTES, type Logtime, readLogtime } from './logtime.js';
import { readSignature, SIGNATURE_BYTES, type Signature } from './signature.js';

/** Where the bytes of one log record lie: `size` bytes from `offset` on in a buffer and its view. */
export interface RecordBytes {
  readonly bytes: Uint8Array;
  /** A view over the same memory as `bytes`, with the same origin. */
  readonly view: DataView;
  readonly offset: number;
  readonly size: number;
}

/** How a field is shown in the JSON form of a record. */
export type FieldKind =
  | 'number'
  | 'boolean'
  | 'u64'
  | 'lgpos'
  | 'logtime'
  | 'signature'
  | 'dbmsParam'
  | 'hex'
  | 'head'
  | 'diff'
  | 'strings'
  | 'text'
  | 'path'
  | 'numbers'
  | 'emptiedPages';

/**
 * One field of a record layout. Decoder, JSON form and encoder share the layouts, so a field is known by
 * its place as well as by its meaning.
 */
export interface LogField<V> {
  readonly kind: FieldKind;
  /** Offset from the start of the record; undefined for a field behind variable parts. */
  readonly at?: number;
  /** Bytes of a field at a fixed offset; 0 for variable ones. */
  readonly length: number;
  /** Whether the field is a little-endian number that takes all of its 1, 2 or 4 bytes. */
  readonly isPlain?: boolean;
  /** Name in the JSON form, where it differs from the field's own. */
  readonly jsonName?: string;
  readonly read: (record: RecordBytes) => V;
  /** {@link read} as the getter of a record view, for numbers that are read for every record. */
  readonly getter?: (this: RecordBytes) => V;
  /**
   * Puts the value into a record whose bytes are zero, or hold other fields of it. A field of variable length
   * finds its place by the fixed ones, which must be there already.
   */
  write(record: RecordBytes, value: V): void;
}

/** Offset of a field that has the same place in every record of its type. */
export function fieldOffset({ at }: LogField<unknown>): number {
  if (at === undefined) throw new Error('the field has no place of its own');
  return at;
}

/** What the fields of a layout hold. */
export type FieldsOf<L> = { readonly [K in keyof L]: L[K] extends LogField<infer V> ? V : never };

/** Reads all fields of a layout; `record` must hold those at fixed offsets. */
export function readFields<L extends Record<string, LogField<unknown>>>(
  layout: L,
  record: RecordBytes,
): FieldsOf<L> {
  const fields: Record<string, unknown> = {};
  for (const [name, field] of Object.entries(layout)) fields[name] = field.read(record);
  return fields as FieldsOf<L>;
}

/** Writes all fields of a layout, each at a fixed offset. */
export function writeFields<L extends Record<string, LogField<unknown>>>(
  layout: L,
  record: RecordBytes,
  values: FieldsOf<L>,
): void {
  for (const [name, field] of Object.entries(layout)) field.write(record, values[name]);
}

/** A field of variable length, taken as the bytes themselves. */
export interface BytesField extends LogField<Uint8Array> {
  readonly start: Measure;
  readonly count: Measure;
}

/** A length or offset in bytes that depends on fixed fields of the record. */
export type Measure = (record: RecordBytes) => number;

/** A page that an EmptyTree record empties (format specification, chapter 4.6.4). */
export interface EmptiedPage {
  readonly dbtimeBefore: number;
  readonly pgno: number;
  /** Flags of the page before. */
  readonly flags: number;
}

export const EMPTIED_PAGE_BYTES = 16;

function corrupt(detail: string): EseError {
  return new EseError('JET_errLogFileCorrupt', detail);
}

export function u8(at: number): LogField<number> {
  return {
    kind: 'number',
    at,
    length: 1,
    isPlain: true,
    read: (r) => r.view.getUint8(r.offset + at),
    getter(this: RecordBytes) {
      return this.view.getUint8(this.offset + at);
    },
    write: (r, value) => r.view.setUint8(r.offset + at, value),
  };
}

export function u16(at: number): LogField<number> {
  return {
    kind: 'number',
    at,
    length: 2,
    isPlain: true,
    read: (r) => r.view.getUint16(r.offset + at, true),
    getter(this: RecordBytes) {
      return this.view.getUint16(this.offset + at, true);
    },
    write: (r, value) => r.view.setUint16(r.offset + at, value, true),
  };
}

export function i16(at: number): LogField<number> {
  return {
    kind: 'number',
    at,
    length: 2,
    isPlain: true,
    read: (r) => r.view.getInt16(r.offset + at, true),
    getter(this: RecordBytes) {
      return this.view.getInt16(this.offset + at, true);
    },
    write: (r, value) => r.view.setInt16(r.offset + at, value, true),
  };
}

export function u32(at: number): LogField<number> {
  return {
    kind: 'number',
    at,
    length: 4,
    isPlain: true,
    read: (r) => r.view.getUint32(r.offset + at, true),
    getter(this: RecordBytes) {
      return this.view.getUint32(this.offset + at, true);
    },
    write: (r, value) => r.view.setUint32(r.offset + at, value, true),
  };
}

export function i32(at: number): LogField<number> {
  return {
    kind: 'number',
    at,
    length: 4,
    isPlain: true,
    read: (r) => r.view.getInt32(r.offset + at, true),
    getter(this: RecordBytes) {
      return this.view.getInt32(this.offset + at, true);
    },
    write: (r, value) => r.view.setInt32(r.offset + at, value, true),
  };
}

/** A page stamp, in the signed reading of `dbtime.ts`. */
export function dbtime(at: number): LogField<number> {
  return {
    kind: 'u64',
    at,
    length: 8,
    read: (r) => readDbtime(r.view, r.offset + at),
    getter(this: RecordBytes) {
      return readDbtime(this.view, this.offset + at);
    },
    write: (r, value) => writeDbtime(r.view, r.offset + at, value),
  };
}

export function u64(at: number): LogField<bigint> {
  return {
    kind: 'u64',
    at,
    length: 8,
    read: (r) => r.view.getBigUint64(r.offset + at, true),
    write: (r, value) => r.view.setBigUint64(r.offset + at, value, true),
  };
}

export function i64(at: number): LogField<bigint> {
  return {
    kind: 'number',
    at,
    length: 8,
    read: (r) => r.view.getBigInt64(r.offset + at, true),
    write: (r, value) => r.view.setBigInt64(r.offset + at, value, true),
  };
}

/** The low four bits of a byte. */
export function lowNibble(at: number): LogField<number> {
  return {
    kind: 'number',
    at,
    length: 1,
    read: (r) => r.view.getUint8(r.offset + at) & 0x0f,
    write: (r, value) => {
      const other = r.view.getUint8(r.offset + at) & 0xf0;
      r.view.setUint8(r.offset + at, other | (value & 0x0f));
    },
  };
}

/** The high four bits of a byte. */
export function highNibble(at: number): LogField<number> {
  return {
    kind: 'number',
    at,
    length: 1,
    read: (r) => r.view.getUint8(r.offset + at) >> 4,
    write: (r, value) => {
      const other = r.view.getUint8(r.offset + at) & 0x0f;
      r.view.setUint8(r.offset + at, other | (value << 4));
    },
  };
}

/** The bits of `mask` in the u16 at `at`. */
export function masked16(at: number, mask: number): LogField<number> {
  return {
    kind: 'number',
    at,
    length: 2,
    read: (r) => r.view.getUint16(r.offset + at, true) & mask,
    write: (r, value) => setBits16(r, at, mask, value),
  };
}

/** Whether any bit of `mask` is set in the u16 at `at`. */
export function bit16(at: number, mask: number): LogField<boolean> {
  return {
    kind: 'boolean',
    at,
    length: 2,
    read: (r) => (r.view.getUint16(r.offset + at, true) & mask) !== 0,
    write: (r, value) => setBits16(r, at, mask, value ? mask : 0),
  };
}

function setBits16(r: RecordBytes, at: number, mask: number, value: number): void {
  const other = r.view.getUint16(r.offset + at, true) & ~mask;
  r.view.setUint16(r.offset + at, other | (value & mask), true);
}

export function lgpos(at: number): LogField<Lgpos> {
  return {
    kind: 'lgpos',
    at,
    length: LGPOS_BYTES,
    read: (r) => readLgpos(r.view, r.offset + at),
    write: (r, value) => writeLgpos(r.view, r.offset + at, value),
  };
}

export function logtime(at: number): LogField<Logtime | undefined> {
  return {
    kind: 'logtime',
    at,
    length: LOGTIME_BYTES,
    read: (r) => readLogtime(r.bytes, r.offset + at),
    write: (r, value) => encodeLogtime(r.bytes, r.offset + at, value),
  };
}

export function signature(at: number): LogField<Signature> {
  return {
    kind: 'signature',
    at,
    length: SIGNATURE_BYTES,
    read: (r) => readSignature(r.bytes, r.offset + at),
    write: (r, value) => r.bytes.set(value.bytes, r.offset + at),
  };
}

export function dbmsParam(at: number): LogField<DbmsParam> {
  return {
    kind: 'dbmsParam',
    at,
    length: DBMS_PARAM_BYTES,
    read: (r) => readDbmsParam(r.view, r.offset + at),
    write: (r, value) => writeDbmsParam(r.view, r.offset + at, value),
  };
}

/** `base` plus the u16 values at the given offsets: the usual way in which lengths and offsets add up. */
export function sum(base: number, ...u16Offsets: readonly number[]): Measure {
  return (r) => {
    let total = base;
    for (const at of u16Offsets) total += r.view.getUint16(r.offset + at, true);
    return total;
  };
}

/** The u32 at an offset, as a length. */
export function long(at: number): Measure {
  return (r) => r.view.getUint32(r.offset + at, true);
}

/** Everything from `base` to the end of the record. */
export function rest(base: number): Measure {
  return (r) => r.size - base;
}

/** `count` bytes from `start` on, as a view into the record. */
export function bytes(
  start: Measure,
  count: Measure,
  json: { kind?: 'hex' | 'head' | 'diff'; name?: string } = {},
): BytesField {
  return {
    kind: json.kind ?? 'hex',
    length: 0,
    ...(json.name === undefined ? {} : { jsonName: json.name }),
    start,
    count,
    read: (r) => {
      const from = start(r);
      const to = from + count(r);
      if (to > r.size) throw corrupt(`a field of ${to - from} bytes exceeds its record of ${r.size} bytes`);
      return r.bytes.subarray(r.offset + from, r.offset + to);
    },
    write: (r, value) => r.bytes.set(value, r.offset + start(r)),
  };
}

/**
 * The first of the NUL-terminated strings in a part of the record: UTF-16 if any bit of the mask is set in
 * the byte at `flagsAt`, else 8-bit.
 */
export function text(
  start: Measure,
  count: Measure,
  utf16: { flagsAt: number; mask: number } | boolean,
): LogField<string> {
  return {
    kind: 'text',
    length: 0,
    read: (r) => readStrings(r, start(r), count(r), isUtf16(r, utf16))[0] ?? '',
    write: (r, value) => joinStrings(r.view, r.offset + start(r), [value], isUtf16(r, utf16)),
  };
}

/** {@link text} that is the path of a database; its JSON form is a list, because old records held several. */
export function path(
  start: Measure,
  count: Measure,
  utf16: { flagsAt: number; mask: number } | boolean,
): LogField<string> {
  return { ...text(start, count, utf16), kind: 'path' };
}

/** All of the NUL-terminated strings in a part of the record; see {@link text}. */
export function strings(
  start: Measure,
  count: Measure,
  utf16: { flagsAt: number; mask: number } | boolean,
): LogField<readonly string[]> {
  return {
    kind: 'strings',
    length: 0,
    read: (r) => readStrings(r, start(r), count(r), isUtf16(r, utf16)),
    write: (r, value) => joinStrings(r.view, r.offset + start(r), value, isUtf16(r, utf16)),
  };
}

function isUtf16(r: RecordBytes, utf16: { flagsAt: number; mask: number } | boolean): boolean {
  if (typeof utf16 === 'boolean') return utf16;
  return (r.view.getUint8(r.offset + utf16.flagsAt) & utf16.mask) !== 0;
}

function readStrings(r: RecordBytes, from: number, count: number, utf16: boolean): string[] {
  if (from + count > r.size)
    throw corrupt(`a string of ${count} bytes exceeds its record of ${r.size} bytes`);
  return splitStrings(r.view, r.offset + from, count, utf16);
}

/** The NUL-terminated strings in `count` bytes from `offset` on; the last one may lack its NUL. */
export function splitStrings(view: DataView, offset: number, count: number, utf16: boolean): string[] {
  const found: string[] = [];
  if (!utf16) {
    for (let at = 0; at < count; ) {
      const one = readAnsiString(view, offset + at, count - at);
      found.push(one);
      at += one.length + 1;
    }
    return found;
  }
  let one = '';
  let open = false;
  for (let at = 0; at + 1 < count; at += 2) {
    const unit = view.getUint16(offset + at, true);
    open = unit !== 0;
    if (open) {
      one += String.fromCharCode(unit);
    } else {
      found.push(one);
      one = '';
    }
  }
  if (open) found.push(one);
  return found;
}

/** Bytes that {@link joinStrings} writes. */
export function joinedStringsBytes(strings: readonly string[], utf16: boolean): number {
  return strings.reduce((total, one) => total + one.length + 1, 0) * (utf16 ? 2 : 1);
}

/** Writes strings, each with its NUL, from `offset` on. */
export function joinStrings(
  view: DataView,
  offset: number,
  strings: readonly string[],
  utf16: boolean,
): void {
  let at = offset;
  for (const one of strings) {
    for (let i = 0; i <= one.length; i++) {
      const unit = i < one.length ? one.charCodeAt(i) : 0;
      if (utf16) view.setUint16(at, unit, true);
      else view.setUint8(at, unit);
      at += utf16 ? 2 : 1;
    }
  }
}

/** A list of u32 page numbers. */
export function pgnos(start: number, count: Measure): LogField<readonly number[]> {
  return {
    kind: 'numbers',
    length: 0,
    read: (r) => {
      const n = count(r);
      if (start + 4 * n > r.size) throw corrupt(`a list of ${n} pages exceeds its record of ${r.size} bytes`);
      return Array.from({ length: n }, (_, i) => r.view.getUint32(r.offset + start + 4 * i, true));
    },
    write: (r, value) => {
      value.forEach((pgno, i) => {
        r.view.setUint32(r.offset + start + 4 * i, pgno, true);
      });
    },
  };
}

/** Number of whole u32 values from `base` to the end of the record. */
export function restLongs(base: number): Measure {
  return (r) => Math.floor((r.size - base) / 4);
}

/** The version pair that CreateDB carries if the byte at `flagsAt` says so. */
export function versionPair(
  at: number,
  flagsAt: number,
  mask: number,
): LogField<readonly number[] | undefined> {
  return {
    kind: 'numbers',
    length: 0,
    read: (r) => {
      if ((r.view.getUint8(r.offset + flagsAt) & mask) === 0) return undefined;
      return [r.view.getUint16(r.offset + at, true), r.view.getUint16(r.offset + at + 2, true)];
    },
    write: (r, value) => {
      if (value === undefined) return;
      r.view.setUint16(r.offset + at, value[0] ?? 0, true);
      r.view.setUint16(r.offset + at + 2, value[1] ?? 0, true);
    },
  };
}

/** Entries {u64 dbtimeBefore, u32 pgno, u32 page flags}. */
export function emptiedPages(start: number, count: Measure): LogField<readonly EmptiedPage[]> {
  return {
    kind: 'emptiedPages',
    length: 0,
    read: (r) => {
      const n = Math.floor(count(r) / EMPTIED_PAGE_BYTES);
      return Array.from({ length: n }, (_, i) => {
        const at = r.offset + start + EMPTIED_PAGE_BYTES * i;
        return {
          dbtimeBefore: readDbtime(r.view, at),
          pgno: r.view.getUint32(at + 8, true),
          flags: r.view.getUint32(at + 12, true),
        };
      });
    },
    write: (r, value) => {
      value.forEach(({ dbtimeBefore, pgno, flags }, i) => {
        const at = r.offset + start + EMPTIED_PAGE_BYTES * i;
        writeDbtime(r.view, at, dbtimeBefore);
        r.view.setUint32(at + 8, pgno, true);
        r.view.setUint32(at + 12, flags, true);
      });
    },
  };
}

/** Whether all bytes from `start` to the end of the record are zero. */
export function zeroFill(start: number): LogField<boolean> {
  return {
    kind: 'boolean',
    length: 0,
    read: (r) => {
      for (let i = start; i < r.size; i++) {
        if (r.bytes[r.offset + i] !== 0) return false;
      }
      return true;
    },
    write: () => {},
  };
}
