import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { EseError } from '../../src/format/ese-error.js';
import { closePool, type RangeJob, runRanges, warmPool } from '../../src/workers/pool.js';
import type { RangeTask } from '../../src/workers/range-job.js';
import type { TestInput } from './worker-task.mjs';

type Job = RangeJob<TestInput, number[]>;

const RANGES = 200;
const ALL_RANGES = Array.from({ length: RANGES }, (_, i) => i);

/** `shared[0]` counts the ranges that workers took, `shared[1]` the tasks they closed, `shared[2]` is their last range. */
let shared = new Int32Array(new SharedArrayBuffer(12));
let closed = 0;

/** The task of the calling thread. Until a worker has taken a range it is slow, so that one can. */
function ownTask(workersExpected: boolean): RangeTask<number[]> {
  const ranges: number[] = [];
  return {
    runRange: (range) => {
      if (workersExpected && Atomics.load(shared, 0) === 0) sleep(20);
      ranges.push(range);
    },
    result: () => ranges,
    close: () => {
      closed += 1;
    },
  };
}

function sleep(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

/** A job that is worth workers, and waits for one. */
function sharedJob(fail: TestInput['fail'] = 'not'): Job {
  return {
    rangeCount: RANGES,
    createTask: () => ownTask(true),
    module: new URL('./worker-task.mjs', import.meta.url).href,
    input: { shared, fail },
    estimateMs: 1000,
  };
}

beforeEach(() => {
  shared = new Int32Array(new SharedArrayBuffer(12));
  closed = 0;
});
beforeAll(() => warmPool(1));
afterAll(() => closePool());

describe('runRanges', () => {
  test('does every range in the calling thread if it is to use one', async () => {
    const job = { ...sharedJob(), createTask: () => ownTask(false) };
    expect(await runRanges(job, { workers: 1 })).toEqual([ALL_RANGES]);
    expect(closed).toBe(1);
  });

  test('does every range once if a worker takes part', async () => {
    const results = await runRanges(sharedJob(), { workers: 2 });
    expect(results).toHaveLength(2);
    expect(results.flat().sort((a, b) => a - b)).toEqual(ALL_RANGES);
    expect(Atomics.load(shared, 0)).toBeGreaterThan(0);
    expect(Atomics.load(shared, 1)).toBe(1);
  });

  test.each([
    ['too short', { estimateMs: 1 }],
    ['without a module for workers', { module: undefined }],
    ['with rests', { restMs: () => 0 }],
  ])('stays in the calling thread for a job %s', async (_, changes) => {
    const job = { ...sharedJob(), rangeCount: 10, ...changes };
    expect(await runRanges(job, { workers: 2 })).toEqual([ALL_RANGES.slice(0, 10)]);
    expect(Atomics.load(shared, 0)).toBe(0);
  });

  test('returns the empty result of the calling thread if there are no ranges', async () => {
    expect(await runRanges({ ...sharedJob(), rangeCount: 0 }, { workers: 2 })).toEqual([[]]);
  });

  test('ends with the error of a worker, its code and place', async () => {
    let done = 0;
    const slow: RangeTask<number[]> = {
      ...ownTask(true),
      runRange: () => {
        sleep(10);
        done += 1;
      },
    };
    const running = runRanges({ ...sharedJob('ese'), createTask: () => slow }, { workers: 2 });
    const error = await running.catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(EseError);
    expect(error).toMatchObject({ code: -1022, detail: 'unreadable', file: 'some.edb' });
    expect(done).toBeLessThan(RANGES - 1);
    expect([closed, Atomics.load(shared, 1)]).toEqual([1, 1]);
  });

  test('throws the error of the lowest range if several fail', async () => {
    let ownRange = Infinity;
    const failing: RangeTask<number[]> = {
      ...ownTask(true),
      runRange: (range) => {
        sleep(20);
        if (Atomics.load(shared, 0) === 0) return;
        ownRange = range;
        throw new EseError('JET_errDiskIO', 'unreadable', { pgno: range });
      },
    };
    const running = runRanges({ ...sharedJob('ese'), createTask: () => failing }, { workers: 2 });
    const error = await running.catch((caught: unknown) => caught);
    expect(error).toMatchObject({ code: -1022, pgno: Math.min(ownRange, Atomics.load(shared, 2)) });
  });

  test.each(['bug', 'exit'] as const)(
    'makes an internal error of a worker that fails by %s',
    async (fail) => {
      await expect(runRanges(sharedJob(fail), { workers: 2 })).rejects.toMatchObject({ code: -107 });
      expect(closed).toBe(1);
    },
  );

  test('works with a new worker after one has died', async () => {
    await expect(runRanges(sharedJob('exit'), { workers: 2 })).rejects.toThrow();
    Atomics.store(shared, 0, 0);
    expect(await runRanges(sharedJob(), { workers: 2 })).toHaveLength(2);
  });

  test('throws an error of the calling thread as it is, and closes its task', async () => {
    const error = new EseError('JET_errDiskIO');
    const task = ownTask(false);
    const failing: RangeTask<number[]> = {
      ...task,
      runRange: (range) => {
        if (range === 5) throw error;
      },
    };
    await expect(runRanges({ ...sharedJob(), createTask: () => failing }, { workers: 1 })).rejects.toBe(
      error,
    );
    expect(closed).toBe(1);
  });

  test('ends with the reason of the signal, and leaves ranges undone', async () => {
    const controller = new AbortController();
    const reason = new Error('enough');
    let done = 0;
    const slow: RangeTask<number[]> = {
      ...ownTask(false),
      runRange: () => {
        sleep(5);
        done += 1;
      },
    };
    const running = runRanges(
      { ...sharedJob(), module: undefined, createTask: () => slow },
      { signal: controller.signal, onProgress: () => controller.abort(reason) },
    );
    await expect(running).rejects.toBe(reason);
    expect(done).toBeLessThan(RANGES);
    await expect(runRanges(sharedJob(), { signal: controller.signal })).rejects.toBe(reason);
  });

  test('tells progress that never falls and ends with all ranges', async () => {
    const told: number[] = [];
    await runRanges(sharedJob(), { workers: 2, onProgress: (done, total) => told.push(done / total) });
    expect(told.length).toBeGreaterThan(1);
    expect(told.at(-1)).toBe(1);
    expect(told).toEqual([...told].sort((a, b) => a - b));
  });

  test('fails if the one who is told the progress fails', async () => {
    const error = new Error('nobody listens');
    const onProgress = () => {
      throw error;
    };
    await expect(runRanges(sharedJob(), { workers: 2, onProgress })).rejects.toBe(error);
    expect(closed).toBe(1);
  });
});
