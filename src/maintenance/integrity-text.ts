/**
 * The report file of an integrity check, `<prefix>.INTEG.RAW`: the phases in their order, and under each what was
 * found (format specification, chapters 7.1.4 and 12.6.3).
 */

import { DATABASE_STATE } from '../format/database-header.js';
import { JET_ERRORS } from '../format/jet-errors.js';
import type { IntegrityFinding, IntegrityOutline, IntegrityResult } from './integrity.js';

/** What the first line and the ending say of the run. */
export interface IntegrityTextOptions {
  /** `Integrity` for `/g`; `Repair` for `/p`, whose own lines follow the body. */
  readonly operation: 'Integrity' | 'Repair';
  /** The database as the user named it. */
  readonly database: string;
  /** Program and version. */
  readonly version: string;
  readonly workers: number;
  readonly comparesIndexes: boolean;
}

const SYSTEM_ROOT = 'SystemRoot';
const CATALOG = 'MSysObjects';
const SHADOW = 'MSysObjectsShadow';
const OBJIDS = 'MSysObjids';
const COMPARING = 'rebuilding and comparing indexes';

/** The body: from the first line to the last warning. */
export function integrityText(result: IntegrityResult, options: IntegrityTextOptions): string[] {
  const { database, operation, version, workers, comparesIndexes } = options;
  const { report, fileBytes, stateName, outline } = result;
  const take = findingTaker(report.findings);
  const lines = [
    `***** ${operation} of database '${database}' started [${version}]`,
    '',
    "search for 'ERROR:' to find errors",
    "search for 'WARNING:' to find warnings",
    'checking database header',
  ];
  if (result.header.state !== DATABASE_STATE.cleanShutdown) {
    lines.push(`ERROR: database was not shutdown cleanly (${stateName})`);
  }
  lines.push(...take((finding) => finding.code.startsWith('HDR_')));
  lines.push(`database file "${database}" is ${fileBytes} bytes`);
  lines.push(`database file "${database}" is ${fileBytes} bytes on disk.`);
  const atEnd = (finding: IntegrityFinding): boolean => finding.code.startsWith('SIZE_');
  if (outline.length === 0) return [...lines, ...take(atEnd), ...take(() => true)];
  lines.push(`Creating ${workers} threads`);
  lines.push(...systemLines(take, comparesIndexes));
  for (const table of outline) {
    if (table.name !== CATALOG && table.name !== SHADOW)
      lines.push(...tableLines(table, result, take, comparesIndexes));
  }
  return [...lines, ...take(atEnd), ...take(() => true)];
}

/** Gives the lines of those findings that fit and have not been given yet. */
type TakeFindings = (fits: (finding: IntegrityFinding) => boolean) => string[];

function findingTaker(findings: readonly IntegrityFinding[]): TakeFindings {
  let rest = findings;
  return (fits) => {
    const lines: string[] = [];
    rest = rest.filter((finding) => {
      if (!fits(finding)) return true;
      lines.push(findingLine(finding));
      return false;
    });
    return lines;
  };
}

const KEYWORDS = { error: 'ERROR: ', warning: 'WARNING: ', info: 'note: ' } as const;

function findingLine({
  code,
  severity,
  message,
  pgno,
  node,
  object,
  consequence,
  keyRange,
}: IntegrityFinding): string {
  // The engine's own words, which scripts look for.
  if (code === 'SIZE_LONG' || code === 'SIZE_SHORT') return `${KEYWORDS[severity]}${message}`;
  const place = [
    object,
    pgno === undefined ? undefined : `page ${pgno}`,
    node === undefined ? undefined : `node ${node}`,
    keyRange === undefined ? undefined : `key ${keyRange[0] ?? ''}`,
  ].filter((part) => part !== undefined);
  const where = place.length === 0 ? '' : `${place.join(', ')}: `;
  return `${KEYWORDS[severity]}${where}${message} (${code}; ${consequence})`;
}

function systemLines(take: TakeFindings, comparesIndexes: boolean): string[] {
  const of = (...objects: readonly string[]): string[] =>
    take(
      (finding) =>
        !isComparison(finding) && !isLogical(finding) && objects.includes(treeOf(finding.object ?? '')),
    );
  return [
    `checking ${SYSTEM_ROOT}`,
    ...take((finding) => finding.object === SYSTEM_ROOT),
    `${SYSTEM_ROOT} (OE)`,
    ...take((finding) => finding.object === `${SYSTEM_ROOT} (OE)`),
    `${SYSTEM_ROOT} (AE)`,
    ...take((finding) => finding.object === `${SYSTEM_ROOT} (AE)`),
    'checking system tables',
    `${CATALOG} `,
    ...of(CATALOG),
    `${SHADOW} `,
    ...of(SHADOW),
    `${CATALOG} Name`,
    ...of(`${CATALOG}/Name`),
    `${CATALOG} RootObjects`,
    ...of(`${CATALOG}/RootObjects`),
    ...(comparesIndexes ? [COMPARING] : []),
    ...take((finding) => finding.table === CATALOG && isComparison(finding)),
    'checking logical consistency of system tables',
    CATALOG,
    ...take((finding) => finding.table === CATALOG),
    SHADOW,
    ...take((finding) => finding.table === SHADOW),
    OBJIDS,
    ...take((finding) => finding.table === OBJIDS && isLogical(finding)),
  ];
}

/** The tree that a finding about it or its space trees names. */
function treeOf(object: string): string {
  return object.replace(/ \((?:OE|AE)\)$/, '');
}

function isComparison({ code }: IntegrityFinding): boolean {
  return code.startsWith('IDX_');
}

function isLogical({ code }: IntegrityFinding): boolean {
  return code.startsWith('CAT_');
}

/** The block of one table. Its lines do not mix with those of others, whoever read its pages. */
function tableLines(
  { name, objid, hasLongValues, indexes }: IntegrityOutline,
  result: IntegrityResult,
  take: TakeFindings,
  comparesIndexes: boolean,
): string[] {
  const table = result.report.tables.find((one) => one.name === name);
  const of = (object: string): string[] =>
    take(
      (finding) =>
        finding.table === name && !isComparison(finding) && treeOf(finding.object ?? '') === object,
    );
  const longValues = `${name}/<Long Values>`;
  const trees = [name, longValues, ...indexes.map((index) => `${name}/${index.name}`)];
  const lines = [
    `checking table "${name}" (${objid})`,
    ...take((finding) => finding.table === name && !trees.includes(treeOf(finding.object ?? ''))),
    ...(hasLongValues ? ['checking long values', ...of(longValues)] : []),
    'checking data',
    ...of(name),
  ];
  for (const index of indexes) {
    lines.push(`checking index "${index.name}" (${index.objid})`, ...of(`${name}/${index.name}`));
  }
  if (comparesIndexes && indexes.length > 0) lines.push(COMPARING);
  lines.push(...take((finding) => finding.table === name));
  const error = (table?.errors ?? 0) > 0 ? JET_ERRORS.JET_errDatabaseCorrupted.code : 0;
  // All threads read pieces of all tables, so no table has a time of its own.
  lines.push(
    `integrity-check of table "${name}" (${objid}) finishes with error ${error} (0x${(error >>> 0).toString(16)}) after 0 seconds`,
  );
  return lines.map((line) => `${name}:\t0:\t${line}`);
}
