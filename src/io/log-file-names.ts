/**
 * Names of the files of a log stream (format specification, chapter 4.1.1), for a base name such as `E00`:
 *
 * | name | role |
 * |---|---|
 * | `E00.log` | current log: the only one that is being appended |
 * | `E0000000A5.log`, `E00000A5.log` | archived log, generation in 8 or 5 hexadecimal digits |
 * | `E00tmp.log` | next generation in preparation: never part of the stream |
 * | `E00res00001.jrs` | reserve |
 * | `E00.chk` | checkpoint |
 *
 * The newer family of extensions is `.jtx` and `.jcp`. Names are compared without regard to case, and always
 * given back as they are found on disk.
 */
export const BASE_NAME_LENGTH = 3;

export type LogExtension = '.log' | '.jtx';

/** Both families of extensions, in the order in which they are looked for. */
export const LOG_EXTENSIONS: readonly LogExtension[] = ['.log', '.jtx'];
export const CHECKPOINT_EXTENSIONS: readonly string[] = ['.chk', '.jcp'];

/** Digits of the generation in a name: 8, or 5 up to generation 0xFFFFF. */
export type LogDigits = 5 | 8;
const GENERATION_5_DIGITS_MAX = 0xfffff;

/** What the name of a file of a log stream says. */
export interface LogFileName {
  readonly role: 'current' | 'archived' | 'tmp';
  readonly extension: LogExtension;
  /** Generation and digits of an archived log; 0 for the others. */
  readonly generation: number;
  readonly digits: LogDigits | 0;
}

const NAME = /^(?:(tmp)|([0-9a-f]{5}|[0-9a-f]{8}))?(\.log|\.jtx)$/i;

/** Takes the name of a log file of a stream apart; undefined if it is none. Generation 0 does not exist. */
export function parseLogFileName(name: string, baseName: string): LogFileName | undefined {
  if (name.slice(0, baseName.length).toLowerCase() !== baseName.toLowerCase()) return undefined;
  const match = NAME.exec(name.slice(baseName.length));
  if (match === null) return undefined;
  const [, tmp, hex, suffix = ''] = match;
  const extension: LogExtension = suffix.toLowerCase() === '.jtx' ? '.jtx' : '.log';
  if (hex === undefined) {
    return { role: tmp === undefined ? 'current' : 'tmp', extension, generation: 0, digits: 0 };
  }
  const generation = Number.parseInt(hex, 16);
  if (generation === 0) return undefined;
  return { role: 'archived', extension, generation, digits: hex.length === 5 ? 5 : 8 };
}

/** The name of an archived log. Generations that do not fit five digits take eight. */
export function archivedLogName(
  baseName: string,
  generation: number,
  digits: LogDigits,
  extension: LogExtension,
): string {
  const width = generation > GENERATION_5_DIGITS_MAX ? 8 : digits;
  return `${baseName}${generation.toString(16).toUpperCase().padStart(width, '0')}${extension}`;
}
