/**
 * Records that nobody wants to see are skipped in WebAssembly (kernel/log-walk.ts), many in one call: as fast in the
 * first log as in the hundredth, which plain code is not before it is compiled.
 */
import type { ChecksumKernel } from './checksum-kernel.js';
import { logRecordSizeRule } from './log-record-size.js';
import { LOG_WALK_WASM } from './log-walk-wasm.js';

const ENTRY_BYTES = 8;
const TYPES = 256;
const RESULT_BYTES = 8;

/** Memory that a {@link RecordSkipper} needs besides that of the segments. */
export const RECORD_SKIPPER_BYTES = RESULT_BYTES + TYPES * ENTRY_BYTES;

export interface RecordSkipper {
  /** The memory in which the segments must lie. */
  readonly bytes: Uint8Array;
  /** Where the last call came to: behind the last record that it skipped, and the start of its segment. */
  at: number;
  segmentStart: number;
  /**
   * Skips whole records from `at` on, in the segment at `segmentStart`, as far as `windowEnd`. Returns how many; stops in
   * front of whatever it does not know.
   */
  skip(at: number, segmentStart: number, windowEnd: number): number;
}

interface KernelExports {
  skip(result: number, table: number, at: number, segmentStart: number, windowEnd: number): number;
}

let compiled: WebAssembly.Module | undefined;

/**
 * A skipper for segments in the memory of a kernel, of which it takes `RECORD_SKIPPER_BYTES` at `offset`, a multiple
 * of 4; undefined where the kernel is not WebAssembly.
 *
 * @param stopsAt 1 for each type of records that is not to be skipped
 */
export function createRecordSkipper(
  { memory, bytes }: ChecksumKernel,
  offset: number,
  stopsAt?: Uint8Array,
): RecordSkipper | undefined {
  if (memory === undefined) return undefined;
  compiled ??= new WebAssembly.Module(Buffer.from(LOG_WALK_WASM, 'base64'));
  const exports = new WebAssembly.Instance(compiled, { env: { memory } }).exports as unknown as KernelExports;
  const base = bytes.byteOffset;
  const result = new Uint32Array(memory.buffer, base + offset, RESULT_BYTES / 4);
  const table = base + offset + RESULT_BYTES;
  writeTable(new DataView(memory.buffer, table, TYPES * ENTRY_BYTES), stopsAt);
  const skipper: RecordSkipper = {
    bytes,
    at: 0,
    segmentStart: 0,
    skip: (at, segmentStart, windowEnd) => {
      const records = exports.skip(
        result.byteOffset,
        table,
        base + at,
        base + segmentStart,
        base + windowEnd,
      );
      skipper.at = (result[0] ?? 0) - base;
      skipper.segmentStart = (result[1] ?? 0) - base;
      return records;
    },
  };
  return skipper;
}

/** By type: fixed part (u16), offset and number of lengths of 2 and of 4 bytes, and what the kernel knows besides. */
function writeTable(view: DataView, stopsAt: Uint8Array | undefined): void {
  for (let lrtyp = 0; lrtyp < TYPES; lrtyp++) {
    if (stopsAt?.[lrtyp] === 1) continue;
    const { fixed, u16, u32, exception } = logRecordSizeRule(lrtyp);
    const at = lrtyp * ENTRY_BYTES;
    view.setUint16(at, fixed, true);
    for (const [i, value] of [...u16, ...u32, EXCEPTIONS[exception]].entries())
      view.setUint8(at + 2 + i, value);
  }
}

const EXCEPTIONS = { none: 0, replace: 1, undoInfo: 2, other: 3 } as const;
