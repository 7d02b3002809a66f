import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { EseError } from '../../src/format/ese-error.js';
import { seededRandom } from '../../src/io/seeded-random.js';
import { createSimulatedDisk } from '../../src/io/simulated-disk.js';
import { assertSound, checkIntegrity, type IntegrityReport } from '../../src/maintenance/integrity.js';
import { corpusPath, describeWithCorpus } from '../corpus.js';
import { mutateFile } from '../support/file-mutation.js';
import { putFile, readFile } from '../support/files.js';

/** More than a run of all tests can afford: `ESEKIT_MUTATIONS=20000 npx vitest run …`. */
const MUTATIONS = Number(process.env.ESEKIT_MUTATIONS ?? 120);

const DATABASES = [
  ['databases', 'multi.edb'],
  ['databases', 'index.edb'],
  ['databases', 'ual-clean.mdb'],
  ['databases', 'compressed-8k.edb'],
  ['recovery', 'srum-clean', 'SRUDB.dat'],
];
const PATH = '/mutated.edb';
const SECONDS_MOST = 10;

/** The report, or the name of the error that kept the file from being checked. */
async function outcomeOf(
  check: () => Promise<{ report: IntegrityReport }>,
): Promise<IntegrityReport | string> {
  try {
    return (await check()).report;
  } catch (error) {
    if (error instanceof EseError) return error.name;
    throw error;
  }
}

describeWithCorpus('databases damaged at random', () => {
  const originals = DATABASES.map((parts) => () => new Uint8Array(readFileSync(corpusPath(...parts))));

  test(
    'are checked to the end, quickly, and always with the same result',
    async () => {
      for (let seed = 1; seed <= MUTATIONS; seed++) {
        const disk = createSimulatedDisk();
        putFile(disk, PATH, originals[seed % originals.length]?.() ?? new Uint8Array(0));
        mutateFile(disk, PATH, seededRandom(seed));
        const before = readFile(disk, PATH);
        const begun = performance.now();
        const outcome = await outcomeOf(() => checkIntegrity({ fs: disk }, PATH));
        expect([seed, performance.now() - begun < SECONDS_MOST * 1000]).toEqual([seed, true]);
        const other = await outcomeOf(() =>
          checkIntegrity({ fs: disk }, PATH, { unitPages: 1, kernel: 'wasm' }),
        );
        expect([seed, other]).toEqual([seed, outcome]);
        let isSound = true;
        try {
          assertSound(disk, PATH);
        } catch (error) {
          if (!(error instanceof EseError)) throw new Error(`seed ${seed}`, { cause: error });
          isSound = false;
        }
        expect([seed, isSound]).toEqual([seed, typeof outcome !== 'string' && !outcome.corrupt]);
        if (typeof outcome !== 'string') {
          const { total, ...classes } = outcome.pages;
          expect(Object.values(classes).reduce((sum, count) => sum + count, 0)).toBe(total);
        }
        expect(Buffer.compare(before, readFile(disk, PATH))).toBe(0);
      }
    },
    60_000 + 3_000 * MUTATIONS,
  );
});
