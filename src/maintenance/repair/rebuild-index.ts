import { EntrySort } from '../../engine/bulk/entry-sort.js';
import { INDEX_FLAG } from '../../format/catalog-row.js';
import { EseError } from '../../format/ese-error.js';
import { createKeyBuilder, type KeyBuilder } from '../../format/key.js';
import { createRecordValues, locateColumns, type RecordLayout } from '../../format/record.js';
import type { IndexDefinition } from '../../format/table-definition.js';
import { liveNodes, type Steps } from '../defrag/copy-trees.js';
import { planComparison } from '../integrity/index-compare.js';
import { markAsSortKey } from '../integrity/key-mask.js';
import type { Finding } from '../report-values.js';
import { settleDoubles } from './double-keys.js';
import { type IndexJob, indexFinding, longValuesOf, writeIndex } from './index-job.js';
import { type KeptIndexPlan, keepIndex } from './kept-index.js';
import { sortFilePath } from './places.js';
import type { TableRebuild, TargetReader } from './rebuild-context.js';
import type { RepairedIndex } from './repair-report.js';

export interface IndexOutcome {
  readonly indexes: readonly RepairedIndex[];
  readonly findings: readonly Finding[];
  readonly isLossy: boolean;
}

/** Memory for the entries of all indexes of a table, in bytes. */
const SORT_BYTES = 48 * 1024 * 1024;

/** How an index comes about. */
type Plan =
  | { readonly kind: 'compute'; readonly builder: KeyBuilder; readonly completes?: boolean }
  | { readonly kind: 'keep'; readonly how: KeptIndexPlan }
  | { readonly kind: 'delete'; readonly reason: string };

export function* rebuildIndexes(context: TableRebuild, job: IndexJob): Steps<IndexOutcome> {
  const indexes: RepairedIndex[] = [];
  const findings: Finding[] = [];
  let isLossy = false;
  const target = context.openTarget();
  const computed: { index: IndexDefinition; builder: KeyBuilder }[] = [];
  for (const index of job.indexes) {
    const plan = planIndex(job, index);
    if (plan.kind === 'compute') {
      computed.push({ index, builder: plan.builder });
      if (plan.completes === true) context.edits.completed.add(index.objid);
    } else if (plan.kind === 'keep') {
      const kept = yield* keepIndex(context, job, target, index, plan.how);
      indexes.push(kept.index);
      findings.push(...kept.findings);
      isLossy ||= kept.index.action === 'marked';
    } else {
      context.edits.deleted.add(index.objid);
      indexes.push({ name: index.name, action: 'deleted', entries: 0 });
      findings.push(indexFinding(job, index, 'IDX_UNVERIFIABLE', plan.reason, 'deleted'));
      isLossy = true;
    }
  }
  if (computed.length > 0) {
    const outcome = yield* computeIndexes(context, job, target, computed);
    indexes.push(...outcome.indexes);
    findings.push(...outcome.findings);
  }
  return { indexes, findings, isLossy };
}

/**
 * How to compute the keys of an index that has the entries of some records only, and grows while the database is used;
 * undefined for any other one, and where they cannot be computed.
 */
export function completingBuilder(layout: RecordLayout, index: IndexDefinition): KeyBuilder | undefined {
  const { deferredPopulate } = INDEX_FLAG;
  if ((index.flags & deferredPopulate) === 0) return undefined;
  try {
    const comparison = planComparison(layout, { ...index, flags: index.flags & ~deferredPopulate });
    return comparison.kind === 'exact' ? comparison.builder : undefined;
  } catch (error) {
    if (!(error instanceof EseError)) throw error;
    return undefined;
  }
}

function planIndex({ layout, isDamaged }: IndexJob, index: IndexDefinition): Plan {
  try {
    const completing = completingBuilder(layout, index);
    if (completing !== undefined) return { kind: 'compute', builder: completing, completes: true };
    const comparison = planComparison(layout, index);
    if (comparison.kind === 'exact') return { kind: 'compute', builder: comparison.builder };
    if (comparison.kind === 'masked') return { kind: 'keep', how: { masker: comparison.masker } };
    if (comparison.kind === 'bookmarks') return { kind: 'keep', how: { counter: comparison.builder } };
    const builder = createKeyBuilder(layout, index, markAsSortKey);
    if (builder.needsSortKeys || !isDamaged(index.objid)) return { kind: 'keep', how: {} };
    return { kind: 'delete', reason: `it cannot be computed here: ${comparison.reason}` };
  } catch (error) {
    if (!(error instanceof EseError)) throw error;
    return { kind: 'delete', reason: error.detail };
  }
}

function* computeIndexes(
  context: TableRebuild,
  job: IndexJob,
  target: TargetReader,
  computed: readonly { index: IndexDefinition; builder: KeyBuilder }[],
): Steps<{ indexes: RepairedIndex[]; findings: Finding[] }> {
  const { layout, region, table } = job;
  const values = createRecordValues(layout);
  const readLongValue = longValuesOf(job, target);
  const memory = Math.floor(SORT_BYTES / computed.length);
  const sorts = computed.map((_, i) => new EntrySort(context.fs, sortFilePath(context.temp, i), memory));
  const indexes: RepairedIndex[] = [];
  const findings: Finding[] = [];
  const bookmark = new Uint8Array(context.salvage.pageSize);
  let bookmarkLength = 0;
  const makers = computed.map(({ index, builder }, i) => {
    const sort = sorts[i] as EntrySort;
    return {
      index,
      builder,
      sort,
      unbuilt: 0,
      emit: (key: Uint8Array, keyLength: number): void =>
        sort.add(key, keyLength, bookmark, 0, bookmarkLength),
    };
  });
  try {
    yield* liveNodes(target.copy.scan, { pgnoFdp: region.pgnoRoot, objid: table.objid }, (page, node) => {
      bookmarkLength = page.copyKey(node, bookmark);
      locateColumns(layout, page.bytes, node.dataOffset, node.dataOffset + node.dataLength, values);
      for (const maker of makers) {
        try {
          maker.builder.build(values, readLongValue, maker.emit);
        } catch (error) {
          if (!(error instanceof EseError)) throw error;
          maker.unbuilt++;
        }
      }
    });
    for (const { index, sort, unbuilt } of makers) {
      if (unbuilt > 0) {
        const message = `the keys of ${unbuilt} records cannot be computed`;
        findings.push(indexFinding(job, index, 'IDX_MISSING', message, 'left out of the index'));
      }
      const settled = yield* settleDoubles(context, job, target, index, sort);
      findings.push(...settled.findings);
      const entries = yield* writeIndex(context, job, index, sort, settled.isUnique);
      indexes.push({ name: index.name, action: 'rebuilt', entries });
    }
  } finally {
    for (const sort of sorts) sort.close();
  }
  return { indexes, findings };
}
