import { availableParallelism } from 'node:os';
import { setImmediate, setTimeout as sleep } from 'node:timers/promises';
import type { Piscina } from 'piscina';
import { EseError } from '../format/ese-error.js';
import { elapsedMs } from '../io/elapsed.js';
import {
  createControl,
  hasJoined,
  type Outcome,
  type RangeTask,
  rangeIsDone,
  rangesDone,
  receiveError,
  stopJob,
  takeRange,
  type WorkerRequest,
} from './range-job.js';

/** Told how much of a job is done; `done` never falls, and a finished job ends with `done` = `total`. */
export type Progress = (done: number, total: number) => void;

/** What every long job takes. */
export interface JobOptions {
  /** Threads to use, the calling one included; by default the processors, at most 16. */
  readonly workers?: number | undefined;
  /** Ends the job after the ranges in hand; it then rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /** In ranges; called some sixty times a second. */
  readonly onProgress?: Progress | undefined;
}

/** A job over the ranges 0 .. `rangeCount` - 1. */
export interface RangeJob<Input, Result> {
  readonly rangeCount: number;
  /** Makes the task of the calling thread. */
  createTask(): RangeTask<Result>;
  /**
   * The module from which worker threads make theirs (`createTask(input)`): a URL, or a path relative to the
   * compiled workers folder. Without it the job stays in the calling thread.
   */
  readonly module?: string | undefined;
  /** For the workers' `createTask`; must be cloneable. */
  readonly input: Input;
  /** Rough time of the whole job in one thread, in milliseconds; short jobs start no workers. */
  readonly estimateMs: number;
  /** How long to rest between ranges, in milliseconds, given the ranges done; with it the job stays in the calling thread. */
  readonly restMs?: ((rangesDone: number) => number) | undefined;
}

const WORKERS_MAX = 16;
/** Work that pays for starting a thread, and for waking one that runs already (format specification, chapter 9.1). */
const COLD_START_MS = 150;
const WARM_START_MS = 5;
/** The calling thread lets others run this often. */
const YIELD_MS = 16;
/** How often progress is told while only workers are left. */
const PROGRESS_MS = 50;

/** Compiled workers: the path is the same from the sources and from the compiled files. */
const COMPILED_WORKERS = new URL('../../dist/workers/', import.meta.url);

let pool: Piscina | undefined;

/**
 * Runs a job and returns what its threads found, in no particular order. The calling thread works from
 * the first moment; workers join when they are up, if there is enough to do.
 *
 * Throws the error of the lowest range that failed, `JET_errInternalError` if a worker died, and the
 * signal's reason if it was aborted.
 */
export async function runRanges<Input, Result>(
  job: RangeJob<Input, Result>,
  options: JobOptions = {},
): Promise<Result[]> {
  const { signal, onProgress } = options;
  signal?.throwIfAborted();
  const { rangeCount } = job;
  const control = createControl();
  const stop = () => stopJob(control);
  signal?.addEventListener('abort', stop, { once: true });
  try {
    const threads = helpersOf(job, options.workers ?? defaultWorkers());
    // Loading the library takes many turns of the event loop, which are long once the own share has begun.
    if (threads > 0) await openPool(threads);
    const helpers = startHelpers(job, control, threads);
    const own = await runOwnShare(job, control, options);
    const shares = [own, ...(await collect(helpers, control, options.onProgress, rangeCount))];
    signal?.throwIfAborted();
    const results = resultsOf(shares);
    if (rangesDone(control) !== rangeCount) {
      throw new EseError('JET_errInternalError', `${rangesDone(control)} of ${rangeCount} ranges were done`);
    }
    onProgress?.(rangeCount, rangeCount);
    return results;
  } finally {
    signal?.removeEventListener('abort', stop);
  }
}

/** What became of one thread's share of a job. */
type Share<Result> =
  | { readonly kind: 'done'; readonly result: Result }
  | { readonly kind: 'failed'; readonly range: number; readonly error: unknown };

async function runOwnShare<Input, Result>(
  job: RangeJob<Input, Result>,
  control: Int32Array,
  { signal, onProgress }: JobOptions,
): Promise<Share<Result>> {
  const { rangeCount } = job;
  let range = -1;
  try {
    const task = job.createTask();
    try {
      let yieldedAt = elapsedMs();
      for (range = takeRange(control, rangeCount); range >= 0; range = takeRange(control, rangeCount)) {
        task.runRange(range);
        rangeIsDone(control);
        const done = rangesDone(control);
        const restMs = done < rangeCount ? (job.restMs?.(done) ?? 0) : 0;
        if (restMs <= 0 && elapsedMs() - yieldedAt < YIELD_MS) continue;
        onProgress?.(done, rangeCount);
        await (restMs > 0 ? sleep(restMs, undefined, signal && { signal }) : setImmediate());
        yieldedAt = elapsedMs();
      }
      return { kind: 'done', result: task.result() };
    } finally {
      task.close();
    }
  } catch (error) {
    stopJob(control);
    return { kind: 'failed', range, error };
  }
}

/** How many workers are to take part: none if the job is not worth it. */
function helpersOf<Input, Result>(job: RangeJob<Input, Result>, workers: number): number {
  const { module, rangeCount, estimateMs, restMs } = job;
  const isWorthIt = estimateMs >= (pool === undefined ? COLD_START_MS : WARM_START_MS);
  return module === undefined || restMs !== undefined || !isWorthIt
    ? 0
    : Math.max(0, Math.min(workers, rangeCount) - 1);
}

/** Asks workers to take part. Never rejects. */
function startHelpers<Input, Result>(
  { module, input, rangeCount }: RangeJob<Input, Result>,
  control: Int32Array,
  threads: number,
): Promise<Share<Result>[]> {
  if (module === undefined || threads < 1) return Promise.resolve([]);
  const url = new URL(module, COMPILED_WORKERS).href;
  const request: WorkerRequest<Input> = { module: url, input, control, rangeCount };
  const help = async (): Promise<Share<Result>> => {
    try {
      const outcome: Outcome<Result> = await (await openPool(threads)).run(request, { name: 'runShare' });
      return outcome.kind === 'done' ? outcome : { ...outcome, error: receiveError(outcome.error) };
    } catch (error) {
      stopJob(control);
      return { kind: 'failed', range: -1, error: receiveError({ kind: 'bug', text: String(error) }) };
    }
  };
  return Promise.all(Array.from({ length: threads }, help));
}

/** The shares of the workers. If none has begun when the ranges are used up, there is nothing to wait for. */
async function collect<Result>(
  helpers: Promise<Share<Result>[]>,
  control: Int32Array,
  onProgress: Progress | undefined,
  rangeCount: number,
): Promise<Share<Result>[]> {
  if (!hasJoined(control)) return [];
  for (;;) {
    const shares = await within(PROGRESS_MS, helpers);
    if (shares !== undefined) return shares;
    onProgress?.(rangesDone(control), rangeCount);
  }
}

/** What a promise that never rejects comes to, or `undefined` after a while. No timer is left, which programs would wait for. */
function within<T>(ms: number, promise: Promise<T>): Promise<T | undefined> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms, undefined);
    void promise.then((value) => {
      clearTimeout(timer);
      resolve(value);
    });
  });
}

function resultsOf<Result>(shares: readonly Share<Result>[]): Result[] {
  const failed = shares.filter((share) => share.kind === 'failed').sort((a, b) => a.range - b.range)[0];
  if (failed !== undefined) throw failed.error;
  return shares.flatMap((share) => (share.kind === 'done' ? [share.result] : []));
}

/**
 * Runs one task in a worker thread beside the caller, for jobs that share memory with their workers: the task has a
 * single range. Rejects if the worker fails.
 *
 * @param module as in {@link RangeJob}
 * @param threads workers that the job wants at the same time
 */
export async function runBeside<Input>(module: string, input: Input, threads: number): Promise<void> {
  const url = new URL(module, COMPILED_WORKERS).href;
  const request: WorkerRequest<Input> = { module: url, input, control: createControl(), rangeCount: 1 };
  const outcome: Outcome<unknown> = await (await openPool(threads)).run(request, { name: 'runShare' });
  if (outcome.kind === 'failed') throw receiveError(outcome.error);
}

async function openPool(threads: number): Promise<Piscina> {
  const { Piscina } = await import('piscina');
  if (pool === undefined || pool.maxThreads < threads) {
    void pool?.close();
    const filename = new URL('range-worker.js', COMPILED_WORKERS).href;
    pool = new Piscina({ filename, minThreads: threads, maxThreads: threads, idleTimeout: Infinity });
    // Told of what belongs to no task, such as the answer of a worker that was ended meanwhile; a task that
    // fails rejects its own promise.
    pool.on('error', () => {});
  }
  return pool;
}

/** Whether worker threads are up, or about to be: to use them takes far less then than to start them. */
export function hasWorkers(): boolean {
  return pool !== undefined;
}

/** Threads that a job uses unless told otherwise. */
export function defaultWorkers(): number {
  return Math.min(availableParallelism(), WORKERS_MAX);
}

/** Starts worker threads ahead of the jobs that will use them: for tests, and for many files in a row. */
export async function warmPool(threads: number): Promise<void> {
  const opened = await openPool(threads);
  const request: WorkerRequest<null> = {
    module: 'data:text/javascript,export const createTask = () => ({ result() {}, close() {} })',
    input: null,
    control: createControl(),
    rangeCount: 0,
  };
  await Promise.all(Array.from({ length: threads }, () => opened.run(request, { name: 'runShare' })));
}

/**
 * Ends the worker threads, once they have answered: a job that was given up may still have one on its
 * last range. An idle pool keeps no process alive, so programs need not call it.
 */
export async function closePool(): Promise<void> {
  const closing = pool;
  pool = undefined;
  await closing?.close();
}
