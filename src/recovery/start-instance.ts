import { type Instance, type InstanceOptions, openInstance } from '../engine/instance.js';
import type { LogTail } from '../engine/log-writer.js';
import { EseError } from '../format/ese-error.js';
import { logFileBytes, logPageSize } from '../format/log-header.js';
import type { FileSystem } from '../io/file-system.js';
import type { DatabaseRelocation } from './database-map.js';
import { openLog } from './log-reader.js';
import { findLogStream, type LogStreamFiles } from './log-stream.js';
import { hasLogStream } from './new-stream.js';
import { type RecoveryResult, recover } from './recover.js';
import { openStream } from './start-point.js';

/** How to start an instance on a folder of logs, whatever the last run left there. */
export interface StartInstanceOptions extends Omit<InstanceOptions, 'tail' | 'checkpoint'> {
  /** Databases that lie elsewhere than the logs say; see recovery's `/n`. */
  readonly relocations?: readonly DatabaseRelocation[];
  /** Is told what recovery did, when there was a stream to recover. */
  readonly onRecovered?: (result: RecoveryResult) => void;
}

const BASE_NAME_DEFAULT = 'E00';

/**
 * Starts an instance: recovers the log stream if there is one (the very code of `/r`), and goes on behind
 * its end; begins a new stream otherwise.
 *
 * @throws EseError what recovery throws, JET_errPageSizeMismatch when the stream has another page size
 */
export async function startInstance(options: StartInstanceOptions): Promise<Instance> {
  const { environment, logDirectory, baseName = BASE_NAME_DEFAULT, relocations, onRecovered } = options;
  const { fs } = environment;
  const systemDirectory = options.systemDirectory ?? logDirectory;
  if (!hasLogStream(fs, logDirectory, baseName)) return openInstance(options);
  const result = await recover(environment, {
    baseName,
    logPath: logDirectory,
    systemPath: systemDirectory,
    allowLoggedPaths: true,
    defaultLocations: true,
    ...(relocations === undefined ? {} : { relocations }),
    ...(options.pageSize === undefined ? {} : { pageSize: options.pageSize }),
  });
  onRecovered?.(result);
  const files = findLogStream(fs, logDirectory, baseName);
  const tail = findTail(fs, files);
  const { checkpoint } = openStream(fs, files, systemDirectory).checkpoint;
  return openInstance({
    ...options,
    pageSize: logPageSize(tail.header),
    log: {
      logFileKiB: logFileBytes(tail.header) / 1024,
      extension: files.extension,
      digits: files.digits.at(-1) ?? 5,
      ...options.log,
    },
    tail,
    checkpoint,
  });
}

/** Where the stream ends. */
function findTail(fs: FileSystem, files: LogStreamFiles): LogTail {
  const last = files.current ?? files.archived.at(-1);
  if (last === undefined) throw new EseError('JET_errMissingLogFile', undefined, { file: files.directory });
  const log = openLog(fs, last.path);
  try {
    const scan = log.verify();
    if (scan.damage !== undefined) throw scan.damage;
    return {
      header: log.header,
      isCurrent: last === files.current,
      lastValidSegment: scan.lastValidSegment,
      segmentsChecksum: scan.segmentsChecksum,
    };
  } finally {
    log.close();
  }
}
