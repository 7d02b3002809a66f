import { describe, expect, it } from 'vitest';
import { Cursor } from '../../src/engine/cursor.js';
import type { AttachOptions } from '../../src/engine/instance.js';
import { seededEnvironment } from '../../src/io/environment.js';
import {
  createSimulatedDisk,
  formatCall,
  isMutation,
  type SimulatedDisk,
} from '../../src/io/simulated-disk.js';
import { startInstance } from '../../src/recovery/start-instance.js';
import { LAB, LAB_DATABASE, openLabInstance } from '../support/engine-lab.js';
import {
  PROGRAM_TABLE,
  type ProgramLog,
  type ProgramRows,
  programRows,
  runProgram,
} from '../support/engine-program.js';
import { judgeDatabase } from '../support/judge-database.js';
import { withOrderedLogs } from '../support/ordered-logs.js';

/**
 * The engine that is killed, or loses its power, before any call that changes the disk: recovery brings back each
 * transaction whose commit had returned, perhaps some after it, and nothing of the others.
 */
interface Crash {
  readonly place: string;
  readonly left: SimulatedDisk;
  /** Number of the last transaction that was durable, and of the last that may be. */
  readonly durable: number;
  readonly begun: number;
}

/** Each n-th call only; all of them with ESEKIT_FULL. */
const EVERY = process.env.ESEKIT_FULL === undefined ? 61 : 1;

/** Other programs with ESEKIT_SEED. */
const SEED = Number(process.env.ESEKIT_SEED ?? 0);

interface Variant {
  readonly name: string;
  readonly seed: number;
  readonly transactions: number;
  readonly pageSize: number;
  readonly log?: { readonly logFileKiB?: number; readonly logBuffers?: number; readonly circular?: boolean };
  readonly checkpointDepthBytes?: number;
  readonly attach?: AttachOptions;
}

const VARIANTS: readonly Variant[] = [
  {
    name: 'with a small cache, small logs and frequent checkpoints',
    seed: 1 + SEED,
    transactions: 40,
    pageSize: 4096,
    log: { logFileKiB: 128, logBuffers: 8 },
    checkpointDepthBytes: 64 * 1024,
    attach: { cacheBytes: 32 * 4096 },
  },
  {
    name: 'with circular logging',
    seed: 2 + SEED,
    transactions: 40,
    pageSize: 8192,
    log: { logFileKiB: 128, logBuffers: 8, circular: true },
    checkpointDepthBytes: 200 * 1024,
    attach: { cacheBytes: 16 * 8192 },
  },
  {
    name: 'with nothing written but logs',
    seed: 3 + SEED,
    transactions: 30,
    pageSize: 32768,
    log: { logFileKiB: 512, logBuffers: 8 },
  },
];

interface Run {
  readonly crashes: readonly Crash[];
  /** Rows after each transaction, in their text form. */
  readonly states: readonly string[];
}

/** Runs a program, and keeps what its end would leave before each n-th call. */
function interrupt(variant: Variant): Run {
  const { seed, transactions, attach, name: _, ...options } = variant;
  const disk = createSimulatedDisk({ seed });
  disk.mkdir(LAB);
  const log: ProgramLog = { states: [undefined], durable: 0 };
  const crashes: Crash[] = [];
  const note = (place: string, left: SimulatedDisk): void => {
    crashes.push({ place, left, durable: log.durable, begun: log.states.length - 1 });
  };
  let changes = 0;
  disk.faults = (call) => {
    if (isMutation(call) && ++changes % EVERY === 0) {
      note(`killed before ${formatCall(call)}`, disk.fork());
      // A segment arrives as a whole, or not.
      const isInLog = call.operation === 'sync' && call.path.endsWith('.log');
      const left = disk.crash(seed + call.number, variant.pageSize);
      if (!isInLog) note(`without power before ${formatCall(call)}`, left);
    }
    return undefined;
  };
  const instance = openLabInstance(withOrderedLogs(disk), seed, options);
  runProgram(instance, instance.createDatabase(LAB_DATABASE, attach), { seed, transactions, log });
  instance.close();
  disk.faults = undefined;
  note('at the end', disk.fork());
  return { crashes, states: log.states.map(textOf) };
}

const textOf = (rows: ProgramRows | undefined): string =>
  JSON.stringify([...(rows ?? [])].sort(([a], [b]) => a - b));

/** Recovers, and holds the rows against what was committed; then goes on, and ends. */
async function judge(crash: Crash, states: readonly string[], pageSize: number): Promise<void> {
  const { left, durable, begun } = crash;
  const start = () =>
    startInstance({ environment: seededEnvironment({ fs: left, seed: 7 }), logDirectory: LAB, pageSize });
  (await start()).close();
  if (!left.exists(LAB_DATABASE)) {
    expect(durable).toBe(0);
    return;
  }
  judgeDatabase(left, LAB_DATABASE);
  const rows = programRows(left, LAB_DATABASE);
  expect(states.slice(durable, begun + 1)).toContain(textOf(rows));

  const instance = await start();
  const database = instance.attachDatabase(LAB_DATABASE);
  if (rows !== undefined) {
    const session = instance.createSession();
    const cursor = new Cursor(session, database.table(session, PROGRAM_TABLE));
    for (let id = 100; id < 140; id++) cursor.insert({ id, n: id, data: new Uint8Array(700) });
  }
  instance.close();
  judgeDatabase(left, LAB_DATABASE);
  expect(programRows(left, LAB_DATABASE)?.size).toBe(rows === undefined ? undefined : rows.size + 40);
}

describe.each(VARIANTS)('an engine that is interrupted, $name', (variant) => {
  it('has all transactions that were durable, none in part, and goes on', {
    timeout: 3_600_000,
  }, async () => {
    const { crashes, states } = interrupt(variant);
    for (const crash of crashes) {
      try {
        await judge(crash, states, variant.pageSize);
      } catch (cause) {
        throw new Error(`found wrong, ${crash.place}: ${String(cause)}`, { cause });
      }
    }
    expect(crashes.length).toBeGreaterThan(10);
  });
});
