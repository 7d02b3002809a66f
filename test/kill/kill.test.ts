import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { readJournal } from '../../src/drill/journal.js';
import { programsIn } from '../../src/drill/programs.js';
import { nodeFileSystem } from '../../src/io/node-file-system.js';
import { randomBelow, randomChance, seededRandom } from '../../src/io/seeded-random.js';
import { isBuilt } from '../support/built.js';
import { compareWithEsedbexport, hasEsedbexport } from '../support/esedbexport.js';
import { judgeWorkload } from '../support/workload-lab.js';

/**
 * Processes that are really killed. Each round creates a database in a way that a seed chooses, lets a child load it,
 * kills the child, lets another go on (which has to recover first, and may be killed while it does), and recovers in
 * the end with `eseutil /r`.
 *
 * `ESEKIT_KILLS` is the number of kills, `ESEKIT_SEED` the seed of the first round. The children are the built programs.
 */
const KILLS = Number(process.env.ESEKIT_KILLS ?? 6);
const SEED = Number(process.env.ESEKIT_SEED ?? 1);
const ROUND_MS = 120_000;
const KILLS_PER_ROUND_MOST = 3;
/** No child ends by itself. */
const ROWS = 10_000_000;

const scripts = fileURLToPath(new URL('../../dist/bin', import.meta.url));

describe('a program that is killed while it loads a database', () => {
  it.skipIf(!isBuilt(join(scripts, 'esekit.js')))(
    `loses nothing that was promised, in ${KILLS} kills`,
    { timeout: KILLS * ROUND_MS },
    async () => {
      let killed = 0;
      for (let seed = SEED; killed < KILLS; seed++) {
        const kills = await oneRound(seed, Math.min(KILLS_PER_ROUND_MOST, KILLS - killed));
        killed += kills;
        if (process.env.ESEKIT_KILLS !== undefined) console.log(`seed ${seed}: ${killed} of ${KILLS} kills`);
      }
      expect(killed).toBe(KILLS);
    },
  );
});

/** One database and its kills; returns how many there were. */
async function oneRound(seed: number, killsMost: number): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'esekit-kill-'));
  const random = seededRandom(seed);
  const choose = (list: readonly number[]): number => list[randomBelow(random, list.length)] ?? 0;
  const pageSize = choose([4096, 8192, 16384, 32768]);
  const isLazy = randomChance(random, 0.3);
  const isCircular = randomChance(random, 0.3);
  const place = [
    ...(isCircular ? ['--circular'] : []),
    ...['--checkpoint-depth', String(choose([64, 256, 1024, 20_480]))],
    ...['--cache', String(choose([256, 1024, 65_536]))],
  ];
  const kills = 1 + randomBelow(random, killsMost);
  const programs = programsIn(scripts, folder);
  const journal = join(folder, 'j');
  try {
    const logSize = String(choose([128, 256, 1024]));
    await must(
      programs.run('esekit', ['create', 'k.edb', '--page-size', String(pageSize), '--log-size', logSize]),
    );
    for (let kill = 0; kill < kills; kill++) {
      const load = [
        'load',
        'k.edb',
        '--rows',
        String(ROWS),
        '--seed',
        String(seed),
        '--journal',
        'j',
        ...place,
      ];
      const child = programs.start('esekit', isLazy ? [...load, '--lazy'] : load);
      // Some die while they start, and recover what the one before left.
      const lines = randomChance(random, 0.3) ? 0 : randomBelow(random, 80);
      const target = linesOf(journal) + lines;
      while (child.isRunning() && linesOf(journal) < target) await sleep(2);
      await sleep(lines === 0 ? randomBelow(random, 1500) : randomBelow(random, 40));
      child.kill();
      const { exit, stderr } = await child.ended;
      if (exit !== null) throw new Error(`the load ended by itself with ${exit}: ${stderr}`);
    }
    await must(programs.run('eseutil', ['/r', 'E00', '/l', '.', '/s', '.', '/d', '.']));
    await judge(folder, isLazy ? undefined : kills);
  } catch (cause) {
    // The files stay: they are what is to be looked at.
    throw new Error(`found wrong with ESEKIT_SEED=${seed}, files in ${folder}: ${String(cause)}`, { cause });
  }
  rmSync(folder, { recursive: true, force: true });
  return kills;
}

async function judge(folder: string, unjournalledMost: number | undefined): Promise<void> {
  const path = join(folder, 'k.edb');
  const journalPath = join(folder, 'j');
  if (!existsSync(journalPath)) return;
  const journal = readJournal(nodeFileSystem, journalPath);
  if (journal.length === 0) return;
  const verdict = await judgeWorkload(nodeFileSystem, journal, path);
  expect(verdict).toMatchObject({
    ok: true,
    transactions: { missing: [], holes: [] },
    rows: { missing: [], different: [], extra: [] },
  });
  // One transaction a kill may be durable before the journal says so.
  if (unjournalledMost !== undefined) {
    expect(verdict.transactions.unjournalled.length).toBeLessThanOrEqual(unjournalledMost);
  }
  if (hasEsedbexport) expect(compareWithEsedbexport(path).unexplained).toEqual([]);
}

async function must(run: Promise<{ exit: number | null; stdout: string; stderr: string }>): Promise<void> {
  const { exit, stdout, stderr } = await run;
  if (exit !== 0) throw new Error(`exit code ${exit}: ${stdout}${stderr}`);
}

function linesOf(path: string): number {
  return existsSync(path) ? readFileSync(path, 'latin1').split('\n').length - 1 : 0;
}
