import { UNDO_OPERATION } from '../format/log-record-layout.js';
import { NODE_FLAG, type NodeView, type Page } from '../format/page.js';
import { compareTrx, type NodeVersion, type NodeVersions, type VersionOwner } from './node-versions.js';
import type { Tree } from './tree-search.js';

/**
 * What a session sees of a node (format specification, chapter 5.1.6): its own changes, and those that were
 * committed before its transaction began. The page has the newest state; the versions lead back from there.
 */
export interface Reader extends VersionOwner {
  /** Transaction id up to which commits are visible. */
  readonly snapshot: number;
}

const NO_BYTES = new Uint8Array(0);

/**
 * Data of a node as a session sees it, as a view of the page where nobody has changed it; undefined if for
 * this session there is no such node. Index nodes keep their data, so only their being there counts.
 */
export function visibleData(
  versions: NodeVersions,
  dbid: number,
  tree: Tree,
  page: Page,
  node: NodeView,
  reader: Reader,
): Uint8Array | undefined {
  const isDeleted = (node.flags & NODE_FLAG.deleted) !== 0;
  const data = page.data(node);
  const mayHaveVersions = (node.flags & NODE_FLAG.version) !== 0 && versions.hasVersions(dbid, tree.objid);
  if (!mayHaveVersions) return isDeleted ? undefined : data;
  const newest = versions.newest(dbid, tree.objid, page.key(node), tree.isUnique ? NO_BYTES : data);
  return newest === undefined ? (isDeleted ? undefined : data) : dataBefore(newest, isDeleted, data, reader);
}

function dataBefore(
  newest: NodeVersion,
  isDeletedNow: boolean,
  dataNow: Uint8Array,
  reader: Reader,
): Uint8Array | undefined {
  let isDeleted = isDeletedNow;
  let data = dataNow;
  for (let version: NodeVersion | undefined = newest; version !== undefined; version = version.older) {
    if (sees(reader, version)) {
      // Deltas of several sessions lie one upon the other, in any order of their commits.
      if (version.operation === UNDO_OPERATION.delta) continue;
      break;
    }
    switch (version.operation) {
      case UNDO_OPERATION.insert:
        isDeleted = true;
        break;
      case UNDO_OPERATION.flagDelete:
        isDeleted = false;
        break;
      case UNDO_OPERATION.replace:
        data = version.before;
        break;
      case UNDO_OPERATION.delta:
        data = withoutDelta(data, version.before);
        break;
      default:
        break;
    }
  }
  return isDeleted ? undefined : data;
}

/** Whether a session sees a change. */
export function sees(reader: Reader, version: NodeVersion): boolean {
  if (version.owner === reader) return true;
  return version.trxCommit0 !== 0 && compareTrx(version.trxCommit0, reader.snapshot) < 0;
}

/** Data with the amount of a delta taken off: 8 bytes amount, 2 bytes offset. */
function withoutDelta(data: Uint8Array, delta: Uint8Array): Uint8Array {
  const view = new DataView(delta.buffer, delta.byteOffset, delta.byteLength);
  const offset = view.getUint16(8, true);
  const before = data.slice();
  const target = new DataView(before.buffer);
  const amount = Number(view.getBigInt64(0, true));
  target.setInt32(offset, (target.getInt32(offset, true) - amount) | 0, true);
  return before;
}
