/** Help: the general page, one page a mode, and the prompt between them (format specification, chapter 6.1.4). */

import { banner, profileOf } from './classic-text.js';
import { EXIT } from './exit-codes.js';
import type { CliHost } from './host.js';
import { openJsonOutput } from './json-output.js';
import type { ModeLetter } from './mode-switches.js';
import type { HelpCommand } from './slash-command.js';

const LABEL_WIDTH = 22;
const SWITCH_WIDTH = 18;

interface ModePage {
  readonly label: string;
  readonly summary: string;
  /** The line of the general help. */
  readonly syntax: string;
  readonly options: readonly (readonly [form: string, meaning: string])[];
  readonly notes?: readonly string[];
}

const SOURCE_OPTIONS = [
  ['/2 /4 /8 /16 /32', 'page size in KiB, where it cannot be told from the file'],
  ['/o', 'suppress the banner'],
] as const;

const NOT_YET = 'This mode is not available in this version.';

/** Pages in the order of the general help; `z` is accepted but, as in the original, not listed. */
const PAGES: ReadonlyMap<ModeLetter, ModePage> = new Map([
  [
    'd',
    {
      label: 'Defragmentation',
      summary: 'Writes a compact copy of a clean database and puts it in its place.',
      syntax: '/d <database name> [options]',
      options: [
        ['/t<db>', 'temporary (target) database; default TEMPDFRG<pid>.EDB in the current directory'],
        ['/p', 'preserve: leave the compact copy in the temporary file'],
        ['/b<db>', 'move the original to this name before the copy is installed'],
        ['/n', 'write statistics to DFRGINFO.TXT'],
        ['--no-space-check', 'do not ask for 110 % of the space in use'],
        ['--keep-ids', 'keep the numbers of trees, columns and long values'],
        ['--keep-temp', 'leave the unfinished copy there if the work fails'],
        ['--dedupe-lv', 'let one of several equal long values of a table stand for all of them'],
        [
          '--rebuild-indexes',
          'compute the entries of indexes from the rows, too, and compare them with the copied ones',
        ],
        ['--seed <n>', 'choose the random numbers: the same copy for the same database, but for times'],
        ['--workers <n>', 'number of worker threads'],
        ...SOURCE_OPTIONS,
      ],
      notes: [
        'The database stays as it is until the copy is complete and verified.',
        'It must have been shut down cleanly; a damaged one is to be repaired (/p) first.',
      ],
    },
  ],
  [
    'r',
    {
      label: 'Recovery',
      summary: 'Soft recovery: replays a log stream until its databases are consistent.',
      syntax: '/r <3-character logfile base name> [options]',
      options: [
        ['/l<path>', 'directory of the log files; default: the current directory'],
        ['/s<path>', 'system directory with the checkpoint; default: the current directory'],
        ['/i', 'ignore databases that are missing or do not belong to the logs'],
        ['/d[path]', 'look for the databases in this directory; without path: the current one'],
        ['/n<new>[:<old>]', 'relocate one database; repeatable; /n* leaves the others where they were'],
        ['/t', 'delete logs that are no longer needed afterwards'],
        ['/a', 'accept the loss of committed logs'],
        ['/u[gen]', 'stop before undo, or at a generation'],
        ['/k<db>, /kf<db>', 'then cut free pages at the end of this database off; /kf leaked ones, too'],
        ['/p<db>', 'then make leaked pages of this database available'],
        ['/c5, /c8', '5 or 8 digits in the names of new logs; also --log-digits=<5|8>'],
        ['/v', 'one line for each log instead of the progress bar'],
        ['/e', 'begin a new log stream where there is none'],
        ['--dry-run', 'print what would be done and stop'],
        ['--until=<pos|time>', 'stop at a log position or time'],
        ['--workers <n>', 'number of worker threads'],
        ...SOURCE_OPTIONS,
      ],
    },
  ],
  [
    'g',
    {
      label: 'Integrity',
      summary: 'Checks the structure of a database without changing it.',
      syntax: '/g <database name> [options]',
      options: [
        ['/t<db>', 'temporary database; default TEMPINTEG<pid>.EDB'],
        ['/f<name>', 'prefix of the report file; default: the name of the database'],
        ['/n', 'write statistics to a file'],
        ['/b', 'do not rebuild and compare indexes'],
        ['--workers <n>', 'number of worker threads'],
        ...SOURCE_OPTIONS,
      ],
    },
  ],
  [
    'k',
    {
      label: 'Checksum',
      summary: 'Verifies the checksums of a database, log, checkpoint or whole log stream.',
      syntax: '/k <file name or logfile base name> [options]',
      options: [
        ['/p[n]', 'pause one second after every n pages (default 100)'],
        ['/e', 'do not checksum the database file'],
        ['--max-mbps <x>', 'read no more than x MB in a second'],
        ['--workers <n>', 'number of worker threads'],
        ...SOURCE_OPTIONS,
      ],
    },
  ],
  [
    'p',
    {
      label: 'Repair',
      summary: 'Repairs a damaged database. What cannot be read is lost.',
      syntax: '/p <database name> [options]',
      options: [
        ['/t<db>', 'temporary database; default TEMPREPAIR<pid>.EDB'],
        ['/f<name>', 'prefix of the report file'],
        ['/g', 'run the integrity check first and ask before repairing'],
        ['/n', 'write statistics to <prefix>.REPAIR.TXT'],
        ['/o', 'suppress the banner and the question'],
        ['--yes', 'answer the question'],
        ['--out <db>', 'repair into a new file; the source stays as it is'],
        ['--undo-file <file>', 'where changed pages are kept as they were; default <db>.repair-undo'],
        ['--no-undo', 'keep nothing of what is changed'],
        ['--undo <file>', 'take a repair back, byte for byte'],
        ['--keep-lost <dir>', 'keep damaged pages and lost records there'],
        ['--deep', 'list the records on free pages, which may have been deleted by mistake'],
        ['--force-header', 'make a header from what the pages say, if both copies are damaged'],
        ['--lv <what>', 'values with missing parts: null (default), zero, truncate, drop-record'],
        ['--unique <what>', 'records with one key of a unique index: demote (default), drop-older, fail'],
        ['--schema-from <db>', 'a database with the definitions of tables that the catalog has lost'],
        ['--keep-orphans', 'keep long values that no record refers to'],
        ['--strict', 'leave out records that no checksum speaks for'],
        ['--no-space-check', 'do not look at the free space first'],
        ['--workers <n>', 'number of worker threads'],
        ...SOURCE_OPTIONS,
      ],
      notes: [
        'The source is untouched until a repaired copy is verified; it then takes its place in one step.',
        'The exit code is 4 if anything was lost.',
      ],
    },
  ],
  [
    'm',
    {
      label: 'File Dump',
      summary: 'Prints what a database, log or checkpoint holds. The file is opened for reading only.',
      syntax: '/m[mode-modifier] <file name> [options]',
      options: [
        ['/mh <db>', 'database header; /v both copies (the default of /m)'],
        ['/mk <file>', 'checkpoint file'],
        ['/ml <file|base>', 'one log, or with a 3-character base name the whole stream'],
        ['   /v[1|2]', 'the log records, with their data at 2'],
        ['   /s', 'summary of page references'],
        ['   /c<file>', 'records as comma-separated values'],
        ['   /x', 'write torn segments back from their shadows (the only dump that writes)'],
        ['   /r<hex>[-<hex>]', 'generations of the stream'],
        ['/mm <db>', 'catalog; /v columns and indexes, /t<table> one table'],
        ['/ms <db>', 'space; /v small trees too, /d[1|2] extents, /l leaks, /f<fields>, /csv, /t<table>'],
        [
          '/mc <db>',
          'what each page is used for; /f follow every tree, /v one line a page, /p<n>[:<m>|:max]',
        ],
        ['/mn <db>', 'nodes; /a deleted ones too, /t<table>'],
        ['/mp <file>', 'flush map (.jfm); /p<n> one of its pages'],
        ['/p<pgno>', 'with any modifier: one page (-1 header, 0 shadow); /k<key> /d<data> finds a node'],
        ['/n<pgno>:<line>', 'one node'],
        ['/i<pgno>:<itag>', 'one tag'],
        ...SOURCE_OPTIONS,
      ],
    },
  ],
  [
    'y',
    {
      label: 'Copy File',
      summary: 'Copies a large file.',
      syntax: '/y <source file> [options]',
      options: [
        ['/d<file>', 'destination; default: the same name in the current directory'],
        ['/i', 'go on over read errors: what cannot be read is zero in the copy'],
        ['--force', 'replace an existing destination'],
        ['--verify', 'read both files once more and compare them'],
        ['/o', 'suppress the banner'],
      ],
    },
  ],
  [
    'c',
    {
      label: 'Restore',
      summary: 'Hard recovery of a restored backup set.',
      syntax: '/c[mode-modifier] <restore directory> [options]',
      options: [
        ['/cm [dir]', 'print restore.env'],
        ['/cc [dir]', 'replay the restored logs, and those after them'],
        ['   /t[instance]', 'play the logs of this instance; without value only the restored ones'],
        ['   /f<path>', 'directory with further logs'],
        ['   /k', 'keep the restore files'],
        ['/o', 'suppress the banner'],
      ],
      notes: [NOT_YET],
    },
  ],
] satisfies [ModeLetter, ModePage][]);

const SECURE_PAGE: ModePage = {
  label: 'Secure',
  summary: 'Zeroes deleted records.',
  syntax: '/z <database name> [options]',
  options: [
    ['/t', 'trim the file instead'],
    ['/o', 'suppress the banner'],
  ],
  notes: [NOT_YET],
};

const LONG_OPTION_LINES = [
  ['--json[=<file>]', 'one JSON document instead of the text, or beside it in a file'],
  ['--jsonl', 'events, one JSON object a line'],
  ['--compat=<profile>', 'win, exch, e2003 or e2000: wording of the text output'],
  ['--progress=<when>', 'always, never or auto (the default: on a terminal)'],
  ['--exit-jet', 'exit with the low byte of the JET error instead of its class'],
  ['--explain-args', 'print how every token is read, and do nothing'],
  ['--', 'everything after it is a path'],
] as const;

function optionLines(options: readonly (readonly [string, string])[]): string[] {
  return options.map(([form, meaning]) => `    ${form.padEnd(SWITCH_WIDTH)}  ${meaning}`);
}

/** The page of one mode. */
function modePage(letter: ModeLetter): string[] {
  const page = PAGES.get(letter) ?? SECURE_PAGE;
  return [
    `${page.label.toUpperCase()}:`,
    `    DESCRIPTION:  ${page.summary}`,
    `         SYNTAX:  eseutil ${page.syntax}`,
    '        OPTIONS:',
    ...optionLines(page.options),
    ...(page.notes ?? []).map((note) => `          NOTES:  ${note}`),
    '',
    '    Long options of every mode:',
    ...optionLines(LONG_OPTION_LINES),
    '',
  ];
}

/** The general page: what the program is for, and one line a mode. */
function generalPage(): string[] {
  return [
    'DESCRIPTION:  Reads, verifies, recovers and repairs ESE databases and their log files.',
    '',
    'MODES OF OPERATION:',
    ...[...PAGES.values()].map((page) => `${page.label.padStart(LABEL_WIDTH)}:  eseutil ${page.syntax}`),
    '',
    'Switches may be written with - instead of /; where / begins a path, - is the safer form.',
    '',
  ];
}

const PROMPT = '<<<<<  Press a key for more help  >>>>>';

function legend(): string {
  return [...PAGES].map(([letter, page]) => `${letter}=${page.label}`).join(', ');
}

/**
 * Answers `/?`, `/d /?`, `--help`. On a terminal `/?` asks for a letter; everything else prints every page and
 * never waits.
 */
export function printHelp(command: HelpCommand, host: CliHost, started: number): number {
  const exit = command.asked ? EXIT.done : EXIT.usage;
  const json = openJsonOutput('eseutil', command.long, host);
  json.end({
    mode: 'help',
    file: null,
    exit,
    ...(command.asked ? {} : { error: { code: null, name: 'UsageError', message: 'no mode was given' } }),
    warnings: [],
    elapsedMs: host.now() - started,
    result: null,
  });
  if (json.ownsStdout) return exit;
  const profile = profileOf(host.programName, command.long.get('compat'));
  const print = (lines: readonly string[]) => host.terminal.out(`${lines.join('\n')}\n`);
  print(['', ...banner(profile)]);
  if (command.mode !== null) {
    print(modePage(command.mode));
    return exit;
  }
  print(generalPage());
  if (asks(host) && !command.asked) askForPage(host, print);
  else for (const letter of PAGES.keys()) print(modePage(letter));
  return exit;
}

/** After a usage error: the general page, and on a terminal the offer of more. */
export function printUsageHelp(host: CliHost): void {
  const print = (lines: readonly string[]) => host.terminal.out(`${lines.join('\n')}\n`);
  print(['', ...banner(profileOf(host.programName, undefined)), ...generalPage()]);
  if (asks(host)) askForPage(host, print);
}

function asks(host: CliHost): boolean {
  return host.terminal.stdinIsTerminal && host.terminal.stdoutIsTerminal;
}

function askForPage(host: CliHost, print: (lines: readonly string[]) => void): void {
  host.terminal.out(`${PROMPT}\n(${legend()})\n=> `);
  const answer = host.terminal.readLine()?.trim().toLowerCase().charAt(0);
  const chosen = [...PAGES.keys()].find((letter) => letter === answer);
  if (chosen !== undefined) print(['', ...modePage(chosen)]);
}
