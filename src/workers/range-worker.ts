import {
  joinJob,
  type Outcome,
  type RangeTaskModule,
  rangeIsDone,
  sendError,
  stopJob,
  takeRange,
  type WorkerRequest,
} from './range-job.js';

/** Entry of a worker thread: takes ranges of the job until there are none. Never throws. */
export async function runShare<Input, Result>(request: WorkerRequest<Input>): Promise<Outcome<Result>> {
  const { module, input, control, rangeCount } = request;
  let range = -1;
  try {
    const { createTask } = (await import(module)) as RangeTaskModule<Input, Result>;
    const task = createTask(input);
    try {
      joinJob(control);
      for (range = takeRange(control, rangeCount); range >= 0; range = takeRange(control, rangeCount)) {
        task.runRange(range);
        rangeIsDone(control);
      }
      return { kind: 'done', result: task.result() };
    } finally {
      task.close();
    }
  } catch (error) {
    stopJob(control);
    return { kind: 'failed', range, error: sendError(error) };
  }
}
