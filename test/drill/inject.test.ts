import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { runEsekit } from '../../src/cli/run-esekit.js';
import {
  FAULT_KINDS,
  FAULT_PLACES,
  type InjectReport,
  injectFault,
  undoFault,
} from '../../src/drill/inject.js';
import { diagnosePage } from '../../src/format/page-checksum.js';
import { createSimulatedDisk, type SimulatedDisk } from '../../src/io/simulated-disk.js';
import { type JsonEnvelope, runProgram } from '../cli/run.js';
import { corpusPath, describeWithCorpus } from '../corpus.js';
import { jetErrorOf, putFile, readFile } from '../support/files.js';
import { SAMPLE, sampleDatabase } from '../support/sample-database.js';

const FILE = '/victim.edb';
/** Faults of other kinds of files than databases. */
const OF_STREAMS = ['log-signature', 'log-generation', 'log-time', 'log-checksum', 'checkpoint-beyond'];
const OF_DATABASES = FAULT_KINDS.map(([name]) => name).filter((name) => !OF_STREAMS.includes(name));

let database: Uint8Array;
let log: Uint8Array;
let checkpoint: Uint8Array;
beforeAll(() => {
  const disk = sampleDatabase({ rows: 100, extensionPages: 16 });
  database = readFile(disk, SAMPLE);
  log = readFile(disk, '/lab/E00.log');
  checkpoint = readFile(disk, '/lab/E00.chk');
}, 60_000);

const diskWith = (bytes: Uint8Array, path = FILE): SimulatedDisk => {
  const disk = createSimulatedDisk({ seed: 1 });
  putFile(disk, path, bytes);
  return disk;
};

describe('a fault in a database', () => {
  it.each(OF_DATABASES)(
    '%s is the same for the same seed, says what it changed, and can be undone',
    (fault) => {
      const [one, two] = [diskWith(database), diskWith(database)];
      const report = injectFault(one, FILE, { fault, seed: 3 });
      expect(injectFault(two, FILE, { fault, seed: 3 })).toEqual(report);
      expect(report.changes.length).toBeGreaterThan(0);
      expect(report.targets.length).toBeGreaterThan(0);
      if (fault !== 'file-gone') {
        expect(Buffer.compare(readFile(one, FILE), readFile(two, FILE))).toBe(0);
        expect(Buffer.compare(readFile(one, FILE), database)).not.toBe(0);
      }
      undoFault(one, report);
      expect(Buffer.compare(readFile(one, FILE), database)).toBe(0);
    },
  );

  it.each([1, 2, 3, 4, 5])('bit-flip, seed %i: the checksum names the bit that was flipped', (seed) => {
    const disk = diskWith(database);
    const { changes } = injectFault(disk, FILE, { fault: 'bit-flip', seed });
    const [{ pgno = 0, bits = [] } = {}] = changes;
    const page = readFile(disk, FILE).slice((pgno + 1) * 4096, (pgno + 2) * 4096);
    expect(diagnosePage(page, pgno)).toMatchObject({ verdict: 'correctable', correctableBits: bits });
  });

  it.each([1, 2, 3, 4, 5])('two-flips, seed %i: beyond correction', (seed) => {
    const disk = diskWith(database);
    const { changes } = injectFault(disk, FILE, { fault: 'two-flips', seed });
    const [{ pgno = 0, bits = [] } = {}] = changes;
    const page = readFile(disk, FILE).slice((pgno + 1) * 4096, (pgno + 2) * 4096);
    expect(new Set(bits.map((bit) => bit >> 3)).size).toBe(2);
    expect(diagnosePage(page, pgno).verdict).toBe('bad');
  });

  it('hits the page, the table and the number of victims that are asked for', () => {
    const at = (options: object) =>
      injectFault(diskWith(database), FILE, { fault: 'zero-page', seed: 1, ...options });
    expect(at({ pgno: 40 }).changes).toMatchObject([{ pgno: 40 }]);
    const several = at({ table: 'people', count: 3 }).changes;
    expect(several.map(({ table }) => table)).toEqual(['People', 'People', 'People']);
    expect(new Set(several.map(({ pgno }) => pgno)).size).toBe(3);
    expect(at({ at: 'index', index: 'byName' }).changes).toMatchObject([{ object: 'People/byName' }]);
  });

  it('makes pages old again by an older copy of the file', () => {
    const disk = diskWith(database);
    const { report, older } = olderCopy(disk);
    expect(report.changes[0]?.what).toContain('of another file');
    const [{ pgno = 0 } = {}] = report.changes;
    const page = (bytes: Uint8Array) => bytes.slice((pgno + 1) * 4096, (pgno + 2) * 4096);
    expect(page(readFile(disk, FILE))).toEqual(page(older));
  });

  it.each<[string, object, string]>([
    ['a fault that does not exist', { fault: 'bad-luck' }, 'JET_errInvalidParameter'],
    ['a place that does not exist', { fault: 'bit-flip', at: 'moon' }, 'JET_errInvalidParameter'],
    [
      'a place for a fault that has its own',
      { fault: 'broken-link', at: 'index' },
      'JET_errInvalidParameter',
    ],
    ['a table that does not exist', { fault: 'bit-flip', table: 'Nobody' }, 'JET_errObjectNotFound'],
    ['more victims than there are', { fault: 'zero-page', count: 10_000 }, 'JET_errObjectNotFound'],
    ['a page behind the end', { fault: 'zero-page', pgno: 99_999 }, 'JET_errObjectNotFound'],
    ['a table without branches', { fault: 'child-loop', table: 'Empty' }, 'JET_errObjectNotFound'],
    ['a fault of logs', { fault: 'log-signature' }, 'JET_errFileInvalidType'],
  ])('is refused for %s, and nothing changes', (_what, options, error) => {
    const disk = diskWith(database);
    expect(jetErrorOf(() => injectFault(disk, FILE, { fault: 'bit-flip', seed: 1, ...options }))).toBe(error);
    expect(Buffer.compare(readFile(disk, FILE), database)).toBe(0);
  });

  it('is refused while somebody has the file', () => {
    const disk = diskWith(database);
    const lock = disk.lock(FILE, { role: 'eseutil' });
    expect(jetErrorOf(() => injectFault(disk, FILE, { fault: 'bit-flip', seed: 1 }))).toBe(
      'JET_errFileAccessDenied',
    );
    lock.release();
  });
});

/** Damages a page by an image of itself from a file that is older: here one whose pages have lower stamps. */
function olderCopy(disk: SimulatedDisk): { report: InjectReport; older: Uint8Array } {
  const made = diskWith(database);
  injectFault(made, FILE, { fault: 'stale-page', seed: 1, count: 2 });
  const older = readFile(made, FILE);
  putFile(disk, '/older.edb', older);
  return { report: injectFault(disk, FILE, { fault: 'stale-page', seed: 1, older: '/older.edb' }), older };
}

describe('a fault in a log or a checkpoint', () => {
  const cases: [string, () => Uint8Array, string][] = [
    ...['bit-flip', 'two-flips', 'random-bytes', 'zero-page', 'torn-page', 'truncated-file'].flatMap(
      (fault): [string, () => Uint8Array, string][] => [
        [fault, () => log, 'E00.log'],
        [fault, () => checkpoint, 'E00.chk'],
      ],
    ),
    ...OF_STREAMS.filter((name) => name.startsWith('log')).map(
      (fault): [string, () => Uint8Array, string] => [fault, () => log, 'E00.log'],
    ),
    ['checkpoint-beyond', () => checkpoint, 'E00.chk'],
  ];

  it.each(cases)('%s is the same for the same seed and can be undone', (fault, bytes, name) => {
    const path = `/${name}`;
    const [one, two] = [diskWith(bytes(), path), diskWith(bytes(), path)];
    const options = { fault, seed: 5 };
    const report = injectFault(one, path, options);
    expect(injectFault(two, path, options)).toEqual(report);
    expect(Buffer.compare(readFile(one, path), bytes())).not.toBe(0);
    if (report.targets.some(({ before }) => before.startsWith('sha256:'))) {
      // More was cut off than a report shows.
      expect(jetErrorOf(() => undoFault(one, report))).toBe('JET_errInvalidParameter');
      return;
    }
    undoFault(one, report);
    expect(Buffer.compare(readFile(one, path), bytes())).toBe(0);
  });

  it('is refused for what only databases have, and while the stream is in use', () => {
    const disk = diskWith(log, '/E00.log');
    expect(jetErrorOf(() => injectFault(disk, '/E00.log', { fault: 'child-loop', seed: 1 }))).toBe(
      'JET_errFileInvalidType',
    );
    const lock = disk.lock('/E00', { role: 'eseutil' });
    expect(jetErrorOf(() => injectFault(disk, '/E00.log', { fault: 'bit-flip', seed: 1 }))).toBe(
      'JET_errFileAccessDenied',
    );
    lock.release();
  });
});

describeWithCorpus('a fault in a flush map', () => {
  it.each(['header', 'map'])('two-flips at the %s', (at) => {
    const map = new Uint8Array(readFileSync(corpusPath('databases', 'secedit.jfm')));
    const disk = diskWith(map, '/secedit.jfm');
    const report = injectFault(disk, '/secedit.jfm', { fault: 'two-flips', seed: 1, at });
    expect(report).toMatchObject({
      kind: 'flushMap',
      changes: [{ bits: [expect.any(Number), expect.any(Number)] }],
    });
    undoFault(disk, report);
    expect(Buffer.compare(readFile(disk, '/secedit.jfm'), map)).toBe(0);
  });
});

describe('esekit inject', () => {
  const folder = mkdtempSync(join(tmpdir(), 'esekit-inject-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, 'a.edb');
  const esekit = (...argv: string[]) => runProgram(runEsekit, ['inject', ...argv]);

  it('prints what it did as JSON', async () => {
    writeFileSync(file, database);
    const run = await esekit(
      file,
      '--fault',
      'bit-flip',
      '--seed',
      '7',
      '--table',
      'People',
      '--yes',
      '--json',
    );
    const envelope = JSON.parse(run.stdout) as JsonEnvelope<InjectReport>;
    expect(envelope).toMatchObject({ tool: 'esekit', mode: 'inject', exit: 0, ok: true });
    expect(envelope.result).toMatchObject({ fault: 'bit-flip', seed: 7, changes: [{ table: 'People' }] });
    expect(envelope.result.targets).toMatchObject([{ file, pgno: envelope.result.changes[0]?.pgno }]);
    const plain = await esekit(file, '--fault', 'zero-page', '--page', '40', '--yes');
    expect(JSON.parse(plain.stdout)).toMatchObject({ fault: 'zero-page', changes: [{ pgno: 40 }] });
  });

  it.each([
    ['without --yes', ['--fault', 'bit-flip']],
    ['without a fault', ['--yes']],
    ['with a fault that does not exist', ['--fault', 'bad-luck', '--yes']],
    ['with a place that does not exist', ['--fault', 'bit-flip', '--at', 'moon', '--yes']],
    ['with no victims', ['--fault', 'bit-flip', '--count', '0', '--yes']],
  ])('changes nothing %s', async (_what, options) => {
    writeFileSync(file, database);
    const run = await esekit(file, ...options);
    expect(run).toMatchObject({ exit: 1, stdout: '' });
    expect(run.stderr).toContain('Usage Error');
    expect(Buffer.compare(readFileSync(file), database)).toBe(0);
  });

  it('lists faults and places', async () => {
    const { exit, stdout } = await esekit('--fault', 'list');
    expect(exit).toBe(0);
    for (const [name, about] of [...FAULT_KINDS, ...FAULT_PLACES]) {
      expect(stdout).toContain(name);
      expect(stdout).toContain(about);
    }
  });
});
