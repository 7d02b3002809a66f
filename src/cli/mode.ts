/** What a mode of `eseutil` gets and gives: parse, call one library function, print its report. */

import type { EseError } from '../format/ese-error.js';
import type { WarningReport } from '../maintenance/report-values.js';
import type { Profile } from './classic-text.js';
import type { CliHost } from './host.js';
import type { ProgressBar } from './progress-bar.js';
import type { ModeCommand } from './slash-command.js';

export interface ModeContext {
  readonly host: CliHost;
  readonly command: ModeCommand;
  readonly profile: Profile;
  /** Prints a line of the classic text; nothing under `--json`. */
  say(line?: string): void;
  /** Prints a line to stderr, as the original does with checksum errors; nothing under `--json`. */
  complain(line: string): void;
  /** Adds a warning to the report without printing it: the text says it in its own place. */
  note(warning: WarningReport): void;
  /** Adds a warning and prints it to stderr. */
  warn(warning: WarningReport): void;
  /** Starts the progress bar where there is a terminal to draw it on. */
  progress(title: string): ProgressBar;
  /** One event of `--jsonl`. */
  event(kind: 'finding' | 'log', content: object): void;
  /** Set when the user interrupts. */
  readonly signal: AbortSignal;
  /** Whether the report itself will be printed, so that long lists are worth keeping. */
  readonly wantsReport: boolean;
  /** Items that an unbounded array of a report may hold. */
  readonly jsonLimit: number;
  /** `--workers`, or `undefined` = as many as pay. */
  readonly workers: number | undefined;
}

export interface ModeOutcome {
  /** The report in the shape of the JSON output; `null` before the file could be read. */
  readonly result: object | null;
  /** The error that ends the run, although there is a report. */
  readonly error?: EseError;
  /** A positive JET code: `Operation completed successfully with 585 (…)`. It is among the warnings too. */
  readonly warning?: WarningReport;
  /** What was asked for was done, but something was lost by it (exit 4). */
  readonly lost?: boolean;
  /** The error is the answer to a question, or nobody could be asked: nothing was changed (exit 5). */
  readonly declined?: boolean | 'noTerminal';
  /** Ends with `Operation terminated unsuccessfully`: the input could not be read to its end. */
  readonly unsuccessful?: boolean;
}

export interface Mode {
  /** The words between `Initiating` and `mode...`; `null` = the mode prints no such line. */
  readonly heading: string | null;
  /** Yields while it works, so that an interruption can stop it at a safe point. */
  readonly longRunning?: true;
  /** May work for long without letting events in: a run that owes a JSON document gets a thread of its own. */
  readonly blocks?: true;
  /** Whether the command changes or creates files: it then goes on to its end although stdout is closed. */
  writes?(command: ModeCommand): boolean;
  run(context: ModeContext): ModeOutcome | Promise<ModeOutcome>;
}

/** Whether a switch was given. */
export function hasSwitch(command: ModeCommand, ...names: readonly string[]): boolean {
  return command.switches.some((use) => names.includes(use.name));
}

/** The value of a switch: `undefined` = not given, `null` = given without value. */
export function switchValue(command: ModeCommand, name: string): string | null | undefined {
  return command.switches.find((use) => use.name === name)?.value;
}

const PAGE_SIZE_SWITCHES = ['2', '4', '8', '16', '32', '1', '3'];

/** The page size that `/4`, `/8`… force, in bytes; the original reads their first digit only. */
export function forcedPageSize(command: ModeCommand): number | undefined {
  const use = command.switches.find(({ name }) => PAGE_SIZE_SWITCHES.includes(name));
  if (use === undefined) return undefined;
  const kibibytes: Readonly<Record<string, number>> = { '1': 16, '3': 32 };
  return 1024 * (kibibytes[use.name] ?? Number(use.name));
}
