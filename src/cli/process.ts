/** The process around a program: its arguments, its exit code, and readers that go away. */

import { type CliHost, nodeHost, OutputClosed } from './host.js';

/** Runs a program on the real machine. A closed stdout (`| head`) is no error: what was read was wanted. */
export async function runProcess(
  program: (argv: readonly string[], host: CliHost) => Promise<number>,
): Promise<void> {
  try {
    process.exitCode = await program(process.argv.slice(2), nodeHost());
  } catch (error) {
    if (!(error instanceof OutputClosed)) throw error;
    process.exitCode = 0;
  }
}
