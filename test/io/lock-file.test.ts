import { type ChildProcess, spawn } from 'node:child_process';
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { openExclusive } from '../../src/io/exclusive-file.js';
import { findLockHolder, takeLock } from '../../src/io/lock-file.js';
import { nodeFileSystem } from '../../src/io/node-file-system.js';
import { isBuilt } from '../support/built.js';
import { jetErrorOf } from '../support/files.js';

const role = 'eseutil' as const;
const root = mkdtempSync(join(tmpdir(), 'esekit-lock-'));
const children: ChildProcess[] = [];
let folder: string;
let database: string;
let lockFile: string;

beforeEach(() => {
  folder = mkdtempSync(join(root, 'x'));
  database = join(folder, 'x.edb');
  lockFile = `${database}.lock`;
});
afterEach(() => {
  vi.useRealTimers();
  for (const child of children.splice(0)) child.kill('SIGKILL');
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

type LockFields = Record<string, string | number | null>;

/** What a lock of this process says. */
function recordOfThisProcess(): LockFields {
  const lock = takeLock(database, { role });
  const record = JSON.parse(readFileSync(lockFile, 'utf8')) as LockFields;
  lock.release();
  return record;
}

function writeLock(fields: LockFields, renewedAgoMs = 0): void {
  writeFileSync(lockFile, JSON.stringify({ ...recordOfThisProcess(), ...fields }));
  const renewed = new Date(Date.now() - renewedAgoMs);
  utimesSync(lockFile, renewed, renewed);
}

function startedProcess(): ChildProcess & { pid: number } {
  const child = spawn('sleep', ['600'], { stdio: 'ignore' });
  children.push(child);
  const { pid } = child;
  if (pid === undefined) throw new Error('no process was started');
  return Object.assign(child, { pid });
}

function startTimeOf(pid: number): string {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
}

function exitOf(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => child.once('exit', () => resolve()));
}

describe('A lock file', () => {
  it('names the process, the host, the role and the time', () => {
    const before = Date.now();
    const record = recordOfThisProcess();
    expect(record).toMatchObject({ pid: process.pid, host: hostname(), role: 'eseutil' });
    expect(record.since).toBeGreaterThanOrEqual(before);
    expect(readdirSync(folder)).toEqual([]);
  });

  it('that cannot be made says that it is the lock file', () => {
    const path = join(folder, 'nowhere', 'x.edb');
    expect(() => takeLock(path, { role })).toThrow('its lock file cannot be made: its folder does not exist');
  });

  it('is one for all symbolic links to a database', () => {
    writeFileSync(database, '');
    nodeFileSystem.mkdir(join(folder, 'other'));
    const link = join(folder, 'other', 'link.edb');
    symlinkSync(database, link);
    const lock = takeLock(link, { role });
    expect(existsSync(lockFile)).toBe(true);
    expect(jetErrorOf(() => takeLock(database, { role }))).toBe('JET_errFileAccessDenied');
    lock.release();
  });

  it('is not made by a reader', () => {
    writeFileSync(database, 'x');
    nodeFileSystem.open(database, 'read').close();
    expect(findLockHolder(database)).toBeUndefined();
    expect(readdirSync(folder)).toEqual(['x.edb']);
  });
});

describe.skipIf(process.platform !== 'linux')('The lock of another process', () => {
  it('holds while that process lives, and is taken over when it was killed', async () => {
    const other = startedProcess();
    writeLock({ pid: other.pid, start: startTimeOf(other.pid), role: 'store' });
    expect(() => takeLock(database, { role })).toThrow(`it is in use by store ${other.pid} on ${hostname()}`);
    expect(findLockHolder(database)).toMatchObject({ pid: other.pid, role: 'store' });

    const exit = exitOf(other);
    other.kill('SIGKILL');
    await exit;
    expect(findLockHolder(database)).toBeUndefined();
    const lock = takeLock(database, { role });
    expect(lock.wasAbandoned).toBe(true);
    lock.release();
    expect(readdirSync(folder)).toEqual([]);
  });

  it('is dead when its process number belongs to a younger process', () => {
    const other = startedProcess();
    writeLock({ pid: other.pid, start: '1' });
    expect(findLockHolder(database)).toBeUndefined();
    expect(takeLock(database, { role }).wasAbandoned).toBe(true);
  });

  it('is dead when this machine was started anew since', () => {
    writeLock({ boot: 'an earlier one' });
    expect(takeLock(database, { role }).wasAbandoned).toBe(true);
  });

  it.each([{ host: 'another' }, { machine: 'another' }])(
    'on another machine (%o) is refused, unless it is to be broken',
    (fields) => {
      writeLock({ boot: 'another', ...fields }, 1e9);
      expect(() => takeLock(database, { role })).toThrow(/nobody can see/);
      expect(findLockHolder(database)?.pid).toBe(process.pid);
      const lock = takeLock(database, { role, breakForeign: true });
      expect(lock.wasAbandoned).toBe(true);
      lock.release();
    },
  );

  it('is not broken while it lives, even if foreign locks are', () => {
    const lock = takeLock(database, { role });
    expect(jetErrorOf(() => takeLock(database, { role, breakForeign: true }))).toBe(
      'JET_errFileAccessDenied',
    );
    lock.release();
  });

  it('in another container holds for a minute after its last renewal', () => {
    writeLock({ namespace: 'pid:[1]', pid: 1 }, 50_000);
    expect(jetErrorOf(() => takeLock(database, { role }))).toBe('JET_errFileAccessDenied');
    const old = new Date(Date.now() - 70_000);
    utimesSync(lockFile, old, old);
    expect(takeLock(database, { role }).wasAbandoned).toBe(true);
  });

  it('of a machine without boot ids is foreign to one that has them', () => {
    writeLock({ boot: null, namespace: null, start: null });
    expect(jetErrorOf(() => takeLock(database, { role }))).toBe('JET_errFileAccessDenied');
  });

  it.each(['', 'no record', '[]', '7', '{"pid":-1}', '{"pid":"1"}'])(
    'that says %j is being written, or dead',
    (contents) => {
      writeFileSync(lockFile, contents);
      expect(jetErrorOf(() => takeLock(database, { role }))).toBe('JET_errFileAccessDenied');
      const old = new Date(Date.now() - 3000);
      utimesSync(lockFile, old, old);
      expect(takeLock(database, { role }).wasAbandoned).toBe(true);
    },
  );

  it('is taken over although a process died while it did the same', () => {
    writeLock({ start: '1' });
    writeFileSync(`${lockFile}.break`, readFileSync(lockFile));
    writeFileSync(`${lockFile}.break.break`, readFileSync(lockFile));
    const lock = takeLock(database, { role });
    expect(lock.wasAbandoned).toBe(true);
    lock.release();
    expect(readdirSync(folder)).toEqual([]);
  });
});

describe('A lock that was lost', () => {
  it('fails the next write after a while, and is left to its new holder', () => {
    vi.useFakeTimers({ toFake: ['performance', 'setInterval', 'clearInterval'] });
    const file = openExclusive(nodeFileSystem, database, 'create', { role });
    file.writeAt(Uint8Array.of(1), 0);
    writeFileSync(lockFile, JSON.stringify({ pid: process.pid, token: 'a stranger' }));
    vi.advanceTimersByTime(25_000);
    expect(jetErrorOf(() => file.writeAt(Uint8Array.of(2), 0))).toBe('JET_errFileAccessDenied');
    expect(jetErrorOf(() => file.truncate(0))).toBe('JET_errFileAccessDenied');
    expect(jetErrorOf(() => file.sync())).toBe('JET_errFileAccessDenied');
    file.close();
    expect(existsSync(lockFile)).toBe(true);
    expect([...readFileSync(database)]).toEqual([1]);
  });

  it('is renewed by writes when no timer can run', () => {
    vi.useFakeTimers({ toFake: ['performance', 'setInterval', 'clearInterval'] });
    const file = openExclusive(nodeFileSystem, database, 'create', { role });
    const old = new Date(Date.now() - 3_600_000);
    utimesSync(lockFile, old, old);
    vi.spyOn(performance, 'now').mockReturnValue(performance.now() + 11_000);
    file.writeAt(Uint8Array.of(1), 0);
    expect(nodeFileSystem.lockHolder(database)?.pid).toBe(process.pid);
    expect(Date.now() - statSync(lockFile).mtimeMs).toBeLessThan(60_000);
    file.close();
    vi.restoreAllMocks();
  });
});

// The build, because other processes cannot run the source: `npm test` makes it first.
const built = fileURLToPath(new URL('../../dist/io/lock-file.js', import.meta.url));

describe.skipIf(!isBuilt(built))('Many processes', () => {
  it('that find a dead lock give it to one at a time', async () => {
    writeLock({ start: '1', boot: 'an earlier one' });
    const inside = join(folder, 'inside');
    // Each holder leaves the lock of a dead process, so that each turn is a takeover.
    const program = `
      import { mkdirSync, readFileSync, renameSync, rmdirSync, writeFileSync } from 'node:fs';
      import { takeLock } from ${JSON.stringify(built)};
      const [database, inside] = ${JSON.stringify([database, inside])};
      for (const end = Date.now() + 700; Date.now() < end; ) {
        try { takeLock(database, { role: 'eseutil' }); } catch (error) {
          if (error.name !== 'JET_errFileAccessDenied') throw error;
          continue;
        }
        mkdirSync(inside);
        const record = JSON.parse(readFileSync(database + '.lock', 'utf8'));
        if (record.pid !== process.pid) throw new Error('this is the lock of ' + record.pid);
        rmdirSync(inside);
        writeFileSync(database + process.pid, JSON.stringify({ ...record, start: '1' }));
        renameSync(database + process.pid, database + '.lock');
        process.stdout.write('x');
      }
      process.kill(process.pid, 'SIGKILL');`;
    const runs = Array.from({ length: 4 }, () => {
      const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      children.push(child);
      let complaint = '';
      let turns = 0;
      child.stdout.on('data', (text) => {
        turns += text.length;
      });
      child.stderr.on('data', (text) => {
        complaint += text;
      });
      return new Promise<{ complaint: string; turns: number }>((resolve) =>
        child.once('close', () => resolve({ complaint, turns })),
      );
    });
    const ends = await Promise.all(runs);
    expect(ends.map(({ complaint }) => complaint).join('')).toBe('');
    expect(ends.some(({ turns }) => turns > 0)).toBe(true);
    expect(takeLock(database, { role }).wasAbandoned).toBe(true);
  });
});
