import { basename, dirname, join } from 'node:path';
import type { Environment } from './environment.js';
import type { FileHandle, FileSystem } from './file-system.js';
import type { Random } from './seeded-random.js';

const TEMPORARY_SUFFIX = /^\.[0-9a-f]{8}\.tmp$/;

/** A name beside `path` that nobody else uses: `<path>.<8 hexadecimal digits>.tmp`. */
export function temporaryName(path: string, random: Random): string {
  return `${path}.${random.uint32().toString(16).padStart(8, '0')}.tmp`;
}

/**
 * Puts new contents in the place of a file, or creates it: after a crash at any moment the file holds the
 * old contents or the new ones, and the new ones once this has returned. When it fails, the old file is
 * untouched and no temporary file stays (a crash may leave one: {@link removeTemporaries}).
 *
 * @param contents all bytes, or a function that writes them to the new file
 */
export function replaceFile(
  environment: Pick<Environment, 'fs' | 'random'>,
  path: string,
  contents: Uint8Array | ((file: FileHandle) => void),
): void {
  const draft = openDraft(environment, path);
  try {
    if (contents instanceof Uint8Array) draft.file.writeAt(contents, 0);
    else contents(draft.file);
    draft.install();
  } catch (error) {
    draft.discard();
    throw error;
  }
}

/** {@link replaceFile}, with contents that take long to write. */
export async function replaceFileInTurns(
  environment: Pick<Environment, 'fs' | 'random'>,
  path: string,
  contents: (file: FileHandle) => Promise<void>,
): Promise<void> {
  const draft = openDraft(environment, path);
  try {
    await contents(draft.file);
    draft.install();
  } catch (error) {
    draft.discard();
    throw error;
  }
}

/** A file that is to take the place of another. */
interface Draft {
  readonly file: FileHandle;
  install(): void;
  discard(): void;
}

function openDraft({ fs, random }: Pick<Environment, 'fs' | 'random'>, path: string): Draft {
  const draftPath = temporaryName(path, random);
  const file = fs.open(draftPath, 'create');
  return {
    file,
    install() {
      file.sync();
      file.close();
      fs.rename(draftPath, path);
      fs.syncDirectory(dirname(path));
    },
    discard() {
      try {
        file.close();
        fs.unlink(draftPath);
      } catch {
        // The first error says why.
      }
    },
  };
}

/** Removes what a crash left of {@link replaceFile} for `path`; for whoever holds the lock of `path`. */
export function removeTemporaries(fs: FileSystem, path: string): void {
  const folder = dirname(path);
  const name = basename(path);
  for (const entry of fs.readdir(folder)) {
    if (entry.startsWith(name) && TEMPORARY_SUFFIX.test(entry.slice(name.length))) {
      fs.unlink(join(folder, entry));
    }
  }
}
