import { EseError, type Lgpos } from '../../src/format/ese-error.js';
import type { LogRecordOf } from '../../src/format/log-record.js';
import { createLogRecordEncoder, type LogRecordFields } from '../../src/format/log-record-encoder.js';
import type { LogRecordName } from '../../src/format/log-record-type.js';
import { checkPageStructure, createNodeView, NODE_FLAG, PAGE_FLAG, Page } from '../../src/format/page.js';
import type { RedoContext, RedoPages } from '../../src/operations/redo-context.js';
import { RedoMap } from '../../src/operations/redo-map.js';
import { RedoVersions } from '../../src/recovery/redo-versions.js';

/** Tree that the pages of a laboratory belong to. */
export const OBJID = 30;
export const PGNO_FDP = 10;

export const bytes = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'latin1'));
const text = (from: Uint8Array): string => Buffer.from(from).toString('latin1');

/** A node as tests write it: key, data, flags. */
export interface LabNode {
  readonly key: string;
  readonly data: string;
  readonly flags?: number;
}

/** A page as tests describe it. */
export interface LabPage {
  readonly flags?: number;
  readonly dbtime?: number;
  readonly objid?: number;
  readonly prev?: number;
  readonly next?: number;
  readonly external?: string | Uint8Array;
  readonly nodes?: readonly LabNode[];
}

/** Pages in memory, and all that operations need beside them. */
export interface Lab {
  readonly context: RedoContext;
  readonly versions: RedoVersions;
  readonly redoMap: RedoMap;
  readonly pages: Map<number, Page>;
  readonly dirty: Set<number>;
  readonly lgpos: { generation: number; isec: number; ib: number };
  lastPgno: number;
  put(pgno: number, page: LabPage): Page;
  page(pgno: number): Page;
  /** Encodes a record; it stays valid. */
  record<N extends LogRecordName>(name: N, fields: LogRecordFields<N>): LogRecordOf<N>;
}

export interface LabOptions {
  readonly pageSize?: number;
  readonly genMaxRequired?: number;
  readonly lastPgno?: number;
}

export function createLab({ pageSize = 4096, genMaxRequired = 9, lastPgno = 200 }: LabOptions = {}): Lab {
  const pages = new Map<number, Page>();
  const dirty = new Set<number>();
  const versions = new RedoVersions();
  const redoMap = new RedoMap();
  const lgpos = { generation: 5, isec: 1, ib: 0 };
  const encoder = createLogRecordEncoder();
  const redoPages: RedoPages = {
    get lastPgno() {
      return lab.lastPgno;
    },
    readPage(pgno) {
      if (pgno > lab.lastPgno) throw new EseError('JET_errFileIOBeyondEOF', undefined, { pgno });
      const page = pages.get(pgno);
      if (page === undefined) throw new EseError('JET_errPageNotInitialized', undefined, { pgno });
      return page;
    },
    isBlank: (pgno) => !pages.has(pgno),
    createPage(pgno) {
      const page = new Page(new Uint8Array(pageSize).fill(0xee), pgno);
      pages.set(pgno, page);
      return page;
    },
    markDirty(page, at: Lgpos) {
      if (pages.get(page.pgno) !== page || at !== lgpos)
        throw new Error('not the page or the position in use');
      const fault = checkPageStructure(page);
      if (fault !== undefined) throw new Error(`page ${page.pgno} is unsound: ${fault.what}`);
      dirty.add(page.pgno);
    },
    extend(pgnoLast) {
      lab.lastPgno = pgnoLast;
    },
    shrink(pgnoLast) {
      lab.lastPgno = pgnoLast;
      for (const pgno of pages.keys()) if (pgno > pgnoLast) pages.delete(pgno);
    },
    blank(first, count) {
      for (let pgno = first; pgno < first + count; pgno++) pages.delete(pgno);
    },
  };
  const context: RedoContext = {
    dbid: 1,
    pageSize,
    lgpos,
    genMaxRequired,
    pages: redoPages,
    redoMap,
    versions,
  };
  const lab: Lab = {
    context,
    versions,
    redoMap,
    pages,
    dirty,
    lgpos,
    lastPgno,
    put(pgno, described) {
      const page = new Page(new Uint8Array(pageSize), pgno);
      const { flags = PAGE_FLAG.leaf, dbtime = 100, objid = OBJID, prev = 0, next = 0 } = described;
      page.initialize(flags, objid, dbtime);
      page.pgnoPrev = prev;
      page.pgnoNext = next;
      const { external = '' } = described;
      page.setExternalHeader(typeof external === 'string' ? bytes(external) : external);
      for (const node of described.nodes ?? []) {
        page.insertKeyed(page.nodeCount, node.flags ?? 0, bytes(node.key), bytes(node.data));
      }
      pages.set(pgno, page);
      return page;
    },
    page(pgno) {
      const page = pages.get(pgno);
      if (page === undefined) throw new Error(`there is no page ${pgno}`);
      return page;
    },
    record: (name, fields) => encoder.encode(name, fields),
  };
  return lab;
}

/** Nodes of a page as `key=data`, with `*` behind a deleted one. */
export function nodesOf(page: Page): string[] {
  const node = createNodeView();
  return Array.from({ length: page.nodeCount }, (_, line) => {
    page.readNode(line, node);
    const mark = (node.flags & NODE_FLAG.deleted) !== 0 ? '*' : '';
    return `${text(page.key(node))}=${text(page.data(node))}${mark}`;
  });
}

/** Children of an internal page as `key>pgno`. */
export function pointersOf(page: Page): string[] {
  const node = createNodeView();
  return Array.from({ length: page.nodeCount }, (_, line) => {
    page.readNode(line, node);
    return `${text(page.key(node))}>${page.childPgno(node)}`;
  });
}

/** Data of a pointer node. */
export function pointer(pgno: number): string {
  const data = new Uint8Array(4);
  new DataView(data.buffer).setUint32(0, pgno, true);
  return text(data);
}

export function externalOf(page: Page): string {
  return text(page.externalHeader);
}

/** The fields of the PAGE prefix. */
export const PAGE_PREFIX = {
  procid: 5,
  dbid: 1,
  dbtime: 200,
  dbtimeBefore: 100,
  trxBegin0: 4,
  level: 1,
  iline: 0,
  pageFlags: 5,
};

/** The fields of the NODE prefix. */
export const NODE_PREFIX = { ...PAGE_PREFIX, rceid: 77, pgnoFDP: PGNO_FDP, objidFDP: OBJID };

/** What all pages hold that has meaning, to compare two laboratories. */
export function contentsOf(lab: Lab): Record<number, unknown> {
  const contents: Record<number, unknown> = {};
  for (const [pgno, page] of [...lab.pages].sort(([a], [b]) => a - b)) {
    contents[pgno] = {
      dbtime: page.dbtime,
      objid: page.objid,
      flags: page.flags & ~(PAGE_FLAG.newChecksum | PAGE_FLAG.flushType),
      links: [page.pgnoPrev, page.pgnoNext],
      external: externalOf(page),
      nodes: nodesOf(page),
    };
  }
  return contents;
}

/** A copy of a page, to be put into another laboratory. */
export function clonePage(page: Page): Page {
  return new Page(page.bytes.slice(), page.pgno);
}

/** The name of the error that a call throws, with its page. */
export function errorOf(call: () => void): string {
  try {
    call();
  } catch (error) {
    if (error instanceof EseError) return `${error.name} ${error.pgno ?? ''}`.trim();
    throw error;
  }
  return 'none';
}
