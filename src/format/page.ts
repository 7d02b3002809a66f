import { readDbtime, writeDbtime } from './dbtime.js';
import { EseError } from './ese-error.js';

/**
 * A database page: header, nodes growing upward from the data start, tags growing downward from the
 * end (format specification, chapters 1.3 and 1.5).
 *
 * | offset | size | field |
 * |---|---|---|
 * | 0 | 8 | checksum |
 * | 8 | 8 | dbtime of the last change |
 * | 16 | 4 | pgno of the left sibling |
 * | 20 | 4 | pgno of the right sibling |
 * | 24 | 4 | objid of the tree |
 * | 28 | 2 | cbFree |
 * | 30 | 2 | cbUncommittedFree |
 * | 32 | 2 | ibMicFree |
 * | 34 | 2 | itagState: number of tags (12 bits), reserved tags (3 bits) |
 * | 36 | 4 | flags |
 * | 40 | 24 | checksums of blocks 1, 2, 3 (pages above 8 KiB) |
 * | 64 | 4 | pgno (pages above 8 KiB) |
 *
 * A tag is four bytes: u16 size, u16 offset from the data start. Tag 0 is the external header; node
 * `line` is tag `line + reservedTags`. A node is `[u16 prefix length] u16 suffix length, suffix, data`.
 */
export const PAGE_FLAG = {
  root: 0x1,
  leaf: 0x2,
  parentOfLeaf: 0x4,
  empty: 0x8,
  repair: 0x10,
  spaceTree: 0x20,
  index: 0x40,
  longValue: 0x80,
  nonUnique: 0x400,
  newRecord: 0x800,
  newChecksum: 0x2000,
  scrubbed: 0x4000,
  flushType: 0x18000,
  preInit: 0x20000,
  fdpDelete: 0x40000,
} as const;

/** Flags of a node (format specification, chapter 1.5.2). */
export const NODE_FLAG = { version: 0x1, deleted: 0x2, compressed: 0x4 } as const;

/** Page sizes that a database may have, in bytes. */
export const PAGE_SIZES: readonly number[] = [2048, 4096, 8192, 16384, 32768];

/** Largest small page; larger ones have the long header and keep the node flags in the nodes. */
export const SMALL_PAGE_MAX = 8192;

const SMALL_HEADER_BYTES = 40;
const LARGE_HEADER_BYTES = 80;
const TAG_BYTES = 4;
const TAG_COUNT_MASK = 0x0fff;
const RESERVED_TAGS_SHIFT = 12;
const RESERVED_TAGS_MASK = 7;
const SMALL_TAG_MASK = 0x1fff;
const LARGE_TAG_MASK = 0x7fff;
const NODE_FLAGS_SHIFT = 13;
const LENGTH_MASK = 0x1fff;
/** Engine's rule: a prefix is used only if it saves more than the two bytes that it costs (chapter 1.5.4). */
const PREFIX_MIN = 3;

const OFFSET_DBTIME = 8;
const OFFSET_PREV = 16;
const OFFSET_NEXT = 20;
const OFFSET_OBJID = 24;
const OFFSET_CB_FREE = 28;
const OFFSET_CB_UNCOMMITTED_FREE = 30;
const OFFSET_IB_MIC_FREE = 32;
const OFFSET_ITAG_STATE = 34;
const OFFSET_FLAGS = 36;
const OFFSET_LARGE_PGNO = 64;

/** Bytes of the page header, for a page size in bytes. */
export function pageHeaderBytes(pageSize: number): number {
  return pageSize > SMALL_PAGE_MAX ? LARGE_HEADER_BYTES : SMALL_HEADER_BYTES;
}

/** File offset of a page: two header copies lie before page 1. */
export function pageOffset(pgno: number, pageSize: number): number {
  return (pgno + 1) * pageSize;
}

/**
 * Where the parts of one node lie, as offsets into the bytes of its page. One object serves a whole
 * loop: {@link Page.readNode} fills it.
 */
export interface NodeView {
  flags: number;
  /** Bytes of the key taken from the page's prefix key (tag 0). */
  prefixLength: number;
  suffixOffset: number;
  suffixLength: number;
  dataOffset: number;
  dataLength: number;
}

/** An empty {@link NodeView} to be filled. */
export function createNodeView(): NodeView {
  return { flags: 0, prefixLength: 0, suffixOffset: 0, suffixLength: 0, dataOffset: 0, dataLength: 0 };
}

/**
 * View of one page over bytes that it does not own. Reading never copies. Structure is trusted only
 * after {@link checkPageStructure}; every accessor stays inside the page whatever the bytes say.
 */
export class Page {
  bytes: Uint8Array;
  view: DataView;
  pgno: number;
  readonly pageSize: number;
  readonly headerBytes: number;
  readonly isLarge: boolean;
  private readonly tagMask: number;

  constructor(bytes: Uint8Array, pgno: number) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.pgno = pgno;
    this.pageSize = bytes.byteLength;
    this.isLarge = this.pageSize > SMALL_PAGE_MAX;
    this.headerBytes = pageHeaderBytes(this.pageSize);
    this.tagMask = this.isLarge ? LARGE_TAG_MASK : SMALL_TAG_MASK;
  }

  /** Size of the data area (nodes, free space and tags) in bytes. */
  get dataAreaBytes(): number {
    return this.pageSize - this.headerBytes;
  }

  get dbtime(): number {
    return readDbtime(this.view, OFFSET_DBTIME);
  }
  set dbtime(value: number) {
    writeDbtime(this.view, OFFSET_DBTIME, value);
  }
  get pgnoPrev(): number {
    return this.view.getUint32(OFFSET_PREV, true);
  }
  set pgnoPrev(value: number) {
    this.view.setUint32(OFFSET_PREV, value, true);
  }
  get pgnoNext(): number {
    return this.view.getUint32(OFFSET_NEXT, true);
  }
  set pgnoNext(value: number) {
    this.view.setUint32(OFFSET_NEXT, value, true);
  }
  get objid(): number {
    return this.view.getUint32(OFFSET_OBJID, true);
  }
  set objid(value: number) {
    this.view.setUint32(OFFSET_OBJID, value, true);
  }
  get cbFree(): number {
    return this.view.getUint16(OFFSET_CB_FREE, true);
  }
  private set cbFree(value: number) {
    this.view.setUint16(OFFSET_CB_FREE, value, true);
  }
  get cbUncommittedFree(): number {
    return this.view.getUint16(OFFSET_CB_UNCOMMITTED_FREE, true);
  }
  set cbUncommittedFree(value: number) {
    this.view.setUint16(OFFSET_CB_UNCOMMITTED_FREE, value, true);
  }
  get ibMicFree(): number {
    return this.view.getUint16(OFFSET_IB_MIC_FREE, true);
  }
  private set ibMicFree(value: number) {
    this.view.setUint16(OFFSET_IB_MIC_FREE, value, true);
  }
  /** Number of tags, the reserved ones included. */
  get tagCount(): number {
    return this.view.getUint16(OFFSET_ITAG_STATE, true) & TAG_COUNT_MASK;
  }
  private set tagCount(value: number) {
    const state = this.view.getUint16(OFFSET_ITAG_STATE, true);
    this.view.setUint16(OFFSET_ITAG_STATE, (state & ~TAG_COUNT_MASK) | value, true);
  }
  /** Reserved tags as stored; 0 and 1 both mean that tag 0 alone is reserved. */
  get storedReservedTags(): number {
    return (this.view.getUint16(OFFSET_ITAG_STATE, true) >> RESERVED_TAGS_SHIFT) & RESERVED_TAGS_MASK;
  }
  /** Tags in front of the first node. */
  get reservedTags(): number {
    return this.storedReservedTags || 1;
  }
  /** Number of nodes, the flag-deleted ones included. */
  get nodeCount(): number {
    return Math.max(0, this.tagCount - this.reservedTags);
  }
  get flags(): number {
    return this.view.getUint32(OFFSET_FLAGS, true);
  }
  set flags(value: number) {
    this.view.setUint32(OFFSET_FLAGS, value, true);
  }
  /** The page number that a large page stores of itself; small pages store none. */
  get storedPgno(): number | undefined {
    return this.isLarge ? this.view.getUint32(OFFSET_LARGE_PGNO, true) : undefined;
  }
  get isRoot(): boolean {
    return (this.flags & PAGE_FLAG.root) !== 0;
  }
  get isLeaf(): boolean {
    return (this.flags & PAGE_FLAG.leaf) !== 0;
  }
  /** Free bytes that lie together behind the last node. */
  get contiguousFree(): number {
    return this.dataAreaBytes - this.ibMicFree - TAG_BYTES * this.tagCount;
  }

  private tagPosition(itag: number): number {
    return this.pageSize - TAG_BYTES * (itag + 1);
  }
  /** Size of a tag's bytes. */
  tagSize(itag: number): number {
    return this.view.getUint16(this.tagPosition(itag), true) & this.tagMask;
  }
  /** Offset of a tag's bytes in the page (not in the data area). */
  tagOffset(itag: number): number {
    return this.headerBytes + (this.view.getUint16(this.tagPosition(itag) + 2, true) & this.tagMask);
  }
  /** Flags of the node in a tag (tag 0 has none). */
  tagFlags(itag: number): number {
    if (!this.isLarge) return this.view.getUint16(this.tagPosition(itag) + 2, true) >> NODE_FLAGS_SHIFT;
    const offset = this.tagOffset(itag);
    return this.tagSize(itag) >= 2 && offset + 2 <= this.pageSize
      ? this.view.getUint16(offset, true) >> NODE_FLAGS_SHIFT
      : 0;
  }

  /** The external header: the space header or split buffer of a root, the prefix key of other pages. */
  get externalHeader(): Uint8Array {
    if (this.tagCount === 0) return this.bytes.subarray(0, 0);
    const offset = this.tagOffset(0);
    return this.bytes.subarray(offset, offset + this.tagSize(0));
  }

  /** Fills `into` with the parts of node `line` (0 = first). Throws `JET_errNodeCorrupted`. */
  readNode(line: number, into: NodeView): void {
    this.readNodeOver(line, into, this.tagSize(0));
  }

  /** {@link readNode} on a page whose prefix key has `prefixBytes`, wherever it is. */
  private readNodeOver(line: number, into: NodeView, prefixBytes: number): void {
    const itag = this.nodeTag(line);
    let at = this.tagOffset(itag);
    const end = at + this.tagSize(itag);
    const flags = this.tagFlags(itag);
    let prefixLength = 0;
    if (end > this.pageSize) this.nodeError(line, 'reaches past the end of the page');
    if ((flags & NODE_FLAG.compressed) !== 0) {
      if (at + 4 > end) this.nodeError(line, 'is too short for its key lengths');
      prefixLength = this.view.getUint16(at, true) & LENGTH_MASK;
      if (prefixLength > prefixBytes) this.nodeError(line, 'takes more of the prefix key than there is');
      at += 2;
    }
    if (at + 2 > end) this.nodeError(line, 'is too short for its key length');
    const suffixLength = this.view.getUint16(at, true) & LENGTH_MASK;
    at += 2;
    if (at + suffixLength > end) this.nodeError(line, 'is shorter than its key');
    into.flags = flags;
    into.prefixLength = prefixLength;
    into.suffixOffset = at;
    into.suffixLength = suffixLength;
    into.dataOffset = at + suffixLength;
    into.dataLength = end - into.dataOffset;
  }

  /** The tag of node `line`. Throws `JET_errBadLineCount` when there is no such node. */
  private nodeTag(line: number): number {
    const itag = line + this.reservedTags;
    if (line < 0 || itag >= this.tagCount) {
      throw new EseError('JET_errBadLineCount', `there is no node ${line}`, { pgno: this.pgno });
    }
    return itag;
  }

  private nodeError(line: number, what: string): never {
    throw new EseError('JET_errNodeCorrupted', `node ${line} ${what}`, { pgno: this.pgno });
  }

  /** Copies the key of a node into `into` (which must be long enough), from `at` on, and returns its length. */
  copyKey(node: NodeView, into: Uint8Array, at = 0): number {
    const { prefixLength, suffixLength, suffixOffset } = node;
    if (prefixLength > 0) copyBytes(this.bytes, this.tagOffset(0), into, at, prefixLength);
    copyBytes(this.bytes, suffixOffset, into, at + prefixLength, suffixLength);
    return prefixLength + suffixLength;
  }

  /** The key of a node as bytes of its own. */
  key(node: NodeView): Uint8Array {
    const key = new Uint8Array(node.prefixLength + node.suffixLength);
    this.copyKey(node, key);
    return key;
  }

  /** The data of a node, as a view. */
  data(node: NodeView): Uint8Array {
    return this.bytes.subarray(node.dataOffset, node.dataOffset + node.dataLength);
  }

  /**
   * Compares the key of a node with `key`: negative when the node's is smaller. Bytes compare unsigned,
   * the shorter key is smaller when all its bytes agree (chapter 2.1.3).
   */
  compareKey(node: NodeView, key: Uint8Array): number {
    const prefix = this.tagOffset(0);
    const length = node.prefixLength + node.suffixLength;
    const common = Math.min(length, key.length);
    const bytes = this.bytes;
    for (let i = 0; i < common; i++) {
      const own = bytes[i < node.prefixLength ? prefix + i : node.suffixOffset + i - node.prefixLength] ?? 0;
      const difference = own - (key[i] ?? 0);
      if (difference !== 0) return difference;
    }
    return length - key.length;
  }

  /**
   * Where a bookmark belongs among the nodes: the first line whose key is not smaller than `key` (and whose data are
   * not smaller than `data`, where keys are equal and data are given). If that node has another bookmark, or there is
   * none, the complement of the line (`~line`, which is negative).
   *
   * @throws EseError JET_errNodeCorrupted
   */
  findLine(key: Uint8Array, data?: Uint8Array): number {
    const shared = this.sharedWithPrefix(key);
    let low = 0;
    let high = this.nodeCount;
    let isExact = false;
    while (low < high) {
      const middle = (low + high) >>> 1;
      let order = this.compareLine(middle, key, shared);
      if (order === 0 && data !== undefined) order = this.compareLineData(middle, data);
      if (order < 0) low = middle + 1;
      else {
        high = middle;
        isExact ||= order === 0;
      }
    }
    return isExact ? low : ~low;
  }

  /**
   * The line of an internal page that leads to a key: the first whose own key is empty or greater; the number of
   * nodes if there is none. Throws JET_errNodeCorrupted.
   */
  findChild(key: Uint8Array): number {
    const shared = this.sharedWithPrefix(key);
    let low = 0;
    let high = this.nodeCount;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const order = this.compareLine(middle, key, shared);
      // An empty key is smaller by just as much as the other is long.
      if (order > 0 || (order === -key.length && this.isKeyEmpty(middle))) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  /** Compares the bookmark of node `line` with a key, and data if there are any: negative when the node's is smaller. */
  compareBookmark(line: number, key: Uint8Array, data?: Uint8Array): number {
    const order = this.compareLine(line, key, this.sharedWithPrefix(key));
    return order === 0 && data !== undefined ? this.compareLineData(line, data) : order;
  }

  /** Number of bytes that a key has in common with the prefix key. */
  private sharedWithPrefix(key: Uint8Array): number {
    const limit = Math.min(this.tagSize(0), key.length);
    const prefix = this.tagOffset(0);
    const { bytes } = this;
    let shared = 0;
    while (shared < limit && bytes[prefix + shared] === key[shared]) shared++;
    return shared;
  }

  /** {@link compareKey} of a node by its line, for a key that has `shared` bytes in common with the prefix key. */
  private compareLine(line: number, key: Uint8Array, shared: number): number {
    const { bytes, view, isLarge } = this;
    const tag = this.tagPosition(line + this.reservedTags);
    const word = view.getUint16(tag + 2, true);
    let at = this.headerBytes + (word & this.tagMask);
    const end = at + (view.getUint16(tag, true) & this.tagMask);
    if (at + 2 > end || end > this.pageSize) this.readNode(line, ORDER_NODE);
    let length = view.getUint16(at, true);
    const flags = (isLarge ? length : word) >> NODE_FLAGS_SHIFT;
    length &= LENGTH_MASK;
    let same = 0;
    if ((flags & NODE_FLAG.compressed) !== 0) {
      const prefixLength = length;
      if (at + 4 > end || prefixLength > this.tagSize(0)) this.readNode(line, ORDER_NODE);
      if (shared < prefixLength) {
        return shared === key.length ? 1 : (bytes[this.tagOffset(0) + shared] ?? 0) - (key[shared] ?? 0);
      }
      same = prefixLength;
      at += 2;
      length = view.getUint16(at, true) & LENGTH_MASK;
    }
    at += 2;
    if (at + length > end) this.readNode(line, ORDER_NODE);
    const from = at - same;
    const total = same + length;
    const limit = Math.min(total, key.length);
    for (let i = same; i < limit; i++) {
      const difference = (bytes[from + i] ?? 0) - (key[i] ?? 0);
      if (difference !== 0) return difference;
    }
    return total - key.length;
  }

  /** Whether a node has no key at all: the last pointer at the right edge of a tree. */
  private isKeyEmpty(line: number): boolean {
    this.readNode(line, ORDER_NODE);
    return ORDER_NODE.prefixLength + ORDER_NODE.suffixLength === 0;
  }

  /** Compares the data of a node with `data`, as bytes; the shorter is smaller when all its bytes agree. */
  private compareLineData(line: number, data: Uint8Array): number {
    this.readNode(line, ORDER_NODE);
    const { bytes } = this;
    const { dataOffset, dataLength } = ORDER_NODE;
    const common = Math.min(dataLength, data.length);
    for (let i = 0; i < common; i++) {
      const difference = (bytes[dataOffset + i] ?? 0) - (data[i] ?? 0);
      if (difference !== 0) return difference;
    }
    return dataLength - data.length;
  }

  /** Child page number in a node of an internal page. Throws `JET_errNodeCorrupted`. */
  childPgno(node: NodeView): number {
    if (node.dataLength !== 4) {
      throw new EseError('JET_errNodeCorrupted', 'an internal node does not hold one page number', {
        pgno: this.pgno,
      });
    }
    return this.view.getUint32(node.dataOffset, true);
  }

  // --- Changes. Each keeps the space accounting of chapter 1.5.5 true. ---

  /** Makes this a new page: all zero but flags, objid, dbtime and an empty tag 0 (chapter 10.2.1). */
  initialize(flags: number, objid: number, dbtime: number): void {
    this.zero(0, this.pageSize);
    this.initializeHeader(flags, objid, dbtime);
  }

  /** {@link initialize} but for what lies behind the header, which the caller writes, the tags included. */
  initializeHeader(flags: number, objid: number, dbtime: number): void {
    this.zero(0, this.headerBytes);
    this.flags = flags | PAGE_FLAG.newRecord;
    this.objid = objid;
    this.dbtime = dbtime;
    if (this.isLarge) this.view.setUint32(OFFSET_LARGE_PGNO, this.pgno, true);
    this.tagCount = 1;
    this.cbFree = this.dataAreaBytes - TAG_BYTES;
  }

  /** Makes this a copy of another page of the same size, in all but its number. */
  copyFrom(other: Page): void {
    this.bytes.set(other.bytes);
    if (this.isLarge) this.view.setUint32(OFFSET_LARGE_PGNO, this.pgno, true);
  }

  /** In memory that threads share, a fill is far slower than a copy. */
  private zero(from: number, to: number): void {
    if (to - from < SHORT_COPY) for (let at = from; at < to; at++) this.bytes[at] = 0;
    else this.bytes.set(ZEROS.subarray(0, to - from), from);
  }

  private setTag(itag: number, size: number, offset: number, flags: number): void {
    const position = this.tagPosition(itag);
    const ib = offset - this.headerBytes;
    this.view.setUint16(position, size, true);
    this.view.setUint16(position + 2, this.isLarge ? ib : ib | (flags << NODE_FLAGS_SHIFT), true);
  }

  /** Sets the flags of node `line`. */
  setNodeFlags(line: number, flags: number): void {
    const itag = this.nodeTag(line);
    const at = this.isLarge ? this.tagOffset(itag) : this.tagPosition(itag) + 2;
    const word = this.view.getUint16(at, true);
    this.view.setUint16(at, (word & LENGTH_MASK) | (flags << NODE_FLAGS_SHIFT), true);
  }

  /** Moves the bytes of all tags together so that the free space is contiguous. */
  private reorganize(): void {
    const count = this.tagCount;
    const order = TAG_ORDER.subarray(0, count);
    for (let itag = 0; itag < count; itag++) order[itag] = this.tagOffset(itag) * (TAG_COUNT_MASK + 1) + itag;
    order.sort();
    let to = this.headerBytes;
    for (let i = 0; i < count; i++) {
      const itag = (order[i] ?? 0) & TAG_COUNT_MASK;
      const size = this.tagSize(itag);
      const from = this.tagOffset(itag);
      const flags = this.isLarge ? 0 : this.tagFlags(itag);
      if (size > 0 && from !== to) this.bytes.copyWithin(to, from, from + size);
      this.setTag(itag, size, to, flags);
      to += size;
    }
    this.ibMicFree = to - this.headerBytes;
    this.zero(to, this.pageSize - TAG_BYTES * count);
  }

  /** Most nodes and reserved tags that a page of this size can have (chapter 1.5.6). */
  get tagCountMax(): number {
    return Math.min(TAG_COUNT_MASK, Math.ceil(this.dataAreaBytes / 4) - 1);
  }

  private assertFits(bytes: number): void {
    if (bytes > this.cbFree) {
      throw new EseError('JET_errRecordTooBig', `${bytes} bytes do not fit into ${this.cbFree} free bytes`, {
        pgno: this.pgno,
      });
    }
  }

  /**
   * Inserts a node at `line` (0 .. nodeCount). `prefixLength` bytes of the key come from tag 0, `suffix`
   * is the rest. Throws `JET_errRecordTooBig` when the page has not the space.
   */
  insertNode(line: number, flags: number, prefixLength: number, suffix: Uint8Array, data: Uint8Array): void {
    const at = this.openNode(line, flags, prefixLength, suffix.length, data.length);
    this.bytes.set(suffix, at);
    this.bytes.set(data, at + suffix.length);
  }

  /** {@link insertNode} with suffix and data as they lie behind each other in `source`, from `from` on. */
  insertNodeFrom(
    line: number,
    flags: number,
    prefixLength: number,
    source: Uint8Array,
    from: number,
    suffixLength: number,
    dataLength: number,
  ): void {
    const at = this.openNode(line, flags, prefixLength, suffixLength, dataLength);
    copyBytes(source, from, this.bytes, at, suffixLength + dataLength);
  }

  /** Makes the room of a new node and writes its lengths; returns where its suffix begins. */
  private openNode(
    line: number,
    flags: number,
    prefixLength: number,
    suffixLength: number,
    dataLength: number,
  ): number {
    const compressed = prefixLength > 0;
    const size = (compressed ? 4 : 2) + suffixLength + dataLength;
    const count = this.tagCount;
    const itag = line + this.reservedTags;
    if (line < 0 || itag > count || count >= this.tagCountMax) {
      throw new EseError('JET_errBadLineCount', `a node cannot become node ${line}`, { pgno: this.pgno });
    }
    if (dataLength === 0 || suffixLength > LENGTH_MASK || prefixLength > this.tagSize(0)) {
      this.nodeError(line, 'would have no data, or a key that the page cannot hold');
    }
    this.assertFits(size + TAG_BYTES);
    if (this.contiguousFree < size + TAG_BYTES) this.reorganize();
    this.openTag(itag, count);
    const ibMicFree = this.ibMicFree;
    const offset = this.headerBytes + ibMicFree;
    this.tagCount = count + 1;
    const nodeFlags = (flags & ~NODE_FLAG.compressed) | (compressed ? NODE_FLAG.compressed : 0);
    this.setTag(itag, size, offset, nodeFlags);
    let at = offset;
    if (compressed) {
      this.view.setUint16(at, prefixLength, true);
      at += 2;
    }
    this.view.setUint16(at, suffixLength, true);
    this.ibMicFree = ibMicFree + size;
    this.cbFree -= size + TAG_BYTES;
    if (this.isLarge) this.setNodeFlags(line, nodeFlags);
    return at + 2;
  }

  /** Whether the prefix key begins with the `length` bytes of `key` from `from` on. */
  prefixBeginsWith(key: Uint8Array, from: number, length: number): boolean {
    if (length > this.tagSize(0)) return false;
    const prefix = this.tagOffset(0);
    const { bytes } = this;
    for (let i = 0; i < length; i++) {
      if (bytes[prefix + i] !== key[from + i]) return false;
    }
    return true;
  }

  /** Makes room in the tag array for tag `itag`, by moving the later ones down one place. */
  private openTag(itag: number, count: number): void {
    const low = this.tagPosition(count - 1);
    if (itag < count) {
      this.bytes.copyWithin(low - TAG_BYTES, low, this.tagPosition(itag) + TAG_BYTES);
    }
  }

  /** Length of the prefix with which `key` is stored on this page: 0, or more than 2 (chapter 12.1.4). */
  prefixLengthFor(key: Uint8Array): number {
    return this.prefixLengthOf(key, key.length);
  }

  /** Inserts a node by its whole key, compressed against the page's prefix as the engine does it. */
  insertKeyed(line: number, flags: number, key: Uint8Array, data: Uint8Array): void {
    const prefixLength = this.prefixLengthOf(key, key.length);
    const at = this.openNode(line, flags, prefixLength, key.length - prefixLength, data.length);
    copyBytes(key, prefixLength, this.bytes, at, key.length - prefixLength);
    copyBytes(data, 0, this.bytes, at + key.length - prefixLength, data.length);
  }

  /** Inserts a copy of a node of another page, compressed against the prefix of this one. */
  insertCopy(line: number, flags: number, source: Page, node: NodeView): void {
    const { prefixLength, suffixLength, dataOffset, dataLength } = node;
    const key = KEY_SCRATCH;
    const keyLength = prefixLength + suffixLength;
    source.copyKey(node, key);
    const prefix = this.prefixLengthOf(key, keyLength);
    const at = this.openNode(line, flags, prefix, keyLength - prefix, dataLength);
    copyBytes(key, prefix, this.bytes, at, keyLength - prefix);
    copyBytes(source.bytes, dataOffset, this.bytes, at + keyLength - prefix, dataLength);
  }

  private prefixLengthOf(key: Uint8Array, keyLength: number): number {
    const limit = Math.min(this.tagSize(0), keyLength);
    if (limit < PREFIX_MIN || this.isRoot) return 0;
    const { bytes } = this;
    const prefix = this.tagOffset(0);
    let common = 0;
    while (common < limit && bytes[prefix + common] === key[common]) common++;
    return common >= PREFIX_MIN ? common : 0;
  }

  /** Removes node `line` physically. */
  deleteNode(line: number): void {
    const itag = this.nodeTag(line);
    const count = this.tagCount;
    const size = this.tagSize(itag);
    const end = this.tagOffset(itag) + size - this.headerBytes;
    const low = this.tagPosition(count - 1);
    if (itag < count - 1) this.bytes.copyWithin(low + TAG_BYTES, low, this.tagPosition(itag));
    this.view.setUint32(low, 0, true);
    this.tagCount = count - 1;
    this.cbFree += size + TAG_BYTES;
    if (end === this.ibMicFree) this.ibMicFree -= size;
    if (count - 1 === 1 && this.tagSize(0) === 0) this.ibMicFree = 0;
  }

  /** Replaces the data of node `line`; key, compression and flags stay. */
  replaceData(line: number, data: Uint8Array): void {
    const node = createNodeView();
    this.readNode(line, node);
    const itag = line + this.reservedTags;
    const keyBytes = node.dataOffset - this.tagOffset(itag);
    this.resizeTag(itag, keyBytes + data.length, keyBytes);
    this.bytes.set(data, this.tagOffset(itag) + keyBytes);
  }

  /** Replaces the external header (tag 0). */
  setExternalHeader(bytes: Uint8Array): void {
    this.resizeTag(0, bytes.length, 0);
    this.bytes.set(bytes, this.tagOffset(0));
  }

  /** Gives a tag `size` bytes, of which the first `keep` are kept (chapter 1.5.5, "Replace"). */
  private resizeTag(itag: number, size: number, keep: number): void {
    const old = this.tagSize(itag);
    const offset = this.tagOffset(itag);
    const flags = this.isLarge ? 0 : this.tagFlags(itag);
    const isLast = offset + old - this.headerBytes === this.ibMicFree;
    const growth = size - old;
    if (growth <= 0) {
      this.setTag(itag, size, offset, flags);
      if (isLast) this.ibMicFree += growth;
    } else {
      this.assertFits(growth);
      if (isLast && old > 0 && this.contiguousFree >= growth) {
        this.setTag(itag, size, offset, flags);
        this.ibMicFree += growth;
      } else {
        const head = this.bytes.slice(offset, offset + Math.min(keep, old));
        this.setTag(itag, 0, offset, flags);
        if (isLast) this.ibMicFree -= old;
        if (this.contiguousFree < size) this.reorganize();
        const to = this.headerBytes + this.ibMicFree;
        this.setTag(itag, size, to, flags);
        this.bytes.set(head, to);
        this.ibMicFree += size;
      }
    }
    this.cbFree -= growth;
  }

  /**
   * Re-encodes all nodes for another prefix key and makes it the external header, in the order of the
   * engine, so that the bytes come out as its own (chapter 10.3.5): the old prefix goes first, then nodes
   * that get shorter, then those that get longer, then the new prefix comes.
   */
  changePrefix(prefix: Uint8Array): void {
    const old = new Uint8Array(this.externalHeader);
    const count = this.nodeCount;
    const node = createNodeView();
    const lengths = new Uint16Array(count);
    const key = KEY_SCRATCH;
    for (let line = 0; line < count; line++) {
      this.readNode(line, node);
      lengths[line] = prefixLengthAgainst(key, this.copyKey(node, key), prefix);
    }
    this.resizeTag(0, 0, 0);
    for (const grows of [false, true]) {
      for (let line = 0; line < count; line++) {
        this.readNodeOver(line, node, Math.max(old.length, prefix.length));
        const to = lengths[line] ?? 0;
        if (to !== node.prefixLength && to < node.prefixLength === grows) this.reencode(line, node, to, old);
      }
    }
    this.setExternalHeader(prefix);
  }

  /** Stores node `line`, whose key prefix is now in `old`, with `to` bytes of its key taken from `prefix`. */
  private reencode(line: number, node: NodeView, to: number, old: Uint8Array): void {
    const { prefixLength, suffixLength, suffixOffset, dataOffset, dataLength, flags } = node;
    const keyLength = prefixLength + suffixLength;
    const head = to > 0 ? 4 : 2;
    const size = head + keyLength - to + dataLength;
    const key = KEY_SCRATCH;
    copyBytes(old, 0, key, 0, prefixLength);
    copyBytes(this.bytes, suffixOffset, key, prefixLength, suffixLength);
    const data = DATA_SCRATCH;
    copyBytes(this.bytes, dataOffset, data, 0, dataLength);
    const itag = line + this.reservedTags;
    this.resizeTag(itag, size, 0);
    const at = this.tagOffset(itag);
    if (to > 0) this.view.setUint16(at, to, true);
    this.view.setUint16(at + head - 2, keyLength - to, true);
    copyBytes(key, to, this.bytes, at + head, keyLength - to);
    copyBytes(data, 0, this.bytes, at + head + keyLength - to, dataLength);
    this.setNodeFlags(line, (flags & ~NODE_FLAG.compressed) | (to > 0 ? NODE_FLAG.compressed : 0));
  }

  /**
   * States the space of a page whose tags and nodes were written all at once, without gaps: `ibMicFree` bytes
   * of nodes, external header included, under `tagCount` tags.
   */
  setSpace(tagCount: number, ibMicFree: number): void {
    this.tagCount = tagCount;
    this.ibMicFree = ibMicFree;
    this.cbFree = this.dataAreaBytes - ibMicFree - TAG_BYTES * tagCount;
  }

  /** Removes all nodes and the external header. */
  clear(): void {
    const reserved = this.reservedTags;
    this.zero(this.headerBytes, this.pageSize);
    this.tagCount = reserved;
    this.ibMicFree = 0;
    this.cbUncommittedFree = 0;
    this.cbFree = this.dataAreaBytes - TAG_BYTES * reserved;
  }
}

/** The node that is compared. */
const ORDER_NODE = createNodeView();

/** Room for the longest key that lengths on a page can state. */
const KEY_SCRATCH = new Uint8Array(2 * (LENGTH_MASK + 1));

/** Room for the data of a node that moves. */
const DATA_SCRATCH = new Uint8Array(LARGE_TAG_MASK + 1);
/** Tags in the order of their bytes: offset and number of each. */
const TAG_ORDER = new Uint32Array(TAG_COUNT_MASK + 1);
const ZEROS = new Uint8Array(LARGE_TAG_MASK + 1);

/** Fewer bytes than this are copied one by one: a view of them would cost more. */
const SHORT_COPY = 48;

function copyBytes(source: Uint8Array, from: number, into: Uint8Array, at: number, count: number): void {
  if (count < SHORT_COPY) {
    for (let i = 0; i < count; i++) into[at + i] = source[from + i] ?? 0;
  } else {
    into.set(source.subarray(from, from + count), at);
  }
}

/** Longest common prefix of a key of `length` bytes with `prefix`, or 0 where it saves nothing. */
function prefixLengthAgainst(key: Uint8Array, length: number, prefix: Uint8Array): number {
  const limit = Math.min(prefix.length, length);
  let common = 0;
  while (common < limit && prefix[common] === key[common]) common++;
  return common >= PREFIX_MIN ? common : 0;
}

/** The first structural fault of a page: the JET error, what is wrong, and which part of the page it is in. */
export interface PageFault {
  readonly error: 'JET_errDatabaseCorrupted' | 'JET_errPageTagCorrupted' | 'JET_errNodeCorrupted';
  readonly what: string;
  readonly part: 'tags' | 'flags' | 'node' | 'prefix';
  /** The node at fault. */
  readonly line?: number;
}

function spaceFault(what: string): PageFault {
  return { error: 'JET_errDatabaseCorrupted', what, part: 'tags' };
}

function tagFault(what: string): PageFault {
  return { error: 'JET_errPageTagCorrupted', what, part: 'tags' };
}

function flagFault(what: string): PageFault {
  return { error: 'JET_errDatabaseCorrupted', what, part: 'flags' };
}

function nodeFault(what: string, line: number): PageFault {
  return { error: 'JET_errNodeCorrupted', what, part: 'node', line };
}

/**
 * Checks what one page says of itself, without its tree: counters, tags, node lengths, space equation
 * (chapter 1.7, steps 5 to 11). Returns the first fault, or `undefined` for a sound page.
 *
 * `lastPgno` bounds the child page numbers of internal pages.
 */
export function checkPageStructure(page: Page, lastPgno = 0xffffffff): PageFault | undefined {
  const area = page.dataAreaBytes;
  const count = page.tagCount;
  const flags = page.flags;
  const isEmpty = (flags & PAGE_FLAG.empty) !== 0;
  const isPreInit = (flags & PAGE_FLAG.preInit) !== 0;
  if (page.cbFree > area) return spaceFault('cbFree exceeds the data area');
  if (page.cbUncommittedFree > page.cbFree) return spaceFault('cbUncommittedFree exceeds cbFree');
  if (page.ibMicFree > area) return spaceFault('ibMicFree lies behind the data area');
  if (count * TAG_BYTES > area || count >= area / 4) return tagFault(`${count} tags do not fit`);
  if (isEmpty && isPreInit) return flagFault('the page is both empty and preInit');
  if (count === 0 && !isEmpty && !isPreInit) return tagFault('the page has no tags');
  if (page.ibMicFree + TAG_BYTES * count > area) return tagFault('the tags reach into the data');
  if ((flags & PAGE_FLAG.longValue) !== 0 && (flags & PAGE_FLAG.index) !== 0) {
    return flagFault('the page claims to be both index and long value');
  }
  if ((flags & PAGE_FLAG.leaf) !== 0 && (flags & PAGE_FLAG.parentOfLeaf) !== 0) {
    return flagFault('the page claims to be both leaf and parent of leaves');
  }
  if ((flags & PAGE_FLAG.nonUnique) !== 0 && (flags & PAGE_FLAG.index) === 0) {
    return flagFault('only an index may have keys that are not unique');
  }
  if ((flags & PAGE_FLAG.root) !== 0 && (page.pgnoPrev !== 0 || page.pgnoNext !== 0)) {
    return flagFault('a root page has siblings');
  }
  const reserved = page.reservedTags;
  const node = createNodeView();
  let used = 0;
  let overlaps = false;
  let lastEnd = 0;
  for (let itag = 0; itag < count; itag++) {
    const size = page.tagSize(itag);
    const start = page.tagOffset(itag) - page.headerBytes;
    if (size === 0) {
      if (itag >= reserved) return tagFault(`tag ${itag} is empty`);
      continue;
    }
    if (start + size > page.ibMicFree) return tagFault(`tag ${itag} reaches past the used data`);
    used += size;
    if (start < lastEnd) overlaps = true;
    lastEnd = Math.max(lastEnd, start + size);
    if (itag < reserved) continue;
    const line = itag - reserved;
    try {
      page.readNode(line, node);
    } catch (error) {
      if (!(error instanceof EseError)) throw error;
      return { ...nodeFault(error.detail, line), part: isPrefixTooLong(page, itag) ? 'prefix' : 'node' };
    }
    if (node.dataLength === 0) return nodeFault(`node ${line} has no data`, line);
    if ((flags & PAGE_FLAG.leaf) === 0 && !isEmpty) {
      if (node.dataLength !== 4) return nodeFault(`node ${line} does not hold one page number`, line);
      const child = page.childPgno(node);
      if (child === 0 || child > lastPgno) return nodeFault(`node ${line} points to page ${child}`, line);
    }
  }
  // Tags lie in any order; only when one starts before an earlier one ended can any two overlap.
  if (overlaps && tagsOverlap(page)) return tagFault('two tags overlap');
  if (page.cbFree !== area - used - TAG_BYTES * count) {
    return spaceFault(`cbFree is ${page.cbFree}, the tags leave ${area - used - TAG_BYTES * count} bytes`);
  }
  return undefined;
}

/** Whether a node takes more of the prefix key than there is. */
function isPrefixTooLong(page: Page, itag: number): boolean {
  return (
    (page.tagFlags(itag) & NODE_FLAG.compressed) !== 0 &&
    page.tagSize(itag) >= 4 &&
    (page.view.getUint16(page.tagOffset(itag), true) & LENGTH_MASK) > page.tagSize(0)
  );
}

/** Size of the tag that begins at each offset of the data area; all zero between two calls. */
const sizeAt = new Uint16Array(LARGE_TAG_MASK + 1);

/** Whether two tags of a page share bytes. All of them lie below `ibMicFree`. */
function tagsOverlap(page: Page): boolean {
  const { tagCount, headerBytes, ibMicFree } = page;
  let unmet = 0;
  for (let itag = 0; itag < tagCount; itag++) {
    const size = page.tagSize(itag);
    if (size === 0) continue;
    unmet++;
    sizeAt[page.tagOffset(itag) - headerBytes] = size;
  }
  // Going from the end of each tag to the next beginning meets all of them, unless one lies inside another.
  for (let at = 0; at < ibMicFree; ) {
    const size = sizeAt[at] as number;
    at += size === 0 ? 1 : size;
    if (size !== 0) unmet--;
  }
  for (let itag = 0; itag < tagCount; itag++) sizeAt[page.tagOffset(itag) - headerBytes] = 0;
  return unmet !== 0;
}
