import { EseError } from '../../src/format/ese-error.js';
import type { JetErrorName } from '../../src/format/jet-errors.js';
import {
  createSimulatedDisk,
  type DiskCall,
  type FaultPlan,
  failAtCall,
  formatCall,
  isMutation,
  SimulatedCrash,
  type SimulatedDisk,
  stopAtCall,
} from '../../src/io/simulated-disk.js';

/** Where a program was interrupted, and in which state the disk was found. */
export interface CrashPoint {
  /** Number of the call that did not happen any more; one more than there are for "after the program". */
  readonly call: number;
  /** What chose the state of the disk; undefined: nothing was lost, only the program died. */
  readonly seed: number | undefined;
}

export interface CrashTest {
  /** Chooses everything that is left to chance. */
  readonly seed: number;
  /** Space on the disk, in bytes. Default: without limit. */
  readonly capacity?: number;
  /** Makes what is there at the start; nothing fails here. */
  readonly prepare?: (disk: SimulatedDisk) => void;
  /** What is interrupted. It does the same calls each time it runs. */
  readonly program: (disk: SimulatedDisk) => void;
  /** Looks at the disk that is found afterwards; throws when it must not be so. */
  readonly check: (left: SimulatedDisk, point: CrashPoint) => void;
  /** States of the disk to look at for each interrupted call, besides the one without loss. Default: 2. */
  readonly statesPerCall?: number;
  /** Interrupts only each n-th changing call. Default: 1. */
  readonly every?: number;
  /** Runs this one point again, as the message of a failure names it. */
  readonly only?: CrashPoint;
}

/**
 * Runs the program once, and before each call that changes the disk (and after the last one) looks at the
 * states in which a power failure, or the death of the program, may leave it.
 *
 * @returns how many states were looked at
 */
export function crashAtEveryCall(test: CrashTest): number {
  const disk = preparedDisk(test);
  const inspector = newInspector(test);
  let changes = 0;
  disk.faults = (call) => {
    if (isMutation(call) && ++changes % (test.every ?? 1) === 0) inspector.inspect(disk, call);
    return undefined;
  };
  test.program(disk);
  disk.faults = undefined;
  inspector.inspect(disk, { number: disk.calls + 1, operation: 'close', path: 'the end' });
  return inspector.result();
}

/**
 * The same, but really stops the program at each of these calls, in a run of its own: the interruption
 * goes through its `catch` and `finally`, and must come out.
 */
export function stopAtEveryCall(test: CrashTest): number {
  const inspector = newInspector(test);
  const calls = changingCalls(test).filter((_, index) => (index + 1) % (test.every ?? 1) === 0);
  for (const call of calls) {
    const disk = preparedDisk(test, stopAtCall(call.number));
    try {
      test.program(disk);
    } catch (error) {
      if (!(error instanceof SimulatedCrash)) throw error;
      inspector.inspect(disk, call);
      continue;
    }
    throw new Error(`the program went on after it was stopped before call ${formatCall(call)}`);
  }
  return inspector.result();
}

/**
 * Lets each changing call fail with an I/O error (or another), in a run of its own. The program may end
 * with an `EseError` or none; `check` sees what the next process finds, without loss and with.
 */
export function failAtEveryCall(test: CrashTest, error: JetErrorName = 'JET_errDiskIO'): number {
  const inspector = newInspector(test);
  for (const [index, call] of changingCalls(test).entries()) {
    if ((index + 1) % (test.every ?? 1) !== 0) continue;
    const disk = preparedDisk(test, failAtCall(call.number, error));
    try {
      test.program(disk);
    } catch (thrown) {
      if (!(thrown instanceof EseError)) throw thrown;
    }
    inspector.inspect(disk, call);
  }
  return inspector.result();
}

function preparedDisk(test: CrashTest, faults?: FaultPlan): SimulatedDisk {
  const disk = createSimulatedDisk({
    seed: test.seed,
    ...(test.capacity === undefined ? {} : { capacity: test.capacity }),
  });
  test.prepare?.(disk);
  disk.faults = faults;
  return disk;
}

function changingCalls(test: CrashTest): DiskCall[] {
  const calls: DiskCall[] = [];
  const disk = preparedDisk(test, (call) => {
    if (isMutation(call)) calls.push(call);
    return undefined;
  });
  test.program(disk);
  return calls;
}

interface Inspector {
  inspect(disk: SimulatedDisk, call: DiskCall): void;
  /** States seen; throws the first failure, which the program may have caught. */
  result(): number;
}

function newInspector(test: CrashTest): Inspector {
  let states = 0;
  let failure: Error | undefined;
  return {
    inspect(disk, call) {
      const seeds: (number | undefined)[] = [undefined];
      for (let state = 0; state < (test.statesPerCall ?? 2); state++) {
        seeds.push(test.seed + call.number * 1000 + state);
      }
      for (const seed of seeds) {
        const { only } = test;
        if (failure !== undefined) return;
        if (only !== undefined && (only.call !== call.number || only.seed !== seed)) continue;
        states++;
        try {
          test.check(seed === undefined ? disk.fork() : disk.crash(seed), { call: call.number, seed });
        } catch (cause) {
          const where = `{ call: ${call.number}, seed: ${seed} }, before ${formatCall(call)}`;
          failure = new Error(`found wrong at ${where}: ${String(cause)}`, { cause });
        }
      }
    },
    result() {
      if (failure !== undefined) throw failure;
      return states;
    },
  };
}
