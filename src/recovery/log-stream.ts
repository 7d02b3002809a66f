/**
 * A log stream: the generations of one base name in one directory, as files and as a checked sequence (format
 * specification, chapters 4.1.1, 4.2.5 and 6.2.3).
 */
import { join } from 'node:path';
import { createChecksumKernel } from '../format/checksum-kernel.js';
import { EseError, type Lgpos } from '../format/ese-error.js';
import type { LogHeader } from '../format/log-header.js';
import { createRecordSkipper, RECORD_SKIPPER_BYTES } from '../format/log-record-skip.js';
import type { Logtime } from '../format/logtime.js';
import { type Signature, signaturesEqual } from '../format/signature.js';
import type { FileSystem } from '../io/file-system.js';
import {
  CHECKPOINT_EXTENSIONS,
  LOG_EXTENSIONS,
  type LogDigits,
  type LogExtension,
  type LogFileName,
  parseLogFileName,
} from '../io/log-file-names.js';
import {
  LOG_WINDOW_BYTES,
  type LogReader,
  type LogScan,
  type OpenLogOptions,
  openLog,
  readLogHeader,
} from './log-reader.js';

/** One file of a stream. */
export interface LogFileEntry extends LogFileName {
  readonly name: string;
  readonly path: string;
}

/** The files of a stream, found by their names alone. */
export interface LogStreamFiles {
  readonly directory: string;
  readonly baseName: string;
  /** The family of extensions in use; files of the other one are left out. */
  readonly extension: LogExtension;
  /** Archived logs by generation. */
  readonly archived: readonly LogFileEntry[];
  /** The log that is being appended; absent where a crash fell between two renames. */
  readonly current: LogFileEntry | undefined;
  /** The log in preparation. It is never part of the stream, whatever it contains. */
  readonly tmp: LogFileEntry | undefined;
  /** Widths of generations in names, in ascending order of their first use. */
  readonly digits: readonly LogDigits[];
  /** Path of the checkpoint file in the same directory, if there is one. */
  readonly checkpoint: string | undefined;
}

/**
 * Lists the files of a stream.
 *
 * @param baseName three characters, in any case
 * @throws EseError JET_errFileNotFound if there is neither a current nor an archived log, JET_errInvalidPath if two
 *   of them differ only by case
 */
export function findLogStream(fs: FileSystem, directory: string, baseName: string): LogStreamFiles {
  const names = fs.readdir(directory).sort();
  const entries = names.flatMap((name): LogFileEntry[] => {
    const parsed = parseLogFileName(name, baseName);
    return parsed === undefined ? [] : [{ ...parsed, name, path: join(directory, name) }];
  });
  const logs = entries.filter(({ role }) => role !== 'tmp');
  const extension = LOG_EXTENSIONS.find((one) => logs.some((entry) => entry.extension === one));
  if (extension === undefined) {
    throw new EseError('JET_errFileNotFound', `there are no logs of the base name ${baseName}`, {
      file: join(directory, baseName),
    });
  }
  const own = entries.filter((entry) => entry.extension === extension);
  refuseTwins(own);
  const archived = own
    .filter(({ role }) => role === 'archived')
    .sort((a, b) => a.generation - b.generation || a.digits - b.digits)
    // The same generation under both widths: the narrower name is the one that an engine finds first.
    .filter((entry, i, all) => entry.generation !== all[i - 1]?.generation);
  const checkpoint = CHECKPOINT_EXTENSIONS.map((one) => `${baseName}${one}`.toLowerCase()).flatMap((wanted) =>
    names.filter((name) => name.toLowerCase() === wanted),
  )[0];
  return {
    directory,
    baseName,
    extension,
    archived,
    current: own.find(({ role }) => role === 'current'),
    tmp: own.find(({ role }) => role === 'tmp'),
    digits: [...new Set(archived.flatMap(({ digits }) => (digits === 0 ? [] : [digits])))],
    checkpoint: checkpoint === undefined ? undefined : join(directory, checkpoint),
  };
}

/** Which of two names that Windows takes for one is the log that is meant, nobody can know (chapter 6.1.2). */
function refuseTwins(entries: readonly LogFileEntry[]): void {
  const seen = new Map<string, string>();
  for (const { name, path } of entries) {
    const other = seen.get(name.toLowerCase());
    if (other !== undefined) {
      throw new EseError('JET_errInvalidPath', `two files differ only by case: ${other}, ${name}`, {
        file: path,
      });
    }
    seen.set(name.toLowerCase(), name);
  }
}

/** Generations, both ends included. */
export interface GenerationRange {
  readonly low: number;
  readonly high: number;
}

/** What is wrong with one log or with its place in the stream (chapter 6.2.3). */
export type LogProblem = { readonly error: EseError } & (
  | { readonly kind: 'cannotOpen' }
  | { readonly kind: 'badHeader' }
  /** The current log does not follow the last archived one. */
  | { readonly kind: 'missingBefore'; readonly found: number; readonly expected: number }
  | {
      readonly kind: 'previousTime';
      readonly found: Logtime | undefined;
      readonly expected: Logtime | undefined;
    }
  | { readonly kind: 'previousChecksum'; readonly found: bigint; readonly expected: bigint }
  | { readonly kind: 'signature'; readonly found: Signature; readonly expected: Signature }
  /** The name of the file states another generation than its header. */
  | { readonly kind: 'generation'; readonly found: number; readonly expected: number }
  /** A damaged segment, or bytes that are no record; `lgpos` is the end of what is readable. */
  | { readonly kind: 'damaged'; readonly lgpos: Lgpos }
  | { readonly kind: 'unverifiable' }
);

/** One log of a stream, as checked. */
export interface LogCheck {
  readonly entry: LogFileEntry;
  /** Undefined if the header cannot be read. */
  readonly header: LogHeader | undefined;
  /** Undefined if it never came to the segments. */
  readonly scan: LogScan | undefined;
  readonly problem: LogProblem | undefined;
  /** The version is lower than that of the log before: odd, but no error. */
  readonly versionBackwards: boolean;
}

export interface LogStreamCheckOptions {
  /** Look at these generations only; the current log has the generation of its header. */
  readonly range?: GenerationRange | undefined;
  /** Is told every log as soon as it is checked, in the order of the stream. */
  readonly onLog?: (check: LogCheck) => void;
  /** Is told every gap between archived logs, before the log that follows it. */
  readonly onMissing?: (missing: GenerationRange) => void;
  /** Stops between two logs with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

export interface LogStreamCheck {
  readonly logs: readonly LogCheck[];
  /** Generations that are absent between those that are there. */
  readonly missing: readonly GenerationRange[];
  /** The first problem, be it a damaged or a missing log. */
  readonly error: EseError | undefined;
}

/**
 * Checks every log of a stream, or of a range of it, and that each continues the one before it: generation,
 * creation time, checksum over all segments, signature. Nothing is written and damage is reported, not thrown.
 *
 * A log behind a gap, or behind one whose header does not fit, is not compared with its predecessor.
 *
 * @throws EseError JET_errFileNotFound if no log lies in the range
 */
export function checkLogStream(
  fs: FileSystem,
  files: LogStreamFiles,
  options: LogStreamCheckOptions = {},
): LogStreamCheck {
  const kernel = createChecksumKernel(LOG_WINDOW_BYTES + RECORD_SKIPPER_BYTES);
  const skipper = createRecordSkipper(kernel, LOG_WINDOW_BYTES);
  const logs: LogCheck[] = [];
  const missing: GenerationRange[] = [];
  let error: EseError | undefined;
  let previous: LogCheck | undefined;
  const noteMissing = (low: number, high: number): void => {
    missing.push({ low, high });
    options.onMissing?.({ low, high });
  };

  const entries = entriesInRange(fs, files, options.range);
  if (entries.length === 0) {
    throw new EseError('JET_errFileNotFound', 'there is no log of these generations', {
      file: files.directory,
    });
  }
  for (const entry of entries) {
    options.signal?.throwIfAborted();
    const generationBefore = logs.at(-1)?.entry.generation ?? 0;
    if (entry.role === 'archived' && generationBefore !== 0 && entry.generation !== generationBefore + 1) {
      noteMissing(generationBefore + 1, entry.generation - 1);
      error ??= new EseError('JET_errMissingLogFile', undefined, { file: files.directory });
      previous = undefined;
    }
    const check = checkLog(fs, entry, previous, { kernel, skipper });
    if (check.problem?.kind === 'missingBefore' && check.problem.found > check.problem.expected) {
      missing.push({ low: check.problem.expected, high: check.problem.found - 1 });
    }
    error ??= check.problem?.error;
    logs.push(check);
    options.onLog?.(check);
    previous = isContinued(check) ? check : undefined;
  }
  return { logs, missing, error };
}

function entriesInRange(
  fs: FileSystem,
  { archived, current }: LogStreamFiles,
  range: GenerationRange | undefined,
): LogFileEntry[] {
  const isWanted = (generation: number) =>
    range === undefined || (generation >= range.low && generation <= range.high);
  const inRange = archived.filter(({ generation }) => isWanted(generation));
  if (current === undefined) return inRange;
  // Its name states no generation. A damaged one can only be the one behind the last archived log.
  const after = (archived.at(-1)?.generation ?? 0) + 1;
  const generation = range === undefined ? after : (readGeneration(fs, current) ?? after);
  return isWanted(generation) ? [...inRange, current] : inRange;
}

function readGeneration(fs: FileSystem, entry: LogFileEntry): number | undefined {
  return tryHeader(fs, entry)?.generation;
}

function tryHeader(fs: FileSystem, { path }: LogFileEntry): LogHeader | undefined {
  try {
    return readLogHeader(fs, path);
  } catch (error) {
    if (error instanceof EseError) return undefined;
    throw error;
  }
}

/** Whether the next log can be compared with this one. */
function isContinued({ header, problem }: LogCheck): boolean {
  return header !== undefined && (problem === undefined || problem.kind === 'damaged');
}

/** Checks one log, and against the one before it if that is given. */
function checkLog(
  fs: FileSystem,
  entry: LogFileEntry,
  previous: LogCheck | undefined,
  memory: OpenLogOptions,
): LogCheck {
  const unread = { entry, header: undefined, scan: undefined, versionBackwards: false };
  let log: LogReader;
  try {
    log = openLog(fs, entry.path, memory);
  } catch (error) {
    if (!(error instanceof EseError)) throw error;
    // The header of an older format can be read, but not its records.
    const header = error.name === 'JET_errBadLogVersion' ? tryHeader(fs, entry) : undefined;
    const kind = header !== undefined ? 'unverifiable' : isOpenError(error) ? 'cannotOpen' : 'badHeader';
    return { ...unread, header, problem: { kind, error } };
  }
  try {
    const { header } = log;
    const before = previous?.header;
    const sequence = before && sequenceProblem(header, before, previous?.scan, entry);
    const versionBackwards = before !== undefined && isLowerVersion(header, before);
    if (sequence !== undefined) {
      return { entry, header, scan: undefined, problem: sequence, versionBackwards };
    }
    const damage = readToEnd(log);
    const scan = log.scan();
    const problem = damage ?? nameProblem(header, entry);
    return { entry, header, scan, problem, versionBackwards };
  } finally {
    log.close();
  }
}

const OPEN_ERRORS: readonly string[] = [
  'JET_errFileNotFound',
  'JET_errFileAccessDenied',
  'JET_errInvalidPath',
  'JET_errOutOfFileHandles',
];

function isOpenError(error: EseError): boolean {
  return OPEN_ERRORS.includes(error.name);
}

/** Walks all records: their sizes must chain up to the end of every segment. */
function readToEnd(log: LogReader): LogProblem | undefined {
  try {
    do log.skip();
    while (log.next());
    return undefined;
  } catch (error) {
    if (!(error instanceof EseError)) throw error;
    if (error.name !== 'JET_errLogFileCorrupt') return { kind: 'unverifiable', error };
    const { damage, lgposEnd } = log.scan();
    return { kind: 'damaged', error, lgpos: damage === undefined ? log.cursor.lgpos() : lgposEnd };
  }
}

/** What is wrong with the header of a log as that of the successor of another one; undefined if nothing is. */
export function sequenceProblem(
  header: LogHeader,
  before: LogHeader,
  scanBefore: LogScan | undefined,
  { path: file }: LogFileEntry,
): LogProblem | undefined {
  const found = header.generation;
  const expected = before.generation + 1;
  if (found !== expected) {
    const error = new EseError(
      'JET_errMissingLogFile',
      `this is generation ${found} where generation ${expected} should follow`,
      { file },
    );
    return { kind: 'missingBefore', found, expected, error };
  }
  if (!logtimesEqual(header.tmPrevGen, before.tmCreate)) {
    const error = new EseError(
      'JET_errInvalidLogSequence',
      'the log was not begun behind the one before it: their times differ',
      { file },
    );
    return { kind: 'previousTime', found: header.tmPrevGen, expected: before.tmCreate, error };
  }
  const checksum = header.checksumPrevLogAllSegments;
  // Of a damaged log only the readable part is added up, so nothing can be said.
  const isKnown = scanBefore !== undefined && scanBefore.damage === undefined && checksum !== 0n;
  if (isKnown && checksum !== scanBefore.segmentsChecksum) {
    const error = new EseError(
      'JET_errLogSequenceChecksumMismatch',
      'the log before this one holds other data than when it was closed',
      { file },
    );
    return { kind: 'previousChecksum', found: checksum, expected: scanBefore.segmentsChecksum, error };
  }
  if (!signaturesEqual(header.signLog, before.signLog)) {
    const error = new EseError('JET_errBadLogSignature', 'the log belongs to another stream', { file });
    return { kind: 'signature', found: header.signLog, expected: before.signLog, error };
  }
  return undefined;
}

/** Whether the name of an archived log states another generation than its header. */
export function nameProblem(header: LogHeader, entry: LogFileEntry): LogProblem | undefined {
  const { generation: found } = header;
  const { generation: expected, role, path: file } = entry;
  if (role !== 'archived' || found === expected) return undefined;
  const error = new EseError(
    'JET_errLogGenerationMismatch',
    `the name states generation ${expected}, the header ${found}`,
    { file },
  );
  return { kind: 'generation', found, expected, error };
}

/** Times of files are equal when all that is stored of them is. */
export function logtimesEqual(a: Logtime | undefined, b: Logtime | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return (
    a.seconds === b.seconds &&
    a.minutes === b.minutes &&
    a.hours === b.hours &&
    a.day === b.day &&
    a.month === b.month &&
    a.year === b.year &&
    a.milliseconds === b.milliseconds &&
    a.utc === b.utc
  );
}

/** Orders versions as the engine does: update minors are compared on their own (chapter 4.3). */
function isLowerVersion(a: LogHeader, b: LogHeader): boolean {
  return (
    a.major - b.major < 0 ||
    (a.major === b.major && a.minor < b.minor) ||
    (a.major === b.major && a.minor === b.minor && a.updateMajor < b.updateMajor) ||
    a.updateMinor < b.updateMinor
  );
}
