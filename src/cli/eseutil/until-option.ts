import type { RedoLimit } from '../../recovery/redo.js';
import { UsageError } from '../usage-error.js';

/** As positions are printed: `(0x1,9D,A42)`, `00000001,009D,0A42`, `1:9D:A42`; all parts are hexadecimal. */
const LGPOS = /^\(?(?:0x)?([\da-f]{1,8})([,:])(?:0x)?([\da-f]{1,4})\2(?:0x)?([\da-f]{1,4})\)?$/i;
const GENERATION_MAX = 0x7fff_ffff;

/** A time of day needs its zone: log times are UTC, and what is meant must not depend on where the command runs. */
const TIME = /^(\d{4}-\d\d-\d\d)T\d\d:\d\d(?::\d\d(?:\.\d{1,3})?)?(?:Z|[+-]\d\d:\d\d)$/;

/** Where `--until` ends redo (format specification, chapter 6.2.11). Throws a UsageError. */
export function readUntil(text: string): RedoLimit {
  const position = LGPOS.exec(text);
  if (position !== null) {
    const [generation = 0, isec = 0, ib = 0] = [position[1], position[3], position[4]].map((part) =>
      Number.parseInt(part ?? '0', 16),
    );
    if (generation > 0 && generation <= GENERATION_MAX) return { lgpos: { generation, isec, ib } };
  }
  const day = TIME.exec(text)?.[1];
  const timeMs = day === undefined ? Number.NaN : Date.parse(text);
  if (!Number.isNaN(timeMs) && isDay(day)) return { timeMs };
  throw new UsageError(`Usage Error: Invalid option '--until=${text}'.`, [
    'give a position as logs are dumped, 0x1,9D,A42, or a time with its zone, 2026-01-31T12:00:00Z',
  ]);
}

/** `Date.parse` takes the 31st of February for a day of March. */
function isDay(day: string | undefined): boolean {
  return day !== undefined && new Date(`${day}T00:00Z`).toISOString().startsWith(day);
}
