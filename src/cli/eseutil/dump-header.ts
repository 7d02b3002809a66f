/** `/mh`: the database header (format specification, chapter 6.2.2). */

import { EseError } from '../../format/ese-error.js';
import {
  type BackupReport,
  type DatabaseHeaderReport,
  dumpHeader,
  type EccReport,
  type HeaderReport,
} from '../../maintenance/dump-header.js';
import {
  decimalHex,
  hex,
  isOldProfile,
  lgposText,
  markText,
  rangeText,
  signatureText,
  timeText,
} from '../classic-text.js';
import { dbtimeHalves } from '../log-text.js';
import { forcedPageSize, hasSwitch, type Mode, type ModeContext } from '../mode.js';
import { refuseLocked } from '../shared-read.js';
import { requireKind, sourceFile } from '../typed-path.js';

/** The newest format that this reader knows, which is what "engine version" means here (chapter 1.8). */
const ENGINE_VERSION = '0x620,300,620  (efvCurrent = 9620)';
const MAGIC = '0x89abcdef';

export const dumpHeaderMode: Mode = {
  heading: 'FILE DUMP',
  run: (context) => {
    const { host, command, say } = context;
    const file = sourceFile(host, command.positional, 'source file');
    say(`         Database: ${command.positional}`);
    say();
    refuseLocked(host, file, command.long.has('shared'), context.warn);
    const forced = forcedPageSize(command);
    if (forced === undefined) requireKind(host, file, 'database');
    const report = dumpHeader(host.fs, file);
    noteWarnings(context, report, file);
    const raw = hasSwitch(command, 'v') || forced !== undefined;
    if (report.source !== 'none' || raw) printHeader(context, report);
    printCopies(context, report);
    const error = headerError(report, forced, file);
    return error === undefined ? { result: report } : { result: report, error };
  },
};

/** One good copy is enough; a page size forced by a switch must be that of the file. */
function headerError(report: HeaderReport, forced: number | undefined, file: string): EseError | undefined {
  if (report.source === 'none') {
    return new EseError('JET_errDatabaseCorrupted', 'both header copies are damaged', { file });
  }
  const pageSize = report.header?.pageSize;
  if (forced === undefined || forced === pageSize) return undefined;
  return new EseError('JET_errPageSizeMismatch', `the pages have ${pageSize} bytes, not ${forced}`, { file });
}

function noteWarnings({ note }: ModeContext, report: HeaderReport, file: string): void {
  if (report.source === 'shadow') {
    note({
      code: null,
      name: 'HeaderFromShadow',
      message: 'the primary header is damaged; the shadow header is used',
      file,
    });
  } else if (report.source === 'primary' && !report.identical) {
    note({ code: null, name: 'HeaderCopiesDiffer', message: 'the header copies are not identical', file });
  }
}

function printHeader(context: ModeContext, report: HeaderReport): void {
  const { say, command } = context;
  const { header } = report;
  if (header === null) return;
  const which = report.source === 'shadow' ? 'shadow' : 'primary';
  printFields(context, report, which, header);
  const shadow = report.copies.find((copy) => copy.which === 'shadow');
  if (hasSwitch(command, 'v') && which === 'primary' && shadow?.ok === true) {
    say();
    say(
      report.identical
        ? 'The shadow header is identical.'
        : `DATABASE SHADOW HEADER: checksum ${hex(shadow.checksumStored, 8)}`,
    );
  }
}

function printFields(
  context: ModeContext,
  report: HeaderReport,
  which: 'primary' | 'shadow',
  header: DatabaseHeaderReport,
): void {
  const { say, profile } = context;
  const modern = !isOldProfile(profile);
  const copy = report.copies.find((one) => one.which === which);
  say();
  if (modern) {
    say(which === 'shadow' ? 'DATABASE SHADOW HEADER:' : 'DATABASE HEADER:');
    say('Checksum Information:');
    say(`Expected Checksum: ${hex(copy?.checksumComputed ?? 0, 8)}`);
    say(`  Actual Checksum: ${hex(copy?.checksumStored ?? 0, 8)}`);
    say();
  }
  printHeaderFields(context, header);
}

/** The fields of a header, from `File Type` to the flush signatures. */
export function printHeaderFields(
  { say, profile }: Pick<ModeContext, 'say' | 'profile'>,
  header: DatabaseHeaderReport,
): void {
  const modern = !isOldProfile(profile);
  say('Fields:');
  for (const [label, value] of identityFields(header, modern)) say(`${label}: ${value}`);
  for (const [label, value] of stateFields(header, modern)) say(`${label}: ${value}`);
  for (const [label, value] of historyFields(header, modern)) say(`${label}: ${value}`);
  for (const line of counterLines(header)) say(line);
  say();
  printBackups(say, header, modern);
  printCounters(say, header, modern);
}

type Field = readonly [label: string, value: string | number];

function versions({ version, updateMajor, updateMinor }: DatabaseHeaderReport['formatVersion']): string {
  return `${hex(version)},${updateMajor},${updateMinor}`;
}

const FILE_TYPE_NAMES: Readonly<Record<string, string>> = { database: 'Database' };

function identityFields(header: DatabaseHeaderReport, modern: boolean): Field[] {
  const { formatVersion, createdVersion } = header;
  const short = `${hex(formatVersion.version)},${formatVersion.updateMajor}`;
  return [
    ['        File Type', FILE_TYPE_NAMES[header.fileType] ?? 'UNKNOWN'],
    ...(modern ? ([['         Checksum', hex(header.checksum)]] as const) : []),
    ['   Format ulMagic', hex(header.magic)],
    ['   Engine ulMagic', MAGIC],
    [' Format ulVersion', modern ? `${versions(formatVersion)}  (attached by ${header.efvAttached})` : short],
    [' Engine ulVersion', modern ? ENGINE_VERSION : '0x620,9'],
    ['Created ulVersion', `${hex(createdVersion.version)},${createdVersion.updateMajor}`],
    ['     DB Signature', signatureText(header.signDb)],
    ['         cbDbPage', header.pageSize],
    ['           dbtime', modern ? decimalHex(header.dbtime) : dbtimeHalves(header.dbtime)],
  ];
}

function stateFields(header: DatabaseHeaderReport, modern: boolean): Field[] {
  const preRedo = ` [Min. Req. Pre-Redo: ${decimalHex(header.minRequiredPreRedo)}]`;
  const fields: Field[] = [
    ['            State', header.state],
    ['     Log Required', rangeText(header.logRequired) + (modern ? preRedo : '')],
  ];
  if (modern) {
    fields.push(
      ['Gen. Max. Req. Creation Time', timeText(header.timeMaxRequired ?? null)],
      ['    Log Committed', rangeText(header.logCommitted)],
      ['Gen. Max. Com. Creation Time', timeText(header.timeMaxCommitted)],
      [
        '   Log Consistent',
        `${decimalHex(header.logConsistent)} [Pre-Redo: ${decimalHex(header.minConsistentPreRedo)}]`,
      ],
      ['   Log Recovering', decimalHex(header.logRecovering)],
    );
  } else {
    fields.push(['   Streaming File', header.fileType === 'streaming' ? 'Yes' : 'No']);
  }
  fields.push(['         Shadowed', header.shadowed ? 'Yes' : 'No'], ['       Last Objid', header.objidLast]);
  return fields;
}

function historyFields(header: DatabaseHeaderReport, modern: boolean): Field[] {
  const { major, minor, build, servicePack, nls } = header.osVersion;
  return [
    ['     Scrub Dbtime', decimalHex(header.scrubDbtime)],
    ['       Scrub Date', timeText(header.scrubTime)],
    ['     Repair Count', header.repairCount],
    ['      Repair Date', timeText(header.repairTime)],
    [' Old Repair Count', header.repairCountOld],
    ['  Last Consistent', markText(header.lastConsistent)],
    ['      Last Attach', markText(header.lastAttach)],
    ['      Last Detach', markText(header.lastDetach)],
    ...(modern ? ([['    Last ReAttach', markText(header.lastReAttach)]] as const) : []),
    ['             Dbid', header.dbid],
    ['    Log Signature', signatureText(header.signLog)],
    [
      '       OS Version',
      `(${major}.${minor}.${build} SP ${servicePack}${nls === undefined ? '' : ` NLS ${nls}`})`,
    ],
  ];
}

/** The reseed and page-patch block, printed only where something was ever counted. */
function counterLines({ reseed, pagePatch }: DatabaseHeaderReport): string[] {
  if ([reseed, pagePatch].every(({ count, countOld }) => count === 0 && countOld === 0)) return [];
  return [
    '',
    `     Reseed Count: ${reseed.count}`,
    `      Reseed Date: ${timeText(reseed.time)}`,
    ` Old Reseed Count: ${reseed.countOld}`,
    `      Patch Count: ${pagePatch.count}`,
    `       Patch Date: ${timeText(pagePatch.time)}`,
    `  Old Patch Count: ${pagePatch.countOld}`,
  ];
}

function printBackups(say: ModeContext['say'], { backups }: DatabaseHeaderReport, modern: boolean): void {
  const blocks: [title: string, backup: BackupReport][] = [
    ['Previous Full Backup', backups.fullPrev],
    ['Previous Incremental Backup', backups.incrementalPrev],
    ...(modern
      ? ([
          ['Previous Copy Backup', backups.copyPrev],
          ['Previous Differential Backup', backups.differentialPrev],
        ] as [string, BackupReport][])
      : []),
    ['Current Full Backup', backups.fullCur],
    ['Current Shadow copy backup', backups.snapshotCur],
  ];
  for (const [title, backup] of blocks) {
    say(`${title}:`);
    say(`        Log Gen: ${rangeText(backup.range)}${backup.snapshot ? ' - OSSnapshot' : ''}`);
    say(`           Mark: ${lgposText(backup.lgpos)}`);
    say(`           Mark: ${timeText(backup.time)}`);
    say();
  }
}

function printCounters(say: ModeContext['say'], header: DatabaseHeaderReport, modern: boolean): void {
  say(`     cpgUpgrade55Format: ${header.upgrade.format55}`);
  say(`    cpgUpgradeFreePages: ${header.upgrade.freePages}`);
  say(`cpgUpgradeSpaceMapPages: ${header.upgrade.spaceMapPages}`);
  say();
  if (modern) {
    say(`      Last Resize: ${lgposText(header.lastResize ?? '0,0,0')}`);
    say(`     Extend Count: ${header.extend.count}`);
    say(`      Extend Date: ${timeText(header.extend.time)}`);
    say(`     Shrink Count: ${header.shrink.count}`);
    say(`      Shrink Date: ${timeText(header.shrink.time)}`);
    say(`       Trim Count: ${header.trimCount}`);
    say();
  }
  printEcc(say, 'ECC Fix Success', header.eccFixSuccess);
  printEcc(say, 'ECC Fix Error', header.eccFixError);
  printEcc(say, 'Bad Checksum Error', header.badChecksum);
  if (!modern) return;
  const { maintenance, signatures } = header;
  say();
  say(`  Last Database Maintenance Finish Date: ${timeText(maintenance.lastComplete)}`);
  say(`Current Database Maintenance Start Date: ${timeText(maintenance.start)}`);
  say(`      Highest Continuous Page Maintained: ${maintenance.highestContinuousPgno}`);
  say(`      Highest Page Maintained: ${maintenance.highestPgno}`);
  say();
  say(`  Database Header Flush Signature: ${signatureText(signatures.dbHeaderFlush)}`);
  say(` Flush Map Header Flush Signature: ${signatureText(signatures.flushMapHeaderFlush)}`);
  if (signatures.rbsHeaderFlush !== undefined) {
    say(`       RBS Header Flush Signature: ${signatureText(signatures.rbsHeaderFlush)}`);
  }
}

const ECC_LABEL_WIDTH = 28;

function printEcc(say: ModeContext['say'], name: string, { count, time, countOld }: EccReport): void {
  const found = (counted: number) => (counted === 0 ? 'none' : `found (${counted})`);
  const oldName = name === 'Bad Checksum Error' ? 'Old bad Checksum Error' : `Old ${name}`;
  say(`${`${name} Count`.padStart(ECC_LABEL_WIDTH)}: ${found(count)}`);
  if (count !== 0) say(`${`Last ${name} Date`.padStart(ECC_LABEL_WIDTH)}: ${timeText(time)}`);
  say(`${`${oldName} Count`.padStart(ECC_LABEL_WIDTH)}: ${found(countOld)}`);
}

/** Trailing warnings about the copies, in the fixed order of the original. */
function printCopies({ say }: ModeContext, report: HeaderReport): void {
  const lines: string[] = [];
  if (!report.identical) lines.push('WARNING: primary header and shadow header are not identical.');
  for (const copy of report.copies) {
    if (copy.ok) continue;
    const what =
      copy.allZero || copy.checksumStored === 0 ? 'has a zeroed checksum.' : 'has a checksum error.';
    lines.push(`WARNING: ${copy.which} header ${what}`);
  }
  const size = report.header?.pageSize;
  for (const { which, bytes } of report.copies) {
    if (size !== undefined && bytes !== size)
      lines.push(`WARNING: ${which} header has an unexpected size of ${bytes} bytes.`);
  }
  if (lines.length > 0) say();
  for (const line of lines) say(line);
}
