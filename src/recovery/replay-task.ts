import { type RangeTask, sendError } from '../workers/range-job.js';
import { NeedsCaller, ReplayExecutor } from './replay-executor.js';
import {
  CONTROL,
  CONTROL_WORDS,
  ITEM,
  type ReplayMemoryParts,
  SCRATCH_BYTES,
  STATE,
} from './replay-layout.js';
import { ReplayMemory } from './replay-memory.js';

/** What a thread of a replay needs to know. */
export interface ReplayTaskInput {
  readonly parts: ReplayMemoryParts;
  /** Its number; the caller is thread 0. */
  readonly thread: number;
}

/** Looks at the queue before the thread sleeps. */
const SPINS = 3000;
const SLEEP_MS = 1000;

/** The task of a worker thread: one range, which ends when the caller says so. */
export function createTask({ parts, thread }: ReplayTaskInput): RangeTask<null> {
  const executor = new ReplayExecutor(new ReplayMemory(parts), thread);
  return { runRange: () => serve(executor), result: () => null, close: () => {} };
}

function serve(executor: ReplayExecutor): void {
  const { words } = executor.memory;
  const control = executor.thread * CONTROL_WORDS;
  if (Atomics.compareExchange(words, control + CONTROL.state, STATE.starting, STATE.ready) !== STATE.starting)
    return;
  for (let spins = 0; ; spins++) {
    const queued = Atomics.load(words, control + CONTROL.queued);
    if (queued !== executor.next) {
      spins = 0;
      if (executor.run(queued, true)) continue;
      stop(executor, control);
      return;
    }
    if (Atomics.load(words, control + CONTROL.state) === STATE.ending) return;
    if (spins < SPINS) continue;
    spins = 0;
    Atomics.store(words, control + CONTROL.asleep, 1);
    Atomics.wait(words, control + CONTROL.queued, queued, SLEEP_MS);
    Atomics.store(words, control + CONTROL.asleep, 0);
  }
}

/** Leaves the rest of the queue to the caller, with the error if there is one. */
function stop(executor: ReplayExecutor, control: number): void {
  const { memory, failure, thread, next } = executor;
  const { words, bytes, layout } = memory;
  words[control + CONTROL.failed] = words[executor.itemAt(next) + ITEM.order] ?? 0;
  words[control + CONTROL.errorBytes] = 0;
  if (failure !== undefined && !(failure instanceof NeedsCaller)) {
    const text = Buffer.from(JSON.stringify(sendError(failure)));
    if (text.length <= SCRATCH_BYTES) {
      bytes.set(text, layout.scratch + thread * SCRATCH_BYTES);
      words[control + CONTROL.errorBytes] = text.length;
    }
  }
  Atomics.store(words, control + CONTROL.state, STATE.stopped);
  Atomics.notify(words, control + CONTROL.done);
}
