/**
 * Goes through the records of a log that is only to be verified (format specification, chapters 4.4.4 and 4.5.1).
 * AssemblyScript. It is a fast way through src/format/log-record-cursor.ts for records of known sizes and stops in front
 * of everything else, so that every rule is stated there.
 */

const SEGMENT_BYTES: usize = 4096;
const SEGMENT_HEADER_BYTES: usize = 40;
const FRAGMENT_BEGIN_BYTES: usize = 7;
const FRAGMENT_BYTES: usize = 3;

const LRTYP_NOP: u8 = 0;
const LRTYP_FRAGMENT_BEGIN: u8 = 76;
const LRTYP_FRAGMENT: u8 = 77;

// What the size of a type follows from: an entry of 8 bytes (src/format/log-record-skip.ts).
const ENTRY_SHIFT: u32 = 3;
const U16_AT: usize = 2;
const U16_COUNT: usize = 3;
const U32_AT: usize = 4;
const U32_COUNT: usize = 5;
const KIND: usize = 6;
const KIND_REPLACE: u8 = 1;
const KIND_UNDO_INFO: u8 = 2;
const KIND_UNKNOWN: u8 = 3;

/** Results: behind the last record that was skipped, and the start of its segment. */
const AT: usize = 0;
const SEGMENT_START: usize = 4;

let sizes: usize = 0;

/**
 * Skips whole records from `at` on, in the segment at `start`, as far as the window goes. Returns how many; where they
 * end goes to `result`. `table` is that of the sizes.
 */
export function skip(result: usize, table: usize, at: usize, start: usize, windowEnd: usize): u32 {
  sizes = table;
  let end = start + SEGMENT_BYTES;
  let records: u32 = 0;
  store<u32>(result, <u32>at, AT);
  store<u32>(result, <u32>start, SEGMENT_START);
  for (;;) {
    if (at >= end) {
      if (end + SEGMENT_BYTES > windowEnd) break;
      start = end;
      end += SEGMENT_BYTES;
      at = start + SEGMENT_HEADER_BYTES;
    }
    const lrtyp = load<u8>(at);
    if (lrtyp == LRTYP_NOP) {
      at = behindNops(at, end);
      continue;
    }
    if (lrtyp == LRTYP_FRAGMENT) return records;
    if (lrtyp != LRTYP_FRAGMENT_BEGIN) {
      const size = sizeOf(at, end);
      if (size == 0 || size > <u64>(end - at)) return records;
      at += <usize>size;
    } else {
      if (at + FRAGMENT_BEGIN_BYTES > end) return records;
      const total = load<u32>(at, 1);
      let piece = <u32>load<u16>(at, 5);
      at += FRAGMENT_BEGIN_BYTES;
      if (piece > <u32>(end - at) || piece >= total) return records;
      const inner = load<u8>(at);
      if (inner == LRTYP_FRAGMENT_BEGIN || inner == LRTYP_FRAGMENT) return records;
      // Its lengths lie in the first piece, or the record is put together elsewhere.
      if (sizeOf(at, at + piece) != <u64>total) return records;
      at += piece;
      for (let left = total - piece; left > 0; left -= piece) {
        for (;;) {
          if (at >= end) {
            if (end + SEGMENT_BYTES > windowEnd) return records;
            start = end;
            end += SEGMENT_BYTES;
            at = start + SEGMENT_HEADER_BYTES;
          }
          if (load<u8>(at) != LRTYP_NOP) break;
          at = behindNops(at, end);
        }
        if (load<u8>(at) != LRTYP_FRAGMENT || at + FRAGMENT_BYTES > end) return records;
        piece = <u32>load<u16>(at, 1);
        at += FRAGMENT_BYTES;
        if (piece > <u32>(end - at) || piece > left) return records;
        at += piece;
      }
    }
    records += 1;
    store<u32>(result, <u32>at, AT);
    store<u32>(result, <u32>start, SEGMENT_START);
  }
  return records;
}

function behindNops(at: usize, end: usize): usize {
  while (at + 8 <= end && load<u64>(at) == 0) at += 8;
  while (at < end && load<u8>(at) == LRTYP_NOP) at += 1;
  return at;
}

/** Size of the record, 0 = not known here, or its fixed part does not end by `end`. */
function sizeOf(record: usize, end: usize): u64 {
  if (record >= end) return 0;
  const entry = sizes + (<usize>load<u8>(record) << ENTRY_SHIFT);
  const fixed = <u32>load<u16>(entry);
  const kind = load<u8>(entry, KIND);
  if (fixed == 0 || kind == KIND_UNKNOWN || record + fixed > end) return 0;
  let size: u64 = fixed;
  let from = record + load<u8>(entry, U16_AT);
  for (let i = load<u8>(entry, U16_COUNT); i > 0; i -= 1, from += 2) size += load<u16>(from);
  from = record + load<u8>(entry, U32_AT);
  for (let i = load<u8>(entry, U32_COUNT); i > 0; i -= 1, from += 4) size += load<u32>(from);
  if (kind == KIND_UNDO_INFO) return size + load<u16>(record, 54);
  // The highest bit of this length is a flag.
  return kind == KIND_REPLACE ? size - (load<u16>(record, 44) & 0x8000) : size;
}
