import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import { type CliHost, OutputClosed } from '../../src/cli/host.js';
import { runEseutil } from '../../src/cli/run-eseutil.js';
import { realEnvironment } from '../../src/io/environment.js';

/** What one run of a program left behind. */
export interface CliRun {
  readonly exit: number;
  readonly stdout: string;
  readonly stderr: string;
  /** stdout by lines. */
  readonly lines: readonly string[];
}

export interface CliOptions {
  readonly platform?: 'posix' | 'windows';
  readonly programName?: string;
  readonly stdinIsTerminal?: boolean;
  readonly stdoutIsTerminal?: boolean;
  readonly stderrIsTerminal?: boolean;
  /** Lines that a person would type. */
  readonly answers?: readonly string[];
  /** A signal that comes too late to stop anything, or at the start. */
  readonly signalNumber?: number;
  readonly isEarlySignal?: boolean;
  /** stdout is closed after this many characters. */
  readonly closeAfter?: number;
}

type Program = (argv: readonly string[], host: CliHost) => Promise<number>;

/** Runs a program in this process, on real files, with a terminal that only remembers. */
export async function runProgram(
  program: Program,
  argv: readonly string[],
  options: CliOptions = {},
): Promise<CliRun> {
  let stdout = '';
  let stderr = '';
  const answers = [...(options.answers ?? [])];
  const environment = realEnvironment();
  const host: CliHost = {
    environment,
    fs: environment.fs,
    now: () => performance.now(),
    terminal: {
      stdinIsTerminal: options.stdinIsTerminal ?? false,
      stdoutIsTerminal: options.stdoutIsTerminal ?? false,
      stderrIsTerminal: options.stderrIsTerminal ?? false,
      out: (text) => {
        if (stdout.length >= (options.closeAfter ?? Number.POSITIVE_INFINITY)) throw new OutputClosed();
        stdout += typeof text === 'string' ? text : Buffer.from(text).toString('utf8');
      },
      err: (text) => {
        stderr += text;
      },
      readLine: () => answers.shift() ?? null,
    },
    platform: options.platform ?? 'posix',
    programName: options.programName ?? 'eseutil',
    pid: 4711,
    probe: (path) =>
      path !== '' && existsSync(path) ? (statSync(path).isDirectory() ? 'directory' : 'file') : null,
    onInterrupt: () => ({
      signal: options.isEarlySignal === true ? AbortSignal.abort() : new AbortController().signal,
      signalNumber: () => options.signalNumber,
      release: () => {},
    }),
  };
  const exit = await program(argv, host);
  return { exit, stdout, stderr, lines: stdout.split('\n') };
}

export function eseutil(argv: readonly string[], options: CliOptions = {}): Promise<CliRun> {
  return runProgram(runEseutil, argv, options);
}

/** The JSON document of a run. */
export interface JsonEnvelope<R = unknown> {
  readonly tool: string;
  readonly mode: string;
  readonly file: string | null;
  readonly ok: boolean;
  readonly exit: number;
  readonly error?: { code: number | null; name: string; message: string; file?: string };
  readonly warnings: readonly { code: number | null; name: string; message: string }[];
  readonly elapsedMs: number;
  readonly result: R;
}

/** Runs `eseutil` with `--json`; stdout must be one document and nothing else. */
export async function eseutilJson<R = unknown>(argv: readonly string[]): Promise<JsonEnvelope<R>> {
  const run = await eseutil([...argv, '--json']);
  const envelope = JSON.parse(run.stdout) as JsonEnvelope<R>;
  if (envelope.exit !== run.exit) throw new Error(`exit ${run.exit}, but JSON says ${envelope.exit}`);
  return envelope;
}

/** A folder of this test file, removed when its tests have ended. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'esekit-cli-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
