import { copyFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { expect, test } from 'vitest';
import { runEsekit } from '../../src/cli/run-esekit.js';
import { nodeFileSystem } from '../../src/io/node-file-system.js';
import { seededRandom } from '../../src/io/seeded-random.js';
import { corpusPath, describeWithCorpus } from '../corpus.js';
import { mutateFile } from '../support/file-mutation.js';
import { eseutil, runProgram, temporaryFolder } from './run.js';

const folder = temporaryFolder();

const DATABASE_MODES = [
  ['-mh'],
  ['-mm', '-v'],
  ['-ms', '-l', '-d2'],
  ['-mn'],
  ['-k'],
  ['-m', '-p4'],
  ['-m', '-p5'],
];
const FILES: readonly (readonly [name: string, modes: readonly (readonly string[])[]])[] = [
  ['databases/test.edb', DATABASE_MODES],
  ['databases/compressed-8k.edb', DATABASE_MODES],
  ['recovery/srum-clean/SRU.log', [['-ml'], ['-ml', '-v2', '-s'], ['-k']]],
  ['recovery/srum-clean/SRU.chk', [['-mk'], ['-k']]],
  ['databases/secedit.jfm', [['-mp', '-p0'], ['-k']]],
];

/** More seeds for a longer look: ESEKIT_MUTATIONS=2000. */
const SEEDS = Number(process.env.ESEKIT_MUTATIONS ?? 25);

describeWithCorpus('damaged files through every mode', () => {
  test.each(Array.from({ length: SEEDS }, (_, i) => i + 1))(
    'seed %i: a report or one JET error, never a bug',
    async (seed) => {
      const [name, modes] = FILES[seed % FILES.length] ?? ['', []];
      const file = join(folder, `mutated${extname(name)}`);
      copyFileSync(corpusPath(...name.split('/')), file);
      mutateFile(nodeFileSystem, file, seededRandom(seed));
      for (const [mode = '', ...options] of modes) {
        const run = await eseutil([mode, file, ...options]);
        const errors = run.lines.filter((line) => line.startsWith('Operation terminated with error '));
        expect([0, 2, 3], run.stdout).toContain(run.exit);
        expect(errors.length, run.stdout).toBe(run.exit === 0 ? 0 : 1);
        expect(run.stdout).not.toContain('JET_errInternalError');
      }
      if (extname(name) !== '.edb') return;
      const tables = await runProgram(runEsekit, ['tables', file]);
      expect(tables.stderr).not.toContain('JET_errInternalError');
    },
  );
});
