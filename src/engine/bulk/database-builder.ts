import {
  OBJID_CATALOG,
  OBJID_CATALOG_NAME_INDEX,
  OBJID_CATALOG_ROOT_OBJECTS_INDEX,
  OBJID_CATALOG_SHADOW,
  OBJID_DATABASE,
  PGNO_CATALOG,
  PGNO_CATALOG_NAME_INDEX,
  PGNO_CATALOG_ROOT_OBJECTS_INDEX,
  PGNO_CATALOG_SHADOW,
  PGNO_DATABASE,
} from '../../format/catalog-row.js';
import { EseError } from '../../format/ese-error.js';
import { compareKeys, createKeyBuilder } from '../../format/key.js';
import { PAGE_FLAG, pageOffset } from '../../format/page.js';
import { createRecordValues, locateColumns, type RecordLayout } from '../../format/record.js';
import { encodeSpaceHeader, SPACE_HEADER_BYTES } from '../../format/space.js';
import type { IndexDefinition } from '../../format/table-definition.js';
import type { FileHandle } from '../../io/file-system.js';
import { CATALOG_DEFINITION, CATALOG_PAGES, CATALOG_SHADOW_PAGES } from '../catalog.js';
import { type BuiltTree, BulkWriter } from './tree-builder.js';
import {
  type PageAllocator,
  putRoot,
  putSpaceTrees,
  type RegionOptions,
  type Run,
  spaceFlags,
  TreeRegion,
} from './tree-region.js';

/**
 * A new database that is made in one go, without a log: tables one after the other, the catalog last (format
 * specification, chapters 2.5 and 7.3.5). Only the headers are left to the caller.
 */

/** Pages of each index of the catalog: root, OE, AE. */
const CATALOG_INDEX_PAGES = 3;
const ROOT_AND_SPACE_PAGES = 3;
const DENSITY_FULL = 100;

export interface DatabaseBuilderOptions {
  readonly pageSize: number;
  /** Whether the shadow of the catalog is kept; else it is an empty tree. */
  readonly isShadowed: boolean;
  /** Kernel memory for whoever reads the nodes. */
  readonly readBytes?: number;
}

/** A node. */
export interface KeyedData {
  readonly key: Uint8Array;
  readonly data: Uint8Array;
}

/** What a finished database is like. */
export interface BuiltDatabase {
  /** Last page that it owns, and last in the file. */
  readonly lastPgno: number;
  /** Highest dbtime of its pages. */
  readonly dbtime: number;
  readonly objidLast: number;
}

export class DatabaseBuilder {
  readonly writer: BulkWriter;
  readonly #file: FileHandle;
  readonly #isShadowed: boolean;
  readonly #allocator: PageAllocator = { next: PGNO_CATALOG_SHADOW + CATALOG_SHADOW_PAGES };
  #objidLast = OBJID_CATALOG_ROOT_OBJECTS_INDEX;

  /** @param file the new file, empty but for its headers */
  constructor(file: FileHandle, { pageSize, isShadowed, readBytes }: DatabaseBuilderOptions) {
    this.#file = file;
    this.#isShadowed = isShadowed;
    this.writer = new BulkWriter(file, pageSize, readBytes);
  }

  /** A number for a new tree. */
  nextObjid(): number {
    return ++this.#objidLast;
  }

  /** Sets the next page aside, as the root of a table that will be made later. */
  reservePage(): number {
    return this.#allocator.next++;
  }

  /** Pages that were given out from page `pgno` on. */
  pagesSince(pgno: number): number {
    return this.#allocator.next - pgno;
  }

  /** Begins a table. It must be closed before the next. */
  openTable(options: RegionOptions): TreeRegion {
    return new TreeRegion(this.writer, this.#allocator, options, PGNO_DATABASE);
  }

  /**
   * Writes the catalog, its indexes and its shadow: nothing can be added afterwards.
   *
   * @param layout columns of the catalog
   * @param records its rows, in any order
   */
  writeCatalog(layout: RecordLayout, records: readonly Uint8Array[]): void {
    const entries = catalogEntries(layout, records);
    const free: Run[] = [
      freeRun(PGNO_CATALOG_ROOT_OBJECTS_INDEX + CATALOG_INDEX_PAGES, PGNO_CATALOG + CATALOG_PAGES),
    ];
    const catalog = this.#systemTree(OBJID_CATALOG, 0, PGNO_CATALOG, free, entries.rows);
    const name = this.#systemTree(
      OBJID_CATALOG_NAME_INDEX,
      PAGE_FLAG.index,
      PGNO_CATALOG_NAME_INDEX,
      free,
      entries.name,
    );
    const rootObjects = this.#systemTree(
      OBJID_CATALOG_ROOT_OBJECTS_INDEX,
      PAGE_FLAG.index,
      PGNO_CATALOG_ROOT_OBJECTS_INDEX,
      free,
      entries.rootObjects,
    );
    const behind = [...catalog.runs, ...name.runs, ...rootObjects.runs].filter(
      ({ first }) => first >= PGNO_CATALOG + CATALOG_PAGES,
    );
    this.#closeSystemTree(catalog, PGNO_DATABASE, CATALOG_PAGES, behind, free);
    this.#closeSystemTree(name, PGNO_CATALOG, CATALOG_INDEX_PAGES, name.runs, []);
    this.#closeSystemTree(rootObjects, PGNO_CATALOG, CATALOG_INDEX_PAGES, rootObjects.runs, []);

    const freeOfShadow: Run[] = [
      freeRun(PGNO_CATALOG_SHADOW + ROOT_AND_SPACE_PAGES, PGNO_CATALOG_SHADOW + CATALOG_SHADOW_PAGES),
    ];
    const rows = this.#isShadowed ? entries.rows : [];
    const shadow = this.#systemTree(OBJID_CATALOG_SHADOW, 0, PGNO_CATALOG_SHADOW, freeOfShadow, rows);
    const behindShadow = shadow.runs.filter(
      ({ first }) => first >= PGNO_CATALOG_SHADOW + CATALOG_SHADOW_PAGES,
    );
    this.#closeSystemTree(shadow, PGNO_DATABASE, CATALOG_SHADOW_PAGES, behindShadow, freeOfShadow);
  }

  /** A tree with a fixed place: it takes free pages near it, which are given, then the next ones of the file. */
  #systemTree(
    objid: number,
    roleFlags: number,
    pgnoRoot: number,
    free: Run[],
    nodes: readonly KeyedData[],
  ): SystemTree {
    const { writer } = this;
    const runs: Run[] = [];
    const takePage = (): number => {
      const [near] = free;
      const pgno = near === undefined ? this.#allocator.next++ : near.first;
      if (near !== undefined) {
        free.length = 0;
        if (near.count > 1) free.push({ first: near.first + 1, count: near.count - 1 });
      }
      addToRuns(runs, { first: pgno, count: 1 });
      return pgno;
    };
    writer.begin({
      objid,
      roleFlags,
      pgnoRoot,
      rootHeaderBytes: SPACE_HEADER_BYTES,
      density: DENSITY_FULL,
      takePage,
    });
    for (const { key, data } of nodes) writer.add(key, key.length, data, 0, data.length);
    return { objid, roleFlags, built: writer.finish(), runs };
  }

  #closeSystemTree(
    { objid, roleFlags, built }: SystemTree,
    pgnoParent: number,
    cpg: number,
    more: readonly Run[],
    available: readonly Run[],
  ): void {
    const { root } = built;
    const pgnoOe = root.pgno + 1;
    const flags = spaceFlags(true, roleFlags);
    const header = encodeSpaceHeader({ cpg, pgnoParent, flags, availableBitmap: 0, pgnoOe });
    putRoot(this.writer, root, header);
    const owned: Run[] = [{ first: root.pgno, count: cpg }];
    for (const run of more) {
      const last = owned.at(-1);
      // The primary extent stays one of its own.
      if (last !== undefined && owned.length > 1 && last.first + last.count === run.first) {
        owned[owned.length - 1] = { first: last.first, count: last.count + run.count };
      } else {
        owned.push(run);
      }
    }
    putSpaceTrees(this.writer, objid, roleFlags, pgnoOe, owned, available);
  }

  /** Writes page 1 and all that is still in memory, and cuts the file at its last page. */
  finish(): BuiltDatabase {
    const { writer } = this;
    const lastPgno = this.#allocator.next - 1;
    const cpg = PGNO_CATALOG_SHADOW + CATALOG_SHADOW_PAGES - 1;
    writer.begin({
      objid: OBJID_DATABASE,
      roleFlags: 0,
      pgnoRoot: PGNO_DATABASE,
      rootHeaderBytes: SPACE_HEADER_BYTES,
      density: DENSITY_FULL,
      takePage: () => {
        throw new Error('the tree of page 1 is empty');
      },
    });
    const { root } = writer.finish();
    const pgnoOe = PGNO_DATABASE + 1;
    putRoot(
      writer,
      root,
      encodeSpaceHeader({ cpg, pgnoParent: 0, flags: spaceFlags(true, 0), availableBitmap: 0, pgnoOe }),
    );
    const owned = [{ first: PGNO_DATABASE, count: cpg }];
    if (lastPgno > cpg) owned.push({ first: cpg + 1, count: lastPgno - cpg });
    putSpaceTrees(writer, OBJID_DATABASE, 0, pgnoOe, owned, []);
    writer.flush();
    this.#file.truncate(pageOffset(lastPgno + 1, writer.pageSize));
    return { lastPgno, dbtime: writer.dbtime, objidLast: this.#objidLast };
  }
}

interface SystemTree {
  readonly objid: number;
  readonly roleFlags: number;
  readonly built: BuiltTree;
  /** Pages that it took, its root and space trees not counted. */
  readonly runs: readonly Run[];
}

function freeRun(first: number, end: number): Run {
  return { first, count: end - first };
}

function addToRuns(runs: Run[], run: Run): void {
  const last = runs.at(-1);
  if (last !== undefined && last.first + last.count === run.first) {
    runs[runs.length - 1] = { first: last.first, count: last.count + run.count };
  } else {
    runs.push(run);
  }
}

interface CatalogEntries {
  readonly rows: readonly KeyedData[];
  readonly name: readonly KeyedData[];
  readonly rootObjects: readonly KeyedData[];
}

/** The nodes of the catalog and of its indexes. */
function catalogEntries(layout: RecordLayout, records: readonly Uint8Array[]): CatalogEntries {
  const values = createRecordValues(layout);
  const builderOf = (objid: number): ((into: KeyedData[], data?: Uint8Array) => void) => {
    const index = CATALOG_DEFINITION.indexes.find((candidate) => candidate.objid === objid);
    if (index === undefined) throw new Error(`the catalog has no index ${objid}`);
    const keys = createKeyBuilder(layout, index satisfies IndexDefinition);
    return (into, data = values.bytes) => {
      keys.build(values, noLongValues, (key, length) => into.push({ key: key.slice(0, length), data }));
    };
  };
  const [addRow, addName, addRootObject] = [
    OBJID_CATALOG,
    OBJID_CATALOG_NAME_INDEX,
    OBJID_CATALOG_ROOT_OBJECTS_INDEX,
  ].map(builderOf);
  const rows: KeyedData[] = [];
  const name: KeyedData[] = [];
  const rootObjects: KeyedData[] = [];
  for (const record of records) {
    locateColumns(layout, record, 0, record.length, values);
    addRow?.(rows);
    const bookmark = rows.at(-1)?.key;
    addName?.(name, bookmark);
    addRootObject?.(rootObjects, bookmark);
  }
  const byKey = (a: KeyedData, b: KeyedData): number => compareKeys(a.key, b.key);
  return { rows: rows.sort(byKey), name: name.sort(byKey), rootObjects: rootObjects.sort(byKey) };
}

function noLongValues(): never {
  throw new EseError('JET_errCatalogCorrupted', 'a catalog row has a long value');
}
