/** What a repair is asked for, and what it says (format specification, chapters 7.2, 7.5.2 and 11.4.2). */

import type { Signature } from '../../format/signature.js';
import type { LockRole } from '../../io/file-system.js';
import type { JobOptions } from '../../workers/pool.js';
import type { PageCensus } from '../integrity/conclude.js';
import type { IntegrityResult } from '../integrity.js';
import type { Finding, RangeReport, SignatureReport } from '../report-values.js';

/** Parts of the work, each with a progress of its own. */
export type RepairPhase = 'check' | 'scan' | 'repair' | 'verify' | 'undo';

/** What becomes of a column whose long value is not whole (chapter 7.2.8). */
export type LongValuePolicy = 'null' | 'zero' | 'truncate' | 'drop-record';
/** What becomes of records that share a key of a unique index (chapter 7.2.9). */
export type UniquePolicy = 'demote' | 'drop-older' | 'fail';

/** Where a catalog comes from that is made anew: the other copy, or what both have left. */
export type CatalogOrigin = 'primary' | 'shadow' | 'union';

export interface RepairOptions extends JobOptions {
  /**
   * The repaired database takes the place of the old one. Default: it becomes a file of its own, and the old one stays
   * as it is (chapter 6.4, R11).
   */
  readonly inPlace?: boolean;
  /**
   * Where the repaired database goes, if it does not take the place of the old one; nothing may lie there. Default:
   * `db.repaired.edb` for `db.edb`, beside it.
   */
  readonly output?: string | undefined;
  /** Where the new database is made. Default: `TEMPREPAIR.EDB` beside the place that it goes to. */
  readonly temp?: string | undefined;
  /** With `inPlace`: keeps each page that is changed as it was; see `undoRepair`. Default: nothing is kept. */
  readonly undoFile?: string | undefined;
  /** Folder for damaged pages and lost records. Default: they are not kept. */
  readonly keepLost?: string | undefined;
  /**
   * Free pages are looked through for records that were deleted, when the database has to be made anew: they are
   * listed in this file, one a line, and are not part of the database. What lies there is replaced. Default: they are
   * not looked for.
   */
  readonly undeletedFile?: string | undefined;
  /** Makes a header from what the pages say, if both copies are damaged. */
  readonly forceHeader?: boolean;
  /** Default: `null`. */
  readonly longValues?: LongValuePolicy | undefined;
  /** Default: `demote`. */
  readonly unique?: UniquePolicy | undefined;
  /** A database that defines tables which the catalog of this one may have lost. */
  readonly schemaFrom?: string | undefined;
  /** Long values that no record refers to are kept. */
  readonly keepOrphans?: boolean;
  /** Leaves out records that no checksum speaks for. */
  readonly strict?: boolean;
  /** Leave out the look at the free space of the volume. */
  readonly skipSpaceCheck?: boolean;
  /** Findings to list; all are counted. */
  readonly findingsMax?: number | undefined;
  /** The page size that the database must have, in bytes. */
  readonly pageSize?: number | undefined;
  /** Whom locks name. Default: `eseutil`. */
  readonly role?: LockRole;
  /** Nothing is repaired: a database that needs it counts as declined. */
  readonly checksOnly?: boolean;
  /** Asked when it is known what is wrong, before anything is written; `false` ends the run. */
  readonly confirm?: ((check: IntegrityResult) => boolean) | undefined;
  /** Told when a part of the work begins; `onProgress` counts anew then. */
  readonly onPhase?: ((phase: RepairPhase) => void) | undefined;
  /** Told of each file that a killed repair has left and that was removed. */
  readonly onLeftover?: ((path: string) => void) | undefined;
  /** Told when a damaged catalog is made anew, and out of which copy. */
  readonly onCatalog?: ((from: CatalogOrigin) => void) | undefined;
}

export interface RepairedIndex {
  readonly name: string;
  /**
   * `ok` = it was not touched; `kept` = its entries were copied; `rebuilt` = computed from the records; `marked` =
   * Windows must make it anew; `deleted` = it is gone.
   */
  readonly action: 'kept' | 'ok' | 'rebuilt' | 'marked' | 'deleted';
  readonly entries: number;
}

export interface RepairedTable {
  readonly name: string;
  readonly objid: number;
  /** The catalog had lost it. */
  readonly recovered: boolean;
  readonly records: {
    readonly kept: number;
    readonly lost: { readonly known: number; readonly estimated: number };
    readonly unverified: number;
    readonly superseded: number;
    readonly dropped: number;
  };
  readonly longValues: {
    readonly kept: number;
    readonly nulled: number;
    readonly refCountFixed: number;
    readonly orphaned: number;
  };
  readonly indexes: readonly RepairedIndex[];
  /** Records on free pages whose keys the table has not, where they were looked for. */
  readonly undeleted?: number;
}

/** The JSON form of a repair, without the path of its report file. */
export interface RepairReport {
  readonly action: 'none' | 'repaired' | 'declined';
  readonly headerChanged: boolean;
  readonly pageSize: number;
  readonly bytes: number;
  readonly stateBefore: string;
  readonly stateAfter: string;
  readonly requiredLogs: RangeReport;
  readonly repairCount: number;
  readonly signDbBefore: SignatureReport;
  readonly signDbAfter: SignatureReport;
  /** Where the repaired database is; the old one where there was nothing to repair. */
  readonly output: string;
  readonly undoFile: string | null;
  readonly keptLost: string | null;
  readonly pages: PageCensus;
  readonly correctedPages: number;
  readonly tables: readonly RepairedTable[];
  readonly findings: readonly Finding[];
  readonly findingsTruncated?: true;
}

/** A record that shares a key of a unique index with another one (chapter 7.2.9). Bytes are in hexadecimal. */
export interface DuplicateRecord {
  readonly table: string;
  readonly objid: number;
  readonly index: string;
  readonly key: string;
  readonly primaryKey: string;
  readonly action: 'kept' | 'left out';
  readonly data: string;
}

/** What came of a repair. */
export interface RepairResult {
  readonly report: RepairReport;
  /** The check of the database as it was. */
  readonly check: IntegrityResult;
  /** Something that the database held is lost. */
  readonly lost: boolean;
  /** The signatures that the database got in their order; the last one stayed. */
  readonly signatures: readonly Signature[];
  /** The catalog that was used in the place of a damaged one. */
  readonly catalogFrom: CatalogOrigin | undefined;
  /** The records that share keys of unique indexes, up to some hundreds for each index. */
  readonly duplicates: readonly DuplicateRecord[];
}
