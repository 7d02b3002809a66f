import { openInstance } from '../engine/instance.js';
import { EseError } from '../format/ese-error.js';
import type { Environment } from '../io/environment.js';
import type { FileSystem } from '../io/file-system.js';
import type { LogDigits } from '../io/log-file-names.js';
import { findLogStream } from './log-stream.js';
import type { RecoveryOptions } from './recovery-state.js';

/** Digits in the log names of a new stream (format specification, chapter 6.1.6). */
const NEW_STREAM_DIGITS: LogDigits = 8;

/** Whether a directory holds a log of the base name. */
export function hasLogStream(fs: FileSystem, directory: string, baseName: string): boolean {
  try {
    findLogStream(fs, directory, baseName);
    return true;
  } catch (error) {
    if (error instanceof EseError && error.name === 'JET_errFileNotFound') return false;
    throw error;
  }
}

/** Begins a log stream and ends it cleanly, as an engine does that has nothing to recover. */
export function beginLogStream(environment: Environment, options: RecoveryOptions): void {
  const { baseName, logPath, systemPath, pageSize, role = 'eseutil' } = options;
  openInstance({
    environment,
    logDirectory: logPath,
    systemDirectory: systemPath,
    baseName,
    role,
    log: { digits: options.logDigits ?? NEW_STREAM_DIGITS },
    ...(pageSize === undefined ? {} : { pageSize }),
  }).close();
}
