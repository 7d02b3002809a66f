import { describe, expect, it } from 'vitest';
import { Cursor } from '../../src/engine/cursor.js';
import { seededEnvironment } from '../../src/io/environment.js';
import { startInstance } from '../../src/recovery/start-instance.js';
import { createEngineLab, LAB, LAB_DATABASE } from '../support/engine-lab.js';
import { judgeDatabase } from '../support/judge-database.js';
import { createNumbers, NUMBERS, numbersIn } from '../support/numbers.js';

const SECOND = `${LAB}/second.edb`;

function twoDatabases() {
  const lab = createEngineLab({ log: { logFileKiB: 64 } });
  const { instance, database } = lab;
  const second = instance.createDatabase(SECOND);
  const session = instance.createSession();
  const cursors = [database, second].map((one) => createNumbers(session, one));
  const insert = (n: number, which: readonly number[] = [0, 1]): void => {
    for (const i of which) cursors[i]?.insert({ n });
  };
  return { ...lab, second, session, insert };
}

describe('several databases of one stream', () => {
  it('take part in the same transactions', () => {
    const { disk, instance, session, insert } = twoDatabases();
    session.transaction(() => insert(1));
    session.begin();
    insert(2);
    session.rollback();
    session.transaction(() => insert(3, [1]));
    instance.close();
    expect(numbersIn(disk, LAB_DATABASE)).toEqual([1]);
    expect(numbersIn(disk, SECOND)).toEqual([1, 3]);
    for (const path of [LAB_DATABASE, SECOND]) expect(judgeDatabase(disk, path).leaked).toEqual([]);
  });

  it('come and go while the others are in use', () => {
    const { disk, instance, second, session, insert } = twoDatabases();
    session.transaction(() => insert(1));
    instance.detachDatabase(second);
    expect(numbersIn(disk, SECOND)).toEqual([1]);
    expect(() => insert(2, [1])).toThrow('not attached any more');
    session.transaction(() => insert(2, [0]));
    const again = instance.attachDatabase(SECOND);
    const cursor = new Cursor(session, again.table(session, NUMBERS));
    session.transaction(() => {
      insert(3, [0]);
      cursor.insert({ n: 4 });
    });
    instance.close();
    expect(numbersIn(disk, LAB_DATABASE)).toEqual([1, 2, 3]);
    expect(numbersIn(disk, SECOND)).toEqual([1, 4]);
  });

  it('are recovered together, even one that was detached and attached again', async () => {
    const { disk, instance, second, session, insert } = twoDatabases();
    session.transaction(() => insert(1));
    instance.checkpoint();
    session.transaction(() => insert(2));
    instance.detachDatabase(second);
    session.transaction(() => insert(3, [0]));
    const again = instance.attachDatabase(SECOND);
    const cursor = new Cursor(session, again.table(session, NUMBERS));
    session.transaction(() => cursor.insert({ n: 4 }));
    session.begin();
    insert(5, [0]);
    cursor.insert({ n: 5 });
    instance.transactions.log.makeDurable();
    const left = disk.fork();
    const next = await startInstance({
      environment: seededEnvironment({ fs: left, seed: 2 }),
      logDirectory: LAB,
    });
    next.close();
    expect(numbersIn(left, LAB_DATABASE)).toEqual([1, 2, 3]);
    expect(numbersIn(left, SECOND)).toEqual([1, 2, 4]);
    for (const path of [LAB_DATABASE, SECOND]) judgeDatabase(left, path);
  });
});
