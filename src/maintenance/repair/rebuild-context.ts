import type { DatabaseBuilder } from '../../engine/bulk/database-builder.js';
import type { TreeRegion } from '../../engine/bulk/tree-region.js';
import type { PageSource } from '../../engine/page-source.js';
import { CATALOG_TYPE } from '../../format/catalog-row.js';
import { PAGE_FLAG } from '../../format/page.js';
import type { IndexDefinition } from '../../format/table-definition.js';
import type { FileSystem } from '../../io/file-system.js';
import { initialPages, type TableCopier } from '../defrag/copy-table.js';
import type { TreeCopy } from '../defrag/copy-trees.js';
import type { NewTree } from '../defrag/new-catalog.js';
import type { CatalogEdits } from './catalog-edits.js';
import type { DuplicateList } from './duplicate-list.js';
import type { LostItems } from './lost-items.js';
import type { RepairOptions } from './repair-report.js';
import type { SalvageSource } from './salvage-source.js';

const DENSITY_FULL = 100;

/** What all tables of a rebuild have in common. */
export interface TableRebuild {
  readonly fs: FileSystem;
  readonly salvage: SalvageSource;
  readonly builder: DatabaseBuilder;
  /** Reads sound trees of the old database. */
  readonly copy: TreeCopy;
  /** Reads finished trees of the new one. */
  readonly openTarget: () => TargetReader;
  readonly copier: TableCopier;
  /** Path of the new database; temporary files lie beside it. */
  readonly temp: string;
  readonly options: RepairOptions;
  readonly findingsMax: number;
  readonly lost: LostItems | undefined;
  /** What the check says is wrong with pages, by their numbers. */
  readonly pageCodes: ReadonlyMap<number, string>;
  /** Tables of which the check says that records have wrong keys. */
  readonly misfiledTables: ReadonlySet<number>;
  /** Whether roots of this format can keep an auto-increment maximum (chapter 2.1.2). */
  readonly keepsAutoIncrement: boolean;
  /** Records that are left out, by table: their keys in hexadecimal. */
  readonly excluded: ReadonlyMap<number, ReadonlySet<string>>;
  /** Records that share keys of unique indexes. */
  readonly duplicates: DuplicateList;
  /** What changes in the catalog. */
  readonly edits: CatalogEdits;
}

/** A look at what was written so far. */
export interface TargetReader {
  readonly copy: TreeCopy;
  readonly source: PageSource;
}

/** Opens the tree of a secondary index. */
export function openIndex(
  region: TreeRegion,
  index: IndexDefinition,
  trees: Map<number, NewTree>,
  pageSize: number,
  isUnique = index.unique,
): TreeRegion {
  const child = region.child({
    objid: index.objid,
    roleFlags: PAGE_FLAG.index | (isUnique ? 0 : PAGE_FLAG.nonUnique),
    pages: initialPages(index.spaceHints, pageSize),
    density: DENSITY_FULL,
  });
  trees.set(index.objid, { objid: index.objid, pgnoFdp: child.pgnoRoot, type: CATALOG_TYPE.index });
  return child;
}
