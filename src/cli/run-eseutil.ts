/**
 * One run of `eseutil`: arguments, banner, mode, final line or JSON document, exit code (format specification,
 * chapters 6.2.1, 6.2.14 and 11).
 */

import { EseError } from '../format/ese-error.js';
import { type ErrorReport, errorReport, type WarningReport } from '../maintenance/report-values.js';
import {
  banner,
  errorLine,
  lineOfProfile,
  type Profile,
  packageVersion,
  profileOf,
  successLine,
  unsuccessfulLine,
  warningLine,
} from './classic-text.js';
import { jsonModeOf, loadMode } from './eseutil-modes.js';
import { EXIT, exitCodeOfError } from './exit-codes.js';
import { type CliHost, OutputClosed, OutputFailed } from './host.js';
import { type Envelope, openJsonOutput } from './json-output.js';
import { type LongOptions, wantsJson } from './long-options.js';
import { hasSwitch, type Mode, type ModeContext, type ModeOutcome } from './mode.js';
import { NO_OUTPUT, persistentTerminal, type TextOutput, textOutput } from './output.js';
import { drawProgressBar, NO_PROGRESS, type ProgressBar, withRate } from './progress-bar.js';
import { parseSlashArguments } from './slash-arguments.js';
import type { ModeCommand } from './slash-command.js';
import { MissingArgument, UsageError } from './usage-error.js';

const JSON_LIMIT_DEFAULT = 100_000;

/** Runs one command line; returns the exit code. Never throws but for a closed stdout. */
export async function runEseutil(argv: readonly string[], host: CliHost): Promise<number> {
  const started = host.now();
  const early = wantsJson(argv);
  try {
    const command = parseSlashArguments(argv, {
      platform: host.platform,
      probe: host.probe,
      holdsRestoreEnv: (directory) => holdsRestoreEnv(host, directory),
    });
    switch (command.kind) {
      case 'help': {
        const { printHelp } = await import('./help.js');
        return printHelp(command, host, started);
      }
      case 'version':
        return printVersion(host, command.long);
      case 'mode':
        return command.long.has('explain-args')
          ? explainArguments(host, command)
          : await runMode(command, host, started);
    }
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    return reportUsageError(error, host, early, started);
  }
}

function holdsRestoreEnv(host: CliHost, directory: string): boolean {
  try {
    return host.fs.readdir(directory).some((name) => name.toLowerCase() === 'restore.env');
  } catch (error) {
    if (error instanceof EseError) return false;
    throw error;
  }
}

function printVersion(host: CliHost, long: LongOptions): number {
  const version = packageVersion();
  host.terminal.out(
    long.has('json') ? `${JSON.stringify({ tool: 'eseutil', version })}\n` : `esekit ${version}\n`,
  );
  return EXIT.done;
}

function explainArguments(host: CliHost, command: ModeCommand): number {
  const width = Math.max(...command.readings.map((entry) => entry.token.length));
  for (const { token, rule, reading } of command.readings) {
    host.terminal.out(`${token.padEnd(width)}  ${rule.padEnd(10)}  ${reading}\n`);
  }
  return EXIT.done;
}

async function reportUsageError(
  error: UsageError,
  host: CliHost,
  long: LongOptions,
  started: number,
): Promise<number> {
  const json = openJsonOutput('eseutil', long, host);
  json.end({
    mode: 'usage',
    file: null,
    exit: EXIT.usage,
    error: { code: null, name: 'UsageError', message: [error.message, ...error.hints].join('\n') },
    warnings: [],
    elapsedMs: host.now() - started,
    result: null,
  });
  if (json.ownsStdout) return EXIT.usage;
  const { printUsageHelp } = await import('./help.js');
  host.terminal.out(['', error.message, ...error.hints.map((hint) => `  ${hint}`), ''].join('\n'));
  printUsageHelp(host);
  return EXIT.usage;
}

/** What is left of a run when it has ended, for its last lines. */
interface Ending {
  readonly result: object | null;
  readonly exit: number;
  readonly error?: ErrorReport;
  readonly warning?: WarningReport;
  readonly unsuccessful: boolean;
}

async function runMode(command: ModeCommand, machine: CliHost, started: number): Promise<number> {
  const mode = await loadMode(command);
  const thread =
    mode.blocks === true && (command.long.has('json') || command.long.has('jsonl'))
      ? await machine.ownThread?.()
      : undefined;
  if (thread !== undefined && 'exit' in thread) return thread.exit;
  const persistent = mode.writes?.(command) === true ? persistentTerminal(machine.terminal) : undefined;
  const host = persistent === undefined ? machine : { ...machine, terminal: persistent.terminal };
  const json = openJsonOutput('eseutil', command.long, host);
  const text = json.ownsStdout ? NO_OUTPUT : textOutput(host.terminal);
  const profile = profileOf(host.programName, command.long.get('compat'));
  const jsonMode = jsonModeOf(command);
  const warnings: WarningReport[] = [];
  const bars: ProgressBar[] = [];
  if (thread === undefined) {
    json.event('start', { tool: 'eseutil', mode: jsonMode, file: command.positional });
    printHead(text, command, profile, mode);
  }
  const interruption = mode.longRunning === true ? host.onInterrupt() : undefined;
  const context: ModeContext = {
    host,
    command,
    profile,
    say: (line = '') => text.line(lineOfProfile(line, profile)),
    complain: (line) => {
      if (json.ownsStdout) return;
      text.flush();
      host.terminal.err(`${line}\n`);
    },
    note: (warning) => void warnings.push(warning),
    warn: (warning) => {
      warnings.push(warning);
      if (json.ownsStdout) return;
      text.flush();
      host.terminal.err(`WARNING: ${warning.message}\n`);
    },
    progress: (title) => {
      const bar = json.watchProgress(title, progressBar(title, command, host, text, json.ownsStdout));
      bars.push(bar);
      return bar;
    },
    event: json.event,
    signal: interruption?.signal ?? new AbortController().signal,
    wantsReport: command.long.has('json') || command.long.has('jsonl'),
    jsonLimit: Number(command.long.get('json-limit') ?? JSON_LIMIT_DEFAULT),
    workers: command.long.has('workers') ? Number(command.long.get('workers')) : undefined,
  };

  const ending =
    thread !== undefined
      ? { result: null, exit: EXIT.otherError, error: INTERRUPTED, unsuccessful: false }
      : json.refusal === undefined
        ? await runToItsEnd(mode, context, command.hints, text)
        : endingOf({ result: null, error: json.refusal });
  interruption?.release();
  // A job that came to its end before the signal could stop it is done.
  const signalNumber =
    thread?.signalNumber ?? (ending.error === undefined ? undefined : interruption?.signalNumber());
  const exit = signalNumber === undefined ? ending.exit : EXIT.signal + signalNumber;
  if (exit !== EXIT.done) for (const bar of bars) bar.fail();
  const elapsedMs = host.now() - started;
  const error = signalNumber === undefined ? ending.error : INTERRUPTED;
  printEnd(text, { ...ending, ...(error === undefined ? {} : { error }) }, elapsedMs);
  text.flush();
  const envelope: Envelope = {
    mode: jsonMode,
    file: command.positional,
    exit,
    ...(error === undefined ? {} : { error }),
    warnings,
    elapsedMs,
    result: ending.result,
  };
  if (!json.end(envelope) && exit === EXIT.done) return EXIT.otherError;
  const failure = persistent?.failure();
  if (failure !== undefined) {
    host.terminal.err(`ERROR: ${failure.message}\n`);
    if (exit === EXIT.done) return EXIT.otherError;
  }
  return processExitCode(exit, error, command, host);
}

const INTERRUPTED: ErrorReport = { code: null, name: 'Interrupted', message: 'interrupted' };

/** Blank line, banner, blank line, `Initiating X mode...`. */
function printHead(text: TextOutput, command: ModeCommand, profile: Profile, mode: Mode): void {
  text.line();
  if (!hasSwitch(command, 'o')) for (const line of banner(profile)) text.line(line);
  if (mode.heading !== null) text.line(`Initiating ${mode.heading} mode...`);
}

async function runToItsEnd(
  mode: Mode,
  context: ModeContext,
  hints: readonly string[],
  text: TextOutput,
): Promise<Ending> {
  try {
    if (hasSwitch(context.command, 'vss', 'vssrec', 'vsssystempath', 'vsspause')) {
      throw new EseError('JET_errOSSnapshotNotAllowed');
    }
    return endingOf(await mode.run(context));
  } catch (error) {
    if (error instanceof MissingArgument) {
      text.line(error.message);
      for (const hint of [...error.hints, ...hints]) text.line(`  ${hint}`);
      const missing = new EseError('JET_errInvalidParameter', error.message.replace('Usage Error: ', ''));
      return { result: null, exit: EXIT.usage, error: errorReport(missing), unsuccessful: false };
    }
    if (error instanceof OutputClosed || error instanceof OutputFailed || error instanceof UsageError)
      throw error;
    if (error instanceof EseError) return endingOf({ result: null, error });
    // A bug of ours must not look like a finding about the file, nor print its stack to the user.
    const message = error instanceof Error ? error.message : String(error);
    return endingOf({ result: null, error: new EseError('JET_errInternalError', message) });
  }
}

function endingOf(outcome: ModeOutcome): Ending {
  const { result, error, warning } = outcome;
  const unsuccessful = outcome.unsuccessful === true;
  if (error !== undefined && outcome.declined !== undefined && outcome.declined !== false) {
    const name = outcome.declined === 'noTerminal' ? 'NoTerminal' : 'Declined';
    return { result, exit: EXIT.refused, error: { ...errorReport(error), name }, unsuccessful };
  }
  if (error !== undefined) {
    const exit = unsuccessful ? EXIT.otherError : exitCodeOfError(error);
    return { result, exit, error: errorReport(error), unsuccessful };
  }
  return {
    result,
    exit: outcome.lost === true ? EXIT.doneWithLoss : EXIT.done,
    ...(warning === undefined ? {} : { warning }),
    unsuccessful,
  };
}

function printEnd(text: TextOutput, ending: Ending, elapsedMs: number): void {
  text.line();
  const { error, warning } = ending;
  if (ending.unsuccessful || (error !== undefined && error.code === null)) {
    text.line();
    text.line(unsuccessfulLine(elapsedMs));
    text.line();
  } else if (error !== undefined && error.code !== null) {
    text.line();
    // Who declined knows it; whoever reads the text looks for the name of the number.
    const isAnswer = error.name === 'Declined' || error.name === 'NoTerminal';
    const name = isAnswer ? 'JET_errInvalidParameter' : error.name;
    text.line(errorLine(error.code, name, placedMessage(error), elapsedMs));
    text.line();
  } else if (warning !== undefined && warning.code !== null) {
    text.line(warningLine(warning.code, warning.name, warning.message, elapsedMs));
  } else {
    text.line(successLine(elapsedMs));
  }
  text.line();
}

/** The message with its place, in one line whatever the file is called. */
function placedMessage({ message, file, pgno, lgpos }: ErrorReport): string {
  const place = [file, pgno === undefined ? undefined : `page ${pgno}`, lgpos].filter(
    (part) => part !== undefined,
  );
  const whole = place.length === 0 ? message : `${message}: ${place.join(', ')}`;
  return whole.replace(/[\r\n]+/g, ' ');
}

function progressBar(
  title: string,
  command: ModeCommand,
  host: CliHost,
  text: TextOutput,
  jsonOwnsStdout: boolean,
): ProgressBar {
  const { terminal } = host;
  const wish = command.long.get('progress') ?? 'auto';
  if (wish === 'never') return NO_PROGRESS;
  const always = wish === 'always';
  const draw = (write: (text: string) => void, isTerminal: boolean): ProgressBar => {
    const bar = drawProgressBar(write, title);
    return isTerminal && command.long.has('verbose-progress') ? withRate(bar, write, host.now) : bar;
  };
  if (!jsonOwnsStdout && (always || terminal.stdoutIsTerminal)) {
    // A bar that comes in one piece at the end tells nothing.
    const writeNow = (piece: string): void => {
      text.write(piece);
      text.flush();
    };
    return draw(writeNow, terminal.stdoutIsTerminal);
  }
  if (always || terminal.stderrIsTerminal) return draw(terminal.err, terminal.stderrIsTerminal);
  return NO_PROGRESS;
}

/** POSIX hosts have classes of exit codes; Windows has the number itself, and `--exit-jet` its low byte. */
function processExitCode(
  exit: number,
  error: ErrorReport | undefined,
  command: ModeCommand,
  host: CliHost,
): number {
  const code = error?.code ?? null;
  if (command.long.has('exit-jet')) return code === null ? exit : code & 0xff;
  if (host.platform !== 'windows') return exit;
  if (code !== null) return exit === EXIT.done ? 0 : code;
  return exit === EXIT.done ? 0 : -1;
}
