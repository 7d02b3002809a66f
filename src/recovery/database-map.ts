import { basename, isAbsolute, join, relative, resolve, win32 } from 'node:path';
import type { Signature } from '../format/signature.js';

/**
 * Where the databases of a stream lie now (format specification, chapter 5.3.9). Logs name them by the path that
 * they had when they were attached, mostly a Windows one.
 */
export interface DatabaseMapOptions {
  /** `/d`: look for every database under its file name in this directory. */
  readonly databasePath?: string | undefined;
  /** `/n`: databases that lie elsewhere. */
  readonly relocations?: readonly DatabaseRelocation[] | undefined;
  /** `/n*`: databases that no relocation names are where the log says, instead of being left out. */
  readonly defaultLocations?: boolean | undefined;
  /**
   * Directories in which paths from the log are followed; `undefined` = anywhere. A log is input: it does not
   * decide alone which files are written (chapter 6.4, R15).
   */
  readonly trustedDirectories?: readonly string[] | undefined;
}

/** One database that was moved. */
export interface DatabaseRelocation {
  /** Path of the file now. */
  readonly path: string;
  /** Path in the log; without it, the file is recognised by the signature in its header. */
  readonly loggedPath?: string | undefined;
}

/**
 * Where a database is: at a path; nowhere, as the path in the log cannot be used on this host; or left out, since
 * the map does not name it.
 */
export type DatabaseLocation =
  | { readonly kind: 'at'; readonly path: string }
  | { readonly kind: 'unusable' | 'leftOut' };

/** Finds the file of a logged path. */
export interface DatabaseMap {
  /**
   * Where the file is.
   *
   * @param signDb signature of the database
   */
  locate(loggedPath: string, signDb: Signature): DatabaseLocation;
  /** Whether the caller said where databases lie. */
  readonly isExplicit: boolean;
}

/**
 * Makes a map.
 *
 * @param signatureOf signature in the header of a file, `undefined` if it has none
 */
export function createDatabaseMap(
  options: DatabaseMapOptions,
  signatureOf: (path: string) => Signature | undefined,
): DatabaseMap {
  const { databasePath, relocations = [], defaultLocations = false, trustedDirectories } = options;
  const isExplicit = databasePath !== undefined || relocations.length > 0;
  return {
    isExplicit,
    locate(loggedPath, signDb) {
      if (databasePath !== undefined) return at(join(databasePath, loggedFileName(loggedPath)));
      if (relocations.length > 0) {
        const named = relocations.find(
          (one) => one.loggedPath !== undefined && isSamePath(one.loggedPath, loggedPath),
        );
        if (named !== undefined) return at(named.path);
        const own = relocations.find(
          ({ path, loggedPath: old }) => old === undefined && hasSignature(signatureOf(path), signDb),
        );
        if (own !== undefined) return at(own.path);
        // One file that does not exist yet can only be the database that the log creates.
        const only = relocations.length === 1 ? relocations[0] : undefined;
        if (only !== undefined && only.loggedPath === undefined && signatureOf(only.path) === undefined) {
          return at(only.path);
        }
        if (!defaultLocations) return { kind: 'leftOut' };
      }
      return isTrusted(loggedPath, trustedDirectories) ? at(loggedPath) : { kind: 'unusable' };
    },
  };
}

function hasSignature(found: Signature | undefined, wanted: Signature): boolean {
  return found?.bytes.every((byte, i) => byte === wanted.bytes[i]) ?? false;
}

/** The last component of a logged path, which may be a Windows path on any host. */
export function loggedFileName(loggedPath: string): string {
  return win32.basename(basename(loggedPath));
}

/** Windows paths do not distinguish cases. */
function isSamePath(a: string, b: string): boolean {
  return a.replaceAll('/', '\\').toLowerCase() === b.replaceAll('/', '\\').toLowerCase();
}

function at(path: string): DatabaseLocation {
  return { kind: 'at', path };
}

/** Whether a logged path names a file of this host in one of the directories. */
function isTrusted(path: string, directories: readonly string[] | undefined): boolean {
  if (!isAbsolute(path)) return false;
  return (
    directories === undefined || directories.some((one) => !relative(resolve(one), path).startsWith('..'))
  );
}
