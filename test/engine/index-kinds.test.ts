import { describe, expect, it } from 'vitest';
import { Cursor, type RowInput } from '../../src/engine/cursor.js';
import { createIndex, createTable, deleteIndex, type NewIndex } from '../../src/engine/schema.js';
import { type Random, randomBelow, randomChance, seededRandom } from '../../src/io/seeded-random.js';
import { createEngineLab, LAB_DATABASE } from '../support/engine-lab.js';
import { checkIndexes } from '../support/index-check.js';
import { judgeDatabase } from '../support/judge-database.js';

const COLUMNS = [
  { name: 'id', type: 'long' },
  { name: 'byte', type: 'unsignedByte' },
  { name: 'when', type: 'dateTime' },
  { name: 'price', type: 'currency' },
  { name: 'guid', type: 'guid' },
  { name: 'text', type: 'text', maxLength: 100 },
  { name: 'wide', type: 'text', unicode: true, maxLength: 200 },
  { name: 'binary', type: 'binary', maxLength: 60 },
  { name: 'words', type: 'text', tagged: true, multiValued: true },
  { name: 'tags', type: 'long', tagged: true, multiValued: true },
  { name: 'long', type: 'longText', unicode: true },
] as const;

const INDEXES: readonly NewIndex[] = [
  { name: 'two, one down', segments: ['text', { column: 'byte', descending: true }] },
  { name: 'nulls left out', segments: ['price', 'when'], nulls: 'ignoreAnyNull' },
  { name: 'first null left out', segments: ['wide', 'byte'], nulls: 'ignoreFirstNull' },
  { name: 'nulls high', segments: ['when'], sortNullsHigh: true },
  { name: 'guid', segments: ['guid'], unique: true, nulls: 'ignoreAnyNull' },
  { name: 'binary', segments: [{ column: 'binary', descending: true }, 'id'], varSegMac: 20 },
  { name: 'words', segments: ['words', 'byte'] },
  { name: 'all pairs', segments: ['words', 'tags'], crossProduct: true },
  { name: 'open', segments: ['byte'], conditions: [{ column: 'when', mustBeNull: true }] },
  { name: 'closed', segments: ['byte'], conditions: [{ column: 'when', mustBeNull: false }] },
  { name: 'pieces', segments: ['wide'], tuples: { lengthMin: 3, lengthMax: 5 } },
  { name: 'long', segments: ['long'] },
];

const WORDS = ['apple', 'Banane', 'CHERRY', '', 'date', 'élan'];

function randomRow(random: Random): RowInput {
  const maybe = <T>(value: T): T | null => (randomChance(random, 0.25) ? null : value);
  const word = (): string => WORDS[randomBelow(random, WORDS.length)] ?? '';
  const several = <T>(make: () => T): T[] | null => {
    const count = randomBelow(random, 4);
    return count === 0 ? null : Array.from({ length: count }, make);
  };
  const hex = (): string => random.uint32().toString(16).padStart(8, '0');
  return {
    byte: maybe(randomBelow(random, 4)),
    when: maybe(new Date(Date.UTC(2020, 0, 1 + randomBelow(random, 20)))),
    price: maybe(BigInt(randomBelow(random, 1000)) - 500n),
    guid: maybe(`${hex()}-1111-2222-3333-${hex()}4444`),
    text: maybe(word()),
    wide: maybe(`${word()} ${word()}`),
    binary: maybe(new Uint8Array(randomBelow(random, 50)).fill(randomBelow(random, 3))),
    words: several(word),
    tags: several(() => randomBelow(random, 5)),
    long: maybe(word().repeat(randomBelow(random, 400))),
  };
}

describe.each([4096, 16384])('indexes of all kinds, pages of %i bytes', (pageSize) => {
  it('have the entries of their rows, whether they came before the rows or after', {
    timeout: 60_000,
  }, () => {
    const { disk, instance, database } = createEngineLab({ pageSize });
    const session = instance.createSession();
    const table = createTable(database, session, {
      name: 'Rows',
      columns: COLUMNS,
      indexes: [
        { name: 'primary', segments: ['id'], primary: true },
        ...INDEXES.filter((_, i) => i % 2 === 0),
      ],
    });
    const cursor = new Cursor(session, table);
    const random = seededRandom(pageSize);
    const change = (count: number): void => {
      session.begin();
      for (let i = 0; i < count; i++) {
        const id = randomBelow(random, 300);
        const row = randomRow(random);
        const isGivenUp = randomChance(random, 0.1);
        if (isGivenUp) session.begin();
        if (!cursor.seek('=', id)) cursor.insert({ id, ...row });
        else if (randomChance(random, 0.3)) cursor.delete();
        else cursor.update(row);
        if (isGivenUp) session.rollback();
      }
      session.commit();
    };
    change(250);
    for (const index of INDEXES.filter((_, i) => i % 2 === 1)) createIndex(database, session, table, index);
    change(250);
    deleteIndex(database, session, table, 'words');
    database.cleanUp();
    createIndex(
      database,
      session,
      table,
      INDEXES.find(({ name }) => name === 'words') ?? { name: '', segments: [] },
    );
    change(100);
    for (const { name } of INDEXES) {
      cursor.setIndex(name);
      let count = 0;
      for (let on = cursor.first(); on; on = cursor.next()) count++;
      for (let on = cursor.last(); on; on = cursor.previous()) count--;
      expect([name, count]).toEqual([name, 0]);
    }
    instance.close();
    judgeDatabase(disk, LAB_DATABASE);
    expect(checkIndexes(disk, LAB_DATABASE)).toBeGreaterThan(1500);
  });
});
