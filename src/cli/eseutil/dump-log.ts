/** `/ml`: one log file, or with a base name the whole stream (format specification, chapter 6.2.3). */

import { basename, dirname } from 'node:path';
import { EseError } from '../../format/ese-error.js';
import type { FileHandle } from '../../io/file-system.js';
import { BASE_NAME_LENGTH } from '../../io/log-file-names.js';
import {
  type DumpedRecord,
  dumpLog,
  dumpLogStream,
  type LogFileReport,
  type LogReport,
  type PageIoReport,
  type RecordTypeReport,
} from '../../maintenance/dump-log.js';
import { logRecordLine } from '../../maintenance/log-record-report.js';
import { type MendedLog, mendLogs } from '../../maintenance/mend-logs.js';
import type { RangeReport } from '../../maintenance/report-values.js';
import { isBaseName } from '../base-name.js';
import { hex, lastLgposText, lgposText, signatureText, timeText } from '../classic-text.js';
import { streamHints, streamSource } from '../log-source.js';
import { attachmentLines, envLines, problemLines } from '../log-text.js';
import { hasSwitch, type Mode, type ModeContext, type ModeOutcome, switchValue } from '../mode.js';
import type { ModeCommand } from '../slash-command.js';
import { meantTarget, requireKind, sourceFile } from '../typed-path.js';
import { MissingArgument, UsageError } from '../usage-error.js';

/** The newest log format of the known engine versions (chapter 1.8). */
const ENGINE_LOG_VERSION = '8.4000.130.280';

export const dumpLogMode: Mode = {
  heading: 'FILE DUMP',
  blocks: true,
  writes: (command) => hasSwitch(command, 'c', 'x'),
  run: (context) => {
    const source = context.command.positional;
    if (source === null) throw new MissingArgument('source file');
    return isBaseName(source) ? dumpStream(context, source) : dumpOneLog(context, source);
  },
};

type Say = ModeContext['say'];

/** `/r1a-2f`. */
function generationRange(command: ModeCommand): RangeReport | undefined {
  const text = switchValue(command, 'r');
  if (typeof text !== 'string') return undefined;
  const [low = 0, high = low] = text.split('-').map((part) => Number.parseInt(part, 16));
  if (low > high) throw new UsageError(`Usage Error: Invalid option '/r${text}'. It begins behind its end.`);
  return { low, high };
}

function dumpStream(context: ModeContext, source: string): ModeOutcome {
  const { host, command, say, event, signal } = context;
  if (hasSwitch(command, 'c')) {
    throw new UsageError("Usage Error: Invalid option '/c'. It needs a single log file.");
  }
  const { directory, baseName } = streamSource(host, source);
  const range = generationRange(command);
  say('Verifying log files...');
  say(`     Base name: ${baseName}`);
  if (range !== undefined) say(`     Log generation range: ${hex(range.low)}-${hex(range.high)}`);
  say();
  try {
    const mended = hasSwitch(command, 'x') ? mendStream(context, directory, baseName, range) : undefined;
    const { report, error } = dumpLogStream(host.fs, directory, baseName, {
      range,
      signal,
      onLog: (log) => {
        event('log', log);
        printStreamLog(say, log);
        printMended(
          say,
          ' '.repeat(STREAM_INDENT),
          mended?.find(({ path }) => path === log.path),
        );
      },
      onMissing: (gap, names) => printMissing(say, directory, baseName, gap, names),
    });
    const result = mended === undefined ? report : { ...report, mended };
    if (error !== undefined) return { result, error };
    say();
    say('No damaged log files were found.');
    return { result };
  } catch (error) {
    if (error instanceof EseError)
      for (const hint of streamHints(host, host.probe(source) ? source : directory)) say(hint);
    throw error;
  }
}

const STREAM_INDENT = 16;
const LOG_INDENT = 6;

/** `/x`: restores what a crash tore in any log of the range. */
function mendStream(
  { host, signal }: ModeContext,
  directory: string,
  baseName: string,
  range: RangeReport | undefined,
): MendedLog[] {
  const { logs } = dumpLogStream(host.fs, directory, baseName, { range, signal }).report;
  const torn = logs.filter(({ segments }) => segments?.tornTail === true).map(({ path }) => path);
  return torn.length === 0 ? [] : mendLogs(host.fs, directory, baseName, torn);
}

function printMended(say: Say, indent: string, mended: MendedLog | undefined): void {
  if (mended !== undefined) say(`${indent}Torn segments restored: ${mended.segments.join(', ')}`);
}

/** One log of a stream that is there; gaps are printed as such. */
export function printStreamLog(say: Say, log: LogFileReport): void {
  if (log.status === 'missing') return;
  say(`      Log file: ${log.path}${log.status === 'ok' ? ' - OK' : ''}`);
  if (log.versionBefore !== undefined) {
    say(
      `                WARNING: Log version walked backwards, from ${log.versionBefore} to ${log.formatVersion}.`,
    );
  }
  if (log.status === 'ok') return;
  const [first = '', ...more] = problemLines(log);
  say(`                ERROR: ${first}`);
  for (const line of more) say(`                ${line}`);
}

/** `Missing log file: …`, or with the digits of both ends where several are missing. */
export function printMissing(
  say: Say,
  directory: string,
  baseName: string,
  { low, high }: RangeReport,
  [first, last]: readonly [string, string],
): void {
  const folder = directory.endsWith('/') ? directory : `${directory}/`;
  if (low === high) {
    say(`      Missing log file: ${folder}${first}`);
    return;
  }
  const dot = first.lastIndexOf('.');
  const digits = (name: string) => name.slice(baseName.length, name.lastIndexOf('.'));
  say(`      Missing log files: ${folder}${baseName}{${digits(first)} - ${digits(last)}}${first.slice(dot)}`);
}

function dumpOneLog(context: ModeContext, source: string): ModeOutcome {
  const { host, command, say } = context;
  const path = logFile(context, source);
  let csv: CsvFile | undefined;
  try {
    requireKind(host, path, 'log');
    const csvPath = switchValue(command, 'c');
    if (typeof csvPath === 'string') csv = openCsv(context, meantTarget(host, csvPath));
    const outcome = dumpLogFile(context, source, path, csv);
    const failure = csv?.close();
    return failure === undefined ? outcome : { ...outcome, error: failure };
  } catch (error) {
    csv?.close();
    if (error instanceof EseError && error.file === path) say(`      ERROR: ${openError(error, source)}`);
    throw error;
  }
}

function dumpLogFile(
  context: ModeContext,
  source: string,
  path: string,
  csv: CsvFile | undefined,
): ModeOutcome {
  const { host, command, say, signal } = context;
  const verbosity = verbosityOf(command);
  const mended = hasSwitch(command, 'x')
    ? mendLogs(host.fs, dirname(path), basename(path).slice(0, BASE_NAME_LENGTH), [path])
    : undefined;
  const { report, error } = dumpLog(host.fs, path, {
    recordTypes: verbosity > 0,
    pageIo: hasSwitch(command, 's'),
    ...(verbosity > 0 && context.wantsReport ? { recordsMax: context.jsonLimit } : {}),
    onHeader: (header) => printHeader(say, source, header),
    onRecord: (record) => {
      if (verbosity > 0) say(recordLine(record, verbosity));
      csv?.record(record);
    },
    signal,
  });
  printEnd(say, source, report);
  printMended(say, ' '.repeat(LOG_INDENT), mended?.[0]);
  const result = mended === undefined ? report : { ...report, mended };
  return error === undefined ? { result } : { result, error };
}

/** The log file, or for a directory the error that says how to name the streams in it. */
function logFile({ host, say }: ModeContext, source: string): string {
  try {
    return sourceFile(host, source, 'source file', true);
  } catch (error) {
    if (error instanceof EseError) for (const hint of streamHints(host, source)) say(hint);
    throw error;
  }
}

function verbosityOf(command: ModeCommand): number {
  if (!hasSwitch(command, 'v')) return 0;
  return switchValue(command, 'v') === '2' ? 2 : 1;
}

function openError(error: EseError, source: string): string {
  if (error.name === 'JET_errFileNotFound') return 'File not found.';
  const isHeader = error.name !== 'JET_errFileAccessDenied' && error.name !== 'JET_errInvalidPath';
  return isHeader
    ? `Cannot read log file header. Error ${error.code}.`
    : `Cannot open log file (${source}). Error ${error.code}.`;
}

const SECTOR_MATCHES: Readonly<Record<number, string>> = {
  0: 'unknown',
  1: 'matches',
  2: 'mismatch: 512',
  3: 'mismatch: 1024',
  4: 'mismatch: 2048',
  5: 'mismatch: 4096',
};

function printHeader(say: Say, source: string, log: LogReport): void {
  const line = (text: string) => say(`      ${text}`);
  say();
  line(`Base name: ${log.baseName}`);
  line(`Log file: ${source}`);
  line(`lGeneration: ${log.generation} (0x${log.generation.toString(16).toUpperCase()})`);
  line(`Checkpoint: ${log.checkpoint === null ? 'NOT AVAILABLE' : lgposText(log.checkpoint)}`);
  line(`creation time: ${timeText(log.timeCreate ?? null)}`);
  line(`prev gen time: ${timeText(log.timePrevGen ?? null)}`);
  if (log.prevSegmentsChecksum !== undefined) {
    line(`prev gen accumulated segment checksum: ${hex(BigInt(log.prevSegmentsChecksum), 16)}`);
  }
  line(`Format LGVersion: (${log.formatVersion}) (generated by ${log.efvEngine})`);
  line(`Engine LGVersion: (${ENGINE_LOG_VERSION})`);
  line(`Signature: ${signatureText(log.signLog)}`);
  line(`Env SystemPath: ${log.systemPath}`);
  line(`Env LogFilePath: ${log.logPath}`);
  line(`Env Log Sec size: ${log.sectorSize} (${SECTOR_MATCHES[log.sectorMismatch] ?? 'mismatch'})`);
  for (const text of envLines(log.env)) line(text);
  line(`Using Reserved Log File: ${log.reserve}`);
  line(`Circular Logging Flag (current file): ${log.circularLogging.current ? 'on' : 'off'}`);
  line(`Circular Logging Flag (past files): ${log.circularLogging.past ? 'on' : 'off'}`);
  line(`Checkpoint at log creation time: ${lgposText(log.checkpointAtCreation)}`);
  for (const attachment of log.attachments) {
    line(`${attachment.dbid} ${attachment.path}${attachment.sparse ? ' (sparse)' : ''}`);
    for (const text of attachmentLines(attachment)) line(`  ${text}`);
  }
  say();
}

/** What is known when the last record has been read. */
function printEnd(say: Say, source: string, log: LogReport): void {
  if (log.recordTypes !== undefined) printRecordTypes(say, log.recordTypes);
  if (log.pageIo !== undefined) printPageIo(say, log.pageIo);
  if (log.lastLgpos !== undefined) say(`      Last Lgpos: ${lastLgposText(log.lastLgpos)}`);
  if (log.segmentsChecksum !== undefined) {
    say(`      Accumulated segment checksum: ${hex(BigInt(log.segmentsChecksum), 16)}`);
  }
  say();
  say(`Number of database page references:  ${log.pageReferences}`);
  say();
  if (log.status === 'ok') {
    say(`Integrity check passed for log file: ${source}`);
  } else {
    for (const line of problemLines(log)) say(`      ERROR: ${line}`);
  }
}

/** Integers that a JavaScript number cannot hold exactly, as they stand in the JSON of a record. */
const LONG_INTEGER = /: (\d{16,})(?=[,}])/g;

/** `>0000002C,0009,0086 Insert size=…`; data and other long fields at level 2. */
function recordLine({ lgpos, fragments, record }: DumpedRecord, verbosity: number): string {
  const json = logRecordLine(record, lgpos, fragments).replace(LONG_INTEGER, ': "$1"');
  const { lgpos: place, lrtyp, size, ...fields } = JSON.parse(json) as Record<string, unknown>;
  const shown = Object.entries(fields).filter(([, value]) => verbosity > 1 || isShort(value));
  const texts = shown.map(
    ([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  );
  return `>${place} ${[lrtyp, `size=${size}`, ...texts].join(' ')}`;
}

const SHORT_TEXT = /^[0-9A-F]{8},[0-9A-F]{4},[0-9A-F]{4}$|^\d{4}-\d\d-\d\dT|^\d{16,20}$/;

/** Numbers, flags, positions and times; bytes, paths and lists are long. */
function isShort(value: unknown): boolean {
  if (typeof value === 'number' || typeof value === 'boolean') return true;
  return typeof value === 'string' && SHORT_TEXT.test(value);
}

const RULE_WIDTH = 54;

/** Records by type; `clr` counts those that take back others. */
function printRecordTypes(say: Say, types: readonly RecordTypeReport[]): void {
  const total = types.reduce((sum, { bytes }) => sum + bytes, 0);
  const row = (...cells: readonly string[]) => {
    const [name = '', count = '', average = '', clr = '', percent = ''] = cells;
    say(
      `${name.padEnd(22)}${count.padStart(9)}${average.padStart(10)}${clr.padStart(5)}${percent.padStart(8)}`,
    );
  };
  say();
  row('Op', '# Records', 'Avg. Size', 'clr', 'cb Pct');
  say('='.repeat(RULE_WIDTH));
  for (const { name, count, bytes } of types) {
    const share = total === 0 ? 0 : (100 * bytes) / total;
    row(
      name,
      String(count),
      (bytes / count).toFixed(1),
      name === 'Undo' ? String(count) : '0',
      share.toFixed(2),
    );
  }
  say('='.repeat(RULE_WIDTH));
  say();
}

function printPageIo(say: Say, databases: readonly PageIoReport[]): void {
  say('Dbid  References     Pages     Reads  Pages read    Writes  Pages written');
  for (const one of databases) {
    say(
      `${String(one.dbid).padStart(4)}${String(one.pageReferences).padStart(12)}${String(one.pages).padStart(10)}` +
        `${String(one.reads).padStart(10)}${String(one.pagesRead).padStart(12)}${String(one.writes).padStart(10)}` +
        `${String(one.pagesWritten).padStart(15)}`,
    );
  }
  say();
}

const CSV_FLUSH_BYTES = 1 << 16;

interface CsvFile {
  record(one: DumpedRecord): void;
  /** Ends the file. One that could not be written as a whole is removed, and the error comes back. */
  close(): EseError | undefined;
}

/** Records as comma-separated values: position, type, size, and the fields as JSON. */
function openCsv({ host: { fs } }: ModeContext, path: string): CsvFile {
  const file: FileHandle = fs.open(path, 'create');
  let written = 0;
  let pending = 'lgpos,lrtyp,size,fields\n';
  let failure: EseError | undefined;
  const flush = () => {
    const bytes = Buffer.from(pending, 'utf8');
    pending = '';
    if (failure !== undefined) return;
    try {
      file.writeAt(bytes, written);
      written += bytes.length;
    } catch (error) {
      // Thrown here it would look like damage of the log.
      if (!(error instanceof EseError)) throw error;
      failure = error;
    }
  };
  return {
    record({ lgpos, fragments, record }) {
      const line = logRecordLine(record, lgpos, fragments);
      const { lgpos: place } = JSON.parse(line) as { lgpos: string };
      pending += `"${place}",${record.name},${record.size},"${line.replaceAll('"', '""')}"\n`;
      if (pending.length >= CSV_FLUSH_BYTES) flush();
    },
    close() {
      flush();
      file.close();
      if (failure !== undefined) fs.unlink(path);
      return failure;
    },
  };
}
