/**
 * Repair, `/p` (format specification, chapters 7.2 and 6.4). What is only wrong in the header, or by single bits, is
 * mended where it lies; for everything else the database is made anew out of what can be read, verified, and put in
 * the place of the old one at the very end, so that at every moment the old or the new one is there in full.
 */

import { basename, dirname } from 'node:path';
import {
  DATABASE_STATE,
  databaseStateName,
  decodeDatabaseHeader,
  writeHeaderFields,
} from '../format/database-header.js';
import { EseError } from '../format/ese-error.js';
import { type Logtime, logtimeOf } from '../format/logtime.js';
import { newSignature, type Signature } from '../format/signature.js';
import type { Environment } from '../io/environment.js';
import type { FileHandle, FileLock, FileSystem, LockOptions } from '../io/file-system.js';
import { replaceFileInTurns } from '../io/replace-file.js';
import type { JobOptions } from '../workers/pool.js';
import { copyBytes, discard, installDatabase } from './defrag/install.js';
import { flushMapPath } from './flush-states.js';
import { checkIntegrity, type IntegrityResult } from './integrity.js';
import { type Diagnosis, diagnose } from './repair/diagnosis.js';
import { changedBytes, changeInPlace, type PageChanges } from './repair/in-place.js';
import { type PageScan, scanPages } from './repair/page-scan.js';
import { checkPlaces, placesOf, type RepairPlaces, removeLeftovers, waitingPath } from './repair/places.js';
import { type Rebuilt, rebuildDatabase } from './repair/rebuild.js';
import type { RepairedTable, RepairOptions, RepairReport, RepairResult } from './repair/repair-report.js';
import { repairedHeader, SIGNATURE_CHANGES } from './repair/repaired-header.js';
import { openRepairSource, type RepairSource } from './repair/source-view.js';
import { type ReadableBytes, writeUndoFile } from './repair/undo-file.js';
import { type Finding, signatureReport } from './report-values.js';

type Draft = { -readonly [K in keyof RepairReport]: RepairReport[K] };

const FINDINGS_MAX = 100_000;

/**
 * Repairs a database: into a file of its own, or with `inPlace` in the place of the old one.
 *
 * @throws EseError JET_errDatabaseCorrupted where it cannot be repaired, JET_errDatabaseCorruptedNoRepair for the
 *   database of a directory service that would lose something, JET_errDiskFull when the volume has not the space,
 *   JET_errFileAlreadyExists when something lies where a file is to be made, JET_errInvalidDatabase when two of the
 *   paths are one, those of the file system, and the signal's reason. The database is as it was before then, or
 *   repaired; `/p` again ends a work that was interrupted.
 */
export async function repair(
  environment: Environment,
  database: string,
  options: RepairOptions = {},
): Promise<RepairResult> {
  const { fs } = environment;
  const path = fs.resolveLink(database);
  const { signal } = options;
  signal?.throwIfAborted();
  const lock = lockSource(fs, path, options);
  try {
    const places = placesOf(path, options);
    // What hinders the work is better said now than after a check that takes long.
    if (options.schemaFrom !== undefined) fs.stat(options.schemaFrom);
    if (options.checksOnly !== true) {
      checkPlaces(fs, places, lockOptions(options));
      for (const leftover of removeLeftovers(fs, places, lockOptions(options)))
        options.onLeftover?.(leftover);
    }
    const startedAt = logtimeOf(environment.clock.now());
    const source = openRepairSource(fs, path, options.forceHeader ?? false, options.pageSize);
    options.onPhase?.('check');
    const check = await checkIntegrity({ fs: source.fs }, path, {
      ...jobOptions(options),
      // What is done must not depend on what is listed.
      findingsMax: FINDINGS_MAX,
    });
    return await new Repair(environment, places, source, check, options, startedAt).run();
  } finally {
    lock?.release();
  }
}

/** A database that is only read may lie where no lock can be made, if nobody works on it. */
function lockSource(fs: FileSystem, path: string, options: RepairOptions): FileLock | undefined {
  try {
    return fs.lock(path, lockOptions(options));
  } catch (error) {
    const isReadOnly = options.inPlace !== true || options.checksOnly === true;
    if (!(error instanceof EseError) || !isReadOnly || fs.lockHolder(path) !== undefined) throw error;
    return undefined;
  }
}

function lockOptions({ role = 'eseutil' }: RepairOptions): LockOptions {
  return { role };
}

function jobOptions({ workers, signal, onProgress }: JobOptions): JobOptions {
  return { workers, signal, onProgress };
}

/** One run, when it is known what is wrong. */
class Repair {
  readonly #environment: Environment;
  readonly #places: RepairPlaces;
  readonly #source: RepairSource;
  readonly #check: IntegrityResult;
  readonly #options: RepairOptions;
  readonly #startedAt: Logtime;
  readonly #report: Draft;
  readonly #signatures: Signature[] = [];

  constructor(
    environment: Environment,
    places: RepairPlaces,
    source: RepairSource,
    check: IntegrityResult,
    options: RepairOptions,
    startedAt: Logtime,
  ) {
    this.#environment = environment;
    this.#places = places;
    this.#source = source;
    this.#check = check;
    this.#options = options;
    this.#startedAt = startedAt;
    const { header } = source;
    const state = databaseStateName(header.state);
    this.#report = {
      action: 'none',
      headerChanged: false,
      pageSize: source.pageSize,
      bytes: source.fileBytes,
      stateBefore: state,
      stateAfter: state,
      requiredLogs: { low: header.genMinRequired, high: header.genMaxRequired },
      repairCount: header.repairCount,
      signDbBefore: signatureReport(header.signDb),
      signDbAfter: signatureReport(header.signDb),
      output: places.source,
      undoFile: null,
      keptLost: null,
      pages: check.report.pages,
      correctedPages: 0,
      tables: untouchedTables(check),
      findings: sourceFindings(source, check),
      ...(check.report.findingsTruncated === true ? { findingsTruncated: true } : {}),
    };
  }

  async run(): Promise<RepairResult> {
    const diagnosis = diagnose(this.#check, this.#source, {
      keepsOrphans: this.#options.keepOrphans ?? false,
    });
    if (!isAnythingToDo(diagnosis)) return this.#result();
    if (this.#options.checksOnly === true || this.#options.confirm?.(this.#check) === false) {
      this.#report.action = 'declined';
      return this.#result();
    }
    refuseUnknownState(this.#check);
    const { fs, path, pageSize } = this.#source;
    this.#options.onPhase?.('scan');
    const scan = await scanPages(fs, path, pageSize, jobOptions(this.#options));
    this.#report.correctedPages = scan.corrected.length;
    return diagnosis.needsRebuild ? this.#rebuild(diagnosis, scan) : this.#mendInPlace(diagnosis, scan);
  }

  #result(rebuilt?: Rebuilt): RepairResult {
    const { findings, ...rest } = this.#report;
    const most = this.#options.findingsMax ?? FINDINGS_MAX;
    const report: RepairReport = {
      ...rest,
      findings: findings.slice(0, most),
      ...(findings.length > most ? { findingsTruncated: true } : {}),
    };
    return {
      report,
      check: this.#check,
      lost: rebuilt?.lost ?? false,
      signatures: this.#signatures,
      catalogFrom: rebuilt?.catalogFrom,
      duplicates: rebuilt?.duplicates ?? [],
    };
  }

  /** Header and single bits. */
  async #mendInPlace(diagnosis: Diagnosis, scan: PageScan): Promise<RepairResult> {
    const { fs } = this.#environment;
    const { source, output } = this.#places;
    const changes: PageChanges = {
      header: this.#headerFor(diagnosis, scan, scan.corrected.length),
      corrected: scan.corrected.map(({ pgno }) => pgno),
    };
    if (changes.header === undefined && changes.corrected.length === 0) return this.#result();
    const file = fs.open(source, output === undefined ? 'write' : 'read');
    try {
      const after = changedBytes(file, this.#source, changes);
      if (output !== undefined) {
        await replaceFileInTurns(this.#environment, output, async (draft) => {
          fs.adoptAccess(draft.path, source);
          await copyBytes(after, draft, this.#options.signal);
        });
      } else {
        await this.#keepUndo(file, after);
        changeInPlace(file, this.#source, changes);
        if (diagnosis.needsNewHeader) removeFlushMap(fs, source);
      }
      this.#report.bytes = after.size();
    } finally {
      file.close();
    }
    return this.#finish(changes.header);
  }

  /** The header that the repaired database gets; undefined = the one that it has. */
  #headerFor(diagnosis: Diagnosis, scan: PageScan, corrected: number): Uint8Array | undefined {
    const { headerBytes, header } = this.#source;
    if (!diagnosis.needsNewHeader && !diagnosis.needsHeaderCopy && corrected === 0) return undefined;
    const bytes = headerBytes.slice();
    const now = logtimeOf(this.#environment.clock.now());
    if (diagnosis.needsNewHeader) {
      writeHeaderFields(bytes, {
        ...repairedHeader(header, this.#newIdentity(scan, now)),
        signDbHdrFlush: this.#newSignature(now),
      });
    }
    if (corrected > 0) {
      writeHeaderFields(bytes, {
        eccFixSuccess: header.eccFixSuccess + corrected,
        logtimeEccFixSuccess: now,
        signDbHdrFlush: this.#newSignature(now),
      });
    }
    return bytes;
  }

  #newIdentity(scan: PageScan, now: Logtime) {
    const { header } = this.#source;
    // The signature is changed before the work and after it; the one in between is seen in the report only.
    for (let i = 0; i < SIGNATURE_CHANGES; i++) this.#signatures.push(this.#newSignature(now));
    return {
      signDb: this.#signatures.at(-1) ?? header.signDb,
      startedAt: this.#startedAt,
      now,
      dbtimeSeen: Math.max(header.dbtimeDirtied, scan.dbtimeMax),
      objidSeen: Math.max(header.objidLast, scan.objidMax),
    };
  }

  #newSignature(now: Logtime): Signature {
    return newSignature(this.#environment.random.uint32(), now);
  }

  async #keepUndo(before: FileHandle, after: ReadableBytes): Promise<void> {
    const { undoFile } = this.#places;
    if (undoFile === undefined) return;
    this.#options.onPhase?.('undo');
    await writeUndoFile(this.#environment, undoFile, before, after, this.#source.pageSize, this.#options);
    this.#report.undoFile = undoFile;
  }

  /** Everything else: a new database in the place of the old one. */
  async #rebuild(diagnosis: Diagnosis, scan: PageScan): Promise<RepairResult> {
    const { fs } = this.#environment;
    const { source, temp, output } = this.#places;
    const now = logtimeOf(this.#environment.clock.now());
    const identity = this.#newIdentity(scan, now);
    const target = output ?? source;
    const tempLock = fs.lock(temp, lockOptions(this.#options));
    try {
      const rebuilt = await rebuildDatabase({
        environment: this.#environment,
        source: this.#source,
        check: this.#check,
        scan,
        diagnosis,
        temp,
        tempLock,
        identity: { ...identity, signDbHdrFlush: this.#newSignature(now) },
        options: this.#options,
        findings: this.#report.findings,
      });
      await this.#verify(temp);
      const header = rebuilt.installedHeader;
      const after = fs.open(temp, 'read');
      try {
        this.#report.bytes = after.size();
        if (output === undefined && this.#places.undoFile !== undefined) {
          const before = fs.open(source, 'read');
          try {
            await this.#keepUndo(before, withHeader(after, header));
          } finally {
            before.close();
          }
        }
      } finally {
        after.close();
      }
      const { signal } = this.#options;
      await installDatabase(fs, temp, target, undefined, header, { waiting: waitingPath(target), signal });
      this.#report.pages = rebuilt.pages;
      this.#report.tables = rebuilt.tables;
      this.#report.findings = rebuilt.findings;
      this.#report.keptLost = rebuilt.keptLost;
      this.#finish(header.subarray(0, this.#source.pageSize));
      return this.#result(rebuilt);
    } catch (error) {
      discard(fs, temp, source);
      discard(fs, waitingPath(target), source);
      throw error;
    } finally {
      tempLock.release();
    }
  }

  /** Nothing takes the place of a database that is not sound itself. */
  async #verify(temp: string): Promise<void> {
    this.#options.onPhase?.('verify');
    const { report, error } = await checkIntegrity(this.#environment, temp, jobOptions(this.#options));
    if (error === undefined) return;
    const first = report.findings.find(({ severity }) => severity === 'error');
    throw new EseError(
      error.name,
      `the repaired database is not sound (${first?.code ?? 'unknown'}: ${first?.message ?? error.detail}); the old one is untouched`,
    );
  }

  #finish(header: Uint8Array | undefined): RepairResult {
    const report = this.#report;
    report.action = 'repaired';
    report.output = this.#places.output ?? this.#places.source;
    report.headerChanged = header !== undefined;
    if (header !== undefined) {
      const now = decodeDatabaseHeader(header);
      report.stateAfter = databaseStateName(now.state);
      report.repairCount = now.repairCount;
      report.signDbAfter = signatureReport(now.signDb);
    }
    return this.#result();
  }
}

function isAnythingToDo(diagnosis: Diagnosis): boolean {
  const { needsRebuild, needsNewHeader, needsHeaderCopy, needsCorrection } = diagnosis;
  return needsRebuild || needsNewHeader || needsHeaderCopy || needsCorrection;
}

/** States in which the contents mean nothing: the file was being made or converted (chapter 7.1.2). */
const STATES_REPAIRED: readonly number[] = [
  DATABASE_STATE.dirtyShutdown,
  DATABASE_STATE.cleanShutdown,
  DATABASE_STATE.forceDetach,
  DATABASE_STATE.incrementalReseedInProgress,
  DATABASE_STATE.dirtyAndPatchedShutdown,
  DATABASE_STATE.revertInProgress,
];

function refuseUnknownState({ header, stateName }: IntegrityResult): void {
  if (STATES_REPAIRED.includes(header.state)) return;
  throw new EseError(
    'JET_errDatabaseCorrupted',
    `the database is in the state ${header.state} (${stateName}): nothing of it can be trusted`,
  );
}

/** Tables of a database in which no page had to be made anew. */
function untouchedTables({ report, outline }: IntegrityResult): RepairedTable[] {
  const indexes = new Map(outline.map((table) => [table.objid, table.indexes]));
  return report.tables.map(({ name, objid, records, longValues }) => ({
    name,
    objid,
    recovered: false,
    records: { kept: records, lost: { known: 0, estimated: 0 }, unverified: 0, superseded: 0, dropped: 0 },
    longValues: { kept: longValues, nulled: 0, refCountFixed: 0, orphaned: 0 },
    indexes: (indexes.get(objid) ?? []).map((index) => ({
      name: index.name,
      action: 'ok' as const,
      entries: index.entries,
    })),
  }));
}

const ACTIONS_IN_PLACE: Readonly<Record<string, string>> = {
  HDR_PRIMARY_BAD: 'rewritten from the shadow',
  HDR_SHADOW_BAD: 'rewritten from the header',
  PAGE_ECC_FIXED: 'corrected',
  PAGE_DBTIME: 'dbtime of the header raised',
};

/** What was wrong with the file, with what is done about it where that is known beforehand. */
function sourceFindings(
  { headerSource, fileBytes, wholeBytes }: RepairSource,
  check: IntegrityResult,
): Finding[] {
  const own: Finding[] = [];
  if (headerSource === 'found' || headerSource === 'made') {
    own.push({
      code: 'HDR_BOTH_BAD',
      severity: 'error',
      message: 'both copies of the database header are damaged',
      pgno: -1,
      action:
        headerSource === 'found' ? 'the page size in the header was put right' : 'a new header was made',
    });
  }
  if (fileBytes !== wholeBytes) {
    own.push({
      code: 'SIZE_NOT_MULTIPLE',
      severity: 'error',
      message: `the file ends within a page, of which ${fileBytes - wholeBytes} bytes are there`,
      action: 'truncated',
    });
  }
  const listed = check.report.findings.map((finding) => {
    const action = ACTIONS_IN_PLACE[finding.code];
    return action === undefined ? finding : { ...finding, action };
  });
  return [...own, ...listed];
}

/** A file with other headers. */
function withHeader(file: FileHandle, header: Uint8Array): ReadableBytes {
  return {
    size: () => file.size(),
    readAt(into, offset) {
      const read = file.readAt(into, offset);
      for (let at = offset; at < Math.min(offset + read, header.length); at++) {
        into[at - offset] = header[at] as number;
      }
      return read;
    },
  };
}

/** A flush map says nothing about a database with another identity. */
function removeFlushMap(fs: FileSystem, database: string): void {
  const map = flushMapPath(database);
  if (basename(map) === basename(database) || !fs.exists(map)) return;
  fs.unlink(map);
  fs.syncDirectory(dirname(map));
}
