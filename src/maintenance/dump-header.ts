/**
 * The database header as `/mh` reports it (format specification, chapters 1.2, 6.2.2 and 11.4.1).
 */

import {
  type BackupInfo,
  type DatabaseHeader,
  databaseStateName,
  electHeader,
  FILE_TYPE,
  FILE_TYPE_OFFSET,
  HEADER_ELECTION_BYTES,
  HEADER_MAGIC,
  type HeaderCopy,
  type HeaderElection,
  headerPageSize,
} from '../format/database-header.js';
import { EseError } from '../format/ese-error.js';
import type { Logtime } from '../format/logtime.js';
import type { FileSystem } from '../io/file-system.js';
import {
  dbtimeReport,
  type LgposReport,
  lgposReport,
  type MarkReport,
  markReport,
  type RangeReport,
  type SignatureReport,
  signatureReport,
  type TimeReport,
  timeReport,
} from './report-values.js';

/** Format updates from which header fields carry meaning; below them the bytes are zero (chapter 1.8). */
const UPDATE_LAST_RESIZE = 110;
const UPDATE_TIME_MAX_REQUIRED = 150;
const UPDATE_REVERT_SNAPSHOT = 180;

/** `dbFlags` bit: the shadow catalog is switched off (chapter 1.2.2). */
const DB_FLAG_SHADOWING_DISABLED = 0x1;

/** `bkinfoType` of a backup that was an operating-system snapshot (chapter 1.2.2). */
const BACKUP_OS_SNAPSHOT = 1;

export interface BackupReport {
  readonly range: RangeReport;
  readonly lgpos: LgposReport;
  readonly time: TimeReport;
  readonly snapshot: boolean;
}

export interface CounterReport {
  readonly count: number;
  readonly time: TimeReport;
}

export interface EccReport extends CounterReport {
  readonly countOld: number;
}

export interface HeaderCopyReport {
  readonly which: 'primary' | 'shadow';
  readonly ok: boolean;
  readonly allZero: boolean;
  /** Bytes of it that the file has: fewer than a page where the file ends within it. */
  readonly bytes: number;
  readonly checksumStored: number;
  readonly checksumComputed: number;
}

/** The fields of a database header. Optional ones are absent where the format version has no such field. */
export interface DatabaseHeaderReport {
  readonly fileType: 'database' | 'streaming' | 'temporary' | 'unknown';
  readonly magic: number;
  readonly checksum: number;
  readonly formatVersion: {
    readonly version: number;
    readonly updateMajor: number;
    readonly updateMinor: number;
  };
  readonly createdVersion: { readonly version: number; readonly updateMajor: number };
  /** Highest engine format version that attached the file. */
  readonly efvAttached: number;
  readonly signDb: SignatureReport;
  readonly signLog: SignatureReport;
  readonly pageSize: number;
  readonly dbtime: string;
  readonly state: string;
  readonly stateCode: number;
  readonly logRequired: RangeReport;
  readonly minRequiredPreRedo: number;
  readonly timeMaxRequired?: TimeReport;
  readonly logCommitted: RangeReport;
  readonly timeMaxCommitted: TimeReport;
  readonly logConsistent: number;
  readonly minConsistentPreRedo: number;
  readonly logRecovering: number;
  readonly shadowed: boolean;
  readonly objidLast: number;
  readonly dbid: number;
  readonly scrubDbtime: string;
  readonly scrubTime: TimeReport;
  readonly repairCount: number;
  readonly repairTime: TimeReport;
  readonly repairCountOld: number;
  readonly lastConsistent: MarkReport;
  readonly lastAttach: MarkReport;
  readonly lastDetach: MarkReport;
  readonly lastReAttach: MarkReport;
  readonly osVersion: {
    readonly major: number;
    readonly minor: number;
    readonly build: number;
    readonly servicePack: number;
    /** `major.minor` of the sort version in hexadecimal; absent where the database keeps sort versions in a table. */
    readonly nls?: string;
  };
  readonly reseed: EccReport;
  readonly pagePatch: EccReport;
  readonly backups: {
    readonly fullPrev: BackupReport;
    readonly incrementalPrev: BackupReport;
    readonly copyPrev: BackupReport;
    readonly differentialPrev: BackupReport;
    readonly fullCur: BackupReport;
    readonly snapshotCur: BackupReport;
  };
  readonly upgrade: { readonly format55: number; readonly freePages: number; readonly spaceMapPages: number };
  readonly lastResize?: LgposReport;
  readonly extend: CounterReport;
  readonly shrink: CounterReport;
  readonly trimCount: number;
  readonly eccFixSuccess: EccReport;
  readonly eccFixError: EccReport;
  readonly badChecksum: EccReport;
  readonly maintenance: {
    readonly lastComplete: TimeReport;
    readonly start: TimeReport;
    readonly highestPgno: number;
    readonly highestContinuousPgno: number;
  };
  readonly signatures: {
    readonly dbHeaderFlush: SignatureReport;
    readonly flushMapHeaderFlush: SignatureReport;
    readonly rbsHeaderFlush?: SignatureReport;
  };
}

export interface HeaderReport {
  /** The copy whose fields are given; `none` = both are damaged and the fields are raw. */
  readonly source: 'primary' | 'shadow' | 'none';
  readonly identical: boolean;
  readonly copies: readonly HeaderCopyReport[];
  readonly header: DatabaseHeaderReport | null;
}

/**
 * Reads both header copies of a database and reports the one to be trusted. The file is opened for reading only.
 *
 * Two damaged copies are reported, not thrown: the caller decides. `JET_errDatabaseCorrupted` is thrown where
 * the bytes are those of another kind of file or of none.
 */
export function dumpHeader(fs: FileSystem, file: string): HeaderReport {
  const handle = fs.open(file, 'read');
  let start: Uint8Array;
  try {
    const buffer = new Uint8Array(Math.min(HEADER_ELECTION_BYTES, handle.size()));
    start = buffer.subarray(0, handle.readAt(buffer, 0));
  } finally {
    handle.close();
  }
  const election = electHeader(start);
  refuseOtherFiles(election, start, file);
  return {
    source: election.source,
    identical: election.identical,
    copies: [copyReport(election.primary), copyReport(election.shadow)],
    header: election.header === undefined ? null : headerReport(election.header),
  };
}

/** Refuses what is no database, and says what it is instead where the bytes tell. */
function refuseOtherFiles(election: HeaderElection, start: Uint8Array, file: string): void {
  const refuse = (what: string): never => {
    throw new EseError('JET_errDatabaseCorrupted', what, { file });
  };
  if (start.length === 0) refuse('the file is empty, not a database');
  if (election.header?.magic === HEADER_MAGIC) return;
  const other = start.length < FILE_TYPE_OFFSET + 4 ? undefined : OTHER_FILES[start[FILE_TYPE_OFFSET] ?? 0];
  refuse(
    other === undefined
      ? 'this is not a database: it has no database header'
      : `this is ${other}, not a database`,
  );
}

const OTHER_FILES: Readonly<Record<number, string>> = {
  [FILE_TYPE.log]: 'a log file',
  [FILE_TYPE.checkpoint]: 'a checkpoint file',
  [FILE_TYPE.flushMap]: 'a flush map',
  [FILE_TYPE.cachedFile]: 'a block cache file',
  [FILE_TYPE.cachingFile]: 'a block cache file',
  [FILE_TYPE.revertSnapshot]: 'a rollback snapshot',
  [FILE_TYPE.revertCheckpoint]: 'a rollback checkpoint',
};

function copyReport({
  which,
  ok,
  allZero,
  bytes,
  checksumStored,
  checksumComputed,
}: HeaderCopy): HeaderCopyReport {
  return { which, ok, allZero, bytes: bytes.length, checksumStored, checksumComputed };
}

function fileTypeReport(header: DatabaseHeader): DatabaseHeaderReport['fileType'] {
  switch (header.fileType) {
    case FILE_TYPE.database:
      return 'database';
    case FILE_TYPE.streaming:
      return 'streaming';
    case FILE_TYPE.temporaryDatabase:
      return 'temporary';
    default:
      return 'unknown';
  }
}

function backupReport(backup: BackupInfo, type = 0): BackupReport {
  return {
    range: { low: backup.genLow, high: backup.genHigh },
    ...markReport(backup.mark, backup.time),
    snapshot: type === BACKUP_OS_SNAPSHOT,
  };
}

function counter(count: number, time: Logtime | undefined): CounterReport {
  return { count, time: timeReport(time) };
}

function ecc(count: number, time: Logtime | undefined, countOld: number): EccReport {
  return { count, time: timeReport(time), countOld };
}

/** Older formats have no such field, but files exist that carry it all the same. */
function timeMaxRequired({ updateMajor, logtimeGenMaxRequired: time }: DatabaseHeader): {
  timeMaxRequired?: TimeReport;
} {
  if (updateMajor < UPDATE_TIME_MAX_REQUIRED && time === undefined) return {};
  return { timeMaxRequired: timeReport(time) };
}

/** Sort versions of the whole database: two dwords, all ones where a table of the database keeps them. */
function nlsVersion(sortVersion: bigint): { nls?: string } {
  if (sortVersion === 0xffff_ffff_ffff_ffffn) return {};
  return { nls: `${(sortVersion >> 32n).toString(16)}.${(sortVersion & 0xffff_ffffn).toString(16)}` };
}

/** The fields of a decoded header in the shape of reports. */
export function headerReport(header: DatabaseHeader): DatabaseHeaderReport {
  const update = header.updateMajor;
  return {
    fileType: fileTypeReport(header),
    magic: header.magic,
    checksum: header.checksum,
    formatVersion: { version: header.version, updateMajor: update, updateMinor: header.updateMinor },
    createdVersion: { version: header.createVersion, updateMajor: header.createUpdate },
    efvAttached: header.efvMaxBinAttached,
    signDb: signatureReport(header.signDb),
    signLog: signatureReport(header.signLog),
    pageSize: headerPageSize(header),
    dbtime: dbtimeReport(header.dbtimeDirtied),
    state: databaseStateName(header.state),
    stateCode: header.state,
    logRequired: { low: header.genMinRequired, high: header.genMaxRequired },
    minRequiredPreRedo: header.genPreRedoMinRequired,
    ...timeMaxRequired(header),
    logCommitted: { low: 0, high: header.genMaxCommitted },
    timeMaxCommitted: timeReport(header.logtimeGenMaxCommitted),
    logConsistent: header.genMinConsistent,
    minConsistentPreRedo: header.genPreRedoMinConsistent,
    logRecovering: header.genRecovering,
    shadowed: (header.dbFlags & DB_FLAG_SHADOWING_DISABLED) === 0,
    objidLast: header.objidLast,
    dbid: header.dbid,
    scrubDbtime: dbtimeReport(header.dbtimeLastScrub),
    scrubTime: timeReport(header.logtimeScrub),
    repairCount: header.repairCount,
    repairTime: timeReport(header.logtimeRepair),
    repairCountOld: header.repairCountOld,
    lastConsistent: markReport(header.lgposConsistent, header.logtimeConsistent),
    lastAttach: markReport(header.lgposAttach, header.logtimeAttach),
    lastDetach: markReport(header.lgposDetach, header.logtimeDetach),
    lastReAttach: markReport(header.lgposLastReAttach, header.logtimeLastReAttach),
    osVersion: {
      major: header.osMajorVersion,
      minor: header.osMinorVersion,
      build: header.osBuildNumber,
      servicePack: header.osServicePack,
      ...nlsVersion(header.sortVersion),
    },
    reseed: ecc(header.incReseedCount, header.logtimeIncReseed, header.incReseedCountOld),
    pagePatch: ecc(header.pagePatchCount, header.logtimePagePatch, header.pagePatchCountOld),
    backups: {
      fullPrev: backupReport(header.bkinfoFullPrev, header.bkinfoTypeFullPrev),
      incrementalPrev: backupReport(header.bkinfoIncPrev, header.bkinfoTypeIncPrev),
      copyPrev: backupReport(header.bkinfoCopyPrev, header.bkinfoTypeCopyPrev),
      differentialPrev: backupReport(header.bkinfoDiffPrev, header.bkinfoTypeDiffPrev),
      fullCur: backupReport(header.bkinfoFullCur),
      snapshotCur: backupReport(header.bkinfoSnapshotCur),
    },
    upgrade: {
      format55: header.cpgUpgrade55Format,
      freePages: header.cpgUpgradeFreePages,
      spaceMapPages: header.cpgUpgradeSpaceMapPages,
    },
    ...(update >= UPDATE_LAST_RESIZE ? { lastResize: lgposReport(header.lgposLastResize) } : {}),
    extend: counter(header.extendCount, header.logtimeLastExtend),
    shrink: counter(header.shrinkCount, header.logtimeLastShrink),
    trimCount: header.trimCount,
    eccFixSuccess: ecc(header.eccFixSuccess, header.logtimeEccFixSuccess, header.eccFixSuccessOld),
    eccFixError: ecc(header.eccFixFail, header.logtimeEccFixFail, header.eccFixFailOld),
    badChecksum: ecc(header.badChecksum, header.logtimeBadChecksum, header.badChecksumOld),
    maintenance: {
      lastComplete: timeReport(header.logtimeDbscanPrev),
      start: timeReport(header.logtimeDbscanStart),
      highestPgno: header.pgnoDbscanHighest,
      highestContinuousPgno: header.pgnoDbscanHighestContinuous,
    },
    signatures: {
      dbHeaderFlush: signatureReport(header.signDbHdrFlush),
      flushMapHeaderFlush: signatureReport(header.signFlushMapHdrFlush),
      ...(update >= UPDATE_REVERT_SNAPSHOT
        ? { rbsHeaderFlush: signatureReport(header.signRbsHdrFlush) }
        : {}),
    },
  };
}
