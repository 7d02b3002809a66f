import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { isBuilt } from '../support/built.js';
import { temporaryFolder } from './run.js';

const folder = temporaryFolder();
const program = fileURLToPath(new URL('../../dist/bin/eseutil.js', import.meta.url));
const fixture = fileURLToPath(new URL('../../native-fixtures/crash-4k/E00.log.gz', import.meta.url));
const LOGS = 400;
const SIGINT = 2;

/** Starts a program, sends it a signal as soon as it says something, and waits for its end. */
function interrupt(argv: readonly string[]): Promise<{ exit: number | null; stdout: string }> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [program, ...argv], { stdio: ['ignore', 'pipe', 'inherit'] });
    let stdout = '';
    child.stdout.setEncoding('utf8');
    child.stdout.once('data', () => child.kill('SIGINT'));
    child.stdout.on('data', (text: string) => {
      stdout += text;
    });
    child.once('close', (exit) => resolve({ exit, stdout }));
  });
}

describe.skipIf(!isBuilt(program))('a dump that is interrupted', () => {
  const logs = join(folder, 'logs');
  mkdirSync(logs);
  const log = gunzipSync(readFileSync(fixture));
  for (let generation = 1; generation <= LOGS; generation++) {
    writeFileSync(join(logs, `E00${generation.toString(16).toUpperCase().padStart(8, '0')}.log`), log);
  }

  test('ends with the last event of its JSON output', { timeout: 60_000 }, async () => {
    const { exit, stdout } = await interrupt(['-ml', join(logs, 'E00'), '--jsonl']);
    const lines = stdout.trimEnd().split('\n');
    expect(exit).toBe(128 + SIGINT);
    expect(lines.length).toBeLessThan(LOGS);
    expect(JSON.parse(lines.at(-1) ?? '')).toMatchObject({
      event: 'end',
      mode: 'dumpLogStream',
      ok: false,
      exit: 128 + SIGINT,
      error: { code: null, name: 'Interrupted' },
      result: null,
    });
  });

  // The text comes in large pieces, so the signal may find the work done.
  test('leaves the JSON file that fits its exit code', { timeout: 60_000 }, async () => {
    const document = join(folder, 'document.json');
    const { exit } = await interrupt(['-ml', join(logs, 'E00'), `--json=${document}`]);
    expect([2, 128 + SIGINT]).toContain(exit);
    expect(JSON.parse(readFileSync(document, 'utf8'))).toMatchObject({ mode: 'dumpLogStream', exit });
  });
});
