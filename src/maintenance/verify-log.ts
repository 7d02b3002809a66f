/**
 * Checksums of logs, log streams and checkpoints, `/k` (format specification, chapters 6.2.7, 7.4.1 and 11.4.2). The
 * files are opened for reading only.
 */
import { EseError } from '../format/ese-error.js';
import type { FileSystem } from '../io/file-system.js';
import { readCheckpointFile } from '../recovery/checkpoint-file.js';
import { LOG_WINDOW_BYTES } from '../recovery/log-reader.js';
import type { LogProblem } from '../recovery/log-stream.js';
import { type DumpLogStreamOptions, dumpLog, dumpLogStream, type LogFileReport } from './dump-log.js';
import type { Finding } from './report-values.js';

/** The JSON form of a checksum run over logs or a checkpoint. */
export interface LogChecksumReport {
  readonly fileType: 'log' | 'logStream' | 'checkpoint';
  readonly readBytes: number;
  readonly reads: number;
  readonly findings: readonly Finding[];
  readonly logs?: readonly LogFileReport[];
}

export interface LogVerification {
  readonly report: LogChecksumReport;
  readonly error: EseError | undefined;
}

const FINDING_CODES: Readonly<Record<LogProblem['kind'], string>> = {
  cannotOpen: 'LOG_HEADER',
  badHeader: 'LOG_HEADER',
  missingBefore: 'LOG_GAP',
  previousTime: 'LOG_TIME',
  previousChecksum: 'LOG_SEGMENT',
  signature: 'LOG_SIGNATURE',
  generation: 'LOG_GENERATION',
  damaged: 'LOG_SEGMENT',
  unverifiable: 'LOG_SEGMENT',
};

/**
 * Verifies one log: header, all segments, and that the records chain.
 *
 * Damage behind the header is reported, not thrown.
 *
 * @throws EseError as `dumpLog`
 */
export function verifyLog(fs: FileSystem, path: string, signal?: AbortSignal): LogVerification {
  const { report, error } = dumpLog(fs, path, { signal });
  const size = fs.stat(path).size;
  return {
    report: { fileType: 'log', ...readCounts([size]), findings: logFindings(report, error) },
    error,
  };
}

/**
 * Verifies all logs of a base name and that they continue each other.
 *
 * @throws EseError as `dumpLogStream`
 */
export function verifyLogStream(
  fs: FileSystem,
  directory: string,
  baseName: string,
  options: DumpLogStreamOptions = {},
): LogVerification {
  const { report, error } = dumpLogStream(fs, directory, baseName, options);
  const present = report.logs.filter(({ status }) => status !== 'missing');
  const sizes = present.map(({ path }) => (fs.exists(path) ? fs.stat(path).size : 0));
  // A gap in front of the current log is a problem of that log.
  const archived = report.missing.filter(({ high }) => !isGapBeforeCurrent(report.logs.at(-1), high));
  const gaps = archived.map(({ low, high }): Finding => {
    const what = low === high ? `log generation ${low} is` : `log generations ${low} to ${high} are`;
    return { code: 'LOG_GAP', severity: 'error', message: `${what} missing`, generation: low };
  });
  const findings = present.flatMap((log) => logFindings(log, undefined));
  return {
    report: {
      fileType: 'logStream',
      ...readCounts(sizes),
      findings: [...gaps, ...findings],
      logs: report.logs,
    },
    error,
  };
}

function isGapBeforeCurrent(last: LogFileReport | undefined, high: number): boolean {
  return last?.problem?.kind === 'missingBefore' && last.generation === high + 1;
}

function readCounts(sizes: readonly number[]): Pick<LogChecksumReport, 'readBytes' | 'reads'> {
  return {
    readBytes: sizes.reduce((total, size) => total + size, 0),
    reads: sizes.reduce((total, size) => total + 1 + Math.ceil(size / LOG_WINDOW_BYTES), 0),
  };
}

function logFindings(log: LogFileReport, thrown: EseError | undefined): Finding[] {
  const findings: Finding[] = [];
  const place = { file: log.path, generation: log.generation };
  const message = thrown?.detail ?? log.error?.message;
  if (message !== undefined) {
    const kind = log.problem?.kind ?? 'damaged';
    const lgpos = log.error?.lgpos ?? log.lastLgpos;
    findings.push({
      code: FINDING_CODES[kind],
      severity: 'error',
      message,
      ...place,
      ...(lgpos === undefined ? {} : { lgpos }),
    });
  }
  if (log.segments?.tornTail) {
    const message =
      'a crash tore the last segment that was written; soft recovery restores it from its shadow';
    findings.push({ code: 'LOG_TORN', severity: 'warning', message, ...place });
  }
  const corrected = log.segments?.corrected ?? 0;
  if (corrected > 0) {
    const message = `segments with one flipped bit, which is corrected when they are read: ${corrected}`;
    findings.push({ code: 'LOG_SEGMENT', severity: 'warning', message, ...place });
  }
  return findings;
}

const CHECKPOINT_READ_BYTES = 8192;

/**
 * Verifies both copies of a checkpoint: one that is damaged is a warning, both are an error.
 *
 * @throws EseError JET_errFileNotFound, JET_errFileInvalidType for another kind of ESE file, and those of the
 *   file system
 */
export function verifyCheckpoint(fs: FileSystem, path: string): LogVerification {
  const size = fs.stat(path).size;
  const { copies, checkpoint } = readCheckpointFile(fs, path);
  const bad = copies.filter(({ ok }) => !ok);
  const error =
    checkpoint === undefined
      ? new EseError('JET_errCheckpointCorrupt', 'both copies of the checkpoint are damaged', { file: path })
      : undefined;
  const findings: Finding[] =
    error !== undefined
      ? [{ code: 'CHK_BOTH_BAD', severity: 'error', message: error.detail, file: path }]
      : bad.map(({ which }) => ({
          code: 'CHK_ONE_BAD',
          severity: 'warning',
          message: `copy ${which} of the checkpoint is damaged`,
          file: path,
        }));
  return {
    report: { fileType: 'checkpoint', readBytes: Math.min(size, CHECKPOINT_READ_BYTES), reads: 1, findings },
    error,
  };
}
