import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';

/** The programs as a user starts them, each in a process of its own. */
export interface Programs {
  /** Runs a program to its end. */
  run(program: ProgramName, args: readonly string[]): Promise<ProgramRun>;
  /** Starts a program; the caller ends it. */
  start(program: ProgramName, args: readonly string[]): StartedProgram;
}

export type ProgramName = 'eseutil' | 'esekit';

export interface ProgramRun {
  /** Exit code; null after a signal. */
  readonly exit: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface StartedProgram {
  readonly pid: number;
  readonly isRunning: () => boolean;
  /** Ends it as a power cut would: it hears nothing of it. */
  readonly kill: () => void;
  readonly ended: Promise<ProgramRun>;
}

/** The programs whose scripts lie in `scripts`, working in `folder`. */
export function programsIn(scripts: string, folder: string): Programs {
  const start = (program: ProgramName, args: readonly string[]): StartedProgram => {
    const child = spawn(process.execPath, [join(scripts, `${program}.js`), ...args], {
      cwd: folder,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    return {
      pid: child.pid ?? 0,
      isRunning: () => child.exitCode === null && child.signalCode === null,
      kill: () => child.kill('SIGKILL'),
      ended: endOf(child),
    };
  };
  return { start, run: (program, args) => start(program, args).ended };
}

function endOf(child: ChildProcess): Promise<ProgramRun> {
  let [stdout, stderr] = ['', ''];
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (exit) => resolve({ exit, stdout, stderr }));
  });
}
