import { describe, expect, it } from 'vitest';
import { createSimulatedDisk } from '../../src/io/simulated-disk.js';
import { checkLogStream, findLogStream } from '../../src/recovery/log-stream.js';
import { folderContents, hexOfRecord, LOG_FOLDER, newStream, readStream, recordMaker } from './log-bench.js';

describe('a log stream', () => {
  it('is read back record by record, each at the position that append returned', () => {
    const disk = createSimulatedDisk();
    const log = newStream(disk);
    const make = recordMaker(1);
    const written = [];
    for (let i = 0; i < 2000; i++) {
      const record = make();
      const lgpos = log.append(record);
      written.push({ lgpos, hex: hexOfRecord(record) });
      if (i % 7 === 3) log.makeDurable(lgpos);
      if (i % 11 === 5) log.makeDurable(lgpos, { fill: false });
    }
    log.close();
    expect(log.generation).toBeGreaterThan(20);
    const { records, damage } = readStream(disk);
    expect(damage).toBeUndefined();
    expect(records).toEqual(written);
    const check = checkLogStream(disk, findLogStream(disk, LOG_FOLDER, 'E00'));
    expect(check.error).toBeUndefined();
    expect(check.missing).toEqual([]);
    expect(check.logs.map(({ header }) => header?.generation)).toEqual(
      Array.from({ length: log.generation }, (_, i) => i + 1),
    );
    expect(
      check.logs.every(({ header }) => header?.generation === 1 || header?.checksumPrevLogAllSegments !== 0n),
    ).toBe(true);
  });

  it('has the same bytes when the same calls meet the same clock', () => {
    const [one, two] = [1, 2].map(() => {
      const disk = createSimulatedDisk();
      const log = newStream(disk);
      const make = recordMaker(5);
      for (let i = 0; i < 300; i++) log.makeDurable(log.append(make()), { fill: i % 3 !== 0 });
      log.close();
      return folderContents(disk);
    });
    expect(Object.keys(one ?? {})).toContain('E0000001.log');
    expect(two).toEqual(one);
  });
});
