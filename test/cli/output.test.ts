import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { type CliHost, OutputClosed, OutputFailed, type Terminal } from '../../src/cli/host.js';
import { persistentTerminal } from '../../src/cli/output.js';
import { runGuarded } from '../../src/cli/process.js';
import { runEsekit } from '../../src/cli/run-esekit.js';
import { corpusPath, describeWithCorpus } from '../corpus.js';
import { isBuilt } from '../support/built.js';
import { eseutil, eseutilJson, runProgram, temporaryFolder } from './run.js';

const folder = temporaryFolder();

/** A host of which a program uses the terminal only. */
function hostWith(terminal: Partial<Terminal>): CliHost {
  return { terminal } as CliHost;
}

describe('what comes out of a program', () => {
  test('a closed stdout ends it with 0', async () => {
    const exit = await runGuarded(() => Promise.reject(new OutputClosed()), [], hostWith({}));
    expect(exit).toBe(0);
  });

  test.each([
    [
      new OutputFailed(new Error('ENOSPC: no space left')),
      'ERROR: the output could not be written: ENOSPC: no space left\n',
    ],
    [new TypeError('x is not\na function'), 'ERROR: internal error: x is not a function\n'],
  ])('%s is one line on stderr and exit 3', async (error, expected) => {
    let stderr = '';
    const err = (text: string) => {
      stderr += text;
    };
    expect(await runGuarded(() => Promise.reject(error), [], hostWith({ err }))).toBe(3);
    expect(stderr).toBe(expected);
  });

  test('a terminal for what changes files takes all text, and remembers a full disk', () => {
    let calls = 0;
    const open = persistentTerminal({
      ...hostWith({}).terminal,
      out: () => {
        calls++;
        throw new OutputFailed('ENOSPC');
      },
    });
    open.terminal.out('a');
    open.terminal.out('b');
    expect(calls).toBe(1);
    expect(open.failure()?.message).toBe('the output could not be written: ENOSPC');
    const closed = persistentTerminal({
      ...hostWith({}).terminal,
      out: () => {
        throw new OutputClosed();
      },
    });
    closed.terminal.out('a');
    expect(closed.failure()).toBeUndefined();
  });
});

describeWithCorpus('a signal', () => {
  const file = corpusPath('databases', 'test.edb');

  test('that comes when the work is done changes nothing', async () => {
    const run = await eseutil(['-k', file], { signalNumber: 2 });
    expect(run.exit).toBe(0);
    expect(run.stdout).toContain('Operation completed successfully in ');
    const tables = await runProgram(runEsekit, ['tables', file], { signalNumber: 15 });
    expect(tables.exit).toBe(0);
  });

  test('and a failure are an interruption', async () => {
    const missing = join(folder, 'missing.edb');
    expect((await eseutil(['-k', missing], { signalNumber: 2 })).exit).toBe(130);
    expect((await runProgram(runEsekit, ['export', missing], { signalNumber: 15 })).exit).toBe(143);
  });
});

describeWithCorpus('stdout that nobody reads', () => {
  test('recovery goes on to its end', async () => {
    const set = join(folder, 'recovery');
    mkdirSync(set);
    copyFileSync(corpusPath('logs', 'secedit', 'edb.log'), join(set, 'edb.log'));
    const run = await eseutil(['-r', 'edb', '-l', set, '-s', set, '-d', set], { closeAfter: 0 });
    expect(run).toMatchObject({ exit: 0, stdout: '' });
    expect((await eseutil(['-mh', join(set, 'secedit.sdb')])).lines).toContain(
      '            State: Clean Shutdown',
    );
  });

  test('an export into a folder writes every table', async () => {
    const out = join(folder, 'export');
    const argv = ['export', corpusPath('databases', 'test.edb'), '--out', out];
    expect(await runProgram(runEsekit, argv, { closeAfter: 0 })).toMatchObject({ exit: 0, stdout: '' });
    expect(readdirSync(out)).toHaveLength(5);
  });

  test('records into a file are all written', async () => {
    const [whole, unread] = [join(folder, 'whole.csv'), join(folder, 'unread.csv')];
    const log = corpusPath('logs', 'secedit', 'edb.log');
    expect((await eseutil(['-ml', log, `-c:${whole}`])).exit).toBe(0);
    expect((await eseutil(['-ml', log, `-c:${unread}`, '-v'], { closeAfter: 0 })).exit).toBe(0);
    expect(readFileSync(unread).equals(readFileSync(whole))).toBe(true);
    expect(readFileSync(whole, 'utf8').trimEnd().split('\n')).toHaveLength(2573 + 1);
  });
});

describeWithCorpus('--json=FILE', () => {
  const database = corpusPath('databases', 'test.edb');

  test.each([
    ['the database itself', 'priv1.edb', readFileSync(database)],
    ['a text', 'notes.txt', Buffer.from('Dear diary')],
  ])('is not written over %s', async (_, name, contents) => {
    const file = join(folder, name);
    writeFileSync(file, contents);
    const run = await eseutil(['-mh', file, `--json=${file}`]);
    expect(run.exit).toBe(3);
    expect(run.stdout).toContain(
      'error -1814 (JET_errFileAlreadyExists, the file of --json exists and holds no',
    );
    expect(run.stdout).not.toContain('DATABASE HEADER');
    expect(readFileSync(file).equals(contents)).toBe(true);
    const other = await runProgram(runEsekit, ['tables', database, `--json=${file}`]);
    expect(other).toMatchObject({ exit: 3, stdout: '' });
    expect(readFileSync(file).equals(contents)).toBe(true);
  });

  test('is written over a document, and over an empty file', async () => {
    for (const contents of ['{"tool":"eseutil"}\n', '']) {
      const file = join(folder, 'document.json');
      writeFileSync(file, contents);
      expect((await eseutil(['-mh', database, `--json=${file}`])).exit).toBe(0);
      expect(JSON.parse(readFileSync(file, 'utf8'))).toMatchObject({ mode: 'dumpHeader' });
    }
  });

  test('is no device and no folder', async () => {
    expect((await eseutil(['-mh', database, '--json=/dev/null'])).exit).toBe(2);
    expect((await eseutil(['-mh', database, `--json=${folder}`])).exit).toBe(2);
    expect(existsSync('/dev/null')).toBe(true);
  });

  test('a usage error is told as ever when the file cannot be written', async () => {
    const run = await eseutil(['-mh', '-q', `--json=${join(folder, 'none', 'x.json')}`]);
    expect(run.exit).toBe(1);
    expect(run.stdout).toContain("Usage Error: Invalid option '-q'.");
    expect(run.stderr).toMatch(/^ERROR: -1023 \(JET_errInvalidPath\): the JSON file was not written/);
  });

  test('without a name is a usage error', async () => {
    const run = await eseutil(['-mh', database, '--json=']);
    expect(run.exit).toBe(1);
    expect(JSON.parse(run.stdout)).toMatchObject({
      mode: 'usage',
      error: { message: expect.stringContaining('Missing --json specification.') },
    });
  });
});

describeWithCorpus('through the real process', () => {
  const program = (name: string) => fileURLToPath(new URL(`../../dist/bin/${name}.js`, import.meta.url));
  const hasProgram = isBuilt(program('eseutil'));
  const log = corpusPath('logs', 'secedit', 'edb.log');

  test.skipIf(!hasProgram || !existsSync('/dev/full')).each([
    ['eseutil', ['-ml', log, '-v2']],
    ['eseutil', ['-mh', '-q']],
    ['eseutil', ['--help']],
    ['esekit', ['records', log]],
    ['esekit', ['--help']],
  ])('%s %j onto a full disk: one line, exit 3', (name, argv) => {
    const command = `"${process.execPath}" "${program(name)}" ${argv.map((one) => `"${one}"`).join(' ')} > /dev/full`;
    const run = spawnSync('bash', ['-c', command], { encoding: 'utf8' });
    expect(run.stderr).toMatch(/^ERROR: the output could not be written: ENOSPC.*\n$/);
    expect(run.status).toBe(3);
  });

  test.skipIf(!hasProgram || process.getuid?.() !== 0)('nobody may not read a secret file or folder', () => {
    const secrets = join(folder, 'secrets');
    mkdirSync(secrets);
    copyFileSync(log, join(secrets, 'edb.log'));
    const secret = join(folder, 'secret.edb');
    copyFileSync(corpusPath('databases', 'test.edb'), secret);
    chmodSync(folder, 0o755);
    chmodSync(secrets, 0);
    chmodSync(secret, 0);
    const asNobody = { uid: 65534, gid: 65534, encoding: 'utf8' } as const;
    for (const argv of [
      ['-mh', secret],
      ['-mm', secret],
      ['-m', secret, '-p4'],
      ['-k', secret],
      ['-ml', join(secrets, 'edb')],
      ['-mk', join(secrets, 'edb.chk')],
    ]) {
      const run = spawnSync(process.execPath, [program('eseutil'), ...argv], asNobody);
      expect(run.stdout, argv.join(' ')).toContain(
        'error -1032 (JET_errFileAccessDenied, EACCES: permission denied',
      );
      expect(run.stderr).toBe('');
      expect(run.status).toBe(5);
    }
  });
});

describeWithCorpus('a file of another kind', () => {
  test.each([
    ['-mh', 'logs/secedit/edb.log', 'a log file'],
    ['-mm', 'logs/secedit/edb.chk', 'a checkpoint file'],
    ['-ms', 'logs/secedit/edb.log', 'a log file'],
    ['-mn', 'databases/secedit.jfm', 'a flush map'],
    ['-mc', 'databases/secedit.jfm', 'a flush map'],
    ['-g', 'logs/secedit/edb.log', 'a log file'],
    ['-m -p1', 'logs/secedit/edb.log', 'a log file'],
    ['-m -p-1', 'logs/secedit/edb.chk', 'a checkpoint file'],
  ])('%s of %s says what it is', async (mode, name, kind) => {
    const [letter = '', ...options] = mode.split(' ');
    const file = corpusPath(...name.split('/'));
    expect(await eseutilJson([letter, file, ...options])).toMatchObject({
      exit: 2,
      error: { code: -1812, message: `this is ${kind}, not a database`, file },
      result: null,
    });
  });
});
