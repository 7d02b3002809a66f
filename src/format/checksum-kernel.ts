import { type PageScan, sealPages, verifyPages } from './page-checksum.js';
import { PAGE_CHECKSUM_WASM } from './page-checksum-wasm.js';

/**
 * Checksums of many pages in one call, on memory that the kernel and the caller share: read pages into
 * `bytes`, verify them there, build pages there, seal them there. All offsets are in bytes from the start
 * of `bytes` and multiples of 4; nothing is copied and nothing is allocated by the calls.
 *
 * There are two kernels of one behaviour: WebAssembly with SIMD, and the plain functions of
 * page-checksum.ts. A kernel belongs to one thread.
 */
export interface ChecksumKernel {
  readonly kind: KernelKind;
  /** The shared memory. It never grows, so views of it stay valid. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** The memory that `bytes` is part of, for other modules to work on; only WebAssembly has it. */
  readonly memory: WebAssembly.Memory | undefined;
  /** What `verifyPages` writes: numbers of the suspect pages, counted from 0 within the call. */
  readonly suspects: Uint32Array<ArrayBuffer>;
  /** `verifyPages` of page-checksum.ts: adds to `scan`, returns how many `suspects` it wrote. */
  verifyPages(offset: number, pageCount: number, pageSize: number, firstPgno: number, scan: PageScan): number;
  /** `sealPages` of page-checksum.ts. */
  sealPages(offset: number, pageCount: number, pageSize: number, firstPgno: number): void;
  /** Moves bytes within `bytes`; for short pieces faster than `copyWithin`. The ranges may overlap. */
  move(to: number, from: number, byteCount: number): void;
}

export type KernelKind = 'wasm' | 'js';

/** Smallest unit that has a checksum, in bytes: it bounds the number of suspects. */
const PAGE_SIZE_MIN = 2048;
const WASM_PAGE_BYTES = 65536;

/** The kernel's own memory (scratch and results, see kernel/page-checksum.ts) lies below the caller's. */
const RESERVED_BYTES = 4096;
const WORD_UNINITIALIZED = 256;
const WORD_DBTIME_PGNO = 257;
const WORD_DBTIME = 258;

/**
 * Makes a kernel with `byteCount` bytes of memory.
 *
 * @param kind by default the environment variable ESEKIT_KERNEL (`wasm` or `js`); else WebAssembly where
 *   the host has it, and plain JavaScript where it does not
 */
export function createChecksumKernel(byteCount: number, kind?: KernelKind): ChecksumKernel {
  const asked = kind ?? process.env.ESEKIT_KERNEL;
  if (asked === 'js') return createJsKernel(byteCount);
  try {
    return createWasmKernel(byteCount);
  } catch (error) {
    if (asked === 'wasm' || !isUnsupported(error)) throw error;
    return createJsKernel(byteCount);
  }
}

/** True if the host has no WebAssembly, or none with SIMD; out of memory is another matter. */
function isUnsupported(error: unknown): boolean {
  return error instanceof ReferenceError || (error instanceof Error && error.name === 'CompileError');
}

function suspectsMax(byteCount: number): number {
  return Math.ceil(byteCount / PAGE_SIZE_MIN);
}

function createJsKernel(byteCount: number): ChecksumKernel {
  const words = new Int32Array(Math.ceil(byteCount / 4));
  const bytes = new Uint8Array(words.buffer, 0, byteCount);
  const suspects = new Uint32Array(suspectsMax(byteCount));
  return {
    kind: 'js',
    bytes,
    memory: undefined,
    suspects,
    verifyPages: (offset, pageCount, pageSize, firstPgno, scan) =>
      verifyPages(words, offset >>> 2, pageCount, pageSize, firstPgno, suspects, scan),
    sealPages: (offset, pageCount, pageSize, firstPgno) =>
      sealPages(words, offset >>> 2, pageCount, pageSize, firstPgno),
    move: (to, from, count) => {
      bytes.copyWithin(to, from, from + count);
    },
  };
}

interface KernelExports {
  verify(pointer: number, pageCount: number, pageSize: number, firstPgno: number, list: number): number;
  seal(pointer: number, pageCount: number, pageSize: number, firstPgno: number): void;
  move(to: number, from: number, byteCount: number): void;
}

let compiled: WebAssembly.Module | undefined;

function createWasmKernel(byteCount: number): ChecksumKernel {
  compiled ??= new WebAssembly.Module(Buffer.from(PAGE_CHECKSUM_WASM, 'base64'));
  const list = RESERVED_BYTES + Math.ceil(byteCount / 4) * 4;
  const listLength = suspectsMax(byteCount);
  const memory = new WebAssembly.Memory({ initial: Math.ceil((list + listLength * 4) / WASM_PAGE_BYTES) });
  const exports = new WebAssembly.Instance(compiled, { env: { memory } }).exports as unknown as KernelExports;
  const words = new Int32Array(memory.buffer, 0, RESERVED_BYTES / 4);
  const { verify, seal, move } = exports;

  return {
    kind: 'wasm',
    bytes: new Uint8Array(memory.buffer, RESERVED_BYTES, byteCount),
    memory,
    suspects: new Uint32Array(memory.buffer, list, listLength),
    verifyPages: (offset, pageCount, pageSize, firstPgno, scan) => {
      words.fill(0, WORD_UNINITIALIZED, WORD_DBTIME + 2);
      const suspectCount = verify(RESERVED_BYTES + offset, pageCount, pageSize, firstPgno, list);
      scan.uninitialized += words[WORD_UNINITIALIZED] as number;
      const dbtime = (words[WORD_DBTIME + 1] as number) * 2 ** 32 + ((words[WORD_DBTIME] as number) >>> 0);
      if (dbtime > scan.dbtimeMax) {
        scan.dbtimeMax = dbtime;
        scan.dbtimeMaxPgno = (words[WORD_DBTIME_PGNO] as number) >>> 0;
      }
      return suspectCount;
    },
    sealPages: (offset, pageCount, pageSize, firstPgno) =>
      seal(RESERVED_BYTES + offset, pageCount, pageSize, firstPgno),
    move: (to, from, count) => move(RESERVED_BYTES + to, RESERVED_BYTES + from, count),
  };
}
