/**
 * What the sound part of a damaged tree says of its leaves: which there are, and which range of keys belongs to
 * each; and where nothing can be said, which other leaves of the tree may fill the gap (format specification,
 * chapter 7.2.5, stale pages).
 */

import { EseError } from '../../format/ese-error.js';
import { compareKeys } from '../../format/key.js';
import { createNodeView, PAGE_FLAG, type Page } from '../../format/page.js';
import { decodeSpaceHeader } from '../../format/space.js';
import type { Steps } from '../defrag/copy-trees.js';
import type { KeyBuffer } from '../integrity/key-buffer.js';
import { compareToBytes, createKeyBuffer } from '../integrity/key-buffer.js';
import { classOf, PAGE_CLASS } from './page-scan.js';
import type { DroppedNode, SalvageTree } from './salvage-node.js';
import { createPageNodeReader, type PageNodeReader, type PageNodes, readSortKey } from './salvage-page.js';
import { SALVAGE_USE, type SalvagePage, type SalvageSource } from './salvage-source.js';

/** Levels of the deepest tree that is followed. */
const DEPTH_MAX = 32;
const ROLES = PAGE_FLAG.index | PAGE_FLAG.longValue;
const UNUSABLE = PAGE_FLAG.spaceTree | PAGE_FLAG.empty | PAGE_FLAG.preInit;

/** A leaf whose nodes may be in the result. Keys are sort keys: see {@link readSortKey}. */
export interface SalvageLeaf {
  readonly pgno: number;
  readonly dbtime: number;
  /** Its checksum and its structure are right. */
  readonly isIntact: boolean;
  /** The tree reaches it, or it is newer than the parents that do not know it: it outranks others. */
  readonly isLive: boolean;
  /** First and last key; `undefined` where it has no nodes. */
  readonly first: Uint8Array | undefined;
  readonly last: Uint8Array | undefined;
  readonly pgnoPrev: number;
  readonly pgnoNext: number;
  readonly nodes: number;
  /** Lines in the order of keys, and how far each can be trusted; `undefined` where all are, in their order. */
  readonly lines: Uint16Array | undefined;
  readonly trusts: Uint8Array | undefined;
  /** Keys by position that the page itself does not tell any more. */
  readonly keys: readonly (Uint8Array | undefined)[] | undefined;
  /** Nodes of a damaged page that cannot even be told apart. */
  readonly undecodable: number;
  /** Nodes that are left out, and listed one by one. */
  readonly dropped: number;
  /** Position of its claim; -1 for a leaf that the tree does not reach. */
  readonly claim: number;
}

/** What the parents say of one range of keys, or that they say nothing. */
export interface Claim {
  /** The range begins here and ends where the next one begins; `undefined` for the first one. */
  lower: Uint8Array | undefined;
  /** The page that the parent names: a leaf, or the root of a subtree that is lost. */
  readonly pgno: number;
  leaf: SalvageLeaf | undefined;
  /** Pages that are newer than this one may know more. */
  readonly parentDbtime: number;
  /** Leaves that the tree does not reach may lie here. */
  isOpen: boolean;
  readonly reason: string;
}

/** The leaves of a damaged tree. */
export interface TreeSurvey {
  /** In key order. */
  readonly claims: readonly Claim[];
  /** All leaves to be merged, by first key; those without nodes are left out. */
  readonly leaves: readonly SalvageLeaf[];
  /** Pages of the tree that are free, or whose records newer pages hold. */
  readonly candidates: readonly number[];
  readonly dropped: readonly DroppedNode[];
  /** Nodes of an intact leaf, on average. */
  readonly density: number;
  /** Position of the claim on a sort key. */
  claimAt(key: KeyBuffer): number;
}

/** Finds all leaves of a tree. A step is one page that was read. */
export function* surveyTree(source: SalvageSource, tree: SalvageTree): Steps<TreeSurvey> {
  const surveyor = new Surveyor(source, tree);
  return yield* surveyor.run();
}

interface Frame {
  readonly page: Page;
  readonly upper: Uint8Array | undefined;
  /** Key of the node before `line`. */
  lower: Uint8Array | undefined;
  line: number;
}

const ANYWHERE = (): boolean => true;

class Surveyor {
  readonly #source: SalvageSource;
  readonly #tree: SalvageTree;
  readonly #reader: PageNodeReader;
  readonly #reached: Uint8Array;
  #pgnoRoot = 0;
  readonly #claims: Claim[] = [];
  readonly #others: SalvageLeaf[] = [];
  readonly #candidates: number[] = [];
  /** Claims whose page is a leaf of the tree, none of whose keys lies where the parent says. */
  readonly #outsiders: number[] = [];
  readonly #dropped: DroppedNode[] = [];
  readonly #node = createNodeView();
  readonly #key = createKeyBuffer();

  constructor(source: SalvageSource, tree: SalvageTree) {
    this.#source = source;
    this.#tree = tree;
    this.#reader = createPageNodeReader(tree);
    this.#reached = new Uint8Array(source.lastPgno + 1);
  }

  *run(): Steps<TreeSurvey> {
    yield* this.#walk();
    this.#setBounds();
    this.#openLostLeaves();
    yield* this.#readOthers();
    yield* this.#readOutsiders();
    const reached = this.#claims.flatMap(({ leaf }) => leaf ?? []);
    const leaves = [...reached, ...this.#others].filter(({ first }) => first !== undefined);
    const intact = leaves.filter(({ isIntact }) => isIntact);
    const nodes = intact.reduce((sum, leaf) => sum + leaf.nodes, 0);
    return {
      claims: this.#claims,
      leaves: leaves.sort((a, b) => compareKeys(a.first ?? NO_KEY, b.first ?? NO_KEY) || a.pgno - b.pgno),
      candidates: this.#candidates.filter((pgno) => this.#reached[pgno] === 0),
      dropped: this.#dropped,
      density: intact.length === 0 ? 0 : nodes / intact.length,
      claimAt: (key) => this.#claimAt(key),
    };
  }

  // --- The part of the tree that can be followed. ---

  *#walk(): Steps<void> {
    const path: Frame[] = [];
    this.#pgnoRoot = this.#findRoot();
    const pgnoFdp = this.#pgnoRoot;
    const root = this.#source.read(pgnoFdp);
    yield;
    if (this.#isMember(root) && !root.page.isLeaf) {
      this.#use(root);
      path.push({ page: root.page, lower: undefined, upper: undefined, line: 0 });
    } else if (this.#isRootLeaf(root)) {
      this.#addLeaf(root, this.#reader.read(root, ANYWHERE), undefined, 0, root.worth !== 'intact');
    } else {
      const reason = root.trouble?.message ?? 'the root belongs to another tree';
      this.#claims.push({
        lower: undefined,
        pgno: pgnoFdp,
        leaf: undefined,
        parentDbtime: 0,
        isOpen: true,
        reason,
      });
    }
    for (let frame = path.at(-1); frame !== undefined; frame = path.at(-1)) {
      if (frame.line >= frame.page.nodeCount) {
        path.pop();
        continue;
      }
      const { page, lower } = frame;
      page.readNode(frame.line, this.#node);
      const key = page.key(this.#node);
      const pgno = page.childPgno(this.#node);
      const isLast = frame.line === page.nodeCount - 1;
      const upper = key.length > 0 ? key : isLast ? frame.upper : undefined;
      frame.line++;
      frame.lower = upper;
      const child = this.#enter(pgno, lower, upper, page, path.length);
      if (child !== undefined) path.push(child);
      yield;
    }
  }

  /** The root that the catalog names; where that is none of this tree, another page that says that it is. */
  #findRoot(): number {
    const { pgnoFdp, objid } = this.#tree;
    const named = this.#source.read(pgnoFdp);
    // A damaged page is the root only where no sound one is: the catalog may name a page that is none of a database.
    const isSound = named.worth === 'intact' || named.worth === 'unsound';
    if (isSound && named.page.objid === objid) return pgnoFdp;
    let newest: Page | undefined;
    for (const pgno of this.#source.pagesOf(objid)) {
      const found = this.#source.read(pgno);
      if (!found.page.isRoot || this.#source.available[pgno] === 1 || !this.#isMember(found)) continue;
      if (newest === undefined || found.page.dbtime > newest.dbtime) newest = found.page;
    }
    return newest?.pgno ?? pgnoFdp;
  }

  /** Follows a pointer. Returns the frame of an internal page. */
  #enter(
    pgno: number,
    lower: Uint8Array | undefined,
    upper: Uint8Array | undefined,
    parent: Page,
    depth: number,
  ): Frame | undefined {
    const { dbtime } = parent;
    const expectsLeaf = (parent.flags & PAGE_FLAG.parentOfLeaf) !== 0;
    const gap = (isOpen: boolean, reason: string): undefined => {
      this.#claims.push({ lower, pgno, leaf: undefined, parentDbtime: dbtime, isOpen, reason });
      return undefined;
    };
    if (pgno < 1 || pgno > this.#source.lastPgno)
      return gap(!expectsLeaf, 'the page lies behind the end of the file');
    if (this.#reached[pgno] === 1) return gap(true, `page ${pgno} is reached twice`);
    const found = this.#source.read(pgno);
    const { page, worth, trouble } = found;
    if (worth === 'lost') return gap(!expectsLeaf, trouble?.message ?? 'the page is lost');
    if (worth === 'damaged') {
      if (!expectsLeaf) return gap(true, trouble?.message ?? 'the page is damaged');
      const nodes = this.#reader.read(found, (key) => isBetween(key, lower, upper));
      this.#addLeaf(found, nodes, lower, dbtime, false);
      return undefined;
    }
    if ((page.flags & UNUSABLE) !== 0 || (page.isRoot && pgno !== this.#pgnoRoot)) {
      return gap(true, `page ${pgno} is not part of a tree`);
    }
    if (page.isLeaf) {
      const isOwn = page.objid === this.#tree.objid && this.#hasRole(page);
      const nodes = this.#reader.read(found, (key) => isBetween(key, lower, upper));
      const isOwnOutside = isOwn && isOutside(nodes, lower, upper);
      if (isOwnOutside) this.#outsiders.push(this.#claims.length);
      if (isOwn ? isOwnOutside : !this.#isProvenMember(found, lower, upper)) {
        return gap(true, `page ${pgno} belongs elsewhere`);
      }
      this.#addLeaf(found, nodes, lower, dbtime, false);
      return undefined;
    }
    if (expectsLeaf || worth !== 'intact' || page.objid !== this.#tree.objid || depth >= DEPTH_MAX) {
      return gap(true, trouble?.message ?? `page ${pgno} belongs elsewhere`);
    }
    this.#use(found);
    return { page, lower, upper, line: 0 };
  }

  #use({ page, foundAt }: SalvagePage): void {
    this.#reached[page.pgno] = 1;
    this.#source.uses[foundAt] = SALVAGE_USE.used;
  }

  #hasRole({ flags }: Page): boolean {
    const { kind } = this.#tree;
    const role = kind === 'table' ? 0 : kind === 'index' ? PAGE_FLAG.index : PAGE_FLAG.longValue;
    return (flags & ROLES) === role;
  }

  #isMember({ page, worth }: SalvagePage): boolean {
    return (
      worth === 'intact' &&
      page.objid === this.#tree.objid &&
      (page.flags & UNUSABLE) === 0 &&
      this.#hasRole(page)
    );
  }

  /** Whether the root is a leaf of which something may be left. */
  #isRootLeaf(found: SalvagePage): boolean {
    const { page, worth } = found;
    if (worth === 'lost' || !page.isLeaf || (page.flags & UNUSABLE) !== 0 || !this.#hasRole(page))
      return false;
    if (page.objid === this.#tree.objid) return true;
    return page.isRoot && this.#isProvenMember(found, undefined, undefined, this.#isNumberWrong(page));
  }

  /**
   * Whether it is the number of a root leaf that is wrong: no other page carries that of the tree, but for space
   * trees that the root leads to.
   */
  #isNumberWrong({ externalHeader, pgno }: Page): boolean {
    const pgnos = this.#source.pagesOf(this.#tree.objid);
    if (pgnos.length === 0) return true;
    if (pgnos.some((one) => classOf(this.#source.scan, one) !== PAGE_CLASS.space)) return false;
    try {
      return pgnos.includes(decodeSpaceHeader(externalHeader, pgno).pgnoOe);
    } catch (error) {
      if (!(error instanceof EseError)) throw error;
      return false;
    }
  }

  /**
   * Whether a page of another objid belongs to the tree by its keys and records.
   *
   * @param isLikely other evidence than these speaks for it
   */
  #isProvenMember(
    found: SalvagePage,
    lower: Uint8Array | undefined,
    upper: Uint8Array | undefined,
    isLikely = false,
  ): boolean {
    const { page, worth } = found;
    const { judge } = this.#tree;
    const isBounded = lower !== undefined || upper !== undefined;
    if (worth !== 'intact' || page.nodeCount === 0 || !this.#hasRole(page)) return false;
    if (!judge.isStrong && !isBounded && !isLikely) return false;
    for (let line = 0; line < page.nodeCount; line++) {
      page.readNode(line, this.#node);
      const keyLength = readSortKey(page, this.#node, this.#tree.isUnique, this.#key);
      if (!isBetween(this.#key, lower, upper)) return false;
      this.#key.length = keyLength;
      if (judge.judge(page, line, this.#node, this.#key, false) !== undefined) return false;
    }
    return true;
  }

  #addLeaf(
    found: SalvagePage,
    nodes: PageNodes,
    lower: Uint8Array | undefined,
    parentDbtime: number,
    isOpen: boolean,
  ): void {
    this.#use(found);
    const leaf = leafOf(found, nodes, true, this.#claims.length);
    this.#dropped.push(...nodes.dropped);
    const reason = found.trouble?.message ?? '';
    this.#claims.push({ lower, pgno: found.page.pgno, leaf, parentDbtime, isOpen, reason });
  }

  // --- Which keys belong where. ---

  /** Makes the bounds of the claims ascend: where separators and leaves contradict each other, leaves are right. */
  #setBounds(): void {
    let least: Uint8Array | undefined;
    for (const [i, claim] of this.#claims.entries()) {
      if (i === 0) {
        claim.lower = undefined;
        continue;
      }
      const { leaf } = claim;
      let { lower } = claim;
      if (lower === undefined || isBefore(lower, least)) lower = least;
      const first = leaf?.isIntact === true ? leaf.first : undefined;
      if (first !== undefined && isBefore(first, lower) && !isBefore(first, least)) lower = first;
      claim.lower = lower;
      least = lower;
    }
  }

  /**
   * A leaf that is lost held its range, unless a neighbour says that its sibling is another page: then the pointer
   * is wrong, and the leaf may still be somewhere.
   */
  #openLostLeaves(): void {
    for (const [i, claim] of this.#claims.entries()) {
      if (claim.isOpen || claim.leaf?.isIntact === true) continue;
      const before = this.#claims[i - 1]?.leaf;
      const behind = this.#claims[i + 1]?.leaf;
      const denies = (leaf: SalvageLeaf | undefined, pgno: number | undefined): boolean =>
        leaf?.isIntact === true && pgno !== undefined && pgno !== 0 && pgno !== claim.pgno;
      const isDenied = denies(before, before?.pgnoNext) || denies(behind, behind?.pgnoPrev);
      const isConfirmed = before?.pgnoNext === claim.pgno || behind?.pgnoPrev === claim.pgno;
      claim.isOpen = isDenied && !isConfirmed;
    }
  }

  /** Position of the claim on a key. */
  #claimAt(key: KeyBuffer): number {
    return this.#indexWhere((lower) => compareToBytes(key, lower) >= 0);
  }

  #claimIndexOf(key: Uint8Array): number {
    return this.#indexWhere((lower) => compareKeys(key, lower) >= 0);
  }

  /** Position of the last claim whose lower bound passes the test. */
  #indexWhere(isReached: (lower: Uint8Array) => boolean): number {
    let low = 0;
    let high = this.#claims.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const lower = this.#claims[middle]?.lower;
      if (lower === undefined || isReached(lower)) low = middle + 1;
      else high = middle;
    }
    return Math.max(0, low - 1);
  }

  // --- Leaves that the tree does not reach. ---

  *#readOthers(): Steps<void> {
    const { available, scan, uses } = this.#source;
    const hasGaps = this.#claims.some(({ isOpen }) => isOpen);
    const pgnos = new Set(this.#source.pagesOf(this.#tree.objid));
    // A page whose own place is damaged may lie elsewhere.
    for (const { imageOf } of scan.misplaced) if (imageOf <= scan.lastPgno) pgnos.add(imageOf);
    const free = new Set<number>();
    for (const pgno of pgnos) {
      if (
        this.#reached[pgno] === 1 ||
        uses[pgno] === SALVAGE_USE.space ||
        NO_LEAVES.has(classOf(scan, pgno))
      ) {
        continue;
      }
      const found = this.#source.read(pgno);
      const { page, worth } = found;
      if (worth === 'lost' || !page.isLeaf || page.objid !== this.#tree.objid) continue;
      if ((page.flags & UNUSABLE) !== 0 || page.isRoot || !this.#hasRole(page)) continue;
      yield;
      if (available[pgno] === 1) free.add(pgno);
      else if (worth === 'damaged') this.#readDamagedOther(found, hasGaps);
      else this.#readSoundOther(found);
    }
    this.#readLinked(free);
  }

  /**
   * Of pages that are said to be free, those are in use that a leaf in use and they themselves call neighbours:
   * freeing a page takes it out of this chain.
   */
  #readLinked(free: Set<number>): void {
    const linked = [...this.#claims.flatMap(({ leaf }) => leaf ?? []), ...this.#others];
    for (let leaf = linked.pop(); leaf !== undefined && free.size > 0; leaf = linked.pop()) {
      for (const pgno of [leaf.pgnoNext, leaf.pgnoPrev]) {
        if (!free.has(pgno)) continue;
        const found = this.#source.read(pgno);
        const { pgnoPrev, pgnoNext } = found.page;
        const isMutual = pgno === leaf.pgnoNext ? pgnoPrev === leaf.pgno : pgnoNext === leaf.pgno;
        if (!isMutual || found.worth === 'damaged') continue;
        free.delete(pgno);
        const before = this.#others.length;
        this.#readSoundOther(found);
        if (this.#others.length > before) linked.push(...this.#others.slice(before));
      }
    }
    this.#candidates.push(...free);
  }

  #readSoundOther(found: SalvagePage): void {
    const nodes = this.#reader.read(found, ANYWHERE);
    const { first, last } = nodes;
    if (first === undefined || last === undefined) return;
    const { dbtime } = found.page;
    let isOlder = false;
    let isNewer = false;
    let isOpen = false;
    const end = this.#claimIndexOf(last);
    for (let i = this.#claimIndexOf(first); i <= end; i++) {
      const claim = this.#claims[i];
      if (claim === undefined) continue;
      if (claim.isOpen) isOpen = true;
      else if (claim.parentDbtime >= dbtime) isOlder = true;
      else isNewer = true;
    }
    if (isOpen || !isOlder) {
      this.#use(found);
      this.#dropped.push(...nodes.dropped);
      this.#others.push(leafOf(found, nodes, isNewer && !isOlder, NO_CLAIM));
    } else {
      this.#leaveOut(found.page.pgno);
    }
  }

  #readDamagedOther(found: SalvagePage, hasGaps: boolean): void {
    if (!hasGaps) return;
    const nodes = this.#reader.read(found, (key) => this.#claims[this.#claimAt(key)]?.isOpen === true);
    if (nodes.count === 0) return;
    this.#use(found);
    this.#dropped.push(...nodes.dropped);
    this.#others.push(leafOf(found, nodes, false, NO_CLAIM));
  }

  /**
   * Where a separator is wrong, a sound leaf lies where its parent says, but not between the keys that it says. Such
   * leaves that nothing else leads to are taken last: if the leaves around agree with their keys and links, it is the
   * separator that is wrong, not the pointer.
   */
  *#readOutsiders(): Steps<void> {
    for (const i of this.#outsiders) {
      const claim = this.#claims[i];
      if (claim === undefined || this.#reached[claim.pgno] === 1) continue;
      const found = this.#source.read(claim.pgno);
      yield;
      const nodes = this.#reader.read(found, ANYWHERE);
      const leaf = leafOf(found, nodes, true, i);
      if (!leaf.isIntact || !this.#isInOrder(leaf, i) || !this.#isVouchedFor(leaf, i)) continue;
      this.#use(found);
      this.#dropped.push(...nodes.dropped);
      claim.leaf = leaf;
      claim.isOpen = false;
    }
    // Bounds that a wrong separator has pushed away are those of the leaves again.
    if (this.#outsiders.length > 0) this.#setBounds();
  }

  /** Whether the leaves of the claims around lie around a leaf, and no other leaf lies across it. */
  #isInOrder({ first, last }: SalvageLeaf, i: number): boolean {
    if (first === undefined || last === undefined) return false;
    const before = this.#claims.slice(0, i).findLast(({ leaf }) => leaf?.last !== undefined)?.leaf;
    const behind = this.#claims.slice(i + 1).find(({ leaf }) => leaf?.first !== undefined)?.leaf;
    return (
      (before?.last === undefined || isBefore(before.last, first)) &&
      (behind?.first === undefined || isBefore(last, behind.first)) &&
      this.#others.every((other) => isBefore(other.last ?? NO_KEY, first) || isBefore(last, other.first))
    );
  }

  /**
   * Whether a leaf and the pages that its parent names beside it call each other neighbours. What is said to be free
   * needs the word of a leaf in use.
   */
  #isVouchedFor({ pgno, pgnoPrev, pgnoNext }: SalvageLeaf, i: number): boolean {
    const before = this.#claims[i - 1];
    const behind = this.#claims[i + 1];
    const isNamed = before?.leaf?.pgnoNext === pgno || behind?.leaf?.pgnoPrev === pgno;
    if (this.#source.available[pgno] === 1) {
      return isNamed && (pgnoPrev === before?.pgno || pgnoNext === behind?.pgno);
    }
    return isNamed || pgnoPrev === (before?.pgno ?? 0) || pgnoNext === (behind?.pgno ?? 0);
  }

  #leaveOut(pgno: number): void {
    this.#candidates.push(pgno);
    this.#source.uses[pgno] = SALVAGE_USE.superseded;
  }
}

/** Pages that cannot be leaves of a tree. */
const NO_LEAVES: ReadonlySet<number> = new Set([PAGE_CLASS.branch, PAGE_CLASS.space, PAGE_CLASS.empty]);
const NO_KEY = new Uint8Array(0);
const NO_CLAIM = -1;

function leafOf(found: SalvagePage, nodes: PageNodes, isLive: boolean, claim: number): SalvageLeaf {
  const { pgno, dbtime, pgnoPrev, pgnoNext } = found.page;
  const { first, last, count, lines, trusts, keys, undecodable } = nodes;
  return {
    pgno,
    dbtime,
    isIntact: found.worth === 'intact',
    isLive,
    first,
    last,
    pgnoPrev,
    pgnoNext,
    nodes: count,
    lines: lines === undefined ? undefined : Uint16Array.from(lines),
    trusts: trusts === undefined ? undefined : Uint8Array.from(trusts),
    keys,
    undecodable,
    dropped: nodes.dropped.length,
    claim,
  };
}

/** Whether none of the keys of a leaf lies where its parent says. */
function isOutside(
  { first, last }: PageNodes,
  lower: Uint8Array | undefined,
  upper: Uint8Array | undefined,
): boolean {
  if (first === undefined || last === undefined) return false;
  return (upper !== undefined && compareKeys(first, upper) >= 0) || isBefore(last, lower);
}

function isBetween(key: KeyBuffer, lower: Uint8Array | undefined, upper: Uint8Array | undefined): boolean {
  return (
    (lower === undefined || compareToBytes(key, lower) >= 0) &&
    (upper === undefined || compareToBytes(key, upper) < 0)
  );
}

function isBefore(key: Uint8Array, other: Uint8Array | undefined): boolean {
  return other !== undefined && compareKeys(key, other) < 0;
}
