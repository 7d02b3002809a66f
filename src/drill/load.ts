import { dirname } from 'node:path';
import { openDatabaseReader } from '../engine/database-reader.js';
import type { Instance } from '../engine/instance.js';
import { EseError } from '../format/ese-error.js';
import type { Environment } from '../io/environment.js';
import type { RecoveryResult } from '../recovery/recover.js';
import { startInstance } from '../recovery/start-instance.js';
import { openJournal } from './journal.js';
import { startWorkload, type WorkloadCounts, type WorkloadOptions } from './workload.js';

/** Where a database and its log stream lie, and how they are kept. */
export interface DatabasePlace {
  /** Absolute path of the database. */
  readonly file: string;
  /** Default: `E00`. */
  readonly baseName?: string;
  /** Default: the folder of the database. */
  readonly logDirectory?: string;
  /** Folder of the checkpoint. Default: the folder of the database. */
  readonly systemDirectory?: string;
  /** Bytes of a page of a new database and stream. */
  readonly pageSize?: number;
  /** Size of a log file of a new stream, in KiB. */
  readonly logFileKiB?: number;
  /** Use logs again that nothing requires any more. */
  readonly circular?: boolean;
  /** Bytes of log after which changed pages are written. */
  readonly checkpointDepthBytes?: number;
  /** Memory for pages, in bytes. */
  readonly cacheBytes?: number;
}

/** Starts the instance of a place; what a crash left there is recovered first. */
async function startAt(
  environment: Environment,
  place: DatabasePlace,
  onRecovered?: (result: RecoveryResult) => void,
): Promise<Instance> {
  const { file, baseName, pageSize, logFileKiB, circular, checkpointDepthBytes } = place;
  const folder = dirname(file);
  return startInstance({
    environment,
    logDirectory: place.logDirectory ?? folder,
    systemDirectory: place.systemDirectory ?? folder,
    ...(baseName === undefined ? {} : { baseName }),
    ...(pageSize === undefined ? {} : { pageSize }),
    log: {
      ...(logFileKiB === undefined ? {} : { logFileKiB }),
      ...(circular === undefined ? {} : { circular }),
    },
    ...(checkpointDepthBytes === undefined ? {} : { checkpointDepthBytes }),
    ...(onRecovered === undefined ? {} : { onRecovered }),
  });
}

function attachOptions({ cacheBytes }: DatabasePlace): { cacheBytes?: number } {
  return cacheBytes === undefined ? {} : { cacheBytes };
}

/** A database that was created. */
export interface CreatedDatabase {
  /** Bytes of a page. */
  readonly pageSize: number;
  /** Pages of the new file. */
  readonly pages: number;
}

/**
 * Creates a database, in a log stream that may exist already.
 *
 * @throws EseError JET_errDatabaseDuplicate if there is such a file, JET_errPageSizeMismatch if the stream has another
 *   page size, and what recovery of the stream throws
 */
export async function createDatabaseFile(
  environment: Environment,
  place: DatabasePlace,
): Promise<CreatedDatabase> {
  if (environment.fs.exists(place.file)) {
    throw new EseError('JET_errDatabaseDuplicate', 'there is a file already', { file: place.file });
  }
  const instance = await startAt(environment, place);
  return ending(instance, () => {
    const { pageSize, pool } = instance.createDatabase(place.file, attachOptions(place));
    return { pageSize, pages: pool.lastPgno };
  });
}

/** Carries something out and closes the instance: as a crash would, where it cannot end in order. */
async function ending<T>(instance: Instance, action: () => T | Promise<T>): Promise<T> {
  let result: T;
  try {
    result = await action();
  } catch (error) {
    try {
      instance.close();
    } catch {
      instance.abandon();
    }
    throw error;
  }
  instance.close();
  return result;
}

export interface LoadOptions extends DatabasePlace, WorkloadOptions {
  /** Journal to which durable transactions are appended. */
  readonly journal?: string;
  /** Rows inserted so far, of all. */
  readonly onProgress?: (done: number, total: number) => void;
  /** Ends the load after the transaction that is under way. */
  readonly signal?: AbortSignal;
}

export interface LoadResult extends Readonly<WorkloadCounts> {
  readonly seed: number;
  /** What recovery of the log stream did before; null where there was nothing to recover. */
  readonly recovered: { readonly committed: number; readonly undone: number } | null;
}

/** Transactions after which the event loop gets its turn, so that an interrupt can be heard. */
const STEPS_PER_TURN = 16;

/**
 * Puts a workload into a database; what a crash left there is recovered first.
 *
 * @throws EseError JET_errFileNotFound without the database, and what recovery, attaching and changing rows throw
 */
export async function loadDatabase(environment: Environment, options: LoadOptions): Promise<LoadResult> {
  const { fs } = environment;
  const { file, seed, journal: journalPath, onProgress, signal } = options;
  const pageSize = options.pageSize ?? pageSizeOf(environment, file);
  let recovered: LoadResult['recovered'] = null;
  const instance = await startAt(
    environment,
    { ...options, ...(pageSize === undefined ? {} : { pageSize }) },
    ({ nothingToDo, transactions }) => {
      if (!nothingToDo) recovered = transactions;
    },
  );
  const counts = await ending(instance, async () => {
    const database =
      instance.databases.find(({ path }) => path === file) ??
      instance.attachDatabase(file, attachOptions(options));
    const journal = journalPath === undefined ? undefined : openJournal(fs, journalPath);
    try {
      journal?.begin(seed, file);
      const workload = startWorkload(instance, database, {
        ...options,
        onDurable: (entries) => journal?.append(entries),
      });
      for (let steps = 1; workload.step(); steps++) {
        if (steps % STEPS_PER_TURN !== 0) continue;
        onProgress?.(workload.counts.inserted, options.rows);
        await new Promise((resolve) => setImmediate(resolve));
        if (signal?.aborted === true) break;
      }
      workload.finish();
      return workload.counts;
    } finally {
      journal?.close();
    }
  });
  return { seed, ...counts, recovered };
}

/** Page size of a database; undefined where its header cannot be read, which recovery may mend. */
function pageSizeOf({ fs }: Environment, file: string): number | undefined {
  if (!fs.exists(file)) throw new EseError('JET_errFileNotFound', undefined, { file });
  try {
    const reader = openDatabaseReader(fs, file);
    const { pageSize } = reader;
    reader.close();
    return pageSize;
  } catch (error) {
    if (error instanceof EseError) return undefined;
    throw error;
  }
}
