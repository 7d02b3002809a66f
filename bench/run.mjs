import { readdirSync } from 'node:fs';

/** Runs the benchmarks whose names contain one of the arguments, all without arguments. */

const wanted = process.argv.slice(2);
const names = readdirSync(new URL('.', import.meta.url))
  .filter((name) => name.endsWith('.bench.mjs'))
  .filter((name) => wanted.length === 0 || wanted.some((part) => name.includes(part)));

for (const name of names) {
  console.log(`\n== ${name}`);
  await import(`./${name}`);
}
