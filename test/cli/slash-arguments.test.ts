import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseSlashArguments } from '../../src/cli/slash-arguments.js';
import type { ModeCommand } from '../../src/cli/slash-command.js';
import type { ArgumentHost } from '../../src/cli/slash-token.js';
import { UsageError } from '../../src/cli/usage-error.js';

/** A machine on which exactly these names exist; a trailing `/` marks a directory. */
function hostWith(names: readonly string[], extra: Partial<ArgumentHost> = {}): ArgumentHost {
  return {
    platform: 'posix',
    probe: (path) => {
      if (names.includes(`${path.replace(/\/$/, '')}/`)) return 'directory';
      return names.includes(path) ? 'file' : null;
    },
    holdsRestoreEnv: (directory) => names.includes(`${directory}/restore.env`),
    ...extra,
  };
}

const ROOT = ['/data/', '/restore/', '/tmp/', '/data/priv1.edb', '/data/logs/', '/data/db/', '/restore/dir/'];

function parse(line: string | string[], names: readonly string[] = ROOT): ModeCommand {
  const command = parseSlashArguments(typeof line === 'string' ? line.split(' ') : line, hostWith(names));
  if (command.kind !== 'mode') throw new Error(`read as ${command.kind}`);
  return command;
}

/** The command as one readable line: mode and modifier, positional, switches with values. */
function reading(line: string | string[], names: readonly string[] = ROOT): string {
  const command = parse(line, names);
  const switches = command.switches.map((use) =>
    use.value === null ? use.name : `${use.name}=${use.value}`,
  );
  return [command.mode + (command.modifier ?? ''), command.positional ?? '-', ...switches].join(' ');
}

function usageError(line: string | string[], names: readonly string[] = ROOT): UsageError {
  try {
    parseSlashArguments(typeof line === 'string' ? line.split(' ') : line, hostWith(names));
  } catch (error) {
    if (error instanceof UsageError) return error;
    throw error;
  }
  throw new Error('no usage error');
}

describe('the worked examples of the switch-or-path rule', () => {
  const examples: [line: string | string[], expected: string, names?: string[]][] = [
    ['/mh /data/priv1.edb', 'mh /data/priv1.edb'],
    ['/mh priv1.edb', 'mh priv1.edb'],
    ['/mh ./mdb/priv1.edb', 'mh ./mdb/priv1.edb'],
    ['/mh /priv1.edb', 'mh /priv1.edb', ['/priv1.edb']],
    ['/mh /priv1.edb', 'mh /priv1.edb', []],
    [['/mh', '“/data/First', 'SG/priv1.edb”'], 'mh /data/First SG/priv1.edb'],
    ['/ml /data/logs/E00', 'ml /data/logs/E00'],
    ['/ml logs/E00', 'ml logs/E00'],
    ['/ml E00', 'ml E00'],
    ['/ml /data/logs/E0000001.log', 'ml /data/logs/E0000001.log'],
    ['/ml /data/logs', 'ml /data/logs'],
    ['/mk /data/E00.chk', 'mk /data/E00.chk'],
    ['/r E00 /l /data/logs /d /data/db', 'r E00 l=/data/logs d=/data/db'],
    ['/r E00 /l/data/logs /d/data/db', 'r E00 l=/data/logs d=/data/db'],
    ['/r E00 /l logs /s sys /d db /i', 'r E00 l=logs s=sys d=db i'],
    [['/r', 'E00', '/l', '/data/logs', '/d', '/data/db', '/i '], 'r E00 l=/data/logs d=/data/db i'],
    ['/r E00 /l /data/logs /d /i', 'r E00 l=/data/logs d i'],
    ['/r E00 /l /tmp', 'r E00 l=/tmp'],
    ['/r E00 /l /tmp', 'r E00 l=/tmp', []],
    ['/r E00 /l /nodir', 'r E00 l=/nodir'],
    ['/cc /restore/dir /t', 'cc /restore/dir t'],
    [['/cc', '/restore/First Storage Group', '/t'], 'cc /restore/First Storage Group t'],
    ['/cc /restore/dir /t /data/sg1/log', 'cc /restore/dir t=/data/sg1/log'],
    ['/cc /k', 'cc - k'],
    ['/cc /k/', 'cc /k/', ['/k/']],
    ['/cm /restore/dir', 'cm /restore/dir'],
    ['/p /data/priv1.edb /o', 'p /data/priv1.edb o'],
    [['/p', '/data/Mailbox Store (SERVER).edb'], 'p /data/Mailbox Store (SERVER).edb'],
    ['/d /data/priv1.edb /t/big/tmp.edb', 'd /data/priv1.edb t=/big/tmp.edb'],
    ['/d /data/priv1.edb -t/big/tmp.edb', 'd /data/priv1.edb t=/big/tmp.edb', [...ROOT, '/t/']],
    ['/d /data/priv1.edb /t /big/tmp.edb /p', 'd /data/priv1.edb t=/big/tmp.edb p'],
    ['/k /data/p', 'k /data/p'],
    ['/k /p', 'k - p', ['/p']],
    ['/k //p', 'k /p', ['/p']],
    ['/k -- /p', 'k /p', ['/p']],
    ['/k /e/priv1.edb', 'k /e/priv1.edb'],
    ['/k p', 'k p'],
    ['/m /data/priv1.edb /p512', 'mh /data/priv1.edb p=512'],
    ['/mm /data/priv1.edb /tMsg', 'mm /data/priv1.edb t=Msg'],
    ['/mm /data/priv1.edb -tMsg', 'mm /data/priv1.edb t=Msg', [...ROOT, '/tMsg']],
    ['/y /data/a.edb /d/backup/a.edb', 'y /data/a.edb d=/backup/a.edb'],
    ['/mh /d/priv1.edb', 'mh /d/priv1.edb', ['/d/']],
    ['/mh /d/priv1.edb', 'mh /d/priv1.edb', []],
    ['-mh /d/priv1.edb', 'mh /d/priv1.edb'],
    ['-r E00 -l /l/logs -d /d', 'r E00 l=/l/logs d=/d', ['/l/', '/d/']],
    ['/mh/data/priv1.edb', 'mh /data/priv1.edb'],
  ];
  test.each(examples)('%j is read as %j', (line, expected, names) => {
    expect(reading(line, names)).toBe(expected);
  });

  const refused: [line: string, message: string, hint: RegExp, names?: string[]][] = [
    [
      '/r /data/logs/E00',
      "Usage Error: Invalid argument '/data/logs/E00'. It is no logfile base name.",
      /\/r E00 \/l \/data\/logs/,
    ],
    [
      '/cc /t /restore/dir',
      "Usage Error: Invalid argument '/restore/dir'.",
      /'\/restore\/dir' is a restore directory; write it before \/t/,
      [...ROOT, '/restore/dir/restore.env'],
    ],
    [
      '/d /data/priv1.edb /t/big/tmp.edb',
      "Usage Error: Invalid argument '/t/big/tmp.edb'. Options must be preceded by '-' or '/'.",
      /-t\/big\/tmp\.edb/,
      [...ROOT, '/t/'],
    ],
    [
      '/mm /data/priv1.edb /tMsg',
      "Usage Error: Invalid argument '/tMsg'. Options must be preceded by '-' or '/'.",
      /-tMsg/,
      [...ROOT, '/tMsg'],
    ],
    ['/data/priv1.edb', 'Usage Error: No mode specified.', /mode such as \/mh must come first/],
    [
      '-d a.edb /p',
      "Usage Error: Invalid argument '/p'. Options must be preceded by '-' or '/'.",
      /dash style only '-' introduces switches, write -p/,
    ],
  ];
  test.each(refused)('%j is refused: %s', (line, message, hint, names) => {
    const error = usageError(line, names);
    expect(error.message).toBe(message);
    expect(error.hints.join('\n')).toMatch(hint);
  });

  test('a file /p exists: /k /p says how to name it', () => {
    expect(parse('/k /p', ['/p']).hints).toContain('to name the file /p write //p');
  });
});

describe('the rules S0 to S9, one by one', () => {
  test('S2: a dash is a switch in slash style too, whatever exists', () => {
    expect(reading('/r E00 -l/data/logs', ['/l/'])).toBe('r E00 l=/data/logs');
  });

  test('S4: a path is protected by a doubled slash, a dot part or a final slash', () => {
    expect(reading('/k //data/p')).toBe('k /data/p');
    expect(reading('/k /./p')).toBe('k /./p');
    expect(reading('/k /../p')).toBe('k /../p');
  });

  test.each([
    ['/mh f.edb /o', 'o'],
    ['/mh f.edb /v2', 'v=2'],
    ['/mh f.edb /16', '16'],
    ['/r E00 /u12', 'u=12'],
    ['/r E00 /c5', 'c5'],
    ['/r E00 /kf a.edb', 'kf=a.edb'],
    ['/r E00 /n*', 'n*'],
    ['/m f.edb /p512', 'p=512'],
    ['/m f.edb /p0x200', 'p=0x200'],
    ['/m f.edb /p-1', 'p=-1'],
    ['/mc f.edb /p1:max', 'p=1:max'],
    ['/m f.edb /n120:3', 'n=120:3'],
    ['/m f.edb /n[1:120:3]', 'n=[1:120:3]'],
    ['/ml E00 /r1a-2f', 'r=1a-2f'],
    ['/ms f.edb /csv', 'csv'],
    ['/k f.edb /p50', 'p=50'],
    ['/k f.edb /vss', 'vss'],
    ['/d f.edb /efv9120', 'efv=9120'],
    ['/p f.edb /createstm', 'createstm'],
  ])('S5: %j holds the switch %j even where a file of that name exists', (line, use) => {
    const token = line.split(' ')[2] ?? '';
    expect(reading(line, [token]).split(' ').slice(2).join(' ')).toBe(use);
  });

  test('S6: letter, colon, value; every leading colon is dropped', () => {
    expect(reading('/r E00 /l:/var/logs', ['/l/'])).toBe('r E00 l=/var/logs');
    expect(reading('/r E00 /l::logs')).toBe('r E00 l=logs');
  });

  test('S7: a path, unless its first part is missing and the rest begins in the current directory', () => {
    expect(reading('/r E00 /logs/x', ['ogs'])).toBe('r E00 l=ogs/x');
    expect(usageError('/r E00 /logs/x', ['ogs', '/logs/']).message).toMatch(/Invalid argument/);
    expect(usageError('/r E00 /logs/x', []).message).toMatch(/Invalid argument/);
  });

  test('S9: an attached name, unless a file or directory has it', () => {
    expect(reading('/d a.edb /tTEMP.EDB', [])).toBe('d a.edb t=TEMP.EDB');
    expect(usageError('/d a.edb /tTEMP.EDB', ['/tTEMP.EDB']).message).toMatch(/Invalid argument/);
  });

  test('an exact switch is never the value of an optional switch', () => {
    expect(reading('/r E00 /d /i', ['/i'])).toBe('r E00 d i');
  });

  test('a missing mandatory value is named', () => {
    expect(usageError('/r E00 /l').message).toBe('Usage Error: Missing logfile path specification.');
    expect(usageError('/r E00 /l /i').message).toBe('Usage Error: Missing logfile path specification.');
    expect(usageError('/d a.edb /t').message).toBe('Usage Error: Missing temporary database specification.');
  });

  test('a value given twice is named', () => {
    expect(usageError('/r E00 /l a /l b').message).toBe('Usage Error: Duplicate logfile path specification.');
    expect(reading('/r E00 /na.edb /nb.edb:C:\\b.edb')).toBe('r E00 n=a.edb n=b.edb:C:\\b.edb');
  });

  test('text after a switch that takes none is never that switch', () => {
    expect(usageError('-k f.edb -ee').message).toBe("Usage Error: Invalid option '-ee'.");
    expect(usageError('/k f.edb /ee').message).toMatch(/Invalid argument '\/ee'/);
  });

  test('after a lone -- only paths follow', () => {
    expect(reading('/k /i -- /e', [])).toBe('k /e i');
    expect(reading('/r E00 /l -- /s', [])).toBe('r E00 l=/s');
    expect(usageError('/r E00 -- /s', []).message).toMatch(/Invalid argument '\/s'/);
  });
});

describe('modes and modifiers', () => {
  test('text after the mode letter is its first argument', () => {
    expect(reading('/rE00')).toBe('r E00');
    expect(reading('/kE00')).toBe('k E00');
    expect(reading('/dC:\\a.edb')).toBe('d C:\\a.edb');
  });

  test('letters are case-insensitive, names are kept', () => {
    expect(reading('/MH Priv1.EDB')).toBe('mh Priv1.EDB');
    expect(reading('/R E00 /L Logs /I')).toBe('r E00 l=Logs i');
  });

  test('without a modifier the first two-character switch that is one is it', () => {
    expect(reading('/m f.edb /s')).toBe('ms f.edb');
    expect(reading('/m /l E00')).toBe('ml E00');
    expect(reading('/m f.edb')).toBe('mh f.edb');
    expect(reading('/m f.edb /x')).toBe('mh f.edb x');
    expect(reading('-m f.edb -k')).toBe('mk f.edb');
  });

  test('/mhfile.edb is the file hfile.edb', () => {
    expect(reading('/mhfile.edb')).toBe('mh hfile.edb');
    expect(reading('/mh/data/f.edb', ['h/data/f.edb'])).toBe('mh h/data/f.edb');
  });

  test('/m h file.edb takes h as the modifier unless a file h exists', () => {
    expect(reading('/m h f.edb')).toBe('mh f.edb');
    expect(reading('/m s f.edb')).toBe('ms f.edb');
    expect(usageError('/m h f.edb', ['h']).message).toMatch(/Invalid argument 'f\.edb'/);
  });

  test('/c needs its modifier', () => {
    expect(usageError('/c').message).toBe('Usage Error: Invalid mode.');
    expect(reading('/cc/restore/dir')).toBe('cc /restore/dir');
    expect(usageError('/cm /restore/dir /t').message).toMatch(/Usage Error/);
  });

  test('unknown and missing modes', () => {
    expect(usageError([]).message).toBe('Usage Error: No mode specified.');
    expect(usageError('/q').message).toBe('Usage Error: Invalid mode.');
    expect(usageError('/mq f.edb').message).toBe('Usage Error: Invalid mode.');
    expect(usageError('mh f.edb').message).toBe(
      "Usage Error: Mode selection must be preceded by '-' or '/'.",
    );
    expect(usageError('C:/msys64/mh f.edb').hints.join()).toMatch(/write -mh/);
  });

  test('a letter means what its mode says', () => {
    expect(reading('/d a.edb /p')).toBe('d a.edb p');
    expect(reading('/k a.edb /p')).toBe('k a.edb p');
    expect(reading('/r E00 /p a.edb')).toBe('r E00 p=a.edb');
    expect(reading('/cc dir /k')).toBe('cc dir k');
    expect(reading('/ml E00 /c out.csv')).toBe('ml E00 c=out.csv');
    expect(reading('/ms a.edb /c')).toBe('ms a.edb c');
  });

  test('switches that exclude or need each other', () => {
    expect(usageError('/r E00 /d db /n new.edb').message).toBe(
      'Usage Error: Only one type of recovery allowed.',
    );
    expect(usageError('/r E00 /b x').message).toMatch(/Usage Error/);
    expect(usageError('/m f.edb /k00 /p5').message).toMatch(/'\/k'. It needs \/p<pgno>/);
    expect(reading('/m f.edb /p5 /k00ff')).toBe('mh f.edb p=5 k=00ff');
    expect(reading('/ms f.edb /d2')).toBe('ms f.edb d=2');
  });
});

describe('what word processors and shells do to recipes', () => {
  test('en and em dashes at the start are dashes', () => {
    expect(reading('–mh f.edb')).toBe('mh f.edb');
    expect(reading(['—r', 'E00', '–l', '/x'])).toBe('r E00 l=/x');
  });

  test('an opening typographic quote wants its closing one', () => {
    expect(usageError(['/mh', '“/data/First', 'SG']).message).toMatch(/never closed/);
    expect(reading(['/mh', '“a.edb”'])).toBe('mh a.edb');
  });

  test('one trailing double quote is dropped from a path', () => {
    expect(reading(['/r', 'E00', '/l', 'C:\\logs"'])).toBe('r E00 l=C:\\logs');
  });
});

describe('long options', () => {
  test('stand anywhere after the mode; four of them before it', () => {
    expect(parse('--json -mh f.edb').long.has('json')).toBe(true);
    expect(parse('/mh --json f.edb').positional).toBe('f.edb');
    expect(parse('/k f.edb --workers 2').long.get('workers')).toBe('2');
    expect(parse('/k --workers=2 f.edb').long.get('workers')).toBe('2');
    expect(parse('--compat=win /mh f.edb').long.get('compat')).toBe('win');
    expect(usageError('--workers 2 /k f.edb').message).toMatch(/may precede the mode/);
  });

  test('an unknown one, a bad value, a missing value, one of another mode are usage errors', () => {
    expect(usageError('/mh f.edb --bogus').message).toBe("Usage Error: Invalid option '--bogus'.");
    expect(usageError('/k f.edb --workers=0').message).toMatch(/Invalid option/);
    expect(usageError('/k f.edb --workers').message).toMatch(/Missing --workers/);
    expect(usageError('/k f.edb --workers -- x').message).toMatch(/Missing --workers/);
    expect(usageError('/k f.edb --dry-run').message).toMatch(/Invalid option/);
    expect(usageError('/k f.edb --yes=1').message).toMatch(/takes no value/);
  });

  test('an optional value is taken with = only', () => {
    const command = parse('/mh --json=out.json f.edb');
    expect(command.long.get('json')).toBe('out.json');
    expect(parse('/mh --json f.edb').long.get('json')).toBeNull();
  });
});

describe('help', () => {
  test.each([
    ['/?', null, false],
    ['-?', null, false],
    ['--help', null, true],
    ['/d /?', 'd', true],
    ['/m?', 'm', true],
    ['/mh /?', 'm', true],
    ['-r E00 --help', 'r', true],
    ['--help /k', 'k', true],
    ['/c /?', 'c', true],
  ])('%j asks for the page of %j', (line, mode, asked) => {
    const command = parseSlashArguments(line.split(' '), hostWith([]));
    expect(command).toMatchObject({ kind: 'help', mode, asked });
  });

  test('--version', () => {
    expect(parseSlashArguments(['--version'], hostWith([])).kind).toBe('version');
  });
});

describe('on Windows both characters introduce switches everywhere', () => {
  const windows = hostWith([], { platform: 'windows' });
  test('slashes are never paths', () => {
    const command = parseSlashArguments(['/r', 'E00', '-l', 'D:\\logs', '/dD:\\db', '/i'], windows);
    expect(command).toMatchObject({
      positional: 'E00',
      switches: [
        { name: 'l', value: 'D:\\logs' },
        { name: 'd', value: 'D:\\db' },
        { name: 'i', value: null },
      ],
    });
    expect(() => parseSlashArguments(['/mh', '/data/f.edb'], windows)).toThrow(UsageError);
  });
});

describe('--explain-args', () => {
  test('every token has its reading', () => {
    const command = parse('/r E00 /l /data/logs /d /i --explain-args');
    expect(command.readings.map((entry) => [entry.token, entry.rule, entry.reading])).toEqual([
      ['/r', 'S0', 'mode r'],
      ['E00', 'S3', "base name 'E00'"],
      ['/l', 'S5', 'switch l'],
      ['/data/logs', 'S7', "value of l: '/data/logs'"],
      ['/d', 'S5', 'switch d without value'],
      ['/i', 'S5', 'switch i'],
      ['--explain-args', '', 'long option'],
    ]);
  });
});

describe('any tokens at all', () => {
  const pieces = [
    '/',
    '-',
    '--',
    '//',
    '/.',
    'm',
    'h',
    'r',
    'E00',
    'f.edb',
    'l',
    ':',
    '=',
    'p',
    '5',
    '*',
    '?',
    '"',
    '“',
    '”',
    '–',
    ' ',
    '',
    '\\',
    'C:\\x',
    'json',
    'until',
    'vssrec',
    'k',
    'n',
    'd',
    'c8',
    '/data/x',
  ];
  const token = fc.array(fc.constantFrom(...pieces), { maxLength: 4 }).map((parts) => parts.join(''));
  const line = fc.array(fc.oneof(token, fc.string()), { maxLength: 6 });

  test('are a command or a usage error', () => {
    fc.assert(
      fc.property(
        line,
        fc.constantFrom('posix' as const, 'windows' as const),
        fc.boolean(),
        (argv, platform, exists) => {
          const machine = {
            platform,
            probe: () => (exists ? ('file' as const) : null),
            holdsRestoreEnv: () => exists,
          };
          try {
            const command = parseSlashArguments(argv, machine);
            expect(['help', 'version', 'mode']).toContain(command.kind);
          } catch (error) {
            expect(error).toBeInstanceOf(UsageError);
          }
        },
      ),
      { numRuns: 3000, seed: 1 },
    );
  });
});
