import type { LogRecordOf } from '../format/log-record.js';
import { PAGE_FLAG, type Page } from '../format/page.js';
import type { RedoContext } from './redo-context.js';
import { pageToChange, stampPage } from './redo-gate.js';

/**
 * EmptyTree: the last node of a tree is gone. The root becomes an empty leaf again, every other page is
 * emptied; each page is judged by its own stamp (format specification, chapters 5.3.5 and 10.4).
 */
export function applyEmptyTree(record: LogRecordOf<'EmptyTree'>, context: RedoContext): void {
  const { dbtime, objidFDP } = record;
  for (const { pgno, dbtimeBefore } of record.pages) {
    const page = pageToChange(context, pgno, dbtimeBefore, dbtime, objidFDP);
    if (page === undefined) continue;
    emptyPage(page);
    stampPage(context, page, dbtime);
  }
  const root = pageToChange(context, record.pgno, record.dbtimeBefore, dbtime, objidFDP);
  if (root === undefined) return;
  for (let line = root.nodeCount - 1; line >= 0; line--) root.deleteNode(line);
  root.flags = (root.flags & ~PAGE_FLAG.parentOfLeaf) | PAGE_FLAG.leaf;
  stampPage(context, root, dbtime);
}

/** Takes a page out of its tree: no nodes, no prefix, flagged as empty; its links stay. */
export function emptyPage(page: Page): void {
  page.clear();
  page.flags |= PAGE_FLAG.empty;
}
