/**
 * Makes the native fixtures anew: `npm run fixtures`. Every byte follows from the seeds in
 * `src/drill/native-fixtures.ts`; a test makes them again and compares.
 *
 * With a folder as argument the files are written there as they are, ready to be used; without one, each is
 * compressed into its place beside this script.
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { makeFixtures } from '../dist/drill/native-fixtures.js';

const [target] = process.argv.slice(2);
const home = fileURLToPath(new URL('.', import.meta.url));

for (const { name, files, facts } of makeFixtures()) {
  const folder = join(target ?? home, name);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'facts.json'), `${JSON.stringify(facts, null, 1)}\n`);
  for (const [file, bytes] of files) {
    if (target === undefined) writeFileSync(join(folder, `${file}.gz`), gzipSync(bytes, { level: 9 }));
    else writeFileSync(join(folder, file), bytes);
  }
  console.log(`${name}: ${files.size} files, ${facts.transactions} transactions`);
}
