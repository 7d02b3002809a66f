import { describe, expect, it } from 'vitest';
import type { JournalEntry } from '../../src/drill/journal.js';
import { startWorkload } from '../../src/drill/workload.js';
import { LEDGER } from '../../src/drill/workload-tables.js';
import { openDatabaseReader } from '../../src/engine/database-reader.js';
import { type InstanceOptions, openInstance } from '../../src/engine/instance.js';
import { EseError } from '../../src/format/ese-error.js';
import { seededEnvironment } from '../../src/io/environment.js';
import {
  createSimulatedDisk,
  formatCall,
  isMutation,
  SimulatedCrash,
  type SimulatedDisk,
} from '../../src/io/simulated-disk.js';
import { recover } from '../../src/recovery/recover.js';
import { withOrderedLogs } from '../support/ordered-logs.js';
import {
  judgeStructure,
  judgeWorkload,
  WORKLOAD_DATABASE,
  WORKLOAD_FOLDER,
} from '../support/workload-lab.js';

/**
 * Workloads that are killed, or lose their power, before a call that changes the disk: `eseutil /r` brings back every
 * transaction whose commit had returned and no other but the one that was under way, its indexes match its rows, and its
 * space is parted exactly. Recovery, too, is stopped before each of its calls, and run again.
 *
 * Each n-th call only; all of them with ESEKIT_FULL. Other workloads with ESEKIT_SEED.
 */
const IS_FULL = process.env.ESEKIT_FULL !== undefined;
const SEED = Number(process.env.ESEKIT_SEED ?? 0);
const STATES = 14;
const RECOVERIES = 3;
const STEPS_OF_RECOVERY = 6;
const NO_LIMIT = 3_600_000;

interface Variant {
  readonly name: string;
  readonly seed: number;
  readonly rows: number;
  readonly lazy?: boolean;
  readonly instance: Pick<InstanceOptions, 'pageSize' | 'log' | 'checkpointDepthBytes'>;
  readonly cacheBytes?: number;
}

const VARIANTS: readonly Variant[] = [
  {
    name: 'with 4 KiB pages and a small cache',
    seed: SEED + 1,
    rows: 60,
    instance: { pageSize: 4096, log: { logFileKiB: 128 }, checkpointDepthBytes: 96 * 1024 },
    cacheBytes: 48 * 4096,
  },
  {
    name: 'with 8 KiB pages and circular logging',
    seed: SEED + 2,
    rows: 60,
    instance: { pageSize: 8192, log: { logFileKiB: 128, circular: true }, checkpointDepthBytes: 128 * 1024 },
  },
  {
    name: 'with 32 KiB pages and lazy commits',
    seed: SEED + 3,
    rows: 60,
    lazy: true,
    instance: { pageSize: 32768, log: { logFileKiB: 256 }, checkpointDepthBytes: 256 * 1024 },
    cacheBytes: 24 * 32768,
  },
];

/** What is found after a crash. */
interface Found {
  readonly place: string;
  readonly disk: SimulatedDisk;
  /** The journal at that time. */
  readonly journal: readonly JournalEntry[];
}

/** Runs a workload and keeps what a crash before each n-th call would leave. */
function crashes(variant: Variant, every: number): { found: Found[]; calls: number } {
  const { seed, rows, lazy = false, instance: options, cacheBytes } = variant;
  const { pageSize = 4096 } = options;
  const disk = createSimulatedDisk({ seed });
  disk.mkdir(WORKLOAD_FOLDER);
  const journal: JournalEntry[] = [];
  const found: Found[] = [];
  let calls = 0;
  disk.faults = (call) => {
    if (!isMutation(call) || ++calls % every !== 0) return undefined;
    const known = journal.slice();
    found.push({ place: `killed before ${formatCall(call)}`, disk: disk.fork(), journal: known });
    // A segment of a log arrives as a whole, or not.
    if (call.operation === 'sync' && call.path.endsWith('.log')) return undefined;
    const place = `without power before ${formatCall(call)}`;
    found.push({ place, disk: disk.crash(seed + call.number, pageSize), journal: known });
    return undefined;
  };
  const instance = openInstance({
    environment: seededEnvironment({ fs: withOrderedLogs(disk), seed }),
    logDirectory: WORKLOAD_FOLDER,
    ...options,
  });
  const database = instance.createDatabase(WORKLOAD_DATABASE, {
    extensionPages: 32,
    ...(cacheBytes === undefined ? {} : { cacheBytes }),
  });
  const workload = startWorkload(instance, database, {
    seed,
    rows,
    lazy,
    batch: 6,
    onDurable: (entries) => journal.push(...entries),
  });
  while (workload.step());
  workload.finish();
  instance.close();
  disk.faults = undefined;
  found.push({ place: 'at the end', disk: disk.fork(), journal });
  return { found, calls };
}

function recoverOn(disk: SimulatedDisk, seed: number) {
  return recover(seededEnvironment({ fs: withOrderedLogs(disk), seed }), {
    baseName: 'E00',
    logPath: WORKLOAD_FOLDER,
    systemPath: WORKLOAD_FOLDER,
    databasePath: WORKLOAD_FOLDER,
  });
}

/** Recovers; false where the crash came before the stream had its first log. */
async function isRecovered(disk: SimulatedDisk): Promise<boolean> {
  try {
    await recoverOn(disk, 99);
    return true;
  } catch (error) {
    if (
      error instanceof EseError &&
      error.name === 'JET_errMissingLogFile' &&
      !disk.exists(WORKLOAD_DATABASE)
    ) {
      return false;
    }
    throw error;
  }
}

async function judge({ disk, journal }: Found, isLazy: boolean): Promise<void> {
  if (!disk.exists(WORKLOAD_DATABASE) || !hasLedger(disk)) {
    expect(journal).toEqual([]);
    return;
  }
  const verdict = await judgeWorkload(disk, journal);
  expect(verdict).toMatchObject({
    ok: true,
    transactions: { missing: [], holes: [] },
    rows: { missing: [], different: [], extra: [] },
  });
  if (!isLazy) expect(verdict.transactions.unjournalled.length).toBeLessThanOrEqual(1);
}

function hasLedger(disk: SimulatedDisk): boolean {
  judgeStructure(disk);
  const reader = openDatabaseReader(disk, WORKLOAD_DATABASE);
  const names = reader.tables().map(({ name }) => name);
  reader.close();
  return names.includes(LEDGER.name);
}

describe.each(VARIANTS)('a workload $name', (variant) => {
  const isLazy = variant.lazy === true;
  /** Calls of the whole workload. */
  const { calls } = crashes(variant, Number.POSITIVE_INFINITY);

  it('is recovered after a crash before any of its calls', { timeout: NO_LIMIT }, async () => {
    const { found } = crashes(variant, IS_FULL ? 1 : Math.ceil(calls / STATES));
    for (const state of found) {
      try {
        if (await isRecovered(state.disk)) await judge(state, isLazy);
        else expect(state.journal).toEqual([]);
      } catch (cause) {
        throw new Error(`found wrong, ${state.place}: ${String(cause)}`, { cause });
      }
    }
    if (IS_FULL) console.log(`${variant.name}: ${found.length} states after ${calls} calls`);
  });

  it('is recovered by a recovery that follows an interrupted one', { timeout: NO_LIMIT }, async () => {
    const states = IS_FULL ? 4 * RECOVERIES : RECOVERIES;
    const { found } = crashes(variant, Math.ceil((2 * calls) / (states + 1)));
    const { pageSize = 4096 } = variant.instance;
    let interruptions = 0;
    for (const state of found) {
      const steps = await stepsOfRecovery(state.disk.fork());
      const every = IS_FULL ? 1 : Math.max(1, Math.floor(steps / STEPS_OF_RECOVERY));
      for (let step = every; step <= steps; step += every) {
        const stopped = state.disk.fork();
        await interrupt(stopped, step);
        for (const seed of [undefined, step]) {
          const disk = seed === undefined ? stopped.fork() : stopped.crash(seed, pageSize);
          try {
            if (await isRecovered(disk)) await judge({ ...state, disk }, isLazy);
          } catch (cause) {
            const how = seed === undefined ? 'killed' : 'without power';
            throw new Error(
              `found wrong, ${state.place}, recovery ${how} before call ${step}: ${String(cause)}`,
              {
                cause,
              },
            );
          }
          interruptions++;
        }
      }
    }
    expect(interruptions).toBeGreaterThan(2 * RECOVERIES);
    if (IS_FULL) console.log(`${variant.name}: ${interruptions} interrupted recoveries`);
  });
});

/** How many calls of recovery change the disk. */
async function stepsOfRecovery(disk: SimulatedDisk): Promise<number> {
  let steps = 0;
  disk.faults = (call) => {
    if (isMutation(call)) steps++;
    return undefined;
  };
  await isRecovered(disk);
  return steps;
}

/** Starts recovery, and stops it before one of the calls that change the disk. */
async function interrupt(disk: SimulatedDisk, step: number): Promise<void> {
  let steps = 0;
  disk.faults = (call) => (isMutation(call) && ++steps === step ? { kind: 'stop' } : undefined);
  try {
    await recoverOn(disk, 98);
  } catch (error) {
    if (error instanceof SimulatedCrash) return;
    throw error;
  }
  throw new Error('recovery went on after it was stopped');
}
