/**
 * Compiles kernel/page-checksum.ts (AssemblyScript) and writes the module, as base64, into the source
 * file from which src/format/checksum-kernel.ts loads it. Does nothing if that file is newer already.
 */
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const source = 'kernel/page-checksum.ts';
const target = 'src/format/page-checksum-wasm.ts';
const inputs = [source, 'scripts/build-kernel.mjs', 'package.json'];

/** @param {string} file */
const modified = (file) => statSync(`${root}${file}`, { throwIfNoEntry: false })?.mtimeMs ?? 0;

if (modified(target) <= Math.max(...inputs.map(modified))) await build();

async function build() {
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
  ].flat();
  /** @type {Uint8Array | undefined} */
  let binary;
  const { error, stderr } = await asc.main([source, ...options, '--outFile', 'kernel.wasm'], {
    readFile: (/** @type {string} */ name, directory = '.') => {
      const file = name.startsWith('/') ? name : `${root}${directory}/${name}`;
      return statSync(file, { throwIfNoEntry: false })?.isFile() ? readFileSync(file, 'utf8') : null;
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
    `// Made by scripts/build-kernel.mjs from ${source}.\nexport const PAGE_CHECKSUM_WASM =\n  '${base64}';\n`,
  );
}
