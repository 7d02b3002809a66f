#!/usr/bin/env node
/** `esekit`: the program for what the originals do not have. Everything is in run-esekit.ts. */

import { runProcess } from './process.js';

void runProcess('esekit', async () => (await import('./run-esekit.js')).runEsekit);
