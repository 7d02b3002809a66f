import { createHash } from 'node:crypto';
import { Cursor } from '../engine/cursor.js';
import { type Instance, openInstance } from '../engine/instance.js';
import type { NewSegment, NewTable } from '../engine/schema.js';
import { seededEnvironment } from '../io/environment.js';
import { createSimulatedDisk, type SimulatedDisk } from '../io/simulated-disk.js';
import { DELETED, type JournalEntry } from './journal.js';
import { startWorkload } from './workload.js';
import { digestOfLine, LEDGER, WORKLOAD_TABLES } from './workload-tables.js';

/**
 * Native fixtures: small databases and log sets whose every byte follows from a seed. Each set has facts: what was put
 * into it, as the one who did so knows it, and nothing that was read back.
 */
export interface FixtureSet {
  readonly name: string;
  /** Files by name, in the order of their names. */
  readonly files: ReadonlyMap<string, Uint8Array>;
  readonly facts: FixtureFacts;
}

export interface FixtureFacts {
  readonly name: string;
  readonly about: string;
  readonly seed: number;
  /** Bytes of a page. */
  readonly pageSize: number;
  readonly logFileKiB: number;
  readonly circular: boolean;
  readonly baseName: string;
  /** Path of the database as the logs name it. */
  readonly loggedPath: string;
  readonly state: 'Clean Shutdown' | 'Dirty Shutdown' | 'missing';
  /** Transactions whose commit had returned. */
  readonly transactions: number;
  /** Rows that are there, after recovery where that is needed, with the digests of their canonical forms. */
  readonly tables: { readonly [table: string]: FixtureTable };
  readonly files: { readonly [file: string]: { readonly bytes: number; readonly sha256: string } };
}

export interface FixtureTable {
  readonly columns: { readonly [column: string]: string };
  /** Segments by index, `-` before those that descend. */
  readonly indexes: { readonly [index: string]: readonly string[] };
  /** Digests by the values of the primary key, in its order. */
  readonly rows: { readonly [key: string]: string };
}

const FOLDER = '/fixture';
const DATABASE = 'fixture.edb';
const BASE_NAME = 'E00';
const LOG_KIB = 64;

interface Recipe {
  readonly name: string;
  readonly about: string;
  readonly seed: number;
  readonly pageSize: number;
  readonly rows: number;
  readonly circular?: boolean;
  /** Default: all of the workload. */
  readonly tables?: readonly string[];
  /** How the set is left. */
  readonly end: 'closed' | 'killed' | 'killed, without its database';
}

const KIB = 1024;
const PAGE_SIZES = [4 * KIB, 8 * KIB, 16 * KIB, 32 * KIB];

const RECIPES: readonly Recipe[] = [
  ...PAGE_SIZES.map(
    (pageSize): Recipe => ({
      name: `clean-${pageSize / KIB}k`,
      about: 'A workload, and a clean shutdown.',
      seed: pageSize,
      pageSize,
      rows: 24,
      end: 'closed',
    }),
  ),
  ...PAGE_SIZES.map(
    (pageSize): Recipe => ({
      name: `crash-${pageSize / KIB}k`,
      about:
        'A workload that was killed: changed pages of an uncommitted transaction are in the database, committed ones in the logs only.',
      seed: pageSize + 1,
      pageSize,
      rows: 24,
      end: 'killed',
    }),
  ),
  {
    name: 'crash-circular-4k',
    about: 'A killed workload with circular logging: logs before the required ones are gone.',
    seed: 3,
    pageSize: 4 * KIB,
    rows: 250,
    circular: true,
    tables: ['Customers', 'Events'],
    end: 'killed',
  },
  {
    name: 'logs-only-8k',
    about: 'The logs of a killed workload from the creation of the database on, which itself is gone.',
    seed: 4,
    pageSize: 8 * KIB,
    rows: 30,
    end: 'killed, without its database',
  },
];

/** Makes all sets. */
export function makeFixtures(): FixtureSet[] {
  return RECIPES.map(makeFixture);
}

function makeFixture(recipe: Recipe): FixtureSet {
  const { seed, pageSize, circular = false, rows, tables, end } = recipe;
  const disk = createSimulatedDisk();
  disk.mkdir(FOLDER);
  const instance = openInstance({
    environment: seededEnvironment({ fs: disk, seed }),
    logDirectory: FOLDER,
    baseName: BASE_NAME,
    pageSize,
    log: { logFileKiB: LOG_KIB, circular },
    checkpointDepthBytes: 2 * LOG_KIB * KIB,
  });
  const database = instance.createDatabase(`${FOLDER}/${DATABASE}`, { extensionPages: 16 });
  const journal: JournalEntry[] = [];
  const workload = startWorkload(instance, database, {
    seed,
    rows,
    batch: 5,
    ...(tables === undefined ? {} : { tables }),
    onDurable: (entries) => journal.push(...entries),
  });
  while (workload.step());
  workload.finish();
  if (end === 'closed') instance.close();
  else leaveUnfinished(instance);
  const files = filesOf(disk, end === 'killed, without its database');
  return { name: recipe.name, files, facts: factsOf(recipe, journal, files) };
}

const UNFINISHED_ROWS = 8;

/** Half a transaction in the database, the other half in the logs at most. */
function leaveUnfinished(instance: Instance): void {
  const [database] = instance.databases;
  if (database === undefined) throw new Error('there is no database');
  const session = instance.createSession();
  const customers = new Cursor(session, database.table(session, 'Customers'));
  session.begin();
  for (let i = 0; i < UNFINISHED_ROWS; i++) {
    if (i === UNFINISHED_ROWS / 2) instance.checkpoint();
    const id = 1_000_000 + i;
    customers.insert({ Id: id, Seed: 0, Revision: 0, Email: `never.${id}`, Name: 'never committed' });
  }
  customers.first();
  customers.update({ Name: 'never committed' });
}

function filesOf(disk: SimulatedDisk, isWithoutDatabase: boolean): Map<string, Uint8Array> {
  const left = disk.fork();
  const files = new Map<string, Uint8Array>();
  for (const name of left.readdir(FOLDER)) {
    // Reserves and the log in preparation hold nothing.
    if (!/\.(?:edb|log|chk)$/.test(name) || name === `${BASE_NAME}tmp.log`) continue;
    if (name === DATABASE && isWithoutDatabase) continue;
    const file = left.open(`${FOLDER}/${name}`, 'read');
    const bytes = new Uint8Array(file.size());
    file.readAt(bytes, 0);
    file.close();
    files.set(name, bytes);
  }
  return files;
}

function factsOf(
  recipe: Recipe,
  journal: readonly JournalEntry[],
  files: ReadonlyMap<string, Uint8Array>,
): FixtureFacts {
  const { name, about, seed, pageSize, circular = false, end } = recipe;
  const states = {
    closed: 'Clean Shutdown',
    killed: 'Dirty Shutdown',
    'killed, without its database': 'missing',
  } as const;
  return {
    name,
    about,
    seed,
    pageSize,
    logFileKiB: LOG_KIB,
    circular,
    baseName: BASE_NAME,
    loggedPath: `${FOLDER}/${DATABASE}`,
    state: states[end],
    transactions: journal.length,
    tables: tablesOf(journal),
    files: Object.fromEntries(
      [...files].map(([file, bytes]) => [
        file,
        { bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') },
      ]),
    ),
  };
}

function tablesOf(journal: readonly JournalEntry[]): FixtureFacts['tables'] {
  const rows = new Map<string, Map<string, { key: readonly number[]; digest: string }>>();
  for (const { changes } of journal) {
    for (const [table, key, digest] of changes) {
      const ofTable = rows.get(table) ?? new Map();
      rows.set(table, ofTable);
      if (digest === DELETED) ofTable.delete(key.join());
      else ofTable.set(key.join(), { key, digest });
    }
  }
  const tables: Record<string, FixtureTable> = {};
  for (const table of WORKLOAD_TABLES) {
    const ofTable = rows.get(table.name);
    if (ofTable === undefined) continue;
    const sorted = [...ofTable.values()].sort((a, b) => compareKeys(a.key, b.key));
    tables[table.name] = {
      ...definitionOf(table),
      rows: Object.fromEntries(sorted.map(({ key, digest }) => [key.join(), digest])),
    };
  }
  const ledger = journal.map(({ seq, changes }) => {
    const line = JSON.stringify({ Changes: JSON.stringify(changes), Seq: seq });
    return [String(seq), digestOfLine(Buffer.from(line))];
  });
  return { ...tables, [LEDGER.name]: { ...definitionOf(LEDGER), rows: Object.fromEntries(ledger) } };
}

function definitionOf({ columns, indexes = [] }: NewTable): Pick<FixtureTable, 'columns' | 'indexes'> {
  return {
    columns: Object.fromEntries(columns.map(({ name, type }) => [name, type])),
    indexes: Object.fromEntries(indexes.map(({ name, segments }) => [name, segments.map(segmentText)])),
  };
}

function segmentText(segment: string | NewSegment): string {
  if (typeof segment === 'string') return segment;
  return `${segment.descending === true ? '-' : ''}${segment.column}`;
}

function compareKeys(a: readonly number[], b: readonly number[]): number {
  for (const [i, part] of a.entries()) if (part !== b[i]) return part - (b[i] ?? 0);
  return 0;
}
