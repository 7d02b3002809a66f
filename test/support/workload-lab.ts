import type { JournalEntry } from '../../src/drill/journal.js';
import { type JournalVerdict, verifyJournal } from '../../src/drill/verify-journal.js';
import { startWorkload, type Workload, type WorkloadOptions } from '../../src/drill/workload.js';
import { openDatabaseReader } from '../../src/engine/database-reader.js';
import type { AttachOptions } from '../../src/engine/instance.js';
import { seededEnvironment } from '../../src/io/environment.js';
import type { FileSystem } from '../../src/io/file-system.js';
import { assertSound } from '../../src/maintenance/integrity.js';
import { type StartInstanceOptions, startInstance } from '../../src/recovery/start-instance.js';
import { checkIndexes } from './index-check.js';
import { judgeDatabase } from './judge-database.js';

export const WORKLOAD_FOLDER = '/w';
export const WORKLOAD_DATABASE = `${WORKLOAD_FOLDER}/w.edb`;

export interface WorkloadRun extends WorkloadOptions {
  readonly instance?: Partial<StartInstanceOptions>;
  readonly attach?: AttachOptions;
}

/** Starts an instance, creates or attaches the database, and runs a workload in it. */
export async function runWorkload(
  fs: FileSystem,
  run: WorkloadRun,
): Promise<{ journal: JournalEntry[]; counts: Workload['counts'] }> {
  const { instance: instanceOptions, attach, ...options } = run;
  if (!fs.exists(WORKLOAD_FOLDER)) fs.mkdir(WORKLOAD_FOLDER);
  const instance = await startInstance({
    environment: seededEnvironment({ fs, seed: run.seed }),
    logDirectory: WORKLOAD_FOLDER,
    log: { logFileKiB: 256 },
    ...instanceOptions,
  });
  const database = fs.exists(WORKLOAD_DATABASE)
    ? instance.attachDatabase(WORKLOAD_DATABASE, attach)
    : instance.createDatabase(WORKLOAD_DATABASE, attach);
  const journal: JournalEntry[] = [];
  const workload = startWorkload(instance, database, {
    ...options,
    onDurable: (entries) => {
      journal.push(...entries);
      options.onDurable?.(entries);
    },
  });
  while (workload.step());
  workload.finish();
  instance.close();
  return { journal, counts: workload.counts };
}

/** Looks at pages, trees, space and indexes of a database, by judges that know nothing of one another. */
export function judgeStructure(fs: FileSystem, path = WORKLOAD_DATABASE): void {
  judgeDatabase(fs, path);
  checkIndexes(fs, path);
  assertSound(fs, path);
}

/** Looks at the structure and at the rows of the workload's database. */
export async function judgeWorkload(
  fs: FileSystem,
  journal: readonly JournalEntry[],
  path = WORKLOAD_DATABASE,
): Promise<JournalVerdict> {
  judgeStructure(fs, path);
  const reader = openDatabaseReader(fs, path);
  try {
    return await verifyJournal(reader, journal);
  } finally {
    reader.close();
  }
}
