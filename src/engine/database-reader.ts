import {
  type CatalogRow,
  createCatalogRowDecoder,
  OBJID_CATALOG,
  OBJID_CATALOG_SHADOW,
  OBJID_DATABASE,
  PGNO_CATALOG,
  PGNO_CATALOG_SHADOW,
  PGNO_DATABASE,
} from '../format/catalog-row.js';
import {
  checkHeaderSupported,
  DATABASE_STATE,
  type DatabaseHeader,
  type HeaderElection,
  UPDATE_MAJOR_KNOWN,
} from '../format/database-header.js';
import { EseError } from '../format/ese-error.js';
import { createNodeView, NODE_FLAG } from '../format/page.js';
import { groupCatalogRows, type TableDefinition } from '../format/table-definition.js';
import type { FileHandle, FileSystem } from '../io/file-system.js';
import { readHeaderElection } from './header-election.js';
import { createFilePageSource, type PageSource } from './page-source.js';
import { readTreeSpace } from './space-reader.js';
import { type TreeRoot, walkTree } from './tree-reader.js';

/** Something that a reader of the database must know, though reading goes on. */
export interface ReaderWarning {
  readonly name:
    | 'HeaderFromShadow'
    | 'HeaderCopiesDiffer'
    | 'DirtyDatabase'
    | 'NewerFormat'
    | 'TornEnd'
    | 'CatalogFromShadow'
    | 'CatalogDamaged';
  readonly message: string;
  readonly pgno?: number;
}

/** A database opened for reading. Nothing of it is ever written. */
export interface DatabaseReader {
  readonly path: string;
  readonly election: HeaderElection;
  readonly header: DatabaseHeader;
  /** Bytes of a page. */
  readonly pageSize: number;
  readonly source: PageSource;
  /** Warnings met so far; reading the catalog may add some. */
  readonly warnings: readonly ReaderWarning[];
  /**
   * All tables, system tables first, as the catalog lists them; read at the first call. Damaged catalog
   * pages are passed over with a warning; if the catalog is no use, its shadow serves.
   *
   * @throws EseError JET_errCatalogCorrupted when neither can be read at all.
   */
  tables(): readonly TableDefinition[];
  /** A table by name, without regard to case. @throws EseError JET_errObjectNotFound */
  table(name: string): TableDefinition;
  /** Greatest page number that the database owns (the file may be longer); read at the first call. */
  lastOwnedPgno(): number;
  close(): void;
}

/**
 * Opens a database for reading.
 *
 * @throws EseError JET_errReadVerifyFailure when both header copies are damaged,
 *   JET_errDatabaseCorrupted when the file is no database, JET_errInvalidDatabaseVersion when its format
 *   is not known, or the error of the file system.
 */
export function openDatabaseReader(fs: FileSystem, path: string): DatabaseReader {
  const file = fs.open(path, 'read');
  try {
    return createReader(file);
  } catch (error) {
    file.close();
    throw error instanceof EseError ? error.at({ file: path }) : error;
  }
}

function createReader(file: FileHandle): DatabaseReader {
  const { path } = file;
  const election = readHeaderElection(file);
  const { header, pageSize } = election;
  if (header === undefined) {
    throw new EseError('JET_errDatabaseCorrupted', 'the file has no database header', { file: path });
  }
  checkHeaderSupported(header, path);
  if (election.source === 'none') {
    throw new EseError('JET_errReadVerifyFailure', 'both copies of the database header are damaged', {
      file: path,
    });
  }
  const source = createFilePageSource(file, pageSize);
  const warnings = headerWarnings(election, header, file.size() % pageSize);
  let tables: readonly TableDefinition[] | undefined;
  let byName: Map<string, TableDefinition> | undefined;
  let lastOwned: number | undefined;
  const reader: DatabaseReader = {
    path,
    election,
    header,
    pageSize,
    source,
    warnings,
    tables() {
      tables ??= readCatalog(source, warnings);
      return tables;
    },
    table(name) {
      byName ??= new Map(reader.tables().map((table) => [table.name.toUpperCase(), table]));
      const table = byName.get(name.toUpperCase());
      if (table === undefined) {
        throw new EseError('JET_errObjectNotFound', `there is no table ${name}`, { file: path });
      }
      return table;
    },
    lastOwnedPgno() {
      lastOwned ??= readTreeSpace(source, { pgnoFdp: PGNO_DATABASE, objid: OBJID_DATABASE }).owned.reduce(
        (last, extent) => Math.max(last, extent.last),
        0,
      );
      return lastOwned;
    },
    close: () => file.close(),
  };
  return reader;
}

function headerWarnings(election: HeaderElection, header: DatabaseHeader, remainder: number) {
  const warnings: ReaderWarning[] = [];
  if (election.source === 'shadow') {
    warnings.push({
      name: 'HeaderFromShadow',
      message: 'the primary header is damaged, the shadow header is used',
    });
  } else if (!election.identical) {
    warnings.push({ name: 'HeaderCopiesDiffer', message: 'primary and shadow header are not identical' });
  }
  if (header.state !== DATABASE_STATE.cleanShutdown) {
    const { genMinRequired, genMaxRequired } = header;
    const logs = genMinRequired > 0 ? `, logs ${genMinRequired}-${genMaxRequired} are required` : '';
    warnings.push({
      name: 'DirtyDatabase',
      message: `the database was not shut down cleanly${logs}; it is read as it is`,
    });
  }
  if (header.updateMajor > UPDATE_MAJOR_KNOWN) {
    warnings.push({
      name: 'NewerFormat',
      message: `format update ${header.updateMajor} is newer than the newest known one, ${UPDATE_MAJOR_KNOWN}`,
    });
  }
  if (remainder !== 0) {
    warnings.push({ name: 'TornEnd', message: `${remainder} bytes behind the last whole page are ignored` });
  }
  return warnings;
}

const CATALOG: TreeRoot = { pgnoFdp: PGNO_CATALOG, objid: OBJID_CATALOG };
const SHADOW: TreeRoot = { pgnoFdp: PGNO_CATALOG_SHADOW, objid: OBJID_CATALOG_SHADOW };

function readCatalog(source: PageSource, warnings: ReaderWarning[]): readonly TableDefinition[] {
  const primary = readCatalogRows(source, CATALOG);
  let chosen = primary;
  if (primary.faults.length > 0) {
    const shadow = readCatalogRows(source, SHADOW);
    // A shadow that lost less tells more; an empty one means that shadowing is off.
    if (shadow.rows.length > primary.rows.length) {
      chosen = shadow;
      warnings.push({ name: 'CatalogFromShadow', message: 'the catalog is damaged, its shadow is used' });
    }
  }
  for (const { detail, pgno } of chosen.faults) {
    warnings.push({
      name: 'CatalogDamaged',
      message: `a part of the catalog is lost: ${detail}`,
      ...(pgno === undefined ? {} : { pgno }),
    });
  }
  if (chosen.rows.length === 0) {
    throw new EseError('JET_errCatalogCorrupted', chosen.faults[0]?.detail ?? 'the catalog is empty', {
      pgno: chosen.faults[0]?.pgno ?? PGNO_CATALOG,
    });
  }
  const { tables, faults } = groupCatalogRows(chosen.rows);
  for (const { what } of faults) warnings.push({ name: 'CatalogDamaged', message: what });
  return tables;
}

function readCatalogRows(source: PageSource, root: TreeRoot): { rows: CatalogRow[]; faults: EseError[] } {
  const decode = createCatalogRowDecoder(source.pageSize);
  const node = createNodeView();
  const rows: CatalogRow[] = [];
  const faults: EseError[] = [];
  walkTree(source, root, {
    leaf: (page) => {
      for (let line = 0; line < page.nodeCount; line++) {
        page.readNode(line, node);
        if ((node.flags & NODE_FLAG.deleted) !== 0) continue;
        try {
          rows.push(decode(page.bytes, node.dataOffset, node.dataOffset + node.dataLength));
        } catch (error) {
          if (!(error instanceof EseError)) throw error;
          faults.push(error.at({ pgno: page.pgno }));
        }
      }
      return true;
    },
    damaged: (error) => faults.push(error),
  });
  return { rows, faults };
}
