import { CHECKPOINT_BYTES, type CheckpointElection, electCheckpoint } from '../format/checkpoint.js';
import { EseError } from '../format/ese-error.js';
import type { FileHandle, FileSystem } from '../io/file-system.js';

/**
 * Reads a checkpoint file and elects the copy to trust; two damaged copies give no checkpoint, but no error.
 *
 * @throws EseError JET_errCheckpointFileNotFound if there is no such file, JET_errFileInvalidType for another
 *   kind of ESE file, JET_errCheckpointCorrupt for a list of databases that does not fit
 */
export function readCheckpointFile(fs: FileSystem, path: string): CheckpointElection {
  const handle = openCheckpointFile(fs, path);
  try {
    const bytes = new Uint8Array(CHECKPOINT_BYTES);
    return electCheckpoint(bytes.subarray(0, handle.readAt(bytes, 0)));
  } catch (error) {
    throw error instanceof EseError ? error.at({ file: path }) : error;
  } finally {
    handle.close();
  }
}

function openCheckpointFile(fs: FileSystem, path: string): FileHandle {
  try {
    return fs.open(path, 'read');
  } catch (error) {
    if (!(error instanceof EseError) || error.name !== 'JET_errFileNotFound') throw error;
    throw new EseError('JET_errCheckpointFileNotFound', undefined, { file: path });
  }
}
