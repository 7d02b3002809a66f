/** The exit codes of all programs on POSIX hosts (format specification, chapter 6.2.14). */

import { EseError } from '../format/ese-error.js';
import type { ErrorReport } from '../maintenance/report-values.js';

export const EXIT = {
  done: 0,
  usage: 1,
  corruption: 2,
  otherError: 3,
  doneWithLoss: 4,
  refused: 5,
  findingsRemain: 6,
  /** Plus the number of the signal. */
  signal: 128,
} as const;

/** Numbers of the class "the data are damaged, incomplete or do not belong together". */
const CORRUPTION: ReadonlySet<number> = new Set([
  -500, -501, -509, -513, -514, -515, -527, -528, -530, -531, -532, -533, -534, -535, -536, -537, -538, -539,
  -540, -541, -543, -551, -552, -553, -554, -555, -556, -557, -560, -565, -566, -567, -568, -569, -570, -571,
  -572, -573, -574, -582, -586, -590, -610, -611, -612, -615, -625, -626, -1018, -1019, -1021, -1118, -1119,
  -1121, -1123, -1206, -1213, -1216, -1220, -1222, -1224, -1226, -1412, -1413, -1414, -1502, -1526, -1620,
  -1812, -1852, -1919, -1935, -4001,
]);

const CORRUPTION_HIGH = -322;
const CORRUPTION_LOW = -431;
const SYSTEM_CALL_FAILED = -334;

/** Refused before anything was changed: a dirty database, one from a backup, a file that is in use. */
const REFUSED: ReadonlySet<number> = new Set([-550, -544, -1032]);

/** "Recovered without undo", as `/u` asked for. */
const AS_REQUESTED: ReadonlySet<number> = new Set([-579, -584]);

/** The exit code that a JET error or warning number stands for. */
export function exitCodeOfJet(code: number): number {
  if (code >= 0 || AS_REQUESTED.has(code)) return EXIT.done;
  if (REFUSED.has(code)) return EXIT.refused;
  if (CORRUPTION.has(code)) return EXIT.corruption;
  if (code <= CORRUPTION_HIGH && code >= CORRUPTION_LOW && code !== SYSTEM_CALL_FAILED)
    return EXIT.corruption;
  return EXIT.otherError;
}

/** The exit code of a run that ended with this error. */
export function exitCodeOfError(error: EseError | ErrorReport): number {
  if (error instanceof EseError || error.code !== null) return exitCodeOfJet(error.code ?? 0);
  return error.name === 'UsageError' ? EXIT.usage : EXIT.otherError;
}
