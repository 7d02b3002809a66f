import { createHash, type Hash } from 'node:crypto';
import { EseError } from '../../format/ese-error.js';
import { PAGE_SIZES } from '../../format/page.js';
import type { Environment } from '../../io/environment.js';
import type { FileHandle } from '../../io/file-system.js';
import { replaceFileInTurns } from '../../io/replace-file.js';
import type { JobOptions } from '../../workers/pool.js';
import { type Turns, takeTurns } from '../../workers/turns.js';

/**
 * The undo file of a repair: each page that it changes as it was before, and enough to tell whether a database is
 * the one that the repair left (format specification, chapter 6.4, R11).
 *
 * | offset | |
 * |---|---|
 * | 0 | 16 bytes: magic |
 * | 16 | u32 page size, u32 zero |
 * | 24 | u64 size of the file before, u64 after, u64 number of records |
 * | 48 | 32 bytes: SHA-256 of all pages that stay, in their order |
 * | 80 | zero, to 128 |
 * | 128 | records by place: u64 number of the page in the file from 0; of each of its sectors as it is after, 8 bytes of the SHA-256; its bytes before |
 * | end | 32 bytes: SHA-256 of all records, then of the 128 bytes at the start |
 */

const MAGIC = Buffer.from('esekit undo 0001', 'latin1');
const HEAD_BYTES = 128;
const HASH_BYTES = 32;
/** A page that is half written, in the middle of a crash, is made of whole sectors. */
const SECTOR_BYTES = 512;
const SECTOR_HASH_BYTES = 8;
const INDEX_BYTES = 8;
const AT_PAGE_SIZE = 16;
const AT_SIZE_BEFORE = 24;
const AT_SIZE_AFTER = 32;
const AT_COUNT = 40;
const AT_STAYING = 48;
const WINDOW_BYTES = 1024 * 1024;

/** Bytes that can be read: a file, or what a file is to become. */
export type ReadableBytes = Pick<FileHandle, 'size' | 'readAt'>;

/** How long work on an undo file is watched and stopped. Progress is in bytes. */
export type UndoJobOptions = Pick<JobOptions, 'signal' | 'onProgress'>;

/**
 * Writes the undo file of a change from `before` to `after`, durably. Returns how many pages differ.
 *
 * @throws EseError JET_errFileAlreadyExists, those of the file system, and the signal's reason; no file stays then
 */
export async function writeUndoFile(
  environment: Pick<Environment, 'fs' | 'random'>,
  path: string,
  before: FileHandle,
  after: ReadableBytes,
  pageSize: number,
  options: UndoJobOptions = {},
): Promise<number> {
  if (environment.fs.exists(path)) throw new EseError('JET_errFileAlreadyExists', undefined, { file: path });
  let count = 0;
  await replaceFileInTurns(environment, path, async (file) => {
    environment.fs.adoptAccess(file.path, before.path);
    count = await writeRecords(file, before, after, pageSize, options);
  });
  return count;
}

async function writeRecords(
  file: FileHandle,
  before: ReadableBytes,
  after: ReadableBytes,
  pageSize: number,
  { signal, onProgress }: UndoJobOptions,
): Promise<number> {
  const sizes = { before: before.size(), after: after.size() };
  const staying = createHash('sha256');
  const all = createHash('sha256');
  const head = Buffer.alloc(HEAD_BYTES);
  file.writeAt(head, 0);
  const writer = bufferedWriter(file, HEAD_BYTES);
  let count = 0;
  const headBytes = recordHeadBytes(pageSize);
  const record = Buffer.alloc(headBytes + pageSize);
  const total = Math.max(sizes.before, sizes.after);
  const turns = takeTurns(signal);
  for (const { index, old, own } of comparedPages(before, after, pageSize)) {
    if (turns.isOver()) {
      onProgress?.(index * pageSize, total);
      await turns.next();
    }
    if (old.length === 0 || old.equals(own)) {
      staying.update(own);
      continue;
    }
    record.fill(0);
    record.writeBigUInt64LE(BigInt(index), 0);
    for (let at = 0; at < own.length; at += SECTOR_BYTES) {
      sectorHash(own, at).copy(record, hashPlace(at));
    }
    old.copy(record, headBytes);
    writer.append(record);
    all.update(record);
    count++;
  }
  MAGIC.copy(head);
  head.writeUInt32LE(pageSize, AT_PAGE_SIZE);
  head.writeBigUInt64LE(BigInt(sizes.before), AT_SIZE_BEFORE);
  head.writeBigUInt64LE(BigInt(sizes.after), AT_SIZE_AFTER);
  head.writeBigUInt64LE(BigInt(count), AT_COUNT);
  staying.digest().copy(head, AT_STAYING);
  writer.append(all.update(head).digest());
  writer.flush();
  file.writeAt(head, 0);
  return count;
}

/** Appends to a file in large pieces. */
function bufferedWriter(file: FileHandle, start: number): { append(bytes: Buffer): void; flush(): void } {
  const buffer = Buffer.alloc(WINDOW_BYTES);
  let at = start;
  let used = 0;
  const flush = (): void => {
    file.writeAt(buffer.subarray(0, used), at);
    at += used;
    used = 0;
  };
  return {
    append(bytes) {
      if (used + bytes.length > buffer.length) flush();
      bytes.copy(buffer, used);
      used += bytes.length;
    },
    flush,
  };
}

function recordHeadBytes(pageSize: number): number {
  return INDEX_BYTES + (pageSize / SECTOR_BYTES) * SECTOR_HASH_BYTES;
}

/** Where a record has the hash of the sector at `at` of its page. */
function hashPlace(at: number): number {
  return INDEX_BYTES + (at / SECTOR_BYTES) * SECTOR_HASH_BYTES;
}

function sectorHash(page: Buffer, at: number): Buffer {
  const sector = page.subarray(at, at + SECTOR_BYTES);
  return createHash('sha256').update(sector).digest().subarray(0, SECTOR_HASH_BYTES);
}

interface ComparedPage {
  readonly index: number;
  /** Empty behind the end of either; valid until the next step. */
  readonly old: Buffer;
  readonly own: Buffer;
}

function* comparedPages(
  before: ReadableBytes,
  after: ReadableBytes,
  pageSize: number,
): Generator<ComparedPage, void, undefined> {
  const size = Math.max(before.size(), after.size());
  const windows = [Buffer.alloc(WINDOW_BYTES), Buffer.alloc(WINDOW_BYTES)] as const;
  for (let offset = 0; offset < size; offset += WINDOW_BYTES) {
    const lengths = [
      readAll(before, windows[0], offset, pageSize),
      after.readAt(windows[1], offset),
    ] as const;
    for (let at = 0; at < Math.max(...lengths); at += pageSize) {
      const piece = (i: 0 | 1): Buffer =>
        windows[i].subarray(at, Math.max(at, Math.min(at + pageSize, lengths[i])));
      yield { index: (offset + at) / pageSize, old: piece(0), own: piece(1) };
    }
  }
}

/** Reads what the disk gives back; a page that it keeps counts as zeros, for nobody can put it back. */
function readAll(file: ReadableBytes, into: Buffer, offset: number, pageSize: number): number {
  try {
    return file.readAt(into, offset);
  } catch (error) {
    if (!(error instanceof EseError) || error.name !== 'JET_errDiskIO') throw error;
  }
  const length = Math.min(into.length, file.size() - offset);
  into.fill(0, 0, length);
  for (let at = 0; at < length; at += pageSize) {
    try {
      file.readAt(into.subarray(at, Math.min(at + pageSize, length)), offset + at);
    } catch (error) {
      if (!(error instanceof EseError) || error.name !== 'JET_errDiskIO') throw error;
    }
  }
  return length;
}

interface UndoFile {
  readonly file: FileHandle;
  readonly pageSize: number;
  readonly sizeBefore: number;
  readonly sizeAfter: number;
  readonly count: number;
  readonly staying: Buffer;
}

/**
 * Puts a database back as it was before a repair, byte for byte; at every moment the name stands for the repaired
 * database or for the old one. Returns how many pages were put back; 0 where the database is the old one already.
 *
 * @throws EseError JET_errFileInvalidType for a file that is no whole undo file, JET_errInvalidDatabase where the
 *   database is not as the repair left it, those of the file system, and the signal's reason; the database stays as
 *   it is then
 */
export async function applyUndoFile(
  environment: Pick<Environment, 'fs' | 'random'>,
  database: string,
  path: string,
  { signal, onProgress }: UndoJobOptions = {},
): Promise<number> {
  const { fs } = environment;
  const handle = fs.open(path, 'read');
  try {
    const turns = takeTurns(signal);
    const undo = await readUndoHead(handle, turns);
    const present = fs.open(database, 'read');
    try {
      if (await isAsBefore(undo, present, turns)) return 0;
      await checkBelongs(undo, present, turns);
      await replaceFileInTurns(environment, database, async (draft) => {
        fs.adoptAccess(draft.path, database);
        await putBack(undo, present, draft, turns, onProgress);
      });
    } finally {
      present.close();
    }
    return undo.count;
  } finally {
    handle.close();
  }
}

async function readUndoHead(file: FileHandle, turns: Turns): Promise<UndoFile> {
  const head = Buffer.alloc(HEAD_BYTES);
  const isRead = file.readAt(head, 0) === HEAD_BYTES;
  const pageSize = head.readUInt32LE(AT_PAGE_SIZE);
  const count = Number(head.readBigUInt64LE(AT_COUNT));
  const size = HEAD_BYTES + count * (recordHeadBytes(pageSize) + pageSize) + HASH_BYTES;
  const isWhole =
    isRead &&
    head.subarray(0, MAGIC.length).equals(MAGIC) &&
    PAGE_SIZES.includes(pageSize) &&
    file.size() === size;
  if (!isWhole || !(await isSealed(file, head, size, turns))) {
    throw new EseError('JET_errFileInvalidType', 'this is no undo file of a repair, or not a whole one', {
      file: file.path,
    });
  }
  return {
    file,
    pageSize,
    count,
    sizeBefore: Number(head.readBigUInt64LE(AT_SIZE_BEFORE)),
    sizeAfter: Number(head.readBigUInt64LE(AT_SIZE_AFTER)),
    staying: Buffer.from(head.subarray(AT_STAYING, AT_STAYING + HASH_BYTES)),
  };
}

async function isSealed(file: FileHandle, head: Buffer, size: number, turns: Turns): Promise<boolean> {
  const hash = createHash('sha256');
  await hashRange(file, HEAD_BYTES, size - HASH_BYTES, hash, turns);
  const seal = Buffer.alloc(HASH_BYTES);
  file.readAt(seal, size - HASH_BYTES);
  return hash.update(head).digest().equals(seal);
}

async function hashRange(
  file: ReadableBytes,
  from: number,
  to: number,
  hash: Hash,
  turns: Turns,
): Promise<void> {
  if (from >= to) return;
  const window = Buffer.alloc(Math.min(WINDOW_BYTES, to - from));
  for (let at = from; at < to; ) {
    if (turns.isOver()) await turns.next();
    const read = file.readAt(window.subarray(0, Math.min(window.length, to - at)), at);
    if (read === 0) return;
    hash.update(window.subarray(0, read));
    at += read;
  }
}

interface UndoRecord {
  readonly index: number;
  /** The record itself, with the hashes of the sectors after. */
  readonly record: Buffer;
  /** The page before, cut at the end of the file. */
  readonly before: Buffer;
}

/** The records in their order; each is valid until the next. */
function* records({ file, pageSize, count, sizeBefore }: UndoFile): Generator<UndoRecord, void, undefined> {
  const headBytes = recordHeadBytes(pageSize);
  const record = Buffer.alloc(headBytes + pageSize);
  for (let i = 0; i < count; i++) {
    file.readAt(record, HEAD_BYTES + i * record.length);
    const index = Number(record.readBigUInt64LE(0));
    const length = Math.max(0, Math.min(pageSize, sizeBefore - index * pageSize));
    yield {
      index,
      record,
      before: record.subarray(headBytes, headBytes + length),
    };
  }
}

function pageAt(file: ReadableBytes, index: number, pageSize: number, page: Buffer): Buffer {
  return page.subarray(0, file.readAt(page, index * pageSize));
}

/** Whether the database was not changed at all: a repair that was killed before its first write. */
async function isAsBefore(undo: UndoFile, present: FileHandle, turns: Turns): Promise<boolean> {
  if (present.size() !== undo.sizeBefore) return false;
  const page = Buffer.alloc(undo.pageSize);
  for (const { index, before } of records(undo)) {
    if (turns.isOver()) await turns.next();
    if (!pageAt(present, index, undo.pageSize, page).equals(before)) return false;
  }
  return true;
}

/** Every page is as the repair left it; one that was killed may have left some as they were, or half so. */
async function checkBelongs(undo: UndoFile, present: FileHandle, turns: Turns): Promise<void> {
  const { pageSize, sizeAfter } = undo;
  const fault = new EseError(
    'JET_errInvalidDatabase',
    'the database is not as the repair left it: the undo file does not belong to it, or it was changed since',
    { file: present.path },
  );
  if (present.size() !== sizeAfter) throw fault;
  const staying = createHash('sha256');
  const page = Buffer.alloc(pageSize);
  let from = 0;
  for (const { index, record, before } of records(undo)) {
    if (turns.isOver()) await turns.next();
    await hashRange(present, from, Math.min(index * pageSize, sizeAfter), staying, turns);
    from = (index + 1) * pageSize;
    const own = pageAt(present, index, pageSize, page);
    for (let at = 0; at < own.length; at += SECTOR_BYTES) {
      const place = hashPlace(at);
      const isAfter = sectorHash(own, at).equals(record.subarray(place, place + SECTOR_HASH_BYTES));
      const isBefore = own.subarray(at, at + SECTOR_BYTES).equals(before.subarray(at, at + SECTOR_BYTES));
      if (!isAfter && !isBefore) throw fault;
    }
  }
  await hashRange(present, from, sizeAfter, staying, turns);
  if (!staying.digest().equals(undo.staying)) throw fault;
}

async function putBack(
  undo: UndoFile,
  present: FileHandle,
  draft: FileHandle,
  turns: Turns,
  onProgress: UndoJobOptions['onProgress'],
): Promise<void> {
  const { pageSize, sizeBefore } = undo;
  const window = Buffer.alloc(WINDOW_BYTES);
  for (let at = 0; at < sizeBefore; ) {
    if (turns.isOver()) {
      onProgress?.(at, sizeBefore);
      await turns.next();
    }
    const read = present.readAt(window.subarray(0, Math.min(WINDOW_BYTES, sizeBefore - at)), at);
    if (read === 0) break;
    draft.writeAt(window.subarray(0, read), at);
    at += read;
  }
  for (const { index, before } of records(undo)) {
    if (turns.isOver()) await turns.next();
    draft.writeAt(before, index * pageSize);
  }
  draft.truncate(sizeBefore);
}
