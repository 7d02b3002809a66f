import type { Database } from '../../src/engine/database.js';
import {
  type AttachOptions,
  type Instance,
  type InstanceOptions,
  openInstance,
} from '../../src/engine/instance.js';
import { EseError } from '../../src/format/ese-error.js';
import { seededEnvironment } from '../../src/io/environment.js';
import type { FileSystem } from '../../src/io/file-system.js';
import { createSimulatedDisk, type SimulatedDisk } from '../../src/io/simulated-disk.js';
import { type LogRecordReport, logRecordReport } from '../../src/maintenance/log-record-report.js';
import { openLog } from '../../src/recovery/log-reader.js';

/** Where the files of a lab are. */
export const LAB = '/lab';
export const LAB_DATABASE = `${LAB}/lab.edb`;

export interface EngineLab {
  readonly disk: SimulatedDisk;
  readonly instance: Instance;
  readonly database: Database;
}

/** An instance on a simulated disk, with one new database. */
export function createEngineLab(
  options: Partial<InstanceOptions> & { readonly attach?: AttachOptions; readonly seed?: number } = {},
): EngineLab {
  const { attach, seed = 1, ...instanceOptions } = options;
  const disk = createSimulatedDisk();
  disk.mkdir(LAB);
  const instance = openLabInstance(disk, seed, instanceOptions);
  const database = instance.createDatabase(LAB_DATABASE, attach);
  return { disk, instance, database };
}

export function openLabInstance(
  disk: FileSystem,
  seed: number,
  options: Partial<InstanceOptions> = {},
): Instance {
  return openInstance({ environment: seededEnvironment({ fs: disk, seed }), logDirectory: LAB, ...options });
}

/** All records of a log file, in their JSON form. */
export function recordsOf(fs: FileSystem, path: string): LogRecordReport[] {
  const log = openLog(fs, path);
  try {
    const reports: LogRecordReport[] = [];
    for (const { record, lgpos, fragments } of log.records()) {
      reports.push(logRecordReport(record, lgpos, fragments));
    }
    return reports;
  } finally {
    log.close();
  }
}

/** The JET name of the error that a call throws; `none` if it throws none. */
export function errorOf(call: () => unknown): string {
  try {
    call();
  } catch (error) {
    if (error instanceof EseError) return error.name;
    throw error;
  }
  return 'none';
}
