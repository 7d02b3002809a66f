/**
 * One run of `esekit`: subcommands with `--options` (format specification, chapter 11.6). The originals have no
 * such program, so its grammar is an ordinary one.
 */

import { EseError } from '../format/ese-error.js';
import { type ErrorReport, errorReport, type WarningReport } from '../maintenance/report-values.js';
import { packageVersion } from './classic-text.js';
import { databaseCommands } from './esekit/commands.js';
import { EXIT, exitCodeOfError } from './exit-codes.js';
import { type CliHost, OutputClosed, OutputFailed } from './host.js';
import { openJsonOutput } from './json-output.js';
import { persistentTerminal } from './output.js';
import { UsageError } from './usage-error.js';
import type { Verb, VerbContext, VerbOptions, VerbOutcome } from './verb.js';

/** Subcommands are loaded when they are asked for. */
const LOADERS: Readonly<Record<string, () => Promise<Verb>>> = {
  create: async () => (await import('./esekit/create.js')).createVerb,
  load: async () => (await import('./esekit/load.js')).loadVerb,
  get: async () => (await import('./esekit/get.js')).getVerb,
  scan: async () => (await import('./esekit/scan.js')).scanVerb,
  stat: async () => (await import('./esekit/stat.js')).statVerb,
  verify: async () => (await import('./esekit/verify.js')).verifyVerb,
  'drill run': async () => (await import('./esekit/drill.js')).drillVerb,
  inject: async () => (await import('./esekit/inject.js')).injectVerb,
  tables: async () => (await import('./esekit/tables.js')).tablesVerb,
  export: async () => (await import('./esekit/export.js')).exportVerb,
  records: async () => (await import('./esekit/records.js')).recordsVerb,
};

/** How command lines begin. */
const VERB_WORDS: ReadonlySet<string> = new Set(
  Object.keys(LOADERS).map((verb) => verb.split(' ', 1)[0] ?? ''),
);

const INTERRUPTED: ErrorReport = { code: null, name: 'Interrupted', message: 'interrupted' };

interface Parsed {
  readonly verb: string | undefined;
  readonly options: VerbOptions;
  /** Help or version, to be printed in place of a run. */
  readonly text: string;
  readonly usage: string | undefined;
}

const SHARED = { type: 'boolean', describe: 'read a database that is in use' } as const;

async function parse(argv: readonly string[]): Promise<Parsed> {
  const { default: yargs } = await import('yargs');
  const parser = databaseCommands(yargs())
    .scriptName('esekit')
    .usage('$0 <command> [options]\n\nReads and writes Microsoft ESE databases and their logs.')
    .command('tables <file>', 'list the tables of a database', (command) =>
      command.positional('file', { type: 'string', describe: 'database' }).option('shared', SHARED),
    )
    .command('export <file>', 'write the rows of one table, or of all', (command) =>
      command
        .positional('file', { type: 'string', describe: 'database' })
        .option('table', { type: 'string', describe: 'this table only', requiresArg: true })
        .option('format', {
          choices: ['csv', 'jsonl', 'canonical'] as const,
          default: 'jsonl',
          describe: 'form of the rows; canonical = JSON with exact values and sorted keys',
          requiresArg: true,
        })
        .option('out', { type: 'string', describe: 'folder for one file a table', requiresArg: true })
        .option('shared', SHARED)
        .option('yes', { type: 'boolean', describe: 'overwrite files' }),
    )
    .command('records <file>', 'print every record of a log as a line of JSON', (command) =>
      command.positional('file', { type: 'string', describe: 'log file' }),
    )
    .option('json', { type: 'string', describe: 'one JSON document on stdout, or with =FILE in a file' })
    .demandCommand(1, 'Usage Error: No command specified.')
    .strict()
    .version(packageVersion())
    .help()
    .alias('help', 'h')
    // Messages must not depend on the language of the machine.
    .locale('en')
    .exitProcess(false)
    .showHelpOnFail(false);
  // An option with a value that may be left out takes it with `=` only.
  const tokens = argv.map((token) => (token === '--json' ? '--json=' : token));
  let text = '';
  let usage = duplicateOption(argv);
  const parsed = await parser.parseAsync(tokens, {}, (error, _arguments, output) => {
    if (error) usage = unknownCommand(argv) ?? usageText(error.message);
    else text = output;
  });
  return {
    verb: parsed._.length === 0 ? undefined : parsed._.join(' '),
    options: parsed as VerbOptions,
    text,
    usage,
  };
}

/** Options of which each use adds a value: one for each column of a key. */
const REPEATABLE = new Set(['--from', '--to']);

/** Any other option given twice would become a list of its values, which no subcommand expects. */
function duplicateOption(argv: readonly string[]): string | undefined {
  const end = argv.indexOf('--');
  const names = (end < 0 ? argv : argv.slice(0, end)).flatMap((token) => /^--[\w-]+/.exec(token)?.[0] ?? []);
  const twice = names.find((name, i) => !REPEATABLE.has(name) && names.indexOf(name) < i);
  return twice === undefined ? undefined : `Usage Error: Duplicate ${twice} specification.`;
}

/** What is wrong with a command line that begins with no subcommand. */
function unknownCommand([first]: readonly string[]): string | undefined {
  if (first === undefined || first.startsWith('-') || VERB_WORDS.has(first)) return undefined;
  return `Usage Error: Unknown command '${first}'.`;
}

/** The subcommand that a command line begins with, whatever follows. */
function askedVerb(argv: readonly string[]): string | undefined {
  return Object.keys(LOADERS).find((verb) => verb.split(' ').every((word, i) => argv[i] === word));
}

function usageText(message: string): string {
  return message.startsWith('Usage Error') ? message : `Usage Error: ${message.split('\n').join(' ')}`;
}

/** Runs one command line; returns the exit code. Never throws but for a closed stdout. */
export async function runEsekit(argv: readonly string[], machine: CliHost): Promise<number> {
  const started = machine.now();
  const jsonToken = argv.find((token) => token === '--json' || token.startsWith('--json='));
  const long = new Map<string, string | null>();
  if (jsonToken !== undefined) long.set('json', jsonToken.slice('--json='.length) || null);
  const { verb, options, text, usage } = await parse(argv);
  if (text !== '') {
    machine.terminal.out(`${text}\n`);
    return EXIT.done;
  }
  const command = usage !== undefined || verb === undefined ? undefined : await LOADERS[verb]?.();
  const persistent = command?.writes?.(options) === true ? persistentTerminal(machine.terminal) : undefined;
  const host = persistent === undefined ? machine : { ...machine, terminal: persistent.terminal };
  const json = openJsonOutput('esekit', long, host);
  const warnings: WarningReport[] = [];
  const file = typeof options.file === 'string' ? options.file : null;
  const end = (mode: string, exit: number, error: ErrorReport | undefined, result: object | null): number => {
    const elapsedMs = host.now() - started;
    const envelope = {
      mode,
      file,
      exit,
      ...(error === undefined ? {} : { error }),
      warnings,
      elapsedMs,
      result,
    };
    const isReported = json.end(envelope);
    if (error !== undefined && !json.ownsStdout) host.terminal.err(`${errorText(error, askedVerb(argv))}\n`);
    const failure = persistent?.failure();
    if (failure !== undefined) host.terminal.err(`ERROR: ${failure.message}\n`);
    return exit === EXIT.done && (!isReported || failure !== undefined) ? EXIT.otherError : exit;
  };
  if (command === undefined) {
    const message = usage ?? `Usage Error: Unknown command '${verb}'.`;
    return end('usage', EXIT.usage, { code: null, name: 'UsageError', message }, null);
  }

  if (json.refusal !== undefined)
    return end(verb ?? 'usage', exitCodeOfError(json.refusal), errorReport(json.refusal), null);

  const thread = command.blocks === true && jsonToken !== undefined ? await machine.ownThread?.() : undefined;
  if (thread !== undefined) {
    if ('exit' in thread) return thread.exit;
    return end(verb ?? 'usage', EXIT.signal + thread.signalNumber, INTERRUPTED, null);
  }

  // A signal that nobody can be told of has its usual effect.
  const interruption = command.blocks === true ? undefined : host.onInterrupt();
  const signal = interruption?.signal ?? new AbortController().signal;
  const context: VerbContext = {
    host,
    options,
    jsonOwnsStdout: json.ownsStdout,
    say: (line) => {
      if (!json.ownsStdout) host.terminal.out(`${line}\n`);
    },
    warn: (warning) => {
      warnings.push(warning);
      if (!json.ownsStdout) host.terminal.err(`WARNING: ${warning.message}\n`);
    },
    signal,
  };
  const outcome = await runVerb(command, context, signal);
  interruption?.release();
  // A job that came to its end before the signal could stop it is done.
  const signalNumber = outcome.error === undefined ? undefined : interruption?.signalNumber();
  const exit = signalNumber === undefined ? outcome.exit : EXIT.signal + signalNumber;
  const error = signalNumber === undefined ? outcome.error : INTERRUPTED;
  if (!outcome.streamed)
    return end(exit === EXIT.usage ? 'usage' : (verb ?? 'usage'), exit, error, outcome.result);
  // A stream of rows has no envelope; an error is its last line, and on stderr for people.
  if (error !== undefined) {
    if (options.format !== 'csv') host.terminal.out(`${JSON.stringify({ error })}\n`);
    host.terminal.err(`${errorText(error)}\n`);
  }
  return exit;
}

interface RunOutcome {
  readonly exit: number;
  readonly error?: ErrorReport;
  readonly result: object | null;
  readonly streamed: boolean;
}

async function runVerb(verb: Verb, context: VerbContext, signal: AbortSignal): Promise<RunOutcome> {
  try {
    const outcome: VerbOutcome = await verb.run(context);
    const { result, error, findingsRemain, interrupted } = outcome;
    const streamed = outcome.streamed === true;
    if (interrupted === true) return { exit: EXIT.otherError, error: INTERRUPTED, result, streamed };
    if (error === undefined) {
      return { exit: findingsRemain === true ? EXIT.findingsRemain : EXIT.done, result, streamed };
    }
    return { exit: exitCodeOfError(error), error: errorReport(error), result, streamed };
  } catch (error) {
    if (error instanceof OutputClosed || error instanceof OutputFailed) throw error;
    return { ...failure(error, signal), result: null, streamed: false };
  }
}

function failure(error: unknown, signal: AbortSignal): { exit: number; error: ErrorReport } {
  if (signal.aborted) return { exit: EXIT.otherError, error: INTERRUPTED };
  if (error instanceof UsageError) {
    return { exit: EXIT.usage, error: { code: null, name: 'UsageError', message: error.message } };
  }
  if (error instanceof EseError) return { exit: exitCodeOfError(error), error: errorReport(error) };
  // A bug of ours must not look like a finding about the file, nor print its stack to the user.
  const message = error instanceof Error ? error.message : String(error);
  return { exit: EXIT.otherError, error: errorReport(new EseError('JET_errInternalError', message)) };
}

/** One line for people, and where to read more. */
function errorText({ code, name, message, file, pgno }: ErrorReport, verb?: string): string {
  if (name === 'UsageError') {
    return `${message}\nTry: esekit ${verb === undefined ? '' : `${verb} `}--help`;
  }
  const place = [file, pgno === undefined ? undefined : `page ${pgno}`].filter((part) => part !== undefined);
  const where = place.length === 0 ? '' : `: ${place.join(', ')}`;
  return `Error: ${code === null ? '' : `${code} `}(${name}, ${message})${where}`.replace(/[\r\n]+/g, ' ');
}
