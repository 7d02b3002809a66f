/**
 * LOGTIME: the 8-byte calendar time of headers and log records (format specification, chapter 1.2.1).
 *
 * | byte | meaning |
 * |---|---|
 * | 0, 1, 2 | seconds, minutes, hours |
 * | 3, 4, 5 | day 1–31, month 1–12, year − 1900 |
 * | 6 | bit 0: UTC (else local); bits 1–7: low 7 bits of the milliseconds |
 * | 7 | bit 0: reserved; bits 1–3: high 3 bits of the milliseconds; bits 4–7 unused |
 */
export interface Logtime {
  readonly year: number;
  readonly month: number;
  readonly day: number;
  readonly hours: number;
  readonly minutes: number;
  readonly seconds: number;
  readonly milliseconds: number;
  readonly utc: boolean;
}

/** Size of a LOGTIME in bytes. */
export const LOGTIME_BYTES = 8;

/** Decodes the LOGTIME at `offset`; `undefined` when it is not set (all date and time bytes zero). */
export function readLogtime(bytes: Uint8Array, offset: number): Logtime | undefined {
  const at = (i: number): number => bytes[offset + i] ?? 0;
  if ((at(0) | at(1) | at(2) | at(3) | at(4) | at(5)) === 0) return undefined;
  return {
    seconds: at(0),
    minutes: at(1),
    hours: at(2),
    day: at(3),
    month: at(4),
    year: 1900 + at(5),
    milliseconds: (at(6) >> 1) | (((at(7) >> 1) & 7) << 7),
    utc: (at(6) & 1) !== 0,
  };
}

/** Encodes a time as a UTC LOGTIME at `offset`; `undefined` writes "not set". */
export function writeLogtime(bytes: Uint8Array, offset: number, time: Date | undefined): void {
  bytes.fill(0, offset, offset + LOGTIME_BYTES);
  if (time === undefined) return;
  bytes[offset] = time.getUTCSeconds();
  bytes[offset + 1] = time.getUTCMinutes();
  bytes[offset + 2] = time.getUTCHours();
  bytes[offset + 3] = time.getUTCDate();
  bytes[offset + 4] = time.getUTCMonth() + 1;
  bytes[offset + 5] = time.getUTCFullYear() - 1900;
  const ms = time.getUTCMilliseconds();
  bytes[offset + 6] = 1 | ((ms & 0x7f) << 1);
  bytes[offset + 7] = ((ms >> 7) & 7) << 1;
}

/** Encodes a LOGTIME at `offset` as it was read; `undefined` writes "not set". */
export function encodeLogtime(bytes: Uint8Array, offset: number, time: Logtime | undefined): void {
  bytes.fill(0, offset, offset + LOGTIME_BYTES);
  if (time === undefined) return;
  bytes[offset] = time.seconds;
  bytes[offset + 1] = time.minutes;
  bytes[offset + 2] = time.hours;
  bytes[offset + 3] = time.day;
  bytes[offset + 4] = time.month;
  bytes[offset + 5] = time.year - 1900;
  bytes[offset + 6] = (time.utc ? 1 : 0) | ((time.milliseconds & 0x7f) << 1);
  bytes[offset + 7] = ((time.milliseconds >> 7) & 7) << 1;
}

/** The LOGTIME of a time in milliseconds since 1970 UTC. */
export function logtimeOf(ms: number): Logtime {
  const time = new Date(ms);
  return {
    year: time.getUTCFullYear(),
    month: time.getUTCMonth() + 1,
    day: time.getUTCDate(),
    hours: time.getUTCHours(),
    minutes: time.getUTCMinutes(),
    seconds: time.getUTCSeconds(),
    milliseconds: time.getUTCMilliseconds(),
    utc: true,
  };
}

/** A LOGTIME as a `Date`. Local times are read as if they were UTC: the file does not say which zone. */
export function logtimeToDate(time: Logtime): Date {
  const { year, month, day, hours, minutes, seconds, milliseconds } = time;
  return new Date(Date.UTC(year, month - 1, day, hours, minutes, seconds, milliseconds));
}
