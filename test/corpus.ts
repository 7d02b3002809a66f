import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe } from 'vitest';

/**
 * The corpus: real files written by Windows, with facts found by independent readers. It lies outside
 * the repository, in the folder that ESEKIT_CORPUS names, by default ../shared/corpus beside it.
 */
const repository = fileURLToPath(new URL('..', import.meta.url));
const root = resolve(process.env.ESEKIT_CORPUS ?? join(repository, '../shared/corpus'));
const isPresent = existsSync(join(root, 'README.md'));

/** Path of a file or folder of the corpus: `corpusPath('databases', 'large.edb')`. */
export function corpusPath(...parts: string[]): string {
  return join(root, ...parts);
}

/** Parsed contents of a JSON file of the corpus, `F.facts.json` for instance. The caller states its shape. */
export function corpusJson<T>(...parts: string[]): T {
  return JSON.parse(readFileSync(corpusPath(...parts), 'utf8')) as T;
}

/** Names of the databases in the corpus folder `databases`, each with `NAME.facts.json` and `NAME.rows`. */
export function corpusDatabases(): string[] {
  if (!isPresent) return [];
  return readdirSync(corpusPath('databases'))
    .filter((name) => name.endsWith('.facts.json'))
    .map((name) => name.slice(0, -'.facts.json'.length));
}

/** A database of the corpus; those of the recovery sets count too. */
export interface CorpusDatabase {
  /** `test.edb`, or `srum-clean/SRUDB.dat` for one of a recovery set. */
  readonly name: string;
  readonly path: string;
  /** Folder with one `TABLE.jsonl` a table. */
  readonly rowsPath: string;
  /** Path of its facts within the corpus, for {@link corpusJson}. */
  readonly facts: readonly string[];
}

/** Every database of the corpus that has facts. */
export function allCorpusDatabases(): CorpusDatabase[] {
  if (!isPresent) return [];
  const sets = readdirSync(corpusPath('recovery'), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => ['recovery', entry.name]);
  return [['databases'], ...sets].flatMap((folder) =>
    readdirSync(corpusPath(...folder))
      .filter((name) => name.endsWith('.facts.json'))
      .map((name) => name.slice(0, -'.facts.json'.length))
      .filter((name) => existsSync(corpusPath(...folder, name)))
      .map((name) => ({
        name: [...folder.slice(1), name].join('/'),
        path: corpusPath(...folder, name),
        rowsPath: corpusPath(...folder, `${name}.rows`),
        facts: [...folder, `${name}.facts.json`],
      })),
  );
}

/** `describe` for tests that need the corpus; without it they are skipped, and the output says so. */
export function describeWithCorpus(name: string, tests: () => void): void {
  if (!isPresent) console.warn(`skipped, no corpus at ${root} (set ESEKIT_CORPUS): ${name}`);
  describe.skipIf(!isPresent)(name, tests);
}
