import {
  chmodSync,
  copyFileSync,
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { corpusPath, describeWithCorpus } from '../corpus.js';
import { eseutil, eseutilJson, temporaryFolder } from './run.js';

const folder = temporaryFolder();
let count = 0;

function fresh(): string {
  const path = join(folder, String(count++));
  mkdirSync(path);
  return path;
}

/** A copy of the log that begins with the creation of its database, and two empty folders. */
function secedit(): { logs: string; system: string; databases: string } {
  const root = fresh();
  const places = { logs: join(root, 'logs'), system: join(root, 'sys'), databases: join(root, 'db') };
  for (const place of Object.values(places)) mkdirSync(place);
  copyFileSync(corpusPath('logs', 'secedit', 'edb.log'), join(places.logs, 'edb.log'));
  return places;
}

function recoverySet(name: string): string {
  const target = fresh();
  for (const file of readdirSync(corpusPath('recovery', name))) {
    if (/^SRU(?:[0-9A-F]{5})?\.(?:log|chk)$|^SRUDB\.(?:dat|jfm)$/.test(file)) {
      cpSync(corpusPath('recovery', name, file), join(target, file));
    }
  }
  return target;
}

function contents(directory: string): Record<string, string> {
  return Object.fromEntries(
    readdirSync(directory)
      .sort()
      .map((name) => [name, readFileSync(join(directory, name)).toString('base64')]),
  );
}

describeWithCorpus('/r with the logs of a database that was repaired', () => {
  test('says that they came before the repair, and goes on without it with /i', async () => {
    const set = recoverySet('srum-crash-redo');
    const database = join(set, 'SRUDB.dat');
    expect((await eseutil(['-p', database, '-o', `-f${database}`])).stdout).toContain(
      'with 595 (JET_wrnDatabaseRepaired',
    );
    const repaired = readFileSync(database);
    const argv = ['-r', 'SRU', '-l', set, '-s', set, '-d', set];
    const run = await eseutil(argv);
    expect(run.exit).toBe(2);
    expect(run.stdout).toContain('error -1216 (JET_errAttachedDatabaseMismatch');
    expect(run.lines).toContain(
      'database was repaired after these logs were written; they cannot be applied',
    );
    expect(await eseutilJson(argv)).toMatchObject({
      error: { code: -1216 },
      result: { databases: [{ action: 'failed', reason: 'mismatch', repairedSince: true }] },
    });
    const ignored = await eseutil([...argv, '-i']);
    expect(ignored.exit).toBe(0);
    expect(ignored.lines).toContain(`Database ignored: ${database} (mismatch)`);
    expect(readFileSync(database).equals(repaired)).toBe(true);
  });
});

describeWithCorpus('/r tells', () => {
  test('what it will do, before it begins; and what it did to logs', async () => {
    const set = recoverySet('srum-crash-undo');
    const database = join(set, 'SRUDB.dat');
    const argv = ['-r', 'SRU', '-l', set, '-s', set, '-d', set];
    const work = [
      'Checkpoint: (0x3,6,0)',
      'Redo starts at: (0x3,1,0)',
      'Generations to be replayed: 0x3-0x9',
      'Database: C:\\Windows\\system32\\sru\\SRUDB.dat',
      `      at: ${database} (recovered, now Dirty Shutdown)`,
    ];
    const plan = await eseutil([...argv, '--dry-run']);
    const from = plan.lines.indexOf('Checkpoint: (0x3,6,0)');
    expect(plan.lines.slice(from, from + 6)).toEqual([...work, 'Nothing was changed.']);
    const run = await eseutil([...argv, '-t', '--progress=always']);
    const begun = run.lines.indexOf('Performing soft recovery...');
    expect(run.lines.slice(begun + 1, begun + 6)).toEqual(work);
    expect(run.lines[begun + 7]).toBe(`${' '.repeat(22)}Restore Status (% complete)`);
    expect(run.lines).toContain('Log generations deleted: 0x3-0x8');
  });

  test('that no /n names a database of the stream', async () => {
    const set = recoverySet('srum-crash-undo');
    const before = readFileSync(join(set, 'SRUDB.dat'));
    const run = await eseutil(['-r', 'SRU', '-l', set, '-s', set, `-n${join(set, 'x.edb')}:D:\\x.edb`]);
    expect(run.exit).toBe(0);
    expect(run.lines).toContain(
      'Database left out, since no /n names it: C:\\Windows\\system32\\sru\\SRUDB.dat',
    );
    expect(readFileSync(join(set, 'SRUDB.dat')).equals(before)).toBe(true);
  });

  test('that a damaged checkpoint does not count', async () => {
    const set = recoverySet('srum-crash-redo');
    const checkpoint = join(set, 'SRU.chk');
    writeFileSync(checkpoint, new Uint8Array(8192).fill(7));
    const argv = ['-r', 'SRU', '-l', set, '-s', set, '-d', set];
    const plan = await eseutilJson([...argv, '--dry-run']);
    expect(plan).toMatchObject({
      ok: true,
      warnings: [{ code: null, name: 'CheckpointIgnored', file: checkpoint }],
    });
    const run = await eseutil(argv);
    expect([run.exit, run.stderr]).toEqual([
      0,
      'WARNING: the checkpoint is damaged or belongs to other logs: recovery begins with the oldest log\n',
    ]);
  });

  test('that a database requires logs in front of the checkpoint', async () => {
    const set = recoverySet('srum-clean');
    copyFileSync(corpusPath('recovery', 'srum-crash-redo', 'SRUDB.dat'), join(set, 'SRUDB.dat'));
    chmodSync(join(set, 'SRUDB.dat'), 0o600);
    const run = await eseutil(['-r', 'SRU', '-l', set, '-s', set, '-d', set]);
    expect([run.exit, run.stderr]).toEqual([
      0,
      'WARNING: a database requires logs in front of the checkpoint: recovery begins with generation 3 (0x3)\n',
    ]);
    expect((await eseutil(['-mh', join(set, 'SRUDB.dat')])).lines).toContain(
      '            State: Clean Shutdown',
    );
  });

  test('which logs there are, where there are none of the base name', async () => {
    const set = recoverySet('srum-crash-redo');
    const run = await eseutil(['-r', 'E00', '-l', set, '-s', set]);
    expect(run.exit).toBe(2);
    expect(run.lines).toContain(`The logs in ${set} have the base name SRU.`);
    expect(run.stdout).toContain('error -528 (JET_errMissingLogFile');
    expect((await eseutil(['-r', 'E00', '-l', fresh(), '-s', set])).stdout).toContain(
      'name their directory with /l.',
    );
  });

  test('nothing of another spelling of the base name: new files are spelled as the logs', async () => {
    const set = recoverySet('srum-crash-redo');
    rmSync(join(set, 'SRU.chk'));
    expect((await eseutil(['-r', 'sru', '-l', set, '-s', set, '-d', set])).exit).toBe(0);
    expect(readdirSync(set).filter((name) => name.startsWith('sru'))).toEqual([]);
  });
});

describeWithCorpus('/r of the stream that creates its database', () => {
  test('the database comes out clean and whole, and a second run changes nothing', async () => {
    const { logs, system, databases } = secedit();
    const argv = ['-r', 'edb', '-l', logs, '-s', system, '-d', databases];
    const run = await eseutil(argv);
    expect(run.exit).toBe(0);
    expect(run.lines.slice(5, 12)).toEqual([
      'Initiating RECOVERY mode...',
      '    Logfile base name: edb',
      `            Log files: ${logs}`,
      `         System files: ${system}`,
      `   Database Directory: ${databases}`,
      '',
      'Performing soft recovery...',
    ]);
    expect(run.stdout).toMatch(/\nOperation completed successfully in \d+\.\d+ seconds\.\n\n$/);
    const database = join(databases, 'secedit.sdb');
    expect((await eseutil(['-mh', database])).lines).toContain('            State: Clean Shutdown');
    expect((await eseutil(['-k', database])).exit).toBe(0);
    expect((await eseutilJson(['-ms', database, '-l'])).result).toMatchObject({ leaked: 0 });

    const before = readFileSync(database);
    const again = await eseutil(argv);
    expect(again.exit).toBe(0);
    expect(again.lines).toContain('Nothing to do: the log stream ended cleanly.');
    expect(readFileSync(database).equals(before)).toBe(true);
    expect(await eseutilJson(argv)).toMatchObject({ exit: 0, result: { nothingToDo: true, databases: [] } });
  });

  test('JSON has the form of the specification', async () => {
    const { logs, system, databases } = secedit();
    const document = await eseutilJson(['-r', 'edb', '-l', logs, '-s', system, '-d', databases]);
    expect(document).toMatchObject({
      mode: 'recovery',
      file: 'edb',
      ok: true,
      exit: 0,
      warnings: [],
      result: {
        baseName: 'edb',
        logPath: logs,
        systemPath: system,
        databaseDirectory: databases,
        planned: false,
        nothingToDo: false,
        checkpoint: null,
        range: { low: 1, high: 1 },
        stoppedBeforeUndo: false,
        records: 2573,
        databases: [
          {
            path: join(databases, 'secedit.sdb'),
            loggedPath: 'C:\\WINDOWS\\Security\\Database\\secedit.sdb',
            dbid: 1,
            signDb: { random: 2083253101 },
            action: 'created',
            reason: null,
            stateAfter: 'Clean Shutdown',
          },
        ],
        logsDeleted: null,
        lost: null,
        logs: [{ name: 'edb.log', generation: 1, current: true, status: 'ok' }],
      },
    });
  });

  test('--dry-run changes no byte anywhere', async () => {
    const { logs, system, databases } = secedit();
    const before = contents(logs);
    const run = await eseutil(['-r', 'edb', '-l', logs, '-s', system, '-d', databases, '--dry-run']);
    expect(run.exit).toBe(0);
    expect(run.lines).toContain('Planning soft recovery...');
    expect(run.lines).toContain('Database: C:\\WINDOWS\\Security\\Database\\secedit.sdb');
    expect(run.lines).toContain('Nothing was changed.');
    expect(contents(logs)).toEqual(before);
    expect([readdirSync(system), readdirSync(databases)]).toEqual([[], []]);
  });

  test('the bar of recovery, and /v in its place', async () => {
    const one = secedit();
    const bar = await eseutil([
      '-r',
      'edb',
      '-l',
      one.logs,
      '-s',
      one.system,
      '-d',
      one.databases,
      '--progress=always',
    ]);
    expect(bar.stdout).toContain(`${' '.repeat(21)}Restore Status (% complete)\n`);
    expect(bar.stdout).toContain(`          ${'.'.repeat(51)}\n\n`);
    const two = secedit();
    const verbose = await eseutil(['-r', 'edb', '-l', two.logs, '-s', two.system, '-d', two.databases, '-v']);
    expect(verbose.lines).toContain(`OpenLog: ${join(two.logs, 'edb.log')} (generation 1 (0x1))`);
    expect(verbose.lines).toContain('BeginUndo');
    expect(verbose.stdout).not.toContain('% complete');
  });

  test('/n names the new place of the database', async () => {
    const { logs, system, databases } = secedit();
    const place = join(databases, 'moved.sdb');
    const old = 'C:\\WINDOWS\\Security\\Database\\secedit.sdb';
    const run = await eseutil(['-r', 'edb', '-l', logs, '-s', system, '-n', `${place}:${old}`]);
    expect(run.exit).toBe(0);
    expect(run.lines).toContain(`   New Database Location: ${place}, Original Database Location: ${old}`);
    expect(readdirSync(databases)).toEqual(['moved.sdb']);
  });

  test('/u stops before undo: its error line, but exit 0 and ok', async () => {
    const { logs, system, databases } = secedit();
    const argv = ['-r', 'edb', '-l', logs, '-s', system, '-d', databases, '-u'];
    const run = await eseutil(argv);
    expect(run.exit).toBe(0);
    expect(run.stdout).toMatch(/Operation terminated with error -5(?:79|84) \(JET_errRecoveredWithoutUndo/);
    const other = secedit();
    const document = await eseutilJson([
      '-r',
      'edb',
      '-l',
      other.logs,
      '-s',
      other.system,
      '-d',
      other.databases,
      '-u',
    ]);
    expect(document).toMatchObject({ ok: true, exit: 0, result: { stoppedBeforeUndo: true } });
    expect(document).not.toHaveProperty('error');
  });
});

describeWithCorpus('/r of recovery sets', () => {
  test('a dirty database becomes clean', async () => {
    const set = recoverySet('srum-dirty');
    const run = await eseutil(['-r', 'SRU', '-l', set, '-s', set, '-d', set]);
    expect(run.exit).toBe(0);
    expect((await eseutil(['-mh', join(set, 'SRUDB.dat')])).lines).toContain(
      '            State: Clean Shutdown',
    );
  });

  test('a missing database: -1216 with advice and nothing written; /i goes on without it', async () => {
    const set = recoverySet('srum-dirty');
    rmSync(join(set, 'SRUDB.dat'));
    const before = contents(set);
    const argv = ['-r', 'SRU', '-l', set, '-s', set, '-d', set];
    const run = await eseutil(argv);
    expect(run.exit).toBe(2);
    expect(run.stdout).toContain('error -1216 (JET_errAttachedDatabaseMismatch, ');
    expect(run.stdout).toContain('To recover the other databases without these add /i.');
    expect(contents(set)).toEqual(before);
    const ignored = await eseutilJson([...argv, '-i']);
    expect(ignored).toMatchObject({ ok: true, exit: 0, warnings: [{ code: null, name: 'DatabaseIgnored' }] });
    expect(ignored.result).toMatchObject({ databases: [{ action: 'ignored', reason: 'missing' }] });
  });

  test('a missing required log: the error, the advice, nothing written', async () => {
    const set = recoverySet('srum-dirty');
    for (const name of ['SRU00051.log', 'SRU.log']) rmSync(join(set, name));
    const before = contents(set);
    const run = await eseutil(['-r', 'SRU', '-l', set, '-s', set, '-d', set]);
    expect(run.exit).toBe(2);
    expect(run.stdout).toContain('error -509 (JET_errMissingPreviousLogFile, ');
    expect(run.stdout).toContain('Bring the logs up to the one that the checkpoint names.');
    expect(contents(set)).toEqual(before);

    rmSync(join(set, 'SRU.chk'));
    const unaided = await eseutil(['-r', 'SRU', '-l', set, '-s', set, '-d', set]);
    expect(unaided.exit).toBe(2);
    expect(unaided.stdout).toContain('error -528 (JET_errMissingLogFile, ');
    expect(unaided.stdout).toContain('/a may allow recovery with the loss of what it holds.');
  });

  test('a hint where the checkpoint lies beside the logs and not in the system directory', async () => {
    const set = recoverySet('srum-clean');
    const system = fresh();
    const run = await eseutil(['-r', 'SRU', '-l', set, '-s', system, '-d', set, '--dry-run']);
    expect(run.stderr).toContain(`To use it add /s ${set}`);
  });
});

describeWithCorpus('/r is refused before anything is opened', () => {
  test('no logs, no directory, no base name', async () => {
    const empty = fresh();
    const none = await eseutil(['-r', 'E00', '-l', empty, '-s', empty]);
    expect(none.exit).toBe(2);
    expect(none.stdout).toContain('error -528 (JET_errMissingLogFile, ');
    expect(readdirSync(empty)).toEqual([]);
    const nowhere = await eseutil(['/r', 'E00', '/l', '/nodir']);
    expect(nowhere.exit).toBe(3);
    expect(nowhere.stdout).toMatch(/error -1023 \(JET_errInvalidPath, .*: \/nodir\)/);
    const nameless = await eseutil(['-r']);
    expect(nameless.exit).toBe(1);
    expect(nameless.lines).toContain('Usage Error: Missing logfile base name specification.');
  });

  test('/p and /kf give back what the database does not use, once it is clean', async () => {
    const set = recoverySet('srum-crash-undo');
    const database = join(set, 'SRUDB.dat');
    const argv = ['-r', 'SRU', '-l', set, '-s', set, '-d', set];
    await eseutil(argv);
    const { leaked = 0 } = (await eseutilJson(['-ms', database, '-l'])).result as { leaked?: number };
    expect(leaked).toBeGreaterThan(0);
    const run = await eseutil([...argv, '-p', database]);
    expect(run.exit).toBe(0);
    expect(run.lines).toContain(`Leaked pages made available: ${leaked} (${database})`);
    expect(await eseutilJson(['-ms', database, '-l'])).toMatchObject({ result: { leaked: 0 } });
    const shrunk = await eseutilJson([...argv, '-kf', database]);
    const { space } = shrunk.result as { space: { pagesBefore: number; pagesAfter: number } };
    expect(space.pagesAfter).toBeLessThan(space.pagesBefore);
    expect(readFileSync(database)).toHaveLength((space.pagesAfter + 2) * 4096);
    expect((await eseutil(['-g', database, `-f${database}`])).exit).toBe(0);
    expect((await eseutil(['-mh', database])).lines).toContain('     Shrink Count: 1');
  });

  test.each(['-k', '-kf', '-p'])(
    '%s with the name of no database that recovery makes clean',
    async (option) => {
      const set = recoverySet('srum-crash-undo');
      copyFileSync(corpusPath('recovery', 'srum-dirty', 'SRUDB.dat'), join(set, 'other.dat'));
      const before = contents(set);
      const argv = ['-r', 'SRU', '-l', set, '-s', set, '-d', set, option];
      for (const [name, error, exit] of [
        ['nosuch.dat', '-1811 (JET_errFileNotFound', 3],
        ['SRU.log', '-1209 (JET_errInvalidDatabaseVersion', 3],
        ['other.dat', '-550 (JET_errDatabaseDirtyShutdown', 5],
      ] as const) {
        for (const more of [[], ['--dry-run']]) {
          const run = await eseutil([...argv, join(set, name), ...more]);
          expect([name, run.exit]).toEqual([name, exit]);
          expect(run.stdout).toContain(`error ${error}`);
          expect(contents(set)).toEqual(before);
        }
      }
      expect((await eseutil([...argv, join(set, 'SRUDB.dat'), '--dry-run'])).exit).toBe(0);
    },
  );

  test('/k of a database that recovery is to make', async () => {
    const { logs, system, databases } = secedit();
    const argv = ['-r', 'edb', '-l', logs, '-s', system, '-d', databases];
    expect((await eseutil([...argv, '-k', join(databases, 'secedit.sdb')])).exit).toBe(0);
  });

  test('/k and /p exclude each other, and a stop before undo', async () => {
    const { logs, system, databases } = secedit();
    const argv = ['-r', 'edb', '-l', logs, '-s', system, '-d', databases];
    for (const extra of [
      ['-k', 'a.edb', '-p', 'a.edb'],
      ['-k', 'a.edb', '-u'],
    ]) {
      const run = await eseutil([...argv, ...extra]);
      expect([run.exit, readdirSync(databases)]).toEqual([1, []]);
      expect(run.stdout).toContain('Usage Error: ');
    }
  });

  test.each(['1,2', '0,2,3', '1,2:3', '2026-02-31T00:00:00Z', '2026-01-31T12:00:00', 'yesterday'])(
    '--until %s is no position and no time',
    async (until) => {
      const { logs, system, databases } = secedit();
      const run = await eseutil(['-r', 'edb', '-l', logs, '-s', system, '-d', databases, '--until', until]);
      expect(run.exit).toBe(1);
      expect(run.stdout).toContain(`Usage Error: Invalid option '--until=${until}'.`);
      expect(readdirSync(databases)).toEqual([]);
    },
  );
});

describeWithCorpus('/r --until', () => {
  test.each(['(0x1,60,8)', '1:60:8', '00000001,0060,0008'])(
    'stops at %s and keeps the logs',
    async (until) => {
      const { logs, system, databases } = secedit();
      const before = contents(logs);
      const argv = ['-r', 'edb', '-l', logs, '-s', system, '-d', databases];
      const run = await eseutil([...argv, `--until=${until}`]);
      expect(run.exit).toBe(0);
      expect(run.stdout).toMatch(/\nStopped at: \(0x1,60,[0-9A-F]+\)\n/);
      const kept = /\nThe logs from there on are kept in: (.+)\n/.exec(run.stdout)?.[1] ?? '';
      expect(contents(kept)).toEqual(before);
      const database = join(databases, 'secedit.sdb');
      expect((await eseutil(['-mh', database])).lines).toContain('            State: Clean Shutdown');
      expect((await eseutil(argv)).stdout).toContain('\nNothing to do: the log stream ended cleanly.\n');
    },
  );

  test('stops at a time; a time behind the last record is no limit', async () => {
    const early = secedit();
    const argvOf = ({ logs, system, databases }: typeof early) => [
      ...['-r', 'edb', '-l', logs, '-s', system, '-d', databases],
    ];
    const begun = await eseutil([...argvOf(early), '--until', '2000-01-01T00:00:00Z', '--dry-run']);
    expect(begun.exit).toBe(0);
    const late = secedit();
    const run = await eseutil([...argvOf(late), '--until', '2100-01-01T00:00:00+02:00']);
    expect(run.exit).toBe(0);
    expect(run.stdout).not.toContain('Stopped at');
  });
});
