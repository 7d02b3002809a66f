/** The text of a run on stdout, collected into few writes. */

import type { Terminal } from './host.js';

const FLUSH_CHARACTERS = 1 << 16;

export interface TextOutput {
  write(text: string): void;
  line(text?: string): void;
  flush(): void;
}

/** Text that reaches stdout in large pieces, or at once where people watch it. */
export function textOutput(terminal: Terminal): TextOutput {
  const pieces: string[] = [];
  let characters = 0;
  const flush = (): void => {
    if (characters === 0) return;
    const text = pieces.join('');
    pieces.length = 0;
    characters = 0;
    terminal.out(text);
  };
  const write = (text: string): void => {
    pieces.push(text);
    characters += text.length;
    if (terminal.stdoutIsTerminal || characters >= FLUSH_CHARACTERS) flush();
  };
  return { write, line: (text = '') => write(`${text}\n`), flush };
}

export const NO_OUTPUT: TextOutput = { write: () => {}, line: () => {}, flush: () => {} };
