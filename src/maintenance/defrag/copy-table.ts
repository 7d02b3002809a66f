import type { DatabaseBuilder } from '../../engine/bulk/database-builder.js';
import type { TreeRegion } from '../../engine/bulk/tree-region.js';
import type { PageSource } from '../../engine/page-source.js';
import type { TreeRoot } from '../../engine/tree-reader.js';
import { CATALOG_TYPE, INDEX_FLAG, type SpaceHints, TABLE_FLAG } from '../../format/catalog-row.js';
import { COLTYP, COLUMN_FLAG, type ColumnDefinition, isFixedColumn } from '../../format/column.js';
import { PAGE_FLAG } from '../../format/page.js';
import { decodeSpaceHeader, type SpaceHeader } from '../../format/space.js';
import type { LongValueTreeDefinition, TableDefinition } from '../../format/table-definition.js';
import { compactColumns } from './column-ids.js';
import {
  type CopiedLongValues,
  copyIndex,
  copyLongValues,
  copyRecords,
  countLongValues,
  countRoots,
  deleteOnZeroColumns,
  replaceEqualLongValues,
  type Steps,
  type TreeCopy,
} from './copy-trees.js';
import type { LongValueIds } from './long-value-ids.js';
import type { NewTable, NewTree } from './new-catalog.js';

const DENSITY_FULL = 100;
const ROLE_FLAGS = PAGE_FLAG.index | PAGE_FLAG.longValue | PAGE_FLAG.nonUnique;

/** What was copied of a table. */
export interface CopiedTable {
  readonly name: string;
  /** Its number in the old database. */
  readonly objid: number;
  readonly columns: number;
  /** Secondary indexes. */
  readonly indexes: number;
  readonly records: number;
  readonly longValues: number;
  /** Pages that it owns now, those of its indexes and long values included. */
  readonly pagesWritten: number;
}

/** A table in the new database, and what was found on the way. */
export interface TableOutcome {
  readonly made: NewTable;
  readonly figures: CopiedTable;
  readonly orphans: number;
  /** Long values that another one stands for now. */
  readonly mergedLongValues: number;
  /** Long values whose number of references was another one. */
  readonly recounted: number;
  /** Secondary indexes and their entries. */
  readonly indexEntries: readonly { readonly name: string; readonly entries: number }[];
  /** Indexes that were not complete yet, and were copied so. */
  readonly incompleteIndexes: readonly string[];
}

export interface TableCopierOptions {
  /** Column ids and ids of long values stay as they are. */
  readonly keepsIds: boolean;
  /** Long values of a table that are stored in the same bytes become one. Default: they stay apart. */
  readonly mergesLongValues?: boolean | undefined;
  /** Records stay, whose column says with value 0 that they are to be deleted. Default: they go. */
  readonly keepsZeroed?: boolean;
  /** Number of a tree in the new database. */
  newObjid(old: number): number;
}

/** Copies tables whose trees are sound. */
export class TableCopier {
  readonly #source: PageSource;
  readonly #builder: DatabaseBuilder;
  readonly #copy: TreeCopy;
  readonly #options: TableCopierOptions;

  constructor(source: PageSource, builder: DatabaseBuilder, copy: TreeCopy, options: TableCopierOptions) {
    this.#source = source;
    this.#builder = builder;
    this.#copy = copy;
    this.#options = options;
  }

  /** Copies a table with its long values and indexes. */
  *copyTable(table: TableDefinition): Steps<TableOutcome> {
    const copy = this.#copy;
    const { keepsIds } = this.#options;
    const { autoIncrement } = this.#spaceHeader(table);
    const deleteOnZero = this.#options.keepsZeroed === true ? [] : deleteOnZeroColumns(table.columns);
    const longValues =
      table.longValueTree === undefined
        ? undefined
        : yield* countLongValues(copy, table, deleteOnZero, keepsIds);
    if (
      this.#options.mergesLongValues === true &&
      table.longValueTree !== undefined &&
      longValues !== undefined
    ) {
      yield* replaceEqualLongValues(copy, table.longValueTree, longValues);
    }
    const columns = keepsIds || isShared(table) ? undefined : compactColumns(table.columns);
    const secondaries = table.indexes.filter(({ primary }) => !primary);
    const objid = this.#options.newObjid(table.objid);
    const objidsOfIndexes = secondaries.map((index) => this.#options.newObjid(index.objid));
    const region = this.#builder.openTable({
      objid,
      roleFlags: 0,
      pages: table.pages,
      density: DENSITY_FULL,
      autoIncrement,
    });
    const copied = yield* copyRecords(copy, table, region, {
      longValues,
      columns,
      deleteOnZero,
      autoIncrement: autoIncrement === undefined ? undefined : autoIncrementColumn(table),
    });
    const trees = new Map<number, NewTree>();
    let values = NO_LONG_VALUES;
    if (table.longValueTree !== undefined && longValues !== undefined) {
      values = yield* this.#copyLongValues(table.longValueTree, longValues, region);
      if (values.tree !== undefined) trees.set(table.longValueTree.objid, values.tree);
    }
    const incompleteIndexes: string[] = [];
    const indexEntries: { name: string; entries: number }[] = [];
    for (const [i, index] of secondaries.entries()) {
      const options = {
        objid: objidsOfIndexes[i] ?? 0,
        roleFlags: this.#roleFlags(index),
        pages: initialPages(index.spaceHints, this.#source.pageSize),
        density: DENSITY_FULL,
      };
      const child = region.child(options);
      const { nodes } = yield* copyIndex(copy, index, child, copied.skipped);
      indexEntries.push({ name: index.name, entries: nodes });
      child.close();
      trees.set(index.objid, { objid: options.objid, pgnoFdp: child.pgnoRoot, type: CATALOG_TYPE.index });
      if ((index.flags & INDEX_FLAG.deferredPopulate) !== 0) incompleteIndexes.push(index.name);
    }
    const highest =
      autoIncrement !== undefined && copied.autoIncrementMax > autoIncrement
        ? copied.autoIncrementMax
        : autoIncrement;
    region.close(highest);
    const figures: CopiedTable = {
      name: table.name,
      objid: table.objid,
      columns: table.columns.filter(({ coltyp }) => coltyp !== COLTYP.nil).length,
      indexes: secondaries.length,
      records: copied.records,
      longValues: values.longValues,
      pagesWritten: this.#builder.pagesSince(region.pgnoRoot),
    };
    const made = { objid, pgnoFdp: region.pgnoRoot, trees, columns };
    return {
      made,
      figures,
      orphans: values.orphans,
      mergedLongValues: longValues?.merged ?? 0,
      recounted: values.recounted,
      indexEntries,
      incompleteIndexes,
    };
  }

  /** Copies the long values of a table. Where no record refers to any, there is no tree for them. */
  *#copyLongValues(
    tree: LongValueTreeDefinition,
    ids: LongValueIds,
    region: TreeRegion,
  ): Steps<CopiedValues> {
    const copy = this.#copy;
    if (ids.size === 0) {
      return { ...NO_LONG_VALUES, orphans: yield* countRoots(copy, tree) };
    }
    const objid = this.#options.newObjid(tree.objid);
    const child = region.child({
      objid,
      roleFlags: PAGE_FLAG.longValue,
      pages: tree.pages,
      density: DENSITY_FULL,
    });
    const copied = yield* copyLongValues(copy, tree, child, ids);
    child.close();
    return { ...copied, tree: { objid, pgnoFdp: child.pgnoRoot, type: CATALOG_TYPE.longValue } };
  }

  #spaceHeader({ pgnoFdp }: TreeRoot): SpaceHeader {
    return decodeSpaceHeader(this.#source.readPage(pgnoFdp).externalHeader, pgnoFdp);
  }

  #roleFlags({ pgnoFdp }: TreeRoot): number {
    return this.#source.readPage(pgnoFdp).flags & ROLE_FLAGS;
  }
}

interface CopiedValues extends CopiedLongValues {
  readonly tree: NewTree | undefined;
}

const NO_LONG_VALUES: CopiedValues = { longValues: 0, orphans: 0, recounted: 0, tree: undefined };

/** Templates and the tables made of them name each other's columns by id: they keep them. */
function isShared({ flags }: TableDefinition): boolean {
  return (flags & (TABLE_FLAG.template | TABLE_FLAG.derived)) !== 0;
}

/** The column whose highest value the root of the table may keep. */
export function autoIncrementColumn({ columns }: TableDefinition): ColumnDefinition | undefined {
  return columns.find(
    ({ flags, columnId }) => (flags & COLUMN_FLAG.autoIncrement) !== 0 && isFixedColumn(columnId),
  );
}

/** Pages that a tree is to begin with. */
export function initialPages(hints: SpaceHints | undefined, pageSize: number): number {
  return Math.max(1, Math.ceil((hints?.initialBytes ?? 0) / pageSize));
}
