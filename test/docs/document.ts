import { readdirSync, readFileSync } from 'node:fs';
import { join, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

const REPOSITORY = fileURLToPath(new URL('../..', import.meta.url));

/** Text of a file of the repository. */
export function readRepositoryFile(...parts: string[]): string {
  return readFileSync(join(REPOSITORY, ...parts), 'utf8');
}

/** Paths, from the repository on, of the files below some of its folders that end as given. */
export function repositoryFiles(folders: readonly string[], endings: readonly string[]): string[] {
  return folders.flatMap((folder) =>
    readdirSync(join(REPOSITORY, folder), { recursive: true, encoding: 'utf8' })
      .filter((name) => !name.split(sep).includes('node_modules'))
      .filter((name) => endings.some((ending) => name.endsWith(ending)))
      .map((name) => join(folder, name)),
  );
}

/** The format specification by numbered sections: text up to the next heading. */
export function formatSections(): ReadonlyMap<string, string> {
  const sections = new Map<string, string>();
  let number = '';
  for (const line of readRepositoryFile('docs', 'file-format.md').split('\n')) {
    const heading = /^#+ (\d+(?:\.\d+)*) /.exec(line);
    if (heading !== null) number = heading[1] ?? '';
    else if (line.startsWith('#')) number = '';
    sections.set(number, `${sections.get(number) ?? ''}${line}\n`);
  }
  return sections;
}

/** Cells of the rows of all tables in a text, header and rule left out. */
export function tableRows(text: string): string[][] {
  const rows = text.split('\n').map((line) =>
    line.startsWith('|')
      ? line
          .slice(1, line.lastIndexOf('|'))
          .split('|')
          .map((cell) => cell.trim())
      : [],
  );
  return rows.filter((_row, i) => {
    const isRule = (row: string[] | undefined) => row?.[0] !== undefined && /^-+$/.test(row[0]);
    return (rows[i]?.length ?? 0) > 0 && !isRule(rows[i]) && !isRule(rows[i + 1]);
  });
}

/** Bytes of the examples, by what they are said to be: lines that are not shown are zero. */
export function byteExamples(text: string): ReadonlyMap<string, Uint8Array> {
  const examples = new Map<string, Uint8Array>();
  for (const [, name = '', block = ''] of text.matchAll(/<!-- bytes: (.*) -->\n```text\n([^`]*)```/g)) {
    const bytes = new Uint8Array(4096);
    for (const line of block.trimEnd().split('\n')) {
      const [, offset = '', hexadecimal = ''] = /^([0-9a-f]{4}) {2}((?:[0-9a-f]{2} ?)+)/.exec(line) ?? [];
      bytes.set(Buffer.from(hexadecimal.replaceAll(' ', ''), 'hex'), Number.parseInt(offset, 16));
    }
    examples.set(name, bytes);
  }
  return examples;
}
