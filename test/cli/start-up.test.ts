import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { corpusPath, describeWithCorpus } from '../corpus.js';
import { isBuilt } from '../support/built.js';
import { temporaryFolder } from './run.js';

const folder = temporaryFolder();
const dist = new URL('../../dist/', import.meta.url);
/** The program in modules as in the sources: what depends on what. */
const program = fileURLToPath(new URL('cli/eseutil.js', dist));
/** The program as it is shipped. */
const bundled = fileURLToPath(new URL('bin/eseutil.js', dist));

/** The modules of ours, and those of others, that a run loads: a coverage report lists them. */
function loadedModules(argv: readonly string[], script = program): string[] {
  const coverage = mkdtempSync(join(folder, 'coverage-'));
  const env = { ...process.env, NODE_V8_COVERAGE: coverage };
  const run = spawnSync(process.execPath, [script, ...argv], { env, encoding: 'utf8' });
  expect(run.stderr).toBe('');
  const urls = readdirSync(coverage).flatMap((name) => {
    const report = JSON.parse(readFileSync(join(coverage, name), 'utf8')) as { result: { url: string }[] };
    return report.result.map(({ url }) => url);
  });
  return urls.filter((url) => url.startsWith('file:')).map((url) => url.replace(dist.href, ''));
}

/** Every module costs start-up time, which for small files is most of the time (chapter 9.2). */
describeWithCorpus('start-up', () => {
  const hasProgram = isBuilt(program);
  const other = (modules: string[], allowed: RegExp) => modules.filter((name) => !allowed.test(name));

  test.skipIf(!hasProgram)('help and version load the command line only', () => {
    const allowed =
      /^cli\/[^/]+\.js$|^io\/|^format\/(?:ese-error|jet-errors)\.js$|^maintenance\/report-values\.js$/;
    for (const argv of [['--version'], ['-?']]) expect(other(loadedModules(argv), allowed)).toEqual([]);
  });

  test.skipIf(!hasProgram)('a header dump loads no engine, no recovery, no workers and no library', () => {
    const modules = loadedModules(['-mh', corpusPath('databases', 'test.edb')]);
    const allowed =
      /^cli\/(?!eseutil\/)|^cli\/eseutil\/dump-header\.js$|^io\/|^format\/|^maintenance\/(?:dump-header|file-kind|report-values)\.js$|^engine\/header-election\.js$/;
    expect(other(modules, allowed)).toEqual([]);
  });

  test.skipIf(!hasProgram)('checksums of a small file load no worker pool library', () => {
    const modules = loadedModules(['-k', corpusPath('databases', 'test.edb')]);
    expect(modules.filter((name) => name.includes('node_modules') || name.startsWith('recovery/'))).toEqual(
      [],
    );
  });

  test.skipIf(!isBuilt(bundled))('the bundle is few files, and whole', () => {
    const database = corpusPath('databases', 'test.edb');
    for (const argv of [['--version'], ['-?'], ['-mh', database], ['-k', database]]) {
      const files = loadedModules(argv, bundled);
      expect(other(files, /^bin\/[^/]+\.js$/)).toEqual([]);
      expect(files.length).toBeLessThan(20);
    }
  });
});
