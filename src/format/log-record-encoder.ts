/**
 * Encodes log records by the layouts that the decoder reads them with (format specification, chapter 4.6).
 *
 * Records are placed one behind the other in a buffer that is used again after `clear`, so that encoding
 * leaves no garbage but one small view a record. Lengths inside a record follow from its other fields.
 */
import { EseError } from './ese-error.js';
import { type LogRecordOf, logRecordView } from './log-record.js';
import {
  EMPTIED_PAGE_BYTES,
  type FieldsOf,
  joinedStringsBytes,
  type LogField,
  type RecordBytes,
} from './log-record-field.js';
import { ATTACH_DB_FLAG, CREATE_DB_FLAG, DETACH_DB_FLAG, LOG_RECORD_LAYOUTS } from './log-record-layout.js';
import { logRecordFixedSize, logRecordSize } from './log-record-size.js';
import { type LogRecordName, LRTYP } from './log-record-type.js';

type Layouts = typeof LOG_RECORD_LAYOUTS;

type Lengths = {
  readonly [N in LogRecordName]?: {
    readonly [F in keyof Layouts[N]]?: (fields: FieldsOf<Layouts[N]>) => number;
  };
};

/** Bytes of the fixed fields that follow the count in records which older readers skip (chapter 4.6). */
const EXTEND_DB_BYTES = 5;
const SCAN_CHECK_BYTES = 39;
const REATTACH_BYTES = 45;
const FREE_FDP_BYTES = 10;

const dataLength = (fields: { readonly data: Uint8Array }): number => fields.data.length;
const ansiPathBytes = (fields: { readonly path: string }): number => joinedStringsBytes([fields.path], false);
const pathBytes = (utf16: number) => (fields: { readonly path: string; readonly flags: number }) =>
  joinedStringsBytes([fields.path], (fields.flags & utf16) !== 0);
const traceBytes = (fields: { readonly text: string }): number => joinedStringsBytes([fields.text], false);

const IGNORED = { cb: dataLength };

interface Bookmark {
  readonly bookmarkKey: Uint8Array;
  readonly bookmarkData: Uint8Array;
}
const BOOKMARK = {
  cbBookmarkKey: (fields: Bookmark) => fields.bookmarkKey.length,
  cbBookmarkData: (fields: Bookmark) => fields.bookmarkData.length,
};

interface SplitKeys {
  readonly keyParent: Uint8Array;
  readonly prefixSplitOld: Uint8Array;
  readonly prefixSplitNew: Uint8Array;
}
const SPLIT = {
  cbPrefixSplitOld: (fields: SplitKeys) => fields.prefixSplitOld.length,
  cbPrefixSplitNew: (fields: SplitKeys) => fields.prefixSplitNew.length,
  cbKeyParent: (fields: SplitKeys) => fields.keyParent.length,
};

const MERGE = {
  cbKeyParentSep: (fields: { readonly keyParentSep: Uint8Array }) => fields.keyParentSep.length,
};

const PREIMAGE = { cbPreimage: (fields: { readonly preimage: Uint8Array }) => fields.preimage.length };

const KEY_AND_DATA = {
  cbKey: (fields: { readonly key: Uint8Array }) => fields.key.length,
  cbData: dataLength,
};

/** Fields that follow from others; a record is encoded without them, or with a value of its own. */
const LENGTHS = {
  CreateDB: { cbPath: pathBytes(CREATE_DB_FLAG.utf16) },
  AttachDB: { cbPath: pathBytes(ATTACH_DB_FLAG.utf16) },
  DetachDB: { cbPath: pathBytes(DETACH_DB_FLAG.utf16) },
  FullBackup: { cbPath: ansiPathBytes },
  IncBackup: { cbPath: ansiPathBytes },
  Backup: { cbPath: ansiPathBytes },
  Backup2: { cbPath: (fields) => (fields.path === '' ? 0 : ansiPathBytes(fields)) },
  Trace: { cb: traceBytes },
  ForceLogRollover: { cb: traceBytes },
  ExtRestore: { cbInfo: (fields) => joinedStringsBytes(fields.info, false) },
  ExtRestore2: { cbInfo: (fields) => joinedStringsBytes(fields.info, true) },
  Split: SPLIT,
  Merge: MERGE,
  Insert: { cbSuffix: (fields) => fields.key.length - fields.cbPrefix, cbData: dataLength },
  FlagInsert: KEY_AND_DATA,
  FlagInsertAndReplaceData: KEY_AND_DATA,
  Replace: { cb: dataLength, cbNewData: dataLength },
  ReplaceD: { cb: (fields) => fields.diff.length },
  UndoInfo: { ...BOOKMARK, cbData: dataLength },
  Delta: BOOKMARK,
  SetExternalHeader: { cbData: dataLength },
  Undo: BOOKMARK,
  EmptyTree: { cbEmptyPageList: (fields) => fields.pages.length * EMPTIED_PAGE_BYTES },
  PrepCommit: { cbData: dataLength },
  Split2: { ...SPLIT, ...PREIMAGE },
  Merge2: { ...MERGE, ...PREIMAGE },
  Scrub: { cscrubOper: (fields) => fields.opers.length, cbData: (fields) => fields.opers.length },
  PageMove: {
    cbPageHeader: (fields) => fields.pageHeader.length,
    cbPageTrailer: (fields) => fields.pageTrailer.length,
  },
  MacroInfo: { cb: (fields) => 4 * fields.pgnos.length },
  ExtendDB: { cb: () => EXTEND_DB_BYTES },
  CommitCtx: { cb: (fields) => 2 + fields.payload.length },
  ScanCheck: { cb: () => SCAN_CHECK_BYTES },
  ReAttach: { cb: () => REATTACH_BYTES },
  MacroInfo2: { cb: (fields) => 5 + 4 * fields.pgnos.length, count: (fields) => fields.pgnos.length },
  FreeFDP: { cb: () => FREE_FDP_BYTES },
  Ignored9: IGNORED,
  Ignored10: IGNORED,
  Ignored11: IGNORED,
  Ignored12: IGNORED,
  Ignored13: IGNORED,
  Ignored14: IGNORED,
  Ignored15: IGNORED,
  Ignored16: IGNORED,
  Ignored17: IGNORED,
  Ignored18: IGNORED,
  Ignored19: IGNORED,
  Delta64: BOOKMARK,
} satisfies Lengths;

type LengthsOf<N> = N extends keyof typeof LENGTHS ? keyof (typeof LENGTHS)[N] : never;

/** What a record of the type `N` is encoded from: its fields, of which the lengths may be left out. */
export type LogRecordFields<N extends LogRecordName> = Omit<FieldsOf<Layouts[N]>, LengthsOf<N>> & {
  readonly [F in LengthsOf<N> & keyof Layouts[N]]?: FieldsOf<Layouts[N]>[F];
};

interface EncodedField {
  readonly name: string;
  readonly field: LogField<unknown>;
  readonly length: ((fields: never) => number) | undefined;
  /** Number of values that a length can have. */
  readonly limit: number;
  readonly at: number;
  /** Bytes of a plain number; 0 for all other fields. */
  readonly plainBytes: number;
}

/** Fields by record type: those at fixed offsets, which lengths are among, and the variable ones. */
const FIXED_FIELDS: EncodedField[][] = [];
const VARIABLE_FIELDS: EncodedField[][] = [];
for (const name of Object.keys(LOG_RECORD_LAYOUTS) as LogRecordName[]) {
  const lengths: Readonly<Record<string, (fields: never) => number>> = (LENGTHS as Lengths)[name] ?? {};
  const fields = Object.entries(LOG_RECORD_LAYOUTS[name]).map(([fieldName, field]) => ({
    name: fieldName,
    field,
    length: lengths[fieldName],
    limit: 256 ** field.length,
    at: field.at ?? 0,
    plainBytes: field.isPlain === true ? field.length : 0,
  }));
  FIXED_FIELDS[LRTYP[name]] = fields.filter(({ field }) => field.at !== undefined);
  VARIABLE_FIELDS[LRTYP[name]] = fields.filter(({ field }) => field.at === undefined);
}

/** Encodes records into memory of its own. */
export interface LogRecordEncoder {
  /**
   * Encodes a record behind those encoded since the last `clear` and returns it as the decoder would.
   * It stays valid until `clear`.
   *
   * @throws EseError JET_errLogBufferTooSmall if a part is longer than its length can say
   */
  encode<N extends LogRecordName>(name: N, fields: LogRecordFields<N>): LogRecordOf<N>;
  /** Takes the memory of all records back. */
  clear(): void;
}

const CAPACITY = 65536;

/** Makes an encoder. */
export function createLogRecordEncoder(): LogRecordEncoder {
  let bytes = new Uint8Array(CAPACITY);
  let view = new DataView(bytes.buffer);
  /** End of the records so far. What lies behind it is zero. */
  let end = 0;
  const target = { bytes, view, offset: 0, size: 0 };

  /** Makes room for a record of `size` bytes in new memory; the records so far keep theirs. */
  function renew(size: number): void {
    bytes = new Uint8Array(Math.max(2 * bytes.length, 2 * size));
    view = new DataView(bytes.buffer);
    end = 0;
    target.bytes = bytes;
    target.view = view;
  }

  function encode<N extends LogRecordName>(name: N, fields: LogRecordFields<N>): LogRecordOf<N> {
    const lrtyp = LRTYP[name];
    const values = fields as Readonly<Record<string, unknown>>;
    try {
      target.size = encodeFixed(lrtyp, values);
      if (end + target.size > bytes.length) {
        renew(target.size);
        encodeFixed(lrtyp, values);
      }
      encodeFields(VARIABLE_FIELDS[lrtyp] ?? [], target, values);
    } catch (error) {
      bytes.fill(0, end);
      throw error;
    }
    const { offset, size } = target;
    end += size;
    return logRecordView(bytes, view, offset, size) as unknown as LogRecordOf<N>;
  }

  /** Returns the size of the record. */
  function encodeFixed(lrtyp: number, values: Readonly<Record<string, unknown>>): number {
    // The fixed part of a record that older readers skip is its count; its fields lie behind.
    if (end + logRecordFixedSize(lrtyp) + SCAN_CHECK_BYTES + REATTACH_BYTES > bytes.length) renew(CAPACITY);
    bytes[end] = lrtyp;
    target.offset = end;
    encodeFields(FIXED_FIELDS[lrtyp] ?? [], target, values);
    return logRecordSize(view, end, bytes.length);
  }

  return {
    encode,
    clear: () => {
      if (end === 0) return;
      bytes.fill(0, 0, end);
      end = 0;
    },
  };
}

function encodeFields(
  fields: readonly EncodedField[],
  target: RecordBytes,
  values: Readonly<Record<string, unknown>>,
): void {
  const { view, offset } = target;
  for (let i = 0; i < fields.length; i++) {
    const encoded = fields[i];
    if (encoded === undefined) break;
    const { name, length, at } = encoded;
    let value = values[name];
    if (value === undefined && length !== undefined) {
      const computed = length(values as never);
      if (computed < 0 || computed >= encoded.limit) {
        throw new EseError('JET_errLogBufferTooSmall', `${name} of a log record would be ${computed}`);
      }
      value = computed;
    }
    switch (encoded.plainBytes) {
      case 1:
        view.setUint8(offset + at, value as number);
        break;
      case 2:
        view.setUint16(offset + at, value as number, true);
        break;
      case 4:
        view.setUint32(offset + at, value as number, true);
        break;
      default:
        encoded.field.write(target, value);
    }
  }
}
