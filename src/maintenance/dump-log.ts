/**
 * Log files and log streams as `/ml` reports them (format specification, chapters 4.10, 6.2.3 and 11.4.1). The
 * files are opened for reading only.
 */
import { basename, dirname, join } from 'node:path';
import { EseError, type Lgpos } from '../format/ese-error.js';
import { formatLogVersion, LOG_FLAG, type LogHeader, logPageSize } from '../format/log-header.js';
import type { LogRecord } from '../format/log-record.js';
import { logRecordName } from '../format/log-record-type.js';
import type { FileSystem } from '../io/file-system.js';
import {
  archivedLogName,
  BASE_NAME_LENGTH,
  CHECKPOINT_EXTENSIONS,
  parseLogFileName,
} from '../io/log-file-names.js';
import { readCheckpointFile } from '../recovery/checkpoint-file.js';
import { type LogReader, type LogScan, openLog, readLogHeader } from '../recovery/log-reader.js';
import {
  checkLogStream,
  findLogStream,
  type GenerationRange,
  type LogCheck,
  type LogProblem,
  type LogStreamFiles,
  nameProblem,
} from '../recovery/log-stream.js';
import { forEachPageReference } from './log-page-references.js';
import { type LogRecordReport, logRecordReport } from './log-record-report.js';
import { type AttachmentReport, attachmentReport, type EnvReport, envReport } from './log-values.js';
import {
  type ErrorReport,
  errorReport,
  type LgposReport,
  lgposReport,
  type SignatureReport,
  signatureReport,
  type TimeReport,
  timeReport,
} from './report-values.js';

/** What is wrong with a log, with both sides of a comparison that failed. */
export interface LogProblemReport {
  readonly kind: LogProblem['kind'];
  readonly found?: number | string | SignatureReport | null;
  readonly expected?: number | string | SignatureReport | null;
}

/** The segments of a log by what they hold. */
export interface SegmentsReport {
  readonly valid: number;
  /** Behind the data: zero, the double of the last segment, or left over from an earlier life of the file. */
  readonly empty: number;
  /** A crash tore the last write; its double is taken instead. */
  readonly tornTail: boolean;
  /** Those with one flipped bit, corrected in memory; they count as valid. */
  readonly corrected: number;
}

/** One log of a stream. */
export interface LogFileReport {
  readonly path: string;
  readonly name: string;
  /** Of the header; of the name, where the header cannot be read; 0 = not known. */
  readonly generation: number;
  readonly current: boolean;
  /** `unreadable`: no header; `missing`: no file; `damaged`: anything else that is wrong. */
  readonly status: 'ok' | 'damaged' | 'missing' | 'unreadable';
  readonly error?: ErrorReport;
  readonly problem?: LogProblemReport;
  readonly timeCreate?: TimeReport;
  readonly timePrevGen?: TimeReport;
  readonly formatVersion?: string;
  /** Version of the log before, if this one is lower than that. */
  readonly versionBefore?: string;
  /** End of the readable data. */
  readonly lastLgpos?: LgposReport;
  readonly segments?: SegmentsReport;
}

export interface RecordTypeReport {
  readonly lrtyp: number;
  readonly name: string;
  readonly count: number;
  readonly bytes: number;
}

/** Pages of one database that a log refers to, and the transfers that they would cost at least. */
export interface PageIoReport {
  readonly dbid: number;
  readonly pageReferences: number;
  readonly pages: number;
  readonly reads: number;
  readonly pagesRead: number;
  readonly writes: number;
  readonly pagesWritten: number;
}

/** One log file in full. */
export interface LogReport extends LogFileReport {
  readonly baseName: string;
  readonly signLog: SignatureReport;
  readonly pageSize: number;
  readonly sectorSize: number;
  /** How the disk's sector compares: 0 unknown, 1 the same, 2..5 = 512, 1024, 2048, 4096, 255 other. */
  readonly sectorMismatch: number;
  readonly systemPath: string;
  readonly logPath: string;
  readonly env: EnvReport;
  readonly efvEngine: number;
  readonly headerChecksum: number;
  readonly checkpointAtCreation: LgposReport;
  /** The checkpoint of the stream now; null if there is none to be read. */
  readonly checkpoint: LgposReport | null;
  /** Checksum over all segments of the generation before; absent where the format has none. */
  readonly prevSegmentsChecksum?: string;
  readonly segmentsChecksum?: string;
  readonly attachments: readonly AttachmentReport[];
  readonly pageReferences: number;
  /** Made from a reserve log, because the disk was full. */
  readonly reserve: boolean;
  readonly circularLogging: { readonly current: boolean; readonly past: boolean };
  readonly recordTypes?: readonly RecordTypeReport[];
  readonly pageIo?: readonly PageIoReport[];
  readonly records?: readonly LogRecordReport[];
  readonly recordsTruncated?: true;
}

/** One record of a dump. The view is valid during the call only. */
export interface DumpedRecord {
  readonly lgpos: Lgpos;
  readonly fragments: number;
  /** NOP bytes between the record before and this one. */
  readonly nops: number;
  readonly record: LogRecord;
}

export interface DumpLogOptions {
  /** Count the records by type. */
  readonly recordTypes?: boolean | undefined;
  /** Estimate the page transfers. */
  readonly pageIo?: boolean | undefined;
  /** List the records, at most so many. */
  readonly recordsMax?: number | undefined;
  /** Is told the header before the first record. */
  readonly onHeader?: ((report: LogReport) => void) | undefined;
  /** Is told every record. */
  readonly onRecord?: ((record: DumpedRecord) => void) | undefined;
  /** The checkpoint file; by default the one of the same base name beside the log. */
  readonly checkpointPath?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface LogDump {
  readonly report: LogReport;
  /** Why the log is not whole. The report covers what could be read before. */
  readonly error: EseError | undefined;
}

/** From this update on, headers carry the checksum of the generation before (chapter 4.3). */
const UPDATE_MINOR_PREVIOUS_CHECKSUM = 12;
const LOG_MAJOR_SEGMENTS = 8;

/**
 * Reports one log file: its header, all segments and records.
 *
 * Damage behind the header is reported in the result.
 *
 * @throws EseError if the header cannot be read or trusted; the signal's reason if it was aborted
 */
export function dumpLog(fs: FileSystem, path: string, options: DumpLogOptions = {}): LogDump {
  const header = readLogHeader(fs, path);
  const base = basename(path).slice(0, BASE_NAME_LENGTH);
  const headerReport: LogReport = {
    ...fileIdentity(path, header.generation, base),
    status: 'ok',
    ...headerSummary(header),
    baseName: base,
    ...headerDetails(header),
    checkpoint: currentCheckpoint(fs, path, base, options.checkpointPath),
    attachments: header.attachments.map(attachmentReport),
    pageReferences: 0,
  };
  const tallies = new RecordTallies(options);
  let error: EseError | undefined;
  let end: Partial<LogReport> = {};
  options.onHeader?.(headerReport);
  try {
    const log = openLog(fs, path);
    try {
      error = readRecords(log, tallies, options);
      const scan = log.scan();
      end = {
        lastLgpos: lgposReport(scan.lgposEnd),
        segments: segmentsReport(scan),
        segmentsChecksum: scan.segmentsChecksum.toString(),
      };
    } finally {
      log.close();
    }
  } catch (caught) {
    if (!(caught instanceof EseError)) throw caught;
    error = caught;
  }
  const problem = error === undefined ? generationProblem(path, base, header) : unverifiedProblem(error);
  error ??= problem?.error;
  const report: LogReport = {
    ...headerReport,
    ...(error === undefined ? {} : { status: 'damaged', error: errorReport(error) }),
    ...(problem === undefined ? {} : { problem: problemReport(problem) }),
    ...end,
    ...tallies.report(),
  };
  return { report, error };
}

/** A log that is not damaged, but whose records cannot be checked. */
function unverifiedProblem(error: EseError): LogProblem | undefined {
  return error.name === 'JET_errBadLogVersion' ? { kind: 'unverifiable', error } : undefined;
}

/** Whether the file has the name of a log of another generation. Any other name says nothing. */
function generationProblem(path: string, base: string, header: LogHeader): LogProblem | undefined {
  const name = basename(path);
  const parsed = parseLogFileName(name, base);
  return parsed === undefined ? undefined : nameProblem(header, { ...parsed, name, path });
}

function readRecords(
  log: LogReader,
  tallies: RecordTallies,
  { onRecord, signal }: DumpLogOptions,
): EseError | undefined {
  try {
    while (log.next()) {
      const { cursor } = log;
      const record = cursor.record();
      tallies.add(record, cursor);
      onRecord?.({ lgpos: cursor.lgpos(), fragments: cursor.fragments, nops: cursor.nops, record });
      if (tallies.count % RECORDS_PER_SIGNAL_CHECK === 0) signal?.throwIfAborted();
    }
    return undefined;
  } catch (error) {
    if (error instanceof EseError) return error.at({ file: log.path });
    throw error;
  }
}

const RECORDS_PER_SIGNAL_CHECK = 4096;

/** What a dump counts and lists while it walks the records. */
class RecordTallies {
  count = 0;
  readonly #options: DumpLogOptions;
  readonly #counts: number[] = [];
  readonly #bytes: number[] = [];
  readonly #records: LogRecordReport[] = [];
  #truncated = false;
  #pageReferences = 0;
  /** By database: page number -> whether the first record that names it makes it. */
  readonly #pages = new Map<number, { references: number; isNew: Map<number, boolean> }>();

  constructor(options: DumpLogOptions) {
    this.#options = options;
  }

  add(record: LogRecord, place: { lgpos(): Lgpos; fragments: number }): void {
    const { pageIo, recordsMax } = this.#options;
    this.count += 1;
    this.#counts[record.lrtyp] = (this.#counts[record.lrtyp] ?? 0) + 1;
    this.#bytes[record.lrtyp] = (this.#bytes[record.lrtyp] ?? 0) + record.size;
    forEachPageReference(record, (dbid, pgno, isNew) => {
      this.#pageReferences += 1;
      if (pageIo) this.#notePage(dbid, pgno, isNew);
    });
    if (recordsMax === undefined) return;
    if (this.#records.length >= recordsMax) this.#truncated = true;
    else this.#records.push(logRecordReport(record, place.lgpos(), place.fragments));
  }

  #notePage(dbid: number, pgno: number, isNew: boolean): void {
    const database = this.#pages.get(dbid) ?? { references: 0, isNew: new Map<number, boolean>() };
    this.#pages.set(dbid, database);
    database.references += 1;
    if (!database.isNew.has(pgno)) database.isNew.set(pgno, isNew);
  }

  report(): Pick<LogReport, 'pageReferences' | 'recordTypes' | 'pageIo' | 'records' | 'recordsTruncated'> {
    const { recordTypes, pageIo, recordsMax } = this.#options;
    return {
      pageReferences: this.#pageReferences,
      ...(recordTypes ? { recordTypes: this.#recordTypes() } : {}),
      ...(pageIo ? { pageIo: this.#pageIo() } : {}),
      ...(recordsMax === undefined ? {} : { records: this.#records }),
      ...(this.#truncated ? { recordsTruncated: true } : {}),
    };
  }

  #recordTypes(): RecordTypeReport[] {
    return this.#counts.flatMap((count, lrtyp) => {
      const name = logRecordName(lrtyp);
      return name === undefined ? [] : [{ lrtyp, name, count, bytes: this.#bytes[lrtyp] ?? 0 }];
    });
  }

  #pageIo(): PageIoReport[] {
    const databases = [...this.#pages].sort(([a], [b]) => a - b);
    return databases.map(([dbid, { references, isNew }]) => {
      const pgnos = [...isNew.keys()].sort((a, b) => a - b);
      const read = pgnos.filter((pgno) => isNew.get(pgno) === false);
      return {
        dbid,
        pageReferences: references,
        pages: pgnos.length,
        reads: countRuns(read),
        pagesRead: read.length,
        writes: countRuns(pgnos),
        pagesWritten: pgnos.length,
      };
    });
  }
}

/** Runs of adjacent page numbers in an ascending list: each is one transfer. */
function countRuns(pgnos: readonly number[]): number {
  return pgnos.filter((pgno, i) => pgno - 1 !== pgnos[i - 1]).length;
}

function fileIdentity(
  path: string,
  generation: number,
  base: string,
): Pick<LogFileReport, 'path' | 'name' | 'generation' | 'current'> {
  const name = basename(path);
  return { path, name, generation, current: parseLogFileName(name, base)?.role === 'current' };
}

function headerSummary(
  header: LogHeader,
): Pick<Required<LogFileReport>, 'timeCreate' | 'timePrevGen' | 'formatVersion'> {
  return {
    timeCreate: timeReport(header.tmCreate),
    timePrevGen: timeReport(header.tmPrevGen),
    formatVersion: formatLogVersion(header),
  };
}

function headerDetails(header: LogHeader) {
  const { dbmsParam, fLGFlags } = header;
  const hasPreviousChecksum =
    header.major >= LOG_MAJOR_SEGMENTS && header.updateMinor >= UPDATE_MINOR_PREVIOUS_CHECKSUM;
  return {
    signLog: signatureReport(header.signLog),
    pageSize: logPageSize(header),
    sectorSize: header.cbSec,
    sectorMismatch: header.bDiskSecSizeMismatch,
    systemPath: dbmsParam.systemPath,
    logPath: dbmsParam.logPath,
    env: envReport(dbmsParam),
    efvEngine: header.efvEngine,
    headerChecksum: header.checksum,
    checkpointAtCreation: lgposReport(header.lgposCheckpoint),
    ...(hasPreviousChecksum ? { prevSegmentsChecksum: header.checksumPrevLogAllSegments.toString() } : {}),
    reserve: (fLGFlags & LOG_FLAG.reserve) !== 0,
    circularLogging: {
      current: (fLGFlags & LOG_FLAG.circular) !== 0,
      past: (fLGFlags & LOG_FLAG.circularBefore) !== 0,
    },
  };
}

/** The checkpoint of the stream, if its file can be read. */
function currentCheckpoint(
  fs: FileSystem,
  path: string,
  base: string,
  given: string | undefined,
): LgposReport | null {
  const beside = CHECKPOINT_EXTENSIONS.map((extension) => join(dirname(path), `${base}${extension}`));
  const file = given ?? beside.find((one) => fs.exists(one));
  if (file === undefined) return null;
  try {
    const { checkpoint } = readCheckpointFile(fs, file);
    return checkpoint === undefined ? null : lgposReport(checkpoint.lgposCheckpoint);
  } catch (error) {
    if (error instanceof EseError) return null;
    throw error;
  }
}

/** A whole log stream. */
export interface LogStreamReport {
  readonly baseName: string;
  readonly directory: string;
  readonly extension: string;
  /** Widths of the generation in names. */
  readonly digits: readonly number[];
  /** Lowest and highest generation that is there. */
  readonly range: GenerationRange | null;
  /** The same of the logs that were looked at. */
  readonly checked: GenerationRange | null;
  /** By generation, the current log last; missing ones stand in their place. */
  readonly logs: readonly LogFileReport[];
  readonly missing: readonly GenerationRange[];
  /** Generations that are not whole. */
  readonly damaged: readonly number[];
  readonly signLog: SignatureReport | null;
}

export interface DumpLogStreamOptions {
  readonly range?: GenerationRange | undefined;
  /** Is told every log as soon as it is checked, missing ones included, in order. */
  readonly onLog?: ((report: LogFileReport) => void) | undefined;
  /** Is told every gap between archived logs; `names` are those of its first and last file. */
  readonly onMissing?: ((missing: GenerationRange, names: readonly [string, string]) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface LogStreamDump {
  readonly report: LogStreamReport;
  /** The first error that was met. */
  readonly error: EseError | undefined;
}

/** Missing generations that are listed one by one; a greater gap stands in `missing` only. */
const MISSING_LISTED_MAX = 1000;

/**
 * Checks all logs of a base name: each for itself, and that it continues the one before.
 *
 * Damaged and missing logs are reported in the result.
 *
 * @throws EseError JET_errFileNotFound if there is no log of the base name; the signal's reason
 */
export function dumpLogStream(
  fs: FileSystem,
  directory: string,
  baseName: string,
  options: DumpLogStreamOptions = {},
): LogStreamDump {
  const files = findLogStream(fs, directory, baseName);
  const logs: LogFileReport[] = [];
  const emit = (report: LogFileReport): void => {
    logs.push(report);
    options.onLog?.(report);
  };
  let before: LogCheck | undefined;
  const check = checkLogStream(fs, files, {
    range: options.range,
    signal: options.signal,
    onLog: (one) => {
      emit(logFileReport(one, before));
      before = one;
    },
    onMissing: (gap) => {
      options.onMissing?.(gap, [missingName(files, gap.low), missingName(files, gap.high)]);
      for (const report of missingReports(files, gap)) emit(report);
    },
  });
  const headers = check.logs.flatMap(({ header }) => (header === undefined ? [] : [header]));
  const damaged = logs.filter(({ status }) => status === 'damaged' || status === 'unreadable');
  const report: LogStreamReport = {
    baseName,
    directory,
    extension: files.extension,
    digits: files.digits,
    range: streamRange(files, headers),
    checked: rangeOf(check.logs.map(({ header, entry }) => header?.generation ?? entry.generation)),
    logs,
    missing: check.missing,
    damaged: damaged.map(({ generation }) => generation),
    signLog: headers[0] === undefined ? null : signatureReport(headers[0].signLog),
  };
  return { report, error: check.error };
}

function rangeOf(generations: readonly number[]): GenerationRange | null {
  const known = generations.filter((generation) => generation > 0);
  const [low] = known;
  const high = known.at(-1);
  return low === undefined || high === undefined ? null : { low, high };
}

/** The current log has no generation in its name, so its header counts, if it was read. */
function streamRange(files: LogStreamFiles, headers: readonly LogHeader[]): GenerationRange | null {
  const archived = files.archived.map(({ generation }) => generation);
  const last = headers.at(-1)?.generation ?? 0;
  return rangeOf(last > (archived.at(-1) ?? 0) ? [...archived, last] : archived);
}

/** Missing logs are named as the next one that is there. */
function missingName(files: LogStreamFiles, generation: number): string {
  const next = files.archived.find((entry) => entry.generation > generation);
  const digits = next === undefined || next.digits === 0 ? 8 : next.digits;
  return archivedLogName(files.baseName, generation, digits, files.extension);
}

function missingReports(files: LogStreamFiles, { low, high }: GenerationRange): LogFileReport[] {
  const count = high - low + 1;
  return Array.from({ length: count > MISSING_LISTED_MAX ? 0 : count }, (_, i) => {
    const generation = low + i;
    const name = missingName(files, generation);
    const error = new EseError('JET_errMissingLogFile', undefined, { file: join(files.directory, name) });
    return {
      path: join(files.directory, name),
      name,
      generation,
      current: false,
      status: 'missing',
      error: errorReport(error),
    };
  });
}

function logFileReport(check: LogCheck, before: LogCheck | undefined): LogFileReport {
  const { entry, header, scan, problem, versionBackwards } = check;
  const isUnreadable = header === undefined;
  return {
    path: entry.path,
    name: entry.name,
    generation: header?.generation ?? entry.generation,
    current: entry.role === 'current',
    status: problem === undefined ? 'ok' : isUnreadable ? 'unreadable' : 'damaged',
    ...(problem === undefined ? {} : { error: errorReport(problem.error), problem: problemReport(problem) }),
    ...(header === undefined ? {} : headerSummary(header)),
    ...(versionBackwards && before?.header ? { versionBefore: formatLogVersion(before.header) } : {}),
    ...(scan === undefined ? {} : { lastLgpos: lgposReport(scan.lgposEnd), segments: segmentsReport(scan) }),
  };
}

function segmentsReport(scan: LogScan): SegmentsReport {
  return {
    valid: scan.validSegments,
    empty: scan.zeroSegments + scan.shadowSegments + scan.staleSegments,
    tornTail: scan.tornSegments.length > 0,
    corrected: scan.correctedSegments.length,
  };
}

function problemReport(problem: LogProblem): LogProblemReport {
  const { kind } = problem;
  switch (kind) {
    case 'missingBefore':
    case 'generation':
      return { kind, found: problem.found, expected: problem.expected };
    case 'previousTime':
      return { kind, found: timeReport(problem.found), expected: timeReport(problem.expected) };
    case 'previousChecksum':
      return { kind, found: problem.found.toString(), expected: problem.expected.toString() };
    case 'signature':
      return { kind, found: signatureReport(problem.found), expected: signatureReport(problem.expected) };
    default:
      return { kind };
  }
}
