import { createHash, type Hash } from 'node:crypto';
import type { LeafScan } from '../../engine/bulk/leaf-scan.js';
import type { BuiltTree, BulkWriter } from '../../engine/bulk/tree-builder.js';
import type { TreeRegion } from '../../engine/bulk/tree-region.js';
import type { TreeRoot } from '../../engine/tree-reader.js';
import { createByteWriter } from '../../format/byte-writer.js';
import { COLUMN_FLAG, type ColumnDefinition, fixedColumnSize, isFixedColumn } from '../../format/column.js';
import { EseError } from '../../format/ese-error.js';
import {
  type Lid,
  LONG_VALUE_ROOT,
  longValueKey,
  REFERENCES_PARTIALLY_DELETED,
  readLongValueKey,
} from '../../format/long-value.js';
import {
  createNodeView,
  NODE_FLAG,
  type NodeView,
  PAGE_FLAG,
  type Page,
  SMALL_PAGE_MAX,
} from '../../format/page.js';
import { type ColumnIds, createRecordRewriter } from './column-ids.js';
import { LongValueIds } from './long-value-ids.js';
import { createRecordAreas, locateAreas, taggedFormat, visitLids } from './record-scan.js';

/** Copying the trees of a table, node by node in their order (format specification, chapter 7.3). */

/** Where nodes come from, and where they go. */
export interface TreeCopy {
  readonly scan: LeafScan;
  readonly writer: BulkWriter;
}

/** A step of the work: one leaf of the source was read. Between two of them others may run. */
export type Steps<T> = Generator<void, T, undefined>;

/** What is to be changed in the records of a table. */
export interface RecordChanges {
  /** Long values that the records refer to; undefined where the table has none. */
  readonly longValues: LongValueIds | undefined;
  /** New column ids, where columns are left out. */
  readonly columns: ColumnIds | undefined;
  /** Columns whose value 0 deletes the record. */
  readonly deleteOnZero: readonly ColumnDefinition[];
  /** A column whose highest value is to be found. */
  readonly autoIncrement: ColumnDefinition | undefined;
}

/** What copying the records found. */
export interface CopiedRecords {
  readonly records: number;
  /** Keys of the records that were left out, as text of one byte a character; undefined where there are none. */
  readonly skipped: ReadonlySet<string> | undefined;
  readonly autoIncrementMax: bigint;
}

/** Columns of a table whose value 0 deletes the record. */
export function deleteOnZeroColumns(columns: readonly ColumnDefinition[]): readonly ColumnDefinition[] {
  return columns.filter(
    ({ flags, columnId }) => (flags & COLUMN_FLAG.deleteOnZero) !== 0 && isFixedColumn(columnId),
  );
}

/** Calls `visit` for each leaf of a tree, in order; a step each. */
function* eachLeaf(scan: LeafScan, root: TreeRoot, visit: (page: Page) => void): Steps<void> {
  for (const page of scan.leaves(root)) {
    if ((page.flags & PAGE_FLAG.newRecord) === 0) {
      throw new EseError('JET_errInvalidDatabaseVersion', 'records of an obsolete format are not read', {
        pgno: page.pgno,
      });
    }
    try {
      visit(page);
    } catch (error) {
      throw error instanceof EseError ? error.at({ pgno: page.pgno }) : error;
    }
    yield;
  }
}

/** Calls `visit` for each live node of a leaf, in order; the node view is `node`. */
function eachLiveNode(page: Page, node: NodeView, visit: (line: number) => void): void {
  const { nodeCount } = page;
  for (let line = 0; line < nodeCount; line++) {
    page.readNode(line, node);
    if ((node.flags & NODE_FLAG.deleted) === 0) visit(line);
  }
}

/** Calls `visit` for each live node of a tree, in order; the node view is reused. */
export function* liveNodes(
  scan: LeafScan,
  root: TreeRoot,
  visit: (page: Page, node: NodeView) => void,
): Steps<void> {
  const node = createNodeView();
  yield* eachLeaf(scan, root, (page) => eachLiveNode(page, node, () => visit(page, node)));
}

/** A function that adds the live nodes of a leaf to a tree, as they are. */
function leafAdder(writer: BulkWriter): (page: Page) => void {
  const memory = writer.kernel.bytes;
  const node = createNodeView();
  return (page) => {
    const base = page.bytes.byteOffset - memory.byteOffset;
    const prefix = base + page.tagOffset(0);
    const addNode = (): void => {
      const { prefixLength, suffixOffset, suffixLength, dataLength } = node;
      writer.addNode(prefix, prefixLength, base + suffixOffset, suffixLength, dataLength);
    };
    if (writer.bulk === undefined) {
      eachLiveNode(page, node, addNode);
      return;
    }
    writer.addLeaf(base, (line) => {
      page.readNode(line, node);
      addNode();
    });
  };
}

/** Counts the references of a table's records to its long values. */
export function* countLongValues(
  { scan, writer }: TreeCopy,
  table: TreeRoot,
  deleteOnZero: readonly ColumnDefinition[],
  keepsIds: boolean,
): Steps<LongValueIds> {
  const ids = new LongValueIds(keepsIds);
  const format = taggedFormat(writer.pageSize > SMALL_PAGE_MAX);
  const areas = createRecordAreas();
  let bytes: Uint8Array;
  const count = (at: number, length: number): void => ids.count(bytes, at, length);
  yield* liveNodes(scan, table, (page, { dataOffset, dataLength }) => {
    bytes = page.bytes;
    const end = dataOffset + dataLength;
    locateAreas(bytes, dataOffset, end, format, areas);
    if (isDeletedByZero(bytes, dataOffset, areas, deleteOnZero)) return;
    visitLids(bytes, end, areas, format, count);
  });
  ids.seal();
  return ids;
}

function isDeletedByZero(
  bytes: Uint8Array,
  start: number,
  { fidFixedLast, bitmap }: ReturnType<typeof createRecordAreas>,
  columns: readonly ColumnDefinition[],
): boolean {
  for (const column of columns) {
    const { columnId, fixedOffset } = column;
    const bit = columnId - 1;
    const isStored =
      columnId <= fidFixedLast && (((bytes[bitmap + (bit >> 3)] as number) >> (bit & 7)) & 1) === 0;
    const end = start + fixedOffset + fixedColumnSize(column);
    if (isStored && end <= bitmap && bytes.subarray(start + fixedOffset, end).every((byte) => byte === 0)) {
      return true;
    }
  }
  return false;
}

/** Copies the records of a table. */
export function* copyRecords(
  { scan, writer }: TreeCopy,
  table: TreeRoot,
  into: TreeRegion,
  changes: RecordChanges,
): Steps<CopiedRecords> {
  const { longValues, columns, deleteOnZero, autoIncrement } = changes;
  const format = taggedFormat(writer.pageSize > SMALL_PAGE_MAX);
  const areas = createRecordAreas();
  const node = createNodeView();
  let bytes: Uint8Array;
  const translate = (at: number, length: number): void => longValues?.translate(bytes, at, length);
  let skipped: Set<string> | undefined;
  let autoIncrementMax = 0n;

  /** Changes the records of a leaf where they lie, in memory; those that are to be left out become deleted ones. */
  const change = (page: Page): void => {
    bytes = page.bytes;
    eachLiveNode(page, node, (line) => {
      const { dataOffset, dataLength } = node;
      const end = dataOffset + dataLength;
      locateAreas(bytes, dataOffset, end, format, areas);
      if (isDeletedByZero(bytes, dataOffset, areas, deleteOnZero)) {
        skipped ??= new Set();
        skipped.add(Buffer.from(page.key(node)).toString('latin1'));
        page.setNodeFlags(line, node.flags | NODE_FLAG.deleted);
        return;
      }
      if (autoIncrement !== undefined) {
        const value = integerOf(bytes, dataOffset, areas.bitmap, areas.fidFixedLast, autoIncrement);
        if (value > autoIncrementMax) autoIncrementMax = value;
      }
      if (longValues !== undefined) visitLids(bytes, end, areas, format, translate);
    });
  };
  const needsChange = longValues !== undefined || deleteOnZero.length > 0 || autoIncrement !== undefined;
  const add = columns === undefined ? leafAdder(writer) : leafRewriter(writer, columns);

  into.begin();
  yield* eachLeaf(scan, table, (page) => {
    if (needsChange) change(page);
    add(page);
  });
  const { nodes } = into.finishTree();
  return { records: nodes, skipped, autoIncrementMax };
}

/** A function that adds the live records of a leaf to a tree, with the ids that their columns have now. */
function leafRewriter(writer: BulkWriter, columns: ColumnIds): (page: Page) => void {
  const rewriter = createRecordRewriter(columns, taggedFormat(writer.pageSize > SMALL_PAGE_MAX));
  const rewritten = createByteWriter(writer.pageSize);
  const key = new Uint8Array(writer.pageSize);
  const node = createNodeView();
  return (page) =>
    eachLiveNode(page, node, () => {
      rewritten.length = 0;
      rewriter.append(page.bytes, node.dataOffset, node.dataOffset + node.dataLength, rewritten);
      writer.add(key, page.copyKey(node, key), rewritten.bytes, 0, rewritten.length);
    });
}

/** The value of a fixed column as an unsigned number; 0 where it is not stored. */
function integerOf(
  bytes: Uint8Array,
  start: number,
  bitmap: number,
  fidFixedLast: number,
  column: ColumnDefinition,
): bigint {
  const from = start + column.fixedOffset;
  const size = fixedColumnSize(column);
  if (column.columnId > fidFixedLast || from + size > bitmap) return 0n;
  let value = 0n;
  for (let i = size - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[from + i] as number);
  return value;
}

/**
 * Copies the entries of a secondary index in their order: keys stay, and bookmarks are keys of records, which
 * stay too, so that nothing needs to be computed (chapter 7.3.3).
 */
export function* copyIndex(
  { scan, writer }: TreeCopy,
  index: TreeRoot,
  into: TreeRegion,
  skipped: ReadonlySet<string> | undefined,
): Steps<BuiltTree> {
  const add = leafAdder(writer);
  const node = createNodeView();
  into.begin();
  yield* eachLeaf(scan, index, (page) => {
    if (skipped !== undefined) {
      eachLiveNode(page, node, (line) => {
        const bookmark = Buffer.from(page.data(node)).toString('latin1');
        if (skipped.has(bookmark)) page.setNodeFlags(line, node.flags | NODE_FLAG.deleted);
      });
    }
    add(page);
  });
  return into.finishTree();
}

/**
 * Finds long values of one table that are stored in the same bytes, and lets the first of them stand for all (chapter
 * 7.3.4). Values that are equal but are packed in another way stay apart, since a column may not allow the other form;
 * so do ids of different widths, whose references would change the length of records.
 */
export function* replaceEqualLongValues(
  { scan, writer }: TreeCopy,
  tree: TreeRoot,
  ids: LongValueIds,
): Steps<void> {
  const key = new Uint8Array(writer.pageSize);
  const lid: Lid = { high: 0, low: 0 };
  const open: Lid = { high: 0, low: 0 };
  const firsts = new Map<string, Lid>();
  let hash: Hash | undefined;
  const end = (): void => {
    if (hash === undefined) return;
    const name = `${open.high === 0 ? 4 : 8}/${hash.digest('base64')}`;
    hash = undefined;
    const first = firsts.get(name);
    if (first === undefined) firsts.set(name, { ...open });
    else ids.replace(open, first);
  };
  yield* liveNodes(scan, tree, (page, node) => {
    const { dataOffset, dataLength } = node;
    const offset = readLongValueKey(key, page.copyKey(node, key), lid);
    const isSame = lid.high === open.high && lid.low === open.low;
    if (offset === LONG_VALUE_ROOT) {
      end();
      open.high = lid.high;
      open.low = lid.low;
      // Size and flags: what comes behind the number of references.
      if (ids.references(lid) > 0) hash = createHash('sha256').update(page.data(node).subarray(4));
    } else if (isSame && hash !== undefined) {
      const place = Buffer.alloc(8);
      place.writeUInt32LE(offset, 0);
      place.writeUInt32LE(dataLength, 4);
      hash.update(place).update(page.bytes.subarray(dataOffset, dataOffset + dataLength));
    }
  });
  end();
  ids.endReplacing();
}

/** What copying the long values found. */
export interface CopiedLongValues {
  readonly longValues: number;
  /** Those that no record refers to: they are left out. */
  readonly orphans: number;
  /** Those whose root said another number of references. */
  readonly recounted: number;
}

/**
 * Copies the long values that records refer to, each with the number of its references.
 *
 * @throws EseError JET_errLVCorrupted if a record refers to one that is not there, or not whole
 */
export function* copyLongValues(
  { scan, writer }: TreeCopy,
  tree: TreeRoot,
  into: TreeRegion,
  ids: LongValueIds,
): Steps<CopiedLongValues> {
  const key = new Uint8Array(writer.pageSize);
  const root = new Uint8Array(ROOT_BYTES_MOST);
  const lid: Lid = { high: 0, low: 0 };
  const old: Lid = { high: 0, low: 0 };
  /** The long value that the nodes belong to, and whether it is copied. */
  let isCopied = false;
  let orphans = 0;
  let copied = 0;
  let recounted = 0;
  into.begin();
  yield* liveNodes(scan, tree, (page, node) => {
    const { bytes } = page;
    const { dataOffset, dataLength } = node;
    const offset = readLongValueKey(key, page.copyKey(node, key), lid);
    if (offset === LONG_VALUE_ROOT) {
      old.high = lid.high;
      old.low = lid.low;
      const references = ids.references(lid);
      isCopied = references > 0;
      if (!isCopied) {
        if (!ids.isReplaced(lid)) orphans++;
        return;
      }
      copied++;
      if (dataLength > root.length || dataLength < 4) {
        throw new EseError('JET_errLVCorrupted', `a long-value root of ${dataLength} bytes`);
      }
      root.set(bytes.subarray(dataOffset, dataOffset + dataLength));
      const view = new DataView(root.buffer);
      if (view.getUint32(0, true) === REFERENCES_PARTIALLY_DELETED) {
        throw new EseError('JET_errLVCorrupted', 'a record refers to a long value that is half deleted');
      }
      if (view.getUint32(0, true) !== references) recounted++;
      view.setUint32(0, references, true);
      ids.renumber(lid);
      const newKey = longValueKey(lid);
      writer.add(newKey, newKey.length, root, 0, dataLength);
      return;
    }
    // Chunks follow their root; those without one have nobody who refers to them, or are reported missing below.
    if (!isCopied || lid.high !== old.high || lid.low !== old.low) return;
    ids.renumber(lid);
    const newKey = longValueKey(lid, offset);
    writer.add(newKey, newKey.length, bytes, dataOffset, dataOffset + dataLength);
  });
  into.finishTree();
  if (copied !== ids.size) {
    throw new EseError(
      'JET_errLVCorrupted',
      `${ids.size - copied} long values are missing that records refer to`,
    );
  }
  return { longValues: copied, orphans, recounted };
}

/** The number of long values in a tree. */
export function* countRoots({ scan, writer }: TreeCopy, tree: TreeRoot): Steps<number> {
  const key = new Uint8Array(writer.pageSize);
  const lid: Lid = { high: 0, low: 0 };
  let roots = 0;
  yield* liveNodes(scan, tree, (page, node) => {
    if (readLongValueKey(key, page.copyKey(node, key), lid) === LONG_VALUE_ROOT) roots++;
  });
  return roots;
}

/** References, size and flags (chapter 2.4.3). */
const ROOT_BYTES_MOST = 9;
