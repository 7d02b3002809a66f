import { createByteWriter } from '../../format/byte-writer.js';
import { createKeyBuilder } from '../../format/key.js';
import { createRecordLayout, createRecordValues, locateColumns, STORED } from '../../format/record.js';
import { createRecordEncoder } from '../../format/record-encoder.js';
import type { TableDefinition } from '../../format/table-definition.js';
import type { Steps } from '../defrag/copy-trees.js';
import { hexOf } from '../integrity/finding.js';
import { countLocales, LOCALES_TABLE } from '../integrity/system-tables.js';
import type { TableRebuild } from './rebuild-context.js';
import { NOTHING_UNKNOWN, type RebuiltTable } from './rebuild-table.js';
import { createRecordJudge } from './salvage-judge.js';
import { salvageNodes } from './salvage-tree.js';

/** Kinds of rows in the table of locales (format specification, chapter 2.3.9). */
const TYPE_SCHEMA = 1;
const TYPE_VALUE = 2;
/** Rows that every such table has (chapter 2.5.3). */
const ROWS_OF_ALL: readonly (readonly [key: string, type: number, value: number])[] = [
  ['.Schema\\External\\Major', TYPE_SCHEMA, 1],
  ['.Schema\\External\\Minor', TYPE_SCHEMA, 0],
  ['.Schema\\External\\Update', TYPE_SCHEMA, 0],
  ['.Schema\\Internal\\Major', TYPE_SCHEMA, 1],
  ['.Schema\\Internal\\Minor', TYPE_SCHEMA, 0],
  ['.Schema\\Internal\\Update', TYPE_SCHEMA, 0],
  ['MSysLocalesConsistent', TYPE_VALUE, 1],
];
const COLUMNS = ['Key', 'Type', 'iValue'] as const;
const DENSITY_FULL = 100;

type LocaleNode = { readonly key: Uint8Array; readonly data: Uint8Array };

/** Whether the table counts the sort orders of indexes, and is defined as it must be. */
export function isLocalesTable({ name, system, primaryIndex, columns }: TableDefinition): boolean {
  const isWhole = COLUMNS.every((column) => columns.some((one) => one.name === column));
  return system && name === LOCALES_TABLE && primaryIndex !== undefined && isWhole;
}

/**
 * Makes the table of locales: the rows that are left of it, those that every one has, and a count of each sort order
 * that indexes of the catalog use. Nothing of it can be lost.
 */
export function* makeLocales(
  { salvage, builder }: TableRebuild,
  locales: TableDefinition,
  tables: readonly TableDefinition[],
): Steps<RebuiltTable> {
  const { pageSize } = salvage;
  const { pgnoFdp, objid, name } = locales;
  const rowOf = createRowMaker(locales, pageSize);
  const countOf = createValueReader(locales, pageSize);
  const nodes = new Map<string, LocaleNode>();
  const judge = createRecordJudge(locales, pageSize);
  const counts = yield* salvageNodes(
    salvage,
    { pgnoFdp, objid, kind: 'table', isUnique: true, judge, isStrict: true },
    ({ key, keyLength, bytes, dataOffset, dataLength }) => {
      const own = key.slice(0, keyLength);
      nodes.set(hexOf(own), { key: own, data: bytes.slice(dataOffset, dataOffset + dataLength) });
    },
  );
  for (const row of ROWS_OF_ALL) {
    const node = rowOf(...row);
    if (!nodes.has(hexOf(node.key))) nodes.set(hexOf(node.key), node);
  }
  for (const [key, count] of countLocales(tables)) {
    const node = rowOf(key, TYPE_VALUE, count);
    const known = nodes.get(hexOf(node.key));
    if (known === undefined || countOf(known.data) < count) nodes.set(hexOf(node.key), node);
  }
  const { writer } = builder;
  const region = builder.openTable({ objid, roleFlags: 0, pages: locales.pages, density: DENSITY_FULL });
  region.begin();
  for (const { key, data } of [...nodes.values()].sort((a, b) => Buffer.compare(a.key, b.key))) {
    writer.add(key, key.length, data, 0, data.length);
  }
  region.finishTree();
  region.close();
  return {
    made: { objid, pgnoFdp: region.pgnoRoot, trees: new Map(), columns: undefined },
    report: {
      name,
      objid,
      recovered: false,
      records: {
        kept: nodes.size,
        lost: { known: 0, estimated: 0 },
        unverified: 0,
        superseded: counts.superseded,
        dropped: 0,
      },
      longValues: { kept: 0, nulled: 0, refCountFixed: 0, orphaned: 0 },
      indexes: [],
    },
    findings: [],
    isLossy: false,
    unknown: NOTHING_UNKNOWN,
  };
}

function createRowMaker(
  { columns, primaryIndex }: TableDefinition,
  pageSize: number,
): (key: string, type: number, value: number) => LocaleNode {
  const layout = createRecordLayout(columns, pageSize);
  const encoder = createRecordEncoder(layout);
  const values = createRecordValues(layout);
  const places = COLUMNS.map((name) => columns.findIndex((column) => column.name === name));
  return (key, type, value) => {
    const number = new Uint8Array(4);
    new DataView(number.buffer).setInt32(0, value, true);
    encoder.clear();
    const cells = [Uint8Array.from(Buffer.from(`${key}\0`, 'utf16le')), Uint8Array.of(type), number];
    for (const [i, bytes] of cells.entries()) encoder.setBytes(places[i] ?? 0, bytes);
    const out = createByteWriter(256);
    encoder.encode(out);
    const data = out.bytes.slice(0, out.length);
    locateColumns(layout, data, 0, data.length, values);
    let own: Uint8Array = new Uint8Array(0);
    if (primaryIndex !== undefined) {
      createKeyBuilder(layout, primaryIndex).build(values, noLongValue, (built, length) => {
        own = built.slice(0, length);
      });
    }
    return { key: own, data };
  };
}

/** The columns are too short for long values. */
function noLongValue(): number {
  return 0;
}

/** Reads the count of a row; 0 where there is none. */
function createValueReader({ columns }: TableDefinition, pageSize: number): (data: Uint8Array) => number {
  const layout = createRecordLayout(columns, pageSize);
  const values = createRecordValues(layout);
  const index = columns.findIndex(({ name }) => name === 'iValue');
  return (data) => {
    locateColumns(layout, data, 0, data.length, values);
    const start = values.starts[index] ?? 0;
    const isStored = values.stored[index] === STORED.plain && (values.ends[index] ?? 0) - start === 4;
    return isStored ? new DataView(data.buffer, data.byteOffset).getInt32(start, true) : 0;
  };
}
