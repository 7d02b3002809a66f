/** The process around a program: its arguments, its exit code, and an output that goes away. */

import { EXIT } from './exit-codes.js';
import { type CliHost, nodeHost, OutputClosed, OutputFailed } from './host.js';
import type { ProgramName } from './own-thread.js';

type Program = (argv: readonly string[], host: CliHost) => Promise<number>;

/** Runs a program on the real machine; it is loaded when somebody listens for signals already. */
export async function runProcess(name: ProgramName, load: () => Promise<Program>): Promise<void> {
  const argv = process.argv.slice(2);
  // Of a run that waits for what never comes, until its end says better.
  process.exitCode = EXIT.otherError;
  const host = nodeHost(argv.some((token) => /^--json(?:l|=.*)?$/.test(token)));
  const ownThread = async () => {
    const { runInOwnThread } = await import('./own-thread.js');
    return runInOwnThread({ program: name, argv, programName: host.programName }, host.onInterrupt());
  };
  process.exitCode = await runGuarded(await load(), argv, { ...host, ownThread });
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
