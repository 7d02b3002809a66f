/** `esekit export FILE`: rows to stdout, or every table to a file of its own. */

import { join } from 'node:path';
import type { DatabaseReader } from '../../engine/database-reader.js';
import { EseError } from '../../format/ese-error.js';
import type { RowFormat } from '../../format/row-writer.js';
import type { TableDefinition } from '../../format/table-definition.js';
import {
  type ExportResult,
  type ExportWarning,
  exportFileName,
  exportTable,
} from '../../maintenance/export.js';
import { EXIT, exitCodeOfJet } from '../exit-codes.js';
import { UsageError } from '../usage-error.js';
import type { Verb, VerbContext, VerbOutcome } from '../verb.js';
import { withDatabase } from './with-database.js';

const FORMATS: readonly RowFormat[] = ['csv', 'jsonl', 'canonical'];

export const exportVerb: Verb = {
  writes: ({ out }) => out !== undefined,
  run: (context) => {
    const { table, out } = context.options;
    if (table === undefined && out === undefined) {
      throw new UsageError('Usage Error: name a table with --table, or a folder for all of them with --out.');
    }
    return withDatabase(context, (reader) => exportTables(context, reader));
  },
};

async function exportTables(context: VerbContext, reader: DatabaseReader): Promise<VerbOutcome> {
  const { table, out, format: wanted } = context.options;
  const format = FORMATS.find((one) => one === wanted) ?? 'jsonl';
  const tables = table === undefined ? reader.tables() : [reader.table(String(table))];
  const damage = damageWatch(context);
  if (out === undefined) return exportToStdout(context, reader, tables, format, damage);

  const folder = String(out);
  if (context.host.probe(folder) === 'file') {
    throw new EseError('JET_errInvalidPath', 'the folder of the export is a file', { file: folder });
  }
  context.host.fs.mkdir(folder);
  const exported: (ExportResult & { file: string })[] = [];
  for (const one of tables) {
    const file = join(folder, exportFileName(one.name, format));
    const result = await exportToFile(context, reader, one, format, file, damage);
    exported.push({ ...result, file });
    context.say(`${String(result.rows).padStart(10)}  ${file}`);
  }
  const result = { format, folder, tables: exported };
  return damage.first === undefined ? { result } : { result, error: damage.first };
}

async function exportToStdout(
  context: VerbContext,
  reader: DatabaseReader,
  tables: readonly TableDefinition[],
  format: RowFormat,
  damage: DamageWatch,
): Promise<VerbOutcome> {
  const { out } = context.host.terminal;
  for (const table of tables) {
    await exportTable(reader, table, format, out, { onWarning: damage.hear, signal: context.signal });
  }
  return { result: null, streamed: true, ...(damage.first === undefined ? {} : { error: damage.first }) };
}

/** A file is whole or it is not there: it is written beside its place and moved when it is complete. */
async function exportToFile(
  context: VerbContext,
  reader: DatabaseReader,
  table: TableDefinition,
  format: RowFormat,
  file: string,
  damage: DamageWatch,
): Promise<ExportResult> {
  const { fs } = context.host;
  if (fs.exists(file)) allowOverwrite(context, file);
  const partial = `${file}.partial`;
  if (fs.exists(partial)) fs.unlink(partial);
  const handle = fs.open(partial, 'create');
  let written = 0;
  try {
    const result = await exportTable(
      reader,
      table,
      format,
      (bytes) => {
        handle.writeAt(bytes, written);
        written += bytes.length;
      },
      { onWarning: damage.hear, signal: context.signal },
    );
    handle.close();
    fs.rename(partial, file);
    return result;
  } catch (error) {
    handle.close();
    fs.unlink(partial);
    throw error;
  }
}

/** Overwriting is agreed to by `--yes`, or by a person at a terminal. */
function allowOverwrite({ host, options }: VerbContext, file: string): void {
  if (options.yes === true) return;
  if (host.terminal.stdinIsTerminal) {
    host.terminal.err(`Overwrite '${file}'? (Y/N) `);
    if (/^y(?:es)?$/i.test(host.terminal.readLine()?.trim() ?? '')) return;
  }
  throw new EseError('JET_errFileAlreadyExists', 'the file exists; --yes overwrites it', { file });
}

/** Hears of everything that could not be read, and remembers the first that means that data are damaged. */
interface DamageWatch {
  readonly first: EseError | undefined;
  readonly hear: (warning: ExportWarning) => void;
}

const WARNINGS_PRINTED = 100;

function damageWatch({ warn }: VerbContext): DamageWatch {
  let first: EseError | undefined;
  let heard = 0;
  return {
    get first() {
      return first;
    },
    hear: ({ name, table, error, column }) => {
      if (exitCodeOfJet(error.code) === EXIT.corruption) first ??= error;
      heard++;
      if (heard > WARNINGS_PRINTED) return;
      const place = `table ${table}${column === undefined ? '' : `, column ${column}`}`;
      const more = heard === WARNINGS_PRINTED ? '; further ones are not listed' : '';
      const { code, file, pgno } = error;
      warn({
        code,
        name,
        message: `${place}: ${error.detail} (${error.name}, page ${pgno ?? '?'})${more}`,
        ...(file === undefined ? {} : { file }),
        ...(pgno === undefined ? {} : { pgno }),
      });
    },
  };
}
