import { expect, it } from 'vitest';
import { Cursor } from '../../src/engine/cursor.js';
import { createTable } from '../../src/engine/schema.js';
import { seededEnvironment } from '../../src/io/environment.js';
import { startInstance } from '../../src/recovery/start-instance.js';
import { createEngineLab, LAB, LAB_DATABASE } from '../support/engine-lab.js';

function counter() {
  const lab = createEngineLab();
  const { instance, database } = lab;
  const owner = instance.createSession();
  const table = createTable(database, owner, {
    name: 'Counters',
    columns: [
      { name: 'id', type: 'long' },
      { name: 'count', type: 'long', escrow: true, defaultValue: 100 },
      { name: 'name', type: 'text' },
    ],
    indexes: [{ name: 'primary', segments: ['id'], primary: true }],
  });
  new Cursor(owner, table).insert({ id: 1, name: 'x' });
  const sessions = [0, 1, 2].map(() => instance.createSession());
  const cursors = sessions.map((session) => new Cursor(session, table));
  const add = (i: number, amount: number): number => {
    const cursor = cursors[i];
    if (cursor === undefined || !cursor.seek('=', 1)) throw new Error('no row');
    return cursor.add('count', amount);
  };
  const seen = (i: number): unknown => {
    cursors[i]?.seek('=', 1);
    return cursors[i]?.get('count');
  };
  return { ...lab, sessions, cursors, add, seen };
}

it('several sessions add to a number at the same time, and each rollback takes back its own amount', () => {
  const { sessions, add, seen } = counter();
  const [a, b] = sessions;
  a?.begin();
  b?.begin();
  add(0, 5);
  add(1, 20);
  add(0, 1);
  expect([seen(0), seen(1), seen(2)]).toEqual([106, 120, 100]);
  a?.rollback();
  expect([seen(1), seen(2)]).toEqual([120, 100]);
  b?.commit();
  expect([seen(0), seen(1), seen(2)]).toEqual([120, 120, 120]);
});

it('nobody else may change the row meanwhile', () => {
  const { sessions, cursors, add } = counter();
  sessions[0]?.begin();
  add(0, 5);
  cursors[1]?.seek('=', 1);
  expect(() => cursors[1]?.update({ name: 'y' })).toThrow(
    expect.objectContaining({ name: 'JET_errWriteConflict' }),
  );
  expect(() => cursors[1]?.delete()).toThrow(expect.objectContaining({ name: 'JET_errWriteConflict' }));
});

it('a number that is changed where others add to it is refused too', () => {
  const { cursors } = counter();
  cursors[0]?.seek('=', 1);
  expect(() => cursors[0]?.update({ count: 7 })).toThrow(
    expect.objectContaining({ name: 'JET_errColumnNotUpdatable' }),
  );
});

it('recovery takes back the amounts of those who had not committed', async () => {
  const { disk, instance, sessions, add } = counter();
  sessions[0]?.begin();
  sessions[1]?.begin();
  add(0, 5);
  add(1, 20);
  add(0, 1);
  sessions[1]?.commit();
  add(0, 1000);
  add(2, 3);
  instance.checkpoint();
  const left = disk.fork();
  const again = await startInstance({
    environment: seededEnvironment({ fs: left, seed: 2 }),
    logDirectory: LAB,
  });
  const database = again.attachDatabase(LAB_DATABASE);
  const session = again.createSession();
  const cursor = new Cursor(session, database.table(session, 'Counters'));
  cursor.seek('=', 1);
  expect(cursor.get('count')).toBe(123);
});
