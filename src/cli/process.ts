/** The process around a program: its arguments, its exit code, and an output that goes away. */

import { EXIT } from './exit-codes.js';
import { type CliHost, nodeHost, OutputClosed, OutputFailed } from './host.js';

type Program = (argv: readonly string[], host: CliHost) => Promise<number>;

/** Runs a program on the real machine. */
export async function runProcess(program: Program): Promise<void> {
  process.exitCode = await runGuarded(program, process.argv.slice(2), nodeHost());
}

/**
 * Runs a program; returns its exit code, whatever happens. A closed stdout (`| head`) is no error: what was read was
 * wanted. Everything else that comes through is one line on stderr, never a stack.
 */
export async function runGuarded(program: Program, argv: readonly string[], host: CliHost): Promise<number> {
  try {
    return await program(argv, host);
  } catch (error) {
    if (error instanceof OutputClosed) return EXIT.done;
    host.terminal.err(`${lastWords(error)}\n`);
    return EXIT.otherError;
  }
}

function lastWords(error: unknown): string {
  if (error instanceof OutputFailed) return `ERROR: ${error.message}`;
  const message = error instanceof Error ? error.message : String(error);
  return `ERROR: internal error: ${message.replace(/[\r\n]+/g, ' ')}`;
}
