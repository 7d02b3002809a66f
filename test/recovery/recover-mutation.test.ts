import { beforeAll, describe, expect, it } from 'vitest';
import { EseError } from '../../src/format/ese-error.js';
import { SEGMENT_BYTES } from '../../src/format/log-segment.js';
import { sealPages, xorChecksum } from '../../src/format/page-checksum.js';
import { type Random, randomBelow, seededRandom } from '../../src/io/seeded-random.js';
import type { SimulatedDisk } from '../../src/io/simulated-disk.js';
import { recover } from '../../src/recovery/recover.js';
import { describeWithCorpus } from '../corpus.js';
import { readFile } from '../support/files.js';
import { diskOfCorpus, environmentOf, LOGS, OUT, writeFile } from '../support/recovery-disk.js';

/**
 * Recovery of damaged logs, databases and checkpoints. The damage is sealed again by a right checksum, so that it is not
 * the checksum that finds it: every length, line, page number and flag can be anything. Only `EseError`s may come out,
 * in bounded time and with bounded disk space.
 */
const RUNS = Number(process.env.ESEKIT_MUTATIONS ?? 15);
const TIME_MAX_MS = 20_000;
const DISK_BYTES = 64 * 1024 * 1024;

type Mutate = (disk: SimulatedDisk, random: Random) => string;

/** Changes a few bytes: at random, to extremes, or copied from elsewhere. */
function damage(bytes: Uint8Array, from: number, to: number, random: Random): string {
  const what: string[] = [];
  for (let n = 1 + randomBelow(random, 4); n > 0; n--) {
    const at = from + randomBelow(random, to - from);
    const kind = randomBelow(random, 5);
    if (kind === 0) bytes[at] = (bytes[at] ?? 0) ^ (1 << randomBelow(random, 8));
    else if (kind === 1) bytes[at] = [0, 1, 0x7f, 0x80, 0xff][randomBelow(random, 5)] ?? 0;
    else if (kind === 2) bytes[at] = randomBelow(random, 256);
    else if (kind === 3) bytes.fill(randomBelow(random, 2) === 0 ? 0 : 0xff, at, Math.min(to, at + 8));
    else
      bytes.copyWithin(at, from + randomBelow(random, to - from), Math.min(to, at + randomBelow(random, 64)));
    what.push(`${kind}@${at.toString(16)}`);
  }
  return what.join(' ');
}

function change(disk: SimulatedDisk, path: string, edit: (bytes: Uint8Array) => string): string {
  const bytes = readFile(disk, path);
  const what = edit(bytes);
  writeFile(disk, path, bytes);
  return `${path} ${what}`;
}

const mutateLog = (name: string, segments: number): Mutate => {
  return (disk, random) =>
    change(disk, `${LOGS}/${name}`, (bytes) => {
      const isec = 1 + randomBelow(random, segments);
      const segment = bytes.slice(isec * SEGMENT_BYTES, (isec + 1) * SEGMENT_BYTES);
      // Most segments end in filler.
      const filler = segment.findLastIndex((byte) => byte !== 0);
      const what = damage(segment, 40, Math.max(64, filler + 1), random);
      sealPages(new Int32Array(segment.buffer), 0, 1, SEGMENT_BYTES, isec);
      bytes.set(segment, isec * SEGMENT_BYTES);
      return `segment ${isec.toString(16)} ${what}`;
    });
};

const mutateHeaderOf = (name: string): Mutate => {
  return (disk, random) =>
    change(disk, `${LOGS}/${name}`, (bytes) => {
      const header = bytes.slice(0, SEGMENT_BYTES);
      const what = damage(header, 4, 720, random);
      new DataView(header.buffer).setUint32(0, xorChecksum(header), true);
      bytes.set(header);
      return what;
    });
};

const mutatePage: Mutate = (disk, random) =>
  change(disk, `${LOGS}/SRUDB.dat`, (bytes) => {
    const pgno = 1 + randomBelow(random, 170);
    const page = bytes.slice((pgno + 1) * 4096, (pgno + 2) * 4096);
    if (page.every((byte) => byte === 0)) return 'nothing';
    const isHead = randomBelow(random, 2) === 0;
    const what = isHead ? damage(page, 8, 40, random) : damage(page, 8, 4096, random);
    sealPages(new Int32Array(page.buffer), 0, 1, 4096, pgno);
    bytes.set(page, (pgno + 1) * 4096);
    return `page ${pgno} ${what}`;
  });

const mutateDatabaseHeader: Mutate = (disk, random) =>
  change(disk, `${LOGS}/SRUDB.dat`, (bytes) => {
    const header = bytes.slice(0, 4096);
    const what = damage(header, 8, 748, random);
    new DataView(header.buffer).setUint32(0, xorChecksum(header), true);
    bytes.set(header);
    bytes.set(header, 4096);
    return what;
  });

const mutateCheckpoint: Mutate = (disk, random) =>
  change(disk, `${LOGS}/SRU.chk`, (bytes) => {
    const copy = bytes.slice(0, 4096);
    const what = damage(copy, 4, 800, random);
    if (randomBelow(random, 2) === 0) copy[647] = 1;
    new DataView(copy.buffer).setUint32(0, xorChecksum(copy), true);
    bytes.set(copy);
    bytes.set(copy, 4096);
    return what;
  });

const truncateAny: Mutate = (disk, random) => {
  const names = disk.readdir(LOGS).filter((name) => /\.(log|chk|dat)$/.test(name));
  const path = `${LOGS}/${names[randomBelow(random, names.length)]}`;
  const bytes = readFile(disk, path);
  const length = randomBelow(random, bytes.length + 1);
  writeFile(disk, path, bytes.slice(0, length));
  return `${path} cut to ${length}`;
};

const damageAny: Mutate = (disk, random) => {
  const names = disk.readdir(LOGS).filter((name) => /\.(log|chk|dat)$/.test(name));
  return change(disk, `${LOGS}/${names[randomBelow(random, names.length)]}`, (bytes) =>
    damage(bytes, 0, bytes.length, random),
  );
};

describeWithCorpus('recovery of damaged files', () => {
  const kinds: { name: string; set: string[]; base: string; database: string; mutate: Mutate }[] = [
    {
      name: 'records of a whole life',
      set: ['logs', 'secedit'],
      base: 'edb',
      database: OUT,
      mutate: mutateLog('edb.log', 157),
    },
    {
      name: 'the header of its log',
      set: ['logs', 'secedit'],
      base: 'edb',
      database: OUT,
      mutate: mutateHeaderOf('edb.log'),
    },
    {
      name: 'records before a crash',
      set: ['recovery', 'srum-crash-undo'],
      base: 'SRU',
      database: LOGS,
      mutate: mutateLog('SRU.log', 3),
    },
    { name: 'pages', set: ['recovery', 'srum-crash-redo'], base: 'SRU', database: LOGS, mutate: mutatePage },
    {
      name: 'database headers',
      set: ['recovery', 'srum-crash-redo'],
      base: 'SRU',
      database: LOGS,
      mutate: mutateDatabaseHeader,
    },
    {
      name: 'checkpoints',
      set: ['recovery', 'srum-crash-undo'],
      base: 'SRU',
      database: LOGS,
      mutate: mutateCheckpoint,
    },
    {
      name: 'lengths of files',
      set: ['recovery', 'srum-crash-undo'],
      base: 'SRU',
      database: LOGS,
      mutate: truncateAny,
    },
    {
      name: 'anything',
      set: ['recovery', 'srum-crash-undo'],
      base: 'SRU',
      database: LOGS,
      mutate: damageAny,
    },
  ];

  describe.each(kinds)('$name', ({ name, set, base, database, mutate }) => {
    const outcomes = new Map<string, number>();

    beforeAll(async () => {
      const template = diskOfCorpus(...set);
      for (let run = 0; run < RUNS; run++) {
        const seed = run * 7919 + name.length * 104729;
        const random = seededRandom(seed);
        const disk = template.fork();
        disk.capacity = DISK_BYTES;
        const what = mutate(disk, random);
        const start = performance.now();
        let outcome = 'done';
        try {
          await recover(environmentOf(disk, seed), {
            baseName: base,
            logPath: LOGS,
            systemPath: LOGS,
            databasePath: database,
            acceptLoss: randomBelow(random, 4) === 0,
          });
        } catch (error) {
          if (!(error instanceof EseError)) {
            throw new Error(
              `seed ${seed} (${what}): ${error instanceof Error ? error.stack : String(error)}`,
            );
          }
          outcome = error.name;
        }
        const ms = performance.now() - start;
        if (ms > TIME_MAX_MS) throw new Error(`seed ${seed} (${what}) took ${ms} ms`);
        outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
      }
    }, 600_000);

    it('ends with success or with a JET error', () => {
      const total = [...outcomes.values()].reduce((sum, count) => sum + count, 0);
      expect(total).toBe(RUNS);
      if (process.env.ESEKIT_MUTATIONS !== undefined) console.info(name, Object.fromEntries(outcomes));
    });
  });
});
