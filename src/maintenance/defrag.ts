/**
 * Offline defragmentation, `/d` (format specification, chapters 7.3 and 6.4). All that is alive in a database is
 * copied into a new one, that is verified, and takes the place of the old one at the very end: until then the old
 * one is read only, and whatever happens leaves it as it is.
 */

import { dirname, join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { type DatabaseReader, openDatabaseReader } from '../engine/database-reader.js';
import { BASE_PAGES, DATABASE_STATE, HEADER_BYTES_MIN } from '../format/database-header.js';
import { encodeFiletime } from '../format/date-time.js';
import { EseError } from '../format/ese-error.js';
import { logtimeOf } from '../format/logtime.js';
import { newSignature } from '../format/signature.js';
import type { Environment } from '../io/environment.js';
import { guardedFile } from '../io/exclusive-file.js';
import type { FileHandle, FileLock, FileSystem, LockOptions, LockRole } from '../io/file-system.js';
import { nodeFileSystem } from '../io/node-file-system.js';
import { removeTemporaries, replaceFile } from '../io/replace-file.js';
import { defaultWorkers, type JobOptions, type Progress } from '../workers/pool.js';
import { type CopyReport, copyDatabase } from './defrag/copy-database.js';
import type { CopiedTable } from './defrag/copy-table.js';
import { startReadAhead } from './defrag/helper.js';
import {
  discard,
  installDatabase,
  isOneVolume,
  type OnMove,
  refuseForeignTemporary,
  takeBack,
  waitingPath,
  writeHeader,
} from './defrag/install.js';
import {
  bothCopies,
  finishedHeader,
  installedHeader,
  type NewIdentity,
  unfinishedHeader,
} from './defrag/new-header.js';
import { readHeaderOf } from './file-kind.js';
import { checkIntegrity } from './integrity.js';
import { removeAbandonedTemporaries } from './leftovers.js';
import { type Finding, type SignatureReport, signatureReport } from './report-values.js';
import { dumpSpace } from './space.js';

export interface DefragOptions extends JobOptions {
  /** Where the new database is made. Default: `TEMPDFRG.EDB` beside the old one. */
  readonly temp?: string | undefined;
  /** Where the old database is kept; it must not exist yet. Default: it is not. */
  readonly backup?: string | undefined;
  /** The new database stays at `temp`, and the old one where it is. */
  readonly preserveTemp?: boolean;
  /** Leave out the look at the free space of the volume. */
  readonly skipSpaceCheck?: boolean;
  /** Numbers of trees, columns and long values stay as they are. */
  readonly keepsIds?: boolean;
  /** Long values of a table that are stored in the same bytes become one. */
  readonly mergesLongValues?: boolean;
  /** The entries of indexes are computed from the rows and compared with those that were copied, before the new database is used. */
  readonly recomputesIndexes?: boolean;
  /** A failure leaves the unfinished copy at `temp`. */
  readonly keepsTemp?: boolean;
  /** Whom locks name. Default: `eseutil`. */
  readonly role?: LockRole;
  /** The page size that the database must have, in bytes. */
  readonly pageSize?: number | undefined;
  /** Told of each table that was copied. */
  readonly onTable?: ((table: DefragTable) => void) | undefined;
  /** Told of each move at the end, when it was made or has failed. */
  readonly onMove?: OnMove | undefined;
  /** Told of each unfinished database that a killed run has left and that was removed. */
  readonly onLeftover?: ((path: string) => void) | undefined;
  /** Told what is known of the run, before a failure is thrown. */
  readonly onFailure?: ((report: DefragReport) => void) | undefined;
}

/** The JSON form of a defragmentation. */
export interface DefragReport {
  readonly installed: boolean;
  /** The new database, where it stayed by itself. */
  readonly temp: string | null;
  readonly backup: string | null;
  readonly bytesBefore: number;
  readonly bytesAfter: number;
  /** The engine's own tables are not counted. */
  readonly tables: number;
  readonly records: number;
  readonly longValues: number;
  readonly orphansDropped: number;
  /** Long values that equal ones stand for now, where that was asked for. */
  readonly longValuesMerged?: number;
  readonly signDbBefore: SignatureReport;
  readonly signDbAfter: SignatureReport;
  readonly spaceNeededBytes: number;
  readonly spaceFreeBytes: number;
  readonly findings: readonly Finding[];
}

/** Figures of one table. Pages include those of its indexes and long values. */
export interface DefragTable extends CopiedTable {
  readonly pagesOwned: number;
  readonly pagesAvailable: number;
}

type Draft = { -readonly [K in keyof DefragReport]: DefragReport[K] };

/** Space that is asked for, by the size of what is alive (chapter 6.4, R4). */
const SPACE_FACTOR = 1.1;
const TEMPORARY_DEFAULT = 'TEMPDFRG.EDB';
const YIELD_MS = 16;
/** Parts of the progress: copying, then reading the result again. */
const COPY_PART = 3;
const VERIFY_PART = 1;

/**
 * Defragments a database.
 *
 * @throws EseError JET_errDatabaseDirtyShutdown for one that was not shut down cleanly, JET_errDiskFull when the
 *   volume has not the space, JET_errInvalidDatabase when two of the paths are one, JET_errFileAlreadyExists when
 *   something lies at `temp` or `backup`, the error of the first damaged page, and the signal's reason. The old
 *   database is untouched then.
 */
export async function defragment(
  environment: Environment,
  database: string,
  options: DefragOptions = {},
): Promise<DefragReport> {
  const { fs } = environment;
  const source = fs.resolveLink(database);
  const temp = options.temp ?? join(dirname(source), TEMPORARY_DEFAULT);
  const { backup } = options;
  options.signal?.throwIfAborted();
  const lock = fs.lock(source, lockOptions(options));
  try {
    if (backup !== undefined) takeBack(fs, source, backup);
    const reader = openDatabaseReader(fs, source);
    try {
      checkSource(reader, options.pageSize);
      checkPaths(fs, source, temp, backup);
      // A rename needs no permission of the file that it replaces.
      if (options.preserveTemp !== true) fs.open(source, 'write').close();
      for (const path of removeAbandonedTemporaries(fs, temp, lockOptions(options)))
        options.onLeftover?.(path);
      return await run({ environment, reader, source, temp, options });
    } finally {
      reader.close();
    }
  } finally {
    lock.release();
  }
}

function lockOptions({ role = 'eseutil' }: DefragOptions): LockOptions {
  return { role };
}

function checkSource({ header, path, pageSize }: DatabaseReader, wanted = pageSize): void {
  if (wanted !== pageSize) {
    throw new EseError('JET_errPageSizeMismatch', `the pages have ${pageSize} bytes, not ${wanted}`, {
      file: path,
    });
  }
  if (header.state === DATABASE_STATE.cleanShutdown) return;
  throw new EseError(
    'JET_errDatabaseDirtyShutdown',
    'only a database that was shut down cleanly can be defragmented',
    { file: path },
  );
}

/** Refuses paths that name one file twice, and files that nobody allowed to replace. */
function checkPaths(fs: FileSystem, source: string, temp: string, backup: string | undefined): void {
  const identity = (path: string): string | undefined =>
    fs.exists(path) ? fs.stat(path).identity : undefined;
  const own = identity(source);
  if (identity(temp) === own) {
    throw new EseError('JET_errInvalidDatabase', 'the temporary database must be another file', {
      file: temp,
    });
  }
  if (backup !== undefined) {
    if (identity(backup) === own || backup === temp) {
      throw new EseError('JET_errInvalidDatabase', 'the backup must be another file', { file: backup });
    }
    // An interrupted run may have left a copy there, or a part of one.
    if (fs.exists(backup) && !haveSameHeader(fs, source, backup)) {
      throw new EseError('JET_errFileAlreadyExists', undefined, { file: backup });
    }
  }
  for (const path of [temp, ...(backup === undefined ? [] : [backup])]) fs.stat(dirname(path));
  refuseForeignTemporary(fs, temp);
  // An interrupted run may have left a finished database there.
  const waiting = waitingPath(source);
  if (fs.exists(waiting) && fs.stat(waiting).size > 0 && readHeaderOf(fs, waiting) === undefined) {
    throw new EseError('JET_errFileAlreadyExists', 'the new database is to wait there for its place', {
      file: waiting,
    });
  }
}

function haveSameHeader(fs: FileSystem, a: string, b: string): boolean {
  const [first, second] = [a, b].map((path) => {
    const file = fs.open(path, 'read');
    try {
      const header = new Uint8Array(HEADER_BYTES_MIN);
      return file.readAt(header, 0) === header.length ? Buffer.from(header) : undefined;
    } finally {
      file.close();
    }
  });
  return first !== undefined && second !== undefined && first.equals(second);
}

interface Run {
  readonly environment: Environment;
  readonly reader: DatabaseReader;
  readonly source: string;
  readonly temp: string;
  readonly options: DefragOptions;
}

async function run({ environment, reader, source, temp, options }: Run): Promise<DefragReport> {
  const { fs, clock, random } = environment;
  const { backup, signal, onProgress } = options;
  const nowMs = clock.now();
  const now = logtimeOf(nowMs);
  const identity: NewIdentity = {
    signDb: newSignature(random.uint32(), now),
    signDbHdrFlush: newSignature(random.uint32(), now),
    now,
  };
  const { header, pageSize } = reader;
  const space = spaceOf(reader);
  const report: Draft = {
    installed: false,
    temp: null,
    backup: null,
    bytesBefore: fs.stat(source).size,
    bytesAfter: 0,
    tables: 0,
    records: 0,
    longValues: 0,
    orphansDropped: 0,
    signDbBefore: signatureReport(header.signDb),
    signDbAfter: signatureReport(identity.signDb),
    spaceNeededBytes: Math.ceil((space.usedPages + space.reservedPages) * pageSize * SPACE_FACTOR),
    spaceFreeBytes: fs.freeBytes(temp),
    findings: space.findings,
  };
  let isMade = false;
  // A lock without a living holder tells the next run what this one has left.
  let lock: FileLock | undefined;
  try {
    if (options.skipSpaceCheck !== true) checkSpace(fs, report, source, temp, options);
    removeTemporaries(fs, temp);
    discard(fs, waitingPath(source), source);
    lock = fs.lock(temp, lockOptions(options));
    isMade = true;
    replaceFile(environment, temp, bothCopies(unfinishedHeader(header, pageSize, identity)));
    fs.adoptAccess(temp, source);
    const target = guardedFile(fs.open(temp, 'write'), lock);
    let copied: CopyReport;
    let finished: Uint8Array;
    try {
      copied = await copyInto(reader, source, target, {
        fs,
        workers: options.workers ?? defaultWorkers(),
        keepsIds: options.keepsIds ?? false,
        mergesLongValues: options.mergesLongValues ?? false,
        placedAt: encodeFiletime(nowMs),
        signal,
        progress: partOf(onProgress, 0, COPY_PART, space.usedPages),
        onTable: (table) => {
          const { owned, available } = space.trees.get(table.objid) ?? { owned: 0, available: 0 };
          options.onTable?.({ ...table, pagesOwned: owned, pagesAvailable: available });
        },
      });
      finished = finishedHeader(header, pageSize, identity, copied.built);
      target.writeAt(bothCopies(finished), 0);
      target.sync();
      report.bytesAfter = target.size();
    } finally {
      target.close();
    }
    const { tables, records, longValues, orphansDropped, longValuesMerged, findings } = copied;
    Object.assign(report, {
      tables,
      records,
      longValues,
      orphansDropped,
      ...(options.mergesLongValues === true ? { longValuesMerged } : {}),
      findings: [...report.findings, ...findings],
    });
    await verify(environment, temp, options);
    onProgress?.(COPY_PART + VERIFY_PART, COPY_PART + VERIFY_PART);
    fs.syncDirectory(dirname(temp));
    const installed = bothCopies(installedHeader(finished));
    if (options.preserveTemp === true) {
      writeHeader(fs, temp, installed);
      return { ...report, temp };
    }
    reader.close();
    await installDatabase(fs, temp, source, backup, installed, { onMove: options.onMove, signal });
    return { ...report, installed: true, backup: backup ?? null };
  } catch (error) {
    if (isMade && options.keepsTemp !== true) discard(fs, temp, source);
    options.onFailure?.(report);
    if (!isMade || !(error instanceof EseError) || error.name !== 'JET_errDiskFull') throw error;
    if (error.file !== temp) throw error;
    throw new EseError(
      error.name,
      `the volume is full: it had ${report.spaceFreeBytes} bytes free, up to ${report.spaceNeededBytes} are needed`,
      { file: temp },
    );
  } finally {
    lock?.release();
  }
}

/** Progress of a part of the work, in units of its own. */
function partOf(
  onProgress: Progress | undefined,
  before: number,
  part: number,
  units: number,
): (done: number) => void {
  const whole = COPY_PART + VERIFY_PART;
  const total = Math.max(1, units);
  return (done) => onProgress?.(before * total + part * Math.min(done, total), whole * total);
}

interface CopyIntoOptions {
  readonly fs: FileSystem;
  readonly workers: number;
  readonly keepsIds: boolean;
  readonly mergesLongValues: boolean;
  readonly placedAt: Uint8Array;
  readonly signal: AbortSignal | undefined;
  readonly progress: (pages: number) => void;
  readonly onTable: (table: CopiedTable) => void;
}

async function copyInto(
  reader: DatabaseReader,
  source: string,
  target: FileHandle,
  { fs, workers, signal, progress, ...options }: CopyIntoOptions,
): Promise<CopyReport> {
  const file = fs.open(source, 'read');
  const helper = workers > 1 && fs === nodeFileSystem ? startReadAhead(reader) : undefined;
  try {
    const steps = copyDatabase(reader, file, target, { ...options, ahead: helper?.ahead });
    let yieldedAt = performance.now();
    for (let pages = 0; ; pages++) {
      const step = steps.next();
      if (step.done === true) return step.value;
      if (performance.now() - yieldedAt < YIELD_MS) continue;
      progress(pages);
      await setImmediate();
      signal?.throwIfAborted();
      yieldedAt = performance.now();
    }
  } catch (error) {
    throw error instanceof EseError ? error.at({ file: source }) : error;
  } finally {
    await helper?.end();
    file.close();
  }
}

interface SpaceInUse {
  /** Pages that hold something, or belong to a space tree. */
  readonly usedPages: number;
  /** Pages that tables and the catalog get at least, beyond what they use. */
  readonly reservedPages: number;
  /** Pages of each tree by its number; those of a table include its children's. */
  readonly trees: ReadonlyMap<number, { readonly owned: number; readonly available: number }>;
  readonly findings: readonly Finding[];
}

/** What is in use in a database, and the findings of looking. */
function spaceOf(reader: DatabaseReader): SpaceInUse {
  const { trees, ownedPages, availablePages } = dumpSpace(reader);
  const findings = trees.flatMap(({ name, objid, error }): Finding[] => {
    if (error === undefined) return [];
    const message = `the space of ${name} cannot be read and is made anew: ${error.message}`;
    return [{ code: 'SPACE_HEADER', severity: 'warning', message, objid, object: name }];
  });
  // Where it is not known how much is used, all of it is.
  const usedPages = findings.length > 0 ? reader.source.lastPgno : ownedPages - availablePages;
  const byObjid = new Map(
    trees.map((tree) => [tree.objid, { owned: tree.ownedPages, available: tree.availablePages }]),
  );
  const reservedPages = reader.tables().reduce((sum, { objid, pages }) => {
    const { owned, available } = byObjid.get(objid) ?? { owned: 0, available: 0 };
    return sum + Math.max(0, pages - (owned - available));
  }, BASE_PAGES);
  return { usedPages: Math.max(1, usedPages), reservedPages, trees: byObjid, findings };
}

/** Looks at the free space of each volume that something is to be written to. */
function checkSpace(
  fs: FileSystem,
  { spaceNeededBytes, spaceFreeBytes, bytesBefore }: DefragReport,
  source: string,
  temp: string,
  { backup, preserveTemp }: DefragOptions,
): void {
  const isFar = (path: string): boolean => !isOneVolume(fs, dirname(path), dirname(source));
  const installs = preserveTemp !== true;
  const wanted: [path: string, needed: number, free: number][] = [[temp, spaceNeededBytes, spaceFreeBytes]];
  // What cannot be renamed into its place is copied there.
  if (installs && isFar(temp)) wanted.push([source, spaceNeededBytes, fs.freeBytes(source)]);
  if (installs && backup !== undefined && isFar(backup)) {
    wanted.push([backup, bytesBefore, fs.freeBytes(backup)]);
  }
  for (const [file, needed, free] of wanted) {
    if (free >= needed) continue;
    throw new EseError(
      'JET_errDiskFull',
      `the volume has ${free} bytes free; ${needed} are needed, 110 % of what is in use or reserved (110 % of the file are ${Math.ceil(bytesBefore * SPACE_FACTOR)})`,
      { file },
    );
  }
}

/** Reads the new database again and checks its structure; what is wrong in it was wrong in the old one. */
async function verify(
  environment: Environment,
  temp: string,
  { workers, signal, onProgress, recomputesIndexes = false }: DefragOptions,
): Promise<void> {
  const { report, error } = await checkIntegrity(environment, temp, {
    workers,
    signal,
    comparesIndexes: recomputesIndexes,
    onProgress: (done, total) => partOf(onProgress, COPY_PART, VERIFY_PART, total)(done),
  });
  if (error === undefined) return;
  const first = report.findings.find(({ severity }) => severity === 'error');
  throw new EseError(
    error.name,
    `the copy is not sound (${first?.code ?? 'unknown'}: ${first?.message ?? error.detail}), so the database is damaged; repair it first (/p)`,
  );
}
