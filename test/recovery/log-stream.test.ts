import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { encodeLogHeader, type NewLogHeader } from '../../src/format/log-header.js';
import { readSignature } from '../../src/format/signature.js';
import { nodeFileSystem } from '../../src/io/node-file-system.js';
import { createSimulatedDisk, type SimulatedDisk } from '../../src/io/simulated-disk.js';
import { openLog } from '../../src/recovery/log-reader.js';
import { checkLogStream, findLogStream, type LogStreamCheck } from '../../src/recovery/log-stream.js';
import { corpusPath, describeWithCorpus } from '../corpus.js';
import { jetErrorOf, putFile } from '../support/files.js';
import { begin, buildLog, NEW_LOG } from '../support/log-builder.js';

const time = (second: number) => ({
  year: 2024,
  month: 5,
  day: 6,
  hours: 7,
  minutes: 8,
  seconds: second,
  milliseconds: 9,
  utc: true,
});

/** Checksum over the data segments of a log, as the header of the next one states it. */
function segmentsChecksum(file: Uint8Array): bigint {
  const disk = createSimulatedDisk();
  putFile(disk, '/x.log', file);
  return openLog(disk, '/x.log').verify().segmentsChecksum;
}

/** Whole logs of the generations 1 to `count`, each of which continues the one before. */
function chain(count: number): Uint8Array[] {
  const logs: Uint8Array[] = [];
  for (let generation = 1; generation <= count; generation++) {
    const before = logs.at(-1);
    logs.push(
      buildLog([begin(generation)], {
        generation,
        tmCreate: time(generation),
        tmPrevGen: generation === 1 ? undefined : time(generation - 1),
        checksumPrevLogAllSegments: before === undefined ? 0n : segmentsChecksum(before),
      }),
    );
  }
  return logs;
}

/** The same log with another header; its records stay. */
function withHeader(file: Uint8Array, generation: number, changes: Partial<NewLogHeader>): Uint8Array {
  const again = file.slice();
  const header = { ...NEW_LOG, generation, tmCreate: time(generation), tmPrevGen: time(generation - 1) };
  again.set(encodeLogHeader({ ...header, ...changes }));
  return again;
}

interface NamedLogs {
  readonly [name: string]: Uint8Array;
}

function diskOf(files: NamedLogs): SimulatedDisk {
  const disk = createSimulatedDisk();
  for (const [name, contents] of Object.entries(files)) putFile(disk, `/${name}`, contents);
  return disk;
}

function check(files: NamedLogs, range?: { low: number; high: number }): LogStreamCheck {
  const disk = diskOf(files);
  return checkLogStream(disk, findLogStream(disk, '/', 'E00'), { range });
}

/** `name: problem` of every log. */
const verdicts = ({ logs }: LogStreamCheck): string[] =>
  logs.map(({ entry, problem }) => `${entry.name}: ${problem?.kind ?? 'ok'}`);

const empty = new Uint8Array(0);

describe('the files of a stream', () => {
  it('are found in both widths, even mixed, by generation, and the current log', () => {
    const disk = diskOf({
      'E0000000002.log': empty,
      'E0000001.log': empty,
      'E000000A.log': empty,
      'E00.log': empty,
      'E00tmp.log': empty,
      'E00.chk': empty,
      'E01.log': empty,
      'E00res00001.jrs': empty,
      'readme.txt': empty,
    });
    const files = findLogStream(disk, '/', 'E00');
    expect(files.archived.map(({ name, generation }) => [name, generation])).toEqual([
      ['E0000001.log', 1],
      ['E0000000002.log', 2],
      ['E000000A.log', 10],
    ]);
    expect(files.current?.path).toBe('/E00.log');
    expect(files.tmp?.name).toBe('E00tmp.log');
    expect(files.digits).toEqual([5, 8]);
    expect(files.checkpoint).toBe('/E00.chk');
    expect(files.extension).toBe('.log');
  });

  it('are found without regard to case, and keep the case of the disk', () => {
    const files = findLogStream(diskOf({ 'e0000001.LOG': empty, 'E00.Log': empty }), '/', 'E00');
    expect([files.archived[0]?.name, files.current?.name]).toEqual(['e0000001.LOG', 'E00.Log']);
  });

  it('may be of the newer family of extensions; the families are never mixed', () => {
    const files = findLogStream(diskOf({ 'E0000001.jtx': empty, 'E00.jcp': empty }), '/', 'E00');
    expect([files.extension, files.current, files.checkpoint]).toEqual(['.jtx', undefined, '/E00.jcp']);
    const mixed = findLogStream(diskOf({ 'E0000001.jtx': empty, 'E0000002.log': empty }), '/', 'E00');
    expect(mixed.archived.map(({ name }) => name)).toEqual(['E0000002.log']);
  });

  it('count a generation once that is there under both widths', () => {
    const files = findLogStream(diskOf({ 'E0000000001.log': empty, 'E0000001.log': empty }), '/', 'E00');
    expect(files.archived.map(({ name }) => name)).toEqual(['E0000001.log']);
  });

  it('are none where only a log in preparation lies, or nothing', () => {
    const find = (files: NamedLogs) => jetErrorOf(() => findLogStream(diskOf(files), '/', 'E00'));
    expect(find({ 'E00tmp.log': empty })).toBe('JET_errFileNotFound');
    expect(find({})).toBe('JET_errFileNotFound');
  });
});

describe('a stream', () => {
  const [g1, g2, g3, g4] = chain(4) as [Uint8Array, Uint8Array, Uint8Array, Uint8Array];
  const whole = { 'E0000001.log': g1, 'E0000002.log': g2, 'E0000003.log': g3, 'E00.log': g4 };

  it('is whole when every log continues the one before it', () => {
    const result = check(whole);
    expect(verdicts(result)).toEqual([
      'E0000001.log: ok',
      'E0000002.log: ok',
      'E0000003.log: ok',
      'E00.log: ok',
    ]);
    expect([result.missing, result.error]).toEqual([[], undefined]);
  });

  it('needs no current log', () => {
    expect(check({ 'E0000001.log': g1, 'E0000002.log': g2 }).error).toBeUndefined();
  });

  it('is looked at in the range that is asked for', () => {
    expect(verdicts(check(whole, { low: 2, high: 3 }))).toEqual(['E0000002.log: ok', 'E0000003.log: ok']);
    expect(verdicts(check(whole, { low: 3, high: 9 }))).toEqual(['E0000003.log: ok', 'E00.log: ok']);
  });

  it('has a gap where generations are missing, behind which nothing is compared', () => {
    const result = check({ 'E0000001.log': g1, 'E0000003.log': g3, 'E00.log': g4 });
    expect(result.missing).toEqual([{ low: 2, high: 2 }]);
    expect(result.error?.name).toBe('JET_errMissingLogFile');
    expect(verdicts(result)).toEqual(['E0000001.log: ok', 'E0000003.log: ok', 'E00.log: ok']);
  });

  it('has a gap in front of a current log that does not follow', () => {
    const result = check({ 'E0000001.log': g1, 'E00.log': g4 });
    expect(result.missing).toEqual([{ low: 2, high: 3 }]);
    expect(result.logs.at(-1)?.problem).toMatchObject({
      kind: 'missingBefore',
      found: 4,
      expected: 2,
      error: { name: 'JET_errMissingLogFile' },
    });
  });

  it('may have a gap as wide as names can state, at no cost', () => {
    const result = check({ 'E0000001.log': g1, 'E007FFFFA00.log': g3 });
    expect(result.missing).toEqual([{ low: 2, high: 0x7ffff9ff }]);
  });

  it.each([
    ['was begun behind another log', { tmPrevGen: time(50) }, 'previousTime', 'JET_errInvalidLogSequence'],
    [
      'follows a log that was changed since',
      { checksumPrevLogAllSegments: 12345n },
      'previousChecksum',
      'JET_errLogSequenceChecksumMismatch',
    ],
    [
      'belongs to another stream',
      { signLog: readSignature(new Uint8Array(28).fill(7), 0) },
      'signature',
      'JET_errBadLogSignature',
    ],
  ])('is broken where a log %s', (_, changes, kind, error) => {
    const result = check({ ...whole, 'E0000002.log': withHeader(g2, 2, changes) });
    expect(verdicts(result)).toEqual([
      'E0000001.log: ok',
      `E0000002.log: ${kind}`,
      'E0000003.log: ok',
      'E00.log: ok',
    ]);
    expect(result.error).toMatchObject({ name: error, file: '/E0000002.log' });
  });

  it('is not broken by a log that states no checksum of the one before', () => {
    const result = check({ ...whole, 'E0000002.log': withHeader(g2, 2, { checksumPrevLogAllSegments: 0n }) });
    expect(result.error).toBeUndefined();
  });

  it('shows a lost tail of a log by the checksum in the next header only', () => {
    const cut = g1.slice();
    cut.fill(0, 4096, 8192);
    const result = check({ ...whole, 'E0000001.log': cut });
    expect(verdicts(result).slice(0, 2)).toEqual(['E0000001.log: ok', 'E0000002.log: previousChecksum']);
  });

  it('has a log whose name states another generation', () => {
    const result = check({ 'E0000001.log': g1, 'E0000002.log': g2, 'E0000003.log': g2 });
    expect(result.logs.at(-1)?.problem).toMatchObject({ kind: 'missingBefore', found: 2, expected: 3 });
    const alone = check({ 'E0000005.log': g2 });
    expect(alone.logs[0]?.problem).toMatchObject({
      kind: 'generation',
      found: 2,
      expected: 5,
      error: { name: 'JET_errLogGenerationMismatch' },
    });
  });

  it('has a damaged log, and one that cannot be read; the others are checked all the same', () => {
    const damaged = g2.slice();
    damaged.set([1, 2, 3, 4, 5], 5000);
    const result = check({ ...whole, 'E0000002.log': damaged, 'E0000003.log': new Uint8Array(65536) });
    expect(verdicts(result)).toEqual([
      'E0000001.log: ok',
      'E0000002.log: damaged',
      'E0000003.log: badHeader',
      'E00.log: ok',
    ]);
    expect(result.error).toMatchObject({ name: 'JET_errLogFileCorrupt', file: '/E0000002.log' });
    expect(result.logs[1]?.problem).toMatchObject({ lgpos: { generation: 2, isec: 1, ib: 0 } });
  });

  it('has a version that goes back: odd, but no error', () => {
    const older = withHeader(g2, 2, {
      updateMajor: 4,
      updateMinor: 10,
      checksumPrevLogAllSegments: segmentsChecksum(g1),
    });
    const result = check({ 'E0000001.log': g1, 'E0000002.log': older });
    expect(result.error).toBeUndefined();
    expect(result.logs.map(({ versionBackwards }) => versionBackwards)).toEqual([false, true]);
  });

  it('can be left between two logs', () => {
    const disk = diskOf(whole);
    const controller = new AbortController();
    const seen: string[] = [];
    const run = () =>
      checkLogStream(disk, findLogStream(disk, '/', 'E00'), {
        signal: controller.signal,
        onLog: ({ entry }) => {
          seen.push(entry.name);
          controller.abort(new Error('enough'));
        },
      });
    expect(run).toThrowError('enough');
    expect(seen).toEqual(['E0000001.log']);
  });
});

describeWithCorpus('the genuine streams', () => {
  it.each(['srum-clean', 'srum-dirty', 'srum-crash-redo', 'srum-crash-undo'])('%s has no fault', (set) => {
    const files = findLogStream(nodeFileSystem, corpusPath('recovery', set), 'SRU');
    const names = readdirSync(corpusPath('recovery', set)).filter((name) => /^SRU(\w{5})?\.log$/.test(name));
    const result = checkLogStream(nodeFileSystem, files);
    expect(result.logs.map(({ entry }) => entry.name).sort()).toEqual(names.sort());
    expect(result.logs.flatMap(({ problem }) => problem ?? [])).toEqual([]);
    expect([result.missing, result.error]).toEqual([[], undefined]);
  });

  it('shows every genuine log that is exchanged for one of another stream', () => {
    const folder = corpusPath('recovery', 'srum-clean');
    const disk = createSimulatedDisk();
    for (const name of ['SRU00003.log', 'SRU00004.log', 'SRU00005.log']) {
      putFile(disk, `/${name}`, readFileSync(`${folder}/${name}`));
    }
    const foreign = readFileSync(corpusPath('recovery', 'srum-dirty', 'SRU0004F.log'));
    putFile(disk, '/SRU00006.log', foreign);
    const { logs } = checkLogStream(disk, findLogStream(disk, '/', 'SRU'));
    expect(logs.map(({ problem }) => problem?.kind)).toEqual([
      undefined,
      undefined,
      undefined,
      'missingBefore',
    ]);
  });
});
