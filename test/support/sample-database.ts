import { Cursor } from '../../src/engine/cursor.js';
import type { Database } from '../../src/engine/database.js';
import { addColumn, createTable, deleteColumn } from '../../src/engine/schema.js';
import type { Session } from '../../src/engine/transactions.js';
import type { SimulatedDisk } from '../../src/io/simulated-disk.js';
import { createEngineLab, LAB_DATABASE } from './engine-lab.js';

/** What a sample holds. */
export interface SampleOptions {
  readonly pageSize?: number;
  /** Rows of the table `people`. */
  readonly rows?: number;
  /** Every row but each n-th is deleted again. */
  readonly keepEvery?: number;
  /** Columns are deleted, one of each class. */
  readonly deletesColumns?: boolean;
  /** Pages by which the file grows. Default: that of the engine. */
  readonly extensionPages?: number;
}

export const SAMPLE = LAB_DATABASE;

const rowText = (i: number): string => `${i % 7} Łódź ${'αβγ'.repeat(i % 40)} ${i}`;

/** A clean database that an instance made: tables with long values, indexes of each kind, gaps. */
export function sampleDatabase(options: SampleOptions = {}): SimulatedDisk {
  const { pageSize = 4096, rows = 300, keepEvery = 1, deletesColumns = false } = options;
  const { extensionPages } = options;
  const lab = createEngineLab({
    pageSize,
    ...(extensionPages === undefined ? {} : { attach: { extensionPages } }),
  });
  const { instance, database } = lab;
  const session = instance.createSession();
  createPeople(database, session, deletesColumns);
  createTable(database, session, {
    name: 'Empty',
    columns: [{ name: 'a', type: 'long' }],
    pages: 20,
  });
  createTable(database, session, {
    name: 'NoKey',
    columns: [
      { name: 'n', type: 'long' },
      { name: 'note', type: 'longText', unicode: true },
    ],
    indexes: [{ name: 'byN', segments: ['n'] }],
  });
  fillPeople(database, session, rows, deletesColumns);
  const noKey = new Cursor(session, database.table(session, 'NoKey'));
  session.transaction(() => {
    for (let i = 0; i < 25; i++)
      noKey.insert({ n: (i * 7) % 5, note: i % 3 === 0 ? 'x'.repeat(3000 + i) : null });
  });
  if (keepEvery > 1) deleteRows(database, session, keepEvery);
  if (deletesColumns) {
    const people = database.table(session, 'People');
    for (const column of ['goneFixed', 'goneVariable', 'goneTagged']) {
      deleteColumn(database, session, people, column);
    }
  }
  instance.endSession(session);
  instance.cleanUp();
  instance.close();
  return lab.disk;
}

function createPeople(database: Database, session: Session, withGone: boolean): void {
  createTable(database, session, {
    name: 'People',
    columns: [
      { name: 'id', type: 'long', autoIncrement: true },
      ...(withGone ? [{ name: 'goneFixed', type: 'long' } as const] : []),
      { name: 'born', type: 'dateTime' },
      { name: 'small', type: 'short' },
      ...(withGone ? [{ name: 'goneVariable', type: 'text' } as const] : []),
      { name: 'name', type: 'text', maxLength: 80 },
      { name: 'code', type: 'binary', maxLength: 30 },
      ...(withGone ? [{ name: 'goneTagged', type: 'longText' } as const] : []),
      { name: 'picture', type: 'longBinary' },
      { name: 'letter', type: 'longText', unicode: true, compressed: true },
      { name: 'tags', type: 'long', tagged: true, multiValued: true },
      { name: 'papers', type: 'longBinary', multiValued: true },
    ],
    indexes: [
      { name: 'primary', segments: ['id'], primary: true },
      { name: 'byName', segments: ['name', 'small'] },
      { name: 'byCode', segments: [{ column: 'code', descending: true }], nulls: 'ignoreAnyNull' },
      { name: 'byTags', segments: ['tags'] },
      { name: 'unique', segments: ['small', 'id'], unique: true },
      { name: 'tuples', segments: ['name'], tuples: {} },
      { name: 'some', segments: ['born'], conditions: [{ column: 'code', mustBeNull: true }] },
    ],
  });
  addColumn(database, session, database.table(session, 'People'), {
    name: 'later',
    type: 'long',
    defaultValue: 42,
  });
}

function fillPeople(database: Database, session: Session, rows: number, withGone: boolean): void {
  const people = new Cursor(session, database.table(session, 'People'));
  for (let from = 0; from < rows; from += 100) {
    session.transaction(() => {
      for (let i = from; i < Math.min(rows, from + 100); i++) {
        people.insert({
          born: new Date(Date.UTC(1950 + (i % 60), i % 12, 1 + (i % 28))),
          small: i % 9 === 0 ? null : (i % 300) - 150,
          name: `name ${(i * 7919) % rows} of many`,
          code: i % 4 === 0 ? null : new Uint8Array(1 + (i % 29)).fill(i),
          picture: i % 5 === 0 ? new Uint8Array(500 * (1 + (i % 30))).fill(i) : null,
          letter: i % 3 === 0 ? rowText(i) : null,
          tags: i % 2 === 0 ? [i % 10, i % 3, 100 + i] : null,
          papers:
            i % 11 === 0
              ? [new Uint8Array(10).fill(1), new Uint8Array(5000).fill(2), new Uint8Array(20)]
              : null,
          ...(withGone
            ? { goneFixed: i, goneVariable: `gone ${i}`, goneTagged: i % 2 === 0 ? 'g'.repeat(2000) : 'g' }
            : {}),
          ...(i % 6 === 0 ? { later: i } : {}),
        });
      }
    });
  }
}

function deleteRows(database: Database, session: Session, keepEvery: number): void {
  const people = new Cursor(session, database.table(session, 'People'));
  session.transaction(() => {
    let number = 0;
    for (let on = people.first(); on; on = people.next()) {
      if (number++ % keepEvery !== 0) people.delete();
    }
  });
}
