import { describe, expect, it } from 'vitest';
import { Cursor } from '../../src/engine/cursor.js';
import { createTable } from '../../src/engine/schema.js';
import { seededEnvironment } from '../../src/io/environment.js';
import { startInstance } from '../../src/recovery/start-instance.js';
import { createEngineLab, LAB, LAB_DATABASE } from '../support/engine-lab.js';

/** A table with three rows, attached again: nobody remembers the last number. */
async function attached(key: 'number' | 'name') {
  const { disk, instance, database } = createEngineLab();
  const session = instance.createSession();
  const table = createTable(database, session, {
    name: 't',
    columns: [
      { name: 'number', type: 'long', autoIncrement: true },
      { name: 'name', type: 'text' },
    ],
    indexes: [
      { name: 'primary', primary: true, segments: [key] },
      { name: 'number', unique: true, segments: ['number'] },
    ].filter(({ name }) => name !== key),
  });
  const cursor = new Cursor(session, table);
  for (const name of ['c', 'b', 'a']) cursor.insert({ name });
  instance.close();
  const again = await startInstance({
    environment: seededEnvironment({ fs: disk, seed: 2 }),
    logDirectory: LAB,
  });
  return again.attachDatabase(LAB_DATABASE);
}

describe.each(['number', 'name'] as const)('numbers of a table ordered by its %s', (key) => {
  it('go on behind the largest row', async () => {
    const database = await attached(key);
    const session = database.transactions.createSession();
    const cursor = new Cursor(session, database.table(session, 't'));
    cursor.gotoBookmark(cursor.insert({ name: 'd' }));
    expect(cursor.get('number')).toBe(4);
  });

  it('are not those of rows whose deletion may be rolled back', async () => {
    const database = await attached(key);
    const session = database.transactions.createSession();
    const cursor = new Cursor(session, database.table(session, 't'));
    session.begin();
    session.begin();
    for (let on = cursor.first(); on; on = cursor.first()) cursor.delete();
    cursor.insert({ name: 'x' });
    session.rollback();
    cursor.gotoBookmark(cursor.insert({ name: 'd' }));
    expect(cursor.get('number')).toBe(5);
    session.commit();
  });

  it('are not those of rows that another session has not committed', async () => {
    const database = await attached(key);
    const [session, other] = [database.transactions.createSession(), database.transactions.createSession()];
    other.begin();
    const theirs = new Cursor(other, database.table(other, 't'));
    theirs.insert({ number: 10, name: 'y' });
    const cursor = new Cursor(session, database.table(session, 't'));
    cursor.gotoBookmark(cursor.insert({ name: 'd' }));
    expect(cursor.get('number')).toBe(11);
    other.rollback();
  });
});

it('the first number is 1', () => {
  const { instance, database } = createEngineLab();
  const session = instance.createSession();
  const table = createTable(database, session, {
    name: 't',
    columns: [{ name: 'number', type: 'longLong', autoIncrement: true }],
  });
  const cursor = new Cursor(session, table);
  cursor.insert({});
  cursor.insert({});
  cursor.last();
  expect(cursor.get('number')).toBe(2n);
});
