/** The classic bar for subcommands that take long (format specification, chapter 6.1.8). */

import { drawProgressBar, NO_PROGRESS, type ProgressBar } from '../progress-bar.js';
import type { VerbContext } from '../verb.js';

/** A bar on stdout if people watch it, else on stderr if they watch that, else none. */
export function verbProgress({ host, jsonOwnsStdout }: VerbContext, title: string): ProgressBar {
  const { terminal } = host;
  if (terminal.stdoutIsTerminal && !jsonOwnsStdout) return drawProgressBar(terminal.out, title);
  return terminal.stderrIsTerminal ? drawProgressBar(terminal.err, title) : NO_PROGRESS;
}
