import { existsSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { FAULT_KINDS } from '../../src/drill/inject.js';
import { readRepositoryFile, repositoryFiles, tableRows } from './document.js';

const repository = fileURLToPath(new URL('../..', import.meta.url));
const documents = repositoryFiles(['docs'], ['.md']);

/** Names in backquotes at the start of a table's rows. */
function firstCells(text: string): string[] {
  return tableRows(text).flatMap(([cell = '']) =>
    [...cell.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name),
  );
}

describe('the documents', () => {
  it.each(documents)('%s links to files that exist', (document) => {
    const links = [...readRepositoryFile(document).matchAll(/\]\(([^)#:]+)\)/g)].map(([, link = '']) => link);
    const missing = links.filter((link) => !existsSync(join(repository, dirname(document), link)));
    expect(missing).toEqual([]);
  });

  it.each(documents)('%s names files of the source that exist', (document) => {
    const text = readRepositoryFile(document);
    const names = [...text.matchAll(/`((?:src|test|bench|kernel|scripts)\/[\w./-]+\.(?:ts|mjs|md))`/g)];
    const missing = names.map(([, name = '']) => name).filter((name) => !existsSync(join(repository, name)));
    expect(missing).toEqual([]);
  });

  it('describe every floor of the house', () => {
    const floors = new Set(
      repositoryFiles(['src'], ['.ts'])
        .map((file) => file.split(/[\\/]/))
        .flatMap(([, floor = '', ...rest]) => (rest.length > 0 ? [`${floor}/`] : [])),
    );
    const described = firstCells(readRepositoryFile('docs', 'architecture.md'));
    expect([...floors].filter((floor) => !described.includes(floor))).toEqual([]);
  });

  it('count the faults that can be injected', () => {
    const [, count] = /(\d+) kinds, from a flipped bit/.exec(readRepositoryFile('README.md')) ?? [];
    expect(Number(count)).toBe(FAULT_KINDS.length);
  });

  it('list every benchmark', () => {
    const benchmarks = repositoryFiles(['bench'], ['.bench.mjs']).map((file) => basename(file));
    const listed = firstCells(readRepositoryFile('bench', 'README.md'));
    expect(listed.filter((name) => name.endsWith('.bench.mjs')).sort()).toEqual(benchmarks.sort());
  });

  it('list every variable that a test reads', () => {
    const read = new Set<string>();
    for (const file of repositoryFiles(['src', 'test'], ['.ts'])) {
      for (const [name] of readRepositoryFile(file).matchAll(/ESEKIT_[A-Z_]+/g)) read.add(name);
    }
    read.delete('ESEKIT_CORPUS');
    const listed = firstCells(readRepositoryFile('docs', 'testing.md')).filter((name) =>
      name.startsWith('ESEKIT_'),
    );
    expect([...read].filter((name) => !listed.includes(name) && name !== 'ESEKIT_')).toEqual([]);
    expect(listed.filter((name) => !read.has(name))).toEqual([]);
  });
});
