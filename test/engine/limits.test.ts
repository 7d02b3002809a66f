import { describe, expect, it } from 'vitest';
import { Cursor } from '../../src/engine/cursor.js';
import { addColumn, createIndex, createTable, deleteColumn, deleteIndex } from '../../src/engine/schema.js';
import { openDatabase } from '../../src/index.js';
import { seededEnvironment } from '../../src/io/environment.js';
import type { SimulatedDisk } from '../../src/io/simulated-disk.js';
import { startInstance } from '../../src/recovery/start-instance.js';
import { createEngineLab, errorOf, LAB, LAB_DATABASE, openLabInstance } from '../support/engine-lab.js';
import { judgeDatabase } from '../support/judge-database.js';
import { changedFiles, snapshot } from '../support/recovery-disk.js';

/** What cannot be done fails with its error, and leaves everything as it was. */
function createRows(options: Parameters<typeof createEngineLab>[0] = {}) {
  const lab = createEngineLab(options);
  const { instance, database } = lab;
  const session = instance.createSession();
  const table = createTable(database, session, {
    name: 'Rows',
    columns: [
      { name: 'id', type: 'long', notNull: true },
      { name: 'name', type: 'text' },
      { name: 'fill', type: 'binary' },
      { name: 'data', type: 'longBinary' },
    ],
    indexes: [
      { name: 'primary', segments: ['id'], primary: true },
      { name: 'byName', segments: ['name'], unique: true, nulls: 'ignoreAnyNull' },
    ],
  });
  const cursor = new Cursor(session, table);
  cursor.insert({ id: 1, name: 'one' });
  cursor.insert({ id: 2, name: 'two', data: new Uint8Array(5000).fill(2) });
  const rows = (): unknown[] => {
    const list: unknown[] = [];
    cursor.setIndex();
    for (let on = cursor.first(); on; on = cursor.next()) {
      const { id, name, data } = cursor.row();
      list.push([id, name, (data as Uint8Array | undefined)?.length]);
    }
    return list;
  };
  const start = [
    [1, 'one', undefined],
    [2, 'two', 5000],
  ];
  /** Nothing has changed, the engine goes on, and the file is whole in the end. */
  const expectIntact = (): void => {
    expect(session.level).toBe(0);
    expect(rows()).toEqual(start);
    cursor.insert({ id: 3, name: 'three' });
    expect(rows()).toEqual([...start, [3, 'three', undefined]]);
    instance.close();
    judgeDatabase(lab.disk, LAB_DATABASE);
  };
  return { ...lab, session, table, cursor, rows, expectIntact };
}

describe('rows', () => {
  it('with a key that is there already', () => {
    const { cursor, expectIntact } = createRows();
    expect(errorOf(() => cursor.insert({ id: 1 }))).toBe('JET_errKeyDuplicate');
    expect(errorOf(() => cursor.insert({ id: 9, name: 'ONE', data: new Uint8Array(9000) }))).toBe(
      'JET_errKeyDuplicate',
    );
    cursor.seek('=', 2);
    expect(errorOf(() => cursor.update({ name: 'One' }))).toBe('JET_errKeyDuplicate');
    expect(errorOf(() => cursor.update({ id: 1 }))).toBe('JET_errKeyDuplicate');
    expectIntact();
  });

  it('without a value that must be there', () => {
    const { cursor, expectIntact } = createRows();
    expect(errorOf(() => cursor.insert({ name: 'x' }))).toBe('JET_errNullInvalid');
    expectIntact();
  });

  it('that are too big for a page', () => {
    const { cursor, database, session, table, expectIntact } = createRows();
    for (let i = 0; i < 20; i++) addColumn(database, session, table, { name: `b${i}`, type: 'binary' });
    const big = Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`b${i}`, new Uint8Array(255)]));
    expect(errorOf(() => cursor.insert({ id: 5, ...big }))).toBe('JET_errRecordTooBig');
    cursor.seek('=', 2);
    expect(errorOf(() => cursor.update(big))).toBe('JET_errRecordTooBig');
    expectIntact();
  });

  it('with a value that is too long for its column', () => {
    const { cursor, expectIntact } = createRows();
    expect(errorOf(() => cursor.insert({ id: 5, fill: new Uint8Array(256) }))).toBe('JET_errColumnTooBig');
    expectIntact();
  });

  it('that another session has changed', () => {
    const { instance, table, cursor, session, expectIntact } = createRows();
    const other = instance.createSession();
    const otherCursor = new Cursor(other, table);
    session.begin();
    cursor.seek('=', 2);
    cursor.update({ name: 'changed' });
    otherCursor.seek('=', 2);
    expect(errorOf(() => otherCursor.update({ name: 'mine' }))).toBe('JET_errWriteConflict');
    expect(errorOf(() => otherCursor.delete())).toBe('JET_errWriteConflict');
    session.rollback();
    instance.endSession(other);
    expectIntact();
  });

  it('with a key that another session has inserted, or deleted, and not committed', () => {
    const { instance, table, cursor, session, expectIntact } = createRows();
    const other = instance.createSession();
    const otherCursor = new Cursor(other, table);
    session.begin();
    cursor.insert({ id: 7, name: 'seven' });
    cursor.seek('=', 2);
    cursor.delete();
    // In the primary index, and in a unique one.
    expect(errorOf(() => otherCursor.insert({ id: 7 }))).toBe('JET_errKeyDuplicate');
    expect(errorOf(() => otherCursor.insert({ id: 8, name: 'Seven' }))).toBe('JET_errKeyDuplicate');
    expect(errorOf(() => otherCursor.insert({ id: 2 }))).toBe('JET_errWriteConflict');
    expect(errorOf(() => otherCursor.insert({ id: 8, name: 'two' }))).toBe('JET_errWriteConflict');
    session.rollback();
    instance.endSession(other);
    expectIntact();
  });

  it('that a cursor does not stand on', () => {
    const { cursor, expectIntact } = createRows();
    expect(cursor.seek('=', 7)).toBe(false);
    expect(errorOf(() => cursor.update({ name: 'x' }))).toBe('JET_errNoCurrentRecord');
    expect(errorOf(() => cursor.delete())).toBe('JET_errNoCurrentRecord');
    cursor.seek('=', 1);
    cursor.delete();
    expect(errorOf(() => cursor.update({ name: 'x' }))).toBe('JET_errRecordDeleted');
    cursor.insert({ id: 1, name: 'one' });
    expectIntact();
  });
});

describe('names', () => {
  it('of tables, columns and indexes that are not there, or there already', () => {
    const { database, session, table, cursor, expectIntact } = createRows();
    expect(errorOf(() => database.table(session, 'Nothing'))).toBe('JET_errObjectNotFound');
    expect(errorOf(() => cursor.insert({ id: 4, nothing: 1 }))).toBe('JET_errColumnNotFound');
    expect(errorOf(() => cursor.setIndex('nothing'))).toBe('JET_errIndexNotFound');
    expect(errorOf(() => deleteColumn(database, session, table, 'nothing'))).toBe('JET_errColumnNotFound');
    expect(errorOf(() => deleteIndex(database, session, table, 'nothing'))).toBe('JET_errIndexNotFound');
    expect(errorOf(() => createTable(database, session, { name: 'rows', columns: [] }))).toBe(
      'JET_errTableDuplicate',
    );
    expect(errorOf(() => addColumn(database, session, table, { name: 'NAME', type: 'long' }))).toBe(
      'JET_errColumnDuplicate',
    );
    expect(errorOf(() => createIndex(database, session, table, { name: 'byname', segments: ['id'] }))).toBe(
      'JET_errIndexDuplicate',
    );
    expect(errorOf(() => createIndex(database, session, table, { name: 'x', segments: ['nothing'] }))).toBe(
      'JET_errColumnNotFound',
    );
    expect(errorOf(() => deleteColumn(database, session, table, 'name'))).toBe('JET_errColumnInUse');
    expectIntact();
  });
});

describe('an index', () => {
  it('whose keys exist twice', () => {
    const { database, session, table, cursor, expectIntact } = createRows();
    cursor.insert({ id: 3, name: 'four', fill: Uint8Array.of(1) });
    cursor.insert({ id: 4, name: 'five', fill: Uint8Array.of(1) });
    const create = () =>
      createIndex(database, session, table, { name: 'byFill', segments: ['fill'], unique: true });
    expect(errorOf(create)).toBe('JET_errKeyDuplicate');
    for (const id of [3, 4]) {
      cursor.seek('=', id);
      cursor.delete();
    }
    expect(errorOf(() => cursor.setIndex('byFill'))).toBe('JET_errIndexNotFound');
    expectIntact();
  });

  it('whose keys must not be cut off', () => {
    const { database, session, table, cursor, expectIntact } = createRows();
    createIndex(database, session, table, { name: 'whole', segments: ['fill'], noTruncation: true });
    expect(errorOf(() => cursor.insert({ id: 3, fill: new Uint8Array(255) }))).toBe('JET_errKeyTruncated');
    cursor.seek('=', 2);
    expect(errorOf(() => cursor.update({ fill: new Uint8Array(255) }))).toBe('JET_errKeyTruncated');
    const longKeys = { name: 'long', segments: ['fill'], keyMost: 1001 };
    expect(errorOf(() => createIndex(database, session, table, longKeys))).toBe('JET_errIndexInvalidDef');
    expectIntact();
  });
});

describe('transactions', () => {
  it('nest seven levels deep', () => {
    const { session, cursor, expectIntact } = createRows();
    for (let level = 1; level <= 7; level++) session.begin();
    expect(errorOf(() => session.begin())).toBe('JET_errTransTooDeep');
    cursor.insert({ id: 8 });
    for (let level = 7; level >= 1; level--) session.rollback();
    expect(errorOf(() => session.rollback())).toBe('JET_errNotInTransaction');
    expect(errorOf(() => session.commit())).toBe('JET_errNotInTransaction');
    expectIntact();
  });

  it('that take more memory for old states than there is', () => {
    const { session, cursor, expectIntact } = createRows({ versionBytesMax: 100_000 });
    session.begin();
    let error = 'none';
    for (let id = 100; error === 'none' && id < 5000; id++)
      error = errorOf(() => cursor.insert({ id, name: `n${id}` }));
    expect(error).toBe('JET_errVersionStoreOutOfMemory');
    session.rollback();
    expectIntact();
  });

  it('that are open keep a database from being detached', () => {
    const { instance, database, session, expectIntact } = createRows();
    session.begin();
    expect(errorOf(() => instance.detachDatabase(database))).toBe('JET_errInTransaction');
    session.rollback();
    expectIntact();
  });
});

describe('space', () => {
  it('of a database that must not grow any more', () => {
    const { cursor, rows, instance, disk } = createRows({ attach: { pagesMax: 300 } });
    const { error, id } = insertUntilError(cursor);
    expect(error).toBe('JET_errOutOfDatabaseSpace');
    const count = id - 10 + 2;
    expect(rows()).toHaveLength(count);
    for (let other = 10; other < 20; other++) {
      cursor.seek('=', other);
      cursor.delete();
    }
    instance.cleanUp();
    cursor.insert({ id: 9000, data: new Uint8Array(9000) });
    expect(rows()).toHaveLength(count - 9);
    instance.close();
    expect(judgeDatabase(disk, LAB_DATABASE).lastOwned).toBeLessThanOrEqual(300);
  });

  it('on a disk on which the database cannot grow', () => {
    const { cursor, rows, instance, disk } = createRows();
    limitDisk(disk, 200_000);
    const { error, id } = insertUntilError(cursor);
    expect(error).toBe('JET_errDiskFull');
    expect(rows()).toHaveLength(id - 10 + 2);
    limitDisk(disk, 3_000_000);
    cursor.insert({ id, data: new Uint8Array(9000) });
    expect(rows()).toHaveLength(id - 10 + 3);
    instance.close();
    judgeDatabase(disk, LAB_DATABASE);
  });

  it('on a disk on which no log can be added: the instance ends, and is recovered when there is room', async () => {
    const { cursor, session, instance, disk } = createRows({ log: { logFileKiB: 64 } });
    limitDisk(disk, 500_000);
    const { error, id } = insertUntilError(cursor);
    expect(error).toMatch(/^JET_err(LogDiskFull|DiskFull)$/);
    expect(errorOf(() => cursor.insert({ id: 9000 }))).not.toBe('none');
    expect(session.level).toBe(0);
    instance.abandon();
    limitDisk(disk, 10_000_000);
    const again = await startInstance({
      environment: seededEnvironment({ fs: disk, seed: 2 }),
      logDirectory: LAB,
    });
    again.close();
    judgeDatabase(disk, LAB_DATABASE);
    const database = openDatabase(LAB_DATABASE, { fs: disk });
    expect([...database.rows('Rows')]).toHaveLength(id - 10 + 2);
    database.close();
  });

  it('on a disk on which no log can be added to a transaction that is open: the error says so, once', () => {
    const { cursor, session, instance, disk } = createRows({ log: { logFileKiB: 64 } });
    limitDisk(disk, 50_000);
    session.begin();
    cursor.seek('=', 1);
    let error = 'none';
    for (let n = 0; error === 'none' && n < 5000; n++) {
      error = errorOf(() => cursor.update({ fill: new Uint8Array(200).fill(n) }));
    }
    expect(error).toBe('JET_errLogDiskFull');
    expect(errorOf(() => cursor.update({ fill: new Uint8Array(1) }))).toBe('JET_errInstanceUnavailable');
    // What has to be undone is recovery's; ending the session hides no error behind another.
    expect(errorOf(() => instance.endSession(session))).toBe('none');
    instance.abandon();
  });

  it('on a disk that cannot take a new database: no half of it is left, and recovery forgets it', async () => {
    const { cursor, instance, disk } = createRows();
    const second = `${LAB}/second.edb`;
    limitDisk(disk, 200_000);
    expect(errorOf(() => instance.createDatabase(second))).toBe('JET_errDiskFull');
    expect(disk.exists(second)).toBe(false);
    expect(errorOf(() => cursor.insert({ id: 9000 }))).toBe('JET_errInstanceUnavailable');
    instance.abandon();
    limitDisk(disk, 10_000_000);
    const again = await startInstance({
      environment: seededEnvironment({ fs: disk, seed: 2 }),
      logDirectory: LAB,
    });
    expect(disk.exists(second)).toBe(false);
    again.createDatabase(second);
    again.close();
    for (const path of [LAB_DATABASE, second]) judgeDatabase(disk, path);
    const database = openDatabase(LAB_DATABASE, { fs: disk });
    expect([...database.rows('Rows')]).toHaveLength(2);
    database.close();
  });
});

/** Leaves so many bytes free. */
function limitDisk(disk: SimulatedDisk, free: number): void {
  disk.capacity = Number.MAX_SAFE_INTEGER;
  disk.capacity -= disk.freeBytes(LAB) - free;
}

function insertUntilError(cursor: Cursor): { error: string; id: number } {
  for (let id = 10; id < 2000; id++) {
    const error = errorOf(() => cursor.insert({ id, data: new Uint8Array(9000) }));
    if (error !== 'none') return { error, id };
  }
  return { error: 'none', id: 0 };
}

describe('files', () => {
  it('that are attached already, have other pages, or are not there', () => {
    const { instance, disk, database, expectIntact } = createRows();
    expect(errorOf(() => instance.attachDatabase(LAB_DATABASE))).toBe('JET_errDatabaseDuplicate');
    expect(errorOf(() => instance.createDatabase(LAB_DATABASE))).toBe('JET_errDatabaseDuplicate');
    expect(errorOf(() => instance.attachDatabase(`${LAB}/none.edb`))).toBe('JET_errFileNotFound');
    expect(errorOf(() => instance.createDatabase('/none/new.edb'))).toBe('JET_errInvalidPath');
    expect(errorOf(() => openLabInstance(disk, 2))).toBe('JET_errFileAccessDenied');
    const otherFolder = '/other';
    disk.mkdir(otherFolder);
    const other = openLabInstance(disk, 2, { logDirectory: otherFolder, pageSize: 8192 });
    expect(errorOf(() => other.attachDatabase(LAB_DATABASE))).toBe('JET_errFileAccessDenied');
    const second = instance.createDatabase(`${LAB}/second.edb`);
    instance.detachDatabase(second);
    expect(errorOf(() => other.attachDatabase(`${LAB}/second.edb`))).toBe('JET_errPageSizeMismatch');
    other.close();
    expect(database.pageSize).toBe(4096);
    expectIntact();
  });

  it('of another page size than that of the logs', async () => {
    const { instance, disk } = createRows();
    instance.close();
    const before = snapshot(disk, LAB);
    for (const pageSize of [2048, 5000, 8192]) {
      const environment = seededEnvironment({ fs: disk, seed: 2 });
      const start = startInstance({ environment, logDirectory: LAB, pageSize });
      await expect(start).rejects.toMatchObject({ name: 'JET_errPageSizeMismatch' });
    }
    expect(changedFiles(before, snapshot(disk, LAB))).toEqual([]);
    disk.mkdir('/new');
    const open = () => openLabInstance(disk, 2, { logDirectory: '/new', pageSize: 2048 });
    expect(errorOf(open)).toBe('JET_errInvalidParameter');
    expect(disk.readdir('/new')).toEqual([]);
    judgeDatabase(disk, LAB_DATABASE);
  });

  it('more than six to a stream', () => {
    const { instance, expectIntact } = createRows();
    for (let i = 2; i <= 6; i++) instance.createDatabase(`${LAB}/${i}.edb`);
    expect(errorOf(() => instance.createDatabase(`${LAB}/7.edb`))).toBe('JET_errTooManyAttachedDatabases');
    expectIntact();
  });
});
