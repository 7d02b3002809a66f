/** `/ms`: the space of every tree (format specification, chapter 6.2.5). */

import { EseError } from '../../format/ese-error.js';
import { dumpSpace, type SpaceReport, type SpaceTreeReport } from '../../maintenance/space.js';
import { isOldProfile } from '../classic-text.js';
import { hasSwitch, type Mode, type ModeContext, switchValue } from '../mode.js';
import { UsageError } from '../usage-error.js';
import { withDatabase } from './open-database.js';

/** What a field may need besides its row. */
interface Surroundings {
  readonly pageSize: number;
  readonly databaseOwned: number;
  /** Owned pages of the table of a row. */
  tableOwned(tree: SpaceTreeReport): number;
}

interface SpaceField {
  readonly name: string;
  readonly width: number;
  readonly left?: true;
  value(tree: SpaceTreeReport, around: Surroundings): string | number;
}

const MEGABYTE = 1024 * 1024;
/** Trees below this share of the database are left out of the default view. */
const SMALL_TREE_SHARE = 0.005;
const NAME_WIDTH = 23;
const TITLE_STARS = 32;
const INDENT: Readonly<Record<string, number>> = { Db: 0, Tbl: 2, Pri: 4, LV: 4, Idx: 4, OE: 6, AE: 6 };

function megabytes(pages: number, around: Surroundings): string {
  return ((pages * around.pageSize) / MEGABYTE).toFixed(3);
}

function percent(part: number, whole: number): string {
  return whole === 0 ? '0.00%' : `${((100 * part) / whole).toFixed(2)}%`;
}

function extentLetter(tree: SpaceTreeReport): string {
  return tree.extent === 'single' ? 's' : 'm';
}

const FIELDS: readonly SpaceField[] = [
  { name: 'Name', width: NAME_WIDTH, left: true, value: (tree) => tree.name },
  { name: 'Type', width: 4, left: true, value: (tree) => tree.type },
  { name: 'ObjidFDP', width: 9, value: (tree) => tree.objid },
  { name: 'PgnoFDP', width: 10, value: (tree) => tree.pgnoFdp },
  { name: 'PriExt', width: 7, value: (tree) => `${tree.primaryExtentPages}-${extentLetter(tree)}` },
  { name: 'PriExtType', width: 10, value: (tree) => (tree.extent === 'single' ? 'single' : 'multi') },
  { name: 'PriExtCpg', width: 10, value: (tree) => tree.rootExtentPages },
  { name: 'PgnoOE', width: 10, value: (tree) => tree.pgnoOe ?? 0 },
  { name: 'PgnoAE', width: 10, value: (tree) => (tree.pgnoOe === null ? 0 : tree.pgnoOe + 1) },
  { name: 'Owned', width: 10, value: (tree) => tree.ownedPages },
  { name: 'Owned(MB)', width: 12, value: (tree, around) => megabytes(tree.ownedPages, around) },
  { name: 'O%OfDb', width: 8, value: (tree, around) => percent(tree.ownedPages, around.databaseOwned) },
  { name: 'O%OfTable', width: 9, value: (tree, around) => percent(tree.ownedPages, around.tableOwned(tree)) },
  { name: 'OwnedExts', width: 10, value: (tree) => tree.ownedExtents },
  { name: 'OwnPgnoMin', width: 10, value: (tree) => tree.ownedPgnoMin },
  { name: 'OwnPgnoMax', width: 10, value: (tree) => tree.ownedPgnoMax },
  { name: 'Available', width: 10, value: (tree) => tree.availablePages },
  { name: 'Avail(MB)', width: 12, value: (tree, around) => megabytes(tree.availablePages, around) },
  {
    name: 'Avail%Tbl',
    width: 9,
    value: (tree, around) => percent(tree.availablePages, around.tableOwned(tree)),
  },
  { name: 'AvailExts', width: 10, value: (tree) => tree.availableExtents },
  { name: 'SPBuffers', width: 10, value: (tree) => tree.splitBufferPages },
  { name: 'Reserved', width: 10, value: (tree) => tree.reservedPages },
  { name: 'Shelved', width: 10, value: (tree) => tree.shelvedPages },
  { name: 'AutoInc', width: 12, value: (tree) => tree.autoIncrement ?? '' },
  { name: 'Data', width: 10, value: (tree) => tree.usage?.dataPages ?? '' },
  { name: 'Internal', width: 10, value: (tree) => tree.usage?.internalPages ?? '' },
  { name: 'Depth', width: 6, value: (tree) => tree.usage?.depth ?? '' },
  { name: 'Leaked', width: 10, value: (tree) => tree.usage?.leakedPages ?? '' },
  { name: 'Density', width: 8, value: (tree) => tree.hints?.density ?? '' },
  { name: 'InitialBytes', width: 12, value: (tree) => tree.hints?.initialBytes ?? '' },
  { name: 'Hints', width: 10, value: (tree) => (tree.hints ? `0x${tree.hints.grbit.toString(16)}` : '') },
  { name: 'MaintDensity', width: 12, value: (tree) => tree.hints?.maintenanceDensity ?? '' },
  { name: 'Growth%', width: 8, value: (tree) => tree.hints?.growthPercent ?? '' },
  { name: 'MinExtBytes', width: 12, value: (tree) => tree.hints?.extentMinBytes ?? '' },
  { name: 'MaxExtBytes', width: 12, value: (tree) => tree.hints?.extentMaxBytes ?? '' },
];

const DEFAULT_FIELDS = [
  'Name',
  'Type',
  'Owned(MB)',
  'O%OfDb',
  'O%OfTable',
  'Avail(MB)',
  'Avail%Tbl',
  'AutoInc',
];
const LEGACY_FIELDS = ['Name', 'Type', 'ObjidFDP', 'PgnoFDP', 'PriExt', 'Owned', 'Available'];

const FIELD_SETS: Readonly<Record<string, readonly string[]>> = {
  '#default': DEFAULT_FIELDS,
  '#legacy': LEGACY_FIELDS,
  '#leaked': ['Name', 'Type', 'Owned', 'Available', 'SPBuffers', 'Data', 'Internal', 'Leaked'],
  '#spacehints': [
    ...['Name', 'Type', 'Owned(MB)', 'Density', 'InitialBytes', 'Hints', 'MaintDensity', 'Growth%'],
    ...['MinExtBytes', 'MaxExtBytes'],
  ],
  '#all': FIELDS.map((field) => field.name),
};

/** Fields that are only known after walking every tree. */
const USAGE_FIELDS = ['Data', 'Internal', 'Depth', 'Leaked'];

export const dumpSpaceMode: Mode = {
  heading: 'FILE DUMP',
  blocks: true,
  run: (context) => {
    const { command, say } = context;
    const fields = chosenFields(context);
    const detail = switchValue(command, 'd');
    if (typeof detail === 'string' && !/^[12]$/.test(detail)) {
      throw new UsageError(`Usage Error: Invalid option '/d${detail}'.`);
    }
    const csv = hasSwitch(command, 'c', 'csv');
    if (!csv) say(`         Database: ${command.positional ?? ''}`);
    if (!csv) say();
    return withDatabase(context, (reader, file) => {
      const report = dumpSpace(reader, {
        table: switchValue(command, 't') ?? undefined,
        spaceTrees: detail !== undefined,
        extents: detail === '2',
        usage: hasSwitch(command, 'l') || fields.some((field) => USAGE_FIELDS.includes(field.name)),
      });
      const around = surroundings(report, reader.pageSize);
      const rows = shownRows(context, report, fields, around);
      if (csv) printCsv(context, fields, rows, around);
      else printTable(context, report, fields, rows, around);
      const damaged = report.trees.find((tree) => tree.error !== undefined)?.error;
      if (damaged === undefined) return { result: report };
      const error = new EseError(
        'JET_errDatabaseCorrupted',
        `the space of a tree is unreadable: ${damaged.message}`,
        {
          file,
          pgno: damaged.pgno,
        },
      );
      return { result: report, error };
    });
  },
};

function chosenFields({ command, profile }: ModeContext): SpaceField[] {
  const old = isOldProfile(profile);
  const given =
    switchValue(command, 'f') ?? (hasSwitch(command, 'l') ? '#leaked' : old ? '#legacy' : '#default');
  return given.split(',').flatMap((wanted) => {
    const names = FIELD_SETS[wanted.toLowerCase()] ?? [wanted];
    return names.map((name) => {
      const field = FIELDS.find((one) => one.name.toLowerCase() === name.toLowerCase());
      if (field === undefined) throw new UsageError(`Usage Error: Did not recognize the field: ${name}`);
      return field;
    });
  });
}

function surroundings(report: SpaceReport, pageSize: number): Surroundings {
  const owned = new Map(
    report.trees.filter((tree) => tree.type === 'Tbl').map((tree) => [tree.name, tree.ownedPages]),
  );
  return {
    pageSize,
    databaseOwned: report.ownedPages,
    tableOwned: (tree) => owned.get(tree.table ?? tree.name) ?? tree.ownedPages,
  };
}

/** The default view leaves small trees out; every other view was asked for and is whole. */
function shownRows(
  { command }: ModeContext,
  report: SpaceReport,
  fields: readonly SpaceField[],
  around: Surroundings,
): readonly SpaceTreeReport[] {
  const isDefault =
    fields.length === DEFAULT_FIELDS.length && fields.every((field, i) => field.name === DEFAULT_FIELDS[i]);
  if (!isDefault || hasSwitch(command, 'v', 't', 'd')) return report.trees;
  return report.trees.filter(
    (tree) => tree.error !== undefined || tree.ownedPages >= SMALL_TREE_SHARE * around.databaseOwned,
  );
}

function printCsv(
  { say }: ModeContext,
  fields: readonly SpaceField[],
  rows: readonly SpaceTreeReport[],
  around: Surroundings,
): void {
  const quoted = (value: string | number) =>
    /[",\n]/.test(String(value)) ? `"${String(value).replaceAll('"', '""')}"` : String(value);
  say(fields.map((field) => quoted(field.name)).join(','));
  for (const tree of rows) say(fields.map((field) => quoted(field.value(tree, around))).join(','));
}

function printTable(
  { say }: ModeContext,
  report: SpaceReport,
  fields: readonly SpaceField[],
  rows: readonly SpaceTreeReport[],
  around: Surroundings,
): void {
  const indented = (tree: SpaceTreeReport) => ' '.repeat(INDENT[tree.type] ?? 0) + tree.name;
  const nameWidth = Math.max(NAME_WIDTH, ...rows.map((tree) => indented(tree).length));
  const widthOf = (field: SpaceField) => (field.name === 'Name' ? nameWidth : field.width);
  const cell = (field: SpaceField, value: string | number) =>
    field.left ? String(value).padEnd(widthOf(field)) : String(value).padStart(widthOf(field));
  const line = (values: readonly string[]) => values.join(' ').trimEnd();
  const total = fields.reduce((sum, field) => sum + widthOf(field) + 1, -1);

  const title = ' SPACE DUMP ';
  say('*'.repeat(TITLE_STARS) + title + '*'.repeat(Math.max(0, total - TITLE_STARS - title.length)));
  // The type's heading stands one column to the left of its values.
  say(line(fields.map((field) => cell(field, field.name))).replace(/^(Name +) Type /, '$1Type  '));
  say('='.repeat(total));
  for (const tree of rows) {
    say(
      line(
        fields.map((field) =>
          cell(field, field.name === 'Name' ? indented(tree) : field.value(tree, around)),
        ),
      ),
    );
    if (tree.error !== undefined) say(`      ERROR: ${tree.error.name}: ${tree.error.message}`);
    for (const { first, last, pool } of tree.extents ?? []) {
      say(`        ${first}-${last} (${last - first + 1})${pool === 'general' ? '' : ` ${pool}`}`);
    }
  }
  say('-'.repeat(total));
  printTotal(say, report, fields, widthOf, around);
  printFooter(say, report);
}

/** Available pages of all trees, under their column. */
function printTotal(
  say: ModeContext['say'],
  report: SpaceReport,
  fields: readonly SpaceField[],
  widthOf: (field: SpaceField) => number,
  around: Surroundings,
): void {
  const at = fields.findIndex((field) => field.name === 'Available' || field.name === 'Avail(MB)');
  if (at < 0) return;
  const end = fields.slice(0, at + 1).reduce((sum, field) => sum + widthOf(field) + 1, -1);
  const value =
    fields[at]?.name === 'Available'
      ? String(report.availablePages)
      : megabytes(report.availablePages, around);
  say(value.padStart(end));
}

function printFooter(say: ModeContext['say'], { trees, leaked }: SpaceReport): void {
  const count = (...types: readonly string[]) => trees.filter((tree) => types.includes(tree.type)).length;
  say();
  say(
    `    Enumerated ${count('Tbl')} Tables ( ${count('Db', 'OE', 'AE')} Internal Trees, ${count('LV')} Long Value Trees, ${count('Idx')} Secondary Indices )`,
  );
  if (leaked !== undefined) say(`    Leaked pages: ${leaked}`);
}
