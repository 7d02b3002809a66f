import { EseError } from '../../dist/format/ese-error.js';

/**
 * A task for the worker threads of the pool's tests. It brings back the ranges that it did.
 *
 * @typedef {{ shared: Int32Array, fail: 'not' | 'ese' | 'bug' | 'exit' }} TestInput
 *   `shared[0]` counts the ranges that workers took, `shared[1]` the tasks they closed,
 *   `shared[2]` is the last range of a worker; `fail` says how they end
 */

/**
 * @param {TestInput} input
 * @returns {import('../../src/workers/range-job.js').RangeTask<number[]>}
 */
export function createTask({ shared, fail }) {
  /** @type {number[]} */
  const ranges = [];
  return {
    runRange(range) {
      Atomics.store(shared, 2, range);
      Atomics.add(shared, 0, 1);
      if (fail === 'ese')
        throw new EseError('JET_errDiskIO', 'unreadable', { file: 'some.edb', pgno: range });
      if (fail === 'bug') throw new TypeError('a mistake');
      if (fail === 'exit') process.exit(1);
      ranges.push(range);
    },
    result: () => ranges,
    close: () => {
      Atomics.add(shared, 1, 1);
    },
  };
}
