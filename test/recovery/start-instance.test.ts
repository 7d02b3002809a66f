import { expect, it } from 'vitest';
import type { Database } from '../../src/engine/database.js';
import type { Instance } from '../../src/engine/instance.js';
import { createTable } from '../../src/engine/schema.js';
import { insertRow } from '../../src/engine/table-rows.js';
import { encodeColumnValue } from '../../src/format/column-value-encoder.js';
import { openDatabase } from '../../src/index.js';
import { seededEnvironment } from '../../src/io/environment.js';
import type { FileSystem } from '../../src/io/file-system.js';
import type { RecoveryResult } from '../../src/recovery/recover.js';
import { startInstance } from '../../src/recovery/start-instance.js';
import { createEngineLab, LAB, LAB_DATABASE } from '../support/engine-lab.js';

function insertIds(instance: Instance, database: Database, ids: readonly number[]): void {
  const session = instance.createSession();
  const table =
    database.findTable('numbers') ??
    session.transaction(() =>
      createTable(database, session, {
        name: 'numbers',
        columns: [{ name: 'id', type: 'long' }],
        indexes: [{ name: 'primary', primary: true, segments: ['id'] }],
      }),
    );
  const column = table.column('id');
  for (const id of ids) {
    insertRow(session, table, new Map([[column, [encodeColumnValue(table.columnAt(column), id)]]]));
  }
  instance.endSession(session);
}

function idsIn(fs: FileSystem): unknown[] {
  const database = openDatabase(LAB_DATABASE, { fs });
  const ids = [...database.rows('numbers')].map((row) => row.id);
  database.close();
  return ids;
}

async function start(fs: FileSystem): Promise<{ instance: Instance; recovered: RecoveryResult[] }> {
  const recovered: RecoveryResult[] = [];
  const instance = await startInstance({
    environment: seededEnvironment({ fs, seed: 2 }),
    logDirectory: LAB,
    onRecovered: (result) => recovered.push(result),
  });
  return { instance, recovered };
}

it('begins a stream where there is none', async () => {
  const { disk } = createEngineLab();
  const empty = disk.fork();
  for (const name of empty.readdir(LAB)) empty.unlink(`${LAB}/${name}`);
  const { instance, recovered } = await start(empty);
  insertIds(instance, instance.createDatabase(LAB_DATABASE), [1]);
  instance.close();
  expect(recovered).toEqual([]);
  expect(idsIn(empty)).toEqual([1]);
});

it('goes on behind a clean end, without a recovery that does anything', async () => {
  const { disk, instance, database } = createEngineLab();
  insertIds(instance, database, [1, 2]);
  instance.close();
  const second = await start(disk);
  expect(second.recovered).toMatchObject([{ nothingToDo: true, pagesChanged: 0 }]);
  insertIds(second.instance, second.instance.attachDatabase(LAB_DATABASE), [3]);
  second.instance.close();
  expect(idsIn(disk)).toEqual([1, 2, 3]);
});

it('recovers what a killed run had committed, and goes on behind it, again and again', async () => {
  const { disk, instance, database } = createEngineLab();
  insertIds(instance, database, [1, 2]);
  let left = disk.fork();
  for (const id of [3, 4, 5]) {
    const { instance: next, recovered } = await start(left);
    expect(recovered).toMatchObject([{ nothingToDo: false, databases: [{ stateAfter: 3 }] }]);
    insertIds(next, next.attachDatabase(LAB_DATABASE), [id]);
    left = left.fork();
  }
  const { instance: last } = await start(left);
  last.close();
  expect(idsIn(left)).toEqual([1, 2, 3, 4, 5]);
});
