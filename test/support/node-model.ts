import type { LogRecord, LogRecordOf } from '../../src/format/log-record.js';
import { readReplaceDiff } from '../../src/format/replace-diff.js';

/**
 * A second replay, as simple as can be: pages are lists of nodes, nodes are objects that move from list to list. It
 * knows nothing of page layout, prefixes or space on a page, and shares no code with the operations of the project
 * but the reading of records. What it gives is what a recovery must give.
 */
interface ModelNode {
  key: string;
  data: string;
  deleted: boolean;
}

interface ModelPage {
  objid: number;
  nodes: ModelNode[];
}

interface Change {
  level: number;
  readonly undo: () => () => void;
}

interface Session {
  level: number;
  changes: Change[];
  readonly macros: Map<number, LogRecord[]>;
}

type Split = LogRecordOf<'Split2'>;
type Merge = LogRecordOf<'Merge2'>;
type Leaf =
  | LogRecordOf<'Insert'>
  | LogRecordOf<'Replace'>
  | LogRecordOf<'ReplaceD'>
  | LogRecordOf<'FlagInsertAndReplaceData'>;

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

function u32(value: number): string {
  const data = Buffer.alloc(4);
  data.writeUInt32LE(value);
  return data.toString('hex');
}

function u32be(value: number): string {
  const data = Buffer.alloc(4);
  data.writeUInt32BE(value);
  return data.toString('hex');
}

export class NodeModel {
  readonly pages = new Map<number, ModelPage>();
  readonly #sessions = new Map<number, Session>();
  committed = 0;

  #session(procid: number): Session {
    let session = this.#sessions.get(procid);
    if (session === undefined) {
      session = { level: 0, changes: [], macros: new Map() };
      this.#sessions.set(procid, session);
    }
    return session;
  }

  #page(pgno: number): ModelPage {
    const page = this.pages.get(pgno);
    if (page === undefined) throw new Error(`the model has no page ${pgno}`);
    return page;
  }

  /** Goes on by one record, which must stay valid. */
  apply(record: LogRecord): void {
    switch (record.name) {
      case 'Begin0':
      case 'Begin': {
        this.#session(record.procid).level = record.levelBeginFrom + record.clevels;
        return;
      }
      case 'Commit': {
        const session = this.#session(record.procid);
        session.level = record.levelCommitTo;
        for (const change of session.changes) change.level = Math.min(change.level, session.level);
        return;
      }
      case 'Commit0': {
        const session = this.#session(record.procid);
        session.level = 0;
        session.changes = [];
        this.committed++;
        return;
      }
      case 'MacroBegin':
        this.#session(record.procid).macros.set(record.dbtime, []);
        return;
      case 'MacroCommit': {
        const { macros } = this.#session(record.procid);
        this.#macro(macros.get(record.dbtime) ?? []);
        macros.delete(record.dbtime);
        return;
      }
      default:
        break;
    }
    if ('dbtime' in record && 'procid' in record) {
      const macro = this.#session(record.procid).macros.get(record.dbtime);
      if (macro !== undefined) {
        macro.push(record);
        return;
      }
    }
    this.#single(record);
  }

  #single(record: LogRecord): void {
    switch (record.name) {
      case 'Insert':
        this.#leaf(record, this.#page(record.pgno).nodes, record.iline);
        return;
      case 'Replace':
      case 'ReplaceD':
      case 'FlagInsertAndReplaceData':
        this.#leaf(record, this.#page(record.pgno).nodes, record.iline);
        return;
      case 'FlagDelete': {
        const node = this.#page(record.pgno).nodes[record.iline];
        if (node === undefined) throw new Error('no such line');
        node.deleted = true;
        this.#note(record, node, (one) => {
          one.deleted = false;
        });
        return;
      }
      case 'Delete':
        this.#page(record.pgno).nodes.splice(record.iline, 1);
        return;
      case 'EmptyTree':
        for (const { pgno } of record.pages) this.#page(pgno).nodes = [];
        this.#page(record.pgno).nodes = [];
        return;
      case 'CreateMultipleExtentFDP': {
        const { pgno, objidFDP: objid, cpgPrimary, pgnoOE, pgnoAE } = record;
        const last = u32be(pgno + cpgPrimary - 1);
        this.pages.set(pgno, { objid, nodes: [] });
        this.pages.set(pgnoOE, { objid, nodes: [{ key: last, data: u32(cpgPrimary), deleted: false }] });
        const rest = cpgPrimary - 3;
        this.pages.set(pgnoAE, {
          objid,
          nodes: rest > 0 ? [{ key: last, data: u32(rest), deleted: false }] : [],
        });
        return;
      }
      case 'CreateSingleExtentFDP':
        this.pages.set(record.pgno, { objid: record.objidFDP, nodes: [] });
        return;
      case 'ConvertFDP2': {
        const { pgno, objidFDP: objid, cpgPrimary, cpgSecondary, pgnoSecondaryFirst, rgbitAvail } = record;
        const secondary = u32be(pgnoSecondaryFirst + cpgSecondary - 1);
        this.pages.set(record.pgnoOE, {
          objid,
          nodes: [
            { key: u32be(pgno + cpgPrimary - 1), data: u32(cpgPrimary), deleted: false },
            { key: secondary, data: u32(cpgSecondary), deleted: false },
          ],
        });
        if (rgbitAvail !== 0) throw new Error('the model expects a full primary extent');
        const nodes = [{ key: secondary, data: u32(cpgSecondary - 2), deleted: false }];
        this.pages.set(record.pgnoAE, { objid, nodes });
        return;
      }
      default:
        return;
    }
  }

  /** Remembers how to take a change back, for transactions that do not end. */
  #note(
    record: { procid: number; level: number; pageFlags: number },
    node: ModelNode,
    change: (node: ModelNode) => void,
  ): void {
    if ((record.pageFlags & 1) === 0) return;
    const undo = (): (() => void) => {
      const before = { ...node };
      change(node);
      return () => Object.assign(node, before);
    };
    this.#session(record.procid).changes.push({ level: record.level, undo });
  }

  #leaf(record: Leaf, nodes: ModelNode[], line: number): void {
    if (record.name === 'Insert') {
      const node = { key: hex(record.key), data: hex(record.data), deleted: false };
      nodes.splice(line, 0, node);
      this.#note(record, node, (one) => {
        one.deleted = true;
      });
      return;
    }
    const node = nodes[line];
    if (node === undefined) throw new Error('no such line');
    const old = node.data;
    if (record.name === 'FlagInsertAndReplaceData') {
      node.deleted = false;
      node.data = hex(record.data);
      this.#note(record, node, (one) => {
        one.data = old;
        one.deleted = true;
      });
      return;
    }
    node.data = record.name === 'Replace' ? hex(record.data) : patched(record, old);
    this.#note(record, node, (one) => {
      one.data = old;
    });
  }

  #macro(records: readonly LogRecord[]): void {
    const splits = records.filter((one): one is Split => one.name === 'Split2');
    const merges = records.filter((one): one is Merge => one.name === 'Merge2');
    const leaf = records.find((one): one is Leaf => one.name !== 'Split2' && one.name !== 'Merge2');
    if (splits.length > 0) this.#split(splits, leaf);
    else this.#merge(merges);
  }

  #split(splits: readonly Split[], leaf: Leaf | undefined): void {
    for (let i = splits.length - 1; i >= 0; i--) {
      const split = splits[i];
      if (split === undefined) continue;
      const { nodes, objid } = this.#page(split.pgno);
      const child = splits[i + 1];
      if (child === undefined) {
        if (leaf !== undefined && (split.pgnoNew === 0 || split.splitoper !== 0)) {
          this.#leaf(leaf, nodes, split.ilineOper);
        }
      } else if (child.pgnoNew !== 0 && child.splittype !== 0) {
        const old = nodes[split.ilineOper];
        if (old?.data !== u32(child.pgno)) throw new Error('the pointer does not lead to the split page');
        old.data = u32(child.pgnoNew);
        nodes.splice(split.ilineOper, 0, {
          key: hex(child.keyParent),
          data: u32(child.pgno),
          deleted: false,
        });
      }
      if (split.pgnoNew === 0) continue;
      if (nodes.length !== split.clines) throw new Error(`${nodes.length} lines instead of ${split.clines}`);
      const moved = nodes.splice(split.splittype === 0 ? 0 : split.ilineSplit);
      this.pages.set(split.pgnoNew, { objid, nodes: moved });
      if (split.splittype === 0) nodes.push({ key: '', data: u32(split.pgnoNew), deleted: false });
    }
  }

  #merge(merges: readonly Merge[]): void {
    for (let i = merges.length - 1; i >= 0; i--) {
      const merge = merges[i];
      if (merge === undefined) continue;
      const page = this.#page(merge.pgno);
      const { nodes } = page;
      if (merge.mergetype === 2) {
        this.#page(merge.pgnoRight).nodes.unshift(...nodes.filter((node) => !node.deleted));
        page.nodes = [];
      } else if (merge.mergetype === 1) {
        page.nodes = [];
      } else if (merge.mergetype === 0) {
        if ((merge.mergeFlags & 2) === 0) throw new Error('the model knows only deleted pointers');
        nodes.splice(merge.iline, 1);
        const last = nodes.at(-1);
        if (merge.iline === nodes.length && last !== undefined) last.key = '';
      } else {
        throw new Error(`the model does not know merges of type ${merge.mergetype}`);
      }
    }
  }

  /** Transactions that are open now. */
  get open(): number {
    return [...this.#sessions.values()].filter(({ level }) => level > 0).length;
  }

  /** The nodes of every page as they are once the open transactions are rolled back; the model itself goes on. */
  recovered(): Map<number, string[]> {
    const restores: (() => void)[] = [];
    for (const { changes } of this.#sessions.values()) {
      for (const { undo } of [...changes].reverse()) restores.push(undo());
    }
    const pages = new Map<number, string[]>();
    for (const [pgno, { nodes }] of this.pages) {
      pages.set(
        pgno,
        nodes.map(({ key, data, deleted }) => `${key}=${data}${deleted ? ' deleted' : ''}`),
      );
    }
    for (const restore of restores.reverse()) restore();
    return pages;
  }
}

/** Old data with the entries of a diff list put in. */
function patched(record: LogRecordOf<'ReplaceD'>, old: string): string {
  const before = Buffer.from(old, 'hex');
  const parts: Uint8Array[] = [];
  let at = 0;
  for (const { ib, cbOld, data } of readReplaceDiff(record)) {
    parts.push(before.subarray(at, ib), data);
    at = ib + cbOld;
  }
  parts.push(before.subarray(at));
  return Buffer.concat(parts).toString('hex');
}
