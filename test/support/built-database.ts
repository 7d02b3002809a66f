import { DatabaseBuilder } from '../../src/engine/bulk/database-builder.js';
import type { TreeRegion } from '../../src/engine/bulk/tree-region.js';
import { CATALOG_DEFINITION, CATALOG_INDEX_ROWS, CATALOG_TABLE_FLAGS } from '../../src/engine/catalog.js';
import { createByteWriter } from '../../src/format/byte-writer.js';
import {
  CATALOG_TYPE,
  INDEX_FLAG,
  OBJID_CATALOG,
  OBJID_CATALOG_SHADOW,
} from '../../src/format/catalog-row.js';
import {
  CATALOG_COLUMNS_WRITTEN,
  catalogColumnRows,
  type NewCatalogRow,
  setCatalogRow,
} from '../../src/format/catalog-row-encoder.js';
import { COLTYP } from '../../src/format/column.js';
import {
  DATABASE_FORMAT_VERSION,
  DATABASE_STATE,
  FILE_TYPE,
  HEADER_MAGIC,
  writeHeaderFields,
} from '../../src/format/database-header.js';
import { encodeLongValueRoot, longValueChunkSize, longValueKey } from '../../src/format/long-value.js';
import { PAGE_FLAG } from '../../src/format/page.js';
import { createRecordLayout } from '../../src/format/record.js';
import { createRecordEncoder } from '../../src/format/record-encoder.js';
import { createSimulatedDisk, type SimulatedDisk } from '../../src/io/simulated-disk.js';

/** Where {@link builtDatabase} puts the file. */
export const BUILT = '/new.edb';

export interface BuiltTableWish {
  readonly rows: number;
  /** Pages that it is to have at least. */
  readonly pages?: number;
  readonly autoIncrement?: bigint;
  /** Rows with a long value: the first ones. The table has a column `data` for them; row `id` has 150 * `id` bytes of `id`. */
  readonly values?: number;
}

/** A key of a long: 0x7f, then the number with its sign turned, big-endian. */
function longKey(value: number): Uint8Array {
  const key = new Uint8Array(5);
  key[0] = 0x7f;
  new DataView(key.buffer).setUint32(1, (value ^ 0x80000000) >>> 0);
  return key;
}

/**
 * A record with two fixed longs: their count, no variable ones, end of the fixed area, values, NULL bits. A long value
 * follows as a tagged column: number, offset with the bit of a header byte, header byte of a separated one, lid.
 */
function record(id: number, n: number, lid = 0): Uint8Array {
  const bytes = new Uint8Array(lid === 0 ? 13 : 22);
  const view = new DataView(bytes.buffer);
  bytes.set([2, 127, 13, 0]);
  view.setInt32(4, id, true);
  view.setInt32(8, n, true);
  bytes[12] = 0xfc;
  if (lid === 0) return bytes;
  view.setUint16(13, FID_DATA, true);
  view.setUint16(15, 0x4004, true);
  bytes[17] = 0x05;
  view.setUint32(18, lid, true);
  return bytes;
}

/** First number of a tagged column. */
const FID_DATA = 256;

/** Nodes of the long values of a table, small pages only: each root, then its chunks. */
function longValueNodes(pageSize: number, count: number): (readonly [Uint8Array, Uint8Array])[] {
  const chunkBytes = longValueChunkSize(pageSize);
  const nodes: (readonly [Uint8Array, Uint8Array])[] = [];
  for (let id = 1; id <= count; id++) {
    const lid = { high: 0, low: id };
    const size = 150 * id;
    nodes.push([longValueKey(lid), encodeLongValueRoot({ referenceCount: 1, size, encrypted: false })]);
    for (let at = 0; at < size; at += chunkBytes) {
      nodes.push([longValueKey(lid, at), new Uint8Array(Math.min(chunkBytes, size - at)).fill(id)]);
    }
  }
  return nodes;
}

/**
 * A database that no engine made, with pages of any size: of each table two longs, a primary index over the first and
 * another over the second.
 */
export function builtDatabase(pageSize: number, tables: ReadonlyMap<string, BuiltTableWish>): SimulatedDisk {
  const disk = createSimulatedDisk();
  const file = disk.open(BUILT, 'create');
  const builder = new DatabaseBuilder(file, { pageSize, isShadowed: true });
  const { writer } = builder;
  const rows: NewCatalogRow[] = [...CATALOG_INDEX_ROWS];
  for (const [objid, name, pgnoFdp, pages] of [
    [OBJID_CATALOG, CATALOG_DEFINITION.name, 4, 20],
    [OBJID_CATALOG_SHADOW, 'MSysObjectsShadow', 24, 5],
  ] as const) {
    rows.push({
      type: CATALOG_TYPE.table,
      objidTable: objid,
      id: objid,
      name,
      flags: CATALOG_TABLE_FLAGS,
      pgnoFdp,
      density: 80,
      pages,
    });
    rows.push(...catalogColumnRows(objid));
  }
  const addAll = (region: TreeRegion, nodes: readonly (readonly [Uint8Array, Uint8Array])[]): void => {
    region.begin();
    for (const [key, data] of nodes) writer.add(key, key.length, data, 0, data.length);
    region.finishTree();
  };
  const addLongValues = (region: TreeRegion, objidTable: number, count: number): NewCatalogRow[] => {
    const objid = builder.nextObjid();
    const tree = region.child({ objid, roleFlags: PAGE_FLAG.longValue, pages: 1, density: 100 });
    addAll(tree, longValueNodes(pageSize, count));
    tree.close();
    return [
      {
        type: CATALOG_TYPE.column,
        objidTable,
        id: FID_DATA,
        name: 'data',
        flags: 0,
        coltyp: COLTYP.longBinary,
        maxLength: 0,
        codePage: 0,
      },
      {
        type: CATALOG_TYPE.longValue,
        objidTable,
        id: objid,
        name: '<Long Values>',
        flags: 0,
        pgnoFdp: tree.pgnoRoot,
        density: 100,
        pages: 1,
      },
    ];
  };
  for (const [name, { rows: count, pages = 1, autoIncrement, values = 0 }] of tables) {
    const objid = builder.nextObjid();
    const objidIndex = builder.nextObjid();
    const ids = Array.from({ length: count }, (_, i) => i + 1);
    const region = builder.openTable({ objid, roleFlags: 0, pages, density: 100, autoIncrement });
    addAll(
      region,
      ids.map((id) => [longKey(id), record(id, id % 3, id <= values ? id : 0)]),
    );
    const index = region.child({
      objid: objidIndex,
      roleFlags: PAGE_FLAG.index | PAGE_FLAG.nonUnique,
      pages: 1,
      density: 100,
    });
    const entries = ids.map((id) => [longKey(id % 3), longKey(id)] as const);
    addAll(
      index,
      entries.sort(([a, x], [b, y]) => Buffer.compare(a, b) || Buffer.compare(x, y)),
    );
    index.close();
    const common = { objidTable: objid, density: 80 };
    const valueRows = values === 0 ? [] : addLongValues(region, objid, values);
    region.close();
    rows.push({
      ...common,
      type: CATALOG_TYPE.table,
      id: objid,
      name,
      flags: 0,
      pgnoFdp: region.pgnoRoot,
      pages,
    });
    for (const [i, column] of ['id', 'n'].entries()) {
      rows.push({
        type: CATALOG_TYPE.column,
        objidTable: objid,
        id: i + 1,
        name: column,
        flags: 0,
        coltyp: COLTYP.long,
        maxLength: 4,
        codePage: 0,
        recordOffset: 4 + 4 * i,
      });
      const isPrimary = i === 0;
      rows.push({
        ...common,
        type: CATALOG_TYPE.index,
        id: isPrimary ? objid : objidIndex,
        name: `by ${column}`,
        flags: isPrimary
          ? INDEX_FLAG.extendedSegments | INDEX_FLAG.primary | INDEX_FLAG.unique
          : INDEX_FLAG.extendedSegments,
        pgnoFdp: isPrimary ? region.pgnoRoot : index.pgnoRoot,
        segments: [{ columnId: i + 1, descending: false, mustBeNull: false, derived: false }],
        conditions: [],
        lcid: 0,
      });
    }
    rows.push(...valueRows);
  }
  const layout = createRecordLayout(CATALOG_COLUMNS_WRITTEN, pageSize);
  const encoder = createRecordEncoder(layout);
  builder.writeCatalog(
    layout,
    rows.map((row) => {
      encoder.clear();
      setCatalogRow(encoder, row);
      const out = createByteWriter(256);
      encoder.encode(out);
      return out.bytes.slice(0, out.length);
    }),
  );
  const { dbtime, objidLast } = builder.finish();
  const header = new Uint8Array(pageSize);
  writeHeaderFields(header, {
    magic: HEADER_MAGIC,
    version: DATABASE_FORMAT_VERSION,
    updateMajor: 20,
    cbPageSize: pageSize,
    fileType: FILE_TYPE.database,
    state: DATABASE_STATE.cleanShutdown,
    dbtimeDirtied: dbtime,
    objidLast,
  });
  file.writeAt(header, 0);
  file.writeAt(header, pageSize);
  file.close();
  return disk;
}
