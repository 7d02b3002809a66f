import { copyFileSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { OutputClosed } from '../../src/cli/host.js';
import { runEsekit } from '../../src/cli/run-esekit.js';
import { corpusJson, corpusPath, describeWithCorpus } from '../corpus.js';
import { type CliOptions, runProgram, temporaryFolder } from './run.js';

const folder = temporaryFolder();
const esekit = (argv: readonly string[], options: CliOptions = {}) => runProgram(runEsekit, argv, options);

interface Facts {
  readonly rows: readonly { readonly table: string; readonly rows: number }[];
  readonly catalog: Readonly<Record<string, { readonly objid: number }>>;
}

describeWithCorpus('esekit tables', () => {
  test.each(['test.edb', 'ual-dirty.mdb', 'srum.dat'])(
    '%s: names, objids and row counts of the facts',
    async (name) => {
      const facts = corpusJson<Facts>('databases', `${name}.facts.json`);
      const run = await esekit(['tables', corpusPath('databases', name), '--json']);
      expect(run.exit).toBe(0);
      const document = JSON.parse(run.stdout) as { result: { tables: { name: string }[] } };
      expect(document).toMatchObject({ tool: 'esekit', mode: 'tables', ok: true, exit: 0 });
      expect(document.result.tables).toHaveLength(facts.rows.length);
      for (const { table, rows } of facts.rows) {
        expect(document.result.tables.find((one) => one.name === table)).toMatchObject({
          rows,
          objid: facts.catalog[table]?.objid,
          system: table.startsWith('MSys'),
        });
      }
      const text = await esekit(['tables', corpusPath('databases', name)]);
      for (const { table, rows } of facts.rows) {
        expect(text.stdout).toMatch(new RegExp(`^${table.replace(/[{}]/g, '\\$&')} +\\d+ +${rows} `, 'm'));
      }
    },
  );

  test('a dirty database is read with a warning', async () => {
    const run = await esekit(['tables', corpusPath('databases', 'ual-dirty.mdb')]);
    expect(run.exit).toBe(0);
    expect(run.stderr).toMatch(/^WARNING: the database was not shut down cleanly, logs 124-124 are required/);
  });
});

describeWithCorpus('esekit export', () => {
  test('canonical, every table to its file: the rows of the facts, byte for byte', async () => {
    const out = join(folder, 'canonical');
    const source = corpusPath('databases', 'ual-clean.mdb');
    const run = await esekit(['export', source, '--format', 'canonical', '--out', out]);
    expect(run.exit).toBe(0);
    const rows = corpusPath('databases', 'ual-clean.mdb.rows');
    expect(readdirSync(out).sort()).toEqual(readdirSync(rows).sort());
    for (const name of readdirSync(rows)) {
      expect(readFileSync(join(out, name), 'utf8')).toBe(readFileSync(join(rows, name), 'utf8'));
    }
  });

  test('one table to stdout, in each format', async () => {
    const source = corpusPath('databases', 'test.edb');
    const rows = readFileSync(corpusPath('databases', 'test.edb.rows', 'TestTable.jsonl'), 'utf8');
    const canonical = await esekit(['export', source, '--table', 'testtable', '--format', 'canonical']);
    expect(canonical).toMatchObject({ exit: 0, stdout: rows, stderr: '' });
    const jsonl = await esekit(['export', source, '--table', 'TestTable']);
    expect(JSON.parse(jsonl.lines[0] ?? '')).toMatchObject({ AutoInc: 1, UnsignedByte: 255 });
    const csv = await esekit(['export', source, '--table=TestTable', '--format=csv']);
    expect(csv.lines[0]).toMatch(/^AutoInc,Bit,UnsignedByte,/);
  });

  test('files are not overwritten without consent', async () => {
    const out = join(folder, 'again');
    const argv = ['export', corpusPath('databases', 'test.edb'), '--table', 'TestTable', '--out', out];
    expect((await esekit(argv)).exit).toBe(0);
    writeFileSync(join(out, 'TestTable.jsonl'), 'mine');
    const refused = await esekit(argv);
    expect(refused.exit).toBe(3);
    expect(refused.stderr).toMatch(
      /^Error: -1814 \(JET_errFileAlreadyExists, the file exists; --yes overwrites it\)/,
    );
    expect((await esekit(argv, { stdinIsTerminal: true, answers: ['n'] })).exit).toBe(3);
    expect(readFileSync(join(out, 'TestTable.jsonl'), 'utf8')).toBe('mine');
    expect((await esekit(argv, { stdinIsTerminal: true, answers: ['y'] })).exit).toBe(0);
    expect((await esekit([...argv, '--yes'])).exit).toBe(0);
    expect(readdirSync(out)).toEqual(['TestTable.jsonl']);
  });

  test('damage: what can be read is written, each loss is a warning, the error is the last line', async () => {
    const file = join(folder, 'damaged.mdb');
    copyFileSync(corpusPath('databases', 'ual-clean.mdb'), file);
    const facts = corpusJson<{ trees: { trees: { tree: string; root: number }[] } }>(
      'databases',
      'ual-clean.mdb.facts.json',
    );
    const root = facts.trees.trees.find((tree) => tree.tree === 'DNS')?.root ?? 0;
    const bytes = readFileSync(file);
    bytes.fill(0x55, (root + 1) * 4096 + 100, (root + 1) * 4096 + 200);
    writeFileSync(file, bytes);
    const run = await esekit(['export', file, '--table', 'DNS']);
    expect(run.exit).toBe(2);
    expect(JSON.parse(run.lines.at(-2) ?? '')).toMatchObject({
      error: { code: -1018, name: 'JET_errReadVerifyFailure', pgno: root },
    });
    expect(run.stderr).toMatch(/WARNING: table DNS: .*JET_errReadVerifyFailure/);
    const document = await esekit(['export', file, '--out', join(folder, 'damaged'), '--json']);
    expect(document.exit).toBe(2);
    expect(JSON.parse(document.stdout)).toMatchObject({ ok: false, exit: 2, error: { code: -1018 } });
    expect(existsSync(join(folder, 'damaged', 'CLIENTS.jsonl'))).toBe(true);
  });

  test('an option given twice is named', async () => {
    const argv = ['export', corpusPath('databases', 'test.edb'), '--table', 'A', '--table=B'];
    const run = await runProgram(runEsekit, argv);
    expect(run).toMatchObject({ exit: 1, stdout: '' });
    expect(run.stderr).toBe('Usage Error: Duplicate --table specification.\nTry: esekit export --help\n');
  });

  test('a reader that goes away stops the export', async () => {
    const argv = ['export', corpusPath('databases', 'large.edb'), '--table', 'MSysObjects'];
    await expect(esekit(argv, { closeAfter: 1000 })).rejects.toThrow(OutputClosed);
  });
});

describeWithCorpus('esekit records', () => {
  test('the records of the facts, line by line', async () => {
    const run = await esekit(['records', corpusPath('logs', 'secedit', 'edb.log')]);
    expect(run.exit).toBe(0);
    const facts = readFileSync(corpusPath('logs', 'secedit', 'edb.log.records.jsonl'), 'utf8');
    const normal = (text: string) =>
      text
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as unknown);
    expect(normal(run.stdout)).toEqual(normal(facts));
  });

  test('damage ends the stream with its error', async () => {
    const file = join(folder, 'edb.log');
    const bytes = readFileSync(corpusPath('logs', 'secedit', 'edb.log'));
    bytes.fill(0x55, 20 * 4096 + 500, 20 * 4096 + 600);
    writeFileSync(file, bytes);
    const run = await esekit(['records', file]);
    expect(run.exit).toBe(2);
    expect(run.lines.length).toBeGreaterThan(100);
    expect(JSON.parse(run.lines.at(-2) ?? '')).toMatchObject({
      error: { code: -501, name: 'JET_errLogFileCorrupt' },
    });
  });

  test('the wrong kind of file', async () => {
    const run = await esekit(['records', corpusPath('databases', 'test.edb')]);
    expect(run).toMatchObject({ exit: 2, stdout: '' });
    expect(run.stderr).toMatch(
      /^Error: -1812 \(JET_errFileInvalidType, this is a database, not a log file\): /,
    );
  });
});

describe('usage of esekit', () => {
  test.each([
    [[], 'No command specified'],
    [['bogus', 'x'], "Unknown command 'bogus'"],
    [['tables'], 'Not enough'],
    [['tables', 'a', 'b'], ''],
    [['tables', 'a', '--bogus'], 'Unknown argument: bogus'],
    [['export', 'a', '--format', 'xml', '--table', 't'], 'Invalid values'],
    [['export', 'a'], 'name a table with --table'],
  ])('%j is refused in one line, exit 1', async (argv, message) => {
    const run = await esekit(argv);
    expect(run).toMatchObject({ exit: 1, stdout: '' });
    expect(run.stderr).toMatch(/^Usage Error: .+\nTry: esekit (?:\w+ )?--help\n$/);
    expect(run.stderr).toContain(message);
    expect(run.stderr).toContain(
      /^(?:tables|export)$/.test(argv[0] ?? '') ? `${argv[0]} --help` : 'esekit --help',
    );
    const json = await esekit([...argv, '--json']);
    expect(JSON.parse(json.stdout)).toMatchObject({
      tool: 'esekit',
      mode: 'usage',
      exit: 1,
      error: { code: null, name: 'UsageError' },
      result: null,
    });
  });

  test('--help, of the program and of each command, exits 0', async () => {
    expect(await esekit(['--help'])).toMatchObject({
      exit: 0,
      stdout: expect.stringContaining('esekit export <file>'),
    });
    for (const verb of ['tables', 'export', 'records']) {
      const run = await esekit([verb, '--help']);
      expect(run).toMatchObject({
        exit: 0,
        stdout: expect.stringContaining(`esekit ${verb} <file>`),
        stderr: '',
      });
    }
    expect((await esekit(['--version'])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });

  test.each([
    ['a missing file', join(folder, 'missing.edb'), -1811, 3],
    ['a directory', folder, -1023, 3],
  ])('%s', async (_, file, code, exit) => {
    const run = await esekit(['tables', file]);
    expect(run).toMatchObject({ exit, stdout: '' });
    expect(run.stderr).toMatch(new RegExp(`^Error: ${code} \\(JET_err\\w+, .+\\): .+\n$`));
  });
});
