import { createByteWriter } from '../format/byte-writer.js';
import { COLTYP, COLUMN_FLAG, type ColumnDefinition, isLongValueType } from '../format/column.js';
import { EseError } from '../format/ese-error.js';
import { createKeyBuilder, type KeyBuilder } from '../format/key.js';
import { pageHeaderBytes, SMALL_PAGE_MAX } from '../format/page.js';
import {
  createRecordLayout,
  createRecordValues,
  type RecordLayout,
  type RecordValues,
} from '../format/record.js';
import { createRecordEncoder, type RecordEncoder, recordBytesMost } from '../format/record-encoder.js';
import type {
  IndexDefinition,
  LongValueTreeDefinition,
  TableDefinition,
} from '../format/table-definition.js';
import type { LongValues } from './long-values-writer.js';
import type { Session } from './transactions.js';
import type { Tree } from './tree-search.js';
import type { TreeWriter } from './tree-writer.js';

/** What a table needs from its database. */
export interface TableHost {
  readonly dbid: number;
  /** Page size in bytes. */
  readonly pageSize: number;
  readonly trees: TreeWriter;
  /** To be called when nobody holds a page: keeps the cache within its bound. */
  trim(): void;
  /** Makes the table's long-value tree, in a transaction that is committed when this returns. */
  createLongValues(table: Table, session: Session): LongValues;
  /** The long values of a table that has a tree for them. */
  openLongValues(table: Table): LongValues | undefined;
}

/** A secondary index of a table. */
export interface SecondaryIndex {
  readonly definition: IndexDefinition;
  readonly tree: Tree;
  readonly keys: KeyBuilder;
  /** Columns on which the keys depend. */
  readonly columns: ReadonlySet<number>;
}

/** Key limit of a table without a primary index: its rows have numbers of 4 bytes. */
export const SEQUENCE_KEY_BYTES = 4;
const DENSITY_DEFAULT = 100;
const KEY_MOST_DEFAULT = 255;
const AUTOMATIC_COLUMN = COLUMN_FLAG.autoIncrement | COLUMN_FLAG.version | COLUMN_FLAG.escrowUpdate;

/** A table as all sessions share it: its definition, prepared for reading and writing rows. */
export class Table {
  readonly host: TableHost;
  #definition: TableDefinition;
  layout: RecordLayout;
  /** Places of the values of one record, reused from row to row. */
  values: RecordValues;
  encoder: RecordEncoder;
  tree: Tree;
  /** Undefined for a table without a primary index, whose rows are numbered. */
  primaryKeys: KeyBuilder | undefined;
  primaryColumns: ReadonlySet<number> = new Set();
  secondaries: readonly SecondaryIndex[] = [];
  /** Session that has changed the definition and not committed yet: nobody else may use the table. */
  lockedBy: Session | undefined;
  /** The table was created in a transaction that has not committed. */
  isNew = false;
  /** The table was deleted. */
  isDeleted = false;
  readonly record = createByteWriter(4096);
  #recordView: Uint8Array = new Uint8Array(0);
  /** Most bytes of a record. */
  recordBytesMost = 0;
  /** Columns that get a value when a row is inserted without one, and those that must have one. */
  automaticColumns: readonly number[] = [];
  requiredColumns: readonly number[] = [];
  versionColumns: readonly number[] = [];
  escrowColumns: readonly number[] = [];
  /** Indexes of columns by the names that were asked for. */
  readonly #columnsByName = new Map<string, number>();
  #longValues: LongValues | undefined;
  #sequence: number | undefined;
  /** Last number given out by the automatic column; undefined until it is known. */
  autoIncrement: bigint | undefined;

  constructor(host: TableHost, definition: TableDefinition) {
    this.host = host;
    this.#definition = definition;
    const { layout, values, encoder } = this.#arrange(definition);
    this.layout = layout;
    this.values = values;
    this.encoder = encoder;
    this.tree = treeOf(definition, definition.density, true, host.pageSize);
    this.#prepare();
  }

  get definition(): TableDefinition {
    return this.#definition;
  }

  /** Takes over a changed definition. */
  redefine(definition: TableDefinition): void {
    this.#definition = definition;
    Object.assign(this, this.#arrange(definition));
    if (definition.longValueTree === undefined) this.#longValues = undefined;
    this.#prepare();
  }

  /** The long-value tree was made, or its making rolled back; rows under way are not disturbed. */
  setLongValueTree(tree: LongValueTreeDefinition | undefined): void {
    const { longValueTree: _before, ...rest } = this.#definition;
    this.#definition = tree === undefined ? rest : { ...rest, longValueTree: tree };
    if (tree === undefined) this.#longValues = undefined;
  }

  #arrange(definition: TableDefinition) {
    const layout = createRecordLayout(definition.columns, this.host.pageSize);
    return { layout, values: createRecordValues(layout), encoder: createRecordEncoder(layout) };
  }

  /** Prepares what depends on columns and indexes. */
  #prepare(): void {
    this.#columnsByName.clear();
    const { pageSize } = this.host;
    const { primaryIndex } = this.#definition;
    const keyMost =
      primaryIndex === undefined ? SEQUENCE_KEY_BYTES : (primaryIndex.keyMost ?? KEY_MOST_DEFAULT);
    this.recordBytesMost = recordBytesMost(
      pageSize - pageHeaderBytes(pageSize),
      pageSize > SMALL_PAGE_MAX,
      keyMost,
    );
    const withFlag = (flag: number): number[] =>
      this.#definition.columns.flatMap((column, index) =>
        column.coltyp !== COLTYP.nil && hasFlag(column, flag) ? [index] : [],
      );
    this.automaticColumns = withFlag(AUTOMATIC_COLUMN);
    this.requiredColumns = withFlag(COLUMN_FLAG.notNull).filter(
      (index) =>
        this.layout.defaults[index] === undefined && !hasFlag(this.columnAt(index), AUTOMATIC_COLUMN),
    );
    this.versionColumns = withFlag(COLUMN_FLAG.version);
    this.escrowColumns = withFlag(COLUMN_FLAG.escrowUpdate);
    this.#openIndexes();
  }

  #openIndexes(): void {
    const { layout, host } = this;
    const { primaryIndex, indexes } = this.#definition;
    this.primaryKeys = primaryIndex === undefined ? undefined : createKeyBuilder(layout, primaryIndex);
    this.primaryColumns = new Set(primaryIndex?.segments.map(({ columnId }) => this.columnWithId(columnId)));
    this.secondaries = indexes
      .filter(({ primary }) => !primary)
      .map((definition) => ({
        definition,
        tree: treeOf(definition, definition.density, definition.unique, host.pageSize),
        keys: createKeyBuilder(layout, definition),
        columns: new Set(
          [...definition.segments, ...definition.conditions].map(({ columnId }) =>
            this.columnWithId(columnId),
          ),
        ),
      }));
  }

  /** The first `size` bytes of `record`, as a view that serves again for a record of the same size. */
  recordView(size: number): Uint8Array {
    const { bytes } = this.record;
    if (this.#recordView.length !== size || this.#recordView.buffer !== bytes.buffer) {
      this.#recordView = bytes.subarray(0, size);
    }
    return this.#recordView;
  }

  /** The long values of the table; made if `session` is about to store the first one. */
  longValues(session: Session): LongValues {
    this.#longValues ??= this.host.openLongValues(this) ?? this.host.createLongValues(this, session);
    return this.#longValues;
  }

  /** The long values, if there can be any. */
  get longValuesIfAny(): LongValues | undefined {
    this.#longValues ??= this.host.openLongValues(this);
    return this.#longValues;
  }

  /** Index of a column, by name without regard to case. Throws JET_errColumnNotFound. */
  column(name: string): number {
    const known = this.#columnsByName.get(name);
    if (known !== undefined) return known;
    const wanted = name.toUpperCase();
    const index = this.#definition.columns.findIndex(
      (column) => column.coltyp !== COLTYP.nil && column.name.toUpperCase() === wanted,
    );
    if (index < 0) throw new EseError('JET_errColumnNotFound', `there is no column ${name}`);
    this.#columnsByName.set(name, index);
    return index;
  }

  columnWithId(columnId: number): number {
    return this.#definition.columns.findIndex(
      (column) => column.columnId === columnId && column.coltyp !== COLTYP.nil,
    );
  }

  columnAt(index: number): ColumnDefinition {
    const column = this.#definition.columns[index];
    if (column === undefined) throw new EseError('JET_errColumnNotFound');
    return column;
  }

  /** A secondary index by name; undefined for the primary one. Throws JET_errIndexNotFound. */
  index(name: string): SecondaryIndex | undefined {
    const wanted = name.toUpperCase();
    if (this.#definition.primaryIndex?.name.toUpperCase() === wanted) return undefined;
    const found = this.secondaries.find(({ definition }) => definition.name.toUpperCase() === wanted);
    if (found === undefined) throw new EseError('JET_errIndexNotFound', `there is no index ${name}`);
    return found;
  }

  /** Number of the next row of a table without a primary index, as its key. */
  nextSequenceKey(): Uint8Array {
    this.#sequence ??= this.#lastSequence();
    this.#sequence++;
    const key = new Uint8Array(SEQUENCE_KEY_BYTES);
    new DataView(key.buffer).setUint32(0, this.#sequence, false);
    return key;
  }

  #lastSequence(): number {
    const { search } = this.host.trees;
    search.findEnd(this.tree);
    const { leaf, node } = search;
    if (leaf.nodeCount === 0) return 0;
    leaf.readNode(leaf.nodeCount - 1, node);
    const key = leaf.key(node);
    if (key.length !== SEQUENCE_KEY_BYTES) {
      throw new EseError('JET_errDatabaseCorrupted', 'a row has no number', { pgno: leaf.pgno });
    }
    return new DataView(key.buffer, key.byteOffset, 4).getUint32(0, false);
  }
}

/** The tree of a table, index or long values. */
export function treeOf(
  root: { readonly pgnoFdp: number; readonly objid: number },
  density: number,
  isUnique: boolean,
  pageSize: number,
): Tree {
  const percent = density > 0 && density <= 100 ? density : DENSITY_DEFAULT;
  return {
    pgnoFdp: root.pgnoFdp,
    objid: root.objid,
    isUnique,
    isSpace: false,
    appendFree: Math.floor(((100 - percent) * pageSize) / 100),
    recent: { pgno: 0, misses: 0 },
  };
}

/** Whether a column holds values that may be stored apart from the record. */
export function mayBeSeparated(column: ColumnDefinition): boolean {
  return isLongValueType(column.coltyp);
}

export function hasFlag(column: ColumnDefinition, flag: number): boolean {
  return (column.flags & flag) !== 0;
}
