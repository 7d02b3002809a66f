/**
 * The machine as the programs see it: files, clock and terminal. Tests put their own in its place.
 */

import { closeSync, existsSync, fstatSync, openSync, readSync, statSync, writeSync } from 'node:fs';
import { devNull } from 'node:os';
import { basename } from 'node:path';
import { elapsedMs } from '../io/elapsed.js';
import { type Environment, realEnvironment } from '../io/environment.js';
import type { FileSystem } from '../io/file-system.js';

/** The reader of our output has gone away (`| head`). */
export class OutputClosed extends Error {}

/** stdout takes no more text: its disk is full, its device is gone. */
export class OutputFailed extends Error {
  constructor(cause: unknown) {
    super(`the output could not be written: ${cause instanceof Error ? cause.message : String(cause)}`);
  }
}

export interface Terminal {
  readonly stdinIsTerminal: boolean;
  readonly stdoutIsTerminal: boolean;
  readonly stderrIsTerminal: boolean;
  /** Writes to stdout. Throws {@link OutputClosed} when nobody reads it any more, {@link OutputFailed} otherwise. */
  out(text: string | Uint8Array): void;
  /** Writes to stderr; a closed one is ignored. */
  err(text: string): void;
  /** The next line from the terminal, without its end; `null` at its end. Only asked when stdin is a terminal. */
  readLine(): string | null;
}

export interface CliHost {
  /** Files, clock and randomness for what changes files. */
  readonly environment: Environment;
  readonly fs: FileSystem;
  /** Milliseconds, for durations only. */
  now(): number;
  readonly terminal: Terminal;
  readonly platform: 'posix' | 'windows';
  /** Name under which the program was started: it chooses the banner. */
  readonly programName: string;
  readonly pid: number;
  /** What a path names; never throws. */
  probe(path: string): 'file' | 'directory' | null;
  /** Catches Ctrl-C and its kin until released; a second one ends the process at once. */
  onInterrupt(): Interruption;
  /** Runs the same command line in a thread of its own, while this one waits for signals; absent in such a thread. */
  readonly ownThread?: () => Promise<ThreadEnd>;
  /** Called before the last words of a run; does not return where a signal has spoken them. */
  readonly beforeEnd?: () => void;
}

/** How a run in a thread of its own ended: with its exit code, or stopped by a signal before its last words. */
export type ThreadEnd = { readonly exit: number } | { readonly signalNumber: number };

export interface Interruption {
  readonly signal: AbortSignal;
  /** Number of the signal that came, `undefined` = none. */
  signalNumber(): number | undefined;
  release(): void;
}

const SIGNALS = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const;
type SignalName = keyof typeof SIGNALS;

function catchSignals(): Interruption {
  const controller = new AbortController();
  let caught: number | undefined;
  const onSignal = (name: SignalName): void => {
    if (caught !== undefined) process.exit(128 + SIGNALS[name]);
    caught = SIGNALS[name];
    controller.abort();
  };
  const names = Object.keys(SIGNALS) as SignalName[];
  for (const name of names) process.on(name, onSignal);
  return {
    signal: controller.signal,
    signalNumber: () => caught,
    release: () => {
      for (const name of names) process.off(name, onSignal);
    },
  };
}

const STDIN = 0;
const STDOUT = 1;
const STDERR = 2;
const RETRY_MS = 2;
const LINE_BYTES_MAX = 4096;

/**
 * Whether a stream of the process is a terminal. Where that can be ruled out, `node:tty` is not loaded, which brings
 * all of the network with it.
 */
function isTerminal(fd: number): boolean {
  if (process.platform !== 'win32') {
    try {
      const found = fstatSync(fd);
      if (!found.isCharacterDevice() || found.rdev === statSync(devNull).rdev) return false;
    } catch {
      return false;
    }
  }
  return process.getBuiltinModule('node:tty').isatty(fd);
}

/** Writes everything, also to a pipe that another process has made non-blocking. */
function writeAll(fd: number, text: string | Uint8Array): void {
  const bytes = typeof text === 'string' ? Buffer.from(text, 'utf8') : text;
  for (let done = 0; done < bytes.length; ) {
    try {
      done += writeSync(fd, bytes, done);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, RETRY_MS);
    }
  }
}

function writeOut(text: string | Uint8Array): void {
  try {
    writeAll(STDOUT, text);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'EPIPE' || code === 'EOF') throw new OutputClosed();
    throw new OutputFailed(error);
  }
}

function writeErr(text: string): void {
  try {
    writeAll(STDERR, text);
  } catch {
    // Nobody listens; the exit code still tells.
  }
}

/** The terminal of the session: unlike stdin it is never set to return at once. */
function openTerminal(): number {
  try {
    return process.platform === 'win32' ? STDIN : openSync('/dev/tty', 'r');
  } catch {
    return STDIN;
  }
}

/** Reads one line from the controlling terminal behind stdin, byte by byte as far as the line goes. */
function readTerminalLine(): string | null {
  const bytes: number[] = [];
  const one = new Uint8Array(1);
  const fd = openTerminal();
  try {
    while (bytes.length < LINE_BYTES_MAX && readSync(fd, one) === 1) {
      if (one[0] === 0x0a) return Buffer.from(bytes).toString('utf8').replace(/\r$/, '');
      bytes.push(one[0] ?? 0);
    }
  } finally {
    if (fd !== STDIN) closeSync(fd);
  }
  return bytes.length === 0 ? null : Buffer.from(bytes).toString('utf8');
}

function probe(path: string): 'file' | 'directory' | null {
  try {
    if (!existsSync(path)) return null;
    return statSync(path).isDirectory() ? 'directory' : 'file';
  } catch {
    return null;
  }
}

/**
 * The process that we are.
 *
 * @param listens whether signals are caught from the start, and not only once somebody asks for them
 */
export function nodeHost(listens = false): CliHost {
  const environment = realEnvironment();
  const early = listens ? catchSignals() : undefined;
  return {
    environment,
    fs: environment.fs,
    now: elapsedMs,
    terminal: {
      stdinIsTerminal: isTerminal(STDIN),
      stdoutIsTerminal: isTerminal(STDOUT),
      stderrIsTerminal: isTerminal(STDERR),
      out: writeOut,
      err: writeErr,
      readLine: readTerminalLine,
    },
    platform: process.platform === 'win32' ? 'windows' : 'posix',
    programName: basename(process.argv[1] ?? 'eseutil').replace(/\.[cm]?js$/, ''),
    pid: process.pid,
    probe,
    onInterrupt: () => early ?? catchSignals(),
  };
}
