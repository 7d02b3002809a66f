/**
 * One page as `/m … /p<n>` reports it, whatever its condition (format specification, chapters 1.3 to 1.5, 6.2.6
 * and 11.4.1); and the nodes of whole tables, for `/mn`.
 */

import type { DatabaseReader } from '../engine/database-reader.js';
import type { PageSource } from '../engine/page-source.js';
import { type TreeRoot, treePages } from '../engine/tree-reader.js';
import {
  decodeDatabaseHeader,
  electHeader,
  HEADER_BYTES_MIN,
  HEADER_ELECTION_BYTES,
  type HeaderElection,
} from '../format/database-header.js';
import { EseError } from '../format/ese-error.js';
import { createNodeView, NODE_FLAG, type NodeView, PAGE_FLAG, Page, pageOffset } from '../format/page.js';
import { type ChecksumPair, diagnosePage } from '../format/page-checksum.js';
import { decodeExtent, decodeSpaceHeader, decodeSplitBuffer, hasMultipleExtents } from '../format/space.js';
import type { FileSystem } from '../io/file-system.js';
import { type DatabaseHeaderReport, headerReport } from './dump-header.js';
import { dbtimeReport } from './report-values.js';

/** Page numbers of the two header copies. */
export const PGNO_HEADER = -1;
export const PGNO_SHADOW_HEADER = 0;

export interface PageChecksumReport {
  readonly kind: 'xorOld' | 'eccXor' | 'large' | 'header';
  /** 64-bit values (32 for a header) as decimal strings; four for a large page. */
  readonly stored: readonly string[];
  readonly computed: readonly string[];
  readonly ok: boolean;
  readonly correctableBit: number | null;
  /** The page for which the checksum would be right. */
  readonly looksLikePgno?: number;
}

export interface PageHeaderReport {
  readonly dbtime: string;
  readonly pgnoPrev: number;
  readonly pgnoNext: number;
  readonly objid: number;
  readonly cbFree: number;
  readonly cbUncommittedFree: number;
  readonly ibMicFree: number;
  readonly tagCount: number;
  readonly flags: number;
  readonly flagNames: readonly string[];
}

export type ExternalReport =
  | {
      readonly kind: 'space';
      readonly pgnoParent: number;
      readonly extent: 'single' | 'multiple';
      readonly cpg: number;
      readonly flags: number;
      readonly pgnoOe?: number;
      readonly availableBitmap?: number;
      readonly autoIncrement?: string;
    }
  | {
      readonly kind: 'splitBuffer';
      readonly extents: readonly { readonly first: number; readonly last: number }[];
    }
  | { readonly kind: 'prefix'; readonly key: string };

export interface PageNodeReport {
  readonly tag: number;
  /** Offset in the page, in bytes. */
  readonly offset: number;
  /** The same from the start of the data area, as the tag has it. */
  readonly dataAreaOffset: number;
  readonly size: number;
  /** Letters of the flags that are set: v(ersion), d(eleted), c(ompressed). */
  readonly flags: string;
  readonly prefixSize: number;
  readonly suffixSize: number;
  readonly key?: string;
  readonly data?: string;
  readonly child?: number;
  readonly extent?: { readonly first: number; readonly last: number; readonly pool: number };
  /** Why the node cannot be taken apart. */
  readonly damage?: string;
}

export interface PageReport {
  readonly pgno: number;
  /** Offset in the file. */
  readonly offset: number;
  readonly checksum: PageChecksumReport;
  /** Every byte is zero: the page was never used. */
  readonly uninitialized: boolean;
  readonly header: PageHeaderReport | null;
  /** For the pages -1 and 0. */
  readonly databaseHeader?: DatabaseHeaderReport;
  readonly external: ExternalReport | null;
  readonly nodes: readonly PageNodeReport[];
}

export interface PageOptions {
  /** Only this tag. */
  readonly tag?: number | undefined;
  /** Only this node, counted from 0. */
  readonly line?: number | undefined;
  /** Only the node to which a search for this key leads on the page. */
  readonly key?: Uint8Array | undefined;
  /** With `key`: in an index with equal keys, the node with this data. */
  readonly data?: Uint8Array | undefined;
  /** Page size in bytes for a file without a good header. */
  readonly pageSize?: number | undefined;
}

/**
 * Dumps a page of a database. A bad page is dumped like a good one; what is wrong with it is part of the report.
 *
 * @throws EseError `JET_errFileIOBeyondEOF` for a page behind the end of the file, `JET_errBadLineCount` for a node
 *   or tag that the page does not have, `JET_errRecordNotFound` for a key that leads nowhere,
 *   `JET_errDatabaseCorrupted` for a file without a header when no page size is given
 */
export function dumpPage(fs: FileSystem, file: string, pgno: number, options: PageOptions = {}): PageReport {
  const handle = fs.open(file, 'read');
  try {
    const start = new Uint8Array(Math.min(HEADER_ELECTION_BYTES, handle.size()));
    const election = electHeader(start.subarray(0, handle.readAt(start, 0)));
    const pageSize = choosePageSize(election, options.pageSize, file);
    const offset = pageOffset(pgno, pageSize);
    const bytes = new Uint8Array(pageSize);
    if (offset < 0 || handle.readAt(bytes, offset) < pageSize) {
      const pages = Math.max(0, Math.floor(handle.size() / pageSize) - 2);
      throw new EseError('JET_errFileIOBeyondEOF', `the file has ${pages} pages`, { file, pgno });
    }
    return pgno <= PGNO_SHADOW_HEADER
      ? headerPageReport(election, pgno, offset)
      : pageReport(new Page(bytes, pgno), offset, options);
  } finally {
    handle.close();
  }
}

function choosePageSize(election: HeaderElection, given: number | undefined, file: string): number {
  if (given !== undefined) return given;
  if (election.header !== undefined) return election.pageSize;
  throw new EseError('JET_errDatabaseCorrupted', 'this is not a database: it has no database header', {
    file,
  });
}

function headerPageReport(election: HeaderElection, pgno: number, offset: number): PageReport {
  const copy = pgno === PGNO_HEADER ? election.primary : election.shadow;
  return {
    pgno,
    offset,
    checksum: {
      kind: 'header',
      stored: [String(copy.checksumStored)],
      computed: [String(copy.checksumComputed)],
      ok: copy.ok,
      correctableBit: null,
    },
    uninitialized: copy.allZero,
    header: null,
    ...(copy.bytes.length < HEADER_BYTES_MIN
      ? {}
      : { databaseHeader: headerReport(decodeDatabaseHeader(copy.bytes)) }),
    external: null,
    nodes: [],
  };
}

function pageReport(page: Page, offset: number, options: PageOptions): PageReport {
  const diagnosis = diagnosePage(page.bytes, page.pgno);
  const { looksLikePgno } = diagnosis;
  return {
    pgno: page.pgno,
    offset,
    checksum: {
      kind: diagnosis.format,
      stored: diagnosis.checksums.map((pair) => unsigned64(pair.storedHigh, pair.storedLow)),
      computed: diagnosis.checksums.map((pair: ChecksumPair) =>
        unsigned64(pair.computedHigh, pair.computedLow),
      ),
      ok: diagnosis.verdict === 'ok',
      correctableBit: diagnosis.correctableBits[0] ?? null,
      ...(looksLikePgno === null ? {} : { looksLikePgno }),
    },
    uninitialized: diagnosis.verdict === 'uninitialized',
    header: headerOf(page),
    external: externalOf(page),
    nodes: chosenTags(page, options).map((tag) => nodeReport(page, tag)),
  };
}

function unsigned64(high: number, low: number): string {
  return ((BigInt(high) << 32n) | BigInt(low)).toString();
}

function headerOf(page: Page): PageHeaderReport {
  const names = Object.entries(PAGE_FLAG).filter(
    ([name, bit]) => name !== 'flushType' && (page.flags & bit) !== 0,
  );
  return {
    dbtime: dbtimeReport(page.dbtime),
    pgnoPrev: page.pgnoPrev,
    pgnoNext: page.pgnoNext,
    objid: page.objid,
    cbFree: page.cbFree,
    cbUncommittedFree: page.cbUncommittedFree,
    ibMicFree: page.ibMicFree,
    tagCount: page.tagCount,
    flags: page.flags,
    flagNames: names.map(([name]) => name),
  };
}

/** What tag 0 holds depends on the kind of page (chapter 2.1.2). */
function externalOf(page: Page): ExternalReport | null {
  const bytes = page.externalHeader;
  if (bytes.length === 0) return null;
  if (!page.isRoot) return { kind: 'prefix', key: hexOf(bytes) };
  if ((page.flags & PAGE_FLAG.spaceTree) !== 0) {
    return {
      kind: 'splitBuffer',
      extents: decodeSplitBuffer(bytes).map(({ first, last }) => ({ first, last })),
    };
  }
  try {
    const header = decodeSpaceHeader(bytes, page.pgno);
    const isMultiple = hasMultipleExtents(header);
    return {
      kind: 'space',
      pgnoParent: header.pgnoParent,
      extent: isMultiple ? 'multiple' : 'single',
      cpg: header.cpg,
      flags: header.flags,
      ...(isMultiple ? { pgnoOe: header.pgnoOe } : { availableBitmap: header.availableBitmap >>> 0 }),
      ...(header.autoIncrement === undefined ? {} : { autoIncrement: header.autoIncrement.toString() }),
    };
  } catch (error) {
    if (!(error instanceof EseError)) throw error;
    return null;
  }
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}

/** Tags that the page has room for, whatever its header claims. */
function tagCountOf(page: Page): number {
  return Math.min(page.tagCount, Math.floor(page.dataAreaBytes / 4));
}

function chosenTags(page: Page, options: PageOptions): number[] {
  const count = tagCountOf(page);
  const only = (tag: number): number[] => {
    if (tag < 0 || tag >= count) {
      throw new EseError('JET_errBadLineCount', `the page has ${count} tags`, { pgno: page.pgno });
    }
    return [tag];
  };
  if (options.tag !== undefined) return only(options.tag);
  if (options.line !== undefined) return only(options.line + page.reservedTags);
  if (options.key !== undefined) return [tagOfKey(page, options.key, options.data)];
  return Array.from({ length: count }, (_, tag) => tag);
}

/** The node to which a search leads: on a leaf the first one not below the key, else the child to follow. */
function tagOfKey(page: Page, key: Uint8Array, data: Uint8Array | undefined): number {
  const node = createNodeView();
  for (let line = 0; line < tagCountOf(page) - page.reservedTags; line++) {
    page.readNode(line, node);
    const order = page.compareKey(node, key);
    const isLastChild = node.prefixLength + node.suffixLength === 0;
    const found = page.isLeaf
      ? order > 0 || (order === 0 && (data === undefined || compareBytes(page.data(node), data) >= 0))
      : order > 0 || isLastChild;
    if (found) return line + page.reservedTags;
  }
  throw new EseError('JET_errRecordNotFound', 'every key of the page is smaller', { pgno: page.pgno });
}

function compareBytes(a: Uint8Array, b: Uint8Array): number {
  return Buffer.compare(a, b);
}

function flagLetters(flags: number): string {
  return (
    ((flags & NODE_FLAG.version) !== 0 ? 'v' : '') +
    ((flags & NODE_FLAG.deleted) !== 0 ? 'd' : '') +
    ((flags & NODE_FLAG.compressed) !== 0 ? 'c' : '')
  );
}

function nodeReport(page: Page, tag: number): PageNodeReport {
  const base = {
    tag,
    offset: page.tagOffset(tag),
    dataAreaOffset: page.tagOffset(tag) - page.headerBytes,
    size: page.tagSize(tag),
    flags: tag < page.reservedTags ? '' : flagLetters(page.tagFlags(tag)),
  };
  const whole = { ...base, prefixSize: 0, suffixSize: 0 };
  if (base.offset + base.size > page.pageSize)
    return { ...whole, damage: 'reaches past the end of the page' };
  if (tag < page.reservedTags) {
    return { ...whole, data: hexOf(page.bytes.subarray(base.offset, base.offset + base.size)) };
  }
  const node = createNodeView();
  try {
    page.readNode(tag - page.reservedTags, node);
  } catch (error) {
    if (!(error instanceof EseError)) throw error;
    return { ...whole, damage: error.detail };
  }
  return {
    ...base,
    prefixSize: node.prefixLength,
    suffixSize: node.suffixLength,
    key: hexOf(page.key(node)),
    data: hexOf(page.data(node)),
    ...meaningOf(page, node),
  };
}

/** Child page of a branch node, extent of a leaf node in a space tree. */
function meaningOf(page: Page, node: NodeView): Pick<PageNodeReport, 'child' | 'extent'> {
  if (!page.isLeaf) return node.dataLength === 4 ? { child: page.childPgno(node) } : {};
  if ((page.flags & PAGE_FLAG.spaceTree) === 0) return {};
  try {
    const { first, last, pool } = decodeExtent(
      page.key(node),
      page.data(node),
      'JET_errSPOwnExtCorrupted',
      page.pgno,
    );
    return { extent: { first, last, pool } };
  } catch (error) {
    if (!(error instanceof EseError)) throw error;
    return {};
  }
}

/** A node of a table's tree, for `/mn`. */
export interface TreeNodeReport {
  readonly pgno: number;
  /** Line on the page, from 0. */
  readonly node: number;
  readonly key: string;
  readonly data: string;
  readonly deleted: boolean;
  readonly versioned: boolean;
}

/**
 * The nodes of a table's record tree in key order, one at a time: memory does not grow with the table. Nodes that
 * are flagged deleted come only when `includeDeleted` is set.
 *
 * `damaged` hears of pages that cannot be used; without it the first one ends the dump with its error.
 */
export function* dumpNodes(
  reader: DatabaseReader,
  table: string,
  includeDeleted: boolean,
  damaged?: (error: EseError) => void,
): Generator<TreeNodeReport, void, undefined> {
  const { pgnoFdp, objid } = reader.table(table);
  yield* treeNodes(reader.source, { pgnoFdp, objid }, includeDeleted, damaged);
}

function* treeNodes(
  source: PageSource,
  root: TreeRoot,
  includeDeleted: boolean,
  damaged?: (error: EseError) => void,
): Generator<TreeNodeReport, void, undefined> {
  const node = createNodeView();
  for (const { page } of treePages(source, root, damaged)) {
    if (!page.isLeaf) continue;
    for (let line = 0; line < page.nodeCount; line++) {
      page.readNode(line, node);
      const deleted = (node.flags & NODE_FLAG.deleted) !== 0;
      if (deleted && !includeDeleted) continue;
      yield {
        pgno: page.pgno,
        node: line,
        key: hexOf(page.key(node)),
        data: hexOf(page.data(node)),
        deleted,
        versioned: (node.flags & NODE_FLAG.version) !== 0,
      };
    }
  }
}
