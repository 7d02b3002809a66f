/** The text of a run on stdout, collected into few writes. */

import { OutputClosed, OutputFailed, type Terminal } from './host.js';

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

/** The terminal of a command that changes files. */
export interface PersistentTerminal {
  readonly terminal: Terminal;
  /** Why stdout stopped to take text, but for a reader that went away. */
  failure(): OutputFailed | undefined;
}

/**
 * A terminal that swallows text from the moment on at which stdout takes none any more: what changes files must come
 * to its end, whether somebody reads what it says or not (format specification, chapter 6.1.8).
 */
export function persistentTerminal(terminal: Terminal): PersistentTerminal {
  let isClosed = false;
  let failure: OutputFailed | undefined;
  return {
    terminal: {
      ...terminal,
      out(text) {
        if (isClosed) return;
        try {
          terminal.out(text);
        } catch (error) {
          if (error instanceof OutputFailed) failure = error;
          else if (!(error instanceof OutputClosed)) throw error;
          isClosed = true;
        }
      },
    },
    failure: () => failure,
  };
}

export const NO_OUTPUT: TextOutput = { write: () => {}, line: () => {}, flush: () => {} };
