/** What a subcommand of `esekit` gets and gives. */

import type { EseError } from '../format/ese-error.js';
import type { WarningReport } from '../maintenance/report-values.js';
import type { CliHost } from './host.js';

/** Options by name as typed; every subcommand states the ones it reads. */
export type VerbOptions = Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>;

export interface VerbContext {
  readonly host: CliHost;
  readonly options: VerbOptions;
  /** stdout carries the JSON document alone. */
  readonly jsonOwnsStdout: boolean;
  /** Prints a line of text; nothing under `--json`. */
  say(line: string): void;
  /** Adds a warning to the report; without `--json` it is printed to stderr. */
  warn(warning: WarningReport): void;
  /** Set when the user interrupts. */
  readonly signal: AbortSignal;
}

export interface VerbOutcome {
  readonly result: object | null;
  readonly error?: EseError;
  /** The user's signal has stopped the work before its end: the result says how far it came. */
  readonly interrupted?: boolean;
  /** The judgement that was asked for is a bad one: exit code 6. */
  readonly findingsRemain?: boolean;
  /** The output was a stream of rows, which has no envelope: an error ends it with a line of its own. */
  readonly streamed?: boolean;
}

export interface Verb {
  /** May work for long without letting events in: it cannot be told of a signal, and gets a thread of its own. */
  readonly blocks?: true;
  /** Whether the command changes or creates files: it then goes on to its end although stdout is closed. */
  writes?(options: VerbOptions): boolean;
  run(context: VerbContext): VerbOutcome | Promise<VerbOutcome>;
}
