import { createHash } from 'node:crypto';
import { EseError, type Lgpos } from '../../format/ese-error.js';
import { xorChecksum } from '../../format/page-checksum.js';
import type { FileHandle, FileSystem } from '../../io/file-system.js';
import { lgposReport } from '../../maintenance/report-values.js';

/** Where a fault lies and what it is, as far as it can be said. */
export interface FaultNote {
  /** The fault in words. */
  readonly what: string;
  readonly pgno?: number;
  readonly lgpos?: Lgpos;
  /** Node of the page, from 0. */
  readonly node?: number;
  readonly objid?: number;
  /** Tree that the page belongs to: `Customers`, `Customers/ByName`, `Customers/LV`. */
  readonly object?: string;
  /** Table of that tree. */
  readonly table?: string;
  /** Numbers of the flipped bits within the page or segment: byte `n >> 3`, bit `n & 7`. */
  readonly bits?: readonly number[];
}

/**
 * Bytes that a fault changed: writing `before` back at `offset` undoes it. More bytes than
 * {@link SHOWN_BYTES_MAX} are stated as `sha256:` and their digest.
 */
export interface InjectTarget {
  readonly file: string;
  readonly pgno?: number;
  readonly lgpos?: string;
  /** Offset in the file. */
  readonly offset?: number;
  /** The bytes in hexadecimal, a size, or a name. */
  readonly before: string;
  readonly after: string;
}

const SHOWN_BYTES_MAX = 256 * 1024;
export const DIGEST_MARK = 'sha256:';

/** Equal bytes between two changed ones that do not end a run. */
const RUN_GAP = 8;

/** A piece of the file that is changed as a whole: a header copy, a page, a segment. */
export interface FileBlock {
  readonly offset: number;
  readonly bytes: Uint8Array;
  /** The same bytes as dwords, for checksums. */
  readonly words: Int32Array;
}

interface ChangedBlock extends FileBlock {
  readonly before: Uint8Array;
  readonly place: Pick<InjectTarget, 'pgno' | 'lgpos'>;
}

/** A file to be damaged. Changes are collected and written together, at the end. */
export class VictimFile {
  readonly fs: FileSystem;
  readonly path: string;
  readonly file: FileHandle;
  /** Bytes of the file before the damage. */
  readonly size: number;
  readonly notes: FaultNote[] = [];
  readonly #blocks = new Map<number, ChangedBlock>();
  #newSize: number | undefined;
  #appended: Uint8Array = new Uint8Array(0);

  constructor(fs: FileSystem, path: string, file: FileHandle) {
    this.fs = fs;
    this.path = path;
    this.file = file;
    this.size = file.size();
  }

  /** The block at `offset` as it is now; changes of its bytes are changes of the file. */
  block(offset: number, length: number, place: { pgno?: number; lgpos?: Lgpos } = {}): FileBlock {
    const known = this.#blocks.get(offset);
    if (known !== undefined) return known;
    const bytes = this.read(offset, length);
    const { pgno, lgpos } = place;
    const block: ChangedBlock = {
      offset,
      bytes,
      words: new Int32Array(bytes.buffer, 0, length >>> 2),
      before: bytes.slice(),
      place: {
        ...(pgno === undefined ? {} : { pgno }),
        ...(lgpos === undefined ? {} : { lgpos: lgposReport(lgpos) }),
      },
    };
    this.#blocks.set(offset, block);
    return block;
  }

  /** Bytes of the undamaged file, in memory of their own. */
  read(offset: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    if (this.file.readAt(bytes, offset) !== length) {
      throw new EseError('JET_errFileIOBeyondEOF', `the file ends before byte ${offset + length}`, {
        file: this.path,
      });
    }
    return bytes;
  }

  note(note: FaultNote): void {
    this.notes.push(note);
  }

  /** The file is to end here. */
  cut(size: number): void {
    this.#newSize = size;
  }

  append(bytes: Uint8Array): void {
    this.#appended = bytes;
  }

  /** Writes all changes, and says which bytes they are. */
  commit(): InjectTarget[] {
    const targets: InjectTarget[] = [];
    const blocks = [...this.#blocks.values()].sort((a, b) => a.offset - b.offset);
    for (const { offset, bytes, before, place } of blocks) {
      for (const [from, to] of changedRuns(before, bytes)) {
        this.file.writeAt(bytes.subarray(from, to), offset + from);
        targets.push({
          file: this.path,
          ...place,
          offset: offset + from,
          before: shown(before.subarray(from, to)),
          after: shown(bytes.subarray(from, to)),
        });
      }
    }
    if (this.#newSize !== undefined) {
      const cut = this.read(this.#newSize, this.size - this.#newSize);
      targets.push({ file: this.path, offset: this.#newSize, before: shown(cut), after: '' });
      this.file.truncate(this.#newSize);
    }
    if (this.#appended.length > 0) {
      this.file.writeAt(this.#appended, this.size);
      targets.push({ file: this.path, offset: this.size, before: '', after: shown(this.#appended) });
    }
    this.file.sync();
    return targets;
  }
}

/** Makes the checksum of a header right: XOR, in the first dword. */
export function sealHeader({ bytes, words }: FileBlock): void {
  words[0] = xorChecksum(bytes);
}

function shown(bytes: Uint8Array): string {
  return bytes.length > SHOWN_BYTES_MAX
    ? `${DIGEST_MARK}${createHash('sha256').update(bytes).digest('hex')}`
    : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex');
}

/** Runs of bytes that differ, `[from, to)`. */
function changedRuns(before: Uint8Array, after: Uint8Array): [number, number][] {
  const runs: [number, number][] = [];
  for (let at = 0; at < after.length; at++) {
    if (before[at] === after[at]) continue;
    const last = runs.at(-1);
    if (last !== undefined && at - last[1] < RUN_GAP) last[1] = at + 1;
    else runs.push([at, at + 1]);
  }
  return runs;
}
