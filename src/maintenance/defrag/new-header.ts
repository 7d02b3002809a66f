import type { BuiltDatabase } from '../../engine/bulk/database-builder.js';
import {
  DATABASE_STATE,
  type DatabaseHeader,
  FILE_TYPE,
  HEADER_MAGIC,
  type HeaderChanges,
  writeHeaderFields,
} from '../../format/database-header.js';
import type { Logtime } from '../../format/logtime.js';
import type { Signature } from '../../format/signature.js';

/** Signatures and time that a new database gets. */
export interface NewIdentity {
  readonly signDb: Signature;
  /** Of the header's writes. */
  readonly signDbHdrFlush: Signature;
  readonly now: Logtime;
}

/**
 * What every state of the new database's header says: format and history of the old one, an identity of its own,
 * and no log (format specification, chapters 7.3.1, step 6, and 7.3.2).
 */
function commonFields(source: DatabaseHeader, pageSize: number, identity: NewIdentity): HeaderChanges {
  const { signDb, signDbHdrFlush } = identity;
  return {
    magic: HEADER_MAGIC,
    cbPageSize: pageSize,
    signDb,
    signDbHdrFlush,
    version: source.version,
    updateMajor: source.updateMajor,
    updateMinor: source.updateMinor,
    createVersion: source.createVersion,
    createUpdate: source.createUpdate,
    efvMaxBinAttached: source.efvMaxBinAttached,
    dbid: source.dbid,
    dbFlags: source.dbFlags,
    sortVersion: source.sortVersion,
    osMajorVersion: source.osMajorVersion,
    osMinorVersion: source.osMinorVersion,
    osBuildNumber: source.osBuildNumber,
    osServicePack: source.osServicePack,
    repairCount: source.repairCount,
    repairCountOld: source.repairCount,
    logtimeRepair: source.logtimeRepair,
    incReseedCount: source.incReseedCount,
    incReseedCountOld: source.incReseedCount,
    logtimeIncReseed: source.logtimeIncReseed,
    pagePatchCount: source.pagePatchCount,
    pagePatchCountOld: source.pagePatchCount,
    logtimePagePatch: source.logtimePagePatch,
  };
}

/** The header while the database is being made: a temporary one, which nobody takes for a finished one. */
export function unfinishedHeader(
  source: DatabaseHeader,
  pageSize: number,
  identity: NewIdentity,
): Uint8Array {
  const bytes = new Uint8Array(pageSize);
  writeHeaderFields(bytes, {
    ...commonFields(source, pageSize, identity),
    state: DATABASE_STATE.justCreated,
    fileType: FILE_TYPE.temporaryDatabase,
  });
  return bytes;
}

/** The header of the finished database, which stays a temporary one as long as it is not in its place. */
export function finishedHeader(
  source: DatabaseHeader,
  pageSize: number,
  identity: NewIdentity,
  { dbtime, objidLast }: BuiltDatabase,
): Uint8Array {
  const { now } = identity;
  const bytes = new Uint8Array(pageSize);
  writeHeaderFields(bytes, {
    ...commonFields(source, pageSize, identity),
    state: DATABASE_STATE.cleanShutdown,
    fileType: FILE_TYPE.temporaryDatabase,
    dbtimeDirtied: dbtime,
    objidLast,
    logtimeAttach: now,
    logtimeConsistent: now,
    logtimeDetach: now,
  });
  return bytes;
}

/** The same header for the place of a database. */
export function installedHeader(finished: Uint8Array): Uint8Array {
  const bytes = finished.slice();
  writeHeaderFields(bytes, { fileType: FILE_TYPE.database });
  return bytes;
}

/** The header and its shadow, which begin every database (format specification, chapter 1.1). */
export function bothCopies(header: Uint8Array): Uint8Array {
  const both = new Uint8Array(2 * header.length);
  both.set(header);
  both.set(header, header.length);
  return both;
}
