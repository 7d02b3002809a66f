import { EseError } from '../format/ese-error.js';
import type { FileHandle, FileSystem } from '../io/file-system.js';

/**
 * The journal of a workload: a file of lines outside of the database, the witness of what must survive. It begins
 * with a line for each load; a line for each transaction follows, written when its durable commit has returned:
 *
 * ```
 * {"load":1,"seed":7,"database":"drill.edb"}
 * {"seq":1,"changes":[["Customers",[1],"9a1f…"],["Orders",[12,3],"deleted"]]}
 * ```
 *
 * A change names a table, the primary key, and the digest of the row after it, or `deleted`.
 */
export type JournalChange = readonly [table: string, key: readonly number[], digest: string];

export const DELETED = 'deleted';

/** What one transaction did, in order. */
export interface JournalEntry {
  readonly seq: number;
  readonly changes: readonly JournalChange[];
}

export interface JournalWriter {
  /** The head of a load. */
  begin(seed: number, database: string): void;
  append(entries: readonly JournalEntry[]): void;
  close(): void;
}

const LINE_END = 0x0a;

/** Opens a journal to append to it, or makes it. A line that a kill cut off is taken away. */
export function openJournal(fs: FileSystem, path: string): JournalWriter {
  const isNew = !fs.exists(path);
  const handle = fs.open(path, isNew ? 'create' : 'write');
  let end = isNew ? 0 : wholeLines(handle);
  const write = (text: string): void => {
    const bytes = Buffer.from(text, 'utf8');
    handle.writeAt(bytes, end);
    end += bytes.length;
  };
  return {
    begin: (seed, database) => write(`${JSON.stringify({ load: 1, seed, database })}\n`),
    append: (entries) => write(entries.map(({ seq, changes }) => `${entryText(seq, changes)}\n`).join('')),
    close: () => handle.close(),
  };
}

function entryText(seq: number, changes: readonly JournalChange[]): string {
  return JSON.stringify({ seq, changes });
}

/** Length of the whole lines of a file; the rest is cut off. */
function wholeLines(handle: FileHandle): number {
  const size = handle.size();
  const bytes = new Uint8Array(size);
  handle.readAt(bytes, 0);
  const end = bytes.lastIndexOf(LINE_END) + 1;
  if (end < size) handle.truncate(end);
  return end;
}

/**
 * Reads a journal. A last line without its end is not there: its transaction may have been durable, but nobody
 * was told.
 *
 * @throws EseError JET_errInvalidParameter for a file that is no journal, JET_errFileNotFound
 */
export function readJournal(fs: FileSystem, path: string): JournalEntry[] {
  const handle = fs.open(path, 'read');
  let text: string;
  try {
    const bytes = new Uint8Array(handle.size());
    text = Buffer.from(bytes.subarray(0, handle.readAt(bytes, 0))).toString('utf8');
  } finally {
    handle.close();
  }
  const entries: JournalEntry[] = [];
  for (const [number, line] of text
    .slice(0, text.lastIndexOf('\n') + 1)
    .split('\n')
    .entries()) {
    if (line === '') continue;
    const entry = parseLine(line);
    if (entry === undefined) {
      throw new EseError('JET_errInvalidParameter', `line ${number + 1} is none of a journal`, {
        file: path,
      });
    }
    if (entry !== 'load') entries.push(entry);
  }
  return entries;
}

function parseLine(line: string): JournalEntry | 'load' | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(line);
  } catch {
    return undefined;
  }
  if (typeof parsed !== 'object' || parsed === null) return undefined;
  if ('load' in parsed) return 'load';
  if (!('seq' in parsed) || typeof parsed.seq !== 'number' || !('changes' in parsed)) return undefined;
  const { seq, changes } = parsed;
  return isChanges(changes) ? { seq, changes } : undefined;
}

/** Reads what the ledger holds of a transaction; undefined if it is no list of changes. */
export function parseChanges(text: string): readonly JournalChange[] | undefined {
  try {
    const parsed: unknown = JSON.parse(text);
    return isChanges(parsed) ? parsed : undefined;
  } catch {
    return undefined;
  }
}

function isChanges(value: unknown): value is readonly JournalChange[] {
  return (
    Array.isArray(value) &&
    value.every(
      (change: unknown) =>
        Array.isArray(change) &&
        change.length === 3 &&
        typeof change[0] === 'string' &&
        Array.isArray(change[1]) &&
        change[1].every((part: unknown) => typeof part === 'number') &&
        typeof change[2] === 'string',
    )
  );
}
