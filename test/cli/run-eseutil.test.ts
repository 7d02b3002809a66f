import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { elapsedText, lgposText, signatureText, timeText } from '../../src/cli/classic-text.js';
import { exitCodeOfJet } from '../../src/cli/exit-codes.js';
import { drawProgressBar, withRate } from '../../src/cli/progress-bar.js';
import { nodeFileSystem } from '../../src/io/node-file-system.js';
import { corpusPath, describeWithCorpus } from '../corpus.js';
import { isBuilt } from '../support/built.js';
import { eseutil, eseutilJson, temporaryFolder } from './run.js';

const folder = temporaryFolder();
const program = fileURLToPath(new URL('../../dist/bin/eseutil.js', import.meta.url));

describe('exit codes: a function of the number', () => {
  test.each([
    [0, 0],
    [595, 0],
    [-579, 0],
    [-584, 0],
    [-322, 2],
    [-334, 3],
    [-431, 2],
    [-432, 3],
    [-501, 2],
    [-514, 2],
    [-528, 2],
    [-529, 3],
    [-533, 2],
    [-542, 3],
    [-543, 2],
    [-544, 5],
    [-550, 5],
    [-577, 3],
    [-1008, 3],
    [-1018, 2],
    [-1023, 3],
    [-1032, 5],
    [-1206, 2],
    [-1213, 2],
    [-1811, 3],
    [-1812, 2],
    [-2403, 3],
    [-4001, 2],
    [-107, 3],
  ])('%i gives %i', (code, exit) => {
    expect(exitCodeOfJet(code)).toBe(exit);
  });
});

describe('the forms of values', () => {
  test('milliseconds have no leading zeros', () => {
    expect(elapsedText(16)).toBe('0.16');
    expect(elapsedText(1005)).toBe('1.5');
    expect(elapsedText(41203)).toBe('41.203');
  });

  test('positions, times and signatures', () => {
    expect(lgposText('0000002C,0009,0086')).toBe('(0x2C,9,86)');
    expect(lgposText('00000000,0000,0000')).toBe('(0x0,0,0)');
    expect(timeText('2021-03-02T18:22:05.640Z')).toBe('03/02/2021 18:22:05.640 UTC');
    expect(timeText('2021-03-02T18:22:05.640')).toBe('03/02/2021 18:22:05.640 LOC');
    expect(timeText(null)).toBe('00/00/1900 00:00:00.000 LOC');
    expect(signatureText({ random: 1804401277, time: '2021-02-11T07:15:40.118', computer: '' })).toBe(
      'Create time:02/11/2021 07:15:40.118 Rand:1804401277 Computer:',
    );
  });

  test('the progress bar: one dot for two per cent, never backwards, 51 at the end', () => {
    let text = '';
    const bar = drawProgressBar((piece) => {
      text += piece;
    }, 'Checksum Status (% complete)');
    expect(text).toBe(
      `\n${' '.repeat(10)}${' '.repeat(11)}Checksum Status (% complete)\n\n` +
        '          0    10   20   30   40   50   60   70   80   90  100\n' +
        '          |----|----|----|----|----|----|----|----|----|----|\n          ',
    );
    text = '';
    bar.update(10, 100);
    bar.update(5, 100);
    bar.update(11, 100);
    expect(text).toBe('.....');
    bar.complete();
    expect(text).toBe(`${'.'.repeat(51)}\n\n`);
    bar.fail();
    bar.update(100, 100);
    expect(text).toBe(`${'.'.repeat(51)}\n\n`);
  });

  test('a failed bar ends with X and nothing after', () => {
    let text = '';
    const bar = drawProgressBar((piece) => {
      text += piece;
    }, 'x');
    text = '';
    bar.update(50, 100);
    bar.fail();
    bar.update(100, 100);
    bar.complete();
    expect(text).toBe(`${'.'.repeat(25)}X\n\n`);
  });
});

describe('rate and time left', () => {
  test('stand behind the dots without moving them, twice a second at most', () => {
    let text = '';
    let time = 0;
    const write = (piece: string) => {
      text += piece;
    };
    const bar = withRate(drawProgressBar(write, 'x'), write, () => time);
    text = '';
    time = 1000;
    bar.update(25, 100);
    bar.update(26, 100);
    expect(text).toBe(`${'.'.repeat(12)}\u001b7  25.0 %/s, 3 s left\u001b[K\u001b8.`);
    bar.complete();
    expect(text.endsWith(`\u001b[K${'.'.repeat(38)}\n\n`)).toBe(true);
  });
});

describe('usage errors: the message, the general help, exit 1, nothing opened', () => {
  test.each([
    [[], 'Usage Error: No mode specified.'],
    [['-q'], 'Usage Error: Invalid mode.'],
    [
      ['-mh', 'a.edb', 'b.edb'],
      "Usage Error: Invalid argument 'b.edb'. Options must be preceded by '-' or '/'.",
    ],
    [['-mh', 'a.edb', '--bogus'], "Usage Error: Invalid option '--bogus'."],
    [['-r', 'E00', '-l'], 'Usage Error: Missing logfile path specification.'],
    [['-r', 'TOOLONG'], "Usage Error: Invalid argument 'TOOLONG'. It is no logfile base name."],
  ])('%j', async (argv, message) => {
    const run = await eseutil(argv);
    expect(run.exit).toBe(1);
    expect(run.lines[1]).toBe(message);
    expect(run.stdout).toContain('\nMODES OF OPERATION:\n');
    const document = await eseutilJson(argv);
    expect(document).toMatchObject({ mode: 'usage', file: null, ok: false, exit: 1, result: null });
    expect(document.error).toMatchObject({ code: null, name: 'UsageError' });
    expect(document.error?.message).toContain(message);
  });

  test('a missing source: the banner, the message, -1003 and exit 1', async () => {
    for (const mode of ['-mh', '-mk', '-ml', '-mm', '-ms', '-k', '-p', '-d', '-g', '-y']) {
      const run = await eseutil([mode]);
      expect(run.exit).toBe(1);
      expect(run.lines[1]).toMatch(/^Extensible Storage Engine Utilities/);
      expect(run.lines).toContain('Usage Error: Missing source file specification.');
      expect(run.stdout).toContain('Operation terminated with error -1003 (JET_errInvalidParameter, ');
      expect(await eseutilJson([mode])).toMatchObject({ exit: 1, error: { code: -1003 } });
    }
  });

  test('a token that begins with / says how it was read', async () => {
    const run = await eseutil(['-d', 'a.edb', '/p']);
    expect(run.lines[2]).toMatch(/'\/p' was read as a path; in dash style only '-' introduces switches/);
    const unknown = await eseutil(['/mh', 'a.edb', '/q']);
    expect(unknown.lines[2]).toBe("  '/q' was read as a path; /mh has no such switch");
  });
});

describe('help', () => {
  test('/? has the list of modes and exits 1; --help the same and 0', async () => {
    const classic = await eseutil(['/?']);
    expect(classic.exit).toBe(1);
    expect(classic.lines).toContain('       Defragmentation:  eseutil /d <database name> [options]');
    expect(classic.lines).toContain(
      '             File Dump:  eseutil /m[mode-modifier] <file name> [options]',
    );
    const modern = await eseutil(['--help']);
    expect(modern.exit).toBe(0);
    expect(modern.stdout).toBe(classic.stdout);
  });

  test.each(['d', 'r', 'g', 'k', 'p', 'm', 'y', 'c'])(
    '/%s /? prints its page and exits 0',
    async (letter) => {
      const run = await eseutil([`/${letter}`, '/?']);
      expect(run.exit).toBe(0);
      expect(run.stdout).toMatch(/\n {9}SYNTAX: {2}eseutil \//);
      expect((await eseutil([`-${letter}`, '--help'])).stdout).toBe(run.stdout);
      expect(await eseutilJson([`-${letter}`, '--help'])).toMatchObject({
        mode: 'help',
        exit: 0,
        result: null,
      });
    },
  );

  test('on a terminal /? asks for a letter and prints its page', async () => {
    const terminal = { stdinIsTerminal: true, stdoutIsTerminal: true };
    const run = await eseutil(['/?'], { ...terminal, answers: ['k'] });
    expect(run.stdout).toContain('<<<<<  Press a key for more help  >>>>>');
    expect(run.stdout).toContain('CHECKSUM:');
    expect(run.stdout).not.toContain('REPAIR:');
    const none = await eseutil(['/?'], { ...terminal, answers: [] });
    expect(none.exit).toBe(1);
  });

  test('--version', async () => {
    const run = await eseutil(['--version']);
    expect(run).toMatchObject({ exit: 0, stdout: expect.stringMatching(/^esekit \d+\.\d+\.\d+\n$/) });
  });
});

describe('what this version does not have', () => {
  test.each([
    [['-z', 'a.edb'], 'scrub', '/z (secure)'],
    [['-cc', 'dir'], 'restore', '/cc (hard recovery)'],
    [['-cm', 'dir'], 'restoreEnv', '/cm (restore environment)'],
  ])('%j says so in one line', async (argv, mode, name) => {
    const before = readdirSync('.');
    const run = await eseutil(argv);
    expect(run.exit).toBe(3);
    const lines = run.lines.filter((line) => line.includes('-1001'));
    expect(lines).toEqual([
      expect.stringContaining(
        `error -1001 (JET_errFeatureNotAvailable, ${name} is not available in this version)`,
      ),
    ]);
    expect(await eseutilJson(argv)).toMatchObject({ mode, ok: false, exit: 3, error: { code: -1001 } });
    expect(readdirSync('.')).toEqual(before);
  });

  test('snapshot access is always refused', async () => {
    const run = await eseutil(['-mh', 'a.edb', '-vss']);
    expect(run.exit).toBe(3);
    expect(run.stdout).toContain('error -2403 (JET_errOSSnapshotNotAllowed, ');
  });
});

describeWithCorpus('a run from outside', () => {
  const database = corpusPath('databases', 'ual-dirty.mdb');
  const hasProgram = isBuilt(program);
  const node = (...argv: string[]) => spawnSync(process.execPath, [program, ...argv], { encoding: 'utf8' });

  test.skipIf(!hasProgram)('slash style with an absolute path, through the real process', () => {
    const run = node('/mh', database);
    expect(run.status).toBe(0);
    expect(run.stdout).toContain('            State: Dirty Shutdown\n');
    expect(run.stderr).toBe('');
  });

  test.skipIf(!hasProgram)('a reader that goes away ends the run quietly with 0', () => {
    const log = corpusPath('logs', 'secedit', 'edb.log');
    const command = `"${process.execPath}" "${program}" -ml "${log}" -v2 | head -1; echo "\${PIPESTATUS[0]}"`;
    const run = spawnSync('bash', ['-c', command], { encoding: 'utf8' });
    expect(run.stdout).toBe('\n0\n');
    expect(run.stderr).toBe('');
  });

  test.skipIf(!hasProgram)('no permission: -1032, exit 5, one line', () => {
    if (process.getuid?.() === 0) {
      process.stderr.write('skipped for the superuser, who may read everything: no permission\n');
      return;
    }
    const file = join(folder, 'secret.edb');
    writeFileSync(file, readFileSync(database), { mode: 0 });
    const run = node('-mh', file);
    expect(run.status).toBe(5);
    expect(run.stdout).toContain('error -1032 (JET_errFileAccessDenied, ');
  });
});

describeWithCorpus('banner, profiles, options of every mode', () => {
  const database = corpusPath('databases', 'test.edb');

  test('/o suppresses the banner', async () => {
    const run = await eseutil(['-mh', database, '-o']);
    expect(run.lines.slice(0, 2)).toEqual(['', 'Initiating FILE DUMP mode...']);
  });

  test('the program name and --compat choose the banner', async () => {
    const windows = await eseutil(['-mh', database], { programName: 'esentutl' });
    expect(windows.lines.slice(1, 3)).toEqual([
      'Extensible Storage Engine Utilities for Microsoft(R) Windows(R)',
      'Version 10.0',
    ]);
    const old = await eseutil(['-mh', database, '--compat=e2003']);
    expect(old.lines.slice(1, 3)).toEqual(['Microsoft(R) Exchange Server Database Utilities', 'Version 6.5']);
    expect(old.lines).toContain(' Format ulVersion: 0x620,20');
    expect(old.lines).toContain('   Streaming File: No');
    expect(old.lines).not.toContain('DATABASE HEADER:');
    expect(old.lines).toContain('           dbtime: 511 (0-511)');
    expect(old.lines).toContain('  Last Consistent: (0x0,0,0)  03/29/2021 08:49:50');
    expect(old.lines).toContain('      Repair Date: 00/00/1900 00:00:00');
    expect(old.lines).toContain(
      '     DB Signature: Create time:03/29/2021 08:49:13 Rand:2642502760 Computer:',
    );
  });

  test('--json=FILE leaves the text on stdout', async () => {
    const file = join(folder, 'out.json');
    const run = await eseutil(['-mh', database, `--json=${file}`]);
    expect(run.stdout).toContain('DATABASE HEADER:');
    expect(JSON.parse(readFileSync(file, 'utf8'))).toMatchObject({
      tool: 'eseutil',
      mode: 'dumpHeader',
      exit: 0,
    });
    expect(readdirSync(folder).filter((name) => name.endsWith('.tmp'))).toEqual([]);
    const lost = await eseutil(['-mh', database, `--json=${join(folder, 'none', 'out.json')}`]);
    expect(lost.exit).toBe(3);
    expect(lost.stderr).toMatch(/^ERROR: -1023 \(JET_errInvalidPath\): the JSON file was not written/);
  });

  test('--exit-jet gives the low byte of the JET error, Windows the error itself', async () => {
    const missing = join(folder, 'missing.edb');
    expect((await eseutil(['-mh', missing, '--exit-jet'])).exit).toBe(-1811 & 0xff);
    expect((await eseutil(['-mh', '--', missing], { platform: 'windows' })).exit).toBe(-1811);
    expect((await eseutil(['-mh', '--', database], { platform: 'windows' })).exit).toBe(0);
  });

  test('--explain-args prints the reading of every token and opens nothing', async () => {
    const run = await eseutil(['/r', 'E00', '/l', '/nodir', '/i', '--explain-args']);
    expect(run.exit).toBe(0);
    expect(run.lines.map((line) => line.split(/ {2,}/))).toEqual([
      ['/r', 'S0', 'mode r'],
      ['E00', 'S3', "base name 'E00'"],
      ['/l', 'S5', 'switch l'],
      ['/nodir', expect.any(String), "value of l: '/nodir'"],
      ['/i', 'S5', 'switch i'],
      ['--explain-args', 'long option'],
      [''],
    ]);
  });

  test('a locked database: -1032, exit 5; --shared reads it and warns', async () => {
    const file = join(folder, 'locked.edb');
    writeFileSync(file, readFileSync(database));
    const lock = nodeFileSystem.lock(file, { role: 'store' });
    try {
      for (const argv of [
        ['-mh', file],
        ['-mm', file],
        ['-ms', file],
        ['-m', file, '-p4'],
        ['-k', file],
      ]) {
        const run = await eseutil(argv);
        expect(run.exit).toBe(5);
        expect(run.stdout).toContain(
          'error -1032 (JET_errFileAccessDenied, the database is in use by process ',
        );
        const shared = await eseutil([...argv, '--shared']);
        expect(shared.exit).toBe(0);
        expect(shared.stderr).toMatch(/^WARNING: the database is in use by process /);
      }
      expect((await eseutilJson(['-mh', file, '--shared'])).warnings).toMatchObject([{ name: 'SharedRead' }]);
    } finally {
      lock.release();
    }
    expect((await eseutil(['-mh', file])).exit).toBe(0);
  });

  test('backslashes mean slashes where only those exist', async () => {
    mkdirSync(join(folder, 'mdb'), { recursive: true });
    writeFileSync(join(folder, 'mdb', 'priv1.edb'), readFileSync(database));
    const typed = join(folder, 'mdb', 'priv1.edb').replaceAll('/', '\\');
    const run = await eseutil(['-mh', typed]);
    expect(run.exit).toBe(0);
    expect(run.lines).toContain(`         Database: ${typed}`);
  });
});
