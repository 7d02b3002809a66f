/** What becomes known of a table while it is made anew: figures, findings, and whether something is lost. */

import type { LongValueTreeDefinition, TableDefinition } from '../../format/table-definition.js';
import { hexOf } from '../integrity/finding.js';
import type { Finding } from '../report-values.js';
import { KEPT_UNVERIFIED, type LongValueLedger } from './long-value-ledger.js';
import type { TableRebuild } from './rebuild-context.js';
import type { RepairedIndex, RepairedTable } from './repair-report.js';
import type { DroppedNode, SalvageCounts, SalvagedNode } from './salvage-node.js';

/** Figures of a table in the making. */
export interface Figures {
  kept: number;
  known: number;
  estimated: number;
  unverified: number;
  superseded: number;
  dropped: number;
  longValues: number;
  nulled: number;
  refCountFixed: number;
  orphaned: number;
}

export class TableLosses {
  readonly #context: TableRebuild;
  readonly #table: TableDefinition;
  /** Records that no checksum speaks for, by page. */
  readonly #doubtful = new Map<number, { count: number; readonly first: Uint8Array; last: Uint8Array }>();
  readonly findings: Finding[] = [];
  readonly figures: Figures = {
    kept: 0,
    known: 0,
    estimated: 0,
    unverified: 0,
    superseded: 0,
    dropped: 0,
    longValues: 0,
    nulled: 0,
    refCountFixed: 0,
    orphaned: 0,
  };
  isLossy = false;

  constructor(context: TableRebuild, table: TableDefinition) {
    this.#context = context;
    this.#table = table;
  }

  /** A record is left out, for a reason of ours. */
  dropRecord(
    { pgno, line, key, keyLength, bytes, dataOffset, dataLength }: SalvagedNode,
    reason: string,
  ): void {
    this.#noteDropped({
      pgno,
      line,
      key: key.slice(0, keyLength),
      data: bytes.slice(dataOffset, dataOffset + dataLength),
      reason,
      why: 'strict',
    });
  }

  /** Whom a finding is about. */
  subject(objid: number): Pick<Finding, 'objid' | 'object'> {
    return { objid, object: this.#table.name };
  }

  /** Adds a finding, up to the most that are listed. */
  find(finding: Finding): void {
    if (this.findings.length < this.#context.findingsMax) this.findings.push(finding);
  }

  /** What came of salvaging the records. */
  noteRecords(counts: SalvageCounts): void {
    const { objid } = this.#table;
    for (const [pgno, { count, first, last }] of this.#doubtful) {
      this.find({
        code: 'PAGE_BAD_CHECKSUM',
        severity: 'warning',
        message: `${count} records of the page are whole, though no checksum speaks for them`,
        pgno,
        ...this.subject(objid),
        keyRange: [hexOf(first), hexOf(last)],
        action: KEPT_UNVERIFIED,
      });
    }
    for (const { pgno, line, key } of counts.refiled) {
      this.find({
        code: 'REC_KEY',
        severity: 'error',
        message: 'the key of the node was not that of its record',
        pgno,
        node: line,
        ...this.subject(objid),
        keyRange: [hexOf(key), hexOf(key)],
        action: 'filed under the key of the record',
      });
    }
    for (const dropped of counts.dropped) this.#noteDropped(dropped);
    for (const range of counts.lost) {
      this.isLossy = true;
      this.figures.estimated += range.estimate;
      this.find({
        code: this.#context.pageCodes.get(range.pgno) ?? 'PAGE_BAD_CHECKSUM',
        severity: 'error',
        message: `${range.reason}: about ${range.estimate} records of this range are lost`,
        ...(range.pgno === 0 ? {} : { pgno: range.pgno }),
        ...this.subject(objid),
        keyRange: [
          range.lower === undefined ? null : hexOf(range.lower),
          range.upper === undefined ? null : hexOf(range.upper),
        ],
        action: 'lost',
      });
    }
  }

  /** A record was kept that no checksum speaks for. */
  noteUnverified({ pgno, key, keyLength }: SalvagedNode): void {
    this.figures.unverified++;
    const known = this.#doubtful.get(pgno);
    const own = key.slice(0, keyLength);
    if (known === undefined) this.#doubtful.set(pgno, { count: 1, first: own, last: own });
    else {
      known.count++;
      known.last = own;
    }
  }

  #noteDropped(dropped: DroppedNode): void {
    const { name, objid } = this.#table;
    const { pgno, line, key, data, reason, why } = dropped;
    if (why === 'duplicate') {
      this.figures.dropped++;
    } else {
      if (why === 'strict') this.figures.dropped++;
      else this.figures.known++;
      this.isLossy = true;
    }
    this.#context.lost?.record({ table: name, objid, pgno, line, reason, key, data });
    this.find({
      code:
        why === 'duplicate' ? 'NODE_DUP' : why === 'node' || why === 'bounds' ? 'NODE_BOUNDS' : 'REC_STRUCT',
      severity: 'error',
      message: reason,
      pgno,
      node: line,
      ...this.subject(objid),
      ...(key.length === 0 ? {} : { keyRange: [hexOf(key), hexOf(key)] as const }),
      action: why === 'duplicate' ? 'left out: another record has the key' : 'left out',
    });
  }

  /** What came of salvaging the long values. */
  noteLongValues({ objid }: LongValueTreeDefinition, ledger: LongValueLedger, counts: SalvageCounts): void {
    const object = `${this.#table.name}/<Long Values>`;
    for (const { code, lid, message, action } of ledger.damage) {
      if (action === 'filled with zeros' || action === 'truncated') this.isLossy = true;
      this.find({
        code,
        severity: 'error',
        message: `long value ${lid}: ${message}`,
        objid,
        object,
        action,
      });
    }
    for (const { reason, pgno, estimate } of counts.lost) {
      this.find({
        code: 'LV_HOLE',
        severity: 'error',
        message: `${reason}: about ${estimate} nodes of long values are lost`,
        ...(pgno === 0 ? {} : { pgno }),
        objid,
        object,
        action: 'lost',
      });
    }
  }

  /** @param isRecovered the catalog had lost the table */
  report(indexes: readonly RepairedIndex[], isRecovered: boolean): RepairedTable {
    const { name, objid } = this.#table;
    const { kept, known, estimated, unverified, superseded, dropped, longValues, ...values } = this.figures;
    return {
      name,
      objid,
      recovered: isRecovered,
      records: { kept, lost: { known, estimated }, unverified, superseded, dropped },
      longValues: {
        kept: longValues,
        nulled: values.nulled,
        refCountFixed: values.refCountFixed,
        orphaned: values.orphaned,
      },
      indexes,
    };
  }
}
