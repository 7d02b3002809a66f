import { basename, join } from 'node:path';
import { EseError, type Lgpos } from '../format/ese-error.js';
import { SEGMENT_BYTES } from '../format/log-segment.js';
import { sealPages } from '../format/page-checksum.js';
import type { Environment } from '../io/environment.js';
import type { FileHandle, FileSystem } from '../io/file-system.js';
import { replaceFile } from '../io/replace-file.js';
import type { LogFileEntry, LogStreamFiles } from './log-stream.js';

/** Copies go through memory in pieces of this size. */
const COPY_BYTES = 1024 * 1024;
/** Copies of one position that may lie beside each other. */
const COPIES_MAX = 100;

/**
 * Ends a log stream at a position in its middle, for recovery up to a point in time. The logs from there on, and the
 * checkpoint, are first copied into a directory of their own beside them; then the log of the position becomes the
 * current one, without what lay behind, and the later ones go.
 *
 * @param entries logs from the generation of `at` on
 * @returns path of the directory with the copies
 */
export function branchStream(
  environment: Environment,
  files: LogStreamFiles,
  entries: readonly LogFileEntry[],
  at: Lgpos,
  checkpointPath: string,
): string {
  const { fs } = environment;
  const first = entries[0];
  if (first === undefined) throw new Error('there is no log to end');
  const saved = saveLogs(fs, files, entries, at, checkpointPath);
  const currentPath = files.current?.path ?? join(files.directory, `${files.baseName}${files.extension}`);
  const log = readWhole(fs, first.path);
  cutLog(log, at);
  replaceFile(environment, currentPath, log);
  for (const { path } of entries) {
    if (path !== currentPath) fs.unlink(path);
  }
  fs.syncDirectory(files.directory);
  return saved;
}

function saveLogs(
  fs: FileSystem,
  files: LogStreamFiles,
  entries: readonly LogFileEntry[],
  at: Lgpos,
  checkpointPath: string,
): string {
  const directory = newDirectory(fs, files, at);
  for (const { path, name } of entries) copyFile(fs, path, join(directory, name));
  if (fs.exists(checkpointPath)) copyFile(fs, checkpointPath, join(directory, basename(checkpointPath)));
  fs.syncDirectory(directory);
  return directory;
}

function newDirectory(fs: FileSystem, { directory, baseName }: LogStreamFiles, at: Lgpos): string {
  const hex = (n: number, digits: number): string => n.toString(16).toUpperCase().padStart(digits, '0');
  const name = `${baseName}-until-${hex(at.generation, 8)}-${hex(at.isec, 4)}-${hex(at.ib, 4)}`;
  for (let copy = 1; copy <= COPIES_MAX; copy++) {
    const path = join(directory, copy === 1 ? name : `${name}-${copy}`);
    if (fs.exists(path)) continue;
    fs.mkdir(path);
    return path;
  }
  throw new EseError('JET_errFileAlreadyExists', 'there are too many copies of these logs', {
    file: directory,
  });
}

function copyFile(fs: FileSystem, from: string, to: string): void {
  const source = fs.open(from, 'read');
  try {
    const target = fs.open(to, 'create');
    try {
      copyContents(source, target);
      target.sync();
    } finally {
      target.close();
    }
  } finally {
    source.close();
  }
}

function copyContents(source: FileHandle, target: FileHandle): void {
  const piece = new Uint8Array(COPY_BYTES);
  for (let offset = 0; ; ) {
    const count = source.readAt(piece, offset);
    if (count === 0) return;
    target.writeAt(piece.subarray(0, count), offset);
    offset += count;
  }
}

function readWhole(fs: FileSystem, path: string): Uint8Array {
  const file = fs.open(path, 'read');
  try {
    const bytes = new Uint8Array(file.size());
    file.readAt(bytes, 0);
    return bytes;
  } finally {
    file.close();
  }
}

/** Takes everything behind a position off a log; the segment that is left half full is sealed anew. */
function cutLog(log: Uint8Array, { isec, ib }: Lgpos): void {
  const start = isec * SEGMENT_BYTES;
  log.fill(0, start + ib);
  if (ib === 0) return;
  const segment = log.slice(start, start + SEGMENT_BYTES);
  sealPages(new Int32Array(segment.buffer), 0, 1, SEGMENT_BYTES, isec);
  log.set(segment, start);
}
