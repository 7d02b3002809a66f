import { spawn } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, onTestFinished, test } from 'vitest';
import { nodeFileSystem } from '../../src/io/node-file-system.js';
import { corpusPath, describeWithCorpus } from '../corpus.js';
import { isBuilt } from '../support/built.js';
import { eseutil, eseutilJson, temporaryFolder } from './run.js';

const folder = temporaryFolder();
const program = fileURLToPath(new URL('../../dist/bin/eseutil.js', import.meta.url));

describeWithCorpus('/y', () => {
  const source = corpusPath('databases', 'test.edb');
  const bytes = readFileSync(source);

  test('copies a file, and says how much', async () => {
    const destination = join(folder, 'a.edb');
    const run = await eseutil(['-y', source, '-d', destination]);
    expect(run.exit).toBe(0);
    expect(run.lines.slice(5)).toEqual([
      'Initiating COPY FILE mode...',
      `     Source File: ${source.slice(-64)}`,
      `Destination File: ${destination.slice(-64)}`,
      '',
      '\tTotal bytes read       = 0x100000 (1048576) (1 MB)',
      '\tTotal bytes written    = 0x100000 (1048576) (1 MB)',
      '',
      expect.stringMatching(/^Operation completed successfully in \d+\.\d+ seconds\.$/),
      '',
      '',
    ]);
    expect(readFileSync(destination).equals(bytes)).toBe(true);
  });

  test('the bar of a copy', async () => {
    const run = await eseutil(['-y', source, '-d', join(folder, 'bar.edb'), '--progress=always']);
    expect(run.lines).toContain('                      Copy Progress (% complete)');
    expect(run.lines).toContain(`          ${'.'.repeat(51)}`);
  });

  test('into a folder it keeps its name; JSON has the form of the specification', async () => {
    const into = join(folder, 'into');
    mkdirSync(into);
    const { exit, mode, result } = await eseutilJson(['-y', source, '-d', into, '-i', '--verify']);
    expect([exit, mode]).toEqual([0, 'copy']);
    expect(result).toEqual({
      source,
      destination: join(into, 'test.edb'),
      bytesRead: 1048576,
      bytesWritten: 1048576,
      unreadable: [],
    });
  });

  test('with /i counts what could not be read', async () => {
    const run = await eseutil(['-y', source, '-d', join(folder, 'i.edb'), '-i']);
    expect(run.lines).toContain('\tTotal read errors      = 0');
    expect(run.lines).toContain('\tTotal bytes unreadable = 0x0 (0) (0 MB)');
  });

  test.each([
    ['an existing file', (at: string) => writeFileSync(at, 'old'), -1814, 'JET_errFileAlreadyExists', 3],
    ['a missing folder', (at: string) => join(at, 'none', 'x.edb'), -1023, 'JET_errInvalidPath', 3],
    ['a Windows path', () => 'D:\\backup\\a.edb', -1023, 'JET_errInvalidPath', 3],
    ['the source', () => source, -1028, 'JET_errInvalidDatabase', 3],
  ])('onto %s: one error, nothing written', async (what, prepare, code, name, exit) => {
    const at = join(folder, what.replaceAll(' ', '-'));
    const destination = prepare(at) ?? at;
    const before = readdirSync(folder);
    const run = await eseutil(['-y', source, '-d', destination]);
    expect(run.exit).toBe(exit);
    expect(run.stdout).toContain(`error ${code} (${name}, `);
    expect(run.stdout).not.toContain('.tmp');
    expect(readdirSync(folder)).toEqual(before);
    expect(readFileSync(source).equals(bytes)).toBe(true);
  });

  test('--force replaces a file, but no device', async () => {
    const destination = join(folder, 'forced.edb');
    writeFileSync(destination, 'old');
    expect((await eseutil(['-y', source, '-d', destination, '--force'])).exit).toBe(0);
    expect(readFileSync(destination).equals(bytes)).toBe(true);
    const device = await eseutil(['-y', source, '-d', '/dev/null', '--force']);
    expect(device.exit).toBe(2);
    expect(device.stdout).toContain(
      'error -1812 (JET_errFileInvalidType, this is not a regular file: /dev/null',
    );
    expect(statSync('/dev/null').isCharacterDevice()).toBe(true);
  });

  test('a locked database: -1032, exit 5; --shared copies it', async () => {
    const file = join(folder, 'locked.edb');
    writeFileSync(file, bytes);
    const lock = nodeFileSystem.lock(file, { role: 'store' });
    try {
      const argv = ['-y', file, '-d', join(folder, 'unlocked.edb')];
      expect((await eseutil(argv)).exit).toBe(5);
      const shared = await eseutil([...argv, '--shared']);
      expect(shared.exit).toBe(0);
      expect(shared.stderr).toMatch(/^WARNING: the database is in use by process /);
    } finally {
      lock.release();
    }
  });

  test('a missing source, a directory, no source at all', async () => {
    const target = ['-d', join(folder, 'x')];
    expect((await eseutil(['-y', join(folder, 'none'), ...target])).stdout).toContain('error -1811 (');
    expect((await eseutil(['-y', folder, ...target])).stdout).toContain('error -1023 (');
    expect((await eseutil(['-y', ...target])).exit).toBe(1);
  });

  test.skipIf(!isBuilt(program)).each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const)('%s ends it within a second and leaves nothing', async (signal, exit) => {
    const large = join(folder, 'large.bin');
    writeFileSync(large, 'x');
    truncateSync(large, 64 * 1024 ** 3);
    const into = join(folder, signal);
    mkdirSync(into);
    const child = spawn(process.execPath, [program, '-y', large, '-d', into, '--progress=always']);
    onTestFinished(() => void child.kill('SIGKILL'));
    let stdout = '';
    await new Promise<void>((resolve) => {
      child.stdout.on('data', (text) => {
        stdout += text;
        if (stdout.includes('|----|')) resolve();
      });
    });
    const started = performance.now();
    child.kill(signal);
    const code = await new Promise((resolve) => child.on('close', resolve));
    expect(performance.now() - started).toBeLessThan(1000);
    expect(code).toBe(exit);
    expect(stdout).toMatch(/ {10}\.*X\n/);
    expect(stdout).toMatch(/Operation terminated unsuccessfully after \d+\.\d+ seconds\.\n\n\n$/);
    expect(readdirSync(into)).toEqual([]);
  });
});
