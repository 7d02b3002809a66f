import {
  checkHeaderSupported,
  DATABASE_FORMAT_VERSION,
  DATABASE_STATE,
  type DatabaseHeader,
  decodeDatabaseHeader,
  electHeader,
  FILE_TYPE,
  HEADER_ELECTION_BYTES,
  HEADER_MAGIC,
  type HeaderElection,
  UPDATE_MAJOR_KNOWN,
  UPDATE_MAJOR_MIN,
  writeHeaderFields,
} from '../../format/database-header.js';
import { EseError } from '../../format/ese-error.js';
import { PAGE_SIZES } from '../../format/page.js';
import { diagnosePage, xorChecksum } from '../../format/page-checksum.js';
import type { FileHandle, FileSystem } from '../../io/file-system.js';

/**
 * The damaged database as the rest of the repair reads it: with a header that can be used, and without the part of
 * a page at its end (format specification, chapters 7.2.3 and 7.1.1). The file itself stays as it is.
 */
export interface RepairSource {
  readonly path: string;
  readonly pageSize: number;
  readonly header: DatabaseHeader;
  /** The header page that is used. */
  readonly headerBytes: Uint8Array;
  /** `both` = equal and sound; `found` = sound but for its page size; `made` = from what the pages say. */
  readonly headerSource: 'both' | 'primary' | 'shadow' | 'found' | 'made';
  /** Size of the file, and of the whole pages in it, in bytes. */
  readonly fileBytes: number;
  readonly wholeBytes: number;
  /** Reads the database as it is described here. */
  readonly fs: FileSystem;
}

/** Pages that are looked at to find the page size (chapter 7.2.3). */
const SAMPLE_PAGES = 64;
/** Format of databases whose header is lost (chapter 7.2.3). */
const UPDATE_MAJOR_DEFAULT = 20;

/**
 * Looks at the header of a database, and finds one where both copies are damaged.
 *
 * @param forcesHeader whether a header may be made from what the pages say
 * @param pageSize page size that the user states, in bytes
 * @throws EseError JET_errDatabaseCorrupted where no header can be found, and those of a header that no repair can
 *   work with
 */
export function openRepairSource(
  fs: FileSystem,
  path: string,
  forcesHeader: boolean,
  pageSize?: number,
): RepairSource {
  const file = fs.open(path, 'read');
  try {
    const start = new Uint8Array(HEADER_ELECTION_BYTES);
    const bytes = start.subarray(0, file.readAt(start, 0));
    const chosen = chooseHeader(file, bytes, electHeader(bytes), forcesHeader, pageSize);
    checkHeaderSupported(chosen.header, path);
    if (pageSize !== undefined && pageSize !== chosen.pageSize) {
      throw new EseError(
        'JET_errPageSizeMismatch',
        `the pages have ${chosen.pageSize} bytes, not ${pageSize}`,
        { file: path },
      );
    }
    const fileBytes = file.size();
    const wholeBytes = fileBytes - (fileBytes % chosen.pageSize);
    const isOverlaid = chosen.headerSource === 'found' || chosen.headerSource === 'made';
    const view =
      isOverlaid || wholeBytes !== fileBytes
        ? viewOf(fs, path, wholeBytes, isOverlaid ? chosen.headerBytes : undefined)
        : fs;
    return { path, ...chosen, fileBytes, wholeBytes, fs: view };
  } finally {
    file.close();
  }
}

type ChosenHeader = Pick<RepairSource, 'header' | 'headerBytes' | 'headerSource' | 'pageSize'>;

function chooseHeader(
  file: FileHandle,
  start: Uint8Array,
  election: HeaderElection,
  forcesHeader: boolean,
  pageSize: number | undefined,
): ChosenHeader {
  const { source, header, primary, shadow, identical } = election;
  if (source !== 'none' && header !== undefined) {
    const { bytes } = source === 'primary' ? primary : shadow;
    // A header that states too small a size looks right all the same, since headers end in zeros.
    const size = soundPages(file, election.pageSize) > 0 ? election.pageSize : probePageSize(file);
    if (size !== undefined && size !== election.pageSize) return withPageSize(bytes, size);
    const headerSource = identical ? 'both' : source;
    return { header, headerBytes: bytes.slice(), headerSource, pageSize: election.pageSize };
  }
  const found = findHeader(start);
  if (found !== undefined) return found;
  if (start.length === 0) {
    throw new EseError('JET_errDatabaseCorrupted', 'the file is empty', { file: file.path });
  }
  if (!forcesHeader) {
    throw new EseError(
      'JET_errDatabaseCorrupted',
      'both copies of the database header are damaged; --force-header makes a new one from what the pages say',
      { file: file.path, pgno: -1 },
    );
  }
  return makeHeader(file, start, pageSize);
}

/** A header whose checksum is right, though the page size that it states is not the one that it has. */
function findHeader(start: Uint8Array): ChosenHeader | undefined {
  for (const size of [...PAGE_SIZES].reverse()) {
    for (const at of [0, size]) {
      if (at + size > start.length) continue;
      const bytes = start.slice(at, at + size);
      const header = decodeDatabaseHeader(bytes);
      if (header.magic !== HEADER_MAGIC || header.checksum !== xorChecksum(bytes)) continue;
      return withPageSize(bytes, size);
    }
  }
  return undefined;
}

/** A header that states the page size that the database has. */
function withPageSize(header: Uint8Array, pageSize: number): ChosenHeader {
  const bytes = new Uint8Array(pageSize);
  bytes.set(header.subarray(0, pageSize));
  writeHeaderFields(bytes, { cbPageSize: pageSize });
  return { header: decodeDatabaseHeader(bytes), headerBytes: bytes, headerSource: 'found', pageSize };
}

/** A header from what the pages say: a dirty one, whose signature and time nobody believes. */
function makeHeader(file: FileHandle, start: Uint8Array, wanted: number | undefined): ChosenHeader {
  const pageSize = wanted ?? probePageSize(file);
  if (pageSize === undefined) {
    throw new EseError('JET_errDatabaseCorrupted', 'no page of the file is one of a database', {
      file: file.path,
    });
  }
  const bytes = new Uint8Array(pageSize);
  const { updateMajor, createUpdate } = formatOf(start, pageSize);
  writeHeaderFields(bytes, {
    magic: HEADER_MAGIC,
    version: DATABASE_FORMAT_VERSION,
    updateMajor,
    createVersion: DATABASE_FORMAT_VERSION,
    createUpdate,
    fileType: FILE_TYPE.database,
    cbPageSize: pageSize,
    dbid: 1,
    state: DATABASE_STATE.dirtyShutdown,
  });
  return { header: decodeDatabaseHeader(bytes), headerBytes: bytes, headerSource: 'made', pageSize };
}

/** The page size at which most of the pages that are looked at are what they should be; undefined = none are. */
function probePageSize(file: FileHandle): number | undefined {
  let best = { size: 0, sound: 0 };
  for (const size of PAGE_SIZES) {
    const sound = soundPages(file, size);
    if (sound > best.sound) best = { size, sound };
  }
  return best.sound > 0 ? best.size : undefined;
}

/** How many of the pages that are looked at are what they should be. */
function soundPages(file: FileHandle, size: number): number {
  const pages = Math.floor(file.size() / size) - 2;
  const page = new Uint8Array(size);
  let sound = 0;
  for (let i = 0; i < Math.min(SAMPLE_PAGES, pages); i++) {
    const pgno = 1 + Math.floor((i * pages) / Math.min(SAMPLE_PAGES, pages));
    if (!isRead(file, page, (pgno + 1) * size)) continue;
    const { verdict } = diagnosePage(page, pgno);
    if (verdict === 'ok' || verdict === 'correctable') sound++;
  }
  return sound;
}

/** What the disk keeps back says nothing. */
function isRead(file: FileHandle, into: Uint8Array, offset: number): boolean {
  try {
    return file.readAt(into, offset) === into.length;
  } catch (error) {
    if (error instanceof EseError) return false;
    throw error;
  }
}

/** Format of the database, by what is left of its headers. */
function formatOf(start: Uint8Array, pageSize: number): { updateMajor: number; createUpdate: number } {
  for (const at of [0, pageSize]) {
    if (at + pageSize > start.length) continue;
    const { version, updateMajor, createUpdate } = decodeDatabaseHeader(start.subarray(at, at + pageSize));
    const isKnown = (update: number): boolean => update >= UPDATE_MAJOR_MIN && update <= UPDATE_MAJOR_KNOWN;
    if (version === DATABASE_FORMAT_VERSION && isKnown(updateMajor)) {
      return { updateMajor, createUpdate: isKnown(createUpdate) ? createUpdate : updateMajor };
    }
  }
  return { updateMajor: UPDATE_MAJOR_DEFAULT, createUpdate: UPDATE_MAJOR_DEFAULT };
}

/** The file system, through which one file is seen with another size and other headers. */
function viewOf(fs: FileSystem, path: string, bytes: number, header: Uint8Array | undefined): FileSystem {
  return {
    open: (wanted, mode) => {
      const file = fs.open(wanted, mode);
      return wanted === path && mode === 'read' ? viewOfFile(file, bytes, header) : file;
    },
    stat: (wanted) => (wanted === path ? { ...fs.stat(wanted), size: bytes } : fs.stat(wanted)),
    exists: (wanted) => fs.exists(wanted),
    readdir: (wanted) => fs.readdir(wanted),
    mkdir: (wanted) => fs.mkdir(wanted),
    rmdir: (wanted) => fs.rmdir(wanted),
    rename: (from, to) => fs.rename(from, to),
    unlink: (wanted) => fs.unlink(wanted),
    resolveLink: (wanted) => fs.resolveLink(wanted),
    adoptAccess: (wanted, from) => fs.adoptAccess(wanted, from),
    syncDirectory: (wanted) => fs.syncDirectory(wanted),
    freeBytes: (wanted) => fs.freeBytes(wanted),
    lock: (wanted, options) => fs.lock(wanted, options),
    lockHolder: (wanted) => fs.lockHolder(wanted),
  };
}

function viewOfFile(file: FileHandle, bytes: number, header: Uint8Array | undefined): FileHandle {
  return {
    path: file.path,
    size: () => bytes,
    readAt(into, offset) {
      const whole = into.subarray(0, Math.max(0, Math.min(into.length, bytes - offset)));
      const read = file.readAt(whole, offset);
      if (header !== undefined && offset < 2 * header.length) {
        const end = Math.min(offset + read, 2 * header.length);
        for (let at = offset; at < end; at++) into[at - offset] = header[at % header.length] as number;
      }
      return read;
    },
    writeAt: (from, offset) => file.writeAt(from, offset),
    truncate: (size) => file.truncate(size),
    sync: () => file.sync(),
    close: () => file.close(),
  };
}
