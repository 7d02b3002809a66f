import { createHash } from 'node:crypto';
import type { NewColumn, NewIndex, NewTable } from '../engine/schema.js';
import type { ColumnInput } from '../engine/search-key.js';
import { appendAscii, createByteWriter } from '../format/byte-writer.js';
import { appendCanonicalValue } from '../format/canonical-value.js';
import type { ColumnDefinition } from '../format/column.js';
import type { ColumnValue } from '../format/column-value.js';
import { encodeColumnValue } from '../format/column-value-encoder.js';
import { type Random, randomBelow, randomChance, randomFill, seededRandom } from '../io/seeded-random.js';

/**
 * The tables of the workload, and what their rows hold. A row is a function of a seed, its number and its
 * revision alone: nobody has to remember rows in order to know them.
 *
 * | table | primary key | what it is there for |
 * |---|---|---|
 * | Customers | Id | unique, multi-valued and descending indexes; version and escrow columns |
 * | Orders | CustomerId, OrderId | all types of fixed size; keys that change; an index on a condition |
 * | Documents | Id | long values: small, of many chunks, packed, several, appended to |
 * | Events | Number, which the engine gives | many small rows at the end of a tree |
 */
export interface WorkloadTable extends NewTable {
  /** How often rows of this table are inserted, against those of the others. */
  readonly weight: number;
  /** Columns of the primary key. */
  readonly key: readonly string[];
  /** Column that holds the number of the row. */
  readonly ordinal: string;
  readonly columns: readonly WorkloadColumn[];
}

/** A column, and how its values come about. */
export interface WorkloadColumn extends NewColumn {
  /** A value for row `ordinal`; `before` is the one of the revision before. Undefined: what the engine gives. */
  readonly make: (
    random: Random,
    ordinal: number,
    before: ColumnInput | undefined,
  ) => ColumnInput | undefined;
  /** Probability that a revision changes it. Default: 0. */
  readonly changes?: number;
  /** How a change is made. Default: by a new value; else by an amount, or by more at the end. */
  readonly by?: 'amount' | 'appending';
}

/** A row as it should be; a column that is not set has its default, or what the engine gives. */
export type WorkloadRow = Record<string, ColumnInput | undefined>;

/** A revision of a row. */
export interface Revision {
  readonly row: WorkloadRow;
  /** The columns that this revision changes; of the first one, all. */
  readonly changed: readonly WorkloadColumn[];
}

const WORDS = [
  'amber',
  'birch',
  'copper',
  'delta',
  'ember',
  'fjord',
  'garnet',
  'harbour',
  'indigo',
  'juniper',
];
const FOREIGN = ['Ångström', 'Ελλάδα', 'Москва', '東京', 'naïve', 'Straße', 'I😀I'];
const COUNTRIES = ['AT', 'BR', 'CZ', 'DK', 'ES', 'FI', 'GR', 'HU'];
const START_MS = Date.UTC(2020, 0, 1);
const SPAN_SECONDS = 5 * 366 * 86_400;

const pick = <T>(random: Random, list: readonly T[], other: T): T =>
  list[randomBelow(random, list.length)] ?? other;
const words = (random: Random, most: number): string =>
  Array.from({ length: 1 + randomBelow(random, most) }, () => pick(random, WORDS, '')).join(' ');
const unicodeWords = (random: Random, most: number): string =>
  randomChance(random, 0.3) ? `${pick(random, FOREIGN, '')} ${words(random, most)}` : words(random, most);
const date = (random: Random): Date => new Date(START_MS + 1000 * randomBelow(random, SPAN_SECONDS));
const bytes = (random: Random, length: number): Uint8Array => {
  const filled = new Uint8Array(length);
  randomFill(random, filled);
  return filled;
};
const bigint = (random: Random): bigint => BigInt(random.uint32()) * 4294967296n + BigInt(random.uint32());
const several = (random: Random, most: number, make: () => ColumnValue): ColumnInput => {
  const count = randomBelow(random, most + 1);
  return count === 0 ? null : Array.from({ length: count }, make);
};
const sometimes = (random: Random, probability: number, make: () => ColumnInput): ColumnInput =>
  randomChance(random, probability) ? make() : null;

/** Sizes of long values: most are short, some need many chunks. */
function longSize(random: Random): number {
  const kind = randomBelow(random, 20);
  if (kind < 11) return randomBelow(random, 200);
  if (kind < 17) return randomBelow(random, 3000);
  return kind < 19 ? randomBelow(random, 12_000) : randomBelow(random, 60_000);
}

const ordinalOf = (_random: Random, ordinal: number): number => ordinal;
/** Seed and revision with which the row was made; set by {@link revisionOf}. */
const MADE: readonly WorkloadColumn[] = [
  { name: 'Seed', type: 'unsignedLong', make: () => 0 },
  { name: 'Revision', type: 'long', make: () => 0, changes: 1 },
];

const CUSTOMERS: WorkloadTable = {
  name: 'Customers',
  weight: 20,
  key: ['Id'],
  ordinal: 'Id',
  columns: [
    { name: 'Id', type: 'long', notNull: true, make: ordinalOf },
    ...MADE,
    { name: 'Active', type: 'bit', changes: 0.3, make: (random) => randomChance(random, 0.5) },
    {
      name: 'Country',
      type: 'text',
      fixed: true,
      maxLength: 2,
      changes: 0.2,
      make: (random) => pick(random, COUNTRIES, ''),
    },
    { name: 'Since', type: 'dateTime', make: date },
    {
      name: 'Balance',
      type: 'long',
      escrow: true,
      defaultValue: 0,
      changes: 0.5,
      by: 'amount',
      make: (random, _ordinal, before) =>
        before === undefined ? 0 : Number(before) + randomBelow(random, 2001) - 1000,
    },
    {
      name: 'Changes',
      type: 'long',
      version: true,
      make: (_r, _o, before) => Number(before ?? -1) + 1,
      changes: 1,
    },
    {
      name: 'Email',
      type: 'text',
      maxLength: 80,
      changes: 0.2,
      make: (random, ordinal) => `${pick(random, WORDS, '')}.${ordinal}@example.org`,
    },
    { name: 'Name', type: 'text', unicode: true, changes: 0.2, make: (random) => unicodeWords(random, 3) },
    {
      name: 'Tags',
      type: 'text',
      unicode: true,
      tagged: true,
      multiValued: true,
      changes: 0.3,
      make: (random) => several(random, 4, () => unicodeWords(random, 1)),
    },
    {
      name: 'Notes',
      type: 'longText',
      unicode: true,
      changes: 0.2,
      make: (random) => sometimes(random, 0.5, () => unicodeWords(random, 100)),
    },
  ],
  indexes: [
    { name: 'ById', primary: true, segments: ['Id'] },
    { name: 'ByEmail', unique: true, segments: ['Email'] },
    { name: 'ByName', segments: ['Name', { column: 'Since', descending: true }] },
    { name: 'ByCountry', segments: [{ column: 'Country', descending: true }, 'Active'] },
    { name: 'ByTag', segments: ['Tags'], nulls: 'ignoreAnyNull' },
  ],
};

const ORDERS: WorkloadTable = {
  name: 'Orders',
  weight: 25,
  key: ['CustomerId', 'OrderId'],
  ordinal: 'OrderId',
  columns: [
    { name: 'OrderId', type: 'long', notNull: true, make: ordinalOf },
    ...MADE,
    {
      name: 'CustomerId',
      type: 'long',
      notNull: true,
      changes: 0.1,
      make: (random) => 1 + randomBelow(random, 1000),
    },
    {
      name: 'Number',
      type: 'guid',
      make: (random) => guidText(bytes(random, 16)),
    },
    { name: 'Placed', type: 'dateTime', make: date },
    {
      name: 'Shipped',
      type: 'dateTime',
      changes: 0.5,
      make: (random) => sometimes(random, 0.6, () => date(random)),
    },
    {
      name: 'Total',
      type: 'currency',
      changes: 0.3,
      make: (random) => BigInt(randomBelow(random, 2_000_000_000)) - 1_000_000n,
    },
    { name: 'Weight', type: 'ieeeDouble', changes: 0.3, make: (random) => random.uint32() / 65_536 },
    { name: 'Discount', type: 'ieeeSingle', changes: 0.3, make: (random) => randomBelow(random, 400) / 4 },
    { name: 'Priority', type: 'unsignedByte', changes: 0.3, make: (random) => randomBelow(random, 256) },
    { name: 'Delta', type: 'short', changes: 0.3, make: (random) => randomBelow(random, 65_536) - 32_768 },
    { name: 'Items', type: 'unsignedShort', changes: 0.3, make: (random) => randomBelow(random, 65_536) },
    { name: 'Stamp', type: 'unsignedLong', changes: 0.3, make: (random) => random.uint32() },
    { name: 'Tracking', type: 'longLong', changes: 0.3, make: (random) => BigInt.asIntN(64, bigint(random)) },
    { name: 'Code', type: 'binary', fixed: true, maxLength: 6, make: (random) => bytes(random, 6) },
    {
      name: 'Reference',
      type: 'binary',
      maxLength: 40,
      changes: 0.3,
      make: (random) => sometimes(random, 0.7, () => bytes(random, 1 + randomBelow(random, 40))),
    },
    {
      name: 'Status',
      type: 'text',
      defaultValue: 'new',
      changes: 0.5,
      make: (random, _ordinal, before) =>
        before === undefined && randomChance(random, 0.5) ? undefined : pick(random, WORDS, ''),
    },
    {
      name: 'Marks',
      type: 'long',
      tagged: true,
      multiValued: true,
      changes: 0.3,
      make: (random) => several(random, 5, () => randomBelow(random, 100)),
    },
  ],
  indexes: [
    { name: 'ByCustomer', primary: true, segments: ['CustomerId', 'OrderId'] },
    { name: 'ByNumber', unique: true, segments: ['Number'] },
    { name: 'ByPlaced', segments: [{ column: 'Placed', descending: true }, 'Priority'] },
    { name: 'Open', segments: ['Placed'], conditions: [{ column: 'Shipped', mustBeNull: true }] },
    { name: 'ByReference', segments: ['Reference', 'Total'], nulls: 'ignoreFirstNull' },
    { name: 'ByMark', segments: [{ column: 'Marks', descending: true }], nulls: 'ignoreAnyNull' },
  ],
};

const DOCUMENTS: WorkloadTable = {
  name: 'Documents',
  weight: 8,
  key: ['Id'],
  ordinal: 'Id',
  columns: [
    { name: 'Id', type: 'long', notNull: true, make: ordinalOf },
    ...MADE,
    { name: 'Title', type: 'text', unicode: true, changes: 0.3, make: (random) => unicodeWords(random, 4) },
    {
      name: 'Body',
      type: 'longText',
      compressed: true,
      changes: 0.3,
      make: (random) => sometimes(random, 0.8, () => words(random, 1 + Math.ceil(longSize(random) / 7))),
    },
    {
      name: 'Data',
      type: 'longBinary',
      changes: 0.3,
      make: (random) => sometimes(random, 0.8, () => bytes(random, longSize(random))),
    },
    {
      name: 'Parts',
      type: 'longBinary',
      multiValued: true,
      changes: 0.2,
      make: (random) => several(random, 3, () => bytes(random, 1 + (longSize(random) >> 1))),
    },
    {
      name: 'Log',
      type: 'longText',
      changes: 0.5,
      by: 'appending',
      make: (random, _ordinal, before) => `${String(before ?? '')}${words(random, 120)}\n`,
    },
  ],
  indexes: [
    { name: 'ById', primary: true, segments: ['Id'] },
    { name: 'ByTitle', segments: ['Title'] },
  ],
};

const EVENTS: WorkloadTable = {
  name: 'Events',
  weight: 47,
  key: ['Number'],
  ordinal: 'Ordinal',
  columns: [
    { name: 'Number', type: 'long', autoIncrement: true, make: () => undefined },
    { name: 'Ordinal', type: 'long', notNull: true, make: ordinalOf },
    ...MADE,
    { name: 'Kind', type: 'short', changes: 0.3, make: (random) => randomBelow(random, 50) },
    { name: 'At', type: 'dateTime', make: date },
    { name: 'Message', type: 'text', changes: 0.5, make: (random) => words(random, 8) },
  ],
  indexes: [
    { name: 'ByNumber', primary: true, segments: ['Number'] },
    { name: 'ByKind', segments: ['Kind', { column: 'At', descending: true }] },
  ],
};

/** All tables of the workload but the ledger. */
export const WORKLOAD_TABLES: readonly WorkloadTable[] = [CUSTOMERS, ORDERS, DOCUMENTS, EVENTS];

/** The table in which each transaction writes down, as a part of itself, what it does. */
export const LEDGER = {
  name: 'Ledger',
  columns: [
    { name: 'Seq', type: 'long', notNull: true },
    { name: 'Changes', type: 'longText' },
  ],
  indexes: [{ name: 'BySeq', primary: true, segments: ['Seq'] }],
} as const satisfies NewTable & { indexes: readonly NewIndex[] };

function guidText(value: Uint8Array): string {
  const hex = Buffer.from(value).toString('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}

/** One number from several: the seed of a stream of its own. */
function mix(...parts: readonly number[]): number {
  let hash = 0x811c9dc5;
  for (const part of parts) {
    hash = Math.imul(hash ^ (part & 0xffff), 0x01000193);
    hash = Math.imul(hash ^ (part >>> 16), 0x01000193);
    hash ^= hash >>> 15;
  }
  return hash >>> 0;
}

/** The row with this number after `revision` changes. */
export function revisionOf(table: WorkloadTable, seed: number, ordinal: number, revision: number): Revision {
  const row: WorkloadRow = {};
  let changed: readonly WorkloadColumn[] = table.columns;
  for (let at = 0; at <= revision; at++) {
    const random = seededRandom(mix(seed, WORKLOAD_TABLES.indexOf(table), ordinal, at));
    if (at > 0) changed = table.columns.filter(({ changes = 0 }) => randomChance(random, changes));
    for (const column of changed) row[column.name] = column.make(random, ordinal, row[column.name]);
  }
  row.Seed = seed;
  row.Revision = revision;
  return { row, changed };
}

const DIGEST_BYTES = 8;

/** The digest of a row in its canonical form, as `esekit export --format canonical` prints it (without the line end). */
export function digestOfLine(line: Uint8Array): string {
  return createHash('sha256').update(line).digest().subarray(0, DIGEST_BYTES).toString('hex');
}

/** Digests of rows as they should be, made from their values alone. */
export function createRowDigester(columns: readonly ColumnDefinition[]): (row: WorkloadRow) => string {
  const sorted = [...columns].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  const out = createByteWriter(4096);
  const append = (column: ColumnDefinition, encoded: Uint8Array): void =>
    appendCanonicalValue(out, column.coltyp, column.codePage, encoded, 0, encoded.length);
  return (row) => {
    out.length = 0;
    let separator = '{';
    for (const column of sorted) {
      const input = row[column.name];
      const { defaultValue } = column;
      if (input === null || (input === undefined && defaultValue === undefined)) continue;
      appendAscii(out, `${separator}${JSON.stringify(column.name)}:`);
      separator = ',';
      if (input === undefined) append(column, defaultValue ?? new Uint8Array(0));
      else if (!Array.isArray(input)) append(column, encodeColumnValue(column, input as ColumnValue));
      else if (input.length === 1) append(column, encodeColumnValue(column, input[0] as ColumnValue));
      else {
        for (const [i, value] of input.entries()) {
          appendAscii(out, i === 0 ? '[' : ',');
          append(column, encodeColumnValue(column, value as ColumnValue));
        }
        appendAscii(out, ']');
      }
    }
    appendAscii(out, '}');
    return digestOfLine(out.bytes.subarray(0, out.length));
  };
}
