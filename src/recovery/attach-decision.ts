import { DATABASE_STATE, type DatabaseHeader } from '../format/database-header.js';
import { compareLgpos, EseError, type Lgpos } from '../format/ese-error.js';
import { LGPOS_NONE } from '../format/lgpos.js';
import { type Signature, signaturesEqual } from '../format/signature.js';

/**
 * What recovery does about a database that the log says is attached (format specification, chapter 5.3.3).
 *
 * | decision | meaning |
 * |---|---|
 * | `now` | the file is the one that the log means, in the state that it means: its records are redone |
 * | `create` | the log creates the file, and it is not there |
 * | `defer` | not now: the file is missing, foreign, or attached or clean at a later point of the log |
 */
export type AttachDecision =
  | { readonly kind: 'now'; readonly isNewAttach: boolean }
  | { readonly kind: 'create' }
  | { readonly kind: 'defer'; readonly reason: DeferReason };

/**
 * `future`: the file was clean, or attached anew, at a later point of the log. `mismatch`: it is another file.
 */
export type DeferReason = 'missing' | 'accessDenied' | 'mismatch' | 'future';

/** What the log says of an attachment. */
export interface LoggedAttach {
  /** A CreateDB or AttachDB record, or an entry of the list that redo starts with. */
  readonly kind: 'create' | 'attach' | 'initial';
  readonly signDb: Signature;
  /** Signature in the header before the attachment; only AttachDB records have one. */
  readonly signLogBefore: Signature | undefined;
  readonly lgposConsistent: Lgpos;
  /** Position of the record; for an entry of a list, the one that it states. */
  readonly lgposAttach: Lgpos;
}

/** What is found in the place of a database. */
export type FoundDatabase =
  /** `unreadable`: half a header, or nothing but zeros; `foreign`: no database at all. */
  | { readonly kind: 'missing' | 'accessDenied' | 'unreadable' | 'foreign' }
  | { readonly kind: 'found'; readonly header: AttachHeader };

/** The fields of a header that decide. */
export type AttachHeader = Pick<
  DatabaseHeader,
  | 'state'
  | 'signDb'
  | 'signLog'
  | 'lgposConsistent'
  | 'lgposAttach'
  | 'genMinRequired'
  | 'genMaxRequired'
  | 'bkinfoFullCur'
  | 'logtimeRepair'
>;

/**
 * Decides, for the record or list entry at `lgposRedo` in the stream `signLog`.
 *
 * Throws `JET_errReadVerifyFailure` when no header copy is good, the error of a state that only other tools can
 * end, `JET_errConsistentTimeMismatch` and `JET_errAttachedDatabaseMismatch` for an old copy of the file,
 * `JET_errRequiredLogFilesMissing` when redo starts too late for it, and `JET_errSoftRecoveryOnBackupDatabase`.
 */
export function decideAttach(
  logged: LoggedAttach,
  found: FoundDatabase,
  signLog: Signature,
  lgposRedo: Lgpos,
): AttachDecision {
  if (found.kind !== 'found') return decideAbsent(logged, found.kind);
  const { header } = found;
  if (logged.kind === 'create') return decideCreate(logged, header, signLog, lgposRedo);
  const defer = (reason: DeferReason): AttachDecision => ({ kind: 'defer', reason });

  if (header.state === DATABASE_STATE.justCreated) return defer('mismatch');
  checkState(header);
  const hasDb = signaturesEqual(header.signDb, logged.signDb);
  const isCurrentStream = signaturesEqual(header.signLog, signLog);
  const isConsistentEqual = isConsistentAsLogged(header, logged);
  if (!isCurrentStream) {
    const isPreviousStream =
      logged.signLogBefore !== undefined && signaturesEqual(header.signLog, logged.signLogBefore);
    if (!isPreviousStream || !hasDb) return defer('mismatch');
    if (!isConsistentEqual) throw consistentMismatch();
    checkGenerations(header, lgposRedo);
    return { kind: 'now', isNewAttach: true };
  }
  if (!hasDb) return defer('mismatch');
  if (isConsistentEqual) {
    const order = compareLgpos(header.lgposAttach, logged.lgposAttach);
    if (order > 0) return defer('future');
    if (order < 0 && logged.kind === 'initial') {
      throw new EseError(
        'JET_errAttachedDatabaseMismatch',
        'the file is an older copy: it was attached again since',
      );
    }
    checkGenerations(header, lgposRedo);
    return { kind: 'now', isNewAttach: order < 0 };
  }
  const consistent = header.lgposConsistent;
  const isLater = compareLgpos(consistent, effectiveConsistent(logged)) > 0;
  if (isLater && (logged.kind === 'initial' || compareLgpos(consistent, lgposRedo) > 0)) {
    return defer('future');
  }
  throw consistentMismatch();
}

function decideAbsent(
  logged: LoggedAttach,
  kind: 'missing' | 'accessDenied' | 'unreadable' | 'foreign',
): AttachDecision {
  if (kind === 'missing') {
    return logged.kind === 'create' ? { kind: 'create' } : { kind: 'defer', reason: 'missing' };
  }
  if (kind === 'accessDenied') return { kind: 'defer', reason: 'accessDenied' };
  if (logged.kind === 'create' && kind === 'unreadable') return { kind: 'create' };
  throw new EseError('JET_errReadVerifyFailure', 'both copies of the database header are damaged');
}

function decideCreate(
  logged: LoggedAttach,
  header: AttachHeader,
  signLog: Signature,
  lgposRedo: Lgpos,
): AttachDecision {
  if (header.state === DATABASE_STATE.justCreated) return { kind: 'create' };
  checkState(header);
  const order = compareLgpos(header.lgposAttach, logged.lgposAttach);
  const isOwn = signaturesEqual(header.signDb, logged.signDb) && signaturesEqual(header.signLog, signLog);
  if (!isOwn || order < 0) return { kind: 'defer', reason: 'mismatch' };
  if (order > 0 || compareLgpos(header.lgposConsistent, logged.lgposAttach) > 0) {
    return { kind: 'defer', reason: 'future' };
  }
  checkGenerations(header, lgposRedo);
  return { kind: 'now', isNewAttach: false };
}

/** States that end only by other means (chapter 5.2.5). */
function checkState({ state }: AttachHeader): void {
  switch (state) {
    case DATABASE_STATE.dirtyShutdown:
    case DATABASE_STATE.cleanShutdown:
    case DATABASE_STATE.dirtyAndPatchedShutdown:
      return;
    case DATABASE_STATE.incrementalReseedInProgress:
      throw new EseError('JET_errDatabaseIncompleteIncrementalReseed');
    case DATABASE_STATE.revertInProgress:
      throw new EseError('JET_errDatabaseIncompleteRevert');
    default:
      throw new EseError('JET_errDatabaseCorrupted', `a database in state ${state} cannot be recovered`);
  }
}

/** A position behind the record itself comes from another stream and says nothing (chapter 5.2.6). */
function effectiveConsistent({ lgposConsistent, lgposAttach }: LoggedAttach): Lgpos {
  return compareLgpos(lgposConsistent, lgposAttach) >= 0 ? LGPOS_NONE : lgposConsistent;
}

function isConsistentAsLogged(header: AttachHeader, logged: LoggedAttach): boolean {
  return (
    compareLgpos(header.lgposConsistent, logged.lgposConsistent) === 0 ||
    compareLgpos(header.lgposConsistent, effectiveConsistent(logged)) === 0
  );
}

/** Whether the logs from here on are enough for the file. */
function checkGenerations(header: AttachHeader, lgposRedo: Lgpos): void {
  const { genMinRequired, state, bkinfoFullCur } = header;
  const isPatched = state === DATABASE_STATE.dirtyAndPatchedShutdown;
  if (genMinRequired !== 0 && !isPatched && genMinRequired < lgposRedo.generation) {
    throw new EseError(
      'JET_errRequiredLogFilesMissing',
      `the database requires logs from generation ${genMinRequired} on, the first one here is ${lgposRedo.generation}`,
    );
  }
  if (bkinfoFullCur.genLow !== 0 && bkinfoFullCur.genHigh === 0) {
    throw new EseError('JET_errSoftRecoveryOnBackupDatabase');
  }
}

function consistentMismatch(): EseError {
  return new EseError(
    'JET_errConsistentTimeMismatch',
    'the file is an older copy than the logs continue, or was taken back',
  );
}
