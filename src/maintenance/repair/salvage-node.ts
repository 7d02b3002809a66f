/**
 * Nodes of damaged trees: how far each can be trusted, and what the result of salvaging a tree says (format
 * specification, chapters 7.2.6 and 7.5.2).
 */

import type { TreeRoot } from '../../engine/tree-reader.js';
import type { NodeView, Page } from '../../format/page.js';
import type { KeyBuffer } from '../integrity/key-buffer.js';

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

/** Judges single nodes. For nodes of damaged pages it gives all the evidence there is. */
export interface NodeJudge {
  /**
   * Says what is wrong with a node, `undefined` for a good one.
   *
   * @param isProven a checksum speaks for the node: only what makes it useless counts
   */
  judge(page: Page, line: number, node: NodeView, key: KeyBuffer, isProven: boolean): string | undefined;
  /**
   * Computes the key of a node from its data, and returns its length; -1 where that cannot be done. `into` has room
   * for any key.
   */
  keyOf?(page: Page, node: NodeView, into: Uint8Array): number;
  /** The key of a node is computed anew from its data: an accidental match is out of the question. */
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
  /**
   * Proven nodes whose key is not that of their record are given under the key of the record, if no other node has it;
   * the leaves are read twice for that. Default: they are dropped.
   */
  readonly refiles?: boolean;
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

/** What was found: `good + unverified = written + superseded + dropped.length` (chapter 7.5.2). */
export interface SalvageCounts {
  /** Nodes that the visitor was given. */
  readonly written: number;
  /** Live nodes that a checksum speaks for: on intact pages, and in good quarters of damaged ones. */
  readonly good: number;
  /** Live nodes of damaged pages, without a checksum that speaks for them. */
  readonly unverified: number;
  /** Nodes of which there is a newer image, or of which newer pages say that they are gone. */
  readonly superseded: number;
  readonly dropped: readonly DroppedNode[];
  /** Where nodes were found that the visitor was given under another key. */
  readonly refiled: readonly Pick<DroppedNode, 'pgno' | 'line' | 'key'>[];
  readonly lost: readonly LostRange[];
  /** Leaf pages that gave nodes. */
  readonly leafPages: number;
  /** Pages that were freed, or are older images: nothing of them is in the result. */
  readonly candidates: readonly number[];
}
