import {
  type CatalogRow,
  createCatalogRowDecoder,
  OBJID_CATALOG,
  OBJID_CATALOG_SHADOW,
  PGNO_CATALOG,
  PGNO_CATALOG_SHADOW,
} from '../format/catalog-row.js';
import { EseError } from '../format/ese-error.js';
import { createNodeView, NODE_FLAG } from '../format/page.js';
import { type CatalogFault, groupCatalogRows, type TableDefinition } from '../format/table-definition.js';
import type { PageSource } from './page-source.js';
import { type TreeRoot, walkTree } from './tree-reader.js';

/** Where both copies of the catalog are in every database (format specification, chapter 2.3.1). */
export const CATALOG_ROOT: TreeRoot = { pgnoFdp: PGNO_CATALOG, objid: OBJID_CATALOG };
export const CATALOG_SHADOW_ROOT: TreeRoot = { pgnoFdp: PGNO_CATALOG_SHADOW, objid: OBJID_CATALOG_SHADOW };

/** The tables of a database, as far as its catalog could be read. */
export interface Catalog {
  /** In the order of object ids, the catalog itself first. */
  readonly tables: readonly TableDefinition[];
  /** Which copy the tables come from. */
  readonly source: 'primary' | 'shadow';
  /** Pages and rows of that copy that could not be read. */
  readonly errors: readonly EseError[];
  readonly faults: readonly CatalogFault[];
}

interface CatalogCopy {
  readonly rows: CatalogRow[];
  readonly errors: EseError[];
}

/** Reads one copy of the catalog; damaged pages and rows are left out and listed. */
export function readCatalogCopy(source: PageSource, root: TreeRoot): CatalogCopy {
  const decode = createCatalogRowDecoder(source.pageSize);
  const node = createNodeView();
  const rows: CatalogRow[] = [];
  const errors: EseError[] = [];
  walkTree(source, root, {
    damaged: (error) => errors.push(error),
    leaf: (page) => {
      for (let line = 0; line < page.nodeCount; line++) {
        page.readNode(line, node);
        if ((node.flags & NODE_FLAG.deleted) !== 0) continue;
        try {
          rows.push(decode(page.bytes, node.dataOffset, node.dataOffset + node.dataLength));
        } catch (error) {
          if (!(error instanceof EseError)) throw error;
          errors.push(error.at({ pgno: page.pgno }));
        }
      }
      return true;
    },
  });
  return { rows, errors };
}

/**
 * Reads the catalog: from MSysObjects, or from the shadow if that is damaged and the shadow gives more.
 *
 * @throws EseError JET_errCatalogCorrupted if neither copy names a single table.
 */
export function readCatalog(source: PageSource): Catalog {
  const primary = readCatalogCopy(source, CATALOG_ROOT);
  let best: CatalogCopy = primary;
  if (primary.errors.length > 0 || primary.rows.length === 0) {
    const shadow = readCatalogCopy(source, CATALOG_SHADOW_ROOT);
    if (shadow.rows.length > primary.rows.length) best = shadow;
  }
  const { tables, faults } = groupCatalogRows(best.rows);
  if (tables.length === 0) {
    const [first] = best.errors;
    throw new EseError(
      'JET_errCatalogCorrupted',
      first === undefined ? 'the catalog names no table' : `the catalog cannot be read: ${first.message}`,
    );
  }
  return { tables, source: best === primary ? 'primary' : 'shadow', errors: best.errors, faults };
}
