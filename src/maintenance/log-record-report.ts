/**
 * A log record as JSON: the form of `esekit records LOG`, and of the records in a verbose dump. Field names are
 * those of the layouts in `format/log-record-layout.ts`; bytes are hexadecimal; page images show their first
 * 16 bytes.
 */
import type { DbmsParam } from '../format/dbms-param.js';
import type { Lgpos } from '../format/ese-error.js';
import type { LogRecord, LogRecordOf } from '../format/log-record.js';
import type { EmptiedPage, LogField } from '../format/log-record-field.js';
import { LOG_RECORD_LAYOUTS } from '../format/log-record-layout.js';
import type { Logtime } from '../format/logtime.js';
import { readReplaceDiff } from '../format/replace-diff.js';
import type { Signature } from '../format/signature.js';
import { lgposReport, signatureReport, timeReport } from './report-values.js';

/** A value that JSON can hold, and 64-bit integers beyond the exact numbers of JavaScript. */
type ExactValue =
  | null
  | boolean
  | number
  | bigint
  | string
  | readonly ExactValue[]
  | { readonly [name: string]: ExactValue };

/** A value that `JSON.stringify` takes. */
export type JsonValue =
  | null
  | boolean
  | number
  | string
  | readonly JsonValue[]
  | { readonly [name: string]: JsonValue };

/** One record: its place, type and size, then its fields by name. */
export interface LogRecordReport {
  readonly lgpos: string;
  readonly lrtyp: string;
  readonly size: number;
  /** Pieces that the record was cut into, if it was. */
  readonly fragments?: number;
  readonly [field: string]: JsonValue | undefined;
}

/** Bytes of a page image that are shown. */
const HEAD_BYTES = 16;

/**
 * The JSON form of a record. Integers beyond 2^53, such as the stamp "nil", come out as the nearest number that
 * JavaScript has: `logRecordLine` prints them exactly.
 *
 * @param fragments pieces that the record was cut into; 1 if it was not
 * @throws EseError JET_errLogFileCorrupt or JET_errLogCorrupted if a variable field does not fit the record
 */
export function logRecordReport(record: LogRecord, lgpos: Lgpos, fragments: number): LogRecordReport {
  return toNumbers(exactReport(record, lgpos, fragments)) as LogRecordReport;
}

/** The JSON form of a record as one line of text without its line feed, all integers exact. */
export function logRecordLine(record: LogRecord, lgpos: Lgpos, fragments: number): string {
  return toText(exactReport(record, lgpos, fragments));
}

function exactReport(record: LogRecord, lgpos: Lgpos, fragments: number): Record<string, ExactValue> {
  const report: Record<string, ExactValue> = {
    lgpos: lgposReport(lgpos),
    lrtyp: record.name,
    size: record.size,
  };
  if (fragments > 1) report.fragments = fragments;
  const layout: Record<string, LogField<unknown>> = LOG_RECORD_LAYOUTS[record.name];
  for (const [name, field] of Object.entries(layout)) {
    const value = fieldValue(record, field);
    if (value !== undefined) report[field.jsonName ?? name] = value;
  }
  return report;
}

function fieldValue(record: LogRecord, field: LogField<unknown>): ExactValue | undefined {
  if (field.kind === 'u64') return record.view.getBigUint64(record.offset + (field.at ?? 0), true);
  const value = field.read(record);
  switch (field.kind) {
    case 'lgpos':
      return lgposReport(value as Lgpos);
    case 'logtime':
      return timeReport(value as Logtime | undefined);
    case 'signature':
      return { ...signatureReport(value as Signature) };
    case 'dbmsParam':
      return { ...(value as DbmsParam) };
    case 'hex':
      return hex(value as Uint8Array);
    case 'head': {
      const bytes = value as Uint8Array;
      return bytes.length === 0 ? undefined : hex(bytes.subarray(0, HEAD_BYTES));
    }
    case 'path':
      return [value as string];
    case 'diff':
      return readReplaceDiff(record as LogRecordOf<'ReplaceD'>).map(({ ib, cbOld, data }) => ({
        ib,
        cbOld,
        cbNew: data.length,
        data: hex(data),
      }));
    case 'emptiedPages':
      return (value as readonly EmptiedPage[]).map((page) => ({
        ...page,
        dbtimeBefore: BigInt.asUintN(64, BigInt(page.dbtimeBefore)),
      }));
    default:
      return value as ExactValue | undefined;
  }
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}

function toNumbers(value: ExactValue): JsonValue {
  if (typeof value === 'bigint') return Number(value);
  if (value === null || typeof value !== 'object') return value;
  if (isList(value)) return value.map(toNumbers);
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, toNumbers(one)]));
}

function isList(value: ExactValue): value is readonly ExactValue[] {
  return Array.isArray(value);
}

function toText(value: ExactValue): string {
  if (typeof value === 'bigint') return value.toString();
  if (value === null || typeof value !== 'object') return asciiJson(value);
  if (isList(value)) return `[${value.map(toText).join(', ')}]`;
  const members = Object.entries(value).map(([name, one]) => `${asciiJson(name)}: ${toText(one)}`);
  return `{${members.join(', ')}}`;
}

/** JSON of a scalar in ASCII, so that a line means the same in every encoding. */
function asciiJson(value: null | boolean | number | string): string {
  return JSON.stringify(value).replace(
    /[\u007f-\uffff]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
