import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { openExclusive } from '../../src/io/exclusive-file.js';
import type { FileSystem } from '../../src/io/file-system.js';
import { nodeFileSystem } from '../../src/io/node-file-system.js';
import { removeTemporaries, replaceFile, temporaryName } from '../../src/io/replace-file.js';
import { seededRandom } from '../../src/io/seeded-random.js';
import { createSimulatedDisk } from '../../src/io/simulated-disk.js';
import { bytesOf, jetErrorOf, patternBytes, putFile, readFile, text } from '../support/files.js';

const realFolder = mkdtempSync(join(tmpdir(), 'esekit-io-'));
afterAll(() => rmSync(realFolder, { recursive: true, force: true }));

let folders = 0;
const implementations: [string, () => { fs: FileSystem; folder: string }][] = [
  ['the files of this machine', () => ({ fs: nodeFileSystem, folder: join(realFolder, `${folders++}`) })],
  ['the simulated disk', () => ({ fs: createSimulatedDisk(), folder: '/a/folder' })],
];

describe.each(implementations)('A file system: %s', (_name, create) => {
  let fs: FileSystem;
  let folder: string;
  const at = (name: string): string => `${folder}/${name}`;

  beforeEach(() => {
    ({ fs, folder } = create());
    fs.mkdir(folder);
  });

  describe('opening', () => {
    it('creates a file that can be written and read, and is empty at first', () => {
      const file = fs.open(at('new.edb'), 'create');
      expect(file.size()).toBe(0);
      file.writeAt(bytesOf('abc'), 0);
      const read = new Uint8Array(3);
      expect(file.readAt(read, 0)).toBe(3);
      expect(text(read)).toBe('abc');
      file.close();
    });

    it('refuses to create what exists, file or directory', () => {
      putFile(fs, at('old'), bytesOf('x'));
      fs.mkdir(at('dir'));
      expect(jetErrorOf(() => fs.open(at('old'), 'create'))).toBe('JET_errFileAlreadyExists');
      expect(jetErrorOf(() => fs.open(at('dir'), 'create'))).toBe('JET_errFileAlreadyExists');
      expect(text(readFile(fs, at('old')))).toBe('x');
    });

    it.each(['read', 'write'] as const)('to %s needs an existing file', (mode) => {
      expect(jetErrorOf(() => fs.open(at('none'), mode))).toBe('JET_errFileNotFound');
      expect(fs.exists(at('none'))).toBe(false);
    });

    it.each(['read', 'write', 'create'] as const)('to %s in a folder that is missing, or a file', (mode) => {
      putFile(fs, at('file'), bytesOf('x'));
      expect(jetErrorOf(() => fs.open(at('none/x'), mode))).toBe('JET_errInvalidPath');
      expect(jetErrorOf(() => fs.open(at('file/x'), mode))).toBe('JET_errInvalidPath');
    });

    it.each(['read', 'write'] as const)('to %s refuses a directory', (mode) => {
      expect(jetErrorOf(() => fs.open(folder, mode))).toBe('JET_errFileInvalidType');
    });

    it('names the file in the error', () => {
      expect(() => fs.open(at('none'), 'read')).toThrow(at('none'));
    });

    it('for writing keeps the contents', () => {
      putFile(fs, at('x'), bytesOf('old contents'));
      const file = fs.open(at('x'), 'write');
      file.writeAt(bytesOf('NEW'), 4);
      file.close();
      expect(text(readFile(fs, at('x')))).toBe('old NEWtents');
    });

    it('for reading gives a handle that changes nothing', () => {
      putFile(fs, at('x'), bytesOf('abc'));
      const file = fs.open(at('x'), 'read');
      expect(() => file.writeAt(bytesOf('x'), 0)).toThrow();
      expect(() => file.truncate(0)).toThrow();
      file.close();
      expect(text(readFile(fs, at('x')))).toBe('abc');
    });
  });

  describe('reading and writing', () => {
    it('reads short only at the end of the file', () => {
      putFile(fs, at('x'), patternBytes(1, 10_000));
      const file = fs.open(at('x'), 'read');
      const into = new Uint8Array(6000).fill(0xee);
      expect(file.readAt(into, 0)).toBe(6000);
      expect(Buffer.compare(into, patternBytes(1, 6000))).toBe(0);
      into.fill(0xee);
      expect(file.readAt(into, 7000)).toBe(3000);
      expect(into.subarray(0, 3000)).toEqual(patternBytes(1, 10_000).subarray(7000));
      expect(into.subarray(3000)).toEqual(new Uint8Array(3000).fill(0xee));
      expect(file.readAt(into, 10_000)).toBe(0);
      expect(file.readAt(into, 1e9)).toBe(0);
      expect(file.readAt(new Uint8Array(0), 0)).toBe(0);
      file.close();
    });

    it('fills the gap with zeros when it writes behind the end', () => {
      const file = fs.open(at('x'), 'create');
      file.writeAt(bytesOf('a'), 0);
      file.writeAt(bytesOf('z'), 9000);
      file.close();
      const bytes = readFile(fs, at('x'));
      expect(bytes.length).toBe(9001);
      expect([bytes[0], bytes[9000]]).toEqual([97, 122]);
      expect(bytes.subarray(1, 9000).every((byte) => byte === 0)).toBe(true);
    });

    it('writes across page borders at odd offsets', () => {
      const expected = patternBytes(1, 20_000);
      putFile(fs, at('x'), expected);
      const file = fs.open(at('x'), 'write');
      for (const [offset, length] of [
        [4090, 12],
        [511, 2],
        [8191, 8194],
        [19_999, 1],
      ] as const) {
        file.writeAt(patternBytes(offset, length), offset);
        expected.set(patternBytes(offset, length), offset);
      }
      file.close();
      expect(Buffer.compare(readFile(fs, at('x')), expected)).toBe(0);
    });

    it('does nothing when it writes no bytes', () => {
      const file = fs.open(at('x'), 'create');
      file.writeAt(new Uint8Array(0), 5000);
      expect(file.size()).toBe(0);
      file.close();
    });

    it('cuts a file, and extends it with zeros where old bytes were', () => {
      putFile(fs, at('x'), patternBytes(3, 9000));
      const file = fs.open(at('x'), 'write');
      file.truncate(5000);
      expect(file.size()).toBe(5000);
      file.truncate(9000);
      file.close();
      const bytes = readFile(fs, at('x'));
      expect(bytes.length).toBe(9000);
      expect(bytes.subarray(0, 5000)).toEqual(patternBytes(3, 5000));
      expect(bytes.subarray(5000)).toEqual(new Uint8Array(4000));
    });

    it('shows what one handle writes to the others at once', () => {
      putFile(fs, at('x'), bytesOf('abc'));
      const reader = fs.open(at('x'), 'read');
      const writer = fs.open(at('x'), 'write');
      writer.writeAt(bytesOf('xyz!'), 0);
      const into = new Uint8Array(4);
      expect(reader.readAt(into, 0)).toBe(4);
      expect(text(into)).toBe('xyz!');
      writer.close();
      reader.close();
    });

    it('closes twice without harm, and does nothing else on a closed handle', () => {
      putFile(fs, at('x'), bytesOf('abc'));
      const file = fs.open(at('x'), 'write');
      file.close();
      file.close();
      expect(() => file.size()).toThrow();
      expect(() => file.readAt(new Uint8Array(1), 0)).toThrow();
      expect(() => file.writeAt(bytesOf('x'), 0)).toThrow();
      expect(() => file.sync()).toThrow();
    });
  });

  describe('names', () => {
    it('lists a directory in code unit order', () => {
      for (const name of ['b', 'a', 'B', 'é', '10', '9']) putFile(fs, at(name), bytesOf(''));
      fs.mkdir(at('c'));
      expect(fs.readdir(folder)).toEqual(['10', '9', 'B', 'a', 'b', 'c', 'é']);
      expect(jetErrorOf(() => fs.readdir(at('none')))).toBe('JET_errFileNotFound');
      expect(jetErrorOf(() => fs.readdir(at('a')))).toBe('JET_errInvalidPath');
    });

    it('tells size, kind and identity', () => {
      putFile(fs, at('x'), bytesOf('abcde'));
      putFile(fs, at('y'), bytesOf('abcde'));
      expect(fs.stat(at('x'))).toMatchObject({ size: 5, isDirectory: false });
      expect(fs.stat(folder).isDirectory).toBe(true);
      expect(fs.stat(`${folder}/../${folder.split('/').at(-1)}/x`).identity).toBe(fs.stat(at('x')).identity);
      expect(fs.stat(at('y')).identity).not.toBe(fs.stat(at('x')).identity);
      expect(jetErrorOf(() => fs.stat(at('none')))).toBe('JET_errFileNotFound');
      expect(jetErrorOf(() => fs.stat(at('none/x')))).toBe('JET_errInvalidPath');
    });

    it('makes directories with those above them, once or again', () => {
      fs.mkdir(at('p/q/r'));
      fs.mkdir(at('p/q/r'));
      expect(fs.stat(at('p/q/r')).isDirectory).toBe(true);
      putFile(fs, at('file'), bytesOf(''));
      expect(jetErrorOf(() => fs.mkdir(at('file')))).toBe('JET_errFileAlreadyExists');
    });

    it('removes empty directories only', () => {
      fs.mkdir(at('p/q'));
      expect(jetErrorOf(() => fs.rmdir(at('p')))).toBe('JET_errFileAccessDenied');
      fs.rmdir(at('p/q'));
      fs.rmdir(at('p'));
      expect(fs.exists(at('p'))).toBe(false);
    });

    it('renames in the place of another file', () => {
      putFile(fs, at('new'), bytesOf('new'));
      putFile(fs, at('old'), bytesOf('old'));
      fs.rename(at('new'), at('old'));
      expect(fs.readdir(folder)).toEqual(['old']);
      expect(text(readFile(fs, at('old')))).toBe('new');
    });

    it('renames a file to itself without losing it, and a directory with all in it', () => {
      fs.mkdir(at('p'));
      putFile(fs, at('p/x'), bytesOf('x'));
      fs.rename(at('p/x'), at('p/x'));
      fs.rename(at('p'), at('q'));
      expect(text(readFile(fs, at('q/x')))).toBe('x');
      expect(fs.exists(at('p'))).toBe(false);
    });

    it('says which name of a rename is at fault', () => {
      putFile(fs, at('x'), bytesOf('x'));
      fs.mkdir(at('p'));
      expect(jetErrorOf(() => fs.rename(at('none'), at('y')))).toBe('JET_errFileNotFound');
      expect(jetErrorOf(() => fs.rename(at('x'), at('none/y')))).toBe('JET_errInvalidPath');
      expect(() => fs.rename(at('x'), at('none/y'))).toThrow(at('none/y'));
      expect(jetErrorOf(() => fs.rename(at('p'), at('p/below')))).toBe('JET_errInvalidPath');
      expect(jetErrorOf(() => fs.rename(at('x'), at('p')))).toBe('JET_errFileInvalidType');
      expect(fs.readdir(folder)).toEqual(['p', 'x']);
    });

    it('removes a name; an open handle still reads the file', () => {
      putFile(fs, at('x'), bytesOf('abc'));
      const file = fs.open(at('x'), 'read');
      fs.unlink(at('x'));
      expect(fs.exists(at('x'))).toBe(false);
      expect(file.size()).toBe(3);
      file.close();
      expect(jetErrorOf(() => fs.unlink(at('x')))).toBe('JET_errFileNotFound');
      expect(jetErrorOf(() => fs.unlink(folder))).toBe('JET_errFileInvalidType');
    });

    it('syncs directories, and tells free bytes for a path that does not exist yet', () => {
      fs.syncDirectory(folder);
      expect(jetErrorOf(() => fs.syncDirectory(at('none')))).toBe('JET_errFileNotFound');
      expect(fs.freeBytes(at('none/yet.edb'))).toBeGreaterThan(0);
    });
  });

  describe('locks', () => {
    it('refuses a second session until the first releases, and names the holder', () => {
      putFile(fs, at('x.edb'), bytesOf('x'));
      const lock = fs.lock(at('x.edb'), { role: 'store' });
      expect(lock.wasAbandoned).toBe(false);
      expect(jetErrorOf(() => fs.lock(at('x.edb'), { role: 'eseutil' }))).toBe('JET_errFileAccessDenied');
      expect(() => fs.lock(at('x.edb'), { role: 'eseutil' })).toThrow(/in use by store/);
      expect(fs.lockHolder(at('x.edb'))).toMatchObject({ role: 'store' });
      lock.renew();
      lock.release();
      lock.release();
      expect(fs.lockHolder(at('x.edb'))).toBeUndefined();
      const next = fs.lock(at('x.edb'), { role: 'eseutil' });
      expect(next.wasAbandoned).toBe(false);
      next.release();
      expect(fs.readdir(folder)).toEqual(['x.edb']);
    });

    it('locks what does not exist yet, in a folder that does', () => {
      const lock = fs.lock(at('E00'), { role: 'store' });
      expect(jetErrorOf(() => fs.lock(at('E00'), { role: 'store' }))).toBe('JET_errFileAccessDenied');
      fs.lock(at('E01'), { role: 'store' }).release();
      lock.release();
      expect(jetErrorOf(() => fs.lock(at('none/E00'), { role: 'store' }))).toBe('JET_errInvalidPath');
      expect(fs.readdir(folder)).toEqual([]);
    });

    it('opens a file exclusively, and leaves nothing behind when that fails or ends', () => {
      putFile(fs, at('x.edb'), bytesOf('abc'));
      const file = openExclusive(fs, at('x.edb'), 'write', { role: 'eseutil' });
      expect(jetErrorOf(() => openExclusive(fs, at('x.edb'), 'write', { role: 'eseutil' }))).toBe(
        'JET_errFileAccessDenied',
      );
      file.writeAt(bytesOf('ABCD'), 0);
      file.truncate(3);
      file.sync();
      expect([file.size(), file.readAt(new Uint8Array(9), 1)]).toEqual([3, 2]);
      file.close();
      expect(text(readFile(fs, at('x.edb')))).toBe('ABC');

      const open = (name: string, mode: 'write' | 'create') => () =>
        openExclusive(fs, at(name), mode, { role: 'eseutil' });
      expect(jetErrorOf(open('none.edb', 'write'))).toBe('JET_errFileNotFound');
      expect(jetErrorOf(open('x.edb', 'create'))).toBe('JET_errFileAlreadyExists');
      expect(fs.readdir(folder)).toEqual(['x.edb']);
      open('x.edb', 'write')().close();
      open('y.edb', 'create')().close();
      expect(fs.readdir(folder)).toEqual(['x.edb', 'y.edb']);
    });
  });

  describe('replacing a file', () => {
    const random = seededRandom(7);

    it('puts new contents in the place of the old, or makes the file', () => {
      replaceFile({ fs, random }, at('x'), bytesOf('first'));
      replaceFile({ fs, random }, at('x'), (file) => file.writeAt(bytesOf('second'), 0));
      expect(text(readFile(fs, at('x')))).toBe('second');
      expect(fs.readdir(folder)).toEqual(['x']);
    });

    it('keeps the old file, and no other, when the new contents fail', () => {
      replaceFile({ fs, random }, at('x'), bytesOf('first'));
      const failing = () =>
        replaceFile({ fs, random }, at('x'), () => {
          throw new Error('no contents');
        });
      expect(failing).toThrow('no contents');
      expect(text(readFile(fs, at('x')))).toBe('first');
      expect(fs.readdir(folder)).toEqual(['x']);
    });

    it('removes what crashes left, and nothing else', () => {
      const left = temporaryName(at('x'), random);
      expect(left).toMatch(/\/x\.[0-9a-f]{8}\.tmp$/);
      for (const path of [left, at('x'), at('xy.00000000.tmp'), at('x.tmp')]) putFile(fs, path, bytesOf(''));
      removeTemporaries(fs, at('x'));
      expect(fs.readdir(folder)).toEqual(['x', 'x.tmp', 'xy.00000000.tmp']);
    });
  });
});
