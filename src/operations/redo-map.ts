import { EseError, type Lgpos } from '../format/ese-error.js';

/**
 * Redo map: pages that redo could not use although a record names them, in the range of generations in which
 * that may yet be explained by a later record (format specification, chapter 5.3.6).
 *
 * | kind | meaning | what the page may still turn out to be |
 * |---|---|---|
 * | `blank` | never written, beyond the end of the file, or marked as shrunk away | cut off or trimmed later |
 * | `behind` | its stamp is older than the record expects | the same; else a write was lost |
 *
 * While a page is in the map, redo leaves it alone. What is left at the end fails the recovery.
 */
export type RedoMapKind = 'blank' | 'beyondEof' | 'behind';

/** Why a page is in the map, and since which record. */
export interface RedoMapEntry {
  readonly kind: RedoMapKind;
  readonly pgno: number;
  readonly lgpos: Lgpos;
  /** Stamp found on the page, 0 where there was none; the stamp that the record expected; the one it gives. */
  readonly dbtimePage: number;
  readonly dbtimeBefore: number;
  readonly dbtimeAfter: number;
}

/** Pages that a recovery may leave unexplained before it gives up: a file of the wrong stream has them all. */
const ENTRIES_MAX = 1_000_000;

const ERROR_OF = {
  blank: 'JET_errPageNotInitialized',
  beyondEof: 'JET_errFileIOBeyondEOF',
  behind: 'JET_errDbTimeTooOld',
} as const;

/** The redo map of one database. */
export class RedoMap {
  readonly #entries = new Map<number, RedoMapEntry>();

  get size(): number {
    return this.#entries.size;
  }

  has(pgno: number): boolean {
    return this.#entries.size > 0 && this.#entries.has(pgno);
  }

  /** Adds a page; the first reason stays. Throws the error of the entry when there are far too many. */
  add(entry: RedoMapEntry): void {
    if (this.#entries.has(entry.pgno)) return;
    if (this.#entries.size >= ENTRIES_MAX) throw redoMapError(entry);
    this.#entries.set(entry.pgno, { ...entry, lgpos: { ...entry.lgpos } });
  }

  /** Forgets the pages `first .. last`: a record explained them, or gives them a new content. */
  clear(first: number, last: number): void {
    if (this.#entries.size === 0) return;
    if (first === last) {
      this.#entries.delete(first);
      return;
    }
    for (const pgno of this.#entries.keys()) {
      if (pgno >= first && pgno <= last) this.#entries.delete(pgno);
    }
  }

  /** The error of the page that was met first, or `undefined` when every page is explained. */
  error(): EseError | undefined {
    for (const entry of this.#entries.values()) return redoMapError(entry);
    return undefined;
  }
}

function redoMapError(entry: RedoMapEntry): EseError {
  const { kind, pgno, lgpos, dbtimePage, dbtimeBefore } = entry;
  const what =
    kind === 'behind'
      ? `the page has stamp ${dbtimePage} where the log expects ${dbtimeBefore}: a write was lost`
      : kind === 'blank'
        ? 'the log changes a page that was never written'
        : 'the log changes a page behind the end of the file';
  return new EseError(ERROR_OF[kind], what, { pgno, lgpos });
}
