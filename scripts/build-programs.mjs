/**
 * Bundles the programs into `dist/bin`: to load a program of a hundred small modules takes longer than to verify a small
 * file. They become CommonJS, which Node loads without the machinery of ES modules and of streams.
 *
 * Usage: node scripts/build-programs.mjs [dist], where `dist` holds what the compiler has made.
 */
import { copyFileSync, existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';

const PROGRAMS = ['eseutil', 'esekit', 'program-thread'];
/**
 * Modules that so many modes and jobs need lie in one file, read by all of them. Fewer, and `/k` reads what only others
 * need; more, and it opens more files: both cost.
 */
const SHARED_BY = 12;

const piscina = fileURLToPath(new URL('../node_modules/piscina', import.meta.url));
const dist = resolve(process.argv[2] ?? fileURLToPath(new URL('../dist', import.meta.url)));
const bundle = await rolldown({
  cwd: dist,
  input: {
    ...Object.fromEntries(PROGRAMS.map((name) => [name, join(dist, 'cli', `${name}.js`)])),
    // What the pool starts its threads with, by this name beside itself.
    worker: join(piscina, 'dist', 'worker.js'),
  },
  platform: 'node',
  external: /^(?:crc-32|fs-extra|yargs|@napi-rs\/nice)$/,
  // Which modules are loaded only when they are asked for is decided in the sources.
  onLog: (level, log, print) => {
    if (log.code !== 'INEFFECTIVE_DYNAMIC_IMPORT') print(level, log);
  },
});
const { output } = await bundle.generate({
  format: 'cjs',
  comments: false,
  entryFileNames: '[name].js',
  chunkFileNames: '[name].js',
  codeSplitting: { groups: [{ name: 'common', minShareCount: SHARED_BY }] },
});
await bundle.close();

const place = join(dist, 'bin');
const [coming, going] = [`${place}-new`, `${place}-old`];
for (const folder of [coming, going]) rmSync(folder, { recursive: true, force: true });
mkdirSync(coming);
writeFileSync(join(coming, 'package.json'), '{ "type": "commonjs" }\n');
copyFileSync(join(piscina, 'LICENSE'), join(coming, 'LICENSE-piscina'));
for (const file of output) {
  if (file.type === 'chunk') writeFileSync(join(coming, file.fileName), file.code);
}
if (existsSync(place)) renameSync(place, going);
renameSync(coming, place);
rmSync(going, { recursive: true, force: true });
