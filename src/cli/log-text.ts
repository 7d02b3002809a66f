/** Parts of the text of logs and checkpoints that several modes print (format specification, chapter 6.2.3). */

import type { LogFileReport, LogProblemReport } from '../maintenance/dump-log.js';
import type { AttachmentReport, EnvReport } from '../maintenance/log-values.js';
import type { SignatureReport } from '../maintenance/report-values.js';
import { hex, lastLgposText, lgposText, signatureText, timeText } from './classic-text.js';

const ENV_WIDTH = 7;
const TWO_32 = 2n ** 32n;

/** The two lines of engine parameters, without their indent. */
export function envLines(env: EnvReport): [string, string] {
  const values = [
    env.circularLogging ? 'on' : 'off',
    env.sessions,
    env.openTables,
    env.versionPages,
    env.cursors,
    env.logBuffers,
    env.logFileSectors,
    env.buffers,
  ];
  return [
    'Env (CircLog,Session,Opentbl,VerPage,Cursors,LogBufs,LogFile,Buffers)',
    `    (${values.map((value) => String(value).padStart(ENV_WIDTH)).join(',')})`,
  ];
}

/** `770119 (0-770119)`: the number, and its two halves. */
export function dbtimeHalves(dbtime: string): string {
  const value = BigInt(dbtime);
  return `${dbtime} (${value / TWO_32}-${value % TWO_32})`;
}

/** The lines of an attached database behind its first one, without their indent. */
export function attachmentLines(attachment: AttachmentReport): string[] {
  return [
    `dbtime: ${dbtimeHalves(attachment.dbtime)}`,
    `objidLast: ${attachment.objidLast}`,
    `Signature: ${signatureText(attachment.signDb)}`,
    `MaxDbSize: ${attachment.cpgMax} pages`,
    `Last Attach: ${lgposText(attachment.lgposAttach)}`,
    `Last Consistent: ${lgposText(attachment.lgposConsistent)}`,
  ];
}

function generationText(value: LogProblemReport['found']): string {
  const generation = Number(value ?? 0);
  return `${generation} (${hex(generation)})`;
}

function generationUpper(value: LogProblemReport['found']): string {
  const generation = Number(value ?? 0);
  return `${generation} (0x${generation.toString(16).toUpperCase()})`;
}

function timeValue(value: LogProblemReport['found']): string {
  return `[${timeText(typeof value === 'string' ? value : null)}]`;
}

function checksumValue(value: LogProblemReport['found']): string {
  return hex(BigInt(typeof value === 'string' ? value : 0), 16);
}

/** What follows `ERROR: ` for a log that is not whole; a second line belongs to a wrong signature. */
export function problemLines(log: LogFileReport): string[] {
  const code = log.error?.code ?? 0;
  const problem = log.problem;
  switch (problem?.kind) {
    case 'cannotOpen':
      return [code === -1811 ? 'File not found.' : `Cannot open log file (${log.path}). Error ${code}.`];
    case 'badHeader':
      return [`Cannot read log file header. Error ${code}.`];
    case 'missingBefore':
      return [
        `Missing log file(s). Log file is generation ${generationText(problem.found)}, but expected generation is ${generationText(problem.expected)}.`,
      ];
    case 'previousTime':
      return [
        `Invalid log sequence. Previous generation time is ${timeValue(problem.found)}, but expected ${timeValue(problem.expected)}.`,
      ];
    case 'previousChecksum':
      return [
        `Invalid log sequence. Previous generation accumulated segment checksum is ${checksumValue(problem.found)}, but expected ${checksumValue(problem.expected)}.`,
      ];
    case 'signature':
      return [
        `Invalid log signature: ${signatureText(problem.found as SignatureReport)}`,
        `   Expected signature: ${signatureText(problem.expected as SignatureReport)}`,
      ];
    case 'generation':
      return [
        `Mismatched log generation ${generationUpper(problem.found)} with log file name. Expected generation ${generationUpper(problem.expected)}.`,
      ];
    case 'unverifiable':
      return [`Log file header is OK but integrity could not be verified. Error ${code}.`];
    default:
      return [
        `Log damaged (unusable). Last Lgpos: ${lastLgposText(log.lastLgpos ?? log.error?.lgpos ?? '0,0,0')}. Error ${code}.`,
      ];
  }
}
