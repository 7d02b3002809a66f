/**
 * Compiles the kernels (AssemblyScript) and writes each module, as base64, into the source file from which its
 * user loads it. Does nothing for those that are newer already.
 */
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const kernels = [
  ['kernel/page-checksum.ts', 'src/format/page-checksum-wasm.ts', 'PAGE_CHECKSUM_WASM'],
  ['kernel/log-walk.ts', 'src/format/log-walk-wasm.ts', 'LOG_WALK_WASM'],
  ['kernel/bulk.ts', 'src/engine/bulk/bulk-wasm.ts', 'BULK_WASM'],
  ['kernel/leaf-check.ts', 'src/maintenance/integrity/leaf-check-wasm.ts', 'LEAF_CHECK_WASM'],
  ['kernel/replay-walk.ts', 'src/recovery/replay-wasm.ts', 'REPLAY_WASM'],
];
/** Kernels whose threads work on one memory. */
const shared = ['kernel/replay-walk.ts'];
/** What kernels are made of besides their own file. */
const parts = ['kernel/replay.ts', 'kernel/replay-page.ts', 'kernel/replay-split.ts', 'kernel/tags.ts'];
const common = ['scripts/build-kernel.mjs', 'package.json'];

/** @param {string} file */
const modified = (file) => statSync(`${root}${file}`, { throwIfNoEntry: false })?.mtimeMs ?? 0;

for (const [source = '', target = '', name = ''] of kernels) {
  if (modified(target) <= Math.max(...[source, ...parts, ...common].map(modified)))
    await build(source, target, name);
}

/**
 * @param {string} source
 * @param {string} target
 * @param {string} name
 */
async function build(source, target, name) {
  // Not a literal: the types of the compiler would put its own `console` in the place of Node's.
  const compiler = 'assemblyscript/asc';
  const { default: asc } = await import(compiler);
  const options = [
    ['--enable', 'simd'],
    ['--enable', 'bulk-memory'],
    ['--runtime', 'stub'],
    ['--use', 'abort='],
    ['--optimizeLevel', '3'],
    '--noAssert',
    '--importMemory',
    '--noExportMemory',
    shared.includes(source) ? ['--enable', 'threads', '--sharedMemory', '--initialMemory', '1'] : [],
    shared.includes(source) ? ['--maximumMemory', '65536'] : [],
  ].flat();
  /** @type {Uint8Array | undefined} */
  let binary;
  const { error, stderr } = await asc.main([source, ...options, '--outFile', 'kernel.wasm'], {
    readFile: (/** @type {string} */ file, directory = '.') => {
      const path = file.startsWith('/') ? file : `${root}${directory}/${file}`;
      return statSync(path, { throwIfNoEntry: false })?.isFile() ? readFileSync(path, 'utf8') : null;
    },
    writeFile: (/** @type {string} */ _name, /** @type {Uint8Array} */ contents) => {
      binary = Buffer.from(contents);
    },
    listFiles: () => [],
  });
  if (error || binary === undefined) throw new Error(`${source}: ${error?.message}\n${stderr.toString()}`);
  const base64 = Buffer.from(binary).toString('base64');
  writeFileSync(
    `${root}${target}`,
    `// Made by scripts/build-kernel.mjs from ${source}.\nexport const ${name} =\n  '${base64}';\n`,
  );
}
