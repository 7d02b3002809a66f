/**
 * Fault injection: puts one kind of damage into a database, log, checkpoint or flush map, the same for the same seed,
 * and says which bytes it changed (format specification, chapters 7.6 and 11.6).
 */
import { basename, dirname, join } from 'node:path';
import { openDatabaseReader } from '../engine/database-reader.js';
import { EseError } from '../format/ese-error.js';
import { openExclusive } from '../io/exclusive-file.js';
import type { FileSystem } from '../io/file-system.js';
import { BASE_NAME_LENGTH } from '../io/log-file-names.js';
import { seededRandom } from '../io/seeded-random.js';
import { FILE_KIND_NAMES, type FileKind, fileKind } from '../maintenance/file-kind.js';
import { lgposReport } from '../maintenance/report-values.js';
import { damageNodes, damagePages, type PageFaultName, swapPages } from './inject/byte-faults.js';
import { type CatalogCopies, duplicateFdp, duplicateObjid, wrongRoot } from './inject/catalog-faults.js';
import { DatabaseVictim, type FaultChoice } from './inject/database-victim.js';
import {
  appendJunk,
  cutPages,
  cutWithinPage,
  dirtyState,
  oldDbtime,
  olderShadow,
  wrongPageSize,
} from './inject/header-faults.js';
import { orphanValues, removeChunk, removeRoot, wrongCount, wrongSize } from './inject/long-value-faults.js';
import { DATABASE_PLACES, type DatabasePlace } from './inject/places.js';
import {
  type BlockFaultName,
  CHECKPOINT_PLACES,
  checkpointBeyond,
  cutFile,
  damageBlocks,
  FLUSH_MAP_PLACES,
  LOG_HEADER_FAULTS,
  LOG_PLACES,
  type StreamChoice,
  type StreamFileKind,
  type StreamPlace,
} from './inject/stream-faults.js';
import {
  addEntry,
  breakLink,
  breakRecordOffsets,
  childLoop,
  duplicateKey,
  foreignObjid,
  overlapExtents,
  pageAvailable,
  removeEntry,
  swapTags,
  wrongSeparator,
  wrongSplitBuffer,
} from './inject/tree-faults.js';
import { DIGEST_MARK, type FaultNote, type InjectTarget, VictimFile } from './inject/victim-file.js';

export type { FaultNote, InjectTarget } from './inject/victim-file.js';

export interface InjectOptions {
  /** A name of {@link FAULT_KINDS}. */
  readonly fault: string;
  readonly seed: number;
  /** Where faults of bytes go: a name of {@link FAULT_PLACES}. Default: a leaf of a table, a segment, the first copy. */
  readonly at?: string | undefined;
  /** Table whose pages, rows and indexes may be hit. Default: any but system tables. */
  readonly table?: string | undefined;
  /** Secondary index that may be hit. */
  readonly index?: string | undefined;
  /** The page to be hit. */
  readonly pgno?: number | undefined;
  /** How many pages, rows or entries. Default: 1. */
  readonly count?: number | undefined;
  /** Older copy of the database, for `stale-page` and `torn-page`. */
  readonly older?: string | undefined;
}

/** What was done: `targets` is enough to undo it. */
export interface InjectReport {
  readonly fault: string;
  readonly seed: number;
  readonly kind: FileKind;
  /** Size of the file before and after. */
  readonly bytes: { readonly before: number; readonly after: number };
  readonly changes: readonly (Omit<FaultNote, 'lgpos'> & { readonly lgpos?: string })[];
  readonly targets: readonly InjectTarget[];
}

interface Fault {
  readonly about: string;
  /** Whether `--at` can say where; and where it goes without. */
  readonly at?: { readonly database: DatabasePlace };
  readonly database?: (victim: DatabaseVictim, choice: FaultChoice, place: DatabasePlace) => void;
  readonly stream?: {
    readonly kinds: readonly StreamFileKind[];
    readonly run: (victim: VictimFile, kind: StreamFileKind, choice: StreamChoice) => void;
  };
}

const ALL_STREAM: readonly StreamFileKind[] = ['log', 'checkpoint', 'flushMap'];

const ofPages = (name: PageFaultName, about: string): Fault => ({
  about,
  at: { database: 'data' },
  database: (victim, choice, place) => damagePages(name, place)(victim, choice),
});

const ofBytes = (name: PageFaultName & BlockFaultName, about: string): Fault => ({
  ...ofPages(name, about),
  stream: {
    kinds: ALL_STREAM,
    run: (victim, kind, choice) => damageBlocks(name, victim, kind, choice),
  },
});

const gone = (place: DatabasePlace, about: string): Fault => ({
  about,
  database: (victim, choice) => damagePages('zero-page', place)(victim, choice),
});

const ofRows = (database: (victim: DatabaseVictim, choice: FaultChoice) => void, about: string): Fault => ({
  about,
  database,
});

const ofCatalog = (
  make: (copies: CatalogCopies) => (victim: DatabaseVictim, choice: FaultChoice) => void,
  copies: CatalogCopies,
  about: string,
): Fault => ({
  about,
  at: { database: copies },
  database: (victim, choice, place) => {
    if (place !== 'catalog' && place !== 'shadow-catalog' && place !== 'both-catalogs') {
      throw new EseError('JET_errInvalidParameter', `a catalog row is not at ${place}`);
    }
    make(place)(victim, choice);
  },
});

const ofLogHeader = (name: string, about: string): Fault => ({
  about,
  stream: { kinds: ['log'], run: (victim, _kind, { random }) => LOG_HEADER_FAULTS[name]?.(victim, random) },
});

/** Every fault: bytes first, then fields whose page has a right checksum, then files. */
const FAULTS: Readonly<Record<string, Fault>> = {
  'bit-flip': ofBytes('bit-flip', 'one bit is flipped'),
  'two-flips': ofBytes('two-flips', 'a bit is flipped in each of two bytes'),
  'random-bytes': ofBytes('random-bytes', '64 bytes are random'),
  'zero-page': ofBytes('zero-page', 'a page is all zero'),
  'torn-page': ofBytes('torn-page', 'only the first 512 bytes of a page were written'),
  'stale-page': ofPages('stale-page', 'a page is an older image of itself'),
  'foreign-page': ofPages('foreign-page', 'a page carries the number of another page'),
  'swapped-pages': {
    about: 'two pages have changed places',
    at: { database: 'data' },
    database: (victim, choice, place) => swapPages(place)(victim, choice),
  },
  'header-gone': gone('header', 'the header is all zero'),
  'catalog-gone': gone('catalog', 'a leaf of the catalog is all zero'),
  'branch-gone': gone('branch', 'an internal page of a table is all zero'),
  'space-gone': gone('owned-space', 'a page of the tree of owned extents of a table is all zero'),

  'header-dirty': ofRows(dirtyState, 'the header says dirty, and that logs are required'),
  'header-dbtime': ofRows(oldDbtime, 'the header has an older dbtime than the pages'),
  'header-page-size': ofRows(wrongPageSize, 'the header states another page size'),
  'header-differs': ofRows(olderShadow, 'the second copy of the header is older than the first'),

  'broken-link': ofRows(breakLink, 'a leaf names a wrong page as its right neighbour'),
  'damaged-tag': ofRows(damageNodes('tag'), 'a tag reaches out of its page'),
  'damaged-node': ofRows(damageNodes('node'), 'a key is longer than its node'),
  'swapped-tags': ofRows(swapTags, 'two neighbouring rows have changed places'),
  'duplicate-key': ofRows(duplicateKey, 'a row is there twice'),
  'record-offsets': ofRows(breakRecordOffsets, 'the variable columns of a row begin behind its end'),
  'wrong-objid': ofRows(foreignObjid, 'a leaf says that it belongs to another tree'),
  'child-loop': ofRows(childLoop, 'a child of an internal page is the root of its tree'),
  'wrong-separator': ofRows(wrongSeparator, 'a separator is greater than the first key behind it'),

  'page-available': ofRows(pageAvailable, 'a page in use is available too'),
  'overlapping-extents': ofRows(overlapExtents, 'a table owns the root of another one'),
  'split-buffer': ofRows(wrongSplitBuffer, 'a page in use is kept to split a space tree'),

  'catalog-root': ofCatalog(wrongRoot, 'catalog', 'the catalog has a wrong root page for a table'),
  'catalog-duplicate-root': ofCatalog(duplicateFdp, 'both-catalogs', 'two objects have one root page'),
  'catalog-duplicate-objid': ofCatalog(duplicateObjid, 'both-catalogs', 'two objects have one objid'),

  'lv-size': ofRows(wrongSize, 'a long value is said to be longer than its chunks'),
  'lv-root-gone': ofRows(removeRoot, 'a long value has no root'),
  'lv-chunk-gone': ofRows(removeChunk, 'a long value has a hole'),
  'lv-count-low': ofRows(wrongCount('low'), 'a long value has more references than it counts'),
  'lv-count-high': ofRows(wrongCount('high'), 'a long value has fewer references than it counts'),
  'lv-orphan': ofRows(orphanValues, 'a row is gone, its long values are not'),

  'index-entry-missing': ofRows(removeEntry, 'an index has no entry for a row'),
  'index-entry-extra': ofRows(addEntry, 'an index has an entry for a row that does not exist'),

  'log-signature': ofLogHeader('log-signature', 'a log carries the signature of another stream'),
  'log-generation': ofLogHeader('log-generation', 'a log carries another generation than its name says'),
  'log-time': ofLogHeader('log-time', 'a log was not begun behind the one before it'),
  'log-checksum': ofLogHeader('log-checksum', 'a log follows one with other contents'),
  'checkpoint-beyond': {
    about: 'the checkpoint lies behind logs that are required',
    stream: { kinds: ['checkpoint'], run: checkpointBeyond },
  },

  'truncated-file': {
    about: 'the last pages are gone; of other files a part at the end',
    database: cutPages,
    stream: { kinds: ALL_STREAM, run: (victim, _kind, { random }) => cutFile(victim, random) },
  },
  'truncated-page': ofRows(cutWithinPage, 'the file ends within a page'),
  'trailing-junk': ofRows(appendJunk, 'pages of random bytes follow the last page'),
  'file-gone': { about: 'the file is gone: it gets another name' },
};

/** Names of all faults, with what they are. */
export const FAULT_KINDS: readonly (readonly [name: string, about: string])[] = Object.entries(FAULTS).map(
  ([name, { about }]) => [name, about] as const,
);

/** Names of all places, with what they are. */
export const FAULT_PLACES: readonly (readonly [name: string, about: string])[] = [
  ...Object.entries(DATABASE_PLACES),
  ['segment', 'a segment of a log with others behind it'],
  ['tail', 'the last segment of a log'],
  ['first-copy', 'the first copy of a checkpoint'],
  ['second-copy', 'the second copy of a checkpoint'],
  ['both-copies', 'both copies of a checkpoint'],
  ['map', 'the first data page of a flush map'],
];

const STREAM_PLACES: Readonly<Record<StreamFileKind, readonly StreamPlace[]>> = {
  // The first is the default.
  log: ['segment', ...LOG_PLACES.filter((place) => place !== 'segment')],
  checkpoint: CHECKPOINT_PLACES,
  flushMap: ['map', ...FLUSH_MAP_PLACES.filter((place) => place !== 'map')],
};

/** What `file-gone` puts behind the name. */
const GONE_SUFFIX = '.gone';

/**
 * Damages a file. It must not be in use; nothing is written where the fault does not fit the file.
 *
 * @throws EseError JET_errInvalidParameter for a fault or place that does not exist or does not go together,
 *   JET_errFileInvalidType for a fault of another kind of file, JET_errObjectNotFound where the file has nothing to
 *   be damaged so, JET_errFileAccessDenied for a file in use, and those of reading the file
 */
export function injectFault(fs: FileSystem, path: string, options: InjectOptions): InjectReport {
  const fault = FAULTS[options.fault];
  if (fault === undefined) {
    throw new EseError('JET_errInvalidParameter', `there is no fault ${options.fault}`, { file: path });
  }
  const kind = fileKind(fs, path);
  refuseStreamInUse(fs, path, kind);
  const file = openExclusive(fs, path, 'write', { role: 'esekit' });
  try {
    const victim = new VictimFile(fs, path, file);
    const targets = options.fault === 'file-gone' ? removeFile(victim) : damage(victim, kind, fault, options);
    return {
      fault: options.fault,
      seed: options.seed,
      kind,
      bytes: { before: victim.size, after: options.fault === 'file-gone' ? 0 : file.size() },
      changes: victim.notes.map(({ lgpos, ...note }) =>
        lgpos === undefined ? note : { ...note, lgpos: lgposReport(lgpos) },
      ),
      targets,
    };
  } catch (error) {
    throw error instanceof EseError ? error.at({ file: path }) : error;
  } finally {
    file.close();
  }
}

function damage(victim: VictimFile, kind: FileKind, fault: Fault, options: InjectOptions): InjectTarget[] {
  const { seed, table, index, pgno, count = 1, at } = options;
  const random = seededRandom(seed);
  if (kind === 'database' || kind === 'temporary') {
    const { database } = fault;
    if (database === undefined) throw wrongKind(kind, options);
    const place = databasePlace(fault, at);
    const pages = new DatabaseVictim(victim);
    const older = options.older === undefined ? undefined : openDatabaseReader(victim.fs, options.older);
    try {
      database(pages, { random, count, table, index, pgno, older }, place);
    } finally {
      older?.close();
      pages.close();
    }
  } else {
    const { stream } = fault;
    if (kind === 'unknown' || stream === undefined || !stream.kinds.includes(kind))
      throw wrongKind(kind, options);
    stream.run(victim, kind, { random, count, place: streamPlace(fault, kind, at) });
  }
  return victim.commit();
}

function databasePlace(fault: Fault, at: string | undefined): DatabasePlace {
  if (at === undefined) return fault.at?.database ?? 'data';
  if (fault.at === undefined) throw new EseError('JET_errInvalidParameter', 'this fault has only one place');
  if (!Object.hasOwn(DATABASE_PLACES, at)) {
    throw new EseError('JET_errInvalidParameter', `a database has no place ${at}`);
  }
  return at as DatabasePlace;
}

function streamPlace({ at: places }: Fault, kind: StreamFileKind, at: string | undefined): StreamPlace {
  const [first] = STREAM_PLACES[kind];
  if (at === undefined || places === undefined) {
    if (at !== undefined) throw new EseError('JET_errInvalidParameter', 'this fault has only one place');
    return first ?? 'header';
  }
  const place = STREAM_PLACES[kind].find((one) => one === at);
  if (place === undefined) {
    throw new EseError('JET_errInvalidParameter', `${FILE_KIND_NAMES[kind]} has no place ${at}`);
  }
  return place;
}

function wrongKind(kind: FileKind, { fault }: InjectOptions): EseError {
  return new EseError('JET_errFileInvalidType', `${fault} is no fault of ${FILE_KIND_NAMES[kind]}`);
}

/** A log or checkpoint is in use where its stream is. */
function refuseStreamInUse(fs: FileSystem, path: string, kind: FileKind): void {
  if (kind !== 'log' && kind !== 'checkpoint') return;
  const holder = fs.lockHolder(join(dirname(path), basename(path).slice(0, BASE_NAME_LENGTH)));
  if (holder === undefined) return;
  throw new EseError('JET_errFileAccessDenied', `the log stream is in use by process ${holder.pid}`, {
    file: path,
  });
}

function removeFile(victim: VictimFile): InjectTarget[] {
  const { fs, path } = victim;
  const to = `${path}${GONE_SUFFIX}`;
  if (fs.exists(to)) throw new EseError('JET_errFileAlreadyExists', undefined, { file: to });
  fs.rename(path, to);
  fs.syncDirectory(dirname(path));
  victim.note({ what: `the file is now ${basename(to)}` });
  return [{ file: path, before: basename(path), after: basename(to) }];
}

/**
 * Puts back the bytes that a fault changed, as its report states them.
 *
 * @throws EseError JET_errInvalidParameter for a report that states a digest in place of many bytes
 */
export function undoFault(fs: FileSystem, { targets, bytes }: InjectReport): void {
  for (const { file: path, offset, before, after } of targets) {
    if (offset === undefined) {
      fs.rename(join(dirname(path), after), path);
      continue;
    }
    if (before.startsWith(DIGEST_MARK)) {
      throw new EseError('JET_errInvalidParameter', 'the report does not hold the bytes that were cut off');
    }
    const file = openExclusive(fs, path, 'write', { role: 'esekit' });
    try {
      if (before.length > 0) file.writeAt(Buffer.from(before, 'hex'), offset);
      if (file.size() !== bytes.before && before.length < after.length) file.truncate(bytes.before);
      file.sync();
    } finally {
      file.close();
    }
  }
}
