import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { takeLock } from '../../src/io/lock-file.js';

const disk = vi.hoisted(() => ({ isFull: false }));

vi.mock('node:fs', async (original) => {
  const real = await original<typeof import('node:fs')>();
  const writeFull: typeof real.writeFileSync = (file, data, options) => {
    if (!disk.isFull) return real.writeFileSync(file, data, options);
    // A new file has its name already when there turns out to be no room for its bytes.
    real.writeFileSync(file, '', options);
    throw Object.assign(new Error('ENOSPC: no space left on device'), {
      code: 'ENOSPC',
      errno: -28,
      syscall: 'write',
    });
  };
  return { ...real, writeFileSync: writeFull };
});

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'esekit-lock-'));
  writeFileSync(join(folder, 'a.edb'), 'x');
  disk.isFull = true;
});
afterEach(() => {
  disk.isFull = false;
  rmSync(folder, { recursive: true, force: true });
});

test('a lock that finds no room on the disk leaves nothing behind', () => {
  const path = join(folder, 'a.edb');
  expect(() => takeLock(path, { role: 'eseutil' })).toThrow(
    expect.objectContaining({ name: 'JET_errDiskFull' }),
  );
  expect(readdirSync(folder)).toEqual(['a.edb']);
  disk.isFull = false;
  takeLock(path, { role: 'eseutil' }).release();
  expect(readdirSync(folder)).toEqual(['a.edb']);
});
