import type { LogRecordOf } from '../format/log-record.js';
import { createNodeView, type Page } from '../format/page.js';
import { nodePage } from './node-operations.js';
import type { RedoContext } from './redo-context.js';
import { contradiction, stampPage } from './redo-gate.js';

/**
 * SetExternalHeader: tag 0 gets a new content, a space header on roots, a prefix key elsewhere. A prefix may
 * only change so that every key that uses it still says the same (format specification, chapter 10.2.5).
 */
export function applySetExternalHeader(record: LogRecordOf<'SetExternalHeader'>, context: RedoContext): void {
  const page = nodePage(record, context);
  if (page === undefined) return;
  replaceExternalHeader(page, record.data);
  stampPage(context, page, record.dbtime);
}

/** Replaces tag 0. Throws JET_errLogOperationInconsistentWithDatabase when a node's key would change. */
export function replaceExternalHeader(page: Page, bytes: Uint8Array): void {
  const old = page.externalHeader;
  let common = 0;
  while (common < old.length && common < bytes.length && old[common] === bytes[common]) common++;
  if (common < old.length && usedPrefix(page) > common) {
    throw contradiction('a prefix key is to change although nodes use it', page.pgno);
  }
  page.setExternalHeader(bytes);
}

/** Bytes of the prefix key that the nodes of a page use. */
function usedPrefix(page: Page): number {
  const node = createNodeView();
  let used = 0;
  for (let line = 0; line < page.nodeCount; line++) {
    page.readNode(line, node);
    used = Math.max(used, node.prefixLength);
  }
  return used;
}
