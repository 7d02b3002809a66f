/** `esekit load FILE`: a workload that a seed repeats. */

import { resolve } from 'node:path';
import { loadDatabase } from '../../drill/load.js';
import { chosenTables } from '../../drill/workload.js';
import { EseError } from '../../format/ese-error.js';
import { requireKind, sourceFile } from '../typed-path.js';
import { UsageError } from '../usage-error.js';
import type { Verb, VerbContext } from '../verb.js';
import { databasePlace, wholeNumber } from './place.js';
import { verbProgress } from './progress.js';

const SEED_DEFAULT = 1;
const SEED_MOST = 2 ** 32 - 1;

export const loadVerb: Verb = {
  writes: () => true,
  run: async (context) => {
    const { host, options, signal, say } = context;
    const file = resolve(sourceFile(host, String(options.file ?? ''), 'source file'));
    requireKind(host, file, 'database');
    const rows = wholeNumber(context, 'rows') ?? 0;
    const seed = wholeNumber(context, 'seed') ?? SEED_DEFAULT;
    if (seed > SEED_MOST) throw new UsageError(`Usage Error: --seed is at most ${SEED_MOST}.`);
    const batch = wholeNumber(context, 'batch');
    const { journal, lazy } = options;
    const tables = tableNames(context);
    const bar = verbProgress(context, 'Loading (% complete)');
    try {
      const result = await loadDatabase(host.environment, {
        ...databasePlace(context),
        file,
        rows,
        seed,
        ...(batch === undefined ? {} : { batch: Math.max(1, batch) }),
        ...(lazy === true ? { lazy } : {}),
        ...(tables === undefined ? {} : { tables }),
        ...(journal === undefined ? {} : { journal: resolve(String(journal)) }),
        onProgress: bar.update,
        signal,
      });
      const interrupted = signal.aborted && result.inserted < rows;
      if (interrupted) bar.fail();
      else bar.complete();
      const { transactions, inserted, updated, deleted, rolledBack, recovered } = result;
      if (recovered !== null) {
        say(`Recovered first: ${recovered.committed} transactions committed, ${recovered.undone} undone.`);
      }
      say(`${transactions} transactions, ${rolledBack} more rolled back (inner ones counted).`);
      say(`${inserted} rows inserted, ${updated} updated, ${deleted} deleted; seed ${seed}.`);
      return { result: { ...result, journal: journal ?? null }, interrupted };
    } catch (error) {
      bar.fail();
      throw error;
    }
  },
};

/** The tables that `--tables A,B` names. */
function tableNames({ options }: VerbContext): readonly string[] | undefined {
  if (options.tables === undefined) return undefined;
  const names = String(options.tables).split(',');
  try {
    chosenTables(names);
  } catch (error) {
    if (error instanceof EseError) throw new UsageError(`Usage Error: ${error.detail}.`);
    throw error;
  }
  return names;
}
