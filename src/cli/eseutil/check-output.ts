/** What `/g` and `/p` say alike of a database and of its check (format specification, chapters 6.2.8 and 6.2.9). */

import { basename, extname } from 'node:path';
import { readHeaderElection } from '../../engine/header-election.js';
import type { DatabaseHeader } from '../../format/database-header.js';
import { EseError } from '../../format/ese-error.js';
import { replaceFile, temporaryName } from '../../io/replace-file.js';
import type { IntegrityResult } from '../../maintenance/integrity.js';
import type { IntegrityTextOptions } from '../../maintenance/integrity-text.js';
import { packageVersion } from '../classic-text.js';
import type { CliHost } from '../host.js';
import { hasSwitch, type ModeContext, switchValue } from '../mode.js';
import { meantPath } from '../typed-path.js';

export function noteStreamingFile({ command, warn }: ModeContext): void {
  if (!hasSwitch(command, 's', 'i')) return;
  const message = 'streaming file options are ignored: database has no streaming file';
  warn({ code: null, name: 'StreamingFileIgnored', message });
}

/** Header and page size of a database; undefined where both copies of the header are damaged. */
export function lookAtHeader(
  host: CliHost,
  file: string,
): { readonly header: DatabaseHeader; readonly pageSize: number } | undefined {
  const handle = host.fs.open(file, 'read');
  try {
    const { header, pageSize, source } = readHeaderElection(handle);
    return header === undefined || source === 'none' ? undefined : { header, pageSize };
  } finally {
    handle.close();
  }
}

export const DIRTY_LINES: readonly string[] = [
  'The database is not up-to-date. The check may report corruption that',
  'is none: changes that are still in the log files have not reached the',
  'database.',
  '',
  "Run 'Recovery' first to bring the database up-to-date.",
];

/** Path of a report in the current directory, or where `/f` says. */
export function reportPath({ host, command }: ModeContext, extension: string): string {
  const prefix = switchValue(command, 'f');
  if (prefix !== undefined && prefix !== null) return `${meantPath(host, prefix)}${extension}`;
  const name = basename(meantPath(host, command.positional ?? ''));
  return `${name.slice(0, name.length - extname(name).length)}${extension}`;
}

/**
 * Makes sure before a long check that its report can be written.
 *
 * @throws EseError what the file system says
 */
export function checkReportPlace(context: ModeContext): void {
  const { fs, random } = context.host.environment;
  const path = reportPath(context, '.INTEG.RAW');
  const draft = temporaryName(path, random);
  try {
    fs.open(draft, 'create').close();
    fs.unlink(draft);
  } catch (error) {
    if (!(error instanceof EseError)) throw error;
    const detail = `the report cannot be written there, /f names another place: ${error.detail}`;
    throw new EseError(error.name, detail, { file: path });
  }
}

/**
 * Writes the report of a check (format specification, chapter 12.6.3).
 *
 * @param ending the lines behind those of the check, up to its verdict
 * @returns where it lies
 */
export async function writeReport(
  context: ModeContext,
  check: IntegrityResult,
  operation: IntegrityTextOptions['operation'],
  ending: readonly string[],
  elapsedMs: number,
): Promise<string> {
  const { integrityText } = await import('../../maintenance/integrity-text.js');
  const { defaultWorkers } = await import('../../workers/pool.js');
  const path = reportPath(context, '.INTEG.RAW');
  const lines = [
    ...integrityText(check, {
      operation,
      database: context.command.positional ?? '',
      version: `esekit version ${packageVersion()}`,
      workers: context.workers ?? defaultWorkers(),
      comparesIndexes: !hasSwitch(context.command, 'b'),
    }),
    ...ending,
    '',
    '',
    '',
    `***** Eseutil completed in ${Math.floor(elapsedMs / 1000)} seconds`,
    '',
  ];
  try {
    replaceFile(context.host.environment, path, Buffer.from(`${lines.join('\n')}\n`, 'utf8'));
  } catch (error) {
    if (!(error instanceof EseError)) throw error;
    // What was done is done: a disk that has become full must not hide it.
    const message = `the report could not be written: ${error.detail}`;
    context.warn({ code: null, name: 'ReportNotWritten', message, file: path });
  }
  return path;
}

/** The verdict of a check at the end of its report. */
export function verdictLines({ report }: IntegrityResult): string[] {
  return [
    '',
    report.corrupt ? 'Integrity check completed.  Database is CORRUPTED!' : 'Integrity check successful.',
  ];
}

/** `/n`: a line for each table. */
export function writeStatistics(context: ModeContext, { report }: IntegrityResult, extension: string): void {
  const lines = ['name,objid,records,longValues,indexes,errors,warnings'];
  for (const { name, objid, records, longValues, indexes, errors, warnings } of report.tables) {
    lines.push([quoted(name), objid, records, longValues, indexes, errors, warnings].join(','));
  }
  const path = reportPath(context, extension);
  replaceFile(context.host.environment, path, Buffer.from(`${lines.join('\n')}\n`, 'utf8'));
}

function quoted(text: string): string {
  return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
