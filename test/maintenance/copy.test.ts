import { describe, expect, it } from 'vitest';
import { seededEnvironment } from '../../src/io/environment.js';
import {
  createSimulatedDisk,
  type FaultPlan,
  isMutation,
  SimulatedCrash,
  type SimulatedDisk,
  stopAtCall,
} from '../../src/io/simulated-disk.js';
import { type CopyOptions, copyFile, copyWarning } from '../../src/maintenance/copy.js';
import { patternBytes, putFile, readFile } from '../support/files.js';

const MIB = 1024 * 1024;
/** Two blocks and a part of one. */
const BYTES = patternBytes(1, 2 * MIB + 5000);

function diskWith(contents: Uint8Array, capacity?: number): SimulatedDisk {
  const disk = createSimulatedDisk({ trace: true, ...(capacity === undefined ? {} : { capacity }) });
  disk.mkdir('/a');
  disk.mkdir('/b');
  putFile(disk, '/a/x.edb', contents);
  return disk;
}

function copy(disk: SimulatedDisk, options: CopyOptions = {}) {
  return copyFile(seededEnvironment({ fs: disk, seed: 1 }), '/a/x.edb', '/b/y.edb', options);
}

/** Reads of `path` that touch the bytes `from .. to - 1` fail. */
function badSectors(path: string, from: number, to: number): FaultPlan {
  return ({ operation, path: of, offset = 0, length = 0 }) =>
    operation === 'readAt' && of === path && offset < to && offset + length > from
      ? { kind: 'error', error: 'JET_errDiskIO' }
      : undefined;
}

describe('a copy', () => {
  it('has every byte of the source, and leaves the source alone', async () => {
    const disk = diskWith(BYTES);
    const report = await copy(disk, { verify: true });
    expect(report).toEqual({
      source: '/a/x.edb',
      destination: '/b/y.edb',
      bytesRead: BYTES.length,
      bytesWritten: BYTES.length,
      unreadable: [],
    });
    expect(Buffer.from(readFile(disk, '/b/y.edb')).equals(BYTES)).toBe(true);
    expect(disk.readdir('/b')).toEqual(['y.edb']);
    expect(disk.trace.filter((call) => call.path === '/a/x.edb' && call.number > 5).some(isMutation)).toBe(
      false,
    );
    expect(copyWarning(report)).toBeUndefined();
  });

  it('is durable when it is reported', async () => {
    const disk = diskWith(BYTES);
    await copy(disk);
    for (const seed of [1, 2, 3]) {
      expect(Buffer.from(readFile(disk.crash(seed), '/b/y.edb')).equals(BYTES)).toBe(true);
    }
  });

  it('does not write runs of zeros', async () => {
    const sparse = new Uint8Array(3 * MIB + 100);
    sparse.set(patternBytes(1, 10), MIB + 70_000);
    const disk = diskWith(sparse);
    await copy(disk);
    const written = disk.trace.filter(
      ({ operation, path }) => operation === 'writeAt' && path.startsWith('/b/'),
    );
    expect(written.map(({ offset, length }) => [offset, length])).toEqual([[MIB + 65_536, 65_536]]);
    expect(Buffer.from(readFile(disk, '/b/y.edb')).equals(sparse)).toBe(true);
  });

  it('of an empty file is an empty file', async () => {
    const disk = diskWith(new Uint8Array(0));
    expect(await copy(disk, { verify: true })).toMatchObject({ bytesRead: 0, bytesWritten: 0 });
    expect(disk.stat('/b/y.edb').size).toBe(0);
  });

  it('reports how far it is, the comparison included', async () => {
    const seen: number[][] = [];
    await copy(diskWith(BYTES), { verify: true, onProgress: (done, total) => seen.push([done, total]) });
    const total = 2 * BYTES.length;
    expect(seen).toEqual(
      [MIB, 2 * MIB, BYTES.length, BYTES.length + MIB, BYTES.length + 2 * MIB, total].map((done) => [
        done,
        total,
      ]),
    );
  });
});

describe('a destination that exists', () => {
  it('is refused, unless it is to be replaced', async () => {
    const disk = diskWith(BYTES);
    putFile(disk, '/b/y.edb', patternBytes(2, 100));
    await expect(copy(disk)).rejects.toMatchObject({ name: 'JET_errFileAlreadyExists', file: '/b/y.edb' });
    expect(readFile(disk, '/b/y.edb')).toEqual(patternBytes(2, 100));
    await copy(disk, { replace: true });
    expect(Buffer.from(readFile(disk, '/b/y.edb')).equals(BYTES)).toBe(true);
  });

  it('is never the source, nor a directory', async () => {
    const disk = diskWith(BYTES);
    const environment = seededEnvironment({ fs: disk, seed: 1 });
    const options = { replace: true };
    await expect(copyFile(environment, '/a/x.edb', '/a/../a/x.edb', options)).rejects.toMatchObject({
      name: 'JET_errInvalidDatabase',
    });
    await expect(copyFile(environment, '/a/x.edb', '/b', options)).rejects.toMatchObject({
      name: 'JET_errInvalidPath',
    });
    expect(Buffer.from(readFile(disk, '/a/x.edb')).equals(BYTES)).toBe(true);
  });
});

describe('a source that cannot be read', () => {
  const bad = badSectors('/a/x.edb', MIB + 5000, MIB + 9000);

  it('ends the copy with its error, and nothing stays behind', async () => {
    const disk = diskWith(BYTES);
    disk.faults = bad;
    await expect(copy(disk)).rejects.toMatchObject({ name: 'JET_errDiskIO', file: '/a/x.edb' });
    expect(disk.readdir('/b')).toEqual([]);
  });

  it('with /i loses the bad pages only, as zeros', async () => {
    const disk = diskWith(BYTES);
    disk.faults = bad;
    const report = await copy(disk, { ignoreReadErrors: true, verify: true });
    expect(report).toMatchObject({
      bytesRead: BYTES.length - 8192,
      bytesWritten: BYTES.length,
      unreadable: [{ offset: MIB + 4096, length: 8192 }],
    });
    const expected = Buffer.from(BYTES);
    expected.fill(0, MIB + 4096, MIB + 4096 + 8192);
    expect(Buffer.from(readFile(disk, '/b/y.edb')).equals(expected)).toBe(true);
    expect(copyWarning(report)).toMatchObject({
      code: 595,
      name: 'JET_wrnDatabaseRepaired',
      message: '8192 bytes could not be read and are zero in the copy',
    });
  });

  it('of which a bit is misread is caught by the comparison', async () => {
    const disk = diskWith(BYTES);
    let flipped = false;
    disk.faults = ({ operation, path, offset = 0 }) => {
      if (flipped || operation !== 'readAt' || path !== '/a/x.edb' || offset !== MIB) return undefined;
      flipped = true;
      return { kind: 'flip', bit: 12_345 };
    };
    await expect(copy(disk, { verify: true })).rejects.toMatchObject({ name: 'JET_errReadVerifyFailure' });
    expect(disk.readdir('/b')).toEqual([]);
  });
});

describe('a copy that does not come to its end', () => {
  it('leaves nothing when the disk is full, and says which file did not fit', async () => {
    const disk = diskWith(BYTES, 3 * MIB);
    await expect(copy(disk)).rejects.toMatchObject({
      name: 'JET_errDiskFull',
      file: '/b/y.edb',
      detail: `the copy has ${BYTES.length} bytes, the volume has ${3 * MIB - 4096 * Math.ceil(BYTES.length / 4096)} free`,
    });
    expect(disk.readdir('/b')).toEqual([]);
  });

  it('leaves nothing when it is interrupted', async () => {
    const disk = diskWith(BYTES);
    const controller = new AbortController();
    const interrupted = copy(disk, {
      signal: controller.signal,
      onProgress: () => controller.abort(new Error('stop')),
    });
    await expect(interrupted).rejects.toThrow('stop');
    expect(disk.readdir('/b')).toEqual([]);
  });

  it('killed at any call leaves the old file or the whole new one under the name', async () => {
    const old = patternBytes(2, 100);
    const prepare = (): SimulatedDisk => {
      const disk = diskWith(BYTES);
      putFile(disk, '/b/y.edb', old);
      return disk;
    };
    const whole = prepare();
    const first = whole.calls + 1;
    await copy(whole, { replace: true });
    for (let call = first; call <= whole.calls; call++) {
      const disk = prepare();
      disk.faults = stopAtCall(call);
      await expect(copy(disk, { replace: true })).rejects.toThrow(SimulatedCrash);
      for (const seed of [1, 2]) {
        const found = Buffer.from(readFile(disk.crash(seed), '/b/y.edb'));
        expect(found.equals(old) || found.equals(BYTES), `call ${call}`).toBe(true);
      }
    }
  });
});
