import { type Tree, TreeSearch } from '../engine/tree-search.js';
import { EseError } from '../format/ese-error.js';
import { createLogRecordEncoder } from '../format/log-record-encoder.js';
import { LOG_PAGE_FLAG, UNDO_OPERATION } from '../format/log-record-layout.js';
import type { Page } from '../format/page.js';
import { applyRecord } from '../operations/apply.js';
import type { RedoContext } from '../operations/redo-context.js';
import type { AttachedDatabase } from './redo-database.js';
import type { RedoSession } from './redo-session.js';
import type { RedoVersion } from './redo-versions.js';

/** Where a change that is to be taken back is now, and what a record says of it. */
export interface ChangePlace {
  readonly page: Page;
  readonly line: number;
  readonly pageFlags: number;
  readonly fields: {
    readonly procid: number;
    readonly dbid: number;
    readonly pgno: number;
    readonly trxBegin0: number;
    readonly level: number;
    readonly iline: number;
    readonly rceid: number;
    readonly pgnoFDP: number;
    readonly objidFDP: number;
    readonly bookmarkKey: Uint8Array;
    readonly bookmarkData: Uint8Array;
  };
}

/** Finds the node of a change by its bookmark: splits may have moved it. Throws `JET_errBadBookmark`. */
export function placeOfChange(
  version: RedoVersion,
  { procid, trxBegin0 }: Pick<RedoSession, 'procid' | 'trxBegin0'>,
  path: string,
  context: RedoContext,
): ChangePlace {
  const isUnique = (version.pageFlags & LOG_PAGE_FLAG.unique) !== 0;
  const tree: Tree = {
    pgnoFdp: version.pgnoFDP,
    objid: version.objidFDP,
    isUnique,
    isSpace: false,
    appendFree: 0,
  };
  const search = new TreeSearch(context.pages);
  search.find(tree, version.key, version.bookmarkData);
  const page = search.leaf;
  if (!search.isExact) {
    throw new EseError('JET_errBadBookmark', 'a change that is to be undone is not there', {
      file: path,
      pgno: page.pgno,
    });
  }
  return {
    page,
    line: search.line,
    pageFlags: isUnique ? LOG_PAGE_FLAG.unique : 0,
    fields: {
      procid,
      dbid: version.dbid,
      pgno: page.pgno,
      trxBegin0,
      level: version.level,
      iline: search.line,
      rceid: version.rceid,
      pgnoFDP: version.pgnoFDP,
      objidFDP: version.objidFDP,
      bookmarkKey: version.key,
      bookmarkData: version.bookmarkData,
    },
  };
}

const encoder = createLogRecordEncoder();

/**
 * Takes a change back of which the log says that its transaction was rolled back, but not how.
 *
 * @param dbtimeLogged highest stamp that the log gave to a page: one that is newer was here before, in a recovery that
 *   did not come to its end
 */
export function takeBackUnlogged(
  version: RedoVersion,
  session: RedoSession,
  database: AttachedDatabase,
  context: RedoContext,
  dbtimeLogged: number,
): void {
  const { page, pageFlags, fields } = placeOfChange(version, session, database.path, context);
  const { operation: oper, level: levelUndo, rceid } = version;
  const isDelta = oper === UNDO_OPERATION.delta || oper === UNDO_OPERATION.delta64;
  if (isDelta && page.dbtime > dbtimeLogged) {
    // All others can be taken back twice.
    context.versions.remove(session.procid, rceid);
    return;
  }
  const dbtimeBefore = page.dbtime;
  const dbtime = Math.max(database.dbtimeCurrent, dbtimeBefore) + 1;
  database.dbtimeCurrent = dbtime;
  encoder.clear();
  applyRecord(
    encoder.encode('Undo', { ...fields, dbtime, dbtimeBefore, pageFlags, oper, levelUndo }),
    context,
  );
}
