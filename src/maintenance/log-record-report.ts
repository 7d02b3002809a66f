/**
 * A log record as JSON: the form of `esekit records LOG`, and of the records in a verbose dump. Field names are
 * those of the layouts in `format/log-record-layout.ts`; bytes are hexadecimal; page images show their first
 * 16 bytes.
 */
import type { Lgpos } from '../format/ese-error.js';
import type { LogRecord, LogRecordOf } from '../format/log-record.js';
import type { EmptiedPage, LogField } from '../format/log-record-field.js';
import { LOG_RECORD_LAYOUTS } from '../format/log-record-layout.js';
import type { Logtime } from '../format/logtime.js';
import { readReplaceDiff } from '../format/replace-diff.js';
import type { Signature } from '../format/signature.js';
import { lgposReport, signatureReport, timeReport } from './report-values.js';

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
  return JSON.parse(logRecordLine(record, lgpos, fragments)) as LogRecordReport;
}

/** The fields of a record type, each with the text in front of its value. */
type FieldLabels = readonly (readonly [label: string, field: LogField<unknown>])[];

const labelsByType: FieldLabels[] = [];

function fieldLabels(record: LogRecord): FieldLabels {
  const known = labelsByType[record.lrtyp];
  if (known !== undefined) return known;
  const layout: Record<string, LogField<unknown>> = LOG_RECORD_LAYOUTS[record.name];
  const labels = Object.entries(layout).map(
    ([name, field]) => [`, "${field.jsonName ?? name}": `, field] as const,
  );
  labelsByType[record.lrtyp] = labels;
  return labels;
}

/**
 * The JSON form of a record as one line of ASCII text without its line feed, all integers exact.
 *
 * Parameters and errors are those of {@link logRecordReport}.
 */
export function logRecordLine(record: LogRecord, lgpos: Lgpos, fragments: number): string {
  let line = `{"lgpos": "${lgposReport(lgpos)}", "lrtyp": "${record.name}", "size": ${record.size}`;
  if (fragments > 1) line += `, "fragments": ${fragments}`;
  for (const [label, field] of fieldLabels(record)) {
    const value = fieldText(record, field);
    if (value !== undefined) line += label + value;
  }
  return `${line}}`;
}

/** The value of a field as JSON; undefined if the record has none. */
function fieldText(record: LogRecord, field: LogField<unknown>): string | undefined {
  if (field.kind === 'u64') return unsignedText(record.view, record.offset + (field.at ?? 0));
  const value = field.read(record);
  if (value === undefined) return field.kind === 'logtime' ? 'null' : undefined;
  switch (field.kind) {
    case 'lgpos':
      return quoted(lgposReport(value as Lgpos));
    case 'logtime':
      return jsonText(timeReport(value as Logtime));
    case 'signature':
      return jsonText(signatureReport(value as Signature));
    case 'hex':
      return quoted(hex(value as Uint8Array));
    case 'head': {
      const bytes = value as Uint8Array;
      return bytes.length === 0 ? undefined : quoted(hex(bytes.subarray(0, HEAD_BYTES)));
    }
    case 'path':
      return jsonText([value]);
    case 'diff':
      return jsonText(
        readReplaceDiff(record as LogRecordOf<'ReplaceD'>).map(({ ib, cbOld, data }) => ({
          ib,
          cbOld,
          cbNew: data.length,
          data: hex(data),
        })),
      );
    case 'emptiedPages':
      return jsonText(
        (value as readonly EmptiedPage[]).map((page) => ({
          ...page,
          dbtimeBefore: BigInt.asUintN(64, BigInt(page.dbtimeBefore)),
        })),
      );
    default:
      return jsonText(value);
  }
}

/** The u64 at `offset` in decimal digits. */
function unsignedText(view: DataView, offset: number): string {
  const number = view.getUint32(offset + 4, true) * 2 ** 32 + view.getUint32(offset, true);
  return Number.isSafeInteger(number) ? String(number) : view.getBigUint64(offset, true).toString();
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}

function quoted(text: string): string {
  return `"${text}"`;
}

/** JSON of the values that fields hold, integers of any size among them. */
function jsonText(value: unknown): string {
  if (typeof value === 'number' || typeof value === 'bigint') return value.toString();
  if (Array.isArray(value)) return `[${value.map(jsonText).join(', ')}]`;
  if (value === null || typeof value !== 'object') return asciiJson(value);
  const members = Object.entries(value).map(([name, one]) => `${asciiJson(name)}: ${jsonText(one)}`);
  return `{${members.join(', ')}}`;
}

const NOT_ASCII = /[\u007f-\uffff]/g;

/** JSON of a scalar in ASCII, so that a line means the same in every encoding. */
function asciiJson(value: unknown): string {
  return JSON.stringify(value).replace(
    NOT_ASCII,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
