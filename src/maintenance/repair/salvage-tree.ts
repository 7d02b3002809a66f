/**
 * The live nodes of a damaged tree, in key order, each exactly once (format specification, chapters 7.2.5 to 7.2.7).
 */

import type { TreeRoot } from '../../engine/tree-reader.js';
import { EseError } from '../../format/ese-error.js';
import type { NodeView, Page } from '../../format/page.js';
import type { TableDefinition } from '../../format/table-definition.js';
import type { Steps } from '../defrag/copy-trees.js';
import type { SalvageSource } from './salvage-source.js';

/** How sure it is that a node is what was once stored. */
export const TRUST = {
  /** The checksum of its page is right. */
  intact: 0,
  /** The checksum of its page is wrong, but those of the quarters that it lies in are right. */
  quarter: 1,
  /** Its page is damaged, and no checksum speaks for it: it passed all other checks. */
  unverified: 2,
} as const;

export type Trust = (typeof TRUST)[keyof typeof TRUST];

/** A node that was salvaged. One object serves for all nodes: its bytes are valid during the call only. */
export interface SalvagedNode {
  /** The whole key: `key[0 .. keyLength)`. */
  readonly key: Uint8Array;
  readonly keyLength: number;
  /** The data: `bytes[dataOffset .. dataOffset + dataLength)`. */
  readonly bytes: Uint8Array;
  readonly dataOffset: number;
  readonly dataLength: number;
  readonly trust: Trust;
  readonly pgno: number;
  readonly line: number;
}

/**
 * Says what is wrong with a node, `undefined` for a good one. For nodes of damaged pages this is all the evidence
 * there is; `isStrong` of the judge tells whether it includes a key that was computed anew.
 */
export interface NodeJudge {
  judge(page: Page, line: number, node: NodeView, key: Uint8Array, keyLength: number): string | undefined;
  readonly isStrong: boolean;
}

/** A tree to be salvaged. */
export interface SalvageTree extends TreeRoot {
  readonly kind: 'table' | 'longValue' | 'index';
  /** Keys are unique; else nodes are told apart by key and data. */
  readonly isUnique: boolean;
  readonly judge: NodeJudge;
  /** Nodes that are only `TRUST.unverified` are left out, and listed. */
  readonly isStrict?: boolean;
}

/** A node that is not in the result. */
export interface DroppedNode {
  readonly pgno: number;
  readonly line: number;
  /** Empty where it could not be told. */
  readonly key: Uint8Array;
  readonly data: Uint8Array;
  readonly reason: string;
  readonly why: 'record' | 'duplicate' | 'bounds' | 'node' | 'strict';
}

/** A range of keys in which nodes may be missing: `lower` <= key < `upper`; `undefined` = open. */
export interface LostRange {
  readonly lower: Uint8Array | undefined;
  readonly upper: Uint8Array | undefined;
  /** The page that is lost, where it is known; else 0. */
  readonly pgno: number;
  readonly reason: string;
  /** Nodes that lay there, estimated by the other leaves. */
  readonly estimate: number;
}

/** What was found. `good + unverified = written + superseded + dropped.length` (chapter 7.5.2). */
export interface SalvageCounts {
  /** Nodes that the visitor was given. */
  readonly written: number;
  /** Live nodes on intact pages, and in good quarters of damaged ones. */
  readonly good: number;
  /** Live nodes that were read from damaged pages without a checksum that speaks for them. */
  readonly unverified: number;
  /** Nodes of which a newer image exists, or which newer pages say are gone. */
  readonly superseded: number;
  readonly dropped: readonly DroppedNode[];
  readonly lost: readonly LostRange[];
  /** Leaf pages that gave nodes. */
  readonly leafPages: number;
  /** Pages that were freed, or are older images: nothing of them is in the result. */
  readonly candidates: readonly number[];
}

/**
 * Calls `visit` for each live node of a tree, in key order, each key once. A step is one leaf that was read.
 *
 * Leaves that the tree reaches through sound parents come first; others of the same objid fill the ranges whose
 * parents are lost. Pages that are free are never used.
 */
export function* salvageNodes(
  _source: SalvageSource,
  _tree: SalvageTree,
  _visit: (node: SalvagedNode) => void,
): Steps<SalvageCounts> {
  yield;
  throw new EseError('JET_errInternalError', 'not yet');
}

/** A judge of the records of a table: structure, known columns, primary key where it can be computed. */
export function createRecordJudge(_table: TableDefinition, _pageSize: number): NodeJudge {
  throw new EseError('JET_errInternalError', 'not yet');
}

/** A judge of roots and chunks of long values. */
export function createLongValueJudge(_pageSize: number, _lvChunkMax: number | undefined): NodeJudge {
  throw new EseError('JET_errInternalError', 'not yet');
}

/** A judge of nodes of which nothing is known: it accepts all. */
export const ANY_NODE: NodeJudge = { judge: () => undefined, isStrong: false };
