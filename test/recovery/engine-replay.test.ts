import { describe, expect, it } from 'vitest';
import { seededEnvironment } from '../../src/io/environment.js';
import { recover } from '../../src/recovery/recover.js';
import { createEngineLab, LAB, LAB_DATABASE } from '../support/engine-lab.js';
import { programRows, runProgram } from '../support/engine-program.js';
import { contentOf, judgeDatabase, openPages } from '../support/judge-database.js';

/**
 * The logs of the engine, replayed into an empty folder by recovery: the same operations, but each stamp and each
 * old state now comes from the records.
 */
const OUT = '/out';

describe.each([4096, 8192, 16384, 32768])('a stream of a database with pages of %i bytes', (pageSize) => {
  it('gives the same pages again, node by node and stamp by stamp', { timeout: 60_000 }, async () => {
    const { disk, instance, database } = createEngineLab({
      pageSize,
      log: { logFileKiB: 128 },
      checkpointDepthBytes: 300_000,
      attach: { cacheBytes: 24 * pageSize },
    });
    const { states } = runProgram(instance, database, { seed: pageSize, transactions: 60 });
    instance.close();
    judgeDatabase(disk, LAB_DATABASE);
    expect(programRows(disk, LAB_DATABASE)).toEqual(states.at(-1));

    disk.mkdir(OUT);
    disk.unlink(`${LAB}/E00.chk`);
    const original = openPages(disk, LAB_DATABASE, pageSize);
    const { nothingToDo } = await recover(seededEnvironment({ fs: disk, seed: 2 }), {
      baseName: 'E00',
      logPath: LAB,
      systemPath: LAB,
      databasePath: OUT,
    });
    expect(nothingToDo).toBe(false);
    const { header } = judgeDatabase(disk, `${OUT}/lab.edb`);
    expect(header.state).toBe(3);
    const replayed = openPages(disk, `${OUT}/lab.edb`, pageSize);
    expect(replayed.lastPgno).toBe(original.lastPgno);
    for (let pgno = 1; pgno <= original.lastPgno; pgno++) {
      expect([pgno, contentOf(replayed, pgno)]).toEqual([pgno, contentOf(original, pgno)]);
    }
  });
});
