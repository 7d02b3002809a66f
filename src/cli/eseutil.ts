#!/usr/bin/env node
/** `eseutil`: the classic program. Everything is in run-eseutil.ts. */

import { runProcess } from './process.js';
import { runEseutil } from './run-eseutil.js';

await runProcess(runEseutil);
