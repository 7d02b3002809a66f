/** `/mm`: the catalog (format specification, chapter 6.2.6). */

import { basename } from 'node:path';
import { INDEX_FLAG, OBJID_DATABASE, PGNO_DATABASE, TABLE_FLAG } from '../../format/catalog-row.js';
import { COLUMN_FLAG } from '../../format/column.js';
import {
  type ColumnReport,
  dumpMetadata,
  type IndexReport,
  type TableReport,
} from '../../maintenance/metadata.js';
import type { TimeReport } from '../../maintenance/report-values.js';
import { timeText } from '../classic-text.js';
import { hasSwitch, type Mode, type ModeContext, switchValue } from '../mode.js';
import { withDatabase } from './open-database.js';

const NAME_WIDTH = 51;
const TYPE_WIDTH = 4;
const NUMBER_WIDTH = 11;
const TITLE_STARS = 32;
const TIME_HEADING = 'PgnoFDPLastSetTime';
const TOTAL_WIDTH = NAME_WIDTH + TYPE_WIDTH + 2 * NUMBER_WIDTH + 2 + 'MM/DD/YYYY HH:MM:SS.mmm UTC'.length;

export const dumpMetadataMode: Mode = {
  heading: 'FILE DUMP',
  blocks: true,
  run: (context) => {
    const { command, say } = context;
    say(`         Database: ${command.positional ?? ''}`);
    say();
    return withDatabase(context, (reader, file) => {
      const report = dumpMetadata(reader, switchValue(command, 't') ?? undefined);
      printTitle(say);
      if (hasSwitch(command, 'v')) for (const table of report.tables) printVerbose(say, table);
      else printBrief(say, basename(file), report.tables);
      return { result: report };
    });
  },
};

type Say = ModeContext['say'];

function printTitle(say: Say): void {
  const title = ' META-DATA DUMP ';
  say('*'.repeat(TITLE_STARS) + title + '*'.repeat(TOTAL_WIDTH - TITLE_STARS - title.length));
}

function row(name: string, type: string, objid: number, pgno: number, time?: TimeReport): string {
  const numbers = String(objid).padStart(NUMBER_WIDTH) + String(pgno).padStart(NUMBER_WIDTH);
  return `${name.padEnd(NAME_WIDTH)}${type.padEnd(TYPE_WIDTH)}${numbers}${time ? `  ${timeText(time)}` : ''}`;
}

function printBrief(say: Say, database: string, tables: readonly TableReport[]): void {
  const numbers = 'ObjidFDP'.padStart(NUMBER_WIDTH) + 'PgnoFDP'.padStart(NUMBER_WIDTH);
  say(`${'Name'.padEnd(NAME_WIDTH)}${'Type'.padEnd(TYPE_WIDTH)}${numbers}  ${TIME_HEADING}`);
  say('='.repeat(TOTAL_WIDTH));
  say(row(database, 'Db', OBJID_DATABASE, PGNO_DATABASE));
  say();
  for (const table of tables) {
    say(row(table.name, 'Tbl', table.objid, table.pgnoFdp, table.pgnoFdpLastSetTime));
    const { longValues } = table;
    if (longValues !== null) {
      say(row('  <Long Values>', 'LV', longValues.objid, longValues.pgnoFdp, longValues.pgnoFdpLastSetTime));
    }
    for (const index of table.indexes) {
      const type = index.primary ? 'Pri' : 'Idx';
      say(row(`  ${index.name}`, type, index.objid, index.pgnoFdp, index.pgnoFdpLastSetTime));
    }
  }
}

function printVerbose(say: Say, table: TableReport): void {
  const { longValues } = table;
  say(`${'Table Name'.padEnd(NAME_WIDTH)}  PgnoFDP  ObjidFDP    PgnoLV   ObjidLV     Pages  Density`);
  say('='.repeat(TOTAL_WIDTH));
  const numbers = [longValues?.pgnoFdp ?? 0, longValues?.objid ?? 0, table.pages];
  say(
    `${table.name.padEnd(NAME_WIDTH)}${String(table.pgnoFdp).padStart(9)}${[table.objid, ...numbers]
      .map((value) => String(value).padStart(10))
      .join('')}${`${table.density}%`.padStart(9)}`,
  );
  if (longValues !== null) say(`    LV ChunkSize=${longValues.chunkSize}`);
  for (const line of tableFlags(table)) say(`    ${line}`);
  printColumns(say, table.columns);
  printIndexes(say, table.indexes);
  if (table.callbacks > 0) say(`    Callbacks: ${table.callbacks}`);
  say();
}

/** `Name=yes` for the flags that are set. */
function flagLines(flags: number, names: readonly (readonly [bit: number, line: string])[]): string[] {
  return names.filter(([bit]) => (flags & bit) !== 0).map(([, line]) => line);
}

function tableFlags(table: TableReport): string[] {
  return [
    ...flagLines(table.flags, [
      [TABLE_FLAG.system, 'System Table=yes'],
      [TABLE_FLAG.fixedDdl, 'FixedDDL=yes'],
      [TABLE_FLAG.template, 'Template=yes'],
    ]),
    ...(table.derivedFrom === null ? [] : [`Derived From: ${table.derivedFrom}`]),
    `Flags=0x${table.flags.toString(16).padStart(8, '0')}`,
  ];
}

function printColumns(say: Say, columns: readonly ColumnReport[]): void {
  say(`  ${'Column Name'.padEnd(NAME_WIDTH - 2)}Column Id  ${'Column Type'.padEnd(18)}Length  Default`);
  say(`  ${'-'.repeat(TOTAL_WIDTH - 2)}`);
  for (const column of columns) {
    const length = String(column.length).padStart(6);
    const type = column.deleted ? 'Deleted' : column.type;
    say(
      `  ${column.name.padEnd(NAME_WIDTH - 2)}${String(column.id).padStart(9)}  ${type.padEnd(18)}${length}  ${column.default === undefined ? 'no' : 'yes'}`,
    );
    for (const line of columnLines(column)) say(`    ${line}`);
  }
}

function columnLines(column: ColumnReport): string[] {
  const lines: string[] = [];
  if (column.offset !== undefined) lines.push(`Offset=${column.offset} (0x${column.offset.toString(16)})`);
  if (column.codePage !== 0) lines.push(`Code Page=${column.codePage}`);
  lines.push(
    ...flagLines(column.flags, [
      [COLUMN_FLAG.version, 'Version=yes'],
      [COLUMN_FLAG.notNull, 'Disallow Null=yes'],
      [COLUMN_FLAG.multiValued, 'Multi-value=yes'],
      [COLUMN_FLAG.autoIncrement, 'Auto-increment=yes'],
      [COLUMN_FLAG.escrowUpdate, 'EscrowUpdate=yes'],
      [COLUMN_FLAG.finalize, 'Finalize=yes'],
    ]),
  );
  if (column.default !== undefined) {
    lines.push('DefaultValue=yes', `  Length=${column.default.length / 2} bytes`);
  }
  if ((column.flags & COLUMN_FLAG.compressed) !== 0) lines.push('Compressed=yes');
  if (column.callback !== undefined) lines.push(`Callback=${column.callback}`);
  lines.push(`Flags=0x${column.flags.toString(16)}`);
  return lines;
}

function printIndexes(say: Say, indexes: readonly IndexReport[]): void {
  say(`  ${'Index Name'.padEnd(NAME_WIDTH - 2)}  PgnoFDP  ObjidFDP  Density`);
  say(`  ${'-'.repeat(TOTAL_WIDTH - 2)}`);
  for (const index of indexes) {
    const numbers = String(index.pgnoFdp).padStart(9) + String(index.objid).padStart(10);
    say(`  ${index.name.padEnd(NAME_WIDTH - 2)}${numbers}${`${index.density}%`.padStart(9)}`);
    for (const line of indexLines(index)) say(`    ${line}`);
  }
}

function indexLines(index: IndexReport): string[] {
  const lines = flagLines(index.flags, [
    [INDEX_FLAG.unique, 'Unique=yes'],
    [INDEX_FLAG.primary, 'Primary=yes'],
    [INDEX_FLAG.noNullSegment, 'Disallow Null=yes'],
    [INDEX_FLAG.multiValued, 'Multivalued=yes'],
  ]);
  if (index.tuple !== undefined) {
    const { lengthMin, lengthMax, tuplesMax, increment, start } = index.tuple;
    lines.push(
      'Tuples=yes',
      `  LengthMin=${lengthMin}`,
      `  LengthMax=${lengthMax}`,
      `  ToIndexMax=${tuplesMax}`,
      `  CchIncrement=${increment}`,
      `  IchStart=${start}`,
    );
  }
  if ((index.flags & INDEX_FLAG.localizedText) !== 0) {
    lines.push('Localized Text=yes');
    if (index.lcid !== undefined) lines.push(`  Locale Id=${index.lcid}`);
    lines.push(`  Locale Name=${index.localeName ?? ''}`);
    if (index.lcMapFlags !== undefined) lines.push(`  LCMap flags=0x${index.lcMapFlags.toString(16)}`);
    if (index.nlsVersion !== undefined) lines.push(`  NLSVersion=0x${index.nlsVersion}`);
    if (index.definedVersion !== undefined) lines.push(`  DefinedVersion=0x${index.definedVersion}`);
  }
  lines.push(`Flags=0x${index.flags.toString(16)}`, `Key Segments (${index.segments.length})`);
  for (const { column, descending } of index.segments) lines.push(`  ${descending ? '-' : '+'}${column}`);
  if (index.conditional.length > 0) lines.push(`Conditional Columns (${index.conditional.length})`);
  for (const { column, mustBeNull } of index.conditional) {
    lines.push(`  ${column} (${mustBeNull ? 'must be null' : 'must not be null'})`);
  }
  return lines;
}
