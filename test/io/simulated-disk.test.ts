import { describe, expect, it } from 'vitest';
import { EseError } from '../../src/format/ese-error.js';
import type { FileSystem } from '../../src/io/file-system.js';
import { replaceFile } from '../../src/io/replace-file.js';
import { seededRandom } from '../../src/io/seeded-random.js';
import {
  createSimulatedDisk,
  failAtCall,
  formatCall,
  randomFaults,
  SimulatedCrash,
  type SimulatedDisk,
  stopAtCall,
} from '../../src/io/simulated-disk.js';
import { SECTOR_BYTES } from '../../src/io/simulated-file.js';
import { crashAtEveryCall, failAtEveryCall, stopAtEveryCall } from '../support/crash.js';
import { bytesOf, jetErrorOf, patternBytes, putFile, readFile, text } from '../support/files.js';

/** What is found after a power failure, for many seeds, as a set of short descriptions. */
function outcomes(disk: SimulatedDisk, describeState: (left: SimulatedDisk) => string): Set<string> {
  const found = new Set<string>();
  for (let seed = 0; seed < 300; seed++) found.add(describeState(disk.crash(seed)));
  return found;
}

/** The first byte of each sector, as a letter. */
function sectors(disk: FileSystem, path: string): string {
  const bytes = readFile(disk, path);
  let letters = '';
  for (let at = 0; at < bytes.length; at += SECTOR_BYTES) letters += String.fromCharCode(bytes[at] || 0x2e);
  return letters;
}

function sectorsOf(letters: string): Uint8Array {
  const bytes = new Uint8Array(letters.length * SECTOR_BYTES);
  for (let i = 0; i < letters.length; i++) {
    bytes.fill(letters.charCodeAt(i), i * SECTOR_BYTES, (i + 1) * SECTOR_BYTES);
  }
  return bytes;
}

describe('A power failure', () => {
  it('keeps what was synced', () => {
    const disk = createSimulatedDisk();
    putFile(disk, '/x', sectorsOf('abcd'));
    expect(outcomes(disk, (left) => sectors(left, '/x'))).toEqual(new Set(['abcd']));
  });

  it('loses, keeps, tears or reorders writes that were not', () => {
    const disk = createSimulatedDisk();
    putFile(disk, '/x', sectorsOf('aaaa'));
    const file = disk.open('/x', 'write');
    file.writeAt(sectorsOf('bb'), 0);
    file.writeAt(sectorsOf('cc'), 2 * SECTOR_BYTES);
    const found = outcomes(disk, (left) => sectors(left, '/x'));
    const [lost, kept, torn, reordered] = ['aaaa', 'bbcc', 'baaa', 'aacc'];
    for (const state of [lost, kept, torn, reordered]) expect(found).toContain(state);
    for (const state of found) expect(state).toMatch(/^[ab][ab][ac][ac]$/);
    expect(found.size).toBe(16);
  });

  it('leaves a sector as it was after one of several writes, never a mixture', () => {
    const disk = createSimulatedDisk();
    putFile(disk, '/x', bytesOf('....'));
    const file = disk.open('/x', 'write');
    file.writeAt(bytesOf('12'), 0);
    file.writeAt(bytesOf('34'), 2);
    file.writeAt(bytesOf('5'), 0);
    const found = outcomes(disk, (left) => text(readFile(left, '/x')));
    expect(found).toEqual(new Set(['....', '12..', '1234', '5234']));
  });

  it('may lose the new size, or find it without the new bytes', () => {
    const disk = createSimulatedDisk();
    putFile(disk, '/x', sectorsOf('a'));
    disk.open('/x', 'write').writeAt(sectorsOf('bc'), SECTOR_BYTES);
    const found = outcomes(disk, (left) => sectors(left, '/x'));
    expect(found).toEqual(new Set(['a', 'a..', 'ab.', 'a.c', 'abc']));
  });

  it('cuts a file or not; what was cut does not come back when it grows again', () => {
    const disk = createSimulatedDisk();
    putFile(disk, '/x', sectorsOf('aaa'));
    const file = disk.open('/x', 'write');
    file.truncate(SECTOR_BYTES);
    file.truncate(3 * SECTOR_BYTES);
    const found = outcomes(disk, (left) => sectors(left, '/x'));
    expect(found).toEqual(new Set(['aaa', 'a', 'a..']));
  });

  it('may lose the name of a new file, and find a name without contents', () => {
    const disk = createSimulatedDisk();
    const file = disk.open('/x', 'create');
    file.writeAt(sectorsOf('a'), 0);
    const state = (left: SimulatedDisk) => (left.exists('/x') ? `<${sectors(left, '/x')}>` : 'none');
    expect(outcomes(disk, state)).toEqual(new Set(['none', '<>', '<.>', '<a>']));
    file.sync();
    expect(outcomes(disk, state)).toEqual(new Set(['none', '<a>']));
    disk.syncDirectory('/');
    expect(outcomes(disk, state)).toEqual(new Set(['<a>']));
  });

  it('may undo a removal', () => {
    const disk = createSimulatedDisk();
    putFile(disk, '/x', bytesOf('x'));
    disk.unlink('/x');
    expect(outcomes(disk, (left) => left.readdir('/').join())).toEqual(new Set(['', 'x']));
    expect(outcomes(disk, (left) => (left.exists('/x') ? text(readFile(left, '/x')) : ''))).toContain('x');
    disk.syncDirectory('/');
    expect(outcomes(disk, (left) => left.readdir('/').join())).toEqual(new Set(['']));
  });

  it('finds a rename done or not done, in its order with others of the same name', () => {
    const disk = createSimulatedDisk();
    putFile(disk, '/E00.log', bytesOf('1'));
    putFile(disk, '/E00tmp.log', bytesOf('2'));
    disk.rename('/E00.log', '/E0000001.log');
    disk.rename('/E00tmp.log', '/E00.log');
    const state = (left: SimulatedDisk) =>
      left
        .readdir('/')
        .map((name) => `${name}=${text(readFile(left, `/${name}`))}`)
        .join(' ');
    expect(outcomes(disk, state)).toEqual(
      new Set(['E00.log=1 E00tmp.log=2', 'E0000001.log=1 E00tmp.log=2', 'E00.log=2 E0000001.log=1']),
    );
    disk.syncDirectory('/');
    expect(outcomes(disk, state)).toEqual(new Set(['E00.log=2 E0000001.log=1']));
  });

  it('moves a file from one directory to another as a whole', () => {
    const disk = createSimulatedDisk();
    disk.mkdir('/p');
    disk.mkdir('/q');
    putFile(disk, '/p/x', bytesOf('x'));
    disk.rename('/p/x', '/q/x');
    const state = (left: SimulatedDisk) => `${left.readdir('/p').join()}|${left.readdir('/q').join()}`;
    expect(outcomes(disk, state)).toEqual(new Set(['x|', '|x']));
    disk.syncDirectory('/q');
    expect(outcomes(disk, state)).toEqual(new Set(['|x']));
  });

  it('keeps directories that were made', () => {
    const disk = createSimulatedDisk();
    disk.mkdir('/p/q');
    expect(outcomes(disk, (left) => left.readdir('/p').join())).toEqual(new Set(['q']));
  });

  it('leaves the same state for the same seed, and everything in it is durable', () => {
    const make = () => {
      const disk = createSimulatedDisk({ seed: 5 });
      putFile(disk, '/x', sectorsOf('a'.repeat(40)));
      disk.open('/x', 'write').writeAt(sectorsOf('b'.repeat(40)), 0);
      return disk;
    };
    for (let seed = 0; seed < 20; seed++) {
      const left = make().crash(seed);
      expect(sectors(left, '/x')).toBe(sectors(make().crash(seed), '/x'));
      expect(sectors(left.crash(seed + 1), '/x')).toBe(sectors(left, '/x'));
    }
  });

  it('abandons locks', () => {
    const disk = createSimulatedDisk();
    disk.lock('/x', { role: 'store' });
    for (const left of [disk.crash(1), disk.fork(), disk.fork().crash(1)]) {
      expect(left.lockHolder('/x')).toBeUndefined();
      const lock = left.lock('/x', { role: 'store' });
      expect(lock.wasAbandoned).toBe(true);
      lock.release();
      expect(left.lock('/x', { role: 'store' }).wasAbandoned).toBe(false);
    }
  });
});

describe('The death of the program alone', () => {
  it('loses nothing, and makes nothing durable', () => {
    const disk = createSimulatedDisk();
    putFile(disk, '/x', sectorsOf('aa'));
    disk.open('/x', 'write').writeAt(sectorsOf('b'), 0);
    disk.open('/y', 'create').writeAt(sectorsOf('c'), 0);
    const left = disk.fork();
    expect([sectors(left, '/x'), sectors(left, '/y')]).toEqual(['ba', 'c']);
    expect(outcomes(left, (after) => sectors(after, '/x'))).toEqual(new Set(['aa', 'ba']));
    expect(outcomes(left, (after) => after.readdir('/').join())).toEqual(new Set(['x', 'x,y']));
  });

  it('leaves a disk that is independent of the old one', () => {
    const disk = createSimulatedDisk();
    putFile(disk, '/x', sectorsOf('aa'));
    const file = disk.open('/x', 'write');
    file.writeAt(sectorsOf('b'), 0);
    for (const left of [disk.fork(), disk.crash(3)]) {
      const other = left.open('/x', 'write');
      other.writeAt(sectorsOf('zz'), 0);
      other.sync();
      left.unlink('/x');
    }
    expect(sectors(disk, '/x')).toBe('ba');
    const before = disk.fork();
    file.writeAt(sectorsOf('cc'), 0);
    file.sync();
    expect(sectors(before, '/x')).toBe('ba');
  });
});

describe('A fault plan', () => {
  it('stops the program before a call, and nothing after it does anything', () => {
    const disk = createSimulatedDisk();
    putFile(disk, '/x', bytesOf('old'));
    const file = disk.open('/x', 'write');
    disk.faults = stopAtCall(disk.calls + 2);
    file.writeAt(bytesOf('A'), 0);
    expect(() => file.writeAt(bytesOf('B'), 1)).toThrow(SimulatedCrash);
    expect(() => file.sync()).toThrow(SimulatedCrash);
    expect(() => disk.unlink('/x')).toThrow(SimulatedCrash);
    expect(() => file.close()).toThrow(SimulatedCrash);
    expect(text(readFile(disk.fork(), '/x'))).toBe('Ald');
    expect(new SimulatedCrash()).not.toBeInstanceOf(EseError);
  });

  it('lets one call fail, with the file in the error', () => {
    const disk = createSimulatedDisk();
    putFile(disk, '/x', bytesOf('abc'));
    const file = disk.open('/x', 'read');
    disk.faults = failAtCall(disk.calls + 2);
    const into = new Uint8Array(3);
    expect(file.readAt(into, 0)).toBe(3);
    expect(jetErrorOf(() => file.readAt(into, 0))).toBe('JET_errDiskIO');
    expect(file.readAt(into, 0)).toBe(3);
    disk.faults = failAtCall(disk.calls + 1, 'JET_errDiskFull');
    expect(() => disk.rename('/x', '/y')).toThrow('/x');
    expect(disk.readdir('/')).toEqual(['x']);
  });

  it('a failing write has written some beginning', () => {
    const lengths = new Set<number>();
    for (let seed = 0; seed < 200; seed++) {
      const disk = createSimulatedDisk({ seed });
      const file = disk.open('/x', 'create');
      disk.faults = failAtCall(2);
      expect(jetErrorOf(() => file.writeAt(bytesOf('abcd'), 0))).toBe('JET_errDiskIO');
      disk.faults = undefined;
      expect('abcd').toContain(text(readFile(disk, '/x')));
      lengths.add(file.size());
    }
    expect([...lengths].sort()).toEqual([0, 1, 2, 3, 4]);
  });

  it('a failing sync loses writes that are still seen, and later syncs do not bring them back', () => {
    const found = new Set<string>();
    for (let seed = 0; seed < 60; seed++) {
      const disk = createSimulatedDisk({ seed });
      putFile(disk, '/x', sectorsOf('aa'));
      const file = disk.open('/x', 'write');
      file.writeAt(sectorsOf('bb'), 0);
      disk.faults = failAtCall(disk.calls + 1);
      expect(jetErrorOf(() => file.sync())).toBe('JET_errDiskIO');
      expect(jetErrorOf(() => file.sync())).toBe('JET_errDiskIO');
      disk.open('/x', 'write').sync();
      expect(sectors(disk, '/x')).toBe('bb');
      const left = disk.crash(1);
      found.add(sectors(left, '/x'));
      expect(sectors(disk.crash(2), '/x')).toBe(sectors(left, '/x'));
    }
    expect(found).toEqual(new Set(['aa', 'ba', 'ab', 'bb']));
  });

  it('reads short, and flips a bit of what is read but not of what is stored', () => {
    const disk = createSimulatedDisk();
    putFile(disk, '/x', Uint8Array.of(0, 0, 0, 0));
    const file = disk.open('/x', 'read');
    const into = Uint8Array.of(9, 9, 9, 9);
    disk.faults = () => ({ kind: 'short', bytes: 3 });
    expect(file.readAt(into, 0)).toBe(3);
    expect([...into]).toEqual([0, 0, 0, 9]);
    disk.faults = () => ({ kind: 'flip', bit: 8 + 4 });
    expect(file.readAt(into, 0)).toBe(4);
    expect([...into]).toEqual([0, 16, 0, 0]);
    disk.faults = undefined;
    expect([...readFile(disk, '/x')]).toEqual([0, 0, 0, 0]);
  });

  it('made of rates gives each fault, and the same ones for the same seed', () => {
    const rates = { readError: 0.1, shortRead: 0.1, flippedBit: 0.1, writeError: 0.1, syncError: 0.1 };
    const run = (seed: number): string[] => {
      const disk = createSimulatedDisk();
      putFile(disk, '/x', patternBytes(1, 100));
      disk.faults = randomFaults(seed, rates);
      const results: string[] = [];
      for (let i = 0; i < 300; i++) {
        const file = disk.open('/x', 'write');
        const into = new Uint8Array(100);
        const attempt = (call: () => string): void => {
          try {
            results.push(call());
          } catch (error) {
            if (!(error instanceof EseError)) throw error;
            results.push(error.name);
          }
        };
        attempt(() => (file.readAt(into, 0) < 100 ? 'short' : 'read'));
        attempt(() => (Buffer.compare(into, patternBytes(1, 100)) === 0 ? 'right' : 'wrong'));
        attempt(() => `${file.writeAt(patternBytes(1, 100), 0)}`);
        attempt(() => `${file.sync()}`);
      }
      return results;
    };
    expect(new Set(run(1))).toEqual(
      new Set(['short', 'read', 'right', 'wrong', 'undefined', 'JET_errDiskIO']),
    );
    expect(run(1)).toEqual(run(1));
    expect(run(1)).not.toEqual(run(2));
  });
});

describe('A disk with little space', () => {
  it('is full after so many bytes; a beginning of the write arrives', () => {
    const disk = createSimulatedDisk({ capacity: 3 * 4096 });
    putFile(disk, '/x', patternBytes(1, 4096));
    expect(disk.freeBytes('/')).toBe(8192);
    const file = disk.open('/y', 'create');
    expect(jetErrorOf(() => file.writeAt(patternBytes(2, 10_000), 100))).toBe('JET_errDiskFull');
    expect(file.size()).toBe(8192);
    expect(disk.freeBytes('/')).toBe(0);
    expect(Buffer.compare(readFile(disk, '/y').subarray(100), patternBytes(2, 8092))).toBe(0);
    file.writeAt(patternBytes(3, 100), 0);
  });

  it('has it back when files are cut, removed and closed, and more when it grows', () => {
    const disk = createSimulatedDisk({ capacity: 2 * 4096 });
    putFile(disk, '/x', patternBytes(1, 8192));
    const file = disk.open('/x', 'write');
    file.truncate(1);
    expect(disk.freeBytes('/')).toBe(4096);
    disk.unlink('/x');
    expect(disk.freeBytes('/')).toBe(4096);
    file.close();
    expect(disk.freeBytes('/')).toBe(8192);
    putFile(disk, '/y', patternBytes(1, 8192));
    putFile(disk, '/z', new Uint8Array(0));
    disk.rename('/z', '/y');
    expect(disk.freeBytes('/')).toBe(8192);
    disk.capacity = 4096;
    expect(disk.fork().freeBytes('/')).toBe(4096);
  });

  it('takes no space for holes', () => {
    const disk = createSimulatedDisk({ capacity: 4096 });
    const file = disk.open('/x', 'create');
    file.truncate(1e6);
    expect(disk.freeBytes('/')).toBe(4096);
    file.writeAt(Uint8Array.of(1), 500_000);
    expect(disk.freeBytes('/')).toBe(0);
  });
});

describe('The trace', () => {
  it('counts and names every call', () => {
    const disk = createSimulatedDisk({ trace: true });
    putFile(disk, '/x', bytesOf('abc'));
    disk.rename('/x', '/y');
    disk.open('/y', 'read').readAt(new Uint8Array(2), 1);
    expect(disk.trace.map(formatCall)).toEqual([
      '1 open /x create',
      '2 writeAt /x 0+3',
      '3 sync /x',
      '4 close /x',
      '5 syncDirectory /',
      '6 rename /x /y',
      '7 open /y read',
      '8 readAt /y 1+2',
    ]);
    expect(disk.calls).toBe(8);
    disk.exists('/z');
    expect(disk.calls).toBe(9);
  });
});

describe('Replacing a file', () => {
  const [before, after] = [patternBytes(1, 5000), patternBytes(2, 9000)];
  const test = {
    seed: 11,
    statesPerCall: 12,
    prepare: (disk: SimulatedDisk) => putFile(disk, '/x', before),
    program: (fs: SimulatedDisk) => replaceFile({ fs, random: seededRandom(1) }, '/x', after),
    check(left: SimulatedDisk) {
      const found = readFile(left, '/x');
      const isEither = [before, after].some((contents) => Buffer.compare(found, contents) === 0);
      if (!isEither) throw new Error(`a mixture of ${found.length} bytes`);
    },
  };

  it('leaves the old contents or the new ones, wherever it is interrupted', () => {
    const calls = ['open', 'write', 'sync', 'rename', 'syncDirectory', 'the end'].length;
    expect(crashAtEveryCall(test)).toBe(calls * 13);
    expect(stopAtEveryCall(test)).toBe((calls - 1) * 13);
    expect(failAtEveryCall(test)).toBe((calls - 1) * 13);
    expect(failAtEveryCall(test, 'JET_errDiskFull')).toBe((calls - 1) * 13);
  });

  it('has the new contents at the end', () => {
    const found = new Set<string>();
    crashAtEveryCall({
      ...test,
      check: (left, { call }) => found.add(`${call}: ${Buffer.compare(readFile(left, '/x'), after)}`),
    });
    const last = [...found].filter((line) => line.startsWith('12:'));
    expect(last).toEqual(['12: 0']);
  });

  it('would be found wrong without its sync, at a point that can be run again', () => {
    const careless = {
      ...test,
      program(fs: SimulatedDisk) {
        const draft = fs.open('/draft', 'create');
        draft.writeAt(after, 0);
        draft.close();
        fs.rename('/draft', '/x');
        fs.syncDirectory('/');
      },
    };
    let message = '';
    try {
      crashAtEveryCall(careless);
    } catch (error) {
      message = (error as Error).message;
    }
    const [, call, seed] = /\{ call: (\d+), seed: (\d+) \}.*a mixture/.exec(message) ?? [];
    expect(message).toMatch(/before \d+ (syncDirectory|close)/);
    const only = { call: Number(call), seed: Number(seed) };
    expect(() => crashAtEveryCall({ ...careless, only })).toThrow(message);
  });
});

describe('The helpers for interrupted programs', () => {
  it('notice a program that goes on after it was stopped', () => {
    const program = (disk: SimulatedDisk): void => {
      try {
        putFile(disk, '/x', bytesOf('x'));
      } catch {
        // Swallows what it must not.
      }
    };
    expect(() => stopAtEveryCall({ seed: 1, program, check: () => {} })).toThrow(/went on after/);
  });

  it('notice what check finds although the program swallows all errors', () => {
    const program = (disk: SimulatedDisk): void => {
      try {
        putFile(disk, '/x', bytesOf('x'));
      } catch {
        // As above.
      }
    };
    const check = (): never => {
      throw new Error('wrong');
    };
    expect(() => crashAtEveryCall({ seed: 1, program, check })).toThrow(/found wrong at .* wrong/);
  });
});

describe('A crash of large files', () => {
  it('costs what was written since the last sync, not what the files hold', () => {
    const disk = createSimulatedDisk();
    for (let i = 0; i < 4; i++) putFile(disk, `/${i}`, new Uint8Array(4 << 20).fill(1));
    const file = disk.open('/0', 'write');
    const page = patternBytes(9, 4096);
    const into = new Uint8Array(4096);
    const start = performance.now();
    let different = 0;
    for (let round = 0; round < 500; round++) {
      for (let i = 0; i < 8; i++) file.writeAt(page, ((round * 37 + i * 101) % 1024) * 4096);
      const left = disk.crash(round);
      left.open('/0', 'read').readAt(into, ((round * 37) % 1024) * 4096);
      if (Buffer.compare(into, page) !== 0) different++;
      if (round % 10 === 9) file.sync();
    }
    expect(different).toBeGreaterThan(0);
    expect(performance.now() - start).toBeLessThan(5000);
  });
});
