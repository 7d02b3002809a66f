import { readFileSync } from 'node:fs';
import { beforeAll, expect, it } from 'vitest';
import { EseError } from '../../../src/format/ese-error.js';
import { seededEnvironment } from '../../../src/io/environment.js';
import { seededRandom } from '../../../src/io/seeded-random.js';
import { createSimulatedDisk } from '../../../src/io/simulated-disk.js';
import { checkIntegrity } from '../../../src/maintenance/integrity.js';
import { repair } from '../../../src/maintenance/repair.js';
import { corpusPath, describeWithCorpus } from '../../corpus.js';
import { mutateFile } from '../../support/file-mutation.js';
import { putFile, readFile } from '../../support/files.js';
import { SAMPLE, sampleDatabase } from '../../support/sample-database.js';

/** More than a run of all tests can afford: `ESEKIT_MUTATIONS=5000 npx vitest run …`. */
const MUTATIONS = Number(process.env.ESEKIT_MUTATIONS ?? 24);
const FIRST = 1;

const DATABASE = '/db.edb';
/** What no repair can get past. */
const REFUSALS = ['JET_errDatabaseCorrupted', 'JET_errInvalidDatabaseVersion', 'JET_errPageSizeMismatch'];

describeWithCorpus('repairing damaged databases', () => {
  const files: Uint8Array[] = [];
  beforeAll(() => {
    for (const name of ['multi.edb', 'text.edb', 'index.edb', 'compressed-8k.edb', 'secedit.sdb']) {
      files.push(new Uint8Array(readFileSync(corpusPath('databases', name))));
    }
    files.push(readFile(sampleDatabase({ rows: 40, deletesColumns: true }), SAMPLE));
  }, 60_000);

  it(`gives a sound database, or says why not and changes nothing (${MUTATIONS} damaged files)`, async () => {
    let finished = 0;
    for (let seed = FIRST; seed < FIRST + MUTATIONS; seed++) {
      const disk = createSimulatedDisk();
      putFile(disk, DATABASE, files[seed % files.length] ?? new Uint8Array());
      mutateFile(disk, DATABASE, seededRandom(seed));
      const before = Buffer.from(readFile(disk, DATABASE));
      const run = (n: number) =>
        repair(seededEnvironment({ fs: disk, seed: n }), DATABASE, {
          inPlace: true,
          workers: 1,
          forceHeader: true,
        });
      try {
        try {
          await run(seed);
        } catch (error) {
          if (!(error instanceof EseError) || !REFUSALS.includes(error.name)) throw error;
          if (error.message.includes('not sound')) throw error;
          expect(Buffer.from(readFile(disk, DATABASE)).equals(before)).toBe(true);
          expect(disk.readdir('/')).toEqual(['db.edb']);
          continue;
        }
        finished++;
        const { report } = await checkIntegrity({ fs: disk }, DATABASE);
        expect(report.findings.filter(({ severity }) => severity === 'error')).toEqual([]);
        expect(disk.readdir('/')).toEqual(['db.edb']);
        const once = Buffer.from(readFile(disk, DATABASE));
        expect((await run(seed + 1)).report.action).toBe('none');
        expect(Buffer.from(readFile(disk, DATABASE)).equals(once)).toBe(true);
      } catch (cause) {
        throw new Error(`seed ${seed}: ${String(cause)}`, { cause });
      }
    }
    expect(finished).toBeGreaterThan(0);
  }, 300_000);
});
