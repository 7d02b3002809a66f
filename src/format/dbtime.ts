/**
 * dbtime: the 64-bit clock of a database that stamps its pages (format specification, chapter 1.3).
 *
 * It is read as a signed number: real stamps are small positive integers, exact below 2^53, and the
 * reserved values at the top of the range come out as the small negative numbers below.
 */
const TWO_32 = 2 ** 32;

/** "No dbtime": the page did not exist before, or the stamp is given elsewhere. */
export const DBTIME_NIL = -1;
/** An operation that was never carried out. */
export const DBTIME_INVALID = -2;
/** Stamp of a page that was shrunk away. */
export const DBTIME_SHRUNK = -3;
/** Stamp of a page reverted to "new". */
export const DBTIME_REVERTED_NEW = -4;
/** Stamp of a reverted root page. */
export const DBTIME_REVERTED_ROOT = -5;
/** The first dbtime of a new database. */
export const DBTIME_START = 0x40;

/** Reads the dbtime at `offset`. */
export function readDbtime(view: DataView, offset: number): number {
  const high = view.getInt32(offset + 4, true);
  const low = view.getUint32(offset, true);
  return high === 0 ? low : high * TWO_32 + low;
}

/** Writes a dbtime at `offset`. */
export function writeDbtime(view: DataView, offset: number, dbtime: number): void {
  const isSmall = dbtime >= 0 && dbtime < TWO_32;
  view.setInt32(offset + 4, isSmall ? 0 : Math.floor(dbtime / TWO_32), true);
  view.setUint32(offset, dbtime >>> 0, true);
}
