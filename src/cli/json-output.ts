/** `--json`, `--json=FILE` and `--jsonl` (format specification, chapter 11.1 and 11.2). */

import type { ErrorReport, WarningReport } from '../maintenance/report-values.js';
import { EXIT } from './exit-codes.js';
import type { CliHost } from './host.js';
import type { LongOptions } from './long-options.js';
import type { ProgressBar } from './progress-bar.js';

export interface Envelope {
  readonly mode: string;
  readonly file: string | null;
  readonly exit: number;
  readonly error?: ErrorReport;
  readonly warnings: readonly WarningReport[];
  readonly elapsedMs: number;
  readonly result: object | null;
}

export interface JsonOutput {
  /** stdout carries JSON and nothing else. */
  readonly ownsStdout: boolean;
  /** One event of `--jsonl`; nothing otherwise. */
  event(kind: 'start' | 'finding' | 'log', content: object): void;
  /** The same bar, reporting progress events too. */
  watchProgress(phase: string, bar: ProgressBar): ProgressBar;
  /** The document, or the last event. */
  end(envelope: Envelope): void;
}

const PROGRESS_INTERVAL_MS = 250;

/** Arrays that `--jsonl` has streamed as events and leaves out of the end event. */
const STREAMED = ['findings', 'logs'];

export function openJsonOutput(
  tool: 'eseutil' | 'isinteg' | 'esekit',
  long: LongOptions,
  host: CliHost,
): JsonOutput {
  const file = long.get('json');
  const wantsLines = long.has('jsonl');
  const wantsDocument = long.has('json') && (file === null || file === undefined);
  const line = (content: object): void => host.terminal.out(`${JSON.stringify(content)}\n`);
  const document = (envelope: Envelope): object => {
    const { mode, file: source, exit, error, warnings, elapsedMs, result } = envelope;
    const ok = exit === EXIT.done || exit === EXIT.doneWithLoss;
    const reported = ok || exit === EXIT.findingsRemain ? {} : { error };
    return {
      tool,
      mode,
      file: source,
      ok,
      exit,
      ...reported,
      warnings,
      elapsedMs: Math.round(elapsedMs),
      result,
    };
  };
  return {
    ownsStdout: wantsLines || wantsDocument,
    event: (kind, content) => {
      if (wantsLines) line({ event: kind, ...content });
    },
    watchProgress: (phase, bar) => (wantsLines ? withEvents(phase, bar, line, host) : bar),
    end: (envelope) => {
      if (typeof file === 'string')
        writeWholeFile(host, file, `${JSON.stringify(document(envelope), null, 2)}\n`);
      if (wantsLines) {
        const result = envelope.result === null ? null : withoutStreamed(envelope.result);
        line({ event: 'end', ...document({ ...envelope, result }) });
      } else if (wantsDocument) {
        host.terminal.out(`${JSON.stringify(document(envelope), null, 2)}\n`);
      }
    },
  };
}

function withoutStreamed(result: object): object {
  return Object.fromEntries(Object.entries(result).filter(([name]) => !STREAMED.includes(name)));
}

function withEvents(
  phase: string,
  bar: ProgressBar,
  line: (content: object) => void,
  host: CliHost,
): ProgressBar {
  let last = -PROGRESS_INTERVAL_MS;
  let highest = -1;
  const name = phase.replace(/ \(% complete\)$/, '');
  return {
    ...bar,
    update(done, total) {
      bar.update(done, total);
      const now = host.now();
      if (done <= highest || now - last < PROGRESS_INTERVAL_MS) return;
      highest = done;
      last = now;
      line({ event: 'progress', phase: name, done, total });
    },
  };
}

/** Writes a file whole or not at all. */
function writeWholeFile(host: CliHost, path: string, content: string): void {
  const temporary = `${path}.${host.pid}.tmp`;
  const handle = host.fs.open(temporary, 'create');
  try {
    handle.writeAt(Buffer.from(content, 'utf8'), 0);
    handle.sync();
  } finally {
    handle.close();
  }
  host.fs.rename(temporary, path);
}
