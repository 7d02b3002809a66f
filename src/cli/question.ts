/** Questions to the person at the terminal (format specification, chapter 6.1.8). */

import type { ModeContext } from './mode.js';

const POSITIVE: readonly string[] = ['ok', 'o', 'yes', 'y'];

/**
 * Asks for OK or Cancel. Returns `undefined`, and reads nothing, if stdin is no terminal: a script's input is not
 * ours. An empty line, another text and the end of input mean Cancel.
 */
export function askOkCancel({ host, command }: ModeContext, question: string): boolean | undefined {
  const { terminal } = host;
  if (!terminal.stdinIsTerminal) return undefined;
  const isJson = command.long.has('json') || command.long.has('jsonl');
  if (isJson || !terminal.stdoutIsTerminal) terminal.err(question);
  else terminal.out(question);
  return POSITIVE.includes((terminal.readLine() ?? '').trim().toLowerCase());
}
