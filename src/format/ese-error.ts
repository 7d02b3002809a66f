import { JET_ERRORS, type JetErrorName } from './jet-errors.js';

/** Log position: a byte in a sector of a log generation (format specification, chapter 1.2.1). */
export interface Lgpos {
  /** Log generation, from 1; 0 with `isec` and `ib` 0 means "none". */
  readonly generation: number;
  /** Sector (log segment) in the file of that generation. */
  readonly isec: number;
  /** Byte offset in that sector. */
  readonly ib: number;
}

/** Where in the input an error was met. Every part is optional, each names what is known. */
export interface ErrorPlace {
  /** Path of the file, as the caller gave it. */
  readonly file?: string | undefined;
  /** Page number (1 = first page behind the two header copies). */
  readonly pgno?: number | undefined;
  /** Position in the log stream. */
  readonly lgpos?: Lgpos | undefined;
}

/** The form in which messages print a log position: hexadecimal `generation,sector,byte`. */
export function formatLgpos(lgpos: Lgpos): string {
  const hex = (n: number): string => n.toString(16).toUpperCase();
  return `${hex(lgpos.generation)},${hex(lgpos.isec)},${hex(lgpos.ib)}`;
}

/** Orders log positions: negative when `a` lies before `b`, 0 when equal, positive when behind. */
export function compareLgpos(a: Lgpos, b: Lgpos): number {
  return a.generation - b.generation || a.isec - b.isec || a.ib - b.ib;
}

/**
 * Every error that bad input, the environment or a refused operation causes: the JET error, one
 * sentence, and the place. A bug in the program is never an `EseError`.
 */
export class EseError extends Error implements ErrorPlace {
  /** JET error number, negative. */
  readonly code: number;
  /** JET error name, for instance `JET_errReadVerifyFailure`. */
  override readonly name: JetErrorName;
  readonly file: string | undefined;
  readonly pgno: number | undefined;
  readonly lgpos: Lgpos | undefined;
  /** The sentence without the place. */
  readonly detail: string;

  constructor(name: JetErrorName, detail: string = JET_ERRORS[name].text, place: ErrorPlace = {}) {
    super(withPlace(detail, place));
    this.name = name;
    this.code = JET_ERRORS[name].code;
    this.detail = detail;
    this.file = place.file;
    this.pgno = place.pgno;
    this.lgpos = place.lgpos;
  }

  /** The same error with those parts of the place filled in that it does not yet know. */
  at(place: ErrorPlace): EseError {
    return new EseError(this.name, this.detail, {
      file: this.file ?? place.file,
      pgno: this.pgno ?? place.pgno,
      lgpos: this.lgpos ?? place.lgpos,
    });
  }
}

function withPlace(detail: string, { file, pgno, lgpos }: ErrorPlace): string {
  const parts: string[] = [];
  if (file !== undefined) parts.push(file);
  if (pgno !== undefined) parts.push(`page ${pgno}`);
  if (lgpos !== undefined) parts.push(`log position ${formatLgpos(lgpos)}`);
  return parts.length === 0 ? detail : `${detail} (${parts.join(', ')})`;
}
