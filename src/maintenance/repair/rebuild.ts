import { dirname } from 'node:path';
import { type BuiltDatabase, DatabaseBuilder } from '../../engine/bulk/database-builder.js';
import { LeafScan } from '../../engine/bulk/leaf-scan.js';
import { CATALOG_DEFINITION, OBJIDS_TABLE_NAME } from '../../engine/catalog.js';
import { createFilePageSource } from '../../engine/page-source.js';
import type { TreeRoot } from '../../engine/tree-reader.js';
import {
  OBJID_CATALOG,
  OBJID_CATALOG_SHADOW,
  OBJID_DATABASE,
  PGNO_CATALOG,
  PGNO_CATALOG_SHADOW,
  PGNO_DATABASE,
} from '../../format/catalog-row.js';
import {
  DATABASE_STATE,
  DB_FLAG_SHADOWING_DISABLED,
  FILE_TYPE,
  writeHeaderFields,
} from '../../format/database-header.js';
import { encodeFiletime } from '../../format/date-time.js';
import { EseError } from '../../format/ese-error.js';
import { createRecordLayout } from '../../format/record.js';
import type { Signature } from '../../format/signature.js';
import { groupCatalogRows, type TableDefinition } from '../../format/table-definition.js';
import type { Environment } from '../../io/environment.js';
import { guardedFile } from '../../io/exclusive-file.js';
import type { FileHandle, FileLock } from '../../io/file-system.js';
import { createJsonLines } from '../../io/json-lines.js';
import { removeTemporaries, replaceFile } from '../../io/replace-file.js';
import { takeTurns } from '../../workers/turns.js';
import { READ_BYTES } from '../defrag/copy-database.js';
import { TableCopier } from '../defrag/copy-table.js';
import type { Steps, TreeCopy } from '../defrag/copy-trees.js';
import type { CatalogRecord } from '../defrag/new-catalog.js';
import { canListObjects, makeDatabase } from '../defrag/new-database.js';
import { bothCopies } from '../defrag/new-header.js';
import type { PageCensus } from '../integrity/conclude.js';
import type { IntegrityResult } from '../integrity.js';
import type { Finding } from '../report-values.js';
import { type CatalogEdits, editedRows, newCatalogEdits, stubColumns } from './catalog-edits.js';
import { type Diagnosis, isCatalogDamaged } from './diagnosis.js';
import { type DiscoveredTable, type Discovery, discoverTables } from './discovered-tables.js';
import { DoubleRecords, olderRecords } from './double-keys.js';
import { DuplicateList } from './duplicate-list.js';
import { type LostItems, openLostItems } from './lost-items.js';
import { classOf, PAGE_CLASS, type PageScan, scanPages } from './page-scan.js';
import type { TargetReader } from './rebuild-context.js';
import { isLocalesTable, makeLocales } from './rebuild-locales.js';
import { type RebuiltTable, rebuildTable, type TableDamage } from './rebuild-table.js';
import type { RepairedTable, RepairOptions, RepairResult } from './repair-report.js';
import { type RepairedIdentity, repairedHeader } from './repaired-header.js';
import { salvageCatalog } from './salvage-catalog.js';
import { noteSpace, openSalvage, type SalvageSource, takeCensus } from './salvage-source.js';
import { openRepairSource, type RepairSource } from './source-view.js';
import { listUndeleted } from './undeleted.js';

/** Making a damaged database anew, in a file of its own (format specification, chapter 7.2.2). */
export interface RebuildJob {
  readonly environment: Environment;
  readonly source: RepairSource;
  readonly check: IntegrityResult;
  readonly scan: PageScan;
  readonly diagnosis: Diagnosis;
  readonly temp: string;
  /** The lock of `temp`. */
  readonly tempLock: FileLock;
  readonly identity: RepairedIdentity & { readonly signDbHdrFlush: Signature };
  readonly options: RepairOptions;
  /** What was wrong. */
  readonly findings: readonly Finding[];
}

export interface Rebuilt {
  /** Both header copies of the database in its place. */
  readonly installedHeader: Uint8Array;
  readonly pages: PageCensus;
  readonly tables: readonly RepairedTable[];
  readonly findings: readonly Finding[];
  readonly keptLost: string | null;
  readonly lost: boolean;
  readonly catalogFrom: RepairResult['catalogFrom'];
  readonly duplicates: RepairResult['duplicates'];
}

const FINDINGS_MAX = 100_000;
/** Lowest format update whose roots can keep an auto-increment maximum (chapter 1.9). */
const UPDATE_MAJOR_EXTENDED_HEADER = 30;

/**
 * Makes the database anew at `temp`, durably but for its place.
 *
 * @throws EseError JET_errDiskFull, JET_errDatabaseCorruptedNoRepair, and whatever the new database cannot be made
 *   of; nothing stays at `temp` then
 */
export async function rebuildDatabase(job: RebuildJob): Promise<Rebuilt> {
  const { environment, source, temp, options, scan } = job;
  const { fs } = environment;
  if (options.skipSpaceCheck !== true) checkSpace(job);
  const salvage = openSalvage(source.fs, source.path, scan);
  const lost =
    options.keepLost === undefined
      ? undefined
      : openLostItems(fs, options.keepLost, salvage.file, source.pageSize);
  try {
    const schema = await readSchema(job);
    const catalog = await drain(readCatalog(job, salvage, schema), job, 0);
    if (catalog.from !== undefined) options.onCatalog?.(catalog.from);
    options.onPhase?.('repair');
    const damaged = new Map(catalog.damaged);
    const excluded = new Map<number, Set<string>>();
    const duplicates = new DuplicateList();
    for (;;) {
      removeTemporaries(fs, temp);
      replaceFile(environment, temp, bothCopies(unfinishedHeader(job)));
      fs.adoptAccess(temp, source.path);
      const target = guardedFile(fs.open(temp, 'write'), job.tempLock);
      try {
        const outcome = await drain(
          new Rebuild(job, salvage, catalog, { damaged, excluded, duplicates }, target, lost).run(),
          job,
          leafPages(scan),
        );
        const rebuilt = await finish(job, salvage, catalog, outcome, target, lost);
        return { ...rebuilt, duplicates: duplicates.list() };
      } catch (error) {
        if (error instanceof DoubleRecords) {
          const { objid } = error.table;
          const older = await drain(olderRecords(salvage, error), job, 0);
          duplicates.leaveOut(objid, older);
          excluded.set(objid, new Set([...(excluded.get(objid) ?? []), ...older]));
          damaged.set(objid, new Set());
          continue;
        }
        // A table that the check found sound, and that cannot be read all the same.
        if (!(error instanceof UnsoundTable) || damaged.has(error.objid)) throw error;
        damaged.set(error.objid, new Set());
      } finally {
        target.close();
      }
    }
  } catch (error) {
    if (fs.exists(temp)) fs.unlink(temp);
    throw error instanceof UnsoundTable ? error.cause : error;
  } finally {
    lost?.close();
    salvage.close();
  }
}

/** Looks at the free space: the old database, what may be left of it, and the undo file are there for a while. */
function checkSpace({ environment, source, check, temp, options }: RebuildJob): void {
  const { total, blank, empty, available } = check.report.pages;
  const { wholeBytes, pageSize } = source;
  const isKnown = check.report.complete && total > 0;
  const made = isKnown ? (total - blank - empty - available) * pageSize : wholeBytes;
  const needed = made + (options.undoFile === undefined ? 0 : wholeBytes);
  const free = environment.fs.freeBytes(temp);
  if (free >= needed) return;
  throw new EseError('JET_errDiskFull', `the volume has ${free} bytes free; ${needed} are needed`, {
    file: temp,
  });
}

function unfinishedHeader({ source, identity }: RebuildJob): Uint8Array {
  const bytes = source.headerBytes.slice();
  writeHeaderFields(bytes, {
    ...repairedHeader(source.header, identity),
    state: DATABASE_STATE.justCreated,
    fileType: FILE_TYPE.temporaryDatabase,
  });
  return bytes;
}

function leafPages(scan: PageScan): number {
  let leaves = 0;
  for (let pgno = 1; pgno <= scan.lastPgno; pgno++) if (classOf(scan, pgno) === PAGE_CLASS.leaf) leaves++;
  return leaves;
}

async function drain<T>(steps: Steps<T>, { options }: RebuildJob, total: number): Promise<T> {
  const turns = takeTurns(options.signal);
  for (let done = 0; ; done++) {
    const step = steps.next();
    if (step.done === true) return step.value;
    if (!turns.isOver()) continue;
    if (total > 0) options.onProgress?.(Math.min(done, total), total);
    await turns.next();
  }
}

interface UsedCatalog {
  readonly records: readonly CatalogRecord[];
  readonly findings: readonly Finding[];
  /** Rows of both copies may be missing. */
  readonly isIncomplete: boolean;
  readonly discovered: ReadonlyMap<number, DiscoveredTable>;
  readonly tables: readonly TableDefinition[];
  /** Where the catalog came from, if it was not whole. */
  readonly from: RepairResult['catalogFrom'];
  readonly damaged: ReadonlyMap<number, ReadonlySet<number>>;
}

/** The catalog of the database that the user names for lost definitions. */
async function readSchema(job: RebuildJob): Promise<readonly CatalogRecord[]> {
  const { schemaFrom } = job.options;
  if (schemaFrom === undefined) return [];
  const { fs, path, pageSize } = openRepairSource(job.environment.fs, schemaFrom, false);
  const salvage = openSalvage(fs, path, await scanPages(fs, path, pageSize, { signal: job.options.signal }));
  try {
    return (await drain(salvageCatalog(salvage), job, 0)).records;
  } finally {
    salvage.close();
  }
}

function* readCatalog(
  { check, diagnosis }: RebuildJob,
  salvage: SalvageSource,
  schema: readonly CatalogRecord[],
): Steps<UsedCatalog> {
  noteSpace(salvage, [
    { pgnoFdp: PGNO_DATABASE, objid: OBJID_DATABASE },
    { pgnoFdp: PGNO_CATALOG, objid: OBJID_CATALOG },
    { pgnoFdp: PGNO_CATALOG_SHADOW, objid: OBJID_CATALOG_SHADOW },
  ]);
  const { records, findings, isIncomplete, from } = yield* salvageCatalog(salvage);
  const { tables } = groupCatalogRows(records.map(({ row }) => row));
  noteSpace(salvage, tables.flatMap(treesOf));
  if (!isCatalogDamaged(check)) {
    const { damaged } = diagnosis;
    const isShadowBad = check.report.findings.some(({ code }) => code === 'CAT_SHADOW_BAD');
    const origin = isShadowBad ? 'primary' : undefined;
    return { records, findings, isIncomplete, discovered: new Map(), tables, from: origin, damaged };
  }
  const discovery: Discovery = isIncomplete ? discoverTables(salvage, records, schema) : NOTHING_DISCOVERED;
  const all = [...records, ...discovery.tables.flatMap((table) => table.records), ...discovery.longValueRows];
  // The list of all trees is made anew by whoever attaches the database, if it cannot be made here.
  const allTables = groupCatalogRows(all.map(({ row }) => row)).tables.filter(
    (table) => table.name !== OBJIDS_TABLE_NAME || canListObjects(table),
  );
  // What the check said was said of the tables of another catalog.
  const damaged = new Map(allTables.map(({ objid }) => [objid, new Set<number>()]));
  return {
    records: all,
    findings: [...findings, ...discovery.tables.map(discoveredFinding)],
    isIncomplete,
    discovered: new Map(discovery.tables.map((table) => [table.objid, table])),
    tables: allTables,
    from,
    damaged,
  };
}

const NOTHING_DISCOVERED: Discovery = { tables: [], longValueRows: [] };

function discoveredFinding({ objid, name, pgnoFdp, leafPages, isRaw }: DiscoveredTable): Finding {
  const what = isRaw
    ? 'its columns are unknown: key and bytes of each record are kept'
    : 'its definition was given';
  return {
    code: 'CAT_ENTRY',
    severity: 'error',
    message: `the catalog has lost a table of ${leafPages} leaves; ${what}`,
    ...(pgnoFdp === 0 ? {} : { pgno: pgnoFdp }),
    objid,
    object: name,
    action: 'recovered',
  };
}

function treesOf({ pgnoFdp, objid, longValueTree, indexes }: TableDefinition): TreeRoot[] {
  const secondaries = indexes.filter(({ primary }) => !primary);
  return [{ pgnoFdp, objid }, ...(longValueTree === undefined ? [] : [longValueTree]), ...secondaries];
}

/** Reading a table that was said to be sound has failed. */
class UnsoundTable extends Error {
  readonly objid: number;

  constructor(objid: number, cause: EseError) {
    super(cause.message, { cause });
    this.objid = objid;
  }
}

interface RebuildOutcome {
  readonly built: BuiltDatabase;
  readonly tables: readonly RebuiltTable[];
  readonly edits: CatalogEdits;
}

/** What attempts so far have shown. */
interface KnownDamage {
  readonly damaged: ReadonlyMap<number, ReadonlySet<number>>;
  readonly excluded: ReadonlyMap<number, ReadonlySet<string>>;
  readonly duplicates: DuplicateList;
}

/** One attempt. */
class Rebuild {
  readonly #job: RebuildJob;
  readonly #salvage: SalvageSource;
  readonly #catalog: UsedCatalog;
  readonly #known: KnownDamage;
  readonly #target: FileHandle;
  readonly #lost: LostItems | undefined;

  constructor(
    job: RebuildJob,
    salvage: SalvageSource,
    catalog: UsedCatalog,
    known: KnownDamage,
    target: FileHandle,
    lost: LostItems | undefined,
  ) {
    this.#job = job;
    this.#salvage = salvage;
    this.#catalog = catalog;
    this.#known = known;
    this.#target = target;
    this.#lost = lost;
  }

  *run(): Steps<RebuildOutcome> {
    const { environment, source, options, temp } = this.#job;
    const { pageSize, header } = source;
    const isShadowed = (header.dbFlags & DB_FLAG_SHADOWING_DISABLED) === 0;
    const builder = new DatabaseBuilder(this.#target, { pageSize, isShadowed, readBytes: READ_BYTES });
    const copy = this.#copyFrom(builder, this.#salvage.file, this.#salvage.pages);
    const edits = newCatalogEdits();
    const newObjid = (old: number): number => old;
    const context = {
      fs: environment.fs,
      salvage: this.#salvage,
      builder,
      copy,
      openTarget: (): TargetReader => {
        const target = createFilePageSource(this.#target, pageSize);
        return { copy: this.#copyFrom(builder, this.#target, target), source: target };
      },
      copier: new TableCopier(this.#salvage.pages, builder, copy, {
        keepsIds: true,
        keepsZeroed: true,
        newObjid,
      }),
      temp,
      options,
      findingsMax: FINDINGS_MAX,
      lost: this.#lost,
      pageCodes: pageCodesOf(this.#job.check),
      misfiledTables: misfiledTablesOf(this.#job.check),
      keepsAutoIncrement: header.updateMajor >= UPDATE_MAJOR_EXTENDED_HEADER,
      excluded: this.#known.excluded,
      duplicates: this.#known.duplicates,
      edits,
    };
    const { tables, records, discovered } = this.#catalog;
    const done: RebuiltTable[] = [];
    const catalogTable = tables.find(({ objid }) => objid === OBJID_CATALOG) ?? CATALOG_DEFINITION;
    const layout = createRecordLayout(catalogTable.columns, pageSize);
    const { damaged } = this.#known;
    const built = yield* makeDatabase(builder, {
      tables,
      rows: () => editedRows(records, edits, layout, pageSize),
      placedAt: encodeFiletime(environment.clock.now()),
      newObjid,
      *makeTable(table) {
        const damage = damaged.get(table.objid);
        const steps =
          damage !== undefined && isLocalesTable(table)
            ? makeLocales(context, table, tables)
            : rebuildTable(context, table, damage, discovered.get(table.objid));
        const rebuilt = yield* soundly(table, damage, steps);
        edits.stubs.push(...stubColumns(table, rebuilt.unknown));
        done.push(rebuilt);
        return rebuilt.made;
      },
    });
    const { undeletedFile } = options;
    if (undeletedFile === undefined) return { built, tables: done, edits };
    const found = yield* this.#listUndeleted(undeletedFile, done, context.openTarget());
    return { built, tables: found, edits };
  }

  /** Looks for what was deleted, now that it is known what is there. */
  *#listUndeleted(
    path: string,
    made: readonly RebuiltTable[],
    target: TargetReader,
  ): Steps<readonly RebuiltTable[]> {
    const { environment, temp, source } = this.#job;
    const { fs } = environment;
    const definitions = new Map(this.#catalog.tables.map((table) => [table.objid, table]));
    const lines = createJsonLines(fs, path, source.path);
    const done: RebuiltTable[] = [];
    try {
      for (const one of made) {
        const table = definitions.get(one.made.objid);
        const search = { fs, salvage: this.#salvage, temp, target, lines };
        const undeleted = table === undefined ? 0 : yield* listUndeleted(search, table, one.made.pgnoFdp);
        done.push({ ...one, report: { ...one.report, undeleted } });
      }
    } finally {
      lines.close();
    }
    fs.syncDirectory(dirname(path));
    return done;
  }

  #copyFrom(
    { writer }: DatabaseBuilder,
    file: FileHandle,
    pages: ConstructorParameters<typeof LeafScan>[1],
  ): TreeCopy {
    const { kernel, readOffset, readBytes, bulk } = writer;
    return { scan: new LeafScan(file, pages, kernel, readOffset, readBytes, undefined, bulk), writer };
  }
}

/** Makes a table; a failure of one that was to be copied says so. */
function* soundly<T>({ objid }: TableDefinition, damage: TableDamage, steps: Steps<T>): Steps<T> {
  try {
    return yield* steps;
  } catch (error) {
    if (error instanceof EseError && (damage === undefined || damage.size > 0) && isDamageError(error)) {
      throw new UnsoundTable(objid, error);
    }
    throw error;
  }
}

const NOT_DAMAGE: readonly string[] = [
  'JET_errDiskFull',
  'JET_errDiskIO',
  'JET_errFileAccessDenied',
  'JET_errKeyDuplicate',
];

function isDamageError({ name }: EseError): boolean {
  return !NOT_DAMAGE.includes(name);
}

/** Tables of which the check says that records have wrong keys, or may say so where not all is listed. */
function misfiledTablesOf({ report }: IntegrityResult): Set<number> {
  const { findings, findingsTruncated, tables } = report;
  if (findingsTruncated === true) return new Set(tables.map(({ objid }) => objid));
  return new Set(
    findings.flatMap(({ code, objid }) => (code === 'REC_KEY' && objid !== undefined ? [objid] : [])),
  );
}

/** What the check says is wrong with a page, by its number. */
function pageCodesOf({ report }: IntegrityResult): Map<number, string> {
  const codes = new Map<number, string>();
  for (const { pgno, code, severity } of report.findings) {
    if (pgno !== undefined && severity === 'error' && !codes.has(pgno)) codes.set(pgno, code);
  }
  return codes;
}

async function finish(
  job: RebuildJob,
  salvage: SalvageSource,
  used: UsedCatalog,
  { built, tables }: RebuildOutcome,
  target: FileHandle,
  lost: LostItems | undefined,
): Promise<Omit<Rebuilt, 'duplicates'>> {
  const { source, identity, check, findings, scan, options } = job;
  const isLossy = used.isIncomplete || tables.some((table) => table.isLossy);
  refuseDirectoryService(used.tables, isLossy);
  const bytes = source.headerBytes.slice();
  writeHeaderFields(bytes, {
    ...repairedHeader(source.header, identity),
    signDbHdrFlush: identity.signDbHdrFlush,
    dbtimeDirtied: Math.max(built.dbtime, identity.dbtimeSeen + 1),
    objidLast: used.tables
      .flatMap(treesOf)
      .reduce((most, { objid }) => Math.max(most, objid), identity.objidSeen + 1),
    fileType: FILE_TYPE.temporaryDatabase,
  });
  target.writeAt(bothCopies(bytes), 0);
  target.sync();
  job.environment.fs.syncDirectory(dirname(target.path));
  writeHeaderFields(bytes, { fileType: source.header.fileType });
  const saved = new Map<number, string>();
  for (let pgno = 1; lost !== undefined && pgno <= scan.lastPgno; pgno++) {
    const one = classOf(scan, pgno);
    if (DAMAGED_CLASSES.includes(one)) saved.set(pgno, lost.page(pgno));
  }
  const withSaved = (finding: Finding): Finding => {
    const path = finding.pgno === undefined ? undefined : saved.get(finding.pgno);
    return path === undefined ? finding : { ...finding, saved: path };
  };
  return {
    installedHeader: bothCopies(bytes),
    pages: check.report.complete && check.report.pages.total > 0 ? check.report.pages : takeCensus(salvage),
    tables: tables.map(({ report }) => report),
    findings: [...findings.map(asMended), ...used.findings, ...tables.flatMap((table) => table.findings)].map(
      withSaved,
    ),
    keptLost: options.keepLost ?? null,
    lost: isLossy,
    catalogFrom: used.from,
  };
}

/** What was wrong, and is not any more. */
function asMended(finding: Finding): Finding {
  const isToSay = finding.severity === 'error' && finding.action === undefined;
  return isToSay ? { ...finding, action: 'rebuilt' } : finding;
}

const DAMAGED_CLASSES: readonly number[] = [PAGE_CLASS.bad, PAGE_CLASS.misplaced, PAGE_CLASS.unsound];

/** Tables by which the database of a directory service is known (chapter 6.2.9). */
const DIRECTORY_SERVICE: readonly string[] = ['DATATABLE', 'HIDDENTABLE', 'LINK_TABLE', 'SDPROPTABLE'];

/** @throws EseError JET_errDatabaseCorruptedNoRepair for the database of a directory service that would lose something */
function refuseDirectoryService(tables: readonly TableDefinition[], isLossy: boolean): void {
  const names = new Set(tables.map(({ name }) => name.toUpperCase()));
  if (!isLossy || !DIRECTORY_SERVICE.every((name) => names.has(name))) return;
  throw new EseError(
    'JET_errDatabaseCorruptedNoRepair',
    'a directory service must not lose single records: restore this database from a backup',
  );
}
