/** Judges of nodes: records of a table, long values (format specification, chapters 7.1.4 and 7.2.6). */

import { isFixedColumn, isVariableColumn } from '../../format/column.js';
import { EseError } from '../../format/ese-error.js';
import type { KeyBuilder } from '../../format/key.js';
import {
  isValidLid,
  type Lid,
  LONG_VALUE_ROOT,
  longValueChunkSize,
  readLongValueKey,
} from '../../format/long-value.js';
import type { NodeView, Page } from '../../format/page.js';
import {
  createRecordLayout,
  createRecordValues,
  locateColumns,
  type RecordLayout,
} from '../../format/record.js';
import type { TableDefinition } from '../../format/table-definition.js';
import type { ReadLongValue } from '../../format/value-reader.js';
import type { FindingList } from '../integrity/finding.js';
import { planComparison } from '../integrity/index-compare.js';
import type { CheckedTree } from '../integrity/plan.js';
import { createRecordChecker } from '../integrity/record-check.js';
import type { NodeJudge } from './salvage-node.js';

/** A judge of nodes of which nothing is known: it accepts all. */
export const ANY_NODE: NodeJudge = { judge: () => undefined, isStrong: false };

/** A judge of entries of an index: each has a key and a bookmark. */
export const INDEX_ENTRY: NodeJudge = {
  judge: (_page, _line, { dataLength }, { length }) =>
    length === 0 || dataLength === 0 ? 'an entry without key or bookmark' : undefined,
  isStrong: false,
};

/** A judge of records that also tells which columns they have. */
export interface RecordJudge extends NodeJudge {
  /** Highest ids of columns in the records it has accepted that the table's definition does not know; 0 = none. */
  readonly unknown: { fixed: number; variable: number; tagged: number };
}

/** A judge of the records of a table: structure, known columns, primary key where it can be computed. */
export function createRecordJudge(table: TableDefinition, pageSize: number): RecordJudge {
  const layout = createRecordLayout(table.columns, pageSize);
  const primary = primaryBuilder(layout, table);
  const unknown = { fixed: 0, variable: 0, tagged: 0 };
  let reason: string | undefined;
  let isKeyWrong = false;
  /** Columns of the record at hand that are not known. */
  let unknownIds: number[] = [];
  const list: FindingList = {
    findings: [],
    counts: new Map(),
    unit: 0,
    isTruncated: false,
    hasReadErrors: false,
    add(_subject, code, _severity, message) {
      reason ??= message;
      if (code === 'REC_KEY') isKeyWrong = true;
    },
  };
  const tree: CheckedTree = {
    rank: 0,
    kind: 'table',
    object: table.name,
    objid: table.objid,
    pgnoFdp: table.pgnoFdp,
    tableNumber: 0,
    indexNumber: -1,
    parent: -1,
    roleFlags: 0,
    isUnique: true,
  };
  const checker = createRecordChecker(table, tree, layout, primary, noLongValue, list, {
    reference() {},
    record() {},
    unknownColumn: (id) => unknownIds.push(id),
  });
  const values = createRecordValues(layout);
  const keyOf = (page: Page, { dataOffset, dataLength }: NodeView, into: Uint8Array): number => {
    let keyLength = -1;
    try {
      locateColumns(layout, page.bytes, dataOffset, dataOffset + dataLength, values);
      primary?.build(values, noLongValue, (built, length) => {
        into.set(built.subarray(0, length));
        keyLength = length;
      });
    } catch (error) {
      if (!(error instanceof EseError)) throw error;
      return -1;
    }
    return keyLength;
  };
  return {
    isStrong: primary !== undefined,
    unknown,
    keyOf,
    judge(page, line, node, key, isProven) {
      reason = undefined;
      isKeyWrong = false;
      unknownIds = [];
      const isReadable = checker.check(page, line, node, key);
      if (!isReadable || isKeyWrong) return reason;
      if (!isProven) {
        return (
          reason ?? (unknownIds.length > 0 ? 'record: a column that the table does not have' : undefined)
        );
      }
      for (const id of unknownIds) {
        const kind = isFixedColumn(id) ? 'fixed' : isVariableColumn(id) ? 'variable' : 'tagged';
        unknown[kind] = Math.max(unknown[kind], id);
      }
      return undefined;
    },
  };
}

/** Builds the primary key, where it can be computed without the texts' sort keys. */
function primaryBuilder(layout: RecordLayout, { primaryIndex }: TableDefinition): KeyBuilder | undefined {
  if (primaryIndex === undefined) return undefined;
  try {
    const comparison = planComparison(layout, primaryIndex);
    return comparison.kind === 'exact' ? comparison.builder : undefined;
  } catch (error) {
    if (!(error instanceof EseError)) throw error;
    return undefined;
  }
}

/** Keys over values that are stored elsewhere are not computed: the tree of long values may be damaged, too. */
const noLongValue: ReadLongValue = () => {
  throw new EseError('JET_errLVCorrupted', 'long values are not read here');
};

/** Data of a root: references and size, and the flags of newer formats (chapter 2.4.3). */
const ROOT_BYTES = 8;
const ROOT_BYTES_MOST = 9;

/** A judge of roots and chunks of long values. */
export function createLongValueJudge(pageSize: number, lvChunkMax: number | undefined): NodeJudge {
  const chunkSize = longValueChunkSize(pageSize, lvChunkMax);
  const lid: Lid = { high: 0, low: 0 };
  return {
    isStrong: false,
    judge(_page, _line, { dataLength }, key, isProven) {
      let offset: number;
      try {
        offset = readLongValueKey(key.bytes, key.length, lid);
      } catch (error) {
        if (!(error instanceof EseError)) throw error;
        return error.detail;
      }
      if (!isValidLid(lid)) return 'the key is no id of a long value';
      if (offset === LONG_VALUE_ROOT) {
        const isRoot = dataLength === ROOT_BYTES || dataLength === ROOT_BYTES_MOST;
        return isRoot ? undefined : `a long-value root of ${dataLength} bytes`;
      }
      if (isProven) return undefined;
      return offset % chunkSize === 0 && dataLength <= chunkSize
        ? undefined
        : `a chunk of ${dataLength} bytes at ${offset}`;
    },
  };
}
