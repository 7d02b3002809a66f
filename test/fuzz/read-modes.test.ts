import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CliHost } from '../../src/cli/host.js';
import { runEsekit } from '../../src/cli/run-esekit.js';
import { runEseutil } from '../../src/cli/run-eseutil.js';
import { EseError } from '../../src/format/ese-error.js';
import { seededEnvironment } from '../../src/io/environment.js';
import { type Random, randomBelow, randomChance, seededRandom } from '../../src/io/seeded-random.js';
import {
  createSimulatedDisk,
  type DiskCall,
  formatCall,
  isMutation,
  type SimulatedDisk,
} from '../../src/io/simulated-disk.js';
import { recover } from '../../src/recovery/recover.js';
import { corpusPath } from '../corpus.js';
import { type MutableKind, mutableKind, mutateFile } from '../support/file-mutation.js';
import { putFile } from '../support/files.js';

/**
 * Damaged files through every mode that reads, and through recovery: each must end with a result or an
 * `EseError`, in bounded time and memory, and reading must change nothing.
 *
 * ESEKIT_FUZZ_ROUNDS=20000 runs longer, ESEKIT_FUZZ_SEED=4711 runs one round again.
 */
const ROUNDS = Number(process.env.ESEKIT_FUZZ_ROUNDS ?? 100);
const ONLY_SEED = process.env.ESEKIT_FUZZ_SEED;

/** Larger files only in the long form: one run through them takes seconds. */
const FILE_BYTES_MAX = ROUNDS > 1000 ? 64 << 20 : 4 << 20;
/** No read may be larger than this, or than its file: the length would come from the file unchecked. */
const READ_BYTES_MAX = 4 << 20;
/** Times that a mode may read a file over. */
const REREADS_MAX = 300;
const ROUND_MS_MAX = 60_000;
const RESIDENT_BYTES_MAX = 2 ** 30;

/** Files that belong together, in one folder. */
interface FileSet {
  readonly name: string;
  readonly folder: string;
  readonly files: readonly string[];
}

function setsIn(root: string): FileSet[] {
  if (!existsSync(root)) return [];
  const entries = readdirSync(root, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1));
  const below = entries
    .filter((entry) => entry.isDirectory())
    .flatMap(({ name }) => setsIn(join(root, name)));
  const files = entries
    .filter((entry) => entry.isFile() && mutableKind(entry.name) !== undefined)
    .map(({ name }) => name)
    .filter((name) => statSync(join(root, name)).size <= FILE_BYTES_MAX);
  return files.length === 0 ? below : [{ name: basename(root), folder: root, files }, ...below];
}

const nativeFixtures = fileURLToPath(new URL('../../native-fixtures', import.meta.url));
const sets = [corpusPath('databases'), corpusPath('recovery'), corpusPath('logs'), nativeFixtures].flatMap(
  setsIn,
);
if (sets.length === 0) console.warn('skipped, neither a corpus (set ESEKIT_CORPUS) nor native fixtures');

const FOLDER = '/set';
const disks = new Map<FileSet, SimulatedDisk>();

/** The files of a set on a disk of their own; the originals are read once. */
function diskOf(set: FileSet): SimulatedDisk {
  let disk = disks.get(set);
  if (disk === undefined) {
    disk = createSimulatedDisk();
    disk.mkdir(FOLDER);
    for (const file of set.files) putFile(disk, `${FOLDER}/${file}`, readFileSync(join(set.folder, file)));
    disks.set(set, disk);
  }
  return disk.fork();
}

/** Databases hold most of what can be damaged, so they get most of the rounds. */
const KINDS: readonly MutableKind[] = [
  'database',
  'database',
  'database',
  'database',
  'log',
  'log',
  'checkpoint',
  'flushMap',
];

function filesOf(kind: MutableKind): { set: FileSet; name: string }[] {
  const all = sets.flatMap((set) => set.files.map((name) => ({ set, name })));
  const found = all.filter(({ name }) => mutableKind(name) === kind);
  return found.length === 0 ? all : found;
}

/** Three characters that begin the names of the logs. */
function baseNameOf(set: FileSet): string | undefined {
  return set.files.find((name) => name.endsWith('.chk'))?.slice(0, 3);
}

type Invocation = readonly ['eseutil' | 'esekit', ...string[]];

/** Every command that reads a file of this kind. */
function invocationsOf(set: FileSet, path: string, pgno: number): Invocation[] {
  const base = baseNameOf(set);
  const stream = base === undefined ? [] : [`${FOLDER}/${base}`];
  switch (mutableKind(path)) {
    case 'database':
      return [
        ['eseutil', '/mh', path],
        ['eseutil', '/mm', path],
        ['eseutil', '/mm', path, '/v'],
        ['eseutil', '/ms', path],
        ['eseutil', '/ms', path, '/v', '/f#all'],
        ['eseutil', '/mn', path],
        ['eseutil', '/mn', path, '/a'],
        ['eseutil', '/mh', path, `/p${pgno}`, '/v'],
        ['eseutil', '/mh', path, `/n${pgno}:1`],
        ['eseutil', '/mh', path, `/i${pgno}:1`],
        ['eseutil', '/k', path],
        ['eseutil', '/g', path, '-f/out/fuzz'],
        ['esekit', 'tables', path],
        ['esekit', 'export', path, '--out', '/out', '--format', 'canonical'],
        ['esekit', 'export', path, '--out', '/out', '--format', 'jsonl'],
        ['esekit', 'export', path, '--out', '/out', '--format', 'csv'],
      ];
    case 'log':
      return [
        ...[path, ...stream].flatMap((source): Invocation[] => [
          ['eseutil', '/ml', source],
          ['eseutil', '/ml', source, '/v'],
          ['eseutil', '/k', source],
        ]),
        ['esekit', 'records', path],
      ];
    case 'checkpoint':
      return [
        ['eseutil', '/mk', path],
        ['eseutil', '/k', path],
      ];
    default:
      return [
        ['eseutil', '/mp', path],
        ['eseutil', '/mp', path, '/p0'],
        ['eseutil', '/k', path],
      ];
  }
}

/** Lets a call through, or throws what is wrong with it. */
function readGuard(disk: SimulatedDisk): (call: DiskCall) => undefined {
  const sizes = new Map<string, number>();
  const read = new Map<string, number>();
  for (const name of disk.readdir(FOLDER))
    sizes.set(`${FOLDER}/${name}`, disk.stat(`${FOLDER}/${name}`).size);
  return (call) => {
    const { path, length = 0 } = call;
    if (isMutation(call) && !path.startsWith('/out'))
      throw new Error(`a read mode changes: ${formatCall(call)}`);
    if (call.operation !== 'readAt') return;
    const limit = Math.max(READ_BYTES_MAX, sizes.get(path) ?? 0);
    if (length > limit) throw new Error(`a read that nobody bounded: ${formatCall(call)}`);
    const total = (read.get(path) ?? 0) + length;
    read.set(path, total);
    if (total > limit * REREADS_MAX) throw new Error(`reads ${path} over and over`);
  };
}

/** Runs a program on a disk; throws when it met a fault of its own instead of one of the file. */
async function run(disk: SimulatedDisk, [program, ...argv]: Invocation): Promise<string> {
  let tail = '';
  const print = (text: string | Uint8Array): void => {
    tail = (tail + (typeof text === 'string' ? text : Buffer.from(text).toString('latin1'))).slice(-2000);
  };
  const host: CliHost = {
    environment: seededEnvironment({ fs: disk, seed: 1 }),
    fs: disk,
    now: () => performance.now(),
    terminal: {
      stdinIsTerminal: false,
      stdoutIsTerminal: false,
      stderrIsTerminal: false,
      out: print,
      err: print,
      readLine: () => null,
    },
    platform: 'posix',
    programName: program,
    pid: 1,
    probe: (path) => (disk.exists(path) ? (disk.stat(path).isDirectory ? 'directory' : 'file') : null),
    onInterrupt: () => ({
      signal: new AbortController().signal,
      signalNumber: () => undefined,
      release: () => {},
    }),
  };
  const exit = await (program === 'eseutil' ? runEseutil : runEsekit)(argv, host);
  if (tail.includes('JET_errInternalError')) throw new Error(tail);
  return /JET_\w+/.exec(tail)?.[0] ?? `exit ${exit}`;
}

async function recoverSet(disk: SimulatedDisk, baseName: string, seed: number): Promise<string> {
  const random = seededRandom(seed);
  try {
    await recover(seededEnvironment({ fs: disk, seed }), {
      baseName,
      logPath: FOLDER,
      systemPath: FOLDER,
      databasePath: FOLDER,
      acceptLoss: randomChance(random, 1 / 4),
      ignoreMissing: randomChance(random, 1 / 4),
      ...(randomChance(random, 1 / 8) ? { stopBeforeUndo: {} } : {}),
    });
    return 'recovered';
  } catch (error) {
    if (error instanceof EseError && error.name !== 'JET_errInternalError') return error.name;
    throw error;
  }
}

/** Ends the process when a round does not end: nothing else can interrupt an endless loop. */
const heartbeat = new Int32Array(new SharedArrayBuffer(8));
let watchdog: Worker | undefined;

beforeAll(() => {
  const program = `
    const { workerData: heartbeat } = require('node:worker_threads');
    let last = -1, since = Date.now();
    setInterval(() => {
      const now = Atomics.load(heartbeat, 0);
      if (now !== last) { last = now; since = Date.now(); return; }
      if (now === 0 || Date.now() - since < ${ROUND_MS_MAX}) return;
      require('node:fs').writeSync(2, 'fuzz: the round with seed ' + Atomics.load(heartbeat, 1) + ' does not end\\n');
      process.kill(process.pid, 'SIGKILL');
    }, 1000);`;
  watchdog = new Worker(program, { eval: true, workerData: heartbeat });
  watchdog.unref();
});
afterAll(() => watchdog?.terminate());

async function runRound(seed: number): Promise<string> {
  const random = seededRandom(seed);
  const { set, name } = pick(random, filesOf(pick(random, KINDS)));
  const disk = diskOf(set);
  const baseName = baseNameOf(set);
  const file = `${FOLDER}/${name}`;
  const [block = 2] = mutateFile(disk, file, random);
  // Now and then a second file of the set as well.
  if (randomChance(random, 1 / 8)) mutateFile(disk, `${FOLDER}/${pick(random, set.files)}`, random);

  const recovers = baseName !== undefined && randomChance(random, 1 / 3);
  const invocation = pick(random, invocationsOf(set, file, block - 1));
  const withJson = randomChance(random, 1 / 3) ? [...invocation, '--json'] : invocation;
  const what = recovers ? `recovery of ${baseName}` : withJson.join(' ');
  try {
    if (recovers) return `recovery: ${await recoverSet(disk, baseName, seed)}`;
    disk.faults = readGuard(disk);
    return `${invocation[1]}: ${await run(disk, withJson as unknown as Invocation)}`;
  } catch (cause) {
    throw new Error(`seed ${seed}, set ${set.name}, ${file}: ${what}: ${String(cause)}`, { cause });
  }
}

function pick<T>(random: Random, from: readonly T[]): T {
  const picked = from[randomBelow(random, from.length)];
  if (picked === undefined) throw new Error('there is nothing to choose from');
  return picked;
}

describe.skipIf(sets.length === 0)('Mutated files', () => {
  it(
    'give results or EseErrors, in bounded time and memory, and are never written by readers',
    async () => {
      const outcomes = new Map<string, number>();
      const failures: unknown[] = [];
      const first = ONLY_SEED === undefined ? 1 : Number(ONLY_SEED);
      const last = ONLY_SEED === undefined ? ROUNDS : first;
      for (let seed = first; seed <= last; seed++) {
        Atomics.store(heartbeat, 1, seed);
        Atomics.add(heartbeat, 0, 1);
        try {
          const outcome = await runRound(seed);
          outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
        } catch (error) {
          failures.push(error);
        }
      }
      Atomics.store(heartbeat, 0, 0);
      if (process.env.ESEKIT_FUZZ_ROUNDS !== undefined) console.table([...outcomes].sort());
      expect(failures.map(String)).toEqual([]);
      if (ONLY_SEED === undefined)
        expect([...outcomes.keys()].filter((key) => key.includes('JET_')).length).toBeGreaterThan(5);
      expect(process.resourceUsage().maxRSS * 1024).toBeLessThan(RESIDENT_BYTES_MAX);
    },
    ROUNDS * 10_000 + 60_000,
  );
});
