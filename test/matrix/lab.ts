import { type InjectOptions, type InjectReport, injectFault } from '../../src/drill/inject.js';
import { Cursor } from '../../src/engine/cursor.js';
import { openDatabaseReader } from '../../src/engine/database-reader.js';
import { createTable } from '../../src/engine/schema.js';
import { EseError } from '../../src/format/ese-error.js';
import { type Environment, seededEnvironment } from '../../src/io/environment.js';
import type { FileSystem } from '../../src/io/file-system.js';
import { createSimulatedDisk, type SimulatedDisk } from '../../src/io/simulated-disk.js';
import { exportTable } from '../../src/maintenance/export.js';
import { checkIntegrity, type IntegrityResult } from '../../src/maintenance/integrity.js';
import { verifyDatabase } from '../../src/maintenance/verify.js';
import { startInstance } from '../../src/recovery/start-instance.js';
import { LAB, LAB_DATABASE } from '../support/engine-lab.js';
import { putFile, readFile } from '../support/files.js';
import { sampleDatabase } from '../support/sample-database.js';

/** Where the matrix keeps the database that it damages. */
export const VICTIM = '/victim.edb';

/** The rows of a database by table, each in its canonical form; system tables are left out. */
export type LogicalDump = ReadonlyMap<
  string,
  { readonly key: readonly string[]; readonly rows: readonly string[] }
>;

/** A database that rows of the matrix damage, and what is in it. */
export interface MatrixDatabase {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly pageSize: number;
  readonly oracle: LogicalDump;
}

/** A disk with a copy of the database. */
export function diskWith(bytes: Uint8Array): SimulatedDisk {
  const disk = createSimulatedDisk({ seed: 1 });
  putFile(disk, VICTIM, bytes);
  return disk;
}

export function environmentOn(fs: FileSystem): Environment {
  return seededEnvironment({ fs, seed: 7 });
}

/** Rows of each table, so that data trees, indexes and long values have several leaves whatever the page size. */
const ROWS: Readonly<Record<number, number>> = { 4096: 100, 8192: 190, 16384: 360, 32768: 720 };
const EXTENSION_PAGES = 16;
const WORDS = ['Łódź', 'Ångström', 'Москва', '東京', 'Straße', 'naïve'];

/** A database made by the engine: long values, multi-values, indexes of every kind. */
export async function nativeDatabase(pageSize: number): Promise<MatrixDatabase> {
  const disk = sampleDatabase({ pageSize, rows: ROWS[pageSize] ?? 400, extensionPages: EXTENSION_PAGES });
  const instance = await startInstance({
    environment: seededEnvironment({ fs: disk, seed: 2 }),
    logDirectory: LAB,
    pageSize,
  });
  const database = instance.attachDatabase(LAB_DATABASE, { extensionPages: EXTENSION_PAGES });
  const session = instance.createSession();
  createTable(database, session, {
    name: 'Words',
    columns: [
      { name: 'id', type: 'long', notNull: true },
      { name: 'word', type: 'text', unicode: true },
      { name: 'body', type: 'longText', unicode: true, compressed: true },
    ],
    indexes: [
      { name: 'primary', segments: ['id'], primary: true },
      { name: 'byWord', segments: ['word', 'id'] },
    ],
  });
  const words = new Cursor(session, database.table(session, 'Words'));
  session.transaction(() => {
    for (let id = 0; id < 70; id++) {
      words.insert({
        id,
        word: `${WORDS[id % WORDS.length]} ${id}`,
        body: `${WORDS[id % 5]} `.repeat(id * 9),
      });
    }
  });
  instance.endSession(session);
  instance.cleanUp();
  instance.close();
  const bytes = readFile(disk, `${LAB}/lab.edb`);
  return matrixDatabase(`native, ${pageSize} bytes a page`, bytes, pageSize);
}

export async function matrixDatabase(
  name: string,
  bytes: Uint8Array,
  pageSize: number,
): Promise<MatrixDatabase> {
  return { name, bytes, pageSize, oracle: await logicalDump(diskWith(bytes), VICTIM) };
}

/** Everything that can be read. */
export async function logicalDump(fs: FileSystem, path: string): Promise<LogicalDump> {
  const reader = openDatabaseReader(fs, path);
  const dump = new Map<string, { key: string[]; rows: string[] }>();
  try {
    for (const table of reader.tables()) {
      if (table.system || table.name.startsWith('MSys')) continue;
      let text = '';
      await exportTable(reader, table, 'canonical', (bytes) => {
        text += Buffer.from(bytes).toString('utf8');
      });
      const names = new Map(table.columns.map(({ columnId, name }) => [columnId, name]));
      const key = (table.primaryIndex?.segments ?? []).flatMap(({ columnId }) => names.get(columnId) ?? []);
      dump.set(table.name, { key, rows: text.split('\n').filter((line) => line !== '') });
    }
    return dump;
  } finally {
    reader.close();
  }
}

/** A row that is not what it was. */
export interface RowDifference {
  readonly table: string;
  readonly row: string;
}

/** How a database differs from what it was. */
export interface DumpDifference {
  /** Rows that are gone. */
  readonly missing: readonly RowDifference[];
  /** Rows that lack values which they had, or have others. */
  readonly changed: readonly (RowDifference & { readonly now: string })[];
  /** Rows that were never there, or are there twice. */
  readonly invented: readonly RowDifference[];
  /** Tables that are gone. */
  readonly tables: readonly string[];
}

export function compareDumps(before: LogicalDump, after: LogicalDump): DumpDifference {
  const missing: RowDifference[] = [];
  const changed: (RowDifference & { now: string })[] = [];
  const invented: RowDifference[] = [];
  const tables: string[] = [];
  for (const [table, { key, rows }] of before) {
    const now = after.get(table);
    if (now === undefined) {
      tables.push(table);
      continue;
    }
    const left = new Map<string, number>();
    for (const row of now.rows) left.set(row, (left.get(row) ?? 0) + 1);
    const gone: string[] = [];
    for (const row of rows) {
      const count = left.get(row) ?? 0;
      if (count === 0) gone.push(row);
      else left.set(row, count - 1);
    }
    const extra = [...left].flatMap(([row, count]) => Array.from({ length: count }, () => row));
    for (const row of gone) {
      const at = extra.findIndex((other) => isSameRow(row, other, key));
      const [found] = at < 0 ? [] : extra.splice(at, 1);
      if (found !== undefined) changed.push({ table, row, now: found });
      else missing.push({ table, row });
    }
    // Without a key, nothing tells a row with other values from another row.
    while (key.length === 0 && extra.length > 0 && missing.at(-1)?.table === table) {
      changed.push({ ...(missing.pop() as RowDifference), now: extra.pop() ?? '' });
    }
    invented.push(...extra.map((row) => ({ table, row })));
  }
  for (const table of after.keys()) {
    if (before.has(table)) continue;
    invented.push(...(after.get(table)?.rows ?? []).map((row) => ({ table, row })));
  }
  return { missing, changed, invented, tables };
}

/** Rows of one key; without a primary key, a row that lacks nothing but some values of the other. */
function isSameRow(before: string, after: string, key: readonly string[]): boolean {
  const [a, b] = [before, after].map((row) => JSON.parse(row) as Record<string, unknown>);
  const names = key.length > 0 ? key : Object.keys(b ?? {});
  return names.every((name) => JSON.stringify(a?.[name]) === JSON.stringify(b?.[name]));
}

/** What came of a function of the toolkit: its report, and the name of the error that it ended with. */
export interface Outcome {
  /** `JET_…`, or `done`. */
  readonly error: string;
  /** Codes of the findings with their severity, each once: `E PAGE_BAD_CHECKSUM`, sorted. */
  readonly codes: readonly string[];
}

const LETTERS = { error: 'E', warning: 'W', info: 'I' } as const;

const codesOf = (
  findings: readonly { readonly code: string; readonly severity: 'error' | 'warning' | 'info' }[],
): string[] => [...new Set(findings.map(({ code, severity }) => `${LETTERS[severity]} ${code}`))].sort();

async function outcomeOf<T>(call: () => Promise<T>): Promise<{ error: string; result: T | undefined }> {
  try {
    return { error: 'done', result: await call() };
  } catch (error) {
    if (error instanceof EseError) return { error: error.name, result: undefined };
    throw error;
  }
}

/** What `/k` says. */
export async function runChecksum(
  fs: FileSystem,
  path = VICTIM,
): Promise<Outcome & { uninitialized: number }> {
  const { error, result } = await outcomeOf(() => verifyDatabase(fs, path, { workers: 1 }));
  return {
    error: result?.error?.name ?? error,
    codes: codesOf(result?.report.findings ?? []),
    uninitialized: result?.report.pages?.uninitialized ?? 0,
  };
}

/** What `/g` says. */
export async function runIntegrity(
  fs: FileSystem,
  path = VICTIM,
): Promise<Outcome & { result: IntegrityResult | undefined }> {
  const { error, result } = await outcomeOf(() => checkIntegrity({ fs }, path, { workers: 1 }));
  const findings = result?.report.findings.filter(({ severity }) => severity !== 'info') ?? [];
  return { error: result?.error?.name ?? error, codes: codesOf(findings), result };
}

/** Damages a copy of a database; undefined where it has nothing to be damaged so. */
export function damaged(
  database: MatrixDatabase,
  options: InjectOptions,
): { disk: SimulatedDisk; report: InjectReport } | undefined {
  const disk = diskWith(database.bytes);
  try {
    return { disk, report: injectFault(disk, VICTIM, options) };
  } catch (error) {
    if (error instanceof EseError && error.name === 'JET_errObjectNotFound') return undefined;
    throw error;
  }
}
