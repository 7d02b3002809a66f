import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { type DrillReport, runFirstDrill } from '../../src/drill/first-drill.js';
import { type Programs, programsIn } from '../../src/drill/programs.js';
import { nodeFileSystem } from '../../src/io/node-file-system.js';
import { isBuilt } from '../support/built.js';

const scripts = fileURLToPath(new URL('../../dist/bin', import.meta.url));
const folders: string[] = [];
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** Runs the drill with the built programs, some of which may be replaced. */
async function drill(
  replace: (programs: Programs) => Partial<Programs> = () => ({}),
): Promise<{ report: DrillReport; text: string; folder: string }> {
  const folder = mkdtempSync(join(tmpdir(), 'esekit-drill-test-'));
  folders.push(folder);
  const programs = programsIn(scripts, folder);
  const lines: string[] = [];
  const report = await runFirstDrill({
    fs: nodeFileSystem,
    programs: { ...programs, ...replace(programs) },
    folder,
    seed: 1,
    say: (line) => lines.push(line),
    now: () => performance.now(),
  });
  return { report, text: lines.join('\n'), folder };
}

const COMMANDS = [
  'esekit create drill.edb --log-size 256',
  'esekit load drill.edb --rows 10000000 --seed 1 --journal drill.journal --checkpoint-depth 512',
  'kill -KILL',
  'eseutil /mh drill.edb',
  'eseutil /ml E00',
  'eseutil /r E00 /l . /s . /d .',
  'eseutil /mh drill.edb',
  'eseutil /k drill.edb',
  'esekit verify drill.edb --journal drill.journal',
  'esekit export drill.edb --out exported',
];

describe.skipIf(!isBuilt(join(scripts, 'esekit.js')))('the first drill', () => {
  it('types its commands, finds every row that was promised, and says so', { timeout: 120_000 }, async () => {
    const { report, text, folder } = await drill();
    expect(report.steps.map(({ command }) => command.replace(/(-KILL) \d+$/, '$1'))).toEqual(COMMANDS);
    expect(report).toMatchObject({ name: 'first', seed: 1, verdict: 'pass', loss: { entries: 0 } });
    expect(report.steps.every(({ ok }) => ok)).toBe(true);
    expect(report.journalled).toBeGreaterThan(100);
    expect(text).toContain('State: Dirty Shutdown');
    expect(text).toContain('State: Clean Shutdown');
    expect(text).toContain(`Transactions: ${report.journalled} in the journal`);
    expect(text).toContain(`VERDICT: PASS. All ${report.journalled} transactions`);
    expect(readdirSync(join(folder, 'exported'))).toContain('Orders.jsonl');
  });

  it('fails where a step does not do what it should, and goes no further', { timeout: 120_000 }, async () => {
    const { report, text } = await drill((programs) => ({
      run: async (program, args) =>
        args[0] === '/r' ? { exit: 0, stdout: '', stderr: '' } : programs.run(program, args),
    }));
    expect(report).toMatchObject({ verdict: 'fail', loss: null });
    expect(report.steps.map(({ ok }) => ok)).toEqual([true, true, true, true, true, true, false]);
    expect(text).toContain('=> not as it should be');
    expect(text).toContain('VERDICT: FAIL.');
  });

  it('fails where the load ends before it is killed', { timeout: 120_000 }, async () => {
    const { report, text } = await drill((programs) => ({
      start: (program) => programs.start(program, ['load', 'nothing.edb', '--rows', '1']),
    }));
    expect(report.steps.map(({ ok }) => ok)).toEqual([true, false]);
    expect(text).toMatch(/the load ended by itself, exit code 3: Error: -1811/);
  });
});
