/**
 * The values of reports: every maintenance function returns its findings in the shape of the JSON output, from
 * which the classic text is rendered (format specification, chapter 11.3). Names are stable.
 */

import type { EseError, Lgpos } from '../format/ese-error.js';
import type { Logtime } from '../format/logtime.js';
import type { Signature } from '../format/signature.js';

/** ISO 8601 as stored, never converted: with `Z` when marked UTC, without a zone when local; `null` = not set. */
export type TimeReport = string | null;

/** `GGGGGGGG,SSSS,BBBB`, upper-case hexadecimal. */
export type LgposReport = string;

export interface SignatureReport {
  readonly random: number;
  readonly time: TimeReport;
  readonly computer: string;
}

/** Generations, both ends included; `{ low: 0, high: 0 }` as stored where there is none. */
export interface RangeReport {
  readonly low: number;
  readonly high: number;
}

/** A position and the time that belongs to it. */
export interface MarkReport {
  readonly lgpos: LgposReport;
  readonly time: TimeReport;
}

/** An error as reports carry it; `code` is `null` where no JET error stands for it. */
export interface ErrorReport {
  readonly code: number | null;
  readonly name: string;
  readonly message: string;
  readonly file?: string;
  readonly pgno?: number;
  readonly lgpos?: LgposReport;
}

export interface WarningReport {
  readonly code: number | null;
  readonly name: string;
  readonly message: string;
  readonly file?: string;
  readonly pgno?: number;
}

/** One thing that a check found. `code` is a stable name of chapter 7.5.3. */
export interface Finding {
  readonly code: string;
  readonly severity: 'error' | 'warning' | 'info';
  readonly message: string;
  readonly file?: string;
  readonly pgno?: number;
  readonly node?: number;
  readonly objid?: number;
  readonly object?: string;
  readonly lgpos?: LgposReport;
  readonly generation?: number;
  readonly keyRange?: readonly [string | null, string | null];
  readonly action?: string;
  readonly saved?: string;
}

function padded(value: number, digits: number): string {
  return String(value).padStart(digits, '0');
}

/** A stored time in the form of reports. Impossible dates of damaged files come out as stored. */
export function timeReport(time: Logtime | undefined): TimeReport {
  if (time === undefined) return null;
  const date = `${padded(time.year, 4)}-${padded(time.month, 2)}-${padded(time.day, 2)}`;
  const clock = `${padded(time.hours, 2)}:${padded(time.minutes, 2)}:${padded(time.seconds, 2)}`;
  return `${date}T${clock}.${padded(time.milliseconds, 3)}${time.utc ? 'Z' : ''}`;
}

/** A log position in the form of reports. */
export function lgposReport(lgpos: Lgpos): LgposReport {
  const hex = (value: number, digits: number): string =>
    (value >>> 0).toString(16).toUpperCase().padStart(digits, '0');
  return `${hex(lgpos.generation, 8)},${hex(lgpos.isec, 4)},${hex(lgpos.ib, 4)}`;
}

export function signatureReport(signature: Signature): SignatureReport {
  return { random: signature.random, time: timeReport(signature.created), computer: signature.computer };
}

export function markReport(lgpos: Lgpos, time: Logtime | undefined): MarkReport {
  return { lgpos: lgposReport(lgpos), time: timeReport(time) };
}

/** A 64-bit stamp that {@link readDbtime} decoded, as an unsigned decimal string. */
export function dbtimeReport(dbtime: number): string {
  return dbtime >= 0 ? String(dbtime) : BigInt.asUintN(64, BigInt(dbtime)).toString();
}

export function errorReport(error: EseError): ErrorReport {
  return {
    code: error.code,
    name: error.name,
    message: error.detail,
    ...(error.file === undefined ? {} : { file: error.file }),
    ...(error.pgno === undefined ? {} : { pgno: error.pgno }),
    ...(error.lgpos === undefined ? {} : { lgpos: lgposReport(error.lgpos) }),
  };
}
