import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import { EseError } from '../format/ese-error.js';
import type { JetErrorName } from '../format/jet-errors.js';

/**
 * Which JET error an operating-system error stands for (format specification, chapter 6.3), where the
 * call does not say more. The name is the one that Node gives the error, or the number of a Linux error
 * that Node does not know.
 */
const JET_ERROR_OF: ReadonlyMap<string | number, JetErrorName> = new Map<string | number, JetErrorName>([
  ['ENOENT', 'JET_errFileNotFound'],
  ['ENOTDIR', 'JET_errInvalidPath'],
  ['EISDIR', 'JET_errFileInvalidType'],
  ['EEXIST', 'JET_errFileAlreadyExists'],
  ['EACCES', 'JET_errFileAccessDenied'],
  ['EPERM', 'JET_errFileAccessDenied'],
  ['EBUSY', 'JET_errFileAccessDenied'],
  ['ETXTBSY', 'JET_errFileAccessDenied'],
  ['ENOTEMPTY', 'JET_errFileAccessDenied'],
  ['EROFS', 'JET_errDatabaseFileReadOnly'],
  ['ENOSPC', 'JET_errDiskFull'],
  ['EDQUOT', 'JET_errDiskFull'],
  [-122, 'JET_errDiskFull'], // EDQUOT
  ['EFBIG', 'JET_errDiskFull'],
  ['EMFILE', 'JET_errOutOfFileHandles'],
  ['ENFILE', 'JET_errOutOfFileHandles'],
  ['ENOMEM', 'JET_errOutOfMemory'],
  ['ENAMETOOLONG', 'JET_errInvalidPath'],
  ['EINVAL', 'JET_errInvalidPath'],
  ['ELOOP', 'JET_errInvalidPath'],
  ['EXDEV', 'JET_errInvalidPath'],
  ['EIO', 'JET_errDiskIO'],
  ['ENXIO', 'JET_errDiskIO'],
  ['ENODEV', 'JET_errDiskIO'],
  ['ESTALE', 'JET_errDiskIO'],
  ['ETIMEDOUT', 'JET_errDiskIO'],
  ['EREMOTEIO', 'JET_errDiskIO'],
  ['EILSEQ', 'JET_errDiskReadVerificationFailure'],
  [-61, 'JET_errDiskReadVerificationFailure'], // ENODATA: the medium has lost the sector
  [-74, 'JET_errFileSystemCorruption'], // EBADMSG: a checksum of the file system is wrong
  [-117, 'JET_errFileSystemCorruption'], // EUCLEAN: the file system needs repair
]);

/** An error that a call to the operating system ended with; a programming error is none. */
export function isSystemError(error: unknown): error is NodeJS.ErrnoException & { errno: number } {
  return error instanceof Error && 'errno' in error && typeof error.errno === 'number' && 'syscall' in error;
}

/**
 * The `EseError` of whatever a file call threw. What comes from no system call, and is no `EseError`
 * either, is a fault of the program and comes back unchanged.
 */
export function toEseError(error: unknown, path: string): unknown {
  if (error instanceof EseError) return error.at({ file: path });
  if (!isSystemError(error)) return error;
  if (error.code === 'ENOENT' && !existsSync(dirname(path))) {
    return new EseError('JET_errInvalidPath', 'its folder does not exist', { file: path });
  }
  const name =
    JET_ERROR_OF.get(error.code ?? '') ?? JET_ERROR_OF.get(error.errno) ?? 'JET_errNTSystemCallFailed';
  // The message ends with ", call 'path'", which the place of the error says already.
  return new EseError(name, error.message.replace(/, \w+( '.*)?$/s, ''), { file: path });
}
