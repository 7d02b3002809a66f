import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Cursor, type RowInput } from '../../src/engine/cursor.js';
import type { Database } from '../../src/engine/database.js';
import type { Instance } from '../../src/engine/instance.js';
import {
  addColumn,
  createIndex,
  createTable,
  deleteColumn,
  deleteIndex,
  deleteTable,
} from '../../src/engine/schema.js';
import type { Table } from '../../src/engine/table.js';
import type { Session } from '../../src/engine/transactions.js';
import { EseError } from '../../src/format/ese-error.js';
import { createEngineLab, type EngineLab, LAB_DATABASE } from '../support/engine-lab.js';
import { judgeDatabase } from '../support/judge-database.js';

/**
 * Random programs against a plain model in memory. A program is a list of steps, each a few small numbers, so that
 * a failing one shrinks to its essence.
 */
type Step = readonly [kind: number, a: number, b: number, c: number];
const steps = (most: number) =>
  fc.array(fc.tuple(fc.nat(99), fc.nat(40), fc.nat(40), fc.nat(40)), { minLength: 5, maxLength: most });

/** Programs a test runs; ESEKIT_MODEL_RUNS asks for more. */
const RUNS = Number(process.env.ESEKIT_MODEL_RUNS ?? 15);

interface ModelRow {
  id: number;
  name: string | null;
  n: number | null;
  blob: Uint8Array | null;
  text: string | null;
  many: number[];
  extra: number | null;
}

const NAMES = ['Anna', 'anna', 'BERT', 'Zoë', '', 'a longer name that fills its key', 'b', 'B2', 'x y', '~'];
const SIZES = [0, 3, 700, 1500, 4100, 9000];

function rowFrom(id: number, b: number, c: number): ModelRow {
  return {
    id,
    name: b % 11 === 0 ? null : (NAMES[b % NAMES.length] ?? ''),
    n: c % 7 === 0 ? null : (c % 13) - 6,
    blob: b % 5 === 0 ? new Uint8Array(SIZES[c % SIZES.length] ?? 0).fill(c) : null,
    text: c % 3 === 0 ? 'text '.repeat(b * 9 + 1) : null,
    many: Array.from({ length: c % 4 }, (_, i) => (b + i * 3) % 9),
    extra: null,
  };
}

/** Values to insert or to change; an update leaves `extra` as it is. */
function input({ extra, many, ...row }: ModelRow, hasExtra: boolean): RowInput {
  return { ...row, many: many.length === 0 ? null : many, ...(hasExtra ? { extra } : {}) };
}

function output({ many, ...rest }: ModelRow): Record<string, unknown> {
  const one = many.length < 2 ? (many[0] ?? null) : many;
  return Object.fromEntries(Object.entries({ ...rest, many: one }).filter(([, value]) => value !== null));
}

// --- Keys as chapter 3.4 has them, written down once more ---

const segment = (bytes: readonly number[]): Buffer => Buffer.from(bytes);
const longKey = (value: number): Buffer => {
  const key = Buffer.alloc(5, 0x7f);
  key.writeUInt32BE((value ^ 0x80000000) >>> 0, 1);
  return key;
};
const shortKey = (value: number | null): Buffer => {
  if (value === null) return segment([0]);
  const key = Buffer.alloc(3, 0x7f);
  key.writeUInt16BE((value ^ 0x8000) & 0xffff, 1);
  return key;
};
const textKey = (value: string | null): Buffer => {
  if (value === null) return segment([0]);
  if (value === '') return segment([0x40]);
  const upper = Buffer.from(value, 'latin1').map((byte) =>
    byte >= 0x61 && byte <= 0x7a ? byte - 0x20 : byte,
  );
  return Buffer.concat([segment([0x7f]), upper, segment([0])]);
};
const descending = (key: Buffer): Buffer => Buffer.from(key.map((byte) => byte ^ 0xff));

const INDEX_KEYS: Readonly<Record<string, (row: ModelRow) => Buffer[]>> = {
  byName: (row) => [Buffer.concat([textKey(row.name), descending(shortKey(row.n))])],
  byMany: (row) => (row.many.length === 0 ? [segment([0])] : [...new Set(row.many)].map(longKey)),
  // NULLs are left out.
  unique: (row) =>
    row.name === null || row.n === null ? [] : [Buffer.concat([shortKey(row.n), textKey(row.name)])],
};

function expectedOrder(rows: Iterable<ModelRow>, index: string | undefined): number[] {
  const entries: { key: Buffer; id: number }[] = [];
  for (const row of rows) {
    const keys = index === undefined ? [longKey(row.id)] : (INDEX_KEYS[index]?.(row) ?? []);
    for (const key of keys) entries.push({ key: Buffer.concat([key, longKey(row.id)]), id: row.id });
  }
  return entries.sort((a, b) => Buffer.compare(a.key, b.key)).map(({ id }) => id);
}

const COLUMNS = [
  { name: 'id', type: 'long', notNull: true },
  { name: 'name', type: 'text' },
  { name: 'n', type: 'short' },
  { name: 'blob', type: 'longBinary' },
  { name: 'text', type: 'longText', unicode: true, compressed: true },
  { name: 'many', type: 'long', tagged: true, multiValued: true },
] as const;
const UNIQUE = { name: 'unique', segments: ['n', 'name'], unique: true, nulls: 'ignoreAnyNull' } as const;

function errorName(call: () => unknown): string | undefined {
  try {
    call();
    return undefined;
  } catch (error) {
    if (error instanceof EseError) return error.name;
    throw error;
  }
}

/** One session, one table, nested transactions, schema changes, and the database closed in between. */
class Program {
  readonly #lab: EngineLab;
  #database: Database;
  #session: Session;
  #table: Table;
  #cursor: Cursor;
  readonly #states: { rows: Map<number, ModelRow>; hasUnique: boolean; hasExtra: boolean }[] = [
    { rows: new Map(), hasUnique: true, hasExtra: false },
  ];

  constructor(lab: EngineLab, database: Database) {
    this.#lab = lab;
    this.#database = database;
    this.#session = lab.instance.createSession();
    this.#table = createTable(database, this.#session, {
      name: 'Model',
      columns: COLUMNS,
      indexes: [
        { name: 'primary', segments: ['id'], primary: true },
        { name: 'byName', segments: ['name', { column: 'n', descending: true }] },
        { name: 'byMany', segments: ['many'] },
        UNIQUE,
      ],
    });
    this.#cursor = new Cursor(this.#session, this.#table);
  }

  get #state() {
    const state = this.#states.at(-1);
    if (state === undefined) throw new Error('no state');
    return state;
  }

  run(program: readonly Step[]): Database {
    for (const step of program) this.#step(step);
    while (this.#session.level > 0) this.#rollback();
    this.#compare(undefined);
    this.#reopen();
    this.#compare(undefined);
    deleteTable(this.#database, this.#session, this.#table);
    this.#lab.instance.endSession(this.#session);
    return this.#database;
  }

  #step([kind, a, b, c]: Step): void {
    if (kind < 30) this.#insert(rowFrom(a, b, c));
    else if (kind < 45) this.#update(a, rowFrom(c < 5 ? b : a, b, c));
    else if (kind < 57) this.#delete(a);
    else if (kind < 66) this.#begin();
    else if (kind < 72) this.#commit();
    else if (kind < 77) this.#rollback();
    else if (kind < 82) this.#seek(a, b);
    else if (kind < 87) this.#compare(['byName', 'byMany', undefined][a % 3]);
    else if (kind < 90) this.#toggleUnique();
    else if (kind < 93) this.#toggleExtra(a);
    else if (kind < 95) this.#append(a, b);
    else if (kind < 97) this.#database.cleanUp();
    else if (this.#session.level === 0) this.#reopen();
  }

  #isDuplicate(row: ModelRow, except: number | undefined): boolean {
    const { rows, hasUnique } = this.#state;
    if (row.id !== except && rows.has(row.id)) return true;
    if (!hasUnique) return false;
    const keys = INDEX_KEYS.unique?.(row) ?? [];
    return [...rows.values()].some(
      (other) =>
        other.id !== except &&
        (INDEX_KEYS.unique?.(other) ?? []).some((key) => keys.some((own) => own.equals(key))),
    );
  }

  #insert(row: ModelRow): void {
    const expected = this.#isDuplicate(row, undefined) ? 'JET_errKeyDuplicate' : undefined;
    expect(errorName(() => this.#cursor.insert(input(row, this.#state.hasExtra)))).toBe(expected);
    if (expected === undefined) this.#state.rows.set(row.id, row);
  }

  #find(id: number): ModelRow | undefined {
    const row = this.#state.rows.get(id);
    this.#cursor.setIndex();
    expect(this.#cursor.seek('=', id)).toBe(row !== undefined);
    return row;
  }

  #update(id: number, changed: ModelRow): void {
    const row = this.#find(id);
    if (row === undefined) return;
    const expected = this.#isDuplicate(changed, id) ? 'JET_errKeyDuplicate' : undefined;
    const next = { ...changed, extra: row.extra };
    expect(errorName(() => this.#cursor.update(input(next, false)))).toBe(expected);
    if (expected !== undefined) return;
    this.#state.rows.delete(id);
    this.#state.rows.set(next.id, next);
  }

  #delete(id: number): void {
    if (this.#find(id) === undefined) return;
    this.#cursor.delete();
    this.#state.rows.delete(id);
  }

  #append(id: number, size: number): void {
    const row = this.#find(id);
    if (row === undefined) return;
    const more = new Uint8Array(size * 150 + 1).fill(size);
    this.#cursor.appendLongValue('blob', more);
    this.#state.rows.set(id, { ...row, blob: Uint8Array.from([...(row.blob ?? []), ...more]) });
  }

  #begin(): void {
    if (this.#session.level >= 4) return;
    this.#session.begin();
    this.#states.push({ ...this.#state, rows: new Map(this.#state.rows) });
  }

  #commit(): void {
    if (this.#session.level === 0) return;
    this.#session.commit({ lazy: true });
    const state = this.#states.pop();
    if (state !== undefined) this.#states[this.#states.length - 1] = state;
  }

  #rollback(): void {
    if (this.#session.level === 0) return;
    this.#session.rollback();
    this.#states.pop();
  }

  #seek(a: number, b: number): void {
    const ids = [...this.#state.rows.keys()].sort((x, y) => x - y);
    const relations = ['=', '>=', '>', '<=', '<'] as const;
    const relation = relations[b % relations.length] ?? '=';
    const expected = {
      '=': ids.find((id) => id === a),
      '>=': ids.find((id) => id >= a),
      '>': ids.find((id) => id > a),
      '<=': ids.findLast((id) => id <= a),
      '<': ids.findLast((id) => id < a),
    }[relation];
    this.#cursor.setIndex();
    const found = this.#cursor.seek(relation, a);
    expect([relation, a, found ? this.#cursor.get('id') : undefined]).toEqual([relation, a, expected]);
  }

  #compare(index: string | undefined): void {
    const { rows } = this.#state;
    const expected = expectedOrder(rows.values(), index);
    const cursor = this.#cursor;
    cursor.setIndex(index);
    const forward: number[] = [];
    for (let on = cursor.first(); on; on = cursor.next()) {
      const row = cursor.row();
      forward.push(row.id as number);
      expect(row).toEqual(output(rows.get(row.id as number) as ModelRow));
    }
    expect([index, forward]).toEqual([index, expected]);
    const backward: number[] = [];
    for (let on = cursor.last(); on; on = cursor.previous()) backward.push(cursor.get('id') as number);
    expect(backward).toEqual([...expected].reverse());
  }

  #toggleUnique(): void {
    const { hasUnique, rows } = this.#state;
    if (hasUnique) {
      this.#cursor.setIndex();
      deleteIndex(this.#database, this.#session, this.#table, 'unique');
      this.#state.hasUnique = false;
      return;
    }
    const keys = [...rows.values()]
      .flatMap((row) => INDEX_KEYS.unique?.(row) ?? [])
      .map((key) => key.toString('hex'));
    const expected = new Set(keys).size < keys.length ? 'JET_errKeyDuplicate' : undefined;
    expect(errorName(() => createIndex(this.#database, this.#session, this.#table, UNIQUE))).toBe(expected);
    this.#state.hasUnique = expected === undefined;
  }

  #toggleExtra(a: number): void {
    const { hasExtra, rows } = this.#state;
    if (hasExtra) {
      deleteColumn(this.#database, this.#session, this.#table, 'extra');
      for (const [id, row] of rows) rows.set(id, { ...row, extra: null });
    } else {
      const isTagged = a % 2 === 0;
      addColumn(this.#database, this.#session, this.#table, {
        name: 'extra',
        type: 'long',
        tagged: isTagged,
      });
    }
    this.#state.hasExtra = !hasExtra;
  }

  #reopen(): void {
    const { instance } = this.#lab;
    instance.endSession(this.#session);
    instance.detachDatabase(this.#database);
    expect(judgeDatabase(this.#lab.disk, LAB_DATABASE).leaked).toEqual([]);
    this.#database = instance.attachDatabase(LAB_DATABASE);
    this.#session = instance.createSession();
    this.#table = this.#database.table(this.#session, 'Model');
    this.#cursor = new Cursor(this.#session, this.#table);
  }
}

describe('random programs', () => {
  for (const pageSize of [4096, 32768]) {
    describe(`with pages of ${pageSize} bytes`, () => {
      let lab: EngineLab;
      let database: Database;
      beforeAll(() => {
        lab = createEngineLab({ pageSize, log: { logFileKiB: 256 } });
        database = lab.database;
      });

      it('of one session give what a model in memory gives, and leave a whole database', () => {
        fc.assert(
          fc.property(steps(60), (program) => {
            const { instance } = lab;
            // A program that failed before has left its table.
            const session = instance.createSession();
            const left = database.findTable('Model');
            if (left !== undefined) deleteTable(database, session, left);
            instance.endSession(session);
            database = new Program(lab, database).run(program);
          }),
          {
            numRuns: RUNS,
            ...(process.env.ESEKIT_MODEL_SEED ? { seed: Number(process.env.ESEKIT_MODEL_SEED) } : {}),
          },
        );
      });

      afterAll(() => lab.instance.close());
    });
  }
});

/** What several sessions may see and do: snapshots, and the first who changes a row wins. */
class SharedRow {
  /** Committed states, with the time of the commit; undefined = no row. */
  readonly committed: { readonly time: number; readonly value: number | undefined }[] = [];
  owner: number | undefined;
  value: number | undefined;

  at(time: number): number | undefined {
    return this.committed.findLast((state) => state.time < time)?.value;
  }
}

describe('random programs of several sessions', () => {
  let lab: EngineLab;
  beforeAll(() => {
    lab = createEngineLab({ log: { logFileKiB: 256 } });
  });

  it('see their snapshots, and never overwrite what they cannot see', () => {
    fc.assert(
      fc.property(steps(80), (program) => {
        const { instance, database } = lab;
        runSessions(instance, database, program);
      }),
      { numRuns: RUNS },
    );
    const { instance, database, disk } = lab;
    instance.detachDatabase(database);
    expect(judgeDatabase(disk, LAB_DATABASE).leaked).toEqual([]);
    instance.close();
  });
});

function runSessions(instance: Instance, database: Database, program: readonly Step[]): void {
  const owner = instance.createSession();
  const left = database.findTable('Shared');
  if (left !== undefined) {
    for (const session of [...instance.transactions.sessions])
      if (session !== owner) instance.endSession(session);
    deleteTable(database, owner, left);
  }
  const table = createTable(database, owner, {
    name: 'Shared',
    columns: [
      { name: 'id', type: 'long' },
      { name: 'value', type: 'long' },
      { name: 'pad', type: 'longBinary' },
    ],
    indexes: [
      { name: 'primary', segments: ['id'], primary: true },
      { name: 'byValue', segments: ['value'] },
    ],
  });
  const rows = new Map<number, SharedRow>();
  let now = 0;
  const sessions = [0, 1, 2].map((number) => {
    const session = instance.createSession();
    return { number, session, cursor: new Cursor(session, table), began: 0 };
  });
  const rowOf = (id: number): SharedRow => {
    let row = rows.get(id);
    if (row === undefined) {
      row = new SharedRow();
      rows.set(id, row);
    }
    return row;
  };
  for (const [kind, a, b, c] of program) {
    const who = sessions[kind % 3];
    if (who === undefined) continue;
    const { session, cursor, number } = who;
    now++;
    const action = Math.floor(kind / 3) % 12;
    const isOpen = session.level > 0;
    const began = isOpen ? who.began : now;
    const id = a % 8;
    const row = rowOf(id);
    const visible = row.owner === number ? row.value : row.at(began);
    const end = (isCommit: boolean): void => {
      for (const other of rows.values()) {
        if (other.owner !== number) continue;
        if (isCommit) other.committed.push({ time: now, value: other.value });
        other.owner = undefined;
      }
    };
    const isForeign = row.owner !== undefined && row.owner !== number;
    const isLater = row.owner === undefined && (row.committed.at(-1)?.time ?? 0) >= began;
    const change = (value: number | undefined): void => {
      row.owner = number;
      row.value = value;
      if (!isOpen) end(true);
    };
    const pad = new Uint8Array((c * 97) % 900).fill(c);
    switch (action) {
      case 0:
      case 1:
      case 2: {
        const newest = row.owner === undefined ? row.committed.at(-1)?.value : row.value;
        const expected =
          newest !== undefined
            ? 'JET_errKeyDuplicate'
            : isForeign || isLater
              ? 'JET_errWriteConflict'
              : undefined;
        expect(errorName(() => cursor.insert({ id, value: b, pad }, { lazy: true }))).toBe(expected);
        if (expected === undefined) change(b);
        break;
      }
      case 3:
      case 4:
      case 5:
      case 6: {
        expect(cursor.seek('=', id)).toBe(visible !== undefined);
        if (visible === undefined) break;
        const expected = isForeign || isLater ? 'JET_errWriteConflict' : undefined;
        const isDelete = action > 4;
        const call = (): void => {
          if (isDelete) cursor.delete({ lazy: true });
          else cursor.update({ value: b, pad }, { lazy: true });
        };
        expect(errorName(call)).toBe(expected);
        if (expected === undefined) change(isDelete ? undefined : b);
        break;
      }
      case 7:
      case 8:
        if (!isOpen) {
          session.begin();
          who.began = now;
        }
        break;
      case 9:
        if (isOpen) {
          session.commit({ lazy: true });
          end(true);
        }
        break;
      case 10:
        if (isOpen) {
          session.rollback();
          end(false);
        }
        break;
      default: {
        const expected = [...rows]
          .map(([key, { owner: by, value, at }]) => ({
            key,
            value: by === number ? value : at.call(rows.get(key), began),
          }))
          .filter(({ value }) => value !== undefined)
          .sort((x, y) => (x.value ?? 0) - (y.value ?? 0) || x.key - y.key)
          .map(({ key, value }) => [key, value]);
        cursor.setIndex('byValue');
        const found: unknown[] = [];
        for (let on = cursor.first(); on; on = cursor.next())
          found.push([cursor.get('id'), cursor.get('value')]);
        cursor.setIndex();
        expect(found).toEqual(expected);
      }
    }
  }
  for (const { session } of sessions) instance.endSession(session);
  const finals = [...rows].flatMap(([id, row]) => {
    const value = row.committed.at(-1)?.value;
    return value === undefined ? [] : [[id, value]];
  });
  const cursor = new Cursor(owner, table);
  const found: unknown[] = [];
  for (let on = cursor.first(); on; on = cursor.next()) found.push([cursor.get('id'), cursor.get('value')]);
  expect(found).toEqual(finals.sort(([x], [y]) => (x ?? 0) - (y ?? 0)));
  deleteTable(database, owner, table);
  instance.endSession(owner);
}
