import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { runEsekit } from '../../src/cli/run-esekit.js';
import { corpusPath, describeWithCorpus } from '../corpus.js';
import { type CliOptions, eseutil, type JsonEnvelope, runProgram, temporaryFolder } from './run.js';

/** The subcommands that create, fill and look into databases. */
const folder = temporaryFolder();
const esekit = (argv: readonly string[], options: CliOptions = {}) => runProgram(runEsekit, argv, options);
const at = (...names: string[]) => join(folder, ...names);

async function json<R>(argv: readonly string[]): Promise<JsonEnvelope<R>> {
  const run = await esekit([...argv, '--json']);
  const envelope = JSON.parse(run.stdout) as JsonEnvelope<R>;
  expect(envelope).toMatchObject({ tool: 'esekit', exit: run.exit });
  return envelope;
}

describe('esekit create', () => {
  test('a database with its logs and checkpoint beside it, clean', async () => {
    const file = at('plain', 'a.edb');
    const run = await esekit(['create', file]);
    expect(run).toMatchObject({ exit: 0, stderr: '' });
    expect(run.stdout).toContain(`Created ${file}: 254 pages of 4096 bytes.`);
    for (const name of ['E00.log', 'E00.chk']) expect(existsSync(at('plain', name))).toBe(true);
    const header = await eseutil(['/mh', file]);
    expect(header.stdout).toContain('State: Clean Shutdown');
  });

  test('where its options put it, and in what size', async () => {
    const file = at('there', 'b.edb');
    const argv = [
      ...['create', file, '--page-size', '8192', '--base', 'V01', '--log-size', '128'],
      ...['--log-dir', at('logs'), '--system-dir', at('sys')],
    ];
    const { result } = await json(argv);
    expect(result).toEqual({
      file,
      pageSize: 8192,
      pages: 254,
      baseName: 'V01',
      logDirectory: at('logs'),
      systemDirectory: at('sys'),
    });
    expect(readFileSync(at('logs', 'V01.log'))).toHaveLength(128 * 1024);
    expect(existsSync(at('sys', 'V01.chk'))).toBe(true);
    expect(readFileSync(file)).toHaveLength((254 + 2) * 8192);
  });

  test('a second database joins the stream', async () => {
    expect((await esekit(['create', at('plain', 'second.edb')])).exit).toBe(0);
    const run = await eseutil(['/mh', at('plain', 'second.edb')]);
    expect(run.stdout).toContain('State: Clean Shutdown');
    expect((await eseutil(['/ml', at('plain', 'E00')])).exit).toBe(0);
  });

  test('is refused where there is a file, with other pages than the stream, and for nonsense', async () => {
    const again = await esekit(['create', at('plain', 'a.edb')]);
    expect(again.exit).toBe(3);
    expect(again.stderr).toMatch(/-1201 \(JET_errDatabaseDuplicate/);
    const other = await esekit(['create', at('plain', 'c.edb'), '--page-size', '8192']);
    expect(other.stderr).toMatch(/-1213 \(JET_errPageSizeMismatch/);
    expect(existsSync(at('plain', 'c.edb'))).toBe(false);
    const directory = await esekit(['create', folder]);
    expect(directory.stderr).toMatch(/-1023 \(JET_errInvalidPath, this is a directory, not a file\)/);
    const refusals: readonly (readonly [argv: readonly string[], message: string])[] = [
      [[at('odd.edb'), '--page-size', '1000'], '--page-size is one of 4096, 8192, 16384, 32768.'],
      [[at('odd.edb'), '--page-size', '2048'], '--page-size is one of 4096, 8192, 16384, 32768.'],
      [[at('odd.edb'), '--log-size', '100'], '--log-size is a multiple of 64 up to 32768, in KiB.'],
      [[at('odd.edb'), '--log-size', '0'], '--log-size is a multiple of 64'],
      [[at('odd.edb'), '--log-size', '65536'], '--log-size is a multiple of 64'],
      [[at('odd.edb'), '--base', 'a/b'], "'a/b' is a path, not a base name"],
      [[at('odd.edb'), '--cache', '-1'], '--cache takes a whole number.'],
      [[''], 'Missing database specification.'],
    ];
    for (const [argv, message] of refusals) {
      const run = await esekit(['create', ...argv]);
      expect(run).toMatchObject({ exit: 1, stdout: '' });
      expect(run.stderr).toContain(message);
      expect(run.stderr).toContain('Try: esekit create --help');
    }
    expect(existsSync(at('odd.edb'))).toBe(false);
    const base = await esekit(['create', at('e.edb'), '--base', 'E0']);
    expect(base).toMatchObject({ exit: 1 });
    expect(base.stderr).toMatch(/a base name has 3 characters, not 'E0'/);
    expect((await esekit(['create', at('f.edb'), '--log-size', 'x'])).exit).toBe(1);
    expect((await esekit(['create'])).exit).toBe(1);
  });
});

describe('esekit load, verify, get, scan and stat', () => {
  const file = at('load', 'w.edb');
  const journal = at('load', 'w.journal');
  let loaded: JsonEnvelope<{ inserted: number; deleted: number; transactions: number }>;
  interface Line {
    readonly seq: number;
    readonly changes: readonly (readonly [table: string, key: readonly number[], digest: string])[];
  }
  const lines = () =>
    readFileSync(journal, 'utf8')
      .split('\n')
      .slice(1, -1)
      .map((line) => JSON.parse(line) as Line);

  beforeAll(async () => {
    await esekit(['create', file, '--log-size', '256']);
    loaded = await json(['load', file, '--rows', '150', '--seed', '9', '--journal', journal]);
  }, 60_000);

  test('load reports what it did, and writes a line for each transaction', () => {
    const { result } = loaded;
    expect(loaded).toMatchObject({ mode: 'load', ok: true, file });
    expect(result).toMatchObject({ seed: 9, journal, recovered: null });
    expect(result.inserted).toBeGreaterThanOrEqual(150);
    expect(lines()).toHaveLength(result.transactions);
    expect(lines()[0]?.changes[0]?.[2]).toMatch(/^(?:[0-9a-f]{16}|deleted)$/);
  });

  test('verify finds everything that the journal promises', async () => {
    const run = await esekit(['verify', file, '--journal', journal]);
    expect(run.exit).toBe(0);
    const { inserted, deleted, transactions } = loaded.result;
    const rows = inserted - deleted;
    expect(run.lines.slice(0, -1)).toEqual([
      `Transactions: ${transactions} in the journal, ${transactions} in the database, 0 missing.`,
      `Rows: ${rows} expected, ${rows} found; 0 missing, 0 different, 0 too many.`,
      'Everything that the journal promises is there.',
    ]);
  });

  test('verify names what is not there, and ends with 6', async () => {
    const longer = at('load', 'longer.journal');
    const last = lines().length;
    const promised = { seq: last + 1, changes: [['Customers', [9999], '0123456789abcdef']] };
    writeFileSync(longer, `${readFileSync(journal, 'utf8')}${JSON.stringify(promised)}\n{"seq":`);
    const run = await esekit(['verify', file, '--journal', longer]);
    expect(run.exit).toBe(6);
    expect(run.stdout).toContain(`  missing: ${last + 1}\n`);
    expect(run.stdout).toContain(`  missing: Customers 9999 (transaction ${last + 1})\n`);
    expect(run.stdout).toContain('The database is NOT what the journal promises.');
    const envelope = await json<{ ok: boolean }>(['verify', file, '--journal', longer]);
    expect(envelope).toMatchObject({ ok: false, exit: 6, result: { ok: false } });
    expect(envelope.error).toBeUndefined();
  });

  test('verify refuses what is no journal', async () => {
    writeFileSync(at('load', 'no.journal'), 'hello\n');
    const run = await esekit(['verify', file, '--journal', at('load', 'no.journal')]);
    expect(run.exit).toBe(3);
    expect(run.stderr).toMatch(/-1003 \(JET_errInvalidParameter, line 1 is none of a journal\)/);
  });

  test('load refuses a database that is not there, and tables that it does not know', async () => {
    const missing = await esekit(['load', at('load', 'none.edb'), '--rows', '1']);
    expect(missing.stderr).toMatch(/-1811 \(JET_errFileNotFound/);
    const tables = await esekit(['load', file, '--rows', '1', '--tables', 'Events,Nothing']);
    expect(tables).toMatchObject({ exit: 1 });
    expect(tables.stderr).toMatch(/no table Nothing, but Customers, Orders, Documents, Events/);
    expect((await esekit(['load', file])).exit).toBe(1);
  });

  test('get finds a row by its key: numbers, several values, and none', async () => {
    const [table, key] = lines()
      .flatMap(({ changes }) => changes)
      .findLast(([name, , digest]) => name === 'Orders' && digest !== 'deleted') ?? ['Orders', []];
    const argv = ['get', file, table, ...key.map(String)];
    const run = await esekit(argv);
    expect(JSON.parse(run.stdout)).toMatchObject({ CustomerId: key[0], OrderId: key[1], Seed: 9 });
    const { result } = await json<{ row: Record<string, unknown> }>(argv);
    expect(result).toMatchObject({ table: 'Orders', key: key.map(String) });
    expect(result.row.Placed).toMatch(/^dt:[0-9a-f]{16}$/);
    const gone = await esekit(['get', file, 'orders', '-5', '1']);
    expect(gone.exit).toBe(3);
    expect(gone.stderr).toMatch(/-1601 \(JET_errRecordNotFound, table Orders has no row -5 1\)/);
    const short = await esekit(['get', file, 'Orders', '5']);
    expect(short.stderr).toMatch(/^Usage Error: the primary key of table Orders has 2 values\./);
    const odd = await esekit(['get', file, 'Customers', 'x']);
    expect(odd.stderr).toMatch(/^Usage Error: column Id of type Long takes a whole number, not "x"\./);
    const many = await esekit(['get', file, 'Customers', '1', '2']);
    expect(many.stderr).toMatch(/^Usage Error: index ById has 1 segments: Id\./);
    expect((await esekit(['get', file, 'nothing', '1'])).stderr).toMatch(/-1305 \(JET_errObjectNotFound/);
  });

  test('scan prints rows in the order of an index, ranges of them, and the other way round', async () => {
    const rows = async (...argv: string[]) => {
      const run = await esekit(['scan', file, 'Events', ...argv]);
      expect(run.exit).toBe(0);
      return run.lines.slice(0, -1).map((line) => JSON.parse(line) as { Number: number; Kind: number });
    };
    const all = await rows();
    expect(all.length).toBeGreaterThan(20);
    expect(await rows('--reverse')).toEqual([...all].reverse());
    expect(await rows('--limit', '3')).toEqual(all.slice(0, 3));
    expect(await rows('--limit', '0')).toEqual([]);
    const [from, to] = [String(all[4]?.Number), String(all[9]?.Number)];
    expect(await rows('--from', from, '--to', to)).toEqual(all.slice(4, 10));
    const kinds = (await rows('--index', 'byKind', '--from', '10')).map(({ Kind }) => Kind);
    expect(kinds).toEqual(
      all
        .map(({ Kind }) => Kind)
        .filter((kind) => kind >= 10)
        .sort((a, b) => a - b),
    );
    const csv = await esekit(['scan', file, 'Events', '--format', 'csv', '--limit', '1']);
    expect(csv.lines[0]).toBe('Number,Ordinal,Seed,Revision,Kind,At,Message');
    const wrong = await esekit(['scan', file, 'Events', '--index', 'x']);
    expect(wrong.stderr).toMatch(/-1404 \(JET_errIndexNotFound/);
  });

  test('a signal ends load before its end, with what it has done and the exit code of the signal', async () => {
    const early = { signalNumber: 2, isEarlySignal: true };
    const place = at('signal', 's.edb');
    await esekit(['create', place]);
    const argv = ['load', place, '--rows', '100000', '--lazy', '--json'];
    const run = await esekit(argv, early);
    const { result, ...envelope } = JSON.parse(run.stdout) as JsonEnvelope<{ inserted: number }>;
    expect(run.exit).toBe(130);
    expect(envelope).toMatchObject({ mode: 'load', ok: false, exit: 130, error: { name: 'Interrupted' } });
    expect(result.inserted).toBeGreaterThan(0);
    expect(result.inserted).toBeLessThan(1000);
    expect((await eseutil(['/mh', place])).stdout).toContain('State: Clean Shutdown');
    const whole = await esekit(['load', place, '--rows', '5', '--lazy'], { signalNumber: 2 });
    expect(whole.exit).toBe(0);
  });

  test('a key that its column cannot hold is a usage error', async () => {
    const run = await esekit(['get', file, 'Customers', '99999999999']);
    expect(run).toMatchObject({ exit: 1, stdout: '' });
    expect(run.stderr).toContain('column Id of type Long cannot hold 99999999999.');
  });

  test('stat counts rows, trees and pages', async () => {
    interface Tree {
      readonly name: string;
      readonly type: string;
      readonly entries: number;
      readonly leafPages: number;
      readonly internalPages: number;
      readonly ownedPages: number;
    }
    const { result } = await json<{ rows: number; pages: number; trees: readonly Tree[] }>(['stat', file]);
    const { inserted, deleted, transactions } = loaded.result;
    expect(result).toMatchObject({
      state: 'Clean Shutdown',
      pageSize: 4096,
      pages: result.pages,
      leakedPages: 0,
      tables: 5,
      rows: inserted - deleted + transactions,
    });
    const text = await esekit(['stat', file]);
    for (const { name, entries } of result.trees) {
      expect(text.stdout).toMatch(new RegExp(`^ *${name} +${entries} `, 'm'));
    }
    expect(result.trees.find(({ name }) => name === 'Ledger')).toMatchObject({
      entries: transactions,
      type: 'rows',
    });
    expect(result.trees.find(({ type }) => type === 'longValues')?.entries).toBeGreaterThan(1);
  });
});

describeWithCorpus('databases of Windows', () => {
  test('get and scan follow the keys that Windows made', async () => {
    const file = corpusPath('databases', 'test.edb');
    const run = await esekit([
      'scan',
      file,
      'MSysObjects',
      '--index',
      'RootObjects',
      '--from',
      'true',
      '--from',
      'TestTable',
    ]);
    expect(JSON.parse(run.lines[0] ?? '{}')).toMatchObject({ Name: 'TestTable' });
    const objid = String((JSON.parse(run.lines[0] ?? '{}') as { ObjidTable: number }).ObjidTable);
    const got = await esekit(['get', file, 'MSysObjects', objid, '1', objid]);
    expect(JSON.parse(got.stdout)).toMatchObject({ Name: 'TestTable' });
  });

  test('stat reads a database that was not shut down', async () => {
    const run = await json<{ state: string }>(['stat', corpusPath('databases', 'ual-dirty.mdb')]);
    expect(run.result.state).toBe('Dirty Shutdown');
    expect(run.warnings.map(({ name }) => name)).toContain('DirtyDatabase');
  });
});
