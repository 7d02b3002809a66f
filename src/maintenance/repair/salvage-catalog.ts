/**
 * The catalog of a damaged database: from its better copy, or from what both have left (format specification,
 * chapter 7.2.4), and the tables that it has lost.
 */

import { EseError } from '../../format/ese-error.js';
import type { Steps } from '../defrag/copy-trees.js';
import type { CatalogRecord } from '../defrag/new-catalog.js';
import type { Finding } from '../report-values.js';
import type { SalvageSource } from './salvage-source.js';

/** A table of which the catalog has no rows any more. */
export interface DiscoveredTable {
  readonly objid: number;
  /** `Recovered_<objid>`, or its name in the database that gave the schema. */
  readonly name: string;
  /** Its root page; 0 if that is lost. */
  readonly pgnoFdp: number;
  readonly leafPages: number;
  /** Rows for the catalog. */
  readonly records: readonly CatalogRecord[];
  /**
   * The schema is unknown: the table has the columns `key` and `raw`, which take key and data of each node (see
   * {@link createRawRecords}). Otherwise its records are those of the schema.
   */
  readonly isRaw: boolean;
  /** Its long-value tree. */
  readonly longValueTree: { readonly objid: number; readonly pgnoFdp: number } | undefined;
}

export interface SalvagedCatalog {
  /** Rows in the order of their keys, those of discovered tables included. */
  readonly records: readonly CatalogRecord[];
  readonly from: 'primary' | 'shadow' | 'union';
  readonly findings: readonly Finding[];
  readonly discovered: readonly DiscoveredTable[];
}

export interface CatalogSalvageOptions {
  /** Rows of the catalog of a database with the schema of lost tables. */
  readonly schema?: readonly CatalogRecord[];
}

/** Reads the catalog. */
export function* salvageCatalog(
  _source: SalvageSource,
  _options: CatalogSalvageOptions = {},
): Steps<SalvagedCatalog> {
  yield;
  throw new EseError('JET_errInternalError', 'not yet');
}

/** Makes the records of a table whose schema is unknown: key and data of a node of the lost table as two columns. */
export function createRawRecords(
  _pageSize: number,
): (key: Uint8Array, keyLength: number, bytes: Uint8Array, start: number, end: number) => Uint8Array {
  throw new EseError('JET_errInternalError', 'not yet');
}
