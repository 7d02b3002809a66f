import { basename, extname } from 'node:path';
import { electHeader, HEADER_ELECTION_BYTES, headerPageSize } from '../../src/format/database-header.js';
import { FLUSH_MAP_PAGE_BYTES } from '../../src/format/flush-map.js';
import { SEGMENT_BYTES } from '../../src/format/log-segment.js';
import { sealPages, xorChecksum } from '../../src/format/page-checksum.js';
import type { FileHandle, FileSystem } from '../../src/io/file-system.js';
import { type Random, randomBelow, randomChance, randomFill } from '../../src/io/seeded-random.js';

export type MutableKind = 'database' | 'log' | 'checkpoint' | 'flushMap';

const KIND_OF_EXTENSION: Readonly<Record<string, MutableKind>> = {
  '.edb': 'database',
  '.mdb': 'database',
  '.sdb': 'database',
  '.dat': 'database',
  '.log': 'log',
  '.chk': 'checkpoint',
  '.jfm': 'flushMap',
};

/** What a file is, by its name; undefined for one of no kind that can be mutated. */
export function mutableKind(name: string): MutableKind | undefined {
  return KIND_OF_EXTENSION[extname(basename(name)).toLowerCase()];
}

/** Values at which lengths, counts, offsets and numbers change their meaning. */
const INTERESTING = [
  0, 1, 2, 3, 4, 0x7f, 0x80, 0xff, 0x100, 0x7ff, 0xfff, 0x1000, 0x1fff, 0x7fff, 0x8000, 0xffff,
];
const INTERESTING_32 = [...INTERESTING, 0x10000, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff];

/** Bytes at either end of a block that are its header, and its tags. */
const BLOCK_ENDS = 96;

/**
 * Damages a file in the ways that disks, programs and attackers do: changes some bytes of some blocks
 * (flipped, zeroed, random, copied, set to borderline values), puts one block in the place of another, cuts
 * or extends. Mostly makes the checksums right again, so that the damage gets behind them.
 *
 * @returns the numbers of the blocks that were changed
 */
export function mutateFile(fs: FileSystem, path: string, random: Random): number[] {
  const kind = mutableKind(path) ?? 'database';
  const file = fs.open(path, 'write');
  const blockSize = blockSizeOf(kind, file);
  const blocks = Math.max(1, Math.floor(file.size() / blockSize));
  const touched = Array.from({ length: 1 + randomBelow(random, 3) }, () =>
    mutateBlock(file, kind, blockSize, blocks, random),
  );
  if (randomChance(random, 1 / 16)) file.truncate(randomBelow(random, file.size() + 1));
  if (randomChance(random, 1 / 32)) file.truncate(file.size() + randomBelow(random, 3 * blockSize));
  file.sync();
  file.close();
  return touched;
}

function blockSizeOf(kind: MutableKind, file: FileHandle): number {
  if (kind === 'flushMap') return FLUSH_MAP_PAGE_BYTES;
  if (kind !== 'database') return SEGMENT_BYTES;
  const start = new Uint8Array(HEADER_ELECTION_BYTES);
  const { header } = electHeader(start.subarray(0, file.readAt(start, 0)));
  return header === undefined ? 4096 : headerPageSize(header);
}

function mutateBlock(
  file: FileHandle,
  kind: MutableKind,
  blockSize: number,
  blocks: number,
  random: Random,
): number {
  const words = new Int32Array(blockSize / 4);
  const block = new Uint8Array(words.buffer);
  const number = chooseBlock(file, block, blocks, random);
  const copiesBlock = randomChance(random, 1 / 12);
  if (copiesBlock) file.readAt(block, randomBelow(random, blocks) * blockSize);
  for (let edits = copiesBlock ? 0 : 1 + randomBelow(random, 3); edits > 0; edits--) editBytes(block, random);
  if (randomChance(random, 7 / 8)) seal(kind, words, block, number);
  file.writeAt(block, number * blockSize);
  return number;
}

/** Mostly a block that holds something; the first ones, which are headers, more often than their share. */
function chooseBlock(file: FileHandle, block: Uint8Array, blocks: number, random: Random): number {
  for (let attempt = 0; ; attempt++) {
    const number = randomBelow(random, randomChance(random, 1 / 4) ? Math.min(blocks, 8) : blocks);
    file.readAt(block, number * block.length);
    if (attempt === 20 || block.some((byte) => byte !== 0)) return number;
  }
}

function editBytes(block: Uint8Array, random: Random): void {
  const at = choosePlace(block.length, random);
  const view = new DataView(block.buffer, block.byteOffset, block.byteLength);
  const length = 1 + randomBelow(random, randomChance(random, 1 / 4) ? 600 : 24);
  switch (randomBelow(random, 7)) {
    case 0:
      block[at] = (block[at] ?? 0) ^ (1 << randomBelow(random, 8));
      break;
    case 1:
      block.fill(0, at, at + length);
      break;
    case 2:
      randomFill(random, block.subarray(at, at + length));
      break;
    case 3:
      block.copyWithin(at, randomBelow(random, block.length), Math.min(block.length, at + length));
      break;
    case 4:
      block[at] = INTERESTING[randomBelow(random, INTERESTING.length)] ?? 0;
      break;
    case 5:
      view.setUint16(
        Math.min(at & ~1, block.length - 2),
        INTERESTING[randomBelow(random, INTERESTING.length)] ?? 0,
        true,
      );
      break;
    default:
      view.setUint32(
        Math.min(at, block.length - 4),
        INTERESTING_32[randomBelow(random, INTERESTING_32.length)] ?? 0,
        true,
      );
  }
}

function choosePlace(length: number, random: Random): number {
  switch (randomBelow(random, 4)) {
    case 0:
      return randomBelow(random, BLOCK_ENDS);
    case 1:
      return length - 1 - randomBelow(random, BLOCK_ENDS);
    default:
      return randomBelow(random, length);
  }
}

/** Makes the checksum of a block right. */
function seal(kind: MutableKind, words: Int32Array, block: Uint8Array, number: number): void {
  const headers = { database: 2, log: 1, checkpoint: 2, flushMap: 1 }[kind];
  if (number < headers) words[0] = xorChecksum(block);
  else sealPages(words, 0, 1, block.length, number - (kind === 'log' ? 0 : 1));
}
