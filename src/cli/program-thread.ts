/** The thread of {@link runInOwnThread}: one run of a program, with the output of the process. */
import { parentPort, workerData } from 'node:worker_threads';
import { nodeHost } from './host.js';
import { claimEnd, type ThreadData } from './own-thread.js';
import { runGuarded } from './process.js';

async function runProgram({ program, argv, programName, claim }: ThreadData): Promise<void> {
  const run =
    program === 'eseutil'
      ? (await import('./run-eseutil.js')).runEseutil
      : (await import('./run-esekit.js')).runEsekit;
  const host = { ...nodeHost(), programName, beforeEnd: () => claimEnd(claim) };
  parentPort?.postMessage(await runGuarded(run, argv, host));
}

void runProgram(workerData as ThreadData);
