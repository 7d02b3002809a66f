/**
 * Integrity of a whole database, `/g` (format specification, chapters 7.1, 2.6 and 11.4.2). The file is opened
 * for reading only.
 *
 * The order of the work: header; space trees, which say who owns each page; pages above the leaves, which name
 * all leaves in key order; then every leaf once, by as many threads as pay; last the pages that no tree reaches,
 * and what only the whole shows. Rows and indexes are compared by sums of hashes, so that memory does not grow
 * with the tables; where the sums differ, the entries of few buckets are read again and compared one by one.
 */

import { setImmediate } from 'node:timers/promises';
import type { KernelKind } from '../format/checksum-kernel.js';
import { DATABASE_STATE, type DatabaseHeader, databaseStateName } from '../format/database-header.js';
import { EseError } from '../format/ese-error.js';
import type { Environment } from '../io/environment.js';
import type { FileSystem } from '../io/file-system.js';
import { nodeFileSystem } from '../io/node-file-system.js';
import { type JobOptions, type RangeJob, runRanges } from '../workers/pool.js';
import type { RangeTask } from '../workers/range-job.js';
import { readFlushStates } from './flush-states.js';
import {
  checkSystemTables,
  countPages,
  countsOfTrees,
  type Merged,
  mergeParts,
  type PageCensus,
  planSecondLook,
  reportDifferences,
  reportLeaks,
  reportUnverifiable,
  type SecondLook,
  sortedFindings,
  type Unverifiable,
} from './integrity/conclude.js';
import { type Examination, type ExaminedBody, examine } from './integrity/examine.js';
import type { IntegrityFinding } from './integrity/finding.js';
import { createIntegrityTask } from './integrity/integrity-task.js';
import { type IntegrityPlan, type TreeKind, treesByTable, unitCount, windowCount } from './integrity/plan.js';
import type { IntegrityPart } from './integrity/tally.js';
import { type TimeReport, timeReport } from './report-values.js';

export type { IntegrityCode, IntegrityFinding } from './integrity/finding.js';

export interface IntegrityOptions extends JobOptions {
  /** Whether indexes are compared with the rows; else their trees are checked only. Default: true. */
  readonly comparesIndexes?: boolean | undefined;
  /** Findings to list; all are counted. */
  readonly findingsMax?: number | undefined;
  /** Most pages that a thread takes at once; what is found does not depend on it. */
  readonly unitPages?: number | undefined;
  /** The kernel that checks pages; what is found does not depend on it. Default: the one that suits the file. */
  readonly kernel?: KernelKind | undefined;
}

/** What was seen of one table. */
export interface IntegrityTable {
  readonly name: string;
  readonly objid: number;
  readonly records: number;
  readonly longValues: number;
  /** Secondary indexes. */
  readonly indexes: number;
  readonly errors: number;
  readonly warnings: number;
  /** Indexes that could not be compared with the rows, or not in full. */
  readonly unverifiable: readonly string[];
}

/** The JSON form of an integrity check, without the path of its report file. */
export interface IntegrityReport {
  readonly dirty: boolean;
  readonly corrupt: boolean;
  readonly catalogUsed: 'primary' | 'shadow' | 'none';
  /** Whether all tables could be checked. */
  readonly complete: boolean;
  readonly pages: PageCensus;
  readonly tables: readonly IntegrityTable[];
  readonly errors: number;
  readonly warnings: number;
  readonly lastFullBackup: TimeReport;
  readonly findings: readonly IntegrityFinding[];
  readonly findingsTruncated?: true;
}

/** What `checkIntegrity` found. */
export interface IntegrityResult {
  readonly report: IntegrityReport;
  /** `JET_errDatabaseCorrupted` if there is any error, `JET_errDiskIO` if the disk kept something back. */
  readonly error: EseError | undefined;
  readonly header: DatabaseHeader;
  readonly headerSource: 'primary' | 'shadow' | 'none';
  readonly stateName: string;
  readonly fileBytes: number;
  /** Tables with their secondary indexes, in the order in which they were checked. */
  readonly outline: readonly IntegrityOutline[];
}

/** A table and its secondary indexes by name, for the report file. */
export interface IntegrityOutline {
  readonly name: string;
  readonly objid: number;
  readonly hasLongValues: boolean;
  readonly indexes: readonly { readonly name: string; readonly objid: number; readonly entries: number }[];
}

const FINDINGS_MAX = 100_000;
/** Bytes that one thread checks in a millisecond, a cautious figure: it decides whether workers pay. */
const BYTES_PER_MS = 250_000;
const YIELD_MS = 16;

/**
 * Checks a database. Damage is reported, not thrown; the report does not depend on the number of workers.
 *
 * Throws `JET_errDatabaseCorrupted` if the file is no database, `JET_errInvalidDatabaseVersion` if its format is
 * not known, the errors of opening the file, and the signal's reason.
 */
export async function checkIntegrity(
  { fs }: Pick<Environment, 'fs'>,
  path: string,
  options: IntegrityOptions = {},
): Promise<IntegrityResult> {
  const file = fs.open(path, 'read');
  try {
    const isShared = fs === nodeFileSystem;
    const examined = await drain(
      examine(file, examineOptions(fs, path, options, isShared, true)),
      options.signal,
    );
    const { body } = examined;
    if (body === undefined) return conclude(examined, file.size(), undefined);
    const parts = await runRanges(leafJob(fs, body.plan, isShared), options);
    const merged = mergeParts(body, parts, examined.list);
    const second = planSecondLook(body, merged, examined.list);
    if (second !== undefined) {
      await runRanges(secondLookJob(fs, body.plan, second), { signal: options.signal, workers: 1 });
    }
    return conclude(examined, file.size(), { body, merged, second });
  } catch (error) {
    throw error instanceof EseError ? error.at({ file: path }) : error;
  } finally {
    file.close();
  }
}

/**
 * Checks a database in this thread, at once, all but the pages that nobody uses: for tests that look at many small
 * databases.
 *
 * @throws EseError as {@link checkIntegrity}, and `JET_errDatabaseCorrupted` with the first findings if there is
 *   any error.
 */
export function assertSound(fs: FileSystem, path: string): void {
  const file = fs.open(path, 'read');
  try {
    const steps = examine(file, examineOptions(fs, path, {}, false, false));
    let step = steps.next();
    while (step.done !== true) step = steps.next();
    const examined = step.value;
    const { body } = examined;
    let result: IntegrityResult;
    if (body === undefined) result = conclude(examined, file.size(), undefined);
    else {
      const part = runAll(createIntegrityTask(fs, body.plan), rangeCount(body.plan));
      const merged = mergeParts(body, [part], examined.list);
      const second = planSecondLook(body, merged, examined.list);
      if (second !== undefined) {
        const job = secondLookJob(fs, body.plan, second);
        runAll(job.createTask(), job.rangeCount);
      }
      result = conclude(examined, file.size(), { body, merged, second });
    }
    if (result.error !== undefined) throw describeErrors(result.report, path);
  } finally {
    file.close();
  }
}

const FINDINGS_SHOWN = 8;

function describeErrors({ findings, errors }: IntegrityReport, path: string): EseError {
  const lines = findings
    .filter(({ severity }) => severity === 'error')
    .slice(0, FINDINGS_SHOWN)
    .map(({ code, object, pgno, node, message }) => {
      const place = [
        object,
        pgno === undefined ? undefined : `page ${pgno}`,
        node === undefined ? undefined : `node ${node}`,
      ].filter((part) => part !== undefined);
      return `\n  ${code} (${place.join(', ')}): ${message}`;
    });
  return new EseError('JET_errDatabaseCorrupted', `${errors} errors:${lines.join('')}\n`, { file: path });
}

function examineOptions(
  fs: FileSystem,
  path: string,
  { findingsMax, comparesIndexes, unitPages, kernel }: IntegrityOptions,
  isShared: boolean,
  countsPages: boolean,
) {
  return {
    findingsMax: findingsMax ?? FINDINGS_MAX,
    comparesIndexes: comparesIndexes ?? true,
    isShared,
    countsPages,
    flushStatesOf: (header: DatabaseHeader, lastPgno: number) => readFlushStates(fs, path, header, lastPgno),
    unitPages,
    kernel,
  };
}

async function drain<T>(steps: Generator<void, T, undefined>, signal: AbortSignal | undefined): Promise<T> {
  let yieldedAt = performance.now();
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
    if (performance.now() - yieldedAt < YIELD_MS) continue;
    await setImmediate();
    signal?.throwIfAborted();
    yieldedAt = performance.now();
  }
}

function runAll<T>(task: RangeTask<T>, ranges: number): T {
  try {
    for (let range = 0; range < ranges; range++) task.runRange(range);
    return task.result();
  } finally {
    task.close();
  }
}

/** The units of long-value trees, then the windows of the file. */
function rangeCount(plan: IntegrityPlan): number {
  return unitCount(plan) + windowCount(plan);
}

function leafJob(
  fs: FileSystem,
  plan: IntegrityPlan,
  isShared: boolean,
): RangeJob<IntegrityPlan, IntegrityPart> {
  return {
    rangeCount: rangeCount(plan),
    createTask: () => createIntegrityTask(fs, plan),
    module: isShared ? '../maintenance/integrity/integrity-task.js' : undefined,
    input: plan,
    estimateMs: (plan.leaves.length * plan.pageSize) / BYTES_PER_MS,
  };
}

/** Reads again what differs, in one thread, since what is put together lies in its memory. */
function secondLookJob(
  fs: FileSystem,
  plan: IntegrityPlan,
  { ranges, differences }: SecondLook,
): RangeJob<null, IntegrityPart> {
  return {
    rangeCount: ranges.length,
    createTask: () => {
      const task = createIntegrityTask(fs, plan, differences);
      return { ...task, runRange: (range) => task.runRange(ranges[range] ?? 0) };
    },
    input: null,
    estimateMs: 0,
  };
}

interface Collected {
  readonly body: ExaminedBody;
  readonly merged: Merged;
  readonly second: SecondLook | undefined;
}

const NO_PAGES: PageCensus = {
  total: 0,
  used: 0,
  space: 0,
  empty: 0,
  blank: 0,
  available: 0,
  foreign: 0,
  bad: 0,
};

function conclude(
  { list, header, election }: Examination,
  fileBytes: number,
  collected: Collected | undefined,
): IntegrityResult {
  let unverifiable: Unverifiable = new Map();
  if (collected !== undefined) {
    const { body, merged, second } = collected;
    if (second !== undefined) reportDifferences(body, merged, second, list);
    unverifiable = reportUnverifiable(body, merged, list);
    checkSystemTables(body, merged, list);
    reportLeaks(body, merged, list);
  }
  const sorted = sortedFindings(list);
  let errors = 0;
  let warnings = 0;
  for (const count of list.counts.values()) {
    errors += count.errors;
    warnings += count.warnings;
  }
  const report: IntegrityReport = {
    dirty: header.state !== DATABASE_STATE.cleanShutdown,
    corrupt: errors > 0,
    catalogUsed: collected?.body.catalogUsed ?? 'none',
    complete: collected?.body.isCatalogComplete ?? false,
    pages: collected === undefined ? NO_PAGES : countPages(collected.body.plan),
    tables: collected === undefined ? [] : tableReports(collected, unverifiable, list),
    errors,
    warnings,
    lastFullBackup: timeReport(header.bkinfoFullPrev.time),
    findings: sorted.map(({ finding }) => finding),
    ...(list.isTruncated ? { findingsTruncated: true } : {}),
  };
  return {
    report,
    error: errorOf(report, collected?.merged.hasReadErrors ?? false),
    header,
    headerSource: election.source,
    stateName: databaseStateName(header.state),
    fileBytes,
    outline: collected === undefined ? [] : outlineOf(collected),
  };
}

function errorOf({ errors }: IntegrityReport, hasReadErrors: boolean): EseError | undefined {
  if (hasReadErrors) return new EseError('JET_errDiskIO', 'part of the database cannot be read');
  if (errors === 0) return undefined;
  return new EseError('JET_errDatabaseCorrupted', `${errors} errors were found`);
}

function tableReports(
  { body, merged }: Collected,
  unverifiable: Unverifiable,
  list: Examination['list'],
): IntegrityTable[] {
  const { trees, tables } = body.plan;
  const treesOf = treesByTable(trees, tables.length);
  return tables.map(({ name, objid }, tableNumber) => {
    const positions = treesOf[tableNumber] ?? [];
    const nodesOf = (kind: TreeKind): number =>
      positions.reduce(
        (total, position) => total + (trees[position]?.kind === kind ? (merged.nodes[position] ?? 0) : 0),
        0,
      );
    return {
      name,
      objid,
      records: nodesOf('table'),
      longValues: nodesOf('longValue'),
      indexes: positions.filter((position) => trees[position]?.kind === 'index').length,
      ...countsOfTrees(trees, positions, list),
      unverifiable: unverifiable.get(tableNumber) ?? [],
    };
  });
}

function outlineOf({ body, merged }: Collected): IntegrityOutline[] {
  const { tables, trees } = body.plan;
  const treesOf = treesByTable(trees, tables.length);
  return tables.map(({ name, objid, indexes }, tableNumber) => {
    const own = treesOf[tableNumber] ?? [];
    return {
      name,
      objid,
      hasLongValues: own.some((position) => trees[position]?.kind === 'longValue'),
      indexes: own.flatMap((position) => {
        const index = indexes[trees[position]?.indexNumber ?? -1];
        const entries = merged.nodes[position] ?? 0;
        return index === undefined ? [] : [{ name: index.name, objid: index.objid, entries }];
      }),
    };
  });
}
