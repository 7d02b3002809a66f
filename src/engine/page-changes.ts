import { DBTIME_NIL } from '../format/dbtime.js';
import type { Lgpos } from '../format/ese-error.js';
import { insertRecordSize, type PagePrefix, writeInsertRecord } from '../format/insert-record.js';
import type { LogRecord } from '../format/log-record.js';
import type { LogRecordFields } from '../format/log-record-encoder.js';
import { LOG_PAGE_FLAG, UNDO_OPERATION } from '../format/log-record-layout.js';
import type { LogRecordName } from '../format/log-record-type.js';
import type { NodeView, Page } from '../format/page.js';
import { encodeReplaceDiff } from '../format/replace-diff.js';
import { applyInsertion, applyMacro, applyRecord } from '../operations/apply.js';
import type { Insertion } from '../operations/node-operations.js';
import type { RedoContext, RedoPages } from '../operations/redo-context.js';
import { RedoMap } from '../operations/redo-map.js';
import type { NodeVersion } from './node-versions.js';
import type { Session, Transactions } from './transactions.js';
import type { Tree } from './tree-search.js';

/**
 * Every change of a page, carried out the one way there is: its log record is encoded and appended, and then
 * applied by the very function that recovery applies it with (format specification, chapter 5.1.7). The redo
 * gate stands in between and holds the stamps against each other.
 */
export interface PageChangesOptions {
  readonly dbid: number;
  readonly pageSize: number;
  readonly pages: RedoPages;
  readonly transactions: Transactions;
  /** The last stamp that the database has given out. */
  readonly dbtime: number;
  /** The database's own check before every change: whether it may be changed at all. */
  readonly beforeChange?: () => void;
}

const NO_BYTES = new Uint8Array(0);

/** What records of changes of one node are encoded from: one object for all, so that a change makes no garbage. */
export class NodeFields {
  procid = 0;
  dbid = 0;
  pgno = 0;
  dbtime = 0;
  dbtimeBefore = 0;
  trxBegin0 = 0;
  level = 0;
  iline = 0;
  pageFlags = 0;
  pgnoFDP = 0;
  objidFDP = 0;
  rceid = 0;
  rceidReplace = 0;
  cbPrefix = 0;
  cbOldData = 0;
  cbNewData = 0;
  fDiff2 = false;
  oper = 0;
  levelUndo = 0;
  delta = 0;
  cbOffset = 0;
  key: Uint8Array = NO_BYTES;
  data: Uint8Array = NO_BYTES;
  diff: Uint8Array = NO_BYTES;
  bookmarkKey: Uint8Array = NO_BYTES;
  bookmarkData: Uint8Array = NO_BYTES;
}

/** The same for an insert, which is applied without being read again. */
class InsertionFields extends NodeFields implements Insertion {
  readonly name = 'Insert';
  cbSuffix = 0;
  cbData = 0;
  /** Where key and data lie in the log, behind each other. */
  bytes: Uint8Array = NO_BYTES;
  keyAt = 0;
}

/** The changes of the pages of one database. */
export class PageChanges {
  readonly dbid: number;
  readonly context: RedoContext;
  readonly transactions: Transactions;
  #dbtime: number;
  readonly #lgpos = { generation: 0, isec: 0, ib: 0 };
  readonly #beforeChange: (() => void) | undefined;
  readonly #fields = new NodeFields();
  readonly #insertion = new InsertionFields();

  constructor(options: PageChangesOptions) {
    const { dbid, pageSize, pages, transactions } = options;
    this.dbid = dbid;
    this.transactions = transactions;
    this.#dbtime = options.dbtime;
    this.#beforeChange = options.beforeChange;
    this.context = {
      dbid,
      pageSize,
      lgpos: this.#lgpos,
      // Nothing that is logged now can be on a page yet: a stamp that says so is an error.
      genMaxRequired: 0,
      pages,
      redoMap: new RedoMap(),
      versions: transactions.versions,
    };
  }

  /** The last stamp that was given out. */
  get dbtime(): number {
    return this.#dbtime;
  }

  /** The next stamp; `skip` stamps before it are never used, as the engine does where it builds pages. */
  nextDbtime(skip = 0): number {
    this.#dbtime += 1 + skip;
    return this.#dbtime;
  }

  /** Begins a change: the transaction is logged, and nothing has gone wrong before. */
  begin(session: Session): void {
    this.transactions.assertUsable();
    this.#beforeChange?.();
    session.logBegin();
    this.transactions.encoder.clear();
  }

  prefix(session: Session, pgno: number, dbtimeBefore: number, iline: number, pageFlags: number): PagePrefix {
    const { procid, trxBegin0, level } = session;
    const dbtime = this.nextDbtime();
    return { procid, dbid: this.dbid, pgno, dbtime, dbtimeBefore, trxBegin0, level, iline, pageFlags };
  }

  /** Encodes a record behind those of the same change. */
  encode<N extends LogRecordName>(name: N, fields: LogRecordFields<N>): LogRecord {
    return this.transactions.encoder.encode(name, fields) as unknown as LogRecord;
  }

  /** Appends a record and applies it. From here on nothing may fail. */
  carryOut<N extends LogRecordName>(name: N, fields: LogRecordFields<N>): void {
    const record = this.encode(name, fields);
    const { transactions } = this;
    try {
      this.#setLgpos(transactions.log.append(record));
      applyRecord(record, this.context);
    } catch (error) {
      throw transactions.fail(error);
    }
  }

  /** Appends a record that changes no page. */
  log<N extends LogRecordName>(name: N, fields: LogRecordFields<N>): void {
    const record = this.encode(name, fields);
    this.transactions.guard(() => this.transactions.log.append(record));
  }

  /** Appends the records of a macro and applies them together; `between` are those that lie inside it. */
  carryOutMacro(
    records: readonly LogRecord[],
    between: readonly LogRecord[],
    end: readonly LogRecord[],
  ): void {
    const { log } = this.transactions;
    this.transactions.guard(() => {
      let lgpos: Lgpos | undefined;
      for (const record of records) lgpos = log.append(record);
      lgpos = log.append(...end);
      this.#setLgpos(lgpos);
      applyMacro(between, this.context);
    });
  }

  #setLgpos({ generation, isec, ib }: Lgpos): void {
    this.#lgpos.generation = generation;
    this.#lgpos.isec = isec;
    this.#lgpos.ib = ib;
  }

  // --- Changes of one node ---

  insert(
    session: Session,
    tree: Tree,
    page: Page,
    line: number,
    key: Uint8Array,
    data: Uint8Array,
    isVersioned: boolean,
  ): void {
    this.begin(session);
    const rceid = this.#rceid(isVersioned, key.length);
    const fields = this.#insertion;
    this.#fill(fields, session, tree, page, line, isVersioned);
    fields.rceid = rceid;
    fields.cbPrefix = page.prefixLengthFor(key);
    fields.cbSuffix = key.length - fields.cbPrefix;
    fields.cbData = data.length;
    fields.key = key;
    fields.data = data;
    this.#carryOutInsert(fields);
  }

  /** {@link carryOut} of the most frequent record: it is written where it stays in the log, and applied from there. */
  #carryOutInsert(fields: InsertionFields): void {
    const { log } = this.transactions;
    const size = insertRecordSize(fields);
    try {
      const at = log.reserve(size, this.#lgpos);
      if (at >= 0) {
        fields.keyAt = writeInsertRecord(log.view, log.bytes, at, fields);
        fields.bytes = log.bytes;
        applyInsertion(fields, this.context);
        return;
      }
    } catch (error) {
      throw this.transactions.fail(error);
    }
    this.carryOut('Insert', fields);
  }

  /** Brings back the flag-deleted node at `line`; in a tree with unique keys it gets new data. */
  revive(
    session: Session,
    tree: Tree,
    page: Page,
    line: number,
    key: Uint8Array,
    data: Uint8Array,
    isVersioned: boolean,
  ): void {
    this.begin(session);
    const rceid = this.#rceid(isVersioned, key.length + data.length);
    const rceidReplace = tree.isUnique ? this.#rceid(isVersioned, key.length + data.length) : 0;
    const fields = this.#node(session, tree, page, line, isVersioned);
    fields.rceid = rceid;
    fields.rceidReplace = rceidReplace;
    fields.key = key;
    fields.data = data;
    this.carryOut(tree.isUnique ? 'FlagInsertAndReplaceData' : 'FlagInsert', fields);
  }

  /** Replaces the data of the node at `line`, which `view` has read; equal data change nothing. */
  replace(
    session: Session,
    tree: Tree,
    page: Page,
    line: number,
    view: NodeView,
    data: Uint8Array,
    isVersioned: boolean,
  ): void {
    this.begin(session);
    const before = page.data(view);
    const diff = tree.isSpace ? undefined : encodeReplaceDiff(before, data, page.isLarge);
    if (diff?.length === 0) return;
    const rceid = this.#rceid(isVersioned, view.prefixLength + view.suffixLength + before.length);
    const fields = this.#node(session, tree, page, line, isVersioned);
    fields.rceid = rceid;
    fields.cbOldData = before.length;
    fields.cbNewData = data.length;
    fields.fDiff2 = diff !== undefined && page.isLarge;
    if (diff === undefined) {
      fields.data = data;
      this.carryOut('Replace', fields);
    } else {
      fields.diff = diff;
      this.carryOut('ReplaceD', fields);
    }
  }

  flagDelete(session: Session, tree: Tree, page: Page, line: number, isVersioned: boolean): void {
    this.begin(session);
    const rceid = this.#rceid(isVersioned, page.pageSize / 8);
    const fields = this.#node(session, tree, page, line, isVersioned);
    fields.rceid = rceid;
    this.carryOut('FlagDelete', fields);
  }

  /** Removes a node that no transaction can see. */
  delete(session: Session, tree: Tree, page: Page, line: number): void {
    this.begin(session);
    const fields = this.#node(session, tree, page, line, false);
    fields.rceid = 0;
    this.carryOut('Delete', fields);
  }

  /** Adds to the 4-byte number at `offset` in the data of a node. */
  delta(
    session: Session,
    tree: Tree,
    page: Page,
    line: number,
    key: Uint8Array,
    offset: number,
    delta: number,
  ): void {
    this.begin(session);
    const rceid = this.#rceid(true, key.length);
    const fields = this.#node(session, tree, page, line, true);
    fields.rceid = rceid;
    fields.delta = delta;
    fields.cbOffset = offset;
    fields.bookmarkKey = key;
    fields.bookmarkData = NO_BYTES;
    this.carryOut('Delta', fields);
  }

  /** Replaces tag 0 of a page: the space header or split buffer of a root, the prefix of another page. */
  setExternalHeader(session: Session, tree: Tree, page: Page, data: Uint8Array): void {
    this.begin(session);
    const fields = this.#node(session, tree, page, 0, false);
    fields.rceid = 0;
    fields.data = data;
    this.carryOut('SetExternalHeader', fields);
  }

  /** Logs how to undo a change, before its page is written or the change is undone. */
  logUndoInfo(version: NodeVersion): void {
    const { owner, rceid, operation, key, bookmarkData, before, pgno, pgnoFDP, objidFDP, growth } = version;
    const session = this.transactions.session(owner.procid);
    this.transactions.encoder.clear();
    this.carryOut('UndoInfo', {
      procid: session.procid,
      dbid: this.dbid,
      pgno,
      dbtime: DBTIME_NIL,
      dbtimeBefore: DBTIME_NIL,
      trxBegin0: session.trxBegin0,
      level: session.level,
      iline: 0,
      pageFlags: version.pageFlags & ~LOG_PAGE_FLAG.versioned,
      rceid,
      pgnoFDP,
      objidFDP,
      oper: operation,
      cbMaxSize: operation === UNDO_OPERATION.replace ? before.length : 0,
      cbDelta: operation === UNDO_OPERATION.replace ? growth : 0,
      bookmarkKey: key,
      bookmarkData,
      data: before,
    });
    this.transactions.versions.setLogged(version);
  }

  /** Takes a change back on the node at `line`. */
  undo(session: Session, tree: Tree, page: Page, line: number, version: NodeVersion): void {
    this.begin(session);
    const { rceid, operation, key, bookmarkData } = version;
    const fields = this.#node(session, tree, page, line, false);
    fields.rceid = rceid;
    fields.oper = operation;
    fields.levelUndo = session.level;
    fields.bookmarkKey = key;
    fields.bookmarkData = bookmarkData;
    this.carryOut('Undo', fields);
  }

  #node(session: Session, tree: Tree, page: Page, line: number, isVersioned: boolean): NodeFields {
    const fields = this.#fields;
    this.#fill(fields, session, tree, page, line, isVersioned);
    return fields;
  }

  #fill(
    fields: NodeFields,
    session: Session,
    tree: Tree,
    page: Page,
    line: number,
    isVersioned: boolean,
  ): void {
    fields.procid = session.procid;
    fields.dbid = this.dbid;
    fields.pgno = page.pgno;
    fields.dbtime = this.nextDbtime();
    fields.dbtimeBefore = page.dbtime;
    fields.trxBegin0 = session.trxBegin0;
    fields.level = session.level;
    fields.iline = line;
    fields.pageFlags = pageFlagsOf(tree, isVersioned);
    fields.pgnoFDP = tree.pgnoFdp;
    fields.objidFDP = tree.objid;
  }

  #rceid(isVersioned: boolean, bytes: number): number {
    if (!isVersioned) return 0;
    this.transactions.versions.ensureRoom(bytes);
    return this.transactions.nextRceid();
  }
}

/** Flags of a record of a change in this tree (format specification, chapter 10.1). */
export function pageFlagsOf(tree: Pick<Tree, 'isUnique' | 'isSpace'>, isVersioned: boolean): number {
  return (
    (isVersioned ? LOG_PAGE_FLAG.versioned : 0) |
    (tree.isUnique ? LOG_PAGE_FLAG.unique : 0) |
    (tree.isSpace ? LOG_PAGE_FLAG.space : 0)
  );
}
