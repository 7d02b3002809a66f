/** Where a database and its logs lie, as subcommands that write are told. */

import { basename, dirname, resolve } from 'node:path';
import type { DatabasePlace } from '../../drill/load.js';
import { PAGE_SIZES_WRITTEN } from '../../engine/instance.js';
import { LOG_FILE_KIB_MAX, LOG_FILE_KIB_MIN } from '../../engine/log-writer.js';
import { BASE_NAME_LENGTH } from '../../io/log-file-names.js';
import { meantPath } from '../typed-path.js';
import { UsageError } from '../usage-error.js';
import type { VerbContext } from '../verb.js';

const KIB = 1024;

/** The place that the options name. */
export function databasePlace(context: VerbContext): DatabasePlace {
  const { host, options } = context;
  const path = (typed: unknown): string => resolve(meantPath(host, String(typed)));
  const typed = String(options.file ?? '');
  // The file itself may not exist yet, but its folder does.
  const file = resolve(meantPath(host, dirname(typed)), basename(typed));
  const { base, logDir, systemDir, circular } = options;
  if (base !== undefined && String(base).length !== BASE_NAME_LENGTH) {
    throw new UsageError(
      `Usage Error: a base name has ${BASE_NAME_LENGTH} characters, not '${String(base)}'.`,
    );
  }
  if (/[\\/]/.test(String(base))) {
    throw new UsageError(
      `Usage Error: '${String(base)}' is a path, not a base name; folders have --log-dir.`,
    );
  }
  const [pageSize, logFileKiB, depth, cache] = ['pageSize', 'logSize', 'checkpointDepth', 'cache'].map(
    (name) => wholeNumber(context, name),
  );
  if (pageSize !== undefined && !PAGE_SIZES_WRITTEN.includes(pageSize)) {
    throw new UsageError(`Usage Error: --page-size is one of ${PAGE_SIZES_WRITTEN.join(', ')}.`);
  }
  const isLogSize = (kib: number): boolean =>
    kib >= LOG_FILE_KIB_MIN && kib <= LOG_FILE_KIB_MAX && kib % LOG_FILE_KIB_MIN === 0;
  if (logFileKiB !== undefined && !isLogSize(logFileKiB)) {
    throw new UsageError(
      `Usage Error: --log-size is a multiple of ${LOG_FILE_KIB_MIN} up to ${LOG_FILE_KIB_MAX}, in KiB.`,
    );
  }
  return {
    file,
    ...(base === undefined ? {} : { baseName: String(base) }),
    ...(logDir === undefined ? {} : { logDirectory: path(logDir) }),
    ...(systemDir === undefined ? {} : { systemDirectory: path(systemDir) }),
    ...(pageSize === undefined ? {} : { pageSize }),
    ...(logFileKiB === undefined ? {} : { logFileKiB }),
    ...(circular === true ? { circular } : {}),
    ...(depth === undefined ? {} : { checkpointDepthBytes: depth * KIB }),
    ...(cache === undefined ? {} : { cacheBytes: cache * KIB }),
  };
}

/** A number option; undefined where it was not given. Throws UsageError for what is no whole number from 0 on. */
export function wholeNumber({ options }: VerbContext, name: string): number | undefined {
  const value = options[name];
  if (value === undefined) return undefined;
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value;
  const typed = name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  throw new UsageError(`Usage Error: --${typed} takes a whole number.`);
}
