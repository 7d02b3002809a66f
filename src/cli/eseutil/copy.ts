/** `/y`: copies a large file (format specification, chapters 6.1.5, 6.2.13 and 11.4.2). */

import { basename, join } from 'node:path';
import { type CopyReport, copyFile, copyWarning } from '../../maintenance/copy.js';
import { hex } from '../classic-text.js';
import { hasSwitch, type Mode, type ModeContext, switchValue } from '../mode.js';
import { refuseLocked, watchFile } from '../shared-read.js';
import { meantTarget, sourceFile } from '../typed-path.js';

const FILE_NAME_SHOWN = 64;
const MEGABYTE = 1024 * 1024;

export const copyMode: Mode = {
  heading: 'COPY FILE',
  longRunning: true,
  writes: () => true,
  run: async (context) => {
    const { host, command, say, note, signal } = context;
    const source = sourceFile(host, command.positional, 'source file');
    const destination = destinationOf(context, source);
    say(`     Source File: ${(command.positional ?? '').slice(-FILE_NAME_SHOWN)}`);
    say(`Destination File: ${destination.slice(-FILE_NAME_SHOWN)}`);
    refuseLocked(host, source, command.long.has('shared'), context.warn);
    const endWatch = watchFile(host, source, context.warn);
    const ignoreReadErrors = hasSwitch(command, 'i');
    const bar = context.progress('Copy Progress (% complete)');
    const result = await copyFile(host.environment, source, destination, {
      replace: command.long.has('force'),
      verify: command.long.has('verify'),
      ignoreReadErrors,
      onProgress: bar.update,
      signal,
    });
    bar.complete();
    endWatch();
    printTotals(say, result, ignoreReadErrors);
    const warning = copyWarning(result);
    if (warning === undefined) return { result };
    note(warning);
    return { result, warning, lost: true };
  },
};

/** The same name in the current directory, or in the directory that is named. */
function destinationOf({ host, command }: ModeContext, source: string): string {
  const typed = switchValue(command, 'd') ?? null;
  if (typed === null) return basename(source);
  const path = meantTarget(host, typed);
  return host.probe(path) === 'directory' ? join(path, basename(source)) : path;
}

function printTotals(say: ModeContext['say'], report: CopyReport, ignoreReadErrors: boolean): void {
  const line = (what: string, bytes: number) =>
    say(`\t${what.padEnd(23)}= ${hex(bytes)} (${bytes}) (${Math.floor(bytes / MEGABYTE)} MB)`);
  say();
  line('Total bytes read', report.bytesRead);
  line('Total bytes written', report.bytesWritten);
  if (!ignoreReadErrors) return;
  say(`\t${'Total read errors'.padEnd(23)}= ${report.unreadable.length}`);
  line('Total bytes unreadable', report.bytesWritten - report.bytesRead);
  for (const { offset, length } of report.unreadable) {
    say(`\tUnreadable: ${length} bytes at offset 0x${offset.toString(16).padStart(16, '0')}`);
  }
}
