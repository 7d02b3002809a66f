#!/usr/bin/env node
/** `eseutil`: the classic program. Everything is in run-eseutil.ts. */

import { runProcess } from './process.js';

void runProcess('eseutil', async () => (await import('./run-eseutil.js')).runEseutil);
