import { expect, it } from 'vitest';
import { Cursor } from '../../src/engine/cursor.js';
import type { SimulatedDisk } from '../../src/io/simulated-disk.js';
import { recover } from '../../src/recovery/recover.js';
import { createEngineLab, LAB, LAB_DATABASE } from '../support/engine-lab.js';
import { readFile } from '../support/files.js';
import { judgeDatabase } from '../support/judge-database.js';
import { createNumbers, NUMBERS, numbersIn } from '../support/numbers.js';
import { environmentOf, writeFile } from '../support/recovery-disk.js';

const PAGE = 4096;
const ROWS = 200;
/** Rows of four neighbouring leaves at least. */
const DELETED = { first: 30, last: 150 };
/** One of them is deleted by a transaction that takes it back in the end. */
const UNDECIDED = 90;

/**
 * While rows are cleaned up, a neighbour of theirs is deleted and not yet committed. Then that is rolled back, and any
 * one page, but none of the others, gets to the disk before the crash.
 */
it('a row whose deletion was rolled back survives the clean-up around it, whichever page was written', async () => {
  const { disk, instance, database } = createEngineLab({ log: { logFileKiB: 1024 } });
  const session = instance.createSession();
  const cursor = createNumbers(session, database, 'binary');
  const data = new Uint8Array(250);
  for (let n = 0; n < ROWS; n++) cursor.insert({ n, data });
  instance.checkpoint();
  const durable = readFile(disk, LAB_DATABASE);

  const other = instance.createSession();
  other.begin();
  const undecided = new Cursor(other, database.table(other, NUMBERS));
  expect(undecided.seek('=', UNDECIDED)).toBe(true);
  undecided.delete();
  session.transaction(() => {
    for (let n = DELETED.last; n >= DELETED.first; n--) {
      if (n === UNDECIDED) continue;
      expect(cursor.seek('=', n)).toBe(true);
      cursor.delete();
    }
  });
  other.rollback();
  other.begin();
  expect(undecided.seek('=', UNDECIDED)).toBe(true);
  undecided.delete();
  instance.cleanUp();
  other.rollback();
  instance.transactions.log.makeDurable();
  const logs = disk.fork();
  database.flush();
  const written = readFile(disk, LAB_DATABASE);

  const expected = Array.from({ length: ROWS }, (_, n) => n).filter(
    (n) => n === UNDECIDED || n < DELETED.first || n > DELETED.last,
  );
  const changed: number[] = [];
  for (let at = 2 * PAGE; at < written.length; at += PAGE) {
    const piece = (of: Uint8Array) => of.subarray(at, at + PAGE);
    if (Buffer.compare(piece(durable), piece(written)) !== 0) changed.push(at);
  }
  expect(changed.length).toBeGreaterThan(3);
  for (const at of changed) {
    const found: SimulatedDisk = logs.fork();
    const mixed = durable.slice();
    mixed.set(written.subarray(at, at + PAGE), at);
    writeFile(found, LAB_DATABASE, mixed);
    await recover(environmentOf(found), {
      baseName: 'E00',
      logPath: LAB,
      systemPath: LAB,
      databasePath: LAB,
    });
    judgeDatabase(found, LAB_DATABASE);
    expect([at / PAGE - 1, numbersIn(found, LAB_DATABASE)]).toEqual([at / PAGE - 1, expected]);
  }
});
