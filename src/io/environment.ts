import type { FileSystem } from './file-system.js';
import { nodeFileSystem } from './node-file-system.js';
import { type Random, seededRandom } from './seeded-random.js';

/** Tells the time. */
export interface Clock {
  /** Milliseconds since 1970-01-01 00:00 UTC. */
  now(): number;
}

/**
 * All that reaches the code from outside. It enters at the top (a program, a test) and is handed down;
 * nothing else asks for files, time or randomness. With the same environment the same calls write the
 * same bytes.
 */
export interface Environment {
  readonly fs: FileSystem;
  readonly clock: Clock;
  readonly random: Random;
}

/** The files, the clock and the random numbers of this machine. */
export function realEnvironment(): Environment {
  const word = new Uint32Array(1);
  return {
    fs: nodeFileSystem,
    clock: { now: () => Date.now() },
    random: { uint32: () => crypto.getRandomValues(word)[0] ?? 0 },
  };
}

export interface SeededEnvironmentOptions {
  readonly fs: FileSystem;
  readonly seed: number;
  /** First time that the clock tells, milliseconds since 1970 UTC. Default: 2024-01-01 00:00 UTC. */
  readonly startMs?: number;
  /** What the clock advances by each time it is asked, milliseconds. Default: 1. */
  readonly stepMs?: number;
}

/** An {@link Environment} that repeats itself: for tests, fixtures and workloads made from a seed. */
export interface SeededEnvironment extends Environment {
  readonly clock: Clock & {
    /** Lets time pass, in milliseconds. */
    advance(ms: number): void;
  };
}

/** A clock that ticks each time it is asked, and random numbers from a seed. */
export function seededEnvironment(options: SeededEnvironmentOptions): SeededEnvironment {
  const stepMs = options.stepMs ?? 1;
  let next = options.startMs ?? Date.UTC(2024, 0, 1);
  return {
    fs: options.fs,
    random: seededRandom(options.seed),
    clock: {
      now() {
        const now = next;
        next += stepMs;
        return now;
      },
      advance(ms) {
        next += ms;
      },
    },
  };
}
