/**
 * What one thread does of the integrity check. Ranges are first units of the leaves of long-value trees in key
 * order, since a value goes on from leaf to leaf; then windows of the file, in which every page is read once and
 * every other leaf is checked where it lies.
 */

import type { FileSystem } from '../../io/file-system.js';
import { nodeFileSystem } from '../../io/node-file-system.js';
import type { RangeTask } from '../../workers/range-job.js';
import { createFindingList, RANK_SIZE } from './finding.js';
import { createBoundsFinder } from './leaf-bounds.js';
import { createLeafChecker } from './leaf-check.js';
import type { LongValueEnds } from './long-value-check.js';
import { createPageReader, isOldVersion, reportTrouble } from './page-check.js';
import { createPageLoader } from './page-loader.js';
import {
  type IntegrityPlan,
  PAGE_STATE,
  PAGE_STATE_MASK,
  PAGE_USE_MASK,
  UNIT_FIELDS,
  unitCount,
} from './plan.js';
import { createGatherer, createSums, type Differences, type IntegrityPart, mergeIndexSums } from './tally.js';
import { createTreeContents } from './tree-content.js';
import { NO_BOUNDS } from './tree-walk.js';

/** The task for worker threads, which read through Node's files. */
export function createTask(plan: IntegrityPlan): RangeTask<IntegrityPart> {
  return createIntegrityTask(nodeFileSystem, plan);
}

/**
 * The work of one thread. With `differences` nothing is reported: the entries of the suspect buckets are put
 * together instead.
 */
export function createIntegrityTask(
  fs: FileSystem,
  plan: IntegrityPlan,
  differences?: Differences,
): RangeTask<IntegrityPart> {
  const { path, pageSize, lastPgno, pageMap, leaves, leafAt, trees, windowPages } = plan;
  const file = fs.open(path, 'read');
  const list = createFindingList(differences === undefined ? plan.findingsMax : 0);
  const tally = differences === undefined ? createSums(list) : createGatherer(differences);
  const loader = createPageLoader(file, plan, windowPages);
  // A second look needs the entries one by one.
  const leafKernel = differences === undefined ? loader.leafKernel : undefined;
  const contents = createTreeContents(file, plan, tally, list, leafKernel);
  const checker = createLeafChecker(pageSize, plan);
  const boundsOf = createBoundsFinder(plan, createPageReader(file, pageSize, lastPgno));
  const units = unitCount(plan);
  const ends: LongValueEnds[] = [];
  const isWanted = (position: number): boolean => differences?.trees.has(position) !== false;

  /** Checks the leaf at a position of the plan. */
  const checkLeaf = (at: number, position: number, slot: number): void => {
    const tree = trees[position];
    if (tree === undefined) return;
    const page = loader.pageIn(slot);
    const { pgno } = page;
    const isRoot = pgno === tree.pgnoFdp;
    const first = plan.firstLeaf[position] ?? 0;
    const end = plan.firstLeaf[position + 1] ?? 0;
    const expected = {
      tree,
      roleFlags: tree.roleFlags,
      isRoot,
      bounds: isRoot ? NO_BOUNDS : boundsOf(at, first),
      pgnoPrev: at === first ? 0 : leaves[at - 1] || undefined,
      pgnoNext: at === end - 1 ? 0 : leaves[at + 1] || undefined,
    };
    if (leafKernel !== undefined && loader.isIntact(slot) && !isOldVersion(page, plan)) {
      const listed = leafKernel.check(slot * pageSize, expected, contents.programOf(position));
      if (listed >= 0) {
        contents.count(position, leafKernel.live - listed);
        if (listed > 0) checker.visit(page, leafKernel.lines, listed, contents.contentOf(position));
        setState(pageMap, pgno, PAGE_STATE.used);
        return;
      }
    }
    const trouble = loader.troubleIn(slot);
    // The walk above the leaves has read a root that is a leaf, and reported what is wrong with it.
    if (trouble !== undefined && !isRoot) reportTrouble(list, tree, pgno, trouble);
    const isSound = trouble === undefined || trouble.severity === 'warning';
    const isRead = isSound && checker.check(page, expected, list, contents.contentOf(position));
    if (!isRead) contents.damagedTrees.add(position);
    if (differences === undefined) setState(pageMap, pgno, isRead ? PAGE_STATE.used : PAGE_STATE.bad);
  };

  const runUnit = (unit: number): void => {
    const position = plan.units[unit * UNIT_FIELDS] ?? 0;
    const first = plan.units[unit * UNIT_FIELDS + 1] ?? 0;
    const count = plan.units[unit * UNIT_FIELDS + 2] ?? 0;
    if (!isWanted(position)) return;
    for (let slot = 0; slot < count; ) {
      const pgno = leaves[first + slot] ?? 0;
      let length = 1;
      while (slot + length < count && leaves[first + slot + length] === pgno + length) length++;
      if (pgno !== 0) loader.load(slot, pgno, length);
      slot += length;
    }
    for (let slot = 0; slot < count; slot++) {
      if (leaves[first + slot] === 0) continue;
      checkLeaf(first + slot, position, slot);
    }
    const seen = contents.longValuesOf(position)?.takeEnds();
    if (seen !== undefined && differences === undefined) ends.push({ tree: position, unit, ...seen });
  };

  /** Whether a page of a window has to be looked at. */
  const isNeeded = (pgno: number): boolean =>
    leafAt[pgno] !== 0 ||
    (plan.countsPages && differences === undefined && stateOf(pageMap, pgno) === PAGE_STATE.unknown);

  let tree = 0;
  /** The tree of a leaf; the one before is often the same. */
  const treeOfLeaf = (at: number): number => {
    const { firstLeaf } = plan;
    if (at >= (firstLeaf[tree] as number) && at < (firstLeaf[tree + 1] as number)) return tree;
    let low = 0;
    let high = trees.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((firstLeaf[middle + 1] as number) <= at) low = middle + 1;
      else high = middle;
    }
    tree = low;
    return tree;
  };

  const runWindow = (window: number): void => {
    let first = 1 + window * windowPages;
    let last = Math.min(lastPgno, first + windowPages - 1);
    while (first <= last && !isNeeded(first)) first++;
    while (last > first && !isNeeded(last)) last--;
    if (first > last) return;
    loader.load(0, first, last - first + 1);
    for (let pgno = first; pgno <= last; pgno++) {
      const slot = pgno - first;
      const leaf = leafAt[pgno] as number;
      if (leaf !== 0) {
        const position = treeOfLeaf(leaf - 1);
        if (isWanted(position)) checkLeaf(leaf - 1, position, slot);
      } else if (isNeeded(pgno)) {
        setState(pageMap, pgno, loader.stateIn(slot, pgno <= plan.lastOwnedPgno));
        const trouble = loader.readErrorIn(slot);
        if (trouble !== undefined) reportTrouble(list, { rank: RANK_SIZE }, pgno, trouble);
      }
    }
  };

  return {
    runRange(range) {
      list.unit = range;
      if (range < units) runUnit(range);
      else runWindow(range - units);
    },
    result: () => {
      for (const [position, whole] of leafKernel?.sums() ?? []) {
        mergeIndexSums(tally.indexes, position, {
          whole,
          start: undefined,
          hasCutKeys: false,
          hasManyKeys: false,
        });
      }
      return {
        findings: list.findings,
        counts: list.counts,
        isTruncated: list.isTruncated,
        damagedTrees: contents.damagedTrees,
        uncomputable: contents.uncomputable,
        nodes: contents.nodes,
        indexes: tally.indexes,
        references: tally.references,
        ends,
        hasReadErrors: list.hasReadErrors,
      };
    },
    close: () => file.close(),
  };
}

function stateOf(pageMap: Uint8Array, pgno: number): number {
  return (pageMap[pgno] as number) & PAGE_STATE_MASK;
}

function setState(pageMap: Uint8Array, pgno: number, state: number): void {
  pageMap[pgno] = ((pageMap[pgno] as number) & PAGE_USE_MASK) | state;
}
