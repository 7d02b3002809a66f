import { setTimeout as sleep } from 'node:timers/promises';
import type { FileSystem } from '../io/file-system.js';
import { randomBelow, seededRandom } from '../io/seeded-random.js';
import type { ProgramName, ProgramRun, Programs, StartedProgram } from './programs.js';

/**
 * The first drill: a database is created and loaded, the program that loads it is killed, the log stream is
 * recovered, and every row that the journal promises is looked for. Each step is a command that a user can type.
 */
export interface FirstDrillOptions {
  readonly fs: FileSystem;
  readonly programs: Programs;
  /** Where the drill takes place: an empty folder. */
  readonly folder: string;
  readonly seed: number;
  readonly say: (line: string) => void;
  /** Milliseconds, for durations. */
  readonly now: () => number;
  readonly signal?: AbortSignal;
}

export interface DrillStep {
  /** What a user would type. */
  readonly command: string;
  readonly exit: number | null;
  readonly elapsedMs: number;
  readonly ok: boolean;
}

/** What came of a drill (format specification, chapter 11.6). */
export interface DrillReport {
  readonly name: string;
  readonly seed: number;
  readonly folder: string;
  readonly steps: readonly DrillStep[];
  readonly verdict: 'pass' | 'fail';
  /** Journalled transactions that are not there; null where that was not found out. */
  readonly loss: { readonly entries: number; readonly first: null; readonly last: null } | null;
  readonly typed: readonly string[];
  /** Transactions in the journal when the load was killed. */
  readonly journalled: number;
}

const DATABASE = 'drill.edb';
const JOURNAL = 'drill.journal';
const BASE_NAME = 'E00';
/** So many rows that the load is killed long before its end. */
const ROWS = 10_000_000;
const KILL_AFTER_LEAST = 120;
const KILL_AFTER_MOST = 360;
const KILL_DELAY_MS = 30;
const POLL_MS = 5;
const LOG_KIB = 256;
const CHECKPOINT_DEPTH_KIB = 512;

/** Lines of a header dump that tell the state of a database. */
const STATE_LINES = /^\s*(?:State|Log Required|Log Committed|Last Consistent|Last Attach|Last Detach): /;

/** Runs the drill. Rejects when a program cannot even be started. */
export async function runFirstDrill(options: FirstDrillOptions): Promise<DrillReport> {
  const { fs, programs, folder, seed, say, now, signal } = options;
  const random = seededRandom(seed);
  const steps: DrillStep[] = [];
  const typed: string[] = [];
  let journalled = 0;
  let missing: number | null = null;

  const command = (program: string, args: readonly string[]): string => [program, ...args].join(' ');
  const begin = (text: string, why: string): void => {
    signal?.throwIfAborted();
    say('');
    say(`# ${why}`);
    say(`$ ${text}`);
    typed.push(text);
  };
  const end = (text: string, exit: number | null, started: number, ok: boolean): boolean => {
    steps.push({ command: text, exit, elapsedMs: Math.round(now() - started), ok });
    return ok;
  };
  const step = async (
    why: string,
    program: ProgramName,
    args: readonly string[],
    judge: (run: ProgramRun) => readonly string[] | undefined = (run) => shown(run, /\S/),
  ): Promise<boolean> => {
    const text = command(program, args);
    begin(text, why);
    const started = now();
    const run = await programs.run(program, args);
    const lines = run.exit === 0 ? judge(run) : undefined;
    for (const line of lines ?? shown(run, /\S/)) say(`  ${line}`);
    if (lines === undefined) say(`  => not as it should be (exit code ${run.exit})`);
    return end(text, run.exit, started, lines !== undefined);
  };
  const state = (wanted: string) => (run: ProgramRun) =>
    run.stdout.includes(`State: ${wanted}`) ? shown(run, STATE_LINES) : undefined;

  say(`cd ${folder}`);
  typed.push(`cd ${folder}`);
  const create = ['create', DATABASE, '--log-size', String(LOG_KIB)];
  const load = [
    ...['load', DATABASE, '--rows', String(ROWS), '--seed', String(seed), '--journal', JOURNAL],
    ...['--checkpoint-depth', String(CHECKPOINT_DEPTH_KIB)],
  ];
  const isDone =
    (await step('A new database with its log stream.', 'esekit', create)) &&
    (await killedLoad()) &&
    (await step('The database was not shut down.', 'eseutil', ['/mh', DATABASE], state('Dirty Shutdown'))) &&
    (await step('Are the logs that it requires there, and sound?', 'eseutil', ['/ml', BASE_NAME], (run) =>
      shown(run, /Log file: |damaged/),
    )) &&
    (await step('Soft recovery: redo what the logs hold, undo what did not commit.', 'eseutil', [
      ...['/r', BASE_NAME, '/l', '.', '/s', '.', '/d', '.'],
    ])) &&
    (await step('The database is whole again.', 'eseutil', ['/mh', DATABASE], state('Clean Shutdown'))) &&
    (await step('Every page has a valid checksum.', 'eseutil', ['/k', DATABASE], (run) =>
      shown(run, /pages seen|bad checksums|wrong page numbers/i),
    )) &&
    (await verify()) &&
    (await step('And the rows, for everybody to read.', 'esekit', ['export', DATABASE, '--out', 'exported']));

  const verdict = isDone ? 'pass' : 'fail';
  say('');
  say(
    isDone
      ? `VERDICT: PASS. All ${journalled} transactions whose commit had returned before the kill are there, and nothing else is.`
      : 'VERDICT: FAIL.',
  );
  const loss = missing === null ? null : { entries: missing, first: null, last: null };
  return { name: 'first', seed, folder, steps, verdict, loss, typed, journalled };

  /** Loads until enough transactions are in the journal, and a moment longer. */
  async function killedLoad(): Promise<boolean> {
    const text = command('esekit', load);
    const wanted = KILL_AFTER_LEAST + randomBelow(random, KILL_AFTER_MOST - KILL_AFTER_LEAST);
    const delay = randomBelow(random, KILL_DELAY_MS);
    begin(`${text} &`, 'A load; the journal tells which transactions were promised to be durable.');
    const started = now();
    const loader = programs.start('esekit', load);
    try {
      while (loader.isRunning() && linesOf(fs, `${folder}/${JOURNAL}`) <= wanted) {
        await sleep(POLL_MS);
        signal?.throwIfAborted();
      }
      await sleep(delay);
    } finally {
      loader.kill();
    }
    return killed(loader, text, started);
  }

  async function killed(loader: StartedProgram, text: string, started: number): Promise<boolean> {
    const { exit, stderr } = await loader.ended;
    if (exit !== null) {
      say(`  => the load ended by itself, exit code ${exit}: ${stderr}`);
      return end(text, exit, started, false);
    }
    end(text, exit, started, true);
    const kill = `kill -KILL ${loader.pid}`;
    begin(kill, 'Whoever loads it gets no chance to tidy up.');
    journalled = linesOf(fs, `${folder}/${JOURNAL}`) - 1;
    say(`  killed with ${journalled} transactions in the journal`);
    return end(kill, 0, now(), true);
  }

  async function verify(): Promise<boolean> {
    const args = ['verify', DATABASE, '--journal', JOURNAL];
    return step('Is everything there that the journal promises, and nothing else?', 'esekit', args, (run) => {
      missing = run.exit === 0 ? 0 : null;
      return shown(run, /\S/);
    });
  }
}

/** The lines of what a program printed that belong to its subject, not to its banner. */
function shown({ stdout, stderr }: ProgramRun, wanted: RegExp): string[] {
  const BANNER = /^(?:Extensible Storage Engine|Version |esekit |Copyright|Initiating |Operation completed)/;
  return `${stdout}\n${stderr}`.split('\n').filter((line) => wanted.test(line) && !BANNER.test(line));
}

/** Whole lines of a file; 0 where there is none yet. */
function linesOf(fs: FileSystem, path: string): number {
  if (!fs.exists(path)) return 0;
  const file = fs.open(path, 'read');
  try {
    const bytes = new Uint8Array(file.size());
    let lines = 0;
    for (const byte of bytes.subarray(0, file.readAt(bytes, 0))) if (byte === 0x0a) lines++;
    return lines;
  } finally {
    file.close();
  }
}
