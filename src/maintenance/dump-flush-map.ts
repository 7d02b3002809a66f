/**
 * The flush map as `/mp` reports it, and its check for `/k` (format specification, chapters 1.6 and 11.4). The file
 * is opened for reading only.
 */
import { EseError } from '../format/ese-error.js';
import {
  decodeFlushMapHeader,
  FLUSH_MAP_FLAG,
  FLUSH_MAP_PAGE_BYTES,
  FLUSH_MAP_STATES_PER_PAGE,
  type FlushMapHeader,
  flushState,
  judgeFlushMapPage,
} from '../format/flush-map.js';
import type { FileHandle, FileSystem } from '../io/file-system.js';
import {
  dbtimeReport,
  type RangeReport,
  type SignatureReport,
  signatureReport,
  type TimeReport,
  timeReport,
} from './report-values.js';

/** One data page of the map. */
export interface FlushMapPageReport {
  /** Number of the data page, from 0. */
  readonly number: number;
  readonly ok: boolean;
  /** Nothing is known of the database pages in it. */
  readonly unknown: boolean;
  /** Highest stamp of a database page when the map page was written. */
  readonly dbtimeMax: string;
  /** Database pages whose states it holds. */
  readonly pgnos: RangeReport;
}

export interface FlushMapReport {
  /** There is one header; a damaged one is an error. */
  readonly copies: readonly [{ readonly which: 1; readonly ok: true }];
  /** Signature of the write of the database header with which the map belongs together. */
  readonly signDb: SignatureReport;
  readonly signFlushMap: SignatureReport;
  readonly version: { readonly major: number; readonly updateMajor: number; readonly updateMinor: number };
  readonly clean: boolean;
  readonly timeCreate: TimeReport;
  readonly timeAttach: TimeReport;
  readonly timeDetach: TimeReport;
  readonly genMinRequired: number;
  readonly genMinRequiredTarget: number;
  readonly timeFullFlushStart: TimeReport;
  readonly timeFullFlushEnd: TimeReport;
  /** Number of data pages. */
  readonly pages: number;
  readonly mapPages: readonly FlushMapPageReport[];
  /** States of the database pages of one map page, where one was asked for. */
  readonly entries?: readonly { readonly pgno: number; readonly value: number }[];
}

export interface FlushMapDump {
  readonly report: FlushMapReport;
  /** JET_errReadVerifyFailure if a data page is damaged, or the one asked for does not exist. */
  readonly error: EseError | undefined;
}

/** Data pages that are listed; a map page stands for 32512 pages of the database. */
const MAP_PAGES_MAX = 100_000;

/**
 * Reports the header of a flush map and the state of its data pages.
 *
 * @param mapPage number of the data page, from 0, whose entries are wanted
 * @throws EseError those of `decodeFlushMapHeader` and of the file system
 */
export function dumpFlushMap(fs: FileSystem, path: string, mapPage?: number): FlushMapDump {
  const handle = fs.open(path, 'read');
  try {
    return readFlushMap(handle, mapPage);
  } catch (error) {
    throw error instanceof EseError ? error.at({ file: path }) : error;
  } finally {
    handle.close();
  }
}

function readFlushMap(handle: FileHandle, wanted: number | undefined): FlushMapDump {
  const page = new Uint8Array(FLUSH_MAP_PAGE_BYTES);
  const header = decodeFlushMapHeader(page.subarray(0, handle.readAt(page, 0)));
  const pages = Math.max(0, Math.floor(handle.size() / FLUSH_MAP_PAGE_BYTES) - 1);
  const mapPages: FlushMapPageReport[] = [];
  let entries: FlushMapReport['entries'];
  let bad: number | undefined;
  for (let number = 0; number < pages; number++) {
    if (handle.readAt(page, (number + 1) * FLUSH_MAP_PAGE_BYTES) !== page.length) break;
    const report = mapPageReport(page, number);
    if (!report.ok) bad ??= number;
    if (mapPages.length < MAP_PAGES_MAX) mapPages.push(report);
    if (number === wanted) entries = mapEntries(page, number);
  }
  const report = { ...headerReport(header), pages, mapPages, ...(entries === undefined ? {} : { entries }) };
  const rest = handle.size() % FLUSH_MAP_PAGE_BYTES;
  const problem =
    rest !== 0 && bad === undefined
      ? `the flush map ends in the middle of its page ${pages}`
      : bad !== undefined
        ? `page ${bad} of the flush map is damaged`
        : wanted !== undefined && entries === undefined
          ? `the flush map has no page ${wanted}`
          : undefined;
  const error =
    problem === undefined
      ? undefined
      : new EseError('JET_errReadVerifyFailure', problem, { file: handle.path });
  return { report, error };
}

function headerReport(header: FlushMapHeader): Omit<FlushMapReport, 'pages' | 'mapPages' | 'entries'> {
  return {
    copies: [{ which: 1, ok: true }],
    signDb: signatureReport(header.signDbHdrFlush),
    signFlushMap: signatureReport(header.signFlushMapHdrFlush),
    version: { major: header.version, updateMajor: header.updateMajor, updateMinor: header.updateMinor },
    clean: (header.flags & FLUSH_MAP_FLAG.clean) !== 0,
    timeCreate: timeReport(header.logtimeCreate),
    timeAttach: timeReport(header.logtimeAttach),
    timeDetach: timeReport(header.logtimeDetach),
    genMinRequired: header.genMinRequired,
    genMinRequiredTarget: header.genMinRequiredTarget,
    timeFullFlushStart: timeReport(header.logtimeFullFlushStart),
    timeFullFlushEnd: timeReport(header.logtimeFullFlushEnd),
  };
}

function mapPageReport(page: Uint8Array, number: number): FlushMapPageReport {
  const { verdict, dbtimeMax, number: stored } = judgeFlushMapPage(page, number);
  const unknown = verdict === 'uninitialized';
  const low = number * FLUSH_MAP_STATES_PER_PAGE;
  return {
    number,
    ok: unknown || (verdict === 'ok' && stored === number),
    unknown,
    dbtimeMax: dbtimeReport(dbtimeMax),
    pgnos: { low, high: low + FLUSH_MAP_STATES_PER_PAGE - 1 },
  };
}

function mapEntries(page: Uint8Array, number: number): { pgno: number; value: number }[] {
  const low = number * FLUSH_MAP_STATES_PER_PAGE;
  return Array.from({ length: FLUSH_MAP_STATES_PER_PAGE }, (_, i) => ({
    pgno: low + i,
    value: flushState(page, low + i),
  }));
}
