import type { FileHandle, FileSystem } from '../../io/file-system.js';

/**
 * Sorts nodes by key and data, as many as there are: what does not fit into memory goes to a temporary file in
 * sorted runs, which are merged at the end (format specification, chapter 7.5.1).
 */

/** Memory for the nodes of one sort, in bytes. */
const MEMORY_BYTES = 24 * 1024 * 1024;
/** Of the runs in the file, so much is read at once. */
const RUN_READ_BYTES = 128 * 1024;
const WRITE_BYTES = 1024 * 1024;
/** u16 length of the key, u16 length of the data. */
const HEAD_BYTES = 4;
const ENTRIES_FIRST = 1024;
const MEMORY_FIRST = 128 * 1024;

/** A node; valid until the next one. */
export interface SortedEntry {
  bytes: Uint8Array;
  keyStart: number;
  keyLength: number;
  dataLength: number;
}

interface Run {
  readonly start: number;
  readonly end: number;
}

export class EntrySort {
  readonly #fs: FileSystem;
  readonly #path: string;
  /** It grows up to its limit. */
  #memory: Uint8Array;
  readonly #memoryMost: number;
  #tail = 0;
  #starts = new Uint32Array(ENTRIES_FIRST);
  #count = 0;
  #total = 0;
  #file: FileHandle | undefined;
  #fileEnd = 0;
  readonly #runs: Run[] = [];

  /**
   * @param path of the temporary file; what lies there is replaced
   * @param memoryBytes how much is kept in memory
   */
  constructor(fs: FileSystem, path: string, memoryBytes = MEMORY_BYTES) {
    this.#fs = fs;
    this.#path = path;
    this.#memoryMost = memoryBytes;
    this.#memory = new Uint8Array(Math.min(MEMORY_FIRST, memoryBytes));
  }

  /** Nodes that were added. */
  get size(): number {
    return this.#total;
  }

  /** Adds a node: the first `keyLength` bytes of `key`, and `data[start..end)`. Each is shorter than 64 KiB. */
  add(key: Uint8Array, keyLength: number, data: Uint8Array, start: number, end: number): void {
    const dataLength = end - start;
    const size = HEAD_BYTES + keyLength + dataLength;
    if (this.#tail + size > this.#memory.length) this.#makeRoom(size);
    if (this.#count === this.#starts.length) {
      const larger = new Uint32Array(2 * this.#count);
      larger.set(this.#starts);
      this.#starts = larger;
    }
    const memory = this.#memory;
    const at = this.#tail;
    this.#starts[this.#count++] = at;
    memory[at] = keyLength & 0xff;
    memory[at + 1] = keyLength >> 8;
    memory[at + 2] = dataLength & 0xff;
    memory[at + 3] = dataLength >> 8;
    for (let i = 0; i < keyLength; i++) memory[at + HEAD_BYTES + i] = key[i] as number;
    for (let i = 0; i < dataLength; i++) memory[at + HEAD_BYTES + keyLength + i] = data[start + i] as number;
    this.#tail = at + size;
    this.#total++;
  }

  #makeRoom(size: number): void {
    if (this.#tail + size > this.#memoryMost) this.#spill();
    if (this.#tail + size <= this.#memory.length) return;
    const doubled = Math.min(2 * this.#memory.length, this.#memoryMost);
    const larger = new Uint8Array(Math.max(this.#tail + size, doubled));
    larger.set(this.#memory.subarray(0, this.#tail));
    this.#memory = larger;
  }

  #sortMemory(): Uint32Array {
    const memory = this.#memory;
    return this.#starts.subarray(0, this.#count).sort((a, b) => compareEntries(memory, a, memory, b));
  }

  #spill(): void {
    if (this.#count === 0) return;
    if (this.#file === undefined) {
      if (this.#fs.exists(this.#path)) this.#fs.unlink(this.#path);
      this.#file = this.#fs.open(this.#path, 'create');
    }
    const file = this.#file;
    const out = new Uint8Array(WRITE_BYTES);
    let used = 0;
    const start = this.#fileEnd;
    const flush = (): void => {
      file.writeAt(out.subarray(0, used), this.#fileEnd);
      this.#fileEnd += used;
      used = 0;
    };
    for (const at of this.#sortMemory()) {
      const size = entryBytes(this.#memory, at);
      if (used + size > out.length) flush();
      out.set(this.#memory.subarray(at, at + size), used);
      used += size;
    }
    flush();
    this.#runs.push({ start, end: this.#fileEnd });
    this.#count = 0;
    this.#tail = 0;
  }

  /** All nodes in their order, of equal ones each. May be called again; nothing can be added any more. */
  *sorted(): Generator<SortedEntry, void, undefined> {
    const entry: SortedEntry = { bytes: this.#memory, keyStart: 0, keyLength: 0, dataLength: 0 };
    const memory = new Source(this.#memory, this.#sortMemory());
    const sources: EntrySource[] = this.#runs.map((run) => new FileSource(this.#file, run));
    const heap = [memory, ...sources].filter((source) => source.next());
    while (heap.length > 0) {
      let least = 0;
      for (let i = 1; i < heap.length; i++) {
        const [a, b] = [heap[i] as EntrySource, heap[least] as EntrySource];
        if (compareEntries(a.bytes, a.at, b.bytes, b.at) < 0) least = i;
      }
      const source = heap[least] as EntrySource;
      const { bytes, at } = source;
      entry.bytes = bytes;
      entry.keyStart = at + HEAD_BYTES;
      entry.keyLength = u16(bytes, at);
      entry.dataLength = u16(bytes, at + 2);
      yield entry;
      if (!source.next()) heap.splice(least, 1);
    }
  }

  /** Removes the temporary file. */
  close(): void {
    const file = this.#file;
    if (file === undefined) return;
    this.#file = undefined;
    file.close();
    this.#fs.unlink(this.#path);
  }
}

interface EntrySource {
  bytes: Uint8Array;
  at: number;
  /** Goes to the next entry; false at the end. */
  next(): boolean;
}

class Source implements EntrySource {
  readonly bytes: Uint8Array;
  readonly #order: Uint32Array;
  #next = 0;
  at = 0;

  constructor(bytes: Uint8Array, order: Uint32Array) {
    this.bytes = bytes;
    this.#order = order;
  }

  next(): boolean {
    const at = this.#order[this.#next++];
    if (at === undefined) return false;
    this.at = at;
    return true;
  }
}

class FileSource implements EntrySource {
  bytes = new Uint8Array(RUN_READ_BYTES);
  at = 0;
  readonly #file: FileHandle | undefined;
  readonly #end: number;
  #offset: number;
  #filled = 0;
  #next = 0;

  constructor(file: FileHandle | undefined, { start, end }: Run) {
    this.#file = file;
    this.#offset = start;
    this.#end = end;
  }

  next(): boolean {
    if (!this.#has(HEAD_BYTES) || !this.#has(entryBytes(this.bytes, this.#next))) return false;
    this.at = this.#next;
    this.#next += entryBytes(this.bytes, this.at);
    return true;
  }

  /** Makes sure that `size` bytes of the next entry are there; false at the end. */
  #has(size: number): boolean {
    if (this.#next + size <= this.#filled) return true;
    this.bytes.copyWithin(0, this.#next, this.#filled);
    this.#filled -= this.#next;
    this.#next = 0;
    const wanted = Math.min(this.bytes.length - this.#filled, this.#end - this.#offset);
    if (wanted > 0) {
      const read =
        this.#file?.readAt(this.bytes.subarray(this.#filled, this.#filled + wanted), this.#offset) ?? 0;
      this.#filled += read;
      this.#offset += read;
    }
    return size <= this.#filled;
  }
}

function u16(bytes: Uint8Array, at: number): number {
  return (bytes[at] as number) | ((bytes[at + 1] as number) << 8);
}

function entryBytes(bytes: Uint8Array, at: number): number {
  return HEAD_BYTES + u16(bytes, at) + u16(bytes, at + 2);
}

/** By key, the shorter one first; then by data. */
function compareEntries(a: Uint8Array, atA: number, b: Uint8Array, atB: number): number {
  const keyA = u16(a, atA);
  const keyB = u16(b, atB);
  const byKey = compareBytes(a, atA + HEAD_BYTES, keyA, b, atB + HEAD_BYTES, keyB);
  if (byKey !== 0) return byKey;
  return compareBytes(
    a,
    atA + HEAD_BYTES + keyA,
    u16(a, atA + 2),
    b,
    atB + HEAD_BYTES + keyB,
    u16(b, atB + 2),
  );
}

function compareBytes(
  a: Uint8Array,
  atA: number,
  lengthA: number,
  b: Uint8Array,
  atB: number,
  lengthB: number,
): number {
  const limit = Math.min(lengthA, lengthB);
  for (let i = 0; i < limit; i++) {
    const difference = (a[atA + i] as number) - (b[atB + i] as number);
    if (difference !== 0) return difference;
  }
  return lengthA - lengthB;
}
