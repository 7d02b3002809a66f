import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import {
  type ColumnValue,
  Cursor,
  createTable,
  openDatabase,
  openLog,
  type Row,
  realEnvironment,
  startInstance,
} from '../src/index.js';
import { allCorpusDatabases, corpusPath, describeWithCorpus } from './corpus.js';

/** A value of the library in the canonical form of the corpus, types apart that JSON has not. */
function canonical(value: ColumnValue, fact: unknown): unknown {
  if (typeof fact === 'string' && /^(f32|f64|dt):/.test(fact)) {
    if (value instanceof Date || typeof value !== 'number') return fact;
    const view = new DataView(new ArrayBuffer(8));
    if (fact.startsWith('f32')) view.setFloat32(0, value);
    else view.setFloat64(0, value);
    const digits = fact.startsWith('f32') ? 4 : 8;
    return `${fact.slice(0, fact.indexOf(':'))}:${Buffer.from(view.buffer, 0, digits).toString('hex')}`;
  }
  if (typeof value === 'bigint') return String(value);
  if (typeof fact === 'object' && fact !== null && 'hex' in fact) {
    // Bytes that are no text of their code page.
    return { hex: Buffer.from(value as Uint8Array).toString('hex') };
  }
  return value instanceof Uint8Array ? Buffer.from(value).toString('hex') : value;
}

describeWithCorpus('the library', () => {
  for (const { name, path, rowsPath } of allCorpusDatabases()) {
    if (name === 'large.edb') continue;
    it(`reads every row of ${name} as JavaScript values`, () => {
      const database = openDatabase(path);
      const damage: string[] = [];
      let rows = 0;
      for (const table of database.tables()) {
        const read = [...database.rows(table.name, { onDamage: (e) => damage.push(e.name) })];
        if (damage.length > 0) break;
        const facts = readFileSync(`${rowsPath}/${table.name}.jsonl`, 'utf8').split('\n').slice(0, -1);
        expect([table.name, read.length]).toEqual([table.name, facts.length]);
        for (const [i, line] of facts.entries()) {
          const fact = JSON.parse(line) as Record<string, unknown>;
          const row = read[i] as Row;
          expect(Object.keys(row).sort()).toEqual(Object.keys(fact).sort());
          for (const [column, expected] of Object.entries(fact)) {
            const value = row[column] as ColumnValue | ColumnValue[];
            const got = Array.isArray(value)
              ? value.map((v, k) => canonical(v, (expected as unknown[])[k]))
              : canonical(value, expected);
            expect([column, got]).toEqual([column, expected]);
          }
          rows++;
        }
      }
      // Pages of the derived crash states were never written; all others are whole.
      expect(damage.length > 0).toBe(name.startsWith('srum-crash'));
      if (damage.length === 0) expect(rows).toBeGreaterThan(0);
      database.close();
    });
  }

  it('reads dates as the instants that SRUM stored', () => {
    const database = openDatabase(corpusPath('databases', 'test.edb'));
    const dates = [...database.rows('TestTable')].map((row) => row.DateTime).filter((d) => d !== undefined);
    expect(dates.length).toBeGreaterThan(0);
    expect(dates.every((d) => d instanceof Date && d.getUTCFullYear() > 1990)).toBe(true);
    database.close();
  });

  it('reads a log with its header, segments and records', () => {
    const log = openLog(corpusPath('logs', 'secedit', 'edb.log'));
    expect(log.header.generation).toBe(1);
    expect(log.verify()).toMatchObject({ damage: undefined, lgposEnd: { generation: 1 } });
    expect([...log.records()].length).toBe(2573);
    expect([...log.records()].length).toBe(2573);
    log.close();
  });
});

it('the library writes what it then reads: the example of its documentation', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'esekit-library-'));
  try {
    const path = join(folder, 'people.edb');
    const instance = await startInstance({ environment: realEnvironment(), logDirectory: folder });
    const database = instance.createDatabase(path);
    const session = instance.createSession();
    const people = createTable(database, session, {
      name: 'People',
      columns: [
        { name: 'Id', type: 'long', autoIncrement: true },
        { name: 'Name', type: 'text', unicode: true },
      ],
      indexes: [
        { name: 'Primary', primary: true, segments: ['Id'] },
        { name: 'ByName', segments: ['Name'] },
      ],
    });
    const cursor = new Cursor(session, people);
    session.transaction(() => {
      for (const Name of ['Grace', 'Ada', 'Barbara']) cursor.insert({ Name });
    });
    expect(() =>
      session.transaction(() => {
        cursor.insert({ Name: 'Nobody' });
        throw new Error('changed my mind');
      }),
    ).toThrow('changed my mind');
    cursor.setIndex('ByName');
    expect(cursor.seek('=', 'Ada')).toBe(true);
    cursor.update({ Name: 'Ada Lovelace' });
    instance.close();

    const reader = openDatabase(path);
    expect([...reader.rows('People')]).toEqual([
      { Id: 1, Name: 'Grace' },
      { Id: 2, Name: 'Ada Lovelace' },
      { Id: 3, Name: 'Barbara' },
    ]);
    expect(reader.warnings).toEqual([]);
    reader.close();
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
