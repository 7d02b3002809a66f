import { createChecksumKernel } from '../../format/checksum-kernel.js';
import { EseError } from '../../format/ese-error.js';
import { checkPageStructure, Page, pageOffset } from '../../format/page.js';
import { newPageScan } from '../../format/page-checksum.js';
import type { FileHandle } from '../../io/file-system.js';
import { createBulkKernel, soundScratchBytes } from './bulk-kernel.js';

/**
 * Pages that another thread reads and checks before they are asked for. Who wants pages posts runs of them, and takes
 * them in the same order; what the helper has not begun yet, or could not vouch for, the taker reads on its own. So
 * neither what is read nor which error is met depends on whether somebody helps.
 */
export interface ReadAheadMemory {
  /** {@link SLOTS} × {@link SLOT_WORDS} words, then the number of posted runs, and whether no more will come. */
  readonly control: Int32Array<SharedArrayBuffer>;
  /** {@link SLOTS} pieces of {@link READ_AHEAD_BYTES}. */
  readonly pages: Uint8Array<SharedArrayBuffer>;
}

/** Bytes of the longest run. */
export const READ_AHEAD_BYTES = 1024 * 1024;
const SLOTS = 6;
const SLOT_WORDS = 3;
const POSTED = SLOTS * SLOT_WORDS;
const CLOSED = POSTED + 1;

const STATE = { free: 0, posted: 1, begun: 2, good: 3, bad: 4 } as const;

/** An idle helper looks this often whether it is wanted any more. */
const IDLE_MS = 100;
/** A helper that has begun a run and does not end it is given up after this time. */
const PATIENCE_MS = 10_000;

export function createReadAheadMemory(): ReadAheadMemory {
  return {
    control: new Int32Array(new SharedArrayBuffer(4 * (CLOSED + 1))),
    pages: new Uint8Array(new SharedArrayBuffer(SLOTS * READ_AHEAD_BYTES)),
  };
}

/** The side of whoever wants pages. */
export class ReadAhead {
  readonly #memory: ReadAheadMemory;
  #posted = 0;
  #taken = 0;
  #isGivenUp = false;

  constructor(memory: ReadAheadMemory) {
    this.#memory = memory;
  }

  /** Whether one more run may be posted. */
  get hasRoom(): boolean {
    return this.#posted - this.#taken < SLOTS;
  }

  /** Asks for a run of pages. */
  post(pgno: number, count: number): void {
    const { control } = this.#memory;
    const slot = (this.#posted % SLOTS) * SLOT_WORDS;
    control[slot + 1] = pgno;
    control[slot + 2] = count;
    Atomics.store(control, slot, this.#isGivenUp ? STATE.bad : STATE.posted);
    this.#posted++;
    Atomics.store(control, POSTED, this.#posted);
    Atomics.notify(control, POSTED);
  }

  /**
   * Takes the run that was posted longest ago: copies it to `into`, and returns whether it is there and sound. If not,
   * the caller has to read it.
   */
  take(into: Uint8Array): boolean {
    const { control, pages } = this.#memory;
    const place = this.#taken++ % SLOTS;
    const slot = place * SLOT_WORDS;
    if (Atomics.compareExchange(control, slot, STATE.posted, STATE.free) === STATE.posted) return false;
    if (Atomics.wait(control, slot, STATE.begun, PATIENCE_MS) === 'timed-out') this.#isGivenUp = true;
    const isGood = Atomics.load(control, slot) === STATE.good;
    if (isGood) into.set(pages.subarray(place * READ_AHEAD_BYTES, place * READ_AHEAD_BYTES + into.length));
    if (!this.#isGivenUp) Atomics.store(control, slot, STATE.free);
    return isGood;
  }

  /** Takes back what was posted and is not wanted any more. */
  drop(): void {
    while (this.#taken < this.#posted) this.take(new Uint8Array(0));
  }

  /** Lets the helper end. */
  close(): void {
    const { control } = this.#memory;
    Atomics.store(control, CLOSED, 1);
    Atomics.notify(control, POSTED);
  }
}

/** The helper: reads what is posted, until all of it is done and no more will come. */
export function serveReadAhead(
  { control, pages }: ReadAheadMemory,
  file: FileHandle,
  pageSize: number,
  lastPgno: number,
): void {
  const kernel = createChecksumKernel(READ_AHEAD_BYTES + soundScratchBytes(pageSize));
  const bulk = createBulkKernel(kernel);
  const scan = newPageScan();
  const page = new Page(kernel.bytes.subarray(0, pageSize), 1);
  const isSound = (pgno: number, count: number): boolean => {
    const bytes = count * pageSize;
    if (pgno < 1 || pgno + count - 1 > lastPgno || bytes > READ_AHEAD_BYTES) return false;
    if (file.readAt(kernel.bytes.subarray(0, bytes), pageOffset(pgno, pageSize)) !== bytes) return false;
    scan.uninitialized = 0;
    if (kernel.verifyPages(0, count, pageSize, pgno, scan) !== 0 || scan.uninitialized !== 0) return false;
    for (let i = 0; i < count; i++) {
      if (bulk?.isSoundLeaf(i * pageSize, pageSize, READ_AHEAD_BYTES) === true) continue;
      const view =
        i === 0 ? page : new Page(kernel.bytes.subarray(i * pageSize, (i + 1) * pageSize), pgno + i);
      if (checkPageStructure(view, lastPgno) !== undefined) return false;
    }
    return true;
  };
  const read = (pgno: number, count: number): boolean => {
    try {
      return isSound(pgno, count);
    } catch (error) {
      // Whoever wants the page meets the error in its turn.
      if (error instanceof EseError) return false;
      throw error;
    }
  };
  for (let run = 0; ; run++) {
    while (Atomics.load(control, POSTED) <= run) {
      if (Atomics.load(control, CLOSED) !== 0) return;
      Atomics.wait(control, POSTED, run, IDLE_MS);
    }
    const place = run % SLOTS;
    const slot = place * SLOT_WORDS;
    if (Atomics.compareExchange(control, slot, STATE.posted, STATE.begun) !== STATE.posted) continue;
    let isGood = false;
    try {
      const [pgno = 0, count = 0] = control.subarray(slot + 1, slot + SLOT_WORDS);
      isGood = read(pgno, count);
      if (isGood) pages.set(kernel.bytes.subarray(0, count * pageSize), place * READ_AHEAD_BYTES);
    } finally {
      Atomics.store(control, slot, isGood ? STATE.good : STATE.bad);
      Atomics.notify(control, slot);
    }
  }
}
