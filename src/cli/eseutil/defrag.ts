/** `/d`: offline defragmentation (format specification, chapters 6.1.5, 6.2.10 and 11.4.2). */

import { EseError } from '../../format/ese-error.js';
import { replaceFile } from '../../io/replace-file.js';
import { seededRandom } from '../../io/seeded-random.js';
import type { DefragReport, DefragTable } from '../../maintenance/defrag.js';
import {
  forcedPageSize,
  hasSwitch,
  type Mode,
  type ModeContext,
  type ModeOutcome,
  switchValue,
} from '../mode.js';
import { askOkCancel } from '../question.js';
import { meantTarget, sourceFile } from '../typed-path.js';

const STATISTICS_FILE = 'DFRGINFO.TXT';
/** The format of the copy is that of the original; other formats are not written. */
const FORMAT_KEPT = 'usepersistedformat';

const NOTE: readonly string[] = [
  'Note:',
  '  It is recommended that you immediately perform a full backup',
  '  of this database. If you restore a backup made before the',
  '  defragmentation, the database will be rolled back to the state',
  '  it was in at the time of that backup.',
];

export const defragMode: Mode = {
  heading: 'DEFRAGMENTATION',
  longRunning: true,
  writes: () => true,
  run: async (context) => {
    const { host, command, say } = context;
    const source = sourceFile(host, command.positional, 'source file');
    const names = pathNames(context, source);
    printParameters(context, names);
    refuseOtherFormat(context);
    noteStreamingFile(context);
    if (isDeclined(context)) {
      return { result: null, error: new EseError('JET_errInvalidParameter', 'declined'), declined: true };
    }
    const outcome = await run(context, source, names);
    const { result, error } = outcome;
    if (error !== undefined) return outcome;
    if (result?.installed === false) say(`The defragmented database is '${names.shown(names.temp)}'.`);
    say();
    for (const line of NOTE) say(line);
    return outcome;
  },
};

/** The paths of a run, and how they were typed. */
interface PathNames {
  readonly temp: string;
  readonly backup: string | undefined;
  shown(path: string): string;
}

function pathNames({ host, command }: ModeContext, source: string): PathNames {
  const typedTemp = switchValue(command, 't');
  const typedBackup = switchValue(command, 'b');
  const name = `TEMPDFRG${host.pid}.EDB`;
  const temp = typedTemp == null ? name : meantTarget(host, typedTemp);
  const backup = typedBackup == null ? undefined : meantTarget(host, typedBackup);
  const typed = new Map<string, string>([
    [source, command.positional ?? source],
    [temp, typedTemp ?? `.\\${name}`],
    ...(backup === undefined ? [] : [[backup, typedBackup ?? backup] as const]),
  ]);
  return { temp, backup, shown: (path) => typed.get(path) ?? path };
}

function printParameters({ command, profile, say }: ModeContext, names: PathNames): void {
  say(`            Database: ${command.positional}`);
  if (profile === 'e2003' || profile === 'e2000') {
    say(`      Streaming File: ${switchValue(command, 's') ?? 'NONE'}`);
    say(`      Temp. Database: ${names.shown(names.temp)}`);
  }
}

function refuseOtherFormat({ command }: ModeContext): void {
  const version = switchValue(command, 'efv') ?? switchValue(command, 'u');
  if (version == null || version.toLowerCase() === FORMAT_KEPT) return;
  throw new EseError(
    'JET_errFeatureNotAvailable',
    'the copy has the format of the original; other engine format versions are not available in this version',
  );
}

function noteStreamingFile({ command, warn }: ModeContext): void {
  if (!hasSwitch(command, 's', 'f', 'i')) return;
  const message = 'streaming file options are ignored: database has no streaming file';
  warn({ code: null, name: 'StreamingFileIgnored', message });
}

/** The question that printed recipes mention; the original asks nothing, so a script is not asked either. */
function isDeclined(context: ModeContext): boolean {
  const { command, profile } = context;
  if (profile === 'win' || command.long.has('yes') || hasSwitch(command, 'o')) return false;
  return askOkCancel(context, `Defragment '${command.positional}'? (OK/Cancel) `) === false;
}

interface DefragOutcome extends ModeOutcome {
  readonly result: DefragReport | null;
}

async function run(context: ModeContext, source: string, names: PathNames): Promise<DefragOutcome> {
  const { host, command, say } = context;
  const { defragment } = await import('../../maintenance/defrag.js');
  const bar = context.progress('Defragmentation Status (% complete)');
  const tables: DefragTable[] = [];
  let known: DefragReport | null = null;
  let hasMoved = false;
  try {
    const seed = command.long.get('seed');
    const { environment } = host;
    const seeded = seed == null ? environment : { ...environment, random: seededRandom(Number(seed)) };
    const result = await defragment(seeded, source, {
      temp: names.temp,
      backup: names.backup,
      preserveTemp: hasSwitch(command, 'p'),
      skipSpaceCheck: command.long.has('no-space-check'),
      keepsIds: command.long.has('keep-ids'),
      mergesLongValues: command.long.has('dedupe-lv'),
      recomputesIndexes: command.long.has('rebuild-indexes'),
      keepsTemp: command.long.has('keep-temp'),
      pageSize: forcedPageSize(command),
      workers: context.workers,
      signal: context.signal,
      onProgress: bar.update,
      onTable: (table) => tables.push(table),
      onLeftover: (path) =>
        context.warn({
          code: null,
          name: 'LeftoverRemoved',
          message: `${path} was removed: a defragmentation that did not come to its end had left it`,
        }),
      onFailure: (report) => {
        known = report;
      },
      onMove: (from, to, isDone) => {
        if (isDone) bar.complete();
        else bar.fail();
        if (!hasMoved) say();
        hasMoved = true;
        say(`Moving '${names.shown(from)}' to '${names.shown(to)}'... ${isDone ? 'DONE!' : 'FAILED!'}`);
        if (!isDone) say(moveFailure(from === source, names.shown(to), names.shown(from)));
      },
    });
    bar.complete();
    for (const finding of result.findings) {
      context.event('finding', finding);
      context.complain(`WARNING: ${finding.message}`);
    }
    if (hasSwitch(command, 'n')) writeStatistics(context, tables);
    return { result };
  } catch (error) {
    bar.fail();
    if (context.signal.aborted) {
      return { result: known, error: new EseError('JET_errInternalError', 'interrupted') };
    }
    if (!(error instanceof EseError)) throw error;
    return { result: known, error };
  }
}

function moveFailure(isBackup: boolean, to: string, from: string): string {
  return isBackup
    ? `Error: Could not backup to '${to}'.`
    : `Error: Could not re-instate '${to}'. It may be manually re-instated by moving '${from}' to '${to}'.`;
}

const STATISTICS_COLUMNS: readonly (readonly [
  heading: string,
  value: (table: DefragTable) => string | number,
])[] = [
  ['Table Name', ({ name }) => name],
  ['# Columns', ({ columns }) => columns],
  ['# Secondary Indexes', ({ indexes }) => indexes],
  ['Pages Owned (Source DB)', ({ pagesOwned }) => pagesOwned],
  ['Pages Avail. (Source DB)', ({ pagesAvailable }) => pagesAvailable],
  ['# Records Copied', ({ records }) => records],
  ['# Long Values Copied', ({ longValues }) => longValues],
  ['Pages Owned (Dest. DB)', ({ pagesWritten }) => pagesWritten],
];

/** Tab-separated figures of each table, in the current directory. */
function writeStatistics({ host }: ModeContext, tables: readonly DefragTable[]): void {
  const lines = [
    STATISTICS_COLUMNS.map(([heading]) => heading),
    ...tables.map((table) => STATISTICS_COLUMNS.map(([, value]) => value(table))),
  ];
  const text = lines.map((line) => `${line.join('\t')}\n`).join('');
  replaceFile(host.environment, STATISTICS_FILE, Buffer.from(text, 'utf8'));
}
