/**
 * One decoded log record: a typed view over its bytes (format specification, chapter 4.5-4.6). Nothing is
 * copied and no field is read before it is asked for, so a view is as cheap as the fields that are used.
 */
import { EseError } from './ese-error.js';
import type { BytesField, FieldsOf, LogField, RecordBytes } from './log-record-field.js';
import { LOG_RECORD_LAYOUTS } from './log-record-layout.js';
import { logRecordSize } from './log-record-size.js';
import { type LogRecordName, LRTYP, LRTYP_COUNT, logRecordName } from './log-record-type.js';

type Layouts = typeof LOG_RECORD_LAYOUTS;
type BytesFieldName<L> = { [K in keyof L]: L[K] extends BytesField ? K : never }[keyof L] & string;

/**
 * The view of a record of the type `N`: its layout's fields, and for every field of bytes `<field>At`, the
 * offset of these bytes in `bytes`.
 *
 * The view stays valid only as long as the memory under it is not reused: a reader's window moves on. Keep
 * a record longer with {@link copyLogRecord}. Reading a field of variable length throws an `EseError`
 * (JET_errLogFileCorrupt) if it exceeds the record.
 */
export type LogRecordOf<N extends LogRecordName> = RecordBytes & {
  readonly lrtyp: (typeof LRTYP)[N];
  readonly name: N;
} & FieldsOf<Layouts[N]> & {
    readonly [K in BytesFieldName<Layouts[N]> as `${K}At`]: number;
  };

/** Any log record: a union told apart by `lrtyp` (or by `name`). */
export type LogRecord = { [N in LogRecordName]: LogRecordOf<N> }[LogRecordName];

interface RecordViewType {
  new (bytes: Uint8Array, view: DataView, offset: number, size: number): RecordBytes;
}

/** View type and least size by record type, made when the first record of the type is met. */
const viewTypes = new Array<RecordViewType | undefined>(LRTYP_COUNT).fill(undefined);
const leastSizes = new Uint16Array(LRTYP_COUNT);

function prepareType(lrtyp: number): RecordViewType {
  const name = logRecordName(lrtyp);
  if (name === undefined) {
    throw new EseError('JET_errLogFileCorrupt', `log record type ${lrtyp} does not exist`);
  }
  const View = defineView(name);
  viewTypes[lrtyp] = View;
  leastSizes[lrtyp] = leastSize(name);
  return View;
}

function layoutFields(name: LogRecordName): [string, LogField<unknown>][] {
  return Object.entries(LOG_RECORD_LAYOUTS[name]);
}

function defineView(name: LogRecordName): RecordViewType {
  // Views are made by the million. A class of its own for every type, without a common base and with fields
  // that are only assigned, is seven times as fast to make as one that inherits or defines its fields.
  const View = class implements RecordBytes {
    declare readonly bytes: Uint8Array;
    declare readonly view: DataView;
    declare readonly offset: number;
    declare readonly size: number;

    constructor(bytes: Uint8Array, view: DataView, offset: number, size: number) {
      this.bytes = bytes;
      this.view = view;
      this.offset = offset;
      this.size = size;
    }
  };
  const lrtyp = LRTYP[name];
  const properties: PropertyDescriptorMap = { lrtyp: { value: lrtyp }, name: { value: name } };
  for (const [fieldName, field] of layoutFields(name)) {
    const { read, getter } = field;
    properties[fieldName] = {
      get:
        getter ??
        function (this: RecordBytes) {
          return read(this);
        },
    };
    if ('start' in field) {
      const { start } = field as BytesField;
      properties[`${fieldName}At`] = {
        get(this: RecordBytes) {
          return this.offset + start(this);
        },
      };
    }
  }
  Object.defineProperties(View.prototype, properties);
  return View;
}

/** End of the last field at a fixed offset: more than the fixed part where an IGNORED record has fields. */
function leastSize(name: LogRecordName): number {
  let end = 1;
  for (const [, { at, length }] of layoutFields(name)) {
    if (at !== undefined) end = Math.max(end, at + length);
  }
  return end;
}

/**
 * The record of `size` bytes at `offset`, where a cursor or {@link decodeLogRecord} found it to be.
 *
 * @throws EseError JET_errLogFileCorrupt if the type does not exist or the record is too short for it.
 */
export function logRecordView(bytes: Uint8Array, view: DataView, offset: number, size: number): LogRecord {
  const lrtyp = bytes[offset] ?? 0;
  const View = viewTypes[lrtyp] ?? prepareType(lrtyp);
  if (size < (leastSizes[lrtyp] ?? 0)) {
    throw new EseError(
      'JET_errLogFileCorrupt',
      `a ${logRecordName(lrtyp)} record of ${size} bytes is too short for its fields`,
    );
  }
  return new View(bytes, view, offset, size) as unknown as LogRecord;
}

/**
 * Decodes the record at `offset`, its size included.
 *
 * @throws EseError JET_errLogFileCorrupt if the type does not exist or the record does not end by `end`.
 */
export function decodeLogRecord(bytes: Uint8Array, offset = 0, end = bytes.length): LogRecord {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const size = logRecordSize(view, offset, end);
  if (size === 0 || offset + size > end) {
    throw new EseError('JET_errLogFileCorrupt', `no whole log record lies at byte ${offset}`);
  }
  return logRecordView(bytes, view, offset, size);
}

/** The same record over memory of its own. */
export function copyLogRecord<R extends LogRecord>(record: R): R {
  const own = record.bytes.slice(record.offset, record.offset + record.size);
  return logRecordView(own, new DataView(own.buffer), 0, record.size) as R;
}

/** A format version, as log headers carry it: `8.4000.updateMajor.updateMinor`. */
export interface LogUpdateVersion {
  readonly updateMajor: number;
  readonly updateMinor: number;
}

/** What a CommitCtx record carries. */
export interface CommitContext {
  /** 0x1 redo callback wanted, 0x2 contains customer data, 0x4 pre-commit callback; 0 in old logs. */
  readonly flags: number;
  readonly context: Uint8Array;
}

/** Takes a CommitCtx record apart by the rules of its log's version (chapter 4.6.1). */
export function commitContext(record: LogRecordOf<'CommitCtx'>, version: LogUpdateVersion): CommitContext {
  const { updateMajor, updateMinor } = version;
  const hasFlags =
    updateMajor > 5 || (updateMajor === 5 && updateMinor >= 2) || (updateMajor === 4 && updateMinor >= 8);
  const payload = record.payload;
  if (!hasFlags) return { flags: 0, context: payload };
  const flags = payload[0];
  if (flags === undefined) throw new EseError('JET_errLogFileCorrupt', 'a CommitCtx record has no flags');
  return { flags, context: payload.subarray(1) };
}
