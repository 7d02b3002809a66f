import { readFileSync } from 'node:fs';
import { beforeAll, expect, it } from 'vitest';
import { EseError } from '../../src/format/ese-error.js';
import { seededEnvironment } from '../../src/io/environment.js';
import { seededRandom } from '../../src/io/seeded-random.js';
import { createSimulatedDisk } from '../../src/io/simulated-disk.js';
import { defragment } from '../../src/maintenance/defrag.js';
import { checkIntegrity } from '../../src/maintenance/integrity.js';
import { corpusPath, describeWithCorpus } from '../corpus.js';
import { mutateFile } from '../support/file-mutation.js';
import { putFile, readFile } from '../support/files.js';
import { SAMPLE, sampleDatabase } from '../support/sample-database.js';

/** More than a run of all tests can afford: `ESEKIT_MUTATIONS=5000 npx vitest run …`. */
const MUTATIONS = Number(process.env.ESEKIT_MUTATIONS ?? 40);

const DATABASE = '/db.edb';

describeWithCorpus('defragmenting damaged databases', () => {
  const files: Uint8Array[] = [];
  beforeAll(() => {
    for (const name of ['multi.edb', 'text.edb', 'index.edb', 'compressed-8k.edb', 'secedit.sdb']) {
      files.push(new Uint8Array(readFileSync(corpusPath('databases', name))));
    }
    files.push(readFile(sampleDatabase({ rows: 40, deletesColumns: true }), SAMPLE));
  });

  it(`gives a sound database or an error, never half of one (${MUTATIONS} damaged files)`, async () => {
    let finished = 0;
    for (let seed = 1; seed <= MUTATIONS; seed++) {
      const disk = createSimulatedDisk();
      putFile(disk, DATABASE, files[seed % files.length] ?? new Uint8Array());
      mutateFile(disk, DATABASE, seededRandom(seed));
      const before = Buffer.from(readFile(disk, DATABASE));
      try {
        try {
          await defragment(seededEnvironment({ fs: disk, seed }), DATABASE, { workers: 1 });
        } catch (error) {
          if (!(error instanceof EseError) || error.name === 'JET_errInternalError') throw error;
          expect(Buffer.from(readFile(disk, DATABASE)).equals(before)).toBe(true);
          expect(disk.readdir('/')).toEqual(['db.edb']);
          continue;
        }
        finished++;
        const { report } = await checkIntegrity({ fs: disk }, DATABASE, { comparesIndexes: false });
        expect(report.findings.filter(({ severity }) => severity === 'error')).toEqual([]);
        expect(disk.readdir('/')).toEqual(['db.edb']);
      } catch (cause) {
        throw new Error(`seed ${seed}: ${String(cause)}`, { cause });
      }
    }
    expect(finished).toBeGreaterThan(0);
  });
});
