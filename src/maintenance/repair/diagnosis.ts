import { OBJID_CATALOG } from '../../format/catalog-row.js';
import { DATABASE_STATE } from '../../format/database-header.js';
import type { IntegrityCode, IntegrityFinding, IntegrityResult } from '../integrity.js';
import type { RepairSource } from './source-view.js';

/** What has to be done with a database (format specification, chapters 7.2.1 and 7.2.3). */
export interface Diagnosis {
  /** Some of its trees must be made anew: the whole database is. */
  readonly needsRebuild: boolean;
  /** It gets a new identity, without logs: it was not shut down cleanly, or its pages are newer than it says. */
  readonly needsNewHeader: boolean;
  /** One header copy must be written again. */
  readonly needsHeaderCopy: boolean;
  /** Single wrong bits must be put right. */
  readonly needsCorrection: boolean;
  /** Tables by objid that cannot be copied as they are, and what is wrong with their trees, by objid. */
  readonly damaged: ReadonlyMap<number, ReadonlySet<number>>;
}

const LOCALES_TABLE_NAME = 'MSysLocales';
/** Errors that the header alone can mend. */
const MENDED_IN_HEADER: readonly IntegrityCode[] = ['PAGE_DBTIME'];
/** Warnings that mean that something must be made anew (chapter 7.6.2, rows 38, 41 and 13). */
const WARNINGS_TO_MEND: readonly IntegrityCode[] = ['LV_ORPHAN', 'LV_REF_HIGH', 'CAT_DIFFERENT'];

export interface DiagnosisOptions {
  /** Long values without a reference stay. */
  readonly keepsOrphans: boolean;
}

export function diagnose(
  { report, header }: IntegrityResult,
  { headerSource, fileBytes, wholeBytes }: RepairSource,
  { keepsOrphans }: DiagnosisOptions,
): Diagnosis {
  const isToMend = ({ code, severity, table }: IntegrityFinding): boolean => {
    if (severity === 'error') return !MENDED_IN_HEADER.includes(code);
    if (code === 'LV_ORPHAN' && keepsOrphans) return false;
    // Counts of sort orders mend themselves when Windows attaches the database.
    if (code === 'CAT_DIFFERENT' && table === LOCALES_TABLE_NAME) return false;
    return severity === 'warning' && WARNINGS_TO_MEND.includes(code);
  };
  const toMend = report.findings.filter(isToMend);
  const has = (code: IntegrityCode): boolean => report.findings.some((finding) => finding.code === code);
  const isTruncated = report.findingsTruncated === true;
  return {
    needsRebuild:
      toMend.length > 0 || !report.complete || fileBytes !== wholeBytes || (isTruncated && report.corrupt),
    needsNewHeader:
      header.state !== DATABASE_STATE.cleanShutdown || has('PAGE_DBTIME') || headerSource === 'made',
    needsHeaderCopy: headerSource !== 'both',
    needsCorrection: isTruncated || has('PAGE_ECC_FIXED'),
    damaged: damagedTables(report, toMend, keepsOrphans),
  };
}

/** What is wrong with space trees, the catalog and counts does not hinder the copying of a tree. */
const HARMLESS_TO_COPYING = /^(?:SPACE_|SIZE_|CAT_|HDR_|LV_ORPHAN|LV_REF_)/;

/** Whether the catalog that the check used may lack tables, or say something wrong of them. */
export function isCatalogDamaged({ report }: IntegrityResult): boolean {
  return (
    !report.complete ||
    report.catalogUsed !== 'primary' ||
    report.findingsTruncated === true ||
    report.findings.some(
      ({ code, severity, objid }) =>
        severity === 'error' &&
        ((code.startsWith('CAT_') && code !== 'CAT_SHADOW_BAD') ||
          (objid === OBJID_CATALOG && !HARMLESS_TO_COPYING.test(code))),
    )
  );
}

/** Trees of each damaged table; an empty set stands for all of them. */
function damagedTables(
  { tables, findings, findingsTruncated }: IntegrityResult['report'],
  toMend: readonly IntegrityFinding[],
  keepsOrphans: boolean,
): Map<number, Set<number>> {
  const byName = new Map(tables.map(({ name, objid }) => [name, objid]));
  const damaged = new Map<number, Set<number>>();
  // Only where they are salvaged, long values without a reference can stay.
  const orphans = keepsOrphans ? findings.filter(({ code }) => code === 'LV_ORPHAN') : [];
  const hindering = toMend.filter(({ code }) => !HARMLESS_TO_COPYING.test(code));
  for (const { table, objid } of [...hindering, ...orphans]) {
    const objidTable = table === undefined ? undefined : byName.get(table);
    if (objidTable === undefined) continue;
    const trees = damaged.get(objidTable) ?? new Set<number>();
    damaged.set(objidTable, trees);
    trees.add(objid ?? objidTable);
  }
  if (findingsTruncated !== true) return damaged;
  for (const { objid, errors, warnings } of tables) {
    // What is wrong with it is not listed: all of it may be.
    if (errors + warnings > 0) damaged.set(objid, new Set());
  }
  return damaged;
}
