/** `--json`, `--json=FILE` and `--jsonl` (format specification, chapter 11.1 and 11.2). */

import { EseError } from '../format/ese-error.js';
import type { FileSystem } from '../io/file-system.js';
import { replaceFile } from '../io/replace-file.js';
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
  /** Why the file of `--json=FILE` must not be written: the run must end with this before it begins. */
  readonly refusal: EseError | undefined;
  /** One event of `--jsonl`; nothing otherwise. */
  event(kind: 'start' | 'finding' | 'log', content: object): void;
  /** The same bar, reporting progress events too. */
  watchProgress(phase: string, bar: ProgressBar): ProgressBar;
  /** The document, or the last event. Returns false, and says so on stderr, if the file could not be written. */
  end(envelope: Envelope): boolean;
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
  const refusal = typeof file === 'string' ? targetProblem(host.fs, file) : undefined;
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
    refusal,
    event: (kind, content) => {
      if (wantsLines) line({ event: kind, ...content });
    },
    watchProgress: (phase, bar) => (wantsLines ? withEvents(phase, bar, line, host) : bar),
    end: (envelope) => {
      host.beforeEnd?.();
      if (wantsLines) {
        const result = envelope.result === null ? null : withoutStreamed(envelope.result);
        line({ event: 'end', ...document({ ...envelope, result }) });
      } else if (wantsDocument) {
        host.terminal.out(`${JSON.stringify(document(envelope), null, 2)}\n`);
      }
      if (typeof file !== 'string') return true;
      return refusal === undefined && writeDocument(host, file, document(envelope));
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

/** Bytes in which the brace that begins a document must stand. */
const PEEKED_BYTES = 64;

/** Only a document, or a file without contents, is overwritten: a slip of the hand must not cost a database. */
function targetProblem(fs: FileSystem, path: string): EseError | undefined {
  if (!fs.exists(path)) return undefined;
  try {
    const handle = fs.open(path, 'read');
    try {
      const start = new Uint8Array(PEEKED_BYTES);
      const text = Buffer.from(start.buffer, 0, handle.readAt(start, 0)).toString('latin1').trimStart();
      if (handle.size() === 0 || text.startsWith('{')) return undefined;
    } finally {
      handle.close();
    }
  } catch (error) {
    if (error instanceof EseError) return error.at({ file: path });
    throw error;
  }
  return new EseError('JET_errFileAlreadyExists', 'the file of --json exists and holds no JSON document', {
    file: path,
  });
}

/** Writes the document whole or not at all. */
function writeDocument(host: CliHost, path: string, content: object): boolean {
  try {
    replaceFile(host.environment, path, Buffer.from(`${JSON.stringify(content, null, 2)}\n`, 'utf8'));
    return true;
  } catch (error) {
    if (!(error instanceof EseError)) throw error;
    host.terminal.err(
      `ERROR: ${error.code} (${error.name}): the JSON file was not written: ${error.message}\n`,
    );
    return false;
  }
}
