/**
 * The log record types (format specification, chapter 4.5.1): the first byte of every record.
 *
 * The removed types 40, 41, 43, 44, 47 and 56 have no known size and are not listed: a log that holds one
 * cannot be read past it, and is treated as damaged there.
 */
export const LRTYP = {
  NOP: 0,
  Init: 1,
  Term: 2,
  MS: 3,
  End: 4,
  Begin: 5,
  Commit: 6,
  Rollback: 7,
  Begin0: 8,
  Commit0: 9,
  Refresh: 10,
  MacroBegin: 11,
  MacroCommit: 12,
  MacroAbort: 13,
  CreateDB: 14,
  AttachDB: 15,
  DetachDB: 16,
  RecoveryUndo: 17,
  RecoveryQuit: 18,
  FullBackup: 19,
  IncBackup: 20,
  JetOp: 21,
  Trace: 22,
  ShutDownMark: 23,
  CreateMultipleExtentFDP: 24,
  CreateSingleExtentFDP: 25,
  ConvertFDP: 26,
  Split: 27,
  Merge: 28,
  Insert: 29,
  FlagInsert: 30,
  FlagInsertAndReplaceData: 31,
  FlagDelete: 32,
  Replace: 33,
  ReplaceD: 34,
  Delete: 35,
  UndoInfo: 36,
  Delta: 37,
  SetExternalHeader: 38,
  Undo: 39,
  Checksum: 42,
  ExtRestore: 45,
  Backup: 46,
  EmptyTree: 48,
  Init2: 49,
  Term2: 50,
  RecoveryUndo2: 51,
  RecoveryQuit2: 52,
  BeginDT: 53,
  PrepCommit: 54,
  PrepRollback: 55,
  ForceWriteLog: 57,
  ConvertFDP2: 58,
  ExtRestore2: 59,
  Backup2: 60,
  ForceLogRollover: 61,
  Split2: 62,
  Merge2: 63,
  Scrub: 64,
  PageMove: 65,
  PagePatchRequest: 66,
  MacroInfo: 67,
  ExtendDB: 68,
  CommitCtx: 69,
  ScanCheck: 70,
  NOP2: 71,
  ReAttach: 72,
  MacroInfo2: 73,
  FreeFDP: 74,
  Ignored9: 75,
  FragmentBegin: 76,
  Fragment: 77,
  ShrinkDB: 78,
  CreateDBFinish: 79,
  RecoveryQuitKeepAttachments: 80,
  TrimDB: 81,
  Ignored10: 82,
  Ignored11: 83,
  Ignored12: 84,
  Ignored13: 85,
  Ignored14: 86,
  Ignored15: 87,
  Ignored16: 88,
  Ignored17: 89,
  Ignored18: 90,
  Ignored19: 91,
  SetDbVersion: 92,
  Delta64: 93,
  ShrinkDB2: 94,
  NewPage: 95,
  RootPageMove: 96,
  SignalAttachDb: 97,
  ScanCheck2: 98,
  ShrinkDB3: 99,
  ExtentFreed: 100,
  ExtentFreed2: 101,
} as const;

export type LogRecordName = keyof typeof LRTYP;

/** Number of record types that a format 8.4000 engine knows, the removed ones included. */
export const LRTYP_COUNT = 102;

const NAMES = new Array<LogRecordName | undefined>(LRTYP_COUNT).fill(undefined);
for (const [name, lrtyp] of Object.entries(LRTYP)) {
  NAMES[lrtyp] = name as LogRecordName;
}

/** The name of a record type, or undefined if the type does not exist or was removed. */
export function logRecordName(lrtyp: number): LogRecordName | undefined {
  return NAMES[lrtyp];
}

/** Names of the record types as log dumps print them, where they differ from ours (chapter 4.10). */
const DUMP_NAMES: Readonly<Partial<Record<LogRecordName, string>>> = {
  CreateDBFinish: 'CrDBFinsh',
  CreateMultipleExtentFDP: 'Create M',
  CreateSingleExtentFDP: 'Create S',
  ConvertFDP: 'Convert',
  ConvertFDP2: 'Convert',
  RootPageMove: 'PageMoveR',
  FlagInsert: 'FInsert',
  FlagInsertAndReplaceData: 'FInsertRD',
  FlagDelete: 'FDelete',
  PrepCommit: 'PreCommit',
  PrepRollback: 'PreRollbk',
  Init2: 'Init',
  Term2: 'Term',
  RecoveryUndo: 'RcvUndo',
  RecoveryUndo2: 'RcvUndo',
  RecoveryQuit: 'RcvQuit',
  RecoveryQuit2: 'RcvQuit',
  RecoveryQuitKeepAttachments: 'RcvQKA',
  FullBackup: 'FullBkUp',
  IncBackup: 'IncBkUp',
  ShutDownMark: 'ShutDown',
  SetExternalHeader: 'SetExtHdr',
  MacroBegin: 'McroBegin',
  MacroCommit: 'McroComit',
  MacroAbort: 'McroAbort',
  ExtRestore: 'ExtRest',
  ExtRestore2: 'ExtRest2',
  ForceWriteLog: 'FWriteLog',
  ForceLogRollover: 'FRollLog',
  PagePatchRequest: 'PagePatch',
  MacroInfo: 'McroInfo',
  MacroInfo2: 'McroInfo2',
  ScanCheck2: 'ScanChk2',
  FragmentBegin: 'FragBegin',
  Fragment: 'FragContd',
  SetDbVersion: 'SetDbVer',
  SignalAttachDb: 'SAttachDB',
  ExtentFreed: 'ExtFreed',
  ExtentFreed2: 'ExtFreed2',
};

/** The name of a record type in log dumps, at most nine characters; `*UNKNOWN*` if it does not exist. */
export function logRecordDumpName(lrtyp: number): string {
  const name = logRecordName(lrtyp);
  if (name === undefined) return '*UNKNOWN*';
  return name.startsWith('Ignored') ? 'Ignored' : (DUMP_NAMES[name] ?? name);
}
