import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openDatabaseReader } from '../dist/engine/database-reader.js';
import { nodeFileSystem } from '../dist/io/node-file-system.js';
import { exportTable } from '../dist/maintenance/export.js';
import { compare, isInstalled, runProgram, withDataFolder } from './harness.mjs';

/**
 * Export of the largest table of the corpus, the 65,068 rows of the catalog of `large.edb`: whole processes that
 * write the table to a file, against `esedbexport` (which writes text with tabs); and the function in this
 * process, output thrown away. Rates are those of the text that each writes.
 */

const DATABASE = fileURLToPath(
  new URL(
    'databases/large.edb',
    `file://${process.env.ESEKIT_CORPUS ?? fileURLToPath(new URL('../../shared/corpus', import.meta.url))}/`,
  ),
);
const TABLE = 'MSysObjects';
const ROWS = 65_068;
/** The peer needs half a minute a round. */
const PROCESS_ROUNDS = 3;
const GIB = 2 ** 30;
const FORMATS = /** @type {const} */ (['csv', 'jsonl', 'canonical']);

const esekit = fileURLToPath(new URL('../dist/bin/esekit.js', import.meta.url));

/** @param {'csv' | 'jsonl' | 'canonical'} format */
async function exportInProcess(format) {
  const database = openDatabaseReader(nodeFileSystem, DATABASE);
  const { rows, bytes } = await exportTable(database, database.table(TABLE), format, () => {});
  database.close();
  if (rows !== ROWS) throw new Error(`${rows} rows were exported instead of ${ROWS}`);
  return bytes;
}

if (!existsSync(DATABASE)) {
  console.log(`without the corpus there is nothing to export: ${DATABASE}`);
} else {
  await withDataFolder(GIB, async (folder) => {
    runProgram('cat', [DATABASE]);
    const peers = [];
    if (isInstalled('esedbexport', '-V')) {
      const target = join(folder, 'peer');
      peers.push({
        name: 'esedbexport',
        run: () => {
          rmSync(`${target}.export`, { recursive: true, force: true });
          runProgram('esedbexport', ['-t', target, '-T', TABLE, DATABASE]);
        },
      });
    } else {
      console.log('without the peer esedbexport: apt-get install libesedb-utils');
    }
    await compare(
      `Export of ${ROWS} rows, whole process`,
      0,
      [
        ...peers,
        ...FORMATS.map((format) => ({
          name: `esekit export --format ${format}`,
          run: () => {
            const out = join(folder, format);
            rmSync(out, { recursive: true, force: true });
            runProgram(process.execPath, [
              esekit,
              'export',
              DATABASE,
              '--table',
              TABLE,
              '--format',
              format,
              '--out',
              out,
            ]);
          },
        })),
      ],
      PROCESS_ROUNDS,
    );
    /** @type {{ name: string, bytes: number, run: () => unknown }[]} */
    const own = [];
    for (const format of FORMATS) {
      own.push({
        name: `exportTable, ${format}`,
        bytes: await exportInProcess(format),
        run: () => exportInProcess(format),
      });
    }
    await compare(`Export of ${ROWS} rows, in process, catalog included`, own[0]?.bytes ?? 0, own);
  });
}
