import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { verifyJournal } from '../../src/drill/verify-journal.js';
import { WORKLOAD_TABLES } from '../../src/drill/workload-tables.js';
import { Cursor } from '../../src/engine/cursor.js';
import { openDatabaseReader } from '../../src/engine/database-reader.js';
import { seededEnvironment } from '../../src/io/environment.js';
import { createSimulatedDisk, type SimulatedDisk } from '../../src/io/simulated-disk.js';
import { startInstance } from '../../src/recovery/start-instance.js';
import { compareWithEsedbexport, hasEsedbexport } from '../support/esedbexport.js';
import { snapshot, toRealFile } from '../support/recovery-disk.js';
import { judgeWorkload, runWorkload, WORKLOAD_DATABASE, WORKLOAD_FOLDER } from '../support/workload-lab.js';

const folder = mkdtempSync(join(tmpdir(), 'esekit-workload-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const NOTHING_WRONG = { missing: [], different: [], extra: [] };

describe.each([4096, 8192, 16384, 32768])('a workload in pages of %i bytes', (pageSize) => {
  it('leaves the rows that its journal promises, sound trees, and indexes that match', async () => {
    const disk = createSimulatedDisk();
    const { journal, counts } = await runWorkload(disk, {
      seed: pageSize,
      rows: 400,
      instance: { pageSize },
    });
    expect(counts.inserted).toBeGreaterThanOrEqual(400);
    expect(journal).toHaveLength(counts.transactions);
    const verdict = await judgeWorkload(disk, journal);
    expect(verdict).toMatchObject({
      ok: true,
      transactions: { journalled: journal.length, present: journal.length, missing: [], unjournalled: [] },
      rows: {
        ...NOTHING_WRONG,
        expected: counts.inserted - counts.deleted,
        found: counts.inserted - counts.deleted,
      },
    });
    if (!hasEsedbexport) return console.log('esedbexport is not installed: not compared');
    const file = join(folder, `${pageSize}.edb`);
    toRealFile(disk, WORKLOAD_DATABASE, file);
    expect(compareWithEsedbexport(file).unexplained).toEqual([]);
  });
});

describe('the workload', () => {
  it('writes the same bytes for the same seed, and others for another', async () => {
    const digests = async (seed: number) => {
      const disk = createSimulatedDisk();
      await runWorkload(disk, { seed, rows: 60 });
      const files = snapshot(disk, WORKLOAD_FOLDER);
      return new Map(
        [...files].map(([name, bytes]) => [name, createHash('sha256').update(bytes).digest('hex')]),
      );
    };
    const [first, again, other] = [await digests(5), await digests(5), await digests(6)];
    expect([...first.keys()]).toContain('w.edb');
    expect(again).toEqual(first);
    expect(other.get('w.edb')).not.toEqual(first.get('w.edb'));
  });

  it('uses every column type, and rolls back inner and outer transactions', async () => {
    const types = new Set(WORKLOAD_TABLES.flatMap(({ columns }) => columns.map(({ type }) => type)));
    const ALL =
      'binary bit currency dateTime guid ieeeDouble ieeeSingle long longBinary longLong longText short text unsignedByte unsignedLong unsignedShort';
    expect([...types].sort().join(' ')).toBe(ALL);
    const { counts } = await runWorkload(createSimulatedDisk(), { seed: 1, rows: 200 });
    expect(counts.rolledBack).toBeGreaterThan(5);
    expect(counts.updated).toBeGreaterThan(20);
    expect(counts.deleted).toBeGreaterThan(10);
  });

  it('goes on behind an earlier one, of the same seed or of another', async () => {
    const disk = createSimulatedDisk();
    const first = await runWorkload(disk, { seed: 1, rows: 50 });
    const second = await runWorkload(disk, { seed: 1, rows: 50 });
    const third = await runWorkload(disk, { seed: 2, rows: 50, tables: ['events', 'Orders'] });
    expect(third.counts.updated).toBeGreaterThan(3);
    expect(second.journal[0]?.seq).toBe(first.journal.length + 1);
    expect(new Set(third.journal.flatMap(({ changes }) => changes.map(([table]) => table)))).toEqual(
      new Set(['Events', 'Orders']),
    );
    const all = [...first.journal, ...second.journal, ...third.journal];
    expect(await judgeWorkload(disk, all)).toMatchObject({ ok: true, rows: NOTHING_WRONG });
  });

  it('tells of lazy transactions when one after them is durable', async () => {
    const sizes: number[] = [];
    const { journal } = await runWorkload(createSimulatedDisk(), {
      seed: 1,
      rows: 400,
      batch: 5,
      lazy: true,
      onDurable: (entries) => sizes.push(entries.length),
    });
    expect(sizes.slice(0, -1).every((size) => size === 50)).toBe(true);
    expect(sizes.reduce((sum, size) => sum + size)).toBe(journal.length);
  });
});

describe('the comparison with a journal', () => {
  /** A database of a workload, in which something was changed behind its back. */
  async function tampered(change: (cursor: (table: string) => Cursor) => void) {
    const disk = createSimulatedDisk();
    const { journal } = await runWorkload(disk, { seed: 3, rows: 40 });
    await change2(disk, change);
    const reader = openDatabaseReader(disk, WORKLOAD_DATABASE);
    return { verdict: await verifyJournal(reader, journal), journal };
  }

  async function change2(disk: SimulatedDisk, change: (cursor: (table: string) => Cursor) => void) {
    const environment = seededEnvironment({ fs: disk, seed: 1 });
    const instance = await startInstance({ environment, logDirectory: WORKLOAD_FOLDER });
    const database = instance.attachDatabase(WORKLOAD_DATABASE);
    const session = instance.createSession();
    change((table) => new Cursor(session, database.table(session, table)));
    instance.close();
  }

  it('names a row that is missing, and the transaction that made it', async () => {
    let gone = 0;
    const { verdict, journal } = await tampered((open) => {
      const events = open('Events');
      events.last();
      gone = Number(events.get('Number'));
      events.delete();
    });
    const entry = journal.findLast(({ changes }) =>
      changes.some(([table, [key]]) => table === 'Events' && key === gone),
    );
    const digest = entry?.changes.findLast(([table, [key]]) => table === 'Events' && key === gone)?.[2];
    const missing = [{ table: 'Events', key: [gone], seq: entry?.seq, expected: digest, found: null }];
    expect(verdict).toMatchObject({ ok: false, rows: { ...NOTHING_WRONG, missing } });
  });

  it('names a row that is different', async () => {
    const { verdict } = await tampered((open) => {
      const customers = open('Customers');
      customers.first();
      customers.update({ Active: customers.get('Active') !== true });
    });
    expect(verdict).toMatchObject({ ok: false, rows: { missing: [], extra: [] } });
    expect(verdict.rows.different).toHaveLength(1);
    expect(verdict.rows.different[0]).toMatchObject({
      table: 'Customers',
      found: expect.stringMatching(/^[0-9a-f]{16}$/),
    });
  });

  it('names a row that no transaction made', async () => {
    const { verdict } = await tampered((open) =>
      open('Documents').insert({ Id: 4711, Seed: 0, Revision: 0 }),
    );
    const extra = [{ table: 'Documents', key: [4711], seq: null, expected: null, found: expect.any(String) }];
    expect(verdict).toMatchObject({ ok: false, rows: { ...NOTHING_WRONG, extra } });
  });

  it('names a transaction that is missing', async () => {
    const { verdict, journal } = await tampered((open) => {
      const ledger = open('Ledger');
      ledger.seek('=', 2);
      ledger.delete();
    });
    expect(verdict.ok).toBe(false);
    expect(verdict.transactions).toMatchObject({ missing: [2], present: journal.length - 1 });
  });

  it('names what was durable before the journal could say so, and does not mind', async () => {
    const disk = createSimulatedDisk();
    const { journal } = await runWorkload(disk, { seed: 3, rows: 40 });
    const verdict = await judgeWorkload(disk, journal.slice(0, -1));
    expect(verdict).toMatchObject({ ok: true, transactions: { unjournalled: [journal.length] } });
  });

  it('does mind a hole in the order', async () => {
    const disk = createSimulatedDisk();
    const { journal } = await runWorkload(disk, { seed: 3, rows: 40 });
    await change2(disk, (open) => {
      const ledger = open('Ledger');
      ledger.seek('=', 3);
      ledger.delete();
    });
    const verdict = await judgeWorkload(
      disk,
      journal.filter(({ seq }) => seq !== 3),
    );
    expect(verdict).toMatchObject({ ok: false, transactions: { holes: [3] } });
  });
});
