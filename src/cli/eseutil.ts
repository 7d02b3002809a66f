#!/usr/bin/env node
/** `eseutil`: the classic program. Everything is in run-eseutil.ts; here is only the process. */

import { nodeHost, OutputClosed } from './host.js';
import { runEseutil } from './run-eseutil.js';

try {
  process.exitCode = await runEseutil(process.argv.slice(2), nodeHost());
} catch (error) {
  if (error instanceof OutputClosed) {
    // The reader has what it wanted; what was done is done.
    process.exitCode = 0;
  } else {
    throw error;
  }
}
