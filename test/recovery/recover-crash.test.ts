import { beforeAll, describe, expect, it } from 'vitest';
import { DATABASE_STATE } from '../../src/format/database-header.js';
import { nodeFileSystem } from '../../src/io/node-file-system.js';
import {
  formatCall,
  isMutation,
  SimulatedCrash,
  type SimulatedDisk,
  stopAtCall,
} from '../../src/io/simulated-disk.js';
import { type RecoveryOptions, type RecoveryResult, recover } from '../../src/recovery/recover.js';
import { corpusPath, describeWithCorpus } from '../corpus.js';
import { readFile } from '../support/files.js';
import { contentOf, judgeDatabase, openPages } from '../support/judge-database.js';
import { diskOfCorpus, environmentOf, LOGS, OUT, writeFile } from '../support/recovery-disk.js';

/**
 * Recovery that is killed: before each of its writes, syncs and renames the program dies, and the next run has to bring
 * the databases to the same state, whatever the first one had done.
 */
const SEGMENT = 4096;
/** Each n-th call only; all of them with ESEKIT_FULL. */
const EVERY = process.env.ESEKIT_FULL === undefined ? 7 : 1;

interface Stream {
  readonly name: string;
  readonly database: string;
  readonly options: RecoveryOptions;
  readonly start: () => SimulatedDisk | Promise<SimulatedDisk>;
  /** Whether the database is to be there in the end. */
  readonly undone: number;
}

const STREAMS: Stream[] = [
  {
    name: 'redo and undo of a real crash',
    database: `${LOGS}/SRUDB.dat`,
    options: { baseName: 'SRU', logPath: LOGS, systemPath: LOGS, databasePath: LOGS },
    start: () => diskOfCorpus('recovery', 'srum-crash-undo'),
    undone: 1,
  },
  {
    name: 'a database built from nothing, in the middle of a transaction',
    database: `${OUT}/secedit.sdb`,
    options: { baseName: 'edb', logPath: LOGS, systemPath: LOGS, databasePath: OUT },
    start: () => {
      const disk = diskOfCorpus('logs', 'secedit');
      disk.unlink(`${LOGS}/edb.chk`);
      const log = readFile(nodeFileSystem, corpusPath('logs', 'secedit', 'edb.log')).slice();
      // Segment 0x5F lies in the middle of the cleanup of two sessions.
      writeFile(disk, `${LOGS}/edb.log`, log.fill(0, 0x60 * SEGMENT));
      return disk;
    },
    undone: 2,
  },
  {
    name: 'a database that an earlier recovery had to do without',
    database: `${LOGS}/SRUDB.dat`,
    options: { baseName: 'SRU', logPath: LOGS, systemPath: LOGS, databasePath: LOGS },
    start: async () => {
      const disk = diskOfCorpus('recovery', 'srum-crash-undo');
      disk.rename(`${LOGS}/SRUDB.dat`, `${OUT}/SRUDB.dat`);
      await recover(environmentOf(disk), {
        baseName: 'SRU',
        logPath: LOGS,
        systemPath: LOGS,
        databasePath: LOGS,
        ignoreMissing: true,
      });
      disk.rename(`${OUT}/SRUDB.dat`, `${LOGS}/SRUDB.dat`);
      return disk;
    },
    // The log says so already.
    undone: 0,
  },
];

/** What the pages say, stamps apart: an undo that is repeated takes new ones. */
function contentsOf(disk: SimulatedDisk, path: string): string[] {
  const source = openPages(disk, path);
  return Array.from({ length: source.lastPgno }, (_, i) => {
    const content = contentOf(source, i + 1) as { dbtime: number } | undefined;
    return JSON.stringify(content === undefined ? null : { ...content, dbtime: 0 });
  });
}

describeWithCorpus('a database that an earlier recovery had to do without', () => {
  it('has what was committed, and nothing of the transaction that was open', async () => {
    const [whole, , late] = STREAMS;
    const contents: string[][] = [];
    for (const stream of [whole, late]) {
      if (stream === undefined) throw new Error('there is no such stream');
      const disk = await stream.start();
      const { databases } = await recover(environmentOf(disk), stream.options);
      expect(databases.map(({ action }) => action)).toEqual(['recovered']);
      judgeDatabase(disk, stream.database);
      contents.push(contentsOf(disk, stream.database));
    }
    expect(contents[1]).toEqual(contents[0]);
  });
});

describe.each(STREAMS)('recovery killed at any moment: $name', ({ database, options, start, undone }) => {
  describeWithCorpus('then run again', () => {
    let expected: string[];
    let result: RecoveryResult;
    let calls: number[];

    beforeAll(async () => {
      const disk = await start();
      calls = [];
      disk.faults = (call) => {
        if (isMutation(call)) calls.push(call.number);
        return undefined;
      };
      result = await recover(environmentOf(disk), options);
      disk.faults = undefined;
      expected = contentsOf(disk, database);
    });

    it('undoes what the log has open', () => {
      expect(result.transactions.undone).toBe(undone);
    });

    it('gives the same database', { timeout: 900_000 }, async () => {
      const chosen = calls.filter((_, i) => i % EVERY === 0 || i > calls.length - 30);
      for (const number of chosen) {
        const disk = await start();
        let place = '';
        disk.faults = (call) => {
          const fault = stopAtCall(number)(call);
          if (fault !== undefined && place === '') place = formatCall(call);
          return fault;
        };
        await expect(recover(environmentOf(disk), options)).rejects.toThrow(SimulatedCrash);
        const left = disk.fork();
        const again = await recover(environmentOf(left, 2), options);
        expect([place, judgeDatabase(left, database).header.state]).toEqual([
          place,
          DATABASE_STATE.cleanShutdown,
        ]);
        const contents = contentsOf(left, database);
        const different = expected.flatMap((content, i) => (content === contents[i] ? [] : [i + 1]));
        expect([place, contents.length, different]).toEqual([place, expected.length, []]);
        expect([place, again.databases.every(({ action }) => action !== 'removed')]).toEqual([place, true]);
        expect((await recover(environmentOf(left, 3), options)).nothingToDo).toBe(true);
      }
    });
  });
});
