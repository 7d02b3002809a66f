import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { openDatabase } from '../../src/index.js';
import { nodeFileSystem } from '../../src/io/node-file-system.js';
import { assertSound } from '../../src/maintenance/integrity.js';
import { corpusPath, describeWithCorpus } from '../corpus.js';
import { isBuilt } from '../support/built.js';
import { readRepositoryFile } from './document.js';

/** The programs in the README and in the head of the library, which run as they are printed. */
const library = fileURLToPath(new URL('../../dist/index.js', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'esekit-readme-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Programs of a text; `before` stands in front of each of its lines. */
function programsOf(text: string, before: RegExp): string[] {
  const bare = text
    .split('\n')
    .map((line) => line.replace(before, ''))
    .join('\n');
  return [...bare.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, program]) => program ?? '');
}

const programs = [
  ...programsOf(readRepositoryFile('README.md'), /^/),
  ...programsOf(readRepositoryFile('src', 'index.ts'), /^ \* ?/),
];

/** Runs a program in a folder of its own; returns that and what it prints. */
function run(program: string, prepare: (folder: string) => void = () => {}): { at: string; stdout: string } {
  const at = mkdtempSync(join(folder, 'run-'));
  prepare(at);
  const file = join(at, 'program.mjs');
  writeFileSync(file, program.replace("from 'esekit'", `from '${pathToFileURL(library)}'`));
  const { status, stdout, stderr } = spawnSync(process.execPath, [file], { cwd: at, encoding: 'utf8' });
  expect([status, stderr]).toEqual([0, '']);
  return { at, stdout };
}

const [readsOne, writes] = ['SRUDB.dat', 'people.edb'].map((name) =>
  programs.filter((program) => program.includes(name)),
);

it('there are programs that read and that write', () => {
  expect([programs.length, readsOne?.length, writes?.length]).toEqual([4, 2, 2]);
});

describe.skipIf(!isBuilt(library))('the programs that write', () => {
  it.each(writes ?? [])('leave a clean and sound database: program %#', (program) => {
    const { at } = run(program);
    const path = join(at, 'people.edb');
    assertSound(nodeFileSystem, path);
    const database = openDatabase(path);
    expect(database.warnings).toEqual([]);
    const names = [...database.rows('People')].map(({ Id, Name }) => [Id, Name]);
    database.close();
    const all = [
      [1, 'Grace'],
      [2, 'Ada Lovelace'],
      [3, 'Barbara'],
    ];
    expect(names).toEqual(program.includes('Grace') ? all : [[1, 'Ada']]);
  });
});

describeWithCorpus('the programs that read', () => {
  it.skipIf(!isBuilt(library)).each(readsOne ?? [])('print every row: program %#', (program) => {
    const { stdout } = run(program, (at) => {
      copyFileSync(corpusPath('recovery', 'srum-clean', 'SRUDB.dat'), join(at, 'SRUDB.dat'));
    });
    expect(stdout.match(/IdIndex:/g)?.length).toBeGreaterThan(100);
  });
});
