/**
 * Findings of the integrity check: stable codes, what each means for the user, and the order of the report
 * (format specification, chapter 7.5.3).
 */

import type { Finding } from '../report-values.js';

/** What each kind of damage means for whoever needs the data. The keys are the stable codes. */
const CONSEQUENCES = {
  HDR_PRIMARY_BAD: 'the shadow header is used; repair copies it over the damaged one',
  HDR_SHADOW_BAD: 'one more damaged header would make the database unreadable; repair rewrites the copy',
  HDR_BOTH_BAD: 'the database cannot be opened; repair can build a header only when told to',
  HDR_STATE: 'the file was left in the middle of being made or converted; its contents cannot be trusted',
  SIZE_NOT_MULTIPLE: 'the end of the file is lost or was never written',
  SIZE_SHORT: 'pages that the database owns are lost',
  SIZE_LONG: 'none: the engine extends the file ahead of use',
  PAGE_BAD_CHECKSUM: 'what the page holds cannot be trusted; repair salvages what it can prove',
  PAGE_NOT_INITIALIZED: 'what the page held is lost',
  PAGE_ECC_FIXED: 'none: the bit is corrected when the page is read; repair writes it back',
  PAGE_WRONG_PGNO: 'a write went to the wrong place: what belongs here is lost',
  PAGE_LOST_FLUSH: 'a write never reached the disk: the page is an old version',
  PAGE_IO_ERROR: 'the disk does not give the page back',
  PAGE_WRONG_OBJID: 'a write or a link went wrong: part of the tree is lost',
  PAGE_FLAGS: 'the page cannot be used as what it is meant to be; repair rebuilds the tree',
  PAGE_DBTIME: 'logs may be applied to the page wrongly; repair raises the time in the header',
  PAGE_TAGS: 'the nodes of the page cannot be told apart; repair salvages what it can prove',
  PAGE_CYCLE: 'reading the tree never ends or gives rows twice; repair rebuilds the tree',
  NODE_BOUNDS: 'the node cannot be read; repair drops it',
  NODE_ORDER: 'searches miss rows that are there; repair puts them in order',
  NODE_DUP: 'two nodes claim one key; repair keeps one of them',
  NODE_PREFIX: 'the key of the node cannot be read; repair drops it',
  TREE_LINKS: 'scans leave out or repeat pages; repair links them anew',
  TREE_DEPTH: 'searches end on the wrong level; repair rebuilds the tree',
  TREE_SEPARATOR: 'searches are led to the wrong page; repair rebuilds the tree',
  SPACE_OE_CONFLICT: 'two trees may write to one page; repair assigns its owner anew',
  SPACE_AE_CONFLICT: 'a page in use may be given away and overwritten; repair makes the free space anew',
  SPACE_EOF: 'pages that do not exist may be given away; repair makes the space trees anew',
  SPACE_SPLITBUF: 'a page in use may be overwritten when the space tree grows; repair empties the reserve',
  SPACE_HEADER: 'the space of the tree is unknown; repair makes it anew',
  SPACE_LEAK: 'none for the data: the pages stay unused until the database is defragmented',
  CAT_PRIMARY_BAD: 'tables may be missing; repair rebuilds the catalog from its shadow',
  CAT_SHADOW_BAD: 'one more damaged catalog would lose tables; repair rebuilds the shadow',
  CAT_DIFFERENT:
    'the engine may see an object in one place and not in the other; repair takes the better copy',
  CAT_ENTRY: 'the object cannot be used as the catalog describes it',
  CAT_DUP_OBJID: 'two objects cannot be told apart; repair keeps the one whose tree carries the number',
  CAT_DUP_FDP: 'two objects use one tree; repair keeps the one whose number the tree carries',
  REC_STRUCT: 'the row cannot be read; repair deletes it',
  REC_KEY: 'the row cannot be found by its key; repair rebuilds the table',
  REC_LID_MISSING: 'the value of the column is lost',
  LV_NO_ROOT: 'the long value cannot be read; repair makes a root where the chunks allow it',
  LV_HOLE: 'part of the long value is lost',
  LV_LENGTH: 'the long value cannot be read in full',
  LV_ORPHAN: 'none: defragmentation removes the long value',
  LV_REF_LOW: 'the long value may be deleted while it is still used; repair corrects the count',
  LV_REF_HIGH: 'the long value will never be deleted; defragmentation removes it',
  LV_DECOMPRESS: 'part of the long value cannot be read',
  IDX_MISSING: 'searches by the index miss the row; repair rebuilds the index',
  IDX_EXTRA: 'searches by the index find a row that is not there; repair rebuilds the index',
  IDX_DUP: 'two rows have a key that must be unique; rebuilding the index cannot mend that',
  IDX_UNVERIFIABLE: 'the index may be wrong without this check noticing',
} as const;

export type IntegrityCode = keyof typeof CONSEQUENCES;

export type Severity = 'error' | 'warning' | 'info';

/** One thing that the check found, with what it means. */
export interface IntegrityFinding extends Finding {
  readonly code: IntegrityCode;
  readonly severity: Severity;
  readonly consequence: string;
  /** Table that the damaged object belongs to. */
  readonly table?: string;
}

/** Where a finding is. */
export interface FindingPlace {
  readonly pgno?: number | undefined;
  readonly node?: number | undefined;
  readonly key?: Uint8Array | undefined;
}

/** Whom a finding is about; `rank` orders the objects in the report. */
export interface FindingSubject {
  readonly rank: number;
  readonly object?: string | undefined;
  readonly objid?: number | undefined;
  readonly table?: string | undefined;
}

/** A finding with its place in the report. */
export interface RankedFinding {
  readonly rank: number;
  /** Order of the work that found it; fractions lie between units. */
  readonly unit: number;
  readonly finding: IntegrityFinding;
  /** Long value that the finding is about, where a later step may know better. */
  readonly lid?: string;
}

/** Units of the work before and behind the numbered ones. */
const UNIT_FIRST = -1;
export const UNIT_LAST = 0x7fffffff;

/** Ranks in the report: the header comes first, then the trees by number, and the file size last. */
export const RANK_HEADER = -1;
export const RANK_SIZE = 0x7fffffff;

/** Numbers of errors and warnings by rank; unlike the list they are always complete. */
export type FindingCounts = Map<number, { errors: number; warnings: number }>;

export interface FindingList {
  readonly findings: RankedFinding[];
  readonly counts: FindingCounts;
  /** Order of the work that is being done. */
  unit: number;
  /** More were found than the list holds. */
  isTruncated: boolean;
  /** The disk has kept something back. */
  hasReadErrors: boolean;
  add(
    subject: FindingSubject,
    code: IntegrityCode,
    severity: Severity,
    message: string,
    place?: FindingPlace,
    lid?: string,
  ): void;
}

/** An empty list that keeps the first `limit` findings and counts all. */
export function createFindingList(limit: number): FindingList {
  const list: FindingList = {
    findings: [],
    counts: new Map(),
    unit: UNIT_FIRST,
    isTruncated: false,
    hasReadErrors: false,
    add(subject, code, severity, message, place = {}, lid) {
      countFinding(list.counts, subject.rank, severity, 1);
      if (list.findings.length >= limit) {
        list.isTruncated = true;
        return;
      }
      const finding: IntegrityFinding = {
        code,
        severity,
        message,
        ...(place.pgno === undefined ? {} : { pgno: place.pgno }),
        ...(place.node === undefined ? {} : { node: place.node }),
        ...(subject.objid === undefined ? {} : { objid: subject.objid }),
        ...(subject.object === undefined ? {} : { object: subject.object }),
        ...(subject.table === undefined ? {} : { table: subject.table }),
        ...(place.key === undefined ? {} : { keyRange: [hexOf(place.key), hexOf(place.key)] }),
        consequence: CONSEQUENCES[code],
      };
      list.findings.push({
        rank: subject.rank,
        unit: list.unit,
        finding,
        ...(lid === undefined ? {} : { lid }),
      });
    },
  };
  return list;
}

/** Adds `change` findings of a severity to the counts of a rank. */
export function countFinding(counts: FindingCounts, rank: number, severity: Severity, change: number): void {
  if (severity === 'info') return;
  let count = counts.get(rank);
  if (count === undefined) {
    count = { errors: 0, warnings: 0 };
    counts.set(rank, count);
  }
  if (severity === 'error') count.errors += change;
  else count.warnings += change;
}

/** Adds counts of another list. */
export function mergeCounts(into: FindingCounts, from: FindingCounts): void {
  for (const [rank, { errors, warnings }] of from) {
    countFinding(into, rank, 'error', errors);
    countFinding(into, rank, 'warning', warnings);
  }
}

/**
 * The order of the report, whoever did the work: by object; then what was found on pages, in the order of the
 * work; then what was found of long values, by their ids.
 */
export function compareRanked(a: RankedFinding, b: RankedFinding): number {
  return a.rank - b.rank || compareIds(a.lid, b.lid) || a.unit - b.unit;
}

/** Decimal ids by number, those that are missing first. */
function compareIds(a: string | undefined, b: string | undefined): number {
  if (a === b) return 0;
  if (a === undefined) return -1;
  if (b === undefined) return 1;
  return a.length - b.length || (a < b ? -1 : 1);
}

export function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
}
