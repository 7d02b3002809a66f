import { join } from 'node:path';
import type { AttachInfo } from '../format/attach-info.js';
import { CHECKPOINT_FLAG, type Checkpoint } from '../format/checkpoint.js';
import { DATABASE_STATE } from '../format/database-header.js';
import { EseError, type Lgpos } from '../format/ese-error.js';
import type { LogHeader } from '../format/log-header.js';
import { copyLogRecord } from '../format/log-record.js';
import { LRTYP } from '../format/log-record-type.js';
import { type Signature, signaturesEqual } from '../format/signature.js';
import type { FileSystem } from '../io/file-system.js';
import { BASE_NAME_LENGTH, CHECKPOINT_EXTENSIONS } from '../io/log-file-names.js';
import { readCheckpointFile } from './checkpoint-file.js';
import { findDatabase } from './database-header-file.js';
import type { DatabaseLocation, DatabaseMap } from './database-map.js';
import { findLastRecord, openLog, readLogHeader } from './log-reader.js';
import type { LogFileEntry, LogStreamFiles } from './log-stream.js';

/**
 * Where redo starts (format specification, chapter 5.3.1): from the checkpoint if there is a good one, else
 * from the lowest log.
 */

/** One generation of the stream, or the lack of it. */
export type StreamStep =
  | { readonly kind: 'log'; readonly generation: number; readonly entry: LogFileEntry }
  | { readonly kind: 'missing'; readonly generation: number; readonly error: EseError };

/** The stream as its files present it. */
export interface RecoveryStream {
  readonly files: LogStreamFiles;
  /** Header of the highest log that can be read: signature, page size. What lies below may be of an older stream. */
  readonly header: LogHeader;
  /** Generation of the current log; `undefined` when it is absent. */
  readonly currentGeneration: number | undefined;
  readonly checkpoint: CheckpointFile;
}

/** The checkpoint file, as far as it is of use. */
export interface CheckpointFile {
  /** Where it is, or where it is to be written. */
  readonly path: string;
  /** `undefined`: absent, damaged, or of another stream; recovery goes on without. */
  readonly checkpoint: Checkpoint | undefined;
  /** There is a file, and it is damaged or of another stream. */
  readonly isPassedOver: boolean;
}

/** Looks at the files of a stream. Throws `JET_errMissingLogFile` when there are none, and errors of headers. */
export function openStream(fs: FileSystem, files: LogStreamFiles, systemPath: string): RecoveryStream {
  const { archived, current } = files;
  const lowest = archived[0] ?? current;
  if (lowest === undefined) throw new EseError('JET_errMissingLogFile', undefined, { file: files.directory });
  const currentHeader = current === undefined ? undefined : tryHeader(fs, current);
  const header = currentHeader ?? highestHeader(fs, archived) ?? readLogHeader(fs, lowest.path);
  // A current log whose header is damaged can only be the one behind the last archived log.
  const currentGeneration =
    current === undefined ? undefined : (currentHeader?.generation ?? (archived.at(-1)?.generation ?? 0) + 1);
  return { files, header, currentGeneration, checkpoint: findCheckpoint(fs, files, systemPath, header) };
}

function highestHeader(fs: FileSystem, archived: readonly LogFileEntry[]): LogHeader | undefined {
  for (const entry of archived.toReversed()) {
    const header = tryHeader(fs, entry);
    if (header !== undefined) return header;
  }
  return undefined;
}

function tryHeader(fs: FileSystem, entry: LogFileEntry): LogHeader | undefined {
  try {
    return readLogHeader(fs, entry.path);
  } catch (error) {
    if (error instanceof EseError && error.name === 'JET_errLogFileCorrupt') return undefined;
    throw error;
  }
}

function findCheckpoint(
  fs: FileSystem,
  files: LogStreamFiles,
  systemPath: string,
  header: LogHeader,
): CheckpointFile {
  const { baseName, extension } = files;
  const names = fs.exists(systemPath) ? fs.readdir(systemPath) : [];
  const found = CHECKPOINT_EXTENSIONS.map((one) => `${baseName}${one}`.toLowerCase()).flatMap((wanted) =>
    names.filter((name) => name.toLowerCase() === wanted),
  )[0];
  if (found === undefined) {
    const own = extension === '.jtx' ? '.jcp' : '.chk';
    // The base name as the logs spell it, whatever was typed.
    const spelling = (files.current ?? files.archived[0])?.name.slice(0, BASE_NAME_LENGTH) ?? baseName;
    return { path: join(systemPath, `${spelling}${own}`), checkpoint: undefined, isPassedOver: false };
  }
  const path = join(systemPath, found);
  const checkpoint = readOwnCheckpoint(fs, path, header);
  return { path, checkpoint, isPassedOver: checkpoint === undefined };
}

/** The checkpoint in a file, if it is good and belongs to the stream: what is not is passed over (chapter 5.2.1). */
function readOwnCheckpoint(fs: FileSystem, path: string, header: LogHeader): Checkpoint | undefined {
  try {
    const { checkpoint } = readCheckpointFile(fs, path);
    if (checkpoint === undefined || !signaturesEqual(checkpoint.signLog, header.signLog)) return undefined;
    const { generation, isec } = checkpoint.lgposCheckpoint;
    return generation >= 1 && isec >= 0 ? checkpoint : undefined;
  } catch (error) {
    if (
      error instanceof EseError &&
      (error.name === 'JET_errFileInvalidType' || error.name === 'JET_errCheckpointCorrupt')
    ) {
      return undefined;
    }
    throw error;
  }
}

/** How the start was chosen. */
export type StartReason =
  | 'checkpoint'
  | 'checkpointGeneration'
  | 'lowestLog'
  | 'rebuild'
  /** A database requires logs in front of the checkpoint. */
  | 'required'
  /** The checkpoint lies behind the last log, and the caller accepts the loss of what lay between. */
  | 'checkpointBeyond';

export interface StartPoint {
  readonly lgpos: Lgpos;
  readonly attachments: readonly AttachInfo[];
  readonly reason: StartReason;
}

/**
 * Chooses where redo starts.
 *
 * Throws `JET_errMissingLogFile` when the log that the checkpoint names is absent, and
 * `JET_errMissingPreviousLogFile` when the stream ends before the checkpoint, unless that loss is accepted.
 */
export function chooseStart(
  fs: FileSystem,
  stream: RecoveryStream,
  map: DatabaseMap,
  acceptLoss: boolean,
): StartPoint {
  const { checkpoint } = stream.checkpoint;
  if (checkpoint === undefined) return startAtLowest(fs, stream, 'lowestLog');
  if (canRebuild(fs, stream, map)) return startAtLowest(fs, stream, 'rebuild');
  const { lgposCheckpoint, flags } = checkpoint;
  const { generation } = lgposCheckpoint;
  const { files, currentGeneration } = stream;
  const last = lastGeneration(stream);
  const entry = entryOf(stream, generation);
  if (entry === undefined) {
    // A crash between the renames of a roll-over can leave the checkpoint one generation behind.
    if (currentGeneration === generation + 1)
      return startOf(fs, stream, currentGeneration, 'checkpointGeneration');
    if (generation > last) {
      if (acceptLoss) return startAtLowest(fs, stream, 'checkpointBeyond');
      throw new EseError(
        'JET_errMissingPreviousLogFile',
        `the checkpoint lies in generation ${generation}, the last log is ${last}`,
        {
          file: files.directory,
        },
      );
    }
    throw new EseError(
      'JET_errMissingLogFile',
      `the checkpoint lies in generation ${generation}, whose log is absent`,
      {
        file: files.directory,
      },
    );
  }
  if ((flags & CHECKPOINT_FLAG.attachList) === 0)
    return startOf(fs, stream, generation, 'checkpointGeneration');
  const lgpos = lgposCheckpoint.isec === 0 ? { generation, isec: 1, ib: 0 } : lgposCheckpoint;
  return { lgpos, attachments: checkpoint.attachments, reason: 'checkpoint' };
}

/** The highest generation of which there is a log. */
export function lastGeneration({ files, currentGeneration }: RecoveryStream): number {
  return Math.max(files.archived.at(-1)?.generation ?? 0, currentGeneration ?? 0);
}

/**
 * The start that a database asks for, where it requires logs in front of `chosen` and they are here: a copy from
 * before, or a checkpoint that is not to be trusted. No checkpoint makes redo pass over what a header requires (format
 * specification, chapter 7.6.2, row 59).
 *
 * @param isDone whether there is nothing to redo behind `chosen`: then the log that it lies in counts, too
 */
export function requiredStart(
  fs: FileSystem,
  stream: RecoveryStream,
  map: DatabaseMap,
  chosen: StartPoint,
  isDone: boolean,
): StartPoint | undefined {
  const before = chosen.lgpos.generation + (isDone ? 1 : 0);
  const generations = attachmentsFrom(fs, stream, chosen, isDone)
    .flatMap(({ names, signDb }) => requiredBy(fs, stream, map.locate(names[0] ?? '', signDb), signDb))
    .filter((generation) => generation < before && entryOf(stream, generation) !== undefined);
  if (generations.length === 0) return undefined;
  const first = Math.min(...generations);
  const isWhole = stepsFrom(stream, first, true).every(
    (step) => step.kind === 'log' || step.generation >= before,
  );
  return isWhole ? startOf(fs, stream, first, 'required') : undefined;
}

type KnownDatabase = Pick<AttachInfo, 'names' | 'signDb'>;

/** The databases that the stream knows where redo is to start, and later. */
function attachmentsFrom(
  fs: FileSystem,
  { files, header }: RecoveryStream,
  chosen: StartPoint,
  isDone: boolean,
): KnownDatabase[] {
  const { archived, current } = files;
  // The last log may be begun behind the end of the run whose databases it would list.
  const logs = archived.filter(({ generation }) => generation >= chosen.lgpos.generation - 1);
  if (current !== undefined) logs.push(current);
  const lists = logs.map((entry): readonly KnownDatabase[] => {
    const one = tryHeader(fs, entry);
    if (one === undefined || !signaturesEqual(one.signLog, header.signLog)) return [];
    return isDone ? [...one.attachments, ...attachedIn(fs, entry)] : one.attachments;
  });
  return [...chosen.attachments, ...lists.flat()];
}

/** The databases that a log attaches or creates, as far as it can be read. */
function attachedIn(fs: FileSystem, { path }: LogFileEntry): KnownDatabase[] {
  const found: KnownDatabase[] = [];
  try {
    const log = openLog(fs, path);
    try {
      while (log.next()) {
        const { lrtyp } = log.cursor;
        if (lrtyp !== LRTYP.CreateDB && lrtyp !== LRTYP.AttachDB) continue;
        const record = copyLogRecord(log.cursor.record());
        if (record.name !== 'CreateDB' && record.name !== 'AttachDB') continue;
        found.push({ names: [record.path], signDb: record.signDb });
      }
    } finally {
      log.close();
    }
  } catch (error) {
    if (!(error instanceof EseError)) throw error;
  }
  return found;
}

/** The generation from which on a database requires logs, if the stream is its own and reaches far enough. */
function requiredBy(
  fs: FileSystem,
  stream: RecoveryStream,
  location: DatabaseLocation,
  signDb: Signature,
): number[] {
  const found = location.kind === 'at' ? findDatabase(fs, location.path) : undefined;
  if (found?.kind !== 'found') return [];
  const { state, signLog, genMinRequired, genMaxRequired, ...header } = found.header;
  const isOwn = signaturesEqual(header.signDb, signDb) && signaturesEqual(signLog, stream.header.signLog);
  if (state !== DATABASE_STATE.dirtyShutdown || !isOwn || genMaxRequired > lastGeneration(stream)) return [];
  return genMinRequired > 0 ? [genMinRequired] : [];
}

/** The first sector of the lowest log. */
export function startAtLowest(fs: FileSystem, stream: RecoveryStream, reason: StartReason): StartPoint {
  const { files, currentGeneration } = stream;
  return startOf(fs, stream, files.archived[0]?.generation ?? currentGeneration ?? 0, reason);
}

/** The first sector of a generation, with the databases that its header lists. */
function startOf(
  fs: FileSystem,
  stream: RecoveryStream,
  generation: number,
  reason: StartReason,
): StartPoint {
  const entry = entryOf(stream, generation);
  if (entry === undefined)
    throw new EseError('JET_errMissingLogFile', undefined, { file: stream.files.directory });
  const header = readLogHeader(fs, entry.path);
  return { lgpos: { generation, isec: 1, ib: 0 }, attachments: header.attachments, reason };
}

function entryOf({ files, currentGeneration }: RecoveryStream, generation: number): LogFileEntry | undefined {
  return (
    files.archived.find((entry) => entry.generation === generation) ??
    (currentGeneration === generation ? files.current : undefined)
  );
}

/**
 * Whether a database is to be rebuilt from nothing: the caller said where databases lie, and the stream reaches
 * back without a gap to the creation of one that is not there. Redo from the checkpoint would leave it missing.
 */
function canRebuild(fs: FileSystem, stream: RecoveryStream, map: DatabaseMap): boolean {
  if (!map.isExplicit) return false;
  const first = entryOf(stream, 1);
  if (first === undefined || stepsFrom(stream, 1, true).some(({ kind }) => kind === 'missing')) return false;
  const log = openLog(fs, first.path);
  try {
    while (log.next()) {
      if (log.cursor.lrtyp !== LRTYP.CreateDB) continue;
      const record = log.cursor.record();
      if (record.name !== 'CreateDB') continue;
      const location = map.locate(record.path, record.signDb);
      if (location.kind === 'at' && !fs.exists(location.path)) return true;
    }
    return false;
  } catch (error) {
    if (error instanceof EseError) return false;
    throw error;
  } finally {
    log.close();
  }
}

/** The generations from `first` on, in order, gaps included. */
export function stepsFrom(stream: RecoveryStream, first: number, acceptLoss: boolean): StreamStep[] {
  const { files, currentGeneration } = stream;
  const { directory } = files;
  const steps: StreamStep[] = [];
  let expected = first;
  const missing = (generation: number, what: string): void => {
    const error = new EseError('JET_errMissingLogFile', what, { file: directory });
    steps.push({ kind: 'missing', generation, error });
  };
  for (const entry of files.archived) {
    if (entry.generation < first) continue;
    if (entry.generation !== expected) {
      const { current } = files;
      if (current === undefined || currentGeneration !== expected) {
        missing(expected, `the log of generation ${expected} is absent, though later ones are there`);
        return steps;
      }
      steps.push({ kind: 'log', generation: expected, entry: current });
      missing(
        expected + 1,
        `the current log is generation ${expected}, though generation ${entry.generation} is archived`,
      );
      return steps;
    }
    steps.push({ kind: 'log', generation: entry.generation, entry });
    expected++;
  }
  if (files.current !== undefined && currentGeneration !== undefined) {
    if (currentGeneration > expected) {
      missing(
        expected,
        `the log of generation ${expected} is absent, though the current one is ${currentGeneration}`,
      );
    } else if (currentGeneration === expected) {
      steps.push({ kind: 'log', generation: expected, entry: files.current });
    } else {
      const error = new EseError(
        'JET_errInvalidLogSequence',
        `the current log is generation ${currentGeneration}, though generation ${expected - 1} is archived`,
        { file: files.current.path },
      );
      steps.push({ kind: 'missing', generation: expected, error });
    }
  } else if (files.tmp === undefined && !acceptLoss) {
    missing(expected, `the current log is absent, and there is none in preparation`);
  }
  return steps;
}

/** Whether the stream ended cleanly at its checkpoint: then there is nothing to redo (chapter 5.3.1). */
export function endedAtCheckpoint(fs: FileSystem, stream: RecoveryStream): boolean {
  const { files, checkpoint, currentGeneration } = stream;
  const at = checkpoint.checkpoint?.lgposCheckpoint;
  if (files.current === undefined || at === undefined || at.generation !== currentGeneration) return false;
  const log = openLog(fs, files.current.path);
  try {
    const last = findLastRecord(log);
    if (last === undefined || !last.isQuit) return false;
    const { lgpos } = last;
    return lgpos.generation === at.generation && lgpos.isec === at.isec && lgpos.ib === at.ib;
  } catch (error) {
    // Damage is reported by redo, with what depends on it.
    if (error instanceof EseError) return false;
    throw error;
  } finally {
    log.close();
  }
}
