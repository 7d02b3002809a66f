import { CHECKPOINT_COPY_BYTES, decodeCheckpoint } from '../../format/checkpoint.js';
import { EseError, type Lgpos } from '../../format/ese-error.js';
import { FLUSH_MAP_PAGE_BYTES } from '../../format/flush-map.js';
import { writeLgpos } from '../../format/lgpos.js';
import {
  decodeLogHeader,
  encodeLogHeader,
  LOG_HEADER_BYTES,
  type NewLogHeader,
} from '../../format/log-header.js';
import { SEGMENT_BYTES } from '../../format/log-segment.js';
import { logtimeOf, logtimeToDate } from '../../format/logtime.js';
import { newSignature } from '../../format/signature.js';
import { type Random, randomBelow } from '../../io/seeded-random.js';
import { openLog } from '../../recovery/log-reader.js';
import { type DamageArea, flipOneBit, flipTwoBits, randomizeBytes, tearBlock } from './byte-faults.js';
import { shuffled, tooFew } from './database-victim.js';
import { type FileBlock, sealHeader, type VictimFile } from './victim-file.js';

/** Faults of logs, checkpoints and flush maps. */

/** Where in these files bytes can be damaged. */
export const LOG_PLACES = ['header', 'segment', 'tail'] as const;
export const CHECKPOINT_PLACES = ['first-copy', 'second-copy', 'both-copies'] as const;
export const FLUSH_MAP_PLACES = ['header', 'map'] as const;

export type StreamPlace =
  | (typeof LOG_PLACES)[number]
  | (typeof CHECKPOINT_PLACES)[number]
  | (typeof FLUSH_MAP_PLACES)[number];

export type StreamFileKind = 'log' | 'checkpoint' | 'flushMap';

export interface StreamChoice {
  readonly random: Random;
  readonly count: number;
  readonly place: StreamPlace;
}

interface PlacedBlock {
  readonly block: FileBlock;
  readonly area: DamageArea;
  readonly note: { readonly pgno?: number; readonly lgpos?: Lgpos };
}

/** The part of a header that holds fields: so that damage hits what is read. */
const HEADER_AREA: DamageArea = { from: 4, to: 640, checksumBytes: SEGMENT_BYTES };
const SEGMENT_AREA: DamageArea = { from: 8, to: SEGMENT_BYTES, checksumBytes: SEGMENT_BYTES };
const MAP_AREA: DamageArea = { from: 8, to: FLUSH_MAP_PAGE_BYTES, checksumBytes: FLUSH_MAP_PAGE_BYTES };

const HEADER_BLOCK_BYTES: Readonly<Record<StreamFileKind, number>> = {
  log: LOG_HEADER_BYTES,
  checkpoint: CHECKPOINT_COPY_BYTES,
  flushMap: FLUSH_MAP_PAGE_BYTES,
};

function blocksAt(victim: VictimFile, kind: StreamFileKind, choice: StreamChoice): PlacedBlock[] {
  const header = (offset: number): PlacedBlock => ({
    block: victim.block(offset, HEADER_BLOCK_BYTES[kind]),
    area: HEADER_AREA,
    note: {},
  });
  switch (choice.place) {
    case 'segment':
    case 'tail':
      return segments(victim, choice);
    case 'second-copy':
      return [header(CHECKPOINT_COPY_BYTES)];
    case 'both-copies':
      return [header(0), header(CHECKPOINT_COPY_BYTES)];
    case 'map':
      return [{ block: victim.block(FLUSH_MAP_PAGE_BYTES, FLUSH_MAP_PAGE_BYTES), area: MAP_AREA, note: {} }];
    default:
      return [header(0)];
  }
}

/** Segments with data: the last one, or some of those before it. */
function segments(victim: VictimFile, { random, count, place }: StreamChoice): PlacedBlock[] {
  const log = openLog(victim.fs, victim.path);
  const { lastValidSegment } = log.verify();
  const { generation } = log.header;
  log.close();
  if (lastValidSegment === 0) throw tooFew(victim.path, 'segment with data', {}, 0);
  const middle = Array.from({ length: lastValidSegment - 1 }, (_, i) => i + 1);
  const chosen = place === 'tail' ? [lastValidSegment] : shuffled(random, middle).slice(0, count);
  if (place !== 'tail' && chosen.length < count) {
    throw tooFew(victim.path, 'segment with others behind it', { count }, chosen.length);
  }
  return chosen.map((isec) => {
    const lgpos = { generation, isec, ib: 0 };
    return {
      block: victim.block(isec * SEGMENT_BYTES, SEGMENT_BYTES, { lgpos }),
      area: SEGMENT_AREA,
      note: { lgpos },
    };
  });
}

export type BlockFaultName = 'bit-flip' | 'two-flips' | 'random-bytes' | 'zero-page' | 'torn-page';

const BLOCK_FAULTS: Readonly<
  Record<BlockFaultName, (placed: PlacedBlock, random: Random) => { what: string; bits?: number[] }>
> = {
  'bit-flip': ({ block, area }, random) => ({
    what: 'one bit is flipped',
    bits: flipOneBit(block, random, area),
  }),
  'two-flips': ({ block, area }, random) => ({
    what: 'two bits are flipped',
    bits: flipTwoBits(block, random, area),
  }),
  'random-bytes': ({ block, area }, random) => {
    randomizeBytes(block, random, area);
    return { what: 'some bytes are random' };
  },
  'zero-page': ({ block }) => {
    block.bytes.fill(0);
    return { what: 'the block is all zero' };
  },
  'torn-page': ({ block }, random) => {
    tearBlock(block, random);
    return { what: 'only the first sector of the block was written' };
  },
};

/** Damages blocks of a log, a checkpoint or a flush map. */
export function damageBlocks(
  name: BlockFaultName,
  victim: VictimFile,
  kind: StreamFileKind,
  choice: StreamChoice,
): void {
  for (const placed of blocksAt(victim, kind, choice)) {
    victim.note({ ...placed.note, ...BLOCK_FAULTS[name](placed, choice.random) });
  }
}

/** Changes fields of a log header, and makes its checksum right. */
function editLogHeader(victim: VictimFile, what: string, changes: Partial<NewLogHeader>): void {
  const { bytes } = victim.block(0, LOG_HEADER_BYTES);
  const header = decodeLogHeader(bytes);
  bytes.set(encodeLogHeader({ ...header, ...changes }));
  victim.note({ what });
}

/** Faults of log headers by name. */
export const LOG_HEADER_FAULTS: Readonly<Record<string, (victim: VictimFile, random: Random) => void>> = {
  'log-signature': (victim, random) => {
    const foreign = newSignature(random.uint32(), logtimeOf(Date.UTC(2001, 1, 3)));
    editLogHeader(victim, 'the log carries the signature of another stream', { signLog: foreign });
  },
  'log-generation': (victim) => {
    const { generation } = headerOf(victim);
    editLogHeader(victim, `the log says that it is generation ${generation + 1} in place of ${generation}`, {
      generation: generation + 1,
    });
  },
  'log-time': (victim) => {
    const { tmPrevGen } = headerOf(victim);
    const before = tmPrevGen === undefined ? Date.UTC(2001, 1, 3) : logtimeToDate(tmPrevGen).getTime();
    editLogHeader(victim, 'the log names another time for the log before it', {
      tmPrevGen: logtimeOf(before - HOUR_MS),
    });
  },
  'log-checksum': (victim) => {
    const { checksumPrevLogAllSegments } = headerOf(victim);
    editLogHeader(victim, 'the log names another checksum for the log before it', {
      checksumPrevLogAllSegments: checksumPrevLogAllSegments ^ 0x1234n,
    });
  },
};

const HOUR_MS = 3_600_000;

function headerOf(victim: VictimFile) {
  return decodeLogHeader(victim.block(0, LOG_HEADER_BYTES).bytes);
}

const CHECKPOINT_LGPOS_AT = 12;
const GENERATIONS_BEYOND = 3;

/** The checkpoint lies behind the logs that are required. */
export function checkpointBeyond(victim: VictimFile): void {
  const { lgposCheckpoint } = decodeCheckpoint(victim.read(0, 2 * CHECKPOINT_COPY_BYTES));
  const lgpos = { ...lgposCheckpoint, generation: lgposCheckpoint.generation + GENERATIONS_BEYOND };
  for (const offset of [0, CHECKPOINT_COPY_BYTES]) {
    const block = victim.block(offset, CHECKPOINT_COPY_BYTES);
    writeLgpos(new DataView(block.bytes.buffer), CHECKPOINT_LGPOS_AT, lgpos);
    sealHeader(block);
  }
  victim.note({ lgpos, what: `the checkpoint is ${GENERATIONS_BEYOND} generations further than it was` });
}

/** Cuts a log, checkpoint or flush map at a random byte. */
export function cutFile(victim: VictimFile, random: Random): void {
  if (victim.size < 2)
    throw new EseError('JET_errObjectNotFound', 'the file has nothing to be cut', { file: victim.path });
  const size = 1 + randomBelow(random, victim.size - 1);
  victim.cut(size);
  victim.note({ what: `the file ends after ${size} of ${victim.size} bytes` });
}
