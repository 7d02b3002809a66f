import {
  BACKUP_NONE,
  DATABASE_STATE,
  type DatabaseHeader,
  type HeaderChanges,
} from '../../format/database-header.js';
import { LGPOS_NONE } from '../../format/lgpos.js';
import type { Logtime } from '../../format/logtime.js';
import { readSignature, SIGNATURE_BYTES, type Signature } from '../../format/signature.js';

/** What a repair writes into the header, besides what it always is. */
export interface RepairedIdentity {
  readonly signDb: Signature;
  /** When the run began, and when it ends. */
  readonly startedAt: Logtime;
  readonly now: Logtime;
  /** Highest dbtime that the header or a page has; highest number of a tree. */
  readonly dbtimeSeen: number;
  readonly objidSeen: number;
}

/** One run changes the signature of a database twice, and counts each change (chapter 12.6.1). */
export const SIGNATURE_CHANGES = 2;

/**
 * What the header of a repaired database says: a new identity, no log, no backup, shut down cleanly (format
 * specification, chapters 7.2.3 and 12.6.1).
 */
export function repairedHeader(header: DatabaseHeader, identity: RepairedIdentity): HeaderChanges {
  const { signDb, startedAt, now, dbtimeSeen, objidSeen } = identity;
  const none = readSignature(new Uint8Array(SIGNATURE_BYTES), 0);
  return {
    signDb,
    signLog: none,
    signFlushMapHdrFlush: none,
    state: DATABASE_STATE.cleanShutdown,
    dbtimeDirtied: dbtimeSeen + 1,
    objidLast: objidSeen + 1,
    lgposConsistent: LGPOS_NONE,
    lgposAttach: LGPOS_NONE,
    lgposDetach: LGPOS_NONE,
    lgposLastResize: LGPOS_NONE,
    logtimeAttach: startedAt,
    logtimeConsistent: now,
    logtimeDetach: now,
    genMinRequired: 0,
    genMaxRequired: 0,
    genMaxCommitted: 0,
    genRecovering: 0,
    genMinConsistent: 0,
    genPreRedoMinConsistent: 0,
    genPreRedoMinRequired: 0,
    logtimeGenMaxCommitted: undefined,
    logtimeGenMaxRequired: undefined,
    repairCount: header.repairCount + SIGNATURE_CHANGES,
    logtimeRepair: now,
    bkinfoFullPrev: BACKUP_NONE,
    bkinfoIncPrev: BACKUP_NONE,
    bkinfoFullCur: BACKUP_NONE,
    bkinfoSnapshotCur: BACKUP_NONE,
    bkinfoCopyPrev: BACKUP_NONE,
    bkinfoDiffPrev: BACKUP_NONE,
    bkinfoTypeFullPrev: 0,
    bkinfoTypeIncPrev: 0,
    bkinfoTypeCopyPrev: 0,
    bkinfoTypeDiffPrev: 0,
    eccFixSuccessOld: header.eccFixSuccess,
    eccFixFailOld: header.eccFixFail,
    badChecksumOld: header.badChecksum,
  };
}
