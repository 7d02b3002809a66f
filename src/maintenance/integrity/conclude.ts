/**
 * The last part of the check: what the threads found is put together, and what only the whole shows is found
 * (format specification, chapters 2.6 and 7.1.4).
 */

import { EseError } from '../../format/ese-error.js';
import { longValueChunkSize } from '../../format/long-value.js';
import { createNodeView, NODE_FLAG, type Page } from '../../format/page.js';
import { createRecordLayout } from '../../format/record.js';
import type { ExaminedBody } from './examine.js';
import { RANK_CATALOG, RANK_LOCALES, RANK_OBJIDS } from './examine.js';
import {
  compareRanked,
  countFinding,
  type FindingList,
  mergeCounts,
  type RankedFinding,
  type Severity,
  UNIT_LAST,
} from './finding.js';
import { BUCKETS, differingBuckets, mergeFingerprint } from './fingerprint.js';
import { affordableBuckets, planComparison, type Suspects, type WholeSides } from './index-compare.js';
import { dropRepeated, joinLongValues, type LongValueEnds } from './long-value-check.js';
import { BLANK } from './page-check.js';
import {
  type CheckedTree,
  type IntegrityPlan,
  PAGE_STATE,
  PAGE_STATE_MASK,
  PAGE_USE,
  PAGE_USE_MASK,
  treesByTable,
  UNIT_FIELDS,
  unitCount,
} from './plan.js';
import { checkLocales, checkObjids, LOCALES_TABLE, OBJIDS_TABLE } from './system-tables.js';
import {
  createDifferences,
  type Differences,
  type IndexSums,
  type IntegrityPart,
  mergeIndexSums,
} from './tally.js';

/** What all threads together found. */
export interface Merged {
  readonly damagedTrees: ReadonlySet<number>;
  readonly uncomputable: ReadonlySet<number>;
  /** Live nodes of each tree by position; of a long-value tree, its roots only. */
  readonly nodes: Float64Array;
  readonly indexes: ReadonlyMap<number, IndexSums>;
  readonly references: ReadonlyMap<number, Int32Array>;
  readonly hasReadErrors: boolean;
}

/** Adds the findings of the threads to those of the examination, and their sums to each other. */
export function mergeParts(body: ExaminedBody, parts: readonly IntegrityPart[], list: FindingList): Merged {
  const { plan } = body;
  const damagedTrees = new Set(body.incompleteWalks);
  const uncomputable = new Set<number>();
  const nodes = new Float64Array(plan.trees.length);
  const indexes = new Map<number, IndexSums>();
  const references = new Map<number, Int32Array>();
  for (const part of parts) {
    for (const finding of part.findings) list.findings.push(finding);
    mergeCounts(list.counts, part.counts);
    if (part.isTruncated) list.isTruncated = true;
    for (const tree of part.damagedTrees) damagedTrees.add(tree);
    for (const tree of part.uncomputable) uncomputable.add(tree);
    part.nodes.forEach((count, position) => {
      nodes[position] = (nodes[position] ?? 0) + count;
    });
    for (const [position, sums] of part.indexes) mergeIndexSums(indexes, position, sums);
    for (const [table, sums] of part.references) {
      const known = references.get(table);
      if (known === undefined) references.set(table, sums);
      else mergeFingerprint(known, sums);
    }
  }
  const endsOf = new Map<number, LongValueEnds[]>();
  for (const end of parts.flatMap((part) => part.ends)) {
    const known = endsOf.get(end.tree);
    if (known === undefined) endsOf.set(end.tree, [end]);
    else known.push(end);
  }
  for (const [position, ends] of endsOf) {
    const tree = plan.trees[position];
    if (tree === undefined) continue;
    ends.sort((a, b) => a.unit - b.unit);
    const table = plan.tables[tree.tableNumber];
    joinLongValues(ends, tree, longValueChunkSize(plan.pageSize, table?.lvChunkMax), list);
  }
  keepFirst(list, plan.findingsMax);
  dropRepeated(list);
  list.unit = UNIT_LAST;
  const hasReadErrors = list.hasReadErrors || parts.some((part) => part.hasReadErrors);
  return { damagedTrees, uncomputable, nodes, indexes, references, hasReadErrors };
}

/**
 * Cuts a list to those findings that came first in the order of the work. Every thread has kept at least those of
 * its own, so that they are the same for any number of threads.
 */
function keepFirst(list: FindingList, limit: number): void {
  if (list.findings.length <= limit) return;
  list.findings.sort((a, b) => a.unit - b.unit);
  list.findings.length = limit;
  list.isTruncated = true;
}

/** What must be read again to name the differences, and where they go. */
export interface SecondLook {
  /** Ranges of the plan. */
  readonly ranges: readonly number[];
  readonly differences: Differences;
}

/** Finds the indexes and long values whose sums differ from those of the rows; `undefined` if there are none. */
export function planSecondLook(
  body: ExaminedBody,
  merged: Merged,
  list: FindingList,
): SecondLook | undefined {
  const { plan } = body;
  const indexes = new Map<number, ReadonlySet<number>>();
  const longValues = new Map<number, ReadonlySet<number>>();
  const byStart = new Set<number>();
  const byBookmark = new Set<number>();
  const wantedTrees = new Set<number>();
  const choose = (buckets: readonly number[], entries: number): ReadonlySet<number> => {
    const chosen = affordableBuckets(buckets, entries);
    if (chosen.size < buckets.length) list.isTruncated = true;
    return chosen;
  };
  for (const [position, tree] of plan.trees.entries()) {
    if (tree.kind !== 'index' && tree.kind !== 'longValue') continue;
    if (merged.damagedTrees.has(position) && merged.damagedTrees.has(tree.parent)) continue;
    const entries = Math.max(merged.nodes[position] ?? 0, merged.nodes[tree.parent] ?? 0);
    if (tree.kind === 'longValue') {
      const sums = merged.references.get(tree.tableNumber);
      const buckets = sums === undefined ? [] : differingBuckets(sums);
      if (buckets.length === 0) continue;
      longValues.set(tree.tableNumber, choose(buckets, entries));
    } else {
      const sums = merged.indexes.get(position);
      if (sums === undefined) continue;
      if (sums.hasManyKeys) {
        // Only how many entries each row has tells whether there are too many or none.
        indexes.set(position, affordableBuckets(ALL_BUCKETS, entries));
        byBookmark.add(position);
        wantedTrees.add(position);
        wantedTrees.add(tree.parent);
        continue;
      }
      const usesStart = sums.hasCutKeys && sums.start !== undefined;
      const buckets = differingBuckets(usesStart && sums.start !== undefined ? sums.start : sums.whole);
      if (buckets.length === 0) continue;
      if (usesStart) byStart.add(position);
      if (isComparedByBookmark(body, tree)) byBookmark.add(position);
      indexes.set(position, choose(buckets, entries));
    }
    wantedTrees.add(position);
    wantedTrees.add(tree.parent);
  }
  if (wantedTrees.size === 0) return undefined;
  const suspects: Suspects = { indexes, byStart, byBookmark, longValues };
  return {
    ranges: rangesOf(plan, wantedTrees),
    differences: createDifferences(suspects, wantedTrees),
  };
}

const ALL_BUCKETS = Array.from({ length: BUCKETS }, (_, bucket) => bucket);

function isComparedByBookmark({ plan }: ExaminedBody, { tableNumber, indexNumber }: CheckedTree): boolean {
  const table = plan.tables[tableNumber];
  const index = table?.indexes[indexNumber];
  if (table === undefined || index === undefined) return false;
  return planComparison(createRecordLayout(table.columns, plan.pageSize), index).kind === 'bookmarks';
}

/** The ranges of a plan in which leaves of these trees are. */
function rangesOf(plan: IntegrityPlan, wanted: ReadonlySet<number>): number[] {
  const units = unitCount(plan);
  const ranges = new Set<number>();
  for (let unit = 0; unit < units; unit++) {
    if (wanted.has(plan.units[unit * UNIT_FIELDS] ?? -1)) ranges.add(unit);
  }
  for (const position of wanted) {
    const end = plan.firstLeaf[position + 1] ?? 0;
    for (let at = plan.firstLeaf[position] ?? 0; at < end; at++) {
      const pgno = plan.leaves[at] ?? 0;
      if (pgno !== 0) ranges.add(units + Math.floor((pgno - 1) / plan.windowPages));
    }
  }
  return [...ranges].sort((a, b) => a - b);
}

/** Reports the differences that a second look has found. */
export function reportDifferences(
  body: ExaminedBody,
  merged: Merged,
  { differences }: SecondLook,
  list: FindingList,
): void {
  const { trees, tables } = body.plan;
  const wholeSides = (position: number): WholeSides => ({
    rows: !merged.damagedTrees.has(trees[position]?.parent ?? -1) && !merged.uncomputable.has(position),
    tree: !merged.damagedTrees.has(position),
  });
  for (const [position, entries] of differences.entries) {
    const tree = trees[position];
    const index = tables[tree?.tableNumber ?? -1]?.indexes[tree?.indexNumber ?? -1];
    if (tree !== undefined) entries.report(tree, index?.unique === true, wholeSides(position), list);
  }
  for (const [position, bookmarks] of differences.bookmarks) {
    const tree = trees[position];
    if (tree !== undefined) bookmarks.report(tree, wholeSides(position), list);
  }
  for (const [tableNumber, references] of differences.references) {
    const position = trees.findIndex((one) => one.kind === 'longValue' && one.tableNumber === tableNumber);
    const tree = trees[position];
    const data = trees[tree?.parent ?? -1];
    if (tree !== undefined && data !== undefined) {
      references.report(tree, data, wholeSides(position), list);
    }
  }
  dropDoubleOrphans(list);
}

/** A value that is referred to although its count is 0 is no orphan. */
function dropDoubleOrphans(list: FindingList): void {
  const nameOf = ({ rank, lid }: RankedFinding): string => `${rank}/${lid}`;
  const low = new Set(list.findings.filter(({ finding }) => finding.code === 'LV_REF_LOW').map(nameOf));
  if (low.size === 0) return;
  for (let at = list.findings.length - 1; at >= 0; at--) {
    const ranked = list.findings[at];
    if (ranked === undefined || ranked.finding.code !== 'LV_ORPHAN' || !low.has(nameOf(ranked))) continue;
    list.findings.splice(at, 1);
    countFinding(list.counts, ranked.rank, 'warning', -1);
  }
}

/** Names of the indexes of each table that could not be compared in full. */
export type Unverifiable = ReadonlyMap<number, readonly string[]>;

/** Says which indexes cannot be compared, or only in part, and why. */
export function reportUnverifiable(body: ExaminedBody, merged: Merged, list: FindingList): Unverifiable {
  const { plan } = body;
  const names = new Map<number, string[]>();
  if (!plan.comparesIndexes) return names;
  const treesOf = treesByTable(plan.trees, plan.tables.length);
  for (const [tableNumber, table] of plan.tables.entries()) {
    if (table.indexes.length === 0) continue;
    const layout = createRecordLayout(table.columns, plan.pageSize);
    for (const [indexNumber, index] of table.indexes.entries()) {
      const position = treesOf[tableNumber]?.find((one) => {
        const tree = plan.trees[one];
        return index.primary ? tree?.kind === 'table' : tree?.indexNumber === indexNumber;
      });
      const tree = plan.trees[position ?? -1];
      if (position === undefined || tree === undefined) continue;
      const report = (reason: string): void => {
        const subject = index.primary ? { ...tree, object: `${table.name}/${index.name}` } : tree;
        list.add(subject, 'IDX_UNVERIFIABLE', 'info', `not compared with the rows in full: ${reason}`);
        names.set(tableNumber, [...(names.get(tableNumber) ?? []), index.name]);
      };
      try {
        const comparison = planComparison(layout, index);
        if (comparison.kind === 'none' || comparison.kind === 'bookmarks') report(comparison.reason);
        else if (comparison.kind === 'masked')
          report('the order of its texts is that of the system that made it');
        else if (merged.uncomputable.has(position)) report('the key of a row cannot be computed');
      } catch (error) {
        if (!(error instanceof EseError)) throw error;
        list.add(tree, 'CAT_ENTRY', 'error', error.detail);
      }
    }
  }
  return names;
}

/** MSysObjids and MSysLocales against the catalog, where all of them can be read. */
export function checkSystemTables(body: ExaminedBody, merged: Merged, list: FindingList): void {
  const { plan, source } = body;
  if (!body.isCatalogComplete) return;
  const hasErrors = (rank: number): boolean => (list.counts.get(rank)?.errors ?? 0) > 0;
  for (const [name, rank] of [
    [OBJIDS_TABLE, RANK_OBJIDS],
    [LOCALES_TABLE, RANK_LOCALES],
  ] as const) {
    const tableNumber = plan.tables.findIndex((table) => table.name === name);
    const position = plan.trees.findIndex(
      (tree) => tree.kind === 'table' && tree.tableNumber === tableNumber,
    );
    const table = plan.tables[tableNumber];
    const tree = plan.trees[position];
    if (table === undefined || tree === undefined) continue;
    if (merged.damagedTrees.has(position) || hasErrors(tree.rank) || hasErrors(RANK_CATALOG)) continue;
    const subject = { rank, object: name, objid: table.objid, table: name };
    if (name === OBJIDS_TABLE) checkObjids(source, table, plan.tables, list, subject);
    else checkLocales(source, table, plan.tables, list, subject);
  }
}

/** Pages of the file by class; they sum to `total`. */
export interface PageCensus {
  readonly total: number;
  readonly used: number;
  readonly space: number;
  readonly empty: number;
  readonly blank: number;
  readonly available: number;
  readonly foreign: number;
  readonly bad: number;
}

export function countPages({ pageMap, lastPgno }: IntegrityPlan): PageCensus {
  const census = { total: lastPgno, used: 0, space: 0, empty: 0, blank: 0, available: 0, foreign: 0, bad: 0 };
  for (let pgno = 1; pgno <= lastPgno; pgno++) census[classOf(pageMap[pgno] ?? 0)]++;
  return census;
}

function classOf(byte: number): Exclude<keyof PageCensus, 'total'> {
  const use = byte & PAGE_USE_MASK;
  switch (byte & PAGE_STATE_MASK) {
    case PAGE_STATE.bad:
      return 'bad';
    case PAGE_STATE.blank:
      return 'blank';
    case PAGE_STATE.empty:
      return 'empty';
    default:
      if (use === PAGE_USE.internal || use === PAGE_USE.leaf) return 'used';
      if (use === PAGE_USE.space) return 'space';
      return use === PAGE_USE.available || use === PAGE_USE.splitBuffer ? 'available' : 'foreign';
  }
}

/**
 * Owned pages that nobody uses. After a crash they are normal: blank ones, and those of trees whose creation was
 * undone. Where a tree could not be read in full, nothing is said of its pages.
 */
export function reportLeaks(body: ExaminedBody, merged: Merged, list: FindingList): void {
  const { plan, map } = body;
  const unsure = new Set<number>();
  for (const position of [...merged.damagedTrees, ...body.incompleteSpaces]) {
    unsure.add(position);
    unsure.add(plan.trees[position]?.parent ?? -1);
  }
  if (!body.isCatalogComplete) unsure.add(0);
  const objids = new Set(plan.trees.map(({ objid }) => objid));
  const isLeaked = (pgno: number): boolean =>
    (map.owner[pgno] ?? 0) > 0 && ((plan.pageMap[pgno] ?? 0) & PAGE_USE_MASK) === PAGE_USE.none;
  for (let pgno = 1; pgno <= plan.lastOwnedPgno; pgno++) {
    if (!isLeaked(pgno)) continue;
    const owner = map.owner[pgno] ?? 0;
    const first = pgno;
    let severity: Severity = 'info';
    for (; pgno <= plan.lastOwnedPgno && isLeaked(pgno) && map.owner[pgno] === owner; pgno++) {
      if (!isNormalLeak(body, pgno, objids)) severity = 'warning';
    }
    const last = pgno - 1;
    const tree = plan.trees[owner - 1];
    if (tree === undefined || unsure.has(owner - 1)) continue;
    const pages = first === last ? `page ${first} is` : `pages ${first}-${last} are`;
    const why = severity === 'info' ? ', as a crash may leave them' : '';
    list.add(tree, 'SPACE_LEAK', severity, `${pages} owned and not used${why}`, { pgno: first });
  }
}

function isNormalLeak({ plan, read }: ExaminedBody, pgno: number, objids: ReadonlySet<number>): boolean {
  if (((plan.pageMap[pgno] ?? 0) & PAGE_STATE_MASK) === PAGE_STATE.blank) return true;
  const { page, trouble, isUsable } = read(pgno);
  if (trouble === BLANK) return true;
  return isUsable && !objids.has(page.objid) && !holdsLiveNodes(page);
}

function holdsLiveNodes(page: Page): boolean {
  const node = createNodeView();
  for (let line = 0; line < page.nodeCount; line++) {
    page.readNode(line, node);
    if ((node.flags & NODE_FLAG.deleted) === 0) return true;
  }
  return false;
}

/** Findings in the order of the report. */
export function sortedFindings(list: FindingList): readonly RankedFinding[] {
  return [...list.findings].sort(compareRanked);
}

/** Errors and warnings of some trees, by position. */
export function countsOfTrees(
  trees: readonly CheckedTree[],
  positions: readonly number[],
  list: FindingList,
): { errors: number; warnings: number } {
  let errors = 0;
  let warnings = 0;
  for (const position of positions) {
    const count = list.counts.get(trees[position]?.rank ?? Number.NaN);
    errors += count?.errors ?? 0;
    warnings += count?.warnings ?? 0;
  }
  return { errors, warnings };
}
