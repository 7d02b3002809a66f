import { EseError } from '../format/ese-error.js';
import type { LogRecord, LogRecordOf } from '../format/log-record.js';
import { LOG_PAGE_FLAG, UNDO_OPERATION } from '../format/log-record-layout.js';
import type { LogRecordName } from '../format/log-record-type.js';
import { createNodeView, NODE_FLAG, type NodeView, type Page } from '../format/page.js';
import { applyReplaceDiff } from '../format/replace-diff.js';
import type { NodeChange, RedoContext } from './redo-context.js';
import { contradiction, pageToChange, stampPage } from './redo-gate.js';

/**
 * Changes of one node on one page (format specification, chapters 4.6.4, 5.3.5 and 10.2). Each function
 * carries out its record where the page still lacks it, and remembers how to undo it.
 */

/** Records of any of the types `N`. */
export type RecordOfType<N extends LogRecordName> = Extract<LogRecord, { readonly name: N }>;

/** A record that changes one node. */
export type NodeRecord = RecordOfType<
  | 'Insert'
  | 'FlagInsert'
  | 'FlagInsertAndReplaceData'
  | 'FlagDelete'
  | 'Replace'
  | 'ReplaceD'
  | 'Delete'
  | 'Delta'
  | 'Delta64'
  | 'Undo'
  | 'UndoInfo'
  | 'SetExternalHeader'
  | 'Scrub'
  | 'EmptyTree'
>;

/** A record that puts a node or its data on a leaf, alone or as part of a split. */
export type LeafOperation = RecordOfType<'Insert' | 'FlagInsertAndReplaceData' | 'Replace' | 'ReplaceD'>;

const NO_BYTES = new Uint8Array(0);
const node: NodeView = createNodeView();

/** The page of a record, if the record is still to be carried out on it. */
export function nodePage(record: NodeRecord, context: RedoContext): Page | undefined {
  return pageToChange(context, record.pgno, record.dbtimeBefore, record.dbtime, record.objidFDP);
}

/** Whether the change can be undone: it has a version, and its node is flagged as versioned. */
export function isVersioned(change: NodeChange): boolean {
  return (change.pageFlags & LOG_PAGE_FLAG.versioned) !== 0;
}

/** The flag that a versioned change leaves on its node. */
export function versionFlag(change: NodeChange): number {
  return isVersioned(change) ? NODE_FLAG.version : 0;
}

/** The part of the data that belongs to the bookmark: all of it where keys are not unique. */
function bookmarkDataOf(change: NodeChange, data: Uint8Array): Uint8Array {
  return (change.pageFlags & LOG_PAGE_FLAG.unique) !== 0 ? NO_BYTES : data;
}

/** An Insert record, or who has just made one: the key of `cbPrefix + cbSuffix` bytes lies at `keyAt`, the data behind. */
export type Insertion = NodeChange &
  Pick<
    LogRecordOf<'Insert'>,
    | 'name'
    | 'dbtime'
    | 'dbtimeBefore'
    | 'iline'
    | 'rceid'
    | 'bytes'
    | 'keyAt'
    | 'cbPrefix'
    | 'cbSuffix'
    | 'cbData'
  >;

/** Insert: a new node at the logged line, with as much of its key taken from the prefix as was logged. */
export function applyInsert(record: Insertion, context: RedoContext): void {
  const page = pageToChange(context, record.pgno, record.dbtimeBefore, record.dbtime, record.objidFDP);
  if (page !== undefined) {
    const { cbPrefix, bytes, keyAt } = record;
    if (cbPrefix > 0) checkPrefix(page, bytes, keyAt, cbPrefix);
    // Key and data lie behind each other in the record.
    page.insertNodeFrom(
      record.iline,
      versionFlag(record),
      cbPrefix,
      bytes,
      keyAt + cbPrefix,
      record.cbSuffix,
      record.cbData,
    );
    stampPage(context, page, record.dbtime);
  }
  rememberInsert(record, context);
}

/** FlagInsert: a flag-deleted node becomes visible again. */
export function applyFlagInsert(record: LogRecordOf<'FlagInsert'>, context: RedoContext): void {
  const page = nodePage(record, context);
  if (page !== undefined) {
    reviveNode(page, record.iline, record.key, versionFlag(record));
    stampPage(context, page, record.dbtime);
  }
  rememberInsert(record, context);
}

/** FlagInsertAndReplaceData: the same, with new data. Its replace is a version of its own. */
export function applyFlagInsertAndReplaceData(
  record: LogRecordOf<'FlagInsertAndReplaceData'>,
  context: RedoContext,
): void {
  const page = nodePage(record, context);
  rememberInsert(record, context);
  if (page === undefined) {
    deferVersion(record, record.rceidReplace, context);
    return;
  }
  reviveNode(page, record.iline, record.key, versionFlag(record));
  page.readNode(record.iline, node);
  rememberReplace(record, record.rceidReplace, page, node, context);
  page.replaceData(record.iline, record.data);
  stampPage(context, page, record.dbtime);
}

/** Replace and ReplaceD: new data for a node, whole or as a list of differences. */
export function applyReplace(record: RecordOfType<'Replace' | 'ReplaceD'>, context: RedoContext): void {
  const page = nodePage(record, context);
  if (page === undefined) {
    deferVersion(record, record.rceid, context);
    return;
  }
  const { iline } = record;
  page.readNode(iline, node);
  const data = replacedData(record, page.data(node));
  rememberReplace(record, record.rceid, page, node, context);
  page.setNodeFlags(iline, node.flags | versionFlag(record));
  page.replaceData(iline, data);
  stampPage(context, page, record.dbtime);
}

/** The data that a node has after a Replace, from the data before. Throws JET_errLogCorrupted. */
export function replacedData(record: RecordOfType<'Replace' | 'ReplaceD'>, before: Uint8Array): Uint8Array {
  if (record.name === 'ReplaceD') return applyReplaceDiff(before, record);
  if (record.data.length !== record.cbNewData) {
    throw new EseError(
      'JET_errLogCorrupted',
      `a replace by ${record.cbNewData} bytes has ${record.data.length}`,
    );
  }
  if (before.length !== record.cbOldData) {
    throw contradiction(
      `a replace of ${record.cbOldData} by ${record.cbNewData} bytes meets ${before.length} bytes`,
      record.pgno,
    );
  }
  return record.data;
}

/** FlagDelete: the node is marked as deleted, and stays. */
export function applyFlagDelete(record: LogRecordOf<'FlagDelete'>, context: RedoContext): void {
  const page = nodePage(record, context);
  if (page === undefined) {
    deferVersion(record, record.rceid, context);
    return;
  }
  const { iline } = record;
  page.readNode(iline, node);
  if ((node.flags & NODE_FLAG.deleted) !== 0) {
    throw contradiction(`node ${iline} is to be deleted a second time`, page.pgno);
  }
  if (isVersioned(record)) {
    context.versions.add(record, {
      rceid: record.rceid,
      operation: UNDO_OPERATION.flagDelete,
      key: page.key(node),
      bookmarkData: bookmarkDataOf(record, page.data(node)),
      before: NO_BYTES,
    });
  }
  page.setNodeFlags(iline, node.flags | NODE_FLAG.deleted | versionFlag(record));
  stampPage(context, page, record.dbtime);
}

/** Delete: the node is removed. */
export function applyDelete(record: LogRecordOf<'Delete'>, context: RedoContext): void {
  const page = nodePage(record, context);
  if (page === undefined) return;
  page.deleteNode(record.iline);
  stampPage(context, page, record.dbtime);
}

/** Delta and Delta64: a number inside the data of a node grows by a signed amount. */
export function applyDelta(record: RecordOfType<'Delta' | 'Delta64'>, context: RedoContext): void {
  const page = nodePage(record, context);
  const is64 = record.name === 'Delta64';
  const delta = BigInt(record.delta);
  if (page !== undefined) {
    page.readNode(record.iline, node);
    addToData(page, node, record.cbOffset, delta, is64);
    page.setNodeFlags(record.iline, node.flags | versionFlag(record));
    stampPage(context, page, record.dbtime);
  }
  if (!isVersioned(record)) return;
  const before = new Uint8Array(DELTA_BYTES);
  const view = new DataView(before.buffer);
  view.setBigInt64(0, delta, true);
  view.setUint16(8, record.cbOffset, true);
  context.versions.add(record, {
    rceid: record.rceid,
    operation: is64 ? UNDO_OPERATION.delta64 : UNDO_OPERATION.delta,
    key: record.bookmarkKey,
    bookmarkData: record.bookmarkData,
    before,
  });
}

/** What a version of a Delta keeps: the amount (8 bytes) and the offset in the data (2). */
const DELTA_BYTES = 10;

function addToData(page: Page, at: NodeView, offset: number, delta: bigint, is64: boolean): void {
  const size = is64 ? 8 : 4;
  if (offset + size > at.dataLength) {
    throw contradiction(`a number at byte ${offset} exceeds its node of ${at.dataLength} bytes`, page.pgno);
  }
  const position = at.dataOffset + offset;
  if (is64) page.view.setBigInt64(position, page.view.getBigInt64(position, true) + delta, true);
  else page.view.setInt32(position, (page.view.getInt32(position, true) + Number(delta)) | 0, true);
}

/**
 * Undo: the change of the version `rceid` is taken back on the logged line. The version is gone afterwards,
 * whether the page needed the change or not.
 */
export function applyUndo(record: LogRecordOf<'Undo'>, context: RedoContext): void {
  const { procid, rceid, iline } = record;
  const page = nodePage(record, context);
  if (page !== undefined) {
    page.readNode(iline, node);
    const { flags } = node;
    switch (record.oper) {
      case UNDO_OPERATION.insert:
        page.setNodeFlags(iline, flags | NODE_FLAG.deleted);
        break;
      case UNDO_OPERATION.flagDelete:
        page.setNodeFlags(iline, flags & ~NODE_FLAG.deleted);
        break;
      case UNDO_OPERATION.replace:
        page.replaceData(iline, beforeOf(record, context));
        break;
      case UNDO_OPERATION.delta:
      case UNDO_OPERATION.delta64: {
        const before = beforeOf(record, context);
        const view = new DataView(before.buffer, before.byteOffset, before.byteLength);
        const is64 = record.oper === UNDO_OPERATION.delta64;
        addToData(page, node, view.getUint16(8, true), -view.getBigInt64(0, true), is64);
        break;
      }
      default:
        // Locks and the like leave nothing on a page.
        break;
    }
    stampPage(context, page, record.dbtime);
  }
  context.versions.remove(procid, rceid);
}

function beforeOf(record: LogRecordOf<'Undo'>, context: RedoContext): Uint8Array {
  const version = context.versions.find(record.procid, record.rceid);
  if (version === undefined || version.before.length === 0) {
    throw contradiction(`nothing is known of the change ${record.rceid} that is to be undone`, record.pgno);
  }
  return version.before;
}

/** UndoInfo: what a change needs to be undone, for the case that redo finds the change on the page already. */
export function applyUndoInfo(record: LogRecordOf<'UndoInfo'>, context: RedoContext): void {
  const { oper, rceid, bookmarkKey, bookmarkData, data } = record;
  context.versions.addLogged(record, {
    rceid,
    operation: oper,
    key: bookmarkKey,
    bookmarkData,
    before: data,
  });
}

/** Makes the flag-deleted node at `line` visible; it must have this key. */
function reviveNode(page: Page, line: number, key: Uint8Array, flag: number): void {
  page.readNode(line, node);
  if ((node.flags & NODE_FLAG.deleted) === 0 || page.compareKey(node, key) !== 0) {
    throw contradiction(`node ${line} is not the deleted one that the log brings back`, page.pgno);
  }
  page.setNodeFlags(line, (node.flags & ~NODE_FLAG.deleted) | flag);
}

function checkPrefix(page: Page, bytes: Uint8Array, keyAt: number, count: number): void {
  if (page.isRoot || !page.prefixBeginsWith(bytes, keyAt, count)) {
    throw contradiction(`a key takes ${count} bytes from a prefix that it does not begin with`, page.pgno);
  }
}

/** Remembers an insert of any kind: it is undone by its bookmark alone, so it is always known. */
export function rememberInsert(
  record: Insertion | RecordOfType<'FlagInsert' | 'FlagInsertAndReplaceData'>,
  context: RedoContext,
): void {
  if (!isVersioned(record)) return;
  const keyBytes = record.name === 'Insert' ? record.cbPrefix + record.cbSuffix : record.cbKey;
  const isUnique = (record.pageFlags & LOG_PAGE_FLAG.unique) !== 0;
  context.versions.addInsert(
    record,
    record.rceid,
    record.bytes,
    record.keyAt,
    keyBytes,
    isUnique ? 0 : record.cbData,
  );
}

/** Remembers the data of a node that is about to be replaced. */
export function rememberReplace(
  record: LeafOperation,
  rceid: number,
  page: Page,
  at: NodeView,
  context: RedoContext,
): void {
  if (!isVersioned(record) || rceid === 0) return;
  context.versions.add(record, {
    rceid,
    operation: UNDO_OPERATION.replace,
    key: page.key(at),
    bookmarkData: NO_BYTES,
    before: page.data(at),
  });
}

/** Notes that the old state of a change is not known here, since its page has the change already. */
export function deferVersion(change: NodeChange, rceid: number, context: RedoContext): void {
  if (isVersioned(change) && rceid !== 0) context.versions.defer(change, rceid);
}
