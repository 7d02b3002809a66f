import type { LogRecordOf } from '../format/log-record.js';
import { createNodeView, NODE_FLAG, PAGE_FLAG, pageHeaderBytes } from '../format/page.js';
import type { RedoContext } from './redo-context.js';
import { contradiction, pageToChange } from './redo-gate.js';

/** Bits of the record's own flags (format specification, chapter 4.6.4). */
const SCRUB_UNUSED_PAGE = 0x1;

const TAG_BYTES = 4;

/** What is done to a line. */
const SCRUB_OPERATION = { none: 0, data: 1, longValueData: 2 } as const;

/** What the engine writes over data of each kind. */
const FILL_DATA = 0x44;
const FILL_LONG_VALUE = 0x4c;
const FILL_UNUSED_PAGE = 0x55;
/** First byte of a long-value chunk that was wiped: its compression scheme says so. */
const SCRUBBED_CHUNK = 0x20;

/**
 * Scrub: wipes what deleted data left behind. An unused page loses all but its header; on a used page the
 * listed lines are overwritten. Nothing that can be read changes.
 */
export function applyScrub(record: LogRecordOf<'Scrub'>, context: RedoContext): void {
  const isUnused = (record.scrubFlags & SCRUB_UNUSED_PAGE) !== 0;
  const page = pageToChange(context, record.pgno, record.dbtimeBefore, record.dbtime, record.objidFDP);
  if (page === undefined) return;
  if (isUnused) {
    page.clear();
    page.flags |= PAGE_FLAG.empty;
    page.bytes.fill(
      FILL_UNUSED_PAGE,
      pageHeaderBytes(page.pageSize),
      page.pageSize - TAG_BYTES * page.tagCount,
    );
  } else {
    const node = createNodeView();
    const { opers } = record;
    if (opers.length > page.nodeCount) {
      throw contradiction(`${opers.length} lines are to be wiped on a page of ${page.nodeCount}`, page.pgno);
    }
    for (let line = 0; line < opers.length; line++) {
      const oper = opers[line];
      if (oper === SCRUB_OPERATION.none) continue;
      page.readNode(line, node);
      const { dataOffset, dataLength } = node;
      if (oper === SCRUB_OPERATION.data) {
        page.bytes.fill(FILL_DATA, dataOffset, dataOffset + dataLength);
        page.setNodeFlags(line, node.flags & ~NODE_FLAG.version);
      } else {
        page.bytes.fill(FILL_LONG_VALUE, dataOffset, dataOffset + dataLength);
        page.bytes[dataOffset] = SCRUBBED_CHUNK;
      }
    }
  }
  page.dbtime = record.dbtime;
  page.flags |= PAGE_FLAG.scrubbed;
  context.pages.markDirty(page, context.lgpos);
}
