import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import { openDatabaseReader } from '../../src/engine/database-reader.js';
import { EseError } from '../../src/format/ese-error.js';
import type { FileSystem } from '../../src/io/file-system.js';
import { repair } from '../../src/maintenance/repair.js';
import { type Comparison, compareWithEsedbexport, hasEsedbexport } from '../support/esedbexport.js';
import { readFile } from '../support/files.js';
import {
  compareDumps,
  damaged,
  diskWith,
  environmentOn,
  logicalDump,
  type MatrixDatabase,
  runChecksum,
  runIntegrity,
  VICTIM,
} from './lab.js';
import { MATRIX, type MatrixRow } from './rows.js';

/** What `/k` and `/g` say of the database before it is damaged: what they say then counts as known. */
export interface Untouched {
  readonly uninitialized: number;
  readonly kCodes: readonly string[];
  readonly gCodes: readonly string[];
  /** Whether `esedbexport` reads it; then it must read it repaired, too. */
  readonly isExportable: boolean;
}

/** @param isExportable whether `esedbexport` can be expected to read the database */
export async function look(database: MatrixDatabase, isExportable = true): Promise<Untouched> {
  const disk = diskWith(database.bytes);
  const k = await runChecksum(disk);
  const g = await runIntegrity(disk);
  if (isExportable && hasEsedbexport) expect(exported(disk).unexplained).toEqual([]);
  return { uninitialized: k.uninitialized, kCodes: k.codes, gCodes: g.codes, isExportable };
}

/** Rows after which the exporter is asked in the short form: a process for each would take too long. */
const ASKED_EVERY = process.env.ESEKIT_FULL === undefined ? 6 : 1;

/** What `esedbexport` reads of a repaired database is what is read here, cell by cell. */
function expectExported(disk: FileSystem, { isExportable }: Untouched, row: MatrixRow, shown: string): void {
  if (!isExportable || !hasEsedbexport || MATRIX.indexOf(row) % ASKED_EVERY !== 0) return;
  expect(exported(disk).unexplained, shown).toEqual([]);
}

function exported(disk: FileSystem): Comparison {
  const folder = mkdtempSync(join(tmpdir(), 'esekit-matrix-'));
  try {
    const path = join(folder, 'repaired.edb');
    writeFileSync(path, readFile(disk, VICTIM));
    return compareWithEsedbexport(path);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Whether a database can show nothing of a fault: a row too few is seen by indexes only. */
export function isInvisible(database: MatrixDatabase, row: MatrixRow): boolean {
  if (row.row !== 20) return false;
  const victim = damaged(database, { ...row.inject, seed: row.row });
  const table = victim?.report.changes[0]?.table;
  if (table === undefined) return true;
  const reader = openDatabaseReader(diskWith(database.bytes), VICTIM);
  try {
    return reader.table(table).indexes.every(({ primary }) => primary);
  } finally {
    reader.close();
  }
}

/** Damages a copy as a row of the matrix says, and holds `/k` and `/g` to it. Returns `false` where nothing fits. */
export async function judgeReaders(
  database: MatrixDatabase,
  row: MatrixRow,
  untouched: Untouched,
): Promise<boolean> {
  const victim = damaged(database, { ...row.inject, seed: row.row });
  if (victim === undefined) return false;
  const { disk, report } = victim;
  const before = readFile(disk, VICTIM);
  const k = await runChecksum(disk);
  const what = JSON.stringify(report.changes);
  const beyond = (codes: readonly string[], known: readonly string[]) =>
    codes.filter((code) => !known.includes(code));
  const kCodes = row.k.codes ?? [];
  expect(k.error, what).toBe(row.k.error ?? 'done');
  if (kCodes !== 'any') {
    expect(beyond(k.codes, untouched.kCodes), what).toEqual(beyond(kCodes, untouched.kCodes));
  }
  if (row.k.uninitialized !== undefined) {
    expect(k.uninitialized - untouched.uninitialized, what).toBe(row.k.uninitialized);
  }
  const g = await runIntegrity(disk);
  const { codes, also = [], catalogUsed, dirty = false } = row.g;
  const shown = `${what}\n${JSON.stringify(g.result?.report.findings.slice(0, 8))}`;
  expect(g.error, shown).toBe(row.g.error ?? 'done');
  expect(
    g.codes.filter((code) => codes.includes(code)),
    shown,
  ).toEqual([...codes].sort());
  if (also !== 'any') {
    expect(beyond(g.codes, [...codes, ...also, ...untouched.gCodes]), shown).toEqual([]);
  }
  if (catalogUsed !== undefined) expect(g.result?.report.catalogUsed, shown).toBe(catalogUsed);
  if (row.row !== 4 && row.row !== 7) expect(g.result?.report.dirty).toBe(dirty);
  expect(Buffer.compare(readFile(disk, VICTIM), before), 'reading changes nothing').toBe(0);
  return true;
}

/** Damages a copy as a row of the matrix says, and holds `/p` to it. Returns `false` where nothing fits. */
export async function judgeRepair(
  database: MatrixDatabase,
  row: MatrixRow,
  untouched: Untouched,
): Promise<boolean> {
  const victim = damaged(database, { ...row.inject, seed: row.row });
  if (victim === undefined) return false;
  const { disk, report } = victim;
  const { p } = row;
  const what = JSON.stringify(report.changes);
  const oracle = p.oracle === undefined ? database.oracle : await logicalDump(disk, VICTIM);
  const before = readFile(disk, VICTIM);
  if (p.error !== undefined) {
    expect(await repairError(disk), what).toBe(p.error);
    expect(Buffer.compare(readFile(disk, VICTIM), before), what).toBe(0);
    return true;
  }
  const options = { inPlace: true, workers: 1, forceHeader: p.forceHeader ?? false };
  const result = await repair(environmentOn(disk), VICTIM, options);
  const shown = `${what}\n${JSON.stringify(result.report.findings.slice(0, 8))}\n${JSON.stringify(result.report.tables)}`;
  expect(result.report.stateAfter, shown).toBe('Clean Shutdown');
  expect(result.report.action, shown).toBe(p.action ?? 'repaired');
  if (p.action === 'none') {
    expect(Buffer.compare(readFile(disk, VICTIM), before), shown).toBe(0);
    return true;
  }
  const original = openDatabaseReader(diskWith(database.bytes), VICTIM);
  const repaired = openDatabaseReader(disk, VICTIM);
  if (p.identity === 'kept') {
    expect(repaired.header.repairCount, shown).toBe(original.header.repairCount);
    expect(repaired.header.signDb).toEqual(original.header.signDb);
  } else if (p.forceHeader !== true && p.identity !== 'any') {
    // One repair changes the signature twice (chapter 7.2.3).
    expect(repaired.header.repairCount, shown).toBe(original.header.repairCount + 2);
    expect(repaired.header.signDb).not.toEqual(original.header.signDb);
  }
  expect(repaired.election.identical).toBe(true);
  original.close();
  repaired.close();

  const g = await runIntegrity(disk);
  expect(
    g.codes.filter((code) => code !== 'W SIZE_LONG' && !untouched.gCodes.includes(code)),
    `${shown}\n${JSON.stringify(g.result?.report.findings.slice(0, 8))}`,
  ).toEqual([]);
  const k = await runChecksum(disk);
  expect(k.error).toBe('done');

  const difference = compareDumps(oracle, await logicalDump(disk, VICTIM));
  const losses = { rows: difference.missing.length, values: difference.changed.length };
  const seen = `${JSON.stringify(difference).slice(0, 1500)}\n${shown}`;
  expect(difference.invented, seen).toEqual([]);
  if (p.loses !== 'catalog') expect(difference.tables, seen).toEqual([]);
  if (p.loses === undefined) expect(losses, seen).toEqual({ rows: 0, values: 0 });
  if (p.loses === 'values') expect(losses.rows, seen).toBe(0);
  expect(losses.rows + losses.values, seen).toBeLessThanOrEqual(p.most ?? Number.POSITIVE_INFINITY);
  if (p.oracle === undefined && p.loses !== 'catalog') {
    // What is lost is reported; and so is what may be wrong, since no checksum speaks for it.
    const isDoubtful = result.report.findings.some(({ action }) => action === 'kept, unverified');
    if (losses.rows > 0) expect(result.lost, seen).toBe(true);
    if (losses.values > 0) expect(result.lost || isDoubtful, seen).toBe(true);
    if (losses.rows + losses.values === 0 && result.lost) {
      // An index that only Windows can make may be lost, and what a page held that is empty now is not known.
      const { tables, findings } = result.report;
      const isIndexLost = tables.some(({ indexes }) => indexes.some(({ action }) => action === 'marked'));
      const isGuess = tables.some(({ records }) => records.lost.known === 0 && records.lost.estimated > 0);
      const isDefinitionLost = row.row === 14 && findings.some(({ code }) => code === 'NODE_DUP');
      expect(isIndexLost || isGuess || isDefinitionLost, seen).toBe(true);
    }
    for (const table of result.report.tables) {
      const missing = difference.missing.filter((one) => one.table === table.name).length;
      const { lost } = table.records;
      expect(lost.known, seen).toBeLessThanOrEqual(missing);
      // How many rows a page held is an estimate, by those of other pages.
      if (missing > lost.known) expect(lost.estimated, seen).toBeGreaterThan(0);
    }
  }

  expectExported(disk, untouched, row, shown);
  const once = readFile(disk, VICTIM);
  const again = await repair(environmentOn(disk), VICTIM, { inPlace: true, workers: 1 });
  expect(again.report.action, 'a second repair').toBe('none');
  expect(Buffer.compare(readFile(disk, VICTIM), once), 'a second repair changes nothing').toBe(0);
  return true;
}

async function repairError(fs: FileSystem): Promise<string> {
  try {
    await repair(environmentOn(fs), VICTIM, { inPlace: true, workers: 1 });
    return 'done';
  } catch (error) {
    if (error instanceof EseError) return error.name;
    throw error;
  }
}
