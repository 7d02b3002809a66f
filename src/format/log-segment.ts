import type { Lgpos } from './ese-error.js';
import { readLgpos, writeLgpos } from './lgpos.js';
import { type Logtime, readLogtime, writeLogtime } from './logtime.js';
import { correctPage, diagnosePage } from './page-checksum.js';

/**
 * Segments: the 4096-byte units of a log file of format 8 (format specification, chapter 4.4).
 *
 * | offset | size | field |
 * |---|---|---|
 * | 0 | 8 | checksum: XOR part, ECC part |
 * | 8 | 8 | position of the segment: byte 0, its number, the generation of its file |
 * | 16 | 8 | LOGTIME when the first byte was put into it |
 * | 24 | 12 | reserved |
 * | 36 | 4 | flags: 0x2000 |
 *
 * The layout is that of a page header as far as the checksum is concerned, so the checksum of pages applies,
 * with the segment number as page number.
 *
 * A segment that is only partly filled is written twice: at its place, and as a *shadow* in the place of the
 * next one. The shadow still carries the position and the checksum of the segment it doubles.
 */
export const SEGMENT_BYTES = 4096;
export const SEGMENT_HEADER_BYTES = 40;

const OFFSET_LGPOS = 8;
const OFFSET_LOGTIME = 16;
const OFFSET_RESERVED = 24;
const RESERVED_BYTES = 12;
const OFFSET_FLAGS = 36;

export interface SegmentHeader {
  /** The stored checksum, as unsigned halves. */
  readonly checksumLow: number;
  readonly checksumHigh: number;
  readonly lgpos: Lgpos;
  /** When the first byte was put into the segment; not set where a roll-over only padded it. */
  readonly time: Logtime | undefined;
  readonly reserved: Uint8Array;
  readonly flags: number;
}

/** Decodes the header of the segment at `offset`; judges nothing. */
export function readSegmentHeader(bytes: Uint8Array, offset = 0): SegmentHeader {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const reserved = offset + OFFSET_RESERVED;
  return {
    checksumLow: view.getUint32(offset, true),
    checksumHigh: view.getUint32(offset + 4, true),
    lgpos: readLgpos(view, offset + OFFSET_LGPOS),
    time: readLogtime(bytes, offset + OFFSET_LOGTIME),
    reserved: bytes.slice(reserved, reserved + RESERVED_BYTES),
    flags: view.getUint32(offset + OFFSET_FLAGS, true),
  };
}

/**
 * Begins a segment at `offset`, in bytes that are zero: its position and the time of its first byte. Flags and
 * checksum come with the seal, `sealPages` with the segment number in the place of the page number.
 *
 * @param time undefined for a segment that only pads
 */
export function writeSegmentHeader(
  bytes: Uint8Array,
  offset: number,
  lgpos: Lgpos,
  time: Date | undefined,
): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  writeLgpos(view, offset + OFFSET_LGPOS, lgpos);
  writeLogtime(bytes, offset + OFFSET_LOGTIME, time);
}

/**
 * What stands in the place of a segment (chapter 4.4.6):
 *
 * | state | meaning |
 * |---|---|
 * | `valid` | the segment |
 * | `corrected` | the segment, once the one bit that flipped is flipped back |
 * | `stale` | a segment of an earlier generation: the file was reused and holds nothing new here |
 * | `misplaced` | a valid segment that belongs further on: damage |
 * | `shadow` | the double of the segment before |
 * | `zero` | nothing was ever written here |
 * | `bad` | none of these: damaged, or torn by a crash |
 */
export type SegmentState = 'valid' | 'corrected' | 'stale' | 'misplaced' | 'shadow' | 'zero' | 'bad';

/**
 * Says what stands in the place of segment `isec`, and corrects a single flipped bit in `segment` in place.
 *
 * @param segment the 4096 bytes at that place
 */
export function judgeSegment(segment: Uint8Array, isec: number, generation: number): SegmentState {
  const { verdict, format, looksLikePgno } = correctPage(segment, isec);
  if (verdict === 'uninitialized') return 'zero';
  // A block in the old checksum format is no segment, whatever its checksum says.
  if (format !== 'eccXor') return 'bad';
  if (verdict === 'ok' || verdict === 'correctable') {
    const order = compareSegmentPlace(segment, isec, generation);
    if (order !== 0) return order < 0 ? 'stale' : 'misplaced';
    return verdict === 'ok' ? 'valid' : 'corrected';
  }
  return isec > 1 && looksLikePgno === isec - 1 ? 'shadow' : 'bad';
}

/** Whether `segment`, found in the place behind it, is the shadow of segment `isec` of this generation. */
export function isShadowOf(segment: Uint8Array, isec: number, generation: number): boolean {
  const { verdict, format } = diagnosePage(segment, isec);
  return verdict === 'ok' && format === 'eccXor' && compareSegmentPlace(segment, isec, generation) === 0;
}

/** Orders the position that a segment carries against (generation, isec, 0). */
function compareSegmentPlace(segment: Uint8Array, isec: number, generation: number): number {
  const view = new DataView(segment.buffer, segment.byteOffset, segment.byteLength);
  const lgpos = readLgpos(view, OFFSET_LGPOS);
  return lgpos.generation - generation || lgpos.isec - isec || lgpos.ib;
}
