import type { LogRecord, LogRecordOf } from '../format/log-record.js';
import { SPLIT_OPERATION } from '../format/log-record-layout.js';

/** What replay must know of a split to hand it to a thread. */
export interface SplitParts {
  /** From the highest page that changes down to the leaf. */
  readonly splits: readonly LogRecordOf<'Split2'>[];
  /** Place of the leaf operation among the records; -1 if there is none. */
  readonly operation: number;
}

/** Levels that a split for a queue may have. */
const SPLITS_MAX = 32;

/** The parts of a split whose leaf operation, if any, is carried out by it; undefined for other macros. */
export function partsOfSplit(records: readonly LogRecord[]): SplitParts | undefined {
  const splits: LogRecordOf<'Split2'>[] = [];
  let operation = -1;
  for (const [i, record] of records.entries()) {
    switch (record.name) {
      case 'Split2':
        splits.push(record);
        break;
      case 'Insert':
      case 'FlagInsertAndReplaceData':
      case 'Replace':
      case 'ReplaceD':
        if (operation >= 0) return undefined;
        operation = i;
        break;
      default:
        return undefined;
    }
  }
  const leaf = splits.at(-1);
  if (leaf === undefined || splits.length > SPLITS_MAX) return undefined;
  if (operation >= 0 && leaf.pgnoNew !== 0 && leaf.splitoper === SPLIT_OPERATION.none) return undefined;
  return { splits, operation };
}
