/**
 * What the main thread knows when the leaves are about to be read: the trees, their leaves in key order, and
 * what each page of the file is for. Everything is numbers or plain objects, so that threads can share it.
 */

import type { KernelKind } from '../../format/checksum-kernel.js';
import type { TableDefinition } from '../../format/table-definition.js';
import type { FindingSubject } from './finding.js';

export type TreeKind = 'database' | 'table' | 'longValue' | 'index';

/** A tree that is checked. */
export interface CheckedTree extends FindingSubject {
  readonly kind: TreeKind;
  readonly object: string;
  readonly objid: number;
  readonly pgnoFdp: number;
  /** Position of its table in the list of tables; -1 for the database root. */
  readonly tableNumber: number;
  /** Position in the indexes of its table; -1 for other trees. */
  readonly indexNumber: number;
  /** Position of the tree from which its space comes; -1 for the database root. */
  readonly parent: number;
  /** Role flags that each of its pages must carry. */
  roleFlags: number;
  /** No two nodes have the same key. */
  isUnique: boolean;
  /** The catalog names a root that is none. */
  isAbsent?: true;
}

/** What a page is used for, in the low bits of its byte in the page map. */
export const PAGE_USE = {
  none: 0,
  internal: 1,
  leaf: 2,
  space: 3,
  available: 4,
  splitBuffer: 5,
  shelved: 6,
} as const;
export const PAGE_USE_MASK = 0x0f;

/** What was found on a page, in the high bits. */
export const PAGE_STATE = {
  unknown: 0x00,
  used: 0x10,
  blank: 0x20,
  empty: 0x30,
  other: 0x40,
  bad: 0x50,
} as const;
export const PAGE_STATE_MASK = 0xf0;

/** Fields of each unit of {@link IntegrityPlan.units}. */
export const UNIT_FIELDS = 3;

export interface IntegrityPlan {
  readonly path: string;
  /** Bytes. */
  readonly pageSize: number;
  /** Last page that lies whole in the file. */
  readonly lastPgno: number;
  /** Last page that the database owns, at most `lastPgno`. */
  readonly lastOwnedPgno: number;
  /** Highest dbtime that a page may carry; infinite where the header cannot tell. */
  readonly dbtimeMax: number;
  /** By page number: its state in a trusted flush map. */
  readonly flushStates: Uint8Array | undefined;
  readonly tables: readonly TableDefinition[];
  readonly trees: readonly CheckedTree[];
  /** Leaf pages of all trees, tree by tree in key order; 0 = unknown. */
  readonly leaves: Uint32Array;
  /** For each tree, the position in `leaves` of its first one; then the number of all. */
  readonly firstLeaf: Uint32Array;
  /** Pages whose children are leaves, in the same order. */
  readonly parents: Uint32Array;
  /** For each of them, the position in `leaves` of its first child. */
  readonly parentFirstLeaf: Uint32Array;
  /** By page: the position in `leaves` of a leaf that is checked where it lies in the file, plus 1; else 0. */
  readonly leafAt: Uint32Array;
  /** For each unit of leaves that are checked in key order: tree, position of the first leaf, number of leaves. */
  readonly units: Uint32Array;
  /** Pages that a thread reads at once. */
  readonly windowPages: number;
  /** Whether pages that no tree reaches are looked at too. */
  readonly countsPages: boolean;
  /** A byte for each page of the file: use and state. */
  readonly pageMap: Uint8Array;
  /** Whether indexes are compared with the rows. */
  readonly comparesIndexes: boolean;
  readonly findingsMax: number;
  /** Which kernel is used; by default the one that suits the file. */
  readonly kernel: KernelKind | undefined;
}

/** Positions of the trees of each table, by its number. */
export function treesByTable(trees: readonly CheckedTree[], tableCount: number): readonly number[][] {
  const positions: number[][] = Array.from({ length: tableCount }, () => []);
  for (const [position, tree] of trees.entries()) positions[tree.tableNumber]?.push(position);
  return positions;
}

/** Bytes that a thread reads at once. */
export const RANGE_BYTES = 2 * 1024 * 1024;

export function pagesPerRange(pageSize: number): number {
  return RANGE_BYTES / pageSize;
}

export function unitCount(plan: IntegrityPlan): number {
  return plan.units.length / UNIT_FIELDS;
}

export function windowCount(plan: IntegrityPlan): number {
  return Math.ceil(plan.lastPgno / plan.windowPages);
}
