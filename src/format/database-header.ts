import { readDbtime, writeDbtime } from './dbtime.js';
import { EseError, type Lgpos } from './ese-error.js';
import { LGPOS_BYTES, LGPOS_NONE, readLgpos, writeLgpos } from './lgpos.js';
import { LOGTIME_BYTES, type Logtime, logtimeToDate, readLogtime, writeLogtime } from './logtime.js';
import { PAGE_SIZES, pageOffset } from './page.js';
import { xorChecksum } from './page-checksum.js';
import { readSignature, type Signature } from './signature.js';

/**
 * The database header: a page at the start of the file and its shadow copy behind it (format
 * specification, chapter 1.2). {@link HEADER_LAYOUT} is the field table; the rest of the page is zero.
 */

/** Second dword of every database header. */
export const HEADER_MAGIC = 0x89abcdef;
/** The major format version of every database since 2000. */
export const DATABASE_FORMAT_VERSION = 0x620;
/** Highest format update whose files are known (chapter 1.9); newer ones are read with a warning. */
export const UPDATE_MAJOR_KNOWN = 300;
/** Lowest format update with pages above 8 KiB. */
const UPDATE_MAJOR_LARGE_PAGES = 0x11;
/** Lowest format update whose small pages this reader knows. */
export const UPDATE_MAJOR_MIN = 2;

const DEFAULT_PAGE_SIZE = 4096;

/** Database states (chapter 1.2.3). */
export const DATABASE_STATE = {
  justCreated: 1,
  dirtyShutdown: 2,
  cleanShutdown: 3,
  beingConverted: 4,
  forceDetach: 5,
  incrementalReseedInProgress: 6,
  dirtyAndPatchedShutdown: 7,
  revertInProgress: 8,
} as const;

/** State texts that other programs parse (chapter 6.2.2); anything else is `Illegal`. */
const STATE_NAMES: readonly (string | undefined)[] = [
  undefined,
  'Just Created',
  'Dirty Shutdown',
  'Clean Shutdown',
  'Being Converted',
  'Force Detach Replay Error',
  'Incremental Reseed In Progress',
  'Dirty and Patched Shutdown',
  'Database Revert in Progress',
];

/** The classic text of a database state. */
export function databaseStateName(state: number): string {
  return STATE_NAMES[state] ?? 'Illegal';
}

/** Kinds of ESE files, stored at the same offset in all of them (chapter 1.2.3). */
export const FILE_TYPE = {
  unknown: 0,
  database: 1,
  streaming: 2,
  log: 3,
  checkpoint: 4,
  temporaryDatabase: 5,
  flushMap: 7,
  cachedFile: 8,
  cachingFile: 9,
  revertSnapshot: 10,
  revertCheckpoint: 11,
} as const;

/** Offset of the file type in every kind of file (unaligned). */
export const FILE_TYPE_OFFSET = 667;

/** Backup information: where and when, and which generations (chapter 1.2.1). */
export interface BackupInfo {
  readonly mark: Lgpos;
  readonly time: Logtime | undefined;
  readonly genLow: number;
  readonly genHigh: number;
}

interface FieldTypes {
  u32: number;
  i32: number;
  u64: bigint;
  dbtime: number;
  lgpos: Lgpos;
  logtime: Logtime | undefined;
  signature: Signature;
  backup: BackupInfo;
}

/** Offset and type of every header field, in file order. */
export const HEADER_LAYOUT = {
  checksum: [0, 'u32'],
  magic: [4, 'u32'],
  version: [8, 'u32'],
  attrib: [12, 'i32'],
  dbtimeDirtied: [16, 'dbtime'],
  signDb: [24, 'signature'],
  state: [52, 'u32'],
  lgposConsistent: [56, 'lgpos'],
  logtimeConsistent: [64, 'logtime'],
  logtimeAttach: [72, 'logtime'],
  lgposAttach: [80, 'lgpos'],
  logtimeDetach: [88, 'logtime'],
  lgposDetach: [96, 'lgpos'],
  dbid: [104, 'u32'],
  signLog: [108, 'signature'],
  bkinfoFullPrev: [136, 'backup'],
  bkinfoIncPrev: [160, 'backup'],
  bkinfoFullCur: [184, 'backup'],
  dbFlags: [208, 'u32'],
  objidLast: [212, 'u32'],
  osMajorVersion: [216, 'u32'],
  osMinorVersion: [220, 'u32'],
  osBuildNumber: [224, 'u32'],
  osServicePack: [228, 'i32'],
  updateMajor: [232, 'u32'],
  cbPageSize: [236, 'u32'],
  repairCount: [240, 'u32'],
  logtimeRepair: [244, 'logtime'],
  signSlv: [252, 'signature'],
  dbtimeLastScrub: [280, 'dbtime'],
  logtimeScrub: [288, 'logtime'],
  genMinRequired: [296, 'i32'],
  genMaxRequired: [300, 'i32'],
  cpgUpgrade55Format: [304, 'i32'],
  cpgUpgradeFreePages: [308, 'i32'],
  cpgUpgradeSpaceMapPages: [312, 'i32'],
  bkinfoSnapshotCur: [316, 'backup'],
  createVersion: [340, 'u32'],
  createUpdate: [344, 'u32'],
  logtimeGenMaxCommitted: [348, 'logtime'],
  bkinfoTypeFullPrev: [356, 'u32'],
  bkinfoTypeIncPrev: [360, 'u32'],
  repairCountOld: [364, 'u32'],
  eccFixSuccess: [368, 'u32'],
  logtimeEccFixSuccess: [372, 'logtime'],
  eccFixSuccessOld: [380, 'u32'],
  eccFixFail: [384, 'u32'],
  logtimeEccFixFail: [388, 'logtime'],
  eccFixFailOld: [396, 'u32'],
  badChecksum: [400, 'u32'],
  logtimeBadChecksum: [404, 'logtime'],
  badChecksumOld: [412, 'u32'],
  genMaxCommitted: [416, 'i32'],
  bkinfoCopyPrev: [420, 'backup'],
  bkinfoDiffPrev: [444, 'backup'],
  bkinfoTypeCopyPrev: [468, 'u32'],
  bkinfoTypeDiffPrev: [472, 'u32'],
  incReseedCount: [476, 'u32'],
  logtimeIncReseed: [480, 'logtime'],
  incReseedCountOld: [488, 'u32'],
  pagePatchCount: [492, 'u32'],
  logtimePagePatch: [496, 'logtime'],
  pagePatchCountOld: [504, 'u32'],
  sortVersion: [508, 'u64'],
  logtimeDbscanPrev: [516, 'logtime'],
  logtimeDbscanStart: [524, 'logtime'],
  pgnoDbscanHighestContinuous: [532, 'u32'],
  genRecovering: [536, 'i32'],
  extendCount: [540, 'u32'],
  logtimeLastExtend: [544, 'logtime'],
  shrinkCount: [552, 'u32'],
  logtimeLastShrink: [556, 'logtime'],
  logtimeLastReAttach: [564, 'logtime'],
  lgposLastReAttach: [572, 'lgpos'],
  trimCount: [580, 'u32'],
  signDbHdrFlush: [584, 'signature'],
  signFlushMapHdrFlush: [612, 'signature'],
  genMinConsistent: [640, 'i32'],
  updateMinor: [644, 'u32'],
  efvMaxBinAttached: [648, 'u32'],
  pgnoDbscanHighest: [652, 'u32'],
  lgposLastResize: [656, 'lgpos'],
  fileType: [FILE_TYPE_OFFSET, 'u32'],
  logtimeGenMaxRequired: [672, 'logtime'],
  genPreRedoMinConsistent: [680, 'i32'],
  genPreRedoMinRequired: [684, 'i32'],
  signRbsHdrFlush: [688, 'signature'],
  revertCount: [716, 'u32'],
  logtimeRevertFrom: [720, 'logtime'],
  logtimeRevertTo: [728, 'logtime'],
  revertPageCount: [736, 'u32'],
  lgposCommitBeforeRevert: [740, 'lgpos'],
} as const satisfies Record<string, readonly [offset: number, type: keyof FieldTypes]>;

type Layout = typeof HEADER_LAYOUT;

/** The decoded header. `cbPageSize` is as stored (0 in very old files); use {@link headerPageSize}. */
export type DatabaseHeader = { readonly [K in keyof Layout]: FieldTypes[Layout[K][1]] };

/** Fields to be changed in a header, by {@link writeHeaderFields}. */
export type HeaderChanges = { -readonly [K in keyof Layout]?: FieldTypes[Layout[K][1]] };

/** End of the last field: a header of fewer bytes cannot be decoded. */
export const HEADER_BYTES_MIN = 748;

function readBackup(bytes: Uint8Array, view: DataView, offset: number): BackupInfo {
  const time = offset + LGPOS_BYTES;
  const generations = time + LOGTIME_BYTES;
  return {
    mark: readLgpos(view, offset),
    time: readLogtime(bytes, time),
    genLow: view.getUint32(generations, true),
    genHigh: view.getUint32(generations + 4, true),
  };
}

function readField(bytes: Uint8Array, view: DataView, offset: number, type: keyof FieldTypes) {
  switch (type) {
    case 'u32':
      return view.getUint32(offset, true);
    case 'i32':
      return view.getInt32(offset, true);
    case 'u64':
      return view.getBigUint64(offset, true);
    case 'dbtime':
      return readDbtime(view, offset);
    case 'lgpos':
      return readLgpos(view, offset);
    case 'logtime':
      return readLogtime(bytes, offset);
    case 'signature':
      return readSignature(bytes, offset);
    case 'backup':
      return readBackup(bytes, view, offset);
  }
}

/** Decodes a header page (at least {@link HEADER_BYTES_MIN} bytes); judges nothing. */
export function decodeDatabaseHeader(bytes: Uint8Array): DatabaseHeader {
  if (bytes.length < HEADER_BYTES_MIN) {
    throw new EseError('JET_errDatabaseCorrupted', 'the file is shorter than a database header');
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const header: Record<string, unknown> = {};
  for (const [name, [offset, type]] of Object.entries(HEADER_LAYOUT)) {
    header[name] = readField(bytes, view, offset, type);
  }
  return header as DatabaseHeader;
}

function writeTime(bytes: Uint8Array, offset: number, time: Logtime | undefined): void {
  writeLogtime(bytes, offset, time === undefined ? undefined : logtimeToDate(time));
}

/** Writes the given fields into a header page, and its checksum. */
export function writeHeaderFields(bytes: Uint8Array, changes: HeaderChanges): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (const [name, value] of Object.entries(changes)) {
    const [offset, type] = HEADER_LAYOUT[name as keyof Layout];
    switch (type as keyof FieldTypes) {
      case 'u32':
        view.setUint32(offset, value as number, true);
        break;
      case 'i32':
        view.setInt32(offset, value as number, true);
        break;
      case 'u64':
        view.setBigUint64(offset, value as bigint, true);
        break;
      case 'dbtime':
        writeDbtime(view, offset, value as number);
        break;
      case 'lgpos':
        writeLgpos(view, offset, value as Lgpos);
        break;
      case 'logtime':
        writeTime(bytes, offset, value as Logtime | undefined);
        break;
      case 'signature':
        bytes.set((value as Signature).bytes, offset);
        break;
      case 'backup': {
        const backup = value as BackupInfo;
        writeLgpos(view, offset, backup.mark);
        writeTime(bytes, offset + LGPOS_BYTES, backup.time);
        view.setUint32(offset + LGPOS_BYTES + LOGTIME_BYTES, backup.genLow, true);
        view.setUint32(offset + LGPOS_BYTES + LOGTIME_BYTES + 4, backup.genHigh, true);
        break;
      }
    }
  }
  view.setUint32(0, xorChecksum(bytes), true);
}

/** The format that a new database gets (chapter 1.9): every engine since Windows 8 reads it. */
const CREATE_UPDATE_MAJOR = 20;

/** What the header of a database says while it is being created. */
export interface NewDatabaseHeader {
  readonly signDb: Signature;
  readonly signLog: Signature;
  readonly dbid: number;
  readonly lgpos: Lgpos;
  readonly pageSize: number;
  readonly generationTime: Logtime | undefined;
  readonly now: Logtime;
}

/** The header page of a database that is being created (chapter 10.5, step 2). */
export function newDatabaseHeader(database: NewDatabaseHeader): Uint8Array {
  const { signDb, signLog, dbid, lgpos, pageSize, generationTime, now } = database;
  const { generation } = lgpos;
  const bytes = new Uint8Array(pageSize);
  writeHeaderFields(bytes, {
    magic: HEADER_MAGIC,
    version: DATABASE_FORMAT_VERSION,
    updateMajor: CREATE_UPDATE_MAJOR,
    createVersion: DATABASE_FORMAT_VERSION,
    createUpdate: CREATE_UPDATE_MAJOR,
    fileType: FILE_TYPE.database,
    cbPageSize: pageSize,
    state: DATABASE_STATE.justCreated,
    signDb,
    signLog,
    dbid,
    lgposAttach: lgpos,
    logtimeAttach: now,
    genMinRequired: generation,
    genMaxRequired: generation,
    genMaxCommitted: generation,
    genMinConsistent: generation,
    logtimeGenMaxCommitted: generationTime,
  });
  return bytes;
}

/** Flag of `dbFlags`: the database keeps no shadow of its catalog (chapter 1.2.3). */
export const DB_FLAG_SHADOWING_DISABLED = 0x1;

/** Pages of the base schema (chapter 1.1). */
export const BASE_PAGES = 30;

/** Size in bytes of a file that holds the base schema. */
export function newDatabaseBytes(pageSize: number): number {
  return pageOffset(BASE_PAGES + 1, pageSize);
}

/** Backup information that is not set. */
export const BACKUP_NONE: BackupInfo = { mark: LGPOS_NONE, time: undefined, genLow: 0, genHigh: 0 };

/** Page size in bytes that a header states (0 is read as 4096). */
export function headerPageSize(header: DatabaseHeader): number {
  return header.cbPageSize === 0 ? DEFAULT_PAGE_SIZE : header.cbPageSize;
}

/** One of the two header copies, as {@link electHeader} found it. */
export interface HeaderCopy {
  readonly which: 'primary' | 'shadow';
  /** Checksum right and page size as stored. */
  readonly ok: boolean;
  /** Every byte is zero. */
  readonly allZero: boolean;
  readonly checksumStored: number;
  readonly checksumComputed: number;
  /** The bytes of the copy, a page long (shorter in a truncated file). */
  readonly bytes: Uint8Array;
}

/** The outcome of looking at both header copies. */
export interface HeaderElection {
  /** The copy to be trusted, `none` when both are bad. */
  readonly source: 'primary' | 'shadow' | 'none';
  /** Page size in bytes; with `none` a guess from what is there. */
  readonly pageSize: number;
  readonly primary: HeaderCopy;
  readonly shadow: HeaderCopy;
  /** Both copies are the same bytes. */
  readonly identical: boolean;
  /** The elected header; with `none` the raw fields of the better-looking copy, if any can be decoded. */
  readonly header: DatabaseHeader | undefined;
}

/** Bytes that {@link electHeader} wants from the start of a file: both copies at the largest page size. */
export const HEADER_ELECTION_BYTES = 2 * 32768;

function judgeCopy(bytes: Uint8Array, which: HeaderCopy['which'], pageSize: number): HeaderCopy {
  const complete = bytes.length === pageSize;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const checksumStored = bytes.length >= 4 ? view.getUint32(0, true) : 0;
  const checksumComputed = complete ? xorChecksum(bytes) : 0;
  const [sizeOffset] = HEADER_LAYOUT.cbPageSize;
  const [magicOffset] = HEADER_LAYOUT.magic;
  const stored = complete ? view.getUint32(sizeOffset, true) || DEFAULT_PAGE_SIZE : 0;
  // A blank copy before a sound one of 2 KiB has the right checksum over both, and the size that 0 stands for.
  const begins = complete && view.getUint32(magicOffset, true) !== 0;
  return {
    which,
    ok: begins && checksumStored === checksumComputed && stored === pageSize,
    allZero: bytes.every((b) => b === 0),
    checksumStored,
    checksumComputed,
    bytes,
  };
}

/**
 * Elects the header copy to trust and finds the page size (chapter 1.2.4): for each size, the checksum
 * over that many bytes and the stored page size must both agree; the largest size wins.
 *
 * `start` holds the first {@link HEADER_ELECTION_BYTES} of the file, fewer if it is shorter.
 */
export function electHeader(start: Uint8Array): HeaderElection {
  let best: { size: number; primary: HeaderCopy; shadow: HeaderCopy } | undefined;
  for (const size of PAGE_SIZES) {
    const primary = judgeCopy(start.subarray(0, size), 'primary', size);
    const shadow = judgeCopy(start.subarray(size, 2 * size), 'shadow', size);
    if (primary.ok || (shadow.ok && !best?.primary.ok)) best = { size, primary, shadow };
  }
  if (best !== undefined) {
    const { size, primary, shadow } = best;
    const elected = primary.ok ? primary : shadow;
    return {
      source: elected.which,
      pageSize: size,
      primary,
      shadow,
      identical: bytesEqual(primary.bytes, shadow.bytes),
      header: decodeDatabaseHeader(elected.bytes),
    };
  }
  return guessHeader(start);
}

function guessHeader(start: Uint8Array): HeaderElection {
  const view = new DataView(start.buffer, start.byteOffset, start.byteLength);
  const [magicOffset] = HEADER_LAYOUT.magic;
  const [sizeOffset] = HEADER_LAYOUT.cbPageSize;
  const hasHeaderAt = (at: number): boolean =>
    at + HEADER_BYTES_MIN <= start.length && view.getUint32(at + magicOffset, true) === HEADER_MAGIC;
  const sizeAt = (at: number): number => view.getUint32(at + sizeOffset, true);
  let pageSize = DEFAULT_PAGE_SIZE;
  let headerAt: number | undefined;
  if (hasHeaderAt(0)) {
    headerAt = 0;
    if (PAGE_SIZES.includes(sizeAt(0))) pageSize = sizeAt(0);
  } else {
    const size = PAGE_SIZES.find((c) => hasHeaderAt(c) && (sizeAt(c) || DEFAULT_PAGE_SIZE) === c);
    if (size !== undefined) {
      headerAt = size;
      pageSize = size;
    }
  }
  const primary = judgeCopy(start.subarray(0, pageSize), 'primary', pageSize);
  const shadow = judgeCopy(start.subarray(pageSize, 2 * pageSize), 'shadow', pageSize);
  return {
    source: 'none',
    pageSize,
    primary,
    shadow,
    identical: bytesEqual(primary.bytes, shadow.bytes),
    header: headerAt === undefined ? undefined : decodeDatabaseHeader(start.subarray(headerAt)),
  };
}

function bytesEqual(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}

/** From this format update on, headers know the position of the last change of the file's size (chapter 1.2.2). */
export const UPDATE_LAST_RESIZE = 110;

/**
 * Throws the error with which an attach refuses this header (chapter 1.2.3), apart from its state:
 * wrong magic or version `JET_errInvalidDatabaseVersion`, other kind of file `JET_errDatabaseCorrupted`.
 */
export function checkHeaderSupported(header: DatabaseHeader, file: string): void {
  const { magic, version, updateMajor, attrib, fileType } = header;
  if (magic !== HEADER_MAGIC || version < DATABASE_FORMAT_VERSION) {
    throw new EseError('JET_errInvalidDatabaseVersion', 'the file has no known database version', { file });
  }
  const large = headerPageSize(header) > 8192;
  if (updateMajor < (large ? UPDATE_MAJOR_LARGE_PAGES : UPDATE_MAJOR_MIN)) {
    throw new EseError(
      'JET_errInvalidDatabaseVersion',
      `format 0x${version.toString(16)},${updateMajor} is too old for ${headerPageSize(header)}-byte pages`,
      { file },
    );
  }
  const isDatabase =
    fileType === FILE_TYPE.unknown ||
    fileType === FILE_TYPE.database ||
    fileType === FILE_TYPE.temporaryDatabase;
  if (attrib !== 0 || !isDatabase) {
    throw new EseError('JET_errDatabaseCorrupted', 'the file is not a database', { file });
  }
}
