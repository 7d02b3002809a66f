import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { openExclusive } from '../../src/io/exclusive-file.js';
import { nodeFileSystem } from '../../src/io/node-file-system.js';
import { jetErrorOf } from '../support/files.js';

/** What the system does instead, by the name of Node's function. */
const instead = vi.hoisted(() => new Map<string, (...args: never[]) => unknown>());

vi.mock('node:fs', async (importOriginal) => {
  const real = await importOriginal<Record<string, unknown>>();
  const wrapped = Object.entries(real).map(([name, value]) => {
    if (typeof value !== 'function' || !name.endsWith('Sync')) return [name, value];
    return [name, (...args: unknown[]) => (instead.get(name) ?? value)(...(args as never[]))];
  });
  return Object.fromEntries(wrapped);
});

const root = fs.mkdtempSync(join(tmpdir(), 'esekit-node-'));
let folder: string;
let path: string;

beforeEach(() => {
  folder = fs.mkdtempSync(join(root, 'x'));
  path = join(folder, 'x.edb');
  fs.writeFileSync(path, 'contents');
});
afterEach(() => instead.clear());
afterAll(() => fs.rmSync(root, { recursive: true, force: true }));

/** Makes Node's function fail as the system call would. */
function fail(name: string, code: string, errno = -1): void {
  instead.set(name, () => {
    throw Object.assign(new Error(`${code}: something happened, ${name} '${path}'`), {
      code,
      errno,
      syscall: name,
    });
  });
}

describe('The files of this machine', () => {
  it('are written whole although the system takes a few bytes at a time', () => {
    const parts: number[] = [];
    const file = nodeFileSystem.open(path, 'write');
    const { writeSync } = realFunctions();
    instead.set('writeSync', ((
      fd: number,
      from: Uint8Array,
      at: number,
      length: number,
      position: number,
    ) => {
      parts.push(Math.min(3, length));
      return writeSync(fd, from, at, Math.min(3, length), position);
    }) as never);
    file.writeAt(Buffer.from('0123456789'), 4);
    instead.clear();
    file.close();
    expect(parts).toEqual([3, 3, 3, 1]);
    expect(fs.readFileSync(path, 'latin1')).toBe('cont0123456789');
  });

  it('are read whole although the system gives a few bytes at a time', () => {
    const file = nodeFileSystem.open(path, 'read');
    const { readSync } = realFunctions();
    instead.set('readSync', ((fd: number, into: Uint8Array, at: number, length: number, position: number) =>
      readSync(fd, into, at, Math.min(3, length), position)) as never);
    const into = new Uint8Array(100);
    expect(file.readAt(into, 1)).toBe(7);
    instead.clear();
    expect(Buffer.from(into).toString('latin1', 0, 7)).toBe('ontents');
    file.close();
  });

  it.each([
    ['ENOSPC', -28, 'JET_errDiskFull'],
    ['EDQUOT', -122, 'JET_errDiskFull'],
    ['Unknown system error -122', -122, 'JET_errDiskFull'],
    ['EFBIG', -27, 'JET_errDiskFull'],
    ['EIO', -5, 'JET_errDiskIO'],
    ['ESTALE', -116, 'JET_errDiskIO'],
    ['EROFS', -30, 'JET_errDatabaseFileReadOnly'],
    ['ENOMEM', -12, 'JET_errOutOfMemory'],
    ['Unknown system error -117', -117, 'JET_errFileSystemCorruption'],
    ['Unknown system error -74', -74, 'JET_errFileSystemCorruption'],
    ['EWHATEVER', -9999, 'JET_errNTSystemCallFailed'],
  ])('give %s (%i) in a write as %s', (code, errno, name) => {
    const file = nodeFileSystem.open(path, 'write');
    fail('writeSync', code, errno);
    expect(jetErrorOf(() => file.writeAt(Uint8Array.of(1), 0))).toBe(name);
    instead.clear();
    file.close();
  });

  it.each([
    ['EMFILE', 'JET_errOutOfFileHandles'],
    ['ENFILE', 'JET_errOutOfFileHandles'],
    ['EACCES', 'JET_errFileAccessDenied'],
    ['EPERM', 'JET_errFileAccessDenied'],
    ['EBUSY', 'JET_errFileAccessDenied'],
    ['ENAMETOOLONG', 'JET_errInvalidPath'],
    ['ELOOP', 'JET_errInvalidPath'],
  ])('give %s in opening as %s', (code, name) => {
    fail('openSync', code);
    expect(jetErrorOf(() => nodeFileSystem.open(path, 'read'))).toBe(name);
  });

  it('give a sector that the medium has lost as a read verification failure', () => {
    const file = nodeFileSystem.open(path, 'read');
    fail('readSync', 'Unknown system error -61', -61);
    expect(jetErrorOf(() => file.readAt(new Uint8Array(1), 0))).toBe('JET_errDiskReadVerificationFailure');
    instead.clear();
    file.close();
  });

  it('say what happened, and where, without the name of the call', () => {
    fail('openSync', 'EIO');
    expect(() => nodeFileSystem.open(path, 'read')).toThrow(`EIO: something happened (${path})`);
  });

  it('fail every sync after one that failed: the kernel forgets what it has lost', () => {
    const file = nodeFileSystem.open(path, 'write');
    fail('fdatasyncSync', 'EIO');
    expect(jetErrorOf(() => file.sync())).toBe('JET_errDiskIO');
    instead.clear();
    expect(jetErrorOf(() => file.sync())).toBe('JET_errDiskIO');
    file.close();
  });

  it('let the sync of a directory pass where the file system has none', () => {
    fail('fsyncSync', 'EINVAL');
    nodeFileSystem.syncDirectory(folder);
    fail('fsyncSync', 'EIO');
    expect(jetErrorOf(() => nodeFileSystem.syncDirectory(folder))).toBe('JET_errDiskIO');
  });

  it('tell the free bytes of the volume', () => {
    instead.set('statfsSync', () => ({ bavail: 1000, bsize: 4096, blocks: 5000 }));
    expect(nodeFileSystem.freeBytes(join(folder, 'not', 'yet'))).toBe(4_096_000);
  });

  it('give a file the permissions of another, and its owner may write it', () => {
    const made = join(folder, 'made.edb');
    fs.writeFileSync(made, '');
    fs.chmodSync(path, 0o600);
    nodeFileSystem.adoptAccess(made, path);
    expect(fs.statSync(made).mode & 0o777).toBe(0o600);
    fs.chmodSync(path, 0o440);
    nodeFileSystem.adoptAccess(made, path);
    expect(fs.statSync(made).mode & 0o777).toBe(0o640);
  });

  it('keep a group out whose file cannot be given the group of the other', () => {
    const made = join(folder, 'made.edb');
    fs.writeFileSync(made, '');
    fs.chmodSync(path, 0o664);
    const real = fs.statSync(path);
    instead.set('statSync', () => {
      instead.delete('statSync');
      return Object.assign(real, { gid: real.gid + 1, uid: real.uid + 1 });
    });
    fail('chownSync', 'EPERM');
    nodeFileSystem.adoptAccess(made, path);
    expect(fs.statSync(made).mode & 0o777).toBe(0o604);
  });

  it('lead from a symbolic link to its file, and leave other paths alone', () => {
    const link = join(folder, 'link.edb');
    fs.symlinkSync('x.edb', link);
    expect(nodeFileSystem.resolveLink(link)).toBe(fs.realpathSync(path));
    expect(nodeFileSystem.resolveLink(path)).toBe(path);
    expect(nodeFileSystem.resolveLink(join(folder, 'none'))).toBe(join(folder, 'none'));
  });

  it('refuse a device, and a pipe without waiting for its other end', () => {
    expect(jetErrorOf(() => nodeFileSystem.open('/dev/null', 'read'))).toBe('JET_errFileInvalidType');
    const pipe = join(folder, 'pipe');
    if (spawnSync('mkfifo', [pipe]).status !== 0) return;
    expect(jetErrorOf(() => nodeFileSystem.open(pipe, 'read'))).toBe('JET_errFileInvalidType');
    expect(jetErrorOf(() => nodeFileSystem.open(pipe, 'write'))).toBe('JET_errFileInvalidType');
  });

  it('lock on a file system without hard links', () => {
    fail('linkSync', 'EPERM');
    const lock = nodeFileSystem.lock(path, { role: 'eseutil' });
    expect(jetErrorOf(() => nodeFileSystem.lock(path, { role: 'eseutil' }))).toBe('JET_errFileAccessDenied');
    lock.release();
    expect(fs.readdirSync(folder)).toEqual(['x.edb']);
  });

  it('lock although the answer of a network file system to the link was lost', () => {
    const { linkSync } = realFunctions();
    instead.set('linkSync', ((from: string, to: string) => {
      linkSync(from, to);
      linkSync(from, to);
    }) as never);
    const lock = nodeFileSystem.lock(path, { role: 'eseutil' });
    instead.clear();
    lock.release();
    expect(fs.readdirSync(folder)).toEqual(['x.edb']);
  });

  it('lock nothing on a volume that may only be read', () => {
    fail('writeFileSync', 'EROFS');
    expect(jetErrorOf(() => openExclusive(nodeFileSystem, path, 'write', { role: 'eseutil' }))).toBe(
      'JET_errDatabaseFileReadOnly',
    );
  });
});

describe.skipIf(process.platform === 'win32' || process.geteuid === undefined)('Without permission', () => {
  /** Runs a call as a user who owns nothing. */
  function asNobody(call: () => void): void {
    const isRoot = process.geteuid?.() === 0;
    if (isRoot) process.seteuid?.(65534);
    try {
      call();
    } finally {
      if (isRoot) process.seteuid?.(0);
    }
  }

  it('a file is read-only if it may be read, else access is denied; no lock stays', () => {
    for (const above of [root, folder]) fs.chmodSync(above, 0o777);
    fs.chmodSync(path, 0o444);
    asNobody(() => {
      expect(jetErrorOf(() => nodeFileSystem.open(path, 'write'))).toBe('JET_errDatabaseFileReadOnly');
      expect(jetErrorOf(() => openExclusive(nodeFileSystem, path, 'write', { role: 'eseutil' }))).toBe(
        'JET_errDatabaseFileReadOnly',
      );
      nodeFileSystem.open(path, 'read').close();
    });
    fs.chmodSync(path, 0);
    asNobody(() => {
      expect(jetErrorOf(() => nodeFileSystem.open(path, 'write'))).toBe('JET_errFileAccessDenied');
      expect(jetErrorOf(() => nodeFileSystem.open(path, 'read'))).toBe('JET_errFileAccessDenied');
    });
    expect(fs.readdirSync(folder)).toEqual(['x.edb']);
  });
});

/** Node's own functions, past the replacements. */
function realFunctions(): typeof fs {
  return process.getBuiltinModule('node:fs');
}
