import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * What all benchmarks share (see README.md): contenders run in turns, the first round is dropped, ratios
 * come first. Benchmarks print, people judge: nothing here asserts a speed.
 */

/**
 * @typedef {object} Contender
 * @property {string} name
 * @property {() => unknown} run one round; may return a promise
 * @property {() => unknown} [prepare] what each round needs first; its time does not count
 * @property {number} [bytes] bytes that one round works on, if they differ from those of the comparison
 */

const ROUNDS = 7;

/**
 * Runs the contenders in turns and prints their medians. The ratios are speeds relative to the first one.
 *
 * @param {string} title
 * @param {number} bytes bytes that one round of a contender works on; 0 if only the time counts
 * @param {Contender[]} contenders
 * @param {number} [rounds]
 * @returns {Promise<void>}
 */
export async function compare(title, bytes, contenders, rounds = ROUNDS) {
  const times = contenders.map(() => /** @type {number[]} */ ([]));
  for (let round = 0; round <= rounds; round += 1) {
    for (const [i, { run, prepare }] of contenders.entries()) {
      await prepare?.();
      const begun = performance.now();
      await run();
      const ms = performance.now() - begun;
      if (round > 0) times[i]?.push(ms);
    }
  }
  console.log(`\n${title} (${rounds} rounds)`);
  console.log('     ratio       GB/s  median ms  (fastest .. slowest)');
  const first = { rate: 0, median: 0 };
  for (const [i, { name, bytes: own = bytes }] of contenders.entries()) {
    const sorted = (times[i] ?? []).sort((a, b) => a - b);
    const median = sorted[sorted.length >> 1] ?? 0;
    const rate = own / median / 1e6;
    if (i === 0) Object.assign(first, { rate, median });
    const ratio = bytes === 0 ? first.median / median : rate / first.rate;
    const range = `(${number(sorted[0] ?? 0, 1)} .. ${number(sorted.at(-1) ?? 0, 1)})`;
    const speed = bytes === 0 ? '-' : number(rate, 2);
    console.log(
      `${number(ratio, 2).padStart(8)} x ${speed.padStart(10)} ${number(median, 1).padStart(10)}  ${range.padEnd(22)} ${name}`,
    );
  }
}

/**
 * @param {number} value
 * @param {number} digits
 */
function number(value, digits) {
  return value.toFixed(digits);
}

/**
 * Runs a program to its end with its output thrown away (not piped: a pipe slows the writer down).
 *
 * @param {string} program
 * @param {string[]} args
 */
export function runProgram(program, args) {
  const { status, error } = spawnSync(program, args, { stdio: 'ignore' });
  if (status !== 0) throw error ?? new Error(`${program} ${args.join(' ')} ended with ${status}`);
}

/**
 * The output of a program.
 *
 * @param {string} program
 * @param {string[]} args
 */
export function outputOf(program, args) {
  const { status, error, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8' });
  if (status !== 0) throw error ?? new Error(`${program} ${args.join(' ')} ended with ${status}: ${stderr}`);
  return stdout;
}

/**
 * Whether a program is installed: it prints its version.
 *
 * @param {string} program
 * @param {string} [versionOption]
 */
export function isInstalled(program, versionOption = '--version') {
  return spawnSync(program, [versionOption], { stdio: 'ignore' }).status === 0;
}

/**
 * A peer from bench/package.json, or undefined if it was not installed (`npm install --prefix bench`).
 *
 * @param {string} name
 * @returns {Promise<Record<string, unknown> | undefined>}
 */
export async function importPeer(name) {
  try {
    return await import(name);
  } catch {
    console.log(`without the peer ${name}: npm install --prefix bench`);
    return undefined;
  }
}

/**
 * Calls `use` with a folder for data that is deleted afterwards. Throws if the disk has too little room.
 *
 * @param {number} bytesNeeded
 * @param {(folder: string) => unknown} use may return a promise
 */
export async function withDataFolder(bytesNeeded, use) {
  const { bavail, bsize } = statfsSync(tmpdir());
  if (bavail * bsize < bytesNeeded * 1.2) {
    throw new Error(`${tmpdir()} needs ${Math.ceil((bytesNeeded * 1.2) / 2 ** 30)} GiB of free space`);
  }
  const folder = join(tmpdir(), `esekit-bench-${process.pid}`);
  mkdirSync(folder);
  try {
    await use(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
