import { beforeAll, describe, expect, it } from 'vitest';
import { writeHeaderFields } from '../../../src/format/database-header.js';
import { repair } from '../../../src/maintenance/repair.js';
import { diskWith, environmentOn, VICTIM } from '../../matrix/lab.js';
import { readFile } from '../../support/files.js';
import { rowDigests } from '../../support/judge-database.js';
import { SAMPLE, sampleDatabase } from '../../support/sample-database.js';

const PAGE_SIZE = 16384;

describe('repair of a database whose header states another page size', () => {
  let bytes: Uint8Array;
  beforeAll(() => {
    bytes = readFile(sampleDatabase({ pageSize: PAGE_SIZE, rows: 40, extensionPages: 16 }), SAMPLE);
  }, 120_000);

  it.each([4096, 8192, 32768])(
    'of %i bytes: the pages tell which it is, and nothing is lost',
    async (wrong) => {
      const expected = await rowDigests(diskWith(bytes), VICTIM);
      const damaged = bytes.slice();
      for (const at of [0, PAGE_SIZE]) {
        writeHeaderFields(damaged.subarray(at, at + PAGE_SIZE), { cbPageSize: wrong });
      }
      const disk = diskWith(damaged);
      const { report, lost } = await repair(environmentOn(disk), VICTIM, { inPlace: true, workers: 1 });
      expect({ pageSize: report.pageSize, lost }).toEqual({ pageSize: PAGE_SIZE, lost: false });
      expect(await rowDigests(disk, VICTIM)).toEqual(expected);
    },
  );
});
