/** What the nodes of each tree are, and who hears of them: rows, index entries, long values. */

import { createLongValueReader } from '../../engine/long-value-reader.js';
import { createFilePageSource } from '../../engine/page-source.js';
import { EseError } from '../../format/ese-error.js';
import type { KeyBuilder } from '../../format/key.js';
import { formatLid, longValueChunkSize } from '../../format/long-value.js';
import { createRecordLayout, type RecordLayout } from '../../format/record.js';
import type { IndexDefinition, TableDefinition } from '../../format/table-definition.js';
import type { ReadLongValue } from '../../format/value-reader.js';
import type { FileHandle } from '../../io/file-system.js';
import type { FindingList } from './finding.js';
import { type IndexComparison, planComparison } from './index-compare.js';
import { copyBytes, createKeyBuffer } from './key-buffer.js';
import type { LeafContent } from './leaf-check.js';
import { COUNTED, type LeafKernel, type LeafProgram, LISTED, type ProgramKey } from './leaf-kernel.js';
import { createLongValueChecker, type LongValueChecker } from './long-value-check.js';
import { type CheckedTree, type IntegrityPlan, treesByTable } from './plan.js';
import { createRecordChecker } from './record-check.js';
import type { Bookmark, ComparedIndex, Tally } from './tally.js';

/** The content of the trees of a database, as one thread reads it. */
export interface TreeContents {
  /** Who hears of the nodes of a tree. */
  contentOf(position: number): LeafContent;
  /** What the leaf kernel is to do with the nodes of a tree. */
  programOf(position: number): LeafProgram;
  /** Counts nodes of a tree that nobody heard of. */
  count(position: number, nodes: number): void;
  /** The checker of a long-value tree, which must be told where a unit of its leaves ends. */
  longValuesOf(position: number): LongValueChecker | undefined;
  /** Trees of which nodes could not be read. */
  readonly damagedTrees: Set<number>;
  /** Index trees of which the key of some row could not be computed. */
  readonly uncomputable: Set<number>;
  /** Live nodes of each tree; of a long-value tree, its roots only. */
  readonly nodes: Float64Array;
}

/** What is prepared once for each table. */
interface TableState {
  readonly definition: TableDefinition;
  readonly layout: RecordLayout;
  readonly indexes: readonly ComparedIndex[];
  readonly hasLongValues: boolean;
  readonly readLongValue: ReadLongValue;
}

export function createTreeContents(
  file: FileHandle,
  plan: IntegrityPlan,
  tally: Tally,
  list: FindingList,
  leafKernel: LeafKernel | undefined,
): TreeContents {
  const { trees, pageSize } = plan;
  const damagedTrees = new Set<number>();
  const uncomputable = new Set<number>();
  const nodes = new Float64Array(trees.length);
  const contents: (LeafContent | undefined)[] = [];
  const programs: (LeafProgram | undefined)[] = [];
  const longValues = new Map<number, LongValueChecker>();
  const tables = new Map<number, TableState>();
  const builtKey = createKeyBuffer();
  const treesOf = treesByTable(trees, plan.tables.length);

  const count = (position: number): void => {
    nodes[position] = (nodes[position] as number) + 1;
  };

  const tableOf = (tableNumber: number): TableState => {
    const known = tables.get(tableNumber);
    if (known !== undefined) return known;
    const definition = plan.tables[tableNumber];
    if (definition === undefined) {
      throw new EseError('JET_errInternalError', `there is no table ${tableNumber}`);
    }
    const layout = createRecordLayout(definition.columns, pageSize);
    let append: ReadLongValue | undefined;
    const state: TableState = {
      definition,
      layout,
      indexes: plan.comparesIndexes
        ? comparedIndexes(trees, treesOf[tableNumber] ?? [], definition, layout)
        : [],
      hasLongValues: definition.longValueTree !== undefined,
      readLongValue: (lid, out, limit) => {
        append ??= createLongValueReader(createFilePageSource(file, pageSize), definition).append;
        append(lid, out, limit);
      },
    };
    tables.set(tableNumber, state);
    return state;
  };

  const rowContent = (tree: CheckedTree, position: number): LeafContent => {
    const { definition, layout, indexes, hasLongValues, readLongValue } = tableOf(tree.tableNumber);
    const bookmark: Bookmark = { bytes: builtKey.bytes, start: 0, length: 0 };
    let index: ComparedIndex | undefined;
    let pgno = 0;
    let line = 0;
    const emit = (key: Uint8Array, length: number): void => {
      if (index === undefined) return;
      copyBytes(key, 0, length, builtKey);
      tally.addEntry(index, false, builtKey, true, bookmark, pgno, line);
    };
    const primary = primaryBuilder(layout, definition);
    const records = createRecordChecker(definition, tree, layout, primary, readLongValue, list, {
      reference(lid, atPgno, atNode) {
        if (hasLongValues) {
          tally.addReference(tree, lid, atPgno, atNode);
          return;
        }
        const message = `the row refers to long value ${formatLid(lid)}, the table has none`;
        list.add(tree, 'REC_LID_MISSING', 'error', message, { pgno: atPgno, node: atNode });
      },
      record(values, key, atPgno, atNode) {
        bookmark.bytes = key.bytes;
        bookmark.length = key.length;
        pgno = atPgno;
        line = atNode;
        for (const one of indexes) {
          index = one.comparison.kind === 'bookmarks' ? undefined : one;
          try {
            const keys = one.comparison.builder.build(values, readLongValue, emit);
            if (index !== undefined || keys === 0) continue;
            copyBytes(key.bytes, 0, key.length, builtKey);
            tally.addBookmark(one, keys, builtKey, pgno, line);
          } catch (error) {
            if (!(error instanceof EseError)) throw error;
            uncomputable.add(one.position);
          }
        }
      },
    });
    return (page, at, node, key) => {
      count(position);
      if (!records.check(page, at, node, key)) damagedTrees.add(position);
    };
  };

  const indexContent = (tree: CheckedTree, position: number): LeafContent => {
    const index = tableOf(tree.tableNumber).indexes.find((one) => one.position === position);
    if (index === undefined) return () => count(position);
    const { comparison } = index;
    const bookmark: Bookmark = { bytes: builtKey.bytes, start: 0, length: 0 };
    return (page, line, node, key) => {
      count(position);
      bookmark.bytes = page.bytes;
      bookmark.start = node.dataOffset;
      bookmark.length = node.dataLength;
      if (comparison.kind === 'exact') {
        tally.addEntry(index, true, key, true, bookmark, page.pgno, line);
        return;
      }
      if (comparison.kind === 'bookmarks') {
        copyBytes(page.bytes, node.dataOffset, node.dataLength, builtKey);
        tally.addBookmark(index, -1, builtKey, page.pgno, line);
        return;
      }
      const isWhole = comparison.masker.mask(key.bytes, key.length, builtKey);
      tally.addEntry(index, true, builtKey, isWhole, bookmark, page.pgno, line);
    };
  };

  const longValueContent = (tree: CheckedTree, position: number): LeafContent => {
    const chunkSize = longValueChunkSize(pageSize, tableOf(tree.tableNumber).definition.lvChunkMax);
    const checker = createLongValueChecker(tree, chunkSize, list, (lid, referenceCount, pgno, node) => {
      count(position);
      tally.addRoot(tree, lid, referenceCount, pgno, node);
    });
    longValues.set(position, checker);
    return (page, line, node, key) => checker.node(page, line, node, key);
  };

  const newContent = (position: number): LeafContent => {
    const tree = trees[position];
    if (tree === undefined) throw new EseError('JET_errInternalError', `there is no tree ${position}`);
    switch (tree.kind) {
      case 'table':
        return rowContent(tree, position);
      case 'index':
        return indexContent(tree, position);
      case 'longValue':
        return longValueContent(tree, position);
      case 'database':
        return ({ pgno }, line) =>
          list.add(tree, 'PAGE_FLAGS', 'error', 'the root of the database has nodes', { pgno, node: line });
    }
  };

  const newProgram = (position: number): LeafProgram => {
    const tree = trees[position];
    if (tree === undefined || leafKernel === undefined) return LISTED;
    if (tree.kind !== 'table' && tree.kind !== 'index') return LISTED;
    const { definition, layout, indexes } = tableOf(tree.tableNumber);
    if (tree.kind === 'index') {
      const index = indexes.find((one) => one.position === position);
      if (index === undefined) return COUNTED;
      return index.comparison.kind === 'exact' ? leafKernel.programOfEntries(position) : LISTED;
    }
    const keys: ProgramKey[] = [];
    const { primaryIndex } = definition;
    if (primaryIndex !== undefined && primaryBuilder(layout, definition) !== undefined) {
      keys.push({ index: primaryIndex, position: -1 });
    }
    for (const one of indexes) {
      const index = definition.indexes[trees[one.position]?.indexNumber ?? -1];
      if (index === undefined || one.comparison.kind !== 'exact') return LISTED;
      keys.push({ index, position: one.position });
    }
    return leafKernel.programOfRows(layout, keys);
  };

  return {
    programOf(position) {
      const known = programs[position];
      if (known !== undefined) return known;
      const made = newProgram(position);
      programs[position] = made;
      return made;
    },
    count(position, more) {
      nodes[position] = (nodes[position] as number) + more;
    },
    contentOf(position) {
      const known = contents[position];
      if (known !== undefined) return known;
      const made = newContent(position);
      contents[position] = made;
      return made;
    },
    longValuesOf: (position) => longValues.get(position),
    damagedTrees,
    uncomputable,
    nodes,
  };
}

function comparedIndexes(
  trees: readonly CheckedTree[],
  positions: readonly number[],
  definition: TableDefinition,
  layout: RecordLayout,
): ComparedIndex[] {
  const compared: ComparedIndex[] = [];
  for (const position of positions) {
    const comparison = comparisonOf(layout, definition.indexes[trees[position]?.indexNumber ?? -1]);
    if (comparison !== undefined && comparison.kind !== 'none') compared.push({ position, comparison });
  }
  return compared;
}

function comparisonOf(layout: RecordLayout, index: IndexDefinition | undefined): IndexComparison | undefined {
  if (index === undefined) return undefined;
  try {
    return planComparison(layout, index);
  } catch (error) {
    // What is wrong with the definition is reported once, when all threads have ended.
    if (error instanceof EseError) return undefined;
    throw error;
  }
}

function primaryBuilder(layout: RecordLayout, { primaryIndex }: TableDefinition): KeyBuilder | undefined {
  const comparison = comparisonOf(layout, primaryIndex);
  return comparison?.kind === 'exact' ? comparison.builder : undefined;
}
