import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, statfsSync } from 'node:fs';
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
 * @property {() => number} [cpu] milliseconds of processors that a round took in programs which outlive it
 * @property {number} [bytes] bytes that one round works on, if they differ from those of the comparison
 */

const ROUNDS = 7;

/**
 * Runs the contenders in turns and prints their medians. The ratios are speeds relative to the first one, by time and by
 * time of processors.
 *
 * @param {string} title
 * @param {number} bytes bytes that one round of a contender works on; 0 if only the time counts
 * @param {Contender[]} contenders
 * @param {number} [rounds]
 * @returns {Promise<void>}
 */
export async function compare(title, bytes, contenders, rounds = ROUNDS) {
  const times = await measure(contenders, rounds);
  console.log(`\n${title} (${rounds} rounds)`);
  console.log('     ratio  ratio CPU       GB/s  median ms  CPU ms  (fastest .. slowest ms)');
  const first = { rate: 0, median: 0, cpu: 0, own: 0 };
  for (const [i, { name, bytes: own = bytes }] of contenders.entries()) {
    const sorted = (times[i] ?? []).map(({ ms }) => ms).sort((a, b) => a - b);
    const median = sorted[sorted.length >> 1] ?? 0;
    const processors = (times[i] ?? []).map(({ cpu }) => cpu).sort((a, b) => a - b);
    const cpu = processors[processors.length >> 1] ?? 0;
    const rate = own / median / 1e6;
    if (i === 0) Object.assign(first, { rate, median, cpu, own });
    const ratio = bytes === 0 ? first.median / median : rate / first.rate;
    const ratioCpu = (first.cpu / cpu) * (bytes === 0 ? 1 : own / first.own);
    const range = `(${number(sorted[0] ?? 0, 1)} .. ${number(sorted.at(-1) ?? 0, 1)})`;
    const speed = bytes === 0 ? '-' : number(rate, 2);
    console.log(
      `${number(ratio, 2).padStart(8)} x ${number(ratioCpu, 2).padStart(8)} x ${speed.padStart(10)} ${number(median, 1).padStart(10)} ${number(cpu, 0).padStart(7)}  ${range.padEnd(22)} ${name}`,
    );
  }
}

/**
 * Runs the contenders in turns and prints what one item takes: time, and time of processors, which other programs on
 * the machine change less. The ratios are speeds relative to the first contender.
 *
 * @param {string} title
 * @param {string} item what there are `items` of in one round
 * @param {number} items
 * @param {Contender[]} contenders
 * @param {number} [rounds]
 * @returns {Promise<void>}
 */
export async function compareItems(title, item, items, contenders, rounds = ROUNDS) {
  const times = await measure(contenders, rounds);
  console.log(`\n${title} (${rounds} rounds)`);
  console.log(
    `     ratio  ratio CPU  ${`K ${item}/s`.padStart(12)}  median us  CPU us  (fastest .. slowest us)`,
  );
  const first = { us: 0, cpu: 0 };
  for (const [i, { name }] of contenders.entries()) {
    const sorted = (times[i] ?? []).map(({ ms }) => (1000 * ms) / items).sort((a, b) => a - b);
    const processors = (times[i] ?? []).map(({ cpu }) => (1000 * cpu) / items).sort((a, b) => a - b);
    const us = sorted[sorted.length >> 1] ?? 0;
    const cpu = processors[processors.length >> 1] ?? 0;
    if (i === 0) Object.assign(first, { us, cpu });
    const range = `(${number(sorted[0] ?? 0, 2)} .. ${number(sorted.at(-1) ?? 0, 2)})`;
    console.log(
      `${number(first.us / us, 2).padStart(8)} x ${number(first.cpu / cpu, 2).padStart(8)} x  ${number(1000 / us, 1).padStart(12)} ${number(us, 2).padStart(10)} ${number(cpu, 2).padStart(7)}  ${range.padEnd(22)} ${name}`,
    );
  }
}

/**
 * Runs contenders over logs of their own in turns, and prints records and bytes of log a second. The ratios to the first
 * one are those of `unit`, by time and by time of processors.
 *
 * @param {string} title
 * @param {'records' | 'logBytes'} unit
 * @param {(Contender & { records: number, logBytes: number })[]} contenders
 * @param {number} [rounds]
 */
export async function compareLogs(title, unit, contenders, rounds = ROUNDS) {
  const times = await measure(contenders, rounds);
  console.log(`\n${title} (${rounds} rounds)`);
  console.log('     ratio  ratio CPU  K records/s   MB/s  median ms  CPU ms  (fastest .. slowest ms)');
  const first = { rate: 0, perCpu: 0 };
  for (const [i, { name, records, logBytes }] of contenders.entries()) {
    const sorted = (times[i] ?? []).map(({ ms }) => ms).sort((a, b) => a - b);
    const processors = (times[i] ?? []).map(({ cpu }) => cpu).sort((a, b) => a - b);
    const ms = sorted[sorted.length >> 1] ?? 0;
    const cpu = processors[processors.length >> 1] ?? 0;
    const amount = unit === 'records' ? records : logBytes;
    if (i === 0) Object.assign(first, { rate: amount / ms, perCpu: amount / cpu });
    const cells = [
      `${number(amount / ms / first.rate, 2)} x`.padStart(10),
      `${number(amount / cpu / first.perCpu, 2)} x`.padStart(11),
      number(records / ms, 0).padStart(13),
      number(logBytes / ms / 1000, 0).padStart(7),
      number(ms, 0).padStart(11),
      number(cpu, 0).padStart(8),
    ];
    console.log(
      `${cells.join('')}  (${number(sorted[0] ?? 0, 0)} .. ${number(sorted.at(-1) ?? 0, 0)})  ${name}`,
    );
  }
}

/**
 * Runs the contenders in turns; the first round is dropped.
 *
 * @param {Contender[]} contenders
 * @param {number} rounds
 */
async function measure(contenders, rounds) {
  const times = contenders.map(() => /** @type {{ ms: number, cpu: number }[]} */ ([]));
  for (let round = 0; round <= rounds; round += 1) {
    for (const [i, { run, prepare, cpu }] of contenders.entries()) {
      await prepare?.();
      const cpuBegun = processorMs();
      const begun = performance.now();
      await run();
      const ms = performance.now() - begun;
      const cpuMs = processorMs() - cpuBegun + (cpu?.() ?? 0);
      if (round > 0) times[i]?.push({ ms, cpu: cpuMs });
    }
  }
  return times;
}

/** Milliseconds of processors that this process and the programs that it has waited for have taken. */
function processorMs() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000 + (existsSync('/proc/self/stat') ? statMs('self').children : 0);
}

/** Length of a tick in /proc, in milliseconds. */
const TICK_MS = 10;

/**
 * Time of processors of a process and of its children that have ended, in milliseconds, and its parent.
 *
 * @param {string} pid
 */
export function statMs(pid) {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // The second field is a name in parentheses, which may hold anything.
  const fields = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number);
  const [parent, utime = 0, stime = 0, cutime = 0, cstime = 0] = [fields[1], ...fields.slice(11, 15)];
  return { parent, own: (utime + stime) * TICK_MS, children: (cutime + cstime) * TICK_MS };
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
