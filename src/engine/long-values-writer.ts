import { type ByteWriter, reserve } from '../format/byte-writer.js';
import { compressSevenBit } from '../format/compression.js';
import { EseError } from '../format/ese-error.js';
import {
  decodeLongValueRoot,
  encodeLongValueRoot,
  formatLid,
  LID_32_MOST,
  type Lid,
  type LongValueRoot,
  longValueChunkLength,
  longValueChunkSize,
  longValueKey,
  nextLid,
  readLongValueChunk,
  readLongValueKey,
} from '../format/long-value.js';
import type { Session } from './transactions.js';
import { SessionTreeCursor } from './tree-cursor.js';
import type { Tree } from './tree-search.js';
import type { TreeWriter } from './tree-writer.js';
import type { Reader } from './visible-node.js';

/**
 * Writing the long values of one table (format specification, chapters 2.4, 3.3 and 10.8): values that are
 * stored apart from their records, cut into chunks, with a count of the records that refer to them.
 */
export interface LongValuesOptions {
  readonly trees: TreeWriter;
  readonly tree: Tree;
  /** Page size in bytes. */
  readonly pageSize: number;
  /** LVChunkMax of the table's catalog row. */
  readonly lvChunkMax?: number | undefined;
}

/** Offset of the reference count in the data of a root. */
const OFFSET_REFERENCES = 0;
const REFERENCES_ONE = 1;
/** Most bytes of a value. */
const SIZE_MOST = 0x7fffffff;

/** The long values of one table. */
export class LongValues {
  readonly tree: Tree;
  readonly chunkSize: number;
  readonly #trees: TreeWriter;
  readonly #cursors = new Map<Reader, SessionTreeCursor>();
  #lastLid: Lid | undefined;

  constructor({ trees, tree, pageSize, lvChunkMax }: LongValuesOptions) {
    this.tree = tree;
    this.#trees = trees;
    this.chunkSize = longValueChunkSize(pageSize, lvChunkMax);
  }

  #cursor(reader: Reader): SessionTreeCursor {
    let cursor = this.#cursors.get(reader);
    if (cursor === undefined) {
      const { changes } = this.#trees;
      cursor = new SessionTreeCursor({
        pages: changes.context.pages,
        versions: changes.transactions.versions,
        dbid: changes.dbid,
        tree: this.tree,
        reader,
      });
      this.#cursors.set(reader, cursor);
    }
    return cursor;
  }

  /** Forgets what is kept for a session that ends. */
  forget(reader: Reader): void {
    this.#cursors.delete(reader);
  }

  /**
   * Stores a value and returns its id; one record refers to it.
   *
   * @throws EseError JET_errOutOfLongValueIDs, and what {@link TreeWriter.insert} throws
   */
  create(session: Session, value: Uint8Array, isCompressed: boolean): Lid {
    const lid = this.#nextLid();
    // The first chunk goes before the root, as the engine does it.
    if (value.length > 0) this.#insertChunk(session, lid, 0, value, value.length, isCompressed);
    const root = encodeLongValueRoot({
      referenceCount: REFERENCES_ONE,
      size: value.length,
      encrypted: false,
    });
    this.#trees.insert(session, this.tree, longValueKey(lid), root, true);
    for (let offset = this.chunkSize; offset < value.length; offset += this.chunkSize) {
      this.#insertChunk(session, lid, offset, value, value.length, isCompressed);
    }
    return lid;
  }

  #insertChunk(
    session: Session,
    lid: Lid,
    offset: number,
    value: Uint8Array,
    size: number,
    isCompressed: boolean,
  ): void {
    const plain = value.subarray(offset, offset + longValueChunkLength(size, offset, this.chunkSize));
    this.#trees.insert(session, this.tree, longValueKey(lid, offset), storedChunk(plain, isCompressed), true);
  }

  /** What a session sees of a value. Throws JET_errLVCorrupted if there is none. */
  root(reader: Reader, lid: Readonly<Lid>): LongValueRoot {
    const cursor = this.#cursor(reader);
    if (!cursor.seekExact(longValueKey(lid))) {
      throw new EseError('JET_errLVCorrupted', `there is no long value ${formatLid(lid)}`);
    }
    return decodeLongValueRoot(cursor.data, 0, cursor.data.length);
  }

  /**
   * Appends bytes `offset .. offset + limit - 1` of a value to `out`, fewer at its end; returns how many.
   *
   * @throws EseError JET_errLVCorrupted, JET_errColumnNoChunk
   */
  read(reader: Reader, lid: Readonly<Lid>, out: ByteWriter, limit = SIZE_MOST, offset = 0): number {
    const { size } = this.root(reader, lid);
    const end = Math.min(size, offset + limit);
    if (offset >= end) return 0;
    const { chunkSize } = this;
    const cursor = this.#cursor(reader);
    const first = Math.floor(offset / chunkSize) * chunkSize;
    const scratch = new Uint8Array(chunkSize);
    for (let at = first; at < end; at += chunkSize) {
      if (!cursor.seekExact(longValueKey(lid, at))) {
        throw new EseError(
          'JET_errColumnNoChunk',
          `the chunk at ${at} of value ${formatLid(lid)} is missing`,
        );
      }
      const length = longValueChunkLength(size, at, chunkSize);
      readLongValueChunk(cursor.data, 0, cursor.data.length, length, scratch, 0);
      const from = Math.max(0, offset - at);
      const to = Math.min(length, end - at);
      reserve(out, to - from);
      out.bytes.set(scratch.subarray(from, to), out.length);
      out.length += to - from;
    }
    return end - offset;
  }

  /** Appends to a value to which one record refers. Throws JET_errColumnTooBig beyond 2 GiB. */
  append(session: Session, lid: Readonly<Lid>, more: Uint8Array, isCompressed: boolean): void {
    const { size, encrypted } = this.root(session, lid);
    const newSize = size + more.length;
    if (newSize > SIZE_MOST) throw new EseError('JET_errColumnTooBig', `a long value of ${newSize} bytes`);
    if (more.length === 0) return;
    const { chunkSize } = this;
    let done = 0;
    const partial = size % chunkSize;
    if (partial !== 0) {
      const offset = size - partial;
      const chunk = new Uint8Array(Math.min(chunkSize, partial + more.length));
      const cursor = this.#cursor(session);
      if (!cursor.seekExact(longValueKey(lid, offset))) throw new EseError('JET_errColumnNoChunk');
      readLongValueChunk(cursor.data, 0, cursor.data.length, partial, chunk, 0);
      done = chunk.length - partial;
      chunk.set(more.subarray(0, done), partial);
      this.#trees.replace(
        session,
        this.tree,
        longValueKey(lid, offset),
        storedChunk(chunk, isCompressed),
        true,
      );
    }
    for (; done < more.length; done += chunkSize) {
      const plain = more.subarray(done, done + chunkSize);
      const key = longValueKey(lid, size + done);
      this.#trees.insert(session, this.tree, key, storedChunk(plain, isCompressed), true);
    }
    const { referenceCount } = this.root(session, lid);
    const root = encodeLongValueRoot({ referenceCount, size: newSize, encrypted });
    this.#trees.replace(session, this.tree, longValueKey(lid), root, true);
  }

  /** One more record refers to a value, or one less: at zero the clean-up removes it. */
  addReference(session: Session, lid: Readonly<Lid>, by: 1 | -1): void {
    this.#trees.delta(session, this.tree, longValueKey(lid), OFFSET_REFERENCES, by);
  }

  /** {@link remove} for a value to which no record refers, if it is still there. */
  removeIfUnreferenced(session: Session, lid: Readonly<Lid>): void {
    const cursor = this.#cursor(session);
    if (!cursor.seekExact(longValueKey(lid))) return;
    if (decodeLongValueRoot(cursor.data, 0, cursor.data.length).referenceCount === 0)
      this.remove(session, lid);
  }

  /** Marks all nodes of a value as deleted: root and chunks, the last first. */
  remove(session: Session, lid: Readonly<Lid>): void {
    const { size } = this.root(session, lid);
    const last = size === 0 ? -1 : Math.floor((size - 1) / this.chunkSize) * this.chunkSize;
    for (let offset = last; offset >= 0; offset -= this.chunkSize) {
      this.#trees.flagDelete(session, this.tree, longValueKey(lid, offset), NO_BYTES, true);
    }
    this.#trees.flagDelete(session, this.tree, longValueKey(lid), NO_BYTES, true);
  }

  /** The id behind the highest in the tree, flag-deleted ones included: none is given out twice. */
  #nextLid(): Lid {
    const lid = this.#lastLid ?? this.#highestLid();
    if (lid.high === 0 && lid.low >= LID_32_MOST) throw new EseError('JET_errOutOfLongValueIDs');
    this.#lastLid = nextLid(lid);
    return this.#lastLid;
  }

  #highestLid(): Lid {
    const { search } = this.#trees;
    search.findEnd(this.tree);
    const { leaf } = search;
    const lid: Lid = { high: 0, low: 0 };
    if (leaf.nodeCount === 0) return lid;
    leaf.readNode(leaf.nodeCount - 1, search.node);
    const key = leaf.key(search.node);
    readLongValueKey(key, key.length, lid);
    return lid;
  }
}

const NO_BYTES = new Uint8Array(0);

/** A chunk as it is stored: packed if that makes it shorter, since only its length says so. */
function storedChunk(plain: Uint8Array, isCompressed: boolean): Uint8Array {
  const packed = isCompressed ? compressSevenBit(plain) : undefined;
  return packed !== undefined && packed.length < plain.length ? packed : plain;
}
