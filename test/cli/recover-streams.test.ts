import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { nodeFileSystem } from '../../src/io/node-file-system.js';
import { openLog } from '../../src/recovery/log-reader.js';
import { corpusPath, describeWithCorpus } from '../corpus.js';
import { buildSegment, nop2, putSegment, SEGMENT_ROOM } from '../support/log-builder.js';
import { eseutil, eseutilJson, temporaryFolder } from './run.js';

const folder = temporaryFolder();
let count = 0;

function fresh(): string {
  const path = join(folder, String(count++));
  mkdirSync(path);
  return path;
}

describe('/r without logs', () => {
  test('is a missing log, and writes nothing', async () => {
    const empty = fresh();
    const run = await eseutil(['-r', 'E00', '-l', empty, '-s', empty]);
    expect(run.exit).toBe(2);
    expect(run.stdout).toContain('error -528 (JET_errMissingLogFile, ');
    expect(readdirSync(empty)).toEqual([]);
  });

  test('with /e begins a stream, once', async () => {
    const [logs, system] = [fresh(), fresh()];
    const argv = ['-r', 'E00', '-l', logs, '-s', system, '-e'];
    const plan = await eseutil([...argv, '--dry-run']);
    expect(plan.lines).toContain('There are no logs: a new log stream would be begun.');
    expect(readdirSync(logs)).toEqual([]);

    const run = await eseutil(argv);
    expect(run.exit).toBe(0);
    expect(run.lines).toContain('There were no logs: a new log stream was begun.');
    expect(readdirSync(logs).filter((name) => !name.endsWith('.jrs'))).toEqual(['E00.log']);
    expect(readdirSync(system)).toEqual(['E00.chk']);
    expect((await eseutil(['-ml', join(logs, 'E00')])).exit).toBe(0);
    expect((await eseutil(['-mk', join(system, 'E00.chk')])).exit).toBe(0);

    const log = readFileSync(join(logs, 'E00.log'));
    const again = await eseutil(argv);
    expect(again.lines).toContain('Nothing to do: the log stream ended cleanly.');
    expect(readFileSync(join(logs, 'E00.log')).equals(log)).toBe(true);
    expect(await eseutilJson(argv)).toMatchObject({ result: { hasBegun: false, nothingToDo: true } });
  });

  test('a forced page size is that of the new stream', async () => {
    const logs = fresh();
    const argv = ['-r', 'E00', '-l', logs, '-s', logs, '-e', '-8'];
    expect(await eseutilJson(argv)).toMatchObject({ exit: 0, result: { hasBegun: true } });
    expect((await eseutilJson(['-ml', join(logs, 'E00.log')])).result).toMatchObject({ pageSize: 8192 });
  });
});

describe('digits of log names', () => {
  test.each([[['-c5', '-c8']], [['-c5', '--log-digits=8']]])('%j is a usage error', async (options) => {
    const run = await eseutil(['-r', 'E00', '-l', folder, ...options]);
    expect(run.exit).toBe(1);
    expect(run.stdout).toContain('Log names have 5 digits or 8, not both.');
  });
});

describeWithCorpus('the log that recovery fills', () => {
  /** A crashed stream whose current log has no segment left for what recovery logs. */
  function fullStream(): string {
    const target = fresh();
    const set = corpusPath('recovery', 'srum-crash-undo');
    for (const name of readdirSync(set)) {
      if (/^SRU.*\.(?:log|chk|dat)$/.test(name)) copyFileSync(join(set, name), join(target, name));
    }
    const path = join(target, 'SRU.log');
    const log = openLog(nodeFileSystem, path);
    const { generation, csecLGFile } = log.header;
    const { lastValidSegment } = log.verify();
    log.close();
    const bytes = new Uint8Array(readFileSync(path));
    for (let isec = lastValidSegment + 1; isec < csecLGFile - 1; isec++) {
      putSegment(bytes, isec, buildSegment(generation, isec, nop2(SEGMENT_ROOM)));
    }
    writeFileSync(path, bytes);
    return target;
  }

  test.each([
    ['as the stream has them', [], 'SRU00009.log'],
    ['8 with /c8', ['-c8'], 'SRU00000009.log'],
    ['8 with --log-digits', ['--log-digits=8'], 'SRU00000009.log'],
    ['5 with /c5', ['-c5'], 'SRU00009.log'],
  ])('gets a name with digits: %s', async (_, options, name) => {
    const set = fullStream();
    const run = await eseutil(['-r', 'SRU', '-l', set, '-s', set, '-d', set, ...options]);
    expect(run.stdout).toContain('Operation completed successfully');
    expect(readdirSync(set)).toContain(name);
    expect(readdirSync(set).filter((one) => /^SRU0*9\.log$/.test(one))).toEqual([name]);
    expect((await eseutil(['-ml', join(set, 'SRU')])).exit).toBe(0);
    expect((await eseutil(['-mh', join(set, 'SRUDB.dat')])).lines).toContain(
      '            State: Clean Shutdown',
    );
  });
});
