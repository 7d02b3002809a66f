/**
 * Which table a long-value tree belongs to, where its root does not tell (format specification, chapter 7.2.4): the one
 * whose records refer to what the tree has.
 */

import { EseError } from '../../format/ese-error.js';
import { isValidLid, type Lid, LONG_VALUE_ROOT, readLid, readLongValueKey } from '../../format/long-value.js';
import { createNodeView, NODE_FLAG, type NodeView, PAGE_FLAG, type Page } from '../../format/page.js';
import { numberOfLid } from '../defrag/long-value-ids.js';
import { createRecordAreas, locateAreas, taggedFormat, visitLids } from '../defrag/record-scan.js';
import { copyNodeKey, createKeyBuffer } from '../integrity/key-buffer.js';
import { classOf, flagsOf, PAGE_CLASS } from './page-scan.js';
import type { SalvageSource } from './salvage-source.js';

/** Long values of a tree, and references of a table, that are looked at. */
const LIDS_MOST = 500_000;
/** Share of the references of the table that the tree must answer. */
const ANSWERED_LEAST = 0.9;
/** Share of the long values of the tree that the table must refer to: tables count their long values from 1 alike. */
const USED_LEAST = 0.5;
const SMALL_PAGE_MAX = 8192;

/**
 * Finds the tables of trees by their references. A tree that could belong to two tables, or one of two that could belong
 * to a table, belongs to none.
 *
 * @param trees numbers of trees of long values
 * @param tables numbers of tables that have none
 * @returns tables by tree
 */
export function matchLongValues(
  source: SalvageSource,
  trees: readonly number[],
  tables: readonly number[],
): Map<number, number> {
  const matches = new Map<number, number>();
  if (trees.length === 0) return matches;
  const references = tables.map((objid) => ({ objid, ...referencesOf(source, objid) }));
  const fitting = trees.map((tree) => {
    const lids = lidsOf(source, tree);
    const fits = references.filter(({ count, lids: referred }) => {
      if (count === 0 || lids.size === 0) return false;
      let used = 0;
      let answered = 0;
      for (const [lid, times] of referred) {
        if (!lids.has(lid)) continue;
        used++;
        answered += times;
      }
      return answered > ANSWERED_LEAST * count && used > USED_LEAST * lids.size;
    });
    return { tree, fits: fits.map(({ objid }) => objid) };
  });
  for (const { tree, fits } of fitting) {
    const [table] = fits;
    if (table === undefined || fits.length > 1) continue;
    const isOnly = fitting.every((other) => other.tree === tree || !other.fits.includes(table));
    if (isOnly) matches.set(tree, table);
  }
  return matches;
}

/** Calls `visit` for the live nodes of the leaves of a tree, until it returns false. */
function eachNode(
  source: SalvageSource,
  objid: number,
  kind: number,
  visit: (page: Page, node: NodeView) => boolean,
): void {
  const { scan, available } = source;
  const node = createNodeView();
  const { index, longValue, spaceTree } = PAGE_FLAG;
  for (const pgno of source.pagesOf(objid)) {
    if (classOf(scan, pgno) !== PAGE_CLASS.leaf || available[pgno] === 1) continue;
    if ((flagsOf(scan, pgno) & (index | longValue | spaceTree)) !== kind) continue;
    const { page, worth } = source.read(pgno);
    if (worth !== 'intact') continue;
    for (let line = 0; line < page.nodeCount; line++) {
      page.readNode(line, node);
      if ((node.flags & NODE_FLAG.deleted) === 0 && !visit(page, node)) return;
    }
  }
}

/** The long values that a tree has roots of. */
function lidsOf(source: SalvageSource, objid: number): Set<number> {
  const lids = new Set<number>();
  const lid: Lid = { high: 0, low: 0 };
  const key = createKeyBuffer();
  eachNode(source, objid, PAGE_FLAG.longValue, (page, node) => {
    copyNodeKey(page, node, key);
    const isRoot = unlessDamaged(() => readLongValueKey(key.bytes, key.length, lid) === LONG_VALUE_ROOT);
    if (isRoot === true && isValidLid(lid)) lids.add(numberOfLid(lid));
    return lids.size < LIDS_MOST;
  });
  return lids;
}

/** How often the records of a table refer to each long value. */
function referencesOf(source: SalvageSource, objid: number): { lids: Map<number, number>; count: number } {
  const lids = new Map<number, number>();
  const lid: Lid = { high: 0, low: 0 };
  const areas = createRecordAreas();
  const format = taggedFormat(source.pageSize > SMALL_PAGE_MAX);
  let count = 0;
  eachNode(source, objid, 0, ({ bytes }, { dataOffset, dataLength }) => {
    const end = dataOffset + dataLength;
    unlessDamaged(() => {
      locateAreas(bytes, dataOffset, end, format, areas);
      visitLids(bytes, end, areas, format, (at, length) => {
        readLid(bytes, at, at + length, lid);
        const number = numberOfLid(lid);
        lids.set(number, (lids.get(number) ?? 0) + 1);
        count++;
      });
    });
    return count < LIDS_MOST;
  });
  return { lids, count };
}

/** What a function returns, or undefined where what it reads is damaged. */
function unlessDamaged<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof EseError) return undefined;
    throw error;
  }
}
