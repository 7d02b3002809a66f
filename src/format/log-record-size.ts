import { CREATE_DB_FLAG, REPLACE_COUNT_MASK } from './log-record-layout.js';
import { type LogRecordName, LRTYP } from './log-record-type.js';

/**
 * Size of a log record (format specification, chapter 4.5.1): there is no length field. The size is the fixed
 * part of the type, plus the lengths that stand in it: adjacent u16 or u32 values, `[offset, how many]`.
 */
interface Measures {
  readonly fixed: number;
  readonly u16?: readonly [at: number, count: number];
  readonly u32?: readonly [at: number, count: number];
}

const MEASURES: Readonly<Record<LogRecordName, Measures>> = {
  NOP: { fixed: 1 },
  Init: { fixed: 568 },
  Term: { fixed: 18 },
  MS: { fixed: 9 },
  End: { fixed: 1 },
  Begin: { fixed: 4 },
  Commit: { fixed: 4 },
  Rollback: { fixed: 4 },
  Begin0: { fixed: 8 },
  Commit0: { fixed: 8 },
  Refresh: { fixed: 7 },
  MacroBegin: { fixed: 11 },
  MacroCommit: { fixed: 11 },
  MacroAbort: { fixed: 11 },
  CreateDB: { fixed: 43, u16: [40, 1] },
  AttachDB: { fixed: 75, u16: [72, 1] },
  DetachDB: { fixed: 7, u16: [4, 1] },
  RecoveryUndo: { fixed: 1 },
  RecoveryQuit: { fixed: 18 },
  FullBackup: { fixed: 3, u16: [1, 1] },
  IncBackup: { fixed: 3, u16: [1, 1] },
  JetOp: { fixed: 4 },
  Trace: { fixed: 5, u16: [3, 1] },
  ShutDownMark: { fixed: 1 },
  CreateMultipleExtentFDP: { fixed: 56 },
  CreateSingleExtentFDP: { fixed: 48 },
  ConvertFDP: { fixed: 60 },
  Split: { fixed: 102, u16: [96, 3] },
  Merge: { fixed: 88, u16: [86, 1] },
  Insert: { fixed: 50, u16: [44, 3] },
  FlagInsert: { fixed: 48, u16: [44, 2] },
  FlagInsertAndReplaceData: { fixed: 52, u16: [44, 2] },
  FlagDelete: { fixed: 44 },
  Replace: { fixed: 50, u16: [44, 1] },
  ReplaceD: { fixed: 50, u16: [44, 1] },
  Delete: { fixed: 44 },
  UndoInfo: { fixed: 56, u16: [44, 2] },
  Delta: { fixed: 54, u16: [44, 2] },
  SetExternalHeader: { fixed: 46, u16: [44, 1] },
  Undo: { fixed: 51, u16: [44, 2] },
  Checksum: { fixed: 22 },
  ExtRestore: { fixed: 3, u16: [1, 1] },
  Backup: { fixed: 5, u16: [3, 1] },
  EmptyTree: { fixed: 46, u16: [44, 1] },
  Init2: { fixed: 576 },
  Term2: { fixed: 26 },
  RecoveryUndo2: { fixed: 9 },
  RecoveryQuit2: { fixed: 26 },
  BeginDT: { fixed: 8 },
  PrepCommit: { fixed: 7, u32: [3, 1] },
  PrepRollback: { fixed: 3 },
  ForceWriteLog: { fixed: 3 },
  ConvertFDP2: { fixed: 68 },
  ExtRestore2: { fixed: 3, u16: [1, 1] },
  Backup2: { fixed: 35, u16: [33, 1] },
  ForceLogRollover: { fixed: 5, u16: [3, 1] },
  Split2: { fixed: 110, u16: [96, 3], u32: [106, 1] },
  Merge2: { fixed: 96, u16: [86, 1], u32: [92, 1] },
  Scrub: { fixed: 54, u16: [52, 1] },
  PageMove: { fixed: 96, u32: [88, 2] },
  PagePatchRequest: { fixed: 46 },
  MacroInfo: { fixed: 5, u32: [1, 1] },
  ExtendDB: { fixed: 5, u32: [1, 1] },
  CommitCtx: { fixed: 5, u32: [1, 1] },
  ScanCheck: { fixed: 5, u32: [1, 1] },
  NOP2: { fixed: 5, u32: [1, 1] },
  ReAttach: { fixed: 5, u32: [1, 1] },
  MacroInfo2: { fixed: 5, u32: [1, 1] },
  FreeFDP: { fixed: 5, u32: [1, 1] },
  Ignored9: { fixed: 5, u32: [1, 1] },
  FragmentBegin: { fixed: 7 },
  Fragment: { fixed: 3 },
  ShrinkDB: { fixed: 10 },
  CreateDBFinish: { fixed: 4 },
  RecoveryQuitKeepAttachments: { fixed: 26 },
  TrimDB: { fixed: 10 },
  Ignored10: { fixed: 5, u32: [1, 1] },
  Ignored11: { fixed: 5, u32: [1, 1] },
  Ignored12: { fixed: 5, u32: [1, 1] },
  Ignored13: { fixed: 5, u32: [1, 1] },
  Ignored14: { fixed: 5, u32: [1, 1] },
  Ignored15: { fixed: 5, u32: [1, 1] },
  Ignored16: { fixed: 5, u32: [1, 1] },
  Ignored17: { fixed: 5, u32: [1, 1] },
  Ignored18: { fixed: 5, u32: [1, 1] },
  Ignored19: { fixed: 5, u32: [1, 1] },
  SetDbVersion: { fixed: 14 },
  Delta64: { fixed: 58, u16: [44, 2] },
  ShrinkDB2: { fixed: 10 },
  NewPage: { fixed: 20 },
  RootPageMove: { fixed: 16 },
  SignalAttachDb: { fixed: 2 },
  ScanCheck2: { fixed: 27 },
  ShrinkDB3: { fixed: 18 },
  ExtentFreed: { fixed: 11 },
  ExtentFreed2: { fixed: 19 },
};

/** Lengths that the table cannot express: see `exceptionalBytes`. */
const EXCEPTIONS: readonly number[] = [LRTYP.CreateDB, LRTYP.Replace, LRTYP.ReplaceD, LRTYP.UndoInfo];

const TYPES = 256;
const FIXED = new Uint16Array(TYPES);
const U16_AT = new Uint8Array(TYPES);
const U16_COUNT = new Uint8Array(TYPES);
const U32_AT = new Uint8Array(TYPES);
const U32_COUNT = new Uint8Array(TYPES);
const IS_EXCEPTION = new Uint8Array(TYPES);
for (const name of Object.keys(MEASURES) as LogRecordName[]) {
  const { fixed, u16 = [0, 0], u32 = [0, 0] } = MEASURES[name];
  const lrtyp = LRTYP[name];
  FIXED[lrtyp] = fixed;
  [U16_AT[lrtyp], U16_COUNT[lrtyp]] = u16;
  [U32_AT[lrtyp], U32_COUNT[lrtyp]] = u32;
}
for (const lrtyp of EXCEPTIONS) IS_EXCEPTION[lrtyp] = 1;

/** Bytes of the fixed part of a record type; 0 if the type does not exist or was removed. */
export function logRecordFixedSize(lrtyp: number): number {
  return FIXED[lrtyp] ?? 0;
}

/** What the size of a record type follows from. */
export interface LogRecordSizeRule {
  /** Bytes of the fixed part; 0 if the type does not exist. */
  readonly fixed: number;
  /** Offset and number of lengths of 2 bytes, and of 4 bytes. */
  readonly u16: readonly [at: number, count: number];
  readonly u32: readonly [at: number, count: number];
  /** What comes to it: `replace` and `undoInfo` as {@link logRecordSize} has it, `other` is known there only. */
  readonly exception: 'none' | 'replace' | 'undoInfo' | 'other';
}

/** The rule for a type, for who states it to a machine of its own. */
export function logRecordSizeRule(lrtyp: number): LogRecordSizeRule {
  const isReplace = lrtyp === LRTYP.Replace || lrtyp === LRTYP.ReplaceD;
  return {
    fixed: FIXED[lrtyp] ?? 0,
    u16: [U16_AT[lrtyp] ?? 0, U16_COUNT[lrtyp] ?? 0],
    u32: [U32_AT[lrtyp] ?? 0, U32_COUNT[lrtyp] ?? 0],
    exception:
      IS_EXCEPTION[lrtyp] !== 1
        ? 'none'
        : isReplace
          ? 'replace'
          : lrtyp === LRTYP.UndoInfo
            ? 'undoInfo'
            : 'other',
  };
}

/**
 * Size in bytes of the record at `offset`, or 0 if its type does not exist or its fixed part does not end
 * by `end`. The result may exceed what lies before `end`: the caller compares.
 */
export function logRecordSize(view: DataView, offset: number, end: number): number {
  if (offset >= end) return 0;
  const lrtyp = view.getUint8(offset);
  const fixed = FIXED[lrtyp] ?? 0;
  if (fixed === 0 || offset + fixed > end) return 0;
  let size = fixed;
  const u16s = U16_COUNT[lrtyp] ?? 0;
  let at = offset + (U16_AT[lrtyp] ?? 0);
  for (let i = 0; i < u16s; i++, at += 2) size += view.getUint16(at, true);
  const u32s = U32_COUNT[lrtyp] ?? 0;
  at = offset + (U32_AT[lrtyp] ?? 0);
  for (let i = 0; i < u32s; i++, at += 4) size += view.getUint32(at, true);
  return IS_EXCEPTION[lrtyp] === 1 ? size + exceptionalBytes(view, offset, lrtyp) : size;
}

/** What the table misses: a version pair, a third length apart from the others, a flag in a length. */
function exceptionalBytes(view: DataView, offset: number, lrtyp: number): number {
  switch (lrtyp) {
    case LRTYP.CreateDB:
      return (view.getUint8(offset + 42) & CREATE_DB_FLAG.versionInfo) === 0 ? 0 : 4;
    case LRTYP.UndoInfo:
      return view.getUint16(offset + 54, true);
    default:
      // Not by a minus alone: -0 would make a double of the sum, and of every position that is computed from it.
      return 0 - (view.getUint16(offset + 44, true) & ~REPLACE_COUNT_MASK);
  }
}
