/** Paths as people type them, and what they can mean here (format specification, chapters 6.1.2 and 6.1.7). */

import { basename, dirname, join, resolve } from 'node:path';
import { EseError } from '../format/ese-error.js';
import { FILE_KIND_NAMES, type FileKind, fileKind } from '../maintenance/file-kind.js';
import type { CliHost } from './host.js';
import { MissingArgument } from './usage-error.js';

const DRIVE_LETTER = /^[A-Za-z]:[\\/]/;

/**
 * The path that a typed one means on this machine: with `/` for `\` where only that exists.
 *
 * @throws EseError `JET_errInvalidPath` for a Windows path with a drive letter that does not exist here
 */
export function meantPath(host: CliHost, typed: string): string {
  if (host.platform === 'windows' || host.probe(typed) !== null) return typed;
  if (typed.includes('\\')) {
    const slashed = typed.replaceAll('\\', '/');
    if (host.probe(slashed) !== null) return slashed;
  }
  if (DRIVE_LETTER.test(typed)) {
    throw new EseError('JET_errInvalidPath', 'a Windows path must be replaced by the path on this machine', {
      file: typed,
    });
  }
  return typed;
}

/** {@link meantPath}, for a file that is to be made: its directory tells how the path was meant. */
export function meantTarget(host: CliHost, typed: string): string {
  const path = meantPath(host, typed);
  if (host.platform === 'windows' || !path.includes('\\')) return path;
  const slashed = path.replaceAll('\\', '/');
  return host.probe(dirname(slashed)) === 'directory' ? slashed : path;
}

/** {@link meantPath}, for a file whose name Windows finds in any case: logs, checkpoints, `restore.env`. */
export function meantPathAnyCase(host: CliHost, typed: string): string {
  const path = meantPath(host, typed);
  if (host.platform === 'windows' || host.probe(path) !== null) return path;
  const directory = dirname(path);
  if (host.probe(directory) !== 'directory') return path;
  const wanted = basename(path).toLowerCase();
  const found = host.fs.readdir(directory).filter((name) => name.toLowerCase() === wanted);
  if (found.length > 1) {
    throw new EseError('JET_errInvalidPath', `two files differ only by case: ${found.join(', ')}`, {
      file: path,
    });
  }
  return found[0] === undefined ? path : join(directory, found[0]);
}

/**
 * The source file of a mode.
 *
 * @throws UsageError where none was given; EseError `JET_errInvalidPath` for a directory
 */
export function sourceFile(host: CliHost, typed: string | null, what: string, anyCase = false): string {
  if (typed === null || typed === '') throw new MissingArgument(what);
  const path = anyCase ? meantPathAnyCase(host, typed) : meantPath(host, typed);
  if (host.probe(path) === 'directory') {
    throw new EseError('JET_errInvalidPath', 'this is a directory, not a file', { file: path });
  }
  return path;
}

/**
 * Refuses a temporary file that is the source under whatever name (format specification, chapter 6.4, R3).
 *
 * @throws EseError `JET_errInvalidDatabase`
 */
export function refuseSameFile(host: CliHost, file: string, temporary: string): void {
  const path = meantPath(host, temporary);
  const isSame =
    resolve(path).toLowerCase() === resolve(file).toLowerCase() ||
    (host.probe(path) === 'file' &&
      host.probe(file) === 'file' &&
      host.fs.stat(path).identity === host.fs.stat(file).identity);
  if (isSame) throw new EseError('JET_errInvalidDatabase', 'the temporary database is the source', { file });
}

/**
 * Refuses a file that is plainly of another kind than the mode wants. What cannot be told is left to the reader, and
 * a temporary database is a database.
 *
 * @throws EseError `JET_errFileInvalidType`
 */
export function requireKind(host: CliHost, file: string, wanted: FileKind): void {
  if (host.probe(file) === null) return;
  const kind = fileKind(host.fs, file);
  if (kind === wanted || kind === 'unknown' || (kind === 'temporary' && wanted === 'database')) return;
  throw new EseError(
    'JET_errFileInvalidType',
    `this is ${FILE_KIND_NAMES[kind]}, not ${FILE_KIND_NAMES[wanted]}`,
    {
      file,
    },
  );
}
