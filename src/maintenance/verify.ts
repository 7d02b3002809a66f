import { createFilePageSource } from '../engine/page-source.js';
import { walkTree } from '../engine/tree-reader.js';
import {
  electHeader,
  FILE_TYPE,
  HEADER_ELECTION_BYTES,
  HEADER_MAGIC,
  type HeaderCopy,
  type HeaderElection,
} from '../format/database-header.js';
import { EseError } from '../format/ese-error.js';
import { PAGE_SIZES, type Page } from '../format/page.js';
import { decodeSpaceHeader, type Extent, readExtents } from '../format/space.js';
import { elapsedMs } from '../io/elapsed.js';
import type { FileHandle, FileSystem } from '../io/file-system.js';
import { nodeFileSystem } from '../io/node-file-system.js';
import {
  type ChecksumInput,
  createChecksumTask,
  DAMAGE_VERDICTS,
  DAMAGED_FIELDS,
  type DamageVerdict,
  mergeTotals,
} from '../workers/checksum-task.js';
import { type JobOptions, runRanges } from '../workers/pool.js';
import { readFlushStates } from './flush-states.js';
import { dbtimeReport, type Finding } from './report-values.js';

/**
 * Checksums of a whole database, `/k` (format specification, chapters 6.2.7, 7.4.1 and 11.4.2). The file
 * is opened for reading only.
 */

export interface VerifyOptions extends Omit<JobOptions, 'onProgress'> {
  /** Page size in bytes, for a file whose header copies are both damaged. */
  readonly pageSize?: number | undefined;
  /** In pages of the file, the two header copies not included. */
  readonly onProgress?: JobOptions['onProgress'];
  /** Rest for a second after this many pages. */
  readonly throttlePages?: number | undefined;
  /** Read no more than this many bytes a second on average. */
  readonly bytesPerSecondMax?: number | undefined;
  /** Findings to list; all are counted. */
  readonly findingsMax?: number | undefined;
}

/** A finding of the checksum run, with what the page carries and what it should carry. */
export interface ChecksumFinding extends Finding {
  /** Number of the flipped bit in a correctable page. */
  readonly bit?: number;
  /** The page number for which the checksum would be right. */
  readonly looksLikePgno?: number;
  /** Checksums of the first block that differs, as 64-bit decimal strings; of a header, 32 bits. */
  readonly checksumStored?: string;
  readonly checksumComputed?: string;
}

/** The JSON form of a checksum run over a database. */
export interface ChecksumReport {
  readonly fileType: 'database';
  readonly pages: {
    /** Pages of the file. */
    readonly total: number;
    /** The same and the two header copies. */
    readonly seen: number;
    /** Pages and header copies whose checksum is wrong beyond correction. */
    readonly badChecksums: number;
    readonly correctable: number;
    readonly uninitialized: number;
    /** Pages of this file that lie at the place of another one. */
    readonly wrongPgno: number;
    /** Damaged pages behind the last page that the database owns: leftovers, no part of it. */
    readonly beyondOwned: number;
    readonly highestDbtime: string;
    readonly highestDbtimePgno: number;
  };
  readonly readBytes: number;
  readonly reads: number;
  /** By page number; the header copies are pages -1 and 0. */
  readonly findings: readonly ChecksumFinding[];
  readonly findingsTruncated?: true;
}

/** What `verifyDatabase` found. */
export interface DatabaseVerification {
  readonly report: ChecksumReport;
  /**
   * `JET_errDatabaseCorrupted` if anything is damaged beyond correction; else `JET_errReadLostFlushVerifyFailure` if the
   * flush map beside the database proves that writes of pages were lost.
   */
  readonly error: EseError | undefined;
  readonly header: HeaderElection;
  /** A streaming file (`.stm`): only its headers were verified, the checksums of its data lie in the database. */
  readonly isStreaming: boolean;
  /** Durations of the reads, in milliseconds; they differ from run to run. */
  readonly readTimes: { readonly totalMs: number; readonly slowestMs: number; readonly fastestMs: number };
}

const RANGE_BYTES = 2 * 1024 * 1024;
const FINDINGS_MAX = 100_000;
const THROTTLE_REST_MS = 1000;
/** Bytes that one thread verifies in a millisecond, a cautious figure: it decides whether workers pay. */
const BYTES_PER_MS = 10_000_000;

/**
 * Verifies both header copies and the checksum of every page. The report does not depend on the number
 * of workers.
 *
 * Damage is reported, not thrown. Throws `JET_errDatabaseCorrupted` if both header copies are damaged and
 * no page size is given, `JET_errPageSizeMismatch` if the given one is not the file's, the errors of
 * reading, and the signal's reason.
 */
export async function verifyDatabase(
  fs: FileSystem,
  path: string,
  options: VerifyOptions = {},
): Promise<DatabaseVerification> {
  const { fileBytes, header, pageSize, lastOwnedPgno } = examine(fs, path, options.pageSize);
  const isStreaming = isStreamingFile(header);
  const lastPgno = isStreaming ? 0 : Math.max(0, Math.floor(fileBytes / pageSize) - 2);
  const findingsMax = options.findingsMax ?? FINDINGS_MAX;
  const pagesPerRange = Math.max(1, Math.min(RANGE_BYTES / pageSize, options.throttlePages ?? Infinity));
  const input: ChecksumInput = {
    path,
    pageSize,
    lastPgno,
    lastOwnedPgno,
    pagesPerRange,
    listMax: findingsMax,
    flushStates: readFlushStates(fs, path, header.header, lastPgno),
  };
  const { workers, signal, onProgress } = options;
  const job = {
    rangeCount: Math.ceil(lastPgno / pagesPerRange),
    createTask: () => createChecksumTask(fs, input),
    module: fs === nodeFileSystem ? 'checksum-task.js' : undefined,
    input,
    estimateMs: fileBytes / BYTES_PER_MS,
    restMs: restAfter(options, pagesPerRange * pageSize),
  };
  const parts = await runRanges(job, {
    workers,
    signal,
    onProgress: onProgress && ((ranges) => onProgress(Math.min(ranges * pagesPerRange, lastPgno), lastPgno)),
  });

  const totals = parts.reduce((a, b) => mergeTotals(a, b, findingsMax));
  const headerFindings = [header.primary, header.shadow].flatMap(headerFinding);
  const sizeFindings = isStreaming || fileBytes % pageSize === 0 ? [] : [partialPage(fileBytes % pageSize)];
  const findings = [
    ...headerFindings,
    ...pageFindings(totals.list),
    ...sizeFindings,
    ...foreignPages(totals.beyondOwned, lastOwnedPgno),
  ];
  const [bad = 0, wrongPgno = 0, correctable = 0, lostWrites = 0] = totals.damaged;
  const report: ChecksumReport = {
    fileType: 'database',
    pages: {
      total: lastPgno,
      seen: lastPgno + 2,
      badChecksums: bad + headerFindings.length,
      correctable,
      uninitialized: totals.uninitialized,
      wrongPgno,
      beyondOwned: totals.beyondOwned,
      highestDbtime: dbtimeReport(totals.dbtimeMax),
      highestDbtimePgno: totals.dbtimeMaxPgno,
    },
    readBytes: (lastPgno + 2) * pageSize,
    reads: totals.reads + 1,
    findings: findings.slice(0, findingsMax),
    ...(bad + wrongPgno + correctable + lostWrites > totals.list.length / DAMAGED_FIELDS ||
    findings.length > findingsMax
      ? { findingsTruncated: true }
      : {}),
  };
  const isDamaged = bad + wrongPgno + headerFindings.length + sizeFindings.length > 0;
  const lost =
    lostWrites === 0
      ? undefined
      : new EseError('JET_errReadLostFlushVerifyFailure', `${lostWrites} pages are old versions`, {
          file: path,
        });
  return {
    report,
    error: isDamaged
      ? new EseError('JET_errDatabaseCorrupted', 'checksum errors were found', { file: path })
      : lost,
    header,
    isStreaming,
    readTimes: {
      totalMs: totals.readMs,
      slowestMs: totals.readMsMax,
      fastestMs: Math.min(totals.readMsMin, totals.readMsMax),
    },
  };
}

/** Value of the header field attrib in a streaming file, which Exchange 2000 and 2003 have (chapter 1.2.2). */
const ATTRIB_STREAMING = 1;

function isStreamingFile({ header }: HeaderElection): boolean {
  return header?.fileType === FILE_TYPE.streaming || header?.attrib === ATTRIB_STREAMING;
}

interface Examined {
  readonly fileBytes: number;
  readonly header: HeaderElection;
  readonly pageSize: number;
  readonly lastOwnedPgno: number;
}

/** Reads what the run depends on: size, header copies, page size and the end of the owned space. */
function examine(fs: FileSystem, path: string, givenPageSize: number | undefined): Examined {
  const file = fs.open(path, 'read');
  try {
    const fileBytes = file.size();
    const start = new Uint8Array(Math.min(HEADER_ELECTION_BYTES, fileBytes));
    const header = electHeader(start.subarray(0, file.readAt(start, 0)));
    const pageSize = choosePageSize(header, givenPageSize, path);
    return { fileBytes, header, pageSize, lastOwnedPgno: findLastOwnedPgno(file, pageSize) };
  } finally {
    file.close();
  }
}

function choosePageSize(header: HeaderElection, given: number | undefined, file: string): number {
  if (given !== undefined && !PAGE_SIZES.includes(given)) {
    throw new EseError('JET_errInvalidParameter', `${given} is no page size`, { file });
  }
  if (header.source === 'none') {
    if (given !== undefined) return given;
    throw new EseError(
      'JET_errDatabaseCorrupted',
      header.header?.magic === HEADER_MAGIC
        ? 'both header copies are damaged: the page size must be given'
        : 'the file has no database header; the pages of a damaged database need a page size',
      { file },
    );
  }
  if (given !== undefined && given !== header.pageSize) {
    throw new EseError('JET_errPageSizeMismatch', `the pages have ${header.pageSize} bytes`, { file });
  }
  return header.pageSize;
}

/** The last page that the database owns. If its space trees cannot be read, every page counts as owned. */
function findLastOwnedPgno(file: FileHandle, pageSize: number): number {
  try {
    const source = createFilePageSource(file, pageSize);
    const { pgnoOe } = decodeSpaceHeader(source.readPage(1).externalHeader, 1);
    const extents: Extent[] = [];
    const leaf = (page: Page) => {
      readExtents(page, 'JET_errSPOwnExtCorrupted', extents);
      return true;
    };
    walkTree(source, { pgnoFdp: pgnoOe, objid: 1 }, { leaf });
    return extents.reduce((last, extent) => Math.max(last, extent.last), 0) || Infinity;
  } catch (error) {
    if (error instanceof EseError) return Infinity;
    throw error;
  }
}

function restAfter(options: VerifyOptions, rangeBytes: number): ((rangesDone: number) => number) | undefined {
  const { throttlePages, bytesPerSecondMax } = options;
  if (bytesPerSecondMax !== undefined) {
    const begun = elapsedMs();
    return (ranges) => begun + (ranges * rangeBytes * 1000) / bytesPerSecondMax - elapsedMs();
  }
  return throttlePages === undefined ? undefined : () => THROTTLE_REST_MS;
}

function headerFinding(copy: HeaderCopy): ChecksumFinding[] {
  if (copy.ok) return [];
  const isPrimary = copy.which === 'primary';
  return [
    {
      code: isPrimary ? 'HDR_PRIMARY_BAD' : 'HDR_SHADOW_BAD',
      severity: 'error',
      message: `the ${isPrimary ? 'header' : 'shadow header'} ${copy.allZero ? 'is blank' : 'is damaged'}`,
      pgno: isPrimary ? -1 : 0,
      checksumStored: String(copy.checksumStored),
      checksumComputed: String(copy.checksumComputed),
    },
  ];
}

function partialPage(bytes: number): ChecksumFinding {
  const message = `the file ends within a page, of which ${bytes} bytes are there`;
  return { code: 'SIZE_NOT_MULTIPLE', severity: 'error', message };
}

function foreignPages(count: number, lastOwnedPgno: number): ChecksumFinding[] {
  if (count === 0) return [];
  const message = `${count} pages behind the last owned page ${lastOwnedPgno} hold no pages of this database`;
  return [{ code: 'SIZE_LONG', severity: 'info', message }];
}

function pageFindings(list: readonly number[]): ChecksumFinding[] {
  const findings: ChecksumFinding[] = [];
  for (let at = 0; at < list.length; at += DAMAGED_FIELDS) {
    const [pgno = 0, verdict = 0, bit = -1, otherPgno = 0, ...halves] = list.slice(at, at + DAMAGED_FIELDS);
    const [storedLow = 0, storedHigh = 0, computedLow = 0, computedHigh = 0] = halves;
    findings.push({
      ...describeDamage(DAMAGE_VERDICTS[verdict], bit, otherPgno),
      pgno,
      ...(DAMAGE_VERDICTS[verdict] === 'lostWrite'
        ? {}
        : {
            checksumStored: decimal64(storedLow, storedHigh),
            checksumComputed: decimal64(computedLow, computedHigh),
          }),
      ...(bit < 0 ? {} : { bit }),
      ...(otherPgno === 0 ? {} : { looksLikePgno: otherPgno }),
    });
  }
  return findings;
}

function describeDamage(
  verdict: DamageVerdict | undefined,
  bit: number,
  otherPgno: number,
): Pick<ChecksumFinding, 'code' | 'severity' | 'message' | 'action'> {
  if (verdict === 'lostWrite') {
    const message = 'the last write of the page was lost, as the flush map says';
    return { code: 'PAGE_LOST_FLUSH', severity: 'error', message };
  }
  if (verdict === 'correctable') {
    const message = `bit ${bit} of the page is wrong and can be corrected`;
    return { code: 'PAGE_ECC_FIXED', severity: 'warning', message, action: 'none' };
  }
  if (verdict === 'wrongPgno') {
    return { code: 'PAGE_WRONG_PGNO', severity: 'error', message: `this is page ${otherPgno} of the file` };
  }
  const hint = otherPgno === 0 ? '' : `; it would be right for page ${otherPgno}`;
  return { code: 'PAGE_BAD_CHECKSUM', severity: 'error', message: `the page checksum is wrong${hint}` };
}

function decimal64(low: number, high: number): string {
  return ((BigInt(high) << 32n) | BigInt(low)).toString();
}
