/**
 * The layout of every log record type (format specification, chapter 4.6), each field at its offset from
 * the type byte. The order of the fields is that of their JSON form. Sizes are in `log-record-size.ts`.
 *
 * Three prefixes recur (chapter 4.5.2):
 *
 * | prefix | bytes | types |
 * |---|---|---|
 * | PAGE | 32 | everything that changes one page |
 * | NODE | 44 | PAGE plus version entry id and tree, for changes of one node |
 * | IGNORED | 5 | u32 count of the bytes that follow, so that older readers can skip the record |
 */
import {
  bit16,
  bytes,
  dbmsParam,
  dbtime,
  emptiedPages,
  highNibble,
  i16,
  i32,
  i64,
  type LogField,
  lgpos,
  logtime,
  long,
  lowNibble,
  masked16,
  path,
  pgnos,
  type RecordBytes,
  rest,
  restLongs,
  signature,
  strings,
  sum,
  text,
  u8,
  u16,
  u32,
  u64,
  versionPair,
  zeroFill,
} from './log-record-field.js';
import type { LogRecordName } from './log-record-type.js';

/** Flags of the PAGE prefix (chapter 4.5.2). */
export const LOG_PAGE_FLAG = {
  versioned: 0x01,
  deleted: 0x02,
  unique: 0x04,
  space: 0x08,
  concurrentIndex: 0x10,
  system: 0x20,
} as const;

/** Kinds of split (chapter 4.6.6); meaningless where no page is split. */
export const SPLIT_TYPE = { vertical: 0, right: 1, append: 2 } as const;

/** The leaf operation that a split carries out on the way (chapter 4.6.6). */
export const SPLIT_OPERATION = { none: 0, insert: 1, replace: 2, flagInsertAndReplaceData: 3 } as const;

/** Kinds of merge (chapter 4.6.6). */
export const MERGE_TYPE = {
  none: 0,
  emptyPage: 1,
  fullRight: 2,
  partialRight: 3,
  emptyTree: 4,
  fullLeft: 5,
  partialLeft: 6,
  pageMove: 7,
} as const;

/** Flags of a merge record (chapter 4.6.6). */
export const MERGE_FLAG = { keyChange: 1, deletePointer: 2, emptyPage: 4 } as const;

/** Flags of a logged page image (chapter 4.6.6). */
export const PREIMAGE_FLAG = { dehydrated: 1, compressed: 2 } as const;

/** The operation that an Undo or UndoInfo record names (chapter 4.6.4). */
export const UNDO_OPERATION = {
  insert: 1,
  replace: 2,
  flagDelete: 3,
  delta: 4,
  readLock: 5,
  writeLock: 6,
  allocateExtent: 7,
  delta64: 9,
  preInsert: 0x80,
} as const;

/** Flags of the path fields of database records (chapter 4.6.2); DetachDB has a bit of its own. */
export const CREATE_DB_FLAG = { versionInfo: 0x04, utf16: 0x08, sparse: 0x10 } as const;
export const ATTACH_DB_FLAG = { utf16: 0x08, sparse: 0x10 } as const;
export const DETACH_DB_FLAG = { utf16: 0x10 } as const;

/** Count of a replace: 15 bits, and the bit that says "diff list of a page above 8 KiB" (chapter 4.6.4). */
export const REPLACE_COUNT_MASK = 0x7fff;
export const REPLACE_DIFF2 = 0x8000;

const PAGE = {
  procid: u16(1),
  dbid: u8(3),
  pgno: u32(4),
  dbtime: dbtime(8),
  dbtimeBefore: dbtime(16),
  trxBegin0: u32(24),
  level: u8(28),
  iline: u16(29),
  pageFlags: u8(31),
};

const NODE = { ...PAGE, rceid: u32(32), pgnoFDP: u32(36), objidFDP: u32(40) };

const IGNORED = { cb: u32(1) };
const IGNORED_WITH_DATA = { ...IGNORED, data: bytes(sum(5), long(1)) };

const MACRO = { procid: u16(1), dbtime: dbtime(3) };

const BEGIN0 = {
  procid: u16(1),
  trxBegin0: u32(4),
  levelBeginFrom: lowNibble(3),
  clevels: highNibble(3),
};

const TERM = { lgposStart: lgpos(1), lgposRedoFrom: lgpos(9), fHard: u8(17) };
const QUIT = { lgposRecoveryUndo: lgpos(1), lgposRedoFrom: lgpos(9), fHard: u8(17) };

const OLD_BACKUP = { cbPath: u16(1), path: path(sum(3), sum(0, 1), false) };

const TRACE = { procid: u16(1), cb: u16(3), text: text(sum(5), sum(0, 3), false) };

const REPLACE = {
  ...NODE,
  cb: masked16(44, REPLACE_COUNT_MASK),
  cbOldData: u16(46),
  cbNewData: u16(48),
  fDiff2: bit16(44, REPLACE_DIFF2),
};
const replaceCount = (r: RecordBytes): number => r.view.getUint16(r.offset + 44, true) & REPLACE_COUNT_MASK;

const BOOKMARK_LENGTHS = { cbBookmarkKey: u16(44), cbBookmarkData: u16(46) };

const SPLIT_FIXED = {
  ...PAGE,
  pgnoNew: u32(32),
  pgnoRight: u32(36),
  dbtimeRightBefore: dbtime(40),
  pgnoParent: u32(48),
  dbtimeParentBefore: dbtime(52),
  pgnoFDP: u32(60),
  objidFDP: u32(64),
  splittype: u8(68),
  splitoper: u8(69),
  ilineOper: u16(70),
  ilineSplit: u16(72),
  clines: u16(74),
  fNewPageFlags: u32(76),
  fSplitPageFlags: u32(80),
  cbUncFreeSrc: u16(84),
  cbUncFreeDest: u16(86),
  ilinePrefixSplit: i32(88),
  ilinePrefixNew: i32(92),
  cbPrefixSplitOld: u16(96),
  cbPrefixSplitNew: u16(98),
  cbKeyParent: u16(100),
};
const splitBody = (base: number) => ({
  keyParent: bytes(sum(base), sum(0, 100)),
  prefixSplitOld: bytes(sum(base, 100), sum(0, 96)),
  prefixSplitNew: bytes(sum(base, 100, 96), sum(0, 98)),
});

const MERGE_FIXED = {
  ...PAGE,
  pgnoRight: u32(32),
  dbtimeRightBefore: dbtime(36),
  pgnoLeft: u32(44),
  dbtimeLeftBefore: dbtime(48),
  pgnoParent: u32(56),
  dbtimeParentBefore: dbtime(60),
  pgnoFDP: u32(68),
  objidFDP: u32(72),
  cbSizeTotal: u16(76),
  cbSizeMaxTotal: u16(78),
  cbUncFreeDest: u16(80),
  ilineMerge: u16(82),
  mergeFlags: u8(84),
  mergetype: u8(85),
  cbKeyParentSep: u16(86),
};

const CONVERT_FDP = {
  ...PAGE,
  objidFDP: u32(32),
  pgnoOE: u32(36),
  pgnoAE: u32(40),
  pgnoFDPParent: u32(44),
  pgnoSecondaryFirst: u32(48),
  cpgPrimary: i32(52),
  cpgSecondary: i32(56),
};

const SHRINK_DB = { dbid: u8(1), pgnoLast: u32(2), cpgShrunk: u32(6) };
const EXTENT_FREED = { dbid: u8(1), pgnoFirst: u32(2), cpgExtent: i32(6), flags: u8(10) };

/** The fields of every record type. */
export const LOG_RECORD_LAYOUTS = {
  NOP: {},
  Init: { dbmsParam: dbmsParam(1) },
  Term: TERM,
  MS: { data: bytes(sum(1), rest(1)) },
  End: {},
  Begin: { procid: u16(1), levelBeginFrom: lowNibble(3), clevels: highNibble(3) },
  Commit: { procid: u16(1), levelCommitTo: u8(3) },
  Rollback: { procid: u16(1), levelRollback: u8(3) },
  Begin0: BEGIN0,
  Commit0: { procid: u16(1), levelCommitTo: u8(3), trxCommit0: u32(4) },
  Refresh: { procid: u16(1), trxBegin0: u32(3) },
  MacroBegin: MACRO,
  MacroCommit: MACRO,
  MacroAbort: MACRO,
  CreateDB: {
    procid: u16(1),
    dbid: u8(3),
    grbit: u32(4),
    cpgMax: u32(8),
    signDb: signature(12),
    cbPath: u16(40),
    flags: u8(42),
    versionInfo: versionPair(43, 42, CREATE_DB_FLAG.versionInfo),
    path: path(
      (r) => ((r.view.getUint8(r.offset + 42) & CREATE_DB_FLAG.versionInfo) === 0 ? 43 : 47),
      sum(0, 40),
      { flagsAt: 42, mask: CREATE_DB_FLAG.utf16 },
    ),
  },
  AttachDB: {
    procid: u16(1),
    dbid: u8(3),
    cpgMax: u32(4),
    lgposConsistent: lgpos(8),
    signDb: signature(16),
    signLog: signature(44),
    cbPath: u16(72),
    flags: u8(74),
    path: path(sum(75), sum(0, 72), { flagsAt: 74, mask: ATTACH_DB_FLAG.utf16 }),
  },
  DetachDB: {
    procid: u16(1),
    dbid: u8(3),
    cbPath: u16(4),
    flags: u8(6),
    path: path(sum(7), sum(0, 4), { flagsAt: 6, mask: DETACH_DB_FLAG.utf16 }),
  },
  RecoveryUndo: {},
  RecoveryQuit: QUIT,
  FullBackup: OLD_BACKUP,
  IncBackup: OLD_BACKUP,
  JetOp: { procid: u16(1), op: u8(3) },
  Trace: TRACE,
  ShutDownMark: {},
  CreateMultipleExtentFDP: {
    ...PAGE,
    objidFDP: u32(32),
    pgnoOE: u32(36),
    pgnoAE: u32(40),
    pgnoFDPParent: u32(44),
    cpgPrimary: i32(48),
    fPageFlags: u32(52),
  },
  CreateSingleExtentFDP: {
    ...PAGE,
    objidFDP: u32(32),
    pgnoFDPParent: u32(36),
    cpgPrimary: i32(40),
    fPageFlags: u32(44),
  },
  ConvertFDP: CONVERT_FDP,
  Split: { ...SPLIT_FIXED, ...splitBody(102) },
  Merge: { ...MERGE_FIXED, keyParentSep: bytes(sum(88), sum(0, 86)) },
  Insert: {
    ...NODE,
    cbSuffix: u16(44),
    cbPrefix: u16(46),
    cbData: u16(48),
    /** The whole key; its first `cbPrefix` bytes are those of the page's prefix. */
    key: bytes(sum(50), sum(0, 44, 46)),
    data: bytes(sum(50, 44, 46), sum(0, 48)),
  },
  FlagInsert: {
    ...NODE,
    cbKey: u16(44),
    cbData: u16(46),
    key: bytes(sum(48), sum(0, 44)),
    data: bytes(sum(48, 44), sum(0, 46)),
  },
  FlagInsertAndReplaceData: {
    ...NODE,
    cbKey: u16(44),
    cbData: u16(46),
    rceidReplace: u32(48),
    key: bytes(sum(52), sum(0, 44)),
    data: bytes(sum(52, 44), sum(0, 46)),
  },
  FlagDelete: NODE,
  Replace: { ...REPLACE, data: bytes(sum(50), replaceCount) },
  /** `diff` is the diff list of `replace-diff.ts`. */
  ReplaceD: { ...REPLACE, diff: bytes(sum(50), replaceCount, { kind: 'diff', name: 'diffs' }) },
  Delete: NODE,
  UndoInfo: {
    ...NODE,
    ...BOOKMARK_LENGTHS,
    oper: u16(48),
    cbMaxSize: i16(50),
    cbDelta: i16(52),
    cbData: u16(54),
    bookmarkKey: bytes(sum(56), sum(0, 44)),
    bookmarkData: bytes(sum(56, 44), sum(0, 46)),
    data: bytes(sum(56, 44, 46), sum(0, 54)),
  },
  Delta: {
    ...NODE,
    ...BOOKMARK_LENGTHS,
    delta: i32(48),
    cbOffset: u16(52),
    bookmarkKey: bytes(sum(54), sum(0, 44)),
    bookmarkData: bytes(sum(54, 44), sum(0, 46)),
  },
  SetExternalHeader: { ...NODE, cbData: u16(44), data: bytes(sum(46), sum(0, 44)) },
  Undo: {
    ...NODE,
    ...BOOKMARK_LENGTHS,
    oper: u16(48),
    levelUndo: u8(50),
    bookmarkKey: bytes(sum(51), sum(0, 44)),
    bookmarkData: bytes(sum(51, 44), sum(0, 46)),
  },
  Checksum: {
    cbBackwards: u32(1),
    cbForwards: u32(5),
    cbNext: u32(9),
    checksum: u32(13),
    shortChecksum: u32(17),
    useShort: u8(21),
  },
  ExtRestore: { cbInfo: u16(1), info: strings(sum(3), sum(0, 1), false) },
  Backup: { backupType: u8(1), reserved: u8(2), cbPath: u16(3), path: path(sum(5), sum(0, 3), false) },
  EmptyTree: { ...NODE, cbEmptyPageList: u16(44), pages: emptiedPages(46, sum(0, 44)) },
  Init2: { dbmsParam: dbmsParam(1), logtime: logtime(568) },
  Term2: { ...TERM, logtime: logtime(18) },
  RecoveryUndo2: { logtime: logtime(1) },
  RecoveryQuit2: { ...QUIT, logtime: logtime(18) },
  BeginDT: BEGIN0,
  PrepCommit: { procid: u16(1), cbData: u32(3), data: bytes(sum(7), long(3)) },
  PrepRollback: { procid: u16(1) },
  ForceWriteLog: { procid: u16(1) },
  ConvertFDP2: { ...CONVERT_FDP, rgbitAvail: u32(60), fCpageFlags: u32(64) },
  ExtRestore2: { cbInfo: u16(1), info: strings(sum(3), sum(0, 1), true) },
  Backup2: {
    phase: u8(1),
    backupType: u32(2),
    scope: u8(6),
    dbid: u8(7),
    lgposMark: lgpos(8),
    logtimeMark: logtime(16),
    genLow: u32(24),
    genHigh: u32(28),
    reserved: u8(32),
    cbPath: u16(33),
    path: path(sum(35), sum(0, 33), false),
  },
  ForceLogRollover: TRACE,
  Split2: {
    ...SPLIT_FIXED,
    preimageFlags: u32(102),
    cbPreimage: u32(106),
    ...splitBody(110),
    preimage: bytes(sum(110, 100, 96, 98), long(106), { kind: 'head', name: 'preimageHead' }),
  },
  Merge2: {
    ...MERGE_FIXED,
    preimageFlags: u32(88),
    cbPreimage: u32(92),
    keyParentSep: bytes(sum(96), sum(0, 86)),
    preimage: bytes(sum(96, 86), long(92), { kind: 'head', name: 'preimageHead' }),
  },
  Scrub: {
    ...NODE,
    scrubFlags: u32(44),
    cscrubOper: u32(48),
    cbData: u16(52),
    /** One byte a line from the first: 0 nothing, 1 scrub the data, 2 scrub long-value data. */
    opers: bytes(sum(54), (r) => r.view.getUint32(r.offset + 48, true)),
  },
  PageMove: {
    ...PAGE,
    pgnoDest: u32(32),
    pgnoLeft: u32(36),
    pgnoRight: u32(40),
    pgnoParent: u32(44),
    dbtimeLeftBefore: dbtime(48),
    dbtimeRightBefore: dbtime(56),
    dbtimeParentBefore: dbtime(64),
    pgnoFDP: u32(72),
    objidFDP: u32(76),
    ilineParent: i32(80),
    moveFlags: u32(84),
    cbPageHeader: u32(88),
    cbPageTrailer: u32(92),
    pageHeader: bytes(sum(96), long(88), { kind: 'head', name: 'pageHeaderHead' }),
    pageTrailer: bytes((r) => 96 + r.view.getUint32(r.offset + 88, true), long(92), {
      kind: 'head',
      name: 'pageTrailerHead',
    }),
  },
  PagePatchRequest: { dbid: u8(1), pgno: u32(2), dbtime: dbtime(6) },
  MacroInfo: { ...IGNORED, pgnos: pgnos(5, restLongs(5)) },
  ExtendDB: { ...IGNORED, dbid: u8(5), pgnoLast: u32(6) },
  /** What `payload` means depends on the format version: see `commitContext` in `log-record.ts`. */
  CommitCtx: { ...IGNORED, procid: u16(5), payload: bytes(sum(7), rest(7)) },
  ScanCheck: {
    ...IGNORED,
    dbid: u8(5),
    pgno: u32(6),
    unused10: u64(10),
    unused18: u64(18),
    dbtimePage: dbtime(26),
    dbtimeCurrent: dbtime(34),
    checksum: u16(42),
  },
  NOP2: { ...IGNORED, zeroFill: zeroFill(5) },
  ReAttach: {
    ...IGNORED,
    dbid: u8(5),
    lgposAttach: lgpos(6),
    lgposConsistent: lgpos(14),
    signDb: signature(22),
  },
  MacroInfo2: { ...IGNORED, dbid: u8(5), count: u32(6), pgnos: pgnos(10, long(6)) },
  FreeFDP: { ...IGNORED, dbid: u8(5), pgnoFDP: u32(6), trxCommitted: u32(10), fdpType: u8(14) },
  Ignored9: IGNORED_WITH_DATA,
  FragmentBegin: { cbRecord: u32(1), cbFragment: u16(5) },
  Fragment: { cbFragment: u16(1) },
  ShrinkDB: SHRINK_DB,
  CreateDBFinish: { procid: u16(1), dbid: u8(3) },
  RecoveryQuitKeepAttachments: { ...QUIT, logtime: logtime(18) },
  TrimDB: { dbid: u8(1), pgnoFirst: u32(2), cpgTrimmed: u32(6) },
  Ignored10: IGNORED_WITH_DATA,
  Ignored11: IGNORED_WITH_DATA,
  Ignored12: IGNORED_WITH_DATA,
  Ignored13: IGNORED_WITH_DATA,
  Ignored14: IGNORED_WITH_DATA,
  Ignored15: IGNORED_WITH_DATA,
  Ignored16: IGNORED_WITH_DATA,
  Ignored17: IGNORED_WITH_DATA,
  Ignored18: IGNORED_WITH_DATA,
  Ignored19: IGNORED_WITH_DATA,
  SetDbVersion: { dbid: u8(1), versionMajor: u32(2), updateMajor: u32(6), updateMinor: u32(10) },
  Delta64: {
    ...NODE,
    ...BOOKMARK_LENGTHS,
    delta: i64(48),
    cbOffset: u16(56),
    bookmarkKey: bytes(sum(58), sum(0, 44)),
    bookmarkData: bytes(sum(58, 44), sum(0, 46)),
  },
  ShrinkDB2: SHRINK_DB,
  NewPage: { procid: u16(1), dbid: u8(3), pgno: u32(4), objid: u32(8), dbtimeAfter: dbtime(12) },
  RootPageMove: { dbtime: dbtime(1), dbid: u8(9), objid: u32(10), procid: u16(14) },
  SignalAttachDb: { dbid: u8(1) },
  ScanCheck2: {
    dbid: u8(1),
    pgno: u32(2),
    source: u8(6),
    dbtimePage: dbtime(7),
    dbtimeCurrent: dbtime(15),
    checksum: u32(23),
  },
  ShrinkDB3: { ...SHRINK_DB, dbtime: dbtime(10) },
  ExtentFreed: EXTENT_FREED,
  ExtentFreed2: { ...EXTENT_FREED, dbtime: dbtime(11) },
} satisfies Record<LogRecordName, Record<string, LogField<unknown>>>;
