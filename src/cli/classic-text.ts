/**
 * The forms of the classic text output: banner, value formats, final line (format specification, chapter
 * 6.2.1). Labels and values are read by other programs, so their spelling is fixed.
 */

import { readFileSync } from 'node:fs';
import type {
  LgposReport,
  MarkReport,
  RangeReport,
  SignatureReport,
  TimeReport,
} from '../maintenance/report-values.js';

export type Profile = 'win' | 'exch' | 'e2003' | 'e2000';

const BANNERS: Readonly<Record<Profile, readonly [string, string]>> = {
  win: ['Extensible Storage Engine Utilities for Microsoft(R) Windows(R)', 'Version 10.0'],
  exch: ['Extensible Storage Engine Utilities for Microsoft(R) Exchange Server', 'Version 15.00'],
  e2003: ['Microsoft(R) Exchange Server Database Utilities', 'Version 6.5'],
  e2000: ['Microsoft(R) Exchange Server(TM) Database Utilities', 'Version 6.0'],
};

/** Version of the package. */
export function packageVersion(): string {
  const manifest = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(manifest) as { version: string }).version;
}

/** The lines of the banner: two of the profile, which scripts expect, and who we really are. */
export function banner(profile: Profile): readonly string[] {
  return [...BANNERS[profile], `esekit ${packageVersion()}, MIT licence. Not a Microsoft product.`, ''];
}

export function profileOf(programName: string, compat: string | null | undefined): Profile {
  if (compat === 'win' || compat === 'exch' || compat === 'e2003' || compat === 'e2000') return compat;
  return programName.toLowerCase().startsWith('esentutl') ? 'win' : 'exch';
}

/** Whether the profile is one of the releases that print fewer fields, and times without milliseconds and zone. */
export function isOldProfile(profile: Profile): boolean {
  return profile === 'e2003' || profile === 'e2000';
}

const MODERN_TIME = /\b(\d\d\/\d\d\/\d{4} \d\d:\d\d:\d\d)\.\d{3}(?: (?:UTC|LOC))?/g;

/** A line as the profile prints it. */
export function lineOfProfile(line: string, profile: Profile): string {
  return isOldProfile(profile) ? line.replace(MODERN_TIME, '$1') : line;
}

/** Whole seconds, a dot, milliseconds without leading zeros: `0.16` is 16 ms. */
export function elapsedText(milliseconds: number): string {
  const whole = Math.max(0, Math.round(milliseconds));
  return `${Math.floor(whole / 1000)}.${whole % 1000}`;
}

export function successLine(milliseconds: number): string {
  return `Operation completed successfully in ${elapsedText(milliseconds)} seconds.`;
}

export function warningLine(code: number, name: string, text: string, milliseconds: number): string {
  return `Operation completed successfully with ${code} (${name}, ${text}) after ${elapsedText(milliseconds)} seconds.`;
}

export function errorLine(code: number, name: string, text: string, milliseconds: number): string {
  return `Operation terminated with error ${code} (${name}, ${text}) after ${elapsedText(milliseconds)} seconds.`;
}

export function unsuccessfulLine(milliseconds: number): string {
  return `Operation terminated unsuccessfully after ${elapsedText(milliseconds)} seconds.`;
}

/** `0x` and lower-case hexadecimal. */
export function hex(value: number | bigint, digits = 1): string {
  return `0x${value.toString(16).padStart(digits, '0')}`;
}

/** `n (0xn)`. */
export function decimalHex(value: number | string): string {
  return `${value} (${hex(typeof value === 'number' ? value : BigInt(value))})`;
}

/** `44-46 (0x2c-0x2e)`. */
export function rangeText({ low, high }: RangeReport): string {
  return `${low}-${high} (${hex(low)}-${hex(high)})`;
}

/** `(0x2C,9,86)`. */
export function lgposText(lgpos: LgposReport): string {
  const [generation = '0', sector = '0', byte = '0'] = lgpos
    .split(',')
    .map((part) => part.replace(/^0+(?=.)/, ''));
  return `(0x${generation},${sector},${byte})`;
}

/** The same with the generation in lower case, as the end of a log is printed. */
export function lastLgposText(lgpos: LgposReport): string {
  return lgposText(lgpos).replace(/^\(0x[0-9A-F]+/, (generation) => generation.toLowerCase());
}

/** `MM/DD/YYYY HH:MM:SS.mmm UTC`, or `LOC` for a time without zone. */
export function timeText(time: TimeReport): string {
  const parts = timeParts(time);
  return `${parts.date} ${parts.clock}.${parts.milliseconds} ${parts.zone}`;
}

function timeParts(time: TimeReport): { date: string; clock: string; milliseconds: string; zone: string } {
  const match = /^(\d+)-(\d+)-(\d+)T(\d+:\d+:\d+)(?:\.(\d+))?(Z?)$/.exec(time ?? '1900-00-00T00:00:00.000');
  const [, year = '', month = '', day = '', clock = '', milliseconds = '000', zone = ''] = match ?? [];
  return { date: `${month}/${day}/${year}`, clock, milliseconds, zone: zone === 'Z' ? 'UTC' : 'LOC' };
}

/** `Create time:02/11/2021 07:15:40.118 Rand:1804401277 Computer:`. */
export function signatureText({ random, time, computer }: SignatureReport): string {
  const parts = timeParts(time);
  return `Create time:${parts.date} ${parts.clock}.${parts.milliseconds} Rand:${random} Computer:${computer}`;
}

/** Position and time, two blanks between. */
export function markText({ lgpos, time }: MarkReport): string {
  return `${lgposText(lgpos)}  ${timeText(time)}`;
}
