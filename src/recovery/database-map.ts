import { basename, isAbsolute, join, win32 } from 'node:path';
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
}

/** One database that was moved. */
export interface DatabaseRelocation {
  /** Path of the file now. */
  readonly path: string;
  /** Path in the log; without it, the file is recognised by the signature in its header. */
  readonly loggedPath?: string | undefined;
}

/** Finds the file of a logged path. */
export interface DatabaseMap {
  /**
   * Path of the file, or `undefined` for a database that is left out since the map does not name it.
   *
   * @param signDb signature of the database
   */
  locate(loggedPath: string, signDb: Signature): string | undefined;
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
  const { databasePath, relocations = [], defaultLocations = false } = options;
  const isExplicit = databasePath !== undefined || relocations.length > 0;
  return {
    isExplicit,
    locate(loggedPath, signDb) {
      if (databasePath !== undefined) return join(databasePath, loggedFileName(loggedPath));
      if (relocations.length > 0) {
        const named = relocations.find(
          (one) => one.loggedPath !== undefined && isSamePath(one.loggedPath, loggedPath),
        );
        if (named !== undefined) return named.path;
        const own = relocations.find(
          ({ path, loggedPath: old }) => old === undefined && hasSignature(signatureOf(path), signDb),
        );
        if (own !== undefined) return own.path;
        // One file that does not exist yet can only be the database that the log creates.
        const only = relocations.length === 1 ? relocations[0] : undefined;
        if (only !== undefined && only.loggedPath === undefined && signatureOf(only.path) === undefined) {
          return only.path;
        }
        if (!defaultLocations) return undefined;
      }
      return loggedPath;
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

/** Whether a logged path can name a file on this host. */
export function isUsablePath(path: string): boolean {
  return isAbsolute(path);
}
