/**
 * The live nodes of a damaged tree, in key order, each exactly once (format specification, chapters 7.2.5 to 7.2.7).
 */

import { compareKeys } from '../../format/key.js';
import { createNodeView, NODE_FLAG, type NodeView, type Page } from '../../format/page.js';
import type { Steps } from '../defrag/copy-trees.js';
import {
  compareKeyBuffers,
  compareToBytes,
  createKeyBuffer,
  type KeyBuffer,
} from '../integrity/key-buffer.js';
import {
  type DroppedNode,
  type LostRange,
  type SalvageCounts,
  type SalvagedNode,
  type SalvageTree,
  TRUST,
  type Trust,
} from './salvage-node.js';
import { readSortKey, withTags } from './salvage-page.js';
import type { SalvageSource } from './salvage-source.js';
import { type Claim, type SalvageLeaf, surveyTree, type TreeSurvey } from './salvage-walk.js';

/**
 * Calls `visit` for each live node of a tree, in key order, each key once. A step is one page that was read.
 *
 * Leaves that the tree reaches through sound parents come first; others of the same objid fill the ranges whose
 * parents are lost, and pages that are newer than the parents add what these do not know. Pages that are free are
 * never used.
 */
export function* salvageNodes(
  source: SalvageSource,
  tree: SalvageTree,
  visit: (node: SalvagedNode) => void,
): Steps<SalvageCounts> {
  const survey = yield* surveyTree(source, tree);
  const misfiled = new MisfiledNodes();
  if (tree.refiles === true) {
    yield* new LeafMerge(source, tree, survey, misfiled, () => {}).run();
    misfiled.sort();
  }
  return yield* new LeafMerge(source, tree, survey, misfiled, visit).run();
}

/** A node whose key is not that of its record. */
interface MisfiledNode {
  /** The key of the record. */
  readonly key: Uint8Array;
  readonly data: Uint8Array;
  readonly pgno: number;
  readonly line: number;
  readonly trust: Trust;
}

const MISFILED_MOST = 100_000;

/** Nodes that are found under a wrong key in a first pass, and given under the right one in a second. */
class MisfiledNodes {
  #nodes: MisfiledNode[] = [];
  readonly #places = new Set<string>();
  #isSorted = false;
  #next = 0;

  /** Whether nodes are still looked for. */
  get isOpen(): boolean {
    return !this.#isSorted && this.#nodes.length < MISFILED_MOST;
  }

  add(node: MisfiledNode): void {
    this.#nodes.push(node);
    this.#places.add(`${node.pgno}/${node.line}`);
  }

  sort(): void {
    this.#isSorted = true;
    this.#nodes.sort((a, b) => compareKeys(a.key, b.key) || a.pgno - b.pgno || a.line - b.line);
  }

  /** Whether a node comes, or came, under another key. */
  has(pgno: number, line: number): boolean {
    return this.#isSorted && this.#places.size > 0 && this.#places.has(`${pgno}/${line}`);
  }

  /** The next node whose key is not behind `end`; without `end` the next one. */
  next(end: KeyBuffer | undefined): MisfiledNode | undefined {
    const node = this.#isSorted ? this.#nodes[this.#next] : undefined;
    if (node === undefined || (end !== undefined && compareToBytes(end, node.key) < 0)) return undefined;
    this.#next++;
    return node;
  }
}

/** A position in a leaf, by the order of its keys. */
interface LeafCursor {
  readonly leaf: SalvageLeaf;
  readonly page: Page;
  readonly node: NodeView;
  /** Sort key of the node at the position. */
  readonly key: KeyBuffer;
  /** Length of its key alone. */
  keyLength: number;
  position: number;
  line: number;
  trust: Trust;
}

/** Merges the leaves of a tree. */
class LeafMerge {
  readonly #source: SalvageSource;
  readonly #tree: SalvageTree;
  readonly #survey: TreeSurvey;
  readonly #misfiled: MisfiledNodes;
  readonly #visit: (node: SalvagedNode) => void;
  readonly #dropped: DroppedNode[];
  readonly #refiled: { pgno: number; line: number; key: Uint8Array }[] = [];
  /** The key of a record, where that of its node is wrong. */
  readonly #own = createKeyBuffer();
  /** The leaves that the merge is in. */
  #active: LeafCursor[] = [];
  /** Cursors that may be used again. */
  readonly #idle: { node: NodeView; key: KeyBuffer }[] = [];
  readonly #out: { -readonly [K in keyof SalvagedNode]: SalvagedNode[K] } = {
    key: new Uint8Array(0),
    keyLength: 0,
    bytes: new Uint8Array(0),
    dataOffset: 0,
    dataLength: 0,
    trust: TRUST.intact,
    pgno: 0,
    line: 0,
  };
  #written = 0;
  #good = 0;
  #unverified = 0;
  #superseded = 0;

  constructor(
    source: SalvageSource,
    tree: SalvageTree,
    survey: TreeSurvey,
    misfiled: MisfiledNodes,
    visit: (node: SalvagedNode) => void,
  ) {
    this.#source = source;
    this.#tree = tree;
    this.#survey = survey;
    this.#misfiled = misfiled;
    this.#visit = visit;
    this.#dropped = [...survey.dropped];
    for (const { why } of survey.dropped) if (why !== 'duplicate') this.#unverified++;
  }

  *run(): Steps<SalvageCounts> {
    const { leaves } = this.#survey;
    let next = 0;
    while (next < leaves.length || this.#active.length > 0) {
      // A leaf takes part from its first key on.
      let leaf = leaves[next];
      while (leaf !== undefined && this.#isDue(leaf)) {
        this.#open(leaf);
        next++;
        leaf = leaves[next];
        yield;
      }
      const only = this.#active.length === 1 ? this.#active[0] : undefined;
      if (only !== undefined && (leaf === undefined || isBehind(leaf, only.leaf))) this.#takeAll(only);
      else this.#takeNext();
    }
    this.#refileUpTo(undefined);
    return {
      written: this.#written,
      good: this.#good,
      unverified: this.#unverified,
      superseded: this.#superseded,
      dropped: this.#dropped,
      refiled: this.#refiled,
      lost: lostRanges(this.#survey),
      leafPages: leaves.length,
      candidates: this.#survey.candidates,
    };
  }

  /** Whether a leaf begins at or before the smallest key of those that take part. */
  #isDue({ first }: SalvageLeaf): boolean {
    if (first === undefined) return true;
    return this.#active.every(({ key }) => compareToBytes(key, first) >= 0);
  }

  #open(leaf: SalvageLeaf): void {
    const { page } = this.#source.read(leaf.pgno);
    const parts = this.#idle.pop() ?? { node: createNodeView(), key: createKeyBuffer() };
    const cursor: LeafCursor = {
      leaf,
      page: leaf.isIntact ? page : withTags(page),
      ...parts,
      keyLength: 0,
      position: -1,
      line: 0,
      trust: TRUST.intact,
    };
    this.#active.push(cursor);
    this.#advance(cursor);
  }

  /** Moves to the next node; at the end the leaf leaves the merge. */
  #advance(cursor: LeafCursor): boolean {
    const { leaf, page, node } = cursor;
    cursor.position++;
    if (cursor.position >= leaf.nodes) {
      this.#active = this.#active.filter((one) => one !== cursor);
      this.#idle.push({ node, key: cursor.key });
      return false;
    }
    cursor.line = leaf.lines === undefined ? cursor.position : (leaf.lines[cursor.position] as number);
    cursor.trust = leaf.trusts === undefined ? TRUST.intact : (leaf.trusts[cursor.position] as Trust);
    page.readNode(cursor.line, node);
    cursor.keyLength = readSortKey(page, node, this.#tree.isUnique, cursor.key);
    const restored = leaf.keys?.[cursor.position];
    if (restored !== undefined) {
      cursor.key.bytes.set(restored);
      cursor.key.length = restored.length;
      cursor.keyLength = restored.length;
    }
    return true;
  }

  /** Takes all nodes of a leaf that no other overlaps. */
  #takeAll(cursor: LeafCursor): void {
    const { lines } = cursor.leaf;
    const last = createLastKey();
    do {
      // Only where the nodes had to be put in order can two have the same key.
      if (lines !== undefined && last.isSame(cursor.key)) this.#drop(cursor, 'duplicate', SAME_KEY);
      else if (this.#take(cursor) && lines !== undefined) last.keep(cursor.key);
    } while (this.#advance(cursor));
  }

  /** Takes the node with the smallest key; of several images the best. */
  #takeNext(): void {
    let least: LeafCursor | undefined;
    for (const cursor of this.#active) {
      if (least === undefined || compareKeyBuffers(cursor.key, least.key) < 0) least = cursor;
    }
    if (least === undefined) return;
    const { key } = least;
    const holders = this.#active.filter((cursor) => compareKeyBuffers(cursor.key, key) === 0).sort(byWorth);
    const best = holders[0] ?? least;
    const isGone = this.#active.some(
      (other) => !holders.includes(other) && byWorth(other, best) < 0 && this.#covers(other, key),
    );
    let isTaken = isGone;
    for (const cursor of holders) {
      if (isTaken) this.#supersede(cursor);
      else isTaken = this.#take(cursor);
    }
    // Other nodes of the same leaf with that key come next: they are duplicates.
    for (const cursor of holders) this.#advancePastSame(cursor);
  }

  #advancePastSame(cursor: LeafCursor): void {
    if (cursor.leaf.lines === undefined) {
      this.#advance(cursor);
      return;
    }
    const last = createLastKey();
    last.keep(cursor.key);
    while (this.#advance(cursor) && last.isSame(cursor.key)) this.#drop(cursor, 'duplicate', SAME_KEY);
  }

  /**
   * Whether a leaf would hold the key if it were there: it is in order, its nodes lie around the key, and its
   * parents, if it has any, agree.
   */
  #covers({ leaf, position }: LeafCursor, key: KeyBuffer): boolean {
    const { claims, claimAt } = this.#survey;
    if (!leaf.isIntact || leaf.lines !== undefined || position === 0) return false;
    return leaf.claim < 0 || claims[claimAt(key)]?.leaf === leaf;
  }

  /** Gives a node to the visitor. Returns false if the node is no good. */
  #take(cursor: LeafCursor): boolean {
    const { leaf, page, node, key, keyLength, line, trust } = cursor;
    if ((node.flags & NODE_FLAG.deleted) !== 0) return true;
    if (!leaf.isLive && !this.#isOpenAt(key)) {
      this.#supersede(cursor);
      return true;
    }
    const sortLength = key.length;
    key.length = keyLength;
    const reason =
      trust === TRUST.unverified ? undefined : this.#tree.judge.judge(page, line, node, key, true);
    key.length = sortLength;
    if (reason !== undefined) {
      if (this.#misfiled.isOpen) this.#lookAtMisfiled(cursor);
      if (!this.#misfiled.has(leaf.pgno, line)) this.#drop(cursor, 'record', reason);
      return false;
    }
    this.#refileUpTo(key);
    this.#give(trust, leaf.pgno, line, key.bytes, keyLength, page.bytes, node.dataOffset, node.dataLength);
    return true;
  }

  #give(
    trust: Trust,
    pgno: number,
    line: number,
    key: Uint8Array,
    keyLength: number,
    bytes: Uint8Array,
    dataOffset: number,
    dataLength: number,
  ): void {
    this.#count(trust);
    this.#written++;
    const out = this.#out;
    out.key = key;
    out.keyLength = keyLength;
    out.bytes = bytes;
    out.dataOffset = dataOffset;
    out.dataLength = dataLength;
    out.trust = trust;
    out.pgno = pgno;
    out.line = line;
    this.#visit(out);
  }

  /** Takes note of a node that would be right under the key of its record. */
  #lookAtMisfiled({ leaf, page, node, line, trust }: LeafCursor): void {
    const { judge } = this.#tree;
    const own = this.#own;
    own.length = judge.keyOf?.(page, node, own.bytes) ?? -1;
    if (own.length <= 0 || judge.judge(page, line, node, own, true) !== undefined) return;
    const key = own.bytes.slice(0, own.length);
    this.#misfiled.add({ key, data: page.data(node).slice(), pgno: leaf.pgno, line, trust });
  }

  /** Gives the misfiled nodes in front of a key, or all that are left; what has the key of another node is dropped. */
  #refileUpTo(end: KeyBuffer | undefined): void {
    let last: Uint8Array | undefined;
    for (let node = this.#misfiled.next(end); node !== undefined; node = this.#misfiled.next(end)) {
      const { key, data, pgno, line, trust } = node;
      const isTaken =
        (end !== undefined && compareToBytes(end, key) === 0) ||
        (last !== undefined && compareKeys(last, key) === 0);
      if (isTaken) {
        this.#count(trust);
        this.#dropped.push({ pgno, line, key, data, reason: KEY_OF_OTHER, why: 'record' });
        continue;
      }
      last = key;
      this.#refiled.push({ pgno, line, key });
      this.#give(trust, pgno, line, key, key.length, data, 0, data.length);
    }
  }

  #isOpenAt(key: KeyBuffer): boolean {
    const { claims, claimAt } = this.#survey;
    return claims[claimAt(key)]?.isOpen === true;
  }

  #supersede({ node, trust }: LeafCursor): void {
    if ((node.flags & NODE_FLAG.deleted) !== 0) return;
    this.#count(trust);
    this.#superseded++;
  }

  #drop(
    { leaf, page, node, key, keyLength, line, trust }: LeafCursor,
    why: DroppedNode['why'],
    reason: string,
  ): void {
    if ((node.flags & NODE_FLAG.deleted) !== 0) return;
    this.#count(trust);
    this.#dropped.push({
      pgno: leaf.pgno,
      line,
      key: key.bytes.slice(0, keyLength),
      data: page.data(node).slice(),
      reason,
      why,
    });
  }

  #count(trust: Trust): void {
    if (trust === TRUST.unverified) this.#unverified++;
    else this.#good++;
  }
}

const KEY_OF_OTHER = 'another record has the key that it should have';
const SAME_KEY = 'another node of the page has the same key';

/** Whether a leaf begins behind the last key of another one. */
function isBehind({ first }: SalvageLeaf, { last }: SalvageLeaf): boolean {
  return first !== undefined && last !== undefined && compareKeys(first, last) > 0;
}

/** Order of images of one node: those the tree reaches, then the newest, then the surest. */
function byWorth(a: LeafCursor, b: LeafCursor): number {
  return (
    Number(b.leaf.isLive) - Number(a.leaf.isLive) ||
    b.leaf.dbtime - a.leaf.dbtime ||
    a.trust - b.trust ||
    a.leaf.pgno - b.leaf.pgno
  );
}

/** Remembers one key. */
function createLastKey(): { keep(key: KeyBuffer): void; isSame(key: KeyBuffer): boolean } {
  let kept: Uint8Array | undefined;
  return {
    keep(key) {
      kept = key.bytes.slice(0, key.length);
    },
    isSame: (key) => kept !== undefined && compareToBytes(key, kept) === 0,
  };
}

// --- What is lost. ---

/** The ranges of keys in which nodes may be missing. */
function lostRanges(survey: TreeSurvey): LostRange[] {
  const { claims, leaves } = survey;
  const lost: LostRange[] = [];
  let at = 0;
  for (const [i, claim] of claims.entries()) {
    const upper = claims[i + 1]?.lower;
    if (claim.leaf !== undefined && !claim.isOpen) {
      const range = lostOfLeaf(survey, claim, claim.leaf, upper);
      if (range !== undefined) lost.push(range);
      continue;
    }
    if (!claim.isOpen) {
      const { lower, pgno, reason } = claim;
      lost.push({ lower, upper, pgno, reason, estimate: nodesOfPage(survey) });
      continue;
    }
    while (at < leaves.length && isBefore(leaves[at]?.first, claim.lower)) at++;
    const inside: SalvageLeaf[] = [];
    for (let leaf = leaves[at]; leaf !== undefined && isInRange(leaf, upper); leaf = leaves[++at]) {
      inside.push(leaf);
    }
    lost.push(...holes(survey, claim, inside, claims[i - 1]?.leaf, claims[i + 1]?.leaf, upper));
  }
  return lost;
}

function isBefore(key: Uint8Array | undefined, other: Uint8Array | undefined): boolean {
  return key !== undefined && other !== undefined && compareKeys(key, other) < 0;
}

function isInRange({ first }: SalvageLeaf, upper: Uint8Array | undefined): boolean {
  return upper === undefined || isBefore(first, upper);
}

/** Nodes of a page of which nothing is known: as many as others have, and one at least, where there are no others. */
function nodesOfPage({ density }: Pick<TreeSurvey, 'density'>): number {
  return Math.max(1, Math.round(density));
}

/** What is lost of a leaf that is damaged. */
function lostOfLeaf(
  { density }: TreeSurvey,
  { lower, pgno, reason }: Claim,
  leaf: SalvageLeaf,
  upper: Uint8Array | undefined,
): LostRange | undefined {
  const { isIntact, nodes, undecodable, dropped } = leaf;
  // Nodes that are listed are not to be counted twice.
  if (isIntact || (undecodable === 0 && nodes + dropped > 0)) return undefined;
  // A number of nodes that is damaged itself says nothing.
  const most = density === 0 ? undecodable : Math.max(1, Math.round(FULL_LEAF * density) - nodes);
  const estimate = undecodable === 0 ? nodesOfPage({ density }) : Math.min(undecodable, most);
  return { lower, upper, pgno, reason, estimate };
}

/** Nodes of a leaf that holds many, as a multiple of the average. */
const FULL_LEAF = 1.5;

/** Where the leaves in an open range do not link to each other, others are missing. */
function holes(
  survey: TreeSurvey,
  claim: Claim,
  inside: readonly SalvageLeaf[],
  before: SalvageLeaf | undefined,
  behind: SalvageLeaf | undefined,
  upper: Uint8Array | undefined,
): LostRange[] {
  const { reason } = claim;
  const estimate = nodesOfPage(survey);
  if (inside.length === 0 && (before === undefined || behind === undefined)) {
    return [{ lower: claim.lower, upper, pgno: claim.pgno, reason, estimate }];
  }
  const found: LostRange[] = [];
  const chain = [before, ...inside, behind];
  for (let i = 1; i < chain.length; i++) {
    const left = chain[i - 1];
    const right = chain[i];
    if (isLinked(left, right)) continue;
    found.push({
      lower: left === undefined || i === 1 ? claim.lower : left.last,
      upper: right === undefined || i === chain.length - 1 ? upper : right.first,
      pgno: left?.pgnoNext || right?.pgnoPrev || 0,
      reason,
      estimate,
    });
  }
  for (const leaf of inside) {
    const { first: lower, pgno } = leaf;
    const range = lostOfLeaf(survey, { ...claim, lower, pgno }, leaf, leaf.last);
    if (range !== undefined) found.push(range);
  }
  return found;
}

/** Whether two leaves are neighbours, as far as can be said. */
function isLinked(left: SalvageLeaf | undefined, right: SalvageLeaf | undefined): boolean {
  if (left === undefined) return right === undefined || right.pgnoPrev === 0;
  if (right === undefined) return left.pgnoNext === 0;
  if (isBefore(right.first, left.last)) return true;
  return left.pgnoNext === right.pgno || right.pgnoPrev === left.pgno;
}
